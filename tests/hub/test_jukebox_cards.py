"""Cards of Jukebox: claims stand or fall with the numbers, every example runs, and licences are told apart."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import soundfile
from huggingface_hub import ModelCard
from tiny_jukeboxes import ARTISTS, GENRES, RATE, write_recording
from transformers import AutoProcessor

from hub_models import JukeboxConfig, JukeboxModel
from hub_models.bundled import BUNDLED_FOLDER, read_index
from hub_models.hub import HubError, check_card, render_card
from hub_models.hub.cards import data_sources
from hub_models.hub.figures_jukebox import hop_lengths

NAME = "jukebox-tiny"
REQUIRED = ("license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index")
ENTRY = {
    "description": "A Jukebox for tests.",
    "title": "A Jukebox",
    "template": "jukebox",
    "preset": "jukebox-tiny",
    "data_sources": ["pop909", "openewld_old", "espeak_ng", "timgm6mb"],
    "minutes": {"pop909": 36, "openewld_old": 35, "espeak_ng": 61},
    "measured_on": ["pop909", "openewld_old", "espeak_ng"],
    "example": {"artist": "low voice", "genre": "nursery", "lyrics": "twinkle twinkle\nlittle star", "seconds": 6},
    "primed_example": {"artist": "piano", "genre": "folk"},
    "recipe": "runs/jukebox_tiny.sh",
    "training_budget": "1,000 steps",
    "tags": ["music", "raw-audio"],
    "paper_figures": {"bottom": -23.0, "middle": -12.4, "top": -8.3},
}


@pytest.fixture
def folder(jukebox, tmp_path):
    """A copy of the model, to change."""
    return shutil.copytree(jukebox, tmp_path / "model")


@pytest.fixture
def render(monkeypatch):
    """The card of a Jukebox, whether or not this checkout has the bundled one."""

    def render_with(folder: Path, **changes) -> str:
        monkeypatch.setattr(sys.modules["hub_models.bundled"], "read_index", lambda: {NAME: ENTRY | changes})
        return render_card(NAME, folder=folder, repository=str(folder))

    return render_with


def change(folder: Path, **values) -> None:
    """Sets numbers of metrics.json; `__` stands between the names on the way to one."""
    report = json.loads((folder / "metrics.json").read_text())
    for place, value in values.items():
        *way, last = place.split("__")
        part = report
        for name in way:
            part = part[name]
        part[last] = value
    (folder / "metrics.json").write_text(json.dumps(report))


def rows(card: str, table: int) -> dict[str, list[str]]:
    """The cells of a table by the names of its rows."""
    lines = re.findall(r"(?:^\|.*\|\n)+", card, flags=re.MULTILINE)[table].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for name, *rest in (cells[0], *cells[2:])}


def test_the_card_is_valid_and_complete(jukebox, render):
    card = render(jukebox)
    assert check_card(card, required=REQUIRED) == []
    for source in (data_sources()[key] for key in ENTRY["data_sources"]):
        for text in (source["citation"], source["url"], f"Licence: {source['licence']}."):
            assert text in card
    for text in ("2005.00341", ENTRY["recipe"], "Used: 61 minutes.", "the validation split", *ARTISTS, *GENRES):
        assert text in card
    for text in ("{{", "{%", "None", "nan", "\n\n\n"):
        assert text not in card
    assert all(line == line.rstrip() for line in card.splitlines())
    tables = re.findall(r"(?:^\|.*\|\n)+", card, flags=re.MULTILINE)
    assert len(tables) == 7
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_the_usage_code_runs(jukebox, render, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recording(tmp_path / "my-recording.wav")
    *blocks, remote = re.findall(r"```python\n(.*?)```", render(jukebox), flags=re.DOTALL)
    names = {}
    for block in blocks:  # each goes on where the one before stopped
        exec(compile(block, "card", "exec"), names)  # noqa: S102 - our own text
    for file in ("song", "draft-0", "draft-1", "draft-2", "continued"):
        sound, rate = soundfile.read(f"{file}.wav")
        assert (rate, len(sound)) == (RATE, 6 * RATE // 1024 * 1024), file
    assert (tmp_path / "my-run" / "plan.json").is_file()
    remote = remote.replace(", trust_remote_code=True", "")  # the tiny model comes without its code
    names = {}
    exec(compile(remote, "card", "exec"), names)  # noqa: S102 - our own text
    assert names["sound"].shape == (6 * RATE // 1024 * 1024, 1)


def test_levels_are_those_of_the_configuration(jukebox, render):
    table = rows(render(jukebox), 0)
    assert list(table)[1:] == ["top", "middle", "bottom"]
    assert table["top"][:2] == ["1024", "8"]
    assert table["bottom"][0] == "64"
    assert "32 codes, 4.10 s" in table["top"]
    config = json.loads((jukebox / "config.json").read_text())
    assert list(hop_lengths(config).values()) == JukeboxConfig.from_pretrained(jukebox).vqvae_config.hop_lengths
    millions = [float(row[2].split()[-3]) for row in list(table.values())[1:]]
    assert sum(millions) == pytest.approx(
        sum(p.numel() for prior in JukeboxModel.from_pretrained(jukebox).priors for p in prior.parameters()) / 1e6, abs=0.16
    )


def test_what_is_left_of_the_sound_stands_beside_the_paper(folder, render):
    place = "vqvae__levels__bottom__"
    change(folder, **{f"{place}spectral_convergence_db": -12.34, f"{place}standard_error": 0.25})
    change(folder, **{f"{place}codebook": {"codes": 512, "used": 500, "entropy_bits": 8.125, "maximum_entropy_bits": 9.0}})
    card = render(folder)
    assert rows(card, 1)["bottom"] == ["-12.3", "0.2", "-23.0", "500 of 512", "8.12 of 9"]
    assert "they cannot be set beside the others" in card
    results = {result.metric_name: result.metric_value for result in ModelCard(card).data.eval_results}
    assert results["spectral convergence of the bottom level, dB"] == -12.34


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (-0.125, "lower by 0.125 ± 0.010 bits."),
        (-0.015, "lower by 0.015 ± 0.010 bits, which may be chance."),
        (0.025, "not lower (0.025 ± 0.010 bits more)."),
        (0.0, "not lower (0.000 ± 0.010 bits more)."),
    ],
)
@pytest.mark.parametrize(
    ("place", "start"),
    [
        ("priors__top__difference_from__without_labels", "- top, its own labels against none: "),
        ("priors__middle__difference_from__other_labels", "- middle, its own labels against another song's artist and"),
        ("priors__top__difference_from__other_times", "- top, its own labels against another place in the song: "),
        ("priors__top__with_lyrics__difference_from__other_lyrics", "- A song's own lyrics against another song's: "),
    ],
)
def test_labels_and_lyrics_help_where_the_numbers_say_so(place, start, difference, verdict, folder, render):
    change(folder, **{place: {"mean": difference, "standard_error": 0.01}})
    lines = [line for line in render(folder).splitlines() if line.startswith(start)]
    assert len(lines) == 1
    assert lines[0].endswith(verdict)


def test_bits_stand_beside_what_needs_no_prior(folder, render):
    change(folder, priors__bottom__bits_per_token__labels={"mean": 4.321, "standard_error": 0.0125})
    table = rows(render(folder), 2)
    assert table["its own labels"][2] == "4.321 ± 0.013"
    assert table["another place in the song"][1:] == ["", ""], "only the top level hears times"
    assert table["no prior: any code"] == ["5.000"] * 3


def test_samples_are_judged_by_chance(folder, render):
    for kind, share in (("artist", 0.8125), ("genre", 0.55)):
        change(folder, **{f"label_check__{kind}__nearer_to_own": share, f"label_check__{kind}__standard_error": 0.05})
    card = render(folder)
    assert rows(card, 4)["artist"][1:4] == ["0.81", "0.05", "0.50"]
    assert "- Artist: nearer to its own in 0.81, more than by chance." in card
    assert "- Genre, of the same artist: nearer to its own in 0.55, more often than not, but that may be chance." in card
    change(folder, label_check__artist__nearer_to_own=0.5)
    assert "- Artist: nearer to its own in 0.50, no more than by chance." in render(folder)


def test_genres_that_were_not_compared_are_left_out(folder, render):
    report = json.loads((folder / "metrics.json").read_text())
    del report["label_check"]["genre"]
    (folder / "metrics.json").write_text(json.dumps(report))
    assert list(rows(render(folder), 4))[1:] == ["artist"]


def test_times_of_words_are_credited_to_the_sound_only_where_it_tells_them(folder, render):
    found = {"median_error_seconds": 0.12, "share_within": 0.75}
    change(folder, **{f"alignment__{name}": value for name, value in found.items()})
    change(folder, alignment__other_sound__median_error_seconds=0.5, alignment__chance__median_error_seconds=0.06)
    change(folder, alignment__attention={"on_the_word": 0.25, "chance": 0.0625})
    card = render(folder)
    assert rows(card, 5)["in their own sound"] == ["0.12 s", "75%"]
    assert "- While a word sounds, 25.0% of the attention is on it; an even spread would put 6.2% there." in card
    assert "- Words are found better in their own sound than in that of another song." in card
    assert "- They are found no better than by spreading them over the song." in card
    assert "do not trust the times" not in card
    change(folder, alignment__other_sound__median_error_seconds=0.12)
    card = render(folder)
    assert "- Words are found no better in their own sound than in that of another song." in card
    assert "do not trust the times that it gives for words, they do not follow the sound." in card


def test_lyrics_that_are_not_heard_are_said(folder, render):
    place = "priors__top__with_lyrics__difference_from__other_lyrics"
    change(folder, **{place: {"mean": -0.5, "standard_error": 0.1}})
    assert "hardly learned to listen to the lyrics" not in render(folder)
    change(folder, **{place: {"mean": -0.15, "standard_error": 0.1}})
    assert "hardly learned to listen to the lyrics" in render(folder)


@pytest.mark.parametrize(
    ("place", "missing"),
    [
        (("split",), "split"),
        (("vqvae", "levels", "middle"), "vqvae.levels.middle.spectral_convergence_db"),
        (("priors", "top", "with_lyrics"), "priors.top.with_lyrics.num_windows"),
        (("priors", "bottom", "difference_from"), "priors.bottom.difference_from.other_labels.mean"),
        (("label_check",), "label_check.num_samples"),
        (("alignment",), "alignment.num_songs"),
        (("speed",), "speed.tokens_per_second.bottom"),
    ],
)
def test_what_was_not_measured_is_named(place, missing, folder, render):
    report = json.loads((folder / "metrics.json").read_text())
    part = report
    for name in place[:-1]:
        part = part[name]
    del part[place[-1]]
    (folder / "metrics.json").write_text(json.dumps(report))
    with pytest.raises(HubError, match=rf"metrics.json lacks .*{re.escape(missing)}"):
        render(folder)


def test_a_model_that_is_not_there_or_is_another_has_no_card(folder, render):
    (folder / "metrics.json").rename(folder / "other.json")
    with pytest.raises(HubError, match=r"metrics.json: evaluate the model first \(runs/jukebox_tiny.sh\)"):
        render(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "music_vae"}))
    with pytest.raises(HubError, match=r"holds a model of type 'music_vae', not a Jukebox"):
        render(folder)
    (folder / "config.json").unlink()
    with pytest.raises(HubError, match=r"config.json: train the model first \(runs/jukebox_tiny.sh\)"):
        render(folder)


def test_half_precision_is_said(folder, render):
    assert "half precision" not in render(folder)
    model = JukeboxModel.from_pretrained(folder)
    model.priors.half()
    model.save_pretrained(folder)
    assert "half precision" in render(folder)


def test_the_licence_of_openai_is_told_apart_from_that_of_these_weights(jukebox, render):
    card = render(jukebox)
    assert ModelCard(card).data.license == "apache-2.0"
    licence = card.partition("## Licence")[2]
    for text in ("Apache-2.0", "Noncommercial Use License", "github.com/openai/jukebox/blob/master/LICENSE", "fine-tuned"):
        assert text in licence


def test_the_bundled_jukebox_is_as_the_index_says(monkeypatch):
    facts = read_index()[NAME]
    assert set(ENTRY) <= set(facts)
    assert set(facts["minutes"]) <= set(facts["data_sources"])
    folder = BUNDLED_FOLDER / NAME
    names = AutoProcessor.from_pretrained(folder).tokenizer
    for key in ("example", "primed_example"):
        assert names(facts[key]["artist"], facts[key]["genre"], facts[key].get("lyrics", "")).reports == []
    preset = JukeboxConfig.from_preset(facts["preset"])
    config = JukeboxConfig.from_pretrained(folder)
    for prior, other in zip(config.prior_configs, preset.prior_configs, strict=True):
        assert (prior.hidden_size, prior.num_layers, prior.n_ctx) == (other.hidden_size, other.num_layers, other.n_ctx)

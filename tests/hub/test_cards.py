"""Model cards: rendered from facts and measurements, and valid without asking the Hub."""

import json
import re
import shutil
import sys
from pathlib import Path

import pretty_midi
import pytest
import yaml
from huggingface_hub import ModelCard
from tiny_models import write_checkpoint, write_song

from hub_models.bundled import list_bundled, read_index
from hub_models.hub import HubError, check_card, render_card
from hub_models.hub.__main__ import main
from hub_models.hub.cards import IDENTIFIER, LICENSES, data_sources

NAMES = sorted(name for name, facts in read_index().items() if facts["template"].startswith("music_vae"))
CARDS = Path(__file__).resolve().parents[2] / "model_cards"
REQUIRED = ("license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index")
VALID = {"license": "apache-2.0", "library_name": "transformers", "pipeline_tag": "text-to-audio", "tags": ["music"]}

# An entry of index.json, and what is different in those of models that none of the bundled ones need be.
ENTRY = {
    "description": "A model for tests.",
    "title": "A model",
    "template": "music_vae",
    "data_sources": ["groove"],
    "recipe": "runs/some.sh",
    "training_budget": "1,000 steps",
    "tags": ["music"],
    "paper_figures": {},
}
GROOVE = {"template": "music_vae_groove", "representation": "groove"}
MULTITRACK = {"template": "music_vae_multitrack", "representation": "multitrack"}
KINDS = {
    "hier-mel_16bar": {
        "representation": "melody",
        "flat_twin": {"training_budget": "900 steps"},
        "paper_figures": {"sampled_accuracy": 0.8123},
        "paper_flat_figures": {"sampled_accuracy": 0.6204},
    },
    "hierdec-trio_16bar": {
        "representation": "trio",
        "data_sources": ["web_archive", "freedoom"],
        "paper_figures": {"parts.bass.sampled_accuracy": 0.7731},
        "paper_flat_figures": {"parts.bass.sampled_accuracy": 0.5652},
    },
    "nade-drums_2bar_reduced": {"representation": "drum_roll"},
    "groovae_2bar_humanize": GROOVE,
    "groovae_2bar_tap_fixed_velocity": GROOVE,
    "groovae_2bar_add_closed_hh": GROOVE,
    "groovae_4bar": GROOVE,
    "hier-multiperf_vel_1bar_med_chords": MULTITRACK | {"data_sources": ["web_archive", "pop909"]},
    "hier-multiperf_vel_1bar_med": MULTITRACK,
}
BARS = {"16bar": "sixteen", "2bar": "two", "1bar": "one"}
# The tables of a kind, but for the main one.
MORE_TABLES = {"16bar": 1, "groovae": 1, "1bar_med_chords": 5, "1bar_med": 2}


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory):
    """Folder of a tiny model by preset, made once."""
    folders = {}

    def make(preset: str) -> Path:
        if preset not in folders:
            folders[preset] = write_checkpoint(tmp_path_factory.mktemp("tiny"), preset, flat_twin=True)
        return folders[preset]

    return make


@pytest.fixture
def render_kind(tiny_checkpoint, monkeypatch):
    """The card of a model of one of KINDS."""

    def render(preset: str, folder: Path | None = None, **changes) -> str:
        entry = ENTRY | {"preset": preset} | KINDS[preset] | changes
        monkeypatch.setattr(sys.modules["hub_models.bundled"], "read_index", lambda: {"tiny": entry})
        folder = folder or tiny_checkpoint(preset)
        return render_card("tiny", folder=folder, repository=str(folder))

    return render


def table_row(card: str, name: str) -> list[str]:
    """The cells of a table row after its name."""
    line = next(line for line in card.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def front_matter(**changes) -> str:
    return f"---\n{yaml.safe_dump(VALID | changes)}---\n# A model\n"


def model_index(value) -> list:
    metrics = [{"type": "accuracy", "name": "accuracy", "value": value}]
    result = {"task": {"type": "text-to-audio"}, "dataset": {"type": "pop909", "name": "POP909"}, "metrics": metrics}
    return [{"name": "tiny", "results": [result]}]


@pytest.mark.parametrize("name", NAMES)
def test_rendered_card_is_valid_and_complete(name, tiny_checkpoint):
    card = render_card(name, folder=tiny_checkpoint(read_index()[name]["preset"]))
    assert check_card(card, required=REQUIRED) == []
    facts = read_index()[name]
    for source in (data_sources()[key] for key in facts["data_sources"]):
        for text in (source["citation"], source["url"], f"Licence: {source['licence']}."):
            assert text in card
    for value in facts["paper_figures"].values():
        assert f"{value:.3f}" in card
    bars = next(word for bars, word in BARS.items() if bars in facts["preset"])
    for text in ("1803.05428", facts["recipe"], f"1,234 {bars}-bar sequences"):
        assert text in card
    for text in ("{{", "{%", "None"):
        assert text not in card


@pytest.mark.parametrize("name", NAMES)
def test_numbers_come_from_the_measurements(name, tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint(read_index()[name]["preset"]), tmp_path / "model")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["reconstruction"]["kl_divergence_bits"] = 87.654321
    (folder / "metrics.json").write_text(json.dumps(metrics))
    card = render_card(name, folder=folder)
    results = {result.metric_name: result.metric_value for result in ModelCard(card).data.eval_results}
    assert results["KL divergence from the prior, bits"] == 87.65432
    assert table_row(card, "KL divergence from the prior, bits")[0] == "87.7"


@pytest.mark.parametrize("preset", KINDS)
def test_every_kind_of_model_has_a_card(preset, render_kind):
    card = render_kind(preset)
    assert check_card(card, required=REQUIRED) == []
    for text in ("{{", "{%", "None", "nan"):
        assert text not in card.replace("velocities=None", "")
    assert "\n\n\n" not in card
    assert all(line == line.rstrip() for line in card.splitlines())
    tables = re.findall(r"(?:^\|.*\|\n)+", card, flags=re.MULTILINE)
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    more = next((count for name, count in MORE_TABLES.items() if name in preset), 0)
    assert len(tables) == 1 + more


@pytest.mark.parametrize("preset", [preset for preset in KINDS if "nade" not in preset])
def test_the_usage_code_of_every_kind_runs(preset, render_kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my-song.mid", "my-drums.mid"):
        write_song(tmp_path / name)
    code = re.findall(r"```python\n(.*?)```", render_kind(preset), flags=re.DOTALL)[0]
    exec(compile(code, "card", "exec"), {})  # noqa: S102 - our own text
    (written,) = set(tmp_path.glob("*.mid")) - {tmp_path / "my-song.mid", tmp_path / "my-drums.mid"}
    assert pretty_midi.PrettyMIDI(str(written)).instruments


def test_the_flat_twin_stands_beside_the_model(render_kind, tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint("hier-mel_16bar"), tmp_path / "model")
    twin = json.loads((folder / "metrics_flat.json").read_text())
    twin["reconstruction"]["sampled_accuracy"] = 0.2345
    (folder / "metrics_flat.json").write_text(json.dumps(twin))
    card = render_kind("hier-mel_16bar", folder)
    assert table_row(card, "reconstruction accuracy, sampled")[1:] == ["0.234", "0.812", "0.620"]
    assert "(1.5 million parameters, 900 steps)" in card
    twin["num_examples"] = 99
    (folder / "metrics_flat.json").write_text(json.dumps(twin))
    with pytest.raises(HubError, match=r"metrics_flat.json was measured with num_examples 99, .* 1234: measure both"):
        render_kind("hier-mel_16bar", folder)
    (folder / "metrics_flat.json").unlink()
    with pytest.raises(HubError, match=r"metrics_flat.json: evaluate the flat twin first \(runs/some.sh\)"):
        render_kind("hier-mel_16bar", folder)


def test_a_trio_has_figures_of_each_part_beside_the_paper(render_kind):
    card = render_kind("hierdec-trio_16bar")
    measured, *paper = table_row(card, "bass: reconstruction accuracy, sampled")
    assert 0 <= float(measured) <= 1
    assert paper == ["0.773", "0.565"]
    assert table_row(card, "drums: reconstruction accuracy, sampled")[1:] == ["", ""]  # the entry has none


def test_sixteen_bars_show_the_way_from_one_piece_to_another(render_kind):
    card = render_kind("hier-mel_16bar")
    assert len(table_row(card, "to the start")) == len(table_row(card, "to the end")) == 11
    assert "to the start" not in render_kind("groovae_2bar_humanize")


def test_a_groove_stands_beside_its_input_and_the_drummers(render_kind):
    card = render_kind("groovae_2bar_humanize")
    chosen, given, machine, drummers = table_row(card, "spread of timing, ms at 120 bpm")
    assert machine == "0.0"
    assert min(map(float, (chosen, given, drummers))) > 0
    assert table_row(card, "hits (F1)")[1:] == ["", "1.000", ""]  # of what is to be humanized, all hits are known
    assert "hits of the drums that the input lacks" not in card
    assert table_row(render_kind("groovae_2bar_add_closed_hh"), "hits of the drums that the input lacks (F1)")[2] == "0.000"
    assert "gillick2019groove" in card


BAND = "hier-multiperf_vel_1bar_med_chords"


def test_a_band_stands_beside_its_controls(render_kind, tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint(BAND), tmp_path / "model")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["harmony"]["chord_tones"] |= {"samples": 0.714, "samples_shuffled": 0.312}
    metrics["harmony"]["program_overlap"] |= {"one_style": 0.611, "one_style_same_draws": 0.832, "different_styles": 0.147}
    metrics["operations"]["change_chords"] |= {"chord_tones_after": 0.731, "chord_tones_before": 0.302}
    metrics["band_samples"]["free"]["valid"] = 0.987
    metrics["attributes"]["strings"] |= {"less": 0.1, "unchanged": 0.2, "more": 0.4}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    card = render_kind(BAND, folder)
    assert table_row(card, "samples, under chords of the data") == ["0.71", "0.31"]
    assert table_row(card, "samples at temperature 0.5: valid measures") == ["0.987"]
    assert table_row(card, "overlap of the instruments") == ["0.83", "0.61", "0.15"]
    assert table_row(card, "`change_chords`: time on tones of the new chords (before the change)") == ["0.73", "0.30"]
    assert table_row(card, "`strings`: share of string instruments") == ["0.10", "0.20", "0.40"]
    assert len(table_row(card, "instruments, to the end")) == 11
    results = {result.metric_name: result.metric_value for result in ModelCard(card).data.eval_results}
    assert results["samples: sounding time on tones of the given chord"] == 0.714
    assert results["samples: sounding time on tones of another sample's chord"] == 0.312
    assert "simon2018multitrack" in card


def test_a_band_without_figures_for_its_chords_has_no_card(render_kind, tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint(BAND), tmp_path / "model")
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["harmony"], metrics["operations"]["path"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(HubError, match=r"lacks harmony.chord_tones.data, .*operations.path.chord_tones"):
        render_kind(BAND, folder)


def test_a_band_without_chords_says_nothing_of_them(render_kind):
    card = render_kind("hier-multiperf_vel_1bar_med")
    assert "progression" not in card
    assert "triads" not in card
    assert "chord" not in re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)[0]


@pytest.mark.parametrize("preset", [BAND, "hier-multiperf_vel_1bar_med"])
def test_the_code_without_encore_of_a_band_runs(preset, render_kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", render_kind(preset), flags=re.DOTALL)[1]
    code = code.replace(", trust_remote_code=True", "")  # the tiny model comes without its code
    exec(compile(code, "card", "exec"), {})  # noqa: S102 - our own text
    assert len(list(tmp_path.glob("sample-*.mid"))) == 4


def test_data_of_unclear_licence_is_named_again_beside_the_licence_of_the_weights(render_kind):
    licence = render_kind("hierdec-trio_16bar").partition("## Licence")[2]
    assert data_sources()["web_archive"]["name"] in licence
    assert data_sources()["groove"]["name"] not in render_kind("groovae_4bar").partition("## Licence")[2]


def test_half_precision_is_said(render_kind, tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint("groovae_4bar"), tmp_path / "model")
    assert "half precision" not in render_kind("groovae_4bar", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    assert "half precision" in render_kind("groovae_4bar", folder)


@pytest.mark.parametrize("entry", data_sources().values(), ids=list(data_sources()))
def test_data_sources_state_origin_licence_and_citation(entry):
    assert {"name", "hub_id", "url", "content", "licence", "licence_id", "citation"} <= set(entry)
    assert entry["licence_id"] in LICENSES
    assert IDENTIFIER.fullmatch(entry["hub_id"])
    assert entry["url"].startswith("https://")
    for credit in entry.get("credits", []):
        assert set(credit) == {"author", "licence", "works"}
        assert credit["licence"] in entry["licence"], "a piece has a licence that its source does not have"
        assert credit["works"]


@pytest.mark.parametrize("name", read_index())
def test_bundled_models_name_known_data_sources(name):
    facts = read_index()[name]
    assert set(facts["data_sources"]) <= set(data_sources())
    assert set(facts.get("measured_on", [])) <= set(facts["data_sources"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"license": "free-for-all"}, "license 'free-for-all' is not one of"),
        ({"license": "other"}, "needs license_name and license_link"),
        ({"library_name": "tensorflow1"}, "library_name 'tensorflow1'"),
        ({"pipeline_tag": "midi-to-midi"}, "pipeline_tag 'midi-to-midi'"),
        ({"tags": ["music", 7]}, "tags must be a list of texts"),
        ({"datasets": ["not an identifier"]}, "dataset 'not an identifier'"),
        ({"model-index": [{"name": "tiny", "results": [{"task": {}}]}]}, "front matter cannot be read"),
        ({"model-index": model_index("very good")}, "is 'very good', not a number"),
        ({"model-index": model_index(float("nan"))}, "not a number"),
        ({"license": None}, "license is missing"),
    ],
)
def test_invalid_metadata_is_found(changes, problem):
    assert any(problem in found for found in check_card(front_matter(**changes), required=("license",)))


def test_valid_metadata_passes():
    assert check_card(front_matter(**{"model-index": model_index(0.9), "datasets": ["someone/pop909"]})) == []
    assert check_card("---\ntags: [broken\n---\n# A model\n") != []


def test_without_metrics_the_command_says_what_to_do(checkpoint, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(checkpoint, tmp_path / NAMES[0])
    (folder / "metrics.json").unlink()
    module = sys.modules["hub_models.bundled"]
    monkeypatch.setattr(module, "BUNDLED_FOLDER", tmp_path)
    entry = {"template": "music_vae", "recipe": "runs/train.sh", "representation": "melody"}
    monkeypatch.setattr(module, "read_index", lambda: {NAMES[0]: entry})
    assert main(["card", NAMES[0]]) == 1
    message = capsys.readouterr().err
    assert "metrics.json: evaluate the model first (runs/train.sh)." in message


def test_lacking_metrics_are_named(checkpoint, metrics, tmp_path):
    name = "music-vae-mel-2bar"
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    metrics |= {"split": None, "samples": {"in_range": 1.0, "non_empty": "x"}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(HubError, match=r"lacks split, samples.non_empty, samples.non_duplicate:"):
        render_card(name, folder=folder)


def test_unknown_model_names_what_exists(capsys):
    assert main(["card", "no-such-model"]) == 1
    assert NAMES[0] in capsys.readouterr().err


@pytest.mark.parametrize("model", [model.name for model in list_bundled()])
def test_published_cards_are_up_to_date(model, tmp_path):
    """model_cards/NAME.md is what `python -m hub_models.hub card NAME` writes."""
    assert main(["card", model, "--output", str(tmp_path / "card.md")]) == 0
    assert (CARDS / f"{model}.md").read_text() == (tmp_path / "card.md").read_text()
    assert check_card((CARDS / f"{model}.md").read_text(), required=REQUIRED) == []

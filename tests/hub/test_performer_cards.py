"""Cards of Transformer Autoencoders: claims stand or fall with the numbers, and every example runs."""

import json
import re
import shutil
import sys
from pathlib import Path

import pretty_midi
import pytest
from huggingface_hub import ModelCard
from tiny_performers import CONTEXT, write_measured, write_performance
from transformers import AutoModel, AutoProcessor

from hub_models.bundled import read_index
from hub_models.hub import HubError, check_card, render_card
from hub_models.hub.cards import data_sources

BOTH = "transformer-autoencoder-piano"
ALONE = "transformer-autoencoder-piano-unconditional"
REQUIRED = ("license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index")


@pytest.fixture(scope="module")
def folders(performer, tmp_path_factory):
    """Measured models by the name of the bundled model that they stand for."""
    return {BOTH: performer, ALONE: write_measured(tmp_path_factory.mktemp("alone"), "unconditional")}


@pytest.fixture
def folder(folders, tmp_path):
    """A copy of the model that hears both, to change."""
    return shutil.copytree(folders[BOTH], tmp_path / "model")


def change(path: Path, **values) -> None:
    """Sets numbers of a report; `__` stands between the names on the way to one."""
    report = json.loads(path.read_text())
    for place, value in values.items():
        *way, last = place.split("__")
        part = report
        for name in way:
            part = part[name]
        part[last] = value
    path.write_text(json.dumps(report))


def code_blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


def rows(card: str, table: int) -> dict[str, list[str]]:
    """The cells of a table by the names of its rows."""
    lines = re.findall(r"(?:^\|.*\|\n)+", card, flags=re.MULTILINE)[table].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for name, *rest in (cells[0], *cells[2:])}


@pytest.mark.parametrize("name", [BOTH, ALONE])
def test_the_card_is_valid_and_complete(name, folders):
    card = render_card(name, folder=folders[name])
    assert check_card(card, required=REQUIRED) == []
    facts = read_index()[name]
    for source in (data_sources()[key] for key in facts["data_sources"]):
        for text in (source["citation"], source["url"], f"Licence: {source['licence']}."):
            assert text in card
    for text in ("1809.04281", facts["recipe"], f"segments of {CONTEXT} tokens", "the validation split"):
        assert text in card
    for text in ("{{", "{%", "None", "nan", "\n\n\n"):
        assert text not in card.replace('"eos_token_id": None', "")
    assert all(line == line.rstrip() for line in card.splitlines())
    tables = re.findall(r"(?:^\|.*\|\n)+", card, flags=re.MULTILINE)
    assert len(tables) == (4 if name == BOTH else 2)
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_one_alone_says_nothing_of_styles_that_it_could_hear(folders):
    card = render_card(ALONE, folder=folders[ALONE])
    for text in ("style=", "claim", "1912.05537"):
        assert text not in card
    assert "Music Transformer" in card


@pytest.mark.parametrize("name", [BOTH, ALONE])
def test_the_usage_code_runs(name, folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["my-performance.mid", "another-performance.mid", "my-song.mid", "my-beginning.mid"]
    for seed, file in enumerate(given):
        write_performance(tmp_path / file, seed)
    *blocks, remote = code_blocks(render_card(name, folder=folders[name], repository=str(folders[name])))
    names = {}
    for block in blocks:  # each goes on where the one before stopped
        exec(compile(block, "card", "exec"), names)  # noqa: S102 - our own text
    written = {path.name for path in tmp_path.glob("*.mid")} - set(given)
    assert written == ({"played.mid", "mixed.mid", "continued.mid"} if name == BOTH else {"continued.mid", "invented.mid"})
    for file in written:
        assert pretty_midi.PrettyMIDI(file).instruments[0].notes, file
    remote = remote.replace(", trust_remote_code=True", "")  # the tiny model comes without its code
    exec(compile(remote, "card", "exec"), {})  # noqa: S102 - our own text
    assert pretty_midi.PrettyMIDI("played.mid").instruments[0].notes


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (-0.125, "lower by 0.125 ± 0.010. The paper's claim holds here."),
        (-0.015, "lower by 0.015 ± 0.010, which may be chance. The paper's claim is not shown here."),
        (0.025, "not lower (0.025 ± 0.010 more). The paper's claim does not hold here."),
        (0.0, "not lower (0.000 ± 0.010 more). The paper's claim does not hold here."),
    ],
)
@pytest.mark.parametrize(
    ("file", "other", "start"),
    [
        ("metrics_performance.json", "unconditional", "A style against no style: 2.345 nats per token to "),
        ("metrics.json", "melody", "A style beside the melody against the melody alone: 2.345 nats per token to "),
    ],
)
def test_claims_stand_or_fall_with_the_numbers(file, other, start, difference, verdict, folder):
    place = f"nll__difference_from__{other}__"
    figures = {f"{place}nats_per_token": difference, f"{place}standard_error": 0.01}
    change(folder / file, **figures, nll__nats_per_token=2.345)
    lines = [line for line in render_card(BOTH, folder=folder).splitlines() if line.startswith(f"- {start}")]
    assert len(lines) == 1
    assert lines[0].endswith(verdict)


def test_style_and_melody_are_judged_by_chance(folder):
    change(
        folder / "metrics.json",
        style__with_melody__nearer_to_own=0.75,
        style__with_melody__standard_error=0.05,
        style__without_melody__nearer_to_own=0.55,
        style__without_melody__standard_error=0.05,
        melody__kept=0.52,
        melody__chance=0.06,
        melody__standard_error=0.03,
    )
    card = render_card(BOTH, folder=folder)
    assert "melody to play: nearer to the given style in 0.75 ± 0.05 of the comparisons, more than by chance (0.5)." in card
    assert "0.55 ± 0.05 of the comparisons, more than 0.5, but that may be chance." in card
    assert "It plays 0.52 ± 0.03 of its melody's notes, and 0.06 of another's, which it was not given: more than by" in card
    assert "so far" not in card
    assert "hardly learned" not in card
    assert rows(card, 1)["this model, with a melody"][:2] == ["0.75", "0.05"]
    assert rows(card, 3)["this model"][:3] == ["0.52", "0.03", "0.06"]
    results = {result.metric_name: result.metric_value for result in ModelCard(card).data.eval_results}
    assert results["notes of the given melody that are played"] == 0.52
    assert results["nearer to the given style than to another, no melody"] == 0.55

    change(folder / "metrics.json", style__with_melody__nearer_to_own=0.5, melody__kept=0.1)
    card = render_card(BOTH, folder=folder)
    assert "0.50 ± 0.05 of the comparisons, no more than by chance (0.5)." in card
    assert "which it was not given: no more than by chance." in card
    assert "measured below: no more than by chance, so far." in card
    assert "hardly learned to play the melody" in card


def test_all_four_models_stand_in_the_table_of_likelihoods(folder):
    change(folder / "metrics_melody.json", nll__nats_per_token=2.5, nll__other_melody=2.75)
    table = rows(render_card(BOTH, folder=folder), 0)
    assert list(table)[1:] == ["nothing", "a style", "a melody", "a style and a melody (this model)"]
    heard = [bool(cell) for cell in table["a melody"][4:]]
    assert heard == [False, True, True], "a style of another piece; a melody of another piece; a blank melody"
    assert (table["a melody"][1], table["a melody"][5]) == ("2.500", "2.750")


def test_what_the_encoder_heard_is_said(folder):
    assert "moved to another key" not in render_card(BOTH, folder=folder)
    for name in ("metrics.json", "metrics_performance.json"):
        change(folder / name, conditions__noisy=True)
    assert "after it was moved to another key" in render_card(BOTH, folder=folder)


@pytest.mark.parametrize(
    ("file", "changes", "problem"),
    [
        ("metrics_melody.json", {"nll__num_segments": 7}, r"metrics_melody.json was measured with nll.num_segments 7, .* 8"),
        ("metrics_performance.json", {"conditions__noisy": True}, r"measured with conditions.noisy True, .* False"),
        ("metrics_unconditional.json", {"data": ["jazz"]}, r"measured with data \['jazz'\]"),
        ("metrics_melody.json", {"kind": "performance"}, r"metrics_melody.json is of a model of kind 'performance'"),
        ("metrics.json", {"nll__difference_from": {}}, r"metrics.json lacks the difference from melody: .*--compare-with"),
        ("metrics.json", {"split": None, "melody__kept": None}, r"metrics.json lacks split, melody.kept:"),
        ("metrics.json", {"style": {}}, r"lacks style.with_melody.nearer_to_own"),
    ],
)
def test_reports_that_do_not_belong_together_are_refused(file, changes, problem, folder):
    change(folder / file, **changes)
    with pytest.raises(HubError, match=problem):
        render_card(BOTH, folder=folder)


def test_missing_reports_are_named(folder):
    (folder / "metrics_melody.json").unlink()
    with pytest.raises(HubError, match=r"metrics_melody.json: evaluate this sibling first \(runs/transformer_auto"):
        render_card(BOTH, folder=folder)
    (folder / "metrics.json").unlink()
    with pytest.raises(HubError, match=r"metrics.json: evaluate the model first \(runs/transformer_autoencoder_piano.sh\)"):
        render_card(BOTH, folder=folder)


def test_half_precision_is_said(folder):
    assert "half precision" not in render_card(BOTH, folder=folder)
    AutoModel.from_pretrained(folder).half().save_pretrained(folder)
    assert "half precision" in render_card(BOTH, folder=folder)


@pytest.mark.parametrize("name", read_index())
def test_weights_come_under_a_licence_that_their_data_allows(name):
    facts = read_index()[name]
    licences = {data_sources()[key]["licence_id"] for key in facts["data_sources"]}
    strict = {licence for licence in licences if "-nc-" in licence or licence.endswith("-nc")}
    assert len(strict) <= 1, "no licence fits all of it"
    assert facts.get("license", "apache-2.0") == (strict.pop() if strict else "apache-2.0")


def test_the_licence_of_the_weights_is_in_metadata_and_text(folders):
    for name, folder in folders.items():
        card = render_card(name, folder=folder)
        assert ModelCard(card).data.license == "cc-by-nc-sa-4.0"
        text = card.partition("## Licence")[2]
        assert "CC BY-NC-SA 4.0" in text
        assert "The code in it is under Apache-2.0" in text


def test_a_music_vae_is_no_performer(folder, monkeypatch):
    change(folder / "config.json", model_type="music_vae")
    with pytest.raises(HubError, match=r"holds a model of type 'music_vae', not a Transformer Autoencoder"):
        render_card(BOTH, folder=folder)


def test_bundled_performers_are_as_the_index_says():
    """Of those that are there: their kind, processor and settings."""
    index = read_index()
    module = sys.modules["hub_models.bundled"]
    for name in (BOTH, ALONE):
        assert index[name]["template"].startswith("transformer_autoencoder")
        folder = module.BUNDLED_FOLDER / name
        if not (folder / "config.json").is_file():
            continue  # not trained in this checkout
        config = json.loads((folder / "config.json").read_text())
        assert (config["melody_encoder"], config["performance_encoder"]) == (
            (True, "style") if name == BOTH else (False, "none")
        )
        assert AutoProcessor.from_pretrained(folder).context_length == config["context_length"]

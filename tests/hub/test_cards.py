"""Model cards: rendered from facts and measurements, and valid without asking the Hub."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from hub_models.bundled import BUNDLED_FOLDER, list_bundled, read_index
from hub_models.hub import HubError, check_card, render_card
from hub_models.hub.__main__ import main
from hub_models.hub.cards import IDENTIFIER, LICENSES, data_sources

NAMES = sorted(read_index())
CARDS = Path(__file__).resolve().parents[2] / "model_cards"
REQUIRED = ("license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index")
VALID = {"license": "apache-2.0", "library_name": "transformers", "pipeline_tag": "text-to-audio", "tags": ["music"]}


def front_matter(**changes) -> str:
    return f"---\n{yaml.safe_dump(VALID | changes)}---\n# A model\n"


def model_index(value) -> list:
    metrics = [{"type": "accuracy", "name": "accuracy", "value": value}]
    result = {"task": {"type": "text-to-audio"}, "dataset": {"type": "pop909", "name": "POP909"}, "metrics": metrics}
    return [{"name": "tiny", "results": [result]}]


@pytest.mark.parametrize("name", NAMES)
def test_rendered_card_is_valid_and_complete(name, checkpoint):
    card = render_card(name, folder=checkpoint)
    assert check_card(card, required=REQUIRED) == []
    facts = read_index()[name]
    for source in (data_sources()[key] for key in facts["data_sources"]):
        for text in (source["citation"], source["url"], f"Licence: {source['licence']}."):
            assert text in card
    for value in facts["paper_figures"].values():
        assert f"{value:.3f}" in card
    for text in ("1803.05428", facts["recipe"], "1,234 two-bar sequences"):
        assert text in card
    for text in ("{{", "{%", "None"):
        assert text not in card


@pytest.mark.parametrize("name", NAMES)
def test_numbers_come_from_the_measurements(name, checkpoint, metrics, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    metrics["reconstruction"]["sampled_accuracy"] = 0.87654
    (folder / "metrics.json").write_text(json.dumps(metrics))
    card = render_card(name, folder=folder)
    results = {result.metric_name: result.metric_value for result in ModelCard(card).data.eval_results}
    assert results["reconstruction accuracy, sampled"] == 0.87654
    assert "| reconstruction accuracy, sampled | 0.877 |" in card


@pytest.mark.parametrize("entry", data_sources().values(), ids=list(data_sources()))
def test_data_sources_state_origin_licence_and_citation(entry):
    assert {"name", "hub_id", "url", "content", "licence", "licence_id", "citation"} <= set(entry)
    assert entry["licence_id"] in LICENSES
    assert IDENTIFIER.fullmatch(entry["hub_id"])
    assert entry["url"].startswith("https://")


@pytest.mark.parametrize("name", NAMES)
def test_bundled_models_name_known_data_sources(name):
    assert set(read_index()[name]["data_sources"]) <= set(data_sources())


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
    monkeypatch.setattr(module, "read_index", lambda: {NAMES[0]: {"recipe": "runs/train.sh"}})
    assert main(["card", NAMES[0]]) == 1
    message = capsys.readouterr().err
    assert "metrics.json: evaluate the model first (runs/train.sh)." in message


def test_lacking_metrics_are_named(checkpoint, metrics, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    metrics |= {"split": None, "samples": {"in_range": 1.0, "non_empty": "x"}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(HubError, match=r"lacks split, samples.non_empty, samples.non_duplicate:"):
        render_card(NAMES[0], folder=folder)


def test_unknown_model_names_what_exists(capsys):
    assert main(["card", "no-such-model"]) == 1
    assert NAMES[0] in capsys.readouterr().err


@pytest.mark.parametrize("model", [model.name for model in list_bundled()])
def test_published_cards_are_up_to_date(model, tmp_path):
    """model_cards/NAME.md is what `python -m hub_models.hub card NAME` writes."""
    if not (BUNDLED_FOLDER / model / "metrics.json").is_file():
        pytest.skip(f"{model} has not been evaluated yet")
    assert main(["card", model, "--output", str(tmp_path / "card.md")]) == 0
    assert (CARDS / f"{model}.md").read_text() == (tmp_path / "card.md").read_text()
    assert check_card((CARDS / f"{model}.md").read_text(), required=REQUIRED) == []

"""The command that measures, and its likelihoods."""

import json

import numpy as np
import pytest
import torch

from hub_models.training import NoTrainingDataError
from hub_models.training.data_order import ExampleKey
from hub_models.transformer_autoencoder import (
    TransformerAutoencoderForConditionalGeneration,
    TransformerAutoencoderProcessor,
    bundle,
    evaluate,
)
from hub_models.transformer_autoencoder.data import Conditions, SegmentDataset, collate
from hub_models.transformer_autoencoder.evaluate_nll import (
    ReportMismatchError,
    clustered_error,
    evaluate_nll,
    of_others,
    token_losses,
)
from hub_models.transformer_autoencoder.performance_events import encode_performance
from hub_models.transformer_autoencoder.performance_notes import PerformanceNotes
from hub_models.transformer_autoencoder.performances import Piece

from .conftest import small_model
from .music import etude, make_midi

LENGTH = 24
BOTH = {"performance_encoder": "style", "melody_encoder": True}
KINDS = {
    "unconditional": {},
    "performance": {"performance_encoder": "style"},
    "melody": {"melody_encoder": True},
    "melody_performance": BOTH,
}


def pieces_of(count: int = 4, seconds: float = 6.0) -> list[Piece]:
    pieces = []
    for number in range(count):
        rows = [(pitch, 60 + number, start, end) for pitch, start, end in etude(seconds + number, seed=number)]
        tokens = encode_performance(PerformanceNotes.from_rows(rows)).astype(np.uint16)
        pieces.append(Piece(f"{number}.mid", (tokens,), 40, 90))
    return pieces


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Seven performances of six compositions."""
    folder = tmp_path_factory.mktemp("data")
    rows = ["file,split,composition_group"]
    for number in range(7):
        make_midi(etude(10.0 + number, seed=number)).write(str(folder / f"{number}.mid"))
        rows.append(f"{number}.mid,validation,composition {max(0, number - 1)}")
    make_midi(etude(60.0)).write(str(folder / "long.mid"))
    (folder / "splits.csv").write_text("\n".join([*rows, "long.mid,train,other"]) + "\n")
    return folder


def command(model, data, *more) -> list[str]:
    return [
        *("--model", str(model), "--data", str(data), "--splits", str(data / "splits.csv"), "--split", "validation"),
        *("--cache", str(data / "cache"), "--num-proc", "1", "--num-performances", "5", "--max-segments", "12"),
        *map(str, more),
    ]


def saved(folder, **fields):
    small_model(**fields).save_pretrained(folder)
    TransformerAutoencoderProcessor(context_length=LENGTH).save_pretrained(folder)
    return folder


def measured(model, data, output, *more) -> dict:
    evaluate.main(command(model, data, "--output", output, *more))
    return json.loads(output.read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_measures_every_kind_of_model(kind, data, tmp_path, capsys):
    report = measured(saved(tmp_path / "model", **KINDS[kind]), data, tmp_path / "metrics.json")
    assert json.loads(capsys.readouterr().out) == report
    assert report["kind"] == kind
    assert report["model"] == "model"
    assert report["num_files"] == 7
    nll = report["nll"]
    assert nll["length"] == LENGTH
    assert nll["num_tokens"] == 12 * LENGTH
    assert 4 < nll["nats_per_token"] < 9  # of random weights
    assert nll["standard_error"] > 0
    assert ("other_style" in nll) == ("performance" in kind)
    assert ("other_melody" in nll) == ("blank_melody" in nll) == ("melody" in kind)
    for name in ("other_style", "other_melody", "blank_melody"):
        assert nll.get(name, 0.0) != nll["nats_per_token"]
    assert report["generation"] == {
        **{"num_performances": 5, "num_tokens": LENGTH, "temperature": 1.0, "top_p": None, "batch_size": 16},
    }
    assert ("melody" in report) == ("melody" in kind)
    assert report["style"]["data"]["num_generations"] == 5


def test_likelihoods_are_those_of_training():
    model, pieces = small_model(**BOTH), pieces_of()
    conditions = Conditions(style=True, melody=True)
    dataset = SegmentDataset(pieces, LENGTH, conditions)
    examples = [dataset[ExampleKey(0, number)] for number in range(len(dataset))]
    figures = evaluate_nll(model, pieces, ["a", "b", "c", "d"], conditions, LENGTH, batch_size=3)
    with torch.no_grad():
        losses = [float(model(**collate([example])).loss) for example in examples]
    assert figures["nats_per_token"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert figures["num_segments"] == len(examples)
    owners = np.array([number for number, _ in dataset.places])
    for number, piece in enumerate(pieces):
        assert figures["by_piece"][piece.name] == pytest.approx(np.mean(np.array(losses)[owners == number]), abs=1e-5)


def test_a_model_that_knows_needs_no_nats_and_is_always_right():
    model, pieces = small_model(), pieces_of()

    class Prophet(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids):
            return type("Output", (), {"logits": torch.nn.functional.one_hot(input_ids.roll(-1, 1), 310) * 1e4})

    model = Prophet()
    nats, hits = token_losses(model, [{"target": np.asarray(piece.tokens[:LENGTH], dtype=np.int64)} for piece in pieces], 3)
    assert nats.tolist() == [0.0] * 4
    assert hits.tolist() == [1.0] * 4


def test_wrong_conditions_come_from_other_compositions():
    groups = np.array(["a", "a", "b", "c", "c", "c"], dtype=object)
    for seed in range(20):
        donors = of_others(groups, np.random.default_rng(seed))
        assert (groups[donors] != groups).all()
    assert of_others(np.array(["a", "a"], dtype=object), np.random.default_rng(0)).tolist() == [-1, -1]
    figures = evaluate_nll(
        small_model(**BOTH), pieces_of(), ["a"] * 4, Conditions(style=True, melody=True), LENGTH, max_segments=4
    )
    assert "other_style" not in figures
    assert "blank_melody" in figures
    assert figures["standard_error"] is None


def test_errors_count_compositions_not_segments():
    values = np.array([1.0, 1.0, 2.0, 2.0, 4.0, 4.0])
    assert clustered_error(values, list("aabbcc")) == pytest.approx(np.std([1, 2, 4], ddof=1) / np.sqrt(3))
    assert clustered_error(values, range(6)) == pytest.approx(np.std(values, ddof=1) / np.sqrt(6))


def test_reports_are_compared_segment_by_segment(data, tmp_path):
    first = measured(saved(tmp_path / "one"), data, tmp_path / "one.json", "--num-performances", 0)
    assert "style" not in first
    assert "generation" not in first
    model = saved(tmp_path / "two", **BOTH)
    report = measured(model, data, tmp_path / "two.json", "--num-performances", 0, "--compare-with", tmp_path / "one.json")
    difference = report["nll"]["difference_from"]["unconditional"]
    assert difference["nats_per_token"] == pytest.approx(
        report["nll"]["nats_per_token"] - first["nll"]["nats_per_token"], abs=1e-9
    )
    assert difference["standard_error"] > 0
    with pytest.raises(ReportMismatchError, match="num_segments 12, this one 5"):
        measured(model, data, tmp_path / "x.json", "--compare-with", tmp_path / "one.json", "--max-segments", 5)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ReportMismatchError, match=r"other\.json is no report"):
        measured(model, data, tmp_path / "x.json", "--compare-with", tmp_path / "other.json")
    names = first["nll"]["by_piece"]
    names["strange.mid"] = names.pop(next(iter(names)))
    (tmp_path / "strange.json").write_text(json.dumps(first))
    with pytest.raises(ReportMismatchError, match="2 pieces are in only one of the two"):
        measured(model, data, tmp_path / "x.json", "--compare-with", tmp_path / "strange.json")


def test_length_and_its_limits(data, tmp_path):
    model = saved(tmp_path / "model")
    report = measured(model, data, tmp_path / "a.json", "--length", 40, "--num-performances", 0)
    assert report["nll"]["length"] == 40  # beyond what the model hears in training
    with pytest.raises(NoTrainingDataError, match=r"None of 7 MIDI files gives a segment of 100000 tokens"):
        measured(model, data, tmp_path / "b.json", "--length", 100_000)
    with pytest.raises(NoTrainingDataError, match="split 'test'"):
        evaluate.main([*command(model, data), "--split", "test"])
    for wrong in (["--length", "1"], ["--temperature", "0"], ["--num-performances", "-1"]):
        with pytest.raises(SystemExit):
            evaluate.parse_arguments(command(model, data, *wrong))


def test_too_few_compositions_for_styles_are_said(data, tmp_path, capsys):
    model = saved(tmp_path / "model")
    report = measured(model, data, tmp_path / "a.json", "--num-performances", 3)
    assert "style" not in report
    assert "3 compositions" in capsys.readouterr().err


def test_a_bundle_holds_what_ships_and_plays_the_same(tmp_path):
    model = saved(tmp_path / "model", **BOTH)
    bundle.main(["--model", str(model), "--output", str(tmp_path / "bundle"), "--half"])
    half, whole = (path / "model.safetensors" for path in (tmp_path / "bundle", model))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    names = {path.name for path in (tmp_path / "bundle").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "processor_config.json"} <= names
    processor = TransformerAutoencoderProcessor.from_pretrained(tmp_path / "bundle")
    assert processor.context_length == LENGTH
    features = processor(style=make_midi(etude()), melody=make_midi(etude()), return_tensors="pt")
    models = [
        TransformerAutoencoderForConditionalGeneration.from_pretrained(path).eval() for path in (model, tmp_path / "bundle")
    ]
    assert models[1].dtype == torch.float32
    one, other = (m.generate(**features, max_new_tokens=5, do_sample=False, eos_token_id=None) for m in models)
    assert one.shape == other.shape == (1, 6)
    styles = [m.encode_style(features["performance_ids"], features["performance_attention_mask"]) for m in models]
    torch.testing.assert_close(styles[0], styles[1], atol=2e-2, rtol=2e-2)

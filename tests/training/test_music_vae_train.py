"""The command lines: train, fine-tune, evaluate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import TINY
from transformers import AutoModel

from hub_models.music_vae import ATTRIBUTES, bundle, evaluate, load_attribute_vectors, train
from hub_models.music_vae.configuration_music_vae import MusicVAEConfig
from hub_models.music_vae.modeling_music_vae import MusicVAEModel
from hub_models.music_vae.processing_music_vae import MusicVAEProcessor
from hub_models.training import NoTrainingDataError

REPOSITORY = Path(__file__).parents[2]


def train_command(midi_folder, output, *more):
    return [
        *("--data", str(midi_folder), "--validation-share", "0.4", "--output", str(output)),
        *("--cache", str(output.parent / "cache"), "--num-proc", "1", "--no-progress"),
        *("--max-steps", "2", "--batch-size", "8", "--log-every", "1", "--evaluate-every", "2", *more),
    ]


@pytest.fixture
def trained(midi_folder, tmp_path):
    output = tmp_path / "run"
    train.main(train_command(midi_folder, output, "--override", *TINY))
    return output


def test_train_then_evaluate_gives_one_json_object(midi_folder, tmp_path):
    """The whole way on the command line."""
    output = tmp_path / "run"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    subprocess.run(
        [*launch, "-m", "hub_models.music_vae.train", *train_command(midi_folder, output, "--override", *TINY)],
        cwd=REPOSITORY,
        check=True,
        timeout=120,
    )
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "hub_models.music_vae.evaluate",
            "--model",
            str(output),
            "--data",
            str(midi_folder),
            "--num-samples",
            "20",
            "--cache",
            str(tmp_path / "cache"),
            "--num-proc",
            "1",
            "--max-examples",
            "30",
            "--output",
            str(tmp_path / "report.json"),
        ],
        cwd=REPOSITORY,
        check=True,
        timeout=120,
        stdout=subprocess.PIPE,
    )
    report = json.loads(finished.stdout)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["num_examples"] == 30
    assert report["num_samples"] == 20
    assert report["seed"] == 0
    assert report["latents"] == "sample"
    for name in ("teacher_forced_accuracy", "sampled_accuracy", "sampled_event_accuracy"):
        assert 0 <= report["reconstruction"][name] <= 1
    assert report["samples"]["in_range"] == 1.0
    assert report["samples"]["data_onset_density"] == pytest.approx(0.25, abs=0.02)  # quarter notes


def test_the_output_is_a_hub_folder(trained):
    assert {"config.json", "model.safetensors", "processor_config.json"} <= {path.name for path in trained.iterdir()}
    model, processor = MusicVAEModel.from_pretrained(trained), MusicVAEProcessor.from_pretrained(trained)
    assert processor.decode(model.sample(2, generator=torch.Generator().manual_seed(0)))
    lines = [json.loads(line) for line in (trained / "train_log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["split"]) for line in lines] == [(1, "train"), (2, "train"), (2, "validation")]
    assert "sampled_accuracy" in lines[-1]
    summary = json.loads((trained / "data_summary.json").read_text())
    assert summary["train_windows"] + summary["validation_windows"] == summary["windows"]


def test_bundling_keeps_what_ships_and_adds_attribute_vectors(midi_folder, trained, tmp_path):
    folder = tmp_path / "bundled"
    bundle.main(["--model", str(trained), "--output", str(folder), "--data", str(midi_folder), "--attributes"])
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "processor_config.json",
        "attribute_vectors.safetensors",
    }
    assert set(load_attribute_vectors(folder)) == set(ATTRIBUTES)
    with pytest.raises(SystemExit):
        bundle.main(["--model", str(trained), "--output", str(folder), "--attributes"])


def test_bundling_at_half_precision_halves_the_file_and_loads_as_float32(trained, tmp_path):
    bundle.main(["--model", str(trained), "--output", str(tmp_path / "whole")])
    bundle.main(["--model", str(trained), "--output", str(tmp_path / "half"), "--half"])
    sizes = {name: (tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")}
    assert sizes["half"] < 0.6 * sizes["whole"]
    for auto_class in (MusicVAEModel, AutoModel):
        assert auto_class.from_pretrained(tmp_path / "half").dtype == torch.float32
    assert MusicVAEModel.from_pretrained(tmp_path / "half", dtype="auto").dtype == torch.float16
    whole, half = (MusicVAEModel.from_pretrained(tmp_path / name) for name in ("whole", "half"))
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(half.state_dict()[name], weight, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("value", [70_000.0, float("nan")])
def test_weights_that_half_precision_cannot_hold_are_refused(trained, tmp_path, value):
    model = MusicVAEModel.from_pretrained(trained)
    with torch.no_grad():
        model.latent_mean.bias[0] = value
    with pytest.raises(ValueError, match=r"latent_mean.bias reach beyond .* --half"):
        bundle.save_model(model, tmp_path / "half", half=True)
    assert not (tmp_path / "half").exists()


def test_bundling_with_another_drum_map(trained, tmp_path):
    bundle.main(["--model", str(trained), "--output", str(tmp_path / "bundled"), "--drum-map", "roland"])
    assert MusicVAEProcessor.from_pretrained(tmp_path / "bundled").drum_classes[1] == [38, 37, 40]


def test_fine_tuning_starts_from_the_given_weights(midi_folder, trained, tmp_path):
    before = load_file(trained / "model.safetensors")
    train.main(
        [
            *train_command(midi_folder, tmp_path / "tuned", "--init-from", str(trained), "--learning-rate", "1e-12"),
            "--minimum-learning-rate",
            "1e-12",
        ]
    )
    tuned = load_file(tmp_path / "tuned/model.safetensors")
    for name, value in before.items():
        torch.testing.assert_close(tuned[name], value, rtol=0, atol=1e-9)
    assert MusicVAEConfig.from_pretrained(tmp_path / "tuned").latent_size == 8


def test_fine_tuning_a_converted_checkpoint_reads_files_in_musical_mode(midi_folder, trained, tmp_path):
    processor = MusicVAEProcessor.from_pretrained(trained)
    processor.mode = "original"  # as converters write it
    processor.save_pretrained(trained)
    for more, mode in (([], "musical"), (["--mode", "original"], "original")):
        output = tmp_path / mode
        train.main(train_command(midi_folder, output, "--init-from", str(trained), *more))
        assert MusicVAEProcessor.from_pretrained(output).mode == mode


def test_fine_tuning_may_change_numbers_of_the_loss(midi_folder, trained, tmp_path):
    train.main(train_command(midi_folder, tmp_path / "tuned", "--init-from", str(trained), "--override", "max_beta=0.7"))
    assert MusicVAEConfig.from_pretrained(tmp_path / "tuned").max_beta == 0.7


@pytest.mark.parametrize("pair", ["latent_size", "size=3", "=3"])
def test_overrides_that_name_no_number_are_refused(pair):
    with pytest.raises(ValueError, match="latent_size"):
        train.parse_overrides([pair])


def test_data_without_examples_is_an_error_before_any_model_is_built(midi_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "MusicVAEModel", None)  # building one would fail otherwise
    with pytest.raises(NoTrainingDataError, match=r"no drums examples .* this model reads drums .*rejected\.jsonl"):
        train.main(train_command(midi_folder, tmp_path / "run", "--preset", "cat-drums_2bar_small"))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_unknown_split_names_those_there_are(midi_folder, tmp_path):
    with pytest.raises(NoTrainingDataError, match=r"split 'tran': .* train"):
        train.main(train_command(midi_folder, tmp_path / "run", "--train-split", "tran"))


def test_evaluation_on_a_split_without_files_says_so(midi_folder, trained):
    with pytest.raises(NoTrainingDataError, match="'nothing'"):
        evaluate.main(["--model", str(trained), "--data", str(midi_folder), "--split", "nothing"])

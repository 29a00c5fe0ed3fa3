"""Damaged or wrong checkpoints are refused by `from_pretrained` and by `publish` with one clear sentence."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from hub_models import MusicVAEModel, MusicVAEProcessor
from hub_models.hub import HubError, write_model_repository


@pytest.fixture
def source(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "source")


def assert_clear(error: BaseException) -> None:
    message = str(error)
    assert "Traceback" not in message
    assert "above report" not in message
    assert len(message) < 500


def change_weights(folder, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder, **values) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_weights(source, tmp_path, keep):
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="are damaged") as caught:
        MusicVAEModel.from_pretrained(source)
    assert_clear(caught.value)
    with pytest.raises(HubError, match="is no readable safetensors file"):
        write_model_repository(source, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def rename(weights):
    weights["decoder.novelty"] = weights.pop("latent_mean.bias")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda weights: weights.pop("latent_mean.bias"), r"1 missing \(such as latent_mean.bias\)"),
        (lambda weights: weights.update(novelty=torch.zeros(2)), r"1 unexpected \(such as novelty\)"),
        (lambda weights: weights.update({"latent_mean.bias": torch.zeros(3, 3)}), r"1 of another shape"),
        (rename, r"1 missing \(such as latent_mean.bias\), 1 unexpected \(such as decoder.novelty\)"),
    ],
    ids=["missing", "unexpected", "shape", "renamed"],
)
def test_weights_that_do_not_fit(source, tmp_path, change, problem):
    change_weights(source, change)
    with pytest.raises(ValueError, match=f"do not fit the configuration: tensors {problem}") as caught:
        MusicVAEModel.from_pretrained(source)
    assert_clear(caught.value)
    with pytest.raises(HubError, match=problem):
        write_model_repository(source, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_configuration_of_another_size(source):
    change_config(source, latent_size=7)
    with pytest.raises(ValueError, match="tensors 6 of another shape") as caught:
        MusicVAEModel.from_pretrained(source)
    assert_clear(caught.value)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"latent_size": -3}, "latent_size must be between 1 and"),
        ({"latent_size": 10**9}, "latent_size must be between 1 and"),
        ({"latent_size": "big"}, "latent_size"),
        ({"decoder_hidden_sizes": ["wide"]}, "decoder_hidden_sizes"),
        ({"max_beta": float("nan")}, "max_beta must be between"),
        ({"sampling_schedule": "sometimes"}, "sampling_schedule must be one of"),
    ],
)
def test_nonsense_in_the_configuration(source, tmp_path, values, problem):
    change_config(source, **values)
    with pytest.raises(Exception, match=problem) as caught:  # a StrictDataclassError or a ValueError
        MusicVAEModel.from_pretrained(source)
    assert_clear(caught.value)
    with pytest.raises(HubError, match=problem):
        write_model_repository(source, tmp_path / "output")


@pytest.mark.parametrize("text", ["", "{", "\x00\x01", "not json"])
def test_configuration_that_is_no_json(source, tmp_path, text):
    (source / "config.json").write_text(text)
    with pytest.raises(OSError, match="not a valid JSON file") as caught:
        MusicVAEModel.from_pretrained(source)
    assert_clear(caught.value)
    with pytest.raises(HubError, match="JSON"):
        write_model_repository(source, tmp_path / "output")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"representation": "cheese"}, "representation must be one of"),
        ({"num_bars": 10**9}, "num_bars must be"),
        ({"mode": "fast"}, "mode must be one of"),
        ({"min_pitch": 200}, "min_pitch and max_pitch"),
    ],
)
def test_nonsense_in_the_processor_configuration(source, values, problem):
    path = source / "processor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    with pytest.raises(ValueError, match=problem) as caught:
        MusicVAEProcessor.from_pretrained(source)
    assert_clear(caught.value)


def test_models_of_others_are_not_published(source, tmp_path):
    for model_type in ("bert", "../music_vae", None, 7):
        change_config(source, model_type=model_type)
        with pytest.raises(HubError, match=r"holds a model of type .*; Encore publishes jukebox, music_vae, tra"):
            write_model_repository(source, tmp_path / "output")


def test_weights_that_are_not_numbers_are_not_published(source, tmp_path):
    change_weights(source, lambda weights: weights["latent_mean.bias"].fill_(float("nan")))
    with pytest.raises(HubError, match="not all finite numbers"):
        write_model_repository(source, tmp_path / "output")

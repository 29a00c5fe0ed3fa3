"""Pipelines that cannot be published are refused with one sentence, and nothing is written."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_refusals import one_sentence
from tiny_pipelines import change_json

from hub_models.hub import HubError, write_model_repository

WEIGHTS = "model/diffusion_pytorch_model.safetensors"
SETTINGS = ("model/config.json", "scheduler/scheduler_config.json", "feature_extractor/preprocessor_config.json")
BIAS = "output_conv.bias"


@pytest.fixture
def source(pipeline_folder, tmp_path):
    return shutil.copytree(pipeline_folder, tmp_path / "source")


def refused(source, tmp_path, problem) -> None:
    with pytest.raises(HubError, match=problem) as caught:
        write_model_repository(source, tmp_path / "output")
    assert one_sentence(str(caught.value))
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("name", ["weights.pt", "model/diffusion_pytorch_model.bin", "scheduler/extra.PKL"])
def test_pickles_are_refused(source, tmp_path, name):
    (source / name).write_bytes(b"\x80\x04.")
    refused(source, tmp_path, rf"pickle files \({name}\).*safetensors only")


@pytest.mark.parametrize("name", [WEIGHTS, *SETTINGS])
def test_incomplete_folders_are_refused(source, tmp_path, name):
    (source / name).unlink()
    refused(source, tmp_path, f"no complete checkpoint: {name} missing; write it with pipeline.save_pretrained")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda weights: weights.pop(BIAS), rf"tensors 1 missing \(such as {BIAS}\)"),
        (lambda weights: weights.update(novelty=torch.zeros(2)), r"tensors 1 unexpected \(such as novelty\)"),
        (lambda weights: weights.update({BIAS: torch.zeros(3, 3)}), r"tensors 1 of another shape"),
        (lambda weights: weights[BIAS].fill_(float("nan")), "not all finite numbers"),
        (lambda weights: weights[BIAS].fill_(float("inf")), "not all finite numbers"),
    ],
    ids=["missing", "unexpected", "shape", "nan", "inf"],
)
def test_weights_that_do_not_fit_are_refused(source, tmp_path, change, problem):
    weights = load_file(source / WEIGHTS)
    change(weights)
    save_file(weights, source / WEIGHTS, metadata={"format": "pt"})
    refused(source, tmp_path, problem)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_weights_are_refused(source, tmp_path, keep):
    (source / WEIGHTS).write_bytes((source / WEIGHTS).read_bytes()[:keep])
    refused(source, tmp_path, "safetensors|does not load")


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ({"_class_name": "StableDiffusionPipeline"}, "class 'StableDiffusionPipeline'; Encore publishes WaveGradPipeline"),
        ({"_class_name": None}, "class None; Encore publishes WaveGradPipeline"),
        ({"_class_name": []}, r"class \[\]; Encore publishes WaveGradPipeline"),
        ({"model": None}, "must name library and class of 'model', not None"),
        ({"model": ["modeling_wavegrad", 7]}, "must name library and class of 'model'"),
        ({"scheduler": ["diffusers", "DDPMScheduler"]}, "a scheduler from 'diffusers'; Encore publishes its own"),
        ({"scheduler": ["os", "system"]}, "a scheduler from 'os'; Encore publishes its own"),
        ({"scheduler": ["hub_models.wavegrad.data", "CropDataset"]}, "Encore publishes its own components only"),
        ({"scheduler": ["configuration_wavegrad", "preset"]}, "a scheduler of class 'preset'"),
        ({"model": ["modeling_wavegrad", "WaveGrad"]}, "a model of class 'WaveGrad', which modeling_wavegrad.py does not"),
    ],
)
def test_pipelines_of_others_are_not_published(source, tmp_path, index, problem):
    change_json(source / "model_index.json", **index)
    refused(source, tmp_path, problem)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "model/config.json",
        "scheduler/scheduler_config.json",
        "feature_extractor/preprocessor_config.json",
    ],
)
@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_broken_json_is_refused(source, tmp_path, name, text):
    (source / name).write_text(text)
    refused(source, tmp_path, "JSON|does not load")


def test_settings_that_belong_to_another_model_are_refused(source, tmp_path):
    """The spectrograms of a pipeline and the weights in it must go together: with others it gives noise."""
    change_json(source / "feature_extractor" / "preprocessor_config.json", window_normalized=False)
    refused(source, tmp_path, "does not load: .*window_normalized False instead of True")


def test_impossible_schedules_are_refused(source, tmp_path):
    path = source / "scheduler" / "scheduler_config.json"
    schedules = json.loads(path.read_text())["schedules"]
    change_json(path, schedules=schedules | {"broken": [0.1, 7.0]})
    refused(source, tmp_path, "does not load: .*broken")


def test_an_invalid_card_of_the_folder_is_refused(source, tmp_path):
    (source / "README.md").write_text("---\nlicense: free-for-all\n---\n# My vocoder\n")
    refused(source, tmp_path, "license 'free-for-all' is not one of")

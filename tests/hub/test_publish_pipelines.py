"""Pipelines through a local Hub: published, pushed, loaded again with and without Encore."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_measure_pipeline import measure
from safetensors.torch import load_file
from tiny_pipelines import change_json, tiny_pipeline

from hub_models.hub import write_model_repository
from hub_models.hub.__main__ import main
from hub_models.hub.cards import render_card
from hub_models.wavegrad import WaveGradPipeline

HERE = Path(__file__).resolve().parent
NAME = "wavegrad-music-22khz"
WEIGHTS = "model/diffusion_pytorch_model.safetensors"
CODE = {
    "pipeline_wavegrad.py",
    "model/modeling_wavegrad.py",
    "scheduler/scheduling_wavegrad.py",
    "feature_extractor/feature_extraction_wavegrad.py",
}
SETTINGS = {
    "model_index.json",
    "model/config.json",
    "scheduler/scheduler_config.json",
    "feature_extractor/preprocessor_config.json",
}


@pytest.fixture(scope="module")
def expected(pipeline_folder):
    return measure(WaveGradPipeline.from_pretrained(pipeline_folder))


def assert_same(path, expected, prefix=""):
    found = np.load(path)
    for name, array in expected.items():
        np.testing.assert_allclose(found[prefix + name], array, rtol=0, atol=1e-5, err_msg=prefix + name)


def test_published_pipeline_loads_with_and_without_encore(hub, run_client, pipeline_folder, expected, tmp_path):
    client = run_client("-m", "hub_models.hub", "publish", pipeline_folder, "someone/vocoder", "--license", "cc-by-4.0")
    assert client.returncode == 0, client.stderr
    assert client.stdout.strip() == f"Published {hub.url}/someone/vocoder"
    repository = hub.repositories["models", "someone/vocoder"]
    assert len(repository.messages) == 1, "one commit"
    files = dict(repository.files())
    assert set(files) == CODE | SETTINGS | {WEIGHTS, "README.md", "metrics.json"}
    index = json.loads(files["model_index.json"])
    index.pop("_diffusers_version")
    assert index == {
        "_class_name": ["pipeline_wavegrad", "WaveGradPipeline"],
        "model": ["modeling_wavegrad", "WaveGradModel"],
        "scheduler": ["scheduling_wavegrad", "WaveGradScheduler"],
        "feature_extractor": ["feature_extraction_wavegrad", "WaveGradFeatureExtractor"],
    }
    assert "library_name: diffusers" in files["README.md"].decode()

    # What was not there when the repository was new, and must not be in the way of the next publication.
    repository.files()["model/modeling_old.py"] = b"raise RuntimeError('old')"
    repository.files()["notes.md"] = b"written on the web page"
    client = run_client("-m", "hub_models.hub", "publish", pipeline_folder, "someone/vocoder")
    assert client.returncode == 0, client.stderr
    assert set(repository.files()) == set(files) | {"notes.md"}

    example = tmp_path / "example.py"
    card = render_card(NAME, folder=pipeline_folder, repository="someone/vocoder")
    example.write_text(re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)[-1])
    requests = len(hub.requests)
    script = HERE / "hub_measure_pipeline.py"
    client = run_client("-I", script, "someone/vocoder", tmp_path / "saved", tmp_path / "found.npz", example, token=None)
    assert client.returncode == 0, client.stderr
    assert_same(tmp_path / "found.npz", expected)
    assert_same(tmp_path / "found.npz", expected, "again_")
    fetched = re.findall(r"GET /someone/vocoder/resolve/\w+/(\S+\.py)", "\n".join(hub.requests[requests:]))
    assert set(fetched) == CODE

    script = HERE / "hub_push_pipeline.py"
    client = run_client(script, pipeline_folder, "someone/pushed-vocoder", "someone/vocoder", tmp_path / "own.npz")
    assert client.returncode == 0, client.stderr
    assert_same(tmp_path / "own.npz", expected, "pushed_")
    assert_same(tmp_path / "own.npz", expected, "published_")
    assert not [name for name in hub.model_files("someone/pushed-vocoder") if name.endswith(".py")]


def test_dry_run_lists_what_is_left_out(pipeline_folder, tmp_path, capsys):
    source = shutil.copytree(pipeline_folder, tmp_path / "source")
    (source / "checkpoints").mkdir()
    (source / "checkpoints" / "optimizer.bin").write_bytes(b"\x80\x04.")
    (source / "data_summary.json").write_text('{"rejected": "/home/someone/private"}')
    (source / "model" / "training.log").write_text("step 1\n")
    (source / "model" / "modeling_old.py").write_text("raise RuntimeError('code of the source is not taken over')")
    (source / "sample.wav").write_bytes(b"RIFF")
    output = tmp_path / "repository"
    assert main(["publish", str(source), "someone/vocoder", "--dry-run", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "nothing was uploaded" in printed
    assert "\n  model/modeling_wavegrad.py\n" in printed
    assert "Not part of the repository: checkpoints/, data_summary.json, model/training.log" in printed
    assert (output / "sample.wav").is_file()
    assert not (output / "model" / "modeling_old.py").exists()


def test_a_published_folder_can_be_published_again(pipeline_folder, tmp_path):
    first = write_model_repository(pipeline_folder, tmp_path / "first")
    second = write_model_repository(tmp_path / "first", tmp_path / "second")
    assert first.files == second.files
    assert not second.left_out
    for name in first.files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_the_code_is_that_of_encore(pipeline_folder, tmp_path):
    """Not that of the folder, which may be older, or someone else's."""
    first = write_model_repository(pipeline_folder, tmp_path / "first").folder
    for name in CODE:
        (first / name).write_text("raise RuntimeError('not to be run')\n")
    second = write_model_repository(first, tmp_path / "second").folder
    for name in CODE:
        own = HERE.parents[1] / "hub_models" / "wavegrad" / Path(name).name
        assert (second / name).read_bytes() == own.read_bytes()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_number_format_stays(pipeline_folder, tmp_path, dtype):
    pipeline = WaveGradPipeline.from_pretrained(pipeline_folder)
    pipeline.model.to(dtype)
    pipeline.save_pretrained(tmp_path / "source")
    folder = write_model_repository(tmp_path / "source", tmp_path / "repository").folder
    before, after = load_file(tmp_path / "source" / WEIGHTS), load_file(folder / WEIGHTS)
    assert set(before) == set(after)
    assert all(tensor.dtype == dtype for tensor in after.values())
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert WaveGradPipeline.from_pretrained(folder).model.dtype == torch.float32


def test_nothing_of_the_machine_is_published(pipeline_folder, tmp_path):
    WaveGradPipeline.from_pretrained(pipeline_folder).save_pretrained(tmp_path / "source")
    change_json(tmp_path / "source" / "model" / "config.json", _name_or_path="/home/someone/private")
    folder = write_model_repository(tmp_path / "source", tmp_path / "repository").folder
    for path in folder.rglob("*.json"):
        assert "_name_or_path" not in json.loads(path.read_text()), path


def test_schedules_and_spectrogram_settings_travel(tmp_path):
    pipeline = tiny_pipeline(f_min=40.0)
    pipeline.scheduler = pipeline.scheduler.with_schedule("mine", [1e-4, 0.01, 0.3], default=True)
    pipeline.save_pretrained(tmp_path / "source")
    folder = write_model_repository(tmp_path / "source", tmp_path / "repository").folder
    loaded = WaveGradPipeline.from_pretrained(folder)
    assert loaded.scheduler.config.default_schedule == "mine"
    assert loaded.scheduler.schedule_betas("mine").tolist() == [1e-4, 0.01, 0.3]
    assert loaded.feature_extractor.mel_settings == pipeline.feature_extractor.mel_settings

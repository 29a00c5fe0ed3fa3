"""Round trips through a local Hub: pushed, published, loaded again with and without Encore."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_measure import measure
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

from hub_models import MusicVAEModel, MusicVAEProcessor
from hub_models.hub import render_card, write_model_repository
from hub_models.hub.__main__ import main

HERE = Path(__file__).resolve().parent
NAME = "music-vae-mel-2bar"


@pytest.fixture(scope="module")
def expected(checkpoint, song):
    return measure(MusicVAEModel.from_pretrained(checkpoint), MusicVAEProcessor.from_pretrained(checkpoint), song)


def assert_same(path, expected):
    found = np.load(path)
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6, err_msg=name)


def code_blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)


def example_script(folder: Path, repository: str, checkpoint: Path, song: Path, block: int) -> Path:
    """A code block of the model card, for a repository of the local Hub and a file that exists."""
    code = code_blocks(render_card(NAME, folder=checkpoint, repository=repository))[block]
    path = folder / "example.py"
    path.write_text(code.replace("my-song.mid", str(song)))
    return path


def test_push_to_hub_and_back(hub, run_client, checkpoint, song, expected, tmp_path):
    example = example_script(tmp_path, "someone/pushed", checkpoint, song, block=0)
    client = run_client(HERE / "hub_push.py", checkpoint, "someone/pushed", song, tmp_path / "found.npz", example)
    assert client.returncode == 0, client.stderr
    files = hub.model_files("someone/pushed")
    assert {"config.json", "model.safetensors", "processor_config.json"} <= set(files)
    assert not [name for name in files if name.endswith(".py")]
    assert_same(tmp_path / "found.npz", expected)


def test_published_model_loads_without_encore(hub, run_client, checkpoint, song, expected, tmp_path):
    client = run_client("-m", "hub_models.hub", "publish", checkpoint, "someone/published", "--license", "cc-by-4.0")
    assert client.returncode == 0, client.stderr
    assert client.stdout.strip() == f"Published {hub.url}/someone/published"

    repository = hub.repositories["models", "someone/published"]
    assert len(repository.messages) == 1, "one commit"
    files = repository.files()
    assert set(files) >= {
        "README.md",
        "attribute_vectors.safetensors",
        "config.json",
        "configuration_music_vae.py",
        "metrics.json",
        "model.safetensors",
        "modeling_music_vae.py",
        "processing_music_vae.py",
        "processor_config.json",
    }
    assert json.loads(files["config.json"])["auto_map"] == {
        "AutoConfig": "configuration_music_vae.MusicVAEConfig",
        "AutoModel": "modeling_music_vae.MusicVAEModel",
    }
    assert json.loads(files["processor_config.json"])["auto_map"] == {
        "AutoProcessor": "processing_music_vae.MusicVAEProcessor"
    }

    example = example_script(tmp_path, "someone/published", checkpoint, song, block=1)
    script = HERE / "hub_measure.py"
    client = run_client("-I", script, "someone/published", song, tmp_path / "found.npz", example, token=None)
    assert client.returncode == 0, client.stderr
    assert_same(tmp_path / "found.npz", expected)


def test_dry_run_writes_what_would_be_uploaded(checkpoint, tmp_path, capsys):
    output = tmp_path / "repository"
    source = tmp_path / "source"
    shutil.copytree(checkpoint, source)
    (source / "checkpoints").mkdir()
    (source / "data_summary.json").write_text('{"rejected": "/home/someone/private"}')
    (source / "example.mid").write_bytes(b"MThd")
    (source / "modeling_old.py").write_text("raise RuntimeError('code of the source folder is not taken over')")
    assert main(["publish", str(source), "someone/model", "--dry-run", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "nothing was uploaded" in printed
    assert "modeling_music_vae.py" in printed
    assert "Not part of the repository: checkpoints/, data_summary.json" in printed
    assert (output / "example.mid").is_file()
    assert not (output / "modeling_old.py").exists()
    weights, copied = load_file(checkpoint / "model.safetensors"), load_file(output / "model.safetensors")
    assert set(weights) == set(copied)
    assert all(torch.equal(weights[name], copied[name]) for name in weights)


def test_where_encore_is_installed_its_own_classes_load_a_published_model(checkpoint, tmp_path):
    folder = write_model_repository(checkpoint, tmp_path / "repository").folder
    assert type(AutoModel.from_pretrained(folder, trust_remote_code=True)) is MusicVAEModel
    assert type(AutoProcessor.from_pretrained(folder, trust_remote_code=True)) is MusicVAEProcessor


def test_publishing_leaves_save_pretrained_free_of_code(checkpoint, tmp_path):
    write_model_repository(checkpoint, tmp_path / "repository")
    model = MusicVAEModel.from_pretrained(checkpoint)
    model.save_pretrained(tmp_path / "plain")
    MusicVAEProcessor.from_pretrained(checkpoint).save_pretrained(tmp_path / "plain")
    assert not list((tmp_path / "plain").glob("*.py"))
    for name in ("config.json", "processor_config.json"):
        assert "auto_map" not in json.loads((tmp_path / "plain" / name).read_text())


def test_a_published_folder_can_be_published_again(checkpoint, tmp_path):
    first = write_model_repository(checkpoint, tmp_path / "first")
    second = write_model_repository(tmp_path / "first", tmp_path / "second")
    assert first.files == second.files
    for name in ("config.json", "processor_config.json", "model.safetensors"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name

"""A Transformer Autoencoder through a local Hub: pushed, published, and loaded and played with and without Encore."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hub_measure import measure
from tiny_performers import write_performance, write_performer
from transformers import AutoModel, AutoProcessor, AutoTokenizer

from hub_models import (
    PerformanceTokenizer,
    TransformerAutoencoderForConditionalGeneration,
    TransformerAutoencoderProcessor,
)
from hub_models.hub import render_card, write_model_repository
from hub_models.hub.__main__ import main

HERE = Path(__file__).resolve().parent
NAME = "transformer-autoencoder-piano"


@pytest.fixture(scope="module")
def performance(tmp_path_factory):
    return write_performance(tmp_path_factory.mktemp("performance") / "my-performance.mid")


@pytest.fixture(scope="module")
def expected(performer, performance):
    model = TransformerAutoencoderForConditionalGeneration.from_pretrained(performer)
    return measure(model, TransformerAutoencoderProcessor.from_pretrained(performer), performance)


def assert_same(path, expected):
    found = np.load(path)
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5, err_msg=name)
    assert found["sampled"].shape[1] > 100
    assert len(found["notes"])


def example_script(folder: Path, repository: str, performer: Path, performance: Path, block: int) -> Path:
    """A code block of the model card, for a repository of the local Hub and a file that exists."""
    code = re.findall(r"```python\n(.*?)```", render_card(NAME, folder=performer, repository=repository), flags=re.DOTALL)
    path = folder / "example.py"
    path.write_text(re.sub(r"my-(performance|song)\.mid", str(performance), code[block]))
    return path


def test_push_to_hub_and_back(hub, run_client, performer, performance, expected, tmp_path):
    example = example_script(tmp_path, "someone/pushed-performer", performer, performance, block=0)
    arguments = (performer, "someone/pushed-performer", performance, tmp_path / "found.npz", example)
    client = run_client(HERE / "hub_push.py", *arguments)
    assert client.returncode == 0, client.stderr
    files = hub.model_files("someone/pushed-performer")
    wanted = {"config.json", "generation_config.json", "model.safetensors", "processor_config.json", "tokenizer_config.json"}
    assert wanted <= set(files)
    assert not [name for name in files if name.endswith(".py")]
    assert_same(tmp_path / "found.npz", expected)


def test_published_model_plays_without_encore(hub, run_client, performer, performance, expected, tmp_path):
    arguments = ("publish", performer, "someone/performer", "--license", "cc-by-nc-sa-4.0")
    client = run_client("-m", "hub_models.hub", *arguments)
    assert client.returncode == 0, client.stderr
    repository = hub.repositories["models", "someone/performer"]
    assert len(repository.messages) == 1, "one commit"
    files = repository.files()
    assert set(files) >= {
        "README.md",
        "attention.py",
        "config.json",
        "configuration_transformer_autoencoder.py",
        "generation_config.json",
        "melody_inference.py",
        "metrics.json",
        "metrics_unconditional.json",
        "model.safetensors",
        "modeling_transformer_autoencoder.py",
        "performance_events.py",
        "processing_transformer_autoencoder.py",
        "processor_config.json",
        "tokenization_transformer_autoencoder.py",
        "tokenizer_config.json",
    }
    assert not {"train.py", "evaluate.py", "data.py", "bundle.py"} & set(files)
    assert json.loads(files["config.json"])["auto_map"] == {
        "AutoConfig": "configuration_transformer_autoencoder.TransformerAutoencoderConfig",
        "AutoModel": "modeling_transformer_autoencoder.TransformerAutoencoderForConditionalGeneration",
    }
    assert json.loads(files["tokenizer_config.json"])["auto_map"]["AutoTokenizer"] == [
        "tokenization_transformer_autoencoder.PerformanceTokenizer",
        None,
    ]
    assert json.loads(files["generation_config.json"])["temperature"] == 0.9

    example = example_script(tmp_path, "someone/performer", performer, performance, block=-1)
    script = HERE / "hub_measure.py"
    client = run_client("-I", script, "someone/performer", performance, tmp_path / "found.npz", example, token=None)
    assert client.returncode == 0, client.stderr
    assert_same(tmp_path / "found.npz", expected)


def test_the_tokenizer_of_a_published_model_loads_by_itself_without_encore(run_client, performer, tmp_path):
    folder = write_model_repository(performer, tmp_path / "repository").folder
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from hub_measure import NoEncore\n"
        "sys.meta_path.insert(0, NoEncore)\n"
        "from transformers import AutoTokenizer\n"
        f"tokenizer = AutoTokenizer.from_pretrained({str(folder)!r}, trust_remote_code=True)\n"
        "print(tokenizer.convert_tokens_to_ids(['NOTE_ON_60', 'TIME_SHIFT_100', 'VELOCITY_32']))\n"
    )
    client = run_client("-I", "-c", script, token=None)
    assert client.returncode == 0, client.stderr
    assert client.stdout.splitlines()[-1] == "[41, 277, 309]"


def test_where_encore_is_installed_its_own_classes_load_a_published_model(performer, tmp_path):
    folder = write_model_repository(performer, tmp_path / "repository").folder
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    assert type(model) is TransformerAutoencoderForConditionalGeneration
    assert type(AutoProcessor.from_pretrained(folder, trust_remote_code=True)) is TransformerAutoencoderProcessor
    # Of tokenizers, transformers takes the repository's code where it is trusted, whatever is installed.
    assert type(AutoProcessor.from_pretrained(folder).tokenizer) is PerformanceTokenizer
    assert type(AutoTokenizer.from_pretrained(folder)) is PerformanceTokenizer


def test_publishing_leaves_save_pretrained_free_of_code(performer, tmp_path):
    write_model_repository(performer, tmp_path / "repository")
    TransformerAutoencoderForConditionalGeneration.from_pretrained(performer).save_pretrained(tmp_path / "plain")
    TransformerAutoencoderProcessor.from_pretrained(performer).save_pretrained(tmp_path / "plain")
    assert not list((tmp_path / "plain").glob("*.py"))
    for path in (tmp_path / "plain").glob("*.json"):
        assert "auto_map" not in json.loads(path.read_text()), path.name


def test_a_published_folder_can_be_published_again(performer, tmp_path):
    first = write_model_repository(performer, tmp_path / "first")
    second = write_model_repository(tmp_path / "first", tmp_path / "second")
    assert first.files == second.files
    for name in first.files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    for name in ("is_local", "local_files_only"):
        assert name not in json.loads((tmp_path / "first" / "tokenizer_config.json").read_text())


def test_dry_run_leaves_what_belongs_to_training_at_home(performer, tmp_path, capsys):
    source = shutil.copytree(performer, tmp_path / "source")
    (source / "checkpoints").mkdir()
    (source / "train_log.jsonl").write_text('{"data": "/home/someone/private"}')
    output = tmp_path / "repository"
    assert main(["publish", str(source), "someone/model", "--dry-run", "--output", str(output)]) == 0
    assert "Not part of the repository: checkpoints/, train_log.jsonl" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["unconditional", "melody"])
def test_every_kind_can_be_published(kind, tmp_path):
    written = write_model_repository(write_performer(tmp_path / "model", kind), tmp_path / "repository")
    assert "modeling_transformer_autoencoder.py" in written.files
    assert "A `transformer_autoencoder` model" in (written.folder / "README.md").read_text()

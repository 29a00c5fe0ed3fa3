"""Bundled models are found by name, whatever has been imported before."""

import json
import re
import subprocess
import sys

import pytest
from tiny_jukeboxes import write_jukebox
from tiny_models import write_checkpoint
from tiny_performers import write_performer

from hub_models.bundled import BUNDLED_FOLDER, bundled, list_bundled, read_index

# The full network of a vocoder in half precision is bigger than the others; a Jukebox is four networks.
MAX_BYTES = {"wavegrad": 34e6, "jukebox": 60e6}
MAX_BYTES_OF_OTHERS = 20e6


@pytest.fixture
def some_bundled(tmp_path, monkeypatch):
    """A folder of bundled models with three entries, two of them trained: a model and a pipeline."""
    module = sys.modules["hub_models.bundled"]
    descriptions = {"tiny": "A tiny model.", "untrained": "Not there yet.", "vocoder": "A tiny pipeline."}
    (tmp_path / "index.json").write_text(json.dumps({key: {"description": text} for key, text in descriptions.items()}))
    for name, file, content in (("tiny", "config.json", {"model_type": "music_vae"}), ("vocoder", "model_index.json", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(json.dumps(content))
    monkeypatch.setattr(module, "BUNDLED_FOLDER", tmp_path)
    return tmp_path


def test_listed_with_one_line_each(some_bundled):
    assert [tuple(model) for model in list_bundled()] == [
        ("tiny", "A tiny model.", some_bundled / "tiny"),
        ("vocoder", "A tiny pipeline.", some_bundled / "vocoder"),
    ]
    assert [model.is_pipeline for model in list_bundled()] == [False, True]
    assert [model.model_type for model in list_bundled()] == ["music_vae", None]


@pytest.mark.parametrize("name", ["tiny", "vocoder"])
def test_found_by_name(some_bundled, name):
    assert bundled(name) == some_bundled / name


@pytest.mark.parametrize("name", ["untrained", "no-such-model", "../tiny", "index.json", ""])
def test_unknown_names_say_what_exists(some_bundled, name):
    with pytest.raises(ValueError, match=r"There is no bundled model .*; bundled models: tiny, vocoder"):
        bundled(name)


def test_index_is_complete():
    for name, entry in read_index().items():
        assert entry["description"].splitlines() == [entry["description"].strip()], name
        assert {"title", "template", "preset", "data_sources", "recipe", "training_budget", "tags", "paper_figures"} <= set(
            entry
        ), name


def test_every_bundled_folder_is_in_the_index_and_small():
    folders = {path.name for path in BUNDLED_FOLDER.iterdir() if path.is_dir() and [*path.glob("*.json")]}
    assert folders <= set(read_index())
    for name in folders:
        files = [path for path in (BUNDLED_FOLDER / name).rglob("*") if path.is_file()]
        is_pipeline = (BUNDLED_FOLDER / name / "model_index.json").is_file()
        library_name = read_index()[name].get("library_name", "transformers")
        assert library_name == ("diffusers" if is_pipeline else "transformers"), name
        assert not [path.name for path in files if path.suffix in (".py", ".md", ".bin", ".pt", ".pkl")], name
        most = MAX_BYTES.get(read_index()[name]["template"], MAX_BYTES_OF_OTHERS)
        assert sum(path.stat().st_size for path in files) <= most, name
        for path in files:
            if path.suffix == ".json":  # nothing of the machine that trained it
                assert not re.search(r'"(/|~|[A-Z]:\\)', path.read_text()), path


@pytest.mark.parametrize("kind", ["jukebox", "music_vae", "transformer_autoencoder"])
def test_the_auto_classes_know_a_bundled_model_of_any_kind(kind, tmp_path):
    """In a process that has imported nothing of Encore but the list of models."""
    if kind == "music_vae":
        write_checkpoint(tmp_path / "tiny", "cat-mel_2bar_small")
    elif kind == "jukebox":
        write_jukebox(tmp_path / "tiny")
    else:
        write_performer(tmp_path / "tiny", "melody_performance")
    (tmp_path / "index.json").write_text(json.dumps({"tiny": {"description": "A tiny model."}}))
    script = (
        "import sys, pathlib, transformers, hub_models.bundled\n"
        "module = sys.modules['hub_models.bundled']\n"
        f"module.BUNDLED_FOLDER = pathlib.Path({str(tmp_path)!r})\n"
        "folder = module.bundled('tiny')\n"
        "for name in ('AutoModel', 'AutoProcessor'):\n"
        "    assert type(getattr(transformers, name).from_pretrained(folder)).__module__.startswith('hub_models.')\n"
        "kinds = {'jukebox', 'music_vae', 'transformer_autoencoder', 'wavegrad'}\n"
        "print(*sorted(kind for kind in kinds if f'hub_models.{kind}' in sys.modules))\n"
    )
    client = subprocess.run(
        [sys.executable, "-c", script], cwd=BUNDLED_FOLDER.parents[1], capture_output=True, text=True, timeout=120
    )
    assert client.returncode == 0, client.stderr
    assert client.stdout.split() == [kind], "and no other kind was imported"


def test_name_is_callable_before_and_after_the_module_is_imported():
    script = (
        "import hub_models\n"
        "def refused():\n"
        "    try: hub_models.bundled('no-such-model')\n"
        "    except ValueError: return True\n"
        "assert refused()\n"
        "import hub_models.bundled\n"
        "assert refused() and isinstance(hub_models.list_bundled(), list)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=BUNDLED_FOLDER.parents[1], timeout=60)

"""Bundled models are found by name, whatever has been imported before."""

import json
import re
import subprocess
import sys

import pytest

from hub_models.bundled import BUNDLED_FOLDER, bundled, list_bundled, read_index

# The full network of a vocoder in half precision is bigger than the others.
MAX_BYTES = {"transformers": 20e6, "diffusers": 34e6}


@pytest.fixture
def some_bundled(tmp_path, monkeypatch):
    """A folder of bundled models with three entries, two of them trained: a model and a pipeline."""
    module = sys.modules["hub_models.bundled"]
    descriptions = {"tiny": "A tiny model.", "untrained": "Not there yet.", "vocoder": "A tiny pipeline."}
    (tmp_path / "index.json").write_text(json.dumps({key: {"description": text} for key, text in descriptions.items()}))
    for name, file in (("tiny", "config.json"), ("vocoder", "model_index.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
    monkeypatch.setattr(module, "BUNDLED_FOLDER", tmp_path)
    return tmp_path


def test_listed_with_one_line_each(some_bundled):
    assert [tuple(model) for model in list_bundled()] == [
        ("tiny", "A tiny model.", some_bundled / "tiny"),
        ("vocoder", "A tiny pipeline.", some_bundled / "vocoder"),
    ]
    assert [model.is_pipeline for model in list_bundled()] == [False, True]


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
        assert sum(path.stat().st_size for path in files) <= MAX_BYTES[library_name], name
        for path in files:
            if path.suffix == ".json":  # nothing of the machine that trained it
                assert not re.search(r'"(/|~|[A-Z]:\\)', path.read_text()), path


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

"""Bundled models are found by name, whatever has been imported before."""

import json
import re
import subprocess
import sys

import pytest

from hub_models.bundled import BUNDLED_FOLDER, bundled, list_bundled, read_index


@pytest.fixture
def one_bundled(tmp_path, monkeypatch):
    """A folder of bundled models with two entries, one of them trained."""
    module = sys.modules["hub_models.bundled"]
    index = {"tiny": {"description": "A tiny model."}, "untrained": {"description": "Not there yet."}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    monkeypatch.setattr(module, "BUNDLED_FOLDER", tmp_path)
    return tmp_path


def test_listed_with_one_line_each(one_bundled):
    assert [tuple(model) for model in list_bundled()] == [("tiny", "A tiny model.", one_bundled / "tiny")]


def test_found_by_name(one_bundled):
    assert bundled("tiny") == one_bundled / "tiny"


@pytest.mark.parametrize("name", ["untrained", "no-such-model", "../tiny", "index.json", ""])
def test_unknown_names_say_what_exists(one_bundled, name):
    with pytest.raises(ValueError, match=r"There is no bundled model .*; bundled models: tiny"):
        bundled(name)


def test_index_is_complete():
    for name, entry in read_index().items():
        assert entry["description"].splitlines() == [entry["description"].strip()], name
        assert {"title", "template", "preset", "data_sources", "recipe", "training_budget", "tags", "paper_figures"} <= set(
            entry
        ), name


def test_every_bundled_folder_is_in_the_index_and_small():
    folders = {path.name for path in BUNDLED_FOLDER.iterdir() if (path / "config.json").is_file()}
    assert folders <= set(read_index())
    for name in folders:
        files = list((BUNDLED_FOLDER / name).iterdir())
        assert not [path.name for path in files if path.suffix in (".py", ".md", ".bin", ".pt", ".pkl")], name
        assert sum(path.stat().st_size for path in files) <= 20e6, name
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

"""The Space is assembled as a folder that runs on the Hub, and its metadata is valid."""

import re
from pathlib import Path

import pytest

from hub_models.hub import HubError, write_space
from hub_models.hub.__main__ import main
from hub_models.hub.spaces import APP, check_space, requirements

CHECKOUT = Path(__file__).resolve().parents[2]
FRONT_MATTER = """---
title: Studio
emoji: 🎹
colorFrom: indigo
colorTo: pink
sdk: gradio
sdk_version: 6.31.0
python_version: "3.11"
app_file: app.py
license: apache-2.0
short_description: Morph melodies and drums
---
"""
PROJECT = """
[project]
name = "encore-music"
version = "0.1"
dependencies = ["torch==2.11.*", "pretty_midi>=0.2.10"]
[project.optional-dependencies]
demo = ["encore-music[sound]", "gradio>=6,<7"]
sound = ["symusic==0.5.*"]
train = ["accelerate"]
"""


@pytest.fixture
def checkout(tmp_path):
    """A small repository with a Space in it."""
    root = tmp_path / "checkout"
    app = root / APP
    (app / "__pycache__").mkdir(parents=True)
    (app / "app.py").write_text("print('hello')\n")
    (app / "morph.py").write_text("")
    (app / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"")
    (app / "README.md").write_text(FRONT_MATTER + "# Studio\n")
    (root / "pyproject.toml").write_text(PROJECT)
    return root


def test_space_holds_app_package_and_requirements(checkout, tmp_path):
    files = write_space(tmp_path / "space", checkout=checkout)
    assert {"README.md", "app.py", "morph.py", "requirements.txt", "hub_models/__init__.py"} <= set(files)
    assert "hub_models/bundled/index.json" in files
    assert not [name for name in files if "__pycache__" in name]
    lines = (tmp_path / "space" / "requirements.txt").read_text().splitlines()
    assert lines == ["torch==2.11.*", "pretty_midi>=0.2.10", "symusic==0.5.*", "gradio>=6,<7"]
    assert check_space(tmp_path / "space") == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("sdk: gradio", "sdk: docker", "sdk must be gradio"),
        ("app_file: app.py", "app_file: main.py", "app_file 'main.py' does not exist"),
        ("sdk_version: 6.31.0", "sdk_version: latest", "sdk_version 'latest' is no version"),
        ('python_version: "3.11"', "python_version: 3.11", "python_version must be in quotes"),
        ("colorTo: pink", "colorTo: crimson", "colorTo 'crimson' is not one of"),
        ("title: Studio", "titel: Studio", "title is missing"),
        ("title: Studio", "title: [Studio", "front matter cannot be read"),
        ("---\ntitle", "title", "has no YAML front matter"),
        ("Morph melodies", "Morph " * 20, "more than 60 characters"),
    ],
)
def test_invalid_metadata_is_refused(checkout, tmp_path, old, new, problem):
    (checkout / APP / "README.md").write_text(FRONT_MATTER.replace(old, new))
    with pytest.raises(HubError, match=re.escape(problem)):
        write_space(tmp_path / "space", checkout=checkout)
    assert not (tmp_path / "space").exists()


def test_without_a_checkout_it_says_so(tmp_path):
    with pytest.raises(HubError, match="published from a checkout"):
        write_space(tmp_path / "space", checkout=tmp_path)


def test_the_studio_is_published(hub, run_client):
    """The real Space: its metadata is valid, and it arrives as one commit."""
    if not (CHECKOUT / APP / "app.py").is_file():
        pytest.skip("this checkout has no spaces/studio")
    client = run_client("-m", "hub_models.hub", "space", "someone/studio", "--private")
    assert client.returncode == 0, client.stderr
    repository = hub.repositories["spaces", "someone/studio"]
    assert repository.private
    assert len(repository.messages) == 1
    files = repository.files()
    assert {"README.md", "app.py", "requirements.txt", "hub_models/__init__.py"} <= set(files)
    assert set(requirements()) == set(files["requirements.txt"].decode().splitlines())
    assert not [name for name in files if name.endswith((".pyc", ".pt", ".bin"))]
    assert {f"hub_models/wavegrad/{kind}_wavegrad.py" for kind in ("modeling", "scheduling", "pipeline")} <= set(files)


def test_the_space_installs_what_its_pipelines_import():
    assert any(re.match(r"diffusers\b", line) for line in requirements())


def test_dry_run_of_the_studio(tmp_path, capsys):
    if not (CHECKOUT / APP / "app.py").is_file():
        pytest.skip("this checkout has no spaces/studio")
    assert main(["space", "someone/studio", "--dry-run", "--output", str(tmp_path / "space")]) == 0
    assert "nothing was uploaded" in capsys.readouterr().out
    assert check_space(tmp_path / "space") == []

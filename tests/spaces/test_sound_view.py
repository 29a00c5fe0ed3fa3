"""The sound view on the server's side, and the cache of files for the page."""

import os
import sys
import time
from pathlib import Path

import pytest

from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

from components import cache
from components.sound_view import SoundView, sound_view_value, take


@pytest.fixture
def view(tmp_path):
    view = SoundView()
    view.GRADIO_CACHE = str(tmp_path)
    return view


def test_files_go_to_the_cache_and_pictures_to_the_page(view):
    takes = [take("original", "Original", 1.0, wav=b"RIFF"), take("vocoded", "WaveGrad", 1.0)]
    value = sound_view_value(takes, title="A song!", part=(0.5, 1.0))
    shown = view.postprocess(value)
    assert shown["chosen"] == "vocoded"
    assert shown["part"] == [0.5, 1.0]
    file = shown["takes"][0]["wav"]
    assert file["orig_name"] == "a-song-original.wav"
    assert Path(file["path"]).read_bytes() == b"RIFF"
    assert shown["takes"][1]["wav"] is None
    assert takes[0]["wav"] == b"RIFF", "what the session keeps is changed"
    assert view.postprocess(shown)["takes"][0]["wav"] == file


def test_nothing_to_show(view):
    assert view.postprocess(None) is None


def test_what_comes_back_from_the_page_is_not_believed(view):
    assert view.preprocess({"takes": [{"wav": {"path": "/etc/passwd"}}]}) is None


def test_hints_are_text():
    assert "<b>" not in SoundView(hint="<b>bold</b>").html_template


def test_a_file_is_written_once_and_kept_young(tmp_path):
    path = Path(cache.save(b"sound", "a.wav", str(tmp_path)))
    before = path.stat()
    os.utime(path, (time.time() - 5000, time.time() - 5000))
    again = Path(cache.save(b"sound", "a.wav", str(tmp_path)))
    assert again == path
    assert path.stat().st_ino == before.st_ino, "the file was replaced while it may be on its way"
    assert path.stat().st_mtime > time.time() - 1000
    assert [other.name for other in path.parent.iterdir()] == ["a.wav"]
    assert Path(cache.save(b"other", "a.wav", str(tmp_path))) != path


def test_a_name_is_no_path(tmp_path):
    path = Path(cache.save(b"sound", "../../a.wav", str(tmp_path)))
    assert tmp_path in path.parents

"""Parts of the Jukebox tab that need no model: pictures of codes, the folders of runs, and its components."""

import base64
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hub_models.jukebox.lyrics import TimedWord, read_lyrics

from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

import jukebox_pictures as pictures
import jukebox_runs
from components.jukebox_candidates import JukeboxCandidates, candidate_card, candidates_value
from components.jukebox_view import JukeboxView, jukebox_view_value, level_strip
from components.sound_view import take
from jukebox_pictures import COLUMNS, MAX_ROWS, OPEN, code_picture, code_ranks
from jukebox_runs import LIVE_SECONDS, RunFolders
from validate import StudioError


def ranks_of(picture):
    data = np.frombuffer(base64.b64decode(picture["data"]), np.uint8)
    return data.reshape(picture["rows"], picture["columns"])


# ---- Pictures


def test_codes_that_are_near_have_near_colours():
    rng = np.random.default_rng(0)
    along = rng.permutation(100).astype(np.float32)
    ranks = code_ranks(np.stack([along, 0.01 * rng.normal(size=100)], axis=1)).astype(int)
    order = np.argsort(along)
    assert sorted(ranks)[:: len(ranks) - 1] == [0, OPEN - 1]
    assert abs(np.diff(ranks[order])).max() <= 3
    assert set(code_ranks(np.ones((4, 3)))) <= set(range(OPEN)), "a codebook of equal vectors"
    assert code_ranks(np.ones((1, 3))).tolist() == [0]


def test_a_column_holds_the_codes_of_one_moment():
    ranks = np.arange(8, dtype=np.uint8)
    picture = code_picture(np.array([0, 1, 2, 3, 4, 5, 6]), total=12, per_column=4, ranks=ranks)
    assert ranks_of(picture).T.tolist() == [[0, 1, 2, 3], [4, 5, 6, OPEN], [OPEN] * 4]


def test_many_codes_are_thinned_out():
    picture = code_picture(np.arange(64 * 5000) % 200, 64 * 5000, 64, np.arange(200, dtype=np.uint8))
    assert (picture["columns"], picture["rows"]) == (COLUMNS, MAX_ROWS)
    assert OPEN not in ranks_of(picture)


def test_words_know_their_lines():
    lyrics = read_lyrics("Ode to\n\njoy, é")
    timed = [TimedWord(word.text, float(at), at + 0.5, 0.25) for at, word in enumerate(lyrics.words)]
    assert pictures.words_in_lines(lyrics, timed) == [
        ["Ode", 0.0, 0.5, 0.25, 0],
        ["to", 1.0, 1.5, 0.25, 0],
        ["joy,", 2.0, 2.5, 0.25, 2],
        ["é", 3.0, 3.5, 0.25, 2],
    ]


# ---- Folders of runs


@pytest.fixture
def runs(tmp_path):
    return RunFolders(tmp_path / "runs")


def age(folder, seconds):
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_a_folder_is_found_by_its_name_alone(runs):
    token, folder = runs.create()
    assert runs.find(token) == folder
    assert folder.parent.stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0
    (runs.root / "other").mkdir()
    (runs.root / ("e" * 32)).symlink_to(folder)
    for wrong in (
        None,
        7,
        "",
        "other",
        "..",
        f"../runs/{token}",
        token[:-1],
        token.upper() + "A",
        token + "\n",
        "e" * 32,
        [token],
    ):
        assert runs.find(wrong) is None
    assert runs.create()[0] != token


def test_old_folders_go_and_those_in_use_stay(runs):
    old, used, young = (runs.create() for _ in range(3))
    (young[1] / "codes").write_bytes(b"x")
    for _, folder in (old, used):
        age(folder, LIVE_SECONDS + 100)
    age(young[1], LIVE_SECONDS + 100)
    (young[1] / "codes").write_bytes(b"y")  # a folder is as old as what was last written in it
    with runs.in_use(used[0]):
        runs.clean()
    assert [runs.find(token) is not None for token, _ in (old, used, young)] == [False, True, True]


def test_the_number_of_folders_is_bounded(tmp_path):
    runs = RunFolders(tmp_path / "runs", max_folders=2)
    first, second = runs.create(), runs.create()
    age(first[1], 10)
    third = runs.create()
    assert [runs.find(token) is not None for token, _ in (first, second, third)] == [False, True, True]
    with runs.in_use(second[0]), runs.in_use(third[0]), pytest.raises(StudioError, match="Too many songs"):
        runs.create()


def test_their_size_is_bounded(tmp_path):
    runs = RunFolders(tmp_path / "runs", max_bytes=1000)
    made = [runs.create() for _ in range(3)]
    for number, (_, folder) in enumerate(made):
        (folder / "codes").write_bytes(bytes(400))
        age(folder, 100 - number)
    runs.clean()
    assert [runs.find(token) is not None for token, _ in made] == [False, True, True]


def test_a_folder_is_written_to_by_one_at_a_time(runs):
    token, _ = runs.create()
    with runs.in_use(token):
        assert runs.is_used(token)
        with pytest.raises(StudioError, match="still being made"), runs.in_use(token, patience=0.0):
            pass
    assert not runs.is_used(token)
    with runs.in_use(token):
        pass


def test_a_root_that_others_may_write_to_is_refused(tmp_path):
    root = tmp_path / "runs"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    with pytest.raises(StudioError, match="cannot be kept") as refused:
        RunFolders(root).create()
    assert str(tmp_path) not in str(refused.value)
    root.chmod(0o700)
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(StudioError, match="cannot be kept"):
        RunFolders(tmp_path / "link").create()


def test_the_place_of_runs_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv(jukebox_runs.FOLDER_VARIABLE, str(tmp_path / "own"))
    assert RunFolders().create()[1].parent == tmp_path / "own"


def test_a_folder_that_is_about_to_be_free_is_waited_for(runs):
    token, _ = runs.create()
    entered, leave = threading.Event(), threading.Event()

    def use():
        with runs.in_use(token):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=use)
    thread.start()
    assert entered.wait(30)
    threading.Timer(0.05, leave.set).start()
    with runs.in_use(token, patience=30.0):
        assert leave.is_set()
    thread.join(30)


# ---- Components


@pytest.fixture
def candidates(tmp_path):
    component = JukeboxCandidates()
    component.GRADIO_CACHE = str(tmp_path)
    return component


def test_files_go_to_the_cache(candidates, tmp_path):
    card = candidate_card("2", detail="seed 7", seconds=1.0, goal=2.0, wav=b"RIFF", ready=True)
    shown = candidates.postprocess(candidates_value([card], ["2"], "a-song"))
    file = shown["cards"][0]["wav"]
    assert file["orig_name"] == "a-song-2.wav"
    assert Path(file["path"]).read_bytes() == b"RIFF"
    assert card["wav"] == b"RIFF", "what the session keeps is changed"
    view = JukeboxView()
    view.GRADIO_CACHE = str(tmp_path)
    value = jukebox_view_value([take("top", "Top level", 1.0, wav=b"RIFF")], key="k", title="A song!", seconds=2)
    assert view.postprocess(value)["takes"][0]["wav"]["orig_name"] == "a-song-top.wav"
    assert value["chosen"] == "top"
    assert candidates.postprocess(None) is None
    assert view.postprocess(None) is None


def test_what_comes_back_from_the_page_is_not_believed(candidates):
    for payload, keys in (
        ({"chosen": ["3", "1", "9", "../x", 2, None]}, ["1", "3"]),
        ({"chosen": "12"}, []),
        ({"chosen": {"1": True}}, []),
        ({"cards": [{"wav": {"path": "/etc/passwd"}}]}, []),
        ("1", []),
        (None, []),
    ):
        assert candidates.preprocess(payload) == keys
    assert JukeboxView().preprocess({"takes": [{"wav": {"path": "/etc/passwd"}}]}) is None


def test_hints_are_text():
    assert "<b>" not in JukeboxView(hint="<b>bold</b>").html_template
    assert "<b>" not in JukeboxCandidates(hint="<b>bold</b>").html_template


def test_shares_and_lengths_are_within_their_bounds():
    card = candidate_card("1", detail="", seconds=0, goal=0, share=1.7)
    assert (card["share"], card["goal"] > 0, card["ready"]) == (1.0, True, False)
    strip = level_strip("Top", "Codes of the top level", {"columns": 1, "rows": 1, "data": ""}, False)
    value = jukebox_view_value([], key="k", title="", seconds=0, levels=[strip])
    assert value["seconds"] > 0
    assert value["chosen"] is None

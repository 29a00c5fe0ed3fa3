"""The Jukebox and its endpoint: what is made, gone on with, kept and refused; on a tiny model with random weights."""

import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hub_models import audio
from hub_models.jukebox.sampling_run import RunFolder

from .conftest import CHECKOUT, PATIENT, STUDIO, serve
from .test_api import refusal
from .tiny_models import JUKEBOX, JUKEBOX_HOPS, JUKEBOX_RATE, MELODY, write, write_jukebox

sys.path.insert(0, str(STUDIO))

import jukebox_songs as songs
import sound as sounds
from engine import find_models
from jukebox_examples import SONGS, known
from jukebox_looks import clock
from jukebox_models import BUNDLED, TEMPERATURES, JukeboxEntry, find_jukeboxes
from jukebox_runs import FOLDER_VARIABLE, RunFolders
from jukebox_takes import Piece
from jukeboxes import MAX_LYRICS, Jukeboxes
from validate import StudioError

SECONDS = 2.5
TOTALS = tuple(int(SECONDS * JUKEBOX_RATE) // JUKEBOX_HOPS[0] * (JUKEBOX_HOPS[0] // hop) for hop in JUKEBOX_HOPS)


@pytest.fixture(scope="module")
def jukebox_folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("jukebox"), (JUKEBOX, MELODY))


@pytest.fixture
def jukeboxes(jukebox_folder, tmp_path):
    return Jukeboxes(find_jukeboxes(jukebox_folder), RunFolders(tmp_path / "runs"))


def wish_for(jukeboxes, **wished):
    asked = {"artist": "low voice", "genre": "poem", "lyrics": "", "seconds": SECONDS, "seed": 5, "temperatures": 1.0}
    return jukeboxes.wish(JUKEBOX, **{**asked, **wished})


def begin(jukeboxes, prompt=None, **wished):
    return songs.begin(jukeboxes.runs, wish_for(jukeboxes, **wished), prompt)


def last(looks):
    *_, look = looks
    return look


def never():
    return False


def begun(folder, level=0):
    """Stops as soon as some codes of a level are saved in a run's folder."""
    return lambda: len(RunFolder(folder).load().codes[level][0]) > 0


def tone(seconds=2.0, rate=JUKEBOX_RATE):
    return sounds.made(0.5 * np.sin(np.arange(round(seconds * rate)) / 5), rate, "A tone", JUKEBOX_RATE)


def rows(look):
    return [row.tolist() for row in look.codes]


# ---- Models


def test_models_are_found_and_described(jukebox_folder, jukeboxes):
    entry = jukeboxes.entry(JUKEBOX)
    assert list(jukeboxes.entries) == [JUKEBOX]
    assert JUKEBOX not in {other.name for other in find_models(jukebox_folder)}
    assert (entry.sample_rate, tuple(entry.hops), entry.level_names) == (
        JUKEBOX_RATE,
        JUKEBOX_HOPS,
        ("Top", "Middle", "Fine"),
    )
    assert "low voice" in entry.offered("artist")
    assert entry.takes_lyrics
    assert entry.aligns_lyrics
    assert entry.totals(SECONDS) == TOTALS
    assert wish_for(jukeboxes, temperatures=None).temperatures == entry.temperatures == TEMPERATURES
    small = JukeboxEntry(BUNDLED, entry.folder, "")
    assert len(small.temperatures) == 3
    assert all(low < high for low, high in zip(small.temperatures, TEMPERATURES, strict=True))
    with pytest.raises(StudioError, match=JUKEBOX):
        jukeboxes.entry("../jukebox")


def test_a_damaged_model_is_a_sentence(jukebox_folder, tmp_path):
    shutil.copytree(jukebox_folder / JUKEBOX, tmp_path / JUKEBOX)
    (tmp_path / JUKEBOX / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(StudioError, match="damaged or missing"):
        Jukeboxes(find_jukeboxes(tmp_path)).load(JUKEBOX)
    (tmp_path / JUKEBOX / "config.json").write_text('{"model_type": "jukebox", "nb_priors": "many"}')
    broken = Jukeboxes(find_jukeboxes(tmp_path))
    assert broken.described() == []
    with pytest.raises(StudioError, match="damaged or missing"):
        wish_for(broken)
    (tmp_path / JUKEBOX / "artists.json").write_text("{")
    assert JukeboxEntry(JUKEBOX, tmp_path / JUKEBOX, "").artists == ()


def test_examples_are_offered_to_models_that_know_them(jukeboxes):
    entry = jukeboxes.entry(JUKEBOX)
    offered = known(entry.artists, entry.genres)
    assert 0 < len(offered) < len(SONGS)
    assert all(SONGS[name].artist in entry.artists and SONGS[name].genre in entry.genres for name in offered)


# ---- Names and lyrics


def test_unknown_names_are_said_and_near_ones_offered(jukeboxes):
    reading = jukeboxes.read(JUKEBOX, "low vice", "polka", "", SECONDS)
    assert any("low vice" in sentence for sentence in reading.about_names)
    assert any("polka" in sentence for sentence in reading.about_names)
    assert reading.nearest["Artist"][0] == "low voice"
    assert jukeboxes.read(JUKEBOX, "low voice", "poem", "", SECONDS).about_names == []
    assert jukeboxes.read(JUKEBOX, "", "", "", SECONDS).nearest == {}


def test_lyrics_in_other_scripts_and_too_many_of_them_are_said(jukeboxes):
    assert jukeboxes.read(JUKEBOX, "", "", "la la", SECONDS).about_lyrics == []
    assert jukeboxes.read(JUKEBOX, "", "", "Привет, мир", SECONDS).about_lyrics
    assert any(
        "long" in sentence or "short" in sentence
        for sentence in jukeboxes.read(JUKEBOX, "", "", "one word and another " * 200, SECONDS).about_lyrics
    )


# ---- What is refused


@pytest.mark.parametrize(
    ("wished", "words"),
    [
        ({"seconds": 0}, "length in seconds"),
        ({"seconds": 61}, "length in seconds"),
        ({"seconds": float("nan")}, "length in seconds"),
        ({"seconds": None}, "length in seconds"),
        ({"seed": -1}, "seed"),
        ({"temperatures": 0}, "temperature"),
        ({"temperatures": [1, 1, 2.5]}, "temperature"),
        ({"temperatures": [1, 1]}, "each of the 3 levels"),
        ({"count": 5}, "number of candidates"),
        ({"count": 1.5}, "number of candidates"),
        ({"artist": 7}, "artist must be text"),
        ({"genre": "x" * 201}, "genre may have at most 200"),
        ({"lyrics": "x" * (MAX_LYRICS + 1)}, "lyrics may have at most 5,000"),
        ({"kept": 2.4, "prompt_seconds": 60}, "keep less of it"),
        ({"kept": 0, "prompt_seconds": 60}, "seconds that are kept"),
        ({"seconds": 1.0, "kept": 0.2, "prompt_seconds": 60}, "length in seconds"),
    ],
)
def test_what_cannot_be_made_is_a_sentence(jukeboxes, wished, words):
    with pytest.raises(StudioError, match=words):
        wish_for(jukeboxes, **wished)


# ---- Candidates and their songs


def test_a_candidate_is_upsampled_to_what_it_would_have_been(jukeboxes):
    song = begin(jukeboxes, count=2, lyrics="do re mi")
    first, second = (last(jukeboxes.candidate(song, key, never)) for key in "12")
    assert rows(first)[0] != rows(second)[0]
    assert len(rows(first)[0]) == TOTALS[0]
    assert [word[0] for word in first.words] == ["do", "re", "mi"]
    looks = list(jukeboxes.upsample(song, "1", never))
    assert {look.level for look in looks} == {1, 2}
    whole = last(jukeboxes.whole(song.wish, None, 3))
    assert rows(looks[-1]) == rows(whole)
    assert [len(row) for row in looks[-1].codes] == list(TOTALS)
    assert sorted(looks[-1].sounds) == [0, 1, 2]
    assert {len(samples) for samples in looks[-1].sounds.values()} == {TOTALS[2] * JUKEBOX_HOPS[2]}
    assert all(np.abs(samples).max() <= 1 for samples in looks[-1].sounds.values())


def test_previews_come_before_the_end(jukeboxes):
    looks = list(jukeboxes.candidate(begin(jukeboxes), "1", never))
    early = [look for look in looks[:-1] if look.sounds]
    assert early
    assert len(early[0].sounds[0]) < TOTALS[0] * JUKEBOX_HOPS[0]
    assert all(before.share <= then.share for before, then in itertools.pairwise(looks[:-1]))


def test_what_was_stopped_goes_on_to_the_same_end(jukeboxes):
    song, other = begin(jukeboxes), begin(jukeboxes)
    stopped = last(jukeboxes.candidate(song, "1", begun(song.run_folder("1"))))
    assert stopped.stopped
    assert 0 < len(stopped.codes[0]) < TOTALS[0]
    assert not last(jukeboxes.candidate(song, "1", never)).stopped
    halfway = last(jukeboxes.upsample(song, "1", begun(song.fine_folder("1"), 2)))
    assert halfway.stopped
    assert 0 < len(halfway.codes[2]) < TOTALS[2]
    found = jukeboxes.found(songs.find(jukeboxes.runs, song.token), "1")
    assert rows(found) == rows(halfway)
    resumed = last(jukeboxes.upsample(song, "1", never))
    last(jukeboxes.candidate(other, "1", never))
    assert rows(resumed) == rows(last(jukeboxes.upsample(other, "1", never)))


KILLED = """
import os, signal, sys
sys.path[:0] = [sys.argv[1]]
import jukebox_songs as songs
from jukebox_models import find_jukeboxes
from jukebox_runs import RunFolders
from jukeboxes import Jukeboxes
from hub_models.jukebox.sampling_run import RunFolder

jukeboxes = Jukeboxes(find_jukeboxes(sys.argv[2]), RunFolders())
song = songs.find(jukeboxes.runs, sys.argv[3])

def stopped():
    if len(RunFolder(song.fine_folder("1")).load().codes[2][0]):
        os.kill(os.getpid(), signal.SIGKILL)

list(jukeboxes.upsample(song, "1", stopped))
"""


def test_what_was_killed_goes_on_to_the_same_end(jukeboxes, jukebox_folder):
    song, other = begin(jukeboxes), begin(jukeboxes)
    for one in (song, other):
        last(jukeboxes.candidate(one, "1", never))
    command = [sys.executable, "-c", KILLED, str(STUDIO), str(jukebox_folder), song.token]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), FOLDER_VARIABLE: str(jukeboxes.runs.root)}
    assert subprocess.run(command, env=environment, timeout=600).returncode == -signal.SIGKILL
    halfway = jukeboxes.found(song, "1")
    assert 0 < len(halfway.codes[2]) < TOTALS[2]
    assert rows(last(jukeboxes.upsample(song, "1", never))) == rows(last(jukeboxes.upsample(other, "1", never)))


def test_a_song_begins_with_a_sound(jukeboxes):
    song = begin(jukeboxes, tone(1.0), kept=1.0, prompt_seconds=1.0)
    made = last(jukeboxes.candidate(song, "1", never))
    kept = int(JUKEBOX_RATE * 1.0) // JUKEBOX_HOPS[0]
    other = last(jukeboxes.candidate(begin(jukeboxes, tone(1.0), kept=1.0, prompt_seconds=1.0, seed=6), "1", never))
    assert rows(made)[0][:kept] == rows(other)[0][:kept]
    assert rows(made)[0] != rows(other)[0]
    assert songs.find(jukeboxes.runs, song.token).prompt(JUKEBOX_RATE).seconds == pytest.approx(1.0)


def test_work_ends_when_nobody_looks(jukeboxes):
    song = begin(jukeboxes, seconds=20.0)
    looks = jukeboxes.candidate(song, "1", never)
    next(looks)
    looks.close()
    with jukeboxes.runs.in_use(song.token, patience=60.0):
        assert len(jukeboxes.found(song, "1").codes[0]) < 20 * JUKEBOX_RATE // JUKEBOX_HOPS[0]


def test_cards_and_views_show_how_far_it_is(jukeboxes):
    song = begin(jukeboxes, lyrics="do re mi")
    piece = Piece(song, "1", jukeboxes.entry(JUKEBOX))
    assert piece.card()["detail"] == "not begun"
    piece.wait()
    piece.come(last(jukeboxes.candidate(song, "1", begun(song.run_folder("1")))))
    piece.rest()
    assert piece.card()["detail"].startswith("stopped at")
    assert not piece.card()["ready"]
    piece.come(last(jukeboxes.candidate(song, "1", never)))
    assert piece.card()["ready"]
    view = piece.view(jukeboxes.ranks(JUKEBOX))
    assert [take["key"] for take in view["takes"]] == ["level-0"]
    assert [level["open"] for level in view["levels"]] == [False, True, True]
    assert view["run"] is None
    assert [clock(seconds) for seconds in (8.2, 59.6, 125)] == ["8 s", "1 min 0 s", "2 min 5 s"]


# ---- Folders


def test_the_folder_of_a_song_tells_what_was_asked_for(jukeboxes):
    song = begin(jukeboxes, lyrics="ä\nö", count=2)
    assert songs.find(jukeboxes.runs, song.token) == song
    again = song.with_upsampled(("2",))
    assert songs.find(jukeboxes.runs, song.token).upsampled == again.upsampled == ("2",)
    later = songs.begin(jukeboxes.runs, song.wish, None, song)
    assert songs.find(jukeboxes.runs, song.token) is None
    with jukeboxes.runs.in_use(later.token):
        songs.begin(jukeboxes.runs, song.wish, None, later)
        assert songs.find(jukeboxes.runs, later.token) == later


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"version": 1}', b'{"version": 1, "wish": {}, "upsampled": []}', b"\xff"]
)
def test_a_damaged_song_is_passed_over(jukeboxes, content):
    song = begin(jukeboxes)
    (song.folder / songs.SONG_FILE).write_bytes(content)
    assert songs.find(jukeboxes.runs, song.token) is None


def test_keys_of_a_tampered_song_lead_nowhere(jukeboxes):
    song = begin(jukeboxes)
    content = json.loads((song.folder / songs.SONG_FILE).read_text())
    content["upsampled"] = ["../../x", "1", 7]
    (song.folder / songs.SONG_FILE).write_text(json.dumps(content))
    assert songs.find(jukeboxes.runs, song.token).upsampled == ("1",)


def test_a_run_of_another_model_is_a_sentence(jukeboxes, jukebox_folder, tmp_path):
    song = begin(jukeboxes)
    last(jukeboxes.candidate(song, "1", begun(song.run_folder("1"))))
    write_jukebox(tmp_path / JUKEBOX, seed=8)
    other = Jukeboxes(find_jukeboxes(tmp_path), jukeboxes.runs)
    with pytest.raises(StudioError, match="another model") as error:
        last(other.candidate(song, "1", never))
    assert str(tmp_path) not in str(error.value)


def test_damaged_codes_are_a_sentence(jukeboxes, tmp_path):
    song = begin(jukeboxes)
    last(jukeboxes.candidate(song, "1", begun(song.run_folder("1"))))
    (song.run_folder("1") / "level_0.safetensors").write_bytes(b"nothing")
    for look in (lambda: jukeboxes.found(song, "1"), lambda: last(jukeboxes.candidate(song, "1", never))):
        with pytest.raises(StudioError, match="damaged or missing") as error:
            look()
        assert str(tmp_path) not in str(error.value)


def test_a_full_disk_is_a_sentence_and_what_was_finished_is_kept(jukeboxes, monkeypatch):
    song, replace = begin(jukeboxes), RunFolder._replace
    calls = itertools.count()

    def full_later(self, name, content):
        if next(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "_replace", full_later)
        with pytest.raises(StudioError, match="no room left on the disk"):
            last(jukeboxes.candidate(song, "1", never))
    kept = rows(jukeboxes.found(song, "1"))[0]
    made = rows(last(jukeboxes.candidate(song, "1", never)))[0]
    assert 0 < len(kept) < len(made)
    assert made[: len(kept)] == kept


# ---- The endpoint


@pytest.fixture(scope="module")
def client(jukebox_folder, tmp_path_factory):
    with serve(jukebox_folder, tmp_path_factory) as address:
        yield Client(address, verbose=False, httpx_kwargs=PATIENT)


def ask(client, **asked):
    given = {
        "model": "", "artist": "low voice", "genre": "poem", "lyrics": "", "seconds": SECONDS, "seed": 5, "temperature": 1.0,
        "prompt": None, "prompt_seconds": None, "levels": None, "temperatures": None, "candidate": 1, "offset_seconds": 0,
        "total_seconds": None,
    }  # fmt: skip
    return client.predict(*{**given, **asked}.values(), api_name="/jukebox")


def refuse(client, **asked):
    with pytest.raises(AppError) as error:
        ask(client, **asked)
    message = str(error.value)
    assert "Traceback" not in message
    assert "/" not in message, f"a path? {message}"
    return message


@pytest.fixture
def tone_file(tmp_path):
    path = tmp_path / "A tone.wav"
    soundfile.write(path, 0.5 * np.sin(np.arange(3 * 22_050) / 15), 22_050)
    return path


def test_models_for_songs_are_listed(client):
    songs = [model for model in client.predict(api_name="/models") if model["representation"] == "song"]
    assert [(model["name"], model["levels"], model["takes_lyrics"]) for model in songs] == [(JUKEBOX, 3, True)]
    assert songs[0]["min_seconds"] <= songs[0]["min_seconds_with_prompt"] < songs[0]["max_seconds"] <= 60
    assert {"low voice", "piano"} <= set(songs[0]["artists"])


def test_a_song_is_a_file_and_what_it_is_made_of(client):
    file, figures = ask(client, lyrics="do re mi", artist="low vice")
    made, rate = audio.load(file)
    assert (rate, made.shape) == (JUKEBOX_RATE, (1, TOTALS[0] * JUKEBOX_HOPS[0]))
    assert np.abs(made).max() > 0
    assert figures["codes"] == list(TOTALS)
    assert [word["word"] for word in figures["words"]] == ["do", "re", "mi"]
    assert all(0 <= word["start"] <= word["end"] <= figures["seconds"] + 0.1 for word in figures["words"])
    assert any("low vice" in remark for remark in figures["remarks"])
    assert figures["temperatures"] == [1.0, 1.0, 1.0]
    assert figures["provenance"]["model"] == JUKEBOX
    assert figures["provenance"]["plan"]["seed"] == figures["seed"] == 5
    assert "/" not in json.dumps(figures["provenance"]["plan"])


def test_a_seed_gives_its_own_song(client):
    first, again, other = (audio.load(ask(client, seed=seed, levels=1)[0])[0] for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_candidates_and_places_in_a_song_are_asked_for(client):
    first, second = (ask(client, candidate=number, levels=1)[1] for number in (1, 2))
    assert (first["provenance"]["plan"]["sample_numbers"], second["provenance"]["plan"]["sample_numbers"]) == ([0], [1])
    _, figures = ask(client, levels=1, temperatures=[0.5, 0.6, 0.7], offset_seconds=10, total_seconds=30)
    plan = figures["provenance"]["plan"]
    assert figures["temperatures"] == plan["temperatures"] == [0.5, 0.6, 0.7]
    assert (plan["offset_seconds"], plan["total_seconds"]) == (10, 30)


def test_a_song_begins_with_a_file(client, tone_file):
    _, figures = ask(client, prompt=handle_file(tone_file), prompt_seconds=1.0, levels=1)
    assert figures["prompt_seconds"] == 1.0
    assert figures["codes"] == [TOTALS[0]]
    assert figures["provenance"]["prompt"] == "A tone"
    assert any("22050" in remark for remark in figures["remarks"])
    assert "keep less of it" in refuse(client, prompt=handle_file(tone_file))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"model": "../../etc"}, JUKEBOX),
        ({"seconds": 1e9}, "length in seconds"),
        ({"seconds": None}, "length in seconds"),
        ({"temperature": 0}, "temperature"),
        ({"seed": 0.5}, "seed"),
        ({"levels": 0}, "number of levels"),
        ({"levels": 4}, "number of levels"),
        ({"lyrics": "x" * 5001}, "at most 5,000"),
        ({"temperatures": [1, 1]}, "each of the 3 levels"),
        ({"temperatures": "hot"}, "must be an object or a list"),
        ({"candidate": 5}, "number of the candidate"),
        ({"offset_seconds": 59}, "begin earlier"),
        ({"offset_seconds": -1}, "beginning within a song"),
        ({"offset_seconds": 10, "total_seconds": 11}, "end after the whole song"),
        ({"total_seconds": 1e9}, "length of the whole song"),
    ],
)
def test_absurd_songs(client, asked, words):
    assert words in refuse(client, **asked)


def test_files_that_are_no_sound_are_sentences(client, tmp_path):
    for name, content in (("silence.wav", np.zeros(20_000)), ("nan.wav", np.full(20_000, np.nan, np.float32))):
        soundfile.write(tmp_path / name, content, JUKEBOX_RATE, subtype="FLOAT")
        assert refuse(client, prompt=handle_file(tmp_path / name))
    (tmp_path / "notes.wav").write_bytes(b"RIFF not a sound")
    assert refuse(client, prompt=handle_file(tmp_path / "notes.wav"))
    with pytest.raises(AppError) as error:
        ask(client, prompt={"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}})
    assert "root:" not in str(error.value)


def test_without_a_model_there_is_a_sentence(tmp_path, tmp_path_factory):
    with serve(write(tmp_path, (MELODY,)), tmp_path_factory) as address:
        client = Client(address, verbose=False, httpx_kwargs=PATIENT)
        assert "jukebox-tiny is missing" in refusal(client, "", "", "", "", 3, 0, 1, None, None, None, api_name="/jukebox")

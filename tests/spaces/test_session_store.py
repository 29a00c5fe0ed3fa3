"""The clips of browsers on disk: kept, bounded, private, and not destroyed by two windows."""

import json
import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from hub_models import Clip, audio, midi, sessions
from hub_models.clips import Call, Origin

from ..test_clips import music, tone
from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

import session_store
from clip_looks import described, duration, thumbnail
from jukebox_runs import LIVE_SECONDS
from session_store import SessionFolders, SessionStore
from validate import StudioError


def tune(*pitches, name="A tune", **origin):
    return Clip.from_midi(music(*pitches), name, origin=Origin(**origin))


def child_of(parent, name="A child"):
    call = Call("/again", {"file": Call.of_clip(parent.id)})
    return tune(70, name=name, action="Again", parents=(parent.id,), calls=(call,))


@pytest.fixture
def store(tmp_path):
    return SessionStore(SessionFolders(tmp_path / "sessions"))


@pytest.fixture
def token(store):
    return store.token(None)


def names(store, token):
    return [entry.name for entry in store.entries(token)]


def ids(store, token):
    return [entry.id for entry in store.entries(token)]


def test_clips_are_kept_and_found_again_by_another_server(store, token):
    first, second = tune(60, 64), Clip.from_audio(tone(), "A tone", sample_rate=8000)
    assert store.entries(token) == []
    assert store.add(token, [first]) == []
    assert store.add(token, [second]) == []
    other = SessionStore(SessionFolders(store.folders.root))
    assert ids(other, token) == [second.id, first.id]
    found = other.clip(token, first.id)
    assert (found.data, found.name, found.seconds, found.origin) == (first.data, "A tune", first.seconds, first.origin)
    entry = other.entries(token)[0]
    assert (entry.kind, entry.extension, entry.seconds, entry.thumbnail["kind"]) == ("audio", "wav", 0.5, "audio")


def test_a_clip_that_is_there_already_stays_where_it_is(store, token):
    first, second = tune(60), tune(61, name="Second")
    store.add(token, [second, first])
    store.rename(token, first.id, "My own")
    store.add(token, [first])
    assert names(store, token) == ["Second", "My own"]
    store.delete(token, first.id)
    store.add(token, [first])
    assert names(store, token) == ["A tune", "Second"]


def test_sessions_are_private_and_known_by_a_name_that_cannot_be_guessed(store, token):
    store.add(token, [tune(60)])
    assert len(token) == 32
    assert store.token(token) == token
    for known in (None, "", "..", "../x", token.upper() + "x", 7, ["a"], f"../{token}"):
        assert store.token(known) != known
        assert store.entries(known) == []
        with pytest.raises(StudioError, match="not there any more"):
            store.clip(known, ids(store, token)[0])
        with pytest.raises(StudioError, match="no clips of yours"):
            store.delete(known, ids(store, token)[0])
    other = store.token(None)
    assert store.entries(other) == []
    assert stat.S_IMODE(store.folders.root.stat().st_mode) == 0o700
    assert stat.S_IMODE((store.folders.root / token).stat().st_mode) == 0o700


def test_looking_at_a_session_makes_no_folder(store, token):
    assert store.entries(token) == []
    assert not store.folders.root.exists()


def test_the_place_of_sessions_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("ENCORE_STUDIO_SESSIONS", str(tmp_path / "own"))
    store = SessionStore()
    store.add(store.token(None), [tune(60)])
    assert len(list((tmp_path / "own").iterdir())) == 1


@pytest.mark.parametrize("clip_id", ["", "0" * 12, "../index", "index", None, 3, ["a"]])
def test_clips_that_are_not_there(store, token, clip_id):
    store.add(token, [tune(60)])
    for act in (store.clip, store.delete, store.bring_back, lambda *which: store.rename(*which, "A name")):
        with pytest.raises(StudioError, match="not there any more"):
            act(token, clip_id)


def test_clips_are_renamed(store, token):
    clip = tune(60)
    store.add(token, [clip])
    assert store.rename(token, clip.id, " My\n tune ") == "My tune"
    assert names(store, token) == ["My tune"]
    assert store.clip(token, clip.id).name == "My tune"
    assert store.clip(token, clip.id).id == clip.id
    for name in ("", "  ", None, 7):
        with pytest.raises(StudioError, match="needs a name"):
            store.rename(token, clip.id, name)


def test_what_is_deleted_can_be_brought_back_to_its_place(store, token):
    clips = [tune(pitch, name=str(pitch)) for pitch in (62, 61, 60)]
    store.add(token, clips)
    assert store.delete(token, clips[1].id) == "61"
    assert names(store, token) == ["62", "60"]
    with pytest.raises(StudioError, match="not there any more"):
        store.delete(token, clips[1].id)
    assert store.bring_back(token, clips[1].id) == "61"
    assert names(store, token) == ["62", "61", "60"]
    with pytest.raises(StudioError, match="not there any more"):
        store.bring_back(token, clips[1].id)


def test_what_was_deleted_long_ago_goes_and_leaves_no_file(store, token):
    clips = [tune(60 + index, name=str(index)) for index in range(12)]
    store.add(token, clips)
    for clip in clips:
        store.delete(token, clip.id)
    assert names(store, token) == []
    left = list((store.folders.root / token).iterdir())
    assert len(left) == 1 + 2 * session_store.MAX_DELETED
    store.bring_back(token, clips[-1].id)


def test_what_was_made_of_a_deleted_clip_takes_it_along(store, token, monkeypatch):
    monkeypatch.setattr(session_store, "MAX_DELETED", 1)
    parent, other = tune(60), tune(50, name="Other")
    child = child_of(parent)
    store.add(token, [child, other, parent])
    store.delete(token, parent.id)
    assert store.clip(token, child.id).origin.calls == child.origin.calls
    saved = store.folders.root / "saved.zip"
    store.save(token, saved, lambda clip: None)
    assert [clip.id for clip in sessions.read_session(saved)] == [child.id, other.id]

    store.delete(token, other.id)  # there is no going back for the parent
    found = store.clip(token, child.id)
    assert found.id == child.id
    assert found.origin.calls[0].arguments == {"file": {"$file": f"{parent.id}.mid"}}
    assert found.origin.files == {f"{parent.id}.mid": parent.data}
    assert found.origin.parents == (parent.id,)
    with pytest.raises(StudioError):
        store.bring_back(token, parent.id)


def test_the_oldest_that_nobody_named_goes_first(tmp_path):
    store = SessionStore(SessionFolders(tmp_path), max_clips=3)
    token = store.token(None)
    clips = [tune(60 + index, name=str(index)) for index in range(6)]
    for clip in clips[:3]:
        assert store.add(token, [clip]) == []
    store.rename(token, clips[0].id, "Mine")
    assert store.add(token, [clips[3]]) == ["1"]
    assert names(store, token) == ["3", "2", "Mine"]
    store.rename(token, clips[2].id, "Mine as well")
    store.rename(token, clips[3].id, "And mine")
    assert store.add(token, [clips[4]]) == ["Mine"]
    assert names(store, token) == ["4", "And mine", "Mine as well"]


def test_a_session_is_bounded_in_bytes(tmp_path):
    sounds = [Clip.from_audio(tone(0.1 + index / 100), str(index), sample_rate=8000) for index in range(4)]
    store = SessionStore(SessionFolders(tmp_path), max_bytes=sum(len(clip.data) for clip in sounds[1:]))
    token = store.token(None)
    store.add(token, [sounds[1], sounds[0]])
    store.delete(token, sounds[0].id)
    assert store.add(token, [sounds[3], sounds[2]]) == []
    with pytest.raises(StudioError):
        store.bring_back(token, sounds[0].id)
    assert store.add(token, [sounds[0]]) == ["1"]
    size = sum(file.stat().st_size for file in (tmp_path / token).glob("*.data"))
    assert size <= store.max_bytes
    big = Clip.from_audio(tone(3.0), "Big", sample_rate=8000)
    with pytest.raises(StudioError, match="The clip has 0 MB; at most 0 MB"):
        store.add(token, [big])
    assert names(store, token) == ["0", "3", "2"]


def test_contents_that_two_clips_share_are_kept_once_and_as_long_as_one_needs_them(store, token):
    first, second = tune(60, name="First"), tune(60, name="Second", seed=2)
    store.add(token, [second, first])
    assert len(list((store.folders.root / token).glob("*.data"))) == 1
    store.delete(token, first.id)
    assert store.clip(token, second.id).data == second.data


def test_old_sessions_and_the_oldest_of_too_many_go(tmp_path):
    store = SessionStore(SessionFolders(tmp_path, max_folders=2))
    tokens = [store.token(None) for _ in range(3)]
    for index, token in enumerate(tokens):
        store.add(token, [tune(60)])
        then = time.time() - 1000 + index
        for file in [*(tmp_path / token).iterdir(), tmp_path / token]:
            os.utime(file, (then, then))
    assert [bool(store.entries(token)) for token in tokens] == [False, True, True]
    for file in [*(tmp_path / tokens[1]).iterdir(), tmp_path / tokens[1]]:
        os.utime(file, (0, time.time() - LIVE_SECONDS - 10))
    store.folders.clean()
    assert [bool(store.entries(token)) for token in tokens] == [False, False, True]
    with pytest.raises(StudioError, match="kept for a day"):
        store.delete(tokens[1], "0" * 12)
    store.add(tokens[1], [tune(61)])  # the browser goes on under the same name
    assert names(store, tokens[1]) == ["A tune"]


def test_the_store_is_bounded_in_bytes(tmp_path, monkeypatch):
    sound = Clip.from_audio(tone(), "A tone", sample_rate=8000)
    store = SessionStore(SessionFolders(tmp_path, max_bytes=3 * len(sound.data)))
    monkeypatch.setattr(session_store, "CLEAN_BYTES", 0)
    for _ in range(6):
        store.add(store.token(None), [sound])
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.data")) <= 3 * len(sound.data)


def test_windows_of_one_browser_do_not_destroy_each_others_clips(store, token):
    clips = [tune(40 + index, name=str(index)) for index in range(24)]
    failed = []

    def window(own):
        try:
            for clip in own:
                SessionStore.add(store, token, [clip])
                store.rename(token, clip.id, f"named {clip.name}")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=window, args=(clips[index::3],)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert sorted(names(store, token)) == sorted(f"named {index}" for index in range(24))
    assert all(store.clip(token, clip.id).data == clip.data for clip in clips)


def test_a_damaged_session_begins_anew(store, token, caplog):
    store.add(token, [tune(60)])
    for content in ("{", '{"version": 9, "clips": []}', '{"version": 1, "clips": [{"id": 1}]}', "[]"):
        (store.folders.root / token / "index.json").write_text(content)
        assert store.entries(token) == []
    assert "begins anew" in caplog.text
    assert str(store.folders.root) not in caplog.text
    store.add(token, [tune(61, name="New")])
    assert names(store, token) == ["New"]


def test_a_session_is_saved_and_opened_elsewhere(store, token, tmp_path):
    parent = tune(60, 62)
    child, sound = child_of(parent), Clip.from_audio(tone(), "A tone", sample_rate=8000)
    with pytest.raises(StudioError, match="no clips yet"):
        store.save(token, tmp_path / "x.zip", sessions.sound_of)
    store.add(token, [child, sound, parent])
    store.rename(token, sound.id, "Mine")
    assert store.save(token, tmp_path / "x.zip", sessions.sound_of) == 3
    other = store.token(None)
    store.add(other, sessions.read_session(tmp_path / "x.zip"))
    assert ids(store, other) == ids(store, token)
    assert names(store, other) == ["A child", "Mine", "A tune"]
    assert store.clip(other, child.id).origin == child.origin


# ---- Looks


def test_thumbnails_are_small():
    import base64

    notes = thumbnail(tune(*range(40, 100)))
    assert notes["kind"] == "midi"
    rows = [*zip(*[iter(base64.b64decode(notes["data"]))] * 4, strict=True)]
    assert len(rows) == 60
    assert rows[0][:3] == (0, 4, 0)
    assert rows[-1][1:] == (255, 255, 0)
    drums = Clip.from_midi(music(36, 38, drums=True), "Beat")
    assert base64.b64decode(thumbnail(drums)["data"])[3::4] == b"\1\1"
    many = Clip.from_midi(music(*[40 + index % 50 for index in range(3000)], tempo=300), "Many")
    assert len(thumbnail(many)["data"]) < 1500
    wave = base64.b64decode(thumbnail(Clip.from_audio(tone(2.0), "A tone", sample_rate=8000))["data"])
    assert (len(wave), min(wave), max(wave)) == (192, 64, 192)
    assert json.dumps(notes)


def test_clips_are_described_in_a_few_words():
    assert described("midi", 32.0, 16, 120.0) == "MIDI, 16 bars, 120 bpm"
    assert described("midi", 2.0, 1, None) == "MIDI, 1 bar"
    assert described("midi", 2.0, None, 90.4) == "MIDI, 2 s, 90 bpm"
    assert described("audio", 12.3, None, None) == "Sound, 12 s"
    assert [duration(seconds) for seconds in (0.25, 9.0, 59.4, 60.0, 185.2)] == ["0.2 s", "9 s", "59 s", "1:00", "3:05"]


def test_what_a_person_brings_is_judged_by_what_it_holds(tmp_path):
    from tray import read_file

    (tmp_path / "really a tune.wav").write_bytes(midi.to_bytes(music(60)))
    (tmp_path / "really a tone.mid").write_bytes(audio.to_wav_bytes(tone(), 8000))
    assert read_file(str(tmp_path / "really a tune.wav")).kind == "midi"
    assert read_file(str(tmp_path / "really a tone.mid")).name == "really a tone"
    for content in (b"", b"text", b"MThd broken", b"RIFF\0\0\0\0RMIDbroken", b"RIFF\0\0\0\0WAVEbroken"):
        path = Path(tmp_path / "broken.mid")
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"\.$") as refused:
            read_file(str(path))
        assert str(tmp_path) not in str(refused.value)

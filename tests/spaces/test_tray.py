"""The tray without a browser: what it keeps, says and gives; what goes from tab to tab; and sessions for programs."""

import io
import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from hub_models import Clip, audio, midi, sessions
from hub_models.clips import Call, Origin

from ..test_clips import music, tone
from .conftest import PATIENT, STUDIO
from .tiny_models import MELODY

sys.path.insert(0, str(STUDIO))

from components.send_menu import send_menu_value
from components.tray import TrayFile, delivery
from session_store import SessionFolders, SessionStore
from tabs.parts import Desk, connect, destinations, send_menu
from tray import Tray
from validate import StudioError


def tune(*pitches, name="A tune"):
    return Clip.from_midi(music(*pitches), name)


SOUND = Clip.from_audio(tone(), "A tone", sample_rate=8000)


@pytest.fixture
def tray(tmp_path):
    with gr.Blocks():
        return Tray(SessionStore(SessionFolders(tmp_path / "sessions")))


def shown(values, tray):
    return [clip["name"] for clip in values[tray.view]["clips"]]


def test_a_clip_is_kept_under_the_name_that_the_browser_knows(tray):
    values = tray.keep(None, tune(60))
    token = values[tray.token]
    assert len(token) == 32
    assert values[tray.view]["fresh"] == tune(60).id
    assert shown(tray.keep(token, SOUND), tray) == ["A tone", "A tune"]
    again, view = tray.restore(token)
    assert (again, [clip["detail"] for clip in view["clips"]]) == (token, ["Sound, 0.5 s", "MIDI, 1 bar, 120 bpm"])
    other, view = tray.restore(None)
    assert (view["clips"], other != token) == ([], True)
    assert tray.clip(token, SOUND.id).data == SOUND.data
    with pytest.raises(StudioError, match="not there any more"):
        tray.clip(other, SOUND.id)


def test_the_page_gets_no_contents_of_files(tray):
    values = tray.keep(None, Clip.from_audio(tone(30.0), "A long tone", sample_rate=8000))
    assert len(json.dumps(values[tray.view])) < 2000


def test_what_goes_for_new_clips_is_said(tmp_path):
    with gr.Blocks():
        tray = Tray(SessionStore(SessionFolders(tmp_path), max_clips=1))
    token = tray.keep(None, tune(60))[tray.token]
    said = tray.keep(token, tune(62, name="Other"))[tray.view]["said"]
    assert said == "The tray was full: the oldest went, “A tune”. What you rename stays longer."


# ---- From tab to tab


def desk(title, reads=lambda clip: "all of it", **options):
    result, output = gr.State(None), gr.Textbox()
    return Desk(
        title, result, lambda result, *with_: tune(60, name=f"{title} {result}"), [], reads,
        lambda clip, *inputs: (clip.name,), [], [output], **options,
    )  # fmt: skip


@pytest.fixture
def page(tmp_path):
    """Three tabs, of which one reads MIDI alone, one everything, and one takes nothing."""
    with gr.Blocks() as blocks:
        tray = Tray(SessionStore(SessionFolders(tmp_path / "sessions")))
        with gr.Tabs() as rooms, gr.Tab("All"):
            notes = desk("Notes", lambda clip: "its notes" if clip.kind == "midi" else None, menu=send_menu("notes-"))
            both = desk("Both", lambda clip: "as it is" if clip.kind == "audio" else "rendered to sound")
            mute = desk("Mute", menu=send_menu("mute-"), keeps=lambda result: result != "trial")
            mute.take = None
        connect(rooms, [notes, None, both, mute], tray)
    return SimpleNamespace(blocks=blocks, tray=tray, rooms=rooms, notes=notes, both=both, mute=mute)


def action(page, name, target):
    """The function that an event of a component starts."""
    found = [fn for fn in page.blocks.fns.values() if (target._id, name) in fn.targets]
    assert len(found) == 1
    return found[0]


def chosen(title, clip_id=None):
    """What a menu tells."""
    return SimpleNamespace(_data={"title": title, "id": clip_id})


def test_exactly_the_tabs_that_can_read_a_clip_are_offered(page):
    desks = [page.notes, page.both, page.mute]
    assert destinations(desks, tune(60)) == [("Notes", "its notes"), ("Both", "rendered to sound")]
    assert destinations(desks, SOUND) == [("Both", "as it is")]
    token = page.tray.keep(None, SOUND)[page.tray.token]
    view = page.tray.keep(token, tune(60))[page.tray.view]
    assert [[place["title"] for place in clip["places"]] for clip in view["clips"]] == [["Notes", "Both"], ["Both"]]
    assert send_menu_value([]) is None


def test_a_new_result_goes_into_the_tray_and_fills_the_menu(page):
    changed = action(page, "change", page.mute.result)
    values = changed.fn(None, "one")
    token = values[page.tray.token]
    assert shown(values, page.tray) == ["Mute one"]
    assert [place["title"] for place in values[page.mute.menu]["places"]] == ["Notes", "Both"]
    values = changed.fn(token, "trial")
    assert page.tray.view not in values, "what is tried is kept"
    assert values[page.mute.menu]["places"]
    values = changed.fn(token, None)
    assert values[page.mute.menu] is None
    assert len(page.tray.store.entries(token)) == 1
    assert [
        place["title"] for place in action(page, "change", page.notes.result).fn(token, "x")[page.notes.menu]["places"]
    ] == ["Both"]


def test_what_is_sent_is_kept_and_arrives(page):
    choose = action(page, "choose", page.notes.menu)
    values = choose.fn(chosen("Both"), None, "mine")
    assert values[page.rooms].selected == "Both"
    assert values[page.both.outputs[0]] == "Notes mine"
    assert page.notes.outputs[0] not in values
    assert shown(values, page.tray) == ["Notes mine"]
    with pytest.raises(gr.Error, match="nothing to take along"):
        choose.fn(chosen("Both"), None, None)
    for title in ("Mute", "Nowhere", None, 7, ["Both"]):
        with pytest.raises(gr.Error, match="no such tab"):
            choose.fn(chosen(title), None, "mine")
    with pytest.raises(gr.Error, match="no such tab"):
        choose.fn(SimpleNamespace(_data=None), None, "mine")


def test_a_clip_of_the_tray_is_sent(page):
    send = action(page, "send", page.tray.view)
    token = page.tray.keep(None, SOUND)[page.tray.token]
    values = send.fn(chosen("Both", SOUND.id), token)
    assert values[page.both.outputs[0]] == "A tone"
    other = page.tray.store.token(None)
    with pytest.raises(gr.Error, match="not there any more"):
        send.fn(chosen("Both", SOUND.id), other)


# ---- What the page asks for


def asked(page, event, token, **data):
    return action(page, event, page.tray.view).fn(token, event=SimpleNamespace(_data=data))


def test_files_come_when_they_are_asked_for(page):
    clip = tune(60)
    token = page.tray.keep(page.tray.keep(None, SOUND)[page.tray.token], clip)[page.tray.token]
    own = asked(page, "fetch", token, id=clip.id, what="own", number=3)
    assert (own["data"], own["name"], own["asked"]["number"]) == (clip.data, "a-tune.mid", 3)
    played = asked(page, "fetch", token, id=clip.id, what="wav", number=4)
    sound, rate = audio.load(played["data"])
    assert (played["name"], sound.shape[1] / rate >= clip.seconds) == ("a-tune.wav", True)
    assert asked(page, "fetch", token, id=clip.id, what="wav", number=5)["data"] == played["data"]
    assert asked(page, "fetch", token, id=SOUND.id, what="wav", number=6)["data"] == SOUND.data
    long = Clip.from_midi(music(61), "Long", seconds=3600)
    page.tray.keep(token, long)
    with pytest.warns(UserWarning, match="“Long” is too long to be rendered"):
        assert asked(page, "fetch", token, id=long.id, what="wav", number=7)["data"] is None
    for bad in ({}, {"id": "../x"}, {"id": clip.id[:-1]}, {"id": None, "what": {"a": 1}, "number": "x"}):
        with pytest.raises(gr.Error, match="not there any more"):
            asked(page, "fetch", token, **bad)


def test_a_file_is_given_by_the_cache_alone(tmp_path):
    with gr.Blocks():
        file = TrayFile()
    file.GRADIO_CACHE = str(tmp_path)
    given = file.postprocess(delivery({"number": 1}, b"data", "../../a name.wav"))
    assert given["file"]["path"].startswith(str(tmp_path))
    assert file.postprocess(delivery({"number": 1}, None, ""))["file"] is None
    assert file.postprocess(None) is None


def test_clips_are_renamed_deleted_and_brought_back(page):
    clip = tune(60)
    token = page.tray.keep(None, clip)[page.tray.token]
    assert asked(page, "rename", token, id=clip.id, name="Mine")["clips"][0]["name"] == "Mine"
    view = asked(page, "remove", token, id=clip.id)
    assert (view["clips"], view["said"], view["undo"]) == ([], "Deleted “Mine”.", clip.id)
    view = asked(page, "bring_back", token, id=clip.id)
    assert (view["clips"][0]["name"], view["said"], view["undo"]) == ("Mine", "“Mine” is back.", None)
    for event in ("rename", "remove", "bring_back"):
        with pytest.raises(gr.Error):
            asked(page, event, token, id=["x"], name=7)
        with pytest.raises(gr.Error):
            asked(page, event, None)


def test_a_session_is_saved_and_opened(page, tmp_path):
    clip = tune(60)
    token = page.tray.keep(page.tray.keep(None, SOUND)[page.tray.token], clip)[page.tray.token]
    saved = asked(page, "save", token, number=9)
    assert (saved["asked"]["number"], saved["name"], saved["data"]) == (9, "encore-session.zip", None)
    names = zipfile.ZipFile(saved["path"]).namelist()
    assert names == ["session.json", "01-a-tune.mid", "01-a-tune.wav", "02-a-tone.wav"]
    opened = action(page, "upload", page.tray._open).fn
    other, view = opened(saved["path"], None)
    assert ([entry["id"] for entry in view["clips"]], view["said"]) == ([clip.id, SOUND.id], "Opened 2 clips.")
    assert other != token
    (tmp_path / "bomb.zip").write_bytes(b"PK\5\6" + bytes(18))
    with pytest.raises(gr.Error, match="not a session"):
        opened(str(tmp_path / "bomb.zip"), other)
    with pytest.raises(gr.Error, match="no clips yet"):
        asked(page, "save", page.tray.store.token(None), number=1)


def test_a_file_is_added(page, tmp_path):
    path = midi.save(music(60), tmp_path / "My tune.mid")
    token, view = action(page, "upload", page.tray._add).fn(str(path), None)
    assert (view["clips"][0]["name"], view["said"]) == ("My tune", "Added “My tune”.")
    assert page.tray.clip(token, view["clips"][0]["id"]).origin == Origin()


# ---- For programs


@pytest.fixture(scope="module")
def client(studio, tmp_path_factory):
    from gradio_client import Client

    made = Client(studio, verbose=False, download_files=tmp_path_factory.mktemp("client"), httpx_kwargs=PATIENT)
    yield made
    made.close()


def test_a_program_saves_a_session_and_makes_its_clips_again(client, tmp_path):
    from gradio_client import handle_file

    told = {"model": MELODY, "temperature": 0.5, "seed": 3}
    clip = client.predict(**told, api_name="/sample")
    rendered, wav = client.predict(clip=clip, tempo=120, program=0, api_name="/render")
    calls = [
        {"endpoint": "/sample", "arguments": told},
        {"endpoint": "/render", "arguments": {"clip": {"$result": 0, "$output": 0}, "tempo": 120, "program": 0}},
    ]
    origin = {"action": "Sample", "model": MELODY, "seed": 3, "calls": calls}
    known = [{"name": "Found", "key": "C major", "origin": origin}, {}]
    saved = client.predict(files=[handle_file(rendered), handle_file(wav)], clips=known, api_name="/save_session")
    first, second = sessions.read_session(saved)
    assert (first.name, first.key, first.origin.calls[0]) == ("Found", "C major", Call("/sample", told))
    assert (second.kind, second.origin) == ("audio", Origin())
    assert sessions.reproduce(first, [first, second], client).id == first.id

    files, facts = client.predict(session=handle_file(saved), api_name="/open_session")
    assert [Path(file).read_bytes() for file in files] == [first.data, second.data]
    assert [fact["id"] for fact in facts] == [first.id, second.id]
    output = tmp_path / "made"
    assert sessions.main(["reproduce", saved, "--studio", client.src, "--output", str(output)]) == 0
    assert sorted(path.read_bytes() for path in output.iterdir()) == sorted([first.data, second.data])


def test_programs_are_told_what_is_wrong_with_a_session(client, tmp_path):
    from gradio_client import handle_file

    path = midi.save(music(60), tmp_path / "tune.mid")

    def refused(match, **arguments):
        endpoint = "/open_session" if "session" in arguments else "/save_session"
        with pytest.raises(Exception, match=match) as caught:
            client.predict(**arguments, api_name=endpoint)
        assert str(tmp_path) not in str(caught.value)

    one = [handle_file(path)]
    refused("no clips", files=[])
    refused("a list of 1 objects", files=one, clips=[{}, {}])
    refused("nothing is called 'evil'", files=one, clips=[{"evil": 1}])
    refused("without files", files=one, clips=[{"origin": {"files": {"a": "0" * 64}}}])
    refused("named like /interpolate", files=one, clips=[{"origin": {"calls": [{"endpoint": "http://x", "arguments": {}}]}}])
    refused("Names and keys", files=one, clips=[{"name": ["x"]}])
    refused("is made of the clip", files=one, clips=[
        {"origin": {"calls": [{"endpoint": "/a", "arguments": {"x": {"$clip": "0" * 12}}}]}}
    ])  # fmt: skip
    refused("not a session", session=handle_file(path))
    broken = io.BytesIO()
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("session.json", "{}")
    (tmp_path / "broken.zip").write_bytes(broken.getvalue())
    refused("not that of a session", session=handle_file(tmp_path / "broken.zip"))

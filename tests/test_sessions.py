"""Sessions: what is written is read again as it was, what is forged is refused, and calls make a clip again."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_models import Clip, audio, midi, sessions
from hub_models.clips import Call, Origin
from hub_models.session_archive import ArchiveLimits, SessionError
from hub_models.session_facts import from_facts, to_facts
from hub_models.sessions import SessionLimits, inline, read_session, reproduce, write_session

from .test_clips import music, tone

TUNE, OTHER, BEAT = (midi.to_bytes(music(*pitches)) for pitches in ((60, 62, 64), (67, 65), (48, 50)))
TONE = audio.to_wav_bytes(tone(), 8000)
FACTS = [field for field in Clip.__dataclass_fields__ if field != "origin"]


def source(name="A tune", data=TUNE) -> Clip:
    return Clip.from_midi(data, name)


def made(parent: Clip, name="A morph") -> Clip:
    """A clip that was made of another and of a file, by two calls."""
    calls = (
        Call("/extract", {"model": "m", "file": Call.file("own.mid")}),
        Call("/interpolate", {"start": Call.result(0, 0, "clips", 0), "all": [Call.of_clip(parent.id)], "steps": 3}),
    )
    origin = Origin("Morph", "m", {"steps": 3, "wild": 0.5}, 7, (parent.id,), calls, 0, {"own.mid": OTHER})
    return Clip.from_midi(BEAT, name, seconds=8.0, key="C major", chords=[["C"], ["Am", "F"]], origin=origin)


def written(clips, **options) -> bytes:
    target = io.BytesIO()
    write_session(clips, target, **{"sound": None, **options})
    return target.getvalue()


def assert_same(clips, others):
    assert [clip.id for clip in clips] == [clip.id for clip in others]
    for clip, other in zip(clips, others, strict=True):
        for name in FACTS:
            assert getattr(clip, name) == getattr(other, name), name
        assert clip.origin == other.origin


# ---- There and back


def test_a_session_is_a_zip_of_clips_and_what_is_known_of_them(tmp_path):
    parent, tone_clip = source(), Clip.from_audio(TONE, "Über / ..\\ a tone", tempo=90.0)
    clips = [made(parent), tone_clip, parent]
    path = tmp_path / "session.zip"
    write_session(clips, path)
    assert os.listdir(tmp_path) == ["session.zip"]
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        own = f"files/{hashlib.sha256(OTHER).hexdigest()}"
        assert names == [
            "session.json", "01-a-morph.mid", "01-a-morph.wav", "02-ber-a-tone.wav", "03-a-tune.mid", "03-a-tune.wav", own,
        ]  # fmt: skip
        assert (archive.read("01-a-morph.mid"), archive.read(own)) == (BEAT, OTHER)
        sound, rate = audio.load(archive.read("01-a-morph.wav"))
        assert sound.shape[1] / rate >= 8.0
        facts = json.loads(archive.read("session.json"))
    assert (facts["format"], facts["version"]) == ("encore-session", 1)
    first = facts["clips"][0]
    assert first["sha256"] == hashlib.sha256(BEAT).hexdigest()
    assert first["origin"]["calls"][1]["arguments"]["all"] == [{"$clip": parent.id}]
    assert_same(clips, read_session(path))
    assert_same(clips, read_session(path.read_bytes()))
    with path.open("rb") as file:
        assert_same(clips, read_session(file))
        assert not file.closed


def test_the_same_session_is_the_same_file():
    clips = [made(source()), source()]
    assert written(clips) == written(clips)


def test_a_session_may_be_empty():
    assert read_session(written([])) == []


def test_what_a_system_adds_when_it_packs_again_is_passed_over():
    session, again = zipfile.ZipFile(io.BytesIO(written([made(source()), source()]))), io.BytesIO()
    with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("files")
        archive.writestr("__MACOSX/._session.json", b"x")
        archive.writestr(".DS_Store", b"x")
        for name in reversed(session.namelist()):
            archive.writestr(name, session.read(name))
    assert len(read_session(again.getvalue())) == 2


texts = st.text(max_size=40)
names = texts.filter(lambda text: text and text.isprintable())
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts.filter(lambda key: key[:1] not in "$_"), inner, max_size=3)
    ),
    max_leaves=12,
)
arguments = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True), plain, max_size=4)
calls = st.builds(Call, st.from_regex(r"/[a-z][a-z0-9_]{0,20}", fullmatch=True), arguments)
origins = st.builds(
    Origin,
    action=texts,
    model=st.none() | texts,
    settings=st.dictionaries(texts, plain, max_size=4),
    seed=st.none() | st.integers(0, 2**31 - 1),
    parents=st.lists(st.from_regex(r"[0-9a-f]{12}", fullmatch=True), max_size=3).map(tuple),
    calls=st.lists(calls, max_size=3).map(tuple),
    output=st.integers(0, 3),
    files=st.dictionaries(names, st.binary(max_size=200), max_size=3),
)
midi_clips = st.builds(
    Clip.from_midi,
    st.sampled_from([TUNE, OTHER, BEAT]),
    texts,
    seconds=st.none() | st.floats(0, 600),
    key=st.none() | texts,
    chords=st.none() | st.lists(st.lists(texts, max_size=3), max_size=4),
    origin=origins,
)
sounds = st.builds(
    Clip.from_audio, st.just(TONE), texts, tempo=st.none() | st.floats(1, 999), key=st.none() | texts, origin=origins
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(midi_clips | sounds, max_size=4, unique_by=lambda clip: clip.id))
def test_whatever_is_written_is_read_as_it_was(clips):
    assert_same(clips, read_session(written(clips)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_damage_is_said_in_a_sentence_or_does_no_harm(data):
    session = bytearray(written([made(source()), source()]))
    for _ in range(data.draw(st.integers(1, 8))):
        session[data.draw(st.integers(0, len(session) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(session[: data.draw(st.integers(0, len(session)) | st.just(len(session)))])
    try:
        clips = read_session(cut)
    except ValueError as error:
        assert type(error).__module__.startswith("hub_models.")
        assert str(error).endswith(".")
        assert "\n" not in str(error)
    else:
        assert [clip.data for clip in clips] == [BEAT, TUNE]


def test_sound_is_left_out_where_there_is_no_room_for_it():
    long = Clip.from_midi(TUNE, "Long", seconds=11 * 60)
    names = zipfile.ZipFile(io.BytesIO(written([long], sound=sessions.sound_of))).namelist()
    assert names == ["session.json", "01-long.mid"]
    clips = [source("One"), source("Two", OTHER)]
    small = SessionLimits(max_json_bytes=20_000, archive=ArchiveLimits(max_bytes=21_000))
    session = written(clips, sound=lambda clip: b"RIFF" + bytes(700), limits=small)
    names = zipfile.ZipFile(io.BytesIO(session)).namelist()
    assert names == ["session.json", "01-one.mid", "01-one.wav", "02-two.mid"]
    assert_same(clips, read_session(session, small))


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    parent = source()
    with pytest.raises(SessionError, match="is made of the clip"):
        written([made(parent)])
    with pytest.raises(SessionError, match="once only"):
        written([parent, parent.named("Twice")])
    with pytest.raises(SessionError, match="at most 64 clips, not 65"):
        written([replace(parent, origin=Origin(seed=seed)) for seed in range(65)])
    with pytest.raises(SessionError, match="more than the 0 MB"):
        written([parent], limits=SessionLimits(archive=ArchiveLimits(max_bytes=100)))
    for origin in (
        Origin("x" * 201),
        Origin(files={"a\nb": b"x"}),
        Origin(calls=(Call("/a", {"B": 1}),)),
        Origin(output=99),
    ):
        with pytest.raises(SessionError):
            write_session([replace(parent, origin=origin)], tmp_path / "session.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_clip_can_take_its_parents_along():
    parent = source()
    child = inline(made(parent), {parent.id: parent}.__getitem__)
    assert child.id == made(parent).id
    assert child.origin.calls[1].arguments["all"] == [{"$file": f"{parent.id}.mid"}]
    assert child.origin.files == {"own.mid": OTHER, f"{parent.id}.mid": TUNE}
    assert_same([child], read_session(written([child])))
    assert inline(parent, {}.__getitem__) is parent


def test_what_a_clip_is_known_by_needs_no_zip():
    clip, files = made(source()), {hashlib.sha256(OTHER).hexdigest(): OTHER}
    assert_same([clip], [from_facts(json.loads(json.dumps(to_facts(clip))), clip.data, files.__getitem__)])


# ---- Made again


class FakeStudio:
    """A client whose endpoints are functions of their arguments; files come as paths under `output_dir`."""

    def __init__(self, folder: Path, **endpoints):
        self.output_dir, self.endpoints, self.asked = str(folder), endpoints, []

    def predict(self, *, api_name, **arguments):
        self.asked.append((api_name, arguments))
        return self.endpoints[api_name.removeprefix("/")](**arguments)

    def file(self, content: bytes) -> str:
        path = Path(self.output_dir) / f"{len(self.asked)}.mid"
        path.write_bytes(content)
        return str(path)


def held(reference) -> bytes:
    return Path(reference["path"]).read_bytes()


@pytest.fixture
def fake(tmp_path):
    pytest.importorskip("gradio_client")
    studio = FakeStudio(tmp_path)
    studio.endpoints = {
        "extract": lambda model, file: {"clips": [{"notes": held(file).hex()}, "another"]},
        "interpolate": lambda start, all, steps: (
            studio.file(bytes.fromhex(start["notes"]) + held(all[0]) + b"%d" % steps),
            1,
        ),
    }
    return studio


def remade(parent, data):
    return replace(made(parent), data=data)


def test_a_clip_is_made_again_by_its_calls(fake):
    parent = source()
    clip = remade(parent, OTHER + TUNE + b"3")
    again = reproduce(clip, [clip, parent], fake)
    assert (again.id, again.data) == (clip.id, clip.data)
    assert [endpoint for endpoint, _ in fake.asked] == ["/extract", "/interpolate"]
    assert not Path(fake.asked[0][1]["file"]["path"]).exists(), "its files stay behind"
    other = remade(parent, TUNE)
    fake.endpoints["interpolate"] = lambda **arguments: fake.file(OTHER)
    again = reproduce(other, [other, parent], fake)
    assert again.data == OTHER
    assert again.id != other.id


def test_what_cannot_be_made_again_is_said(fake):
    parent = source()
    with pytest.raises(SessionError, match="its own source"):
        reproduce(parent, [parent], fake)
    clip = made(parent)
    with pytest.raises(SessionError, match="is not in the session"):
        reproduce(clip, [clip], fake)
    for answer in (None, 3, "text", "/etc/hostname", {"path": "/etc/hostname"}, ()):
        fake.endpoints["interpolate"] = lambda answer=answer, **arguments: answer
        with pytest.raises(SessionError, match="/interpolate gave no file"):
            reproduce(clip, [clip, parent], fake)
    fake.endpoints["extract"] = lambda **arguments: {"clips": []}
    with pytest.raises(SessionError, match="which is not there"):
        reproduce(clip, [clip, parent], fake)


def test_a_text_that_looks_like_a_file_is_sent_as_text(fake):
    clip = Clip.from_midi(BEAT, "A", origin=Origin(calls=(Call("/one", {}), Call("/two", {"file": Call.result(0)}))))
    fake.endpoints = {"one": lambda: "/etc/hostname", "two": lambda file: fake.file(BEAT)}
    assert reproduce(clip, [clip], fake).data == BEAT
    assert fake.asked[1][1] == {"file": "/etc/hostname"}


# ---- The command


def test_the_command_lists_what_a_session_holds(tmp_path, capsys):
    write_session([made(source()), source()], tmp_path / "session.zip", sound=None)
    assert sessions.main(["list", str(tmp_path / "session.zip")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "A morph  (Morph, m, seed 7)" in first
    assert "A tune  (Upload)" in second
    (tmp_path / "broken.zip").write_bytes(b"x")
    assert sessions.main(["list", str(tmp_path / "broken.zip")]) == 2
    assert "not a session" in capsys.readouterr().err


def test_the_command_says_of_each_clip_whether_it_came_out_the_same(tmp_path, capsys, fake, monkeypatch):
    import gradio_client

    parent = source()
    same, other = (
        remade(parent, OTHER + TUNE + b"3"),
        replace(made(parent, "Another"), origin=Origin("Draw", calls=(Call("/draw", {}),))),
    )
    fake.endpoints["draw"] = lambda: fake.file(TUNE)
    monkeypatch.setattr(gradio_client, "Client", lambda *arguments, **options: fake)
    write_session([other, same, parent], tmp_path / "session.zip", sound=None)
    monkeypatch.setattr(sessions, "read_session", lambda path: [other, same, parent])  # `same` is no MIDI that can be read
    command = ["reproduce", str(tmp_path / "session.zip"), "--output", str(tmp_path / "made")]
    assert sessions.main(command) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "1/3  A tune: a source, kept as it is",
        "2/3  A morph: the same, byte for byte",
        "3/3  Another: NOT the same",
    ]
    assert sorted(path.read_bytes() for path in (tmp_path / "made").iterdir()) == sorted([TUNE, same.data, TUNE])
    fake.endpoints["draw"] = lambda: 1 / 0
    assert sessions.main(command) == 1
    assert "3/3  Another: FAILED: division by zero" in capsys.readouterr().out


def test_without_a_client_or_a_studio_the_command_says_what_is_missing(tmp_path, capsys, monkeypatch):
    write_session([source()], tmp_path / "session.zip", sound=None)
    command = [
        "reproduce",
        str(tmp_path / "session.zip"),
        "--studio",
        "http://127.0.0.1:9",
        "--output",
        str(tmp_path / "made"),
    ]
    assert sessions.main(command) == 2
    assert "No Studio answers at http://127.0.0.1:9" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "gradio_client", None)
    assert sessions.main(command) == 2
    assert "needs gradio_client: pip install" in capsys.readouterr().err


def test_reading_a_session_needs_no_gradio(tmp_path):
    write_session([source()], tmp_path / "session.zip", sound=None)
    code = "import sys; sys.modules['gradio_client'] = sys.modules['gradio'] = None; "
    code += "from hub_models.sessions import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "list", str(tmp_path / "session.zip")]
    assert "A tune" in subprocess.run(command, capture_output=True, text=True, check=True).stdout

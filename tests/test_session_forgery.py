"""Sessions that are damaged, forged or too large: each is refused in a sentence, and nothing is written or run."""

import hashlib
import io
import json
import os
import stat
import struct
import zipfile
from dataclasses import replace

import pytest

from hub_models.session_archive import Archive, ArchiveLimits, SessionError
from hub_models.session_facts import to_facts
from hub_models.sessions import SessionLimits, read_session

from .test_sessions import OTHER, TUNE, made, source, written


def forged(change=None, files=None, entries=None, **zip_options) -> bytes:
    """A session with another session.json, other files, or entries of a zip file that were made by hand."""
    with zipfile.ZipFile(io.BytesIO(written([made(source()), source()]))) as session:
        content = {name: session.read(name) for name in session.namelist()}
    facts = json.loads(content["session.json"])
    if change:
        changed = change(facts)
        facts = facts if changed is None else changed
    content["session.json"] = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    content.update(files or {})
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", **zip_options) as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
        for entry, data in entries or []:
            archive.writestr(entry, data)
    return target.getvalue()


def refused(session, pattern, limits=SessionLimits()):
    with pytest.raises(ValueError, match=pattern) as caught:
        read_session(session, limits)
    assert type(caught.value).__module__.startswith("hub_models."), repr(caught.value)
    assert str(caught.value).endswith(".")
    assert "Traceback" not in str(caught.value)


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def test_what_is_no_session_is_refused():
    for content in (b"", b"nonsense", TUNE, b"PK\5\6" + bytes(18), written([]) + b"!", b"PK\3\4" + bytes(100)):
        refused(content, "not a session")
    refused(written([])[:-30] + bytes(30), "not a session")
    with pytest.raises(SessionError, match=r"no session file named nowhere\.zip"):
        read_session("/tmp/does/not/exist/nowhere.zip")
    with pytest.raises(TypeError, match="not int"):
        read_session(7)


@pytest.mark.parametrize(
    "name",
    ["../evil.mid", "/etc/evil.mid", "a/../../evil.mid", "..\\evil.mid", "C:evil.mid", "a//b", "./a", "a\x01b", "x" * 300],
)
def test_names_that_lead_elsewhere_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(forged(entries=[(name, b"x")]), "no plain name")
    assert list(tmp_path.iterdir()) == []


def test_entries_that_no_session_has_are_refused():
    refused(forged(entries=[(link("evil.mid"), "/etc/passwd")]), "is a link or a device")
    refused(forged(entries=[("more.zip", b"PK")]), "another zip file")
    refused(forged(entries=[("extra.txt", b"x")]), "'extra.txt', which session.json does not name")
    refused(forged(entries=[("SESSION.JSON", b"{}")]), "two files called")
    with pytest.warns(UserWarning, match="Duplicate"):
        refused(forged(entries=[("session.json", b"{}")]), "two files called")
    refused(forged(compression=zipfile.ZIP_LZMA), "use deflate")
    refused(forged(compression=zipfile.ZIP_BZIP2), "use deflate")
    session = bytearray(forged())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        session[session.index(signature) + flags] |= 1
    refused(bytes(session), "encrypted")


def test_bombs_are_refused():
    bomb = b"0" * 3_000_000
    refused(forged(files={"01-a-morph.mid": bomb}, compression=zipfile.ZIP_DEFLATED), "200 times as large")
    refused(forged(files={"session.json": bomb}, compression=zipfile.ZIP_DEFLATED), "200 times as large")
    small = ArchiveLimits(max_bytes=10_000, max_zip_bytes=100_000, max_entries=6)
    limits = SessionLimits(archive=small, max_json_bytes=9_000)
    refused(forged(files={"session.json": os.urandom(9_500)}), "more than 0.009 MB", limits)
    refused(forged(files={"01-a-morph.mid": os.urandom(9_900)}), "more than the 0.01 MB", limits)
    refused(forged(files={"01-a-morph.mid": os.urandom(200_000)}), "at most 0 MB are allowed", limits)
    refused(forged(entries=[(f"{index}.mid", b"") for index in range(9)]), "at most 6 are allowed", limits)
    refused(forged(entries=[(f"{index}.mid", b"") for index in range(5000)]), "at most 1000 are allowed")


def test_headers_are_not_believed():
    session = forged(files={"01-a-morph.mid": b"0" * 3_000_000}, compression=zipfile.ZIP_DEFLATED)
    at = session.index(b"PK\1\2", session.index(b"PK\1\2") + 4)  # the list's entry for the second file
    for size in (10, 2**32 - 2):  # said to be smaller, and larger, than it is
        lying = bytearray(session)
        lying[at + 24 : at + 28] = struct.pack("<L", size)
        refused(bytes(lying), "damaged|changed|times as large|more than")
    lying = bytearray(session)
    lying[at + 20 : at + 24] = struct.pack("<L", 2**31)  # as if it were stored, not compressed
    refused(bytes(lying), "forged")
    count = bytearray(forged())
    count[-12:-6] = struct.pack("<HL", 2, 2**31)[:6]
    refused(bytes(count), "too many files")
    refused(forged()[:-22] + b"PK\6\7" + bytes(16) + forged()[-22:], "more than 4 GB")


def test_session_json_must_be_what_it_is_to_be():
    refused(forged(files={"session.json": None}), "holds no session.json")
    refused(forged(lambda facts: b"{"), "not JSON")
    refused(forged(lambda facts: b"\xff"), "not JSON")
    refused(forged(lambda facts: b"[]"), "not that of a session")
    refused(forged(lambda facts: b'{"format": "encore-session", "version": NaN}'), "not JSON")
    refused(forged(lambda facts: b"[" * 100_000 + b"]" * 100_000), "not JSON")
    refused(forged(lambda facts: {**facts, "format": "other"}), "not that of a session")
    refused(forged(lambda facts: {**facts, "version": 2}), "version 2; version 1 can be read")
    refused(forged(lambda facts: {**facts, "clips": 1}), "no list of clips")
    refused(forged(lambda facts: {**facts, "clips": [1]}), "no list of clips")
    refused(forged(lambda facts: {**facts, "clips": facts["clips"] * 40}), "holds 80 clips; at most 64")
    deep = json.loads("[" * 60 + "]" * 60)
    refused(forged(lambda facts: facts["clips"][0]["origin"]["settings"].update(deep=deep)), "40 levels deep")


@pytest.mark.parametrize(
    ("path", "value", "pattern"),
    [
        ("name", 7, "The name of a clip must be a text"),
        ("name", "x" * 81, "at most 80"),
        ("kind", "film", "kind 'film'"),
        ("kind", ["midi"], "of the kind"),
        ("kind", "audio", "another id|sound file"),
        ("file", "nothing.mid", "'nothing.mid', which is not in it"),
        ("file", "../x", "not in it"),
        ("file", 3, "does not say which file"),
        ("sha256", "0" * 64, "other contents"),
        ("id", "0" * 12, "another id"),
        ("seconds", -1, "The seconds of a clip must be a number"),
        ("seconds", 1e300, "must be a number"),
        ("seconds", True, "must be a number"),
        ("tempo", "fast", "The tempo"),
        ("bars", 1.5, "The bars of a clip must be a whole number"),
        ("chords", [["C"], "G"], "a list of symbols for each bar"),
        ("has_drums", 1, "true or false"),
        ("origin", None, "where it is from"),
        ("origin.action", None, "The action"),
        ("origin.seed", -1, "The seed"),
        ("origin.seed", 8, "another id"),
        ("origin.output", 100, "The output"),
        ("origin.settings", [], "settings"),
        ("origin.settings", {"steps": 4}, "another id"),
        ("origin.parents", ["x"], "ids of clips"),
        ("origin.files", {"a": "b"}, "SHA-256"),
        ("origin.files", {"own.mid": "0" * 64}, "is not in it"),
        ("origin.calls", [{"endpoint": "/a"}], "an endpoint and arguments"),
        ("origin.calls", [{"endpoint": "http://evil", "arguments": {}}], "named like /interpolate"),
        ("origin.calls", [{"endpoint": "/a", "arguments": {"api_name": "/b"}}], "may not be called"),
        ("origin.calls", [{"endpoint": "/a", "arguments": {"__class__": 1}}], "names as those of parameters"),
        ("origin.calls", [{"endpoint": "/a", "arguments": {"x": {"$file": "../../etc/passwd"}}}], "does not have"),
        ("origin.calls", [{"endpoint": "/a", "arguments": {"x": {"$result": 0}}}], "does not come before"),
        ("origin.calls", [{"endpoint": "/a", "arguments": {"x": {"$clip": "0" * 12}}}], "is not in the session"),
        ("origin.calls", [{"endpoint": "/a", "arguments": {"x": {"$clip": "/etc"}}}], "no id"),
        ("origin.calls", [{"endpoint": "/a", "arguments": {"x": [{"$evil": 1}]}}], "none of"),
        (
            "origin.calls",
            [{"endpoint": "/a", "arguments": {"x": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}}}],
            "names a file by its place",
        ),
    ],
)  # fmt: skip
def test_every_value_is_checked(path, value, pattern):
    def change(facts):
        target = facts["clips"][0]
        *way, last = path.split(".")
        for step in way:
            target = target[step]
        target[last] = value

    refused(forged(change), pattern)


def test_contents_must_be_those_that_are_named():
    refused(forged(files={"01-a-morph.mid": TUNE}), "other contents than it says")
    own = f"files/{hashlib.sha256(OTHER).hexdigest()}"
    refused(forged(files={own: TUNE}), "other contents than session.json says")
    refused(
        forged(lambda facts: facts.update(clips=facts["clips"][:1]), files={"02-a-tune.mid": None}), "not in the session"
    )
    refused(forged(lambda facts: facts["clips"].append(facts["clips"][1])), "same clip twice")

    def nonsense(facts):
        clip = replace(made(source()), data=b"MThd nonsense")
        facts["clips"][0].update(to_facts(clip))

    refused(forged(nonsense, files={"01-a-morph.mid": b"MThd nonsense"}), "MIDI")


def test_what_is_said_of_a_file_is_read_off_the_file():
    def lie(facts):
        facts["clips"][1].update(bars=99, tempo=1.0, has_drums=True, seconds=0.0)

    clip = read_session(forged(lie))[1]
    assert (clip.bars, clip.tempo, clip.has_drums, clip.seconds) == (1, pytest.approx(120), False, pytest.approx(1.5))


def test_an_archive_gives_no_more_than_is_asked_for():
    with Archive(forged()) as archive:
        assert "session.json" in archive.names
        with pytest.raises(SessionError, match="more than 1e-05 MB"):
            archive.read("session.json", 10)

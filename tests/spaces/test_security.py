"""The Studio and those who mean it no good: what may come in, what may be fetched, what browsers and messages are told."""

import asyncio
import concurrent.futures
import json
import os
import socket
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlparse

import numpy as np
import pytest

from hub_models import audio

from . import raw
from .conftest import CHECKOUT, STUDIO, serve
from .tiny_models import MELODY

CLIP = {"notes": [[60, 0, 1, 90]], "bars": 2}
# Notes everything that wants to leave the machine: what is looked up and what is connected to.
WATCHMAN = """
import os, sys
HOME = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", None)
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        host = address[0] if isinstance(address, tuple) else address
        host = host.decode() if isinstance(host, bytes) else host
        if host not in HOME and not str(host).startswith("/"):
            with open(os.environ["ENCORE_WATCHED"], "a") as book:
                book.write(f"{event} {host}\\n")
sys.addaudithook(watch)
"""


@pytest.fixture
def http(studio):
    with raw.connect(studio) as http:
        yield http


@pytest.fixture(scope="module")
def wav():
    wave = np.sin(np.arange(22_050) * 0.06).astype(np.float32) * 0.5
    return audio.to_wav_bytes(wave, 22_050)


def test_every_answer_has_safe_headers(http, tune):
    path = raw.upload(http, "tune.mid", tune.read_bytes())
    answers = {
        place: http.get(place)
        for place in ("/", "/config", "/gradio_api/info", "/theme.css", f"/gradio_api/file={path}", "/nowhere", "/static/x")
    }
    for answer in answers.values():
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "microphone=()" in answer.headers["Permissions-Policy"]
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy
        assert "*" not in policy.replace("https://*.hf.space", "")
    page = answers["/"].headers["Content-Security-Policy"]
    scripts = next(part for part in page.split("; ") if part.startswith("script-src"))
    assert "unsafe-inline" not in scripts
    assert "'sha256-" in scripts
    assert "object-src 'none'" in page
    assert "sandbox" in answers[f"/gradio_api/file={path}"].headers["Content-Security-Policy"]


def test_the_page_runs_its_own_scripts_and_no_others(open_page, studio):
    page = open_page()
    page.evaluate(
        """() => { window.refused = [];
        document.addEventListener('securitypolicyviolation', (event) => window.refused.push(event.violatedDirective)); }"""
    )
    for name in page.locator("#tabs [role=tab]").all_inner_texts()[:8]:
        page.locator("#tabs").get_by_role("tab", name=name, exact=True).first.click()
    page.wait_for_function("document.querySelectorAll('#tabs [role=tab][aria-selected=true]').length > 0")
    assert page.evaluate("window.refused") == []
    page.evaluate(
        """() => { const script = document.createElement('script'); script.textContent = 'window.intruder = 1';
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="window.intruder = 2">'); }"""
    )
    page.wait_for_function("window.refused.length >= 2")
    assert page.evaluate("window.intruder") is None


@pytest.mark.parametrize("name", ["page.html", "picture.svg", "script.js", "page.mid.html", "notes.xhtml", "tune.mid"])
def test_what_was_uploaded_is_never_shown(http, name):
    path = raw.upload(http, name, b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    for headers in ({}, {"Range": "bytes=0-20"}):
        answer = http.get(f"/gradio_api/file={path}", headers=headers)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")


def test_sound_is_served_as_sound(http, wav):
    path = raw.upload(http, "voice.wav", wav)
    whole = http.get(f"/gradio_api/file={path}")
    assert whole.headers["Content-Type"].startswith("audio/")
    assert whole.content == wav
    part = http.get(f"/gradio_api/file={path}", headers={"Range": "bytes=10-19", "X-Own": "secret"})
    assert (part.status_code, part.content) == (206, wav[10:20])
    assert "X-Own" not in part.headers
    for odd in ("bytes=0-1-2", "bytes=0-1,5-6", "bytes=a-b", "bytes=--", "lines=1-2", "bytes=" + "9" * 5000 + "-"):
        assert http.get(f"/gradio_api/file={path}", headers={"Range": odd}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "app.py",
        str(STUDIO / "app.py"),
        str(CHECKOUT / "pyproject.toml"),
        "..%2f..%2fetc%2fpasswd",
        "/proc/self/environ",
        "{cache}",
        "{cache}/..",
        "{cache}/../../../../etc/passwd",
        "{models}/" + MELODY + "/config.json",
        "http://example.com/x.mid",
        "https:/example.com/x.mid",
        "file:///etc/passwd",
        "%00",
        "x" * 5000,
    ],
)
def test_files_that_are_nobodys_business(http, tiny_folder, path):
    cache = Path(raw.upload(http, "a.mid", b"a")).parents[1]
    answer = http.get("/gradio_api/file=" + path.format(cache=cache, models=tiny_folder))
    assert answer.status_code in (403, 404)
    # No more than what was asked for, with dots resolved by who asked: no place where it would be.
    asked = unquote(path.format(cache=cache, models=tiny_folder))
    allowed = [f"File not allowed: {way}." for way in (asked, os.path.normpath(asked))]
    assert answer.json()["detail"] in [*allowed, "There is nothing here."]


def test_a_file_of_somebody_else_cannot_be_guessed(http, wav):
    """Its address holds a digest of its contents: only who has the file knows where it is."""
    path = Path(raw.upload(http, "voice.wav", wav))
    assert len(path.parent.name) == 64
    for guess in (path.parents[1] / "voice.wav", path.parent, path.parent.with_name("0" * 64) / "voice.wav"):
        assert http.get(f"/gradio_api/file={guess}").status_code == 403


@pytest.mark.parametrize(
    "place",
    [
        "/gradio_api/deep_link?session_hash=a", "/monitoring", "/monitoring/summary", "/gradio_api/proxy=http://example.com/",
        "/gradio_api/vibe-code", "/gradio_api/runs", "/gradio_api/file=http://127.0.0.1/", "/docs", "/redoc",
        "/openapi.json", "/gradio_api/../app.py", "/gradio_api/mcp/../run",
    ],
)  # fmt: skip
def test_what_gradio_offers_and_nobody_needs(http, place):
    assert http.get(place).status_code == 404


@pytest.mark.parametrize("way", ["run", "api"])
def test_nobody_goes_round_the_queue(http, way):
    assert http.post(f"/gradio_api/{way}/sample", json={"data": [MELODY, 1.0, 0]}).status_code == 404


def test_only_what_is_done_at_once_goes_round_the_queue(http):
    """The page presses Stop so, in five tabs, and looks at candidates of Jukebox; all else has a queue to wait in."""
    actions = [each for each in http.get("/config").json()["dependencies"] if each["backend_fn"]]
    assert sum(not each["queue"] for each in actions) == 7

    def status(action, data):
        asked = {"data": data, "fn_index": action["id"], "session_hash": "someone"}
        return http.post("/gradio_api/run/predict", json=asked).status_code

    assert {status(each, []) for each in actions if not each["queue"] and not each["inputs"]} == {200}
    assert {status(each, [None] * len(each["inputs"])) for each in actions if each["queue"]} == {404}


@pytest.mark.parametrize(
    "name",
    [
        "../../../../tmp/owned.mid",
        "/etc/owned.mid",
        "..\\..\\owned.mid",
        "C:\\owned.mid",
        "n" * 3000 + ".mid",
        "new\nline\x07.mid",
        "Ünïcödé 🎹 \u202egpj.mid",
        "%2e%2e%2fowned.mid",
        ".mid",
        "..",
        "~/owned.mid",
        "$(id).mid;rm -rf",
    ],
)
def test_names_of_files_are_no_paths(http, tune, name):
    cache = Path(raw.upload(http, "a.mid", b"a")).parents[1]
    disposition = f'form-data; name="files"; filename="{name}"'.encode()
    body = b"--b\r\nContent-Disposition: " + disposition.replace(b"\n", b"%0A") + b"\r\n\r\n" + tune.read_bytes()
    answer = http.post(
        "/gradio_api/upload", content=body + b"\r\n--b--\r\n", headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    if answer.status_code != 200:
        assert answer.status_code == 400
        return
    path = Path(answer.json()[0])
    assert path.parents[1] == cache
    assert len(path.name.encode()) <= 255
    kind, found = raw.ask(http, "extract", MELODY, {**raw.file(str(path)), "orig_name": name})
    assert kind == "complete", found
    assert str(cache) not in json.dumps(found)


def test_uploads_that_are_none_leave_nothing(http):
    cache = Path(raw.upload(http, "a.mid", b"a")).parents[1]
    before = set(cache.rglob("*"))
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    for sent in (
        {"data": {"files": "text"}, "files": {"x": ("", b"")}},
        {"content": b"--b\r\nnonsense", "headers": form},
        {"content": b"", "headers": {"Content-Type": "text/plain"}},
        {"content": b"x" * 100, "headers": {"Content-Type": "multipart/form-data"}},
    ):
        for progress in ("", "?upload_id=abc"):
            answer = http.post(f"/gradio_api/upload{progress}", **sent)
            assert 400 <= answer.status_code < 500 or answer.json() == []
    assert set(cache.rglob("*")) == before


def at_the_border(path: str, chunks: int, **limits: int) -> tuple[int | None, int]:
    """What is answered to a body of so many megabytes, and how many of its bytes come through."""
    sys.path.insert(0, str(STUDIO))
    import border

    answered, arrived = [], 0

    async def app(scope, receive, send):
        nonlocal arrived
        more = True
        while more:
            message = await receive()
            arrived, more = arrived + len(message["body"]), message["more_body"]

    async def receive():
        nonlocal chunks
        chunks -= 1
        return {"type": "http.request", "body": bytes(1_000_000), "more_body": chunks > 0}

    async def send(message):
        answered.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # this thread may have a loop already
        pool.submit(lambda: asyncio.run(border.Border(app, **limits)(scope, receive, send))).result()
    return (answered or [None])[0], arrived


def test_what_comes_is_bounded():
    assert at_the_border("/gradio_api/upload", 220) == (None, 220_000_000)
    assert at_the_border("/gradio_api/upload", 221) == (413, 0)
    assert at_the_border("/gradio_api/upload", 3, max_kept_bytes=2_000_000) == (507, 0)
    assert at_the_border("/gradio_api/queue/join", 5) == (None, 5_000_000)
    assert at_the_border("/gradio_api/queue/join", 6) == (413, 0)
    assert at_the_border("/gradio_api/mcp/", 40) == (413, 0)


def test_an_upload_that_breaks_off_leaves_nothing(http, studio):
    cache = Path(raw.upload(http, "a.mid", b"a")).parents[1]
    before = set(cache.rglob("*"))
    place = urlparse(studio)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="half.mid"\r\n\r\n' + bytes(500_000)
        )
    assert http.get("/config").status_code == 200
    assert set(cache.rglob("*")) == before


def lying_wav() -> bytes:
    """A header that promises four gigabytes."""
    return b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x22\x56\0\0\x44\xac\0\0\2\0\x10\0data\xff\xff\xff\xff" + bytes(
        64
    )


def crowded_midi() -> bytes:
    """Six hundred thousand events in less than 5 MB."""
    track = b"\0\x90\x3c\x40" + b"\0\x3c\x40\1\x3c\0" * 300_000 + b"\0\xff\x2f\0"
    return b"MThd\0\0\0\6\0\0\0\1\0\xdc" + b"MTrk" + len(track).to_bytes(4, "big") + track


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("page.mid", b"<html>" * 100),
        ("empty.mid", b""),
        ("half.mid", b"MThd\0\0\0\6"),
        ("sound.mid", None),
        ("large.mid", b"MThd" + bytes(5_100_000)),
        ("crowded.mid", crowded_midi()),
    ],
)
def test_no_music_is_refused_in_a_sentence(http, wav, name, contents):
    path = raw.upload(http, name, wav if contents is None else contents)
    raw.check_sentence(raw.ask(http, "extract", MELODY, raw.file(path)))


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("page.wav", b"<html>" * 100),
        ("empty.wav", b""),
        ("lying.wav", lying_wav()),
        ("midi.wav", crowded_midi()),
        ("long.wav", b"long"),
    ],
)
def test_no_sound_is_refused_in_a_sentence(http, name, contents):
    if contents == b"long":
        contents = audio.to_wav_bytes(np.zeros(8000 * 301, np.float32), 8000)
    path = raw.upload(http, name, contents)
    raw.check_sentence(raw.ask(http, "vocode", file=raw.file(path), schedule="2", seconds=1))


def test_a_kind_of_file_is_told_by_its_contents(http, tune, wav):
    kind, answer = raw.ask(http, "extract", MELODY, raw.file(raw.upload(http, "tune.wav", tune.read_bytes())))
    assert kind == "complete", answer
    voice = raw.file(raw.upload(http, "voice.mid", wav))
    kind, answer = raw.ask(http, "vocode", file=voice, schedule="2", seconds=0.5)
    assert kind == "complete", answer


@pytest.mark.parametrize(
    "file",
    [
        raw.file("/etc/passwd"),
        raw.file(str(STUDIO / "app.py")),
        raw.file("app.py"),
        raw.file("http://example.com/tune.mid"),
        raw.file("http://127.0.0.1/gradio_api/file=/etc/passwd"),
        {**raw.file("/etc/passwd"), "url": "http://example.com/tune.mid", "is_stream": True},
        {"path": "/etc/passwd"},
        {"path": None},
        {"url": "http://example.com/tune.mid"},
        "/etc/passwd",
        ["/etc/passwd"],
        [raw.file("/etc/passwd")],
        7,
        True,
        {},
    ],
)
def test_files_that_were_not_uploaded_are_not_read(http, file):
    message = raw.check_sentence(raw.ask(http, "extract", MELODY, file))
    assert "root:" not in message


def test_a_file_of_an_answer_is_as_good_as_one_uploaded(http, studio):
    """What `/render` gave is named by its address, as tools do."""
    _, (midi, _) = raw.ask(http, "render", CLIP, 120, 0)
    kind, found = raw.ask(http, "extract", MELODY, raw.file(f"{studio}/gradio_api/file={midi['path']}"))
    assert kind == "complete"
    assert found[0]["clips"]


@pytest.mark.parametrize(
    "clip",
    [
        {"notes": [raw.file("/etc/passwd")], "bars": 2},
        {**CLIP, "name": raw.file("http://example.com/")},
        {**CLIP, "name": {"path": "/etc/passwd", "meta": 7}},
    ],
)
def test_no_file_hides_in_an_object(http, clip):
    assert "may hold no file" in raw.check_sentence(raw.ask(http, "reconstruct", MELODY, clip, 0.5, 0))


@pytest.mark.parametrize("depth", [17, 500, 5_000, 200_000])
def test_what_is_deep(http, depth):
    nested = "[" * depth + "]" * depth
    body = f'{{"data": ["{MELODY}", {{"notes": {nested}, "bars": 2}}, 0.5, 0]}}'.encode()
    raw.check_sentence(raw.ask(http, "reconstruct", body=body))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_numbers_that_are_none(http, number):
    body = f'{{"data": ["{MELODY}", {{"notes": [[60, 0, {number}, 90]], "bars": 2}}, 0.5, 0]}}'.encode()
    raw.check_sentence(raw.ask(http, "reconstruct", body=body))
    raw.check_sentence(raw.ask(http, "sample", body=f'{{"data": ["{MELODY}", 1.0, {number}]}}'.encode()))


def test_what_is_long(http):
    raw.check_sentence(raw.ask(http, "reconstruct", MELODY, {"notes": [[60, 0, 1, 90]] * 100_000, "bars": 2}, 0.5, 0))
    raw.check_sentence(raw.ask(http, "taps", [0.1] * 100_000, None, 120))
    raw.check_sentence(raw.ask(http, "sample", "m" * 1_000_000, 1.0, 0))
    answer = http.post("/gradio_api/call/sample", content=b'{"data": ["' + b"m" * 6_000_000 + b'"]}')
    assert answer.status_code == 413


def test_nothing_tells_where_the_server_keeps_what(http, tiny_folder, tune):
    import gradio

    secrets = [str(CHECKOUT), str(Path.home()) + "/", str(tiny_folder), str(Path(gradio.__file__).parents[1])]
    told = [
        http.get(place).text for place in ("/", "/config", "/gradio_api/info?all_endpoints=true", "/gradio_api/openapi.json")
    ]
    path = raw.upload(http, "tune.mid", tune.read_bytes())
    told += [json.dumps(raw.ask(http, "models")), json.dumps(raw.ask(http, "extract", MELODY, raw.file(path)))]
    told += [json.dumps(raw.ask(http, "render", CLIP, 120, 0))]
    assert [secret for secret in secrets for text in told if secret in text] == []


def test_the_server_asks_nobody_for_anything(tiny_folder, tmp_path_factory, tune, wav):
    folder = tmp_path_factory.mktemp("watch")
    (folder / "sitecustomize.py").write_text(WATCHMAN)
    book = folder / "book.txt"
    book.write_text("")
    watched = {"PYTHONPATH": f"{CHECKOUT}:{folder}", "ENCORE_WATCHED": str(book)}
    with serve(tiny_folder, tmp_path_factory, **watched) as address, raw.connect(address) as http:
        http.get("/")
        midi, voice = raw.upload(http, "tune.mid", tune.read_bytes()), raw.upload(http, "voice.wav", wav)
        assert raw.ask(http, "extract", MELODY, raw.file(midi))[0] == "complete"
        assert raw.ask(http, "sample", MELODY, 1.0, 0)[0] == "complete"
        assert raw.ask(http, "render", CLIP, 120, 0)[0] == "complete"
        assert raw.ask(http, "vocode", file=raw.file(voice), schedule="2", seconds=0.5)[0] == "complete"
        raw.ask(http, "extract", MELODY, raw.file("http://example.com/tune.mid"))
        raw.ask(http, "reconstruct", MELODY, {**CLIP, "name": raw.file("http://example.com/tune.mid")}, 0.5, 0)
        http.get("/gradio_api/file=" + quote("http://example.com/", safe=""))
    assert book.read_text() == ""

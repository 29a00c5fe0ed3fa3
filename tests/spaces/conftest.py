"""A Studio that runs on tiny models with random weights, in a process of its own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pretty_midi
import pytest

from . import pages, tiny_models

CHECKOUT = Path(__file__).resolve().parents[2]
STUDIO = CHECKOUT / "spaces" / "studio"
START_SECONDS = 180
SCRIPT_FAILED = "Error executing js_on_load"  # how Gradio says that the script of a component failed
PATIENT = {"timeout": 120.0}  # what a client waits for an answer, in seconds


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A folder with a tiny model of every kind."""
    return tiny_models.write(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def studio(tiny_folder, tmp_path_factory):
    """The address of a running Studio with all kinds of models."""
    with serve(tiny_folder, tmp_path_factory) as address:
        yield address


@pytest.fixture(scope="module")
def one_thread():
    """As the Studio of these tests has, for what is made again to the bit: sums are added up in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def slow_studio(tmp_path_factory):
    """The address of a Studio whose performer is so slow that there is time to press Stop, even on a busy machine."""
    folder = tmp_path_factory.mktemp("slow")
    tiny_models.write(folder, (tiny_models.LONG_MELODY, tiny_models.BAND))
    name = tiny_models.PERFORMER
    tiny_models.write_performer(folder / name, hidden_size=512, num_hidden_layers=6, **tiny_models.PERFORMERS[name])
    with serve(folder, tmp_path_factory) as address:
        yield address


@contextlib.contextmanager
def serve(models: Path, tmp_path_factory, *options: str, **variables: str):
    """Runs a Studio on a folder of models; gives its address. What it logs must hold no traceback.

    Args:
        options: of its command line.
        variables: of its environment.
    """
    log = tmp_path_factory.mktemp("studio") / "log.txt"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "OMP_NUM_THREADS": "1",
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
        "ENCORE_STUDIO_RUNS": str(tmp_path_factory.mktemp("runs")),
        "ENCORE_STUDIO_SESSIONS": str(tmp_path_factory.mktemp("sessions")),
        **variables,
    }
    with log.open("w") as output:
        command = [sys.executable, str(STUDIO / "app.py"), "--port", str(port), "--models", str(models), *options]
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    config = urllib.request.urlopen(address + "/config", timeout=5).read()
                    assert json.loads(config)["title"] == "Encore Studio"
                    break
                except OSError:
                    assert server.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=20)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=pages.CHROMIUM, args=pages.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, studio):
    """Opens the page; afterwards checks that it asked nobody else for anything and raised nothing."""
    contexts, outside, errors = [], [], []

    def open_page(width=1440, scheme="light", address=studio, room="Morph", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        context.set_default_timeout(pages.PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: outside.append(request.url) if _leaves(request.url, address) else None)
        page.on("websocket", lambda socket: outside.append(socket.url) if "127.0.0.1" not in socket.url else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if SCRIPT_FAILED in said.text else None)
        page.goto(f"{address}/?__theme={scheme}")
        if room == "Morph":
            pages.open_tab(page, room, "#clip-a .note")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert outside == []
    assert errors == []


def _leaves(url, studio):
    return not url.startswith((studio, "data:", "blob:"))


@pytest.fixture
def tune(tmp_path) -> Path:
    """A real MIDI file: four bars of melody in 4/4, two more in 3/4, and a drum track."""
    music = pretty_midi.PrettyMIDI(initial_tempo=100)
    beat = 0.6
    melody = pretty_midi.Instrument(0, name="Flute")
    for index, pitch in enumerate((60, 62, 64, 65, 67, 69, 71, 72, 72, 71, 69, 67, 65, 64, 62, 60, 60, 64, 67, 60, 64, 67)):
        melody.notes.append(pretty_midi.Note(90, pitch, index * beat, (index + 0.9) * beat))
    drums = pretty_midi.Instrument(0, is_drum=True, name="Kit")
    for index in range(32):
        drums.notes.append(pretty_midi.Note(90, 36 if index % 4 == 0 else 42, index * beat / 2, index * beat / 2 + 0.1))
    music.instruments += [melody, drums]
    music.time_signature_changes = [pretty_midi.TimeSignature(4, 4, 0.0), pretty_midi.TimeSignature(3, 4, 16 * beat)]
    path = tmp_path / "A tune.mid"
    music.write(str(path))
    return path


@pytest.fixture
def long_tune(tmp_path) -> Path:
    """A MIDI file of twenty bars in 4/4: melody, bass and drums."""
    music = pretty_midi.PrettyMIDI(initial_tempo=120)
    flute, bass = pretty_midi.Instrument(73, name="Flute"), pretty_midi.Instrument(33, name="Bass")
    drums = pretty_midi.Instrument(0, is_drum=True, name="Kit")
    for beat in range(80):
        start = beat / 2
        flute.notes.append(pretty_midi.Note(90, 60 + (beat * 5) % 17, start, start + 0.4))
        bass.notes.append(pretty_midi.Note(90, 36 + (beat // 4 * 5) % 7, start, start + 0.4))
        drums.notes.append(pretty_midi.Note(90, 42 if beat % 2 else 36, start, start + 0.1))
    music.instruments += [flute, bass, drums]
    path = tmp_path / "A long tune.mid"
    music.write(str(path))
    return path

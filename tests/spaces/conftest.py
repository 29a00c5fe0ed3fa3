"""A Studio that runs on two tiny models with random weights, in a process of its own."""

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

CHECKOUT = Path(__file__).resolve().parents[2]
STUDIO = CHECKOUT / "spaces" / "studio"
MELODY, DRUMS = "music-vae-tiny-melody", "music-vae-tiny-drums"
START_SECONDS = 90


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """A folder with a melody model (with attribute vectors) and a drum model."""
    import torch
    from safetensors.torch import save_file

    from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor

    folder = tmp_path_factory.mktemp("models")
    sizes = {"latent_size": 8, "encoder_hidden_sizes": [16], "decoder_hidden_sizes": [16, 16]}
    for name, representation, preset in (
        (MELODY, "melody", "cat-mel_2bar_small"),
        (DRUMS, "drums", "cat-drums_2bar_small"),
    ):
        torch.manual_seed(7)
        MusicVAEModel(MusicVAEConfig.from_preset(preset, **sizes)).save_pretrained(folder / name)
        MusicVAEProcessor(representation=representation).save_pretrained(folder / name)
    names = ("c_diatonic", "note_density", "average_interval", "syncopation_16th", "syncopation_8th")
    generator = torch.Generator().manual_seed(1)
    vectors = {name: torch.randn(8, generator=generator) for name in names}
    save_file(vectors, folder / MELODY / "attribute_vectors.safetensors")
    return folder


@pytest.fixture(scope="session")
def studio(tiny_models, tmp_path_factory):
    """The address of a running Studio."""
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
    }
    with log.open("w") as output:
        command = [sys.executable, str(STUDIO / "app.py"), "--port", str(port), "--models", str(tiny_models)]
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

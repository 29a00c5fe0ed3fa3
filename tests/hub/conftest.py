"""A local Hub, tiny checkpoints and a MIDI file for the tests of publishing."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pretty_midi
import pytest
import torch

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path.insert(0, str(HERE))  # for hub_server and hub_measure, however pytest imports this folder

from hub_server import HubServer  # noqa: E402

METRICS = {  # as hub_models.music_vae.evaluate writes it
    "split": "validation",
    "num_files": 56,
    "num_examples": 1234,
    "num_samples": 1000,
    "latents": "sample",
    "temperature": 1.0,
    "reconstruction": {
        "teacher_forced_accuracy": 0.9712,
        "sampled_accuracy": 0.9345,
        "teacher_forced_event_accuracy": 0.9612,
        "sampled_event_accuracy": 0.9245,
        "exact_sequences": 0.5125,
        "kl_divergence_bits": 51.25,
    },
    "samples": {"in_range": 1.0, "non_empty": 0.995, "non_duplicate": 0.9875},
}


@pytest.fixture(scope="session")
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def failing_hub():
    """A Hub of its own, for tests that make it fail."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def run_client(hub, tmp_path_factory):
    """Runs Python in a process of its own that takes the local server for the Hub; returns the finished process."""
    home = tmp_path_factory.mktemp("hf-home")
    workplace = tmp_path_factory.mktemp("elsewhere")

    def run(*arguments, token="token-of-someone"):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
        environment = kept | {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1",
        }
        if token is not None:
            environment["HF_TOKEN"] = token
        if "-I" not in arguments:
            environment["PYTHONPATH"] = str(CHECKOUT)
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=workplace, env=environment, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture
def metrics():
    """The content of a metrics.json."""
    return copy.deepcopy(METRICS)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Folder of a tiny melody MusicVAE with random weights, its processor, an extra file and metrics."""
    from safetensors.torch import save_file

    from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor

    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = MusicVAEConfig(latent_size=6, encoder_hidden_sizes=[8], decoder_hidden_sizes=[8, 8])
    model = MusicVAEModel(config)
    for parameter in model.parameters():  # away from the initial near-zero latents, so that outputs differ
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    MusicVAEProcessor(representation="melody").save_pretrained(folder)
    save_file({"note_density": torch.randn(6), "syncopation_16th": torch.randn(6)}, folder / "attribute_vectors.safetensors")
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    return folder


@pytest.fixture(scope="session")
def song(tmp_path_factory):
    """A MIDI file: a melody of four bars of 4/4 at 120 quarters per minute."""
    midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
    instrument = pretty_midi.Instrument(program=0, name="melody")
    for step, pitch in enumerate([60, 62, 64, 65, 67, 65, 64, 62, 72, 71, 69, 67, 65, 64, 62, 60]):
        instrument.notes.append(pretty_midi.Note(velocity=90, pitch=pitch, start=step * 0.5, end=step * 0.5 + 0.25))
    midi.instruments.append(instrument)
    path = tmp_path_factory.mktemp("song") / "my-song.mid"
    midi.write(str(path))
    return path


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory):
    """Folder of a tiny WaveGrad with random weights and metrics."""
    from tiny_pipelines import write_pipeline

    return write_pipeline(tmp_path_factory.mktemp("pipeline"), tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="session")
def performer(tmp_path_factory):
    """Folder of a tiny Transformer Autoencoder that hears style and melody, with its metrics and those of its siblings."""
    from tiny_performers import write_measured

    folder = tmp_path_factory.mktemp("performer")
    return write_measured(folder, "melody_performance", ("unconditional", "performance", "melody"))


@pytest.fixture(scope="session")
def jukebox(tmp_path_factory):
    """Folder of a tiny Jukebox with random weights and metrics."""
    from tiny_jukeboxes import write_measured_jukebox

    folder = tmp_path_factory.mktemp("jukebox")
    return write_measured_jukebox(folder / "jukebox-tiny", folder)

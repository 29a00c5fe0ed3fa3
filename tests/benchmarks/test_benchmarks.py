"""Every benchmark runs, at sizes that measure nothing, and prints its table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pretty_midi
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BENCHMARKS = CHECKOUT / "benchmarks"


def run(script: str, folder: Path, *arguments: object) -> tuple[str, dict]:
    """What a benchmark prints, and what it writes."""
    figures = folder / "figures.json"
    command = [sys.executable, str(BENCHMARKS / script), "--json", str(figures), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, json.loads(figures.read_text())


@pytest.fixture
def midi_folder(tmp_path) -> Path:
    folder = tmp_path / "midi"
    folder.mkdir()
    for number in range(3):
        midi = pretty_midi.PrettyMIDI(initial_tempo=120)
        piano = pretty_midi.Instrument(0)
        piano.notes = [pretty_midi.Note(80, 60 + number + step % 7, step / 4, (step + 1) / 4) for step in range(32)]
        midi.instruments.append(piano)
        midi.write(str(folder / f"{number}.mid"))
    (folder / "broken.mid").write_bytes(b"MThd")
    return folder


def test_sampling_compares_with_the_matrix_products(tmp_path):
    sizes = ("--hidden-size", 8, "--latent-size", 4, "--batch-size", 2, "--length", 3)
    printed, figures = run("music_vae_sampling.py", tmp_path, *sizes, "--threads", 1, "--repeats", 2)
    assert "matrix products alone" in printed
    against_magenta, against_products = figures["rows"]
    assert against_magenta["peer"] is None  # the published figure is for the published size alone
    assert against_products["ratio"] == pytest.approx(against_products["ours"] / against_products["peer"])


def test_trios_compare_with_the_matrix_products_and_need_no_more_memory_for_more(tmp_path):
    sizes = ("--hidden-size", 8, "--latent-size", 4, "--batch-size", 2, "--length", 6, "--segments", 3)
    printed, figures = run("music_vae_trio_sampling.py", tmp_path, *sizes, "--threads", 1, "--repeats", 2)
    assert "matrix products alone" in printed
    assert "segment by segment" in printed
    assert [row["unit"] for row in figures["rows"]][:2] == ["s", "s"]
    if (memory := figures["details"]["memory_megabytes"])["2"] is not None:
        assert memory["16"] > 0


def test_bands_write_the_events_that_they_are_measured_by(tmp_path):
    sizes = ("--hidden-size", 8, "--latent-size", 4, "--bars", 3, "--max-tracks", 4, "--track-events", 12)
    printed, figures = run("music_vae_multitrack_arrangement.py", tmp_path, *sizes, "--threads", 1, "--repeats", 1)
    peers = [row["peer_name"] for row in figures["rows"]]
    assert peers == ["one bar at a time", "the original's way: no track stops", "matrix products alone"]
    written = figures["details"]["written"]
    assert written["bars"] * 4 < written["events"] < written["of"] == 3 * 4 * 12
    assert f"{written['events']} events of 144" in printed
    ways = figures["details"]["threads"]["1"]["fastest_products"]
    assert sum(ways.values()) == 1 + 4 + 1 + written["longest_track"]  # of bars, the conductor, tracks, events


def test_training_compares_with_the_same_model_on_torchs_lstm(tmp_path):
    sizes = ("--hidden-size", 4, "--latent-size", 4, "--batch-size", 2)
    printed, figures = run("music_vae_training.py", tmp_path, *sizes, "--threads", 1, "--repeats", 1)
    assert "torch.nn.LSTM" in printed
    (row,) = figures["rows"]
    assert row["ratio"] == pytest.approx(row["ours"] / row["peer"])


def test_preparation_reads_every_file_in_both_modes(tmp_path, midi_folder):
    printed, figures = run("music_vae_preparation.py", tmp_path, "--data", midi_folder)
    assert "There are only 4 files" not in printed  # a remark, not part of the table
    assert {result["broken"] for result in figures["details"].values()} == {1}
    assert all(result["windows"] >= 3 for result in figures["details"].values())


def test_cold_start_waits_until_the_studio_answers(tmp_path):
    (tmp_path / "no_models").mkdir()
    _, figures = run("space_cold_start.py", tmp_path, "--repeats", 1, "--models", tmp_path / "no_models")
    seconds = {name: result["median"] for name, result in figures["details"].items()}
    assert 0 < seconds["imports"] < seconds["page"] < seconds["interactive"]


def test_vocoding_measures_time_and_memory_of_each_length(tmp_path):
    sizes = ("--widths", 16, "--seconds", 0.2, 0.4, "--threads", 1, "--repeats", 1, "--ways", "bfloat16")
    printed, figures = run("wavegrad_vocoding.py", tmp_path, *sizes)
    assert "bfloat16" in printed
    units = [row["unit"] for row in figures["rows"]]
    assert units.count("real-time factor") == 3
    assert all(row["ours"] > 0 for row in figures["rows"])


def test_performances_compare_with_recomputation_and_with_memory(tmp_path):
    sizes = ("--hidden-size", 16, "--num-layers", 1, "--length", 12, "--context-length", 16, "--batch-sizes", 1, 2)
    short = (
        "--positions",
        3,
        "--long-length",
        32,
        "--loop-length",
        4,
        "--repeats",
        1,
        "--long-repeats",
        1,
        "--memory-megabytes",
        1,
    )
    printed, figures = run("transformer_autoencoder_generation.py", tmp_path, *sizes, *short)
    assert "ms/event by blocks of 4" in printed
    peers = ["full recomputation, the original's way", "weights and cache over bandwidth"]
    assert [row["peer_name"] for row in figures["rows"]] == [*peers, *peers, "events 12 to 16", "a loop by hand"]
    measured = figures["details"]["threads"]["1"]
    assert list(measured["batch_1"]["recomputation_seconds"]) == ["1", "6", "12"]
    assert len(measured["positions"]["milliseconds_by_block"]) == 8
    for row in figures["rows"]:
        assert row["ratio"] == pytest.approx(row["ours"] / row["peer"])
    # One layer of 16: 4 * 16 * 16 in attention, 2 * 16 * 32 and biases in the feed-forward layers, three norms, distances,
    # and the output; for each piece two vectors of 16 for every event heard, of which there are 6.5 on average.
    weights = 4 * 16 * 16 + 2 * 16 * 32 + 32 + 16 + 3 * 32 + 8 * 16 + 310 * 16
    for batch_size in (1, 2):
        bytes_read = 4 * (weights + 6.5 * batch_size * 32)
        assert measured[f"batch_{batch_size}"]["megabytes_per_step"] == pytest.approx(bytes_read / 1e6)

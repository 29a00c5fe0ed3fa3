"""Every benchmark runs, at sizes that measure nothing, and prints its table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pretty_midi
import pytest

from tests.jukebox import transformers4

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


JUKEBOX_SIZES = ("--hidden-size", 32, "--num-layers", 3, "--context-length", 128, "--tokens", 24, "--memory-megabytes", 1)
VQVAE_SIZES = ("--width", 4, "--seconds", 0.02, "--threads", 1, "--repeats", 1)
JUKEBOX_REPEATS = ("--threads", 1, "--repeats", 1, "--position-repeats", 1)


def test_codes_of_music_compare_with_memory_and_with_products_of_weights(tmp_path):
    printed, figures = run("jukebox_sampling.py", tmp_path, *JUKEBOX_SIZES, *JUKEBOX_REPEATS, "--markdown")
    assert "There is no GPU here" in printed or "cuda" in printed
    assert "| batch 1, 1 thread, tokens/s |" in printed
    of_batch = ["weights and cache over bandwidth", "products of weights alone"]
    assert [row["peer_name"] for row in figures["rows"]][:5] == [*of_batch, *of_batch, "codes 0 to 16"]
    measured = figures["details"]["threads"]["1"]
    assert len(measured["positions"]["milliseconds_by_block"]["ours"]) == 8
    # Three layers of 32 with attention of 8: their weights and those of the output. Of 24 codes in blocks of 8, one hears
    # 4.5 codes of its row on average, 2 of its column, and the 8 of the row before, which for the first are zeros.
    layer = 32 * 24 + 24 + 8 * 32 + 32 + 2 * (32 * 32 + 32) + 4 * 32
    for batch_size in (1, 8):
        bytes_read = 4 * (3 * layer + 2048 * 32 + 2 * 8 * (4.5 + 2 + 8) * batch_size)
        assert measured[f"batch_{batch_size}"]["megabytes_per_step"] == pytest.approx(bytes_read / 1e6)


def test_codes_of_music_are_timed_on_an_accelerator_at_the_1b_size(tmp_path):
    sizes = ("--accelerator", "cpu", "--accelerator-layers", 1, "--accelerator-tokens", 1, "--accelerator-megabytes", 1)
    _, figures = run("jukebox_sampling.py", tmp_path, *JUKEBOX_SIZES, *JUKEBOX_REPEATS, "--batch-sizes", 1, *sizes)
    names = [row["measurement"] for row in figures["rows"]]
    assert names[-2:] == ["1b, bfloat16, batch 1, cpu", "1b, float16, batch 1, cpu"]
    assert figures["details"]["accelerator"]["bfloat16_1"]["seconds"]


def test_audio_to_codes_and_back_is_timed_at_every_level(tmp_path):
    _, figures = run("jukebox_vqvae.py", tmp_path, *VQVAE_SIZES)
    names = [row["measurement"].partition(",")[0] for row in figures["rows"]]
    assert names == ["encode and decode", "encode", "decode from level 0", "decode from level 1", "decode from level 2"]
    both, encoded, decoded = (row["ours"] for row in figures["rows"][:3])
    assert both == pytest.approx(encoded + decoded)


def test_both_sides_of_jukebox_compute_the_same(tmp_path):
    folder = transformers4.folder()
    if not (folder / "complete").exists():
        pytest.skip(f"transformers 4 is not in {folder}: python -m tests.jukebox.transformers4 installs it")
    sizes = (*JUKEBOX_SIZES, *JUKEBOX_REPEATS, "--batch-sizes", 1)
    _, sampled = run("jukebox_sampling.py", tmp_path, *sizes, "--peer-folder", folder)
    logits = sampled["rows"][-1]
    _, coded = run("jukebox_vqvae.py", tmp_path, *VQVAE_SIZES, "--peer-folder", folder)
    codes, audio = coded["rows"][-2:]
    for row in (logits, codes, audio):
        assert "differ" in row["measurement"]
        assert row["met"]
    assert sampled["rows"][0]["peer_name"].startswith("transformers 4")
    assert sampled["rows"][0]["peer"] > 0

"""Preparing MIDI files for training: from files to the two-bar windows of melody that MusicVAE learns from, on one core.

    python benchmarks/music_vae_preparation.py --data DIR --peer-python ~/encore-peers/magenta/bin/python

- Ours, for the original's rules (`mode="original"`) and for the musical ones (`mode="musical"`), each in two ways:
  `prepare_windows` as training calls it, with one process, Arrow cache written and read back; and the work on each file
  alone (`read_score`, then `MusicVAEProcessor.extract`).
- The peer: `note_seq.midi_file_to_note_sequence`, then Magenta's `OneHotMelodyConverter` as `cat-mel_2bar_big` sets it
  up, without its limit of five windows per file, since ours keeps all. In an environment without Magenta:
  note-seq's own split, quantisation and melodies. It keeps its results in memory.

Both read the same files, which have been read once before. The unit is files per second of processor time, over all
threads: what one core does in a second, whatever else the machine is doing. Wall-clock times are in the JSON.
"""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
from reporting import Row, common_arguments, report, run_peer

from hub_models import MusicVAEProcessor
from hub_models.music_vae.data import DataFile, find_midi_files, prepare_windows
from hub_models.music_vae.note_sequence import NoteSequence, read_score

MODES = ("original", "musical")
MIN_RATIO = 10
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def prepare_each(files: list[DataFile], processor: MusicVAEProcessor) -> dict[str, int]:
    """The work on the files alone, in one process, results thrown away."""
    windows = broken = 0
    for file in files:
        try:
            windows += len(processor.extract(NoteSequence.from_symusic(read_score(file.path))).examples)
        except Exception:  # as prepare_windows counts them
            broken += 1
    return {"windows": windows, "broken": broken}


def prepare_all(files: list[DataFile], processor: MusicVAEProcessor) -> dict[str, int]:
    """As training prepares them, into a cache that is thrown away."""
    with tempfile.TemporaryDirectory() as cache:
        summary = prepare_windows(files, processor, Path(cache), num_proc=1).summary
    return {"windows": summary["windows"], "broken": summary["broken_files"]}


def clock(function: Callable[..., dict[str, int]], *arguments: Any) -> dict[str, float]:
    """What it counted, and the seconds it took: of the processor (all threads) and on the wall."""
    processor_start, wall_start = time.process_time(), time.perf_counter()
    counts = function(*arguments)
    return {
        **counts,
        "processor_seconds": time.process_time() - processor_start,
        "wall_seconds": time.perf_counter() - wall_start,
    }


def main() -> None:
    parser = common_arguments("Speed of reading MIDI files into training examples, against note-seq and Magenta.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of MIDI files")
    parser.add_argument("--num-files", type=int, default=1000, help="files to read, drawn at random with a fixed seed")
    parser.add_argument("--peer-python", default=None, help="Python of an environment with one of peers/requirements-*.txt")
    arguments = parser.parse_args()

    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    files = find_midi_files(arguments.data)
    if len(files) < arguments.num_files:
        print(f"There are only {len(files)} files; all are read.", file=sys.stderr)
    files = random.Random(0).sample(files, min(arguments.num_files, len(files)))
    for file in files:  # so that no one pays for the disk
        Path(file.path).read_bytes()
    processors = {mode: MusicVAEProcessor(mode=mode) for mode in MODES}
    prepare_all(files[:2], processors["original"])  # imports and first calls

    measured: dict[str, dict[str, float]] = {}
    for mode, processor in processors.items():
        measured[f"prepare_windows, {mode}"] = clock(prepare_all, files, processor)
        measured[f"each file alone, {mode}"] = clock(prepare_each, files, processor)
    peer, peer_name = None, "no --peer-python"
    if arguments.peer_python:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as listing:
            json.dump([file.path for file in files], listing)
            listing.flush()
            measured["peer"] = run_peer(
                arguments.peer_python, "note_seq_preparation.py", listing.name, environment=ONE_THREAD
            )
        peer, peer_name = len(files) / measured["peer"]["processor_seconds"], measured["peer"]["name"]
    rows = []
    for what, result in measured.items():
        if what != "peer":
            ours = len(files) / result["processor_seconds"]
            met = None if peer is None else ours >= MIN_RATIO * peer
            rows.append(Row(what, "files/s", ours, peer, peer_name, f"ratio >= {MIN_RATIO}", met))
    report(f"MusicVAE preparation: {len(files)} MIDI files on one core", rows, measured, arguments.json)
    for what, result in measured.items():
        print(f"{what}: {result['windows']} windows, {result['broken']} broken files")
    if "peer" in measured:
        print(f"Of the peer's time, {measured['peer']['reading_share']:.0%} goes into reading MIDI.")


if __name__ == "__main__":
    main()

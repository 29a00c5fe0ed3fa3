"""Times preparation by note-seq and Magenta; run by benchmarks/music_vae_preparation.py in the peer's environment.

Takes a JSON file with a list of paths. Reads each by note-seq and turns it into all its two-bar windows: by Magenta's own
converter where Magenta is installed, else by the functions of note-seq that it calls. One JSON object on stdout.
"""

import json
import sys
import time
from collections.abc import Callable

import note_seq
from note_seq import sequences_lib

STEPS_PER_BAR, WINDOW_STEPS = 16, 32


def magenta_converter() -> tuple[str, Callable]:
    """A name, and a function from a note sequence to the windows that the original would train on.

    Raises:
        ImportError: Magenta is not installed.
    """
    from magenta.models.music_vae.configs import CONFIG_MAP

    converter = CONFIG_MAP["cat-mel_2bar_big"].data_converter
    converter.max_tensors_per_notesequence = None
    return "note-seq and Magenta's converter", lambda sequence: converter.to_tensors(sequence).outputs


def note_seq_windows(sequence) -> list:
    """Nearly the same with note-seq alone: one melody per instrument, of any program, that ends at its first long rest."""
    windows = []
    for piece in sequences_lib.split_note_sequence_on_time_changes(sequence):
        try:
            quantized = note_seq.quantize_note_sequence(piece, 4)
        except (note_seq.BadTimeSignatureError, note_seq.NegativeTimeError):
            continue
        for instrument in {note.instrument for note in quantized.notes if not note.is_drum}:
            melody = note_seq.Melody()
            try:
                melody.from_quantized_sequence(quantized, instrument=instrument, ignore_polyphonic_notes=True, pad_end=True)
            except note_seq.NonIntegerStepsPerBarError:
                break
            ends = range(WINDOW_STEPS, len(melody) + 1, STEPS_PER_BAR)
            windows += {tuple(melody[end - WINDOW_STEPS : end]) for end in ends}
    return windows


def measure(paths: list[str], convert: Callable) -> dict[str, float]:
    """Reads and converts the files; counts and times it."""
    windows = broken = 0
    reading_seconds = 0.0
    wall_start, processor_start = time.perf_counter(), time.process_time()
    for path in paths:
        file_start = time.process_time()
        try:
            sequence = note_seq.midi_file_to_note_sequence(path)
        except note_seq.MIDIConversionError:
            broken += 1
            continue
        finally:
            reading_seconds += time.process_time() - file_start
        windows += len(convert(sequence))
    processor_seconds = time.process_time() - processor_start
    return {
        "windows": windows,
        "broken": broken,
        "processor_seconds": processor_seconds,
        "wall_seconds": time.perf_counter() - wall_start,
        "reading_share": reading_seconds / processor_seconds,
    }


def main() -> None:
    with open(sys.argv[1]) as listing:
        paths = json.load(listing)
    try:
        name, convert = magenta_converter()
    except ImportError:
        name, convert = "note-seq alone", note_seq_windows
    measure(paths[:2], convert)  # imports and first calls
    print(json.dumps({"name": name, **measure(paths, convert)}))


if __name__ == "__main__":
    main()

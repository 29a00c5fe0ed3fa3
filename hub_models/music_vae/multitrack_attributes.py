"""Musical attributes of one-bar multitrack sequences, for attribute vectors (Simon et al., 2018: "increased pitch range",
"strings only", "more tracks")."""

import numpy as np
from torch import Tensor

from .multitrack_measures import as_tracks, measure_notes

STRINGS = range(40, 52)  # General MIDI: violin to synthesised string ensembles
NUM_PITCHES = 128


def measure_multitracks(sequences: np.ndarray | Tensor) -> dict[str, np.ndarray]:
    """The five attributes of sequences (N, 512); each value has the shape (N,), float64, and is 0 where there is nothing to
    measure.

    `pitch_range`: semitones from the lowest to the highest note of a pitched track, the mean over those that play.
    `num_tracks`: tracks that play, drums among them. `strings`: share of string instruments (programs 40..51) among the
    pitched tracks that play. `note_density`: notes in the bar. `loudness`: mean velocity bin, 1..8, of the notes.
    """
    num_items, num_tracks, _ = as_tracks(sequences).shape
    notes = measure_notes(sequences)
    track = notes.item * num_tracks + notes.track
    lowest = np.full(num_items * num_tracks, NUM_PITCHES)
    highest, program = np.full_like(lowest, -1), np.full_like(lowest, -1)
    np.minimum.at(lowest, track, notes.pitch)
    np.maximum.at(highest, track, notes.pitch)
    program[track] = notes.program
    by_item = (num_items, num_tracks)
    plays, program = (highest >= 0).reshape(by_item), program.reshape(by_item)
    pitched = plays & (program < NUM_PITCHES)
    spans = np.where(pitched, (highest - lowest).reshape(by_item), 0)
    num_pitched = np.maximum(pitched.sum(axis=1), 1)
    num_notes = np.bincount(notes.item, minlength=num_items)
    return {
        "pitch_range": spans.sum(axis=1) / num_pitched,
        "num_tracks": plays.sum(axis=1).astype(np.float64),
        "strings": (pitched & np.isin(program, STRINGS)).sum(axis=1) / num_pitched,
        "note_density": num_notes.astype(np.float64),
        "loudness": np.bincount(notes.item, notes.velocity_bin, minlength=num_items) / np.maximum(num_notes, 1),
    }


MULTITRACK_ATTRIBUTES = ("pitch_range", "num_tracks", "strings", "note_density", "loudness")

__all__ = ["MULTITRACK_ATTRIBUTES", "measure_multitracks"]

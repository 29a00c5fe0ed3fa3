"""Drum tracks as sequences of hit combinations, extracted as the original does."""

from collections.abc import Iterator

import numpy as np

from .pieces import Piece

# General MIDI percussion to nine classes; the first pitch of a class is the one that is written. Data of the original.
DRUM_CLASSES: dict[str, tuple[int, ...]] = {
    "kick": (36, 35),
    "snare": (38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85),
    "closed hi-hat": (42, 44, 54, 68, 69, 70, 71, 73, 78, 80, 22),
    "open hi-hat": (46, 67, 72, 74, 79, 81, 26),
    "low tom": (45, 29, 41, 43, 61, 64, 84),
    "mid tom": (48, 47, 60, 63, 77, 86, 87),
    "high tom": (50, 30, 62, 76, 83),
    "crash": (49, 52, 55, 57, 58),
    "ride": (51, 53, 59, 82),
}


def class_of_pitch(classes: list[tuple[int, ...]] | list[list[int]]) -> np.ndarray:
    """Table (128,) from MIDI pitch to drum class; -1 for pitches of no class."""
    table = np.full(128, -1, dtype=np.int64)
    for index, pitches in enumerate(classes):
        table[list(pitches)] = index
    return table


def extract_drums(
    piece: Piece, steps_per_bar: int, pitch_to_class: np.ndarray, max_bars: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Drum tracks of a piece, all drum instruments together.

    A gap of a bar or more between hits ends a track; a track starts at a bar line and is filled up to one.

    Yields:
        (first step of the track in the piece, hit combinations (T,) uint16 with bit c set for class c).
    """
    if not len(piece.notes):
        return
    steps, index = np.unique(piece.start_step, return_inverse=True)
    drum_class = pitch_to_class[piece.notes.pitch]
    hits = np.zeros(len(steps), dtype=np.uint16)
    known = drum_class >= 0
    np.bitwise_or.at(hits, index[known], (1 << drum_class[known]).astype(np.uint16))
    breaks = np.flatnonzero(steps[1:] - steps[:-1] - 1 >= steps_per_bar) + 1
    for part in np.split(np.arange(len(steps)), breaks):
        first_step = steps[part[0]] - steps[part[0]] % steps_per_bar
        num_bars = (steps[part[-1]] - first_step) // steps_per_bar + 1
        combinations = np.zeros(num_bars * steps_per_bar, dtype=np.uint16)
        combinations[steps[part] - first_step] = hits[part]
        if max_bars is not None:
            combinations = combinations[: max_bars * steps_per_bar]
        yield int(first_step), combinations


def drum_notes(combinations: np.ndarray, output_pitches: list[int]) -> list[tuple[int, int, int]]:
    """Hit combinations (T,) to notes (pitch, start step, end step) of one step each, by step and class."""
    return [
        (pitch, step, step + 1)
        for step, combination in enumerate(combinations.tolist())
        for index, pitch in enumerate(output_pitches)
        if combination >> index & 1
    ]

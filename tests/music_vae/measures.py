"""Measures of several tracks, written token by token."""

from itertools import chain

import numpy as np

from hub_models.music_vae.multitrack_events import (
    DRUMS,
    END,
    MAX_TRACK_TOKENS,
    MAX_TRACKS,
    NOTE_OFF,
    NOTE_ON,
    PADDING,
    PROGRAM,
    TIME_SHIFT,
)

DRUM_KIT = 128


def write_measure(*tracks: list[int]) -> np.ndarray:
    """Tracks of tokens without their ends as a sequence (512,)."""
    sequence = np.full((MAX_TRACKS, MAX_TRACK_TOKENS), PADDING, dtype=np.int64)
    for row in range(MAX_TRACKS):
        tokens = [*tracks[row], END] if row < len(tracks) else [END]
        sequence[row, : len(tokens)] = tokens
    return sequence.ravel()


def write_notes(program: int, pitches: list[int], steps: int = 96) -> list[int]:
    """A track in which pitches sound together from the start of the bar for so many steps; program 128 is the drum kit."""
    ons = [NOTE_ON + pitch for pitch in sorted(pitches)]
    offs = [NOTE_OFF + pitch for pitch in sorted(pitches)]
    rest = [wait(96 - steps)] if steps < 96 else []
    return [PROGRAM + program if program < DRUM_KIT else DRUMS, *ons, wait(steps), *offs, *rest]


def write_scale(program: int, pitches: list[int]) -> list[int]:
    """A track in which pitches follow one another, evenly over the bar."""
    steps = 96 // len(pitches)
    events = [(NOTE_ON + pitch, wait(steps), NOTE_OFF + pitch) for pitch in pitches]
    return [PROGRAM + program, *chain.from_iterable(events)]


def wait(steps: int) -> int:
    """The token of a time shift."""
    return TIME_SHIFT + steps - 1

"""Monophonic melodies as event sequences, extracted as the original does (sections 8 of its converters)."""

from collections.abc import Iterator

import numpy as np

from .pieces import Piece

NO_EVENT, NOTE_OFF, FIRST_NOTE_ON = 0, 1, 2
MAX_ORIGINAL_BARS = 100


def extract_melodies(
    piece: Piece, steps_per_bar: int, min_pitch: int, max_bars: int | None
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Melodies of every instrument of a piece, in the order of instruments.

    Of notes that start together the highest is kept, and a new note cuts the sounding one. A rest of a bar or more ends a
    melody. A melody starts at a bar line, and is filled up to one.

    Yields:
        (instrument, first step of the melody in the piece, events (T,) uint8); T is a multiple of `steps_per_bar`.
    """
    for instrument in np.unique(piece.notes.instrument):
        mask = piece.notes.instrument == instrument
        start, end, pitch = piece.start_step[mask], piece.end_step[mask], piece.notes.pitch[mask]
        order = np.lexsort((-pitch, start))
        start, end, pitch = start[order], end[order], pitch[order]
        highest = np.concatenate([[True], start[1:] != start[:-1]])
        start, end, pitch = start[highest], end[highest], pitch[highest]
        breaks = np.flatnonzero(start[1:] - end[:-1] >= steps_per_bar) + 1
        for part in np.split(np.arange(len(start)), breaks):
            first_step = start[part[0]] - start[part[0]] % steps_per_bar
            events = _events(start[part] - first_step, end[part] - first_step, pitch[part] - min_pitch, steps_per_bar)
            if max_bars is not None:
                events = events[: max_bars * steps_per_bar]
            yield int(instrument), int(first_step), events


def _events(start: np.ndarray, end: np.ndarray, note: np.ndarray, steps_per_bar: int) -> np.ndarray:
    num_bars = max(-(-end[-1] // steps_per_bar), 1)
    events = np.zeros(num_bars * steps_per_bar + 1, dtype=np.uint8)
    sounding_until = np.minimum(end, np.append(start[1:], end[-1]))
    events[sounding_until] = NOTE_OFF
    events[start] = note + FIRST_NOTE_ON
    return events[:-1]


def clear_leading_note_offs(windows: np.ndarray) -> np.ndarray:
    """Windows (N, T) without the note offs that come before their first note on: nothing sounds yet."""
    started = np.logical_or.accumulate(windows >= FIRST_NOTE_ON, axis=1)
    return np.where(~started & (windows == NOTE_OFF), NO_EVENT, windows)


def melody_notes(events: np.ndarray, min_pitch: int) -> list[tuple[int, int, int]]:
    """Events (T,) to notes (pitch, start step, end step): each lasts until the next event or the end."""
    steps = np.flatnonzero(events != NO_EVENT)
    ends = np.append(steps, len(events))[1:]
    return [
        (int(events[start]) - FIRST_NOTE_ON + min_pitch, int(start), int(end))
        for start, end in zip(steps, ends, strict=True)
        if events[start] >= FIRST_NOTE_ON
    ]

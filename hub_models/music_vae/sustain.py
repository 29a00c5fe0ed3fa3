"""The sustain pedal: notes held as long as the pedal holds them."""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from .note_sequence import NoteSequence, PedalEvents

_PEDAL_DOWN, _PEDAL_UP, _BEGIN, _END = range(4)  # the order of what happens at one time


def apply_sustain(notes: NoteSequence) -> NoteSequence:
    """The notes as [`hold_notes`] holds them; the result has no pedals."""
    if not notes.pedals.down.any():
        return replace(notes, pedals=PedalEvents())
    end, keep, _ = hold_notes(notes.start, notes.end, notes.pitch, notes.instrument, notes.is_drum, notes.pedals)
    changed = end != notes.end
    end_quarter = notes.end_quarter.copy()
    end_quarter[changed] = notes.quarter_at(end[changed])
    return replace(notes, end=end, end_quarter=end_quarter, pedals=PedalEvents()).select(keep)


def hold_notes(
    start: np.ndarray,
    end: np.ndarray,
    pitch: np.ndarray,
    instrument: np.ndarray,
    is_drum: np.ndarray,
    pedals: PedalEvents,
) -> tuple[np.ndarray, np.ndarray, float]:
    """When notes (N,) end under the pedals of their instruments, as the original has it.

    A note that the pedal holds lasts until the pedal goes up or its pitch is played again, whichever comes first; one whose
    pitch is played again at the moment it begins is left out; a pedal that never goes up holds until the last event of
    all. Drums are not held.

    Returns:
        ends (N,) in seconds; which notes are kept (N,), bool; and how long the original takes the music to be: drums that
        outlast a pedal that never goes up do not count.
    """
    total = float(end.max(initial=0.0))
    end, keep, is_left = end.copy(), np.ones(len(start), dtype=bool), False
    last = float(max(start[~is_drum].max(initial=0.0), end[~is_drum].max(initial=0.0), pedals.seconds.max(initial=0.0)))
    for number in np.unique(pedals.instrument[pedals.down]):
        own = np.flatnonzero(~is_drum & (instrument == number))
        if len(own):
            pedal = pedals.instrument == number
            held, left = _hold(start[own], end[own], pitch[own], pedals.seconds[pedal], pedals.down[pedal], last)
            end[own], keep[own] = held, held > start[own]
            is_left |= left
    return end, keep, last if is_left else max(total, float(end.max(initial=0.0)))


def _hold(
    start: np.ndarray, end: np.ndarray, pitch: np.ndarray, pedal_times: np.ndarray, pedal_down: np.ndarray, last: float
) -> tuple[np.ndarray, bool]:
    """When the notes (N,) of one instrument end, and whether some are held to the very end."""
    times = np.concatenate([pedal_times, start, end])
    kinds = np.concatenate([np.where(pedal_down, _PEDAL_DOWN, _PEDAL_UP), np.repeat([_BEGIN, _END], len(start))])
    numbers = np.concatenate([np.zeros(len(pedal_times), dtype=np.int64), np.tile(np.arange(len(start)), 2)])
    order = np.lexsort((kinds, times))
    ends, pitches, is_down = end.tolist(), pitch.tolist(), False
    sounding: dict[int, list[int]] = defaultdict(list)  # by pitch
    for time, kind, note in zip(times[order].tolist(), kinds[order].tolist(), numbers[order].tolist(), strict=True):
        if kind == _BEGIN:
            own = sounding[pitches[note]]
            if is_down:
                for other in own:
                    ends[other] = time
                own.clear()
            own.append(note)
        elif kind == _END:
            if not is_down and note in sounding[pitches[note]]:
                sounding[pitches[note]].remove(note)
        elif kind == _PEDAL_DOWN:
            is_down = True
        else:
            is_down = False
            for own in sounding.values():
                held = [note for note in own if ends[note] < time]
                own[:] = [note for note in own if ends[note] >= time]
                for note in held:
                    ends[note] = time
    left = [note for own in sounding.values() for note in own]
    for note in left:
        ends[note] = last
    return np.array(ends), bool(left)

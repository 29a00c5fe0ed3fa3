"""Performances as events: note on, note off, time shift and velocity, 310 ids with padding and the end."""

from collections.abc import Sequence

import numpy as np

from .performance_notes import HIGHEST_PITCH, LOWEST_PITCH, PerformanceNotes, PitchRangeError

PAD_ID, EOS_ID = 0, 1
NUM_PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1
STEPS_PER_SECOND = 100
MAX_SHIFT_STEPS = 100
NUM_VELOCITY_BINS = 32
VELOCITY_BIN_SIZE = 4  # 127 velocities in 32 bins
VELOCITY_BEFORE_ANY = 100  # of notes before the first velocity event

NOTE_ON_OFFSET = 2  # the id of NOTE_ON of the lowest pitch
NOTE_OFF_OFFSET = NOTE_ON_OFFSET + NUM_PITCHES
TIME_SHIFT_OFFSET = NOTE_OFF_OFFSET + NUM_PITCHES  # the id of a shift by one step
VELOCITY_OFFSET = TIME_SHIFT_OFFSET + MAX_SHIFT_STEPS  # the id of velocity bin 1
PERFORMANCE_VOCAB_SIZE = VELOCITY_OFFSET + NUM_VELOCITY_BINS


class TokenError(ValueError):
    """Ids that are not in the vocabulary."""


def encode_performance(notes: PerformanceNotes) -> np.ndarray:
    """The events (T,) int64 of a performance, of all its instruments together, exactly as the original writes them.

    Times are rounded to 10 ms. Neither the silence after the last note nor pedals are written; hold the notes with
    `apply_sustain` first.

    Raises:
        PitchRangeError: for pitches outside 21..108, which have no ids. `PerformanceNotes.in_range` leaves them out.
    """
    outside = (notes.pitch < LOWEST_PITCH) | (notes.pitch > HIGHEST_PITCH)
    if outside.any():
        raise PitchRangeError(
            f"{outside.sum()} of {len(notes)} notes have pitches outside {LOWEST_PITCH}..{HIGHEST_PITCH}, from "
            f"{notes.pitch.min()} to {notes.pitch.max()}; these have no tokens."
        )
    return event_ids(notes)


def event_ids(notes: PerformanceNotes) -> np.ndarray:
    """As [`encode_performance`], but pitches outside the range give ids that mean something else, or nothing."""
    order = np.lexsort((notes.pitch, notes.start))
    pitch, velocity = notes.pitch[order], notes.velocity[order]
    start, end = quantize(notes.start[order], notes.end[order], STEPS_PER_SECOND)
    number = np.arange(len(order))

    # Within a step, events are in the order of their notes, each note's beginning before its end.
    steps, numbers = np.concatenate([start, end]), np.concatenate([number, number])
    is_end = np.repeat([False, True], len(order))
    order = np.lexsort((is_end, numbers, steps))
    steps, numbers, is_end = steps[order], numbers[order], is_end[order]

    gaps = np.diff(steps, prepend=0)
    full_shifts = np.maximum(gaps - 1, 0) // MAX_SHIFT_STEPS
    has_shift = gaps > 0
    bins = (velocity[numbers] - 1) // VELOCITY_BIN_SIZE + 1
    starts = np.flatnonzero(~is_end)
    has_velocity = np.zeros(len(steps), dtype=bool)
    has_velocity[starts] = np.diff(bins[starts], prepend=0) != 0

    # The last token of each event is the note's; before it the velocity, and before that the shifts.
    last = np.cumsum(full_shifts + has_shift + has_velocity + 1) - 1
    ids = np.full(int(last[-1]) + 1 if len(last) else 0, TIME_SHIFT_OFFSET + MAX_SHIFT_STEPS - 1, dtype=np.int64)
    ids[last] = np.where(is_end, NOTE_OFF_OFFSET, NOTE_ON_OFFSET) + pitch[numbers] - LOWEST_PITCH
    ids[(last - 1)[has_velocity]] = VELOCITY_OFFSET - 1 + bins[has_velocity]
    ids[(last - 1 - has_velocity)[has_shift]] = TIME_SHIFT_OFFSET - 1 + (gaps - full_shifts * MAX_SHIFT_STEPS)[has_shift]
    return ids


def quantize(start: np.ndarray, end: np.ndarray, steps_per_second: float) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) in seconds to steps (N,) int64; every note has one step at least."""
    start_step = (start * steps_per_second + 0.5).astype(np.int64)
    end_step = (end * steps_per_second + 0.5).astype(np.int64)
    return start_step, np.where(end_step == start_step, end_step + 1, end_step)


def decode_performance(ids: np.ndarray | Sequence[int]) -> PerformanceNotes:
    """The notes of events (T,), by the original's rules. Padding is passed over; whatever follows the first end is not read.

    A note off ends the oldest note of its pitch that still sounds; one with nothing to end is passed over. Notes without
    length are left out, and notes that nothing ends sound until the last event. Velocities are the lowest of their bins.

    Raises:
        TokenError: for ids outside 0..309.
    """
    ids = checked_ids(ids, PERFORMANCE_VOCAB_SIZE)
    ends = np.flatnonzero(ids == EOS_ID)
    events = ids[: ends[0]] if len(ends) else ids
    step, velocity = 0, VELOCITY_BEFORE_ANY
    sounding: dict[int, list[tuple[int, int]]] = {}  # by pitch: when and how loud they began, the oldest first
    rows: list[tuple[int, int, int, int]] = []
    for event in events.tolist():
        if event >= VELOCITY_OFFSET:
            velocity = 1 + (event - VELOCITY_OFFSET) * VELOCITY_BIN_SIZE
        elif event >= TIME_SHIFT_OFFSET:
            step += event - TIME_SHIFT_OFFSET + 1
        elif event >= NOTE_OFF_OFFSET:
            pitch = event - NOTE_OFF_OFFSET + LOWEST_PITCH
            begun = sounding.setdefault(pitch, [])
            if begun:
                start, loudness = begun.pop(0)
                rows.append((pitch, loudness, start, step))
        elif event >= NOTE_ON_OFFSET:
            sounding.setdefault(event - NOTE_ON_OFFSET + LOWEST_PITCH, []).append((step, velocity))
    rows += [(pitch, loudness, start, step) for pitch, begun in sounding.items() for start, loudness in begun]
    seconds_per_step = 1.0 / STEPS_PER_SECOND
    return PerformanceNotes.from_rows(
        (pitch, loudness, start * seconds_per_step, end * seconds_per_step)
        for pitch, loudness, start, end in rows
        if end > start
    )


def checked_ids(ids: np.ndarray | Sequence[int], vocab_size: int) -> np.ndarray:
    """Ids (T,) as int64.

    Raises:
        TokenError: for ids outside 0..`vocab_size` - 1; names the first and where it stands.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        raise TokenError(f"Tokens are a sequence of whole numbers, not {ids.dtype} of shape {ids.shape}.")
    ids = ids.astype(np.int64)
    wrong = np.flatnonzero((ids < 0) | (ids >= vocab_size))
    if len(wrong):
        raise TokenError(
            f"Token {ids[wrong[0]]} at position {wrong[0]} is not in the vocabulary; ids are 0..{vocab_size - 1}."
        )
    return ids


def transpose_ids(ids: np.ndarray, semitones: int) -> np.ndarray:
    """Events (T,) `semitones` higher, which is the same as transposing the notes and encoding them.

    Raises:
        PitchRangeError: if a note would leave the range 21..108.
    """
    ids = np.asarray(ids)
    pitched = (ids >= NOTE_ON_OFFSET) & (ids < TIME_SHIFT_OFFSET)
    pitch = (ids[pitched].astype(np.int64) - NOTE_ON_OFFSET) % NUM_PITCHES
    if len(pitch) and not (pitch.min() + semitones >= 0 and pitch.max() + semitones < NUM_PITCHES):
        raise PitchRangeError(
            f"Transposed by {semitones:+d} semitones, pitches {pitch.min() + LOWEST_PITCH}..{pitch.max() + LOWEST_PITCH} "
            f"would leave {LOWEST_PITCH}..{HIGHEST_PITCH}."
        )
    moved = ids.copy()
    moved[pitched] = ids[pitched] + semitones
    return moved


def duration_seconds(ids: np.ndarray) -> float:
    """How long events (T,) last: the sum of their time shifts."""
    ids = np.asarray(ids)
    shifts = ids[(ids >= TIME_SHIFT_OFFSET) & (ids < VELOCITY_OFFSET)].astype(np.int64)
    return float((shifts - TIME_SHIFT_OFFSET + 1).sum()) / STEPS_PER_SECOND

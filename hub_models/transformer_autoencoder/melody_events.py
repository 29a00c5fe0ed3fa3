"""Melodies as one event per step: a pitch begins, the note ends, or nothing happens; 92 ids with padding and the end."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from .performance_events import EOS_ID, checked_ids, quantize
from .performance_notes import HIGHEST_PITCH, LOWEST_PITCH, PerformanceNotes, PitchRangeError

MELODY_STEPS_PER_SECOND = 10
STEPS_PER_QUARTER = 4  # of melodies along a tempo

NO_EVENT, NOTE_OFF = -2, -1  # as the original writes them in text; everything else is a pitch
NO_EVENT_ID, NOTE_OFF_ID = 2, 3
PITCH_OFFSET = 4  # the id of the lowest pitch
MELODY_VOCAB_SIZE = PITCH_OFFSET + HIGHEST_PITCH - LOWEST_PITCH + 1
DECODED_VELOCITY = 80


class TempoError(ValueError):
    """Music whose tempo or metre changes, where steps are counted along a single one."""


def encode_melody(
    melody: PerformanceNotes, total_seconds: float | None = None, steps_per_second: float = MELODY_STEPS_PER_SECOND
) -> np.ndarray:
    """The events (T,) int64 of a melody, one for each step, exactly as the original writes them.

    A note ends where the next begins; of several that begin with one step the last counts. There is no event for the end.

    Args:
        melody ([`PerformanceNotes`]): of one voice, in any order.
        total_seconds (`float`, *optional*): how long the tokens last; by default as long as the piece of the melody.
        steps_per_second (`float`, defaults to 10).

    Raises:
        PitchRangeError: for pitches outside 21..108.
    """
    total_seconds = melody.total_seconds if total_seconds is None else total_seconds
    melody = melody.select(np.argsort(melody.start, kind="stable"))
    start, end = quantize(melody.start, melody.end, steps_per_second)
    num_steps = max(int(total_seconds * steps_per_second + 0.5), int(end.max(initial=0)))
    events = np.full(num_steps + 1, NO_EVENT, dtype=np.int64)
    for pitch, first, last in zip(melody.pitch.tolist(), start.tolist(), end.tolist(), strict=True):
        events[first] = pitch
        events[last] = NOTE_OFF
    return melody_event_ids(events[:-1])


def encode_melody_in_quarters(melody: PerformanceNotes, steps_per_quarter: int = STEPS_PER_QUARTER) -> np.ndarray:
    """As [`encode_melody`], with steps that divide the quarter notes of the melody's tempo.

    Raises:
        TempoError: if the tempo or the metre changes.
        PitchRangeError: for pitches outside 21..108.
    """
    return encode_melody(melody, steps_per_second=steps_per_quarter * single_tempo(melody) / 60.0)


def single_tempo(notes: PerformanceNotes) -> float:
    """The tempo of a piece that has only one, in quarter notes per minute.

    Raises:
        TempoError: if the tempo or the metre changes.
    """
    tempos, metres = sorted(notes.tempos), sorted(notes.metres)
    for seconds, tempo in tempos:
        before = 120.0 if tempos[0][0] else tempos[0][1]
        if tempo != before:
            raise TempoError(
                f"The tempo changes from {before:.1f} to {tempo:.1f} quarter notes per minute at {seconds:.2f} seconds; "
                f"only one tempo can be counted in quarter notes."
            )
    for seconds, *metre in metres:
        before = [4, 4] if metres[0][0] else list(metres[0][1:])
        if metre != before:
            raise TempoError(
                f"The metre changes from {before[0]}/{before[1]} to {metre[0]}/{metre[1]} at {seconds:.2f} seconds; "
                f"only one metre can be counted in quarter notes."
            )
    return tempos[0][1] if tempos else 120.0


def melody_event_ids(events: np.ndarray | Iterable[int]) -> np.ndarray:
    """Events (T,) with pitches, -1 (note off) and -2 (no event) as ids (T,) int64.

    Raises:
        PitchRangeError: for anything else.
    """
    events = np.asarray(list(events) if not isinstance(events, np.ndarray) else events, dtype=np.int64)
    is_pitch = (events >= LOWEST_PITCH) & (events <= HIGHEST_PITCH)
    wrong = events[~is_pitch & (events != NO_EVENT) & (events != NOTE_OFF)]
    if len(wrong):
        raise PitchRangeError(
            f"{wrong[0]} is no event of a melody; events are pitches {LOWEST_PITCH}..{HIGHEST_PITCH}, {NOTE_OFF} (note off) "
            f"and {NO_EVENT} (no event)."
        )
    return np.where(is_pitch, events - LOWEST_PITCH + PITCH_OFFSET, events - NO_EVENT + NO_EVENT_ID)


def encode_melody_text(text: str) -> np.ndarray:
    """The ids (T,) int64 of events in words, "60 -2 62 -2 -1": pitches, -1 for note off and -2 for no event.

    Raises:
        ValueError: for words that are no whole numbers, and for numbers that are no events.
    """
    return melody_event_ids([int(word) for word in text.split()])


def decode_melody(
    ids: np.ndarray | Sequence[int], steps_per_second: float = MELODY_STEPS_PER_SECOND, velocity: int = DECODED_VELOCITY
) -> PerformanceNotes:
    """The notes of events (T,), which last as long as these. Padding at the end, and whatever follows an end, is not read.

    A note lasts until its note off or the next note; the last one until the end.

    Raises:
        TokenError: for ids outside 0..91.
    """
    ids = checked_ids(ids, MELODY_VOCAB_SIZE)
    ends = np.flatnonzero(ids == EOS_ID)
    ids = ids[: ends[0]] if len(ends) else ids
    ids = ids[: int(np.flatnonzero(ids)[-1]) + 1] if ids.any() else ids[:0]
    changes = np.flatnonzero(ids >= NOTE_OFF_ID)
    rows = [
        (ids[first] - PITCH_OFFSET + LOWEST_PITCH, velocity, first / steps_per_second, last / steps_per_second)
        for first, last in pairwise([*changes, len(ids)])
        if ids[first] >= PITCH_OFFSET
    ]
    return PerformanceNotes.from_rows(rows, total_seconds=len(ids) / steps_per_second)

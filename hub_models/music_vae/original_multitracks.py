"""The bars of a file as the original reads them: in seconds, and without mercy for what it does not read."""

from typing import NamedTuple

import numpy as np

from .chord_annotations import Annotation, original_frame_steps
from .chord_inference import INFERRED_SYMBOLS, infer_chords, pitched_notes
from .chord_symbols import NO_CHORD, NO_CHORD_SYMBOL, ChordSymbolError, chord_index
from .multitrack_bars import (
    BEATS_PER_BAR,
    MIN_EVENTS,
    MIN_TRACKS,
    ONE_INSTRUMENT,
    SILENT,
    TOO_LITTLE,
    Bars,
    Remarks,
    as_bars,
)
from .multitrack_events import (
    DRUMS,
    MAX_TRACK_EVENTS,
    MAX_TRACKS,
    PADDING,
    PROGRAM,
    STEPS_PER_BAR,
    TrackNotes,
    count_events,
    encode_tracks,
    paired,
    velocity_bins,
)
from .note_sequence import NoteSequence
from .pieces import Piece, Rejection, split_original
from .representation import Origin
from .sustain import hold_notes

# Chords of a stretch of music: (seconds from its start, symbol), in order.
TimedChord = tuple[float, str]


class Stretch(NamedTuple):
    """Music of one tempo and metre, its pedals applied; notes in order of their starts.

    Args:
        piece ([`Piece`]): what it is made of.
        notes ([`NoteSequence`]): with `start` and `end` in seconds from the start of the stretch.
        cuts (`ndarray` of shape (B + 1,), float64): where its bars begin, and where the last one ends, in seconds.
    """

    piece: Piece
    notes: NoteSequence
    cuts: np.ndarray


class Bar(NamedTuple):
    """One bar of a stretch.

    Args:
        start, end (`ndarray` of shape (N,), int64): steps of the notes that begin in it, which may round to 96 and 97.
        order (`ndarray` of shape (N,), int64): places of these notes in the stretch.
    """

    start: np.ndarray
    end: np.ndarray
    order: np.ndarray


def original_bars(notes: NoteSequence, annotations: list[Annotation] | None = None) -> tuple[Bars, np.ndarray]:
    """The bars, and the chord of each token (N, 8, 64), -1 at padding.

    Args:
        annotations: chord symbols in order of time; where a stretch has none they are inferred. None: no chords, whatever
            the notes.
    """
    pieces, rejections = split_original(notes, STEPS_PER_BAR // BEATS_PER_BAR, STEPS_PER_BAR)
    remarks, found = Remarks(notes), []
    for piece in pieces:
        stretch = _stretch(piece)
        chords = None if annotations is None else _chords(stretch, annotations)
        if isinstance(chords, Rejection):
            rejections.append(chords)
            continue
        for number, (start, end) in enumerate(zip(stretch.cuts[:-1], stretch.cuts[1:], strict=True)):
            quarter = piece.start_quarter + BEATS_PER_BAR * number
            bar = _bar(stretch, start, end)
            tracks = _tracks(stretch.notes, bar)
            if not isinstance(tracks, str) and chords is not None:
                numbers = _chord_numbers(chords, bar, tracks[1], start, end, piece.clock.steps_per_second)
                tracks = numbers if isinstance(numbers, str) else (*tracks, numbers)
            if isinstance(tracks, str):
                remarks.reject(tracks, [quarter])
                continue
            found.append((*tracks, Origin(tuple(tracks[2].tolist()), quarter)))
    return _joined(found, rejections + remarks.rejections())


def _stretch(piece: Piece) -> Stretch:
    clock, notes = piece.clock, piece.notes
    order = np.argsort(notes.start, kind="stable")
    notes = notes.select(order)
    start = notes.start - clock.start_seconds
    end = np.minimum(notes.end, clock.end_seconds) - clock.start_seconds
    pedals = notes.pedals
    before = pedals.seconds <= clock.start_seconds
    _, last = np.unique(pedals.instrument[before][::-1], return_index=True)  # how each pedal stands at the start
    stands = np.flatnonzero(before)[::-1][last]
    moves = np.flatnonzero(~before & (pedals.seconds < clock.end_seconds))
    pedals = pedals.select(np.concatenate([stands, moves]))
    pedals = pedals._replace(seconds=np.maximum(pedals.seconds - clock.start_seconds, 0.0))
    end, keep, total = hold_notes(start, end, notes.pitch, notes.instrument, notes.is_drum, pedals)
    notes.start, notes.end = start, end
    length = 60.0 * BEATS_PER_BAR / clock.quarters_per_minute
    cuts = np.concatenate([[0.0], np.arange(length, total, length)])
    return Stretch(piece, notes.select(keep), np.append(cuts, total) if total > cuts[-1] else cuts)


def _bar(stretch: Stretch, start: float, end: float) -> Bar:
    notes, steps_per_second = stretch.notes, stretch.piece.clock.steps_per_second
    inside = np.arange(*np.searchsorted(notes.start, [start, end]))
    first = notes.start[inside] - start
    start_step = (first * steps_per_second + 0.5).astype(np.int64)
    end_step = ((np.minimum(notes.end[inside], end) - start) * steps_per_second + 0.5).astype(np.int64)
    return Bar(start_step, np.maximum(end_step, start_step + 1), inside)


def _tracks(notes: NoteSequence, bar: Bar) -> tuple[np.ndarray, np.ndarray, np.ndarray] | str:
    """Tokens (K, 64) of the tracks of a bar, their steps, and their instruments (K,); or why there are none."""
    # Of equal programs the original takes the instruments in the order of a set: here is the same set.
    instruments = list(set(notes.instrument[bar.order].tolist()))
    if len(instruments) < MIN_TRACKS:
        return ONE_INSTRUMENT if instruments else SILENT
    if len(instruments) > MAX_TRACKS:
        return f"more than {MAX_TRACKS} tracks"
    columns = (notes.instrument, notes.is_drum, notes.program)
    kinds = {
        number: (drum, program) for number, drum, program in zip(*(c[bar.order].tolist() for c in columns), strict=True)
    }
    instruments.sort(key=lambda number: (1, 0) if kinds[number][0] else (0, kinds[number][1]))
    track = np.array([instruments.index(number) for number in notes.instrument[bar.order].tolist()])
    # What rounds to the next bar line is lost.
    heard = bar.start < STEPS_PER_BAR
    columns = bar.start, bar.end, notes.pitch[bar.order], velocity_bins(notes.velocity[bar.order])
    played = TrackNotes(track, *columns).select(heard)
    counts = count_events(paired(played), len(instruments))
    if (counts > MAX_TRACK_EVENTS).any():
        return f"a track has more than {MAX_TRACK_EVENTS} events"
    if counts.sum() < MIN_EVENTS:
        return TOO_LITTLE
    # A track that has lost all its notes this way becomes a drum track, though it stays where it was.
    is_silent = np.bincount(played.track, minlength=len(instruments)) == 0
    drums = [bool(silent or kinds[number][0]) for number, silent in zip(instruments, is_silent, strict=True)]
    programs = [DRUMS if drum else PROGRAM + kinds[n][1] for n, drum in zip(instruments, drums, strict=True)]
    return *encode_tracks(played, np.array(programs)), np.array(instruments)


def _chords(stretch: Stretch, annotations: list[Annotation]) -> list[TimedChord] | Rejection:
    """The chords of a stretch: those set beside the notes, or else those that its notes suggest."""
    clock, notes = stretch.piece.clock, stretch.notes
    start, end = clock.start_seconds, clock.end_seconds
    begun = [(0.0, symbol) for seconds, _, symbol in annotations if seconds <= start][-1:]
    chords = begun + [(seconds - start, symbol) for seconds, _, symbol in annotations if start < seconds < end]
    if chords:
        return chords
    length = float(stretch.cuts[-1])
    frame_steps = original_frame_steps(stretch.piece, length, STEPS_PER_BAR)
    if isinstance(frame_steps, Rejection):
        return frame_steps
    frame_length = frame_steps / clock.steps_per_second
    heard = pitched_notes(notes)
    num_frames = int(np.ceil(length / frame_length))
    found = infer_chords(notes.start[heard], notes.end[heard], notes.pitch[heard], frame_length, num_frames)
    changes = np.flatnonzero(np.diff(found, prepend=-1))
    return [(int(frame) * frame_length, INFERRED_SYMBOLS[found[frame]]) for frame in changes]


def _chord_numbers(
    chords: list[TimedChord], bar: Bar, steps: np.ndarray, start: float, end: float, steps_per_second: float
) -> np.ndarray | str:
    """Chords (K, 64) of the tokens that stand at `steps` (K, 64), no chord where that is -1; or why there are none."""
    begun = [(0.0, symbol) for seconds, symbol in chords if seconds <= start][-1:]
    inside = begun + [(seconds - start, symbol) for seconds, symbol in chords if start < seconds < end]
    at_step: dict[int, str] = {}
    num_steps = int(bar.end.max())
    for seconds, symbol in inside:
        step = int(seconds * steps_per_second + 0.5)
        if step >= num_steps:
            break
        if at_step.setdefault(step, symbol) != symbol:
            return f"the chords {at_step[step]!r} and {symbol!r} fall on one step"
    symbols = [NO_CHORD_SYMBOL, *at_step.values()]
    places = np.searchsorted(list(at_step), np.minimum(steps, num_steps - 1), side="right")
    places[steps < 0] = 0
    numbers = np.zeros(len(symbols), dtype=np.int64)
    for place in np.unique(places).tolist():
        try:
            numbers[place] = chord_index(symbols[place], "original")
        except ChordSymbolError as error:
            return str(error)
    return np.where(steps < 0, NO_CHORD, numbers[places])


def _joined(found: list[tuple], rejections: list[Rejection]) -> tuple[Bars, np.ndarray]:
    """Bars of (tokens, steps, instruments, chords if any, origin)."""
    bars = Bars(rejections=rejections)
    if not found:
        return bars, bars.tokens.copy()
    counts = [len(tracks[0]) for tracks in found]
    row = np.repeat(np.arange(len(found)), counts)
    bars.tokens, bars.steps = as_bars(
        np.concatenate([tracks[0] for tracks in found]), np.concatenate([tracks[1] for tracks in found]), row, len(found)
    )
    bars.origins = [tracks[-1] for tracks in found]
    chords = np.full(bars.tokens.shape, NO_CHORD, dtype=np.int16)
    for number, tracks in enumerate(found):
        if len(tracks) == 5:
            chords[number, : counts[number]] = tracks[3]
    chords[bars.tokens == PADDING] = PADDING
    return bars, chords

"""Chord symbols that stand in a file or beside it, and the chords along each piece that is read of it."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .chord_inference import (
    CHORDS_PER_BAR,
    INFERRED_SYMBOLS,
    MAX_ORIGINAL_CHORDS,
    ORIGINAL_CHORDS_PER_BAR,
    infer_chords,
    pitched_notes,
)
from .chord_symbols import NO_CHORD, ChordSymbolError, chord_index
from .chords import read_progression
from .note_sequence import NoteSequence
from .pieces import Piece, Rejection, bars_text

# A chord symbol in a file: seconds, quarter notes, symbol.
Annotation = tuple[float, float, str]

# Text events or lyrics are taken for chords where at least this share of them can be read as chord symbols.
SHARE_OF_CHORDS = 0.5
MAX_LISTED = 20
MAX_SECONDS = 1e6


def with_chords(notes: NoteSequence, chords: str | Sequence[tuple[float, str]]) -> NoteSequence:
    """The same notes with chord symbols set beside them.

    Args:
        chords: (seconds, symbol) in any order; or a progression as text ([`read_progression`]) that goes along with the bars
            of the file and starts again until its end. Nothing, `[]`: they are inferred, whatever the file says.

    Raises:
        ChordSymbolError: for a symbol of a progression that cannot be read. Of (seconds, symbol) only those that are needed
            are looked at, when they are.
        ValueError: for times that are none.
    """
    if isinstance(chords, str):
        return replace(notes, chords=_along_bars(notes, read_progression(chords)))
    for seconds, _ in chords:
        if not 0 <= seconds <= MAX_SECONDS:
            raise ValueError(f"Chord symbols stand at 0 to {MAX_SECONDS:,.0f} seconds, got one at {seconds}.")
    chords = sorted(chords, key=lambda chord: chord[0])
    quarters = notes.quarter_at(np.array([seconds for seconds, _ in chords], dtype=np.float64)).tolist()
    return replace(notes, chords=[(float(s), q, symbol) for q, (s, symbol) in zip(quarters, chords, strict=True)])


def _along_bars(notes: NoteSequence, bars: list[list[str]]) -> list[Annotation]:
    metres = notes.metres()
    quarters, symbols, count = [], [], 0
    for index, (start, numerator, denominator) in enumerate(metres):
        end = min(metres[index + 1][0] if index + 1 < len(metres) else math.inf, notes.total_quarters)
        length = max(4.0 * numerator / denominator, 0.25)  # a file may ask for bars of 1/128 and less
        for start_of_bar in np.arange(start, end - 1e-6, length).tolist():
            bar = bars[count % len(bars)]
            quarters += [start_of_bar + place * length / len(bar) for place in range(len(bar))]
            symbols += bar
            count += 1
    seconds = notes.seconds_at(np.array(quarters)).tolist()
    return list(zip(seconds, quarters, symbols, strict=True))


def find_chords(notes: NoteSequence) -> tuple[list[Annotation], list[Rejection]]:
    """The chord symbols of a file, for mode "musical", and what among them is none.

    Those set beside the notes; else its text events and markers, else its lyrics, where most of these can be read as chord
    symbols.
    """
    if notes.chords is not None:
        return notes.chords, []
    for texts in notes.texts:
        texts = [(seconds, quarter, text.strip()) for seconds, quarter, text in texts if text.strip()]
        is_chord = {text: _is_chord(text) for text in {text for _, _, text in texts}}
        chords = [text for text in texts if is_chord[text[2]]]
        if chords and len(chords) >= SHARE_OF_CHORDS * len(texts) and not _are_rehearsal_marks(chords):
            others = [text for text in texts if not is_chord[text[2]]][:MAX_LISTED]
            reason = "is no chord symbol and was left out"
            return chords, [Rejection(f"{text[:40]!r} {reason}", bars_text(notes, q, q)) for _, q, text in others]
    return [], []


def _are_rehearsal_marks(chords: list[Annotation]) -> bool:
    """Whether parts of the music are named A, B, C, ... in this order."""
    symbols = [symbol for _, _, symbol in chords]
    return len(symbols) > 1 and symbols == list("ABCDEFG"[: len(symbols)])


def _is_chord(text: str) -> bool:
    try:
        chord_index(text)
    except ChordSymbolError:
        return False
    return True


class PieceChords(NamedTuple):
    """The chords of a piece.

    Args:
        steps (`ndarray` of shape (K,), int64): where each starts, increasing.
        symbols (list of K `str`).
        end_step (`int`): no chord starts here or later.
    """

    steps: np.ndarray
    symbols: list[str]
    end_step: int

    def numbers(self, piece: Piece, steps_per_quarter: int) -> np.ndarray:
        """Chord numbers (1 + K,) of what holds before the first symbol, which is no chord, and of each symbol.

        Raises:
            ChordSymbolError: for a symbol that cannot be read; names its bar in the file.
        """
        numbers = [NO_CHORD]
        for step, symbol in zip(self.steps.tolist(), self.symbols, strict=True):
            try:
                numbers.append(chord_index(symbol))
            except ChordSymbolError as error:
                raise error.in_bar(piece.notes.bar_at(piece.start_quarter + step / steps_per_quarter)) from None
        return np.array(numbers)

    def places_at(self, steps: np.ndarray) -> np.ndarray:
        """Which of the symbols holds at each step, -1 before the first."""
        return np.searchsorted(self.steps, np.minimum(steps, self.end_step - 1), side="right") - 1


def chords_of_piece(
    piece: Piece, kept: np.ndarray, annotations: list[Annotation], steps_per_quarter: int, steps_per_bar: int
) -> PieceChords | Rejection:
    """The chords along a piece: those annotated or, where there are none in it nor before it, those its notes suggest.

    Mode "musical": a chord starts on the nearest step; of several on one step the last counts. Chords are inferred from
    every pitched note, along the grid of steps.

    Mode "original" (the piece has a `clock`): two chords on one step are refused unless their texts are the same. Chords are
    inferred in seconds from the notes in `kept`, and not over more than 1,000 half bars.

    Args:
        piece: all its notes.
        kept (`ndarray` of shape (N,), bool): for mode "original", the notes that its converter keeps, drums among them.
        annotations: in order of time.
    """
    if piece.clock is None:
        return _musical(piece, annotations, steps_per_quarter, steps_per_bar)
    return _original(piece, kept, annotations, steps_per_bar)


def _musical(piece: Piece, annotations: list[Annotation], steps_per_quarter: int, steps_per_bar: int) -> PieceChords:
    quarters = np.array([quarter for _, quarter, _ in annotations], dtype=np.float64)
    # 1e-4: positions come from times in seconds; what lies on the half step is rounded up, not by chance.
    steps = np.floor((quarters - piece.start_quarter) * steps_per_quarter + 0.5 + 1e-4).astype(np.int64)
    end_step = int(piece.end_step.max(initial=1))
    steps = np.maximum(steps, 0)
    keep = np.flatnonzero((np.diff(steps, append=np.iinfo(np.int64).max) > 0) & (steps < end_step))
    if len(keep):
        return PieceChords(steps[keep], [annotations[index][2] for index in keep], end_step)
    heard = pitched_notes(piece.notes)
    frame_steps = steps_per_bar // CHORDS_PER_BAR
    start, end = piece.start_step[heard].astype(np.float64), piece.end_step[heard].astype(np.float64)
    chords = infer_chords(start, end, piece.notes.pitch[heard], frame_steps, math.ceil(end_step / frame_steps))
    return _changes(chords, frame_steps, end_step)


def _original(piece: Piece, kept: np.ndarray, annotations: list[Annotation], steps_per_bar: int) -> PieceChords | Rejection:
    notes, (start, end, steps_per_second, *_) = piece.notes, piece.clock
    length = float((np.minimum(notes.end, end) - start).max())
    end_step = max(int(length * steps_per_second + 0.5), int(piece.end_step[kept].max(initial=0)))
    begun = [annotation for annotation in annotations if annotation[0] <= start]
    inside = [annotation for annotation in annotations if start < annotation[0] < end]
    if not begun and not inside:
        frame_steps = original_frame_steps(piece, length, steps_per_bar)
        if isinstance(frame_steps, Rejection):
            return frame_steps
        heard, frame_length = kept & pitched_notes(notes), frame_steps / steps_per_second
        onsets, releases = notes.start[heard] - start, np.minimum(notes.end[heard], end) - start
        chords = infer_chords(onsets, releases, notes.pitch[heard], frame_length, math.ceil(length / frame_length))
        return _changes(chords, frame_steps, end_step)
    chords = [(0, symbol, quarter) for _, quarter, symbol in begun[-1:]]
    chords += [(int((seconds - start) * steps_per_second + 0.5), symbol, q) for seconds, q, symbol in inside]
    chords = [chord for chord in chords if chord[0] < end_step]
    for (step, symbol, _), (next_step, next_symbol, quarter) in itertools.pairwise(chords):
        if step == next_step and symbol != next_symbol:
            reason = f"the chords {symbol!r} and {next_symbol!r} fall on one step"
            return Rejection(reason, bars_text(notes, quarter, quarter))
    by_step = {step: symbol for step, symbol, _ in chords}
    return PieceChords(np.array(list(by_step), dtype=np.int64), list(by_step.values()), end_step)


def original_frame_steps(piece: Piece, length: float, steps_per_bar: int) -> int | Rejection:
    """For how many steps each chord lasts that mode "original" infers in a piece that is `length` seconds long, or why it
    infers none."""
    metre, where = piece.clock.metre, bars_text(piece.notes, piece.start_quarter, piece.notes.total_quarters)
    if metre not in ORIGINAL_CHORDS_PER_BAR:
        return Rejection(f"mode 'original' infers no chords in {metre[0]}/{metre[1]}", where)
    frame_steps = steps_per_bar // ORIGINAL_CHORDS_PER_BAR[metre]
    num_frames = math.ceil(length / (frame_steps / piece.clock.steps_per_second))
    if num_frames > MAX_ORIGINAL_CHORDS:
        unit = "bars" if frame_steps == steps_per_bar else "half bars"
        reason = f"chords are needed over {num_frames} {unit}; mode 'original' infers at most {MAX_ORIGINAL_CHORDS}"
        return Rejection(reason, where)
    return frame_steps


def _changes(chords: np.ndarray, frame_steps: int, end_step: int) -> PieceChords:
    """Inferred chords of frames (F,) as chords that change."""
    changes = np.flatnonzero(np.diff(chords, prepend=-1))
    return PieceChords(changes * frame_steps, [INFERRED_SYMBOLS[chord] for chord in chords[changes]], end_step)

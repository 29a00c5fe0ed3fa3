"""Cuts music into pieces that lie on one grid of bars: by the original's rules, or along the tempo map."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .note_sequence import NoteSequence


class Clock(NamedTuple):
    """How mode "original" counts time in a stretch of music.

    Args:
        start_seconds, end_seconds (`float`): where the stretch starts and ends in the file.
        steps_per_second (`float`).
        quarters_per_minute (`float`).
        metre (`tuple[int, int]`): numerator and denominator.
    """

    start_seconds: float
    end_seconds: float
    steps_per_second: float
    quarters_per_minute: float
    metre: tuple[int, int]


@dataclass
class Piece:
    """Notes of a stretch of music on a grid of steps; step 0 is a bar line.

    Args:
        notes (`NoteSequence`): the notes that start within the stretch, in the file's order.
        start_step, end_step (`ndarray` of shape (N,), int64): quantised times; `end_step > start_step`.
        start_quarter (`float`): where the stretch starts in the file.
        clock ([`Clock`], *optional*): in mode "original".
    """

    notes: NoteSequence
    start_step: np.ndarray
    end_step: np.ndarray
    start_quarter: float
    clock: Clock | None = None

    def select(self, mask: np.ndarray) -> "Piece":
        """The notes where the bool mask (N,) is true."""
        selected = {"notes": self.notes.select(mask), "start_step": self.start_step[mask], "end_step": self.end_step[mask]}
        return replace(self, **selected)


@dataclass(frozen=True)
class Rejection:
    """Music that could not be used: what is wrong, and where."""

    reason: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def split_original(notes: NoteSequence, steps_per_quarter: int, steps_per_bar: int) -> tuple[list[Piece], list[Rejection]]:
    """The original's rules: cut at every change of tempo or metre, quantise in seconds, keep what is in 4/4.

    Each stretch is shifted to 0; notes are cut off at its end, and those that start before it are dropped.
    """
    changes = [(time, "tempo", tempo) for time, _, tempo in notes.tempos]
    changes += [(time, "metre", (num, den)) for time, _, num, den in notes.time_signatures]
    current = {"tempo": notes.tempos[0][2], "metre": (4, 4)}
    total, cuts = notes.total_seconds, [(0.0, dict(current))]
    for time, kind, value in sorted(changes, key=lambda change: change[0]):
        if current[kind] == value:
            continue
        current[kind] = value
        if time > cuts[-1][0]:
            if time >= total:
                break
            cuts.append((time, dict(current)))
        else:
            cuts[-1] = (cuts[-1][0], dict(current))
    pieces, rejections = [], []
    for index, (start, state) in enumerate(cuts):
        end = cuts[index + 1][0] if index + 1 < len(cuts) else np.inf
        inside = notes.select((notes.start >= start) & (notes.start < end))
        if not len(inside):
            continue
        tempo, (numerator, denominator) = state["tempo"], state["metre"]
        start_quarter = inside.start_quarter[0] - (inside.start[0] - start) * tempo / 60.0
        if steps_per_quarter * 4.0 * numerator / denominator != steps_per_bar:
            rejections.append(_metre_rejection(notes, start_quarter, inside.end_quarter.max(), numerator, denominator, True))
            continue
        steps_per_second = steps_per_quarter * tempo / 60.0
        start_step = ((inside.start - start) * steps_per_second + 0.5).astype(np.int64)
        end_step = ((np.minimum(inside.end, end) - start) * steps_per_second + 0.5).astype(np.int64)
        end_step = np.maximum(end_step, start_step + 1)
        clock = Clock(start, min(end, total), steps_per_second, tempo, (numerator, denominator))
        pieces.append(Piece(inside, start_step, end_step, start_quarter, clock))
    return pieces, rejections


def split_musical(notes: NoteSequence, steps_per_quarter: int, steps_per_bar: int) -> tuple[list[Piece], list[Rejection]]:
    """Along the tempo map: cut at changes of metre only, and read every metre whose bars fill a 4/4 bar evenly.

    2/4 bars are read in pairs, 2/2 as 4/4. A bar line of the file is always a bar line of a piece.
    """
    metres, pieces, rejections = notes.metres(), [], []
    for index, (start, numerator, denominator) in enumerate(metres):
        end = metres[index + 1][0] if index + 1 < len(metres) else np.inf
        # Notes a whisker before the bar line (rounding of times) belong behind it.
        inside = notes.select((notes.start_quarter >= start - 1e-4) & (notes.start_quarter < end - 1e-4))
        if not len(inside):
            continue
        if not reads_metre(numerator, denominator, steps_per_quarter, steps_per_bar):
            last = min(end, inside.end_quarter.max())
            rejections.append(_metre_rejection(notes, start, last, numerator, denominator, False))
            continue
        # 1e-4: positions come from times in seconds; a note that lies on the half step is rounded up, not by chance.
        start_step = np.floor((inside.start_quarter - start) * steps_per_quarter + 0.5 + 1e-4).astype(np.int64)
        end_quarter = np.minimum(inside.end_quarter, end)
        end_step = np.floor((end_quarter - start) * steps_per_quarter + 0.5 + 1e-4).astype(np.int64)
        end_step = np.maximum(end_step, start_step + 1)
        if np.isfinite(end):  # what rounds to the next metre's first step has no place in this one
            keep = start_step < round((end - start) * steps_per_quarter)
            inside, start_step, end_step = inside.select(keep), start_step[keep], end_step[keep]
        pieces.append(Piece(inside, start_step, end_step, start))
    return pieces, rejections


def reads_metre(numerator: int, denominator: int, steps_per_quarter: int, steps_per_bar: int) -> bool:
    """Whether bars of a metre fill a bar of `steps_per_bar` evenly: mode "musical" reads those."""
    bar_steps = steps_per_quarter * 4.0 * numerator / denominator
    return bar_steps >= 1 and steps_per_bar % bar_steps == 0


SPLITTERS = {"original": split_original, "musical": split_musical}


def bars_text(notes: NoteSequence, start_quarter: float, end_quarter: float) -> str:
    """ "bar 3" or "bars 3-4" for a stretch, numbered as in the file."""
    first = notes.bar_at(start_quarter)
    last = max(notes.bar_at(max(end_quarter - 1e-3, start_quarter)), first)
    return f"bar {first}" if first == last else f"bars {first}-{last}"


def metre_reason(numerator: int, denominator: int, original: bool = False) -> str:
    """Why bars of a metre are refused."""
    reads = "4/4" if original else "4/4, and 2/4 or 2/2 as its parts"
    return f"the metre is {numerator}/{denominator}; this model reads {reads}"


def _metre_rejection(notes, start_quarter, end_quarter, numerator, denominator, original: bool) -> Rejection:
    return Rejection(metre_reason(numerator, denominator, original), bars_text(notes, start_quarter, end_quarter))

"""A whole song on one grid of steps, and the windows that tile it from the first bar to the last."""

from dataclasses import dataclass, replace

import numpy as np

from .note_sequence import NoteSequence
from .pieces import Piece, Rejection, metre_reason, reads_metre
from .representation import BEATS_PER_BAR

# Positions come from times in seconds: what lies this close to a line, in quarter notes, lies on it.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class SongWindow:
    """Where a window lies in its song. Most windows are full; one before a change of metre, or at the end of the song, may
    be cut short, and that of an upbeat begins late: the upbeat stands at its end.

    Args:
        start_quarter (`float`): its step 0, in quarter notes from the start of the song; before the song for an upbeat.
        first_step, end_step (`int`): its steps that lie in the song; the others are padding.
        start_bar (`int`): the bar, counted from 1 as a score does, in which `first_step` lies.
    """

    start_quarter: float
    first_step: int
    end_step: int
    start_bar: int


@dataclass(frozen=True)
class OtherBars:
    """A stretch of bars in a metre that no window can hold.

    Args:
        start_quarter, end_quarter (`float`): from the start of the song.
        first_step, end_step (`int`): on the grid of the song.
        rejection ([`Rejection`]): the metre and the bars, in words.
    """

    start_quarter: float
    end_quarter: float
    first_step: int
    end_step: int
    rejection: Rejection


@dataclass
class SongGrid:
    """A song cut at nothing: every note of every instrument on steps that are counted from the start of the song.

    Args:
        piece ([`Piece`]): all notes; its quarter notes are those of the grid, so a step is always the same part of one.
        num_steps (`int`): S, to the end of the last bar.
        num_bars (`int`): bars of the song, by its own bar lines.
        windows (list of W [`SongWindow`]): in order; they overlap nowhere and leave out only `other_bars`.
        window_steps (`ndarray` of shape (W,), int64): the step of the grid on which the music of each window begins.
        other_bars (list of [`OtherBars`]): in order.
    """

    piece: Piece
    num_steps: int
    num_bars: int
    windows: list[SongWindow]
    window_steps: np.ndarray
    other_bars: list[OtherBars]


def lay_out(notes: NoteSequence, steps_per_quarter: int, num_bars: int) -> SongGrid:
    """The grid of a song and its windows of `num_bars` bars of 4/4.

    Windows begin anew at every change of metre, so a bar line of the song is a bar line of a window. 2/4 bars are read in
    pairs and 2/2 as 4/4. A first bar that is shorter than a bar of 4/4, whatever its metre, is an upbeat.
    """
    metres = notes.metres()
    starts = np.array([start for start, _, _ in metres])
    lengths = np.round(np.diff(starts) * steps_per_quarter).astype(np.int64)
    bases = np.concatenate([[0], np.cumsum(lengths)])  # the grid's step at each change of metre

    def position(quarters: np.ndarray) -> np.ndarray:
        metre = np.clip(np.searchsorted(starts, quarters + TOLERANCE, side="right") - 1, 0, None)
        return bases[metre] + (quarters - starts[metre]) * steps_per_quarter

    start, end = position(notes.start_quarter), position(notes.end_quarter)
    # A note that lies on the half step is rounded up, not by chance.
    start_step = np.floor(start + 0.5 + TOLERANCE).astype(np.int64)
    end_step = np.maximum(np.floor(end + 0.5 + TOLERANCE).astype(np.int64), start_step + 1)
    on_grid = replace(notes, start_quarter=start / steps_per_quarter, end_quarter=end / steps_per_quarter)
    sounding_until = np.where(notes.is_drum, start_step + 1, end_step)
    last_step = int(sounding_until.max()) if len(notes) else 0

    grid = SongGrid(Piece(on_grid, start_step, end_step, 0.0), 0, 0, [], np.zeros(0, dtype=np.int64), [])
    first_steps, bar, full = [], 1, num_bars * BEATS_PER_BAR * steps_per_quarter
    for index, (start_quarter, numerator, denominator) in enumerate(metres):
        base = int(bases[index])
        if base >= last_step:
            break
        bar_quarters = BEATS_PER_BAR * numerator / denominator
        is_last = index + 1 == len(metres)
        num_steps = _whole_bars(last_step - base, bar_quarters * steps_per_quarter)
        if not is_last:
            num_steps = min(num_steps, int(lengths[index]))
        is_upbeat = index == 0 and not is_last and starts[1] < min(bar_quarters + TOLERANCE, BEATS_PER_BAR - TOLERANCE)
        last_bar = bar + int(np.ceil(num_steps / steps_per_quarter / bar_quarters - TOLERANCE)) - 1
        if is_upbeat and num_steps:
            window = SongWindow(starts[1] - full / steps_per_quarter, full - num_steps, full, bar)
            grid.windows.append(window)
            first_steps.append(base)
        elif reads_metre(numerator, denominator, steps_per_quarter, BEATS_PER_BAR * steps_per_quarter):
            for step in range(0, num_steps, full):
                quarter = start_quarter + step / steps_per_quarter
                number = bar + int((step / steps_per_quarter + TOLERANCE) // bar_quarters)
                grid.windows.append(SongWindow(quarter, 0, min(full, num_steps - step), number))
                first_steps.append(base + step)
        elif num_steps:
            where = f"bar {bar}" if last_bar <= bar else f"bars {bar}-{last_bar}"
            rejection = Rejection(metre_reason(numerator, denominator), where)
            end_quarter = start_quarter + num_steps / steps_per_quarter if is_last else float(starts[index + 1])
            grid.other_bars.append(OtherBars(start_quarter, end_quarter, base, base + num_steps, rejection))
        grid.num_steps, grid.num_bars = base + num_steps, max(grid.num_bars, last_bar)
        if not is_last:
            bar += int(np.ceil((starts[index + 1] - start_quarter) / bar_quarters - 1e-6))  # a cut-off bar still counts
    grid.window_steps = np.array(first_steps, dtype=np.int64)
    return grid


def _whole_bars(num_steps: int, bar_steps: float) -> int:
    """`num_steps` filled up to whole bars."""
    return round(np.ceil(num_steps / bar_steps - TOLERANCE) * bar_steps)

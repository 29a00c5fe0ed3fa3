"""Chord progressions along the bars of a song of a band."""

from collections.abc import Sequence

import numpy as np

from .band_arrangement import check_num_bars
from .chord_symbols import ChordSymbolError, chord_index
from .chords import CHORDS_HELP, read_progression
from .multitrack_events import STEPS_PER_BAR

# A progression as text, or the symbols of each bar.
ProgressionLike = str | Sequence[Sequence[str]]


def progression_bars(progression: ProgressionLike, num_bars: int | None = None) -> list[list[str]]:
    """The symbols of each of `num_bars` bars; the progression starts again until they are full.

    Args:
        progression: as [`read_progression`] takes it, or the symbols of each bar.
        num_bars (`int`, *optional*): as long as the progression by default.

    Raises:
        ChordSymbolError: for a symbol that cannot be read; names the symbol and the bar.
        ValueError: for no chords, or a progression that is longer than the song.
    """
    if isinstance(progression, str):
        bars = read_progression(progression, STEPS_PER_BAR)
    else:
        bars = [list(bar) for bar in progression]
        _check(bars)
    if num_bars is None:
        check_num_bars(len(bars))
        num_bars = len(bars)
    if len(bars) > num_bars:
        raise ValueError(
            f"The chord progression has {len(bars)} bars; there is room for {num_bars}. "
            "Several chords share a bar where bars are marked, as in '| C Am | F G |'."
        )
    return [list(bars[bar % len(bars)]) for bar in range(num_bars)]


def chord_steps(chords: Sequence[Sequence[str]]) -> np.ndarray:
    """The symbols of each bar as the chord of each step: (N, 96) int64, numbers 0..48. Chords in one bar share it evenly."""
    steps = np.arange(STEPS_PER_BAR)
    return np.stack([np.array([chord_index(s) for s in bar])[steps * len(bar) // STEPS_PER_BAR] for bar in chords])


def _check(bars: list[list[str]]):
    """Raises what [`read_progression`] raises, for symbols that are given bar by bar."""
    if not bars:
        raise ValueError(f"A chord progression has at least one bar: {CHORDS_HELP}.")
    for number, bar in enumerate(bars, 1):
        if not 1 <= len(bar) <= STEPS_PER_BAR:
            raise ValueError(f"Bar {number} has {len(bar)} chords; it needs 1 to {STEPS_PER_BAR}.")
        for symbol in bar:
            try:
                chord_index(symbol)
            except ChordSymbolError as error:
                raise error.in_bar(number) from None

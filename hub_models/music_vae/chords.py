"""The chord of each step as a number 0..48: from text, as controls of a model, transposed, and as symbols again."""

import math
from collections.abc import Sequence

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .chord_symbols import NO_CHORD, NUM_CHORDS, ChordSymbolError, chord_index, chord_symbol

CHORDS_HELP = "one chord per bar as in 'C Am F G', or bars as in '| C Am | F G |'"
MAX_PROGRESSION_BARS = 4096
FIRST_DIMINISHED = 37


def transpose_chords(indices: np.ndarray, semitones: int | np.ndarray) -> np.ndarray:
    """Chord numbers 0..48, moved by `semitones`, of any shapes that fit together; no chord stays none."""
    indices = np.asarray(indices)
    quality, root = (indices.astype(np.int64) - 1) // 12, (indices.astype(np.int64) - 1) % 12
    return np.where(indices == NO_CHORD, NO_CHORD, 1 + 12 * quality + (root + semitones) % 12).astype(indices.dtype)


def chord_controls(indices: np.ndarray | Tensor | Sequence[int]) -> Tensor:
    """Chord numbers (..., T) as the model's `controls` (..., T, 49) float32.

    Raises:
        ValueError: for numbers other than 0..48.
    """
    indices = torch.as_tensor(np.asarray(indices).astype(np.int64))
    if indices.numel() and not (indices.min() >= 0 and indices.max() < NUM_CHORDS):
        raise ValueError(f"Chords are numbers 0..{NUM_CHORDS - 1}, got {int(indices.min())}..{int(indices.max())}.")
    return torch.nn.functional.one_hot(indices, NUM_CHORDS).float()


def read_progression(text: str, steps_per_bar: int = 16) -> list[list[str]]:
    """A chord progression as the symbols of each bar.

    Args:
        text (`str`): one chord per bar, "C Am F G"; or bars between `|`, "| C Am | F G |", whose chords share the bar
            evenly. "/" is the chord before once more, "%" alone in a bar the bar before.
        steps_per_bar (`int`, defaults to 16): no bar has more chords than this.

    Raises:
        ChordSymbolError: for a symbol that cannot be read; names the symbol and the bar.
        ValueError: for no chords at all, or too many.
    """
    bars: list[list[str]] = []
    parts = [part.split() for part in text.replace("\n", "|").split("|")]
    for symbols in [part for part in parts if part] if "|" in text else [[symbol] for symbol in parts[0]]:
        number = len(bars) + 1
        if symbols == ["%"] and bars:
            symbols = bars[-1]
        if len(symbols) > steps_per_bar:
            raise ValueError(f"Bar {number} has {len(symbols)} chords; at most {steps_per_bar} fit into a bar.")
        before = bars[-1][-1] if bars else None
        bar = []
        for symbol in symbols:
            before = before if symbol == "/" and before is not None else symbol
            bar.append(before)
            try:
                chord_index(before)
            except ChordSymbolError as error:
                raise error.in_bar(number) from None
        bars.append(bar)
    if not 0 < len(bars) <= MAX_PROGRESSION_BARS:
        raise ValueError(f"A chord progression has 1 to {MAX_PROGRESSION_BARS} bars, not {len(bars)}: {CHORDS_HELP}.")
    return bars


def chord_progression(text: str, num_steps: int | None = None, steps_per_bar: int = 16) -> np.ndarray:
    """A chord progression as the chord of each step, for [`chord_controls`].

    Args:
        text (`str`): see [`read_progression`].
        num_steps (`int`, *optional*): T; a shorter progression starts again until it is filled. By default as long as the
            progression.
        steps_per_bar (`int`, defaults to 16): steps in a bar.

    Returns:
        `ndarray` of shape (T,), int64: chord numbers 0..48.

    Raises:
        ChordSymbolError: for a symbol that cannot be read; names the symbol and the bar.
        ValueError: for a progression longer than `num_steps`, or none.
    """
    bars = read_progression(text, steps_per_bar)
    steps = np.arange(steps_per_bar)
    chords = np.concatenate([np.array([chord_index(s) for s in bar])[steps * len(bar) // steps_per_bar] for bar in bars])
    if num_steps is None:
        return chords
    if len(chords) > math.ceil(num_steps / steps_per_bar) * steps_per_bar:
        raise ValueError(
            f"The chord progression has {len(bars)} bars; there is room for {num_steps / steps_per_bar:g}. "
            "Several chords share a bar where bars are marked, as in '| C Am | F G |'."
        )
    return np.resize(chords, num_steps)


def as_chords(chords: "str | np.ndarray | Tensor | Sequence", num_steps: int, steps_per_bar: int = 16) -> np.ndarray:
    """Chords in any form, as the chord of each step: a progression as text, numbers (T,), or controls (T, 49).

    Raises:
        ValueError: for anything else, or where T is not `num_steps`.
    """
    if isinstance(chords, str):
        return chord_progression(chords, num_steps, steps_per_bar)
    values = np.asarray(chords.cpu() if isinstance(chords, Tensor) else chords)
    if values.shape == (num_steps, NUM_CHORDS):
        return values.argmax(axis=-1)
    if values.shape != (num_steps,) or not np.isin(values, np.arange(NUM_CHORDS)).all():
        raise ValueError(
            f"Chords are text ({CHORDS_HELP}), {num_steps} numbers 0..{NUM_CHORDS - 1} or controls of the shape "
            f"({num_steps}, {NUM_CHORDS}); got an array of the shape {values.shape}."
        )
    return values.astype(np.int64)


def chord_changes(chords: np.ndarray, mode: str = "musical") -> list[tuple[int, str]]:
    """Where the chords of steps (T,) change, as (step, symbol); the first chord is one of them.

    In mode "original" diminished chords read "N.C.", as the original writes them.
    """
    chords = np.asarray(chords).astype(np.int64)
    if mode == "original":
        chords = np.where(chords >= FIRST_DIMINISHED, NO_CHORD, chords)
    changes = np.flatnonzero(np.diff(chords, prepend=-1))
    return [(int(step), chord_symbol(int(chords[step]))) for step in changes]


def chord_texts(chords: np.ndarray, seconds_per_step: float, mode: str = "musical") -> list[pretty_midi.Text]:
    """The chords of steps (T,) as text events of a MIDI file, which a processor finds again."""
    return [pretty_midi.Text(symbol, step * seconds_per_step) for step, symbol in chord_changes(chords, mode)]

"""The bars of a file that a band takes its styles and instruments from."""

import re
from collections.abc import Sequence

import numpy as np

from .chord_annotations import with_chords
from .note_sequence import MidiSource, NoteSequence, read_midi
from .pieces import Rejection
from .processing_music_vae import MusicVAEFeatures, MusicVAEProcessor, NoExamplesError

MAX_LISTED_RUNS = 12


def read_bars(
    processor: MusicVAEProcessor, source: MidiSource, bar: int | None = None, chords: str | None = None
) -> MusicVAEFeatures:
    """Features of a MIDI file: of all its bars that differ from each other, or of one.

    Args:
        source: a path, bytes or `PrettyMIDI`.
        bar (`int`, *optional*): only this bar of the file, counted from 1.
        chords (`str`, *optional*): a progression; by default the chords in the file, or those that its notes suggest.

    Raises:
        MidiError: for a file that cannot be read or is too large.
        ChordSymbolError: for chords that cannot be read.
        NoExamplesError: where the file, or the bar, holds nothing to encode; says why.
    """
    notes = NoteSequence.from_pretty_midi(read_midi(source))
    notes = notes if chords is None else with_chords(notes, chords)
    features = processor(notes)
    if bar is None:
        return features
    for row, window in enumerate(features.windows):
        if window.start_bar == bar:
            one = MusicVAEFeatures({name: values[row : row + 1] for name, values in features.items()})
            one.windows, one.rejections, one.reductions = [window], features.rejections, features.reductions
            return one
    start = _quarter_of_bar(notes, bar)
    if start is not None:  # it repeats a bar before, or is among too many
        inside = (notes.start_quarter >= start - 1e-4) & (notes.start_quarter < start + 4 - 1e-4)
        try:
            found = processor(notes.select(inside))
            if found.windows[0].start_bar == bar:
                return found
        except NoExamplesError:
            pass
    bars = sorted({window.start_bar for window in features.windows})
    why = [rejection for rejection in features.rejections if _is_about(rejection, bar)]
    said = "".join(f": {rejection.reason}" for rejection in why[:1])
    raise NoExamplesError(f"Bar {bar} holds nothing to encode{said}. Bars that do: {_listed(bars)}.", why)


def _quarter_of_bar(notes: NoteSequence, bar: int) -> float | None:
    """Where a bar starts, in quarter notes from the start of the file; None where there is no such bar."""
    metres, first = notes.metres(), 1
    for index, (start, numerator, denominator) in enumerate(metres):
        length = 4.0 * numerator / denominator
        end = metres[index + 1][0] if index + 1 < len(metres) else np.inf
        if first <= bar and start + (bar - first) * length < end - 1e-6:
            return start + (bar - first) * length
        first += int(np.ceil((end - start) / length - 1e-6)) if np.isfinite(end) else 0
    return None


def _is_about(rejection: Rejection, bar: int) -> bool:
    """Whether what was left out lies in a bar; it says "bar 3", or "bars 3-4, 7"."""
    runs = re.findall(r"(\d+)(?:-(\d+))?", rejection.where) if rejection.where.startswith("bar") else []
    return any(int(first) <= bar <= int(last or first) for first, last in runs)


def _listed(bars: Sequence[int]) -> str:
    """Bars as people write them: "1-4, 6"; not more than a sentence holds."""
    runs: list[list[int]] = []
    for bar in bars:
        if runs and bar == runs[-1][1] + 1:
            runs[-1][1] = bar
        else:
            runs.append([bar, bar])
    shown = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs[:MAX_LISTED_RUNS])
    return shown + (" and more" if len(runs) > MAX_LISTED_RUNS else "")


__all__ = ["read_bars"]

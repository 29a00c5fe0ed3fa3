"""How a performance is played, in numbers: eight features of what begins within two seconds (arXiv 1912.05537)."""

import numpy as np

from .performance_notes import PerformanceNotes

WINDOW_SECONDS = 2.0
HOP_SECONDS = 1.0  # the paper's windows slide; it does not say how far

# The paper's variations are standard deviations here.
FEATURES = (
    "note_density",
    "pitch_range",
    "pitch_mean",
    "pitch_variation",
    "velocity_mean",
    "velocity_variation",
    "duration_mean",
    "duration_variation",
)
# How finely each can be told from tokens: a note in a window, a semitone, a velocity event, a time step.
RESOLUTIONS = np.array([1 / WINDOW_SECONDS, 1.0, 1.0, 1.0, 4.0, 4.0, 0.01, 0.01])


def window_features(
    notes: PerformanceNotes, window_seconds: float = WINDOW_SECONDS, hop_seconds: float = HOP_SECONDS
) -> np.ndarray:
    """The features of a performance in windows that slide from its beginning to its last note's end.

    A note belongs to the windows in which it begins. A performance shorter than a window is one window.

    Args:
        notes: of one piece, in any order.
        window_seconds, hop_seconds: how long a window is, and how far from one to the next.

    Returns:
        (W, 8) float64, columns as in `FEATURES`: notes in a second, semitones, MIDI pitch, semitones, MIDI velocity (two),
        seconds (two). Where no note begins there are no notes in a second and all else is NaN.
    """
    order = np.argsort(notes.start, kind="stable")
    start, end = notes.start[order], notes.end[order]
    pitch, velocity = notes.pitch[order].astype(np.float64), notes.velocity[order].astype(np.float64)
    seconds = float(end.max(initial=0.0))
    # Times are sums of steps of 10 ms; a hair before each border keeps a note that begins on it on the right side.
    num_windows = 1 + max(0, int((seconds - window_seconds) / hop_seconds + 1e-6))
    borders = np.arange(num_windows) * hop_seconds - 1e-6
    firsts, lasts = np.searchsorted(start, borders), np.searchsorted(start, borders + window_seconds)
    features = np.full((num_windows, len(FEATURES)), np.nan)
    features[:, 0] = (lasts - firsts) / window_seconds
    for window, (first, last) in enumerate(zip(firsts.tolist(), lasts.tolist(), strict=True)):
        if last == first:
            continue
        own = slice(first, last)
        columns = (pitch[own], velocity[own], (end - start)[own])
        spreads = [moment for column in columns for moment in (column.mean(), column.std())]
        features[window, 1:] = [pitch[own].max() - pitch[own].min(), *spreads]
    return features

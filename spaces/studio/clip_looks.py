"""How a clip looks in the tray: a line of words, and a thumbnail that is small enough for a page of many."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hub_models import Clip

MAX_NOTES, COLUMNS = 256, 96
FULL = 255


def thumbnail(clip: Clip) -> dict[str, Any]:
    """A picture of a clip.

    Returns:
        `kind`, and `data`: base64 of uint8. Of "midi" four for each note: where it begins and ends (255: the end of the
        clip), its height (0: the lowest note) and whether it is a drum. Of "audio" two for each column: lowest and highest
        value, 128 for silence.
    """
    data = _notes(clip) if clip.kind == "midi" else _wave(clip)
    return {"kind": clip.kind, "data": base64.b64encode(data.astype(np.uint8).tobytes()).decode()}


def _notes(clip: Clip) -> np.ndarray:
    """(notes, 4)."""
    rows = np.array(
        [
            (note.start, note.end, note.pitch, instrument.is_drum)
            for instrument in clip.music().instruments
            for note in instrument.notes
        ],
        dtype=float,
    ).reshape(-1, 4)
    if len(rows) > MAX_NOTES:
        rows = rows[np.linspace(0, len(rows) - 1, MAX_NOTES).round().astype(int)]
    if len(rows):
        low, high = rows[:, 2].min(), rows[:, 2].max()
        rows[:, 2] = FULL * (rows[:, 2] - low) / max(12.0, high - low)
        rows[:, :2] *= FULL / max(1e-3, clip.seconds)
    return rows.clip(0, FULL).round()


def _wave(clip: Clip) -> np.ndarray:
    """(columns, 2)."""
    samples = clip.sound()[0].mean(axis=0)
    columns = min(COLUMNS, len(samples))
    starts = np.arange(columns) * len(samples) // columns
    ends = np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)], axis=1)
    return (128 + 127 * ends.clip(-1, 1)).round()


def described(kind: str, seconds: float, bars: int | None, tempo: float | None) -> str:
    """A clip in a few words: "MIDI, 16 bars, 120 bpm", "Sound, 12 s"."""
    if kind != "midi":
        return f"Sound, {duration(seconds)}"
    words = ["MIDI"]
    words.append(f"{bars} bar{'s' if bars != 1 else ''}" if bars else duration(seconds))
    return ", ".join([*words, f"{tempo:.0f} bpm"] if tempo else words)


def duration(seconds: float) -> str:
    """As people say it: "12 s", "3:05"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s".replace(".0 s", " s")
    return f"{whole // 60}:{whole % 60:02d}"

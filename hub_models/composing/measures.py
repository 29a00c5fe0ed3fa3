"""What can be said of a piece in numbers: how well its parts go together, and how it sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..midi import render
from .fitting import shares
from .settings import BAND, MELODY, PIANO, PLAYED

if TYPE_CHECKING:
    from ..composition import Composition

SILENT = 1e-3
MEASURED_RATE = 22_050


def figures(piece: Composition) -> dict[str, float]:
    """Of a whole piece.

    Returns:
        for each part that is there its `NAME_on_chord` and `NAME_on_scale` (shares of the sounding time), `NAME_per_bar`
        (notes) and `NAME_range` (semitones); of the melody `melody_empty_bars`, `melody_repeats` (share of notes with the
        pitch of the one before) and `melody_steps` (mean size in semitones of the others); `clashes`: the share of the
        piano's notes that sound a semitone from the melody; `muddy`: the share of its notes below the E in the bass clef
        while a bass sounds; of the sound `peak`, `clipped` (share of samples at full scale), `silence` (share of its time)
        and `balance_melody_over_rest` in decibels.
    """
    harmony, found = piece.frame.harmony, {}
    bars = len(harmony.bars)
    for stage in PLAYED:
        if stage not in piece.parts:
            continue
        notes = piece.parts[stage].notes
        pitches = [note.pitch for note in notes] or [0]
        found[f"{stage}_on_chord"], found[f"{stage}_on_scale"] = shares(notes, harmony)
        found[f"{stage}_per_bar"] = piece.parts[stage].num_notes / bars
        found[f"{stage}_range"] = max(pitches) - min(pitches)
    if MELODY in piece.parts:
        notes = piece.parts[MELODY].notes
        steps = np.abs(np.diff([note.pitch for note in notes])) if len(notes) > 1 else np.zeros(1)
        found["melody_empty_bars"] = bars - len({int(note.start // 4) for note in notes})
        found["melody_repeats"] = float(np.mean(steps == 0))
        found["melody_steps"] = float(steps[steps > 0].mean()) if (steps > 0).any() else 0.0
    if MELODY in piece.parts and PIANO in piece.parts:
        tune, mixed = piece.parts[MELODY].notes, [t for t in piece.tracks if t.program == 0 and not t.is_drum]
        piano = [note for track in mixed for note in track.notes]
        clashing = [
            any(a.start < n.end - 0.1 and a.end > n.start + 0.1 and abs(a.pitch - n.pitch) == 1 for a in tune) for n in piano
        ]
        found["clashes"] = float(np.mean(clashing)) if clashing else 0.0
        has_bass = BAND in piece.parts and any(track.is_bass for track in piece.parts[BAND].tracks)
        found["muddy"] = float(np.mean([has_bass and note.pitch < 50 for note in piano])) if piano else 0.0
    sound = piece.audio(MEASURED_RATE)
    body = sound[:, : round(piece.seconds * MEASURED_RATE)].mean(axis=0)
    frames = body[: len(body) // 2205 * 2205].reshape(-1, 2205)
    found["peak"] = float(np.abs(sound).max())
    found["clipped"] = float((np.abs(sound) >= 0.999).mean())
    found["silence"] = float((np.abs(frames).max(axis=1) < SILENT).mean())
    if MELODY in piece.parts and len(piece.parts) > 2:
        alone = piece.with_levels(muted=[stage for stage in PLAYED if stage != MELODY]).midi
        rest = piece.with_levels(muted=[MELODY]).midi
        found["balance_melody_over_rest"] = 20 * float(np.log10(_loudness(alone) / max(1e-9, _loudness(rest))))
    return {name: round(float(value), 4) for name, value in found.items()}


def _loudness(music) -> float:
    sound = render(music, MEASURED_RATE, limit=False).mean(axis=0)
    power = np.square(sound[: len(sound) // 512 * 512].reshape(-1, 512)).mean(axis=1)
    heard = power[power > SILENT**2]
    return float(np.sqrt(heard.mean())) if len(heard) else 0.0

"""Music as sound with its dynamics: the synthesiser plays every note alike, however hard it is struck.

So the notes are played in layers, those of about the same velocity together, and the layers are put together as loud as
they are meant.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pretty_midi

# A note's amplitude goes with its velocity to this power, as General MIDI's synthesisers have it (40 dB per decade).
VELOCITY_EXPONENT = 2.0
LAYER = 12  # velocities that are played alike
FULL_VELOCITY = 127


def rendered(music: pretty_midi.PrettyMIDI, sample_rate: int, min_seconds: float = 0.0) -> np.ndarray:
    """A PrettyMIDI as sound, (2, samples) float32, notes of velocity 127 as loud as the SoundFont has them. It may exceed
    full scale.

    Raises:
        RenderError: it is too long, or the sample rate is unknown.
    """
    from .. import midi

    seconds = max(min_seconds, float(music.get_end_time()))
    layers = sorted({note.velocity // LAYER for part in music.instruments for note in part.notes})
    total: np.ndarray | None = None
    for layer in layers:
        sound = midi.render(_only(music, layer), sample_rate=sample_rate, min_seconds=seconds, dynamics=False)
        loud = min(FULL_VELOCITY, layer * LAYER + LAYER / 2)
        sound *= np.float32((loud / FULL_VELOCITY) ** VELOCITY_EXPONENT)
        total = sound if total is None else total + sound
    return midi.render(music, sample_rate=sample_rate, min_seconds=seconds) if total is None else total


def _only(music: pretty_midi.PrettyMIDI, layer: int) -> pretty_midi.PrettyMIDI:
    """The notes of one layer."""
    chosen = copy.copy(music)
    chosen.instruments = []
    for part in music.instruments:
        own = copy.copy(part)
        own.notes = [note for note in part.notes if note.velocity // LAYER == layer]
        if own.notes:
            chosen.instruments.append(own)
    return chosen

"""Piano pieces in the public domain, to take the style of or to go on from, and tunes to play."""

from __future__ import annotations

from typing import TYPE_CHECKING

import examples
import pattern as patterns

from hub_models.composing.piano_pieces import DEFAULT_STYLE, PIECES, Score, Touch, piece, play

if TYPE_CHECKING:
    import pretty_midi

__all__ = ["DEFAULT_MELODY", "DEFAULT_STYLE", "MELODY_TEMPI", "PIECES", "Score", "Touch", "melody", "piece", "play"]

# Tunes for the model to play: those of the other tabs, at tempi that suit them.
MELODY_TEMPI = {
    "Ode to Joy": 112,
    "Frère Jacques": 108,
    "When the Saints": 152,
    "Twinkle, twinkle": 104,
    "Oh! Susanna": 126,
    "Drunken Sailor": 138,
}
DEFAULT_MELODY = "Ode to Joy"


def melody(name: str) -> pretty_midi.PrettyMIDI:
    """A tune of `MELODY_TEMPI`."""
    tune = examples.clips_for("melody", examples.TUNES[name].count("|") + 1)[name]
    return patterns.to_midi(tune, MELODY_TEMPI[name])

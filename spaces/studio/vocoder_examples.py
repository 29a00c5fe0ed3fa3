"""Sounds to try the vocoder on: the Studio's own tunes and grooves, played by instruments of many kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import examples
import pattern as patterns
import sound as sounds

if TYPE_CHECKING:
    import pretty_midi


class Recipe(NamedTuple):
    """What is played: a clip of `examples`, from which bar on and how many, how fast, and by which General MIDI program."""

    kind: str
    clip: str
    clip_bars: int
    bars: int
    tempo: float
    program: int = 0


SOUNDS = {
    "Ode to Joy, harp": Recipe("melody", "Ode to Joy", 16, 4, 120, 46),
    "Frère Jacques, oboe": Recipe("melody", "Frère Jacques", 8, 4, 120, 68),
    "Drunken Sailor, a whole band": Recipe("trio", "Drunken Sailor, dancing", 16, 4, 132, 65),
    "Bossa nova, drums": Recipe("drums", "Bossa nova", 2, 2, 100),
    "Off-beat arpeggio, music box": Recipe("melody", "Off-beat arpeggio", 2, 2, 100, 10),
    "Twinkle, twinkle, trumpet": Recipe("melody", "Twinkle, twinkle", 8, 4, 110, 56),
}


def music(name: str) -> pretty_midi.PrettyMIDI:
    """The music of an example, by its name in `SOUNDS`."""
    recipe = SOUNDS[name]
    whole = clip(recipe)
    return patterns.to_midi(patterns.cut(whole, 0, recipe.bars), recipe.tempo, recipe.program)


def seconds(name: str) -> float:
    """How long its bars last."""
    return SOUNDS[name].bars * patterns.BEATS_PER_BAR * 60.0 / SOUNDS[name].tempo


def sound(name: str, sample_rate: int) -> sounds.Sound:
    """An example as it sounds, at a sample rate in Hz."""
    return sounds.perform(music(name), name, sample_rate, seconds(name))


def clip(recipe: Recipe) -> patterns.Pattern:
    """The clip that a recipe names."""
    return examples.clips_for(recipe.kind, recipe.clip_bars)[recipe.clip]

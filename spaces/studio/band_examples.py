"""Examples for the Band tab: bars to take a style from, and songs as the recipe that makes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hub_models.composing.band_bars import BARS, TEMPO, bar

__all__ = ["BARS", "SONGS", "TEMPO", "Recipe", "bar"]


@dataclass(frozen=True)
class Recipe:
    """A song as what makes it: the model, which comes with its weights, does the rest.

    Attributes:
        styles: one for all bars, or the two that the song goes from and to: a name of `BARS`, or a seed.
    """

    progression: str
    num_bars: int
    styles: tuple[str | int, ...]
    tempo: float
    seed: int
    temperature: float = 0.3
    strengths: dict[str, float] = field(default_factory=dict)


SONGS = {
    "From rock to the dance floor": Recipe("C G Am F", 32, ("Rock band", "Dance floor"), 120, 7),
    "A ballad in four chords": Recipe("C Am F G", 16, ("Soft ballad",), 84, 7),
    "Two dice": Recipe("Am F C G", 32, (4, 11), 112, 7),
}

"""Songs to begin with: artists, genres and lyrics of the bundled model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Example(NamedTuple):
    """What is asked of a model."""

    artist: str
    genre: str
    lyrics: str = ""


SONGS = {
    "A low voice, a nursery rhyme": Example(
        "low voice",
        "nursery",
        "twinkle twinkle little star\nhow I wonder what you are\nup above the world so high\nlike a diamond in the sky",
    ),
    "A high voice, a poem": Example(
        "high voice",
        "poem",
        "blue rain will fall down from tall gray dark hill\nwarm wind may come back over cold deep lake",
    ),
    "A low voice sings do re mi": Example("low voice", "solfege", "do re mi fa so la ti do\ndo ti la so fa mi re do"),
    "Piano, classical": Example("piano", "classical"),
    "Music box, folk": Example("music box", "folk"),
    "A band, pop": Example("band", "pop"),
    "Drums, a groove": Example("drums", "groove"),
}


def known(artists: Iterable[str], genres: Iterable[str]) -> list[str]:
    """Names in `SONGS` of the examples whose artist and genre a model knows."""
    artists, genres = set(artists), set(genres)
    return [name for name, song in SONGS.items() if song.artist in artists and song.genre in genres]

"""What a page of the Jukebox works on: a song, its candidates, and which of them a person has chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.jukebox_candidates import candidates_value
from jukebox_songs import Song
from jukebox_takes import Piece
from jukeboxes import Jukeboxes

if TYPE_CHECKING:
    from hub_models import Clip

MAKE, UPSAMPLE = "candidates", "song"


@dataclass(eq=False)
class Bench:
    """A song and its candidates.

    Attributes:
        pieces: candidates by their keys.
        chosen: keys of those that a person has chosen.
        looked_at: key of the one that is seen large.
    """

    song: Song
    pieces: dict[str, Piece]
    chosen: list[str] = field(default_factory=list)
    looked_at: str | None = None

    @classmethod
    def of(cls, song: Song, jukeboxes: Jukeboxes) -> Bench:
        """A song of which nothing is there yet."""
        entry = jukeboxes.entry(song.wish.model)
        prompt = song.prompt(entry.sample_rate)
        return cls(song, {key: Piece(song, key, entry, prompt) for key in song.wish.keys})

    @classmethod
    def found(cls, song: Song, jukeboxes: Jukeboxes) -> Bench:
        """A song with what lies in its folder."""
        bench = cls.of(song, jukeboxes)
        for key, piece in bench.pieces.items():
            if look := jukeboxes.found(song, key):
                piece.come(look)
        bench.rest()
        bench.chosen = list(song.upsampled) or [key for key, piece in bench.pieces.items() if piece.is_ready][:1]
        bench.looked_at = next(iter(bench.chosen), None)
        return bench

    @property
    def piece(self) -> Piece | None:
        """The candidate that is seen large."""
        return self.pieces.get(self.looked_at)

    @property
    def left(self) -> dict[str, list[str]]:
        """Keys of candidates that are not all there, and of those that are not finished though they are to be."""
        return {
            MAKE: [key for key, piece in self.pieces.items() if not piece.is_ready],
            UPSAMPLE: [key for key in self.song.upsampled if not self.pieces[key].is_finished],
        }

    @property
    def is_busy(self) -> bool:
        return any(piece.is_busy for piece in self.pieces.values())

    def wait_for(self, key: str) -> Piece:
        """Something is going to be made of a candidate."""
        self.pieces[key].wait()
        return self.pieces[key]

    def rest(self) -> None:
        """Nothing is being made any more, for now."""
        for piece in self.pieces.values():
            piece.rest()

    def choose(self, keys: list[str]) -> None:
        """A person has chosen these; the one that is new is seen large, unless something is being made."""
        keys = [key for key in keys if key in self.pieces and self.pieces[key].is_ready]
        added = [key for key in keys if key not in self.chosen]
        self.chosen = keys
        if added and not self.is_busy:
            self.looked_at = added[-1]

    def upsample(self, keys: list[str]) -> None:
        """These are to be brought down to the finest level."""
        self.song = self.song.with_upsampled(tuple(keys))
        self.chosen = list(keys)
        for piece in self.pieces.values():
            piece.song = self.song

    def cards(self) -> dict[str, Any]:
        """All candidates, small."""
        return candidates_value([piece.card() for piece in self.pieces.values()], self.chosen)

    def clip(self) -> Clip | None:
        """What travels of the candidate that is seen large."""
        return self.piece.clip() if self.piece else None

    def large(self, jukeboxes: Jukeboxes) -> dict[str, Any] | None:
        """The candidate that is seen large; None where there is nothing of it."""
        piece = self.piece
        return piece.view(jukeboxes.ranks(piece.entry.name)) if piece and piece.sounds else None

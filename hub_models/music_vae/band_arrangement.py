"""A song of a band: its bars, each with a style, chords, dice and music. Knows no model."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from numbers import Integral
from typing import NamedTuple

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .multitrack_events import DRUMS, END, MAX_TRACKS, PADDING, PROGRAM
from .multitrack_measures import DRUM_PROGRAM, program_sets

MAX_BARS = 256


class BandTrack(NamedTuple):
    """An instrument of a song. It equals the pair (program, is_drum), which is its key.

    Args:
        program (`int`): General MIDI program, 0..127; 0 of drums.
        is_drum (`bool`): whether it is a drum kit.
    """

    program: int
    is_drum: bool

    @property
    def name(self) -> str:
        """Its General MIDI name, or "Drums"."""
        return "Drums" if self.is_drum else pretty_midi.program_to_instrument_name(self.program)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """A song of N bars of 4/4, 1..256. [`Band`] makes them and edits them; every edit gives a new one. Bars are counted from
    1, as in a score.

    Args:
        latents (`Tensor` of shape (N, D), float32): the style of each bar.
        chords (list of N lists of `str`): the symbols in each bar, which share it evenly; none of a model without chords.
        sequences (`Tensor` of shape (N, 512), int64): the music of each bar, as the model writes it.
        draws (`Tensor` of shape (N, 512), float32): the dice of each bar, from 0 to 1.
        temperature (`float`, *optional*): of the draws; None: the likeliest events.
        lineups (`Tensor` of shape (N, 8), int64, *optional*): the instruments of each bar where they were asked for, see
            [`lineup_of`]; -1 where they are drawn, which is everywhere by default.
    """

    latents: Tensor
    chords: list[list[str]]
    sequences: Tensor
    draws: Tensor
    temperature: float | None
    lineups: Tensor | None = None

    def __post_init__(self):
        check_num_bars(len(self.chords))
        if self.lineups is None:
            object.__setattr__(self, "lineups", torch.full((len(self.chords), MAX_TRACKS), PADDING))

    @property
    def num_bars(self) -> int:
        return len(self.chords)

    def __len__(self) -> int:
        return len(self.chords)

    @property
    def bar_tracks(self) -> list[list[BandTrack]]:
        """The instruments that play in each bar, by program, drums last."""
        return [_band_tracks(row) for row in program_sets(self.sequences)]

    @property
    def tracks(self) -> list[BandTrack]:
        """All instruments of the song, by program, drums last."""
        return _band_tracks(program_sets(self.sequences).any(axis=0))

    @property
    def silent_bars(self) -> list[int]:
        """Numbers of the bars, from 1, in which nothing sounds: the model wrote no notes that can be played."""
        return (np.flatnonzero(~program_sets(self.sequences).any(axis=1)) + 1).tolist()

    def select(self, bars: int | Iterable[int]) -> "Arrangement":
        """Some of the bars, in the order that is given; a bar may come several times."""
        return self._take(bar_places(bars, self.num_bars, distinct=False))

    def replace_bars(self, bars: int | Iterable[int], other: "Arrangement") -> "Arrangement":
        """The same song with its `bars` (numbers from 1) replaced by those of another, which has as many."""
        places = bar_places(bars, self.num_bars)
        if len(places) != other.num_bars:
            raise ValueError(f"{len(places)} bars cannot be replaced by {other.num_bars}.")
        order = torch.arange(self.num_bars)
        order[places] = self.num_bars + torch.arange(len(places))
        return _joined(self, other, order.tolist())

    def __add__(self, other: "Arrangement") -> "Arrangement":
        """This song and then the other. What is played anew later has the temperature of this one."""
        if not isinstance(other, Arrangement):
            return NotImplemented
        check_num_bars(self.num_bars + other.num_bars)
        return _joined(self, other, list(range(self.num_bars + other.num_bars)))

    def _take(self, places: list[int]) -> "Arrangement":
        return replace(
            self,
            latents=self.latents[places],
            chords=[self.chords[place] for place in places],
            sequences=self.sequences[places],
            draws=self.draws[places],
            lineups=self.lineups[places],
        )


def _joined(first: Arrangement, second: Arrangement, places: list[int]) -> Arrangement:
    """Bars of two songs, by their places in the one after the other."""
    if first.latents.shape[1] != second.latents.shape[1]:
        sizes = f"{first.latents.shape[1]} and {second.latents.shape[1]}"
        raise ValueError(f"Both songs must be of the same model; their latents have the sizes {sizes}.")
    chords = [*first.chords, *second.chords]
    return replace(
        first,
        latents=torch.cat([first.latents, second.latents])[places],
        chords=[chords[place] for place in places],
        sequences=torch.cat([first.sequences, second.sequences])[places],
        draws=torch.cat([first.draws, second.draws])[places],
        lineups=torch.cat([first.lineups, second.lineups])[places],
    )


def lineup_of(instruments: Iterable[tuple[int, bool]]) -> Tensor:
    """Instruments, as (program 0..127, whether it is a drum kit), as the events (8,) that the tracks of a bar begin with; an
    instrument may come several times.

    Raises:
        ValueError: for fewer than 2 or more than 8, or programs that there are not.
    """
    given = [(bool(is_drum), int(program)) for program, is_drum in instruments]
    if not 2 <= len(given) <= MAX_TRACKS or not all(program in range(128) for _, program in given):
        shown = [(program, is_drum) for is_drum, program in given[: 2 * MAX_TRACKS]]
        raise ValueError(f"A band has 2 to {MAX_TRACKS} instruments, of programs 0..127; got {shown}.")
    events = [DRUMS if is_drum else PROGRAM + program for is_drum, program in sorted(given)]
    return torch.tensor([*events, *[END] * (MAX_TRACKS - len(events))])


def lineups_of(sequences: Tensor) -> Tensor:
    """The events (N, 8) that the tracks of sequences (N, 512) begin with."""
    return sequences.unflatten(1, (MAX_TRACKS, -1))[..., 0]


def check_num_bars(num_bars: int):
    """Raises ValueError where a song cannot have so many bars."""
    if num_bars not in range(1, MAX_BARS + 1):
        raise ValueError(f"A song has 1 to {MAX_BARS} bars, got {num_bars}.")


def bar_places(bars: int | Iterable[int] | None, num_bars: int, distinct: bool = True) -> list[int]:
    """Numbers of bars, from 1, as places from 0; None: all of them.

    Raises:
        ValueError: for none, for bars that the song does not have, or a bar twice where they are to be `distinct`.
    """
    numbers = list(range(1, num_bars + 1)) if bars is None else [bars] if isinstance(bars, Integral) else list(bars)
    if not numbers or not all(number in range(1, num_bars + 1) for number in numbers):
        raise ValueError(f"bars must be numbers 1..{num_bars} of the song's bars, got {numbers[:MAX_BARS]}.")
    if distinct and len(set(numbers)) < len(numbers):
        raise ValueError(f"Each of the bars can be given once, got {numbers[:MAX_BARS]}.")
    return [int(number) - 1 for number in numbers]


def _band_tracks(programs: np.ndarray) -> list[BandTrack]:
    """The instruments of a bool mask (129,) of programs."""
    numbers = np.flatnonzero(programs).tolist()
    return [BandTrack(0, True) if number == DRUM_PROGRAM else BandTrack(number, False) for number in numbers]


__all__ = ["Arrangement", "BandTrack", "lineup_of", "lineups_of"]

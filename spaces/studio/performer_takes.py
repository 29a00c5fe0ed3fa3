"""Pieces that the performer has played, and how they are shown: what a roll draws of them, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import songs
from components.performance_roll import performance_roll_value
from performer import MAX_EVENTS, Performers, Progress, Wish
from performer_reading import Reading, seconds_of

if TYPE_CHECKING:
    from hub_models import Clip

# Of what is brought no more is drawn.
MAX_DRAWN_NOTES = 20_000


@dataclass(frozen=True, eq=False)
class Take:
    """A piece as it was played.

    Attributes:
        ids, notes, seconds: all of it, its opening too.
        opening: how many seconds of it were given.
        melody: events of the melody of the whole piece, empty if it has none; `tune` is what they were made from.
        key: the same while it goes on.
        how: what it was made with, in words; `outcome` is how that went.
        remarks: sentences on what a person might wonder at.
        clip: what travels of it, once it is all there.
    """

    title: str
    ids: tuple[int, ...]
    notes: tuple[tuple, ...]
    seconds: float
    model: str
    opening: float = 0.0
    melody: tuple[int, ...] = ()
    tune: Reading | None = None
    key: str = ""
    how: str = ""
    outcome: str = ""
    remarks: tuple[str, ...] = ()
    clip: Clip | None = None


def reading_value(reading: Reading, title: str, is_melody: bool = False) -> dict[str, Any]:
    """What a low roll shows of something that was brought."""
    count = len(reading.notes)
    detail = f"{clock(reading.seconds)}, {count} note{'s' if count != 1 else ''}"
    if not is_melody and reading.notes:
        velocities = [note[3] for note in reading.notes]
        detail += f", velocity {min(velocities)} to {max(velocities)}"
    return performance_roll_value(
        reading.notes[:MAX_DRAWN_NOTES], reading.seconds, title=title, detail=detail, plain=is_melody
    )


def take_value(take: Take, run: dict[str, Any] | None = None, files: dict[str, bytes] | None = None) -> dict[str, Any]:
    """What the roll shows of a piece, while it is played (`run`) or after."""
    count = f"{len(take.notes)} notes, " if take.notes else ""
    return performance_roll_value(
        take.notes, take.seconds, title=take.title, detail=f"{count}{take.how}{take.outcome}", opening=take.opening,
        files=files, key=take.key, run=run,
    )  # fmt: skip


def finished_value(performers: Performers, take: Take) -> dict[str, Any]:
    """The same with its files."""
    return take_value(take, files=songs.files(performers.music(take.model, take.ids)))


def timeline(
    performers: Performers,
    name: str,
    opening: tuple[int, ...],
    before: Take | None,
    tune: Reading | None,
    seconds: float,
) -> tuple[int, ...] | None:
    """The melody of a piece that goes on for `seconds` from `opening`, which is that of `before` where there is one.

    It stays as it was while it is the same and not over; else it is what was played, and then `tune`, or silence, where the
    model makes up its own.
    """
    if not performers.entry(name).takes_melody:
        return None
    same = before and before.tune is not None and tune is not None and before.tune.ids == tune.ids
    if same and before.seconds < len(before.melody) / 10 - 1:
        return before.melody
    return performers.timeline(name, opening, before.melody if before else (), tune, seconds)


def title(wish: Wish, tune: Reading | None, opening: Reading | None) -> str:
    """What a piece is called."""
    names = [reading.name for reading in wish.styles]
    style = f"between {names[0]} and {names[1]}" if len(names) > 1 else f"in the style of {names[0]}" if names else ""
    if tune:
        return f"{tune.name}, {style}" if style else tune.name
    piece = f"{opening.name}, continued" if opening else "Improvisation"
    return f"{piece}, {style}" if style else piece


def how(wish: Wish) -> str:
    """What a piece is made with, in words."""
    mixed = f"{100 * wish.share:.0f} % of B, " if len(wish.styles) > 1 else ""
    return f"{mixed}temperature {wish.temperature:g}, top-p {wish.top_p:g}, seed {wish.seed}"


def how_far(step: Progress, start: float, goal: float) -> dict[str, Any]:
    """`rate` and `text` of a run that is to come from `start` to `goal`, in seconds of music."""
    rate = (step.seconds - start) / step.elapsed if step.elapsed > 0.2 else 0.0
    left = (goal - step.seconds) / rate if rate else 0.0
    about = f", about {left:.0f} s left" if left >= 1.5 else ""
    return {"rate": round(rate, 3), "text": f"{step.seconds - start:.0f} of {goal - start:.0f} seconds{about}"}


def outcome(step: Progress) -> str:
    """How it went, in words."""
    pace = f", {step.made} events in {step.elapsed:.1f} s" if step.elapsed else ""
    return pace + (", stopped" if step.stopped else "")


def remarks(step: Progress, wish: Wish, context_length: int) -> tuple[str, ...]:
    """What a person might wonder at.

    Args:
        context_length: events that the model hears at once.
    """
    from hub_models.transformer_autoencoder.generation import window_start

    told = []
    if start := window_start(1 + len(wish.opening), context_length):
        since = clock(seconds_of(wish.opening[: start - 1]))
        told.append(f"What it goes on from is longer than the model hears at once; it was heard from {since} on.")
    if step.ended:
        told.append("The model ended the piece by itself. Continue goes on from there.")
    elif step.made >= MAX_EVENTS:
        told.append(f"Shorter than asked for: {MAX_EVENTS} events are played at once. Continue goes on from there.")
    return tuple(told)


def clock(seconds: float) -> str:
    """As minutes and seconds, 1:05."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"

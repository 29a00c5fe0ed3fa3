"""From what was brought to a piece, and to the clip that it is: the same for the page and for programs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import performer_reading
import performer_takes as takes
import validate
from performer import Performers, Progress, Wish
from performer_reading import Reading, notes_of, seconds_of
from performer_takes import Take
from sources import Ledger, Source, in_words, plain_settings
from validate import StudioError

if TYPE_CHECKING:
    from hub_models import Clip

FIGURES = 2  # the place of the figures among what /perform gives
# The longest piece that may go on: more than half an hour of dense music.
MAX_PIECE_EVENTS = 60_000
MAX_TITLE = 200
# A piece is made again from its beginning, or from one that went on so many times.
MAX_CALLS = 12


class Brought(NamedTuple):
    """A file as it came, and as it is read; of a melody also how it is found."""

    source: Source
    reading: Reading
    melody_source: str = "infer"


@dataclass(frozen=True)
class Asked:
    """What is to be played.

    Attributes:
        styles: none, one, or two, of which `share` is that of the second.
        tune: where the melody is from.
        start: what it goes on from, up to `until` seconds; None: to its end.
        before: the piece that it goes on from, in place of `start`.
        max_events: to be added at most; None: as many as are played at once.
    """

    model: str
    styles: tuple[Brought, ...]
    share: float
    tune: Brought | None
    start: Brought | None
    until: float | None
    before: Take | None
    seconds: float
    temperature: float
    top_p: float
    seed: int
    max_events: int | None = None


def begin(performers: Performers, asked: Asked) -> tuple[Wish, Take]:
    """What the model is told, and the piece as it is before anything is added.

    Raises:
        StudioError: the wish lacks what the model needs, or is too much.
    """
    entry, before, tune = performers.entry(asked.model), asked.before, asked.tune
    opening, start, given_seconds = (), None, 0.0
    if before:
        if len(before.ids) > MAX_PIECE_EVENTS:
            raise StudioError(
                f"This piece has {len(before.ids):,} events; one of at most {MAX_PIECE_EVENTS:,} can go on. Begin a new one."
            )
        opening, given_seconds = before.ids, before.opening
    elif asked.start:
        start = asked.start.reading
        opening = start.ids if asked.until is None else performer_reading.cut(start, asked.until).ids
        given_seconds = seconds_of(opening)
    melody = tune.reading if tune and entry.takes_melody else None
    seconds = validate.performance_seconds(asked.seconds)
    timeline = takes.timeline(performers, asked.model, opening, before, melody, seconds)
    wish = Wish(
        styles=tuple(style.reading for style in asked.styles),
        share=validate.share(asked.share),
        melody=timeline,
        opening=opening,
        seconds=seconds,
        temperature=validate.temperature(asked.temperature),
        top_p=validate.top_p(asked.top_p),
        seed=validate.seed(asked.seed),
        max_events=asked.max_events,
    )
    performers.check(asked.model, wish)
    return wish, Take(
        title=before.title if before else takes.title(wish, melody, start),
        ids=opening,
        notes=before.notes if before else (),
        seconds=seconds_of(opening),
        model=asked.model,
        opening=given_seconds,
        melody=timeline or (),
        tune=melody,
        key=before.key if before else secrets.token_hex(4),
        how=takes.how(wish),
    )


def played(performers: Performers, asked: Asked, wish: Wish, take: Take, step: Progress) -> Take:
    """The piece after the last step."""
    return replace(
        take,
        ids=step.ids,
        notes=step.notes,
        seconds=max(step.seconds, take.seconds),
        outcome=takes.outcome(step),
        remarks=takes.remarks(step, wish, performers.entry(asked.model).context_length),
    )


def clip_of(asked: Asked, take: Take, step: Progress, midi: bytes) -> Clip:
    """The clip of a piece, as /perform makes it again.

    Args:
        midi: contents of its file.
    """
    from hub_models import Clip
    from hub_models.clips import Call, Origin

    ledger, calls, before = Ledger(), (), None
    if asked.before:
        origin = asked.before.clip.origin
        if len(origin.calls) < MAX_CALLS:
            ledger, calls, before = Ledger(origin), origin.calls, Call.result(len(origin.calls) - 1, FIGURES)
        else:
            before = {"title": asked.before.title, "piece": piece_figures(asked.before)}
        ledger.parent(asked.before.clip.id)
    style, second = (*(brought.source for brought in asked.styles), None, None)[:2]
    tune, start = asked.tune, None if asked.before else asked.start
    call = Call(
        "/perform",
        {
            "model": asked.model,
            "style": ledger.reference(style, "mid"),
            "second_style": ledger.reference(second, "mid"),
            "share": asked.share if second else 0,
            "melody": ledger.reference(tune.source, "mid") if tune else None,
            "melody_source": tune.melody_source if tune else "infer",
            "opening": ledger.reference(start.source, "mid") if start else None,
            "opening_seconds": min(asked.until, start.reading.seconds) if start and asked.until is not None else None,
            "seconds": asked.seconds,
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "seed": asked.seed,
            "before": before,
            "events": step.made if step.stopped else asked.max_events,
        },
    )
    origin = Origin(
        action=in_words(f"{'Continue' if asked.before else 'Perform'} {take.title}"),
        model=asked.model,
        settings=plain_settings(
            styles=[brought.reading.name for brought in asked.styles],
            share=asked.share if second else None,
            melody=tune.reading.name if tune else None,
            opening=start.reading.name if start else None,
            opening_seconds=round(take.opening, 2) if start else None,
            seconds=asked.seconds,
            temperature=asked.temperature,
            top_p=asked.top_p,
            stopped_after_events=step.made if step.stopped else None,
        ),
        seed=asked.seed,
        parents=ledger.parents,
        calls=(*calls, call),
        files=ledger.files,
    )
    return Clip.from_midi(midi, take.title, seconds=take.seconds, origin=origin)


# ---- Pieces as figures, for programs that let them go on


def piece_figures(take: Take) -> dict[str, Any]:
    """All that it takes to go on from a piece."""
    return {
        "events": list(take.ids),
        "melody": list(take.melody),
        "tune": list(take.tune.ids) if take.tune else None,
        "given_seconds": take.opening,
    }


def piece_of(figures: Any) -> Take:
    """The piece that figures of /perform tell of.

    Raises:
        StudioError: they are not such figures.
    """
    from hub_models.transformer_autoencoder.melody_events import MELODY_STEPS_PER_SECOND, MELODY_VOCAB_SIZE, NO_EVENT_ID
    from hub_models.transformer_autoencoder.performance_events import NOTE_ON_OFFSET, PERFORMANCE_VOCAB_SIZE

    piece = figures.get("piece") if isinstance(figures, dict) else None
    if not isinstance(piece, dict):
        raise StudioError("What is gone on from must be the figures that an earlier call gave, with their piece.")
    ids = _ids("events", piece.get("events"), NOTE_ON_OFFSET, PERFORMANCE_VOCAB_SIZE)
    melody = _ids("melody", piece.get("melody") or [], NO_EVENT_ID, MELODY_VOCAB_SIZE)
    tune = None
    if piece.get("tune") is not None:
        events = _ids("tune", piece["tune"], NO_EVENT_ID, MELODY_VOCAB_SIZE)
        tune = Reading("", events, (), len(events) / MELODY_STEPS_PER_SECOND)
    seconds = seconds_of(ids)
    given = validate.seconds("The given seconds of the piece", piece.get("given_seconds", 0), max(1.0, seconds))
    return Take(
        title=validate.text("The title of the piece", figures.get("title"), MAX_TITLE) or "Improvisation",
        ids=ids, notes=notes_of(ids), seconds=seconds, model="", opening=given, melody=melody, tune=tune,
    )  # fmt: skip


def _ids(name: str, value: Any, low: int, beyond: int) -> tuple[int, ...]:
    fits = isinstance(value, list) and len(value) <= MAX_PIECE_EVENTS
    if not fits or not all(type(event) is int and low <= event < beyond for event in value):
        raise StudioError(
            f"The {name} of the piece must be at most {MAX_PIECE_EVENTS:,} whole numbers from {low} to {beyond - 1}."
        )
    return tuple(value)

"""What the stages of a composition give: parts of one track or several, their notes in quarter notes; as plain JSON, too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

MAX_NOTES = 20_000
MAX_TRACKS = 32
MAX_NAME = 60
BASSES = (*range(32, 40), 43, 58)


class CompositionError(ValueError):
    """Something that a piece cannot be made of; the message says what was given and what is allowed."""


class Note(NamedTuple):
    """A note: MIDI pitch 0..127, where it starts and ends in quarter notes, velocity 1..127."""

    pitch: int
    start: float
    end: float
    velocity: int


@dataclass(frozen=True)
class Track:
    """An instrument and its notes, in order of start then pitch."""

    name: str
    program: int
    is_drum: bool
    notes: tuple[Note, ...]

    @property
    def is_bass(self) -> bool:
        """Whether it is one of General MIDI's basses, a contrabass or a tuba."""
        return not self.is_drum and self.program in BASSES

    def with_notes(self, notes: Iterable[Note]) -> Track:
        """The same instrument with other notes; their times are rounded to what JSON has of them."""
        rounded = (note._replace(start=round(note.start, 4), end=round(note.end, 4)) for note in notes)
        return replace(self, notes=tuple(sorted(rounded, key=lambda note: (note.start, note.pitch))))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON; what `from_dict` reads."""
        notes = [list(note) for note in self.notes]
        return {"name": self.name, "program": self.program, "is_drum": self.is_drum, "notes": notes}

    @classmethod
    def from_dict(cls, value: Any, quarters: float) -> Track:
        """A track of a piece that lasts so many quarter notes.

        Raises:
            CompositionError: it is not one; says what is wrong.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("notes"), (list, tuple)):
            raise CompositionError('A track is an object such as {"program": 0, "notes": [[60, 0, 1, 80]]}.')
        program = value.get("program", 0)
        if isinstance(program, bool) or program not in range(128):
            raise CompositionError(f"A track's program is a whole number from 0 to 127, not {program!r:.40}.")
        name = str(value.get("name") or "Track")[:MAX_NAME]
        is_drum = bool(value.get("is_drum", False))
        return cls(name, int(program), is_drum, ()).with_notes(checked_notes(value["notes"], quarters))


@dataclass(frozen=True)
class Part:
    """What a stage gives: tracks that play together.

    Attributes:
        tracks: at least one.
        how: how it came about, as plain JSON: what was measured of it, what was chosen among how many.
    """

    tracks: tuple[Track, ...]
    how: Mapping[str, Any]

    @property
    def notes(self) -> tuple[Note, ...]:
        """Those of all its tracks that are no drums, in order."""
        return tuple(sorted((n for t in self.tracks if not t.is_drum for n in t.notes), key=lambda n: (n.start, n.pitch)))

    @property
    def num_notes(self) -> int:
        """Of all tracks."""
        return sum(len(track.notes) for track in self.tracks)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"tracks": [track.to_dict() for track in self.tracks], "how": dict(self.how)}

    @classmethod
    def from_dict(cls, value: Any, quarters: float) -> Part:
        """
        Raises:
            CompositionError: it is no part of a piece that lasts so many quarter notes; says what is wrong.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("tracks"), (list, tuple)):
            raise CompositionError('A part is an object such as {"tracks": [{"program": 0, "notes": [[60, 0, 1, 80]]}]}.')
        if not 1 <= len(value["tracks"]) <= MAX_TRACKS:
            raise CompositionError(f"A part has 1 to {MAX_TRACKS} tracks, not {len(value['tracks'])}.")
        how = value.get("how")
        part = cls(
            tuple(Track.from_dict(track, quarters) for track in value["tracks"]),
            {key: how[key] for key in list(how)[:16] if _is_said(key, how[key])} if isinstance(how, Mapping) else {},
        )
        if part.num_notes > MAX_NOTES:
            raise CompositionError(f"A part has at most {MAX_NOTES:,} notes, not {part.num_notes:,}.")
        return part


def checked_notes(rows: Sequence[Any], quarters: float) -> list[Note]:
    """Rows [pitch, start, end, velocity] as notes of a piece that lasts so many quarter notes.

    Raises:
        CompositionError: one is none; says which.
    """
    if len(rows) > MAX_NOTES:
        raise CompositionError(f"A track has at most {MAX_NOTES:,} notes, not {len(rows):,}.")
    return [_checked_note(row, quarters) for row in rows]


def _checked_note(row: Any, quarters: float) -> Note:
    numbers = (
        isinstance(row, (list, tuple))
        and len(row) == 4
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) for value in row)
    )
    if not numbers:
        raise CompositionError(f"A note is [pitch, start, end, velocity] in numbers, not {row!r:.60}.")
    pitch, start, end, velocity = row
    if not (pitch in range(128) and velocity in range(1, 128) and 0 <= start < end <= quarters + 1e-6):
        raise CompositionError(
            f"The note {list(row)!r:.60} is out of range: pitch 0 to 127, velocity 1 to 127, and 0 <= start < end <= "
            f"{quarters:g} quarter notes."
        )
    return Note(int(pitch), float(start), float(end), int(velocity))


def _is_said(key: Any, value: Any) -> bool:
    """Whether something may be said of a part: a short text, a number, or a few of them."""
    if isinstance(value, (list, tuple)) and len(value) <= 64:
        return all(_is_said(key, item) for item in value)
    if isinstance(value, Mapping) and len(value) <= 16:
        return all(_is_said(name, item) for name, item in value.items())
    return isinstance(key, str) and len(key) <= 40 and (isinstance(value, (int, float)) or _is_short(value))


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 160


def one_at_a_time(notes: Iterable[Note]) -> list[Note]:
    """Notes in order, none over another of its pitch: a later one ends the one before, those together become one."""
    kept: dict[int, Note] = {}
    done: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.start, note.pitch, -note.end)):
        before = kept.get(note.pitch)
        if before is not None and note.start - before.start < 0.02:
            kept[note.pitch] = before._replace(end=max(before.end, note.end), velocity=max(before.velocity, note.velocity))
            continue
        if before is not None:
            done.append(before._replace(end=min(before.end, note.start)))
        kept[note.pitch] = note
    return sorted([*done, *kept.values()], key=lambda note: (note.start, note.pitch))

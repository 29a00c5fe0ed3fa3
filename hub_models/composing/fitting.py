"""Notes moved to where they go with the chords: the weighty ones to the chord, others to the scale."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .harmony import Harmony, nearest
from .parts import Note

# Of a bar of 4/4: how much a note weighs by where it begins.
_ACCENTS = ((4.0, 1.0), (2.0, 0.8), (1.0, 0.6), (0.5, 0.35))
OFF_BEAT = 0.2
STRONG = 0.75  # the accent from which on a note belongs to the chord, however short it is
LONG_QUARTERS = 1.5  # and the length, wherever it begins
# What it costs, in semitones, to stand still where the melody moved, and to turn back where it went on.
STANDING, TURNING = 2.6, 1.2


def accent(start: float) -> float:
    """How heavy the place is where a note begins, 0..1: the first beat 1, the third 0.8, the others 0.6, and so on. A note
    that is late or early by less than a thirty-second counts as on the beat."""
    for period, weight in _ACCENTS:
        if abs(start - period * round(start / period)) < 0.12:
            return weight
    return OFF_BEAT


def weight(note: Note) -> float:
    """How much a note is heard: its accent times its length in quarter notes, of which more than four do not count."""
    return accent(note.start) * min(4.0, max(0.1, note.end - note.start))


def is_strong(note: Note) -> bool:
    """Whether a note belongs to the chord below it, and not only to the scale."""
    return accent(note.start) >= STRONG or note.end - note.start >= LONG_QUARTERS - 0.06


def fits(note: Note, harmony: Harmony) -> bool:
    """Whether a note goes with the chord below it: in the chord if it is strong, else in the scale."""
    tones = harmony.tones_at(note.start)
    return note.pitch % 12 in (tones if is_strong(note) and tones else harmony.scale_at(note.start))


def fit_line(notes: Sequence[Note], harmony: Harmony, amount: float) -> list[Note]:
    """A melody whose notes that do not fit are moved to a near pitch that does, so that it goes up and down as it did.

    Args:
        amount: 0..1, the share of these notes that is moved, the heaviest first.
    """
    chosen = _heaviest([note for note in notes if not fits(note, harmony)], amount)
    moved: list[Note] = []
    for index, note in enumerate(notes):
        if note in chosen:
            tones = harmony.tones_at(note.start)
            allowed = tones if is_strong(note) and tones else harmony.scale_at(note.start)
            before = (notes[index - 1].pitch, moved[-1].pitch) if moved else None
            note = note._replace(pitch=_in_line(note.pitch, allowed, before))
        moved.append(note)
    return moved


def _in_line(pitch: int, allowed: Collection[int], before: tuple[int, int] | None) -> int:
    """A near pitch of an allowed class; `before` is the note before, as it was and as it is now."""

    def cost(candidate: int) -> float:
        distance = abs(candidate - pitch)
        if before is None:
            return distance
        was, now = pitch - before[0], candidate - before[1]
        return distance + STANDING * (was != 0 and now == 0) + TURNING * (was * now < 0)

    near = [candidate for candidate in range(max(0, pitch - 6), min(127, pitch + 6) + 1) if candidate % 12 in allowed]
    return min(near, key=cost, default=pitch)


def fit_texture(notes: Sequence[Note], harmony: Harmony, amount: float, low: int = 55) -> list[Note]:
    """Many notes at once, moved likewise; what lies below `low` goes to the chord, and so does what is held into the next
    chord: it ends there unless it belongs to that as well."""
    wrong = [note for note in notes if not _fits_texture(note, harmony, low)]
    chosen = _heaviest(wrong, amount)
    moved = []
    for note in notes:
        if note in chosen:
            note = note._replace(pitch=nearest(note.pitch, _allowed(note, harmony, low)))
            change = harmony.next_change(note.start)
            if note.end > change + 0.3 and note.pitch % 12 not in harmony.scale_at(change):
                note = note._replace(end=max(change, note.start + 0.1))
        moved.append(note)
    return moved


def _fits_texture(note: Note, harmony: Harmony, low: int) -> bool:
    if note.pitch % 12 not in _allowed(note, harmony, low):
        return False
    change = harmony.next_change(note.start)
    return note.end <= change + 0.3 or note.pitch % 12 in harmony.scale_at(change)


def _allowed(note: Note, harmony: Harmony, low: int):
    tones = harmony.tones_at(note.start)
    return tones if tones and (note.pitch < low or is_strong(note)) else harmony.scale_at(note.start)


def _heaviest(notes: Sequence[Note], amount: float) -> set[Note]:
    """The heaviest share of notes."""
    ordered = sorted(notes, key=lambda note: (-weight(note), note.start, note.pitch))
    return set(ordered[: round(amount * len(ordered))])


def shares(notes: Sequence[Note], harmony: Harmony) -> tuple[float, float]:
    """The share of the sounding time that is on notes of the chord, and on those of the scale; 0 without notes."""
    total = sum(note.end - note.start for note in notes)
    if not total:
        return 0.0, 0.0
    in_chord = sum(n.end - n.start for n in notes if n.pitch % 12 in harmony.tones_at(n.start))
    in_scale = sum(n.end - n.start for n in notes if n.pitch % 12 in harmony.scale_at(n.start))
    return in_chord / total, in_scale / total

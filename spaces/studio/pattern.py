"""The notes of a clip on bars of 4/4, as MusicVAE's actions take and give them: a plain dictionary, which travels as JSON.

name        what a person sees
notes       list of [pitch, start, end, velocity]; start and end in quarter notes from the clip's start. In a trio each has
            a fifth number, its part: 0 melody, 1 bass, 2 drums
bars        length in bars of 4/4
drums       True for the drum kit alone
trio        True for melody, bass and drums together
tokens      optional: the exact sequence that the model named by `model` wrote or read, a number per step (a trio: three).
            When it is there it is what the model continues from; drop it after changing notes. Drums with feel have none:
            their notes say all.
model       name of that model, or None
made_by     action, seed, temperature...: what is needed to make it again
segments    optional: list of {"label", "bar", "share"}: where the parts of a morph begin; share 0 is A, 1 is B
sources     optional: ids of the `hub_models.Clip`s that it was read from
origin      of a result on the page: what makes it again, see `origins.py`
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from validate import StudioError

if TYPE_CHECKING:
    import pretty_midi

Pattern = dict[str, Any]

BEATS_PER_BAR = 4
MAX_BARS = 256
MAX_NOTES = 10_000
MAX_TOKENS = 16 * MAX_BARS
MELODY, BASS, DRUMS = PARTS = (0, 1, 2)
PART_NAMES = ("Melody", "Bass", "Drums")
BASS_PROGRAM = 33  # electric bass, fingered


def make(name: str, notes: list, bars: int, drums: bool, **rest: Any) -> Pattern:
    """A clip from its parts; see the module's docstring."""
    rest = {"trio": False, "tokens": None, "model": None, **rest}
    return {"name": name[:80], "notes": notes, "bars": bars, "drums": drums, **rest}


def kind(clip: Pattern) -> str:
    """`"melody"`, `"drums"` or `"trio"`."""
    return "trio" if clip["trio"] else "drums" if clip["drums"] else "melody"


def check(value: Any, label: str = "The clip") -> Pattern:
    """A clip that came over the API, with only the known keys.

    Raises:
        StudioError: it is not one; says which part is wrong.
    """
    if not isinstance(value, dict) or not isinstance(value.get("notes"), list):
        raise StudioError(f'{label} must be an object with notes, such as {{"notes": [[60, 0, 1, 80]], "bars": 2}}.')
    bars = value.get("bars", 2)
    if isinstance(bars, bool) or not isinstance(bars, int) or not 1 <= bars <= MAX_BARS:
        raise StudioError(f"{label} must last 1 to {MAX_BARS} bars.")
    if len(value["notes"]) > MAX_NOTES:
        raise StudioError(f"{label} holds {len(value['notes'])} notes; at most {MAX_NOTES} are allowed.")
    trio = bool(value.get("trio", False))
    notes = [_check_note(note, bars * BEATS_PER_BAR, trio, label) for note in value["notes"]]
    tokens = value.get("tokens")
    if tokens is not None and not (
        isinstance(tokens, list) and len(tokens) <= MAX_TOKENS and all(_is_token(token, trio) for token in tokens)
    ):
        raise StudioError(
            f"The tokens of {label[0].lower() + label[1:]} must be a list of at most {MAX_TOKENS} "
            f"{'lists of three whole numbers' if trio else 'whole numbers'}."
        )
    model = value.get("model")
    return make(
        str(value.get("name") or "Clip"),
        notes,
        bars,
        bool(value.get("drums", False)) and not trio,
        trio=trio,
        tokens=tokens or None,
        model=model if isinstance(model, str) else None,
    )


def _is_token(token: Any, trio: bool) -> bool:
    if trio:
        return isinstance(token, list) and len(token) == len(PARTS) and all(_is_token(part, False) for part in token)
    return isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 2**16


def _check_note(note: Any, beats: float, trio: bool, label: str) -> list:
    numbers = (
        isinstance(note, list)
        and len(note) == 4 + trio
        and all(isinstance(part, (int, float)) and not isinstance(part, bool) and abs(part) < 1e9 for part in note)
    )
    if not numbers:
        wanted = "[pitch, start, end, velocity, part]" if trio else "[pitch, start, end, velocity]"
        raise StudioError(f"Each note of {label[0].lower() + label[1:]} must be {wanted} in numbers.")
    pitch, start, end, velocity = note[:4]
    if not (pitch in range(128) and velocity in range(1, 128) and 0 <= start < end <= beats):
        raise StudioError(
            f"A note of {label[0].lower() + label[1:]} is out of range: pitch is 0 to 127, velocity 1 to 127, "
            f"and 0 <= start < end <= {beats:g} quarter notes."
        )
    if trio and note[4] not in PARTS:
        raise StudioError(f"The part of a note is 0 (melody), 1 (bass) or 2 (drums), not {note[4]:g}.")
    return [int(pitch), float(start), float(end), int(velocity), *map(int, note[4:])]


def to_midi(clip: Pattern, tempo: float = 120.0, program: int = 0) -> pretty_midi.PrettyMIDI:
    """PrettyMIDI of a clip, an instrument for each part; `program` is that of the melody."""
    import pretty_midi

    seconds_per_beat = 60.0 / tempo
    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(BEATS_PER_BAR, 4, 0.0))
    for part in PARTS if clip["trio"] else (DRUMS,) if clip["drums"] else (MELODY,):
        instrument = pretty_midi.Instrument((program, BASS_PROGRAM, 0)[part], part == DRUMS, PART_NAMES[part])
        instrument.notes = [
            pretty_midi.Note(velocity, pitch, start * seconds_per_beat, end * seconds_per_beat)
            for pitch, start, end, velocity, *own in clip["notes"]
            if not clip["trio"] or own == [part]
        ]
        midi.instruments.append(instrument)
    return midi


def notes_of(midi: pretty_midi.PrettyMIDI, tempo: float = 120.0, trio: bool = False) -> list[list]:
    """The notes of a PrettyMIDI at one tempo, in quarter notes; of a trio with the part of the instrument they are from."""
    beats_per_second = tempo / 60.0
    notes = [
        [
            note.pitch,
            round(note.start * beats_per_second, 4),
            round(note.end * beats_per_second, 4),
            note.velocity,
            *([_part(instrument)] if trio else []),
        ]
        for instrument in midi.instruments
        for note in instrument.notes
    ]
    return sorted(notes, key=lambda note: (note[1], note[0]))


def _part(instrument: pretty_midi.Instrument) -> int:
    return DRUMS if instrument.is_drum else BASS if instrument.program in range(32, 40) else MELODY


def seconds(clip: Pattern, tempo: float) -> float:
    """How long the clip's bars last."""
    return clip["bars"] * BEATS_PER_BAR * 60.0 / tempo


def split(clip: Pattern, bars: int) -> list[Pattern]:
    """The clip in parts of `bars` bars, each a clip of its own; an incomplete last part is left out."""
    count = max(1, clip["bars"] // bars)
    if count == 1:
        return [clip]
    labels = [segment["label"] for segment in clip.get("segments") or []]
    parts = []
    for index in range(count):
        where = labels[index] if len(labels) == count else f"bars {index * bars + 1}-{(index + 1) * bars}"
        parts.append({**cut(clip, index * bars, bars), "name": f"{clip['name']} · {where}"[:80]})
    return parts


def cut(clip: Pattern, first_bar: int, bars: int) -> Pattern:
    """`bars` bars of the clip from `first_bar` (counted from 0) on; a hit just before the bar line belongs to the bar."""
    beats = bars * BEATS_PER_BAR
    # Drums are early by less than half a sixteenth; the notes of a melody begin on the grid.
    start, early = first_bar * BEATS_PER_BAR, 0.125
    notes = [
        [pitch, max(0.0, note_start - start), min(end - start, beats), *rest]
        for pitch, note_start, end, *rest in clip["notes"]
        if start - early <= note_start < start + beats - early
    ]
    tokens = clip["tokens"]
    if tokens:
        per_bar = len(tokens) // clip["bars"]
        tokens = tokens[first_bar * per_bar : (first_bar + bars) * per_bar]
    return make(clip["name"], notes, bars, clip["drums"], trio=clip["trio"], tokens=tokens, model=clip["model"])


def file_name(clip: Pattern) -> str:
    """A name for downloads, without extension: letters, digits and dashes."""
    words = "".join(character if character.isascii() and character.isalnum() else " " for character in clip["name"])
    return "-".join(words.lower().split())[:48] or "clip"


def is_silent(clip: Pattern) -> bool:
    """True when no note sounds."""
    return not clip["notes"] or not all(math.isfinite(note[1]) for note in clip["notes"])

"""The clip: what every action of the Studio takes and gives. A plain dictionary, so that it travels as JSON.

name        what a person sees
notes       list of [pitch, start, end, velocity]; start and end in quarter notes from the clip's start
bars        length in bars of 4/4
drums       True for the drum kit
tokens      optional: the exact sequence that the model named by `model` wrote or read. When it is there it is what the
            model continues from; drop it after changing notes.
model       name of that model, or None
made_by     action, seed, temperature...: what is needed to make it again
segments    optional: list of {"label", "bar", "share"}: where the parts of a morph begin; share 0 is A, 1 is B
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from validate import StudioError

if TYPE_CHECKING:
    import pretty_midi

Clip = dict[str, Any]

BEATS_PER_BAR = 4
MAX_BARS = 256
MAX_NOTES = 10_000
MAX_TOKENS = 16 * MAX_BARS


def make(name: str, notes: list, bars: int, drums: bool, **rest: Any) -> Clip:
    """A clip from its parts; see the module's docstring."""
    return {"name": name[:80], "notes": notes, "bars": bars, "drums": drums, "tokens": None, "model": None, **rest}


def check(value: Any, label: str = "The clip") -> Clip:
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
    notes = [_check_note(note, bars * BEATS_PER_BAR, label) for note in value["notes"]]
    tokens = value.get("tokens")
    if tokens is not None and not (
        isinstance(tokens, list)
        and len(tokens) <= MAX_TOKENS
        and all(isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 2**16 for token in tokens)
    ):
        raise StudioError(
            f"The tokens of {label[0].lower() + label[1:]} must be a list of at most {MAX_TOKENS} whole numbers."
        )
    model = value.get("model")
    return make(
        str(value.get("name") or "Clip"),
        notes,
        bars,
        bool(value.get("drums", False)),
        tokens=tokens or None,
        model=model if isinstance(model, str) else None,
    )


def _check_note(note: Any, beats: float, label: str) -> list:
    numbers = (
        isinstance(note, list)
        and len(note) == 4
        and all(isinstance(part, (int, float)) and not isinstance(part, bool) and abs(part) < 1e9 for part in note)
    )
    if not numbers:
        raise StudioError(f"Each note of {label[0].lower() + label[1:]} must be [pitch, start, end, velocity] in numbers.")
    pitch, start, end, velocity = note
    if not (pitch in range(128) and velocity in range(1, 128) and 0 <= start < end <= beats):
        raise StudioError(
            f"A note of {label[0].lower() + label[1:]} is out of range: pitch is 0 to 127, velocity 1 to 127, "
            f"and 0 <= start < end <= {beats:g} quarter notes."
        )
    return [int(pitch), float(start), float(end), int(velocity)]


def to_midi(clip: Clip, tempo: float = 120.0, program: int = 0) -> pretty_midi.PrettyMIDI:
    """PrettyMIDI of a clip; `program` is ignored for drums."""
    import pretty_midi

    seconds_per_beat = 60.0 / tempo
    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(BEATS_PER_BAR, 4, 0.0))
    instrument = pretty_midi.Instrument(
        0 if clip["drums"] else program, is_drum=clip["drums"], name="Drums" if clip["drums"] else "Melody"
    )
    instrument.notes = [
        pretty_midi.Note(velocity, pitch, start * seconds_per_beat, end * seconds_per_beat)
        for pitch, start, end, velocity in clip["notes"]
    ]
    midi.instruments.append(instrument)
    return midi


def notes_of(midi: pretty_midi.PrettyMIDI, tempo: float = 120.0) -> list[list]:
    """The notes [pitch, start, end, velocity] in quarter notes of a PrettyMIDI at one tempo."""
    beats_per_second = tempo / 60.0
    return sorted(
        (
            [note.pitch, round(note.start * beats_per_second, 4), round(note.end * beats_per_second, 4), note.velocity]
            for instrument in midi.instruments
            for note in instrument.notes
        ),
        key=lambda note: (note[1], note[0]),
    )


def seconds(clip: Clip, tempo: float) -> float:
    """How long the clip's bars last."""
    return clip["bars"] * BEATS_PER_BAR * 60.0 / tempo


def split(clip: Clip, bars: int) -> list[Clip]:
    """The clip in parts of `bars` bars, each a clip of its own; an incomplete last part is left out."""
    count = max(1, clip["bars"] // bars)
    if count == 1:
        return [clip]
    beats = bars * BEATS_PER_BAR
    tokens = clip["tokens"]
    tokens_per_part = len(tokens) * bars // clip["bars"] if tokens else 0
    labels = [segment["label"] for segment in clip.get("segments") or []]
    parts = []
    for index in range(count):
        start = index * beats
        notes = [
            [pitch, note_start - start, min(end - start, beats), velocity]
            for pitch, note_start, end, velocity in clip["notes"]
            if start <= note_start < start + beats
        ]
        where = labels[index] if len(labels) == count else f"bars {index * bars + 1}-{(index + 1) * bars}"
        part_tokens = tokens[index * tokens_per_part : (index + 1) * tokens_per_part] if tokens else None
        parts.append(make(f"{clip['name']} · {where}", notes, bars, clip["drums"], tokens=part_tokens, model=clip["model"]))
    return parts


def file_name(clip: Clip) -> str:
    """A name for downloads, without extension: letters, digits and dashes."""
    words = "".join(character if character.isascii() and character.isalnum() else " " for character in clip["name"])
    return "-".join(words.lower().split())[:48] or "clip"


def is_silent(clip: Clip) -> bool:
    """True when no note sounds."""
    return not clip["notes"] or not all(math.isfinite(note[1]) for note in clip["notes"])

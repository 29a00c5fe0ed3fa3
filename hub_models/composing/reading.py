"""Melodies that people bring, as material of a piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .parts import BASSES, CompositionError, Note, Part, Track, checked_notes
from .settings import QUARTERS

NAME = "Melody"
SHORTEST = 0.1  # quarter notes


def read_melody(source: Any) -> Part:
    """Notes [pitch, start, end, velocity] in quarter notes; or a MIDI file (a path, contents or PrettyMIDI), of which the
    highest notes of the first sixteen bars are taken, at its own tempo.

    Raises:
        MidiError: the file cannot be read.
        CompositionError: there are no notes in it.
    """
    if isinstance(source, Part):
        return source
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes, bytearray)):
        notes = checked_notes(source, QUARTERS)
        if not notes:
            raise CompositionError("A melody has at least one note.")
        return Part((Track(NAME, 0, False, ()).with_notes(notes),), {"source": "given"})
    from .. import midi

    music = source if hasattr(source, "instruments") else midi.load(source)
    found = sorted(
        (
            Note(note.pitch, _quarter(music, note.start), _quarter(music, note.end), note.velocity)
            for instrument in music.instruments
            if not instrument.is_drum and not _is_bass(instrument)
            for note in instrument.notes
        ),
        key=lambda note: (note.start, -note.pitch),
    )
    notes = skyline([note for note in found if note.start < QUARTERS - SHORTEST and note.velocity])
    if not notes:
        raise CompositionError("There is no melody in the first sixteen bars of this file: no notes but drums and bass.")
    program = next(
        part.program
        for part in music.instruments
        if not part.is_drum and any(note.pitch == notes[0].pitch for note in part.notes)
    )
    return Part((Track(NAME, program, False, ()).with_notes(notes),), {"source": "file"})


def skyline(notes: Sequence[Note]) -> list[Note]:
    """Of notes in order of start those that are on top: each ends where the next higher one begins, lower ones under a
    sounding note are left out."""
    line: list[Note] = []
    for note in notes:
        if line and note.start - line[-1].start < SHORTEST:
            continue
        if line and note.start < line[-1].end - SHORTEST and note.pitch < line[-1].pitch:
            continue
        if line:
            line[-1] = line[-1]._replace(end=min(line[-1].end, note.start))
        line.append(note)
    return [note._replace(end=min(max(note.end, note.start + SHORTEST), QUARTERS)) for note in line]


def _quarter(music: Any, seconds: float) -> float:
    return round(music.time_to_tick(seconds) / music.resolution, 4)


def _is_bass(instrument: Any) -> bool:
    return instrument.program in BASSES

"""Bars over C for a band to take its style from: which instruments play, and how."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pretty_midi

# Keys of General MIDI's drum kit.
KICK, SNARE, CLOSED_HAT, CRASH, RIDE = 36, 38, 42, 49, 51
TEMPO = 120.0
BEATS = 4
DRUMS = "drums"

# Bars over C. Each track: General MIDI program (from 0) and its notes; "C4+E4:1" are pitches and their length in quarter
# notes, "-" is a rest. Drums: sixteenths, "x" is a hit and "o" a soft one.
BARS = {
    "Rock band": {
        29: "C3+G3:.5 C3+G3:.5 C3+G3:1 C3+G3:.5 C3+G3:.5 C3+G3:1",
        18: "C4+E4+G4:2 C4+E4+G4:2",
        33: "C2:.5 C2:.5 C2:.5 C2:.5 C2:.5 C2:.5 G2:.5 C2:.5",
        DRUMS: {
            KICK: "x.......x.x.....",
            SNARE: "....x.......x...",
            CLOSED_HAT: "x.o.x.o.x.o.x.o.",
        },
    },
    "Soft ballad": {
        0: "C3:.5 G3:.5 C4:.5 E4:.5 G4:.5 E4:.5 C4:.5 G3:.5",
        48: "E4+G4+C5:4",
        73: "-:1 G5:1.5 E5:.5 D5:.5 C5:.5",
        32: "C2:3 G2:1",
        DRUMS: {KICK: "x.......o.......", SNARE: "....o.......o...", RIDE: "x...o...x...o..."},
    },
    "Bossa nova": {
        24: "-:.5 E3+G3+B3:.5 -:.5 E3+G3+B3:1 E3+G3+B3:.5 -:.5 E3+G3+B3:.5",
        32: "C2:1.5 G2:.5 G2:1.5 C2:.5",
        73: "G4:1.5 E4:.5 D4:.5 E4:1.5",
        DRUMS: {KICK: "x..xx..xx..xx..x", SNARE: "x..x..x...x..x..", CLOSED_HAT: "o...o...o...o..."},
    },
    "Funk": {
        28: "-:.5 G3+C4:.25 -:.25 G3+C4:.25 -:.75 G3+C4:.25 G3+C4:.25 -:.5 G3+C4:.25 -:.75",
        36: "C2:.75 C2:.25 -:.5 C3:.25 -:.25 C2:.5 A#1:.25 -:.25 C2:.5 G1:.25 A#1:.25",
        61: "-:1.5 C5+E5+G5:.25 -:1.75 C5+E5+G5:.5",
        DRUMS: {KICK: "x..x..x...x.....", SNARE: "....x..o.o..x...", CLOSED_HAT: "x.o.x.o.x.o.x.o."},
    },
    "Dance floor": {
        81: "C4:.5 C4:.25 E4:.25 G4:.5 E4:.5 C5:.5 G4:.25 E4:.25 G4:.5 E4:.5",
        90: "C4+E4+G4:4",
        38: "-:.5 C2:.5 -:.5 C2:.5 -:.5 C2:.5 -:.5 C2:.5",
        DRUMS: {KICK: "x...x...x...x...", SNARE: "....x.......x...", CLOSED_HAT: "..x...x...x...x."},
    },
    "Walking trio": {
        0: "-:1 E4+G4+B4:.5 -:1 E4+G4+B4:1 -:.5",
        32: "C2:1 E2:1 G2:1 A2:1",
        DRUMS: {RIDE: "x...x..ox...x..o", CLOSED_HAT: "....x.......x...", KICK: "o...o...o...o..."},
    },
    "String quartet": {
        40: "G5:1 E5:.5 F5:.5 G5:1 C6:1",
        41: "C5:1 E5:1 D5:.5 C5:.5 G4:1",
        42: "C3:.5 G3:.5 C3:.5 G3:.5 C3:.5 G3:.5 C3:.5 G3:.5",
        43: "C2:2 G2:1 C2:1",
    },
    "Orchestra": {
        48: "E5:.5 E5:.25 E5:.25 G5:1 F5:.5 E5:.5 D5:1",
        60: "C4+G4:1 C4+G4:1 D4+G4:2",
        56: "-:2 G4:.5 G4:.25 G4:.25 C5:1",
        43: "C2:1 G2:1 C2:1 G2:1",
        47: "C3:1 -:2 G2:.5 G2:.5",
    },
}


def bar(name: str) -> pretty_midi.PrettyMIDI:
    """An example bar of 4/4 at `TEMPO`, an instrument for each track.

    Raises:
        KeyError: there is none of this name.
    """
    import pretty_midi

    music = pretty_midi.PrettyMIDI(initial_tempo=TEMPO)
    music.time_signature_changes.append(pretty_midi.TimeSignature(BEATS, 4, 0.0))
    for program, text in BARS[name].items():
        drums = program == DRUMS
        notes = _hits(text) if drums else _notes(text)
        instrument = pretty_midi.Instrument(0 if drums else program, drums)
        seconds = 60.0 / TEMPO
        instrument.notes = [
            pretty_midi.Note(velocity, pitch, start * seconds, end * seconds) for pitch, start, end, velocity in notes
        ]
        music.instruments.append(instrument)
    return music


@cache
def _notes(text: str) -> list[tuple[int, float, float, int]]:
    """(pitch, start, end, velocity) of a line; start and end in quarter notes."""
    notes, beat = [], 0.0
    for word in text.split():
        pitches, length = word.split(":")
        end = beat + float(length)
        if pitches != "-":
            notes += [(_pitch(name), beat, end, 92 if beat % 1 == 0 else 80) for name in pitches.split("+")]
        beat = end
    return notes


def _hits(rows: dict[int, str]) -> list[tuple[int, float, float, int]]:
    return [
        (pitch, step / 4, (step + 1) / 4, 100 if mark == "x" else 64)
        for pitch, row in rows.items()
        for step, mark in enumerate(row)
        if mark != "."
    ]


def _pitch(name: str) -> int:
    """MIDI pitch of "F#3"."""
    return 12 * (int(name[-1]) + 1) + "CDEFGAB".index(name[0]) * 2 - (name[0] in "FGAB") + name.count("#")

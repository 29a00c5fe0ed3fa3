"""Example clips, written out as notes: tunes in the public domain, and drum patterns that belong to everyone."""

from __future__ import annotations

import clip as clips
from clip import Clip

# Each tune: bars of 4/4 between "|"; "C4:1" is a pitch and its length in quarter notes, "-" is a rest.
TUNES = {
    "Ode to Joy": (
        "E4:1 E4:1 F4:1 G4:1 | G4:1 F4:1 E4:1 D4:1 | C4:1 C4:1 D4:1 E4:1 | E4:1.5 D4:.5 D4:2 |"
        "E4:1 E4:1 F4:1 G4:1 | G4:1 F4:1 E4:1 D4:1 | C4:1 C4:1 D4:1 E4:1 | D4:1.5 C4:.5 C4:2"
    ),
    "Twinkle, twinkle": (
        "C4:1 C4:1 G4:1 G4:1 | A4:1 A4:1 G4:2 | F4:1 F4:1 E4:1 E4:1 | D4:1 D4:1 C4:2 |G4:1 G4:1 F4:1 F4:1 | E4:1 E4:1 D4:2"
    ),
    "Frère Jacques": (
        "C4:1 D4:1 E4:1 C4:1 | C4:1 D4:1 E4:1 C4:1 | E4:1 F4:1 G4:2 | E4:1 F4:1 G4:2 |"
        "G4:.5 A4:.5 G4:.5 F4:.5 E4:1 C4:1 | G4:.5 A4:.5 G4:.5 F4:.5 E4:1 C4:1 | C4:1 G3:1 C4:2 | C4:1 G3:1 C4:2"
    ),
    "When the Saints": (
        "-:1 C4:1 E4:1 F4:1 | G4:4 | -:1 C4:1 E4:1 F4:1 | G4:4 | -:1 C4:1 E4:1 F4:1 | G4:2 E4:2 | C4:2 E4:2 | D4:4"
    ),
    "Oh! Susanna": (
        "C4:.5 D4:.5 E4:1 G4:1 G4:.75 A4:.25 | G4:1 E4:1 C4:.75 D4:.25 E4:1 | E4:1 D4:1 C4:1 D4:1 | -:3 C4:.5 D4:.5"
    ),
    "Drunken Sailor": (
        "A4:1 A4:.5 A4:.5 A4:1 A4:.5 A4:.5 | A4:1 D4:1 F4:1 A4:1 | G4:1 G4:.5 G4:.5 G4:1 G4:.5 G4:.5 | G4:1 C4:1 E4:1 G4:1 |"
        "A4:1 A4:.5 A4:.5 A4:1 A4:.5 A4:.5 | A4:1 B4:1 C5:1 D5:1 | C5:1 A4:1 G4:1 E4:1 | D4:2 D4:2"
    ),
    "Off-beat arpeggio": (
        "A3:.5 C4:.5 E4:.5 A4:.75 E4:.25 C4:.5 E4:.5 C4:.5 | F3:.5 A3:.5 C4:.5 F4:.75 C4:.25 A3:.5 C4:.5 A3:.5"
    ),
}

KICK, SNARE, CLOSED_HAT, OPEN_HAT, LOW_TOM, HIGH_TOM, CRASH, RIDE = 36, 38, 42, 46, 45, 50, 49, 51
# Two bars of sixteenths: "x" is a hit, "." a rest.
GROOVES = {
    "Rock": {
        KICK: "x.....x.x.......x.....x.x.x.....",
        SNARE: "....x.......x.......x.......x...",
        CLOSED_HAT: "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.",
        CRASH: "x...............................",
    },
    "Four on the floor": {
        KICK: "x...x...x...x...x...x...x...x...",
        SNARE: "....x.......x.......x.......x...",
        OPEN_HAT: "..x...x...x...x...x...x...x...x.",
        CLOSED_HAT: "x...x...x...x...x...x...x...x...",
    },
    "Bossa nova": {
        KICK: "x..xx..xx..xx..xx..xx..xx..xx..x",
        SNARE: "x.....x.....x.......x.....x.....",
        CLOSED_HAT: "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.",
    },
    "Half-time": {
        KICK: "x.........x.....x......x..x.....",
        SNARE: "........x...............x.......",
        RIDE: "x...x...x...x...x...x...x...x...",
    },
    "Sixteenths and a fill": {
        KICK: "x..x..x...x.....x..x..x...x.....",
        SNARE: "....x.......x..x....x...........",
        CLOSED_HAT: "xxxxxxxxxxxxxxxxxxxxxxxx........",
        HIGH_TOM: "........................xx......",
        LOW_TOM: "..........................xx.x..",
        CRASH: "x...............................",
    },
}

DEFAULTS = {"melody": ("Ode to Joy · bars 1-2", "Off-beat arpeggio"), "drums": ("Rock", "Bossa nova")}

_STEP = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def clips_for(representation: str, bars: int) -> dict[str, Clip]:
    """Example clips of `bars` bars that a model can read, by name; tunes are cut into parts of that length."""
    whole = (
        [_tune(*item) for item in TUNES.items()] if representation == "melody" else [_groove(*g) for g in GROOVES.items()]
    )
    parts = [part for clip in whole if clip["bars"] >= bars for part in clips.split(clip, bars)]
    return {part["name"]: part for part in parts if part["notes"]}


def _tune(name: str, text: str) -> Clip:
    notes, bars = [], text.split("|")
    for index, bar in enumerate(bars):
        beat = float(index * clips.BEATS_PER_BAR)
        for word in bar.split():
            pitch, length = word.split(":")
            end = beat + float(length)
            if pitch != "-":
                notes.append([12 * (int(pitch[-1]) + 1) + _STEP[pitch[0]], beat, end, 90])
            beat = end
    return clips.make(name, notes, len(bars), drums=False)


def _groove(name: str, rows: dict[int, str]) -> Clip:
    notes = [
        [pitch, step / 4, (step + 1) / 4, 100 if step % 4 == 0 else 80]
        for pitch, row in rows.items()
        for step, mark in enumerate(row)
        if mark == "x"
    ]
    notes.sort(key=lambda note: (note[1], note[0]))
    return clips.make(name, notes, len(next(iter(rows.values()))) // 16, drums=True)

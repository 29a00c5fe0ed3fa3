"""Example clips, written out as notes: tunes in the public domain, and drum patterns that belong to everyone."""

from __future__ import annotations

import pattern as patterns
from pattern import Pattern

# Each tune: bars of 4/4 between "|"; "C4:1" is a pitch and its length in quarter notes, "-" is a rest.
TUNES = {
    "Ode to Joy": (
        "E4:1 E4:1 F4:1 G4:1 | G4:1 F4:1 E4:1 D4:1 | C4:1 C4:1 D4:1 E4:1 | E4:1.5 D4:.5 D4:2 |"
        "E4:1 E4:1 F4:1 G4:1 | G4:1 F4:1 E4:1 D4:1 | C4:1 C4:1 D4:1 E4:1 | D4:1.5 C4:.5 C4:2 |"
        "D4:1 D4:1 E4:1 C4:1 | D4:1 E4:.5 F4:.5 E4:1 C4:1 | D4:1 E4:.5 F4:.5 E4:1 D4:1 | C4:1 D4:1 G3:1 E4:1 |"
        "E4:1 E4:1 F4:1 G4:1 | G4:1 F4:1 E4:1 D4:1 | C4:1 C4:1 D4:1 E4:1 | D4:1.5 C4:.5 C4:2"
    ),
    "Twinkle, twinkle": (
        "C4:1 C4:1 G4:1 G4:1 | A4:1 A4:1 G4:2 | F4:1 F4:1 E4:1 E4:1 | D4:1 D4:1 C4:2 |G4:1 G4:1 F4:1 F4:1 | E4:1 E4:1 D4:2 |"
        "G4:1 G4:1 F4:1 F4:1 | E4:1 E4:1 D4:2 | C4:1 C4:1 G4:1 G4:1 | A4:1 A4:1 G4:2 | F4:1 F4:1 E4:1 E4:1 | D4:1 D4:1 C4:2"
    ),
    "Frère Jacques": (
        "C4:1 D4:1 E4:1 C4:1 | C4:1 D4:1 E4:1 C4:1 | E4:1 F4:1 G4:2 | E4:1 F4:1 G4:2 |"
        "G4:.5 A4:.5 G4:.5 F4:.5 E4:1 C4:1 | G4:.5 A4:.5 G4:.5 F4:.5 E4:1 C4:1 | C4:1 G3:1 C4:2 | C4:1 G3:1 C4:2"
    ),
    "When the Saints": (
        "-:1 C4:1 E4:1 F4:1 | G4:4 | -:1 C4:1 E4:1 F4:1 | G4:4 | -:1 C4:1 E4:1 F4:1 | G4:2 E4:2 | C4:2 E4:2 | D4:4 |"
        "-:1 E4:1 E4:1 D4:1 | C4:3 C4:1 | E4:2 G4:2 | G4:1 F4:3 | -:1 F4:1 E4:1 F4:1 | G4:2 E4:2 | C4:2 D4:2 | C4:4"
    ),
    "Oh! Susanna": (
        "C4:.5 D4:.5 E4:1 G4:1 G4:.75 A4:.25 | G4:1 E4:1 C4:.75 D4:.25 E4:1 | E4:1 D4:1 C4:1 D4:1 | -:3 C4:.5 D4:.5 |"
        "E4:1 G4:1 G4:.75 A4:.25 G4:1 | E4:1 C4:.75 D4:.25 E4:1 E4:1 | D4:1 D4:1 C4:2 | -:3 C4:.5 D4:.5 |"
        "E4:1 G4:1 G4:.75 A4:.25 G4:1 | E4:1 C4:.75 D4:.25 E4:1 E4:1 | D4:1 D4:1 C4:2 | F4:2 F4:2 |"
        "A4:1 A4:2 A4:1 | G4:1 G4:1 E4:1 C4:1 | D4:3 C4:.5 D4:.5 | E4:1 D4:1 C4:2"
    ),
    "Drunken Sailor": (
        "A4:1 A4:.5 A4:.5 A4:1 A4:.5 A4:.5 | A4:1 D4:1 F4:1 A4:1 | G4:1 G4:.5 G4:.5 G4:1 G4:.5 G4:.5 | G4:1 C4:1 E4:1 G4:1 |"
        "A4:1 A4:.5 A4:.5 A4:1 A4:.5 A4:.5 | A4:1 B4:1 C5:1 D5:1 | C5:1 A4:1 G4:1 E4:1 | D4:2 D4:2 |"
        "A4:1.5 A4:.5 A4:2 | A4:1 D4:1 F4:1 A4:1 | G4:1.5 G4:.5 G4:2 | G4:1 C4:1 E4:1 G4:1 |"
        "A4:1.5 A4:.5 A4:2 | A4:1 B4:1 C5:1 D5:1 | C5:1 A4:1 G4:1 E4:1 | D4:2 D4:2"
    ),
    "Off-beat arpeggio": (
        "A3:.5 C4:.5 E4:.5 A4:.75 E4:.25 C4:.5 E4:.5 C4:.5 | F3:.5 A3:.5 C4:.5 F4:.75 C4:.25 A3:.5 C4:.5 A3:.5"
    ),
}

# Trios of sixteen bars: a tune, the root of each bar's chord ("G/C": half a bar each), a bass figure and a groove.
TRIOS = {
    "Ode to Joy, as a band": ("Ode to Joy", "C G C G C G C G/C G/C G/C G/E A/G C G C G/C", "eighths", "Rock"),
    "The Saints, marching": ("When the Saints", "C C C C C C/A C G C C C F F C C/G C", "two-beat", "March"),
    "Drunken Sailor, dancing": ("Drunken Sailor", "D D C C D D C D D D C C D D C D", "off-beat", "Four on the floor"),
}
# Each bass figure: (quarter note of the bar, length, semitones above the root).
BASS_FIGURES = {
    "eighths": [(eighth / 2, 0.5, 0) for eighth in range(8)],
    "two-beat": [(0.0, 1.0, 0), (2.0, 1.0, 7)],
    "off-beat": [(beat + 0.5, 0.5, 0) for beat in range(4)],
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
    "Boom bap": {
        KICK: "x..x...x..x.....x..x......x..x..",
        SNARE: "....x.......x.......x.......x..x",
        CLOSED_HAT: "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.",
    },
    "One drop": {
        KICK: "........x...............x.......",
        SNARE: "........x...............x.....x.",
        CLOSED_HAT: "..x...x...x...x...x...x...x...x.",
    },
    "March": {
        KICK: "x.......x.......x.......x.......",
        SNARE: "x...x...x...x.x.x.xxx...x...xxxx",
        CRASH: "x...............................",
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

# Rhythms to be tapped, on the snare.
RHYTHMS = {
    "Son clave": "x..x..x...x.x...x..x..x...x.x...",
    "Gallop": "x.xxx.xxx.xxx.xxx.xxx.xxx.xxx.xx",
    "Tresillo": "x..x..x.x..x..x.x..x..x.x..x..x.",
}

# What A and B hold at first, by kind of clip and bars; other lengths begin with the first two examples there are.
DEFAULTS = {
    ("melody", 2): ("Ode to Joy · bars 1-2", "Off-beat arpeggio"),
    ("melody", 16): ("Ode to Joy", "Drunken Sailor"),
    ("drums", 2): ("Rock", "Bossa nova"),
}

_STEP = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def clips_for(kind: str, bars: int) -> dict[str, Pattern]:
    """Example clips of `bars` bars of a kind (`"melody"`, `"drums"` or `"trio"`), by name; what is longer is cut up,
    what repeats left out."""
    if kind == "trio":
        whole = [_trio(*item) for item in TRIOS.items()]
    elif kind == "drums":
        whole = [_groove(*item) for item in GROOVES.items()]
    else:
        whole = [_tune(*item) for item in TUNES.items()]
    parts = [part for clip in whole if clip["bars"] >= bars for part in patterns.split(clip, bars)]
    found, seen = {}, []
    for part in parts:
        if part["notes"] and part["notes"] not in seen:
            seen.append(part["notes"])
            found[part["name"]] = part
    return found


def defaults(kind: str, bars: int) -> tuple[str | None, str | None]:
    """The names of the examples that A and B hold at first; None where there is none."""
    first, second = [*list(clips_for(kind, bars))[:2], None, None][:2]
    return DEFAULTS.get((kind, bars), (first, second))


def grooves_and_rhythms() -> dict[str, Pattern]:
    """Beats of two bars, and rhythms on one drum to make beats of, by name."""
    rhythms = [_groove(f"{name} (rhythm only)", {SNARE: row}) for name, row in RHYTHMS.items()]
    return {clip["name"]: clip for clip in [*clips_for("drums", 2).values(), *rhythms]}


def _tune(name: str, text: str) -> Pattern:
    notes, bars = [], text.split("|")
    for index, bar in enumerate(bars):
        beat = float(index * patterns.BEATS_PER_BAR)
        for word in bar.split():
            pitch, length = word.split(":")
            end = beat + float(length)
            if pitch != "-":
                notes.append([12 * (int(pitch[-1]) + 1) + _STEP[pitch[0]], beat, end, 90])
            beat = end
    return patterns.make(name, notes, len(bars), drums=False)


def _groove(name: str, rows: dict[int, str]) -> Pattern:
    notes = [
        [pitch, step / 4, (step + 1) / 4, 100 if step % 4 == 0 else 80]
        for pitch, row in rows.items()
        for step, mark in enumerate(row)
        if mark == "x"
    ]
    notes.sort(key=lambda note: (note[1], note[0]))
    return patterns.make(name, notes, len(next(iter(rows.values()))) // 16, drums=True)


def _trio(name: str, parts: tuple[str, str, str, str]) -> Pattern:
    tune, roots, figure, groove = parts
    melody, beat = _tune(tune, TUNES[tune]), _groove(groove, GROOVES[groove])
    notes = [[*note, patterns.MELODY] for note in melody["notes"]]
    for bar, chord in enumerate(roots.split()):
        halves = [_bass_pitch(root) for root in chord.split("/")]
        for position, length, above in BASS_FIGURES[figure]:
            start = bar * patterns.BEATS_PER_BAR + position
            root = halves[int(position * len(halves) / patterns.BEATS_PER_BAR)]
            # Two chords in a bar: each has its root on its first beat.
            pitch = root if len(halves) > 1 else root + above
            notes.append([pitch, start, start + length, 90, patterns.BASS])
    for first in range(0, melody["bars"], beat["bars"]):
        shift = first * patterns.BEATS_PER_BAR
        notes += [
            [pitch, start + shift, end + shift, velocity, patterns.DRUMS] for pitch, start, end, velocity in beat["notes"]
        ]
    notes.sort(key=lambda note: (note[1], note[0]))
    return patterns.make(name, notes, melody["bars"], drums=False, trio=True)


def _bass_pitch(root: str) -> int:
    """From G1 (31) to F sharp 2."""
    return 31 + (_STEP[root] - _STEP["G"]) % 12

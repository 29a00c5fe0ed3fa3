"""Piano pieces in the public domain, written out as notes and played by a few rules: styles for a piano to play in.

The rules are those that players follow without thinking: a phrase swells in its middle and slows down at its end, the upper
voice is louder, chords are spread a little, the pedal holds what belongs together, and nobody is quite on time.
"""

from __future__ import annotations

import bisect
import math
import random
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pretty_midi

# As (beat in quarter notes, length in them, pitch, voice); voice 0 is the upper one.
Score = list[tuple[float, float, int, int]]


class Touch(NamedTuple):
    """How a piece is played.

    Attributes:
        tempo: quarter notes per minute at the beginning.
        velocities: of the lower voices, spread evenly over the piece; between them it is in between.
        above: by how much the upper voice is louder.
        phrase: quarter notes that belong together.
        rubato: by which share of the tempo a phrase slows down at its end.
        swell: by how much of a velocity it is louder in its middle.
        hold: sounding length over written length.
        pedal: quarter notes between two changes of the pedal; 0: it is not used.
        spread: seconds between the notes of a chord.
        loose: seconds, the standard deviation of when a note is struck.
        faster: tempo at the end over tempo at the beginning.
        swing: where the second of two eighths falls, as a share of the quarter.
        upbeat: quarter notes before the first whole bar.
    """

    tempo: float
    velocities: tuple[int, ...]
    above: int = 12
    phrase: float = 16.0
    rubato: float = 0.12
    swell: int = 8
    hold: float = 0.95
    pedal: float = 0.0
    spread: float = 0.012
    loose: float = 0.008
    faster: float = 1.0
    swing: float = 0.5
    upbeat: float = 0.0


_STEP = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTAL = {"": 0, "#": 1, "b": -1}


def _pitch(name: str) -> int:
    """Of "C4", "F#2" or "Bb3"."""
    return 12 * (int(name[-1]) + 1) + _STEP[name[0]] + _ACCIDENTAL[name[1:-1]]


def _voice(text: str, voice: int, start: float = 0.0) -> Score:
    """Notes one after another: "C4:1" is a pitch and its length, "C4+E4:2" a chord, "-:1" a rest; "|" is for the eye."""
    score, beat = [], start
    for word in text.replace("|", " ").split():
        pitches, length = word.split(":")
        if pitches != "-":
            score += [(beat, float(length), _pitch(name), voice) for name in pitches.split("+")]
        beat += float(length)
    return score


def _prelude() -> Score:
    """Bach, the first prelude of The Well-Tempered Clavier (1722), bars 1 to 19: five notes a bar, always in one figure."""
    bars = (
        "C4 E4 G4 C5 E5|C4 D4 A4 D5 F5|B3 D4 G4 D5 F5|C4 E4 G4 C5 E5|C4 E4 A4 E5 A5|C4 D4 F#4 A4 D5|B3 D4 G4 D5 G5|"
        "B3 C4 E4 G4 C5|A3 C4 E4 G4 C5|D3 A3 D4 F#4 C5|G3 B3 D4 G4 B4|G3 Bb3 E4 G4 C#5|F3 A3 D4 A4 D5|F3 Ab3 D4 F4 B4|"
        "E3 G3 C4 G4 C5|E3 F3 A3 C4 F4|D3 F3 A3 C4 F4|G2 D3 G3 B3 F4|C3 E3 G3 C4 E4"
    )
    score = []
    for index, bar in enumerate(bars.split("|")):
        pitches = [_pitch(name) for name in bar.split()]
        for half in (0, 2):
            beat = 4 * index + half
            score += [(beat, 2.0, pitches[0], 1), (beat + 0.25, 1.75, pitches[1], 1)]
            score += [(beat + 0.5 + step / 4, 0.25, pitches[2 + step % 3], 0) for step in range(6)]
    return [*score, (76.0, 4.0, 36, 1), (76.0, 4.0, 48, 1), (76.0, 4.0, 64, 0), (76.0, 4.0, 67, 0), (76.0, 4.0, 72, 0)]


def _gymnopedie() -> Score:
    """Satie, the first of the Gymnopédies (1888), its beginning."""
    accompaniment = " | ".join(["G2:1 B3+D4+F#4:2 | D2:1 A3+C#4+F#4:2"] * 9)
    theme = "-:1 F#5:1 A5:1 | G5:1 F#5:1 C#5:1 | B4:1 C#5:1 D5:1 | A4:3"
    melody = f"-:12 | {theme} | F#4:12 | {theme} | C#5:3 | F#5:3 | E4:6"
    return _voice(melody, 0) + _voice(accompaniment, 1)


def _elise() -> Score:
    """Beethoven, Für Elise (1810), its first part."""
    melody = (
        "E5:.5 D#5:.5 | E5:.5 D#5:.5 E5:.5 B4:.5 D5:.5 C5:.5 | A4:1.5 C4:.5 E4:.5 A4:.5 | B4:1.5 E4:.5 G#4:.5 B4:.5 |"
        "C5:1.5 E4:.5 E5:.5 D#5:.5 | E5:.5 D#5:.5 E5:.5 B4:.5 D5:.5 C5:.5 | A4:1.5 C4:.5 E4:.5 A4:.5 |"
        "B4:1.5 E4:.5 C5:.5 B4:.5 | A4:1.5 B4:.5 C5:.5 D5:.5 | E5:1.5 G4:.5 F5:.5 E5:.5 | D5:1.5 F4:.5 E5:.5 D5:.5 |"
        "C5:1.5 E4:.5 D5:.5 C5:.5 | B4:1.5 E4:.5 E5:.5 D#5:.5 | E5:.5 D#5:.5 E5:.5 B4:.5 D5:.5 C5:.5 |"
        "A4:1.5 C4:.5 E4:.5 A4:.5 | B4:1.5 E4:.5 C5:.5 B4:.5 | A4:2"
    )
    a, e = "A2:.5 E3:.5 A3:.5 -:1.5", "E2:.5 E3:.5 G#3:.5 -:1.5"
    c, g = "C3:.5 G3:.5 C4:.5 -:1.5", "G2:.5 G3:.5 B3:.5 -:1.5"
    bass = f"-:1 | -:3 | {a} | {e} | {a} | -:3 | {a} | {e} | {a} | {c} | {g} | {a} | {e} | -:3 | {a} | {e} | A2+A3:2"
    return _voice(melody, 0) + _voice(bass, 1)


def _entertainer() -> Score:
    """Joplin, The Entertainer (1902), the first strain, over a striding left hand."""
    opening = "E4:.5 C5:1 E4:.5 C5:1 E4:.5 C5:2.5 -:.5"
    melody = (
        f"D4:.5 D#4:.5 | {opening} C5+C6:.5 D5+D6:.5 D#5+D#6:.5 |"
        "E5+E6:.5 C5+C6:.5 D5+D6:.5 E5+E6:1 B4+B5:.5 D5+D6:1 | C5+C6:2 -:1 D4:.5 D#4:.5 |"
        f"{opening} A4:.5 G4:.5 F#4:.5 | A4:.5 C5:.5 E5:1 D5:.5 C5:.5 A4:.5 D5:2.5 -:1 D4:.5 D#4:.5 |"
        f"{opening} C5+C6:.5 D5+D6:.5 D#5+D#6:.5 |"
        "E5+E6:.5 C5+C6:.5 D5+D6:.5 E5+E6:1 B4+B5:.5 D5+D6:1 | C5+C6:2"
    )
    chords = {
        "C": ("C2+C3", "G3+C4+E4"), "F": ("F2+F3", "A3+C4+F4"), "G": ("G1+G2", "F3+G3+B3"),
        "D": ("D2+D3", "F#3+A3+C4"), "E": ("E2+E3", "G3+C4+E4"), "A": ("A1+A2", "G3+C#4+E4"),
    }  # fmt: skip
    halves = "CEFCCGCGCEFADDGGCEFCCGCC"
    stride = " ".join(f"{chords[name][0]}:1 {chords[name][1]}:1" for name in halves)
    return _voice(melody, 0) + _voice(stride, 1, start=1.0)


def _mountain_king() -> Score:
    """Grieg, In the Hall of the Mountain King (1875): three times its theme, each an octave higher, louder and faster."""
    theme = (
        "B2:.5 C#3:.5 D3:.5 E3:.5 F#3:.5 D3:.5 F#3:1 | F3:.5 C#3:.5 F3:1 E3:.5 C3:.5 E3:1 |"
        "B2:.5 C#3:.5 D3:.5 E3:.5 F#3:.5 D3:.5 F#3:.5 B3:.5 | A3:.5 F#3:.5 D3:.5 F#3:.5 A3:2"
    )
    steps = "B1:.5 -:.5 F#2:.5 -:.5 B1:.5 -:.5 F#2:.5 -:.5 | B1:.5 -:.5 F2:.5 -:.5 B1:.5 -:.5 E2:.5 -:.5 |"
    bass = steps + "B1:.5 -:.5 F#2:.5 -:.5 B1:.5 -:.5 F#2:.5 -:.5 | D2:.5 -:.5 F#2:.5 -:.5 D2:.5 -:.5 A2:.5 -:.5"
    score = []
    for turn in range(6):
        up, start = 12 * (turn // 2), 16.0 * turn
        notes = _voice(theme, 0, start) + _voice(bass, 1, start)
        score += [(beat, length, pitch + (up if voice == 0 else 0), voice) for beat, length, pitch, voice in notes]
        if turn >= 2:
            score += [(beat, length, pitch + up - 12, 0) for beat, length, pitch, voice in notes if voice == 0]
        if turn >= 3:
            score += [(beat + 0.5, 0.5, pitch + 24, 1) for beat, length, pitch, voice in notes if voice == 1]
    chord = [35, 47, 59, 62, 66, 71]
    return score + [(96.0 + beat, 0.5, pitch, 0) for beat in (0, 2, 4) for pitch in chord]


def _boogie() -> Score:
    """Twelve bars of boogie-woogie, twice; its figures belong to everyone."""
    roots = {"C": 36, "F": 41, "G": 31}
    licks = (
        "Eb5+G5:.5 E5+G5:.5 -:.5 C5+E5+G5:.5 -:.5 C5+E5+A5:.5 -:.5 C5+E5+Bb5:.5",
        "-:.5 E5+G5:.5 -:.5 E5+G5:.5 D#5:.5 E5:.5 G5:.5 A5:.5",
        "C6:.5 A5:.5 G5:.5 E5:.5 Eb5:.5 C5:.5 A4:.5 C5:.5",
        "C5+E5+G5:1 -:.5 C5+E5+G5:1 -:.5 C5+E5+G5:1",
    )
    score = []
    for bar in range(24):
        name = "CCCCFFCCGFCG"[bar % 12]
        for eighth, step in enumerate((0, 4, 7, 9, 10, 9, 7, 4)):
            root = roots[name] + step
            score += [(4 * bar + eighth / 2, 0.45, root, 1), (4 * bar + eighth / 2, 0.45, root + 12, 1)]
        up = {"C": 0, "F": 5, "G": -5}[name] if bar < 23 else 0
        lick = licks[(bar + bar // 12) % 4]
        score += [(beat, length, pitch + up, voice) for beat, length, pitch, voice in _voice(lick, 0, 4.0 * bar)]
    return [*score, *((96.0, 2.0, pitch, 0) for pitch in (36, 48, 64, 67, 70, 72))]


PIECES = {
    "Bach, Prelude in C: even, flowing": (
        _prelude, Touch(66, (46, 58, 50, 62, 44), above=4, phrase=16, rubato=0.14, swell=7, pedal=2, loose=0.006),
    ),
    "Satie, Gymnopédie: slow, very soft": (
        _gymnopedie,
        Touch(70, (28, 32, 34, 30), above=20, phrase=12, rubato=0.22, swell=6, pedal=3, spread=0.03, loose=0.014),
    ),
    "Beethoven, Für Elise: tender, free": (
        _elise, Touch(132, (40, 48, 58, 42), above=16, phrase=12, rubato=0.34, swell=11, pedal=3, loose=0.012, upbeat=1),
    ),
    "Joplin, The Entertainer: bright, crisp": (
        _entertainer, Touch(152, (66, 74, 70), above=14, phrase=16, rubato=0.03, swell=5, hold=0.6, loose=0.006, upbeat=1),
    ),
    "Grieg, Mountain King: from soft to thunder": (
        _mountain_king, Touch(112, (30, 44, 72, 100, 112), above=6, rubato=0.0, swell=2, hold=0.5, loose=0.007, faster=2.0),
    ),
    "Boogie-woogie: loud, swinging": (
        _boogie, Touch(168, (86, 92, 98, 102), above=8, phrase=48, rubato=0.0, swell=3, hold=0.9, loose=0.009, swing=0.64),
    ),
}  # fmt: skip
DEFAULT_STYLE = "Beethoven, Für Elise: tender, free"

_GRID = 8  # places per quarter note at which the tempo may change


def piece(name: str) -> pretty_midi.PrettyMIDI:
    """A piece of `PIECES`, as it is played; the same at every call."""
    return _played(name)


@cache
def _played(name: str) -> pretty_midi.PrettyMIDI:
    write, touch = PIECES[name]
    return play(write(), touch, seed=len(name))


def play(score: Score, touch: Touch, seed: int) -> pretty_midi.PrettyMIDI:
    """A score as a person would play it; a seed gives always the same."""
    import pretty_midi

    chance = random.Random(seed)
    last = max(beat + length for beat, length, _, _ in score)
    seconds_at = _clock(touch, last)
    together: dict[float, list[int]] = {}
    for beat, _, pitch, _ in score:
        together.setdefault(beat, []).append(pitch)
    notes = []
    for beat, length, pitch, voice in sorted(score):
        end = beat + length * touch.hold
        if touch.pedal:
            changes = math.floor((beat - touch.upbeat) / touch.pedal + 1e-6) + 1
            end = max(end, touch.upbeat + changes * touch.pedal - 0.02)
        late = touch.spread * sorted(together[beat]).index(pitch) + chance.gauss(0, touch.loose)
        start = max(0.0, seconds_at(_swung(beat, touch.swing)) + late)
        end = max(start + 0.03, seconds_at(_swung(end, touch.swing)))
        notes.append((start, end, pitch, _velocity(touch, beat, last, voice, chance)))
    music = pretty_midi.PrettyMIDI(initial_tempo=120, resolution=480)
    piano = pretty_midi.Instrument(0, name="Piano")
    piano.notes = [pretty_midi.Note(velocity, pitch, start, end) for start, end, pitch, velocity in _released(notes)]
    music.instruments.append(piano)
    return music


def _released(notes: list[tuple[float, float, int, int]]) -> list[tuple[float, float, int, int]]:
    """A key that is struck again was let go before; one that two voices strike at once is struck once."""
    struck: dict[int, int] = {}
    done: list[tuple[float, float, int, int]] = []
    for start, end, pitch, velocity in sorted(notes):
        before = struck.get(pitch)
        if before is not None:
            first, last, _, loudness = done[before]
            if start - first < 0.06:
                done[before] = (first, max(last, end), pitch, max(loudness, velocity))
                continue
            done[before] = (first, min(last, start - 0.01), pitch, loudness)
        struck[pitch] = len(done)
        done.append((start, end, pitch, velocity))
    return done


def _swung(beat: float, swing: float) -> float:
    """Where a beat falls when eighths are uneven."""
    whole, share = math.floor(beat), beat - math.floor(beat)
    return whole + (share * 2 * swing if share <= 0.5 else swing + (share - 0.5) * 2 * (1 - swing))


def _place(touch: Touch, beat: float) -> float:
    """Where in its phrase a beat is, from 0 to 1."""
    return ((beat - touch.upbeat) / touch.phrase) % 1.0


def _clock(touch: Touch, last: float):
    """The function from quarter notes to seconds."""
    times = [0.0]
    for step in range(math.ceil((last + 8) * _GRID)):
        beat = step / _GRID
        end_of_phrase = max(0.0, (_place(touch, beat) - 0.65) / 0.35) ** 2
        tempo = touch.tempo * touch.faster ** min(1.0, beat / last) * (1 - touch.rubato * end_of_phrase)
        times.append(times[-1] + 60 / tempo / _GRID)

    def seconds_at(beat: float) -> float:
        index = min(int(beat * _GRID), len(times) - 2)
        return times[index] + (beat * _GRID - index) * (times[index + 1] - times[index])

    return seconds_at


def _velocity(touch: Touch, beat: float, last: float, voice: int, chance: random.Random) -> int:
    share = beat / last * (len(touch.velocities) - 1)
    index = min(bisect.bisect_right(range(len(touch.velocities)), share) - 1, len(touch.velocities) - 2)
    base = touch.velocities[index] + (share - index) * (touch.velocities[index + 1] - touch.velocities[index])
    swell = touch.swell * math.sin(math.pi * _place(touch, beat))
    accent = 3 if (beat - touch.upbeat) % 4 < 1e-6 else 0
    value = base + swell + accent + (touch.above if voice == 0 else 0) + chance.gauss(0, 2.5)
    return max(1, min(127, round(value)))

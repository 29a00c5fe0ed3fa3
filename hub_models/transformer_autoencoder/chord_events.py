"""Chords of a lead sheet as one id per step: no chord, or one of the four triads on twelve roots; 51 ids."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

NO_CHORD = "N.C."
NO_CHORD_ID = 2
FIRST_TRIAD_ID = 3  # the major triad on C; then come the roots upwards, and after them the other qualities
ROOTS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
QUALITIES = ("", "m", "aug", "dim")
CHORD_VOCAB_SIZE = FIRST_TRIAD_ID + len(ROOTS) * len(QUALITIES)
MAX_SYMBOL_LENGTH = 64

# How far the first, third and fifth degree of each quality are from those of the major triad, in semitones.
_TRIADS = {(0, 0, 0): 0, (0, -1, 0): 1, (0, 0, 1): 2, (0, -1, -1): 3}
_NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

# The kinds of chords by their spellings, as degrees of the major scale of the root.
_MAJOR, _MINOR, _AUGMENTED, _DIMINISHED = ("maj", "M"), ("m", "min", "-"), ("+", "aug"), ("o", "dim")
_KINDS = {
    **dict.fromkeys(("", *_MAJOR), "1 3 5"),
    **dict.fromkeys(_MINOR, "1 b3 5"),
    **dict.fromkeys(_AUGMENTED, "1 3 #5"),
    **dict.fromkeys(_DIMINISHED, "1 b3 b5"),
    **{f"{name}7": "1 b3 b5 bb7" for name in _DIMINISHED},
    **dict.fromkeys(("m7b5", "-7b5", "/o", "/o7"), "1 b3 b5 b7"),
    **{minor + seventh: "1 b3 5 7" for minor in _MINOR for seventh in ("maj7", "M7", "(maj7)", "(M7)")},
    "6": "1 3 5 6",
    "6/9": "1 3 5 6 9",
    **{f"{name}6": "1 b3 5 6" for name in _MINOR},
    "sus2": "1 2 5",
    **dict.fromkeys(("sus", "sus4"), "1 4 5"),
    **dict.fromkeys(("sus7", "7sus"), "1 4 5 b7"),
    "ped": "1",
    "5": "1 5",
}
for _tension, _added in {"7": "", "9": " 9", "11": " 9 11", "13": " 9 11 13"}.items():
    _KINDS[_tension] = "1 3 5 b7" + _added
    _KINDS.update({name + _tension: "1 3 5 7" + _added for name in _MAJOR})
    _KINDS.update({name + _tension: "1 b3 5 b7" + _added for name in _MINOR})
    if _tension in ("7", "9"):
        _KINDS.update({name + _tension: "1 3 #5 b7" + _added for name in _AUGMENTED})

_PITCH_CLASS = r"[A-G](?:#*|b*)(?![#b])"
_CHANGE = r"(add[#b]?|no|[#b])([0-9]+)"
_SYMBOL = re.compile(
    rf"(?P<root>{_PITCH_CLASS})(?P<kind>{'|'.join(map(re.escape, _KINDS))})"
    rf"(?P<changes>(?:\(?(?:add[#b]?|no|[#b])[0-9]+\)?)*)(?:/{_PITCH_CLASS})?"
)


class ChordSymbolError(ValueError):
    """A chord symbol that cannot be read, or that is none of the four triads."""


def encode_chord_symbol(symbol: str) -> int:
    """The id of a chord symbol's triad, by the original's spelling: "C#m7/E" is the minor triad on C#.

    Sevenths, higher tensions and the bass do not count.

    Raises:
        ChordSymbolError: for what the original cannot read, and for chords that are no triad, such as "Csus4" and "C5".
    """
    if symbol == NO_CHORD:
        return NO_CHORD_ID
    parts = _SYMBOL.fullmatch(symbol) if len(symbol) <= MAX_SYMBOL_LENGTH else None
    if parts is None:
        raise ChordSymbolError(
            f"Chord symbol {symbol[:MAX_SYMBOL_LENGTH]!r} cannot be read; symbols look like 'C', 'F#m7', 'Bb/D' and 'N.C.'."
        )
    degrees = {int(degree.lstrip("#b")): degree.count("#") - degree.count("b") for degree in _KINDS[parts["kind"]].split()}
    for change, number in re.findall(_CHANGE, parts["changes"]):
        _change_degree(symbol, degrees, change, int(number))
    quality = _TRIADS.get((degrees.get(1), degrees.get(3), degrees.get(5)))
    if quality is None:
        raise ChordSymbolError(f"Chord symbol {symbol!r} is no major, minor, augmented or diminished chord.")
    root = parts["root"]
    semitones = (_NATURAL[root[0]] + root.count("#") - root.count("b")) % len(ROOTS)
    return FIRST_TRIAD_ID + len(ROOTS) * quality + semitones


def _change_degree(symbol: str, degrees: dict[int, int], change: str, number: int) -> None:
    alteration = change.count("#") - change.lstrip("ad").count("b")
    if change.startswith("add") and number in degrees:
        raise ChordSymbolError(f"Chord symbol {symbol!r} adds degree {number}, which the chord has.")
    if change == "no":
        if number not in degrees:
            raise ChordSymbolError(f"Chord symbol {symbol!r} leaves out degree {number}, which the chord has not.")
        del degrees[number]
    else:
        degrees[number] = degrees.get(number, 0) + alteration


def encode_chord_text(text: str) -> np.ndarray:
    """The ids (T,) int64 of chord symbols with blanks between them: "C C G G Am Am F F"."""
    return np.array([encode_chord_symbol(symbol) for symbol in text.split()], dtype=np.int64)


def encode_chords(
    chords: Iterable[tuple[float, str]], total_seconds: float, quarters_per_minute: float, steps_per_quarter: int = 4
) -> np.ndarray:
    """The ids (T,) int64 of chords (seconds, symbol) of a piece, one for each step; before the first there is no chord.

    Raises:
        ChordSymbolError: see [`encode_chord_symbol`].
    """
    steps_per_second = steps_per_quarter * quarters_per_minute / 60.0
    ids, current = [], NO_CHORD
    for seconds, symbol in sorted(chords, key=lambda chord: chord[0]):
        ids += [encode_chord_symbol(current)] * (int(seconds * steps_per_second + 0.5) - len(ids))
        current = symbol
    ids += [encode_chord_symbol(current)] * (int(total_seconds * steps_per_second + 0.5) - len(ids))
    return np.array(ids, dtype=np.int64)


def decode_chords(ids: np.ndarray | Sequence[int]) -> list[str]:
    """The symbols of ids (T,): "N.C.", "C", "C#m", "Ebaug", "Bdim".

    Raises:
        ValueError: for ids outside 2..50.
    """
    symbols = []
    for chord in np.asarray(ids).tolist():
        if not NO_CHORD_ID <= chord < CHORD_VOCAB_SIZE:
            raise ValueError(f"A chord is an id {NO_CHORD_ID}..{CHORD_VOCAB_SIZE - 1}, got {chord}.")
        quality, root = divmod(chord - FIRST_TRIAD_ID, len(ROOTS))
        symbols.append(NO_CHORD if chord == NO_CHORD_ID else ROOTS[root] + QUALITIES[quality])
    return symbols

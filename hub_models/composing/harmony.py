"""Keys, scales and chords as pitch classes (0 is C): what belongs to what, and the nearest pitch that does."""

from __future__ import annotations

import re
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

MAJOR, MINOR = MODES = ("major", "minor")
SCALES = {MAJOR: (0, 2, 4, 5, 7, 9, 11), MINOR: (0, 2, 3, 5, 7, 8, 10)}
# How well each note, from the tonic up, is heard to fit a key: C. L. Krumhansl and E. J. Kessler, Psychological Review 89,
# 1982, table 2.
PROFILES = {
    MAJOR: (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    MINOR: (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
# Triads by their place in `chord_symbols.QUALITIES`.
_TRIADS = ((0, 4, 7), (0, 3, 7), (0, 4, 8), (0, 3, 6))
_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
# Major keys that are written with flats; a minor key is written as the major key three semitones above it.
_FLAT_MAJORS = (1, 3, 5, 8, 10)
_KEY = re.compile(r"([A-Ga-g])([#♯b♭]?)\s*(major|minor|maj|min|m|)", re.IGNORECASE)
_ROOT = re.compile(r"([A-G])(#+|b+)?")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


class HarmonyError(ValueError):
    """A key that cannot be read; the message says what was given and what is allowed."""


@dataclass(frozen=True)
class Key:
    """A key: `tonic` 0..11, and "major" or "minor"."""

    tonic: int
    mode: str

    @classmethod
    def read(cls, text: str) -> Key:
        """Of "C major", "f# minor", "Bb", "Am".

        Raises:
            HarmonyError: it is no key.
        """
        found = _KEY.fullmatch(text.strip()) if isinstance(text, str) and len(text) <= 32 else None
        if found is None:
            raise HarmonyError(f"A key is a note and major or minor, such as 'C major' or 'F# minor', not {text!r:.40}.")
        letter, sign, mode = found.groups()
        tonic = (_LETTERS[letter.upper()] + {"": 0, "#": 1, "♯": 1}.get(sign, -1)) % 12
        is_minor = mode == "m" or mode.lower() in ("minor", "min")
        return cls(tonic, MINOR if is_minor else MAJOR)

    @property
    def name(self) -> str:
        """Such as "Bb major"."""
        return f"{self.spell(self.tonic)} {self.mode}"

    @property
    def number(self) -> int:
        """pretty_midi's: 0 to 11 are major, 12 to 23 minor."""
        return self.tonic + (12 if self.mode == MINOR else 0)

    @property
    def scale(self) -> frozenset[int]:
        """Its pitch classes; of minor keys those of natural minor."""
        return frozenset((self.tonic + step) % 12 for step in SCALES[self.mode])

    @property
    def tonic_chord(self) -> str:
        """The symbol of the triad on its tonic."""
        return self.spell(self.tonic) + ("m" if self.mode == MINOR else "")

    def spell(self, pitch_class: int) -> str:
        """The name of a pitch class as this key writes it."""
        relative = (self.tonic + (3 if self.mode == MINOR else 0)) % 12
        return (_FLATS if relative in _FLAT_MAJORS else _SHARPS)[pitch_class % 12]


def chord_tones(symbol: str) -> tuple[int, ...]:
    """The pitch classes of a chord's triad, its root first; none for "N.C.".

    Raises:
        ChordSymbolError: it cannot be read.
    """
    from ..music_vae.chord_symbols import NO_CHORD, chord_index

    index = chord_index(symbol)
    if index == NO_CHORD:
        return ()
    quality, root = divmod(index - 1, 12)
    return tuple((root + step) % 12 for step in _TRIADS[quality])


def scale_over(key: Key, chord: Sequence[int]) -> frozenset[int]:
    """The pitch classes that go with a chord, as `chord_tones` gives it: the scale of the key, in which the chord's notes
    take the place of those that they are a raised or lowered form of (over E major in A minor: a G# and no G)."""
    scale = set(key.scale)
    for tone in chord:
        if tone not in key.scale:
            interval = (tone - chord[0]) % 12
            # Minor thirds and diminished fifths are lowered, major thirds and augmented fifths raised; a root or a fifth is
            # lowered in major chords (B flat in C major), else raised (F# minor).
            is_lowered = interval in (3, 6) or (interval in (0, 7) and (chord[0] + 4) % 12 in chord)
            scale.discard((tone + (1 if is_lowered else -1)) % 12)
    return frozenset(scale | set(chord))


def transpose_symbol(symbol: str, semitones: int, key: Key) -> str:
    """A chord symbol, moved, and written as `key` writes its notes; also the bass after a slash."""
    if not _ROOT.match(symbol):
        return symbol
    head, slash, bass = symbol.partition("/")
    moved = _moved(head, semitones, key)
    return moved + (slash + _moved(bass, semitones, key) if _ROOT.match(bass) else slash + bass)


def _moved(text: str, semitones: int, key: Key) -> str:
    root = _ROOT.match(text)
    signs = root[2] or ""
    pitch_class = _LETTERS[root[1]] + signs.count("#") - signs.count("b") + semitones
    return key.spell(pitch_class) + text[root.end() :]


def find_key(bars: Sequence[Sequence[str]]) -> Key:
    """The key that holds most notes of a progression's chords; of several the one that it begins and ends in."""
    chords = [chord_tones(symbol) for symbols in bars for symbol in symbols]
    chords = [chord for chord in chords if chord] or [(0, 4, 7)]

    def likeness(key: Key) -> float:
        inside = sum(tone in key.scale for chord in chords for tone in chord)
        home = {key.tonic, (key.tonic + (3 if key.mode == MINOR else 4)) % 12, (key.tonic + 7) % 12}
        at_home = [set(chord) == home for chord in chords]
        # A dominant says which of two relative keys it is: E major, not E minor, leads to A minor.
        leading = sum((key.tonic + 11) % 12 in chord and (key.tonic + 7) % 12 == chord[0] for chord in chords)
        return inside + 1.6 * at_home[0] + 0.8 * at_home[-1] + 0.4 * sum(at_home) + 0.6 * leading

    return max((Key(tonic, mode) for mode in MODES for tonic in range(12)), key=likeness)


def heard_key(notes: Iterable[tuple[int, float, float]], modes: Collection[str] = MODES) -> Key:
    """The key, of some modes, that a melody is most likely heard in: whose profile is most like how long each pitch class
    sounds (Krumhansl and Schmuckler, with the profiles of Krumhansl and Kessler 1982).

    Args:
        notes: (pitch, start, end, ...) each; at least one.
    """
    sounding = [0.0] * 12
    for pitch, start, end, *_ in notes:
        sounding[pitch % 12] += max(0.0, end - start)

    def likeness(key: Key) -> float:
        return _correlation(sounding, [PROFILES[key.mode][(tone - key.tonic) % 12] for tone in range(12)])

    return max((Key(tonic, mode) for mode in modes for tonic in range(12)), key=likeness)


def _correlation(first: Sequence[float], second: Sequence[float]) -> float:
    if min(first) == max(first):
        return 0.0
    return statistics.correlation(first, second)


def nearest(pitch: int, allowed: Collection[int], towards: int = 0) -> int:
    """The pitch nearest to `pitch` whose class is allowed; of two as near the one in the direction of `towards` (its sign),
    the lower one by default. The pitch itself where nothing is allowed."""
    if not allowed or pitch % 12 in allowed:
        return pitch
    for distance in range(1, 12):
        for step in (distance, -distance) if towards > 0 else (-distance, distance):
            if (pitch + step) % 12 in allowed and 0 <= pitch + step <= 127:
                return pitch + step
    return pitch


class Harmony:
    """The chords of a piece in time, in quarter notes.

    Args:
        bars: the symbols of each bar of 4/4, which share it evenly.
        key: the key of the piece.
    """

    def __init__(self, bars: Sequence[Sequence[str]], key: Key):
        self.bars, self.key = [list(symbols) for symbols in bars], key
        self._tones = [[chord_tones(symbol) for symbol in symbols] for symbols in self.bars]
        self._scales = [[scale_over(key, tones) for tones in chords] for chords in self._tones]

    @property
    def quarters(self) -> float:
        """How long it is."""
        return 4.0 * len(self.bars)

    def tones_at(self, quarter: float) -> tuple[int, ...]:
        """The chord's pitch classes; behind the end those of the last chord."""
        return self._at(self._tones, quarter)

    def scale_at(self, quarter: float) -> frozenset[int]:
        """The pitch classes that go with the chord."""
        return self._at(self._scales, quarter)

    def root_at(self, quarter: float) -> int | None:
        """The chord's root, None where there is no chord."""
        tones = self.tones_at(quarter)
        return tones[0] if tones else None

    def changes(self) -> list[tuple[str, float]]:
        """Every chord that is another than the one before, and where it begins."""
        placed = [
            (symbol, 4.0 * (bar + place / len(symbols)))
            for bar, symbols in enumerate(self.bars)
            for place, symbol in enumerate(symbols)
        ]
        return [item for before, item in zip([(None, 0.0), *placed], placed, strict=False) if before[0] != item[0]]

    def next_change(self, quarter: float) -> float:
        """Where the chord that sounds then ends: the next place where another is written."""
        bar = min(int(quarter // 4), len(self.bars) - 1)
        count = len(self.bars[bar])
        place = min(int((quarter - 4 * bar) * count / 4 + 1e-6), count - 1)
        return 4.0 * (bar + (place + 1) / count)

    def _at(self, table: list[list], quarter: float):
        bar = min(max(0, int((quarter + 1e-6) // 4)), len(table) - 1)
        inside = table[bar]
        place = int((quarter + 1e-6 - 4 * bar) * len(inside) / 4)
        return inside[min(max(place, 0), len(inside) - 1)]

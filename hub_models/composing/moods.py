"""Moods to begin a piece from: for each good progressions, tempi, keys, and what it may be played on and like."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .harmony import MAJOR, MINOR, Key, find_key, transpose_symbol
from .parts import CompositionError

NUM_BARS = 16
MIN_TEMPO, MAX_TEMPO = 50.0, 180.0
MAX_CHORDS_TEXT = 2000
MAX_CHORDS_PER_BAR = 4


@dataclass(frozen=True)
class Mood:
    """What a piece of a mood is made of; where several are listed one is drawn.

    Attributes:
        progressions: in C major or A minor, as `read_chords` reads them; they begin at home and lead back to it.
        tempi: the slowest and the fastest, in quarter notes per minute.
        keys: tonics 0..11 that suit its instruments.
        melodies: General MIDI programs of the melody.
        bands: names in `band_bars.BARS`.
        pianos: names in `piano_pieces.PIECES`.
    """

    mode: str
    progressions: tuple[str, ...]
    tempi: tuple[int, int]
    keys: tuple[int, ...]
    melodies: tuple[int, ...]
    bands: tuple[str, ...]
    pianos: tuple[str, ...]


_BACH, _SATIE, _ELISE = (
    "Bach, Prelude in C: even, flowing", "Satie, Gymnopédie: slow, very soft", "Beethoven, Für Elise: tender, free",
)  # fmt: skip
_JOPLIN, _GRIEG, _BOOGIE = (
    "Joplin, The Entertainer: bright, crisp", "Grieg, Mountain King: from soft to thunder", "Boogie-woogie: loud, swinging",
)  # fmt: skip

MOODS = {
    "Bright": Mood(
        MAJOR,
        (
            "C G Am F C G F G | C G Am F Dm G F G",
            "C F C G Am F G G | C F C G F G Am G",
            "C Am F G C Am Dm G | F G Em Am F G C G",
        ),
        (104, 124), (0, 2, 5, 7, 9, 10), (73, 71, 11, 12, 40), ("Rock band", "Dance floor", "Bossa nova"), (_JOPLIN, _BACH),
    ),
    "Tender": Mood(
        MAJOR,
        (
            "C Em F G C Am F G | Am Em F C Dm Am F G",
            "C G Am Em F C F G | C G Am Em F C Dm G",
            "F G Em Am F G C C | F G Em Am Dm Em F G",
        ),
        (72, 88), (0, 2, 3, 5, 7, 10), (73, 40, 42, 68, 71), ("Soft ballad", "String quartet"), (_BACH, _ELISE, _SATIE),
    ),
    "Wistful": Mood(
        MINOR,
        (
            "Am F C G Am F C G | Dm Am F C Dm Am E7 E7",
            "Am Em F C Dm Am E7 Am | F G C Am Dm E7 Am E7",
            "Am G F G Am G F E7 | C G Dm Am F C Dm E7",
        ),
        (76, 96), (9, 11, 0, 2, 4, 7), (68, 40, 42, 73, 69), ("Soft ballad", "Bossa nova", "String quartet"),
        (_ELISE, _SATIE),
    ),
    "Dark": Mood(
        MINOR,
        (
            "Am Am F E7 Am Dm F E7 | Am C G Dm F Am E7 E7",
            "Am Dm E7 Am F Dm E7 E7 | Am G F E7 Dm F E7 E7",
        ),
        (92, 112), (9, 11, 0, 2, 4), (60, 42, 71, 69), ("Orchestra", "String quartet"), (_GRIEG, _ELISE),
    ),
    "Driving": Mood(
        MINOR,
        (
            "Am F C G Am F C G | F G Am Am F G C E7",
            "Am C G F Am C G F | Dm F C G Dm F E7 E7",
        ),
        (116, 130), (9, 11, 0, 2, 4, 7), (80, 81, 40, 62), ("Dance floor", "Rock band", "Funk"), (_BOOGIE, _GRIEG),
    ),
    "Easy": Mood(
        MAJOR,
        (
            "Cmaj7 Am7 Dm7 G7 Em7 A7 Dm7 G7 | Fmaj7 Em7 Dm7 Cmaj7 Fmaj7 Em7 Dm7 G7",
            "Dm7 G7 Cmaj7 Am7 Dm7 G7 Cmaj7 Cmaj7 | Fmaj7 Fm Em7 A7 Dm7 G7 Cmaj7 G7",
        ),
        (92, 116), (0, 3, 5, 7, 10), (65, 71, 11, 56), ("Walking trio", "Bossa nova"), (_JOPLIN, _BOOGIE),
    ),
}  # fmt: skip


def read_chords(text: str) -> tuple[tuple[str, ...], ...]:
    """The symbols of each of the 16 bars of a piece; a shorter progression starts again until they are full.

    Args:
        text: a chord for each bar, "C Am F G", or bars between `|`, "| C Am | F G |".

    Raises:
        ChordSymbolError: a symbol cannot be read; names it and its bar.
        ValueError: there are none, or too many.
    """
    from ..music_vae.chords import read_progression

    if not isinstance(text, str) or not text.replace("|", " ").strip():
        raise CompositionError("There are no chords: write some, such as 'C Am F G'.")
    if len(text) > MAX_CHORDS_TEXT:
        raise CompositionError(f"The chords are {len(text):,} characters long; at most {MAX_CHORDS_TEXT:,} are allowed.")
    bars = read_progression(text, MAX_CHORDS_PER_BAR)
    if len(bars) > NUM_BARS:
        raise CompositionError(f"A piece has {NUM_BARS} bars; there are chords for {len(bars)}.")
    return tuple(tuple(bars[bar % len(bars)]) for bar in range(NUM_BARS))


def chords_text(bars: tuple[tuple[str, ...], ...]) -> str:
    """What `read_chords` reads as these bars."""
    if all(len(symbols) == 1 for symbols in bars):
        return " ".join(symbols[0] for symbols in bars)
    return "| " + " | ".join(" ".join(symbols) for symbols in bars) + " |"


def mood_of(name: str) -> Mood:
    """A mood by its name.

    Raises:
        CompositionError: there is none.
    """
    if name not in MOODS:
        raise CompositionError(f"There is no mood {name!r:.40}; there is {', '.join(MOODS)}.")
    return MOODS[name]


def draw_mood(seed: int, key: Key | None, bars: tuple[tuple[str, ...], ...] | None) -> str:
    """The name of a mood that suits a key, or chords; by seed."""
    key = key or (find_key(bars) if bars else None)
    return random.Random(f"mood {seed}").choice(
        [name for name, mood in MOODS.items() if key is None or mood.mode == key.mode]
    )


def draw_progression(mood: Mood, key: Key, seed: int) -> tuple[tuple[str, ...], ...]:
    """One of a mood's progressions, in a key; of its own mode, else of any mood that has the key's."""
    texts = mood.progressions if key.mode == mood.mode else _all_progressions(key.mode)
    written = random.Random(f"chords {seed}").choice(texts)
    home = 9 if key.mode == MINOR else 0
    bars = [symbol for part in written.split("|") for symbol in part.split()]
    return tuple((transpose_symbol(symbol, key.tonic - home, key),) for symbol in bars)


def _all_progressions(mode: str) -> tuple[str, ...]:
    return tuple(text for mood in MOODS.values() if mood.mode == mode for text in mood.progressions)

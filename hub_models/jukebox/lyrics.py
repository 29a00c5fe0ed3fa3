"""Lyrics as characters that a prior knows, the words among them, and when each word is sung.

Text becomes tokens as in the original: it is written in plain Latin letters, backslashes become line ends, and what is not
in the vocabulary is dropped; each character that remains is a token, from 1 on.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .transliteration import as_latin, transliterations

MAX_LYRICS_LENGTH = 100_000
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

#: Characters of the original's two vocabularies, in the order of their ids, which start at 1.
LYRIC_CHARACTERS = {
    "v2": _LETTERS + ".,:;!?-+'\"()[] \t\n",
    "v3": _LETTERS + ".,:;!?-'\"()[] \t\n",
}

UNKNOWN = "[?]"  # what Unidecode 1.1.1 writes for characters that it does not know
SECONDS_PER_FRAME = 0.02  # of alignments; sung words are told apart no finer
NAMED_CHARACTERS = 8


class LyricsError(ValueError):
    """Lyrics that cannot be read; the message says why and what is allowed."""


class TimedWord(NamedTuple):
    """A word of the lyrics and when it is sung.

    Attributes:
        word: as it stands in the lyrics.
        start_seconds, end_seconds: from when to when; equal for a word that is not sung.
        confidence: mean attention to the word while it is sung, 0..1; 0 for a word that is not sung.
    """

    word: str
    start_seconds: float
    end_seconds: float
    confidence: float


@dataclass(frozen=True)
class LyricWord:
    """Neighbouring tokens without space between them.

    Attributes:
        text: as it stands in the lyrics.
        start, end: its tokens, the last one excluded.
        text_start, text_end: its characters in the text of the lyrics, the last one excluded.
    """

    text: str
    start: int
    end: int
    text_start: int
    text_end: int


@dataclass(frozen=True)
class Lyrics:
    """Lyrics as text and as a model reads them.

    Attributes:
        text: as given.
        written: each character of the text, as characters of the vocabulary; none where it is dropped.
        reports: sentences about what was dropped or written otherwise.
    """

    text: str
    written: tuple[str, ...]
    reports: tuple[str, ...]

    @cached_property
    def clean(self) -> str:
        """What is read; each of its characters is a token."""
        return "".join(self.written)

    @cached_property
    def words(self) -> tuple[LyricWord, ...]:
        """Words in order. Of a script that puts no spaces between words each character may be one."""
        is_letter = np.array([not character.isspace() for character in self.clean], dtype=bool)
        edges = np.flatnonzero(np.diff(is_letter, prepend=False, append=False))
        origins = np.repeat(np.arange(len(self.text)), [len(piece) for piece in self.written])
        words = []
        for start, end in edges.reshape(-1, 2).tolist():
            first, last = int(origins[start]), int(origins[end - 1]) + 1
            words.append(LyricWord(self.text[first:last], start, end, first, last))
        return tuple(words)


def read_lyrics(text: str, characters: str | Mapping[str, int] = LYRIC_CHARACTERS["v2"]) -> Lyrics:
    """Lyrics in a vocabulary's characters.

    Args:
        text: at most 100,000 characters.
        characters: of the vocabulary.

    Raises:
        TypeError: for what is no text.
        LyricsError: for text that is too long.
        TransliterationError: for another script than Latin where Unidecode is not installed.
    """
    if not isinstance(text, str):
        raise TypeError(f"Lyrics are text, not {type(text).__name__}.")
    if len(text) > MAX_LYRICS_LENGTH:
        raise LyricsError(f"Lyrics may have at most {MAX_LYRICS_LENGTH:,} characters; these have {len(text):,}.")
    known = set(characters)
    latin = transliterations(set(text))
    table = {
        character: "".join(piece for piece in plain.replace("\\", "\n") if piece in known)
        for character, plain in latin.items()
    }
    return Lyrics(text, tuple(map(table.__getitem__, text)), tuple(_reports(text, latin, table)))


def alignment_words(
    alignment: np.ndarray, words: Sequence[LyricWord], seconds_per_row: float, start_seconds: float = 0.0
) -> list[TimedWord]:
    """When each word is sung, from a prior's attention to the lyrics.

    Words are taken to be sung in order, each once and some perhaps not at all: of all such readings the one is chosen that
    gathers the most attention. A word lasts from when to when it gets at least half of what it gets typically.

    Args:
        alignment: (T, L), attention of each code of the top level (rows) to each lyric token (columns).
        words: of these lyrics, see [`Lyrics.words`].
        seconds_per_row: a code's duration: its hop length over the sampling rate.
        start_seconds: when the first row begins.

    Returns:
        One [`TimedWord`] for each word, in order.

    Raises:
        ValueError: for an alignment that is no (T, L) of numbers from 0 on, or does not have these words.
    """
    alignment = np.asarray(alignment)
    if alignment.ndim != 2 or not len(alignment):
        raise ValueError(f"An alignment has shape (codes, lyric tokens), got {alignment.shape}.")
    if not seconds_per_row > 0:
        raise ValueError(f"seconds_per_row must be above 0, got {seconds_per_row}.")
    if words and words[-1].end > alignment.shape[1]:
        raise ValueError(f"The words have {words[-1].end} lyric tokens, the alignment {alignment.shape[1]}.")
    if not words:
        return []
    rows = max(1, int(SECONDS_PER_FRAME / seconds_per_row))
    attention = _attention_to_words(alignment, words, rows)
    if not np.isfinite(attention).all() or attention.min() < 0:
        raise ValueError("An alignment has numbers from 0 on; this one has negative or undefined ones.")
    path = _most_attentive_path(attention)
    last_end = start_seconds + len(alignment) * seconds_per_row
    timed = []
    for number, word in reversed(list(enumerate(words))):
        frames = np.flatnonzero(path == number)
        heard = attention[frames, number]
        if not heard.sum() > 0:
            resumes = timed[-1].start_seconds if timed else last_end
            timed.append(TimedWord(word.text, resumes, resumes, 0.0))
            continue
        typical = np.square(heard).sum() / heard.sum()
        sung = frames[heard >= 0.5 * typical]
        first, last = int(sung[0]), int(sung[-1]) + 1
        timed.append(
            TimedWord(
                word.text,
                start_seconds + first * rows * seconds_per_row,
                min(start_seconds + last * rows * seconds_per_row, last_end),
                float(attention[first:last, number].mean()),
            )
        )
    return timed[::-1]


def _attention_to_words(alignment: np.ndarray, words: Sequence[LyricWord], rows: int) -> np.ndarray:
    """(frames, words) float32, each the mean of some rows."""
    starts = np.arange(0, len(alignment), rows)
    counts = np.diff(starts, append=len(alignment))
    frames = np.add.reduceat(alignment, starts, axis=0, dtype=np.float32) / counts[:, None].astype(np.float32)
    frames = np.pad(frames, ((0, 0), (0, 1)))  # so that the last word, too, has a column behind it
    edges = np.array([(word.start, word.end) for word in words]).ravel()
    return np.add.reduceat(frames, edges, axis=1)[:, ::2]


def _most_attentive_path(attention: np.ndarray) -> np.ndarray:
    """The number of a word for each frame, never falling, with the most attention in all."""
    num_frames, num_words = attention.shape
    numbers = np.arange(num_words)
    came_from = np.empty((num_frames, num_words), dtype=np.int32)
    gathered = np.zeros(num_words)
    for frame in range(num_frames):
        best = np.maximum.accumulate(gathered)
        # The word that the best so far belongs to: the last one to reach it.
        came_from[frame] = np.maximum.accumulate(np.where(gathered == best, numbers, 0))
        gathered = best + attention[frame]
    path = np.empty(num_frames, dtype=np.int64)
    word = int(gathered.argmax())
    for frame in range(num_frames - 1, -1, -1):
        path[frame] = word
        word = int(came_from[frame, word])
    return path


def _reports(text: str, latin: Mapping[str, str], table: Mapping[str, str]) -> list[str]:
    """Sentences about characters that are lost or written in other letters."""
    reports = []
    counts = {one: count for one, count in Counter(text).items() if _is_seen(one)}
    total = sum(counts.values())
    dropped = [one for one in counts if not table[one] and unicodedata.category(one)[0] != "M"]
    unknown = [one for one in counts if latin[one].strip() == UNKNOWN]
    if any(character.isalpha() and as_latin(character) is None for character in table):
        sample = " ".join("".join(map(table.__getitem__, text[:200])).split())
        sample = sample if len(sample) <= 60 else sample[:60].rsplit(" ", 1)[0] + " ..."
        reports.append(f"Lyrics are written in Latin letters: {sample!r}.")
    if dropped:
        reports.append(
            f"{sum(map(counts.get, dropped)):,} of {total:,} characters of the lyrics are not in the vocabulary and were "
            f"dropped: {_named(dropped)}."
        )
    if unknown:
        reports.append(
            f"{sum(map(counts.get, unknown)):,} of {total:,} characters of the lyrics are unknown and read as {UNKNOWN}: "
            f"{_named(unknown)}."
        )
    if text.strip() and not any(piece.strip() for piece in table.values()):
        reports.append("Nothing remains of the lyrics.")
    return reports


def _is_seen(character: str) -> bool:
    """Neither space nor a mark of control or format."""
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")


def _named(characters: Sequence[str]) -> str:
    """The first few of different characters."""
    shown = " ".join(characters[:NAMED_CHARACTERS])
    return shown + (f" and {len(characters) - NAMED_CHARACTERS} more" if len(characters) > NAMED_CHARACTERS else "")

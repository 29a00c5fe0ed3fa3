"""Labels of songs: artists and genres as ids, and what of timing and lyrics belongs to a window of the song.

Ids come from two versions of lists, as in the original ("Jukebox", arXiv 2005.00341, and its release):

- v2: names are compared in lower case, with `_` for everything that is neither a letter a-z nor a digit. A genre is a bag of
  words, each with its own id.
- v3: names are compared in lower case, as they are. A genre has one id.

Id 0 is that of nobody and nothing in particular, and of every name that is not in the list.
"""

import difflib
import heapq
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .configuration_jukebox import MAX_VOCABULARY, JukeboxPriorConfig

LABEL_VERSIONS = ("v2", "v3")
MAX_NAME_LENGTH = 1000
MAX_GENRE_WORDS = 5  # in the bags of version v2
MAX_ID_FILE_BYTES = 64_000_000
NO_GENRE = -1  # fills up bags of genres
UNKNOWN_NAME = "unknown"
NUM_TIMES = 3  # at the start of a row: samples in the whole, before the window, in the window
NUM_NEAREST, NUM_LIKELY = 3, 100

Times = int | Sequence[int] | Tensor


class LabelError(ValueError):
    """Labels, or lists of labels, that cannot be used; the message says what is allowed."""


def normalize_name(name: str) -> str:
    """A name as the lists of version v2 have it: `"Guns N' Roses"` becomes `"guns_n_roses"`."""
    return re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")


class LabelNames:
    """The names of artists, or of genres, of one version, and their ids. Several names may share an id.

    Args:
        ids: name to id, from 0 on; names in lower case.
        version: `"v2"` or `"v3"`.

    Raises:
        LabelError: for ids that are no whole numbers from 0 on, or an unknown version.
    """

    def __init__(self, ids: Mapping[str, int], version: str):
        self.ids, self.version = dict(ids), checked_version(version)
        for name, number in self.ids.items():
            if type(number) is not int or not 0 <= number < MAX_VOCABULARY:
                raise LabelError(
                    f"Ids are whole numbers from 0 to {MAX_VOCABULARY - 1}, got {number!r} for {name[:MAX_NAME_LENGTH]!r}."
                )
        self._nearest: dict[str, list[str]] = {}

    @classmethod
    def from_file(cls, path: str | Path, version: str) -> "LabelNames":
        """Names of a file with a `name;id` in each line, as `v2_artist_ids.txt`. Of names that come twice the last counts.

        Raises:
            LabelError: for a file that is not there, too large or has other lines.
        """
        path = Path(path)
        if not path.is_file():
            raise LabelError(f"There is no file {path}.")
        if path.stat().st_size > MAX_ID_FILE_BYTES:
            raise LabelError(f"{path} has {path.stat().st_size:,} bytes; lists may have {MAX_ID_FILE_BYTES:,}.")
        ids = {}
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            name, separator, value = line.rpartition(";")
            if not separator or not value.strip().isdecimal() or len(value) > 9:
                raise LabelError(f"{path}, line {number}: expected name;id, got {line[:80]!r}.")
            ids[name.lower()] = int(value)
        return cls(ids, version)

    @property
    def num_ids(self) -> int:
        """Ids from 0 to the highest."""
        return 1 + max(self.ids.values(), default=0)

    def artist_id(self, name: str) -> int:
        """The id of an artist, 0 if unknown."""
        return self.ids.get(self.key(name), 0)

    def genre_ids(self, name: str) -> list[int]:
        """The ids of a genre: of each of its words (v2), or one (v3); 0 where unknown."""
        return [self.ids.get(word, 0) for word in self.genre_words(name)]

    def genre_words(self, name: str) -> list[str]:
        """What of a genre has ids; `[""]` of an empty one."""
        key = self.key(name)
        return key.split("_") if self.version == "v2" else [key]

    def key(self, name: str) -> str:
        """A name as it is looked up."""
        return normalize_name(name) if self.version == "v2" else name.lower()

    def knows(self, key: str) -> bool:
        """Whether a key has an id of its own, or is said to be unknown."""
        return key in self.ids or key in ("", UNKNOWN_NAME)

    def name_of(self, number: int) -> str:
        """The name of an id; several names of one id are joined by `_`, in alphabetical order, as in the original.

        Raises:
            LabelError: for an id that has no name.
        """
        names = sorted(name for name, other in self.ids.items() if other == number)
        if not names and number != 0:
            raise LabelError(f"There is no name with id {number}; ids are from 0 to {self.num_ids - 1}.")
        return "_".join(names) if names else UNKNOWN_NAME

    def genre_of(self, numbers: Sequence[int]) -> str:
        """The words of a bag of genres, joined by `_`."""
        return "_".join(self.name_of(int(number)) for number in numbers if number != NO_GENRE)

    def nearest(self, key: str) -> list[str]:
        """Up to three names to offer in place of a key: those that have it as a word, the shortest first, and those that
        look most like it."""
        if key not in self._nearest:
            blank = "_" if self.version == "v2" else " "
            worded = [name for name in self._pairs if f"{blank}{key}{blank}" in f"{blank}{name}{blank}"]
            # Of names that share no pairs of letters none looks alike; of the others difflib, which is slow, sees the best.
            pairs = _letter_pairs(key)
            shared = {name: len(pairs & others) / (1 + len(others)) for name, others in self._pairs.items()}
            likely = heapq.nlargest(NUM_LIKELY, shared, key=shared.__getitem__)
            found = sorted(worded, key=len) + difflib.get_close_matches(key, likely, NUM_NEAREST)
            self._nearest[key] = [name.replace(blank, " ") for name in list(dict.fromkeys(found))[:NUM_NEAREST]]
        return self._nearest[key]

    @cached_property
    def _pairs(self) -> dict[str, frozenset[str]]:
        """Pairs of letters of each name that can be asked for."""
        return {name: _letter_pairs(name) for name in self.ids if name and self.key(name) == name and self.ids[name] != 0}


def _letter_pairs(name: str) -> frozenset[str]:
    return frozenset(map("".join, pairwise(f" {name} ")))


def checked_version(version: str) -> str:
    """A version of lists that there is.

    Raises:
        LabelError: if there is none of that name.
    """
    if version not in LABEL_VERSIONS:
        raise LabelError(f"Versions of labels are {' and '.join(LABEL_VERSIONS)}, got {version!r}.")
    return version


def checked_name(name: str, what: str) -> str:
    """A name that is text of a sensible length.

    Raises:
        TypeError, LabelError: if not.
    """
    if not isinstance(name, str):
        raise TypeError(f"The {what} is text, not {type(name).__name__}; '' stands for an unknown one.")
    if len(name) > MAX_NAME_LENGTH:
        raise LabelError(f"The {what} may have at most {MAX_NAME_LENGTH:,} characters; this one has {len(name):,}.")
    return name


def lyric_window(
    num_tokens: int, window_length: int, total_length: int, offset: int, duration: int, single_precision: bool = True
) -> np.ndarray:
    """Which lyric tokens a prior reads with a window of music: those around where its middle is in the song.

    Args:
        num_tokens: of all lyrics.
        window_length: tokens that are read.
        total_length, offset, duration: of the whole song, before the window, of the window; in samples.
        single_precision: compute as the original does when it samples, in float32; otherwise in float64, as it does when it
            makes labels. They may differ by a token.

    Returns:
        Their numbers (window_length,) int64; -1 in front stands for token 0 where the lyrics are shorter.

    Raises:
        LabelError: if the window begins before the song or behind it.
    """
    if not 0 <= offset < total_length:
        raise LabelError(f"An offset is from 0 to less than the total length of {total_length} samples, got {offset}.")
    if num_tokens < window_length:
        missing = window_length - num_tokens
        return np.concatenate([np.full(missing, -1), np.arange(num_tokens)])
    number = np.float32 if single_precision else float
    middle = int(number(num_tokens) * (number(offset) + number(duration) / number(2)) / number(total_length))
    before = window_length // 2
    middle = min(max(middle, before), num_tokens - (window_length - before))
    return np.arange(middle - before, middle - before + window_length)


def window_metadata(
    labels: Tensor | Sequence[Tensor],
    config: JukeboxPriorConfig,
    start: int,
    total_length: Times,
    offset: Times,
    single_precision: bool = True,
) -> Tensor:
    """What a prior is told of a window of songs.

    Args:
        labels: the prior's rows of [`JukeboxTokenizer`]: (N, 4 + genres + lyric tokens), or one (W,) or (1, W) per song.
        config: of the prior.
        start: the window's first code in what is sampled.
        total_length: samples in the whole song, for all songs or for each.
        offset: samples of it before what is sampled begins, for all songs or for each.
        single_precision: see [`lyric_window`]; false for training data.

    Returns:
        (N, 4 + max_nb_genres + nb_relevant_lyric_tokens) int64: samples in the whole, before the window, in the window;
        artist; genres, -1 where there are fewer; lyric tokens, 0 in front where there are fewer.

    Raises:
        LabelError: for labels of another form, more genres than the prior has places, and windows outside of the song.
    """
    return _windows(labels, config, start, total_length, offset, single_precision)[0]


def window_lyric_indices(
    labels: Tensor | Sequence[Tensor], config: JukeboxPriorConfig, start: int, total_length: Times, offset: Times
) -> Tensor:
    """Which lyric tokens a prior reads with a window of songs, as [`window_metadata`] has them in its last columns.

    Returns:
        (N, nb_relevant_lyric_tokens) int64, -1 where there is none.
    """
    return _windows(labels, config, start, total_length, offset, True)[1]


def lyric_reports(num_tokens: int, config: JukeboxPriorConfig, total_length: int) -> list[str]:
    """Sentences about lyrics that are too long for a song: more of them fall into a window than are read there.

    Args:
        num_tokens: of all lyrics.
        config: of the top level's prior.
        total_length: samples in the whole song.
    """
    read = config.nb_relevant_lyric_tokens
    if not read:
        return ["This model sings no lyrics; they are not used."] if num_tokens else []
    context, rate = config.n_ctx * config.hop_length, config.sampling_rate
    window = min(context, total_length)
    falling = round(num_tokens * window / total_length)
    if falling <= read:
        return []
    return [
        f"The lyrics are too long for the song: {falling:,} of their {num_tokens:,} characters belong to the "
        f"{window / rate:.1f} seconds that the model hears at once, and it reads {read:,} there. They need a song of "
        f"{math.ceil(num_tokens * context / read / rate):,} seconds; this one has {total_length / rate:,.0f}."
    ]


def _windows(labels, config, start, total_length, offset, single_precision) -> tuple[Tensor, Tensor]:
    rows = _rows(labels)
    device = rows[0].device
    totals, offsets = (_of_each(times, len(rows)) for times in (total_length, offset))
    duration = config.n_ctx * config.hop_length
    num_read = config.nb_relevant_lyric_tokens
    metadata, indices = [], []
    for row, total, begin in zip(rows, totals, offsets, strict=True):
        values = row.tolist()
        artist, genres, lyrics = _parts(values, config)
        begin += start * config.hop_length
        window = lyric_window(len(lyrics), num_read, total, begin, duration, single_precision)
        read = [lyrics[index] if index >= 0 else 0 for index in window.tolist()]
        metadata.append([total, begin, duration, artist, *genres, *read])
        indices.append(window)
    return (
        torch.tensor(metadata, dtype=torch.long, device=device),
        torch.from_numpy(np.stack(indices)).to(torch.long).to(device),
    )


def _rows(labels: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Each song's row (W,)."""
    parts = [torch.as_tensor(part) for part in ([labels] if isinstance(labels, Tensor) else labels)]
    if not parts or any(part.ndim not in (1, 2) or part.is_floating_point() for part in parts):
        shapes = ", ".join(f"{tuple(part.shape)} {part.dtype}" for part in parts) or "none"
        raise LabelError(f"Labels are whole numbers of shape (songs, 4 + genres + lyric tokens), got {shapes}.")
    return [row for part in parts for row in torch.atleast_2d(part)]


def _parts(row: list[int], config: JukeboxPriorConfig) -> tuple[int, list[int], list[int]]:
    """Artist, genres and all lyric tokens of a row."""
    first, places = NUM_TIMES + 1, config.max_nb_genres
    if len(row) < first:
        raise LabelError(f"Labels have {NUM_TIMES} times and an artist before the genres, got {row}.")
    if config.is_upsampler:  # has labels without lyrics
        genres, lyrics = [genre for genre in row[first:] if genre != NO_GENRE], []
        if len(genres) > places:
            raise LabelError(f"This prior hears at most {places} genres (max_nb_genres), got {len(genres)}.")
        genres += [NO_GENRE] * (places - len(genres))
    else:
        genres, lyrics = row[first : first + places], row[first + places :]
        if len(genres) < places or any(token < 0 for token in lyrics):
            raise LabelError(
                f"Labels of this prior have {places} places for genres (max_nb_genres) before the lyrics; these have "
                "another number. The tokenizer's n_genres must be the same."
            )
    return row[NUM_TIMES], genres, lyrics


def _of_each(times: Times, count: int) -> list[int]:
    """One number for each of `count` songs."""
    values = torch.as_tensor(times).flatten().tolist()
    values = values * count if len(values) == 1 else values
    if len(values) != count or any(value != int(value) for value in values):
        raise LabelError(f"Times are a whole number of samples, or one for each of {count} songs, got {times}.")
    return [int(value) for value in values]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise LabelError(f"{path} is not text in UTF-8.") from None

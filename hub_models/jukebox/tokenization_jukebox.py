# Copyright 2026 The Encore Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""The tokenizer of Jukebox: artist, genres and lyrics to the labels of each prior, and back."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import BatchEncoding, PreTrainedTokenizer
from transformers.utils import logging

from .labels import (
    LABEL_VERSIONS,
    MAX_GENRE_WORDS,
    MAX_ID_FILE_BYTES,
    NO_GENRE,
    NUM_TIMES,
    UNKNOWN_NAME,
    LabelError,
    LabelNames,
    checked_name,
    checked_version,
)
from .lyrics import LYRIC_CHARACTERS, Lyrics, read_lyrics

logger = logging.get_logger(__name__)

VOCAB_FILES_NAMES = {"artists_file": "artists.json", "genres_file": "genres.json", "lyrics_file": "lyrics.json"}
# Files of transformers 4 hold the names of both versions; those of v2 end with this.
V2_SUFFIX = ".v2"
UNKNOWN_CHARACTER = "<unk>"

Ids = str | Path | Mapping[str, int]


class JukeboxLabels(BatchEncoding):
    """`input_ids`, a tensor (1, 4 + genres + lyric tokens) for each prior, the top level first, with `reports`: plain
    sentences about names that are unknown and characters that were dropped; and `lyrics`, whose words have places among the
    tokens."""

    reports: list[str]
    lyrics: Lyrics


class JukeboxTokenizer(PreTrainedTokenizer):
    r"""
    Artist, genres and lyrics as the labels of Jukebox's priors.

    Files, arguments and results are those of transformers 4: for each prior, from the top level down, a row of three zeros
    (times, which sampling fills in), the artist's id, the genres' ids and -1 where there are fewer than `n_genres`, and at
    the top level all lyric tokens. What transformers 4 did otherwise than the original is done as in the original here:

    - Lyrics are written in Latin letters as Unidecode 1.1.1 does it; transformers 4 only took accents away.
    - `+` is a character of version v2 and none of v3; transformers 4 dropped it in v2, and had token 0 for it in v3.
    - A v2 genre is normalised before it is split into words; transformers 4 took `"hip hop"` for one word.
    - A v2 genre of more words than there are places for is an error.

    ```python
    >>> tokenizer = JukeboxTokenizer.from_pretrained("openai/jukebox-1b-lyrics")
    >>> labels = tokenizer("Céline Dion", "pop", "Don't stop")
    >>> labels["input_ids"][0]
    tensor([[   0,    0,    0, 5220,  497,    4,   41,   40,   70,   46,   76,   45,   46,   41,   42]])
    >>> labels.reports
    []
    ```

    Args:
        artists_file, genres_file (`str` or `dict`): JSON files, or what is in them: names and their ids, those of version v2
            with `.v2` behind the name. Several names may have the same id.
        lyrics_file (`str` or `dict`, *optional*): characters and their ids, from 1 on. The characters of v2 are fixed, and
            used whatever the file says where the top level's labels are of that version, as in transformers 4.
        version (`list[str]`, defaults to `["v3", "v2", "v2"]`): of each prior's labels, the top level first.
        max_n_lyric_tokens (`int`, defaults to 512): lyric tokens that the top level's prior reads at once; for files of
            transformers 4.
        n_genres (`int`, defaults to 5): places for genres in a row; as many as the top level's prior has (`max_nb_genres`).
            Rows of the lower levels of version v2 are longer where a genre has more words, up to 5.
    """

    vocab_files_names = VOCAB_FILES_NAMES
    model_input_names = ["input_ids"]

    def __init__(
        self,
        artists_file: Ids,
        genres_file: Ids,
        lyrics_file: Ids | None = None,
        version: Sequence[str] = ("v3", "v2", "v2"),
        max_n_lyric_tokens: int = 512,
        n_genres: int = 5,
        unk_token: str = "<|endoftext|>",
        **kwargs,
    ):
        version = [checked_version(each) for each in ([version] if isinstance(version, str) else version)]
        if not version:
            raise LabelError("version must have one version for each prior, got none.")
        if type(n_genres) is not int or not 1 <= n_genres <= 1024:
            raise LabelError(f"n_genres must be from 1 to 1024, got {n_genres!r}.")
        self.version, self.max_n_lyric_tokens, self.n_genres = version, max_n_lyric_tokens, n_genres
        self.artists_encoder = _read_ids(artists_file, "artists_file")
        self.genres_encoder = _read_ids(genres_file, "genres_file")
        self.artists = {each: LabelNames(_of_version(self.artists_encoder, each), each) for each in LABEL_VERSIONS}
        self.genres = {each: LabelNames(_of_version(self.genres_encoder, each), each) for each in LABEL_VERSIONS}
        if version[0] == "v2" or lyrics_file is None:
            self.lyrics_encoder = _character_ids(LYRIC_CHARACTERS[version[0]])
        else:
            self.lyrics_encoder = _checked_characters(_read_ids(lyrics_file, "lyrics_file"))
        self.lyrics_decoder = {number: character for character, number in self.lyrics_encoder.items()}
        kwargs.pop("added_tokens_decoder", None)  # in files of transformers 4, where it means nothing
        super().__init__(
            version=version, max_n_lyric_tokens=max_n_lyric_tokens, n_genres=n_genres, unk_token=unk_token, **kwargs
        )

    @classmethod
    def from_id_files(
        cls,
        directory: str | Path,
        version: Sequence[str] = ("v3", "v2", "v2"),
        n_genres: int | None = None,
        max_n_lyric_tokens: int | None = None,
    ) -> "JukeboxTokenizer":
        """A tokenizer with the original's lists of names.

        Args:
            directory: folder of `v2_artist_ids.txt`, `v2_genre_ids.txt`, `v3_artist_ids.txt` and `v3_genre_ids.txt`. Those
                of a version that no prior has may be missing.
            version: of each prior's labels, the top level first: v2 everywhere for the 5b models.
            n_genres: by default as the original has it for the top level's version: 5 of v2, 1 of v3.
            max_n_lyric_tokens: by default as in the released models: 512 of v2, 384 of v3.

        Raises:
            LabelError: for files that are missing or broken.
        """
        directory = Path(directory)
        artists, genres = {}, {}
        for each in LABEL_VERSIONS:
            for kind, ids in (("artist", artists), ("genre", genres)):
                path = directory / f"{each}_{kind}_ids.txt"
                if each in version or path.is_file():
                    suffix = V2_SUFFIX if each == "v2" else ""
                    ids |= {name + suffix: number for name, number in LabelNames.from_file(path, each).ids.items()}
        is_bag = version[0] == "v2"
        return cls(
            artists,
            genres,
            None,
            version=version,
            n_genres=n_genres or (MAX_GENRE_WORDS if is_bag else 1),
            max_n_lyric_tokens=max_n_lyric_tokens or (512 if is_bag else 384),
        )

    @classmethod
    def from_names(
        cls,
        artists: Sequence[str],
        genres: Sequence[str],
        version: str = "v3",
        n_levels: int = 3,
        n_genres: int | None = None,
        max_n_lyric_tokens: int = 512,
    ) -> "JukeboxTokenizer":
        """A tokenizer with one's own names: their ids are 1, 2, ... in the order given, 0 is unknown.

        Args:
            artists, genres: names; genres of version v2 are single words.
            version: `"v3"`: a song has one genre; `"v2"`: it has a bag of words. Lyrics have the characters of it.
            n_levels: priors.
            n_genres: by default 1 of v3 and 5 of v2.
            max_n_lyric_tokens: lyric tokens that the top level's prior reads at once.

        Raises:
            LabelError: for names that are empty, come twice, or cannot be told from others.
        """
        checked_version(version)
        return cls(
            _numbered(artists, version, "artist"),
            _numbered(genres, version, "genre"),
            None,
            version=[version] * n_levels,
            n_genres=n_genres or (MAX_GENRE_WORDS if version == "v2" else 1),
            max_n_lyric_tokens=max_n_lyric_tokens,
        )

    def __call__(self, artist: str, genres: str, lyrics: str = "", return_tensors: str | None = "pt") -> JukeboxLabels:
        """The labels of a song.

        Names that are unknown get id 0, characters that are unknown are dropped; the result's `reports`, and warnings, say
        so, and which names look most like the unknown ones.

        Args:
            artist: a name; `""` for nobody in particular.
            genres: a name, of version v2 one or several words; `""` for none in particular.
            lyrics: all lyrics of the song, at most 100,000 characters.
            return_tensors: `"pt"`, `"np"`, or `None` for lists.

        Raises:
            TypeError: for what is no text.
            LabelError: for names that are too long, and v2 genres of more words than there are places for.
            LyricsError: for lyrics that are too long.
            TransliterationError: for lyrics in another script than Latin where Unidecode is not installed.
        """
        as_tensor = {"pt": torch.tensor, "np": np.array, None: list}.get(return_tensors)
        if as_tensor is None:
            raise ValueError(f"return_tensors must be 'pt', 'np' or None, got {return_tensors!r}.")
        checked_name(artist, "artist")
        checked_name(genres, "genre")
        read = read_lyrics(lyrics, self.lyrics_encoder)
        reports = [*self._unknown_names("Artist", artist, self.artists), *self._unknown_names("Genre", genres, self.genres)]
        rows = [
            [0] * NUM_TIMES + [self.artists[version].artist_id(artist)] + self._genre_ids(genres, level)
            for level, version in enumerate(self.version)
        ]
        rows[0] += map(self.lyrics_encoder.__getitem__, read.clean)
        reports += read.reports
        for report in reports:
            logger.warning(report)
        labels = JukeboxLabels({"input_ids": [as_tensor([row]) for row in rows]})
        labels.reports, labels.lyrics = reports, read
        return labels

    def describe(self, label: torch.Tensor | Sequence[int], level: int = 0) -> dict[str, str]:
        """What a row says: `artist`, `genre` and `lyrics`, as the lists have them.

        Args:
            label: a row (W,) or (1, W) of a level's labels, or of the metadata of a window.
            level: of the prior, from the top.
        """
        row = [int(number) for number in torch.as_tensor(label).flatten()]
        if len(row) <= NUM_TIMES or not 0 <= level < len(self.version):
            raise LabelError(f"A row of level 0 to {len(self.version) - 1} is expected, got {row[:8]} of level {level}.")
        first = NUM_TIMES + 1
        last = first + self.n_genres if level == 0 else len(row)
        version = self.version[level]
        return {
            "artist": self.artists[version].name_of(row[NUM_TIMES]),
            "genre": self.genres[version].genre_of(row[first:last]),
            "lyrics": self._decode(row[last:]),
        }

    def metadata_dims(self, level: int = 0) -> list[int]:
        """The numbers of genres and of artists, with the unknown ones, as in a prior's configuration."""
        version = self.version[level]
        return [self.genres[version].num_ids, self.artists[version].num_ids]

    def _genre_ids(self, genres: str, level: int) -> list[int]:
        names = self.genres[self.version[level]]
        ids = names.genre_ids(genres)
        # Below the top there are no lyrics behind the genres, so that a row may be longer there.
        places = self.n_genres if level == 0 or names.version == "v3" else max(self.n_genres, MAX_GENRE_WORDS)
        if len(ids) > places:
            raise LabelError(f"A genre has at most {places} words here; {genres[:80]!r} has {len(ids)}.")
        return ids + [NO_GENRE] * (self.n_genres - len(ids))

    def _unknown_names(self, what: str, name: str, names: Mapping[str, LabelNames]) -> list[str]:
        """A sentence for each version of which no name is known."""
        reports = []
        for version in dict.fromkeys(self.version):
            known = names[version]
            keys = [known.key(name)] if what == "Artist" else known.genre_words(name)
            levels = [str(level) for level, other in enumerate(self.version) if other == version]
            where = f" at level{'s'[: len(levels) - 1]} {' and '.join(levels)}" if len(levels) < len(self.version) else ""
            for key in dict.fromkeys(keys):
                if known.knows(key):
                    continue
                kind, shown = (what, name) if len(keys) == 1 else (f"{what} word", key)
                shown = shown if len(shown) <= 80 else shown[:80] + " ..."
                report = f"{kind} {shown!r} is unknown{where}; id 0 stands for it."
                if nearest := known.nearest(key):
                    report += f" Known names like it: {', '.join(nearest)}."
                reports.append(report)
        return reports

    # Lyrics as text of transformers' tokenizers

    @property
    def vocab_size(self) -> int:
        """Ids of lyric tokens, with 0 (`lyric_vocab_size` of a prior)."""
        return 1 + max(self.lyrics_decoder)

    def get_vocab(self) -> dict[str, int]:
        """Character -> id of lyric tokens, with the token that stands for id 0."""
        return {str(self.unk_token): 0, **self.lyrics_encoder}

    def tokenize(self, text: str, **kwargs) -> list[str]:
        """The characters of lyrics that are read."""
        return list(read_lyrics(text, self.lyrics_encoder).clean)

    def _convert_token_to_id(self, token: str) -> int:
        return self.lyrics_encoder.get(token, 0)

    def _convert_id_to_token(self, index: int) -> str:
        if index != 0 and index not in self.lyrics_decoder:
            raise LabelError(f"Ids of lyric tokens are from 0 to {self.vocab_size - 1}, got {index}.")
        return self.lyrics_decoder.get(index, str(self.unk_token))

    def _decode(self, token_ids: int | Sequence[int], **kwargs) -> str:
        """The text of lyric tokens (T,); nothing for id 0."""
        ids = torch.as_tensor(token_ids).flatten().tolist()
        return "".join(self._convert_id_to_token(index) for index in ids if index != 0)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes the three files; transformers 4 reads them, too."""
        contents = {
            "artists_file": self.artists_encoder,
            "genres_file": self.genres_encoder,
            "lyrics_file": {**self.lyrics_encoder, UNKNOWN_CHARACTER: 0},
        }
        paths = []
        for kind, content in contents.items():
            path = Path(save_directory) / f"{filename_prefix + '-' if filename_prefix else ''}{VOCAB_FILES_NAMES[kind]}"
            path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
            paths.append(str(path))
        return tuple(paths)


def _read_ids(source: Ids | None, name: str) -> dict[str, int]:
    """Names and ids of a JSON file, or as given."""
    if source is None:
        raise LabelError(f"{name} is missing: a JSON file of names and ids, {VOCAB_FILES_NAMES[name]} in a model's folder.")
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(source)
    if path.stat().st_size > MAX_ID_FILE_BYTES:
        raise LabelError(f"{path} has {path.stat().st_size:,} bytes; {name} may have {MAX_ID_FILE_BYTES:,}.")
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LabelError(f"{path} is not JSON: {error}.") from None
    if not isinstance(ids, dict):
        raise LabelError(f"{path} must hold names and ids, got a {type(ids).__name__}.")
    return ids


def _of_version(ids: Mapping[str, int], version: str) -> dict[str, int]:
    """The names of one version, without what marks them as such."""
    if version == "v2":
        return {name.removesuffix(V2_SUFFIX): number for name, number in ids.items() if name.endswith(V2_SUFFIX)}
    return {name: number for name, number in ids.items() if not name.endswith(V2_SUFFIX)}


def _character_ids(characters: str) -> dict[str, int]:
    return {character: number for number, character in enumerate(characters, start=1)}


def _checked_characters(ids: dict[str, int]) -> dict[str, int]:
    """Characters and ids of a file, without what stands for id 0 in it."""
    ids = {character: number for character, number in ids.items() if number != 0}
    if not ids or any(len(character) != 1 for character in ids) or sorted(ids.values()) != list(range(1, len(ids) + 1)):
        raise LabelError("lyrics_file must have single characters with ids 1, 2, 3, ..., each once.")
    return ids


def _numbered(names: Sequence[str], version: str, what: str) -> dict[str, int]:
    """Names with ids from 1 on, as in a file; `unknown` is 0."""
    probe = LabelNames({}, version)
    suffix = V2_SUFFIX if version == "v2" else ""
    ids = {UNKNOWN_NAME + suffix: 0}
    for number, name in enumerate(names, start=1):
        key = probe.key(checked_name(name, what))
        if not key or key + suffix in ids:
            raise LabelError(f"The {what} {name!r} cannot be told from {'an earlier one' if key else 'an empty name'}.")
        if what == "genre" and len(probe.genre_words(name)) > 1:
            raise LabelError(f"Genres of version v2 are single words, got {name!r}; a song's genre may have several.")
        if version == "v3" and key.endswith(V2_SUFFIX):
            raise LabelError(f"The {what} {name!r} must not end with {V2_SUFFIX}, which marks names of version v2 in files.")
        ids[key + suffix] = number
    return ids

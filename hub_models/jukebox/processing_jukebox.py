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
"""What Jukebox reads: artists, genres and lyrics as labels, and sound as the VQ-VAE hears it."""

from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin

from .configuration_jukebox import JukeboxConfig
from .feature_extraction_jukebox import JukeboxFeatureExtractor
from .lyrics import Lyrics
from .tokenization_jukebox import JukeboxLabels, JukeboxTokenizer

Text = str | Sequence[str]
Sound = np.ndarray | Tensor | Sequence[Any]


class JukeboxFeatures(BatchFeature):
    """Model inputs with `reports`, plain sentences about names that are unknown, characters that were dropped and what
    happened to the sound; and `lyrics`, one for each song, whose words have places among the lyric tokens."""

    reports: list[str]
    lyrics: list[Lyrics]


class JukeboxProcessor(ProcessorMixin):
    r"""
    Makes the inputs of [`JukeboxModel`] of artists, genres, lyrics and sound.

    ```python
    >>> features = processor(artist="low voice", genre="nursery", lyrics="twinkle twinkle little star")
    >>> codes = model.ancestral_sample(features["labels"], sample_length=10 * 22_050)

    >>> features = processor(artist="piano", genre="folk", audio=beginning, sampling_rate=44_100)
    >>> codes = model.primed_sample(features["raw_audio"], features["labels"], sample_length=10 * 22_050)
    ```

    Args:
        feature_extractor ([`JukeboxFeatureExtractor`]): of sound.
        tokenizer ([`JukeboxTokenizer`]): of artists, genres and lyrics.
    """

    def __init__(self, feature_extractor: JukeboxFeatureExtractor, tokenizer: JukeboxTokenizer, **kwargs):
        super().__init__(feature_extractor, tokenizer, **kwargs)

    @classmethod
    def for_model(cls, config: JukeboxConfig, tokenizer: JukeboxTokenizer) -> "JukeboxProcessor":
        """That of a model.

        Args:
            config ([`JukeboxConfig`]): of the model.
            tokenizer ([`JukeboxTokenizer`]): with its names.
        """
        return cls(JukeboxFeatureExtractor.from_config(config), tokenizer)

    @property
    def model_input_names(self) -> list[str]:
        """Names of what can come from here."""
        return ["labels", "raw_audio"]

    @property
    def sampling_rate(self) -> int:
        """Of the sound that the model hears, in Hz."""
        return self.feature_extractor.sampling_rate

    def __call__(
        self,
        artist: Text | None = None,
        genre: Text | None = None,
        lyrics: Text | None = None,
        audio: Sound | None = None,
        sampling_rate: int | None = None,
        return_tensors: str | None = "pt",
    ) -> JukeboxFeatures:
        """Labels of songs, and sound that they begin with. Lists make a batch; what is no list goes with every song.

        Args:
            artist, genre, lyrics: texts, or lists of them; `""` for none in particular. Without all three there are no
                labels.
            audio: samples (T,) or (channels, T) as floats in -1..1, or a list of such arrays.
            sampling_rate: of the sound, in Hz.
            return_tensors: `"pt"`, `"np"`, or `None` for lists.

        Returns:
            [`JukeboxFeatures`] with what was asked for: `labels`, a list with, for each prior from the top level down, rows
            (songs, 4 + genres + lyric tokens), or a list of rows (1, ...) where songs have lyrics of different lengths; all
            methods of [`JukeboxModel`] read both. `raw_audio` (songs, T, channels).

        Raises:
            ValueError: nothing was given, lists have different lengths, or the sound cannot be used.
            LabelError, LyricsError, TypeError: as of [`JukeboxTokenizer`].
        """
        if return_tensors not in ("pt", "np", None):
            raise ValueError(f"return_tensors must be 'pt', 'np' or None, got {return_tensors!r}.")
        given = {"artist": artist, "genre": genre, "lyrics": lyrics, "audio": audio}
        given = {name: value for name, value in given.items() if value is not None}
        count = _number_of_songs(given)
        features = JukeboxFeatures()
        features.reports, features.lyrics = [], []
        if given.keys() - {"audio"}:
            texts = [_of_each(given.get(name, ""), count) for name in ("artist", "genre", "lyrics")]
            songs = [self.tokenizer(*text, return_tensors=return_tensors) for text in zip(*texts, strict=True)]
            features["labels"] = _labels(songs, return_tensors)
            features.lyrics = [song.lyrics for song in songs]
            features.reports = _reports(songs)
        if audio is not None:
            sounds = list(audio) if _is_list(audio) else [audio]
            heard = self.feature_extractor(sounds, sampling_rate=sampling_rate, return_tensors="pt")
            features["raw_audio"] = _as_type(heard["raw_audio"].expand(count, -1, -1), return_tensors)
            features.reports += getattr(heard, "reports", [])
        return features


def _is_list(value: Any) -> bool:
    """Whether a value is a list of values, one for each song."""
    return isinstance(value, (list, tuple)) and not (value and isinstance(value[0], Number))


def _number_of_songs(given: dict[str, Any]) -> int:
    if not given:
        raise ValueError("Give an artist, a genre, lyrics or audio.")
    lengths = {name: len(value) for name, value in given.items() if _is_list(value)}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(f"Lists must have one length, got {', '.join(f'{name} {n}' for name, n in lengths.items())}.")
    return next(iter(lengths.values()), 1)


def _of_each(value: Text, count: int) -> list[str]:
    return list(value) if _is_list(value) else [value] * count


def _labels(songs: list[JukeboxLabels], return_tensors: str | None) -> list[Any]:
    """For each level the rows of all songs: one below the other, or in a list where they have different lengths."""
    levels = []
    for rows in zip(*(song["input_ids"] for song in songs), strict=True):
        if return_tensors is None:
            levels.append([row[0] for row in rows])
        elif len({row.shape[1] for row in rows}) == 1:
            levels.append(torch.cat(rows) if return_tensors == "pt" else np.concatenate(rows))
        else:
            levels.append(list(rows))
    return levels


def _reports(songs: list[JukeboxLabels]) -> list[str]:
    """What was said of the songs; of several, which one it is about, unless it is the same of all."""
    if len(songs) == 1 or all(song.reports == songs[0].reports for song in songs):
        return list(songs[0].reports)
    return [f"Song {number}: {report}" for number, song in enumerate(songs, start=1) for report in song.reports]


def _as_type(sound: Tensor, return_tensors: str | None) -> Tensor | np.ndarray | list:
    if return_tensors == "pt":
        return sound
    return sound.numpy() if return_tensors == "np" else sound.tolist()

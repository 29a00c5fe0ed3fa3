"""Windows of codes as training data of a prior, with the labels that belong to each.

windows = WindowDataset(songs, labels, config)      # songs: codes.py; labels: prior_labels.py
batch = collate_windows([windows[ExampleKey(0, 0)], ...])
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hub_models.training.data_order import ExampleKey

from .codes import CodedSong
from .configuration_jukebox import JukeboxPriorConfig
from .data import Chunks
from .labels import window_metadata
from .prior_labels import SongLabels


@dataclass(frozen=True)
class LabelDropout:
    """Shares of training windows without labels, so that one prior can do with and without.

    Attributes:
        all: artist, genre and lyrics are unknown.
        lyrics: of the others, lyrics are.
    """

    all: float = 0.0
    lyrics: float = 0.0

    def __post_init__(self) -> None:
        for name in ("all", "lyrics"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"The share without {name} labels is {getattr(self, name)}; it must lie between 0 and 1.")


class WindowDataset:
    """Windows of a prior's context length: codes, those of the level above, and metadata; a pure function of the key.

    Windows begin as the original's chunks do, see [`Chunks`]; an upsampler's with a code of the level above. Labels are as
    the original makes them for training.

    Args:
        songs: those shorter than a window are left out, see `num_too_short`, and those whose length the prior's timing does
            not reach, see `num_out_of_range`.
        labels: of each song.
        config: of the prior.
        dropout: shares without labels.
        augment: whether windows move and labels drop out; for validation neither.
        seed: decides both.
        max_windows: at most so many, spread evenly over all.
    """

    def __init__(
        self,
        songs: Sequence[CodedSong],
        labels: Sequence[SongLabels],
        config: JukeboxPriorConfig,
        dropout: LabelDropout = LabelDropout(),
        augment: bool = True,
        seed: int = 0,
        max_windows: int | None = None,
    ):
        self.config = config
        self.dropout = dropout
        self.step = config.conditioning_factor if config.is_upsampler else 1
        level, hop = config.vqvae_level, config.hop_length
        long_enough = [len(song.codes[level]) >= config.n_ctx for song in songs]
        within = [_is_within(song.total_length, song.offset + len(song.codes[level]) * hop, config) for song in songs]
        usable = [number for number in range(len(songs)) if long_enough[number] and within[number]]
        self.num_too_short = long_enough.count(False)
        self.num_out_of_range = len(songs) - len(usable) - self.num_too_short
        self.songs = [songs[number] for number in usable]
        self.labels = [labels[number] for number in usable]
        lengths = [len(song.codes[level]) // self.step for song in self.songs]
        self.windows = Chunks(lengths, config.n_ctx // self.step, augment, seed, max_windows)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: ExampleKey) -> dict[str, Tensor]:
        """`music_tokens` (n_ctx,), of an upsampler `music_tokens_conds` (n_ctx / factor,), `metadata` (W,) and `song`,
        the number of the song, all int64. For validation also `metadata_without_labels` and, where the prior reads lyrics,
        `metadata_without_lyrics`."""
        number, start = self.windows[key]
        labels = self.labels[number]
        row = labels.row
        if self.windows.augment:
            random = np.random.default_rng([self.windows.seed, key.epoch, key.index, 1])
            row = labels.unknown if random.random() < self.dropout.all else row
            row = labels.without_lyrics if row is labels.row and random.random() < self.dropout.lyrics else row
        example = self.codes(number, start)
        example["metadata"] = self.metadata(number, start, row)
        if not self.windows.augment:
            example["metadata_without_labels"] = self.metadata(number, start, labels.unknown)
            if self.config.nb_relevant_lyric_tokens:
                example["metadata_without_lyrics"] = self.metadata(number, start, labels.without_lyrics)
        example["song"] = torch.tensor(number)
        return example

    def fingerprint(self) -> str:
        """A name for the labels of all songs."""
        digest = hashlib.sha256()
        for song, labels in zip(self.songs, self.labels, strict=True):
            digest.update(repr((song.total_length, song.offset, labels.row.tolist())).encode())
        return digest.hexdigest()[:20]

    def codes(self, number: int, start: int) -> dict[str, Tensor]:
        """Codes of a song's window that begins at `start`, in steps of `step` codes."""
        config, level = self.config, self.config.vqvae_level
        first = start * self.step
        found = {"music_tokens": _as_tensor(self.songs[number].codes[level][first : first + config.n_ctx])}
        if config.is_upsampler:
            above = self.songs[number].codes[level + 1]
            found["music_tokens_conds"] = _as_tensor(above[start : start + config.n_ctx // self.step])
        return found

    def metadata(self, number: int, start: int, row: Tensor) -> Tensor:
        """(4 + genres + lyric tokens,): what the prior is told of that window, with the labels of `row`."""
        song = self.songs[number]
        return window_metadata(
            row, self.config, start * self.step, song.total_length, song.offset, single_precision=False
        ).squeeze(0)


def _is_within(total_length: int, end: int, config: JukeboxPriorConfig) -> bool:
    """Whether a song's times are within the range of the timing signal, which only the top level hears."""
    if config.is_upsampler or not config.metadata_conditioning:
        return True
    shortest, longest = (seconds * config.sampling_rate for seconds in (config.min_duration, config.max_duration))
    return shortest <= total_length < longest and end <= longest


def _as_tensor(codes: np.ndarray) -> Tensor:
    return torch.from_numpy(codes.astype(np.int64))


def collate_windows(windows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A batch of windows: each of their tensors, one row per window."""
    return {name: torch.stack([window[name] for window in windows]) for name in windows[0]}

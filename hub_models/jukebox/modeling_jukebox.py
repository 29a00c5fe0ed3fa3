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
"""Jukebox: a VQ-VAE and a prior for each of its levels, and the ways to sample them ("Jukebox: A Generative Model for
Music", Dhariwal et al., 2020, https://arxiv.org/abs/2005.00341).

Shape letters: N samples, T samples of audio, C channels.
"""

import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .alignment import check_alignment, lyric_alignment
from .configuration_jukebox import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from .modeling_jukebox_prior import JukeboxPrior, JukeboxPriorOutput
from .modeling_jukebox_vqvae import JukeboxVQVAE, JukeboxVQVAEOutput
from .sampling_windows import Choice, Generators, level_windows, sample_window
from .saved_levels import save_level
from .strict_loading import StrictPreTrainedModel

#: Temperature below the top level, in the original's scripts.
LOWER_TEMPERATURE = 0.99


class JukeboxModel(StrictPreTrainedModel):
    r"""
    Jukebox: audio to codes of several levels and back (`vqvae`), and priors that write codes given artist, genre, timing and
    lyrics (`priors[0]`, the top level) or the codes of the level above (`priors[1]`, ...).

    The methods below sample in memory, with names and arguments of transformers 4. [`JukeboxSampler`] does the same with
    progress, previews, stopping, runs on disk that can be resumed, and levels that are loaded one after another.

    Codes are lists of (N, length) tensors, *the top level first*, as results of transformers 4 are.

    Where transformers 4 was wrong this follows the original:

    - `primed_sample` gave the top level's prior the codes of the finest one, and the other way round.
    - `upsample` left out the finest level.
    - Upsamplers heard all codes of the level above, not those of their window.
    - `decode` took the top level's codes for the finest ones when it was given what the other methods return.
    - `offset` counted samples at no level; here it does, as its documentation said.
    - `sampling_temperature` was that of the top level and the one below it; here of the top level, and 0.99 below.
    - Alignments were weights of a projection; see [`JukeboxModel.align`].
    - `sample_tokens` gave levels that do not fit together; here it is the length of the top level.
    - Nothing is written to disk unless `save_results` says so.

    ```python
    >>> model = JukeboxModel.from_pretrained("jukebox-1b-lyrics").eval()
    >>> tokenizer = JukeboxTokenizer.from_pretrained("jukebox-1b-lyrics")
    >>> labels = tokenizer("Zac Brown Band", "Country", "Hey, are you awake?")["input_ids"]
    >>> generator = torch.Generator().manual_seed(0)
    >>> codes = model.ancestral_sample(labels, sample_length_in_seconds=24, generator=generator)
    >>> audio = model.decode(codes)  # (1, 1058304, 1)
    ```

    Args:
        config ([`JukeboxConfig`]): of all parts.
    """

    config: JukeboxConfig
    config_class = JukeboxConfig
    base_model_prefix = "jukebox"
    main_input_name = "labels"
    _no_split_modules = ["JukeboxBlock"]
    _keys_to_ignore_on_save = JukeboxVQVAE._keys_to_ignore_on_save
    _keys_to_ignore_on_load_missing = JukeboxVQVAE._keys_to_ignore_on_load_missing

    def __init__(self, config: JukeboxConfig):
        super().__init__(config)
        self.vqvae = JukeboxVQVAE(config.vqvae_config)
        self.priors = nn.ModuleList(JukeboxPrior(prior) for prior in config.prior_configs)
        self.post_init()

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """Those of the priors."""
        return {
            f"priors.{level}.{name}": f"priors.{level}.{other}"
            for level, prior in enumerate(self.priors)
            for name, other in prior.get_expanded_tied_weights_keys().items()
        }

    def encode(
        self, input_audio: Tensor, start_level: int = 0, end_level: int | None = None, bs_chunks: int = 1
    ) -> list[Tensor]:
        """See [`JukeboxVQVAE.encode`]: codes of (N, T, C) audio, *the finest level first*, as in transformers 4."""
        return self.vqvae.encode(input_audio, start_level, end_level, bs_chunks)

    def decode(
        self, music_tokens: Sequence[Tensor], start_level: int = 0, end_level: int | None = None, bs_chunks: int = 1
    ) -> Tensor:
        """Audio (N, T, C) of codes.

        Args:
            music_tokens: the codes of the levels from `start_level` up, the finest first as [`JukeboxModel.encode`] gives
                them, or the top level first as the sampling methods do; a finer level has more codes. Only the finest are
                decoded.
            start_level, end_level: of the VQ-VAE, 0 the finest.
            bs_chunks: into so many parts N is cut to save memory.
        """
        finest = max(music_tokens, key=lambda codes: codes.shape[-1])
        return self.vqvae.decode([finest], start_level, end_level, bs_chunks)

    @torch.no_grad()
    def ancestral_sample(
        self, labels: Sequence[Tensor | Sequence[Tensor]], n_samples: int = 1, **sampling_kwargs: Any
    ) -> list[Tensor]:
        """New music.

        Args:
            labels: for each level, the top first: rows (N, W) of [`JukeboxTokenizer`], one row for all samples, or a list of
                rows of any lengths.
            n_samples: N.
            sampling_kwargs: see [`JukeboxModel._sample`].

        Returns:
            Codes (N, length) of each level, the top first.
        """
        return self._sample(self._no_codes(n_samples), labels, self._levels(), **sampling_kwargs)

    @torch.no_grad()
    def primed_sample(
        self, raw_audio: Tensor | Sequence[Tensor], labels: Sequence[Tensor | Sequence[Tensor]], **sampling_kwargs: Any
    ) -> list[Tensor]:
        """Music that goes on from audio, which is encoded at all levels.

        Args:
            raw_audio: (N, T, C), or N of (T, C); see [`JukeboxFeatureExtractor`]. Cut to whole codes of the top level.
            labels, sampling_kwargs: see [`JukeboxModel.ancestral_sample`].

        Raises:
            ValueError: the audio has another shape or type, is shorter than a code of the top level, or is not finite.
        """
        audio = raw_audio if isinstance(raw_audio, Tensor) else torch.stack([torch.as_tensor(each) for each in raw_audio])
        channels, hop = self.config.vqvae_config.conv_input_shape, self.config.vqvae_config.hop_lengths[-1]
        if audio.ndim != 3 or audio.shape[2] != channels or audio.shape[1] < hop or not audio.is_floating_point():
            raise ValueError(
                f"raw_audio must be floating point of shape (batch, at least {hop} samples, {channels}), got {audio.dtype} "
                f"of shape {tuple(audio.shape)}; JukeboxFeatureExtractor makes it of sound of any kind."
            )
        audio = audio[:, : audio.shape[1] // hop * hop].to(self.device, self.vqvae.dtype)
        levels = len(self.priors)
        codes = self.vqvae.encode(audio, self.config.vqvae_config.levels - levels, bs_chunks=len(audio))
        return self._sample(codes[::-1], labels, self._levels(), **sampling_kwargs)

    @torch.no_grad()
    def continue_sample(
        self, music_tokens: Sequence[Tensor], labels: Sequence[Tensor | Sequence[Tensor]], **sampling_kwargs: Any
    ) -> list[Tensor]:
        """Music that goes on from codes of all levels.

        Args:
            music_tokens: codes (N, length) of each level, the top first.
            labels, sampling_kwargs: see [`JukeboxModel.ancestral_sample`].
        """
        return self._sample(music_tokens, labels, self._levels(), **sampling_kwargs)

    @torch.no_grad()
    def upsample(
        self, music_tokens: Sequence[Tensor], labels: Sequence[Tensor | Sequence[Tensor]], **sampling_kwargs: Any
    ) -> list[Tensor]:
        """The lower levels of codes of the top level.

        Args:
            music_tokens: codes (N, length) of each level, the top first; those below may be empty, or the beginning.
            labels, sampling_kwargs: see [`JukeboxModel.ancestral_sample`].
        """
        return self._sample(music_tokens, labels, self._levels()[1:], **sampling_kwargs)

    @torch.no_grad()
    def _sample(
        self,
        music_tokens: Sequence[Tensor],
        labels: Sequence[Tensor | Sequence[Tensor]],
        sample_levels: Sequence[int],
        metas: Any = None,
        chunk_size: int | None = 32,
        sampling_temperature: float = 0.98,
        lower_batch_size: int = 16,
        max_batch_size: int = 16,
        sample_length_in_seconds: float = 24,
        compute_alignments: bool = False,
        sample_tokens: int | None = None,
        offset: int = 0,
        save_results: bool | str | PathLike = False,
        sample_length: int | None = None,
        total_length: int | None = None,
        top_k: int = 0,
        top_p: float = 0.0,
        generator: Generators = None,
    ) -> list[Tensor]:
        """Samples levels one after another.

        Args:
            music_tokens: what there is of each level, (N, length), the top first.
            labels: see [`JukeboxModel.ancestral_sample`].
            sample_levels: from the top, 0.
            metas: stored with the results, if these are.
            chunk_size: codes of a window's beginning that are read at a time; changes no result.
            sampling_temperature: of the top level; 0.99 below it.
            lower_batch_size, max_batch_size: samples that are computed at the same time, below the top and at the top.
            sample_length_in_seconds: of the result, cut to whole codes of the top level.
            compute_alignments: store the lyrics' alignment with the results, too; see [`JukeboxModel.align`].
            sample_tokens: the length in codes of the top level, in place of seconds.
            offset: samples of the song before what is sampled begins.
            save_results: a folder for audio and codes of each level; true: one that is named after the time.
            sample_length: in audio samples, in place of seconds.
            total_length: audio samples of the whole song that this is a part of; by default what is sampled is all.
            top_k, top_p: draw of the likeliest codes only, see [`JukeboxPrior.sample`].
            generator: of the draws; torch's global one by default.

        Returns:
            Codes (N, length) of each level, the top first.

        Raises:
            ValueError: lengths, levels, labels or codes that do not fit the model or each other.
        """
        vqvae = self.config.vqvae_config
        hops = vqvae.hop_lengths[::-1]
        codes = [self._checked(level, tokens) for level, tokens in enumerate(music_tokens)]
        if len(codes) != len(self.priors) or len({len(tokens) for tokens in codes}) != 1:
            shapes = [tuple(tokens.shape) for tokens in codes]
            raise ValueError(f"music_tokens must be (samples, codes) for each of {len(self.priors)} levels, got {shapes}.")
        if sample_length is None:
            seconds = int(sample_length_in_seconds * vqvae.sampling_rate)
            sample_length = seconds if sample_tokens is None else sample_tokens * hops[0]
        sample_length = sample_length // hops[0] * hops[0]
        if sample_length < hops[0]:
            raise ValueError(f"The length must be at least {hops[0]} samples, a code of the top level.")
        total_length = sample_length if total_length is None else total_length
        if len(labels) < len(self.priors):
            raise ValueError(f"labels must have rows for each of {len(self.priors)} levels, got those of {len(labels)}.")
        rows = [_rows(labels[level], len(codes[0])) for level in range(len(self.priors))]
        if compute_alignments:
            check_alignment(self.config.prior_configs[0])
        for level in sample_levels:
            self._check_length(level, sample_length)
        folder = _results_folder(save_results)
        for level in sample_levels:
            config = self.config.prior_configs[level]
            total = sample_length // hops[level]
            choice = Choice(sampling_temperature if level == 0 else LOWER_TEMPERATURE, top_k, top_p, chunk_size)
            batch_size = lower_batch_size if level else max_batch_size
            for window in level_windows(total, config.n_ctx, self._hop(level), codes[level].shape[1]):
                parts = []
                for first in range(0, len(codes[level]), batch_size):
                    batch = slice(first, first + batch_size)
                    parts.append(
                        sample_window(
                            self.priors[level],
                            window,
                            codes[level][batch],
                            codes[level - 1][batch] if level else None,
                            rows[level][batch],
                            total_length,
                            offset,
                            choice,
                            generator[batch] if isinstance(generator, Sequence) else generator,
                        )
                    )
                codes[level] = torch.cat(parts)
            if folder is not None:
                audio = self.decode([codes[level]], vqvae.levels - 1 - level, bs_chunks=len(codes[level]))
                alignments = self.align(codes, labels, total_length, offset) if compute_alignments and level == 0 else None
                save_level(folder, level, codes[level], audio, vqvae.sampling_rate, alignments, metas)
        return codes

    @torch.no_grad()
    def align(
        self,
        music_tokens: Sequence[Tensor],
        labels: Sequence[Tensor | Sequence[Tensor]],
        total_length: int | None = None,
        offset: int = 0,
    ) -> list[Tensor]:
        """How much each code of the top level attends to each lyric token: for each sample (length, lyric tokens).

        [`alignment.timed_words`] tells from it when words are sung.

        Args:
            music_tokens, labels: codes and labels of each level, the top first.
            total_length, offset: see [`JukeboxModel._sample`].

        Raises:
            ValueError: the model hears no lyrics.
        """
        codes = self._checked(0, music_tokens[0])
        total_length = codes.shape[1] * self.config.prior_configs[0].hop_length if total_length is None else total_length
        return lyric_alignment(self.priors[0], codes, _rows(labels[0], len(codes)), total_length, offset, self._hop(0))

    def _levels(self) -> list[int]:
        return list(range(len(self.priors)))

    def _no_codes(self, count: int) -> list[Tensor]:
        return [torch.zeros(count, 0, dtype=torch.long, device=self.device) for _ in self.priors]

    def _hop(self, level: int) -> int:
        """Codes by which windows move."""
        return int(self.config.hop_fraction[level] * self.config.prior_configs[level].n_ctx)

    def _check_length(self, level: int, sample_length: int):
        config = self.config.prior_configs[level]
        total = sample_length // config.hop_length
        if config.is_upsampler and total < config.n_ctx:
            raise ValueError(
                f"Level {level} cannot be sampled: {total} codes are fewer than its window of {config.n_ctx}, which is "
                f"{config.n_ctx * config.hop_length / config.sampling_rate:.2f} seconds."
            )

    def _checked(self, level: int, codes: Tensor) -> Tensor:
        count = self.config.vqvae_config.nb_discrete_codes
        if codes.ndim != 2 or codes.is_floating_point() or (codes.numel() and not 0 <= codes.min() <= codes.max() < count):
            raise ValueError(
                f"Codes of level {level} must be whole numbers from 0 to {count - 1} of shape (samples, codes), got "
                f"{codes.dtype} of shape {tuple(codes.shape)}."
            )
        return codes.to(self.device, torch.long)


def _rows(labels: Tensor | Sequence[Tensor], count: int) -> list[Tensor]:
    """A row of labels for each sample."""
    rows = [row for part in ([labels] if isinstance(labels, Tensor) else labels) for row in torch.atleast_2d(part)]
    rows = rows * count if len(rows) == 1 else rows
    if len(rows) != count:
        raise ValueError(f"labels must have one row for each level, or one for each of {count} samples, got {len(rows)}.")
    return rows


def _results_folder(save_results: bool | str | PathLike) -> Path | None:
    if isinstance(save_results, bool):
        return Path(f"jukebox_{time.strftime('%Y-%m-%d_%H-%M-%S')}") if save_results else None
    return Path(save_results)


__all__ = [
    "JukeboxConfig",
    "JukeboxModel",
    "JukeboxPrior",
    "JukeboxPriorConfig",
    "JukeboxPriorOutput",
    "JukeboxVQVAE",
    "JukeboxVQVAEConfig",
    "JukeboxVQVAEOutput",
]

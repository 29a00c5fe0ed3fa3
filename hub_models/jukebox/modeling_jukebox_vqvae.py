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
"""Jukebox's VQ-VAE: audio to codes of several levels and back.

Shape letters: N batch, T samples, C channels of audio, D width of a code's vector.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from .audio_losses import Bandwidth, multispectral_loss, sample_losses, spectral_convergence, spectral_loss
from .codebooks import CODEBOOK_AVERAGES, Bottleneck, Draw, Draws, Quantised, initialize_codebook
from .configuration_jukebox import JukeboxVQVAEConfig
from .convolutions import Decoder, Encoder, initialize_convolutions
from .strict_loading import StrictPreTrainedModel

#: Samples that are encoded or decoded at a time, besides what they depend on. Some 400 bytes of memory for each.
WINDOW_SAMPLES = 1 << 20


@dataclass
class JukeboxVQVAEOutput(ModelOutput):
    """What [`JukeboxVQVAE.forward`] gives.

    Args:
        loss (`Tensor` of shape ()): what is trained.
        reconstruction (`Tensor` of shape (N, T, C)): from the finest level.
        metrics (`dict[str, Tensor]`): parts of the loss and, in training, how the codebooks fare; all of shape ().

            - `reconstruction_loss`, `spectral_loss`, `multispectral_loss`, `commitment_loss`: sums over levels of what the
              loss consists of, before its weights, and of each level under `..._level_0` (the finest), `..._level_1`, ...
            - `l1_loss`, `l2_loss`, `linf_loss`, `spectral_convergence`: of the finest level's reconstruction.
            - in training, means over levels and values of each: `codebook_entropy` (nats), `codebook_usage` (codes whose
              moving average is above the threshold), `codes_used` (in this batch), `codebook_change` and
              `latent_deviation` (root mean squares), `quantisation_error` (mean squared distance from the nearest code).
        codes (`list[Tensor]`): (N, T / hop) int64 of every level, the finest first.
    """

    loss: Tensor | None = None
    reconstruction: Tensor | None = None
    metrics: dict[str, Tensor] | None = None
    codes: list[Tensor] | None = None


class JukeboxVQVAE(StrictPreTrainedModel):
    r"""
    The VQ-VAE of "Jukebox: A Generative Model for Music" (Dhariwal et al., 2020, https://arxiv.org/abs/2005.00341,
    section 3): for every level an encoder, a codebook and a decoder of its own. Levels count from the finest, 0.

    Calling it computes the training loss; in training mode the codebooks learn on the way. Their moving averages are a part
    of `state_dict`, so that a training resumes exactly, and not of `save_pretrained`, as in published weights: a training
    that starts from these sets the averages anew, see [`Codebook`].

    Where transformers 4 differs from the original this follows the original: calling it gives the whole training loss, where
    transformers 4 had the commitment loss alone, with codebooks in the wrong order; decoders need not have their dilations
    reversed; new weights are initialised as there. `encode` and `decode` are the same.

    ```python
    >>> model = JukeboxVQVAE.from_pretrained("jukebox-vqvae").eval()
    >>> codes = model.encode(audio)  # (1, 1048576, 1) to (1, 131072), (1, 32768) and (1, 8192)
    >>> coarse = model.decode(codes[2:], start_level=2)  # (1, 1048576, 1)
    ```

    Args:
        config ([`JukeboxVQVAEConfig`]): sizes and losses.
    """

    config: JukeboxVQVAEConfig
    config_class = JukeboxVQVAEConfig
    base_model_prefix = "vqvae"
    main_input_name = "raw_audio"
    _keys_to_ignore_on_load_missing = [rf"bottleneck\.level_blocks\.\d+\.({'|'.join(CODEBOOK_AVERAGES)})$"]

    def __init__(self, config: JukeboxVQVAEConfig):
        super().__init__(config)
        self.encoders = nn.ModuleList(Encoder(config, level) for level in range(config.levels))
        self.decoders = nn.ModuleList(Decoder(config, level) for level in range(config.levels))
        self.bottleneck = Bottleneck(config)
        self._keys_to_ignore_on_save = {
            f"bottleneck.level_blocks.{level}.{name}" for level in range(config.levels) for name in CODEBOOK_AVERAGES
        }
        self.post_init()

    # The original's rules for every module; transformers' defaults would overwrite them.
    # trf-ignore: TRF018
    @torch.no_grad()
    def _init_weights(self, module):
        """The original's initialisation."""
        initialize_convolutions(module)
        initialize_codebook(module)

    @property
    def hop_lengths(self) -> list[int]:
        """Samples per code of each level, the finest first."""
        return self.config.hop_lengths

    @torch.no_grad()
    def encode(
        self, input_audio: Tensor, start_level: int = 0, end_level: int | None = None, bs_chunks: int = 1
    ) -> list[Tensor]:
        """Audio to codes. Long audio is encoded in windows, with the same result.

        Args:
            input_audio: (N, T, C) float in -1..1, at `config.sampling_rate`. T is a multiple of the hop length of the
                coarsest level that is encoded.
            start_level, end_level: the levels to encode, the first and the one behind the last; all by default.
            bs_chunks: into so many parts N is cut to save memory.

        Returns:
            Codes (N, T / hop) int64 of these levels, the finest first.

        Raises:
            ValueError: audio of another shape or length, or that is not finite; levels that there are not.
        """
        levels = self._levels(start_level, end_level)
        audio = self._checked_audio(input_audio, self.hop_lengths[levels[-1]])
        parts = [[self._encode(part, level) for level in levels] for part in self._parts(audio, bs_chunks)]
        return [torch.cat(codes) for codes in zip(*parts, strict=True)]

    def _encode(self, audio: Tensor, level: int) -> Tensor:
        hop, encoder, codebook = self.hop_lengths[level], self.encoders[level], self.bottleneck.level_blocks[level]
        codes = []
        for window, wanted in _windows(audio.shape[1] // hop, hop, encoder.reach):
            hidden_states = encoder(audio[:, window.start * hop : window.stop * hop].mT)
            codes.append(codebook.encode(hidden_states[:, :, wanted]))
        return torch.cat(codes, dim=1)

    @torch.no_grad()
    def decode(
        self, music_tokens: Sequence[Tensor], start_level: int = 0, end_level: int | None = None, bs_chunks: int = 1
    ) -> Tensor:
        """Codes to audio. Long audio is decoded in windows, with the same result.

        Args:
            music_tokens: codes (N, length) int64 of the levels from `start_level` on, as `encode` gives them. Only the first
                of them are decoded, those of `start_level`: every level has the whole sound.
            start_level: their level.
            end_level: has no influence; here because transformers 4 has it.
            bs_chunks: into so many parts N is cut to save memory.

        Returns:
            Audio (N, T, C), nearly all of it in -1..1.

        Raises:
            ValueError: codes that there are not, or of another shape; levels that there are not.
        """
        level = self._levels(start_level, end_level)[0]
        codes = self._checked_codes(music_tokens)
        return torch.cat([self._decode(part, level) for part in self._parts(codes, bs_chunks)])

    def _decode(self, codes: Tensor, level: int) -> Tensor:
        hop, decoder, codebook = self.hop_lengths[level], self.decoders[level], self.bottleneck.level_blocks[level]
        audio = []
        for window, wanted in _windows(codes.shape[1], hop, decoder.reach):
            samples = decoder(codebook.decode(codes[:, window]))
            audio.append(samples[:, :, wanted.start * hop : wanted.stop * hop].mT)
        return torch.cat(audio, dim=1)

    def forward(
        self, raw_audio: Tensor, generator: torch.Generator | None = None, draws: Iterable[Draw] | None = None
    ) -> JukeboxVQVAEOutput:
        r"""
        The training loss (section 3 of the paper): errors of samples, of spectrograms and of quantisation, over all levels.
        In training mode the codebooks learn from this batch, and from those of the other processes of
        `torch.distributed`; the result is that of the codebooks before.

        Args:
            raw_audio (`Tensor` of shape (N, T, C)): float in -1..1, at `config.sampling_rate`. T is a multiple of the top
                level's hop length.
            generator (`torch.Generator`, *optional*): for the rows of the batch that unused codes become.
            draws (`Iterable`, *optional*): permutations of rows and noise to use instead of drawing them, see [`Draws`].

        Raises:
            ValueError: audio of another shape or length, or that is not finite.
        """
        audio = self._checked_audio(raw_audio, self.hop_lengths[-1])
        draws = Draws(generator, draws)
        quantised = [
            codebook(encoder(audio.mT), draws)
            for encoder, codebook in zip(self.encoders, self.bottleneck.level_blocks, strict=True)
        ]
        reconstructions = [decoder(one.vectors).mT for decoder, one in zip(self.decoders, quantised, strict=True)]
        with torch.autocast(audio.device.type, enabled=False):
            loss, metrics = self._loss(audio.float(), [one.float() for one in reconstructions], quantised)
        return JukeboxVQVAEOutput(
            loss=loss, reconstruction=reconstructions[0], metrics=metrics, codes=[one.codes for one in quantised]
        )

    def _loss(
        self, audio: Tensor, reconstructions: list[Tensor], quantised: list[Quantised]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        bandwidth = Bandwidth(config.bandwidth_l1, config.bandwidth_l2, config.bandwidth_spec)
        errors = [sample_losses(audio, one, bandwidth, config.linf_k) for one in reconstructions]
        spectral = [self._spectral_loss(audio, one, bandwidth) for one in reconstructions]
        multispectral = [multispectral_loss(audio, one, config).mean() / bandwidth.spec for one in reconstructions]
        of_levels = {
            "reconstruction_loss": [self._reconstruction_loss(one) for one in errors],
            "spectral_loss": spectral,
            "multispectral_loss": multispectral,
            "commitment_loss": [one.commitment_loss for one in quantised],
        }
        totals = {name: torch.stack(values).sum() for name, values in of_levels.items()}
        loss = (
            totals["reconstruction_loss"]
            + config.spectral * totals["spectral_loss"]
            + config.multispectral * totals["multispectral_loss"]
            + config.commit * totals["commitment_loss"]
        )
        metrics = {name: value.detach() for name, value in totals.items()}
        metrics |= {f"{name}_loss": value.detach() for name, value in errors[0].items()}
        metrics["spectral_convergence"] = spectral_convergence(audio, reconstructions[0], config).mean().detach()
        of_codebooks = {name: [one.metrics[name] for one in quantised] for name in quantised[0].metrics}
        metrics |= {name: torch.stack(values).mean() for name, values in of_codebooks.items()}
        for name, values in (of_levels | of_codebooks).items():
            metrics |= {f"{name}_level_{level}": value.detach() for level, value in enumerate(values)}
        return loss, metrics

    def _reconstruction_loss(self, errors: dict[str, Tensor]) -> Tensor:
        config = self.config
        # CODEPATH: the release was trained with the mixture
        if config.loss_fn != "lmix":
            return errors[config.loss_fn]
        return config.lmix_l1 * errors["l1"] + config.lmix_l2 * errors["l2"] + config.lmix_linf * errors["linf"]

    def _spectral_loss(self, audio: Tensor, reconstruction: Tensor, bandwidth: Bandwidth) -> Tensor:
        # CODEPATH: the release was trained with it
        if self.config.use_nonrelative_specloss:
            return spectral_loss(audio, reconstruction, self.config).mean() / bandwidth.spec
        return spectral_convergence(audio, reconstruction, self.config).mean()

    def _levels(self, start_level: int, end_level: int | None) -> range:
        levels = self.config.levels
        end_level = levels if end_level is None else end_level
        if not 0 <= start_level < end_level <= levels:
            raise ValueError(
                f"start_level and end_level must be levels of the {levels} from 0, the first below the second, "
                f"got {start_level} and {end_level}."
            )
        return range(start_level, end_level)

    def _parts(self, batch: Tensor, bs_chunks: int) -> Sequence[Tensor]:
        if bs_chunks < 1:
            raise ValueError(f"bs_chunks must be at least 1, got {bs_chunks}.")
        return batch.chunk(bs_chunks)

    def _checked_audio(self, audio: Tensor, hop: int) -> Tensor:
        channels = self.config.conv_input_shape
        if audio.ndim != 3 or audio.shape[2] != channels or not audio.is_floating_point():
            raise ValueError(
                f"Audio must be float of shape (batch, samples, {channels}), got {audio.dtype} {tuple(audio.shape)}."
            )
        if 0 in audio.shape:
            raise ValueError(f"There is no audio in a tensor of shape {tuple(audio.shape)}.")
        if audio.shape[1] % hop:
            raise ValueError(
                f"Audio must be a multiple of {hop} samples long, which is a code of the coarsest level that is computed, "
                f"got {audio.shape[1]}: cut it, or add zeros."
            )
        if not bool(audio.isfinite().all()):
            raise ValueError("Audio must be finite, got NaN or infinite samples.")
        return audio.to(self.dtype)

    def _checked_codes(self, music_tokens: Sequence[Tensor]) -> Tensor:
        if len(music_tokens) == 0:
            raise ValueError("music_tokens must be a list with the codes of at least one level, got none.")
        codes, number = music_tokens[0], self.config.nb_discrete_codes
        if codes.ndim != 2 or codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise ValueError(f"Codes must be integers of shape (batch, length), got {codes.dtype} {tuple(codes.shape)}.")
        if codes.numel() == 0:
            raise ValueError(f"There are no codes in a tensor of shape {tuple(codes.shape)}.")
        lowest, highest = (int(value) for value in codes.aminmax())
        if lowest < 0 or highest >= number:
            raise ValueError(f"Codes must be from 0 to {number - 1}, got {lowest} to {highest}.")
        return codes.long()


def _windows(length: int, hop: int, reach: int) -> Iterator[tuple[slice, slice]]:
    """Cuts a sequence of codes into windows: of each, the codes to compute, and which of these are wanted.

    Args:
        length: codes.
        hop: samples per code.
        reach: codes before and behind a code that its result depends on.
    """
    size = max(WINDOW_SAMPLES // hop, 8 * reach)
    number = max(1, round(length / size))
    size = -(-length // number)
    for start in range(0, length, size):
        stop = min(start + size, length)
        first = max(0, start - reach)
        yield slice(first, min(length, stop + reach)), slice(start - first, stop - first)

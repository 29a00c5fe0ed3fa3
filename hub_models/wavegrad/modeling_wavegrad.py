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
"""WaveGrad: the network that estimates the noise in a waveform, given its mel spectrogram.

Shape letters: B batch, T samples, F frames (T = F * hop), M mel bands, C channels, L samples at a block's own rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import nn

DOWNSAMPLE_TYPES = ("nearest", "strided")


@dataclass
class WaveGradOutput(BaseOutput):
    """What `WaveGradModel` gives.

    Attributes:
        sample: (B, T) float, the estimated noise.
    """

    sample: torch.Tensor


class SinusoidalNoiseLevel(nn.Module):
    """Adds a sinusoidal encoding of the noise level to all samples of a feature map.

    The paper (section 3.3) multiplies the level by 5000 first; lmnt-com/wavegrad does not.
    """

    def __init__(self, channels: int, scale: float):
        super().__init__()
        self.channels = channels
        self.scale = scale

    def forward(self, noise_level: torch.Tensor) -> torch.Tensor:
        """(B,) levels in 0..1 to (B, C, 1)."""
        half = self.channels // 2
        # float32 also under autocast and in a half-precision model: neighbouring levels differ in their last digits.
        exponents = torch.arange(half, dtype=torch.float32, device=noise_level.device) / half
        angles = (noise_level.float() * self.scale)[:, None] * torch.exp(-math.log(1e4) * exponents)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :, None]


class FeatureWiseLinearModulation(nn.Module):
    """FiLM (figure 4 of the paper): from a feature map of the noisy waveform and the noise level to shift and scale."""

    def __init__(self, in_channels: int, out_channels: int, noise_level_scale: float, leaky_relu_slope: float):
        super().__init__()
        self.noise_level_encoding = SinusoidalNoiseLevel(in_channels, noise_level_scale)
        self.input_conv = nn.Conv1d(in_channels, in_channels, 3, padding=1)
        self.output_conv = nn.Conv1d(in_channels, 2 * out_channels, 3, padding=1)
        self.leaky_relu_slope = leaky_relu_slope

    def forward(self, hidden_states: torch.Tensor, noise_level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, C, L) and (B,) to shift and scale, each (B, out, L)."""
        hidden_states = F.leaky_relu(self.input_conv(hidden_states), self.leaky_relu_slope)
        hidden_states = hidden_states + self.noise_level_encoding(noise_level).to(hidden_states.dtype)
        shift, scale = self.output_conv(hidden_states).chunk(2, dim=1)
        return shift, scale


class DownBlock(nn.Module):
    """DBlock (figure 3 of the paper): shortens the waveform's feature map by `factor`.

    With "nearest" every `factor`-th sample is kept before the first convolution; with "strided" that convolution, and the
    one of the residual path, have the stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        factor: int,
        dilations: Sequence[int],
        downsample_type: str,
        leaky_relu_slope: float,
    ):
        super().__init__()
        self.decimation = factor if downsample_type == "nearest" else 1
        stride = factor // self.decimation
        self.residual_conv = nn.Conv1d(in_channels, out_channels, 1, stride=stride)
        self.convs = nn.ModuleList(
            nn.Conv1d(
                out_channels if index else in_channels,
                out_channels,
                3,
                stride=1 if index else stride,
                dilation=dilation,
                padding=dilation,
            )
            for index, dilation in enumerate(dilations)
        )
        self.leaky_relu_slope = leaky_relu_slope

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, C, L) to (B, out, L / factor)."""
        hidden_states = hidden_states[:, :, :: self.decimation]
        residual = self.residual_conv(hidden_states)
        for conv in self.convs:
            hidden_states = conv(F.leaky_relu(hidden_states, self.leaky_relu_slope))
        return hidden_states + residual


class UpBlock(nn.Module):
    """UBlock (figure 3 of the paper): lengthens the spectrogram's feature map by `factor`, modulated three times."""

    def __init__(self, in_channels: int, out_channels: int, factor: int, dilations: Sequence[int], leaky_relu_slope: float):
        super().__init__()
        self.factor = factor
        self.residual_conv = nn.Conv1d(in_channels, out_channels, 1)
        self.convs = nn.ModuleList(
            nn.Conv1d(out_channels if index else in_channels, out_channels, 3, dilation=dilation, padding=dilation)
            for index, dilation in enumerate(dilations)
        )
        self.leaky_relu_slope = leaky_relu_slope

    def forward(self, hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """(B, C, L), and shift and scale (B, out, L * factor), to (B, out, L * factor)."""
        return self.modulate(*self.lengthen(hidden_states), shift, scale)

    def lengthen(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What comes before the first modulation: (B, C, L) to the residual and the main path, each (B, out, L * factor)."""
        # A 1x1 convolution and the repetition of samples commute; this order costs `factor` times less.
        residual = self.residual_conv(hidden_states).repeat_interleave(self.factor, dim=2)
        hidden_states = F.leaky_relu(hidden_states, self.leaky_relu_slope).repeat_interleave(self.factor, dim=2)
        return residual, self.convs[0](hidden_states)

    def modulate(
        self, residual: torch.Tensor, hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        """The rest: four times (B, out, L * factor) to (B, out, L * factor)."""
        slope, (_, second, third, fourth) = self.leaky_relu_slope, self.convs
        hidden_states = second(F.leaky_relu(shift + scale * hidden_states, slope))
        residual = residual + hidden_states
        hidden_states = third(F.leaky_relu(shift + scale * residual, slope))
        hidden_states = fourth(F.leaky_relu(shift + scale * hidden_states, slope))
        return residual + hidden_states


class WaveGradModel(ModelMixin, ConfigMixin):
    """The noise estimator of WaveGrad (Chen et al. 2020, arXiv 2009.00713).

    Features of the noisy waveform go down through `down_channels`, one FiLM at each of the five rates; features of the
    mel spectrogram go up through `up_channels` to the waveform's rate and are modulated by them on the way.

    The defaults are the network of lmnt-com/wavegrad; `configuration_wavegrad.preset` has the paper's sizes.

    Args:
        num_mel_bands: M.
        mel_channels: width of the convolution that reads the spectrogram.
        down_channels: widths on the way down; the first is that of the convolution that reads the waveform. Even numbers.
        up_channels: widths on the way up, as many as `down_channels`.
        up_factors: how much each block lengthens; their product is the hop, the samples of one frame. The way down
            shortens by the same factors but the first, in reverse order.
        up_dilations: four per block.
        down_dilations: of the convolutions in each block on the way down.
        layers_per_block: 2 follows each block by one that does not resample (WaveGrad Large).
        downsample_type: "nearest" (lmnt-com/wavegrad) or "strided" (paper).
        noise_level_scale: what the noise level is multiplied with before it is encoded: 5000 in the paper, 1 in
            lmnt-com/wavegrad.
        leaky_relu_slope: of all activations.
        mel_settings: settings of the `WaveGradFeatureExtractor` whose spectrograms the weights were trained on; the
            pipeline refuses another one.

    Raises:
        ValueError: numbers that do not fit together; the message says which.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        num_mel_bands: int = 128,
        mel_channels: int = 768,
        down_channels: Sequence[int] = (32, 128, 128, 256, 512),
        up_channels: Sequence[int] = (512, 512, 256, 128, 128),
        up_factors: Sequence[int] = (5, 5, 3, 2, 2),
        up_dilations: Sequence[Sequence[int]] = ((1, 2, 1, 2), (1, 2, 1, 2), (1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
        down_dilations: Sequence[int] = (1, 2, 4),
        layers_per_block: int = 1,
        downsample_type: str = "nearest",
        noise_level_scale: float = 1.0,
        leaky_relu_slope: float = 0.2,
        mel_settings: dict[str, Any] | None = None,
    ):
        super().__init__()
        _check_sizes(down_channels, up_channels, up_factors, up_dilations, layers_per_block, downsample_type)
        slope = leaky_relu_slope
        self.mel_conv = nn.Conv1d(num_mel_bands, mel_channels, 3, padding=1)
        self.audio_conv = nn.Conv1d(1, down_channels[0], 5, padding=2)
        self.down_blocks = nn.ModuleList()
        for index, factor in enumerate(reversed(up_factors[1:])):
            widths = down_channels[index : index + 2]
            self.down_blocks.append(DownBlock(*widths, factor, down_dilations, downsample_type, slope))
            for _ in range(layers_per_block - 1):
                self.down_blocks.append(DownBlock(widths[1], widths[1], 1, down_dilations, downsample_type, slope))
        self.films = nn.ModuleList(
            FeatureWiseLinearModulation(down, up, noise_level_scale, slope)
            for down, up in zip(down_channels, reversed(up_channels), strict=True)
        )
        self.up_blocks = nn.ModuleList()
        in_channels = mel_channels
        for channels, factor, dilations in zip(up_channels, up_factors, up_dilations, strict=True):
            self.up_blocks.append(UpBlock(in_channels, channels, factor, dilations, slope))
            for _ in range(layers_per_block - 1):
                self.up_blocks.append(UpBlock(channels, channels, 1, dilations, slope))
            in_channels = channels
        self.output_conv = nn.Conv1d(up_channels[-1], 1, 3, padding=1)
        self.gradient_checkpointing = False
        self.reset_parameters()

    @property
    def hop_length(self) -> int:
        """Samples of one frame."""
        return math.prod(self.config.up_factors)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The original's initial weights: orthogonal, Xavier in the FiLMs, biases zero."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv1d) and not module.weight.is_meta:
                (nn.init.xavier_uniform_ if name.startswith("films.") else nn.init.orthogonal_)(module.weight)
                nn.init.zeros_(module.bias)

    @property
    def context_frames(self) -> int:
        """How many frames on either side of a frame its output depends on: what chunks must overlap by."""
        return _context_frames(self.config)

    def encode_mel(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What depends on the spectrogram alone, for `forward(..., mel_features=)`: once for all steps, not once per step.

        Args:
            mel: (B, M, F) float.

        Returns:
            Features of no promised form, of this model in its present weights, type and device.
        """
        return self.up_blocks[0].lengthen(self.mel_conv(mel))

    def forward(
        self,
        audio: torch.Tensor,
        noise_level: torch.Tensor,
        mel: torch.Tensor,
        return_dict: bool = True,
        mel_features: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> WaveGradOutput | tuple[torch.Tensor]:
        """Estimate the noise in `audio`.

        Args:
            audio: (B, T) float, the noisy waveform.
            noise_level: (B,), (1,) or () float, the square root of the share of signal in the noisy waveform's variance: 1
                is clean, 0 is noise alone.
            mel: (B, M, F) float in 0..1 with F * hop = T, from `WaveGradFeatureExtractor`.
            return_dict: False gives a tuple.
            mel_features: `encode_mel(mel)`, where it is at hand.

        Raises:
            ValueError: the shapes do not fit together.
        """
        self._check_inputs(audio, noise_level, mel)
        noise_level = noise_level.reshape(-1).expand(audio.shape[0])
        modulations = self._modulations(audio[:, None], noise_level)
        if mel_features is None:
            hidden_states = self._run(self.up_blocks[0], self.mel_conv(mel), *modulations[-1])
        else:
            hidden_states = self.up_blocks[0].modulate(*mel_features, *modulations[-1])
        for index, block in enumerate(self.up_blocks[1:], start=1):
            shift, scale = modulations[-1 - index // self.config.layers_per_block]
            hidden_states = self._run(block, hidden_states, shift, scale)
        sample = self.output_conv(hidden_states)[:, 0]
        return WaveGradOutput(sample=sample) if return_dict else (sample,)

    def _modulations(
        self, hidden_states: torch.Tensor, noise_level: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Shift and scale at every rate, the waveform's own first."""
        layers = self.config.layers_per_block
        hidden_states = self.audio_conv(hidden_states)
        modulations = [self._run(self.films[0], hidden_states, noise_level)]
        for index, block in enumerate(self.down_blocks, start=1):
            hidden_states = self._run(block, hidden_states)
            if index % layers == 0:
                modulations.append(self._run(self.films[index // layers], hidden_states, noise_level))
        return modulations

    def _run(self, block: nn.Module, *inputs: torch.Tensor) -> Any:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return self._gradient_checkpointing_func(block, *inputs)
        return block(*inputs)

    def _check_inputs(self, audio: torch.Tensor, noise_level: torch.Tensor, mel: torch.Tensor) -> None:
        if audio.ndim != 2 or mel.ndim != 3 or mel.shape[1] != self.config.num_mel_bands:
            raise ValueError(
                f"The network reads audio of (batch, samples) and mel of (batch, {self.config.num_mel_bands}, frames), "
                f"not {tuple(audio.shape)} and {tuple(mel.shape)}."
            )
        if audio.shape[0] != mel.shape[0] or audio.shape[1] != mel.shape[2] * self.hop_length:
            raise ValueError(
                f"{audio.shape[0]} x {audio.shape[1]} samples do not fit {mel.shape[0]} x {mel.shape[2]} frames: "
                f"a frame is {self.hop_length} samples."
            )
        if noise_level.numel() not in (1, audio.shape[0]):
            raise ValueError(
                f"{noise_level.numel()} noise levels for a batch of {audio.shape[0]}: give one, or one for each."
            )


def _check_sizes(
    down_channels: Sequence[int],
    up_channels: Sequence[int],
    up_factors: Sequence[int],
    up_dilations: Sequence[Sequence[int]],
    layers_per_block: int,
    downsample_type: str,
) -> None:
    lengths = {len(down_channels), len(up_channels), len(up_factors), len(up_dilations)}
    if len(lengths) != 1:
        raise ValueError(
            "down_channels, up_channels, up_factors and up_dilations must have one entry per rate, not "
            f"{len(down_channels)}, {len(up_channels)}, {len(up_factors)} and {len(up_dilations)}."
        )
    if any(channels % 2 for channels in down_channels):
        raise ValueError(f"down_channels are {list(down_channels)}; each must be even: half of the encoding is sines.")
    if any(len(dilations) != 4 for dilations in up_dilations):
        raise ValueError(f"up_dilations are {up_dilations}; each block has four convolutions.")
    if layers_per_block not in (1, 2):
        raise ValueError(f"layers_per_block is {layers_per_block}; 1 and 2 are possible.")
    if downsample_type not in DOWNSAMPLE_TYPES:
        raise ValueError(f"downsample_type is {downsample_type!r}; choose one of {', '.join(DOWNSAMPLE_TYPES)}.")


def _context_frames(config: Any) -> int:
    """Follows the samples of one output frame back through every layer to the frames that they depend on.

    Intervals [start, end) are in samples of the rate at hand.
    """
    hop = math.prod(config.up_factors)
    interval = (-1, hop + 1)  # what the last convolution reads
    modulations = []  # what is read of each FiLM's output, highest rate first
    for factor, dilations in zip(reversed(config.up_factors), reversed(config.up_dilations), strict=True):
        for layer in range(config.layers_per_block):
            modulated = _widened(interval, sum(dilations[1:]))
            modulations.append(modulated) if layer == 0 else modulations.__setitem__(-1, _union(modulations[-1], modulated))
            interval = _widened(interval, sum(dilations))
        interval = (interval[0] // factor, -(-interval[1] // factor))
    mel = _widened(interval, 1)
    strided = config.downsample_type == "strided"
    interval = _widened(modulations[-1], 2)
    for modulated, factor in zip(reversed(modulations[:-1]), config.up_factors[1:], strict=True):
        interval = _widened(interval, sum(config.down_dilations) * (config.layers_per_block - 1))
        interval = _widened(interval, sum(config.down_dilations[1:] if strided else config.down_dilations))
        interval = (interval[0] * factor - strided, (interval[1] - 1) * factor + 1 + strided)
        interval = _union(interval, _widened(modulated, 2))
    audio = _widened(interval, 2)
    return max(-mel[0], mel[1] - 1, -(audio[0] // hop), -(-audio[1] // hop) - 1)


def _widened(interval: tuple[int, int], radius: int) -> tuple[int, int]:
    return interval[0] - radius, interval[1] + radius


def _union(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return min(first[0], second[0]), max(first[1], second[1])

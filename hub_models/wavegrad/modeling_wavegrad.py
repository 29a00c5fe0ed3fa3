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

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from torch import nn

DOWNSAMPLE_TYPES = ("nearest", "strided")

#: Where Winograd's minimal filtering F(6, 3) evaluates its polynomials, besides at infinity, see `Convolution`.
POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)
TILE = len(POINTS) - 1  # outputs that are computed together


def _powers_of_points(number: int) -> torch.Tensor:
    """(points, number) float64: the powers 0, 1, 2, ... of every point."""
    rows = [[point**power for power in range(number)] for point in POINTS]
    return torch.tensor([*rows, [0] * (number - 1) + [1]], dtype=torch.float64, device="cpu")


FILTER_TRANSFORM = _powers_of_points(3)
INPUT_TRANSFORM = torch.linalg.inv(_powers_of_points(TILE + 2)).T
OUTPUT_TRANSFORM = _powers_of_points(TILE).T

#: Networks narrower than this at any rate are faster with plain convolutions: they are not bound by multiplications.
MIN_WIDTH = 64

#: Samples that inference on a CPU takes through several layers at a time, so that what lies between stays in the cache.
WINDOW_SAMPLES = 4096


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


class Convolution(nn.Conv1d):
    """A convolution that keeps the length, or shortens it by its stride: (B, in, L) to (B, out, L / stride).

    Inference on a CPU is bound by multiplications and takes less than half of them here, exact but for rounding (some 2e-6
    of the output). There, feature maps lie in memory as (B, L, C), so that convolutions are products of matrices. Training,
    GPUs, half precision, compilation and networks narrower than `MIN_WIDTH` use `torch.nn.functional.conv1d`.

    Attributes:
        in_wide_network: whether the network that this is a part of is at least so wide at every rate.
    """

    in_wide_network = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, dilation: int = 1):
        padding = dilation * (kernel_size // 2)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation)

    def forward(self, hidden_states: torch.Tensor, repeats: int = 1) -> torch.Tensor:
        """Convolve a feature map each sample of which is repeated: (B, in, L) to (B, out, L * repeats / stride)."""
        if not self.is_fast(hidden_states):
            return super().forward(hidden_states.repeat_interleave(repeats, dim=2) if repeats > 1 else hidden_states)
        if repeats > 1:
            return self._of_repeated(hidden_states, repeats)
        if self.kernel_size == (3,) and self.stride == (1,):
            return self._minimal_filtering(hidden_states.mT).mT
        return self._tap_by_tap(hidden_states.mT).mT

    def is_fast(self, hidden_states: torch.Tensor) -> bool:
        """Whether this input goes the way with fewer multiplications."""
        is_exact = hidden_states.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
        is_inference = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        return self.in_wide_network and hidden_states.device.type == "cpu" and is_exact and is_inference

    def _of_repeated(self, hidden_states: torch.Tensor, repeats: int) -> torch.Tensor:
        """Three taps over repeated samples: (B, in, L) to (B, out, L * repeats)."""
        # The samples are multiplied with each tap before they are repeated, and only the products are shifted and added.
        (dilation,), length = self.dilation, hidden_states.shape[2]
        margin = -(-dilation // repeats)
        samples = _padded(hidden_states.mT, margin, margin)
        left, middle, right = F.linear(samples, self.weight.mT.flatten(0, 1)).unflatten(2, (-1, 3)).unbind(3)
        middle = middle + self.bias
        outputs = samples.new_empty(len(samples), length, repeats, self.out_channels)
        for phase in range(repeats):
            first, second, third = (margin + (phase + shift) // repeats for shift in (-dilation, 0, dilation))
            output = outputs[:, :, phase]
            torch.add(left[:, first : first + length], middle[:, second : second + length], out=output)
            output += right[:, third : third + length]
        return outputs.flatten(1, 2).mT

    def _minimal_filtering(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Three taps by Winograd's F(6, 3) (Lavin and Gray 2015, arXiv 1509.09308): (B, L, in) to (B, L, out).

        Six neighbouring outputs are linear combinations of eight products of linear combinations of eight samples and of the
        three taps: 8 products with weights where the definition has 18. A dilated convolution is one of each of the
        `dilation` phases of its input.
        """
        (dilation,), (batch_size, length, _), like = self.dilation, hidden_states.shape, self.weight
        # Computed anew in every call, so that they are never out of date: that takes 2 % of the time.
        weights = torch.mm(FILTER_TRANSFORM.to(like), self.weight.reshape(-1, 3).T)
        weights = weights.view(-1, self.out_channels, self.in_channels).mT
        num_tiles = -(-length // (TILE * dilation))
        samples = _padded(hidden_states, dilation, (TILE * num_tiles + 1) * dilation - length)
        phases = [(item, phase) for item in range(batch_size) for phase in range(dilation)]

        transform = INPUT_TRANSFORM.to(like).expand(num_tiles, -1, -1)
        combinations = samples.new_empty(batch_size, dilation, num_tiles, TILE + 2, self.in_channels)
        for item, phase in phases:
            tiles = samples[item, phase::dilation].unfold(0, TILE + 2, TILE).mT
            torch.bmm(transform, tiles, out=combinations[item, phase])

        products = torch.bmm(combinations.view(-1, TILE + 2, self.in_channels).transpose(0, 1), weights)
        products[POINTS.index(1)] += self.bias  # the product that every output has once
        products = products.view(TILE + 2, batch_size, dilation, num_tiles, self.out_channels)

        transform = OUTPUT_TRANSFORM.to(like).expand(num_tiles, -1, -1)
        outputs = samples.new_empty(batch_size, num_tiles, TILE, dilation, self.out_channels)
        for item, phase in phases:
            products_of_phase = products[:, item, phase].transpose(0, 1)
            if dilation == 1:
                torch.bmm(transform, products_of_phase, out=outputs[item, :, :, 0])
            else:
                outputs[item, :, :, phase] = torch.bmm(transform, products_of_phase)
        return outputs.view(batch_size, -1, self.out_channels)[:, :length]

    def _tap_by_tap(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Any kernel and stride: (B, L, in) to (B, L / stride, out)."""
        (kernel_size,), (padding,), (stride,) = self.kernel_size, self.padding, self.stride
        length = -(-hidden_states.shape[1] // stride)
        samples = _padded(hidden_states, padding, padding) if padding else hidden_states
        outputs = F.linear(samples[:, ::stride][:, :length], self.weight[:, :, 0], self.bias)
        for tap in range(1, kernel_size):
            outputs += F.linear(samples[:, tap::stride][:, :length], self.weight[:, :, tap])
        return outputs


def _padded(hidden_states: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """(B, L, C) to (B, before + L + after, C), with zeros. `F.pad` writes all of it twice."""
    batch_size, length, channels = hidden_states.shape
    samples = hidden_states.new_empty(batch_size, before + length + after, channels)
    samples[:, :before] = 0
    samples[:, before : before + length] = hidden_states
    samples[:, before + length :] = 0
    return samples


class FeatureWiseLinearModulation(nn.Module):
    """FiLM (figure 4 of the paper): from a feature map of the noisy waveform and the noise level to shift and scale."""

    def __init__(self, in_channels: int, out_channels: int, noise_level_scale: float, leaky_relu_slope: float):
        super().__init__()
        self.noise_level_encoding = SinusoidalNoiseLevel(in_channels, noise_level_scale)
        self.input_conv = Convolution(in_channels, in_channels)
        self.output_conv = Convolution(in_channels, 2 * out_channels)
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
        self.residual_conv = Convolution(in_channels, out_channels, 1, stride)
        self.convs = nn.ModuleList(
            Convolution(
                out_channels if index else in_channels, out_channels, stride=1 if index else stride, dilation=dilation
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
        self.residual_conv = Convolution(in_channels, out_channels, 1)
        self.convs = nn.ModuleList(
            Convolution(out_channels if index else in_channels, out_channels, dilation=dilation)
            for index, dilation in enumerate(dilations)
        )
        self.leaky_relu_slope = leaky_relu_slope

    def forward(
        self, hidden_states: torch.Tensor | tuple[torch.Tensor, torch.Tensor], shift: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        """(B, C, L), or what `lengthen` makes of it, and shift and scale (B, out, L * factor), to (B, out, L * factor)."""
        residual, hidden_states = hidden_states if isinstance(hidden_states, tuple) else self.lengthen(hidden_states)
        _, second, third, fourth = self.convs
        hidden_states = second(self._modulated(hidden_states, shift, scale))
        # A 1x1 convolution and the repetition of samples commute; this order costs `factor` times less.
        hidden_states.unflatten(2, (-1, self.factor)).add_(residual[..., None])
        residual = hidden_states
        hidden_states = third(self._modulated(hidden_states, shift, scale))
        hidden_states = fourth(self._modulated(hidden_states, shift, scale))
        return hidden_states.add_(residual)

    def lengthen(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What comes before the first modulation: (B, C, L) to the residual (B, out, L) and (B, out, L * factor)."""
        activated = F.leaky_relu(hidden_states, self.leaky_relu_slope)
        return self.residual_conv(hidden_states), self.convs[0](activated, self.factor)

    def _modulated(self, hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(torch.addcmul(shift, scale, hidden_states), self.leaky_relu_slope, inplace=True)


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
        self.mel_conv = Convolution(num_mel_bands, mel_channels)
        self.audio_conv = Convolution(1, down_channels[0], 5)
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
        self.output_conv = Convolution(up_channels[-1], 1)
        for module in self.modules():
            if isinstance(module, Convolution):
                module.in_wide_network = min(up_channels) >= MIN_WIDTH
        self.gradient_checkpointing = False
        self.reset_parameters()

    def to_json_string(self) -> str:
        """The configuration as config.json has it, without the folder that the model came from."""
        settings = json.loads(super().to_json_string())
        settings.pop("_name_or_path", None)
        return json.dumps(settings, indent=2, sort_keys=True) + "\n"

    @property
    def hop_length(self) -> int:
        """Samples of one frame."""
        return math.prod(self.config.up_factors)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The original's initial weights: orthogonal, Xavier in the FiLMs, biases zero."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv1d) and not module.weight.is_meta:
                # In float32: LAPACK, behind the orthogonal ones, knows no half precision.
                weight = torch.empty_like(module.weight, dtype=torch.float32)
                (nn.init.xavier_uniform_ if name.startswith("films.") else nn.init.orthogonal_)(weight)
                module.weight.copy_(weight)
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
        features = [self.audio_conv(audio[:, None])]  # at every rate, the waveform's own first
        for index in range(len(self.films) - 1):
            features.append(self._shortened(index, features[-1]))
        hidden_states = self.mel_conv(mel) if mel_features is None else mel_features
        for index in range(len(self.films)):
            hidden_states = self._lengthened(index, hidden_states, features.pop(), noise_level)
        sample = hidden_states[:, 0]
        return WaveGradOutput(sample=sample) if return_dict else (sample,)

    def _shortened(self, index: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """The waveform's features from one rate to the next: (B, C, L) to (B, out, L / factor)."""
        config, layers = self.config, self.config.layers_per_block
        factor = config.up_factors[-1 - index]

        def compute(first: int, last: int) -> torch.Tensor:
            window = hidden_states[:, :, first * factor : last * factor]
            for block in self.down_blocks[index * layers : (index + 1) * layers]:
                window = self._run(block, window)
            return window

        length = hidden_states.shape[2] // factor
        if not self.audio_conv.is_fast(hidden_states):
            return compute(0, length)
        return _by_windows(compute, length, 1, layers * sum(config.down_dilations) + 1)

    def _lengthened(
        self,
        index: int,
        hidden_states: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
        features: torch.Tensor,
        noise_level: torch.Tensor,
    ) -> torch.Tensor:
        """The spectrogram's features from one rate to the next, and from the last to the estimate (B, 1, T).

        Args:
            hidden_states: (B, C, L) or `mel_features`.
            features: (B, D, L * factor), of the waveform.
        """
        config, layers = self.config, self.config.layers_per_block
        factor, is_last = config.up_factors[index], index == len(self.films) - 1

        def compute(first: int, last: int) -> torch.Tensor:
            shift, scale = self._run(self.films[-1 - index], features[:, :, first * factor : last * factor], noise_level)
            window = hidden_states[:, :, first:last] if index else hidden_states
            for block in self.up_blocks[index * layers : (index + 1) * layers]:
                window = self._run(block, window, shift, scale)
            return self.output_conv(window) if is_last else window

        length = features.shape[2] // factor
        if index == 0 or not self.audio_conv.is_fast(features):
            return compute(0, length)
        reach = 3 + layers * sum(config.up_dilations[index])  # of the FiLM, the blocks and the last convolution
        return _by_windows(compute, length, factor, -(-reach // factor))

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


def _by_windows(compute: Callable[[int, int], torch.Tensor], length: int, factor: int, margin: int) -> torch.Tensor:
    """What `compute(0, length)` gives, computed in windows: a quarter faster, and with a third of the memory.

    Args:
        compute: gives the samples `first * factor` to `last * factor` of the result (B, C, length * factor). Those within
            `margin * factor` of either end may be wrong, but where that is the end of the whole.
    """
    size = max(WINDOW_SAMPLES // factor, 8 * margin)
    size = -(-length // -(-length // size))
    if size >= length:
        return compute(0, length)
    outputs = None
    for start in range(0, length, size):
        stop = min(start + size, length)
        first = max(0, start - margin)
        window = compute(first, min(length, stop + margin))
        if outputs is None:
            outputs = window.new_empty(len(window), length * factor, window.shape[1]).mT
        outputs[:, :, start * factor : stop * factor] = window[:, :, (start - first) * factor : (stop - first) * factor]
    return outputs

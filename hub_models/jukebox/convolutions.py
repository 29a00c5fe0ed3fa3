"""Jukebox's convolutions: residual stacks with growing dilation, and the blocks that shorten or lengthen a sequence by them.

The VQ-VAE's encoders and decoders consist of these blocks, and the priors' conditioner is one of them. All read and give
(N, C, T); inference on a CPU goes through `tiled_convolutions`, where feature maps lie in memory as (N, T, C).

Shape letters: N batch, C channels, T time.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers import initialization as init

from .tiled_convolutions import convolve, is_tiled, lengthen, residual_stack, shorten


class Projection(nn.Conv1d):
    """Three neighbouring samples to one: (N, in, T) to (N, out, T)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        if is_tiled(hidden_states):
            return convolve(self, hidden_states.mT).mT
        return super().forward(hidden_states)


class Downsampling(nn.Conv1d):
    """A convolution that shortens a sequence by its stride, an even number: (N, in, T) to (N, out, T / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__(in_channels, out_channels, 2 * stride, stride, stride // 2)

    def forward(self, hidden_states: Tensor) -> Tensor:
        if is_tiled(hidden_states):
            return shorten(self, hidden_states.mT).mT
        return super().forward(hidden_states)


class Upsampling(nn.ConvTranspose1d):
    """A transposed convolution that lengthens a sequence by its stride, an even number: (N, in, T) to (N, out, T stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__(in_channels, out_channels, 2 * stride, stride, stride // 2)

    def forward(self, hidden_states: Tensor) -> Tensor:
        if is_tiled(hidden_states):
            return lengthen(self, hidden_states.mT).mT
        return super().forward(hidden_states)


class ResidualBlock(nn.Module):
    """x + scale * conv1(relu(conv3(relu(x)))), where conv3 is dilated: (N, C, T) to (N, C, T)."""

    def __init__(self, channels: int, hidden_channels: int, dilation: int, scale: float = 1.0, zero_out: bool = False):
        super().__init__()
        self.conv1d_1 = nn.Conv1d(channels, hidden_channels, 3, padding=dilation, dilation=dilation)
        self.conv1d_2 = nn.Conv1d(hidden_channels, channels, 1)
        self.scale = scale
        self.zero_out = zero_out

    def forward(self, hidden_states: Tensor) -> Tensor:
        branch = self.conv1d_2(F.relu(self.conv1d_1(F.relu(hidden_states))))
        return hidden_states + (branch if self.scale == 1.0 else self.scale * branch)


class ResidualStack(nn.Module):
    """Residual blocks, the dilation of each `res_dilation_growth_rate` times that of the one before.

    After `res_dilation_cycle` blocks dilations start anew. With `conv_res_scale` every branch is scaled by one over the root
    of `depth`.

    Args:
        config: a [`JukeboxVQVAEConfig`] or [`JukeboxPriorConfig`].
        width: C.
        depth: number of blocks.
        reverse_dilation: the block with the largest dilation comes first.
    """

    def __init__(self, config: PreTrainedConfig, width: int, depth: int, reverse_dilation: bool = False):
        super().__init__()
        hidden_channels = int(config.res_convolution_multiplier * width)
        scale = 1 / math.sqrt(depth) if config.conv_res_scale else 1.0
        cycle = config.res_dilation_cycle or depth
        dilations = [config.res_dilation_growth_rate ** (block % cycle) for block in range(depth)]
        self.resnet_block = nn.ModuleList(
            ResidualBlock(width, hidden_channels, dilation, scale, config.zero_out)
            for dilation in (reversed(dilations) if reverse_dilation else dilations)
        )

    @property
    def reach(self) -> int:
        """Samples on either side that a sample of the output depends on."""
        return sum(block.conv1d_1.dilation[0] for block in self.resnet_block)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(N, C, T) to (N, C, T)."""
        if is_tiled(hidden_states):
            return residual_stack(self.resnet_block, hidden_states.mT).mT
        for block in self.resnet_block:
            hidden_states = block(hidden_states)
        return hidden_states


class EncoderLevelBlock(nn.Module):
    """Shortens a sequence by stride ** downs: (N, in, T) to (N, embed_dim, T / stride ** downs).

    Args:
        config: a [`JukeboxVQVAEConfig`].
        in_channels: those of audio, or `embed_dim` behind another block.
        embed_dim: channels of the output.
        width, depth: of the residual stacks.
        downs: number of strided convolutions; a residual stack follows each.
        stride: of each of them.
    """

    def __init__(
        self, config: PreTrainedConfig, in_channels: int, embed_dim: int, width: int, depth: int, downs: int, stride: int
    ):
        super().__init__()
        blocks = []
        for step in range(downs):
            blocks.append(Downsampling(width if step else in_channels, width, stride))
            blocks.append(ResidualStack(config, width, depth))
        self.downsample_block = nn.ModuleList(blocks)
        self.proj_out = Projection(width, embed_dim)

    def forward(self, hidden_states: Tensor) -> Tensor:
        for block in self.downsample_block:
            hidden_states = block(hidden_states)
        return self.proj_out(hidden_states)


class DecoderLevelBlock(nn.Module):
    """Lengthens a sequence by stride ** downs: (N, embed_dim, T) to (N, embed_dim, T * stride ** downs).

    Args:
        config: a [`JukeboxVQVAEConfig`] or [`JukeboxPriorConfig`].
        embed_dim: channels of input and output.
        width, depth: of the residual stacks.
        downs: number of transposed convolutions; a residual stack precedes each.
        stride: of each of them.
        reverse_dilation: in every stack the block with the largest dilation comes first.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        embed_dim: int,
        width: int,
        depth: int,
        downs: int,
        stride: int,
        reverse_dilation: bool = False,
    ):
        super().__init__()
        self.proj_in = Projection(embed_dim, width)
        blocks = []
        for step in range(downs):
            blocks.append(ResidualStack(config, width, depth, reverse_dilation))
            blocks.append(Upsampling(width, embed_dim if step == downs - 1 else width, stride))
        self.upsample_block = nn.ModuleList(blocks)

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = self.proj_in(hidden_states)
        for block in self.upsample_block:
            hidden_states = block(hidden_states)
        return hidden_states


class Encoder(nn.Module):
    """One level's encoder: the blocks of all levels up to its own. (N, channels of audio, T) to (N, embed_dim, T / hop)."""

    def __init__(self, config: PreTrainedConfig, level: int):
        super().__init__()
        self.hop_length = config.hop_lengths[level]
        width, depth = (config.multipliers[level] * value for value in (config.res_conv_width, config.res_conv_depth))
        self.level_blocks = nn.ModuleList(
            EncoderLevelBlock(
                config, config.embed_dim if block else config.conv_input_shape, config.embed_dim, width, depth, downs, stride
            )
            for block, (downs, stride) in enumerate(zip(config.res_downs_t, config.res_strides_t, strict=True))
            if block <= level
        )

    @property
    def reach(self) -> int:
        """Codes on either side whose samples the vector of a code depends on."""
        reach = 0
        for block in reversed(self.level_blocks):
            reach += 1
            for layer in reversed(block.downsample_block):
                if isinstance(layer, ResidualStack):
                    reach += layer.reach
                else:
                    reach = reach * layer.stride[0] + layer.padding[0]
        return -(-reach // self.hop_length)

    def forward(self, audio: Tensor) -> Tensor:
        for block in self.level_blocks:
            audio = block(audio)
        return audio


class Decoder(nn.Module):
    """One level's decoder: the blocks from its own level down. (N, embed_dim, T / hop) to (N, channels of audio, T)."""

    def __init__(self, config: PreTrainedConfig, level: int):
        super().__init__()
        width, depth = (config.multipliers[level] * value for value in (config.res_conv_width, config.res_conv_depth))
        self.level_blocks = nn.ModuleList(
            DecoderLevelBlock(config, config.embed_dim, width, depth, downs, stride, config.reverse_decoder_dilation)
            for block, (downs, stride) in enumerate(zip(config.res_downs_t, config.res_strides_t, strict=True))
            if block <= level
        )
        self.out = Projection(config.embed_dim, config.conv_input_shape)

    @property
    def reach(self) -> int:
        """Codes on either side that the samples of a code depend on."""
        reach = 1
        for block in self.level_blocks:
            for layer in reversed(block.upsample_block):
                reach = reach + layer.reach if isinstance(layer, ResidualStack) else -(-reach // layer.stride[0]) + 1
            reach += 1
        return reach

    def forward(self, vectors: Tensor) -> Tensor:
        for block in reversed(self.level_blocks):
            vectors = block(vectors)
        return self.out(vectors)


@torch.no_grad()
def initialize_convolutions(module: nn.Module):
    """A part of `_init_weights`: the original's initialisation, which is that of torch, with `zero_out` on top."""
    if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
        fan_in = module.weight.shape[1] * module.weight.shape[2]
        init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        init.uniform_(module.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
    elif isinstance(module, ResidualBlock) and module.zero_out:
        init.zeros_(module.conv1d_2.weight)
        init.zeros_(module.conv1d_2.bias)

"""Convolutions of long sequences on a CPU, tile by tile, so that what lies between two layers stays in the cache.

For inference only: a convolution of a whole song spends most of its time on moving feature maps to memory and back. Here
feature maps are (N, T, C), every tap of a kernel is a product of matrices, and a residual block goes over its input once.
Results differ from those of torch's convolutions by the rounding of sums alone.

Shape letters: N batch, T time, C channels, S stride.
"""

import torch
from torch import Tensor, nn

#: Rows of a tile. With 32 to 64 channels, a tile and what is made of it take half a megabyte each.
TILE_ROWS = 2048

#: A kernel with fewer outputs than this multiplies with all taps at once: products with narrow matrices are slow.
NARROW = 16


def is_tiled(hidden_states: Tensor) -> bool:
    """Whether this input goes this way: inference on a CPU, in a precision that its matrix products have."""
    is_exact = hidden_states.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")
    is_inference = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return hidden_states.device.type == "cpu" and is_exact and is_inference


def _tiles(length: int) -> list[slice]:
    return [slice(start, min(start + TILE_ROWS, length)) for start in range(0, length, TILE_ROWS)]


def _add_tap(outputs: Tensor, inputs: Tensor, tile: slice, shift: int, weight: Tensor, rectified: Tensor | None = None):
    """Adds to `outputs`, rows `tile` of a convolution, what the rows of `inputs` (T, C) that lie `shift` later contribute.

    Beyond the ends are zeros. `rectified`: memory for a tile of inputs behind a ReLU; without it there is none.
    """
    first, last = max(tile.start + shift, 0), min(tile.stop + shift, len(inputs))
    if first >= last:
        return
    rows = inputs[first:last]
    if rectified is not None:
        rows = torch.clamp_min(rows, 0, out=rectified[: last - first])
    offset = tile.start + shift
    outputs[first - offset : last - offset].addmm_(rows, weight)


def convolve(convolution: nn.Conv1d, hidden_states: Tensor) -> Tensor:
    """A convolution of three neighbouring samples that keeps the length: (N, T, in) to (N, T, out)."""
    taps = convolution.weight.permute(2, 1, 0).contiguous()
    outputs = hidden_states.new_empty(*hidden_states.shape[:2], convolution.out_channels)
    for inputs, output in zip(hidden_states, outputs, strict=True):
        if convolution.out_channels < NARROW:
            products = torch.mm(inputs, taps.transpose(0, 1).flatten(1)).unflatten(1, (3, -1))
            torch.add(products[:, 1], convolution.bias, out=output)
            output[1:] += products[:-1, 0]
            output[:-1] += products[1:, 2]
            continue
        for tile in _tiles(len(inputs)):
            torch.addmm(convolution.bias, inputs[tile], taps[1], out=output[tile])
            _add_tap(output[tile], inputs, tile, -1, taps[0])
            _add_tap(output[tile], inputs, tile, 1, taps[2])
    return outputs


def shorten(convolution: nn.Conv1d, hidden_states: Tensor) -> Tensor:
    """A convolution with 2 S taps, an even stride S and padding S / 2: (N, T, in) to (N, T / S, out)."""
    (stride,) = convolution.stride
    batch_size, length, channels = hidden_states.shape
    # Each output is a product with two neighbouring groups of S samples.
    halves = convolution.weight.permute(2, 1, 0).reshape(2, stride * channels, -1)
    groups = hidden_states.new_zeros(batch_size, length + stride, channels)
    groups[:, stride // 2 : stride // 2 + length] = hidden_states
    groups = groups.view(batch_size, -1, stride * channels)
    outputs = hidden_states.new_empty(batch_size, length // stride, convolution.out_channels)
    for inputs, output in zip(groups, outputs, strict=True):
        for tile in _tiles(len(output)):
            torch.addmm(convolution.bias, inputs[tile], halves[0], out=output[tile])
            _add_tap(output[tile], inputs, tile, 1, halves[1])
    return outputs


def lengthen(convolution: nn.ConvTranspose1d, hidden_states: Tensor) -> Tensor:
    """A transposed convolution with 2 S taps, an even stride S and padding S / 2: (N, T, in) to (N, T S, out)."""
    (stride,) = convolution.stride
    batch_size, length, channels = hidden_states.shape
    # Each group of S outputs is a sum of products with two neighbouring samples.
    halves = convolution.weight.permute(0, 2, 1).reshape(channels, 2, -1).transpose(0, 1).contiguous()
    bias = convolution.bias.repeat(stride)
    groups = hidden_states.new_empty(batch_size, length + 1, stride * convolution.out_channels)
    for inputs, output in zip(hidden_states, groups, strict=True):
        output[length] = bias
        for tile in _tiles(length):
            torch.addmm(bias, inputs[tile], halves[0], out=output[tile])
        for tile in _tiles(length + 1):
            _add_tap(output[tile], inputs, tile, -1, halves[1])
    return groups.view(batch_size, -1, convolution.out_channels)[:, stride // 2 : -(stride // 2)]


def residual_stack(blocks: nn.ModuleList, hidden_states: Tensor) -> Tensor:
    """Residual blocks, one after the other: (N, T, C) to (N, T, C)."""
    outputs = hidden_states.new_empty(hidden_states.shape)
    spare = hidden_states.new_empty(hidden_states.shape[1:])
    hidden_channels = max(block.conv1d_1.out_channels for block in blocks)
    rectified = hidden_states.new_empty(TILE_ROWS, hidden_states.shape[2])
    hidden = hidden_states.new_empty(TILE_ROWS, hidden_channels)
    for inputs, output in zip(hidden_states, outputs, strict=True):
        # Two feature maps in turn, so that the last block writes into `output`; the input is read only.
        target = output if len(blocks) % 2 else spare
        for block in blocks:
            _residual_block(block, inputs, target, rectified, hidden)
            inputs, target = target, (spare if target is output else output)
    return outputs


def _residual_block(block: nn.Module, inputs: Tensor, outputs: Tensor, rectified: Tensor, hidden: Tensor):
    taps = block.conv1d_1.weight.permute(2, 1, 0).contiguous()
    weight, bias = block.conv1d_2.weight[:, :, 0].T.contiguous(), block.scale * block.conv1d_2.bias
    (dilation,) = block.conv1d_1.dilation
    for tile in _tiles(len(inputs)):
        rows = inputs[tile]
        branch = hidden[: len(rows)]
        torch.addmm(block.conv1d_1.bias, torch.clamp_min(rows, 0, out=rectified[: len(rows)]), taps[1], out=branch)
        _add_tap(branch, inputs, tile, -dilation, taps[0], rectified)
        _add_tap(branch, inputs, tile, dilation, taps[2], rectified)
        torch.add(rows, bias, out=outputs[tile]).addmm_(branch.relu_(), weight, alpha=block.scale)

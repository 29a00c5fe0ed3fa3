"""MusicVAE checkpoints of Magenta's Python releases (TensorFlow)."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from hub_models.music_vae import PRESETS, MusicVAEConfig, MusicVAEModel, MusicVAEProcessor

from .errors import ConversionError, list_names
from .tensorflow_checkpoints import read_checkpoint

CHECKPOINT_HELP = "the published .tar, a folder, a .index file or its prefix"
CONFIG_NAMES = tuple(PRESETS)
LICENSE = "apache-2.0"  # of the original release, and so of converted weights


class Entry(NamedTuple):
    """One row of the mapping: a layer of the original, ours, and how its tensors are laid out.

    Args:
        original (`str`): prefix of `kernel` and `bias` in the checkpoint.
        ours (`str`): the module.
        kind (`str`): `"dense"`, or `"lstm"`.
        suffix (`str`): for an LSTM: torch's name of the layer and direction, such as `l0_reverse`.
    """

    original: str
    ours: str
    kind: str
    suffix: str = ""


def mapping(config: MusicVAEConfig) -> list[Entry]:
    """The layers of a configuration."""
    entries = []
    for layer in range(len(config.encoder_hidden_sizes)):
        for direction, suffix in (("fw", f"l{layer}"), ("bw", f"l{layer}_reverse")):
            cell = f"encoder/cell_{layer}/bidirectional_rnn/{direction}/multi_rnn_cell/cell_0/lstm_cell"
            entries.append(Entry(cell, "encoder.lstm", "lstm", suffix))
    entries += [
        Entry("encoder/mu", "latent_mean", "dense"),
        Entry("encoder/sigma", "latent_std", "dense"),
        Entry("decoder/z_to_initial_state", "decoder.initial_state", "dense"),
    ]
    for layer in range(len(config.decoder_hidden_sizes)):
        entries.append(Entry(f"decoder/multi_rnn_cell/cell_{layer}/lstm_cell", "decoder.lstm", "lstm", f"l{layer}"))
    entries.append(Entry("decoder/output_projection", "decoder.output_projection", "dense"))
    return entries


def read_config(tensors: dict[str, Tensor], name: str, **overrides) -> MusicVAEConfig:
    """The preset `name` with the sizes that the tensors have: people train the presets at other sizes."""
    missing = []

    def width(tensor_name: str, axis: int) -> int:
        if tensor_name not in tensors:
            missing.append(tensor_name)
            return 1
        return tensors[tensor_name].shape[axis]

    def layers(pattern: str) -> list[int]:
        sizes, layer = [], 0
        while (kernel := pattern.format(layer)) in tensors:
            sizes.append(tensors[kernel].shape[1] // 4)
            layer += 1
        if not sizes:
            missing.append(pattern.format(0))
        return sizes or [1]

    encoder = layers("encoder/cell_{}/bidirectional_rnn/fw/multi_rnn_cell/cell_0/lstm_cell/kernel")
    decoder = layers("decoder/multi_rnn_cell/cell_{}/lstm_cell/kernel")
    latent_size = width("encoder/mu/kernel", 1)
    if missing:
        raise ConversionError(
            f"This is no checkpoint of {name}; it lacks\n{list_names(missing)}\nand has\n{list_names(tensors)}"
        )
    sizes = {"encoder_hidden_sizes": encoder, "decoder_hidden_sizes": decoder, "latent_size": latent_size}
    return MusicVAEConfig.from_preset(name, **{**sizes, **overrides})


def to_state_dict(tensors: dict[str, Tensor], config: MusicVAEConfig) -> dict[str, Tensor]:
    """The original's tensors under our names and in our layout. Works on meta tensors too.

    Raises:
        ConversionError: lists the names that are missing, unknown, or of another shape than the configuration says.
    """
    entries = mapping(config)
    expected = {f"{entry.original}/{part}" for entry in entries for part in ("kernel", "bias")}
    if expected != set(tensors):
        raise ConversionError(
            "The checkpoint does not fit the configuration."
            + (f"\nMissing:\n{list_names(expected - set(tensors))}" if expected - set(tensors) else "")
            + (f"\nUnknown:\n{list_names(set(tensors) - expected)}" if set(tensors) - expected else "")
        )
    state = {}
    for entry in entries:
        kernel, bias = tensors[f"{entry.original}/kernel"], tensors[f"{entry.original}/bias"]
        if entry.kind == "dense":
            state[f"{entry.ours}.weight"], state[f"{entry.ours}.bias"] = kernel.t().contiguous(), bias
            continue
        hidden_size = kernel.shape[1] // 4
        weight = _reorder_gates(kernel.t())
        input_size = weight.shape[1] - hidden_size
        forget_bias = torch.zeros_like(bias)
        forget_bias[hidden_size : 2 * hidden_size] = 1.0  # the original adds it at run time
        state[f"{entry.ours}.weight_ih_{entry.suffix}"] = weight[:, :input_size].contiguous()
        state[f"{entry.ours}.weight_hh_{entry.suffix}"] = weight[:, input_size:].contiguous()
        state[f"{entry.ours}.bias_ih_{entry.suffix}"] = _reorder_gates(bias) + forget_bias
        state[f"{entry.ours}.bias_hh_{entry.suffix}"] = torch.zeros_like(bias)
    _check_shapes(state, config)
    return state


def to_original(state: dict[str, Tensor], config: MusicVAEConfig) -> dict[str, Tensor]:
    """The inverse of [`to_state_dict`] for what is linear in the weights, such as their gradients: no forget bias."""
    tensors = {}
    for entry in mapping(config):
        if entry.kind == "dense":
            kernel, bias = state[f"{entry.ours}.weight"].t(), state[f"{entry.ours}.bias"]
        else:
            parts = [state[f"{entry.ours}.weight_{part}_{entry.suffix}"] for part in ("ih", "hh")]
            kernel = _reorder_gates(torch.cat(parts, dim=1)).t()
            bias = _reorder_gates(state[f"{entry.ours}.bias_ih_{entry.suffix}"])
        tensors[f"{entry.original}/kernel"], tensors[f"{entry.original}/bias"] = kernel, bias
    return tensors


def convert(checkpoint: Path, config_name: str, output: Path, **overrides) -> list[str]:
    """Writes model and processor of a checkpoint to the folder `output`.

    Args:
        checkpoint (`Path`): a .tar, a folder, a .index file or its prefix.
        config_name (`str`): the preset.
        output (`Path`): made where it does not exist.
        overrides: configuration fields that the checkpoint does not hold, such as `free_bits`.

    Returns:
        Remarks for the person, such as sizes that differ from the preset's.

    Raises:
        ConversionError: where the checkpoint cannot be read or does not fit the configuration.
    """
    tensors = read_checkpoint(checkpoint)
    config = read_config(tensors, config_name, **overrides)
    state = to_state_dict(tensors, config)
    not_finite = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if not_finite:
        raise ConversionError(f"The checkpoint holds NaN or infinite weights in\n{list_names(not_finite)}")
    model = MusicVAEModel(config)
    model.load_state_dict(state)
    model.save_pretrained(output)
    representation = "drums" if "drums" in config_name else "melody"
    MusicVAEProcessor(representation, num_bars=config.max_sequence_length // 16, mode="original").save_pretrained(output)
    preset = MusicVAEConfig.from_preset(config_name)
    return [
        f"{name} is {getattr(config, name)} in this checkpoint; the published {config_name} has {getattr(preset, name)}."
        for name in ("encoder_hidden_sizes", "decoder_hidden_sizes", "latent_size")
        if getattr(config, name) != getattr(preset, name)
    ]


def _reorder_gates(rows: Tensor) -> Tensor:
    """Swaps the second and third of four blocks of rows: TensorFlow's i, j, f, o and torch's i, f, g, o."""
    first, second, third, fourth = rows.chunk(4, dim=0)
    return torch.cat([first, third, second, fourth], dim=0)


def _check_shapes(state: dict[str, Tensor], config: MusicVAEConfig):
    with torch.device("meta"):
        expected = MusicVAEModel(config).state_dict()
    wrong = [
        f"{name}: {tuple(state[name].shape)} in the checkpoint, {tuple(expected[name].shape)} in the configuration"
        for name in expected
        if state[name].shape != expected[name].shape
    ]
    if wrong:
        raise ConversionError(f"The checkpoint does not fit the configuration:\n{list_names(wrong)}")

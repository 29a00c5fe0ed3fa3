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
        original (`str`): its name in the checkpoint; layers have a `kernel` and a `bias` below it.
        ours (`str`): the module, or the parameter.
        kind (`str`): `"dense"`, `"lstm"`, or `"table"`: a parameter of one row per output, with an axis of 1.
        suffix (`str`): for an LSTM: torch's name of the layer and direction, such as `l0_reverse`.
        unit_axis (`int`): for a table: which axis has length 1.
    """

    original: str
    ours: str
    kind: str
    suffix: str = ""
    unit_axis: int = 1

    @property
    def tensors(self) -> list[str]:
        """Names in the checkpoint."""
        return [self.original] if self.kind == "table" else [f"{self.original}/{part}" for part in ("kernel", "bias")]


def mapping(config: MusicVAEConfig) -> list[Entry]:
    """The layers of a configuration."""
    entries = []
    if config.control_hidden_sizes:
        entries += _bidirectional("control_preprocessing", "control_encoder", len(config.control_hidden_sizes))
    layers = len(config.encoder_hidden_sizes)
    if config.encoder_level_lengths is None:
        entries += _bidirectional("encoder", "encoder.lstm", layers)
    else:
        for level in (0, 1):
            entries += _bidirectional(f"encoder/hierarchical_level_{level}", f"encoder.levels.{level}.lstm", layers)
    entries += [Entry("encoder/mu", "latent_mean", "dense"), Entry("encoder/sigma", "latent_std", "dense")]
    original, ours = "", "decoder"
    if config.decoder_level_lengths is not None:
        conductor = "decoder/hierarchical_level_0"
        entries.append(Entry(f"{conductor}/initial_state", "decoder.initial_state", "dense"))
        for layer in range(len(config.conductor_hidden_sizes or config.decoder_hidden_sizes)):
            entries.append(Entry(f"{conductor}/cell_{layer}/lstm_cell", "decoder.conductor", "lstm", f"l{layer}"))
        original, ours = "core_decoder/", "decoder.core"
    if not config.split_decoder:
        return entries + _decoder(original, ours, config)
    for part in range(len(config.output_sizes)):
        entries += _decoder(f"{original}core_decoder_{part}/", f"{ours}.parts.{part}", config)
    return entries


def _bidirectional(original: str, ours: str, layers: int) -> list[Entry]:
    return [
        Entry(f"{original}/cell_{layer}/bidirectional_rnn/{direction}/multi_rnn_cell/cell_0/lstm_cell", ours, "lstm", suffix)
        for layer in range(layers)
        for direction, suffix in (("fw", f"l{layer}"), ("bw", f"l{layer}_reverse"))
    ]


def _decoder(original: str, ours: str, config: MusicVAEConfig) -> list[Entry]:
    entries = [Entry(f"{original}decoder/z_to_initial_state", f"{ours}.initial_state", "dense")]
    for layer in range(len(config.decoder_hidden_sizes)):
        cell = f"{original}decoder/multi_rnn_cell/cell_{layer}/lstm_cell"
        entries.append(Entry(cell, f"{ours}.lstm", "lstm", f"l{layer}"))
    entries.append(Entry(f"{original}decoder/output_projection", f"{ours}.output_projection", "dense"))
    if config.output_type == "nade":
        entries.append(Entry(f"{original}decoder/nade/w_enc", f"{ours}.head.encoder_weight", "table", unit_axis=1))
        entries.append(Entry(f"{original}decoder/nade/w_dec_t", f"{ours}.head.decoder_weight", "table", unit_axis=2))
    return entries


def read_sizes(tensors: dict[str, Tensor], config: MusicVAEConfig) -> dict[str, list[int] | int]:
    """The configuration fields that tensor shapes tell, of a checkpoint of the kind that `config` is.

    Raises:
        ConversionError: lists the tensors that say how large the network is and are not there.
    """
    missing = []

    def width(name: str, axis: int) -> int:
        if name not in tensors:
            missing.append(name)
            return 1
        return tensors[name].shape[axis]

    def layers(pattern: str) -> list[int]:
        sizes, layer = [], 0
        while (kernel := f"{pattern.format(layer)}/kernel") in tensors:
            sizes.append(tensors[kernel].shape[-1] // 4)
            layer += 1
        if not sizes:
            missing.append(f"{pattern.format(0)}/kernel")
        return sizes or [1]

    hierarchical = config.decoder_level_lengths is not None
    decoder = ("core_decoder/" if hierarchical else "") + ("core_decoder_0/" if config.split_decoder else "") + "decoder/"
    level = "" if config.encoder_level_lengths is None else "hierarchical_level_0/"
    sizes = {
        "latent_size": width("encoder/mu/kernel", 1),
        "encoder_hidden_sizes": layers(f"encoder/{level}cell_{{}}/bidirectional_rnn/fw/multi_rnn_cell/cell_0/lstm_cell"),
        "decoder_hidden_sizes": layers(f"{decoder}multi_rnn_cell/cell_{{}}/lstm_cell"),
    }
    if hierarchical:
        conductor = layers("decoder/hierarchical_level_0/cell_{}/lstm_cell")
        sizes["conductor_hidden_sizes"] = None if conductor == sizes["decoder_hidden_sizes"] else conductor
    if config.output_type == "nade":
        sizes["nade_hidden_size"] = width(f"{decoder}nade/w_enc", -1)
    if missing:
        raise ConversionError(
            f"This is no checkpoint of that configuration; it lacks\n{list_names(missing)}\nand has\n{list_names(tensors)}"
        )
    return sizes


def read_config(tensors: dict[str, Tensor], name: str, **overrides) -> MusicVAEConfig:
    """The preset `name` with the sizes that the tensors have: people train the presets at other sizes."""
    sizes = read_sizes(tensors, MusicVAEConfig.from_preset(name))
    return MusicVAEConfig.from_preset(name, **{**sizes, **overrides})


def to_state_dict(tensors: dict[str, Tensor], config: MusicVAEConfig) -> dict[str, Tensor]:
    """The original's tensors under our names and in our layout. Works on meta tensors too.

    Raises:
        ConversionError: lists the names that are missing, unknown, or of another shape than the configuration says.
    """
    entries = mapping(config)
    expected = {name for entry in entries for name in entry.tensors}
    if expected != set(tensors):
        raise ConversionError(
            "The checkpoint does not fit the configuration."
            + (f"\nMissing:\n{list_names(expected - set(tensors))}" if expected - set(tensors) else "")
            + (f"\nUnknown:\n{list_names(set(tensors) - expected)}" if set(tensors) - expected else "")
        )
    state = {}
    for entry in entries:
        if entry.kind == "table":
            state[entry.ours] = tensors[entry.original].squeeze(entry.unit_axis)
            continue
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
        if entry.kind == "table":
            tensors[entry.original] = state[entry.ours].unsqueeze(entry.unit_axis)
            continue
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
    save_model(state, config, output)
    settings = {"mode": "original"}
    if config.end_token is None:  # the steps of measures are events, not sixteenths
        settings["num_bars"] = config.max_sequence_length // 16
    MusicVAEProcessor.from_preset(config_name, **settings).save_pretrained(output)
    preset = MusicVAEConfig.from_preset(config_name)
    return [
        f"{name} is {getattr(config, name)} in this checkpoint; the published {config_name} has {getattr(preset, name)}."
        for name in ("encoder_hidden_sizes", "decoder_hidden_sizes", "latent_size")
        if getattr(config, name) != getattr(preset, name)
    ]


def save_model(state: dict[str, Tensor], config: MusicVAEConfig, output: Path):
    """Writes a converted model to the folder `output`.

    Raises:
        ConversionError: lists the tensors that hold NaN or infinite weights.
    """
    not_finite = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if not_finite:
        raise ConversionError(f"The checkpoint holds NaN or infinite weights in\n{list_names(not_finite)}")
    model = MusicVAEModel(config)
    model.load_state_dict(state)
    model.save_pretrained(output)


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

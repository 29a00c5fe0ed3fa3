"""Score2perf checkpoints of Magenta (TensorFlow): Music Transformer and the Transformer Autoencoder.

Written by tensor2tensor. The folder of a training run holds several checkpoints: name the .index file of one.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import GenerationConfig

from hub_models.transformer_autoencoder import (
    PRESETS,
    TransformerAutoencoderConfig,
    TransformerAutoencoderForConditionalGeneration,
    TransformerAutoencoderProcessor,
)

from .errors import ConversionError, list_names
from .tensorflow_checkpoints import read_checkpoint

CHECKPOINT_HELP = "a .index file or its prefix, or a folder or tar with one checkpoint"
CONFIG_NAMES = tuple(PRESETS)
LICENSE = "apache-2.0"  # of the original release, and so of converted weights
OPTIONS = {
    "num_heads": {
        "type": int,
        "metavar": "N",
        "help": "heads of the attention, where no table of relative positions shows them; default: the configuration's",
    },
    "aggregation": {
        "choices": ("sum", "concat", "tile"),
        "help": "how a melody_performance_transformer puts style and melody together; tile shows, the other two look alike "
        "and default to sum",
    },
}

#: Models of the original, by the name that all of their tensors start with, to the fields that choose the model. What
#: `transformer` hears of inputs depends on their vocabulary.
MODELS = {
    "transformer": {},
    "performance_transformer": {"performance_encoder": "style"},
    "baseline_performance_transformer": {"performance_encoder": "sequence"},
    "melody_performance_transformer": {"performance_encoder": "style", "melody_encoder": True},
    "baseline_melody_transformer": {"melody_encoder": True},
}
#: Configurations whose pieces were trained to end with an end event.
WITH_END = ("unconditional_model_16", "melody_conditioned_model_16")
RELATIVE = "self_attention/multihead_attention/dot_product_self_attention_relative_v2"


class Entry(NamedTuple):
    """One row of the mapping.

    Args:
        original (`tuple[str, ...]`): names of the tensors in the checkpoint.
        ours (`tuple[str, ...]`): names of the parameters that they make; more than one where a table is shared.
        kind (`str`): how they are laid out: `"vector"`, the same; `"kernel"`, ours is the transposed, one below the other
            where there are several; `"table"`, shards of rows; `"first_row"`, ours is the first row; `"positions"`, ours has
            an axis of heads, be it of length 1.
    """

    original: tuple[str, ...]
    ours: tuple[str, ...]
    kind: str


class Layout(NamedTuple):
    """How a checkpoint arranges what it holds.

    Args:
        model (`str`): one of [`MODELS`], the name that its tensors start with.
        encoders (`dict[str, str]`): our encoders to the original's.
        tables (`dict[str, tuple[str, ...]]`): our embeddings to their shards, in the order of rows.
        unused (`tuple[str, ...]`): shards of a table that the model has and does not use.
    """

    model: str
    encoders: dict[str, str]
    tables: dict[str, tuple[str, ...]]
    unused: tuple[str, ...]


def read_layout(tensors: dict[str, Tensor]) -> Layout:
    """What the names tell.

    Raises:
        ConversionError: this is no model of score2perf, or holds several, or lacks a table.
    """
    models = sorted({name.partition("/")[0] for name in tensors} & MODELS.keys())
    if len(models) != 1:
        raise ConversionError(
            f"The names in a score2perf checkpoint start with one of {', '.join(MODELS)}; these are\n{list_names(tensors)}"
        )
    model = models[0]
    found: dict[str, dict[int, list[str]]] = {}
    for name in tensors:
        # <model>/symbol_modality_<vocabulary>_<width>/<table>/weights_<shard>
        parts = name.split("/")
        if len(parts) == 4 and parts[0] == model and parts[1].startswith("symbol_modality_"):
            vocabulary = parts[1].split("_")[2]
            if vocabulary.isdigit():
                found.setdefault(parts[2], {}).setdefault(int(vocabulary), []).append(name)
    tables = {
        kind: {vocabulary: tuple(sorted(shards, key=_shard)) for vocabulary, shards in by_vocabulary.items()}
        for kind, by_vocabulary in found.items()
    }
    targets = tables.get("target_emb") or tables.get("shared")
    if not targets:
        raise ConversionError(f"The checkpoint lacks an embedding of targets; it has\n{list_names(tensors)}")
    (vocabulary, target_table), *_ = targets.items()
    inputs = tables.get("input_emb") or {}
    melody = {size: shards for size, shards in inputs.items() if size != vocabulary}
    has_encoder = any(name.startswith(f"{model}/body/encoder/") for name in tensors)
    ours = {"event": target_table, "head": tables["softmax"].get(vocabulary, ()) if "softmax" in tables else target_table}
    performance_table = inputs.get(vocabulary) or tables.get("shared", {}).get(vocabulary, ())
    encoders, unused = {}, ()
    if model == "melody_performance_transformer":
        encoders = {"performance": "perf_encoder", "melody": "mel_encoder"}
    elif model == "baseline_melody_transformer":
        encoders, unused = {"melody": "encoder"}, inputs.get(vocabulary, ())
    elif model != "transformer":
        encoders = {"performance": "encoder"}
    elif has_encoder:
        encoders = {"melody" if melody else "performance": "encoder"}
    if "melody" in encoders:
        ours["melody"] = next(iter(melody.values()), ())
    if "performance" in encoders:
        ours["performance"] = performance_table
    empty = [name for name, shards in ours.items() if not shards]
    if empty:
        raise ConversionError(f"The checkpoint lacks the {empty[0]} embedding of a {model}; it has\n{list_names(tensors)}")
    return Layout(model, encoders, ours, unused)


def _shard(name: str) -> tuple[int, str]:
    number = name.rpartition("weights_")[2]
    return (int(number) if number.isdigit() else -1, name)


def read_config(
    tensors: dict[str, Tensor], name: str, num_heads: int | None = None, aggregation: str | None = None
) -> TransformerAutoencoderConfig:
    """The preset `name` with the model and the sizes that the tensors have: people train the presets at other sizes.

    Args:
        num_heads (`int`, *optional*): see [`OPTIONS`].
        aggregation (`str`, *optional*): see [`OPTIONS`].

    Raises:
        ConversionError: lists the tensors that say how large the network is and are not there, or says what does not fit.
    """
    layout = read_layout(tensors)
    preset, missing = TransformerAutoencoderConfig.from_preset(name), []

    def shape(tensor: str, dimensions: int = 2) -> tuple[int, ...]:
        if tensor not in tensors:
            missing.append(tensor)
        elif tensors[tensor].dim() == dimensions:
            return tuple(tensors[tensor].shape)
        else:
            raise ConversionError(f"{tensor} has the shape {tuple(tensors[tensor].shape)}; it needs {dimensions} axes.")
        return (1,) * dimensions

    decoder = f"{layout.model}/body/decoder"
    attention = f"{decoder}/layer_0/self_attention/multihead_attention"
    tables = {ours: [shape(shard) for shard in shards] for ours, shards in layout.tables.items()}
    hidden_size = tables["event"][0][1]
    key_size, value_size = shape(f"{attention}/q/kernel")[1], shape(f"{attention}/v/kernel")[1]
    numbers = {
        **_kind(layout),
        "vocab_size": sum(rows for rows, _ in tables["event"]),
        "hidden_size": hidden_size,
        "num_hidden_layers": _count_layers(tensors, decoder),
        "key_size": None if preset.key_size is None and key_size == hidden_size else key_size,
        "value_size": None if preset.value_size is None and value_size == hidden_size else value_size,
        "intermediate_size": shape(f"{decoder}/layer_0/ffn/conv1/kernel")[1],
        "tie_word_embeddings": layout.tables["head"] == layout.tables["event"],
        "num_attention_heads": preset.num_attention_heads if num_heads is None else num_heads,
        **_relative_positions(tensors, decoder, key_size, num_heads),
    }
    if "melody" in tables:
        numbers["melody_vocab_size"] = sum(rows for rows, _ in tables["melody"])
    if layout.encoders:
        layers = max(_count_layers(tensors, f"{layout.model}/body/{encoder}") for encoder in layout.encoders.values())
        numbers["num_encoder_layers"] = None if layers == numbers["num_hidden_layers"] else layers
    if len(layout.encoders) == 2:
        width = shape(f"{decoder}/layer_0/encdec_attention/multihead_attention/k/kernel")[0]
        numbers["aggregation"] = _aggregation(width > hidden_size, aggregation)
    elif aggregation is not None:
        raise ConversionError(f"A {layout.model} aggregates nothing: it takes no --aggregation.")
    if missing:
        raise ConversionError(
            f"This is no checkpoint of that configuration; it lacks\n{list_names(missing)}\nand has\n{list_names(tensors)}"
        )
    try:
        return TransformerAutoencoderConfig.from_preset(name, **numbers, original_quirks=True)
    except StrictDataclassError as error:  # from `validate_architecture`
        reason = error.__cause__ or error
        raise ConversionError(f"The checkpoint does not fit the configuration {name}: {reason}") from error


def _kind(layout: Layout) -> dict:
    """The fields that choose the model."""
    if layout.model != "transformer":
        return MODELS[layout.model]
    performance_encoder = "sequence" if "performance" in layout.encoders else "none"
    return {"performance_encoder": performance_encoder, "melody_encoder": "melody" in layout.encoders}


def _count_layers(tensors: dict[str, Tensor], stack: str) -> int:
    layers = 0
    while any(name.startswith(f"{stack}/layer_{layers}/") for name in tensors):
        layers += 1
    return layers


def _relative_positions(tensors: dict[str, Tensor], decoder: str, key_size: int, num_heads: int | None) -> dict:
    """What the tables of relative positions tell: how many distances, and heads."""
    table = tensors.get(f"{decoder}/layer_0/{RELATIVE}/key_relative_embeddings")
    if table is None:
        return {"attention_type": "absolute"}
    if table.dim() not in (2, 3):
        raise ConversionError(f"A table of relative positions has the shape {tuple(table.shape)}; it needs 2 or 3 axes.")
    heads = table.shape[0] if table.dim() == 3 else key_size // max(table.shape[-1], 1)
    if num_heads not in (None, heads):
        raise ConversionError(f"The tables of relative positions are for {heads} heads; --num-heads says {num_heads}.")
    return {
        "attention_type": "relative",
        "num_attention_heads": heads,
        "max_relative_position": table.shape[-2],
        "heads_share_relative_embedding": table.dim() == 2,
        "relative_values": f"{decoder}/layer_0/{RELATIVE}/value_relative_embeddings" in tensors,
    }


def _aggregation(is_tile: bool, asked: str | None) -> str:
    if asked is not None and (asked == "tile") != is_tile:
        shows = "tile" if is_tile else "sum or concat"
        raise ConversionError(f"The decoder's attention to its inputs has the width of {shows}; --aggregation says {asked}.")
    return "tile" if is_tile else asked or "sum"


def mapping(config: TransformerAutoencoderConfig, layout: Layout) -> list[Entry]:
    """The rows of a configuration."""
    head = ("lm_head.weight",)
    events = ("model.event_embedding.weight",) + (head if config.tie_word_embeddings else ())
    entries = [Entry(layout.tables["event"], events, "table")]
    if not config.tie_word_embeddings:
        entries.append(Entry(layout.tables["head"], head, "table"))
    if layout.encoders:
        space = f"{layout.model}/body/target_space_embedding/kernel"
        entries.append(Entry((space,), ("model.encoder_offset",), "first_row"))
    for ours, original in layout.encoders.items():
        entries.append(Entry(layout.tables[ours], (f"model.{ours}_encoder.embedding.weight",), "table"))
        stack = (f"{layout.model}/body/{original}", f"model.{ours}_encoder")
        entries += _stack(*stack, config.num_layers_of_encoders, config, attends=False)
    attends = bool(layout.encoders)
    return entries + _stack(f"{layout.model}/body/decoder", "model.decoder", config.num_hidden_layers, config, attends)


def _stack(original: str, ours: str, layers: int, config: TransformerAutoencoderConfig, attends: bool) -> list[Entry]:
    entries = _norm(original, f"{ours}.norm")
    for index in range(layers):
        entries += _layer(f"{original}/layer_{index}", f"{ours}.layers.{index}", config, attends)
    return entries


def _layer(original: str, ours: str, config: TransformerAutoencoderConfig, attends: bool) -> list[Entry]:
    entries = _norm(f"{original}/self_attention", f"{ours}.self_attention_norm")
    entries += _attention(f"{original}/self_attention", f"{ours}.self_attention", {"query_key_value": "qkv"})
    if config.attention_type == "relative":
        for kind in ("key", "value") if config.relative_values else ("key",):
            name = f"{ours}.self_attention.relative_{kind}s.weight"
            entries.append(Entry((f"{original}/{RELATIVE}/{kind}_relative_embeddings",), (name,), "positions"))
    if attends:
        entries += _norm(f"{original}/encdec_attention", f"{ours}.cross_attention_norm")
        parts = {"query": "q", "key_value": "kv"}
        entries += _attention(f"{original}/encdec_attention", f"{ours}.cross_attention", parts)
    entries += _norm(f"{original}/ffn", f"{ours}.feed_forward_norm")
    for theirs, name in (("conv1", "feed_forward_in"), ("conv2", "feed_forward_out")):
        entries.append(Entry((f"{original}/ffn/{theirs}/kernel",), (f"{ours}.{name}.weight",), "kernel"))
        entries.append(Entry((f"{original}/ffn/{theirs}/bias",), (f"{ours}.{name}.bias",), "vector"))
    return entries


def _attention(original: str, ours: str, parts: dict[str, str]) -> list[Entry]:
    """Our fused kernels, each of the original's of these letters, and the kernel of the output."""
    kernels = {name: tuple(f"{letter}/kernel" for letter in letters) for name, letters in parts.items()}
    kernels["output"] = ("output_transform/kernel",)
    return [
        Entry(tuple(f"{original}/multihead_attention/{kernel}" for kernel in theirs), (f"{ours}.{name}.weight",), "kernel")
        for name, theirs in kernels.items()
    ]


def _norm(original: str, ours: str) -> list[Entry]:
    norm = f"{original}/layer_prepostprocess/layer_norm/layer_norm"
    return [
        Entry((f"{norm}_scale",), (f"{ours}.weight",), "vector"),
        Entry((f"{norm}_bias",), (f"{ours}.bias",), "vector"),
    ]


def to_state_dict(tensors: dict[str, Tensor], config: TransformerAutoencoderConfig) -> dict[str, Tensor]:
    """The original's tensors under our names and in our layout. Works on meta tensors too.

    Raises:
        ConversionError: lists the names that are missing, unknown, or of another shape than the configuration says.
    """
    layout = read_layout(tensors)
    entries = mapping(config, layout)
    expected = {name for entry in entries for name in entry.original}
    found = set(tensors) - set(layout.unused) - set(stray_scalars(tensors, layout))
    if expected != found:
        raise ConversionError(
            "The checkpoint does not fit the configuration."
            + (f"\nMissing:\n{list_names(expected - found)}" if expected - found else "")
            + (f"\nUnknown:\n{list_names(found - expected)}" if found - expected else "")
        )
    state = {}
    for entry in entries:
        try:
            weight = _convert([tensors[name] for name in entry.original], entry.kind)
        except (RuntimeError, IndexError) as error:  # shapes that do not go together
            raise ConversionError(
                f"The shapes of these tensors do not fit one another:\n{list_names(entry.original)}"
            ) from error
        state |= dict.fromkeys(entry.ours, weight)
    _check_shapes(state, config)
    return state


def stray_scalars(tensors: dict[str, Tensor], layout: Layout) -> list[str]:
    """Single numbers outside of the model: what other versions of tensor2tensor keep of their training."""
    return sorted(name for name in tensors if tensors[name].dim() == 0 and not name.startswith(f"{layout.model}/"))


def _convert(tensors: list[Tensor], kind: str) -> Tensor:
    """The original's tensors of one [`Entry`] as ours."""
    match kind:
        case "kernel":
            return torch.cat([tensor.t() for tensor in tensors], dim=0).contiguous()
        case "table":
            return torch.cat(tensors, dim=0)
        case "first_row":
            return tensors[0][0].clone()
        case "positions":
            return tensors[0] if tensors[0].dim() == 3 else tensors[0].unsqueeze(0)
        case _:
            return tensors[0]


def convert(
    checkpoint: Path, config_name: str, output: Path, num_heads: int | None = None, aggregation: str | None = None
) -> list[str]:
    """Writes model, generation settings and processor of a checkpoint to the folder `output`.

    Args:
        checkpoint (`Path`): a .index file or its prefix, or a folder or tar that holds one checkpoint.
        config_name (`str`): the preset.
        output (`Path`): made where it does not exist.
        num_heads, aggregation: what the checkpoint does not show, see [`OPTIONS`].

    Returns:
        Remarks for the person, such as sizes that differ from the preset's, and what was guessed or left out.

    Raises:
        ConversionError: where the checkpoint cannot be read or does not fit the configuration.
    """
    tensors = read_checkpoint(checkpoint)
    config = read_config(tensors, config_name, num_heads, aggregation)
    save_model(to_state_dict(tensors, config), config, output, generation_config(config, config_name))
    remarks = _remarks(tensors, config, config_name, num_heads, aggregation)
    if _reads_events(config):
        TransformerAutoencoderProcessor(context_length=config.context_length).save_pretrained(output)
    else:
        remarks.append("No processor was written: it knows 310 events of performances and 92 of melodies, the model others.")
    return remarks


def _reads_events(config: TransformerAutoencoderConfig) -> bool:
    """Whether the model's vocabularies are those of performances and melodies, not of chords or lead sheets."""
    sizes = TransformerAutoencoderConfig()
    fits = not config.melody_encoder or config.melody_vocab_size == sizes.melody_vocab_size
    return fits and config.vocab_size == sizes.vocab_size


def generation_config(config: TransformerAutoencoderConfig, config_name: str) -> GenerationConfig:
    """How the original plays: draws at temperature 1; pieces end where the model was trained on ends."""
    ends = config_name in WITH_END
    return GenerationConfig(
        do_sample=True,
        max_new_tokens=1024,
        pad_token_id=config.pad_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id if ends else None,
    )


def _remarks(
    tensors: dict[str, Tensor],
    config: TransformerAutoencoderConfig,
    config_name: str,
    num_heads: int | None,
    aggregation: str | None,
) -> list[str]:
    preset, layout = TransformerAutoencoderConfig.from_preset(config_name), read_layout(tensors)
    names = {
        "hidden_size": "hidden_size",
        "total_key_size": "key_size",
        "total_value_size": "value_size",
        "intermediate_size": "intermediate_size",
        "num_hidden_layers": "num_hidden_layers",
        "num_attention_heads": "num_attention_heads",
        "attention_type": "attention_type",
        **({"max_relative_position": "max_relative_position"} if config.attention_type == "relative" else {}),
        "vocab_size": "vocab_size",
        "melody_vocab_size": "melody_vocab_size",
    }
    remarks = [
        f"{field} is {getattr(config, name)} in this checkpoint; the published {config_name} has {getattr(preset, name)}."
        for name, field in names.items()
        if getattr(config, name) != getattr(preset, name)
    ]
    if config.attention_type == "absolute" and num_heads is None:
        remarks.append(
            f"The number of heads does not show in this checkpoint; taken from {config_name}: {config.num_attention_heads}. "
            "--num-heads sets it."
        )
    if len(layout.encoders) == 2 and config.aggregation != "tile" and aggregation is None:
        remarks.append("Whether the aggregation is sum or concat does not show in this checkpoint; taken to be sum.")
    if layout.unused:
        remarks.append(f"Left out what a {layout.model} has and does not use: {layout.unused[0].rpartition('/')[0]}.")
    if scalars := stray_scalars(tensors, layout):
        remarks.append(f"Left out numbers that are no weights: {', '.join(scalars)}.")
    return remarks


def save_model(
    state: dict[str, Tensor], config: TransformerAutoencoderConfig, output: Path, generation: GenerationConfig | None = None
):
    """Writes a converted model to the folder `output`.

    Raises:
        ConversionError: lists the tensors that hold NaN or infinite weights.
    """
    not_finite = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if not_finite:
        raise ConversionError(f"The checkpoint holds NaN or infinite weights in\n{list_names(not_finite)}")
    model = TransformerAutoencoderForConditionalGeneration(config)
    model.load_state_dict(state)
    if generation is not None:
        model.generation_config = generation
    model.save_pretrained(output)


def _check_shapes(state: dict[str, Tensor], config: TransformerAutoencoderConfig):
    with torch.device("meta"):
        expected = TransformerAutoencoderForConditionalGeneration(config).state_dict()
    wrong = [
        f"{name}: {tuple(state[name].shape)} in the checkpoint, {tuple(expected[name].shape)} in the configuration"
        for name in expected
        if state[name].shape != expected[name].shape
    ]
    if wrong:
        raise ConversionError(f"The checkpoint does not fit the configuration:\n{list_names(wrong)}")

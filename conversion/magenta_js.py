"""MusicVAE checkpoints of magenta.js: melodies, chords, drums, trios, grooves and bands. Needs no TensorFlow."""

from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from torch import Tensor

from hub_models.music_vae import PRESETS, MusicVAEConfig, MusicVAEProcessor

from .errors import ConversionError, list_names
from .magenta_js_config import STEPS_PER_QUARTER, Kind, Specification, read_kind, read_specification
from .magenta_music_vae import LICENSE, read_sizes, save_model, to_state_dict
from .tensorflowjs_weights import read_weights

__all__ = ["CHECKPOINT_HELP", "CONFIG_NAMES", "LICENSE", "build_config", "build_processor", "convert"]

CHECKPOINT_HELP = "the folder with config.json, weights_manifest.json and the files that it names"
CONFIG_NAMES = ()  # config.json tells

BEATS_PER_BAR = 4
# config.json says nothing of training: these fields come from a preset of the same kind.
LOSS_FIELDS = ("dropout", "free_bits", "max_beta", "beta_rate", "sampling_schedule", "sampling_rate")


def convert(checkpoint: Path, output: Path) -> list[str]:
    """Writes model and processor of a magenta.js folder to the folder `output`.

    magenta.js encodes to the posterior's mean and never reads `encoder/sigma`. Every published folder has it all the same,
    and without it there is no posterior to train or to measure with, so a folder that lacks it is refused as incomplete.

    Args:
        checkpoint (`Path`): the folder.
        output (`Path`): made where it does not exist.

    Returns:
        Remarks for the person, such as what the controls of the model mean.

    Raises:
        ConversionError: where the folder is incomplete or damaged, or is of a kind that cannot be converted.
    """
    specification = read_specification(checkpoint)
    tensors = read_weights(checkpoint)
    kind = read_kind(specification, set(tensors))
    config = build_config(tensors, specification, kind)
    state = to_state_dict(tensors, config)
    processor = build_processor(specification, kind)
    save_model(state, config, output)
    processor.save_pretrained(output)
    return _notes(specification, kind)


def build_config(tensors: dict[str, Tensor], specification: Specification, kind: Kind) -> MusicVAEConfig:
    """The configuration of a folder: what a step is from config.json, sizes from the shapes. Works on meta tensors too.

    Raises:
        ConversionError: where tensors are missing or have shapes that no such model has.
    """
    _check_layers(tensors)
    fields = {name: value for name, value in PRESETS.get(kind.preset, {}).items() if name in LOSS_FIELDS}
    fields |= {**kind.fields, "max_sequence_length": specification.num_steps, "control_size": specification.control_size}
    if segments := specification.num_segments:
        steps = specification.num_steps // segments
        fields["decoder_level_lengths"] = [segments, steps]
        if not any(name.startswith("encoder/cell_") for name in tensors):
            fields["encoder_level_lengths"] = [steps, segments]
    if control_sizes := _control_hidden_sizes(tensors):
        fields["control_hidden_sizes"] = control_sizes
    if fields.get("output_type") == "nade":
        fields["nade_hidden_size"] = 1  # until the tensors are asked
    sizes = read_sizes(tensors, _config(fields))
    return _config({**fields, **sizes})


def build_processor(specification: Specification, kind: Kind) -> MusicVAEProcessor:
    """The processor of a folder. magenta.js leaves the reading of files to its user, so ours reads in musical mode.

    Raises:
        ConversionError: where there is none.
    """
    if kind.processor is None:
        pitches = ", with different pitches for melody and bass," if specification.converter == "TrioConverter" else ""
        raise ConversionError(
            f"The weights fit, but there is no processor for {specification.converter}{pitches} in this project yet: "
            "nothing would turn MIDI into the model's tensors and back."
        )
    arguments = dict(kind.processor)
    if "num_bars" not in arguments:
        arguments["num_bars"] = _num_bars(specification.num_steps, arguments.get("steps_per_quarter", STEPS_PER_QUARTER))
    try:
        return MusicVAEProcessor(chords=specification.has_chords_only, **arguments)
    except ValueError as error:
        raise ConversionError(f"config.json: {error}") from error


def _num_bars(num_steps: int, steps_per_quarter: int) -> int:
    """Bars of a window where a step is always as long."""
    steps_per_bar = BEATS_PER_BAR * steps_per_quarter
    num_bars, rest = divmod(num_steps, steps_per_bar)
    if rest:
        raise ConversionError(
            f"config.json: {num_steps} steps are no whole number of bars; a bar has {steps_per_bar} steps."
        )
    return num_bars


def _config(fields: dict) -> MusicVAEConfig:
    try:
        return MusicVAEConfig(**fields)
    except (StrictDataclassError, ValueError) as error:
        raise ConversionError(f"config.json and the shapes of the tensors describe no model: {error}") from error


def _control_hidden_sizes(tensors: dict[str, Tensor]) -> list[int]:
    """Units of each layer of the LSTM that reads the controls, where there is one."""
    sizes = []
    pattern = "control_preprocessing/cell_{}/bidirectional_rnn/fw/multi_rnn_cell/cell_0/lstm_cell/kernel"
    while (name := pattern.format(len(sizes))) in tensors:
        sizes.append(tensors[name].shape[1] // 4)
    return sizes


def _check_layers(tensors: dict[str, Tensor]):
    """Refuses shapes that no layer has, so that what follows can trust them."""
    wrong = []
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition("/")
        fits = tensor.ndim == {"kernel": 2, "bias": 1, "w_enc": 3, "w_dec_t": 3}.get(part, tensor.ndim)
        if fits and part == "kernel" and layer.endswith("lstm_cell"):
            fits = tensor.shape[1] % 4 == 0 and tensor.shape[0] > tensor.shape[1] // 4
        if fits and part == "bias" and f"{layer}/kernel" in tensors:
            fits = tensor.shape == tensors[f"{layer}/kernel"].shape[-1:]
        if not fits:
            wrong.append(f"{name}: {tuple(tensor.shape)}")
    if wrong:
        raise ConversionError(f"The folder holds tensors of shapes that no layer has:\n{list_names(wrong)}")


def _notes(specification: Specification, kind: Kind) -> list[str]:
    notes = []
    if unread := specification.unread + specification.arguments.unread():
        notes.append(f"config.json also has {', '.join(map(repr, unread))[:200]}, which nothing reads.")
    if specification.controls and not specification.has_chords_only:
        columns, start = [], 0
        for name, width in specification.controls:
            columns.append(f"{name} {start}-{start + width - 1}")
            start += width
        notes.append(
            f"The processor does not make this model's controls; pass them to encode and decode as (steps, {start}), with "
            f"the columns {', '.join(columns)}."
        )
    notes.append(
        f"magenta.js does not tell how a model was trained: dropout, free bits and beta are those of {kind.preset}."
    )
    return notes

"""WaveGrad checkpoints of lmnt-com/wavegrad (PyTorch), to a diffusers pipeline folder and, with --export, back.

The published one is https://lmnt.com/assets/wavegrad/wavegrad-24kHz.pt (183 MB, speech, Apache-2.0): --sample-rate 24000.
Its SHA256, as lmnt's README gives it, is 65e9366da318d58d60d2c78416559351ad16971de906e53b415836c068e335f3.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hub_models.wavegrad import (
    WaveGradFeatureExtractor,
    WaveGradModel,
    WaveGradPipeline,
    WaveGradScheduler,
    preset,
)

from .errors import ConversionError, list_names
from .torch_checkpoints import check_tensors, find_checkpoint, read_torch

CHECKPOINT_HELP = "weights.pt, a weights-<step>.pt, or the folder of a training run"
CONFIG_NAMES = ()  # the shapes tell
LICENSE = "apache-2.0"  # of the original release, and so of converted weights
OPTIONS = {
    "sample_rate": {
        "type": int,
        "metavar": "HZ",
        "help": "of the audio that the network was trained on, such as 24000 for the published file. The file does not know "
        "it: the rate among its parameters is the packaged default, 22050, wherever it was not edited",
    }
}
EXPORT_HELP = "a pipeline folder to write back as weights.pt of lmnt-com/wavegrad; --output is then that file"

#: SHA256 of published files, from lmnt's README, to their names and sample rates.
PUBLISHED = {
    "65e9366da318d58d60d2c78416559351ad16971de906e53b415836c068e335f3": ("wavegrad-24kHz.pt", 24_000),
}
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 8_000, 192_000
HOP_LENGTH = 300
NUM_TRAINING_LEVELS = 1000
#: The noise schedule that lmnt's package trains with.
TRAINING_BETAS = np.linspace(1e-6, 0.01, NUM_TRAINING_LEVELS)

#: The layers of the four kinds of blocks, ours to lmnt's; in the order in which lmnt's network holds them.
DOWN_LAYERS = {"residual_conv": "residual_dense", "convs.0": "conv.0", "convs.1": "conv.1", "convs.2": "conv.2"}
FILM_LAYERS = {"input_conv": "input_conv", "output_conv": "output_conv"}
UP_LAYERS = {
    "residual_conv": "block1",
    "convs.0": "block2.0",
    "convs.1": "block2.1",
    "convs.2": "block3.0",
    "convs.3": "block3.1",
}
NUM_RATES = 5


def mapping() -> Iterator[tuple[str, str]]:
    """Every tensor's name, lmnt's and ours, in the order of lmnt's network."""
    for original, ours in _layers():
        for part in ("weight", "bias"):
            yield f"{original}.{part}", f"{ours}.{part}"


def _layers() -> Iterator[tuple[str, str]]:
    yield "downsample.0", "audio_conv"
    for index in range(NUM_RATES - 1):
        for ours, original in DOWN_LAYERS.items():
            yield f"downsample.{index + 1}.{original}", f"down_blocks.{index}.{ours}"
    for index in range(NUM_RATES):
        for ours, original in FILM_LAYERS.items():
            yield f"film.{index}.{original}", f"films.{index}.{ours}"
    for index in range(NUM_RATES):
        for ours, original in UP_LAYERS.items():
            yield f"upsample.{index}.{original}", f"up_blocks.{index}.{ours}"
    yield "first_conv", "mel_conv"
    yield "last_conv", "output_conv"


def read_sizes(tensors: dict[str, Tensor]) -> dict[str, int | list[int]]:
    """The arguments of `WaveGradModel` that shapes tell. Factors and dilations they do not tell; lmnt has one set of them.

    Args:
        tensors: lmnt's names to convolution weights (out, in, kernel) and biases (out,). Works on meta tensors too.

    Raises:
        ConversionError: lists the names that are missing, unknown, or no convolution.
    """
    expected = {name for name, _ in mapping()}
    if expected != set(tensors):
        missing, unknown = expected - set(tensors), set(tensors) - expected
        raise ConversionError(
            "The checkpoint does not hold lmnt's network."
            + (f"\nMissing:\n{list_names(missing)}" if missing else "")
            + (f"\nUnknown:\n{list_names(map(str, unknown))}" if unknown else "")
        )
    wrong = [
        f"{name}: {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if tensor.ndim != (3 if name.endswith("weight") else 1) or not tensor.numel()
    ]
    if wrong:
        raise ConversionError(f"The checkpoint holds tensors of shapes that no convolution has:\n{list_names(wrong)}")
    down = ["downsample.0", *(f"downsample.{index}.residual_dense" for index in range(1, NUM_RATES))]
    return {
        "num_mel_bands": tensors["first_conv.weight"].shape[1],
        "mel_channels": tensors["first_conv.weight"].shape[0],
        "down_channels": [tensors[f"{layer}.weight"].shape[0] for layer in down],
        "up_channels": [tensors[f"upsample.{index}.block1.weight"].shape[0] for index in range(NUM_RATES)],
    }


def build_model(tensors: dict[str, Tensor], **settings) -> WaveGradModel:
    """The model that lmnt's tensors belong to, without weights (on the meta device).

    Raises:
        ConversionError: no such network has tensors of these names and shapes.
    """
    try:
        with torch.device("meta"):
            model = WaveGradModel(**preset("wavegrad-lmnt", **read_sizes(tensors), **settings))
    except ConversionError:
        raise
    except ValueError as error:
        raise ConversionError(f"The shapes of the tensors describe no network of lmnt's: {error}") from error
    expected = model.state_dict()
    wrong = [
        f"{original}: {tuple(tensors[original].shape)} in the checkpoint, {tuple(expected[ours].shape)} in the network"
        for original, ours in mapping()
        if tensors[original].shape != expected[ours].shape
    ]
    if wrong:
        raise ConversionError(f"The tensors of the checkpoint do not fit together:\n{list_names(wrong)}")
    return model


def to_state_dict(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """lmnt's tensors under our names; values and layouts are the same."""
    return {ours: tensors[original] for original, ours in mapping()}


def to_original(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors, or their gradients, under lmnt's names and in lmnt's order."""
    return {original: state[ours] for original, ours in mapping()}


def convert(checkpoint: Path, output: Path, sample_rate: int | None = None) -> list[str]:
    """Writes a checkpoint as a pipeline to the folder `output`; optimizer and scaler are left behind.

    Args:
        checkpoint (`Path`): the file, or a folder with `weights.pt` or `weights-<step>.pt`.
        output (`Path`): made where it does not exist.
        sample_rate (`int`): of the audio that the network was trained on, Hz.

    Returns:
        Remarks for the person, such as widths that differ from the package's.

    Raises:
        ConversionError: the file cannot be read, holds another network, or was trained at another rate.
    """
    path = find_checkpoint(checkpoint)
    contents = read_torch(path)
    if not isinstance(contents, dict) or "model" not in contents:
        held = list_names(map(str, contents)) if isinstance(contents, dict) else f"  {type(contents).__name__}"
        raise ConversionError(f"{path.name} is no checkpoint of lmnt's: it has no 'model', but\n{held}")
    tensors = check_tensors(contents["model"], "The checkpoint's 'model'")
    parameters = contents.get("params")
    parameters = parameters if isinstance(parameters, dict) else {}
    _check_sample_rate(path, sample_rate)
    if isinstance(hop := parameters.get("hop_samples"), int) and hop != HOP_LENGTH:
        raise ConversionError(f"The checkpoint's hop_samples is {hop}; lmnt's network has a hop of {HOP_LENGTH}.")
    betas = _read_betas(parameters.get("noise_schedule"))
    sizes = read_sizes(tensors)
    feature_extractor = WaveGradFeatureExtractor(feature_size=sizes["num_mel_bands"], sampling_rate=sample_rate)
    model = build_model(tensors, mel_settings=feature_extractor.mel_settings)
    model.load_state_dict({name: tensor.float() for name, tensor in to_state_dict(tensors).items()}, assign=True)
    scheduler = WaveGradScheduler(**({} if betas is None else {"trained_betas": betas, "num_train_timesteps": len(betas)}))
    WaveGradPipeline(model, scheduler, feature_extractor).save_pretrained(output)
    return _notes(contents, parameters, sizes, sample_rate, betas)


def export(folder: Path, output: Path) -> list[str]:
    """Writes a pipeline folder as a checkpoint that lmnt-com/wavegrad loads, to synthesise with or to train on from.

    Args:
        folder (`Path`): of a pipeline.
        output (`Path`): the file; lmnt's `predict` takes it, or its folder where it is called `weights.pt`.

    Returns:
        Remarks for the person, such as what the original needs to load it.

    Raises:
        ConversionError: there is no pipeline, or its network is none that lmnt's code can compute; says why.
    """
    if not (Path(folder) / "model_index.json").is_file():
        raise ConversionError(f"{folder} is no folder of a pipeline: it has no model_index.json.")
    try:
        pipeline = WaveGradPipeline.from_pretrained(folder)
    except Exception as error:  # diffusers raises whatever its parts do
        raise ConversionError(f"The pipeline in {folder} does not load: {str(error)[:500]}") from error
    config = pipeline.model.config
    if reasons := _obstacles(config):
        raise ConversionError(f"lmnt's network cannot compute what this model computes:\n{list_names(reasons)}")
    state = {name: tensor.float().contiguous() for name, tensor in pipeline.model.state_dict().items()}
    tensors = check_tensors(to_original(state), "The model")
    betas = pipeline.scheduler.schedule_betas("training")
    parameters = {
        "batch_size": 32,
        "learning_rate": 2e-4,
        "max_grad_norm": 1.0,
        "sample_rate": pipeline.feature_extractor.sampling_rate,
        "hop_samples": HOP_LENGTH,
        "crop_mel_frames": 24,
        "noise_schedule": betas.tolist(),
    }
    optimizer = torch.optim.Adam([tensor.clone().requires_grad_() for tensor in tensors.values()], lr=2e-4)
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 0}
    contents = {"step": 0, "model": tensors, "optimizer": optimizer.state_dict(), "params": parameters, "scaler": scaler}
    output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(contents, output)
    return _export_notes(tensors, betas, pipeline.feature_extractor)


def _check_sample_rate(path: Path, sample_rate: int | None):
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    published = PUBLISHED.get(digest)
    if published and sample_rate != published[1]:
        raise ConversionError(f"This is the published {published[0]}: give --sample-rate {published[1]}, not {sample_rate}.")
    if sample_rate is None:
        raise ConversionError(
            "Give --sample-rate: the checkpoint does not know the rate of the audio that it was trained on. The published "
            "files' rates are " + ", ".join(f"{rate} ({name})" for name, rate in PUBLISHED.values()) + "."
        )
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise ConversionError(f"--sample-rate is {sample_rate}; {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz are possible.")


def _read_betas(schedule: Any) -> list[float] | None:
    """The betas of training where they are not the package's.

    Raises:
        ConversionError: they are no list of numbers between 0 and 1.
    """
    if schedule is None:
        return None
    try:
        betas = np.asarray(schedule, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConversionError(f"The checkpoint's noise_schedule is no list of numbers: {str(error)[:200]}") from error
    if betas.ndim != 1 or not betas.size or not ((betas > 0) & (betas < 1)).all():  # NaN fails this too
        raise ConversionError("The checkpoint's noise_schedule must be a list of numbers between 0 and 1.")
    betas = betas[:NUM_TRAINING_LEVELS]  # lmnt's training draws from so many
    if betas.shape == TRAINING_BETAS.shape and np.allclose(betas, TRAINING_BETAS, rtol=1e-9, atol=0):
        return None
    return betas.tolist()


def _notes(
    contents: dict[str, Any],
    parameters: dict[str, Any],
    sizes: dict[str, int | list[int]],
    sample_rate: int,
    betas: list[float] | None,
) -> list[str]:
    published = preset("wavegrad-lmnt")
    notes = [
        f"{name} is {value} in this checkpoint; lmnt's package has {published[name]}."
        for name, value in sizes.items()
        if value != published[name]
    ]
    if isinstance(contents.get("step"), int):
        notes.append(f"The network was trained for {contents['step']:,} steps.")
    if isinstance(rate := parameters.get("sample_rate"), int) and rate != sample_rate:
        notes.append(
            f"The checkpoint's parameters say {rate} Hz, which is often the packaged default; the pipeline is for the "
            f"{sample_rate} Hz that you gave. The wrong one of the two shifts the pitch."
        )
    if betas is not None:
        notes.append(f"The checkpoint has a noise schedule of its own, {len(betas)} levels: the scheduler's training betas.")
    return notes


def _obstacles(config: Any) -> list[str]:
    """What lmnt's code cannot compute: its factors, dilations and blocks are constants."""
    possible = preset("wavegrad-lmnt")
    sizes = ("num_mel_bands", "mel_channels", "down_channels", "up_channels")
    return [
        f"{name} is {_plain(config[name])}; lmnt's is {value}"
        for name, value in possible.items()
        if name not in sizes and _plain(config[name]) != value
    ]


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _export_notes(tensors: dict[str, Tensor], betas: np.ndarray, feature_extractor: WaveGradFeatureExtractor) -> list[str]:
    published = preset("wavegrad-lmnt")
    notes = []
    if different := [name for name, value in read_sizes(tensors).items() if value != published[name]]:
        notes.append(
            f"lmnt's package builds its network with widths of its own, and {', '.join(different)} of this one differ: the "
            "file loads only in a copy whose model.py has these widths."
        )
    settings = feature_extractor.mel_settings
    expected = WaveGradFeatureExtractor(sampling_rate=feature_extractor.sampling_rate).mel_settings
    if different := [name for name, value in expected.items() if settings[name] != value]:
        notes.append(f"lmnt's preprocessing gives other spectrograms: {', '.join(different)} differ. Make them with ours.")
    if len(betas) < NUM_TRAINING_LEVELS:
        notes.append(f"lmnt's training needs {NUM_TRAINING_LEVELS} betas and fails with these {len(betas)}; predict works.")
    notes.append(
        "lmnt's predict returns the packaged sample rate and takes the packaged 1000-step schedule: pass another one as "
        "params={'noise_schedule': betas}."
    )
    return notes

"""Reads TensorFlow checkpoints as published: a tar, a directory, an .index file or its prefix.

TensorFlow's own reader does the reading (extra `convert`); nothing in a checkpoint is executed.
"""

import re
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import ConversionError

# A tar that unpacks to more than this is no checkpoint of these models (the largest published one has 2 GB).
MAX_UNPACKED_BYTES = 8 * 1024**3
# What training leaves in a checkpoint beside the weights.
_LEFTOVERS = re.compile(
    r"(^|/)(global_step|beta[12]_power|opaque_kernel)$"
    r"|/(Adam|Adam_1|Adagrad|Momentum|RMSProp(_1)?|Adafactor(_\d)?)$"
    r"|^(training|losses_avg|train_stats)/"  # tensor2tensor's: slots, running means of the loss, steps
)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint by name, as float32 tensors; optimizer slots and step counters are left out.

    Raises:
        ConversionError: where there is no checkpoint, or more than one to choose from, or it cannot be read.
    """
    path = Path(path)
    if path.is_file() and tarfile.is_tarfile(path):
        with tempfile.TemporaryDirectory() as folder:
            _unpack(path, Path(folder))
            return _read_prefix(find_prefix(Path(folder)))
    return _read_prefix(find_prefix(path))


def find_prefix(path: Path) -> str:
    """The prefix `.../model.ckpt-1000` that a path means: the prefix itself, its .index file, or the folder it is in."""
    if path.is_dir():
        found = sorted(path.rglob("*.index"))
        if len(found) != 1:
            listed = ", ".join(str(index.relative_to(path)) for index in found[:5]) or "none"
            raise ConversionError(
                f"{path.name} must hold exactly one checkpoint (one .index file); found {listed}."
                + (" Give the .index file of one." if found else "")
            )
        path = found[0]
    prefix = str(path).removesuffix(".index")
    if not Path(prefix + ".index").is_file():
        raise ConversionError(f"There is no TensorFlow checkpoint at {path}: no tar, no folder, and no file {prefix}.index.")
    return prefix


def is_leftover(name: str) -> bool:
    """Whether a variable is an optimizer slot, a counter or other known junk rather than a weight."""
    return _LEFTOVERS.search(name) is not None


def _read_prefix(prefix: str) -> dict[str, Tensor]:
    try:
        from tensorflow import train
    except ImportError as error:
        raise ConversionError(
            "Reading TensorFlow checkpoints needs TensorFlow: pip install 'encore-music[convert]'"
        ) from error
    try:
        reader = train.load_checkpoint(prefix)
        names = [name for name in reader.get_variable_to_shape_map() if not is_leftover(name)]
        arrays = {name: np.asarray(reader.get_tensor(name)) for name in names}
    except Exception as error:  # TensorFlow raises its own status types
        raise ConversionError(
            f"The checkpoint {Path(prefix).name} is broken: {' '.join(str(error).split())[:200]}"
        ) from error
    return {
        name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items() if array.dtype.kind == "f"
    } | {name: torch.from_numpy(array.copy()) for name, array in arrays.items() if array.dtype.kind in "iu"}


def _unpack(path: Path, folder: Path):
    with tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        size = sum(member.size for member in members)
        if size > MAX_UNPACKED_BYTES:
            raise ConversionError(f"{path.name} unpacks to {size:,} bytes; at most {MAX_UNPACKED_BYTES:,} are read.")
        try:
            archive.extractall(folder, members, filter="data")
        except tarfile.FilterError as error:
            raise ConversionError(f"{path.name} is refused: {error}") from error

"""Reads weights as TensorFlow.js stores them: weights_manifest.json and the shard files that it names.

The manifest is a list of groups. The shards of a group, one after the other, hold its tensors in the manifest's order
without padding, so a tensor may begin in one shard and end in the next. Everything is little-endian. Needs no TensorFlow.
"""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .errors import ConversionError, list_names
from .tensorflow_checkpoints import is_leftover

MANIFEST = "weights_manifest.json"
MAX_JSON_BYTES = 16 * 1024**2
MAX_TENSORS = 10_000
# The largest published folder, trio_16bar, holds 0.43 billion values.
MAX_VALUES = 2 * 10**9
MAX_DIMENSIONS = 8

# How a shard holds them.
DTYPES = {"float32": "<f4", "int32": "<i4", "uint8": "<u1", "bool": "?"}
QUANTISED_DTYPES = {"uint8": "<u1", "uint16": "<u2", "float16": "<f2"}


class Weight(NamedTuple):
    """One tensor of a manifest.

    Args:
        name (`str`): its name.
        shape (`tuple[int, ...]`): its shape.
        stored (`np.dtype`): how its values lie in the shards.
        scale, minimum (`float`, *optional*): of integers that stand for `integer * scale + minimum`.
    """

    name: str
    shape: tuple[int, ...]
    stored: np.dtype
    scale: float | None = None
    minimum: float | None = None

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.num_values * self.stored.itemsize


class Group(NamedTuple):
    """Shard files, and the tensors that lie in them one after the other."""

    shards: list[Path]
    weights: list[Weight]


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a TensorFlow.js folder by name, dequantised to float32; what training left behind is left out.

    Raises:
        ConversionError: where the manifest or a shard is missing, does not fit, lies elsewhere, or holds NaN.
    """
    folder = Path(folder)
    groups = read_manifest(folder)
    _check_shards(folder, groups)
    tensors = {}
    for group in groups:
        with _Shards(group.shards) as shards:
            for weight in group.weights:
                if is_leftover(weight.name):
                    shards.skip(weight.num_bytes)
                else:
                    tensors[weight.name] = dequantise(shards.read(weight), weight)
    not_finite = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if not_finite:
        raise ConversionError(f"{folder.name} holds NaN or infinite weights in\n{list_names(not_finite)}")
    return tensors


def read_manifest(folder: Path) -> list[Group]:
    """The groups of a folder's manifest; opens no shard.

    Raises:
        ConversionError: where there is no manifest, or it describes something that no weights can be.
    """
    entries = read_json(Path(folder) / MANIFEST)
    problems: list[str] = []
    groups = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [None]):
        if not _is_group(entry):
            raise ConversionError(f"{MANIFEST} must be a list of groups with 'paths' and 'weights'; group {number} is none.")
        shards = [_shard(Path(folder), path, problems) for path in entry["paths"]]
        weights = [_weight(description, problems) for description in entry["weights"]]
        groups.append(Group([shard for shard in shards if shard], [weight for weight in weights if weight]))
    weights = [weight for group in groups for weight in group.weights]
    counts = Counter(weight.name for weight in weights)
    problems += [f"{name[:200]}: named twice" for name, count in counts.items() if count > 1]
    if len(weights) > MAX_TENSORS or sum(weight.num_values for weight in weights) > MAX_VALUES:
        problems.append(f"more than {MAX_TENSORS:,} tensors or {MAX_VALUES:,} values")
    if not weights and not problems:
        problems.append("it names no weights")
    if problems:
        raise ConversionError(f"{MANIFEST} is refused:\n{list_names(problems)}")
    return groups


def read_json(path: Path) -> Any:
    """A JSON file of a model folder.

    Raises:
        ConversionError: where it is missing, too large, or no JSON.
    """
    if not path.is_file():
        raise ConversionError(f"There is no {path.name} in {path.parent}; a magenta.js folder has one.")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ConversionError(f"{path.name} has {path.stat().st_size:,} bytes; at most {MAX_JSON_BYTES:,} are read.")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path.name} is no JSON: {str(error)[:200]}") from error


def dequantise(values: np.ndarray, weight: Weight) -> Tensor:
    """Stored values as a tensor: floats as float32, integers that stand for floats multiplied out, the rest as it is."""
    if weight.scale is not None:
        # In double precision, as JavaScript computes, and rounded once. A scale that overflows is found as infinite.
        with np.errstate(over="ignore"):
            values = np.asarray(values * np.float64(weight.scale) + np.float64(weight.minimum), dtype=np.float32)
    dtype = np.dtype(np.float32) if values.dtype.kind == "f" else values.dtype
    return torch.from_numpy(values.astype(dtype.newbyteorder("="), copy=False))


class _Shards:
    """Shard files read as one."""

    def __init__(self, paths: list[Path]):
        self.paths = list(paths)
        self.file = None

    def __enter__(self) -> "_Shards":
        return self

    def __exit__(self, *_):
        if self.file:
            self.file.close()

    def read(self, weight: Weight) -> np.ndarray:
        """The next values, of the weight's shape."""
        values = np.empty(weight.shape, dtype=weight.stored)
        self._fill(memoryview(values.reshape(-1).view(np.uint8)))
        return values

    def skip(self, num_bytes: int):
        while num_bytes:
            part = min(num_bytes, 1 << 20)
            self._fill(memoryview(bytearray(part)))
            num_bytes -= part

    def _fill(self, view: memoryview):
        """Fills the view from as many shards as it takes; that there are enough bytes was checked."""
        while view:
            if self.file is None:
                self.file = self.paths.pop(0).open("rb")
            count = self.file.readinto(view)
            view = view[count:]
            if not count:
                self.file.close()
                self.file = None


def _check_shards(folder: Path, groups: list[Group]):
    """Every shard is there, and each group holds as many bytes as its tensors need."""
    missing = [str(shard.relative_to(folder)) for group in groups for shard in group.shards if not shard.is_file()]
    if missing:
        raise ConversionError(f"{folder.name} lacks shards that {MANIFEST} names:\n{list_names(missing)}")
    for group in groups:
        needed = sum(weight.num_bytes for weight in group.weights)
        found = sum(shard.stat().st_size for shard in group.shards)
        if found != needed:
            shards = list_names(str(shard.relative_to(folder)) for shard in group.shards)
            raise ConversionError(
                f"The shards of a group hold {found:,} bytes together, but its tensors need {needed:,}: a download that "
                f"broke off, or shards of another checkpoint.\n{shards}"
            )


def _is_group(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), list) for key in ("paths", "weights"))


def _shard(folder: Path, path: Any, problems: list[str]) -> Path | None:
    """The file that a manifest names. Nothing outside the folder is read, nor what a link in it points to outside."""
    if not isinstance(path, str) or not path or "\0" in path or len(path) > 255:
        problems.append(f"a shard is called {str(path)[:80]!r}")
        return None
    if Path(path).is_absolute() or ".." in Path(path).parts or "\\" in path:
        problems.append(f"{path[:80]}: a shard outside the folder")
        return None
    try:
        inside = (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself
        inside = False
    if not inside:
        problems.append(f"{path[:80]}: a link out of the folder; copy the file itself there")
        return None
    return folder / path


def _weight(description: Any, problems: list[str]) -> Weight | None:
    """One entry of `weights`, or None and what is wrong with it."""
    name = description.get("name") if isinstance(description, dict) else None
    if not isinstance(name, str) or not name:
        problems.append(f"a weight without a name: {str(description)[:80]}")
        return None
    shown = name[:200]
    shape, dtype, quantisation = (description.get(key) for key in ("shape", "dtype", "quantization"))
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        problems.append(f"{shown}: the shape {repr(shape)[:80]}")
        return None
    if len(shape) > MAX_DIMENSIONS or math.prod(shape) > MAX_VALUES:
        problems.append(f"{shown}: the shape {repr(shape)[:80]} is too large")
        return None
    if dtype not in list(DTYPES):
        problems.append(f"{shown}: dtype {str(dtype)[:80]!r}; read are {', '.join(DTYPES)}")
        return None
    if quantisation is None:
        return Weight(name, tuple(shape), np.dtype(DTYPES[dtype]))
    stored = quantisation.get("dtype") if isinstance(quantisation, dict) else None
    if dtype != "float32" or stored not in list(QUANTISED_DTYPES):
        problems.append(
            f"{shown}: {dtype} quantised as {str(stored)[:80]!r}; read is float32 as {', '.join(QUANTISED_DTYPES)}"
        )
        return None
    if stored == "float16":
        return Weight(name, tuple(shape), np.dtype("<f2"))
    numbers = [quantisation.get(key) for key in ("scale", "min")]
    if not all(type(number) in (int, float) and abs(number) < 1e300 for number in numbers):  # NaN fails this too
        problems.append(f"{shown}: quantised with the scale and minimum {str(numbers)[:80]}")
        return None
    return Weight(name, tuple(shape), np.dtype(QUANTISED_DTYPES[stored]), *map(float, numbers))

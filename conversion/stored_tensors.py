"""Tensors that stay in their file: read piece by piece, and written piece by piece as safetensors.

So a checkpoint of any size is converted in the memory of one of its tensors.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from .errors import ConversionError, list_names

CHUNK_BYTES = 4 * 1024**2
MAX_HEADER_BYTES = 100 * 1024**2
#: As the Hub recommends for files that are downloaded.
MAX_SHARD_BYTES = 5 * 1000**3

#: Types that weights can have here, and what safetensors calls them.
SAFETENSORS_TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_TYPES_OF_SAFETENSORS = {
    **{name: dtype for dtype, name in SAFETENSORS_TYPES.items()},
    **{"F64": torch.float64, "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}


@dataclass(eq=False)
class Storage:
    """Numbers that lie in a row in an open file.

    Args:
        file: where.
        name: of the file, for messages.
        dtype: of the numbers.
        length: how many there are.
        start: byte of the first one.
    """

    file: BinaryIO = field(repr=False)
    name: str
    dtype: torch.dtype
    length: int
    start: int | None = None

    def read(self, first: int, buffer: memoryview) -> None:
        """Fills `buffer` with the numbers from number `first` on."""
        self.file.seek(self.start + first * self.dtype.itemsize)
        if self.file.readinto(buffer) != len(buffer):
            raise ConversionError(f"{self.name} breaks off: it ends in the middle of a tensor; download it again.")


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor of which only form and place are known.

    Args:
        storage: its numbers.
        offset: of its first one in the storage.
        shape, strides: as a tensor's.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        return self.storage.dtype

    @property
    def length(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.length * self.dtype.itemsize

    @property
    def place(self) -> tuple:
        """Equal for tensors that are the same numbers of the same file."""
        return id(self.storage), self.offset, self.shape, self.strides

    def is_inside(self) -> bool:
        """Whether all its numbers lie in its storage, each at most once."""
        if len(self.shape) != len(self.strides) or any(number < 0 for number in (self.offset, *self.shape, *self.strides)):
            return False
        # One stored number can be spread over a shape of any size; reading it would fill the memory.
        return self.length <= self.storage.length and self.offset + self._span() <= self.storage.length

    def chunks(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Tensor]:
        """Its numbers in order, some at a time, as flat tensors that are good until the next one.

        Raises:
            ConversionError: the file ends before them.
        """
        if not self.length:
            return
        if not self._is_contiguous():
            yield self._gathered()
            return
        step = max(chunk_bytes // self.dtype.itemsize, 1)
        buffer = bytearray(min(step, self.length) * self.dtype.itemsize)
        for first in range(0, self.length, step):
            count = min(step, self.length - first)
            with memoryview(buffer)[: count * self.dtype.itemsize] as part:
                self.storage.read(self.offset + first, part)
            yield torch.frombuffer(buffer, dtype=self.dtype, count=count)

    def load(self) -> Tensor:
        """All of it."""
        tensor = torch.empty(self.length, dtype=self.dtype)
        position = 0
        for chunk in self.chunks():
            tensor[position : position + len(chunk)] = chunk
            position += len(chunk)
        return tensor.reshape(self.shape)

    def _span(self) -> int:
        """Numbers from the first to the last one, with those between that belong to others."""
        if not self.length:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    def _is_contiguous(self) -> bool:
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size > 1 and stride != expected:
                return False
            expected *= size
        return True

    def _gathered(self) -> Tensor:
        buffer = bytearray(self._span() * self.dtype.itemsize)
        with memoryview(buffer) as part:
            self.storage.read(self.offset, part)
        return torch.frombuffer(buffer, dtype=self.dtype).as_strided(self.shape, self.strides).flatten()


def check_stored_tensors(tensors: Any, name: str) -> dict[str, StoredTensor]:
    """The same dict where it maps names to float tensors of their file. Their numbers are checked as they are read.

    Args:
        name: what the tensors are, for the message.

    Raises:
        ConversionError: lists what is something else.
    """
    if not isinstance(tensors, dict) or not tensors:
        raise ConversionError(f"{name} must be a dict of tensors, got {type(tensors).__name__}.")
    wrong = [
        f"{str(key)[:200]}: {_describe(tensor)}"
        for key, tensor in tensors.items()
        if not (
            isinstance(key, str)
            and isinstance(tensor, StoredTensor)
            and tensor.dtype in SAFETENSORS_TYPES
            and tensor.is_inside()
        )
    ]
    if wrong:
        types = ", ".join(str(dtype).removeprefix("torch.") for dtype in SAFETENSORS_TYPES)
        raise ConversionError(f"{name} must hold tensors of {types}, but has\n{list_names(wrong)}")
    return tensors


def _describe(value: Any) -> str:
    if not isinstance(value, StoredTensor):
        return type(value).__name__
    inside = "" if value.is_inside() else f", beyond its {value.storage.length} numbers"
    return f"{value.dtype}, {value.shape}{inside}"


def have_equal_numbers(first: StoredTensor, second: StoredTensor) -> bool:
    """Whether two tensors hold the same numbers, in one place or in two."""
    if first.place == second.place:
        return True
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    return torch.equal(first.load(), second.load())


def read_safetensors(path: Path, file: BinaryIO) -> dict[str, StoredTensor]:
    """The tensors of an open safetensors file.

    Raises:
        ConversionError: the file is damaged or none of safetensors.
    """
    size = path.stat().st_size
    try:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        if header_bytes > min(MAX_HEADER_BYTES, size - 8):
            raise ValueError(f"a header of {header_bytes:,} bytes")
        header = json.loads(file.read(header_bytes))
        header.pop("__metadata__", None)
        return {name: _placed(path, file, 8 + header_bytes, size, entry) for name, entry in header.items()}
    except ConversionError:
        raise
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(f"{path.name} is damaged or no file of safetensors: {reason}") from error


def _placed(path: Path, file: BinaryIO, data_start: int, size: int, entry: dict[str, Any]) -> StoredTensor:
    dtype, shape, (first, end) = _TYPES_OF_SAFETENSORS[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    length = math.prod(shape)
    if any(number < 0 for number in (*shape, first)) or end - first != length * dtype.itemsize:
        raise ValueError(f"a tensor of shape {shape} in {end - first} bytes")
    if data_start + end > size:
        raise ConversionError(
            f"{path.name} breaks off: {data_start + end - size:,} bytes are missing at its end; download it again."
        )
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return StoredTensor(Storage(file, path.name, dtype, length, data_start + first), 0, shape, strides)


def write_safetensors(
    folder: Path,
    tensors: Mapping[str, StoredTensor],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    on_bytes: Callable[[int], None] | None = None,
) -> None:
    """Writes model.safetensors, or shards and their index, as `save_pretrained` does; types stay as they are.

    Args:
        folder: where; it exists.
        max_shard_bytes: files that would be larger are divided.
        on_bytes: called with the number of bytes after each piece.

    Raises:
        ConversionError: a tensor holds NaN or infinite values, or its file breaks off.
    """
    shards = _divide(tensors, max_shard_bytes)
    weight_map = {}
    for number, names in enumerate(shards, 1):
        ending = f"-{number:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
        file_name = f"model{ending}.safetensors"
        _write_file(folder / file_name, {name: tensors[name] for name in names}, on_bytes)
        weight_map |= dict.fromkeys(names, file_name)
    if len(shards) > 1:
        totals = {
            "total_parameters": sum(tensor.length for tensor in tensors.values()),
            "total_size": sum(tensor.nbytes for tensor in tensors.values()),
        }
        index = json.dumps({"metadata": totals, "weight_map": dict(sorted(weight_map.items()))}, indent=2)
        (folder / "model.safetensors.index.json").write_text(index + "\n", encoding="utf-8")


def _divide(tensors: Mapping[str, StoredTensor], max_shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > max_shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += tensor.nbytes
    return shards


def _write_file(path: Path, tensors: dict[str, StoredTensor], on_bytes: Callable[[int], None] | None):
    # Wider types first, so that every tensor starts at a multiple of its type's size.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, tensor in ordered:
        end = position + tensor.nbytes
        header[name] = {
            "dtype": SAFETENSORS_TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name, tensor in ordered:
            for chunk in tensor.chunks():
                if not torch.isfinite(chunk).all():
                    raise ConversionError(f"The checkpoint holds NaN or infinite values in {name}.")
                file.write(chunk.view(torch.uint8).numpy())
                if on_bytes:
                    on_bytes(chunk.nbytes)

"""Reads files of `torch.save` with a closed unpickler: tensors, numbers, text, lists and dicts, and nothing that runs."""

import contextlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import ConversionError, list_names

MAX_FILE_BYTES = 2 * 1024**3
NUMPY_TYPES = ("f2", "f4", "f8", "i4", "i8")


def read_torch(path: Path) -> Any:
    """What a file of `torch.save` holds, on the CPU.

    NumPy arrays and numbers come as lists and numbers, without NumPy's own unpickling, which trusts the file.

    Raises:
        ConversionError: the file is missing, too large, damaged, no such file, or holds anything that needs code.
    """
    path = Path(path)
    check_file(path, MAX_FILE_BYTES)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(numpy_globals()):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConversionError(_why_refused(path, str(error))) from error
    except Exception as error:  # of a damaged file torch raises whatever its parts do
        raise ConversionError(f"{path.name} is damaged or no file of torch.save: {_short(error)}") from error


def check_tensors(tensors: Any, name: str) -> dict[str, Tensor]:
    """The same dict where it maps names to plain, finite float tensors.

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
        if not isinstance(key, str) or not _is_plain(tensor)
    ]
    if wrong:
        raise ConversionError(f"{name} must hold dense tensors of floats, but has\n{list_names(wrong)}")
    not_finite = [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if not_finite:
        raise ConversionError(f"{name} holds NaN or infinite values in\n{list_names(not_finite)}")
    return tensors


def _is_plain(tensor: Any) -> bool:
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or not tensor.is_floating_point():
        return False
    # One stored number can be spread over a shape of any size; reading it would fill the memory.
    return tensor.device.type == "cpu" and tensor.numel() * tensor.itemsize <= tensor.untyped_storage().nbytes()


def _describe(value: Any) -> str:
    return f"{value.dtype}, {tuple(value.shape)}, {value.layout}" if isinstance(value, Tensor) else type(value).__name__


def check_file(path: Path, max_bytes: int | None = None):
    """Tells by size and first bytes what a reader would fail on without saying why.

    Args:
        max_bytes: the largest file that is read whole; none where it is read piece by piece.

    Raises:
        ConversionError: the file is missing, empty, too large, a web page, a pointer, or breaks off.
    """
    if not path.exists():
        if path.is_symlink():
            raise ConversionError(f"{path} is a link to {path.readlink()}, which is not there; copy that file too.")
        raise ConversionError(f"There is no file {path}.")
    if not path.is_file():
        raise ConversionError(f"{path} is no file.")
    size = path.stat().st_size
    if max_bytes is not None and size > max_bytes:
        raise ConversionError(f"{path.name} has {size:,} bytes; at most {max_bytes:,} are read.")
    if not size:
        raise ConversionError(f"{path.name} is empty: a download that broke off.")
    with path.open("rb") as file:
        start = file.read(512)
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ConversionError(f"{path.name} is a web page and no checkpoint; download the file itself, not its page.")
    if start.startswith(b"version https://git-lfs"):
        raise ConversionError(f"{path.name} is a Git LFS pointer and no checkpoint; fetch the file with `git lfs pull`.")
    if start.startswith(b"PK"):
        _check_archive(path, max_bytes)


def _check_archive(path: Path, max_bytes: int | None):
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError, OSError) as error:
        raise ConversionError(f"{path.name} breaks off or is damaged; download it again. ({_short(error)})") from error
    if max_bytes is not None and unpacked > max_bytes:
        raise ConversionError(f"{path.name} unpacks to {unpacked:,} bytes; at most {max_bytes:,} are read.")


class _NumPyType:
    """Stands for `numpy.dtype` of a number, in a pickle."""

    def __init__(self, name: str, *_: Any):
        if name not in NUMPY_TYPES:
            raise ValueError(f"NumPy's type {str(name)[:20]!r}; read are {', '.join(NUMPY_TYPES)}")
        self.dtype = np.dtype(f"<{name}")

    def __setstate__(self, state: tuple):
        self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<")


class _NumPyArray(list):
    """Stands for `numpy.ndarray`, in a pickle: the numbers of a vector."""

    def __setstate__(self, state: tuple):
        _, shape, kind, _, data = state
        if len(shape) != 1:
            raise ValueError(f"a NumPy array of shape {str(shape)[:80]}; vectors are read")
        self.extend(np.frombuffer(data, kind.dtype).tolist())


def _numpy_array(*_: Any) -> _NumPyArray:
    return _NumPyArray()


def _numpy_number(kind: _NumPyType, data: bytes) -> float | int:
    return np.frombuffer(data, kind.dtype)[0].item()


def numpy_globals() -> list[tuple[Any, str]]:
    """Names in pickles and what stands for them here; NumPy 1 and 2 have different ones."""
    stand_ins = [(_NumPyArray, "numpy.ndarray"), (_NumPyType, "numpy.dtype")]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        stand_ins += [(_numpy_array, f"{module}._reconstruct"), (_numpy_number, f"{module}.scalar")]
    return stand_ins


def _why_refused(path: Path, message: str) -> str:
    asked = re.search(r"GLOBAL ([\w.]+)", message)
    if asked:
        return refusal(path, asked[1])
    # torch's message recommends to read the file with an open unpickler: not passed on.
    reason = message.partition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
    return f"{path.name} is no file of torch.save, or holds more than tensors and numbers. ({_short(reason)})"


def refusal(path: Path, name: str) -> str:
    """What to tell of a file that asks for a Python object by name."""
    return (
        f"{path.name} is refused: it asks for the Python object {name[:200]}, which could run code, and a checkpoint "
        "needs no such thing. Nothing of it was run."
    )


def _short(error: Any) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def find_checkpoint(path: Path, name: str = "weights") -> Path:
    """The file that a path means: itself, or in a folder `weights.pt`, else the `weights-<step>.pt` of the last step.

    Raises:
        ConversionError: a folder that has neither.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if (link := path / f"{name}.pt").exists() or link.is_symlink():
        return link
    steps = dict(_steps(path, name))
    if not steps:
        raise ConversionError(f"There is no {name}.pt and no {name}-<step>.pt in {path}.")
    return steps[max(steps)]


def _steps(folder: Path, name: str) -> Iterator[tuple[int, Path]]:
    for path in folder.glob(f"{name}-*.pt"):
        with contextlib.suppress(ValueError):
            yield int(path.stem.removeprefix(f"{name}-")), path

"""Reading the files of a checkpoint folder, with errors that say which file and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import HubError


def read_json(path: Path, remedy: str = "is this a checkpoint folder?", recipe: str | None = None) -> dict:
    """A JSON object from a file; `remedy` and `recipe` tell in the error what to do if there is none."""
    if not path.is_file():
        raise HubError(f"There is no {path}: {remedy}{f' ({recipe})' if recipe else ''}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HubError(f"{path} is no valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise HubError(f"{path} must hold a JSON object, not {type(content).__name__}.")
    return content


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Tensor name -> shape, from the header of a safetensors file."""
    return {name: shape for name, (shape, _) in _tensors(path).items()}


def tensor_dtypes(path: Path) -> set[str]:
    """The number formats in a safetensors file, as it names them, such as `{"F16"}`."""
    return {dtype for _, dtype in _tensors(path).values()}


def _tensors(path: Path) -> dict[str, tuple[list[int], str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            slices = ((name, tensors.get_slice(name)) for name in tensors.keys())  # noqa: SIM118 (no mapping)
            return {name: (tensor.get_shape(), tensor.get_dtype()) for name, tensor in slices}
    except (OSError, SafetensorError) as error:
        raise HubError(f"{path} is no readable safetensors file: {error}.") from error

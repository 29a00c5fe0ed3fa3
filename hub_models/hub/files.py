"""Reading the files of a checkpoint folder, with errors that say which file and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import HubError

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"


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


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files with the weights of a transformers model: one, or the shards that its index names.

    Raises:
        HubError: There are none, or not all that the index names.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / WEIGHTS_INDEX).is_file():
        raise HubError(f"{folder} is no complete checkpoint: {WEIGHTS} missing; write it with model.save_pretrained.")
    index = read_json(folder / WEIGHTS_INDEX)
    weight_map = index.get("weight_map")
    names = sorted(set(weight_map.values())) if isinstance(weight_map, dict) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise HubError(f"{folder / WEIGHTS_INDEX} names no weights: it maps no names of tensors to files beside it.")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise HubError(f"{folder} is no complete checkpoint: {', '.join(missing)} missing.")
    return [folder / name for name in names]


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """Tensor name -> shape, from the header of a safetensors file."""
    return {name: shape for name, (shape, _) in _tensors(path).items()}


def tensor_dtypes(path: Path) -> set[str]:
    """The number formats in a safetensors file, as it names them, such as `{"F16"}`."""
    return {dtype for _, dtype in _tensors(path).values()}


def read_tensors(path: Path) -> Iterator[tuple[str, Any]]:
    """The tensors of a safetensors file with their names, one after the other; each lies in memory while it is used."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 (no mapping)
            yield name, tensors.get_tensor(name)


def _tensors(path: Path) -> dict[str, tuple[list[int], str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            slices = ((name, tensors.get_slice(name)) for name in tensors.keys())  # noqa: SIM118 (no mapping)
            return {name: (tensor.get_shape(), tensor.get_dtype()) for name, tensor in slices}
    except (OSError, SafetensorError) as error:
        raise HubError(f"{path} is no readable safetensors file: {error}.") from error

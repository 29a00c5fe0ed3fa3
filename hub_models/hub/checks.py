"""What must be true of a checkpoint folder before it is published, whatever kind of model it holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import HubError
from .files import read_tensors, tensor_shapes

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def check_no_pickles(folder: Path, subfolders: Iterable[str] = ()) -> None:
    """Raises `HubError` if a checkpoint folder, or one of these folders in it, holds pickles."""
    folders = [folder, *(path for name in subfolders if (path := folder / name).is_dir())]
    pickles = sorted(
        path.relative_to(folder).as_posix()
        for place in folders
        for path in place.iterdir()
        if path.suffix.lower() in PICKLE_SUFFIXES
    )
    if pickles:
        raise HubError(
            f"{folder} holds pickle files ({', '.join(pickles)}), which can run code when they are loaded; Encore "
            "publishes safetensors only: remove them, or save the weights with model.save_pretrained."
        )


def check_complete(folder: Path, required: Iterable[str], remedy: str) -> None:
    """Raises `HubError` if files are missing from a checkpoint folder; `remedy` is what writes them."""
    missing = [name for name in required if not (folder / name).is_file()]
    if missing:
        raise HubError(f"{folder} is no complete checkpoint: {', '.join(missing)} missing; write it with {remedy}.")


def check_weights(model: Any, report: Mapping[str, Any], folder: Path) -> None:
    """Raises `HubError` unless the weights in `folder` fit its config.json exactly and are all finite numbers.

    Args:
        model: The loaded network.
        report: What `from_pretrained(..., output_loading_info=True, ignore_mismatched_sizes=True)` gave beside it.
        folder: Where the weights are.
    """
    of_another_shape = [key for key, *shapes in report["mismatched_keys"]]
    _check_fit(report["missing_keys"], report["unexpected_keys"], of_another_shape, folder)
    _check_finite(model.state_dict().items(), folder)


def check_stored_weights(model: Any, files: Iterable[Path], folder: Path) -> None:
    """Raises `HubError` unless the weights in `files` fit a network exactly and are all finite numbers.

    They are read one tensor after the other, so that a model of any size takes the memory of its largest tensor.

    Args:
        model: The network, which may be on the meta device.
        files: safetensors files.
        folder: Where they are, for messages.
    """
    stored = {name: (path, shape) for path in files for name, shape in tensor_shapes(path).items()}
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    # What is tied to another tensor, or what only training has, may be there or not.
    optional = set(getattr(model, "all_tied_weights_keys", {}))
    optional |= {name for name in expected for key in model._keys_to_ignore_on_load_missing or () if re.search(key, name)}
    _check_fit(
        expected.keys() - stored.keys() - optional,
        stored.keys() - expected.keys(),
        [name for name, (_, shape) in stored.items() if shape != expected.get(name, shape)],
        folder,
    )
    _check_finite(((name, tensor) for path in files for name, tensor in read_tensors(path)), folder)


def _check_fit(
    missing: Collection[str], unexpected: Collection[str], of_another_shape: Collection[str], folder: Path
) -> None:
    misfits = {"missing": missing, "unexpected": unexpected, "of another shape": of_another_shape}
    problems = [f"{len(keys)} {kind} (such as {min(keys)})" for kind, keys in misfits.items() if keys]
    if problems:
        raise HubError(f"The weights in {folder} do not fit its config.json: tensors {', '.join(problems)}.")


def _check_finite(tensors: Iterable[tuple[str, Any]], folder: Path) -> None:
    import torch

    broken = [name for name, tensor in tensors if not torch.isfinite(tensor).all()]
    if broken:
        raise HubError(f"The weights in {folder} are not all finite numbers ({min(broken)}): training went wrong.")


def does_not_load(folder: Path, error: Exception) -> HubError:
    """One sentence for whatever a library raised for a broken file."""
    reason = " ".join(str(error).split()).split(". ")[0].rstrip(".!") or type(error).__name__
    return HubError(f"{folder} does not load: {reason}.")

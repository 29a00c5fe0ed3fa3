"""What must be true of a checkpoint folder before it is published, whatever kind of model it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import HubError

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
    import torch

    misfits = {
        "missing": report["missing_keys"],
        "unexpected": report["unexpected_keys"],
        "of another shape": [key for key, *shapes in report["mismatched_keys"]],
    }
    problems = [f"{len(keys)} {kind} (such as {min(keys)})" for kind, keys in misfits.items() if keys]
    if problems:
        raise HubError(f"The weights in {folder} do not fit its config.json: tensors {', '.join(problems)}.")
    broken = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
    if broken:
        raise HubError(f"The weights in {folder} are not all finite numbers ({min(broken)}): training went wrong.")


def does_not_load(folder: Path, error: Exception) -> HubError:
    """One sentence for whatever a library raised for a broken file."""
    reason = " ".join(str(error).split()).split(". ")[0].rstrip(".!") or type(error).__name__
    return HubError(f"{folder} does not load: {reason}.")

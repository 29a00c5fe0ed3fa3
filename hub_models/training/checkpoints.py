"""Checkpoints of a run: written completely or not at all, limited in number, resumed exactly.

OUTPUT/checkpoints/step-00001000/          Accelerate's `save_state` (weights, optimizer, random number generators),
                                           ema.safetensors, and training_state.json, written last
OUTPUT/checkpoints/.incomplete-step-.../   a save in progress, or what an interrupted one left; never read
OUTPUT/{config.json, model.safetensors, ...}  the model, Hub layout
OUTPUT/best/                               the best validated model, when asked for
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType

from .ema import ExponentialMovingAverage

STATE_FILE = "training_state.json"
LOG_FILE = "train_log.jsonl"
INCOMPLETE = ".incomplete-"


class ResumeError(ValueError):
    """The run cannot go on from what is in the output folder; the message says why and what to do."""


@dataclass
class TrainingState:
    """Where a run stands, beside what Accelerate saves.

    Attributes:
        step: optimizer steps taken.
        best_metric: the best value of the `keep_best` metric so far.
        seconds: training time so far, over all starts of the run.
        identity: settings, model and data of the run; a resumed run must agree.
    """

    step: int = 0
    best_metric: float | None = None
    seconds: float = 0.0
    identity: dict[str, Any] = field(default_factory=dict)


def checkpoint_folders(output: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted(p for p in (output / "checkpoints").glob("step-*") if (p / STATE_FILE).is_file())


def find_checkpoint(output: Path, resume: str, identity: dict[str, Any]) -> tuple[Path | None, TrainingState]:
    """The checkpoint to go on from, or None for a new run.

    Args:
        output: the run's folder.
        resume: "auto", "never" or a checkpoint folder.
        identity: what this start would train.

    Raises:
        ResumeError: `output` holds another run, or a model without checkpoints, or a run although `resume` is "never";
            or the given folder is no complete checkpoint.
    """
    existing = checkpoint_folders(output)
    if resume not in ("auto", "never"):
        folder = Path(resume)
        if not (folder / STATE_FILE).is_file():
            raise ResumeError(f"--resume {resume}: not a complete checkpoint folder (it has no {STATE_FILE}).")
        if any(other.resolve() != folder.resolve() and other.name > folder.name for other in existing):
            raise ResumeError(
                f"--resume {resume}: {output} already holds later ones ({existing[-1].name}). Choose another --output."
            )
    elif existing and resume == "never":
        raise ResumeError(
            f"--resume never: {output} already holds a run (at {existing[-1].name}). Choose another --output or delete it."
        )
    elif existing:
        folder = existing[-1]
    elif (output / "model.safetensors").exists():
        raise ResumeError(
            f"{output} holds a model but no checkpoint to go on from. Choose another --output; "
            f"to fine-tune that model, add --init-from {output}."
        )
    else:
        return None, TrainingState(identity=identity)
    state = TrainingState(**json.loads((folder / STATE_FILE).read_text()))
    differences = _differences(state.identity, json.loads(json.dumps(identity, default=str)))
    if differences:
        raise ResumeError(
            f"{folder} belongs to a run with other settings: {'; '.join(differences)}. "
            "Repeat that run's settings to go on with it, or choose another --output."
        )
    return folder, state


def _differences(stored: dict[str, Any], current: dict[str, Any], prefix: str = "") -> list[str]:
    lines = []
    for key in sorted(stored.keys() | current.keys()):
        before, now = stored.get(key), current.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            lines += _differences(before, now, f"{prefix}{key}.")
        elif before != now:
            lines.append(f"{prefix}{key} was {before!r} and is now {now!r}")
    return lines


def save_checkpoint(
    accelerator: Accelerator, output: Path, state: TrainingState, ema: ExponentialMovingAverage | None, keep: int
) -> Path:
    """Write a checkpoint of this step, then drop all but the newest `keep`. Every process calls it."""
    folder = output / "checkpoints" / f"step-{state.step:08d}"
    incomplete = folder.with_name(INCOMPLETE + folder.name)
    if (folder / STATE_FILE).is_file():
        return folder
    if accelerator.is_main_process:
        remove_incomplete(output)
        incomplete.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(incomplete))
    if ema is not None and (accelerator.is_main_process or _weights_are_sharded(accelerator)):
        ema.save(incomplete / _ema_file(accelerator))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (incomplete / STATE_FILE).write_text(json.dumps(asdict(state), indent=2, default=str) + "\n")
        publish_folder(incomplete, folder)
        for old in checkpoint_folders(output)[:-keep]:
            # Renamed first: a removal that is interrupted must not leave something that looks complete.
            doomed = old.with_name(INCOMPLETE + old.name)
            old.rename(doomed)
            shutil.rmtree(doomed)
    accelerator.wait_for_everyone()
    return folder


def load_checkpoint(accelerator: Accelerator, folder: Path, ema: ExponentialMovingAverage | None) -> None:
    """Bring model, optimizer, averages and random number generators to where the checkpoint left them."""
    accelerator.load_state(str(folder))
    if ema is not None:
        ema.load(folder / _ema_file(accelerator))


def save_model(
    accelerator: Accelerator,
    model: Any,
    folder: Path,
    save_extras: Callable[[Path], None] | None = None,
    subfolder: str = "",
) -> None:
    """Write a prepared model in Hub layout into `folder`. Every process calls it.

    Files are written beside and moved in one by one, so that none is ever half written. `save_extras(folder)` adds the
    files that belong to the model: its processor's, or the rest of its pipeline, whose component `subfolder` the model is.
    """
    weights = accelerator.get_state_dict(model)
    if accelerator.is_main_process:
        incomplete = folder / f"{INCOMPLETE}model"
        shutil.rmtree(incomplete, ignore_errors=True)
        incomplete.mkdir(parents=True)
        _save_weights(accelerator.unwrap_model(model), weights, incomplete / subfolder)
        if save_extras is not None:
            save_extras(incomplete)
        for path in sorted(path for path in incomplete.rglob("*") if path.is_file()):
            _flush(path)
            target = folder / path.relative_to(incomplete)
            target.parent.mkdir(exist_ok=True)
            os.replace(path, target)
        shutil.rmtree(incomplete)
    accelerator.wait_for_everyone()


def _save_weights(model: Any, weights: dict[str, Any], folder: Path) -> None:
    """Configuration and `weights`, which need not be those that `model` holds here: it may be a shard."""
    if not hasattr(model, "from_config"):
        model.save_pretrained(folder, state_dict=weights)
        return
    whole = type(model).from_config(model.config)  # of diffusers, whose save_pretrained takes no weights from outside
    whole.load_state_dict(weights)
    whole.save_pretrained(folder)


def publish_folder(incomplete: Path, folder: Path) -> None:
    """Give a completely written folder its name, after its contents have reached the disk."""
    for path in incomplete.rglob("*"):
        _flush(path)
    incomplete.rename(folder)
    _flush(folder.parent)


def remove_incomplete(output: Path) -> None:
    """Delete what interrupted saves have left."""
    for path in (output / "checkpoints").glob(f"{INCOMPLETE}*"):
        shutil.rmtree(path)


def trim_log(output: Path, step: int) -> None:
    """Remove the log lines after `step`: the resumed run writes them again."""
    log = output / LOG_FILE
    if log.exists():
        kept = []
        for line in log.read_text().splitlines(keepends=True):
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except json.JSONDecodeError:  # the line that was being written when the run was killed
                continue
        replacement = log.with_name(INCOMPLETE + log.name)
        replacement.write_text("".join(kept))
        os.replace(replacement, log)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _weights_are_sharded(accelerator: Accelerator) -> bool:
    return accelerator.distributed_type == DistributedType.FSDP


def _ema_file(accelerator: Accelerator) -> str:
    return f"ema_{accelerator.process_index}.safetensors" if _weights_are_sharded(accelerator) else "ema.safetensors"

"""A sampling run on disk: written so that it can be killed at any moment and go on from its last window.

    FOLDER/plan.json             what is sampled, of which model, with which labels; written last, so a run has it or is none
    FOLDER/level_0.safetensors   codes of a level, from the top: a tensor for each sample; replaced after every window
    FOLDER/alignment.json        when words of the lyrics are sung, if that was asked for

Files are written under another name, flushed to the disk and then put in place, so that there is always a whole one.
Nothing is unpickled.
"""

import contextlib
import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .lyrics import TimedWord
from .sampling_plan import SamplingPlan, Schedule

FORMAT = "encore-jukebox-run"
VERSION = 1
PLAN_FILE = "plan.json"
ALIGNMENT_FILE = "alignment.json"
MAX_PLAN_BYTES = 256_000_000


class RunError(ValueError):
    """A folder that holds no run, or a damaged one; the message says what is wrong."""


class CodesNotSavedError(OSError):
    """Codes could not be written, because the disk is full or may not be written; those saved before are still there."""


@dataclass
class RunState:
    """What has been sampled.

    Attributes:
        plan: what is wanted.
        model: fingerprint of the model.
        labels: of each level, the row of each sample; None for a model that hears none.
        prompt_lengths: codes at each level, from the top, that were there at the beginning.
        codes: of each level, those of each sample, (length,) int64 on the CPU.
        words: of each sample, when words are sung; None before that is known.
    """

    plan: SamplingPlan
    model: dict[str, Any]
    labels: list[list[list[int]]] | None
    prompt_lengths: list[int]
    codes: list[list[Tensor]]
    words: list[list[TimedWord]] | None = None


class RunFolder:
    """Where a run is kept.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    @property
    def holds_run(self) -> bool:
        """Whether there is a run."""
        return (self.path / PLAN_FILE).is_file()

    def create(self, state: RunState):
        """Begins a run.

        Raises:
            RunError: there is one already.
            CodesNotSavedError: the folder cannot be written.
        """
        if self.holds_run:
            raise RunError(f"{self.path} holds a run already: resume it, or choose another folder.")
        with self._writing("the plan"):
            self.path.mkdir(parents=True, exist_ok=True)
        for level in range(len(state.codes)):
            self.save_codes(state, level)
        content = {
            "format": FORMAT,
            "version": VERSION,
            "plan": state.plan.to_dict(),
            "model": state.model,
            "prompt_lengths": state.prompt_lengths,
            "labels": state.labels,
        }
        with self._writing("the plan"):
            self._replace(PLAN_FILE, json.dumps(content, ensure_ascii=False, indent=1).encode())

    def save_codes(self, state: RunState, level: int, done: str = "the beginning"):
        """Replaces the codes of a level.

        Args:
            done: what was finished, for the message if it fails.

        Raises:
            CodesNotSavedError: they cannot be written. The file is as before.
        """
        tensors = {f"sample_{number}": codes.to(torch.int32) for number, codes in enumerate(state.codes[level])}
        content = save(tensors, metadata={"format": FORMAT, "vqvae": state.model["vqvae"], "level": str(level)})
        with self._writing(f"codes of level {level} after {done}"):
            self._replace(_codes_file(level), content)

    def save_words(self, words: Sequence[Sequence[TimedWord]]):
        """Writes when words are sung."""
        content = [[word._asdict() for word in sample] for sample in words]
        with self._writing("the alignment"):
            self._replace(ALIGNMENT_FILE, json.dumps(content, ensure_ascii=False, indent=1).encode())

    def load(self) -> RunState:
        """The run as it was left.

        Raises:
            RunError: there is none, or its files are damaged.
            SamplingError: its plan has fields that no plan has.
        """
        content = self._json(PLAN_FILE, "no sampling run")
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise RunError(f"{self.path / PLAN_FILE} is not the plan of a sampling run.")
        if content.get("version") != VERSION:
            raise RunError(f"{self.path / PLAN_FILE} has version {content.get('version')!r}; {VERSION} is read.")
        plan = SamplingPlan.from_dict(content.get("plan"))
        model, labels, lengths = (content.get(name) for name in ("model", "labels", "prompt_lengths"))
        if not isinstance(model, dict) or not _are_lengths(lengths) or not _are_labels(labels, len(lengths), plan):
            raise RunError(f"{self.path / PLAN_FILE} is damaged: its model, labels or prompt_lengths cannot be used.")
        codes = [self._codes(level, plan.number_of_samples, model) for level in range(len(lengths))]
        return RunState(plan, model, labels, lengths, codes, self._words(plan.number_of_samples))

    def _codes(self, level: int, count: int, model: dict[str, Any]) -> list[Tensor]:
        path = self.path / _codes_file(level)
        try:
            content = path.read_bytes()
            tensors, header = load(content), _metadata(content)
        except (OSError, SafetensorError, ValueError) as error:
            raise RunError(f"The codes {path} are missing or damaged: {error}.") from error
        if header.get("format") != FORMAT or header.get("vqvae") != model.get("vqvae") or header.get("level") != str(level):
            raise RunError(f"The codes {path} belong to another model, run or level.")
        if sorted(tensors) != sorted(f"sample_{number}" for number in range(count)):
            raise RunError(f"{path} must hold the codes of {count} samples, got {', '.join(sorted(tensors)) or 'none'}.")
        rows = [tensors[f"sample_{number}"] for number in range(count)]
        if any(row.ndim != 1 or row.dtype != torch.int32 for row in rows):
            raise RunError(f"{path} must hold rows of int32, got {[(tuple(row.shape), row.dtype) for row in rows]}.")
        return [row.long() for row in rows]

    def _words(self, count: int) -> list[list[TimedWord]] | None:
        if not (self.path / ALIGNMENT_FILE).is_file():
            return None
        content = self._json(ALIGNMENT_FILE, "no alignment")
        try:
            words = [[TimedWord(**word) for word in sample] for sample in content]
        except TypeError as error:
            raise RunError(f"{self.path / ALIGNMENT_FILE} is damaged: {error}.") from error
        if len(words) != count:
            raise RunError(f"{self.path / ALIGNMENT_FILE} must be of {count} samples, got {len(words)}.")
        return words

    def _json(self, name: str, nothing: str) -> Any:
        path = self.path / name
        if not path.is_file():
            raise RunError(f"{self.path} holds {nothing}: there is no {name}.")
        if path.stat().st_size > MAX_PLAN_BYTES:
            raise RunError(f"{path} has {path.stat().st_size:,} bytes; {MAX_PLAN_BYTES:,} are allowed.")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunError(f"{path} is not JSON: {error}.") from error

    @contextlib.contextmanager
    def _writing(self, what: str):
        try:
            yield
        except OSError as error:
            reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
            raise CodesNotSavedError(
                error.errno,
                f"Saving {what} failed, {reason}. What was saved before is kept: make room or choose another disk, then "
                "resume the run",
                str(self.path),
            ) from error

    def _replace(self, name: str, content: bytes):
        """Puts a whole new file in place of the old one, or leaves it."""
        temporary = self.path / f".{name}.{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if os.name == "posix":  # the new name is on the disk only when the folder is
            folder = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def check_progress(state: RunState, schedule: Schedule, vocab_size: int):
    """
    Raises:
        RunError: codes that no run of this schedule has: out of range, of other lengths, or of samples that are computed
            together but have come differently far.
    """
    scheduled = {level.level: level for level in schedule.levels}
    for level, rows in enumerate(state.codes):
        lengths = {state.prompt_lengths[level]}
        batch_size = len(rows)
        if level in scheduled:
            lengths |= {window.end for window in scheduled[level].windows}
            batch_size = scheduled[level].max_batch_size
        for number, row in enumerate(rows):
            if len(row) not in lengths:
                raise RunError(
                    f"Sample {number} of level {level} has {len(row)} codes; this run has {_some(lengths)} there."
                )
            if len(row) and not 0 <= int(row.min()) <= int(row.max()) < vocab_size:
                raise RunError(f"Codes of level {level} are from 0 to {vocab_size - 1}; those of sample {number} are not.")
        for first in range(0, len(rows), batch_size):
            if len({len(row) for row in rows[first : first + batch_size]}) > 1:
                raise RunError(f"Samples {first} to {first + batch_size - 1} of level {level} have come differently far.")


def _codes_file(level: int) -> str:
    return f"level_{level}.safetensors"


def _metadata(content: bytes) -> dict[str, str]:
    """What a safetensors file says of itself; its header is JSON behind eight bytes of length."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header.get("__metadata__") or {}


def _are_lengths(lengths: Any) -> bool:
    return isinstance(lengths, list) and bool(lengths) and all(type(length) is int and length >= 0 for length in lengths)


def _are_labels(labels: Any, levels: int, plan: SamplingPlan) -> bool:
    if labels is None:
        return True
    return (
        isinstance(labels, list)
        and len(labels) == levels
        and all(isinstance(rows, list) and len(rows) == plan.number_of_samples for rows in labels)
        and all(isinstance(row, list) and row and all(map(_is_label, row)) for rows in labels for row in rows)
    )


def _is_label(number: Any) -> bool:
    return type(number) is int and -1 <= number < 2**31


def _some(lengths: set[int]) -> str:
    ordered = sorted(lengths)
    return ", ".join(map(str, ordered)) if len(ordered) <= 6 else f"{ordered[0]}, {ordered[1]}, ... {ordered[-1]}"

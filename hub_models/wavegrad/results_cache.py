"""Results of long measurements, kept line by line so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from .pipeline_wavegrad import WaveGradPipeline

# Part of every key: count up when the same settings give other results.
VERSION = 1


class ResultsCache:
    """A mapping of keys to JSON values that appends every new entry to a file at once.

    Args:
        path: of a file of JSON lines; made, with its folder, when the first entry comes. None: nothing is kept.
    """

    def __init__(self, path: Path | None):
        self.path = None if path is None else Path(path)
        self.entries: dict[str, Any] = {}
        if self.path is not None and self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                    self.entries[entry["key"]] = entry["value"]
                except (json.JSONDecodeError, KeyError, TypeError):
                    continue  # the line in which a run was killed

    def get(self, key: str) -> Any:
        """The value, or None."""
        return self.entries.get(key)

    def put(self, key: str, value: Any) -> None:
        """Add an entry, here and in the file."""
        self.entries[key] = value
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, "value": value}) + "\n"
        with self.path.open("a+b") as file:
            if file.tell():
                file.seek(-1, 2)
                line = line if file.read(1) == b"\n" else "\n" + line
            file.write(line.encode())


def key_of(*parts: Any) -> str:
    """A key for anything that JSON can write."""
    return hashlib.sha256(json.dumps([VERSION, *parts], sort_keys=True).encode()).hexdigest()[:24]


def fingerprint_of(pipeline: WaveGradPipeline) -> str:
    """A name for what decides the sound apart from schedule, mel and noise: weights and settings."""
    digest = hashlib.sha256()
    config = {name: value for name, value in pipeline.model.config.items() if not name.startswith("_")}
    settings = [config, pipeline.feature_extractor.mel_settings, pipeline.scheduler.config.clip_sample]
    digest.update(json.dumps(settings, sort_keys=True, default=list).encode())
    for name, tensor in sorted(pipeline.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:20]

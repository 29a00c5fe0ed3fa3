"""The recordings that a vocoder is measured on: which files, which passage of each, and the noise that belongs to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hub_models.audio import AudioError
from hub_models.training import DataFile

from .data import load_clip
from .feature_extraction_wavegrad import WaveGradFeatureExtractor
from .metrics import N_FFT


@dataclass(frozen=True)
class Clip:
    """A passage of a recording.

    Attributes:
        name: of its file, within the data folder.
        kind: what it is, such as "music"; None where nothing says so.
        audio: (T,) float32 in -1..1, whole frames.
        fingerprint: of its samples.
    """

    name: str
    kind: str | None
    audio: Tensor
    fingerprint: str

    def generator(self, seed: int) -> torch.Generator:
        """Randomness of this clip alone: the same whatever other clips there are."""
        digest = hashlib.sha256(f"{seed} {self.fingerprint}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


def in_random_order(files: Sequence[DataFile], seed: int) -> list[DataFile]:
    """The files in an order that their names and the seed decide, the kinds taking turns.

    So the first few are a fair choice, and the first many hold the first few.
    """

    def rank(file: DataFile) -> str:
        return hashlib.sha256(f"{seed} {file.name}".encode()).hexdigest()

    turns: dict[str | None, int] = {}
    ranked = []
    for file in sorted(files, key=rank):
        turns[file.kind] = turns.get(file.kind, -1) + 1
        ranked.append((turns[file.kind], file.kind or "", rank(file), file))
    return [file for *_, file in sorted(ranked, key=lambda entry: entry[:3])]


def read_clips(
    files: Sequence[DataFile],
    feature_extractor: WaveGradFeatureExtractor,
    max_seconds: float | None = None,
    same_length: bool = False,
    left_out: dict[str, str] | None = None,
) -> Iterator[Clip]:
    """Read the files one after the other, as they are asked for.

    Args:
        files: in order.
        feature_extractor: its sample rate and frames.
        max_seconds: of longer recordings only a typical passage is taken, see [`typical_passage`]. None: the whole.
        same_length: leave out those that are shorter than that.
        left_out: gets the names of files that are broken or too short, and why.
    """
    left_out = {} if left_out is None else left_out
    rate, hop = feature_extractor.sampling_rate, feature_extractor.hop_length
    for file in files:
        try:
            audio = load_clip(file.path, rate)
        except (AudioError, OSError) as error:
            left_out[file.name] = str(error)
            continue
        frames = len(audio) // hop
        if max_seconds is not None:
            wanted = max(1, round(max_seconds * rate / hop))
            if same_length and frames < wanted:
                left_out[file.name] = f"lasts {len(audio) / rate:.2f} seconds, less than {max_seconds:g}"
                continue
            frames = min(frames, wanted)
        # Griffin-Lim reads one sample less than there is; the metrics have an analysis of their own.
        if frames * hop <= max(feature_extractor.n_fft, N_FFT) // 2 + 1:
            left_out[file.name] = f"lasts {len(audio) / rate:.2f} seconds, less than one Fourier transform reads"
            continue
        audio = np.ascontiguousarray(typical_passage(audio, frames * hop), dtype=np.float32).clip(-1, 1)
        yield Clip(file.name, file.kind, torch.from_numpy(audio), hashlib.sha256(audio.tobytes()).hexdigest()[:20])


def typical_passage(audio: np.ndarray, length: int) -> np.ndarray:
    """The passage of `length` samples whose energy is the median of all, so neither a pause nor the loudest moment.

    Passages that begin half a length apart are compared; of two medians it is the louder.
    """
    if len(audio) <= length:
        return audio
    starts = np.arange(0, len(audio) - length + 1, max(1, length // 2))
    energy = np.concatenate([[0.0], np.cumsum(audio.astype(np.float64) ** 2)])
    order = np.argsort(energy[starts + length] - energy[starts], kind="stable")
    start = int(starts[order[len(order) // 2]])
    return audio[start : start + length]

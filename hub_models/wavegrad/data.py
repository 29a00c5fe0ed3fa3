"""Folders of sound files as training data: found, split, decoded once into a cache of samples, and cropped on the way out.

files = find_audio_files([folder], [splits_csv])           # what there is, and its split
recordings = prepare_recordings(files, sample_rate=22050)  # cached; broken files listed beside the cache
dataset = CropDataset(recordings.select("train"), ...)     # what the training loop indexes
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from hub_models import audio
from hub_models.training import DataFile, find_data_files
from hub_models.training.data_order import ExampleKey

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
# Of one's own files, not a stranger's: an album side is fine, a file that fills the disk is not.
LIMITS = audio.AudioLimits(max_bytes=4_000_000_000, max_seconds=3 * 3600)
CACHE_VERSION = 1
MAX_GAIN_DB = 20.0


def find_audio_files(
    folders: Sequence[Path], splits: Sequence[Path] | None = None, split: str | None = None, validation_share: float = 0.05
) -> list[DataFile]:
    """All sound files below the folders, or those of one split; see `hub_models.training.find_data_files`.

    Raises:
        NoTrainingDataError: nothing is found.
    """
    files = find_data_files(folders, "sound", AUDIO_SUFFIXES, splits, validation_share)
    return [file for file in files if split is None or file.split == split]


def load_clip(path: str | os.PathLike, sample_rate: int) -> np.ndarray:
    """A sound file as (T,) float32 at `sample_rate` Hz, its channels averaged.

    Raises:
        AudioError: it cannot be read.
    """
    sound, rate = audio.load(path, LIMITS)
    return audio.mono(audio.resample(sound, rate, sample_rate))


@dataclass
class Recordings:
    """Sound files as one long row of 16-bit samples.

    Attributes:
        samples: (N,) int16, mapped from disk: all files, one after the other.
        starts: (files + 1,) int64, where each file begins, and the end.
        files: those that could be read.
        rejected: name of a file -> why it could not.
        sample_rate: Hz.
    """

    samples: np.ndarray
    starts: np.ndarray
    files: list[DataFile]
    rejected: dict[str, str]
    sample_rate: int

    def __getitem__(self, index: int) -> np.ndarray:
        """The samples of one file, (T,) int16."""
        return self.samples[self.starts[index] : self.starts[index + 1]]

    def select(self, split: str) -> list[np.ndarray]:
        """The files of a split, each (T,) int16."""
        return [self[index] for index, file in enumerate(self.files) if file.split == split]

    def summary(self) -> dict[str, float]:
        """Counts for a person: files and minutes by split, and files that could not be read."""
        counts: dict[str, float] = {}
        for index, file in enumerate(self.files):
            counts[f"{file.split}_files"] = counts.get(f"{file.split}_files", 0) + 1
            minutes = len(self[index]) / self.sample_rate / 60
            counts[f"{file.split}_minutes"] = counts.get(f"{file.split}_minutes", 0.0) + minutes
        return {name: round(count, 2) for name, count in counts.items()} | {"broken_files": len(self.rejected)}


def prepare_recordings(files: Sequence[DataFile], sample_rate: int, cache: Path | None = None) -> Recordings:
    """Decode, mix down and resample all files, with a progress bar, or map them from the cache.

    The cache folder is named by a fingerprint of the files (name, size, time of change) and the sample rate. Files that
    cannot be read are listed with the reason, never fatal.

    Args:
        files: from `find_audio_files`.
        sample_rate: Hz.
        cache: where to keep the samples (2 bytes each); default: `encore/wavegrad` in the cache of Hugging Face.
    """
    from huggingface_hub.constants import HF_HOME

    cache = Path(cache or Path(HF_HOME) / "encore" / "wavegrad")
    folder = cache / _fingerprint(files, sample_rate)
    if not (folder / "index.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".incomplete-") as temporary:
            _decode(files, sample_rate, Path(temporary) / "result")
            try:
                os.rename(Path(temporary) / "result", folder)
            except OSError:  # another process was faster
                if not (folder / "index.json").exists():
                    raise
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    starts = np.array(index["starts"], dtype=np.int64)
    return Recordings(
        samples=np.memmap(folder / "samples.int16", dtype=np.int16, mode="r") if starts[-1] else np.zeros(0, np.int16),
        starts=starts,
        files=[files[number] for number in index["files"]],
        rejected=index["rejected"],
        sample_rate=sample_rate,
    )


def _decode(files: Sequence[DataFile], sample_rate: int, folder: Path) -> None:
    folder.mkdir()
    starts, kept, rejected = [0], [], {}
    with (folder / "samples.int16").open("wb") as output:
        for number, file in enumerate(tqdm(files, desc="decoding", unit="file")):
            try:
                clip = load_clip(file.path, sample_rate)
            except (audio.AudioError, OSError) as error:
                rejected[file.name] = str(error)
                continue
            output.write((np.clip(clip, -1, 1) * 32767).round().astype("<i2").tobytes())
            starts.append(starts[-1] + len(clip))
            kept.append(number)
    index = {"starts": starts, "files": kept, "rejected": rejected}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _fingerprint(files: Sequence[DataFile], sample_rate: int) -> str:
    digest = hashlib.sha256(f"{CACHE_VERSION} {sample_rate}".encode())
    for file in files:
        status = os.stat(file.path)
        digest.update(f"\0{file.path}\0{file.split}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:20]


def crop(clip: np.ndarray, start: int, length: int, margin: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A piece of a recording, and the same with what a spectrogram of it needs on both sides.

    Args:
        clip: (T,) samples.
        start: first sample.
        length: samples; beyond the recording they are zero.
        margin: samples on either side; beyond the recording it is mirrored there, as a centred STFT does.

    Returns:
        (length,) and (length + 2 * margin,) in the type of `clip`.
    """
    piece = np.zeros(length, clip.dtype)
    inside = clip[start : start + length]
    piece[: len(inside)] = inside
    places = np.abs(np.arange(start - margin, start + length + margin))
    places = np.minimum(places, 2 * (len(clip) - 1) - places)
    return piece, clip[places]


class CropDataset:
    """Random crops of whole frames for training: a pure function of the key.

    An epoch draws as many crops as fit into the recordings without overlap, each from a file chosen by its length.

    Args:
        clips: (T,) int16 each; those shorter than a crop or than half an FFT are left out, see `num_dropped`.
        crop_frames: frames of a crop.
        hop_length: samples of a frame.
        margin: samples on either side that the spectrogram reads, `n_fft // 2`.
        gain_db: each crop is made quieter by up to so many decibels.
        normalize: first make each recording so loud that its peak is 1, by at most `MAX_GAIN_DB`.
        seed: decides places and gains.
    """

    def __init__(
        self,
        clips: Sequence[np.ndarray],
        crop_frames: int,
        hop_length: int,
        margin: int,
        gain_db: float = 0.0,
        normalize: bool = False,
        seed: int = 0,
    ):
        self.clips = [clip for clip in clips if len(clip) >= max(crop_frames * hop_length, margin + 1)]
        self.num_dropped = len(clips) - len(self.clips)
        self.crop_frames = crop_frames
        self.hop_length = hop_length
        self.margin = margin
        self.gain_db = gain_db
        self.gains = [_gain_to_full_scale(clip) if normalize else 1.0 for clip in self.clips]
        self.seed = seed
        self.crops_before = np.cumsum([0] + [len(clip) // (crop_frames * hop_length) for clip in self.clips])

    def __len__(self) -> int:
        return int(self.crops_before[-1])

    def __getitem__(self, key: ExampleKey) -> dict[str, np.ndarray]:
        """`audio` (crop_frames * hop,) and `context` (the same and a margin on both sides), float32."""
        number = int(np.searchsorted(self.crops_before, key.index, side="right")) - 1
        clip = self.clips[number]
        random = np.random.default_rng([self.seed, key.epoch, key.index])
        frame = int(random.integers(len(clip) // self.hop_length - self.crop_frames + 1))
        gain = self.gains[number] * 10 ** (-self.gain_db * random.random() / 20) / 32768
        piece, context = crop(clip, frame * self.hop_length, self.crop_frames * self.hop_length, self.margin)
        return {"audio": piece * np.float32(gain), "context": context * np.float32(gain)}


def _gain_to_full_scale(clip: np.ndarray) -> float:
    peak = max(int(clip.max()), -int(clip.min()), 1)
    return min(32767 / peak, 10 ** (MAX_GAIN_DB / 20))


class ClipDataset(CropDataset):
    """The same few crops every time, for validation: spread evenly over the recordings, none louder or quieter.

    Args:
        num_clips: at most so many.
        others: as for `CropDataset`.
    """

    def __init__(self, clips: Sequence[np.ndarray], num_clips: int, crop_frames: int, hop_length: int, margin: int):
        super().__init__(clips, crop_frames, hop_length, margin)
        self.places = np.linspace(0, super().__len__(), num_clips, endpoint=False, dtype=int)
        self.places = np.unique(self.places) if super().__len__() else np.zeros(0, int)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: ExampleKey) -> dict[str, np.ndarray]:
        place = int(self.places[key.index])
        number = int(np.searchsorted(self.crops_before, place, side="right")) - 1
        start = (place - int(self.crops_before[number])) * self.crop_frames * self.hop_length
        piece, context = crop(self.clips[number], start, self.crop_frames * self.hop_length, self.margin)
        return {"audio": piece / np.float32(32768), "context": context / np.float32(32768)}


def fingerprint_of(clips: Sequence[np.ndarray]) -> str:
    """A name for the samples that training reads: their lengths, and every 997th sample."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(len(clip).to_bytes(8) + np.ascontiguousarray(clip[::997]).tobytes())
    return digest.hexdigest()[:20]

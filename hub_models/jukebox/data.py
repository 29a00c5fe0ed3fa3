"""Songs as training data: decoded once into a file of samples that is mapped from disk, and cut into chunks on the way out.

songs, missing = find_songs([folder])                         # song_files.py: what there is, and its labels
recordings = prepare_recordings(songs, sample_rate=22050)     # cached; broken files listed
chunks = ChunkDataset(recordings.select("train"), 32768, 1)   # what the training loop indexes
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from hub_models import audio
from hub_models.training.data_order import ExampleKey

from .song_files import SongFile

# Of one's own files, not a stranger's: an album side is fine, a file that fills the disk is not.
LIMITS = audio.AudioLimits(max_bytes=4_000_000_000, max_seconds=3 * 3600)
CACHE_VERSION = 1


@dataclass(frozen=True)
class Recording:
    """The sound of a song.

    Attributes:
        song: its file and labels.
        samples: (T, channels) int16, mapped from disk.
        sample_rate: Hz.
    """

    song: SongFile
    samples: np.ndarray
    sample_rate: int

    @property
    def total_length(self) -> int:
        """Samples of the whole song, of which this may be a part."""
        if self.song.total_seconds is None:
            return self.offset + len(self.samples)
        return max(round(self.song.total_seconds * self.sample_rate), self.offset + len(self.samples))

    @property
    def offset(self) -> int:
        """Samples of the song before this part of it."""
        return round(self.song.offset_seconds * self.sample_rate)

    def audio(self, start: int, length: int, channels: int, left: float = 0.5) -> np.ndarray:
        """(length, channels) float32 in -1..1; one channel of two is their sum, the left one's weight `left`."""
        piece = self.samples[start : start + length].astype(np.float32) / np.float32(32768)
        if piece.shape[1] == channels:
            return piece
        if channels == 1:
            return piece @ np.array([[left], [1 - left]], dtype=np.float32)
        return np.repeat(piece, channels, axis=1)


@dataclass
class Recordings:
    """Songs that could be read, and names of those that could not, with the reason."""

    songs: list[Recording]
    rejected: dict[str, str]

    def select(self, split: str) -> list[Recording]:
        """The songs of a split."""
        return [recording for recording in self.songs if recording.song.split == split]

    def summary(self) -> dict[str, float]:
        """Counts for a person: songs and minutes by split, and files that could not be read."""
        counts: dict[str, float] = {}
        for recording in self.songs:
            split = recording.song.split
            counts[f"{split}_songs"] = counts.get(f"{split}_songs", 0) + 1
            minutes = len(recording.samples) / recording.sample_rate / 60
            counts[f"{split}_minutes"] = counts.get(f"{split}_minutes", 0.0) + minutes
        return {name: round(count, 2) for name, count in counts.items()} | {"broken_files": len(self.rejected)}


def cache_folder(cache: Path | None) -> Path:
    """Where decoded sound and codes are kept: the given folder, or `encore/jukebox` in the cache of Hugging Face."""
    from huggingface_hub.constants import HF_HOME

    return Path(cache or Path(HF_HOME) / "encore" / "jukebox")


def prepare_recordings(
    songs: Sequence[SongFile], sample_rate: int, cache: Path | None = None, progress: bool = True
) -> Recordings:
    """Decode and resample all files, with a progress bar, or map them from the cache.

    The cache folder is named by a fingerprint of the files (path, size, time of change) and the sample rate; labels are not
    part of it. Files that cannot be read are listed with the reason, never fatal.

    Args:
        songs: from `find_songs`.
        sample_rate: Hz.
        cache: where to keep the samples, 2 bytes each; see `cache_folder`.
        progress: show a bar.
    """
    cache = cache_folder(cache)
    folder = cache / f"audio-{_fingerprint(songs, sample_rate)}"
    if not (folder / "index.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".incomplete-") as temporary:
            _decode(songs, sample_rate, Path(temporary) / "result", progress)
            try:
                os.rename(Path(temporary) / "result", folder)
            except OSError:  # another process was faster
                if not (folder / "index.json").exists():
                    raise
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    path = folder / "samples.int16"
    samples = np.memmap(path, dtype="<i2", mode="r") if path.stat().st_size else np.zeros(0, np.int16)
    recordings, start = [], 0
    for entry in index["songs"]:
        end = start + entry["length"] * entry["channels"]
        rows = samples[start:end].reshape(-1, entry["channels"])
        recordings.append(Recording(songs[entry["number"]], rows, sample_rate))
        start = end
    return Recordings(recordings, index["rejected"])


def _decode(songs: Sequence[SongFile], sample_rate: int, folder: Path, progress: bool) -> None:
    folder.mkdir()
    entries, rejected = [], {}
    with (folder / "samples.int16").open("wb") as output:
        for number, song in enumerate(tqdm(songs, desc="decoding", unit="file", disable=not progress)):
            try:
                sound, rate = audio.load(song.path, LIMITS)
            except (audio.AudioError, OSError) as error:
                rejected[song.name] = str(error)
                continue
            sound = audio.resample(sound, rate, sample_rate).T
            output.write((np.clip(sound, -1, 1) * 32767).round().astype("<i2").tobytes())
            entries.append({"number": number, "length": sound.shape[0], "channels": sound.shape[1]})
    index = {"songs": entries, "rejected": rejected}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _fingerprint(songs: Sequence[SongFile], sample_rate: int) -> str:
    digest = hashlib.sha256(f"{CACHE_VERSION} {sample_rate}".encode())
    for song in songs:
        status = os.stat(song.path)
        digest.update(f"\0{song.path}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:20]


def fingerprint_of(recordings: Sequence[Recording]) -> str:
    """A name for the samples that training reads: their lengths, and every 997th sample."""
    digest = hashlib.sha256()
    for recording in recordings:
        digest.update(repr(recording.samples.shape).encode() + np.ascontiguousarray(recording.samples[::997]).tobytes())
    return digest.hexdigest()[:20]


class Chunks:
    """Where chunks begin: as the original draws them, a pure function of the key.

    The songs are one long row. Chunk `i` begins at `i * length`, moved by up to half a chunk either way, and then into the
    song that holds its middle.

    Args:
        song_lengths: of songs that are at least as long as a chunk.
        length: of a chunk.
        augment: whether chunks move; for validation they do not.
        seed: decides how.
        max_chunks: at most so many, spread evenly over all.
    """

    def __init__(
        self, song_lengths: Sequence[int], length: int, augment: bool = True, seed: int = 0, max_chunks: int | None = None
    ):
        self.starts = np.cumsum([0, *song_lengths])
        self.length = length
        self.augment = augment
        self.seed = seed
        count = int(self.starts[-1]) // length
        self.chunks = np.arange(count)
        if max_chunks is not None and count > max_chunks:
            self.chunks = np.linspace(0, count, max_chunks, endpoint=False, dtype=int)

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, key: ExampleKey) -> tuple[int, int]:
        """The number of a song, and where in it the chunk begins."""
        start = int(self.chunks[key.index]) * self.length
        if self.augment:
            random = np.random.default_rng([self.seed, key.epoch, key.index])
            start += int(random.integers(-(self.length // 2), self.length - self.length // 2))
        middle = min(max(start + self.length // 2, 0), int(self.starts[-1]) - 1)
        number = int(np.searchsorted(self.starts, middle, side="right")) - 1
        last = int(self.starts[number + 1]) - self.length
        return number, min(max(start, int(self.starts[number])), last) - int(self.starts[number])


class ChunkDataset:
    """Chunks of sound for training.

    Args:
        recordings: those shorter than a chunk are left out, see `num_too_short`.
        length: samples of a chunk.
        channels: of a chunk. Two channels become one with a random weight each time ("aug_blend").
        augment: whether chunks move and channels are weighed at random; for validation neither.
        seed: decides both.
        max_chunks: at most so many, spread evenly over all.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        length: int,
        channels: int = 1,
        augment: bool = True,
        seed: int = 0,
        max_chunks: int | None = None,
    ):
        self.recordings = [recording for recording in recordings if len(recording.samples) >= length]
        self.num_too_short = len(recordings) - len(self.recordings)
        self.channels = channels
        self.chunks = Chunks([len(one.samples) for one in self.recordings], length, augment, seed, max_chunks)

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, key: ExampleKey) -> np.ndarray:
        """(length, channels) float32."""
        number, start = self.chunks[key]
        left = 0.5
        if self.chunks.augment:  # a fourth number in the seed keeps this stream apart from that of places
            left = np.random.default_rng([self.chunks.seed, key.epoch, key.index, 1]).random()
        return self.recordings[number].audio(start, self.chunks.length, self.channels, left)


def collate_audio(chunks: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """A batch: `raw_audio` (B, T, channels) float32."""
    return {"raw_audio": torch.from_numpy(np.stack(chunks))}

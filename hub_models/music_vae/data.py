"""Folders of MIDI files as training data: found, split, extracted once into an Arrow cache, and augmented on the way out.

files = find_midi_files([folder], [splits_csv])            # what there is, and its split
windows = prepare_windows(files, processor)                 # cached; broken files listed beside the cache
dataset = WindowDataset(windows.select("train"), ...)       # what the training loop indexes
"""

import hashlib
import importlib.metadata
import json
import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from hub_models.training import DataFile, find_data_files
from hub_models.training.data_order import ExampleKey

from .melodies import transpose_melodies
from .note_sequence import MidiError, NoteSequence, read_score
from .processing_music_vae import MusicVAEProcessor
from .representation import as_items

MIDI_SUFFIXES = (".mid", ".midi")
FILES_PER_BATCH = 16
LISTED_REASONS = 5
ROWS_PER_SHARD = 5_000_000
# A song of many tracks has thousands of trios, nearly all alike: a file with more examples than this gives a random choice.
BYTES_PER_FILE = 1_000_000
# Settings of a processor that examples do not depend on: they work in `features`.
NOT_EXTRACTED = ("corruptions", "hits_control")


@dataclass
class Windows:
    """The examples extracted from a set of files.

    Attributes:
        examples: shape (N, *example_shape) of the processor.
        file_index: which of `files` each example comes from, shape (N,).
        files: the files read.
        summary: counts: files, files without examples, broken files, windows.
        folder: the cache folder; `rejected.jsonl` there lists each file that gave nothing, and why.
    """

    examples: np.ndarray
    file_index: np.ndarray
    files: list[DataFile]
    summary: dict[str, Any]
    folder: Path
    splits: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.splits = np.array([file.split for file in self.files])

    def select(
        self, split: str | None = None, max_windows_per_file: int | None = None, deduplicate: bool = False, seed: int = 0
    ) -> np.ndarray:
        """The examples of one split (None: all), shape (M, *example_shape).

        Args:
            max_windows_per_file: keep a random choice of at most so many of each file.
            deduplicate: keep the first of equal examples, over all files.
            seed: decides the random choice.
        """
        rows = np.arange(len(self.examples))
        if split is not None:
            rows = rows[self.splits[self.file_index] == split] if len(rows) else rows
        if max_windows_per_file is not None and len(rows):
            rows = np.random.default_rng(seed).permutation(rows)
            rows = rows[np.argsort(self.file_index[rows], kind="stable")]
            owners = self.file_index[rows]
            place_in_file = np.arange(len(rows)) - np.searchsorted(owners, owners)
            rows = np.sort(rows[place_in_file < max_windows_per_file])
        if deduplicate and len(rows):
            _, first = np.unique(as_items(self.examples[rows]), return_index=True)
            rows = rows[np.sort(first)]
        return self.examples[rows]


def find_midi_files(
    folders: Sequence[Path], splits: Sequence[Path] | None = None, validation_share: float = 0.05
) -> list[DataFile]:
    """All MIDI files below the folders, with their splits; see `hub_models.training.find_data_files`."""
    return find_data_files(folders, "MIDI", MIDI_SUFFIXES, splits, validation_share)


def prepare_windows(
    files: Sequence[DataFile], processor: MusicVAEProcessor, cache: Path | None = None, num_proc: int | None = None
) -> Windows:
    """Extract the examples of all files, in parallel with a progress bar, or read them from the cache.

    The cache folder is named by a fingerprint of the files (name, size, time of change), the processor's settings and the
    code that extracts. Files that cannot be read are counted and listed, never fatal.

    Args:
        files: from `find_midi_files`.
        processor: decides what an example is.
        cache: where to keep results; default: `encore/music_vae` in the cache of `datasets`.
        num_proc: parallel processes; default: the number of cores.
    """
    cache = Path(cache or Path(datasets.config.HF_DATASETS_CACHE) / "encore" / "music_vae")
    folder = cache / _fingerprint(files, processor)
    if not (folder / "summary.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".incomplete-") as temporary:
            _extract_files(files, processor, Path(temporary), num_proc or _number_of_cores())
            try:
                os.rename(Path(temporary) / "result", folder)
            except OSError:  # another process was faster
                if not (folder / "summary.json").exists():
                    raise
    table = datasets.load_from_disk(str(folder)).data
    examples = table.column("example").combine_chunks()
    return Windows(
        examples=examples.flatten().to_numpy().reshape(-1, *processor.example_shape),
        file_index=table.column("file_index").to_numpy(),
        files=list(files),
        summary=json.loads((folder / "summary.json").read_text()),
        folder=folder,
    )


def _extract_files(files: Sequence[DataFile], processor: MusicVAEProcessor, folder: Path, num_proc: int) -> None:
    """Write `folder/result`: the Arrow data set, rejected.jsonl, summary.json."""
    features = datasets.Features(
        {
            "example": datasets.List(
                datasets.Value(processor.example_dtype.name), length=math.prod(processor.example_shape)
            ),
            "file_index": datasets.Value("int32"),
            "problem": datasets.Value("string"),
            "reasons": datasets.Value("string"),
        }
    )
    order = np.random.default_rng(0).permutation(len(files))  # so that every process gets its share of the large ones
    rows = datasets.Dataset.from_dict({"path": [files[i].path for i in order], "file_index": order}).map(
        _extract_batch,
        batched=True,
        batch_size=FILES_PER_BATCH,
        num_proc=min(num_proc, max(1, len(files) // FILES_PER_BATCH)) if num_proc > 1 else None,
        remove_columns=["path"],
        features=features,
        fn_kwargs={"processor": processor},
        cache_file_name=str(folder / "rows.arrow"),
        new_fingerprint="rows",
        desc="Extracting examples",
    )
    problems = np.array(rows.data.column("problem").to_pylist(), dtype=object)
    file_index = rows.data.column("file_index").to_numpy()
    is_window = np.array([problem is None for problem in problems], dtype=bool)
    kept = np.flatnonzero(is_window)
    kept = kept[np.argsort(file_index[kept], kind="stable")]
    result = folder / "result"
    datasets.Dataset(rows.data.table.take(kept).select(["example", "file_index"])).save_to_disk(
        str(result), num_shards=max(1, len(kept) // ROWS_PER_SHARD)
    )

    rejected = np.flatnonzero(~is_window)
    rejected = rejected[np.argsort(file_index[rejected], kind="stable")]
    with (result / "rejected.jsonl").open("w") as listing:
        for row, reasons in zip(rejected, rows.select(rejected)["reasons"], strict=True):
            entry = {"file": files[file_index[row]].path, "problem": problems[row], "reasons": json.loads(reasons)}
            listing.write(json.dumps(entry) + "\n")
    counts = Counter(problems[rejected])
    summary = {
        "files": len(files),
        "files_with_windows": len(np.unique(file_index[kept])),
        "files_without_windows": counts["empty"],
        "broken_files": counts["broken"],
        "windows": len(kept),
    }
    (result / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def _extract_batch(batch: dict[str, list], processor: MusicVAEProcessor) -> dict[str, list]:
    """Rows of several files: one per window, or one that says why a file gave none."""
    examples, rows = [], {"file_index": [], "problem": [], "reasons": []}
    most = max(1, BYTES_PER_FILE // (math.prod(processor.example_shape) * processor.example_dtype.itemsize))
    for path, index in zip(batch["path"], batch["file_index"], strict=True):
        problem, reasons = None, []
        try:
            extraction = processor.extract(NoteSequence.from_symusic(read_score(path)))
            found = extraction.examples
            if len(found) == 0:
                problem, reasons = "empty", [str(rejection) for rejection in extraction.rejections[:LISTED_REASONS]]
                reasons = reasons or ["the file holds no notes"]
        except MidiError as error:
            problem, reasons = "broken", [str(error)]
        except Exception as error:  # whatever a hostile file provokes, the other files are not lost
            problem, reasons = "broken", [f"{type(error).__name__}: {error}"[:500]]
        if problem is not None:
            found = np.zeros((1, *processor.example_shape))
        elif len(found) > most:
            choice = np.random.default_rng(int(index)).permutation(len(found))[:most]
            found = found[np.sort(choice)]
        examples.append(found.reshape(len(found), -1).astype(processor.example_dtype))
        rows["file_index"].extend([index] * len(found))
        rows["problem"].extend([problem] * len(found))
        rows["reasons"].extend([json.dumps(reasons) if problem else None] * len(found))
    return {"example": np.concatenate(examples), **rows}


class WindowDataset:
    """Examples for the training loop, indexed by batches of `ExampleKey`; with random transposition when asked for.

    Args:
        examples: shape (N, T, ...).
        transpose_semitones: each example is shifted by a random number of semitones from minus to plus this, one draw
            per epoch and example. 0: none.
        transpose: shifts examples (M, T, ...) by semitones (M,); see `Representation.transpose`. Default: melodies of 88
            pitches.
        seed: decides the draws.
    """

    def __init__(
        self,
        examples: np.ndarray,
        transpose_semitones: int = 0,
        transpose: Callable[[np.ndarray, np.ndarray], np.ndarray] = transpose_melodies,
        seed: int = 0,
    ):
        self.examples = examples
        self.transpose_semitones = transpose_semitones
        self.transpose = transpose
        self.seed = seed
        self._shifts: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, keys: Sequence[ExampleKey]) -> np.ndarray:
        """Several examples, shape (len(keys), T, ...); small integers as int64."""
        examples = self.examples[[key.index for key in keys]]
        if examples.dtype.kind in "iu" and examples.dtype.itemsize < 8:
            examples = examples.astype(np.int64)
        if self.transpose_semitones == 0:
            return examples
        return self.transpose(examples, np.array([self._shift(key) for key in keys]))

    def __getitem__(self, key: ExampleKey) -> np.ndarray:
        """One example, shape (T, ...)."""
        return WindowDataset.__getitems__(self, [key])[0]

    def _shift(self, key: ExampleKey) -> int:
        if key.epoch not in self._shifts:
            self._shifts = {e: s for e, s in self._shifts.items() if e == key.epoch - 1}
            reach = self.transpose_semitones
            # A third number in the seed keeps this stream apart from that of the data order.
            draws = np.random.default_rng([self.seed, key.epoch, 1]).integers(-reach, reach + 1, size=len(self))
            self._shifts[key.epoch] = draws
        return int(self._shifts[key.epoch][key.index])


class SeededWindowDataset(WindowDataset):
    """As [`WindowDataset`], and with each example a seed for what the processor draws when it makes its features."""

    def __getitems__(self, keys: Sequence[ExampleKey]) -> tuple[np.ndarray, list[list[int]]]:
        """Several examples, shape (len(keys), T, ...), and their seeds."""
        return super().__getitems__(keys), [[self.seed, key.epoch, key.index, 2] for key in keys]


def overlap(examples: np.ndarray, others: np.ndarray) -> float:
    """Share of `examples` (N, ...) that occur exactly among `others` (M, ...)."""
    if len(examples) == 0:
        return 0.0
    return float(np.isin(as_items(examples), as_items(others)).mean())


def fingerprint_of(examples: np.ndarray) -> str:
    """A short text that is the same for the same examples (N, ...) in the same order, wherever they come from."""
    digest = hashlib.sha256(f"{examples.dtype}{examples.shape}".encode())
    digest.update(np.ascontiguousarray(examples))
    return digest.hexdigest()[:24]


def describe_rejections(folder: Path, limit: int = 5) -> str:
    """The most frequent reasons in a cache's rejected.jsonl, as a sentence for people."""
    counts: Counter[str] = Counter()
    for line in (folder / "rejected.jsonl").read_text().splitlines():
        counts.update(reason.partition(": ")[2] or reason for reason in json.loads(line)["reasons"])
    common = "; ".join(f"{reason} ({count}x)" for reason, count in counts.most_common(limit))
    return f"Most frequent reasons: {common}." if common else "No reasons are recorded."


def _fingerprint(files: Sequence[DataFile], processor: MusicVAEProcessor) -> str:
    digest = hashlib.sha256()
    for file in files:
        status = os.stat(file.path)
        digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    settings = {name: value for name, value in processor.to_dict().items() if name not in NOT_EXTRACTED}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(_code_version(processor).encode())
    return digest.hexdigest()[:24]


def _code_version(processor: MusicVAEProcessor) -> str:
    """Changes with the source that reads and extracts."""
    digest = hashlib.sha256(importlib.metadata.version("symusic").encode())
    for name in sorted(_modules_behind(type(processor.codec).__module__) | {__name__}):
        digest.update(Path(sys.modules[name].__file__).read_bytes())
    return digest.hexdigest()


def _modules_behind(module: str) -> set[str]:
    """A module and those of this package that it imports from, directly or not."""
    found, waiting = set(), {module}
    while waiting:
        module = waiting.pop()
        found.add(module)
        imported = {str(getattr(value, "__module__", None)) for value in vars(sys.modules[module]).values()}
        waiting |= {name for name in imported if name.startswith(f"{__package__}.")} - found
    return found


def _number_of_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Folders of MIDI files as training data: found, split, extracted once into an Arrow cache, and augmented on the way out.

files = find_midi_files([folder], [splits_csv])            # what there is, and its split
windows = prepare_windows(files, processor)                 # cached; broken files listed beside the cache
dataset = WindowDataset(windows.select("train"), ...)       # what the training loop indexes
"""

import csv
import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from hub_models.training import NoTrainingDataError
from hub_models.training.data_order import ExampleKey

from .note_sequence import MidiError, NoteSequence, read_score
from .processing_music_vae import MusicVAEProcessor

MIDI_SUFFIXES = (".mid", ".midi")
FILES_PER_BATCH = 16
LISTED_REASONS = 5
# Three hours at 500 quarter notes a minute: a tempo of a million would pass the limit in seconds and fill the memory.
ROWS_PER_SHARD = 5_000_000


@dataclass(frozen=True)
class MidiFile:
    """One file: where it is, its name within its data folder, and the split it belongs to."""

    path: str
    name: str
    split: str


@dataclass
class Windows:
    """The examples extracted from a set of files.

    Attributes:
        ids: events of each example, shape (N, T), uint16.
        file_index: which of `files` each example comes from, shape (N,).
        files: the files read.
        summary: counts: files, files without examples, broken files, windows.
        folder: the cache folder; `rejected.jsonl` there lists each file that gave nothing, and why.
    """

    ids: np.ndarray
    file_index: np.ndarray
    files: list[MidiFile]
    summary: dict[str, Any]
    folder: Path
    splits: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.splits = np.array([file.split for file in self.files])

    def select(
        self, split: str | None = None, max_windows_per_file: int | None = None, deduplicate: bool = False, seed: int = 0
    ) -> np.ndarray:
        """The examples of one split (None: all), shape (M, T).

        Args:
            max_windows_per_file: keep a random choice of at most so many of each file.
            deduplicate: keep the first of equal examples, over all files.
            seed: decides the random choice.
        """
        rows = np.arange(len(self.ids))
        if split is not None:
            rows = rows[self.splits[self.file_index] == split] if len(rows) else rows
        if max_windows_per_file is not None and len(rows):
            rows = np.random.default_rng(seed).permutation(rows)
            rows = rows[np.argsort(self.file_index[rows], kind="stable")]
            owners = self.file_index[rows]
            place_in_file = np.arange(len(rows)) - np.searchsorted(owners, owners)
            rows = np.sort(rows[place_in_file < max_windows_per_file])
        if deduplicate and len(rows):
            _, first = np.unique(_as_items(self.ids[rows]), return_index=True)
            rows = rows[np.sort(first)]
        return self.ids[rows]


def find_midi_files(
    folders: Sequence[Path], splits: Sequence[Path] | None = None, validation_share: float = 0.05
) -> list[MidiFile]:
    """All MIDI files below the folders, with their splits, in a fixed order.

    Args:
        folders: data folders, searched through to the bottom.
        splits: one CSV per folder, with columns `file` (relative to its folder) and `split`; only files named there are
            taken, and rows that name other kinds of files are passed over. None: every file is taken, and
            `validation_share` of them, chosen by their names, is "validation", the rest "train".
        validation_share: share of files held out where there is no CSV, 0..1.

    Raises:
        NoTrainingDataError: a folder does not exist, or no MIDI file is found, or none of those named in a CSV exists.
        ValueError: a CSV lacks the columns, or there are not as many CSVs as folders.
    """
    if splits and len(splits) != len(folders):
        raise ValueError(f"--splits needs one file per --data folder: got {len(splits)} for {len(folders)} folders.")
    files = []
    for number, folder in enumerate(map(Path, folders)):
        if not folder.is_dir():
            raise NoTrainingDataError(f"The data folder {folder} does not exist or is no folder.")
        if splits:
            named = _read_splits(Path(splits[number]))
            found = [MidiFile(str(folder / name), name, split) for name, split in named if (folder / name).is_file()]
            if not found:
                example = f" (the first is {named[0][0]})" if named else ""
                raise NoTrainingDataError(
                    f"{splits[number]} names {len(named)} MIDI files, but none of them is in {folder}{example}."
                )
        else:
            names = sorted(
                str(Path(parent, name).relative_to(folder))
                for parent, _, children in os.walk(folder)
                for name in children
                if name.lower().endswith(MIDI_SUFFIXES)
            )
            found = [MidiFile(str(folder / name), name, _split_of(name, validation_share)) for name in names]
        files += found
    if not files:
        raise NoTrainingDataError(
            f"No MIDI files (names ending in {' or '.join(MIDI_SUFFIXES)}) in {', '.join(map(str, folders))}."
        )
    return files


def prepare_windows(
    files: Sequence[MidiFile], processor: MusicVAEProcessor, cache: Path | None = None, num_proc: int | None = None
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
    ids = table.column("ids").combine_chunks()
    return Windows(
        ids=ids.flatten().to_numpy().reshape(-1, processor.window_steps),
        file_index=table.column("file_index").to_numpy(),
        files=list(files),
        summary=json.loads((folder / "summary.json").read_text()),
        folder=folder,
    )


def _extract_files(files: Sequence[MidiFile], processor: MusicVAEProcessor, folder: Path, num_proc: int) -> None:
    """Write `folder/result`: the Arrow data set, rejected.jsonl, summary.json."""
    features = datasets.Features(
        {
            "ids": datasets.List(datasets.Value("uint16"), length=processor.window_steps),
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
    datasets.Dataset(rows.data.table.take(kept).select(["ids", "file_index"])).save_to_disk(
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
    rows: dict[str, list] = {"ids": [], "file_index": [], "problem": [], "reasons": []}
    for path, index in zip(batch["path"], batch["file_index"], strict=True):
        problem, reasons = None, []
        try:
            extraction = processor.extract(NoteSequence.from_symusic(read_score(path)))
            ids = extraction.ids
            if len(ids) == 0:
                problem, reasons = "empty", [str(rejection) for rejection in extraction.rejections[:LISTED_REASONS]]
                reasons = reasons or ["the file holds no notes"]
        except MidiError as error:
            problem, reasons = "broken", [str(error)]
        except Exception as error:  # whatever a hostile file provokes, the other files are not lost
            problem, reasons = "broken", [f"{type(error).__name__}: {error}"[:500]]
        if problem is not None:
            ids = np.zeros((1, processor.window_steps))
        rows["ids"].append(ids.astype(np.uint16))
        rows["file_index"].extend([index] * len(ids))
        rows["problem"].extend([problem] * len(ids))
        rows["reasons"].extend([json.dumps(reasons) if problem else None] * len(ids))
    return {**rows, "ids": np.concatenate(rows["ids"])}


class WindowDataset:
    """Examples for the training loop, indexed by batches of `ExampleKey`; with random transposition when asked for.

    Args:
        ids: events, shape (N, T).
        transpose_semitones: each example is shifted by a random number of semitones from minus to plus this, one draw
            per epoch and example. 0: none. Melodies only.
        num_pitches: how many pitches the events have (88: events 2..89). Notes moved beyond them are dropped.
        seed: decides the draws.
    """

    def __init__(self, ids: np.ndarray, transpose_semitones: int = 0, num_pitches: int = 88, seed: int = 0):
        self.ids = ids
        self.transpose_semitones = transpose_semitones
        self.num_pitches = num_pitches
        self.seed = seed
        self._shifts: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitems__(self, keys: Sequence[ExampleKey]) -> np.ndarray:
        """The events of several examples, shape (len(keys), T), int64."""
        ids = self.ids[[key.index for key in keys]].astype(np.int64)
        if self.transpose_semitones == 0:
            return ids
        return transpose_melodies(ids, np.array([self._shift(key) for key in keys]), self.num_pitches)

    def __getitem__(self, key: ExampleKey) -> np.ndarray:
        """The events of one example, shape (T,), int64."""
        return self.__getitems__([key])[0]

    def _shift(self, key: ExampleKey) -> int:
        if key.epoch not in self._shifts:
            self._shifts = {e: s for e, s in self._shifts.items() if e == key.epoch - 1}
            reach = self.transpose_semitones
            # A third number in the seed keeps this stream apart from that of the data order.
            draws = np.random.default_rng([self.seed, key.epoch, 1]).integers(-reach, reach + 1, size=len(self))
            self._shifts[key.epoch] = draws
        return int(self._shifts[key.epoch][key.index])


def transpose_melodies(ids: np.ndarray, semitones: np.ndarray, num_pitches: int) -> np.ndarray:
    """Melodies moved up or down; notes that leave the range are dropped, as if they had never been played.

    A melody that would lose all its notes stays as it is. Where a dropped note had cut another, that one now ends there.

    Args:
        ids: melody events, shape (N, T): 0 none, 1 note off, 2.. note on.
        semitones: shift of each melody, shape (N,).
        num_pitches: number of pitches; the last event is `num_pitches + 1`.
    """
    is_note = ids >= 2
    moved = np.where(is_note, ids + semitones[:, None], ids)
    dropped = is_note & ((moved < 2) | (moved > num_pitches + 1))
    moved[dropped] = 1
    # A note off is kept only while a note sounds, that is if the event before it is a note on.
    steps = np.arange(ids.shape[1])
    latest = np.maximum.accumulate(np.where(moved != 0, steps, -1), axis=1)
    before = np.concatenate([np.full((len(ids), 1), -1), latest[:, :-1]], axis=1)
    follows_note = (before >= 0) & (np.take_along_axis(moved, np.maximum(before, 0), axis=1) >= 2)
    moved[(moved == 1) & ~follows_note] = 0
    lost = ~(moved >= 2).any(axis=1)
    moved[lost] = ids[lost]
    return moved


def overlap(examples: np.ndarray, others: np.ndarray) -> float:
    """Share of `examples` (N, T) that occur exactly among `others` (M, T)."""
    if len(examples) == 0:
        return 0.0
    return float(np.isin(_as_items(examples), _as_items(others)).mean())


def fingerprint_of(ids: np.ndarray) -> str:
    """A short text that is the same for the same examples (N, T) in the same order, wherever they come from."""
    return hashlib.sha256(f"{ids.dtype}{ids.shape}".encode() + np.ascontiguousarray(ids).tobytes()).hexdigest()[:24]


def describe_rejections(folder: Path, limit: int = 5) -> str:
    """The most frequent reasons in a cache's rejected.jsonl, as a sentence for people."""
    counts: Counter[str] = Counter()
    for line in (folder / "rejected.jsonl").read_text().splitlines():
        counts.update(reason.partition(": ")[2] or reason for reason in json.loads(line)["reasons"])
    common = "; ".join(f"{reason} ({count}x)" for reason, count in counts.most_common(limit))
    return f"Most frequent reasons: {common}." if common else "No reasons are recorded."


def _as_items(ids: np.ndarray) -> np.ndarray:
    """Rows as single comparable items."""
    ids = np.ascontiguousarray(ids)
    return ids.view(np.dtype((np.void, ids.dtype.itemsize * ids.shape[1]))).ravel()


def _read_splits(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if not {"file", "split"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path} must have the columns 'file' and 'split'; it has {reader.fieldnames}.")
        return [(row["file"], row["split"]) for row in reader if row["file"].lower().endswith(MIDI_SUFFIXES)]


def _split_of(name: str, validation_share: float) -> str:
    """A split that depends on the name alone, so that adding files moves none of the others."""
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return "validation" if draw < validation_share else "train"


def _fingerprint(files: Sequence[MidiFile], processor: MusicVAEProcessor) -> str:
    digest = hashlib.sha256()
    for file in files:
        status = os.stat(file.path)
        digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    digest.update(json.dumps(processor.to_dict(), sort_keys=True, default=str).encode())
    digest.update(_code_version().encode())
    return digest.hexdigest()[:24]


def _code_version() -> str:
    """Changes with the source that reads and extracts."""
    digest = hashlib.sha256(importlib.metadata.version("symusic").encode())
    for name in ("data", "drums", "melodies", "note_sequence", "pieces", "processing_music_vae"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def _number_of_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

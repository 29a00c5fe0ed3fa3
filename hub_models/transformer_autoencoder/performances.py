"""Folders of MIDI files as performances in tokens: found, split, read once in parallel, and kept in one mapped file.

files = find_performances([folder], [splits_csv])        # what there is, and its split
performances = prepare_performances(files)                # cached; files that give nothing are listed with the reason
pieces = performances.select("train")                     # tokens of each piece, as played and stretched
"""

import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from hub_models.music_vae.note_sequence import MidiLimits, NoteSequence, read_score
from hub_models.training import DataFile, find_data_files

from . import performance_events, performance_notes
from .performance_events import encode_performance
from .performance_notes import HIGHEST_PITCH, LOWEST_PITCH, PedalChanges, PerformanceNotes, apply_sustain

MIDI_SUFFIXES = (".mid", ".midi")
STRETCHES = (0.95, 0.975, 1.0, 1.025, 1.05)
# Of one's own files, not a stranger's: an evening's recital is fine.
LIMITS = MidiLimits(max_bytes=20_000_000, max_notes=500_000, max_seconds=6 * 3600.0)


@dataclass(frozen=True)
class Piece:
    """One performance.

    Attributes:
        name: of its file, within its data folder.
        variants: tokens (T,) uint16, one array for each time stretch.
        lowest, highest: MIDI pitch.
        as_played: which of `variants` is not stretched.
    """

    name: str
    variants: tuple[np.ndarray, ...]
    lowest: int
    highest: int
    as_played: int = 0

    @property
    def tokens(self) -> np.ndarray:
        """(T,) uint16, as played."""
        return self.variants[self.as_played]

    def __len__(self) -> int:
        return len(self.tokens)

    def transpositions(self, reach: int) -> np.ndarray:
        """The shifts in semitones, from -reach to reach, that keep every pitch on the piano."""
        return np.arange(max(-reach, LOWEST_PITCH - self.lowest), min(reach, HIGHEST_PITCH - self.highest) + 1)


@dataclass
class Performances:
    """Performances as one long row of tokens.

    Attributes:
        tokens: (N,) uint16, mapped from disk: the variants of the first file one after the other, then the next file's.
        starts: (files * stretches + 1,) int64, where each variant begins, and the end.
        lowest, highest: pitches by file.
        seconds: length by file, to the end of the last note.
        stretches: factors of time of the variants.
        files: those that gave tokens.
        rejected: name of a file -> why it gave nothing.
        left_out: what was left out of files that gave something -> how many notes.
        digest: a name for all of this.
    """

    tokens: np.ndarray
    starts: np.ndarray
    lowest: list[int]
    highest: list[int]
    seconds: list[float]
    stretches: tuple[float, ...]
    files: list[DataFile]
    rejected: dict[str, str]
    left_out: dict[str, int]
    digest: str

    def __getitem__(self, index: int) -> Piece:
        first = index * len(self.stretches)
        variants = tuple(
            self.tokens[self.starts[number] : self.starts[number + 1]]
            for number in range(first, first + len(self.stretches))
        )
        return Piece(self.files[index].name, variants, self.lowest[index], self.highest[index], self.stretches.index(1.0))

    def select(self, split: str) -> list[Piece]:
        """The pieces of a split, in the order of their files."""
        return [self[index] for index, file in enumerate(self.files) if file.split == split]

    def summary(self) -> dict[str, float]:
        """Counts for a person: files, hours and tokens by split, files that gave nothing, notes that were left out."""
        counts: Counter[str] = Counter()
        for index, file in enumerate(self.files):
            counts[f"{file.split}_files"] += 1
            counts[f"{file.split}_hours"] += self.seconds[index] / 3600
            counts[f"{file.split}_tokens"] += len(self[index])
        rounded = {name: round(count, 2) for name, count in counts.items()}
        return rounded | {"rejected_files": len(self.rejected)} | self.left_out


def find_performances(
    folders: Sequence[Path], splits: Sequence[Path] | None = None, split: str | None = None, validation_share: float = 0.05
) -> list[DataFile]:
    """All MIDI files below the folders, or those of one split; see `hub_models.training.find_data_files`.

    Raises:
        NoTrainingDataError: nothing is found.
    """
    files = find_data_files(folders, "MIDI", MIDI_SUFFIXES, splits, validation_share)
    return [file for file in files if split is None or file.split == split]


def prepare_performances(
    files: Sequence[DataFile],
    stretches: Sequence[float] = STRETCHES,
    tracks: Sequence[str] = (),
    cache: Path | None = None,
    num_proc: int | None = None,
    progress: bool = True,
) -> Performances:
    """Read all files, in parallel with a progress bar, or map their tokens from the cache.

    The cache folder is named by a fingerprint of the files' contents, the settings and the code that reads. Files that
    cannot be read or hold no notes for a piano are listed with the reason, never fatal.

    Args:
        files: from `find_performances`.
        stretches: factors of time, each giving a variant of every piece; 1.0 must be among them.
        tracks: of a file with tracks of these names, only those are read; case does not count.
        cache: where to keep the tokens (2 bytes each); default: `encore/transformer_autoencoder` in the cache of
            Hugging Face.
        num_proc: parallel processes; default: the number of cores.
        progress: show a progress bar.
    """
    from huggingface_hub.constants import HF_HOME

    if 1.0 not in stretches:
        raise ValueError(f"The time stretches are {tuple(stretches)}; 1.0, as played, must be among them.")
    cache = Path(cache or Path(HF_HOME) / "encore" / "transformer_autoencoder")
    folder = cache / _fingerprint(files, stretches, tracks)
    if not (folder / "index.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".incomplete-") as temporary:
            _read_files(files, stretches, tracks, Path(temporary) / "result", num_proc or _number_of_cores(), progress)
            try:
                os.rename(Path(temporary) / "result", folder)
            except OSError:  # another process was faster
                if not (folder / "index.json").exists():
                    raise
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    starts = np.array(index["starts"], dtype=np.int64)
    return Performances(
        tokens=np.memmap(folder / "tokens.uint16", dtype="<u2", mode="r") if starts[-1] else np.zeros(0, np.uint16),
        starts=starts,
        lowest=index["lowest"],
        highest=index["highest"],
        seconds=index["seconds"],
        stretches=tuple(stretches),
        files=[files[number] for number in index["files"]],
        rejected=index["rejected"],
        left_out=index["left_out"],
        digest=index["digest"],
    )


@dataclass
class Reading:
    """What one file gave: `variants` and what describes them, or the `problem`."""

    variants: list[np.ndarray]
    lowest: int = 0
    highest: int = 0
    seconds: float = 0.0
    drum_notes: int = 0
    notes_outside_the_piano: int = 0
    problem: str | None = None


def read_performance(path: str | os.PathLike, tracks: Sequence[str] = ()) -> tuple[PerformanceNotes, Reading]:
    """The notes of a file as the original's pipeline takes them: those of a piano's range, lengthened by the pedal.

    Returns:
        the notes, and a `Reading` with the counts of what was left out.

    Raises:
        MidiError: it cannot be read.
    """
    everything = _read_notes(path, tracks)
    pitched = everything.without_drums()
    inside = pitched.in_range()
    counts = {"drum_notes": len(everything) - len(pitched), "notes_outside_the_piano": len(pitched) - len(inside)}
    return apply_sustain(inside), Reading([], **counts)


def _read_notes(path: str | os.PathLike, tracks: Sequence[str]) -> PerformanceNotes:
    """All notes of a file, or those of the tracks of these names. symusic reads a hundred times as fast as pretty_midi; the
    two pair note-ons and note-offs alike, except where notes of one pitch and track overlap."""
    music = NoteSequence.from_symusic(read_score(path, LIMITS))
    wanted = {name.strip().lower() for name in tracks}
    named = [number for number, name in enumerate(music.instrument_names) if name.strip().lower() in wanted]
    notes = np.isin(music.instrument, named) if named else np.ones(len(music), dtype=bool)
    pedals = music.pedals.select(np.isin(music.pedals.instrument, named)) if named else music.pedals
    columns = ("pitch", "velocity", "start", "end", "instrument", "program", "is_drum")
    return PerformanceNotes(
        **{name: getattr(music, name)[notes] for name in columns},
        total_seconds=float(music.end[notes].max(initial=0.0)),
        pedals=PedalChanges(pedals.seconds, np.where(pedals.down, 127, 0), pedals.instrument),
    )


def _read_file(job: tuple[str, Sequence[float], Sequence[str]]) -> Reading:
    path, stretches, tracks = job
    try:
        notes, reading = read_performance(path, tracks)
        if len(notes) == 0:
            left_out = {"drum": reading.drum_notes, "out of a piano's range": reading.notes_outside_the_piano}
            reasons = [f"{count} notes are {what}" for what, count in left_out.items() if count]
            reading.problem = f"no notes for a piano{': ' if reasons else ''}{', '.join(reasons)}"
            return reading
        reading.variants = [encode_performance(notes.stretched(factor)).astype("<u2") for factor in stretches]
        reading.lowest, reading.highest = int(notes.pitch.min()), int(notes.pitch.max())
        reading.seconds = float(notes.end.max())
        return reading
    except Exception as error:  # whatever a hostile file provokes, the other files are not lost
        what = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
        return Reading([], problem=what[:500])


def _read_files(
    files: Sequence[DataFile], stretches: Sequence[float], tracks: Sequence[str], folder: Path, num_proc: int, progress: bool
) -> None:
    """Write `folder`: tokens.uint16 and index.json."""
    folder.mkdir()
    starts, kept, rejected = [0], [], {}
    lowest, highest, seconds = [], [], []
    left_out: Counter[str] = Counter()
    digest = hashlib.sha256()
    jobs = [(file.path, tuple(stretches), tuple(tracks)) for file in files]
    num_proc = min(num_proc, len(jobs) // 16)  # a process takes longer to start than a few files to read
    pool = multiprocessing.get_context("spawn").Pool(num_proc) if num_proc > 1 else None
    try:
        readings: Iterable[Reading] = pool.imap(_read_file, jobs, chunksize=4) if pool else map(_read_file, jobs)
        with (folder / "tokens.uint16").open("wb") as output:
            pairs = tqdm(
                zip(files, readings, strict=True), "reading performances", len(files), unit="file", disable=not progress
            )
            for number, (file, reading) in enumerate(pairs):
                if reading.problem is not None:
                    rejected[file.name] = reading.problem
                    continue
                for variant in reading.variants:
                    content = variant.tobytes()
                    output.write(content)
                    digest.update(content)
                    starts.append(starts[-1] + len(variant))
                kept.append(number)
                lowest.append(reading.lowest)
                highest.append(reading.highest)
                seconds.append(reading.seconds)
                left_out.update(
                    drum_notes_left_out=reading.drum_notes,
                    notes_outside_the_piano_left_out=reading.notes_outside_the_piano,
                )
    finally:
        if pool:
            pool.terminate()
    index = {
        "starts": starts,
        "files": kept,
        "lowest": lowest,
        "highest": highest,
        "seconds": seconds,
        "rejected": rejected,
        "left_out": {name: count for name, count in left_out.items() if count},
        "digest": digest.hexdigest()[:24],
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _fingerprint(files: Sequence[DataFile], stretches: Sequence[float], tracks: Sequence[str]) -> str:
    digest = hashlib.sha256(json.dumps([list(stretches), sorted(tracks)]).encode())
    for module in (sys.modules[__name__], performance_notes, performance_events):
        digest.update(Path(module.__file__).read_bytes())
    for file in files:
        digest.update(f"\0{file.name}\0".encode())
        try:
            digest.update(hashlib.sha256(Path(file.path).read_bytes()).digest())
        except OSError as error:  # reading the file will say so
            digest.update(str(error).encode())
    return digest.hexdigest()[:24]


def _number_of_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

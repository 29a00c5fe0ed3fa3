"""Render excerpts of MIDI files to sound that a vocoder can train on.

python -m hub_models.wavegrad.render_midi --midi DIR [DIR...] --splits CSV [CSV...] --output DIR --hours 3

In a share of the excerpts the instruments change for plausible others of the SoundFont; all are transposed, played
faster or slower and made louder or softer at random. OUTPUT receives mono 16-bit FLAC files, one folder per split, and
splits.csv, which training reads. The same seed gives the same files; a second start goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import multiprocessing
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pretty_midi
import soundfile
from tqdm.auto import tqdm

from hub_models import audio as sound
from hub_models import midi as midi_border

if TYPE_CHECKING:
    from hub_models.training import DataFile

MIDI_SUFFIXES = (".mid", ".midi")
COLUMNS = ("file", "split", "kind", "source", "seconds", "licence")
KEYS = (*range(0, 32),)  # General MIDI programs: pianos, tuned percussion, organs, guitars
BASSES = (*range(32, 40),)
CHORDAL = (46, *range(48, 55), 61, 62, 63, *range(88, 96))  # harp, ensembles, voices, brass sections, pads
SOLOISTS = (*range(40, 47), *range(52, 55), *range(56, 61), *range(64, 88))  # strings, voices, brass, reeds, pipes, leads
FAILURES_IN_A_ROW = 50
EXCERPTS_PER_ROUND = 16


@dataclass(frozen=True)
class Variation:
    """How excerpts are cut and varied.

    Attributes:
        seconds: length of an excerpt; a shorter piece is rendered whole.
        min_seconds: shorter pieces are passed over.
        change_instruments: share of the excerpts whose instruments are exchanged, 0..1.
        transpose: at most so many semitones up or down; drums stay.
        tempo: slowest and fastest speed, as factors of the original.
        peak_db: softest and loudest peak, in dB below full scale.
    """

    seconds: float = 20.0
    min_seconds: float = 2.5
    change_instruments: float = 0.5
    transpose: int = 5
    tempo: tuple[float, float] = (0.8, 1.25)
    peak_db: tuple[float, float] = (-18.0, -0.5)


class NothingToRenderError(ValueError):
    """A piece gives no excerpt; the message says why."""


@dataclass(frozen=True)
class Job:
    """One excerpt: the piece's file and name, where the sound goes, and the numbers that its random choices follow from."""

    path: str
    source: str
    output: Path
    seed: tuple[int, ...]


def cut_excerpt(midi: pretty_midi.PrettyMIDI, variation: Variation, random: np.random.Generator) -> pretty_midi.PrettyMIDI:
    """A random excerpt of at most `variation.seconds` at a random tempo, beginning where the piece is not silent.

    Notes that sound across the beginning start there, except drums.

    Raises:
        NothingToRenderError: no notes, or too few seconds of them.
    """
    notes = [note for instrument in midi.instruments for note in instrument.notes]
    if not notes:
        raise NothingToRenderError("no notes")
    speed = float(np.exp(random.uniform(*np.log(variation.tempo))))
    first, last = min(note.start for note in notes), max(note.end for note in notes)
    if (last - first) / speed < variation.min_seconds:
        raise NothingToRenderError(f"shorter than {variation.min_seconds:g} seconds")
    begin = min(float(random.uniform(first, last)), max(first, last - variation.seconds * speed))
    begin = min(max(note.start, begin) for note in notes if note.end > begin)
    end = begin + variation.seconds * speed
    excerpt = pretty_midi.PrettyMIDI()
    for instrument in midi.instruments:
        part = pretty_midi.Instrument(instrument.program, instrument.is_drum)
        for note in instrument.notes:
            if begin <= note.start < end or (note.start < begin < note.end and not instrument.is_drum):
                start = (max(note.start, begin) - begin) / speed
                part.notes.append(pretty_midi.Note(note.velocity, note.pitch, start, (min(note.end, end) - begin) / speed))
        if part.notes:
            excerpt.instruments.append(part)
    return excerpt


def vary_instruments(midi: pretty_midi.PrettyMIDI, presets: frozenset[tuple[int, int]], random: np.random.Generator) -> None:
    """Exchange, in place, every instrument for a plausible other one: basses for basses, drum kits for drum kits, what plays
    chords for what can, and single lines for keys or solo instruments. Others (percussion, effects) stay.

    Args:
        presets: what the SoundFont holds, from `soundfont_presets`.
    """
    for instrument in midi.instruments:
        bank = 128 if instrument.is_drum else 0
        pool = _pool_of(instrument, presets)
        available = [program for program in pool if (bank, program) in presets]
        if available:
            instrument.program = int(random.choice(available))


def _pool_of(instrument: pretty_midi.Instrument, presets: frozenset[tuple[int, int]]) -> Sequence[int]:
    if instrument.is_drum:
        return sorted(program for bank, program in presets if bank == 128)
    if instrument.program in BASSES:
        return BASSES
    if instrument.program >= 96 or instrument.program in (47, 55):  # effects, percussion, timpani, orchestra hit
        return ()
    return KEYS + SOLOISTS if _is_single_line(instrument) else KEYS + CHORDAL


def _is_single_line(instrument: pretty_midi.Instrument) -> bool:
    """Whether the notes seldom sound together, slight overlaps of a legato aside."""
    notes = sorted(instrument.notes, key=lambda note: (note.start, note.end))
    together = sum(a.end - b.start > 0.25 * (a.end - a.start) for a, b in pairwise(notes))
    return together <= 0.05 * len(notes)


def transpose(midi: pretty_midi.PrettyMIDI, semitones: int) -> None:
    """Move, in place, all notes but those of drums; one that would leave 0..127 stays an octave inside."""
    for instrument in midi.instruments:
        if not instrument.is_drum:
            for note in instrument.notes:
                moved = note.pitch + semitones
                note.pitch = moved - 12 if moved > 127 else moved + 12 if moved < 0 else moved


@cache
def soundfont_presets(path: Path | None = None) -> frozenset[tuple[int, int]]:
    """The (bank, program) pairs in a SoundFont 2 file, drum kits in bank 128; None: the default SoundFont's.

    Raises:
        ValueError: this is no SoundFont 2 file.
    """
    path = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2" if path is None else Path(path)
    content = path.read_bytes()
    start = content.rfind(b"phdr")
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk" or start < 0:
        raise ValueError(f"{path.name} is not a SoundFont 2 file.")
    size = struct.unpack("<I", content[start + 4 : start + 8])[0]
    rows = struct.iter_unpack("<20sHHHIII", content[start + 8 : start + 8 + size // 38 * 38])
    return frozenset((bank, program) for _, program, bank, *_ in list(rows)[:-1])  # the last row only marks the end


def render_excerpt(
    source: str | Path,
    random: np.random.Generator,
    sample_rate: int = 22_050,
    variation: Variation | None = None,
    soundfont: Path | None = None,
) -> np.ndarray:
    """A random excerpt of a MIDI file as sound.

    It is synthesised at 44.1 kHz or more and then resampled: at lower rates the synthesiser folds high partials down.

    Returns:
        (samples,) float32 in -1..1.

    Raises:
        NothingToRenderError: the piece is empty, silent or too short.
        ValueError: the file is broken or cannot be rendered.
    """
    variation = variation or Variation()
    excerpt = cut_excerpt(midi_border.load(source), variation, random)
    if random.random() < variation.change_instruments:
        vary_instruments(excerpt, soundfont_presets(soundfont), random)
    transpose(excerpt, int(random.integers(-variation.transpose, variation.transpose + 1)))
    peak = 10 ** (random.uniform(*variation.peak_db) / 20)
    synthesised_at = 44_100 if sample_rate <= 44_100 else 48_000
    stereo = midi_border.render(excerpt, synthesised_at, soundfont, dynamics=False)
    audio = sound.resample(stereo.mean(axis=0, keepdims=True), synthesised_at, sample_rate)[0]
    audio = audio[: round(variation.seconds * sample_rate)]
    highest = float(np.abs(audio).max())
    if highest < 1e-3:
        raise NothingToRenderError("silent")
    return audio * np.float32(peak / highest)


def _run(job: Job, sample_rate: int, variation: Variation, soundfont: Path | None) -> tuple[float, str | None]:
    """Seconds of sound that the job's file holds now, and why there are none."""
    if job.output.exists():
        return soundfile.info(job.output).duration, None
    try:
        audio = render_excerpt(job.path, np.random.default_rng(job.seed), sample_rate, variation, soundfont)
    except NothingToRenderError as error:
        return 0.0, str(error)
    except ValueError as error:
        return 0.0, f"broken: {error}"
    temporary = job.output.with_suffix(".incomplete")
    soundfile.write(temporary, audio, sample_rate, format="FLAC", subtype="PCM_16")
    os.replace(temporary, job.output)
    return len(audio) / sample_rate, None


class Collection:
    """The pieces of one MIDI folder and split, and what has been rendered of them.

    Pieces are drawn with the same probability for each first-level subfolder, then for each piece in it: a small
    collection inside a large one is heard too.
    """

    def __init__(self, name: str, number: int, split: str, pieces: Sequence[DataFile], seconds: float, output: Path):
        self.name, self.number, self.split, self.output = name, number, split, output
        self.groups: dict[str, list[DataFile]] = {}
        for piece in pieces:
            self.groups.setdefault(piece.name.partition("/")[0], []).append(piece)
        self.missing_seconds = seconds
        self.next_number, self.failures_in_a_row = 0, 0
        self.rows: list[dict[str, str]] = []
        self.failures: list[tuple[str, str]] = []

    @property
    def done(self) -> bool:
        return self.missing_seconds <= 0 or self.failures_in_a_row >= FAILURES_IN_A_ROW

    def next_jobs(self, seed: int, excerpt_seconds: float) -> list[Job]:
        """The next excerpts, never more than are needed when all have their full length: so the files that come to be
        do not depend on how many jobs are given out at once."""
        count = min(EXCERPTS_PER_ROUND, math.ceil(self.missing_seconds / excerpt_seconds)) if not self.done else 0
        jobs = []
        for number in range(self.next_number, self.next_number + count):
            numbers = (seed, self.number, int.from_bytes(self.split.encode()[:8]), number)
            random = np.random.default_rng((*numbers, 1))
            group = self.groups[sorted(self.groups)[random.integers(len(self.groups))]]
            piece = group[random.integers(len(group))]
            jobs.append(
                Job(
                    piece.path,
                    f"{self.name}/{piece.name}",
                    self.output / self.split / f"{self.name}_{number:05d}.flac",
                    numbers,
                )
            )
        self.next_number += count
        return jobs

    def take(self, job: Job, seconds: float, problem: str | None, licences: dict[str, str]) -> None:
        if problem is not None:
            self.failures_in_a_row += 1
            self.failures.append((job.source, problem))
            return
        self.failures_in_a_row = 0
        self.missing_seconds -= seconds
        file = job.output.relative_to(self.output).as_posix()
        values = (file, self.split, "rendered", job.source, f"{seconds:.2f}", _licence_of(job.source, licences))
        self.rows.append(dict(zip(COLUMNS, values, strict=True)))


def render_collections(
    collections: Sequence[Collection],
    output: Path,
    sample_rate: int,
    seed: int,
    variation: Variation,
    soundfont: Path | None = None,
    licences: dict[str, str] | None = None,
    num_proc: int = 1,
) -> None:
    """Render all collections, in turns, and write splits.csv after each turn."""
    for collection in collections:
        (output / collection.split).mkdir(parents=True, exist_ok=True)
    run = partial(_run, sample_rate=sample_rate, variation=variation, soundfont=soundfont)
    total = sum(collection.missing_seconds for collection in collections)
    pool = multiprocessing.get_context("spawn").Pool(num_proc) if num_proc > 1 else None
    try:
        with tqdm(total=round(total), unit="s", desc="Rendering", smoothing=0.05) as progress:
            for turn in iter(lambda: _turn(collections, seed, variation), []):
                jobs = [job for _, job in turn]
                results: Iterable = pool.imap(run, jobs) if pool else map(run, jobs)
                for (collection, job), (seconds, problem) in zip(turn, results, strict=True):
                    collection.take(job, seconds, problem, licences or {})
                    progress.update(round(seconds))
                _write_splits(output / "splits.csv", [row for collection in collections for row in collection.rows])
    finally:
        if pool:
            pool.terminate()


def _turn(collections: Sequence[Collection], seed: int, variation: Variation) -> list[tuple[Collection, Job]]:
    return [(collection, job) for collection in collections for job in collection.next_jobs(seed, variation.seconds)]


def _licence_of(source: str, licences: dict[str, str]) -> str:
    """The licence of the longest of the given folders that the source is in; "" when none is."""
    folders = [folder for folder in licences if source.startswith(folder.rstrip("/") + "/")]
    return licences[max(folders, key=len)] if folders else ""


def _write_splits(path: Path, rows: Iterable[dict[str, str]]) -> None:
    temporary = path.with_suffix(".incomplete")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def _check_settings(output: Path, settings: dict) -> None:
    """Two starts into one folder must agree, or the files would not be those that the settings promise.

    Raises:
        ValueError: they differ.
    """
    path = output / "settings.json"
    if path.exists() and (before := json.loads(path.read_text())) != settings:
        changed = [key for key in settings if before.get(key) != settings[key]]
        raise ValueError(f"{output} was begun with other settings ({', '.join(changed)}); choose another --output.")
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hub_models.wavegrad.render_midi", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--midi", type=Path, nargs="+", required=True, metavar="DIR", help="folders of MIDI files")
    parser.add_argument("--splits", type=Path, nargs="+", metavar="CSV", help="one per folder, with columns file and split")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--hours", type=float, default=3.0, help="of sound to train on (default: %(default)s)")
    parser.add_argument(
        "--validation-share",
        type=float,
        default=0.05,
        help="sound to validate on, as a share of --hours; without --splits also the share of files held out for it",
    )
    parser.add_argument("--shares", type=float, nargs="+", help="of the sound, one number per folder; default: equal")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of an excerpt (default: %(default)s)")
    parser.add_argument(
        "--change-instruments",
        type=float,
        default=0.5,
        help="share of excerpts with other instruments (default: %(default)s)",
    )
    parser.add_argument("--sample-rate", type=int, default=22_050, metavar="HZ", help="(default: %(default)s)")
    parser.add_argument("--soundfont", type=Path, metavar="SF2", help="default: the General MIDI one of pretty_midi")
    parser.add_argument(
        "--licence",
        nargs="+",
        default=[],
        metavar="FOLDER=TEXT",
        help="for splits.csv: pop909=MIT games/set1=CC0-1.0",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-proc", type=int, default=1, help="processes that render (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.shares = options.shares or [1.0] * len(options.midi)
    if len(options.shares) != len(options.midi) or min(options.shares) < 0 or not sum(options.shares):
        parser.error(f"--shares needs one number per --midi folder, not below 0: {len(options.midi)} folders.")
    if options.splits and len(options.splits) != len(options.midi):
        parser.error(f"--splits needs one file per --midi folder: {len(options.splits)} for {len(options.midi)} folders.")
    if not (options.hours > 0 and options.seconds >= 1 and 4_000 <= options.sample_rate <= 48_000):
        parser.error("--hours must be above 0, --seconds at least 1 and --sample-rate 4000 to 48000 Hz.")
    if not (0 <= options.validation_share < 1 and 0 <= options.change_instruments <= 1):
        parser.error("--validation-share and --change-instruments are shares: 0 to 1.")
    if options.soundfont and not options.soundfont.is_file():
        parser.error(f"--soundfont {options.soundfont}: there is no such file.")
    if unreadable := [pair for pair in options.licence if "=" not in pair]:
        parser.error(f"--licence {unreadable[0]}: write FOLDER=TEXT.")
    if len({folder.resolve().name for folder in options.midi}) < len(options.midi):
        parser.error("The --midi folders need different names: the rendered files are named after them.")
    return options


def build_collections(options: argparse.Namespace) -> list[Collection]:
    """One collection per folder and split of its files that is to be rendered."""
    from hub_models.training import find_data_files  # not above: what renders in parallel need not load it

    def collections() -> Iterator[Collection]:
        for number, (folder, share) in enumerate(zip(options.midi, options.shares, strict=True)):
            splits = [options.splits[number]] if options.splits else None
            files = find_data_files([folder], "MIDI", MIDI_SUFFIXES, splits, options.validation_share)
            seconds = 3600 * options.hours * share / sum(options.shares)
            for split, length in (("train", seconds), ("validation", seconds * options.validation_share)):
                pieces = [file for file in files if file.split == split]
                if pieces and length > 0:
                    yield Collection(folder.resolve().name, number, split, pieces, length, options.output)

    return list(collections())


def main(arguments: list[str] | None = None) -> None:
    """Render what the command line asks for and say what came of it."""
    options = parse_arguments(arguments)
    variation = Variation(seconds=options.seconds, change_instruments=options.change_instruments)
    collections = build_collections(options)
    settings = {
        "midi": [folder.resolve().name for folder in options.midi],
        "sample_rate": options.sample_rate,
        "seed": options.seed,
        "soundfont": options.soundfont.name if options.soundfont else None,
        "variation": json.loads(json.dumps(asdict(variation))),
    }
    _check_settings(options.output, settings)
    licences = dict(pair.split("=", 1) for pair in options.licence)
    sound_settings = (options.sample_rate, options.seed, variation, options.soundfont)
    render_collections(collections, options.output, *sound_settings, licences, options.num_proc)
    for collection in collections:
        seconds = sum(float(row["seconds"]) for row in collection.rows)
        print(f"{collection.name}, {collection.split}: {len(collection.rows)} excerpts, {seconds / 60:.1f} minutes")
        if collection.missing_seconds > 0:
            print(f"  gave up after {FAILURES_IN_A_ROW} failures in a row")
        for problem, count in Counter(problem for _, problem in collection.failures).most_common(5):
            example = next(name for name, why in collection.failures if why == problem)
            print(f"  {count} passed over: {problem} (for instance {example})")


if __name__ == "__main__":
    main()

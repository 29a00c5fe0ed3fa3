"""Sound files and what is known of each: artist, genre, lyrics, split, times; read from a CSV or JSONL beside them.

A table of labels has one row per file. `file` is its path relative to the folder; all other columns may be missing:

| column | holds |
| --- | --- |
| `artist`, `genre`, `lyrics` | text; empty: unknown, or none |
| `split` | `train`, `validation`, ...; without it some files are held out, chosen by their names |
| `total_seconds`, `offset_seconds` | of a file that is a part of a song: how long the song is, where in it the file begins |
| `words` | `[{"word": "hello", "start": 0.5, "end": 0.9}, ...]`: when each word is heard, in seconds; JSON in a CSV |
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_models.training import NoTrainingDataError, find_data_files
from hub_models.training.data_files import split_by_name

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
LABEL_FILES = ("labels.csv", "labels.jsonl", "songs.csv", "songs.jsonl")
MAX_LYRICS = 100_000


class LabelsError(ValueError):
    """A table of labels that cannot be used; the message names the file, the row and what is allowed."""


@dataclass(frozen=True)
class Word:
    """A word of the lyrics and when it is heard, in seconds from the file's beginning."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class SongFile:
    """A sound file with its labels.

    Attributes:
        path: where it is.
        name: its path within its data folder.
        split: what it is for.
        artist, genre, lyrics: "" where unknown.
        total_seconds: length of the song that it is a part of; None: it is the whole song.
        offset_seconds: where in that song it begins.
        words: when each word is heard; empty where that is unknown.
    """

    path: str
    name: str
    split: str
    artist: str = ""
    genre: str = ""
    lyrics: str = ""
    total_seconds: float | None = None
    offset_seconds: float = 0.0
    words: tuple[Word, ...] = ()


def find_songs(
    folders: Sequence[Path], labels: Sequence[Path] | None = None, validation_share: float = 0.05
) -> tuple[list[SongFile], dict[str, str]]:
    """All songs of the folders.

    Args:
        folders: data folders.
        labels: one table per folder; only files named there are taken. None: what each folder has of `LABEL_FILES`, and
            where there is none, all its sound files without labels.
        validation_share: share of files held out where nothing says what is for validation, 0..1.

    Returns:
        The songs in a fixed order, and names of files that the tables name but that are not there, with the reason.

    Raises:
        NoTrainingDataError: a folder does not exist, or no sound file is found.
        LabelsError: a table is broken.
        ValueError: there are not as many tables as folders.
    """
    if labels and len(labels) != len(folders):
        raise ValueError(f"--labels needs one file per --data folder: got {len(labels)} for {len(folders)} folders.")
    songs, missing = [], {}
    for number, folder in enumerate(map(Path, folders)):
        table = Path(labels[number]) if labels else _labels_in(folder)
        if not folder.is_dir() or table is None:
            songs += [
                SongFile(file.path, file.name, file.split)
                for file in find_data_files([folder], "sound", AUDIO_SUFFIXES, None, validation_share)
            ]
            continue
        for song in read_labels(table, folder, validation_share):
            if Path(song.path).is_file():
                songs.append(song)
            else:
                missing[song.name] = f"{table} names it, but it is not in {folder}"
    if not songs:
        example = next(iter(missing.values()), None)
        raise NoTrainingDataError(f"No sound files in {', '.join(map(str, folders))}{': ' + example if example else ''}.")
    return songs, missing


def _labels_in(folder: Path) -> Path | None:
    return next((folder / name for name in LABEL_FILES if (folder / name).is_file()), None)


def read_labels(table: Path, folder: Path, validation_share: float = 0.05) -> list[SongFile]:
    """The rows of a table of labels, whether their files exist or not.

    Raises:
        LabelsError: see the class.
    """
    songs, seen = [], set()
    for place, row in _rows(table):
        name = row.get("file")
        if not isinstance(name, str) or not name:
            raise LabelsError(f"{place} has no 'file'; it has {', '.join(map(str, row))}.")
        if not name.lower().endswith(AUDIO_SUFFIXES):
            raise LabelsError(f"{place}: '{name}' must end in one of {', '.join(AUDIO_SUFFIXES)}.")
        if name in seen:
            raise LabelsError(f"{place}: '{name}' has a row already.")
        seen.add(name)
        total = _seconds(place, row, "total_seconds")
        offset = _seconds(place, row, "offset_seconds") or 0.0
        if total is not None and offset >= total:
            raise LabelsError(f"{place}: offset_seconds {offset:g} must be less than total_seconds {total:g}.")
        songs.append(
            SongFile(
                path=str(folder / name),
                name=name,
                split=_text(place, row, "split") or split_by_name(name, validation_share),
                artist=_text(place, row, "artist"),
                genre=_text(place, row, "genre"),
                lyrics=_text(place, row, "lyrics"),
                total_seconds=total,
                offset_seconds=offset,
                words=_words(place, row),
            )
        )
    return songs


def _rows(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows and where they are, for messages."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NoTrainingDataError(f"There is no table of labels {table}.") from None
    except UnicodeDecodeError as error:
        raise LabelsError(f"{table} must be UTF-8: {error}.") from error
    if table.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if "file" not in (reader.fieldnames or ()):
            raise LabelsError(f"{table} must have a column 'file'; it has {reader.fieldnames}.")
        for row in reader:
            yield f"{table}, line {reader.line_num}", {key: value for key, value in row.items() if key is not None}
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise LabelsError(f"{table}, line {number} is no JSON: {error}.") from error
        if not isinstance(row, dict):
            raise LabelsError(f"{table}, line {number} must be an object such as {{'file': 'song.wav'}}.")
        yield f"{table}, line {number}", row


def _text(place: str, row: dict[str, Any], column: str) -> str:
    value = row.get(column) or ""
    if not isinstance(value, str):
        raise LabelsError(f"{place}: {column} must be text, not {value!r}.")
    if len(value) > MAX_LYRICS:
        raise LabelsError(f"{place}: {column} has {len(value)} characters; at most {MAX_LYRICS} are allowed.")
    return value


def _seconds(place: str, row: dict[str, Any], column: str) -> float | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise LabelsError(f"{place}: {column} must be a number of seconds, not {value!r}.")
    return seconds


def _words(place: str, row: dict[str, Any]) -> tuple[Word, ...]:
    value = row.get("words")
    if value is None or value == "":
        return ()
    try:
        entries = json.loads(value) if isinstance(value, str) else value
        words = tuple(Word(str(entry["word"]), float(entry["start"]), float(entry["end"])) for entry in entries)
    except (KeyError, TypeError, ValueError):
        raise LabelsError(f'{place}: words must be a list like [{{"word": "hello", "start": 0.5, "end": 0.9}}].') from None
    if not all(0 <= word.start_seconds <= word.end_seconds < math.inf for word in words):
        raise LabelsError(f"{place}: a word must not end before it starts.")
    return words

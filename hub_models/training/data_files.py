"""Which files of a folder of music are for training and which for validation."""

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class NoTrainingDataError(ValueError):
    """Nothing to train on. Raised before a model is built; the message says what was looked at and why it gave nothing."""


@dataclass(frozen=True)
class DataFile:
    """One file: where it is, its name within its data folder, its split, and its kind where the CSV says one."""

    path: str
    name: str
    split: str
    kind: str | None = None


def find_data_files(
    folders: Sequence[Path],
    what: str,
    suffixes: tuple[str, ...],
    splits: Sequence[Path] | None = None,
    validation_share: float = 0.05,
) -> list[DataFile]:
    """All files below the folders with one of the suffixes, with their splits, in a fixed order.

    Args:
        folders: data folders, searched through to the bottom.
        what: what the files hold, for messages: "MIDI".
        suffixes: endings of names, in lower case.
        splits: one CSV per folder, with columns `file` (relative to its folder), `split` and perhaps `kind`; only files
            named there are taken, and rows that name other kinds of files are passed over. None: every file is taken, and
            `validation_share` of them, chosen by their names, is "validation", the rest "train".
        validation_share: share of files held out where there is no CSV, 0..1.

    Raises:
        NoTrainingDataError: a folder does not exist, or no such file is found, or none of those named in a CSV exists.
        ValueError: a CSV lacks the columns, or there are not as many CSVs as folders.
    """
    if splits and len(splits) != len(folders):
        raise ValueError(f"--splits needs one file per --data folder: got {len(splits)} for {len(folders)} folders.")
    files = []
    for number, folder in enumerate(map(Path, folders)):
        if not folder.is_dir():
            raise NoTrainingDataError(f"The data folder {folder} does not exist or is no folder.")
        if splits:
            named = _read_splits(Path(splits[number]), folder, suffixes)
            found = [file for file in named if os.path.isfile(file.path)]
            if not found:
                example = f" (the first is {named[0].name})" if named else ""
                raise NoTrainingDataError(
                    f"{splits[number]} names {len(named)} {what} files, but none of them is in {folder}{example}."
                )
        else:
            names = sorted(
                str(Path(parent, name).relative_to(folder))
                for parent, _, children in os.walk(folder)
                for name in children
                if name.lower().endswith(suffixes)
            )
            found = [DataFile(str(folder / name), name, split_by_name(name, validation_share)) for name in names]
        files += found
    if not files:
        raise NoTrainingDataError(
            f"No {what} files (names ending in {' or '.join(suffixes)}) in {', '.join(map(str, folders))}."
        )
    return files


def _read_splits(path: Path, folder: Path, suffixes: tuple[str, ...]) -> list[DataFile]:
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if not {"file", "split"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path} must have the columns 'file' and 'split'; it has {reader.fieldnames}.")
        return [
            DataFile(str(folder / row["file"]), row["file"], row["split"], row.get("kind"))
            for row in reader
            if row["file"].lower().endswith(suffixes)
        ]


def split_by_name(name: str, validation_share: float) -> str:
    """A split that depends on the name alone, so that adding files moves none of the others."""
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return "validation" if draw < validation_share else "train"

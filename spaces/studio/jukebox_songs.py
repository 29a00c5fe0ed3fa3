"""A song in its folder: what was asked for, the sound that it begins with, and a folder of codes for each candidate."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import sound as sounds
from components.jukebox_candidates import KEYS
from jukebox_runs import RunFolders
from sound import Sound
from validate import StudioError

logger = logging.getLogger("encore.studio")

VERSION = 1
SONG_FILE, PROMPT_FILE = "song.json", "prompt.wav"


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        seconds: of the whole, with what it begins with.
        seed: of all candidates; what is drawn follows from it and the candidate's number.
        temperatures: of each level, the top first.
        kept: seconds of a sound that it begins with.
        count: candidates.
        offset: seconds of a longer song that are before it.
        total: seconds of that song; None: it ends where this does.
    """

    model: str
    artist: str
    genre: str
    lyrics: str
    seconds: float
    seed: int
    temperatures: tuple[float, ...]
    kept: float = 0.0
    count: int = 1
    offset: float = 0.0
    total: float | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Of its candidates."""
        return KEYS[: self.count]

    @property
    def title(self) -> str:
        """What it is called."""
        names = [name for name in (self.artist, self.genre) if name]
        return ", ".join(names) if names else "A song by nobody in particular"


@dataclass(frozen=True)
class Begun:
    """Where the sound is from that a song begins with: as `Sound`."""

    name: str = "prompt"
    clip_id: str | None = None
    midi_seconds: float | None = None


@dataclass(frozen=True)
class Song:
    """A wish, and where it comes true.

    Attributes:
        token: name of its folder, which the browser keeps.
        upsampled: candidates that are to be brought down to the finest level, in this order.
        begun: where the sound is from that it begins with.
    """

    token: str
    folder: Path
    wish: Wish
    upsampled: tuple[str, ...] = ()
    begun: Begun = Begun()

    def run_folder(self, key: str) -> Path:
        """Where the codes of a candidate's top level lie."""
        return self.folder / f"top-{key}"

    def fine_folder(self, key: str) -> Path:
        """Where those of all its levels lie, once it is upsampled."""
        return self.folder / f"fine-{key}"

    def prompt(self, sample_rate: int) -> Sound | None:
        """The sound that it begins with."""
        path = self.folder / PROMPT_FILE
        return replace(sounds.read(path, "", sample_rate), **asdict(self.begun)) if path.is_file() else None

    def with_upsampled(self, keys: tuple[str, ...]) -> Song:
        """The same with other candidates to be upsampled; remembered in its folder."""
        song = replace(self, upsampled=keys)
        song.save()
        return song

    def save(self) -> None:
        """Remembers what was asked for."""
        content = {
            "version": VERSION, "wish": asdict(self.wish), "upsampled": list(self.upsampled), "begun": asdict(self.begun)
        }  # fmt: skip
        with enough_room():
            _write(self.folder / SONG_FILE, json.dumps(content).encode())


def begin(runs: RunFolders, wish: Wish, prompt: Sound | None, before: Song | None = None) -> Song:
    """A song in a new folder; that of the song before goes, unless something is still being made in it.

    Raises:
        StudioError: there is no room for it.
    """
    begun = Begun(prompt.name, prompt.clip_id, prompt.midi_seconds) if prompt else Begun()
    with enough_room():
        token, folder = runs.create()
        song = Song(token, folder, wish, begun=begun)
        if prompt is not None:
            _write(folder / PROMPT_FILE, prompt.wav())
        song.save()
    if before:
        forget(runs, before)
    return song


def forget(runs: RunFolders, song: Song) -> None:
    """Removes the folder of a song, unless something is being made in it."""
    if not runs.is_used(song.token):
        shutil.rmtree(song.folder, ignore_errors=True)


def find(runs: RunFolders, token: Any) -> Song | None:
    """The song that a browser knows by `token`; None where there is none, or its file is damaged."""
    folder = runs.find(token)
    if folder is None:
        return None
    try:
        content = json.loads((folder / SONG_FILE).read_text(encoding="utf-8"))
        wish = Wish(**{**content["wish"], "temperatures": tuple(content["wish"]["temperatures"])})
        upsampled = tuple(key for key in content["upsampled"] if key in wish.keys)
        if content["version"] != VERSION or not 1 <= wish.count <= len(KEYS):
            raise ValueError("another version")
        return Song(token, folder, wish, upsampled, Begun(**content.get("begun", {})))
    except (OSError, ValueError, TypeError, KeyError):
        logger.warning("a song that was kept cannot be read; it is passed over")
        return None


@contextlib.contextmanager
def enough_room() -> Iterator[None]:
    """Says in a sentence that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StudioError(
                "There is no room left on the disk of this server; what was finished before is kept. Try again later."
            ) from error
        raise


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole, or not at all."""
    beside = path.with_suffix(".new")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)

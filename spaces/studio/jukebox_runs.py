"""Folders in which songs are made, so that they can be gone on with: one for each browser, known by a random name alone.

The clips of a browser lie in folders of the same kind, see `session_store.py`.

The name is the only key to a folder. It is made here, kept in the browser, and checked letter by letter when it comes back;
nothing else that a person sends ever becomes part of a path.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from validate import StudioError

logger = logging.getLogger("encore.studio")

FOLDER_VARIABLE = "ENCORE_STUDIO_RUNS"
# What is kept: so many folders, so many bytes of them together, and each so long after it was last written to.
MAX_FOLDERS, MAX_BYTES, LIVE_SECONDS = 64, 2_000_000_000, 24 * 3600
CLEAN_SECONDS = 1800
PATIENCE_SECONDS = 15.0
TOKEN = re.compile(r"[0-9a-f]{32}")


class RunFolders:
    """The folders under `root`, which is made when it is first needed, for this user alone.

    Attributes:
        WHAT, VARIABLE: what lies in them, and the variable of the environment that says where they are; by default it is a
            folder of this user under that of temporary files.
        CROWDED, BUSY, UNSAFE: what is said where there are too many, one is written to, or the root is not safe.
    """

    WHAT, VARIABLE = "runs", FOLDER_VARIABLE
    CROWDED = "Too many songs are being made here right now; please try again in a few minutes."
    BUSY = "Your song is still being made, perhaps in another window; stop it there first."
    UNSAFE = "Songs cannot be kept on this server: its folder for them is not its own."

    def __init__(self, root: Path | None = None, max_folders: int = MAX_FOLDERS, max_bytes: int = MAX_BYTES):
        self._root, self.max_folders, self.max_bytes = root, max_folders, max_bytes
        self._used: set[str] = set()
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._cleaning: threading.Timer | None = None

    @property
    def root(self) -> Path:
        own = self._root or os.environ.get(self.VARIABLE)
        return Path(own) if own else Path(tempfile.gettempdir()) / f"encore-studio-{self.WHAT}-{os.getuid()}"

    def find(self, token: Any) -> Path | None:
        """The folder that a browser knows by `token`; None where that is no name of one, or it was cleaned up."""
        if not self.is_token(token):
            return None
        folder = self.root / token
        return folder if folder.is_dir() and not folder.is_symlink() else None

    @staticmethod
    def is_token(token: Any) -> bool:
        """Whether something is a name of the kind that `new_token` gives."""
        return isinstance(token, str) and TOKEN.fullmatch(token) is not None

    @staticmethod
    def new_token() -> str:
        """A name for a folder, which nobody can guess."""
        return secrets.token_hex(16)

    def create(self, token: str | None = None) -> tuple[str, Path]:
        """A new, empty folder: its name, and where it is. `token` is a name that `new_token` gave; default a new one.

        Raises:
            StudioError: all that may be kept is in use.
        """
        token = token or self.new_token()
        if not self.is_token(token):
            raise StudioError("That is no name of a folder.")
        self.clean(leave=self.max_folders - 1)
        root = self._private_root()
        with self._lock:
            if len(self._folders()) >= self.max_folders:
                raise StudioError(self.CROWDED)
            folder = root / token
            folder.mkdir(mode=0o700)
        self._clean_later()
        return token, folder

    @contextlib.contextmanager
    def in_use(self, token: str, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
        """Keeps a folder from being cleaned up, and from being written to twice at once.

        What was being made for a page that is gone ends after a moment; `patience` is how many seconds are waited for it.

        Raises:
            StudioError: it is in use.
        """
        with self._freed:
            if not self._freed.wait_for(lambda: token not in self._used, timeout=patience):
                raise StudioError(self.BUSY)
            self._used.add(token)
        try:
            yield
        finally:
            with self._freed:
                self._used.discard(token)
                self._freed.notify_all()

    def is_used(self, token: str) -> bool:
        """Whether something is being made in a folder."""
        return token in self._used

    def clean(self, leave: int | None = None) -> None:
        """Removes folders that are old, and the oldest of those that are too many or too big; never one that is in use."""
        leave = self.max_folders if leave is None else leave
        with self._lock:
            kept, used = [], 0
            for age, folder in self._folders():
                if folder.name in self._used:
                    used += 1
                    continue
                if age > LIVE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    kept.append((folder, _size(folder)))
            size = sum(size for _, size in kept)
            while kept and (len(kept) + used > leave or size > self.max_bytes):
                folder, own = kept.pop()
                size -= own
                shutil.rmtree(folder, ignore_errors=True)

    def _private_root(self) -> Path:
        """Makes the root; refuses one that belongs to somebody else, or that others may write to."""
        root = self.root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            logger.error("%s is not a folder of this user alone; set $%s to one that is.", root, self.VARIABLE)
            raise StudioError(self.UNSAFE)
        return root

    def _folders(self) -> list[tuple[float, Path]]:
        """Age in seconds and place of each, the youngest first."""
        if not self.root.is_dir():
            return []
        found = []
        for folder in self.root.iterdir():
            if TOKEN.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                with contextlib.suppress(OSError):  # another Studio on this machine may clean up as well
                    found.append((time.time() - _written(folder), folder))
        return sorted(found)

    def _clean_later(self) -> None:
        """Cleans up every now and then, as long as there is anything."""
        with self._lock:
            if self._cleaning is None:
                self._cleaning = threading.Timer(CLEAN_SECONDS, self._clean_again)
                self._cleaning.daemon = True
                self._cleaning.start()

    def _clean_again(self) -> None:
        self._cleaning = None
        self.clean()
        if self._folders():
            self._clean_later()


def _written(folder: Path) -> float:
    """When something in a folder was last written."""
    return max([folder.stat().st_mtime, *(entry.stat().st_mtime for entry in folder.rglob("*") if not entry.is_symlink())])


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file() and not entry.is_symlink())

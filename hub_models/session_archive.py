"""Zip files that nobody has vouched for, and how sessions are put into one: real bytes are counted, no header is believed.

Nothing is ever unpacked to disk, and no name in a zip becomes a path: `Archive.read` gives the contents of a name.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

CHUNK_BYTES = 1 << 16
END_BYTES = 22  # of the record at the end of a zip file that has no comment
ENCRYPTED = 0x1
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same session gives the same file
# What the systems that pack files again add of their own.
LEFT_BY_SYSTEMS = ("__macosx/", ".ds_store", "thumbs.db", "desktop.ini")

ArchiveSource = str | os.PathLike | bytes | IO[bytes]


class SessionError(ValueError):
    """A session that cannot be read, written or made again; the message says what was given and what is allowed."""


@dataclass(frozen=True)
class ArchiveLimits:
    """What is accepted of a zip file.

    Attributes:
        max_zip_bytes: of the file itself.
        max_bytes: of all that is read from it.
        max_ratio: of the bytes that come out of a compressed entry to those that are stored.
        max_entries: files and folders.
        max_name: characters of a name.
    """

    max_zip_bytes: int = 250_000_000
    max_bytes: int = 250_000_000
    max_ratio: int = 200
    max_entries: int = 1_000
    max_name: int = 200


class Archive:
    """A zip file that is open for reading; a context manager.

    Raises:
        SessionError: on opening and on reading; says what is wrong with it.
    """

    def __init__(self, source: ArchiveSource, limits: ArchiveLimits = ArchiveLimits()):
        self.limits, self._read_bytes = limits, 0
        self._stream, self._is_ours = _open(source), not hasattr(source, "read")
        try:
            self._entries = self._list()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_) -> None:
        if self._is_ours:
            self._stream.close()

    @property
    def names(self) -> frozenset[str]:
        """Of its files."""
        return frozenset(self._entries)

    def read(self, name: str, max_bytes: int) -> bytes:
        """The contents of a file, of which at most `max_bytes` are accepted."""
        entry = self._entries.get(name)
        if entry is None:
            raise SessionError(f"The session names the file {name[:80]!r}, which is not in it.")
        content = bytearray()
        try:
            with self._zip.open(entry) as file:
                while chunk := file.read(CHUNK_BYTES):
                    content += chunk
                    self._read_bytes += len(chunk)
                    self._check_size(entry, len(content), max_bytes)
        except SessionError:
            raise
        except _BROKEN as error:
            raise SessionError(f"The file {name[:80]!r} in the session is damaged.") from error
        return bytes(content)

    def _check_size(self, entry: zipfile.ZipInfo, size: int, max_bytes: int) -> None:
        if size > max_bytes:
            raise SessionError(f"A file in the session has more than {max_bytes / 1e6:.3g} MB, which is what it may have.")
        if size > CHUNK_BYTES and size > self.limits.max_ratio * max(1, entry.compress_size):
            raise SessionError(
                f"A file in the session becomes more than {self.limits.max_ratio} times as large when it is unpacked; "
                "that is no music."
            )
        if self._read_bytes > self.limits.max_bytes:
            raise SessionError(f"The session holds more than the {self.limits.max_bytes / 1e6:.3g} MB that are allowed.")

    def _list(self) -> dict[str, zipfile.ZipInfo]:
        size = self._stream.seek(0, os.SEEK_END)
        if size > self.limits.max_zip_bytes:
            raise SessionError(
                f"The session has {size / 1e6:.0f} MB; at most {self.limits.max_zip_bytes / 1e6:.0f} MB are allowed."
            )
        self._check_end(size)
        try:
            self._zip = zipfile.ZipFile(self._stream)
        except _BROKEN as error:
            raise SessionError("This is not a session: its list of contents is damaged.") from error
        entries, seen, stored = {}, set(), 0
        if len(self._zip.infolist()) > self.limits.max_entries:
            raise SessionError(f"The session holds too many files; at most {self.limits.max_entries} are allowed.")
        for entry in self._zip.infolist():
            _check_entry(entry, self.limits)
            folded = unicodedata.normalize("NFC", entry.filename).casefold()
            if folded in seen:
                raise SessionError(f"The session holds two files called {entry.filename[:80]!r}.")
            seen.add(folded)
            stored += entry.compress_size
            if not entry.is_dir() and not folded.startswith(LEFT_BY_SYSTEMS) and not folded.endswith(LEFT_BY_SYSTEMS[1:]):
                entries[entry.filename] = entry
        if stored > size:
            raise SessionError("The files in the session are longer than the session itself; it is forged.")
        return entries

    def _check_end(self, size: int) -> None:
        """Bounds the list of contents before it is read: its length is written at the end of the file."""
        self._stream.seek(max(0, size - END_BYTES - 20))
        tail = self._stream.read()
        end = tail[-END_BYTES:]
        if size < END_BYTES or not end.startswith(b"PK\5\6") or end[-2:] != b"\0\0":
            raise SessionError("This is not a session: a session is a zip file, with nothing after its end.")
        if tail[:-END_BYTES].startswith(b"PK\6\7"):
            raise SessionError("The session is a zip file of the kind for more than 4 GB; a session is smaller.")
        count, length = struct.unpack("<HL", end[10:16])
        if count > self.limits.max_entries or length > self.limits.max_entries * (self.limits.max_name + 200):
            raise SessionError(f"The session holds too many files; at most {self.limits.max_entries} are allowed.")


# What zipfile and zlib raise of damaged files.
_BROKEN = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, OSError, ValueError,
    OverflowError, struct.error,
)  # fmt: skip


def write(target: str | os.PathLike | IO[bytes], contents: Iterator[tuple[str, bytes]], max_ratio: int) -> None:
    """Writes a zip file, whole or not at all where `target` is a path; what was compressed too well to be read is stored."""
    if isinstance(target, (str, os.PathLike)):
        beside = f"{os.fspath(target)}.new"
        try:
            with open(beside, "wb") as file:
                write(file, contents, max_ratio)
            os.replace(beside, target)
        finally:
            if os.path.exists(beside):
                os.unlink(beside)
        return
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            # Sound hardly gets smaller, and takes long to compress.
            small = 2 * len(content) < max_ratio * len(zlib.compress(content)) and not content.startswith(b"RIFF")
            entry.compress_type = zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED
            archive.writestr(entry, content)


def _check_entry(entry: zipfile.ZipInfo, limits: ArchiveLimits) -> None:
    name, shown = entry.filename, repr(entry.filename[:80])
    parts = name.rstrip("/").split("/")
    if len(name) > limits.max_name or not name.isprintable() or "\\" in name or ":" in name or {"", ".", ".."} & set(parts):
        raise SessionError(f"The session holds a file called {shown}, which is no plain name.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind and not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise SessionError(f"{shown} in the session is a link or a device; only files are allowed.")
    if entry.flag_bits & ENCRYPTED:
        raise SessionError(f"{shown} in the session is encrypted; sessions have no password.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SessionError(f"{shown} in the session is compressed in a way that sessions are not: use deflate.")
    if name.lower().endswith(".zip"):
        raise SessionError(f"The session holds another zip file, {shown}; that is not allowed.")


def _open(source: ArchiveSource) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        try:
            return open(source, "rb")
        except OSError as error:
            raise SessionError(f"There is no session file named {os.path.basename(os.fspath(source))}.") from error
    if hasattr(source, "read") and source.seekable():
        return source
    raise TypeError(f"A session is a path, bytes or a binary file that can be sought, not {type(source).__name__}.")

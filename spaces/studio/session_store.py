"""The clips of a browser, on disk: they survive that the page is loaded anew, and that the server is started anew.

Each session is a private folder, known by a random name alone (see `jukebox_runs.py`):

    index.json          the clips, the newest first: what the tray shows of them
    <id>.json           all that is known of a clip, see `hub_models.session_facts`
    <SHA-256>.data      contents of clips, and of files that their calls need

Every file is written whole or not at all. A session is changed by one at a time, so two windows of a browser add to one
another's clips. What is deleted can be brought back for a while; what is deleted for good lives on inside what was made of
it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from clip_looks import thumbnail
from jukebox_runs import RunFolders
from jukebox_songs import enough_room
from validate import MAX_SESSION_BYTES, StudioError

if TYPE_CHECKING:
    from hub_models import Clip

logger = logging.getLogger("encore.studio")

VERSION = 1
INDEX_FILE = "index.json"
MAX_CLIPS, MAX_BYTES = 64, 200_000_000
MAX_SESSIONS, MAX_STORE_BYTES = 256, 2_000_000_000
MAX_DELETED = 8  # that can be brought back
CLEAN_BYTES = 50_000_000  # the store is looked after when so much was written


class SessionFolders(RunFolders):
    """The folders of sessions."""

    WHAT, VARIABLE = "sessions", "ENCORE_STUDIO_SESSIONS"
    CROWDED = "Too many people keep clips here right now; please try again in a few minutes."
    BUSY = "Your clips are being written to in another window; please try again."
    UNSAFE = "Clips cannot be kept on this server: its folder for them is not its own."

    def __init__(self, root: Path | None = None, max_folders: int = MAX_SESSIONS, max_bytes: int = MAX_STORE_BYTES):
        super().__init__(root, max_folders, max_bytes)


@dataclass(frozen=True)
class Entry:
    """What is known of a clip without its contents.

    Attributes:
        renamed: a person named it; it is kept longer.
        deleted: it is not shown, and may be brought back.
        needs: ids of clips that its calls name.
        blobs: SHA-256 and bytes of its contents and of the files of its calls.
        thumbnail: see `clip_looks.thumbnail`.
    """

    id: str
    name: str
    kind: str
    seconds: float
    tempo: float | None
    bars: int | None
    extension: str
    renamed: bool = False
    deleted: bool = False
    needs: tuple[str, ...] = ()
    blobs: dict[str, int] = field(default_factory=dict)
    thumbnail: dict[str, Any] = field(default_factory=dict)


class SessionStore:
    """The sessions of all browsers.

    Args:
        folders: where they lie.
        max_clips, max_bytes: of a session; when there are more, the oldest that nobody named goes first.
    """

    def __init__(self, folders: SessionFolders | None = None, max_clips: int = MAX_CLIPS, max_bytes: int = MAX_BYTES):
        self.folders = folders or SessionFolders()
        self.max_clips, self.max_bytes = max_clips, max_bytes
        self._written = 0

    def token(self, known: Any) -> str:
        """The name of a browser's session: the one it knows, or a new one."""
        return known if self.folders.is_token(known) else self.folders.new_token()

    def entries(self, token: Any) -> list[Entry]:
        """The clips of a session, the newest first; looking at them keeps it from being cleaned up."""
        folder = self.folders.find(token)
        if folder is None:
            return []
        with contextlib.suppress(OSError):
            os.utime(folder)
        return [entry for entry in _read_index(folder) if not entry.deleted]

    def clip(self, token: Any, clip_id: Any) -> Clip:
        """A clip with its contents.

        Raises:
            StudioError: it is not there.
        """
        folder = self.folders.find(token)
        for entry in _read_index(folder) if folder else []:
            if entry.id == clip_id:
                return _read_clip(folder, entry)
        raise StudioError("This clip is not there any more: it was deleted, or it is more than a day old.")

    def add(self, token: str, clips: Iterable[Clip]) -> list[str]:
        """Puts clips in front of the others, the first of them foremost; one that is there already stays where it is.

        Returns:
            names of clips that had to go for them.

        Raises:
            StudioError: there is no room for them.
        """
        with self._changing(token, create=True) as (folder, entries):
            for clip in reversed(list(clips)):
                known = next((entry for entry in entries if entry.id == clip.id), None)
                if known and not known.deleted:
                    continue
                if known:
                    entries.remove(known)
                size = len(clip.data) + sum(map(len, clip.origin.files.values()))
                if size > self.max_bytes:
                    most = self.max_bytes / 1e6
                    raise StudioError(f"The clip has {size / 1e6:.0f} MB; at most {most:.0f} MB can be kept.")
                entries.insert(0, _write_clip(folder, clip, renamed=bool(known and known.renamed)))
                self._written += size
            gone = _make_room(folder, entries, self.max_clips, self.max_bytes)
        if self._written > CLEAN_BYTES:
            self._written = 0
            self.folders.clean()
        return gone

    def rename(self, token: Any, clip_id: Any, name: Any) -> str:
        """Gives a clip another name, and says which, as it is kept."""
        from hub_models.clips import clean_name

        if not isinstance(name, str) or not name.strip():
            raise StudioError("A clip needs a name.")
        name = clean_name(name)
        with self._changing(token) as (_, entries):
            index = _find(entries, clip_id)
            entries[index] = replace(entries[index], name=name, renamed=True)
        return name

    def delete(self, token: Any, clip_id: Any) -> str:
        """Takes a clip out of sight, and gives its name."""
        with self._changing(token) as (folder, entries):
            index = _find(entries, clip_id)
            entries[index] = replace(entries[index], deleted=True)
            name = entries[index].name
            deleted = [entry for entry in entries if entry.deleted and entry.id != clip_id]
            for entry in deleted[MAX_DELETED - 1 :]:
                _forget(folder, entries, entry)
        return name

    def bring_back(self, token: Any, clip_id: Any) -> str:
        """Undoes `delete`, and gives the clip's name."""
        with self._changing(token) as (folder, entries):
            index = _find(entries, clip_id, deleted=True)
            entries[index] = replace(entries[index], deleted=False)
            name = entries[index].name
            _make_room(folder, entries, self.max_clips, self.max_bytes)
        return name

    def save(self, token: Any, target: Path | IO[bytes], sound: Callable[[Clip], bytes | None]) -> int:
        """Writes a session as one zip file that may be brought here again, and says how many clips are in it; `sound` gives
        those of MIDI as WAV files.

        Raises:
            StudioError: it is empty.
        """
        from hub_models import sessions
        from hub_models.session_archive import ArchiveLimits

        folder, entries = self.folders.find(token), self.entries(token)
        if not entries:
            raise StudioError("There are no clips yet that could be saved.")
        shown, known = {entry.id for entry in entries}, {entry.id: entry for entry in _read_index(folder)}

        def whole(entry: Entry) -> Clip:
            clip = _read_clip(folder, entry)
            if set(entry.needs) <= shown:
                return clip
            return sessions.inline(clip, lambda clip_id: _read_clip(folder, known[clip_id]))

        limits = sessions.SessionLimits(archive=ArchiveLimits(max_bytes=MAX_SESSION_BYTES))
        sessions.write_session([whole(entry) for entry in entries], target, sound=sound, limits=limits)
        return len(entries)

    @contextlib.contextmanager
    def _changing(self, token: Any, create: bool = False) -> Iterator[tuple[Path, list[Entry]]]:
        """The folder of a session and its clips, which are written back."""
        if not self.folders.is_token(token):
            raise StudioError("There are no clips of yours here.")
        with self.folders.in_use(token), enough_room():
            folder = self.folders.find(token)
            if folder is None:
                if not create:
                    raise StudioError("There are no clips of yours here any more; they are kept for a day.")
                _, folder = self.folders.create(token)
            entries = _read_index(folder)
            before = list(entries)
            yield folder, entries
            if entries != before:
                _write_index(folder, entries)
                _sweep(folder, entries)


def _find(entries: list[Entry], clip_id: Any, deleted: bool = False) -> int:
    for index, entry in enumerate(entries):
        if entry.id == clip_id and entry.deleted == deleted:
            return index
    raise StudioError("This clip is not there any more: it was deleted, or it is more than a day old.")


def _make_room(folder: Path, entries: list[Entry], max_clips: int, max_bytes: int) -> list[str]:
    """Takes away what is too much, and gives the names of what was still to be seen; never the newest."""
    gone = []
    while True:
        shown = [entry for entry in entries if not entry.deleted]
        size = sum({digest: size for entry in entries for digest, size in entry.blobs.items()}.values())
        if len(shown) <= max_clips and size <= max_bytes:
            return gone
        deleted = [entry for entry in entries if entry.deleted]
        plain = [entry for entry in shown[1:] if not entry.renamed]
        if size > max_bytes and deleted:
            _forget(folder, entries, deleted[-1])
        elif len(shown) > 1:
            oldest = (plain or shown)[-1]
            gone.append(oldest.name)
            _forget(folder, entries, oldest)
        else:
            return gone


def _forget(folder: Path, entries: list[Entry], gone: Entry) -> None:
    """Removes a clip for good; what was made of it takes its contents along."""
    from hub_models import sessions

    known = {entry.id: entry for entry in entries}
    for index, entry in enumerate(entries):
        if gone.id in entry.needs and entry is not gone:
            clip = sessions.inline(_read_clip(folder, entry), lambda clip_id: _read_clip(folder, known[clip_id]))
            kept = _write_clip(folder, clip, entry.renamed)
            entries[index] = replace(kept, name=entry.name, deleted=entry.deleted)
    entries.remove(gone)


def _sweep(folder: Path, entries: list[Entry]) -> None:
    """Removes files that belong to no clip."""
    kept = {INDEX_FILE, *(f"{entry.id}.json" for entry in entries)}
    kept |= {f"{digest}.data" for entry in entries for digest in entry.blobs}
    for file in folder.iterdir():
        if file.name not in kept:
            file.unlink(missing_ok=True)


def _read_index(folder: Path) -> list[Entry]:
    try:
        content = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise ValueError("another version")
        return [Entry(**{**facts, "needs": tuple(facts["needs"])}) for facts in content["clips"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError):
        logger.warning("the clips of a session cannot be read; it begins anew")
        return []


def _write_index(folder: Path, entries: list[Entry]) -> None:
    content = {"version": VERSION, "clips": [asdict(entry) for entry in entries]}
    _write(folder / INDEX_FILE, json.dumps(content).encode())


def _read_clip(folder: Path, entry: Entry) -> Clip:
    from hub_models.session_facts import from_facts

    try:
        facts = json.loads((folder / f"{entry.id}.json").read_text(encoding="utf-8"))
        clip = from_facts(facts, _blob(folder, facts["sha256"]), lambda digest: _blob(folder, digest))
    except FileNotFoundError as error:
        raise StudioError("This clip is not there any more: it was deleted in another window.") from error
    return clip.named(entry.name)


def _write_clip(folder: Path, clip: Clip, renamed: bool) -> Entry:
    from hub_models.session_facts import from_facts, references, to_facts

    facts, blobs = to_facts(clip), {}
    for content in (clip.data, *clip.origin.files.values()):
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = len(content)
        if not (folder / f"{digest}.data").is_file():
            _write(folder / f"{digest}.data", content)
    from_facts(facts, clip.data, lambda digest: _blob(folder, digest))  # it can be read again
    _write(folder / f"{clip.id}.json", json.dumps(facts).encode())
    return Entry(
        id=clip.id,
        name=clip.name,
        kind=clip.kind,
        seconds=clip.seconds,
        tempo=clip.tempo,
        bars=clip.bars,
        extension=clip.extension,
        renamed=renamed,
        needs=tuple(sorted(references(clip, "$clip"))),
        blobs=blobs,
        thumbnail=thumbnail(clip),
    )


def _blob(folder: Path, digest: str) -> bytes:
    return (folder / f"{digest}.data").read_bytes()


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole, or not at all."""
    beside = path.with_suffix(".new")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)

"""The tray on the page: a browser's clips, what it can do with them, and how tabs put clips into it."""

from __future__ import annotations

import re
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import validate
from actions import in_sentences
from components import cache
from components.tray import TrayFile, TrayView, delivery, tray_value
from session_store import SessionStore
from sound import MAX_FILE_SECONDS

if TYPE_CHECKING:
    from hub_models import Clip

# The same after the server was started anew, so that a browser finds its clips.
STORAGE_KEY = "encore-session"
MAX_REMEMBERED = 2_000  # clips whose places are known without reading them again, and sounds whose files are
PRIVATE = {"api_visibility": "private"}


class Tray:
    """The tray, with its controls in the surrounding `gr.Blocks`.

    Attributes:
        token: by which the browser knows its session.
        view: its component; the event `send` of it is connected by `parts.connect`.
        outputs: the components that `keep` gives values for.
        destinations: gives the tabs that can read a clip, and what is done to it there; set by `parts.connect`.
    """

    QUEUE = {"concurrency_id": "tray", "concurrency_limit": 8}

    def __init__(self, store: SessionStore | None = None):
        self.store = store or SessionStore()
        self.destinations: Callable[[Clip], list[tuple[str, str]]] = lambda clip: []
        self._places: OrderedDict[str, list[tuple[str, str]]] = OrderedDict()
        self._sounds: OrderedDict[str, str] = OrderedDict()
        self.token = gr.BrowserState(None, storage_key=STORAGE_KEY, secret=STORAGE_KEY)
        with gr.Column(elem_id="tray", elem_classes="tray"):
            self.view = TrayView(tray_value([]), elem_id="clips", label="Your clips")
            self._file = TrayFile(visible="hidden")
            with gr.Row(elem_id="tray-files", elem_classes="tray-files"):
                self._add = gr.UploadButton(
                    "Add a file", file_types=[".mid", ".midi", "audio"], size="sm", min_width=90, elem_id="tray-add"
                )
                self._open = gr.UploadButton(
                    "Open session", file_types=[".zip"], size="sm", min_width=90, elem_id="tray-open"
                )
                self._save = gr.Button("Save session", size="sm", min_width=90, elem_id="tray-save")
        self.outputs = [self.token, self.view]
        self._connect()

    def keep(self, token: Any, clip: Clip) -> dict[Any, Any]:
        """Puts a clip into the tray: values for `outputs`."""
        token = self.store.token(token)
        gone = self.store.add(token, [clip])
        return {self.token: token, self.view: self.seen(token, _gone(gone), fresh=clip.id)}

    def clip(self, token: Any, clip_id: Any) -> Clip:
        """A clip of the tray.

        Raises:
            StudioError: it is not there.
        """
        return self.store.clip(token, clip_id)

    def seen(self, token: Any, said: str = "", undo: str | None = None, fresh: str | None = None) -> dict[str, Any]:
        """The value of `view` for a session."""
        entries = [(entry, self._read_by(token, entry.id)) for entry in self.store.entries(token)]
        return tray_value(entries, said, undo, fresh)

    def _read_by(self, token: Any, clip_id: str) -> list[tuple[str, str]]:
        """The tabs that can read a clip; it follows from its contents, of which its id is the digest."""
        if clip_id not in self._places:
            _remember(self._places, clip_id, self.destinations(self.store.clip(token, clip_id)))
        return self._places[clip_id]

    def _sound(self, clip: Clip) -> bytes | None:
        """A clip of MIDI as a WAV file, made once; None where it is too long."""
        from hub_models import sessions

        path = self._sounds.get(clip.id)
        if path and Path(path).is_file():
            return Path(path).read_bytes()
        sound = sessions.sound_of(clip)
        if sound:
            _remember(self._sounds, clip.id, cache.save(sound, f"{clip.id}.wav", self._file.GRADIO_CACHE))
        return sound

    def _connect(self) -> None:
        quiet = {"show_progress": "hidden", "trigger_mode": "multiple", **self.QUEUE, **PRIVATE}

        @in_sentences
        def on_rename(token, event: gr.EventData):
            data = event._data or {}
            self.store.rename(token, data.get("id"), data.get("name"))
            return self.seen(token)

        @in_sentences
        def on_remove(token, event: gr.EventData):
            clip_id = (event._data or {}).get("id")
            return self.seen(token, f"Deleted “{self.store.delete(token, clip_id)}”.", undo=clip_id)

        @in_sentences
        def on_bring_back(token, event: gr.EventData):
            return self.seen(token, f"“{self.store.bring_back(token, (event._data or {}).get('id'))}” is back.")

        @in_sentences
        def on_refresh(token):
            return self.seen(token)

        @in_sentences
        def on_fetch(token, event: gr.EventData):
            asked = _asked(event)
            clip = self.clip(token, asked["clip"])
            if asked["what"] == "own" or clip.kind == "audio":
                return delivery(asked, clip.data, f"{file_name(clip.name)}.{clip.extension}")
            sound = self._sound(clip)
            if sound is None:
                gr.Warning(f"“{clip.name}” is too long to be rendered; its MIDI file can be downloaded.")
            return delivery(asked, sound, f"{file_name(clip.name)}.wav")

        @in_sentences
        def on_save(token, event: gr.EventData):
            folder = tempfile.mkdtemp(dir=_made(self._file.GRADIO_CACHE))
            path = Path(folder) / "encore-session.zip"
            self.store.save(token, path, self._sound)
            return delivery({**_asked(event), "what": "session"}, None, path.name, str(path))

        @in_sentences
        def on_add(path, token):
            return self._take_in(token, [read_file(path)], "Added")

        @in_sentences
        def on_open(path, token):
            from hub_models import sessions

            clips = sessions.read_session(path)
            if not clips:
                raise validate.StudioError("This session holds no clips.")
            return self._take_in(token, clips, "Opened")

        self.view.rename(on_rename, [self.token], [self.view], **quiet)
        self.view.remove(on_remove, [self.token], [self.view], **quiet)
        self.view.bring_back(on_bring_back, [self.token], [self.view], **quiet)
        self.view.refresh(on_refresh, [self.token], [self.view], **quiet)
        self.view.fetch(on_fetch, [self.token], [self._file], **quiet)
        self.view.save(on_save, [self.token], [self._file], **quiet)
        self._save.click(None, None, None, js="() => window.encoreTray?.save()")
        self._add.upload(on_add, [self._add, self.token], self.outputs, **quiet)
        self._open.upload(on_open, [self._open, self.token], self.outputs, **quiet)

    def restore(self, token: Any) -> tuple[str, dict[str, Any]]:
        """Values for `outputs` when the page is loaded: a browser gets a session, or its own again."""
        token = self.store.token(token)
        return token, self.seen(token)

    def _take_in(self, token: Any, clips: list[Clip], verb: str) -> tuple[str, dict[str, Any]]:
        token = self.store.token(token)
        gone = self.store.add(token, clips)
        what = f"“{clips[0].name}”" if len(clips) == 1 else f"{len(clips)} clips"
        return token, self.seen(token, f"{verb} {what}. {_gone(gone)}".strip(), fresh=clips[0].id)


def read_file(path: str) -> Clip:
    """A file that a person brings, MIDI or sound, judged by what it holds.

    Raises:
        ValueError: it is neither, or too large or long; the message says which.
    """
    from hub_models import Clip, audio

    name = Path(path).stem
    with open(path, "rb") as file:
        if file.read(4) in (b"MThd", b"RIFF") and _is_midi(path):
            return Clip.from_midi(path, name)
        file.seek(0)
        data = file.read(validate.MAX_UPLOAD_BYTES + 1)
    limits = audio.AudioLimits(max_bytes=validate.MAX_UPLOAD_BYTES, max_seconds=MAX_FILE_SECONDS)
    return Clip.from_audio(data, name, limits=limits)


def _is_midi(path: str) -> bool:
    """Also MIDI in a RIFF file, of which the kind is named behind the length."""
    with open(path, "rb") as file:
        head = file.read(12)
    return head.startswith(b"MThd") or head[8:] == b"RMID"


def file_name(name: str) -> str:
    """A clip's name as that of a file: letters, digits and dashes."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))[:48].strip("-") or "clip"


def _asked(event: gr.EventData) -> dict[str, Any]:
    """What the page asked for, and nothing else of what it sent."""
    data = event._data or {}
    number = data.get("number")
    return {
        "clip": str(data.get("id"))[:64],
        "what": "own" if data.get("what") == "own" else "wav",
        "number": number if isinstance(number, int) else 0,
    }


def _gone(names: list[str]) -> str:
    """What is said of clips that had to go."""
    if not names:
        return ""
    which = f"“{names[0]}”" if len(names) == 1 else f"{len(names)} clips"
    return f"The tray was full: the oldest went, {which}. What you rename stays longer."


def _remember(known: OrderedDict, key: str, value: Any) -> None:
    known[key] = value
    while len(known) > MAX_REMEMBERED:
        known.popitem(last=False)


def _made(folder: str) -> str:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return folder

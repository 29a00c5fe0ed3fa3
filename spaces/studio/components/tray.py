"""The tray: the clips of a browser, at the bottom of every tab, to be heard, named, sent on, downloaded and deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from clip_looks import described
from gradio.data_classes import FileData
from session_store import Entry

from . import cache
from .piano_roll import SHARED_SCRIPTS
from .send_menu import MENU_SCRIPT

FOLDER = Path(__file__).parent


def tray_value(
    entries: list[tuple[Entry, list[tuple[str, str]]]], said: str = "", undo: str | None = None, fresh: str | None = None
) -> dict[str, Any]:
    """What `TrayView` shows.

    Args:
        entries: the clips, the newest first, each with the tabs that can read it and what is done to it there.
        said: a sentence on what happened.
        undo: the id of a clip that was deleted just now.
        fresh: the id of a clip that has just come.
    """
    clips = [
        {
            "id": entry.id,
            "name": entry.name,
            "detail": described(entry.kind, entry.seconds, entry.bars, entry.tempo),
            "kind": entry.kind,
            "own": entry.extension,
            "thumbnail": entry.thumbnail,
            "places": [{"title": title, "text": text} for title, text in places],
        }
        for entry, places in entries
    ]
    return {"clips": clips, "said": said, "undo": undo, "fresh": fresh}


def delivery(asked: dict[str, Any], data: bytes | None, name: str, path: str | None = None) -> dict[str, Any]:
    """A file for the tray, its contents as `data` or a file in Gradio's cache as `path`; with neither, there is none.

    Args:
        asked: what the page asked for: `clip`, `what` ("wav", "own" or "session") and `number`; it goes back as it came.
        name: of the file, where it is saved.
    """
    return {"asked": asked, "data": data, "name": name, "path": path}


class TrayView(gr.HTML):
    """The clips. Its events carry the `id` of a clip.

    `send` also the `title` of a tab, `rename` a `name`, `fetch` what is wanted as `delivery` says. `remove` and `bring_back`
    are a clip's going and coming back, `refresh` that the page is looked at again, `save` that the session is wanted as a
    file.
    """

    def __init__(self, value: Any = None, **kwargs: Any):
        super().__init__(
            value=value,
            html_template=(FOLDER / "tray.html").read_text(encoding="utf-8"),
            css_template=(FOLDER / "tray.css").read_text(encoding="utf-8"),
            js_on_load=SHARED_SCRIPTS + MENU_SCRIPT + (FOLDER / "tray.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> None:
        """What it shows is known here; nothing is taken from the browser."""

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}


class TrayFile(gr.HTML):
    """Never seen: brings the tray the file that it asked for."""

    def __init__(self, **kwargs: Any):
        script = 'watch("value", () => window.encoreTray?.deliver(props.value));'
        super().__init__(html_template="", js_on_load=script, apply_default_css=False, **kwargs)

    def preprocess(self, payload: Any) -> None:
        """Nothing is taken from the browser."""

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Puts the file contents into Gradio's cache."""
        if not value:
            return None
        path, file = value["path"], None
        if value["data"]:
            path = cache.save(value["data"], value["name"], self.GRADIO_CACHE)
        if path:
            self.temp_files.add(path)
            file = FileData(path=path, orig_name=value["name"]).model_dump()
        return {"asked": value["asked"], "file": file}

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

"""The piano roll: shows a clip with its notes, plays it and offers it for download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns
from gradio.data_classes import FileData
from pattern import Pattern

from . import cache

FOLDER = Path(__file__).parent
# Scripts that every component may use; each installs itself once per page.
SHARED_SCRIPTS = "".join((FOLDER / name).read_text(encoding="utf-8") + "\n" for name in ("synth.js", "draw.js"))


PARTS = [
    {"name": "Melody", "colour": "melody", "drums": False},
    {"name": "Bass", "colour": "bass", "drums": False, "program": patterns.BASS_PROGRAM},
    {"name": "Drums", "colour": "drums", "drums": True},
]


def parts_of(clip: Pattern) -> list[dict[str, Any]] | None:
    """How the parts of a clip are drawn, None where it has but one."""
    return PARTS if clip["trio"] else None


def piano_roll_value(
    clip: Pattern | None,
    title: str | None = None,
    detail: str = "",
    tempo: float = 120.0,
    colour: str | None = None,
    files: dict[str, bytes] | None = None,
    play: bool = False,
) -> dict[str, Any] | None:
    """What `PianoRoll` shows for a clip.

    Args:
        colour: "a", "b", "c" or "d", the colour of a corner; default by the clip's segments, from A's to B's.
        files: `midi` and `wav` file contents; with a WAV the roll plays it, without it plays the notes in the browser.
        play: begin to play when it appears.
    """
    if clip is None:
        return None
    return {
        "title": title or clip["name"],
        "detail": detail,
        "notes": clip["notes"],
        "bars": clip["bars"],
        "drums": clip["drums"],
        "parts": parts_of(clip),
        "segments": clip.get("segments") or [],
        "tempo": tempo,
        "colour": colour,
        "play": play,
        "name": patterns.file_name(clip),
        **(files or {}),
    }


class PianoRoll(gr.HTML):
    """A roll. `compact` is the small one of a clip slot; `slot` is its title while it is empty; `desk` names the tab whose
    tempo and instrument it plays by; `loop` is where its loop box begins."""

    def __init__(
        self,
        value: Any = None,
        *,
        slot: str = "Clip",
        hint: str = "",
        compact: bool = False,
        desk: str = "morph",
        loop: bool = False,
        **kwargs: Any,
    ):
        template = (FOLDER / "piano_roll.html").read_text(encoding="utf-8")
        super().__init__(
            value=value,
            html_template=template.replace('<p class="empty"></p>', f'<p class="empty">{hint}</p>'),
            css_template=(FOLDER / "piano_roll.css").read_text(encoding="utf-8"),
            js_on_load=SHARED_SCRIPTS + (FOLDER / "piano_roll.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            slot=slot,
            compact=compact,
            desk=desk,
            loop=loop,
            **kwargs,
        )

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Puts the file contents into Gradio's cache, from where the page fetches them (and `delete_cache` removes them)."""
        if not value:
            return None
        value = dict(value)
        for kind, extension in (("midi", "mid"), ("wav", "wav")):
            if isinstance(value.get(kind), bytes):
                name = f"{value['name']}.{extension}"
                path = cache.save(value[kind], name, self.GRADIO_CACHE)
                self.temp_files.add(path)
                value[kind] = FileData(path=path, orig_name=name).model_dump()
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

"""A song of the Jukebox as the page shows it: a take per level, the words along its waveform, the codes as pictures."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns

from .sound_view import SCRIPT as SOUND_SCRIPT
from .sound_view import SoundView

FOLDER = Path(__file__).parent
SCRIPT = SOUND_SCRIPT + (FOLDER / "jukebox_codes.js").read_text(encoding="utf-8") + "\n"


def level_strip(name: str, label: str, codes: dict[str, Any], is_open: bool) -> dict[str, Any]:
    """The codes of one level.

    Args:
        name: short, for the margin.
        label: what is read to those who do not see the picture.
        codes: from `jukebox_pictures.code_picture`.
        is_open: whether codes are missing.
    """
    return {"name": name, "label": label, "codes": codes, "open": is_open}


def jukebox_view_value(
    takes: list[dict[str, Any]],
    *,
    key: str,
    title: str,
    seconds: float,
    detail: str = "",
    levels: list[dict[str, Any]] | None = None,
    words: list[list[Any]] | None = None,
    chosen: str | None = None,
    legend: str = "",
    run: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What `JukeboxView` shows.

    Args:
        takes: from `sound_view.take`, the coarsest first; each may end before the song does.
        key: the same key is the same song, which goes on sounding when it gets sharper.
        seconds: how long the song is to be.
        levels: from `level_strip`, the top level first.
        words: [text, start, end, confidence, line] each; times in seconds, `line` is the number of its line in the lyrics.
        chosen: key of the take that is heard; default the last.
        legend: what a column of the codes stands for, in words.
        run: while it is being upsampled, or could go on: whether it is `busy`, and `levels`, each with `name`, `done` and
            `total` codes, `text` on how far it is, and `now`: whether it is this one's turn.
    """
    return {
        "key": key,
        "title": title,
        "detail": detail,
        "seconds": max(0.01, float(seconds)),
        "takes": takes,
        "chosen": chosen or (takes[-1]["key"] if takes else None),
        "levels": levels or [],
        "words": words or [],
        "legend": legend,
        "run": run,
        "name": patterns.file_name({"name": title}),
    }


class JukeboxView(gr.HTML):
    """The view. `slot` is its title and `hint` its text while it is empty."""

    def __init__(self, value: Any = None, *, slot: str = "Song", hint: str = "", **kwargs: Any):
        template = (FOLDER / "jukebox_view.html").read_text(encoding="utf-8")
        super().__init__(
            value=value,
            html_template=template.replace('<p class="empty"></p>', f'<p class="empty">{escape(hint)}</p>'),
            css_template=(FOLDER / "jukebox_view.css").read_text(encoding="utf-8"),
            js_on_load=SCRIPT + (FOLDER / "jukebox_view.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            slot=slot,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> None:
        """Nothing: what it shows, the server knows."""
        return None

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Puts the file contents into Gradio's cache."""
        return SoundView.postprocess(self, value)

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

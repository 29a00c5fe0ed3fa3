"""The groove editor: two drum grooves of two bars, drawn, tapped or played, with a metronome; all of it in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from pattern import Pattern

from .piano_roll import SHARED_SCRIPTS

FOLDER = Path(__file__).parent
GROOVES = ("a", "b")


def groove_editor_value(a: Pattern | None, b: Pattern | None, current: str = "a") -> dict[str, Any]:
    """What `GrooveEditor` shows for two clips of drums; `current` is the one worked on, `"a"` or `"b"`."""
    return {"current": current, "a": _shown(a), "b": _shown(b)}


def _shown(clip: Pattern | None) -> dict[str, Any] | None:
    return clip and {key: clip[key] for key in ("name", "notes", "bars", "sources") if key in clip}


class GrooveEditor(gr.HTML):
    """The editor. Its value is {"current", "a", "b"}, a and b being {"name", "notes", "bars"} or None, with the "sources" of
    a clip that has some, and comes from the browser: check it. Its event `recorded` carries `taps` (how many) and `rhythm`
    (True where no single drum was played).

    `desk` names the tab whose tempo it plays by.
    """

    def __init__(self, value: Any = None, *, desk: str = "grooves", **kwargs: Any):
        super().__init__(
            value=value,
            html_template=(FOLDER / "groove_editor.html").read_text(encoding="utf-8"),
            css_template=(FOLDER / "groove_editor.css").read_text(encoding="utf-8"),
            js_on_load=SHARED_SCRIPTS + (FOLDER / "groove_editor.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            desk=desk,
            **kwargs,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

"""The button "Send to...": a menu of the tabs that can read a clip, each with what is done to it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

FOLDER = Path(__file__).parent
# The menu itself, which the tray has as well.
MENU_SCRIPT = (FOLDER / "menu.js").read_text(encoding="utf-8") + "\n"


def send_menu_value(places: list[tuple[str, str]]) -> dict[str, Any] | None:
    """What `SendMenu` offers: titles of tabs, and what is done to the clip there; of no places None."""
    return {"places": [{"title": title, "text": text} for title, text in places]} if places else None


class SendMenu(gr.HTML):
    """The button with its menu, disabled while there is nothing to send. Its event `choose` carries the `title` of a tab."""

    def __init__(self, value: Any = None, **kwargs: Any):
        super().__init__(
            value=value,
            html_template=(FOLDER / "send_menu.html").read_text(encoding="utf-8"),
            js_on_load=MENU_SCRIPT + (FOLDER / "send_menu.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> None:
        """What it offers is known here; nothing is taken from the browser."""

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

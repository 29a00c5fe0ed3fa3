"""The head of the page: its name, and the keyboard shortcuts of the whole page with the dialog that lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from . import choices

FOLDER = Path(__file__).parent


class Masthead(gr.HTML):
    """`header` is the HTML of an element `header`; the button that opens the list of keys becomes the last thing in it."""

    def __init__(self, header: str, **kwargs: Any):
        button, dialog = (FOLDER / "shortcuts.html").read_text(encoding="utf-8").split("\n", 1)
        super().__init__(
            html_template=header.replace("</header>", f"{button}</header>") + dialog,
            css_template=(FOLDER / "shortcuts.css").read_text(encoding="utf-8"),
            js_on_load=choices.SCRIPT + (FOLDER / "shortcuts.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> None:
        """Nothing comes back from it."""

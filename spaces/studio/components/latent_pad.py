"""The four-corner pad: a grid of clips, chosen by dragging and heard at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from pattern import Pattern

from .piano_roll import SHARED_SCRIPTS, parts_of

FOLDER = Path(__file__).parent


def latent_pad_value(grid: list[list[Pattern]]) -> dict[str, Any]:
    """What `LatentPad` shows for a square grid of clips."""
    first = grid[0][0]
    return {
        "size": len(grid),
        "bars": first["bars"],
        "drums": first["drums"],
        "parts": parts_of(first),
        "cells": [[clip["notes"] for clip in row] for row in grid],
    }


class LatentPad(gr.HTML):
    """The pad. Its event `choose` carries `row` and `column` of the cell that was taken."""

    def __init__(self, value: Any = None, **kwargs: Any):
        super().__init__(
            value=value,
            html_template=(FOLDER / "latent_pad.html").read_text(encoding="utf-8"),
            css_template=(FOLDER / "latent_pad.css").read_text(encoding="utf-8"),
            js_on_load=SHARED_SCRIPTS + (FOLDER / "latent_pad.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **kwargs,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

"""The roll of a performance: piano notes in seconds, coloured by how hard they are struck; it grows while they are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns

from .piano_roll import SHARED_SCRIPTS, PianoRoll

FOLDER = Path(__file__).parent
MAX_NOTES = 40_000


def performance_roll_value(
    notes: Iterable[Sequence[float]],
    seconds: float,
    *,
    title: str,
    detail: str = "",
    opening: float = 0.0,
    plain: bool = False,
    files: dict[str, bytes] | None = None,
    key: str = "",
    run: dict[str, Any] | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """What `PerformanceRoll` shows.

    Args:
        notes: (pitch, start, end, velocity) each, times in seconds, in order of their starts.
        seconds: how long it lasts by now.
        opening: seconds at its beginning that were given, not made.
        plain: all notes in one colour, for a melody that has no velocities.
        files: `midi` and `wav` file contents; with a WAV that is what is heard, before it the notes on the built-in synth.
        key: the same key is the same music, which goes on sounding when more of it arrives.
        run: while it is being made: its `id`, `busy`, `text` on how far it is, `goal` (its length in the end, in seconds),
            `rate` (seconds of music that are made in a second), `start` (what was there before ends here), and `listen`:
            begin to play from `listen_from` on as soon as what is made will not be overtaken.
        name: of the files, without extension.
    """
    rows = list(notes)[:MAX_NOTES]
    flat = [
        number
        for pitch, start, end, velocity in rows
        for number in (int(pitch), round(1000 * start), max(1, round(1000 * (end - start))), int(velocity))
    ]
    return {
        "title": title,
        "detail": detail,
        "notes": flat,
        "seconds": round(max(float(seconds), 0.05), 3),
        "opening": round(float(opening), 3),
        "plain": plain,
        "key": key,
        "run": run,
        "name": name or patterns.file_name({"name": title}),
        **(files or {}),
    }


class PerformanceRoll(gr.HTML):
    """The roll. `compact` is the low one of what was brought; `slot` is its title and `hint` its text while it is empty;
    `loop` is where its loop box begins."""

    def __init__(
        self,
        value: Any = None,
        *,
        slot: str = "Nothing yet",
        hint: str = "",
        compact: bool = False,
        loop: bool = False,
        **kwargs: Any,
    ):
        template = (FOLDER / "performance_roll.html").read_text(encoding="utf-8")
        super().__init__(
            value=value,
            html_template=template.replace('<p class="empty"></p>', f'<p class="empty">{escape(hint)}</p>'),
            css_template=(FOLDER / "performance_roll.css").read_text(encoding="utf-8"),
            js_on_load=SHARED_SCRIPTS + (FOLDER / "performance_roll.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            slot=slot,
            compact=compact,
            loop=loop,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> None:
        """Nothing: what it shows, the server knows."""
        return None

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Puts the file contents into Gradio's cache."""
        return PianoRoll.postprocess(self, value)

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

"""Candidates of the Jukebox: beginnings of songs at its top level, to be heard, and to be chosen for upsampling."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from . import cache
from .jukebox_view import SCRIPT

FOLDER = Path(__file__).parent
MAX_CARDS = 4
KEYS = tuple(str(number) for number in range(1, MAX_CARDS + 1))


def candidate_card(
    key: str,
    *,
    detail: str,
    seconds: float,
    goal: float,
    wave: dict[str, Any] | None = None,
    wav: bytes | None = None,
    busy: bool = False,
    share: float = 0.0,
    ready: bool = False,
) -> dict[str, Any]:
    """One of the candidates.

    Args:
        key: one of `KEYS`, which is its number.
        seconds, goal: how long it is by now, and how long it is to be.
        wave: from `sound.wave_picture`.
        wav: file contents, once there is something to hear.
        busy: whether it is being made; `share` of it is done.
        ready: whether it is all there and may be chosen.
    """
    return {
        "key": key,
        "name": f"Candidate {key}",
        "detail": detail,
        "seconds": seconds,
        "goal": max(0.01, goal),
        "wave": wave,
        "wav": wav,
        "busy": busy,
        "share": min(1.0, max(0.0, share)),
        "ready": ready,
    }


def candidates_value(cards: list[dict[str, Any]], chosen: list[str], name: str = "candidate") -> dict[str, Any]:
    """What `JukeboxCandidates` shows; `chosen` are keys of cards, `name` begins the names of files."""
    return {"cards": cards, "chosen": list(chosen), "name": name}


class JukeboxCandidates(gr.HTML):
    """The candidates. A handler gets the keys that are chosen; its event `input` is that a person changed the choice.

    `hint` is its text while there are none.
    """

    def __init__(self, value: Any = None, *, hint: str = "", **kwargs: Any):
        template = (FOLDER / "jukebox_candidates.html").read_text(encoding="utf-8")
        super().__init__(
            value=value,
            html_template=template.replace('<p class="empty"></p>', f'<p class="empty">{escape(hint)}</p>'),
            css_template=(FOLDER / "jukebox_candidates.css").read_text(encoding="utf-8"),
            js_on_load=SCRIPT + (FOLDER / "jukebox_candidates.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> list[str]:
        """What came from the browser: the chosen keys alone."""
        chosen = payload.get("chosen") if isinstance(payload, dict) else None
        return [key for key in KEYS if isinstance(chosen, list) and key in chosen]

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Puts the file contents into Gradio's cache."""
        if not value:
            return None
        cards = []
        for card in value["cards"]:
            card = dict(card)
            if isinstance(card["wav"], bytes):
                name = f"{value['name']}-{card['key']}.wav"
                path = cache.save(card["wav"], name, self.GRADIO_CACHE)
                self.temp_files.add(path)
                card["wav"] = FileData(path=path, orig_name=name).model_dump()
            cards.append(card)
        return {**value, "cards": cards}

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

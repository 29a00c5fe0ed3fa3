"""The sound view: waveform and spectrogram of a sound, or of several takes of it that are heard by turns at the same place.

While a sound is being made, its pictures change with every step; afterwards a person can go back through the steps.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns
from gradio.data_classes import FileData

from . import cache
from .piano_roll import SHARED_SCRIPTS

FOLDER = Path(__file__).parent
SCRIPT = SHARED_SCRIPTS + (FOLDER / "sound_draw.js").read_text(encoding="utf-8") + "\n"
# Frequencies that an axis names where there is room; in Hz.
TICKS = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000)


def take(
    key: str,
    name: str,
    seconds: float,
    *,
    wave: dict[str, Any] | None = None,
    mel: dict[str, Any] | None = None,
    wav: bytes | None = None,
    detail: str = "",
) -> dict[str, Any]:
    """One of the sounds of a view.

    Args:
        key: what it is called between page and server.
        name: what a person chooses it by.
        wave, mel: its pictures, from `sound.wave_picture` and `sound.mel_picture`.
        wav: file contents; without them it can be seen, not heard.
    """
    return {"key": key, "name": name, "seconds": seconds, "wave": wave, "mel": mel, "wav": wav, "detail": detail}


def sound_view_value(
    takes: list[dict[str, Any]],
    *,
    title: str,
    detail: str = "",
    ticks: list[list[Any]] | None = None,
    chosen: str | None = None,
    part: tuple[float, float] | None = None,
    run: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What `SoundView` shows.

    Args:
        takes: from `take`; their lengths may differ, the same place is the same share of them.
        ticks: [share of the height, text] of the frequency axis.
        chosen: key of the take that is seen; default the last.
        part: in seconds, what is taken of the sound; the rest is shaded.
        run: while a sound is being made, and after: `id` of the run, `text` on how far it is, `done` and `steps`, and
            whether it is `busy`.
    """
    return {
        "title": title,
        "detail": detail,
        "takes": takes,
        "chosen": chosen or (takes[-1]["key"] if takes else None),
        "ticks": ticks or [],
        "part": list(part) if part else None,
        "run": run,
        "name": patterns.file_name({"name": title}),
    }


class SoundView(gr.HTML):
    """The view. `pictures` are those that it has room for, "wave" or "mel" or both; `slot` is its title and `hint` its text
    while it is empty; `compact` is the low one, and `silent` one without a play button. Scripts of the page know it as
    `encoreSound.views[view]`, with `mark(begin, length)`: shade all but a part, in seconds."""

    def __init__(
        self,
        value: Any = None,
        *,
        slot: str = "Sound",
        hint: str = "",
        compact: bool = False,
        pictures: tuple[str, ...] = ("wave", "mel"),
        silent: bool = False,
        view: str = "",
        **kwargs: Any,
    ):
        template = (FOLDER / "sound_view.html").read_text(encoding="utf-8")
        super().__init__(
            value=value,
            html_template=template.replace('<p class="empty"></p>', f'<p class="empty">{escape(hint)}</p>'),
            css_template=(FOLDER / "sound_view.css").read_text(encoding="utf-8"),
            js_on_load=SCRIPT + (FOLDER / "sound_view.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            slot=slot,
            compact=compact,
            pictures=list(pictures),
            silent=silent,
            view=view,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> None:
        """Nothing: what it shows, the server knows."""
        return None

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Puts the file contents into Gradio's cache, from where the page fetches them."""
        if not value:
            return None
        takes = []
        for one in value["takes"]:
            one = dict(one)
            if isinstance(one["wav"], bytes):
                name = f"{value['name']}-{one['key']}.wav"
                path = cache.save(one["wav"], name, self.GRADIO_CACHE)
                self.temp_files.add(path)
                one["wav"] = FileData(path=path, orig_name=name).model_dump()
            takes.append(one)
        return {**value, "takes": takes}

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

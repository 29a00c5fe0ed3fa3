"""The mixer: a strip for each track of a song, with mute and solo; what it changes is heard at once in the browser."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from . import band_tracks
from .piano_roll import SHARED_SCRIPTS

FOLDER = Path(__file__).parent


def mixer_value(tracks: list[dict[str, Any]], muted: Iterable[str] = (), solo: Iterable[str] = ()) -> dict[str, Any]:
    """What `Mixer` shows for the tracks that `band_tracks.tracks_of` gives; `muted` and `solo` are keys."""
    muted, solo = set(muted), set(solo)
    strips = [
        {"key": track["key"], "name": track["name"], "colour": track["colour"], "count": band_tracks.count(track)}
        for track in tracks[: band_tracks.MAX_TRACKS]
    ]
    own = [strip["key"] for strip in strips]
    return {
        "tracks": strips,
        "muted": [key for key in own if key in muted],
        "solo": [key for key in own if key in solo],
    }


class Mixer(gr.HTML):
    """The mixer. A handler gets {"muted", "solo"}, lists of keys of tracks; its event `input` is that a person changed them.

    `desk` names the tab to whose roll it belongs.
    """

    def __init__(self, value: Any = None, *, desk: str = "band", **kwargs: Any):
        super().__init__(
            value=value,
            html_template=(FOLDER / "mixer.html").read_text(encoding="utf-8"),
            css_template=band_tracks.STYLE + (FOLDER / "mixer.css").read_text(encoding="utf-8"),
            js_on_load=SHARED_SCRIPTS + band_tracks.SCRIPT + (FOLDER / "mixer.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            desk=desk,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> dict[str, list[str]]:
        """What came from the browser: the keys alone."""
        payload = payload if isinstance(payload, dict) else {}
        return {name: band_tracks.keys(payload.get(name)) for name in ("muted", "solo")}

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

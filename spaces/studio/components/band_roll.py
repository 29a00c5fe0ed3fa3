"""The roll of a band: a song in the colours of its tracks, with its chords; bars can be chosen, and the mixer is heard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns

from . import band_tracks
from .piano_roll import SHARED_SCRIPTS, PianoRoll

FOLDER = Path(__file__).parent


def band_roll_value(
    tracks: list[dict[str, Any]],
    chords: list[list[str]],
    *,
    title: str = "",
    detail: str = "",
    tempo: float = 120.0,
    files: dict[str, bytes] | None = None,
    audible: Iterable[str] | None = None,
    selected_bars: Iterable[int] | None = None,
    play: bool = False,
    name: str | None = None,
) -> dict[str, Any]:
    """What `BandRoll` shows for a song.

    Args:
        tracks: as `band_tracks.tracks_of` gives them.
        chords: the chord symbols of each bar; as many as the song has bars.
        tempo: in quarter notes per minute; that of the files.
        files: `midi` and `wav` file contents.
        audible: the keys of the tracks that the WAV holds; default all.
        selected_bars: counted from 0; None: those stay that are chosen, if the song is as long as the one before.
        play: begin to play when it appears.
        name: of the files, without extension.
    """
    bars = min(max(1, len(chords)), patterns.MAX_BARS)
    shown, room, last = [], band_tracks.MAX_NOTES, bars * band_tracks.TICKS_PER_BAR
    for track in tracks[: band_tracks.MAX_TRACKS]:
        notes = track["notes"][: 4 * room]
        rows = (notes[index : index + 4] for index in range(0, len(notes), 4))
        notes = [number for row in rows if row[1] < last for number in row]
        room -= len(notes) // 4
        shown.append({**track, "notes": notes})
    keys = [track["key"] for track in shown]
    heard = set(keys if audible is None else audible)
    return {
        "title": title or "Song",
        "detail": detail,
        "tracks": shown,
        "chords": [[str(symbol)[:24] for symbol in bar] for bar in chords[:bars]],
        "bars": bars,
        "ticks": band_tracks.TICKS,
        "tempo": float(tempo),
        "audible": [key for key in keys if key in heard],
        "selected_bars": None if selected_bars is None else sorted({bar for bar in selected_bars if 0 <= bar < bars}),
        "play": play,
        # The same notes are the same song: the page goes on from where it is.
        "song": hashlib.blake2s(repr([(t["key"], t["notes"]) for t in shown]).encode(), digest_size=8).hexdigest(),
        "name": name or patterns.file_name({"name": title}),
        **(files or {}),
    }


class BandRoll(gr.HTML):
    """The roll. A handler gets {"selected_bars": numbers from 0, in order}; its event `select` is that a person chose bars,
    and carries them as `bars`.

    `slot` is its title and `hint` its text while it is empty; `desk` names the tab whose tempo and mixer it plays by; `loop`
    is where its loop box begins.
    """

    def __init__(
        self,
        value: Any = None,
        *,
        slot: str = "Nothing yet",
        hint: str = "",
        desk: str = "band",
        loop: bool = False,
        **kwargs: Any,
    ):
        template = (FOLDER / "band_roll.html").read_text(encoding="utf-8")
        super().__init__(
            value=value,
            html_template=template.replace('<p class="empty"></p>', f'<p class="empty">{escape(hint)}</p>'),
            css_template=band_tracks.STYLE + (FOLDER / "band_roll.css").read_text(encoding="utf-8"),
            js_on_load=SHARED_SCRIPTS + band_tracks.SCRIPT + (FOLDER / "band_roll.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            slot=slot,
            desk=desk,
            loop=loop,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> dict[str, list[int]]:
        """What came from the browser: the chosen bars alone."""
        bars = payload.get("selected_bars") if isinstance(payload, dict) else None
        bars = bars if isinstance(bars, list) else []
        whole = [bar for bar in bars[: 4 * patterns.MAX_BARS] if isinstance(bar, int) and not isinstance(bar, bool)]
        return {"selected_bars": sorted({bar for bar in whole if 0 <= bar < patterns.MAX_BARS})}

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Puts the file contents into Gradio's cache."""
        return PianoRoll.postprocess(self, value)

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

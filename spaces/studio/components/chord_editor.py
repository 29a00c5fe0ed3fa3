"""The chord editor: a progression as text and as bars, with a palette of chords, loops to begin with, and a length."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import gradio as gr
import validate

from .piano_roll import SHARED_SCRIPTS

FOLDER = Path(__file__).parent
MAX_BARS, MAX_TEXT = validate.MAX_SONG_BARS, validate.MAX_PROGRESSION
MAX_CHORDS_PER_BAR = 16
MAX_WRONG = 64

_A = "C Am7 | Dm7 G7 | Em7 A7 | Dm7 G7 | C C7 | F Fm | C Am7 | Dm7 G7"
_LAST_A = "C Am7 | Dm7 G7 | Em7 A7 | Dm7 G7 | C C7 | F Fm | Dm7 G7 | C"
_BRIDGE = "E7 | E7 | A7 | A7 | D7 | D7 | G7 | G7"

# What a loop is called, its chords, and for how many bars it goes round when it is chosen.
PRESETS: list[tuple[str, str, int]] = [
    ("I-V-vi-IV in C", "C G Am F", 8),
    ("Am-F-C-G", "Am F C G", 8),
    ("ii-V-I in C", "Dm7 G7 Cmaj7 Cmaj7", 8),
    ("I-vi-IV-V (doo-wop)", "C Am F G", 8),
    ("Cm-F-Bdim-G-C (of the paper)", "Cm F Bdim G C", 5),
    ("Canon", "D A Bm F#m G D G A", 8),
    ("Andalusian", "Am G F E", 8),
    ("Minor ii-V-i", "Bm7b5 E7 Am7 Am7", 8),
    ("12-bar blues", "C7 F7 C7 C7 F7 F7 C7 C7 G7 F7 C7 G7", 12),
    ("Minor blues", "Am7 Am7 Am7 Am7 Dm7 Dm7 Am7 Am7 F7 E7 Am7 E7", 12),
    ("Rhythm changes: AABA, 32 bars", f"| {_A} | {_LAST_A} | {_BRIDGE} | {_LAST_A} |", 32),
    ("One chord", "C", 8),
]
DEFAULT = PRESETS[0]


def chord_editor_value(
    text: str = DEFAULT[1], bars: int = DEFAULT[2], error: Exception | str | None = None
) -> dict[str, Any]:
    """What `ChordEditor` shows.

    Args:
        text: a chord progression, as `hub_models.music_vae.chords.read_progression` reads it.
        bars: of the song; the progression goes round until they are filled.
        error: what is wrong with it; a `ChordSymbolError` marks its bar.
    """
    return {
        "text": str(text)[:MAX_TEXT],
        "bars": _bars(bars),
        "error": None if error is None else str(error)[:300],
        "error_bar": getattr(error, "bar", None),
    }


def check_progression(text: Any) -> dict[str, Any]:
    """What is wrong with a progression: `error` (a sentence, or None), `error_bar` (from 1), `wrong` (symbols that cannot be
    read) and `heard` (the triad that a symbol counts as, where it is written otherwise). Called as a person types."""
    chords = _chords()

    text = text if isinstance(text, str) else ""
    found: dict[str, Any] = {"error": None, "error_bar": None, "wrong": [], "heard": {}}
    if len(text) > MAX_TEXT:
        return {**found, "error": f"The progression is longer than {MAX_TEXT} characters."}
    symbols = dict.fromkeys(re.split(r"[\s|]+", text))
    for symbol in [symbol for symbol in symbols if symbol not in ("", "/", "%")][: 4 * MAX_WRONG]:
        try:
            triad = chords.chord_symbol(chords.chord_index(symbol))
        except chords.ChordSymbolError:
            found["wrong"] = [*found["wrong"], symbol][:MAX_WRONG]
            continue
        if triad != symbol:
            found["heard"][symbol] = triad
    if not text.replace("|", " ").strip():
        return {**found, "error": "There are no chords yet: type some, such as C Am F G, or choose a loop."}
    try:
        bars = len(chords.read_progression(text, MAX_CHORDS_PER_BAR))
    except ValueError as error:
        return {**found, "error": str(error)[:300], "error_bar": getattr(error, "bar", None)}
    if bars > MAX_BARS:
        found["error"] = f"The progression has {bars} bars; a song has at most {MAX_BARS}. The first {MAX_BARS} are played."
    return found


def _chords() -> ModuleType:
    """The module that reads chords, imported when it is first needed."""
    # The package first: of two threads that begin with different modules of it, each may find the other's half done.
    import hub_models.music_vae
    import hub_models.music_vae.chords

    return hub_models.music_vae.chords


def _bars(value: Any) -> int:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
    return min(MAX_BARS, max(1, int(value))) if whole else DEFAULT[2]


class ChordEditor(gr.HTML):
    """The editor. A handler gets {"text", "bars"}: at most `MAX_TEXT` characters, which may still be no progression, and 1
    to 256. Its event `input` is that a person changed something, `submit` that they pressed Enter in the text.

    `desk` names the tab by whose tempo and instrument it sounds.
    """

    def __init__(self, value: Any = None, *, desk: str = "band", **kwargs: Any):
        super().__init__(
            value=chord_editor_value() if value is None else value,
            html_template=(FOLDER / "chord_editor.html").read_text(encoding="utf-8"),
            css_template=(FOLDER / "chord_editor.css").read_text(encoding="utf-8"),
            js_on_load=SHARED_SCRIPTS + (FOLDER / "chord_editor.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            server_functions=[check_progression],
            desk=desk,
            presets=PRESETS,
            max_bars=MAX_BARS,
            **kwargs,
        )

    def preprocess(self, payload: Any) -> dict[str, Any]:
        """What came from the browser, within its bounds."""
        payload = payload if isinstance(payload, dict) else {}
        text = payload.get("text")
        return {"text": text[:MAX_TEXT] if isinstance(text, str) else "", "bars": _bars(payload.get("bars"))}

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

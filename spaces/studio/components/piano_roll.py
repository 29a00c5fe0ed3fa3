"""The piano roll: shows a clip with its notes, plays it, offers it for download, and lets a person edit it.

A tab takes edits with two lines; the roll is the first input of the handler, which gets the edited notes checked:

    roll = PianoRoll(..., editable=True, elem_id="result")

    @in_sentences
    def on_edited(edited, result, tempo, program):
        return finish(edited_clip(edited, result), tempo, program)

    roll.edited(on_edited, [roll, result, tempo, program], results, **RENDER_QUEUE, **PRIVATE)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns
from gradio.data_classes import FileData
from pattern import Pattern
from validate import StudioError

from . import cache

FOLDER = Path(__file__).parent
EDITED = ", edited"
# Scripts that every component may use; each installs itself once per page.
SHARED_SCRIPTS = "".join((FOLDER / name).read_text(encoding="utf-8") + "\n" for name in ("synth.js", "draw.js", "zoom.js"))
EDITING_SCRIPTS = ("piano_roll_notes.js", "piano_roll_edit.js", "piano_roll_input.js")


PARTS = [
    {"name": "Melody", "colour": "melody", "drums": False},
    {"name": "Bass", "colour": "bass", "drums": False, "program": patterns.BASS_PROGRAM},
    {"name": "Drums", "colour": "drums", "drums": True},
]


def parts_of(clip: Pattern) -> list[dict[str, Any]] | None:
    """How the parts of a clip are drawn, None where it has but one."""
    return PARTS if clip["trio"] else None


def piano_roll_value(
    clip: Pattern | None,
    title: str | None = None,
    detail: str = "",
    tempo: float = 120.0,
    colour: str | None = None,
    files: dict[str, bytes] | None = None,
    play: bool = False,
) -> dict[str, Any] | None:
    """What `PianoRoll` shows for a clip.

    Args:
        colour: "a", "b", "c" or "d", the colour of a corner; default by the clip's segments, from A's to B's.
        files: `midi` and `wav` file contents; with a WAV the roll plays it, without it plays the notes in the browser.
        play: begin to play when it appears.
    """
    if clip is None:
        return None
    return {
        "title": title or clip["name"],
        "detail": detail,
        "notes": clip["notes"],
        "bars": clip["bars"],
        "drums": clip["drums"],
        "parts": parts_of(clip),
        "segments": clip.get("segments") or [],
        "tempo": tempo,
        "colour": colour,
        "play": play,
        "clip": clip["name"],
        "name": patterns.file_name(clip),
        **(files or {}),
    }


def edited_clip(edited: Pattern, before: Pattern | None = None) -> Pattern:
    """The clip that an edit makes.

    Args:
        edited: what the handler of `PianoRoll.edited` was given.
        before: the result that was shown; where it is as long and of the same kind, the labels of its segments stay.

    Returns:
        a clip of its own, called "..., edited", `made_by` {"action": "edit"}, without tokens, which would not fit its notes.

    Raises:
        StudioError: there was nothing to edit.
    """
    if not edited:
        raise StudioError("There is no clip to edit yet.")
    kept = {}
    if before and before["bars"] == edited["bars"] and patterns.kind(before) == patterns.kind(edited):
        kept = {"segments": before["segments"]} if before.get("segments") else {}
    name = edited["name"] if edited["name"].endswith(EDITED) else edited["name"][: 80 - len(EDITED)] + EDITED
    return {**edited, "name": name, "tokens": None, "model": None, "made_by": {"action": "edit"}, **kept}


class PianoRoll(gr.HTML):
    """A roll. `compact` is the small one of a clip slot; `slot` is its title while it is empty; `desk` names the tab whose
    tempo and instrument it plays by; `loop` is where its loop box begins.

    With `editable` it has a mode "Edit" for melodies, drums and trios on bars of 4/4. The event `edited` is that a person
    pressed "Done" after changing something; it carries `notes`, as in a clip. A handler that has the roll among its inputs
    gets those notes as a `Pattern` with the name, bars and kind of the clip that was opened, every number checked by
    `pattern.check`; None where nothing is shown. Of a roll that is not editable it always gets None.
    While a person edits, values from the server wait; after "Done" the handler's value is what is shown, after leaving
    without changes the latest one.
    """

    def __init__(
        self,
        value: Any = None,
        *,
        slot: str = "Clip",
        hint: str = "",
        compact: bool = False,
        desk: str = "morph",
        loop: bool = False,
        editable: bool = False,
        **kwargs: Any,
    ):
        template = (FOLDER / "piano_roll.html").read_text(encoding="utf-8")
        style, script = ["piano_roll.css"], ["piano_roll.js"]
        if editable:
            tools = (FOLDER / "piano_roll_edit.html").read_text(encoding="utf-8")
            template = template.replace('<div class="frame">', tools + '<div class="frame">')
            style.append("piano_roll_edit.css")
            script += EDITING_SCRIPTS
        super().__init__(
            value=value,
            html_template=template.replace('<p class="empty"></p>', f'<p class="empty">{hint}</p>'),
            css_template="".join((FOLDER / name).read_text(encoding="utf-8") for name in style),
            js_on_load=SHARED_SCRIPTS + "".join((FOLDER / name).read_text(encoding="utf-8") for name in script),
            apply_default_css=False,
            slot=slot,
            compact=compact,
            desk=desk,
            loop=loop,
            editable=editable,
            most_notes=patterns.MAX_NOTES,
            **kwargs,
        )
        self.editable = editable

    def preprocess(self, payload: Any) -> Pattern | None:
        """What a person made of the clip, checked."""
        if not self.editable or not isinstance(payload, dict) or not payload.get("bars"):
            return None
        edited = {key: payload.get(key) for key in ("notes", "bars", "drums")}
        try:
            return patterns.check({**edited, "name": payload.get("clip"), "trio": bool(payload.get("parts"))}, "The edit")
        except StudioError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Puts the file contents into Gradio's cache, from where the page fetches them (and `delete_cache` removes them)."""
        if not value:
            return None
        value = dict(value)
        for kind, extension in (("midi", "mid"), ("wav", "wav")):
            if isinstance(value.get(kind), bytes):
                name = f"{value['name']}.{extension}"
                path = cache.save(value[kind], name, self.GRADIO_CACHE)
                self.temp_files.add(path)
                value[kind] = FileData(path=path, orig_name=name).model_dump()
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}

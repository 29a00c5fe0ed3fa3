"""Sessions for programs: clips with what made them into one file, and out of it again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
from actions import RENDER_QUEUE, in_sentences
from components import cache
from gradio.utils import get_upload_folder
from tray import file_name, read_file
from validate import StudioError

PLAIN_ORIGIN = {
    "action": "Upload", "model": None, "settings": {}, "seed": None, "parents": [], "calls": [], "output": 0, "files": {},
}  # fmt: skip


def add_endpoints() -> None:
    """Registers /save_session and /open_session in the surrounding `gr.Blocks`."""
    with gr.Column(visible=False):
        files = gr.File(label="Clips", file_count="multiple", type="filepath")
        told = gr.JSON(None, label="What is known of the clips")
        session = gr.File(label="Session", type="filepath")
        zipped, clips = gr.File(label="Session file"), gr.File(label="Clips of the session", file_count="multiple")
        facts = gr.JSON(label="What is known of the clips of the session")
    for action, inputs, outputs in (
        (save_session, [files, told], [zipped]),
        (open_session, [session], [clips, facts]),
    ):
        trigger = gr.Button(visible=False)
        trigger.click(in_sentences(action), inputs, outputs, api_name=action.__name__, **RENDER_QUEUE)


def save_session(files: list[str], clips: list[dict] | None = None) -> str:
    """Puts clips into a session: one zip file that the tray opens, with what each sounds like and what made it.

    Args:
        files: MIDI and sound files, the newest first, at most 64.
        clips: what is known of them: for each file an object with "name", "key", "chords" (a list of symbols for each bar)
            and "origin", as session.json has them; all may be left out. An origin has "action", "model", "settings",
            "seed", "parents" and "calls": [{"endpoint": "/sample", "arguments": {...}}, ...], with which
            `python -m hub_models.sessions reproduce` makes the clip again.

    Returns:
        session: a zip file.
    """
    from hub_models import sessions

    if not files:
        raise StudioError("There are no clips; send MIDI or sound files.")
    told = [{}] * len(files) if clips is None else clips
    if not isinstance(told, list) or len(told) != len(files) or not all(isinstance(facts, dict) for facts in told):
        raise StudioError(f"What is known of the clips must be a list of {len(files)} objects, one for each file.")
    made = [_clip(path, facts) for path, facts in zip(files, told, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "encore-session.zip"
        sessions.write_session(made, target)
        return cache.save(target.read_bytes(), target.name, get_upload_folder())


def open_session(session: str) -> tuple[list[str], list[dict]]:
    """The clips of a session.

    Args:
        session: a zip file, as the tray or /save_session gives it.

    Returns:
        files: the clips as MIDI and sound files, in the order of the session.
        clips: what is known of them, an object for each, as session.json has them: id, name, kind, seconds, tempo, key,
            chords, bars, and origin with the calls that make the clip again.
    """
    from hub_models import sessions
    from hub_models.session_facts import to_facts

    if not session:
        raise StudioError("There is no file; send a session, a zip file.")
    clips = sessions.read_session(session)
    paths = [cache.save(clip.data, f"{file_name(clip.name)}.{clip.extension}", get_upload_folder()) for clip in clips]
    return paths, [to_facts(clip) for clip in clips]


def _clip(path: str, facts: dict[str, Any]) -> Any:
    """A file with what is known of it."""
    from hub_models import Clip
    from hub_models.session_facts import to_origin

    clip, origin = read_file(path), facts.get("origin") or {}
    if not isinstance(origin, dict) or origin.get("files"):
        raise StudioError("The origin of a clip must be an object without files.")
    unknown = set(facts) - {"name", "key", "chords", "origin"} | set(origin) - set(PLAIN_ORIGIN)
    if unknown:
        raise StudioError(f"Of a clip nothing is called {str(min(map(str, unknown)))[:40]!r}.")
    own = {
        "origin": to_origin({**PLAIN_ORIGIN, **origin}, lambda digest: b""),
        "key": _text(facts.get("key")),
    }
    name = _text(facts.get("name")) or clip.name
    if clip.kind == "midi":
        return Clip.from_midi(clip.data, name, chords=facts.get("chords"), **own)
    return Clip.from_audio(clip.data, name, **own)


def _text(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and len(value) <= 200):
        raise StudioError("Names and keys of clips are texts of at most 200 characters.")
    return value

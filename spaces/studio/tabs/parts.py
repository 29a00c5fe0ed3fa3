"""What the tabs have in common: headings, the controls of chance, results, and how clips go from one tab to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import actions
import gradio as gr
import validate
from clip import Clip
from components.piano_roll import piano_roll_value

SESSION_SECONDS = 3600
PRIVATE = {"api_visibility": "private"}


@dataclass
class Desk:
    """A tab as the other tabs see it.

    Attributes:
        title: of the tab, which is its id as well.
        result: the clip that was made last.
        send: the button that takes it elsewhere.
        take: `take(clip, *inputs)` gives the values for `outputs` that put a clip of another tab in the place of A.
        opened: what to do on the server when the tab is opened, or None.
    """

    title: str
    result: gr.State
    send: gr.Button
    take: Callable[..., tuple]
    inputs: list[Any]
    outputs: list[Any]
    opened: Callable[[], None] | None = None


def connect(rooms: gr.Tabs, *desks: Desk | None) -> None:
    """Lets the button of each of two tabs take its clip to the other tab, and the person along."""
    one, other = desks
    for sender, receiver in ((one, other), (other, one)):
        if sender is None or receiver is None:
            if sender is not None:
                sender.send.visible = False
            continue
        sender.send.click(
            _handover(receiver),
            [sender.result, *receiver.inputs],
            [rooms, *receiver.outputs],
            show_progress="hidden",
            **PRIVATE,
        )


def _handover(receiver: Desk) -> Callable[..., tuple]:
    def on_send(clip, *inputs):
        if not clip:
            raise validate.StudioError("There is nothing to take along yet.")
        return (gr.Tabs(selected=receiver.title), *receiver.take(clip, *inputs))

    return actions.in_sentences(on_send)


def heading(number: int, title: str, text: str) -> None:
    """The title of a card."""
    gr.HTML(
        f'<h2><span class="number" aria-hidden="true">{number}</span>{title}<small>{text}</small></h2>',
        elem_classes="heading",
        apply_default_css=False,
        js_on_load=None,
    )


def instruments() -> list[tuple[str, int]]:
    """General MIDI's, as choices of a dropdown."""
    import pretty_midi

    return [(f"{number + 1} · {pretty_midi.program_to_instrument_name(number)}", number) for number in range(128)]


def chance_controls(prefix: str = "") -> list[Any]:
    """Temperature, seed, and whether to keep the seed; `prefix` begins their element ids."""
    temperature = gr.Slider(0.1, 2.0, value=0.5, step=0.05, label="Temperature (how wild)", elem_id=f"{prefix}temperature")
    with gr.Row(elem_classes="seed"):
        seed = gr.Number(
            7,
            label="Seed",
            precision=0,
            minimum=0,
            maximum=validate.MAX_SEED,
            elem_id=f"{prefix}seed",
            min_width=120,
        )
        keep = gr.Checkbox(False, label="Keep this seed", elem_id=f"{prefix}keep-seed", min_width=120)
    return [temperature, seed, keep]


def result_value(clip: Clip, tempo: Any, program: Any, play: bool = False) -> dict[str, Any] | None:
    """What the roll of a result shows, with its files."""
    tempo, program = validate.tempo(tempo), validate.program(program)
    made = clip.get("made_by", {})
    parts = [f"{clip['bars']} bars", f"{tempo:g} bpm"]
    if "seed" in made:
        parts.append(f"seed {made['seed']}")
    files = actions.files_for_page(clip, tempo, program)
    if "wav" not in files:
        parts.append("too long for a WAV file at this tempo")
    return piano_roll_value(clip, None, ", ".join(parts), tempo, files=files, play=play)


def report_text(answer: dict[str, Any]) -> str:
    """What was found in an upload and what was not, in Markdown; names from the file are shown as code."""
    summary, found = answer["summary"], answer["clips"]
    tracks = len(summary["instruments"])
    text = (
        f"Found {len(found)} part{'s' if len(found) != 1 else ''} in {summary['bars']} bars, "
        f"{tracks} instrument{'s' if tracks != 1 else ''}, {summary['tempo']:.0f} bpm, {', '.join(summary['metres'][:3])}. "
        f"Taken: {plain(found[0]['name'])}{' (choose another under “Part of the file”).' if len(found) > 1 else '.'}"
    )
    rejections = answer["rejections"]
    if rejections:
        shown = [f"- {plain(rejection)}" for rejection in rejections[:4]]
        more = [f"- and {len(rejections) - 4} more"] if len(rejections) > 4 else []
        text += "\n\nLeft out:\n" + "\n".join(shown + more)
    return text


def plain(text: str) -> str:
    """Text from a file, made harmless as Markdown and HTML."""
    return "".join(
        f"\\{c}" if c in "\\`*_{}[]()#+!|~$" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in text[:200]
    )

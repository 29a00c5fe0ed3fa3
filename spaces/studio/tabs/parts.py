"""What the tabs have in common: headings, the controls of chance, results, and how clips go from one tab to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import actions
import gradio as gr
import pattern as patterns
import sound as sounds
import validate
from components.piano_roll import piano_roll_value
from pattern import Pattern
from sound import Sound

if TYPE_CHECKING:
    import pretty_midi

SESSION_SECONDS = 3600
PRIVATE = {"api_visibility": "private"}


class Music(NamedTuple):
    """A result as it sounds: how it is called, and how many seconds its bars last."""

    midi: pretty_midi.PrettyMIDI
    name: str
    seconds: float


@dataclass
class Desk:
    """A tab as the other tabs see it.

    Attributes:
        title: of the tab, which is its id as well.
        result: what was made last.
        send: the buttons that take it elsewhere, by the title of the tab they lead to.
        take: `take(clip, *inputs)` gives the values for `outputs` that put a clip of another tab in the place of A; None: it
            takes none.
        opened: what to do on the server when the tab is opened, or None; `opened_inputs` and `opened_outputs` are its own.
        give: the clip of a result.
        hears: `take` is given `Music` in place of a clip, or a `Sound`, see `as_sound`.
        perform: `perform(result, *performed_with)` gives the `Music` of a result, or its `Sound`.
    """

    title: str
    result: gr.State
    send: dict[str, gr.Button]
    take: Callable[..., tuple] | None = None
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    opened: Callable[..., Any] | None = None
    give: Callable[[Any], Pattern] = lambda result: result
    hears: bool = False
    perform: Callable[..., Music | Sound] | None = None
    performed_with: list[Any] = field(default_factory=list)
    opened_inputs: list[Any] = field(default_factory=list)
    opened_outputs: list[Any] = field(default_factory=list)


def connect(rooms: gr.Tabs, desks: list[Desk | None]) -> None:
    """Lets the buttons of each tab take its clip to another tab, and the person along; hides those that lead nowhere."""
    known = {desk.title: desk for desk in desks if desk}
    for sender in known.values():
        for title, button in sender.send.items():
            if title not in known:
                button.visible = False
                continue
            receiver = known[title]
            button.click(
                _handover(sender, receiver),
                [sender.result, *(sender.performed_with if receiver.hears else []), *receiver.inputs],
                [rooms, *receiver.outputs],
                show_progress="hidden",
                **actions.MODEL_QUEUE,
                **PRIVATE,
            )


def _handover(sender: Desk, receiver: Desk) -> Callable[..., tuple]:
    def on_send(result, *inputs):
        if not result:
            raise validate.StudioError("There is nothing to take along yet.")
        if receiver.hears:
            own = len(sender.performed_with)
            given, inputs = sender.perform(result, *inputs[:own]), inputs[own:]
        else:
            given = sender.give(result)
        return (gr.Tabs(selected=receiver.title), *receiver.take(given, *inputs))

    return actions.in_sentences(on_send)


def perform_clip(clip: Pattern, tempo: Any, program: Any = 0) -> Music:
    """A clip at a tempo, its melody by a General MIDI program."""
    tempo = validate.tempo(tempo)
    return Music(patterns.to_midi(clip, tempo, validate.program(program)), clip["name"], patterns.seconds(clip, tempo))


def as_sound(given: Music | Sound, sample_rate: int) -> Sound:
    """What comes from another tab as sound, at a sample rate.

    Raises:
        ValueError: it is too long, too short or silent.
    """
    if isinstance(given, Sound):
        return sounds.made(given.samples(), given.sample_rate, given.name, sample_rate, given.remarks)
    return sounds.perform(given.midi, given.name, sample_rate, given.seconds)


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
    return [temperature, *seed_controls(prefix)]


def seed_controls(prefix: str = "") -> list[Any]:
    """Seed, and whether to keep it."""
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
    return [seed, keep]


def result_value(clip: Pattern, tempo: Any, program: Any, play: bool = False) -> dict[str, Any] | None:
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


def report_text(answer: dict[str, Any], what: str = "part", choice: str = "Part of the file") -> str:
    """What was found in an upload and what was not, in Markdown; names from the file are shown as code."""
    summary, found = answer["summary"], answer["clips"]
    tracks = len(summary["instruments"])
    text = (
        f"Found {len(found)} {what}{'s' if len(found) != 1 else ''} in {summary['bars']} bars, "
        f"{tracks} instrument{'s' if tracks != 1 else ''}, {summary['tempo']:.0f} bpm, {', '.join(summary['metres'][:3])}. "
        f"Taken: {plain(found[0]['name'])}{f' (choose another under “{choice}”).' if len(found) > 1 else '.'}"
    )
    return text + _listed("Reduced", answer.get("reductions", [])) + _listed("Left out", answer["rejections"])


def _listed(title: str, remarks: list[str]) -> str:
    if not remarks:
        return ""
    shown = [f"- {plain(remark)}" for remark in remarks[:4]]
    more = [f"- and {len(remarks) - 4} more"] if len(remarks) > 4 else []
    return f"\n\n{title}:\n" + "\n".join(shown + more)


def as_list(remarks: Iterable[str]) -> str:
    """Sentences as a list in Markdown."""
    return "\n".join(f"- {plain(remark, 500)}" for remark in remarks)


def plain(text: str, longest: int = 200) -> str:
    """Text from a file, made harmless as Markdown and HTML, and cut after `longest` characters."""
    return "".join(
        f"\\{c}" if c in "\\`*_{}[]()#+!|~$" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in text[:longest]
    )

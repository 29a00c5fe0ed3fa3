"""What the tabs have in common: headings, the controls of chance, results, and how clips go from one tab to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import actions
import gradio as gr
import validate
from components.piano_roll import piano_roll_value
from components.send_menu import SendMenu, send_menu_value
from pattern import Pattern

from hub_models.clips import ClipError

if TYPE_CHECKING:
    from tray import Tray

    from hub_models import Clip

SESSION_SECONDS = 3600
PRIVATE = {"api_visibility": "private"}


@dataclass
class Desk:
    """A tab as the other tabs and the tray see it: what it gives, and what it does with a clip that comes.

    Attributes:
        title: of the tab, which is its id as well.
        result: what was made last; None (or empty) while there is nothing. Every new result is another object or has another
            content, for the page notices that it changed.
        give: `give(result, *given_with)` gives the clip of a result, with its origin. Quick: it renders nothing.
        given_with: the components whose values `give` needs, such as the tempo.
        reads: what is done to a clip that comes here, in words that follow its name: "its melody, first 16 bars kept". None
            where it cannot be read here. Quick, and never raises.
        take: `take(clip, *inputs)` gives the values for `outputs` that put a clip here; None: the tab takes none.
        menu: "Send to..." of its result, see `send_menu`; None: its result is sent from the tray alone.
        opened: what to do on the server when the tab is opened, or None; `opened_inputs` and `opened_outputs` are its own.
        keeps: whether a new result goes into the tray by itself.
    """

    title: str
    result: gr.State
    give: Callable[..., Clip]
    given_with: list[Any] = field(default_factory=list)
    reads: Callable[[Clip], str | None] = lambda clip: None
    take: Callable[..., tuple] | None = None
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    menu: SendMenu | None = None
    opened: Callable[..., Any] | None = None
    opened_inputs: list[Any] = field(default_factory=list)
    opened_outputs: list[Any] = field(default_factory=list)
    keeps: Callable[[Any], bool] = lambda result: True


def send_menu(prefix: str = "") -> SendMenu:
    """The button "Send to..." of a tab's result; `prefix` begins its element id, which ends in "send"."""
    return SendMenu(elem_id=f"{prefix}send", label="Send to", min_width=100)


def destinations(desks: Iterable[Desk], clip: Clip) -> list[tuple[str, str]]:
    """The tabs that can read a clip, in order: title, and what is done to it there."""
    found = [(desk.title, desk.reads(clip)) for desk in desks if desk.take]
    return [(title, text) for title, text in found if text is not None]


def connect(rooms: gr.Tabs, desks: list[Desk | None], tray: Tray) -> None:
    """Lets clips travel: new results into the tray, and from there and from each tab to the tabs that can read them."""
    known = {desk.title: desk for desk in desks if desk}
    tray.destinations = lambda clip: destinations(known.values(), clip)
    for desk in known.values():
        _connect_desk(rooms, desk, known, tray)
    places = _Places(rooms, list(known.values()))

    @actions.in_sentences
    def on_send(event: gr.EventData, token, *inputs):
        chosen = event._data or {}
        return places.put(chosen.get("title"), tray.clip(token, chosen.get("id")), inputs)

    tray.view.send(
        on_send, [tray.token, *places.inputs], places.outputs, show_progress="hidden", **actions.MODEL_QUEUE, **PRIVATE
    )


def _connect_desk(rooms: gr.Tabs, desk: Desk, known: dict[str, Desk], tray: Tray) -> None:
    others = [other for other in known.values() if other is not desk]
    places = _Places(rooms, others)
    menu = [desk.menu] if desk.menu else []

    @actions.in_sentences
    def on_result(token, result, *given_with):
        nothing = {tray.token: gr.skip(), **dict.fromkeys(menu)}
        if not result:
            return nothing
        try:
            clip = desk.give(result, *given_with)
        except ClipError:  # no notes: there is nothing to take along
            return nothing
        values = tray.keep(token, clip) if desk.keeps(result) else {tray.token: gr.skip()}
        return {**values, **{one: send_menu_value(destinations(others, clip)) for one in menu}}

    # Each of several results that come one soon after the other is kept.
    desk.result.change(
        on_result, [tray.token, desk.result, *desk.given_with], [*tray.outputs, *menu],
        show_progress="hidden", trigger_mode="multiple", **tray.QUEUE, **PRIVATE,
    )  # fmt: skip
    if not desk.menu:
        return

    @actions.in_sentences
    def on_choose(event: gr.EventData, token, result, *rest):
        if not result:
            raise validate.StudioError("There is nothing to take along yet.")
        given_with, inputs = rest[: len(desk.given_with)], rest[len(desk.given_with) :]
        clip = desk.give(result, *given_with)
        # What is made of it names it as a parent: it is kept, as it is now.
        return {**tray.keep(token, clip), **places.put((event._data or {}).get("title"), clip, inputs)}

    desk.menu.choose(
        on_choose, [tray.token, desk.result, *desk.given_with, *places.inputs], [*tray.outputs, *places.outputs],
        show_progress="hidden", **actions.MODEL_QUEUE, **PRIVATE,
    )  # fmt: skip


class _Places:
    """The tabs to which a clip may go, as inputs and outputs of one event."""

    def __init__(self, rooms: gr.Tabs, desks: list[Desk]):
        self.rooms, self.desks = rooms, [desk for desk in desks if desk.take]
        self.inputs = [component for desk in self.desks for component in desk.inputs]
        outputs = [component for desk in self.desks for component in desk.outputs]
        self.outputs = [rooms, *dict.fromkeys(outputs)]

    def put(self, title: Any, clip: Clip, inputs: tuple) -> dict[Any, Any]:
        """Values for some of `outputs`: the tab is opened, with the clip in it."""
        at = 0
        for desk in self.desks:
            own, at = inputs[at : at + len(desk.inputs)], at + len(desk.inputs)
            if desk.title == title:
                values = dict(zip(desk.outputs, desk.take(clip, *own), strict=True))
                return {self.rooms: gr.Tabs(selected=title), **values}
        raise validate.StudioError("There is no such tab that takes clips.")


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

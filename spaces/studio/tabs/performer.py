"""The Performer tab: a style, a melody and an opening on the left; on the right the piano piece that is played of them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import actions
import gradio as gr
import performer_examples as pieces
import performer_reading
import performer_takes as takes
import songs
import validate
from actions import MODEL_QUEUE, RENDER_QUEUE, Stopped, in_sentences
from components.performance_roll import PerformanceRoll
from performer import BUNDLED, PerformerEntry, Performers
from performer_pieces import Asked, Brought, begin, clip_of, played
from performer_takes import Take
from sources import Source

from .parts import PRIVATE, SESSION_SECONDS, Desk, heading, plain, seed_controls, send_menu

if TYPE_CHECKING:
    import pretty_midi

    from hub_models import Clip

TITLE = "Performer"
LETTERS = "AB"
SOURCES = (
    ("Found in the piece", "infer"),
    ("The highest notes", "skyline"),
    ("As it is, one voice", "as_is"),
)
# What the sliders go to and begin with; programs may ask for more.
PAGE_SECONDS, SECONDS, OPENING_SECONDS = 180, 30, 20
TEMPERATURE, TOP_P = 1.0, 0.98
MAX_UNDO = 20
# Of a clip that comes no more is read.
MELODY_SECONDS = performer_reading.MAX_MELODY_STEPS // 10
# How long before its end a piece that goes on is heard from.
LEAD_IN_SECONDS = 2.0


@dataclass
class Slot:
    """The controls of something that is brought. `held` is a `Brought`, with the file as it came, or None."""

    held: gr.State
    roll: PerformanceRoll
    example: gr.Dropdown
    upload: gr.UploadButton
    report: gr.Markdown

    @property
    def outputs(self) -> list[Any]:
        return [self.held, self.roll, self.example, self.report]


def build(performers: Performers) -> Desk | None:
    """Adds the tab's controls and events to the surrounding `gr.Blocks`."""
    if not performers.entries:
        gr.Markdown(f"This needs a model that is not installed here: {BUNDLED}.", elem_id="performer-missing")
        return None
    entries = list(performers.entries.values())
    first = entries[0]
    brakes = actions.Brakes()

    with gr.Row(elem_classes="stage"):
        with gr.Column(scale=6, min_width=320):
            with gr.Column(elem_classes="card", visible=len(entries) > 1):
                model = gr.Radio(_ways(entries), value=first.name, label="What is played", elem_id="performer-model")
            with gr.Column(elem_classes="card", visible=first.takes_style) as style_card:
                heading(1, "Style", "Whose touch it is played with")
                style_a = _slot("style-a", "Style A", "Drop a MIDI file here, upload or pick one.", pieces.PIECES, "Example")
                with gr.Accordion("A second style, to morph to", open=False, elem_id="performer-second"):
                    style_b = _slot(
                        "style-b", "Style B", "Drop a MIDI file here, upload or pick one.", pieces.PIECES, "Example"
                    )
                    share = gr.Slider(0, 100, value=50, step=5, label="From A (0) to B (100)", elem_id="performer-share")
            with gr.Column(elem_classes="card", visible=first.takes_melody) as melody_card:
                heading(2, "Melody", "What is played; send one from another tab, too")
                melody = _slot(
                    "melody",
                    "No melody: it makes up its own",
                    "Drop a MIDI file here, upload or pick one.",
                    pieces.MELODY_TEMPI,
                    "Example",
                )
                with gr.Row(elem_classes="brought"):
                    source = gr.Dropdown(
                        list(SOURCES), value="infer", label="The melody is", elem_id="performer-source", min_width=180
                    )
                    alone = gr.Button("No melody", size="sm", min_width=110, elem_id="performer-no-melody")
            with (
                gr.Column(elem_classes="card"),
                gr.Accordion("Go on from a piece", open=not first.takes_melody, elem_id="performer-going-on"),
            ):
                opening = _slot(
                    "opening", "No opening: it begins at the beginning", "Drop a MIDI file here, upload or pick one.",
                    pieces.PIECES, "Example",
                )  # fmt: skip
                with gr.Row(elem_classes="part"):
                    until = gr.Slider(
                        1, 300, value=OPENING_SECONDS, step=1, label="The model takes over at (seconds)",
                        elem_id="performer-until", min_width=180,
                    )  # fmt: skip
                    clear = gr.Button("No opening", size="sm", min_width=100, elem_id="performer-no-opening")

        with gr.Column(scale=8, min_width=320, elem_classes=["card", "result"]):
            heading(3, "Performance", "It appears as it is played")
            with gr.Row(elem_classes="make"):
                make = gr.Button("Perform", variant="primary", min_width=130, elem_id="performer-make")
                stop = gr.Button("Stop", min_width=70, elem_id="performer-stop")
                go_on = gr.Button("Continue", min_width=90, interactive=False, elem_id="performer-continue")
                undo = gr.Button("Undo", min_width=70, interactive=False, elem_id="performer-undo")
            with gr.Row(elem_classes=["locks", "seed"]):
                seconds = gr.Slider(
                    5, PAGE_SECONDS, value=SECONDS, step=1, label="Length (seconds to play)",
                    elem_id="performer-seconds", min_width=260,
                )  # fmt: skip
                listen = gr.Checkbox(True, label="Listen while it is made", min_width=160, elem_id="performer-listen")
            result = gr.State(None, time_to_live=SESSION_SECONDS)
            history = gr.State([], time_to_live=SESSION_SECONDS)
            view = PerformanceRoll(
                slot="Nothing yet",
                hint="Press “Perform”: the piece grows before your eyes, and you hear it while it does.",
                elem_id="performer-roll",
                label="Performance",
            )
            remarks = gr.Markdown("", elem_classes="report", elem_id="performer-remarks")
            with gr.Row(elem_classes="again"):
                as_style = gr.Button(
                    "Use as style", interactive=False, size="sm", min_width=110, visible=first.takes_style,
                    elem_id="performer-as-style",
                )  # fmt: skip
                menu = send_menu("performer-")
            gr.Markdown(
                "Stop keeps what is there; Continue goes on from it, in the style that is chosen by then."
                + "".join(f"\n\n{plain(entry.description, 600)}" for entry in entries if entry.description),
                elem_classes="quiet",
            )
            with gr.Column(elem_classes="sound"):
                with gr.Row():
                    temperature = gr.Slider(
                        0.1, 2.0, value=TEMPERATURE, step=0.05, label="Temperature (how wild)",
                        elem_id="performer-temperature", min_width=180,
                    )  # fmt: skip
                    top_p = gr.Slider(
                        0.5, 1.0, value=TOP_P, step=0.01, label="Top-p (1: anything may come)",
                        elem_id="performer-top-p", min_width=180,
                    )  # fmt: skip
                seed, keep = seed_controls("performer-")

    brought = [style_a.held, style_b.held, share, melody.held, opening.held, until]
    how = [model, *brought, seconds, temperature, top_p, seed, keep, listen]
    buttons = [go_on, undo, as_style]
    made = [result, history, view, remarks, seed, *buttons]
    cards = [style_card, melody_card, as_style]

    # ---- What is brought

    def read_style(name: str, source: Source, letter: str, example: str | None = None) -> tuple:
        """Values for the outputs of a style."""
        reading = performers.read_style(name, _music(source), source.name)
        return _filled(Brought(source, reading), f"{letter} · {reading.name}", example)

    def read_melody(name: str, way: str, source: Source, example: str | None = None) -> tuple:
        """Values for the outputs of the melody, and the length."""
        reading = performers.read_melody(name, _music(source), source.name, way)
        length = gr.Slider(value=min(PAGE_SECONDS, max(5, math.ceil(reading.seconds))))
        return (*_filled(Brought(source, reading, way), reading.name, example, is_melody=True), length)

    def read_opening(until: float, source: Source, example: str | None = None) -> tuple:
        """Values for the outputs of the opening, and for `until`."""
        reading = performer_reading.read_opening(_music(source), source.name)
        longest = max(2, math.ceil(reading.seconds))
        place = min(until, longest)
        return (*_filled(Brought(source, reading), reading.name, example), gr.Slider(maximum=longest, value=place))

    for letter, slot in zip(LETTERS, (style_a, style_b), strict=True):
        _connect(
            slot, pieces.PIECES, pieces.piece,
            lambda given, example, name, letter=letter: read_style(name, given, letter, example),
            [model], slot.outputs,
        )  # fmt: skip
    _connect(
        melody, pieces.MELODY_TEMPI, pieces.melody,
        lambda given, example, name, way: read_melody(name, way, given, example),
        [model, source], [*melody.outputs, seconds],
    )  # fmt: skip
    _connect(
        opening, pieces.PIECES, pieces.piece,
        lambda given, example, until: read_opening(until, given, example),
        [until], [*opening.outputs, until],
    )  # fmt: skip
    clear.click(lambda: (None, None, None, ""), None, opening.outputs, show_progress="hidden", **PRIVATE)

    alone.click(lambda: (None, None, None, ""), None, melody.outputs, show_progress="hidden", **PRIVATE)

    @in_sentences
    def on_source(held: Brought | None, example, name, way):
        if held is None:
            return (gr.skip(),) * (len(melody.outputs) + 1)
        return read_melody(name, way, held.source, example)

    source.input(
        on_source, [melody.held, melody.example, model, source], [*melody.outputs, seconds],
        show_progress="hidden", **RENDER_QUEUE, **PRIVATE,
    )  # fmt: skip

    def shown_cards(entry: PerformerEntry) -> tuple:
        """Values for `cards`."""
        style = gr.Column(visible=entry.takes_style)
        return style, gr.Column(visible=entry.takes_melody), gr.Button(visible=entry.takes_style)

    model.input(
        in_sentences(lambda name: shown_cards(performers.entry(name))), [model], cards, show_progress="hidden", **PRIVATE
    )

    # ---- What is played

    def wished(given: tuple, before: Take | None) -> Asked:
        """What is asked for; `before` is the piece to go on from, or None."""
        name, a, b, share, tune, start, until, seconds, temperature, top_p, seed, keep = given
        entry = performers.entry(name)
        styles = tuple(filter(None, (a, b if share else None))) if entry.takes_style else ()
        if entry.takes_style and a is None:
            raise validate.StudioError("A style is missing: upload a performance or pick an example.")
        return Asked(
            model=name,
            styles=styles if entry.mixes_styles else styles[:1],
            share=validate.share(share / 100),
            tune=tune if entry.takes_melody else None,
            start=start,
            until=until,
            before=before,
            seconds=seconds,
            temperature=temperature,
            top_p=top_p,
            seed=actions.choose_seed(seed, keep),
        )

    def play(request: gr.Request, before: Take | None, history: list[Take], goes_on: bool, given: tuple) -> Iterator[tuple]:
        """Values for `made`, again and again while the piece is played."""
        still = (gr.skip(),) * len(buttons)
        if brakes.is_running(request.session_hash):
            raise validate.StudioError("It is still playing; stop it first.")
        *given, listen = given
        asked = wished(tuple(given), before if goes_on else None)
        wish, take = begin(performers, asked)
        run = {
            "id": secrets.token_hex(4),
            "busy": True,
            "goal": take.seconds + wish.seconds,
            "start": take.seconds,
            "listen_from": max(0.0, take.seconds - LEAD_IN_SECONDS) if wish.opening else 0.0,
            "listen": bool(listen),
            "rate": 0.0,
            "text": "Getting ready",
        }
        try:
            with brakes.running(request.session_hash, lambda fraction, text: None) as check:
                yield gr.skip(), gr.skip(), takes.take_value(take, run), "", wish.seed, *still
                step = None
                for step in performers.perform(asked.model, wish, lambda: _is_stopped(check)):
                    take = replace(take, ids=step.ids, notes=step.notes, seconds=max(step.seconds, take.seconds))
                    run |= takes.how_far(step, run["start"], run["goal"])
                    yield gr.skip(), gr.skip(), takes.take_value(take, run), gr.skip(), gr.skip(), *still
            if len(step.ids) == len(wish.opening) or not step.notes:
                raise (
                    Stopped
                    if step.stopped
                    else validate.StudioError("The model ended the piece before its first note; try another seed.")
                )
            take = played(performers, asked, wish, take, step)
            files = songs.files(performers.music(take.model, take.ids))
            take = replace(take, clip=clip_of(asked, take, step, files["midi"]))
            history = [*history, before][-MAX_UNDO:]
            on = gr.Button(interactive=True)
            yield take, history, takes.take_value(take, files=files), _listed(take.remarks), gr.skip(), *(on,) * len(buttons)
        except Exception:
            restored = takes.finished_value(performers, before) if before else None
            yield gr.skip(), gr.skip(), restored, _listed(before.remarks) if before else "", gr.skip(), *still
            raise

    @in_sentences
    def on_make(request: gr.Request, before, history, *given) -> Iterator[tuple]:
        yield from play(request, before, history, False, given)

    @in_sentences
    def on_continue(request: gr.Request, before, history, *given) -> Iterator[tuple]:
        if before is None:
            raise validate.StudioError("There is nothing to go on from yet: press Perform.")
        yield from play(request, before, history, True, given)

    @in_sentences
    def on_undo(history):
        """Values for `made` without the seed."""
        if not history:
            raise validate.StudioError("There is nothing to undo.")
        take, history = history[-1], history[:-1]
        value = takes.finished_value(performers, take) if take else None
        on, more = gr.Button(interactive=bool(take)), gr.Button(interactive=bool(history))
        return take, history, value, _listed(take.remarks) if take else "", gr.skip(), on, more, on

    @in_sentences
    def on_stop(request: gr.Request):
        if not brakes.stop(request.session_hash):
            gr.Info("Nothing is being played right now.")

    @in_sentences
    def on_as_style(take, name):
        if take is None:
            raise validate.StudioError("There is no performance yet.")
        return read_style(name, Source(take.title, take.clip.data, take.clip.id), "A")

    @in_sentences
    def on_open(name, way, a, tune) -> Iterator[tuple]:
        """The first time: something to try, so that Perform may be pressed at once; then the model, while a person looks."""
        entry = performers.entry(name)
        style_values, melody_values = (gr.skip(),) * len(style_a.outputs), (gr.skip(),) * (len(melody.outputs) + 1)
        if a is None and entry.takes_style:
            example = pieces.DEFAULT_STYLE
            style_values = read_style(name, _example(pieces.piece, example), "A", example)
        if tune is None and entry.takes_melody:
            example = pieces.DEFAULT_MELODY
            melody_values = read_melody(name, way, _example(pieces.melody, example), example)
        yield (*style_values, *melody_values)
        performers.load(name)

    run = {"show_progress": "hidden", **MODEL_QUEUE, **PRIVATE}
    make.click(on_make, [result, history, *how], made, **run)
    go_on.click(on_continue, [result, history, *how], made, **run)
    gr.on([make.click, go_on.click], None, None, None, js="() => { window.encore?.wake(); }")
    undo.click(on_undo, [history], made, **{**run, **RENDER_QUEUE})
    stop.click(on_stop, None, None, queue=False, show_progress="hidden", **PRIVATE)
    as_style.click(on_as_style, [result, model], style_a.outputs, show_progress="hidden", **RENDER_QUEUE, **PRIVATE)

    def reads(clip: Clip) -> str | None:
        if clip.kind != "midi" or not clip.has_notes or not any(entry.takes_melody for entry in entries):
            return None
        first = f", first {MELODY_SECONDS // 60} minutes" if clip.seconds > MELODY_SECONDS else ""
        return f"its melody, found in it{first}"

    def put(clip: Clip, name, way) -> tuple:
        """Values for the model, its cards, the melody and the length: a clip has come."""
        entry = performers.entry(name)
        if not entry.takes_melody:
            entry = next((entry for entry in entries if entry.takes_melody), None)
        if entry is None:
            raise validate.StudioError("No model here plays melodies.")
        return (entry.name, *shown_cards(entry), *read_melody(entry.name, way, Source(clip.name, clip.data, clip.id)))

    return Desk(
        TITLE, result, give=lambda take: take.clip, reads=reads, take=put, inputs=[model, source],
        outputs=[model, *cards, *melody.outputs, seconds], menu=menu,
        opened=on_open, opened_inputs=[model, source, style_a.held, melody.held],
        opened_outputs=[*style_a.outputs, *melody.outputs, seconds],
    )  # fmt: skip


def _ways(entries: list[PerformerEntry]) -> list[tuple[str, str]]:
    """Choices of the models by what they play; with their names where two play alike."""
    kinds = [entry.does for entry in entries]
    return [
        (entry.does if kinds.count(entry.does) == 1 else f"{entry.does} ({entry.name})", entry.name) for entry in entries
    ]


def _slot(key: str, title: str, hint: str, offered: Any, label: str) -> Slot:
    with gr.Column(elem_classes=["slot", f"slot-{key.removeprefix('style-')}"]):
        held = gr.State(None, time_to_live=SESSION_SECONDS)
        roll = PerformanceRoll(slot=title, hint=hint, compact=True, elem_id=f"performer-{key}", label=title)
        with gr.Row(elem_classes="brought"):
            example = gr.Dropdown(list(offered), value=None, label=label, elem_id=f"performer-{key}-example", min_width=180)
            upload = gr.UploadButton(
                "Upload MIDI", file_types=[".mid", ".midi"], size="sm", min_width=110, elem_id=f"performer-{key}-upload"
            )
        report = gr.Markdown("", elem_classes="report", elem_id=f"performer-{key}-report")
    return Slot(held, roll, example, upload, report)


def _filled(held: Brought, title: str, example: str | None, is_melody: bool = False) -> tuple:
    """Values for the outputs of a slot."""
    value = takes.reading_value(held.reading, title, is_melody)
    return held, value, gr.Dropdown(value=example), _listed(held.reading.remarks)


def _connect(
    slot: Slot, offered: Any, play: Callable[[str], Any], read: Callable[..., tuple], inputs: list[Any], outputs: list[Any]
) -> None:
    """Lets a slot be filled by an upload or an example: `read(source, example, *values of inputs)`."""

    @in_sentences
    def on_upload(path, *given):
        return read(Source(Path(path).stem, Path(path).read_bytes()), None, *given)

    @in_sentences
    def on_example(name, *given):
        if name not in offered:
            raise validate.StudioError("There is no such example.")
        return read(_example(play, name), name, *given)

    fill = {"show_progress_on": slot.roll, **RENDER_QUEUE, **PRIVATE}
    slot.upload.upload(on_upload, [slot.upload, *inputs], outputs, **fill)
    slot.example.input(on_example, [slot.example, *inputs], outputs, **fill)


def _example(play: Callable[[str], Any], name: str) -> Source:
    """An example as the file that it would be."""
    from hub_models import midi

    return Source(_short(name), midi.to_bytes(play(name)))


def _music(source: Source) -> pretty_midi.PrettyMIDI:
    from hub_models import midi

    return midi.load(source.data)


def _short(example: str) -> str:
    """The name of an example without how it is played."""
    return example.split(":")[0]


def _listed(remarks: tuple[str, ...]) -> str:
    return "\n".join(f"- {plain(remark)}" for remark in remarks[:8])


def _is_stopped(check: Callable[[float, str], None]) -> bool:
    try:
        check(0.0, "")
    except Stopped:
        return True
    return False

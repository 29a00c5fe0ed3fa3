"""The Morph tab: MusicVAE. Clips on the left, what to do with them in the middle, what came out on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import actions
import examples
import gradio as gr
import pattern as patterns
import validate
from actions import MODEL_QUEUE, RENDER_QUEUE, in_sentences
from components.latent_pad import LatentPad, latent_pad_value
from components.piano_roll import PianoRoll, piano_roll_value
from engine import ATTRIBUTE_LABELS, Engine, ModelEntry
from pattern import Pattern

from .parts import (
    PRIVATE,
    SESSION_SECONDS,
    Desk,
    chance_controls,
    heading,
    instruments,
    perform_clip,
    report_text,
    result_value,
)

TITLE = "Morph"
LETTERS = "ABCD"
KINDS = ("melody", "drums", "trio")
MANY_BARS = 4  # above it a clip is long: fewer of them make a piece, and a pad


@dataclass
class Slot:
    """The controls of one clip. `found` holds {"clips": [...], "index": n}: what an upload gave and which is chosen."""

    letter: str
    found: gr.State
    roll: PianoRoll
    upload: gr.UploadButton
    example: gr.Dropdown
    sample: gr.Button
    window: gr.Dropdown
    report: gr.Markdown

    @property
    def outputs(self) -> list[Any]:
        return [self.found, self.roll, self.window, self.example, self.report]


def build(engine: Engine) -> Desk | None:
    """Adds the tab's controls and events to the surrounding `gr.Blocks`."""
    entries = [entry for entry in engine.entries.values() if entry.representation in KINDS]
    if not entries:
        gr.Markdown(
            "No MusicVAE model is installed here. Train one with a script of `runs/`, or name a folder with `--models`."
        )
        return None
    first = entries[0]
    drum_model = next((entry.name for entry in entries if entry.drums), None)

    with gr.Row(elem_classes="stage"):
        with gr.Column(scale=4, min_width=320, elem_classes="card"):
            heading(1, "Clips", "Two to start from")
            model = gr.Dropdown(
                [(entry.label, entry.name) for entry in entries], value=first.name, label="Model", elem_id="model"
            )
            slots = [_slot(letter, first, filled=True) for letter in "AB"]
            with gr.Accordion("Corners C and D, for the pad", open=False):
                slots += [_slot(letter, first, filled=False) for letter in "CD"]

        with gr.Column(scale=4, min_width=320, elem_classes="card"):
            heading(2, "Shape", "Choose what to do")
            with gr.Tabs(elem_classes="shapes"):
                with gr.Tab("Morph"):
                    gr.Markdown("From A to B in equal steps, one after another.", elem_classes="quiet")
                    steps = gr.Slider(
                        validate.MIN_STEPS,
                        _most_steps(first),
                        value=_most_steps(first) // 2,
                        step=1,
                        label="Steps (A and B included)",
                        elem_id="steps",
                    )
                    morph = gr.Button("Morph A into B", variant="primary", elem_id="morph")
                with gr.Tab("Pad"):
                    compute = gr.Button("Make the pad", variant="primary", elem_id="compute-pad")
                    pad = LatentPad(elem_id="pad", label="Latent pad")
                with gr.Tab("Attributes"):
                    no_attributes = gr.Markdown(
                        "This model has no attribute vectors; melodies have them.",
                        visible=not first.attributes,
                        elem_classes="quiet",
                    )
                    with gr.Column(visible=bool(first.attributes)) as attribute_controls:
                        attribute_clip = gr.Radio(["A", "B"], value="A", label="Clip to change")
                        sliders = [
                            gr.Slider(-validate.MAX_STRENGTH, validate.MAX_STRENGTH, value=0, step=0.1, label=label)
                            for label in ATTRIBUTE_LABELS.values()
                        ]
                        apply = gr.Button("Apply to the clip", variant="primary", elem_id="apply")
                        reset = gr.Button("Set all to 0")
                with gr.Tab("Reconstruct"):
                    gr.Markdown("Through the model's bottleneck and back: what it keeps of a clip.", elem_classes="quiet")
                    reconstruct_clip = gr.Radio(["A", "B"], value="A", label="Clip to reconstruct")
                    reconstruct = gr.Button("Reconstruct", variant="primary", elem_id="reconstruct")
            with gr.Column(elem_classes="sound"):
                tempo = gr.Slider(
                    validate.MIN_TEMPO, validate.MAX_TEMPO, value=120, step=1, label="Tempo (beats per minute)"
                )
                program = gr.Dropdown(
                    instruments(), value=0, label="Instrument", visible=not first.drums, elem_id="instrument"
                )
                chance = chance_controls()

        with gr.Column(scale=8, min_width=320, elem_classes=["card", "result"]):
            heading(3, "Result", "Listen, take it along, or use it again")
            result = gr.State(None, time_to_live=SESSION_SECONDS)
            roll = PianoRoll(
                slot="Nothing yet",
                hint="What you make appears here. Press “Morph A into B” to begin.",
                elem_id="result",
                label="Result",
            )
            with gr.Row(elem_classes="again"):
                use = [gr.Button(f"Use as {letter}", interactive=False, size="sm", min_width=70) for letter in LETTERS]
                send = gr.Button(
                    "To Grooves", visible=first.kind != "melody", size="sm", min_width=120, elem_id="to-grooves"
                )
                to_band = gr.Button(
                    "Style for Band", visible=first.kind == "trio", size="sm", min_width=120, elem_id="to-band"
                )
                to_performer = gr.Button("To Performer", size="sm", min_width=120, elem_id="to-performer")
                to_vocoder = gr.Button("To Vocoder", size="sm", min_width=120, elem_id="to-vocoder")
                to_jukebox = gr.Button("To Jukebox", size="sm", min_width=120, elem_id="to-jukebox")

    grid = gr.State(None, time_to_live=SESSION_SECONDS)
    seed = chance[1]
    results = [result, roll, seed, *use]
    sound = [tempo, program]

    def finish(clip: Pattern, tempo: float, program: int, seed: int) -> tuple:
        """Values for `results`."""
        value = result_value(clip, tempo, program)
        return (clip, value, seed, *[gr.Button(interactive=True)] * len(LETTERS))

    @in_sentences
    def on_morph(model, a, b, steps, temperature, seed, keep, tempo, program, progress=gr.Progress()):
        seed = actions.choose_seed(seed, keep)
        piece = engine.interpolate(
            model, _chosen(a, "A"), _chosen(b, "B"), validate.steps(steps), validate.temperature(temperature), seed, progress
        )
        progress(0.85, "Rendering")
        return finish(piece, tempo, program, seed)

    @in_sentences
    def on_reconstruct(model, letter, a, b, temperature, seed, keep, tempo, program, progress=gr.Progress()):
        seed = actions.choose_seed(seed, keep)
        clip = _chosen(a if letter == "A" else b, letter)
        made = engine.reconstruct(model, clip, validate.temperature(temperature), seed, progress)
        return finish(made, tempo, program, seed)

    @in_sentences
    def on_apply(model, letter, a, b, temperature, seed, keep, tempo, program, *strengths, progress=gr.Progress()):
        seed = actions.choose_seed(seed, keep)
        clip = _chosen(a if letter == "A" else b, letter)
        wanted = dict(zip(ATTRIBUTE_LABELS, strengths, strict=True))
        made = engine.apply_attributes(model, clip, wanted, validate.temperature(temperature), seed, progress)
        return finish(made, tempo, program, seed)

    @in_sentences
    def on_compute(model, a, b, c, d, temperature, seed, keep, progress=gr.Progress()):
        seed = actions.choose_seed(seed, keep)
        temperature = validate.temperature(temperature)
        founds, changed = [a, b, c, d], {}
        for index, found in enumerate(founds):
            if not found:
                sampled = engine.sample(model, temperature, (seed + index) % (validate.MAX_SEED + 1), progress)
                founds[index] = {"clips": [sampled], "index": 0}
                changed[index] = _fill(LETTERS[index], [sampled], "")
        corners = [_chosen(found, letter) for found, letter in zip(founds, LETTERS, strict=True)]
        size = _grid_size(engine.entry(model))
        cells = engine.corner_grid(model, corners, size, temperature, seed, progress)
        shown = [value for index in range(4) for value in changed.get(index, [gr.skip()] * 5)]
        return (cells, latent_pad_value(cells), seed, *shown)

    @in_sentences
    def on_choose(cells, tempo, program, seed, event: gr.EventData):
        if not cells:
            raise validate.StudioError("Compute the pad first.")
        data = event._data or {}
        row, column = data.get("row"), data.get("column")
        if row not in range(len(cells)) or column not in range(len(cells)):
            raise validate.StudioError("There is no such place on the pad.")
        return finish(cells[row][column], tempo, program, seed)

    @in_sentences
    def on_sound(clip, tempo, program):
        return result_value(clip, tempo, program) if clip else gr.skip()

    morph.click(
        on_morph, [model, slots[0].found, slots[1].found, steps, *chance, *sound], results,
        show_progress_on=roll, **MODEL_QUEUE, **PRIVATE,
    )  # fmt: skip
    reconstruct.click(
        on_reconstruct, [model, reconstruct_clip, slots[0].found, slots[1].found, *chance, *sound], results,
        show_progress_on=roll, **MODEL_QUEUE, **PRIVATE,
    )  # fmt: skip
    apply.click(
        on_apply, [model, attribute_clip, slots[0].found, slots[1].found, *chance, *sound, *sliders], results,
        show_progress_on=roll, **MODEL_QUEUE, **PRIVATE,
    )  # fmt: skip
    reset.click(lambda: [0] * len(sliders), None, sliders, show_progress="hidden", **PRIVATE)
    compute.click(
        on_compute, [model, *[slot.found for slot in slots], *chance],
        [grid, pad, seed, *[output for slot in slots for output in slot.outputs]],
        show_progress_on=pad, **MODEL_QUEUE, **PRIVATE,
    )  # fmt: skip
    pad.choose(on_choose, [grid, *sound, seed], results, show_progress_on=roll, **RENDER_QUEUE, **PRIVATE)
    gr.on(
        [tempo.release, program.input], on_sound, [result, *sound], [roll],
        show_progress="minimal", trigger_mode="always_last", **RENDER_QUEUE, **PRIVATE,
    )  # fmt: skip
    # What plays in the browser follows the controls at once.
    tempo.change(None, [tempo], None, js="(tempo) => { window.encore.desk('morph').tempo = tempo; }")
    program.change(None, [program], None, js="(program) => { window.encore.desk('morph').program = program; }")

    for slot, again in zip(slots, use, strict=True):
        _connect_slot(engine, slot, model, chance)
        again.click(
            in_sentences(_reuse(engine, slot.letter)), [model, result], slot.outputs,
            show_progress="hidden", **PRIVATE,
        )  # fmt: skip

    def on_model(name: str):
        entry = engine.entry(name)
        filled = [value for slot in slots for value in _initial(entry, slot.letter, filled=slot.letter in "AB")]
        return (
            *filled,
            None, None,
            None, None, *[gr.Button(interactive=False)] * len(LETTERS),
            gr.Button(visible=entry.kind != "melody"),
            gr.Button(visible=entry.kind == "trio"),
            gr.Slider(maximum=_most_steps(entry), value=_most_steps(entry) // 2),
            gr.Dropdown(visible=not entry.drums),
            gr.Markdown(visible=not entry.attributes),
            gr.Column(visible=bool(entry.attributes)),
        )  # fmt: skip

    set_by_model = [
        *[output for slot in slots for output in slot.outputs], grid, pad, result, roll, *use,
        send, to_band, steps, program, no_attributes, attribute_controls,
    ]  # fmt: skip
    model.input(in_sentences(on_model), [model], set_by_model, show_progress="hidden", **PRIVATE)

    def take(clip: Pattern) -> tuple:
        """Values for `model` and `set_by_model`: the clip's drums become A."""
        if drum_model is None:
            raise validate.StudioError("No drum model is installed here.")
        entry = engine.entry(drum_model)
        found, value, window, example, report = _fill("A", patterns.split(patterns.drums_of(clip), entry.bars), "")
        example = gr.Dropdown(choices=list(examples.clips_for(entry.kind, entry.bars)), value=None)
        rest = on_model(drum_model)[len(slots[0].outputs) :]
        return (drum_model, found, value, window, example, report, *rest)

    send_to = {
        "Grooves": send, "Band": to_band, "Performer": to_performer, "Vocoder": to_vocoder, "Jukebox": to_jukebox,
    }  # fmt: skip
    return Desk(
        TITLE, result, send_to, take, [], [model, *set_by_model], perform=perform_clip, performed_with=sound
    )  # fmt: skip


def _most_steps(entry: ModelEntry) -> int:
    """Of a morph on the page."""
    return validate.MAX_STEPS if entry.bars <= MANY_BARS else 8


def _grid_size(entry: ModelEntry) -> int:
    """Cells along a side of the pad."""
    return 7 if entry.bars <= MANY_BARS else 5


def _slot(letter: str, entry: ModelEntry, filled: bool) -> Slot:
    found, shown, _, chosen, _ = _initial(entry, letter, filled)
    with gr.Column(elem_classes=["slot", f"slot-{letter.lower()}"]):
        state = gr.State(found, time_to_live=SESSION_SECONDS)
        roll = PianoRoll(
            shown,
            slot=f"Clip {letter}",
            hint="Upload, pick or sample a clip.",
            compact=True,
            elem_id=f"clip-{letter.lower()}",
            label=f"Clip {letter}",
        )
        with gr.Row(elem_classes="sources"):
            upload = gr.UploadButton(
                "Upload MIDI", file_types=[".mid", ".midi"], size="sm", min_width=90, elem_id=f"upload-{letter.lower()}"
            )
            sample = gr.Button("Sample new", size="sm", min_width=90, elem_id=f"sample-{letter.lower()}")
        example = gr.Dropdown(
            list(examples.clips_for(entry.kind, entry.bars)),
            value=chosen["value"],
            label=f"Example for {letter}",
            elem_id=f"example-{letter.lower()}",
        )
        window = gr.Dropdown([], label=f"Part of the file for {letter}", visible=False, elem_id=f"window-{letter.lower()}")
        report = gr.Markdown("", elem_classes="report", elem_id=f"report-{letter.lower()}")
    return Slot(letter, state, roll, upload, example, sample, window, report)


def _initial(entry: ModelEntry, letter: str, filled: bool) -> tuple:
    """Values for a slot's outputs when a model is chosen: an example, or nothing."""
    offered = examples.clips_for(entry.kind, entry.bars)
    name = examples.defaults(entry.kind, entry.bars)[LETTERS.index(letter)] if filled else None
    chosen = offered.get(name) if name else None
    found = {"clips": [chosen], "index": 0} if chosen else None
    value = piano_roll_value(chosen, f"{letter} · {name}", colour=letter.lower()) if chosen else None
    example = gr.update(choices=list(offered), value=name if chosen else None)
    return found, value, gr.update(choices=[], value=None, visible=False), example, ""


def _fill(letter: str, found: list[Pattern], report: str, example: str | None = None) -> list:
    """Values for a slot's outputs when it is given clips; the first is chosen."""
    value = piano_roll_value(found[0], f"{letter} · {found[0]['name']}", colour=letter.lower())
    names = [(clip["name"], index) for index, clip in enumerate(found)]
    window = gr.Dropdown(choices=names, value=0, visible=len(found) > 1)
    return [{"clips": found, "index": 0}, value, window, gr.Dropdown(value=example), report]


def _connect_slot(engine: Engine, slot: Slot, model: gr.Dropdown, chance: list[Any]) -> None:
    letter = slot.letter

    @in_sentences
    def on_upload(name, path, progress=gr.Progress()):
        answer = engine.read(name, path, progress)
        return _fill(letter, answer["clips"], report_text(answer))

    @in_sentences
    def on_example(name, example):
        entry = engine.entry(name)
        offered = examples.clips_for(entry.kind, entry.bars)
        if example not in offered:
            raise validate.StudioError("There is no such example.")
        return _fill(letter, [offered[example]], "", example)

    @in_sentences
    def on_sample(name, temperature, seed, keep, progress=gr.Progress()):
        seed = actions.choose_seed(seed, keep)
        clip = engine.sample(name, validate.temperature(temperature), seed, progress)
        return (seed, *_fill(letter, [clip], ""))

    @in_sentences
    def on_window(found, index):
        if not found or index not in range(len(found["clips"])):
            return gr.skip(), gr.skip()
        clip = found["clips"][index]
        return {**found, "index": index}, piano_roll_value(clip, f"{letter} · {clip['name']}", colour=letter.lower())

    slot.upload.upload(on_upload, [model, slot.upload], slot.outputs, show_progress_on=slot.roll, **MODEL_QUEUE, **PRIVATE)
    slot.example.input(on_example, [model, slot.example], slot.outputs, show_progress="hidden", **PRIVATE)
    slot.sample.click(
        on_sample, [model, *chance], [chance[1], *slot.outputs], show_progress_on=slot.roll, **MODEL_QUEUE, **PRIVATE
    )
    slot.window.input(on_window, [slot.found, slot.window], [slot.found, slot.roll], show_progress="hidden", **PRIVATE)


def _reuse(engine: Engine, letter: str):
    def on_reuse(name, clip):
        if not clip:
            raise validate.StudioError("There is no result yet.")
        return _fill(letter, patterns.split(clip, engine.entry(name).bars), "")

    return on_reuse


def _chosen(found: dict | None, letter: str) -> Pattern:
    if not found:
        raise validate.StudioError(f"Clip {letter} is empty: upload a MIDI file, pick an example or sample one.")
    return found["clips"][found["index"]]

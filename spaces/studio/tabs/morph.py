"""The Morph tab: MusicVAE. Clips on the left, what to do with them in the middle, what came out on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import actions
import examples
import gradio as gr
import morph_reading
import origins
import pattern as patterns
import validate
from actions import MODEL_QUEUE, RENDER_QUEUE, in_sentences
from components.latent_pad import LatentPad, latent_pad_value
from components.piano_roll import PianoRoll, edited_clip, piano_roll_value
from engine import ATTRIBUTE_LABELS, Engine, ModelEntry
from origins import given
from pattern import Pattern

from .parts import (
    PRIVATE,
    SESSION_SECONDS,
    Desk,
    chance_controls,
    heading,
    instruments,
    plain,
    report_text,
    result_value,
    send_menu,
)

if TYPE_CHECKING:
    from hub_models import Clip

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
                editable=True,
            )
            with gr.Row(elem_classes="again"):
                use = [gr.Button(f"Use as {letter}", interactive=False, size="sm", min_width=70) for letter in LETTERS]
                keep = gr.Button("Keep", interactive=False, size="sm", min_width=70, elem_id="keep")
                menu = send_menu()

    grid = gr.State(None, time_to_live=SESSION_SECONDS)
    seed = chance[1]
    results = [result, roll, seed, *use, keep]
    sound = [tempo, program]

    def finish(made: Pattern, tempo: float, program: int, seed: Any, tried: bool = False, **origin: Any) -> tuple:
        """Values for `results`; `origin` as in `origins.record`. What is silent is shown, and goes nowhere."""
        value, heard = result_value(made, tempo, program), not patterns.is_silent(made)
        kept = origins.record(made, (tempo, program), tried=tried, **origin) if heard else None
        again = [gr.Button(interactive=heard)] * len(LETTERS)
        return (kept, value, seed, *again, gr.Button(interactive=heard and tried))

    @in_sentences
    def on_morph(model, a, b, steps, temperature, seed, keep, tempo, program, progress=gr.Progress()):
        drawn = actions.drawn(temperature, seed, keep)
        start, end, steps = _chosen(a, "A"), _chosen(b, "B"), validate.steps(steps)
        piece = engine.interpolate(model, start, end, steps, **drawn, report=progress)
        progress(0.85, "Rendering")
        arguments = {"model": model, "start": given(start), "end": given(end), "steps": steps, **drawn}
        return finish(
            piece, tempo, program, drawn["seed"],
            action=f"Morph {start['name']} into {end['name']}",
            calls=[("/interpolate", arguments)], sources=origins.sources_of(start, end),
        )  # fmt: skip

    @in_sentences
    def on_reconstruct(model, letter, a, b, temperature, seed, keep, tempo, program, progress=gr.Progress()):
        drawn = actions.drawn(temperature, seed, keep)
        clip = _chosen(a if letter == "A" else b, letter)
        made = engine.reconstruct(model, clip, **drawn, report=progress)
        return finish(
            made, tempo, program, drawn["seed"],
            action=f"Reconstruct {clip['name']}",
            calls=[("/reconstruct", {"model": model, "clip": given(clip), **drawn})], sources=origins.sources_of(clip),
        )  # fmt: skip

    @in_sentences
    def on_apply(model, letter, a, b, temperature, seed, keep, tempo, program, *strengths, progress=gr.Progress()):
        drawn = actions.drawn(temperature, seed, keep)
        clip = _chosen(a if letter == "A" else b, letter)
        wanted = {name: value for name, value in zip(ATTRIBUTE_LABELS, strengths, strict=True) if value}
        made = engine.apply_attributes(model, clip, wanted, **drawn, report=progress)
        arguments = {"model": model, "clip": given(clip), "strengths": wanted, **drawn}
        return finish(
            made, tempo, program, drawn["seed"],
            action=f"Reshape {clip['name']}",
            calls=[("/apply_attributes", arguments)], sources=origins.sources_of(clip),
        )  # fmt: skip

    @in_sentences
    def on_compute(model, a, b, c, d, temperature, seed, keep, progress=gr.Progress()):
        drawn = actions.drawn(temperature, seed, keep)
        seed, founds, changed = drawn["seed"], [a, b, c, d], {}
        for index, found in enumerate(founds):
            if not found:
                sampled = engine.sample(model, drawn["temperature"], (seed + index) % (validate.MAX_SEED + 1), progress)
                founds[index] = {"clips": [sampled], "index": 0}
                changed[index] = _fill(LETTERS[index], [sampled], "")
        corners = [_chosen(found, letter) for found, letter in zip(founds, LETTERS, strict=True)]
        size = _grid_size(engine.entry(model))
        arguments = {"size": size, **drawn}
        cells = engine.corner_grid(model, corners, **arguments, report=progress)
        shown = [value for index in range(4) for value in changed.get(index, [gr.skip()] * 5)]
        names = [corner["name"] for corner in corners]
        origin = {
            "action": f"Mix {', '.join(names[:-1])} and {names[-1]}",
            "calls": [("/corner_grid", {"model": model, "corners": [given(corner) for corner in corners], **arguments})],
            "sources": origins.sources_of(*corners),
        }
        return ({"cells": cells, "origin": origin}, latent_pad_value(cells), seed, *shown)

    @in_sentences
    def on_choose(grid, tempo, program, event: gr.EventData):
        if not grid:
            raise validate.StudioError("Compute the pad first.")
        data, cells = event._data or {}, grid["cells"]
        row, column = data.get("row"), data.get("column")
        if row not in range(len(cells)) or column not in range(len(cells)):
            raise validate.StudioError("There is no such place on the pad.")
        cell = cells[row][column]
        return finish(cell, tempo, program, gr.skip(), tried=True, cell=(row, column), **grid["origin"])

    @in_sentences
    def on_keep(result):
        if not result:
            raise validate.StudioError("There is no result yet.")
        return origins.kept(result), gr.Button(interactive=False)

    @in_sentences
    def on_edited(edited, result, tempo, program):
        if not result:
            raise validate.StudioError("There is no result yet.")
        return finish(
            edited_clip(edited, result), tempo, program, gr.skip(),
            action=f"Edit {result['name']}", calls=[], sources=origins.sources_as_result(result),
        )  # fmt: skip

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
    pad.choose(on_choose, [grid, *sound], results, show_progress_on=roll, **RENDER_QUEUE, **PRIVATE)
    keep.click(on_keep, [result], [result, keep], show_progress="hidden", **PRIVATE)
    roll.edited(on_edited, [roll, result, *sound], results, show_progress_on=roll, **RENDER_QUEUE, **PRIVATE)
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
            None, None, *[gr.Button(interactive=False)] * (len(LETTERS) + 1),
            gr.Slider(maximum=_most_steps(entry), value=_most_steps(entry) // 2),
            gr.Dropdown(visible=not entry.drums),
            gr.Markdown(visible=not entry.attributes),
            gr.Column(visible=bool(entry.attributes)),
        )  # fmt: skip

    set_by_model = [
        *[output for slot in slots for output in slot.outputs], grid, pad, result, roll, *use, keep,
        steps, program, no_attributes, attribute_controls,
    ]  # fmt: skip
    model.input(in_sentences(on_model), [model], set_by_model, show_progress="hidden", **PRIVATE)
    set_by_clip = [model, tempo, *set_by_model]

    def take(clip: Clip, name: str, result: Pattern | None, tempo_now: float, program_now: int) -> tuple:
        """Values for `set_by_clip`: what a model reads of the clip becomes A; if it is the same model, the rest stays."""
        entry, answer = morph_reading.read(engine, entries, clip)
        values = dict.fromkeys(set_by_clip, gr.skip())
        if entry.name != name:
            values |= {model: entry.name, **dict(zip(set_by_model, on_model(entry.name), strict=True))}
        report = (
            f"From “{plain(clip.name)}”: {morph_reading.words(entry)}. {report_text(answer, choice=slots[0].window.label)}"
        )
        slot = _fill("A", origins.from_clip(answer["clips"], clip), report)
        slot[3] = gr.Dropdown(choices=list(examples.clips_for(entry.kind, entry.bars)), value=None)
        values |= dict(zip(slots[0].outputs, slot, strict=True))
        if clip.tempo:
            values[tempo] = validate.nearest_tempo(clip.tempo)
            if result and entry.name == name and values[tempo] != tempo_now:
                values[roll] = result_value(result, values[tempo], program_now)
        return tuple(values[component] for component in set_by_clip)

    return Desk(
        TITLE, result, origins.to_clip, sound,
        reads=lambda clip: morph_reading.reads(entries, clip),
        take=take, inputs=[model, result, *sound], outputs=set_by_clip, menu=menu,
        keeps=lambda made: not origins.is_tried(made),
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
        parts = patterns.split(clip, engine.entry(name).bars)
        return _fill(letter, origins.from_sources(parts, origins.sources_as_result(clip)), "")

    return on_reuse


def _chosen(found: dict | None, letter: str) -> Pattern:
    if not found:
        raise validate.StudioError(f"Clip {letter} is empty: upload a MIDI file, pick an example or sample one.")
    return found["clips"][found["index"]]

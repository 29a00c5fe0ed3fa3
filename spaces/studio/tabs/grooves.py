"""The Grooves tab: a rhythm on the left, tapped, drawn or brought along; on the right what makes it a beat, and the beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import actions
import examples
import gradio as gr
import grooves
import origins
import pattern as patterns
import validate
from actions import MODEL_QUEUE, RENDER_QUEUE, in_sentences
from components.groove_editor import GROOVES, GrooveEditor, groove_editor_value
from components.piano_roll import PianoRoll, edited_clip
from engine import Engine, ModelEntry, _silent
from origins import given
from pattern import Pattern

from .parts import PRIVATE, SESSION_SECONDS, Desk, chance_controls, heading, plain, report_text, result_value, send_menu

if TYPE_CHECKING:
    from hub_models import Clip

TITLE = "Grooves"
TEMPO = 100
MAX_MORPH_STEPS = 8
# What a groove model has to put back for an action, and what the bundled one is called.
HUMANIZE, TAP, HATS = "humanize", "tap", "add_closed_hi_hat"
BUNDLED = {
    HUMANIZE: "music-vae-groove-2bar-humanize",
    TAP: "music-vae-groove-2bar-tap",
    HATS: "music-vae-groove-2bar-add-closed-hh",
}


def build(engine: Engine) -> Desk:
    """Adds the tab's controls and events to the surrounding `gr.Blocks`."""
    models = {what: _model(engine, what) for what in BUNDLED}
    drummer = models[HUMANIZE]
    offered = examples.grooves_and_rhythms()
    first, second = examples.defaults("drums", grooves.BARS)

    with gr.Row(elem_classes="stage"):
        with gr.Column(scale=7, min_width=320, elem_classes="card"):
            heading(1, "Rhythm", "Tap it, draw it, or bring it along")
            with gr.Row(elem_classes="brought"):
                example = gr.Dropdown(list(offered), value=first, label="Example", elem_id="groove-example", min_width=170)
                tempo = gr.Slider(
                    validate.MIN_TEMPO,
                    validate.MAX_TEMPO,
                    value=TEMPO,
                    step=1,
                    label="Tempo (bpm)",
                    elem_id="groove-tempo",
                    min_width=210,
                )
                upload = gr.UploadButton(
                    "Upload MIDI", file_types=[".mid", ".midi"], size="sm", min_width=110, elem_id="groove-upload"
                )
                sample = gr.Button(
                    "Surprise me", size="sm", min_width=110, interactive=bool(drummer), elem_id="groove-sample"
                )
            editor = GrooveEditor(
                groove_editor_value(offered[first], offered[second]), elem_id="groove-editor", label="Groove editor"
            )
            window = gr.Dropdown([], label="Part of the file", visible=False, elem_id="groove-window")
            report = gr.Markdown("", elem_classes="report", elem_id="groove-report")
            found = gr.State(None, time_to_live=SESSION_SECONDS)

        with gr.Column(scale=5, min_width=320):
            with gr.Column(elem_classes="card"):
                heading(2, "Feel", "What happens to the groove that you see")
                with gr.Tabs(elem_classes="shapes"):
                    with gr.Tab("Humanize"):
                        _say("Plays it with a drummer's dynamics and timing.", drummer, HUMANIZE)
                        keep_hits = gr.Checkbox(
                            True, label="Keep my hits (off: the model may add some and leave some out)", elem_id="keep-hits"
                        )
                        amount = gr.Slider(0, 100, value=100, step=5, label="Amount of feel (%)", elem_id="amount")
                        humanize = gr.Button("Humanize", variant="primary", interactive=bool(drummer), elem_id="humanize")
                    with gr.Tab("Full kit"):
                        _say("Hears only when something is hit, and plays a whole kit to it.", models[TAP], TAP)
                        answer = gr.Checkbox(bool(models[TAP]), label="Answer my taps at once", elem_id="answer-taps")
                        kit = gr.Button(
                            "Make it a full kit", variant="primary", interactive=bool(models[TAP]), elem_id="full-kit"
                        )
                    with gr.Tab("Hats"):
                        _say("Adds closed hi-hats in place of yours; the other drums stay.", models[HATS], HATS)
                        hats = gr.Button(
                            "Add hi-hats", variant="primary", interactive=bool(models[HATS]), elem_id="add-hats"
                        )
                    with gr.Tab("Morph"):
                        _say("From groove A to groove B in equal steps, one after another.", drummer, HUMANIZE)
                        steps = gr.Slider(
                            validate.MIN_STEPS, MAX_MORPH_STEPS, value=4, step=1, label="Steps (A and B included)",
                            elem_id="groove-steps",
                        )  # fmt: skip
                        morph = gr.Button(
                            "Morph A into B", variant="primary", interactive=bool(drummer), elem_id="groove-morph"
                        )
                with gr.Accordion("Chance", open=False):
                    chance = chance_controls("groove-")
            with gr.Column(elem_classes="card"):
                heading(3, "Beat", "Listen, take it along, or use it again")
                result = gr.State(None, time_to_live=SESSION_SECONDS)
                roll = PianoRoll(
                    slot="Nothing yet",
                    hint="Tap a rhythm, or press “Humanize”: the beat appears here and plays.",
                    elem_id="groove-result",
                    label="Beat",
                    desk="grooves",
                    loop=True,
                    editable=True,
                )
                gr.Markdown(
                    "Darker and taller: harder. Beside its step, which is dashed then: early or late.", elem_classes="quiet"
                )
                with gr.Row(elem_classes="again"):
                    use = [_use(name) for name in GROOVES]
                    menu = send_menu("groove-")
                at_once = gr.Checkbox(True, label="Play new beats at once", elem_id="play-at-once")

    seed = chance[1]
    made = [result, roll, seed, *use]
    how = [*chance, tempo, at_once]
    filled = [editor, found, window, example, report]

    def finish(clip: Pattern, seed: Any, tempo: float, at_once: bool, action: str, calls: list, sources: list[str]) -> tuple:
        """Values for `made`; for the last three see `origins.record`. What is silent is shown, and goes nowhere."""
        value, heard = result_value(clip, tempo, 0, play=bool(at_once)), not patterns.is_silent(clip)
        kept = origins.record(clip, (tempo, 0), action, calls, sources) if heard else None
        return (kept, value, seed, *[gr.Button(interactive=heard)] * len(use))

    def need(what: str) -> str:
        """The name of the model that puts `what` back."""
        if models[what] is None:
            raise validate.StudioError(_missing(what))
        return models[what].name

    @in_sentences
    def on_humanize(value, keep_hits, amount, temperature, seed, keep, tempo, at_once, progress=gr.Progress()):
        name, clip = need(HUMANIZE), _shown(value)
        told = {
            "keep_hits": bool(keep_hits),
            "amount": validate.amount(amount / 100),
            **actions.drawn(temperature, seed, keep),
        }
        felt = engine.humanize(name, clip, **told, report=progress)
        return finish(
            felt, told["seed"], tempo, at_once, f"Humanize {clip['name']}",
            [("/humanize", {"model": name, "clip": given(clip), **told})], origins.sources_of(clip),
        )  # fmt: skip

    def play_kit(value, temperature, seed, keep, tempo, at_once, report) -> tuple:
        name, clip, drawn = need(TAP), _shown(value), actions.drawn(temperature, seed, keep)
        beat = engine.full_kit(name, clip, **drawn, report=report)
        return finish(
            beat, drawn["seed"], tempo, at_once, f"Play {clip['name']} on a full kit",
            [("/full_kit", {"model": name, "clip": given(clip), **drawn})], origins.sources_of(clip),
        )  # fmt: skip

    @in_sentences
    def on_kit(value, temperature, seed, keep, tempo, at_once, progress=gr.Progress()):
        return play_kit(value, temperature, seed, keep, tempo, at_once, progress)

    @in_sentences
    def on_recorded(value, answer, temperature, seed, keep, tempo, at_once, event: gr.EventData):
        if not (answer and models[TAP] and (event._data or {}).get("rhythm")):
            return [gr.skip()] * len(made)
        return play_kit(value, temperature, seed, keep, tempo, at_once, _silent)

    @in_sentences
    def on_hats(value, temperature, seed, keep, tempo, at_once, progress=gr.Progress()):
        name, clip, drawn = need(HATS), _shown(value), actions.drawn(temperature, seed, keep)
        beat = engine.add_hats(name, clip, **drawn, report=progress)
        return finish(
            beat, drawn["seed"], tempo, at_once, f"Add hi-hats to {clip['name']}",
            [("/add_hats", {"model": name, "clip": given(clip), **drawn})], origins.sources_of(clip),
        )  # fmt: skip

    @in_sentences
    def on_morph(value, steps, temperature, seed, keep, tempo, at_once, progress=gr.Progress()):
        name, steps, drawn = need(HUMANIZE), validate.steps(steps), actions.drawn(temperature, seed, keep)
        start, end = (_groove(value, which) for which in GROOVES)
        piece = engine.interpolate(name, start, end, steps, **drawn, report=progress)
        arguments = {"model": name, "start": given(start), "end": given(end), "steps": steps, **drawn}
        return finish(
            piece, drawn["seed"], tempo, at_once, f"Morph {start['name']} into {end['name']}",
            [("/interpolate", arguments)], origins.sources_of(start, end),
        )  # fmt: skip

    @in_sentences
    def on_edited(edited, result, tempo, at_once):
        if not result:
            raise validate.StudioError("There is no beat yet.")
        sources = origins.sources_as_result(result)
        return finish(edited_clip(edited, result), gr.skip(), tempo, at_once, f"Edit {result['name']}", [], sources)

    @in_sentences
    def on_sound(clip, tempo):
        return result_value(clip, tempo, 0) if clip else gr.skip()

    model_run = {"show_progress_on": roll, **MODEL_QUEUE, **PRIVATE}
    humanize.click(on_humanize, [editor, keep_hits, amount, *how], made, **model_run)
    kit.click(on_kit, [editor, *how], made, **model_run)
    editor.recorded(on_recorded, [editor, answer, *how], made, **model_run)
    hats.click(on_hats, [editor, *how], made, **model_run)
    morph.click(on_morph, [editor, steps, *how], made, **model_run)
    roll.edited(on_edited, [roll, result, tempo, at_once], made, show_progress_on=roll, **RENDER_QUEUE, **PRIVATE)
    tempo.release(
        on_sound, [result, tempo], [roll], show_progress="minimal", trigger_mode="always_last", **RENDER_QUEUE, **PRIVATE
    )
    tempo.change(None, [tempo], None, js="(tempo) => { window.encore.desk('grooves').tempo = tempo; }")

    def fill(value: Any, found: list[Pattern], report: str, which: str | None = None, example: str | None = None) -> tuple:
        """Values for `filled`: the first of the clips becomes the groove shown, or A or B."""
        editor = _put(value, found[0], which)
        names = [(clip["name"], index) for index, clip in enumerate(found)]
        parts = gr.Dropdown(choices=names, value=0, visible=len(found) > 1)
        return (editor, {"clips": found, "which": editor["current"]}, parts, gr.Dropdown(value=example), report)

    @in_sentences
    def on_example(value, name):
        if name not in offered:
            raise validate.StudioError("There is no such example.")
        return fill(value, [offered[name]], "", example=name)

    @in_sentences
    def on_upload(value, path, progress=gr.Progress()):
        progress(0.2, "Reading the file")
        answer = grooves.read(path)
        return fill(value, answer["clips"], report_text(answer))

    @in_sentences
    def on_sample(value, temperature, seed, keep, progress=gr.Progress()):
        seed = actions.choose_seed(seed, keep)
        clip = engine.sample(need(HUMANIZE), validate.temperature(temperature), seed, progress)
        return (seed, *fill(value, [clip], ""))

    @in_sentences
    def on_window(value, found, index):
        if not found or index not in range(len(found["clips"])):
            return gr.skip()
        return _put(value, found["clips"][index], found["which"])

    example.input(on_example, [editor, example], filled, show_progress="hidden", **PRIVATE)
    upload.upload(on_upload, [editor, upload], filled, show_progress_on=editor, **RENDER_QUEUE, **PRIVATE)
    sample.click(on_sample, [editor, *chance], [seed, *filled], show_progress_on=editor, **MODEL_QUEUE, **PRIVATE)
    window.input(on_window, [editor, found, window], [editor], show_progress="hidden", **PRIVATE)

    def reuse(which: str):
        def on_reuse(value, clip):
            if not clip:
                raise validate.StudioError("There is no beat yet.")
            parts = origins.from_sources(patterns.split(clip, grooves.BARS), origins.sources_as_result(clip))
            return fill(value, parts, "", which)

        return in_sentences(on_reuse)

    for button, which in zip(use, GROOVES, strict=True):
        button.click(reuse(which), [editor, result], filled, show_progress="hidden", **PRIVATE)

    def reads(clip: Clip) -> str | None:
        return f"its drums, {grooves.BARS} bars at a time" if clip.kind == "midi" and clip.has_drums else None

    def take(clip: Clip, value: Any, result: Pattern | None, tempo_now: float) -> tuple:
        """Values for `filled`, the tempo and the roll: the drums of a clip as groove A, at its tempo."""
        answer = grooves.read(clip.data)
        report = f"From “{plain(clip.name)}”: {reads(clip)}. {report_text(answer)}"
        brought = fill(value, origins.from_clip(answer["clips"], clip), report, "a")
        new_tempo = validate.nearest_tempo(clip.tempo or tempo_now)
        shown = result_value(result, new_tempo, 0) if result and new_tempo != tempo_now else gr.skip()
        return (*brought, new_tempo, shown)

    def warm_up():
        """Loads what answers taps while the rhythm is still being tapped."""
        for name in {model.name for model in models.values() if model}:
            engine.load(name)

    return Desk(
        TITLE, result, lambda made, tempo: origins.to_clip(made, tempo, 0), [tempo],
        reads=reads, take=take, inputs=[editor, result, tempo], outputs=[*filled, tempo, roll], menu=menu,
        opened=in_sentences(warm_up),
    )  # fmt: skip


def _model(engine: Engine, what: str) -> ModelEntry | None:
    """The model of two bars that puts `what` back, the bundled one first."""
    able = [entry for entry in engine.entries.values() if what in entry.corruptions and entry.bars == grooves.BARS]
    return next((entry for entry in able if entry.name == BUNDLED[what]), able[0] if able else None)


def _missing(what: str) -> str:
    return f"This needs a model that is not installed here: {BUNDLED[what]}."


def _say(text: str, model: ModelEntry | None, what: str) -> None:
    gr.Markdown(text if model else _missing(what), elem_classes="quiet")


def _use(name: str) -> gr.Button:
    return gr.Button(f"Use as {name.upper()}", interactive=False, size="sm", min_width=80, elem_id=f"groove-as-{name}")


def _groove(value: Any, which: str) -> Pattern:
    """Groove A or B of the editor as a clip; the editor's value comes from the browser."""
    brought = value.get(which) if isinstance(value, dict) else None
    if not brought:
        raise validate.StudioError(f"Groove {which.upper()} is empty: tap, draw or upload one, or pick an example.")
    clip = patterns.check({**brought, "drums": True} if isinstance(brought, dict) else brought, f"Groove {which.upper()}")
    if clip["bars"] != grooves.BARS:
        raise validate.StudioError(f"Groove {which.upper()} has {clip['bars']} bars; grooves here have {grooves.BARS}.")
    return {**clip, "sources": origins.checked_sources(brought.get("sources"))}


def _shown(value: Any) -> Pattern:
    """The groove that is worked on."""
    return _groove(value, _which(value))


def _which(value: Any) -> str:
    current = value.get("current") if isinstance(value, dict) else None
    return current if current in GROOVES else GROOVES[0]


def _put(value: Any, clip: Pattern, which: str | None = None) -> dict[str, Any]:
    """The editor's value with the clip in place of the groove shown, or of A or B, which is shown then."""
    which = which or _which(value)
    others = {name: value.get(name) if isinstance(value, dict) else None for name in GROOVES}
    return {**others, which: groove_editor_value(clip, None)["a"], "current": which}

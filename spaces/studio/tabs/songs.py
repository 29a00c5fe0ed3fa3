"""The Songs tab: a whole song on the left, what to change of it in the middle, the song that came out on the right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import actions
import gradio as gr
import songs
import validate
from actions import MODEL_QUEUE, RENDER_QUEUE, in_sentences
from components.piano_roll import PianoRoll
from engine import ATTRIBUTE_LABELS, Engine

from hub_models import midi
from hub_models.clips import MIDI, Clip

from .parts import PRIVATE, SESSION_SECONDS, Desk, chance_controls, heading, plain, send_menu

if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI

TITLE = "Songs"
LETTERS = "AB"


def build(engine: Engine) -> Desk | None:
    """Adds the tab's controls and events to the surrounding `gr.Blocks`."""
    entries = list(engine.entries.values())
    if not entries:
        gr.Markdown(
            "No MusicVAE model is installed here. Train one with a script of `runs/`, or name a folder with `--models`."
        )
        return None
    first = entries[0]
    offered = songs.example_songs()

    with gr.Row(elem_classes="stage"):
        with gr.Column(scale=4, min_width=320, elem_classes="card"):
            heading(1, "Songs", "One to change; a second to go to")
            model = gr.Dropdown(
                [(entry.label, entry.name) for entry in entries], value=first.name, label="Model", elem_id="song-model"
            )
            slots = [_slot(letter, name, offered) for letter, name in zip(LETTERS, offered, strict=False)]
        with gr.Column(scale=4, min_width=320, elem_classes="card"):
            heading(2, "Change", "From the first bar to the last")
            with gr.Tabs(elem_classes="shapes"):
                with gr.Tab("Smooth"):
                    gr.Markdown("Song A changes more slowly: every window takes after its neighbours.", elem_classes="quiet")
                    width = gr.Slider(0, validate.MAX_WIDTH, value=4, step=0.5, label="Width (bars)", elem_id="width")
                    smooth = gr.Button("Smooth song A", variant="primary", elem_id="smooth")
                with gr.Tab("To B"):
                    gr.Markdown("Song A turns into song B as it goes on, at its own tempo and length.", elem_classes="quiet")
                    start = gr.Slider(0, 100, value=0, step=5, label="At the beginning (% of B)", elem_id="from-share")
                    end = gr.Slider(0, 100, value=100, step=5, label="At the end (% of B)", elem_id="to-share")
                    fit = gr.Radio(
                        [("B at its own pace", "loop"), ("B stretched to A", "stretch")],
                        value="loop", label="If their lengths differ",
                    )  # fmt: skip
                    morph = gr.Button("Turn A into B", variant="primary", elem_id="turn")
                with gr.Tab("Hold"):
                    none_to_hold = gr.Markdown(
                        "This model has no attribute vectors; melodies of two bars have them.",
                        visible=not first.attributes,
                        elem_classes="quiet",
                    )
                    with gr.Column(visible=bool(first.attributes)) as to_hold:
                        attribute = gr.Dropdown(
                            [(label, name) for name, label in ATTRIBUTE_LABELS.items()],
                            value="note_density", label="What stays the same all through", elem_id="attribute",
                        )  # fmt: skip
                        mean = gr.Checkbox(True, label="At its mean over the song")
                        value = gr.Slider(-validate.MAX_STRENGTH, validate.MAX_STRENGTH, value=0, step=0.1, label="Else at")
                        hold = gr.Button("Hold it in song A", variant="primary", elem_id="hold")
            with gr.Column(elem_classes="sound"):
                chance = chance_controls("song-")
        with gr.Column(scale=8, min_width=320, elem_classes=["card", "result"]):
            heading(3, "Song", "Listen, or take it along")
            roll = PianoRoll(
                slot="Nothing yet",
                hint="Press “Smooth song A”: the whole song comes back, with its tempo and its length.",
                elem_id="song-result",
                label="Song",
                desk="songs",
            )
            remarks = gr.Markdown("", elem_classes="report", elem_id="song-remarks")
            result = gr.State(None, time_to_live=SESSION_SECONDS)
            menu = send_menu("song-")

    seed = chance[1]
    made = [roll, remarks, seed, result]
    song_a, song_b = (slot[0] for slot in slots)

    def finish(made: songs.Made, progress: Any) -> tuple:
        """Values for `made`."""
        progress(0.92, "Rendering")
        written, seed = made.written, made.origin.seed
        value = songs.roll_value(written.midi, made.title, written.kept, songs.files(written.midi))
        lines = "\n".join(f"- {plain(remark)}" for remark in written.remarks[:8])
        value["detail"] += f", seed {seed}"
        return value, f"What the model did not read:\n{lines}" if lines else "", seed, made.clip()

    @in_sentences
    def on_smooth(model, song, width, temperature, seed, keep, progress=gr.Progress()):
        given, chance = _song(song, "A"), (validate.temperature(temperature), actions.choose_seed(seed, keep))
        return finish(songs.smoothed(engine, model, given, validate.width(width), *chance, progress), progress)

    @in_sentences
    def on_morph(model, song, other, start, end, fit, temperature, seed, keep, progress=gr.Progress()):
        given, to = _song(song, "A"), _song(other, "B")
        chance = validate.temperature(temperature), actions.choose_seed(seed, keep)
        path, fit = validate.path(start / 100, end / 100), validate.one_of("The fit", fit, songs.FITS)
        return finish(songs.turned(engine, model, given, to, path, fit, *chance, progress), progress)

    @in_sentences
    def on_hold(model, song, attribute, mean, value, temperature, seed, keep, progress=gr.Progress()):
        given, chance = _song(song, "A"), (validate.temperature(temperature), actions.choose_seed(seed, keep))
        value = None if mean else validate.strength(value)
        return finish(songs.with_held(engine, model, given, attribute, value, *chance, progress), progress)

    @in_sentences
    def on_model(name):
        entry = engine.entry(name)
        return gr.Markdown(visible=not entry.attributes), gr.Column(visible=bool(entry.attributes))

    run = {"show_progress_on": roll, **MODEL_QUEUE, **PRIVATE}
    smooth.click(on_smooth, [model, song_a, width, *chance], made, **run)
    morph.click(on_morph, [model, song_a, song_b, start, end, fit, *chance], made, **run)
    hold.click(on_hold, [model, song_a, attribute, mean, value, *chance], made, **run)
    model.input(on_model, [model], [none_to_hold, to_hold], show_progress="hidden", **PRIVATE)

    for letter, (song, shown, upload, example) in zip(LETTERS, slots, strict=True):
        connect_slot(letter, song, shown, upload, example, offered)

    def take(clip: Clip) -> tuple:
        """Values for song A."""
        return (*_fill("A", clip.name, clip.music(), clip.data, clip.id), gr.Dropdown(value=None))

    first_song = [slots[0][index] for index in (0, 1, 3)]
    return Desk(TITLE, result, lambda clip: clip, reads=reads, take=take, outputs=first_song, menu=menu)


def reads(clip: Clip) -> str | None:
    """What the tab does with a clip."""
    return "all of it as song A, at its own tempo" if clip.kind == MIDI else None


def connect_slot(
    letter: str,
    song: gr.State,
    shown: PianoRoll,
    upload: gr.UploadButton,
    example: gr.Dropdown,
    offered: dict[str, PrettyMIDI],
) -> None:
    """Lets a slot be filled by an upload or an example."""

    @in_sentences
    def on_upload(path):
        music = midi.load(path)
        if not any(instrument.notes for instrument in music.instruments):
            raise validate.StudioError("There are no notes in this file.")
        return (*_fill(letter, Path(path).stem, music, Path(path).read_bytes()), gr.Dropdown(value=None))

    @in_sentences
    def on_example(name):
        if name not in offered:
            raise validate.StudioError("There is no such example.")
        return _fill(letter, name, offered[name])

    upload.upload(on_upload, [upload], [song, shown, example], show_progress_on=shown, **RENDER_QUEUE, **PRIVATE)
    example.input(on_example, [example], [song, shown], show_progress_on=shown, **RENDER_QUEUE, **PRIVATE)


def _slot(letter: str, name: str, offered: dict[str, PrettyMIDI]) -> tuple:
    with gr.Column(elem_classes=["slot", f"slot-{letter.lower()}"]):
        held, value = _fill(letter, name, offered[name])
        song = gr.State(held, time_to_live=SESSION_SECONDS)
        shown = PianoRoll(
            value,
            slot=f"Song {letter}",
            hint="Upload or pick a song.",
            compact=True,
            elem_id=f"song-{letter.lower()}",
            label=f"Song {letter}",
            desk="songs",
        )
        upload = gr.UploadButton(
            "Upload MIDI", file_types=[".mid", ".midi"], size="sm", elem_id=f"song-upload-{letter.lower()}"
        )
        example = gr.Dropdown(
            list(offered), value=name, label=f"Example for {letter}", elem_id=f"song-example-{letter.lower()}"
        )
    return song, shown, upload, example


def _fill(
    letter: str, name: str, music: PrettyMIDI, content: bytes | None = None, clip: str | None = None
) -> tuple[songs.Held, dict[str, Any]]:
    """What a slot holds, and what its roll shows; `content` is the file that the music is from, if it is from one, and
    `clip` the id of the clip whose file it is."""
    held = songs.Held(name[:60], content or midi.to_bytes(music), clip)
    return held, songs.roll_value(music, f"{letter} · {held.name}")


def _song(song: songs.Held | None, letter: str) -> songs.Held:
    if not song:
        raise validate.StudioError(f"Song {letter} is empty: upload a MIDI file or pick an example.")
    return song

"""The part of the Jukebox tab that a song begins with: a sound that is uploaded, picked, or sent from another tab."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import sound as sounds
import validate
import vocoder_examples
from actions import RENDER_QUEUE, in_sentences
from components.sound_view import SoundView, sound_view_value, take
from jukebox_models import MAX_SECONDS
from jukeboxes import Jukeboxes
from sound import Sound

from .parts import PRIVATE, SESSION_SECONDS, as_list

KEPT_SECONDS = 3
MARK = "(kept) => { window.encoreSound?.views['jukebox-prompt']?.mark(0, kept); }"


@dataclass
class Beginning:
    """Its controls.

    Attributes:
        held: the sound, or None.
        kept: how many seconds of it are kept.
        outputs: that `filled` and `emptied` give values for.
    """

    held: gr.State
    source: SoundView
    example: gr.Dropdown
    upload: gr.UploadButton
    report: gr.Markdown
    kept: gr.Slider
    without: gr.Button

    @property
    def outputs(self) -> list[Any]:
        return [self.held, self.source, self.example, self.report, self.kept]

    def filled(self, sound: Sound, example: str | None = None, kept: float = KEPT_SECONDS) -> dict[Any, Any]:
        """Values for `outputs`: a sound has come."""
        longest = round(min(sound.seconds, MAX_SECONDS - 0.5), 1)
        return {
            self.held: sound,
            self.source: _source_value(sound),
            self.example: gr.Dropdown(value=example),
            self.report: as_list(sound.remarks),
            self.kept: gr.Slider(maximum=max(0.6, longest), value=min(kept, longest)),
        }

    def emptied(self) -> dict[Any, Any]:
        """Values for `outputs`: there is no sound."""
        return {self.held: None, self.source: None, self.example: gr.Dropdown(value=None), self.report: ""}

    def connect(self, jukeboxes: Jukeboxes, model: gr.Dropdown) -> None:
        """Adds the events."""

        @in_sentences
        def on_upload(path, name):
            return self.filled(sounds.read(path, Path(path).stem, jukeboxes.entry(name).sample_rate))

        @in_sentences
        def on_example(chosen, name):
            if chosen not in vocoder_examples.SOUNDS:
                raise validate.StudioError("There is no such example.")
            return self.filled(vocoder_examples.sound(chosen, jukeboxes.entry(name).sample_rate), chosen)

        brought = {"show_progress_on": self.source, **RENDER_QUEUE, **PRIVATE}
        self.upload.upload(on_upload, [self.upload, model], self.outputs, **brought)
        self.example.input(on_example, [self.example, model], self.outputs, **brought)
        self.without.click(lambda: self.emptied(), None, self.outputs, show_progress="hidden", **PRIVATE)
        gr.on([self.kept.change, self.source.change], None, [self.kept], None, js=MARK)


def build() -> Beginning:
    """Adds the controls to the surrounding `gr.Blocks`."""
    with gr.Column(elem_id="jukebox-begin"):
        gr.HTML(
            "<h2>Begin with a sound<small>If you like: the song goes on from it</small></h2>",
            elem_classes="heading", apply_default_css=False, js_on_load=None,
        )  # fmt: skip
        held = gr.State(None, time_to_live=SESSION_SECONDS)
        source = SoundView(
            slot="No sound: it begins by itself", hint="Upload or pick a sound, or send one from another tab.",
            compact=True, pictures=("wave",), view="jukebox-prompt", elem_id="jukebox-source", label="Beginning",
        )  # fmt: skip
        with gr.Row(elem_classes="brought"):
            example = gr.Dropdown(
                list(vocoder_examples.SOUNDS), value=None, label="Example sound", elem_id="jukebox-sound-example",
                min_width=180,
            )  # fmt: skip
            upload = gr.UploadButton(
                "Upload sound", file_types=[".wav", ".flac", ".ogg", ".mp3"], size="sm", min_width=120,
                elem_id="jukebox-upload",
            )  # fmt: skip
        report = gr.Markdown("", elem_classes="report", elem_id="jukebox-sound-report")
        with gr.Row(elem_classes="part"):
            kept = gr.Slider(
                0.5, MAX_SECONDS, value=KEPT_SECONDS, step=0.1, label="Seconds kept",
                elem_id="jukebox-kept", min_width=180,
            )  # fmt: skip
            without = gr.Button("No sound", size="sm", min_width=100, elem_id="jukebox-no-sound")
    return Beginning(held, source, example, upload, report, kept, without)


def _source_value(sound: Sound) -> dict[str, Any]:
    one = take("original", "Original", sound.seconds, wave=sounds.wave_picture(sound.samples()), wav=sound.wav())
    return sound_view_value([one], title=sound.name, detail=f"{sound.seconds:.1f} seconds, {sound.sample_rate} Hz")

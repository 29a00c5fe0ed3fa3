"""The vocoder for programs: sound in, a WAV file and figures out; with components that the page never shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns
import sound as sounds
import validate
from actions import LONG_QUEUE, in_sentences
from components import cache
from gradio.utils import get_upload_folder
from vocoder import MAX_SECONDS, Vocoders


def add_endpoint(vocoders: Vocoders) -> None:
    """Registers /vocode in the surrounding `gr.Blocks`."""

    def vocode(
        model: str,
        file: str,
        schedule: str,
        semitones: float,
        stretch: float,
        seed: int,
        begin: float,
        seconds: float | None,
        midi_seconds: float | None = None,
        progress=gr.Progress(),
    ) -> tuple[str, dict]:
        """Turns a sound into its mel spectrogram, changes that if wished, and makes sound of it again.

        Args:
            model: name of a model whose representation is "sound".
            file: a sound file (WAV, FLAC, OGG, MP3), at most 25 MB and 5 minutes, which is mixed down to mono; or a MIDI
                file, which is rendered, of more than 5 minutes the first.
            schedule: name of one of the model's, or a number of steps, "1" to "1000".
            semitones: that the pitch is moved by, -24 to 24.
            stretch: length afterwards over length before, 0.25 to 4.
            seed: 0 to 2147483647; the same seed gives the same sound.
            begin: where to begin in the file, in seconds.
            seconds: how much of the file to take; none: as much as is computed at once, which is 60 seconds of sound that
                comes out, and less from 10 steps on (600 divided by the steps).
            midi_seconds: of a MIDI file, how long it is where it ends in silence; none: to its last note.

        Returns:
            wav: a WAV file, mono, at the model's sample rate.
            figures: object with seconds, sample_rate, steps, schedule, semitones, stretch, seed, error_db (mean difference
                of its spectrogram from the one it was made of), computing_seconds, and remarks on the file.
        """
        if not file:
            raise validate.StudioError("There is no file; send a sound file.")
        entry, wish = vocoders.entry(model), vocoders.wish(model, schedule, semitones, stretch, seed)
        progress(0.02, "Reading the file")
        whole = sounds.bring(file, "sound", entry.sample_rate, validate.midi_seconds(midi_seconds))
        begin = validate.seconds("The begin", begin, whole.seconds)
        longest = wish.max_seconds / wish.stretch
        part = whole.part(begin, longest if seconds is None else validate.seconds("The seconds", seconds, MAX_SECONDS))
        mel, num_samples = vocoders.given(model, part, wish)
        progress(0.05, "Loading the model")
        vocoders.load(model)
        started = time.monotonic()
        for step in vocoders.vocode(model, mel, num_samples, wish):
            progress(0.1 + 0.85 * step.done / step.steps, f"Step {step.done} of {step.steps}")
        figures = {
            "seconds": round(num_samples / entry.sample_rate, 3),
            "sample_rate": entry.sample_rate,
            "steps": wish.steps,
            "schedule": wish.schedule,
            "semitones": wish.semitones,
            "stretch": wish.stretch,
            "seed": wish.seed,
            "error_db": round(vocoders.error_db(model, step.samples, mel), 3),
            "computing_seconds": round(time.monotonic() - started, 2),
            "remarks": list(whole.remarks),
        }
        return _cached(step.samples, entry.sample_rate, file), figures

    entries = list(vocoders.entries)
    with gr.Column(visible=False):
        inputs: list[Any] = [
            gr.Textbox(entries[0] if entries else "", label="Model"),
            gr.File(label="Sound file", type="filepath"),
            gr.Textbox("6", label="Schedule"),
            gr.Number(0, label="Semitones"),
            gr.Number(1, label="Stretch"),
            gr.Number(0, label="Seed"),
            gr.Number(0, label="Begin"),
            gr.Number(None, label="Seconds"),
            gr.Number(None, label="Seconds of MIDI"),
        ]
        outputs = [gr.File(label="WAV"), gr.JSON(label="Figures")]
    trigger = gr.Button(visible=False)
    trigger.click(in_sentences(vocode), inputs, outputs, api_name="vocode", **LONG_QUEUE)


def _cached(samples: Any, sample_rate: int, file: str) -> str:
    from hub_models import audio

    name = patterns.file_name({"name": f"{Path(file).stem} vocoded"})
    return cache.save(audio.to_wav_bytes(samples, sample_rate), f"{name}.wav", get_upload_folder())

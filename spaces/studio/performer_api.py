"""The performer for programs: MIDI files in, a piano piece out; with components that the page never shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import pattern as patterns
import performer_reading
import performer_takes as takes
import songs
import validate
from actions import MODEL_QUEUE, in_sentences
from components import cache
from gradio.utils import get_upload_folder
from performer import Performers, Wish
from performer_reading import Reading

if TYPE_CHECKING:
    import pretty_midi


def add_endpoint(performers: Performers) -> None:
    """Registers /perform in the surrounding `gr.Blocks`."""

    def perform(
        model: str,
        style: str | None,
        second_style: str | None,
        share: float,
        melody: str | None,
        melody_source: str,
        opening: str | None,
        opening_seconds: float | None,
        seconds: float,
        temperature: float,
        top_p: float,
        seed: int,
        progress=gr.Progress(),
    ) -> tuple[str, str | None, dict]:
        """Plays the piano: a melody in the style of a performance, or what the model can do with less.

        Args:
            model: name of a model whose representation is "performance"; "": the one that takes just what is given.
            style: a MIDI file to take the style from; none for a model without styles.
            second_style: another one, to mix with it.
            share: of the second style in the mixture, 0 to 1.
            melody: a MIDI file to take the melody from; none: a model with melodies makes up its own.
            melody_source: how the melody is found in it: "infer" (the most probable one), "skyline" (the highest notes) or
                "as_is" (all notes, which must be one voice).
            opening: a MIDI file to go on from.
            opening_seconds: where in it the model takes over; none: at its end.
            seconds: how much is to be played, 2 to 300, not counting the opening.
            temperature: above 0, at most 5; lower is safer, higher is wilder.
            top_p: above 0, at most 1: events are drawn from the likeliest that make up this share of probability.
            seed: 0 to 2147483647; the same seed gives the same piece.

        Returns:
            midi: the piece, for piano; with its opening.
            wav: the same; none where it lasts longer than ten minutes.
            figures: object with model, title, seconds, opening_seconds, notes, events (that were added), computing_seconds,
                seed, and remarks: what was left out of the files, and how it ended.
        """
        entry = performers.entry(model) if model else performers.fitting(bool(style), bool(melody))
        share, name = validate.share(share), entry.name
        seconds, temperature = validate.performance_seconds(seconds), validate.temperature(temperature)
        top_p, seed = validate.top_p(top_p), validate.seed(seed)
        progress(0.02, "Reading the files")
        files = [file for file in (style, second_style if share else None) if file]
        if melody and not entry.takes_melody:
            raise validate.StudioError(f"The model {name} takes no melody.")
        styles = tuple(performers.read_style(name, _music(file), Path(file).stem) for file in files)
        if second_style and not style:
            raise validate.StudioError("There is a second style, but no first one.")
        tune = performers.read_melody(name, _music(melody), Path(melody).stem, melody_source) if melody else None
        start = _opening(opening, opening_seconds)
        wish = Wish(
            styles=styles,
            share=share,
            melody=takes.timeline(performers, name, start.ids if start else (), None, tune, seconds),
            opening=start.ids if start else (),
            seconds=seconds,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
        begin = start.seconds if start else 0.0
        for step in performers.perform(name, wish, report=progress):
            progress(
                0.1 + 0.8 * min(1.0, (step.seconds - begin) / seconds),
                f"{step.seconds - begin:.0f} of {seconds:.0f} seconds",
            )
        if not step.notes:
            raise validate.StudioError("The model ended the piece before its first note; try another seed.")
        progress(0.92, "Rendering")
        title = takes.title(wish, tune, start)
        midi_file, wav_file = _cached(songs.files(performers.music(name, step.ids)), patterns.file_name({"name": title}))
        brought = [reading for reading in (*styles, tune, start) if reading]
        figures = {
            "model": name,
            "title": title,
            "seconds": round(step.seconds, 2),
            "opening_seconds": round(begin, 2),
            "notes": len(step.notes),
            "events": step.made,
            "computing_seconds": round(step.elapsed, 2),
            "seed": seed,
            "remarks": [remark for reading in brought for remark in reading.remarks]
            + list(takes.remarks(step, wish, entry.context_length)),
        }
        return midi_file, wav_file, figures

    entries = list(performers.entries)
    with gr.Column(visible=False):
        inputs: list[Any] = [
            gr.Textbox(entries[0] if entries else "", label="Model"),
            gr.File(label="Style", type="filepath"),
            gr.File(label="Second style", type="filepath"),
            gr.Number(0, label="Share of the second style"),
            gr.File(label="Melody", type="filepath"),
            gr.Textbox("infer", label="Melody source"),
            gr.File(label="Opening", type="filepath"),
            gr.Number(None, label="Seconds of the opening"),
            gr.Number(30, label="Seconds"),
            gr.Number(1, label="Temperature"),
            gr.Number(1, label="Top-p"),
            gr.Number(0, label="Seed"),
        ]
        outputs = [gr.File(label="MIDI"), gr.File(label="WAV"), gr.JSON(label="Figures")]
    trigger = gr.Button(visible=False)
    trigger.click(in_sentences(perform), inputs, outputs, api_name="perform", **MODEL_QUEUE)


def _music(file: str) -> pretty_midi.PrettyMIDI:
    from hub_models import midi

    return midi.load(file)


def _opening(file: str | None, seconds: float | None) -> Reading | None:
    if not file:
        return None
    reading = performer_reading.read_opening(_music(file), Path(file).stem)
    if seconds is None:
        return reading
    seconds = validate.seconds("The seconds of the opening", seconds, max(1.0, reading.seconds))
    return performer_reading.cut(reading, seconds)


def _cached(made: dict[str, bytes], name: str) -> tuple[str, str | None]:
    folder = get_upload_folder()
    wav = cache.save(made["wav"], f"{name}.wav", folder) if "wav" in made else None
    return cache.save(made["midi"], f"{name}.mid", folder), wav

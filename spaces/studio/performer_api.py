"""The performer for programs: MIDI files in, a piano piece out; with components that the page never shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns
import performer_reading
import songs
import validate
from actions import MODEL_QUEUE, in_sentences
from components import cache
from gradio.utils import get_upload_folder
from performer import MAX_EVENTS, Performers
from performer_pieces import Asked, Brought, begin, piece_figures, piece_of, played
from performer_reading import Reading
from sources import Source


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
        before: dict | None = None,
        events: int | None = None,
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
            before: the figures of an earlier call, whose piece is gone on with event by event; in place of an opening.
            events: how many events are added at most, 1 to 12000; none: until it is long enough.

        Returns:
            midi: the piece, for piano; with its opening.
            wav: the same; none where it lasts longer than ten minutes.
            figures: object with model, title, seconds, opening_seconds, notes, events (that were added), computing_seconds,
                seed, remarks (what was left out of the files, and how it ended), and piece: all that it takes to go on.
        """
        entry = performers.entry(model) if model else performers.fitting(bool(style), bool(melody))
        share, name = validate.share(share), entry.name
        events = None if events is None else validate.event_count(events, MAX_EVENTS)
        if melody and not entry.takes_melody:
            raise validate.StudioError(f"The model {name} takes no melody.")
        if second_style and not style:
            raise validate.StudioError("There is a second style, but no first one.")
        if before is not None and opening:
            raise validate.StudioError("There is an opening and a piece to go on from; give one of them.")
        progress(0.02, "Reading the files")
        files = [file for file in (style, second_style if share else None) if file]
        styles = tuple(brought(file, lambda *given: performers.read_style(name, *given)) for file in files)
        tune = brought(melody, lambda *given: performers.read_melody(name, *given, melody_source))
        start = brought(opening, performer_reading.read_opening)
        if start and opening_seconds is not None:
            longest = max(1.0, start.reading.seconds)
            opening_seconds = validate.seconds("The seconds of the opening", opening_seconds, longest)
        asked = Asked(
            name, styles, share, tune, start, opening_seconds, piece_of(before) if before is not None else None,
            seconds, temperature, top_p, seed, events,
        )  # fmt: skip
        wish, take = begin(performers, asked)
        already = take.seconds
        for step in performers.perform(name, wish, report=progress):
            progress(
                0.1 + 0.8 * min(1.0, (step.seconds - already) / wish.seconds),
                f"{step.seconds - already:.0f} of {wish.seconds:.0f} seconds",
            )
        if not step.notes:
            raise validate.StudioError("The model ended the piece before its first note; try another seed.")
        progress(0.92, "Rendering")
        take = played(performers, asked, wish, take, step)
        made = songs.files(performers.music(name, take.ids))
        readings = [given.reading for given in (*styles, tune, start) if given]
        figures = {
            "model": name,
            "title": take.title,
            "seconds": round(take.seconds, 2),
            "opening_seconds": round(already, 2),
            "notes": len(take.notes),
            "events": step.made,
            "computing_seconds": round(step.elapsed, 2),
            "seed": wish.seed,
            "remarks": [remark for reading in readings for remark in reading.remarks] + list(take.remarks),
            "piece": piece_figures(take),
        }
        return (*_cached(made, patterns.file_name({"name": take.title})), figures)

    def brought(file: str | None, read: Callable[..., Reading]) -> Brought | None:
        """A file as `read(music, name)` reads it."""
        from hub_models import midi

        if not file:
            return None
        name = Path(file).stem
        return Brought(Source(name), read(midi.load(file), name))

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
            gr.JSON(None, label="Figures of the piece before"),
            gr.Number(None, label="Events"),
        ]
        outputs = [gr.File(label="MIDI"), gr.File(label="WAV"), gr.JSON(label="Figures")]
    trigger = gr.Button(visible=False)
    trigger.click(in_sentences(perform), inputs, outputs, api_name="perform", **MODEL_QUEUE)


def _cached(made: dict[str, bytes], name: str) -> tuple[str, str | None]:
    folder = get_upload_folder()
    wav = cache.save(made["wav"], f"{name}.wav", folder) if "wav" in made else None
    return cache.save(made["midi"], f"{name}.mid", folder), wav

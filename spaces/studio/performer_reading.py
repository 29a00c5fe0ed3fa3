"""Performances, melodies and openings that people bring, as the models read them; and events as notes again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import validate
from validate import StudioError

if TYPE_CHECKING:
    import pretty_midi

    from hub_models.transformer_autoencoder.performance_notes import PerformanceNotes
    from hub_models.transformer_autoencoder.processing_transformer_autoencoder import TransformerAutoencoderProcessor

# How a melody is found in what is brought: the most probable one, the highest notes, or all notes as they are.
MELODY_SOURCES = ("infer", "skyline", "as_is")
SHORTEST_STYLE_SECONDS = 1.0
# What is kept of a file that a style is taken from, or that a piece goes on from.
MAX_STYLE_SECONDS, MAX_OPENING_SECONDS = 1200.0, 300.0
MAX_MELODY_STEPS = 3000  # of 100 ms
MAX_NAME = 60

Note = tuple[int, float, float, int]


@dataclass(frozen=True)
class Reading:
    """What was brought, as the models read it.

    Attributes:
        ids: performance events, or those of a melody; without a start.
        notes: what they say as (pitch, start, end, velocity), times in seconds, in order of start.
        remarks: sentences on what was left out or changed.
    """

    name: str
    ids: tuple[int, ...]
    notes: tuple[Note, ...]
    seconds: float
    remarks: tuple[str, ...] = ()


def read_style(music: pretty_midi.PrettyMIDI, name: str) -> Reading:
    """A performance whose style is wanted.

    Raises:
        ValueError: there is nothing to take a style from; says why.
    """
    reading = _read_performance(music, name, MAX_STYLE_SECONDS)
    if reading.seconds < SHORTEST_STYLE_SECONDS:
        raise StudioError(
            f"{reading.name} lasts {reading.seconds:.2f} seconds; at least {SHORTEST_STYLE_SECONDS:g} second is needed to "
            "hear a style in it."
        )
    return reading


def read_opening(music: pretty_midi.PrettyMIDI, name: str) -> Reading:
    """A piece to go on from, as long as it is.

    Raises:
        ValueError: there is nothing to go on from; says why.
    """
    return _read_performance(music, name, MAX_OPENING_SECONDS)


def read_melody(
    processor: TransformerAutoencoderProcessor, music: pretty_midi.PrettyMIDI, name: str, source: str = "infer"
) -> Reading:
    """The melody of a piece, or of its first five minutes.

    Raises:
        ValueError: there is none in it; says why.
    """
    from hub_models.transformer_autoencoder.melody_events import MELODY_STEPS_PER_SECOND, decode_melody
    from hub_models.transformer_autoencoder.performance_reading import NoNotesError

    validate.one_of("The melody source", source, MELODY_SOURCES)
    try:
        features = processor(melody=music, melody_source=source, max_melody_length=MAX_MELODY_STEPS, return_tensors=None)
    except NoNotesError as error:
        raise _nothing(name, error) from error
    ids = tuple(features["melody_ids"][0])
    notes = rows(decode_melody(ids))
    if not notes:
        raise StudioError(f"{name[:MAX_NAME]} cannot be used: no melody was found in it.")
    remarks = tuple(report.removeprefix("Melody: ") for report in features.reports)
    return Reading(name[:MAX_NAME], ids, notes, len(ids) / MELODY_STEPS_PER_SECOND, remarks)


def _read_performance(music: pretty_midi.PrettyMIDI, name: str, longest: float) -> Reading:
    from hub_models.transformer_autoencoder.performance_events import encode_performance
    from hub_models.transformer_autoencoder.performance_notes import apply_sustain
    from hub_models.transformer_autoencoder.performance_reading import NoNotesError, playable, read_music

    remarks: list[str] = []
    try:
        notes = playable(read_music(music), remarks.append)
    except NoNotesError as error:
        raise _nothing(name, error) from error
    ids = tuple(encode_performance(apply_sustain(notes)).tolist())
    kept = beginning(ids, longest)
    if len(kept) < len(ids):
        remarks.append(f"Only its first {longest / 60:.0f} minutes are read.")
    return _reading(name, kept, tuple(remarks))


def _nothing(name: str, error: ValueError) -> StudioError:
    return StudioError(f"{name[:MAX_NAME]} cannot be used. {str(error).removeprefix('Melody: ')}")


def _reading(name: str, ids: tuple[int, ...], remarks: tuple[str, ...]) -> Reading:
    return Reading(name[:MAX_NAME], ids, notes_of(ids), seconds_of(ids), remarks)


def cut(reading: Reading, seconds: float) -> Reading:
    """The beginning of a performance: its events of the first `seconds`.

    Raises:
        StudioError: there are no notes in it.
    """
    part = _reading(reading.name, beginning(reading.ids, seconds), reading.remarks)
    if not part.notes:
        raise StudioError(f"There are no notes in the first {seconds:g} seconds of {reading.name}.")
    return part


def with_remark(reading: Reading, text: str) -> Reading:
    """The same with one remark more."""
    return replace(reading, remarks=(*reading.remarks, text))


def notes_of(ids: tuple[int, ...]) -> tuple[Note, ...]:
    """What events say as (pitch, start, end, velocity), in order of start."""
    from hub_models.transformer_autoencoder.performance_events import decode_performance

    return rows(decode_performance(ids))


def rows(notes: PerformanceNotes) -> tuple[Note, ...]:
    """Notes as (pitch, start, end, velocity), in order of start."""
    columns = (notes.pitch, notes.start, notes.end, notes.velocity)
    return tuple(sorted(zip(*(column.tolist() for column in columns), strict=True), key=lambda row: (row[1], row[0])))


def seconds_of(ids: tuple[int, ...]) -> float:
    """How long events last."""
    import numpy as np

    from hub_models.transformer_autoencoder.performance_events import duration_seconds

    return duration_seconds(np.array(ids, dtype=np.int64))


def beginning(ids: tuple[int, ...], seconds: float) -> tuple[int, ...]:
    """The events that lie before `seconds`."""
    from hub_models.transformer_autoencoder.performance_events import (
        STEPS_PER_SECOND,
        TIME_SHIFT_OFFSET,
        VELOCITY_OFFSET,
    )

    step, last = 0, round(seconds * STEPS_PER_SECOND)
    for index, event in enumerate(ids):
        if TIME_SHIFT_OFFSET <= event < VELOCITY_OFFSET:
            step += event - TIME_SHIFT_OFFSET + 1
            if step > last:
                return ids[:index]
    return ids

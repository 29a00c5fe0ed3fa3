"""Monophonic melodies as event sequences, extracted as the original does (section 8 of its converters)."""

from collections.abc import Iterator

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .note_sequence import NoteSequence
from .pieces import SPLITTERS, Piece, Rejection
from .representation import Extraction, Line, Representation, drop_repeats, full_lengths, rejections_by_instrument

NO_EVENT, NOTE_OFF, FIRST_NOTE_ON = 0, 1, 2
MAX_ORIGINAL_BARS = 100


class MelodyRepresentation(Representation):
    """One event per step: 0 none, 1 note off, 2 and up a note on of `min_pitch` and up.

    Args:
        min_pitch, max_pitch (`int`): range of MIDI pitches.
        original_programs (`int`): how many General MIDI programs, from 0, mode "original" reads; 128: all.
    """

    name = "melody"
    music = "melody"
    output_type = "categorical"
    transposition = 5
    melodic = (0,)

    def __init__(self, num_bars: int, steps_per_quarter: int, min_pitch: int, max_pitch: int, original_programs: int):
        super().__init__(num_bars, steps_per_quarter)
        self.min_pitch = min_pitch
        self.max_pitch = max_pitch
        self.original_programs = original_programs
        self.num_events = max_pitch - min_pitch + 1 + FIRST_NOTE_ON
        self.input_size = self.num_events
        self.output_sizes = [self.num_events]

    def extract(self, notes: NoteSequence, mode: str) -> Extraction:
        read, rejections = self.read_notes(notes, mode)
        notes = notes.select(read)
        pieces, refused = SPLITTERS[mode](notes, self.steps_per_quarter, self.steps_per_bar)
        rejections += refused
        stretches = []
        for piece in pieces:
            for instrument, step, events in self.extract_melodies(piece, mode):
                stretches.append((instrument, piece.start_quarter + step / self.steps_per_quarter, events))
        examples, origins, too_short = self.cut_windows(notes, stretches, mode)
        within = pieces if mode == "original" else None
        examples, origins = drop_repeats(clear_leading_note_offs(examples), origins, within)
        return Extraction(examples, origins, rejections + too_short)

    def extract_melodies(self, piece: Piece, mode: str) -> Iterator[tuple[int, int, np.ndarray]]:
        """See [`extract_melodies`]."""
        max_bars = MAX_ORIGINAL_BARS if mode == "original" else None
        return extract_melodies(piece, self.steps_per_bar, self.min_pitch, max_bars)

    def read_notes(self, notes: NoteSequence, mode: str) -> tuple[np.ndarray, list[Rejection]]:
        """Bool mask (N,) of the notes that can be part of a melody, and by instrument those that cannot."""
        rejections = rejections_by_instrument(notes, notes.is_drum, "a drum track; this model reads melodies")
        keep = ~notes.is_drum
        outside = keep & ((notes.pitch < self.min_pitch) | (notes.pitch > self.max_pitch))
        rejections += rejections_by_instrument(
            notes, outside, f"notes outside MIDI pitches {self.min_pitch}-{self.max_pitch} were left out"
        )
        keep &= ~outside & (notes.velocity > 0)
        if mode == "original":
            other = keep & (notes.program >= self.original_programs)
            rejections += rejections_by_instrument(
                notes, other, f"mode 'original' reads General MIDI programs 0-{self.original_programs - 1} as melodies"
            )
            keep &= ~other
        return keep, rejections

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        labels = self.as_integers(examples)
        self.check_sequences(labels)
        input_values = torch.nn.functional.one_hot(labels, self.num_events).float()
        return {"input_values": input_values, "labels": labels, "lengths": full_lengths(labels)}

    def lines(self, piece: Piece, num_steps: int, chosen: np.ndarray) -> Iterator[Line]:
        notes = piece.notes
        read = chosen & ~notes.is_drum & (notes.velocity > 0)
        read &= (notes.pitch >= self.min_pitch) & (notes.pitch <= self.max_pitch)
        for instrument in np.unique(notes.instrument[read]).tolist():
            own = read & (notes.instrument == instrument)
            start, end, pitch = highest_notes(piece.start_step[own], piece.end_step[own], notes.pitch[own])
            yield Line(((instrument,),), own, melody_events(start, end, pitch - self.min_pitch, num_steps))

    def transpose(self, examples: np.ndarray, semitones: np.ndarray) -> np.ndarray:
        return transpose_melodies(examples, semitones, self.num_events - FIRST_NOTE_ON)

    def check_sequences(self, sequences: Tensor):
        self.check_shape(sequences)
        self.check_integers(sequences, self.num_events)

    def instruments(
        self, sequence: np.ndarray, seconds_per_step: float, program: int, velocity: int
    ) -> list[pretty_midi.Instrument]:
        return [melody_instrument(sequence, seconds_per_step, self.min_pitch, program, velocity, "Melody")]


def extract_melodies(
    piece: Piece, steps_per_bar: int, min_pitch: int, max_bars: int | None
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Melodies of every instrument of a piece, in the order of instruments.

    Of notes that start together the highest is kept, and a new note cuts the sounding one. A rest of a bar or more ends a
    melody. A melody starts at a bar line, and is filled up to one.

    Yields:
        (instrument, first step of the melody in the piece, events (T,) uint8); T is a multiple of `steps_per_bar`.
    """
    for instrument in np.unique(piece.notes.instrument):
        mask = piece.notes.instrument == instrument
        start, end, pitch = highest_notes(piece.start_step[mask], piece.end_step[mask], piece.notes.pitch[mask])
        breaks = np.flatnonzero(start[1:] - end[:-1] >= steps_per_bar) + 1
        for part in np.split(np.arange(len(start)), breaks):
            first_step = start[part[0]] - start[part[0]] % steps_per_bar
            num_steps = max(-(-(end[part[-1]] - first_step) // steps_per_bar), 1) * steps_per_bar
            events = melody_events(start[part] - first_step, end[part] - first_step, pitch[part] - min_pitch, int(num_steps))
            if max_bars is not None:
                events = events[: max_bars * steps_per_bar]
            yield int(instrument), int(first_step), events


def highest_notes(start: np.ndarray, end: np.ndarray, pitch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of notes (N,) in steps, the highest of those that start together, by start: (start, end, pitch)."""
    order = np.lexsort((-pitch, start))
    start, end, pitch = start[order], end[order], pitch[order]
    highest = np.concatenate([[True], start[1:] != start[:-1]])[: len(start)]
    return start[highest], end[highest], pitch[highest]


def melody_events(start: np.ndarray, end: np.ndarray, note: np.ndarray, num_steps: int) -> np.ndarray:
    """Notes with increasing starts (M,) as events (num_steps,) uint8; a new note cuts the sounding one.

    Args:
        start, end: steps; what lies beyond `num_steps` is cut off.
        note: pitches, counted from the lowest.
    """
    events = np.zeros(num_steps + 1, dtype=np.uint8)
    sounding_until = np.minimum(end, np.append(start[1:], num_steps))
    events[np.minimum(sounding_until, num_steps)] = NOTE_OFF
    inside = start < num_steps
    events[start[inside]] = note[inside] + FIRST_NOTE_ON
    return events[:-1]


def clear_leading_note_offs(windows: np.ndarray) -> np.ndarray:
    """Windows (N, T) without the note offs that come before their first note on: nothing sounds yet."""
    started = np.logical_or.accumulate(windows >= FIRST_NOTE_ON, axis=1)
    return np.where(~started & (windows == NOTE_OFF), NO_EVENT, windows)


def melody_notes(events: np.ndarray, min_pitch: int) -> list[tuple[int, int, int]]:
    """Events (T,) to notes (pitch, start step, end step): each lasts until the next event or the end."""
    steps = np.flatnonzero(events != NO_EVENT)
    ends = np.append(steps, len(events))[1:]
    return [
        (int(events[start]) - FIRST_NOTE_ON + min_pitch, int(start), int(end))
        for start, end in zip(steps, ends, strict=True)
        if events[start] >= FIRST_NOTE_ON
    ]


def melody_instrument(
    events: np.ndarray, seconds_per_step: float, min_pitch: int, program: int, velocity: int, name: str
) -> pretty_midi.Instrument:
    """Events (T,) as an instrument."""
    instrument = pretty_midi.Instrument(program, name=name)
    instrument.notes = [
        pretty_midi.Note(velocity, pitch, start * seconds_per_step, end * seconds_per_step)
        for pitch, start, end in melody_notes(events, min_pitch)
    ]
    return instrument


def transpose_melodies(melodies: np.ndarray, semitones: np.ndarray, num_pitches: int = 88) -> np.ndarray:
    """Melodies moved up or down; notes that leave the range are dropped, as if they had never been played.

    A melody that would lose all its notes stays as it is. Where a dropped note had cut another, that one now ends there.

    Args:
        melodies: events, shape (N, T), int64.
        semitones: shift of each melody, shape (N,).
        num_pitches: number of pitches; the last event is `num_pitches + 1`.
    """
    moved = move_notes(melodies, semitones, num_pitches)
    lost = ~(moved >= FIRST_NOTE_ON).any(axis=1)
    moved[lost] = melodies[lost]
    return moved


def move_notes(melodies: np.ndarray, semitones: np.ndarray, num_pitches: int) -> np.ndarray:
    """As [`transpose_melodies`], but a melody may lose all its notes."""
    is_note = melodies >= FIRST_NOTE_ON
    moved = np.where(is_note, melodies + semitones[:, None], melodies)
    dropped = is_note & ((moved < FIRST_NOTE_ON) | (moved > num_pitches + 1))
    moved[dropped] = NOTE_OFF
    # A note off is kept only while a note sounds, that is if the event before it is a note on.
    steps = np.arange(melodies.shape[1])
    latest = np.maximum.accumulate(np.where(moved != NO_EVENT, steps, -1), axis=1)
    before = np.concatenate([np.full((len(melodies), 1), -1), latest[:, :-1]], axis=1)
    follows_note = (before >= 0) & (np.take_along_axis(moved, np.maximum(before, 0), axis=1) >= FIRST_NOTE_ON)
    moved[(moved == NOTE_OFF) & ~follows_note] = NO_EVENT
    return moved

"""Drum tracks as sequences of hits, extracted as the original does: one number per combination, or one bit per class."""

from collections.abc import Iterator

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .note_sequence import NoteSequence
from .pieces import SPLITTERS, Piece, Rejection
from .representation import Extraction, Line, Representation, drop_repeats, full_lengths, rejections_by_instrument

MAX_ORIGINAL_BARS = 100
MAX_COMBINATION_CLASSES = 16  # the model has 2 ** classes outputs
MAX_ROLL_CLASSES = 64


class DrumsRepresentation(Representation):
    """One number per step: the combination of drum classes that are hit, with bit c set for class c.

    Args:
        drum_classes (`list[list[int]]`): MIDI pitches of each class, the one to write first.
    """

    name = "drums"
    music = "drums"
    max_classes = MAX_COMBINATION_CLASSES

    def __init__(self, num_bars: int, steps_per_quarter: int, drum_classes: list[list[int]]):
        if not 1 <= len(drum_classes) <= self.max_classes:
            raise ValueError(
                f"drum_classes of representation {self.name!r} must be 1 to {self.max_classes} lists of MIDI pitches, "
                f"got {len(drum_classes)}."
            )
        super().__init__(num_bars, steps_per_quarter)
        self.drum_classes = drum_classes
        self.num_classes = len(drum_classes)
        self.output_pitches = [pitches[0] for pitches in drum_classes]
        self.input_size = self.num_classes + 1
        self.output_sizes = [2**self.num_classes]

    def extract(self, notes: NoteSequence, mode: str) -> Extraction:
        pitch_to_class = class_of_pitch(self.drum_classes)
        notes, rejections = select_drums(notes, pitch_to_class)
        pieces, refused = SPLITTERS[mode](notes, self.steps_per_quarter, self.steps_per_bar)
        max_bars = MAX_ORIGINAL_BARS if mode == "original" else None
        stretches = [
            (-1, piece.start_quarter + step / self.steps_per_quarter, hits.astype(self.example_dtype))
            for piece in pieces
            for step, hits in extract_drums(piece, self.steps_per_bar, pitch_to_class, max_bars)
        ]
        examples, origins, too_short = self.cut_windows(notes, stretches, mode)
        examples, origins = drop_repeats(examples, origins, pieces if mode == "original" else None)
        return Extraction(examples, origins, rejections + refused + too_short)

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        labels = self.as_integers(examples)
        self.check_sequences(labels)
        input_values = hit_inputs(combination_bits(labels, self.num_classes))
        return {"input_values": input_values, "labels": labels, "lengths": full_lengths(labels)}

    def lines(self, piece: Piece, num_steps: int, chosen: np.ndarray) -> Iterator[Line]:
        drum_class = class_of_pitch(self.drum_classes)[piece.notes.pitch]
        read = chosen & piece.notes.is_drum & (drum_class >= 0)
        if read.any():
            instruments = tuple(np.unique(piece.notes.instrument[read]).tolist())
            hits = hit_combinations(piece.start_step[read], drum_class[read], num_steps)
            yield Line((instruments,), read, hits.astype(self.example_dtype))

    def check_sequences(self, sequences: Tensor):
        self.check_shape(sequences)
        self.check_integers(sequences, 2**self.num_classes)

    def instruments(
        self, sequence: np.ndarray, seconds_per_step: float, program: int, velocity: int
    ) -> list[pretty_midi.Instrument]:
        return [drum_instrument(self.hits(sequence), seconds_per_step, self.output_pitches, velocity)]

    def hits(self, sequence: np.ndarray) -> np.ndarray:
        """One sequence as hits (T, D), bool."""
        return combination_bits(torch.as_tensor(sequence), self.num_classes).numpy().astype(bool)


class DrumRollRepresentation(DrumsRepresentation):
    """One bit per step and drum class. Examples are sets of bits (T,), sequences the bits themselves (T, D)."""

    name = "drum_roll"
    example_dtype = np.dtype(np.uint64)
    output_type = "nade"
    max_classes = MAX_ROLL_CLASSES

    def __init__(self, num_bars: int, steps_per_quarter: int, drum_classes: list[list[int]]):
        super().__init__(num_bars, steps_per_quarter, drum_classes)
        self.sequence_shape = (self.num_classes,)
        self.output_sizes = [self.num_classes]

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        examples = np.asarray(examples)
        if examples.ndim == 2:
            bits = examples.astype(np.uint64)[..., None] >> np.arange(self.num_classes, dtype=np.uint64)
            examples = bits & np.uint64(1)
        labels = self.as_integers(examples)
        self.check_sequences(labels)
        return {"input_values": hit_inputs(labels), "labels": labels, "lengths": full_lengths(labels)}

    def check_sequences(self, sequences: Tensor):
        self.check_shape(sequences)
        self.check_integers(sequences, 2)

    def hits(self, sequence: np.ndarray) -> np.ndarray:
        return np.asarray(sequence).astype(bool)


def class_of_pitch(classes: list[tuple[int, ...]] | list[list[int]]) -> np.ndarray:
    """Table (128,) from MIDI pitch to drum class; -1 for pitches of no class."""
    table = np.full(128, -1, dtype=np.int64)
    for index, pitches in enumerate(classes):
        table[list(pitches)] = index
    return table


def select_drums(notes: NoteSequence, pitch_to_class: np.ndarray) -> tuple[NoteSequence, list[Rejection]]:
    """The drum notes that have a class, and by instrument what has none."""
    rejections = rejections_by_instrument(notes, ~notes.is_drum, "not a drum track; this model reads drums")
    unknown = notes.is_drum & (pitch_to_class[notes.pitch] < 0)
    for index in np.unique(notes.instrument[unknown]):
        pitches = np.unique(notes.pitch[unknown & (notes.instrument == index)]).tolist()
        which = ", ".join(map(str, pitches[:8])) + (f" and {len(pitches) - 8} more" if len(pitches) > 8 else "")
        rejections.append(
            Rejection(f"drum pitches of no class were left out ({which})", repr(notes.instrument_names[index]))
        )
    return notes.select(notes.is_drum & ~unknown), rejections


def extract_drums(
    piece: Piece, steps_per_bar: int, pitch_to_class: np.ndarray, max_bars: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Drum tracks of a piece, all drum instruments together.

    A gap of a bar or more between hits ends a track; a track starts at a bar line and is filled up to one.

    Yields:
        (first step of the track in the piece, hit combinations (T,) uint64 with bit c set for class c).
    """
    if not len(piece.notes):
        return
    first, last = int(piece.start_step.min()), int(piece.start_step.max())
    first -= first % steps_per_bar
    num_steps = (last - first) // steps_per_bar * steps_per_bar + steps_per_bar
    combinations = hit_combinations(piece.start_step - first, pitch_to_class[piece.notes.pitch], num_steps)
    steps = np.flatnonzero(combinations)
    breaks = np.flatnonzero(steps[1:] - steps[:-1] - 1 >= steps_per_bar) + 1
    for part in np.split(steps, breaks):
        if not len(part):
            continue
        start = part[0] - part[0] % steps_per_bar
        end = part[-1] - part[-1] % steps_per_bar + steps_per_bar
        if max_bars is not None:
            end = min(end, start + max_bars * steps_per_bar)
        yield first + int(start), combinations[start:end]


def hit_combinations(step: np.ndarray, drum_class: np.ndarray, num_steps: int) -> np.ndarray:
    """Hits (N,) as combinations (num_steps,) uint64 with bit c set for class c. Hits of class -1 and those beyond the end
    are left out."""
    combinations = np.zeros(num_steps, dtype=np.uint64)
    known = (drum_class >= 0) & (step < num_steps)
    np.bitwise_or.at(combinations, step[known], np.uint64(1) << drum_class[known].astype(np.uint64))
    return combinations


def combination_bits(combinations: Tensor, num_classes: int) -> Tensor:
    """Combinations (...) as bits (..., num_classes) int64."""
    return combinations.unsqueeze(-1) >> torch.arange(num_classes) & 1


def hit_inputs(bits: Tensor) -> Tensor:
    """Bits (..., D) as model inputs (..., D + 1) float32: a last one says that nothing is hit."""
    return torch.cat([bits, (bits.sum(dim=-1, keepdim=True) == 0).long()], dim=-1).float()


def drum_instrument(
    hits: np.ndarray, seconds_per_step: float, output_pitches: list[int], velocity: int
) -> pretty_midi.Instrument:
    """Hits (T, D) as a drum kit whose notes last one step, by step and class."""
    instrument = pretty_midi.Instrument(0, is_drum=True, name="Drums")
    instrument.notes = [
        pretty_midi.Note(velocity, output_pitches[index], step * seconds_per_step, (step + 1) * seconds_per_step)
        for step, index in np.argwhere(hits).tolist()
    ]
    return instrument

"""What every way of writing music as a grid of steps has in common, and what each has to say about itself.

A representation belongs to one [`MusicVAEProcessor`], which picks it by name and leaves the music to it:

    notes --extract--> examples --features--> input_values, labels, lengths, controls
    sequence --instruments--> pretty_midi instruments

*Examples* are compact and are what training caches; *sequences* are what the model gives and `labels` hold. A
representation may have both look the same.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .chords import as_chords, chord_controls, chord_progression, chord_texts
from .note_sequence import NoteSequence
from .pieces import Piece, Rejection, bars_text

BEATS_PER_BAR = 4


class Origin(NamedTuple):
    """Where in a file an example comes from.

    Args:
        instruments (`tuple[int, ...]`): numbers of its instruments in the file, from 0; -1 for all drum tracks together.
        start_quarter (`float`): its first step, in quarter notes from the start of the file.
    """

    instruments: tuple[int, ...]
    start_quarter: float


@dataclass
class Extraction:
    """What was found in a file.

    Args:
        examples (`ndarray` of shape (N, *example_shape)): windows, none twice in mode "musical".
        origins (list of N [`Origin`]).
        rejections (list of [`Rejection`]): what could not be used, and why.
        reductions (list of [`Rejection`]): what was left out of examples that are there all the same.
    """

    examples: np.ndarray
    origins: list[Origin]
    rejections: list[Rejection]
    reductions: list[Rejection] = field(default_factory=list)


class Line(NamedTuple):
    """What is read of a whole song as one grid of steps.

    Args:
        instruments (tuple of tuples of `int`): for each instrument that [`Representation.instruments`] writes, the numbers
            of those in the file that it is read from.
        read (`ndarray` of shape (N,), bool): the notes that are read.
        steps (`ndarray` of shape (S, *step_shape)): the song.
    """

    instruments: tuple[tuple[int, ...], ...]
    read: np.ndarray
    steps: np.ndarray


class Representation:
    """Base of all representations. A subclass sets the attributes below (as attributes or properties) and writes
    [`extract`], [`features`], [`lines`], [`check_sequences`] and [`instruments`].

    Args:
        num_bars (`int`): bars of 4/4 in a window.
        steps_per_quarter (`int`): steps in a quarter note.

    Attributes:
        name (`str`): what the processor calls it, such as `"melody"`.
        music (`str`): what a person calls it: "drums", "melody"; used in messages ("2 bars of drums in 4/4").
        step_shape (`tuple[int, ...]`): shape of one step of an example: () for a number, (3,) for a trio.
        example_dtype (`np.dtype`): of examples.
        sequence_shape (`tuple[int, ...]`): shape of one step of a sequence, as the model decodes it.
        output_type (`str`): the model's: "categorical", "multi_categorical", "nade" or "groove".
        output_sizes (`list[int]`): width of each output per step; their sum is the model's `output_size`.
        input_size (`int`): width of a step of `input_values`.
        control_size (`int`): width of a step of `controls`; 0: it has none.
        melodic (`tuple[int, ...]`): which numbers of a step are melody events; number i belongs to the i-th instrument of
            [`instruments`].
        transposition (`int`): training shifts examples by up to so many semitones unless it is told otherwise; 0: this
            music has no pitches to shift.
        random_features (`bool`): whether [`features`] draws from its `rng`.
        default_velocity (`int`): of written notes that have none of their own.
        max_windows (`int`, *optional*): how many windows of a file are made into features unless a call says otherwise.
    """

    name: str
    music: str
    step_shape: tuple[int, ...] = ()
    example_dtype: np.dtype = np.dtype(np.uint16)
    sequence_shape: tuple[int, ...] = ()
    output_type: str = "categorical"
    output_sizes: list[int]
    input_size: int
    control_size: int = 0
    melodic: tuple[int, ...] = ()
    transposition: int = 0
    random_features: bool = False
    default_velocity: int = 80
    max_windows: int | None = None

    def __init__(self, num_bars: int, steps_per_quarter: int):
        self.num_bars = num_bars
        self.steps_per_quarter = steps_per_quarter

    @property
    def steps_per_bar(self) -> int:
        return BEATS_PER_BAR * self.steps_per_quarter

    @property
    def window_steps(self) -> int:
        """Steps T of a window."""
        return self.num_bars * self.steps_per_bar

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example, (T, *step_shape)."""
        return (self.window_steps, *self.step_shape)

    @property
    def wanted(self) -> str:
        """What a file must hold, for messages."""
        return f"{self.num_bars} bars of {self.music} in 4/4"

    def extract(self, notes: NoteSequence, mode: str) -> Extraction:
        """Every window of a piece of music. `mode` is "original" or "musical"; numpy only, no Python loop over steps."""
        raise NotImplementedError

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        """Examples (N, *example_shape), or sequences (N, T, *sequence_shape), as the model's inputs: `input_values`
        (N, T, input_size) float32, `labels` (N, T, *sequence_shape), `lengths` (N,) int64, and `controls`
        (N, T, control_size) float32 where `control_size` is not 0. `rng` decides what is random, if anything is.

        Raises:
            ValueError: for what is neither, or holds events that do not exist.
        """
        raise NotImplementedError

    def lines(self, piece: Piece, num_steps: int, chosen: np.ndarray) -> Iterator[Line]:
        """A whole song on one grid as one or several grids of `num_steps` steps: one [`Line`] for each instrument, or for
        each group of them, that is read by itself. Only notes where `chosen` (N,) is true are read."""
        raise NotImplementedError

    def transpose(self, examples: np.ndarray, semitones: np.ndarray) -> np.ndarray:
        """Examples (N, *example_shape), int64, each moved by its number of `semitones` (N,); notes that leave the range are
        dropped. Drums stay as they are. For representations whose `transposition` is not 0."""
        raise NotImplementedError

    def check_sequences(self, sequences: Tensor):
        """Raises ValueError where `sequences` are not (N, T, *sequence_shape) with values that this representation has; the
        message starts with "Sequences"."""
        raise NotImplementedError

    def instruments(
        self, sequence: np.ndarray, seconds_per_step: float, program: int, velocity: int
    ) -> list[pretty_midi.Instrument]:
        """One sequence (T, *sequence_shape), any T, as instruments with notes in seconds. `program` is the General MIDI
        instrument of a melody; `velocity` that of every note that has none of its own."""
        raise NotImplementedError

    def chord_texts(
        self, chords: "str | np.ndarray | Tensor", sequence: np.ndarray, seconds_per_step: float, mode: str
    ) -> list[pretty_midi.Text]:
        """Chords above a `sequence` as text events: see [`as_chords`] for what they can be."""
        return chord_texts(as_chords(chords, len(sequence), self.steps_per_bar), seconds_per_step, mode)

    def progression_controls(self, progression: str) -> Tensor:
        """A chord progression as `controls` (T, 49) of a window."""
        return chord_controls(chord_progression(progression, self.window_steps, self.steps_per_bar))

    # What subclasses share.

    def no_examples(self) -> np.ndarray:
        """An empty array of examples."""
        return np.zeros((0, *self.example_shape), dtype=self.example_dtype)

    def check_shape(self, sequences: Tensor):
        """Raises ValueError where `sequences` are not of the shape (N, T, *sequence_shape), with N and T at least 1."""
        steps = "".join(f", {size}" for size in self.sequence_shape)
        if sequences.ndim != 2 + len(self.sequence_shape) or sequences.shape[2:] != self.sequence_shape:
            raise ValueError(
                f"Sequences of {self.music} must have the shape (batch, steps{steps}), got {tuple(sequences.shape)}."
            )
        if sequences.numel() == 0:
            raise ValueError(f"Sequences must hold at least one step, got the shape {tuple(sequences.shape)}.")

    def as_integers(self, sequences: np.ndarray | Tensor) -> Tensor:
        """`sequences` as int64; raises ValueError for other numbers than integers."""
        sequences = np.asarray(sequences)
        if sequences.dtype.kind not in "iub":
            raise ValueError(f"Sequences of {self.music} hold integers, got {sequences.dtype}.")
        return torch.as_tensor(sequences.astype(np.int64))

    def check_integers(self, sequences: Tensor, limit: int, what: str | None = None):
        """Raises ValueError where `sequences` of `what` hold anything but integers from 0 to below `limit`."""
        if sequences.is_floating_point() or sequences.min() < 0 or sequences.max() >= limit:
            raise ValueError(f"Sequences of {what or self.music} hold integers 0..{limit - 1}.")

    def too_short(self, notes: NoteSequence, instrument: int, start_quarter: float, num_steps: int) -> Rejection:
        """The rejection of a stretch of music that is shorter than a window."""
        where = bars_text(notes, start_quarter, start_quarter + num_steps / self.steps_per_quarter)
        name = "drums" if instrument < 0 else repr(notes.instrument_names[instrument])
        return Rejection(f"shorter than {self.num_bars} bars between rests", f"{name}, {where}")

    def cut_windows(
        self, notes: NoteSequence, stretches: Sequence[tuple[int, float, np.ndarray]], mode: str
    ) -> tuple[np.ndarray, list[Origin], list[Rejection]]:
        """Every window of each stretch of music, one from each bar line.

        In mode "musical", where no stretch is as long as a window, those that there are get filled up with zeros.

        Args:
            notes: the file, to name what is too short.
            stretches: (instrument, first quarter note, steps (T, *step_shape)); T a multiple of the bar.

        Returns:
            Windows (N, *example_shape) (repeats included), their origins, and the stretches that are too short.
        """
        too_short = [stretch for stretch in stretches if len(stretch[2]) < self.window_steps]
        long_enough = [stretch for stretch in stretches if len(stretch[2]) >= self.window_steps]
        if mode == "musical" and too_short and not long_enough:
            # A clip that holds nothing longer than this: fill it up with rests rather than send the person away.
            fill = [(0, 0)] * len(self.step_shape)
            long_enough = [
                (instrument, quarter, np.pad(steps, [(0, self.window_steps - len(steps)), *fill]))
                for instrument, quarter, steps in too_short
            ]
            too_short = []
        rejections = [self.too_short(notes, number, quarter, len(steps)) for number, quarter, steps in too_short]
        windows, origins = [self.no_examples()], []
        for instrument, quarter, steps in long_enough:
            views = np.lib.stride_tricks.sliding_window_view(steps, self.window_steps, axis=0)[:: self.steps_per_bar]
            windows.append(np.moveaxis(views, -1, 1))
            origins += [Origin((instrument,), quarter + BEATS_PER_BAR * bar) for bar in range(len(views))]
        return np.concatenate(windows).astype(self.example_dtype, copy=False), origins, rejections


def rejections_by_instrument(notes: NoteSequence, mask: np.ndarray, reason: str) -> list[Rejection]:
    """One rejection for each instrument that has a note where the bool mask (N,) is true."""
    return [Rejection(reason, repr(notes.instrument_names[index])) for index in np.unique(notes.instrument[mask])]


def drop_repeats(
    examples: np.ndarray, origins: list[Origin], pieces: Sequence[Piece] | None = None
) -> tuple[np.ndarray, list[Origin]]:
    """The first of equal examples (N, ...), in their order, and their origins. With `pieces`, as the original does, examples
    of different pieces count as different."""
    if len(examples) < 2:
        return examples, origins
    items = as_items(examples)
    if pieces is not None:
        _, items = np.unique(items, return_inverse=True)
        starts = [piece.start_quarter for piece in pieces]
        piece_of = np.searchsorted(starts, [origin.start_quarter for origin in origins], side="right")
        items = items.ravel() * (len(pieces) + 1) + piece_of
    first = np.sort(np.unique(items, return_index=True)[1])
    return examples[first], [origins[index] for index in first]


def as_items(examples: np.ndarray) -> np.ndarray:
    """Examples (N, ...) as single comparable items (N,)."""
    rows = np.ascontiguousarray(examples).reshape(len(examples), math.prod(examples.shape[1:]))
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def full_lengths(sequences: Tensor) -> Tensor:
    """`lengths` (N,) of sequences (N, T, ...) that are as long as they look."""
    return torch.full(sequences.shape[:1], sequences.shape[1], dtype=torch.int64)

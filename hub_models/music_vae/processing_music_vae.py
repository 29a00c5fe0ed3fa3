# Copyright 2026 The Encore Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""MIDI to MusicVAE tensors and back."""

import math
from dataclasses import dataclass

import numpy as np
import pretty_midi
import symusic
import torch
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin

from .drums import DRUM_CLASSES, class_of_pitch, drum_notes, extract_drums
from .melodies import FIRST_NOTE_ON, MAX_ORIGINAL_BARS, clear_leading_note_offs, extract_melodies, melody_notes
from .note_sequence import MidiSource, NoteSequence, read_midi
from .pieces import SPLITTERS, Rejection, bars_text

REPRESENTATIONS = ("melody", "drums")
MODES = tuple(SPLITTERS)
BEATS_PER_BAR = 4
# "original" reads General MIDI pianos, mallets, organs and guitars as melodies, and nothing else.
ORIGINAL_MELODY_PROGRAMS = range(32)


class NoExamplesError(ValueError):
    """A file from which nothing can be encoded. `rejections` says why, piece by piece, and so does the message."""

    def __init__(self, message: str, rejections: list[Rejection]):
        super().__init__(message)
        self.rejections = rejections


@dataclass(frozen=True)
class Window:
    """Where in the file a row of the batch comes from.

    Args:
        instrument (`str`): name of the instrument, or the General MIDI name of its program.
        instrument_index (`int`): its number in the file, from 0; -1 where all drum tracks were joined.
        program (`int`): General MIDI program, 0..127.
        start_bar (`int`): first bar, counted from 1 as a score does.
        start_seconds, end_seconds (`float`): times in the file.
        num_bars (`int`): length in bars of 4/4.
    """

    instrument: str
    instrument_index: int
    program: int
    start_bar: int
    start_seconds: float
    end_seconds: float
    num_bars: int


@dataclass
class Extraction:
    """What [`MusicVAEProcessor.extract`] found: `ids` (N, T) integers, their `origins` as (instrument index, first quarter
    note), and what was rejected."""

    ids: np.ndarray
    origins: list[tuple[int, float]]
    rejections: list[Rejection]


class MusicVAEFeatures(BatchFeature):
    """Model inputs with `windows` (one [`Window`] per row) and `rejections` (one [`Rejection`] per piece left out)."""

    windows: list[Window]
    rejections: list[Rejection]


class MusicVAEProcessor(ProcessorMixin):
    r"""
    Converts MIDI to the tensors of [`MusicVAEModel`] and sequences back to MIDI.

    Two ways of reading a file:

    - `mode="musical"` quantises along the tempo map, takes bar lines from the file, reads 2/4 bars in pairs and 2/2 as
      4/4, and takes melodies from every pitched instrument. For people's files and for training.
    - `mode="original"` does exactly what the original's converters do: cut at every change of tempo or metre, quantise in
      seconds, drop whatever is not in 4/4 and melodies of programs over 31. For results that compare with the original.

    Args:
        representation (`str`, defaults to `"melody"`): `"melody"` (note on, note off and no event, by pitch) or `"drums"`
            (combinations of drum classes).
        num_bars (`int`, defaults to 2): bars of 4/4 in a window.
        steps_per_quarter (`int`, defaults to 4): steps in a quarter note.
        min_pitch, max_pitch (`int`, default to 21 and 108): range of a melody.
        drum_classes (`list[list[int]]`, *optional*): MIDI pitches of each drum class, the one to write first; the nine
            classes of the original by default.
        mode (`str`, defaults to `"musical"`): how files are read unless a call says otherwise.
    """

    def __init__(
        self,
        representation: str = "melody",
        num_bars: int = 2,
        steps_per_quarter: int = 4,
        min_pitch: int = 21,
        max_pitch: int = 108,
        drum_classes: list[list[int]] | None = None,
        mode: str = "musical",
        **kwargs,
    ):
        if representation not in REPRESENTATIONS:
            raise ValueError(f"representation must be one of {REPRESENTATIONS}, got {representation!r}.")
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, got {mode!r}.")
        if num_bars not in range(1, 65) or steps_per_quarter not in range(1, 97):
            raise ValueError(
                f"num_bars must be 1..64 and steps_per_quarter 1..96, got {num_bars!r} and {steps_per_quarter!r}."
            )
        if min_pitch not in range(128) or max_pitch not in range(min_pitch, 128):
            raise ValueError(f"min_pitch and max_pitch must be MIDI pitches in order, got {min_pitch!r} and {max_pitch!r}.")
        drum_classes = [list(pitches) for pitches in (drum_classes or DRUM_CLASSES.values())]
        if len(drum_classes) > 16 or not all(p in range(128) for pitches in drum_classes for p in pitches):
            raise ValueError("drum_classes must be at most 16 lists of MIDI pitches 0..127.")
        self.representation = representation
        self.num_bars = num_bars
        self.steps_per_quarter = steps_per_quarter
        self.min_pitch = min_pitch
        self.max_pitch = max_pitch
        self.drum_classes = drum_classes
        self.mode = mode
        super().__init__(**kwargs)

    @property
    def steps_per_bar(self) -> int:
        return BEATS_PER_BAR * self.steps_per_quarter

    @property
    def window_steps(self) -> int:
        """Steps T of a window."""
        return self.num_bars * self.steps_per_bar

    @property
    def num_labels(self) -> int:
        """Number of different events per step; the model's `output_size`."""
        if self.representation == "drums":
            return 2 ** len(self.drum_classes)
        return self.max_pitch - self.min_pitch + 1 + FIRST_NOTE_ON

    @property
    def input_size(self) -> int:
        """Width of a step of `input_values`; the model's `input_size`."""
        return len(self.drum_classes) + 1 if self.representation == "drums" else self.num_labels

    def __call__(
        self,
        source: "MidiSource | NoteSequence | symusic.Score",
        mode: str | None = None,
        max_windows: int | None = None,
        return_tensors: str | None = "pt",
    ) -> MusicVAEFeatures:
        """Finds every window of `num_bars` bars (they overlap; repeats are dropped) and converts it.

        Args:
            source: a path, bytes, `PrettyMIDI`, [`NoteSequence`] or symusic score.
            mode (`str`, *optional*): `"musical"` or `"original"`.
            max_windows (`int`, *optional*): keep the first this many.

        Returns:
            [`MusicVAEFeatures`] with `input_values` (N, T, input_size) float32, `labels` (N, T) int64 and `lengths` (N,).

        Raises:
            MidiError: for a file that cannot be read or is too large.
            NoExamplesError: where the file holds nothing that this model can encode; the message says why.
        """
        notes = self._note_sequence(source)
        found = self.extract(notes, mode)
        if not len(found.ids):
            raise NoExamplesError(self._explain(notes, found.rejections), found.rejections)
        ids = found.ids[:max_windows]
        features = MusicVAEFeatures(self.features(ids))
        if return_tensors != "pt":
            features = MusicVAEFeatures({name: value.numpy() for name, value in features.items()}, return_tensors)
        features.windows = [self._window(notes, *origin) for origin in found.origins[:max_windows]]
        features.rejections = found.rejections
        return features

    def extract(self, notes: NoteSequence, mode: str | None = None) -> Extraction:
        """The windows of a piece of music as integers; numpy only, fast enough for collections of files."""
        mode = self.mode if mode is None else mode
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, got {mode!r}.")
        notes, rejections = self._select_notes(notes, mode)
        pieces, refused = SPLITTERS[mode](notes, self.steps_per_quarter, self.steps_per_bar)
        rejections += refused
        max_bars = MAX_ORIGINAL_BARS if mode == "original" else None
        pitch_to_class = class_of_pitch(self.drum_classes)
        stretches = []  # (instrument index, first quarter note, events (T,))
        for piece in pieces:
            if self.representation == "drums":
                found = ((-1, *track) for track in extract_drums(piece, self.steps_per_bar, pitch_to_class, max_bars))
            else:
                found = extract_melodies(piece, self.steps_per_bar, self.min_pitch, max_bars)
            stretches += [
                (index, piece.start_quarter + step / self.steps_per_quarter, events) for index, step, events in found
            ]
        too_short = [stretch for stretch in stretches if len(stretch[2]) < self.window_steps]
        long_enough = [stretch for stretch in stretches if len(stretch[2]) >= self.window_steps]
        if mode == "musical" and too_short and not long_enough:
            # A clip that holds nothing longer than this: fill it up with rests rather than send the person away.
            long_enough = [(i, q, np.pad(events, (0, self.window_steps - len(events)))) for i, q, events in too_short]
            too_short = []
        rejections += [self._too_short(notes, *stretch) for stretch in too_short]
        windows, origins = [], []
        for index, quarter, events in long_enough:
            views = np.lib.stride_tricks.sliding_window_view(events, self.window_steps)[:: self.steps_per_bar]
            windows.append(views)
            origins += [(index, quarter + BEATS_PER_BAR * bar) for bar in range(len(views))]
        if not windows:
            return Extraction(np.zeros((0, self.window_steps), dtype=np.uint16), [], rejections)
        ids = np.concatenate(windows)
        if self.representation == "melody":
            ids = clear_leading_note_offs(ids)
        first = np.sort(np.unique(ids, axis=0, return_index=True)[1])
        return Extraction(ids[first], [origins[index] for index in first], rejections)

    def features(self, ids: np.ndarray | Tensor) -> dict[str, Tensor]:
        """Sequences (N, T) of integers to the model's inputs: `input_values`, `labels` and `lengths`."""
        labels = torch.as_tensor(np.asarray(ids).astype(np.int64))
        self._check_sequences(labels)
        if self.representation == "drums":
            bits = labels.unsqueeze(-1) >> torch.arange(len(self.drum_classes)) & 1
            # A last bit says that nothing is hit.
            input_values = torch.cat([bits, (labels == 0).unsqueeze(-1).long()], dim=-1).float()
        else:
            input_values = torch.nn.functional.one_hot(labels, self.num_labels).float()
        lengths = torch.full(labels.shape[:1], labels.shape[1], dtype=torch.int64)
        return {"input_values": input_values, "labels": labels, "lengths": lengths}

    def decode(
        self,
        sequences: Tensor | np.ndarray | list,
        tempo: float = 120.0,
        program: int = 0,
        velocity: int = 80,
    ) -> pretty_midi.PrettyMIDI | list[pretty_midi.PrettyMIDI]:
        """Sequences to MIDI: (T,) to one `PrettyMIDI`, (N, T) to a list of N. Any T.

        Args:
            tempo (`float`, defaults to 120.0): quarter notes per minute, 10..1000.
            program (`int`, defaults to 0): General MIDI instrument of a melody, 0..127; drums are drums.
            velocity (`int`, defaults to 80): of every note, 1..127.

        Raises:
            ValueError: for an argument out of range, or events that this representation does not have.
        """
        if not (math.isfinite(tempo) and 10 <= tempo <= 1000):
            raise ValueError(f"tempo must be between 10 and 1000 quarter notes per minute, got {tempo}.")
        if program not in range(128) or velocity not in range(1, 128):
            raise ValueError(f"program must be 0..127 and velocity 1..127, got {program} and {velocity}.")
        sequences = torch.as_tensor(np.asarray(sequences.cpu() if isinstance(sequences, Tensor) else sequences))
        if sequences.ndim == 2:
            return [self.decode(sequence, tempo, program, velocity) for sequence in sequences]
        self._check_sequences(sequences.unsqueeze(0))
        seconds_per_step = 60.0 / tempo / self.steps_per_quarter
        is_drum = self.representation == "drums"
        if is_drum:
            notes = drum_notes(sequences.numpy(), [pitches[0] for pitches in self.drum_classes])
        else:
            notes = melody_notes(sequences.numpy(), self.min_pitch)
        midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
        midi.time_signature_changes.append(pretty_midi.TimeSignature(BEATS_PER_BAR, 4, 0.0))
        instrument = pretty_midi.Instrument(0 if is_drum else program, is_drum, "Drums" if is_drum else "Melody")
        instrument.notes = [
            pretty_midi.Note(velocity, pitch, start * seconds_per_step, end * seconds_per_step)
            for pitch, start, end in notes
        ]
        midi.instruments.append(instrument)
        return midi

    @staticmethod
    def _note_sequence(source) -> NoteSequence:
        if isinstance(source, NoteSequence):
            return source
        if isinstance(source, pretty_midi.PrettyMIDI):
            return NoteSequence.from_pretty_midi(source)
        if hasattr(source, "ticks_per_quarter") and hasattr(source, "tracks"):
            return NoteSequence.from_symusic(source)
        return NoteSequence.from_pretty_midi(read_midi(source))

    def _select_notes(self, notes: NoteSequence, mode: str) -> tuple[NoteSequence, list[Rejection]]:
        """The notes that this representation reads, and by instrument what it does not."""
        rejections = []
        if self.representation == "drums":
            unread = ~notes.is_drum
            reason = "not a drum track; this model reads drums"
        else:
            unread = notes.is_drum
            reason = "a drum track; this model reads melodies"
        keep = ~unread
        rejections += self._by_instrument(notes, unread, reason)
        if self.representation == "melody":
            outside = keep & ((notes.pitch < self.min_pitch) | (notes.pitch > self.max_pitch))
            rejections += self._by_instrument(
                notes, outside, f"notes outside MIDI pitches {self.min_pitch}-{self.max_pitch} were left out"
            )
            keep &= ~outside
            if mode == "original":
                other = keep & ~np.isin(notes.program, ORIGINAL_MELODY_PROGRAMS)
                rejections += self._by_instrument(
                    notes, other, "mode 'original' reads General MIDI programs 0-31 as melodies"
                )
                keep &= ~other
        else:
            unknown = keep & (class_of_pitch(self.drum_classes)[notes.pitch] < 0)
            rejections += self._by_instrument(notes, unknown, "drum pitches of no class were left out")
            keep &= ~unknown
        return notes.select(keep), rejections

    @staticmethod
    def _by_instrument(notes: NoteSequence, mask: np.ndarray, reason: str) -> list[Rejection]:
        return [Rejection(reason, repr(notes.instrument_names[index])) for index in np.unique(notes.instrument[mask])]

    def _too_short(self, notes: NoteSequence, index: int, quarter: float, events: np.ndarray) -> Rejection:
        where = bars_text(notes, quarter, quarter + len(events) / self.steps_per_quarter)
        name = "drums" if index < 0 else repr(notes.instrument_names[index])
        return Rejection(f"shorter than {self.num_bars} bars between rests", f"{name}, {where}")

    def _window(self, notes: NoteSequence, index: int, quarter: float) -> Window:
        start, end = notes.seconds_at(quarter), notes.seconds_at(quarter + self.num_bars * BEATS_PER_BAR)
        name, program = "Drums", 0
        if index >= 0:
            name, program = notes.instrument_names[index], int(notes.program[notes.instrument == index][0])
        return Window(name, index, program, notes.bar_at(quarter), start, end, self.num_bars)

    def _explain(self, notes: NoteSequence, rejections: list[Rejection]) -> str:
        wanted = f"{self.num_bars} bars of {'drums' if self.representation == 'drums' else 'melody'} in 4/4"
        if not len(notes):
            return f"The file holds no notes; this model needs {wanted}."
        shown = "; ".join(str(rejection) for rejection in rejections[:8])
        more = f"; and {len(rejections) - 8} more" if len(rejections) > 8 else ""
        return f"The file holds nothing to encode; this model needs {wanted}. {shown}{more}."

    def _check_sequences(self, sequences: Tensor):
        if sequences.ndim != 2 or sequences.numel() == 0:
            raise ValueError(f"Sequences must have the shape (batch, steps), got {tuple(sequences.shape)}.")
        if sequences.is_floating_point() or sequences.min() < 0 or sequences.max() >= self.num_labels:
            raise ValueError(f"Sequences of {self.representation} hold integers 0..{self.num_labels - 1}.")


__all__ = ["Extraction", "MusicVAEFeatures", "MusicVAEProcessor", "NoExamplesError", "Window"]

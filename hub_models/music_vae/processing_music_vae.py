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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pretty_midi
import symusic
import torch
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin

from .chord_annotations import with_chords
from .chord_melodies import ChordMelodyRepresentation
from .chord_multitracks import ChordMultitrackRepresentation
from .drum_maps import DRUM_MAPS
from .drums import DrumRollRepresentation, DrumsRepresentation
from .grooves import GroovesRepresentation
from .melodies import MelodyRepresentation
from .multitrack_events import MAX_TRACK_TOKENS, MAX_TRACKS, STEPS_PER_BAR, VELOCITY_BINS
from .multitracks import MultitrackRepresentation
from .note_sequence import MidiSource, NoteSequence, read_midi
from .pieces import SPLITTERS, Rejection, bars_text
from .representation import BEATS_PER_BAR, Extraction, Origin, Representation
from .trios import TrioRepresentation

REPRESENTATIONS = ("melody", "drums", "drum_roll", "trio", "groove", "multitrack")
MODES = tuple(SPLITTERS)

_MELODY_2BAR = {"representation": "melody", "num_bars": 2}
_MELODY_16BAR = {"representation": "melody", "num_bars": 16, "original_programs": 128}
_DRUMS = {"representation": "drums", "num_bars": 2}
_TRIO = {"representation": "trio", "num_bars": 16}
_GROOVE = {"representation": "groove", "num_bars": 2}
_MULTITRACK = {"representation": "multitrack", "num_bars": 1, "steps_per_quarter": 24}

# What belongs to the models that the original release calls by these names: arguments of [`MusicVAEProcessor`].
PROCESSOR_PRESETS: dict[str, dict] = {
    "cat-mel_2bar_small": _MELODY_2BAR,
    "cat-mel_2bar_big": _MELODY_2BAR,
    "cat-mel_2bar_med_chords": {**_MELODY_2BAR, "original_programs": 128, "chords": True},
    "cat-drums_2bar_small": _DRUMS,
    "cat-drums_2bar_big": _DRUMS,
    "nade-drums_2bar_reduced": {**_DRUMS, "representation": "drum_roll"},
    "nade-drums_2bar_full": {**_DRUMS, "representation": "drum_roll", "drum_classes": "full"},
    "flat-trio_16bar": _TRIO,
    "hierdec-trio_16bar": _TRIO,
    "hier-trio_16bar": _TRIO,
    "flat-mel_16bar": _MELODY_16BAR,
    "hierdec-mel_16bar": _MELODY_16BAR,
    "hier-mel_16bar": _MELODY_16BAR,
    "groovae_4bar": {**_GROOVE, "num_bars": 4},
    "groovae_2bar_humanize": {**_GROOVE, "corruptions": ["humanize"]},
    "groovae_2bar_tap_fixed_velocity": {**_GROOVE, "corruptions": ["tap", "fixed_velocities"]},
    "groovae_2bar_add_closed_hh": {**_GROOVE, "corruptions": ["add_closed_hi_hat"]},
    "groovae_2bar_tap_fixed_velocity_note_dropout": {
        **_GROOVE,
        "corruptions": ["tap", "fixed_velocities", "note_dropout"],
    },
    "groovae_2bar_hits_control_tfds": {**_GROOVE, "hits_control": True},
    "hier-multiperf_vel_1bar_med": _MULTITRACK,
    "hier-multiperf_vel_1bar_big": _MULTITRACK,
    "hier-multiperf_vel_1bar_med_chords": {**_MULTITRACK, "chords": True},
    "hier-multiperf_vel_1bar_big_chords": {**_MULTITRACK, "chords": True},
}


class NoExamplesError(ValueError):
    """A file from which nothing can be encoded. `rejections` says why, piece by piece, and so does the message."""

    def __init__(self, message: str, rejections: list[Rejection]):
        super().__init__(message)
        self.rejections = rejections


@dataclass(frozen=True)
class Window:
    """Where in the file a row of the batch comes from.

    Args:
        instrument (`str`): name of the instrument, or the General MIDI name of its program; of a trio, all three.
        instrument_index (`int`): its number in the file, from 0; -1 where all drum tracks were joined; of a trio, the
            melody's.
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


class MusicVAEFeatures(BatchFeature):
    """Model inputs with `windows` (one [`Window`] per row), `rejections` (one [`Rejection`] per piece left out) and
    `reductions` (what was left out of music that is there all the same; multitrack bars have some)."""

    windows: list[Window]
    rejections: list[Rejection]
    reductions: list[Rejection]


class MusicVAEProcessor(ProcessorMixin):
    r"""
    Converts MIDI to the tensors of [`MusicVAEModel`] and sequences back to MIDI.

    Two ways of reading a file:

    - `mode="musical"` quantises along the tempo map, takes bar lines from the file, reads 2/4 bars in pairs and 2/2 as
      4/4, and takes melodies from every pitched instrument. For people's files and for training.
    - `mode="original"` does exactly what the original's converters do: cut at every change of tempo or metre, quantise in
      seconds, drop whatever is not in 4/4 and melodies of programs over 31. For results that compare with the original.

    Args:
        representation (`str`, defaults to `"melody"`): `"melody"` (note on, note off and no event, by pitch), `"drums"`
            (combinations of drum classes), `"drum_roll"` (a bit for each drum class), `"trio"` (melody, bass and drum
            combinations together), `"groove"` (hits, velocities and timing of each drum class) or `"multitrack"` (a bar of
            up to 8 tracks of any instruments, as events; `num_bars` 1, `steps_per_quarter` 24).
        num_bars (`int`, defaults to 2): bars of 4/4 in a window.
        steps_per_quarter (`int`, defaults to 4): steps in a quarter note.
        min_pitch, max_pitch (`int`, default to 21 and 108): range of a melody and of a bass.
        drum_classes (`str` or `list[list[int]]`, *optional*): MIDI pitches of each drum class, the one to write first; or
            the name of a map: `"nine"` (the default), `"roland"`, `"full"` (61 classes of one pitch each) or `"magenta_js"`.
        mode (`str`, defaults to `"musical"`): how files are read unless a call says otherwise.
        chords (`bool`, defaults to `False`): whether the chords go with a melody or with multitrack bars, as `controls`.
        corruptions (`list[str]`, *optional*): what a groove loses on its way into the encoder: any of `"humanize"`, `"tap"`,
            `"fixed_velocities"`, `"add_closed_hi_hat"` and `"note_dropout"`.
        hits_control (`bool`, defaults to `False`): whether the hits of a groove are its `controls`.
        original_programs (`int`, defaults to 32): how many General MIDI programs, from 0, are melodies in mode
            `"original"`; 128: all.
        num_velocity_bins, max_tracks, max_track_events (`int`, default to 8, 8 and 64): of multitrack bars; the tokens of a
            track count its program and its end. No other numbers are known.
    """

    def __init__(
        self,
        representation: str = "melody",
        num_bars: int = 2,
        steps_per_quarter: int = 4,
        min_pitch: int = 21,
        max_pitch: int = 108,
        drum_classes: list[list[int]] | str | None = None,
        mode: str = "musical",
        chords: bool = False,
        corruptions: list[str] | None = None,
        hits_control: bool = False,
        original_programs: int = 32,
        num_velocity_bins: int = VELOCITY_BINS,
        max_tracks: int = MAX_TRACKS,
        max_track_events: int = MAX_TRACK_TOKENS,
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
        if original_programs not in range(1, 129):
            raise ValueError(f"original_programs must be 1..128, got {original_programs!r}.")
        if chords and representation not in ("melody", "multitrack"):
            raise ValueError(f"chords go with the representations 'melody' and 'multitrack', not with {representation!r}.")
        if (num_velocity_bins, max_tracks, max_track_events) != (VELOCITY_BINS, MAX_TRACKS, MAX_TRACK_TOKENS):
            raise ValueError(
                f"Multitrack bars have {VELOCITY_BINS} velocity bins and {MAX_TRACKS} tracks of {MAX_TRACK_TOKENS} events, "
                f"not {num_velocity_bins}, {max_tracks} and {max_track_events}."
            )
        if representation == "multitrack" and (num_bars, 4 * steps_per_quarter) != (1, STEPS_PER_BAR):
            raise ValueError(
                f"Multitrack sequences are 1 bar of {STEPS_PER_BAR // 4} steps per quarter note, not {num_bars} of "
                f"{steps_per_quarter}."
            )
        if (corruptions or hits_control) and representation != "groove":
            raise ValueError(f"corruptions and hits_control belong to the representation 'groove', not {representation!r}.")
        self.representation = representation
        self.num_bars = num_bars
        self.steps_per_quarter = steps_per_quarter
        self.min_pitch = min_pitch
        self.max_pitch = max_pitch
        self.drum_classes = _drum_classes(drum_classes)
        self.mode = mode
        self.chords = chords
        self.corruptions = list(corruptions or [])
        self.hits_control = hits_control
        self.original_programs = original_programs
        self.num_velocity_bins = num_velocity_bins
        self.max_tracks = max_tracks
        self.max_track_events = max_track_events
        self.codec = self._codec()
        super().__init__(**kwargs)

    def _codec(self) -> Representation:
        """The representation itself, which does the work."""
        grid, pitches = (self.num_bars, self.steps_per_quarter), (self.min_pitch, self.max_pitch)
        if self.representation == "melody":
            kind = ChordMelodyRepresentation if self.chords else MelodyRepresentation
            return kind(*grid, *pitches, self.original_programs)
        if self.representation == "multitrack":
            return ChordMultitrackRepresentation() if self.chords else MultitrackRepresentation()
        if self.representation == "trio":
            return TrioRepresentation(*grid, *pitches, self.drum_classes)
        if self.representation == "groove":
            return GroovesRepresentation(*grid, self.drum_classes, self.corruptions, self.hits_control)
        kind = DrumsRepresentation if self.representation == "drums" else DrumRollRepresentation
        return kind(*grid, self.drum_classes)

    @classmethod
    def from_preset(cls, name: str, **overrides) -> "MusicVAEProcessor":
        """The processor of the models that the original release calls `name`, with any argument overridden.

        Raises:
            ValueError: if there is no such preset.
        """
        if name not in PROCESSOR_PRESETS:
            raise ValueError(f"There is no preset {name!r}; the presets are {', '.join(PROCESSOR_PRESETS)}.")
        return cls(**{**PROCESSOR_PRESETS[name], **overrides})

    @property
    def steps_per_bar(self) -> int:
        return self.codec.steps_per_bar

    @property
    def window_steps(self) -> int:
        """Steps T of a window."""
        return self.codec.window_steps

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example of [`extract`](MusicVAEProcessor.extract), (T, ...)."""
        return self.codec.example_shape

    @property
    def example_dtype(self) -> np.dtype:
        """Type in which examples are kept."""
        return self.codec.example_dtype

    @property
    def num_labels(self) -> int:
        """Number of values that the model gives per step, all its outputs together; the model's `output_size`."""
        return sum(self.codec.output_sizes)

    @property
    def output_sizes(self) -> list[int]:
        """Width of each output per step: one, or three of a trio."""
        return list(self.codec.output_sizes)

    @property
    def input_size(self) -> int:
        """Width of a step of `input_values`; the model's `input_size`."""
        return self.codec.input_size

    @property
    def control_size(self) -> int:
        """Width of a step of `controls`, 0 where there are none; the model's `control_size`."""
        return self.codec.control_size

    def __call__(
        self,
        source: "MidiSource | NoteSequence | symusic.Score",
        mode: str | None = None,
        max_windows: int | None = None,
        return_tensors: str | None = "pt",
        rng: np.random.Generator | None = None,
        chords: str | Sequence[tuple[float, str]] | None = None,
    ) -> MusicVAEFeatures:
        """Finds every window of `num_bars` bars (they overlap; repeats are dropped) and converts it.

        Args:
            source: a path, bytes, `PrettyMIDI`, [`NoteSequence`] or symusic score.
            mode (`str`, *optional*): `"musical"` or `"original"`.
            max_windows (`int`, *optional*): keep the first this many. By default all, of multitrack bars 512.
            rng (`np.random.Generator`, *optional*): decides what the corruption `"note_dropout"` silences.
            chords (*optional*): the chords of the file, for a processor that has `chords`: a progression with one for each
                bar, again and again ("C Am F G" or "| C Am | F G |"), or a list of (seconds, symbol). By default the chord
                symbols that are its text events, markers or lyrics, which mode `"original"` does not read; or else, and for
                `[]`, the chords that its notes suggest.

        Returns:
            [`MusicVAEFeatures`] with `input_values` (N, T, input_size) float32, `labels` (see
            [`features`](MusicVAEProcessor.features)), `lengths` (N,), and `controls` (N, T, control_size) float32 where
            there are any.

        Raises:
            MidiError: for a file that cannot be read or is too large.
            ChordSymbolError: for chords that cannot be read; names the symbol and the bar.
            NoExamplesError: where the file holds nothing that this model can encode; the message says why.
        """
        notes = self._note_sequence(source)
        if chords is not None:
            if not self.chords:
                raise ValueError("This model reads no chords; models that do have a processor with chords=True.")
            notes = with_chords(notes, chords)
        found = self.extract(notes, mode)
        if not len(found.examples):
            raise NoExamplesError(self._explain(notes, found.rejections), found.rejections)
        if max_windows is None and self.codec.max_windows is not None and len(found.examples) > self.codec.max_windows:
            max_windows = self.codec.max_windows
            where = bars_text(notes, 0.0, notes.total_quarters)
            found.reductions.append(Rejection(f"the first {max_windows} of {len(found.examples):,} windows are read", where))
        features = MusicVAEFeatures(self.features(found.examples[:max_windows], rng))
        if return_tensors != "pt":
            features = MusicVAEFeatures({name: value.numpy() for name, value in features.items()}, return_tensors)
        features.windows = [self._window(notes, origin) for origin in found.origins[:max_windows]]
        features.rejections, features.reductions = found.rejections, found.reductions
        return features

    def extract(self, notes: NoteSequence, mode: str | None = None) -> Extraction:
        """The windows of a piece of music as compact arrays; numpy only, fast enough for collections of files."""
        mode = self.mode if mode is None else mode
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, got {mode!r}.")
        return self.codec.extract(notes, mode)

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        """Examples (N, *example_shape) of [`extract`](MusicVAEProcessor.extract), or sequences as the model gives them, as
        the model's inputs: `input_values`, `labels`, `lengths` and, where there are any, `controls`.

        `labels` are sequences: (N, T) int64 of melodies and drum combinations; (N, T, D) int64 bits of a drum roll;
        (N, T, 3) int64 of a trio; (N, T, 27) float32 of grooves.
        """
        return self.codec.features(examples, rng)

    def decode(
        self,
        sequences: Tensor | np.ndarray | list,
        tempo: float = 120.0,
        program: int = 0,
        velocity: int | None = None,
        chords: str | np.ndarray | Tensor | None = None,
    ) -> pretty_midi.PrettyMIDI | list[pretty_midi.PrettyMIDI]:
        """Sequences to MIDI: one sequence, (T,) or (T, ...), to one `PrettyMIDI`, a batch of N to a list of N. Any T.

        Args:
            tempo (`float`, defaults to 120.0): quarter notes per minute, 10..1000.
            program (`int`, defaults to 0): General MIDI instrument of a melody, 0..127; drums are drums.
            velocity (`int`, *optional*): of every note that has none of its own, 1..127; 80, in multitrack bars 100.
            chords (*optional*): chords to write above the notes, as text events: a progression ("C Am F G"), chord numbers
                (T,) or controls (T, 49), the same for all sequences; or controls (N, T, 49), for each its own. Of multitrack
                bars, numbers are for each of the 96 steps, and controls for each of the 512 tokens.

        Raises:
            ValueError: for an argument out of range, or events that this representation does not have.
        """
        if not (math.isfinite(tempo) and 10 <= tempo <= 1000):
            raise ValueError(f"tempo must be between 10 and 1000 quarter notes per minute, got {tempo}.")
        velocity = self.codec.default_velocity if velocity is None else velocity
        if program not in range(128) or velocity not in range(1, 128):
            raise ValueError(f"program must be 0..127 and velocity 1..127, got {program} and {velocity}.")
        sequences = np.asarray(sequences.cpu() if isinstance(sequences, Tensor) else sequences)
        if sequences.dtype.kind == "u":
            sequences = sequences.astype(np.int64)
        if sequences.ndim == 2 + len(self.codec.sequence_shape):
            each = chords if getattr(chords, "ndim", 0) == 3 else [chords] * len(sequences)
            if len(each) != len(sequences):
                raise ValueError(f"There are chords for {len(each)} sequences and {len(sequences)} sequences.")
            return [self.decode(row, tempo, program, velocity, own) for row, own in zip(sequences, each, strict=True)]
        self.codec.check_sequences(torch.as_tensor(sequences).unsqueeze(0))
        midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
        midi.time_signature_changes.append(pretty_midi.TimeSignature(BEATS_PER_BAR, 4, 0.0))
        seconds_per_step = 60.0 / tempo / self.steps_per_quarter
        midi.instruments += self.codec.instruments(sequences, seconds_per_step, program, velocity)
        if chords is not None:
            midi.text_events += self.codec.chord_texts(chords, sequences, seconds_per_step, self.mode)
        return midi

    def chord_controls(self, progression: str) -> Tensor:
        """A chord progression as the `controls` (T, 49) of a window, for [`MusicVAEModel.decode`]: a chord for each bar
        ("C Am"), or bars between `|` whose chords share the bar ("| C Am | F G |"); a shorter one starts again. Multitrack
        bars, whose controls are by token and not by time, take one chord.

        Raises:
            ChordSymbolError: for a symbol that cannot be read; names the symbol and the bar.
            ValueError: where the progression is longer than a window.
        """
        return self.codec.progression_controls(progression)

    @staticmethod
    def _note_sequence(source) -> NoteSequence:
        if isinstance(source, NoteSequence):
            return source
        if isinstance(source, pretty_midi.PrettyMIDI):
            return NoteSequence.from_pretty_midi(source)
        if hasattr(source, "ticks_per_quarter") and hasattr(source, "tracks"):
            return NoteSequence.from_symusic(source)
        return NoteSequence.from_pretty_midi(read_midi(source))

    def _window(self, notes: NoteSequence, origin: Origin) -> Window:
        quarter = origin.start_quarter
        start, end = notes.seconds_at(quarter), notes.seconds_at(quarter + self.num_bars * BEATS_PER_BAR)
        names = ["Drums" if index < 0 else notes.instrument_names[index] for index in origin.instruments]
        first = origin.instruments[0]
        program = int(notes.program[notes.instrument == first][0]) if first >= 0 else 0
        return Window(", ".join(names), first, program, notes.bar_at(quarter), start, end, self.num_bars)

    def _explain(self, notes: NoteSequence, rejections: list[Rejection]) -> str:
        wanted = self.codec.wanted
        if not len(notes):
            return f"The file holds no notes; this model needs {wanted}."
        shown = "; ".join(str(rejection) for rejection in rejections[:8])
        more = f"; and {len(rejections) - 8} more" if len(rejections) > 8 else ""
        return f"The file holds nothing to encode; this model needs {wanted}. {shown}{more}."


def _drum_classes(given: list[list[int]] | str | None) -> list[list[int]]:
    """The classes that are asked for, as lists of MIDI pitches."""
    if isinstance(given, str):
        if given not in DRUM_MAPS:
            raise ValueError(f"drum_classes must be lists of MIDI pitches or one of {list(DRUM_MAPS)}, got {given!r}.")
        return [list(pitches) for pitches in DRUM_MAPS[given].values()]
    classes = [list(pitches) for pitches in given or DRUM_MAPS["nine"].values()]
    if not all(classes) or not all(pitch in range(128) for pitches in classes for pitch in pitches):
        raise ValueError("drum_classes must be lists of MIDI pitches 0..127, none of them empty.")
    return classes


__all__ = [
    "PROCESSOR_PRESETS",
    "Extraction",
    "MusicVAEFeatures",
    "MusicVAEProcessor",
    "NoExamplesError",
    "Window",
]

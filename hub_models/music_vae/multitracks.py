"""A bar of up to eight tracks, each with its program and its notes, as tokens: the multitrack measures of MusicVAE."""

from collections.abc import Iterator

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .chord_symbols import NO_CHORD, chord_index, chord_symbol
from .chords import as_chords, chord_controls, chord_texts, read_progression
from .multitrack_bars import Bars, musical_bars
from .multitrack_events import (
    DRUMS,
    INITIAL_VELOCITY,
    MAX_TRACK_TOKENS,
    MAX_TRACKS,
    NOTE_ON,
    NUM_EVENTS,
    PADDING,
    PROGRAM,
    STEPS_PER_BAR,
    TIME_SHIFT,
    cut_tracks,
    decode_track,
    token_steps,
)
from .note_sequence import NoteSequence
from .original_multitracks import original_bars
from .pieces import Piece
from .representation import Extraction, Line, Representation, drop_repeats

NUM_PITCHES = 128


class MultitrackRepresentation(Representation):
    """Sequences of 8 x 64 tokens: of each track its program, its events (see [`multitrack_events`]), an end token, and
    padding (-1); a missing track is an end token. Tracks are in the order of their programs, drums last.

    An example is a bar: (512,) int16.
    """

    name = "multitrack"
    music = "multitrack music"
    example_dtype = np.dtype(np.int16)
    output_sizes = [NUM_EVENTS]
    input_size = NUM_EVENTS
    transposition = 3
    default_velocity = INITIAL_VELOCITY
    max_windows = 512  # of 1 MB each

    def __init__(self):
        super().__init__(num_bars=1, steps_per_quarter=STEPS_PER_BAR // 4)

    @property
    def window_steps(self) -> int:
        """Tokens T of a bar: 512."""
        return MAX_TRACKS * MAX_TRACK_TOKENS

    @property
    def wanted(self) -> str:
        return "a bar in 4/4 in which two instruments or more play"

    def extract(self, notes: NoteSequence, mode: str) -> Extraction:
        bars = original_bars(notes)[0] if mode == "original" else musical_bars(notes)
        return self._extraction(bars, bars.tokens, mode)

    def _extraction(self, bars: Bars, examples: np.ndarray, mode: str) -> Extraction:
        examples = examples.reshape(len(examples), *self.example_shape).astype(self.example_dtype)
        origins = bars.origins
        if mode == "musical":
            examples, origins = drop_repeats(examples, origins)
        return Extraction(examples, origins, bars.rejections, bars.reductions)

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        """`lengths` are (N, 8): tokens of each track, its end among them. What stands behind an end becomes padding."""
        labels = self.as_integers(examples)
        self.check_sequences(labels)
        tracks = torch.as_tensor(cut_tracks(labels.numpy()))
        is_token = tracks != PADDING
        labels = tracks.flatten(1)
        input_values = torch.zeros(*labels.shape, NUM_EVENTS)
        input_values.scatter_(2, labels.clamp_min(0)[..., None], is_token.flatten(1)[..., None].float())
        return {"input_values": input_values, "labels": labels, "lengths": is_token.sum(dim=2)}

    def lines(self, piece: Piece, num_steps: int, chosen: np.ndarray) -> Iterator[Line]:
        """Bars of tracks that come and go do not make lines of a song.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "A song cannot be encoded as lines of multitrack bars: Band.arrange makes songs of a chord progression, and "
            "Band.encode reads the bars of a file."
        )

    def transpose(self, examples: np.ndarray, semitones: np.ndarray) -> np.ndarray:
        """Drums stay; so does a whole example of which a note would leave 0..127."""
        return self.transpose_tokens(examples, semitones)[0]

    def transpose_tokens(self, sequences: np.ndarray, semitones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sequences (N, 512), each moved by its `semitones` (N,), and by how many it was really moved."""
        tracks = sequences.reshape(len(sequences), MAX_TRACKS, MAX_TRACK_TOKENS)
        is_note = (tracks >= NOTE_ON) & (tracks < TIME_SHIFT) & (tracks[..., :1] != DRUMS)
        pitch = tracks % NUM_PITCHES + np.asarray(semitones)[:, None, None]
        leaves = (is_note & ((pitch < 0) | (pitch >= NUM_PITCHES))).any(axis=(1, 2))
        semitones = np.where(leaves, 0, semitones)
        moved = np.where(is_note, tracks + semitones[:, None, None], tracks)
        return moved.astype(sequences.dtype).reshape(sequences.shape), semitones

    def check_sequences(self, sequences: Tensor):
        if sequences.ndim != 2 or sequences.shape[1] != self.window_steps or not len(sequences):
            raise ValueError(
                f"Sequences of {self.music} must have the shape (batch, {self.window_steps}): {MAX_TRACKS} tracks of "
                f"{MAX_TRACK_TOKENS} tokens; got {tuple(sequences.shape)}."
            )
        if sequences.is_floating_point() or sequences.min() < PADDING or sequences.max() >= NUM_EVENTS:
            raise ValueError(
                f"Sequences of {self.music} hold integers 0..{NUM_EVENTS - 1}, and {PADDING} behind the end of a track."
            )

    def instruments(
        self, sequence: np.ndarray, seconds_per_step: float, program: int, velocity: int
    ) -> list[pretty_midi.Instrument]:
        """One instrument for each track that has notes."""
        found = []
        for tokens in cut_tracks(sequence):
            track = decode_track(tokens)
            if not track.notes:
                continue
            number = 0 if track.is_drum else program if track.program is None else track.program
            name = "Drums" if track.is_drum else pretty_midi.program_to_instrument_name(number)
            found.append(pretty_midi.Instrument(number, track.is_drum, name))
            found[-1].notes += [
                pretty_midi.Note(velocity if own is None else own, pitch, start * seconds_per_step, end * seconds_per_step)
                for pitch, own, start, end in track.notes
            ]
        return found

    def chord_texts(
        self, chords: "str | np.ndarray | Tensor", sequence: np.ndarray, seconds_per_step: float, mode: str
    ) -> list[pretty_midi.Text]:
        """A bar of chords as text, chord numbers (96,) or controls (96, 49) by step; or controls (512, 49) by token, as the
        original has them: what its tracks say at one step stands in the order of the alphabet."""
        if isinstance(chords, str) or len(chords) != len(sequence):
            steps = as_chords(chords, self.steps_per_bar, self.steps_per_bar)
            return chord_texts(steps, seconds_per_step, "musical")
        tracks = cut_tracks(sequence)
        numbers = as_chords(chords, len(sequence)).reshape(tracks.shape)
        steps = token_steps(tracks)
        says = (tracks >= NOTE_ON) & (tracks < PROGRAM) & (steps < self.steps_per_bar)
        said = sorted(zip(steps[says].tolist(), map(chord_symbol, numbers[says].tolist()), strict=True))
        changes = [one for place, one in enumerate(said) if place == 0 or one[1] != said[place - 1][1]]
        return [pretty_midi.Text(symbol, step * seconds_per_step) for step, symbol in changes]

    def progression_controls(self, progression: str) -> Tensor:
        """Controls (512, 49) of a bar with one chord: none at the first token of each track, then the chord.

        Raises:
            ChordSymbolError: for a symbol that cannot be read.
            ValueError: for several chords: where these change is not known before the events are.
        """
        bars = read_progression(progression, self.steps_per_bar)
        if len(bars) != 1 or len(set(bars[0])) != 1:
            raise ValueError(
                f"Controls by token are of one bar with one chord, not {progression!r}; `timed_controls` of the processor's "
                "`codec` are by step and hold any chords of a bar."
            )
        chords = np.full((MAX_TRACKS, MAX_TRACK_TOKENS), chord_index(bars[0][0]))
        chords[:, 0] = NO_CHORD
        return chord_controls(chords.ravel())


__all__ = ["MultitrackRepresentation"]

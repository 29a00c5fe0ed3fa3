"""Multitrack bars with the chords that they are played over, which the chord-conditioned models are given as controls."""

import numpy as np
import torch
from torch import Tensor

from .chord_annotations import chords_of_piece, find_chords
from .chord_symbols import NO_CHORD, NUM_CHORDS
from .chords import as_chords, chord_controls, transpose_chords
from .multitrack_bars import musical_bars
from .multitrack_events import DURATIONS, PADDING
from .multitracks import MultitrackRepresentation
from .note_sequence import NoteSequence
from .original_multitracks import original_bars
from .representation import Extraction
from .timed_controls import TimedControls


class ChordMultitrackRepresentation(MultitrackRepresentation):
    """Two numbers per token of an example: the token, and the chord 0..48 (see [`chord_index`]) at its place in the bar;
    -1 and -1 for padding. The first token of a track has no chord. A sequence, which is what the model gives, has the
    tokens only; the chords are `controls`.

    The chords of a file are the symbols set beside it ([`with_chords`]), or in mode "musical" those among its text events,
    markers or lyrics, or else inferred from its notes, two for each bar.
    """

    step_shape = (2,)
    control_size = NUM_CHORDS

    def extract(self, notes: NoteSequence, mode: str) -> Extraction:
        if mode == "original":
            bars, chords = original_bars(notes, notes.chords or [])
            return self._extraction(bars, np.stack([bars.tokens, chords], axis=-1), mode)
        annotations, rejections = find_chords(notes)
        bars = musical_bars(notes)
        bars.rejections = rejections + bars.rejections
        chords = np.full(bars.tokens.shape, PADDING, dtype=np.int16)
        for number, piece in enumerate(bars.pieces):
            own = np.flatnonzero(bars.places[:, 0] == number)
            if not len(own):
                continue
            everything = np.ones(len(piece.notes), dtype=bool)
            found = chords_of_piece(piece, everything, annotations, self.steps_per_quarter, self.steps_per_bar)
            first = self.steps_per_bar * bars.places[own, 1, None, None]
            places = found.places_at(first + np.minimum(bars.steps[own], self.steps_per_bar - 1))
            chords[own] = found.numbers(piece, self.steps_per_quarter)[places + 1]
        chords[bars.steps < 0] = NO_CHORD
        chords[bars.tokens == PADDING] = PADDING
        return self._extraction(bars, np.stack([bars.tokens, chords], axis=-1), mode)

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        """Sequences (N, T), which have no chords, get the controls "no chord"."""
        examples = self.as_integers(examples)
        if examples.ndim == 3 and examples.shape[2] == 2:
            examples, chords = examples.unbind(dim=2)
        else:
            chords = torch.zeros_like(examples)
        features = super().features(examples)
        is_token = features["labels"] != PADDING
        controls = chord_controls(torch.where(is_token, chords.clamp_min(NO_CHORD), NO_CHORD))
        return {**features, "controls": controls * is_token[..., None]}

    def transpose(self, examples: np.ndarray, semitones: np.ndarray) -> np.ndarray:
        tokens, chords = examples[..., 0], examples[..., 1]
        moved, semitones = self.transpose_tokens(tokens, semitones)
        moved_chords = transpose_chords(np.maximum(chords, NO_CHORD), semitones[:, None])
        return np.stack([moved, np.where(chords == PADDING, PADDING, moved_chords)], axis=-1).astype(examples.dtype)

    def timed_controls(self, chords: "np.ndarray | Tensor | str") -> TimedControls:
        """Chords of bars for [`MusicVAEModel.decode`]: each token reads the chord that holds at its own step.

        Args:
            chords: chord numbers 0..48 by step, (96,) for all bars of a batch or (B, 96); or one bar as text, "| C F |".

        Raises:
            ValueError: for anything else; a ChordSymbolError for a symbol that cannot be read.
        """
        if isinstance(chords, str):
            chords = as_chords(chords, self.steps_per_bar, self.steps_per_bar)
        values = chord_controls(chords.cpu() if isinstance(chords, Tensor) else chords)
        if values.ndim not in (2, 3) or values.shape[-2] != self.steps_per_bar:
            raise ValueError(
                f"Timed chords have the shape ({self.steps_per_bar},) or (batch, {self.steps_per_bar}), got "
                f"{tuple(values.shape[:-1])}."
            )
        return TimedControls(values.reshape(-1, *values.shape[-2:]), torch.as_tensor(DURATIONS), _no_chord())


def _no_chord() -> Tensor:
    return chord_controls([NO_CHORD])[0]

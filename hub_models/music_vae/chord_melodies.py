"""Melodies with the chords below them, which the chord-conditioned models are given as controls."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .chord_annotations import Annotation, PieceChords, chords_of_piece, find_chords
from .chord_symbols import NO_CHORD, NO_CHORD_SYMBOL, NUM_CHORDS, ChordSymbolError, chord_index
from .chords import chord_controls, transpose_chords
from .melodies import MelodyRepresentation, clear_leading_note_offs, transpose_melodies
from .note_sequence import NoteSequence
from .pieces import SPLITTERS, Piece, Rejection, bars_text
from .representation import Extraction, Line, Origin, drop_repeats


class ChordMelodyRepresentation(MelodyRepresentation):
    """Two numbers per step of an example: an event of the melody, and a chord 0..48 (see [`chord_index`]). A sequence, which
    is what the model gives, has the melody only; the chords are `controls`.

    The chords of a file are the symbols set beside it ([`with_chords`]), or in mode "musical" those among its text events,
    markers or lyrics, or else inferred from its notes, two for each bar.
    """

    step_shape = (2,)
    control_size = NUM_CHORDS
    transposition = 3

    def extract(self, notes: NoteSequence, mode: str) -> Extraction:
        annotations, rejections = (notes.chords or [], []) if mode == "original" else find_chords(notes)
        rejections += self.read_notes(notes, mode)[1]
        pieces, refused = SPLITTERS[mode](notes, self.steps_per_quarter, self.steps_per_bar)
        rejections += refused
        symbols = {NO_CHORD_SYMBOL: NO_CHORD}  # their numbers in windows, in mode "original"
        found = []  # of each piece: (instrument, first quarter note, steps (T, 2))
        for piece in pieces:
            read = self.read_notes(piece.notes, mode)[0]
            if not read.any():
                continue
            chords = self._chords(piece, annotations)
            if isinstance(chords, Rejection):
                rejections.append(chords)
                continue
            if mode == "original":
                numbers = np.array([NO_CHORD, *(symbols.setdefault(symbol, len(symbols)) for symbol in chords.symbols)])
            else:
                numbers = chords.numbers(piece, self.steps_per_quarter)
            found.append([])
            for instrument, step, events in self.extract_melodies(piece.select(read), mode):
                at_steps = numbers[chords.places_at(step + np.arange(len(events))) + 1]
                quarter = piece.start_quarter + step / self.steps_per_quarter
                found[-1].append((instrument, quarter, np.stack([events, at_steps], axis=1)))
        if mode == "original":
            return self._extraction_of_pieces(notes, found, list(symbols), rejections)
        examples, origins, too_short = self._windows(notes, list(itertools.chain(*found)), mode)
        return Extraction(examples, origins, rejections + too_short)

    def _windows(
        self, notes: NoteSequence, stretches: list[tuple[int, float, np.ndarray]], mode: str
    ) -> tuple[np.ndarray, list[Origin], list[Rejection]]:
        windows, origins, too_short = self.cut_windows(notes, stretches, mode)
        windows[..., 0] = clear_leading_note_offs(windows[..., 0])
        return *drop_repeats(windows, origins), too_short

    def _extraction_of_pieces(
        self, notes: NoteSequence, found: list[list], symbols: list[str], rejections: list[Rejection]
    ) -> Extraction:
        """The original's rules: windows differ where the texts of their chords do, and a piece with a chord that is no triad
        gives nothing."""
        examples, origins = [self.no_examples()], []
        for stretches in found:
            windows, places, too_short = self._windows(notes, stretches, "original")
            rejections += too_short
            numbers = np.zeros(len(symbols), dtype=windows.dtype)
            for symbol in np.unique(windows[..., 1]):
                try:
                    numbers[symbol] = chord_index(symbols[symbol], "original")
                except ChordSymbolError as error:
                    window, step = np.argwhere(windows[..., 1] == symbol)[0]
                    quarter = places[window].start_quarter + step / self.steps_per_quarter
                    rejections.append(Rejection(str(error), bars_text(notes, quarter, quarter)))
                    break
            else:
                windows[..., 1] = numbers[windows[..., 1]]
                examples.append(windows)
                origins += places
        return Extraction(np.concatenate(examples), origins, rejections)

    def _chords(self, piece: Piece, annotations: list[Annotation]) -> PieceChords | Rejection:
        notes = piece.notes
        kept = (notes.pitch >= self.min_pitch) & (notes.pitch <= self.max_pitch) & (notes.program < self.original_programs)
        return chords_of_piece(piece, kept, annotations, self.steps_per_quarter, self.steps_per_bar)

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        """Sequences (N, T), which have no chords, get the controls "no chord"."""
        examples = torch.as_tensor(np.asarray(examples).astype(np.int64))
        with_chords = examples.ndim == 3 and examples.shape[2] == 2
        melodies = examples[..., 0] if with_chords else examples
        chords = examples[..., 1] if with_chords else torch.zeros_like(examples)
        return {**super().features(melodies), "controls": chord_controls(chords)}

    def lines(self, piece: Piece, num_steps: int, chosen: np.ndarray) -> Iterator[Line]:
        annotations, _ = find_chords(piece.notes)
        chords = self._chords(piece, annotations)
        numbers = chords.numbers(piece, self.steps_per_quarter)[chords.places_at(np.arange(num_steps)) + 1]
        for line in super().lines(piece, num_steps, chosen):
            yield line._replace(steps=np.stack([line.steps, numbers], axis=1).astype(self.example_dtype))

    def transpose(self, examples: np.ndarray, semitones: np.ndarray) -> np.ndarray:
        melodies = examples[..., 0]
        moved = transpose_melodies(melodies, semitones, self.num_events - 2)
        semitones = np.where((moved == melodies).all(axis=1), 0, semitones)  # out of range: the melody stayed as it was
        return np.stack([moved, transpose_chords(examples[..., 1], semitones[:, None])], axis=-1)

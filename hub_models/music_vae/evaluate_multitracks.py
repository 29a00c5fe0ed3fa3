"""Measures for many instruments beside those that they should be: tokens, notes and instruments.

The paper of these models (Simon et al., 2018, "Learning a Latent Space of Multitrack Measures") lets the reader listen and
measures nothing of this kind; the definitions here are this project's own.
"""

from typing import Any

import numpy as np
from torch import Tensor

from .band import DEFAULT_PROGRAM_TEMPERATURE
from .chord_symbols import NO_CHORD
from .multitrack_events import (
    END,
    NOTE_OFF,
    NOTE_ON,
    NUM_EVENTS,
    PADDING,
    PROGRAM,
    STEPS_PER_BAR,
    TIME_SHIFT,
    VELOCITY,
    token_steps,
)
from .multitrack_measures import (
    NUM_PROGRAMS,
    MeasureNotes,
    as_tracks,
    measure_notes,
    program_overlaps,
    program_sets,
    valid_measures,
    validity,
)
from .representation import as_items

# Tokens from the first up to, not including, the second.
KINDS = {
    "note_on": (NOTE_ON, NOTE_OFF),
    "note_off": (NOTE_OFF, TIME_SHIFT),
    "time_shift": (TIME_SHIFT, VELOCITY),
    "velocity": (VELOCITY, PROGRAM),
    "program": (PROGRAM, END),
    "end": (END, NUM_EVENTS),
}
NUM_PITCHES = 128


def drawn_as_bands_do(temperature: float | None) -> dict[str, Any]:
    """Settings of `MusicVAEModel.decode` with which a [`Band`] draws at a temperature."""
    return {"legal_only": True, "first_temperature": None if temperature is None else DEFAULT_PROGRAM_TEMPERATURE}


class MultitrackTally:
    """Reconstructed measures beside the true ones."""

    def __init__(self):
        self.tokens: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in KINDS}  # by way: (right, all)
        self.measures: dict[str, dict[str, list[np.ndarray]]] = {}  # by way: values of each measure

    def add_tokens(self, labels: Tensor, **right: Tensor):
        """What is right (1) or wrong (0) of each token, by the way in which it came about, and the true sequences: all
        (N, 512)."""
        for kind, (first, end) in KINDS.items():
            where = (labels >= first) & (labels < end)
            for way, values in right.items():
                counts = np.array([values[where].double().sum().item(), where.sum().item()])
                self.tokens[kind][way] = self.tokens[kind].get(way, 0.0) + counts

    def add(self, way: str, sequences: Tensor, labels: Tensor):
        """Sequences (N, 512) that came about in one way (any name), and the true ones."""
        notes, true_notes = (count_notes(measure_notes(values), len(labels)) for values in (sequences, labels))
        common = count_common(notes, true_notes, len(labels))
        programs, true_programs = playing_tracks(sequences), playing_tracks(labels)
        values = {
            "common": common,
            "given": notes[1],
            "wanted": true_notes[1],
            "right_track_count": programs.sum(axis=1) == true_programs.sum(axis=1),
            "right_programs": (program_sets(sequences) == program_sets(labels)).all(axis=1),
            "program_overlap": program_overlaps(sequences, labels),
        }
        kept = self.measures.setdefault(way, {name: [] for name in values})
        for name, value in values.items():
            kept[name].append(value)

    def figures(self) -> dict[str, Any]:
        """`tokens`: by kind of the true token, the share that is right with teacher forcing and `sampled`; None where the
        data has no such token. Sampled tokens are compared place by place: one that is left out or put in makes those after
        it in its track wrong, which is why there is

        `measures`: by the way in which they came about, `sampled` at the temperature asked for, and `likeliest`, decoded
        from the posterior's mean without chance: `notes_precision`, `notes_recall` and `notes_f1` of notes, where a note is
        right if its program (or drums), its pitch and the step on which it begins are; `right_track_count`, share of
        measures with as many tracks that play as the true one; `right_programs`, share with the same set of programs;
        `program_overlap`, the mean Jaccard overlap of these sets.
        """
        tokens = {
            kind: {way: float(right / count) if count else None for way, (right, count) in ways.items()}
            for kind, ways in self.tokens.items()
        }
        measures = {}
        for way, kept in self.measures.items():
            values = {name: np.concatenate(parts).astype(np.float64) for name, parts in kept.items()}
            right, given, wanted = (float(values.pop(name).sum()) for name in ("common", "given", "wanted"))
            measures[way] = {
                "notes_precision": right / given if given else None,
                "notes_recall": right / wanted if wanted else None,
                "notes_f1": 2 * right / (given + wanted) if given + wanted else None,
                **{name: float(value.mean()) for name, value in values.items()},
            }
        return {"tokens": tokens, "measures": measures}


def sample_figures(samples: np.ndarray, data: np.ndarray) -> dict[str, Any]:
    """Measures (N, 512) that a model made up, beside those of the data (M, 512).

    Returns:
        `valid`: share of valid measures: every track begins with its program and ends with its end token, holds nothing else
        that does not belong there, ends no note that does not sound and is not longer than the bar; and at least two tracks
        have notes. `validity`: the share that keeps to each of these rules. `non_duplicate`: share of distinct measures.
        `tracks_per_bar` (tracks with notes), `notes_per_bar`, `programs` (different ones in all, drums are one), and
        the same of the data, `data_...`; `data_valid`.
    """
    rules = {name: float(kept.mean()) for name, kept in validity(samples).items()}
    figures = {"valid": float(valid_measures(samples).mean()), "validity": rules}
    figures["non_duplicate"] = len(np.unique(as_items(samples))) / len(samples)
    figures["data_valid"] = float(valid_measures(data).mean())
    for prefix, sequences in (("", samples), ("data_", data)):
        notes = measure_notes(sequences)
        figures[f"{prefix}tracks_per_bar"] = float(playing_tracks(sequences).sum() / len(sequences))
        figures[f"{prefix}notes_per_bar"] = len(notes.item) / len(sequences)
        figures[f"{prefix}programs"] = len(np.unique(notes.program))
    return figures


def note_distances(sequences: np.ndarray | Tensor, others: np.ndarray | Tensor) -> np.ndarray:
    """How far apart measures (..., 512) are by their notes: 1 minus the F1 of notes, as [`MultitrackTally.figures`] counts
    them, shape (...), 0..1; 0 where both are silent. `others` has the same shape."""
    shape = sequences.shape[:-1]
    rows, other_rows = (values.reshape(-1, values.shape[-1]) for values in (sequences, others))
    notes, other_notes = (count_notes(measure_notes(values), len(rows)) for values in (rows, other_rows))
    total = notes[1] + other_notes[1]
    common = count_common(notes, other_notes, len(rows))
    return (1.0 - np.where(total == 0, 1.0, 2 * common / np.maximum(total, 1))).reshape(shape)


def program_distances(sequences: np.ndarray | Tensor, others: np.ndarray | Tensor) -> np.ndarray:
    """How far apart measures (..., 512) are by their instruments: 1 minus the Jaccard overlap of their programs, shape
    (...). `others` has the same shape."""
    rows, other_rows = (values.reshape(-1, values.shape[-1]) for values in (sequences, others))
    return (1.0 - program_overlaps(rows, other_rows)).reshape(sequences.shape[:-1])


def count_notes(notes: MeasureNotes, num_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Notes as numbers that are equal where item, program, pitch and first step are, sorted; and how many each item has."""
    keys = ((notes.item * NUM_PROGRAMS + notes.program) * NUM_PITCHES + notes.pitch) * (STEPS_PER_BAR + 1) + notes.start
    return np.sort(keys), np.bincount(notes.item, minlength=num_items)


def count_common(notes: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray], num_items: int) -> np.ndarray:
    """How many notes of [`count_notes`] each of two lists of `num_items` measures has in common; one note answers one."""
    keys, counts = np.unique(notes[0], return_counts=True)
    other_keys, other_counts = np.unique(others[0], return_counts=True)
    common, first, second = np.intersect1d(keys, other_keys, assume_unique=True, return_indices=True)
    items = common // (NUM_PROGRAMS * NUM_PITCHES * (STEPS_PER_BAR + 1))
    return np.bincount(items, np.minimum(counts[first], other_counts[second]), minlength=num_items)


def playing_tracks(sequences: np.ndarray | Tensor) -> np.ndarray:
    """Which tracks of sequences (N, 512) have notes: bool (N, 8)."""
    notes, tracks = measure_notes(sequences), as_tracks(sequences)
    plays = np.zeros(tracks.shape[:2], dtype=bool)
    plays[notes.item, notes.track] = True
    return plays


def chords_of(examples: np.ndarray) -> np.ndarray:
    """The chord of each step of the bar, (N, 96) int64, in examples (N, 512, 2), which have one for each token: a chord that
    a token has holds at the token's step, and until another does; the first holds from the start."""
    tokens, chords = as_tracks(examples[..., 0]), as_tracks(examples[..., 1])
    at = token_steps(tokens)
    item, track, place = np.nonzero((tokens >= 0) & (tokens < PROGRAM) & (at < STEPS_PER_BAR))  # the others read no chord
    found = np.full((len(tokens), STEPS_PER_BAR), PADDING)
    found[item, at[item, track, place]] = chords[item, track, place]
    known = found != PADDING
    latest = np.maximum.accumulate(np.where(known, np.arange(STEPS_PER_BAR), -1), axis=1)
    latest = np.where(latest < 0, known.argmax(axis=1)[:, None], latest)
    filled = np.take_along_axis(found, latest, axis=1)
    return np.where(filled == PADDING, NO_CHORD, filled)


def mean_of_known(values: np.ndarray) -> float | None:
    """The mean of those values that are numbers; None where none is."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None

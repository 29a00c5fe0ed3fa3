"""What can be measured of one-bar multitrack sequences: whether they are valid, their notes, chord tones and programs.

Sequences are integers (N, 512) as a multitrack model gives them. Everything is numpy over all of them at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from .chord_symbols import NO_CHORD, NUM_CHORDS
from .multitrack_events import (
    END,
    INITIAL_VELOCITY,
    MAX_TRACK_TOKENS,
    MAX_TRACKS,
    NOTE_OFF,
    NOTE_ON,
    NUM_EVENTS,
    PADDING,
    PROGRAM,
    STEPS_PER_BAR,
    TIME_SHIFT,
    VELOCITIES_PER_BIN,
    VELOCITY,
)

DRUM_PROGRAM = 128
NUM_PROGRAMS = 129
INITIAL_BIN = (INITIAL_VELOCITY - 1) // VELOCITIES_PER_BIN + 1
MIN_TRACKS = 2
CHUNK = 2048

# Semitones above the root: major, minor, augmented, diminished, in the order of chord numbers.
_TRIADS = ((0, 4, 7), (0, 3, 7), (0, 4, 8), (0, 3, 6))
CHORD_TONES = np.zeros((NUM_CHORDS, 12), dtype=bool)
for _chord in range(1, NUM_CHORDS):
    CHORD_TONES[_chord, [((_chord - 1) % 12 + tone) % 12 for tone in _TRIADS[(_chord - 1) // 12]]] = True


class MeasureNotes(NamedTuple):
    """The notes of N sequences, in the order of sequences and tracks; each field has the shape (M,), int64.

    Args:
        item: number of the sequence, 0..N - 1.
        track: number of the track, 0..7.
        program: General MIDI program 0..127; 128: drums.
        pitch: MIDI pitch.
        start, end: steps within the bar, 0 <= start < end <= 96. A note that nothing ends lasts to the end of the bar.
        velocity_bin: 1 (softest) to 8.
    """

    item: np.ndarray
    track: np.ndarray
    program: np.ndarray
    pitch: np.ndarray
    start: np.ndarray
    end: np.ndarray
    velocity_bin: np.ndarray

    @property
    def is_drum(self) -> np.ndarray:
        return self.program == DRUM_PROGRAM

    def select(self, mask: np.ndarray) -> "MeasureNotes":
        """The notes where the bool mask (M,) is true."""
        return MeasureNotes(*(field[mask] for field in self))


def measure_notes(sequences: np.ndarray | Tensor) -> MeasureNotes:
    """The notes of sequences (N, 512). Events that mean nothing, such as a note off without its note, are passed over; the
    first program of a track counts, without one it is program 0."""
    tokens = as_tracks(sequences)
    chunks = [_read(tokens[start : start + CHUNK], start)[0] for start in range(0, len(tokens), CHUNK)]
    return MeasureNotes(*(np.concatenate(fields) for fields in zip(*chunks, strict=True))) if chunks else _read(tokens, 0)[0]


def validity(sequences: np.ndarray | Tensor) -> dict[str, np.ndarray]:
    """What a valid measure keeps to, for sequences (N, 512); each value is bool (N,).

    `program_first`: every track that plays begins with its program and has no other. `ends`: every track that plays has an
    end. `legal_events`: there is nothing but events before it. `matched`: every note off ends a note of its track.
    `within_bar`: no track is longer than 96 steps. `two_tracks`: at least two tracks have notes.
    """
    tokens = as_tracks(sequences)
    chunks = [_validity(tokens[start : start + CHUNK]) for start in range(0, len(tokens), CHUNK)] or [_validity(tokens)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def valid_measures(sequences: np.ndarray | Tensor) -> np.ndarray:
    """Which of sequences (N, 512) are valid in everything that [`validity`] looks at: bool (N,)."""
    return np.logical_and.reduce(list(validity(sequences).values()))


def is_valid_measure(sequence: np.ndarray | Tensor) -> bool:
    """Whether one sequence (512,) is valid; see [`validity`]."""
    return bool(valid_measures(sequence)[0])


def chord_tone_share(sequences: np.ndarray | Tensor, chords: int | np.ndarray | Tensor | Sequence) -> np.ndarray:
    """How much of the sounding time of pitched notes lies on tones of the chord, 0..1, for each sequence.

    Args:
        sequences: integers (N, 512).
        chords: chord numbers 0..48: one for all, one for each sequence (N,), or one for each of its steps (N, 96). Time
            without a chord does not count.

    Returns:
        `ndarray` of shape (N,), float64; NaN where nothing pitched sounds under a chord.
    """
    sequences = as_tracks(sequences)
    chords = np.asarray(chords.cpu() if isinstance(chords, Tensor) else chords).astype(np.int64)
    given = chords.shape
    if chords.ndim < 2:
        chords = np.full((len(sequences), 1), chords) if chords.ndim == 0 else chords[:, None]
    if chords.shape not in ((len(sequences), 1), (len(sequences), STEPS_PER_BAR)):
        raise ValueError(
            f"chords must be a number, or of the shape ({len(sequences)},) or ({len(sequences)}, {STEPS_PER_BAR}); "
            f"got {given}."
        )
    if chords.size and not (chords.min() >= 0 and chords.max() < NUM_CHORDS):
        raise ValueError(f"Chords are numbers 0..{NUM_CHORDS - 1}, got {chords.min()}..{chords.max()}.")
    shares = []
    for first in range(0, len(sequences), CHUNK):
        own = np.broadcast_to(chords[first : first + CHUNK], (len(chords[first : first + CHUNK]), STEPS_PER_BAR))
        notes = _read(sequences[first : first + CHUNK], 0)[0]
        notes = notes.select(~notes.is_drum)
        on_tones = np.zeros((len(own), 13, STEPS_PER_BAR + 1), dtype=np.int16)  # steps before t; row 12: with any chord
        on_tones[:, :12, 1:] = CHORD_TONES[own].transpose(0, 2, 1).cumsum(axis=2)
        on_tones[:, 12, 1:] = (own != NO_CHORD).cumsum(axis=1)

        def steps(row, on_tones=on_tones, notes=notes):
            count = on_tones[notes.item, row, notes.end] - on_tones[notes.item, row, notes.start]
            return np.bincount(notes.item, count, minlength=len(on_tones))

        chord_steps, tone_steps = steps(12), steps(notes.pitch % 12)
        shares.append(np.divide(tone_steps, chord_steps, out=np.full(len(own), np.nan), where=chord_steps > 0))
    return np.concatenate(shares) if shares else np.zeros(0)


def program_sets(sequences: np.ndarray | Tensor) -> np.ndarray:
    """Which programs play in each of sequences (N, 512): bool (N, 129), the last column drums."""
    notes = measure_notes(sequences)
    sets = np.zeros((len(as_tracks(sequences)), NUM_PROGRAMS), dtype=bool)
    sets[notes.item, notes.program] = True
    return sets


def program_set(sequence: np.ndarray | Tensor) -> frozenset[int]:
    """The General MIDI programs 0..127 that play in one sequence (512,); 128: drums."""
    return frozenset(np.flatnonzero(program_sets(sequence)[0]).tolist())


def program_overlaps(sequences: np.ndarray | Tensor, others: np.ndarray | Tensor) -> np.ndarray:
    """The Jaccard overlap 0..1 of the programs in `sequences` (N, 512) with those in `others` (N, 512), row by row: float64
    (N,); 1 where both are silent."""
    first, second = program_sets(sequences), program_sets(others)
    either = (first | second).sum(axis=1)
    return np.where(either == 0, 1.0, (first & second).sum(axis=1) / np.maximum(either, 1))


def program_overlap(programs: frozenset[int] | set[int], others: frozenset[int] | set[int]) -> float:
    """The Jaccard overlap 0..1 of two sets of programs; 1 where both are empty."""
    return len(programs & others) / len(programs | others) if programs | others else 1.0


def as_tracks(sequences: np.ndarray | Tensor) -> np.ndarray:
    """Sequences (N, 512), or one (512,), as tracks (N, 8, 64), int64.

    Raises:
        ValueError: for another shape, or other numbers than integers.
    """
    tokens = np.asarray(sequences.cpu() if isinstance(sequences, Tensor) else sequences)
    tokens = tokens[None] if tokens.ndim == 1 else tokens
    length = MAX_TRACKS * MAX_TRACK_TOKENS
    if tokens.ndim != 2 or tokens.shape[1] != length or tokens.dtype.kind not in "iu":
        raise ValueError(f"Multitrack sequences are integers of the shape (N, {length}), got {tokens.dtype} {tokens.shape}.")
    return tokens.astype(np.int64).reshape(len(tokens), MAX_TRACKS, MAX_TRACK_TOKENS)


def _cut(tokens: np.ndarray) -> np.ndarray:
    """Tracks (N, 8, 64) with padding after the first end of each, or after the first padding."""
    is_end = tokens == END
    return np.where((is_end | (tokens == PADDING)).cumsum(axis=2) > is_end, PADDING, tokens)


def _within(tokens: np.ndarray, first: int, end: int) -> np.ndarray:
    return (tokens >= first) & (tokens < end)


def _read(tokens: np.ndarray, first_item: int) -> tuple[MeasureNotes, np.ndarray]:
    """The notes of tracks (N, 8, 64), and which sequences have a note off that ends nothing, bool (N,)."""
    tokens = _cut(tokens)
    num_items, num_tracks, _ = tokens.shape
    is_program = _within(tokens, PROGRAM, END)
    programs = np.take_along_axis(tokens, is_program.argmax(axis=2)[..., None], axis=2)[..., 0] - PROGRAM
    programs = np.where(is_program.any(axis=2), programs, 0)
    times = np.where(_within(tokens, TIME_SHIFT, VELOCITY), tokens - TIME_SHIFT + 1, 0).cumsum(axis=2)
    places = np.where(_within(tokens, VELOCITY, PROGRAM), np.arange(MAX_TRACK_TOKENS), -1)
    places = np.maximum.accumulate(places, axis=2)
    bins = np.take_along_axis(tokens, np.maximum(places, 0), axis=2) - VELOCITY + 1
    bins = np.where(places < 0, INITIAL_BIN, bins)

    # Events of one pitch of one track side by side, in their order.
    item, track, place = np.nonzero(_within(tokens, NOTE_ON, TIME_SHIFT))
    event = tokens[item, track, place]
    key = (item * num_tracks + track) * NOTE_OFF + event % NOTE_OFF
    order = np.argsort(key, kind="stable")
    item, track, place, event, key = item[order], track[order], place[order], event[order], key[order]
    is_on = event < NOTE_OFF
    begins, group = np.unique(key, return_index=True, return_inverse=True)[1:]
    # A note off with no note sounding takes the count of sounding notes to a new low below nothing.
    low = -(2 * MAX_TRACK_TOKENS) * group
    sounding = _counted(np.where(is_on, 1, -1), begins, group) + low
    lowest = np.minimum.accumulate(np.minimum(sounding, low)) if len(sounding) else sounding
    lowest_before = np.minimum(np.concatenate([[0], lowest[:-1]]), low) if len(sounding) else sounding
    unmatched = ~is_on & (sounding < lowest_before)
    # The first note on goes with the first note off that ends anything, the second with the second.
    is_off = ~is_on & ~unmatched
    offs = np.flatnonzero(is_off)
    num_offs = np.bincount(group[offs], minlength=len(begins))
    rank = (_counted(is_on.astype(np.int64), begins, group) - 1)[is_on]
    own = group[is_on]
    has_off = rank < num_offs[own]
    off = offs[(np.cumsum(num_offs) - num_offs)[own[has_off]] + rank[has_off]]
    at = times[item, track, place]
    end = np.full(len(own), STEPS_PER_BAR)
    end[has_off] = np.minimum(at[off], STEPS_PER_BAR)
    item_on, track_on = item[is_on], track[is_on]
    notes = MeasureNotes(
        item_on + first_item,
        track_on,
        programs[item_on, track_on],
        event[is_on],
        at[is_on],
        end,
        bins[item_on, track_on, place[is_on]],
    )
    notes = notes.select(notes.end > notes.start)
    return notes, np.bincount(item[unmatched], minlength=num_items) > 0


def _counted(values: np.ndarray, begins: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Running sums (E,) of `values` within each group, whose first elements are at `begins`."""
    sums = np.cumsum(values)
    return sums - (sums[begins] - values[begins])[group]


def _validity(tokens: np.ndarray) -> dict[str, np.ndarray]:
    notes, unmatched = _read(tokens, 0)
    tokens = _cut(tokens)
    inside = (tokens != END) & (tokens != PADDING)
    is_empty = ~inside[..., 0]
    is_program = _within(tokens, PROGRAM, END) & inside
    one_program = is_program[..., 0] & (is_program.sum(axis=2) == 1)
    steps = np.where(_within(tokens, TIME_SHIFT, VELOCITY), tokens - TIME_SHIFT + 1, 0).sum(axis=2)
    tracks_with_notes = np.zeros(tokens.shape[:2], dtype=bool)
    tracks_with_notes[notes.item, notes.track] = True
    return {
        "program_first": (one_program | is_empty).all(axis=1),
        "ends": ((tokens == END).any(axis=2) | is_empty).all(axis=1),
        "legal_events": _within(tokens, PADDING, NUM_EVENTS).all(axis=(1, 2)),
        "matched": ~unmatched,
        "within_bar": (steps <= STEPS_PER_BAR).all(axis=1),
        "two_tracks": tracks_with_notes.sum(axis=1) >= MIN_TRACKS,
    }


__all__ = [
    "NUM_PROGRAMS",
    "MeasureNotes",
    "as_tracks",
    "chord_tone_share",
    "is_valid_measure",
    "measure_notes",
    "program_overlap",
    "program_overlaps",
    "program_set",
    "program_sets",
    "valid_measures",
    "validity",
]

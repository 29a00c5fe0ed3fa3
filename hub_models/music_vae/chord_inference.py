"""Chords inferred from notes: the most probable path through a hidden Markov model of keys and chords.

It is the model of note-seq's chord inference, with its probabilities, so that it finds the chords that the original's
chord-conditioned models were trained with. A state is a key (one of 12 major scales) and a chord (none, or one of eight
kinds on one of 12 roots). A key prefers chords of its own notes, it seldom changes, and the chord changes every other frame;
a frame's notes point in the direction of the notes of its chord.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from .chord_symbols import NO_CHORD_SYMBOL, PITCH_CLASSES
from .note_sequence import NoteSequence

KEY_CHANGE_PROBABILITY = 0.001
CHORD_CHANGE_PROBABILITY = 0.5
OUT_OF_KEY_PROBABILITY = 0.01  # of each note of a chord
CONCENTRATION = 100.0  # how closely the notes played follow the chord
CHORDS_PER_BAR = 2  # in 4/4
ORIGINAL_CHORDS_PER_BAR = {(4, 4): 2, (2, 2): 1}  # of the metres whose bars are as long as this
MAX_ORIGINAL_CHORDS = 1000
# Longer music is taken in parts of this many frames, about 2,000 bars, so that memory stays bounded.
MAX_FRAMES = 4096
# What a note held for more frames than this adds to those in its middle is counted, not added up one by one.
MAX_FRAMES_PER_NOTE = 32
# Synthesiser effects, percussion and sound effects of General MIDI have no pitch to speak of.
UNPITCHED_PROGRAMS = (*range(96, 104), *range(112, 128))

SCALE = (0, 2, 4, 5, 7, 9, 11)
CHORD_KINDS = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "+": (0, 4, 8),
    "dim": (0, 3, 6),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
}
INFERRED_SYMBOLS = (NO_CHORD_SYMBOL, *(root + kind for root in PITCH_CLASSES for kind in CHORD_KINDS))


def pitched_notes(notes: NoteSequence) -> np.ndarray:
    """Bool mask (N,) of the notes that chords are inferred from."""
    return ~notes.is_drum & ~np.isin(notes.program, UNPITCHED_PROGRAMS)


def infer_chords(start: np.ndarray, end: np.ndarray, pitch: np.ndarray, frame_length: float, num_frames: int) -> np.ndarray:
    """One chord for each frame of `frame_length`.

    Args:
        start, end (`ndarray` of shape (N,), float64): of notes, in any unit of time.
        pitch (`ndarray` of shape (N,), int64): MIDI pitches.
        frame_length (`float`): in the same unit.
        num_frames (`int`): F, at least 1; the last frame also holds whatever lies behind it.

    Returns:
        `ndarray` of shape (F,), int64: places in `INFERRED_SYMBOLS`.
    """
    model = _model()
    profiles = pitch_class_profiles(start, end, pitch, frame_length, num_frames)
    scores = CONCENTRATION * np.dot(profiles, model.chord_profiles.T)
    parts = [_most_probable_path(part, model) for part in np.split(scores, range(MAX_FRAMES, num_frames, MAX_FRAMES))]
    return np.concatenate(parts)


def pitch_class_profiles(
    start: np.ndarray, end: np.ndarray, pitch: np.ndarray, frame_length: float, num_frames: int
) -> np.ndarray:
    """How long each pitch class sounds in each frame, as unit vectors (F, 12); zeros where nothing sounds."""
    boundaries = frame_length * np.arange(1, num_frames)
    # Sums are made in the order of starts, as the original makes them: what rounding leaves decides between equal chords.
    order = np.argsort(start, kind="stable")
    start, end, pitch_class = start[order], end[order], pitch[order] % 12
    first = np.searchsorted(boundaries, start, side="right")
    last = np.maximum(np.searchsorted(boundaries, end, side="left"), first)
    lower, upper = np.append(0.0, boundaries), np.append(boundaries, 0.0)  # of each frame
    profiles = np.zeros((num_frames, 12))

    held = last - first >= MAX_FRAMES_PER_NOTE
    changes = np.zeros((num_frames + 1, 12))
    np.add.at(changes, (first[held] + 1, pitch_class[held]), 1.0)
    np.add.at(changes, (last[held], pitch_class[held]), -1.0)
    if held.any():
        profiles += np.cumsum(changes, axis=0)[:-1] * (upper - lower)[:, None]

    counts = np.where(held, 2, last - first + 1)
    note = np.repeat(np.arange(len(start)), counts)
    place = np.arange(len(note)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_last = place == counts[note] - 1
    frame = np.where(is_last, last[note], first[note] + place)
    from_time = np.where(place == 0, start[note], lower[frame])
    to_time = np.where(is_last, end[note], upper[frame])
    np.add.at(profiles, (frame, pitch_class[note]), to_time - from_time)

    norms = np.linalg.norm(profiles, axis=1)
    sounding = norms > 0
    profiles[sounding] /= norms[sounding, None]
    return profiles


class _Model(NamedTuple):
    """Log probabilities, by key K = 12 and chord C = 97.

    Args:
        chord_profiles: (C, 12) unit vectors of the chords' notes.
        chords: (K, C) of a chord in a key.
        same_key: (K, C, C) of a chord (second axis) after another (last axis), where the key stays.
        new_key: (K, C) of a chord in a key that was not the key before.
    """

    chord_profiles: np.ndarray
    chords: np.ndarray
    same_key: np.ndarray
    new_key: np.ndarray


@cache
def _model() -> _Model:
    notes = np.zeros((len(INFERRED_SYMBOLS), 12))
    for index, (root, kind) in enumerate((root, kind) for root in range(12) for kind in CHORD_KINDS.values()):
        notes[index + 1, (root + np.array(kind)) % 12] = 1.0
    in_scale = np.zeros((12, 12))
    for key in range(12):
        in_scale[key, (key + np.array(SCALE)) % 12] = 1.0
    inside = (in_scale @ notes.T).astype(np.int32)  # how many of each chord's notes belong to each key
    outside = notes.sum(axis=1).astype(np.int32) - inside
    chords = (1 - OUT_OF_KEY_PROBABILITY) ** inside * OUT_OF_KEY_PROBABILITY**outside
    chords /= chords.sum(axis=1)[:, None]

    # Where the chord changes, the probability of the one that was is shared out among the others.
    shared = chords / (len(INFERRED_SYMBOLS) - 1)
    same_key = (1 - KEY_CHANGE_PROBABILITY) * (CHORD_CHANGE_PROBABILITY * (chords[:, :, None] + shared[:, None, :]))
    stays = np.eye(len(INFERRED_SYMBOLS), dtype=bool)
    same_key[:, stays] = (1 - KEY_CHANGE_PROBABILITY) * (1 - CHORD_CHANGE_PROBABILITY)
    new_key = KEY_CHANGE_PROBABILITY / 11 * chords
    lengths = np.linalg.norm(notes, axis=1)
    lengths[0] = 1.0
    return _Model(notes / lengths[:, None], np.log(chords), np.log(same_key), np.log(new_key))


def _most_probable_path(scores: np.ndarray, model: _Model) -> np.ndarray:
    """Chords (F,) from log likelihoods (F, C): Viterbi's algorithm.

    A change of key costs the same from every chord of every other key, so that of 1164 x 1164 transitions only those within
    each key are looked at. Which state came before is asked on the way back, of the states on the path alone.
    """
    num_frames, num_chords = scores.shape
    best = np.empty((num_frames, 12, num_chords))  # log probability of the best path to each state
    best[0] = -np.log(12) + model.chords + scores[0]
    candidates = np.empty_like(model.same_key)
    for frame in range(1, num_frames):
        before = best[frame - 1]
        np.add(model.same_key, before[:, None, :], out=candidates)
        of_keys = before.max(axis=1)
        highest = of_keys.argmax()
        elsewhere = np.full((12, 1), of_keys[highest])
        elsewhere[highest] = np.delete(of_keys, highest).max()
        np.maximum(candidates.max(axis=2), elsewhere + model.new_key, out=best[frame])
        best[frame] += scores[frame]

    path = np.empty(num_frames, dtype=np.int64)
    key, path[-1] = np.unravel_index(best[-1].argmax(), best.shape[1:])
    for frame in range(num_frames - 1, 0, -1):
        chord = path[frame]
        before = best[frame - 1] + model.new_key[key, chord]
        before[key] = best[frame - 1, key] + model.same_key[key, chord]
        key, path[frame - 1] = np.unravel_index(before.argmax(), before.shape)
    return path

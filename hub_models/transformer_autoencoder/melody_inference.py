"""The melody of a performance: by the original's model (Viterbi), or simply the highest note."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .performance_notes import PerformanceNotes

MAX_NUM_FRAMES = 10_000
MELODY_VELOCITY = 127
DRUM_INSTRUMENT = 9  # the number that the melody's instrument must not have
# General MIDI programs without pitch: synth effects, percussive, sound effects.
UNPITCHED_PROGRAMS = (*range(96, 104), *range(112, 128))

# The model: how probable a rest is after a note, how wide intervals are, and how a frame of music looks under a melody.
REST_PROBABILITY = 0.1
INTERVAL_SCALE = 2.0
NOT_HIGHEST_PROBABILITY = 1e-15
NOT_SOUNDING_PROBABILITY = 1e-15


class MelodyInferenceError(ValueError):
    """Music too long for one inference."""


class Frames(NamedTuple):
    """What sounds between the moments at which notes begin and end.

    Args:
        pitches (`ndarray` of shape (P,), int64): those that occur, ascending.
        has_onset (`ndarray` of shape (F, P), bool): whether a note of the pitch begins with the frame.
        has_note (`ndarray` of shape (F, P), bool): whether one sounds.
        times (`ndarray` of shape (F + 1,), float64): seconds at which frames begin, and the end of the last.
    """

    pitches: np.ndarray
    has_onset: np.ndarray
    has_note: np.ndarray
    times: np.ndarray


def infer_melody(notes: PerformanceNotes) -> PerformanceNotes:
    """The most probable melody of a performance: exactly `infer_melody_for_sequence` of the original's note_seq.

    A hidden Markov model whose states are a rest, the onset of a pitch and its continuation; every onset of the melody is
    the onset of a note, the highest notes are preferred and small intervals too. Drums and unpitched programs do not count.

    Returns:
        The melody, velocity 127, as a new instrument of a piece that lasts as long as the performance.

    Raises:
        MelodyInferenceError: if there are over 10,000 frames, as in the original.
    """
    music = _pitched(notes)
    if not len(music):
        return _melody([], notes)
    num_frames = count_frames(music)
    if num_frames > MAX_NUM_FRAMES:
        raise MelodyInferenceError(
            f"The melody of {len(music):,} notes has {num_frames:,} frames between its notes' beginnings and ends; at most "
            f"{MAX_NUM_FRAMES:,} are read at once."
        )
    frames = note_frames(music)
    states = _most_probable_states(frames)
    num_pitches = len(frames.pitches)
    rows: list[list[float]] = []
    sounding = False
    for state, time in zip(states.tolist(), frames.times[:-1].tolist(), strict=True):
        if sounding and state <= num_pitches:  # a rest or an onset ends the note
            rows[-1][3] = time
        if 0 < state <= num_pitches:
            rows.append([int(frames.pitches[state - 1]), MELODY_VELOCITY, time, float(frames.times[-1])])
        sounding = state > 0
    return _melody(rows, notes)


def infer_long_melody(notes: PerformanceNotes, max_frames: int = MAX_NUM_FRAMES) -> tuple[PerformanceNotes, list[float]]:
    """As [`infer_melody`], for music of any length: what is too long is read in parts.

    It is parted at rests, where nothing sounds on, or where there is no rest within three quarters of `max_frames`, where a
    note begins; the melody then lacks what sounds on there.

    Returns:
        The melody, and the moments in seconds at which it was parted.
    """
    music = _pitched(notes)
    if not len(music) or count_frames(music) <= max_frames:
        return infer_melody(notes), []
    times, onsets = _event_times(music), np.unique(music.start)
    order = np.argsort(music.start, kind="stable")
    sounding_until = np.maximum.accumulate(music.end[order])
    after_rests = music.start[order][1:][music.start[order][1:] > sounding_until[:-1]]
    seams = [0.0]
    while (first := int(np.searchsorted(times, seams[-1], side="right"))) + max_frames <= len(times):
        earliest, latest = times[first + max_frames // 4], times[first + max_frames - 1]
        rests = after_rests[(after_rests >= earliest) & (after_rests <= latest)]
        begins = onsets[(onsets > seams[-1]) & (onsets <= latest)]
        seams.append(float([latest, *begins[-1:], *rests[-1:]][-1]))
    rows: list[tuple[float, ...]] = []
    for begin, until in pairwise([*seams, np.inf]):
        part = infer_melody(music.cut(begin, until))
        columns = (part.pitch, part.velocity, part.start + begin, part.end + begin)
        rows += zip(*(column.tolist() for column in columns), strict=True)
    return _melody(rows, notes), seams[1:]


def skyline(notes: PerformanceNotes) -> PerformanceNotes:
    """The highest note that sounds, at every moment: a note begins where it becomes the highest with its own beginning.

    A lower note that was struck under a higher one does not come back when that ends. Returned as by [`infer_melody`].
    """
    music = _pitched(notes)
    rows: list[list[float]] = []
    order = np.lexsort((-music.pitch, music.start))
    for pitch, start, end in zip(*(column[order].tolist() for column in (music.pitch, music.start, music.end)), strict=True):
        if rows and rows[-1][3] > start:  # the melody's last note still sounds
            if pitch < rows[-1][0] or rows[-1][2] == start:
                continue
            rows[-1][3] = start
        rows.append([pitch, MELODY_VELOCITY, start, end])
    return _melody(rows, notes)


def legato(melody: PerformanceNotes) -> PerformanceNotes:
    """Each note of a melody held until the next begins, in order of time; so the original's notebook sings its melodies."""
    in_order = melody.select(np.argsort(melody.start, kind="stable"))
    return replace(in_order, end=np.concatenate([in_order.start[1:], in_order.end[-1:]]))


def _pitched(notes: PerformanceNotes) -> PerformanceNotes:
    return notes.select(~notes.is_drum & ~np.isin(notes.program, UNPITCHED_PROGRAMS))


def _melody(rows: list, notes: PerformanceNotes) -> PerformanceNotes:
    """The melody of a piece, as an instrument more than it has."""
    instrument = int(notes.instrument.max()) + 1 if len(notes) else 0
    instrument += instrument == DRUM_INSTRUMENT
    melody = PerformanceNotes.from_rows(rows, total_seconds=notes.total_seconds)
    return replace(melody, instrument=melody.instrument + instrument, tempos=notes.tempos, metres=notes.metres)


def count_frames(notes: PerformanceNotes) -> int:
    """F: how many frames lie between the beginnings and ends of notes."""
    return len(_event_times(notes)) + 1


def _event_times(notes: PerformanceNotes) -> np.ndarray:
    times = np.unique(np.concatenate([notes.start, notes.end]))
    return times[(times != 0.0) & (times != notes.total_seconds)]


def note_frames(notes: PerformanceNotes) -> Frames:
    """The [`Frames`] of notes that have pitches."""
    times = _event_times(notes)
    pitches, column = np.unique(notes.pitch, return_inverse=True)
    first = np.searchsorted(times, notes.start, side="right")
    last = np.searchsorted(times, notes.end, side="left")
    has_onset = np.zeros((len(times) + 1, len(pitches)), dtype=bool)
    has_onset[first, column] = True
    begins = np.zeros((len(times) + 2, len(pitches)), dtype=np.int32)
    real = last >= first  # all but notes without length
    np.add.at(begins, (first[real], column[real]), 1)
    np.add.at(begins, (last[real] + 1, column[real]), -1)
    has_note = np.cumsum(begins, axis=0)[:-1] > 0
    return Frames(pitches, has_onset, has_note, np.concatenate([[0.0], times, [notes.total_seconds]]))


@cache
def _interval_log_probabilities() -> np.ndarray:
    """(128, 128): of going from a note of one pitch to the onset of another, normalised over all pitches of MIDI."""
    interval = np.arange(128)[:, None] - np.arange(128)
    weights = 1 / (1 + (interval / INTERVAL_SCALE) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.log(weights * (1 - REST_PROBABILITY))


def _frame_log_likelihoods(frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """(F, P) each: of every frame if it is the onset of a pitch in the melody, and if it continues one.

    Impossible are an onset where no note begins and a continuation where one does.
    """
    higher = np.zeros_like(frames.has_note)
    higher[:, :-1] = np.logical_or.accumulate(frames.has_note[:, :0:-1], axis=1)[:, ::-1]
    is_highest = np.where(higher, NOT_HIGHEST_PROBABILITY, 1 - NOT_HIGHEST_PROBABILITY)
    sounds = np.where(frames.has_note, 1 - NOT_SOUNDING_PROBABILITY, NOT_SOUNDING_PROBABILITY)
    durations = np.diff(frames.times)[:, None]
    with np.errstate(divide="ignore"):
        onset = durations * np.log(frames.has_onset * is_highest)
        held = durations * np.log(~frames.has_onset * is_highest * sounds)
    return onset, held


def _most_probable_states(frames: Frames) -> np.ndarray:
    """The Viterbi path (F,): 0 a rest, 1..P the onset of a pitch, P + 1..2P its continuation.

    Only what can be is computed: onsets where notes begin, a rest where nothing sounds, and a continuation from its own
    pitch alone. Of equals the lowest state wins, as in the original.
    """
    onset_likelihood, held_likelihood = _frame_log_likelihoods(frames)
    num_frames, num_pitches = onset_likelihood.shape
    intervals = _interval_log_probabilities()[np.ix_(frames.pitches, frames.pitches)]
    to_onset = np.concatenate([np.full((1, num_pitches), np.log(1 / 128)), intervals, intervals]).T.copy()  # (P, 1 + 2P)
    rest_step = np.log(REST_PROBABILITY)
    is_silent = ~frames.has_note.any(axis=1)
    beginning = [np.flatnonzero(row) for row in frames.has_onset]

    rest, onset, held = 0, slice(1, num_pitches + 1), slice(num_pitches + 1, None)
    scores = np.full(2 * num_pitches + 1, -np.inf)  # of the best path into each state
    scores[rest] = 0.0  # before the first frame is a rest
    parents = np.zeros((num_frames, 2 * num_pitches + 1), dtype=np.int32)
    held_states = np.arange(num_pitches)
    for frame in range(num_frames):
        new, parent = np.full_like(scores, -np.inf), parents[frame]
        from_onset = scores[onset] >= scores[held]
        new[held] = np.where(from_onset, scores[onset], scores[held]) + held_likelihood[frame]
        parent[held] = held_states + np.where(from_onset, 1, num_pitches + 1)
        if len(beginning[frame]):
            pitches = beginning[frame]
            paths = scores + to_onset[pitches]
            best = paths.argmax(axis=1)
            new[1 + pitches] = paths[np.arange(len(pitches)), best] + onset_likelihood[frame, pitches]
            parent[1 + pitches] = best
        if is_silent[frame]:
            paths = scores + rest_step
            paths[rest] = scores[rest]
            parent[rest] = paths.argmax()
            new[rest] = paths[parent[rest]]
        scores = new
    path = np.empty(num_frames, dtype=np.int64)
    path[-1] = scores.argmax()
    for frame in range(num_frames - 1, 0, -1):
        path[frame - 1] = parents[frame, path[frame]]
    return path

"""The events of one-bar tracks as numbers: notes to tokens, many tracks at a time, and tokens to notes.

A track is a program token, up to 62 events (note on, note off, time shift, velocity), and an end token; padding fills it up
to 64. Its events come in the original's order: by step; within a step notes end first, then others begin; notes that end
together in the order in which they began, the lower first; a velocity token only where the velocity changes.
"""

from typing import NamedTuple

import numpy as np

NOTE_ON = 0  # 0..127, by pitch
NOTE_OFF = 128  # 128..255
TIME_SHIFT = 256  # token 256 + n - 1 shifts by n steps, 1..96
VELOCITY = 352  # 352..359: bins 1..8
PROGRAM = 360  # 360..487, by General MIDI program
DRUMS = 488
END = 489
NUM_EVENTS = 490
PADDING = -1

STEPS_PER_BAR = 96
VELOCITY_BINS = 8
VELOCITIES_PER_BIN = 128 // VELOCITY_BINS
MAX_TRACKS = 8
MAX_TRACK_TOKENS = 64
MAX_TRACK_EVENTS = MAX_TRACK_TOKENS - 2  # without the program and the end
INITIAL_VELOCITY = 100  # of notes before the first velocity token

# Steps by which each token moves on in its bar.
DURATIONS = np.zeros(NUM_EVENTS, dtype=np.int64)
DURATIONS[TIME_SHIFT:VELOCITY] = np.arange(1, STEPS_PER_BAR + 1)


class TrackNotes(NamedTuple):
    """Notes of many one-bar tracks.

    Args:
        track (`ndarray` of shape (M,), int64): which track each note belongs to, 0 to below the number of tracks.
        start, end (`ndarray` of shape (M,), int64): steps within the bar, `0 <= start < end <= 96`.
        pitch (`ndarray` of shape (M,), int64): MIDI pitch.
        bin (`ndarray` of shape (M,), int64): velocity bin, 1..8.
    """

    track: np.ndarray
    start: np.ndarray
    end: np.ndarray
    pitch: np.ndarray
    bin: np.ndarray

    def select(self, mask: np.ndarray) -> "TrackNotes":
        """The notes where the bool mask (M,) is true."""
        return TrackNotes(*(column[mask] for column in self))


def velocity_bins(velocity: np.ndarray) -> np.ndarray:
    """Bins 1..8 of MIDI velocities."""
    return np.maximum((velocity - 1) // VELOCITIES_PER_BIN + 1, 1)


def velocity_of_bin(number: int) -> int:
    """The MIDI velocity that a bin stands for: the lowest in it."""
    return 1 + VELOCITIES_PER_BIN * (number - 1)


def paired(notes: TrackNotes) -> TrackNotes:
    """The notes in the order of their track, start and pitch, with what ends first belonging to what began first: notes of
    one pitch that overlap cannot be told apart. Of notes that begin together, the first given stays the first."""
    by_start = np.lexsort((notes.start, notes.pitch, notes.track))
    by_end = np.lexsort((notes.end, notes.pitch, notes.track))
    ends = np.empty_like(notes.end)
    ends[by_start] = notes.end[by_end]
    order = np.lexsort((notes.pitch, notes.start, notes.track))
    return notes._replace(end=ends).select(order)


def count_events(notes: TrackNotes, num_tracks: int) -> np.ndarray:
    """Number of events of each track (num_tracks,), for notes in the order of [`paired`]."""
    grid = STEPS_PER_BAR + 1
    moments = np.zeros((num_tracks, grid), dtype=bool)
    moments[notes.track, notes.start] = True
    moments[notes.track, notes.end] = True
    moments[:, 0], moments[:, -1] = False, True  # the track starts at step 0, and is filled up to the bar line
    counts = moments.sum(axis=1)
    counts += 2 * np.bincount(notes.track, minlength=num_tracks)
    return counts + np.bincount(notes.track[_velocity_changes(notes)], minlength=num_tracks)


def _velocity_changes(notes: TrackNotes) -> np.ndarray:
    changes = np.ones(len(notes.track), dtype=bool)
    changes[1:] = (np.diff(notes.track) != 0) | (np.diff(notes.bin) != 0)
    return changes


def thin_tracks(notes: TrackNotes, num_tracks: int, strength: np.ndarray) -> np.ndarray:
    """Which notes (M,), bool, to keep so that no track has more than 62 events: as many as fit of the strongest.

    Args:
        strength (`ndarray` of shape (M,)): weaker notes go first; of equally strong ones those that come later.
    """
    keep = np.ones(len(notes.track), dtype=bool)
    crowded = count_events(paired(notes), num_tracks) > MAX_TRACK_EVENTS
    among = np.flatnonzero(crowded[notes.track])
    if not len(among):
        return keep
    numbers = np.cumsum(crowded) - 1
    some = notes.select(among)
    some = some._replace(track=numbers[some.track])
    order = np.lexsort((np.arange(len(among)), -strength[among], some.track))
    counts = np.bincount(some.track)
    rank = np.empty(len(among), dtype=np.int64)
    rank[order] = np.arange(len(among)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Without a note a track never has more events, so that the largest number of notes that fits can be bisected.
    fits, fails = np.zeros(len(counts), dtype=np.int64), counts.copy()
    while (fails - fits > 1).any():
        middle = (fits + fails) // 2
        tried = count_events(paired(some.select(rank < middle[some.track])), len(counts)) <= MAX_TRACK_EVENTS
        fits, fails = np.where(tried, middle, fits), np.where(tried, fails, middle)
    keep[among] = rank < fits[some.track]
    return keep


def encode_tracks(notes: TrackNotes, programs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of many tracks.

    Args:
        notes: none of the tracks with more than 62 events.
        programs (`ndarray` of shape (K,), int64): of each track, the token of its program (360..488).

    Returns:
        tokens (K, 64) int16, padded with -1, and the step 0..96 at which each token stands, (K, 64) int16; -1 at program
        tokens and padding; the end token has that of the event before it.
    """
    notes = paired(notes)
    num_notes, num_tracks = len(notes.track), len(programs)
    # A row for each note that begins, each that ends, and the bar line: track, step, kind (end, begin, bar line), pitch.
    track = np.concatenate([notes.track, notes.track, np.arange(num_tracks)])
    step = np.concatenate([notes.start, notes.end, np.full(num_tracks, STEPS_PER_BAR)])
    kind = np.repeat([1, 0, 2], [num_notes, num_notes, num_tracks])
    token = np.concatenate([NOTE_ON + notes.pitch, NOTE_OFF + notes.pitch, np.full(num_tracks, END)])
    changed = _velocity_changes(notes)
    velocity = np.zeros(len(track), dtype=np.int64)
    velocity[:num_notes][changed] = VELOCITY + notes.bin[changed] - 1
    order = np.lexsort((kind, step, track))  # stable: notes are in the order of their starts and pitches
    track, step, token, velocity = track[order], step[order], token[order], velocity[order]

    first = np.ones(len(track), dtype=bool)
    first[1:] = np.diff(track) != 0
    before = np.where(first, 0, np.concatenate([[0], step[:-1]]))
    shift = step - before
    sizes = 1 + (shift > 0) + (velocity > 0)
    ends = np.cumsum(sizes)
    starts_of_tracks = (ends - sizes)[first]
    place = ends - sizes - starts_of_tracks[track] + 1  # behind the program token
    tokens = np.full((num_tracks, MAX_TRACK_TOKENS), PADDING, dtype=np.int16)
    steps = np.full((num_tracks, MAX_TRACK_TOKENS), -1, dtype=np.int16)
    tokens[:, 0] = programs
    shifts, velocities = shift > 0, velocity > 0
    tokens[track[shifts], place[shifts]] = TIME_SHIFT + shift[shifts] - 1
    steps[track[shifts], place[shifts]] = before[shifts]
    place = place + shifts
    tokens[track[velocities], place[velocities]] = velocity[velocities]
    steps[track[velocities], place[velocities]] = step[velocities]
    place = place + velocities
    tokens[track, place] = token
    steps[track, place] = step
    lines = np.flatnonzero(token == END)
    at = (np.arange(num_tracks), place[lines])
    steps[at] = steps[at[0], at[1] - 1]
    return tokens, steps


class Track(NamedTuple):
    """One track of a bar, read from its tokens.

    Args:
        program (`int`, *optional*): General MIDI program, 0..127; None where no token says one.
        is_drum (`bool`)
        notes (list of (pitch, velocity, start step, end step)): in the order in which they end; velocity None before the
            first velocity token.
    """

    program: int | None
    is_drum: bool
    notes: list[tuple[int, int | None, int, int]]


def cut_tracks(sequences: np.ndarray) -> np.ndarray:
    """Sequences (..., 512) as tracks (..., 8, 64) int64 with nothing but padding behind the first end token of each. A track
    without any token gets an end token."""
    tracks = sequences.reshape(*sequences.shape[:-1], MAX_TRACKS, MAX_TRACK_TOKENS).astype(np.int64)
    over = np.cumsum((tracks == END) | (tracks == PADDING), axis=-1)
    tracks = np.where(over - (tracks == END) > 0, PADDING, tracks)
    tracks[..., 0] = np.where(tracks[..., 0] == PADDING, END, tracks[..., 0])
    return tracks


def token_steps(tracks: np.ndarray) -> np.ndarray:
    """The step at which each token (..., 64) of tracks stands, as long as the tokens before it say."""
    durations = np.where(tracks >= 0, DURATIONS[np.maximum(tracks, 0)], 0)
    return np.cumsum(durations, axis=-1) - durations


def decode_track(tokens: np.ndarray) -> Track:
    """A track (L,) with nothing behind its end. Its first program token counts; a note that never ends, ends at the bar
    line; one without length, or that begins or ends behind it, is dropped or cut."""
    program, is_drum, velocity, step = None, None, None, 0
    notes, sounding = [], {}
    for token in tokens.tolist():
        if token in (END, PADDING):
            break
        if token < NOTE_OFF:
            sounding.setdefault(token, []).append((velocity, step))
        elif token < TIME_SHIFT:
            begun = sounding.get(token - NOTE_OFF)
            if begun:
                notes.append((token - NOTE_OFF, *begun.pop(0), step))
        elif token < VELOCITY:
            step += token - TIME_SHIFT + 1
        elif token < PROGRAM:
            velocity = velocity_of_bin(token - VELOCITY + 1)
        elif is_drum is None:
            is_drum = token == DRUMS
            program = None if is_drum else token - PROGRAM
    for pitch, begun in sounding.items():
        notes += [(pitch, *note, STEPS_PER_BAR) for note in begun]
    notes = [(pitch, v, start, min(end, STEPS_PER_BAR)) for pitch, v, start, end in notes]
    return Track(program, bool(is_drum), [note for note in notes if note[2] < note[3]])

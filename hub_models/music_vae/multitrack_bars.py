"""The bars of a file as tracks of tokens, and what is to be said of those that are left out or lose something."""

from dataclasses import dataclass, field

import numpy as np

from .multitrack_events import (
    DRUMS,
    END,
    MAX_TRACK_EVENTS,
    MAX_TRACK_TOKENS,
    MAX_TRACKS,
    PADDING,
    PROGRAM,
    STEPS_PER_BAR,
    TrackNotes,
    encode_tracks,
    thin_tracks,
    velocity_bins,
)
from .note_sequence import NoteSequence
from .pieces import Piece, Rejection, bars_text, split_musical
from .representation import Origin
from .sustain import apply_sustain

MIN_TRACKS = 2
MIN_EVENTS = 8  # two tracks that have notes have as many
BEATS_PER_BAR = 4
MAX_LISTED = 6
# Why bars are left out.
SILENT = "no note begins"
ONE_INSTRUMENT = f"one instrument plays; this model reads bars of {MIN_TRACKS} or more"
TOO_LITTLE = f"less than {MIN_EVENTS} events"


@dataclass
class Bars:
    """Bars found in a file.

    Args:
        tokens (`ndarray` of shape (N, 8, 64), int16): padded with -1.
        steps (`ndarray` of shape (N, 8, 64), int16): the step 0..96 at which each token stands; -1 at the first token of a
            track and at padding.
        origins (list of N [`Origin`]).
        rejections, reductions (list of [`Rejection`]).
        pieces (list of [`Piece`]): what the bars are cut from.
        places (`ndarray` of shape (N, 2), int64): of each bar its piece, and its number in the piece, from 0.
    """

    tokens: np.ndarray = field(default_factory=lambda: np.zeros((0, MAX_TRACKS, MAX_TRACK_TOKENS), dtype=np.int16))
    steps: np.ndarray = field(default_factory=lambda: np.zeros((0, MAX_TRACKS, MAX_TRACK_TOKENS), dtype=np.int16))
    origins: list[Origin] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    reductions: list[Rejection] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    places: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))

    @classmethod
    def joined(cls, found: "list[Bars]") -> "Bars":
        """All bars of `found`, without its remarks and pieces."""
        found = [cls(), *found]
        arrays = [np.concatenate([getattr(bars, name) for bars in found]) for name in ("tokens", "steps", "places")]
        return cls(*arrays[:2], [origin for bars in found for origin in bars.origins], places=arrays[2])


def musical_bars(notes: NoteSequence) -> Bars:
    """Bars along the tempo map. Of more than eight tracks in a bar the busiest stay; a track with more than 62 events is
    thinned out: its quietest notes go first, of these the shortest, of these those on the weakest places of the bar."""
    notes = apply_sustain(notes)
    pieces, rejections = split_musical(notes, STEPS_PER_BAR // BEATS_PER_BAR, STEPS_PER_BAR)
    remarks, found = Remarks(notes), []
    for number, piece in enumerate(pieces):
        tokens, steps, bars, instruments = _bars_of_piece(piece, remarks)
        places = np.stack([np.full(len(bars), number), bars], axis=1)
        quarters = piece.start_quarter + BEATS_PER_BAR * bars
        origins = [Origin(own, quarter) for own, quarter in zip(instruments, quarters.tolist(), strict=True)]
        found.append(Bars(tokens, steps, origins, places=places))
    bars = Bars.joined(found)
    bars.pieces, bars.rejections = pieces, rejections + remarks.rejections()
    bars.reductions = remarks.reductions()
    if notes.bent:
        names = ", ".join(repr(notes.instrument_names[index]) for index in notes.bent[:MAX_LISTED])
        bars.reductions.append(Rejection("pitch bends are not read", names))
    return bars


def _bars_of_piece(piece: Piece, remarks: "Remarks") -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, ...]]]:
    """Tokens (N, 8, 64), their steps, the numbers of the bars in the piece (N,), and the instruments of each."""
    # Of notes that begin together on one pitch, the one that is really first counts as the first.
    order = np.argsort(piece.notes.start, kind="stable")
    notes = piece.notes.select(order)
    start_step, end_step = piece.start_step[order], piece.end_step[order]
    bar = start_step // STEPS_PER_BAR
    num_bars = int(bar.max(initial=-1)) + 1
    start, end = start_step % STEPS_PER_BAR, np.minimum(end_step - bar * STEPS_PER_BAR, STEPS_PER_BAR)

    # Tracks are numbered by bar, then as they stand in a bar: drums last, by program, by instrument.
    keys = np.stack([bar, notes.is_drum, np.where(notes.is_drum, 0, notes.program), notes.instrument])
    tracks, track, sizes = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
    track = track.ravel()

    def say_of(bars: np.ndarray, reason: str):
        remarks.reject(reason, (piece.start_quarter + BEATS_PER_BAR * np.flatnonzero(bars)).tolist())

    counts = np.bincount(tracks[0], minlength=num_bars)
    say_of(counts == 0, SILENT)
    say_of((counts > 0) & (counts < MIN_TRACKS), ONE_INSTRUMENT)
    # The place of each track among those of its bar, the busiest first.
    busiest = np.lexsort((np.arange(len(sizes)), -sizes, tracks[0]))
    place = np.empty(len(sizes), dtype=np.int64)
    place[busiest] = np.arange(len(sizes)) - np.repeat(np.cumsum(counts) - counts, counts)
    stays = (place < MAX_TRACKS) & (counts >= MIN_TRACKS)[tracks[0]]
    tracks, keep = tracks[:, stays], stays[track]
    track = (np.cumsum(stays) - 1)[track[keep]]
    columns = start[keep], end[keep], notes.pitch[keep], velocity_bins(notes.velocity[keep])
    played = TrackNotes(track, *columns)
    is_kept = thin_tracks(played, len(stays[stays]), _strength(played, notes.velocity[keep]))
    lost, had = (np.bincount(some, minlength=tracks.shape[1]) for some in (track[~is_kept], track))
    played = played.select(is_kept)

    quarters = piece.start_quarter + BEATS_PER_BAR * np.arange(num_bars)
    for one in np.flatnonzero(counts > MAX_TRACKS):
        remarks.choose(float(quarters[one]), int(counts[one]))
    for one in np.flatnonzero(lost > 0):
        remarks.thin(int(tracks[3, one]), float(quarters[tracks[0, one]]), int(lost[one]), int(had[one]))

    programs = np.where(tracks[1], DRUMS, PROGRAM + tracks[2])
    return _in_bars(*encode_tracks(played, programs), tracks[0], tracks[3])


def _strength(notes: TrackNotes, velocity: np.ndarray) -> np.ndarray:
    """By which notes (M,) of a crowded track stay: loud ones, long ones, those on a beat."""
    in_beat = notes.start % (STEPS_PER_BAR // BEATS_PER_BAR)
    weight = sum((in_beat % part == 0).astype(np.int64) for part in (24, 12, 8, 6, 3))
    return (velocity * (STEPS_PER_BAR + 1) + notes.end - notes.start) * 8 + weight


def _in_bars(
    tokens: np.ndarray, steps: np.ndarray, bar: np.ndarray, instrument: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, ...]]]:
    """Tracks (K, 64) in the order of their bars (K,), bar by bar."""
    bars, first, row = np.unique(bar, return_index=True, return_inverse=True)
    instruments = [tuple(own.tolist()) for own in np.split(instrument, first[1:])] if len(bars) else []
    return *as_bars(tokens, steps, row, len(bars)), bars, instruments


def as_bars(tokens: np.ndarray, steps: np.ndarray, bar: np.ndarray, num_bars: int) -> tuple[np.ndarray, np.ndarray]:
    """Tracks (K, 64) in the order of their bars (K,), and the steps of their tokens, as bars (num_bars, 8, 64)."""
    counts = np.bincount(bar, minlength=num_bars)
    place = np.arange(len(bar)) - np.repeat(np.cumsum(counts) - counts, counts)
    all_tokens, all_steps = np.full((2, num_bars, MAX_TRACKS, MAX_TRACK_TOKENS), PADDING, dtype=np.int16)
    all_tokens[..., 0] = END
    all_tokens[bar, place], all_steps[bar, place] = tokens, steps
    return all_tokens, all_steps


class Remarks:
    """What is said of the bars of a file, told together: one sentence for all bars of which it is true."""

    def __init__(self, notes: NoteSequence):
        self.notes = notes
        self.rejected: dict[str, list[float]] = {}
        self.chosen: list[tuple[float, int]] = []
        self.thinned: dict[int, list[tuple[float, int, int]]] = {}

    def reject(self, reason: str, quarters: list[float]):
        """Bars of 4/4 that start at `quarters` are left out."""
        if quarters:
            self.rejected.setdefault(reason, []).extend(quarters)

    def choose(self, quarter: float, count: int):
        """Not all of a bar's `count` tracks are kept."""
        self.chosen.append((quarter, count))

    def thin(self, instrument: int, quarter: float, lost: int, had: int):
        """A track of a bar loses `lost` of the `had` notes it had."""
        self.thinned.setdefault(instrument, []).append((quarter, lost, had))

    def rejections(self) -> list[Rejection]:
        """One for each reason, in the order of the bars."""
        ordered = sorted(self.rejected.items(), key=lambda item: min(item[1]))
        return [Rejection(reason, self.bars(quarters)) for reason, quarters in ordered]

    def reductions(self) -> list[Rejection]:
        """One for all choices of tracks, and one for each instrument that was thinned out."""
        found = []
        if self.chosen:
            counts = [count for _, count in self.chosen]
            of = str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
            where = self.bars([quarter for quarter, _ in self.chosen])
            found.append(Rejection(f"kept the {MAX_TRACKS} busiest of {of} tracks", where))
        for instrument, bars in sorted(self.thinned.items()):
            quarters, lost, had = zip(*bars, strict=True)
            reason = (
                f"too dense for {MAX_TRACK_EVENTS} events in a bar; its quietest and shortest notes were left out, "
                f"{sum(lost)} of {sum(had)}"
            )
            found.append(Rejection(reason, f"{self.notes.instrument_names[instrument]!r}, {self.bars(list(quarters))}"))
        return found

    def bars(self, quarters: list[float]) -> str:
        """ "bar 3", "bars 3-9", "bars 3-9, 12 and 20-24": bars of 4/4 that start at `quarters`."""
        starts = np.unique(np.array(quarters))
        runs = np.split(starts, np.flatnonzero(np.abs(np.diff(starts) - BEATS_PER_BAR) > 1e-6) + 1)
        listed = [bars_text(self.notes, float(run[0]), float(run[-1]) + BEATS_PER_BAR) for run in runs[:MAX_LISTED]]
        numbers = [text.partition(" ")[2] for text in listed]
        if len(runs) > MAX_LISTED:
            numbers.append(f"{len(runs) - MAX_LISTED} more places")
        if len(numbers) == 1:
            return listed[0]
        return f"bars {', '.join(numbers[:-1])} and {numbers[-1]}"

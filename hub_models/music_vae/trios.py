"""Trios of a melody, a bass and drums over the same bars, extracted as the original does."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .drums import class_of_pitch, combination_bits, drum_instrument, hit_combinations
from .melodies import (
    FIRST_NOTE_ON,
    clear_leading_note_offs,
    highest_notes,
    melody_events,
    melody_instrument,
    move_notes,
)
from .note_sequence import NoteSequence
from .pieces import SPLITTERS, Piece, Rejection, bars_text
from .representation import BEATS_PER_BAR, Extraction, Line, Origin, Representation, drop_repeats, full_lengths

PARTS = ("melody", "bass", "drums")
MELODY, BASS, DRUMS = range(3)
BASS_PROGRAMS = range(32, 40)
# "original" reads General MIDI pianos, mallets, organs and guitars as melodies. "musical" reads every pitched instrument
# but the basses; percussive instruments and sound effects, from 112, carry no melody.
MELODY_PROGRAMS = {"original": [*range(32)], "musical": [*range(32), *range(40, 112)]}
MELODY_PROGRAMS_TEXT = {"original": "0-31", "musical": "0-31 and 40-111"}
WRITTEN_BASS_PROGRAM = 33  # electric bass, fingered
GAP_BARS = 2  # an instrument may rest so long around a bar and still count as playing in it
MAX_BARS = {"original": 1024, "musical": 4096}  # of a piece; what comes after is left out
# A file of thirty tracks has a thousand combinations; what they give must fit in memory.
MAX_COMBINATIONS = 10_000
MAX_WINDOWS = 20_000
MAX_LISTED = 4


@dataclass
class Part:
    """What one instrument plays over a whole piece.

    Args:
        instrument (`int`): its number in the file; -1 where all drum tracks were joined.
        steps (`ndarray` of shape (T,), uint16): melody events or drum combinations.
        played (`ndarray` of shape (B,), bool): bars with a note.
        covered (`ndarray` of shape (B,), bool): bars with a note at most `GAP_BARS` away.
    """

    instrument: int
    steps: np.ndarray
    played: np.ndarray
    covered: np.ndarray


class TrioRepresentation(Representation):
    """Three numbers per step: an event of the melody, an event of the bass (both as in a melody), and a combination of drum
    classes. A trio is read wherever all three play, with rests of a few bars. In mode "original" every melody, bass and drum
    track makes a trio with every other, and repeats are kept; "musical" joins all drum tracks.

    Args:
        min_pitch, max_pitch (`int`): range of MIDI pitches of melody and bass.
        drum_classes (`list[list[int]]`): MIDI pitches of each drum class, the one to write first; at most 16 classes.
    """

    name = "trio"
    music = "melody, bass and drums together"
    step_shape = (3,)
    sequence_shape = (3,)
    output_type = "multi_categorical"
    transposition = 5
    melodic = (MELODY, BASS)

    def __init__(self, num_bars: int, steps_per_quarter: int, min_pitch: int, max_pitch: int, drum_classes: list[list[int]]):
        super().__init__(num_bars, steps_per_quarter)
        if not 1 <= len(drum_classes) <= 16:
            raise ValueError(f"drum_classes of a trio must be 1 to 16 lists of MIDI pitches, got {len(drum_classes)}.")
        self.min_pitch = min_pitch
        self.max_pitch = max_pitch
        self.num_classes = len(drum_classes)
        self.pitch_to_class = class_of_pitch(drum_classes)
        self.output_pitches = [pitches[0] for pitches in drum_classes]
        self.num_events = max_pitch - min_pitch + 1 + FIRST_NOTE_ON
        self.output_sizes = [self.num_events, self.num_events, 2**self.num_classes]
        self.input_size = 2 * self.num_events + 2**self.num_classes

    def extract(self, notes: NoteSequence, mode: str) -> Extraction:
        pieces, rejections = SPLITTERS[mode](notes, self.steps_per_quarter, self.steps_per_bar)
        rejections += _other_instruments(notes, mode)
        windows, origins = [self.no_examples()], []
        short: list[tuple[np.ndarray, Origin]] = []
        missing: dict[str, list[Piece]] = {}
        room = MAX_WINDOWS
        for piece in pieces:
            if not len(piece.notes):
                continue
            parts = self._parts(piece, mode)
            absent = " and no ".join(name for name, found in zip(PARTS, parts, strict=True) if not found)
            if absent:
                missing.setdefault(absent, []).append(piece)
                continue
            longest = 0
            for combination in itertools.islice(itertools.product(*parts), MAX_COMBINATIONS):
                covered = _covered_by_all(combination)
                starts, length = _window_starts(covered, self.num_bars)
                longest = max(longest, length)
                if room < len(starts):
                    starts = starts[:room]
                if len(starts):
                    windows.append(self._windows(combination, starts))
                    origins += [_origin(combination, piece, bar) for bar in starts.tolist()]
                    room -= len(starts)
                elif mode == "musical" and len(short) < MAX_WINDOWS // 10 and not origins:
                    short += self._short_window(combination, covered, piece)
                if room == 0:
                    break
            if piece.end_step.max() > MAX_BARS[mode] * self.steps_per_bar:
                rejections.append(Rejection(f"only the first {MAX_BARS[mode]:,} bars are read", _where(notes, piece)))
            count = math.prod(len(found) for found in parts)
            if room == 0 or count > MAX_COMBINATIONS:
                limit = f"{MAX_WINDOWS:,} are read" if room == 0 else f"{MAX_COMBINATIONS:,} combinations are read"
                reason = f"{count:,} combinations of tracks give too many trios; the first {limit}"
                rejections.append(Rejection(reason, _where(notes, piece)))
            if room == 0:
                break
            if longest < self.num_bars:
                reason = f"melody, bass and drums play together for {longest} bars; this model needs {self.num_bars}"
                rejections.append(Rejection(reason, _where(notes, piece)))
        rejections += [_missing_parts(notes, absent, where, mode) for absent, where in missing.items()]
        if not origins:  # nothing longer than this: filled up with rests rather than send the person away
            windows += [window[None] for window, _ in short]
            origins += [origin for _, origin in short]
        examples = np.concatenate(windows)
        if mode == "musical":
            for part in (MELODY, BASS):
                examples[..., part] = clear_leading_note_offs(examples[..., part])
            examples, origins = drop_repeats(examples, origins)
        return Extraction(examples, origins, rejections)

    def _parts(self, piece: Piece, mode: str) -> tuple[list[Part], list[Part], list[Part]]:
        """The melodies, basses and drum tracks of a piece, each in the order of instruments."""
        num_bars = min(-(-int(piece.end_step.max()) // self.steps_per_bar), MAX_BARS[mode])
        notes, parts = piece.notes, ([], [], [])
        in_range = (notes.pitch >= self.min_pitch) & (notes.pitch <= self.max_pitch) & (notes.velocity > 0)
        for kind, programs in ((MELODY, MELODY_PROGRAMS[mode]), (BASS, BASS_PROGRAMS)):
            typed = ~notes.is_drum & np.isin(notes.program, programs)
            for instrument in np.unique(notes.instrument[typed & in_range]):
                own = notes.instrument == instrument
                heard = own & in_range
                start, end, pitch = highest_notes(piece.start_step[heard], piece.end_step[heard], notes.pitch[heard])
                steps = melody_events(start, end, pitch - self.min_pitch, num_bars * self.steps_per_bar)
                parts[kind].append(self._part(int(instrument), steps, piece, own, num_bars))
        drum_class = self.pitch_to_class[notes.pitch]
        known = notes.is_drum & (drum_class >= 0)
        for instrument in np.unique(notes.instrument[known]) if mode == "original" else [-1] * bool(known.any()):
            own = notes.is_drum & (notes.instrument == instrument) if instrument >= 0 else notes.is_drum
            steps = hit_combinations(piece.start_step[own], drum_class[own], num_bars * self.steps_per_bar)
            parts[DRUMS].append(self._part(int(instrument), steps, piece, own, num_bars))
        return parts

    def _part(self, instrument: int, steps: np.ndarray, piece: Piece, own: np.ndarray, num_bars: int) -> Part:
        """`own` are the notes of the instrument; those that cannot be encoded count as played, too."""
        edges = np.zeros(num_bars + 1, dtype=np.int64)  # notes that begin, minus those that ended before
        first = piece.start_step[own] // self.steps_per_bar
        after = -(-piece.end_step[own] // self.steps_per_bar)
        np.add.at(edges, np.minimum(first, num_bars), 1)
        np.add.at(edges, np.minimum(after, num_bars), -1)
        played = np.cumsum(edges)[:-1] > 0
        near = np.lib.stride_tricks.sliding_window_view(np.pad(played, GAP_BARS), 2 * GAP_BARS + 1)
        return Part(instrument, steps.astype(self.example_dtype), played, near.any(axis=1))

    def _windows(self, combination: tuple[Part, ...], starts: np.ndarray) -> np.ndarray:
        """Windows (N, T, 3) of three parts that begin at the bars `starts`."""
        windows = np.empty((len(starts), *self.example_shape), dtype=self.example_dtype)
        for index, part in enumerate(combination):
            views = np.lib.stride_tricks.sliding_window_view(part.steps, self.window_steps)
            windows[..., index] = views[starts * self.steps_per_bar]
        return windows

    def _short_window(
        self, combination: tuple[Part, ...], covered: np.ndarray, piece: Piece
    ) -> Iterator[tuple[np.ndarray, Origin]]:
        """The longest stretch of bars that all three play, which is shorter than a window, filled up with rests."""
        first, last = _longest_run(covered)
        played = np.flatnonzero(np.any([part.played[first:last] for part in combination], axis=0))
        if not len(played):
            return
        first, last = first + played[0], first + played[-1] + 1
        window = np.zeros(self.example_shape, dtype=self.example_dtype)
        steps = slice(first * self.steps_per_bar, last * self.steps_per_bar)
        for index, part in enumerate(combination):
            window[: steps.stop - steps.start, index] = part.steps[steps]
        if window.any(axis=0).all():
            yield window, _origin(combination, piece, int(first))

    def features(self, examples: np.ndarray | Tensor, rng: np.random.Generator | None = None) -> dict[str, Tensor]:
        labels = self.as_integers(examples)
        self.check_sequences(labels)
        one_hots = [torch.nn.functional.one_hot(labels[..., index], size) for index, size in enumerate(self.output_sizes)]
        return {"input_values": torch.cat(one_hots, dim=-1).float(), "labels": labels, "lengths": full_lengths(labels)}

    def lines(self, piece: Piece, num_steps: int, chosen: np.ndarray) -> Iterator[Line]:
        """One trio: the melody and the bass that begin notes in the most bars, and all drum tracks."""
        notes, read, instruments = piece.notes, np.zeros(len(piece.notes), dtype=bool), []
        steps = np.zeros((num_steps, *self.step_shape), dtype=self.example_dtype)
        in_range = chosen & ~notes.is_drum & (notes.velocity > 0)
        in_range &= (notes.pitch >= self.min_pitch) & (notes.pitch <= self.max_pitch)
        for part, programs in ((MELODY, MELODY_PROGRAMS["musical"]), (BASS, BASS_PROGRAMS)):
            typed = in_range & np.isin(notes.program, programs)
            if not typed.any():
                return
            bars = np.unique(np.stack([notes.instrument, piece.start_step // self.steps_per_bar])[:, typed], axis=1)
            busiest = int(np.bincount(bars[0]).argmax())
            own = typed & (notes.instrument == busiest)
            start, end, pitch = highest_notes(piece.start_step[own], piece.end_step[own], notes.pitch[own])
            steps[:, part] = melody_events(start, end, pitch - self.min_pitch, num_steps)
            instruments.append((busiest,))
            read |= own
        drum_class = self.pitch_to_class[notes.pitch]
        known = chosen & notes.is_drum & (drum_class >= 0)
        if known.any():
            steps[:, DRUMS] = hit_combinations(piece.start_step[known], drum_class[known], num_steps)
            instruments.append(tuple(np.unique(notes.instrument[known]).tolist()))
            yield Line(tuple(instruments), read | known, steps)

    def transpose(self, examples: np.ndarray, semitones: np.ndarray) -> np.ndarray:
        """Melody and bass together; where one of them would lose all its notes, both stay."""
        moved = examples.copy()
        for part in (MELODY, BASS):
            moved[..., part] = move_notes(examples[..., part], semitones, self.num_events - FIRST_NOTE_ON)
        had_notes, has_notes = ((events[..., :DRUMS] >= FIRST_NOTE_ON).any(axis=1) for events in (examples, moved))
        lost = (had_notes & ~has_notes).any(axis=1)
        moved[lost] = examples[lost]
        return moved

    def check_sequences(self, sequences: Tensor):
        self.check_shape(sequences)
        for index, (name, size) in enumerate(zip(PARTS, self.output_sizes, strict=True)):
            self.check_integers(sequences[..., index], size, name)

    def instruments(
        self, sequence: np.ndarray, seconds_per_step: float, program: int, velocity: int
    ) -> list[pretty_midi.Instrument]:
        hits = combination_bits(torch.as_tensor(sequence[:, DRUMS]), self.num_classes).numpy()
        pitched = ((MELODY, program, "Melody"), (BASS, WRITTEN_BASS_PROGRAM, "Bass"))
        return [
            *(
                melody_instrument(sequence[:, part], seconds_per_step, self.min_pitch, number, velocity, name)
                for part, number, name in pitched
            ),
            drum_instrument(hits, seconds_per_step, self.output_pitches, velocity),
        ]


def _covered_by_all(combination: tuple[Part, ...]) -> np.ndarray:
    """Bars (B,) in which all parts count as playing. At both ends of a piece one of them is enough: windows that were cut
    out before start and end with rests."""
    covered = np.logical_and.reduce([part.covered for part in combination])
    for end in (slice(None, GAP_BARS), slice(-GAP_BARS, None)):
        covered[end] = any(part.covered[end].any() for part in combination)
    return covered


def _window_starts(covered: np.ndarray, num_bars: int) -> tuple[np.ndarray, int]:
    """Bars from which `num_bars` bars are covered, and the length of the longest run of covered bars."""
    first, last = _longest_run(covered)
    if last - first < num_bars:
        return np.zeros(0, dtype=np.int64), last - first
    return np.flatnonzero(np.lib.stride_tricks.sliding_window_view(covered, num_bars).all(axis=1)), last - first


def _longest_run(flags: np.ndarray) -> tuple[int, int]:
    """First index of the longest run of true values (B,), and the index after it; (0, 0) where there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    longest = np.argmax(ends - starts)
    return int(starts[longest]), int(ends[longest])


def _origin(combination: tuple[Part, ...], piece: Piece, bar: int) -> Origin:
    return Origin(tuple(part.instrument for part in combination), piece.start_quarter + BEATS_PER_BAR * bar)


def _where(notes: NoteSequence, piece: Piece) -> str:
    return bars_text(notes, piece.start_quarter, float(piece.notes.end_quarter.max()))


def _other_instruments(notes: NoteSequence, mode: str) -> list[Rejection]:
    """The instruments that are neither melody, bass nor drums."""
    other = ~notes.is_drum & ~np.isin(notes.program, [*MELODY_PROGRAMS[mode], *BASS_PROGRAMS])
    return [
        Rejection(
            f"General MIDI program {notes.program[notes.instrument == index][0]} is no part of a trio; melodies are "
            f"{MELODY_PROGRAMS_TEXT[mode]}, basses 32-39",
            repr(notes.instrument_names[index]),
        )
        for index in np.unique(notes.instrument[other])
    ]


def _missing_parts(notes: NoteSequence, absent: str, pieces: list[Piece], mode: str) -> Rejection:
    """What a stretch of music lacks for a trio, and what it has."""
    found = pieces[0].notes
    programs = np.unique(found.program[~found.is_drum]).tolist()
    listed = [f"{number} ({pretty_midi.program_to_instrument_name(number)})" for number in programs[:MAX_LISTED]]
    if len(programs) > MAX_LISTED:
        listed.append(f"{len(programs) - MAX_LISTED} more")
    has = f"programs {', '.join(listed)}" if listed else "no pitched instruments"
    has += " and drums" if found.is_drum.any() else " and no drum track"
    needs = f"a melody (General MIDI programs {MELODY_PROGRAMS_TEXT[mode]}), a bass (32-39) and drums"
    where = _where(notes, pieces[0]) + (f" and {len(pieces) - 1} other places" if len(pieces) > 1 else "")
    return Rejection(f"no {absent}; a trio needs {needs}, and here are {has}", where)

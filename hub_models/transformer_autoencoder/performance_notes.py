"""Music as arrays of notes in seconds, with the sustain pedal: what the tokens are made of and what they give back."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pretty_midi

LOWEST_PITCH, HIGHEST_PITCH = 21, 108  # the keys of a piano, A0 to C8
SUSTAIN_CONTROL = 64  # the number of the sustain pedal among MIDI's control changes
LOWEST_PEDAL_DOWN = 64  # its values from here on mean that it is down
WRITTEN_TEMPO = 120.0  # quarter notes per minute of the files that are written; performances have no tempo of their own
WRITTEN_RESOLUTION = 500  # ticks per quarter note of these files: a tick is one millisecond


class PitchRangeError(ValueError):
    """Pitches outside the range that can be written."""


class PedalChanges(NamedTuple):
    """Control changes of the sustain pedals.

    Args:
        seconds (`ndarray` of shape (P,), float64)
        value (`ndarray` of shape (P,), int64): 0..127, down from 64 on.
        instrument (`ndarray` of shape (P,), int64): whose pedal.
    """

    seconds: np.ndarray = np.zeros(0)
    value: np.ndarray = np.zeros(0, dtype=np.int64)
    instrument: np.ndarray = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class PerformanceNotes:
    """Notes of one piece as parallel arrays, in the order of the file.

    Args:
        pitch, velocity, instrument, program (`ndarray` of shape (N,), int64): MIDI numbers; `instrument` counts from 0.
        start, end (`ndarray` of shape (N,), float64): seconds.
        is_drum (`ndarray` of shape (N,), bool).
        total_seconds (`float`): how long the piece is. The end of its last note, until notes are left out of it: silence at
            the end then counts on, as the melody's tokens cover the whole piece.
        pedals ([`PedalChanges`]): notes end where their keys are let go, until [`apply_sustain`] holds them.
        tempos (tuple of `(seconds, quarter notes per minute)`): the first at 0.
        metres (tuple of `(seconds, numerator, denominator)`): as in the file.
    """

    pitch: np.ndarray
    velocity: np.ndarray
    start: np.ndarray
    end: np.ndarray
    instrument: np.ndarray
    program: np.ndarray
    is_drum: np.ndarray
    total_seconds: float = 0.0
    pedals: PedalChanges = field(default_factory=PedalChanges)
    tempos: tuple[tuple[float, float], ...] = ((0.0, WRITTEN_TEMPO),)
    metres: tuple[tuple[float, int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.pitch)

    @classmethod
    def from_rows(
        cls, rows: Iterable[tuple[int, int, float, float]], total_seconds: float | None = None
    ) -> "PerformanceNotes":
        """Notes of a piano from (pitch, velocity, start, end) in seconds; by default as long as their last end."""
        columns = np.array(list(rows), dtype=np.float64).reshape(-1, 4).T
        zeros = np.zeros(columns.shape[1], dtype=np.int64)
        return cls(
            pitch=columns[0].astype(np.int64),
            velocity=columns[1].astype(np.int64),
            start=columns[2],
            end=columns[3],
            instrument=zeros,
            program=zeros,
            is_drum=zeros.astype(bool),
            total_seconds=float(columns[3].max(initial=0.0)) if total_seconds is None else float(total_seconds),
        )

    @classmethod
    def from_midi(cls, midi: pretty_midi.PrettyMIDI) -> "PerformanceNotes":
        """The notes and pedals of a PrettyMIDI; instruments are numbered in its order, as the original does."""
        rows = [
            (note.pitch, note.velocity, note.start, note.end, index, instrument.program, instrument.is_drum)
            for index, instrument in enumerate(midi.instruments)
            for note in instrument.notes
        ]
        pitch, velocity, start, end, instrument, program, is_drum = np.array(rows, dtype=np.float64).reshape(-1, 7).T
        changes = [
            (change.time, change.value, index)
            for index, instrument_ in enumerate(midi.instruments)
            for change in instrument_.control_changes
            if change.number == SUSTAIN_CONTROL
        ]
        seconds, value, owner = np.array(changes, dtype=np.float64).reshape(-1, 3).T
        return cls(
            pitch=pitch.astype(np.int64),
            velocity=velocity.astype(np.int64),
            start=start,
            end=end,
            instrument=instrument.astype(np.int64),
            program=program.astype(np.int64),
            is_drum=is_drum.astype(bool),
            total_seconds=float(end.max(initial=0.0)),
            pedals=PedalChanges(seconds, value.astype(np.int64), owner.astype(np.int64)),
            tempos=tuple(zip(*(column.tolist() for column in midi.get_tempo_changes()), strict=True)),
            metres=tuple((change.time, change.numerator, change.denominator) for change in midi.time_signature_changes),
        )

    def to_midi(self, program: int | None = None, resolution: int = WRITTEN_RESOLUTION) -> pretty_midi.PrettyMIDI:
        """A PrettyMIDI at 120 quarter notes per minute, with an instrument for each of the notes' instruments.

        Args:
            program (`int`, *optional*): General MIDI program 0..127 of all instruments that are no drums; by default their
                own, which for what a model has written is 0, the grand piano.
            resolution (`int`, defaults to 500): ticks per quarter note of the file that can be written from it.
        """
        midi = pretty_midi.PrettyMIDI(resolution=resolution, initial_tempo=WRITTEN_TEMPO)
        for number in np.unique(self.instrument):
            own = np.flatnonzero(self.instrument == number)
            own_program = int(self.program[own[0]]) if program is None or self.is_drum[own[0]] else program
            instrument = pretty_midi.Instrument(own_program, is_drum=bool(self.is_drum[own[0]]))
            columns = (self.velocity, self.pitch, self.start, self.end)
            rows = zip(*(column[own].tolist() for column in columns), strict=True)
            instrument.notes = [pretty_midi.Note(*row) for row in rows]
            mine = self.pedals.instrument == number
            instrument.control_changes = [
                pretty_midi.ControlChange(SUSTAIN_CONTROL, value, seconds)
                for value, seconds in zip(self.pedals.value[mine].tolist(), self.pedals.seconds[mine].tolist(), strict=True)
            ]
            midi.instruments.append(instrument)
        return midi

    def select(self, which: np.ndarray) -> "PerformanceNotes":
        """The notes that a bool mask (N,) or an array of indices picks; the piece stays as long as it is."""
        columns = ("pitch", "velocity", "start", "end", "instrument", "program", "is_drum")
        return replace(self, **{name: getattr(self, name)[which] for name in columns})

    def in_range(self, lowest: int = LOWEST_PITCH, highest: int = HIGHEST_PITCH) -> "PerformanceNotes":
        """The notes from pitch `lowest` to `highest`; the piece stays as long as it is."""
        return self.select((self.pitch >= lowest) & (self.pitch <= highest))

    def without_drums(self) -> "PerformanceNotes":
        """The notes of pitched instruments; the piece is then as long as these."""
        kept = self.select(~self.is_drum)
        return replace(kept, total_seconds=float(kept.end.max(initial=0.0)))

    def joined(self, other: "PerformanceNotes") -> "PerformanceNotes":
        """These notes and then those of `other`, whose instruments keep their numbers; as long as this piece."""
        columns = ("pitch", "velocity", "start", "end", "instrument", "program", "is_drum")
        return replace(self, **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in columns})

    def stretched(self, factor: float) -> "PerformanceNotes":
        """Slower by `factor` (1.05 lasts 5 % longer): all times are multiplied by it."""
        return replace(
            self,
            start=self.start * factor,
            end=self.end * factor,
            total_seconds=self.total_seconds * factor,
            pedals=self.pedals._replace(seconds=self.pedals.seconds * factor),
            tempos=tuple((seconds * factor, tempo / factor) for seconds, tempo in self.tempos),
            metres=tuple((seconds * factor, *metre) for seconds, *metre in self.metres),
        )

    def transposed(self, semitones: int) -> "PerformanceNotes":
        """Higher by `semitones`, drums not. The piece then ends with its last note, as in the original.

        Raises:
            PitchRangeError: if a note would leave the range 21..108.
        """
        pitch = np.where(self.is_drum, self.pitch, self.pitch + semitones)
        outside = ~self.is_drum & ((pitch < LOWEST_PITCH) | (pitch > HIGHEST_PITCH))
        if outside.any():
            raise PitchRangeError(
                f"Transposed by {semitones:+d} semitones, {outside.sum()} of {len(self)} notes would leave the pitches "
                f"{LOWEST_PITCH}..{HIGHEST_PITCH}."
            )
        return replace(self, pitch=pitch, total_seconds=float(self.end.max(initial=0.0)))

    def cut(self, start_seconds: float, end_seconds: float) -> "PerformanceNotes":
        """What starts from `start_seconds` until before `end_seconds`, as a piece of its own that begins at 0.

        Notes that sound on are cut at the end; notes that began before are not in it. Pedals that are down stay down.
        In order of time, and as long as its last note.
        """
        order = np.argsort(self.start, kind="stable")
        own = order[(self.start[order] >= start_seconds) & (self.start[order] < end_seconds)]
        kept = self.select(own)
        end = np.minimum(kept.end, end_seconds) - start_seconds
        return replace(
            kept,
            start=kept.start - start_seconds,
            end=end,
            total_seconds=float(end.max(initial=0.0)),
            pedals=_cut_pedals(self.pedals, start_seconds, end_seconds),
            tempos=_cut_states(self.tempos, start_seconds, end_seconds),
            metres=_cut_states(self.metres, start_seconds, end_seconds),
        )


def _cut_pedals(pedals: PedalChanges, start_seconds: float, end_seconds: float) -> PedalChanges:
    """The changes inside, and before them the state of each pedal at the start."""
    order = np.argsort(pedals.seconds, kind="stable")
    seconds, value, instrument = (column[order] for column in pedals)
    before, inside = seconds <= start_seconds, (seconds > start_seconds) & (seconds < end_seconds)
    last = [int(np.flatnonzero(before & (instrument == number))[-1]) for number in np.unique(instrument[before])]
    return PedalChanges(
        np.concatenate([np.zeros(len(last)), seconds[inside] - start_seconds]),
        np.concatenate([value[last], value[inside]]).astype(np.int64),
        np.concatenate([instrument[last], instrument[inside]]).astype(np.int64),
    )


def _cut_states(states: tuple, start_seconds: float, end_seconds: float) -> tuple:
    """Tempos or metres inside, and before them the one that holds at the start."""
    before = [state for state in states if state[0] <= start_seconds]
    inside = tuple((seconds - start_seconds, *state) for seconds, *state in states if start_seconds < seconds < end_seconds)
    return (((0.0, *before[-1][1:]),) if before else ()) + inside


def apply_sustain(notes: PerformanceNotes) -> PerformanceNotes:
    """The notes as the sustain pedals of their instruments hold them, exactly as the original has it; without pedals.

    A note whose key is let go while the pedal is down lasts until the pedal goes up. One whose pitch is played again while
    the pedal is down ends there, and is left out if that is where it began. A pedal that never goes up holds until the last
    event of all. A pedal that goes down and up at one time is up. Drums are not held.
    """
    pedals = notes.pedals
    total, start, end = notes.total_seconds, notes.start, notes.end.copy()
    pitched = ~notes.is_drum
    last = float(np.concatenate([[0.0], start[pitched], notes.end[pitched], pedals.seconds]).max())
    kept, is_left = np.ones(len(notes), dtype=bool), False
    for number in np.unique(pedals.instrument[pedals.value >= LOWEST_PEDAL_DOWN]):
        own = np.flatnonzero(pitched & (notes.instrument == number))
        mine = pedals.instrument == number
        pedal = _Pedal(pedals.seconds[mine], pedals.value[mine] >= LOWEST_PEDAL_DOWN)
        held = pedal.is_down(end[own])
        let_go = pedal.next_up(end[own])  # infinite where the pedal stays down
        released = np.where(held, let_go, end[own])
        again = _played_again(notes.pitch[own], start[own], pedal.is_down(start[own]))
        left = np.minimum(released, again) == np.inf
        by_pedal = held & (let_go < again)
        if by_pedal.any():
            total = max(total, float(let_go[by_pedal].max()))
        end[own] = np.where(left, last, np.minimum(released, again))
        kept[own] = again > start[own]
        is_left |= bool(left.any())
    ended = replace(notes, end=end, total_seconds=last if is_left else total, pedals=PedalChanges())
    return ended.select(kept)


class _Pedal:
    """When one pedal is down. Of changes at one time, those upwards count last."""

    def __init__(self, seconds: np.ndarray, down: np.ndarray):
        order = np.lexsort((~down, seconds))
        self.seconds, self.down = seconds[order], down[order]
        self.ups = self.seconds[~self.down]

    def is_down(self, seconds: np.ndarray) -> np.ndarray:
        """Whether it is down at each of the times (N,), with what changes at that very time."""
        states = np.concatenate([[False], self.down])
        return states[np.searchsorted(self.seconds, seconds, side="right")]

    def next_up(self, seconds: np.ndarray) -> np.ndarray:
        """When it goes up next after each of the times (N,); infinite if it never does."""
        return np.append(self.ups, np.inf)[np.searchsorted(self.ups, seconds, side="right")]


def _played_again(pitch: np.ndarray, start: np.ndarray, pedal_is_down: np.ndarray) -> np.ndarray:
    """For each note (N,) when its pitch is next played while the pedal is down; infinite if never."""
    order = np.lexsort((np.arange(len(pitch)), start, pitch))
    pitches, starts = np.append(pitch[order], -1), np.append(start[order], np.inf)
    strikes = np.append(np.flatnonzero(pedal_is_down[order]), len(order))
    following = strikes[np.searchsorted(strikes, np.arange(len(order)), side="right").clip(max=len(strikes) - 1)]
    again = np.empty(len(pitch))
    again[order] = np.where(pitches[following] == pitches[:-1], starts[following], np.inf)
    return again

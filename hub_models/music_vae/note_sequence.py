"""Music as arrays of notes, in seconds and along the tempo map, and the one function that parses MIDI bytes."""

import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pretty_midi
import symusic

from .midi_structure import MidiError, check_midi_structure


@dataclass(frozen=True)
class MidiLimits:
    """What is accepted of a MIDI file: a 40-minute recital passes, an attack does not."""

    max_bytes: int = 5_000_000
    max_notes: int = 100_000
    max_seconds: float = 3 * 3600.0
    max_quarters: float = 90_000.0
    max_tempo_changes: int = 50_000


SUSTAIN_CONTROL = 64  # the number of the pedal among MIDI's control changes
LOWEST_PEDAL_DOWN = 64  # its values from here on mean that it is down

MidiSource = str | os.PathLike | bytes | pretty_midi.PrettyMIDI


def read_midi(source: MidiSource, limits: MidiLimits = MidiLimits()) -> pretty_midi.PrettyMIDI:
    """Reads a Standard MIDI File from a path or bytes, within `limits`. Its markers, which pretty_midi passes over, are
    among the text events.

    Raises:
        MidiError: for what is no MIDI file, is broken, or is too large; says what was given and what is allowed.
        FileNotFoundError: for a path that does not exist.
    """
    if isinstance(source, pretty_midi.PrettyMIDI):
        return source
    data = _repair_chunks(_read_bytes(source, limits))
    score = parse_score(data, limits)  # symusic reads in milliseconds what pretty_midi reads in seconds: check first
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tempo or metre events on other tracks than the first: read all the same
            midi = pretty_midi.PrettyMIDI(io.BytesIO(data))
    except ZeroDivisionError as error:
        raise MidiError("The MIDI file is broken: it sets a tempo or a time division of zero.") from error
    except Exception as error:
        raise MidiError(f"The MIDI file is broken: {_sentence(error)}") from error
    markers = [pretty_midi.Text(marker.text, midi.tick_to_time(marker.time)) for marker in score.markers]
    midi.text_events = sorted(midi.text_events + markers, key=lambda event: event.time)
    return midi


def read_score(path: str | os.PathLike, limits: MidiLimits = MidiLimits()) -> "symusic.Score":
    """Reads a file as a symusic score: for collections, a hundred times as fast as [`read_midi`], within the same limits.

    Notes that overlap on one pitch are paired otherwise than pretty_midi does; exact results need [`read_midi`].
    """
    return parse_score(_read_bytes(path, limits), limits)


def parse_score(data: bytes, limits: MidiLimits = MidiLimits()) -> "symusic.Score":
    """A symusic score from bytes that are a MIDI file by their look, checked against `limits`."""
    data = _repair_chunks(data)
    check_midi_structure(data)
    try:
        score = symusic.Score.from_midi(data)
        num_notes, num_tempos = score.note_num(), len(score.tempos)
    except Exception as error:
        raise MidiError(f"The MIDI file is broken: {_sentence(error)}") from error
    if num_notes > limits.max_notes:
        raise MidiError(f"The MIDI file holds {num_notes:,} notes; at most {limits.max_notes:,} are allowed.")
    if num_tempos > limits.max_tempo_changes:
        raise MidiError(
            f"The MIDI file changes its tempo {num_tempos:,} times; at most {limits.max_tempo_changes:,} are allowed."
        )
    if any(tempo.mspq <= 0 for tempo in score.tempos):
        raise MidiError("The MIDI file is broken: it sets a tempo of zero.")
    if any(change.numerator <= 0 or change.denominator <= 0 for change in score.time_signatures):
        raise MidiError("The MIDI file is broken: it sets a time signature of zero beats.")
    if num_notes and score.start() < 0:
        raise MidiError("The MIDI file is broken: its ticks run over 2^31.")
    seconds = float(score.to("Second").end()) if num_notes else 0.0
    if not seconds <= limits.max_seconds:
        raise MidiError(
            f"The MIDI file lasts {seconds / 3600:.1f} hours; at most {limits.max_seconds / 3600:.1f} are allowed."
        )
    quarters = score.end() / score.ticks_per_quarter
    if quarters > limits.max_quarters:
        raise MidiError(
            f"The MIDI file is {quarters:,.0f} quarter notes long; at most {limits.max_quarters:,.0f} are allowed."
        )
    return score


def _read_bytes(source: str | os.PathLike | bytes, limits: MidiLimits) -> bytes:
    if isinstance(source, (bytes, bytearray)):
        data, size = bytes(source), len(source)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"There is no MIDI file {path.name!r}.")
        size = path.stat().st_size
        data = path.read_bytes() if size <= limits.max_bytes else b""
    else:
        raise TypeError(f"A MIDI source is a path, bytes or a PrettyMIDI; got {type(source).__name__}.")
    if size > limits.max_bytes:
        raise MidiError(f"The MIDI file has {size:,} bytes; at most {limits.max_bytes:,} are allowed.")
    if size == 0:
        raise MidiError("The MIDI file is empty.")
    return data


def _repair_chunks(data: bytes) -> bytes:
    """The file with chunk lengths that are true: symusic trusts them, and would read past the end.

    A last track that is announced longer than the file, and stray bytes behind it, are common in the wild and harmless:
    the length is set to what is there. Anything else that does not fit is refused.
    """
    if not data.startswith(b"MThd"):
        raise MidiError("This is no Standard MIDI File: it does not start with 'MThd'.")
    if len(data) < 14 or data[4:8] != b"\0\0\0\6" or data[12:14] == b"\0\0":
        raise MidiError("The MIDI file is broken: its header is cut short or has a time division of zero.")
    if data[12] & 0x80:
        raise MidiError("The MIDI file counts time in SMPTE frames; only ticks per quarter note are read.")
    position, num_tracks = 14, 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "big")
        if position + 8 + length > len(data):
            length = len(data) - position - 8
            data = data[: position + 4] + length.to_bytes(4, "big") + data[position + 8 :]
        num_tracks += data[position : position + 4] == b"MTrk"
        position += 8 + length
    announced = int.from_bytes(data[10:12], "big")
    if num_tracks < announced:
        raise MidiError(f"The MIDI file is broken: it announces {announced} tracks and holds {num_tracks}.")
    return data[:position]


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())[:160].rstrip(".")
    return f"{text or type(error).__name__}."


class PedalEvents(NamedTuple):
    """What the sustain pedals do, in order of time.

    Args:
        seconds (`ndarray` of shape (P,), float64)
        instrument (`ndarray` of shape (P,), int64): whose pedal.
        down (`ndarray` of shape (P,), bool): whether it goes down.
    """

    seconds: np.ndarray = np.zeros(0)
    instrument: np.ndarray = np.zeros(0, dtype=np.int64)
    down: np.ndarray = np.zeros(0, dtype=bool)

    @classmethod
    def in_order(cls, seconds: np.ndarray, instrument: np.ndarray, value: np.ndarray) -> "PedalEvents":
        """Of control changes with values 0..127, in the file's order."""
        order = np.argsort(seconds, kind="stable")
        return cls(seconds[order], instrument[order], value[order] >= LOWEST_PEDAL_DOWN)

    def select(self, mask: np.ndarray) -> "PedalEvents":
        """Those where the bool mask (P,) is true."""
        return PedalEvents(*(column[mask] for column in self))


@dataclass
class NoteSequence:
    """Notes of one piece of music as parallel arrays, in the order of the file's instruments.

    Times are given twice: in seconds, and in quarter notes along the tempo map (a note on beat 3 of bar 2 of 4/4 starts at
    quarter 6.0, however the tempo varies).

    Args:
        pitch, velocity, instrument, program (`ndarray` of shape (N,), int64): MIDI numbers; `instrument` counts from 0.
        start, end (`ndarray` of shape (N,), float64): seconds.
        start_quarter, end_quarter (`ndarray` of shape (N,), float64): quarter notes from the start.
        is_drum (`ndarray` of shape (N,), bool).
        tempos (list of `(seconds, quarter, beats per minute)`): in order; the first at 0.
        time_signatures (list of `(seconds, quarter, numerator, denominator)`): in order, as in the file.
        instrument_names (list of `str`): by instrument.
        texts (list of lists of `(seconds, quarter, text)`): the file's text events with its markers, and its lyrics, each in
            order of time.
        chords (list of `(seconds, quarter, symbol)`, *optional*): chord symbols that somebody has set beside the notes, in
            order of time; `None` where nobody has.
        pedals ([`PedalEvents`]): the sustain pedals; notes end where their keys are let go, not the pedals.
        bent (`tuple[int, ...]`): instruments whose pitch is bent somewhere.
        total_seconds, total_quarters (`float`): end of the last note.
    """

    pitch: np.ndarray
    velocity: np.ndarray
    start: np.ndarray
    end: np.ndarray
    start_quarter: np.ndarray
    end_quarter: np.ndarray
    instrument: np.ndarray
    program: np.ndarray
    is_drum: np.ndarray
    tempos: list[tuple[float, float, float]]
    time_signatures: list[tuple[float, float, int, int]]
    instrument_names: list[str]
    texts: list[list[tuple[float, float, str]]] = field(default_factory=list)
    chords: list[tuple[float, float, str]] | None = None
    pedals: PedalEvents = field(default_factory=PedalEvents)
    bent: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.pitch)

    @property
    def total_seconds(self) -> float:
        return float(self.end.max()) if len(self) else 0.0

    @property
    def total_quarters(self) -> float:
        return float(self.end_quarter.max()) if len(self) else 0.0

    @classmethod
    def from_pretty_midi(cls, midi: pretty_midi.PrettyMIDI) -> "NoteSequence":
        """Instruments are numbered in pretty_midi's order, as the original does."""
        rows = [
            (note.pitch, note.velocity, note.start, note.end, index, instrument.program, instrument.is_drum)
            for index, instrument in enumerate(midi.instruments)
            for note in instrument.notes
        ]
        columns = np.array(rows, dtype=np.float64).reshape(len(rows), 7).T
        columns[2] = np.maximum(columns[2], 0.0)  # the first hit of a decoded groove may be early
        tempo_times, tempi = midi.get_tempo_changes()
        tempo_quarters = _integrate_quarters(tempo_times, tempi)

        def quarters(seconds):
            return _quarter_at(np.asarray(seconds, dtype=np.float64), tempo_times, tempo_quarters, tempi)

        metres = [(change.time, change.numerator, change.denominator) for change in midi.time_signature_changes]
        metres.sort(key=lambda metre: metre[0])  # of several at one time the last in the file holds
        return cls(
            pitch=columns[0].astype(np.int64),
            velocity=columns[1].astype(np.int64),
            start=columns[2],
            end=columns[3],
            start_quarter=quarters(columns[2]),
            end_quarter=quarters(columns[3]),
            instrument=columns[4].astype(np.int64),
            program=columns[5].astype(np.int64),
            is_drum=columns[6].astype(bool),
            tempos=list(zip(tempo_times.tolist(), tempo_quarters.tolist(), tempi.tolist(), strict=True)),
            time_signatures=[(time, float(quarters(time)), num, den) for time, num, den in metres],
            instrument_names=[
                instrument.name.strip() or _program_name(instrument.program, instrument.is_drum)
                for instrument in midi.instruments
            ],
            texts=[_timed_texts(events, quarters) for events in (midi.text_events, midi.lyrics) if events],
            pedals=_pedals_of_pretty_midi(midi),
            bent=tuple(i for i, one in enumerate(midi.instruments) if any(bend.pitch for bend in one.pitch_bends)),
        )

    @classmethod
    def from_symusic(cls, score: "symusic.Score") -> "NoteSequence":
        """From a score in ticks: for reading many files fast. Instruments are symusic's tracks."""
        ticks_per_quarter = score.ticks_per_quarter
        tempo_changes = sorted({tempo.time: 6e7 / max(tempo.mspq, 1) for tempo in score.tempos}.items())
        if not tempo_changes or tempo_changes[0][0] > 0:
            tempo_changes.insert(0, (0, 120.0))
        tempo_ticks = np.array([tick for tick, _ in tempo_changes], dtype=np.float64)
        tempi = np.array([tempo for _, tempo in tempo_changes])
        tempo_quarters = tempo_ticks / ticks_per_quarter
        tempo_times = np.concatenate([[0.0], np.cumsum(np.diff(tempo_quarters) * 60.0 / tempi[:-1])])

        def seconds(quarters):
            index = np.clip(np.searchsorted(tempo_quarters, quarters, side="right") - 1, 0, None)
            return tempo_times[index] + (quarters - tempo_quarters[index]) * 60.0 / tempi[index]

        notes = [track.notes.numpy() for track in score.tracks]
        counts = [len(track["pitch"]) for track in notes]

        def column(name):
            return np.concatenate([track[name] for track in notes] or [np.zeros(0)]).astype(np.int64)

        start_quarter = column("time") / ticks_per_quarter
        end_quarter = (column("time") + column("duration")) / ticks_per_quarter
        metres = [
            (change.time / ticks_per_quarter, change.numerator, change.denominator) for change in score.time_signatures
        ]
        metres.sort(key=lambda metre: metre[0])
        return cls(
            pitch=column("pitch"),
            velocity=column("velocity"),
            start=seconds(start_quarter),
            end=seconds(end_quarter),
            start_quarter=start_quarter,
            end_quarter=end_quarter,
            instrument=np.repeat(np.arange(len(counts)), counts),
            program=np.repeat(np.array([track.program for track in score.tracks], dtype=np.int64), counts),
            is_drum=np.repeat(np.array([track.is_drum for track in score.tracks], dtype=bool), counts),
            tempos=list(zip(tempo_times.tolist(), tempo_quarters.tolist(), tempi.tolist(), strict=True)),
            time_signatures=[(float(seconds(np.float64(quarter))), quarter, n, d) for quarter, n, d in metres],
            instrument_names=[track.name.strip() or _program_name(track.program, track.is_drum) for track in score.tracks],
            texts=_texts_of_score(score, seconds),
            pedals=_pedals_of_score(score, seconds),
            bent=tuple(i for i, track in enumerate(score.tracks) if track.pitch_bends.numpy()["value"].any()),
        )

    def select(self, mask: np.ndarray) -> "NoteSequence":
        """The notes where the bool mask (N,) is true; instrument numbers stay."""
        columns = (
            "pitch",
            "velocity",
            "start",
            "end",
            "start_quarter",
            "end_quarter",
            "instrument",
            "program",
            "is_drum",
        )
        return replace(self, **{name: getattr(self, name)[mask] for name in columns})

    def metres(self) -> list[tuple[float, int, int]]:
        """Time signatures as (quarter, numerator, denominator): 4/4 until the first, one a beat, none repeated."""
        by_quarter = {0.0: (4, 4)}
        for _, quarter, numerator, denominator in self.time_signatures:
            by_quarter[max(quarter, 0.0)] = (numerator, denominator)
        metres = []
        for quarter, (numerator, denominator) in sorted(by_quarter.items()):
            if not metres or metres[-1][1:] != (numerator, denominator):
                metres.append((quarter, numerator, denominator))
        return metres

    def bar_at(self, quarter: float) -> int:
        """Number of the bar, counted from 1 as a score does, that holds a position in quarter notes."""
        bar, previous = 1, None
        for start, numerator, denominator in self.metres():
            if start > quarter + 1e-6:
                break
            if previous is not None:
                bar += int(np.ceil((start - previous[0]) / previous[1] - 1e-6))  # a cut-off bar still counts
            previous = (start, 4.0 * numerator / denominator)
        return bar + int(np.floor((quarter - previous[0]) / previous[1] + 1e-6))

    def quarter_at(self, seconds: float | np.ndarray) -> float | np.ndarray:
        """The position in quarter notes of a time, or of many."""
        times, starts, tempi = np.array(self.tempos).T
        return _quarter_at(np.asarray(seconds, dtype=np.float64), times, starts, tempi)

    def seconds_at(self, quarter: float | np.ndarray) -> float | np.ndarray:
        """The time of a position in quarter notes, or of many."""
        times, starts, tempi = np.array(self.tempos).T
        index = np.clip(np.searchsorted(starts, quarter, side="right") - 1, 0, None)
        return times[index] + (quarter - starts[index]) * 60.0 / tempi[index]


def _integrate_quarters(times: np.ndarray, tempi: np.ndarray) -> np.ndarray:
    """Positions in quarter notes of tempo changes at `times` seconds."""
    return np.concatenate([[0.0], np.cumsum(np.diff(times) * tempi[:-1] / 60.0)])


def _quarter_at(seconds: np.ndarray, times: np.ndarray, quarters: np.ndarray, tempi: np.ndarray) -> np.ndarray:
    index = np.clip(np.searchsorted(times, seconds, side="right") - 1, 0, None)
    return quarters[index] + (seconds - times[index]) * tempi[index] / 60.0


def _timed_texts(events: list, quarters: Callable[[np.ndarray], np.ndarray]) -> list[tuple[float, float, str]]:
    times = np.array([event.time for event in events], dtype=np.float64)
    return [(*where, event.text) for *where, event in zip(times.tolist(), quarters(times).tolist(), events, strict=True)]


def _texts_of_score(score: "symusic.Score", seconds: Callable[[np.ndarray], np.ndarray]) -> list:
    """The markers, and the lyrics of all tracks; symusic reads no other text events."""
    found = []
    lyrics = [text for track in score.tracks for text in track.lyrics]
    for events in (list(score.markers), lyrics):
        if events:
            events = sorted(events, key=lambda event: event.time)
            quarters = np.array([event.time for event in events], dtype=np.float64) / score.ticks_per_quarter
            times = seconds(quarters).tolist()
            found.append([(*where, event.text) for *where, event in zip(times, quarters.tolist(), events, strict=True)])
    return found


def _pedals_of_pretty_midi(midi: pretty_midi.PrettyMIDI) -> PedalEvents:
    rows = [
        (change.time, index, change.value)
        for index, instrument in enumerate(midi.instruments)
        for change in instrument.control_changes
        if change.number == SUSTAIN_CONTROL
    ]
    seconds, instrument, value = np.array(rows, dtype=np.float64).reshape(len(rows), 3).T
    return PedalEvents.in_order(seconds, instrument.astype(np.int64), value)


def _pedals_of_score(score: "symusic.Score", seconds: Callable[[np.ndarray], np.ndarray]) -> PedalEvents:
    changes = [track.controls.numpy() for track in score.tracks]
    own = [change["number"] == SUSTAIN_CONTROL for change in changes]
    ticks = np.concatenate([c["time"][mask] for c, mask in zip(changes, own, strict=True)] or [np.zeros(0)])
    values = np.concatenate([c["value"][mask] for c, mask in zip(changes, own, strict=True)] or [np.zeros(0)])
    instrument = np.repeat(np.arange(len(own)), [int(mask.sum()) for mask in own])
    return PedalEvents.in_order(seconds(ticks / score.ticks_per_quarter), instrument, values)


def _program_name(program: int, is_drum: bool) -> str:
    return "Drums" if is_drum else pretty_midi.program_to_instrument_name(program)

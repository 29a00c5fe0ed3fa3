"""Music that people bring, made playable on a piano, and what was done to it in plain sentences."""

import io
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pretty_midi

from .performance_notes import HIGHEST_PITCH, LOWEST_PEDAL_DOWN, LOWEST_PITCH, PedalChanges, PerformanceNotes

MAX_FILE_BYTES = 5_000_000
MAX_NOTES = 100_000
MAX_SECONDS = 3 * 3600.0
# No pianist keeps the pedal down for so long; a file in which it never comes up has lost that it did.
BROKEN_PEDAL_SECONDS = 30.0
PIANO_RANGE = f"A0 to C8 (pitches {LOWEST_PITCH} to {HIGHEST_PITCH})"

MusicSource = str | os.PathLike | pretty_midi.PrettyMIDI | PerformanceNotes


class NoNotesError(ValueError):
    """Music without a note that could be used; the message says what was there instead."""


class MusicReadError(ValueError):
    """A file that is no MIDI file, or music beyond the limits; the message names both."""


def read_music(source: MusicSource) -> PerformanceNotes:
    """Notes of a path, a PrettyMIDI or notes.

    Raises:
        MusicReadError: for a file that is no MIDI file, is broken, or has over 5 MB; and for music of over 100,000 notes or
            3 hours.
        FileNotFoundError: for a path where no file is.
        TypeError: for anything else.
    """
    if isinstance(source, (str, os.PathLike)):
        source = _read_file(Path(source))
    if isinstance(source, pretty_midi.PrettyMIDI):
        source = PerformanceNotes.from_midi(source)
    if not isinstance(source, PerformanceNotes):
        raise TypeError(f"Music is a path, a PrettyMIDI or PerformanceNotes, not {type(source).__name__}.")
    if len(source) > MAX_NOTES:
        raise MusicReadError(f"The music has {len(source):,} notes; at most {MAX_NOTES:,} are read.")
    seconds = float(source.end[np.isfinite(source.end)].max(initial=0.0))
    if seconds > MAX_SECONDS:
        raise MusicReadError(f"The music lasts {seconds / 3600:.1f} hours; at most {MAX_SECONDS / 3600:.0f} are read.")
    return source


def _read_file(path: Path) -> pretty_midi.PrettyMIDI:
    if not path.is_file():
        raise FileNotFoundError(f"There is no MIDI file {path.name!r}.")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise MusicReadError(f"{path.name!r} has {size:,} bytes; MIDI files of at most {MAX_FILE_BYTES:,} are read.")
    data = path.read_bytes()
    if not data.startswith(b"MThd"):
        raise MusicReadError(f"{path.name!r} is no Standard MIDI File: it does not start with 'MThd'.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tempo or metre on other tracks than the first: read all the same
            return pretty_midi.PrettyMIDI(io.BytesIO(data))
    except Exception as error:  # pretty_midi and mido raise what comes: IndexError, EOFError, KeyError...
        reason = " ".join(str(error).split())[:160].rstrip(".") or type(error).__name__
        raise MusicReadError(f"{path.name!r} is broken: {reason}.") from error


def playable(notes: PerformanceNotes, report: Callable[[str], None]) -> PerformanceNotes:
    """What a piano can play: without drums, pitches that it has not, and notes of no length or loudness.

    Pedals that stay down for over half a minute are taken as broken and left out there.

    Args:
        notes ([`PerformanceNotes`])
        report: called with a sentence for each thing that was changed.

    Raises:
        NoNotesError: if nothing is left; says what was there.
    """
    pitched = ~notes.is_drum
    sounds = (notes.velocity > 0) & (notes.start >= 0) & (notes.end > notes.start) & np.isfinite(notes.end)
    on_keys = (notes.pitch >= LOWEST_PITCH) & (notes.pitch <= HIGHEST_PITCH)
    left_out = [
        _count(~pitched, "drum note"),
        _count(pitched & ~sounds, "note", " without length or loudness"),
        _count(pitched & sounds & ~on_keys, "note", f" outside {PIANO_RANGE}"),
    ]
    kept = notes.select(pitched & sounds & on_keys)
    if not len(notes):
        raise NoNotesError("There are no notes in it.")
    if not len(kept):
        raise NoNotesError(f"There is no note in it that a piano can play, only {_listed(left_out)}.")
    if len(kept) < len(notes):
        report(f"{_listed(left_out)} {'was' if len(notes) - len(kept) == 1 else 'were'} left out.")
    return _without_broken_pedals(replace(kept, total_seconds=float(kept.end.max())), report)


def _count(which: np.ndarray, noun: str, rest: str = "") -> str:
    """How many they are, in words; nothing if there are none."""
    number = int(which.sum())
    return f"{number:,} {noun}{'' if number == 1 else 's'}{rest}" if number else ""


def _listed(parts: list[str]) -> str:
    *first, last = [part for part in parts if part]
    return f"{', '.join(first)} and {last}" if first else last


def clock(seconds: float) -> str:
    """Minutes and seconds, "3:07"; hours too where there are some, "1:03:07"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _without_broken_pedals(notes: PerformanceNotes, report: Callable[[str], None]) -> PerformanceNotes:
    """Without the pedal where it stays down for too long to be meant."""
    seconds, value, instrument = notes.pedals
    keep = np.isfinite(seconds)
    last = max(notes.total_seconds, float(seconds[keep].max(initial=0.0)))
    for number in np.unique(instrument[keep]):
        own = np.flatnonzero(keep & (instrument == number))
        own = own[np.lexsort((value[own] < LOWEST_PEDAL_DOWN, seconds[own]))]
        down = value[own] >= LOWEST_PEDAL_DOWN
        changes = np.flatnonzero(np.diff(down, prepend=False))
        times = np.append(seconds[own][changes], last)
        for index in np.flatnonzero(down[changes] & (np.diff(times) > BROKEN_PEDAL_SECONDS)):
            until = changes[index + 1] if index + 1 < len(changes) else len(own)
            keep[own[changes[index] : until]] = False
            report(
                f"The sustain pedal stays down from {clock(times[index])} to {clock(times[index + 1])}, which no pianist "
                "means; it is left out there."
            )
    return replace(notes, pedals=PedalChanges(seconds[keep], value[keep], instrument[keep]))

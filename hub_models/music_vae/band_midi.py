"""A song of a band as one MIDI file."""

import itertools
import math
from collections.abc import Iterable

import pretty_midi

from .band_arrangement import Arrangement, BandTrack
from .processing_music_vae import MusicVAEProcessor
from .representation import BEATS_PER_BAR

TrackKey = BandTrack | tuple[int, bool]


def arrangement_to_midi(
    processor: MusicVAEProcessor,
    arrangement: Arrangement,
    tempo: float = 120.0,
    only: Iterable[TrackKey] | None = None,
    mute: Iterable[TrackKey] = (),
) -> pretty_midi.PrettyMIDI:
    """See [`Band.to_midi`]."""
    if not (math.isfinite(tempo) and 10 <= tempo <= 1000):
        raise ValueError(f"tempo must be between 10 and 1000 quarter notes per minute, got {tempo}.")
    tracks = arrangement.tracks
    chosen = [track for track in tracks if only is None or track in _known(only, tracks)]
    chosen = [track for track in chosen if track not in _known(mute, tracks)]
    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(BEATS_PER_BAR, 4, 0.0))
    seconds_per_bar = BEATS_PER_BAR * 60.0 / tempo
    notes: dict[TrackKey, list[pretty_midi.Note]] = {track: [] for track in chosen}
    for bar, music in enumerate(processor.decode(arrangement.sequences, tempo)):
        for instrument in music.instruments:
            for note in instrument.notes:
                note.start, note.end = note.start + bar * seconds_per_bar, note.end + bar * seconds_per_bar
            notes.get((instrument.program, instrument.is_drum), []).extend(instrument.notes)
    for track in chosen:
        midi.instruments.append(pretty_midi.Instrument(track.program, track.is_drum, track.name))
        midi.instruments[-1].notes = _one_at_a_time(notes[track])
    midi.text_events += _chord_texts(arrangement.chords, seconds_per_bar)
    return midi


def _known(keys: Iterable[TrackKey], tracks: list[BandTrack]) -> set[TrackKey]:
    keys = {tuple(key) for key in keys}
    if not keys <= set(tracks):
        there = ", ".join(f"{tuple(track)} ({track.name})" for track in tracks) or "none"
        raise ValueError(f"The song has no tracks {sorted(keys - set(tracks))}; its (program, is_drum) are {there}.")
    return keys


def _one_at_a_time(notes: list[pretty_midi.Note]) -> list[pretty_midi.Note]:
    """Notes in order, none over another of its pitch, which MIDI could not tell apart: two tracks of a bar may have the same
    instrument. Of those that begin together the loudest and the longest; a later one ends the one before."""
    by_pitch = sorted(notes, key=lambda note: (note.pitch, note.start, -note.end, -note.velocity))
    kept: list[pretty_midi.Note] = []
    for note in by_pitch:
        before = kept[-1] if kept and kept[-1].pitch == note.pitch else None
        if before is not None and note.start - before.start < 1e-6:
            before.velocity = max(before.velocity, note.velocity)
            continue
        if before is not None:
            before.end = min(before.end, note.start)
        kept.append(note)
    return sorted(kept, key=lambda note: (note.start, note.pitch))


def _chord_texts(chords: list[list[str]], seconds_per_bar: float) -> list[pretty_midi.Text]:
    """A text event for every chord that is another than the one before."""
    placed = [
        (symbol, (bar + place / len(symbols)) * seconds_per_bar)
        for bar, symbols in enumerate(chords)
        for place, symbol in enumerate(symbols)
    ]
    changes = [
        (symbol, seconds)
        for (before, _), (symbol, seconds) in itertools.pairwise([(None, 0.0), *placed])
        if symbol != before
    ]
    return [pretty_midi.Text(symbol, seconds) for symbol, seconds in changes]

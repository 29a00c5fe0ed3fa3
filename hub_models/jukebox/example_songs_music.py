"""Tunes from MIDI files and lead sheets, and their arrangements for a few instruments that are told apart at once.

A tune is a PrettyMIDI of three parts in fixed places: the melody, its accompaniment, and marks of the beats. So
`hub_models.wavegrad.render_midi.cut_excerpt` cuts it like any other music, and each artist plays the same tune.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pretty_midi

from hub_models import audio as sound
from hub_models import midi as midi_border
from hub_models.wavegrad.render_midi import NothingToRenderError, Variation, cut_excerpt

from .example_songs_lead_sheets import read_lead_sheet

SYNTHESISED_AT = 44_100  # at lower rates the synthesiser folds high partials down
MELODY, ACCOMPANIMENT = 0, 1  # programs that mark the parts of a tune; the part of drums marks the beats
MELODY_VELOCITY, ACCOMPANIMENT_VELOCITY = 100, 64
VOICES_TOGETHER = 3  # notes of an accompaniment that begin together
MIN_NOTES_PER_SECOND, MAX_GAP_SECONDS, FIRST_SOUND_SECONDS = 1.5, 1.5, 0.5
FADE_SECONDS = 0.75
KICK, SNARE, SIDE_STICK, CLOSED_HAT = 36, 38, 37, 42


@dataclass(frozen=True)
class Instrument:
    """A General MIDI program and the range of pitches that it plays; notes outside are moved by octaves."""

    program: int
    lowest: int
    highest: int


SOLO_ARTISTS = {
    "piano": Instrument(0, 36, 96),
    "strings": Instrument(48, 43, 91),
    "guitar": Instrument(25, 40, 79),
    "organ": Instrument(19, 36, 84),
    "music box": Instrument(10, 65, 101),
}
BAND = {"melody": Instrument(65, 56, 82), "chords": Instrument(4, 52, 76), "bass": Instrument(33, 28, 50)}
BAND_ARTIST, DRUMS_ARTIST = "band", "drums"


def _part(
    program: int, notes: Sequence[tuple[int, float, float]], velocity: int, is_drum: bool = False
) -> pretty_midi.Instrument:
    part = pretty_midi.Instrument(program, is_drum)
    part.notes = [pretty_midi.Note(velocity, pitch, start, end) for pitch, start, end in notes if end > start]
    return part


def _tune(melody: Sequence, accompaniment: Sequence, beats: Sequence[tuple[float, int]]) -> pretty_midi.PrettyMIDI:
    """Notes are (pitch, start, end) in seconds; a beat's number in its bar becomes the pitch of its mark."""
    tune = pretty_midi.PrettyMIDI()
    tune.instruments = [
        _part(MELODY, melody, MELODY_VELOCITY),
        _part(ACCOMPANIMENT, accompaniment, ACCOMPANIMENT_VELOCITY),
        _part(0, [(number, time, time + 0.01) for time, number in beats], 1, is_drum=True),
    ]
    return tune


@lru_cache(maxsize=8)
def read_midi_tune(path: str) -> pretty_midi.PrettyMIDI:
    """A piece whose first track is the melody and all others the accompaniment, thinned (a bridge is left out).

    Raises:
        NothingToRenderError: it has no melody.
    """
    midi = midi_border.load(path)
    pitched = [part for part in midi.instruments if not part.is_drum and part.notes and part.name != "BRIDGE"]
    if not pitched:
        raise NothingToRenderError("no notes")
    lines = [[(note.pitch, note.start, note.end) for note in part.notes] for part in pitched]
    return _tune(lines[0], thin([note for line in lines[1:] for note in line]), _beats(midi))


def _beats(midi: pretty_midi.PrettyMIDI) -> list[tuple[float, int]]:
    downbeats = midi.get_downbeats()
    beats, number = [], 0
    for time in midi.get_beats():
        number = 0 if len(downbeats) and np.abs(downbeats - time).min() < 0.02 else number + 1
        beats.append((float(time), min(number, 127)))
    return beats


def thin(notes: Sequence[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """Of the notes that begin together only the lowest and the highest ones, `VOICES_TOGETHER` in all."""
    groups: dict[int, list] = {}
    for note in notes:
        groups.setdefault(round(note[1] / 0.04), []).append(note)
    kept = []
    for group in groups.values():
        group = sorted(set(group))
        kept += group if len(group) <= VOICES_TOGETHER else [group[0], *group[1 - VOICES_TOGETHER :]]
    return sorted(kept, key=lambda note: note[1:])


@lru_cache(maxsize=8)
def read_lead_sheet_tune(path: str) -> pretty_midi.PrettyMIDI:
    """A lead sheet, accompanied by the root on the first beat of a bar and the triad on the others.

    Raises:
        NothingToRenderError: it has no chords.
    """
    sheet = read_lead_sheet(path)
    if not sheet.chords:
        raise NothingToRenderError("no chord symbols")
    seconds = 60 / sheet.quarters_per_minute
    starts = np.array([chord.start for chord in sheet.chords])
    accompaniment = []
    for beat, following in zip(sheet.beats, [*sheet.beats[1:], None], strict=True):
        end = following.start if following else beat.start + 1
        current = int(np.searchsorted(starts, beat.start + 1e-6, side="right")) - 1
        if current >= 0:
            root, third, fifth = sheet.chords[current].pitch_classes
            pitches = [36 + root] if beat.number == 0 else [48 + pitch for pitch in (root, third, fifth)]
            accompaniment += [
                (pitch, beat.start * seconds, (beat.start + 0.9 * (end - beat.start)) * seconds) for pitch in pitches
            ]
    melody = [(note.pitch, note.start * seconds, note.end * seconds) for note in sheet.notes]
    return _tune(melody, accompaniment, [(beat.start * seconds, beat.number) for beat in sheet.beats])


def excerpt_of(tune: pretty_midi.PrettyMIDI, seconds: float, random: np.random.Generator) -> pretty_midi.PrettyMIDI:
    """A random excerpt without long rests, at the tune's own tempo.

    Raises:
        NothingToRenderError: the tune is too short, or the excerpt that was drawn has a long rest or few notes.
    """
    excerpt = cut_excerpt(tune, Variation(seconds=seconds, min_seconds=seconds, tempo=(1.0, 1.0)), random)
    only_drums = all(part.is_drum for part in excerpt.instruments)  # a tune's drums are marks of its beats, not sounds
    notes = [note for part in excerpt.instruments if part.is_drum == only_drums for note in part.notes]
    if len(notes) < MIN_NOTES_PER_SECOND * seconds:
        raise NothingToRenderError("few notes")
    sounding = FIRST_SOUND_SECONDS - MAX_GAP_SECONDS
    for note in sorted(notes, key=lambda note: note.start):
        if note.start - sounding > MAX_GAP_SECONDS:
            raise NothingToRenderError("a long rest")
        sounding = max(sounding, note.end)
    if seconds - sounding > MAX_GAP_SECONDS:
        raise NothingToRenderError("a long rest")
    return excerpt


def arrange(excerpt: pretty_midi.PrettyMIDI, artist: str) -> pretty_midi.PrettyMIDI:
    """The excerpt as one of the artists plays it: `SOLO_ARTISTS`, "band", or "drums", which plays drums as they are."""
    if artist == DRUMS_ARTIST:
        return excerpt
    arrangement = pretty_midi.PrettyMIDI()
    parts = {part.program: part for part in excerpt.instruments if not part.is_drum}
    if artist in SOLO_ARTISTS:
        for part in parts.values():
            arrangement.instruments.append(_played(part.notes, SOLO_ARTISTS[artist]))
        return arrangement
    accompaniment = parts[ACCOMPANIMENT].notes if ACCOMPANIMENT in parts else []
    lowest: dict[int, pretty_midi.Note] = {}
    for note in accompaniment:
        key = round(note.start / 0.04)
        if key not in lowest or note.pitch < lowest[key].pitch:
            lowest[key] = note
    bass = list(lowest.values())
    upper = [note for note in accompaniment if lowest[round(note.start / 0.04)] is not note]
    lines = {"melody": parts[MELODY].notes if MELODY in parts else [], "chords": upper, "bass": bass}
    arrangement.instruments = [_played(notes, BAND[name]) for name, notes in lines.items() if notes]
    beats = [(note.start, note.pitch) for part in excerpt.instruments if part.is_drum for note in part.notes]
    arrangement.instruments.append(drum_pattern(beats))
    return arrangement


def _played(notes: Sequence[pretty_midi.Note], instrument: Instrument) -> pretty_midi.Instrument:
    part = pretty_midi.Instrument(instrument.program)
    for note in notes:
        pitch = note.pitch
        while pitch < instrument.lowest:
            pitch += 12
        while pitch > instrument.highest:
            pitch -= 12
        part.notes.append(pretty_midi.Note(note.velocity, pitch, note.start, note.end))
    return part


def drum_pattern(beats: Sequence[tuple[float, int]], soft: bool = False) -> pretty_midi.Instrument:
    """Bass drum on even beats of a bar, snare (soft: side stick) on odd ones, hats on every half beat.

    Args:
        beats: (seconds, number in the bar).
    """
    hits = []
    for index, (time, number) in enumerate(beats):
        gap = beats[index + 1][0] - time if index + 1 < len(beats) else 0.5
        other = SIDE_STICK if soft else SNARE
        hits += [(KICK if number % 2 == 0 else other, time, time + 0.1), (CLOSED_HAT, time, time + 0.1)]
        if gap > 0.3:
            hits.append((CLOSED_HAT, time + gap / 2, time + gap / 2 + 0.1))
    return _part(0, hits, 90, is_drum=True)


def play(midi: pretty_midi.PrettyMIDI, seconds: float, sample_rate: int) -> np.ndarray:
    """(samples,) float32, exactly `seconds` long, faded out at the end.

    Raises:
        NothingToRenderError: silence.
    """
    stereo = midi_border.render(midi, SYNTHESISED_AT, min_seconds=seconds, dynamics=False)
    audio = sound.resample(stereo.mean(axis=0, keepdims=True), SYNTHESISED_AT, sample_rate)[0][
        : round(seconds * sample_rate)
    ]
    if float(np.abs(audio).max()) < 1e-3:
        raise NothingToRenderError("silent")
    fade = round(FADE_SECONDS * sample_rate)
    audio[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return audio

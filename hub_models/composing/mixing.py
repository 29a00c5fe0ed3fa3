"""The mix: parts put together so that the melody is clear, nothing is muddy, and the piece ends."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..midi import VELOCITY_EXPONENT, render
from .harmony import Harmony, chord_tones, nearest
from .parts import Note, Part, Track, one_at_a_time
from .settings import BAND, CHORDS, MELODY, PIANO, PLAYED, QUARTERS, MixSettings

if TYPE_CHECKING:
    import pretty_midi

# How loud each part is, in decibels against the melody, before a person changes it.
BALANCE = {MELODY: 0.0, BAND: -3.5, PIANO: -6.5}
LABELS = {MELODY: "Melody", BAND: "Band", PIANO: "Piano", CHORDS: "Chords"}
# The lowest note that a piano plays where a bass plays below it.
ABOVE_THE_BASS = 50
# The pitch above which the middle of no track of a band lies while a melody sounds.
BELOW_THE_MELODY = 66
# What a band plays in the register of the melody is softer by this share.
LEADS, LEAD_SHARE = range(56, 88), 0.85
# Loudness is measured on sound at this rate, in Hz, over the parts of it that are not silent.
MEASURED_RATE, SILENT = 22_050, 1e-3
KICK, CRASH = 36, 49
LOUDEST = 116
ENDING_QUARTERS = 4.0


def mixed(
    parts: Mapping[str, Part], settings: MixSettings, harmony: Harmony, loudness: Mapping[str, float]
) -> tuple[Track, ...]:
    """The tracks of all parts that are there and not muted, at their levels, with an ending if it is wanted.

    Args:
        loudness: of each part by itself, as `measured` gives it.
    """
    sounding = [stage for stage in PLAYED if stage in parts and stage not in settings.muted]
    has_bass = BAND in sounding and any(track.is_bass for track in parts[BAND].tracks)
    reference = next((loudness[stage] for stage in PLAYED if loudness.get(stage)), 1.0)
    tracks: list[Track] = []
    for stage in sounding:
        level = BALANCE[stage] + settings.levels.get(stage, 0.0)
        gain = 10 ** (level / 20) * reference / loudness[stage] if loudness.get(stage) else 1.0
        gain **= 1 / VELOCITY_EXPONENT  # of velocities
        for track in parts[stage].tracks:
            notes = list(track.notes)
            if stage == PIANO and has_bass:
                notes = one_at_a_time(_raised(note) for note in notes)
            if stage == BAND and MELODY in sounding and not track.is_drum:
                notes = _lowered(notes)
            own = gain * (LEAD_SHARE if stage == BAND and not track.is_drum and track.program in LEADS else 1.0)
            notes = [note._replace(velocity=_velocity(note.velocity * own)) for note in notes]
            if settings.ending:
                notes = _ended(track, notes, harmony)
            tracks.append(Track(_name(stage, track), track.program, track.is_drum, ()).with_notes(notes))
    return tuple(track for track in tracks if track.notes)


def measured(part: Part, tempo: float) -> float:
    """How loud a part is by itself: the root of its mean square, over where it sounds; 0 if it does not."""
    sound = render(to_midi(part.tracks, tempo), MEASURED_RATE, limit=False).mean(axis=0)
    frames = sound[: len(sound) // 512 * 512].reshape(-1, 512)
    power = np.square(frames).mean(axis=1)
    heard = power[power > SILENT**2]
    return round(float(math.sqrt(heard.mean())), 6) if len(heard) else 0.0


def to_midi(tracks: Sequence[Track], tempo: float, harmony: Harmony | None = None) -> pretty_midi.PrettyMIDI:
    """Tracks in quarter notes as MIDI: 4/4, with the key and the chords as text events where there is a harmony."""
    import pretty_midi

    seconds = 60.0 / tempo
    music = pretty_midi.PrettyMIDI(initial_tempo=tempo, resolution=480)
    music.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
    if harmony is not None:
        music.key_signature_changes.append(pretty_midi.KeySignature(harmony.key.number, 0.0))
        music.text_events += [pretty_midi.Text(symbol, quarter * seconds) for symbol, quarter in harmony.changes()]
    for track in tracks:
        instrument = pretty_midi.Instrument(track.program, track.is_drum, track.name)
        instrument.notes = [pretty_midi.Note(n.velocity, n.pitch, n.start * seconds, n.end * seconds) for n in track.notes]
        music.instruments.append(instrument)
    return music


def block_chords(harmony: Harmony, program: int = 4) -> Part:
    """The chords of a piece to be heard by themselves: held, near to one another, their roots below."""
    notes: list[Note] = []
    places = [*harmony.changes(), ("", harmony.quarters)]
    before = [60, 64, 67]
    for (symbol, start), (_, end) in itertools.pairwise(places):
        tones = chord_tones(symbol)
        if not tones:
            continue
        before = [nearest(pitch, (tone,)) for pitch, tone in zip(_matched(before, tones), tones, strict=True)]
        pitches = [nearest(45, (tones[0],)), *before]
        # Struck again in every bar, so that they are heard as long as they last.
        while start < end - 1e-6:
            stop = min(end, 4.0 * (math.floor(start / 4 + 1e-6) + 1))
            notes += [Note(pitch, start, stop, 74 if pitch < 55 else 66) for pitch in dict.fromkeys(pitches)]
            start = stop
    return Part((Track("Chords", program, False, ()).with_notes(notes),), {})


def _matched(pitches: Sequence[int], tones: Sequence[int]) -> list[int]:
    """For each tone of a chord the pitch of the chord before that it is nearest to, around the middle of the keyboard."""
    centred = [pitch if 57 <= pitch <= 72 else 64 for pitch in pitches]
    return [min(centred, key=lambda pitch: min((tone - pitch) % 12, (pitch - tone) % 12)) for tone in tones]


def _raised(note: Note) -> Note:
    pitch = note.pitch
    while pitch < ABOVE_THE_BASS:
        pitch += 12
    return note._replace(pitch=pitch)


def _lowered(notes: list[Note]) -> list[Note]:
    """A track that plays where the melody does, octaves lower."""
    if not notes:
        return notes
    middle = sorted(note.pitch for note in notes)[len(notes) // 2]
    octaves = max(0, math.ceil((middle - BELOW_THE_MELODY) / 12))
    return one_at_a_time(note._replace(pitch=max(0, note.pitch - 12 * octaves)) for note in notes)


def _velocity(value: float) -> int:
    """Within 1..127; what is very loud is bent rather than cut, so that accents stay."""
    if value > LOUDEST:
        value = LOUDEST + (127 - LOUDEST) * (1 - math.exp(-(value - LOUDEST) / 20))
    return max(1, min(127, round(value)))


def _name(stage: str, track: Track) -> str:
    import pretty_midi

    what = "Drums" if track.is_drum else pretty_midi.program_to_instrument_name(track.program)
    return what if stage == PIANO and track.program == 0 else f"{LABELS[stage]}: {what}"


def _ended(track: Track, notes: Sequence[Note], harmony: Harmony) -> list[Note]:
    """A track with a last bar on the key's own chord: each instrument comes home from where it was, and holds."""
    if not notes:
        return []
    kept = [note._replace(end=min(note.end, QUARTERS)) for note in notes]
    recent = [note for note in kept if note.start >= QUARTERS - 8.0]
    if not recent:
        return kept
    loudness = sum(note.velocity for note in recent) / len(recent)
    if track.is_drum:
        hits = [(KICK, loudness), (CRASH, 0.9 * loudness)]
        return kept + [Note(pitch, QUARTERS, QUARTERS + 0.5, _velocity(value)) for pitch, value in hits]
    tones = chord_tones(harmony.key.tonic_chord)
    last = max(note.start for note in recent)
    sounding = sorted({note.pitch for note in recent if note.start >= last - 1.0})
    if track.is_bass:
        pitches = [nearest(sounding[0], tones[:1])]
    elif len(sounding) == 1:  # a single line ends on the tonic
        pitches = [nearest(sounding[-1], tones[:1])]
    else:
        pitches = sorted({nearest(pitch, tones) for pitch in sounding})[-4:]
    # Spread a little, as hands do it.
    spread = 0.03 if len(pitches) > 1 else 0.0
    return kept + [
        Note(pitch, QUARTERS + spread * index, QUARTERS + ENDING_QUARTERS, _velocity(loudness))
        for index, pitch in enumerate(pitches)
    ]

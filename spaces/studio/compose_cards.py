"""What the cards of the Compose tab show of a piece: stages and mix as rolls, with their files; and how far the work is."""

from __future__ import annotations

from html import escape
from typing import Any

import composer
import pattern as patterns
from components import band_tracks
from components.band_roll import band_roll_value
from components.piano_roll import piano_roll_value

from hub_models import Composition
from hub_models.composing.parts import Part
from hub_models.composing.settings import BAND, CHORDS, MELODY, MIX, PIANO, QUARTERS

BARS = round(QUARTERS) // patterns.BEATS_PER_BAR


def roll_value(piece: Composition, stage: str, play: bool = False) -> dict[str, Any]:
    """What the roll of a stage shows, or that of the mix."""
    if stage == MELODY:
        return _melody_value(piece, play)
    if stage == PIANO:
        return _piano_value(piece)
    music = piece.part_midi(stage)
    tracks = band_tracks.tracks_of(music, piece.tempo)
    chords = [list(symbols) for symbols in piece.chords]
    if stage == MIX and piece.recipe.mix.ending:
        chords.append([piece.frame.harmony.key.tonic_chord])
    titles = {CHORDS: piece.key, BAND: str(piece.parts[BAND].how.get("style", "Band")) if stage == BAND else ""}
    details = {
        CHORDS: f"{piece.frame.mood}, {piece.tempo:g} bpm",
        BAND: f"{len(tracks)} instruments, {piece.parts[BAND].num_notes if BAND in piece.parts else 0} notes",
        MIX: f"{piece.num_bars} bars, {piece.tempo:g} bpm, {clock(piece.seconds)}",
    }
    wav = composer.mix_wav(piece) if stage == MIX else composer.card_wav(piece, stage)
    return band_roll_value(
        tracks,
        chords,
        title=titles.get(stage, piece.title),
        detail=details[stage],
        tempo=piece.tempo,
        files={"midi": composer.midi_file(piece, stage), "wav": wav},
        name=_name(piece, stage),
    )


def _melody_value(piece: Composition, play: bool) -> dict[str, Any]:
    import pretty_midi

    track = piece.parts[MELODY].tracks[0]
    clip = patterns.make("Melody", [list(note) for note in track.notes], BARS, drums=False)
    files = {"midi": composer.midi_file(piece, MELODY), "wav": composer.card_wav(piece, MELODY)}
    detail = f"{pretty_midi.program_to_instrument_name(track.program)}, {len(track.notes)} notes"
    return {**piano_roll_value(clip, None, detail, piece.tempo, files=files, play=play), "name": _name(piece, MELODY)}


def _piano_value(piece: Composition) -> dict[str, Any]:
    notes = [list(note) for note in piece.notes(PIANO)]
    clip = patterns.make("Piano", notes, BARS, drums=False)
    files = {"midi": composer.midi_file(piece, PIANO), "wav": composer.card_wav(piece, PIANO)}
    style = str(piece.parts[PIANO].how.get("style", "Piano")).split(":")[0]
    value = piano_roll_value(clip, style, f"{len(notes)} notes", piece.tempo, files=files)
    return {**value, "name": _name(piece, PIANO)}


def instruments(band: Part | None) -> list[str]:
    """The tracks of a band by name, each another one."""
    import pretty_midi

    tracks = band.tracks if band else ()
    names = ["Drums" if track.is_drum else pretty_midi.program_to_instrument_name(track.program) for track in tracks]
    return [f"{number} · {name}" for number, name in enumerate(names, 1)]


def _name(piece: Composition, stage: str) -> str:
    return patterns.file_name({"name": piece.title if stage == MIX else f"{piece.title} {stage}"})


def status_html(share: float, text: str) -> str:
    """How far the work is: a bar, and what is being done."""
    percent = round(100 * min(1.0, max(0.0, share)))
    busy = "true" if text and percent < 100 else "false"
    return (
        f'<div class="compose-status" data-busy="{busy}" role="status">'
        f'<div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent}"><i style="width:{percent}%"></i></div><p>{escape(text) or "&nbsp;"}</p></div>'
    )


def clock(seconds: float) -> str:
    """As minutes and seconds, 1:05."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"

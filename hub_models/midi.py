"""The border for MIDI: files and bytes to PrettyMIDI and back, what a file holds in words, and sound.

Parsing itself happens in one place, `hub_models.music_vae.note_sequence.read_midi`; rendering in one place, here.
"""

from __future__ import annotations

import copy
import io
import math
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .audio import peak_limit
from .soundfont import SoundFontError, tuned

if TYPE_CHECKING:
    import pretty_midi

    from .music_vae.note_sequence import MidiLimits

MidiSource = str | os.PathLike | bytes | bytearray | IO[bytes]

SAMPLE_RATES = (22_050, 32_000, 44_100, 48_000)
MAX_RENDER_SECONDS = 15 * 60
# The synthesiser plays all notes as loud as their samples, so they are played in layers of so many velocities, which are put
# together as loud as they were struck: amplitude goes with the square of the velocity (SoundFont 2.04, section 8.4.1), and a
# note of this velocity is as loud as its sample.
VELOCITY_LAYER, SAMPLE_VELOCITY, VELOCITY_EXPONENT = 12, 100, 2
# What the synthesiser still sounds after the last note ends (releases), in seconds.
RELEASE_SECONDS = 1.0
# symusic 0.5.9 never returns from notes above the highest safe ones (an endless loop where a sample's loop is shorter than
# one step); higher notes sound octaves lower. Found by trying every program, drum kit and pitch of the default SoundFont,
# as `soundfont.tuned` makes it: its loops are long enough for all pitches.
HIGHEST_SAFE_PITCH = {22_050: 127, 32_000: 127, 44_100: 127, 48_000: 127}


class RenderError(ValueError):
    """A PrettyMIDI that cannot be rendered to sound; the message says what was given and what is allowed."""


def load(source: MidiSource, limits: MidiLimits | None = None) -> pretty_midi.PrettyMIDI:
    """Read a MIDI file that nobody has vouched for.

    Args:
        source: path, the bytes of a file, or a binary file-like object (read no further than the limit on bytes).
        limits: bounds on bytes, notes and seconds; default `MidiLimits()`.

    Returns:
        PrettyMIDI, times in seconds.

    Raises:
        MidiError: (a ValueError) not a MIDI file, a broken one, or one over the limits; one sentence that names both.
        TypeError: `source` is none of the above.
    """
    from .music_vae.note_sequence import MidiLimits, read_midi

    limits = MidiLimits() if limits is None else limits
    if isinstance(source, (bytes, bytearray)):
        source = bytes(source)
    elif hasattr(source, "read"):
        source = source.read(limits.max_bytes + 1)
        if not isinstance(source, bytes):
            raise TypeError("A MIDI file object must be opened in binary mode (it gave text).")
    elif not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"A MIDI source is a path, bytes or a binary file object, not {type(source).__name__}.")
    return read_midi(source, limits)


def to_bytes(midi: pretty_midi.PrettyMIDI) -> bytes:
    """The standard MIDI file (bytes) of a PrettyMIDI.

    Those of its text events that are chord symbols are written as markers, which sequencers show above the bars.
    """
    if not midi.text_events:  # what reads chord symbols takes long to import
        buffer = io.BytesIO()
        midi.write(buffer)
        return buffer.getvalue()
    from pretty_midi import Text

    from .music_vae.chord_symbols import plain_symbol

    is_chord = [_is_chord_symbol(event.text) for event in midi.text_events]
    written, buffer = copy.copy(midi), io.BytesIO()
    written.text_events = [
        Text(plain_symbol(event.text), event.time) if chord else event
        for event, chord in zip(midi.text_events, is_chord, strict=True)
    ]
    written.write(buffer)
    chords = {event.text for event, chord in zip(written.text_events, is_chord, strict=True) if chord}
    return _with_markers(buffer.getvalue(), chords) if chords else buffer.getvalue()


def _is_chord_symbol(text: str) -> bool:
    from .music_vae.chord_symbols import ChordSymbolError, chord_index

    try:
        chord_index(text)
    except ChordSymbolError:
        return False
    return True


def _with_markers(content: bytes, texts: set[str]) -> bytes:
    """A file that pretty_midi wrote, with markers for these text events. They stand on the first track, as markers must."""
    import mido

    header, end = content[:14], 22 + int.from_bytes(content[18:22], "big")  # of the first track
    first = mido.MidiFile(file=io.BytesIO(header[:10] + b"\0\1" + header[12:] + content[14:end]))
    track = first.tracks[0]
    for index, event in enumerate(track):
        if event.type == "text" and event.text in texts:
            track[index] = mido.MetaMessage("marker", text=event.text, time=event.time)
    buffer = io.BytesIO()
    first.save(file=buffer)
    return header + buffer.getvalue()[14:] + content[end:]


def save(midi: pretty_midi.PrettyMIDI, path: str | os.PathLike) -> Path:
    """Write a standard MIDI file, making its folder when missing; returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(midi))
    return path


def notes(midi: pretty_midi.PrettyMIDI) -> list[dict[str, Any]]:
    """Every note for a piano roll, in order of start then pitch.

    Returns:
        dictionaries with `start` and `end` (seconds), `pitch` and `velocity` (0..127), `instrument` (its index in the
        file), `program` (0..127) and `is_drum`.
    """
    return sorted(
        (
            {
                "start": float(note.start),
                "end": float(note.end),
                "pitch": int(note.pitch),
                "velocity": int(note.velocity),
                "instrument": index,
                "program": int(instrument.program),
                "is_drum": bool(instrument.is_drum),
            }
            for index, instrument in enumerate(midi.instruments)
            for note in instrument.notes
        ),
        key=lambda note: (note["start"], note["pitch"]),
    )


def summary(midi: pretty_midi.PrettyMIDI) -> dict[str, Any]:
    """What a file holds, for a line under an upload.

    Returns:
        dictionary with `seconds` (end of the last event), `tempo` (quarter notes per minute at the start),
        `tempo_changes` (how many follow), `metres` (list of "3/4"... in order of appearance), `bars` (by the file's own
        bar lines), `num_notes`, and `instruments` (list of dictionaries `name`, `program`, `is_drum`, `num_notes`).
    """
    import pretty_midi

    _, tempos = midi.get_tempo_changes()
    seconds = float(midi.get_end_time())
    metres = list(dict.fromkeys(f"{m.numerator}/{m.denominator}" for m in midi.time_signature_changes)) or ["4/4"]
    instruments = [
        {
            "name": (
                "Drums"
                if instrument.is_drum
                else instrument.name.strip() or pretty_midi.program_to_instrument_name(instrument.program)
            ),
            "program": int(instrument.program),
            "is_drum": bool(instrument.is_drum),
            "num_notes": len(instrument.notes),
        }
        for instrument in midi.instruments
    ]
    downbeats = midi.get_downbeats() if seconds > 0 else np.zeros(0)
    return {
        "seconds": seconds,
        "tempo": float(tempos[0]) if len(tempos) else 120.0,
        "tempo_changes": max(0, len(tempos) - 1),
        "metres": metres,
        "bars": int(np.sum(downbeats < seconds - 1e-6)),
        "num_notes": sum(entry["num_notes"] for entry in instruments),
        "instruments": instruments,
    }


def render(
    midi: pretty_midi.PrettyMIDI,
    sample_rate: int = 44_100,
    soundfont: str | os.PathLike | None = None,
    min_seconds: float = 0.0,
    max_seconds: float = MAX_RENDER_SECONDS,
    dynamics: bool = True,
    limit: bool = True,
) -> np.ndarray:
    """Play a PrettyMIDI through a SoundFont.

    Args:
        midi: what to play; no notes gives silence of its length. Control changes and pitch bends are not played, and the
            envelopes of a SoundFont hardly.
        sample_rate: Hz, one of `SAMPLE_RATES`.
        soundfont: path of an .sf2 file; default the General MIDI one that pretty_midi ships. A copy in tune is made when a
            file is first used, see `soundfont.tuned`.
        min_seconds: at least this long (for a last bar that ends in a rest); the release of the last note adds
            `RELEASE_SECONDS`.
        max_seconds: refuse anything longer.
        dynamics: notes are as loud as they are struck; else all alike, as those were that the bundled models of sound
            learned from.
        limit: music that is louder than full scale is scaled down as a whole, never clipped; else it stays as it is, to be
            measured or mixed.

    Returns:
        (2, samples) float32, left and right, peak at most 1 if limited.

    Raises:
        RenderError: too long, an unknown sample rate, or a SoundFont that is not there or broken.
    """
    if sample_rate not in SAMPLE_RATES:
        raise RenderError(f"The sample rate must be one of {', '.join(map(str, SAMPLE_RATES))} Hz, not {sample_rate}.")
    music_seconds = max(float(midi.get_end_time()), float(min_seconds))
    if not math.isfinite(music_seconds) or music_seconds > max_seconds:
        raise RenderError(f"The music lasts {music_seconds:.0f} seconds; at most {max_seconds:.0f} can be rendered.")
    soundfont_path = _default_soundfont() if soundfont is None else Path(soundfont)
    if not soundfont_path.is_file():
        raise RenderError(f"There is no SoundFont file named {soundfont_path.name}.")
    try:
        playable = tuned(soundfont_path)
    except SoundFontError as error:
        raise RenderError(str(error)) from None
    samples = math.ceil((music_seconds + RELEASE_SECONDS) * sample_rate)
    if not any(instrument.notes for instrument in midi.instruments):
        return np.zeros((2, math.ceil(music_seconds * sample_rate)), dtype=np.float32)

    from symusic import Synthesizer

    audio = np.zeros((2, samples), dtype=np.float32)
    for velocities, gain in _layers(midi) if dynamics else [(range(128), 1.0)]:
        score = _to_score(midi, music_seconds + RELEASE_SECONDS, HIGHEST_SAFE_PITCH[sample_rate], velocities)
        # A new synthesiser each time: it takes 10 ms to load and holds the state of what it plays, so it is not shared.
        rendered = Synthesizer(str(playable), sample_rate, 0).render(score, stereo=True)
        length = min(samples, rendered.shape[1])
        audio[:, :length] += np.float32(gain) * rendered[:, :length]
    return peak_limit(audio) if limit else audio


def _layers(midi: pretty_midi.PrettyMIDI) -> list[tuple[range, float]]:
    """Velocities that are played together, and how loud."""
    struck = {note.velocity // VELOCITY_LAYER for instrument in midi.instruments for note in instrument.notes}
    return [
        (
            range(layer * VELOCITY_LAYER, (layer + 1) * VELOCITY_LAYER),
            ((layer + 0.5) * VELOCITY_LAYER / SAMPLE_VELOCITY) ** VELOCITY_EXPONENT,
        )
        for layer in sorted(struck)
    ]


@cache
def _default_soundfont() -> Path:
    import pretty_midi

    return Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


def _to_score(midi: pretty_midi.PrettyMIDI, end_seconds: float, highest_pitch: int, velocities: range) -> Any:
    """symusic's score, in seconds, of the notes of some velocities, lasting until `end_seconds`."""
    from symusic import Score

    score = Score(ttype="second")
    for instrument in midi.instruments:
        rows = sorted(
            (note.start, max(note.end - note.start, 1e-3), _within(note.pitch, highest_pitch), note.velocity)
            for note in instrument.notes
            if note.velocity in velocities
        )
        if rows:
            score.tracks.append(_track(instrument.program, instrument.is_drum, rows))
    # The synthesiser stops at the end of the last note and cuts its release; a note of velocity 0 keeps it going.
    score.tracks.append(_track(0, True, [(end_seconds, 0.01, 0, 0)]))
    return score


def _within(pitch: int, highest: int) -> int:
    return pitch if pitch <= highest else pitch - 12 * math.ceil((pitch - highest) / 12)


def _track(program: int, is_drum: bool, rows: Sequence[tuple[float, float, int, int]]) -> Any:
    from symusic import Note, Track

    track = Track(name="", program=int(program), is_drum=bool(is_drum), ttype="second")
    start, duration, pitch, velocity = zip(*rows, strict=True)
    track.notes = Note.from_numpy(
        time=np.array(start, np.float32),
        duration=np.array(duration, np.float32),
        pitch=np.array(pitch, np.int8),
        velocity=np.array(velocity, np.int8),
        ttype="second",
    )
    return track

"""Whole songs: read from a file window after window, changed in latent space, and written back with their tempo and length.

A song travels as the bytes of a MIDI file. It is encoded again for every change, which takes less time than to hear a bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import examples
import pattern as patterns
from actions import MAX_RENDER_SECONDS, SAMPLE_RATE
from engine import ATTRIBUTE_LABELS, Engine, Report, _silent
from validate import StudioError

from hub_models.clips import Call, Clip, Origin

if TYPE_CHECKING:
    import pretty_midi

    from hub_models.music_vae import Song

FITS = ("loop", "stretch")
REWRITTEN = {"name": "Rewritten", "colour": "melody", "drums": False}
KEPT = {"name": "Kept as it was", "colour": "kept", "drums": False}
DRUMS = {"name": "Drums", "colour": "drums", "drums": True}
# A roll draws time in "quarter notes" at this tempo, so that a second is one, whatever the tempo of the song is.
SECONDS_TEMPO = 60.0
# Of the WAV file of a song, which may last ten minutes.
SONG_SAMPLE_RATE = 32_000
MAX_DRAWN_NOTES = 20_000


@dataclass(frozen=True)
class Held:
    """A song to be changed: the contents of its MIDI file, and the id of the clip whose file it is, if it is one's."""

    name: str
    data: bytes
    clip: str | None = None


@dataclass(frozen=True)
class Written:
    """A song that was written, and what to tell of it."""

    midi: pretty_midi.PrettyMIDI
    kept: list[set]
    remarks: list[str]


@dataclass(frozen=True)
class Made:
    """A song that was written, what it is called, and where it is from."""

    written: Written
    title: str
    origin: Origin

    def clip(self) -> Clip:
        """The song as a clip."""
        return Clip.from_midi(self.written.midi, self.title, origin=self.origin)


def smooth(width: float) -> Callable[[Song], Song]:
    """Averages over `width` bars to both sides."""
    return lambda song: song.smooth(width)


def hold(engine: Engine, name: str, attribute: str, value: float | None) -> Callable[[Song], Song]:
    """Gives every window the same amount of an attribute: `value`, or None for its own mean over the song.

    Raises:
        StudioError: the model has no such attribute.
    """
    vectors = engine.load(name).attribute_vectors if engine.entry(name).attributes else {}
    if attribute not in vectors:
        raise StudioError(f"The model {name} has no such attribute; it has {', '.join(vectors) or 'none'}.")
    return lambda song: song.hold_attribute(vectors[attribute], value)


def change(
    engine: Engine,
    name: str,
    source: bytes | str,
    edit: Callable[[Song], Song],
    temperature: float,
    seed: int,
    report: Report = _silent,
    *,
    other: bytes | str | None = None,
    path: tuple[float, float] = (0.0, 1.0),
    fit: str = "loop",
) -> Written:
    """A song after `edit`; with `other` it goes on the way from itself (0) to that song (1), from path[0] to path[1].

    Raises:
        ValueError: a file that cannot be read or holds nothing for the model; the message says why.
    """
    import torch

    from hub_models.music_vae import decode_song

    loaded = engine.load(name, report)
    song = edit(_encode(loaded, source, report, 0.2, both=other is not None))
    if other is not None:
        song = song.morph(_encode(loaded, other, report, 0.35, both=True), path, fit)

    def progress(done: int, of: int) -> None:
        report(0.5 + 0.4 * done / of, f"Writing, {done} of {of} windows")

    generator = torch.Generator().manual_seed(seed)
    midi = decode_song(loaded.model, loaded.processor, song, temperature, generator, progress=progress)
    kept = [{_key(note) for note in instrument.notes} for instrument in song.frame.instruments]
    return Written(midi, kept, [f"{rejection.where}: {rejection.reason}" for rejection in song.rejections])


def smoothed(
    engine: Engine, model: str, song: Held, width: float, temperature: float, seed: int, report: Report = _silent
) -> Made:
    """A song that changes more slowly, see `smooth`.

    Raises:
        ValueError: as `change`.
    """
    written = change(engine, model, song.data, smooth(width), temperature, seed, report)
    settings = {"model": model, "width": width, "temperature": temperature, "seed": seed}
    origin = _origin(f"Smooth {song.name}", "/smooth_song", settings, file=song)
    return _made(written, f"{song.name}, smoothed", origin)


def turned(
    engine: Engine,
    model: str,
    song: Held,
    other: Held,
    path: tuple[float, float],
    fit: str,
    temperature: float,
    seed: int,
    report: Report = _silent,
) -> Made:
    """A song that turns into another, see `change`.

    Raises:
        ValueError: as `change`.
    """
    written = change(
        engine, model, song.data, lambda song: song, temperature, seed, report, other=other.data, path=path, fit=fit
    )
    settings = {
        "model": model, "start": path[0], "end": path[1], "fit": fit, "temperature": temperature, "seed": seed,
    }  # fmt: skip
    origin = _origin(f"Turn {song.name} into {other.name}", "/morph_songs", settings, file=song, other_file=other)
    return _made(written, f"{song.name} → {other.name}", origin)


def with_held(
    engine: Engine,
    model: str,
    song: Held,
    attribute: str,
    value: float | None,
    temperature: float,
    seed: int,
    report: Report = _silent,
) -> Made:
    """A song with the same amount of an attribute all through, see `hold`.

    Raises:
        ValueError: as `hold` and `change`.
    """
    edit = hold(engine, model, attribute, value)
    written = change(engine, model, song.data, edit, temperature, seed, report)
    settings = {"model": model, "attribute": attribute, "value": value, "temperature": temperature, "seed": seed}
    label = ATTRIBUTE_LABELS[attribute].lower()
    origin = _origin(f"Hold {label} in {song.name}", "/hold_in_song", settings, file=song)
    return _made(written, f"{song.name}, {label} held", origin)


def _made(written: Written, title: str, origin: Origin) -> Made:
    if not any(instrument.notes for instrument in written.midi.instruments):
        raise StudioError("The model wrote no notes this time: try another seed, or another temperature.")
    return Made(written, title, origin)


def _origin(action: str, endpoint: str, settings: dict[str, Any], **given: Held) -> Origin:
    """Where a song is from: the endpoint that makes it again, of the songs that its parameters of these names take."""
    arguments: dict[str, Any] = dict(settings)
    files = {}
    for number, (name, song) in enumerate(given.items(), start=1):
        arguments[name] = Call.of_clip(song.clip) if song.clip else Call.file(f"song-{number}.mid")
        if not song.clip:
            files[f"song-{number}.mid"] = song.data
    return Origin(
        action=action,
        model=settings["model"],
        settings={name: value for name, value in settings.items() if name not in ("model", "seed")},
        seed=settings["seed"],
        parents=tuple(dict.fromkeys(song.clip for song in given.values() if song.clip)),
        calls=(Call(endpoint, arguments),),
        files=files,
    )


def _encode(loaded: Any, source: bytes | str, report: Report, fraction: float, both: bool) -> Song:
    from hub_models import midi
    from hub_models.music_vae import encode_song

    report(fraction, "Reading the song")
    # Songs in different keys meet on the white keys; a song alone stays in its own.
    transpose = "to_c" if both else 0
    return encode_song(
        loaded.model, loaded.processor, midi.load(source), other_metres="keep", transpose=transpose
    )  # fmt: skip


def files(music: pretty_midi.PrettyMIDI) -> dict[str, bytes]:
    """A song as `midi` and, unless it lasts longer than ten minutes, `wav` file contents."""
    from hub_models import audio, midi

    seconds = float(music.get_end_time())
    made = {"midi": midi.to_bytes(music)}
    if seconds < MAX_RENDER_SECONDS - 1:
        sample_rate = SAMPLE_RATE if seconds <= 60 else SONG_SAMPLE_RATE
        sound = midi.render(music, sample_rate=sample_rate, max_seconds=MAX_RENDER_SECONDS)
        made["wav"] = audio.to_wav_bytes(sound, sample_rate)
    return made


def roll_value(
    music: pretty_midi.PrettyMIDI, title: str, kept: list[set] | None = None, made: dict[str, bytes] | None = None
) -> dict[str, Any]:
    """What a `PianoRoll` shows of a song; times in seconds, with the song's own bar lines.

    Args:
        kept: for each instrument the notes that were there before; None: nothing was changed, all are drawn alike.
        made: its files.
    """
    pitched, drums = [], []
    for index, instrument in enumerate(music.instruments):
        before = None if kept is None else kept[index] if index < len(kept) else set()
        for note in instrument.notes:
            row = [note.pitch, round(note.start, 3), round(max(note.end, note.start + 0.02), 3), note.velocity]
            own = KEPT if before is not None and _key(note) in before else REWRITTEN
            (drums if instrument.is_drum else pitched).append((DRUMS if instrument.is_drum else own, row))
    rows = pitched + drums
    parts = [part for part in (REWRITTEN, KEPT, DRUMS) if any(own is part for own, _ in rows)]
    number = {part["name"]: index for index, part in enumerate(parts)}
    rows.sort(key=lambda row: row[1][1])
    notes = sorted([*row, number[part["name"]]] for part, row in rows[:MAX_DRAWN_NOTES])
    if kept is None:
        parts = [{**part, "name": "Instruments"} if part is REWRITTEN else part for part in parts]
    seconds = float(music.get_end_time())
    return {
        "title": title,
        "detail": _length(music, seconds) + _left_out(len(rows), made),
        "notes": notes,
        "bars": max(1, math.ceil(seconds / patterns.BEATS_PER_BAR)),
        "barlines": [round(float(time), 3) for time in music.get_downbeats()] if notes else [],
        "drums": False,
        "parts": parts or [REWRITTEN],
        "segments": [],
        "tempo": SECONDS_TEMPO,
        "colour": None,
        "name": patterns.file_name({"name": title}),
        **(made or {}),
    }


def _length(music: pretty_midi.PrettyMIDI, seconds: float) -> str:
    from hub_models import midi

    summary = midi.summary(music)
    minutes = f"{int(seconds // 60)}:{int(seconds % 60):02d}"
    count = len(summary["instruments"])
    return f"{summary['bars']} bars, {minutes}, {summary['tempo']:.0f} bpm, {count} instrument{'s' if count != 1 else ''}"


def _left_out(num_notes: int, made: dict[str, bytes] | None) -> str:
    """What a person should know of a long song."""
    drawn = f", the first {MAX_DRAWN_NOTES:,} of {num_notes:,} notes are drawn" if num_notes > MAX_DRAWN_NOTES else ""
    return drawn + (", too long for a WAV file" if made and "wav" not in made else "")


def _key(note: pretty_midi.Note) -> tuple:
    return (note.pitch, round(note.start, 4), round(note.end, 4))


def example_songs() -> dict[str, pretty_midi.PrettyMIDI]:
    """The example trios as songs, by name."""
    return {name: patterns.to_midi(trio) for name, trio in examples.clips_for("trio", 16).items()}

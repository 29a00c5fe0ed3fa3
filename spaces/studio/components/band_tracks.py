"""The tracks of a song with many instruments: what roll and mixer show, and which of them are heard."""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pretty_midi

FOLDER = Path(__file__).parent
# What roll and mixer share, in the browser.
SCRIPT = (FOLDER / "band.js").read_text(encoding="utf-8") + "\n"
STYLE = (FOLDER / "tracks.css").read_text(encoding="utf-8") + "\n"

TICKS = 24  # to a quarter note
TICKS_PER_BAR = 4 * TICKS
MAX_TRACKS = 129  # every program once, and drums
MAX_NOTES = 60_000
MAX_NAME = 40
NUM_COLOURS = 10
# The colour that each of General MIDI's sixteen families has first; of two tracks that want one, the second takes the next.
FAMILY_COLOURS = (0, 9, 7, 1, 5, 2, 4, 3, 6, 8, 9, 8, 4, 7, 1, 3)


def track_key(program: int, is_drum: bool) -> str:
    """What a track is called between page and server: `"p33"`, or `"drums"` (`"d24"` for a kit other than the first)."""
    return f"p{program}" if not is_drum else "drums" if program == 0 else f"d{program}"


_KEYS = {track_key(program, is_drum) for program in range(128) for is_drum in (False, True)}


def is_key(value: Any) -> bool:
    """Whether `track_key` gives this."""
    return isinstance(value, str) and value in _KEYS


def keys(values: Any) -> list[str]:
    """The keys among what came from the browser, each once."""
    found = [value for value in values if is_key(value)] if isinstance(values, (list, tuple)) else []
    return list(dict.fromkeys(found[: 4 * MAX_TRACKS]))


def audible(tracks: Iterable[str], mix: dict[str, Any]) -> list[str]:
    """Which of the tracks, given by their keys, sound: the ones on solo alone where there are any, else all not muted."""
    tracks = list(tracks)
    solo = [key for key in tracks if key in mix["solo"]]
    return solo or [key for key in tracks if key not in mix["muted"]]


def only(music: pretty_midi.PrettyMIDI, wanted: Collection[str]) -> pretty_midi.PrettyMIDI:
    """The song with the tracks of these keys alone; shares its notes with `music`."""
    chosen = copy.copy(music)
    chosen.instruments = [part for part in music.instruments if track_key(part.program, part.is_drum) in wanted]
    return chosen


def tracks_of(music: pretty_midi.PrettyMIDI, tempo: float, keep_names: bool = False) -> list[dict[str, Any]]:
    """The instruments of a song at one tempo, as roll and mixer show them; those of one program are one track.

    Args:
        keep_names: call them as the file does, else by their General MIDI names.

    Returns:
        the pitched tracks by program, then drums; each with `key`, `name`, `program`, `is_drum`, `colour`, and `notes`, a
        flat list of pitch, start, end, velocity, pitch, ..., times in 1/24 quarter notes from the start of the song.
    """
    found: dict[str, dict[str, Any]] = {}
    for part in sorted(music.instruments, key=lambda part: (part.is_drum, part.program)):
        key = track_key(part.program, part.is_drum)
        if key not in found and len(found) < MAX_TRACKS:
            own = plain_name(part.name) if keep_names else ""
            name = own or gm_name(part.program, part.is_drum)
            found[key] = {"key": key, "name": name, "program": part.program, "is_drum": part.is_drum, "notes": []}
        if key in found:
            found[key]["notes"] += _numbers(part.notes, TICKS * tempo / 60)
    tracks = list(found.values())
    for track, colour in zip(tracks, _colours(tracks), strict=True):
        track["colour"] = colour
    return tracks


def plain_name(text: Any) -> str:
    """A name from a file as one short line: no control characters, none that turn the direction of text."""
    shown = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in str(text)[: 20 * MAX_NAME])
    shown = " ".join(shown.split())
    return shown if len(shown) <= MAX_NAME else shown[: MAX_NAME - 1].rstrip() + "…"


def gm_name(program: int, is_drum: bool) -> str:
    """General MIDI's name."""
    import pretty_midi

    return "Drums" if is_drum else pretty_midi.program_to_instrument_name(program)


def count(track: dict[str, Any]) -> int:
    """Notes of a track."""
    return len(track["notes"]) // 4


def _numbers(notes: list[pretty_midi.Note], ticks_per_second: float) -> list[int]:
    numbers = []
    for note in notes:
        start = max(0, round(note.start * ticks_per_second))
        numbers += [note.pitch, start, max(start + 1, round(note.end * ticks_per_second)), note.velocity]
    return numbers


def _colours(tracks: list[dict[str, Any]]) -> list[int | str]:
    taken: list[int] = []
    colours: list[int | str] = []
    for track in tracks:
        if track["is_drum"]:
            colours.append("drums")
            continue
        wanted = FAMILY_COLOURS[track["program"] // 8]
        order = [(wanted + step) % NUM_COLOURS for step in range(NUM_COLOURS)]
        taken.append(min(order, key=lambda colour: (taken.count(colour), order.index(colour))))
        colours.append(taken[-1])
    return colours

"""Checks of what comes in over the page or the API. Every refusal is one sentence that names the value and the bounds."""

from __future__ import annotations

import math
from typing import Any

MAX_SEED = 2**31 - 1
MAX_TEMPERATURE = 5.0
MIN_TEMPO, MAX_TEMPO = 20.0, 300.0
MIN_STEPS, MAX_STEPS = 2, 16
MAX_STRENGTH = 2.0
MAX_TAPS = 512
MAX_WIDTH = 16.0
MAX_SONG_BARS = 256
MAX_PROGRESSION = 8_000  # characters
MAX_UPLOAD_BYTES = 25_000_000  # of sound; MIDI files have a limit of their own
MAX_SESSION_BYTES = 220_000_000  # of a session with all its clips, the largest thing that is uploaded
MAX_MIDI_SECONDS = 15 * 60.0
MAX_SEMITONES = 24
MIN_STRETCH, MAX_STRETCH = 0.25, 4.0
MAX_VOCODER_STEPS = 1000
MIN_PERFORMANCE_SECONDS, MAX_PERFORMANCE_SECONDS = 2.0, 300.0


class StudioError(ValueError):
    """Something a person can put right; the message is shown to them as it is."""


def temperature(value: Any, most: float = MAX_TEMPERATURE) -> float:
    """Over 0, at most `most`."""
    value = _finite("The temperature", value, f"a number above 0, at most {most:g}")
    if not 0 < value <= most:
        raise StudioError(f"The temperature must be above 0 and at most {most:g}, not {value:g}.")
    return value


def tempo(value: Any) -> float:
    """Quarter notes per minute."""
    return _between("The tempo", value, MIN_TEMPO, MAX_TEMPO)


def nearest_tempo(value: float) -> int:
    """The whole number of quarter notes per minute that is allowed and nearest."""
    return round(min(max(value, MIN_TEMPO), MAX_TEMPO))


def seed(value: Any) -> int:
    """0 to 2**31 - 1."""
    return _whole("The seed", value, 0, MAX_SEED)


def steps(value: Any) -> int:
    """Clips of a morph, both ends counted."""
    return _whole("The number of steps", value, MIN_STEPS, MAX_STEPS)


def bars(value: Any) -> int:
    """Of a song for a band."""
    return _whole("The number of bars", value, 1, MAX_SONG_BARS)


def bar(value: Any) -> int:
    """The number of a bar in a file."""
    return _whole("The number of a bar", value, 1, 100_000)


def grid_size(value: Any) -> int:
    """Cells along a side of the pad."""
    return _whole("The size of the grid", value, 2, 9)


def amount(value: Any) -> float:
    """Share of the feel: 0 (straight) to 1."""
    return _between("The amount of feel", value, 0.0, 1.0)


def width(value: Any) -> float:
    """Of smoothing, in bars."""
    return _between("The width", value, 0.0, MAX_WIDTH)


def path(start: Any, end: Any) -> tuple[float, float]:
    """Shares of another song at the beginning and at the end."""
    return _between("The share at the beginning", start, 0.0, 1.0), _between("The share at the end", end, 0.0, 1.0)


def strength(value: Any) -> float:
    """Amount of an attribute."""
    return _between("The amount", value, -MAX_STRENGTH, MAX_STRENGTH)


def vocoder_steps(value: Any) -> int:
    """From noise to sound."""
    return _whole("The number of steps", value, 1, MAX_VOCODER_STEPS)


def semitones(value: Any) -> float:
    """That a pitch is moved by."""
    return _between("The change of pitch", value, -MAX_SEMITONES, MAX_SEMITONES)


def stretch(value: Any) -> float:
    """Length afterwards over length before."""
    return _between("The change of length", value, MIN_STRETCH, MAX_STRETCH)


def seconds(name: str, value: Any, high: float) -> float:
    """A time in a sound, from 0."""
    return _between(name, value, 0.0, high)


def midi_seconds(value: Any) -> float | None:
    """How long a file of MIDI is where it ends in silence; None: to its last note."""
    return None if value is None else _between("The seconds of MIDI", value, 0.0, MAX_MIDI_SECONDS)


def performance_seconds(value: Any) -> float:
    """Of piano to be made at once."""
    return _between("The length in seconds", value, MIN_PERFORMANCE_SECONDS, MAX_PERFORMANCE_SECONDS)


def event_count(value: Any, most: int) -> int:
    """Of a performance, to be played at most."""
    return _whole("The number of events", value, 1, most)


def top_p(value: Any) -> float:
    """The share of probability that events are drawn from."""
    value = _finite("Top-p", value, "a number above 0, at most 1")
    if not 0 < value <= 1:
        raise StudioError(f"Top-p must be above 0 and at most 1, not {value:g}.")
    return value


def share(value: Any) -> float:
    """Of a second style in a mixture."""
    return _between("The share of the second style", value, 0.0, 1.0)


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of the words `allowed`."""
    if value not in allowed:
        raise StudioError(f"{name} must be {' or '.join(allowed)}, not {_shown(value)}.")
    return value


def program(value: Any) -> int:
    """General MIDI program."""
    return _whole("The instrument program", value, 0, 127)


def seconds_between(value: Any, low: float, high: float) -> float:
    """Of music to be made."""
    return _between("The length in seconds", value, low, high)


def kept_seconds(value: Any, high: float) -> float:
    """Of a sound that a song begins with."""
    return _between("The seconds that are kept", value, 0.1, high)


def candidates(value: Any, most: int) -> int:
    """Songs to choose from."""
    return _whole("The number of candidates", value, 1, most)


def candidate(value: Any, most: int) -> int:
    """The number of one of them, from 1."""
    return _whole("The number of the candidate", value, 1, most)


def levels(value: Any, most: int) -> int:
    """That a song is made down to."""
    return _whole("The number of levels", value, 1, most)


def text(name: str, value: Any, longest: int) -> str:
    """At most so many characters; nothing is no text."""
    value = "" if value is None else value
    if not isinstance(value, str):
        raise StudioError(f"{name} must be text, not {_shown(value)}.")
    if len(value) > longest:
        raise StudioError(f"{name} may have at most {longest:,} characters; there are {len(value):,}.")
    return value


def taps(times: Any, velocities: Any) -> tuple[list[float], list[float] | None]:
    """When something was tapped, in seconds, and how hard (1 to 127), or None: all alike."""
    if not isinstance(times, list) or not 1 <= len(times) <= MAX_TAPS:
        raise StudioError(f"The taps must be a list of 1 to {MAX_TAPS} times in seconds.")
    times = [_finite("The time of a tap", time, "a number of seconds") for time in times]
    if velocities in (None, []):
        return times, None
    if not isinstance(velocities, list) or len(velocities) != len(times):
        raise StudioError("There must be as many velocities as taps, or none.")
    return times, [_between("The velocity of a tap", velocity, 1, 127) for velocity in velocities]


def strengths(value: Any, allowed: tuple[str, ...]) -> dict[str, float]:
    """Attribute name -> strength; names must be among `allowed`."""
    if not isinstance(value, dict):
        raise StudioError(f'The strengths must be an object such as {{"note_density": 1.0}}, not {_shown(value)}.')
    unknown = [name for name in value if name not in allowed]
    if unknown:
        raise StudioError(f"There is no attribute {_shown(unknown[0])}; this model has {', '.join(allowed)}.")
    return {
        name: _between(f"The strength of {name}", strength, -MAX_STRENGTH, MAX_STRENGTH) for name, strength in value.items()
    }


def _finite(name: str, value: Any, allowed: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise StudioError(f"{name} must be {allowed}, not {_shown(value)}.")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise StudioError(f"{name} must be {allowed}, not {_shown(value)}.")
    return value


def _between(name: str, value: Any, low: float, high: float) -> float:
    value = _finite(name, value, f"a number from {low:g} to {high:g}")
    if not low <= value <= high:
        raise StudioError(f"{name} must be from {low:g} to {high:g}, not {value:g}.")
    return value


def _whole(name: str, value: Any, low: int, high: int) -> int:
    value = _finite(name, value, f"a whole number from {low} to {high}")
    if value != int(value) or not low <= value <= high:
        raise StudioError(f"{name} must be a whole number from {low} to {high}, not {value:.10g}.")
    return int(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

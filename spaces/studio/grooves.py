"""Drums with feel: notes as grooves (hits, velocities, offsets), and how what a model plays is joined with what was given.

A groove is an array (T, 27), as `hub_models.music_vae.grooves` describes it; nine drum classes, offsets positive when early.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pattern as patterns
import windows
from validate import StudioError

if TYPE_CHECKING:
    import numpy as np

# The pitch that is written for each of the nine classes, and what people call it.
PITCHES = (36, 38, 42, 46, 45, 48, 50, 49, 51)
NAMES = ("kick", "snare", "closed hat", "open hat", "low tom", "mid tom", "high tom", "crash", "ride")
BARS = 2
STEPS_PER_BAR = 16
STEPS_PER_QUARTER = 4
KICK, CLOSED_HAT = 0, 2
LOUDEST_VELOCITY = 0.85  # at least, of the loudest hit of a beat for taps, which say nothing of how loud it is


@cache
def _classes() -> np.ndarray:
    """Drum class by MIDI pitch, -1 for none."""
    from hub_models.music_vae import DRUM_MAPS, drums  # the package first: other threads may be importing it

    return drums.class_of_pitch(list(DRUM_MAPS["nine"].values()))


def read(source: str | bytes) -> dict[str, Any]:
    """The drum clips of two bars in a MIDI file, with their feel; needs no model.

    Returns:
        as `engine.Engine.read`.

    Raises:
        ValueError: not MIDI, too large, or no drums in 4/4 in it; the message says why.
    """
    from hub_models import MusicVAEProcessor, midi

    music = midi.load(source)
    features, reductions = windows.find(MusicVAEProcessor(representation="groove", num_bars=BARS), music)
    found = []
    for window, groove in zip(features.windows, features["labels"], strict=True):
        name = f"{window.instrument} · bars {window.start_bar}-{window.start_bar + BARS - 1}"
        found.append(patterns.make(name, to_notes(groove.numpy()), BARS, drums=True, made_by={"action": "read"}))
    rejections = [f"{rejection.where}: {rejection.reason}" for rejection in features.rejections]
    return {"summary": midi.summary(music), "clips": found, "reductions": reductions, "rejections": rejections}


def from_notes(notes: list[list], bars: int) -> np.ndarray:
    """The groove (16 * bars, 27) float32 of a clip's notes; drums of no class are left out.

    Raises:
        StudioError: no note is a drum of the kit.
    """
    import numpy as np

    from hub_models.music_vae.grooves import perform

    num_steps = bars * STEPS_PER_BAR
    pitch, start, _, velocity = np.array([note[:4] for note in notes], dtype=np.float64).reshape(-1, 4).T
    drum = _classes()[pitch.astype(np.int64)]
    known = drum >= 0
    if not known.any():
        raise StudioError(f"The notes are no drums of the kit; it has {', '.join(NAMES)}.")
    position = start[known] * STEPS_PER_QUARTER
    step = np.minimum((position + 0.5).astype(np.int64), num_steps - 1)
    offset = np.clip(2 * (step - position), -1, 1)
    return perform(step, drum[known], velocity[known], offset, num_steps).astype(np.float32)


def to_notes(groove: np.ndarray) -> list[list]:
    """The notes of a groove, in quarter notes, in order of start; what is early on the first beat is on it."""
    from hub_models.music_vae.grooves import groove_notes

    end_of_all = len(groove) / STEPS_PER_QUARTER
    notes = [
        [
            pitch,
            round(max(0.0, start) / STEPS_PER_QUARTER, 4),
            round(min(end / STEPS_PER_QUARTER, end_of_all), 4),
            max(1, velocity),
        ]
        for pitch, velocity, start, end in groove_notes(groove, PITCHES)
    ]
    return sorted(notes, key=lambda note: (note[1], note[0]))


def taps(times: list[float], velocities: list[float] | None, tempo: float, bars: int) -> list[list]:
    """The notes of a tapped rhythm; `times` in seconds from the first beat, `velocities` 1..127.

    Raises:
        StudioError: a tap lies outside the bars.
    """
    from hub_models.music_vae.grooves import groove_from_taps

    try:
        return to_notes(groove_from_taps(times, velocities, tempo, bars)[0])
    except ValueError as error:
        raise StudioError(str(error)) from error


def answering_hits(given: np.ndarray, takes: np.ndarray) -> np.ndarray:
    """The hits (T, 9) of the take that is most like all of them, with the taps that it leaves out as the next takes play
    them; what no take plays is on the kick.

    A model hears sparse or odd rhythms unsurely and leaves taps unanswered. A person who taps wants every tap to sound.

    Args:
        given: the tapped rhythm as a groove (T, 27); read for when it has any hit.
        takes: grooves (N, T, 27).
    """
    import numpy as np

    from hub_models.music_vae.grooves import split_parts

    tapped, played = split_parts(given)[0].any(axis=-1), split_parts(takes)[0] > 0.5
    typical_first = np.abs(played - played.mean(axis=0)).sum(axis=(1, 2)).argsort(kind="stable")
    hits = played[typical_first[0]].copy()
    for take in typical_first[1:]:
        missing = tapped & ~hits.any(axis=-1)
        hits[missing] = played[take][missing]
    hits[tapped & ~hits.any(axis=-1), KICK] = True
    return hits.astype(np.float32)


def loud(groove: np.ndarray) -> np.ndarray:
    """The groove (T, 27), louder where not one hit is loud."""
    from hub_models.music_vae.grooves import split_parts

    hits, velocities, _ = split_parts(groove)
    loudest = velocities[hits > 0.5].max(initial=0.0)
    if not 0 < loudest < LOUDEST_VELOCITY:
        return groove
    result = groove.copy()
    split_parts(result)[1][:] *= LOUDEST_VELOCITY / loudest
    return result


def blend(straight: np.ndarray, felt: np.ndarray, amount: float) -> np.ndarray:
    """The hits of `felt` with `amount` (0..1) of its feel, the rest as in `straight` on the grid; all (T, 27).

    Where only `felt` has a hit its velocity stays.
    """
    import numpy as np

    from hub_models.music_vae.grooves import split_parts

    result = felt.copy()
    both = (split_parts(straight)[0] > 0.5) & (split_parts(felt)[0] > 0.5)
    velocities = split_parts(result)[1]
    velocities[both] += (1 - amount) * (split_parts(straight)[1][both] - velocities[both])
    split_parts(result)[2][:] *= np.float32(amount)
    return result


def hat_hits(groove: np.ndarray, takes: np.ndarray) -> np.ndarray | None:
    """The hits (T, 9) of a groove (T, 27), the closed hi-hat's from the first of the takes (N, T, 27) that plays it; None
    where none does."""
    from hub_models.music_vae.grooves import split_parts

    playing = (split_parts(takes)[0][..., CLOSED_HAT] > 0.5).any(axis=1).nonzero()[0]
    if not len(playing):
        return None
    hits = split_parts(groove)[0].copy()
    hits[:, CLOSED_HAT] = split_parts(takes[playing[0]])[0][:, CLOSED_HAT]
    return hits


def with_hats(groove: np.ndarray, felt: np.ndarray) -> np.ndarray:
    """The groove (T, 27) with the closed hi-hat of `felt` (T, 27) in place of its own."""
    from hub_models.music_vae.grooves import split_parts

    result = groove.copy()
    for part, source in zip(split_parts(result), split_parts(felt), strict=True):
        part[..., CLOSED_HAT] = source[..., CLOSED_HAT]
    return result

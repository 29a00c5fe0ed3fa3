"""The melody of a piece: many are drawn from a MusicVAE of sixteen bars, the one that fits the chords best is taken."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .fitting import accent, fit_line, weight
from .harmony import Harmony
from .parts import CompositionError, Note, Part, Track
from .settings import QUARTERS, MelodySettings

if TYPE_CHECKING:
    import torch

    from ..music_vae import MusicVAEModel, MusicVAEProcessor

NAME = "Melody"
# Where melodies are heard best: above a band, below where it hurts.
LOWEST, HIGHEST, CENTRE = 60, 86, 72
STEPS_PER_QUARTER = 4
# How many notes in a bar are few and many.
FEW, MANY = 2.5, 6.0
LONGEST_NOTE = 5.0  # quarter notes


@dataclass(frozen=True)
class Candidate:
    """A melody that was drawn: its notes, transposed, and its marks, the higher the better."""

    notes: tuple[Note, ...]
    marks: dict[str, float]

    @property
    def score(self) -> float:
        return sum(self.marks.values())


def write_melody(
    settings: MelodySettings,
    harmony: Harmony,
    program: int,
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    check: Callable[[], None],
) -> Part:
    """The melody that fits the chords best among those drawn; see `MelodySettings`.

    Raises:
        CompositionError: all that were drawn are silent.
    """
    import torch

    generator = torch.Generator().manual_seed(settings.seed)
    found: list[Candidate] = []
    latents = torch.randn((settings.candidates, model.config.latent_size), generator=generator).to(model.dtype)
    for start in range(0, settings.candidates, 16):
        check()
        drawn = model.decode(latents[start : start + 16], temperature=settings.temperature, generator=generator)
        judged = [judge(notes_of(row, processor), harmony, settings.fit) for row in drawn]
        found += [candidate for candidate in judged if candidate]
    if not found:
        raise CompositionError("All melodies that were drawn are silent; try another seed or a higher temperature.")
    best = max(found, key=lambda candidate: candidate.score)
    how = {
        "candidates": settings.candidates,
        "score": round(best.score, 3),
        "marks": {name: round(mark, 3) for name, mark in best.marks.items()},
    }
    return Part((Track(NAME, program, False, ()).with_notes(shaped(best.notes, settings.seed)),), how)


def notes_of(sequence: torch.Tensor, processor: MusicVAEProcessor) -> list[Note]:
    """The notes of a sequence (256,) of a melody model, one at a time."""
    music = processor.decode(sequence, tempo=60.0)
    return [
        Note(note.pitch, round(note.start, 3), round(note.end, 3), 80)
        for instrument in music.instruments
        for note in sorted(instrument.notes, key=lambda note: note.start)
        if note.start < QUARTERS - 1e-6
    ]


def judge(notes: Sequence[Note], harmony: Harmony, fit: float) -> Candidate | None:
    """A melody where it fits best, fitted, and how good it is; None without notes.

    The marks: `chords`, the share of its weight (accent times length) that was on notes of the chords by itself, half as
    much for those of the scale; `beat`, how much of it begins on the beat; `form`, how much of a bar's rhythm comes again
    four bars later; and what is taken off: `density` and `silence` for bars that are too empty or too full, `range` and
    `leaps` for what goes too far, `still` for the same note again and again.
    """
    if not notes:
        return None
    notes = [note._replace(end=min(note.end, note.start + LONGEST_NOTE, QUARTERS)) for note in notes]
    harmonic, _, shift = max((_harmony_mark(notes, harmony, shift), -abs(shift), shift) for shift in range(-6, 6))
    middle = float(np.average([n.pitch for n in notes], weights=[n.end - n.start for n in notes])) + shift
    shift += 12 * round((CENTRE - middle) / 12)
    placed = fit_line([note._replace(pitch=_inside(note.pitch + shift)) for note in notes], harmony, fit)
    pitches = np.array([note.pitch for note in placed])
    steps = np.abs(np.diff(pitches)) if len(pitches) > 1 else np.zeros(1)
    per_bar = np.bincount([int(note.start // 4) for note in placed], minlength=len(harmony.bars))
    rests = [after.start - before.end for before, after in itertools.pairwise(placed)]
    rests += [placed[0].start, QUARTERS - placed[-1].end]
    marks = {
        "chords": 3.0 * harmonic,
        "beat": 1.2 * float(np.mean([accent(note.start) for note in placed])),
        "form": 1.2 * _form(placed, len(harmony.bars)),
        "density": -0.4 * float(np.mean(np.clip(FEW - per_bar, 0, None) + np.clip(per_bar - MANY, 0, None))),
        "silence": -0.1 * sum(max(0.0, rest - 2.0) for rest in rests) - 0.5 * float(np.mean(per_bar == 0)),
        "range": -0.06 * max(0, int(np.ptp(pitches)) - 17) - 0.1 * max(0, 8 - int(np.ptp(pitches))),
        "leaps": -0.8 * float(np.mean(steps > 8)) - 0.15 * max(0.0, float(np.mean(steps)) - 3.5),
        "still": -2.0 * max(0.0, float(np.mean(steps == 0)) - 0.25),
    }
    return Candidate(tuple(placed), marks)


def _harmony_mark(notes: Sequence[Note], harmony: Harmony, shift: int) -> float:
    """The share of the weight of notes that is on the chords, half for the scale, when they are moved by `shift`."""
    total = found = 0.0
    for note in notes:
        pitch_class, own = (note.pitch + shift) % 12, weight(note)
        total += own
        if pitch_class in harmony.tones_at(note.start):
            found += own
        elif pitch_class in harmony.scale_at(note.start):
            found += own / 2
    return found / total


def _form(notes: Sequence[Note], num_bars: int) -> float:
    """How alike the rhythms of bars four apart are, 0..1."""
    grid = np.zeros((num_bars, 16), dtype=bool)
    for note in notes:
        step = min(round(note.start * STEPS_PER_QUARTER), 16 * num_bars - 1)
        grid[step // 16, step % 16] = True
    likeness = []
    for bar in range(num_bars - 4):
        both, either = (grid[bar] & grid[bar + 4]).sum(), (grid[bar] | grid[bar + 4]).sum()
        likeness.append(both / either if either else 0.0)
    return float(np.mean(likeness)) if likeness else 0.0


def _inside(pitch: int) -> int:
    """A pitch, octaves higher or lower so that it is where melodies are heard best."""
    while pitch < LOWEST:
        pitch += 12
    while pitch > HIGHEST:
        pitch -= 12
    return pitch


def shaped(notes: Sequence[Note], seed: int) -> list[Note]:
    """The same notes, played: louder on the beat, phrases of four bars swell, higher notes are a little louder."""
    chance = random.Random(f"touch {seed}")
    played = []
    for note in notes:
        swell = math.sin(math.pi * ((note.start % 16.0) / 16.0))
        velocity = 78 + 10 * accent(note.start) + 8 * swell + 0.3 * (note.pitch - CENTRE) + chance.gauss(0, 2)
        played.append(note._replace(velocity=max(1, min(127, round(velocity)))))
    return played

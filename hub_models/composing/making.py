"""The work on a piece: its stages one after the other, each a pure function of its settings and of what it is made for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from . import mixing
from .harmony import Harmony, Key, find_key
from .models import ComposingModels
from .moods import MOODS, draw_mood, draw_progression, read_chords
from .parts import Part
from .settings import BAND, CHORDS, MELODY, MIX, PIANO, PLAYED, QUARTERS, STAGES, Recipe, Style

# How much of the work each stage is, for a progress bar.
WORK = {CHORDS: 0.02, MELODY: 0.2, BAND: 0.23, PIANO: 0.5, MIX: 0.05}
DOING = {
    CHORDS: "Choosing chords", MELODY: "Writing the melody", BAND: "The band plays", PIANO: "The piano plays", MIX: "Mixing",
}  # fmt: skip

Progress = Callable[[float, str], None]
Check = Callable[[], None]


@dataclass(frozen=True)
class Frame:
    """What all stages share: the mood, the chords in their key, and the tempo in quarter notes per minute."""

    mood: str
    harmony: Harmony
    tempo: float

    @property
    def seconds_per_quarter(self) -> float:
        return 60.0 / self.tempo


class Made(NamedTuple):
    """How far the work has come: the stage that is done, and all parts by then with how loud each is by itself."""

    stage: str
    frame: Frame
    parts: dict[str, Part]
    loudness: dict[str, float]


def frame_of(recipe: Recipe) -> Frame:
    """The chords, the key, the mood and the tempo of a recipe; what is not given is drawn by its seed."""
    settings = recipe.chords
    bars = None if settings.text is None else read_chords(settings.text)
    key = None if settings.key is None else Key.read(settings.key)
    name = settings.mood or draw_mood(settings.seed, key, bars)
    mood, chance = MOODS[name], random.Random(f"frame {settings.seed}")
    drawn_key, drawn_tempo = Key(chance.choice(mood.keys), mood.mode), chance.randrange(mood.tempi[0], mood.tempi[1] + 1, 2)
    if bars is None:
        key = key or drawn_key
        bars = draw_progression(mood, key, settings.seed)
    tempo = float(drawn_tempo if settings.tempo is None else settings.tempo)
    return Frame(name, Harmony(bars, key or find_key(bars)), tempo)


def stages(
    recipe: Recipe,
    models: ComposingModels,
    kept: Mapping[str, Part],
    loudness: Mapping[str, float],
    wanted: Sequence[str] = STAGES,
    check: Check | None = None,
    progress: Progress | None = None,
) -> Iterator[Made]:
    """Makes the stages of a piece that are wanted, in order; after each what there is.

    Args:
        kept: parts that are there already, and stay as they are; `loudness` is theirs.
        check: called often; what it raises ends the work.
        progress: called with the share of the work that is done, 0..1, and a text.
    """
    check = check or (lambda: None)
    frame, done = frame_of(recipe), 0.0
    parts, levels = {}, {}
    total = sum(WORK[stage] for stage in wanted if stage not in kept or stage == CHORDS)
    for stage in [stage for stage in STAGES if stage in wanted]:
        check()
        if progress:
            progress(done / total, DOING[stage])
        if stage == CHORDS:
            parts[stage] = mixing.block_chords(frame.harmony)
        elif stage in PLAYED:
            is_new = stage not in kept
            report = _share(progress, done / total, WORK[stage] / total, DOING[stage], check)
            parts[stage] = _played(stage, recipe, frame, parts, models, check, report) if is_new else kept[stage]
            levels[stage] = (0.0 if is_new else loudness.get(stage)) or mixing.measured(parts[stage], frame.tempo)
        done += WORK[stage] if stage not in kept or stage == CHORDS else 0.0
        yield Made(stage, frame, dict(parts), dict(levels))
    if progress:
        progress(1.0, "Done")


def _played(
    stage: str,
    recipe: Recipe,
    frame: Frame,
    parts: Mapping[str, Part],
    models: ComposingModels,
    check: Check,
    report: Progress,
) -> Part:
    """What a stage gives. What its settings leave open is drawn by its own seed from what suits the mood."""
    settings = recipe.of(stage)
    if settings.material is not None:
        return Part.from_dict(settings.material, QUARTERS)
    from . import melody, players

    mood, chance = MOODS[frame.mood], random.Random(f"{stage} {settings.seed}")
    if stage == MELODY:
        program = chance.choice(mood.melodies) if settings.program is None else settings.program
        return melody.write_melody(settings, frame.harmony, program, *models.melody(), check)
    style = settings.style or Style(name=chance.choice(mood.bands if stage == BAND else mood.pianos))
    if stage == BAND:
        return players.play_band(settings, style, frame.harmony, models.band(), report)
    tune = parts[MELODY].notes if MELODY in parts else ()
    return players.play_piano(settings, style, tune, frame.harmony, frame.tempo, *models.piano(), check, report)


def _share(progress: Progress | None, start: float, share: float, text: str, check: Check) -> Progress:
    """The progress of one stage as that of the whole."""

    def report(fraction: float, detail: str) -> None:
        check()
        if progress:
            progress(start + share * fraction, text)

    return report

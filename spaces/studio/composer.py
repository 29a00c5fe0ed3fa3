"""Whole pieces with the Studio's models: which of them play what, and what stays while something is made anew; no page here.

As in `engine.py` one object serves all sessions and holds nothing of any of them.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import validate
from band import Bandstand
from developer import Developer
from engine import Engine
from performer import Performers
from validate import StudioError

from hub_models import Clip, Composition, midi
from hub_models.composing.band_bars import BARS
from hub_models.composing.models import DEFAULTS, ComposingModels
from hub_models.composing.moods import MAX_TEMPO, MIN_TEMPO, MOODS
from hub_models.composing.piano_pieces import PIECES
from hub_models.composing.settings import BAND, CHORDS, MELODY, MIX, PIANO, STAGES, Recipe, Style
from hub_models.composition import OUTPUTS, around_melody, composing, wished

MELODY_BARS = 16
NAMES = {CHORDS: "Chords", MELODY: "Melody", BAND: "Band", PIANO: "Piano", MIX: "Piece"}
# What stands in lists of styles for one that the mood and the seed choose.
BY_MOOD, STAYS, RANDOM = "By the mood", "Stays as it is", "Random"
ANY = "Any"
MAX_UNDO = 20
# A style from a file is what fits into a recipe.
MAX_STYLE_BYTES = 300_000
# In place of a stage: the mix as sound, and what sound models made of it.
SOUND, DEVELOPED = "audio", "developed"
CARD_RATE, MIX_RATE = 22_050, 44_100

__all__ = ["BARS", "MOODS", "OUTPUTS", "PIECES", "STAGES", "Composer", "Piece", "Style"]


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece on the page.

    Attributes:
        composition: as much of it as was made.
        part: which stage of it is what the tab gives to others; "mix" is all of it.
        developed: what a sound model made of it, or of what it was before.
    """

    composition: Composition
    part: str = MIX
    developed: Clip | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """What there is of it, by the names that `part` may have."""
        return (MIX, SOUND, *self.composition.parts, *([DEVELOPED] if self.developed else []))

    def clip(self) -> Clip:
        """What the tab gives."""
        if self.part == DEVELOPED:
            return self.developed
        return self.composition.audio_clip() if self.part == SOUND else self.composition.clip(self.part)


class Composer:
    """The models that make a piece, of those that the Studio has."""

    def __init__(self, engine: Engine, stand: Bandstand, performers: Performers, developer: Developer):
        melodies = [
            entry.name for entry in engine.entries.values() if entry.representation == "melody" and entry.bars == MELODY_BARS
        ]
        pianos = [entry for entry in performers.entries.values() if entry.takes_style]
        self.melody = next(iter(melodies), None)
        self.band = next(iter(stand.entries), None)
        self.piano = next((entry.name for entry in pianos if entry.takes_melody), pianos[0].name if pianos else None)
        self._engine, self._stand, self._performers = engine, stand, performers
        self.developer = developer
        self.models = ComposingModels(
            self._load_melody, self._load_band, self._load_piano, {stage: name for stage, name in self._names() if name}
        )

    def _names(self) -> tuple[tuple[str, str | None], ...]:
        return (MELODY, self.melody), (BAND, self.band), (PIANO, self.piano)

    @property
    def missing(self) -> list[str]:
        """The bundled models that would have to be there for what nothing plays."""
        return [DEFAULTS[stage] for stage, name in self._names() if name is None]

    def check_models(self) -> None:
        """
        Raises:
            StudioError: models are missing; says which.
        """
        if self.missing:
            raise StudioError(f"A piece needs models that are not installed here: {', '.join(self.missing)}.")

    def warm_up(self) -> Iterator[str]:
        """Loads the models one after the other; gives what is being loaded."""
        for stage, load in ((MELODY, self._load_melody), (BAND, self._load_band), (PIANO, self._load_piano)):
            yield stage
            load()

    def _load_melody(self):
        loaded = self._engine.load(self.melody)
        return loaded.model, loaded.processor

    def _load_band(self):
        return self._stand.load(self.band)

    def _load_piano(self):
        loaded = self._performers.load(self.piano)
        return loaded.model, loaded.processor

    # ---- Making

    def create(
        self,
        recipe: Recipe,
        before: Composition | None = None,
        locked: Iterable[str] = (),
        on_stage: Callable[[str, Composition], None] | None = None,
        check: Callable[[], None] | None = None,
        progress: Callable[[float, str], None] | None = None,
        wanted: Iterable[str] = STAGES,
        parents: tuple[str, ...] = (),
    ) -> Composition:
        """A new piece, or the stages of it that are wanted; what is locked stays as it was before. Other arguments are those
        of `hub_models.compose`.

        Raises:
            StudioError: models are missing; says which.
        """
        self.check_models()
        kept = {}
        for stage in locked:
            if before is None or stage not in before.parts:
                continue
            if stage == CHORDS:  # the key and the tempo as well: they are those of the piece
                frame = {"mood": before.frame.mood, "tempo": before.tempo, "key": before.key}
                recipe = recipe.changed(CHORDS, text=before.chords_text, seed=before.recipe.chords.seed, **frame)
            else:
                kept[stage] = before.parts[stage]
                # As material: what it was made for may be another now.
                recipe = replace(recipe, **{stage: before.recipe.of(stage)}).changed(stage, material=kept[stage].to_dict())
                if stage == MELODY:
                    recipe = around_melody(recipe, kept[stage])
                parents = parents or before.parents
        if before is not None:
            recipe = replace(recipe, mix=before.recipe.mix)
        made = None
        for stage, made in composing(recipe, self.models, kept, {}, parents, tuple(wanted), check, progress):
            if on_stage:
                on_stage(stage, made)
        return made

    def composition(self, state: Any) -> Composition:
        """A piece that came as JSON: what `to_dict` gave.

        Raises:
            ValueError: it is none; says why.
        """
        return Composition.from_dict(state, self.models)

    def begun_with(self, clip: Clip, mood: Any = None) -> Composition:
        """A piece that has the melody of a clip, and its chords if they are known, and nothing else yet.

        Raises:
            ValueError: there is no melody in it.
        """
        tempo = min(MAX_TEMPO, max(MIN_TEMPO, round(clip.tempo, 2))) if clip.tempo else None
        recipe = wished(seed=0, mood=_given(mood), tempo=tempo)
        with contextlib.suppress(ValueError):  # chords that cannot be read are chosen to suit the melody
            recipe = wished(_progression(clip) if clip.chords else None, recipe=recipe)
        recipe = wished(melody=clip.music(), recipe=recipe)
        *_, (_, made) = composing(recipe, self.models, parents=(clip.id,), wanted=(CHORDS, MELODY, MIX))
        return made


def _progression(clip: Clip) -> str:
    """The chords of a clip's first sixteen bars as text."""
    bars = [list(symbols) or ["N.C."] for symbols in clip.chords[:MELODY_BARS]]
    return "| " + " | ".join(" ".join(symbols[:4]) for symbols in bars) + " |"


# ---- What people ask for


def recipe_of(
    chords: Any = "",
    seed: Any = 0,
    key: Any = "",
    mood: Any = "",
    tempo: Any = None,
    band: Style | None = None,
    to_band: Style | None = None,
    piano: Style | None = None,
    program: Any = None,
    temperature: Any = None,
    fit: Any = None,
) -> Recipe:
    """The recipe for what was chosen on the page; nothing, or "Any", is left to the mood and the seed.

    Raises:
        ValueError: something cannot be; the message says what is allowed.
    """
    seed = validate.seed(seed)
    recipe = wished(_given(chords), seed, _given(key), _given(mood), tempo if tempo else None, None, band, to_band, piano)
    own = {"program": program, "temperature": temperature, "fit": fit}
    return recipe.changed(MELODY, **{name: value for name, value in own.items() if value is not None})


def _given(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() and value != ANY else None


def style_of(choice: Any, known: Mapping[str, Any], file: Style | None = None, seed: int = 0) -> Style | None:
    """What a list of styles says: None for the mood's, a random one by a seed, the one of a file, or a named one.

    Raises:
        StudioError: there is no such style.
    """
    if choice in (None, "", BY_MOOD, STAYS):
        return None
    if choice == RANDOM:
        return Style(seed=seed)
    if file is not None and choice == file_choice(file):
        return file
    if choice not in known:
        raise StudioError(f"There is no such style; there is {', '.join(known)}.")
    return Style(name=choice)


def file_choice(style: Style) -> str:
    """How a style from a file stands in a list."""
    return f"File: {style.title}"


def read_style(path: str, title: str) -> Style:
    """A MIDI file as a style.

    Raises:
        ValueError: it cannot be read, or is too large.
    """
    music = midi.load(path)
    data = midi.to_bytes(music)
    if len(data) > MAX_STYLE_BYTES:
        raise StudioError(f"The file has {len(data):,} bytes; a style may have at most {MAX_STYLE_BYTES:,}.")
    if not any(part.notes for part in music.instruments):
        raise StudioError("There are no notes in this file.")
    return Style(midi=data, title=title[:50])


def new_seed() -> int:
    """One that nobody chose."""
    return secrets.randbelow(validate.MAX_SEED + 1)


# ---- Files


def midi_file(composition: Composition, stage: str) -> bytes:
    """A stage, or the mix, as the contents of a MIDI file."""
    return midi.to_bytes(composition.part_midi(stage))


def card_wav(composition: Composition, stage: str) -> bytes:
    """A stage by itself as the contents of a WAV file, small enough to be there soon."""
    from hub_models import audio

    sound = midi.render(composition.part_midi(stage), CARD_RATE, min_seconds=64 * 60.0 / composition.tempo)
    return audio.to_wav_bytes(sound, CARD_RATE)


def mix_wav(composition: Composition) -> bytes:
    """The mix as the contents of a WAV file."""
    from hub_models import audio

    return audio.to_wav_bytes(composition.audio(MIX_RATE), MIX_RATE)

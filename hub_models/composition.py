"""A whole piece from one call: chords, a melody, a band, a piano, the mix.

piece = compose("C Am F G", seed=7)
piece = piece.reroll("piano", seed=8).with_levels(piano=-3)
audio.save(piece.audio(), "piece.wav", 44_100)

Every stage is a pure function of its settings, its seed and the stages that it is made for, see `composing.settings`. The
chords and how a piano and a band play together are Encore's own; the music is that of MusicVAE, Multitrack MusicVAE and the
Transformer Autoencoder.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .clips import Call, Clip, Origin
from .composing import making, mixing
from .composing.harmony import MODES, heard_key
from .composing.making import Check, Frame, Progress
from .composing.models import ComposingModels
from .composing.moods import MOODS, NUM_BARS, chords_text
from .composing.parts import CompositionError, Note, Part, Track, checked_notes
from .composing.reading import read_melody
from .composing.settings import (
    BAND,
    CHORDS,
    MELODY,
    MIX,
    PIANO,
    PLAYED,
    QUARTERS,
    STAGES,
    Recipe,
    checked_seed,
    checked_stage,
    followers,
)

if TYPE_CHECKING:
    import numpy as np
    import pretty_midi

    from .midi import MidiSource

ENDPOINT = "/compose"
# What the endpoint gives, in order.
OUTPUTS = (MIX, "audio", CHORDS, MELODY, BAND, PIANO, "state")
KEPT = "kept"  # said of material that only stays because nothing was to follow
PEAK = 0.89  # of the sound, of full scale: one decibel below it

OnStage = Callable[[str, "Composition"], None]


@dataclass(frozen=True, eq=False)
class Composition:
    """A piece, or as much of one as was made. It never changes: every method that changes something gives another.

    Attributes:
        recipe: what it is made of.
        frame: its chords, key, mood and tempo.
        parts: what the stages gave, by name: "chords", "melody", "band" and "piano", those that there are.
        loudness: of each part by itself, which the mix balances them by.
        parents: ids of clips that went into it.
        models: what plays when a stage is made anew.
    """

    recipe: Recipe
    frame: Frame
    parts: Mapping[str, Part]
    loudness: Mapping[str, float] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    models: ComposingModels = field(default_factory=ComposingModels, repr=False)

    # ---- What it is

    @property
    def title(self) -> str:
        """Such as "Wistful in A minor"."""
        return f"{self.frame.mood} in {self.key}"

    @property
    def key(self) -> str:
        """Such as "A minor"."""
        return self.frame.harmony.key.name

    @property
    def tempo(self) -> float:
        """In quarter notes per minute."""
        return self.frame.tempo

    @property
    def chords(self) -> tuple[tuple[str, ...], ...]:
        """The symbols of each bar."""
        return tuple(tuple(symbols) for symbols in self.frame.harmony.bars)

    @property
    def chords_text(self) -> str:
        """The progression as people write it."""
        return chords_text(self.chords)

    @property
    def num_bars(self) -> int:
        """With the ending."""
        return NUM_BARS + self.recipe.mix.ending

    @property
    def seconds(self) -> float:
        """How long its bars last."""
        return 4 * self.num_bars * self.frame.seconds_per_quarter

    @property
    def is_complete(self) -> bool:
        """Whether all stages are there."""
        return all(stage in self.parts for stage in (CHORDS, *PLAYED))

    @cached_property
    def tracks(self) -> tuple[Track, ...]:
        """Those of the mix."""
        return mixing.mixed(self.parts, self.recipe.mix, self.frame.harmony, self.loudness)

    @property
    def midi(self) -> pretty_midi.PrettyMIDI:
        """The mix: an instrument for each track, the key, and the chords as text events (markers in a file)."""
        return mixing.to_midi(self.tracks, self.tempo, self.frame.harmony)

    def part_midi(self, stage: str) -> pretty_midi.PrettyMIDI:
        """A part by itself, as its stage gave it; the mix for "mix".

        Raises:
            CompositionError: it is not there.
        """
        if checked_stage(stage) == MIX:
            return self.midi
        if stage not in self.parts:
            raise CompositionError(f"There is no {stage} yet; there is {', '.join(self.parts) or 'nothing'}.")
        return mixing.to_midi(self.parts[stage].tracks, self.tempo, self.frame.harmony)

    def audio(self, sample_rate: int = 44_100) -> np.ndarray:
        """The mix as sound: (2, samples) float32, its highest peak one decibel below full scale.

        Raises:
            RenderError: an unknown sample rate.
        """
        import numpy as np

        from . import midi

        sound = midi.render(self.midi, sample_rate, min_seconds=self.seconds)
        highest = float(np.abs(sound).max())
        return (sound * (PEAK / highest)).astype(np.float32) if highest > 0 else sound

    def notes(self, stage: str) -> tuple[Note, ...]:
        """Those of a part that are no drums."""
        self.part_midi(stage)
        return self.parts[stage].notes if stage != MIX else Part(self.tracks, {}).notes

    # ---- Clips

    def clip(self, stage: str = MIX) -> Clip:
        """A stage as a clip of MIDI, with an origin that makes it again."""
        names = {MIX: self.title, **{part: f"{self.title} · {part}" for part in self.parts}}
        settings: dict[str, Any] = {
            "chords": self.chords_text,
            "key": self.key,
            "tempo": self.tempo,
            "mood": self.frame.mood,
        }
        if stage != MIX:
            settings |= {name: value for name, value in self.parts[stage].how.items() if name == "style"}
        return Clip.from_midi(
            self.part_midi(stage),
            names[stage],
            seconds=self.seconds if stage == MIX else QUARTERS * self.frame.seconds_per_quarter,
            key=self.key,
            chords=self.chords,
            origin=Origin(
                action="Compose" if stage == MIX else f"Compose: the {stage}",
                model=self.models.names.get(stage) or ", ".join(self.models.names[part] for part in PLAYED),
                settings=settings,
                seed=self.recipe.of(stage if stage != MIX else CHORDS).seed,
                parents=self.parents,
                calls=(Call(ENDPOINT, {"state": self.recipe.to_dict(), "stages": [*self.parts, MIX]}),),
                output=OUTPUTS.index(stage),
            ),
        )

    @property
    def clips(self) -> dict[str, Clip]:
        """The stages that are there, and the mix, as clips of MIDI."""
        return {stage: self.clip(stage) for stage in (*self.parts, *([MIX] if self.tracks else []))}

    def audio_clip(self, sample_rate: int = 44_100) -> Clip:
        """The mix as a clip of sound."""
        clip = self.clip()
        return Clip.from_audio(
            self.audio(sample_rate),
            clip.name,
            sample_rate=sample_rate,
            tempo=self.tempo,
            key=self.key,
            origin=replace(clip.origin, output=OUTPUTS.index("audio")),
        )

    # ---- Changes

    def reroll(self, stage: str, seed: int | None = None, follow: bool = True, **work: Any) -> Composition:
        """A stage with another seed, the ones before it as they are.

        Args:
            seed: 0 to 2**31 - 1; None: a new one.
            follow: whether the stages that are made for it are made anew, with their own seeds; else they stay. What a
                person gave in place of a stage always stays.
            work: `on_stage`, `check` and `progress`, as `compose` takes them.

        Raises:
            CompositionError: there is no such stage; the mix has no seed.
        """
        if checked_stage(stage) == MIX:
            raise CompositionError("The mix is not drawn; its levels are set with `with_levels`.")
        seed = random.SystemRandom().randrange(2**31) if seed is None else checked_seed(seed)
        changes: dict[str, Any] = {"material": None}
        if stage == CHORDS:  # other chords are wanted, not another piece
            changes = {"text": None, "key": self.key, "mood": self.frame.mood, "tempo": self.tempo}
        return self._remade(self.recipe.changed(stage, seed=seed, **changes), stage, follow, work)

    def edit(self, stage: str, material: Any, follow: bool = False, **work: Any) -> Composition:
        """A stage with what a person gives in its place.

        Args:
            material: of the chords a progression as text; of the melody or the piano notes, rows [pitch, start, end,
                velocity] in quarter notes; of the band a `Part`, or one as JSON. None: the model's own again.
            follow, work: as in `reroll`; here the rest stays as it is by default.

        Raises:
            ValueError: it is not what the stage takes; says why.
        """
        if checked_stage(stage) == MIX:
            raise CompositionError("The mix is not edited; its levels are set with `with_levels`.")
        if stage == CHORDS:
            changes = {"text": material, "key": None, "mood": self.frame.mood, "tempo": self.tempo}
            return self._remade(self.recipe.changed(CHORDS, **changes), stage, follow, work)
        if isinstance(material, Part):
            material = material.to_dict()
        elif material is not None and not isinstance(material, Mapping):
            if stage == BAND:
                raise CompositionError("A band is edited by its tracks: give a part.")
            track = self.parts[stage].tracks[0] if stage in self.parts else Track(stage.title(), 0, False, ())
            edited = track.with_notes(checked_notes(list(material), QUARTERS))
            material = Part((edited,), {}).to_dict()
        return self._remade(self.recipe.changed(stage, material=material), stage, follow, work)

    def change(self, stage: str, follow: bool = True, **changes: Any) -> Composition:
        """A stage with other settings, see `composing.settings`; `on_stage`, `check` and `progress` as in `compose`.

        Raises:
            ValueError: there is no such setting, or its value is out of range; says what is allowed.
        """
        work = {name: changes.pop(name) for name in ("on_stage", "check", "progress") if name in changes}
        settings = self.recipe.of(stage)
        unknown = [name for name in changes if not hasattr(settings, name)]
        if unknown:
            raise CompositionError(f"The {stage} has no setting {unknown[0]!r:.40}; it has {', '.join(vars(settings))}.")
        return self._remade(self.recipe.changed(stage, **changes), stage, follow, work)

    def with_levels(
        self,
        levels: Mapping[str, float] | None = None,
        muted: Sequence[str] | None = None,
        ending: bool | None = None,
        **own,
    ) -> Composition:
        """The same parts, mixed otherwise: `piece.with_levels(piano=-3, muted=["band"])`.

        Args:
            levels, own: decibels above the balance that is found for it, -12 to 12, by part: "melody", "band", "piano".
                Those that are not given stay.
            muted: parts that do not sound; None: as it was.
            ending: whether there is a last bar on the key's own chord; None: as it was.

        Raises:
            CompositionError: a part or a level that there is not.
        """
        mix = self.recipe.mix
        recipe = self.recipe.changed(
            MIX,
            levels={**mix.levels, **(levels or {}), **own},
            muted=mix.muted if muted is None else tuple(muted),
            ending=mix.ending if ending is None else ending,
        )
        return replace(self, recipe=recipe)

    def with_program(self, program: int) -> Composition:
        """The same melody on another instrument, a General MIDI program 0..127."""
        recipe = self.recipe.changed(MELODY, program=program)
        if MELODY not in self.parts:
            return replace(self, recipe=recipe)
        own = self.parts[MELODY]
        part = replace(own, tracks=(replace(own.tracks[0], program=program),))
        if recipe.melody.material is not None:
            recipe = recipe.changed(MELODY, material=part.to_dict())
        parts = {**self.parts, MELODY: part}
        loudness = {**self.loudness, MELODY: mixing.measured(part, self.tempo)}
        return replace(self, recipe=recipe, parts=parts, loudness=loudness)

    def _remade(self, recipe: Recipe, stage: str, follow: bool, work: Mapping[str, Any]) -> Composition:
        """A recipe with one stage changed: that stage anew, what is made for it anew or as it is, all else as it is."""
        stale = {stage, *(followers(stage) if follow else ())}
        kept = {name: part for name, part in self.parts.items() if name not in stale}
        for name in followers(stage):
            if name in kept:  # it stays although what it was made for is another now
                part = kept[name]
                recipe = recipe.changed(name, material=replace(part, how={**part.how, KEPT: True}).to_dict())
            elif name in PLAYED and _is_kept(recipe.of(name).material):  # until it may follow
                recipe = recipe.changed(name, material=None)
        wanted = [name for name in STAGES if name in self.parts or name in (stage, MIX)]
        return _finished(recipe, self.models, kept, self.loudness, self.parents, wanted, **work)

    # ---- JSON

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON: the recipe, and what it gave, so that no model is needed to read it again."""
        return {
            "recipe": self.recipe.to_dict(),
            "parts": {stage: part.to_dict() for stage, part in self.parts.items() if stage != CHORDS},
            "loudness": {stage: round(value, 6) for stage, value in self.loudness.items()},
            "parents": list(self.parents),
        }

    @classmethod
    def from_dict(cls, value: Any, models: ComposingModels | None = None) -> Composition:
        """What `to_dict` gave.

        Raises:
            ValueError: it is not a piece; says why.
        """
        if not isinstance(value, Mapping) or "recipe" not in value:
            raise CompositionError('A piece is an object with "recipe" and "parts", as to_dict gives it.')
        recipe = Recipe.from_dict(value["recipe"])
        given, loudness = value.get("parts") or {}, value.get("loudness") or {}
        if not isinstance(given, Mapping) or not isinstance(loudness, Mapping):
            raise CompositionError('The "parts" and the "loudness" of a piece are objects.')
        parts = {stage: Part.from_dict(given[stage], QUARTERS) for stage in PLAYED if stage in given}
        parents = tuple(str(parent)[:64] for parent in list(value.get("parents") or ())[:16])
        kept = {stage: level for stage, level in loudness.items() if stage in parts and _is_loudness(level)}
        wanted = (CHORDS, *parts, MIX)
        *_, made = making.stages(recipe, ComposingModels(), parts, kept, wanted)
        return cls(recipe, made.frame, made.parts, made.loudness, parents, models or ComposingModels())

    # ---- Sound models

    def revoiced(self, seconds: float | None = None, pipeline: Any = None, seed: int = 0, **options: Any) -> Clip:
        """The mix through WaveGrad: its mel spectrogram as sound again; see `composing.sound_models.revoice`."""
        from .composing.sound_models import revoice

        return revoice(self, seconds, pipeline, seed, **options)

    def continued(self, seconds: float = 4.0, sampler: Any = None, seed: int = 0, **options: Any) -> Clip:
        """The mix without its ending, and how Jukebox goes on from there; see `composing.sound_models.go_on`."""
        from .composing.sound_models import go_on

        return go_on(self, seconds, sampler, seed, **options)

    def reimagined(self, seconds: float = 6.0, sampler: Any = None, seed: int = 0, **options: Any) -> Clip:
        """The beginning of the mix, and what Jukebox goes on with instead; see `composing.sound_models.reimagine`."""
        from .composing.sound_models import reimagine

        return reimagine(self, seconds, sampler, seed, **options)


def compose(
    chords: str | None = None,
    *,
    seed: int | None = None,
    key: str | None = None,
    mood: str | None = None,
    tempo: float | None = None,
    melody: MidiSource | Sequence[Sequence[float]] | None = None,
    band: Any = None,
    to_band: Any = None,
    piano: Any = None,
    recipe: Recipe | Mapping[str, Any] | None = None,
    models: ComposingModels | None = None,
    on_stage: OnStage | None = None,
    check: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> Composition:
    """A whole piece of sixteen bars and an ending.

    Args:
        chords: a progression, "C Am F G" or "| C Am | F G |", which starts again until the bars are full; None: one that
            suits the mood.
        seed: of all stages, 0 to 2**31 - 1; it also draws what is not given. None: those of the recipe, 0 by default.
        key: such as "A minor"; of given chords it says in which key they are heard, of others in which they are written.
        mood: one of `composing.moods.MOODS`: what the piece is played on and like, where that is not given.
        tempo: 50 to 180 quarter notes per minute.
        melody: in place of the model's: notes [pitch, start, end, velocity] in quarter notes, or a MIDI file, of which the
            first sixteen bars of its highest notes are taken. Chords and a key that are not given are made to suit it.
        band, to_band: styles of the band, at the beginning and at the end: a name of `composing.band_bars.BARS`, a seed, or
            a MIDI file (contents, `Path`, PrettyMIDI).
        piano: style of the piano: a name of `composing.piano_pieces.PIECES`, or a MIDI file.
        recipe: everything else, see `composing.settings`; what is given above goes before it.
        models: None: the bundled ones.
        on_stage: called after each stage with its name and the piece so far, which can be heard and kept.
        check: called often; what it raises ends the work.
        progress: called with the share of the work that is done, 0..1, and a text.

    Raises:
        ValueError: something is given that cannot be; the message says what is allowed.
    """
    made = wished(chords, seed, key, mood, tempo, melody, band, to_band, piano, recipe)
    return _finished(made, models or ComposingModels(), {}, {}, (), STAGES, on_stage, check, progress)


def composing(
    recipe: Recipe,
    models: ComposingModels | None = None,
    kept: Mapping[str, Part] | None = None,
    loudness: Mapping[str, float] | None = None,
    parents: tuple[str, ...] = (),
    wanted: Sequence[str] = STAGES,
    check: Check | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, Composition]]:
    """A piece stage by stage: the name of each that is done, and the piece by then.

    Args:
        kept: parts that are there already, and stay as they are; `loudness` is theirs.
        parents: ids of clips that went into it.
        wanted: the stages that are made; others are left out.
        check, progress: as in `compose`.
    """
    models = models or ComposingModels()
    for stage, frame, parts, levels in making.stages(recipe, models, kept or {}, loudness or {}, wanted, check, progress):
        yield stage, Composition(recipe, frame, parts, levels, parents, models)


def _finished(
    recipe: Recipe,
    models: ComposingModels,
    kept: Mapping[str, Part],
    loudness: Mapping[str, float],
    parents: tuple[str, ...],
    wanted: Sequence[str],
    on_stage: OnStage | None = None,
    check: Check | None = None,
    progress: Progress | None = None,
) -> Composition:
    for stage, made in composing(recipe, models, kept, loudness, parents, wanted, check, progress):
        if on_stage:
            on_stage(stage, made)
    return made


def wished(
    chords: str | None = None,
    seed: int | None = None,
    key: str | None = None,
    mood: str | None = None,
    tempo: float | None = None,
    melody: Any = None,
    band: Any = None,
    to_band: Any = None,
    piano: Any = None,
    recipe: Recipe | Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe for what `compose` is given; arguments and errors as there."""
    made = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe or {})
    made = made if seed is None else made.seeded(seed)
    given = {"text": chords, "key": key, "mood": mood, "tempo": tempo}
    made = made.changed(CHORDS, **{name: value for name, value in given.items() if value is not None})
    styles = {"style": band, "to_style": to_band}
    made = made.changed(BAND, **{name: value for name, value in styles.items() if value is not None})
    if piano is not None:
        made = made.changed(PIANO, style=piano)
    if melody is not None:
        made = around_melody(made, read_melody(melody))
    return made


def around_melody(recipe: Recipe, part: Part) -> Recipe:
    """A recipe with a melody that is given; chords that are drawn for it are drawn in the key that it is heard in."""
    recipe = recipe.changed(MELODY, material=part.to_dict())
    if recipe.chords.text is not None or recipe.chords.key is not None:
        return recipe
    modes = [MOODS[recipe.chords.mood].mode] if recipe.chords.mood else MODES
    return recipe.changed(CHORDS, key=heard_key(part.notes, modes).name)


def _is_kept(material: Mapping[str, Any] | None) -> bool:
    return material is not None and KEPT in (material.get("how") or {})


def _is_loudness(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1e-6 < value < 10


__all__ = ["Composition", "compose"]

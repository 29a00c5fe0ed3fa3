"""The recipe of a piece: what each of its stages is told, with the seed of each. As JSON it makes the piece again.

Stages follow one another: chords, melody, band, piano, mix. The melody and the band are made for the chords; the piano for
the chords and the melody; the mix puts them together. A stage that holds `material` gives that, and asks no model: so it is
with what a person wrote or edited, and with what is kept while what it was made for changes.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .band_bars import BARS
from .harmony import Key
from .moods import MAX_TEMPO, MIN_TEMPO, NUM_BARS, mood_of, read_chords
from .parts import CompositionError, Part
from .piano_pieces import PIECES

CHORDS, MELODY, BAND, PIANO, MIX = STAGES = ("chords", "melody", "band", "piano", "mix")
PLAYED = (MELODY, BAND, PIANO)
# What a stage is made for.
NEEDS = {CHORDS: (), MELODY: (CHORDS,), BAND: (CHORDS,), PIANO: (CHORDS, MELODY), MIX: (CHORDS, MELODY, BAND, PIANO)}
QUARTERS = 4.0 * NUM_BARS
MAX_SEED = 2**31 - 1
MAX_STYLE_BYTES = 300_000
MAX_LEVEL = 12.0


@dataclass(frozen=True)
class Style:
    """What a band or a piano plays like; exactly one of the first three is given.

    Attributes:
        name: of a piece or a bar that comes with Encore.
        seed: of a random style (bands alone).
        midi: contents of a MIDI file.
        bar: of that file, from 1, which the band takes its style from; None: the first that it can read.
        title: what people call the file.
    """

    name: str | None = None
    seed: int | None = None
    midi: bytes | None = None
    bar: int | None = None
    title: str = ""

    def __post_init__(self):
        if sum(value is not None for value in (self.name, self.seed, self.midi)) != 1:
            raise CompositionError("A style is a name, a seed or a MIDI file, one of them.")
        if self.midi is not None and len(self.midi) > MAX_STYLE_BYTES:
            raise CompositionError(
                f"The MIDI file of a style has {len(self.midi):,} bytes; at most {MAX_STYLE_BYTES:,} are allowed."
            )
        if self.seed is not None:
            checked_seed(self.seed)
        if self.bar is not None:
            _whole("The bar of a style", self.bar, 1, 100_000)

    @property
    def label(self) -> str:
        """For people."""
        if self.midi is not None:
            return self.title or "a MIDI file"
        return self.name if self.name is not None else f"random style {self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        found = {key: value for key, value in vars(self).items() if value not in (None, "")}
        return found | ({"midi": base64.b64encode(self.midi).decode()} if self.midi is not None else {})

    @classmethod
    def read(cls, value: Any, known: Mapping[str, Any], takes_seeds: bool) -> Style:
        """Of a name, a number (a seed), the contents of a MIDI file, a PrettyMIDI, a path, or what `to_dict` gives.

        Raises:
            CompositionError: it is none; says what is allowed.
            MidiError: the file cannot be read.
        """
        style = value if isinstance(value, cls) else cls._of(value)
        if style.name is not None and style.name not in known:
            raise CompositionError(f"There is no style {style.name!r:.60}; there is {', '.join(known)}.")
        if style.seed is not None and not takes_seeds:
            raise CompositionError("A piano takes no seed for a style: give the name of a piece or a MIDI file.")
        return style

    @classmethod
    def _of(cls, value: Any) -> Style:
        from .. import midi

        if isinstance(value, Mapping):
            given = {key: value[key] for key in ("name", "seed", "bar", "title") if value.get(key) is not None}
            for key in ("name", "title"):
                if not isinstance(given.get(key, ""), str):
                    raise CompositionError(f"The {key} of a style is text, not {given[key]!r:.40}.")
            given["title"] = given.get("title", "")[:60]
            return cls(**given, midi=_decoded(value["midi"]) if value.get("midi") is not None else None)
        if isinstance(value, str):
            return cls(name=value)
        if isinstance(value, bool) or value is None:
            raise CompositionError(f"A style is a name, a seed or a MIDI file, not {value!r}.")
        if isinstance(value, int):
            return cls(seed=value)
        if isinstance(value, (bytes, bytearray)):
            midi.load(bytes(value))
            return cls(midi=bytes(value))
        if hasattr(value, "instruments"):
            return cls(midi=midi.to_bytes(value))
        music = midi.load(value)
        return cls(midi=midi.to_bytes(music), title=getattr(value, "stem", "")[:60])


@dataclass(frozen=True)
class ChordsSettings:
    """Attributes:
    seed: draws what is not given: the mood, the progression, the key, the tempo.
    text: the progression, as `moods.read_chords` reads it; None: one of the mood's.
    key: such as "A minor"; None: that of the chords, or one of the mood's.
    mood: one of `moods.MOODS`; None: drawn. Also says what the piece is played on and like, where that is not given.
    tempo: quarter notes per minute, 50 to 180; None: one of the mood's.
    """

    seed: int = 0
    text: str | None = None
    key: str | None = None
    mood: str | None = None
    tempo: float | None = None

    def __post_init__(self):
        object.__setattr__(self, "seed", checked_seed(self.seed))
        if self.text is not None:
            read_chords(self.text)
        if self.key is not None:
            Key.read(self.key)
        if self.mood is not None:
            mood_of(self.mood)
        if self.tempo is not None:
            _number("The tempo", self.tempo, MIN_TEMPO, MAX_TEMPO)


@dataclass(frozen=True)
class MelodySettings:
    """Attributes:
    seed: draws the candidates.
    temperature: of their notes.
    candidates: how many are drawn, of which the one that fits best is taken.
    fit: 0..1, the share of the notes that do not go with the chords, the weightiest first, that are moved to where they do:
        those on a strong beat and long ones to the chord, others to the scale.
    program: General MIDI program 0..127 that plays it; None: one of the mood's.
    material: notes that are taken as they are, a `Part` of one track as JSON.
    """

    seed: int = 0
    temperature: float = 0.6
    candidates: int = 64
    fit: float = 1.0
    program: int | None = None
    material: Mapping[str, Any] | None = None

    def __post_init__(self):
        object.__setattr__(self, "seed", checked_seed(self.seed))
        _number("The temperature of the melody", self.temperature, 0.05, 3.0)
        _whole("The number of candidates", self.candidates, 1, 256)
        _number("The fit of the melody", self.fit, 0.0, 1.0)
        if self.program is not None:
            _whole("The program of the melody", self.program, 0, 127)
        _check_material(self.material, most_tracks=1)


@dataclass(frozen=True)
class BandSettings:
    """Attributes:
    seed: of the dice.
    style: a `Style`: what the band plays like; None: one of the mood's.
    to_style: another one, which it turns into on the way; None: it stays.
    temperature: of its notes.
    fit: 0..1, as that of the melody, of all its notes.
    material: tracks that are taken as they are, a `Part` as JSON.
    """

    seed: int = 0
    style: Style | None = None
    to_style: Style | None = None
    temperature: float = 0.3
    fit: float = 1.0
    material: Mapping[str, Any] | None = None

    def __post_init__(self):
        object.__setattr__(self, "seed", checked_seed(self.seed))
        for name in ("style", "to_style"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Style.read(getattr(self, name), BARS, takes_seeds=True))
        _number("The temperature of the band", self.temperature, 0.05, 3.0)
        _number("The fit of the band", self.fit, 0.0, 1.0)
        _check_material(self.material)


@dataclass(frozen=True)
class PianoSettings:
    """Attributes:
    seed: draws what it plays.
    style: a `Style`, whose touch and density it takes: a piece or a MIDI file; None: one of the mood's.
    temperature, top_p: of its events.
    fit: 0..1, as that of the melody, of all its notes.
    steadiness: 0..1, how far its notes are drawn to the sixteenths of the band's time; 0: it plays as freely as the model.
    material: notes that are taken as they are, a `Part` as JSON.
    """

    seed: int = 0
    style: Style | None = None
    temperature: float = 1.0
    top_p: float = 0.95
    fit: float = 1.0
    steadiness: float = 0.8
    material: Mapping[str, Any] | None = None

    def __post_init__(self):
        object.__setattr__(self, "seed", checked_seed(self.seed))
        if self.style is not None:
            object.__setattr__(self, "style", Style.read(self.style, PIECES, takes_seeds=False))
        _number("The temperature of the piano", self.temperature, 0.05, 3.0)
        _number("The top-p of the piano", self.top_p, 0.05, 1.0)
        _number("The fit of the piano", self.fit, 0.0, 1.0)
        _number("The steadiness of the piano", self.steadiness, 0.0, 1.0)
        _check_material(self.material)


@dataclass(frozen=True)
class MixSettings:
    """Attributes:
    levels: decibels, -12 to 12, by which a part is louder than the balance that is found for it, by its stage.
    muted: stages whose parts do not sound.
    ending: whether a last bar on the key's own chord is added.
    """

    levels: Mapping[str, float] = field(default_factory=dict)
    muted: tuple[str, ...] = ()
    ending: bool = True

    def __post_init__(self):
        if not isinstance(self.levels, Mapping) or not isinstance(self.muted, (list, tuple)):
            raise CompositionError('Levels are an object such as {"piano": -3}, and what is muted is a list of stages.')
        for stage in (*self.levels, *self.muted):
            if stage not in PLAYED:
                raise CompositionError(f"The parts of a mix are {', '.join(PLAYED)}, not {stage!r:.40}.")
        for stage, level in self.levels.items():
            _number(f"The level of the {stage}", level, -MAX_LEVEL, MAX_LEVEL)
        object.__setattr__(self, "levels", {stage: float(self.levels[stage]) for stage in PLAYED if stage in self.levels})
        object.__setattr__(self, "muted", tuple(stage for stage in PLAYED if stage in self.muted))
        if not isinstance(self.ending, bool):
            raise CompositionError(f"The ending is true or false, not {self.ending!r:.40}.")


_KINDS = {CHORDS: ChordsSettings, MELODY: MelodySettings, BAND: BandSettings, PIANO: PianoSettings, MIX: MixSettings}


@dataclass(frozen=True)
class Recipe:
    """What a whole piece is made of; see the settings of each stage."""

    chords: ChordsSettings = field(default_factory=ChordsSettings)
    melody: MelodySettings = field(default_factory=MelodySettings)
    band: BandSettings = field(default_factory=BandSettings)
    piano: PianoSettings = field(default_factory=PianoSettings)
    mix: MixSettings = field(default_factory=MixSettings)

    def of(self, stage: str) -> Any:
        """The settings of a stage.

        Raises:
            CompositionError: there is no such stage.
        """
        return getattr(self, checked_stage(stage))

    def changed(self, stage: str, **changes: Any) -> Recipe:
        """The same with other settings of one stage."""
        return replace(self, **{checked_stage(stage): replace(self.of(stage), **changes)})

    def seeded(self, seed: int) -> Recipe:
        """The same with one seed for all stages."""
        seed = checked_seed(seed)
        return replace(self, **{stage: replace(self.of(stage), seed=seed) for stage in STAGES if stage != MIX})

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON; what is None is left out."""
        found: dict[str, Any] = {}
        for stage in STAGES:
            values = {key: getattr(self.of(stage), key) for key in (item.name for item in fields(self.of(stage)))}
            found[stage] = {key: _plain(value) for key, value in values.items() if value is not None}
        return found

    @classmethod
    def from_dict(cls, value: Any) -> Recipe:
        """What `to_dict` gave, or part of it: what is missing is as by default.

        Raises:
            ValueError: something in it is not known, or out of range; says what.
        """
        if not isinstance(value, Mapping):
            raise CompositionError(f'A recipe is an object such as {{"chords": {{"text": "C Am F G"}}}}, not {value!r:.40}.')
        strange = [key for key in value if key not in _KINDS]
        if strange:
            raise CompositionError(f"A recipe has settings of {', '.join(STAGES)}, not of {strange[0]!r:.40}.")
        made = {}
        for stage, kind in _KINDS.items():
            given = value.get(stage) or {}
            if not isinstance(given, Mapping):
                raise CompositionError(f"The settings of the {stage} are an object, not {given!r:.40}.")
            known = [item.name for item in fields(kind)]
            unknown = [key for key in given if key not in known]
            if unknown:
                raise CompositionError(f"The {stage} has no setting {unknown[0]!r:.40}; it has {', '.join(known)}.")
            made[stage] = kind(**{key: item for key, item in given.items() if item is not None})
        return cls(**made)


def checked_stage(stage: Any) -> str:
    """A stage by its name.

    Raises:
        CompositionError: there is none.
    """
    if stage not in STAGES:
        raise CompositionError(f"The stages of a piece are {', '.join(STAGES)}; {stage!r:.40} is none.")
    return stage


def checked_seed(value: Any) -> int:
    """A seed, 0 to 2**31 - 1."""
    return _whole("A seed", value, 0, MAX_SEED)


def followers(stage: str) -> tuple[str, ...]:
    """The stages that are made for one, and those that are made for these."""
    found: list[str] = [checked_stage(stage)]
    for other in STAGES:
        if any(need in found for need in NEEDS[other]) and other not in found:
            found.append(other)
    return tuple(found[1:])


def _plain(value: Any) -> Any:
    if isinstance(value, Style):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def _decoded(text: Any) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        if not isinstance(text, str) or len(text) > 2 * MAX_STYLE_BYTES:
            raise ValueError
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise CompositionError("The MIDI file of a style is not base64, or is too large.") from None


def _check_material(value: Any, most_tracks: int | None = None) -> None:
    if value is None:
        return
    part = Part.from_dict(value, QUARTERS)
    if most_tracks and len(part.tracks) > most_tracks:
        raise CompositionError(f"A melody is one track, not {len(part.tracks)}.")


def _number(name: str, value: Any, low: float, high: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise CompositionError(f"{name} must be a number from {low:g} to {high:g}, not {value!r:.40}.")
    return float(value)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value != int(value) or not low <= value <= high:
        raise CompositionError(f"{name} must be a whole number from {low} to {high}, not {value!r:.40}.")
    return int(value)

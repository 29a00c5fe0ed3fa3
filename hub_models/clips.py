"""The clip: a piece of music on its way from model to model, MIDI or sound, with what is known of it and where it is from.

Everything that Encore makes can be one; `hub_models.compose` gives them, the Studio's tabs take and give them, and
`hub_models.sessions` keeps several in a file. A clip never changes: what is made of it is another clip, of which it is a
parent.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pretty_midi

    from .audio import AudioLimits
    from .midi import MidiSource
    from .music_vae.note_sequence import MidiLimits

MIDI, AUDIO = KINDS = ("midi", "audio")
MAX_NAME = 80
ENDPOINT = re.compile(r"/[a-z][a-z0-9_]{0,63}")


class ClipError(ValueError):
    """A clip that cannot be made of what was given."""


@dataclass(frozen=True)
class Call:
    """One call of a named endpoint of the Studio: what `gradio_client.Client.predict` is given.

    Attributes:
        endpoint: its name, such as "/interpolate".
        arguments: by the names of its parameters, plain JSON. In place of a value there may be a reference, see `file`,
            `result` and `of_clip`; also within lists and objects.

    Raises:
        ClipError: that is no name of an endpoint, or the arguments are no plain JSON.
    """

    endpoint: str
    arguments: Mapping[str, Any]

    def __post_init__(self):
        if not isinstance(self.endpoint, str) or not ENDPOINT.fullmatch(self.endpoint):
            raise ClipError(f"An endpoint is named like /interpolate, not {str(self.endpoint)[:80]!r}.")
        object.__setattr__(self, "arguments", _plain(self.arguments, f"The arguments of {self.endpoint}"))

    @staticmethod
    def file(name: str) -> dict[str, str]:
        """The file called `name` among the files of the clip's origin."""
        return {"$file": name}

    @staticmethod
    def result(call: int, output: int = 0, *path: str | int) -> dict[str, Any]:
        """What an earlier call of the same origin gave; `output` is its place among several.

        `path` leads on into it: `Call.result(0, 0, "clips", 1)` is the second of the clips of what call 0 gave.
        """
        reference: dict[str, Any] = {"$result": call, "$output": output}
        return {**reference, "$path": list(path)} if path else reference

    @staticmethod
    def of_clip(clip_id: str) -> dict[str, str]:
        """The file of another clip, one of the parents."""
        return {"$clip": clip_id}


@dataclass(frozen=True)
class Origin:
    """Where a clip is from, and what it takes to make it again.

    Attributes:
        action: what was done, in words: "Upload", "Morph A into B".
        model: name of the model that did it.
        settings: what it was told, as plain JSON, to be read by people.
        seed: of everything random.
        parents: ids of the clips that it was made of.
        calls: what makes it again, in order; the last gives it. Empty for what was not made here: it is its own source.
        output: the place of the clip among the outputs of the last call.
        files: contents of files that the calls need, by name.

    Raises:
        ClipError: the settings are no plain JSON.
    """

    action: str = "Upload"
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    parents: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    output: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "settings", _plain(self.settings, "The settings of a clip"))
        object.__setattr__(self, "seed", None if self.seed is None else int(self.seed))
        object.__setattr__(self, "parents", tuple(self.parents))
        object.__setattr__(self, "calls", tuple(self.calls))


@dataclass(frozen=True, eq=False)
class Clip:
    """A piece of music.

    Attributes:
        name: what a person sees, at most 80 characters.
        kind: "midi" or "audio".
        data: the contents of a standard MIDI file, or of a sound file (WAV where it was made here).
        seconds: how long it is; of MIDI, where its last bar ends if that is known, else its last note.
        tempo: quarter notes per minute at its beginning, if known.
        key: such as "C major" or "A minor", if known.
        chords: the symbols of each bar, if known.
        bars: of MIDI, by its own bar lines.
        has_drums, has_notes: of MIDI, whether there are hits of drums, and notes of other instruments.
        origin: where it is from.

    Raises:
        ClipError: its kind is neither, or it holds nothing.
    """

    name: str
    kind: str
    data: bytes
    seconds: float
    tempo: float | None = None
    key: str | None = None
    chords: tuple[tuple[str, ...], ...] | None = None
    bars: int | None = None
    has_drums: bool = False
    has_notes: bool = False
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ClipError(f"A clip is of the kind {' or '.join(KINDS)}, not {str(self.kind)[:20]!r}.")
        if not self.data:
            raise ClipError("A clip needs the contents of a file; there are none.")
        object.__setattr__(self, "name", clean_name(self.name))

    @classmethod
    def from_midi(
        cls,
        source: MidiSource | pretty_midi.PrettyMIDI,
        name: str,
        *,
        seconds: float | None = None,
        key: str | None = None,
        chords: Any = None,
        origin: Origin | None = None,
        limits: MidiLimits | None = None,
    ) -> Clip:
        """A clip of MIDI.

        Args:
            source: a path, contents, a file or a PrettyMIDI. The contents of a file are kept as they are.
            seconds: how long it is, where it ends in silence.
            chords: the symbols of each bar; a list of lists.
            limits: of what a file may hold, default those of `midi.load`.

        Raises:
            MidiError: it cannot be read; the message says why.
            ClipError: it holds no notes.
        """
        import pretty_midi

        from . import midi

        if isinstance(source, pretty_midi.PrettyMIDI):
            music, data = source, midi.to_bytes(source)
        else:
            data = source if isinstance(source, bytes) else _contents(source)
            music = midi.load(data, limits)
        facts = midi.summary(music)
        if not facts["num_notes"]:
            raise ClipError(f"The clip “{clean_name(name)}” holds no notes.")
        signatures = music.key_signature_changes
        return cls(
            name=name,
            kind=MIDI,
            data=data,
            seconds=max(float(seconds or 0.0), facts["seconds"]),
            tempo=facts["tempo"],
            key=key or (_spelled(signatures[0].key_number) if signatures else None),
            chords=tuple(tuple(symbols) for symbols in chords) if chords else None,
            bars=facts["bars"],
            has_drums=any(part["is_drum"] and part["num_notes"] for part in facts["instruments"]),
            has_notes=any(not part["is_drum"] and part["num_notes"] for part in facts["instruments"]),
            origin=origin or Origin(),
        )

    @classmethod
    def from_audio(
        cls,
        source: bytes | np.ndarray,
        name: str,
        *,
        sample_rate: int | None = None,
        tempo: float | None = None,
        key: str | None = None,
        origin: Origin | None = None,
        limits: AudioLimits | None = None,
    ) -> Clip:
        """A clip of sound.

        Args:
            source: contents of a sound file, or samples, (channels, samples) or (samples,) float, with `sample_rate` in Hz.
            limits: of what a file may hold, default those of `audio.load`.

        Raises:
            AudioError: it cannot be read; the message says why.
            ClipError: samples without a sample rate.
        """
        from . import audio

        if not isinstance(source, bytes):
            if not sample_rate:
                raise ClipError("Samples need a sample rate, in Hz.")
            source = audio.to_wav_bytes(source, sample_rate)
        samples, rate = audio.load(source, limits)
        return cls(
            name=name,
            kind=AUDIO,
            data=source,
            seconds=samples.shape[-1] / rate,
            tempo=tempo,
            key=key,
            origin=origin or Origin(),
        )

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits that follow from its contents and its origin: the same clip always has the same."""
        facts = [self.kind, self.origin.action, self.origin.seed, list(self.origin.parents), dict(self.origin.settings)]
        return hashlib.sha256(self.data + json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]

    @property
    def extension(self) -> str:
        """What the name of its file ends in: "mid", "wav", "flac", "ogg" or "mp3"."""
        if self.kind == MIDI:
            return "mid"
        return {b"RIFF": "wav", b"fLaC": "flac", b"OggS": "ogg"}.get(self.data[:4], "mp3")

    def named(self, name: str) -> Clip:
        """The same clip, called otherwise; its id stays."""
        return replace(self, name=name)

    def music(self) -> pretty_midi.PrettyMIDI:
        """A clip of MIDI as PrettyMIDI.

        Raises:
            ClipError: it is sound.
        """
        from . import midi

        if self.kind != MIDI:
            raise ClipError(f"The clip “{self.name}” is sound; there are no notes to be read in it.")
        return midi.load(self.data)

    def sound(self, sample_rate: int = 44_100) -> tuple[np.ndarray, int]:
        """(channels, samples) float32 and the sample rate in Hz: MIDI is rendered at `sample_rate`, sound is as it is.

        Raises:
            RenderError: it lasts longer than a rendering may.
        """
        from . import audio, midi

        if self.kind == AUDIO:
            return audio.load(self.data)
        return midi.render(self.music(), sample_rate=sample_rate, min_seconds=self.seconds), sample_rate


def clean_name(name: str) -> str:
    """A name as it is kept: on one line, at most 80 characters, and "Clip" where none is left."""
    readable = "".join(letter if letter.isprintable() else " " for letter in str(name))
    return " ".join(readable.split())[:MAX_NAME].strip() or "Clip"


def _plain(value: Any, what: str) -> Any:
    """A value as JSON gives it back, so that what is kept in a file and read again is the same.

    Raises:
        ClipError: it is no object of plain JSON.
    """
    try:
        plain = json.loads(json.dumps(value, allow_nan=False, default=_number))
    except (TypeError, ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        raise ClipError(f"{what} must be an object of plain JSON: texts, finite numbers, lists and objects.")
    return plain


def _number(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no plain JSON: {type(value).__name__}")


def _contents(source: Any) -> bytes:
    """What a path or a file holds, no more than is allowed and a byte, for `midi.load` to judge."""
    from .music_vae.note_sequence import MidiLimits

    most = MidiLimits().max_bytes + 1
    if hasattr(source, "read"):
        return source.read(most)
    with open(source, "rb") as file:
        return file.read(most)


def _spelled(key_number: int) -> str:
    """pretty_midi's number of a key: 0 to 11 are major, 12 to 23 minor."""
    names = ("C", "D♭", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
    return f"{names[key_number % 12]} {'major' if key_number < 12 else 'minor'}"

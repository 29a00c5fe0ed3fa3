"""config.json of magenta.js folders: what a step of the music is, and what the model was given beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .errors import ConversionError
from .tensorflowjs_weights import read_json

STEPS_PER_QUARTER = 4
MAX_STEPS = 65_536
DRUM_MAP = "magenta_js"  # where config.json gives no classes
NUM_DRUM_CLASSES = 9
# Of a bar of several tracks: steps, and programs of General MIDI with the drums. Every pitch is in use.
MULTITRACK_STEPS_PER_QUARTER = 24
MULTITRACK_STEPS = 96
MULTITRACK_PROGRAMS = 129
NUM_PITCHES = 128
# Width of one step of chords, and of a key.
CHORD_ENCODERS = {"TriadChordEncoder": 49, "MajorMinorChordEncoder": 25, "PitchChordEncoder": 37}
KEY_SIZE = 12


class Arguments:
    """An object of config.json whose values are checked as they are read.

    Args:
        values (`dict`): from JSON.
        place (`str`): where it stands in the file; empty for all of it.
    """

    def __init__(self, values: Any, place: str):
        if not isinstance(values, dict):
            raise ConversionError(f"config.json{place and f': {place}'} must be an object, got {_shown(values)}.")
        self.values = values
        self.place = place
        self.read = {"ignorePolyphony"}  # of magenta.js's reading of notes, which ours replaces

    def get(self, name: str) -> Any:
        self.read.add(name)
        return self.values.get(name)

    def unread(self) -> list[str]:
        """Names that nothing has asked for so far."""
        return sorted(set(self.values) - self.read)

    def inner(self, name: str) -> "Arguments":
        return Arguments(self.get(name), self._place(name))

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = default if self.get(name) is None else self.get(name)
        if type(value) is not int or not low <= value <= high:
            raise ConversionError(
                f"config.json: {self._place(name)} must be an integer from {low} to {high}, got {_shown(value)}."
            )
        return value

    def exactly(self, name: str, only: int, default: int | None = None) -> int:
        """An integer that can have one value here."""
        value = default if self.get(name) is None else self.get(name)
        if type(value) is not int or value != only:
            raise ConversionError(f"config.json: {self._place(name)} must be {only}, got {_shown(value)}.")
        return value

    def flag(self, name: str) -> bool:
        if self.get(name) not in (None, True, False):
            raise ConversionError(f"config.json: {self._place(name)} must be true or false, got {_shown(self.get(name))}.")
        return bool(self.get(name))

    def pitches(self, default: tuple[int | None, int | None] = (None, None)) -> tuple[int, int]:
        """The lowest and the highest pitch."""
        lowest = self.integer("minPitch", 0, 127, default[0])
        return lowest, self.integer("maxPitch", lowest, 127, default[1])

    def drum_classes(self) -> tuple[str | list[list[int]], int]:
        """The classes, or the name of magenta.js's own, and their number."""
        classes = self.get("pitchClasses")
        if classes is None:
            return DRUM_MAP, NUM_DRUM_CLASSES
        valid = isinstance(classes, list) and all(isinstance(pitches, list) and pitches for pitches in classes)
        valid = valid and all(type(pitch) is int and 0 <= pitch <= 127 for pitches in classes for pitch in pitches)
        if not valid or not 1 <= len(classes) <= 64:
            raise ConversionError(
                f"config.json: {self._place('pitchClasses')} must be 1 to 64 lists of MIDI pitches, got {_shown(classes)}."
            )
        return classes, len(classes)

    def _place(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name


@dataclass
class Specification:
    """What config.json says.

    Args:
        converter (`str`): type of the data converter.
        arguments (`Arguments`): its arguments.
        num_steps (`int`): steps of a sequence.
        num_segments (`int`, *optional*): segments of a hierarchical model.
        controls (`list[tuple[str, int]]`): name and width of each control, in the order in which a step holds them.
        boolean (`bool`): whether the decoder writes bits that do not depend on each other, where it has no other output.
        unread (`list[str]`): what else config.json holds.
    """

    converter: str
    arguments: Arguments
    num_steps: int
    num_segments: int | None = None
    controls: list[tuple[str, int]] = field(default_factory=list)
    boolean: bool = False
    unread: list[str] = field(default_factory=list)

    @property
    def control_size(self) -> int:
        return sum(width for _, width in self.controls)

    @property
    def has_chords_only(self) -> bool:
        """Whether the controls are those that a processor makes: chords beside a melody or a band."""
        with_chords = self.converter in ("MelodyConverter", "MultitrackConverter")
        return with_chords and [name for name, _ in self.controls] == ["TriadChordEncoder"]


class Kind(NamedTuple):
    """What a data converter means here.

    Args:
        fields (`dict`): configuration fields: what a step is. The sizes of the layers are in the tensors.
        preset (`str`): a configuration of the same kind, for the fields of the loss, of which config.json says nothing.
        processor (`dict`, *optional*): arguments of `MusicVAEProcessor`; None where it has no such representation.
    """

    fields: dict[str, Any]
    preset: str
    processor: dict[str, Any] | None = None


def read_specification(folder: Path) -> Specification:
    """Reads config.json.

    Raises:
        ConversionError: where it is missing, or says something that cannot be converted.
    """
    top = Arguments(read_json(Path(folder) / "config.json"), "")
    if top.get("type") != "MusicVAE":
        raise ConversionError(f"config.json: type must be 'MusicVAE', got {_shown(top.get('type'))}.")
    converter = top.inner("dataConverter")
    name = converter.get("type")
    if name not in [*CONVERTERS, *BOOLEAN_CONVERTERS]:
        raise ConversionError(
            f"config.json: the data converter {_shown(name)} is not known; converted are {', '.join(CONVERTERS)}."
        )
    arguments = converter.inner("args")
    num_steps = arguments.integer("numSteps", 1, MAX_STEPS)
    num_segments = arguments.integer("numSegments", 0, num_steps, 0) or None
    if num_segments and num_steps % num_segments:
        raise ConversionError(f"config.json: {num_steps} steps cannot be cut into {num_segments} equal segments.")
    boolean = top.flag("useBooleanDecoder") or name in BOOLEAN_CONVERTERS
    return Specification(name, arguments, num_steps, num_segments, _controls(top), boolean, top.unread())


def read_kind(specification: Specification, names: set[str]) -> Kind:
    """What the data converter means here, for a folder with tensors of these names.

    Raises:
        ConversionError: where its arguments are wrong, or its outputs are of a kind that the model does not have.
    """
    if specification.boolean and not _has_nade(names) and specification.converter != "GrooveConverter":
        raise ConversionError(
            f"{specification.converter} with a boolean decoder cannot be converted: it writes bits that do not depend on "
            "each other, and the model has no such output."
        )
    return CONVERTERS[specification.converter](specification, names)


def _melody(specification: Specification, names: set[str]) -> Kind:
    lowest, highest = specification.arguments.pitches()
    size = _melody_size(lowest, highest)
    preset = "hier-mel_16bar" if specification.num_segments else "cat-mel_2bar_small"
    if specification.controls:
        preset = "cat-mel_2bar_med_chords"
    processor = {"representation": "melody", "min_pitch": lowest, "max_pitch": highest, "original_programs": 128}
    return Kind({"input_size": size, "output_size": size}, preset, processor)


def _drums(specification: Specification, names: set[str]) -> Kind:
    """Combinations in one softmax, or bits where there is a NADE."""
    classes, number = specification.arguments.drum_classes()
    if _has_nade(names):
        fields = {"input_size": number + 1, "output_size": number, "output_type": "nade"}
        return Kind(fields, "nade-drums_2bar_reduced", {"representation": "drum_roll", "drum_classes": classes})
    fields = {"input_size": number + 1, "output_size": 2**number}
    return Kind(fields, "cat-drums_2bar_small", {"representation": "drums", "drum_classes": classes})


def _drum_roll(specification: Specification, names: set[str]) -> Kind:
    if not _has_nade(names):
        raise ConversionError("A DrumRollConverter needs a NADE; the folder lacks\n  decoder/nade/w_enc")
    return _drums(specification, names)


def _one_hot_drums(specification: Specification, names: set[str]) -> Kind:
    _, number = specification.arguments.drum_classes()
    return Kind({"input_size": 2**number, "output_size": 2**number}, "cat-drums_2bar_small")


def _melody_shape(specification: Specification, names: set[str]) -> Kind:
    """Down, the same, or up."""
    specification.arguments.pitches()
    return Kind({"input_size": 3, "output_size": 3}, "cat-mel_2bar_small")


def _trio(specification: Specification, names: set[str]) -> Kind:
    arguments = specification.arguments
    melody, bass = arguments.inner("melArgs").pitches(), arguments.inner("bassArgs").pitches()
    classes, number = arguments.inner("drumsArgs").drum_classes()
    sizes = [_melody_size(*melody), _melody_size(*bass), 2**number]
    fields = {
        "input_size": sum(sizes),
        "output_size": sum(sizes),
        "output_type": "multi_categorical",
        "output_sizes": sizes,
        "split_decoder": any("core_decoder_0/" in name for name in names),
    }
    if melody != bass:
        return Kind(fields, "hier-trio_16bar")
    processor = {"representation": "trio", "min_pitch": melody[0], "max_pitch": melody[1], "drum_classes": classes}
    return Kind(fields, "hier-trio_16bar", processor)


def _groove(specification: Specification, names: set[str]) -> Kind:
    arguments = specification.arguments
    classes, number = arguments.drum_classes()
    if arguments.flag("splitInstruments"):
        raise ConversionError("Grooves with one step for each drum (splitInstruments) cannot be converted.")
    corruptions = ["humanize"] if arguments.flag("humanize") else []
    if arguments.flag("tapify"):
        corruptions += ["tap", "fixed_velocities"]
    fields = {"input_size": 3 * number, "output_size": 3 * number, "output_type": "groove"}
    processor = {
        "representation": "groove",
        "drum_classes": classes,
        "corruptions": corruptions,
        "steps_per_quarter": arguments.integer("stepsPerQuarter", 1, 96, STEPS_PER_QUARTER),
    }
    return Kind(fields, "groovae_2bar_humanize", processor)


def _multitrack(specification: Specification, names: set[str]) -> Kind:
    """Note on and note off by pitch, time shifts, velocities, programs, and the end of a track, which is the last event."""
    arguments = specification.arguments
    for name, value in (("minPitch", 0), ("maxPitch", NUM_PITCHES - 1)):
        arguments.exactly(name, value, default=value)
    arguments.exactly("stepsPerQuarter", MULTITRACK_STEPS_PER_QUARTER)
    arguments.exactly("totalSteps", MULTITRACK_STEPS)
    velocities = arguments.integer("numVelocityBins", 1, 127)
    if specification.num_segments is None:
        raise ConversionError("config.json: dataConverter.args.numSegments must be the number of tracks, got None.")
    size = 2 * NUM_PITCHES + MULTITRACK_STEPS + velocities + MULTITRACK_PROGRAMS + 1
    processor = {
        "representation": "multitrack",
        "num_bars": 1,
        "steps_per_quarter": MULTITRACK_STEPS_PER_QUARTER,
        "num_velocity_bins": velocities,
        "max_tracks": specification.num_segments,
        "max_track_events": specification.num_steps // specification.num_segments,
    }
    preset = "hier-multiperf_vel_1bar_med" + ("_chords" if specification.controls else "")
    return Kind({"input_size": size, "output_size": size, "end_token": size - 1}, preset, processor)


CONVERTERS: dict[str, Callable[[Specification, set[str]], Kind]] = {
    "MelodyConverter": _melody,
    "MelodyShapeConverter": _melody_shape,
    "DrumsConverter": _drums,
    "DrumRollConverter": _drum_roll,
    "DrumsOneHotConverter": _one_hot_drums,
    "TrioConverter": _trio,
    "GrooveConverter": _groove,
    "MultitrackConverter": _multitrack,
}
# Their decoders are boolean.
BOOLEAN_CONVERTERS = ("MelodyRhythmConverter", "TrioRhythmConverter")


def _controls(top: Arguments) -> list[tuple[str, int]]:
    """Chords, key, and others, in the order in which magenta.js puts them together."""
    chord_encoder = top.get("chordEncoder")
    if chord_encoder not in [None, *CHORD_ENCODERS]:
        raise ConversionError(
            f"config.json: the chord encoder {_shown(chord_encoder)} is not known; known are {', '.join(CHORD_ENCODERS)}."
        )
    controls = [(chord_encoder, CHORD_ENCODERS[chord_encoder])] if chord_encoder else []
    if top.flag("conditionOnKey"):
        controls.append(("key", KEY_SIZE))
    extra = [] if top.get("extraControls") is None else top.get("extraControls")
    if not isinstance(extra, list):
        raise ConversionError(f"config.json: extraControls must be a list, got {_shown(extra)}.")
    for number, values in enumerate(extra):
        control = Arguments(values, f"extraControls[{number}]")
        controls.append((str(control.get("name"))[:80], control.integer("depth", 1, 4096)))
    return controls


def _has_nade(names: set[str]) -> bool:
    return any("/nade/" in name for name in names)


def _melody_size(lowest: int, highest: int) -> int:
    """Note on by pitch, note off, and no event."""
    return highest - lowest + 3


def _shown(value: Any) -> str:
    return repr(value)[:100]

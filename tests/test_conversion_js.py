"""The magenta.js converter on folders written here: every kind of model and of storage, and everything that can be wrong."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from conversion.__main__ import main
from conversion.errors import ConversionError
from conversion.magenta_js import build_config, convert
from conversion.magenta_js_config import read_kind, read_specification
from conversion.magenta_music_vae import to_original, to_state_dict
from conversion.tensorflowjs_weights import read_manifest, read_weights
from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor

SMALL = {"latent_size": 3, "encoder_hidden_sizes": [4], "decoder_hidden_sizes": [5, 5]}
PITCHES = {"minPitch": 60, "maxPitch": 64}
DRUMS = {"pitchClasses": [[36, 35], [38], [42]]}
TRIO = {"melArgs": PITCHES, "bassArgs": PITCHES, "drumsArgs": DRUMS}
TRIO_FIELDS = {"output_type": "multi_categorical", "output_sizes": [7, 7, 8], "input_size": 22, "output_size": 22}
LEVELS = {"encoder_level_lengths": [16, 2], "decoder_level_lengths": [2, 16]}
BAND = {"numSteps": 512, "numSegments": 8, "stepsPerQuarter": 24, "totalSteps": 96, "numVelocityBins": 8}
BAND_FIELDS = {"input_size": 490, "output_size": 490, "end_token": 489}
BAND_FIELDS |= {"encoder_level_lengths": [64, 8], "decoder_level_lengths": [8, 64]}
BAND_PROCESSOR = {"representation": "multitrack", "num_bars": 1, "steps_per_quarter": 24, "window_steps": 512}

# config.json's converter and the rest of it; the configuration; arguments of the processor.
KINDS = {
    "melody": ("MelodyConverter", PITCHES, {}, {"input_size": 7, "output_size": 7}, {"representation": "melody"}),
    "hierarchical melody": (
        "MelodyConverter",
        {**PITCHES, "numSegments": 2},
        {},
        {"input_size": 7, "output_size": 7, **LEVELS},
        {"representation": "melody"},
    ),
    "melody of a hierarchical decoder": (
        "MelodyConverter",
        {**PITCHES, "numSegments": 4},
        {},
        {"input_size": 7, "output_size": 7, "encoder_hidden_sizes": [4, 4], "decoder_level_lengths": [4, 8]},
        {"representation": "melody"},
    ),
    "melody with chords": (
        "MelodyConverter",
        PITCHES,
        {"chordEncoder": "TriadChordEncoder"},
        {"input_size": 7, "output_size": 7, "control_size": 49},
        {"representation": "melody", "chords": True},
    ),
    "drums": (
        "DrumsConverter",
        DRUMS,
        {},
        {"input_size": 4, "output_size": 8},
        {"representation": "drums", "drum_classes": DRUMS["pitchClasses"]},
    ),
    "drums of the default map": ("DrumsConverter", {}, {}, {"input_size": 10, "output_size": 512}, {}),
    "drum roll": (
        "DrumRollConverter",
        {**DRUMS, "numSteps": 48},
        {},
        {"input_size": 4, "output_size": 3, "output_type": "nade", "nade_hidden_size": 6},
        {"representation": "drum_roll", "num_bars": 3},
    ),
    "trio": ("TrioConverter", TRIO, {}, {**TRIO_FIELDS, "split_decoder": True}, {"representation": "trio"}),
    "hierarchical trio": (
        "TrioConverter",
        {**TRIO, "numSegments": 2},
        {},
        {**TRIO_FIELDS, **LEVELS, "split_decoder": True},
        {"representation": "trio", "min_pitch": 60, "max_pitch": 64},
    ),
    "trio of one decoder": ("TrioConverter", TRIO, {}, TRIO_FIELDS, {"representation": "trio"}),
    "groove": (
        "GrooveConverter",
        {"pitchClasses": [[36], [38], [42], [46]], "humanize": True, "tapify": None},
        {},
        {"input_size": 12, "output_size": 12, "output_type": "groove"},
        {"representation": "groove", "corruptions": ["humanize"]},
    ),
    "tapped groove": (
        "GrooveConverter",
        {"tapify": True, "numSteps": 16},
        {},
        {"input_size": 27, "output_size": 27, "output_type": "groove"},
        {"representation": "groove", "corruptions": ["tap", "fixed_velocities"], "num_bars": 1},
    ),
    "band": ("MultitrackConverter", BAND, {}, BAND_FIELDS, {**BAND_PROCESSOR, "chords": False}),
    "band with chords": (
        "MultitrackConverter",
        {**BAND, "minPitch": 0, "maxPitch": 127},
        {"chordEncoder": "TriadChordEncoder"},
        {**BAND_FIELDS, "control_size": 49},
        {**BAND_PROCESSOR, "chords": True},
    ),
}


def quantise(array: np.ndarray, dtype: str | None) -> tuple[np.ndarray, dict]:
    """Values as they are stored, and the manifest's entry about them."""
    if dtype is None:
        return array, {}
    if dtype == "float16":
        return array.astype(np.float16), {"quantization": {"dtype": dtype, "original_dtype": "float32"}}
    minimum, steps = float(array.min()), np.iinfo(dtype).max
    scale = (float(array.max()) - minimum) / steps or 1.0
    stored = np.round((array.astype(np.float64) - minimum) / scale).astype(dtype)
    return stored, {"quantization": {"dtype": dtype, "scale": scale, "min": minimum}}


def write_weights(folder: Path, arrays: dict[str, np.ndarray], dtype: str | None = None, shard_bytes: int = 1000) -> Path:
    """Shards and manifest as TensorFlow.js writes them; float arrays are quantised."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, data = [], b""
    for name, array in arrays.items():
        is_float = array.dtype == np.float32
        stored, entry = quantise(array, dtype if is_float else None)
        weights.append({"name": name, "shape": list(array.shape), "dtype": array.dtype.name, **entry})
        data += stored.tobytes()
    shards = [data[start : start + shard_bytes] for start in range(0, len(data), shard_bytes)]
    paths = [f"group1-shard{number}of{len(shards)}" for number in range(1, len(shards) + 1)]
    for path, shard in zip(paths, shards, strict=True):
        (folder / path).write_bytes(shard)
    (folder / "weights_manifest.json").write_text(json.dumps([{"paths": paths, "weights": weights}]))
    return folder


def original_arrays(config: MusicVAEConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under the original's names."""
    rng = np.random.default_rng(seed)
    tensors = to_original(MusicVAEModel(config).state_dict(), config)
    return {name: rng.normal(size=tuple(tensor.shape)).astype(np.float32) for name, tensor in tensors.items()}


def write_folder(folder: Path, kind: str = "melody", **options) -> tuple[Path, MusicVAEConfig, dict[str, np.ndarray]]:
    """A complete magenta.js folder, its configuration and its weights."""
    converter, arguments, more, fields, _ = KINDS[kind]
    arguments = {"numSteps": 32, **arguments}
    config = MusicVAEConfig(**{**SMALL, "max_sequence_length": arguments["numSteps"], **fields})
    arrays = original_arrays(config)
    write_weights(folder, arrays, **options)
    description = {"type": "MusicVAE", "dataConverter": {"type": converter, "args": arguments}, **more}
    (folder / "config.json").write_text(json.dumps(description))
    return folder, config, arrays


def edit(folder: Path, change: Callable[[dict], object], name: str = "config.json"):
    """Changes a JSON file in place."""
    description = json.loads((folder / name).read_text())
    change(description)
    (folder / name).write_text(json.dumps(description))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_loads_and_decodes(kind, tmp_path):
    folder, config, arrays = write_folder(tmp_path / "js", kind)
    convert(folder, tmp_path / "output")
    model = MusicVAEModel.from_pretrained(tmp_path / "output").eval()
    for name in (*KINDS[kind][3], *SMALL, "max_sequence_length"):
        assert getattr(model.config, name) == getattr(config, name), name
    expected = to_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, config)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    processor = MusicVAEProcessor.from_pretrained(tmp_path / "output")
    arguments = KINDS[kind][4]
    assert {name: getattr(processor, name) for name in arguments} == arguments
    assert processor.mode == "musical"
    assert (processor.input_size, processor.control_size) == (config.input_size, config.control_size)
    controls = torch.zeros(config.max_sequence_length, config.control_size) if config.control_size else None
    sequences = model.sample(2, generator=torch.Generator().manual_seed(0), controls=controls)
    assert len(processor.decode(sequences)) == 2


def test_the_loss_is_that_of_a_model_of_the_same_kind(tmp_path):
    """config.json says nothing of training; the person is told where the numbers come from."""
    folder, _, _ = write_folder(tmp_path / "js", "groove")
    notes = convert(folder, tmp_path / "output")
    preset = MusicVAEConfig.from_preset("groovae_2bar_humanize")
    config = MusicVAEConfig.from_pretrained(tmp_path / "output")
    assert (config.dropout, config.free_bits) == (preset.dropout, preset.free_bits)
    assert any("groovae_2bar_humanize" in note for note in notes)


def test_the_default_drum_map_is_that_of_magenta_js(tmp_path):
    """It has no 22 and 26, and puts 43 and 52 in other classes than Magenta in Python does."""
    folder, _, _ = write_folder(tmp_path / "js", "drums of the default map")
    convert(folder, tmp_path / "output")
    processor = MusicVAEProcessor.from_pretrained(tmp_path / "output")
    of_pitch = {pitch: index for index, pitches in enumerate(processor.drum_classes) for pitch in pitches}
    assert 22 not in of_pitch
    assert 26 not in of_pitch
    assert (of_pitch[43], of_pitch[52]) == (of_pitch[50], of_pitch[51])


def test_controls_that_no_processor_makes_are_explained(tmp_path):
    """Melodies with rhythm and shape as controls: the encoder reads them as they are, an LSTM reads them for the decoder."""
    folder, _, _ = write_folder(tmp_path / "js")
    fields = {"input_size": 7, "output_size": 7, "control_size": 65, "control_hidden_sizes": [6]}
    config = MusicVAEConfig(**{**SMALL, **fields})
    arrays = original_arrays(config)
    kernels = {name: array for name, array in arrays.items() if name.endswith("cell_0/lstm_cell/kernel")}
    widths = {name.partition("/")[0]: len(array) for name, array in kernels.items()}
    assert widths == {"encoder": 7 + 65 + 4, "control_preprocessing": 65 + 6, "decoder": 7 + 3 + 2 * 6 + 5}
    write_weights(folder, arrays)
    extra = [{"name": "rhythm", "depth": 1}, {"name": "shape", "depth": 3}]
    edit(folder, lambda d: d.update(chordEncoder="TriadChordEncoder", conditionOnKey=True, extraControls=extra))
    notes = convert(folder, tmp_path / "output")
    assert any("TriadChordEncoder 0-48, key 49-60, rhythm 61-61, shape 62-64" in note for note in notes)
    model = MusicVAEModel.from_pretrained(tmp_path / "output").eval()
    assert model.config.control_hidden_sizes == [6]
    assert model.decode(torch.zeros(2, 3), controls=torch.zeros(32, 65)).shape == (2, 32)
    assert not MusicVAEProcessor.from_pretrained(tmp_path / "output").chords


def test_fields_that_nothing_reads_are_named(tmp_path):
    folder, _, _ = write_folder(tmp_path / "js")
    edit(folder, lambda d: (d.update(comment="ours"), d["dataConverter"]["args"].update(swing=1, ignorePolyphony=True)))
    assert "config.json also has 'comment', 'swing', which nothing reads." in convert(folder, tmp_path / "output")


def test_tensorflow_is_not_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # importing it fails
    folder, _, _ = write_folder(tmp_path / "js")
    assert convert(folder, tmp_path / "output")


def test_command_line_writes_a_folder_that_loads(tmp_path, capsys):
    folder, _, _ = write_folder(tmp_path / "js")
    arguments = ["magenta-js", "--checkpoint", str(folder), "--output", str(tmp_path / "output")]
    assert main(arguments) == 0
    assert MusicVAEModel.from_pretrained(tmp_path / "output").config.latent_size == 3
    (folder / "config.json").unlink()
    arguments[-1] = str(tmp_path / "other")
    assert main(arguments) == 1
    assert "There is no config.json" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [None, "uint8", "uint16", "float16"])
@pytest.mark.parametrize("shard_bytes", [7, 1 << 20])
def test_weights_are_read_however_they_are_stored(dtype, shard_bytes, tmp_path):
    """Seven bytes: tensors and even numbers straddle shards."""
    rng = np.random.default_rng(0)
    arrays = {f"w{rank}": rng.normal(size=(2, 3, 4)[:rank]).astype(np.float32) for rank in range(4)}
    write_weights(tmp_path, arrays, dtype, shard_bytes)
    read = read_weights(tmp_path)
    for name, array in arrays.items():
        stored, entry = quantise(array, dtype)
        expected = stored.astype(np.float32)
        if dtype in ("uint8", "uint16"):
            scale, minimum = entry["quantization"]["scale"], entry["quantization"]["min"]
            expected = (stored * np.float64(scale) + minimum).astype(np.float32)
        assert read[name].dtype == torch.float32
        np.testing.assert_array_equal(read[name].numpy(), expected)


def test_what_training_left_behind_is_passed_over(tmp_path):
    arrays = {
        "encoder/opaque_kernel": np.full(3000, np.nan, np.float32),
        "global_step": np.array(7, np.int32),
        "decoder/bias": np.ones(3, np.float32),
        "decoder/bias/Adam": np.ones(3, np.float32),
        "mask": np.array([True, False]),
        "labels": np.array([[1, 2]], np.uint8),
    }
    read = read_weights(write_weights(tmp_path, arrays))
    assert set(read) == {"decoder/bias", "mask", "labels"}
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[name])


def test_several_groups_are_read(tmp_path):
    first, second = {"a": np.ones(3, np.float32)}, {"b": np.arange(600, dtype=np.float32)}
    groups = []
    for name, arrays in (("one", first), ("two", second)):
        group = json.loads((write_weights(tmp_path / name, arrays) / "weights_manifest.json").read_text())[0]
        group["paths"] = [f"{name}/{path}" for path in group["paths"]]
        groups.append(group)
    (tmp_path / "weights_manifest.json").write_text(json.dumps(groups))
    read = read_weights(tmp_path)
    assert all(np.array_equal(read[name].numpy(), array) for name, array in (first | second).items())


def _set_weight(**values) -> Callable:
    return lambda manifest: manifest[0]["weights"][0].update(values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m[0]["paths"].append("group1-shard9of9"), "lacks shards .*\n  group1-shard9of9"),
        (lambda m: m[0]["paths"].pop(), "its tensors need"),
        (lambda m: m[0]["weights"].pop(), "its tensors need"),
        (lambda m: m[0]["paths"].append("../secret"), r"\.\./secret: a shard outside the folder"),
        (lambda m: m[0]["paths"].append("/etc/passwd"), "/etc/passwd: a shard outside the folder"),
        (lambda m: m[0]["paths"].append("c:\\secret"), "a shard outside the folder"),
        (lambda m: m[0]["paths"].append("link"), "link: a link out of the folder"),
        (lambda m: m[0]["paths"].append("loop"), "loop: a link out of the folder"),
        (lambda m: m[0]["paths"].append(3), "a shard is called '3'"),
        (lambda m: m[0]["paths"].append("a\0b"), "a shard is called"),
        (lambda m: m[0].pop("paths"), "group 0 is none"),
        (lambda m: m.append("shards"), "group 2 is none"),
        (lambda m: m[0]["weights"].clear() or m[1]["weights"].clear(), "names no weights"),
        (lambda m: m[0]["weights"].append(m[0]["weights"][0]), "encoder/.*: named twice"),
        (_set_weight(name=None), "a weight without a name"),
        (_set_weight(shape=[-4, 4]), r"the shape \[-4, 4\]"),
        (_set_weight(shape=[True]), r"the shape \[True\]"),
        (_set_weight(shape="4"), "the shape '4'"),
        (_set_weight(shape=[2**40, 2**40]), "is too large"),
        (_set_weight(shape=[1] * 9), "is too large"),
        (_set_weight(dtype="string"), "dtype 'string'; read are float32"),
        (_set_weight(dtype=["float32"]), "read are float32"),
        (_set_weight(quantization={"dtype": "uint4", "scale": 1, "min": 0}), "float32 quantised as 'uint4'"),
        (_set_weight(quantization={"dtype": ["uint8"], "scale": 1, "min": 0}), "float32 quantised as"),
        (_set_weight(quantization="uint8"), "float32 quantised as 'None'"),
        (_set_weight(quantization={"dtype": "uint8", "scale": float("nan"), "min": 0}), "the scale and minimum"),
        (_set_weight(quantization={"dtype": "uint8", "min": 0}), "the scale and minimum"),
    ],
)
def test_manifests_that_cannot_be_are_refused(change, sentence, tmp_path):
    folder, _, _ = write_folder(tmp_path / "js")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to("loop")
    (tmp_path / "secret").write_bytes(b"\0" * 4)
    edit(folder, lambda manifest: manifest.append({"paths": [], "weights": []}), "weights_manifest.json")
    assert read_weights(folder)
    edit(folder, change, "weights_manifest.json")
    with pytest.raises(ConversionError, match=sentence):
        convert(folder, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_links_within_the_folder_are_followed(tmp_path):
    folder, _, _ = write_folder(tmp_path)
    shard = folder / read_manifest(folder)[0].shards[0].name
    shard.rename(folder / "blob")
    shard.symlink_to("blob")
    assert read_weights(folder)


@pytest.mark.parametrize("name", ["weights_manifest.json", "config.json"])
@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\xff"])
def test_files_that_are_no_json_are_refused(name, text, tmp_path):
    folder, _, _ = write_folder(tmp_path / "js")
    (folder / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConversionError, match=f"{name} is no JSON"):
        convert(folder, tmp_path / "output")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_listed(value, tmp_path):
    folder, _, arrays = write_folder(tmp_path / "js")
    arrays["encoder/mu/bias"][1] = value
    write_weights(folder, arrays)
    with pytest.raises(ConversionError, match=r"NaN or infinite weights in\n  encoder/mu/bias"):
        convert(folder, tmp_path / "output")


def test_a_scale_that_overflows_is_refused(tmp_path):
    folder, _, _ = write_folder(tmp_path / "js", dtype="uint8")
    edit(folder, lambda m: m[0]["weights"][0]["quantization"].update(scale=1e299), "weights_manifest.json")
    with pytest.raises(ConversionError, match="NaN or infinite"):
        convert(folder, tmp_path / "output")


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("melody", "encoder/mu/bias", "Missing:\n  encoder/mu/bias"),
        ("melody", "encoder/mu/kernel", "it lacks\n  encoder/mu/kernel"),
        ("melody", "encoder/sigma/kernel", "Missing:\n  encoder/sigma/kernel"),
        (
            "trio",
            "core_decoder_1/decoder/output_projection/bias",
            "Missing:\n  core_decoder_1/decoder/output_projection/bias",
        ),
        ("drum roll", "decoder/nade/w_dec_t", "Missing:\n  decoder/nade/w_dec_t"),
        ("drum roll", "nade", "needs a NADE; the folder lacks\n  decoder/nade/w_enc"),
        ("hierarchical melody", "decoder/hierarchical_level_0", "it lacks\n  decoder/hierarchical_level_0/cell_0"),
        ("hierarchical melody", "core_decoder", "it lacks\n  core_decoder/decoder/multi_rnn_cell/cell_0"),
    ],
)
def test_incomplete_folders_are_refused_with_what_they_lack(kind, name, sentence, tmp_path):
    folder, _, arrays = write_folder(tmp_path / "js", kind)
    write_weights(folder, {key: array for key, array in arrays.items() if name not in key})
    with pytest.raises(ConversionError, match=sentence):
        convert(folder, tmp_path / "output")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("encoder/mu/kernel", (8,), r"encoder/mu/kernel: \(8,\)"),
        ("encoder/mu/bias", (2, 2), r"encoder/mu/bias: \(2, 2\)"),
        ("encoder/mu/bias", (4,), r"encoder/mu/bias: \(4,\)"),
        ("decoder/multi_rnn_cell/cell_0/lstm_cell/kernel", (15, 18), r"cell_0/lstm_cell/kernel: \(15, 18\)"),
        ("decoder/multi_rnn_cell/cell_0/lstm_cell/kernel", (5, 20), r"cell_0/lstm_cell/kernel: \(5, 20\)"),
        ("decoder/output_projection/kernel", (6, 7), "does not fit the configuration"),
        ("decoder/surprise", (2,), "Unknown:\n  decoder/surprise"),
    ],
)
def test_shapes_that_do_not_fit_are_listed(name, shape, sentence, tmp_path):
    folder, _, arrays = write_folder(tmp_path / "js")
    write_weights(folder, {**arrays, name: np.zeros(shape, np.float32)})
    with pytest.raises(ConversionError, match=sentence):
        convert(folder, tmp_path / "output")


def test_layers_of_different_sizes_are_refused(tmp_path):
    folder, _, arrays = write_folder(tmp_path / "js")
    cell = "decoder/multi_rnn_cell/cell_1/lstm_cell"
    other = {f"{cell}/kernel": np.zeros((11, 24), np.float32), f"{cell}/bias": np.zeros(24, np.float32)}
    write_weights(folder, {**arrays, **other})
    with pytest.raises(ConversionError, match=r"describe no model: (.|\n)*decoder_hidden_sizes"):
        convert(folder, tmp_path / "output")


def _args(**values) -> Callable:
    return lambda description: description["dataConverter"]["args"].update(values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(type="MusicRNN"), "type must be 'MusicVAE', got 'MusicRNN'"),
        (lambda d: d.update(dataConverter=None), "config.json: dataConverter must be an object, got None"),
        (lambda d: d["dataConverter"].update(type="PianoConverter"), "'PianoConverter' is not known; converted are Melody"),
        (lambda d: d["dataConverter"].update(type=["MelodyConverter"]), "is not known"),
        (lambda d: d["dataConverter"].update(args=[]), r"config.json: dataConverter.args must be an object, got \[\]"),
        (lambda d: d["dataConverter"].update(type="MelodyRhythmConverter"), "no such output"),
        (lambda d: d.update(useBooleanDecoder=True), "MelodyConverter with a boolean decoder cannot be converted"),
        (lambda d: d.update(useBooleanDecoder="no"), "useBooleanDecoder must be true or false, got 'no'"),
        (lambda d: d.update(chordEncoder="JazzEncoder"), "'JazzEncoder' is not known; known are TriadChordEncoder"),
        (lambda d: d.update(chordEncoder=["TriadChordEncoder"]), "is not known"),
        (lambda d: d.update(chordEncoder="PitchChordEncoder"), "does not fit the configuration"),
        (lambda d: d.update(extraControls={}), "extraControls must be a list"),
        (lambda d: d.update(extraControls=[{"name": "rhythm"}]), r"extraControls\[0\].depth must be an integer"),
        (_args(numSteps=None), "numSteps must be an integer from 1 to 65536, got None"),
        (_args(numSteps=True), "numSteps must be an integer"),
        (_args(numSteps=10**9), "numSteps must be an integer"),
        (_args(numSteps=40), "40 steps are no whole number of bars; a bar has 16 steps"),
        (_args(numSegments=5), "32 steps cannot be cut into 5 equal segments"),
        (_args(minPitch=70), "maxPitch must be an integer from 70 to 127, got 64"),
        (_args(minPitch="C4"), "minPitch must be an integer from 0 to 127, got 'C4'"),
        (_args(maxPitch=70), "does not fit the configuration"),
    ],
)
def test_configurations_that_cannot_be_converted_are_refused(change, sentence, tmp_path):
    folder, _, _ = write_folder(tmp_path / "js")
    edit(folder, change)
    with pytest.raises(ConversionError, match=sentence):
        convert(folder, tmp_path / "output")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("classes", [[], [[]], [36], "full", [[36], [128]], [[True]], [[36]] * 65])
def test_drum_classes_that_are_none_are_refused(classes, tmp_path):
    folder, _, _ = write_folder(tmp_path / "js", "drums")
    edit(folder, _args(pitchClasses=classes))
    with pytest.raises(ConversionError, match="pitchClasses must be 1 to 64 lists of MIDI pitches"):
        convert(folder, tmp_path / "output")


def test_more_drum_combinations_than_a_softmax_can_have_are_refused(tmp_path):
    folder, _, _ = write_folder(tmp_path / "js", "drums")
    edit(folder, _args(pitchClasses=[[pitch] for pitch in range(40)]))
    with pytest.raises(ConversionError, match="describe no model"):
        convert(folder, tmp_path / "output")


def test_grooves_with_a_step_for_each_drum_are_refused(tmp_path):
    folder, _, _ = write_folder(tmp_path / "js", "groove")
    edit(folder, _args(splitInstruments=True))
    with pytest.raises(ConversionError, match="splitInstruments"):
        convert(folder, tmp_path / "output")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"minPitch": 21}, "args.minPitch must be 0, got 21"),
        ({"maxPitch": 108}, "args.maxPitch must be 127, got 108"),
        ({"stepsPerQuarter": 4}, "args.stepsPerQuarter must be 24, got 4"),
        ({"stepsPerQuarter": None}, "args.stepsPerQuarter must be 24, got None"),
        ({"totalSteps": 192}, "args.totalSteps must be 96, got 192"),
        ({"totalSteps": "96"}, "args.totalSteps must be 96, got '96'"),
        ({"numVelocityBins": 0}, "args.numVelocityBins must be an integer from 1 to 127, got 0"),
        ({"numVelocityBins": 16}, "does not fit the configuration"),
        ({"numSegments": None}, "args.numSegments must be the number of tracks, got None"),
        ({"numSegments": 5}, "512 steps cannot be cut into 5 equal segments"),
        ({"numSegments": 4}, "8 tracks of 64 events, not 8, 4 and 128"),
    ],
)
def test_bands_of_other_events_are_refused(values, sentence, tmp_path):
    folder, _, _ = write_folder(tmp_path / "js", "band")
    edit(folder, _args(**values))
    with pytest.raises(ConversionError, match=sentence):
        convert(folder, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_bands_with_other_velocities_are_refused(tmp_path, monkeypatch):
    """Their weights fit, but nothing reads music into them."""
    converter, arguments, more, fields, processor = KINDS["band"]
    fields = {**fields, "input_size": 498, "output_size": 498, "end_token": 497}
    monkeypatch.setitem(KINDS, "band", (converter, {**arguments, "numVelocityBins": 16}, more, fields, processor))
    folder, config, _ = write_folder(tmp_path / "js", "band")
    specification, tensors = read_specification(folder), read_weights(folder)
    assert build_config(tensors, specification, read_kind(specification, set(tensors))).end_token == config.end_token
    with pytest.raises(ConversionError, match=r"config\.json: Multitrack bars have 8 velocity bins"):
        convert(folder, tmp_path / "output")
    assert not (tmp_path / "output").exists()


WITHOUT_PROCESSOR = {
    "DrumsOneHotConverter": (DRUMS, 8),
    "MelodyShapeConverter": (PITCHES, 3),
}


@pytest.mark.parametrize("converter", WITHOUT_PROCESSOR)
def test_models_without_a_processor_map_but_are_not_written(converter, tmp_path):
    arguments, size = WITHOUT_PROCESSOR[converter]
    config = MusicVAEConfig(**{**SMALL, "input_size": size, "output_size": size})
    write_weights(tmp_path, original_arrays(config))
    description = {"type": converter, "args": {"numSteps": 32, **arguments}}
    (tmp_path / "config.json").write_text(json.dumps({"type": "MusicVAE", "dataConverter": description}))
    specification, tensors = read_specification(tmp_path), read_weights(tmp_path)
    found = build_config(tensors, specification, read_kind(specification, set(tensors)))
    MusicVAEModel(found).load_state_dict(to_state_dict(tensors, found))
    assert found.output_size == size
    with pytest.raises(ConversionError, match=f"no processor for {converter} in this project yet"):
        convert(tmp_path, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_trios_of_two_pitch_ranges_are_refused(tmp_path):
    folder, _, _ = write_folder(tmp_path / "js", "trio")
    edit(folder, _args(bassArgs={"minPitch": 30, "maxPitch": 34}))
    with pytest.raises(ConversionError, match="no processor for TrioConverter, with different pitches for melody and bass"):
        convert(folder, tmp_path / "output")

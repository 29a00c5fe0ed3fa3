"""MusicVAE against the original: networks, losses, gradients, sampling, converters and the published sizes."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor
from hub_models.music_vae import PRESETS, NoExamplesError, NoteSequence, read_midi

from .conftest import GOLDEN, golden_folders, parametrize_cases

magenta_music_vae = pytest.importorskip(
    "conversion.magenta_music_vae", reason="the converters lie in the repository, not in the package"
)

TOLERANCE = 1e-4  # of the largest absolute value


def network_cases() -> list[Path]:
    """Cases of the presets that exist here; those of other variants of the family are for their own tests."""
    cases = golden_folders("music_vae")
    return [case for case in cases if (case / "ckpt").is_dir() and _case(case)["config"] in PRESETS]


def converter_cases() -> list[tuple[Path, str]]:
    """(folder of one MIDI file, configuration whose tensors lie there)."""
    folders = [folder for folder in golden_folders("music_vae", "converters") if not folder.name.startswith("_")]
    return [(folder, name) for folder in folders for name in PRESETS if (folder / f"{name}.npz").is_file()]


@cache
def _case(folder: Path) -> dict:
    return json.loads((folder / "case.json").read_text())


def _is_drums(name: str) -> bool:
    return "drums" in name


def _processor(name: str) -> MusicVAEProcessor:
    return MusicVAEProcessor("drums" if _is_drums(name) else "melody", mode="original")


@cache
def _convert(folder: Path, output: Path) -> tuple[MusicVAEModel, dict[str, np.ndarray]]:
    case = _case(folder)
    fields = ("free_bits", "max_beta", "beta_rate", "sampling_schedule", "sampling_rate")
    hyper_parameters = {name: case["hparams"][name] for name in fields}
    if hyper_parameters["sampling_schedule"] == "constant":
        hyper_parameters["sampling_schedule"] = "none"
    pytest.importorskip("tensorflow", reason="reading TensorFlow checkpoints needs the extra 'convert'")
    magenta_music_vae.convert(folder / "ckpt", case["config"], output, **hyper_parameters)
    return MusicVAEModel.from_pretrained(output).eval(), dict(np.load(folder / "io.npz"))


@pytest.fixture
def case(request, tmp_path_factory):
    folder = request.param
    key = tmp_path_factory.getbasetemp() / "converted" / folder.name
    model, arrays = _convert(folder, key)
    return _case(folder), model, arrays


def cases(argument: str):
    found = network_cases()
    mark = parametrize_cases(argument, found, [folder.name for folder in found])
    return pytest.mark.parametrize(*mark.args, **{**mark.kwargs, "indirect": bool(found)})


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.array(array))


def assert_close(ours: torch.Tensor, theirs: np.ndarray, tolerance: float = TOLERANCE):
    theirs = tensor(np.asarray(theirs, dtype=np.float32))
    assert ours.shape == theirs.shape
    scale = max(theirs.abs().max().item(), 1e-6)
    difference = (ours.detach().float() - theirs).abs().max().item() / scale
    assert difference <= tolerance, f"relative difference {difference:.2e}"


def inputs_of(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {
        "input_values": tensor(arrays["inputs"]).float(),
        "labels": tensor(arrays["targets"]).float().argmax(dim=-1),
        "lengths": tensor(arrays["lengths"]).long(),
    }


def valid_steps(arrays: dict[str, np.ndarray]) -> np.ndarray:
    steps = np.arange(arrays["inputs"].shape[1])
    return steps < arrays["lengths"][:, None]


@cases("case")
def test_posterior(case):
    _, model, arrays = case
    inputs = inputs_of(arrays)
    posterior = model.encode(inputs["input_values"], inputs["lengths"])
    assert_close(posterior.mean, arrays["mu"])
    assert_close(posterior.std, arrays["sigma"])
    assert_close(posterior.kl_divergence(), arrays["kl_div"])


@cases("case")
def test_teacher_forced_outputs_and_losses(case):
    description, model, arrays = case
    output = model(**inputs_of(arrays), noise=tensor(arrays["eps"]), global_step=description["global_step"])
    assert_close(output.latents, arrays["z"])
    valid = valid_steps(arrays)
    assert_close(output.logits[tensor(valid)], arrays["tf_outputs"][valid])
    assert_close(output.sequence_reconstruction_loss, arrays["r_loss"])
    assert_close(output.kl_cost, arrays["kl_cost"].mean())
    assert model.config.beta(description["global_step"]) == pytest.approx(float(arrays["beta"]), rel=1e-5)
    assert_close(output.loss, arrays["loss"])
    assert output.accuracy.item() == pytest.approx(description["metrics"]["metrics/accuracy"], rel=1e-5)


@cases("case")
def test_gradients(case):
    description, model, arrays = case
    model.zero_grad()
    model(**inputs_of(arrays), noise=tensor(arrays["eps"]), global_step=description["global_step"]).loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    ours = magenta_music_vae.to_original(gradients, model.config)
    assert set(ours) == set(description["gradients_of_loss"])
    for name, expected in description["gradients_of_loss"].items():
        gradient = ours[name].double().flatten()
        weights = torch.cos(torch.arange(len(gradient), dtype=torch.float64))
        # Sums cancel: compare on the scale of what was summed.
        scale = gradient.abs().sum().item()
        assert gradient.norm().item() == pytest.approx(expected["l2"], rel=TOLERANCE), name
        assert gradient.sum().item() == pytest.approx(expected["sum"], abs=TOLERANCE * scale), name
        assert (gradient @ weights).item() == pytest.approx(expected["dot_cos"], abs=TOLERANCE * scale), name


@cases("case")
def test_greedy_sequences(case):
    _, model, arrays = case
    sequences = model.decode(tensor(arrays["z"]), arrays["greedy_ids"].shape[1], temperature=None)
    np.testing.assert_array_equal(sequences.numpy(), arrays["greedy_ids"])


@cases("case")
def test_greedy_outputs_are_those_of_teacher_forcing_on_them(case):
    _, model, arrays = case
    labels = tensor(arrays["greedy_ids"]).long()
    assert_close(model.teacher_forced_logits(tensor(arrays["z"]), labels), arrays["greedy_outputs"])


@cases("case")
def test_notes_of_greedy_sequences(case):
    description, _, arrays = case
    processor = _processor(description["config"])
    decoded = processor.decode(tensor(arrays["greedy_ids"]).long())
    ends = np.cumsum(arrays["greedy_n_notes"])
    for midi, end, count in zip(decoded, ends, arrays["greedy_n_notes"], strict=True):
        assert_same_notes(midi, arrays["greedy_notes"][end - count : end])


@cases("case")
def test_scheduled_sampling(case):
    description, model, arrays = case
    output = model(
        **inputs_of(arrays),
        noise=tensor(arrays["eps"]),
        global_step=description["global_step"],
        sampling_mask=tensor(arrays["ss_mask"]).bool(),
        sampling_temperature=None,
    )
    valid = valid_steps(arrays)
    assert_close(output.logits[tensor(valid)], arrays["ss_outputs"][valid])
    assert_close(output.sequence_reconstruction_loss, arrays["ss_r_loss"])
    assert_close(output.loss, arrays["ss_loss"])


def assert_same_notes(midi, expected: np.ndarray):
    """Rows of pitch, velocity, start, end, program, is_drum, instrument; order does not matter."""
    rows = [
        (note.pitch, note.velocity, note.start, note.end, instrument.program, float(instrument.is_drum))
        for instrument in midi.instruments
        for note in instrument.notes
    ]
    ours = np.array(sorted(rows)).reshape(-1, 6)
    theirs = np.array(sorted(map(tuple, expected[:, :6]))).reshape(-1, 6)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


CONVERTERS = converter_cases()
CONVERTER_IDS = [f"{folder.name}-{name}" for folder, name in CONVERTERS]


@parametrize_cases("case", CONVERTERS, CONVERTER_IDS)
def test_extraction_is_the_originals(case):
    folder, name = case
    expected = np.load(folder / f"{name}.npz")
    processor = _processor(name)
    midi = read_midi(folder / json.loads((folder / "meta.json").read_text())["midi"])
    if int(expected["count"]) == 0:
        with pytest.raises(NoExamplesError):
            processor(midi)
        return
    features = processor(midi)
    ours = {
        (values.numpy().astype(bool).tobytes(), tuple(labels.tolist()))
        for values, labels in zip(features["input_values"], features["labels"], strict=True)
    }
    theirs = {
        (inputs.tobytes(), tuple(outputs.argmax(axis=-1).tolist()))
        for inputs, outputs in zip(expected["inputs"], expected["outputs"], strict=True)
    }
    assert len(features["labels"]) == len(ours) == int(expected["count"])
    assert ours == theirs
    np.testing.assert_array_equal(np.sort(features["lengths"].numpy()), np.sort(expected["lengths"]))


@parametrize_cases("case", CONVERTERS, CONVERTER_IDS)
def test_notes_of_extracted_windows(case):
    folder, name = case
    expected = np.load(folder / f"{name}.npz")
    if int(expected["count"]) == 0:
        assert "notes" not in expected
        return
    processor = _processor(name)
    ends = np.cumsum(expected["n_notes"])
    for outputs, end, count in zip(expected["outputs"], ends, expected["n_notes"], strict=True):
        assert_same_notes(processor.decode(outputs.argmax(axis=-1)), expected["notes"][end - count : end])


@parametrize_cases("case", CONVERTERS, CONVERTER_IDS)
def test_notes_read_from_midi(case):
    folder, _ = case
    parsed = np.load(folder / "parsed_notes.npz")["notes"]
    notes = NoteSequence.from_pretty_midi(read_midi(folder / json.loads((folder / "meta.json").read_text())["midi"]))
    ours = np.stack([notes.pitch, notes.velocity, notes.start, notes.end, notes.program, notes.is_drum, notes.instrument], 1)
    np.testing.assert_allclose(ours, parsed, rtol=0, atol=1e-9)


DECODED = [
    (GOLDEN / "music_vae" / "converters" / "_decode_only" / f"{name}.npz", name)
    for name in PRESETS
    if (GOLDEN / "music_vae" / "converters" / "_decode_only" / f"{name}.npz").is_file()
]


@parametrize_cases("case", DECODED, [name for _, name in DECODED])
def test_notes_of_random_sequences(case):
    path, name = case
    expected = np.load(path)
    ends = np.cumsum(expected["n_notes"])
    for sample, end, count in zip(expected["samples"], ends, expected["n_notes"], strict=True):
        assert_same_notes(_processor(name).decode(sample.argmax(axis=-1)), expected["notes"][end - count : end])


MANIFESTS = [path for path in sorted((GOLDEN / "music_vae" / "full_manifests").glob("*.json")) if path.stem in PRESETS]


@parametrize_cases("manifest", MANIFESTS, [path.stem for path in MANIFESTS])
def test_published_checkpoints_map_completely(manifest):
    description = json.loads(manifest.read_text())
    tensors = {
        variable["name"]: torch.empty(variable["shape"], device="meta") for variable in description["trainable_variables"]
    }
    config = magenta_music_vae.read_config(tensors, description["config"])
    assert config.to_dict() == MusicVAEConfig.from_preset(description["config"]).to_dict()
    state = magenta_music_vae.to_state_dict(tensors, config)
    with torch.device("meta"):
        model = MusicVAEModel(config)
    model.load_state_dict(state, strict=True, assign=True)
    frozen = sum(p.numel() for name, p in model.named_parameters() if "bias_hh" in name)
    assert sum(p.numel() for p in model.parameters()) - frozen == description["num_parameters"]
    hyper_parameters = description["hparams"]
    assert config.max_sequence_length == hyper_parameters["max_seq_len"]
    for name in ("free_bits", "max_beta", "beta_rate", "sampling_rate", "sampling_schedule"):
        assert getattr(config, name) == hyper_parameters[name], name

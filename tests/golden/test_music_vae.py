"""MusicVAE against the original: networks, losses, gradients, sampling, converters and the published sizes."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor
from hub_models.music_vae import PRESETS

from .conftest import GOLDEN, assert_same_notes, golden_folders, parametrize_cases

magenta_music_vae = pytest.importorskip(
    "conversion.magenta_music_vae", reason="the converters lie in the repository, not in the package"
)

TOLERANCE = 1e-4  # of the largest absolute value


def network_cases() -> list[Path]:
    """Cases of the presets that exist here; those of other variants of the family are for their own tests."""
    cases = golden_folders("music_vae")
    return [case for case in cases if (case / "ckpt").is_dir() and _case(case)["config"] in PRESETS]


@cache
def _case(folder: Path) -> dict:
    return json.loads((folder / "case.json").read_text())


def _processor(name: str) -> MusicVAEProcessor:
    return MusicVAEProcessor.from_preset(name, mode="original")


@cache
def _convert(folder: Path, output: Path) -> tuple[MusicVAEModel, dict[str, np.ndarray]]:
    case = _case(folder)
    hparams = case["hparams"]
    hyper_parameters = {name: hparams[name] for name in ("free_bits", "max_beta", "beta_rate")}
    if hparams["sampling_schedule"] != "constant":
        hyper_parameters |= {name: hparams[name] for name in ("sampling_schedule", "sampling_rate")}
    pytest.importorskip("tensorflow", reason="reading TensorFlow checkpoints needs the extra 'convert'")
    hyper_parameters["max_sequence_length"] = case["max_seq_len"]
    magenta_music_vae.convert(folder / "ckpt", case["config"], output, **hyper_parameters)
    return MusicVAEModel.from_pretrained(output).eval(), dict(np.load(folder / "io.npz"))


@pytest.fixture
def case(request, tmp_path_factory):
    folder = request.param
    key = tmp_path_factory.getbasetemp() / "converted" / folder.name
    model, arrays = _convert(folder, key)
    return _case(folder), model, arrays


def cases(argument: str, array: str | None = None):
    """Every network case, or every one with a certain array."""
    found = [folder for folder in network_cases() if array is None or array in np.load(folder / "io.npz")]
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


def labels_of(targets: np.ndarray, config: MusicVAEConfig) -> torch.Tensor:
    """The original's target vectors (..., output_size) in the form that the model's head takes."""
    targets = tensor(targets).float()
    match config.output_type:
        case "categorical":
            return torch.where(targets.any(dim=-1), targets.argmax(dim=-1), -1)  # zeros are padding
        case "multi_categorical":
            return torch.stack([part.argmax(dim=-1) for part in targets.split(config.output_sizes, dim=-1)], dim=-1)
        case "nade":
            return targets.long()
        case "groove":
            return targets


def inputs_of(arrays: dict[str, np.ndarray], config: MusicVAEConfig) -> dict[str, torch.Tensor]:
    inputs = {
        "input_values": tensor(arrays["inputs"]).float(),
        "labels": labels_of(arrays["targets"], config),
        "lengths": tensor(arrays["lengths"]).long(),
    }
    return {**inputs, "controls": tensor(arrays["controls"]).float()} if "controls" in arrays else inputs


def labels_of_greedy(arrays: dict[str, np.ndarray]) -> torch.Tensor:
    sequences = tensor(greedy_of(arrays))
    return sequences if sequences.is_floating_point() else sequences.long()


def greedy_of(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return arrays["greedy_ids"] if "greedy_ids" in arrays else arrays["greedy"]


def greedy_controls(arrays: dict[str, np.ndarray]) -> torch.Tensor | None:
    return tensor(arrays["greedy_c_input"]).float() if "greedy_c_input" in arrays else None


def valid_steps(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Which steps count, (B, T); lengths are (B,), or (B, segments)."""
    lengths = arrays["lengths"].reshape(len(arrays["inputs"]), -1, 1)
    steps = np.arange(arrays["inputs"].shape[1] // lengths.shape[1])
    return (steps < lengths).reshape(len(lengths), -1)


@cases("case")
def test_posterior(case):
    _, model, arrays = case
    inputs = inputs_of(arrays, model.config)
    posterior = model.encode(inputs["input_values"], inputs["lengths"], inputs.get("controls"))
    assert_close(posterior.mean, arrays["mu"])
    assert_close(posterior.std, arrays["sigma"])
    assert_close(posterior.kl_divergence(), arrays["kl_div"])


@cases("case")
def test_teacher_forced_outputs_and_losses(case):
    description, model, arrays = case
    output = model(**inputs_of(arrays, model.config), noise=tensor(arrays["eps"]), global_step=description["global_step"])
    assert_close(output.latents, arrays["z"])
    valid = valid_steps(arrays)
    assert_close(output.logits[tensor(valid)], arrays["tf_outputs"][valid])
    assert_close(output.sequence_reconstruction_loss, arrays["r_loss"])
    assert_close(output.kl_cost, arrays["kl_cost"].mean())
    assert model.config.beta(description["global_step"]) == pytest.approx(float(arrays["beta"]), rel=1e-5)
    assert_close(output.loss, arrays["loss"])
    metrics = description["metrics"]
    if "metrics/accuracy" in metrics:
        assert output.accuracy.item() == pytest.approx(metrics["metrics/accuracy"], rel=1e-5)
    for index in range(len(model.config.output_sizes or [])):
        expected = metrics[f"metrics/accuracy/output_{index}"]
        assert output.part_accuracy[index].item() == pytest.approx(expected, rel=1e-5)


@cases("case", "r_loss_per_segment")
def test_losses_of_segments(case):
    description, model, arrays = case
    output = model(**inputs_of(arrays, model.config), noise=tensor(arrays["eps"]), global_step=description["global_step"])
    assert_close(output.segment_reconstruction_loss, arrays["r_loss_per_segment"])


@cases("case", "conductor_embeddings")
def test_conductor_embeddings(case):
    _, model, arrays = case
    assert_close(model.segment_embeddings(tensor(arrays["z"])), arrays["conductor_embeddings"])


@cases("case", "nade_cond_probs")
def test_nade_probabilities(case):
    _, model, arrays = case
    labels, outputs, valid = labels_of(arrays["targets"], model.config), tensor(arrays["tf_outputs"]), valid_steps(arrays)
    head = model.decoder.head
    assert_close(head.conditional_probabilities(outputs, labels)[tensor(valid)], arrays["nade_cond_probs"][valid])
    assert_close(head.negative_log_likelihood(outputs, labels)[tensor(valid)], arrays["step_nll"][valid])


@cases("case", "tf_activated")
def test_groove_values_and_their_losses(case):
    description, model, arrays = case
    labels, outputs, valid = labels_of(arrays["targets"], model.config), tensor(arrays["tf_outputs"]), valid_steps(arrays)
    assert_close(model.decoder.head.activate(outputs)[tensor(valid)], arrays["tf_activated"][valid])
    for name, per_step in model.decoder.head.loss_terms(outputs, labels).items():
        expected = description["metrics"][f"metrics/{name}"]
        assert per_step.numpy()[valid].mean() == pytest.approx(expected, rel=1e-4), name


@cases("case")
def test_gradients(case):
    description, model, arrays = case
    model.zero_grad()
    model(
        **inputs_of(arrays, model.config), noise=tensor(arrays["eps"]), global_step=description["global_step"]
    ).loss.backward()
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


@cases("case", "greedy_n_notes")
def test_greedy_sequences(case):
    _, model, arrays = case
    expected = greedy_of(arrays)
    sequences = model.decode(
        tensor(arrays["z"]), expected.shape[1], temperature=None, controls=greedy_controls(arrays), stopping="never"
    )
    if model.config.output_type != "groove":
        np.testing.assert_array_equal(sequences.numpy(), expected)
        return
    drums = model.decoder.head.num_drums
    np.testing.assert_array_equal(sequences[..., :drums].numpy(), expected[..., :drums])
    assert_close(sequences, expected)


@cases("case", "greedy_end_fn_ids")
def test_greedy_sequences_that_stop_where_the_whole_batch_has_ended(case):
    _, model, arrays = case
    sequences = model.decode(tensor(arrays["z"]), temperature=None, stopping="batch")
    np.testing.assert_array_equal(sequences.numpy(), arrays["greedy_end_fn_ids"])
    segments = sequences.unflatten(1, (arrays["greedy_end_fn_lengths"].shape[1], -1))
    before_the_end = (segments == model.config.end_token).cumsum(dim=-1) == 0
    lengths = (before_the_end.sum(dim=-1) + 1).clamp(max=segments.shape[-1])
    np.testing.assert_array_equal(lengths.numpy(), arrays["greedy_end_fn_lengths"])


@cases("case", "greedy_outputs")
def test_greedy_outputs_are_those_of_teacher_forcing_on_them(case):
    _, model, arrays = case
    logits = model.teacher_forced_logits(tensor(arrays["z"]), labels_of_greedy(arrays), greedy_controls(arrays))
    assert_close(logits, arrays["greedy_outputs"])


@cases("case")
def test_notes_of_greedy_sequences(case):
    description, _, arrays = case
    processor = _processor(description["config"])
    decoded = processor.decode(labels_of_greedy(arrays))
    ends = np.cumsum(arrays["greedy_n_notes"])
    for midi, end, count in zip(decoded, ends, arrays["greedy_n_notes"], strict=True):
        assert_same_notes(midi, arrays["greedy_notes"][end - count : end])


@cases("case", "ss_mask")
def test_scheduled_sampling(case):
    description, model, arrays = case
    output = model(
        **inputs_of(arrays, model.config),
        noise=tensor(arrays["eps"]),
        global_step=description["global_step"],
        sampling_mask=tensor(arrays["ss_mask"]).bool(),
        sampling_temperature=None,
    )
    valid = valid_steps(arrays)
    assert_close(output.logits[tensor(valid)], arrays["ss_outputs"][valid])
    assert_close(output.sequence_reconstruction_loss, arrays["ss_r_loss"])
    assert_close(output.loss, arrays["ss_loss"])


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
    for name in ("free_bits", "max_beta", "beta_rate"):
        assert getattr(config, name) == hyper_parameters[name], name
    assert config.dropout == pytest.approx(1 - hyper_parameters["dropout_keep_prob"])
    if hyper_parameters["sampling_schedule"] == "constant":
        assert hyper_parameters["sampling_rate"] == 0.0
        assert config.sampling_schedule == "none"
    else:
        assert config.sampling_schedule == hyper_parameters["sampling_schedule"]
        assert config.sampling_rate == hyper_parameters["sampling_rate"]

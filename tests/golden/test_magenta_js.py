"""magenta.js folders: dequantised weights, what converted models compute, and the published manifests at full size."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor

from .conftest import GOLDEN, golden_folders, parametrize_cases

magenta_js = pytest.importorskip("conversion.magenta_js", reason="the converters lie in the repository, not in the package")

from conversion.magenta_js import build_config, build_processor  # noqa: E402
from conversion.magenta_js_config import Kind, Specification, read_kind, read_specification  # noqa: E402
from conversion.magenta_music_vae import to_state_dict  # noqa: E402
from conversion.tensorflow_checkpoints import is_leftover  # noqa: E402
from conversion.tensorflowjs_weights import read_manifest, read_weights  # noqa: E402

# Of the largest absolute value: weights of 8 bits are no better than this, the others cost nothing that shows.
TOLERANCES = {None: 1e-4, "uint16": 1e-3, "uint8": 0.15}


def js_folders(*parts: str) -> list[Path]:
    return sorted(path.parent for path in GOLDEN.joinpath("music_vae", *parts).glob("*/weights_manifest.json"))


FOLDERS = js_folders("js")
PUBLISHED = js_folders("js_published_manifests")


def _quantisation(folder: Path) -> str | None:
    """How a folder stores its weights, coarsest first."""
    stored = {str(weight.stored) for group in read_manifest(folder) for weight in group.weights if weight.scale is not None}
    return min(stored, key=len, default=None)


EXACT = [folder for folder in FOLDERS if _quantisation(folder) is None]


@cache
def _original_outputs(folder: Path) -> dict[str, np.ndarray]:
    """What the original computed with the TensorFlow checkpoint that a folder was made from."""
    for case in golden_folders("music_vae"):
        if (case / "io.npz").is_file() and folder.name.startswith(f"{case.name}_q"):
            return dict(np.load(case / "io.npz"))
    pytest.skip(f"the original's outputs for {folder.name} are not here")


def _describe(folder: Path, tensors: dict[str, torch.Tensor]) -> tuple[Specification, Kind, MusicVAEConfig]:
    specification = read_specification(folder)
    kind = read_kind(specification, set(tensors))
    return specification, kind, build_config(tensors, specification, kind)


@cache
def _load(folder: Path) -> MusicVAEModel:
    tensors = read_weights(folder)
    _, _, config = _describe(folder, tensors)
    model = MusicVAEModel(config)
    model.load_state_dict(to_state_dict(tensors, config))
    return model.eval()


@parametrize_cases("case", FOLDERS, [folder.name for folder in FOLDERS])
def test_dequantised_weights_are_exact(case):
    expected = np.load(case / "expected.npz")
    weights = read_weights(case)
    assert set(weights) == set(expected.files)
    for name, tensor in weights.items():
        np.testing.assert_array_equal(tensor.numpy(), expected[name], err_msg=name)


@parametrize_cases("case", FOLDERS, [folder.name for folder in FOLDERS])
@torch.no_grad()
def test_models_encode_as_the_original_does(case):
    """As far as the quantisation of the weights lets them."""
    model, arrays = _load(case), _original_outputs(case)
    controls = torch.from_numpy(arrays["controls"]) if model.config.control_size else None
    posterior = model.encode(torch.from_numpy(arrays["inputs"]), torch.from_numpy(arrays["lengths"]), controls)
    tolerance = TOLERANCES[_quantisation(case)]
    np.testing.assert_allclose(posterior.mean, arrays["mu"], rtol=0, atol=tolerance * np.abs(arrays["mu"]).max())
    np.testing.assert_allclose(posterior.std, arrays["sigma"], rtol=0, atol=tolerance * np.abs(arrays["sigma"]).max())


@parametrize_cases("case", EXACT, [folder.name for folder in EXACT])
def test_unquantised_models_decode_what_the_original_decodes(case):
    model, arrays = _load(case), _original_outputs(case)
    controls = torch.from_numpy(arrays["greedy_c_input"]) if model.config.control_size else None
    sequences = model.decode(torch.from_numpy(arrays["z"]), temperature=None, controls=controls, stopping="never")
    expected = arrays["greedy_ids"] if "greedy_ids" in arrays else arrays["greedy"]
    np.testing.assert_array_equal(sequences.numpy(), expected)


@parametrize_cases("case", FOLDERS, [folder.name for folder in FOLDERS])
def test_converted_folders_load_and_decode(case, tmp_path):
    magenta_js.convert(case, tmp_path)
    model, processor = MusicVAEModel.from_pretrained(tmp_path).eval(), MusicVAEProcessor.from_pretrained(tmp_path)
    assert all(torch.equal(tensor, _load(case).state_dict()[name]) for name, tensor in model.state_dict().items())
    assert processor.window_steps == model.config.max_sequence_length
    assert (processor.input_size, processor.num_labels) == (model.config.input_size, model.config.output_size)
    assert processor.control_size == model.config.control_size
    controls = torch.zeros(processor.window_steps, processor.control_size) if processor.control_size else None
    assert len(processor.decode(model.decode(torch.zeros(1, model.config.latent_size), controls=controls))) == 1


@parametrize_cases("folder", PUBLISHED, [folder.name for folder in PUBLISHED])
def test_published_folders_map_completely(folder):
    weights = [weight for group in read_manifest(folder) for weight in group.weights if not is_leftover(weight.name)]
    tensors = {weight.name: torch.empty(weight.shape, device="meta") for weight in weights}
    specification, kind, config = _describe(folder, tensors)
    with torch.device("meta"):
        model = MusicVAEModel(config)
    model.load_state_dict(to_state_dict(tensors, config), strict=True, assign=True)
    frozen = sum(p.numel() for name, p in model.named_parameters() if "bias_hh" in name)
    assert sum(p.numel() for p in model.parameters()) - frozen == sum(weight.num_values for weight in weights)
    arguments = json.loads((folder / "config.json").read_text())["dataConverter"]["args"]
    assert config.max_sequence_length == arguments["numSteps"]
    if kind.processor is not None:
        processor = build_processor(specification, kind)
        assert processor.window_steps == config.max_sequence_length
        assert (processor.input_size, processor.num_labels) == (config.input_size, config.output_size)

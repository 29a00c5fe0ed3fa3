"""Every tensor of the published checkpoints, at full size, without their weights: names, shapes and types fit ours."""

import functools
import json
from pathlib import Path

import pytest
import torch

from conversion.jukebox_folders import OUTPUT, expected_shapes, is_tied, misfits
from conversion.jukebox_names import (
    PUBLISHED,
    prior_config_from,
    prior_name,
    published_config,
    vqvae_config_from,
    vqvae_name,
)
from hub_models.jukebox.configuration_jukebox import JukeboxConfig, JukeboxVQVAEConfig
from hub_models.jukebox.modeling_jukebox import JukeboxModel
from hub_models.jukebox.modeling_jukebox_prior import JukeboxPrior
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE

from .conftest import GOLDEN, parametrize_cases

FOLDER = GOLDEN / "jukebox" / "full_manifests"
MANIFESTS = [path for path in sorted(FOLDER.glob("*.json")) if path.stem in PUBLISHED]
each_manifest = parametrize_cases("path", MANIFESTS, [path.stem for path in MANIFESTS])
#: Numbers that only a training reads, or that the original's configuration does not have.
TRAINING_ONLY = {"sample_length", "alignment_layer", "alignment_head", "conv_res_scale"}


@functools.cache
def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def names(path: Path) -> dict[str, str]:
    """The original's names to ours."""
    rename = vqvae_name if path.stem == "vqvae" else prior_name
    return {original: rename(original) for original in read(path)["tensors"]}


def hyperparameters_of(path: Path):
    """What the published numbers of a manifest say, as a configuration."""
    hps = read(path)["hps"]
    return vqvae_config_from(hps) if path.stem == "vqvae" else prior_config_from(hps, read(FOLDER / "vqvae.json")["hps"])


@each_manifest
def test_every_tensor_has_a_name_of_its_own(path):
    ours = names(path)
    assert None not in ours.values()
    assert len(set(ours.values())) == len(ours)


@each_manifest
def test_names_and_shapes_are_those_of_the_preset(path):
    tensors, config = read(path)["tensors"], published_config(path.stem)
    shapes = {ours: tuple(tensors[original]["shape"]) for original, ours in names(path).items()}
    if is_tied(config):
        assert shapes.pop(OUTPUT) == shapes["prior.embed_tokens.weight"]
    assert misfits(shapes, expected_shapes(config)) == ""


@each_manifest
def test_what_is_shared_there_is_tied_here(path):
    tensors, ours = read(path)["tensors"], names(path)
    shared = {ours[name]: ours[tensor["shared_with"]] for name, tensor in tensors.items() if "shared_with" in tensor}
    config = published_config(path.stem)
    with torch.device("meta"):
        model = (JukeboxVQVAE if isinstance(config, JukeboxVQVAEConfig) else JukeboxPrior)(config)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    tied = {
        name: first
        for first, parameter in model.named_parameters()
        for name, other in parameters.items()
        if other is parameter and name != first
    }
    assert {frozenset(pair) for pair in tied.items()} == {frozenset(pair) for pair in shared.items()}


@each_manifest
def test_presets_have_the_original_numbers(path):
    preset, converted = published_config(path.stem).to_dict(), hyperparameters_of(path).to_dict()
    different = {name for name in preset if preset[name] != converted[name]}
    assert different <= TRAINING_ONLY


@each_manifest
def test_attention_of_every_layer_is_the_originals(path):
    functions = {
        "dense_attn": 0,
        "block_attn": 1,
        "transpose_block_attn": 2,
        "prev_block_attn": 3,
        "summary_attn": 4,
        "summary_spread_attn": 5,
        "cross_attention": 6,
        "prime_attn": 7,
    }
    manifest, config = read(path), published_config(path.stem)
    if "attn_funcs" in manifest:
        assert [functions[attention] for attention in config.layer_attentions] == manifest["attn_funcs"]
    if "prime_attn_funcs" in manifest:
        encoder = config.encoder_config
        assert [functions[attention] for attention in encoder.layer_attentions] == manifest["prime_attn_funcs"]


@each_manifest
def test_numbers_and_bytes_add_up(path):
    """Half precision is where the original has it: in the weights of matrices, and there alone."""
    manifest = read(path)
    counted = [tensor for tensor in manifest["tensors"].values() if "shared_with" not in tensor]
    sizes = {"float16": 2, "float32": 4}
    numbers = [torch.Size(tensor["shape"]).numel() for tensor in counted]
    expected = expected_shapes(published_config(path.stem)).values()
    assert sum(numbers) == sum(torch.Size(shape).numel() for shape in expected)
    stored = sum(number * sizes[tensor["dtype"]] for number, tensor in zip(numbers, counted, strict=True))
    assert stored == manifest["bytes"]
    halves = {original for original, tensor in manifest["tensors"].items() if tensor["dtype"] == "float16"}
    matrices = {original for original in manifest["tensors"] if original.endswith(".w")}
    assert halves == (matrices if manifest["hps"]["fp16_params"] else set())


@pytest.mark.parametrize("preset", ["jukebox-5b", "jukebox-5b-lyrics", "jukebox-1b-lyrics"])
def test_a_whole_model_consists_of_its_parts(preset):
    """Built on the meta device, a published model has the tensors that the converter writes."""
    config = JukeboxConfig.from_preset(preset)
    with torch.device("meta"):
        state = JukeboxModel(config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    converted = expected_shapes(config)
    only_here = shapes.keys() - converted.keys()
    assert converted.items() <= shapes.items()
    assert all(name.endswith((OUTPUT, "code_sums", "code_counts")) for name in only_here)

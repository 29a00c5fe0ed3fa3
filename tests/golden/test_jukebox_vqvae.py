"""Jukebox's VQ-VAE computes what openai/jukebox computes: codes, sound, every loss, gradients, codebooks that learn."""

import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hub_models.jukebox.audio_losses import (
    Bandwidth,
    measure_bandwidth,
    multispectral_loss,
    sample_losses,
    spectral_convergence,
    spectral_loss,
    spectrogram,
)
from hub_models.jukebox.codebooks import Draws
from hub_models.jukebox.convolutions import ResidualStack
from hub_models.jukebox.feature_extraction_jukebox import JukeboxFeatureExtractor
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE
from hub_models.training.ema import ExponentialMovingAverage

from .conftest import golden_folders, parametrize_cases

conversion = pytest.importorskip("conversion.openai_jukebox", reason="the converters lie in the repository")
names = pytest.importorskip("conversion.jukebox_names", reason="the converters lie in the repository")

AUDIO_TOLERANCE = 1e-5
LOSS_TOLERANCE = 1e-4  # of the value
SECOND_STEP_TOLERANCE = 1e-3  # of gradients with weights that have moved
GRADIENT_TOLERANCE = 1e-4  # of the largest value of a tensor

#: What the original calls its metrics; `_l1`, `_l2`, ... behind a name is a level, the finest first.
METRICS = {
    "recons_loss": "reconstruction_loss",
    "spectral_loss": "spectral_loss",
    "multispectral_loss": "multispectral_loss",
    "commit_loss": "commitment_loss",
    "spectral_convergence": "spectral_convergence",
    "l1_loss": "l1_loss",
    "l2_loss": "l2_loss",
    "linf_loss": "linf_loss",
    "fit": "quantisation_error",
    "pn": "latent_deviation",
    "entropy": "codebook_entropy",
    "usage": "codebook_usage",
    "used_curr": "codes_used",
    "dk": "codebook_change",
}
#: Those that jump where a row that lies between two codes falls to the other one.
OF_ASSIGNMENTS = {"entropy", "usage", "used_curr", "dk"}

#: Every tensor of a case is compared by one of the tests below, or read by it.
KNOWN_TENSORS = [
    r"x2?|stereo(_to_mono)?|bandwidth_item_\d+",
    r"(enc|z|dec|zrand|dec_rand)_\d+",
    r"(eval|train[12]|fresh)/(x_out|loss|metric/\w+)",
    r"loss_fn/\w+",
    r"(train[012]|fresh)/(k|k_sum|k_elem|k_rand|perm|tile_noise)_\d+",
    r"train1/(grad|param_after_adam|ema_after)/[\w.]+",
]


def folders(kind: str) -> list[Path]:
    """Cases of a kind, whatever they are called."""
    found = [folder for folder in golden_folders("jukebox") if (folder / "io.npz").is_file()]
    return [folder for folder in found if case(folder).get("kind") == kind]


@cache
def case(folder: Path) -> dict:
    return json.loads((folder / "case.json").read_text())


@cache
def arrays(folder: Path) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(folder / "io.npz").items()}


VQVAES, UNITS = folders("vqvae"), folders("units")
for_every_vqvae = parametrize_cases("folder", VQVAES, [folder.name for folder in VQVAES])


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """What loads the model of a case anew, converted once."""

    @cache
    def convert(folder: Path) -> Path:
        output = tmp_path_factory.mktemp(folder.name)
        hps = {"bandwidth": case(folder)["bandwidth"]} if "bandwidth" in case(folder) else None
        conversion.convert_vqvae(folder / case(folder)["checkpoint"], output, hps)
        return output

    return lambda folder: JukeboxVQVAE.from_pretrained(convert(folder)).eval()


def rows_of(hidden_states: torch.Tensor) -> torch.Tensor:
    """(N, D, T) to (N * T, D)."""
    return hidden_states.mT.reshape(-1, hidden_states.shape[1])


def draws_of(io: dict[str, torch.Tensor], pass_name: str) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Permutations and noise in the order in which the original drew them; noise only where rows had to be repeated."""
    permutations, selected, noises = (numbered(io, f"{pass_name}/{name}") for name in ("perm", "k_rand", "tile_noise"))
    levels = len(numbered(io, "z"))
    draws = []
    for index, permutation in enumerate(permutations):
        rows = io[f"z_{index * levels // len(permutations)}"].numel()
        draws.append((permutation, noises.pop(0) if rows < len(selected[index]) else None))
    assert not noises
    return draws


def numbered(io: dict[str, torch.Tensor], name: str) -> list[torch.Tensor]:
    """`name_0`, `name_1` and so on."""
    return [io[f"{name}_{number}"] for number in range(sum(bool(re.fullmatch(rf"{name}_\d+", key)) for key in io))]


def assert_close(ours: torch.Tensor, expected: torch.Tensor, tolerance: float, what: str):
    """Within `tolerance` of the largest expected value, or of 1 where that is less."""
    assert ours.shape == expected.shape, f"{what}: {tuple(ours.shape)} and not {tuple(expected.shape)}"
    difference = (ours.detach().double() - expected.double()).abs().max().item()
    allowed = tolerance * max(1.0, expected.double().abs().max().item())
    assert difference <= allowed, f"{what}: off by {difference:.2e}, allowed are {allowed:.2e}"


def assert_output(output, io: dict[str, torch.Tensor], pass_name: str, is_ambiguous: bool = False):
    assert_close(output.loss, io[f"{pass_name}/loss"], LOSS_TOLERANCE, "loss")
    compared = set()
    for key in (key for key in io if key.startswith(f"{pass_name}/metric/")):
        name = key.rsplit("/", 1)[1]
        level = re.fullmatch(r"(.*)_l(\d+)", name)
        is_of_level = level is not None and name not in METRICS
        ours = f"{METRICS[level[1]]}_level_{int(level[2]) - 1}" if is_of_level else METRICS[name]
        tolerance = 0.05 if is_ambiguous and name in OF_ASSIGNMENTS else LOSS_TOLERANCE
        assert_close(output.metrics[ours], io[key], tolerance, name)
        compared.add(ours)
    assert {name for name in output.metrics if "_level_" not in name} <= compared
    if f"{pass_name}/x_out" in io:
        assert_close(output.reconstruction, io[f"{pass_name}/x_out"], 2 * AUDIO_TOLERANCE, "reconstruction")


@torch.no_grad()
def undecided_codes(model: JukeboxVQVAE, audio: torch.Tensor, codebooks: list[torch.Tensor]) -> list[list[int]]:
    """Codes of each level that a row of the batch is equally near to, as far as float32 can tell."""
    undecided = []
    for encoder, codebook in zip(model.encoders, codebooks, strict=True):
        rows = rows_of(encoder(audio.mT)).double()
        nearest = torch.cdist(rows, codebook.double()).square().topk(2, largest=False)
        rounding = 1e-6 * rows.square().sum(-1)
        is_close = nearest.values[:, 1] - nearest.values[:, 0] < rounding
        undecided.append(sorted(set(nearest.indices[is_close].flatten().tolist())))
    return undecided


def assert_codebooks(model: JukeboxVQVAE, io: dict[str, torch.Tensor], pass_name: str, undecided: list[list[int]]):
    for level, codebook in enumerate(model.bottleneck.level_blocks):
        is_decided = torch.ones(len(codebook.codebook), dtype=torch.bool)
        is_decided[undecided[level]] = False
        assert is_decided.float().mean() > 0.5, f"too much of level {level} hangs on rounding to compare it"
        buffers = {"k": codebook.codebook, "k_sum": codebook.code_sums, "k_elem": codebook.code_counts}
        for name, ours in buffers.items():
            expected = io[f"{pass_name}/{name}_{level}"]
            assert_close(ours[is_decided], expected[is_decided], 2e-5, f"{pass_name} {name} of level {level}")


@for_every_vqvae
def test_no_tensor_of_a_case_is_overlooked(folder):
    unknown = [name for name in arrays(folder) if not any(re.fullmatch(known, name) for known in KNOWN_TENSORS)]
    assert not unknown


@for_every_vqvae
def test_codes_stand_for_as_many_samples_as_in_the_original(converted, folder):
    assert converted(folder).hop_lengths == case(folder)["hop_lengths"]


@for_every_vqvae
@pytest.mark.parametrize("with_gradient", [False, True], ids=["tiled", "torch"])
def test_codes_are_the_originals(converted, folder, with_gradient):
    model, io = converted(folder), arrays(folder)
    with torch.set_grad_enabled(with_gradient):
        for level, encoder in enumerate(model.encoders):
            vectors = encoder(io["x"].mT)
            assert vectors.requires_grad == with_gradient
            assert_close(vectors, io[f"enc_{level}"], AUDIO_TOLERANCE, f"encoder of level {level}")
            assert torch.equal(model.bottleneck.level_blocks[level].encode(vectors.detach()), io[f"z_{level}"])
    for level, codes in enumerate(model.encode(io["x"])):
        assert torch.equal(codes, io[f"z_{level}"]), f"level {level}"


@for_every_vqvae
def test_sound_from_codes_is_the_originals(converted, folder):
    model, io = converted(folder), arrays(folder)
    for level in range(model.config.levels):
        for codes, sound in ((f"z_{level}", f"dec_{level}"), (f"zrand_{level}", f"dec_rand_{level}")):
            assert_close(model.decode([io[codes]], start_level=level), io[sound], AUDIO_TOLERANCE, sound)


@for_every_vqvae
def test_losses_in_evaluation_are_the_originals_and_nothing_learns(converted, folder):
    model, io = converted(folder), arrays(folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert_output(model(io["x"]), io, "eval")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@for_every_vqvae
def test_each_loss_is_the_originals(converted, folder):
    config, io = converted(folder).config, arrays(folder)
    target, audio = io["x"], io["eval/x_out"]
    bandwidth = Bandwidth(config.bandwidth_l1, config.bandwidth_l2, config.bandwidth_spec)
    ours = sample_losses(target, audio, bandwidth, config.linf_k)
    ours["lmix"] = config.lmix_l1 * ours["l1"] + config.lmix_l2 * ours["l2"] + config.lmix_linf * ours["linf"]
    ours["spectral_per_item"] = spectral_loss(target, audio, config)
    ours["multispectral_per_item"] = multispectral_loss(target, audio, config)
    ours["spectral_convergence_per_item"] = spectral_convergence(target, audio, config)
    logarithms = [
        (spectrogram(sound, config.n_fft, config.hop_length, config.window_size) + 1e-4).log() for sound in (target, audio)
    ]
    ours["log_magnitude"] = (logarithms[0] - logarithms[1]).abs().mean()
    for key in (key for key in io if key.startswith("loss_fn/")):
        assert_close(ours[key.removeprefix("loss_fn/")], io[key], 1e-5, key)


@for_every_vqvae
def test_a_training_goes_on_from_published_weights_as_the_originals(converted, folder):
    model, io = converted(folder), arrays(folder)
    for codebook in model.bottleneck.level_blocks:
        codebook.restore()
    assert_codebooks(model, io, "train0", [[]] * model.config.levels)


@for_every_vqvae
def test_two_training_steps_are_the_originals(converted, folder):
    model, io, steps = converted(folder).train(), arrays(folder), case(folder)["train"]
    codebooks = [block.codebook.clone() for block in model.bottleneck.level_blocks]
    undecided = undecided_codes(model, io["x"], codebooks)
    output = model(io["x"], draws=draws_of(io, "train1"))
    assert_output(output, io, "train1", any(undecided))
    assert_codebooks(model, io, "train1", undecided)

    output.loss.backward()
    original_names = {names.vqvae_name(name): name for name in steps[0]["grad_norms"]}
    parameters = {original_names[name]: parameter for name, parameter in model.named_parameters()}
    norm = assert_gradients(parameters, steps[0], LOSS_TOLERANCE)
    for name, parameter in parameters.items():
        if f"train1/grad/{name}" in io:
            gradient = io[f"train1/grad/{name}"]
            scale = max(gradient.abs().max().item(), 1e-5 * norm)
            assert (parameter.grad - gradient).abs().max().item() <= GRADIENT_TOLERANCE * scale, name

    average = ExponentialMovingAverage(model, steps[0]["ema_mu"])
    step_as_the_original(model, case(folder)["hps"], norm)
    average.update(step=10**9)
    averages = {original_names[name]: value for name, value in zip(average.names, average.averages, strict=True)}
    for name, parameter in parameters.items():
        assert parameter.norm().item() == pytest.approx(steps[0]["post_param_norms"][name], rel=1e-4), name
        if f"train1/param_after_adam/{name}" in io:
            assert_close(parameter, io[f"train1/param_after_adam/{name}"], 1e-5, f"{name} after Adam")
            assert_close(averages[name], io[f"train1/ema_after/{name}"], 1e-6, f"average of {name}")

    codebooks = [block.codebook.clone() for block in model.bottleneck.level_blocks]
    undecided = undecided_codes(model, io["x2"], codebooks)
    output = model(io["x2"], draws=draws_of(io, "train2"))
    assert_output(output, io, "train2", any(undecided))
    assert_codebooks(model, io, "train2", undecided)
    output.loss.backward()
    assert_gradients(parameters, steps[1], SECOND_STEP_TOLERANCE)


def assert_gradients(parameters: dict[str, torch.Tensor], step: dict, tolerance: float) -> float:
    """The norm of each gradient and of all together, which it gives."""
    assert parameters.keys() == step["grad_norms"].keys()
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters.values()]).item()
    assert norm == pytest.approx(step["grad_norm"], rel=tolerance)
    for name, parameter in parameters.items():
        expected = step["grad_norms"][name]
        assert parameter.grad.norm().item() == pytest.approx(expected, rel=10 * tolerance, abs=tolerance * norm), name
    return norm


def step_as_the_original(model: JukeboxVQVAE, hps: dict, gradient_norm: float):
    """The first step of the training loop's optimizer at the full learning rate.

    The original adds eps before the mean square of gradients is corrected for the start: as much as adding more after it.
    """
    betas = (hps["beta1"], hps["beta2"])
    for parameter in model.parameters():
        parameter.grad /= max(1.0, gradient_norm / hps["clip"])
    eps = hps["eps"] / (1 - betas[1]) ** 0.5
    torch.optim.AdamW(model.parameters(), hps["lr"], betas, eps, weight_decay=hps["weight_decay"]).step()
    model.zero_grad()


@for_every_vqvae
def test_a_new_codebook_comes_from_the_first_batch_as_the_originals(converted, folder):
    model, io = converted(folder).train(), arrays(folder)
    for block in model.bottleneck.level_blocks:
        for buffer in block.buffers():
            buffer.zero_()
    initial = [io[f"fresh/k_rand_{2 * level}"] for level in range(model.config.levels)]
    undecided = undecided_codes(model, io["x"], initial)
    assert_output(model(io["x"], draws=draws_of(io, "fresh")), io, "fresh", any(undecided))
    assert_codebooks(model, io, "fresh", undecided)


@for_every_vqvae
@pytest.mark.parametrize("pass_name", ["train1", "fresh"])
def test_random_rows_are_the_originals(converted, folder, pass_name):
    """`k_rand`, what codes are initialised with or revived as, from the saved draws."""
    blocks, io = converted(folder).bottleneck.level_blocks, arrays(folder)
    draws = draws_of(io, pass_name)
    for index, draw in enumerate(draws):
        level = index * len(blocks) // len(draws)
        ours = blocks[level].random_rows(rows_of(io[f"enc_{level}"]), Draws(given=[draw]))
        assert_close(ours, io[f"{pass_name}/k_rand_{index}"], 1e-6, f"selection {index}")


@for_every_vqvae
def test_the_bandwidth_of_a_data_set_is_the_originals(converted, folder):
    io, expected = arrays(folder), case(folder)["bandwidth"]
    items = sorted((key for key in io if key.startswith("bandwidth_item_")), key=lambda key: int(key.rsplit("_", 1)[1]))
    config = converted(folder).config
    ours = measure_bandwidth((io[key] for key in items), config, max_values=600 * config.sampling_rate)
    for name, value in expected.items():
        assert getattr(ours, name) == pytest.approx(value, rel=1e-5), name


@for_every_vqvae
def test_two_channels_become_one_as_in_the_original(folder):
    io = arrays(folder)
    extractor = JukeboxFeatureExtractor(sampling_rate=44_100, hop_length=1)
    features = extractor([sound.mT.numpy() for sound in io["stereo"]], sampling_rate=44_100)
    assert_close(features["raw_audio"], io["stereo_to_mono"], 1e-6, "mono")


RESNETS = [
    (folder, name)
    for folder in UNITS
    for name in sorted(case(folder))
    if name.startswith("resnet") and "n_in" in case(folder)[name]
]


@parametrize_cases("unit", RESNETS, [f"{folder.name}-{name}" for folder, name in RESNETS])
@pytest.mark.parametrize("with_gradient", [False, True], ids=["tiled", "torch"])
def test_residual_stacks_are_the_originals(unit, with_gradient):
    folder, name = unit
    sizes, io = case(folder)[name], arrays(folder)
    config = SimpleNamespace(
        res_convolution_multiplier=sizes["m_conv"],
        conv_res_scale=sizes["res_scale"],
        res_dilation_growth_rate=sizes["dilation_growth_rate"],
        res_dilation_cycle=sizes["dilation_cycle"],
        zero_out=False,
    )
    stack = ResidualStack(config, sizes["n_in"], sizes["n_depth"], sizes["reverse_dilation"])
    weights = {key.removeprefix(f"{name}/"): value for key, value in io.items() if key.startswith(f"{name}/model.")}
    stack.load_state_dict(
        {
            re.sub(
                r"model\.(\d+)\.model\.([13])",
                lambda found: f"resnet_block.{found[1]}.conv1d_{(int(found[2]) + 1) // 2}",
                key,
            ): value
            for key, value in weights.items()
        }
    )
    with torch.set_grad_enabled(with_gradient):
        assert_close(stack(io[f"{name}/x"]), io[f"{name}/y"], 1e-5, name)

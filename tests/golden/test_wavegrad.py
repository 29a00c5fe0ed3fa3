"""WaveGrad's network computes what lmnt-com/wavegrad computes: stage by stage, trained, at full size, and converted."""

import hashlib
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hub_models.wavegrad import WaveGradModel, WaveGradPipeline

from .conftest import GOLDEN, golden_folders, parametrize_cases

lmnt = pytest.importorskip("conversion.lmnt_wavegrad", reason="the converters lie in the repository, not in the package")

TOLERANCE = 1e-4  # of the largest absolute value that the original computed


def has_weights(folder: Path) -> bool:
    """A checkpoint, or what it takes to draw one."""
    return (folder / "weights.pt").is_file() or {"seed", "widths"} <= set(json.loads((folder / "case.json").read_text()))


def case_folders(*needed: str) -> list[Path]:
    """Cases whose arrays include all of `needed`."""
    folders = [folder for folder in golden_folders("wavegrad") if (folder / "io.npz").is_file() and has_weights(folder)]
    return [folder for folder in folders if set(needed) <= set(np.load(folder / "io.npz").files)]


def manifests() -> list[Path]:
    return sorted(GOLDEN.joinpath("wavegrad").glob("full_manifest*/*.json"))


def forward_prefixes(folder: Path) -> list[str]:
    """Every input with an output: `fwd1`, `act` and the like."""
    keys = set(np.load(folder / "io.npz").files)
    prefixes = (key.removesuffix("_out") for key in sorted(keys) if key.endswith("_out"))
    return [prefix for prefix in prefixes if keys.issuperset(f"{prefix}_{part}" for part in ("audio", "mel", "level"))]


FORWARD = [(folder, prefix) for folder in case_folders() for prefix in forward_prefixes(folder)]
CHECKPOINTS = [folder for folder in case_folders() if (folder / "weights.pt").is_file()]


@cache
def arrays(folder: Path) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(folder / "io.npz").items()}


@cache
def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "weights.pt", weights_only=True, map_location="cpu")


@cache
def original_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Weights under lmnt's names: of the checkpoint, or drawn by the case's recipe where it has none."""
    if (folder / "weights.pt").is_file():
        return checkpoint(folder)["model"]
    case = json.loads((folder / "case.json").read_text())
    widths = case["widths"]
    with torch.device("meta"):
        model = WaveGradModel(
            num_mel_bands=widths["mel"],
            mel_channels=widths["first"],
            down_channels=widths["down"],
            up_channels=widths["up"],
        )
    random, digest, tensors = np.random.RandomState(case["seed"]), hashlib.sha256(), {}
    for name, tensor in lmnt.to_original(model.state_dict()).items():
        values = random.standard_normal(tensor.numel()).astype(np.float32).reshape(tuple(tensor.shape))
        values *= np.float32(0.1 if tensor.ndim == 1 else 0.9 / np.sqrt(tensor.shape[1] * tensor.shape[2]))
        digest.update(values.tobytes())
        tensors[name] = torch.from_numpy(values)
    assert digest.hexdigest() == case.get("weights_sha256", digest.hexdigest()), "the recipe gave other weights"
    return tensors


def load(folder: Path) -> WaveGradModel:
    tensors = original_tensors(folder)
    model = lmnt.build_model(tensors)
    model.load_state_dict({name: tensor.clone() for name, tensor in lmnt.to_state_dict(tensors).items()}, assign=True)
    return model.eval().requires_grad_()


def run(model: WaveGradModel, io: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    """(N, 1, T), as the original's network gives it."""
    return model(io[f"{prefix}_audio"], io[f"{prefix}_level"], io[f"{prefix}_mel"]).sample[:, None]


def assert_close(ours: torch.Tensor, expected: torch.Tensor, what: str):
    assert ours.shape == expected.shape, f"{what}: {tuple(ours.shape)} and not {tuple(expected.shape)}"
    difference = (ours.detach().double() - expected.double()).abs().max().item()
    allowed = TOLERANCE * expected.double().abs().max().item()
    assert difference <= allowed, f"{what}: off by {difference:.2e}, allowed are {allowed:.2e}"


@parametrize_cases("forward", FORWARD, [f"{folder.name}-{prefix}" for folder, prefix in FORWARD])
@torch.no_grad()
def test_outputs_are_the_originals(forward):
    folder, prefix = forward
    io = arrays(folder)
    sample = run(load(folder), io, prefix)
    assert_close(sample, io[f"{prefix}_out"], "float32")
    if f"{prefix}_out64" in io:
        assert_close(sample, io[f"{prefix}_out64"], "the original in float64")


ENCODINGS = case_folders("enc_levels", "enc0")


@parametrize_cases("folder", ENCODINGS, [folder.name for folder in ENCODINGS])
@torch.no_grad()
def test_noise_levels_are_encoded_alike(folder):
    model, io = load(folder), arrays(folder)
    for index, film in enumerate(model.films):
        if f"enc{index}" in io:
            assert_close(film.noise_level_encoding(io["enc_levels"])[:, :, 0], io[f"enc{index}"], f"FiLM {index}")


STAGES = case_folders("act_audio", "act_mel", "act_level")


def stages(model: WaveGradModel) -> dict[str, torch.nn.Module]:
    """The original's names of activations to the modules that compute them."""
    modules = {"act_first_conv": model.mel_conv, "act_down0": model.audio_conv}
    modules |= {f"act_down{index}": block for index, block in enumerate(model.down_blocks, start=1)}
    modules |= {f"act_up{index}": block for index, block in enumerate(model.up_blocks)}
    return modules | {f"act_film{index}": film for index, film in enumerate(model.films)}


@parametrize_cases("folder", STAGES, [folder.name for folder in STAGES])
@torch.no_grad()
def test_every_stage_computes_what_the_originals_does(folder):
    model, io, outputs = load(folder), arrays(folder), {}

    def keep(name):
        def hook(_module, _inputs, output):
            parts = {"": output} if torch.is_tensor(output) else {"_shift": output[0], "_scale": output[1]}
            outputs.update({f"{name}{part}": tensor.clone() for part, tensor in parts.items()})

        return hook

    for name, module in stages(model).items():
        module.register_forward_hook(keep(name))
    run(model, io, "act")
    expected = [key for key in io if key.startswith(("act_first_conv", "act_down", "act_film", "act_up"))]
    assert expected
    for key in expected:
        assert_close(outputs[key], io[key], key)


TRAINING = case_folders("train_audio", "train_mel", "train_level", "train_noise", "train_loss")
TRAINED = [folder for folder in TRAINING if folder in CHECKPOINTS]  # with the optimizer's state


def training_loss(model: WaveGradModel, io: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """L1 between the noise that was added and the estimate (N, T), and the estimate."""
    level = io["train_level"][:, None]
    noisy = level * io["train_audio"] + (1 - level**2).sqrt() * io["train_noise"]
    if "train_noisy" in io:
        assert_close(noisy, io["train_noisy"], "noisy audio")
    predicted = model(noisy, io["train_level"], io["train_mel"]).sample
    return F.l1_loss(io["train_noise"], predicted), predicted


@parametrize_cases("folder", TRAINING, [folder.name for folder in TRAINING])
def test_loss_and_gradients_are_the_originals(folder):
    model, io = load(folder).train(), arrays(folder)
    loss, predicted = training_loss(model, io)
    assert_close(loss, io["train_loss"], "loss")
    if "train_pred" in io:
        assert_close(predicted[:, None], io["train_pred"], "estimate")
    loss.backward()
    gradients = lmnt.to_original({name: parameter.grad for name, parameter in model.named_parameters()})
    for key in (key for key in io if key.startswith("train_grad__")):
        assert_close(gradients[key.removeprefix("train_grad__")], io[key], key)
    norms = torch.stack([gradients[name].double().norm() for name in original_tensors(folder)])
    if "train_grad_l2" in io:
        torch.testing.assert_close(norms, io["train_grad_l2"], rtol=TOLERANCE, atol=1e-7 * norms.max().item())
    if "train_grad_norm" in io:
        assert_close(norms.norm(), io["train_grad_norm"], "norm of all gradients")


@parametrize_cases("folder", TRAINED, [folder.name for folder in TRAINED])
def test_a_step_of_adam_from_the_checkpoints_state_is_the_originals(folder):
    model, io, names = load(folder).train(), arrays(folder), dict(lmnt.mapping())
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.Adam([parameters[names[name]] for name in original_tensors(folder)], lr=1e-3)
    optimizer.load_state_dict(checkpoint(folder)["optimizer"])  # its learning rate too
    training_loss(model, io)[0].backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), checkpoint(folder)["params"].get("max_grad_norm", 1.0))
    optimizer.step()
    after = lmnt.to_original(model.state_dict())
    for key in (key for key in io if key.startswith("train_after__")):
        assert_close(after[key.removeprefix("train_after__")], io[key], key)
    if "train_step_delta_l2" in io:
        steps = torch.stack([(after[name] - tensor).double().norm() for name, tensor in original_tensors(folder).items()])
        torch.testing.assert_close(steps, io["train_step_delta_l2"], rtol=TOLERANCE, atol=1e-7 * steps.max().item())


@parametrize_cases("manifest", manifests(), [path.stem for path in manifests()])
def test_the_published_networks_tensors_all_have_a_place(manifest):
    description = json.loads(manifest.read_text())
    tensors = {name: torch.empty(shape, device="meta") for name, shape in description["tensors"].items()}
    model = lmnt.build_model(tensors)
    model.load_state_dict(lmnt.to_state_dict(tensors), strict=True, assign=True)
    assert list(lmnt.to_original(model.state_dict())) == list(tensors)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == description.get("n_params", parameters) == sum(map(math.prod, description["tensors"].values()))


@parametrize_cases("folder", CHECKPOINTS, [folder.name for folder in CHECKPOINTS])
def test_names_there_and_back_are_the_identity(folder):
    tensors = checkpoint(folder)["model"]
    back = lmnt.to_original(lmnt.to_state_dict(tensors))
    assert list(back) == list(tensors)
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


@parametrize_cases("folder", CHECKPOINTS, [folder.name for folder in CHECKPOINTS])
def test_files_there_and_back_are_exact(folder, tmp_path):
    tensors = checkpoint(folder)["model"]
    lmnt.convert(folder / "weights.pt", tmp_path / "pipeline", 24_000)
    pipeline = WaveGradPipeline.from_pretrained(tmp_path / "pipeline")
    state = pipeline.model.state_dict()
    assert all(torch.equal(state[ours], tensors[original]) for original, ours in lmnt.mapping())
    betas = checkpoint(folder)["params"].get("noise_schedule", np.linspace(1e-6, 0.01, 1000))
    np.testing.assert_allclose(pipeline.scheduler.schedule_betas("training"), betas, rtol=1e-9)
    lmnt.export(tmp_path / "pipeline", tmp_path / "weights.pt")
    back = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert list(back["model"]) == list(tensors)
    assert all(torch.equal(back["model"][name], tensor) for name, tensor in tensors.items())
    np.testing.assert_allclose(back["params"]["noise_schedule"], betas, rtol=1e-9)

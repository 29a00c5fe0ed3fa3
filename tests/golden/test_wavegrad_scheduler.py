"""The scheduler computes what lmnt-com/wavegrad computes: coefficients, every reverse step, the levels of training."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models.wavegrad import WaveGradScheduler

from .conftest import golden_folders, parametrize_cases

CASES = [(folder, np.load(folder / "io.npz")) for folder in golden_folders("wavegrad") if (folder / "io.npz").is_file()]
ARRAYS = {folder: {name: arrays[name] for name in arrays.files} for folder, arrays in CASES}


def schedules(*needed: str) -> tuple[list[tuple[Path, str]], list[str]]:
    """Every sampled schedule of every case that has all of these arrays: arguments of `parametrize_cases`."""
    found = [
        (folder, match[1])
        for folder, arrays in ARRAYS.items()
        for key in sorted(arrays)
        if (match := re.fullmatch(r"(samp_.+)_betas", key)) and {f"{match[1]}_{name}" for name in needed} <= set(arrays)
    ]
    return found, [f"{folder.name}-{prefix}" for folder, prefix in found]


def cases_with(*needed: str) -> tuple[list[Path], list[str]]:
    found = [folder for folder, arrays in ARRAYS.items() if set(needed) <= set(arrays)]
    return found, [folder.name for folder in found]


def scheduler_for(folder: Path, prefix: str) -> WaveGradScheduler:
    scheduler = WaveGradScheduler()
    scheduler.set_timesteps(betas=ARRAYS[folder][f"{prefix}_betas"])
    return scheduler


def training_scheduler(folder: Path) -> WaveGradScheduler:
    """Trained as the case's checkpoint says, or by default."""
    if not (folder / "weights.pt").is_file():
        return WaveGradScheduler()
    parameters = torch.load(folder / "weights.pt", weights_only=True, map_location="cpu")["params"]
    return WaveGradScheduler(trained_betas=parameters["noise_schedule"])


@parametrize_cases("case", *schedules("c1", "c2", "sigma"))
def test_coefficients_are_the_originals_in_float64(case):
    folder, prefix = case
    scheduler = scheduler_for(folder, prefix)
    scheduler.register_to_config(clip_sample=False)
    one = torch.ones(1, 1, dtype=torch.float64)
    arrays = ARRAYS[folder]
    for index, timestep in enumerate(scheduler.timesteps):
        c1, c2, sigma = (float(arrays[f"{prefix}_{name}"][index]) for name in ("c1", "c2", "sigma"))
        of_sample = scheduler.step(0 * one, timestep, one, variance_noise=0 * one).prev_sample
        of_output = scheduler.step(one, timestep, 0 * one, variance_noise=0 * one).prev_sample
        of_noise = scheduler.step(0 * one, timestep, 0 * one, variance_noise=one).prev_sample
        assert float(of_sample) == pytest.approx(c1, rel=1e-14)
        assert float(of_output) == pytest.approx(-c1 * c2, rel=1e-14)
        assert float(of_noise) == pytest.approx(sigma if timestep > 0 else 0.0, rel=1e-14)


@parametrize_cases("case", *schedules("init", "eps", "noise", "traj"))
def test_each_step_gives_the_originals_audio(case):
    folder, prefix = case
    scheduler = scheduler_for(folder, prefix)
    arrays = {name: torch.from_numpy(ARRAYS[folder][f"{prefix}_{name}"]) for name in ("init", "eps", "noise", "traj")}
    sample = arrays["init"]
    for index, timestep in enumerate(scheduler.timesteps):
        noise = arrays["noise"][index] if timestep > 0 else None
        sample = scheduler.step(arrays["eps"][index], timestep, sample, variance_noise=noise).prev_sample
        torch.testing.assert_close(sample, arrays["traj"][index], rtol=0, atol=1e-6)


@parametrize_cases("case", *schedules())
def test_the_network_is_told_the_originals_levels(case):
    folder, prefix = case
    scheduler = scheduler_for(folder, prefix)
    expected = np.sqrt(np.cumprod(1 - ARRAYS[folder][f"{prefix}_betas"])).astype(np.float32)
    told = np.array([float(scheduler.noise_level(timestep)) for timestep in scheduler.timesteps], dtype=np.float32)
    np.testing.assert_array_equal(told, expected[::-1])


@parametrize_cases("folder", *cases_with("noise_level_table"))
def test_levels_of_training_are_the_originals(folder):
    levels = training_scheduler(folder).training_noise_levels
    np.testing.assert_array_equal(levels.numpy(), ARRAYS[folder]["noise_level_table"])


@parametrize_cases("folder", *cases_with("train_s", "train_u", "train_level"))
def test_the_originals_draws_give_its_training_levels(folder):
    arrays = ARRAYS[folder]
    segments, offsets = torch.from_numpy(arrays["train_s"]), torch.from_numpy(arrays["train_u"])
    levels = training_scheduler(folder).training_noise_level(segments, offsets)
    np.testing.assert_allclose(levels.numpy(), arrays["train_level"], rtol=0, atol=1e-7)


@parametrize_cases("folder", *cases_with("train_audio", "train_noise", "train_level", "train_noisy"))
def test_noise_is_added_as_in_the_original(folder):
    audio, noise, level, noisy = (
        torch.from_numpy(ARRAYS[folder][f"train_{name}"]) for name in ("audio", "noise", "level", "noisy")
    )
    torch.testing.assert_close(WaveGradScheduler().add_noise(audio, noise, level), noisy, rtol=0, atol=2e-6)

"""The whole pipeline, from a converted checkpoint, gives the audio that lmnt-com/wavegrad gave from the same noise."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models.wavegrad import WaveGradPipeline

from .conftest import golden_folders, parametrize_cases

lmnt = pytest.importorskip("conversion.lmnt_wavegrad", reason="the converters lie in the repository, not in the package")

TOLERANCE = 1e-4
#: Of the cases' parameters; from a mel, the audio does not depend on it.
SAMPLE_RATE = 22_050
PARTS = ("betas", "init", "noise", "audio")


def sampled(*needed: str) -> dict[str, tuple[Path, str]]:
    """Every checkpoint with every schedule that it was sampled with, if these arrays were kept; keys are names of tests."""
    found = {}
    for folder in golden_folders("wavegrad"):
        if not ((folder / "weights.pt").is_file() and (folder / "io.npz").is_file()):
            continue
        keys = set(np.load(folder / "io.npz").files)
        for key in sorted(keys if "samp_mel" in keys else ()):
            name = key.removeprefix("samp_").removesuffix("_betas")
            if key == f"samp_{name}_betas" and keys.issuperset(f"samp_{name}_{part}" for part in (*PARTS, *needed)):
                found[f"{folder.name}-{name}"] = folder, name
    return found


SAMPLED = sampled()
FEW_STEPS = {test: case for test, case in SAMPLED.items() if len(np.load(case[0] / "io.npz")[f"samp_{case[1]}_betas"]) <= 25}
WITH_TRAJECTORY = sampled("traj")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Folder of a case to its converted pipeline, each converted once."""

    @cache
    def load(folder: Path) -> WaveGradPipeline:
        output = tmp_path_factory.mktemp("pipelines") / folder.name
        lmnt.convert(folder / "weights.pt", output, sample_rate=SAMPLE_RATE)
        pipeline = WaveGradPipeline.from_pretrained(output)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return load


def noise_and_result(folder: Path, name: str) -> tuple[dict, np.ndarray]:
    """Arguments of the pipeline, and the audio that the original made with them."""
    arrays = np.load(folder / "io.npz")
    mel, latents, noise = (torch.from_numpy(arrays[key]) for key in ("samp_mel", f"samp_{name}_init", f"samp_{name}_noise"))
    arguments = {"mel": mel, "betas": arrays[f"samp_{name}_betas"], "latents": latents, "variance_noise": noise}
    return arguments, arrays[f"samp_{name}_audio"]


@parametrize_cases("case", list(SAMPLED.values()), list(SAMPLED))
def test_audio_is_the_originals(case, converted):
    arguments, expected = noise_and_result(*case)
    audio = converted(case[0])(**arguments).audios
    np.testing.assert_allclose(audio, expected.reshape(audio.shape), rtol=0, atol=TOLERANCE)


@parametrize_cases("case", list(FEW_STEPS.values()), list(FEW_STEPS))
def test_audio_in_chunks_is_the_originals(case, converted):
    arguments, expected = noise_and_result(*case)
    audio = converted(case[0])(**arguments, chunk_frames=1).audios
    np.testing.assert_allclose(audio, expected.reshape(audio.shape), rtol=0, atol=TOLERANCE)


@parametrize_cases("case", list(WITH_TRAJECTORY.values()), list(WITH_TRAJECTORY))
def test_every_step_is_the_originals(case, converted):
    folder, name = case
    arrays = np.load(folder / "io.npz")
    arguments, _ = noise_and_result(folder, name)
    trajectory = []

    def remember(pipeline, step, timestep, tensors):
        trajectory.append(tensors["latents"].numpy())

    converted(folder)(**arguments, callback_on_step_end=remember)
    expected = arrays[f"samp_{name}_traj"]
    np.testing.assert_allclose(np.stack(trajectory).reshape(expected.shape), expected, rtol=0, atol=TOLERANCE)

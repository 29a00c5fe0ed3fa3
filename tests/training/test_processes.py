"""Several processes train as one would on the joint batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from joint_batch import gradient_of
from safetensors.torch import load_file

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder in which two CPU processes with 6 examples each have left gradients and logs."""
    folder = tmp_path_factory.mktemp("two")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"]
    # `--multi_gpu` starts one process per device with torchrun; for CPUs Accelerate has only MPI, which few machines hold.
    launch += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = {
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}",
    }
    subprocess.run(
        [*launch, str(HERE / "joint_batch.py"), str(folder), "6"], env=os.environ | environment, check=True, timeout=120
    )
    return folder


def gradients(folder, case):
    return [torch.load(folder / f"{case}.{rank}.pt", weights_only=True) for rank in range(2)]


def assert_close(gradient, expected):
    assert gradient.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(gradient[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["mean_over_examples", "mean_over_events"])
def test_the_gradient_equals_that_of_one_process_on_the_joint_batch(two_processes, tmp_path, case):
    expected = gradient_of(case, tmp_path, batch_size=12)
    for gradient in gradients(two_processes, case):
        assert_close(gradient, expected)
    half = gradient_of(case, tmp_path / "half", batch_size=6)
    assert not torch.allclose(half["latent_mean.weight"], expected["latent_mean.weight"], rtol=1e-4, atol=1e-6)


def test_accumulation_gives_the_gradient_of_the_joint_batch(tmp_path):
    for case in ("mean_over_examples", "mean_over_events"):
        expected = gradient_of(case, tmp_path / case / "whole", batch_size=12)
        parts = gradient_of(case, tmp_path / case / "parts", batch_size=4, gradient_accumulation_steps=3)
        assert_close(parts, expected)


def test_noise_dropout_and_augmentation_do_not_depend_on_how_processes_and_accumulation_divide_a_batch(
    two_processes, tmp_path
):
    expected = gradient_of("random_noise", tmp_path, batch_size=6, gradient_accumulation_steps=2)
    for gradient in gradients(two_processes, "random_noise"):
        assert_close(gradient, expected)


def test_several_processes_resume_exactly(two_processes):
    parts, whole = (load_file(two_processes / folder / "model.safetensors") for folder in ("parts", "whole"))
    assert all(torch.equal(value, whole[name]) for name, value in parts.items())


def test_validation_counts_every_example_once(two_processes, tmp_path):
    """13 examples over two processes of 6: the last joint batch is one example, and one process has none."""
    gradient_of("mean_over_examples", tmp_path, batch_size=13)
    logs = [
        [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]
        for folder in (two_processes / "mean_over_examples", tmp_path)
    ]
    first, second = ({line["split"]: line for line in log} for log in logs)
    # The noise of z depends on how examples are batched in validation; the KL divergence does not depend on it.
    assert first["validation"]["kl_divergence"] == pytest.approx(second["validation"]["kl_divergence"], rel=1e-3)

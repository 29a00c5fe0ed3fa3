"""Codebooks learn in several processes what one process would learn from the joint batch."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hub_models.jukebox.configuration_jukebox import JukeboxVQVAEConfig
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE

HERE = Path(__file__).parent

CONFIG = {
    "levels": 2,
    "multipliers": [1, 1],
    "hop_fraction": [0.5, 0.5],
    "res_downs_t": [2, 1],
    "res_strides_t": [2, 2],
    "res_conv_width": 4,
    "res_conv_depth": 2,
    "embed_dim": 6,
    "nb_discrete_codes": 24,
    "sample_length": 2048,
}


def permutations(rows_of_process: list[int], steps: int, is_fresh: bool) -> tuple[list, list]:
    """Draws of a process, and those of one process that pick the same rows: the first process's come first in a batch."""
    generator = torch.Generator().manual_seed(4)
    of_processes, of_one = [], []
    for step in range(steps):
        number = 2 if is_fresh and step == 0 else 1
        draws = [(torch.randperm(rows, generator=generator), None) for rows in rows_of_process for _ in range(number)]
        of_processes.append(draws)
        of_one.append([(torch.cat([draw, torch.arange(len(draw), 2 * len(draw))]), None) for draw, _ in draws])
    return of_processes, of_one


@pytest.mark.parametrize("is_fresh", [True, False], ids=["new codebooks", "published weights"])
def test_two_processes_learn_the_codebook_of_the_joint_batch(tmp_path, is_fresh):
    torch.manual_seed(0)
    model = JukeboxVQVAE(JukeboxVQVAEConfig(**CONFIG)).train()
    # Vectors as large as a trained model's: codes then hang on no rounding.
    for encoder in model.encoders:
        encoder.level_blocks[-1].proj_out.weight.data.mul_(20)
    if not is_fresh:
        # Vectors of other audio, so that all codes are used: where the reconstruction stands still, its spectrogram is zero
        # but for rounding, and the gradient of that depends on the processor.
        other = copy.deepcopy(model)
        other(torch.randn(4, 2048, 1) * 0.1)
        for block, learnt in zip(model.bottleneck.level_blocks, other.bottleneck.level_blocks, strict=True):
            block.codebook.copy_(learnt.codebook)
    batches = [torch.randn(4, 2048, 1) * 0.1 for _ in range(2)]
    of_processes, of_one = permutations([2 * 512, 2 * 256], len(batches), is_fresh)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save({"config": CONFIG, "weights": weights, "batches": batches, "draws": of_processes}, tmp_path / "inputs.pt")
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    commands = [[sys.executable, str(HERE / "vqvae_process.py"), str(tmp_path), str(rank), "2"] for rank in range(2)]
    processes = [subprocess.Popen(command, env=environment) for command in commands]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]

    if not is_fresh:
        # Of two processes; the reckoning from one example per process is that of the original.
        for block in model.bottleneck.level_blocks:
            block.rows_per_example *= 2
    expected_gradients = {}
    for batch, draws in zip(batches, of_one, strict=True):
        output = model(batch, draws=draws)
        output.loss.backward()
        expected_gradients = expected_gradients or {name: value.grad.clone() for name, value in model.named_parameters()}
    for rank in range(2):
        left = torch.load(tmp_path / f"process-{rank}.pt", weights_only=True)
        for name, gradient in left["gradients"].items():
            largest = expected_gradients[name].abs().max().item()
            torch.testing.assert_close(gradient, expected_gradients[name], rtol=0, atol=1e-4 * largest)
        for name, buffer in left["buffers"].items():
            torch.testing.assert_close(buffer, model.get_buffer(name), rtol=1e-4, atol=1e-5)
        for name in ("codebook_usage", "codebook_entropy", "codes_used"):
            torch.testing.assert_close(left["metrics"][name], output.metrics[name])
    assert not torch.equal(model.bottleneck.level_blocks[0].codebook, weights["bottleneck.level_blocks.0.codebook"])

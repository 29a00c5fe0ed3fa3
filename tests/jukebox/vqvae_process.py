"""One process of a training of the VQ-VAE: run by the test of several, as `vqvae_process.py FOLDER RANK WORLD_SIZE`.

FOLDER holds `inputs.pt`: a configuration, weights, batches and draws; every process takes its part of each batch. It leaves
there the gradients of the first batch and the codebooks after the last.
"""

import sys
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from hub_models.jukebox.configuration_jukebox import JukeboxVQVAEConfig
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE


def main(folder: Path, rank: int, world_size: int):
    torch.set_num_threads(1)
    inputs = torch.load(folder / "inputs.pt", weights_only=True)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=world_size)
    model = JukeboxVQVAE(JukeboxVQVAEConfig(**inputs["config"])).train()
    model.load_state_dict(inputs["weights"])
    wrapped = DistributedDataParallel(model)
    gradients = {}
    for batch, draws in zip(inputs["batches"], inputs["draws"], strict=True):
        output = wrapped(batch.chunk(world_size)[rank], draws=draws)
        output.loss.backward()
        gradients = gradients or {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    buffers = dict(model.named_buffers())
    torch.save({"buffers": buffers, "gradients": gradients, "metrics": output.metrics}, folder / f"process-{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""Takes one step of each case and saves its gradient; then a run in one go and one in two parts.

Run by the test of several processes, under `accelerate launch`:

    joint_batch.py FOLDER BATCH_SIZE
"""

import sys
from pathlib import Path

import torch
from tiny_training import make_ids, make_task, start

from hub_models.training import loop


def loss_with_fixed_noise(model, batch, step, generator):
    """Noise that is a function of the example, so that it does not depend on how a batch is divided."""
    noise = torch.sin(batch["labels"][:, :8].float() * 12.9898)
    output = model(**batch, noise=noise)
    return {"loss": output.loss}


def token_weighted_loss(model, batch, step, generator):
    """A mean over something whose number differs between batches: the steps with an event."""
    output = model(**batch, noise=torch.zeros(len(batch["labels"]), 8))
    counted = batch["labels"] != 0
    losses = torch.nn.functional.cross_entropy(output.logits.transpose(1, 2), batch["labels"], reduction="none")
    return {"loss": (losses * counted).sum() / counted.sum()}


def weight(batch):
    return (batch["labels"] != 0).sum().item()


def sparse_ids():
    """Examples with very different numbers of events."""
    ids = make_ids(40)
    for row in range(40):
        ids[row, 1 + row % 30 :] = 0
    return ids


CASES = {
    "mean_over_examples": lambda: make_task(loss=loss_with_fixed_noise, dropout=0.0),
    "mean_over_events": lambda: make_task(
        ids=sparse_ids(), transpose=0, loss=token_weighted_loss, dropout=0.0, batch_weight=weight
    ),
    "random_noise": make_task,
}


def gradient_of(case, folder, **settings):
    """The gradient of the first step of a case, after averaging over processes and before clipping."""
    saved = {}
    clip = loop._clip

    def saving_clip(accelerator, arguments, model, optimizer):
        whole = accelerator.unwrap_model(model)
        saved.update({name: p.grad.clone() for name, p in whole.named_parameters() if p.requires_grad})
        return clip(accelerator, arguments, model, optimizer)

    loop._clip = saving_clip
    try:
        start(folder, CASES[case](), max_steps=1, evaluate_every=1, **settings)
    finally:
        loop._clip = clip
    return saved


if __name__ == "__main__":
    torch.set_num_threads(1)
    target, batch_size = Path(sys.argv[1]), int(sys.argv[2])
    for name in CASES:
        gradient = gradient_of(name, target / name, batch_size=batch_size)
        torch.save(gradient, target / f"{name}.{torch.distributed.get_rank()}.pt")
        torch.distributed.barrier()
    for folder, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
        start(target / folder, max_steps=steps, batch_size=batch_size, ema_decay=0.9)

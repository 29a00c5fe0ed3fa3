"""An exponential moving average of a model's weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


class ExponentialMovingAverage:
    """`average = decay * average + (1 - decay) * weight` after every step, in float32, on the weights' device.

    While the run is young the decay is `(1 + step) / (10 + step)` where that is smaller, so that the initial weights are
    forgotten quickly (as tf.train.ExponentialMovingAverage does with `num_updates`).

    Works on whatever part of a weight this process holds: under FSDP every process averages its own shard.
    """

    def __init__(self, model: torch.nn.Module, decay: float):
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self.weights = list(model.parameters())
        self.averages = [_local(weight).detach().float().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights in, after optimizer step number `step` (the first is 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [_local(weight).detach().float() for weight in self.weights]
        torch._foreach_lerp_(self.averages, current, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside `with`, the model computes with the averages; afterwards the trained weights are back, bit for bit."""
        trained = [_local(weight).detach().clone() for weight in self.weights]
        self._write(self.averages)
        try:
            yield
        finally:
            self._write(trained)

    @torch.no_grad()
    def _write(self, values: list[torch.Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            _local(weight).copy_(value)

    def save(self, path: Path) -> None:
        """Write the averages as safetensors."""
        save_file(dict(zip(self.names, self.averages, strict=True)), path)

    def load(self, path: Path) -> None:
        """Read what `save` has written."""
        stored = load_file(path)
        for name, average in zip(self.names, self.averages, strict=True):
            average.copy_(stored[name])


def _local(weight: torch.Tensor) -> torch.Tensor:
    return weight.to_local() if hasattr(weight, "to_local") else weight

"""Which example comes when, as a pure function of the seed and the position in the run.

The run reads one endless stream of examples: the permutation of epoch 0, then that of epoch 1, and so on, with no
partial batch between. Micro-batch number `m` of the run is positions `m * batch_size` to `(m + 1) * batch_size - 1`.
A step takes `num_processes * gradient_accumulation_steps` micro-batches; so resuming at a step needs no reading of what
came before, and the joint batch does not depend on how processes and accumulation divide it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class ExampleKey(NamedTuple):
    """What a training data set is indexed with. The epoch lets augmentation differ from epoch to epoch."""

    epoch: int
    index: int


def permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the examples in one epoch, shape (num_examples,), int64."""
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


class MicroBatches:
    """Batch sampler of one process: the keys of its micro-batches, from `first_step` on, without end.

    Args:
        num_examples: size of the data set, at least 1.
        batch_size: examples of one micro-batch.
        per_step: micro-batches that one process takes in one step (gradient accumulation).
        process_index, num_processes: this process and how many there are.
        seed: decides the order.
        first_step: step at which to begin.
    """

    def __init__(
        self,
        num_examples: int,
        batch_size: int,
        per_step: int,
        process_index: int,
        num_processes: int,
        seed: int,
        first_step: int = 0,
    ):
        self.num_examples = num_examples
        self.batch_size = batch_size
        self.per_step = per_step
        self.process_index = process_index
        self.num_processes = num_processes
        self.seed = seed
        self.first_step = first_step

    def number(self, step: int, accumulation: int) -> int:
        """Number in the whole run of the micro-batch that this process takes at `step` as its `accumulation`-th."""
        return (step * self.per_step + accumulation) * self.num_processes + self.process_index

    def __iter__(self) -> Iterator[list[ExampleKey]]:
        orders: dict[int, np.ndarray] = {}
        step = self.first_step
        while True:
            for accumulation in range(self.per_step):
                first = self.number(step, accumulation) * self.batch_size
                keys = []
                for position in range(first, first + self.batch_size):
                    epoch, place = divmod(position, self.num_examples)
                    if epoch not in orders:
                        orders = {e: o for e, o in orders.items() if e == epoch - 1}
                        orders[epoch] = permutation(self.num_examples, self.seed, epoch)
                    keys.append(ExampleKey(epoch, int(orders[epoch][place])))
                yield keys
            step += 1

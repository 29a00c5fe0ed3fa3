"""Learning rates as plain functions of the optimizer step.

Nothing is stored between steps, so a resumed run has the rate of an uninterrupted one.
"""

import math
from collections.abc import Callable

from .arguments import TrainingArguments


def constant(step: int, initial: float) -> float:
    """The same rate at every step."""
    return initial


def cosine(step: int, initial: float, minimum: float, total_steps: int) -> float:
    """Half a cosine from `initial` at step 0 down to `minimum` at `total_steps` and after it (Loshchilov 2016)."""
    progress = min(step / total_steps, 1.0)
    return minimum + (initial - minimum) * 0.5 * (1.0 + math.cos(math.pi * progress))


def exponential(step: int, initial: float, minimum: float, decay_rate: float) -> float:
    """`(initial - minimum) * decay_rate**step + minimum`: MusicVAE's rate, with 1e-3, 1e-5 and 0.9999 there."""
    return (initial - minimum) * decay_rate**step + minimum


def rsqrt(step: int, peak: float, warmup_steps: int) -> float:
    """`peak` until `warmup_steps`, then falling with the root of the step number: Noam's schedule, as tensor2tensor has it.

    Together with the warm-up it is `c * min(1, s / W) / sqrt(max(s, W))` of step `s = step + 1`, with `peak = c / sqrt(W)`.
    """
    warmup_steps = max(1, warmup_steps)
    return peak * math.sqrt(warmup_steps / max(step + 1, warmup_steps))


def learning_rate_schedule(arguments: TrainingArguments) -> Callable[[int], float]:
    """The function step -> learning rate that the arguments ask for, with its linear warm-up.

    During the first `warmup_steps` steps the rate is multiplied by `(step + 1) / warmup_steps`.
    """
    if arguments.schedule == "constant":
        rate = lambda step: constant(step, arguments.learning_rate)  # noqa: E731
    elif arguments.schedule == "cosine":
        rate = lambda step: cosine(  # noqa: E731
            step, arguments.learning_rate, arguments.minimum_learning_rate, arguments.max_steps
        )
    elif arguments.schedule == "rsqrt":
        rate = lambda step: rsqrt(step, arguments.learning_rate, arguments.warmup_steps)  # noqa: E731
    else:
        rate = lambda step: exponential(  # noqa: E731
            step, arguments.learning_rate, arguments.minimum_learning_rate, arguments.decay_rate
        )
    warmup_steps = arguments.warmup_steps
    return lambda step: rate(step) * min(1.0, (step + 1) / warmup_steps) if warmup_steps else rate(step)

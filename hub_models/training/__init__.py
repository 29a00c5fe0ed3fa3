"""The training loop that every model of this package uses.

A model's `train.py` builds its data set, its model and its loss, puts them into a `TrainingTask` and calls `train`.
Everything else is here: `arguments` (what can be set), `data_order` (which example comes when), `schedules` (learning
rate), `ema` (averaged weights), `checkpoints` (exact resuming), `loop` (the steps).
"""

from .arguments import (
    TrainingArguments,
    add_training_arguments,
    training_arguments_from,
)
from .loop import TrainingTask, create_accelerator, train


class NoTrainingDataError(ValueError):
    """Nothing to train on. Raised before a model is built; the message says what was looked at and why it gave nothing."""


__all__ = [
    "NoTrainingDataError",
    "TrainingArguments",
    "TrainingTask",
    "add_training_arguments",
    "create_accelerator",
    "train",
    "training_arguments_from",
]

"""The training loop that every model of this package uses.

A model's `train.py` builds its data set, its model and its loss, puts them into a `TrainingTask` and calls `train`.
Everything else is here: `arguments` (what can be set), `data_files` (which files, and their splits), `data_order` (which
example comes when), `schedules` (learning rate), `ema` (averaged weights), `media` (sound and pictures for trackers),
`checkpoints` (exact resuming), `loop` (the steps).
"""

from .arguments import (
    TrainingArguments,
    add_training_arguments,
    training_arguments_from,
)
from .data_files import DataFile, NoTrainingDataError, find_data_files
from .loop import TrainingTask, create_accelerator, train

__all__ = [
    "DataFile",
    "NoTrainingDataError",
    "TrainingArguments",
    "TrainingTask",
    "add_training_arguments",
    "create_accelerator",
    "find_data_files",
    "train",
    "training_arguments_from",
]

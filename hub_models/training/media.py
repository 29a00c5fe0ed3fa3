"""Sound and pictures of a validation, for the trackers that can show them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from accelerate import Accelerator


@dataclass
class Media:
    """What can be heard and seen of a model.

    Attributes:
        sounds: name -> (T,) float32 in -1..1.
        pictures: name -> (height, width, 3) uint8.
        sample_rate: of the sounds, Hz.
    """

    sounds: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    sample_rate: int = 22_050


def log_media(accelerator: Accelerator, media: Media, step: int) -> None:
    """Send `media` to TensorBoard and Weights & Biases where the run logs there; other trackers get numbers only."""
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            _to_tensorboard(tracker.writer, media, step)
        elif tracker.name == "wandb":
            _to_wandb(tracker, media, step)


def _to_tensorboard(writer: Any, media: Media, step: int) -> None:
    for name, sound in media.sounds.items():
        writer.add_audio(name, sound[None], global_step=step, sample_rate=media.sample_rate)
    for name, picture in media.pictures.items():
        writer.add_image(name, picture, global_step=step, dataformats="HWC")
    writer.flush()


def _to_wandb(tracker: Any, media: Media, step: int) -> None:
    import wandb

    sounds = {name: wandb.Audio(sound, sample_rate=media.sample_rate) for name, sound in media.sounds.items()}
    pictures = {name: wandb.Image(picture) for name, picture in media.pictures.items()}
    tracker.log(sounds | pictures, step=step)

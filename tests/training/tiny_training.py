"""Tiny music, tiny models and short runs, made in code."""

import numpy as np
import pretty_midi
import torch
from accelerate.state import AcceleratorState, GradientState

from hub_models.music_vae.configuration_music_vae import MusicVAEConfig
from hub_models.music_vae.data import WindowDataset
from hub_models.music_vae.modeling_music_vae import MusicVAEModel
from hub_models.music_vae.processing_music_vae import MusicVAEProcessor
from hub_models.music_vae.train import compute_loss, compute_metrics
from hub_models.training import (
    TrainingArguments,
    TrainingTask,
    create_accelerator,
    train,
)

TINY = ["latent_size=8", "encoder_hidden_sizes=[16]", "decoder_hidden_sizes=[16]"]


def write_melody(path, seed, bars=6):
    """A random melody of quarter notes in 4/4."""
    draw = np.random.default_rng(seed)
    midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
    piano = pretty_midi.Instrument(0)
    for beat in range(4 * bars):
        pitch = int(draw.integers(50, 80))
        piano.notes.append(pretty_midi.Note(80, pitch, beat * 0.5, beat * 0.5 + float(draw.choice([0.25, 0.5]))))
    midi.instruments.append(piano)
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))


def make_ids(count=40, seed=0):
    """Random melodies as events, shape (count, 32)."""
    return np.random.default_rng(seed).integers(0, 90, size=(count, 32)).astype(np.uint16)


def make_task(ids=None, loss=compute_loss, dropout=0.2, transpose=5, **changes):
    """A tiny MusicVAE with everything random switched on."""
    torch.manual_seed(0)
    config = MusicVAEConfig(
        latent_size=8, encoder_hidden_sizes=[16], decoder_hidden_sizes=[16], dropout=dropout, sampling_rate=1.0
    )
    ids = make_ids() if ids is None else ids
    settings = {
        "model": MusicVAEModel(config),
        "train_dataset": WindowDataset(ids, transpose),
        "validation_dataset": WindowDataset(ids[:13]),
        "collate": MusicVAEProcessor().features,
        "compute_loss": loss,
        "compute_metrics": compute_metrics,
    }
    return TrainingTask(**settings | changes)


def make_arguments(output, **changes):
    """Arguments of a short silent run."""
    settings = {"max_steps": 4, "batch_size": 4, "log_every": 1, "evaluate_every": 0, "save_every": 100, "trackers": ()}
    return TrainingArguments(output=output, progress=False, **settings | changes)


def start(output, task=None, **changes):
    """Run the loop; gives (state, task, arguments)."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    arguments = make_arguments(output, **changes)
    accelerator = create_accelerator(arguments)
    task = task or make_task()
    return train(accelerator, arguments, task), task, arguments

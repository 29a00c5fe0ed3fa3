"""Train or fine-tune the VQ-VAE on folders of sound files."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed

from hub_models.training import (
    TrainingTask,
    add_training_arguments,
    create_accelerator,
    train,
    training_arguments_from,
)
from hub_models.training.data_order import ExampleKey
from hub_models.training.media import Media

from .audio_losses import Bandwidth, measure_bandwidth
from .configuration_jukebox import PRESETS, JukeboxVQVAEConfig
from .data import ChunkDataset, collate_audio, fingerprint_of
from .loading import load_vqvae, load_vqvae_config
from .modeling_jukebox_vqvae import JukeboxVQVAE
from .reconstruction_metrics import level_name, reconstructions, spectral_convergence_db
from .train_parts import (
    add_data_arguments,
    add_override_argument,
    identity_of,
    no_examples,
    parse_overrides,
    read_recordings,
)

EPILOG = (
    "The defaults of the loop are the original's where the paper or its code say them. It averages weights with a decay of "
    "1 - (batch size * processes / 8) / 1000, 0.996 for batches of 32; say so with --ema-decay."
)
MEDIA_CHUNKS = 3
BANDWIDTH_STRIDE = 16
BANDWIDTH_CHUNKS = 64
BANDWIDTH_SECONDS = 600
DEFAULT_PRESET = "jukebox-1b-lyrics"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_data_arguments(parser)
    parser.add_argument(
        "--max-validation-chunks", type=int, default=64, help="validate on at most so many (default: %(default)s)"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--preset", choices=list(PRESETS), default=DEFAULT_PRESET, help="whose VQ-VAE to make (default: %(default)s)"
    )
    start.add_argument("--init-from", metavar="NAME_OR_PATH", help="fine-tune this VQ-VAE, or that of this Jukebox model")
    add_override_argument(parser, "sample_length=32768 res_conv_width=48")
    add_training_arguments(parser, batch_size=32, learning_rate=3e-4, warmup_steps=100)


def check_arguments(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends with a message where an option is out of range."""
    if options.max_validation_chunks < 1:
        parser.error(f"--max-validation-chunks is {options.max_validation_chunks}; it must be at least 1.")


def build_config(options: argparse.Namespace) -> JukeboxVQVAEConfig:
    """The configuration that the options ask for.

    Raises:
        ValueError: chunks do not fit the model.
    """
    start = options.init_from
    config = load_vqvae_config(start) if start else JukeboxVQVAEConfig.from_preset(options.preset)
    config = JukeboxVQVAEConfig(**{**config.to_dict(), **parse_overrides(options.override, config)})
    hop, longest = config.hop_lengths[-1], max(config.n_fft, *config.multispec_loss_n_fft)
    if config.sample_length % hop or config.sample_length <= longest // 2:
        raise ValueError(
            f"sample_length is {config.sample_length}; chunks must be a multiple of the top level's {hop} samples per code, "
            f"and longer than the {longest // 2} samples that the spectral loss mirrors."
        )
    return config


def bandwidth_of(chunks: ChunkDataset, config: JukeboxVQVAEConfig) -> Bandwidth:
    """What losses are divided by, as the original measures it: on every 16th chunk until ten minutes have been seen; here on
    more of them where there are few.

    Raises:
        ValueError: all sound is silent.
    """
    stride = max(1, min(BANDWIDTH_STRIDE, len(chunks) // BANDWIDTH_CHUNKS))
    clips = (torch.from_numpy(chunks[ExampleKey(0, index)]) for index in range(0, len(chunks), stride))
    return measure_bandwidth(clips, config, max_values=BANDWIDTH_SECONDS * config.sampling_rate)


class VQVAETask:
    """Loss, metrics and media of one VQ-VAE."""

    def __init__(self, config: JukeboxVQVAEConfig):
        self.config = config

    def compute_loss(
        self, model: Any, batch: dict[str, torch.Tensor], step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """The model's loss and what it consists of. Its codebooks learn on the way."""
        output = model(**batch, generator=generator)
        return {"loss": output.loss, **output.metrics}

    def compute_metrics(
        self, model: Any, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """The loss, and of every level the spectral convergence in decibels; silent chunks count as 0 dB."""
        metrics = self.compute_loss(model, batch, 0, generator)
        audio, levels = batch["raw_audio"], self.config.levels
        for level, copy in enumerate(reconstructions(getattr(model, "module", model), audio)):
            decibels = spectral_convergence_db(audio, copy, self.config).nan_to_num(nan=0.0)
            metrics[f"spectral_convergence_db_{level_name(level, levels)}"] = decibels.mean()
        return metrics

    def make_media(self, dataset: ChunkDataset) -> Any:
        """What makes the sound of the first chunks: the recording, and what each level makes of it."""
        keys = [ExampleKey(0, index) for index in range(min(MEDIA_CHUNKS, len(dataset)))]
        audio = collate_audio([dataset[key] for key in keys])["raw_audio"]

        def media_of(model: Any, generator: torch.Generator) -> Media:
            media = Media(sample_rate=self.config.sampling_rate)
            copies = reconstructions(model, audio.to(model.device))
            for index, sound in enumerate(audio):
                media.sounds[f"chunk-{index + 1}/recording"] = sound.mean(-1).numpy()
                for level, copy in enumerate(copies):
                    name = f"chunk-{index + 1}/{level_name(level, self.config.levels)}"
                    media.sounds[name] = copy[index].mean(-1).clamp(-1, 1).cpu().float().numpy()
            return media

        return media_of


def run(options: argparse.Namespace) -> None:
    """Data, bandwidth, model, loss; the loop does the rest."""
    training = training_arguments_from(options)
    config = build_config(options)
    accelerator = create_accelerator(training)
    recordings = read_recordings(options, config.sampling_rate, accelerator)
    length, channels = config.sample_length, config.conv_input_shape
    chunks = ChunkDataset(recordings.select(options.train_split), length, channels, seed=training.seed)
    if len(chunks) == 0:
        raise no_examples("chunk", options.train_split, recordings, chunks.num_too_short, length)
    held_out = ChunkDataset(
        recordings.select(options.validation_split), length, channels, False, max_chunks=options.max_validation_chunks
    )
    summary = {
        **recordings.summary(),
        "train_chunks": len(chunks),
        "train_songs_too_short": chunks.num_too_short,
        "validation_chunks": len(held_out),
        "validation_songs_too_short": held_out.num_too_short,
    }
    accelerator.print(f"Data: {json.dumps(summary)}")

    bandwidth = bandwidth_of(chunks, config)
    config.bandwidth_l1, config.bandwidth_l2, config.bandwidth_spec = bandwidth.l1, bandwidth.l2, bandwidth.spec
    accelerator.print(f"Bandwidth: {bandwidth}")
    set_seed(training.seed)
    model = load_vqvae(options.init_from, config) if options.init_from else JukeboxVQVAE(config)
    accelerator.print(f"Model: {sum(p.numel() for p in model.parameters()):,} parameters")

    vqvae = VQVAETask(config)
    task = TrainingTask(
        model=model,
        train_dataset=chunks,
        validation_dataset=held_out if len(held_out) else None,
        collate=collate_audio,
        compute_loss=vqvae.compute_loss,
        compute_metrics=vqvae.compute_metrics,
        make_media=vqvae.make_media(held_out) if len(held_out) else None,
        save_extras=lambda folder: _write_summary(folder, summary),
        identity={
            "config": identity_of(config),
            "init_from": options.init_from,
            "data": fingerprint_of(chunks.recordings),
        },
    )
    train(accelerator, training, task)


def _write_summary(folder: Path, summary: dict[str, Any]) -> None:
    (folder / "data_summary.json").write_text(json.dumps(summary, indent=2) + "\n")

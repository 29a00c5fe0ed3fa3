"""Train or fine-tune MusicVAE on folders of MIDI files.

accelerate launch -m hub_models.music_vae.train --data DIR --output DIR --preset cat-mel_2bar_small
accelerate launch -m hub_models.music_vae.train --data DIR --output DIR --init-from NAME_OR_PATH
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, set_seed

from hub_models.training import (
    NoTrainingDataError,
    TrainingTask,
    add_training_arguments,
    create_accelerator,
    train,
    training_arguments_from,
)

from .configuration_music_vae import PRESETS, MusicVAEConfig
from .data import (
    SeededWindowDataset,
    WindowDataset,
    Windows,
    describe_rejections,
    find_midi_files,
    fingerprint_of,
    overlap,
    prepare_windows,
)
from .drum_maps import DRUM_MAPS
from .grooves import CORRUPTIONS
from .modeling_music_vae import MusicVAEModel
from .output_heads import PADDING
from .processing_music_vae import MODES, MusicVAEProcessor


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; the loop's defaults are those of the original training (section 4 of the paper)."""
    parser = argparse.ArgumentParser(
        prog="accelerate launch -m hub_models.music_vae.train", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of MIDI files")
    parser.add_argument(
        "--splits", type=Path, nargs="+", metavar="CSV", help="one CSV per --data folder, with columns file and split"
    )
    parser.add_argument("--train-split", default="train", help="split to train on (default: %(default)s)")
    parser.add_argument("--validation-split", default="validation", help="split to validate on (default: %(default)s)")
    parser.add_argument(
        "--validation-share",
        type=float,
        default=0.05,
        help="share of files held out where there are no --splits (default: %(default)s)",
    )
    parser.add_argument(
        "--max-validation-examples", type=int, default=2048, help="validate on at most so many (default: %(default)s)"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where extracted examples are kept")
    parser.add_argument("--num-proc", type=int, help="processes that extract examples; default: one per core")
    parser.add_argument("--max-windows-per-file", type=int, help="train on at most so many examples of each file")
    parser.add_argument("--deduplicate", action="store_true", help="train on equal examples once")
    parser.add_argument(
        "--transpose",
        type=int,
        help="random transposition by up to so many semitones; default: 5 for melodies, 3 with chords, 0 for drums",
    )
    parser.add_argument(
        "--drum-map", choices=list(DRUM_MAPS), help="how drum pitches become classes; default: as the preset does"
    )
    parser.add_argument(
        "--corruptions",
        nargs="*",
        choices=CORRUPTIONS,
        help="what grooves lose on their way into the encoder; default: as the preset or the model does",
    )
    parser.add_argument(
        "--mode", choices=MODES, default="musical", help="how files are read (see the processor; default: %(default)s)"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", choices=sorted(PRESETS), default="cat-mel_2bar_small", help="(default: %(default)s)")
    start.add_argument("--init-from", metavar="NAME_OR_PATH", help="fine-tune this model: a folder or a Hub repository")
    parser.add_argument(
        "--override",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="numbers of the configuration to change, values in JSON: decoder_hidden_sizes=[256,256]",
    )
    add_training_arguments(
        parser,
        batch_size=512,
        schedule="exponential",
        learning_rate=1e-3,
        minimum_learning_rate=1e-5,
        decay_rate=0.9999,
        max_gradient_norm=1.0,
        zero_gradient_norm=10_000.0,
    )
    return parser.parse_args(arguments)


def parse_overrides(pairs: list[str], config_class: type = MusicVAEConfig) -> dict[str, Any]:
    """`["latent_size=64"]` as `{"latent_size": 64}`.

    Raises:
        ValueError: a pair has no "=", or names no number of the configuration.
    """
    known = config_class().to_dict().keys() - {"model_type", "transformers_version", "architectures"}
    overrides = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in known:
            raise ValueError(f"--override {pair}: write KEY=VALUE with one of these keys: {', '.join(sorted(known))}.")
        try:
            overrides[key] = json.loads(value)
        except json.JSONDecodeError:
            overrides[key] = value
    return overrides


def build_config(options: argparse.Namespace) -> MusicVAEConfig:
    """The configuration that the options ask for."""
    overrides = parse_overrides(options.override)
    if options.init_from:
        config = MusicVAEConfig.from_pretrained(options.init_from)
        return type(config)(**{**config.to_dict(), **overrides})
    return MusicVAEConfig.from_preset(options.preset, **overrides)


def build_processor(options: argparse.Namespace, config: MusicVAEConfig) -> MusicVAEProcessor:
    """The processor that belongs to the model, for windows of its length, reading files as asked: a converted checkpoint's
    own mode, the original's, would reject most of them."""
    settings = {"mode": options.mode}
    if options.drum_map:
        settings["drum_classes"] = options.drum_map
    if options.corruptions is not None:
        settings["corruptions"] = options.corruptions
    if options.init_from:
        settings["num_bars"] = _bars_of(MusicVAEProcessor.from_pretrained(options.init_from), config)
        return MusicVAEProcessor.from_pretrained(options.init_from, **settings)
    settings["num_bars"] = _bars_of(MusicVAEProcessor.from_preset(options.preset), config)
    return MusicVAEProcessor.from_preset(options.preset, **settings)


def _bars_of(processor: MusicVAEProcessor, config: MusicVAEConfig) -> int:
    """Bars in the model's sequences; a bar need not be as many tokens as it has steps."""
    return config.max_sequence_length // (processor.window_steps // processor.num_bars)


def build_datasets(
    options: argparse.Namespace, windows: Windows, processor: MusicVAEProcessor, seed: int
) -> tuple[WindowDataset, WindowDataset | None, dict[str, Any]]:
    """Training and validation data and a summary of both.

    Raises:
        NoTrainingDataError: there is nothing to train on.
    """
    train_examples = windows.select(options.train_split, options.max_windows_per_file, options.deduplicate, seed)
    validation_examples = windows.select(options.validation_split)
    if len(train_examples) == 0:
        splits = sorted({file.split for file in windows.files})
        raise NoTrainingDataError(
            f"The data gives no {processor.representation} examples for the split '{options.train_split}': "
            f"{windows.summary['files']} files of the splits {', '.join(splits)} "
            f"gave {windows.summary['windows']} examples; "
            f"{windows.summary['broken_files']} files are broken and {windows.summary['files_without_windows']} hold "
            f"nothing usable. {describe_rejections(windows.folder)} "
            f"All files are listed in {windows.folder / 'rejected.jsonl'}."
        )
    summary = {
        **windows.summary,
        "train_windows": len(train_examples),
        "validation_windows": len(validation_examples),
        "validation_windows_also_in_train": overlap(validation_examples, train_examples),
        "rejected_files": str(windows.folder / "rejected.jsonl"),
    }
    if len(validation_examples) > options.max_validation_examples:
        order = np.random.default_rng(0).permutation(len(validation_examples))
        validation_examples = validation_examples[np.sort(order[: options.max_validation_examples])]
    codec = processor.codec
    transpose = codec.transposition if options.transpose is None else options.transpose
    if transpose and not codec.transposition:
        raise ValueError(f"--transpose {transpose}: {codec.music} cannot be transposed.")
    dataset_class = SeededWindowDataset if codec.random_features else WindowDataset
    train_dataset = dataset_class(train_examples, transpose, codec.transpose, seed)
    return train_dataset, dataset_class(validation_examples) if len(validation_examples) else None, summary


def build_collate(processor: MusicVAEProcessor) -> Callable[[Any], dict[str, torch.Tensor]]:
    """What turns a batch of the data sets above into the model's inputs."""

    def seeded_features(batch: tuple[np.ndarray, list[list[int]]]) -> dict[str, torch.Tensor]:
        rows = [processor.features(row[None], np.random.default_rng(seed)) for row, seed in zip(*batch, strict=True)]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    return seeded_features if processor.codec.random_features else processor.features


def compute_loss(
    model: Any, batch: dict[str, torch.Tensor], step: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """The original's loss with its schedules at this step."""
    output = model(**batch, global_step=step, generator=generator)
    return _metrics_of(output)


def compute_metrics(model: Any, batch: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Loss and accuracy with teacher forcing at the final beta, and accuracy when each step reads the model's own output."""
    output = model(**batch, generator=generator)
    metrics = _metrics_of(output)
    if not _is_sharded():  # outside forward a shard holds no whole weights to decode with
        whole = getattr(model, "module", model)
        labels, controls = batch["labels"], batch.get("controls")
        sampled = whole.decode(output.latents, labels.shape[1], 1.0, generator, controls)
        matches = whole.decoder.head.matches(sampled, labels)
        metrics["sampled_accuracy"] = matches[labels != PADDING].mean() if labels.ndim == 2 else matches.mean()
    return metrics


def _is_sharded() -> bool:
    return AcceleratorState().distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def _metrics_of(output: Any) -> dict[str, torch.Tensor]:
    names = ("loss", "reconstruction_loss", "kl_divergence", "kl_cost", "accuracy")
    return {name: output[name] for name in names}


def main(arguments: list[str] | None = None) -> None:
    """Data, model, loss; the loop does the rest."""
    options = parse_arguments(arguments)
    training = training_arguments_from(options)
    accelerator = create_accelerator(training)
    config = build_config(options)
    processor = build_processor(options, config)

    files = find_midi_files(options.data, options.splits, options.validation_share)
    with accelerator.main_process_first():
        windows = prepare_windows(files, processor, options.cache, options.num_proc)
    train_dataset, validation_dataset, summary = build_datasets(options, windows, processor, training.seed)
    accelerator.print(f"Data: {json.dumps(summary)}")

    set_seed(training.seed)
    model = MusicVAEModel.from_pretrained(options.init_from, config=config) if options.init_from else MusicVAEModel(config)
    accelerator.print(f"Model: {sum(p.numel() for p in model.parameters()):,} parameters")

    def save_extras(folder: Path) -> None:
        processor.save_pretrained(folder)
        (folder / "data_summary.json").write_text(json.dumps(summary, indent=2) + "\n")

    task = TrainingTask(
        model=model,
        train_dataset=train_dataset,
        validation_dataset=validation_dataset,
        collate=build_collate(processor),
        compute_loss=compute_loss,
        compute_metrics=compute_metrics,
        save_extras=save_extras,
        identity={
            "config": {k: v for k, v in config.to_dict().items() if k != "transformers_version"},
            "init_from": options.init_from,
            "data": fingerprint_of(train_dataset.examples),
            "train_windows": len(train_dataset),
            "transpose": train_dataset.transpose_semitones,
        },
    )
    train(accelerator, training, task)


if __name__ == "__main__":
    main()

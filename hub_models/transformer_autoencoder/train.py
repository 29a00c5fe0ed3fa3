"""Train or fine-tune the Transformer Autoencoder, or without encoders the Music Transformer, on folders of MIDI files.

accelerate launch -m hub_models.transformer_autoencoder.train --data DIR --output DIR --override performance_encoder=style
accelerate launch -m hub_models.transformer_autoencoder.train --data DIR --output DIR --init-from NAME_OR_PATH
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate.utils import set_seed

from hub_models.training import (
    NoTrainingDataError,
    TrainingTask,
    add_training_arguments,
    create_accelerator,
    train,
    training_arguments_from,
)

from .configuration_transformer_autoencoder import PRESETS, TransformerAutoencoderConfig
from .data import MELODIES, STYLE_CROPS, Conditions, CropDataset, SegmentDataset, collate, num_targets
from .modeling_transformer_autoencoder import TransformerAutoencoderForConditionalGeneration
from .performances import STRETCHES, Performances, find_performances, prepare_performances
from .processing_transformer_autoencoder import TransformerAutoencoderProcessor

DEFAULT_PRESET = "t_rel_len2048_h384_att512_fs1024_n8_dropout10"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line. The loop's defaults are tensor2tensor's for these models: Adam, a rate that falls with the root of
    the step (there 2 / sqrt(8000 * hidden size) at its highest), 2048 tokens in a batch."""
    parser = argparse.ArgumentParser(
        prog="accelerate launch -m hub_models.transformer_autoencoder.train", description=__doc__.partition("\n")[0]
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
        "--max-validation-examples",
        type=int,
        default=256,
        help="validate on at most so many segments, spread evenly over the split (default: %(default)s)",
    )
    parser.add_argument(
        "--tracks",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of files with tracks of these names read only those: PIANO",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where tokens are kept")
    parser.add_argument("--num-proc", type=int, help="processes that read files; default: one per core")
    parser.add_argument(
        "--replications",
        type=int,
        default=10,
        help="crops of each piece in an epoch; 0: as many as fit into it (default: %(default)s)",
    )
    parser.add_argument(
        "--transpose", type=int, default=3, help="transposition by up to so many semitones (default: %(default)s)"
    )
    parser.add_argument(
        "--no-stretch", action="store_true", help="do not play pieces faster and slower by 2.5 and 5 percent"
    )
    parser.add_argument("--noisy", action="store_true", help="the performance encoder gets the crop in another key")
    parser.add_argument(
        "--original-noise",
        action="store_true",
        help="and in it the melody's notes once more, as loud as can be: a quirk of the original's data",
    )
    parser.add_argument(
        "--style-crop",
        choices=STYLE_CROPS,
        default="same",
        help="the performance encoder gets the crop to write, or another one of the same piece (default: %(default)s)",
    )
    parser.add_argument(
        "--melody-source",
        choices=MELODIES,
        default="infer",
        help="the most likely melody, or the highest notes (default: %(default)s)",
    )
    parser.add_argument(
        "--melody-dropout",
        type=float,
        default=0.0,
        help="share of training examples whose melody is blank, for a model that can do without (default: %(default)s)",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", choices=list(PRESETS), default=DEFAULT_PRESET, help="(default: %(default)s)")
    start.add_argument("--init-from", metavar="NAME_OR_PATH", help="fine-tune this model: a folder or a Hub repository")
    start.add_argument(
        "--init-decoder-from",
        metavar="NAME_OR_PATH",
        help="start a model with encoders (see --override) from this one without: it begins by writing what that writes",
    )
    parser.add_argument(
        "--override",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="numbers of the configuration to change, values in JSON: performance_encoder=style melody_encoder=true",
    )
    parser.add_argument(
        "--tokens-per-batch",
        type=int,
        default=2048,
        help="tokens in one forward pass of one process, whose --batch-size follows (default: %(default)s)",
    )
    add_training_arguments(
        parser, batch_size=None, schedule="rsqrt", learning_rate=1e-3, warmup_steps=8000, adam_beta2=0.997
    )
    options = parser.parse_args(arguments)
    for name, least in {"max_validation_examples": 1, "replications": 0, "transpose": 0}.items():
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be at least {least}.")
    return options


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`["hidden_size=64"]` as `{"hidden_size": 64}`.

    Raises:
        ValueError: a pair has no "=", or names no number of the configuration.
    """
    known = TransformerAutoencoderConfig().to_dict().keys() - {"model_type", "transformers_version", "architectures"}
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


def build_config(options: argparse.Namespace) -> TransformerAutoencoderConfig:
    """The configuration that the options ask for."""
    overrides = parse_overrides(options.override)
    start = options.init_from or options.init_decoder_from
    if start:
        config = TransformerAutoencoderConfig.from_pretrained(start)
        return TransformerAutoencoderConfig(**{**config.to_dict(), **overrides})
    return TransformerAutoencoderConfig.from_preset(options.preset, **overrides)


def build_conditions(options: argparse.Namespace, config: TransformerAutoencoderConfig) -> Conditions:
    """What the model's encoders are given.

    Raises:
        ValueError: an option is about an encoder that the model lacks.
    """
    style = config.performance_encoder != "none"
    for name, default in {"noisy": False, "original_noise": False, "style_crop": "same"}.items():
        if getattr(options, name) != default and not style:
            raise ValueError(
                f"--{name.replace('_', '-')} is about what the performance encoder hears, and the model has none: "
                "add --override performance_encoder=style."
            )
    if options.melody_source != "infer" and not config.melody_encoder:
        raise ValueError("--melody-source needs a model with a melody encoder: add --override melody_encoder=true.")
    if options.melody_dropout and not config.melody_encoder:
        raise ValueError("--melody-dropout needs a model with a melody encoder: add --override melody_encoder=true.")
    if options.original_noise and not options.noisy:
        raise ValueError("--original-noise goes with --noisy.")
    return Conditions(
        style=style,
        melody=config.melody_encoder,
        noisy=options.noisy,
        original_noise=options.original_noise,
        style_crop=options.style_crop,
        melody_source=options.melody_source,
        melody_dropout=options.melody_dropout,
    )


def batch_size_of(options: argparse.Namespace, config: TransformerAutoencoderConfig) -> int:
    """Crops in a batch: `--batch-size`, or as many as `--tokens-per-batch` gives.

    Raises:
        ValueError: not one crop fits.
    """
    if options.batch_size is not None:
        return options.batch_size
    if options.tokens_per_batch < config.context_length:
        raise ValueError(
            f"--tokens-per-batch {options.tokens_per_batch} is less than one crop of {config.context_length} tokens: "
            "raise it, or shorten crops with --override context_length=TOKENS."
        )
    return options.tokens_per_batch // config.context_length


def build_model(
    options: argparse.Namespace, config: TransformerAutoencoderConfig
) -> TransformerAutoencoderForConditionalGeneration:
    """The model that the options ask for, new or to be fine-tuned, in float32."""
    load = TransformerAutoencoderForConditionalGeneration.from_pretrained
    if options.init_from:
        return load(options.init_from, config=config, dtype=torch.float32)
    model = TransformerAutoencoderForConditionalGeneration(config)
    if options.init_decoder_from:
        start_from_decoder(model, load(options.init_decoder_from, dtype=torch.float32))
    return model


@torch.no_grad()
def start_from_decoder(
    model: TransformerAutoencoderForConditionalGeneration, source: TransformerAutoencoderForConditionalGeneration
) -> None:
    """Give a model with encoders the weights of one without, so that it begins by computing the same.

    The decoder and the tables of the vocabulary are those of `source`; what the decoder hears of the encoders is multiplied
    by zero at first. The performance encoder reads the same events, so its layers begin as those of the decoder.

    Raises:
        ValueError: `source` has encoders of its own, or other sizes than `model`'s decoder.
    """
    if source.config.is_conditional:
        raise ValueError("--init-decoder-from takes a model without encoders; this one has some. See --init-from.")
    weights = source.state_dict()
    for name, weight in model.state_dict().items():
        origin = name.replace("performance_encoder.embedding.", "event_embedding.").replace(
            "performance_encoder.", "decoder."
        )
        if origin in weights and weights[origin].shape == weight.shape:
            weight.copy_(weights[origin])
        elif name.endswith(".cross_attention.output.weight"):
            weight.zero_()
        elif not any(part in name for part in ("encoder", "cross_attention")):
            there = f"the shape {tuple(weights[origin].shape)}" if origin in weights else "no such weights"
            raise ValueError(
                f"--init-decoder-from: {name} has the shape {tuple(weight.shape)} here and {there} there; "
                "only what belongs to the encoders may be overridden."
            )


def build_datasets(
    options: argparse.Namespace,
    performances: Performances,
    config: TransformerAutoencoderConfig,
    conditions: Conditions,
    seed: int,
) -> tuple[CropDataset, SegmentDataset | None, dict[str, Any]]:
    """Training and validation data and a summary of both.

    Raises:
        NoTrainingDataError: there is nothing to train on.
    """
    crops = CropDataset(
        performances.select(options.train_split),
        config.context_length,
        conditions,
        options.replications,
        options.transpose,
        not options.no_stretch,
        seed,
    )
    if len(crops) == 0:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(performances.rejected.items())[:5])
        raise NoTrainingDataError(
            f"The data gives nothing for the split '{options.train_split}': {len(performances.files)} MIDI files could be "
            f"read ({json.dumps(performances.summary())}); of the split {crops.num_too_short} are shorter than a crop of "
            f"{config.context_length} tokens (shorten it with --override context_length=TOKENS)."
            f"{' Rejected: ' + reasons if reasons else ''}"
        )
    segments = SegmentDataset(
        performances.select(options.validation_split),
        config.context_length,
        conditions,
        options.max_validation_examples,
    )
    summary = {
        **performances.summary(),
        "train_pieces": len(crops.pieces),
        "train_pieces_too_short": crops.num_too_short,
        "train_crops_per_epoch": len(crops),
        "validation_segments": len(segments),
        "validation_pieces_too_short": segments.num_too_short,
        "conditions": conditions.to_dict(),
    }
    return crops, segments if len(segments) else None, summary


def compute_metrics(model: Any, batch: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The model's loss; the negative log-likelihood of a token in nats, which is the same without label smoothing; and the
    share of tokens that the model thinks likeliest."""
    output = model(**batch)
    logits, targets = output.logits[:, :-1].detach().float(), batch["labels"][:, 1:]
    valid = targets > 0
    nll = F.cross_entropy(logits[valid], targets[valid])
    return {"loss": output.loss, "nll": nll, "accuracy": (logits.argmax(-1) == targets)[valid].float().mean()}


def compute_loss(
    model: Any, batch: dict[str, torch.Tensor], step: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """The metrics above; dropout draws from torch's own generator, which the loop seeds."""
    return compute_metrics(model, batch, generator)


def main(arguments: list[str] | None = None) -> None:
    """Data, model, loss; the loop does the rest."""
    options = parse_arguments(arguments)
    config = build_config(options)
    options.batch_size = batch_size_of(options, config)
    training = training_arguments_from(options)
    conditions = build_conditions(options, config)
    accelerator = create_accelerator(training)

    found = find_performances(options.data, options.splits, validation_share=options.validation_share)
    files = [file for file in found if file.split in (options.train_split, options.validation_split)]
    if not any(file.split == options.train_split for file in files):
        splits = ", ".join(sorted({file.split for file in found}))
        raise NoTrainingDataError(f"No MIDI file is of the split '{options.train_split}'; the splits are {splits}.")
    with accelerator.main_process_first():
        performances = prepare_performances(
            files,
            STRETCHES,
            options.tracks,
            options.cache,
            options.num_proc,
            training.progress and accelerator.is_main_process,
        )
    crops, segments, summary = build_datasets(options, performances, config, conditions, training.seed)
    accelerator.print(f"Data: {json.dumps(summary)}")
    for name, reason in performances.rejected.items():
        accelerator.print(f"Left out: {name}: {reason}")

    set_seed(training.seed)
    model = build_model(options, config)
    accelerator.print(f"Model: {sum(p.numel() for p in model.parameters()):,} parameters")

    def save_extras(folder: Path) -> None:
        TransformerAutoencoderProcessor(context_length=config.context_length).save_pretrained(folder)
        (folder / "data_summary.json").write_text(json.dumps(summary, indent=2) + "\n")

    task = TrainingTask(
        model=model,
        train_dataset=crops,
        validation_dataset=segments,
        collate=collate,
        compute_loss=compute_loss,
        compute_metrics=compute_metrics,
        batch_weight=num_targets,
        save_extras=save_extras,
        identity={
            "config": {k: v for k, v in config.to_dict().items() if k != "transformers_version"},
            "init_from": options.init_from,
            "init_decoder_from": options.init_decoder_from,
            "data": performances.digest,
            "conditions": conditions.to_dict(),
            "replications": options.replications,
            "transpose": options.transpose,
            "stretch": not options.no_stretch,
        },
    )
    train(accelerator, training, task)


if __name__ == "__main__":
    main()

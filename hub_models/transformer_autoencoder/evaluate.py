"""Measure a Transformer Autoencoder or a Music Transformer on MIDI files: likelihood, style control, melody kept.

    python -m hub_models.transformer_autoencoder.evaluate --model NAME_OR_PATH --data DIR

prints one JSON object; progress goes to stderr. What each figure means stands with the function that makes it:
[`evaluate_nll`], [`evaluate_style`], [`compare_styles`], [`compare_melodies`].
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from hub_models.training import NoTrainingDataError

from .configuration_transformer_autoencoder import TransformerAutoencoderConfig
from .data import MELODIES, STYLE_CROPS, Conditions
from .evaluate_nll import evaluate_nll, read_reports
from .evaluate_style import FEWEST_PERFORMANCES, choose_excerpts, evaluate_style
from .modeling_transformer_autoencoder import TransformerAutoencoderForConditionalGeneration
from .performances import find_performances, prepare_performances

COMPOSITION_COLUMN = "composition_group"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m hub_models.transformer_autoencoder.evaluate", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--model", required=True, metavar="NAME_OR_PATH", help="a folder or a Hub repository")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of MIDI files")
    parser.add_argument(
        "--splits",
        type=Path,
        nargs="+",
        metavar="CSV",
        help="one CSV per --data folder, with columns file and split, and perhaps "
        f"{COMPOSITION_COLUMN}: the same for performances of one composition",
    )
    parser.add_argument("--split", help="evaluate on this split; default: all files")
    parser.add_argument("--tracks", nargs="+", default=[], metavar="NAME", help="see train")
    parser.add_argument("--length", type=int, help="tokens of a segment; default: the model's context_length")
    parser.add_argument(
        "--max-segments",
        type=int,
        default=256,
        help="measure the likelihood of at most so many segments, spread evenly over the data (default: %(default)s)",
    )
    parser.add_argument(
        "--num-performances",
        type=int,
        default=32,
        help="performances to write in the styles of as many others, or 0 (default: %(default)s)",
    )
    parser.add_argument("--num-tokens", type=int, help="how long each is; default: as --length")
    parser.add_argument("--temperature", type=float, default=1.0, help="of what is written (default: %(default)s)")
    parser.add_argument("--top-p", type=float, help="write only what is among the likeliest that sum up to this")
    parser.add_argument("--noisy", action="store_true", help="likelihood as in training with --noisy")
    parser.add_argument("--style-crop", choices=STYLE_CROPS, default="same", help="likelihood as in training with it")
    parser.add_argument("--melody-source", choices=MELODIES, default="infer", help="as in training (default: %(default)s)")
    parser.add_argument(
        "--compare-with",
        type=Path,
        nargs="+",
        default=[],
        metavar="JSON",
        help="reports of other models on the same data: say how far apart the likelihoods are, segment by segment",
    )
    parser.add_argument("--batch-size", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where tokens are kept")
    parser.add_argument("--num-proc", type=int, help="processes that read files; default: one per core")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON to this file, too")
    options = parser.parse_args(arguments)
    least = {"length": 2, "max_segments": 1, "num_performances": 0, "num_tokens": 1, "batch_size": 1}
    for name, lowest in least.items():
        value = getattr(options, name)
        if value is not None and value < lowest:
            parser.error(f"--{name.replace('_', '-')} is {value}; it must be at least {lowest}.")
    if options.temperature <= 0:
        parser.error(f"--temperature is {options.temperature}; it must be above 0.")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Data, model, figures, JSON."""
    options = parse_arguments(arguments)
    others = read_reports(options.compare_with)
    config = TransformerAutoencoderConfig.from_pretrained(options.model)
    length = options.length or config.context_length
    files = find_performances(options.data, options.splits, options.split)
    if not files:
        raise NoTrainingDataError(f"No MIDI file belongs to the split '{options.split}'.")
    performances = prepare_performances(files, (1.0,), options.tracks, options.cache, options.num_proc)
    pieces = [performances[number] for number in range(len(performances.files))]
    known = read_compositions(options.data, options.splits or [])
    compositions = [known.get(file.path, file.path) for file in performances.files]
    if not any(len(piece) >= length for piece in pieces):
        raise NoTrainingDataError(
            f"None of {len(files)} MIDI files gives a segment of {length} tokens: {len(performances.rejected)} give "
            f"nothing, the longest has {max(map(len, pieces), default=0)}. Take a shorter --length."
        )
    model = TransformerAutoencoderForConditionalGeneration.from_pretrained(options.model).to(options.device).eval()
    is_heard = {"style": config.performance_encoder != "none", "melody": config.melody_encoder}
    conditions = Conditions(
        **is_heard,
        noisy=options.noisy and is_heard["style"],
        style_crop=options.style_crop,
        melody_source=options.melody_source,
    )
    report: dict[str, Any] = {
        "model": Path(options.model).name if Path(options.model).is_dir() else options.model,
        "kind": kind_of(config),
        "data": [folder.resolve().name for folder in options.data],
        "split": options.split,
        "num_files": len(files),
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "conditions": conditions.to_dict(),
        "seed": options.seed,
        "nll": evaluate_nll(
            model,
            pieces,
            compositions,
            conditions,
            length,
            options.max_segments,
            max(1, options.batch_size // 4),  # a whole segment takes more memory than a step of writing
            options.seed,
            others,
        ),
    }
    if options.num_performances:
        settings = {
            "num_tokens": options.num_tokens or length,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "batch_size": options.batch_size,
        }
        excerpts = choose_excerpts(
            pieces, compositions, length, options.num_performances, options.melody_source, options.seed
        )
        if len(excerpts) < FEWEST_PERFORMANCES:
            print(
                f"Style is not measured: {len(excerpts)} compositions have performances of {2 * length} tokens or more, and "
                f"{FEWEST_PERFORMANCES} are needed.",
                file=sys.stderr,
            )
        else:
            report["generation"] = {"num_performances": len(excerpts), **settings}
            report |= evaluate_style(model, excerpts, **settings, seed=options.seed)
    report["versions"] = {"torch": torch.__version__, "transformers": transformers.__version__}
    text = json.dumps(report, indent=2)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n")
    print(text)


def kind_of(config: TransformerAutoencoderConfig) -> str:
    """What a model hears: `unconditional`, `performance`, `melody` or `melody_performance`."""
    heard = [
        name
        for name, hears in (("melody", config.melody_encoder), ("performance", config.performance_encoder != "none"))
        if hears
    ]
    return "_".join(heard) or "unconditional"


def read_compositions(folders: Sequence[Path], splits: Sequence[Path]) -> dict[str, str]:
    """What is played in which file, by its path, as far as the CSVs say so."""
    compositions = {}
    for folder, path in zip(folders, splits, strict=bool(splits)):
        with path.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if row.get(COMPOSITION_COLUMN):
                    compositions[str(folder / row["file"])] = row[COMPOSITION_COLUMN]
    return compositions


if __name__ == "__main__":
    main()

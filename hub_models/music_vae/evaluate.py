"""Measure a MusicVAE on MIDI files: reconstruction, KL divergence, samples from the prior, interpolation.

    python -m hub_models.music_vae.evaluate --model NAME_OR_PATH --data DIR

prints one JSON object; progress goes to stderr. Accuracies are those of table 1 of the paper. What each figure means stands
with the function that makes it: [`evaluate_reconstruction`], [`evaluate_samples`], [`evaluate_interpolation`]; of multitrack
models [`evaluate_band_samples`], [`evaluate_harmony`], [`evaluate_operations`] and [`evaluate_attributes`], too.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from hub_models.training import NoTrainingDataError

from .attributes import load_attribute_vectors
from .band import Band
from .data import describe_rejections, find_midi_files, prepare_windows
from .drum_maps import DRUM_MAPS
from .evaluate_chords import evaluate_harmony
from .evaluate_interpolation import evaluate_interpolation
from .evaluate_operations import evaluate_attributes, evaluate_band_samples, evaluate_operations
from .evaluate_reconstruction import evaluate_reconstruction
from .evaluate_samples import evaluate_samples
from .modeling_music_vae import MusicVAEModel
from .processing_music_vae import MusicVAEProcessor


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m hub_models.music_vae.evaluate", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, metavar="NAME_OR_PATH", help="a folder or a Hub repository")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of MIDI files")
    parser.add_argument(
        "--splits", type=Path, nargs="+", metavar="CSV", help="one CSV per --data folder, with columns file and split"
    )
    parser.add_argument("--split", help="evaluate on this split; default: all files")
    parser.add_argument("--drum-map", choices=list(DRUM_MAPS), help="read drums with this map; default: the model's own")
    parser.add_argument("--max-examples", type=int, help="evaluate on a random choice of so many examples")
    parser.add_argument(
        "--latents",
        choices=["sample", "mean"],
        default="sample",
        help="decode a draw from the posterior, as the paper does, or its mean (default: %(default)s)",
    )
    parser.add_argument("--temperature", type=float, default=1.0, help="of free-running decoding (default: %(default)s)")
    parser.add_argument("--num-samples", type=int, default=1000, help="samples from the prior, or 0 (default: %(default)s)")
    parser.add_argument(
        "--num-interpolations",
        type=int,
        default=64,
        help="pairs of examples, of different files, to interpolate between, or 0 (default: %(default)s)",
    )
    parser.add_argument(
        "--num-styles",
        type=int,
        default=32,
        help="of multitrack models with chords: styles that are played under all chords, and songs for each operation, "
        "or 0 (default: %(default)s)",
    )
    parser.add_argument("--batch-size", type=int, default=256, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where extracted examples are kept")
    parser.add_argument("--num-proc", type=int, help="processes that extract examples; default: one per core")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON to this file, too")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Data, model, figures, JSON."""
    options = parse_arguments(arguments)
    drum_map = {"drum_classes": options.drum_map} if options.drum_map else {}
    processor = MusicVAEProcessor.from_pretrained(options.model, **drum_map)
    files = find_midi_files(options.data, options.splits)
    if options.split is not None:
        files = [file for file in files if file.split == options.split]
    if not files:
        raise NoTrainingDataError(f"No MIDI file belongs to the split '{options.split}'.")
    windows = prepare_windows(files, processor, options.cache, options.num_proc)
    rows = np.arange(len(windows.examples))
    if not len(rows):
        raise NoTrainingDataError(
            f"{len(files)} files give no {processor.representation} examples. {describe_rejections(windows.folder)}"
        )
    if options.max_examples is not None:
        rows = np.sort(np.random.default_rng(options.seed).permutation(rows)[: options.max_examples])
    examples, file_index = windows.examples[rows], windows.file_index[rows]
    model = MusicVAEModel.from_pretrained(options.model).to(options.device).eval()
    settings = {"temperature": options.temperature, "batch_size": options.batch_size, "seed": options.seed}
    report = {
        "model": Path(options.model).name if Path(options.model).is_dir() else options.model,
        "representation": processor.representation,
        "data": [folder.resolve().name for folder in options.data],
        "split": options.split,
        "drum_map": options.drum_map,
        "num_files": len(files),
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_examples": len(examples),
        "num_samples": options.num_samples,
        "latents": options.latents,
        **settings,
        "reconstruction": evaluate_reconstruction(model, processor, examples, options.latents, **settings),
        "samples": evaluate_samples(model, processor, examples, options.num_samples, **settings),
        "interpolation": evaluate_interpolation(
            model,
            processor,
            examples,
            file_index,
            options.num_interpolations,
            batch_size=options.batch_size,
            seed=options.seed,
        ),
        **(_evaluate_band(model, processor, examples, file_index, options) if options.num_styles else {}),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    text = json.dumps(report, indent=2)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n")
    print(text)


def _evaluate_band(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    examples: np.ndarray,
    file_index: np.ndarray,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What only multitrack models have: `band_samples`, `harmony` and `operations` (those with chords), `attributes`."""
    if processor.representation != "multitrack":
        return {}
    try:
        attributes = load_attribute_vectors(options.model)
    except FileNotFoundError:
        attributes = None
    band = Band(model, processor, attributes)
    settings = {"batch_size": options.batch_size, "seed": options.seed}
    figures = {"band_samples": evaluate_band_samples(band, examples, options.num_samples, **settings)}
    if processor.control_size:
        sizes = (options.num_samples, options.num_styles)
        figures["harmony"] = evaluate_harmony(model, processor, examples, *sizes, **settings)
        figures["operations"] = evaluate_operations(band, examples, file_index, options.num_styles, seed=options.seed)
    return {**figures, "attributes": evaluate_attributes(band, examples, **settings)}


if __name__ == "__main__":
    main()

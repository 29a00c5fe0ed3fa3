"""Measure a MusicVAE on MIDI files: reconstruction, KL divergence, and samples from the prior.

    python -m hub_models.music_vae.evaluate --model NAME_OR_PATH --data DIR

prints one JSON object; progress goes to stderr. Accuracies are those of table 1 of the paper.
"""

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from tqdm.auto import tqdm

from hub_models.training import NoTrainingDataError

from .data import describe_rejections, find_midi_files, prepare_windows
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
    parser.add_argument("--max-examples", type=int, help="evaluate on a random choice of so many examples")
    parser.add_argument(
        "--latents",
        choices=["sample", "mean"],
        default="sample",
        help="decode a draw from the posterior, as the paper does, or its mean (default: %(default)s)",
    )
    parser.add_argument("--temperature", type=float, default=1.0, help="of free-running decoding (default: %(default)s)")
    parser.add_argument("--num-samples", type=int, default=1000, help="samples from the prior (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=256, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where extracted examples are kept")
    parser.add_argument("--num-proc", type=int, help="processes that extract examples; default: one per core")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON to this file, too")
    return parser.parse_args(arguments)


@torch.no_grad()
def evaluate_reconstruction(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    ids: np.ndarray,
    latents: str = "sample",
    temperature: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, float]:
    """How well a model gives back examples (paper section 5.1, table 1).

    Args:
        ids: events of the examples, shape (N, T).
        latents: "sample": decode z drawn from the posterior; "mean": decode the posterior's mean.
        temperature: of free-running decoding.

    Returns:
        `teacher_forced_accuracy`, `sampled_accuracy`: share of steps reconstructed exactly, when each step reads the true
        event before it or the model's own. `..._event_accuracy`: the same over the steps where something happens (a note
        begins or ends, a drum is hit). `exact_sequences`: share of examples reconstructed without any error by sampling.
        `kl_divergence_bits` and `reconstruction_nll_nats`: means per example.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    sums: Counter[str] = Counter()
    for start in _progress(range(0, len(ids), batch_size), "reconstruction"):
        batch = {k: v.to(model.device) for k, v in processor.features(ids[start : start + batch_size]).items()}
        labels = batch["labels"]
        posterior = model.encode(batch["input_values"], batch["lengths"])
        z = posterior.sample(generator) if latents == "sample" else posterior.mean
        logits = model.teacher_forced_logits(z, labels)
        forced = logits.argmax(dim=-1) == labels
        sampled = model.decode(z, labels.shape[1], temperature, generator) == labels
        events = labels != 0
        sums["steps"] += labels.numel()
        sums["events"] += events.sum().item()
        sums["forced"] += forced.sum().item()
        sums["forced_events"] += (forced & events).sum().item()
        sums["sampled"] += sampled.sum().item()
        sums["sampled_events"] += (sampled & events).sum().item()
        sums["exact"] += sampled.all(dim=-1).sum().item()
        sums["kl"] += posterior.kl_divergence().sum().item()
        sums["nll"] += F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="sum").item()
    return {
        "teacher_forced_accuracy": sums["forced"] / sums["steps"],
        "sampled_accuracy": sums["sampled"] / sums["steps"],
        "teacher_forced_event_accuracy": sums["forced_events"] / sums["events"],
        "sampled_event_accuracy": sums["sampled_events"] / sums["events"],
        "exact_sequences": sums["exact"] / len(ids),
        "kl_divergence_bits": sums["kl"] / len(ids) / math.log(2),
        "reconstruction_nll_nats": sums["nll"] / len(ids),
    }


@torch.no_grad()
def evaluate_samples(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    ids: np.ndarray,
    num_samples: int,
    temperature: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, float]:
    """What samples from the prior are like, beside the examples `ids` (N, T).

    Returns:
        `in_range`: share that decodes to MIDI with all pitches within what the processor writes. `non_empty`: share with
        at least one note. `non_duplicate`: share of distinct sequences. `onset_density` and `data_onset_density`: mean
        share of steps on which a note begins or a drum is hit, in samples and in the data; `pitch_mean` and
        `data_pitch_mean` of melodies, in MIDI pitches.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    batches = [
        model.sample(min(batch_size, num_samples - start), temperature, generator, ids.shape[1]).cpu().numpy()
        for start in _progress(range(0, num_samples, batch_size), "samples")
    ]
    samples = np.concatenate(batches)
    in_range = sum(_decodes_in_range(processor, sequence) for sequence in _progress(samples, "decoding"))
    figures = {
        "in_range": in_range / num_samples,
        "non_empty": float(_onsets(processor, samples).any(axis=1).mean()),
        "non_duplicate": len(np.unique(samples, axis=0)) / num_samples,
        "onset_density": float(_onsets(processor, samples).mean()),
        "data_onset_density": float(_onsets(processor, ids).mean()),
    }
    if processor.representation == "melody":
        figures["pitch_mean"] = _mean_pitch(processor, samples)
        figures["data_pitch_mean"] = _mean_pitch(processor, ids)
    return figures


def _onsets(processor: MusicVAEProcessor, ids: np.ndarray) -> np.ndarray:
    """Where a note begins or a drum is hit, bool, shape (N, T)."""
    return ids >= 2 if processor.representation == "melody" else ids > 0


def _mean_pitch(processor: MusicVAEProcessor, ids: np.ndarray) -> float | None:
    notes = ids[ids >= 2].astype(np.float64)
    return float(notes.mean()) - 2 + processor.min_pitch if len(notes) else None


def _decodes_in_range(processor: MusicVAEProcessor, sequence: np.ndarray) -> bool:
    if processor.representation == "melody":
        allowed = range(processor.min_pitch, processor.max_pitch + 1)
    else:
        allowed = {pitch for pitches in processor.drum_classes for pitch in pitches}
    try:
        midi = processor.decode(sequence)
    except ValueError:
        return False
    return all(note.pitch in allowed for instrument in midi.instruments for note in instrument.notes)


def _progress(items: Any, name: str) -> Iterator[Any]:
    return tqdm(items, desc=name, leave=False, file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    """Data, model, figures, JSON."""
    options = parse_arguments(arguments)
    processor = MusicVAEProcessor.from_pretrained(options.model)
    files = find_midi_files(options.data, options.splits)
    if options.split is not None:
        files = [file for file in files if file.split == options.split]
    if not files:
        raise NoTrainingDataError(f"No MIDI file belongs to the split '{options.split}'.")
    windows = prepare_windows(files, processor, options.cache, options.num_proc)
    ids = windows.select()
    if len(ids) == 0:
        raise NoTrainingDataError(
            f"{len(files)} files give no {processor.representation} examples. {describe_rejections(windows.folder)}"
        )
    if options.max_examples is not None:
        ids = ids[np.sort(np.random.default_rng(options.seed).permutation(len(ids))[: options.max_examples])]
    model = MusicVAEModel.from_pretrained(options.model).to(options.device).eval()
    settings = {"temperature": options.temperature, "batch_size": options.batch_size, "seed": options.seed}
    report = {
        "model": Path(options.model).name if Path(options.model).is_dir() else options.model,
        "representation": processor.representation,
        "data": [folder.resolve().name for folder in options.data],
        "split": options.split,
        "num_files": len(files),
        "num_examples": len(ids),
        "num_samples": options.num_samples,
        "latents": options.latents,
        **settings,
        "reconstruction": evaluate_reconstruction(model, processor, ids, options.latents, **settings),
        "samples": evaluate_samples(model, processor, ids, options.num_samples, **settings),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    text = json.dumps(report, indent=2)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

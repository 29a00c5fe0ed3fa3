"""Measure a Jukebox model on songs: its VQ-VAE, its priors, what labels and lyrics do, and its speed.

    python -m hub_models.jukebox.evaluate --model NAME_OR_PATH --data DIR

prints one JSON object; progress goes to stderr. What the parts measure stands in `hub_models.jukebox.evaluate_vqvae`,
`evaluate_priors`, `evaluate_labels`, `evaluate_alignment` and `evaluate_speed`. A VQ-VAE alone can be measured, too.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

from hub_models.training import NoTrainingDataError

from .codes import CodedSong, encode_recordings
from .data import Recordings, prepare_recordings
from .evaluate_alignment import evaluate_alignment
from .evaluate_labels import evaluate_labels
from .evaluate_priors import evaluate_prior
from .evaluate_speed import evaluate_speed
from .evaluate_vqvae import evaluate_vqvae
from .loading import is_whole_model, load_tokenizer, load_vqvae
from .modeling_jukebox import JukeboxModel
from .reconstruction_metrics import level_name
from .sampling import JukeboxSampler
from .song_files import find_songs

PARTS = ("vqvae", "priors", "labels", "alignment", "speed")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m hub_models.jukebox.evaluate", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, metavar="NAME_OR_PATH", help="a Jukebox model, or a VQ-VAE alone")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of sound files")
    parser.add_argument("--labels", type=Path, nargs="+", metavar="FILE", help="a CSV or JSONL per --data folder")
    parser.add_argument("--split", default="validation", help="songs to measure on (default: %(default)s)")
    parser.add_argument(
        "--reference-split", default="train", help="songs that say what labels sound like (default: %(default)s)"
    )
    parser.add_argument(
        "--validation-share", type=float, default=0.05, help="share held out where no labels say it (default: %(default)s)"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where decoded sound and codes are kept")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), help=f"what to measure (default: {' '.join(PARTS)})"
    )
    parser.add_argument("--max-chunks", type=int, default=200, help="chunks for the VQ-VAE (default: %(default)s)")
    parser.add_argument("--chunk-seconds", type=float, default=2.0, help="length of those (default: %(default)s)")
    parser.add_argument("--max-windows", type=int, default=128, help="windows for each prior (default: %(default)s)")
    parser.add_argument("--max-songs", type=int, default=20, help="songs for alignment (default: %(default)s)")
    parser.add_argument("--samples-per-artist", type=int, default=4, help="for the labels (default: %(default)s)")
    parser.add_argument("--sample-level", type=int, default=0, help="down to which, 0 the top (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=0.98, help="of the top level's (default: %(default)s)")
    parser.add_argument("--speed-seconds", type=float, default=6.0, help="of sound, for speed (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=4, help="windows at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON to this file, too")
    options = parser.parse_args(arguments)
    for name in ("max_chunks", "max_windows", "max_songs", "samples_per_artist", "batch_size"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be at least 1.")
    for name in ("chunk_seconds", "temperature", "speed_seconds"):
        if not getattr(options, name) > 0:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be above 0.")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Model, songs, figures, JSON."""
    options = parse_arguments(arguments)
    vqvae = load_vqvae(options.model).eval().to(options.device)
    songs, missing = find_songs(options.data, options.labels, options.validation_share)
    wanted = {options.split} | ({options.reference_split} if "labels" in options.parts else set())
    songs = [song for song in songs if song.split in wanted]
    if not any(song.split == options.split for song in songs):
        raise NoTrainingDataError(f"No song is of the split '{options.split}'.")
    recordings = prepare_recordings(songs, vqvae.config.sampling_rate, options.cache)
    measured = recordings.select(options.split)
    if not measured:
        raise NoTrainingDataError(f"No song of the split '{options.split}' could be read: {recordings.rejected}.")
    coded = encode_recordings(measured, vqvae, options.cache)
    report: dict[str, Any] = {
        "model": Path(options.model).name,
        "data": [folder.name for folder in options.data],
        "split": options.split,
        "seed": options.seed,
        "num_files": len(measured),
        "minutes": sum(len(recording.samples) for recording in measured) / vqvae.config.sampling_rate / 60,
        "files_left_out": len(recordings.rejected) + len(missing),
        "device": torch.device(options.device).type,
        "num_threads": torch.get_num_threads(),
    }
    if "vqvae" in options.parts:
        report["vqvae"] = evaluate_vqvae(vqvae, measured, coded, options.max_chunks, options.chunk_seconds)
    if is_whole_model(options.model):
        report |= evaluate_model(options, recordings, coded)
    text = json.dumps(_without_missing(report), indent=2)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n")


def evaluate_model(options: argparse.Namespace, recordings: Recordings, coded: list[CodedSong]) -> dict[str, Any]:
    """What there is to measure of a whole model beside its VQ-VAE."""
    model = JukeboxModel.from_pretrained(options.model).eval().to(options.device)
    tokenizer = load_tokenizer(options.model)
    levels = model.config.vqvae_config.levels
    report: dict[str, Any] = {"num_parameters": model.num_parameters()}
    if "priors" in options.parts:
        report["priors"] = {
            level_name(prior.config.vqvae_level, levels): evaluate_prior(
                prior, coded, tokenizer, options.max_windows, options.batch_size, options.seed
            )
            for prior in model.priors
        }
    if "labels" in options.parts:
        sampler = JukeboxSampler(model, tokenizer=tokenizer)
        references = encode_recordings(recordings.select(options.reference_split), model.vqvae, options.cache)
        report["label_check"] = evaluate_labels(
            sampler,
            references,
            coded,
            options.samples_per_artist,
            options.sample_level,
            options.temperature,
            options.seed,
        )
    if "alignment" in options.parts and model.config.prior_configs[0].nb_relevant_lyric_tokens:
        report["alignment"] = evaluate_alignment(
            model.priors[0], coded, tokenizer, model.config.hop_fraction[0], options.max_songs
        )
    if "speed" in options.parts:
        report["speed"] = evaluate_speed(model, options.speed_seconds, seed=options.seed)
    return report


def _without_missing(report: Any) -> Any:
    """JSON has no NaN: what could not be measured is left out."""
    if isinstance(report, dict):
        kept = {name: _without_missing(value) for name, value in report.items()}
        return {name: value for name, value in kept.items() if value is not None}
    if isinstance(report, float) and math.isnan(report):
        return None
    return report


if __name__ == "__main__":
    sys.exit(main())

"""What training the VQ-VAE and training a prior have in common: options about data, and overrides of configurations."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from transformers import PreTrainedConfig

from hub_models.training import NoTrainingDataError

from .data import Recording, Recordings, prepare_recordings
from .song_files import LABEL_FILES, find_songs

# Fields that every configuration of transformers has and that are not numbers of a model.
NOT_NUMBERS = {"model_type", "transformers_version", "architectures", "dtype"}


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Options about where songs are and which of them are for what."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of sound files")
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="one CSV or JSONL per --data folder, with the column file and perhaps artist, genre, lyrics, split, "
        f"total_seconds, offset_seconds; default: {', '.join(LABEL_FILES)} in the folder, if there",
    )
    parser.add_argument("--train-split", default="train", help="split to train on (default: %(default)s)")
    parser.add_argument("--validation-split", default="validation", help="split to validate on (default: %(default)s)")
    parser.add_argument(
        "--validation-share",
        type=float,
        default=0.05,
        help="share of files held out where no labels say the split (default: %(default)s)",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where decoded sound and codes are kept")


def add_override_argument(parser: argparse.ArgumentParser, example: str) -> None:
    """The option that changes numbers of a configuration."""
    parser.add_argument(
        "--override",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help=f"numbers of the configuration to change, values in JSON: {example}",
    )


def parse_overrides(pairs: Sequence[str], config: PreTrainedConfig) -> dict[str, Any]:
    """`["embed_dim=32"]` as `{"embed_dim": 32}`.

    Raises:
        ValueError: a pair has no "=", or names no number of the configuration.
    """
    known = sorted(set(type(config).__dataclass_fields__) - set(PreTrainedConfig.__dataclass_fields__) - NOT_NUMBERS)
    overrides = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in known:
            raise ValueError(f"--override {pair}: write KEY=VALUE with one of these keys: {', '.join(known)}.")
        try:
            overrides[key] = json.loads(value)
        except json.JSONDecodeError:
            overrides[key] = value
    return overrides


def read_recordings(options: argparse.Namespace, sample_rate: int, accelerator: Accelerator) -> Recordings:
    """The songs of the two splits of the options, decoded by the main process while others wait.

    Raises:
        NoTrainingDataError: nothing is of the training split.
    """
    found, missing = find_songs(options.data, options.labels, options.validation_share)
    songs = [song for song in found if song.split in (options.train_split, options.validation_split)]
    if not any(song.split == options.train_split for song in songs):
        splits = ", ".join(sorted({song.split for song in found}))
        raise NoTrainingDataError(f"No song is of the split '{options.train_split}'; the splits are {splits}.")
    with accelerator.main_process_first():
        recordings = prepare_recordings(
            songs, sample_rate, options.cache, progress=options.progress and accelerator.is_main_process
        )
    recordings.rejected |= missing
    for name, reason in recordings.rejected.items():
        accelerator.print(f"Left out: {name}: {reason}")
    return recordings


def no_examples(what: str, split: str, recordings: Recordings, too_short: int, length: int) -> NoTrainingDataError:
    """The error that there is nothing to train on.

    Args:
        what: an example is called.
        split: that was looked at.
        recordings: all that could be read.
        too_short: how many of the split were left out because they are.
        length: of an example, in samples.
    """
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(recordings.rejected.items())[:5])
    rate = recordings.songs[0].sample_rate if recordings.songs else None
    seconds = f" ({length / rate:.2f} seconds)" if rate else ""
    return NoTrainingDataError(
        f"The data gives no {what} of the split '{split}': {len(recordings.songs)} songs could be read "
        f"({json.dumps(recordings.summary())}); of the split {too_short} are shorter than the {length} samples{seconds} "
        f"of a {what}.{' Left out: ' + reasons if reasons else ''}"
    )


def identity_of(config: PreTrainedConfig) -> dict[str, Any]:
    """A configuration as it decides what a run computes."""
    return {name: value for name, value in config.to_dict().items() if name not in NOT_NUMBERS}


def label_counts(recordings: Sequence[Recording]) -> dict[str, dict[str, int]]:
    """How many songs each artist and each genre has."""
    counts: dict[str, dict[str, int]] = {"artists": {}, "genres": {}}
    for recording in recordings:
        for key, name in (("artists", recording.song.artist), ("genres", recording.song.genre)):
            counts[key][name] = counts[key].get(name, 0) + 1
    return {key: dict(sorted(names.items())) for key, names in counts.items()}

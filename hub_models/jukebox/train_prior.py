"""Train or fine-tune the prior of one level on the codes of folders of sound files."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed

from hub_models.training import TrainingTask, add_training_arguments, create_accelerator, train, training_arguments_from

from .codes import CodedSong, encode_recordings, vqvae_fingerprint
from .configuration_jukebox import PRESETS, JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from .data import Recordings, fingerprint_of
from .labels import LABEL_VERSIONS
from .loading import load_prior, load_prior_config, load_tokenizer, load_vqvae
from .modeling_jukebox_prior import JukeboxPrior, JukeboxPriorOutput
from .prior_data import LabelDropout, WindowDataset, collate_windows
from .prior_labels import labels_of, make_room_for_names, tokenizer_for, with_new_names
from .song_files import SongFile
from .tokenization_jukebox import JukeboxTokenizer
from .train_parts import (
    add_data_arguments,
    add_override_argument,
    identity_of,
    label_counts,
    no_examples,
    parse_overrides,
    read_recordings,
)

EPILOG = (
    "With --init-from, artists and genres that the model does not know get new ids and rows in its tables, which start as "
    "those of unknown names; ids that there are keep their meaning. The defaults of the loop are the original's where its "
    "code says them; it also decays weights, --weight-decay 0.01."
)
DEFAULT_PRESET = "jukebox-1b-lyrics"
LEVELS = ("top", "middle", "bottom")
SUMMARY = "data_summary.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add_data_arguments(parser)
    parser.add_argument(
        "--level", required=True, metavar="top|middle|bottom", help="of which level; or its number, 0 the top"
    )
    parser.add_argument(
        "--vqvae",
        metavar="NAME_OR_PATH",
        help="the VQ-VAE that makes the codes, or a Jukebox model with one; default: that of the --init-from model",
    )
    parser.add_argument(
        "--max-validation-windows", type=int, default=64, help="validate on at most so many (default: %(default)s)"
    )
    parser.add_argument(
        "--label-dropout",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of training windows whose artist, genre and lyrics are unknown, for a prior that can do without "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--lyric-dropout",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the others whose lyrics alone are unknown (default: %(default)s)",
    )
    parser.add_argument(
        "--label-version",
        choices=LABEL_VERSIONS,
        default="v3",
        help="of a new model: each genre has an id (v3), or each of its words has (v2) (default: %(default)s)",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--preset", choices=list(PRESETS), default=DEFAULT_PRESET, help="whose prior to make (default: %(default)s)"
    )
    start.add_argument("--init-from", metavar="NAME_OR_PATH", help="fine-tune this prior, or that of this Jukebox model")
    add_override_argument(parser, "hidden_size=256 num_layers=12")
    add_training_arguments(parser, batch_size=16, learning_rate=3e-4, warmup_steps=100)


def check_arguments(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends with a message where an option is out of range or missing."""
    if options.max_validation_windows < 1:
        parser.error(f"--max-validation-windows is {options.max_validation_windows}; it must be at least 1.")
    if not options.vqvae and not options.init_from:
        parser.error("--vqvae is needed: the VQ-VAE that makes the codes.")
    for name in ("label_dropout", "lyric_dropout"):
        if not 0 <= getattr(options, name) <= 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must lie between 0 and 1.")


def parse_level(text: str, levels: int) -> int:
    """The number of a level from the top: `"top"` is 0; `"bottom"` the last of `levels`.

    Raises:
        ValueError: there is no such level.
    """
    names = dict(zip(LEVELS, range(levels), strict=False)) if levels == len(LEVELS) else {"top": 0, "bottom": levels - 1}
    names |= {str(level): level for level in range(levels)}
    if text not in names:
        raise ValueError(f"--level {text}: the levels of this VQ-VAE are {', '.join(names)}.")
    return names[text]


def build_config(options: argparse.Namespace, vqvae: JukeboxVQVAEConfig) -> JukeboxPriorConfig:
    """The configuration that the options ask for, of codes that the VQ-VAE makes.

    Raises:
        ValueError: the preset or the model has no such level, or its prior is one of other codes.
    """
    level = parse_level(options.level, vqvae.levels)
    codes = {
        "sampling_rate": vqvae.sampling_rate,
        "res_downs_t": vqvae.res_downs_t,
        "res_strides_t": vqvae.res_strides_t,
        "music_vocab_size": vqvae.nb_discrete_codes,
    }
    if options.init_from:
        config = load_prior_config(options.init_from, level)
        others = {name: getattr(config, name) for name, value in codes.items() if getattr(config, name) != value}
        if others:
            raise ValueError(f"--init-from {options.init_from} is a prior of other codes: {others}, not {codes}.")
    else:
        priors = JukeboxConfig.from_preset(options.preset).prior_configs
        if level >= len(priors):
            raise ValueError(f"--preset {options.preset} has {len(priors)} priors, none for level {level}.")
        config = JukeboxPriorConfig(**{**priors[level].to_dict(), **codes})
    return JukeboxPriorConfig(**{**config.to_dict(), **parse_overrides(options.override, config)})


def build_tokenizer(
    options: argparse.Namespace, config: JukeboxPriorConfig, levels: int, songs: list[SongFile]
) -> JukeboxTokenizer:
    """Names and ids: those of the model to start from and new ones, or those of the songs.

    Raises:
        ValueError: the model has no room for them.
    """
    if options.init_from:
        return with_new_names(load_tokenizer(options.init_from), songs, config.level)
    tokenizer = tokenizer_for(songs, options.label_version, config.max_nb_genres, config.nb_relevant_lyric_tokens, levels)
    needed = tokenizer.metadata_dims(config.level)
    if config.metadata_conditioning and any(has < needs for has, needs in zip(config.metadata_dims, needed, strict=True)):
        raise ValueError(
            f"The songs have {needed[0]} genres and {needed[1]} artists, with the unknown ones; the prior has room for "
            f"{config.metadata_dims}: add --override 'metadata_dims={json.dumps(needed)}'."
        )
    return tokenizer


class PriorTask:
    """Loss and metrics of one prior.

    Args:
        config: of it.
        validation: what it is validated on; None: nothing.
    """

    def __init__(self, config: JukeboxPriorConfig, validation: WindowDataset | None):
        self.config = config
        self.artist_of_song = [artist_name(song) for song in validation.songs] if validation is not None else []
        self.artists = sorted(set(self.artist_of_song))

    def compute_loss(
        self, model: Any, batch: dict[str, torch.Tensor], step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """The model's loss; bits per code, and per lyric token where it reads lyrics."""
        return self._metrics_of(self._run(model, batch, "metadata"))

    def compute_metrics(
        self, model: Any, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """The same, and bits per code without lyrics and without any labels.

        `bits_ARTIST` and `share_ARTIST` are what windows of an artist add to means over all windows, see `finish_metrics`.
        """
        output = self._run(model, batch, "metadata")
        metrics = self._metrics_of(output)
        for without in ("lyrics", "labels"):
            if f"metadata_without_{without}" in batch:
                metrics[f"bits_without_{without}"] = self._run(model, batch, f"metadata_without_{without}").gen_loss
        bits = output.token_losses.mean(dim=1)
        artists = [self.artist_of_song[number] for number in batch["song"].tolist()]
        for artist in self.artists:
            is_theirs = bits.new_tensor([name == artist for name in artists])
            metrics[f"bits_{artist}"], metrics[f"share_{artist}"] = (bits * is_theirs).mean(), is_theirs.mean()
        return metrics

    def finish_metrics(self, means: dict[str, float]) -> dict[str, float]:
        """Bits per code of each artist, out of their parts of the mean."""
        for artist in self.artists:
            share = means.pop(f"share_{artist}")
            bits = means.pop(f"bits_{artist}")
            if share > 0:
                means[f"bits_{artist}"] = bits / share
        return means

    def _run(self, model: Any, batch: dict[str, torch.Tensor], metadata: str) -> JukeboxPriorOutput:
        return model(batch["music_tokens"], batch.get("music_tokens_conds"), batch[metadata])

    def _metrics_of(self, output: JukeboxPriorOutput) -> dict[str, torch.Tensor]:
        metrics = {"loss": output.loss, "bits": output.gen_loss}
        if self.config.nb_relevant_lyric_tokens:
            metrics["lyric_bits"] = output.prime_loss
        return metrics


def artist_name(song: CodedSong) -> str:
    """What metrics call the artist of a song."""
    return song.song.artist or "unknown"


def run(options: argparse.Namespace) -> None:
    """Data, codes, labels, model, loss; the loop does the rest."""
    training = training_arguments_from(options)
    accelerator = create_accelerator(training)
    vqvae = load_vqvae(options.vqvae or options.init_from).eval()
    config = build_config(options, vqvae.config)
    recordings = read_recordings(options, config.sampling_rate, accelerator)
    train_songs = [recording.song for recording in recordings.select(options.train_split)]
    tokenizer = build_tokenizer(options, config, vqvae.config.levels, train_songs)
    vqvae.to(accelerator.device)
    songs = {
        split: encode_recordings(
            recordings.select(split), vqvae, options.cache, accelerator, training.progress and accelerator.is_main_process
        )
        for split in dict.fromkeys((options.train_split, options.validation_split))
    }
    vqvae_name = vqvae_fingerprint(vqvae)
    del vqvae
    windows, held_out, summary = build_datasets(options, recordings, songs, tokenizer, config, training.seed)
    summary["vqvae"] = vqvae_name

    set_seed(training.seed)
    if options.init_from:
        prior = load_prior(options.init_from, config)
        summary["new_rows"] = make_room_for_names(prior, tokenizer)
    else:
        prior = JukeboxPrior(config)
    config = prior.config
    accelerator.print(f"Data: {json.dumps(summary)}")
    accelerator.print(f"Model: {sum(p.numel() for p in prior.parameters()):,} parameters")

    def save_extras(folder: Path) -> None:
        tokenizer.save_pretrained(folder)
        (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")

    jukebox = PriorTask(config, held_out)
    task = TrainingTask(
        model=prior,
        train_dataset=windows,
        validation_dataset=held_out,
        collate=collate_windows,
        compute_loss=jukebox.compute_loss,
        compute_metrics=jukebox.compute_metrics,
        finish_metrics=jukebox.finish_metrics,
        save_extras=save_extras,
        identity={
            "config": identity_of(config),
            "init_from": options.init_from,
            "vqvae": vqvae_name,
            "data": fingerprint_of(recordings.select(options.train_split)),
            "labels": windows.fingerprint(),
            "label_dropout": options.label_dropout,
            "lyric_dropout": options.lyric_dropout,
        },
    )
    train(accelerator, training, task)


def build_datasets(
    options: argparse.Namespace,
    recordings: Recordings,
    songs: dict[str, list[CodedSong]],
    tokenizer: JukeboxTokenizer,
    config: JukeboxPriorConfig,
    seed: int,
) -> tuple[WindowDataset, WindowDataset | None, dict[str, Any]]:
    """Training and validation windows and a summary of both.

    Raises:
        NoTrainingDataError: there is nothing to train on.
    """

    def windows_of(split: str, **settings: Any) -> WindowDataset:
        labels = labels_of([song.song for song in songs[split]], tokenizer, config.level)
        return WindowDataset(songs[split], labels, config, **settings)

    dropout = LabelDropout(options.label_dropout, options.lyric_dropout)
    windows = windows_of(options.train_split, dropout=dropout, seed=seed)
    if len(windows) == 0:
        length = config.n_ctx * config.hop_length
        raise no_examples("window", options.train_split, recordings, windows.num_too_short, length)
    held_out = windows_of(options.validation_split, augment=False, max_windows=options.max_validation_windows)
    summary = {
        **recordings.summary(),
        "train_windows": len(windows),
        "train_songs_too_short": windows.num_too_short,
        "train_songs_too_long_or_short_for_timing": windows.num_out_of_range,
        "validation_windows": len(held_out),
        "validation_songs_too_short": held_out.num_too_short,
        **label_counts(recordings.select(options.train_split)),
    }
    return windows, held_out if len(held_out) else None, summary

"""Make one Jukebox model of a VQ-VAE and priors that were trained one by one.

python -m hub_models.jukebox.bundle --vqvae OUTPUT/vqvae --priors OUTPUT/top OUTPUT/middle OUTPUT/bottom --output FOLDER
python -m hub_models.jukebox.bundle --base NAME_OR_PATH --priors OUTPUT/top --output FOLDER    # the others are those of BASE
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from .codes import encode_recordings, vqvae_fingerprint
from .configuration_jukebox import JukeboxConfig, JukeboxPriorConfig
from .data import prepare_recordings
from .evaluate_alignment import best_alignment
from .feature_extraction_jukebox import JukeboxFeatureExtractor
from .loading import load_prior, load_prior_config, load_tokenizer, load_vqvae
from .modeling_jukebox import JukeboxModel
from .modeling_jukebox_prior import JukeboxPrior
from .modeling_jukebox_vqvae import JukeboxVQVAE
from .prior_data import WindowDataset
from .prior_labels import labels_of, make_room_for_names
from .processing_jukebox import JukeboxProcessor
from .song_files import find_songs
from .tokenization_jukebox import JukeboxTokenizer
from .train_prior import SUMMARY

ALIGNMENT_WINDOWS = 48
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class BundleError(ValueError):
    """Parts that do not make a model; the message says why."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m hub_models.jukebox.bundle", description=__doc__.partition("\n")[0])
    parser.add_argument("--vqvae", metavar="NAME_OR_PATH", help="the trained VQ-VAE; default: that of --base")
    parser.add_argument(
        "--priors", nargs="+", default=[], metavar="NAME_OR_PATH", help="trained priors, of any levels, in any order"
    )
    parser.add_argument("--base", metavar="NAME_OR_PATH", help="a whole model whose parts are taken where none is given")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the model goes")
    parser.add_argument(
        "--dtype",
        choices=list(DTYPES),
        default="float32",
        help="how weights of priors are stored; from_pretrained gives float32 anyway. Those of the VQ-VAE, which decide "
        "codes, stay float32 (default: %(default)s)",
    )
    parser.add_argument(
        "--align-on",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="choose the layer and the head whose attention follows the lyrics on these folders' songs, of which labels say "
        "when words are heard; default: as the configuration says",
    )
    parser.add_argument("--labels", type=Path, nargs="+", metavar="FILE", help="a CSV or JSONL per folder of --align-on")
    parser.add_argument("--split", default="train", help="of these songs, the split to take (default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where decoded sound and codes are kept")
    parser.add_argument("--max-megabytes", type=float, metavar="MB", help="fail where the model's files are larger together")
    options = parser.parse_args(arguments)
    if not options.base and not (options.vqvae and options.priors):
        parser.error("--vqvae and --priors are needed, or --base for what is missing of them.")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Parts, names, model, files."""
    options = parse_arguments(arguments)
    vqvae = load_vqvae(options.vqvae or options.base)
    names = _priors_by_level(options.priors, options.base, vqvae.config.levels)
    priors = [load_prior(name, load_prior_config(name, level)) for level, name in enumerate(names)]
    _check_codes(vqvae, names)
    tokenizer = widest_tokenizer(list(dict.fromkeys(names)))
    for prior in priors:
        make_room_for_names(prior, tokenizer)
    model = assemble(vqvae, priors)
    if options.align_on:
        choose_alignment(model, tokenizer, options.align_on, options.labels, options.split, options.cache)
    store_as(model, DTYPES[options.dtype])
    model.save_pretrained(options.output)
    extractor = JukeboxFeatureExtractor.from_config(model.config)
    JukeboxProcessor(extractor, tokenizer).save_pretrained(options.output)
    size = sum(path.stat().st_size for path in options.output.rglob("*") if path.is_file()) / 1e6
    if options.max_megabytes is not None and size > options.max_megabytes:
        raise BundleError(f"{options.output} has {size:.1f} MB; --max-megabytes allows {options.max_megabytes:g}.")
    print(f"Wrote {options.output}, {size:.1f} MB")
    return 0


def _priors_by_level(given: Sequence[str], base: str | None, levels: int) -> list[str]:
    """Where the prior of each level is, the top first."""
    found: dict[int, str] = {}
    for name in given:
        level = JukeboxPriorConfig.from_pretrained(name).level
        if level in found:
            raise BundleError(f"{found[level]} and {name} are both priors of level {level} from the top.")
        found[level] = name
    if base is not None:
        found |= {level: base for level in range(JukeboxConfig.from_pretrained(base).nb_priors) if level not in found}
    missing = [level for level in range(max(levels, *found, 0)) if level not in found]
    if missing:
        raise BundleError(
            f"No prior is given for level {missing[0]} from the top, of {levels}; levels given: {sorted(found)}."
        )
    return [found[level] for level in range(len(found))]


def _check_codes(vqvae: JukeboxVQVAE, names: Sequence[str]) -> None:
    """Priors that were trained here say on whose codes."""
    fingerprint = vqvae_fingerprint(vqvae)
    for name in names:
        summary = Path(name) / SUMMARY
        if summary.is_file():
            trained_on = json.loads(summary.read_text(encoding="utf-8")).get("vqvae", fingerprint)
            if trained_on != fingerprint:
                raise BundleError(f"{name} was trained on the codes of another VQ-VAE.")


def widest_tokenizer(names: Sequence[str]) -> JukeboxTokenizer:
    """Of the tokenizers of several parts, the one that knows all that the others know.

    Raises:
        BundleError: there is none; parts were trained with different names or ids.
    """
    tokenizers = [load_tokenizer(name) for name in names]
    widest = max(tokenizers, key=lambda each: len(each.artists_encoder) + len(each.genres_encoder))
    for name, other in zip(names, tokenizers, strict=True):
        for kind in ("artists_encoder", "genres_encoder", "lyrics_encoder"):
            known = getattr(widest, kind).items()
            strangers = dict(getattr(other, kind).items() - known)
            if strangers or other.version != widest.version:
                raise BundleError(
                    f"{name} has names or ids that another part has not, {kind} {dict(list(strangers.items())[:3])}: "
                    "train priors that belong together on the same songs."
                )
    return widest


def assemble(vqvae: JukeboxVQVAE, priors: Sequence[JukeboxPrior]) -> JukeboxModel:
    """One model of the parts, which it holds as they are.

    Raises:
        ValueError: they do not fit; see [`JukeboxConfig`].
    """
    config = JukeboxConfig(
        vqvae_config=vqvae.config.to_dict(),
        prior_config_list=[prior.config.to_dict() for prior in priors],
        sampling_rate=vqvae.config.sampling_rate,
    )
    with torch.device("meta"):
        model = JukeboxModel(config)
    model.vqvae, model.priors = vqvae, nn.ModuleList(priors)
    return model.eval()


def choose_alignment(
    model: JukeboxModel,
    tokenizer: JukeboxTokenizer,
    folders: Sequence[Path],
    labels: Sequence[Path] | None,
    split: str,
    cache: Path | None,
) -> None:
    """Write into the configuration which attention follows the lyrics of songs best.

    Raises:
        BundleError: no song of the split has words with times, or is long enough.
    """
    prior = model.priors[0]
    found, _ = find_songs(folders, labels)
    found = [song for song in found if song.split == split]
    recordings = prepare_recordings(found, model.vqvae.config.sampling_rate, cache)
    songs = [song for song in encode_recordings(recordings.songs, model.vqvae, cache) if song.song.words]
    labelled = labels_of([song.song for song in songs], tokenizer, 0)
    windows = WindowDataset(songs, labelled, prior.config, augment=False, max_windows=ALIGNMENT_WINDOWS)
    if len(windows) == 0:
        raise BundleError(f"--align-on: no song of the split '{split}' has words with times, or none is long enough.")
    layer, head, share = best_alignment(prior, windows, tokenizer)
    for config in (prior.config, model.config.prior_config_list[0]):
        config.alignment_layer, config.alignment_head = layer, head
    print(
        f"Attention of layer {layer}, head {head} is on the word that sounds with a share of {share:.3f}.", file=sys.stderr
    )


@torch.no_grad()
def store_as(model: JukeboxModel, dtype: torch.dtype) -> None:
    """Turn the weights of a model's priors into another type.

    Raises:
        BundleError: a weight is beyond what the type can hold.
    """
    largest = max((weight.abs().max().item() for weight in model.priors.parameters()), default=0.0)
    if not largest < torch.finfo(dtype).max:
        raise BundleError(
            f"The priors have weights up to {largest:g}, which {str(dtype).removeprefix('torch.')} cannot hold."
        )
    model.priors.to(dtype)


if __name__ == "__main__":
    sys.exit(main())

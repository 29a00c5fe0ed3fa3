"""What a card of Jukebox says, beyond what every card says: from config.json, the tokenizer's names, and metrics.json."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .errors import HubError
from .figures import Metric
from .figures_jukebox import (
    LEVELS,
    alignment_table,
    alignment_verdicts,
    bits_table,
    check_report,
    codes_table,
    figures_of,
    follows_sound,
    hears_lyrics,
    hop_lengths,
    label_verdicts,
    levels_table,
    lyric_verdicts,
    lyrics_table,
    samples_table,
    samples_verdicts,
    speed_table,
)
from .files import read_json, tensor_dtypes, tensor_shapes, weight_files

TASK = "music with artist, genre and lyrics"
UNKNOWN = "unknown"
OF_V2 = ".v2"


def jukebox_values(folder: Path, facts: dict) -> tuple[list[Metric], dict[str, Any]]:
    """The metrics for the card's metadata, and the values that its template needs.

    Args:
        folder: Of the checkpoint.
        facts: The model's entry in index.json.

    Raises:
        HubError: The model has not been trained, or not evaluated as the card needs it.
    """
    recipe = facts["recipe"]
    config = read_json(folder / "config.json", "train the model first", recipe)
    if config.get("model_type") != "jukebox":
        raise HubError(f"{folder} holds a model of type {config.get('model_type')!r}, not a Jukebox.")
    artists = _names(read_json(folder / "artists.json", "train the model first", recipe))
    genres = _names(read_json(folder / "genres.json", "train the model first", recipe))
    metrics = read_json(folder / "metrics.json", "evaluate the model first", recipe)
    check_report(metrics, folder / "metrics.json")
    files = weight_files(folder)
    sizes = {name: math.prod(shape) for path in files for name, shape in tensor_shapes(path).items()}
    of_level = {
        level: sum(size for name, size in sizes.items() if name.startswith(f"priors.{number}."))
        for number, level in enumerate(reversed(LEVELS))
    }
    top = config["prior_config_list"][0]
    return figures_of(metrics), {
        "metrics": metrics,
        "config": config,
        "artists": artists,
        "genres": genres,
        "parameters": f"{sum(sizes.values()) / 1e6:.1f} million",
        "is_half": bool({"F16", "BF16"} & {dtype for path in files for dtype in tensor_dtypes(path)}),
        "sampling_rate": config["vqvae_config"]["sampling_rate"],
        "window_seconds": top["n_ctx"] * hop_lengths(config)["top"] / config["vqvae_config"]["sampling_rate"],
        "lyric_tokens": top["nb_relevant_lyric_tokens"],
        "longest_seconds": top["max_duration"],
        "levels": levels_table(config, of_level),
        "codes": codes_table(metrics, facts["paper_figures"]),
        "bits": bits_table(metrics),
        "label_verdicts": label_verdicts(metrics),
        "lyrics": lyrics_table(metrics),
        "lyric_verdicts": lyric_verdicts(metrics),
        "hears_lyrics": hears_lyrics(metrics),
        "samples": samples_table(metrics),
        "samples_verdicts": samples_verdicts(metrics),
        "alignment": alignment_table(metrics),
        "alignment_verdicts": alignment_verdicts(metrics),
        "follows_sound": follows_sound(metrics),
        "speed": speed_table(metrics),
    }


def _names(ids: dict[str, int]) -> list[str]:
    """What the tokenizer knows, in the order of ids, without what stands for unknown."""
    names = sorted(ids, key=lambda name: (ids[name], name))
    return [name.removesuffix(OF_V2) for name in names if ids[name] != 0 and name.removesuffix(OF_V2) != UNKNOWN]

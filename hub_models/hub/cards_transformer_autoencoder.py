"""What a card of the Transformer Autoencoder says, beyond what every card says: from config.json and metrics.json.

Where the entry in index.json has `siblings`, kinds of models trained under the same recipe that hear less, their metrics are
in metrics_<kind>.json, and `siblings_differ` says in what else than that.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .errors import HubError
from .figures import Metric
from .figures_transformer_autoencoder import (
    CLAIMS,
    HEARS,
    areas_table,
    check_report,
    check_siblings,
    figures_of,
    hears_melody,
    hears_style,
    likelihood_table,
    likelihood_verdicts,
    melody_table,
    melody_verdict,
    plays_melody,
    style_table,
    style_verdicts,
)
from .files import read_json, tensor_dtypes, tensor_shapes

TASK = "expressive piano performance"
WEIGHTS = "model.safetensors"


def transformer_autoencoder_values(folder: Path, facts: dict) -> tuple[list[Metric], dict[str, Any]]:
    """The metrics for the card's metadata, and the values that its template needs.

    Args:
        folder: Of the checkpoint.
        facts: The model's entry in index.json.

    Raises:
        HubError: The model has not been trained, or not evaluated as the card needs it.
    """
    recipe = facts["recipe"]
    config = read_json(folder / "config.json", "train the model first", recipe)
    processor = read_json(folder / "processor_config.json", "train the model first", recipe)
    kind = kind_of(config, folder)
    siblings = facts.get("siblings", [])
    paths = {kind: folder / "metrics.json", **{name: folder / f"metrics_{name}.json" for name in siblings}}
    reports = {}
    for name, path in paths.items():
        remedy = "evaluate the model first" if name == kind else "evaluate this sibling first"
        reports[name] = read_json(path, remedy, recipe)
        compared_with = tuple(other for own, other in CLAIMS if own == name and other in paths)
        check_report(reports[name], path, name, compared_with)
    check_siblings(reports, paths, kind)
    metrics = reports[kind]
    tensors = tensor_shapes(folder / WEIGHTS)
    # How long as many events as the model hears are in real music.
    seconds = metrics["style"]["data"]["mean_seconds"] * config["context_length"] / metrics["nll"]["length"]
    return figures_of(kind), {
        "metrics": metrics,
        "kind": kind,
        "hears": HEARS[kind],
        "hears_style": hears_style(kind),
        "hears_melody": hears_melody(kind),
        "has_siblings": len(reports) > 1,
        "config": config,
        "processor": processor,
        "encoder_layers": config["num_encoder_layers"] or config["num_hidden_layers"],
        "parameters": f"{sum(math.prod(shape) for shape in tensors.values()) / 1e6:.1f} million",
        "is_half": tensor_dtypes(folder / WEIGHTS) <= {"F16", "BF16"},
        "seconds": seconds,
        "likelihood": likelihood_table(reports, kind),
        "likelihood_verdicts": likelihood_verdicts(reports),
        "style": style_table(reports, kind),
        "style_verdicts": style_verdicts(metrics, kind),
        "areas": areas_table(metrics, kind),
        "plays_melody": hears_melody(kind) and plays_melody(metrics),
        "melody": melody_table(reports, kind),
        "melody_verdict": melody_verdict(metrics) if hears_melody(kind) else None,
    }


def kind_of(config: dict, folder: Path) -> str:
    """What the model hears: one of `HEARS`.

    Raises:
        HubError: The configuration is of another model.
    """
    if config.get("model_type") != "transformer_autoencoder":
        raise HubError(f"{folder} holds a model of type {config.get('model_type')!r}, not a Transformer Autoencoder.")
    heard = ["melody"] if config["melody_encoder"] else []
    heard += ["performance"] if config["performance_encoder"] != "none" else []
    return "_".join(heard) or "unconditional"

"""What a card of MusicVAE says, beyond what every card says: from config.json, processor_config.json and metrics.json.

Where the entry in index.json has a `flat_twin`, a model trained alike with a flat decoder, that model's metrics are in
metrics_flat.json.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from .figures import (
    FEEL_COLUMNS,
    Metric,
    check_metrics,
    check_twin,
    feel_of,
    feel_table,
    interpolation_table,
    main_table,
    metrics_of,
)
from .figures_multitracks import band_tables, harmony_metrics, headline_metrics, multitrack_metrics, operation_metrics
from .files import read_json, tensor_shapes

TASK = "reconstruction and sampling"
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 8: "eight", 16: "sixteen", 32: "thirty-two"}
# What a representation holds, and what happens in it, in words.
MUSIC = {
    "melody": "a melody",
    "drums": "drums",
    "drum_roll": "drums",
    "trio": "melody, bass and drums",
    "groove": "drums with feel",
    "multitrack": "up to eight instruments",
}
EVENTS = {
    "melody": "a note begins or ends",
    "multitrack": "a note begins or ends",
    "trio": "a note begins or ends, a drum is hit",
}


def music_vae_values(folder: Path, facts: dict) -> tuple[list[Metric], dict[str, Any]]:
    """The metrics for the card's metadata, and the values that its template needs.

    Args:
        folder: Of the checkpoint.
        facts: The model's entry in index.json.

    Raises:
        HubError: The model has not been trained, or not evaluated as the card needs it.
    """
    recipe, representation = facts["recipe"], facts["representation"]
    config = read_json(folder / "config.json", "train the model first", recipe)
    processor = read_json(folder / "processor_config.json", "train the model first", recipe)
    count = NUMBERS.get(processor["num_bars"], str(processor["num_bars"]))
    length = f"{count} bar" if processor["num_bars"] == 1 else f"{count} bars"
    metrics = read_json(folder / "metrics.json", "evaluate the model first", recipe)
    is_multitrack, has_chords = representation == "multitrack", bool(processor.get("chords"))
    shown = multitrack_metrics(metrics, length) if is_multitrack else metrics_of(representation, length)
    results, beside = list(shown), []
    if representation == "groove":
        given = [replace(metric, name=f"{metric.name}, hits given") for metric in feel_of(metrics, "known_hits")]
        results += [*feel_of(metrics, "likeliest"), *given]
        beside = [metric for way in FEEL_COLUMNS for metric in feel_of(metrics, way)]
    if is_multitrack and has_chords:
        results += headline_metrics()
        beside = harmony_metrics() + operation_metrics()
    check_metrics(metrics, shown + beside, folder / "metrics.json")
    twin = _read_twin(folder, facts, metrics, shown) if "flat_twin" in facts else None
    paper = {"paper (Table 1)": facts["paper_figures"]}
    if "paper_flat_figures" in facts:
        paper = {"paper, hierarchical": facts["paper_figures"], "paper, flat": facts["paper_flat_figures"]}
    attributes = folder / "attribute_vectors.safetensors"
    tensors = tensor_shapes(folder / "model.safetensors")
    return results, {
        "metrics": metrics,
        "latent_size": config["latent_size"],
        "num_steps": config["max_sequence_length"],
        "levels": config.get("decoder_level_lengths"),
        "num_bars": processor["num_bars"],
        "drums": len(processor.get("drum_classes") or []),
        "music": MUSIC[representation],
        "events": EVENTS.get(representation, "a drum is hit"),
        "length": length,
        "bars": f"{count}-bar",
        "corruptions": processor.get("corruptions") or [],
        "parameters": millions(sum(math.prod(shape) for shape in tensors.values())),
        "is_half": config.get("dtype") in ("float16", "bfloat16"),
        "figures": main_table(shown, metrics, twin, paper),
        "twin": twin and facts["flat_twin"] | {"parameters": millions(twin["num_parameters"])},
        "sample_rows": NUMBERS[sum("samples." in metric.path for metric in shown)],
        "feel": feel_table(metrics) if representation == "groove" else None,
        "chords": has_chords,
        "band": band_tables(metrics, has_chords) if is_multitrack else None,
        "path": interpolation_table(metrics),
        "has_attribute_vectors": attributes.is_file(),
        "attribute_names": [f"`{key}`" for key in tensor_shapes(attributes)] if attributes.is_file() else [],
    }


def _read_twin(folder: Path, facts: dict, metrics: dict, shown: list[Metric]) -> dict:
    """metrics_flat.json, measured as metrics.json was."""
    path = folder / "metrics_flat.json"
    twin = read_json(path, "evaluate the flat twin first", facts["recipe"])
    check_metrics(twin, [*shown, Metric("num_parameters", "parameters")], path)
    check_twin(metrics, twin, path)
    return twin


def millions(count: int) -> str:
    """A number of parameters in words."""
    return f"{count / 1e6:.1f} million"

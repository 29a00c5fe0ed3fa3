"""What a card of WaveGrad says, beyond what every card says: from the folders of a pipeline's components and metrics.json.

metrics_1000.json is read, too, where it is there: 1000 steps take long, and may have been measured on fewer clips.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hub_models.wavegrad import preset

from .figures import Metric
from .figures_wavegrad import (
    check_wavegrad_metrics,
    figures_of,
    kinds_of,
    quality_table,
    schedule_names,
    schedules_table,
    settings_table,
    verdicts,
    window_offset,
)
from .files import read_json, tensor_dtypes, tensor_shapes

TASK = "copy synthesis"
WEIGHTS = "model/diffusion_pytorch_model.safetensors"
FEW_STEPS = "6"


def wavegrad_values(folder: Path, facts: dict) -> tuple[list[Metric], dict[str, Any]]:
    """The metrics for the card's metadata, and the values that its template needs.

    Args:
        folder: Of the pipeline.
        facts: The model's entry in index.json.

    Raises:
        HubError: The model has not been trained, or not evaluated as the card needs it.
    """
    recipe = facts["recipe"]
    model = read_json(folder / "model" / "config.json", "train the model first", recipe)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json", "train the model first", recipe)
    settings = read_json(folder / "feature_extractor" / "preprocessor_config.json", "train the model first", recipe)
    metrics = read_json(folder / "metrics.json", "evaluate the model first", recipe)
    check_wavegrad_metrics(metrics, folder / "metrics.json")
    long_path, long_metrics = folder / "metrics_1000.json", None
    if long_path.is_file():
        long_metrics = read_json(long_path)
        check_wavegrad_metrics(long_metrics, long_path)
    own = [key for key, result in metrics["results"].items() if "num_steps" in result]
    judged = FEW_STEPS if FEW_STEPS in own else min(own, key=lambda key: metrics["results"][key]["num_steps"])
    tensors = tensor_shapes(folder / WEIGHTS)
    return figures_of(metrics), {
        "metrics": metrics,
        "kinds": kinds_of(metrics)[1:],
        "tables": {kind: quality_table(metrics, kind) for kind in kinds_of(metrics)},
        "judged_steps": metrics["results"][judged]["num_steps"],
        "verdicts": verdicts(metrics, judged),
        "long_metrics": long_metrics,
        "long_table": long_metrics and quality_table(long_metrics),
        "parameters": f"{sum(math.prod(shape) for shape in tensors.values()) / 1e6:.1f} million",
        "is_narrower": model["mel_channels"] < preset(facts["preset"])["mel_channels"],
        "is_half": tensor_dtypes(folder / WEIGHTS) <= {"F16", "BF16"},
        "sample_rate": settings["sampling_rate"],
        "bands": model["num_mel_bands"],
        "hop_length": settings["hop_length"],
        "settings": settings_table(settings),
        "offset": window_offset(settings),
        "window_normalized": settings["window_normalized"],
        "schedules": schedules_table(scheduler),
        "schedule_names": schedule_names(scheduler),
    }

"""A tiny WaveGrad with random weights, recordings, and figures as `evaluate` measures them."""

import csv
import json
from pathlib import Path

import numpy as np
import soundfile
import torch

from hub_models.wavegrad import WaveGradFeatureExtractor, WaveGradModel, WaveGradPipeline, WaveGradScheduler, preset

SAMPLE_RATE = 22_050
TINY = {"num_mel_bands": 8, "mel_channels": 6, "down_channels": [4] * 5, "up_channels": [6, 4, 4, 4, 4]}
KINDS = {"chord.wav": "music", "scale.wav": "music", "vowel.wav": "speech"}


def tiny_pipeline(**settings) -> WaveGradPipeline:
    """`settings` are those of the feature extractor."""
    torch.manual_seed(0)
    extractor = WaveGradFeatureExtractor(**{"feature_size": TINY["num_mel_bands"], "sampling_rate": SAMPLE_RATE} | settings)
    model = WaveGradModel(**preset("wavegrad-lmnt", **TINY), mel_settings=extractor.mel_settings)
    for parameter in model.parameters():  # biases, too, so that nothing that is lost or mixed up can go unheard
        torch.nn.init.normal_(parameter, std=0.3)
    pipeline = WaveGradPipeline(model, WaveGradScheduler(), extractor)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def write_recordings(folder: Path) -> Path:
    """Clips of a third of a second and splits.csv; returns the latter's path."""
    time = np.arange(7000) / SAMPLE_RATE
    for number, name in enumerate(KINDS, start=2):
        sound = sum(np.sin(2 * np.pi * 110 * number * partial * time) / partial for partial in range(1, 5))
        soundfile.write(folder / name, 0.2 * sound, SAMPLE_RATE)
    with (folder / "splits.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "split", "kind"])
        rows.writerows([name, "validation", kind] for name, kind in KINDS.items())
    return folder / "splits.csv"


def write_pipeline(folder: Path, recordings: Path, steps: tuple[int, ...] = (2, 6)) -> Path:
    """The pipeline's folder, with metrics.json."""
    from hub_models.wavegrad.evaluate import main

    tiny_pipeline().save_pretrained(folder)
    splits = write_recordings(recordings)
    arguments = ["--model", str(folder), "--data", str(recordings), "--splits", str(splits), "--split", "validation"]
    arguments += ["--steps", *map(str, steps), "--griffin-lim", "1", "2", "--output", str(folder / "metrics.json")]
    main(arguments)
    return folder


def change_json(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))

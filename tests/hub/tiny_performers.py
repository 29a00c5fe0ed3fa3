"""Tiny Transformer Autoencoders of every kind, piano music, and what `evaluate` measures of the ones on the other."""

import shutil
from pathlib import Path

import numpy as np
import pretty_midi
import torch

from hub_models import (
    TransformerAutoencoderConfig,
    TransformerAutoencoderForConditionalGeneration,
    TransformerAutoencoderProcessor,
)
from hub_models.transformer_autoencoder.evaluate import main as evaluate

CONTEXT = 64
KINDS = {
    "unconditional": {},
    "performance": {"performance_encoder": "style"},
    "melody": {"melody_encoder": True},
    "melody_performance": {"performance_encoder": "style", "melody_encoder": True},
}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_encoder_layers": 1,
    "num_attention_heads": 2,
    "key_size": None,
    "intermediate_size": 32,
    "max_relative_position": 32,
    "context_length": CONTEXT,
}


def write_performer(folder: Path, kind: str, seed: int = 0) -> Path:
    """Model and processor; the model has random weights and likes to play notes in the middle of the keyboard."""
    torch.manual_seed(seed)
    model = TransformerAutoencoderForConditionalGeneration(TransformerAutoencoderConfig(**SIZES, **KINDS[kind]))
    likely = torch.full((310,), -3.0)
    likely[[0, 1]] = -30.0  # neither padding nor an end
    likely[2 + 27 : 2 + 64] = 0.5  # notes begin
    likely[90 + 27 : 90 + 64] = 1.0  # and end
    likely[178 + 4 : 178 + 40] = 2.0  # some time passes
    likely[278 + 8 : 278 + 28] = 0.0  # neither very soft nor very loud
    with torch.no_grad():  # the bias of the last norm reaches the logits through the rows of the output layer
        bias = torch.ones(SIZES["hidden_size"])
        model.model.decoder.norm.bias.copy_(bias)
        model.lm_head.weight.add_(likely[:, None] * bias / bias.square().sum())
    model.generation_config.do_sample, model.generation_config.temperature = True, 0.9
    model.save_pretrained(folder)
    TransformerAutoencoderProcessor(context_length=CONTEXT).save_pretrained(folder)
    return folder


def write_performance(path: Path, seed: int = 0, num_notes: int = 120) -> Path:
    """A melody with chords under it, played neither in time nor evenly."""
    draw = np.random.default_rng(seed)
    midi, piano = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(0)
    centre, loudness, pace = draw.integers(55, 75), draw.integers(50, 100), draw.uniform(0.15, 0.4)
    time = 0.0
    for number in range(num_notes):
        pitches = [centre + int(draw.integers(-7, 8))] + ([centre - 19, centre - 15] if number % 4 == 0 else [])
        for pitch in pitches:
            velocity = int(loudness + draw.integers(-12, 13))
            piano.notes.append(pretty_midi.Note(velocity, int(pitch), time, time + pace * draw.uniform(0.5, 1.5)))
        time += pace * draw.uniform(0.8, 1.2)
    midi.instruments.append(piano)
    midi.write(str(path))
    return path


def write_measured(folder: Path, kind: str, siblings: tuple[str, ...] = ()) -> Path:
    """A model with metrics.json, and metrics_<kind>.json of siblings, as `evaluate` writes them."""
    music, splits = folder / "music", ["file,split,composition_group"]
    music.mkdir(parents=True)
    for number in range(5):
        piece = write_performance(music / f"piece-{number}.mid", seed=number)
        splits.append(f"{piece.name},validation,work-{number}")
    (music / "splits.csv").write_text("\n".join(splits))
    data = ["--data", str(music), "--splits", str(music / "splits.csv"), "--split", "validation"]
    measured = []
    for number, name in enumerate((*siblings, kind)):
        model = write_performer(folder / name, name, seed=number)
        output = folder / kind / ("metrics.json" if name == kind else f"metrics_{name}.json")
        options = [
            "--length",
            str(CONTEXT),
            "--max-segments",
            "8",
            "--num-performances",
            "4",
            "--num-tokens",
            "48",
            "--num-proc",
            "1",
        ]
        options += ["--compare-with", *map(str, measured)] if measured else []
        evaluate(["--model", str(model), *data, "--output", str(output), *options])
        measured.append(output)
    for name in siblings:
        shutil.rmtree(folder / name)
    return folder / kind

"""Tiny models of every kind with figures as `evaluate` measures them, and music that all of them can read."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pretty_midi
import torch

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor
from hub_models.music_vae.band import Band
from hub_models.music_vae.evaluate import (
    evaluate_attributes,
    evaluate_band_samples,
    evaluate_harmony,
    evaluate_interpolation,
    evaluate_operations,
    evaluate_reconstruction,
    evaluate_samples,
)
from hub_models.music_vae.note_sequence import NoteSequence, read_midi

TINY = {"latent_size": 6, "encoder_hidden_sizes": [8], "decoder_hidden_sizes": [8]}
CONDITIONS = {
    "data": ["some-music"],
    "split": "validation",
    "num_files": 56,
    "num_examples": 1234,
    "num_samples": 1000,
    "latents": "sample",
    "temperature": 1.0,
    "seed": 0,
}


def write_checkpoint(folder: Path, preset: str, flat_twin: bool = False) -> Path:
    """Model, processor and metrics.json, and metrics_flat.json where a twin is asked for."""
    model, processor = tiny_model(preset), MusicVAEProcessor.from_preset(preset)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    metrics = measure(model, processor)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    if flat_twin:
        (folder / "metrics_flat.json").write_text(json.dumps(metrics | {"num_parameters": 1_500_000}))
    return folder


def tiny_model(preset: str) -> MusicVAEModel:
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig.from_preset(preset, **TINY)).eval()
    if model.config.end_token is not None:  # a few notes, and soon an end
        model.decoder.core.output_projection.bias.data[[60, 64, 67, model.config.end_token]] = 5.0
    return model


def measure(model: MusicVAEModel, processor: MusicVAEProcessor) -> dict:
    """What `evaluate` writes, of six examples that the model made up."""
    is_band = processor.representation == "multitrack"
    examples = measures(processor) if is_band else model.sample(6, generator=torch.Generator().manual_seed(7)).numpy()
    report = {
        **CONDITIONS,
        "reconstruction": evaluate_reconstruction(model, processor, examples),
        "samples": evaluate_samples(model, processor, examples, num_samples=4),
        "interpolation": evaluate_interpolation(model, processor, examples, np.arange(6), num_pairs=2),
    }
    if is_band:
        vectors = {"strings": torch.ones(TINY["latent_size"]), "loudness": torch.zeros(TINY["latent_size"])}
        band = Band(model, processor, vectors)
        report["band_samples"] = evaluate_band_samples(band, examples, num_samples=4)
        report["attributes"] = evaluate_attributes(band, examples)
        if processor.chords:
            report["harmony"] = evaluate_harmony(model, processor, examples, num_samples=4, num_styles=2)
            report["operations"] = evaluate_operations(band, examples, np.arange(6), num_songs=2, num_bars=4)
            # What so small a model plays need not have anything to be measured.
            fill_gaps(report)
    return report


def measures(processor: MusicVAEProcessor) -> np.ndarray:
    """Six bars of music."""
    with tempfile.TemporaryDirectory() as folder:
        return processor.extract(NoteSequence.from_pretty_midi(read_midi(write_song(Path(folder) / "song.mid")))).examples[
            :6
        ]


def fill_gaps(report: dict):
    """Numbers in the place of those that could not be measured."""
    for name, value in report.items():
        if isinstance(value, dict):
            fill_gaps(value)
        elif value is None:
            report[name] = 0.125


def write_song(path: Path, num_bars: int = 17) -> Path:
    """Melody, bass and drums in 4/4 at 120 quarters per minute, no two bars alike."""
    midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
    melody, bass = pretty_midi.Instrument(0, name="Piano"), pretty_midi.Instrument(33, name="Bass")
    drums = pretty_midi.Instrument(0, is_drum=True, name="Drums")
    for beat in range(4 * num_bars):
        start = beat * 0.5
        melody.notes.append(pretty_midi.Note(90, 60 + beat % 13, start, start + 0.4))
        bass.notes.append(pretty_midi.Note(90, 36 + beat % 7, start, start + 0.4))
        for pitch, offset in ((36 if beat % 2 == 0 else 38, 0.0), (42, 0.0), (42, 0.25)):
            drums.notes.append(pretty_midi.Note(80 + beat % 40, pitch, start + offset, start + offset + 0.1))
    midi.instruments += [melody, bass, drums]
    midi.write(str(path))
    return path

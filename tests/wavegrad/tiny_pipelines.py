"""Pipelines small enough to test with: real hop and context, few channels, seeded weights."""

import numpy as np
import torch

from hub_models.wavegrad import WaveGradFeatureExtractor, WaveGradModel, WaveGradPipeline, WaveGradScheduler, preset

BANDS = 8
SAMPLE_RATE = 8000
FEATURES = {"feature_size": BANDS, "sampling_rate": SAMPLE_RATE, "n_fft": 1024, "win_length": 600, "hop_length": 300}


def tiny_model(seed: int = 0, **overrides) -> WaveGradModel:
    """hop 300, 4 frames of context, as the published network."""
    sizes = {"num_mel_bands": BANDS, "mel_channels": 6, "down_channels": [4] * 5, "up_channels": [4] * 5}
    torch.manual_seed(seed)
    return WaveGradModel(**preset("wavegrad-lmnt", **sizes | overrides)).eval()


def tiny_pipeline(seed: int = 0, schedules: dict | None = None, **overrides) -> WaveGradPipeline:
    """Its default schedule has 3 steps with much noise, so that noise that differs is heard."""
    feature_extractor = WaveGradFeatureExtractor(**FEATURES)
    model = tiny_model(seed, mel_settings=feature_extractor.mel_settings, **overrides)
    scheduler = WaveGradScheduler(
        schedules={"3": [1e-3, 0.05, 0.3], "2": [1e-2, 0.2]} | (schedules or {}), default_schedule="3"
    )
    pipeline = WaveGradPipeline(model, scheduler, feature_extractor)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_mel(frames: int, batch_size: int = 1, seed: int = 0) -> torch.Tensor:
    """(B, M, F) in 0..1."""
    return torch.rand(batch_size, BANDS, frames, generator=torch.Generator().manual_seed(seed))


def tone(samples: int, frequency: float = 440.0) -> np.ndarray:
    """(T,) float32."""
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(samples) / SAMPLE_RATE)).astype(np.float32)


def seeded(*seeds: int) -> torch.Generator | list[torch.Generator]:
    """One generator, or a list of several."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return generators[0] if len(generators) == 1 else generators

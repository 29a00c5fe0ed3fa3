"""How good a noise schedule is on real clips: the log-mel distance of copy synthesis, the same noise for every schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .clips import Clip
from .metrics import all_metrics, log_mel_mse
from .pipeline_wavegrad import WaveGradPipeline
from .results_cache import ResultsCache, fingerprint_of, key_of


class ScheduleScores:
    """Scores schedules of one length on a fixed set of clips.

    Schedules share the spectrograms, the features that the network makes of them, and the noise. They cannot share steps:
    each beta changes the noise level of its own step and of all noisier ones, and the noisiest comes first, so two schedules
    that differ in one place differ from the first step on.

    Args:
        pipeline: the model, and its scheduler for the arithmetic of a step.
        clips: all of one length.
        seed: of the noise; each clip has its own.
        cache: of scores by model, clip, seed and betas.
        batch_size: clips synthesised at a time; between batches a score may be found too high already.
    """

    def __init__(
        self, pipeline: WaveGradPipeline, clips: Sequence[Clip], seed: int, cache: ResultsCache, batch_size: int = 4
    ):
        self.pipeline = pipeline
        self.clips = list(clips)
        self.seed = seed
        self.cache = cache
        self.batches = [self.clips[start : start + batch_size] for start in range(0, len(self.clips), batch_size)]
        self.fingerprint = fingerprint_of(pipeline)
        self.num_synthesised = 0  # clips, for the report; those in the cache do not count
        self._inputs: dict[int, tuple[Tensor, ...]] = {}

    def score(self, betas: Sequence[float], bound: float = math.inf) -> float | None:
        """Mean LS-MSE (`log_mel_mse`) over the clips.

        Args:
            betas: the one of the last step first.
            bound: scores that reach it are of no interest.

        Returns:
            None as soon as it is certain that the score is not below the bound: no clip can lower the sum again.
        """
        betas = [float(beta) for beta in betas]
        total = 0.0
        for number in range(len(self.batches)):
            total += sum(self._scores_of_batch(number, betas))
            if total / len(self.clips) >= bound:
                return None
        return total / len(self.clips)

    def figures(self, betas: Sequence[float]) -> dict[str, float]:
        """All metrics of [`hub_models.wavegrad.metrics`], means over the clips."""
        betas = [float(beta) for beta in betas]
        rows = []
        for number, batch in enumerate(self.batches):
            keys = [key_of("figures", self.fingerprint, clip.fingerprint, self.seed, betas) for clip in batch]
            if any(self.cache.get(key) is None for key in keys):
                audio, reference = self._synthesise(number, betas)
                figures = all_metrics(audio, reference, self.pipeline.sample_rate)
                for item, key in enumerate(keys):
                    self.cache.put(key, {name: figure[item].item() for name, figure in figures.items()})
            rows += [self.cache.get(key) for key in keys]
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def _scores_of_batch(self, number: int, betas: list[float]) -> list[float]:
        keys = [key_of("score", self.fingerprint, clip.fingerprint, self.seed, betas) for clip in self.batches[number]]
        if any(self.cache.get(key) is None for key in keys):
            audio, reference = self._synthesise(number, betas)
            for key, value in zip(keys, log_mel_mse(audio, reference, self.pipeline.sample_rate).tolist(), strict=True):
                # A schedule that makes noise of numbers is as bad as can be, and JSON has no infinity.
                self.cache.put(key, value if math.isfinite(value) else 1e9)
        return [self.cache.get(key) for key in keys]

    @torch.no_grad()
    def _synthesise(self, number: int, betas: list[float]) -> tuple[Tensor, Tensor]:
        """Copies of the clips of a batch, and the clips, each (B, T) on the model's device."""
        model, scheduler = self.pipeline.model, self.pipeline.scheduler
        reference, mel, features = self._inputs_of_batch(number)
        scheduler.set_timesteps(betas=betas, device=self.pipeline.device)
        generators = [clip.generator(self.seed) for clip in self.batches[number]]
        # (steps, B, T), from the same numbers for all schedules
        noise = torch.stack(
            [torch.randn(len(betas), reference.shape[1], generator=generator) for generator in generators], dim=1
        ).to(self.pipeline.device)
        sample = noise[0] * scheduler.init_noise_sigma
        for step, timestep in enumerate(scheduler.timesteps):
            estimate = model(sample.to(model.dtype), scheduler.noise_level(timestep), mel, mel_features=features).sample
            variance_noise = noise[step + 1] if step + 1 < len(betas) else None
            sample = scheduler.step(estimate.float(), timestep, sample, variance_noise=variance_noise).prev_sample
        self.num_synthesised += len(generators)
        return sample, reference

    def _inputs_of_batch(self, number: int) -> tuple[Tensor, Tensor, object]:
        """Recordings (B, T), spectrograms (B, M, F) and the network's features of them, made once."""
        if number not in self._inputs:
            pipeline = self.pipeline
            reference = torch.stack([clip.audio for clip in self.batches[number]]).to(pipeline.device)
            frames = reference.shape[1] // pipeline.feature_extractor.hop_length
            mel = pipeline.feature_extractor.log_mel(reference)[..., :frames].to(pipeline.model.dtype)
            self._inputs[number] = (reference, mel, pipeline.model.encode_mel(mel))
        return self._inputs[number]

"""A piece as the sound models hear it: re-voiced by WaveGrad, continued or re-imagined by Jukebox."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..clips import Clip, Origin
from .parts import CompositionError

if TYPE_CHECKING:
    from ..composition import Composition

VOCODER, JUKEBOX = "wavegrad-music-22khz", "jukebox-tiny"
RENDERED_RATE = 44_100
CROSSFADE_SECONDS = 0.05


def revoice(piece: Composition, pipeline: Any = None, seed: int = 0, seconds: float | None = None, **options: Any) -> Clip:
    """The mix through WaveGrad: its mel spectrogram, and sound made of that again.

    Args:
        pipeline: a `WaveGradPipeline`; None: the bundled one.
        seconds: of its beginning; None: all of it.
        options: further arguments of the pipeline, such as `num_inference_steps`.
    """
    import torch

    from .. import WaveGradPipeline, bundled

    pipeline = WaveGradPipeline.from_pretrained(bundled(VOCODER)) if pipeline is None else pipeline
    rate = pipeline.sample_rate
    heard = _mono(piece, rate, seconds)
    made = pipeline(audio=heard, sampling_rate=rate, generator=torch.Generator().manual_seed(seed), **options).audios[0]
    return _clip(piece, np.asarray(made), rate, "re-voiced", "Re-voice with WaveGrad", VOCODER, seed)


def go_on(piece: Composition, seconds: float = 4.0, sampler: Any = None, seed: int = 0, **options: Any) -> Clip:
    """The whole mix, and behind it what Jukebox makes of its last seconds.

    Args:
        seconds: how much is added.
        sampler: a `JukeboxSampler`; None: the bundled one.
        options: further arguments of `SamplingPlan`, such as `songs` and `temperatures`.
    """
    sampler = _sampler(sampler)
    rate = sampler.sampling_rate
    heard = _mono(piece, rate, piece.seconds)
    prompt_seconds = min(2.0, len(heard) / rate / 2)
    prompt = heard[-round(prompt_seconds * rate) :]
    made = _primed(sampler, prompt, prompt_seconds, prompt_seconds + seconds, seed, options)
    joined = _joined(heard, made[len(prompt) - round(CROSSFADE_SECONDS * rate) :], round(CROSSFADE_SECONDS * rate))
    return _clip(piece, joined, rate, "continued", "Continue with Jukebox", JUKEBOX, seed)


def reimagine(
    piece: Composition, kept_seconds: float = 1.0, seconds: float = 6.0, sampler: Any = None, seed: int = 0, **options: Any
) -> Clip:
    """The first `kept_seconds` of the mix, and what Jukebox goes on with instead, `seconds` in all; arguments as of
    `go_on`.

    Raises:
        CompositionError: nothing would be left to imagine.
    """
    if not 0 < kept_seconds < seconds:
        raise CompositionError(f"What is kept must be shorter than the whole: {kept_seconds:g} of {seconds:g} seconds.")
    sampler = _sampler(sampler)
    rate = sampler.sampling_rate
    made = _primed(sampler, _mono(piece, rate, kept_seconds), kept_seconds, seconds, seed, options)
    return _clip(piece, made, rate, "re-imagined", "Re-imagine with Jukebox", JUKEBOX, seed)


def _sampler(sampler: Any) -> Any:
    from .. import JukeboxSampler, bundled

    return JukeboxSampler(bundled(JUKEBOX)) if sampler is None else sampler


def _primed(sampler: Any, prompt: np.ndarray, kept: float, seconds: float, seed: int, options: dict) -> np.ndarray:
    """(samples,) that begin with a prompt (samples,) as the model hears it."""
    from ..jukebox import SamplingPlan

    options = {"temperatures": 0.95, **options}
    plan = SamplingPlan(mode="primed", prompt_seconds=kept, seconds=seconds, seed=seed, **options)
    return sampler.sample(plan, prompt=prompt).finest_audio[0].numpy().mean(axis=-1)


def _mono(piece: Composition, sample_rate: int, seconds: float | None) -> np.ndarray:
    """(samples,) of the mix at any rate, or its first seconds."""
    from .. import audio

    sound = audio.mono(audio.resample(piece.audio(RENDERED_RATE), RENDERED_RATE, sample_rate))
    return sound if seconds is None else sound[: round(seconds * sample_rate)]


def _joined(first: np.ndarray, second: np.ndarray, overlap: int) -> np.ndarray:
    """Two sounds (samples,), the second faded in over the end of the first."""
    fade = np.linspace(0.0, 1.0, overlap, dtype=np.float32)
    middle = first[-overlap:] * (1 - fade) + second[:overlap] * fade
    return np.concatenate([first[:-overlap], middle, second[overlap:]])


def _clip(piece: Composition, sound: np.ndarray, rate: int, what: str, action: str, model: str, seed: int) -> Clip:
    mix = piece.clip()
    # No endpoint gives it: it is its own source, and says of which piece it was made.
    origin = Origin(action=action, model=model, seed=seed, parents=(mix.id,))
    clip = Clip.from_audio(np.asarray(sound, dtype=np.float32), f"{piece.title}, {what}", sample_rate=rate, origin=origin)
    return replace(clip, tempo=piece.tempo, key=piece.key)

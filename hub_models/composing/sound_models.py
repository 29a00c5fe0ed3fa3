"""A piece as the sound models hear it: continued or re-imagined by Jukebox, re-voiced by WaveGrad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..clips import Call, Clip, Origin
from .parts import CompositionError

if TYPE_CHECKING:
    from ..composition import Composition

CONTINUE, REIMAGINE, REVOICE = WAYS = ("continue", "reimagine", "revoice")
ENDPOINT = "/develop"
# The place of the state among what /compose gives, see `composition.OUTPUTS`.
STATE_OUTPUT = 6
VOCODER, JUKEBOX = "wavegrad-music-22khz", "jukebox-tiny"
RENDERED_RATE = 44_100
# What Jukebox goes on from, and how long the two sounds run into one another where it does.
PROMPT_SECONDS, CROSSFADE_SECONDS = 2.0, 0.05
DONE = {CONTINUE: "continued", REIMAGINE: "re-imagined", REVOICE: "re-voiced"}
ACTIONS = {
    CONTINUE: "Continue with Jukebox",
    REIMAGINE: "Re-imagine with Jukebox",
    REVOICE: "Re-voice with WaveGrad",
}

# Told the share that is done, 0..1, and what is being done; what it raises ends the work.
Progress = Callable[[float, str], None]


def revoice(
    piece: Composition,
    seconds: float | None = None,
    pipeline: Any = None,
    seed: int = 0,
    *,
    model: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Clip:
    """The mix through WaveGrad: its mel spectrogram, and sound made of that again.

    Args:
        seconds: of its beginning; None: all of it.
        pipeline: a `WaveGradPipeline`; None: the bundled one.
        model: what the origin of the clip calls the pipeline; None: nothing, unless it is the bundled one.
        options: further arguments of the pipeline, such as `num_inference_steps`.
    """
    import torch

    from .. import WaveGradPipeline, bundled

    if pipeline is None:
        pipeline, model = WaveGradPipeline.from_pretrained(bundled(VOCODER)), VOCODER
    rate = pipeline.sample_rate
    heard = _mono(piece, rate, piece.seconds if seconds is None else min(seconds, piece.seconds))

    def on_step(pipeline: Any, index: int, timestep: Any, tensors: dict) -> dict:
        if progress:
            done = index + 1
            progress(done / pipeline.num_timesteps, f"WaveGrad, step {done} of {pipeline.num_timesteps}")
        return {}

    generator = torch.Generator().manual_seed(seed)
    given = {"generator": generator, "callback_on_step_end": on_step, **options}
    made = pipeline(audio=heard, sampling_rate=rate, **given).audios[0]
    return _clip(piece, np.asarray(made), rate, REVOICE, model, seconds, seed, is_plain=not options)


def go_on(
    piece: Composition,
    seconds: float = 4.0,
    sampler: Any = None,
    seed: int = 0,
    *,
    model: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Clip:
    """The sixteen bars of the mix without its ending, and behind them what Jukebox makes of their last seconds.

    Args:
        seconds: how much is added.
        sampler: a `JukeboxSampler`; None: the bundled one.
        model: as of `revoice`.
        options: further arguments of `SamplingPlan`, such as `songs` and `temperatures`.

    Raises:
        ValueError: the model cannot make so much of it; says what it can.
    """
    sampler, model = _sampler(sampler, model)
    rate, body = sampler.sampling_rate, piece.with_levels(ending=False)
    heard = _mono(body, rate, body.seconds)
    kept = min(PROMPT_SECONDS, len(heard) / rate / 2)
    prompt, fade = heard[-round(kept * rate) :], round(CROSSFADE_SECONDS * rate)
    made = _primed(sampler, prompt, kept, kept + seconds, seed, progress, options)
    joined = _joined(heard, made[len(prompt) - fade :], fade)
    return _clip(piece, joined, rate, CONTINUE, model, seconds, seed, is_plain=not options)


def reimagine(
    piece: Composition,
    seconds: float = 6.0,
    sampler: Any = None,
    seed: int = 0,
    kept_seconds: float = PROMPT_SECONDS,
    *,
    model: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Clip:
    """The first `kept_seconds` of the mix, and what Jukebox goes on with instead, `seconds` in all; arguments as of
    `go_on`.

    Raises:
        ValueError: nothing would be left to imagine, or the model cannot make so much; says what is possible.
    """
    if not 0 < kept_seconds < seconds:
        raise CompositionError(f"What is kept must be shorter than the whole: {kept_seconds:g} of {seconds:g} seconds.")
    sampler, model = _sampler(sampler, model)
    rate = sampler.sampling_rate
    made = _primed(sampler, _mono(piece, rate, kept_seconds), kept_seconds, seconds, seed, progress, options)
    is_plain = not options and kept_seconds == PROMPT_SECONDS
    return _clip(piece, made, rate, REIMAGINE, model, seconds, seed, is_plain=is_plain)


def _sampler(sampler: Any, model: str | None) -> tuple[Any, str | None]:
    from .. import JukeboxSampler, bundled

    return (JukeboxSampler(bundled(JUKEBOX)), JUKEBOX) if sampler is None else (sampler, model)


def _primed(
    sampler: Any, prompt: np.ndarray, kept: float, seconds: float, seed: int, progress: Progress | None, options: dict
) -> np.ndarray:
    """(samples,) that begin with a prompt (samples,) as the model hears it."""
    from ..jukebox import SamplingPlan

    levels = sampler.config.nb_priors

    def on_progress(look: Any) -> None:
        if progress:
            left = "" if look.seconds_left is None else f", about {look.seconds_left:.0f} s left"
            progress(look.tokens / max(1, look.total_tokens), f"Jukebox, level {look.level + 1} of {levels}{left}")

    plan = SamplingPlan(mode="primed", prompt_seconds=kept, seconds=seconds, seed=seed, **{"temperatures": 0.95, **options})
    result = sampler.sample(plan, prompt=prompt, on_progress=on_progress)
    return result.finest_audio[0].float().mean(dim=-1).clamp(-1, 1).cpu().numpy()


def _mono(piece: Composition, sample_rate: int, seconds: float) -> np.ndarray:
    """(samples,) of the first seconds of the mix, at any rate."""
    from .. import audio

    sound = audio.mono(audio.resample(piece.audio(RENDERED_RATE), RENDERED_RATE, sample_rate))
    return sound[: round(seconds * sample_rate)]


def _joined(first: np.ndarray, second: np.ndarray, overlap: int) -> np.ndarray:
    """Two sounds (samples,), the second faded in over the end of the first."""
    fade = np.linspace(0.0, 1.0, overlap, dtype=np.float32)
    middle = first[-overlap:] * (1 - fade) + second[:overlap] * fade
    return np.concatenate([first[:-overlap], middle, second[overlap:]])


def _clip(
    piece: Composition,
    sound: np.ndarray,
    rate: int,
    way: str,
    model: str | None,
    seconds: float | None,
    seed: int,
    is_plain: bool,
) -> Clip:
    """The result; what was made with options that the endpoint has not, or by a model without a name, is its own source."""
    mix = piece.clip()
    calls: tuple[Call, ...] = ()
    if model and is_plain:
        (made_piece,) = mix.origin.calls
        told = {"way": way, "seconds": seconds, "seed": seed, "model": model}
        calls = (made_piece, Call(ENDPOINT, {"state": Call.result(0, STATE_OUTPUT), **told}))
    origin = Origin(
        action=ACTIONS[way], model=model, settings={} if seconds is None else {"seconds": seconds}, seed=seed,
        parents=(mix.id,), calls=calls,
    )  # fmt: skip
    name = f"{piece.title}, {DONE[way]}"
    clip = Clip.from_audio(np.asarray(sound, dtype=np.float32), name, sample_rate=rate, origin=origin)
    return replace(clip, tempo=piece.tempo, key=piece.key)

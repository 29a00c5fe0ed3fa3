"""How fast a Jukebox model is on this machine: tokens of each level, the VQ-VAE, and the whole chain."""

import time
from collections.abc import Callable
from typing import Any

import torch
from tqdm.auto import tqdm

from .modeling_jukebox import JukeboxModel
from .reconstruction_metrics import level_name
from .sampling import JukeboxSampler
from .sampling_plan import SamplingPlan

WARM_UP_TOKENS = 16


@torch.inference_mode()
def evaluate_speed(model: JukeboxModel, seconds: float, batch_size: int = 1, seed: int = 0) -> dict[str, Any]:
    """Measure the wall time of each part, once it has run for a moment.

    Args:
        model: in evaluation mode.
        seconds: of sound to encode, to decode and to sample; at least the context of the top level's prior is sampled.
        batch_size: samples at the same time.
        seed: of what is drawn.

    Returns:
        Tokens per second of each level (of all samples together, over one context), seconds of computing per second of sound
        for the VQ-VAE, and for the whole chain of one sample.
    """
    config = model.config.vqvae_config
    levels, rate = config.levels, config.sampling_rate
    report: dict[str, Any] = {"batch_size": batch_size, "tokens_per_second": {}, "decode_seconds_per_second": {}}
    for prior in tqdm(model.priors, desc="speed", unit="level"):
        of_prior = prior.config
        metadata = torch.zeros(batch_size, 4 + of_prior.max_nb_genres + of_prior.nb_relevant_lyric_tokens, dtype=torch.long)
        metadata[:, 0] = int(max(of_prior.min_duration * rate, of_prior.n_ctx * of_prior.hop_length))
        metadata[:, 2] = of_prior.n_ctx * of_prior.hop_length
        above = None
        if of_prior.is_upsampler:
            length = of_prior.n_ctx // of_prior.conditioning_factor
            above = torch.randint(of_prior.music_vocab_size, (batch_size, length))

        def sample(count: int, prior: Any = prior, above: Any = above, metadata: Any = metadata) -> None:
            generator = torch.Generator(model.device).manual_seed(seed)
            prior.sample(batch_size, None, above, metadata, sample_tokens=count, generator=generator)

        sample(min(WARM_UP_TOKENS, of_prior.n_ctx))
        taken = _seconds_of(lambda sample=sample, count=of_prior.n_ctx: sample(count), model.device)
        report["tokens_per_second"][level_name(of_prior.vqvae_level, levels)] = batch_size * of_prior.n_ctx / taken
    length = max(1, int(seconds * rate) // config.hop_lengths[-1]) * config.hop_lengths[-1]
    audio = 0.1 * torch.randn(1, length, config.conv_input_shape, generator=torch.Generator().manual_seed(seed))
    audio = audio.to(model.device)
    codes = model.vqvae.encode(audio)
    sound = length / rate
    report["encode_seconds_per_second"] = _seconds_of(lambda: model.vqvae.encode(audio), model.device) / sound
    for level in range(levels):
        taken = _seconds_of(lambda level=level: model.vqvae.decode(codes[level:], start_level=level), model.device)
        report["decode_seconds_per_second"][level_name(level, levels)] = taken / sound
    top = model.config.prior_configs[0]
    sound = max(seconds, top.n_ctx * top.hop_length / rate)
    sampler = JukeboxSampler(model)
    taken = _seconds_of(lambda: sampler.sample(SamplingPlan(seconds=sound, seed=seed)), model.device)
    report["sample_seconds_per_second"] = taken / sound
    report["sample_seconds"] = sound
    return report


def _seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    work()
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""What sampling goes on from: audio, which is encoded at all levels, or codes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .configuration_jukebox import JukeboxConfig
from .sampling_plan import SamplingError, SamplingPlan, prompt_codes

if TYPE_CHECKING:
    from .modeling_jukebox_vqvae import JukeboxVQVAE

Prompt = Tensor | np.ndarray | Sequence[Tensor | Sequence[Tensor]] | None


def codes_to_go_on_from(
    plan: SamplingPlan, prompt: Prompt, vqvae: "JukeboxVQVAE", config: JukeboxConfig
) -> list[list[Tensor]]:
    """The codes of each level, the top first, that each sample begins with: (length,) int64 on the CPU.

    Args:
        plan: what is wanted; see [`JukeboxSampler.sample`] for the prompt.

    Raises:
        SamplingError: there is no prompt where one is needed, or one where none is; or it is no audio, or no codes, of this
            model.
    """
    levels = config.nb_priors
    if plan.mode == "ancestral":
        if prompt is not None:
            raise SamplingError("ancestral sampling goes on from nothing; primed is for audio, continue for codes.")
        return [[torch.zeros(0, dtype=torch.long)] * plan.number_of_samples for _ in range(levels)]
    if prompt is None:
        needed = {"primed": "audio", "continue": "codes of all levels", "upsample": "codes of the top level"}[plan.mode]
        raise SamplingError(f"{plan.mode} sampling needs a prompt: {needed}.")
    codes = _encode(plan, prompt, vqvae, config) if plan.mode == "primed" else _given(plan, prompt, config)
    count = plan.number_of_samples
    if len(codes[0]) not in (1, count):
        raise SamplingError(f"The prompt must be of one sample, or of each of {count} samples, got {len(codes[0])}.")
    return [rows * count if len(rows) == 1 else rows for rows in codes]


def _encode(plan: SamplingPlan, prompt: Any, vqvae: "JukeboxVQVAE", config: JukeboxConfig) -> list[list[Tensor]]:
    channels, hop = config.vqvae_config.conv_input_shape, config.vqvae_config.hop_lengths[-1]
    if not isinstance(prompt, Tensor | np.ndarray):
        raise SamplingError(f"primed sampling goes on from audio, an array of samples, not {type(prompt).__name__}.")
    audio = torch.as_tensor(prompt)
    if audio.ndim == 1:
        audio = audio[:, None]
    if audio.ndim == 2:
        audio = audio[None]
    if audio.ndim != 3 or audio.shape[2] != channels or not audio.is_floating_point():
        raise SamplingError(
            f"Audio must be floating point of shape (T,), (T, {channels}) or (samples, T, {channels}), got {audio.dtype} of "
            f"shape {tuple(audio.shape)}; JukeboxFeatureExtractor makes it of sound of any kind."
        )
    if not bool(audio.isfinite().all()):
        raise SamplingError("The audio to go on from holds samples that are not finite numbers.")
    length = prompt_codes(plan, config, audio.shape[1] // hop) * hop
    audio = audio[:, :length].to(vqvae.device, vqvae.dtype)
    levels = vqvae.encode(audio, config.vqvae_config.levels - config.nb_priors, bs_chunks=len(audio))
    return [[row.cpu().clone() for row in codes] for codes in reversed(levels)]


def _given(plan: SamplingPlan, prompt: Any, config: JukeboxConfig) -> list[list[Tensor]]:
    """Codes that were given, checked, and cut where the plan says so."""
    count, levels = config.vqvae_config.nb_discrete_codes, config.nb_priors
    if isinstance(prompt, Tensor | np.ndarray) or not 1 <= len(prompt) <= levels:
        raise SamplingError(
            f"Codes are a list with those of each of {levels} levels, the top first, or of the first of them."
        )
    codes = [[torch.as_tensor(row).cpu() for row in level] for level in prompt]
    samples = len(codes[0])
    codes += [[torch.zeros(0, dtype=torch.long)] * samples for _ in range(levels - len(codes))]
    for number, rows in enumerate(codes):
        lengths = sorted({len(row) if row.ndim == 1 else -1 for row in rows})
        if len(rows) != samples or len(lengths) != 1 or lengths[0] < 0:
            raise SamplingError(f"Codes of level {number} must be {samples} rows of one length, (length,).")
        for row in rows:
            if row.is_floating_point() or row.dtype == torch.bool or row.is_complex():
                raise SamplingError(f"Codes are whole numbers; those of level {number} are {row.dtype}.")
            if len(row) and not 0 <= int(row.min()) <= int(row.max()) < count:
                raise SamplingError(
                    f"Codes of this model are from 0 to {count - 1}; those of level {number} reach from {int(row.min())} to "
                    f"{int(row.max())}: are they another model's?"
                )
    if not len(codes[0][0]):
        raise SamplingError("There are no codes of the top level to go on from.")
    if plan.mode == "continue":
        codes = _cut(plan, codes, config)
    return [[row.long() for row in rows] for rows in codes]


def _cut(plan: SamplingPlan, codes: list[list[Tensor]], config: JukeboxConfig) -> list[list[Tensor]]:
    """Codes of one duration at all levels that are sampled."""
    hops = config.vqvae_config.hop_lengths[::-1]
    wanted = range(config.nb_priors) if plan.levels is None else plan.levels
    available = min(len(codes[level][0]) * hops[level] // hops[0] for level in wanted if level < config.nb_priors)
    length = prompt_codes(plan, config, available)
    return [[row[: length * hops[0] // hops[level]] for row in rows] for level, rows in enumerate(codes)]

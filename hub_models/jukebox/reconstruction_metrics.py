"""How near the VQ-VAE's reconstructions are to the sound, level by level, and how its codebooks are used."""

import math

import torch
from torch import Tensor

from .audio_losses import spectral_convergence

LEVEL_NAMES = ("bottom", "middle", "top")


def level_name(level: int, levels: int) -> str:
    """What a level of the VQ-VAE is called, 0 the finest: bottom, middle and top where there are three."""
    return LEVEL_NAMES[level] if levels == len(LEVEL_NAMES) else f"level_{level}"


def spectral_convergence_db(original: Tensor, reconstruction: Tensor, config) -> Tensor:
    """Norm of the spectrogram's error over that of the spectrogram, in decibels, (B,): 0 is as bad as silence.

    Section 3 of the paper gives -23.0, -12.4 and -8.3 dB for the bottom, middle and top level. Silent sound gives NaN.

    Args:
        original, reconstruction: (B, T, channels).
        config: of the VQ-VAE, for `n_fft`, `hop_length` and `window_size`.
    """
    ratio = spectral_convergence(original, reconstruction, config)
    return torch.where(ratio > 0, 20 * ratio.log10(), torch.nan)


@torch.no_grad()
def reconstructions(model, audio: Tensor) -> list[Tensor]:
    """What each level of a VQ-VAE makes of (B, T, channels), finest first."""
    codes = model.encode(audio)
    return [model.decode(codes[level:], start_level=level) for level in range(len(codes))]


def usage_of(counts: Tensor) -> dict[str, float]:
    """How evenly codes are used.

    Args:
        counts: (codes,), how often each was chosen.

    Returns:
        `codes`: of the codebook; `used`: those chosen at least once; `entropy_bits`: of their distribution, of at most
        log2 of their number; `perplexity`: how many evenly used codes have that entropy.
    """
    shares = counts[counts > 0].double() / counts.sum()
    entropy = float(-(shares * shares.log2()).sum())
    return {
        "codes": len(counts),
        "used": int((counts > 0).sum()),
        "entropy_bits": entropy,
        "maximum_entropy_bits": math.log2(len(counts)),
        "perplexity": 2**entropy,
    }

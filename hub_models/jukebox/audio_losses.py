"""What the VQ-VAE is trained and measured by: errors of samples and of spectrograms, relative to the data's bandwidth.

Shape letters: N batch, T samples, C channels, F frequencies, M frames.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedConfig

#: A spectrogram whose norm is less counts as silence: its error is not divided by it.
SILENCE_NORM = 2e-3


@dataclass
class Bandwidth:
    """How much there is in a data set; losses are divided by it, so that they do not depend on its loudness.

    Attributes:
        l1: mean magnitude of samples.
        l2: their variance.
        spec: mean norm of a clip's spectrogram.
    """

    l1: float = 1.0
    l2: float = 1.0
    spec: float = 1.0


def measure_bandwidth(clips: Iterable[Tensor], config: PreTrainedConfig, max_values: int | None = None) -> Bandwidth:
    """The bandwidth of clips (T, C); the original takes every 16th clip of the training data.

    Args:
        config: a [`JukeboxVQVAEConfig`]; its `n_fft`, `hop_length` and `window_size` are those of the spectrogram.
        max_values: clips are read until they have so many values together, those of all channels counted; the original reads
            600 * sampling rate. None: all.

    Raises:
        ValueError: there are no clips, or nothing but a constant in them.
    """
    total = squares = magnitudes = norms = 0.0
    number_of_values = number_of_clips = 0
    for clip in clips:
        values = clip.double()
        total += values.sum().item()
        squares += values.square().sum().item()
        magnitudes += values.abs().sum().item()
        norms += _norm(spectrogram(clip[None], config.n_fft, config.hop_length, config.window_size)).item()
        number_of_values += clip.numel()
        number_of_clips += 1
        if max_values is not None and number_of_values >= max_values:
            break
    if number_of_values == 0:
        raise ValueError("There are no clips to measure the bandwidth of.")
    variance = squares / number_of_values - (total / number_of_values) ** 2
    if not variance > 0:
        raise ValueError(f"All sound is silent: {number_of_values} values, which are all the same or not finite.")
    return Bandwidth(magnitudes / number_of_values, variance, norms / number_of_clips)


def spectrogram(audio: Tensor, n_fft: int, hop_length: int, window_size: int) -> Tensor:
    """Magnitudes (N, F, M) of audio (N, T) or, after its channels have been averaged, (N, T, C)."""
    if audio.ndim == 3:
        audio = audio.mean(-1)
    if audio.shape[-1] <= n_fft // 2:
        raise ValueError(
            f"A spectrogram with n_fft {n_fft} needs more than {n_fft // 2} samples, these are {audio.shape[-1]}."
        )
    window = torch.hann_window(window_size, device=audio.device, dtype=audio.dtype)
    frames = torch.stft(audio, n_fft, hop_length, window_size, window, center=True, pad_mode="reflect", return_complex=True)
    return _magnitude(frames)


def _magnitude(frames: Tensor) -> Tensor:
    return torch.linalg.vector_norm(torch.view_as_real(frames), dim=-1)


def spectral_distances(
    target: Tensor, audio: Tensor, n_fft: int, hop_length: int, window_size: int
) -> tuple[Tensor, Tensor]:
    """Norms (N,) of the difference between two spectrograms, and of the target's."""
    target_magnitudes = spectrogram(target, n_fft, hop_length, window_size)
    difference = target_magnitudes - spectrogram(audio, n_fft, hop_length, window_size)
    return _norm(difference), _norm(target_magnitudes)


def _norm(magnitudes: Tensor) -> Tensor:
    return torch.linalg.vector_norm(magnitudes.flatten(1), dim=1)


def spectral_convergence(target: Tensor, audio: Tensor, config: PreTrainedConfig) -> Tensor:
    """(N,): norm of the spectrograms' difference over the norm of the target's; 0 where the target is silent."""
    distance, norm = spectral_distances(target, audio, config.n_fft, config.hop_length, config.window_size)
    return distance * (norm > SILENCE_NORM) / norm.clamp(min=SILENCE_NORM)


def spectral_loss(target: Tensor, audio: Tensor, config: PreTrainedConfig) -> Tensor:
    """(N,): norm of the difference between spectrograms of one resolution."""
    return spectral_distances(target, audio, config.n_fft, config.hop_length, config.window_size)[0]


def multispectral_loss(target: Tensor, audio: Tensor, config: PreTrainedConfig) -> Tensor:
    """(N,): mean over several resolutions of the norm of the difference between spectrograms."""
    resolutions = zip(
        config.multispec_loss_n_fft, config.multispec_loss_hop_length, config.multispec_loss_window_size, strict=True
    )
    losses = [spectral_distances(target, audio, *resolution)[0] for resolution in resolutions]
    return torch.stack(losses).mean(0)


def sample_losses(target: Tensor, audio: Tensor, bandwidth: Bandwidth, linf_k: int) -> dict[str, Tensor]:
    """The errors of samples (N, T, C): `l1`, `l2`, and `linf`, the mean of the `linf_k` largest squares of every example.

    Where an example has fewer than `linf_k` values, `linf` is the mean of all.
    """
    residual = target - audio
    squares = residual.square()
    largest = squares.flatten(1).topk(min(linf_k, squares[0].numel()), dim=1, sorted=False).values
    return {
        "l1": residual.abs().mean() / bandwidth.l1,
        "l2": squares.mean() / bandwidth.l2,
        "linf": largest.mean() / bandwidth.l2,
    }

"""How far a vocoder's sound is from the recording that its mel spectrogram was made of.

    log_mel_mse(audio, reference, 22050)                    # "LS-MSE", what the paper's schedule search minimises
    mel_cepstral_distortion(audio, reference, 22050)        # MCD, dB
    multi_resolution_stft_distance(audio, reference)        # .spectral_convergence, .log_magnitude, .total

All read float sound of (B, T) or (T,), on any device, and give one figure per item, (B,). Less is better, and 0 is no
difference. Copy synthesis keeps time, so frame is compared with frame: nothing is aligned. Both sounds are clamped to -1..1,
as the feature extractor does with a recording and the scheduler with every step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torchaudio
from torch import Tensor

# The spectrogram behind LS-MSE and MCD: the model's own analysis at half its hop, in samples whatever the sample rate.
N_FFT = 2048
WIN_LENGTH = 1200
HOP_LENGTH = 150
NUM_MEL_BANDS = 128
F_MIN = 20.0
LOG_FLOOR = 1e-5

NUM_MEL_CEPSTRAL_COEFFICIENTS = 13

#: (FFT size, hop, window) in samples, of Yamamoto et al., "Parallel WaveGAN" (arXiv 1910.11480), table 1.
STFT_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
POWER_FLOOR = 1e-7


def log_mel_mse(audio: Tensor, reference: Tensor, sample_rate: int) -> Tensor:
    """LS-MSE: the mean squared difference of log-mel spectrograms.

    A spectrogram is ln(S + 1e-5), with S the *magnitudes* (power 1) of an STFT of 2048 samples, a periodic Hann window of
    1200, a hop of 150 (50 ms and 6.25 ms at the paper's 24 kHz), centred, the window divided by its root energy, gathered in
    128 HTK mel bands without area normalisation from 20 Hz to half the sample rate. The mean is over bands and frames, so
    the unit is nepers squared: 1 is a root mean square error of 8.7 dB.

    These are the settings of the schedule search of lmnt-com/wavegrad (noise_schedule.py), which *sums* over bands, frames
    and clips where this takes the mean: its score of a clip of F frames is 128 F times this one. The paper names the metric
    for its search (arXiv 2009.00713, section 4); its numbers are of other data and a spectrogram whose scale is not known
    here, so they are not to be compared with these.

    Args:
        audio: (B, T) or (T,), what was synthesised.
        reference: the same shape, the recording.
        sample_rate: Hz.

    Returns:
        (B,) float32; (1,) of (T,).

    Raises:
        ValueError: the shapes differ, or there is less sound than the analysis reads.
    """
    audio, reference = _check(audio, reference, N_FFT)
    difference = log_mel_spectrogram(audio, sample_rate) - log_mel_spectrogram(reference, sample_rate)
    return difference.square().mean(dim=(1, 2))


def mel_cepstral_distortion(audio: Tensor, reference: Tensor, sample_rate: int) -> Tensor:
    """MCD in dB: the distance of the 13 first mel-cepstral coefficients after the zeroth, mean over frames.

    (10 / ln 10) sqrt(2 sum_{k=1..13} (c_k - c'_k)^2), as Kubichek (1993) defines it, with
    c_k = (2 / M) sum_m ln(S_m + 1e-5) cos(pi k (m + 1/2) / M) of the M = 128 mel bands S of [`log_mel_mse`]. Scaled so, it
    is the root mean square over mel frequency of the difference in dB between the two envelopes that the 13 coefficients
    draw. The zeroth, the loudness, does not count. Other definitions (WORLD or SPTK cepstra, dynamic time warping, other
    bands) give other numbers.

    Args, returns, raises: as [`log_mel_mse`].
    """
    audio, reference = _check(audio, reference, N_FFT)
    difference = (log_mel_spectrogram(audio, sample_rate) - log_mel_spectrogram(reference, sample_rate)).double()
    bands = difference.shape[1]
    positions = torch.arange(bands, dtype=torch.float64) + 0.5
    orders = torch.arange(1, NUM_MEL_CEPSTRAL_COEFFICIENTS + 1, dtype=torch.float64)
    basis = (2 / bands * torch.cos(math.pi / bands * orders[:, None] * positions)).to(difference)
    distances = (2 * (basis @ difference).square().sum(dim=1)).sqrt()
    return (10 / math.log(10) * distances.mean(dim=1)).float()


@dataclass(frozen=True)
class StftDistance:
    """What [`multi_resolution_stft_distance`] gives, each (B,).

    Attributes:
        spectral_convergence: |S - S'| / |S|, Frobenius norms over bins and frames, S being the reference's magnitudes.
        log_magnitude: mean of |ln S - ln S'| over bins and frames.
    """

    spectral_convergence: Tensor
    log_magnitude: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of both."""
        return self.spectral_convergence + self.log_magnitude


def multi_resolution_stft_distance(audio: Tensor, reference: Tensor) -> StftDistance:
    """Spectral convergence and log-magnitude distance, means over the three resolutions of [`STFT_RESOLUTIONS`].

    As in Parallel WaveGAN (arXiv 1910.11480, section 2.2): magnitudes of centred STFTs with periodic Hann windows, their
    squares not under 1e-7. The resolutions are in samples, whatever the sample rate.

    Args, raises: as [`log_mel_mse`].
    """
    audio, reference = _check(audio, reference, max(n_fft for n_fft, _, _ in STFT_RESOLUTIONS))
    convergences, log_magnitudes = [], []
    for n_fft, hop_length, win_length in STFT_RESOLUTIONS:
        made, wanted = (_magnitudes(sound, n_fft, hop_length, win_length, floor=POWER_FLOOR) for sound in (audio, reference))
        convergences.append(torch.linalg.matrix_norm(wanted - made) / torch.linalg.matrix_norm(wanted))
        log_magnitudes.append((wanted.log() - made.log()).abs().mean(dim=(1, 2)))
    return StftDistance(torch.stack(convergences).mean(dim=0), torch.stack(log_magnitudes).mean(dim=0))


def all_metrics(audio: Tensor, reference: Tensor, sample_rate: int) -> dict[str, Tensor]:
    """Every figure of this module by its short name, each (B,): what the evaluation reports and training logs.

    `ls_mse`, `mcd` (dB), `mr_stft`, and its two parts `mr_stft_sc` (spectral convergence) and `mr_stft_mag` (log magnitude).
    """
    stft = multi_resolution_stft_distance(audio, reference)
    return {
        "ls_mse": log_mel_mse(audio, reference, sample_rate),
        "mcd": mel_cepstral_distortion(audio, reference, sample_rate),
        "mr_stft": stft.total,
        "mr_stft_sc": stft.spectral_convergence,
        "mr_stft_mag": stft.log_magnitude,
    }


def log_mel_spectrogram(audio: Tensor, sample_rate: int) -> Tensor:
    """(B, T) in -1..1 to (B, 128, 1 + T // 150): natural logarithms, as [`log_mel_mse`] says."""
    window_norm = math.sqrt(3 / 8 * WIN_LENGTH)  # the root of the sum of squares of a periodic Hann window
    magnitudes = _magnitudes(audio, N_FFT, HOP_LENGTH, WIN_LENGTH) / window_norm
    with torch.autocast(audio.device.type, enabled=False):  # in the middle of training, half precision would be too coarse
        mel = _mel_filters(sample_rate).to(audio.device) @ magnitudes
    return (mel + LOG_FLOOR).log()


@lru_cache(maxsize=4)
def _mel_filters(sample_rate: int) -> Tensor:
    """(bands, bins), on the CPU."""
    filters = torchaudio.functional.melscale_fbanks(
        N_FFT // 2 + 1, F_MIN, sample_rate / 2, NUM_MEL_BANDS, sample_rate, norm=None, mel_scale="htk"
    )
    return filters.T.contiguous()


def _magnitudes(audio: Tensor, n_fft: int, hop_length: int, win_length: int, floor: float | None = None) -> Tensor:
    """(B, T) to (B, bins, frames)."""
    window = torch.hann_window(win_length, device=audio.device)
    spectrum = torch.stft(audio, n_fft, hop_length, win_length, window, center=True, pad_mode="reflect", return_complex=True)
    if floor is None:
        return spectrum.abs()
    return torch.view_as_real(spectrum).square().sum(dim=-1).clamp(min=floor).sqrt()


def _check(audio: Tensor, reference: Tensor, n_fft: int) -> tuple[Tensor, Tensor]:
    if audio.shape != reference.shape or audio.ndim not in (1, 2):
        raise ValueError(
            f"Two sounds of one shape, (batch, samples) or (samples,), are compared, not {tuple(audio.shape)} and "
            f"{tuple(reference.shape)}."
        )
    if audio.shape[-1] <= n_fft // 2:
        raise ValueError(f"{audio.shape[-1]} samples are too few to compare; {n_fft // 2 + 1} are the least.")
    return tuple(torch.atleast_2d(sound).float().clamp(-1, 1) for sound in (audio, reference))

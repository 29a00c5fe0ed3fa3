"""Changes of a log-mel spectrogram before it is made sound again: another speed, another pitch.

Both move pictures about: a value between two frames, or between two bands, is interpolated from its neighbours. What a
vocoder makes of the result has no trace of the phase of the first sound, so neither rings as a phase vocoder does. Limits:

- Formants move along with the pitch: a voice shifted up sounds smaller, one shifted down bigger.
- Bands run out: shifted up by an octave, what lay in the upper half of the frequencies is gone; shifted down, the upper half
  is silent.
- A spectral line is as wide as the analysis window makes it, about 75 Hz at 1200 samples and 22.05 kHz. Shifted, the width
  changes with the frequency; chords below 200 Hz that the spectrogram does not resolve are not resolved by a shift either.
- Stretched, attacks become softer, and vibrato and tremolo slower: they are time as well.

Shape letters: M mel bands, F frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

MIN_STRETCH, MAX_STRETCH = 0.25, 4.0
MAX_SEMITONES = 24.0
SILENCE = 0.0  # the least value of a log-mel spectrogram of `WaveGradFeatureExtractor`


class MelOperationError(ValueError):
    """A spectrogram or an amount that an operation does not take; the message says what was given and what is allowed."""


def stretch_time(mel: torch.Tensor, factor: float) -> torch.Tensor:
    """The same music slower or faster, at the same pitch.

    Args:
        mel: (..., M, F) float, log-mel.
        factor: length afterwards over length before, `MIN_STRETCH` to `MAX_STRETCH`: 2 lasts twice as long.

    Returns:
        (..., M, round(F * factor)), at least one frame.

    Raises:
        MelOperationError: no spectrogram, or a factor out of bounds.
    """
    _check(mel)
    factor = _number("The factor of a time stretch", factor, MIN_STRETCH, MAX_STRETCH)
    frames = max(1, round(mel.shape[-1] * factor))
    # Frame i stands for the time i * hop, so it comes from frame i / factor.
    positions = torch.arange(frames, dtype=torch.float64) / factor
    return _at(mel, positions.clamp(max=mel.shape[-1] - 1), dim=-1)


def shift_pitch(mel: torch.Tensor, semitones: float, mel_settings: Mapping[str, Any]) -> torch.Tensor:
    """The same music higher or lower, at the same speed.

    The band around the frequency f takes the value that was at f / 2 ** (semitones / 12). A tone keeps its level where bands
    are not normalised by their area (`mel_norm` None).

    Args:
        mel: (..., M, F) float, log-mel, 0 where it is silent.
        semitones: up (positive) or down, -24 to 24; fractions are allowed.
        mel_settings: of the spectrogram, as `WaveGradFeatureExtractor.mel_settings` has them; read are `sampling_rate`,
            `f_min`, `f_max` (None: half the sampling rate) and `mel_scale`.

    Returns:
        (..., M, F); bands whose value would come from outside the spectrogram are silent.

    Raises:
        MelOperationError: no spectrogram, an amount out of bounds, or settings that name no frequencies.
    """
    _check(mel)
    semitones = _number("The semitones of a pitch shift", semitones, -MAX_SEMITONES, MAX_SEMITONES)
    positions = torch.from_numpy(_source_bands(mel.shape[-2], 2.0 ** (semitones / 12.0), mel_settings))
    # Up to half a band beyond the ends is rounding, and the end itself is nearest.
    outside = (positions < -0.5) | (positions > mel.shape[-2] - 0.5)
    shifted = _at(mel, positions.clamp(0, mel.shape[-2] - 1), dim=-2)
    return shifted.masked_fill(outside.to(mel.device)[:, None], SILENCE)


def band_frequencies(num_bands: int, mel_settings: Mapping[str, Any]) -> np.ndarray:
    """The middle of each band in Hz, (M,) float64, lowest first.

    Raises:
        MelOperationError: settings that name no frequencies.
    """
    from transformers.audio_utils import mel_to_hertz

    low, high, scale = _ends(mel_settings)
    return mel_to_hertz(np.linspace(low, high, num_bands + 2)[1:-1], mel_scale=scale)


def band_positions(frequencies: np.ndarray, num_bands: int, mel_settings: Mapping[str, Any]) -> np.ndarray:
    """Where frequencies lie between the bands: (N,) Hz to (N,) float64; 0 is the middle of the first band, M - 1 the last's.

    Raises:
        MelOperationError: settings that name no frequencies.
    """
    from transformers.audio_utils import hertz_to_mel

    low, high, scale = _ends(mel_settings)
    mels = hertz_to_mel(np.asarray(frequencies, dtype=np.float64), mel_scale=scale)
    return (mels - low) / (high - low) * (num_bands + 1) - 1


def _source_bands(num_bands: int, ratio: float, mel_settings: Mapping[str, Any]) -> np.ndarray:
    """For each band the place that its value comes from."""
    return band_positions(band_frequencies(num_bands, mel_settings) / ratio, num_bands, mel_settings)


def _ends(mel_settings: Mapping[str, Any]) -> tuple[float, float, str]:
    """Lowest and highest frequency in mel, and the name of the scale."""
    from transformers.audio_utils import hertz_to_mel

    try:
        scale = str(mel_settings["mel_scale"])
        low, high = float(mel_settings["f_min"]), mel_settings["f_max"]
        high = float(mel_settings["sampling_rate"]) / 2 if high is None else float(high)
        ends = float(hertz_to_mel(low, mel_scale=scale)), float(hertz_to_mel(high, mel_scale=scale))
    except (KeyError, TypeError, ValueError) as error:
        raise MelOperationError(
            f"The mel settings need mel_scale (htk or slaney), f_min, f_max and sampling_rate; given: {dict(mel_settings)}."
        ) from error
    if not 0 <= low < high:
        raise MelOperationError(f"The mel settings must have 0 <= f_min < f_max, not {low:g} and {high:g} Hz.")
    return *ends, scale


def _at(mel: torch.Tensor, positions: torch.Tensor, dim: int) -> torch.Tensor:
    """Values at fractional indices along an axis, by linear interpolation between the nearest two."""
    below = positions.floor().long()
    share = (positions - below).to(mel.device, mel.dtype)
    if dim == -2:
        share = share[:, None]
    above = (below + 1).clamp(max=mel.shape[dim] - 1).to(mel.device)
    return torch.lerp(mel.index_select(dim, below.to(mel.device)), mel.index_select(dim, above), share)


def _check(mel: torch.Tensor) -> None:
    if not isinstance(mel, torch.Tensor) or mel.ndim < 2 or not mel.is_floating_point():
        given = f"{tuple(mel.shape)} of {mel.dtype}" if isinstance(mel, torch.Tensor) else type(mel).__name__
        raise MelOperationError(f"A spectrogram is a float tensor of (..., bands, frames), not {given}.")
    if 0 in mel.shape[-2:]:
        raise MelOperationError(f"The spectrogram is empty: {mel.shape[-2]} bands, {mel.shape[-1]} frames.")


def _number(name: str, value: float, low: float, high: float) -> float:
    value = float(value)
    if not math.isfinite(value) or not low <= value <= high:
        raise MelOperationError(f"{name} must be from {low:g} to {high:g}, not {value:g}.")
    return value

# Copyright 2026 The Encore Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""From sound to the log-mel spectrogram that WaveGrad reads, exactly as the network was trained on it.

Shape letters: B batch, T samples, M mel bands, F frames (F = 1 + T // hop).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

# diffusers finds out how a component is loaded by the base classes in its module, and knows only this one.
from transformers import BatchFeature, FeatureExtractionMixin, SequenceFeatureExtractor  # noqa: F401
from transformers.audio_utils import mel_filter_bank

#: Sound is in -1..1; samples beyond this are whole numbers that lost their type, not loud music.
MAX_SAMPLE = 100.0
#: What `__call__` turns into a spectrogram at once: memory stays flat however long the sound is.
PIECE_FRAMES = 4096


class WaveGradFeatureExtractor(SequenceFeatureExtractor):
    """Mono sound to log-mel spectrograms in 0..1 (section 4.2 of arXiv 2009.00713, numbers of lmnt-com/wavegrad).

    A network understands only spectrograms with the settings that it was trained on: with another normalisation of the
    window it gives noise. So they are in the model's configuration too, as `mel_settings`, and the pipeline compares them.

    Each value is 0 at `min_db` and below, 1 at 0 dB and above, where 0 dB is `reference_db` over a magnitude of 1.

    Args:
        feature_size: M, the number of mel bands.
        sampling_rate: of the sound, in Hz.
        padding_value: what fills the shorter spectrograms of a batch: 0 is silence.
        n_fft: length of the Fourier transform in samples.
        win_length: of the Hann window, centred in it.
        hop_length: samples of one frame; the model's hop.
        f_min: lower edge of the lowest band in Hz.
        f_max: upper edge of the highest band in Hz. None: half the sampling rate.
        power: 1 magnitudes, 2 powers.
        window_normalized: divide the spectrum by the root of the window's sum of squares.
        mel_scale: "htk" or "slaney".
        mel_norm: None, or "slaney" for bands of equal area.
        reference_db: subtracted from the decibels.
        min_db: negative; what becomes 0.

    Raises:
        ValueError: settings that are not possible; the message says which.
    """

    model_input_names = ["input_features"]

    def __init__(
        self,
        feature_size: int = 128,
        sampling_rate: int = 22050,
        padding_value: float = 0.0,
        n_fft: int = 2048,
        win_length: int = 1200,
        hop_length: int = 300,
        f_min: float = 20.0,
        f_max: float | None = None,
        power: float = 1.0,
        window_normalized: bool = True,
        mel_scale: str = "htk",
        mel_norm: str | None = None,
        reference_db: float = 20.0,
        min_db: float = -100.0,
        **kwargs: Any,
    ):
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.f_min = float(f_min)
        self.f_max = sampling_rate / 2 if f_max is None else float(f_max)
        self.power = float(power)
        self.window_normalized = bool(window_normalized)
        self.mel_scale = mel_scale
        self.mel_norm = mel_norm
        self.reference_db = float(reference_db)
        self.min_db = float(min_db)
        self._check_settings()

    @property
    def mel_settings(self) -> dict[str, Any]:
        """All that decides what the spectrogram of a sound is: the arguments of an extractor that computes the same."""
        return {
            "feature_size": self.feature_size,
            "sampling_rate": self.sampling_rate,
            "n_fft": self.n_fft,
            "win_length": self.win_length,
            "hop_length": self.hop_length,
            "f_min": self.f_min,
            "f_max": self.f_max,
            "power": self.power,
            "window_normalized": self.window_normalized,
            "mel_scale": self.mel_scale,
            "mel_norm": self.mel_norm,
            "reference_db": self.reference_db,
            "min_db": self.min_db,
        }

    @property
    def min_samples(self) -> int:
        """The shortest sound: its edges are mirrored by half a Fourier transform."""
        return self.n_fft // 2 + 1

    def __call__(
        self,
        raw_speech: np.ndarray | torch.Tensor | Sequence[Any],
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Log-mel spectrograms of one sound or of several.

        Args:
            raw_speech: one sound of (T,) or (1, T), or a list of such sounds: floating point in -1..1 (clamped to it) or
                uint8, int16 or int32 samples.
            sampling_rate: of the sound, in Hz; must be given and be the extractor's.
            return_tensors: "pt" for torch, None or "np" for numpy.

        Returns:
            `input_features`: (B, M, F) float32, F of the longest, the others padded with `padding_value` at the end.
            `audio_length`: (B,) int64, samples of each sound.

        Raises:
            ValueError: another sampling rate, several channels, no samples, too few, or samples that are not finite numbers.
            TypeError: samples of a type that is no sound.
        """
        if sampling_rate != self.sampling_rate:
            given = "is not given" if sampling_rate is None else f"is {sampling_rate} Hz"
            raise ValueError(
                f"The sampling rate {given}; this extractor reads {self.sampling_rate} Hz: resample the sound "
                f"(hub_models.audio.resample) and pass sampling_rate={self.sampling_rate}."
            )
        sounds = [self._sound(sound) for sound in _sounds(raw_speech)]
        mels = [self._log_mel_in_pieces(sound) for sound in sounds]
        features = np.full((len(mels), self.feature_size, max(mel.shape[1] for mel in mels)), self.padding_value, np.float32)
        for row, mel in zip(features, mels, strict=True):
            row[:, : mel.shape[1]] = mel
        lengths = np.array([len(sound) for sound in sounds], dtype=np.int64)
        return BatchFeature({"input_features": features, "audio_length": lengths}, tensor_type=return_tensors)

    def log_mel(self, audio: torch.Tensor, center: bool = True) -> torch.Tensor:
        """Log-mel spectrograms on the audio's device, for training and for measures; gradients flow.

        Args:
            audio: (B, T) float in -1..1 at `sampling_rate`; clamped to that range.
            center: the audio is mirrored at its edges, so that frame i is centred on sample i * hop. False: the audio brings
                n_fft // 2 samples of context on both sides, frame i is centred on sample n_fft // 2 + i * hop.

        Returns:
            (B, M, F) float32 in 0..1, F = 1 + T // hop; with `center=False` F = 1 + (T - n_fft) // hop.

        Raises:
            ValueError: another shape, or too few samples.
        """
        least = self.min_samples if center else self.n_fft
        if audio.ndim != 2 or audio.shape[-1] < least:
            raise ValueError(f"The audio must be (batch, samples) with at least {least} samples, not {tuple(audio.shape)}.")
        # Half precision, as autocast would have it, cannot hold the quiet bands.
        with torch.autocast(audio.device.type, enabled=False):
            audio = audio.float().clamp(-1.0, 1.0)
            if center:
                audio = F.pad(audio[:, None], (self.n_fft // 2, self.n_fft // 2), mode="reflect")[:, 0]
            window = _window(self.win_length, audio.device)
            spectrum = torch.stft(
                audio, self.n_fft, self.hop_length, self.win_length, window, center=False, return_complex=True
            ).abs()
            if self.window_normalized:
                spectrum = spectrum / window.square().sum().sqrt()
            if self.power != 1.0:
                spectrum = spectrum**self.power
            mel = self._mel_filters(audio.device) @ spectrum
            decibels = 20.0 * mel.clamp(min=10 ** (self.min_db / 20)).log10() - self.reference_db
            return ((decibels - self.min_db) / -self.min_db).clamp(0.0, 1.0)

    def _mel_filters(self, device: torch.device) -> torch.Tensor:
        return _mel_filters(
            self.n_fft, self.feature_size, self.f_min, self.f_max, self.sampling_rate, self.mel_norm, self.mel_scale, device
        )

    @torch.no_grad()
    def _log_mel_in_pieces(self, audio: np.ndarray) -> np.ndarray:
        """(T,) to (M, F), each frame the same as if all were computed at once."""
        margin, hop = self.n_fft // 2, self.hop_length
        padded = torch.from_numpy(np.pad(audio, margin, mode="reflect"))[None]
        frames = 1 + len(audio) // hop
        pieces = []
        for start in range(0, frames, PIECE_FRAMES):
            end = min(start + PIECE_FRAMES, frames)
            pieces.append(self.log_mel(padded[:, start * hop : (end - 1) * hop + self.n_fft], center=False)[0].numpy())
        return np.concatenate(pieces, axis=1)

    def _sound(self, sound: Any) -> np.ndarray:
        """(T,) float32, or an error."""
        samples = _samples(sound)
        if samples.ndim == 2 and samples.shape[0] == 1:
            samples = samples[0]
        if samples.ndim != 1:
            raise ValueError(
                f"A sound must be mono, (samples,), not of shape {samples.shape}: mix channels with hub_models.audio.mono, "
                "pass several sounds as a list."
            )
        if len(samples) < self.min_samples:
            raise ValueError(
                f"The sound has {len(samples)} samples; at least {self.min_samples} are needed "
                f"({self.min_samples / self.sampling_rate:.3f} seconds at {self.sampling_rate} Hz)."
            )
        if not np.isfinite(samples).all():
            raise ValueError("The sound holds samples that are not finite numbers.")
        peak = float(np.abs(samples).max())
        if peak > MAX_SAMPLE:
            raise ValueError(
                f"The samples reach {peak:g}, but floating-point sound is in -1..1. Pass whole numbers as integers (int16, "
                "int32), which are scaled, or divide by their full scale."
            )
        return samples

    def _check_settings(self) -> None:
        if not 0 < self.hop_length <= self.win_length <= self.n_fft:
            raise ValueError(
                "hop_length, win_length and n_fft must be positive and not fall, "
                f"not {self.hop_length}, {self.win_length} and {self.n_fft}."
            )
        if not 0 <= self.f_min < self.f_max <= self.sampling_rate / 2:
            raise ValueError(
                f"f_min and f_max must rise from 0 to half the sampling rate, {self.sampling_rate / 2} Hz, "
                f"not be {self.f_min} and {self.f_max}."
            )
        if self.feature_size < 1 or self.power <= 0 or self.min_db >= 0:
            raise ValueError(
                "feature_size and power must be positive and min_db negative, "
                f"not {self.feature_size}, {self.power} and {self.min_db}."
            )
        if self.mel_scale not in ("htk", "slaney") or self.mel_norm not in (None, "slaney"):
            raise ValueError(
                'mel_scale must be "htk" or "slaney" and mel_norm None or "slaney", '
                f"not {self.mel_scale!r} and {self.mel_norm!r}."
            )


def _sounds(raw_speech: Any) -> list[Any]:
    """The list that was given, or a list of the one sound that was given."""
    if isinstance(raw_speech, (list, tuple)):
        if not raw_speech:
            raise ValueError("There is no sound: the list is empty.")
        if isinstance(raw_speech[0], (list, tuple, np.ndarray, torch.Tensor)) and np.ndim(raw_speech[0]) > 0:
            return list(raw_speech)
    return [raw_speech]


def _samples(sound: Any) -> np.ndarray:
    """Any array or list of samples as float32, whole numbers scaled by the full scale of their type."""
    if isinstance(sound, torch.Tensor):
        sound = sound.detach().cpu()
        sound = (sound.float() if sound.is_floating_point() else sound).numpy()
    samples = np.asarray(sound)
    if samples.dtype == np.uint8:  # WAV's 8 bits are unsigned, around 128
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype in (np.int16, np.int32):
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    if not np.issubdtype(samples.dtype, np.floating):
        raise TypeError(f"Samples are floating point, uint8, int16 or int32, not {samples.dtype}.")
    return samples.astype(np.float32, copy=False)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def _window(win_length: int, device: torch.device) -> torch.Tensor:
    return torch.hann_window(win_length, device=device)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def _mel_filters(
    n_fft: int,
    num_mel_bands: int,
    f_min: float,
    f_max: float,
    sampling_rate: int,
    mel_norm: str | None,
    mel_scale: str,
    device: torch.device,
) -> torch.Tensor:
    """(M, n_fft // 2 + 1) float32."""
    filters = mel_filter_bank(n_fft // 2 + 1, num_mel_bands, f_min, f_max, sampling_rate, mel_norm, mel_scale)
    return torch.from_numpy(filters.T.astype(np.float32)).contiguous().to(device)

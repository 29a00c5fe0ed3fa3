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
"""Sound of any rate and number of channels as Jukebox's VQ-VAE hears it.

Shape letters: N sounds, T samples, C channels.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torchaudio
from torch import Tensor
from transformers import BatchFeature, SequenceFeatureExtractor

#: Sound is in -1..1; samples beyond this are whole numbers that lost their type, not loud music.
MAX_SAMPLE = 100.0
#: Sound that never rises above this (-80 dB) is silence.
SILENCE = 1e-4
MIN_RATE, MAX_RATE = 1_000, 768_000
MAX_CHANNELS = 64
#: Rates are taken as a ratio of whole numbers up to this: exact for rates in use, to 1e-6 for others, at bounded memory.
MAX_RATIO = 1_000

Sound = np.ndarray | Tensor | Sequence[Any]


class JukeboxAudioFeatures(BatchFeature):
    """`raw_audio` (N, T, C) float32, and `reports`: plain sentences about what was done to the sound."""

    reports: list[str]


class JukeboxFeatureExtractor(SequenceFeatureExtractor):
    """Sound to the samples that Jukebox hears: mixed down with equal weights, resampled, cut or padded to whole codes of
    the top level.

    Args:
        feature_size: C; 1 in all released models.
        sampling_rate: that of the model, in Hz.
        padding_value: what is put behind the end where `padding` asks for it.
        hop_length: samples of a code of the top level; lengths become multiples of it.
        max_seconds: longer sounds are refused; the longest song that the model knows (`max_duration` of its prior).

    Raises:
        ValueError: numbers that no sound has.
    """

    model_input_names = ["raw_audio"]

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 44_100,
        padding_value: float = 0.0,
        hop_length: int = 128,
        max_seconds: float = 600.0,
        **kwargs: Any,
    ):
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        if not 1 <= feature_size <= MAX_CHANNELS or not MIN_RATE <= sampling_rate <= MAX_RATE:
            raise ValueError(
                f"feature_size is from 1 to {MAX_CHANNELS} and sampling_rate from {MIN_RATE} to {MAX_RATE} Hz, got "
                f"{feature_size} and {sampling_rate}."
            )
        if hop_length < 1 or not max_seconds > 0:
            raise ValueError(f"hop_length and max_seconds must be above 0, got {hop_length} and {max_seconds}.")
        self.hop_length = hop_length
        self.max_seconds = float(max_seconds)

    @classmethod
    def from_config(cls, config: Any) -> "JukeboxFeatureExtractor":
        """That of a model.

        Args:
            config ([`JukeboxConfig`]): of the model.
        """
        vqvae, priors = config.vqvae_config, config.prior_configs
        return cls(
            vqvae.conv_input_shape,
            vqvae.sampling_rate,
            hop_length=vqvae.hop_lengths[-1],
            max_seconds=priors[0].max_duration if priors else 600.0,
        )

    def __call__(
        self,
        raw_audio: Sound,
        sampling_rate: int | None = None,
        padding: bool = False,
        min_samples: int | None = None,
        return_tensors: str | None = "pt",
    ) -> JukeboxAudioFeatures:
        """Sounds as a model hears them.

        Args:
            raw_audio: one sound, (T,) or (channels, T), or a list of sounds, which become as long as the shortest
                (`padding`: the longest). Floating point in -1..1, or uint8, int16 or int32 samples.
            sampling_rate: of the sound, in Hz; must be given.
            padding: fill up the last code with `padding_value`; otherwise it is cut off.
            min_samples: the least that is accepted, at the model's rate; by default a code of the top level. An
                upsampler's window, for example, needs more.
            return_tensors: `"pt"`, `"np"`, or `None` for lists.

        Returns:
            `raw_audio` (N, T, C), T a multiple of `hop_length`; `reports` of it say what was changed and what is unusual.

        Raises:
            ValueError: a rate or shape that is not possible, no samples, too few or too many, silence, or samples that are
                not finite numbers.
            TypeError: samples of a type that is no sound.
        """
        if sampling_rate is None or not MIN_RATE <= sampling_rate <= MAX_RATE:
            given = "is not given" if sampling_rate is None else f"is {sampling_rate} Hz"
            raise ValueError(f"The sampling rate of the sound {given}; {MIN_RATE} to {MAX_RATE} Hz are read.")
        reports: list[str] = []
        sounds = [self._heard(_channels(sound), sampling_rate, reports) for sound in _sounds(raw_audio)]
        lengths = [sound.shape[1] for sound in sounds]
        length = max(lengths) if padding else min(lengths)
        whole = (-(-length // self.hop_length) if padding else length // self.hop_length) * self.hop_length
        least = max(self.hop_length, min_samples or 0)
        if whole < least:
            raise ValueError(
                f"The sound has {length} samples at {self.sampling_rate} Hz ({length / self.sampling_rate:.3f} seconds); "
                f"at least {least} ({least / self.sampling_rate:.3f} seconds) are needed."
            )
        if len(set(lengths)) > 1:
            done = "padded to the longest" if padding else "cut to the shortest"
            reports.append(f"The sounds are {done}, {whole / self.sampling_rate:.2f} seconds.")
        audio = np.full((len(sounds), whole, self.feature_size), self.padding_value, np.float32)
        for row, sound in zip(audio, sounds, strict=True):
            row[: sound.shape[1]] = sound[:, :whole].T
        features = JukeboxAudioFeatures({"raw_audio": audio}, tensor_type=return_tensors)
        if return_tensors is None:
            features["raw_audio"] = audio.tolist()
        features.reports = list(dict.fromkeys(reports))
        return features

    def _heard(self, sound: np.ndarray, rate: int, reports: list[str]) -> np.ndarray:
        """(channels, T) at any rate to (C, T) at the model's."""
        seconds = sound.shape[1] / rate
        if seconds > self.max_seconds:
            raise ValueError(f"The sound lasts {seconds:.1f} seconds; at most {self.max_seconds:g} are allowed.")
        if len(sound) != self.feature_size:
            if self.feature_size != 1 and len(sound) != 1:
                raise ValueError(f"The sound has {len(sound)} channels; this model hears {self.feature_size}.")
            if self.feature_size == 1:
                reports.append(f"{len(sound)} channels are mixed to one.")
            sound = np.repeat(sound.mean(axis=0, keepdims=True, dtype=np.float32), self.feature_size, axis=0)
        if rate != self.sampling_rate:
            ratio = Fraction(self.sampling_rate, int(rate)).limit_denominator(MAX_RATIO)
            resampled = torchaudio.functional.resample(
                torch.from_numpy(np.ascontiguousarray(sound)), ratio.denominator, ratio.numerator
            )
            sound = resampled.numpy()
            reports.append(f"The sound is resampled from {rate} to {self.sampling_rate} Hz.")
        peak = float(np.abs(sound).max(initial=0.0))
        if peak <= SILENCE:
            raise ValueError(f"The sound is silent: it never rises above {peak:g}; a peak above {SILENCE:g} is needed.")
        if peak > 1.0:
            sound = sound.clip(-1.0, 1.0)
            reports.append(f"The sound reaches {peak:.2f}; what is beyond 1 is clipped.")
        return sound


def _sounds(raw_audio: Sound) -> list[Any]:
    """The list that was given, or a list of the one sound that was given."""
    if isinstance(raw_audio, (list, tuple)):
        if not raw_audio:
            raise ValueError("There is no sound: the list is empty.")
        if np.ndim(raw_audio[0]) > 0:
            return list(raw_audio)
    return [raw_audio]


def _channels(sound: Any) -> np.ndarray:
    """(channels, T) float32, whole numbers scaled by the full scale of their type."""
    if isinstance(sound, Tensor):
        sound = sound.detach().cpu()
        sound = (sound.float() if sound.is_floating_point() else sound).numpy()
    samples = np.asarray(sound)
    if samples.ndim not in (1, 2) or samples.size == 0 or (samples.ndim == 2 and len(samples) > MAX_CHANNELS):
        raise ValueError(
            f"A sound is an array of (samples,) or (channels, samples) with 1 to {MAX_CHANNELS} channels, not of shape "
            f"{samples.shape}."
        )
    samples = np.atleast_2d(samples)
    if samples.dtype == np.uint8:  # WAV's 8 bits are unsigned, around 128
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype in (np.int16, np.int32):
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    if not np.issubdtype(samples.dtype, np.floating):
        raise TypeError(f"Samples are floating point, uint8, int16 or int32, not {samples.dtype}.")
    samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        broken = int((~np.isfinite(samples)).sum())
        raise ValueError(f"{broken} of the sound's {samples.size} samples are not finite numbers.")
    peak = float(np.abs(samples).max())
    if peak > MAX_SAMPLE:
        raise ValueError(
            f"The samples reach {peak:g}, but floating-point sound is in -1..1. Pass whole numbers as integers (int16, "
            "int32), which are scaled, or divide by their full scale."
        )
    return samples

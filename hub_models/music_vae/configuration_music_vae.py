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
"""MusicVAE configuration: every number of the network and its loss, and the presets of the original release."""

import math
import struct

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

SAMPLING_SCHEDULES = ("none", "inverse_sigmoid")
OUTPUT_TYPES = ("categorical",)

# Sizes beyond these are typing errors or attacks, not models: the largest published network has 2048 units per layer.
MAX_LAYER_SIZE = 16_384
MAX_SEQUENCE_LENGTH = 65_536


@strict
class MusicVAEConfig(PreTrainedConfig):
    r"""
    Configuration of [`MusicVAEModel`], the recurrent variational autoencoder of "A Hierarchical Latent Vector Model for
    Learning Long-Term Structure in Music" (Roberts et al., 2018, https://arxiv.org/abs/1803.05428).

    Args:
        input_size (`int`, defaults to 90):
            Width of one encoder step: 90 melody events, or 9 drum classes and a bit for "no drum".
        output_size (`int`, defaults to 90):
            Number of values the decoder gives per step: 90 melody events, or 2^9 drum combinations.
        output_type (`str`, defaults to `"categorical"`):
            What these values mean. `"categorical"`: logits of one softmax.
        latent_size (`int`, defaults to 256):
            Dimensions of the latent vector z.
        encoder_hidden_sizes (`list[int]`, defaults to `[512]`):
            Units per direction of each bidirectional encoder layer.
        decoder_hidden_sizes (`list[int]`, defaults to `[256, 256]`):
            Units of each decoder layer.
        max_sequence_length (`int`, defaults to 32):
            Number of steps that the model was made for: 32 sixteenths are two bars of 4/4.
        dropout (`float`, defaults to 0.0):
            Dropout on the input of every recurrent layer, in training.
        free_bits (`float`, defaults to 0.0):
            Bits of the total KL divergence of a sequence that cost nothing.
        max_beta (`float`, defaults to 0.2):
            Final weight of the KL cost.
        beta_rate (`float`, defaults to 0.99999):
            Growth of the weight: `beta(step) = (1 - beta_rate ** step) * max_beta`.
        sampling_schedule (`str`, defaults to `"inverse_sigmoid"`):
            Scheduled sampling in training: `"none"` or `"inverse_sigmoid"`.
        sampling_rate (`float`, defaults to 1000.0):
            The constant k of the inverse sigmoid `1 - k / (k + exp(step / k))`.
    """

    model_type = "music_vae"

    input_size: int = 90
    output_size: int = 90
    output_type: str = "categorical"
    latent_size: int = 256
    encoder_hidden_sizes: list[int] | tuple[int, ...] = (512,)
    decoder_hidden_sizes: list[int] | tuple[int, ...] = (256, 256)
    max_sequence_length: int = 32
    dropout: float | int = 0.0
    free_bits: float | int = 0.0
    max_beta: float | int = 0.2
    beta_rate: float | int = 0.99999
    sampling_schedule: str = "inverse_sigmoid"
    sampling_rate: float | int = 1000.0

    def __post_init__(self, **kwargs):
        self.encoder_hidden_sizes = list(self.encoder_hidden_sizes)
        self.decoder_hidden_sizes = list(self.decoder_hidden_sizes)
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Refuses numbers that no model can have; part of `@strict`."""
        sizes = {"input_size": self.input_size, "output_size": self.output_size, "latent_size": self.latent_size}
        for name in ("encoder_hidden_sizes", "decoder_hidden_sizes"):
            layers = getattr(self, name)
            if not 1 <= len(layers) <= 16:
                raise ValueError(f"{name} must list 1 to 16 layer sizes, got {len(layers)}.")
            if len(set(layers)) > 1:
                raise ValueError(f"{name} must give all layers one size, got {layers}.")
            sizes.update({f"{name}[{index}]": size for index, size in enumerate(layers)})
        for name, size in sizes.items():
            if not 1 <= size <= MAX_LAYER_SIZE:
                raise ValueError(f"{name} must be between 1 and {MAX_LAYER_SIZE}, got {size}.")
        if not 1 <= self.max_sequence_length <= MAX_SEQUENCE_LENGTH:
            raise ValueError(
                f"max_sequence_length must be between 1 and {MAX_SEQUENCE_LENGTH} steps, got {self.max_sequence_length}."
            )
        ranges = {"dropout": (0, 1), "free_bits": (0, 1e6), "max_beta": (0, 1e6), "beta_rate": (0, 1)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:  # NaN fails this too
                raise ValueError(f"{name} must be between {low} and {high}, got {value}.")
        if not (math.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            raise ValueError(f"sampling_rate must be a positive number of steps, got {self.sampling_rate}.")
        if self.sampling_schedule not in SAMPLING_SCHEDULES:
            raise ValueError(f"sampling_schedule must be one of {SAMPLING_SCHEDULES}, got {self.sampling_schedule!r}.")
        if self.output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type must be one of {OUTPUT_TYPES}, got {self.output_type!r}.")

    @classmethod
    def from_preset(cls, name: str, **overrides) -> "MusicVAEConfig":
        """The configuration that the original release calls `name`, with any field overridden.

        Raises:
            ValueError: if there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"There is no preset {name!r}; the presets are {', '.join(PRESETS)}.")
        return cls(**{**PRESETS[name], **overrides})

    @property
    def free_nats(self) -> float:
        """`free_bits` in nats."""
        return self.free_bits * math.log(2.0)

    def beta(self, global_step: int) -> float:
        """Weight of the KL cost at a training step."""
        # The original keeps the rate in float32, where 0.99999 is 0.999989986: over thousands of steps that shows.
        (rate,) = struct.unpack("f", struct.pack("f", self.beta_rate))
        return (1.0 - rate**global_step) * self.max_beta

    def scheduled_sampling_probability(self, global_step: int) -> float:
        """Probability that a training step feeds the decoder its own sample instead of the truth."""
        if self.sampling_schedule == "none":
            return 0.0
        rate = self.sampling_rate
        # 1 - k / (k + exp(step / k)), written so that large steps do not overflow.
        return 1.0 / (1.0 + rate * math.exp(-global_step / rate))


_MELODY = {"input_size": 90, "output_size": 90}
_DRUMS = {"input_size": 10, "output_size": 512}
_SMALL = {"latent_size": 256, "encoder_hidden_sizes": [512], "decoder_hidden_sizes": [256, 256]}
_BIG = {"latent_size": 512, "encoder_hidden_sizes": [2048], "decoder_hidden_sizes": [2048, 2048, 2048]}

# Names and numbers of the original release (section 6 of its configuration map).
PRESETS: dict[str, dict] = {
    "cat-mel_2bar_small": {**_MELODY, **_SMALL, "max_beta": 0.2, "beta_rate": 0.99999},
    "cat-mel_2bar_big": {**_MELODY, **_BIG, "max_beta": 0.5, "beta_rate": 0.99999},
    "cat-drums_2bar_small": {**_DRUMS, **_SMALL, "free_bits": 48.0, "max_beta": 0.2, "beta_rate": 0.0},
    "cat-drums_2bar_big": {**_DRUMS, **_BIG, "free_bits": 48.0, "max_beta": 0.2, "beta_rate": 0.0},
}

__all__ = ["PRESETS", "MusicVAEConfig"]

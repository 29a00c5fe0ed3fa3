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
OUTPUT_TYPES = ("categorical", "multi_categorical", "nade", "groove")

_LISTS = (
    "output_sizes",
    "control_hidden_sizes",
    "encoder_hidden_sizes",
    "encoder_level_lengths",
    "decoder_hidden_sizes",
    "decoder_level_lengths",
    "conductor_hidden_sizes",
)
GROOVE_VALUES = 3  # hit, velocity and offset of each drum

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
            Width of one encoder step: 90 melody events; 9 drum classes and a bit for "no drum"; 90 + 90 + 512 for a trio;
            27 for a groove; 490 events of a track of a measure.
        output_size (`int`, defaults to 90):
            Width of one step of music that the decoder writes and reads back: 90 melody events, 2^9 drum combinations, 9
            or 61 drums that are hit or not, 90 + 90 + 512 for a trio, 27 for a groove, 490 events of a track.
        output_type (`str`, defaults to `"categorical"`):
            What a step is. `"categorical"`: one softmax. `"multi_categorical"`: one for each of `output_sizes`. `"nade"`:
            `output_size` bits that depend on each other (Larochelle & Murray, 2011). `"groove"`: hits, velocities and
            offsets of `output_size / 3` drums.
        output_sizes (`list[int]`, *optional*):
            Events of each softmax of `"multi_categorical"`: melody, bass and drums of a trio. They add up to `output_size`.
        nade_hidden_size (`int`, *optional*):
            Hidden units of `"nade"`.
        split_decoder (`bool`, defaults to `False`):
            One complete decoder for each of `output_sizes`, which reads back its own events only.
        control_size (`int`, defaults to 0):
            Width of one step of controls, which encoder and decoder read: 49 chords, or the 9 hits of a groove.
        control_hidden_sizes (`list[int]`, *optional*):
            Units per direction of the layers of a bidirectional LSTM that reads the controls for the decoder; by
            default it reads them itself.
        latent_size (`int`, defaults to 256):
            Dimensions of the latent vector z.
        encoder_hidden_sizes (`list[int]`, defaults to `[512]`):
            Units per direction of each bidirectional encoder layer.
        encoder_level_lengths (`list[int]`, *optional*):
            `[steps per segment, segments]` of a hierarchical encoder: its first level reads each segment, its second the
            embeddings of the segments, both with `encoder_hidden_sizes`. None: one level reads all steps.
        decoder_hidden_sizes (`list[int]`, defaults to `[256, 256]`):
            Units of each decoder layer.
        decoder_level_lengths (`list[int]`, *optional*):
            `[segments, steps per segment]` of a hierarchical decoder: a conductor writes one embedding per segment, and the
            core decoder starts anew from each (paper section 3.2). None: the decoder writes all steps from z.
        conductor_hidden_sizes (`list[int]`, *optional*):
            Units of each layer of the conductor; `decoder_hidden_sizes` by default.
        end_token (`int`, *optional*):
            The event that ends a segment of a hierarchical decoder, such as a track of a measure; what follows it in the
            segment is padding. None: segments are always full.
        max_sequence_length (`int`, defaults to 32):
            Number of steps that the model was made for: 32 sixteenths are two bars of 4/4; 512 events are 8 tracks of 64.
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
    output_sizes: list[int] | tuple[int, ...] | None = None
    nade_hidden_size: int | None = None
    split_decoder: bool = False
    control_size: int = 0
    control_hidden_sizes: list[int] | tuple[int, ...] | None = None
    latent_size: int = 256
    encoder_hidden_sizes: list[int] | tuple[int, ...] = (512,)
    encoder_level_lengths: list[int] | tuple[int, ...] | None = None
    decoder_hidden_sizes: list[int] | tuple[int, ...] = (256, 256)
    decoder_level_lengths: list[int] | tuple[int, ...] | None = None
    conductor_hidden_sizes: list[int] | tuple[int, ...] | None = None
    end_token: int | None = None
    max_sequence_length: int = 32
    dropout: float | int = 0.0
    free_bits: float | int = 0.0
    max_beta: float | int = 0.2
    beta_rate: float | int = 0.99999
    sampling_schedule: str = "inverse_sigmoid"
    sampling_rate: float | int = 1000.0

    def __post_init__(self, **kwargs):
        for name in _LISTS:
            value = getattr(self, name)
            setattr(self, name, None if value is None else list(value))
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Refuses numbers that no model can have; part of `@strict`."""
        sizes = {"input_size": self.input_size, "output_size": self.output_size, "latent_size": self.latent_size}
        if self.nade_hidden_size is not None:
            sizes["nade_hidden_size"] = self.nade_hidden_size
        for name in (name for name in _LISTS if name.endswith("hidden_sizes")):
            layers = getattr(self, name)
            if layers is None:
                continue
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
        self._validate_output()
        for name in ("encoder_level_lengths", "decoder_level_lengths"):
            lengths = getattr(self, name)
            if lengths is None:
                continue
            if len(lengths) != 2 or min(lengths) < 1 or math.prod(lengths) != self.max_sequence_length:
                raise ValueError(
                    f"{name} must be two numbers whose product is max_sequence_length, {self.max_sequence_length}; "
                    f"got {lengths}."
                )
        if self.conductor_hidden_sizes is not None and self.decoder_level_lengths is None:
            raise ValueError("conductor_hidden_sizes needs decoder_level_lengths: only that decoder has a conductor.")
        if self.end_token is not None:
            if self.output_type != "categorical" or self.decoder_level_lengths is None:
                raise ValueError("end_token needs output_type 'categorical' and decoder_level_lengths: it ends a segment.")
            if not 0 <= self.end_token < self.output_size:
                raise ValueError(f"end_token must be an event, 0..{self.output_size - 1}, got {self.end_token}.")
        if not 0 <= self.control_size <= MAX_LAYER_SIZE:
            raise ValueError(f"control_size must be between 0 and {MAX_LAYER_SIZE}, got {self.control_size}.")
        if self.control_hidden_sizes is not None and not self.control_size:
            raise ValueError("control_hidden_sizes needs a control_size: without controls there is nothing to read.")

    def _validate_output(self):
        """Refuses outputs that do not add up."""
        if self.output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type must be one of {OUTPUT_TYPES}, got {self.output_type!r}.")
        parts = self.output_sizes
        if (parts is not None) != (self.output_type == "multi_categorical"):
            raise ValueError("output_sizes belongs to output_type 'multi_categorical', and to no other.")
        if parts is not None and (not 2 <= len(parts) <= 16 or min(parts) < 1 or sum(parts) != self.output_size):
            raise ValueError(f"output_sizes must be 2 to 16 numbers that add up to {self.output_size}, got {parts}.")
        if (self.nade_hidden_size is not None) != (self.output_type == "nade"):
            raise ValueError("nade_hidden_size belongs to output_type 'nade', and to no other.")
        if self.split_decoder and parts is None:
            raise ValueError("split_decoder needs output_type 'multi_categorical': there is nothing to split.")
        if self.output_type == "groove" and self.output_size % GROOVE_VALUES:
            raise ValueError(
                f"output_size of a groove must be a multiple of {GROOVE_VALUES} (hits, velocities, offsets), "
                f"got {self.output_size}."
            )

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
_TRIO = {"input_size": 692, "output_size": 692, "output_type": "multi_categorical", "output_sizes": [90, 90, 512]}
_GROOVE = {"input_size": 27, "output_size": 27, "output_type": "groove"}
_SMALL = {"latent_size": 256, "encoder_hidden_sizes": [512], "decoder_hidden_sizes": [256, 256]}
_MEDIUM = {"latent_size": 256, "encoder_hidden_sizes": [1024], "decoder_hidden_sizes": [512, 512, 512]}
_BIG = {"latent_size": 512, "encoder_hidden_sizes": [2048], "decoder_hidden_sizes": [2048, 2048, 2048]}
_NADE = {
    **_MEDIUM,
    "decoder_hidden_sizes": [512, 512],
    "output_type": "nade",
    "nade_hidden_size": 128,
    "free_bits": 48.0,
    "max_beta": 0.2,
    "beta_rate": 0.0,
}
_LONG = {"latent_size": 512, "max_sequence_length": 256, "beta_rate": 0.0, "sampling_schedule": "none"}
_FLAT_16 = {**_LONG, "encoder_hidden_sizes": [2048, 2048], "decoder_hidden_sizes": [2048, 2048, 2048]}
_HIERARCHICAL_DECODER_16 = {
    **_LONG,
    "encoder_hidden_sizes": [2048, 2048],
    "decoder_hidden_sizes": [1024, 1024],
    "decoder_level_lengths": [16, 16],
    "free_bits": 256.0,
    "max_beta": 0.2,
}
_HIERARCHICAL_16 = {**_HIERARCHICAL_DECODER_16, "encoder_hidden_sizes": [1024], "encoder_level_lengths": [16, 16]}
_MULTITRACK = {
    "input_size": 490,
    "output_size": 490,
    "latent_size": 512,
    "encoder_level_lengths": [64, 8],
    "decoder_level_lengths": [8, 64],
    "end_token": 489,
    "max_sequence_length": 512,
    "max_beta": 1.0,
    "beta_rate": 0.0,
    "sampling_schedule": "none",
}
_MULTITRACK_MEDIUM = {**_MULTITRACK, "encoder_hidden_sizes": [1024], "decoder_hidden_sizes": [512, 512, 512]}
_MULTITRACK_BIG = {**_MULTITRACK, "encoder_hidden_sizes": [2048], "decoder_hidden_sizes": [1024, 1024, 1024]}
_GROOVAE = {
    **_GROOVE,
    **_SMALL,
    "dropout": 0.7,
    "free_bits": 48.0,
    "max_beta": 0.2,
    "beta_rate": 0.0,
    "sampling_schedule": "none",
}

# Names and numbers of the original release (section 6 of its configuration map).
PRESETS: dict[str, dict] = {
    "cat-mel_2bar_small": {**_MELODY, **_SMALL, "max_beta": 0.2, "beta_rate": 0.99999},
    "cat-mel_2bar_big": {**_MELODY, **_BIG, "max_beta": 0.5, "beta_rate": 0.99999},
    "cat-mel_2bar_med_chords": {
        **_MELODY,
        **_MEDIUM,
        "control_size": 49,
        "max_beta": 1.0,
        "beta_rate": 0.0,
        "sampling_schedule": "none",
    },
    "cat-drums_2bar_small": {**_DRUMS, **_SMALL, "free_bits": 48.0, "max_beta": 0.2, "beta_rate": 0.0},
    "cat-drums_2bar_big": {**_DRUMS, **_BIG, "free_bits": 48.0, "max_beta": 0.2, "beta_rate": 0.0},
    "nade-drums_2bar_reduced": {**_NADE, "input_size": 10, "output_size": 9},
    "nade-drums_2bar_full": {**_NADE, "input_size": 62, "output_size": 61},
    "flat-trio_16bar": {**_TRIO, **_FLAT_16, "max_beta": 1.0},
    "hierdec-trio_16bar": {**_TRIO, **_HIERARCHICAL_DECODER_16, "split_decoder": True},
    "hier-trio_16bar": {**_TRIO, **_HIERARCHICAL_16, "split_decoder": True},
    "flat-mel_16bar": {**_MELODY, **_FLAT_16, "free_bits": 256.0, "max_beta": 0.2},
    "hierdec-mel_16bar": {**_MELODY, **_HIERARCHICAL_DECODER_16},
    "hier-mel_16bar": {**_MELODY, **_HIERARCHICAL_16},
    "hier-multiperf_vel_1bar_med": _MULTITRACK_MEDIUM,
    "hier-multiperf_vel_1bar_med_chords": {**_MULTITRACK_MEDIUM, "control_size": 49},
    "hier-multiperf_vel_1bar_big": _MULTITRACK_BIG,
    "hier-multiperf_vel_1bar_big_chords": {**_MULTITRACK_BIG, "control_size": 49},
    "groovae_4bar": {**_GROOVAE, "max_sequence_length": 64},
    "groovae_2bar_humanize": _GROOVAE,
    "groovae_2bar_tap_fixed_velocity": _GROOVAE,
    "groovae_2bar_tap_fixed_velocity_note_dropout": _GROOVAE,
    "groovae_2bar_add_closed_hh": _GROOVAE,
    "groovae_2bar_hits_control_tfds": {**_GROOVAE, "control_size": 9},
}

__all__ = ["PRESETS", "MusicVAEConfig"]

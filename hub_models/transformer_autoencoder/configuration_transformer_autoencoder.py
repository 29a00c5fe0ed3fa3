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
"""Transformer Autoencoder configuration: every number of the network, and the presets of the original release."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

ATTENTION_TYPES = ("relative", "absolute")
PERFORMANCE_ENCODERS = ("none", "style", "sequence")
AGGREGATIONS = ("sum", "concat", "tile")

# Sizes beyond these are typing errors or attacks, not models: the largest published network has 16 layers of 512.
MAX_WIDTH = 16_384
MAX_LAYERS = 128
MAX_VOCABULARY = 65_536
MAX_CONTEXT_LENGTH = 131_072


@strict
class TransformerAutoencoderConfig(PreTrainedConfig):
    r"""
    Configuration of [`TransformerAutoencoderForConditionalGeneration`], the family of "Encoding Musical Style with
    Transformer Autoencoders" (Choi et al., 2020, https://arxiv.org/abs/1912.05537) and "Music Transformer" (Huang et al.,
    2018, https://arxiv.org/abs/1809.04281): one decoder of piano performances, alone or with what it listens to.

    | model of the original | `performance_encoder` | `melody_encoder` |
    | --- | --- | --- |
    | Music Transformer | `"none"` | `False` |
    | melody to performance, also baseline_melody_transformer | `"none"` | `True` |
    | performance_transformer (one style vector) | `"style"` | `False` |
    | baseline_performance_transformer | `"sequence"` | `False` |
    | melody_performance_transformer | `"style"` | `True` |

    Args:
        vocab_size (`int`, defaults to 310):
            Performance events: padding, end, 88 note-ons, 88 note-offs, 100 time shifts, 32 velocities.
        melody_vocab_size (`int`, defaults to 92):
            Melody events: padding, end, no event, note-off, 88 pitches.
        hidden_size (`int`, defaults to 384):
            Width of the network.
        num_hidden_layers (`int`, defaults to 8):
            Layers of the decoder.
        num_encoder_layers (`int`, *optional*):
            Layers of each encoder; as many as the decoder's by default.
        num_attention_heads (`int`, defaults to 8):
            Heads of every attention.
        key_size (`int`, *optional*, defaults to 512):
            Width of queries and keys, of all heads together; None: `hidden_size`.
        value_size (`int`, *optional*):
            Width of values, of all heads together; None: `hidden_size`.
        intermediate_size (`int`, defaults to 1024):
            Width inside the feed-forward layers.
        attention_type (`str`, defaults to `"relative"`):
            `"relative"`: self-attention also looks at how far apart two events are. `"absolute"`: only the positions
            that are added to the embeddings tell, which are there in both.
        max_relative_position (`int`, defaults to 1024):
            Distances from 0 to one below this have an embedding; farther keys get no relative logit.
        heads_share_relative_embedding (`bool`, defaults to `False`):
            One table of distances for all heads.
        relative_values (`bool`, defaults to `False`):
            Distances also add to the values.
        performance_encoder (`str`, defaults to `"none"`):
            What the decoder hears of another performance: nothing, its `"style"` (the mean over time of the encoder's
            output, one vector), or the whole `"sequence"`, the paper's baseline.
        melody_encoder (`bool`, defaults to `False`):
            Whether the decoder hears a melody.
        aggregation (`str`, defaults to `"sum"`):
            How style and melody come together: style added to every melody step, appended after a stop row in time
            (`"concat"`), or appended to the channels of every melody step (`"tile"`).
        context_length (`int`, defaults to 2048):
            Events in a training example. Generation hears at most so many, see
            [`TransformerAutoencoderForConditionalGeneration.generate`].
        layer_norm_eps (`float`, defaults to 1e-6):
            Epsilon of the layer norms.
        dropout (`float`, defaults to 0.1):
            Of embeddings and of what every sub-layer adds, in training.
        attention_dropout (`float`, defaults to 0.1):
            Of attention weights, in training.
        activation_dropout (`float`, defaults to 0.1):
            Inside the feed-forward layers, in training.
        label_smoothing (`float`, defaults to 0.0):
            Share of probability that the targets spread over all other events, in training.
        original_quirks (`bool`, defaults to `False`):
            Compute what tensor2tensor computes where that is hardly what anybody meant; on in converted checkpoints,
            which were trained that way, and off in new models:

            - relative attention in *encoders*: for keys after the query the original leaves logits of other positions,
              which depend on how far the batch is padded. Off: keys after the query get no relative logit.
            - style: the original's mean runs over padding, too. Off: over the events of the performance.
            - style with a melody: the original adds the mean of the performance's padding bias to that of the melody, which
              in float32 rounds the logits to multiples of 16 to 64. Off: padding of the performance has no effect.
            - feed-forward layers of encoders give zero at padding. Off: what is there does not matter.
        tie_word_embeddings (`bool`, defaults to `False`):
            One table for the decoder's input and its output.
        pad_token_id, bos_token_id, eos_token_id (`int`):
            0, 0 and 1. A sequence starts with one 0, whose embedding is the zero vector.
    """

    model_type = "transformer_autoencoder"

    vocab_size: int = 310
    melody_vocab_size: int = 92
    hidden_size: int = 384
    num_hidden_layers: int = 8
    num_encoder_layers: int | None = None
    num_attention_heads: int = 8
    key_size: int | None = 512
    value_size: int | None = None
    intermediate_size: int = 1024
    attention_type: str = "relative"
    max_relative_position: int = 1024
    heads_share_relative_embedding: bool = False
    relative_values: bool = False
    performance_encoder: str = "none"
    melody_encoder: bool = False
    aggregation: str = "sum"
    context_length: int = 2048
    layer_norm_eps: float | int = 1e-6
    dropout: float | int = 0.1
    attention_dropout: float | int = 0.1
    activation_dropout: float | int = 0.1
    label_smoothing: float | int = 0.0
    original_quirks: bool = False
    tie_word_embeddings: bool = False
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1

    def validate_architecture(self):
        """Refuses numbers that no model can have; part of `@strict`."""
        widths = ("hidden_size", "total_key_size", "total_value_size", "intermediate_size", "num_attention_heads")
        limits = dict.fromkeys(widths, MAX_WIDTH) | {
            "vocab_size": MAX_VOCABULARY,
            "melody_vocab_size": MAX_VOCABULARY,
            "num_hidden_layers": MAX_LAYERS,
            "num_layers_of_encoders": MAX_LAYERS,
            "max_relative_position": MAX_CONTEXT_LENGTH,
            "context_length": MAX_CONTEXT_LENGTH,
        }
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 1 <= value <= limit:
                raise ValueError(f"{_FIELD_OF.get(name, name)} must be between 1 and {limit}, got {value}.")
        for name in ("total_key_size", "total_value_size"):
            if getattr(self, name) % self.num_attention_heads:
                raise ValueError(
                    f"{_FIELD_OF[name]} must be a multiple of the {self.num_attention_heads} heads, "
                    f"got {getattr(self, name)}."
                )
        for name in ("dropout", "attention_dropout", "activation_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:  # NaN fails this too
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}.")
        if not 0 < self.layer_norm_eps < 1:
            raise ValueError(f"layer_norm_eps must be between 0 and 1, got {self.layer_norm_eps}.")
        choices = {
            "attention_type": ATTENTION_TYPES,
            "performance_encoder": PERFORMANCE_ENCODERS,
            "aggregation": AGGREGATIONS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        if self.performance_encoder == "sequence" and self.melody_encoder:
            raise ValueError("performance_encoder 'sequence' takes no melody: aggregation needs one style vector.")

    @classmethod
    def from_preset(cls, name: str, **overrides) -> "TransformerAutoencoderConfig":
        """The numbers that the original release calls `name`, with any field overridden; the fields `performance_encoder`,
        `melody_encoder` and `aggregation` choose the model.

        Raises:
            ValueError: if there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"There is no preset {name!r}; the presets are {', '.join(PRESETS)}.")
        return cls(**{**PRESETS[name], **overrides})

    @property
    def total_key_size(self) -> int:
        """Width of queries and keys, of all heads together."""
        return self.hidden_size if self.key_size is None else self.key_size

    @property
    def total_value_size(self) -> int:
        """Width of values, of all heads together."""
        return self.hidden_size if self.value_size is None else self.value_size

    @property
    def num_layers_of_encoders(self) -> int:
        """Layers of each encoder."""
        return self.num_hidden_layers if self.num_encoder_layers is None else self.num_encoder_layers

    @property
    def is_conditional(self) -> bool:
        """Whether the decoder listens to anything but itself."""
        return self.melody_encoder or self.performance_encoder != "none"

    @property
    def encoding_size(self) -> int:
        """Width of what the decoder listens to."""
        tiled = self.melody_encoder and self.performance_encoder == "style" and self.aggregation == "tile"
        return 2 * self.hidden_size if tiled else self.hidden_size


_FIELD_OF = {
    "total_key_size": "key_size",
    "total_value_size": "value_size",
    "num_layers_of_encoders": "num_encoder_layers",
}


def _score2perf(layers: int, dropout: float, hidden_size: int = 384, length: int = 2048, **rest) -> dict:
    """One of the sets of score2perf_hparams: what they have in common is the class's default."""
    return {
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "max_relative_position": length // 2,
        "context_length": length,
        "dropout": dropout,
        "attention_dropout": dropout,
        "activation_dropout": dropout,
        **rest,
    }


_ABSOLUTE = {"attention_type": "absolute"}
# tensor2tensor's sets: plain attention, wider, one table for input and output where both have the same vocabulary.
_TENSOR2TENSOR = {
    **_score2perf(6, 0.1, hidden_size=512),
    **_ABSOLUTE,
    "key_size": None,
    "intermediate_size": 2048,
    "label_smoothing": 0.1,
    "tie_word_embeddings": True,
}
# The two published checkpoints. They have no relative attention, whatever the names of their notebooks suggest; these let
# pieces grow to 4,096 events.
_PUBLISHED = {**_TENSOR2TENSOR, "num_hidden_layers": 16, "context_length": 4096}

# Names and numbers of the original release; t_* are the sets of score2perf_hparams.
PRESETS: dict[str, dict] = {
    "t_rel_len2048_h384_att512_fs1024_n8_dropout20": _score2perf(8, 0.2),
    "t_len2048_h384_att512_fs1024_n8_dropout20": _score2perf(8, 0.2, **_ABSOLUTE),
    "t_rel_len2048_h512_att512_fs1024_n6_dropout10": _score2perf(6, 0.1, hidden_size=512),
    "t_rel_len2048_h384_att512_fs1024_n6_dropout10": _score2perf(6, 0.1),
    "t_rel_len2048_h512_att512_fs1024_n8_dropout10": _score2perf(8, 0.1, hidden_size=512),
    "t_rel_len2048_h384_att512_fs1024_n8_dropout10": _score2perf(8, 0.1),
    "t_rel_len2048_h384_att512_fs1024_n6_dropout15": _score2perf(6, 0.15),
    "t_rel_len1024_h384_att512_fs1024_n2_dropout15": _score2perf(6, 0.15, length=1024),  # six layers, whatever its name
    "t_rel_len2048_h384_att512_fs1024_n8_dropout15": _score2perf(8, 0.15),
    "t_len2048_h384_att512_fs1024_n8_dropout15": _score2perf(8, 0.15, **_ABSOLUTE),
    "t_rel_len2048_h384_att512_fs1024_n10_dropout30": _score2perf(10, 0.3),
    "t_len2048_h384_att512_fs1024_n10_dropout30": _score2perf(10, 0.3, **_ABSOLUTE),
    "t_rel_len2048_dropout15_tiny": _score2perf(8, 0.15, hidden_size=128, intermediate_size=512, num_attention_heads=4),
    "transformer_tpu": _TENSOR2TENSOR,
    "score2perf_transformer_base": _TENSOR2TENSOR,
    "unconditional_model_16": _PUBLISHED,
    "melody_conditioned_model_16": {**_PUBLISHED, "tie_word_embeddings": False, "melody_encoder": True},
}

__all__ = ["PRESETS", "TransformerAutoencoderConfig"]

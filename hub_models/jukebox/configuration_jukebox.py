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
"""Jukebox configurations: every number of the VQ-VAE and of the priors, and the presets of the original release.

Names are those of transformers 4's Jukebox, so that its configuration files are read as they are. Levels of *priors* are
numbered from the top as there (0 is the coarsest); levels of the *VQ-VAE* from the bottom (0 is the finest).
"""

import math
from types import NoneType
from typing import Any, get_args

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .attention_patterns import ATTENTION_PATTERNS, CROSS, DENSE, PRIME, SUMMARY_SPREAD, attention_of_layer
from .presets import PRESETS

# Sizes beyond these are typing errors or attacks, not models: the largest published prior has 79 layers of 4,800.
MAX_WIDTH = 32_768
MAX_LAYERS = 256
MAX_VOCABULARY = 1_048_576
MAX_CONTEXT_LENGTH = 1_048_576
MAX_LEVELS = 8
MAX_HOP_LENGTH = 1_048_576

IntegerList = list[int] | tuple[int, ...]
NumberList = list[float | int] | tuple[float | int, ...]


@strict
class JukeboxVQVAEConfig(PreTrainedConfig):
    r"""
    Configuration of [`JukeboxVQVAE`], the compression of "Jukebox: A Generative Model for Music" (Dhariwal et al., 2020,
    https://arxiv.org/abs/2005.00341, section 3): one autoencoder with its own codebook per level.

    Args:
        act_fn (`str`, defaults to `"relu"`):
            Activation inside the residual blocks; the original has this one.
        nb_discrete_codes (`int`, defaults to 2048):
            Codes in the codebook of every level.
        commit (`float`, defaults to 0.02):
            Weight of the commitment loss.
        conv_input_shape (`int`, defaults to 1):
            Channels of audio.
        conv_res_scale (`bool`, defaults to `False`):
            Residual branches are scaled by one over the root of their number.
        embed_dim (`int`, defaults to 64):
            Width of a code's vector.
        hop_fraction (`list[float]`, defaults to `[0.125, 0.5, 0.5]`):
            By how much of its context a sampling window moves, from the top level down.
        levels (`int`, defaults to 3):
            Autoencoders.
        lmu (`float`, defaults to 0.99):
            Decay of the moving averages that make the codebooks.
        multipliers (`list[int]`, defaults to `[2, 1, 1]`):
            By what each level, finest first, multiplies `res_conv_width` and `res_conv_depth`.
        res_conv_depth (`int`, defaults to 4):
            Residual blocks per resampling step.
        res_conv_width (`int`, defaults to 32):
            Channels.
        res_convolution_multiplier (`float`, defaults to 1):
            Channels inside a residual block, as a multiple of its width.
        res_dilation_cycle (`int`, *optional*):
            After so many blocks dilations start anew.
        res_dilation_growth_rate (`int`, defaults to 3):
            Factor from one block's dilation to the next.
        res_downs_t (`list[int]`, defaults to `[3, 2, 2]`):
            Resampling steps of each level, finest first.
        res_strides_t (`list[int]`, defaults to `[2, 2, 2]`):
            Stride of each of them.
        sample_length (`int`, defaults to 1058304):
            Samples in a training example.
        init_scale (`float`, defaults to 0.2):
            Not used by the original's VQ-VAE; here for files of transformers 4.
        zero_out (`bool`, defaults to `False`):
            A new model's residual branches start at zero.
        reverse_decoder_dilation (`bool`, defaults to `True`):
            In decoders the largest dilation comes first. transformers 4 knows nothing else.
        sampling_rate (`int`, defaults to 44100):
            Hz.
        revival_threshold (`float`, defaults to 1.0):
            A code that is used less than this, as a moving average per step, is replaced by a vector of the batch.
        loss_fn (`str`, defaults to `"lmix"`):
            `"l1"`, `"l2"`, `"linf"`, or the mixture `"lmix"`.
        lmix_l1, lmix_l2, lmix_linf (`float`, default to 0, 1 and 0.02):
            Weights in the mixture.
        linf_k (`int`, defaults to 2048):
            The largest squared residuals of an example that `"linf"` is the mean of.
        spectral, multispectral (`float`, default to 0 and 1):
            Weights of the spectral losses at one and at three resolutions.
        use_nonrelative_specloss (`bool`, defaults to `True`):
            Spectral losses are relative to the data's bandwidth; `False`: to each example's own spectrum.
        n_fft, hop_length, window_size (`int`, default to 2048, 256 and 1536):
            Resolution of the spectral loss.
        multispec_loss_n_fft, multispec_loss_hop_length, multispec_loss_window_size (`list[int]`):
            Resolutions of the multi-resolution spectral loss.
        bandwidth_l1, bandwidth_l2, bandwidth_spec (`float`, default to 1):
            What the losses are divided by: mean magnitude, variance and mean spectrogram norm of the training data.
        weights_license (`str`, *optional*):
            Licence under which the weights stay wherever they go, fine-tuned or not; conversion notes it here:
            `"noncommercial-use-license"` for what OpenAI released.
    """

    model_type = "jukebox_vqvae"
    base_config_key = "vqvae_config"

    act_fn: str = "relu"
    nb_discrete_codes: int = 2048
    commit: float | int = 0.02
    conv_input_shape: int = 1
    conv_res_scale: bool | None = False
    embed_dim: int = 64
    hop_fraction: NumberList = (0.125, 0.5, 0.5)
    levels: int = 3
    lmu: float | int = 0.99
    multipliers: IntegerList = (2, 1, 1)
    res_conv_depth: int = 4
    res_conv_width: int = 32
    res_convolution_multiplier: float | int = 1
    res_dilation_cycle: int | None = None
    res_dilation_growth_rate: int = 3
    res_downs_t: IntegerList = (3, 2, 2)
    res_strides_t: IntegerList = (2, 2, 2)
    sample_length: int = 1_058_304
    init_scale: float | int = 0.2
    zero_out: bool = False
    reverse_decoder_dilation: bool = True
    sampling_rate: int = 44_100
    revival_threshold: float | int = 1.0
    loss_fn: str = "lmix"
    lmix_l1: float | int = 0.0
    lmix_l2: float | int = 1.0
    lmix_linf: float | int = 0.02
    linf_k: int = 2048
    spectral: float | int = 0.0
    multispectral: float | int = 1.0
    use_nonrelative_specloss: bool = True
    n_fft: int = 2048
    hop_length: int = 256
    window_size: int = 1536
    multispec_loss_n_fft: IntegerList = (2048, 1024, 512)
    multispec_loss_hop_length: IntegerList = (240, 120, 50)
    multispec_loss_window_size: IntegerList = (1200, 600, 240)
    bandwidth_l1: float | int = 1.0
    bandwidth_l2: float | int = 1.0
    bandwidth_spec: float | int = 1.0
    weights_license: str | None = None

    def __post_init__(self, **kwargs):
        _make_lists(self)
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Refuses numbers that no model can have; part of `@strict`."""
        _check_ranges(
            self,
            {
                "levels": MAX_LEVELS,
                "nb_discrete_codes": MAX_VOCABULARY,
                "conv_input_shape": 64,
                "embed_dim": MAX_WIDTH,
                "res_conv_depth": MAX_LAYERS,
                "res_conv_width": MAX_WIDTH,
                "res_dilation_growth_rate": 64,
                "sampling_rate": 768_000,
                "linf_k": 2**31,
            },
        )
        for name in ("multipliers", "res_downs_t", "res_strides_t", "hop_fraction"):
            if len(getattr(self, name)) != self.levels:
                raise ValueError(
                    f"{name} must have one number for each of the {self.levels} levels, got {getattr(self, name)}."
                )
        _check_resampling(self)
        if any(not 1 <= multiplier <= 64 for multiplier in self.multipliers):
            raise ValueError(f"multipliers must be between 1 and 64, got {self.multipliers}.")
        if any(not 0 < fraction <= 1 for fraction in self.hop_fraction):
            raise ValueError(f"hop_fraction must be above 0 and at most 1, got {self.hop_fraction}.")
        if self.loss_fn not in ("l1", "l2", "linf", "lmix"):
            raise ValueError(f"loss_fn must be one of l1, l2, linf, lmix, got {self.loss_fn!r}.")
        if self.act_fn != "relu":
            raise ValueError(f"act_fn must be relu, got {self.act_fn!r}.")

    @property
    def hop_lengths(self) -> list[int]:
        """Samples per code of each level, finest first."""
        return _hop_lengths(self)

    @classmethod
    def from_preset(cls, name: str, **overrides) -> "JukeboxVQVAEConfig":
        """The VQ-VAE of a release, with any field overridden.

        Raises:
            ValueError: if there is no such preset.
        """
        return cls(**{**_preset(name)["vqvae_config"], **overrides})


@strict
class JukeboxPriorConfig(PreTrainedConfig):
    r"""
    Configuration of [`JukeboxPrior`], a sparse transformer over the codes of one level (section 4 of the paper).

    Args:
        act_fn (`str`, defaults to `"quick_gelu"`):
            Activation of the feed-forward layers: `"quick_gelu"`, `"gelu"`, `"relu"` or `"swish"`.
        level (`int`, defaults to 0):
            From the top: 0 is the coarsest, whose prior hears timing and lyrics; the others hear the level above them.
        alignment_head, alignment_layer (`int`, *optional*, default to 2 and 68):
            Where attention follows the lyrics.
        attention_multiplier (`float`, defaults to 0.25):
            Width of queries, keys and values of all heads together, as a multiple of `hidden_size`.
        attention_pattern (`str`, defaults to `"enc_dec_with_lyrics"`):
            One of `ATTENTION_PATTERNS`.
        attn_dropout, emb_dropout, resid_dropout (`float`, default to 0):
            Of attention weights, embeddings and what each layer adds, in training.
        attn_res_scale (`bool`, defaults to `False`):
            What each layer adds is divided by the number of layers.
        blocks (`int`, *optional*, defaults to 64):
            The context is cut into so many blocks.
        conv_res_scale (`bool`, *optional*):
            Residual branches of the conditioner are scaled by one over the root of their number.
        num_layers (`int`, defaults to 72):
            Layers.
        encoder_config (`dict` or [`JukeboxPriorConfig`], *optional*):
            The separate encoder of lyrics. Needed where `nb_relevant_lyric_tokens` is above 0 and `is_encoder_decoder` off.
        encoder_loss_fraction (`float`, defaults to 0.4):
            Weight of the lyrics' loss.
        hidden_size (`int`, defaults to 2048):
            Width.
        init_scale (`float`, defaults to 0.2):
            Factor on the standard deviations of a new model's weights.
        is_encoder_decoder (`bool`, defaults to `True`):
            Lyrics and music are one sequence of one transformer with one vocabulary.
        lyric_vocab_size (`int`, defaults to 80):
            Characters.
        mask (`bool`, defaults to `True`):
            Here for files of transformers 4, whose default was wrong; priors are causal whatever it says.
        max_duration, min_duration (`float`, default to 600 and 0):
            Seconds; the range of the timing signal.
        max_nb_genres (`int`, defaults to 1):
            Words of genre that are added up.
        merged_decoder (`bool`, defaults to `True`):
            The output has a table of its own, and conditioning is not added a second time before it.
        metadata_conditioning (`bool`, defaults to `True`):
            Whether artist, genre and, at the top level, timing are heard.
        metadata_dims (`list[int]`, defaults to `[604, 7898]`):
            Numbers of genres and of artists.
        mlp_multiplier (`float`, defaults to 1.0):
            Width inside the feed-forward layers, as a multiple of `hidden_size`.
        music_vocab_size (`int`, defaults to 2048):
            Codes.
        n_ctx (`int`, defaults to 6144):
            Codes in the context.
        n_heads (`int`, defaults to 2):
            Heads.
        nb_relevant_lyric_tokens (`int`, defaults to 384):
            Characters that are heard at a time.
        res_conv_depth, res_conv_width, res_convolution_multiplier, res_dilation_cycle, res_dilation_growth_rate:
            The conditioner's convolutions, see [`JukeboxVQVAEConfig`].
        res_downs_t, res_strides_t (`list[int]`, default to `[3, 2, 2]` and `[2, 2, 2]`):
            Those of the VQ-VAE, all levels, finest first.
        sampling_rate (`int`, defaults to 44100):
            Hz.
        spread (`int`, *optional*):
            Positions of each block that summary-spread attention keeps.
        timing_dims (`int`, defaults to 64):
            Bins of each part of the timing signal.
        zero_out (`bool`, defaults to `False`):
            What each layer adds starts at zero in a new model.
        weights_license (`str`, *optional*):
            See [`JukeboxVQVAEConfig`].
    """

    model_type = "jukebox_prior"

    act_fn: str = "quick_gelu"
    level: int = 0
    alignment_head: int | None = 2
    alignment_layer: int | None = 68
    attention_multiplier: float | int = 0.25
    attention_pattern: str = "enc_dec_with_lyrics"
    attn_dropout: float | int = 0
    attn_res_scale: bool = False
    blocks: int | None = 64
    conv_res_scale: bool | None = None
    num_layers: int = 72
    emb_dropout: float | int = 0
    encoder_config: Any = None
    encoder_loss_fraction: float | int = 0.4
    hidden_size: int = 2048
    init_scale: float | int = 0.2
    is_encoder_decoder: bool = True
    lyric_vocab_size: int = 80
    mask: bool = True
    max_duration: float | int = 600
    max_nb_genres: int = 1
    merged_decoder: bool = True
    metadata_conditioning: bool = True
    metadata_dims: IntegerList = (604, 7898)
    min_duration: float | int = 0
    mlp_multiplier: float | int = 1.0
    music_vocab_size: int = 2048
    n_ctx: int = 6144
    # The name in files of transformers 4.
    # trf-ignore: TRF023
    n_heads: int = 2
    nb_relevant_lyric_tokens: int = 384
    res_conv_depth: int = 3
    res_conv_width: int = 128
    res_convolution_multiplier: float | int = 1
    res_dilation_cycle: int | None = None
    res_dilation_growth_rate: int = 1
    res_downs_t: IntegerList = (3, 2, 2)
    res_strides_t: IntegerList = (2, 2, 2)
    resid_dropout: float | int = 0
    sampling_rate: int = 44_100
    spread: int | None = None
    timing_dims: int = 64
    zero_out: bool = False
    weights_license: str | None = None

    def __post_init__(self, **kwargs):
        _make_lists(self)
        if isinstance(self.encoder_config, dict):
            # An encoder's context and vocabulary are those of the lyrics, whatever a file of transformers 4 says of them.
            of_lyrics = {
                "n_ctx": self.nb_relevant_lyric_tokens,
                "music_vocab_size": self.lyric_vocab_size,
                "nb_relevant_lyric_tokens": 0,
                "is_encoder_decoder": False,
                "metadata_conditioning": False,
                "encoder_config": None,
            }
            fields = _known_fields(JukeboxPriorConfig, self.encoder_config)
            self.encoder_config = JukeboxPriorConfig(**{**fields, **of_lyrics})
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Refuses numbers that no model can have; part of `@strict`."""
        _check_ranges(
            self,
            {
                "hidden_size": MAX_WIDTH,
                "attention_size": MAX_WIDTH,
                "intermediate_size": MAX_WIDTH,
                "num_layers": MAX_LAYERS,
                "n_heads": MAX_WIDTH,
                "n_ctx": MAX_CONTEXT_LENGTH,
                "music_vocab_size": MAX_VOCABULARY,
                "timing_dims": MAX_VOCABULARY,
                "res_conv_depth": MAX_LAYERS,
                "res_conv_width": MAX_WIDTH,
                "max_nb_genres": 1024,
                "sampling_rate": 768_000,
            },
        )
        if self.act_fn not in ACTIVATIONS:
            raise ValueError(f"act_fn must be one of {', '.join(ACTIVATIONS)}, got {self.act_fn!r}.")
        if self.attention_pattern not in ATTENTION_PATTERNS:
            raise ValueError(
                f"attention_pattern must be one of {', '.join(ATTENTION_PATTERNS)}, got {self.attention_pattern!r}."
            )
        _check_resampling(self)
        if not 0 <= self.level < len(self.res_downs_t):
            raise ValueError(f"level must be from 0 to {len(self.res_downs_t) - 1} (res_downs_t), got {self.level}.")
        if not 0 <= self.nb_relevant_lyric_tokens <= MAX_CONTEXT_LENGTH:
            raise ValueError(
                f"nb_relevant_lyric_tokens must be from 0 to {MAX_CONTEXT_LENGTH}, got {self.nb_relevant_lyric_tokens}."
            )
        if len(self.metadata_dims) != 2:
            raise ValueError(f"metadata_dims must be the numbers of genres and of artists, got {self.metadata_dims}.")
        if self.attention_size % self.n_heads:
            raise ValueError(f"n_heads must divide the attention's width {self.attention_size}, got {self.n_heads}.")
        if self.encoder_config is not None and not isinstance(self.encoder_config, JukeboxPriorConfig):
            raise ValueError(
                f"encoder_config must be a dict or JukeboxPriorConfig, got {type(self.encoder_config).__name__}."
            )
        needs_blocks = set(self.layer_attentions) - {DENSE, CROSS}
        if needs_blocks and (not self.blocks or self.sequence_length % self.blocks):
            raise ValueError(
                f"blocks must divide the sequence of {self.sequence_length} tokens (lyrics and music) for "
                f"{', '.join(sorted(needs_blocks))}, got {self.blocks}."
            )
        if SUMMARY_SPREAD in self.layer_attentions and not (self.spread and 1 <= self.spread <= self.block_length):
            raise ValueError(f"spread must be from 1 to the block's length {self.block_length}, got {self.spread}.")

    @property
    def attention_size(self) -> int:
        """Width of queries, keys and values of all heads together."""
        return int(self.attention_multiplier * self.hidden_size)

    @property
    def intermediate_size(self) -> int:
        """Width inside the feed-forward layers."""
        return int(self.mlp_multiplier * self.hidden_size)

    @property
    def layer_attentions(self) -> list[str]:
        """What each layer attends to."""
        order = ATTENTION_PATTERNS[self.attention_pattern]
        return [attention_of_layer(order, layer) for layer in range(self.num_layers)]

    @property
    def sequence_length(self) -> int:
        """Tokens that the transformer sees: music, and before it lyrics where both are one sequence."""
        return self.n_ctx + (self.nb_relevant_lyric_tokens if self.is_encoder_decoder else 0)

    @property
    def block_length(self) -> int:
        """Tokens in a block."""
        return self.sequence_length // (self.blocks or 1)

    @property
    def vocab_size(self) -> int:
        """Tokens of the transformer: lyrics first, where both are one sequence, then codes."""
        return self.music_vocab_size + (self.lyric_vocab_size if self.has_lyric_prefix else 0)

    @property
    def has_lyric_prefix(self) -> bool:
        """Whether lyrics and music are one sequence."""
        return self.is_encoder_decoder and self.nb_relevant_lyric_tokens > 0

    @property
    def has_lyric_encoder(self) -> bool:
        """Whether lyrics are heard through an encoder of their own."""
        return not self.is_encoder_decoder and self.nb_relevant_lyric_tokens > 0

    @property
    def lyric_layers(self) -> list[int]:
        """Numbers of the layers that hear lyrics."""
        if not self.nb_relevant_lyric_tokens:
            return []
        return [number for number, attention in enumerate(self.layer_attentions) if attention in (CROSS, PRIME)]

    @property
    def alignment(self) -> tuple[int, int] | None:
        """Layer and head whose attention follows the lyrics; `None` where none hears any.

        They are those of the configuration, or head 0 of the last layer that hears lyrics where there is no such head (as
        in files of transformers 4, which name that of 5b-lyrics for 1b-lyrics, too).
        """
        layers, layer, head = self.lyric_layers, self.alignment_layer, self.alignment_head
        if not layers:
            return None
        if layer in layers and head is not None and 0 <= head < self.n_heads:
            return layer, head
        return layers[-1], 0

    @property
    def is_upsampler(self) -> bool:
        """Whether the codes of the level above are heard."""
        return self.level > 0

    @property
    def vqvae_level(self) -> int:
        """The level as the VQ-VAE counts, 0 the finest."""
        return len(self.res_downs_t) - 1 - self.level

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return _hop_lengths(self)[self.vqvae_level]

    @property
    def conditioning_factor(self) -> int:
        """Codes per code of the level above, of an upsampler."""
        return self.res_strides_t[self.vqvae_level + 1] ** self.res_downs_t[self.vqvae_level + 1]


@strict
class JukeboxConfig(PreTrainedConfig):
    r"""
    Configuration of [`JukeboxModel`]: a VQ-VAE and a prior for each of its levels, from the top down.

    Args:
        vqvae_config (`dict` or [`JukeboxVQVAEConfig`], *optional*):
            The VQ-VAE; that of the release by default.
        prior_config_list (`list`, *optional*):
            Priors as `dict` or [`JukeboxPriorConfig`], the top level first; those of transformers 4 by default.
        nb_priors (`int`, defaults to 3):
            How many; the length of `prior_config_list`.
        sampling_rate (`int`, defaults to 44100):
            Hz.
        timing_dims, min_duration, max_duration, max_nb_genres, metadata_conditioning:
            Of priors that are made by default. What `prior_config_list` says of each prior holds. (In transformers 4 these
            overruled it; in files that it wrote they do so here.)
        weights_license (`str`, *optional*):
            See [`JukeboxVQVAEConfig`]; those of the parts hold for the whole, too.
    """

    model_type = "jukebox"
    sub_configs = {"vqvae_config": JukeboxVQVAEConfig}

    vqvae_config: Any = None
    prior_config_list: Any = None
    nb_priors: int = 3
    sampling_rate: int = 44_100
    timing_dims: int = 64
    min_duration: float | int = 0
    max_duration: float | int = 600.0
    max_nb_genres: int = 5
    metadata_conditioning: bool = True
    weights_license: str | None = None

    def __post_init__(self, **kwargs):
        kwargs.pop("hop_fraction", None)  # files of transformers 4 say it twice
        is_transformers_4 = str(self.transformers_version).startswith("4.")
        has_published_layout = self._read_published_layout(kwargs)
        if self.vqvae_config is None:
            self.vqvae_config = JukeboxVQVAEConfig(sampling_rate=self.sampling_rate)
        elif isinstance(self.vqvae_config, dict):
            fields = {"sampling_rate": self.sampling_rate, **_known_fields(JukeboxVQVAEConfig, self.vqvae_config)}
            self.vqvae_config = JukeboxVQVAEConfig(**fields)
        shared = {name: getattr(self, name) for name in SHARED_FIELDS}
        if self.prior_config_list is None:
            self.prior_config_list = [
                {
                    **shared,
                    "level": level,
                    "res_downs_t": self.vqvae_config.res_downs_t,
                    "res_strides_t": self.vqvae_config.res_strides_t,
                }
                for level in range(self.nb_priors)
            ]
        defaults = shared if has_published_layout else {}
        overruling = shared if is_transformers_4 and not has_published_layout else {}
        self.prior_config_list = [
            JukeboxPriorConfig(**{**defaults, **_known_fields(JukeboxPriorConfig, prior), **overruling})
            if isinstance(prior, dict)
            else prior
            for prior in self.prior_config_list
        ]
        if is_transformers_4 or has_published_layout:
            # One number stands there for all levels, but upsamplers hear bags of up to five words of genre (v2).
            for prior in self.prior_config_list[1:]:
                prior.max_nb_genres = max(prior.max_nb_genres, 5)
        self.nb_priors = len(self.prior_config_list)
        super().__post_init__(**kwargs)

    def _read_published_layout(self, extra: dict[str, Any]) -> bool:
        """The files of openai/jukebox-*-lyrics have their priors as `prior_0`, `prior_1`, ... beside the other fields."""
        if self.prior_config_list is not None or "prior_0" not in extra:
            return False
        self.prior_config_list = [extra.pop(f"prior_{level}") for level in range(MAX_LEVELS) if f"prior_{level}" in extra]
        return True

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """As in transformers; what is given of `SHARED_FIELDS` beside the file holds for every prior, as in transformers 4.
        So `from_pretrained(..., min_duration=0)` allows for shorter songs."""
        given = {name: value for name, value in kwargs.items() if name in SHARED_FIELDS}
        result = super().from_dict(config_dict, **kwargs)
        config = result[0] if isinstance(result, tuple) else result
        for prior in config.prior_config_list:
            for name, value in given.items():
                setattr(prior, name, value)
        return result

    def validate_architecture(self):
        """Refuses priors that do not fit the VQ-VAE; part of `@strict`."""
        if not isinstance(self.vqvae_config, JukeboxVQVAEConfig):
            raise ValueError(f"vqvae_config must be a dict or JukeboxVQVAEConfig, got {type(self.vqvae_config).__name__}.")
        if len(self.prior_config_list) > self.vqvae_config.levels:
            raise ValueError(
                f"prior_config_list has {len(self.prior_config_list)} priors, the VQ-VAE {self.vqvae_config.levels} levels."
            )
        for number, prior in enumerate(self.prior_config_list):
            if not isinstance(prior, JukeboxPriorConfig):
                raise ValueError(f"prior_config_list[{number}] must be a dict or JukeboxPriorConfig, got {prior!r}.")
            if prior.level != number:
                raise ValueError(
                    f"prior_config_list[{number}].level must be {number}, from the top down, got {prior.level}."
                )
            expected = {
                "res_downs_t": self.vqvae_config.res_downs_t,
                "res_strides_t": self.vqvae_config.res_strides_t,
                "music_vocab_size": self.vqvae_config.nb_discrete_codes,
            }
            for name, value in expected.items():
                if getattr(prior, name) != value:
                    raise ValueError(
                        f"prior_config_list[{number}].{name} must be the VQ-VAE's {value}, got {getattr(prior, name)}."
                    )

    def to_dict(self) -> dict[str, Any]:
        """As a dict of plain values."""
        output = super().to_dict()
        output["prior_config_list"] = [
            prior.to_dict() if isinstance(prior, PreTrainedConfig) else prior for prior in self.prior_config_list
        ]
        return output

    @property
    def prior_configs(self) -> list[JukeboxPriorConfig]:
        """The priors, the top level first."""
        return self.prior_config_list

    @property
    def hop_fraction(self) -> list[float]:
        """By how much of its context a sampling window moves, the top level first."""
        return self.vqvae_config.hop_fraction

    @classmethod
    def from_preset(cls, name: str) -> "JukeboxConfig":
        """The numbers of a release: `"jukebox-5b"`, `"jukebox-5b-lyrics"`, `"jukebox-1b-lyrics"`, or of this project's
        `"jukebox-tiny"`.

        Raises:
            ValueError: if there is no such preset.
        """
        return cls(**_preset(name))


#: What [`JukeboxConfig`] says of all priors.
SHARED_FIELDS = (
    "sampling_rate",
    "timing_dims",
    "min_duration",
    "max_duration",
    "max_nb_genres",
    "metadata_conditioning",
)
ACTIVATIONS = ("quick_gelu", "gelu", "relu", "swish")


def _make_lists(config: PreTrainedConfig):
    for name, value in vars(config).items():
        if isinstance(value, tuple):
            setattr(config, name, list(value))


def _known_fields(config_class: type, values: dict[str, Any]) -> dict[str, Any]:
    """Without what transformers 4 wrote into nested configurations of its own accord, such as settings of `generate`, and
    without the nulls that stand there for what a prior does not use."""
    fields = config_class.__dataclass_fields__
    return {
        name: value
        for name, value in values.items()
        if name in fields and (value is not None or fields[name].default is None or NoneType in get_args(fields[name].type))
    }


def _check_ranges(config: PreTrainedConfig, limits: dict[str, int]):
    for name, limit in limits.items():
        if not 1 <= getattr(config, name) <= limit:
            raise ValueError(f"{name} must be between 1 and {limit}, got {getattr(config, name)}.")


def _check_resampling(config: PreTrainedConfig):
    downs, strides = config.res_downs_t, config.res_strides_t
    if not 1 <= len(downs) <= MAX_LEVELS or len(downs) != len(strides):
        raise ValueError(
            f"res_downs_t and res_strides_t must have one number for each of 1 to {MAX_LEVELS} levels, "
            f"got {downs} and {strides}."
        )
    if any(not 1 <= down <= 32 for down in downs) or any(not 2 <= stride <= 1024 or stride % 2 for stride in strides):
        # With odd strides a code would stand for another number of samples on the way back than on the way there.
        raise ValueError(
            f"res_downs_t must be from 1 to 32 and res_strides_t even, from 2 to 1024, got {downs} and {strides}."
        )
    if _hop_lengths(config)[-1] > MAX_HOP_LENGTH:
        raise ValueError(
            f"A code of the top level may stand for at most {MAX_HOP_LENGTH} samples; res_downs_t {downs} and "
            f"res_strides_t {strides} make it {_hop_lengths(config)[-1]}."
        )


def _hop_lengths(config: PreTrainedConfig) -> list[int]:
    factors = [stride**down for down, stride in zip(config.res_downs_t, config.res_strides_t, strict=True)]
    return [math.prod(factors[: level + 1]) for level in range(len(factors))]


def _preset(name: str) -> dict[str, Any]:
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; the presets are {', '.join(PRESETS)}.")
    return PRESETS[name]


__all__ = [
    "ATTENTION_PATTERNS",
    "PRESETS",
    "JukeboxConfig",
    "JukeboxPriorConfig",
    "JukeboxVQVAEConfig",
    "attention_of_layer",
]

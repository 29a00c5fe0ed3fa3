"""Names and numbers of openai/jukebox and what they are called here: tensors, hyperparameters, published models.

Tensors of ours have the names that transformers 4 gave them. Every one is stored as in the original: nothing is transposed.
"""

import re
from collections.abc import Mapping
from typing import Any

from hub_models.jukebox.configuration_jukebox import (
    ATTENTION_PATTERNS,
    MAX_LEVELS,
    JukeboxConfig,
    JukeboxPriorConfig,
    JukeboxVQVAEConfig,
)

from .errors import ConversionError

Rules = list[tuple[re.Pattern, Any]]


def _rules(*rules: tuple[str, Any]) -> Rules:
    return [(re.compile(pattern), replacement) for pattern, replacement in rules]


def _resnet(block: int, rest: re.Match) -> str:
    """`model.1` of a residual block is its dilated convolution, `model.3` the pointwise one; the others are activations."""
    return f"{block}.resnet_block.{rest['depth']}.conv1d_{'1' if rest['conv'] == '1' else '2'}.{rest['part']}"


#: A residual block inside `resnets`, which is called `blocks` where the original recomputed it in the backward pass.
_RESIDUAL = r"(?:model|blocks)\.(?P<depth>\d+)\.model\.(?P<conv>[13])\.(?P<part>weight|bias)"
_PART = r"(?P<part>weight|bias)"


def _decoder_block(original: str, ours: str, upsampled: str) -> list[tuple[str, Any]]:
    """Rules of a block that makes codes finer: `model.0`, then pairs of residual blocks and a transposed convolution."""

    def residual(match: re.Match) -> str:
        return match.expand(ours) + f"{upsampled}." + _resnet(2 * (int(match["index"]) - 1), match)

    def transposed(match: re.Match) -> str:
        return match.expand(ours) + f"{upsampled}.{2 * int(match['index']) - 1}.{match['part']}"

    return [
        (rf"{original}model\.0\.{_PART}", rf"{ours}proj_in.\g<part>"),
        (rf"{original}model\.(?P<index>[1-9]\d*)\.0\.{_RESIDUAL}", residual),
        (rf"{original}model\.(?P<index>[1-9]\d*)\.1\.{_PART}", transposed),
    ]


_ENCODER = r"encoders\.(?P<level>\d+)\.level_blocks\.(?P<block>\d+)\."
_ENCODER_OURS = r"encoders.\g<level>.level_blocks.\g<block>."
_DECODER = r"decoders\.(?P<level>\d+)\.level_blocks\.(?P<block>\d+)\."
_DECODER_OURS = r"decoders.\g<level>.level_blocks.\g<block>."


def _strided(match: re.Match) -> str:
    return match.expand(_ENCODER_OURS) + f"downsample_block.{2 * int(match['index'])}.{match['part']}"


def _downsampling_resnet(match: re.Match) -> str:
    return match.expand(_ENCODER_OURS) + "downsample_block." + _resnet(2 * int(match["index"]) + 1, match)


VQVAE_RULES = _rules(
    (rf"{_ENCODER}model\.(?P<index>\d+)\.0\.{_PART}", _strided),
    (rf"{_ENCODER}model\.(?P<index>\d+)\.1\.{_RESIDUAL}", _downsampling_resnet),
    (rf"{_ENCODER}model\.\d+\.{_PART}", rf"{_ENCODER_OURS}proj_out.\g<part>"),
    *_decoder_block(_DECODER, _DECODER_OURS, "upsample_block"),
    (r"decoders\.(\d+)\.out\.(weight|bias)", r"decoders.\1.out.\2"),
    (r"bottleneck\.level_blocks\.(\d+)\.k", r"bottleneck.level_blocks.\1.codebook"),
)


def _weight_or_bias(match: re.Match) -> str:
    return "weight" if match["letter"] == "w" else "bias"


def _layer(match: re.Match) -> str:
    stack = {"prior": "prior", "prime_prior": "encoder"}[match["stack"]]
    return f"{stack}.transformer._attn_mods.{match['layer']}.{match['module']}.{_weight_or_bias(match)}"


def _layer_norm(match: re.Match) -> str:
    stack = {"prior": "prior", "prime_prior": "encoder"}[match["stack"]]
    return f"{stack}.transformer._attn_mods.{match['layer']}.layer_norm_{match['norm']}.{match['part']}"


_LAYER = r"(?P<stack>prior|prime_prior)\.transformer\._attn_mods\.(?P<layer>\d+)\."

PRIOR_RULES = _rules(
    (rf"{_LAYER}(?P<module>attn\.c_attn|attn\.c_proj|attn\.c_enc_kv|mlp\.c_fc|mlp\.c_proj)\.(?P<letter>w|b)", _layer),
    (rf"{_LAYER}ln_(?P<norm>[01])\.{_PART}", _layer_norm),
    (r"prior\.(start_token|pos_emb\.pos_emb)", r"prior.\1"),
    (r"prior\.x_emb\.weight", "prior.embed_tokens.weight"),
    (r"prior\.x_out\.weight", "prior.fc_proj_out.weight"),
    (r"prime_prior\.(start_token|pos_emb\.pos_emb)", r"encoder.\1"),
    (r"prime_prior\.x_emb\.weight", "encoder.embed_tokens.weight"),
    (r"prime_state_proj\.(?P<letter>w|b)", lambda match: f"encoder.proj_in.{_weight_or_bias(match)}"),
    (rf"prime_state_ln\.{_PART}", r"encoder.final_layer_norm.\g<part>"),
    (r"prime_x_out\.weight", "encoder.lm_head.weight"),
    (r"y_emb\.(artist_emb|bow_genre_emb)\.emb\.weight", r"metadata_embedding.\1.weight"),
    (
        r"y_emb\.(total_length_emb|absolute_pos_emb|relative_pos_emb)\.emb\.weight",
        r"metadata_embedding.\1.emb.weight",
    ),
    (r"conditioner_blocks\.0\.x_emb\.weight", "conditioner_blocks.embed_tokens.weight"),
    (rf"conditioner_blocks\.0\.ln\.{_PART}", r"conditioner_blocks.layer_norm.\g<part>"),
    *_decoder_block(r"conditioner_blocks\.0\.cond\.", "conditioner_blocks.upsampler.", "upsample_block"),
)


def _rename(rules: Rules, original: str) -> str | None:
    for pattern, replacement in rules:
        if match := pattern.fullmatch(original):
            return replacement(match) if callable(replacement) else match.expand(replacement)
    return None


def vqvae_name(original: str) -> str | None:
    """What a tensor of the original's VQ-VAE is called in `JukeboxVQVAE`; `None` for a name it does not have."""
    return _rename(VQVAE_RULES, original)


def prior_name(original: str) -> str | None:
    """What a tensor of an original prior is called in `JukeboxPrior`; `None` for a name it does not have."""
    return _rename(PRIOR_RULES, original)


#: Fields of `JukeboxVQVAEConfig` and the original's hyperparameters of the same meaning.
VQVAE_FIELDS = {
    "nb_discrete_codes": "l_bins",
    "commit": "commit",
    "embed_dim": "emb_width",
    "levels": "levels",
    "lmu": "l_mu",
    "res_conv_depth": "depth",
    "res_conv_width": "width",
    "res_convolution_multiplier": "m_conv",
    "res_dilation_cycle": "dilation_cycle",
    "res_dilation_growth_rate": "dilation_growth_rate",
    "res_downs_t": "downs_t",
    "res_strides_t": "strides_t",
    "sample_length": "sample_length",
    "reverse_decoder_dilation": "vqvae_reverse_decoder_dilation",
    "sampling_rate": "sr",
    "revival_threshold": "revival_threshold",
    "loss_fn": "loss_fn",
    "lmix_l1": "lmix_l1",
    "lmix_l2": "lmix_l2",
    "lmix_linf": "lmix_linf",
    "linf_k": "linf_k",
    "spectral": "spectral",
    "multispectral": "multispectral",
    "use_nonrelative_specloss": "use_nonrelative_specloss",
    "multispec_loss_n_fft": "multispec_loss_n_fft",
    "multispec_loss_hop_length": "multispec_loss_hop_length",
    "multispec_loss_window_size": "multispec_loss_window_size",
}
#: Fields of `JukeboxPriorConfig`.
PRIOR_FIELDS = {
    "alignment_head": "alignment_head",
    "alignment_layer": "alignment_layer",
    "attention_multiplier": "m_attn",
    "attn_dropout": "attn_dropout",
    "attn_res_scale": "res_scale",
    "blocks": "blocks",
    "conv_res_scale": "cond_res_scale",
    "num_layers": "prior_depth",
    "emb_dropout": "emb_dropout",
    "encoder_loss_fraction": "prime_loss_fraction",
    "hidden_size": "prior_width",
    "init_scale": "init_scale",
    "is_encoder_decoder": "single_enc_dec",
    "max_duration": "max_duration",
    "merged_decoder": "merged_decoder",
    "metadata_conditioning": "labels",
    "min_duration": "min_duration",
    "mlp_multiplier": "m_mlp",
    "n_ctx": "n_ctx",
    "n_heads": "heads",
    "res_conv_depth": "cond_depth",
    "res_conv_width": "cond_width",
    "res_convolution_multiplier": "cond_m_conv",
    "res_dilation_cycle": "cond_dilation_cycle",
    "res_dilation_growth_rate": "cond_dilation_growth_rate",
    "resid_dropout": "resid_dropout",
    "sampling_rate": "sr",
    "spread": "spread",
    "timing_dims": "t_bins",
    "zero_out": "zero_out",
}
#: Fields of the lyric encoder's `JukeboxPriorConfig`.
ENCODER_FIELDS = {
    "attention_multiplier": "prime_m_attn",
    "attn_dropout": "prime_attn_dropout",
    "attn_res_scale": "prime_res_scale",
    "blocks": "prime_blocks",
    "num_layers": "prime_depth",
    "emb_dropout": "prime_emb_dropout",
    "hidden_size": "prime_width",
    "init_scale": "prime_init_scale",
    "mlp_multiplier": "prime_m_mlp",
    "n_heads": "prime_heads",
    "resid_dropout": "prime_resid_dropout",
    "spread": "prime_spread",
    "zero_out": "prime_zero_out",
}
#: Hyperparameters that may be `None` where they say nothing: the field keeps its default.
_OPTIONAL = ("max_duration", "min_duration")


def vqvae_config_from(hps: Mapping[str, Any]) -> JukeboxVQVAEConfig:
    """The configuration that the original's hyperparameters of a VQ-VAE mean.

    Raises:
        ConversionError: hyperparameters are missing or describe no VQ-VAE.
    """
    fields = _fields(VQVAE_FIELDS, hps, "VQ-VAE")
    levels = fields["levels"]
    if not isinstance(levels, int) or not 1 <= levels <= MAX_LEVELS:
        raise ConversionError(f"The VQ-VAE has levels {levels!r}; 1 to {MAX_LEVELS} are possible.")
    fields["multipliers"] = hps.get("hvqvae_multipliers") or [1] * levels
    fields["hop_fraction"] = [0.125, *[0.5] * (levels - 1)]
    if isinstance(bandwidth := hps.get("bandwidth"), Mapping):
        fields |= {f"bandwidth_{name}": bandwidth[name] for name in ("l1", "l2", "spec") if name in bandwidth}
    return _make(JukeboxVQVAEConfig, fields, "VQ-VAE")


def prior_config_from(hps: Mapping[str, Any], vqvae_hps: Mapping[str, Any]) -> JukeboxPriorConfig:
    """The configuration that the original's hyperparameters of a prior mean.

    Args:
        vqvae_hps: of the VQ-VAE whose codes the prior is about, of which the prior's own do not know:
            `levels`, `downs_t`, `strides_t` and `l_bins`.

    Raises:
        ConversionError: hyperparameters are missing or describe no prior.
    """
    fields = _fields(PRIOR_FIELDS, hps, "prior")
    of_vqvae = {"music_vocab_size": "l_bins", "res_downs_t": "downs_t", "res_strides_t": "strides_t"}
    fields |= _fields(of_vqvae, vqvae_hps, "VQ-VAE")
    level = _required(hps, ("level",), "prior")["level"]
    levels = len(fields["res_downs_t"]) if isinstance(fields["res_downs_t"], list | tuple) else 0
    if not isinstance(level, int) or not 0 <= level < levels:
        raise ConversionError(f"The prior is of level {level!r}, but its VQ-VAE has {levels} levels.")
    if hps.get("cond_levels") not in (None, level, [level + 1], (level + 1,), [], ()):
        raise ConversionError(f"The prior hears the levels {hps['cond_levels']}; only the next one can be converted.")
    for name in ("copy_input", "y_cond_as_bias", "prime_rel_attn"):
        if hps.get(name):
            raise ConversionError(f"The prior's hyperparameter {name} is on; no published model has it, and it is not here.")
    fields["level"] = levels - 1 - level
    fields["attention_pattern"] = _pattern(hps, "attn_order")
    fields["nb_relevant_lyric_tokens"] = hps.get("n_tokens", 0) if hps.get("use_tokens") else 0
    fields["lyric_vocab_size"] = hps.get("n_vocab") or 80
    fields["is_encoder_decoder"] = bool(fields["is_encoder_decoder"] and fields["nb_relevant_lyric_tokens"])
    fields["max_nb_genres"] = hps.get("max_bow_genre_size") or 1
    if fields["metadata_conditioning"]:
        fields["metadata_dims"] = _required(hps, ("y_bins",), "prior")["y_bins"]
    if fields["nb_relevant_lyric_tokens"] and not fields["is_encoder_decoder"]:
        encoder = _fields(ENCODER_FIELDS, hps, "lyric encoder")
        fields["encoder_config"] = encoder | {"attention_pattern": _pattern(hps, "prime_attn_order")}
    return _make(JukeboxPriorConfig, fields, "prior")


def _fields(table: dict[str, str], hps: Mapping[str, Any], what: str) -> dict[str, Any]:
    values = _required(hps, table.values(), what)
    return {field: values[name] for field, name in table.items() if not (field in _OPTIONAL and values[name] is None)}


def _required(hps: Mapping[str, Any], names, what: str) -> dict[str, Any]:
    if missing := [name for name in names if name not in hps]:
        raise ConversionError(
            f"The hyperparameters of the {what} lack {', '.join(missing)}; if this is a published model, say which with "
            f"--config: {', '.join(PUBLISHED_NAMES)}."
        )
    return {name: hps[name] for name in names}


def _pattern(hps: Mapping[str, Any], name: str) -> str:
    order = _required(hps, (name,), "prior")[name]
    patterns = {number: pattern for pattern, number in ATTENTION_PATTERNS.items()}
    if order not in patterns:
        raise ConversionError(f"The prior's {name} is {order!r}; known are {', '.join(map(str, sorted(patterns)))}.")
    return patterns[order]


def _make(config_class: type, fields: dict[str, Any], what: str):
    try:
        return config_class(**fields)
    except Exception as error:  # huggingface_hub wraps what @strict finds in errors of its own
        raise ConversionError(f"The hyperparameters describe no {what}: {' '.join(str(error).split())[:500]}") from error


#: Names of published checkpoints and which part of which preset they are: `None` for the VQ-VAE, else the prior's index.
PUBLISHED: dict[str, tuple[str, int | None]] = {
    "vqvae": ("jukebox-5b", None),
    "upsampler_level_0": ("jukebox-5b", 2),
    "upsampler_level_1": ("jukebox-5b", 1),
    "prior_5b": ("jukebox-5b", 0),
    "prior_5b_lyrics": ("jukebox-5b-lyrics", 0),
    "prior_1b_lyrics": ("jukebox-1b-lyrics", 0),
}
#: Names of published models and their top priors; they share the rest.
PUBLISHED_MODELS = {"5b": "prior_5b", "5b_lyrics": "prior_5b_lyrics", "1b_lyrics": "prior_1b_lyrics"}
PUBLISHED_NAMES = (*PUBLISHED, *PUBLISHED_MODELS)


def published_config(name: str) -> JukeboxVQVAEConfig | JukeboxPriorConfig:
    """The configuration of a published checkpoint, one of `PUBLISHED`."""
    preset, index = PUBLISHED[name]
    config = JukeboxConfig.from_preset(preset)
    return config.vqvae_config if index is None else config.prior_configs[index]

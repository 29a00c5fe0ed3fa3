"""Numbers of the released Jukebox models and of this project's small one, as fields of the configurations."""

from typing import Any

_LABELS_V2 = {"metadata_dims": [120, 4111], "max_nb_genres": 5, "timing_dims": 128}
_NO_LYRICS = {"nb_relevant_lyric_tokens": 0, "is_encoder_decoder": False, "encoder_loss_fraction": 0.0}
_TOP = {
    "level": 0,
    "n_ctx": 8192,
    "hidden_size": 4800,
    "n_heads": 8,
    "blocks": 128,
    "init_scale": 0.1,
    "merged_decoder": True,
}


def _upsampler(level: int, **rest) -> dict[str, Any]:
    """A prior below the top, whose conditioner is as wide and deep in all releases."""
    return {
        "level": level,
        "n_ctx": 8192,
        "hidden_size": 1920,
        "num_layers": 72,
        "n_heads": 1,
        "attention_pattern": "raw_column_previous_row_attention",
        "blocks": 128,
        "init_scale": 0.4,
        "merged_decoder": False,
        "res_conv_width": 1024,
        "res_conv_depth": 16,
        "res_dilation_growth_rate": 3,
        "res_dilation_cycle": 8,
        **_LABELS_V2,
        **_NO_LYRICS,
        **rest,
    }


_UPSAMPLERS = [_upsampler(1, conv_res_scale=True), _upsampler(2, conv_res_scale=False)]
_PRIOR_5B = {
    **_TOP,
    **_LABELS_V2,
    **_NO_LYRICS,
    "num_layers": 72,
    "attention_pattern": "raw_column_previous_row_attention",
    "min_duration": 60,
}
_PRIOR_5B_LYRICS = {
    **_TOP,
    **_LABELS_V2,
    "num_layers": 79,
    "attention_pattern": "large_separated_enc_dec_w_lyrics",
    "is_encoder_decoder": False,
    "nb_relevant_lyric_tokens": 512,
    "lyric_vocab_size": 80,
    "encoder_loss_fraction": 0.4,
    "encoder_config": {
        "hidden_size": 1280,
        "num_layers": 18,
        "n_heads": 4,
        "attention_pattern": "raw_column_previous_row_attention",
        "blocks": 32,
        "init_scale": 0.7,
    },
    "min_duration": 23.8,
    "alignment_layer": 68,
    "alignment_head": 2,
}
_PRIOR_1B_LYRICS = {
    "level": 0,
    "n_ctx": 6144,
    "hidden_size": 2048,
    "num_layers": 72,
    "n_heads": 2,
    "attention_pattern": "enc_dec_with_lyrics",
    "blocks": 64,
    "init_scale": 0.2,
    "merged_decoder": False,
    "is_encoder_decoder": True,
    "metadata_dims": [604, 7898],
    "max_nb_genres": 1,
    "timing_dims": 64,
    "nb_relevant_lyric_tokens": 384,
    "lyric_vocab_size": 79,
    "encoder_loss_fraction": 0.4,
    "min_duration": 17.84,
    "alignment_layer": 63,
    "alignment_head": 0,
}


def _release(top: dict[str, Any]) -> dict[str, Any]:
    return {"vqvae_config": {}, "prior_config_list": [top, *_UPSAMPLERS]}


_TINY_RATE = {"sampling_rate": 22_050}
_TINY_RESAMPLING = {"res_downs_t": [1, 1, 1], "res_strides_t": [8, 4, 4]}
_TINY_PRIOR = {
    **_TINY_RATE,
    **_TINY_RESAMPLING,
    "music_vocab_size": 512,
    "n_ctx": 1024,
    "blocks": 32,
    "attention_multiplier": 0.5,
    "mlp_multiplier": 2.0,
    "n_heads": 4,
    "init_scale": 1.0,
    "merged_decoder": False,
    "metadata_dims": [16, 16],
    "max_nb_genres": 1,
    "timing_dims": 64,
    "min_duration": 1,
    "max_duration": 60,
    "res_conv_width": 48,
    "res_conv_depth": 3,
    "res_dilation_growth_rate": 3,
    "conv_res_scale": True,
}
_TINY_UPSAMPLER = {**_TINY_PRIOR, **_NO_LYRICS, "attention_pattern": "raw_column_previous_row_attention"}

#: Names and numbers of the original release, and of the model that this project trains.
PRESETS: dict[str, dict[str, Any]] = {
    "jukebox-5b": _release(_PRIOR_5B),
    "jukebox-5b-lyrics": _release(_PRIOR_5B_LYRICS),
    "jukebox-1b-lyrics": _release(_PRIOR_1B_LYRICS),
    "jukebox-tiny": {
        **_TINY_RATE,
        "vqvae_config": {
            **_TINY_RATE,
            **_TINY_RESAMPLING,
            "nb_discrete_codes": 512,
            "embed_dim": 32,
            "multipliers": [1, 1, 1],
            "res_conv_width": 32,
            "res_conv_depth": 4,
            "sample_length": 16_384,
            # For batches of two chunks, in which a code of the top level is hit half a time per step.
            "lmu": 0.98,
            "revival_threshold": 0.07,
            "commit": 0.05,
        },
        "prior_config_list": [
            {
                **_TINY_PRIOR,
                "level": 0,
                "hidden_size": 256,
                "num_layers": 8,
                "attention_pattern": "enc_dec_every_4_layers",
                "is_encoder_decoder": False,
                # A window lasts 5.9 s; at ten characters a second it has about as many, so that where a word stands in these
                # tells when it sounds.
                "nb_relevant_lyric_tokens": 64,
                "lyric_vocab_size": 80,
                "encoder_loss_fraction": 0.1,
                "encoder_config": {
                    "hidden_size": 128,
                    "num_layers": 2,
                    "n_heads": 4,
                    "attention_pattern": "raw_column_previous_row_attention",
                    "attention_multiplier": 0.5,
                    "blocks": 8,
                    "init_scale": 1.0,
                },
                "alignment_layer": 7,
                "alignment_head": 0,
            },
            {**_TINY_UPSAMPLER, "level": 1, "hidden_size": 192, "num_layers": 6},
            {**_TINY_UPSAMPLER, "level": 2, "hidden_size": 192, "num_layers": 6},
        ],
    },
}

"""Configurations: what numbers mean, which go together, and that files say the same again."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from hub_models.jukebox.configuration_jukebox import (
    ATTENTION_PATTERNS,
    PRESETS,
    JukeboxConfig,
    JukeboxPriorConfig,
    JukeboxVQVAEConfig,
)

from .small_models import small_config

JOINT = {"is_encoder_decoder": True, "nb_relevant_lyric_tokens": 8, "n_ctx": 24, "blocks": 4, "num_layers": 16}
MUSIC = {"is_encoder_decoder": False, "nb_relevant_lyric_tokens": 0, "attention_pattern": "full_dense_attention"}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_saved_and_read_again(name, tmp_path):
    config = JukeboxConfig.from_preset(name)
    config.save_pretrained(tmp_path)
    assert JukeboxConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_published_models_hear_windows_of_the_published_lengths():
    def seconds(config):
        return [round(prior.n_ctx * prior.hop_length / prior.sampling_rate, 1) for prior in config.prior_configs]

    assert seconds(JukeboxConfig.from_preset("jukebox-1b-lyrics")) == [17.8, 5.9, 1.5]
    assert seconds(JukeboxConfig.from_preset("jukebox-5b-lyrics")) == [23.8, 5.9, 1.5]


def test_published_models_listen_to_lyrics_in_the_published_layers():
    joint = JukeboxConfig.from_preset("jukebox-1b-lyrics").prior_configs[0]
    separate = JukeboxConfig.from_preset("jukebox-5b-lyrics").prior_configs[0]
    silent = JukeboxConfig.from_preset("jukebox-5b").prior_configs[0]
    assert (joint.lyric_layers, joint.alignment) == ([15, 31, 63], (63, 0))
    assert (separate.lyric_layers, separate.alignment) == ([18, 28, 38, 48, 58, 68, 78], (68, 2))
    assert (silent.lyric_layers, silent.alignment) == ([], None)


@pytest.mark.parametrize(
    ("layer", "head", "expected"),
    [(15, 1, (15, 1)), (3, 1, (15, 0)), (None, None, (15, 0)), (15, 2, (15, 0)), (15, -1, (15, 0)), (15, None, (15, 0))],
)
def test_where_the_named_head_hears_no_lyrics_it_is_the_first_of_the_last_layer_that_does(layer, head, expected):
    config = JukeboxPriorConfig(**JOINT, alignment_layer=layer, alignment_head=head)
    assert config.alignment == expected


def test_lyrics_and_music_may_be_one_sequence_of_one_vocabulary():
    config = JukeboxPriorConfig(**JOINT, music_vocab_size=100, lyric_vocab_size=20)
    assert (config.sequence_length, config.block_length, config.vocab_size) == (32, 8, 120)
    assert config.has_lyric_prefix
    assert not config.has_lyric_encoder


def test_levels_of_priors_count_from_the_top_and_those_of_the_vqvae_from_the_bottom():
    priors = small_config().prior_configs
    assert [prior.vqvae_level for prior in priors] == [2, 1, 0]
    assert [prior.hop_length for prior in priors] == [16, 8, 4]
    assert [prior.is_upsampler for prior in priors] == [False, True, True]
    assert [prior.conditioning_factor for prior in priors[1:]] == [2, 2]


def test_the_encoder_of_lyrics_is_as_long_as_the_lyrics_whatever_a_file_says():
    encoder = {"n_ctx": 999, "music_vocab_size": 7, "blocks": 4, "attention_pattern": "row_column_attention"}
    lyrics = {"nb_relevant_lyric_tokens": 8, "is_encoder_decoder": False, "lyric_vocab_size": 80}
    config = JukeboxPriorConfig(**lyrics, encoder_config=encoder)
    assert (config.encoder_config.n_ctx, config.encoder_config.vocab_size) == (8, 80)
    assert not config.encoder_config.metadata_conditioning


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"levels": 2}, "multipliers must have one number for each of the 2 levels"),
        ({"res_strides_t": [2, 3, 2]}, "res_strides_t even"),
        ({"res_downs_t": [3, 2]}, "res_downs_t must have one number for each of the 3 levels"),
        ({"res_downs_t": [30, 2, 2]}, "may stand for at most 1048576 samples"),
        ({"hop_fraction": [0, 0.5, 0.5]}, "hop_fraction must be above 0 and at most 1"),
        ({"multipliers": [0, 1, 1]}, "multipliers must be between 1 and 64"),
        ({"nb_discrete_codes": 0}, "nb_discrete_codes must be between 1 and"),
        ({"loss_fn": "l3"}, "loss_fn must be one of l1, l2, linf, lmix, got 'l3'"),
        ({"act_fn": "gelu"}, "act_fn must be relu"),
        ({"embed_dim": "wide"}, "embed_dim"),
    ],
)
def test_numbers_that_no_vqvae_has_are_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        JukeboxVQVAEConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attention_pattern": "raw"}, "attention_pattern must be one of full_dense_attention, .* got 'raw'"),
        ({"act_fn": "tanh"}, "act_fn must be one of quick_gelu, gelu, relu, swish, got 'tanh'"),
        ({"level": 3}, r"level must be from 0 to 2 \(res_downs_t\), got 3"),
        ({"n_heads": 3}, "n_heads must divide the attention's width 512, got 3"),
        ({"metadata_dims": [1, 2, 3]}, "metadata_dims must be the numbers of genres and of artists"),
        ({"nb_relevant_lyric_tokens": -1}, "nb_relevant_lyric_tokens must be from 0"),
        ({"hidden_size": 10**9}, "hidden_size must be between 1 and"),
        ({"encoder_config": "small"}, "encoder_config must be a dict or JukeboxPriorConfig, got str"),
        ({"attention_pattern": "row_column_attention", "blocks": 7}, "blocks must divide the sequence of 6144 tokens"),
        ({"attention_pattern": "row_column_attention", "blocks": None}, "blocks must divide the sequence"),
        (
            {"attention_pattern": "row_summary_spread_attention", "spread": 97},
            "spread must be from 1 to the block's length 96",
        ),
    ],
)
def test_numbers_that_no_prior_has_are_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        JukeboxPriorConfig(**MUSIC | fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1}, r"prior_config_list\[0\].level must be 0, from the top down, got 1"),
        ({"music_vocab_size": 31}, r"prior_config_list\[0\].music_vocab_size must be the VQ-VAE's 32, got 31"),
        ({"res_strides_t": [2, 2, 2]}, r"prior_config_list\[0\].res_strides_t must be the VQ-VAE's \[4, 2, 2\]"),
    ],
)
def test_priors_of_other_codes_are_refused(change, message):
    config = small_config().to_dict()
    config["prior_config_list"][0].update(change)
    with pytest.raises(StrictDataclassError, match=message):
        JukeboxConfig(vqvae_config=config["vqvae_config"], prior_config_list=config["prior_config_list"])


def test_there_are_at_most_as_many_priors_as_levels_and_may_be_fewer():
    config = small_config().to_dict()
    priors = config["prior_config_list"]
    assert JukeboxConfig(vqvae_config=config["vqvae_config"], prior_config_list=priors[:1]).nb_priors == 1
    with pytest.raises(StrictDataclassError, match="prior_config_list has 4 priors, the VQ-VAE 3 levels"):
        JukeboxConfig(vqvae_config=config["vqvae_config"], prior_config_list=[*priors, priors[0]])


def test_an_unknown_preset_is_told_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"no preset 'jukebox'; the presets are .*jukebox-1b-lyrics"):
        JukeboxConfig.from_preset("jukebox")


def test_every_pattern_has_a_name_and_a_number():
    assert sorted(ATTENTION_PATTERNS.values()) == list(range(13))

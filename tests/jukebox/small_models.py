"""A three-level model with random weights, small enough to sample in tests, and its tokenizer."""

import torch

from hub_models.jukebox.configuration_jukebox import JukeboxConfig
from hub_models.jukebox.modeling_jukebox import JukeboxModel
from hub_models.jukebox.tokenization_jukebox import JukeboxTokenizer

RATE = 1000
#: Samples of a code at each level, from the top.
HOPS = (16, 8, 4)
CODES = 32

_SHARED = {
    "sampling_rate": RATE,
    "res_downs_t": [1, 1, 1],
    "res_strides_t": [4, 2, 2],
    "music_vocab_size": CODES,
    "hidden_size": 16,
    "num_layers": 3,
    "n_heads": 2,
    "attention_multiplier": 0.5,
    "attention_pattern": "raw_column_previous_row_attention",
    "n_ctx": 32,
    "blocks": 4,
    "init_scale": 3.0,
    "merged_decoder": False,
    "metadata_dims": [4, 4],
    "max_nb_genres": 1,
    "timing_dims": 8,
    "min_duration": 0.2,
    "max_duration": 10,
    "is_encoder_decoder": False,
    "nb_relevant_lyric_tokens": 0,
    "encoder_loss_fraction": 0.0,
    "res_conv_width": 8,
    "res_conv_depth": 1,
}
_LYRICS = {
    "num_layers": 4,
    "attention_pattern": "enc_dec_every_4_layers",
    "nb_relevant_lyric_tokens": 8,
    "lyric_vocab_size": 80,
    "encoder_config": {
        "hidden_size": 16,
        "num_layers": 1,
        "n_heads": 2,
        "attention_pattern": "raw_column_previous_row_attention",
        "attention_multiplier": 0.5,
        "blocks": 4,
        "init_scale": 3.0,
    },
    "alignment_layer": 3,
    "alignment_head": 1,
}


def small_config(lyrics: bool = True, labels: bool = True) -> JukeboxConfig:
    """Three levels with windows of 32 codes: 0.512, 0.256 and 0.128 seconds."""
    shared = {**_SHARED, "metadata_conditioning": labels}
    return JukeboxConfig(
        sampling_rate=RATE,
        vqvae_config={
            "sampling_rate": RATE,
            "res_downs_t": [1, 1, 1],
            "res_strides_t": [4, 2, 2],
            "nb_discrete_codes": CODES,
            "embed_dim": 8,
            "multipliers": [1, 1, 1],
            "res_conv_width": 8,
            "res_conv_depth": 1,
            "hop_fraction": [0.125, 0.5, 0.5],
        },
        prior_config_list=[
            {**shared, "level": 0, **(_LYRICS if lyrics else {})},
            {**shared, "level": 1},
            {**shared, "level": 2},
        ],
    )


def small_model(seed: int = 0, lyrics: bool = True, labels: bool = True) -> JukeboxModel:
    """A model with random weights."""
    torch.manual_seed(seed)
    return JukeboxModel(small_config(lyrics, labels)).eval()


def small_tokenizer() -> JukeboxTokenizer:
    """Three artists, three genres."""
    return JukeboxTokenizer.from_names(["flute", "harp", "voice"], ["folk", "waltz", "march"], version="v3")


def small_folder(path, seed: int = 0, **kwargs):
    """A saved model with its tokenizer; gives the path."""
    small_model(seed, **kwargs).save_pretrained(path)
    small_tokenizer().save_pretrained(path)
    return path


class QuickPrior(torch.nn.Module):
    """Stands for a prior: what it writes follows from its generators and from all that it hears, at once.

    `calls` holds the arguments of every `sample`.
    """

    def __init__(self, config):
        super().__init__()
        self.config, self.calls = config, []
        self.weight = torch.nn.Parameter(torch.arange(20.0) + config.level)

    def sample(self, n_samples, generator, on_tokens=None, **given):
        self.calls.append({"n_samples": n_samples, **given})
        known, length = given["music_tokens"], given["sample_tokens"]
        heard = [known, given["music_tokens_conds"], given["metadata"]]
        sums = sum(tokens.sum(1, keepdim=True) for tokens in heard if tokens is not None)
        drawn = [torch.randint(CODES, (length - known.shape[1],), generator=each) for each in generator]
        for count in range(known.shape[1] + 8, length + 8, 8):
            if on_tokens is not None:
                on_tokens(min(count, length))
        return torch.cat([known, (torch.stack(drawn) + sums) % CODES], dim=1)


def quick_model(lyrics: bool = False, labels: bool = True) -> JukeboxModel:
    """A model with a real VQ-VAE and quick priors."""
    config = small_config(lyrics, labels)
    torch.manual_seed(0)
    model = JukeboxModel(JukeboxConfig(vqvae_config=config.vqvae_config, prior_config_list=[]))
    model.config = config
    model.priors.extend(QuickPrior(prior) for prior in config.prior_configs)
    return model.eval()

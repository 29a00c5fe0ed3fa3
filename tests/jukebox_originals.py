"""Small checkpoints as openai/jukebox writes them: hyperparameters, and random tensors under the original's names."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

VQVAE_HPS: dict[str, Any] = {
    "levels": 3,
    "downs_t": (3, 2, 2),
    "strides_t": (2, 2, 2),
    "hvqvae_multipliers": (2, 1, 1),
    "emb_width": 6,
    "l_bins": 16,
    "l_mu": 0.99,
    "commit": 0.02,
    "spectral": 0.0,
    "multispectral": 1.0,
    "loss_fn": "lmix",
    "linf_k": 2048,
    "lmix_l1": 0.0,
    "lmix_l2": 1.0,
    "lmix_linf": 0.02,
    "depth": 2,
    "width": 4,
    "m_conv": 1.0,
    "dilation_growth_rate": 3,
    "dilation_cycle": None,
    "vqvae_reverse_decoder_dilation": True,
    "revival_threshold": 1.0,
    "use_nonrelative_specloss": True,
    "multispec_loss_n_fft": (2048, 1024, 512),
    "multispec_loss_hop_length": (240, 120, 50),
    "multispec_loss_window_size": (1200, 600, 240),
    "sr": 44_100,
    "sample_length": 8192,
}
#: A top prior without lyrics; what else there is comes with `prior_hps(...)`.
PRIOR_HPS: dict[str, Any] = {
    # Of the VQ-VAE these say nothing: the original gives them their defaults.
    **{"levels": 2, "downs_t": (1, 1), "strides_t": (2, 2), "l_bins": 512},
    **{"level": 2, "n_ctx": 32, "prior_width": 16, "prior_depth": 3, "heads": 1, "attn_order": 2, "blocks": 8},
    **{"spread": None, "m_attn": 0.25, "m_mlp": 1.0, "init_scale": 0.2, "zero_out": False, "res_scale": False},
    **{"attn_dropout": 0.0, "resid_dropout": 0.0, "emb_dropout": 0.0, "merged_decoder": True, "single_enc_dec": False},
    **{"labels": True, "labels_v3": False, "y_bins": (5, 7), "t_bins": 4, "max_bow_genre_size": 5},
    **{"min_duration": 1.0, "max_duration": 600.0, "sr": 44_100, "use_tokens": False, "n_tokens": 0, "n_vocab": 80},
    **{"prime_loss_fraction": 0.0, "alignment_layer": None, "alignment_head": None},
    **{"cond_depth": 2, "cond_width": 4, "cond_m_conv": 1.0, "cond_res_scale": False, "cond_dilation_growth_rate": 3},
    **{"cond_dilation_cycle": None, "cond_c_res": 0, "cond_levels": None},
    **{"prime_width": 8, "prime_depth": 2, "prime_heads": 1, "prime_attn_order": 2, "prime_blocks": 4},
    **{"prime_spread": None, "prime_m_attn": 0.25, "prime_m_mlp": 1.0, "prime_init_scale": 0.7, "prime_zero_out": False},
    **{"prime_res_scale": False, "prime_attn_dropout": 0.0, "prime_resid_dropout": 0.0, "prime_emb_dropout": 0.0},
}
TOP = {}
UPSAMPLER = {"merged_decoder": False, "min_duration": None, "max_duration": None, "cond_c_res": 1}
SEPARATE_LYRICS = {"use_tokens": True, "n_tokens": 8, "attn_order": 8, "prior_depth": 10, "prime_loss_fraction": 0.4}
JOINT_LYRICS = {
    **{"use_tokens": True, "n_tokens": 8, "n_vocab": 79, "single_enc_dec": True, "attn_order": 12, "prior_depth": 16},
    **{"merged_decoder": False, "labels_v3": True, "max_bow_genre_size": 1, "alignment_layer": 15, "alignment_head": 0},
}
KINDS: dict[str, dict[str, Any]] = {
    "top": TOP,
    "upsampler_level_1": UPSAMPLER | {"level": 1},
    "upsampler_level_0": UPSAMPLER | {"level": 0},
    "separate_lyrics": SEPARATE_LYRICS,
    "joint_lyrics": JOINT_LYRICS,
    "no_labels": {"labels": False, "y_bins": 0, "merged_decoder": False},
}
CROSS_LAYERS = {8: (9,)}


def prior_hps(kind: str, **changes: Any) -> dict[str, Any]:
    return PRIOR_HPS | KINDS[kind] | changes


def vqvae_tensors(seed: int = 0) -> dict[str, Tensor]:
    """What the state of `VQVAE_HPS` consists of."""
    make = _Maker(seed)
    hps = VQVAE_HPS
    for level in range(hps["levels"]):
        width = hps["width"] * hps["hvqvae_multipliers"][level]
        depth = hps["depth"] * hps["hvqvae_multipliers"][level]
        for block in range(level + 1):
            encoder = f"encoders.{level}.level_blocks.{block}.model"
            outer = 1 if block == 0 else hps["emb_width"]
            for index in range(hps["downs_t"][block]):
                make.convolution(f"{encoder}.{index}.0", width, outer if index == 0 else width, 4)
                make.resnet(f"{encoder}.{index}.1.model", width, depth)
            make.convolution(f"{encoder}.{hps['downs_t'][block]}", hps["emb_width"], width, 3)
            decoder = f"decoders.{level}.level_blocks.{block}.model"
            make.upsampling(decoder, hps["emb_width"], width, depth, hps["downs_t"][block])
        make.convolution(f"decoders.{level}.out", 1, hps["emb_width"], 3)
        make.tensor(f"bottleneck.level_blocks.{level}.k", hps["l_bins"], hps["emb_width"])
    return make.tensors


def prior_tensors(hps: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """What the state of a prior consists of, as the original stores it, its output tied or not."""
    make = _Maker(seed)
    width, codes = hps["prior_width"], VQVAE_HPS["l_bins"]
    joint = hps["single_enc_dec"]
    if hps["level"] < 2:
        make.tensor("conditioner_blocks.0.x_emb.weight", codes, width)
        resnets = "blocks" if hps["cond_c_res"] else "model"
        downs = VQVAE_HPS["downs_t"][hps["level"] + 1]
        make.upsampling("conditioner_blocks.0.cond.model", width, hps["cond_width"], hps["cond_depth"], downs, resnets)
        make.norm("conditioner_blocks.0.ln", width)
    if hps["labels"]:
        make.tensor("y_emb.bow_genre_emb.emb.weight", hps["y_bins"][0], width)
        make.tensor("y_emb.artist_emb.emb.weight", hps["y_bins"][1], width)
        for part in ("total_length", "absolute_pos", "relative_pos") if hps["level"] == 2 else ():
            make.tensor(f"y_emb.{part}_emb.emb.weight", hps["t_bins"], width)
    else:
        make.tensor("prior.start_token", 1, width)
    if hps["use_tokens"] and not joint:
        inner = hps["prime_width"]
        make.tensor("prime_prior.start_token", 1, inner)
        make.tensor("prime_prior.x_emb.weight", hps["n_vocab"], inner)
        make.tensor("prime_prior.pos_emb.pos_emb", hps["n_tokens"], inner)
        for layer in range(hps["prime_depth"]):
            make.layer(f"prime_prior.transformer._attn_mods.{layer}", inner)
        make.conv1d("prime_state_proj", inner, width)
        make.norm("prime_state_ln", width)
        make.tensor("prime_x_out.weight", hps["n_vocab"], width)
    vocabulary = codes + (hps["n_vocab"] if joint else 0)
    make.tensor("prior.x_emb.weight", vocabulary, width)
    make.tensor("prior.pos_emb.pos_emb", hps["n_ctx"] + (hps["n_tokens"] if joint else 0), width)
    for layer in range(hps["prior_depth"]):
        is_cross = layer in CROSS_LAYERS.get(hps["attn_order"], ())
        make.layer(f"prior.transformer._attn_mods.{layer}", width, is_cross)
    if hps["merged_decoder"]:
        make.tensor("prior.x_out.weight", vocabulary, width)
    else:
        make.tensors["prior.x_out.weight"] = make.tensors["prior.x_emb.weight"]
    return make.tensors


def checkpoint(hps: dict[str, Any], tensors: dict[str, Tensor], **more: Any) -> dict[str, Any]:
    """What the original saves; with an optimizer's state, which nobody needs."""
    state = {number: {"exp_avg": torch.ones_like(tensor)} for number, tensor in enumerate(tensors.values())}
    return {"hps": dict(hps), "model": tensors, "opt": {"state": state, "param_groups": [{"lr": 3e-4}]}, "step": 20} | more


def write(path: Path, contents: Any, zipped: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    return path


def write_vqvae(folder: Path) -> Path:
    return write(folder / "vqvae.pth.tar", checkpoint(VQVAE_HPS, vqvae_tensors()))


def write_prior(folder: Path, kind: str, **changes: Any) -> Path:
    hps = prior_hps(kind, **changes)
    return write(folder / f"prior_level_{hps['level']}.pth.tar", checkpoint(hps, prior_tensors(hps)))


def write_model(folder: Path, top: str = "joint_lyrics") -> Path:
    """A folder of a whole model."""
    write_vqvae(folder)
    for kind in (top, "upsampler_level_1", "upsampler_level_0"):
        write_prior(folder, kind)
    return folder


class _Maker:
    """Collects random tensors by name."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors: dict[str, Tensor] = {}

    def tensor(self, name: str, *shape: int):
        self.tensors[name] = 0.1 * torch.randn(shape, generator=self.generator)

    def convolution(self, name: str, channels_out: int, channels_in: int, kernel: int):
        self.tensor(f"{name}.weight", channels_out, channels_in, kernel)
        self.tensor(f"{name}.bias", channels_out)

    def transposed_convolution(self, name: str, channels_in: int, channels_out: int, kernel: int):
        self.tensor(f"{name}.weight", channels_in, channels_out, kernel)
        self.tensor(f"{name}.bias", channels_out)

    def conv1d(self, name: str, inputs: int, outputs: int):
        self.tensor(f"{name}.w", inputs, outputs)
        self.tensor(f"{name}.b", outputs)

    def norm(self, name: str, width: int):
        self.tensor(f"{name}.weight", width)
        self.tensor(f"{name}.bias", width)

    def resnet(self, name: str, width: int, depth: int):
        for block in range(depth):
            self.convolution(f"{name}.{block}.model.1", width, width, 3)
            self.convolution(f"{name}.{block}.model.3", width, width, 1)

    def upsampling(self, name: str, outer: int, width: int, depth: int, downs: int, resnets: str = "model"):
        self.convolution(f"{name}.0", width, outer, 3)
        for index in range(downs):
            self.resnet(f"{name}.{index + 1}.0.{resnets}", width, depth)
            self.transposed_convolution(f"{name}.{index + 1}.1", width, outer if index == downs - 1 else width, 4)

    def layer(self, name: str, width: int, is_cross: bool = False):
        inner = width // 4
        self.conv1d(f"{name}.attn.c_attn", width, inner if is_cross else 3 * inner)
        if is_cross:
            self.conv1d(f"{name}.attn.c_enc_kv", width, 2 * inner)
        self.conv1d(f"{name}.attn.c_proj", inner, width)
        self.norm(f"{name}.ln_0", width)
        self.conv1d(f"{name}.mlp.c_fc", width, width)
        self.conv1d(f"{name}.mlp.c_proj", width, width)
        self.norm(f"{name}.ln_1", width)

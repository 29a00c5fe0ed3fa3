"""Parts of Jukebox by name or path: from folders of their own, or out of a whole model."""

import torch

from .configuration_jukebox import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from .model_parts import PRIOR_PREFIX, VQVAE_PREFIX, WeightFiles, local_folder
from .modeling_jukebox_prior import JukeboxPrior
from .modeling_jukebox_vqvae import JukeboxVQVAE
from .tokenization_jukebox import JukeboxTokenizer


def is_whole_model(name_or_path: str) -> bool:
    """Whether this is a Jukebox model with VQ-VAE and priors, not a part of one."""
    values, _ = JukeboxConfig.get_config_dict(name_or_path)
    return values.get("model_type") == JukeboxConfig.model_type


def load_vqvae_config(name_or_path: str) -> JukeboxVQVAEConfig:
    """The configuration of a VQ-VAE, or of that of a whole model."""
    if is_whole_model(name_or_path):
        return JukeboxConfig.from_pretrained(name_or_path).vqvae_config
    return JukeboxVQVAEConfig.from_pretrained(name_or_path)


def load_vqvae(name_or_path: str, config: JukeboxVQVAEConfig | None = None) -> JukeboxVQVAE:
    """A VQ-VAE, or that of a whole model, in float32.

    Args:
        name_or_path: a folder or a Hub repository.
        config: numbers to replace its own, of the same sizes.
    """
    if not is_whole_model(name_or_path):
        return JukeboxVQVAE.from_pretrained(name_or_path, config=config, dtype=torch.float32)
    config = config or load_vqvae_config(name_or_path)
    return JukeboxVQVAE.from_pretrained(
        None, config=config, state_dict=_tensors(name_or_path, VQVAE_PREFIX), dtype=torch.float32
    )


def load_prior_config(name_or_path: str, level: int) -> JukeboxPriorConfig:
    """The configuration of the prior of a level (0 the top), or of that of a whole model.

    Raises:
        ValueError: there is no such prior.
    """
    if is_whole_model(name_or_path):
        configs = JukeboxConfig.from_pretrained(name_or_path).prior_configs
        if level >= len(configs):
            raise ValueError(f"{name_or_path} has {len(configs)} priors, none for level {level}.")
        return configs[level]
    config = JukeboxPriorConfig.from_pretrained(name_or_path)
    if config.level != level:
        raise ValueError(f"{name_or_path} is the prior of level {config.level} from the top, not of level {level}.")
    return config


def load_prior(name_or_path: str, config: JukeboxPriorConfig) -> JukeboxPrior:
    """A prior, or that of its level out of a whole model, in float32.

    Args:
        name_or_path: a folder or a Hub repository.
        config: numbers to replace its own, of the same sizes.
    """
    if not is_whole_model(name_or_path):
        return JukeboxPrior.from_pretrained(name_or_path, config=config, dtype=torch.float32)
    return JukeboxPrior.from_pretrained(
        None, config=config, state_dict=_tensors(name_or_path, PRIOR_PREFIX.format(config.level)), dtype=torch.float32
    )


def load_tokenizer(name_or_path: str) -> JukeboxTokenizer:
    """The tokenizer beside a prior or a whole model."""
    return JukeboxTokenizer.from_pretrained(name_or_path)


def _tensors(name_or_path: str, prefix: str) -> dict[str, torch.Tensor]:
    """Those of one part of a whole model; no other is read."""
    return WeightFiles(local_folder(name_or_path)).tensors(prefix)

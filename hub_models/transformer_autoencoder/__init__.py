"""Transformer Autoencoder and Music Transformer: piano performances, styles, melodies; registered with the Auto classes."""

from transformers import AutoConfig, AutoModel

from .configuration_transformer_autoencoder import PRESETS, TransformerAutoencoderConfig
from .modeling_transformer_autoencoder import (
    TransformerAutoencoderForConditionalGeneration,
    TransformerAutoencoderModel,
    TransformerAutoencoderOutput,
    mix_styles,
)

AutoConfig.register(TransformerAutoencoderConfig.model_type, TransformerAutoencoderConfig)
AutoModel.register(TransformerAutoencoderConfig, TransformerAutoencoderForConditionalGeneration)

__all__ = [
    "PRESETS",
    "TransformerAutoencoderConfig",
    "TransformerAutoencoderForConditionalGeneration",
    "TransformerAutoencoderModel",
    "TransformerAutoencoderOutput",
    "mix_styles",
]

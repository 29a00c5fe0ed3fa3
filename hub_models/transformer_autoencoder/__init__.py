"""Transformer Autoencoder and Music Transformer: piano performances, styles, melodies; registered with the Auto classes."""

from transformers import AutoConfig, AutoModel, AutoProcessor, AutoTokenizer

from .configuration_transformer_autoencoder import PRESETS, TransformerAutoencoderConfig
from .modeling_transformer_autoencoder import (
    TransformerAutoencoderForConditionalGeneration,
    TransformerAutoencoderModel,
    TransformerAutoencoderOutput,
    mix_styles,
)
from .performance_notes import PerformanceNotes, PitchRangeError
from .performance_reading import MusicReadError, NoNotesError
from .processing_transformer_autoencoder import TransformerAutoencoderFeatures, TransformerAutoencoderProcessor
from .tokenization_transformer_autoencoder import MelodyTokenizer, PerformanceTokenizer

AutoConfig.register(TransformerAutoencoderConfig.model_type, TransformerAutoencoderConfig)
AutoModel.register(TransformerAutoencoderConfig, TransformerAutoencoderForConditionalGeneration)
# Both are found by the name that is saved with them; where there is none, the model's tokenizer is that of performances.
AutoTokenizer.register(TransformerAutoencoderConfig, MelodyTokenizer)
AutoTokenizer.register(TransformerAutoencoderConfig, PerformanceTokenizer, exist_ok=True)
AutoProcessor.register(TransformerAutoencoderConfig, TransformerAutoencoderProcessor)

__all__ = [
    "PRESETS",
    "MelodyTokenizer",
    "MusicReadError",
    "NoNotesError",
    "PerformanceNotes",
    "PerformanceTokenizer",
    "PitchRangeError",
    "TransformerAutoencoderConfig",
    "TransformerAutoencoderForConditionalGeneration",
    "TransformerAutoencoderFeatures",
    "TransformerAutoencoderModel",
    "TransformerAutoencoderOutput",
    "TransformerAutoencoderProcessor",
    "mix_styles",
]

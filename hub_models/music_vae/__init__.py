"""MusicVAE: latent spaces of melodies and drums, registered with transformers' Auto classes."""

from transformers import AutoConfig, AutoModel, AutoProcessor

from .attributes import ATTRIBUTES, compute_attribute_vectors, load_attribute_vectors, measure, save_attribute_vectors
from .configuration_music_vae import PRESETS, MusicVAEConfig
from .modeling_music_vae import MusicVAEModel, MusicVAEOutput, MusicVAEPosterior, slerp
from .note_sequence import MidiError, MidiLimits, NoteSequence, read_midi
from .processing_music_vae import MusicVAEFeatures, MusicVAEProcessor, NoExamplesError, Window

AutoConfig.register(MusicVAEConfig.model_type, MusicVAEConfig)
AutoModel.register(MusicVAEConfig, MusicVAEModel)
AutoProcessor.register(MusicVAEConfig, MusicVAEProcessor)

__all__ = [
    "ATTRIBUTES",
    "PRESETS",
    "MidiError",
    "MidiLimits",
    "MusicVAEConfig",
    "MusicVAEFeatures",
    "MusicVAEModel",
    "MusicVAEOutput",
    "MusicVAEPosterior",
    "MusicVAEProcessor",
    "NoExamplesError",
    "NoteSequence",
    "Window",
    "compute_attribute_vectors",
    "load_attribute_vectors",
    "measure",
    "read_midi",
    "save_attribute_vectors",
    "slerp",
]

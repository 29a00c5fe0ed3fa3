"""Encore: landmark generative-music models as Hugging Face models.

Names are imported when they are first used, so `import hub_models` is quick and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_EXPORTS = {
    "Clip": "clips",
    "Composition": "composition",
    "JukeboxConfig": "jukebox",
    "JukeboxFeatureExtractor": "jukebox",
    "JukeboxModel": "jukebox",
    "JukeboxPrior": "jukebox",
    "JukeboxProcessor": "jukebox",
    "JukeboxSampler": "jukebox",
    "JukeboxTokenizer": "jukebox",
    "JukeboxVQVAE": "jukebox",
    "MelodyTokenizer": "transformer_autoencoder",
    "MusicVAEConfig": "music_vae",
    "MusicVAEModel": "music_vae",
    "MusicVAEProcessor": "music_vae",
    "PerformanceTokenizer": "transformer_autoencoder",
    "TransformerAutoencoderConfig": "transformer_autoencoder",
    "TransformerAutoencoderForConditionalGeneration": "transformer_autoencoder",
    "TransformerAutoencoderModel": "transformer_autoencoder",
    "TransformerAutoencoderProcessor": "transformer_autoencoder",
    "WaveGradFeatureExtractor": "wavegrad",
    "WaveGradModel": "wavegrad",
    "WaveGradPipeline": "wavegrad",
    "WaveGradScheduler": "wavegrad",
    "bundled": "bundled",
    "compose": "composition",
    "list_bundled": "bundled",
}
_SUBMODULES = ("audio", "clips", "midi", "sessions")

__all__ = [
    "Clip",
    "Composition",
    "JukeboxConfig",
    "JukeboxFeatureExtractor",
    "JukeboxModel",
    "JukeboxPrior",
    "JukeboxProcessor",
    "JukeboxSampler",
    "JukeboxTokenizer",
    "JukeboxVQVAE",
    "MelodyTokenizer",
    "MusicVAEConfig",
    "MusicVAEModel",
    "MusicVAEProcessor",
    "PerformanceTokenizer",
    "TransformerAutoencoderConfig",
    "TransformerAutoencoderForConditionalGeneration",
    "TransformerAutoencoderModel",
    "TransformerAutoencoderProcessor",
    "WaveGradFeatureExtractor",
    "WaveGradModel",
    "WaveGradPipeline",
    "WaveGradScheduler",
    "audio",
    "bundled",
    "clips",
    "compose",
    "list_bundled",
    "midi",
    "sessions",
]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import audio as audio
    from . import midi as midi
    from .bundled import bundled as bundled
    from .bundled import list_bundled as list_bundled
    from .clips import Clip as Clip
    from .composition import Composition as Composition
    from .composition import compose as compose
    from .jukebox import JukeboxConfig as JukeboxConfig
    from .jukebox import JukeboxFeatureExtractor as JukeboxFeatureExtractor
    from .jukebox import JukeboxModel as JukeboxModel
    from .jukebox import JukeboxPrior as JukeboxPrior
    from .jukebox import JukeboxProcessor as JukeboxProcessor
    from .jukebox import JukeboxSampler as JukeboxSampler
    from .jukebox import JukeboxTokenizer as JukeboxTokenizer
    from .jukebox import JukeboxVQVAE as JukeboxVQVAE
    from .music_vae import MusicVAEConfig as MusicVAEConfig
    from .music_vae import MusicVAEModel as MusicVAEModel
    from .music_vae import MusicVAEProcessor as MusicVAEProcessor
    from .transformer_autoencoder import MelodyTokenizer as MelodyTokenizer
    from .transformer_autoencoder import PerformanceTokenizer as PerformanceTokenizer
    from .transformer_autoencoder import TransformerAutoencoderConfig as TransformerAutoencoderConfig
    from .transformer_autoencoder import (
        TransformerAutoencoderForConditionalGeneration as TransformerAutoencoderForConditionalGeneration,
    )
    from .transformer_autoencoder import TransformerAutoencoderModel as TransformerAutoencoderModel
    from .transformer_autoencoder import TransformerAutoencoderProcessor as TransformerAutoencoderProcessor
    from .wavegrad import WaveGradFeatureExtractor as WaveGradFeatureExtractor
    from .wavegrad import WaveGradModel as WaveGradModel
    from .wavegrad import WaveGradPipeline as WaveGradPipeline
    from .wavegrad import WaveGradScheduler as WaveGradScheduler


def __getattr__(name: str):
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value  # also over the submodule `bundled`, which importing it has bound to its name
    return value


def __dir__():
    return sorted(__all__)

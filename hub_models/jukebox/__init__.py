"""Jukebox: raw-audio music with artist, genre and lyrics; registered with the Auto classes."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor, AutoTokenizer

from .configuration_jukebox import PRESETS, JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from .feature_extraction_jukebox import JukeboxFeatureExtractor
from .labels import LabelError
from .lyrics import Lyrics, LyricsError, TimedWord
from .modeling_jukebox import JukeboxModel
from .modeling_jukebox_prior import JukeboxPrior, JukeboxPriorOutput
from .modeling_jukebox_vqvae import JukeboxVQVAE, JukeboxVQVAEOutput
from .processing_jukebox import JukeboxFeatures, JukeboxProcessor
from .sampling import JukeboxSampler, SamplingResult
from .sampling_plan import SamplingError, SamplingPlan, Song
from .sampling_progress import Progress
from .sampling_run import CodesNotSavedError, RunError
from .tokenization_jukebox import JukeboxTokenizer

AutoConfig.register(JukeboxConfig.model_type, JukeboxConfig)
AutoConfig.register(JukeboxVQVAEConfig.model_type, JukeboxVQVAEConfig)
AutoConfig.register(JukeboxPriorConfig.model_type, JukeboxPriorConfig)
AutoModel.register(JukeboxConfig, JukeboxModel)
AutoModel.register(JukeboxVQVAEConfig, JukeboxVQVAE)
AutoModel.register(JukeboxPriorConfig, JukeboxPrior)
AutoTokenizer.register(JukeboxConfig, JukeboxTokenizer)
AutoFeatureExtractor.register(JukeboxConfig, JukeboxFeatureExtractor)
AutoProcessor.register(JukeboxConfig, JukeboxProcessor)

__all__ = [
    "PRESETS",
    "CodesNotSavedError",
    "JukeboxConfig",
    "JukeboxFeatureExtractor",
    "JukeboxFeatures",
    "JukeboxModel",
    "JukeboxPrior",
    "JukeboxPriorConfig",
    "JukeboxPriorOutput",
    "JukeboxProcessor",
    "JukeboxSampler",
    "JukeboxTokenizer",
    "JukeboxVQVAE",
    "JukeboxVQVAEConfig",
    "JukeboxVQVAEOutput",
    "LabelError",
    "Lyrics",
    "LyricsError",
    "Progress",
    "RunError",
    "SamplingError",
    "SamplingPlan",
    "SamplingResult",
    "Song",
    "TimedWord",
]

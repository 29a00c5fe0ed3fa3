"""WaveGrad (Chen et al. 2020, arXiv 2009.00713): from mel spectrograms to sound by a diffusion of few steps.

`WaveGradPipeline` does everything; its parts are a model, a scheduler and a feature extractor.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_EXPORTS = {
    "PRESETS": "configuration_wavegrad",
    "WaveGradFeatureExtractor": "feature_extraction_wavegrad",
    "WaveGradModel": "modeling_wavegrad",
    "WaveGradPipeline": "pipeline_wavegrad",
    "WaveGradScheduler": "scheduling_wavegrad",
    "preset": "configuration_wavegrad",
}

__all__ = [
    "PRESETS",
    "WaveGradFeatureExtractor",
    "WaveGradModel",
    "WaveGradPipeline",
    "WaveGradScheduler",
    "preset",
]

if TYPE_CHECKING:
    from .configuration_wavegrad import PRESETS as PRESETS
    from .configuration_wavegrad import preset as preset
    from .feature_extraction_wavegrad import WaveGradFeatureExtractor as WaveGradFeatureExtractor
    from .modeling_wavegrad import WaveGradModel as WaveGradModel
    from .pipeline_wavegrad import WaveGradPipeline as WaveGradPipeline
    from .scheduling_wavegrad import WaveGradScheduler as WaveGradScheduler


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)

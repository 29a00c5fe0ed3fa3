"""The models that a piece is made with: loaded when first needed, once, and shared by all who are given them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .parts import CompositionError
from .settings import BAND, MELODY, PIANO

if TYPE_CHECKING:
    from ..music_vae import Band, MusicVAEModel, MusicVAEProcessor
    from ..transformer_autoencoder import (
        TransformerAutoencoderForConditionalGeneration,
        TransformerAutoencoderProcessor,
    )

DEFAULTS = {
    MELODY: "music-vae-mel-16bar",
    BAND: "multitrack-music-vae-1bar-chords",
    PIANO: "transformer-autoencoder-piano",
}


class ComposingModels:
    """What plays each stage. Each is given as

    - the name of a bundled model, or a folder, or a repository on the Hub, which is loaded when it is first needed;
    - or a function without arguments that gives it, called whenever it is needed, for those who keep models themselves;
    - or the model itself: of the melody and the piano a pair (model, processor), of the band a `Band`.

    Args:
        melody: a MusicVAE of sixteen-bar melodies.
        band: a Multitrack MusicVAE with chords.
        piano: a Transformer Autoencoder.
        names: what the models are called in the origins of clips, by stage; by default as they are given.
    """

    def __init__(self, melody: Any = None, band: Any = None, piano: Any = None, names: dict[str, str] | None = None):
        given = {MELODY: melody, BAND: band, PIANO: piano}
        self._given = {stage: DEFAULTS[stage] if value is None else value for stage, value in given.items()}
        self.names = {
            stage: str(value) if isinstance(value, str) else DEFAULTS[stage] for stage, value in self._given.items()
        } | (names or {})
        self._loaded: dict[str, Any] = {}
        self._lock = threading.Lock()

    def melody(self) -> tuple[MusicVAEModel, MusicVAEProcessor]:
        """The model of melodies, and its processor.

        Raises:
            CompositionError: it is not a model of melodies of sixteen bars.
        """
        model, processor = self._get(MELODY, _load_melody)
        if processor.representation != "melody" or processor.window_steps != 256 or processor.control_size:
            raise CompositionError("The melody of a piece needs a MusicVAE of sixteen-bar melodies without chords.")
        return model, processor

    def band(self) -> Band:
        """The band.

        Raises:
            CompositionError: it follows no chords.
        """
        band = self._get(BAND, _load_band)
        if not band.reads_chords:
            raise CompositionError("The band of a piece needs a Multitrack MusicVAE that follows chords.")
        return band

    def piano(self) -> tuple[TransformerAutoencoderForConditionalGeneration, TransformerAutoencoderProcessor]:
        """The model of performances, and its processor."""
        return self._get(PIANO, _load_piano)

    def _get(self, stage: str, load: Callable[[Any], Any]) -> Any:
        given = self._given[stage]
        if callable(given) and not hasattr(given, "reads_chords"):
            return given()
        if not isinstance(given, str) and not hasattr(given, "__fspath__"):
            return given
        with self._lock:
            if stage not in self._loaded:
                self._loaded[stage] = load(_folder(given))
            return self._loaded[stage]


def _folder(given: Any) -> Any:
    """The folder of a bundled model, else what was given: a folder, or a repository."""
    from .. import list_bundled

    return next((model.path for model in list_bundled() if model.name == str(given)), given)


def _load_melody(folder: Any) -> tuple[MusicVAEModel, MusicVAEProcessor]:
    from ..music_vae import MusicVAEModel, MusicVAEProcessor

    return MusicVAEModel.from_pretrained(folder).eval(), MusicVAEProcessor.from_pretrained(folder)


def _load_band(folder: Any) -> Band:
    from ..music_vae import Band

    return Band.from_pretrained(folder)


def _load_piano(folder: Any):
    from ..transformer_autoencoder import (
        TransformerAutoencoderForConditionalGeneration,
        TransformerAutoencoderProcessor,
    )

    model = TransformerAutoencoderForConditionalGeneration.from_pretrained(folder).eval()
    return model, TransformerAutoencoderProcessor.from_pretrained(folder)

"""Attribute vectors: directions in latent space that change one musical property (paper section 5.3; of bands, Simon et al.,
2018).

vectors = compute_attribute_vectors(model, processor, sequences)      # from data, once
latents = model.apply_attribute(latents, vectors["note_density"], strength=1.0)
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .melodies import FIRST_NOTE_ON
from .modeling_music_vae import MusicVAEModel
from .multitrack_attributes import MULTITRACK_ATTRIBUTES, measure_multitracks
from .processing_music_vae import MusicVAEProcessor

ATTRIBUTE_VECTORS_NAME = "attribute_vectors.safetensors"

_C_MAJOR = np.isin(np.arange(12), [0, 2, 4, 5, 7, 9, 11])


def _c_diatonic(sequences: np.ndarray, min_pitch: int) -> np.ndarray:
    """Share of notes that lie in C major."""
    onsets = sequences >= FIRST_NOTE_ON
    pitch_class = (sequences.astype(np.int64) - FIRST_NOTE_ON + min_pitch) % 12
    return (onsets & _C_MAJOR[pitch_class]).sum(axis=1) / np.maximum(onsets.sum(axis=1), 1)


def _note_density(sequences: np.ndarray, min_pitch: int) -> np.ndarray:
    """Share of steps on which a note begins."""
    return (sequences >= FIRST_NOTE_ON).mean(axis=1)


def _average_interval(sequences: np.ndarray, min_pitch: int) -> np.ndarray:
    """Mean distance in semitones between a note and the next; 0 for fewer than two notes."""
    values = np.zeros(len(sequences))
    for index, sequence in enumerate(sequences.astype(np.int64)):
        pitches = sequence[sequence >= FIRST_NOTE_ON]
        if len(pitches) > 1:
            values[index] = np.abs(np.diff(pitches)).mean()
    return values


def _syncopation(sequences: np.ndarray, steps: int) -> np.ndarray:
    """Share of notes that begin between two beats of `steps` sixteenths, with nothing beginning on the beat that follows
    half a beat later: the accent is moved ahead."""
    onsets = sequences >= FIRST_NOTE_ON
    position = np.arange(sequences.shape[1]) % (2 * steps) == steps
    beat_follows = np.concatenate([onsets[:, steps:], np.zeros((len(onsets), steps), dtype=bool)], axis=1)
    return (onsets & position & ~beat_follows).sum(axis=1) / np.maximum(onsets.sum(axis=1), 1)


def _syncopation_16th(sequences: np.ndarray, min_pitch: int) -> np.ndarray:
    """Share of notes on an off-beat sixteenth that are held, or rest, over the eighth that follows."""
    return _syncopation(sequences, 1)


def _syncopation_8th(sequences: np.ndarray, min_pitch: int) -> np.ndarray:
    """Share of notes on an off-beat eighth that are held, or rest, over the quarter that follows."""
    return _syncopation(sequences, 2)


_MEASURES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "c_diatonic": _c_diatonic,
    "note_density": _note_density,
    "average_interval": _average_interval,
    "syncopation_16th": _syncopation_16th,
    "syncopation_8th": _syncopation_8th,
}
ATTRIBUTES = tuple(_MEASURES)
REPRESENTATIONS_WITH_ATTRIBUTES = ("melody", "multitrack")
_WITH_ATTRIBUTES = "melodies and multitrack bars"
_ENCODER_INPUTS = ("input_values", "lengths", "controls")


def measure(sequences: np.ndarray | Tensor, min_pitch: int = 21, representation: str = "melody") -> dict[str, np.ndarray]:
    """The attributes of melodies (N, T) on a grid of sixteenths, or of multitrack bars (N, 512); each value has the shape
    (N,).

    Of melodies: `c_diatonic`: share of notes in C major. `note_density`: share of steps on which a note begins.
    `average_interval`: semitones. `syncopation_16th`, `syncopation_8th`: share of notes that begin just before a beat and
    are held over it. Of multitrack bars, with `representation="multitrack"`: see [`measure_multitracks`].

    Raises:
        ValueError: for another representation.
    """
    if representation not in REPRESENTATIONS_WITH_ATTRIBUTES:
        raise ValueError(f"Attributes are those of {_WITH_ATTRIBUTES}; the sequences are of {representation}.")
    if representation == "multitrack":
        return measure_multitracks(sequences)
    sequences = np.asarray(sequences.cpu() if isinstance(sequences, Tensor) else sequences)
    return {name: function(sequences, min_pitch) for name, function in _MEASURES.items()}


@torch.no_grad()
def compute_attribute_vectors(
    model: MusicVAEModel, processor: MusicVAEProcessor, sequences: np.ndarray, batch_size: int = 128
) -> dict[str, Tensor]:
    """For each attribute, the mean latent of the quarter of `sequences` (N, T) that has most of it minus that of the quarter
    that has least, shape (latent_size,). With chords, `sequences` are examples (N, T, 2).

    Raises:
        ValueError: for other than melodies and multitrack bars, or fewer than 8 sequences.
    """
    if processor.representation not in REPRESENTATIONS_WITH_ATTRIBUTES:
        raise ValueError(f"Attributes are those of {_WITH_ATTRIBUTES}; the processor reads {processor.representation}.")
    if len(sequences) < 8:
        raise ValueError(f"Attribute vectors need at least 8 sequences, got {len(sequences)}.")
    latents, measures = [], []
    for start in range(0, len(sequences), batch_size):
        features = processor.features(sequences[start : start + batch_size])
        measures.append(measure(features["labels"], processor.min_pitch, processor.representation))
        inputs = {name: features[name].to(model.device) for name in _ENCODER_INPUTS if name in features}
        latents.append(model.encode(**inputs).mean.float().cpu())
    latents = torch.cat(latents)
    vectors = {}
    for name in measures[0]:
        values = np.concatenate([part[name] for part in measures])
        vectors[name] = _mean_of_most(latents, values) - _mean_of_most(latents, -values)
    return vectors


def _mean_of_most(latents: Tensor, values: np.ndarray) -> Tensor:
    """The mean latent (latent_size,) of the quarter with the greatest `values` (N,). Where equal values are more than fit,
    all of them share the room there is: which come first in the data decides nothing."""
    quarter = len(values) // 4
    border = np.partition(values, -quarter)[-quarter]
    above, at_border = values > border, values == border
    weights = above + at_border * (quarter - above.sum()) / at_border.sum()
    return torch.from_numpy(weights).to(latents) @ latents / quarter


def save_attribute_vectors(vectors: dict[str, Tensor], folder: str | Path):
    """Writes the vectors beside a model."""
    save_file({name: vector.contiguous() for name, vector in vectors.items()}, Path(folder) / ATTRIBUTE_VECTORS_NAME)


def load_attribute_vectors(name_or_path: str | Path, **options) -> dict[str, Tensor]:
    """The attribute vectors beside a model: a folder, or a repository on the Hub, for which there are the `options` of
    `hf_hub_download`, such as `revision`.

    Raises:
        FileNotFoundError: where there are none.
    """
    folder = Path(name_or_path)
    if folder.is_dir():
        path = folder / ATTRIBUTE_VECTORS_NAME
        if not path.is_file():
            raise FileNotFoundError(f"There are no attribute vectors ({ATTRIBUTE_VECTORS_NAME}) in {folder.name}.")
        return load_file(path)
    try:
        return load_file(hf_hub_download(str(name_or_path), ATTRIBUTE_VECTORS_NAME, **options))
    except EntryNotFoundError as error:
        raise FileNotFoundError(f"There are no attribute vectors ({ATTRIBUTE_VECTORS_NAME}) in {name_or_path}.") from error


__all__ = [
    "ATTRIBUTES",
    "MULTITRACK_ATTRIBUTES",
    "compute_attribute_vectors",
    "load_attribute_vectors",
    "measure",
    "save_attribute_vectors",
]

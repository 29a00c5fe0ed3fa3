"""What a model makes up by itself: samples from the prior beside the data."""

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .evaluate_grooves import FeelTally, half_step_ms
from .evaluate_multitracks import chords_of, sample_figures
from .grooves import split_parts
from .melodies import FIRST_NOTE_ON
from .modeling_music_vae import MusicVAEModel
from .multitrack_events import NOTE_ON, PADDING, TIME_SHIFT
from .processing_music_vae import MusicVAEProcessor
from .representation import as_items
from .trios import DRUMS, PARTS


@torch.no_grad()
def evaluate_samples(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    examples: np.ndarray,
    num_samples: int,
    temperature: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, Any]:
    """Samples from the prior beside the examples (N, *example_shape). A model with controls gets those of examples.

    Returns:
        `in_range`: share that decodes to MIDI with all pitches within what the processor writes. `non_empty`: share with
        at least one note, of a trio in each part. `non_duplicate`: share of distinct sequences (grooves: distinct hits).
        `onset_density` and `data_onset_density`: mean share of steps on which a note begins or a drum is hit, in samples and
        in the data; `pitch_mean` and `data_pitch_mean` of melodies, in MIDI pitches. Of a trio, `parts`: these for each
        part. Of grooves, `feel` and `data_feel`, see [`FeelTally`]. Of measures, what [`sample_figures`] gives instead.
    """
    if not num_samples:
        return {}
    generator = torch.Generator(model.device).manual_seed(seed)
    controls_of = np.random.default_rng(seed).integers(len(examples), size=num_samples)
    batches = []
    for start in progress(range(0, num_samples, batch_size), "samples"):
        count, controls = min(batch_size, num_samples - start), None
        if processor.control_size:
            chosen = examples[controls_of[start : start + count]]
            if processor.representation == "multitrack":
                controls = processor.codec.timed_controls(chords_of(chosen))
            else:
                controls = processor.features(chosen)["controls"]
        sampled = model.sample(count, temperature, generator, processor.window_steps, controls)
        batches.append(sampled.cpu().numpy())
    samples, data = np.concatenate(batches), sequences_of(processor, examples, batch_size)
    if processor.representation == "multitrack":
        return sample_figures(samples, data)
    in_range = sum(_decodes_in_range(processor, sequence) for sequence in progress(samples, "decoding"))
    what_is_drawn = split_parts(samples)[0] if processor.representation == "groove" else samples
    figures = {
        "in_range": in_range / num_samples,
        "non_empty": float(onsets_of(processor, samples).any(axis=1).all(axis=1).mean()),
        "non_duplicate": len(np.unique(as_items(what_is_drawn))) / num_samples,
        **_densities(onsets_of(processor, samples), onsets_of(processor, data)),
    }
    if processor.representation == "melody":
        figures |= _pitches(processor, samples, data)
    if processor.representation == "trio":
        figures["parts"] = {}
        for index, name in enumerate(PARTS):
            onsets, data_onsets = (onsets_of(processor, values)[..., index] for values in (samples, data))
            part = {"non_empty": float(onsets.any(axis=1).mean()), **_densities(onsets, data_onsets)}
            if index != DRUMS:
                part |= _pitches(processor, samples[..., index], data[..., index])
            figures["parts"][name] = part
    if processor.representation == "groove":
        for name, grooves in (("feel", samples), ("data_feel", data)):
            feel = FeelTally(half_step_ms(processor.steps_per_quarter))
            feel.add(grooves)
            figures[name] = feel.figures()
    return figures


def sequences_of(processor: MusicVAEProcessor, examples: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Examples (N, *example_shape) as sequences (N, T, ...)."""
    starts = range(0, len(examples), batch_size)
    return np.concatenate([processor.features(examples[s : s + batch_size])["labels"].numpy() for s in starts])


def onsets_of(processor: MusicVAEProcessor, sequences: np.ndarray) -> np.ndarray:
    """Where a note begins or a drum is hit in sequences (N, T, ...), for each part of a step: bool (N, T, parts)."""
    if processor.representation == "melody":
        return (sequences >= FIRST_NOTE_ON)[..., None]
    if processor.representation == "trio":
        is_drums = np.arange(len(PARTS)) == DRUMS
        return sequences >= np.where(is_drums, 1, FIRST_NOTE_ON)
    return events_of(processor, torch.as_tensor(sequences)).numpy()


def events_of(processor: MusicVAEProcessor, sequences: Tensor) -> Tensor:
    """Where something happens in sequences (N, T, ...), for each part of a step: a note begins or ends, a drum is hit. Bool
    (N, T, parts)."""
    if processor.representation == "trio":
        return sequences != 0
    if processor.representation == "drum_roll":
        return sequences.any(dim=-1, keepdim=True)
    if processor.representation == "multitrack":
        return ((sequences >= NOTE_ON) & (sequences < TIME_SHIFT)).unsqueeze(-1)
    if processor.representation == "groove":
        return (sequences.chunk(3, dim=-1)[0] > 0.5).any(dim=-1, keepdim=True)
    return (sequences != 0).unsqueeze(-1)


def valid_steps(processor: MusicVAEProcessor, sequences: Tensor) -> Tensor:
    """Which steps of sequences (N, T, ...) are more than padding: bool (N, T)."""
    if processor.representation == "multitrack":
        return sequences != PADDING
    return torch.ones(sequences.shape[:2], dtype=torch.bool, device=sequences.device)


def progress(items: Iterable[Any], name: str) -> Iterable[Any]:
    """The items, with a bar on stderr."""
    return tqdm(items, desc=name, leave=False, file=sys.stderr)


def _densities(onsets: np.ndarray, data_onsets: np.ndarray) -> dict[str, float]:
    return {"onset_density": float(onsets.mean()), "data_onset_density": float(data_onsets.mean())}


def _pitches(processor: MusicVAEProcessor, samples: np.ndarray, data: np.ndarray) -> dict[str, float | None]:
    return {"pitch_mean": _mean_pitch(processor, samples), "data_pitch_mean": _mean_pitch(processor, data)}


def _mean_pitch(processor: MusicVAEProcessor, events: np.ndarray) -> float | None:
    notes = events[events >= FIRST_NOTE_ON].astype(np.float64)
    return float(notes.mean()) - FIRST_NOTE_ON + processor.min_pitch if len(notes) else None


def _decodes_in_range(processor: MusicVAEProcessor, sequence: np.ndarray) -> bool:
    melodic = range(processor.min_pitch, processor.max_pitch + 1)
    drums = {pitch for pitches in processor.drum_classes for pitch in pitches}
    try:
        midi = processor.decode(sequence)
    except ValueError:
        return False
    allowed = {True: drums, False: melodic}
    return all(note.pitch in allowed[part.is_drum] for part in midi.instruments for note in part.notes)

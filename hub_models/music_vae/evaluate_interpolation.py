"""Whether the way from one piece of music to another is smooth (paper section 5.2)."""

from typing import Any

import numpy as np
import torch

from .evaluate_samples import progress
from .modeling_music_vae import MusicVAEModel, slerp
from .processing_music_vae import MusicVAEProcessor

NUM_POINTS = 11
TEMPERATURE = 0.5  # of the original's own command line


@torch.no_grad()
def evaluate_interpolation(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    examples: np.ndarray,
    file_index: np.ndarray,
    num_pairs: int,
    temperature: float = TEMPERATURE,
    num_points: int = NUM_POINTS,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, Any]:
    """Decodes points on the great arc between the posterior means of two examples of different files, and compares each
    with both examples.

    Distances are normalised Hamming distances: the share of steps that differ (the mean over the parts of a trio; of a
    groove, the share of drums hit in only one of the two).

    Args:
        examples, file_index: shapes (N, *example_shape) and (N,).
        num_pairs: as many random pairs.

    Returns:
        `num_pairs` and `temperature`; `fractions` (P,) of the way; `to_start` and `to_end` (P,), the distances to the
        examples at its ends, means over the pairs; `mean_to_start` and `mean_to_end`, their means over the whole way;
        `between_ends`, the distance between the two examples; `between_neighbours`, the mean distance between one point and
        the next. An empty object where there are no pairs.
    """
    starts, ends = draw_pairs(file_index, num_pairs, np.random.default_rng(seed))
    if not len(starts):
        return {}
    generator = torch.Generator(model.device).manual_seed(seed)
    head, fractions = model.decoder.head, torch.linspace(0, 1, num_points)
    sums: dict[str, Any] = {"to_start": 0.0, "to_end": 0.0, "between_ends": 0.0, "between_neighbours": 0.0}
    pairs_at_once = max(1, batch_size // num_points)
    for first in progress(range(0, len(starts), pairs_at_once), "interpolation"):
        rows = slice(first, first + pairs_at_once)
        sides = []
        for chosen in (starts[rows], ends[rows]):
            features = processor.features(examples[chosen], np.random.default_rng(seed))
            features = {name: values.to(model.device) for name, values in features.items()}
            means = model.encode(features["input_values"], features["lengths"], features.get("controls")).mean
            sides.append((features["labels"], means, features.get("controls")))
        (start_labels, start_means, start_controls), (end_labels, end_means, end_controls) = sides
        arcs = [slerp(*ends_of_arc, fractions.to(model.device)) for ends_of_arc in zip(start_means, end_means, strict=True)]
        controls = None
        if start_controls is not None:  # those of the nearer end
            nearer = [start_controls if fraction < 0.5 else end_controls for fraction in fractions]
            controls = torch.stack(nearer, dim=1).flatten(0, 1)
        decoded = model.decode(torch.cat(arcs), start_labels.shape[1], temperature, generator, controls)
        decoded = decoded.unflatten(0, (len(arcs), num_points))
        for name, labels in (("to_start", start_labels), ("to_end", end_labels)):
            distances = 1 - head.matches(decoded, labels.unsqueeze(1).expand_as(decoded)).mean(dim=(2, 3))
            sums[name] += distances.double().sum(dim=0).cpu().numpy()
        sums["between_ends"] += (1 - head.matches(start_labels, end_labels)).mean(dim=(1, 2)).sum().item()
        neighbours = 1 - head.matches(decoded[:, 1:], decoded[:, :-1])
        sums["between_neighbours"] += neighbours.mean(dim=(1, 2, 3)).sum().item()
    means = {name: value / len(starts) for name, value in sums.items()}
    return {
        "num_pairs": len(starts),
        "temperature": temperature,
        "fractions": [round(fraction, 6) for fraction in fractions.tolist()],
        "to_start": means["to_start"].tolist(),
        "to_end": means["to_end"].tolist(),
        "mean_to_start": float(means["to_start"].mean()),
        "mean_to_end": float(means["to_end"].mean()),
        "between_ends": means["between_ends"],
        "between_neighbours": means["between_neighbours"],
    }


def draw_pairs(file_index: np.ndarray, num_pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random pairs of examples of different files: two arrays of indices into `file_index` (N,). Both are empty where all
    examples come from one file."""
    files, owner = np.unique(file_index, return_inverse=True)
    if len(files) < 2 or num_pairs < 1:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    order = np.argsort(owner, kind="stable")  # the examples of one file side by side
    starts = rng.integers(len(owner), size=num_pairs)
    counts = np.bincount(owner)
    first = np.cumsum(counts) - counts
    # A draw among the others: their places in `order`, with the file's own left out.
    own_first, own_count = first[owner[starts]], counts[owner[starts]]
    draws = rng.integers(len(owner) - own_count)
    ends = order[np.where(draws < own_first, draws, draws + own_count)]
    return starts, ends

"""Whether the way from one piece of music to another is smooth (paper section 5.2)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .evaluate_multitracks import chords_of, drawn_as_bands_do, note_distances, program_distances
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
    groove, the share of drums hit in only one of the two). The tokens of two measures do not stand side by side: of
    measures the distance is that of their notes, see [`note_distances`], and `programs` holds the same figures for the
    distance of their instruments, see [`program_distances`]; they are decoded as `Band` does it. Controls, such as chords,
    are those of the nearer end.

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
    fractions = torch.linspace(0, 1, num_points)
    is_multitrack = processor.representation == "multitrack"
    paths = {"notes": _Paths(note_distances), "programs": _Paths(program_distances)}
    if not is_multitrack:
        paths = {"steps": _Paths(partial(_step_distances, model.decoder.head))}
    pairs_at_once = max(1, batch_size // num_points)
    for first in progress(range(0, len(starts), pairs_at_once), "interpolation"):
        rows = slice(first, first + pairs_at_once)
        sides = []
        for chosen in (starts[rows], ends[rows]):
            features = processor.features(examples[chosen], np.random.default_rng(seed))
            features = {name: values.to(model.device) for name, values in features.items()}
            means = model.encode(features["input_values"], features["lengths"], features.get("controls")).mean
            controls = features.get("controls")
            if is_multitrack and controls is not None:
                controls = torch.as_tensor(chords_of(examples[chosen]))  # by time, until they are decoded
            sides.append((features["labels"], means, controls))
        (start_labels, start_means, start_controls), (end_labels, end_means, end_controls) = sides
        arcs = [slerp(*ends_of_arc, fractions.to(model.device)) for ends_of_arc in zip(start_means, end_means, strict=True)]
        controls = None
        if start_controls is not None:  # those of the nearer end
            nearer = [start_controls if fraction < 0.5 else end_controls for fraction in fractions]
            controls = torch.stack(nearer, dim=1).flatten(0, 1)
            controls = processor.codec.timed_controls(controls.numpy()) if is_multitrack else controls
        settings = drawn_as_bands_do(temperature) if is_multitrack else {}
        decoded = model.decode(torch.cat(arcs), start_labels.shape[1], temperature, generator, controls, **settings)
        for path in paths.values():
            path.add(decoded.unflatten(0, (len(arcs), num_points)), start_labels, end_labels)
    first, *others = paths
    return {
        "num_pairs": len(starts),
        "temperature": temperature,
        "fractions": [round(fraction, 6) for fraction in fractions.tolist()],
        **paths[first].figures(),
        **{name: paths[name].figures() for name in others},
    }


class _Paths:
    """Means of distances (see [`evaluate_interpolation`]) over many ways from one example to another."""

    def __init__(self, distances: Callable[[Tensor, Tensor], Tensor | np.ndarray]):
        self.distances = distances
        self.sums: dict[str, Any] = {"to_start": 0.0, "to_end": 0.0, "between_ends": 0.0, "between_neighbours": 0.0}
        self.count = 0

    def add(self, points: Tensor, starts: Tensor, ends: Tensor):
        """The points of N ways, (N, P, T, ...), and the examples at their ends, (N, T, ...)."""
        for name, side in (("to_start", starts), ("to_end", ends)):
            self.sums[name] += self._sum(points, side.unsqueeze(1).expand_as(points))
        self.sums["between_ends"] += self._sum(starts, ends)
        self.sums["between_neighbours"] += self._sum(points[:, 1:], points[:, :-1]).mean()
        self.count += len(points)

    def _sum(self, sequences: Tensor, others: Tensor) -> np.ndarray:
        return np.asarray(self.distances(sequences.cpu(), others.cpu()), dtype=np.float64).sum(axis=0)

    def figures(self) -> dict[str, Any]:
        means = {name: value / self.count for name, value in self.sums.items()}
        return {
            "to_start": means["to_start"].tolist(),
            "to_end": means["to_end"].tolist(),
            "mean_to_start": float(means["to_start"].mean()),
            "mean_to_end": float(means["to_end"].mean()),
            "between_ends": float(means["between_ends"]),
            "between_neighbours": float(means["between_neighbours"]),
        }


def _step_distances(head: torch.nn.Module, sequences: Tensor, others: Tensor) -> Tensor:
    """Normalised Hamming distances (...) of sequences (..., T, *step)."""
    return 1 - head.matches(sequences, others).mean(dim=(-2, -1))


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

"""Hits, velocities and timing of grooves beside the performances that they should be."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .grooves import split_parts

TEMPO = 120.0  # at which timing is given in milliseconds


class HitTally:
    """Precision, recall and F1 of hits, for each drum and for all."""

    def __init__(self):
        self.right = self.given = self.wanted = 0.0

    def add(self, given: Tensor, wanted: Tensor):
        """Both bool (..., drums)."""
        for name, hits in (("right", given & wanted), ("given", given), ("wanted", wanted)):
            setattr(self, name, getattr(self, name) + hits.flatten(0, -2).sum(dim=0).double().cpu().numpy())

    def figures(self, drums: np.ndarray | slice = slice(None)) -> dict[str, float | None]:
        """`precision`, `recall` and `f1` over the chosen drums; None where there is nothing to count."""
        right, given, wanted = (counts[drums].sum() for counts in (self.right, self.given, self.wanted))
        return {
            "precision": float(right / given) if given else None,
            "recall": float(right / wanted) if wanted else None,
            "f1": float(2 * right / (given + wanted)) if given + wanted else None,
        }


class FeelTally:
    """Mean and standard deviation of the velocities and of the timing of hits.

    Args:
        half_step_ms: milliseconds of half a step: the unit of offsets.
    """

    def __init__(self, half_step_ms: float):
        self.scales = {"velocity": 127.0, "timing": -half_step_ms}  # an offset of 1 is early, that is a negative time
        self.count = 0
        self.sums = {name: np.zeros(2) for name in self.scales}

    def add(self, grooves: Tensor | np.ndarray):
        """Grooves (..., 3 * drums)."""
        hits, velocities, offsets = split_parts(np.asarray(grooves, dtype=np.float64))
        played = hits > 0.5
        self.count += int(played.sum())
        for name, values in (("velocity", velocities), ("timing", offsets)):
            values = values[played] * self.scales[name]
            self.sums[name] += [values.sum(), np.square(values).sum()]

    def figures(self) -> dict[str, float | None]:
        """`velocity_mean`, `velocity_std` (MIDI velocities), `timing_mean_ms` (late is positive) and `timing_std_ms`."""
        figures = {}
        for name, unit in (("velocity", ""), ("timing", "_ms")):
            mean, square = self.sums[name] / self.count if self.count else (None, None)
            figures[f"{name}_mean{unit}"] = mean
            figures[f"{name}_std{unit}"] = None if mean is None else float(np.sqrt(max(square - mean**2, 0.0)))
        return figures


class GrooveTally:
    """Reconstructed grooves beside the true ones.

    Args:
        examples: the true grooves, shape (N, T, 3 * drums).
        steps_per_quarter: steps in a quarter note.
    """

    def __init__(self, examples: np.ndarray, steps_per_quarter: int):
        self.half_step_ms = half_step_ms(steps_per_quarter)
        hits, velocities, _ = split_parts(examples)
        played = velocities[hits > 0.5]
        self.machine_velocity = float(np.median(played)) if len(played) else 0.0
        self.hits: dict[str, HitTally] = {}
        self.errors: dict[str, np.ndarray] = {}  # summed over the true hits: velocity, timing; and their number
        self.feel: dict[str, FeelTally] = {"data": FeelTally(self.half_step_ms)}

    def add(self, way: str, grooves: Tensor, labels: Tensor):
        """Grooves (N, T, 3 * drums) that came about in one way (any name), and the true ones."""
        hits, velocities, offsets = grooves.float().chunk(3, dim=-1)
        true_hits, true_velocities, true_offsets = labels.float().chunk(3, dim=-1)
        played = true_hits > 0.5
        self.hits.setdefault(way, HitTally()).add(hits > 0.5, played)
        velocity_errors = (velocities - true_velocities)[played].abs().double().sum().item() * 127
        timing_errors = (offsets - true_offsets)[played].abs().double().sum().item() * self.half_step_ms
        self.errors[way] = self.errors.get(way, 0.0) + np.array([velocity_errors, timing_errors, played.sum().item()])
        self.feel.setdefault(way, FeelTally(self.half_step_ms)).add(grooves.float().cpu())

    def add_inputs(self, inputs: Tensor, labels: Tensor):
        """What the encoder read (N, T, 3 * drums), as a drum machine plays it: on the grid, with one velocity."""
        hits = inputs.chunk(3, dim=-1)[0]
        ones = torch.ones_like(hits)
        self.add("input", torch.cat([hits, self.machine_velocity * ones, 0 * ones], dim=-1), labels)
        self.feel["data"].add(labels.float().cpu())

    def figures(self) -> dict[str, Any]:
        """By the way in which the grooves came about: `hits_precision`, `hits_recall`, `hits_f1`; `velocity_error` (mean
        absolute difference in MIDI velocities) and `timing_error_ms` (milliseconds at a tempo of 120), both over all true
        hits; and mean and standard deviation of velocities and timing.

        - `teacher_forced` and `sampled`: at the temperature asked for;
        - `likeliest`: decoded from the posterior's mean without chance, as `MusicVAEModel.reconstruct` does;
        - `known_hits`: velocities and timing for the true hits, as `MusicVAEModel.decode_feel` gives them;
        - `input`: what the encoder read, as a drum machine plays it: on the grid, every hit with the median velocity
          of the data, the best there is without listening. What a model must beat;
        - `data`: mean and standard deviations only.

        Where the input lacks some drums altogether (added hi-hats, taps), `restored_hits_f1` is the F1 of those.
        """
        restored = (self.hits["input"].given == 0) & (self.hits["input"].wanted > 0)
        figures: dict[str, Any] = {}
        for way in self.hits:
            velocity_error, timing_error, count = self.errors[way]
            figures[way] = {
                **{f"hits_{name}": value for name, value in self.hits[way].figures().items()},
                "velocity_error": velocity_error / count if count else None,
                "timing_error_ms": timing_error / count if count else None,
                **self.feel[way].figures(),
            }
            if restored.any():
                figures[way]["restored_hits_f1"] = self.hits[way].figures(restored)["f1"]
        return {**figures, "data": self.feel["data"].figures()}


def half_step_ms(steps_per_quarter: int) -> float:
    """Milliseconds of half a step at [`TEMPO`]."""
    return 60_000 / TEMPO / steps_per_quarter / 2

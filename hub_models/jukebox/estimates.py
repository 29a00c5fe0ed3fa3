"""Means with standard errors, where what is averaged comes in groups: windows of a song, pairs of a sample."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean and how far it may be off.

    Attributes:
        mean: of all values.
        standard_error: of the mean, over groups; NaN where there is only one.
    """

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray, groups: Sequence[int] | np.ndarray) -> "Estimate":
        """The mean of `values` (N,) without NaN, with the error that groups drawn at random have (clustered by `groups`)."""
        values, groups = np.asarray(values, dtype=float), np.asarray(groups)
        groups, values = groups[~np.isnan(values)], values[~np.isnan(values)]
        if not len(values):
            return cls(float("nan"), float("nan"))
        mean = values.mean()
        _, numbers = np.unique(groups, return_inverse=True)
        sums = np.bincount(numbers, weights=values - mean)
        count = len(sums)
        if count < 2:
            return cls(float(mean), float("nan"))
        return cls(float(mean), float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(values)))

    def to_dict(self) -> dict[str, float]:
        """As JSON has it."""
        return asdict(self)

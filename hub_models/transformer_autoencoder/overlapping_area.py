"""How alike two performances are: the overlapping area of Gaussians fitted to their features (arXiv 1912.05537).

The measure comes from Yang and Lerch, "On the evaluation of generative models in music" (2018); the paper fits a Gaussian to
each feature's values in the windows of a performance, and takes the area under both densities.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from .performance_features import FEATURES, RESOLUTIONS


class Gaussians(NamedTuple):
    """Normal distributions, one for each feature.

    Args:
        mean, deviation (`ndarray` of shape (..., 8), float64): NaN where there is nothing to fit.
    """

    mean: np.ndarray
    deviation: np.ndarray


def fit_gaussians(features: np.ndarray, resolutions: ArrayLike = RESOLUTIONS) -> Gaussians:
    """The likeliest Gaussians of features (W, F) in windows; windows where a feature is NaN do not count for it.

    None is narrower than rounding to the feature's resolution alone would make it.

    Args:
        features: see `window_features`.
        resolutions: (F,), in the features' units.
    """
    known = ~np.isnan(features)
    counts = known.sum(axis=0)
    is_empty = counts == 0
    values, counts = np.where(known, features, 0.0), np.maximum(counts, 1)
    mean = values.sum(axis=0) / counts
    variance = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / counts
    deviation = np.maximum(np.sqrt(variance), np.asarray(resolutions) / np.sqrt(12))
    return Gaussians(np.where(is_empty, np.nan, mean), np.where(is_empty, np.nan, deviation))


def overlapping_area(a: Gaussians, b: Gaussians) -> np.ndarray:
    """The area under both densities, 0 (apart) to 1 (the same); exact, for any two Gaussians.

    The paper's formula has one point at which the densities cross; of Gaussians with different deviations there are two.

    Args:
        a, b: of shapes that broadcast to (...). Where either is NaN, nothing overlaps.

    Returns:
        (...) float64
    """
    swapped = a.deviation > b.deviation
    narrow_mean, wide_mean = np.where(swapped, b.mean, a.mean), np.where(swapped, a.mean, b.mean)
    narrow, wide = np.where(swapped, b.deviation, a.deviation), np.where(swapped, a.deviation, b.deviation)
    # With z from the narrow mean in narrow deviations, the wide one's is `ratio * z + shift`; where both densities are
    # equal, (1 - ratio^2) z^2 - 2 ratio shift z - (shift^2 + gap) = 0. Between the two places the narrow density is higher.
    ratio, shift = narrow / wide, (narrow_mean - wide_mean) / wide
    gap = -2.0 * np.log(ratio)
    leading = (1.0 - ratio) * (1.0 + ratio)
    root = np.sqrt(shift**2 + leading * gap)
    larger = ratio * shift + np.where(shift < 0, -root, root)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.sort(np.stack([larger / leading, -(shift**2 + gap) / larger]), axis=0)  # infinite: only one
        inside_narrow = _share_below(places[1]) - _share_below(places[0])
        inside_wide = _share_below(ratio * places[1] + shift) - _share_below(ratio * places[0] + shift)
        area = np.where(larger == 0, 1.0, np.clip(1.0 - inside_narrow + inside_wide, 0.0, 1.0))
    return np.nan_to_num(np.where(np.isnan(ratio) | np.isnan(shift), 0.0, area), nan=0.0)


def _share_below(z: np.ndarray) -> np.ndarray:
    """The cumulative distribution of the standard normal."""
    return torch.special.ndtr(torch.from_numpy(np.asarray(z, dtype=np.float64))).numpy()


def overlapping_areas(performances: Sequence[Gaussians], others: Sequence[Gaussians]) -> np.ndarray:
    """Of every performance with every other one, (N, M, 8)."""
    a, b = (Gaussians(*map(np.stack, zip(*group, strict=True))) for group in (performances, others))
    return overlapping_area(Gaussians(*(field[:, None] for field in a)), Gaussians(*(field[None] for field in b)))


def describe_areas(areas: np.ndarray) -> dict[str, float]:
    """The mean over pieces of areas (N, 8), by feature, and the `mean` over features."""
    means = areas.mean(axis=0)
    return {**dict(zip(FEATURES, means.tolist(), strict=True)), "mean": float(means.mean())}

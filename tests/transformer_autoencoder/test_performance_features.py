"""Features of how a performance is played, and how alike two performances are by them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models.transformer_autoencoder.overlapping_area import (
    Gaussians,
    describe_areas,
    fit_gaussians,
    overlapping_area,
    overlapping_areas,
)
from hub_models.transformer_autoencoder.performance_features import FEATURES, RESOLUTIONS, window_features
from hub_models.transformer_autoencoder.performance_notes import PerformanceNotes

from .music import random_notes

COLUMN = {name: number for number, name in enumerate(FEATURES)}
means, deviations = st.floats(-100, 100), st.floats(0.01, 100)


def area(mean, deviation, other_mean, other_deviation):
    return float(
        overlapping_area(
            Gaussians(np.array(mean), np.array(deviation)), Gaussians(np.array(other_mean), np.array(other_deviation))
        )
    )


def test_features_of_two_windows():
    notes = PerformanceNotes.from_rows(
        [(60, 40, 0.0, 0.5), (64, 60, 0.5, 2.5), (72, 80, 1.9, 2.0), (50, 100, 2.0, 4.0), (55, 100, 3.99, 4.0)]
    )
    features = window_features(notes, 2.0, 2.0)
    assert features.shape == (2, 8)
    first = dict(zip(FEATURES, features[0], strict=True))
    assert first["note_density"] == 1.5
    assert first["pitch_range"] == 12
    assert first["pitch_mean"] == pytest.approx((60 + 64 + 72) / 3)
    assert first["pitch_variation"] == pytest.approx(np.std([60, 64, 72]))
    assert first["velocity_mean"] == 60
    assert first["velocity_variation"] == pytest.approx(np.std([40, 60, 80]))
    assert first["duration_mean"] == pytest.approx((0.5 + 2.0 + 0.1) / 3)
    assert first["duration_variation"] == pytest.approx(np.std([0.5, 2.0, 0.1]))
    assert features[1].tolist() == pytest.approx([1.0, 5.0, 52.5, 2.5, 100, 0, 1.005, 0.995])


def test_windows_slide_and_a_short_performance_is_one():
    notes = PerformanceNotes.from_rows([(60, 64, step * 0.5, step * 0.5 + 0.5) for step in range(10)])  # 5 seconds
    assert window_features(notes)[:, 0].tolist() == [2.0] * 4  # from 0, 1, 2 and 3 seconds on
    assert len(window_features(notes.cut(0.0, 1.0))) == 1


def test_a_note_on_a_border_belongs_to_the_window_that_begins_there():
    step = 1 / 100
    notes = PerformanceNotes.from_rows([(60, 64, 200 * step, 210 * step), (62, 64, 299 * step, 400 * step)])
    features = window_features(notes, 2.0, 2.0)
    assert features[:, 0].tolist() == [0.0, 1.0]


def test_silence_has_a_density_and_nothing_else():
    notes = PerformanceNotes.from_rows([(60, 64, 0.0, 0.1), (62, 64, 6.0, 8.0)])
    features = window_features(notes, 2.0, 2.0)
    assert features[:, 0].tolist() == [0.5, 0.0, 0.0, 0.5]
    assert np.isnan(features[1:3, 1:]).all()
    assert window_features(PerformanceNotes.from_rows([]))[0, 0] == 0.0


@given(random_notes(lowest=21, highest=108), st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_of_notes_does_not_matter_and_means_lie_within_extremes(notes, random):
    order = list(range(len(notes)))
    random.shuffle(order)
    features = window_features(notes)
    np.testing.assert_allclose(window_features(notes.select(np.array(order))), features, atol=1e-9)
    known = ~np.isnan(features[:, 1])
    pitch = features[known, COLUMN["pitch_mean"]]
    assert ((pitch >= notes.pitch.min() - 1e-9) & (pitch <= notes.pitch.max() + 1e-9)).all()
    assert (features[known, COLUMN["pitch_variation"]] <= features[known, COLUMN["pitch_range"]] / 2 + 1e-9).all()


@given(means, deviations, means, deviations)
@settings(max_examples=200, deadline=None)
def test_overlap_is_the_area_under_both_densities(mean, deviation, other_mean, other_deviation):
    # a grid that is fine where either density is high
    points = np.unique(
        np.concatenate([m + d * np.linspace(-9, 9, 6001) for m, d in ((mean, deviation), (other_mean, other_deviation))])
    )
    densities = [
        np.exp(-0.5 * ((points - m) / d) ** 2) / (d * math.sqrt(2 * math.pi))
        for m, d in ((mean, deviation), (other_mean, other_deviation))
    ]
    lower = np.minimum(*densities)
    expected = float(((lower[1:] + lower[:-1]) / 2 * np.diff(points)).sum())
    assert area(mean, deviation, other_mean, other_deviation) == pytest.approx(expected, abs=2e-5)


@given(means, deviations, means, deviations, st.floats(-50, 50), st.floats(0.1, 10))
@settings(max_examples=100, deadline=None)
def test_overlap_is_symmetric_and_knows_no_units(mean, deviation, other_mean, other_deviation, moved, scale):
    overlap = area(mean, deviation, other_mean, other_deviation)
    assert 0.0 <= overlap <= 1.0
    assert area(other_mean, other_deviation, mean, deviation) == pytest.approx(overlap, abs=1e-12)
    in_other_units = area(mean * scale + moved, deviation * scale, other_mean * scale + moved, other_deviation * scale)
    assert in_other_units == pytest.approx(overlap, abs=1e-6)


@given(means, means, deviations)
@settings(max_examples=50, deadline=None)
def test_of_equal_deviations_the_densities_cross_once(mean, other_mean, deviation):
    half = abs(mean - other_mean) / (2 * deviation)
    expected = math.erfc(half / math.sqrt(2))
    assert area(mean, deviation, other_mean, deviation) == pytest.approx(expected, abs=1e-9)
    # and hardly differs where they are almost equal
    assert area(mean, deviation, other_mean, deviation * (1 + 1e-9)) == pytest.approx(expected, abs=1e-6)


@given(means, deviations)
@settings(max_examples=50, deadline=None)
def test_only_the_same_overlaps_wholly(mean, deviation):
    assert area(mean, deviation, mean, deviation) == 1.0
    assert area(mean, deviation, mean + deviation, deviation) < 0.62
    assert area(mean, deviation, mean, deviation * 2) < 0.7


def test_a_fit_leaves_out_what_is_unknown_and_is_no_narrower_than_rounding():
    features = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    fit = fit_gaussians(features, [0.1, 0.1])
    assert fit.mean[0] == 2.0
    assert fit.deviation[0] == 1.0
    assert np.isnan(fit.mean[1])
    assert np.isnan(fit.deviation[1])
    constant = fit_gaussians(np.full((4, 8), 5.0))
    np.testing.assert_allclose(constant.deviation, RESOLUTIONS / math.sqrt(12))


def test_nothing_overlaps_with_silence():
    silent = fit_gaussians(window_features(PerformanceNotes.from_rows([])))
    played = fit_gaussians(window_features(PerformanceNotes.from_rows([(60, 64, 0.0, 0.4), (70, 90, 1.0, 1.8)])))
    areas = overlapping_areas([silent, played], [played])
    assert areas.shape == (2, 1, 8)
    assert areas[0, 0, 1:].tolist() == [0.0] * 7
    assert areas[1, 0].tolist() == [1.0] * 8
    described = describe_areas(areas[:, 0])
    assert described["pitch_mean"] == 0.5
    assert described["mean"] == pytest.approx(np.mean([described[name] for name in FEATURES]))

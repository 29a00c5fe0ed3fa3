"""Pitch and speed of a spectrogram: what goes where, checked with tones whose place is known."""

import math

import pytest
import torch

from hub_models.wavegrad.mel_operations import (
    MelOperationError,
    band_frequencies,
    band_positions,
    shift_pitch,
    stretch_time,
)

SETTINGS = {"sampling_rate": 22_050, "f_min": 20.0, "f_max": 11_025.0, "mel_scale": "htk"}


def bump(hertz, bands=128, frames=5, width=2.0):
    """A spectrogram with one tone: a bump of bands around its frequency."""
    place = float(band_positions([hertz], bands, SETTINGS)[0])
    column = torch.exp(-((torch.arange(bands) - place) ** 2) / (2 * width**2))
    return column[:, None].repeat(1, frames)


def peak_hertz(mel):
    """Frequency of the loudest place, between bands by the parabola through the three around it."""
    column = mel[:, 0].double().clamp(min=1e-12).log()
    top = int(column.argmax())
    left, middle, right = column[top - 1], column[top], column[top + 1]
    place = top + 0.5 * float((left - right) / (left - 2 * middle + right))
    frequencies = band_frequencies(mel.shape[0], SETTINGS)
    low = int(place)
    return frequencies[low] * (frequencies[low + 1] / frequencies[low]) ** (place - low)


def real_mel(hertz, settings=SETTINGS, samples=12_000):
    """The log-mel of a real tone, computed by torchaudio."""
    import torchaudio

    time = torch.arange(samples) / settings["sampling_rate"]
    spectrum = torchaudio.transforms.MelSpectrogram(
        settings["sampling_rate"], n_fft=2048, win_length=1200, hop_length=300, f_min=settings["f_min"],
        f_max=settings["f_max"], n_mels=128, power=1.0, normalized=True,
    )(0.5 * torch.sin(2 * math.pi * hertz * time))  # fmt: skip
    return ((20 * torch.log10(spectrum.clamp(min=1e-5)) - 20 + 100) / 100).clamp(0, 1)


def test_bands_are_where_the_filters_are():
    import torchaudio

    filters = torchaudio.functional.melscale_fbanks(1025, 20.0, 11_025.0, 128, 22_050)
    bins = torch.linspace(0, 11_025, 1025)
    middles = torch.from_numpy(band_frequencies(128, SETTINGS))
    for band in (60, 100, 127):  # wide enough that the highest bin is near the middle
        assert float((bins[filters[:, band].argmax()] - middles[band]).abs()) < 11_025 / 1024
    assert band_positions(middles.numpy(), 128, SETTINGS) == pytest.approx(range(128), abs=1e-6)


@pytest.mark.parametrize("semitones", [12, 7, 1, -1, -5, -12, 0.5])
def test_a_tone_goes_where_the_interval_says(semitones):
    shifted = shift_pitch(bump(1000.0), semitones, SETTINGS)
    assert peak_hertz(shifted) == pytest.approx(1000.0 * 2 ** (semitones / 12), rel=0.01)


def test_a_shifted_tone_is_like_the_tone_at_that_pitch():
    """Of a real tone, far nearer to the spectrogram of the other pitch than the unshifted one is."""
    before, wanted = real_mel(880.0), real_mel(880.0 * 2 ** (5 / 12))
    shifted = shift_pitch(before, 5, SETTINGS)
    middle = slice(5, -5)
    error = (shifted - wanted)[:, middle].abs().mean()
    assert error < 0.5 * (before - wanted)[:, middle].abs().mean()
    assert shifted.max() == pytest.approx(float(wanted.max()), abs=0.03)  # as loud as it was, 3 dB


def test_there_and_back_is_nearly_where_it_was():
    mel = bump(800.0)
    back = shift_pitch(shift_pitch(mel, 4, SETTINGS), -4, SETTINGS)
    assert (back - mel).abs().max() < 0.1


def test_nothing_asked_is_nothing_changed():
    mel = torch.rand(2, 128, 9, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(shift_pitch(mel, 0, SETTINGS), mel, atol=1e-5)
    assert torch.equal(stretch_time(mel, 1), mel)


def test_bands_that_come_from_nowhere_are_silent():
    mel = torch.ones(128, 3)
    down, up = shift_pitch(mel, -12, SETTINGS), shift_pitch(mel, 12, SETTINGS)
    frequencies = torch.from_numpy(band_frequencies(128, SETTINGS))
    assert (down[frequencies > 5600] == 0).all()
    assert (down[frequencies < 5400] == 1).all()
    assert (up[frequencies < 35] == 0).all()
    assert (up[frequencies > 60] == 1).all()


@pytest.mark.parametrize(("factor", "frames"), [(2, 40), (0.5, 10), (1.5, 30), (0.33, 7), (4, 80), (0.25, 5)])
def test_length_follows_the_factor(factor, frames):
    assert stretch_time(torch.rand(1, 8, 20), factor).shape == (1, 8, frames)


def test_moments_move_with_the_factor_and_pitches_stay():
    ramp = torch.arange(20.0).repeat(4, 1) + torch.arange(4.0)[:, None]
    slow = stretch_time(ramp, 2)
    assert slow[0, :39] == pytest.approx(torch.arange(39) / 2)
    assert slow[3] == pytest.approx(slow[0] + 3)
    assert stretch_time(ramp, 0.5)[0] == pytest.approx(torch.arange(10) * 2)


def test_one_frame_stays_one():
    assert stretch_time(torch.rand(8, 1), 0.25).shape == (8, 1)
    assert stretch_time(torch.full((8, 1), 0.5), 4).tolist() == [[0.5] * 4] * 8


def test_values_stay_between_those_there_were():
    mel = torch.rand(3, 64, 11, generator=torch.Generator().manual_seed(1))
    for changed in (stretch_time(mel, 1.37), shift_pitch(mel, 3.3, SETTINGS)):
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert changed.dtype == mel.dtype


def test_the_slaney_scale_is_read_as_well():
    settings = {**SETTINGS, "mel_scale": "slaney", "f_max": None}
    frequencies = band_frequencies(80, settings)
    assert frequencies[-1] < 11_025
    assert band_positions(frequencies, 80, settings) == pytest.approx(range(80), abs=1e-6)


@pytest.mark.parametrize("factor", [0, -1, 0.2, 5, float("nan"), float("inf")])
def test_absurd_factors(factor):
    with pytest.raises(MelOperationError, match=r"from 0\.25 to 4"):
        stretch_time(torch.rand(8, 4), factor)


@pytest.mark.parametrize("semitones", [25, -30, float("nan"), float("-inf")])
def test_absurd_intervals(semitones):
    with pytest.raises(MelOperationError, match="from -24 to 24"):
        shift_pitch(torch.rand(8, 4), semitones, SETTINGS)


@pytest.mark.parametrize("mel", [torch.rand(8), torch.zeros(8, 0), torch.ones(8, 4, dtype=torch.int64), [[0.5]]])
def test_what_is_no_spectrogram(mel):
    with pytest.raises(MelOperationError, match="spectrogram"):
        stretch_time(mel, 1)


@pytest.mark.parametrize("change", [{"mel_scale": "bark"}, {"f_min": None}, {"f_min": 12_000.0}, {"f_max": "high"}])
def test_settings_without_frequencies(change):
    with pytest.raises(MelOperationError, match="mel settings"):
        shift_pitch(torch.rand(8, 4), 1, {**SETTINGS, **change})

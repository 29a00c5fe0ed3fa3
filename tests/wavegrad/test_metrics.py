"""Distances between sounds: each is 0 for the same sound, grows with the difference, and has the scale that it says."""

import math

import pytest
import torch

from hub_models.wavegrad import metrics
from hub_models.wavegrad.metrics import all_metrics, log_mel_mse, mel_cepstral_distortion, multi_resolution_stft_distance

RATE = 22050


@pytest.fixture(scope="module")
def sounds():
    """Two seconds of noisy tones, (2, T)."""
    generator = torch.Generator().manual_seed(0)
    seconds = torch.arange(2 * RATE) / RATE
    tones = 0.2 * torch.sin(2 * math.pi * torch.tensor([220.0, 1500.0])[:, None] * seconds)
    return tones + 0.05 * torch.randn(2, len(seconds), generator=generator)


def test_the_same_sound_is_at_no_distance(sounds):
    assert all(torch.equal(figure, torch.zeros(2)) for figure in all_metrics(sounds, sounds, RATE).values())


def test_more_noise_is_farther_in_every_figure(sounds):
    noise = torch.randn(sounds.shape, generator=torch.Generator().manual_seed(1))
    near, far = (all_metrics(sounds + level * noise, sounds, RATE) for level in (0.01, 0.1))
    assert set(near) == {"ls_mse", "mcd", "mr_stft", "mr_stft_sc", "mr_stft_mag"}
    for name in near:
        assert (near[name] > 0).all()
        assert (near[name] < far[name]).all()


def test_an_item_is_the_same_alone_and_in_a_batch(sounds):
    other = sounds.flip(0)
    together = all_metrics(sounds, other, RATE)
    for item in range(2):
        for name, figure in all_metrics(sounds[item], other[item], RATE).items():
            torch.testing.assert_close(figure, together[name][item : item + 1])


def test_ls_mse_of_a_gain_is_its_square_in_nepers(sounds):
    noise = 0.2 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(2))
    assert log_mel_mse(noise * math.exp(-0.5), noise, RATE).item() == pytest.approx(0.25, rel=1e-2)


def test_ls_mse_is_what_torchaudio_mel_spectrograms_give(sounds):
    import torchaudio

    transform = torchaudio.transforms.MelSpectrogram(
        RATE, 2048, 1200, 150, f_min=20.0, f_max=RATE / 2, n_mels=128, power=1.0, normalized=True
    )
    noisy = sounds + 0.02 * torch.randn(sounds.shape, generator=torch.Generator().manual_seed(3))
    difference = (transform(noisy) + 1e-5).log() - (transform(sounds) + 1e-5).log()
    torch.testing.assert_close(log_mel_mse(noisy, sounds, RATE), difference.square().mean(dim=(1, 2)), rtol=1e-4, atol=0)


def test_mcd_of_a_cosine_over_mel_frequency_is_its_root_mean_square_in_decibels(monkeypatch, sounds):
    """An envelope that differs by a cosine of 6 dB amplitude is 6 / sqrt(2) dB away."""
    positions = torch.arange(128) + 0.5
    ripple = 6 / (20 / math.log(10)) * torch.cos(math.pi * 5 * positions / 128)
    spectrograms = iter([ripple[None, :, None].expand(1, 128, 3), torch.zeros(1, 128, 3)])
    monkeypatch.setattr(metrics, "log_mel_spectrogram", lambda audio, rate: next(spectrograms))
    assert mel_cepstral_distortion(sounds[:1], sounds[:1], RATE).item() == pytest.approx(6 / math.sqrt(2), rel=1e-5)


def test_mcd_does_not_hear_loudness(sounds):
    quieter = 0.5 * sounds
    assert (mel_cepstral_distortion(quieter, sounds, RATE) < 0.05).all()
    assert (log_mel_mse(quieter, sounds, RATE) > 0.4).all()


def test_spectral_convergence_of_silence_is_one_and_log_magnitude_that_of_a_gain(sounds):
    silence = multi_resolution_stft_distance(torch.zeros_like(sounds), sounds)
    torch.testing.assert_close(silence.spectral_convergence, torch.ones(2), atol=1e-2, rtol=0)
    half = multi_resolution_stft_distance(0.5 * sounds, sounds)
    torch.testing.assert_close(half.spectral_convergence, torch.full((2,), 0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(half.log_magnitude, torch.full((2,), math.log(2)), atol=2e-2, rtol=0)
    torch.testing.assert_close(half.total, half.spectral_convergence + half.log_magnitude)


def test_silence_gives_finite_figures(sounds):
    for figure in all_metrics(sounds, torch.zeros_like(sounds), RATE).values():
        assert figure.isfinite().all()


def test_what_is_beyond_full_scale_does_not_count(sounds):
    loud = 20 * sounds
    assert torch.equal(log_mel_mse(loud, loud.clamp(-1, 1), RATE), torch.zeros(2))


def test_automatic_half_precision_changes_nothing(sounds):
    noisy = sounds + 0.02 * torch.randn(sounds.shape, generator=torch.Generator().manual_seed(4))
    plain = all_metrics(noisy, sounds, RATE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name, figure in all_metrics(noisy, sounds, RATE).items():
            assert torch.equal(figure, plain[name])


@pytest.mark.parametrize(
    ("audio", "reference", "message"),
    [
        (torch.zeros(2, 4000), torch.zeros(2, 4001), r"\(2, 4000\) and \(2, 4001\)"),
        (torch.zeros(1, 1, 4000), torch.zeros(1, 1, 4000), r"\(samples,\)"),
        (torch.zeros(1000), torch.zeros(1000), "1000 samples are too few"),
    ],
)
def test_sounds_that_cannot_be_compared_are_refused(audio, reference, message):
    for metric in (lambda *sounds: log_mel_mse(*sounds, RATE), multi_resolution_stft_distance):
        with pytest.raises(ValueError, match=message):
            metric(audio, reference)

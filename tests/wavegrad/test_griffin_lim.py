"""Griffin-Lim from the model's own spectrogram: the spectrogram is undone exactly, the sound has its pitch and loudness."""

import math

import pytest
import torch

from hub_models.wavegrad import WaveGradFeatureExtractor
from hub_models.wavegrad.griffin_lim import griffin_lim, linear_spectrogram
from hub_models.wavegrad.metrics import log_mel_mse, multi_resolution_stft_distance

RATE = 22050


def sounds(seconds: float = 0.5) -> torch.Tensor:
    """(2, T): chords with a little noise, whole frames of 300."""
    time = torch.arange(int(seconds * RATE) // 300 * 300) / RATE
    generator = torch.Generator().manual_seed(0)
    chords = [sum(torch.sin(2 * math.pi * pitch * time) for pitch in pitches) for pitches in ((220, 277, 330), (440, 1760))]
    return 0.1 * torch.stack(chords) + 0.01 * torch.randn(2, len(time), generator=generator)


def mel_of(audio, extractor):
    return extractor.log_mel(audio)[..., : audio.shape[1] // extractor.hop_length]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"window_normalized": False, "reference_db": 60.0},
        {"power": 2.0},
        {"mel_scale": "slaney", "mel_norm": "slaney"},
        {"reference_db": 0.0, "min_db": -80.0},
    ],
    ids=str,
)
def test_the_linear_spectrogram_has_the_bands_that_it_was_made_of(settings):
    extractor = WaveGradFeatureExtractor(**settings)
    mel = mel_of(sounds(), extractor)
    linear = linear_spectrogram(mel, extractor)
    assert linear.shape == (2, 1025, mel.shape[-1])
    assert (linear >= 0).all()
    magnitudes = torch.stft(sounds(), 2048, 300, 1200, torch.hann_window(1200), return_complex=True).abs()[
        ..., : mel.shape[-1]
    ]
    # The energy of the true spectrum, bin by bin unknown, comes back as a whole ...
    torch.testing.assert_close(linear.sum(dim=1), magnitudes.sum(dim=1), rtol=0.35, atol=1.0)
    # ... and seen through the same filters it is the same spectrogram.
    scale = math.sqrt(3 / 8 * 1200) if extractor.window_normalized else 1.0
    filters = extractor._mel_filters(mel.device)
    bands = filters @ (linear / scale) ** extractor.power
    decibels = 20 * bands.clamp(min=1e-9).log10() - extractor.reference_db
    again = ((decibels - extractor.min_db) / -extractor.min_db).clamp(0, 1)
    assert (again - mel).abs().mean() < 5e-3


def test_copies_sound_like_the_recording_and_more_iterations_help():
    extractor, reference = WaveGradFeatureExtractor(), sounds()
    mel = mel_of(reference, extractor)
    copies = {count: griffin_lim(mel, extractor, count, torch.Generator().manual_seed(0)) for count in (1, 32)}
    assert copies[32].shape == reference.shape
    assert log_mel_mse(copies[32], reference, RATE).max() < 0.5
    distances = {count: multi_resolution_stft_distance(copy, reference).total.mean() for count, copy in copies.items()}
    assert distances[32] < 0.8 * distances[1]


def test_loudness_is_that_of_the_recording():
    extractor, reference = WaveGradFeatureExtractor(), sounds()
    copy = griffin_lim(mel_of(reference, extractor), extractor, 32, torch.Generator().manual_seed(0))
    ratio = copy.square().mean(dim=1).sqrt() / reference.square().mean(dim=1).sqrt()
    torch.testing.assert_close(ratio, torch.ones(2), atol=0.3, rtol=0)


def test_the_generator_decides_the_phases_and_torch_s_own_randomness_is_left_alone():
    extractor = WaveGradFeatureExtractor()
    mel = mel_of(sounds(), extractor)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (griffin_lim(mel, extractor, 2, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_silence_stays_silent():
    extractor = WaveGradFeatureExtractor()
    assert griffin_lim(torch.zeros(1, 128, 8), extractor, 4).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 80, 8), r"\(batch, 128, frames\)"), ((1, 128, 3), "3 frames are too few")]
)
def test_spectrograms_that_cannot_be_read_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        griffin_lim(torch.zeros(shape), WaveGradFeatureExtractor(), 2)

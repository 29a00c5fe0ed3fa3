"""Sound as JukeboxFeatureExtractor makes it for the model."""

import numpy as np
import pytest
import torch

from hub_models.jukebox.feature_extraction_jukebox import JukeboxFeatureExtractor

RATE, HOP = 8_000, 32


@pytest.fixture(scope="module")
def extractor():
    return JukeboxFeatureExtractor(sampling_rate=RATE, hop_length=HOP, max_seconds=2.0)


def tone(samples: int = 10 * HOP, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)).astype(np.float32)


def heard(extractor, sound, **arguments):
    return extractor(sound, sampling_rate=RATE, **arguments)["raw_audio"]


def test_sound_that_fits_is_heard_as_it_is(extractor):
    features = extractor(tone(), sampling_rate=RATE)
    assert torch.equal(features["raw_audio"], torch.from_numpy(tone())[None, :, None])
    assert features.reports == []


def test_what_is_no_whole_code_is_cut_off_or_filled_up(extractor):
    sound = tone(10 * HOP + 5)
    assert heard(extractor, sound).shape == (1, 10 * HOP, 1)
    padded = heard(extractor, sound, padding=True)
    assert padded.shape == (1, 11 * HOP, 1)
    assert not padded[0, len(sound) :].any()


def test_several_sounds_become_as_long_as_the_shortest_or_the_longest(extractor):
    sounds = [tone(10 * HOP), tone(7 * HOP)]
    features = extractor(sounds, sampling_rate=RATE)
    assert features["raw_audio"].shape == (2, 7 * HOP, 1)
    assert features.reports == ["The sounds are cut to the shortest, 0.03 seconds."]
    assert heard(extractor, sounds, padding=True).shape == (2, 10 * HOP, 1)


@pytest.mark.parametrize(("dtype", "scale", "middle"), [(np.int16, 2**15, 0), (np.int32, 2**31, 0), (np.uint8, 2**7, 2**7)])
def test_whole_numbers_are_scaled_by_the_range_of_their_type(extractor, dtype, scale, middle):
    whole = np.round(tone() * scale * 0.9 + middle).astype(dtype)
    found = heard(extractor, whole)[0, :, 0].numpy()
    np.testing.assert_allclose(found, 0.9 * tone(), atol=1.0 / min(scale, 2**14))


def test_channels_are_mixed_with_equal_weights_and_this_is_told(extractor):
    features = extractor(np.stack([tone(), np.zeros_like(tone())]), sampling_rate=RATE)
    np.testing.assert_allclose(features["raw_audio"][0, :, 0], tone() / 2)
    assert features.reports == ["2 channels are mixed to one."]


def test_a_stereo_model_hears_one_channel_twice_and_two_apart():
    stereo = JukeboxFeatureExtractor(feature_size=2, sampling_rate=RATE, hop_length=HOP)
    found = heard(stereo, tone())
    assert torch.equal(found[..., 0], found[..., 1])
    found = heard(stereo, np.stack([tone(), -tone()]))
    assert torch.equal(found[..., 0], -found[..., 1])
    with pytest.raises(ValueError, match="has 3 channels; this model hears 2"):
        heard(stereo, np.stack([tone()] * 3))


def test_another_rate_keeps_the_pitch_and_the_duration(extractor):
    features = extractor(tone(20 * HOP, 2 * RATE), sampling_rate=2 * RATE)
    np.testing.assert_allclose(features["raw_audio"][0, HOP:-HOP, 0], tone()[HOP:-HOP], atol=0.01)
    assert features.reports == ["The sound is resampled from 16000 to 8000 Hz."]


def test_loud_sound_is_clipped_and_this_is_told(extractor):
    features = extractor(3 * tone(), sampling_rate=RATE)
    assert features["raw_audio"].abs().max() == 1
    assert features.reports == ["The sound reaches 1.50; what is beyond 1 is clipped."]


@pytest.mark.parametrize(
    ("sound", "arguments", "error", "message"),
    [
        (tone(), {"sampling_rate": None}, ValueError, "sampling rate of the sound is not given"),
        (tone(), {"sampling_rate": 10}, ValueError, "is 10 Hz; 1000 to 768000 Hz are read"),
        (tone() * np.nan, {}, ValueError, "320 of the sound's 320 samples are not finite numbers"),
        (tone() * 0, {}, ValueError, "The sound is silent: it never rises above 0"),
        (tone() * 1e-5, {}, ValueError, "The sound is silent"),
        (
            tone() * 30_000,
            {},
            ValueError,
            "reach 15000, but floating-point sound is in -1..1. Pass whole numbers as integers",
        ),
        (tone().astype(np.complex64), {}, TypeError, "not complex64"),
        (tone().astype(np.int64), {}, TypeError, "not int64"),
        (np.zeros((2, 2, 2)), {}, ValueError, r"not of shape \(2, 2, 2\)"),
        (tone().reshape(-1, 2), {}, ValueError, r"\(channels, samples\) with 1 to 64 channels, not of shape \(160, 2\)"),
        ([], {}, ValueError, "the list is empty"),
        (tone(HOP - 1), {}, ValueError, "has 31 samples at 8000 Hz .* at least 32"),
        (tone(), {"min_samples": 1000}, ValueError, "has 320 samples at 8000 Hz .* at least 1000"),
        (tone(3 * RATE), {}, ValueError, "lasts 3.0 seconds; at most 2 are allowed"),
    ],
)
def test_what_is_no_sound_for_the_model_is_refused(extractor, sound, arguments, error, message):
    with pytest.raises(error, match=message):
        extractor(sound, **{"sampling_rate": RATE} | arguments)


@pytest.mark.parametrize("numbers", [{"feature_size": 0}, {"sampling_rate": 1}, {"hop_length": 0}, {"max_seconds": -1.0}])
def test_numbers_that_no_extractor_has_are_refused(numbers):
    with pytest.raises(ValueError, match=next(iter(numbers))):
        JukeboxFeatureExtractor(**numbers)

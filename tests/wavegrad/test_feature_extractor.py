"""Log-mel spectrograms: shapes, scales, what is refused, and that pieces are as the whole."""

import json

import numpy as np
import pytest
import torch
from transformers import BatchFeature

from hub_models.wavegrad import WaveGradFeatureExtractor, feature_extraction_wavegrad

RATE = 22050
SMALL = {"sampling_rate": 8000, "feature_size": 20, "n_fft": 256, "win_length": 200, "hop_length": 50}


def tone(samples=5000, hertz=440.0, rate=RATE, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.float32)


def noise(samples=5000, seed=0):
    return np.random.default_rng(seed).uniform(-0.8, 0.8, samples).astype(np.float32)


@pytest.fixture
def extractor():
    return WaveGradFeatureExtractor()


def mel_of(extractor, sound):
    return extractor(sound, sampling_rate=extractor.sampling_rate).input_features[0]


# What comes out


def test_one_frame_more_than_the_sound_has_hops(extractor):
    for samples, frames in ((1025, 4), (3000, 11), (3299, 11), (3300, 12)):
        features = extractor(tone(samples), sampling_rate=RATE)
        assert isinstance(features, BatchFeature)
        assert features.input_features.shape == (1, 128, frames)
        assert features.input_features.dtype == np.float32
        assert features.audio_length.tolist() == [samples]


def test_values_are_0_for_silence_and_at_most_1(extractor):
    assert not mel_of(extractor, np.zeros(5000, np.float32)).any()
    loud = mel_of(extractor, np.sign(tone(amplitude=1.0)))
    assert loud.min() >= 0.0
    assert 0.5 < loud.max() <= 1.0


def test_ten_times_the_amplitude_is_20_of_100_decibels(extractor):
    quiet, loud = (mel_of(extractor, tone(amplitude=amplitude))[:, 5].max() for amplitude in (0.01, 0.1))
    assert loud - quiet == pytest.approx(0.2, abs=1e-4)


def test_a_tone_is_in_the_band_of_its_pitch(extractor):
    low, high = (int(mel_of(extractor, tone(hertz=hertz))[:, 8].argmax()) for hertz in (440, 880))
    edges = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + RATE / 2 / 700), 130)
    centres = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    assert low == np.abs(centres - 440).argmin()
    assert high == np.abs(centres - 880).argmin()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("window_normalized", False),
        ("power", 2.0),
        ("mel_scale", "slaney"),
        ("mel_norm", "slaney"),
        ("f_min", 100.0),
        ("f_max", 8000.0),
        ("reference_db", 0.0),
        ("min_db", -80.0),
        ("win_length", 1024),
    ],
)
def test_every_setting_changes_the_spectrogram_and_is_in_mel_settings(extractor, option, value):
    other = WaveGradFeatureExtractor(**{option: value})
    assert other.mel_settings != extractor.mel_settings
    assert other.mel_settings[option] == value
    assert np.abs(mel_of(other, noise()) - mel_of(extractor, noise())).max() > 0.01


def test_window_normalisation_is_a_shift_in_decibels(extractor):
    """The periodic Hann window of 1200 samples has a sum of squares of 450."""
    plain = WaveGradFeatureExtractor(window_normalized=False)
    sound = 0.02 * noise()  # below the top of the scale either way
    shift = mel_of(plain, sound)[40:80] - mel_of(extractor, sound)[40:80]
    np.testing.assert_allclose(shift, 0.2 * np.log10(np.sqrt(450)), atol=1e-4)


# Inputs


def test_the_same_sound_in_any_kind_of_array(extractor):
    sound = tone(1500)
    expected = mel_of(extractor, sound)
    for same in (sound[None], list(map(float, sound)), torch.from_numpy(sound), sound.astype(np.float64), [sound]):
        np.testing.assert_allclose(mel_of(extractor, same), expected, atol=1e-5)


def test_whole_numbers_are_scaled_by_the_range_of_their_type(extractor):
    pcm16 = (tone() * 32768).astype(np.int16)
    expected = mel_of(extractor, pcm16.astype(np.float32) / 32768)
    np.testing.assert_array_equal(mel_of(extractor, pcm16), expected)
    np.testing.assert_array_equal(mel_of(extractor, torch.from_numpy(pcm16)), expected)
    np.testing.assert_array_equal(mel_of(extractor, pcm16.astype(np.int32) * 65536), expected)
    pcm8 = (tone() * 128 + 128).astype(np.uint8)
    np.testing.assert_array_equal(mel_of(extractor, pcm8), mel_of(extractor, (pcm8.astype(np.float32) - 128) / 128))


def test_what_is_too_loud_is_clipped_as_in_the_original(extractor):
    loud = tone(amplitude=3.0)
    np.testing.assert_array_equal(mel_of(extractor, loud), mel_of(extractor, loud.clip(-1, 1)))


def test_a_batch_pads_the_shorter_with_silence_and_keeps_each_as_alone(extractor):
    sounds = [tone(1500), noise(4000)]
    features = extractor(sounds, sampling_rate=RATE, return_tensors="pt")
    assert features.input_features.shape == (2, 128, 14)
    assert features.audio_length.tolist() == [1500, 4000]
    np.testing.assert_array_equal(features.input_features[0, :, :6], mel_of(extractor, sounds[0]))
    np.testing.assert_array_equal(features.input_features[1], mel_of(extractor, sounds[1]))
    assert not features.input_features[0, :, 6:].any()


@pytest.mark.parametrize("given", [None, 8_000, 24_000, 192_000])
def test_other_sampling_rates_are_refused_with_the_remedy(extractor, given):
    with pytest.raises(ValueError, match=r"reads 22050 Hz: resample .*sampling_rate=22050") as refusal:
        extractor(tone(), sampling_rate=given)
    assert "not given" in str(refusal.value) if given is None else f"is {given} Hz" in str(refusal.value)


@pytest.mark.parametrize(
    "sound", [np.zeros((2, 5000)), np.zeros((5000, 2)), torch.zeros(2, 5000), np.zeros((1, 1, 5000)), [np.zeros((2, 5000))]]
)
def test_several_channels_are_refused_not_mixed_in_silence(extractor, sound):
    with pytest.raises(ValueError, match="must be mono"):
        extractor(sound, sampling_rate=RATE)


@pytest.mark.parametrize("samples", [0, 1, 1024])
def test_too_few_samples_are_refused(extractor, samples):
    with pytest.raises(ValueError, match=rf"{samples} samples; at least 1025"):
        extractor(np.zeros(samples, np.float32), sampling_rate=RATE)
    with pytest.raises(ValueError, match="at least 1025"):
        extractor.log_mel(torch.zeros(1, samples))


def test_an_empty_list_is_refused(extractor):
    with pytest.raises(ValueError, match="empty"):
        extractor([], sampling_rate=RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(extractor, value):
    sound = tone()
    sound[100] = value
    with pytest.raises(ValueError, match="not finite"):
        extractor(sound, sampling_rate=RATE)


@pytest.mark.parametrize("sound", [np.zeros(5000, np.int64), np.zeros(5000, bool), np.zeros(5000, complex), "tone.wav"])
def test_other_types_are_refused(extractor, sound):
    with pytest.raises(TypeError, match="floating point, uint8, int16 or int32"):
        extractor(sound, sampling_rate=RATE)


def test_whole_numbers_that_lost_their_type_are_refused(extractor):
    with pytest.raises(ValueError, match="reach 16384"):
        extractor(tone() * 32768, sampling_rate=RATE)


@pytest.mark.parametrize(
    "options",
    [
        {"hop_length": 0},
        {"win_length": 4096},
        {"f_min": 12_000.0},
        {"f_max": 12_000.0},
        {"feature_size": 0},
        {"power": 0},
        {"min_db": 0},
        {"mel_scale": "bark"},
        {"mel_norm": "htk"},
    ],
)
def test_settings_that_are_not_possible_are_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        WaveGradFeatureExtractor(**options)


# log_mel, for training and measures


def test_log_mel_is_what_a_call_gives(extractor):
    sounds = np.stack([tone(), noise()])
    features = extractor(list(sounds), sampling_rate=RATE).input_features
    np.testing.assert_allclose(extractor.log_mel(torch.from_numpy(sounds)).numpy(), features, atol=1e-3)


def test_a_crop_with_its_context_has_the_frames_of_the_whole():
    extractor = WaveGradFeatureExtractor(**SMALL)
    audio = torch.from_numpy(noise(4000))[None]
    whole = extractor.log_mel(audio)
    margin, hop = SMALL["n_fft"] // 2, SMALL["hop_length"]
    start, frames = 17, 9
    crop = audio[:, start * hop - margin : (start + frames - 1) * hop + margin]
    torch.testing.assert_close(extractor.log_mel(crop, center=False), whole[:, :, start : start + frames], rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [129, 2000, 2049, 4000])
def test_a_long_sound_is_computed_in_pieces_that_are_as_the_whole(monkeypatch, samples):
    extractor = WaveGradFeatureExtractor(**SMALL)
    sound = noise(samples)
    whole = extractor.log_mel(torch.from_numpy(sound)[None])[0].numpy()
    monkeypatch.setattr(feature_extraction_wavegrad, "PIECE_FRAMES", 7)
    np.testing.assert_allclose(mel_of(extractor, sound), whole, rtol=0, atol=1e-4)


def test_gradients_flow_to_the_audio_also_after_a_first_use_in_inference_mode():
    extractor = WaveGradFeatureExtractor(**SMALL, f_min=30.0)  # settings that no other test has put into the cache
    with torch.inference_mode():
        extractor.log_mel(torch.zeros(1, 500))
    audio = torch.from_numpy(noise(500))[None].requires_grad_()
    extractor.log_mel(audio).sum().backward()
    assert audio.grad.isfinite().all()
    assert audio.grad.any()
    silence = torch.zeros(1, 500, requires_grad=True)
    extractor.log_mel(silence).sum().backward()
    assert silence.grad.isfinite().all()


def test_autocast_and_half_precision_change_nothing():
    extractor = WaveGradFeatureExtractor(**SMALL)
    audio = torch.from_numpy(noise(1000))[None]
    expected = extractor.log_mel(audio)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(extractor.log_mel(audio), expected)
    assert extractor.log_mel(audio.bfloat16()).dtype == torch.float32


def test_log_mel_reads_batches_only(extractor):
    with pytest.raises(ValueError, match="batch, samples"):
        extractor.log_mel(torch.zeros(5000))


# Saving


def test_saved_and_loaded_extractors_are_the_same(tmp_path):
    extractor = WaveGradFeatureExtractor(sampling_rate=24000, f_max=9000, window_normalized=False)
    extractor.save_pretrained(tmp_path)
    assert (tmp_path / "preprocessor_config.json").is_file()
    loaded = WaveGradFeatureExtractor.from_pretrained(tmp_path)
    assert loaded.to_dict() == extractor.to_dict()
    np.testing.assert_array_equal(mel_of(loaded, noise()), mel_of(extractor, noise()))


def test_mel_settings_make_the_same_extractor_and_survive_json(extractor):
    settings = json.loads(json.dumps(extractor.mel_settings))
    assert settings == extractor.mel_settings
    assert settings["f_max"] == RATE / 2  # also when it was left to the sampling rate
    assert WaveGradFeatureExtractor(**settings).to_dict() == extractor.to_dict()


def test_using_an_extractor_leaves_nothing_in_its_configuration(extractor):
    before = extractor.to_dict()
    mel_of(extractor, tone())
    assert extractor.to_dict() == before

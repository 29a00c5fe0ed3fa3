"""The border for sound: what is read, what is refused and how, resampling and peaks."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import audio


def tone(seconds=0.5, sample_rate=16_000, channels=2, hertz=440.0):
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * sample_rate)) / sample_rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def test_wav_round_trip_by_path_bytes_and_file_object(tmp_path):
    sound = tone()
    path = audio.save(sound, tmp_path / "folder" / "tone.wav", 16_000)
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        read, sample_rate = audio.load(source)
        assert sample_rate == 16_000
        assert read.dtype == np.float32
        assert read.shape == sound.shape
        assert np.abs(read - sound).max() < 1e-4


def test_flac_is_read_whatever_its_name(tmp_path):
    soundfile.write(tmp_path / "tone.wav", tone().T, 16_000, format="FLAC")
    assert audio.load(tmp_path / "tone.wav")[0].shape == (2, 8_000)


def test_mono_may_be_one_dimensional():
    read, _ = audio.load(audio.to_wav_bytes(tone(channels=1)[0], 16_000))
    assert read.shape == (1, 8_000)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"MThd\x00\x00\x00\x06", b"\x00" * 1000])
def test_what_is_not_sound_is_refused_in_one_sentence(content):
    with pytest.raises(audio.AudioError) as refusal:
        audio.load(content)
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


def test_limits_are_named():
    content = audio.to_wav_bytes(tone(2.0), 16_000)
    with pytest.raises(audio.AudioError, match="2 seconds; at most 1"):
        audio.load(content, audio.AudioLimits(max_seconds=1))
    with pytest.raises(audio.AudioError, match="2 channels; at most 1"):
        audio.load(content, audio.AudioLimits(max_channels=1))
    with pytest.raises(audio.AudioError, match="MB"):
        audio.load(io.BytesIO(content), audio.AudioLimits(max_bytes=100))
    with pytest.raises(audio.AudioError, match="sample rate is 16000"):
        audio.load(content, audio.AudioLimits(max_sample_rate=8_000))
    with pytest.raises(audio.AudioError, match="no samples"):
        audio.load(audio.to_wav_bytes(np.zeros((1, 0)), 16_000))
    with pytest.raises(audio.AudioError, match=r"no sound file named gone\.wav"):
        audio.load("/nowhere/gone.wav")
    with pytest.raises(TypeError):
        audio.load(None)


def test_a_header_that_lies_about_its_length_costs_no_memory():
    content = bytearray(audio.to_wav_bytes(tone(), 16_000))
    content[40:44] = (0x7FFFFFF0).to_bytes(4, "little")
    try:
        read, _ = audio.load(bytes(content))
    except audio.AudioError:
        return
    assert read.shape[1] <= 8_000


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_read_never_worse(content):
    for candidate in (content, audio.to_wav_bytes(tone(0.01), 16_000)[:44] + content):
        try:
            read, _ = audio.load(candidate)
        except audio.AudioError:
            continue
        assert read.ndim == 2
        assert np.isfinite(read).all()


def test_resampling_keeps_pitch_and_length():
    resampled = audio.resample(tone(1.0, 16_000), 16_000, 24_000)
    assert resampled.shape == (2, 24_000)
    assert np.argmax(np.abs(np.fft.rfft(resampled[0]))) == 440
    assert audio.resample(tone(), 16_000, 16_000).shape == (2, 8_000)
    with pytest.raises(audio.AudioError):
        audio.resample(tone(), 16_000, 0)


def test_mono_is_the_mean_of_the_channels():
    both = np.stack([tone(channels=1)[0], np.zeros(8_000, np.float32)])
    assert np.allclose(audio.mono(both), both[0] / 2)
    assert np.array_equal(audio.mono(both[0]), both[0])
    assert audio.mono(both).shape == (8_000,)
    with pytest.raises(audio.AudioError, match="finite"):
        audio.mono(np.full((2, 10), np.inf))
    with pytest.raises(audio.AudioError, match="3 dimensions"):
        audio.mono(np.zeros((1, 2, 10)))


def test_peak_limit_scales_only_what_is_too_loud():
    quiet = tone()
    assert audio.peak_limit(quiet) is quiet
    loud = audio.peak_limit(4 * quiet)
    assert np.abs(loud).max() <= 1.0
    assert np.allclose(loud, 2 * quiet, atol=1e-3)


def test_samples_that_are_no_numbers_are_refused():
    with pytest.raises(audio.AudioError, match="finite"):
        audio.to_wav_bytes(np.full((1, 10), np.nan), 16_000)

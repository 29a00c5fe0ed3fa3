"""Folders of sound become crops with their spectrograms; what cannot be used is counted and named."""

import numpy as np
import pytest
import torch
from tiny_wavegrad import HOP, RATE, tones, write_sound, write_sounds

from hub_models.training import NoTrainingDataError
from hub_models.training.data_order import ExampleKey
from hub_models.wavegrad import WaveGradFeatureExtractor, data
from hub_models.wavegrad.data import (
    ClipDataset,
    CropDataset,
    crop,
    find_audio_files,
    fingerprint_of,
    prepare_recordings,
)

EXTRACTOR = WaveGradFeatureExtractor(feature_size=32)
MARGIN = EXTRACTOR.n_fft // 2
FRAMES = 4
LENGTH = FRAMES * HOP


def to_int16(sound):
    return (sound * 32767).round().astype(np.int16)


CLIPS = [to_int16(tones(seed, seconds)) for seed, seconds in enumerate([0.3, 0.6, 0.45])]


def crops(clips=None, frames=FRAMES, **settings):
    return CropDataset(CLIPS if clips is None else clips, frames, HOP, MARGIN, **settings)


def prepare(folder, cache, rate=RATE, splits=True):
    files = find_audio_files([folder], [folder / "splits.csv"] if splits else None)
    return prepare_recordings(files, rate, cache)


#: Samples of every crop that begins at a frame -> which of the clips it is of, and at which sample.
PLACES = {
    clip[start : start + LENGTH].tobytes(): (number, start)
    for number, clip in enumerate(CLIPS)
    for start in range(0, len(clip) - LENGTH + 1, HOP)
}


def place_of(piece):
    """Where a crop without gain is from; it must begin at a frame."""
    return PLACES[(piece * 32768).round().astype(np.int16).tobytes()]


# Files


def test_files_of_every_kind_are_decoded_mixed_down_and_resampled(tmp_path):
    left, right = tones(1), tones(2)
    write_sound(tmp_path / "a/stereo.flac", np.stack([left, right], axis=1))
    write_sound(tmp_path / "b/plain.WAV", left)
    write_sound(tmp_path / "c/slow.wav", tones(3, rate=RATE * 2), RATE * 2)
    (tmp_path / "notes.txt").write_text("no sound")
    recordings = prepare(tmp_path, tmp_path / "cache", splits=False)
    assert [file.name for file in recordings.files] == ["a/stereo.flac", "b/plain.WAV", "c/slow.wav"]
    stereo, plain, slow = (recordings[index].astype(np.float32) / 32767 for index in range(3))
    np.testing.assert_allclose(stereo, (left + right) / 2, atol=2e-4)
    np.testing.assert_allclose(plain, left, atol=2e-4)
    np.testing.assert_allclose(slow[100:-100], tones(3)[100:-100], atol=5e-3)
    assert recordings.rejected == {}


def test_a_recording_at_the_rate_of_training_keeps_its_samples(tmp_path):
    samples = np.arange(-32768, 32768, 16, dtype=np.int16)
    write_sound(tmp_path / "ramp.wav", samples)
    recordings = prepare(tmp_path, tmp_path / "cache", splits=False)
    assert np.abs(recordings[0].astype(int) - samples).max() <= 1
    (example,) = [crops([recordings[0]], frames=len(samples) // HOP)[ExampleKey(0, 0)]]
    np.testing.assert_allclose(example["audio"], samples[: len(example["audio"])] / 32768, atol=4e-5)


def test_splits_come_from_the_csv_and_are_summed_up(tmp_path):
    recordings = prepare(write_sounds(tmp_path), tmp_path / "cache")
    assert [len(recordings.select(split)) for split in ("train", "validation", "test")] == [6, 2, 0]
    for clip, expected in zip(recordings.select("validation"), (6, 7), strict=True):
        np.testing.assert_allclose(clip / 32767, tones(expected, 0.5 + 0.05 * expected), atol=2e-4)
    summary = recordings.summary()
    assert (summary["train_files"], summary["validation_files"], summary["broken_files"]) == (6, 2, 0)
    assert summary["train_minutes"] == pytest.approx(sum(0.5 + 0.05 * n for n in range(6)) / 60, abs=0.01)


def test_the_cache_is_used_until_a_file_or_the_sample_rate_changes(tmp_path, monkeypatch):
    folder = write_sounds(tmp_path / "data")
    decoded, decode = [], data._decode
    monkeypatch.setattr(data, "_decode", lambda *arguments: decoded.append(1) or decode(*arguments))
    first = prepare(folder, tmp_path / "cache")
    again = prepare(folder, tmp_path / "cache")
    assert len(decoded) == 1
    assert np.array_equal(first.samples, again.samples)
    assert prepare(folder, tmp_path / "cache", rate=16_000).sample_rate == 16_000
    assert len(decoded) == 2
    write_sound(folder / "tone0.wav", tones(99))
    changed = prepare(folder, tmp_path / "cache")
    assert len(decoded) == 3
    assert not np.array_equal(changed[0], first[0])
    assert np.array_equal(changed[1], first[1])


def test_broken_files_are_named_with_the_reason_and_the_others_stay(tmp_path):
    folder = write_sounds(tmp_path / "data", count=4)
    (folder / "tone0.wav").write_bytes(b"")
    (folder / "tone1.wav").write_bytes(b"RIFF no sound at all")
    recordings = prepare(folder, tmp_path / "cache")
    assert set(recordings.rejected) == {"tone0.wav", "tone1.wav"}
    assert all("not a sound file" in reason for reason in recordings.rejected.values())
    assert [file.name for file in recordings.files] == ["tone2.wav", "tone3.wav"]
    np.testing.assert_allclose(recordings[0] / 32767, tones(2, 0.6), atol=2e-4)
    assert recordings.summary()["broken_files"] == 2
    assert prepare(folder, tmp_path / "cache").rejected == recordings.rejected  # read from the cache


def test_only_broken_files_give_nothing_rather_than_an_error(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    recordings = prepare(tmp_path, tmp_path / "cache", splits=False)
    assert recordings.files == []
    assert len(crops(recordings.select("train"))) == 0


def test_a_folder_without_sound_is_named(tmp_path):
    (tmp_path / "song.mid").write_bytes(b"MThd")
    with pytest.raises(NoTrainingDataError, match=r"No sound files .*\.flac.* in "):
        find_audio_files([tmp_path])


# Crops


def test_a_crop_is_a_pure_function_of_its_key():
    first, second = crops(gain_db=6, seed=3), crops(gain_db=6, seed=3)
    keys = [ExampleKey(epoch, index) for epoch in range(3) for index in range(len(first))]
    backwards = {key: second[key] for key in reversed(keys)}
    for key in keys:
        for name, value in first[key].items():
            assert np.array_equal(value, backwards[key][name])


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}])
def test_another_seed_or_epoch_draws_other_crops(changed):
    epoch = changed.pop("epoch", 0)
    one, other = crops(), crops(**changed)
    same = [np.array_equal(one[ExampleKey(0, i)]["audio"], other[ExampleKey(epoch, i)]["audio"]) for i in range(len(one))]
    assert np.mean(same) < 0.5


def test_crops_start_at_frames_and_reach_from_the_first_to_the_last_of_every_recording():
    dataset = crops()
    places = {place_of(dataset[ExampleKey(epoch, i)]["audio"]) for epoch in range(40) for i in range(len(dataset))}
    assert places == set(PLACES.values())


def test_an_epoch_takes_from_every_recording_as_many_crops_as_fit():
    dataset = crops()
    counts = np.bincount([place_of(dataset[ExampleKey(0, i)]["audio"])[0] for i in range(len(dataset))])
    assert counts.tolist() == [len(clip) // LENGTH for clip in CLIPS]


def test_the_spectrogram_of_a_crop_is_the_crop_of_the_whole_recordings_spectrogram():
    dataset = crops()
    wholes = [EXTRACTOR.log_mel(torch.from_numpy(clip / np.float32(32768))[None])[0] for clip in CLIPS]
    edges = set()
    for epoch in range(12):
        for index in range(len(dataset)):
            example = dataset[ExampleKey(epoch, index)]
            number, start = place_of(example["audio"])
            assert np.array_equal(example["context"][MARGIN:-MARGIN], example["audio"])
            mel = EXTRACTOR.log_mel(torch.from_numpy(example["context"])[None], center=False)[0]
            expected = wholes[number][:, start // HOP : start // HOP + FRAMES]
            torch.testing.assert_close(mel[:, :FRAMES], expected, rtol=0, atol=2e-4)
            edges |= {"first"} if start == 0 else {"last"} if start + LENGTH + HOP > len(CLIPS[number]) else set()
    assert edges == {"first", "last"}  # where the recording is mirrored


def test_gain_makes_crops_quieter_by_at_most_what_is_asked_and_their_context_with_them():
    plain, quiet = crops(), crops(gain_db=12)
    factors = []
    for index in range(len(plain)):
        for epoch in range(5):
            key = ExampleKey(epoch, index)
            peak = np.abs(plain[key]["context"]).argmax()
            factors.append(quiet[key]["context"][peak] / plain[key]["context"][peak])
            for name in ("audio", "context"):
                np.testing.assert_allclose(quiet[key][name], plain[key][name] * factors[-1], atol=1e-6)
    decibels = 20 * np.log10(factors)
    assert decibels.min() >= -12.01
    assert decibels.max() <= 0.01
    assert np.ptp(decibels) > 6


def test_recordings_shorter_than_a_crop_or_half_an_fft_are_dropped_and_counted():
    lengths = [10, MARGIN, MARGIN + 1, LENGTH - 1, LENGTH, LENGTH + 1]
    clips = [np.ones(length, np.int16) for length in lengths]
    assert crops(clips).num_dropped == 4
    assert [len(clip) for clip in crops(clips).clips] == [LENGTH, LENGTH + 1]
    small = crops(clips, frames=1)
    assert [len(clip) for clip in small.clips] == [MARGIN + 1, LENGTH - 1, LENGTH, LENGTH + 1]
    assert small[ExampleKey(0, 0)]["context"].shape == (HOP + 2 * MARGIN,)
    assert ClipDataset(clips, 5, FRAMES, HOP, MARGIN).num_dropped == 4


def test_beyond_the_recording_a_crop_is_silent_and_its_context_mirrored():
    clip = np.arange(1, 11)
    piece, context = crop(clip, start=6, length=6, margin=3)
    assert piece.tolist() == [7, 8, 9, 10, 0, 0]
    assert context.tolist() == [4, 5, 6, 7, 8, 9, 10, 9, 8, 7, 6, 5]
    _, context = crop(clip, start=0, length=2, margin=3)
    assert context.tolist() == [4, 3, 2, 1, 2, 3, 4, 5]


def test_validation_clips_are_the_same_each_time_and_spread_over_the_recordings():
    dataset = ClipDataset(CLIPS, 6, FRAMES, HOP, MARGIN)
    assert len(dataset) == 6
    places = []
    for index in range(6):
        first, later = dataset[ExampleKey(0, index)], dataset[ExampleKey(7, index)]
        assert np.array_equal(first["audio"], later["audio"])
        assert np.array_equal(first["context"][MARGIN:-MARGIN], first["audio"])
        places.append(place_of(first["audio"]))
    assert len(set(places)) == 6
    assert {number for number, _ in places} == {0, 1, 2}
    assert all(start % HOP == 0 for _, start in places)


def test_fewer_validation_clips_than_asked_are_taken_once_each():
    dataset = ClipDataset(CLIPS[:1], 100, FRAMES, HOP, MARGIN)
    assert len(dataset) == len(CLIPS[0]) // LENGTH
    assert len(ClipDataset([], 5, FRAMES, HOP, MARGIN)) == 0


def test_the_fingerprint_tells_data_apart():
    names = {fingerprint_of(CLIPS), fingerprint_of(CLIPS[:2]), fingerprint_of([CLIPS[0][:-1], *CLIPS[1:]])}
    assert len(names) == 3
    louder = [CLIPS[0] // 2, *CLIPS[1:]]
    assert fingerprint_of(louder) not in names
    assert fingerprint_of([clip.copy() for clip in CLIPS]) in names

"""The original's collator against ours: the same crops of the same recordings, the same ones left out."""

import numpy as np
import pytest
import torch

from hub_models.training.data_order import ExampleKey
from hub_models.wavegrad.data import ClipDataset, CropDataset, crop
from hub_models.wavegrad.feature_extraction_wavegrad import WaveGradFeatureExtractor

from .conftest import golden_folders, parametrize_cases


def collated(folder):
    """The `coll_*` arrays of a case; None when it has none."""
    with np.load(folder / "io.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files if name.startswith("coll_")}
    return found if {"coll_audio", "coll_mel", "coll_starts", "coll_in0_audio"} <= found.keys() else None


CASES = [folder for folder in golden_folders("wavegrad") if (folder / "io.npz").exists() and collated(folder)]
CASE = parametrize_cases("case", CASES, [folder.name for folder in CASES])


class Collated:
    """A case in words: `records` (audio, mel) as they went in, and what came out with `starts` in frames."""

    def __init__(self, folder):
        arrays = collated(folder)
        count = sum(name.startswith("coll_in") and name.endswith("_audio") for name in arrays)
        self.records = [(arrays[f"coll_in{i}_audio"], arrays[f"coll_in{i}_mel"]) for i in range(count)]
        self.audio, self.mel, self.starts = arrays["coll_audio"], arrays["coll_mel"], arrays["coll_starts"].tolist()
        self.frames = self.mel.shape[-1]
        self.hop = self.audio.shape[-1] // self.frames
        self.kept = [record for record in self.records if record[1].shape[-1] >= self.frames]
        self.left_out = [record for record in self.records if record[1].shape[-1] < self.frames]


@pytest.fixture
def collation(case):
    return Collated(case)


@CASE
def test_crops_begin_and_end_where_the_originals_do_and_end_in_silence_beyond_the_recording(case, collation):
    assert len(collation.kept) == len(collation.starts) == len(collation.audio)
    length = collation.frames * collation.hop
    for (audio, mel), start, expected, bands in zip(
        collation.kept, collation.starts, collation.audio, collation.mel, strict=True
    ):
        np.testing.assert_array_equal(crop(audio, start * collation.hop, length)[0], expected)
        for band, expected_band in zip(mel, bands, strict=True):  # frames are cut at the same places as samples
            np.testing.assert_array_equal(crop(band, start, collation.frames)[0], expected_band)


@CASE
def test_recordings_that_the_original_leaves_out_are_left_out_and_counted(case, collation):
    clips = [(audio * 8000).astype(np.int16) for audio, _ in collation.records]
    left_out = [clips[i] for i, (_, mel) in enumerate(collation.records) if mel.shape[-1] < collation.frames]
    for dataset in (
        CropDataset(clips, collation.frames, collation.hop, margin=0),
        ClipDataset(clips, 10, collation.frames, collation.hop, margin=0),
    ):
        assert dataset.num_dropped >= len(left_out)
        assert not any(np.array_equal(clip, short) for clip in dataset.clips for short in left_out)
    assert len(CropDataset(left_out, collation.frames, collation.hop, margin=0)) == 0


@CASE
def test_every_crop_that_training_draws_is_one_that_the_original_could_have_drawn(case, collation):
    clips = [(audio * 8000).astype(np.int16) for audio, _ in collation.kept]
    dataset = CropDataset(clips, collation.frames, collation.hop, margin=0)
    possible = {
        crop(clip, start * collation.hop, collation.frames * collation.hop)[0].tobytes()
        for clip, (_, mel) in zip(clips, collation.kept, strict=True)
        for start in range(mel.shape[-1] - collation.frames + 1)
    }
    for epoch in range(20):
        for index in range(len(dataset)):
            drawn = dataset[ExampleKey(epoch, index)]["audio"] * 32768
            assert drawn.round().astype(np.int16).tobytes() in possible


@CASE
def test_the_spectrogram_of_a_crop_is_the_crop_of_the_recordings_spectrogram(case, collation):
    extractor = WaveGradFeatureExtractor(feature_size=collation.mel.shape[1], hop_length=collation.hop)
    margin = extractor.n_fft // 2
    compared = 0
    for (audio, _), start in zip(collation.kept, collation.starts, strict=True):
        if len(audio) <= margin + collation.hop:
            continue
        whole = extractor.log_mel(torch.from_numpy(audio)[None])[0]
        _, context = crop(audio, start * collation.hop, collation.frames * collation.hop, margin)
        ours = extractor.log_mel(torch.from_numpy(context)[None], center=False)[0, :, : collation.frames]
        frames = min(collation.frames, whole.shape[-1] - start)
        expected = whole[:, start : start + frames]
        torch.testing.assert_close(ours[:, :frames], expected, rtol=0, atol=1e-3)  # noise of empty bands in float32
        compared += frames
    if not compared:
        pytest.skip("all recordings of this case are shorter than half an FFT and a frame")

"""The feature extractor computes the spectrograms of lmnt-com/wavegrad's preprocessing."""

import re

import numpy as np
import torch

from hub_models.wavegrad import WaveGradFeatureExtractor

from .conftest import golden_folders, parametrize_cases

TOLERANCE = 1e-3  # float32 Fourier transforms differ by up to 7e-4 in bands that are almost empty
FOLDERS = [folder for folder in golden_folders("wavegrad") if (folder / "io.npz").is_file()]
SOUNDS = [
    (folder, key.removesuffix("_pcm16"), int(match[1]))
    for folder in FOLDERS
    for key in sorted(np.load(folder / "io.npz").files)
    if (match := re.fullmatch(r"mel_(\d+)_.+_pcm16", key))
]


@parametrize_cases("sound", SOUNDS, [f"{folder.name}-{name}" for folder, name, _ in SOUNDS])
def test_spectrogram_is_the_originals(sound):
    folder, name, sampling_rate = sound
    arrays = np.load(folder / "io.npz")
    pcm, expected = arrays[f"{name}_pcm16"], arrays[f"{name}_logmel"]
    extractor = WaveGradFeatureExtractor(sampling_rate=sampling_rate)
    features = extractor(pcm, sampling_rate=sampling_rate).input_features[0]
    np.testing.assert_allclose(features, expected, rtol=0, atol=TOLERANCE)
    audio = torch.from_numpy(pcm.astype(np.float32) / 32768)
    np.testing.assert_allclose(extractor.log_mel(audio[None])[0].numpy(), expected, rtol=0, atol=TOLERANCE)

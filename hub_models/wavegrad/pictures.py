"""A spectrogram as a picture."""

import numpy as np

# Anchors of a dark-to-bright scale whose brightness rises evenly: silence is dark blue, full level is pale yellow.
COLOURS = np.array([(13, 8, 60), (84, 2, 163), (158, 24, 157), (214, 84, 109), (248, 149, 64), (250, 250, 150)])


def spectrogram_picture(mel: np.ndarray, zoom: int = 2) -> np.ndarray:
    """(M, F) in 0..1 as (M * zoom, F * zoom, 3) uint8, low frequencies at the bottom."""
    places = np.clip(np.nan_to_num(mel[::-1]), 0, 1) * (len(COLOURS) - 1)
    channels = [np.interp(places, np.arange(len(COLOURS)), COLOURS[:, channel]) for channel in range(3)]
    picture = np.stack(channels, axis=-1).round().astype(np.uint8)
    return picture.repeat(zoom, axis=0).repeat(zoom, axis=1)

"""Tiny sounds and short runs of a tiny WaveGrad, made in code."""

import numpy as np
import soundfile

from hub_models.wavegrad import train

RATE = 22_050
HOP = 300
TINY = [
    "num_mel_bands=16",
    "mel_channels=8",
    "down_channels=[4,4,4,4,4]",
    "up_channels=[8,8,4,4,4]",
]
WEIGHTS = "model/diffusion_pytorch_model.safetensors"


def tones(seed, seconds=0.6, rate=RATE):
    """(T,) float32: a few decaying partials."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    sound = sum(np.sin(2 * np.pi * draw.uniform(100, 3000) * time) * np.exp(-draw.uniform(1, 6) * time) for _ in range(4))
    return (0.2 * sound).astype(np.float32)


def write_sound(path, sound, rate=RATE):
    """(T,) or (T, channels) to 16-bit WAV or FLAC, as the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype="PCM_16")
    return path


def write_sounds(folder, count=8):
    """Sounds of different lengths; the last two are for validation. Gives the folder."""
    rows = ["file,split"]
    for number in range(count):
        write_sound(folder / f"tone{number}.wav", tones(number, 0.5 + 0.05 * number))
        rows.append(f"tone{number}.wav,{'validation' if number >= count - 2 else 'train'}")
    (folder / "splits.csv").write_text("\n".join(rows) + "\n")
    return folder


def command(folder, output, *more, tiny=True, max_steps=2):
    """Arguments of a short silent run on CPU; `tiny=False` leaves the model to `more`."""
    return [
        *("--data", str(folder), "--splits", str(folder / "splits.csv"), "--output", str(output)),
        *("--cache", str(output.parent / "cache"), "--no-progress", "--max-steps", str(max_steps)),
        *("--batch-size", "4", "--crop-frames", "4", "--validation-frames", "12", "--max-validation-clips", "2"),
        *("--validation-steps", "2", "--evaluate-every", "0", "--log-every", "1", "--save-every", "100"),
        *(["--override", *TINY] if tiny else []),
        *map(str, more),
    ]


def run(folder, output, *more, **settings):
    """Train as the command line does; gives the output folder."""
    train.main(command(folder, output, *more, **settings))
    return output

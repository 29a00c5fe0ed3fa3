"""The border for sound: files and bytes to float arrays and back, with limits; resampling and peaks."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

AudioSource = str | os.PathLike | bytes | bytearray | IO[bytes]


class AudioError(ValueError):
    """Sound that cannot be read or written; the message says what was given and what is allowed."""


@dataclass(frozen=True)
class AudioLimits:
    """What `load` accepts from a stranger."""

    max_bytes: int = 100_000_000
    max_seconds: float = 15 * 60
    max_channels: int = 2
    min_sample_rate: int = 4_000
    max_sample_rate: int = 192_000


def load(source: AudioSource, limits: AudioLimits | None = None) -> tuple[np.ndarray, int]:
    """Read a sound file (WAV, FLAC, OGG, MP3: what libsndfile reads), trusting its content only, not its name.

    The limits are checked on the header, before any sample is decoded.

    Args:
        source: path, bytes or a binary file-like object.
        limits: default `AudioLimits()`.

    Returns:
        (channels, samples) float32, and the sample rate in Hz.

    Raises:
        AudioError: not a sound file, a broken or empty one, or one over the limits.
        TypeError: `source` is none of the above.
    """
    import soundfile

    limits = AudioLimits() if limits is None else limits
    stream = _open(source, limits)
    try:
        with stream, soundfile.SoundFile(stream) as file:
            if not limits.min_sample_rate <= file.samplerate <= limits.max_sample_rate:
                raise AudioError(
                    f"The sample rate is {file.samplerate} Hz; "
                    f"{limits.min_sample_rate} to {limits.max_sample_rate} Hz are allowed."
                )
            if file.channels > limits.max_channels:
                raise AudioError(f"The sound has {file.channels} channels; at most {limits.max_channels} are allowed.")
            seconds = file.frames / file.samplerate
            if seconds > limits.max_seconds:
                raise AudioError(f"The sound lasts {seconds:.0f} seconds; at most {limits.max_seconds:.0f} are allowed.")
            # A header may promise any number of frames; read no more than what the limits allow.
            frames = int(limits.max_seconds * file.samplerate)
            audio = file.read(frames=frames, dtype="float32", always_2d=True)
            sample_rate = file.samplerate
    except AudioError:
        raise
    except (RuntimeError, TypeError, OverflowError, OSError) as error:  # soundfile's own errors are RuntimeErrors
        raise AudioError("This is not a sound file that can be read (WAV, FLAC, OGG or MP3), or it is broken.") from error
    if audio.shape[0] == 0:
        raise AudioError("The sound file holds no samples.")
    if not np.isfinite(audio).all():
        raise AudioError("The sound file holds samples that are not finite numbers.")
    return np.ascontiguousarray(audio.T), sample_rate


def save(audio: np.ndarray, path: str | os.PathLike, sample_rate: int) -> Path:
    """Write (channels, samples) or (samples,) float sound as 16-bit WAV, making its folder when missing; gives the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_wav_bytes(audio, sample_rate))
    return path


def to_wav_bytes(audio: np.ndarray, sample_rate: int) -> bytes:
    """A WAV file (16-bit PCM, bytes) of (channels, samples) or (samples,) float sound.

    Values beyond -1..1 are not clipped: the whole is scaled down (`peak_limit`).
    """
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, peak_limit(_check(audio)).T, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def resample(audio: np.ndarray, sample_rate: int, target_sample_rate: int) -> np.ndarray:
    """(channels, samples) float32 at `sample_rate` Hz to `target_sample_rate` Hz, by torchaudio's windowed sinc."""
    audio = _check(audio)
    if sample_rate <= 0 or target_sample_rate <= 0:
        raise AudioError(f"Sample rates must be positive, not {sample_rate} and {target_sample_rate} Hz.")
    if sample_rate == target_sample_rate:
        return audio
    import torch
    import torchaudio

    return torchaudio.functional.resample(torch.from_numpy(audio), int(sample_rate), int(target_sample_rate)).numpy()


def mono(audio: np.ndarray) -> np.ndarray:
    """(channels, samples) or (samples,) sound as (samples,) float32: the mean of its channels."""
    return _check(audio).mean(axis=0)


def peak_limit(audio: np.ndarray, peak: float = 1.0) -> np.ndarray:
    """Scale the whole sound down so that no sample exceeds `peak` in magnitude; quieter sound is left as it is."""
    highest = float(np.abs(audio).max()) if audio.size else 0.0
    return audio if highest <= peak else (audio * (peak / highest)).clip(-peak, peak).astype(audio.dtype)


def _check(audio: np.ndarray) -> np.ndarray:
    audio = np.atleast_2d(np.asarray(audio, dtype=np.float32))
    if audio.ndim != 2:
        raise AudioError(f"Sound is an array of (channels, samples), not of {audio.ndim} dimensions.")
    if not np.isfinite(audio).all():
        raise AudioError("The sound holds samples that are not finite numbers.")
    return np.ascontiguousarray(audio)


def _open(source: AudioSource, limits: AudioLimits) -> IO[bytes]:
    if isinstance(source, (bytes, bytearray)):
        content = bytes(source)
    elif hasattr(source, "read"):
        content = source.read(limits.max_bytes + 1)
        if not isinstance(content, bytes):
            raise TypeError("A sound file object must be opened in binary mode (it gave text).")
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise AudioError(f"There is no sound file named {path.name}.")
        if path.stat().st_size > limits.max_bytes:
            raise AudioError(_too_big(path.stat().st_size, limits))
        return path.open("rb")
    else:
        raise TypeError(f"A sound source is a path, bytes or a binary file object, not {type(source).__name__}.")
    if not content:
        raise AudioError("The sound file is empty.")
    if len(content) > limits.max_bytes:
        raise AudioError(_too_big(len(content), limits))
    return io.BytesIO(content)


def _too_big(size: int, limits: AudioLimits) -> str:
    return f"The sound file has {size / 1e6:.1f} MB or more; at most {limits.max_bytes / 1e6:.1f} MB are allowed."

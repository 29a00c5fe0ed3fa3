"""Sound that comes in: read, mixed down, brought to a model's sample rate; and its pictures, small enough for a page.

A `Sound` is held by a session while a person tries what to do with it, so its samples are 16-bit. Written to a file and read
again they are the same, so that what is made of it can be made again.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import validate
from sources import Source
from validate import StudioError

if TYPE_CHECKING:
    import pretty_midi

    from hub_models import Clip
    from hub_models.audio import AudioSource

MAX_FILE_SECONDS = 5 * 60
MIN_SECONDS = 0.25
# Columns of a picture: about as many as a wide window has pixels for.
COLUMNS = 1000
FULL_SCALE = 32_768  # as sound files are read and written
MIDI_BEGINS = b"MThd"
# A sound is clipped when more than this share of its samples is at full scale, silent when none is above this.
CLIPPED_SHARE, SILENT_PEAK = 0.001, 1e-4


@dataclass(frozen=True, eq=False)
class Sound:
    """Mono sound.

    Attributes:
        name: what a person sees.
        pcm: (samples,) int16.
        sample_rate: Hz.
        remarks: sentences on what was done to it, and on what is wrong with it.
        clip_id: of the clip that it is the sound of; None: it was uploaded, or is an example.
        midi_seconds: of a clip of MIDI, how long it is; of others None.
    """

    name: str
    pcm: np.ndarray
    sample_rate: int
    remarks: tuple[str, ...] = ()
    clip_id: str | None = None
    midi_seconds: float | None = None

    @property
    def seconds(self) -> float:
        return len(self.pcm) / self.sample_rate

    def part(self, begin: float, seconds: float) -> Sound:
        """What sounds from `begin` on, `seconds` long, or less where the sound ends."""
        start = round(begin * self.sample_rate)
        return replace(self, pcm=self.pcm[start : start + round(seconds * self.sample_rate)])

    def samples(self) -> np.ndarray:
        """(samples,) float32 in -1..1."""
        return self.pcm.astype(np.float32) / FULL_SCALE

    def wav(self) -> bytes:
        """As a WAV file, of which `read` makes the same samples."""
        from hub_models import audio

        return audio.to_wav_bytes(self.samples(), self.sample_rate)

    def source(self, begin: float, seconds: float) -> tuple[Source, float]:
        """What a part of it can be made from again, and where the part begins in that.

        It is the file of the clip that it is the sound of, or else a WAV file of the part alone.
        """
        if self.clip_id:
            return Source(self.name, clip_id=self.clip_id), begin
        return Source(self.name, self.part(begin, seconds).wav()), 0.0


def bring(source: str | Path | bytes, name: str, sample_rate: int, midi_seconds: float | None = None) -> Sound:
    """A sound file, or a file of MIDI, which is rendered; told apart by what they hold.

    Args:
        midi_seconds: of MIDI, how long it is where it ends in silence.

    Raises:
        ValueError: as `read` and `perform`, or the MIDI cannot be read.
    """
    from hub_models import midi

    if isinstance(source, bytes):
        begins = source[: len(MIDI_BEGINS)]
    else:
        with open(source, "rb") as file:
            begins = file.read(len(MIDI_BEGINS))
    if begins == MIDI_BEGINS:
        return perform(midi.load(source), name, sample_rate, midi_seconds or 0.0)
    return read(source, name, sample_rate)


def of_clip(clip: Clip, sample_rate: int) -> Sound:
    """The sound of a clip.

    Raises:
        ValueError: as `bring`.
    """
    midi_seconds = clip.seconds if clip.kind == "midi" else None
    heard = bring(clip.data, clip.name, sample_rate, midi_seconds)
    return replace(heard, clip_id=clip.id, midi_seconds=midi_seconds)


def reads(clip: Clip) -> str | None:
    """What is done to a clip to hear it, in words; None where it is too long, too short, too big or silent."""
    from hub_models import midi

    if clip.kind == "midi":
        if clip.seconds > midi.MAX_RENDER_SECONDS or not (clip.has_notes or clip.has_drums):
            return None
        first = f", its first {MAX_FILE_SECONDS // 60} minutes" if clip.seconds > MAX_FILE_SECONDS else ""
        return f"rendered to sound{first}"
    fits = MIN_SECONDS <= clip.seconds <= MAX_FILE_SECONDS and len(clip.data) <= validate.MAX_UPLOAD_BYTES
    return "as it is" if fits else None


def read(source: AudioSource, name: str, sample_rate: int) -> Sound:
    """A sound file at another sample rate.

    Raises:
        ValueError: it cannot be read, is too long or too short, or is silent; the message says which.
    """
    from hub_models import audio

    limits = audio.AudioLimits(max_bytes=validate.MAX_UPLOAD_BYTES, max_seconds=MAX_FILE_SECONDS)
    given, own_rate = audio.load(source, limits)
    remarks = []
    if given.shape[0] > 1:
        remarks.append("Stereo, mixed down to mono.")
    if own_rate != sample_rate:
        lost = "nothing above " + hertz(own_rate / 2) if own_rate < sample_rate else ""
        remarks.append(f"Resampled from {own_rate} to {sample_rate} Hz{f': {lost} is in it' if lost else ''}.")
    clipped = float((np.abs(given) >= 0.9999).mean())
    peak = float(np.abs(given).max())
    if peak > 1.001:
        remarks.append("Louder than full scale: turned down.")
    elif clipped > CLIPPED_SHARE:
        remarks.append(f"Clipped: {100 * clipped:.1f} % of its samples are at full scale, and are kept so.")
    return made(audio.peak_limit(audio.mono(given)), own_rate, name, sample_rate, tuple(remarks))


def perform(music: pretty_midi.PrettyMIDI, name: str, sample_rate: int, seconds: float = 0.0) -> Sound:
    """Music as sound, at least so many seconds of it.

    Raises:
        ValueError: it is too long to be rendered, or is silent.
    """
    from hub_models import midi

    own_rate = sample_rate if sample_rate in midi.SAMPLE_RATES else midi.SAMPLE_RATES[-1]
    played = midi.render(music, sample_rate=own_rate, min_seconds=seconds)
    remarks = []
    if played.shape[1] > MAX_FILE_SECONDS * own_rate:
        remarks.append(f"The first {MAX_FILE_SECONDS // 60} minutes of it.")
        played = played[:, : MAX_FILE_SECONDS * own_rate]
    return made(played.mean(axis=0), own_rate, name, sample_rate, tuple(remarks))


def made(samples: np.ndarray, own_rate: int, name: str, sample_rate: int, remarks: tuple[str, ...] = ()) -> Sound:
    """A `Sound` of (samples,) float at `own_rate` Hz, at another rate.

    Raises:
        StudioError: too short, or silent.
    """
    from hub_models import audio

    seconds = len(samples) / own_rate
    if seconds < MIN_SECONDS:
        raise StudioError(f"The sound lasts {seconds:.2f} seconds; at least {MIN_SECONDS:g} are needed.")
    if not np.abs(samples).max() > SILENT_PEAK:
        raise StudioError("The sound is silent: there is nothing to hear in it.")
    samples = audio.peak_limit(audio.resample(samples, own_rate, sample_rate))[0]
    pcm = (samples * FULL_SCALE).round().clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return Sound(name[:60], pcm, sample_rate, remarks)


def hertz(frequency: float) -> str:
    """As people write it: 440 Hz, 11 kHz."""
    return f"{frequency / 1000:.3g} kHz" if frequency >= 1000 else f"{frequency:.0f} Hz"


def wave_picture(samples: np.ndarray) -> dict[str, Any]:
    """(samples,) float in -1..1 as its lowest and highest value in each of at most `COLUMNS` equal parts.

    Returns:
        `columns`, and `data`: base64 of int8 pairs, low and high, 127 for full scale.
    """
    columns = min(COLUMNS, len(samples))
    starts = np.arange(columns) * len(samples) // columns
    ends = np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)], axis=1)
    data = (np.nan_to_num(ends).clip(-1, 1) * 127).round().astype(np.int8)
    return {"columns": columns, "data": base64.b64encode(data.tobytes()).decode()}


def mel_picture(mel: np.ndarray) -> dict[str, Any]:
    """(M, F) in 0..1 as at most `COLUMNS` columns, each the loudest of its frames.

    Returns:
        `columns`, `bands`, and `data`: base64 of uint8, row by row, the lowest band first.
    """
    bands, frames = mel.shape
    columns = min(COLUMNS, frames)
    starts = np.arange(columns) * frames // columns
    data = (np.maximum.reduceat(np.nan_to_num(mel), starts, axis=1).clip(0, 1) * 255).round().astype(np.uint8)
    return {"columns": columns, "bands": bands, "data": base64.b64encode(data.tobytes()).decode()}

"""A song as the latents of its windows, and what can be done to them: smooth, morph, hold an attribute."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pretty_midi
import torch
from torch import Tensor

from .modeling_music_vae import slerp
from .note_sequence import NoteSequence
from .pieces import Rejection
from .representation import BEATS_PER_BAR
from .song_grid import SongWindow

FITS = ("loop", "stretch")
ROWS_AT_A_TIME = 256


@dataclass(frozen=True)
class SongTrack:
    """One instrument of the song that a part writes.

    Args:
        name (`str`): as in the file, or the General MIDI name of its program.
        program (`int`): General MIDI program, 0..127.
        is_drum (`bool`): whether it is a drum kit.
        instrument (`int`): its number in the file, from 0; the first of them where several drum tracks were joined.
    """

    name: str
    program: int
    is_drum: bool
    instrument: int


@dataclass(frozen=True, eq=False)
class SongPart:
    """What the model reads as one sequence: an instrument, all drums, or a trio.

    Args:
        tracks (`tuple` of [`SongTrack`]): one, or melody, bass and drums of a trio.
        latents (`Tensor` of shape (W, latent_size), float32): one per window of the song; zeros where it is a rest.
        rests (`Tensor` of shape (W,), bool): windows in which nothing sounds; nothing will.
        ties (`Tensor` of shape (W, tracks), bool): windows that begin with a note held over from the window before.
        velocities (`Tensor` of shape (W, tracks), float32): how loud each window is played, 1..127.
        register (`float`): mean MIDI pitch.
        controls (`Tensor` of shape (W, T, control_size), *optional*): what the decoder reads besides the latents.
    """

    tracks: tuple[SongTrack, ...]
    latents: Tensor
    rests: Tensor
    ties: Tensor
    velocities: Tensor
    register: float
    controls: Tensor | None = None

    @property
    def name(self) -> str:
        return ", ".join(track.name for track in self.tracks)


@dataclass(frozen=True, eq=False)
class Song:
    """A song as [`encode_song`] reads it. Edits give a new song and leave this one as it is; for an edit of your own,
    `dataclasses.replace` the latents of its parts.

    Args:
        parts (`tuple` of P [`SongPart`]): what the model reads.
        windows (`tuple` of W [`SongWindow`]): where the windows lie.
        representation (`str`), num_bars (`int`), steps_per_quarter (`int`): those of the processor.
        timeline ([`NoteSequence`]): the tempo map and the metres, with no notes: `timeline.tempos`,
            `timeline.seconds_at(quarter)`, `timeline.bar_at(quarter)`.
        length_bars (`int`): bars of the song, by its own bar lines.
        length_seconds (`float`): end of its last note or event.
        transposition (`int`): semitones that were added before encoding, and are taken off after decoding.
        frame (`PrettyMIDI`): the file without the notes that the parts stand for.
        rejections (`tuple` of [`Rejection`]): what the parts do not hold, and why.
    """

    parts: tuple[SongPart, ...]
    windows: tuple[SongWindow, ...]
    representation: str
    num_bars: int
    steps_per_quarter: int
    timeline: NoteSequence
    length_bars: int
    length_seconds: float
    transposition: int
    frame: pretty_midi.PrettyMIDI
    rejections: tuple[Rejection, ...]

    @property
    def window_bars(self) -> Tensor:
        """Where the music of each window begins, in bars of 4/4 from the start of the song, shape (W,)."""
        starts = [w.start_quarter + w.first_step / self.steps_per_quarter for w in self.windows]
        return torch.tensor(starts, dtype=torch.float32) / BEATS_PER_BAR

    def smooth(self, width: float) -> "Song":
        """Every part with its latents averaged over time, so that the music changes more slowly.

        The averages are as long as the latents they are made of: a plain mean would pull everything to the middle of latent
        space. Rests take no part.

        Args:
            width (`float`): standard deviation of the Gaussian in bars; 0 changes nothing.
        """
        if not (math.isfinite(width) and width >= 0):
            raise ValueError(f"width must be a number of bars, 0 or more; got {width}.")
        return self if width == 0 else self._edit(lambda part: _smooth(part, self.window_bars, width))

    def morph(
        self,
        other: "Song",
        fractions: float | Sequence[float] | Tensor,
        fit: str = "loop",
        pairs: Sequence[int] | None = None,
    ) -> "Song":
        """Moves every window along the great arc to a window of another song, and its loudness with it.

        Tempo, metre, instruments and length stay those of this song. Where one of the two rests, the music is that of the
        nearer one. Songs in different keys meet between the keys, unless both were encoded with the same key in mind
        (`transpose="to_c"`).

        Args:
            other ([`Song`]): read by the same model.
            fractions: 0 this song, 1 the other; one number, or a curve over the song: any number of values, evenly spaced
                from its first window to its last, with straight lines between. `[0, 1]` goes over from one to the other.
            fit (`str`, defaults to `"loop"`): `"loop"`: the other song keeps its pace; it starts again when it ends, or is
                broken off. `"stretch"`: its end meets the end of this one; windows are repeated or passed over.
            pairs (list of P `int`, *optional*): for each part the number of the other's part that it goes to. By default the
                parts are paired by register: the highest goes to the highest, the lowest to the lowest. A song with fewer
                parts lends them several times, one with more leaves some out.
        """
        if self._kind() != other._kind():
            raise ValueError(
                f"Both songs must be read by the same model; this one is {self._kind()}, the other {other._kind()}."
            )
        if fit not in FITS:
            raise ValueError(f"fit must be one of {FITS}, got {fit!r}.")
        curve = _curve(fractions, len(self.windows), "fractions", 0.0, 1.0)
        pairs = _pairs_by_register(self.parts, other.parts) if pairs is None else list(pairs)
        if len(pairs) != len(self.parts) or not all(number in range(len(other.parts)) for number in pairs):
            raise ValueError(
                f"pairs must be {len(self.parts)} numbers of the other song's parts, 0..{len(other.parts) - 1}; got {pairs}."
            )
        partners = _partner_windows(self.windows, other.windows, fit)
        parts = zip(self.parts, pairs, strict=True)
        return replace(self, parts=tuple(_morph(part, other.parts[number], partners, curve) for part, number in parts))

    def hold_attribute(self, direction: Tensor, value: float | Sequence[float] | Tensor | None = None) -> "Song":
        """Moves every latent along an attribute vector until it has the given amount of it, and no further.

        Args:
            direction (`Tensor` of shape (latent_size,)): one of [`load_attribute_vectors`].
            value: in lengths of `direction`, as [`attribute_values`](Song.attribute_values) has it: one number, or a curve
                over the song as in [`morph`](Song.morph). None: for each part the mean of what it has.
        """
        curve = None if value is None else _curve(value, len(self.windows), "value", -math.inf, math.inf)

        def hold(part: SongPart) -> SongPart:
            values = _attribute_values(part, direction)
            target = values[~part.rests].mean() if curve is None else curve
            moved = part.latents + (target - values).unsqueeze(1) * direction.to(part.latents)
            return replace(part, latents=torch.where(part.rests.unsqueeze(1), part.latents, moved))

        return self._edit(hold)

    def attribute_values(self, direction: Tensor) -> list[Tensor]:
        """How much of an attribute vector (latent_size,) the windows have, in lengths of the vector: for each part (W,)."""
        return [_attribute_values(part, direction) for part in self.parts]

    def _kind(self) -> str:
        """What a model must be like to read this song."""
        size = self.parts[0].latents.shape[1]
        grid = f"{self.num_bars}-bar windows with {self.steps_per_quarter} steps per quarter"
        return f"{self.representation}, {grid} and latents of size {size}"

    def _edit(self, function: Callable[[SongPart], SongPart]) -> "Song":
        return replace(self, parts=tuple(function(part) for part in self.parts))


def _smooth(part: SongPart, window_bars: Tensor, width: float) -> SongPart:
    played = ~part.rests
    latents, bars = part.latents[played], window_bars[played]
    lengths = latents.norm(dim=1)
    smoothed = []
    for rows in bars.split(ROWS_AT_A_TIME):  # not all at once: the weights of a long song are a large square
        weights = torch.softmax(-0.5 * ((rows.unsqueeze(1) - bars) / width).square(), dim=1)
        means = weights @ latents
        smoothed.append(means * ((weights @ lengths) / means.norm(dim=1).clamp(min=1e-9)).unsqueeze(1))
    result = part.latents.clone()
    if smoothed:
        result[played] = torch.cat(smoothed)
    return replace(part, latents=result)


def _morph(part: SongPart, other: SongPart, partners: Tensor, curve: Tensor) -> SongPart:
    """`partners` (W,) are the windows of the other part that the windows of this one go to, `curve` (W,) how far."""
    other_latents, other_rests = other.latents[partners], other.rests[partners]
    nearer_to_other = curve >= 0.5
    there = part.rests | (curve == 1) & ~other_rests
    latents = torch.where(there.unsqueeze(1), other_latents, part.latents)
    for window in torch.nonzero(~there & ~other_rests)[:, 0].tolist():
        latents[window] = slerp(part.latents[window], other_latents[window], curve[window : window + 1])[0]
    rests = torch.where(nearer_to_other, other_rests, part.rests)
    return replace(
        part,
        latents=latents.masked_fill(rests.unsqueeze(1), 0.0),
        rests=rests,
        ties=torch.where(nearer_to_other.unsqueeze(1), other.ties[partners], part.ties),
        velocities=torch.lerp(part.velocities, other.velocities[partners], curve.unsqueeze(1)),
    )


def _attribute_values(part: SongPart, direction: Tensor) -> Tensor:
    direction = torch.as_tensor(direction).to(part.latents)
    if direction.shape != part.latents.shape[1:]:
        raise ValueError(f"direction must have the shape ({part.latents.shape[1]},), got {tuple(direction.shape)}.")
    length = direction.dot(direction)
    if not (math.isfinite(length) and length > 0):
        raise ValueError("direction must be a vector of finite numbers, not all of them zero.")
    return part.latents @ direction / length


def _curve(values: float | Sequence[float] | Tensor, num_windows: int, name: str, low: float, high: float) -> Tensor:
    """One number, or evenly spaced points of a curve, as a value for each window (W,)."""
    points = torch.as_tensor(values, dtype=torch.float32).flatten()
    if not len(points) or not bool(torch.isfinite(points).all()) or points.min() < low or points.max() > high:
        allowed = f"{low:g}..{high:g}" if math.isfinite(low) else "finite"
        raise ValueError(f"{name} must be a number or several, {allowed}; got {values}.")
    if len(points) == 1:
        return points.expand(num_windows).clone()
    place = torch.linspace(0, len(points) - 1, num_windows)
    before = place.floor().long().clamp(max=len(points) - 2)
    return torch.lerp(points[before], points[before + 1], place - before)


def _pairs_by_register(parts: Sequence[SongPart], others: Sequence[SongPart]) -> list[int]:
    """For each part the number of the other song's part that is as high among its own."""
    order = sorted(range(len(parts)), key=lambda number: -parts[number].register)
    other_order = sorted(range(len(others)), key=lambda number: -others[number].register)
    pairs = [0] * len(parts)
    for rank, number in enumerate(order):
        pairs[number] = other_order[_stretched(rank, len(parts), len(others))]
    return pairs


def _partner_windows(windows: Sequence[SongWindow], others: Sequence[SongWindow], fit: str) -> Tensor:
    """For each window the number of the other song's window that it goes to, (W,).

    Counted from the first full bar of both songs: an upbeat goes to an upbeat, or to the end of a loop.
    """
    if fit == "stretch":
        return torch.tensor([_stretched(number, len(windows), len(others)) for number in range(len(windows))])
    upbeat, other_upbeat = int(windows[0].first_step > 0), int(others[0].first_step > 0)
    if len(others) == 1:
        return torch.zeros(len(windows), dtype=torch.int64)
    numbers = torch.arange(len(windows)) - upbeat
    looped = numbers % (len(others) - other_upbeat) + other_upbeat
    return torch.where(numbers < 0, 0 if other_upbeat else len(others) - 1, looped)


def _stretched(number: int, count: int, other_count: int) -> int:
    """Where number 0..count - 1 comes to lie among 0..other_count - 1 when first meets first and last meets last."""
    return round(number * (other_count - 1) / (count - 1)) if count > 1 else 0


__all__ = ["Song", "SongPart", "SongTrack"]

"""Drum performances with feel: on every step and drum class a hit, how hard it is and how far from the grid, as GrooVAE
reads them (Gillick et al., "Learning to Groove with Inverse Sequence Transformations", 2019).

A groove is an array (T, 3 D) for D drum classes, nine as a rule: D hits (0 or 1), D velocities (MIDI velocity / 127) and D
offsets (-1..1 in half steps, 1 being half a step early).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .note_sequence import NoteSequence
from .pieces import Piece, Rejection, bars_text, split_musical
from .representation import (
    Extraction,
    Line,
    Origin,
    Representation,
    drop_repeats,
    full_lengths,
    rejections_by_instrument,
)

NUM_DRUMS = 9
MAX_DRUMS = 64
CLOSED_HI_HAT, TAP_DRUM = 2, 3  # drum classes: what "add_closed_hi_hat" leaves out, and where "tap" puts the rhythm
MAX_DROPOUT_PROBABILITY = 0.8
MIN_DROPOUT_WEIGHT = 0.2
DEFAULT_VELOCITY = 100


def split_parts(grooves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, velocities and offsets, each (..., D): views of the grooves (..., 3 D)."""
    num_drums = grooves.shape[-1] // 3
    return grooves[..., :num_drums], grooves[..., num_drums : 2 * num_drums], grooves[..., 2 * num_drums :]


def perform(
    step: np.ndarray, drum: np.ndarray, velocity: np.ndarray, offset: np.ndarray, num_steps: int, num_drums: int = NUM_DRUMS
) -> np.ndarray:
    """Notes to a groove (num_steps, 3 num_drums) float64; of several notes in one place the loudest is kept.

    Of equally loud ones the first in the file's order is kept.

    Args:
        step, drum (`ndarray` of shape (N,), int64): the step 0..num_steps-1 and the drum class of each note.
        velocity (`ndarray` of shape (N,)): 0..127.
        offset (`ndarray` of shape (N,)): half steps by which the note is early, -1..1.
    """
    place = step * num_drums + drum
    order = np.lexsort((-velocity, place))  # stable: of equals the first stays first
    _, first = np.unique(place[order], return_index=True)
    loudest = order[first]
    groove = np.zeros((num_steps, 3 * num_drums))
    for part, values in zip(split_parts(groove), (np.ones(len(step)), velocity / 127, offset), strict=True):
        part[step[loudest], drum[loudest]] = values[loudest]
    return groove


def extract_original(
    notes: NoteSequence,
    pitch_to_class: np.ndarray,
    num_drums: int = NUM_DRUMS,
    steps_per_quarter: int = 4,
    steps_per_bar: int = 16,
) -> tuple[list[tuple[float, np.ndarray]], list[Rejection]]:
    """The file as one groove by the original's rules: every note of every instrument, quantised in seconds at one tempo.

    A file with several tempi, with several metres or in another than 4/4, or with a pitch of no class gives nothing.

    Args:
        pitch_to_class (`ndarray` of shape (128,), int64): drum class by MIDI pitch, -1 for none.

    Returns:
        At most one (first quarter note, groove (T, 27) float64), T being whole bars to the last note; and what was rejected.
    """
    if not len(notes):
        return [], []
    rejections = _several_tempi(notes) + _other_metres(notes, steps_per_quarter, steps_per_bar)
    unknown = pitch_to_class[notes.pitch] < 0
    if unknown.any():
        rejections += _unknown_pitches(notes, unknown, "mode 'original' reads no file that holds such notes")
    if rejections:
        return [], rejections
    tempo = notes.tempos[0][2]
    step = (notes.start * (steps_per_quarter * tempo / 60.0) + 0.5).astype(np.int64)
    seconds_per_step = 60.0 / tempo / steps_per_quarter
    offset = 2 * (step * seconds_per_step - notes.start) / seconds_per_step
    num_steps = (step.max() // steps_per_bar + 1) * steps_per_bar
    drum = pitch_to_class[notes.pitch]
    return [(0.0, perform(step, drum, notes.velocity, offset, num_steps, num_drums))], []


def extract_musical(
    notes: NoteSequence,
    pitch_to_class: np.ndarray,
    num_drums: int = NUM_DRUMS,
    steps_per_quarter: int = 4,
    steps_per_bar: int = 16,
) -> tuple[list[tuple[float, np.ndarray]], list[Rejection]]:
    """Drum tracks, all together, along the tempo map: one groove per stretch of 4/4, from its first bar with a hit on.

    Pitches of no class are left out and named. A note is early or late against the grid of the tempo map.

    Returns:
        (first quarter note, groove (T, 27) float64) of each stretch, T being whole bars; and what was rejected.
    """
    rejections = rejections_by_instrument(notes, ~notes.is_drum, "not a drum track; this model reads drums")
    unknown = notes.is_drum & (pitch_to_class[notes.pitch] < 0)
    rejections += _unknown_pitches(notes, unknown, "they were left out")
    drums = notes.select(notes.is_drum & ~unknown)
    pieces, refused = split_musical(drums, steps_per_quarter, steps_per_bar)
    grooves = []
    for piece in pieces:
        if not len(piece.notes):
            continue
        first_step = piece.start_step.min() // steps_per_bar * steps_per_bar
        step = piece.start_step - first_step
        position = (piece.notes.start_quarter - piece.start_quarter) * steps_per_quarter - first_step
        offset = np.clip(2 * (step - position), -1, 1)
        num_steps = (step.max() // steps_per_bar + 1) * steps_per_bar
        drum = pitch_to_class[piece.notes.pitch]
        groove = perform(step, drum, piece.notes.velocity, offset, num_steps, num_drums)
        grooves.append((piece.start_quarter + first_step / steps_per_quarter, groove))
    return grooves, rejections + refused


def _several_tempi(notes: NoteSequence) -> list[Rejection]:
    changes = [(quarter, tempo) for _, quarter, tempo in notes.tempos]
    if all(tempo == changes[0][1] for _, tempo in changes):
        return []
    shown = ", ".join(f"{tempo:.4g} from bar {notes.bar_at(quarter)}" for quarter, tempo in changes[:6])
    more = f" and {len(changes) - 6} more" if len(changes) > 6 else ""
    where = bars_text(notes, changes[0][0], max(notes.total_quarters, changes[-1][0]))
    return [Rejection(f"the tempo changes ({shown}{more}); mode 'original' reads grooves of one tempo", where)]


def _other_metres(notes: NoteSequence, steps_per_quarter: int, steps_per_bar: int) -> list[Rejection]:
    metres = [(quarter, numerator, denominator) for _, quarter, numerator, denominator in notes.time_signatures]
    if not metres or (notes.time_signatures[0][0] > 0 and metres[0][1:] != (4, 4)):
        metres.insert(0, (0.0, 4, 4))  # 4/4 holds until a file says otherwise
    different = [metres[0]] + [new for old, new in pairwise(metres) if new[1:] != old[1:]]
    if len(different) == 1 and steps_per_quarter * 4 * metres[0][1] == steps_per_bar * metres[0][2]:
        return []
    shown = ", ".join(f"{n}/{d} from bar {notes.bar_at(quarter)}" for quarter, n, d in different[:6])
    more = f" and {len(different) - 6} more" if len(different) > 6 else ""
    where = bars_text(notes, 0.0, max(notes.total_quarters, metres[-1][0]))
    return [Rejection(f"the metre is {shown}{more}; mode 'original' reads grooves in 4/4 throughout", where)]


def _unknown_pitches(notes: NoteSequence, unknown: np.ndarray, consequence: str) -> list[Rejection]:
    """By instrument: which pitches, and how many notes."""
    rejections = []
    for index in np.unique(notes.instrument[unknown]):
        pitches, counts = np.unique(notes.pitch[unknown & (notes.instrument == index)], return_counts=True)
        shown = ", ".join(map(str, pitches[:12])) + (f" and {len(pitches) - 12} more" if len(pitches) > 12 else "")
        reason = f"{counts.sum()} notes of no drum class (MIDI pitches {shown}); {consequence}"
        rejections.append(Rejection(reason, repr(notes.instrument_names[index])))
    return rejections


def tap(grooves: np.ndarray) -> np.ndarray:
    """The rhythm as one would tap it: the loudest hit of each step, moved to class 3 with its velocity and offset."""
    velocities = split_parts(grooves)[1]
    loudest = velocities.argmax(axis=-1)[..., None]
    tapped = np.zeros_like(grooves)
    for part, result in zip(split_parts(grooves), split_parts(tapped), strict=True):
        result[..., TAP_DRUM] = np.take_along_axis(part, loudest, axis=-1)[..., 0]
    return tapped


def humanize(grooves: np.ndarray) -> np.ndarray:
    """The bare score: hits, with velocities and offsets of zero."""
    grooves = grooves.copy()
    grooves[..., grooves.shape[-1] // 3 :] = 0
    return grooves


def fix_velocities(grooves: np.ndarray) -> np.ndarray:
    """Hits and offsets, with velocities of zero."""
    grooves = grooves.copy()
    split_parts(grooves)[1][:] = 0
    return grooves


def remove_drums(grooves: np.ndarray, drums: Sequence[int] = (CLOSED_HI_HAT,)) -> np.ndarray:
    """Without the given drum classes; by default those of the closed hi-hat, which "add_closed_hi_hat" brings back."""
    grooves = grooves.copy()
    for part in split_parts(grooves):
        part[..., list(drums)] = 0
    return grooves


# The corruptions without chance, in the order in which they are applied.
_CERTAIN = {"add_closed_hi_hat": remove_drums, "tap": tap, "humanize": humanize, "fixed_velocities": fix_velocities}
CORRUPTIONS = ("note_dropout", *_CERTAIN)


def drop_notes(
    grooves: np.ndarray,
    rng: np.random.Generator | np.random.RandomState,
    max_probability: float = MAX_DROPOUT_PROBABILITY,
    one_strength: bool = False,
) -> np.ndarray:
    """Silences notes of grooves (N, T, 27) by chance, quiet ones sooner than loud ones.

    As in the original only velocities become 0; hits and offsets stay. After it [`tap`] finds other loudest hits.

    Args:
        max_probability: of a note of velocity 0; each groove draws its own strength between 0 and this.
        one_strength: draw one strength for all, as the original does for the windows of a file.
    """
    grooves = grooves.copy()
    velocities = split_parts(grooves)[1]
    strength = rng.uniform(0, max_probability, size=None if one_strength else (len(grooves), 1, 1))
    velocities *= 1 - rng.binomial(1, strength * np.maximum(MIN_DROPOUT_WEIGHT, 1 - velocities))
    return grooves


def corrupt(
    grooves: np.ndarray,
    corruptions: Sequence[str],
    rng: np.random.Generator | np.random.RandomState | None = None,
    one_strength: bool = False,
) -> np.ndarray:
    """What the encoder is given of complete grooves (N, T, 27).

    Args:
        corruptions: names of [`CORRUPTIONS`]; they are applied in the order given there.
        rng: decides what `"note_dropout"` silences, with fresh draws at every call. None: nothing is silenced.
        one_strength: see [`drop_notes`].

    Raises:
        ValueError: for a name that is none of [`CORRUPTIONS`].
    """
    unknown = sorted(set(corruptions) - set(CORRUPTIONS))
    if unknown:
        raise ValueError(f"corruptions must be of {list(CORRUPTIONS)}, got {unknown}.")
    if "note_dropout" in corruptions and rng is not None:
        grooves = drop_notes(grooves, rng, one_strength=one_strength)
    for name, function in _CERTAIN.items():
        if name in corruptions:
            grooves = function(grooves)
    return grooves


def groove_notes(groove: np.ndarray, output_pitches: Sequence[int]) -> list[tuple[int, int, float, float]]:
    """A groove (T, 27) to notes (pitch, velocity 0..127, start step, end step), by step and drum class.

    A hit of more than 0.5 is a note, one step long; what is early on step 0 starts before 0.
    """
    hits, velocities, offsets = split_parts(np.asarray(groove))
    steps, drums = np.nonzero(hits > 0.5)
    velocity = np.clip(np.round(velocities[steps, drums] * 127), 0, 127).astype(np.int64)
    start = steps - np.clip(offsets[steps, drums].astype(np.float64) / 2, -0.5, 0.5)
    return [
        (output_pitches[d], v, s, s + 1) for d, v, s in zip(drums.tolist(), velocity.tolist(), start.tolist(), strict=True)
    ]


class GroovesRepresentation(Representation):
    """Grooves: examples and sequences are both (T, 27), the complete groove. Its inputs are the groove with something taken
    away, which the model learns to put back.

    Args:
        drum_classes (`list[list[int]]`): MIDI pitches of each class, the one to write first.
        corruptions (`list[str]`): what is taken away; names of [`CORRUPTIONS`].
        hits_control (`bool`): whether the hits are given to encoder and decoder as controls.
    """

    name = "groove"
    music = "drums"
    example_dtype = np.dtype(np.float32)
    output_type = "groove"

    def __init__(
        self,
        num_bars: int,
        steps_per_quarter: int,
        drum_classes: list[list[int]],
        corruptions: Sequence[str] = (),
        hits_control: bool = False,
    ):
        super().__init__(num_bars, steps_per_quarter)
        unknown = sorted(set(corruptions) - set(CORRUPTIONS))
        if unknown:
            raise ValueError(f"corruptions must be of {list(CORRUPTIONS)}, got {unknown}.")
        if not TAP_DRUM < len(drum_classes) <= MAX_DRUMS or not all(drum_classes):
            raise ValueError(
                f"drum_classes of representation 'groove' must be {TAP_DRUM + 1} to {MAX_DRUMS} lists of MIDI pitches, "
                f"none of them empty; got {drum_classes!r}."
            )
        self.num_drums = len(drum_classes)
        self.pitch_to_class = np.full(128, -1, dtype=np.int64)
        for index, pitches in enumerate(drum_classes):
            self.pitch_to_class[list(pitches)] = index
        self.output_pitches = [pitches[0] for pitches in drum_classes]
        self.corruptions = list(corruptions)
        self.random_features = "note_dropout" in corruptions
        self.step_shape = self.sequence_shape = (3 * self.num_drums,)
        self.output_sizes = [3 * self.num_drums]
        self.input_size = 3 * self.num_drums
        self.control_size = self.num_drums if hits_control else 0

    def extract(self, notes: NoteSequence, mode: str) -> Extraction:
        """Mode "original": windows one after the other, what is left over is dropped; float64, as the original counts.
        Mode "musical": windows from every bar line, none of them silent."""
        arguments = (notes, self.pitch_to_class, self.num_drums, self.steps_per_quarter, self.steps_per_bar)
        if mode == "original":
            return self._windows_one_after_the_other(notes, *extract_original(*arguments))
        return self._windows_from_every_bar(notes, *extract_musical(*arguments))

    def extract_rhythm(self, notes: NoteSequence) -> Extraction:
        """The rhythm of any file, tapped or played on any instruments, as [`tap`] leaves it: every note counts, whatever its
        pitch. For the inputs of a model that was trained on "tap"."""
        everything = replace(notes, is_drum=np.ones(len(notes), dtype=bool))
        pitch_to_class = np.full(128, TAP_DRUM)
        found = extract_musical(everything, pitch_to_class, self.num_drums, self.steps_per_quarter, self.steps_per_bar)
        return self._windows_from_every_bar(notes, *found)

    def features(
        self, examples: np.ndarray | Tensor, rng: np.random.Generator | np.random.RandomState | None = None
    ) -> dict[str, Tensor]:
        """`labels` are the complete grooves, `input_values` what the corruptions leave of them; "note_dropout" needs `rng`,
        without it no notes are dropped. `controls` are the hits, where the representation has controls."""
        grooves = np.array(examples, dtype=np.float32)
        labels = torch.from_numpy(grooves)
        self.check_sequences(labels)
        features = {
            "input_values": torch.tensor(corrupt(grooves, self.corruptions, rng)),
            "labels": labels,
            "lengths": full_lengths(labels),
        }
        if self.control_size:
            features["controls"] = torch.from_numpy(split_parts(grooves)[0].copy())
        return features

    def lines(self, piece: Piece, num_steps: int, chosen: np.ndarray) -> Iterator[Line]:
        notes, step = piece.notes, piece.start_step
        drum = self.pitch_to_class[notes.pitch]
        read = chosen & notes.is_drum & (drum >= 0)
        if read.any():
            position = (notes.start_quarter - piece.start_quarter) * self.steps_per_quarter
            offset = np.clip(2 * (step - position), -1, 1)
            hits = (step[read], drum[read], notes.velocity[read], offset[read])
            groove = perform(*hits, num_steps, self.num_drums).astype(self.example_dtype)
            yield Line((tuple(np.unique(notes.instrument[read]).tolist()),), read, groove)

    def check_sequences(self, sequences: Tensor):
        self.check_shape(sequences)
        ranges = (("hits", 0, 1), ("velocities", 0, 1), ("offsets", -1, 1))
        for (name, low, high), values in zip(ranges, split_parts(sequences), strict=True):
            # Rounding may take an offset of half a step a hair further.
            if not bool(((values >= low - 1e-3) & (values <= high + 1e-3)).all()):
                raise ValueError(f"Sequences of grooves hold {name} of {low}..{high}; these hold others.")

    def instruments(
        self, sequence: np.ndarray, seconds_per_step: float, program: int = 0, velocity: int = DEFAULT_VELOCITY
    ) -> list[pretty_midi.Instrument]:
        """One drum track. As in the original, what is early on the very first step starts before 0, and is written to files
        at 0."""
        drums = pretty_midi.Instrument(0, is_drum=True, name="Drums")
        drums.notes = [
            pretty_midi.Note(velocity, pitch, start * seconds_per_step, end * seconds_per_step)
            for pitch, velocity, start, end in groove_notes(sequence, self.output_pitches)
        ]
        return [drums]

    def _windows_one_after_the_other(
        self, notes: NoteSequence, grooves: list[tuple[float, np.ndarray]], rejections: list[Rejection]
    ) -> Extraction:
        windows, origins = [np.zeros((0, *self.example_shape))], []
        for quarter, groove in grooves:
            num_windows = len(groove) // self.window_steps
            if not num_windows:
                rejections.append(self.too_short(notes, -1, quarter, len(groove)))
            windows.append(groove[: num_windows * self.window_steps].reshape(num_windows, *self.example_shape))
            quarters = self.window_steps / self.steps_per_quarter
            origins += [Origin((-1,), quarter + quarters * index) for index in range(num_windows)]
        return Extraction(np.concatenate(windows), origins, rejections)

    def _windows_from_every_bar(
        self, notes: NoteSequence, grooves: list[tuple[float, np.ndarray]], rejections: list[Rejection]
    ) -> Extraction:
        stretches = [(-1, quarter, groove) for quarter, groove in grooves]
        examples, origins, too_short = self.cut_windows(notes, stretches, "musical")
        played = np.flatnonzero(split_parts(examples)[0].any(axis=(1, 2)))
        examples, origins = drop_repeats(examples[played], [origins[index] for index in played])
        return Extraction(examples, origins, rejections + too_short)


def groove_from_taps(
    times: Sequence[float],
    velocities: Sequence[float] | None,
    tempo: float,
    num_bars: int = 2,
    steps_per_quarter: int = 4,
) -> np.ndarray:
    """A tapped rhythm as a groove (1, T, 27) float32, all in class 3 as [`tap`] leaves it.

    Args:
        times: of the taps, in seconds from the first beat. Half a step early is still on it.
        velocities: of the taps, 0..127; None: all alike.
        tempo: quarter notes per minute, 10..1000.
        num_bars: length in bars of 4/4.

    Raises:
        ValueError: for taps outside the bars, numbers out of range or not finite, or no taps at all.
    """
    if not (np.isfinite(tempo) and 10 <= tempo <= 1000):
        raise ValueError(f"tempo must be between 10 and 1000 quarter notes per minute, got {tempo}.")
    if num_bars not in range(1, 65):
        raise ValueError(f"num_bars must be 1..64, got {num_bars!r}.")
    times = np.asarray(times, dtype=np.float64)
    if times.ndim != 1 or not len(times):
        raise ValueError("times must be a list of at least one tap.")
    velocities = np.full(len(times), DEFAULT_VELOCITY) if velocities is None else np.asarray(velocities, dtype=np.float64)
    if velocities.shape != times.shape:
        raise ValueError(f"There must be one velocity per tap: got {velocities.size} for {len(times)} taps.")
    if not np.isfinite(times).all():
        raise ValueError("The times of the taps must be finite numbers of seconds.")
    if not ((velocities >= 0) & (velocities <= 127)).all():
        raise ValueError("The velocities of the taps must be 0..127.")
    num_steps = num_bars * 4 * steps_per_quarter
    position = times * tempo / 60 * steps_per_quarter
    step = np.floor(position + 0.5)
    outside = (step < 0) | (step >= num_steps)
    if outside.any():
        step_seconds = 60 / tempo / steps_per_quarter
        raise ValueError(
            f"{outside.sum()} of {len(times)} taps lie outside the {num_bars} bars, the first at {times[outside][0]:.3f} s; "
            f"at tempo {tempo:g} they last from {-step_seconds / 2:.3f} to {(num_steps - 0.5) * step_seconds:.3f} s."
        )
    drum = np.full(len(times), TAP_DRUM)
    groove = perform(step.astype(np.int64), drum, velocities, 2 * (step - position), num_steps)
    return groove[None].astype(np.float32)


def groove_from_grid(hits: np.ndarray, velocities: np.ndarray | None = None) -> np.ndarray:
    """A drawn drum grid as a groove (1, T, 27) float32 on the beat.

    Args:
        hits (`array` of shape (T, 9)): true or 1 where a drum class is hit.
        velocities (`array` of shape (T, 9), *optional*): 0..127; read where there is a hit. None: all alike.

    Raises:
        ValueError: for other shapes or numbers.
    """
    hits = np.asarray(hits, dtype=np.float64)
    if hits.ndim != 2 or hits.shape[1] != NUM_DRUMS or not len(hits):
        raise ValueError(f"hits must have the shape (steps, {NUM_DRUMS}), got {hits.shape}.")
    if not np.isin(hits, (0, 1)).all():
        raise ValueError("hits must be 0 or 1.")
    velocities = np.full(hits.shape, DEFAULT_VELOCITY) if velocities is None else np.asarray(velocities, dtype=np.float64)
    if velocities.shape != hits.shape:
        raise ValueError(f"velocities must have the shape of hits, {hits.shape}, got {velocities.shape}.")
    if not ((velocities >= 0) & (velocities <= 127)).all():
        raise ValueError("velocities must be 0..127.")
    return np.concatenate([hits, hits * velocities / 127, np.zeros(hits.shape)], axis=1)[None].astype(np.float32)

"""Performances as training data: random crops with augmentation, and what the encoders get with them.

dataset = CropDataset(performances.select("train"), context_length=2048, conditions=Conditions(style=True), ...)
batch = collate([dataset[ExampleKey(0, 0)], ...])           # the model's arguments

A crop is what the decoder learns to write. With it go, as the model asks (section 4 of arXiv 1912.05537 and the data sets of
the original code): the performance whose style it has, which is the crop itself or the crop in another key ("noisy"), and
its melody, extracted from the crop.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from hub_models.training.data_order import ExampleKey

from .melody_events import MELODY_STEPS_PER_SECOND, NO_EVENT_ID, encode_melody
from .melody_inference import infer_melody, skyline
from .performance_events import (
    NOTE_ON_OFFSET,
    NUM_PITCHES,
    PAD_ID,
    TIME_SHIFT_OFFSET,
    decode_performance,
    duration_seconds,
    encode_performance,
    transpose_ids,
)
from .performances import Piece

START_ID = 0
MELODIES = ("infer", "skyline")
STYLE_CROPS = ("same", "different")
SEMITONES = 3
REPLICATIONS = 10


@dataclass(frozen=True)
class Conditions:
    """What goes with a crop into the encoders.

    Attributes:
        style: the performance encoder gets a performance.
        melody: the melody encoder gets the crop's melody.
        noisy: the performance is in another key than the crop, by a random number of semitones that is not 0 and keeps it
            on the piano, so that style is not simply the notes to write.
        original_noise: and, as the original's data has it, the melody's notes are in it once more, as loud as can be.
        style_crop: "same": the performance is the crop; "different": another crop of the same piece.
        melody_source: "infer": the most likely melody, as in the original; "skyline": the highest note that sounds.
        melody_dropout: share of training crops whose melody is blank, so that the model can do without one.
    """

    style: bool = False
    melody: bool = False
    noisy: bool = False
    original_noise: bool = False
    style_crop: str = "same"
    melody_source: str = "infer"
    melody_dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.melody_dropout <= 1:
            raise ValueError(f"The share of blank melodies is {self.melody_dropout}; it must lie between 0 and 1.")
        for name, value, allowed in (
            ("style crop", self.style_crop, STYLE_CROPS),
            ("melody source", self.melody_source, MELODIES),
        ):
            if value not in allowed:
                raise ValueError(f"The {name} is '{value}'; it must be one of {', '.join(allowed)}.")

    @property
    def any(self) -> bool:
        """Whether there is anything beside the crop."""
        return self.style or self.melody

    def to_dict(self) -> dict[str, bool | str | float]:
        """All settings, for a log."""
        return asdict(self)


def melody_of(tokens: np.ndarray, source: str = "infer") -> np.ndarray:
    """The melody of a crop, (steps,) int64: one event for each 100 ms from the crop's beginning to its last note's end.

    Args:
        tokens: (T,), a performance.
        source: one of `MELODIES`.
    """
    notes = decode_performance(tokens)
    events = encode_melody(infer_melody(notes) if source == "infer" else skyline(notes))
    return events if len(events) else np.array([NO_EVENT_ID])  # an encoder hears one step at least


def blank_melody_of(tokens: np.ndarray) -> np.ndarray:
    """No event for as long as a crop lasts, (steps,) int64."""
    return np.full(max(1, round(duration_seconds(tokens) * MELODY_STEPS_PER_SECOND)), NO_EVENT_ID)


def with_loud_melody(tokens: np.ndarray) -> np.ndarray:
    """A performance with the notes of its melody once more, at velocity 127: tokens (T',) int64."""
    notes = decode_performance(tokens)
    return encode_performance(notes.joined(infer_melody(notes)))


def in_another_key(tokens: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A crop transposed by a random number of semitones that is not 0, each as likely that leaves it on the piano.

    Crops that touch both ends of the piano stay as they are.
    """
    keys = (tokens[(tokens >= NOTE_ON_OFFSET) & (tokens < TIME_SHIFT_OFFSET)] - NOTE_ON_OFFSET) % NUM_PITCHES
    if len(keys) == 0:
        return tokens
    shifts = np.arange(-keys.min(), NUM_PITCHES - keys.max())
    shifts = shifts[shifts != 0]
    return transpose_ids(tokens, int(draw.choice(shifts))) if len(shifts) else tokens


class _Crops:
    """What the data sets below share."""

    def __init__(self, pieces: Sequence[Piece], context_length: int, conditions: Conditions, seed: int):
        self.context_length = context_length
        self.conditions = conditions
        self.seed = seed
        self.pieces = [piece for piece in pieces if self._is_usable(piece)]
        self.num_too_short = len(pieces) - len(self.pieces)

    def _is_usable(self, piece: Piece) -> bool:
        return min(map(len, piece.variants)) >= self.context_length

    def _example(
        self, tokens: np.ndarray, offset: int, shift: int, draw: np.random.Generator, melody_dropout: float = 0.0
    ) -> dict[str, np.ndarray]:
        """The crop of a piece's `tokens` (T,) that begins at `offset`, `shift` semitones up, and what goes with it."""
        conditions = self.conditions
        crop = self._crop(tokens, offset, shift)
        example = {"target": crop}
        if conditions.style:
            if conditions.style_crop == "different":
                offset = int(draw.integers(len(tokens) - self.context_length + 1))
            style = self._crop(tokens, offset, shift)
            if conditions.original_noise:
                style = with_loud_melody(style)
            example["performance"] = in_another_key(style, draw) if conditions.noisy else style
        if conditions.melody:
            is_blank = melody_dropout > 0 and draw.random() < melody_dropout
            example["melody"] = blank_melody_of(crop) if is_blank else melody_of(crop, conditions.melody_source)
        return example

    def _crop(self, tokens: np.ndarray, offset: int, shift: int) -> np.ndarray:
        crop = np.asarray(tokens[offset : offset + self.context_length], dtype=np.int64)
        return transpose_ids(crop, shift) if shift else crop


class CropDataset(_Crops):
    """Random crops for training: a pure function of the key. Each is of a random stretch and key of its piece.

    Args:
        pieces: those shorter than a crop are left out where there are conditions, see `num_too_short`, and are whole crops
            where there are none.
        context_length: tokens of a crop.
        conditions: what goes with it.
        replications: crops of each piece in an epoch; 0: as many as fit into it without overlap.
        semitones: transposition by up to so many, of which pieces use what keeps them on the piano.
        stretch: whether the stretched variants of a piece are used, too.
        seed: decides places, stretches and keys.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        context_length: int,
        conditions: Conditions = Conditions(),
        replications: int = REPLICATIONS,
        semitones: int = SEMITONES,
        stretch: bool = True,
        seed: int = 0,
    ):
        super().__init__(pieces, context_length, conditions, seed)
        self.semitones = semitones
        self.stretch = stretch
        counts = [replications or max(1, len(piece) // context_length) for piece in self.pieces]
        self.crops_before = np.cumsum([0, *counts])

    def _is_usable(self, piece: Piece) -> bool:
        return not self.conditions.any or super()._is_usable(piece)

    def __len__(self) -> int:
        return int(self.crops_before[-1])

    def __getitem__(self, key: ExampleKey) -> dict[str, np.ndarray]:
        """`target` (T,), and `performance` (T',) and `melody` (steps,) where the conditions ask for them; int64."""
        piece = self.pieces[int(np.searchsorted(self.crops_before, key.index, side="right")) - 1]
        # A third number in the seed keeps this stream apart from that of the data order.
        draw = np.random.default_rng([self.seed, key.epoch, key.index])
        tokens = piece.variants[int(draw.integers(len(piece.variants)))] if self.stretch else piece.tokens
        shift = int(draw.choice(piece.transpositions(self.semitones)))
        offset = int(draw.integers(max(0, len(tokens) - self.context_length) + 1))
        return self._example(tokens, offset, shift, draw, self.conditions.melody_dropout)


class SegmentDataset(_Crops):
    """Consecutive segments of whole pieces as they were played, the same every time: for validation.

    Args:
        pieces: those shorter than a segment are left out, see `num_too_short`; so is what remains at the end of others.
        context_length: tokens of a segment.
        conditions: what goes with it.
        max_segments: at most so many, spread evenly over all; None: all.
        seed: decides the noise of noisy conditions.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        context_length: int,
        conditions: Conditions = Conditions(),
        max_segments: int | None = None,
        seed: int = 0,
    ):
        super().__init__(pieces, context_length, conditions, seed)
        places = [
            (number, offset)
            for number, piece in enumerate(self.pieces)
            for offset in range(0, len(piece) - context_length + 1, context_length)
        ]
        if max_segments is not None and len(places) > max_segments:
            places = [places[i] for i in np.linspace(0, len(places), max_segments, endpoint=False, dtype=int)]
        self.places = places
        self._examples: dict[int, dict[str, np.ndarray]] = {}

    def _is_usable(self, piece: Piece) -> bool:
        return len(piece) >= self.context_length

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: ExampleKey) -> dict[str, np.ndarray]:
        """As those of `CropDataset`. The epoch does not matter."""
        if key.index not in self._examples:  # melodies take long to extract
            number, offset = self.places[key.index]
            draw = np.random.default_rng([self.seed, key.index])
            self._examples[key.index] = self._example(self.pieces[number].tokens, offset, 0, draw)
        return self._examples[key.index]


def collate(examples: Sequence[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Arguments of the model for a batch, each padded on the right to its longest.

    Returns:
        `input_ids` (B, 1 + T): the start, then the target; `labels`: the same, -100 at padding; and `performance_ids`
        (B, T'), `performance_attention_mask`, `melody_ids` (B, steps), `melody_attention_mask` where examples have them.
    """
    targets = [np.concatenate([[START_ID], example["target"]]) for example in examples]
    input_ids, mask = _padded(targets)
    batch = {"input_ids": input_ids, "labels": input_ids.masked_fill(mask == 0, -100)}
    for name in ("performance", "melody"):
        if name in examples[0]:
            batch[f"{name}_ids"], batch[f"{name}_attention_mask"] = _padded([example[name] for example in examples])
    return batch


def _padded(rows: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (T,) as ids (B, T) and mask (B, T), int64."""
    ids = np.full((len(rows), max(map(len, rows))), PAD_ID, dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def num_targets(batch: dict[str, torch.Tensor]) -> int:
    """How many tokens of a batch the loss is a mean over."""
    return int((batch["labels"][:, 1:] > 0).sum())

"""How the original makes training examples of a piece, random numbers and all: crops, hops, melodies, noisy styles.

What is kept here is what `hub_models.transformer_autoencoder.data` does not do by itself: the original's own order of random
numbers, its detour through a MIDI file, and its mistakes.
"""

import hashlib
import random
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from .melody_events import encode_melody
from .melody_inference import MelodyInferenceError, infer_melody, legato
from .performance_events import EOS_ID, PERFORMANCE_VOCAB_SIZE, decode_performance, encode_performance, event_ids
from .performance_notes import HIGHEST_PITCH, LOWEST_PITCH, WRITTEN_TEMPO, PerformanceNotes, PitchRangeError

CROP_LENGTH = 2048
STRETCH_FACTORS = (0.95, 0.975, 1.0, 1.025, 1.05)
TRANSPOSITIONS = tuple(range(-3, 4))
AUGMENTATIONS = tuple((stretch, semitones) for stretch in STRETCH_FACTORS for semitones in TRANSPOSITIONS)
NO_AUGMENTATION = ((1.0, 0),)
MIN_HOP_SECONDS, MAX_HOP_SECONDS = 5.0, 30.0
ORIGINAL_RESOLUTION = 220  # ticks per quarter note of the files that the original writes


def piece_random(key: str) -> random.Random:
    """The random numbers of a piece, by the name that the original gives it."""
    return random.Random(int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest(), 16))


def augmented(notes: PerformanceNotes, stretch: float, semitones: int) -> PerformanceNotes:
    """Stretched, then transposed.

    Raises:
        PitchRangeError: if a note would leave the range.
    """
    return (notes if stretch == 1.0 else notes.stretched(stretch)).transposed(semitones)


def encode_unchecked(notes: PerformanceNotes) -> np.ndarray:
    """As the original encodes pitches outside 21..108: some become other events, the rest repeat the event before."""
    ids = event_ids(notes)
    known = (ids >= 0) & (ids < PERFORMANCE_VOCAB_SIZE)
    return ids[np.maximum.accumulate(np.where(known, np.arange(len(ids)), 0))]


def through_midi(notes: PerformanceNotes) -> PerformanceNotes:
    """Notes of one instrument as they come back from a MIDI file that the original writes.

    Times are rounded to ticks, the order is that of the notes' ends, and the first note off of a pitch ends all notes that
    sound on it.
    """
    seconds_per_tick = 60.0 / (WRITTEN_TEMPO * ORIGINAL_RESOLUTION)
    starts, ends = (np.rint(times / seconds_per_tick).astype(np.int64) for times in (notes.start, notes.end))
    begins = zip(starts.tolist(), notes.pitch.tolist(), notes.velocity.tolist(), strict=True)
    stops = zip(ends.tolist(), notes.pitch.tolist(), [0] * len(notes), strict=True)
    sounding: dict[int, list[tuple[int, int]]] = {}
    rows = []
    for tick, pitch, loudness in sorted([*begins, *stops]):
        begun = sounding.setdefault(pitch, [])
        if loudness:
            begun.append((tick, loudness))
        else:
            rows += [(pitch, velocity, start, tick) for start, velocity in begun if start != tick]
            begun[:] = [note for note in begun if note[0] == tick]
    return PerformanceNotes.from_rows(
        (pitch, velocity, seconds_per_tick * start, seconds_per_tick * end) for pitch, velocity, start, end in rows
    )


def notebook_melody(notes: PerformanceNotes) -> PerformanceNotes:
    """The melody of a file as the Piano Transformer notebook takes it: without pedals, legato."""
    return legato(infer_melody(notes))


def transpositions_within_range(notes: PerformanceNotes) -> list[int]:
    """By how many semitones a piece can be transposed and stay on the piano, 0 left out."""
    lowest, highest = int(notes.pitch.min()), int(notes.pitch.max())
    return [semitones for semitones in range(LOWEST_PITCH - lowest, HIGHEST_PITCH - highest + 1) if semitones]


def noisy_performance(crop: PerformanceNotes, melody: PerformanceNotes, semitones: int) -> np.ndarray:
    """The original's noisy style: a crop transposed, in which the notes of its melody stand twice, the second time loud."""
    return encode_performance(crop.joined(melody).transposed(semitones))


def conditional_examples(
    notes: PerformanceNotes,
    key: str,
    melody: bool = False,
    noisy: bool = False,
    replications: int = 10,
    augmentations: tuple[tuple[float, int], ...] = NO_AUGMENTATION,
    crop_length: int = CROP_LENGTH,
) -> Iterator[dict[str, np.ndarray]]:
    """Crops of a piece for the autoencoders, as `ConditionalExtractExamplesDoFn` makes them.

    Args:
        notes ([`PerformanceNotes`]): in range, with the sustain applied.
        key (`str`): names the piece, and so decides its random numbers.
        melody (`bool`): whether the melody of each crop goes with it.
        noisy (`bool`): whether the style is the crop transposed (with its melody twice, see [`noisy_performance`]).
        replications (`int`, defaults to 10): how often the augmentations are gone through.
        augmentations: pairs of stretch and semitones; variants that leave the range are left out.
        crop_length (`int`, defaults to 2048): variants with fewer tokens are left out.

    Yields:
        ids by name: `inputs` and `targets`, or with a melody `performance`, `melody` and `targets`.
    """
    numbers = piece_random(key)
    for stretch, semitones in augmentations * replications:
        try:
            ids = encode_performance(augmented(notes, stretch, semitones))
        except PitchRangeError:
            continue
        if len(ids) < crop_length:
            continue
        offset = numbers.randrange(len(ids) - crop_length + 1)
        crop = ids[offset : offset + crop_length]
        if not melody:
            yield {"inputs": crop, "targets": crop}
            continue
        played = through_midi(decode_performance(crop))
        voice = infer_melody(played)
        style = noisy_performance(played, voice, numbers.choice(transpositions_within_range(played))) if noisy else crop
        yield {"performance": style, "melody": encode_melody(voice), "targets": crop}


def melody_examples(
    notes: PerformanceNotes,
    key: str,
    replications: int = 10,
    augmentations: tuple[tuple[float, int], ...] = NO_AUGMENTATION,
    min_seconds: float = MIN_HOP_SECONDS,
    max_seconds: float = MAX_HOP_SECONDS,
) -> Iterator[dict[str, np.ndarray]]:
    """Hops of random length with their melodies, as `ExtractExamplesDoFn` makes them for melody -> performance.

    Args:
        notes ([`PerformanceNotes`]): in range, with the sustain applied.
        key (`str`): names the piece, and so decides its random numbers.
        replications (`int`, defaults to 10): how often the piece is cut anew.
        augmentations: pairs of stretch and semitones; variants that leave the range are left out.
        min_seconds, max_seconds (`float`, default to 5 and 30): length of a hop.

    Yields:
        ids by name: `melody` and `targets`, the targets with the end.
    """
    numbers = piece_random(key)
    if notes.total_seconds < min_seconds:
        return
    hops = [hop for _ in range(replications) for hop in _hops(notes, numbers, min_seconds, max_seconds)]
    for hop in hops:
        try:
            voice = infer_melody(hop)
        except MelodyInferenceError:
            continue
        for stretch, semitones in augmentations:
            try:
                targets = encode_performance(augmented(hop, stretch, semitones))
                melody = encode_melody(augmented(voice, stretch, semitones))
            except PitchRangeError:
                continue
            if len(melody):
                yield {"melody": melody, "targets": np.append(targets, EOS_ID)}


def _hops(
    notes: PerformanceNotes, numbers: random.Random, min_seconds: float, max_seconds: float
) -> Iterator[PerformanceNotes]:
    """A piece cut at random moments; the last of them may lie too near the end, and is then not cut at."""
    total, times = notes.total_seconds, [0.0]
    while times[-1] <= total - min_seconds:
        longest = max_seconds
        if times[-1] + max_seconds < total:
            longest = min(max_seconds, total - min_seconds - times[-1])
        times.append(times[-1] + numbers.uniform(min_seconds, longest))
    times = [*times[:-1], total] if total > times[-2] else times[:-1]
    return (notes.cut(begin, end) for begin, end in pairwise(times))

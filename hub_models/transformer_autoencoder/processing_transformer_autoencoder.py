# Copyright 2026 The Encore Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Styles, melodies and primers to the tensors of the Transformer Autoencoder, and its tokens back to music."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pretty_midi
from transformers import BatchFeature, ProcessorMixin

from .melody_events import MELODY_STEPS_PER_SECOND, NO_EVENT_ID, encode_melody
from .melody_inference import infer_long_melody, skyline
from .performance_events import PAD_ID, duration_seconds, encode_performance
from .performance_notes import PerformanceNotes, apply_sustain
from .performance_reading import MusicSource, NoNotesError, clock, playable, read_music
from .tokenization_transformer_autoencoder import MelodyTokenizer, PerformanceTokenizer

MELODY_SOURCES = ("infer", "skyline", "as_is")
SHORTEST_STYLE_SECONDS = 1.0
MAX_BLANK_SECONDS = 3 * 3600.0
WINDOW = "window"  # as a length: as long as the model's context

Say = Callable[[str], None]


class TransformerAutoencoderFeatures(BatchFeature):
    """Model inputs with `reports` (plain sentences about what was left out or changed) and `primer_start_seconds` (for each
    row, from when on its primer is in the tensors; 0.0 unless it was too long)."""

    reports: list[str]
    primer_start_seconds: list[float]


class TransformerAutoencoderProcessor(ProcessorMixin):
    r"""
    Reads performances whose style is wanted, melodies to play, and primers to continue, for
    [`TransformerAutoencoderForConditionalGeneration`]; and makes music of what it writes.

    ```python
    >>> features = processor(style="etude.mid", melody="song.mid")
    >>> ids = model.generate(**features, do_sample=True, max_new_tokens=1024)
    >>> processor.decode(ids[0]).write("played.mid")
    ```

    Args:
        tokenizer ([`PerformanceTokenizer`], *optional*): of performances.
        context_length (`int`, defaults to 2048): tokens that the model hears at once; what is longer is cut, see
            [`__call__`](TransformerAutoencoderProcessor.__call__).
        melody_source (`str`, defaults to `"infer"`): where melodies are found, unless a call says otherwise: `"infer"`, the
            most probable melody of a performance, as the original finds it; `"skyline"`, its highest notes; `"as_is"`, the
            music is a melody.
    """

    def __init__(
        self,
        tokenizer: PerformanceTokenizer | None = None,
        context_length: int = 2048,
        melody_source: str = "infer",
        **kwargs,
    ):
        if not isinstance(context_length, int) or context_length < 2:
            raise ValueError(f"context_length must be a whole number from 2 on, got {context_length!r}.")
        self.context_length = context_length
        self.melody_source = _checked_source(melody_source)
        self.melody_tokenizer = MelodyTokenizer()
        super().__init__(PerformanceTokenizer() if tokenizer is None else tokenizer, **kwargs)

    @property
    def performance_tokenizer(self) -> PerformanceTokenizer:
        """The tokenizer of styles, primers and what is written."""
        return self.tokenizer

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that can come from here."""
        kinds = ("performance_", "melody_")
        return [*(f"{kind}{name}" for kind in kinds for name in ("ids", "attention_mask")), "input_ids", "attention_mask"]

    def __call__(
        self,
        style: MusicSource | Sequence[MusicSource] | None = None,
        melody: MusicSource | Sequence[MusicSource] | None = None,
        primer: MusicSource | Sequence[MusicSource | None] | None = None,
        melody_source: str | None = None,
        max_style_length: int | str | None = WINDOW,
        max_melody_length: int | str | None = None,
        blank_melody_seconds: float | None = None,
        return_tensors: str | None = "pt",
    ) -> TransformerAutoencoderFeatures:
        """Tensors of styles, melodies and primers. Lists make a batch; what is no list goes with every row of it.

        Drums, notes that no piano has, notes without length, and pedals that are never lifted are left out, and the
        features' `reports` say so.

        Args:
            style, melody, primer: paths, `PrettyMIDI` or [`PerformanceNotes`], or lists of them. A primer in a list may be
                `None`: that row starts from nothing. Melodies count from where their primers begin, as the model reads
                both.
            melody_source (`str`, *optional*): `"infer"`, `"skyline"` or `"as_is"`, see [`TransformerAutoencoderProcessor`].
            max_style_length (`int`, *optional*, defaults to `"window"`): the style is read from its first this many tokens;
                `"window"`: as many as the model hears at once; `None`: from all of them, to encode a long one part by part.
            max_melody_length (`int`, *optional*): the melody is cut after this many steps of 100 ms; `None`: it is whole,
                and `generate` goes through it; `"window"`: as many as the model has tokens in its window.
            blank_melody_seconds (`float`, *optional*): in place of a melody, silence for so long: a model that was trained
                with some blank melodies makes up its own.
            return_tensors (`str`, *optional*, defaults to `"pt"`): `None` gives lists.

        Returns:
            [`TransformerAutoencoderFeatures`] with what was asked for: `performance_ids` and `performance_attention_mask`
            (B, T), `melody_ids` and `melody_attention_mask` (B, T), padded behind; `input_ids` and `attention_mask`
            (B, 1 + T) of primers, which start with id 0 and are padded before. Of a primer that does not fit into the window
            the last part is kept, from the beginning of a note on.

        Raises:
            NoNotesError: for music without notes that could be used; says what was there.
            MusicReadError: for files that cannot be read, and music beyond the limits.
            ValueError: if there is nothing to read, or lists have different lengths.
        """
        source = self.melody_source if melody_source is None else _checked_source(melody_source)
        given = {"primer": primer, "style": style, "melody": melody}
        given = {name: music for name, music in given.items() if music is not None}
        num_rows = _num_rows(given)
        num_blank_steps = self._num_blank_steps(blank_melody_seconds, melody)
        longest_style, longest_melody = self._length(max_style_length), self._length(max_melody_length)
        features: dict[str, list[list[int]]] = {}
        reports: list[str] = []
        starts = [0.0] * num_rows
        for name, music in given.items():
            # What a primer has lost, the melody that goes with it loses too.
            skipped = [round(start * MELODY_STEPS_PER_SECOND) for start in starts]
            is_list = isinstance(music, (list, tuple))
            rows = []
            for index, piece in enumerate(music if is_list else [music]):
                label = f"{name.capitalize()} {index + 1}" if is_list and num_rows > 1 else name.capitalize()
                say = partial(_report, reports, label)
                try:
                    if name == "primer":
                        rows.append(self._primer(piece, say))
                    elif name == "style":
                        rows.append(self._style(piece, longest_style, say))
                    else:
                        rows.append(self._melody(piece, source, longest_melody and longest_melody + max(skipped), say))
                except NoNotesError as error:
                    raise NoNotesError(f"{label}: {error}") from None
            rows = rows if is_list else rows * num_rows
            if name == "primer":
                starts = [start for _, start in rows]
                rows = [ids for ids, _ in rows]
            elif name == "melody":
                rows = [ids[skip:][:longest_melody] or [NO_EVENT_ID] for ids, skip in zip(rows, skipped, strict=True)]
            features |= _padded(name, rows)
        if num_blank_steps:
            features |= _padded("melody", [[NO_EVENT_ID] * num_blank_steps] * num_rows)
        batch = TransformerAutoencoderFeatures(features, tensor_type=return_tensors)
        batch.reports, batch.primer_start_seconds = reports, starts
        return batch

    def decode(self, token_ids, **kwargs) -> pretty_midi.PrettyMIDI | list[pretty_midi.PrettyMIDI]:
        """Music of what the model wrote: a PrettyMIDI of ids (T,), a list of them of a batch (B, T)."""
        return self.tokenizer.decode(token_ids, **kwargs)

    def _length(self, length: int | str | None) -> int | None:
        if length == WINDOW:
            return self.context_length
        if length is not None and (not isinstance(length, int) or length < 1):
            raise ValueError(f"A length is a whole number from 1 on, {WINDOW!r} or None, got {length!r}.")
        return length

    @staticmethod
    def _num_blank_steps(seconds: float | None, melody) -> int:
        if seconds is None:
            return 0
        if melody is not None:
            raise ValueError("Give a melody, or blank_melody_seconds in its place, not both.")
        if not 0 < seconds <= MAX_BLANK_SECONDS:
            raise ValueError(f"blank_melody_seconds must be above 0 and at most {MAX_BLANK_SECONDS:g}, got {seconds}.")
        return max(1, round(seconds * MELODY_STEPS_PER_SECOND))

    def _style(self, music: MusicSource, longest: int | None, say: Say) -> list[int]:
        ids = encode_performance(apply_sustain(playable(read_music(music), say)))
        if longest is not None and len(ids) > longest:
            kept = ids[:longest]
            say(f"Only its beginning is read, {clock(duration_seconds(kept))} of {clock(duration_seconds(ids))}.")
            ids = kept
        seconds = duration_seconds(ids)
        if seconds < SHORTEST_STYLE_SECONDS:
            say(f"It lasts {seconds:.2f} seconds, which says little about a style.")
        return ids.tolist()

    def _melody(self, music: MusicSource, source: str, longest: int | None, say: Say) -> list[int]:
        notes = playable(read_music(music), say)
        if longest is not None and notes.total_seconds > (end := longest / MELODY_STEPS_PER_SECOND):
            say(f"Only its first {clock(end)} of {clock(notes.total_seconds)} are played.")
            notes = notes.cut(0.0, end)
        if source == "as_is":
            melody = notes
            if (doubled := _num_together(notes)) > 0:
                say(f"{doubled:,} of {len(notes):,} notes begin together with another; of those only one is played.")
        elif source == "skyline":
            melody = skyline(notes)
        else:
            melody, seams = infer_long_melody(apply_sustain(notes))
            if seams:
                say(f"It has so many notes that its melody was looked for in parts, from {_times(seams)} on anew.")
        if not len(melody):
            raise NoNotesError("There is no melody in it: its instruments play noises, not pitches.")
        ids = encode_melody(melody)
        return ids[:longest].tolist()

    def _primer(self, music: MusicSource | None, say: Say) -> tuple[list[int], float]:
        """Ids with the start, and from when on they are the music's."""
        if music is None:
            return [PAD_ID], 0.0
        notes = apply_sustain(playable(read_music(music), say))
        ids, start = _last_part(notes, self.context_length - 1)
        if start > 0.0:
            say(f"It is longer than the model hears at once; it is heard from {clock(start)} on.")
        return [PAD_ID, *ids.tolist()], start


def _report(reports: list[str], label: str, text: str) -> None:
    reports.append(f"{label}: {text}")


def _checked_source(source: str) -> str:
    if source not in MELODY_SOURCES:
        raise ValueError(f"melody_source must be one of {MELODY_SOURCES}, got {source!r}.")
    return source


def _num_rows(given: dict) -> int:
    """B, of which every list must be."""
    if not given:
        raise ValueError("Give a style, a melody or a primer.")
    lengths = {name: len(music) for name, music in given.items() if isinstance(music, (list, tuple))}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(f"Lists must have one length, got {', '.join(f'{name} {n}' for name, n in lengths.items())}.")
    return next(iter(lengths.values()), 1)


def _padded(name: str, rows: list[list[int]]) -> dict[str, list[list[int]]]:
    """Ids (B, T) and their mask; primers are padded before, as they go on."""
    longest = max(len(row) for row in rows)
    spaces = [longest - len(row) for row in rows]
    if name == "primer":
        return {
            "input_ids": [[PAD_ID] * space + row for space, row in zip(spaces, rows, strict=True)],
            "attention_mask": [[0] * space + [1] * len(row) for space, row in zip(spaces, rows, strict=True)],
        }
    kind = "performance" if name == "style" else "melody"
    return {
        f"{kind}_ids": [row + [PAD_ID] * space for space, row in zip(spaces, rows, strict=True)],
        f"{kind}_attention_mask": [[1] * len(row) + [0] * space for space, row in zip(spaces, rows, strict=True)],
    }


def _last_part(notes: PerformanceNotes, longest: int) -> tuple[np.ndarray, float]:
    """The ids of as much of the end of a piece as fits into `longest` tokens, and when it begins."""
    ids = encode_performance(notes)
    if len(ids) <= longest:
        return ids, 0.0
    starts = np.unique(notes.start)
    first, last = 0, len(starts)  # too early, early enough: halved until they are neighbours
    while last - first > 1:
        middle = (first + last) // 2
        if len(encode_performance(notes.cut(starts[middle], np.inf))) <= longest:
            last = middle
        else:
            first = middle
    if last == len(starts):  # more notes begin at the very end than fit
        return ids[:0], float(starts[-1])
    return encode_performance(notes.cut(starts[last], np.inf)), float(starts[last])


def _num_together(notes: PerformanceNotes) -> int:
    """How many notes begin with the same step as another."""
    steps = (notes.start * MELODY_STEPS_PER_SECOND + 0.5).astype(np.int64)
    return len(steps) - len(np.unique(steps))


def _times(seconds: Sequence[float]) -> str:
    shown = [clock(time) for time in seconds[:8]]
    return ", ".join(shown) + (f" and {len(seconds) - 8} more times" if len(seconds) > 8 else "")

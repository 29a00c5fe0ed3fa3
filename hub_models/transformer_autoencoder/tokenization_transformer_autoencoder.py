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
"""Tokenizers of performances and melodies: music to ids and back, with all that transformers' tokenizers do."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import pretty_midi
from transformers import BatchEncoding
from transformers.tokenization_python import PythonBackend

from .melody_events import decode_melody, encode_melody
from .performance_events import (
    EOS_ID,
    MAX_SHIFT_STEPS,
    NUM_VELOCITY_BINS,
    PAD_ID,
    TokenError,
    checked_ids,
    decode_performance,
    encode_performance,
)
from .performance_notes import HIGHEST_PITCH, LOWEST_PITCH, PerformanceNotes, apply_sustain

Music = pretty_midi.PrettyMIDI | PerformanceNotes

PAD_TOKEN, EOS_TOKEN = "<pad>", "<eos>"
PITCHES = range(LOWEST_PITCH, HIGHEST_PITCH + 1)
PERFORMANCE_TOKENS = (
    PAD_TOKEN,
    EOS_TOKEN,
    *(f"NOTE_ON_{pitch}" for pitch in PITCHES),
    *(f"NOTE_OFF_{pitch}" for pitch in PITCHES),
    *(f"TIME_SHIFT_{steps}" for steps in range(1, MAX_SHIFT_STEPS + 1)),
    *(f"VELOCITY_{number}" for number in range(1, NUM_VELOCITY_BINS + 1)),
)
MELODY_TOKENS = (PAD_TOKEN, EOS_TOKEN, "NO_EVENT", "NOTE_OFF", *(f"NOTE_{pitch}" for pitch in PITCHES))


class EventTokenizer(PythonBackend):
    r"""
    What [`PerformanceTokenizer`] and [`MelodyTokenizer`] share. Their vocabularies are fixed: there is no file of them.

    Id 0 is padding and also what a sequence starts with; id 1 is the end.

    Args:
        add_bos (`bool`, defaults to `False`): start sequences with id 0, unless a call says otherwise.
        add_eos (`bool`, defaults to `False`): end sequences with id 1, unless a call says otherwise.
    """

    vocab_files_names = {}
    model_input_names = ["input_ids", "attention_mask"]
    event_tokens: tuple[str, ...] = ()

    def __init__(
        self,
        add_bos: bool = False,
        add_eos: bool = False,
        pad_token: str = PAD_TOKEN,
        bos_token: str = PAD_TOKEN,
        eos_token: str = EOS_TOKEN,
        **kwargs,
    ):
        if (str(pad_token), str(bos_token), str(eos_token)) != (PAD_TOKEN, PAD_TOKEN, EOS_TOKEN):
            raise ValueError(
                f"pad_token and bos_token are {PAD_TOKEN!r} and eos_token is {EOS_TOKEN!r}; they cannot be changed."
            )
        self.add_bos, self.add_eos = add_bos, add_eos
        self._ids = {token: number for number, token in enumerate(self.event_tokens)}
        super().__init__(
            add_bos=add_bos, add_eos=add_eos, pad_token=pad_token, bos_token=bos_token, eos_token=eos_token, **kwargs
        )

    @abstractmethod
    def encode_notes(self, notes: PerformanceNotes) -> np.ndarray:
        """The ids (T,) int64 of notes, without start and end."""

    @abstractmethod
    def decode_notes(self, ids: np.ndarray | Sequence[int]) -> PerformanceNotes:
        """The notes of ids (T,)."""

    def __call__(
        self,
        music: Music | str | Sequence[Music] | Sequence[str],
        padding: bool | str = False,
        truncation: bool = False,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        add_bos: bool | None = None,
        add_eos: bool | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        **kwargs,
    ) -> BatchEncoding:
        """Ids of one or several pieces of music.

        Args:
            music: a `PrettyMIDI`, [`PerformanceNotes`], or a list of these; or text, in which tokens stand with blanks
                between them ("VELOCITY_20 NOTE_ON_60 TIME_SHIFT_50 NOTE_OFF_60"), or a list of texts.
            padding, max_length, pad_to_multiple_of, padding_side, return_attention_mask, return_tensors: as everywhere in
                transformers. Tensors have shape (B, T), also of one piece.
            truncation (`bool`, defaults to `False`): cut after `max_length` tokens.
            add_bos, add_eos (`bool`, *optional*): start with id 0, end with id 1; by default as the tokenizer is set.

        Returns:
            `BatchEncoding` with `input_ids` and `attention_mask`.

        Raises:
            PitchRangeError: for notes outside 21..108. `PerformanceNotes.from_midi(midi).in_range()` leaves them out, and
                [`TransformerAutoencoderProcessor`] does so and says which.
            TokenError: for text with words that are no tokens.
        """
        if kwargs:
            raise TypeError(f"Unknown arguments {', '.join(sorted(kwargs))}.")
        if truncation and max_length is None:
            raise ValueError("truncation needs max_length, the number of tokens to keep.")
        is_batch = isinstance(music, (list, tuple))
        add_bos = self.add_bos if add_bos is None else add_bos
        add_eos = self.add_eos if add_eos is None else add_eos
        sequences = []
        for piece in music if is_batch else [music]:
            ids = self.convert_tokens_to_ids(self.tokenize(piece)) if isinstance(piece, str) else self._encode_music(piece)
            ids = [PAD_ID] * add_bos + ids + [EOS_ID] * add_eos
            sequences.append(ids[:max_length] if truncation else ids)
        return self.pad(
            {"input_ids": sequences if is_batch or return_tensors else sequences[0]},
            padding=padding,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )

    def _encode_music(self, music: Music) -> list[int]:
        notes = PerformanceNotes.from_midi(music) if isinstance(music, pretty_midi.PrettyMIDI) else music
        if not isinstance(notes, PerformanceNotes):
            raise TypeError(
                f"Music is a PrettyMIDI, PerformanceNotes or text of tokens, not {type(music).__name__}; files are read by "
                "TransformerAutoencoderProcessor, or by pretty_midi."
            )
        return self.encode_notes(notes).tolist()

    def _decode(self, token_ids, **kwargs) -> pretty_midi.PrettyMIDI:
        """The music of ids (T,) of one piece; `decode` also takes a batch, and gives a list of PrettyMIDI."""
        return self.decode_notes(token_ids).to_midi()

    def build_inputs_with_special_tokens(self, token_ids_0: list[int], token_ids_1: list[int] | None = None) -> list[int]:
        """A sequence with its start and its end, as the tokenizer is set; there are no pairs of sequences."""
        if token_ids_1 is not None:
            raise ValueError("Performances and melodies have no pairs of sequences.")
        return [PAD_ID] * self.add_bos + list(token_ids_0) + [EOS_ID] * self.add_eos

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return len(self.event_tokens)

    def get_vocab(self) -> dict[str, int]:
        """Token -> id."""
        return dict(self._ids)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes nothing: the vocabulary is fixed."""
        return ()

    def _tokenize(self, text: str, **kwargs) -> list[str]:
        return text.split()

    def _convert_token_to_id(self, token: str) -> int:
        if token not in self._ids:
            raise TokenError(f"{token[:40]!r} is no token; tokens look like {', '.join(self.event_tokens[2::50])}.")
        return self._ids[token]

    def _convert_id_to_token(self, index: int) -> str:
        return self.event_tokens[int(checked_ids([index], self.vocab_size)[0])]


class PerformanceTokenizer(EventTokenizer):
    r"""
    Piano performances as events: `NOTE_ON_60`, `NOTE_OFF_60`, `TIME_SHIFT_37` (of 10 ms) and `VELOCITY_12` (of 32 bins);
    310 ids, as of the Music Transformer (arXiv 1809.04281) and the Transformer Autoencoder (arXiv 1912.05537).

    Encoding holds the notes as the sustain pedal does, and joins all instruments. What the ids cannot say: times finer than
    10 ms, which instrument plays, silence after the last note, and the pedal itself. Decoding reads any sequence of ids; see
    `decode_performance` for the rules.

    ```python
    >>> tokenizer = PerformanceTokenizer()
    >>> encoding = tokenizer([midi, other], padding=True, return_tensors="pt")  # input_ids and attention_mask (2, T)
    >>> tokenizer.convert_ids_to_tokens(encoding["input_ids"][0][:3])
    ['VELOCITY_20', 'NOTE_ON_60', 'TIME_SHIFT_50']
    >>> tokenizer.decode(encoding["input_ids"])  # a PrettyMIDI each
    ```

    Args:
        add_bos, add_eos (`bool`, default to `False`): see [`EventTokenizer`].
    """

    event_tokens = PERFORMANCE_TOKENS

    def encode_notes(self, notes: PerformanceNotes) -> np.ndarray:
        """The ids (T,) int64 of a performance, its notes held by the pedal."""
        return encode_performance(apply_sustain(notes))

    def decode_notes(self, ids: np.ndarray | Sequence[int]) -> PerformanceNotes:
        """The notes of ids (T,), up to the first end."""
        return decode_performance(_one_sequence(ids))


class MelodyTokenizer(EventTokenizer):
    r"""
    Melodies as one event per 100 ms: `NOTE_60` begins a note, `NOTE_OFF` ends it, `NO_EVENT` goes on; 92 ids.

    Music is taken as a melody as it is: of notes that begin with one event the last counts. To take the melody out of a
    performance, see `infer_melody`, `skyline` and [`TransformerAutoencoderProcessor`].

    Args:
        add_bos, add_eos (`bool`, default to `False`): see [`EventTokenizer`].
    """

    event_tokens = MELODY_TOKENS

    def encode_notes(self, notes: PerformanceNotes) -> np.ndarray:
        """The ids (T,) int64 of a melody."""
        return encode_melody(notes)

    def decode_notes(self, ids: np.ndarray | Sequence[int]) -> PerformanceNotes:
        """The notes of ids (T,)."""
        return decode_melody(_one_sequence(ids))


def _one_sequence(ids) -> np.ndarray:
    """Ids as an array; a list of none has no type of its own."""
    return np.asarray(ids, dtype=None if len(ids) else np.int64)

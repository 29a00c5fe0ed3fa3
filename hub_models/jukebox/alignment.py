"""When lyrics are sung: the top level's attention to them, over all windows ("Jukebox", section 5.2; the original's
alignment layer and head)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .labels import window_lyric_indices, window_metadata
from .lyrics import LyricWord, TimedWord, alignment_words
from .sampling_windows import window_starts

if TYPE_CHECKING:
    from .configuration_jukebox import JukeboxPriorConfig
    from .modeling_jukebox_prior import JukeboxPrior


def check_alignment(config: "JukeboxPriorConfig"):
    """
    Raises:
        ValueError: a prior hears no lyrics.
    """
    if config.alignment is None:
        raise ValueError("Lyrics cannot be aligned: this model hears none.")


@torch.no_grad()
def lyric_alignment(
    prior: "JukeboxPrior", codes: Tensor, labels: Sequence[Tensor], total_length: int, offset: int, hop: int
) -> list[Tensor]:
    """The attention of each code to each lyric token.

    Args:
        prior: of the top level.
        codes (`Tensor` of shape (N, T)): of the top level.
        labels: rows of [`JukeboxTokenizer`] for the top level, one for each of N.
        total_length, offset: samples of the whole song, and of it before the first code.
        hop: codes by which windows move. Where they overlap the earlier one holds.

    Returns:
        For each sample (T, its lyric tokens) float32 on the CPU; rows of what a window did not read are 0.

    Raises:
        ValueError: see [`check_alignment`].
    """
    config = prior.config
    check_alignment(config)
    total = codes.shape[1]
    padded = F.pad(codes, (0, max(0, config.n_ctx - total)))
    starts = window_starts(padded.shape[1], config.n_ctx, hop)
    # An extra last column takes what falls on the padding of lyrics (index -1).
    lyrics_before = 4 + config.max_nb_genres
    maps = [torch.zeros(padded.shape[1], row.shape[-1] - lyrics_before + 1) for row in labels]
    for start in reversed(starts):
        window = slice(start, start + config.n_ctx)
        for number, row in enumerate(labels):
            metadata = window_metadata([row], config, start, total_length, offset)
            indices = window_lyric_indices([row], config, start, total_length, offset)[0].cpu()
            attention = prior.lyric_attention(padded[number : number + 1, window], None, metadata)[0]
            maps[number][window, indices] = attention.float().cpu()
    return [attention[:total, :-1] for attention in maps]


def timed_words(
    alignment: Tensor, words: Sequence[LyricWord], config: "JukeboxPriorConfig", start_seconds: float = 0.0
) -> list[TimedWord]:
    """When each word is sung; see [`lyrics.alignment_words`].

    Args:
        alignment (`Tensor` of shape (T, lyric tokens)): of one sample.
        words: of its lyrics, `JukeboxTokenizer(...).lyrics.words`.
        config: of the top level's prior.
        start_seconds: when the first code sounds.
    """
    return alignment_words(alignment.numpy(), words, config.hop_length / config.sampling_rate, start_seconds)

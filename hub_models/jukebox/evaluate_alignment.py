"""Whether the top level's attention follows the lyrics, on songs whose words' times are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hub_models.training.data_order import ExampleKey

from .alignment import lyric_alignment, timed_words
from .codes import CodedSong
from .labels import window_lyric_indices
from .lyrics import LyricWord
from .modeling_jukebox_prior import JukeboxPrior
from .prior_data import WindowDataset
from .prior_labels import labels_of
from .song_files import Word
from .tokenization_jukebox import JukeboxTokenizer

WITHIN_SECONDS = 0.25


@torch.inference_mode()
def evaluate_alignment(
    prior: JukeboxPrior, songs: Sequence[CodedSong], tokenizer: JukeboxTokenizer, hop_fraction: float, max_songs: int
) -> dict[str, Any] | None:
    """How far the beginnings of words are from where [`lyric_alignment`] finds them.

    The codes are those of the recordings. For comparison the same is said of words that are spread evenly over the song, and
    of words that were looked for in the sound of another song, where timing alone can tell.

    Args:
        prior: of the top level, in evaluation mode.
        songs: those without words, or with other words than their lyrics have, are passed over.
        tokenizer: of the model.
        hop_fraction: by how much of the context windows move.
        max_songs: at most so many, spread evenly.

    Returns:
        Errors in seconds; None where no song has words.
    """
    config = prior.config
    usable = [song for song in songs if len(song.codes[-1]) and _words(song, tokenizer)]
    if len(usable) > max_songs:
        usable = [usable[index] for index in np.linspace(0, len(usable), max_songs, endpoint=False, dtype=int)]
    if not usable:
        return None
    hop = max(1, int(hop_fraction * config.n_ctx))
    own, evenly, elsewhere = [], [], []
    for number, song in enumerate(tqdm(usable, desc="alignment", unit="song")):
        true = np.array([word.start_seconds for word in song.song.words])
        own.append(np.abs(_starts(prior, song, song, tokenizer, hop) - true))
        seconds = len(song.codes[-1]) * config.hop_length / config.sampling_rate
        evenly.append(np.abs(np.arange(len(true)) * seconds / len(true) - true))
        other = usable[(number + 1) % len(usable)]
        if other is not song:
            elsewhere.append(np.abs(_starts(prior, song, other, tokenizer, hop) - true))
    report = {
        "num_songs": len(usable),
        "num_words": sum(map(len, own)),
        "within_seconds": WITHIN_SECONDS,
        **_errors(own),
        "chance": {"of": "words spread evenly over the song", **_errors(evenly)},
    }
    if elsewhere:
        report["other_sound"] = {"of": "words looked for in the sound of another song", **_errors(elsewhere)}
    windows = WindowDataset(usable, labels_of([song.song for song in usable], tokenizer, 0), config, augment=False)
    if len(windows):
        layer, head = config.alignment
        shares, chance = attention_shares(prior, windows, tokenizer, layer)
        report["attention"] = {"on_the_word": float(shares[head]), "chance": chance}
    return report


def _labels(song: CodedSong) -> tuple[str, str, str]:
    return song.song.artist, song.song.genre, song.song.lyrics


def _words(song: CodedSong, tokenizer: JukeboxTokenizer) -> list[tuple[LyricWord, Word]]:
    """Words of the lyrics with their times; none where the two have not as many."""
    words = tokenizer(*_labels(song)).lyrics.words
    return list(zip(words, song.song.words, strict=True)) if len(words) == len(song.song.words) else []


def _starts(prior: JukeboxPrior, song: CodedSong, heard: CodedSong, tokenizer: JukeboxTokenizer, hop: int) -> np.ndarray:
    """Seconds at which words of `song` are found in the sound of `heard`."""
    labels = tokenizer(*_labels(song))
    length = len(song.codes[-1])
    codes = torch.from_numpy(np.resize(heard.codes[-1].astype(np.int64), length))[None].to(prior.device)
    (alignment,) = lyric_alignment(prior, codes, [labels["input_ids"][0][0]], song.total_length, song.offset, hop)
    return np.array([word.start_seconds for word in timed_words(alignment, labels.lyrics.words, prior.config)])


def _errors(errors: Sequence[np.ndarray]) -> dict[str, float]:
    values = np.concatenate(errors)
    return {
        "mean_error_seconds": float(values.mean()),
        "median_error_seconds": float(np.median(values)),
        "share_within": float((values <= WITHIN_SECONDS).mean()),
    }


@torch.inference_mode()
def attention_shares(
    prior: JukeboxPrior, windows: WindowDataset, tokenizer: JukeboxTokenizer, layer: int
) -> tuple[np.ndarray, float]:
    """How much of a layer's attention to lyrics is on the word that sounds, for each of its heads.

    Args:
        prior: of the top level.
        windows: of songs with words; codes during which no word sounds do not count.
        tokenizer: of the model.
        layer: one that hears lyrics.

    Returns:
        (heads,), means over codes; and what they were if attention were spread evenly over the characters.
    """
    config = prior.config
    lyrics_before = 4 + config.max_nb_genres
    shares, chances = [], []
    for index in range(len(windows)):
        number, start = windows.windows[ExampleKey(0, index)]
        song = windows.songs[number]
        metadata = windows.metadata(number, start, windows.labels[number].row)[None]
        codes = windows.codes(number, start)["music_tokens"][None]
        output = prior(codes.to(prior.device), None, metadata.to(prior.device), return_attention_of=layer)
        attention = output.lyric_attention[0].double().cpu().numpy()
        read = _token_numbers(windows, number, start)
        is_character = metadata[0, lyrics_before:].numpy() > 0
        attention = attention * is_character
        attention = attention / attention.sum(-1, keepdims=True).clip(1e-12)
        seconds = (start + np.arange(config.n_ctx)) * config.hop_length / config.sampling_rate
        for word, timed in _words(song, tokenizer):
            rows = (timed.start_seconds <= seconds) & (seconds < timed.end_seconds)
            columns = (word.start <= read) & (read < word.end)
            if rows.any() and columns.any():
                shares.append(attention[:, rows][..., columns].sum(-1).sum(-1) / rows.sum())
                chances.append(columns.sum() / is_character.sum())
    if not shares:
        return np.zeros(config.n_heads), 0.0
    return np.mean(shares, axis=0), float(np.mean(chances))


def _token_numbers(windows: WindowDataset, number: int, start: int) -> np.ndarray:
    """Which lyric token each place for one holds, -1 for none."""
    song = windows.songs[number]
    rows = [windows.labels[number].row]
    return window_lyric_indices(rows, windows.config, start, song.total_length, song.offset)[0].numpy()


def best_alignment(prior: JukeboxPrior, windows: WindowDataset, tokenizer: JukeboxTokenizer) -> tuple[int, int, float]:
    """The layer and the head whose attention is most on the word that sounds, and its share.

    Raises:
        ValueError: no layer hears lyrics.
    """
    layers = prior.config.lyric_layers
    if not layers:
        raise ValueError("This prior hears no lyrics.")
    found = []
    for layer in layers:
        shares, _ = attention_shares(prior, windows, tokenizer, layer)
        found.append((float(shares.max()), layer, int(shares.argmax())))
    share, layer, head = max(found)
    return layer, head, share

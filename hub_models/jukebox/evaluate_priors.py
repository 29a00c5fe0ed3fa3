"""Bits per token of a prior, with its labels, without, and with those of other songs."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from hub_models.training.data_order import ExampleKey

from .codes import CodedSong
from .estimates import Estimate
from .modeling_jukebox_prior import JukeboxPrior
from .prior_data import WindowDataset, collate_windows
from .prior_labels import labels_of
from .song_files import SongFile
from .tokenization_jukebox import JukeboxTokenizer

Metadata = Callable[[int, int], Tensor]


@torch.inference_mode()
def evaluate_prior(
    prior: JukeboxPrior,
    songs: Sequence[CodedSong],
    tokenizer: JukeboxTokenizer,
    max_windows: int,
    batch_size: int,
    seed: int,
) -> dict[str, Any] | None:
    """How well a prior predicts the codes of songs that it has not seen.

    The same windows are given to it with everything that it hears of them ("labels"); with artist, genre and lyrics unknown
    ("without_labels"); with artist and genre of another song, by another artist ("other_labels"); and at the top level said
    to be from another place of the song ("other_times"). Where a window has lyrics, also without them and with those of
    another song.

    Args:
        prior: in evaluation mode.
        songs: as codes.
        tokenizer: of the model.
        max_windows: at most so many, spread evenly over the songs.
        batch_size: windows at a time.
        seed: decides which other songs and places.

    Returns:
        Bits per token, means over windows with standard errors over songs, and differences; None where no song is long
        enough.
    """
    config = prior.config
    labels = labels_of([song.song for song in songs], tokenizer, config.level)
    windows = WindowDataset(songs, labels, config, augment=False, max_windows=max_windows)
    if len(windows) == 0:
        return None
    places = [windows.windows[ExampleKey(0, index)] for index in range(len(windows))]
    everywhere = np.ones(len(windows), dtype=bool)
    with_lyrics = np.array([bool(_own(windows, *place)[_lyrics(windows)].any()) for place in places])
    wanted: dict[str, tuple[Metadata, np.ndarray]] = {
        "labels": (lambda number, start: _own(windows, number, start), everywhere),
        "without_labels": (_with_rows(windows, [each.unknown for each in windows.labels]), everywhere),
    }
    of_others = _other_labels(windows, tokenizer, seed)
    if of_others is not None:
        wanted["other_labels"] = (_with_rows(windows, of_others), everywhere)
    if not config.is_upsampler:
        wanted["other_times"] = (_at_other_times(windows, seed), everywhere)
    if with_lyrics.any():
        wanted["without_lyrics"] = (_with_rows(windows, [each.without_lyrics for each in windows.labels]), with_lyrics)
        of_others = _other_lyrics(windows, tokenizer, seed)
        if of_others is not None:
            wanted["other_lyrics"] = (_with_rows(windows, of_others), with_lyrics)
    total = sum(int(chosen.sum()) for _, chosen in wanted.values())
    bits: dict[str, np.ndarray] = {}
    with tqdm(total=total, desc=f"prior {config.level}", unit="window") as bar:
        for name, (metadata, chosen) in wanted.items():
            bar.set_postfix_str(name)
            bits[name] = np.full(len(windows), np.nan)
            numbers = np.flatnonzero(chosen)
            for first in range(0, len(numbers), batch_size):
                batch = numbers[first : first + batch_size]
                bits[name][batch] = _bits(prior, windows, [places[index] for index in batch], metadata)
                bar.update(len(batch))
    return _report(bits, places, windows, with_lyrics)


def _bits(prior: JukeboxPrior, windows: WindowDataset, places: Sequence[tuple[int, int]], metadata: Metadata) -> np.ndarray:
    """Mean bits per token of each window, (B,)."""
    codes = collate_windows([windows.codes(*place) for place in places])
    rows = torch.stack([metadata(*place) for place in places])
    output = prior(codes["music_tokens"].to(prior.device), codes.get("music_tokens_conds"), rows.to(prior.device))
    return output.token_losses.mean(dim=1).double().cpu().numpy()


def _own(windows: WindowDataset, number: int, start: int) -> Tensor:
    return windows.metadata(number, start, windows.labels[number].row)


def _with_rows(windows: WindowDataset, rows: Sequence[Tensor]) -> Metadata:
    """Metadata of a window with other labels for its song."""
    return lambda number, start: windows.metadata(number, start, rows[number])


def _lyrics(windows: WindowDataset) -> slice:
    """Where in metadata lyrics are."""
    first = 4 + windows.config.max_nb_genres
    return slice(first, first + windows.config.nb_relevant_lyric_tokens)


def _at_other_times(windows: WindowDataset, seed: int) -> Metadata:
    """A window's own labels, but said to be at another place of its song."""

    def metadata(number: int, start: int) -> Tensor:
        row = _own(windows, number, start)
        last = max(0, int(row[0]) - int(row[2]))
        row[1] = int(np.random.default_rng([seed, number, start]).integers(last + 1))
        return row

    return metadata


def _other_labels(windows: WindowDataset, tokenizer: JukeboxTokenizer, seed: int) -> list[Tensor] | None:
    """Rows with artist and genre of a random song by another artist, and one's own lyrics; None: there is one artist."""
    songs = [song.song for song in windows.songs]
    if len({song.artist for song in songs}) < 2:
        return None
    random = np.random.default_rng([seed, 1])
    changed = []
    for song in songs:
        other = _choice(random, [each for each in songs if each.artist != song.artist])
        changed.append(dataclasses.replace(song, artist=other.artist, genre=other.genre))
    return [labels.row for labels in labels_of(changed, tokenizer, windows.config.level)]


def _other_lyrics(windows: WindowDataset, tokenizer: JukeboxTokenizer, seed: int) -> list[Tensor] | None:
    """Rows with the lyrics of a random other song that has some; None: there are no others."""
    songs = [song.song for song in windows.songs]
    if len({song.lyrics for song in songs if song.lyrics}) < 2:
        return None
    random = np.random.default_rng([seed, 2])
    changed = []
    for song in songs:
        other = _choice(random, [each for each in songs if each.lyrics not in ("", song.lyrics)])
        changed.append(dataclasses.replace(song, lyrics=other.lyrics))
    return [labels.row for labels in labels_of(changed, tokenizer, windows.config.level)]


def _choice(random: np.random.Generator, songs: Sequence[SongFile]) -> SongFile:
    return songs[int(random.integers(len(songs)))]


def _report(
    bits: dict[str, np.ndarray], places: Sequence[tuple[int, int]], windows: WindowDataset, with_lyrics: np.ndarray
) -> dict[str, Any]:
    config = windows.config
    song_of = np.array([number for number, _ in places])

    def estimates(names: Sequence[str], chosen: np.ndarray) -> dict[str, Any]:
        known = [name for name in names if name in bits]
        own = bits["labels"][chosen]
        return {
            "num_windows": int(chosen.sum()),
            "num_songs": len(set(song_of[chosen])),
            "bits_per_token": {name: Estimate.of(bits[name][chosen], song_of[chosen]).to_dict() for name in known},
            "difference_from": {
                name: Estimate.of(own - bits[name][chosen], song_of[chosen]).to_dict() for name in known if name != "labels"
            },
        }

    report = {
        "context_tokens": config.n_ctx,
        "context_seconds": config.n_ctx * config.hop_length / config.sampling_rate,
        "num_tokens": len(places) * config.n_ctx,
        **estimates(("labels", "without_labels", "other_labels", "other_times"), np.ones(len(places), dtype=bool)),
    }
    if with_lyrics.any():
        report["with_lyrics"] = estimates(("labels", "without_lyrics", "other_lyrics"), with_lyrics)
    artists = [windows.songs[number].song.artist or "unknown" for number in song_of]
    report["artists"] = {}
    for artist in sorted(set(artists)):
        theirs = np.array([name == artist for name in artists])
        report["artists"][artist] = {
            "num_windows": int(theirs.sum()),
            **{name: float(bits[name][theirs].mean()) for name in ("labels", "without_labels")},
        }
    return report

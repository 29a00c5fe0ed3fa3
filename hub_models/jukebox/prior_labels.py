"""Artists and genres of one's own songs: their ids, and places for them in a prior's tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .labels import LabelNames
from .modeling_jukebox_prior import JukeboxPrior
from .song_files import SongFile
from .tokenization_jukebox import V2_SUFFIX, JukeboxTokenizer


@dataclass(frozen=True)
class SongLabels:
    """A prior's rows of [`JukeboxTokenizer`] for a song, each (W,) int64.

    Attributes:
        row: as it is known.
        without_lyrics: artist and genre alone.
        unknown: of a song of which nothing is known.
    """

    row: Tensor
    without_lyrics: Tensor
    unknown: Tensor


def labels_of(songs: Sequence[SongFile], tokenizer: JukeboxTokenizer, level: int) -> list[SongLabels]:
    """The labels of songs for the prior of a level, 0 the top."""

    def row(artist: str, genre: str, lyrics: str) -> Tensor:
        return tokenizer(artist, genre, lyrics)["input_ids"][level].squeeze(0)

    unknown = row("", "", "")
    return [
        SongLabels(row(song.artist, song.genre, song.lyrics), row(song.artist, song.genre, ""), unknown) for song in songs
    ]


def tokenizer_for(
    songs: Iterable[SongFile], version: str, n_genres: int, n_lyric_tokens: int, levels: int
) -> JukeboxTokenizer:
    """A tokenizer with the names that songs have, in alphabetical order.

    Args:
        songs: with their labels.
        version: `"v3"`: each genre has an id; `"v2"`: each of its words has.
        n_genres: places for genres in a prior.
        n_lyric_tokens: lyric tokens that the top level's prior reads at once; 0: none.
        levels: priors.
    """
    songs = list(songs)
    blank = LabelNames({}, version)
    artists = {blank.key(song.artist) for song in songs}
    genres = {word for song in songs for word in blank.genre_words(song.genre)}
    return JukeboxTokenizer.from_names(
        *(sorted(name for name in names if not blank.knows(name)) for names in (artists, genres)),
        version=version,
        n_levels=levels,
        n_genres=n_genres,
        max_n_lyric_tokens=n_lyric_tokens or 512,
    )


def with_new_names(tokenizer: JukeboxTokenizer, songs: Iterable[SongFile], level: int) -> JukeboxTokenizer:
    """The tokenizer with what of the songs' artists and genres it does not know; each gets the next id that is free.

    Ids that there are stay. Names are added to the version of labels that the prior of `level` has, and so for all priors
    of that version.
    """
    version = tokenizer.version[level]
    songs = list(songs)
    artists, genres = tokenizer.artists[version], tokenizer.genres[version]
    suffix = V2_SUFFIX if version == "v2" else ""

    def added(names: LabelNames, keys: Iterable[str]) -> dict[str, int]:
        new = sorted({key for key in keys if not names.knows(key)})
        return {key + suffix: number for number, key in enumerate(new, names.num_ids)}

    new_artists = added(artists, (artists.key(song.artist) for song in songs))
    new_genres = added(genres, (word for song in songs for word in genres.genre_words(song.genre)))
    if not new_artists and not new_genres:
        return tokenizer
    return JukeboxTokenizer(
        tokenizer.artists_encoder | new_artists,
        tokenizer.genres_encoder | new_genres,
        tokenizer.lyrics_encoder,
        version=tokenizer.version,
        max_n_lyric_tokens=tokenizer.max_n_lyric_tokens,
        n_genres=tokenizer.n_genres,
    )


@torch.no_grad()
def make_room_for_names(prior: JukeboxPrior, tokenizer: JukeboxTokenizer) -> dict[str, int]:
    """Lengthen a prior's tables so that every name of the tokenizer has a row; new rows are those of unknown names.

    Returns:
        How many rows were added for genres and for artists.
    """
    config, embedding = prior.config, prior.metadata_embedding
    if embedding is None:
        return {"genres": 0, "artists": 0}
    added = {}
    tables = {"genres": embedding.bow_genre_emb, "artists": embedding.artist_emb}
    for (name, table), needed in zip(tables.items(), tokenizer.metadata_dims(config.level), strict=True):
        missing = max(0, needed - table.num_embeddings)
        if missing:
            rows = table.weight[:1].expand(missing, -1)
            table.weight = nn.Parameter(torch.cat([table.weight, rows]))
            table.num_embeddings = needed
        added[name] = missing
    config.metadata_dims = [table.num_embeddings for table in tables.values()]
    return added

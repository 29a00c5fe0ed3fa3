"""What a prior is conditioned on: artist and genres, timing, the codes of the level above ("Jukebox", section 4)."""

import torch
from torch import Tensor, nn

from .configuration_jukebox import JukeboxPriorConfig
from .convolutions import DecoderLevelBlock
from .transformer import JukeboxEmbedding, JukeboxLayerNorm


class JukeboxRangeEmbedding(nn.Module):
    """Positions in a range as vectors, one for each of equally wide bins.

    Args:
        length (`int`): positions between start and end.
        bins (`int`): vectors.
        limits (`tuple[float, float]`): first value of the range, and the first beyond.
        width (`int`): of vectors.
        name (`str`): what the values are, for errors.
        initial_std (`float`): standard deviation of new vectors.
        clamps (`bool`): whether ends beyond the range count as its end.
    """

    def __init__(
        self,
        length: int,
        bins: int,
        limits: tuple[float, float],
        width: int,
        name: str,
        initial_std: float,
        clamps: bool = False,
    ):
        super().__init__()
        self.length, self.bins, self.limits, self.name, self.clamps = length, bins, limits, name, clamps
        self.emb = JukeboxEmbedding(bins, width, initial_std)

    def bins_of(self, start: Tensor, end: Tensor | None = None) -> Tensor:
        """
        Args:
            start, end (`Tensor` of shape (N, 1)): float32, as the original computes; without an end there is one position.

        Returns:
            Numbers of bins, (N, length).

        Raises:
            ValueError: values are beyond the range.
        """
        low, high = self.limits
        beyond = (start < low) | (start >= high)
        if end is not None:
            if self.clamps:
                end = end.clamp(low, high)
            beyond = beyond | (end > high)
        if bool(beyond.any()):
            row = int(beyond.flatten().nonzero()[0])
            given = f"{start[row].item():g}" + ("" if end is None else f" to {end[row].item():g}")
            raise ValueError(f"The {self.name} must be within {low:g} and {high:g}, got {given} in row {row}.")
        positions = start
        if end is not None:
            steps = torch.arange(self.length, dtype=torch.float32, device=start.device) / self.length
            positions = start + (end - start) * steps
        normalised = (positions - low) / (high - low)
        return (self.bins * normalised).floor().long()

    def forward(self, start: Tensor, end: Tensor | None = None) -> Tensor:
        """(N, 1) each, to (N, length, width)."""
        return self.emb(self.bins_of(start, end))


class JukeboxLabelConditioner(nn.Module):
    """Artist and genres as the start of the sequence and, at the top level, timing as a vector for each position."""

    def __init__(self, config: JukeboxPriorConfig):
        super().__init__()
        num_genres, num_artists = config.metadata_dims
        width, std = config.hidden_size, 0.01 * config.init_scale
        self.max_nb_genres = config.max_nb_genres
        self.bow_genre_emb = JukeboxEmbedding(num_genres, width, std)
        self.artist_emb = JukeboxEmbedding(num_artists, width, std)
        self.has_timing = not config.is_upsampler
        if self.has_timing:
            bins, length = config.timing_dims, config.n_ctx
            shortest, longest = (seconds * config.sampling_rate for seconds in (config.min_duration, config.max_duration))
            self.total_length_emb = JukeboxRangeEmbedding(
                1, bins, (shortest, longest), width, "total length in samples", std
            )
            self.absolute_pos_emb = JukeboxRangeEmbedding(length, bins, (0.0, longest), width, "position in samples", std)
            self.relative_pos_emb = JukeboxRangeEmbedding(
                length, bins, (0.0, 1.0), width, "position in the whole", std, clamps=True
            )

    def forward(self, metadata: Tensor) -> tuple[Tensor, Tensor | None]:
        """
        Args:
            metadata (`Tensor` of shape (N, 4 + max_nb_genres)): samples in the whole, of them before this window, in this
                window; the artist's id; genres' ids, -1 where there are fewer.

        Returns:
            (N, 1, width) of artist and genres; (N, n_ctx, width) of timing, or `None`.

        Raises:
            ValueError: an id or a time that the model does not know.
        """
        artist, genres = metadata[:, 3:4], metadata[:, 4 : 4 + self.max_nb_genres]
        _check_ids("artist", artist, 0, self.artist_emb.num_embeddings)
        _check_ids("genre", genres, -1, self.bow_genre_emb.num_embeddings)
        heard = (genres >= 0).unsqueeze(-1)
        of_genres = (self.bow_genre_emb(genres.clamp(min=0)) * heard).sum(dim=1, keepdim=True)
        start = of_genres + self.artist_emb(artist)
        if not self.has_timing:
            return start, None
        total, offset, length = metadata[:, :3].float().split(1, dim=1)
        end = offset + length
        timing = self.total_length_emb(total) + self.absolute_pos_emb(offset, end)
        return start, timing + self.relative_pos_emb(offset / total, end / total)


def _check_ids(name: str, ids: Tensor, low: int, high: int):
    beyond = (ids < low) | (ids >= high)
    if bool(beyond.any()):
        raise ValueError(f"Ids of {name} must be from {low} to {high - 1}, got {int(ids[beyond][0])}.")


class JukeboxMusicTokenConditioner(nn.Module):
    """The codes of the level above, drawn out to the length of this level's.

    Args:
        config ([`JukeboxPriorConfig`]): of an upsampler.
    """

    def __init__(self, config: JukeboxPriorConfig):
        super().__init__()
        above = config.vqvae_level + 1
        self.embed_tokens = JukeboxEmbedding(config.music_vocab_size, config.hidden_size, 0.02 * config.init_scale)
        self.upsampler = DecoderLevelBlock(
            config,
            config.hidden_size,
            config.res_conv_width,
            config.res_conv_depth,
            config.res_downs_t[above],
            config.res_strides_t[above],
        )
        self.layer_norm = JukeboxLayerNorm(config.hidden_size)

    def forward(self, music_tokens: Tensor) -> Tensor:
        """Codes (N, T) of the level above to (N, T * factor, width)."""
        embedded = self.embed_tokens(music_tokens).transpose(1, 2)
        return self.layer_norm(self.upsampler(embedded).transpose(1, 2))

"""Attention patterns of Jukebox's sparse transformers, for whole sequences ("Jukebox", section 4.1 and appendix B.1).

A sequence is cut into blocks. Seen as a table with one block per row, a query hears the earlier keys of its row or of its
column, or all of the row before; other patterns hear everything, the end of each block, the lyrics that the sequence
starts with, or the lyrics' encoder.

Shape letters: N batch, T queries, S keys, H heads, D head size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention_patterns import COLUMN, CROSS, DENSE, PREVIOUS, PRIME, ROW, SUMMARY_SPREAD
from .configuration_jukebox import JukeboxPriorConfig

Attended = tuple[Tensor, Tensor | None]


class Conv1D(nn.Module):
    """A linear layer whose weight is stored as (inputs, outputs); the weight may be of lower precision than the input.

    Args:
        in_features, out_features (`int`): sizes.
        initial_std (`float`): standard deviation of a new layer's weights.
    """

    def __init__(self, in_features: int, out_features: int, initial_std: float):
        super().__init__()
        self.initial_std = initial_std
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.empty(out_features))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        dtype = hidden_states.dtype
        flat = hidden_states.reshape(-1, hidden_states.shape[-1])
        product = torch.addmm(self.bias.to(dtype), flat, self.weight.to(dtype))
        return product.view(*hidden_states.shape[:-1], -1)


def projection_std(config: JukeboxPriorConfig, pattern: str) -> float:
    """Standard deviation of the weights by which a new layer adds to its input; 0 where it starts by adding nothing."""
    return 0.0 if config.zero_out or pattern == CROSS else 0.02 * config.init_scale


def prime_length(config: JukeboxPriorConfig) -> int:
    """Positions that prime attention hears: the lyrics and, as the original rounds them up, some of the music."""
    return (config.nb_relevant_lyric_tokens // config.blocks + 1) * config.blocks


def summary_length(config: JukeboxPriorConfig, pattern: str) -> int:
    """Positions at the end of each block that summary attention hears."""
    return config.spread if pattern == SUMMARY_SPREAD else 1


class JukeboxAttention(nn.Module):
    """One layer's attention.

    Args:
        config ([`JukeboxPriorConfig`]): sizes.
        pattern (`str`): what it hears, one of the names in `attention_patterns`.
    """

    def __init__(self, config: JukeboxPriorConfig, pattern: str):
        super().__init__()
        self.pattern = pattern
        self.num_heads = config.n_heads
        self.size = config.attention_size
        self.head_size = self.size // self.num_heads
        self.dropout, self.residual_dropout = config.attn_dropout, config.resid_dropout
        self.block_length = config.block_length
        self.summary_length = summary_length(config, pattern)
        self.prime_length = prime_length(config) if pattern == PRIME else 0
        std = 0.02 * config.init_scale
        if pattern == CROSS:
            self.c_attn = Conv1D(config.hidden_size, self.size, std)
            self.c_enc_kv = Conv1D(config.hidden_size, 2 * self.size, std)
        else:
            self.c_attn = Conv1D(config.hidden_size, 3 * self.size, std)
        self.c_proj = Conv1D(self.size, config.hidden_size, projection_std(config, pattern))

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, return_weights: bool = False
    ) -> Attended:
        """
        Args:
            hidden_states (`Tensor` of shape (N, T, width)): a sequence from its first position on.
            encoder_hidden_states (`Tensor` of shape (N, S, width), *optional*): what cross attention hears.
            return_weights (`bool`, defaults to `False`): also give the weights of keys.

        Returns:
            (N, T, width), and weights or `None`. Weights are (N, H, T, S), where blocks, columns or what else attends within
            itself has become part of the batch: (N * blocks, H, block length, block length) for rows.
        """
        query, key, value = self.project(hidden_states, encoder_hidden_states)
        attended, weights = self.attend(query, key, value, return_weights)
        return self.project_out(attended), weights

    def project(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (N, T, H, D), keys and values, (N, S, H, D) each."""
        projected = self.c_attn(hidden_states)
        if self.pattern != CROSS:
            return self.split_heads(projected, 3)
        return *self.split_heads(projected, 1), *self.split_heads(self.c_enc_kv(encoder_hidden_states), 2)

    def split_heads(self, projected: Tensor, count: int) -> tuple[Tensor, ...]:
        """(N, T, count * H * D) to `count` times (N, T, H, D)."""
        return projected.unflatten(-1, (count, self.num_heads, self.head_size)).unbind(2)

    def project_out(self, attended: Tensor) -> Tensor:
        """(N, T, H, D) to (N, T, width)."""
        return F.dropout(self.c_proj(attended.flatten(2)), self.residual_dropout, self.training)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, return_weights: bool = False) -> Attended:
        """What queries at positions 0 to T - 1 hear: (N, T, H, D), and weights or `None`."""
        length, settings = (
            query.shape[1],
            {"dropout": self.dropout if self.training else 0.0, "return_weights": return_weights},
        )
        if self.pattern == ROW:
            return attend_rows(query, key, value, self.block_length, **settings)
        if self.pattern == COLUMN:
            return attend_columns(query, key, value, self.block_length, **settings)
        if self.pattern == PREVIOUS:
            return attend_previous(query, key, value, self.block_length, **settings)
        if self.pattern == CROSS:
            return weigh(query, key, value, **settings)
        if self.pattern == DENSE:
            return weigh(query, key, value, is_causal=True, **settings)
        if self.pattern == PRIME:
            positions = torch.arange(min(self.prime_length, length), device=key.device)
            mask = sees(positions, length)
            return weigh(query, key[:, : len(positions)], value[:, : len(positions)], mask=mask, **settings)
        positions = summary_positions(length, self.block_length, self.summary_length, key.device)
        zeros = (0, 0, 0, 0, self.summary_length, 0)
        key, value = F.pad(key[:, positions], zeros), F.pad(value[:, positions], zeros)
        mask = F.pad(sees(positions, length), (self.summary_length, 0), value=True)
        return weigh(query, key, value, mask=mask, **settings)


def weigh(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    is_causal: bool = False,
    dropout: float = 0.0,
    return_weights: bool = False,
) -> Attended:
    """Attention of (N, T, H, D) to (N, S, H, D).

    Args:
        mask (`Tensor` of shape (T, S), *optional*): true where a query hears a key.
        is_causal (`bool`, defaults to `False`): queries hear the keys up to their own, and T = S.
        dropout (`float`, defaults to 0): of weights.
        return_weights (`bool`, defaults to `False`): also give weights.

    Returns:
        (N, T, H, D), and weights (N, H, T, S) or `None`.
    """
    query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    if not return_weights:
        attended = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal)
        return attended.transpose(1, 2), None
    if is_causal:
        mask = sees(torch.arange(key.shape[2], device=key.device), query.shape[2])
    logits = query.float() @ key.float().transpose(-1, -2) * query.shape[-1] ** -0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    weights = F.dropout(logits.softmax(dim=-1), dropout).to(value.dtype)
    return (weights @ value).transpose(1, 2), weights


def attend_rows(query: Tensor, key: Tensor, value: Tensor, block_length: int, **settings) -> Attended:
    """Each position hears its block, up to itself: (N, T, H, D). `settings` are those of [`weigh`]."""
    blocks = [to_blocks(states, block_length).flatten(0, 1) for states in (query, key, value)]
    attended, weights = weigh(*blocks, is_causal=True, **settings)
    return attended.unflatten(0, (len(query), -1)).flatten(1, 2)[:, : query.shape[1]], weights


def attend_columns(query: Tensor, key: Tensor, value: Tensor, block_length: int, **settings) -> Attended:
    """Each position hears those at the same place of earlier blocks, and itself: (N, T, H, D)."""
    columns = [to_blocks(states, block_length).transpose(1, 2).flatten(0, 1) for states in (query, key, value)]
    attended, weights = weigh(*columns, is_causal=True, **settings)
    attended = attended.unflatten(0, (len(query), block_length)).transpose(1, 2).flatten(1, 2)
    return attended[:, : query.shape[1]], weights


def attend_previous(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    block_length: int,
    before: tuple[Tensor, Tensor] | None = None,
    **settings,
) -> Attended:
    """Each position hears all of the block before its own: (N, T, H, D).

    Args:
        before (`tuple` of `Tensor` (N, block length, H, D), *optional*): keys and values of the block before the first;
            zeros by default, of which one hears nothing.
    """
    blocks = to_blocks(query, block_length)
    heard = []
    for number, states in enumerate((key, value)):
        states = to_blocks(states, block_length)
        first = torch.zeros_like(states[:, :1]) if before is None else before[number].unsqueeze(1)
        heard.append(torch.cat([first, states[:, :-1]], dim=1).flatten(0, 1))
    attended, weights = weigh(blocks.flatten(0, 1), *heard, **settings)
    return attended.unflatten(0, (len(query), -1)).flatten(1, 2)[:, : query.shape[1]], weights


def to_blocks(states: Tensor, block_length: int) -> Tensor:
    """(N, T, H, D) to (N, blocks, block length, H, D), the last block filled up with zeros."""
    missing = -states.shape[1] % block_length
    if missing:
        states = F.pad(states, (0, 0, 0, 0, 0, missing))
    return states.unflatten(1, (-1, block_length))


def sees(positions: Tensor, length: int, start: int = 0) -> Tensor:
    """Which of `length` queries from position `start` on are at or after the keys at `positions` (S,): (length, S)."""
    return torch.arange(start, start + length, device=positions.device)[:, None] >= positions


def summary_positions(length: int, block_length: int, spread: int, device: torch.device | None = None) -> Tensor:
    """The last `spread` positions of each block but the last, of a sequence of `length`."""
    count = max(-(-length // block_length) - 1, 0)
    ends = block_length * torch.arange(1, count + 1, device=device)
    return (ends[:, None] + torch.arange(-spread, 0, device=device)).flatten()

"""Attention of the Transformer Autoencoder: relative positions, timing signals, and a cache that grows in place.

Shapes: B batch, H heads, T queries, S keys, R distances that have an embedding, D width of one head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from .configuration_transformer_autoencoder import TransformerAutoencoderConfig

MASKED = -1e9  # what the original adds to the logit of a key that must not be heard


def timing_signal(num_positions: int, channels: int, device: torch.device | None = None) -> Tensor:
    """Sines, then cosines, of positions 0, 1, ..., with periods from 2 pi to 2 pi * 10,000; (num_positions, channels),
    float32 (tensor2tensor's `get_timing_signal_1d`)."""
    half = channels // 2
    exponents = torch.arange(half, device=device, dtype=torch.float32) * -(math.log(10_000.0) / max(half - 1, 1))
    angles = torch.arange(num_positions, device=device, dtype=torch.float32)[:, None] * exponents.exp()
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, channels % 2))


def relative_to_absolute(by_distance: Tensor, num_missing: int = 0) -> Tensor:
    """From a column per distance to a column per key, the skewing of Music Transformer, section 3.4.1.

    Column m of query i belongs to the key S-1-m before it. What comes out for keys after the query belongs to other
    queries (`original_quirks`); whoever does not want that masks it.

    Args:
        by_distance (`Tensor` of shape (..., T, S - num_missing)): for distances S-1-num_missing, ..., 1, 0, where the last
            query is the last key.
        num_missing (`int`): farther distances, for which the result is 0.

    Returns:
        (..., T, S)
    """
    num_queries, num_keys = by_distance.shape[-2], by_distance.shape[-1] + num_missing
    if num_queries == 1:
        return F.pad(by_distance, (num_missing, 0)) if num_missing else by_distance
    padded = F.pad(by_distance, (num_missing + 1, 0))
    return padded.flatten(-2)[..., num_queries:].unflatten(-1, (num_queries, num_keys))


def absolute_to_relative(by_key: Tensor) -> Tensor:
    """The inverse: from a column per key to a column per distance, (..., T, S) to (..., T, S); causal weights only."""
    num_queries, num_keys = by_key.shape[-2:]
    padded = F.pad(by_key.flatten(-2), (num_queries, 0))
    return padded.unflatten(-1, (num_queries, num_keys + 1))[..., 1:]


class RelativePositions(nn.Module):
    """A table of embeddings of distances, for all heads or for each.

    Args:
        num_heads (`int`): heads of the attention.
        num_distances (`int`): R. The last row belongs to distance 0, the first to R-1.
        size (`int`): D.
        shared (`bool`): one table for all heads.
    """

    def __init__(self, num_heads: int, num_distances: int, size: int, shared: bool):
        super().__init__()
        self.num_heads = num_heads
        self.weight = nn.Parameter(torch.empty(1 if shared else num_heads, num_distances, size))

    def forward(self, query: Tensor, num_keys: int) -> Tensor:
        """Logits (B, H, T, S) of queries (B, H, T, D), of which the last is the last of the `num_keys` keys."""
        batch_size, num_heads, num_queries, size = query.shape
        table = self.weight[:, max(self.weight.shape[1] - num_keys, 0) :]
        # One product for all of the batch: (heads, B * T, D) by (heads, D, distances).
        rows = query.transpose(0, 1).reshape(table.shape[0], -1, size)
        by_distance = (rows @ table.transpose(1, 2)).view(num_heads, batch_size, num_queries, -1).transpose(0, 1)
        return relative_to_absolute(by_distance, num_keys - table.shape[1])

    def of_one(self, query: Tensor, num_keys: int) -> Tensor:
        """Logits (B, H, N) of queries (B, H, D) of one event, which is the last of the keys, for the last N keys; N is
        `num_keys`, but at most R."""
        table = self.weight[:, max(self.weight.shape[1] - num_keys, 0) :]
        rows = query.transpose(0, 1).reshape(len(table), -1, query.shape[-1])
        logits = torch.bmm(rows, table.transpose(1, 2)).view(self.num_heads, len(query), -1)
        return logits.transpose(0, 1)

    def values(self, weights: Tensor) -> Tensor:
        """What distances add to the values (B, H, T, D), for causal attention weights (B, H, T, S)."""
        num_keys = weights.shape[-1]
        table = self.weight[:, max(self.weight.shape[1] - num_keys, 0) :]
        return absolute_to_relative(weights)[..., num_keys - table.shape[1] :] @ table


class SelfAttention(nn.Module):
    """Multi-head self-attention, with relative positions where the configuration says so (dot_product_relative_v2).

    Args:
        config: the model's configuration.
        is_causal (`bool`): whether events hear only those before them, as in the decoder.
    """

    def __init__(self, config: TransformerAutoencoderConfig, is_causal: bool):
        super().__init__()
        heads, key_size, value_size = config.num_attention_heads, config.total_key_size, config.total_value_size
        self.num_heads, self.sizes = heads, [key_size, key_size, value_size]
        self.scale = (key_size // heads) ** -0.5
        self.dropout = config.attention_dropout
        self.keeps_leftovers = config.original_quirks and not is_causal
        self.is_causal = is_causal
        self.query_key_value = nn.Linear(config.hidden_size, 2 * key_size + value_size, bias=False)
        self.output = nn.Linear(value_size, config.hidden_size, bias=False)
        self.relative_keys = self.relative_values = None
        if config.attention_type == "relative":
            table = (heads, config.max_relative_position)
            self.relative_keys = RelativePositions(*table, key_size // heads, config.heads_share_relative_embedding)
            if config.relative_values:
                self.relative_values = RelativePositions(*table, value_size // heads, config.heads_share_relative_embedding)

    def forward(
        self, hidden_states: Tensor, bias: Tensor | None, cache: Cache | None = None, layer_index: int = 0
    ) -> tuple[Tensor, Tensor]:
        """
        Args:
            hidden_states (`Tensor` of shape (B, T, hidden)): the newest events.
            bias (`Tensor`, *optional*, broadcastable to (B, 1, T, S)): added to the logits.
            cache (`Cache`, *optional*): keys and values of the events before; the new ones are added.

        Returns:
            (B, T, hidden), and the attention weights (B, H, T, S).
        """
        if hidden_states.shape[1] == 1 and cache is not None and not self.training:
            return self._forward_one(hidden_states, bias, cache, layer_index)
        parts = self.query_key_value(hidden_states).split(self.sizes, dim=-1)
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        query = query * self.scale
        if cache is not None:
            key, value = cache.update(key, value, layer_index)
        logits = query @ key.transpose(2, 3)
        if self.relative_keys is not None:
            relative = self.relative_keys(query, key.shape[2])
            if not self.is_causal and not self.keeps_leftovers:
                relative = relative.tril()
            logits = logits + relative
        weights = attention_weights(logits, bias)
        dropped = F.dropout(weights, self.dropout, self.training)
        heard = dropped @ value
        if self.relative_values is not None:
            heard = heard + self.relative_values.values(dropped)
        return self.output(heard.transpose(1, 2).flatten(2)), weights

    def _forward_one(self, hidden_states: Tensor, bias: Tensor | None, cache: Cache, layer_index: int):
        """`forward` for one event (B, 1, hidden) after those in the cache: the same in fewer operations, because where every
        event is a step the number of operations counts as much as what they do."""
        batch_size, num_heads = hidden_states.shape[0], self.num_heads
        query, key, value = self.query_key_value(hidden_states).split(self.sizes, dim=-1)
        query = (query * self.scale).view(batch_size, num_heads, -1)
        new = key.view(batch_size, num_heads, 1, -1), value.view(batch_size, num_heads, 1, -1)
        key, value = cache.update(*new, layer_index)
        logits = torch.bmm(query.view(batch_size * num_heads, 1, -1), key.flatten(0, 1).transpose(1, 2))
        logits = logits.view(batch_size, num_heads, -1)
        if self.relative_keys is not None:
            near = self.relative_keys.of_one(query, key.shape[2])
            logits.narrow(2, logits.shape[2] - near.shape[2], near.shape[2]).add_(near)
        weights = attention_weights(logits.unsqueeze(2), bias)
        heard = torch.bmm(weights.flatten(0, 1), value.flatten(0, 1)).view(batch_size, num_heads, 1, -1)
        if self.relative_values is not None:
            heard = heard + self.relative_values.values(weights)
        return self.output(heard.view(batch_size, 1, -1)), weights


class CrossAttention(nn.Module):
    """Multi-head attention of the decoder to what it listens to; always without relative positions."""

    def __init__(self, config: TransformerAutoencoderConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.sizes = [config.total_key_size, config.total_value_size]
        self.scale = (config.total_key_size // config.num_attention_heads) ** -0.5
        self.dropout = config.attention_dropout
        self.query = nn.Linear(config.hidden_size, config.total_key_size, bias=False)
        self.key_value = nn.Linear(config.encoding_size, sum(self.sizes), bias=False)
        self.output = nn.Linear(config.total_value_size, config.hidden_size, bias=False)

    def forward(
        self,
        hidden_states: Tensor,
        encoding: Tensor,
        bias: Tensor | None,
        cache: Cache | None = None,
        layer_index: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """(B, T, hidden) and weights (B, H, T, S) for an encoding (B, S, encoding_size) with bias (B, 1, 1, S)."""
        query = (self.query(hidden_states) * self.scale).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        known = cache.encoded.get(layer_index) if isinstance(cache, PerformanceCache) else None
        if known is None:
            parts = self.key_value(encoding).split(self.sizes, dim=-1)
            known = tuple(part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2).contiguous() for part in parts)
            if isinstance(cache, PerformanceCache):
                cache.encoded[layer_index] = known
        key, value = known
        weights = attention_weights(query @ key.transpose(2, 3), bias)
        heard = F.dropout(weights, self.dropout, self.training) @ value
        return self.output(heard.transpose(1, 2).flatten(2)), weights


def attention_weights(logits: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax over keys of logits with a bias, in float32 or better, in the type of the logits."""
    if bias is not None:
        logits = logits + bias
    wide = torch.promote_types(logits.dtype, torch.float32)
    return logits.softmax(dim=-1, dtype=wide).to(logits.dtype)


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, written into buffers that double when they are full: adding an event copies no other."""

    FIRST_CAPACITY = 256

    def __init__(self):
        super().__init__()
        self.key_buffer: Tensor | None = None
        self.value_buffer: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Adds (B, H, T, D) keys and values; returns those of all events, views of the buffers."""
        before = self.get_seq_length()
        after = before + key_states.shape[2]
        if not self.is_initialized:
            self.device, self.is_initialized = key_states.device, True
        if self.key_buffer is None or self.key_buffer.shape[2] < after:
            self.key_buffer = self._grown(self.keys, key_states, after)
            self.value_buffer = self._grown(self.values, value_states, after)
        self.key_buffer.narrow(2, before, after - before).copy_(key_states)
        self.value_buffer.narrow(2, before, after - before).copy_(value_states)
        self.keys, self.values = self.key_buffer.narrow(2, 0, after), self.value_buffer.narrow(2, 0, after)
        return self.keys, self.values

    def _grown(self, old: Tensor | None, new: Tensor, length: int) -> Tensor:
        capacity = self.FIRST_CAPACITY
        while capacity < length:
            capacity *= 2
        buffer = new.new_empty(*new.shape[:2], capacity, new.shape[3])
        if old is not None:
            buffer[:, :, : old.shape[2]] = old
        return buffer

    def get_seq_length(self) -> int:
        """Events that are there."""
        return 0 if self.keys is None else self.keys.shape[2]

    def forget(self):
        """Empties the layer and keeps its buffers."""
        self.keys = self.values = None

    def reset(self):
        """Empties the layer."""
        super().reset()
        self.key_buffer = self.value_buffer = None

    def _own(self):
        """The rows were chosen anew: what was a view of the buffers is not any more."""
        self.key_buffer, self.value_buffer = self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor):
        """Rows (B,) of the batch for each row, in beam search."""
        super().reorder_cache(beam_idx)
        self._own()

    def batch_repeat_interleave(self, repeats: int):
        """Every row so many times."""
        super().batch_repeat_interleave(repeats)
        self._own()

    def batch_select_indices(self, indices: Tensor):
        """Only these rows."""
        super().batch_select_indices(indices)
        self._own()


class PerformanceCache(Cache):
    """What a decoder remembers while it generates: keys and values of the events in its window, and of what it listens to.

    Args:
        num_layers (`int`): layers of the decoder.

    Attributes:
        start (`int`): which event of the whole sequence is the first in the window.
        encoded (`dict`): keys and values of the encoding, by layer.
        encoding (`tuple` of two `Tensor`, *optional*): what is heard in this window, and its bias, where it is another than
            at the beginning.
    """

    def __init__(self, num_layers: int):
        super().__init__(layers=[GrowingLayer() for _ in range(num_layers)])
        self.start = 0
        self.encoded: dict[int, tuple[Tensor, Tensor]] = {}
        self.encoding: tuple[Tensor, Tensor] | None = None

    def move(self, start: int):
        """Forgets the events and what was heard; the window begins at event `start` now."""
        self.start = start
        self.encoded, self.encoding = {}, None
        for layer in self.layers:
            layer.forget()

    def reorder_cache(self, beam_idx: Tensor):
        """Rows (B,) of the batch for each row, in beam search."""
        super().reorder_cache(beam_idx)
        self._choose(lambda part: part.index_select(0, beam_idx))

    def batch_select_indices(self, indices: Tensor):
        """Only these rows."""
        super().batch_select_indices(indices)
        self._choose(lambda part: part[indices])

    def batch_repeat_interleave(self, repeats: int):
        """Every row so many times."""
        super().batch_repeat_interleave(repeats)
        self._choose(lambda part: part.repeat_interleave(repeats, dim=0))

    def _choose(self, rows):
        self.encoded = {layer: tuple(rows(part) for part in parts) for layer, parts in self.encoded.items()}
        if self.encoding is not None:
            self.encoding = tuple(rows(part) for part in self.encoding)

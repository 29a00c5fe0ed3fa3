"""What attention keeps of the tokens so far: for each pattern the keys and values that later tokens hear, and no others.

| pattern | kept in each layer |
| --- | --- |
| row | the current block |
| column | everything, a column's keys next to each other |
| previous block | the current block and the one before |
| dense | everything |
| prime | the first positions, see [`prime_length`] |
| cross | the lyrics |
| summary | zeros, and the ends of blocks |

A position writes at most one slot and reads a run of slots. A cache has its full size from the beginning on and is written
in place. [`cache_bytes`] says how large that is: of the published models in float32, for each sample of a batch,

| prior | MB |
| --- | --- |
| 5b, 5b_lyrics | 1,950; 2,068 |
| 1b_lyrics | 686 |
| upsamplers | 780 |

Shape letters: L layers of a pattern, N batch, H heads, S slots, T positions, D head size.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .attention import attend_previous, attend_rows, prime_length, sees, summary_length, summary_positions, to_blocks, weigh
from .attention_patterns import COLUMN, CROSS, DENSE, PREVIOUS, PRIME, ROW
from .configuration_jukebox import JukeboxPriorConfig


class Access(NamedTuple):
    """What a position does with the cache of its pattern.

    Args:
        slot (`int`): the slot that it writes before it reads, or -1.
        first (`int`): the first slot that it reads.
        count (`int`): how many it reads.
    """

    slot: int
    first: int
    count: int


class CacheLayout:
    """Sizes of a pattern's cache, and what positions do with it.

    Args:
        config ([`JukeboxPriorConfig`]): of the transformer.
        pattern (`str`): one of the names in `attention_patterns`.
        encoder_length (`int`, defaults to 0): lyric tokens that cross attention hears.
    """

    def __init__(self, config: JukeboxPriorConfig, pattern: str, encoder_length: int = 0):
        self.pattern = pattern
        self.block_length = config.block_length
        length = config.sequence_length
        parts = 1
        if pattern == ROW:
            self.window = self.block_length
        elif pattern == COLUMN:
            parts, self.window = self.block_length, length // self.block_length
        elif pattern == PREVIOUS:
            parts, self.window = 2, self.block_length
        elif pattern == DENSE:
            self.window = length
        elif pattern == PRIME:
            self.window = min(prime_length(config), length)
        elif pattern == CROSS:
            self.window = encoder_length
        else:
            self.summary_length = summary_length(config, pattern)
            ends = summary_positions(length, self.block_length, self.summary_length)
            self.window = self.summary_length + len(ends)
        self.slots = parts * self.window

    def access(self, position: int) -> Access:
        """What the position, counted from 0, writes and reads."""
        pattern, block_length, window = self.pattern, self.block_length, self.window
        if pattern == DENSE:
            return Access(position, 0, position + 1)
        if pattern == PRIME:
            return Access(position if position < window else -1, 0, min(position + 1, window))
        if pattern == CROSS:
            return Access(-1, 0, window)
        block, place = divmod(position, block_length)
        if pattern == ROW:
            return Access(place, 0, place + 1)
        if pattern == COLUMN:
            return Access(place * window + block, place * window, block + 1)
        if pattern == PREVIOUS:  # before the first block, the other half still holds zeros, of which one hears nothing
            current, other = block % 2 * window, (block + 1) % 2 * window
            return Access(current + place, other, window)
        spread = self.summary_length
        known = spread * (block + 1) + max(0, place - block_length + spread + 1)
        is_kept = place >= block_length - spread and known <= window
        return Access(known - 1 if is_kept else -1, 0, min(known, window))


class StepViews(NamedTuple):
    """Parts of a cache that one position writes and reads, of each layer.

    Args:
        slots (`tuple` of `Tensor` (N, 2 H, 1, D), *optional*): where its key and value go; `None`: nowhere.
        keys, values (`tuple` of `Tensor` (N, H, count, D)): what it hears.
    """

    slots: tuple[Tensor, ...] | None
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    #: Of [`StaticViews`] only.
    mask = None

    def exchange(self, layer: int, state: Tensor) -> tuple[Tensor, Tensor]:
        """Writes the position's key and value (N, 2 H, 1, D); gives the keys and values that it hears."""
        if self.slots is not None:
            self.slots[layer].copy_(state)
        return self.keys[layer], self.values[layer]


class KeyValueCache:
    """Keys and values of all layers of a pattern.

    Args:
        layout ([`CacheLayout`]): sizes.
        layers (`int`): L.
        shape (`tuple[int, int, int]`): N, H and D.
        device, dtype: of the tensors.

    Attributes:
        states (`Tensor` of shape (L, N, 2 H, S + 1, D)): keys, then values. The last slot is never read: it is there for
            positions that keep nothing where all must do the same.
    """

    def __init__(self, layout: CacheLayout, layers: int, shape: tuple[int, int, int], device, dtype):
        batch, heads, head_size = shape
        self.layout, self.heads = layout, heads
        self.states = torch.zeros(layers, batch, 2 * heads, layout.slots + 1, head_size, device=device, dtype=dtype)

    def views(self, position: int) -> StepViews:
        """What one position needs."""
        slot, first, count = self.layout.access(position)
        slots = None if slot < 0 else self.states[:, :, :, slot : slot + 1].unbind()
        heard = self.states[:, :, :, first : first + count]
        return StepViews(slots, heard[:, :, : self.heads].unbind(), heard[:, :, self.heads :].unbind())

    def fill(self, layer: int, key: Tensor, value: Tensor):
        """Keys and values (N, S, H, D) of lyrics, for cross attention."""
        self.states[layer, :, :, :-1] = torch.cat([key, value], dim=2).transpose(1, 2)

    def extend(
        self, layer: int, start: int, query: Tensor, key: Tensor | None = None, value: Tensor | None = None
    ) -> Tensor:
        """Keeps what a chunk of positions leaves to later ones, and attends.

        Args:
            layer (`int`): number among the layers of the pattern.
            start (`int`): a multiple of the block length.
            query (`Tensor` of shape (N, T, H, D)): of positions `start` to `start` + T - 1.
            key, value (`Tensor` of shape (N, T, H, D), *optional*): theirs, except in cross attention.

        Returns:
            What the queries hear, (N, T, H, D).
        """
        layout, length = self.layout, query.shape[1]
        states = self.states[layer]
        before = None
        if layout.pattern == PREVIOUS:
            _, first, count = layout.access(start)
            before = [states.clone() for states in self._heard(states, first, count)]
        if layout.pattern != CROSS:
            self._write(states, torch.cat([key, value], dim=2).transpose(1, 2), start)
        if layout.pattern == ROW:
            return attend_rows(query, key, value, layout.block_length)[0]
        if layout.pattern == PREVIOUS:
            return attend_previous(query, key, value, layout.block_length, before)[0]
        if layout.pattern == COLUMN:
            return self._attend_columns(states, query, start)
        counts = torch.tensor([layout.access(position).count for position in range(start, start + length)])
        most = int(counts[-1])
        mask = torch.arange(most) < counts[:, None]
        return weigh(query, *self._heard(states, 0, most), mask=mask.to(query.device))[0]

    def _heard(self, states: Tensor, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Keys and values (N, count, H, D) of some slots."""
        return states[:, :, first : first + count].transpose(1, 2).split(self.heads, dim=2)

    def _write(self, states: Tensor, new: Tensor, start: int):
        """Where positions follow that write the same slots, only these remain."""
        layout, length = self.layout, new.shape[2]
        first = max(0, length - layout.slots) if layout.pattern in (ROW, PREVIOUS) else 0
        slots = [layout.access(start + index).slot for index in range(first, length)]
        kept = [(index, slot) for index, slot in enumerate(slots, first) if slot >= 0]
        if kept:
            indices, slots = torch.tensor(kept, device=new.device).unbind(1)
            states[:, :, slots] = new[:, :, indices]

    def _attend_columns(self, states: Tensor, query: Tensor, start: int) -> Tensor:
        block_length, window = self.layout.block_length, self.layout.window
        blocks = to_blocks(query, block_length)
        count, first = blocks.shape[1], start // block_length
        columns = states[:, :, :-1].unflatten(2, (block_length, window))[:, :, :, : first + count]
        columns = columns.permute(0, 2, 3, 1, 4).flatten(0, 1)  # (N * columns, blocks, 2 H, D)
        mask = sees(torch.arange(first + count, device=query.device), count, first)
        attended, _ = weigh(blocks.transpose(1, 2).flatten(0, 1), *columns.split(self.heads, dim=2), mask=mask)
        return attended.unflatten(0, (-1, block_length)).transpose(1, 2).flatten(1, 2)[:, : query.shape[1]]


class StaticViews:
    """What any position writes and reads, as one and the same computation on tensors: what CUDA graphs need.

    Args:
        cache ([`KeyValueCache`]): what is written and read.
        length (`int`): positions.
    """

    def __init__(self, cache: KeyValueCache, length: int):
        layout, device = cache.layout, cache.states.device
        table = torch.tensor([layout.access(position) for position in range(length)])
        table[:, 0].masked_fill_(table[:, 0] < 0, layout.slots)
        self.table = table.to(device)
        self.cache, self.layout = cache, layout
        self.steps = torch.arange(layout.window, device=device)
        self.slot = self.indices = self.mask = None

    def set_position(self, position: Tensor):
        """Looks up what the position, of shape (1,), does."""
        self.slot, first, count = self.table.index_select(0, position).unbind(1)
        if self.layout.slots > self.layout.window:
            self.indices = first + self.steps
        self.mask = (self.steps < count)[None, None, None]

    def exchange(self, layer: int, state: Tensor) -> tuple[Tensor, Tensor]:
        """As [`StepViews.exchange`]; keys and values of a whole window, of which `mask` says what is heard."""
        states, window = self.cache.states[layer], self.layout.window
        if self.layout.pattern != CROSS:
            states.index_copy_(2, self.slot, state)
        heard = states[:, :, :window] if self.indices is None else states.index_select(2, self.indices)
        return heard.split(self.cache.heads, dim=1)


def cache_bytes(config: JukeboxPriorConfig, bytes_per_number: int = 4) -> int:
    """Bytes that the caches of a prior take for each sample of a batch."""
    slots = sum(
        CacheLayout(config, pattern, config.nb_relevant_lyric_tokens).slots + 1 for pattern in config.layer_attentions
    )
    return 2 * slots * config.attention_size * bytes_per_number

"""Embeddings, layers and stacks of the Transformer Autoencoder: pre-norm transformers as tensor2tensor computes them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import MASKED, CrossAttention, SelfAttention, timing_signal
from .configuration_transformer_autoencoder import TransformerAutoencoderConfig


class EventEmbedding(nn.Embedding):
    """Events as vectors, times the square root of their width; padding, which also starts a sequence, is the zero vector."""

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) ids to (B, T, H)."""
        return super().forward(ids) * (self.embedding_dim**0.5 * (ids != 0).unsqueeze(-1))


class TimingSignal:
    """The signal of positions, computed for as many as were needed so far. No weights and no buffer: it is a function."""

    def __init__(self, config: TransformerAutoencoderConfig):
        self.hidden_size, self.first_length = config.hidden_size, config.context_length
        self.table = torch.empty(0, config.hidden_size)

    def __call__(self, count: int, like: Tensor) -> Tensor:
        """Of positions 0 to `count` - 1, (count, H), in the type and on the device of `like`."""
        if len(self.table) < count or self.table.device != like.device or self.table.dtype != like.dtype:
            length = max(count, 2 * len(self.table), self.first_length)
            self.table = timing_signal(length, self.hidden_size, like.device).to(like.dtype)
        return self.table[:count]


class TransformerAutoencoderLayer(GradientCheckpointingLayer):
    """Self-attention, attention to what is listened to, feed-forward; each adds to its input what it makes of its norm."""

    def __init__(self, config: TransformerAutoencoderConfig, is_decoder: bool):
        super().__init__()
        norm = (config.hidden_size, config.layer_norm_eps)
        self.dropout, self.activation_dropout = config.dropout, config.activation_dropout
        self.self_attention_norm = nn.LayerNorm(*norm)
        self.self_attention = SelfAttention(config, is_causal=is_decoder)
        self.cross_attention = None
        if is_decoder and config.is_conditional:
            self.cross_attention_norm = nn.LayerNorm(*norm)
            self.cross_attention = CrossAttention(config)
        self.feed_forward_norm = nn.LayerNorm(*norm)
        self.feed_forward_in = nn.Linear(config.hidden_size, config.intermediate_size)
        self.feed_forward_out = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(
        self,
        hidden_states: Tensor,
        bias: Tensor | None,
        encoding: Tensor | None = None,
        encoding_bias: Tensor | None = None,
        cache: Cache | None = None,
        layer_index: int = 0,
        kept: Tensor | None = None,
    ) -> Tensor:
        """(B, T, H) to (B, T, H); see [`Stack.forward`] for the arguments."""
        added, _ = self.self_attention(self.self_attention_norm(hidden_states), bias, cache, layer_index)
        hidden_states = hidden_states + F.dropout(added, self.dropout, self.training)
        if self.cross_attention is not None:
            normed = self.cross_attention_norm(hidden_states)
            added, _ = self.cross_attention(normed, encoding, encoding_bias, cache, layer_index)
            hidden_states = hidden_states + F.dropout(added, self.dropout, self.training)
        inner = self.feed_forward_in(self.feed_forward_norm(hidden_states)).relu()
        added = self.feed_forward_out(F.dropout(inner, self.activation_dropout, self.training))
        if kept is not None:
            added = added * kept
        return hidden_states + F.dropout(added, self.dropout, self.training)


class Stack(nn.Module):
    """Layers and a last norm: the decoder, or what an encoder is made of."""

    def __init__(self, config: TransformerAutoencoderConfig, is_decoder: bool):
        super().__init__()
        count = config.num_hidden_layers if is_decoder else config.num_layers_of_encoders
        self.layers = nn.ModuleList(TransformerAutoencoderLayer(config, is_decoder) for _ in range(count))
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = config.dropout

    def forward(
        self,
        hidden_states: Tensor,
        bias: Tensor | None,
        encoding: Tensor | None = None,
        encoding_bias: Tensor | None = None,
        cache: Cache | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """
        Args:
            hidden_states (`Tensor` of shape (B, T, H)): embeddings with their timing signal.
            bias (`Tensor`, *optional*, broadcastable to (B, 1, T, S)): added to the logits of self-attention.
            encoding (`Tensor` of shape (B, S, encoding_size), *optional*): what a decoder listens to.
            encoding_bias (`Tensor` of shape (B, 1, 1, S), *optional*): added to the logits of attending to it.
            cache (`Cache`, *optional*): what is known of the events before.
            kept (`Tensor` of shape (B, T, 1), *optional*): 0 where feed-forward layers shall add nothing.

        Returns:
            The output after the last norm, (B, T, H).
        """
        hidden_states = F.dropout(hidden_states, self.dropout, self.training)
        for index, layer in enumerate(self.layers):
            hidden_states = layer(hidden_states, bias, encoding, encoding_bias, cache, index, kept)
        return self.norm(hidden_states)


class EventEncoder(Stack):
    """Reads a whole performance or melody: every event hears all others."""

    def __init__(self, config: TransformerAutoencoderConfig, vocab_size: int):
        super().__init__(config, is_decoder=False)
        self.embedding = EventEmbedding(vocab_size, config.hidden_size)
        self.has_quirks = config.original_quirks
        self.timing = TimingSignal(config)

    def forward(self, ids: Tensor, mask: Tensor | None, offset: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            ids (`Tensor` of shape (B, S)): events, padded with 0 at the end.
            mask (`Tensor` of shape (B, S), *optional*): 0 where padded; default: where the id is 0.
            offset (`Tensor` of shape (H,)): added to all embeddings.

        Returns:
            (B, S, H), and the bias that keeps others from attending to padding, (B, 1, 1, S).
        """
        heard = ids != 0 if mask is None else (ids != 0) & mask.bool()
        hidden_states = self.embedding(ids * heard) + offset
        hidden_states = hidden_states + self.timing(ids.shape[1], hidden_states)
        bias = torch.zeros_like(heard, dtype=hidden_states.dtype).masked_fill_(~heard, MASKED)[:, None, None]
        kept = heard.unsqueeze(-1).to(hidden_states.dtype) if self.has_quirks else None
        return super().forward(hidden_states, bias, kept=kept), bias

    def mean(self, output: Tensor, bias: Tensor) -> Tensor:
        """The style (B, H): the mean over time of what `forward` gave; the original's runs over padding, too."""
        if self.has_quirks:
            return output.mean(dim=1)
        heard = (bias[:, 0, 0] == 0).unsqueeze(-1).to(output.dtype)
        return (output * heard).sum(dim=1) / heard.sum(dim=1).clamp(min=1)

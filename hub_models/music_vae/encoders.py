"""Encoders: a batch of sequences to one embedding each."""

import torch
from torch import Tensor, nn

from .configuration_music_vae import MusicVAEConfig
from .recurrent import LSTM


class BidirectionalEncoder(nn.Module):
    """Bidirectional LSTM; a sequence's embedding is the last state of both directions (paper section 3.1).

    Args:
        input_size (`int`): width of one step.
        hidden_sizes (`list[int]`): units per direction of each layer.
        dropout (`float`): on the input of every layer.
    """

    def __init__(self, input_size: int, hidden_sizes: list[int], dropout: float = 0.0):
        super().__init__()
        self.lstm = LSTM(input_size, hidden_sizes, bidirectional=True, dropout=dropout)
        self.embedding_size = 2 * hidden_sizes[-1]

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, input_size), and the number of valid steps (B,) of each, at least 1, to (B, 2 * hidden_size)."""
        _, (hidden, _) = self.lstm([inputs], lengths=lengths)
        # hidden: (layers * 2, B, hidden_size); the last two are the last layer's forward and backward final states.
        return torch.cat([hidden[-2], hidden[-1]], dim=-1)


class HierarchicalEncoder(nn.Module):
    """Two bidirectional encoders: one reads each segment of the sequence from a zero state, the other the segments'
    embeddings.

    Args:
        input_size (`int`): width of one step.
        hidden_sizes (`list[int]`): units per direction of each layer, on both levels.
        num_segments (`int`): equal parts that a sequence is cut into.
        dropout (`float`): on the input of every layer.
    """

    def __init__(self, input_size: int, hidden_sizes: list[int], num_segments: int, dropout: float = 0.0):
        super().__init__()
        self.num_segments = num_segments
        segment_encoder = BidirectionalEncoder(input_size, hidden_sizes, dropout)
        sequence_encoder = BidirectionalEncoder(segment_encoder.embedding_size, hidden_sizes, dropout)
        self.levels = nn.ModuleList([segment_encoder, sequence_encoder])
        self.embedding_size = sequence_encoder.embedding_size

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, input_size), and the valid steps (B, num_segments) of each segment, at least 1, to (B, 2 * hidden_size).
        All segments of the batch are read at once."""
        segments = inputs.unflatten(1, (self.num_segments, -1)).flatten(0, 1)
        embeddings = self.levels[0](segments, None if lengths is None else lengths.flatten())
        return self.levels[1](embeddings.unflatten(0, (-1, self.num_segments)))


def build_encoder(config: MusicVAEConfig, control_size: int) -> BidirectionalEncoder | HierarchicalEncoder:
    """The encoder of a configuration; it reads `control_size` values beside the input of every step."""
    input_size = config.input_size + control_size
    if config.encoder_level_lengths is None:
        return BidirectionalEncoder(input_size, config.encoder_hidden_sizes, config.dropout)
    return HierarchicalEncoder(input_size, config.encoder_hidden_sizes, config.encoder_level_lengths[1], config.dropout)

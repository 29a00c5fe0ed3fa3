"""Encoders: a batch of sequences to one embedding each."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

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
        """(B, T, input_size), and the number of valid steps (B,) of each, to (B, 2 * hidden_size)."""
        inputs = self.lstm.input_dropout(inputs)
        if lengths is not None:
            inputs = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(inputs)
        # hidden: (layers * 2, B, hidden_size); the last two are the last layer's forward and backward final states.
        return torch.cat([hidden[-2], hidden[-1]], dim=-1)

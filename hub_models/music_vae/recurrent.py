"""Recurrent pieces that encoders and decoders share: torch's LSTM, run whole or one step at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .recurrence import Packing, Recurrence

LSTMState = list[tuple[Tensor, Tensor]]
"""One (hidden, cell) pair per layer."""


class LSTM(nn.LSTM):
    """`nn.LSTM` with the original's single bias per gate: torch's second bias stays zero and is not trained.

    The original adds 1 to the forget gate at run time; here that 1 is part of `bias_ih` (see `_init_weights` of the model
    and the converter). What it reads comes in parts, because most of it is one-hot or the same at every step: in training on
    CPUs, the products with such parts are look-ups, or made once, and steps run with [`Recurrence`].

    Args:
        input_size (`int`): width of one step, all parts together.
        hidden_sizes (`list[int]`): units of each layer.
        bidirectional (`bool`): read backwards, too.
        dropout (`float`): on the input of every layer.
    """

    def __init__(self, input_size: int, hidden_sizes: list[int], bidirectional: bool = False, dropout: float = 0.0):
        num_layers = len(hidden_sizes)
        # nn.LSTM drops between layers only; the dropout on the input of the first layer is ours.
        between_layers = dropout if num_layers > 1 else 0.0
        super().__init__(
            input_size,
            hidden_sizes[0],
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=between_layers,
        )
        self.input_dropout = nn.Dropout(dropout)
        self.freeze_second_bias()

    def freeze_second_bias(self):
        """Keeps torch's second bias, which is zero, out of training."""
        for name, parameter in self.named_parameters():
            if name.startswith("bias_hh"):
                parameter.requires_grad_(False)

    def weights(self, layer: int, suffix: str = "") -> tuple[Tensor, Tensor, Tensor]:
        """Input weight, recurrent weight and bias of a layer; the suffix `"_reverse"` means its backward direction."""
        name = f"l{layer}{suffix}"
        bias = getattr(self, f"bias_ih_{name}") + getattr(self, f"bias_hh_{name}")
        return getattr(self, f"weight_ih_{name}"), getattr(self, f"weight_hh_{name}"), bias

    def forward(
        self, parts: list[Tensor], state: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As `nn.LSTM`.

        Args:
            parts (`list[Tensor]`): inputs side by side, each (B, T, size), or (B, 1, size) where it is the same at every
                step; at least one has all T steps.
            state (`tuple[Tensor, Tensor]`, *optional*): hidden and cell, both (layers * directions, B, hidden_size).
            lengths (`Tensor` of shape (B,), *optional*): valid steps of each sequence, at least 1; the outputs behind them
                are zeros.
        """
        on_cpu = parts[0].device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        if on_cpu and torch.is_grad_enabled():
            return self._forward_by_steps(parts, state, lengths)
        steps = max(part.shape[1] for part in parts)
        inputs = self.input_dropout(torch.cat([part.expand(-1, steps, -1) for part in parts], dim=-1))
        if lengths is None:
            return super().forward(inputs, state)
        inputs = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, state = super().forward(inputs, state)
        return pad_packed_sequence(outputs, batch_first=True, total_length=steps)[0], state

    def _forward_by_steps(
        self, parts: list[Tensor], state: tuple[Tensor, Tensor] | None, lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        directions = ["", "_reverse"] if self.bidirectional else [""]
        batch_size, steps = len(parts[0]), max(part.shape[1] for part in parts)
        packing = Packing(batch_size, steps, None if lengths is None else lengths.cpu())
        if state is None:
            shape = (self.num_layers * len(directions), batch_size, self.hidden_size)
            state = (parts[0].new_zeros(shape), parts[0].new_zeros(shape))
        if self.training and self.input_dropout.p > 0:  # a mask of its own for every step
            parts = [part.expand(-1, steps, -1) for part in parts]
        rows = [packing.pack(part) if part.shape[1] == steps else part.squeeze(1) for part in parts]
        rows = [self.input_dropout(part) for part in rows]
        last_hidden, last_cell = [], []
        for layer in range(self.num_layers):
            outputs = []
            for suffix in directions:
                index = len(last_hidden)
                weight_ih, weight_hh, bias = self.weights(layer, suffix)
                gates = input_gates(rows, weight_ih, bias, packing)
                if suffix:
                    gates = packing.reverse(gates)
                first = (part[index][packing.order] for part in state)
                hidden, cell = Recurrence.apply(gates, weight_hh, *first, packing.batch_sizes)
                last_hidden.append(packing.last(hidden))
                last_cell.append(packing.last(cell))
                outputs.append(packing.reverse(hidden) if suffix else hidden)
            output = torch.cat(outputs, dim=-1)
            rows = [F.dropout(output, self.dropout, self.training)]
        return packing.unpack(output), (torch.stack(last_hidden), torch.stack(last_cell))


def input_gates(parts: list[Tensor], weight: Tensor, bias: Tensor, packing: Packing) -> Tensor:
    """`linear(concatenated parts, weight, bias)` of packed steps: parts (P, size), or (B, size) where they are the same at
    every step, to (P, features).

    A part that is mostly zeros, such as one-hot events, is looked up; one that is the same at every step is multiplied once.
    """
    gates, constant = None, bias
    columns = weight.split([part.shape[-1] for part in parts], dim=-1)
    for part, weight_columns in zip(parts, columns, strict=True):
        is_sparse = not part.requires_grad and 4 * int(part.count_nonzero()) < part.numel()
        product = _sparse_linear(part, weight_columns) if is_sparse else F.linear(part, weight_columns)
        if len(part) == packing.size:
            gates = product if gates is None else gates + product
        else:
            constant = constant + product
    return gates + (bias if constant is bias else packing.spread(constant))


def _sparse_linear(inputs: Tensor, weight: Tensor) -> Tensor:
    """`linear(inputs, weight)` for inputs (..., size) that are mostly zeros: a sum of the columns that count."""
    rows = inputs.flatten(0, -2)
    places = rows.nonzero()
    counts = torch.bincount(places[:, 0], minlength=len(rows))
    sums = F.embedding_bag(
        places[:, 1],
        weight.t().contiguous(),
        counts.cumsum(0) - counts,
        mode="sum",
        per_sample_weights=rows[places[:, 0], places[:, 1]],
    )
    return sums.view(*inputs.shape[:-1], -1)


class LSTMStepper:
    """Runs an [`LSTM`] one step at a time, with the part of the first layer's input that never changes computed once.

    States and gates are kept as (features, batch): on CPUs, products of a weight with a narrow matrix of columns run up to
    twice as fast as those of a few rows with a transposed weight, and in blocks of rows faster still
    (`benchmarks/music_vae_sampling.py`).

    Args:
        lstm (`LSTM`): the recurrent layers, in evaluation mode (no dropout).
        constant (`Tensor` of shape (B, constant_size)): the inputs that are the same at every step. In the first layer's
            input they follow the `varying_size` changing ones, and controls follow them.
    """

    BLOCK_ROWS = 1024
    # A few columns take twice the time of sixteen (one column, which is a product with a vector, does not).
    LEAST_COLUMNS = 16

    def __init__(self, lstm: LSTM, constant: Tensor, varying_size: int):
        on_cpu = constant.device.type == "cpu"
        self.least_columns = self.LEAST_COLUMNS if on_cpu else 1
        self._set_batch_size(len(constant))
        weights = [lstm.weights(layer) for layer in range(lstm.num_layers)]
        first_weight, _, first_bias = weights[0]
        controls_from = varying_size + constant.shape[1]
        # The contribution of z to every gate: one product instead of one per step.
        constant_weight = first_weight[:, varying_size:controls_from]
        self.constant_gates = self._columns(torch.addmm(first_bias, constant, constant_weight.t()))
        self.varying_weight = first_weight[:, :varying_size].contiguous()
        self.control_weight = first_weight[:, controls_from:]
        rows = self.BLOCK_ROWS if on_cpu else len(first_bias)
        self.layers = [
            list(zip(weight_ih.split(rows), weight_hh.split(rows), bias.unsqueeze(1).split(rows), strict=True))
            for weight_ih, weight_hh, bias in weights
        ]

    def start(self, state: LSTMState) -> LSTMState:
        """The state before the first step: (hidden, cell) by layer, both (B, hidden_size), as [`step`] takes it."""
        return [(self._columns(hidden), self._columns(cell)) for hidden, cell in state]

    def _set_batch_size(self, batch_size: int):
        self.batch_size = batch_size
        self.padding = max(self.least_columns - batch_size, 0) if batch_size > 1 else 0

    def keep(self, kept: Tensor, state: LSTMState) -> LSTMState:
        """Goes on with some rows of the batch only: their indices (kept,), and the state of all, to their state."""
        self._set_batch_size(len(kept))
        columns = F.pad(kept, (0, self.padding))  # whatever the padding holds: nobody reads it
        self.constant_gates = self.constant_gates.index_select(1, columns)
        return [(hidden.index_select(1, columns), cell.index_select(1, columns)) for hidden, cell in state]

    def _columns(self, rows: Tensor) -> Tensor:
        """(B, features) to (features, columns): B and the padding."""
        return F.pad(rows.t(), (0, self.padding)) if self.padding else rows.t()

    def step(self, varying_gates: Tensor | None, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One step.

        Args:
            varying_gates (`Tensor` of shape (B, 4 * hidden_size), *optional*): the changing input already multiplied by
                `varying_weight`, and the controls by `control_weight`; None where both are zero.
            state (`LSTMState`): that of the step before, or [`start`].

        Returns:
            The output (B, hidden_size) of the last layer, and the new state.
        """
        new_state, output = [], None
        for blocks, (hidden, cell) in zip(self.layers, state, strict=True):
            if output is None:
                gates = torch.cat([weight_hh @ hidden for _, weight_hh, _ in blocks]) + self.constant_gates
                if varying_gates is not None:
                    gates = gates + self._columns(varying_gates)
            else:
                gates = torch.cat(
                    [torch.addmm(torch.addmm(bias, ih, output), hh, hidden) for ih, hh, bias in blocks],
                )
            input_gate, forget_gate, candidate, output_gate = gates.chunk(4)
            cell = torch.sigmoid(forget_gate) * cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
            output = torch.sigmoid(output_gate) * torch.tanh(cell)
            new_state.append((output, cell))
        return output.t()[: self.batch_size], new_state


class LatentProjection(nn.Linear):
    """A dense layer to or from the latent space; the original starts it near zero, N(0, 0.001)."""

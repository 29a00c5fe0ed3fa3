"""Recurrent pieces that encoders and decoders share: torch's LSTM, run whole or one step at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pack_padded_sequence

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
            lengths (`Tensor` of shape (B,), *optional*): valid steps of each sequence; the outputs are packed then.
        """
        on_cpu = parts[0].device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        if lengths is None and on_cpu and torch.is_grad_enabled():
            return self._forward_by_steps(parts, state)
        steps = max(part.shape[1] for part in parts)
        inputs = self.input_dropout(torch.cat([part.expand(-1, steps, -1) for part in parts], dim=-1))
        if lengths is not None:
            inputs = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return super().forward(inputs, state)

    def _forward_by_steps(
        self, parts: list[Tensor], state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        directions = ["", "_reverse"] if self.bidirectional else [""]
        if state is None:
            shape = (self.num_layers * len(directions), len(parts[0]), self.hidden_size)
            state = (parts[0].new_zeros(shape), parts[0].new_zeros(shape))
        if self.training and self.input_dropout.p > 0:  # a mask of its own for every step
            steps = max(part.shape[1] for part in parts)
            parts = [part.expand(-1, steps, -1) for part in parts]
        parts = [self.input_dropout(part) for part in parts]
        last_hidden, last_cell = [], []
        for layer in range(self.num_layers):
            outputs = []
            for suffix in directions:
                index = len(last_hidden)
                weight_ih, weight_hh, bias = self.weights(layer, suffix)
                gates = input_gates(parts, weight_ih, bias)
                if suffix:
                    gates = gates.flip(0)
                hidden, cell = Recurrence.apply(gates, weight_hh, state[0][index], state[1][index])
                last_hidden.append(hidden[-1])
                last_cell.append(cell)
                outputs.append(hidden.flip(0) if suffix else hidden)
            output = torch.cat(outputs, dim=-1).transpose(0, 1)
            parts = [F.dropout(output, self.dropout, self.training)]
        return output, (torch.stack(last_hidden), torch.stack(last_cell))


def input_gates(parts: list[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """`linear(concatenated parts, weight, bias)` with the steps first: parts (B, T or 1, size) to (T, B, features).

    A part that is mostly zeros, such as one-hot events, is looked up; one that is the same at every step is multiplied once.
    """
    gates = bias
    columns = weight.split([part.shape[-1] for part in parts], dim=-1)
    for part, weight_columns in zip(parts, columns, strict=True):
        part = part.transpose(0, 1)
        is_sparse = not part.requires_grad and 4 * int(part.count_nonzero()) < part.numel()
        gates = gates + (_sparse_linear(part, weight_columns) if is_sparse else F.linear(part, weight_columns))
    return gates


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


class Recurrence(torch.autograd.Function):
    """The steps of an LSTM layer whose inputs have been multiplied already. On CPUs, about a third faster than `nn.LSTM`,
    which keeps one product per step for the gradient of the recurrent weight where one for all steps will do."""

    @staticmethod
    def forward(ctx, gates: Tensor, weight: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Gates (T, B, 4 * hidden_size) in the order input, forget, candidate, output, the recurrent weight
        (4 * hidden_size, hidden_size), and the first hidden and cell (B, hidden_size) to the hidden of every step
        (T, B, hidden_size) and the last cell."""
        steps, size = len(gates), hidden.shape[-1]
        activated = torch.empty_like(gates)
        hiddens = gates.new_empty(steps + 1, *hidden.shape)
        cells, squashed = torch.empty_like(hiddens), torch.empty_like(hiddens[1:])
        hiddens[0], cells[0] = hidden, cell
        for step in range(steps):
            torch.addmm(gates[step], hiddens[step], weight.t(), out=activated[step])
            input_gate, forget_gate, candidate, output_gate = activated[step].split(size, dim=-1)
            activated[step][:, : 2 * size].sigmoid_()
            candidate.tanh_()
            output_gate.sigmoid_()
            torch.mul(forget_gate, cells[step], out=cells[step + 1])
            cells[step + 1].addcmul_(input_gate, candidate)
            torch.tanh(cells[step + 1], out=squashed[step])
            torch.mul(output_gate, squashed[step], out=hiddens[step + 1])
        ctx.save_for_backward(activated, hiddens, cells, squashed, weight)
        return hiddens[1:], cells[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx, hiddens_gradient: Tensor, cell_gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Back through time; the gradient of the weight is one product over all steps."""
        activated, hiddens, cells, squashed, weight = ctx.saved_tensors
        gates_gradient = torch.empty_like(activated)
        hidden_gradient = torch.zeros_like(hiddens[0])
        for step in reversed(range(len(activated))):
            gates = activated[step].chunk(4, dim=-1)
            input_gate, forget_gate, candidate, output_gate = gates
            to_input, to_forget, to_candidate, to_output = gates_gradient[step].chunk(4, dim=-1)
            hidden_gradient = hidden_gradient + hiddens_gradient[step]
            cell_gradient = cell_gradient + hidden_gradient * output_gate * (1 - squashed[step].square())
            torch.mul(hidden_gradient, squashed[step], out=to_output)
            torch.mul(cell_gradient, candidate, out=to_input)
            torch.mul(cell_gradient, cells[step], out=to_forget)
            torch.mul(cell_gradient, input_gate, out=to_candidate)
            cell_gradient = cell_gradient * forget_gate
            for gradient, gate in ((to_input, input_gate), (to_forget, forget_gate), (to_output, output_gate)):
                gradient.mul_(gate * (1 - gate))
            to_candidate.mul_(1 - candidate.square())
            hidden_gradient = gates_gradient[step] @ weight
        weight_gradient = gates_gradient.flatten(0, 1).t() @ hiddens[:-1].flatten(0, 1)
        return gates_gradient, weight_gradient, hidden_gradient, cell_gradient


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
        self.batch_size = len(constant)
        self.padding = max(self.LEAST_COLUMNS - self.batch_size, 0) if on_cpu and self.batch_size > 1 else 0
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

"""The steps of an LSTM layer in training on CPUs: sequences of different lengths packed, and a backward pass of its own."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Packing:
    """The valid steps of a batch in one row each: all first steps, all second steps, ...; within a step the longest
    sequences come first, so that those which go on are always the first rows.

    Args:
        lengths (`Tensor` of shape (B,)): valid steps of each sequence, at least 1.
        steps (`int`): steps T that the batch has room for.

    Attributes:
        batch_sizes (`list[int]`): how many sequences have a first step, a second step, ...
        order (`Tensor` of shape (B,)): the sequences from the longest to the shortest.
        size (`int`): P, the number of valid steps.
    """

    def __init__(self, lengths: Tensor, steps: int):
        self.steps = steps
        self.order = lengths.argsort(descending=True, stable=True)
        self.inverse = self.order.argsort()
        lengths = lengths[self.order]
        valid = lengths.unsqueeze(0) > torch.arange(int(lengths[0])).unsqueeze(1)
        self.batch_sizes = valid.sum(dim=1).tolist()
        self._steps, places = valid.nonzero(as_tuple=True)
        self._rows = self.order[places]
        self.size = len(places)
        offsets = valid.sum(dim=1).cumsum(0) - valid.sum(dim=1)
        self._last = offsets[lengths - 1] + torch.arange(len(lengths))
        # The same sequences backwards: each from its own last step.
        self._reversed = offsets[lengths[places] - 1 - self._steps] + places

    def pack(self, part: Tensor) -> Tensor:
        """Values (B, T, F) as rows (P, F)."""
        return part[self._rows, self._steps]

    def spread(self, values: Tensor) -> Tensor:
        """Values (B, F), the same at every step of a sequence, as rows (P, F)."""
        return values[self._rows]

    def reverse(self, rows: Tensor) -> Tensor:
        """Rows (P, F) with the steps of each sequence in reverse; twice gives the same again."""
        return rows[self._reversed]

    def last(self, rows: Tensor) -> Tensor:
        """The rows (B, F) of the last valid steps, in the order of the batch."""
        return rows[self._last][self.inverse]

    def unpack(self, rows: Tensor) -> Tensor:
        """Rows (P, F) as values (B, T, F), with zeros where no step is valid."""
        values = rows.new_zeros(len(self.order), self.steps, rows.shape[-1])
        return values.index_put((self._rows, self._steps), rows)


class Recurrence(torch.autograd.Function):
    """The steps of an LSTM layer whose inputs have been multiplied already. On CPUs, about a third faster than `nn.LSTM`,
    which keeps one product per step for the gradient of the recurrent weight where one for all steps will do."""

    @staticmethod
    def forward(
        ctx, gates: Tensor, weight: Tensor, hidden: Tensor, cell: Tensor, batch_sizes: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Gates (P, 4 * hidden_size), packed (see [`Packing`]) and in the order input, forget, candidate, output, the
        recurrent weight (4 * hidden_size, hidden_size), and the first hidden and cell (B, hidden_size), the longest
        sequence first, to hidden and cell after every step, both (P, hidden_size)."""
        size = hidden.shape[-1]
        activated = torch.empty_like(gates)
        hiddens, cells = gates.new_empty(len(gates), size), gates.new_empty(len(gates), size)
        squashed, previous = torch.empty_like(cells), torch.empty_like(cells)
        previous_cells = torch.empty_like(cells)
        start = 0
        for count in batch_sizes:
            rows = slice(start, start + count)
            previous[rows], previous_cells[rows] = hidden[:count], cell[:count]
            torch.addmm(gates[rows], hidden[:count], weight.t(), out=activated[rows])
            input_gate, forget_gate, candidate, output_gate = activated[rows].split(size, dim=-1)
            activated[rows, : 2 * size].sigmoid_()
            candidate.tanh_()
            output_gate.sigmoid_()
            torch.mul(forget_gate, cell[:count], out=cells[rows])
            cells[rows].addcmul_(input_gate, candidate)
            torch.tanh(cells[rows], out=squashed[rows])
            torch.mul(output_gate, squashed[rows], out=hiddens[rows])
            hidden, cell = hiddens[rows], cells[rows]
            start += count
        ctx.save_for_backward(activated, previous, previous_cells, squashed, weight)
        ctx.batch_sizes = batch_sizes
        ctx.set_materialize_grads(False)
        return hiddens, cells

    @staticmethod
    @once_differentiable
    def backward(ctx, hiddens_gradient: Tensor | None, cells_gradient: Tensor | None) -> tuple:
        """Back through time; the gradient of the weight is one product over all steps."""
        activated, previous, previous_cells, squashed, weight = ctx.saved_tensors
        size, batch = previous.shape[-1], ctx.batch_sizes[0]
        gates_gradient = torch.empty_like(activated)
        hidden_gradient, cell_gradient = previous.new_zeros(batch, size), previous.new_zeros(batch, size)
        end = len(activated)
        for count in reversed(ctx.batch_sizes):
            rows = slice(end - count, end)
            to_hidden, to_cell = hidden_gradient[:count], cell_gradient[:count]  # what the steps after it ask for
            if hiddens_gradient is not None:
                to_hidden += hiddens_gradient[rows]
            if cells_gradient is not None:
                to_cell += cells_gradient[rows]
            input_gate, forget_gate, candidate, output_gate = activated[rows].split(size, dim=-1)
            to_input, to_forget, to_candidate, to_output = gates_gradient[rows].split(size, dim=-1)
            to_cell += to_hidden * output_gate * (1 - squashed[rows].square())
            torch.mul(to_hidden, squashed[rows], out=to_output)
            torch.mul(to_cell, candidate, out=to_input)
            torch.mul(to_cell, previous_cells[rows], out=to_forget)
            torch.mul(to_cell, input_gate, out=to_candidate)
            to_cell *= forget_gate
            for gradient, gate in ((to_input, input_gate), (to_forget, forget_gate), (to_output, output_gate)):
                gradient.mul_(gate * (1 - gate))
            to_candidate.mul_(1 - candidate.square())
            torch.mm(gates_gradient[rows], weight, out=to_hidden)
            end -= count
        weight_gradient = gates_gradient.t() @ previous
        return gates_gradient, weight_gradient, hidden_gradient, cell_gradient, None

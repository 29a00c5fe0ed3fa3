"""The steps of an LSTM layer in training on CPUs: sequences of different lengths packed, and a backward pass of its own."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Packing:
    """The valid steps of a batch in one row each: all first steps, all second steps, ...; within a step the longest
    sequences come first, so that those which go on are always the first rows.

    Args:
        batch_size, steps (`int`): B sequences, and the T steps that there is room for.
        lengths (`Tensor` of shape (B,), *optional*): valid steps of each sequence, at least 1; None: all.

    Attributes:
        batch_sizes (`list[int]`): how many sequences have a first step, a second step, ...
        order (`Tensor` of shape (B,)): the sequences from the longest to the shortest.
        size (`int`): P, the number of valid steps.
    """

    def __init__(self, batch_size: int, steps: int, lengths: Tensor | None = None):
        self.steps = steps
        self.is_full = lengths is None
        lengths = torch.full((batch_size,), steps) if lengths is None else lengths
        self.order = lengths.argsort(descending=True, stable=True)
        self.inverse = self.order.argsort()
        lengths = lengths[self.order]
        valid = lengths.unsqueeze(0) > torch.arange(int(lengths[0])).unsqueeze(1)
        counts = valid.sum(dim=1)
        self.batch_sizes = counts.tolist()
        self._steps, places = valid.nonzero(as_tuple=True)
        self._rows = self.order[places]
        self.size = len(places)
        offsets = counts.cumsum(0) - counts
        self._last = offsets[lengths - 1] + torch.arange(batch_size)
        # The same sequences backwards: each from its own last step.
        self._reversed = offsets[lengths[places] - 1 - self._steps] + places

    def pack(self, part: Tensor) -> Tensor:
        """Values (B, T, F) as rows (P, F)."""
        return part.transpose(0, 1).flatten(0, 1) if self.is_full else part[self._rows, self._steps]

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
        if self.is_full:
            return rows.unflatten(0, (self.steps, -1)).transpose(0, 1)
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
        size, batch = hidden.shape[-1], len(hidden)
        activated = torch.empty_like(gates)
        # The first rows are those before the first step.
        hiddens, cells = gates.new_empty(batch + len(gates), size), gates.new_empty(batch + len(gates), size)
        squashed = gates.new_empty(len(gates), size)
        hiddens[:batch], cells[:batch] = hidden, cell
        for rows, before, after in _places(batch_sizes):
            torch.addmm(gates[rows], hiddens[before], weight.t(), out=activated[rows])
            input_gate, forget_gate, candidate, output_gate = activated[rows].split(size, dim=-1)
            activated[rows, : 2 * size].sigmoid_()
            candidate.tanh_()
            output_gate.sigmoid_()
            torch.mul(forget_gate, cells[before], out=cells[after])
            cells[after].addcmul_(input_gate, candidate)
            torch.tanh(cells[after], out=squashed[rows])
            torch.mul(output_gate, squashed[rows], out=hiddens[after])
        ctx.save_for_backward(activated, hiddens, cells, squashed, weight)
        ctx.batch_sizes = batch_sizes
        ctx.set_materialize_grads(False)
        return hiddens[batch:], cells[batch:]

    @staticmethod
    @once_differentiable
    def backward(ctx, hiddens_gradient: Tensor | None, cells_gradient: Tensor | None) -> tuple:
        """Back through time; the gradient of the weight is one product over all steps."""
        activated, hiddens, cells, squashed, weight = ctx.saved_tensors
        size, batch = hiddens.shape[-1], ctx.batch_sizes[0]
        gates_gradient = torch.empty_like(activated)
        hidden_gradient, cell_gradient = hiddens.new_zeros(batch, size), hiddens.new_zeros(batch, size)
        places = _places(ctx.batch_sizes)
        for rows, before, _ in reversed(places):
            count = rows.stop - rows.start
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
            torch.mul(to_cell, cells[before], out=to_forget)
            torch.mul(to_cell, input_gate, out=to_candidate)
            to_cell *= forget_gate
            for gradient, gate in ((to_input, input_gate), (to_forget, forget_gate), (to_output, output_gate)):
                gradient.mul_(gate * (1 - gate))
            to_candidate.mul_(1 - candidate.square())
            torch.mm(gates_gradient[rows], weight, out=to_hidden)
        is_full = ctx.batch_sizes[-1] == batch
        previous = hiddens[: len(activated)] if is_full else torch.cat([hiddens[before] for _, before, _ in places])
        return gates_gradient, gates_gradient.t() @ previous, hidden_gradient, cell_gradient, None


def _places(batch_sizes: list[int]) -> list[tuple[slice, slice, slice]]:
    """Where the rows of each step lie among P rows, and among B + P rows that start with those before the first step: the
    rows before it, and after it."""
    places, start, before = [], 0, 0
    for count in batch_sizes:
        after = batch_sizes[0] + start
        places.append((slice(start, start + count), slice(before, before + count), slice(after, after + count)))
        start, before = start + count, after
    return places

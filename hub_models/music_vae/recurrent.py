"""Recurrent pieces that encoders and decoders share: torch's LSTM, run whole or one step at a time."""

import torch
from torch import Tensor, nn

LSTMState = list[tuple[Tensor, Tensor]]
"""One (hidden, cell) pair per layer."""


class LSTM(nn.LSTM):
    """`nn.LSTM` with the original's single bias per gate: torch's second bias stays zero and is not trained.

    The original adds 1 to the forget gate at run time; here that 1 is part of `bias_ih` (see `_init_weights` of the model
    and the converter).
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

    def weights(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Input weight, recurrent weight and bias of a forward layer."""
        bias = getattr(self, f"bias_ih_l{layer}") + getattr(self, f"bias_hh_l{layer}")
        return getattr(self, f"weight_ih_l{layer}"), getattr(self, f"weight_hh_l{layer}"), bias


class LSTMStepper:
    """Runs an [`LSTM`] one step at a time, with the part of the first layer's input that never changes computed once.

    States and gates are kept as (features, batch): on CPUs, products of a weight with a narrow matrix of columns run up to
    twice as fast as those of a few rows with a transposed weight, and in blocks of rows faster still
    (`benchmarks/music_vae_sampling.py`).

    Args:
        lstm (`LSTM`): the recurrent layers, in evaluation mode (no dropout).
        constant (`Tensor` of shape (B, constant_size)): the inputs that are the same at every step; they follow the
            `varying_size` changing ones in the first layer's input.
    """

    BLOCK_ROWS = 1024

    def __init__(self, lstm: LSTM, constant: Tensor, varying_size: int):
        weights = [lstm.weights(layer) for layer in range(lstm.num_layers)]
        first_weight, _, first_bias = weights[0]
        # The contribution of z to every gate: one product instead of one per step.
        self.constant_gates = torch.addmm(first_bias.unsqueeze(1), first_weight[:, varying_size:], constant.t())
        self.varying_weight = first_weight[:, :varying_size].contiguous()
        rows = self.BLOCK_ROWS if constant.device.type == "cpu" else len(first_bias)
        self.layers = [
            list(zip(weight_ih.split(rows), weight_hh.split(rows), bias.unsqueeze(1).split(rows), strict=True))
            for weight_ih, weight_hh, bias in weights
        ]

    def step(self, varying_gates: Tensor | None, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One step.

        Args:
            varying_gates (`Tensor` of shape (B, 4 * hidden_size), *optional*): the changing input already multiplied by
                `varying_weight`; None where that input is zero.
            state (`LSTMState`): (hidden, cell) of the step before by layer, both (hidden_size, B).

        Returns:
            The output (B, hidden_size) of the last layer, and the new state.
        """
        new_state, output = [], None
        for blocks, (hidden, cell) in zip(self.layers, state, strict=True):
            if output is None:
                gates = torch.cat([weight_hh @ hidden for _, weight_hh, _ in blocks]) + self.constant_gates
                if varying_gates is not None:
                    gates = gates + varying_gates.t()
            else:
                gates = torch.cat(
                    [torch.addmm(torch.addmm(bias, ih, output), hh, hidden) for ih, hh, bias in blocks],
                )
            input_gate, forget_gate, candidate, output_gate = gates.chunk(4)
            cell = torch.sigmoid(forget_gate) * cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
            output = torch.sigmoid(output_gate) * torch.tanh(cell)
            new_state.append((output, cell))
        return output.t(), new_state


class LatentProjection(nn.Linear):
    """A dense layer to or from the latent space; the original starts it near zero, N(0, 0.001)."""

"""Decoders: a latent vector to a sequence, teacher-forced in one pass or free-running step by step."""

import torch
from torch import Tensor, nn

from .output_heads import CategoricalHead
from .recurrent import LSTM, LatentProjection, LSTMState, LSTMStepper


class AutoregressiveDecoder(nn.Module):
    """LSTM decoder that sees its previous output and z at every step (paper section 3.1, "flat" decoder).

    Args:
        latent_size (`int`): dimensions of the vector that conditions it.
        hidden_sizes (`list[int]`): units of each layer.
        output_size (`int`): values per step.
        head ([`CategoricalHead`]): what they mean.
        dropout (`float`): on the input of every layer.
    """

    def __init__(
        self, latent_size: int, hidden_sizes: list[int], output_size: int, head: CategoricalHead, dropout: float = 0.0
    ):
        super().__init__()
        self.head = head
        self.hidden_sizes = list(hidden_sizes)
        self.initial_state = LatentProjection(latent_size, 2 * sum(hidden_sizes))
        self.lstm = LSTM(head.feedback_size + latent_size, hidden_sizes, dropout=dropout)
        self.output_projection = nn.Linear(hidden_sizes[-1], output_size)

    def start(self, latents: Tensor) -> LSTMState:
        """The state from which z (B, latent_size) is decoded: (hidden, cell) of shape (B, hidden_size) by layer. The
        original lays it out as c_0, h_0, c_1, h_1, ..."""
        sizes = [size for hidden_size in self.hidden_sizes for size in (hidden_size, hidden_size)]
        parts = torch.tanh(self.initial_state(latents)).split(sizes, dim=-1)
        return [(hidden, cell) for cell, hidden in zip(parts[0::2], parts[1::2], strict=True)]

    def forward(self, latents: Tensor, previous: Tensor) -> Tensor:
        """Teacher-forced: latents (B, latent_size) and the decoder's inputs (B, T, feedback_size), which are the outputs
        one step earlier, to outputs (B, T, output_size)."""
        repeated = latents.unsqueeze(1).expand(-1, previous.shape[1], -1)
        inputs = self.lstm.input_dropout(torch.cat([previous.to(latents.dtype), repeated], dim=-1))
        state = self.start(latents)
        hidden = torch.stack([hidden for hidden, _ in state])
        cell = torch.stack([cell for _, cell in state])
        outputs, _ = self.lstm(inputs, (hidden, cell))
        return self.output_projection(outputs)

    def shift(self, labels: Tensor) -> Tensor:
        """Labels (B, T) to the teacher-forced inputs (B, T, feedback_size): one step later, zeros first."""
        feedback = self.head.feedback(labels)
        return torch.cat([torch.zeros_like(feedback[:, :1]), feedback[:, :-1]], dim=1)

    @torch.no_grad()
    def generate(
        self,
        latents: Tensor,
        length: int,
        temperature: float | None,
        generator: torch.Generator | None = None,
        forced: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Decodes latents (B, latent_size) into labels (B, length), each step reading what the one before gave.

        Args:
            temperature (`float`, *optional*): of the draws; None takes the likeliest event.
            forced (`tuple[Tensor, Tensor]`, *optional*): labels (B, length), and a mask (B, length) that is true where the
                next step reads the model's own output and false where it reads the label: scheduled sampling.
        """
        stepper = LSTMStepper(self.lstm, latents, self.head.feedback_size)
        state = [(hidden.t(), cell.t()) for hidden, cell in self.start(latents)]
        gates, labels = None, []
        for step in range(length):
            hidden, state = stepper.step(gates, state)
            label = self.head.sample(self.output_projection(hidden), temperature, generator)
            if forced is not None:
                label = torch.where(forced[1][:, step], label, forced[0][:, step])
            labels.append(label)
            gates = self.head.project_feedback(label, stepper.varying_weight)
        return torch.stack(labels, dim=1)

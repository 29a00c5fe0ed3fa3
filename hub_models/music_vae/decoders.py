"""Decoders: a latent vector to a sequence, teacher-forced in one pass or free-running step by step.

Every decoder has a `head` that says what its outputs mean, `forward` for the first way and `generate` for the second.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_music_vae import MusicVAEConfig
from .output_heads import OutputHead, build_head
from .recurrent import LSTM, LatentProjection, LSTMState, LSTMStepper


class AutoregressiveDecoder(nn.Module):
    """LSTM decoder that sees its previous output and z at every step (paper section 3.1, "flat" decoder).

    Args:
        latent_size (`int`): dimensions of the vector that conditions it.
        hidden_sizes (`list[int]`): units of each layer.
        head ([`OutputHead`]): what its outputs mean.
        control_size (`int`): width of the controls of a step, 0 for none.
        dropout (`float`): on the input of every layer.
    """

    def __init__(
        self, latent_size: int, hidden_sizes: list[int], head: OutputHead, control_size: int = 0, dropout: float = 0.0
    ):
        super().__init__()
        self.head = head
        self.initial_state = InitialState(latent_size, hidden_sizes)
        self.lstm = LSTM(head.feedback_size + latent_size + control_size, hidden_sizes, dropout=dropout)
        self.output_projection = nn.Linear(hidden_sizes[-1], head.projection_size)

    def forward(self, latents: Tensor, previous: Tensor, controls: Tensor | None = None) -> Tensor:
        """Teacher-forced: latents (B, latent_size), the decoder's inputs (B, T, feedback_size), which are the outputs one
        step earlier, and the controls (B, T, control_size) of each step to outputs (B, T, output_size)."""
        parts = [previous, latents.unsqueeze(1)] + ([] if controls is None else [controls])
        outputs, _ = self.lstm(parts, self.initial_state.stacked(latents))
        return self.output_projection(outputs)

    @torch.no_grad()
    def generate(
        self,
        latents: Tensor,
        length: int,
        temperature: float | None,
        generator: torch.Generator | None = None,
        controls: Tensor | None = None,
        forced: tuple[Tensor, Tensor] | None = None,
        first: Tensor | None = None,
    ) -> Tensor:
        """Decodes latents (B, latent_size) into labels (B, length, ...), each step reading what the one before gave.

        Args:
            temperature (`float`, *optional*): of the draws; None takes the likeliest.
            controls (`Tensor` of shape (B, length, control_size), *optional*): controls of each step.
            forced (`tuple[Tensor, Tensor]`, *optional*): labels (B, length, ...), and a mask (B, length) that is true where
                the next step reads the model's own output and false where it reads the label: scheduled sampling.
            first (`Tensor` of shape (B, ...), *optional*): the label that the first step reads; None: zeros.
        """
        stepper = LSTMStepper(self.lstm, latents, self.head.feedback_size)
        control_gates = None if controls is None else F.linear(controls, stepper.control_weight)
        state = stepper.start(self.initial_state(latents))
        label, labels = first, []
        for step in range(length):
            gates = None if label is None else self.head.project_feedback(label, stepper.varying_weight)
            if control_gates is not None:
                gates = control_gates[:, step] if gates is None else gates + control_gates[:, step]
            hidden, state = stepper.step(gates, state)
            label = self.head.sample(self.output_projection(hidden), temperature, generator)
            if forced is not None:
                own = forced[1][:, step]
                label = torch.where(own.view(-1, *[1] * (label.ndim - 1)), label, forced[0][:, step])
            labels.append(label)
        return torch.stack(labels, dim=1)


class SplitDecoder(nn.Module):
    """One complete decoder for each part of a step (melody, bass, drums), which all see the same latent vector; each reads
    back its own part only.

    Args:
        latent_size, hidden_sizes, control_size, dropout: of each [`AutoregressiveDecoder`].
        head ([`MultiCategoricalHead`]): of the parts together.
    """

    def __init__(
        self, latent_size: int, hidden_sizes: list[int], head: OutputHead, control_size: int = 0, dropout: float = 0.0
    ):
        super().__init__()
        self.head = head
        self.parts = nn.ModuleList(
            AutoregressiveDecoder(latent_size, hidden_sizes, part, control_size, dropout) for part in head.parts
        )

    def forward(self, latents: Tensor, previous: Tensor, controls: Tensor | None = None) -> Tensor:
        """As [`AutoregressiveDecoder.forward`], with inputs and outputs of the parts side by side."""
        slices = previous.split(self.head.output_sizes, dim=-1)
        outputs = [part(latents, inputs, controls) for part, inputs in zip(self.parts, slices, strict=True)]
        return torch.cat(outputs, dim=-1)

    def generate(
        self,
        latents: Tensor,
        length: int,
        temperature: float | None,
        generator: torch.Generator | None = None,
        controls: Tensor | None = None,
        forced: tuple[Tensor, Tensor] | None = None,
        first: Tensor | None = None,
    ) -> Tensor:
        """As [`AutoregressiveDecoder.generate`], one part after the other: labels (B, length, parts)."""
        labels = [
            part.generate(
                latents,
                length,
                temperature,
                generator,
                controls,
                None if forced is None else (forced[0][..., index], forced[1]),
                None if first is None else first[..., index],
            )
            for index, part in enumerate(self.parts)
        ]
        return torch.stack(labels, dim=-1)


class HierarchicalDecoder(nn.Module):
    """A conductor turns z into one embedding per segment, and a core decoder starts anew from each (paper section 3.2).

    z reaches the core decoder through the embeddings alone. All the conductor reads at its steps is a zero.

    Args:
        latent_size (`int`): dimensions of z.
        conductor_hidden_sizes (`list[int]`): units of each layer of the conductor; the last is the size of an embedding.
        core ([`AutoregressiveDecoder`] or [`SplitDecoder`]): decodes a segment from its embedding.
        num_segments, segment_length (`int`): number of segments, and steps of each.
    """

    def __init__(
        self,
        latent_size: int,
        conductor_hidden_sizes: list[int],
        core: "AutoregressiveDecoder | SplitDecoder",
        num_segments: int,
        segment_length: int,
    ):
        super().__init__()
        self.num_segments = num_segments
        self.segment_length = segment_length
        self.initial_state = InitialState(latent_size, conductor_hidden_sizes)
        self.conductor = LSTM(1, conductor_hidden_sizes)
        self.core = core

    @property
    def head(self) -> OutputHead:
        """The core decoder's."""
        return self.core.head

    def conduct(self, latents: Tensor) -> Tensor:
        """z (B, latent_size) to embeddings (B, num_segments, embedding_size)."""
        silence = latents.new_zeros(len(latents), self.num_segments, 1)
        return self.conductor([silence], self.initial_state.stacked(latents))[0]

    def forward(self, latents: Tensor, previous: Tensor, controls: Tensor | None = None) -> Tensor:
        """As [`AutoregressiveDecoder.forward`]; all segments of the batch are decoded at once, as B * num_segments rows.
        The first step of a segment reads the label before it, the last of the segment before."""
        outputs = self.core(
            self.conduct(latents).flatten(0, 1),
            self._segments(previous).flatten(0, 1),
            None if controls is None else self._segments(controls).flatten(0, 1),
        )
        return outputs.view(*previous.shape[:2], -1)

    @torch.no_grad()
    def generate(
        self,
        latents: Tensor,
        length: int,
        temperature: float | None,
        generator: torch.Generator | None = None,
        controls: Tensor | None = None,
        forced: tuple[Tensor, Tensor] | None = None,
        first: Tensor | None = None,
    ) -> Tensor:
        """As [`AutoregressiveDecoder.generate`], segment by segment, each reading the last label of the one before."""
        segments = []
        for index, embedding in enumerate(self.conduct(latents).unbind(1)):
            start = index * self.segment_length
            steps = slice(start, min(start + self.segment_length, length))
            if start >= length:
                break
            labels = self.core.generate(
                embedding,
                steps.stop - start,
                temperature,
                generator,
                None if controls is None else controls[:, steps],
                None if forced is None else (forced[0][:, steps], forced[1][:, steps]),
                first,
            )
            segments.append(labels)
            first = labels[:, -1]
        return torch.cat(segments, dim=1)

    def _segments(self, sequences: Tensor) -> Tensor:
        """(B, T, ...) to (B, num_segments, segment_length, ...)."""
        return sequences.unflatten(1, (self.num_segments, self.segment_length))


class InitialState(LatentProjection):
    """The first (hidden, cell) of every layer of an LSTM, from a latent vector through a dense layer and a tanh."""

    def __init__(self, latent_size: int, hidden_sizes: list[int]):
        super().__init__(latent_size, 2 * sum(hidden_sizes))
        self.hidden_sizes = list(hidden_sizes)

    def forward(self, latents: Tensor) -> LSTMState:
        """z (B, latent_size) to (hidden, cell) of shape (B, hidden_size) by layer. The original lays them out as
        c_0, h_0, c_1, h_1, ..."""
        sizes = [size for hidden_size in self.hidden_sizes for size in (hidden_size, hidden_size)]
        parts = torch.tanh(super().forward(latents)).split(sizes, dim=-1)
        return [(hidden, cell) for cell, hidden in zip(parts[0::2], parts[1::2], strict=True)]

    def stacked(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The same as `nn.LSTM` takes it: hidden and cell, both (layers, B, hidden_size)."""
        hidden, cell = zip(*self(latents), strict=True)
        return torch.stack(hidden), torch.stack(cell)


def build_decoder(config: MusicVAEConfig, control_size: int) -> "AutoregressiveDecoder | SplitDecoder | HierarchicalDecoder":
    """The decoder of a configuration; it reads `control_size` values beside its own output at every step."""
    kind = SplitDecoder if config.split_decoder else AutoregressiveDecoder
    head = build_head(config)
    if config.decoder_level_lengths is None:
        return kind(config.latent_size, config.decoder_hidden_sizes, head, control_size, config.dropout)
    conductor_hidden_sizes = config.conductor_hidden_sizes or config.decoder_hidden_sizes
    core = kind(conductor_hidden_sizes[-1], config.decoder_hidden_sizes, head, control_size, config.dropout)
    return HierarchicalDecoder(config.latent_size, conductor_hidden_sizes, core, *config.decoder_level_lengths)

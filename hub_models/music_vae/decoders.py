"""Decoders: a latent vector to a sequence, teacher-forced in one pass or free-running step by step.

Every decoder has a `head` that says what its outputs mean, `forward` for the first way and `generate` for the second.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_music_vae import MusicVAEConfig
from .output_heads import PADDING, OutputHead, build_head
from .recurrent import LSTM, LatentProjection, LSTMState, LSTMStepper
from .timed_controls import ControlCursor, TimedControls
from .track_grammar import TrackGrammar


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

    def forward(
        self, latents: Tensor, previous: Tensor, controls: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Teacher-forced: latents (B, latent_size), the decoder's inputs (B, T, feedback_size), which are the outputs one
        step earlier, and the controls (B, T, control_size) of each step to outputs (B, T, output_size); zeros behind the
        `lengths` (B,) where they are given."""
        parts = [previous, latents.unsqueeze(1)] + ([] if controls is None else [controls])
        hidden, _ = self.lstm(parts, self.initial_state.stacked(latents), lengths)
        if lengths is None:
            return self.output_projection(hidden)
        valid = torch.arange(hidden.shape[1], device=hidden.device) < lengths.to(hidden.device).unsqueeze(-1)
        places = valid.nonzero(as_tuple=True)
        projected = self.output_projection(hidden[places])
        return projected.new_zeros(*valid.shape, projected.shape[-1]).index_put(places, projected)

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
        end_token: int | None = None,
    ) -> Tensor:
        """Decodes latents (B, latent_size) into labels (B, length, ...), each step reading what the one before gave.

        Args:
            temperature (`float`, *optional*): of the draws; None takes the likeliest.
            controls (`Tensor` of shape (B, length, control_size), *optional*): controls of each step.
            forced (`tuple[Tensor, Tensor]`, *optional*): labels (B, length, ...), and a mask (B, length) that is true where
                the next step reads the model's own output and false where it reads the label: scheduled sampling.
            first (`Tensor` of shape (B, ...), *optional*): the label that the first step reads; None: zeros.
            end_token (`int`, *optional*): stop as soon as every row has written it, before `length`; rows that have go on
                until then, as in the original. See [`generate_until`] for rows that do not wait for each other.
        """
        stepper = LSTMStepper(self.lstm, latents, self.head.feedback_size)
        control_gates = None if controls is None else F.linear(controls, stepper.control_weight)
        state = stepper.start(self.initial_state(latents))
        label, labels = first, []
        ended = torch.zeros(len(latents), dtype=torch.bool, device=latents.device)
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
            if end_token is not None:
                ended |= label == end_token
                if bool(ended.all()):
                    break
        return torch.stack(labels, dim=1)

    @torch.no_grad()
    def generate_until(
        self,
        latents: Tensor,
        draws: Tensor,
        end_token: int,
        temperature: float | None,
        controls: Tensor | TimedControls | None = None,
        items: Tensor | None = None,
        first: Tensor | None = None,
        grammar: TrackGrammar | None = None,
        first_temperature: float | None = None,
        first_events: Tensor | None = None,
    ) -> Tensor:
        """Decodes latents (B, latent_size) into labels (B, length), each row until it writes `end_token`; the rest is
        PADDING. Rows that have ended are no longer computed, and no row knows of the others.

        Args:
            draws (`Tensor` of shape (B, length)): uniform numbers from 0 to 1 that decide what is sampled.
            temperature (`float`, *optional*): of the draws; None takes the likeliest.
            controls (`Tensor` of shape (B, length, control_size) or [`TimedControls`], *optional*): by step, or by time.
            items (`Tensor` of shape (B,), *optional*): which item of timed controls each row reads; its own by default.
            first (`Tensor` of shape (B,), *optional*): the label that the first step reads; None: zeros.
            grammar ([`TrackGrammar`], *optional*): of these rows, new; only what it finds legal is drawn.
            first_temperature (`float`, *optional*): of the first draw of each row; None: `temperature`.
            first_events (`Tensor` of shape (B,), *optional*): what each row begins with; PADDING where that is drawn.
        """
        stepper = LSTMStepper(self.lstm, latents, self.head.feedback_size)
        state = stepper.start(self.initial_state(latents))
        labels = torch.full(draws.shape, PADDING, device=latents.device)
        rows = torch.arange(len(latents), device=latents.device)
        cursor = None if controls is None else ControlCursor(controls, rows if items is None else items)
        label = first
        for step in range(draws.shape[1]):
            gates = None if label is None else self.head.project_feedback(label, stepper.varying_weight)
            if cursor is not None:
                control_gates = F.linear(cursor.read(), stepper.control_weight)
                gates = control_gates if gates is None else gates + control_gates
            hidden, state = stepper.step(gates, state)
            outputs = self.output_projection(hidden)
            if grammar is not None:
                outputs = outputs.masked_fill(~grammar.legal(), -torch.inf)
            warmth = first_temperature if step == 0 and first_temperature is not None else temperature
            label = self.head.sample_with(outputs, warmth, draws[rows, step])
            if step == 0 and first_events is not None:
                label = torch.where(first_events == PADDING, label, first_events)
            labels[rows, step] = label
            kept = (label != end_token).nonzero().squeeze(-1)
            if len(kept) == 0:
                break
            if len(kept) == len(rows):
                kept = None
            for follower in (cursor, grammar):
                if follower is not None:
                    follower.advance(label, kept)
            if kept is not None:
                rows, label, state = rows[kept], label[kept], stepper.keep(kept, state)
        return labels


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

    def forward(
        self, latents: Tensor, previous: Tensor, controls: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """As [`AutoregressiveDecoder.forward`], with inputs and outputs of the parts side by side."""
        slices = previous.split(self.head.output_sizes, dim=-1)
        outputs = [part(latents, inputs, controls, lengths) for part, inputs in zip(self.parts, slices, strict=True)]
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
        end_token: None = None,
    ) -> Tensor:
        """As [`AutoregressiveDecoder.generate`], one part after the other: labels (B, length, parts). No part has an end
        token."""
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

    def forward(
        self, latents: Tensor, previous: Tensor, controls: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """As [`AutoregressiveDecoder.forward`]; all segments of the batch are decoded at once, as B * num_segments rows.
        The first step of a segment reads the label before it, the last of the segment before. `lengths` (B, num_segments)
        are those of the segments."""
        outputs = self.core(
            self.conduct(latents).flatten(0, 1),
            self._segments(previous).flatten(0, 1),
            None if controls is None else self._segments(controls).flatten(0, 1),
            None if lengths is None else lengths.flatten(),
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
        end_token: int | None = None,
    ) -> Tensor:
        """As [`AutoregressiveDecoder.generate`], segment by segment, each reading the last label of the one before. A
        segment in which every row has written `end_token` is filled up with PADDING."""
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
                end_token,
            )
            segments.append(labels)
            first = labels[:, -1]
            if labels.shape[1] < steps.stop - start:
                segments[-1] = F.pad(labels, (0, steps.stop - start - labels.shape[1]), value=PADDING)
        return torch.cat(segments, dim=1)

    @torch.no_grad()
    def generate_until(
        self,
        latents: Tensor,
        draws: Tensor,
        end_token: int,
        temperature: float | None,
        controls: Tensor | TimedControls | None = None,
        legal_only: bool = False,
        first_temperature: float | None = None,
        first_events: Tensor | None = None,
    ) -> Tensor:
        """As [`AutoregressiveDecoder.generate_until`] for latents (B, latent_size) and draws (B, T), each segment by itself:
        labels (B, T). `legal_only`: with a [`TrackGrammar`]; `first_events`: those of the segments, (B, num_segments).

        All segments are decoded at once. A segment reads the last label of the one before, and that is padding, as at the
        start, wherever the one before has ended early; only what follows a full segment has to be decoded again.
        """
        embeddings = self.conduct(latents)
        draws = self._segments(draws)
        items = torch.arange(len(latents), device=latents.device).repeat_interleave(self.num_segments)
        segments = torch.arange(self.num_segments, device=latents.device)
        timed = isinstance(controls, TimedControls)
        by_segment = controls if timed or controls is None else self._segments(controls)
        labels = self.core.generate_until(
            embeddings.flatten(0, 1),
            draws.flatten(0, 1),
            end_token,
            temperature,
            by_segment if timed or controls is None else by_segment.flatten(0, 1),
            items,
            None,
            TrackGrammar(segments.repeat(len(latents))) if legal_only else None,
            first_temperature,
            None if first_events is None else first_events.flatten(),
        ).view(draws.shape)
        for segment in range(1, self.num_segments):
            rows = (labels[:, segment - 1, -1] != PADDING).nonzero().squeeze(-1)
            if len(rows):
                labels[rows, segment] = self.core.generate_until(
                    embeddings[rows, segment],
                    draws[rows, segment],
                    end_token,
                    temperature,
                    by_segment if timed or controls is None else by_segment[rows, segment],
                    rows,
                    labels[rows, segment - 1, -1],
                    TrackGrammar(segments[segment].expand(len(rows))) if legal_only else None,
                    first_temperature,
                    None if first_events is None else first_events[rows, segment],
                )
        return labels.flatten(1)

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

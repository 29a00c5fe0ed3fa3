"""What one decoder step means: outputs to loss, to a sample, and back to the decoder's next input.

The decoder gives `outputs` of shape (..., output_size); a head turns them into `labels`, whose form is the head's own, and
labels into the decoder's feedback. Every head has

- `feedback_size`: width of what the decoder reads of its step before;
- `feedback(labels)`: labels to that, (..., feedback_size);
- `project_feedback(labels, weight)`: `linear(feedback(labels), weight)`, by a faster way where there is one;
- `negative_log_likelihood(outputs, labels)`: nats per step;
- `sample(outputs, temperature, generator)`: labels; a temperature of None takes the likeliest;
- `correct(outputs, labels)`: for each part of a step, 1 where the likeliest value is the label's, else 0;
- `matches(sequences, labels)`: the same for sequences that were decoded.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_music_vae import GROOVE_VALUES, MusicVAEConfig

PADDING = -1  # the label of a step behind the end of its segment


class CategoricalHead(nn.Module):
    """One softmax over `num_classes` events; labels are class indices of shape (...) and type int64, or PADDING, which reads
    as zeros and costs nothing."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.projection_size = num_classes
        self.feedback_size = num_classes

    def feedback(self, labels: Tensor) -> Tensor:
        """Labels (...) to one-hot vectors (..., num_classes)."""
        vectors = torch.zeros(*labels.shape, self.num_classes, device=labels.device)
        ones = (labels != PADDING).to(vectors.dtype)
        return vectors.scatter_(-1, labels.clamp(min=0).unsqueeze(-1), ones.unsqueeze(-1))

    def project_feedback(self, labels: Tensor, weight: Tensor) -> Tensor:
        """`linear(feedback(labels), weight)` for weight (features, num_classes), as a look-up."""
        projected = F.embedding(labels.clamp(min=0), weight.t())
        return projected.masked_fill_((labels == PADDING).unsqueeze(-1), 0.0)

    def negative_log_likelihood(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Outputs (..., num_classes) and labels (...) to nats (...)."""
        outputs, targets = outputs.flatten(0, -2).float(), labels.flatten()
        nats = F.cross_entropy(outputs, targets, reduction="none", ignore_index=PADDING)
        return nats.view(labels.shape)

    def sample(self, outputs: Tensor, temperature: float | None, generator: torch.Generator | None) -> Tensor:
        """Outputs (B, num_classes) to labels (B,)."""
        if temperature is None:
            return outputs.argmax(dim=-1)
        probabilities = torch.softmax(outputs.float() / temperature, dim=-1)
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)

    def sample_with(self, outputs: Tensor, temperature: float | None, draws: Tensor) -> Tensor:
        """As [`sample`], with a number (B,) from 0 to 1 for each row that decides alone what the row becomes."""
        if temperature is None:
            return outputs.argmax(dim=-1)
        cumulative = torch.softmax(outputs.double() / temperature, dim=-1).cumsum(dim=-1)
        thresholds = draws.to(cumulative).unsqueeze(-1) * cumulative[:, -1:]
        return torch.searchsorted(cumulative, thresholds, right=True).squeeze(-1).clamp(max=self.num_classes - 1)

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Outputs (..., num_classes) and labels (...) to (..., 1)."""
        return self.matches(outputs.argmax(dim=-1), labels)

    def matches(self, sequences: Tensor, labels: Tensor) -> Tensor:
        """Both (...) to (..., 1)."""
        return (sequences == labels).float().unsqueeze(-1)


class MultiCategoricalHead(nn.Module):
    """Several softmaxes side by side, such as melody, bass and drums; labels (..., parts) hold a class index of each."""

    def __init__(self, output_sizes: list[int]):
        super().__init__()
        self.output_sizes = list(output_sizes)
        self.parts = nn.ModuleList(CategoricalHead(size) for size in output_sizes)
        self.projection_size = sum(output_sizes)
        self.feedback_size = sum(output_sizes)

    def feedback(self, labels: Tensor) -> Tensor:
        """Labels (..., parts) to concatenated one-hot vectors (..., sum(output_sizes))."""
        return torch.cat([part.feedback(label) for part, label in zip(self.parts, labels.unbind(-1), strict=True)], dim=-1)

    def project_feedback(self, labels: Tensor, weight: Tensor) -> Tensor:
        """`linear(feedback(labels), weight)`, as one look-up per part."""
        pairs = zip(self.parts, labels.unbind(-1), weight.split(self.output_sizes, dim=-1), strict=True)
        return sum(part.project_feedback(label, columns) for part, label, columns in pairs)

    def negative_log_likelihood(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Outputs (..., sum(output_sizes)) and labels (..., parts) to nats (...), summed over the parts."""
        pairs = zip(self.parts, outputs.split(self.output_sizes, dim=-1), labels.unbind(-1), strict=True)
        return sum(part.negative_log_likelihood(logits, label) for part, logits, label in pairs)

    def sample(self, outputs: Tensor, temperature: float | None, generator: torch.Generator | None) -> Tensor:
        """Outputs (B, sum(output_sizes)) to labels (B, parts)."""
        pairs = zip(self.parts, outputs.split(self.output_sizes, dim=-1), strict=True)
        return torch.stack([part.sample(logits, temperature, generator) for part, logits in pairs], dim=-1)

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Outputs (..., sum(output_sizes)) and labels (..., parts) to (..., parts)."""
        pairs = zip(self.parts, outputs.split(self.output_sizes, dim=-1), labels.unbind(-1), strict=True)
        return torch.cat([part.correct(logits, label) for part, logits, label in pairs], dim=-1)

    def matches(self, sequences: Tensor, labels: Tensor) -> Tensor:
        """Both (..., parts) to (..., parts)."""
        return (sequences == labels).float()


class NADEHead(nn.Module):
    """Bits that depend on the bits before them: a neural autoregressive distribution estimator (Larochelle & Murray, 2011)
    whose biases the decoder writes at every step. Labels (..., num_bits) are 0 or 1, of type int64.

    The decoder's outputs are [bias of the hidden units | bias of the bits].
    """

    EPSILON = 1e-6  # of the original, in its logarithms

    def __init__(self, num_bits: int, hidden_size: int):
        super().__init__()
        self.sizes = [hidden_size, num_bits]
        self.projection_size = hidden_size + num_bits
        self.feedback_size = num_bits
        self.encoder_weight = nn.Parameter(torch.empty(num_bits, hidden_size))
        self.decoder_weight = nn.Parameter(torch.empty(num_bits, hidden_size))

    def feedback(self, labels: Tensor) -> Tensor:
        """Labels as floats, of the same shape."""
        return labels.to(self.encoder_weight.dtype)

    def project_feedback(self, labels: Tensor, weight: Tensor) -> Tensor:
        """`linear(feedback(labels), weight)`."""
        return F.linear(self.feedback(labels), weight)

    def conditional_probabilities(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Probability of a 1 for each bit, given the labels of the bits before it: (..., num_bits)."""
        bits = self.feedback(labels)
        hidden, bias = outputs.split(self.sizes, dim=-1)
        logits = []
        for index in range(bits.shape[-1]):
            logits.append(bias[..., index] + torch.sigmoid(hidden) @ self.decoder_weight[index])
            hidden = hidden + bits[..., index, None] * self.encoder_weight[index]
        return torch.sigmoid(torch.stack(logits, dim=-1))

    def negative_log_likelihood(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Outputs (..., hidden_size + num_bits) and labels (..., num_bits) to nats (...)."""
        return _bit_cost(self.conditional_probabilities(outputs, labels), self.feedback(labels), self.EPSILON).sum(dim=-1)

    def sample(self, outputs: Tensor, temperature: float | None, generator: torch.Generator | None) -> Tensor:
        """Outputs (B, hidden_size + num_bits) to labels (B, num_bits), bit by bit."""
        hidden, bias = outputs.split(self.sizes, dim=-1)
        bits = []
        for index in range(self.sizes[1]):
            logit = bias[..., index] + torch.sigmoid(hidden) @ self.decoder_weight[index]
            bit = _draw_bits(logit, temperature, generator)
            hidden = hidden + bit.unsqueeze(-1) * self.encoder_weight[index]
            bits.append(bit)
        return torch.stack(bits, dim=-1).long()

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Whether all bits of a step are right, given the ones before them: (..., 1)."""
        return self.matches(self.conditional_probabilities(outputs, labels) >= 0.5, labels)

    def matches(self, sequences: Tensor, labels: Tensor) -> Tensor:
        """Whether all bits of a step are right: both (..., num_bits) to (..., 1)."""
        return (sequences == labels).all(dim=-1, keepdim=True).float()


class GrooveHead(nn.Module):
    """Drums with feel (Gillick et al., 2019): labels and outputs (..., 3 * num_drums) are hits (0 or 1), velocities (0 to 1)
    and timing offsets (-1 to 1, in half steps, positive is early) of every drum."""

    EPSILON = 1e-7  # of the original, in its logarithms
    LEAST_CERTAINTY = 0.05  # of a hit that the model did not expect

    def __init__(self, output_size: int):
        super().__init__()
        self.num_drums = output_size // GROOVE_VALUES
        self.projection_size = output_size
        self.feedback_size = output_size

    def feedback(self, labels: Tensor) -> Tensor:
        """The labels themselves."""
        return labels

    def project_feedback(self, labels: Tensor, weight: Tensor) -> Tensor:
        """`linear(labels, weight)`."""
        return F.linear(labels, weight)

    def activate(self, outputs: Tensor) -> Tensor:
        """Outputs to probabilities of hits, velocities and offsets, same shape."""
        hits, velocities, offsets = outputs.split(self.num_drums, dim=-1)
        return torch.cat([torch.sigmoid(hits), torch.sigmoid(velocities), torch.tanh(offsets)], dim=-1)

    def loss_terms(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`hits_loss` (nats), `velocities_loss` and `offsets_loss` (squared errors) per step, each (...). Velocities and
        offsets count for drums that are not hit, too: 0."""
        values = self.activate(outputs.float()).split(self.num_drums, dim=-1)
        hits, velocities, offsets = labels.float().split(self.num_drums, dim=-1)
        return {
            "hits_loss": _bit_cost(values[0], hits, self.EPSILON).sum(dim=-1),
            "velocities_loss": (values[1] - velocities).square().sum(dim=-1),
            "offsets_loss": (values[2] - offsets).square().sum(dim=-1),
        }

    def negative_log_likelihood(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The three terms added up: (..., 3 * num_drums) twice to (...)."""
        return sum(self.loss_terms(outputs, labels).values())

    def sample(self, outputs: Tensor, temperature: float | None, generator: torch.Generator | None) -> Tensor:
        """Outputs (B, 3 * num_drums) to labels of the same shape: hits are drawn, velocities and offsets are not."""
        hits, _, _ = outputs.split(self.num_drums, dim=-1)
        drawn = _draw_bits(hits, temperature, generator)
        return torch.cat([drawn, self.activate(outputs)[..., self.num_drums :]], dim=-1)

    def perform(self, outputs: Tensor, hits: Tensor) -> Tensor:
        """Outputs (..., 3 * num_drums) and hits (..., num_drums), 0 or 1, that are known, to labels with these hits.

        The squared errors make the outputs the mean velocity and offset over playing and not playing, which is 0: divided
        by the probability of the hit, they are those of a hit.
        """
        probabilities, velocities, offsets = self.activate(outputs).split(self.num_drums, dim=-1)
        certainty = probabilities.clamp(min=self.LEAST_CERTAINTY)
        velocities, offsets = (velocities / certainty).clamp(0, 1), (offsets / certainty).clamp(-1, 1)
        return torch.cat([hits, velocities * hits, offsets * hits], dim=-1)

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Share of the drums of a step that are rightly hit or not hit: (..., 1)."""
        return self.matches((outputs >= 0).to(labels.dtype), labels)

    def matches(self, sequences: Tensor, labels: Tensor) -> Tensor:
        """The same for sequences: both (..., 3 * num_drums) to (..., 1)."""
        hits, wanted = sequences[..., : self.num_drums] > 0.5, labels[..., : self.num_drums] > 0.5
        return (hits == wanted).float().mean(dim=-1, keepdim=True)


def _bit_cost(probabilities: Tensor, bits: Tensor, epsilon: float) -> Tensor:
    """Cross-entropy of bits in nats, with the original's epsilon inside both logarithms."""
    return -(bits * torch.log(epsilon + probabilities) + (1 - bits) * torch.log(epsilon + 1 - probabilities))


def _draw_bits(logits: Tensor, temperature: float | None, generator: torch.Generator | None) -> Tensor:
    """0 or 1 as floats: a draw at a temperature, or whether 1 is at least as likely as 0."""
    if temperature is None:
        return (logits >= 0).to(logits.dtype)
    return torch.bernoulli(torch.sigmoid(logits / temperature), generator=generator)


OutputHead = CategoricalHead | MultiCategoricalHead | NADEHead | GrooveHead


def build_head(config: MusicVAEConfig) -> OutputHead:
    """The head of a configuration."""
    match config.output_type:
        case "categorical":
            return CategoricalHead(config.output_size)
        case "multi_categorical":
            return MultiCategoricalHead(config.output_sizes)
        case "nade":
            return NADEHead(config.output_size, config.nade_hidden_size)
        case "groove":
            return GrooveHead(config.output_size)

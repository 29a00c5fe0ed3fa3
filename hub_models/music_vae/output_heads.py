"""What one decoder step means: logits to loss, to a sample, and back to the decoder's next input.

A head has no weights. The decoder gives `outputs` of shape (..., output_size); the head turns them into `labels`, whose
form is the head's own (one class index per step for [`CategoricalHead`]), and labels into the decoder's feedback.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


class CategoricalHead:
    """One softmax over `num_classes` events per step; labels are class indices of shape (...) and type int64."""

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self.feedback_size = num_classes

    def feedback(self, labels: Tensor) -> Tensor:
        """Labels (...) to the one-hot vectors (..., num_classes) that the decoder reads as its previous output."""
        return F.one_hot(labels, self.num_classes).to(torch.get_default_dtype())

    def project_feedback(self, labels: Tensor, weight: Tensor) -> Tensor:
        """`linear(feedback(labels), weight)` for weight (features, num_classes), as a look-up."""
        return F.embedding(labels, weight.t())

    def negative_log_likelihood(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Nats per step: outputs (B, T, num_classes) and labels (B, T) to (B, T)."""
        return F.cross_entropy(outputs.transpose(1, 2).float(), labels, reduction="none")

    def sample(self, outputs: Tensor, temperature: float | None, generator: torch.Generator | None) -> Tensor:
        """Outputs (B, num_classes) to labels (B,): a draw at `temperature`, or the likeliest class where it is None."""
        if temperature is None:
            return outputs.argmax(dim=-1)
        probabilities = torch.softmax(outputs.float() / temperature, dim=-1)
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Whether the likeliest class is the label: outputs (..., num_classes), labels (...) to bool (...)."""
        return outputs.argmax(dim=-1) == labels


HEADS = {"categorical": CategoricalHead}

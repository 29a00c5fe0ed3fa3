"""Writing with CUDA graphs: a step whose position, token and draw are tensors, captured once and replayed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention_cache import StaticViews
from .token_choice import TokenChoice

WARM_UP_STEPS = 3


class StaticStep:
    """One token after the other by the same computation on the same tensors.

    Args:
        decoder ([`TokenDecoder`]): a transformer that has read something.
        choice ([`TokenChoice`]): how tokens are drawn.
        token (`Tensor` of shape (N,)): the token before.
        number (`int`): which draw comes next.
    """

    def __init__(self, decoder, choice: TokenChoice, token: Tensor, number: int):
        self.decoder, self.choice = decoder, choice
        device = token.device
        self.token = token.clone()
        self.position = torch.tensor([decoder.position], device=device)
        self.number = torch.tensor([number], device=device)
        length = decoder.config.sequence_length
        self.views = {pattern: StaticViews(cache, length) for pattern, cache in decoder.caches.items()}
        self.graph = self._capture() if device.type == "cuda" else None

    def __call__(self) -> Tensor:
        """The next token, (N,); the tensor is overwritten by the next call."""
        if self.graph is None:
            self._compute()
        else:
            self.graph.replay()
        self.decoder.position += 1
        return self.token

    def _compute(self):
        decoder = self.decoder
        for views in self.views.values():
            views.set_position(self.position)
        before = F.embedding(self.token, decoder.embedding)
        place = decoder.positions.index_select(0, self.position)
        conditioning = decoder.conditioning
        if conditioning is not None:
            conditioning = conditioning.index_select(1, self.position).squeeze(1)
        logits = decoder.logits(before, place, conditioning, self.views)
        self.token.copy_(self.choice(logits, self.number))
        self.position += 1
        self.number += 1

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Steps that warm up write the cache where the first one writes it anyway; all else is set back."""
        changed = [self.token, self.position, self.number, self.choice.health]
        saved = [tensor.clone() for tensor in changed]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._compute()
                for tensor, value in zip(changed, saved, strict=True):
                    tensor.copy_(value)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._compute()
        return graph

"""Reading and writing token by token: a transformer with what its attention keeps.

On a CPU a step is a few calls per layer, on views of preallocated tensors. On a GPU the same step is captured once as a CUDA
graph, in which positions are tensors, and replayed.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention_cache import CacheLayout, KeyValueCache, StaticViews, StepViews
from .attention_patterns import CROSS
from .static_decoding import StaticStep
from .token_choice import TokenChoice
from .transformer import QUICK_GELU_SLOPE, JukeboxBlock, JukeboxConditionalAutoregressive, quick_gelu

#: Tokens of a prefix that go through the layers at a time, where nobody says how many.
DEFAULT_CHUNK_SIZE = 1024
#: After so many tokens the caller is told, and numbers are looked at.
TOKENS_BETWEEN_CALLS = 16


class LayerWeights(NamedTuple):
    """Weights and biases of a layer in the type that is computed in: the layer's own, or copies where it has another."""

    norm_0: tuple[Tensor, Tensor]
    attention_in: tuple[Tensor, Tensor]
    attention_out: tuple[Tensor, Tensor]
    norm_1: tuple[Tensor, Tensor]
    mlp_in: tuple[Tensor, Tensor]
    mlp_out: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, layer: JukeboxBlock, dtype: torch.dtype) -> "LayerWeights":
        attention, mlp = layer.attn, layer.mlp
        modules = (layer.layer_norm_0, attention.c_attn, attention.c_proj, layer.layer_norm_1, mlp.c_fc, mlp.c_proj)
        return cls(*((module.weight.detach().to(dtype), module.bias.detach().to(dtype)) for module in modules))


def computation_dtype(stack: JukeboxConditionalAutoregressive) -> torch.dtype:
    """That of the weights on an accelerator; float32 on a CPU, where arithmetic in half precision is slow or missing."""
    weight = stack.transformer._attn_mods[0].mlp.c_fc.weight
    return torch.float32 if weight.device.type == "cpu" else weight.dtype


class TokenDecoder:
    """A transformer that has read so many tokens and says what the next may be.

    Args:
        stack ([`JukeboxConditionalAutoregressive`]): the transformer.
        batch_size (`int`): N.
        audio_conditioning (`Tensor` of shape (N, sequence length, width), *optional*): added to each position.
        start (`Tensor` of shape (N, 1, width), *optional*): what comes before the first token, where it is not learnt.
        encoder_hidden_states (`Tensor` of shape (N, S, width), *optional*): lyrics that were read.
    """

    def __init__(
        self,
        stack: JukeboxConditionalAutoregressive,
        batch_size: int,
        audio_conditioning: Tensor | None = None,
        start: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
    ):
        self.stack, self.config, self.batch_size = stack, stack.config, batch_size
        self.dtype = computation_dtype(stack)
        self.layers = stack.transformer._attn_mods
        self.weights = [LayerWeights.of(layer, self.dtype) for layer in self.layers]
        self.embedding = stack.embed_tokens.weight.detach().to(self.dtype)
        self.positions = stack.pos_emb.pos_emb.detach().to(self.dtype)
        # Laid out like the layers' weights, which products of few rows read faster.
        self.output = stack.fc_proj_out.weight.detach().t().to(self.dtype).contiguous()
        self.conditioning = audio_conditioning
        start = stack.start_token.detach().expand(batch_size, -1) if start is None else start.squeeze(1)
        self.start = start.to(self.dtype)
        self.position = 0
        self._make_caches(0 if encoder_hidden_states is None else encoder_hidden_states.shape[1])
        if encoder_hidden_states is not None:
            self._hear_lyrics(encoder_hidden_states.to(self.dtype))

    def _make_caches(self, encoder_length: int):
        config, device = self.config, self.embedding.device
        heads = config.n_heads
        shape = (self.batch_size, heads, config.attention_size // heads)
        patterns = [layer.attn.pattern for layer in self.layers]
        self.caches = {}
        for pattern in dict.fromkeys(patterns):
            layout = CacheLayout(config, pattern, encoder_length)
            self.caches[pattern] = KeyValueCache(layout, patterns.count(pattern), shape, device, self.dtype)
        # Each layer's pattern, and its number among the layers of this pattern.
        self.places = [(pattern, patterns[:number].count(pattern)) for number, pattern in enumerate(patterns)]
        # What a layer projects to, with views of the query (N, H, 1, D) and of key and value (N, 2 H, 1, D).
        self.projected = torch.empty(self.batch_size, 3 * config.attention_size, device=device, dtype=self.dtype)
        by_head = self.projected.view(self.batch_size, 3 * heads, 1, -1)
        self.query, self.state = by_head.split([heads, 2 * heads], dim=1)
        # Cross attention projects to a query only.
        self.projected_query = self.projected[:, : config.attention_size]

    def _hear_lyrics(self, encoder_hidden_states: Tensor):
        for layer, (pattern, number) in zip(self.layers, self.places, strict=True):
            if pattern == CROSS:
                key, value = layer.attn.split_heads(layer.attn.c_enc_kv(encoder_hidden_states), 2)
                self.caches[CROSS].fill(number, key, value)

    def read(self, tokens: Tensor, chunk_size: int | None = None):
        """Goes through a prefix; afterwards [`TokenDecoder.step`] with its last token says what comes next.

        Args:
            tokens (`Tensor` of shape (N, P)): the first tokens.
            chunk_size (`int`, *optional*): so many at a time, rounded up to whole blocks. The result does not depend on it.
        """
        length = tokens.shape[1]
        if length == 0:
            return
        block_length = self.config.block_length if self.config.blocks else 1
        chunk_size = -(-(chunk_size or DEFAULT_CHUNK_SIZE) // block_length) * block_length
        for start in range(0, length, chunk_size):
            end = min(start + chunk_size, length)
            first = self.start if start == 0 else F.embedding(tokens[:, start - 1], self.embedding)
            others = F.embedding(tokens[:, start : end - 1], self.embedding)
            hidden_states = torch.cat([first.unsqueeze(1), others], dim=1) + self.positions[start:end]
            if self.conditioning is not None:
                hidden_states = hidden_states + self.conditioning[:, start:end]
            self._read_chunk(hidden_states.to(self.dtype), start)
        self.position = length

    def _read_chunk(self, hidden_states: Tensor, start: int):
        for layer, (pattern, number) in zip(self.layers, self.places, strict=True):
            attention = layer.attn
            projected = attention.c_attn(layer.layer_norm_0(hidden_states))
            parts = attention.split_heads(projected, 1 if pattern == CROSS else 3)
            attended = self.caches[pattern].extend(number, start, *parts)
            hidden_states = layer.add(hidden_states, attention.project_out(attended))

    def step(self, previous: Tensor | None) -> Tensor:
        """Logits of the next token.

        Args:
            previous (`Tensor` of shape (N,), *optional*): the token before; `None` at the very first.

        Returns:
            (N, vocabulary)
        """
        position = self.position
        before = self.start if position == 0 else F.embedding(previous, self.embedding)
        conditioning = None if self.conditioning is None else self.conditioning[:, position]
        views = {pattern: cache.views(position) for pattern, cache in self.caches.items()}
        self.position = position + 1
        return self.logits(before, self.positions[position], conditioning, views)

    def logits(
        self, before: Tensor, place: Tensor, conditioning: Tensor | None, views: dict[str, StepViews | StaticViews]
    ) -> Tensor:
        """Of a token's vector (N, width), its position's and what is conditioned on there, (N, vocabulary)."""
        hidden_states = before + place
        if conditioning is not None:
            hidden_states = hidden_states + conditioning
        hidden_states = self._through_layers(hidden_states.to(self.dtype), views)
        if conditioning is not None and self.stack.adds_conditioning_to_output:
            hidden_states = (hidden_states + conditioning).to(self.dtype)
        return torch.mm(hidden_states, self.output)

    def _through_layers(self, hidden_states: Tensor, views: dict[str, StepViews | StaticViews]) -> Tensor:
        """(N, width) to the same, which is written in place. Calls cost more than what they compute here, so there are few:
        a product takes the residual along, and quick GELU is SiLU between products that are scaled."""
        config, batch = self.config, self.batch_size
        width, size = (config.hidden_size,), config.attention_size
        layer_norm, addmm, attend = torch.layer_norm, torch.addmm, F.scaled_dot_product_attention
        activation = self.layers[0].mlp.activation
        is_quick_gelu, residual_scale = activation is quick_gelu, self.layers[0].residual_scale
        query, state, projected, projected_query = self.query, self.state, self.projected, self.projected_query
        for (pattern, number), weights in zip(self.places, self.weights, strict=True):
            view = views[pattern]
            (norm_weight, norm_bias), (weight, bias) = weights.norm_0, weights.attention_in
            normed = layer_norm(hidden_states, width, norm_weight, norm_bias, 1e-5, False)
            addmm(bias, normed, weight, out=projected_query if pattern == CROSS else projected)
            key, value = view.exchange(number, state)
            attended = attend(query, key, value, view.mask).view(batch, size)
            before = hidden_states if residual_scale == 1.0 else hidden_states.clone()
            weight, bias = weights.attention_out
            hidden_states.addmm_(attended, weight).add_(bias)
            (norm_weight, norm_bias), (weight, bias) = weights.norm_1, weights.mlp_in
            normed = layer_norm(hidden_states, width, norm_weight, norm_bias, 1e-5, False)
            weight_out, bias_out = weights.mlp_out
            if is_quick_gelu:
                slope = QUICK_GELU_SLOPE
                inner = addmm(bias, normed, weight, beta=slope, alpha=slope)
                hidden_states.addmm_(F.silu(inner, inplace=True), weight_out, alpha=1 / slope).add_(bias_out)
            else:
                inner = activation(addmm(bias, normed, weight))
                hidden_states.addmm_(inner, weight_out).add_(bias_out)
            if residual_scale != 1.0:
                hidden_states.sub_(before).mul_(residual_scale).add_(before)
        return hidden_states

    def write(
        self,
        previous: Tensor | None,
        choice: TokenChoice,
        on_tokens: Callable[[int], None] | None = None,
        count: int = 0,
        is_static: bool | None = None,
    ) -> Tensor:
        """Draws token after token.

        Args:
            previous (`Tensor` of shape (N,), *optional*): the last token that was read; `None` if there was none.
            choice ([`TokenChoice`]): how, and how many.
            on_tokens (`Callable`, *optional*): called every few tokens with how many there are.
            count (`int`, defaults to 0): how many there were, as `on_tokens` is to be told.
            is_static (`bool`, *optional*): whether every step is the same computation on the same tensors, see
                [`StaticStep`]; by default on a GPU.

        Returns:
            (N, choice.steps)

        Raises:
            ValueError: logits are infinite or not numbers.
        """
        device = self.embedding.device
        if is_static is None:
            is_static = device.type == "cuda"
        written = torch.empty(choice.steps, self.batch_size, dtype=torch.long, device=device)
        static_step = None
        for number in range(choice.steps):
            previous = choice(self.step(previous), number) if static_step is None else static_step()
            written[number] = previous
            if is_static and number == 0:  # the first step differs where it has no token before it
                static_step = StaticStep(self, choice, previous, 1)
            done = number + 1
            if done % TOKENS_BETWEEN_CALLS == 0 or done == choice.steps:
                choice.check(count + done)
                if on_tokens is not None:
                    on_tokens(count + done)
        return written.t()

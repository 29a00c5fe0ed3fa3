"""The autoregressive transformer of Jukebox's priors ("Jukebox", section 4 and appendix B)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import Conv1D, JukeboxAttention, projection_std
from .configuration_jukebox import JukeboxPriorConfig

QUICK_GELU_SLOPE = 1.702


def quick_gelu(hidden_states: Tensor) -> Tensor:
    """x times the sigmoid of 1.702 x."""
    return hidden_states * torch.sigmoid(QUICK_GELU_SLOPE * hidden_states)


def gelu(hidden_states: Tensor) -> Tensor:
    """The approximation with a hyperbolic tangent."""
    return F.gelu(hidden_states, approximate="tanh")


ACTIVATION_FUNCTIONS = {"quick_gelu": quick_gelu, "gelu": gelu, "relu": F.relu, "swish": F.silu}


class JukeboxLayerNorm(nn.LayerNorm):
    """Computed in float32 whatever its input; the result has the input's type."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., width) to the same."""
        normed = F.layer_norm(hidden_states.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps)
        return normed.to(hidden_states.dtype)


class JukeboxEmbedding(nn.Embedding):
    """A table of vectors; those of a new one have the standard deviation `initial_std`."""

    def __init__(self, count: int, width: int, initial_std: float):
        super().__init__(count, width)
        self.initial_std = initial_std


class JukeboxMLP(nn.Module):
    """The feed-forward part of a layer that attends to `pattern`."""

    def __init__(self, config: JukeboxPriorConfig, pattern: str):
        super().__init__()
        self.c_fc = Conv1D(config.hidden_size, config.intermediate_size, 0.02 * config.init_scale)
        self.c_proj = Conv1D(config.intermediate_size, config.hidden_size, projection_std(config, pattern))
        self.activation = ACTIVATION_FUNCTIONS[config.act_fn]
        self.dropout = config.resid_dropout

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(N, T, width) to the same."""
        hidden_states = self.c_proj(self.activation(self.c_fc(hidden_states)))
        return F.dropout(hidden_states, self.dropout, self.training)


class JukeboxBlock(GradientCheckpointingLayer):
    """Attention and feed-forward; both add to the layer's input, the second having heard the first."""

    def __init__(self, config: JukeboxPriorConfig, pattern: str):
        super().__init__()
        self.attn = JukeboxAttention(config, pattern)
        self.layer_norm_0 = JukeboxLayerNorm(config.hidden_size)
        self.mlp = JukeboxMLP(config, pattern)
        self.layer_norm_1 = JukeboxLayerNorm(config.hidden_size)
        self.residual_scale = 1 / config.num_layers if config.attn_res_scale else 1.0

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states (N, T, width), and attention weights if asked for."""
        attended, weights = self.attn(self.layer_norm_0(hidden_states), encoder_hidden_states, return_weights)
        return self.add(hidden_states, attended), weights

    def add(self, hidden_states: Tensor, attended: Tensor) -> Tensor:
        """The layer's output from its input and what attention makes of it, (N, T, width) each."""
        after_attention = hidden_states + attended
        fed_forward = self.mlp(self.layer_norm_1(after_attention))
        if self.residual_scale == 1.0:
            return after_attention + fed_forward
        return hidden_states + self.residual_scale * (attended + fed_forward)


class JukeboxLayerStack(nn.Module):
    """All layers."""

    def __init__(self, config: JukeboxPriorConfig):
        super().__init__()
        self._attn_mods = nn.ModuleList(JukeboxBlock(config, pattern) for pattern in config.layer_attentions)

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, weights_of_layer: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states (N, T, width), and the attention weights of one layer if asked for."""
        found = None
        for number, layer in enumerate(self._attn_mods):
            hidden_states, weights = layer(hidden_states, encoder_hidden_states, number == weights_of_layer)
            found = found if weights is None else weights
        return hidden_states, found


class JukeboxPositionalEmbedding(nn.Module):
    """A learnt vector for each position; those of a new one have the standard deviation `initial_std`."""

    def __init__(self, length: int, width: int, initial_std: float):
        super().__init__()
        self.initial_std = initial_std
        self.pos_emb = nn.Parameter(torch.empty(length, width))


class JukeboxConditionalAutoregressive(nn.Module):
    """Embeddings, layers, output: what the next token may be, given those before and what is conditioned on.

    Args:
        config ([`JukeboxPriorConfig`]): sizes.
        has_start_token (`bool`): whether the sequence starts with a learnt vector, not with labels.
        lyrics_of ([`JukeboxPriorConfig`], *optional*): this is the lyrics' encoder of a prior with that configuration; its
            output goes into a space as wide as the prior's, and says which character comes next.
    """

    def __init__(self, config: JukeboxPriorConfig, has_start_token: bool, lyrics_of: JukeboxPriorConfig | None = None):
        super().__init__()
        self.config = config
        self.dropout = config.emb_dropout
        scale = config.init_scale
        self.embed_tokens = JukeboxEmbedding(config.vocab_size, config.hidden_size, 0.02 * scale)
        self.pos_emb = JukeboxPositionalEmbedding(config.sequence_length, config.hidden_size, 0.01 * scale)
        if has_start_token:
            self.start_token = nn.Parameter(torch.empty(1, config.hidden_size))
        else:
            self.start_token = None
        self.transformer = JukeboxLayerStack(config)
        self.adds_conditioning_to_output = not config.merged_decoder
        if lyrics_of is None:
            self.fc_proj_out = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        else:
            self.proj_in = Conv1D(config.hidden_size, lyrics_of.hidden_size, 0.02 * scale)
            self.final_layer_norm = JukeboxLayerNorm(lyrics_of.hidden_size)
            self.lm_head = nn.Linear(lyrics_of.hidden_size, config.vocab_size, bias=False)

    def embed(self, tokens: Tensor, audio_conditioning: Tensor | None, start: Tensor | None) -> Tensor:
        """Input of the first layer.

        Args:
            tokens (`Tensor` of shape (N, T)): the sequence, from its first token on; its last is not heard.
            audio_conditioning (`Tensor` of shape (N, T, width), *optional*): added to each position.
            start (`Tensor` of shape (N, 1, width), *optional*): before the first token, where no start was learnt.

        Returns:
            (N, T, width)
        """
        embedded = self.embed_tokens(tokens[:, :-1])
        if self.start_token is not None:
            start = self.start_token.expand(len(tokens), 1, -1)
        embedded = torch.cat([start.to(embedded.dtype), embedded], dim=1)
        positions = self.pos_emb.pos_emb[: tokens.shape[1]]
        if self.dropout and self.training:
            embedded = F.dropout(embedded, self.dropout)
            positions = F.dropout(positions, self.dropout)
        embedded = embedded + positions
        return embedded if audio_conditioning is None else embedded + audio_conditioning

    def forward(
        self,
        tokens: Tensor,
        audio_conditioning: Tensor | None = None,
        start: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        weights_of_layer: int | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """
        Args:
            tokens, audio_conditioning, start: See [`JukeboxConditionalAutoregressive.embed`].
            encoder_hidden_states (`Tensor` of shape (N, S, width), *optional*): lyrics that were read.
            weights_of_layer (`int`, *optional*): also give the attention weights of this layer.

        Returns:
            Logits (N, T, vocabulary) or, of an encoder, hidden states (N, T, the prior's width); and attention weights.
        """
        hidden_states = self.embed(tokens, audio_conditioning, start)
        hidden_states, weights = self.transformer(hidden_states, encoder_hidden_states, weights_of_layer)
        return self.head(hidden_states, audio_conditioning), weights

    def head(self, hidden_states: Tensor, audio_conditioning: Tensor | None = None) -> Tensor:
        """From the last layer (N, T, width) to logits (N, T, vocabulary) or, of an encoder, to (N, T, the prior's width)."""
        if hasattr(self, "proj_in"):
            return self.final_layer_norm(self.proj_in(hidden_states))
        if self.adds_conditioning_to_output and audio_conditioning is not None:
            hidden_states = hidden_states + audio_conditioning
        return F.linear(hidden_states, self.fc_proj_out.weight.to(hidden_states.dtype))

# Copyright 2026 The Encore Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""A Jukebox prior: the codes of one level, given artist, genres, timing and lyrics, or the codes of the level above
("Jukebox", section 4)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init
from transformers.utils import ModelOutput

from .attention import Conv1D
from .conditioning import JukeboxLabelConditioner, JukeboxMusicTokenConditioner
from .configuration_jukebox import JukeboxPriorConfig
from .convolutions import initialize_convolutions
from .decoding import TokenDecoder
from .strict_loading import StrictPreTrainedModel
from .token_choice import TokenChoice, check_choice
from .transformer import JukeboxConditionalAutoregressive, JukeboxEmbedding, JukeboxPositionalEmbedding


@dataclass
class JukeboxPriorOutput(ModelOutput):
    """
    Outputs of a prior. Losses are in bits per token.

    Args:
        loss (`Tensor`): what training makes small: lyrics and music, each as many times as it has tokens, lyrics times
            `encoder_loss_fraction`.
        gen_loss (`Tensor`): mean over codes.
        prime_loss (`Tensor`): mean over lyric tokens, 0 without lyrics.
        token_losses (`Tensor` of shape (N, n_ctx)): of each code.
        prime_token_losses (`Tensor` of shape (N, lyric tokens), *optional*): of each lyric token.
        logits (`Tensor` of shape (N, sequence length, vocabulary)): for each token of the transformer's sequence; where
            lyrics and music are one sequence, of lyrics first, over both vocabularies, the lyrics' first.
        prime_logits (`Tensor` of shape (N, lyric tokens, characters), *optional*): of a separate lyric encoder.
        encoder_hidden_states (`Tensor` of shape (N, lyric tokens, width), *optional*): lyrics that were read by it.
        lyric_attention (`Tensor` of shape (N, heads, n_ctx, lyric tokens), *optional*): of the layer that was asked for.
    """

    loss: Tensor | None = None
    gen_loss: Tensor | None = None
    prime_loss: Tensor | None = None
    token_losses: Tensor | None = None
    prime_token_losses: Tensor | None = None
    logits: Tensor | None = None
    prime_logits: Tensor | None = None
    encoder_hidden_states: Tensor | None = None
    lyric_attention: Tensor | None = None


@dataclass
class PriorConditioning(ModelOutput):
    """
    What a prior hears besides the codes before.

    Args:
        audio (`Tensor` of shape (N, sequence length, width), *optional*): for each position.
        start (`Tensor` of shape (N, 1, width), *optional*): artist and genres.
        lyrics (`Tensor` of shape (N, lyric tokens), *optional*): characters.
        encoder_hidden_states (`Tensor` of shape (N, lyric tokens, width), *optional*): characters that were read.
    """

    audio: Tensor | None = None
    start: Tensor | None = None
    lyrics: Tensor | None = None
    encoder_hidden_states: Tensor | None = None


# What is tied is said by `merged_decoder`, as in files of transformers 4.
# trf-ignore: TRF015
class JukeboxPrior(StrictPreTrainedModel):
    r"""
    A prior over the codes of one level.

    Levels are numbered from the top. That at the top hears artist, genres, timing and, where `nb_relevant_lyric_tokens`
    says so, lyrics; those below hear the codes of the level above, artist and genres.

    `metadata`, of shape (N, 4 + max_nb_genres + nb_relevant_lyric_tokens), holds for each row: samples in the whole song,
    samples before the window, samples in the window; the artist's id; genres' ids, -1 where there are fewer; lyric tokens.

    transformers 4 differs, where it was wrong, from the original and from this: it knew neither attention patterns 0, 1, 3,
    4, 6, 7, 9 and 11, crashed on training without lyrics, gave weights of a projection for attention, and by default did
    not mask what comes later.

    Args:
        config ([`JukeboxPriorConfig`]): sizes.
    """

    config: JukeboxPriorConfig
    config_class = JukeboxPriorConfig
    base_model_prefix = "prior"
    main_input_name = "music_tokens"
    supports_gradient_checkpointing = True
    _no_split_modules = ["JukeboxBlock"]
    _tied_weights_keys = {"prior.fc_proj_out.weight": "prior.embed_tokens.weight"}

    def __init__(self, config: JukeboxPriorConfig):
        super().__init__(config)
        self.metadata_embedding = self.conditioner_blocks = self.encoder = None
        # CODEPATH: all releases; models without labels are trained by their users
        if config.metadata_conditioning:
            self.metadata_embedding = JukeboxLabelConditioner(config)
        # CODEPATH: the middle and bottom priors of all releases
        if config.is_upsampler:
            self.conditioner_blocks = JukeboxMusicTokenConditioner(config)
        # CODEPATH: the top prior of 5b-lyrics and jukebox-tiny
        if config.has_lyric_encoder:
            self.encoder = JukeboxConditionalAutoregressive(config.encoder_config, True, lyrics_of=config)
        self.prior = JukeboxConditionalAutoregressive(config, not config.metadata_conditioning)
        self.post_init()

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """The output's table is that of the embedding, unless `merged_decoder`."""
        # CODEPATH: the top priors of 5b and 5b-lyrics have a table of their own, all others are tied
        return {} if self.config.merged_decoder else dict(self._tied_weights_keys)

    # The original's rules for every module; transformers' defaults would overwrite them.
    # trf-ignore: TRF018
    @torch.no_grad()
    def _init_weights(self, module):
        """The original's initialisation; see [`JukeboxPriorConfig`] for `init_scale` and `zero_out`."""
        initialize_convolutions(module)
        if isinstance(module, Conv1D):
            init.normal_(module.weight, 0.0, module.initial_std)
            init.zeros_(module.bias)
        elif isinstance(module, JukeboxEmbedding):
            init.normal_(module.weight, 0.0, module.initial_std)
        elif isinstance(module, JukeboxPositionalEmbedding):
            init.normal_(module.pos_emb, 0.0, module.initial_std)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        elif isinstance(module, JukeboxConditionalAutoregressive) and module.start_token is not None:
            init.normal_(module.start_token, 0.0, 0.01 * module.config.init_scale)
        if module is self.encoder:
            init.normal_(module.lm_head.weight, 0.0, 0.02 * self.config.init_scale)

    def conditioning(self, music_tokens_conds: Tensor | None, metadata: Tensor | None) -> PriorConditioning:
        """What the prior hears besides the codes before.

        Args:
            music_tokens_conds (`Tensor` of shape (N, n_ctx / factor), *optional*): codes of the level above.
            metadata (`Tensor` of shape (N, 4 + genres + lyric tokens), *optional*): see [`JukeboxPrior`].

        Raises:
            ValueError: something is missing, of another shape, or beyond what the model knows.
        """
        config, found = self.config, PriorConditioning()
        num_lyrics = config.nb_relevant_lyric_tokens
        # CODEPATH: all releases; models without labels are trained by their users
        if config.metadata_conditioning or num_lyrics:
            width = 4 + config.max_nb_genres + num_lyrics
            if metadata is None or metadata.ndim != 2 or metadata.shape[1] != width:
                given = None if metadata is None else tuple(metadata.shape)
                raise ValueError(f"metadata must be of shape (batch, {width}), got {given}.")
            metadata = metadata.to(self.device)
        # CODEPATH: all releases; models without labels are trained by their users
        if config.metadata_conditioning:
            found.start, found.audio = self.metadata_embedding(metadata)
        # CODEPATH: the middle and bottom priors of all releases
        if config.is_upsampler:
            length = config.n_ctx // config.conditioning_factor
            codes = music_tokens_conds
            if codes is None or codes.ndim != 2 or codes.shape[1] != length:
                given = None if codes is None else tuple(codes.shape)
                raise ValueError(f"music_tokens_conds must be of shape (batch, {length}), got {given}.")
            found.audio = self.conditioner_blocks(self._checked("music_tokens_conds", codes, config.music_vocab_size))
        if num_lyrics:
            found.lyrics = self._checked("lyrics in metadata", metadata[:, -num_lyrics:], config.lyric_vocab_size)
        # CODEPATH: the top prior of 1b-lyrics
        if config.has_lyric_prefix and found.audio is not None:
            found.audio = F.pad(found.audio, (0, 0, num_lyrics, 0))
        # CODEPATH: the top prior of 5b-lyrics and jukebox-tiny
        if config.has_lyric_encoder:
            found.encoder_hidden_states, _ = self.encoder(found.lyrics)
        return found

    def _checked(self, name: str, tokens: Tensor, vocab_size: int) -> Tensor:
        """Tokens on the model's device."""
        if tokens.is_floating_point() or tokens.dtype == torch.bool:
            raise ValueError(f"{name} must be integers, got {tokens.dtype}.")
        tokens = tokens.to(self.device).long()
        beyond = (tokens < 0) | (tokens >= vocab_size)
        if bool(beyond.any()):
            raise ValueError(f"{name} must be from 0 to {vocab_size - 1}, got {int(tokens[beyond][0])}.")
        return tokens

    def forward(
        self,
        music_tokens: Tensor,
        music_tokens_conds: Tensor | None = None,
        metadata: Tensor | None = None,
        return_attention_of: int | None = None,
    ) -> JukeboxPriorOutput:
        r"""
        Losses and logits of codes that are known.

        Args:
            music_tokens (`Tensor` of shape (N, n_ctx)): codes of this level.
            music_tokens_conds (`Tensor` of shape (N, n_ctx / factor), *optional*): of the level above, for an upsampler.
            metadata (`Tensor` of shape (N, 4 + genres + lyric tokens), *optional*): see [`JukeboxPrior`].
            return_attention_of (`int`, *optional*): number of a layer that hears lyrics, to give its attention, too.

        Raises:
            ValueError: an input is missing, of another shape, or beyond what the model knows.
        """
        config = self.config
        if music_tokens.ndim != 2 or music_tokens.shape[1] != config.n_ctx:
            raise ValueError(f"music_tokens must be of shape (batch, {config.n_ctx}), got {tuple(music_tokens.shape)}.")
        self._check_lyric_layer(return_attention_of)
        tokens = self._checked("music_tokens", music_tokens, config.music_vocab_size)
        heard = self.conditioning(music_tokens_conds, metadata)
        # CODEPATH: the top prior of 1b-lyrics
        if config.has_lyric_prefix:
            tokens = torch.cat([heard.lyrics, tokens + config.lyric_vocab_size], dim=1)
        logits, attention = self.prior(tokens, heard.audio, heard.start, heard.encoder_hidden_states, return_attention_of)
        losses = _bits(logits, tokens)
        num_lyrics = config.nb_relevant_lyric_tokens
        prime_logits = prime_losses = None
        # CODEPATH: the top prior of 1b-lyrics; then those of 5b-lyrics and jukebox-tiny
        if config.has_lyric_prefix:
            prime_losses, losses = losses.split([num_lyrics, config.n_ctx], dim=1)
            if attention is not None:
                attention = attention[:, :, num_lyrics:, :num_lyrics]
        elif config.has_lyric_encoder:  # CODEPATH: the top prior of 5b-lyrics and jukebox-tiny
            hidden_states = heard.encoder_hidden_states
            prime_logits = F.linear(hidden_states, self.encoder.lm_head.weight.to(hidden_states.dtype))
            prime_losses = _bits(prime_logits, heard.lyrics)
        gen_loss = losses.mean()
        prime_loss = torch.zeros_like(gen_loss) if prime_losses is None else prime_losses.mean()
        weighted = config.encoder_loss_fraction * num_lyrics * prime_loss + config.n_ctx * gen_loss
        return JukeboxPriorOutput(
            loss=weighted / (num_lyrics + config.n_ctx),
            gen_loss=gen_loss,
            prime_loss=prime_loss,
            token_losses=losses,
            prime_token_losses=prime_losses,
            logits=logits,
            prime_logits=prime_logits,
            encoder_hidden_states=heard.encoder_hidden_states,
            lyric_attention=attention,
        )

    @torch.no_grad()
    def lyric_attention(
        self, music_tokens: Tensor, music_tokens_conds: Tensor | None = None, metadata: Tensor | None = None
    ) -> Tensor:
        """How much each code hears of each lyric token, in the layer and head that [`JukeboxPriorConfig.alignment`] names.

        Args:
            music_tokens, music_tokens_conds, metadata: See [`JukeboxPrior.forward`].

        Returns:
            (N, n_ctx, lyric tokens)

        Raises:
            ValueError: this prior hears no lyrics.
        """
        alignment = self.config.alignment
        if alignment is None:
            raise ValueError("This prior hears no lyrics: there is no attention to them.")
        layer, head = alignment
        return self(music_tokens, music_tokens_conds, metadata, return_attention_of=layer).lyric_attention[:, head]

    def sample(
        self,
        n_samples: int,
        music_tokens: Tensor | None = None,
        music_tokens_conds: Tensor | None = None,
        metadata: Tensor | None = None,
        temp: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.0,
        chunk_size: int | None = None,
        sample_tokens: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        on_tokens: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Writes codes, each given those before.

        Args:
            n_samples (`int`): N.
            music_tokens (`Tensor` of shape (N, P), *optional*): codes to begin with.
            music_tokens_conds, metadata: See [`JukeboxPrior.forward`]; one row, or one for each sample.
            temp (`float`, defaults to 1): logits are divided by it.
            top_k (`int`, defaults to 0): only so many of the likeliest codes are drawn; 0: of all.
            top_p (`float`, defaults to 0): only codes are drawn than which likelier ones have no more than this
                probability together; 0: of all.
            chunk_size (`int`, *optional*): of the codes to begin with, so many are read at a time, rounded up to whole
                blocks. It bounds memory; the result does not depend on it.
            sample_tokens (`int`, *optional*): codes in the result; `n_ctx` by default.
            generator (`torch.Generator` or a list of N, *optional*): of the draws. With one for each row, what a row draws
                does not depend on the others.
            on_tokens (`Callable`, *optional*): called every few codes with how many there are, P included. What it raises
                ends the sampling.

        Returns:
            (N, sample_tokens), `music_tokens` first.

        Raises:
            ValueError: an input is missing, of another shape, or beyond what the model knows; temperature and filters that
                make no sense; the model's weights make its logits infinite or not numbers.
        """
        config = self.config
        check_choice(temp, top_k, top_p)
        length = config.n_ctx if sample_tokens is None else sample_tokens
        if not 1 <= length <= config.n_ctx:
            raise ValueError(f"sample_tokens must be from 1 to {config.n_ctx}, got {length}.")
        known = torch.zeros(n_samples, 0, dtype=torch.long) if music_tokens is None else music_tokens
        if known.ndim != 2 or len(known) != n_samples or known.shape[1] > length:
            raise ValueError(f"music_tokens must be of shape ({n_samples}, at most {length}), got {tuple(known.shape)}.")
        known = self._checked("music_tokens", known, config.music_vocab_size)
        above = _expand("music_tokens_conds", music_tokens_conds, n_samples)
        metadata = _expand("metadata", metadata, n_samples)
        with torch.inference_mode():
            heard = self.conditioning(above, metadata)
            prefix, offset = known, 0
            # CODEPATH: the top prior of 1b-lyrics
            if config.has_lyric_prefix:
                offset = config.lyric_vocab_size
                prefix = torch.cat([heard.lyrics, known + offset], dim=1)
            decoder = TokenDecoder(self.prior, n_samples, heard.audio, heard.start, heard.encoder_hidden_states)
            steps = length - known.shape[1]
            choice = TokenChoice(n_samples, steps, temp, top_k, top_p, generator, self.device)
            decoder.read(prefix, chunk_size)
            written = decoder.write(prefix[:, -1] if prefix.shape[1] else None, choice, on_tokens, known.shape[1])
        # One vocabulary of lyrics and music: a character among the codes is code 0, as in the original.
        return torch.cat([known, (written - offset).clamp(min=0)], dim=1)

    def _check_lyric_layer(self, layer: int | None):
        layers = self.config.lyric_layers
        if layer is not None and layer not in layers:
            raise ValueError(f"Layer {layer} does not attend to lyrics; of this prior {layers or 'none'} do.")


def _expand(name: str, rows: Tensor | None, count: int) -> Tensor | None:
    """One row for each sample."""
    if rows is None or len(rows) == count:
        return rows
    if len(rows) != 1:
        raise ValueError(f"{name} must have one row, or one for each of {count} samples, got {len(rows)}.")
    return rows.expand(count, -1)


def _bits(logits: Tensor, tokens: Tensor) -> Tensor:
    """Cross entropy of (N, T, V) logits and (N, T) tokens, each in bits, (N, T)."""
    nats = F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(), reduction="none")
    return nats.view_as(tokens) / math.log(2.0)


__all__ = ["JukeboxPrior", "JukeboxPriorConfig", "JukeboxPriorOutput"]

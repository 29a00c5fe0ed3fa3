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
"""Transformer Autoencoder: a decoder of piano performances, and what it listens to: a style, a melody, or both
(Choi et al., 2020)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.utils import ModelOutput, can_return_tuple
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .attention import MASKED, CrossAttention, PerformanceCache, RelativePositions, SelfAttention
from .configuration_transformer_autoencoder import TransformerAutoencoderConfig
from .generation import decode_tokens, melody_after, prepare_primer, window_start
from .layers import EventEmbedding, EventEncoder, Stack, TimingSignal, TransformerAutoencoderLayer


@dataclass
class TransformerAutoencoderOutput(ModelOutput):
    """
    Outputs of the model.

    Args:
        loss (`Tensor`, *optional*): mean negative log likelihood of an event, in nats; with labels.
        logits (`Tensor` of shape (B, T, vocab_size)): of the event after each input event.
        last_hidden_state (`Tensor` of shape (B, T, hidden_size)): output of the decoder, after its last norm.
        cache ([`PerformanceCache`], *optional*): for the next events.
        encoder_hidden_states (`Tensor` of shape (B, S, encoding_size), *optional*): what the decoder listened to.
        encoder_attention_bias (`Tensor` of shape (B, 1, 1, S), *optional*): what was added to the logits of attending to it.
        style (`Tensor` of shape (B, hidden_size), *optional*): the style vectors.
        hidden_states (`tuple` of `Tensor` (B, T, hidden_size), *optional*): input of the decoder's first layer and output of
            each, the last after the last norm; with `output_hidden_states`.
        attentions, cross_attentions (`tuple` of `Tensor` (B, heads, T, S), *optional*): weights of the decoder's layers;
            with `output_attentions`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None
    cache: Cache | None = None
    encoder_hidden_states: Tensor | None = None
    encoder_attention_bias: Tensor | None = None
    style: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class Encoding(ModelOutput):
    """
    What a decoder listens to.

    Args:
        hidden_states (`Tensor` of shape (B, S, encoding_size))
        attention_bias (`Tensor` of shape (B, 1, 1, S), *optional*): added to the logits of attending to it.
        style (`Tensor` of shape (B, hidden_size), *optional*): the style vectors in it.
        performance_hidden_states, melody_hidden_states (`Tensor` of shape (B, S, hidden_size), *optional*): outputs of the
            encoders.
    """

    hidden_states: Tensor | None = None
    attention_bias: Tensor | None = None
    style: Tensor | None = None
    performance_hidden_states: Tensor | None = None
    melody_hidden_states: Tensor | None = None


class TransformerAutoencoderPreTrainedModel(PreTrainedModel):
    """Weight initialisation, loading and saving."""

    config: TransformerAutoencoderConfig
    config_class = TransformerAutoencoderConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["TransformerAutoencoderLayer"]
    _can_record_outputs = {
        "hidden_states": OutputRecorder(TransformerAutoencoderLayer, index=0, layer_name="decoder"),
        "attentions": OutputRecorder(SelfAttention, index=1, layer_name="decoder"),
        "cross_attentions": OutputRecorder(CrossAttention, index=1, layer_name="decoder"),
    }

    # tensor2tensor's rules for every module; transformers' defaults would overwrite them.
    # trf-ignore: TRF018
    @torch.no_grad()
    def _init_weights(self, module):
        """tensor2tensor's initialisation: Glorot-uniform kernels, of queries, keys and values each for itself; embeddings
        with variance 1 / width."""
        if isinstance(module, SelfAttention):
            _init_parts(module.query_key_value.weight, module.sizes)
        elif isinstance(module, CrossAttention):
            _init_parts(module.key_value.weight, module.sizes)
        elif isinstance(module, RelativePositions):
            init.normal_(module.weight, mean=0.0, std=module.weight.shape[-1] ** -0.5)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=module.embedding_dim**-0.5)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, TransformerAutoencoderModel) and module.encoder_offset is not None:
            init.normal_(module.encoder_offset, mean=0.0, std=module.encoder_offset.shape[0] ** -0.5)
        elif isinstance(module, TransformerAutoencoderForConditionalGeneration):
            init.normal_(module.lm_head.weight, mean=0.0, std=module.lm_head.in_features**-0.5)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        """As in transformers, but strict: weights that are damaged or do not fit the configuration are an error, never
        quietly replaced by random ones. The model is in float32, however its weights are stored, unless `dtype` says
        otherwise (`"auto"`: as stored).

        Raises:
            ValueError: one sentence that names the first tensor at fault.
        """
        report_wanted = kwargs.pop("output_loading_info", False)
        misfits_allowed = kwargs.pop("ignore_mismatched_sizes", False)
        if kwargs.get("dtype") is None and kwargs.get("torch_dtype") is None:
            kwargs["dtype"] = torch.float32  # half precision saves disk; arithmetic in it is slow or missing on CPUs
        try:
            model, report = super().from_pretrained(
                pretrained_model_name_or_path,
                *model_args,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **kwargs,
            )
        except SafetensorError as error:
            raise ValueError(f"The weights of {pretrained_model_name_or_path} are damaged: {error}.") from error
        unexpected = report["unexpected_keys"]
        if cls is TransformerAutoencoderModel:  # the network without its output layer
            unexpected = [key for key in unexpected if not key.startswith("lm_head.")]
        misfits = {
            "missing": report["missing_keys"],
            "unexpected": unexpected,
            "of another shape": [key for key, *shapes in report["mismatched_keys"]],
        }
        problems = [f"{len(keys)} {kind} (such as {min(keys)})" for kind, keys in misfits.items() if keys]
        if problems and not misfits_allowed:
            raise ValueError(
                f"The weights of {pretrained_model_name_or_path} do not fit the configuration: "
                f"tensors {', '.join(problems)}."
            )
        return (model, report) if report_wanted else model


def _init_parts(weight: Tensor, sizes: list[int]):
    """Rows of a fused kernel, each part Glorot-uniform as if it stood alone."""
    for part in weight.split(sizes):
        init.xavier_uniform_(part)


class TransformerAutoencoderModel(TransformerAutoencoderPreTrainedModel):
    """The network without its output layer: embeddings, encoders where the configuration has them, decoder.

    [`TransformerAutoencoderForConditionalGeneration`] says what goes in.
    """

    def __init__(self, config: TransformerAutoencoderConfig):
        super().__init__(config)
        self.event_embedding = EventEmbedding(config.vocab_size, config.hidden_size)
        self.decoder = Stack(config, is_decoder=True)
        self.timing = TimingSignal(config)
        self.performance_encoder = self.melody_encoder = self.encoder_offset = None
        # CODEPATH: all but unconditional_model_16 and others of the plain Music Transformer
        if config.is_conditional:  # tensor2tensor's target space embedding, of the one space that there is
            self.encoder_offset = nn.Parameter(torch.empty(config.hidden_size))
        # CODEPATH: performance_transformer, baseline_performance_transformer, melody_performance_transformer
        if config.performance_encoder != "none":
            self.performance_encoder = EventEncoder(config, config.vocab_size)
        # CODEPATH: melody_conditioned_model_16, baseline_melody_transformer, melody_performance_transformer
        if config.melody_encoder:
            self.melody_encoder = EventEncoder(config, config.melody_vocab_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The table of the decoder's events."""
        return self.event_embedding

    def set_input_embeddings(self, value: nn.Module):
        """Another table of the decoder's events."""
        self.event_embedding = value

    def encode_style(self, performance_ids: Tensor, performance_attention_mask: Tensor | None = None) -> Tensor:
        """Style vectors of performances: the mean over time of the encoder's output (paper section 3.2).

        Args:
            performance_ids (`Tensor` of shape (B, S)): events without a start, padded with 0 at the end.
            performance_attention_mask (`Tensor` of shape (B, S), *optional*): 0 where padded.

        Returns:
            (B, hidden_size)

        Raises:
            ValueError: this model has no styles.
        """
        # CODEPATH: performance_transformer and melody_performance_transformer have styles
        if self.config.performance_encoder != "style":
            raise ValueError(
                f"This model has no styles: its performance_encoder is {self.config.performance_encoder!r}, not 'style'."
            )
        encoder = self.performance_encoder
        return encoder.mean(*encoder(performance_ids, performance_attention_mask, self.encoder_offset))

    def encode(
        self,
        performance_ids: Tensor | None = None,
        performance_attention_mask: Tensor | None = None,
        melody_ids: Tensor | None = None,
        melody_attention_mask: Tensor | None = None,
        style: Tensor | None = None,
    ) -> Encoding:
        """What the decoder listens to, from performances or stored styles and melodies.

        Args:
            performance_ids (`Tensor` of shape (B, S), *optional*): performance events, padded with 0 at the end.
            performance_attention_mask (`Tensor` of shape (B, S), *optional*): 0 where padded; default: where the id is 0.
            melody_ids (`Tensor` of shape (B, S'), *optional*): melody events, padded with 0 at the end.
            melody_attention_mask (`Tensor` of shape (B, S'), *optional*): 0 where padded; default: where the id is 0.
            style (`Tensor` of shape (B, hidden_size), *optional*): style vectors in place of `performance_ids`.

        Raises:
            ValueError: what this model needs is missing, or there is something that it cannot hear.
        """
        self._check_conditions(performance_ids, melody_ids, style)
        performance = bias = melody = melody_bias = None
        if performance_ids is not None:
            performance, bias = self.performance_encoder(performance_ids, performance_attention_mask, self.encoder_offset)
            # CODEPATH: performance_transformer, melody_performance_transformer; the baseline attends to the sequence
            if self.config.performance_encoder == "style":
                style = self.performance_encoder.mean(performance, bias)
        if melody_ids is not None:
            melody, melody_bias = self.melody_encoder(melody_ids, melody_attention_mask, self.encoder_offset)
        if style is None:
            hidden_states, attention_bias = (performance, bias) if melody is None else (melody, melody_bias)
        else:
            # The original's bias of the style: the mean of its performance's. It matters where it is added to another.
            is_original = self.config.original_quirks and bias is not None
            style_bias = bias.mean(dim=-1, keepdim=True) if is_original else style.new_zeros(len(style), 1, 1, 1)
            hidden_states, attention_bias = style.unsqueeze(1), style_bias
            if melody is not None:
                hidden_states, attention_bias = self._aggregate(melody, melody_bias, hidden_states, style_bias)
        return Encoding(
            hidden_states=hidden_states,
            attention_bias=attention_bias,
            style=style,
            performance_hidden_states=performance,
            melody_hidden_states=melody,
        )

    def _aggregate(self, melody: Tensor, melody_bias: Tensor, style: Tensor, style_bias: Tensor) -> tuple[Tensor, Tensor]:
        """Melody (B, S, H) and style (B, 1, H) as one encoding with its bias (paper section 3.3)."""
        match self.config.aggregation:
            case "sum":
                return melody + style, melody_bias + style_bias
            case "concat":
                stop = torch.zeros_like(style)
                return torch.cat([melody, stop, style], dim=1), torch.cat(
                    [melody_bias, torch.zeros_like(style_bias), style_bias], dim=-1
                )
            case "tile":
                return torch.cat([melody, style.expand_as(melody)], dim=-1), melody_bias

    def _check_conditions(self, performance_ids: Tensor | None, melody_ids: Tensor | None, style: Tensor | None):
        kind = self.config.performance_encoder
        hears = {"none": "no performance", "style": "performance_ids or style", "sequence": "performance_ids"}[kind]
        # CODEPATH: melody_conditioned_model_16, baseline_melody_transformer, melody_performance_transformer
        hears += " and melody_ids" if self.config.melody_encoder else " and no melody"
        given = {"performance_ids": performance_ids, "style": style, "melody_ids": melody_ids}
        given = [name for name, value in given.items() if value is not None]
        wanted = (kind != "none") + self.config.melody_encoder
        fits = (
            len(given) == wanted
            and ("melody_ids" in given) == self.config.melody_encoder
            and not ("style" in given and kind != "style")
        )
        if not fits:
            raise ValueError(f"This model hears {hears}; it was given {' and '.join(given) or 'neither'}.")

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        performance_ids: Tensor | None = None,
        performance_attention_mask: Tensor | None = None,
        melody_ids: Tensor | None = None,
        melody_attention_mask: Tensor | None = None,
        style: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_bias: Tensor | None = None,
        cache: Cache | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> TransformerAutoencoderOutput:
        r"""
        Args:
            input_ids (`Tensor` of shape (B, T)): performance events; a sequence starts with one 0.
            attention_mask (`Tensor` of shape (B, T'), *optional*): 0 where padded, for the events in the cache and the new
                ones together. Only padding at the beginning matters: no event hears what comes after it.
            performance_ids, performance_attention_mask, melody_ids, melody_attention_mask, style:
                What the decoder listens to, see [`TransformerAutoencoderModel.encode`].
            encoder_hidden_states (`Tensor` of shape (B, S, encoding_size), *optional*): the same, already encoded.
            encoder_attention_bias (`Tensor` of shape (B, 1, 1, S), *optional*): what belongs to it.
            cache (`Cache`, *optional*): what is known of earlier events; `input_ids` then holds those that follow.
            use_cache (`bool`, *optional*): make a cache where there is none.
            kwargs: `output_attentions`, `output_hidden_states`, see [`TransformerAutoencoderOutput`].
        """
        # CODEPATH: unconditional_model_16 and others of the plain Music Transformer listen to nothing
        if not self.config.is_conditional:
            self._check_conditions(performance_ids, melody_ids, style)
        elif encoder_hidden_states is None:
            encoding = self.encode(performance_ids, performance_attention_mask, melody_ids, melody_attention_mask, style)
            encoder_hidden_states, encoder_attention_bias = encoding.hidden_states, encoding.attention_bias
            style = encoding.style
        if use_cache and cache is None:
            cache = PerformanceCache(self.config.num_hidden_layers)

        before = 0 if cache is None else cache.get_seq_length()
        hidden_states = self.event_embedding(input_ids)
        hidden_states, bias = self._place(hidden_states, attention_mask, before)
        output = self.decoder(hidden_states, bias, encoder_hidden_states, encoder_attention_bias, cache)
        return TransformerAutoencoderOutput(
            last_hidden_state=output,
            cache=cache,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_bias=encoder_attention_bias,
            style=style,
        )

    def _place(self, hidden_states: Tensor, attention_mask: Tensor | None, before: int) -> tuple[Tensor, Tensor | None]:
        """Embeddings of the events after the first `before` with their timing signal, and the bias of causal attention.

        Positions count from the first event that is not padding.
        """
        count = hidden_states.shape[1]
        total = before + count
        padded = None if attention_mask is None else attention_mask[:, :total] == 0
        if padded is None or not bool(padded[:, 0].any()):
            hidden_states = hidden_states + self.timing(total, hidden_states)[before:]
            padded = None
        else:
            padded = padded.long().cumprod(dim=1).bool()  # at the beginning alone
            positions = torch.arange(before, total, device=padded.device) - padded.sum(dim=1, keepdim=True)
            hidden_states = hidden_states + self.timing(total, hidden_states)[positions.clamp(min=0)]
        if count == 1 and padded is None:
            return hidden_states, None
        ahead = torch.ones(count, total, dtype=torch.bool, device=hidden_states.device).triu_(before + 1)
        if padded is not None:
            ahead = ahead | padded[:, None, None]
        return hidden_states, torch.zeros_like(ahead, dtype=hidden_states.dtype).masked_fill_(ahead, MASKED)


class TransformerAutoencoderForConditionalGeneration(TransformerAutoencoderPreTrainedModel, GenerationMixin):
    r"""
    Piano performances, event by event: alone (Music Transformer), in the style of a performance, around a melody, or both.

    Sequences are ids of performance events and start with one 0, whose embedding is the zero vector: `[0, e0, e1, ...]`.
    `TransformerAutoencoderProcessor` makes them from MIDI and turns them back.

    Example:

    ```python
    >>> folder = bundled("transformer-autoencoder-piano")
    >>> model = TransformerAutoencoderForConditionalGeneration.from_pretrained(folder).eval()
    >>> processor = TransformerAutoencoderProcessor.from_pretrained(folder)
    >>> inputs = processor(style="nocturne.mid", melody="tune.mid", return_tensors="pt")
    >>> ids = model.generate(**inputs, max_new_tokens=1024, do_sample=True, temperature=0.95, seed=1)
    >>> midi = processor.decode(ids[0])
    ```
    """

    _tied_weights_keys = {"lm_head.weight": "model.event_embedding.weight"}

    def __init__(self, config: TransformerAutoencoderConfig):
        super().__init__(config)
        self.model = TransformerAutoencoderModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def encode_style(self, performance_ids: Tensor, performance_attention_mask: Tensor | None = None) -> Tensor:
        """See [`TransformerAutoencoderModel.encode_style`]."""
        return self.model.encode_style(performance_ids, performance_attention_mask)

    def encode(self, **conditions: Tensor | None) -> Encoding:
        """See [`TransformerAutoencoderModel.encode`]."""
        return self.model.encode(**conditions)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        performance_ids: Tensor | None = None,
        performance_attention_mask: Tensor | None = None,
        melody_ids: Tensor | None = None,
        melody_attention_mask: Tensor | None = None,
        style: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_bias: Tensor | None = None,
        cache: Cache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs,
    ) -> TransformerAutoencoderOutput:
        r"""
        Args:
            labels (`Tensor` of shape (B, T), *optional*): as in every causal language model of transformers the same as
                `input_ids`; they are shifted inside. Where a label is 0 or -100 nothing is asked.
            logits_to_keep (`int`): logits of so many last events; 0: of all.
            input_ids and all others: see [`TransformerAutoencoderModel`].
        """
        output = self.model(
            input_ids,
            attention_mask=attention_mask,
            performance_ids=performance_ids,
            performance_attention_mask=performance_attention_mask,
            melody_ids=melody_ids,
            melody_attention_mask=melody_attention_mask,
            style=style,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_bias=encoder_attention_bias,
            cache=cache,
            use_cache=use_cache,
            **kwargs,
        )
        output.logits = self.lm_head(output.last_hidden_state[:, -logits_to_keep:])
        if labels is not None:
            output.loss = self._loss(output.logits, labels)
        return output

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy of the events that are asked for; with tensor2tensor's label smoothing in training."""
        targets = labels[:, 1:].flatten()
        targets = targets.masked_fill(targets == self.config.pad_token_id, -100)
        rows = logits[:, :-1].flatten(0, 1).float()
        smoothing = self.config.label_smoothing if self.training else 0.0
        if not smoothing:
            return F.cross_entropy(rows, targets)
        # tensor2tensor spreads over all *other* events, and subtracts the least that the loss can be.
        others = rows.shape[-1] - 1
        least = -(1 - smoothing) * torch.tensor(1 - smoothing).log() - smoothing * torch.tensor(smoothing / others).log()
        return F.cross_entropy(rows, targets, label_smoothing=smoothing * (others + 1) / others) - least

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        *args,
        attention_mask: Tensor | None = None,
        performance_ids: Tensor | None = None,
        performance_attention_mask: Tensor | None = None,
        melody_ids: Tensor | None = None,
        melody_attention_mask: Tensor | None = None,
        style: Tensor | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        **kwargs,
    ):
        r"""
        Writes performances: everything that transformers' `generate` takes, and the following.

        It goes on as long as it is asked to. When the `context_length` of the configuration is full, the decoder forgets the
        older half of what it hears and reads the rest anew as if the piece began there, as it knows from training on
        crops; so each event costs about the same, wherever it stands. The style stays. The melody follows: it is heard from
        the moment on at which the window begins, for at most `context_length` steps.

        Args:
            input_ids (`Tensor` of shape (B, P), *optional*): primers to continue, padded with 0 at the beginning; the 0 that
                starts a sequence is put there where it is missing. None: begin at the beginning.
            attention_mask (`Tensor` of shape (B, P), *optional*): 0 where a primer is padded; default: before the 0 that
                stands before the first event.
            performance_ids, performance_attention_mask, melody_ids, melody_attention_mask (`Tensor`, *optional*):
                What is listened to, see [`TransformerAutoencoderModel.encode`].
            style (`Tensor` of shape (B, hidden_size) or (hidden_size,), *optional*): stored or mixed styles, in place of
                `performance_ids`; see [`mix_styles`].
            seed (`int`, *optional*): makes the draws reproducible, whatever else draws at the same time.
            generator (`torch.Generator`, *optional*): the same, as an object that goes on.
            kwargs: `max_new_tokens`, `do_sample`, `temperature`, `top_k`, `top_p`, `num_return_sequences`,
                `eos_token_id` (None: never stop by itself), `streamer`, `stopping_criteria`, ...

        Returns:
            `Tensor` of shape (B, 1 + P + new): starts, primers and what was written, padded with 0 at the end.

        Raises:
            ValueError: conditions that do not fit this model or one another, or both a seed and a generator.
        """
        if seed is not None and generator is not None:
            raise ValueError("Give a seed or a generator, not both.")
        if style is not None and style.dim() == 1:
            style = style.unsqueeze(0)
        conditions = [value for value in (performance_ids, melody_ids, style) if value is not None]
        batch_size = max([len(value) for value in conditions], default=1)
        device = self.device
        if input_ids is not None and input_ids.dim() != 2:
            raise ValueError(f"input_ids must have the shape (batch, events), got {tuple(input_ids.shape)}.")
        batch_size = batch_size if input_ids is None else max(batch_size, len(input_ids))
        sizes = {len(value) for value in [*conditions, *([] if input_ids is None else [input_ids])]}
        if not sizes <= {1, batch_size}:
            raise ValueError(
                f"Primers, styles and melodies must come in equal numbers, or one for all; got {sorted(sizes)}."
            )
        input_ids, attention_mask = prepare_primer(input_ids, attention_mask, batch_size, device)
        vocab_size = self.config.vocab_size
        _check_events("the primer", input_ids, vocab_size)
        _check_events("performance_ids", performance_ids, vocab_size)
        _check_events("melody_ids", melody_ids, self.config.melody_vocab_size)
        # CODEPATH: unconditional_model_16 and others of the plain Music Transformer listen to nothing
        if self.config.is_conditional:
            heard = slice(self.config.context_length)
            encoding = self.model.encode(
                performance_ids,
                performance_attention_mask,
                None if melody_ids is None else melody_ids[:, heard],
                None if melody_attention_mask is None else melody_attention_mask[:, heard],
                style,
            )
            kwargs["encoder_hidden_states"] = encoding.hidden_states.expand(batch_size, -1, -1)
            kwargs["encoder_attention_bias"] = encoding.attention_bias.expand(batch_size, -1, -1, -1)
            if melody_ids is not None:  # for later windows
                real = melody_ids if melody_attention_mask is None else melody_ids * melody_attention_mask
                kwargs["melody_ids"] = real.to(device).expand(batch_size, -1)
                kwargs["style"] = None if encoding.style is None else encoding.style.expand(batch_size, -1)
        else:
            self.model._check_conditions(performance_ids, melody_ids, style)
        if kwargs.get("use_cache", True) and kwargs.get("cache") is None:
            kwargs["use_cache"], kwargs["cache"] = True, PerformanceCache(self.config.num_hidden_layers)
        if kwargs.get("num_beams", 1) == 1 and kwargs.get("custom_generate") is None:
            if seed is not None:
                generator = torch.Generator(device).manual_seed(seed)
            kwargs["custom_generate"] = decode_tokens(generator, kwargs.get("streamer"))
        elif seed is not None or generator is not None:
            raise ValueError("Beam search and other custom ways to decode take no seed: they are not drawn here.")
        return super().generate(input_ids, *args, attention_mask=attention_mask, **kwargs)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        **kwargs,
    ) -> dict:
        """What `forward` gets for the next event: those in the window that the cache does not know yet."""
        start = window_start(input_ids.shape[1], self.config.context_length)
        known = start
        if isinstance(cache, PerformanceCache):
            if cache.start != start:
                cache.move(start)
            known += cache.get_seq_length()
        elif cache is not None and start:
            raise ValueError(
                f"Beyond {self.config.context_length} events only a PerformanceCache can follow the window, "
                f"not a {type(cache).__name__}."
            )
        elif cache is not None:
            known = cache.get_seq_length()
        new_ids = input_ids[:, known:]
        if known == start and start:  # a window starts as a sequence does
            new_ids = torch.cat([torch.zeros_like(new_ids[:, :1]), new_ids[:, 1:]], dim=1)
        encoding = kwargs.get("encoder_hidden_states"), kwargs.get("encoder_attention_bias")
        if start and kwargs.get("melody_ids") is not None:
            encoding = self._encoding_of_window(input_ids[:, : start + 1], cache, kwargs["melody_ids"], kwargs.get("style"))
        return {
            "input_ids": new_ids,
            "attention_mask": None if attention_mask is None else attention_mask[:, start:],
            "cache": cache,
            "use_cache": kwargs.get("use_cache"),
            "encoder_hidden_states": encoding[0],
            "encoder_attention_bias": encoding[1],
            "logits_to_keep": 1,
            **{name: kwargs[name] for name in ("output_attentions", "output_hidden_states") if name in kwargs},
        }

    def _encoding_of_window(
        self, events_before: Tensor, cache: Cache | None, melody_ids: Tensor, style: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What is heard after `events_before` (B, N): style, and the melody from then on; once for each window."""
        known = cache.encoding if isinstance(cache, PerformanceCache) else None
        if known is None:
            melody_ids = melody_after(melody_ids, events_before, self.config.context_length)
            encoding = self.model.encode(melody_ids=melody_ids, style=style)
            known = encoding.hidden_states, encoding.attention_bias
            if isinstance(cache, PerformanceCache):
                cache.encoding = known
        return known


def _check_events(name: str, ids: Tensor | None, vocab_size: int):
    """Refuses ids outside the vocabulary, before a table raises something that nobody understands."""
    if ids is None or not ids.numel():
        return
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest >= vocab_size:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"Events are 0 to {vocab_size - 1}; {name} holds {wrong}.")


def mix_styles(styles: Tensor, weights: Tensor | list[float] | None = None) -> Tensor:
    """One style from several: their weighted mean.

    Args:
        styles (`Tensor` of shape (N, hidden_size)): style vectors, see [`TransformerAutoencoderModel.encode_style`].
        weights (`Tensor` of shape (N,), *optional*): divided by their sum; equal by default. Weights below 0 lead away
            from a style, as in `[1.5, -0.5]`.

    Returns:
        (hidden_size,)

    Raises:
        ValueError: shapes do not fit, or the weights add up to nothing.
    """
    if styles.dim() != 2 or not len(styles):
        raise ValueError(f"styles must have the shape (N, hidden_size) with N at least 1, got {tuple(styles.shape)}.")
    weights = torch.ones(len(styles)) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
    if weights.shape != styles.shape[:1] or not bool(torch.isfinite(weights).all()):
        raise ValueError(f"weights must be {len(styles)} finite numbers, one for each style; got {weights.tolist()}.")
    if abs(float(weights.sum())) < 1e-6:
        raise ValueError(f"The weights {weights.tolist()} add up to nothing; there is no mean of them.")
    return (weights / weights.sum()).to(styles) @ styles


__all__ = [
    "Encoding",
    "TransformerAutoencoderForConditionalGeneration",
    "TransformerAutoencoderModel",
    "TransformerAutoencoderOutput",
    "TransformerAutoencoderPreTrainedModel",
    "mix_styles",
]

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
"""MusicVAE: a recurrent variational autoencoder for short pieces of music (Roberts et al., 2018)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_music_vae import MAX_SEQUENCE_LENGTH, MusicVAEConfig
from .decoders import build_decoder
from .encoders import build_encoder
from .multitrack_events import END, NUM_EVENTS
from .output_heads import NADEHead
from .recurrent import LSTM, LatentProjection
from .timed_controls import TimedControls

STOPPING = ("each", "batch", "never")


@dataclass
class MusicVAEPosterior(ModelOutput):
    """The diagonal normal distribution q(z | x) of a batch.

    Args:
        mean (`Tensor` of shape (B, latent_size)): its means.
        std (`Tensor` of shape (B, latent_size)): its standard deviations.
    """

    mean: Tensor | None = None
    std: Tensor | None = None

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A draw of shape (B, latent_size), differentiable in `mean` and `std`."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + self.std * noise

    def kl_divergence(self) -> Tensor:
        """KL(q || N(0, I)) of each sequence in nats, shape (B,)."""
        variance = self.std.float().square()
        return 0.5 * (variance + self.mean.float().square() - 1.0 - variance.log()).sum(dim=-1)


@dataclass
class MusicVAEOutput(ModelOutput):
    """What [`MusicVAEModel.forward`] gives. Losses are in nats per sequence, summed over its steps.

    Args:
        loss (`Tensor` of shape ()): mean reconstruction loss plus beta times the mean KL cost; what is trained.
        reconstruction_loss (`Tensor` of shape ()): its first term.
        kl_divergence (`Tensor` of shape ()): mean KL divergence from the prior, before free bits.
        kl_cost (`Tensor` of shape ()): mean KL divergence beyond the free bits.
        accuracy (`Tensor` of shape ()): share of valid steps whose likeliest event is the label; the mean over the parts of
            a step and over the segments of a hierarchical decoder, where there are several.
        part_accuracy (`Tensor` of shape (parts,)): the same for each part of a step, such as melody, bass and drums.
        logits (`Tensor` of shape (B, T, output_size)): teacher-forced decoder outputs.
        latents (`Tensor` of shape (B, latent_size)): the z that was decoded.
        posterior ([`MusicVAEPosterior`]): where z was drawn from.
        sequence_reconstruction_loss (`Tensor` of shape (B,)): the reconstruction loss of each sequence.
        segment_reconstruction_loss (`Tensor` of shape (B, segments)): the same for each segment of a hierarchical decoder.
    """

    loss: Tensor | None = None
    reconstruction_loss: Tensor | None = None
    kl_divergence: Tensor | None = None
    kl_cost: Tensor | None = None
    accuracy: Tensor | None = None
    part_accuracy: Tensor | None = None
    logits: Tensor | None = None
    latents: Tensor | None = None
    posterior: MusicVAEPosterior | None = None
    sequence_reconstruction_loss: Tensor | None = None
    segment_reconstruction_loss: Tensor | None = None


class MusicVAEPreTrainedModel(PreTrainedModel):
    """Weight initialisation, loading and saving of the family."""

    config: MusicVAEConfig
    config_class = MusicVAEConfig
    base_model_prefix = "music_vae"
    main_input_name = "input_values"
    _no_split_modules = ["BidirectionalEncoder", "HierarchicalEncoder", "AutoregressiveDecoder"]

    # The original's rules for every module; transformers' defaults would overwrite them.
    # trf-ignore: TRF018
    @torch.no_grad()
    def _init_weights(self, module):
        """The original's initialisation: Glorot-uniform kernels, zero biases, latent projections near zero."""
        if isinstance(module, LSTM):
            names = sorted(name for name, _ in module.named_parameters() if name.startswith("weight_ih_"))
            for suffix in (name.removeprefix("weight_ih_") for name in names):
                weight_ih = getattr(module, f"weight_ih_{suffix}")
                weight_hh = getattr(module, f"weight_hh_{suffix}")
                # One kernel of shape (input + hidden, 4 * hidden) in the original.
                bound = math.sqrt(6.0 / (weight_ih.shape[1] + weight_hh.shape[1] + weight_ih.shape[0]))
                init.uniform_(weight_ih, -bound, bound)
                init.uniform_(weight_hh, -bound, bound)
                bias = torch.zeros_like(getattr(module, f"bias_ih_{suffix}"))
                bias[module.hidden_size : 2 * module.hidden_size] = 1.0  # forget gate
                init.copy_(getattr(module, f"bias_ih_{suffix}"), bias)
                init.zeros_(getattr(module, f"bias_hh_{suffix}"))
        elif isinstance(module, LatentProjection):
            init.normal_(module.weight, mean=0.0, std=0.001)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, NADEHead):
            init.xavier_uniform_(module.encoder_weight)
            init.xavier_uniform_(module.decoder_weight)

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
        misfits = {
            "missing": report["missing_keys"],
            "unexpected": report["unexpected_keys"],
            "of another shape": [key for key, *shapes in report["mismatched_keys"]],
        }
        problems = [f"{len(keys)} {kind} (such as {min(keys)})" for kind, keys in misfits.items() if keys]
        if problems and not misfits_allowed:
            raise ValueError(
                f"The weights of {pretrained_model_name_or_path} do not fit the configuration: "
                f"tensors {', '.join(problems)}."
            )
        for module in model.modules():
            if isinstance(module, LSTM):
                module.freeze_second_bias()  # loading makes every parameter trainable
        return (model, report) if report_wanted else model


class MusicVAEModel(MusicVAEPreTrainedModel):
    r"""
    MusicVAE for fixed-length sequences of events: encode music to a latent vector, decode, sample, interpolate.

    Sequences have the shape (B, T, ...), by `config.output_type`:

    - `"categorical"`: integers (B, T), such as melody events (0 no event, 1 note off, 2 + n note on at the n-th pitch),
      drum combinations (bit c set where class c is hit) or the events of all tracks of a measure, where the steps behind a
      track's `config.end_token` are -1;
    - `"multi_categorical"`: integers (B, T, parts), such as melody event, bass event and drum combination of a trio;
    - `"nade"`: integers (B, T, drums), 1 where a drum is hit;
    - `"groove"`: floats (B, T, 3 * drums), the hits, velocities and timing offsets of all drums.

    [`MusicVAEProcessor`] makes them from MIDI and turns them back. Where `config.control_size` is not 0, encoder and decoder
    also read `controls` (B, T, control_size), such as chords.

    Example:

    ```python
    >>> model = MusicVAEModel.from_pretrained(bundled("music-vae-mel-2bar"))
    >>> sequences = model.sample(4, temperature=0.8, generator=torch.Generator().manual_seed(0))
    ```
    """

    def __init__(self, config: MusicVAEConfig):
        super().__init__(config)
        control_size = config.control_size
        self.encoder = build_encoder(config, control_size)
        # CODEPATH: magenta.js checkpoints with control_preprocessing, such as mel_2bar_multicontrol_*; no preset
        if config.control_hidden_sizes:
            self.control_encoder = LSTM(control_size, config.control_hidden_sizes, bidirectional=True)
            control_size = 2 * config.control_hidden_sizes[-1]
        self.latent_mean = LatentProjection(self.encoder.embedding_size, config.latent_size)
        self.latent_std = LatentProjection(self.encoder.embedding_size, config.latent_size)
        self.decoder = build_decoder(config, control_size)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_values: Tensor,
        lengths: Tensor | None = None,
        labels: Tensor | None = None,
        global_step: int | None = None,
        noise: Tensor | None = None,
        sampling_mask: Tensor | None = None,
        sampling_temperature: float | None = 1.0,
        generator: torch.Generator | None = None,
        controls: Tensor | None = None,
    ) -> MusicVAEOutput:
        r"""
        Encodes, draws z, decodes with teacher forcing and computes the loss (paper equation 2).

        Args:
            input_values (`Tensor` of shape (B, T, input_size)): encoder inputs.
            lengths (`Tensor` of shape (B,), *optional*): number of valid steps of each sequence, 1..T; None: all. Models
                with a hierarchical encoder or decoder take all steps, or a number for each segment, (B, segments).
            labels (`Tensor` of shape (B, T, ...), *optional*): the sequences to reconstruct. Without labels only `latents`
                and `posterior` are given.
            global_step (`int`, *optional*): number of the training step, from 0. It sets beta and, while training, the
                probability of scheduled sampling. None: beta = `max_beta` and teacher forcing.
            noise (`Tensor` of shape (B, latent_size), *optional*): the standard normal draw behind z; None draws it.
            sampling_mask (`Tensor` of shape (B, T), *optional*): scheduled sampling with this mask, true where the step
                *after* reads the model's own output. None draws it from the schedule.
            sampling_temperature (`float`, *optional*): of scheduled sampling; None feeds back the likeliest event.
            generator (`torch.Generator`, *optional*): for z and scheduled sampling.
            controls (`Tensor` of shape (B, T, control_size), *optional*): what encoder and decoder read at every step, for
                models that have controls.
        """
        posterior = self.encode(input_values, lengths, controls)
        latents = posterior.sample(generator) if noise is None else posterior.mean + posterior.std * noise
        output = MusicVAEOutput(latents=latents, posterior=posterior)
        if labels is not None:
            if sampling_mask is None and self.training and global_step is not None:
                sampling_mask = self._draw_sampling_mask(labels, global_step, generator)
            control_values = self._read_controls(controls, len(labels), labels.shape[1])
            previous = labels
            if sampling_mask is not None:
                forced = (labels, sampling_mask)
                previous = self.decoder.generate(
                    latents, labels.shape[1], sampling_temperature, generator, control_values, forced
                )
            # Sampled inputs carry no gradient, so the differentiable pass is teacher forcing on what was fed.
            output.logits = self.decoder(latents, self._shift(previous), control_values, self._segment_lengths(lengths))
            self._add_reconstruction(output, labels, lengths)
            divergence = posterior.kl_divergence()
            beta = self.config.max_beta if global_step is None else self.config.beta(global_step)
            output.kl_divergence = divergence.mean()
            output.kl_cost = F.relu(divergence - self.config.free_nats).mean()
            output.loss = output.reconstruction_loss + beta * output.kl_cost
        return output

    def encode(
        self, input_values: Tensor, lengths: Tensor | None = None, controls: Tensor | None = None
    ) -> MusicVAEPosterior:
        """The posterior of a batch: input_values (B, T, input_size), lengths (B,) or (B, segments) and controls
        (B, T, control_size) as in [`forward`], to mean and std (B, latent_size).

        Raises:
            ValueError: where the shapes do not fit the model, or a length is out of range.
        """
        if input_values.ndim != 3 or input_values.shape[-1] != self.config.input_size or 0 in input_values.shape:
            raise ValueError(
                f"input_values must have the shape (batch, steps, {self.config.input_size}), all positive; "
                f"got {tuple(input_values.shape)}."
            )
        steps = input_values.shape[1]
        self._check_length(steps)
        lengths = self._check_lengths(lengths, len(input_values), steps)
        controls = self._check_controls(controls, len(input_values), steps)
        input_values = input_values.to(self.dtype)
        if controls is not None:
            input_values = torch.cat([input_values, controls], dim=-1)
        embedding = self.encoder(input_values, lengths)
        return MusicVAEPosterior(mean=self.latent_mean(embedding), std=F.softplus(self.latent_std(embedding)))

    def decode(
        self,
        latents: Tensor,
        length: int | None = None,
        temperature: float | None = 1.0,
        generator: torch.Generator | None = None,
        controls: Tensor | TimedControls | None = None,
        batch_size: int = 256,
        stopping: str = "each",
        draws: Tensor | None = None,
        legal_only: bool = False,
        first_temperature: float | None = None,
        first_events: Tensor | None = None,
    ) -> Tensor:
        """Decodes latents (B, latent_size) to sequences (B, length, ...), free-running.

        Args:
            length (`int`, *optional*): steps; the length of the controls, or `config.max_sequence_length` by default. A
                hierarchical decoder writes at most `config.max_sequence_length`.
            temperature (`float`, *optional*): divides the logits before each draw; None takes the likeliest event.
            generator (`torch.Generator`, *optional*): for the draws.
            controls (`Tensor` of shape (T, control_size) or (B, T, control_size), *optional*): what every step reads, one
                for all or one each, for models that have controls; or [`TimedControls`], for models that have an end token.
            batch_size (`int`, defaults to 256): latents that are decoded at a time; more need no more memory.
            stopping (`str`, defaults to `"each"`): for models that have an end token. `"each"`: every segment of every item
                stops at its own end token, whatever else is in the batch, and the rest of it is -1. The original's ways:
                `"batch"`, a segment stops where the last item of the batch has written an end token; `"never"`, all
                segments are full, and what follows the first end token means nothing.
            draws (`Tensor` of shape (B, length), *optional*): numbers from 0 to 1 that decide what is sampled where
                `stopping` is `"each"`: an item's music depends on its own latents, controls and draws alone. None draws
                them with `generator`.
            legal_only (`bool`, defaults to `False`): for models of multitrack measures with `stopping` `"each"`: nothing is
                drawn that no measure can hold, see [`TrackGrammar`]. Not in the original.
            first_temperature (`float`, *optional*): where `stopping` is `"each"`, the temperature of the first event of each
                segment, such as the instrument of a track; `temperature` by default. Not in the original.
            first_events (`Tensor` of shape (B, segments), *optional*): where `stopping` is `"each"`, the event that each
                segment begins with, such as the instrument of a track; -1 where it is drawn. Not in the original.

        Raises:
            ValueError: for latents of another size, a temperature that is not positive, a length out of range, or
                controls or draws that do not fit.
        """
        self._check_latents(latents)
        if stopping not in STOPPING:
            raise ValueError(f"stopping must be one of {STOPPING}, got {stopping!r}.")
        for value in (temperature, first_temperature):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"temperature must be a positive number, or None for the likeliest events; got {value}.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        # CODEPATH: hier-multiperf_* presets
        ends_each = self.config.end_token is not None and stopping == "each"
        if ends_each:
            options = (legal_only, first_temperature, first_events)
            return self._decode_until(latents, length, temperature, generator, controls, batch_size, draws, *options)
        given = [value for value in (draws, first_temperature, first_events) if value is not None]
        if given or legal_only or isinstance(controls, TimedControls):
            raise ValueError(
                "draws, legal_only, first_temperature, first_events and TimedControls are for models that have an end "
                "token, with stopping 'each'."
            )
        end_token = self.config.end_token if stopping == "batch" else None
        if length is None:
            length = self.config.max_sequence_length if controls is None else controls.shape[-2]
        if not 1 <= length <= MAX_SEQUENCE_LENGTH:
            raise ValueError(f"length must be between 1 and {MAX_SEQUENCE_LENGTH} steps, got {length}.")
        if self.config.decoder_level_lengths is not None and length > self.config.max_sequence_length:
            raise ValueError(
                f"This model's hierarchical decoder writes at most {self.config.max_sequence_length} steps, got {length}."
            )
        latents = latents.to(self.device, self.dtype)
        sequences = []
        for start in range(0, len(latents), batch_size):
            part = latents[start : start + batch_size]
            own = controls if controls is None or controls.ndim == 2 else controls[start : start + batch_size]
            control_values = self._read_controls(own, len(part), length)
            sequences.append(
                self.decoder.generate(part, length, temperature, generator, control_values, end_token=end_token)
            )
        return torch.cat(sequences)

    def _decode_until(
        self,
        latents: Tensor,
        length: int | None,
        temperature: float | None,
        generator: torch.Generator | None,
        controls: Tensor | TimedControls | None,
        batch_size: int,
        draws: Tensor | None,
        legal_only: bool,
        first_temperature: float | None,
        first_events: Tensor | None,
    ) -> Tensor:
        """[`decode`] where every segment stops at its own end token."""
        steps = self.config.max_sequence_length
        if legal_only and (self.config.output_size, self.config.end_token) != (NUM_EVENTS, END):
            raise ValueError("legal_only is for models of multitrack measures; this one writes other events.")
        if length not in (None, steps):
            raise ValueError(f"Sequences of this model have {steps} steps, padding at the ends included; got {length}.")
        shape = (len(latents), steps)
        if draws is None:
            draws = torch.rand(shape, generator=generator, device=self.device)
        elif draws.shape != shape:
            raise ValueError(f"draws must have the shape {shape}, got {tuple(draws.shape)}.")
        if first_events is not None:
            shape = (len(latents), self.config.decoder_level_lengths[0])
            fits = first_events.shape == shape and not first_events.is_floating_point()
            if not fits or first_events.min() < -1 or first_events.max() >= self.config.output_size:
                raise ValueError(
                    f"first_events must be integers -1..{self.config.output_size - 1} of the shape {shape}, got "
                    f"{first_events.dtype} of the shape {tuple(first_events.shape)}."
                )
            first_events = first_events.to(self.device)
        latents, draws = latents.to(self.device, self.dtype), draws.to(self.device)
        sequences = []
        for start in range(0, len(latents), batch_size):
            items = slice(start, start + batch_size)
            part = latents[items]
            if isinstance(controls, TimedControls):
                controls.check(len(latents), self.config.control_size, self.config.output_size)
                own = controls[items].to(part)
            else:
                own = controls if controls is None or controls.ndim == 2 else controls[items]
                own = self._read_controls(own, len(part), steps)
            end_token = self.config.end_token
            first = None if first_events is None else first_events[items]
            options = (own, legal_only, first_temperature, first)
            sequences.append(self.decoder.generate_until(part, draws[items], end_token, temperature, *options))
        return torch.cat(sequences)

    def teacher_forced_logits(
        self, latents: Tensor, labels: Tensor, controls: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Outputs (B, T, output_size) for latents (B, latent_size) when every step reads the label (B, T, ...) before it.
        With the `lengths` that [`forward`] takes, what lies behind them is not computed: zeros."""
        self._check_latents(latents)
        control_values = self._read_controls(controls, len(latents), labels.shape[1])
        lengths = self._segment_lengths(self._check_lengths(lengths, *labels.shape[:2]))
        latents = latents.to(self.device, self.dtype)
        return self.decoder(latents, self._shift(labels), control_values, lengths)

    def segment_embeddings(self, latents: Tensor) -> Tensor:
        """What the conductor of a hierarchical decoder makes of latents (B, latent_size): (B, segments, embedding_size).

        Raises:
            ValueError: where the decoder is not hierarchical.
        """
        if self.config.decoder_level_lengths is None:
            raise ValueError("This model's decoder is not hierarchical: it has no segments.")
        self._check_latents(latents)
        return self.decoder.conduct(latents.to(self.device, self.dtype))

    def sample(
        self,
        num_samples: int,
        temperature: float | None = 1.0,
        generator: torch.Generator | None = None,
        length: int | None = None,
        controls: Tensor | TimedControls | None = None,
        batch_size: int = 256,
        stopping: str = "each",
        draws: Tensor | None = None,
        legal_only: bool = False,
        first_temperature: float | None = None,
        first_events: Tensor | None = None,
    ) -> Tensor:
        """Draws `num_samples` latents from the prior and decodes them to sequences (num_samples, length, ...); see
        [`decode`]."""
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}.")
        shape = (num_samples, self.config.latent_size)
        latents = torch.randn(shape, generator=generator, device=self.device, dtype=self.dtype)
        options = (stopping, draws, legal_only, first_temperature, first_events)
        return self.decode(latents, length, temperature, generator, controls, batch_size, *options)

    def reconstruct(
        self,
        input_values: Tensor,
        lengths: Tensor | None = None,
        temperature: float | None = None,
        generator: torch.Generator | None = None,
        controls: Tensor | None = None,
    ) -> Tensor:
        """Encodes (B, T, input_size) to the posterior's mean and decodes it to sequences (B, T, ...)."""
        latents = self.encode(input_values, lengths, controls).mean
        return self.decode(latents, input_values.shape[1], temperature, generator, controls)

    @torch.no_grad()
    def decode_feel(self, latents: Tensor, hits: Tensor, controls: Tensor | None = None, num_passes: int = 4) -> Tensor:
        """Velocities and timing for hits that are known: latents (B, latent_size) and hits (B, T, drums), 0 or 1, to
        grooves (B, T, 3 * drums) with exactly these hits. For groove models; not in the original, whose hits are its own.

        Args:
            num_passes (`int`, defaults to 4): every pass reads, at each step, the velocities and offsets that the pass
                before gave to the steps before it; the first reads all hits as equally loud and on time.

        Raises:
            ValueError: for a model of something else than grooves, or hits of another shape.
        """
        if self.config.output_type != "groove":
            raise ValueError(f"decode_feel is for groove models; this one's output_type is {self.config.output_type!r}.")
        drums = self.decoder.head.num_drums
        if hits.ndim != 3 or hits.shape[-1] != drums or len(hits) != len(latents):
            raise ValueError(f"hits must have the shape ({len(latents)}, steps, {drums}), got {tuple(hits.shape)}.")
        hits = hits.to(self.device, self.dtype)
        grooves = torch.cat([hits, 0.5 * hits, torch.zeros_like(hits)], dim=-1)
        for _ in range(num_passes):
            grooves = self.decoder.head.perform(self.teacher_forced_logits(latents, grooves, controls), hits)
        return grooves

    def interpolate(
        self,
        start: Tensor,
        end: Tensor,
        num_steps: int,
        temperature: float | None = None,
        generator: torch.Generator | None = None,
        length: int | None = None,
        controls: Tensor | None = None,
    ) -> Tensor:
        """Decodes `num_steps` points on the great arc from `start` to `end`, both (latent_size,) and both included, to
        sequences (num_steps, length, ...)."""
        if num_steps < 2:
            raise ValueError(f"num_steps must be at least 2 (both ends), got {num_steps}.")
        fractions = torch.linspace(0.0, 1.0, num_steps, device=start.device, dtype=start.dtype)
        return self.decode(slerp(start, end, fractions), length, temperature, generator, controls)

    def interpolate_corners(
        self,
        corners: Tensor,
        num_steps: int,
        temperature: float | None = None,
        generator: torch.Generator | None = None,
        length: int | None = None,
        controls: Tensor | None = None,
    ) -> Tensor:
        """Decodes a square grid between four latents to sequences
        (num_steps, num_steps, length, ...).

        Args:
            corners (`Tensor` of shape (4, latent_size)): top left, top right, bottom left, bottom right.
        """
        if corners.shape != (4, self.config.latent_size):
            raise ValueError(f"corners must have the shape (4, {self.config.latent_size}), got {tuple(corners.shape)}.")
        if num_steps < 2:
            raise ValueError(f"num_steps must be at least 2 (both ends), got {num_steps}.")
        fractions = torch.linspace(0.0, 1.0, num_steps, device=corners.device, dtype=corners.dtype)
        top = slerp(corners[0], corners[1], fractions)
        bottom = slerp(corners[2], corners[3], fractions)
        columns = [slerp(upper, lower, fractions) for upper, lower in zip(top, bottom, strict=True)]
        grid = torch.stack(columns, dim=1)
        sequences = self.decode(grid.flatten(0, 1), length, temperature, generator, controls)
        return sequences.unflatten(0, (num_steps, num_steps))

    def apply_attribute(self, latents: Tensor, direction: Tensor, strength: float) -> Tensor:
        """Latents (B, latent_size) moved by `strength` times an attribute vector (latent_size,) (paper section 5.3)."""
        self._check_latents(latents)
        return latents + strength * direction.to(latents.device, latents.dtype)

    def _check_latents(self, latents: Tensor):
        if latents.ndim != 2 or latents.shape[-1] != self.config.latent_size:
            raise ValueError(f"latents must have the shape (batch, {self.config.latent_size}), got {tuple(latents.shape)}.")

    def _check_length(self, steps: int):
        """Hierarchical models cut a sequence into segments of fixed length, so its length is fixed too."""
        config = self.config
        is_hierarchical = config.encoder_level_lengths is not None or config.decoder_level_lengths is not None
        if is_hierarchical and steps != config.max_sequence_length:
            raise ValueError(f"Sequences of this hierarchical model have {config.max_sequence_length} steps, got {steps}.")

    def _check_lengths(self, lengths: Tensor | None, batch_size: int, steps: int) -> Tensor | None:
        """Lengths that the encoder takes; None where all steps are valid."""
        if lengths is None:
            return None
        config = self.config
        num_segments = None
        # CODEPATH: hier-* presets
        if config.encoder_level_lengths is not None:
            num_segments = config.encoder_level_lengths[1]
        # CODEPATH: hierdec-* presets
        elif config.decoder_level_lengths is not None:
            num_segments = 1  # the original splits these lengths evenly: all steps or none
        if lengths.ndim == 2 and num_segments not in (None, 1):
            shape, limit = (batch_size, num_segments), steps // num_segments
        else:
            shape, limit = (batch_size,), steps
        if lengths.shape != shape or lengths.min() < 1 or lengths.max() > limit:
            raise ValueError(f"lengths must be of shape {shape} and within 1..{limit} steps, got {lengths.tolist()}.")
        if bool((lengths == limit).all()):
            return None
        if num_segments is not None and lengths.ndim == 1:
            raise ValueError(f"lengths must be {steps}, all steps, for this hierarchical model; got {lengths.tolist()}.")
        return lengths

    def _segment_lengths(self, lengths: Tensor | None) -> Tensor | None:
        """The lengths (B, segments) that a hierarchical decoder takes: None where there are none of segments, and other
        decoders decode all steps."""
        # CODEPATH: hierdec-* and hier-* presets
        if self.config.decoder_level_lengths is not None and lengths is not None and lengths.ndim == 2:
            return lengths
        return None

    def _read_controls(self, controls: Tensor | None, batch_size: int, steps: int) -> Tensor | None:
        """Controls (T, control_size) or (B, T, control_size) as the decoder reads them, (B, steps, ...)."""
        controls = self._check_controls(controls, batch_size, steps)
        # CODEPATH: magenta.js checkpoints with control_preprocessing, such as mel_2bar_multicontrol_*; no preset
        return self.control_encoder([controls])[0] if self.config.control_hidden_sizes else controls

    def _check_controls(self, controls: Tensor | None, batch_size: int, steps: int) -> Tensor | None:
        """Controls (T, control_size) or (B, T, control_size) as the encoder reads them, (B, steps, control_size)."""
        size = self.config.control_size
        if (controls is None) != (size == 0):
            raise ValueError(
                f"This model needs controls of {size} values per step." if size else "This model takes no controls."
            )
        if controls is None:
            return None
        if controls.ndim == 2:
            controls = controls.expand(batch_size, -1, -1)
        if controls.ndim != 3 or len(controls) != batch_size or controls.shape[1] < steps or controls.shape[2] != size:
            raise ValueError(
                f"controls must have the shape ({batch_size}, {steps}, {size}) or ({steps}, {size}); "
                f"got {tuple(controls.shape)}."
            )
        return controls[:, :steps].to(self.device, self.dtype)

    def _shift(self, labels: Tensor) -> Tensor:
        """Labels (B, T, ...) to the teacher-forced inputs (B, T, feedback_size): one step later, zeros first."""
        feedback = self.decoder.head.feedback(labels).to(self.dtype)
        return F.pad(feedback[:, :-1], (0, 0, 1, 0))

    def _add_reconstruction(self, output: MusicVAEOutput, labels: Tensor, lengths: Tensor | None):
        """Losses and accuracies of the logits in `output`."""
        head, mask = self.decoder.head, self._valid_steps(labels, lengths)
        if lengths is None:
            nll = head.negative_log_likelihood(output.logits, labels)
            correct = head.correct(output.logits.detach(), labels)
        else:
            places = mask.nonzero(as_tuple=True)  # most steps of measures are padding
            logits, valid_labels = output.logits[places], labels[places]
            nll = torch.zeros_like(mask).index_put(places, head.negative_log_likelihood(logits, valid_labels))
            valid_correct = head.correct(logits.detach(), valid_labels)
            correct = valid_correct.new_zeros(*mask.shape, valid_correct.shape[-1]).index_put(places, valid_correct)
        num_segments = (self.config.decoder_level_lengths or [1])[0]
        segment_correct = correct.unflatten(1, (num_segments, -1)).sum(dim=(0, 2))  # (segments, parts)
        segment_steps = mask.unflatten(1, (num_segments, -1)).sum(dim=(0, 2)).unsqueeze(-1)
        output.part_accuracy = (segment_correct / segment_steps).mean(dim=0)
        output.accuracy = output.part_accuracy.mean()
        output.sequence_reconstruction_loss = nll.sum(dim=-1)
        output.reconstruction_loss = output.sequence_reconstruction_loss.mean()
        # CODEPATH: hierdec-* and hier-* presets
        if self.config.decoder_level_lengths is not None:
            output.segment_reconstruction_loss = nll.unflatten(1, (num_segments, -1)).sum(dim=-1)

    def _valid_steps(self, labels: Tensor, lengths: Tensor | None) -> Tensor:
        """Float mask (B, T): 1 for the steps within the length of each sequence, or of each of its segments."""
        if lengths is None:
            return torch.ones(labels.shape[:2], device=labels.device)
        lengths = lengths.to(labels.device).view(len(labels), -1)
        steps = torch.arange(labels.shape[1] // lengths.shape[1], device=labels.device)
        return (steps < lengths.unsqueeze(-1)).float().flatten(1)

    def _draw_sampling_mask(self, labels: Tensor, global_step: int, generator: torch.Generator | None) -> Tensor | None:
        probability = self.config.scheduled_sampling_probability(global_step)
        if probability == 0.0:
            return None
        draws = torch.rand(labels.shape[:2], generator=generator, device=labels.device)
        return draws < probability


def slerp(start: Tensor, end: Tensor, fractions: Tensor) -> Tensor:
    """Spherical interpolation: vectors (D,) at `fractions` (N,) of the angle between them, shape (N, D).

    Follows the original: the angle is that of the normalised vectors, the vectors keep their lengths. Where they are
    (nearly) parallel the arc is a line.
    """
    cosine = torch.dot(F.normalize(start, dim=0), F.normalize(end, dim=0)).clamp(-1.0, 1.0)
    angle = torch.arccos(cosine)
    fractions = fractions.unsqueeze(-1)
    if torch.sin(angle) < 1e-6:
        return (1.0 - fractions) * start + fractions * end
    return (torch.sin((1.0 - fractions) * angle) * start + torch.sin(fractions * angle) * end) / torch.sin(angle)


__all__ = ["MusicVAEModel", "MusicVAEOutput", "MusicVAEPosterior", "MusicVAEPreTrainedModel", "slerp"]

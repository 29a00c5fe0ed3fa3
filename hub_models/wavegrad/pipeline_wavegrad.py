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
"""WaveGrad as a diffusers pipeline: a mel spectrogram, or audio that is turned into one, becomes a waveform.

Shape letters: B batch, T samples, F frames (T = F * hop), M mel bands.
"""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import AudioPipelineOutput, DiffusionPipeline, ModelMixin, SchedulerMixin
from huggingface_hub import snapshot_download
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor

#: The file that holds the class of each component, beside this one in a package, in the component's folder on the Hub.
COMPONENT_MODULES = {
    "model": "modeling_wavegrad",
    "scheduler": "scheduling_wavegrad",
    "feature_extractor": "feature_extraction_wavegrad",
}
OUTPUT_TYPES = ("np", "pt", "latent")
#: Frames of a chunk where none are asked for. On a CPU longer chunks are no faster; the published network takes about 3 MB
#: for each frame that it sees.
CHUNK_FRAMES = 128
#: Up to so many frames `WaveGradPipeline.__call__` goes over the audio whole on a CPU ...
MAX_WHOLE_FRAMES_CPU = 2 * CHUNK_FRAMES
#: ... and so many (about 20 seconds) on a GPU; also, what depends on the mel alone is kept for all steps.
MAX_WHOLE_FRAMES = 1500
#: How far a mel may leave 0..1 before it is refused: interpolation and half precision overshoot a little.
MEL_TOLERANCE = 0.01


class WaveGradPipeline(DiffusionPipeline):
    """Vocoder: turns a mel spectrogram into audio by a few steps of denoising (Chen et al. 2020, arXiv 2009.00713).

    With `mel` it is the last stage of a synthesizer. With `audio` it is copy synthesis: the mel spectrogram of the audio is
    computed and turned back, which shows what the vocoder can do.

    The noise at a sample depends on the item's generator, the step and the position alone. So an item sounds the same alone
    and in a batch, on a CPU and on a GPU, whole, in chunks and streamed.

    Args:
        model: `WaveGradModel`.
        scheduler: `WaveGradScheduler`, with the schedules published with the model.
        feature_extractor: `WaveGradFeatureExtractor`, with the settings that the model was trained on.

    Raises:
        ValueError: the settings of the feature extractor are not those that the model was trained on; the message names
            those that differ.
    """

    model_cpu_offload_seq = "model"
    _callback_tensor_inputs = ["latents", "mel"]

    def __init__(self, model: ModelMixin, scheduler: SchedulerMixin, feature_extractor: SequenceFeatureExtractor):
        super().__init__()
        _check_mel_settings(model, feature_extractor)
        self.register_modules(model=model, scheduler=scheduler, feature_extractor=feature_extractor)

    @property
    def sample_rate(self) -> int:
        """Of the audio that comes out, in Hz."""
        return self.feature_extractor.sampling_rate

    @property
    def num_timesteps(self) -> int:
        """How many steps the latest call took."""
        return self._num_timesteps

    @torch.no_grad()
    def __call__(
        self,
        mel: torch.Tensor | np.ndarray | Sequence[torch.Tensor | np.ndarray] | None = None,
        audio: torch.Tensor | np.ndarray | Sequence[torch.Tensor | np.ndarray] | None = None,
        sampling_rate: int | None = None,
        num_inference_steps: int | None = None,
        schedule: str | None = None,
        betas: Sequence[float] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        variance_noise: torch.Tensor | None = None,
        chunk_frames: int | None = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: Callable[[WaveGradPipeline, int, torch.Tensor, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> AudioPipelineOutput | tuple[np.ndarray | torch.Tensor]:
        """Make audio from a mel spectrogram, or from the mel spectrogram of audio.

        Args:
            mel: (M, F) or (B, M, F) float in 0..1, as the feature extractor makes it, or a list of such, all equally long.
                The audio has F * hop samples.
            audio: (T,) waveform of at least one sample, float in -1..1 or integer PCM, or a list of such, all equally long.
                Mono. The audio that comes out has T samples.
            sampling_rate: of `audio`, in Hz; must be `sample_rate`.
            num_inference_steps: 1 to 1000; this or `schedule` or `betas`, see `WaveGradScheduler.set_timesteps`. Without any
                of them, the scheduler's default schedule.
            schedule: name of a schedule saved with the model.
            betas: a schedule of one's own.
            generator: makes the result reproducible; a list has one for each item.
            latents: (B, F * hop) float, standard normal noise to start from instead of one from `generator`.
            variance_noise: (steps - 1, B, F * hop) float, the noise of each step but the last, in the order of the steps.
            chunk_frames: go over the audio in chunks of so many frames: the same result, and beside the waveform and the mel
                no memory that grows with the length. None: whole up to about 3 seconds on a CPU, 20 on a GPU, else chunks.
            output_type: "np" or "pt", or "latent": as "pt", in the full F * hop samples also for `audio`.
            return_dict: False gives a tuple.
            callback_on_step_end: called after each step with the pipeline, the step's index, its timestep and the tensors
                asked for; tensors in the dict that it returns take the place of those.
            callback_on_step_end_tensor_inputs: names of tensors for the callback: "latents", the waveform (B, F * hop) as it
                is by then, and "mel".

        Returns:
            `AudioPipelineOutput` with audios (B, T) float32 in -1..1.

        Raises:
            ValueError: arguments that are not possible; the message says what is.
        """
        _check_call(mel, audio, chunk_frames, output_type)
        _check_callback_tensors(callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        self.scheduler.set_timesteps(num_inference_steps, self._execution_device, schedule=schedule, betas=betas)
        timesteps = self.scheduler.timesteps
        self._num_timesteps = len(timesteps)

        num_samples = None
        if audio is not None:
            audio = self._check_audio(audio, sampling_rate)
            num_samples = audio.shape[1]
            mel = torch.cat(list(self._mel_of_audio(audio, MAX_WHOLE_FRAMES)), dim=2)
        mel = self._check_mel(mel)
        batch_size, _, num_frames = mel.shape
        shape = (batch_size, num_frames * self.model.hop_length)
        noise = _Noise(generator, batch_size)
        latents = noise(0, 0, shape[1]) if latents is None else _check_shape(latents, shape, "latents")
        latents = latents.to(mel.device, torch.float32) * self.scheduler.init_noise_sigma
        if variance_noise is not None:
            variance_noise = _check_shape(variance_noise, (len(timesteps) - 1, *shape), "variance_noise")

        windows = self._windows(num_frames, chunk_frames)
        mel_features = self._mel_features(mel, windows)
        with self.progress_bar(total=len(timesteps) * len(windows)) as progress_bar:
            for step, timestep in enumerate(timesteps):
                step_noise = None
                if step < len(timesteps) - 1:
                    step_noise = noise(step + 1, 0, shape[1]) if variance_noise is None else variance_noise[step]
                denoised = torch.empty_like(latents)
                for window, features in zip(windows, mel_features, strict=True):
                    window_noise = None if step_noise is None else step_noise[:, window.samples]
                    denoised[:, window.samples] = self._denoise(
                        self.scheduler, timestep, window, latents, mel, window_noise, features
                    )
                    progress_bar.update()
                latents = denoised
                if callback_on_step_end is not None:
                    tensors = {"latents": latents, "mel": mel}
                    tensors = {name: tensors[name] for name in callback_on_step_end_tensor_inputs}
                    changed = callback_on_step_end(self, step, timestep, tensors) or {}
                    latents = changed.get("latents", latents)
                    if changed.get("mel", mel) is not mel:
                        mel = changed["mel"]
                        mel_features = self._mel_features(mel, windows)

        self.maybe_free_model_hooks()
        if output_type != "latent":
            latents = latents[:, :num_samples]
        audios = latents.cpu().numpy() if output_type == "np" else latents
        return AudioPipelineOutput(audios=audios) if return_dict else (audios,)

    def stream(
        self,
        mel: torch.Tensor | np.ndarray | Sequence[torch.Tensor | np.ndarray] | Iterator | None = None,
        audio: torch.Tensor | np.ndarray | Sequence[torch.Tensor | np.ndarray] | None = None,
        sampling_rate: int | None = None,
        num_inference_steps: int | None = None,
        schedule: str | None = None,
        betas: Sequence[float] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        chunk_frames: int | None = None,
        output_type: str = "np",
    ) -> Iterator[np.ndarray | torch.Tensor]:
        """Make audio piece by piece, in memory that does not grow with its length.

        All steps work at once, each at its own place: a step goes over a piece as soon as the step before is through with
        the `model.context_frames` frames that follow it. So the first sound comes after chunk_frames + steps *
        context_frames frames of mel. The pieces together are what `__call__` gives with the same generator.

        Arguments are those of `__call__`. Besides, `mel` may be an iterator of (M, f) or (B, M, f) pieces of any lengths,
        read as needed, so that sound comes while the mel is still being made, and `audio` may be a memory-mapped array.

        Args:
            chunk_frames: how many frames are worked on at a time: fewer for lower latency, more for less work in total.
                None: 128.

        Yields:
            (B, samples) float32 in -1..1, chunk_frames * hop samples but in the first pieces and the last.

        Raises:
            ValueError: as `__call__`, at once; for what an iterator of mel gives, when it comes to it.
        """
        _check_call(mel, audio, chunk_frames, output_type)
        chunk_frames = chunk_frames or CHUNK_FRAMES
        # A copy, so that the pipeline can be used for something else while the stream is being read.
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(num_inference_steps, self._execution_device, schedule=schedule, betas=betas)
        num_samples = None
        if audio is not None:
            audio = self._check_audio(audio, sampling_rate)
            num_samples = audio.shape[1]
            mel = self._mel_of_audio(audio, chunk_frames)
        elif not isinstance(mel, Iterator):
            mel = iter([self._check_mel(mel)])
        return self._stream(mel, num_samples, scheduler, generator, chunk_frames, output_type)

    @torch.no_grad()
    def _stream(
        self,
        mels: Iterator,
        num_samples: int | None,
        scheduler: SchedulerMixin,
        generator: torch.Generator | list[torch.Generator] | None,
        chunk_frames: int,
        output_type: str,
    ) -> Iterator[np.ndarray | torch.Tensor]:
        cascade, position, emitted = None, 0, 0
        for mel, ended in _rechunked(map(self._check_mel, mels), chunk_frames):
            if cascade is None:
                noise = _Noise(generator, mel.shape[0])
                cascade = _Cascade(self, scheduler, noise, chunk_frames)
            start, position = position, position + mel.shape[2] * self.model.hop_length
            initial = noise(0, start, position).to(mel.device) * scheduler.init_noise_sigma
            audio = cascade.push(initial, mel, ended)
            if num_samples is not None:
                audio = audio[:, : max(num_samples - emitted, 0)]
            emitted += audio.shape[1]
            if audio.shape[1]:
                yield audio.cpu().numpy() if output_type == "np" else audio
        self.maybe_free_model_hooks()

    def _denoise(
        self,
        scheduler: SchedulerMixin,
        timestep: torch.Tensor,
        window: _Window,
        latents: torch.Tensor,
        mel: torch.Tensor,
        variance_noise: torch.Tensor | None,
        mel_features: Any = None,
    ) -> torch.Tensor:
        """One step over the samples of a window.

        Args:
            latents: (B, T) and mel (B, M, F), the buffers that the window is in.
            variance_noise: (B, samples of the window); None in the last step.
            mel_features: `model.encode_mel` of what the network sees of the mel, if at hand.
        """
        dtype = self.model.dtype
        seen, seen_mel = latents[:, window.seen_samples].to(dtype), mel[:, :, window.seen].to(dtype)
        features = {} if mel_features is None else {"mel_features": mel_features}
        estimate = self.model(seen, scheduler.noise_level(timestep), seen_mel, **features).sample
        return scheduler.step(
            estimate[:, window.kept_samples].float(),
            timestep,
            latents[:, window.samples],
            variance_noise=None if variance_noise is None else variance_noise.to(latents.device),
        ).prev_sample

    def _windows(self, num_frames: int, chunk_frames: int | None) -> list[_Window]:
        """The chunks of a whole, one after the other."""
        if chunk_frames is None:
            max_whole = MAX_WHOLE_FRAMES_CPU if self._execution_device.type == "cpu" else MAX_WHOLE_FRAMES
            chunk_frames = num_frames if num_frames <= max_whole else CHUNK_FRAMES
        firsts = range(0, num_frames, chunk_frames)
        return [_Window(first, min(first + chunk_frames, num_frames), 0, num_frames, self.model) for first in firsts]

    def _mel_features(self, mel: torch.Tensor, windows: list[_Window]) -> list[Any]:
        """For each window what depends on the mel alone, so that no step computes it again.

        None where it would be too much to keep, or where offloading must see every call of the network.
        """
        hooked = hasattr(self.model, "_hf_hook") or hasattr(self.model, "_diffusers_hook")
        if hooked or mel.shape[2] > MAX_WHOLE_FRAMES:
            return [None] * len(windows)
        return [self.model.encode_mel(mel[:, :, window.seen].to(self.model.dtype)) for window in windows]

    def _mel_of_audio(self, audio: np.ndarray, chunk_frames: int) -> Iterator[torch.Tensor]:
        """The mel of (B, T) audio in pieces (B, M, up to chunk_frames), each computed as it is asked for.

        What the feature extractor mirrors where a piece was cut are frames that are left out again.
        """
        extractor = self.feature_extractor
        if audio.shape[1] < extractor.min_samples:
            audio = np.pad(audio, ((0, 0), (0, extractor.min_samples - audio.shape[1])), mode="edge")
        num_frames = 1 + audio.shape[1] // extractor.hop_length
        margin = -(-extractor.n_fft // extractor.hop_length)
        for first in range(0, num_frames, chunk_frames):
            last, start = min(first + chunk_frames, num_frames), max(0, first - margin)
            piece = audio[:, start * extractor.hop_length : (last + margin) * extractor.hop_length]
            features = extractor(list(piece), sampling_rate=extractor.sampling_rate, return_tensors="pt")
            yield features.input_features[:, :, first - start : last - start]

    def _check_audio(self, audio: Any, sampling_rate: int | None) -> np.ndarray:
        """(B, T) of any type of sample; a single clip is not copied."""
        if sampling_rate != self.sample_rate:
            given = "no sampling_rate is given" if sampling_rate is None else f"sampling_rate is {sampling_rate} Hz"
            raise ValueError(
                f"This vocoder works at {self.sample_rate} Hz, {given}: resample the audio (hub_models.audio.resample) and "
                f"pass sampling_rate={self.sample_rate}."
            )
        is_batch = isinstance(audio, (list, tuple)) and len(audio) and np.ndim(audio[0])
        clips = [_clip(clip) for clip in (audio if is_batch else [audio])]
        if len({len(clip) for clip in clips}) != 1:
            lengths = ", ".join(str(len(clip)) for clip in clips)
            raise ValueError(f"The clips of a batch must be equally long, not {lengths} samples: give them one by one.")
        return clips[0][None] if len(clips) == 1 else np.stack(clips)

    def _check_mel(self, mel: Any) -> torch.Tensor:
        """(B, M, F) float32 on the pipeline's device."""
        if isinstance(mel, (list, tuple)) and len(mel) and np.ndim(mel[0]) >= 2:
            mels = [self._check_mel(item) for item in mel]
            if len({item.shape[2] for item in mels}) != 1:
                lengths = ", ".join(str(item.shape[2]) for item in mels)
                raise ValueError(f"The mels of a batch must be equally long, not {lengths} frames: give them one by one.")
            return torch.cat(mels)
        mel = torch.as_tensor(mel)
        mel = mel[None] if mel.ndim == 2 else mel
        bands = self.model.config.num_mel_bands
        if mel.ndim != 3 or mel.shape[1] != bands or not mel.shape[0]:
            hint = " Transpose it." if mel.ndim == 3 and mel.shape[2] == bands else ""
            raise ValueError(
                f"The mel has shape {tuple(mel.shape)}; this model reads ({bands} bands, frames) or a batch of these.{hint}"
            )
        if not mel.shape[2]:
            raise ValueError("The mel is empty: give at least one frame.")
        mel = mel.to(self._execution_device, torch.float32)
        low, high = mel.min().item() + 0.0, mel.max().item() + 0.0  # 0.0 makes 0 of -0
        if not np.isfinite([low, high]).all():
            raise ValueError("The mel holds values that are not numbers (NaN or infinity).")
        if low < -MEL_TOLERANCE or high > 1 + MEL_TOLERANCE:
            raise ValueError(
                f"The mel holds values from {low:.4g} to {high:.4g}; this model reads 0 to 1, as pipeline.feature_extractor "
                "gives. A mel in dB, of natural logarithms or without logarithm would give noise."
            )
        return mel

    # Folders. diffusers writes components from outside of it by their full module names ("hub_models.wavegrad...") and then
    # finds them only where these modules are imported already. Here the index has the names that the Hub needs, where the
    # code lies in the components' folders; read through this class, they are the modules beside this one.

    def to_json_string(self) -> str:
        """The index of components as model_index.json has it, with names that need no package."""
        index = json.loads(super().to_json_string())
        index.pop("_name_or_path", None)
        index["_class_name"] = [type(self).__module__.rpartition(".")[2], type(self).__name__]
        for name, module in COMPONENT_MODULES.items():
            if index[name][0].rpartition(".")[2] == module:
                index[name][0] = module
        return json.dumps(index, indent=2, sort_keys=True) + "\n"

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> dict[str, Any] | tuple:
        """The index of components, which are those of this package whatever code the folder brings along."""
        loaded = super().load_config(*args, **kwargs)
        index = loaded[0] if isinstance(loaded, tuple) else loaded
        index["_class_name"] = cls.__name__
        for name, module in COMPONENT_MODULES.items():
            if name in index and str(index[name][0]).rpartition(".")[2] == module:
                sibling = f"{__name__.rpartition('.')[0]}.{module}"
                importlib.import_module(sibling)
                index[name] = [sibling, index[name][1]]
        return loaded

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str:
        """Fetch weights and settings from a repository on the Hub, none of its code: this class has its own."""
        names = ("cache_dir", "force_download", "token", "revision", "local_files_only")
        kwargs = {name: kwargs[name] for name in names if kwargs.get(name) is not None}
        return snapshot_download(pretrained_model_name, allow_patterns=["*.json", "*.safetensors"], **kwargs)


class _Window:
    """What the network sees to make the frames [first, last) of a buffer that holds the frames [start, end).

    All count from the beginning of the audio.

    Attributes:
        samples: slice of a buffer of audio, the samples of the frames.
        seen: slice of a buffer of mel, the frames and their context on both sides, as far as there is any.
        seen_samples: the same of a buffer of audio.
        kept_samples: slice of what the network gives, the samples of the frames.
    """

    def __init__(self, first: int, last: int, start: int, end: int, model: ModelMixin):
        hop, context = model.hop_length, model.context_frames
        before, after = max(start, first - context), min(end, last + context)
        self.samples = slice((first - start) * hop, (last - start) * hop)
        self.seen = slice(before - start, after - start)
        self.seen_samples = slice((before - start) * hop, (after - start) * hop)
        self.kept_samples = slice((first - before) * hop, (last - before) * hop)


class _Noise:
    """Normal noise that is a function of the item's seed, the number of the draw and the position."""

    BLOCK = 4096

    def __init__(self, generator: torch.Generator | list[torch.Generator] | None, batch_size: int):
        if isinstance(generator, (list, tuple)):
            if len(generator) != batch_size:
                raise ValueError(f"{len(generator)} generators for a batch of {batch_size}: give one, or one for each item.")
            generators = generator
        else:
            generators = [generator] * batch_size
        self.seeds = [_seed(generator) for generator in generators]

    def __call__(self, draw: int, start: int, stop: int) -> torch.Tensor:
        """(B, stop - start) float32 on the CPU, for the samples [start, stop)."""
        first, last = start // self.BLOCK, -(-stop // self.BLOCK)
        noise = np.empty((len(self.seeds), (last - first) * self.BLOCK), dtype=np.float32)
        for item, seed in zip(noise, self.seeds, strict=True):
            for block, values in enumerate(item.reshape(-1, self.BLOCK), start=first):
                bits = np.random.Philox(np.random.SeedSequence((seed, draw, block)))
                np.random.Generator(bits).standard_normal(dtype=np.float32, out=values)
        return torch.from_numpy(noise)[:, start - first * self.BLOCK : stop - first * self.BLOCK]


def _seed(generator: torch.Generator | None) -> int:
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**63 - 1, (), generator=generator, device=device))


class _Cascade:
    """All steps of a stream at work at once, each on audio that the one before has given."""

    def __init__(self, pipeline: WaveGradPipeline, scheduler: SchedulerMixin, noise: _Noise, chunk_frames: int):
        self.pipeline, self.scheduler, self.noise, self.chunk_frames = pipeline, scheduler, noise, chunk_frames
        self.num_steps = len(scheduler.timesteps)
        self.mel, self.mel_start = None, 0
        # Of each step: the audio that it still reads, the frame where this begins, and how many frames it is through with.
        self.audio: list[torch.Tensor | None] = [None] * self.num_steps
        self.start, self.done = [0] * self.num_steps, [0] * self.num_steps

    def push(self, audio: torch.Tensor, mel: torch.Tensor, ended: bool) -> torch.Tensor:
        """Take in noise (B, f * hop) and its mel (B, M, f), give the samples (B, any number) that are ready.

        With `ended` nothing follows, and all that is left is given.
        """
        self.mel = mel if self.mel is None else torch.cat((self.mel, mel), dim=2)
        for step in range(self.num_steps):
            audio = self._advance(step, audio, ended)
        unread = self.start[-1] - self.mel_start
        self.mel, self.mel_start = self.mel[:, :, unread:], self.start[-1]
        return audio

    def _advance(self, step: int, audio: torch.Tensor, ended: bool) -> torch.Tensor:
        model = self.pipeline.model
        hop, context, start = model.hop_length, model.context_frames, self.start[step]
        buffer = audio if self.audio[step] is None else torch.cat((self.audio[step], audio), dim=1)
        mel = self.mel[:, :, start - self.mel_start :]
        end = start + buffer.shape[1] // hop
        ready_end, ready = end if ended else end - context, [audio[:, :0]]
        while self.done[step] < ready_end:
            first, last = self.done[step], min(self.done[step] + self.chunk_frames, ready_end)
            window = _Window(first, last, start, end, model)
            noise = self.noise(step + 1, first * hop, last * hop) if step < self.num_steps - 1 else None
            timestep = self.scheduler.timesteps[step]
            ready.append(self.pipeline._denoise(self.scheduler, timestep, window, buffer, mel, noise))
            self.done[step] = last
        self.start[step] = max(start, self.done[step] - context)
        self.audio[step] = buffer[:, (self.start[step] - start) * hop :]
        return torch.cat(ready, dim=1)


def _rechunked(pieces: Iterable[torch.Tensor], num_frames: int) -> Iterator[tuple[torch.Tensor, bool]]:
    """Pieces (B, M, f) of any lengths as pieces of num_frames, each with whether it is the last, which may be empty."""
    waiting = None
    for piece in pieces:
        if waiting is not None and waiting.shape[0] != piece.shape[0]:
            raise ValueError(f"A piece of mel has a batch of {piece.shape[0]}, those before have one of {waiting.shape[0]}.")
        waiting = piece if waiting is None else torch.cat((waiting, piece), dim=2)
        while waiting.shape[2] >= num_frames:
            yield waiting[:, :, :num_frames], False
            waiting = waiting[:, :, num_frames:]
    if waiting is not None:
        yield waiting, True


def _clip(audio: Any) -> np.ndarray:
    """(T,)"""
    if isinstance(audio, torch.Tensor):
        audio = audio.detach().cpu()
        audio = (audio.float() if audio.dtype == torch.bfloat16 else audio).numpy()
    audio = np.asanyarray(audio)
    if audio.ndim == 2 and audio.shape[0] == 1:
        audio = audio[0]
    if audio.ndim != 1:
        raise ValueError(
            f"A clip of audio is mono, (samples,), not of shape {audio.shape}: mix its channels (hub_models.audio.mono), or "
            "give several clips, or the channels, as a list."
        )
    if not len(audio):
        raise ValueError("The audio is empty: give at least one sample.")
    return audio


def _check_call(mel: Any, audio: Any, chunk_frames: int | None, output_type: str) -> None:
    if (mel is None) == (audio is None):
        raise ValueError(f"Give mel or audio, not {'neither' if mel is None else 'both'}.")
    if chunk_frames is not None and (not isinstance(chunk_frames, int) or chunk_frames < 1):
        raise ValueError(f"chunk_frames is {chunk_frames!r}; whole numbers from 1 are possible.")
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type is {output_type!r}; choose one of {', '.join(OUTPUT_TYPES)}.")


def _check_callback_tensors(names: Sequence[str], allowed: Sequence[str]) -> None:
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise ValueError(f"A callback can have the tensors {', '.join(allowed)}, not {', '.join(unknown)}.")


def _check_shape(noise: torch.Tensor, shape: tuple[int, ...], name: str) -> torch.Tensor:
    if tuple(noise.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(noise.shape)}; for this mel and schedule it must have {shape}.")
    return noise


def _check_mel_settings(model: ModelMixin, feature_extractor: SequenceFeatureExtractor) -> None:
    given = feature_extractor.mel_settings
    expected = getattr(model.config, "mel_settings", None)
    if expected is None:
        expected = {"feature_size": model.config.num_mel_bands, "hop_length": model.hop_length}
        given = {name: given[name] for name in expected}
    differing = sorted(name for name in given.keys() | expected.keys() if given.get(name) != expected.get(name))
    if differing:
        listed = ", ".join(f"{name} {given.get(name)!r} instead of {expected.get(name)!r}" for name in differing)
        raise ValueError(f"The model was trained on other mel spectrograms than this feature extractor makes: {listed}.")

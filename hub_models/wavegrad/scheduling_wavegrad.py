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
"""WaveGrad's diffusion: noise schedules, the reverse step, the noise levels of training.

A schedule is a list of betas, the variance of the noise that each step adds. The network is not told the number of a step
but its noise level, sqrt(prod(1 - beta)): 1 is clean, 0 is noise alone. So one network serves any schedule, of any length.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor

MAX_STEPS = 1000
#: Always the name of the betas of training; no saved schedule can take it.
TRAINING = "training"
#: Saved in every scheduler unless other schedules are given. 1000, 50 and 25 are the paper's (arXiv 2009.00713). It searched
#: one of 6 steps for each model and printed none: this one ivanvovk/WaveGrad published with its model of a voice.
DEFAULT_SCHEDULES: dict[str, Any] = {
    "6": [1e-6, 1.8929e-5, 1e-4, 1e-3, 1.11e-2, 6e-2],
    "25": {"type": "fibonacci", "first": 1e-6, "second": 2e-6, "num_steps": 25},
    "50": {"type": "linear", "beta_start": 1e-4, "beta_end": 0.05, "num_steps": 50},
    "1000": {"type": "linear", "beta_start": 1e-4, "beta_end": 0.005, "num_steps": 1000},
}
#: The arguments of a schedule that is written as a rule.
RULES = {"linear": ("beta_start", "beta_end", "num_steps"), "fibonacci": ("first", "second", "num_steps")}


@dataclass
class WaveGradSchedulerOutput(BaseOutput):
    """What `WaveGradScheduler.step` gives.

    Attributes:
        prev_sample: as the sample that was given; the input of the next step.
    """

    prev_sample: torch.Tensor


class WaveGradScheduler(SchedulerMixin, ConfigMixin):
    """The diffusion of WaveGrad (Chen et al. 2020, arXiv 2009.00713, section 2), computed as lmnt-com/wavegrad does.

    Schedules are saved by name in scheduler_config.json, so that a few-step schedule that was searched for a model is
    published with it. Until `set_timesteps` is called, the scheduler is set to the schedule of training.

    Args:
        num_train_timesteps: betas of training; with `trained_betas`, their number.
        beta_start: first beta of training.
        beta_end: last beta of training; those between are linear.
        trained_betas: the betas of training themselves, instead of the three above.
        schedules: by name, either the betas, the one of the last step (the cleanest) first, or a rule:
            `{"type": "linear", "beta_start": ..., "beta_end": ..., "num_steps": ...}` or
            `{"type": "fibonacci", "first": ..., "second": ..., "num_steps": ...}`, each beta the sum of the two before.
            None: the schedules "6", "25", "50" and "1000" of `DEFAULT_SCHEDULES`.
        default_schedule: the name that `set_timesteps()` takes. None: the shortest schedule.
        clip_sample: clamp the waveform to -1..1 after every step, its noise included, as the original does.
        scale_initial_noise: begin with noise as loud as the first noise level says, sqrt(1 - level^2), so that a schedule
            may begin at any level. The original begins with noise of variance 1 whatever the level.

    Attributes:
        timesteps: (steps,) int64, falling: n-1 .. 0, positions in the schedule in use.
        num_inference_steps: None until `set_timesteps`.
        init_noise_sigma: how loud the noise must be that the schedule in use begins with.
        noise_levels: (steps,) float32, what the network is told at each position.
        betas: (steps,) numpy float64, those of the schedule in use.
        training_noise_levels: (num_train_timesteps + 1,) float32, falling from 1: the bounds of the levels of training.

    Raises:
        ValueError: betas that are not between 0 and 1, a broken schedule, or an unknown name; the message says which.
    """

    order = 1

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 1e-6,
        beta_end: float = 0.01,
        trained_betas: Sequence[float] | np.ndarray | None = None,
        schedules: Mapping[str, Any] | None = None,
        default_schedule: str | None = None,
        clip_sample: bool = True,
        scale_initial_noise: bool = False,
    ):
        if trained_betas is None:
            rule = {"type": "linear", "beta_start": beta_start, "beta_end": beta_end, "num_steps": num_train_timesteps}
            self._training_betas = _expand(rule, "training")
        else:
            self._training_betas = _check_betas(trained_betas, "training")
            trained_betas = self._training_betas.tolist()
        schedules = copy.deepcopy(DEFAULT_SCHEDULES) if schedules is None else _plain_schedules(schedules)
        # What the configuration holds is complete and plain, so that a saved file shows every schedule.
        self.register_to_config(
            num_train_timesteps=len(self._training_betas), trained_betas=trained_betas, schedules=schedules
        )
        if default_schedule is None:
            default_schedule = [*self.schedule_names, TRAINING][0]
        self.schedule_betas(default_schedule)
        self.register_to_config(default_schedule=default_schedule)
        self.training_noise_levels = torch.from_numpy(_levels(np.concatenate([[0.0], self._training_betas])))
        self._use(self._training_betas, device=None)
        self.num_inference_steps: int | None = None

    @classmethod
    def _get_compatibles(cls) -> list[type]:
        # diffusers looks for the names of `_compatibles` in its own modules only.
        return [cls]

    def __len__(self) -> int:
        return self.config.num_train_timesteps

    @property
    def schedule_names(self) -> list[str]:
        """Names of the saved schedules, the shortest schedule first."""
        return sorted(self.config.schedules, key=lambda name: (_num_steps(self.config.schedules[name]), name))

    def schedule_betas(self, name: str) -> np.ndarray:
        """(steps,) float64, the betas of a saved schedule, or those of training with the name "training".

        Raises:
            ValueError: there is no such schedule; the message names those there are.
        """
        if name == TRAINING:
            return self._training_betas
        if not isinstance(name, str) or name not in self.config.schedules:
            names = ", ".join([*map(repr, self.schedule_names), repr(TRAINING)])
            raise ValueError(f"There is no schedule {name!r}; there are {names}.")
        return _expand(self.config.schedules[name], name)

    def with_schedule(self, name: str, betas: Sequence[float] | np.ndarray, default: bool = False) -> WaveGradScheduler:
        """A new scheduler that also has this schedule, or has it instead of the one with the same name.

        `save_pretrained` writes it into scheduler_config.json.

        Args:
            name: of the schedule; with digits only, such as "6", it must be the number of steps.
            betas: each in (0, 1), the one of the last step first.
            default: also make it the default schedule.

        Raises:
            ValueError: the betas or the name are not possible.
        """
        schedules = dict(self.config.schedules) | {name: _check_betas(betas, repr(name)).tolist()}
        default_schedule = name if default else self.config.default_schedule
        return type(self).from_config(self.config, schedules=schedules, default_schedule=default_schedule)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        *,
        schedule: str | None = None,
        betas: Sequence[float] | np.ndarray | torch.Tensor | None = None,
    ) -> None:
        """Choose the schedule of the reverse process, by one of three; by none, the default schedule.

        Args:
            num_inference_steps: 1 to 1000. A saved schedule of so many steps: the default one, else the one with the
                number as its name, else the first by name; if there is none, `log_snr_betas` of that many steps.
            device: where `timesteps` and `noise_levels` are put.
            schedule: name of a saved schedule, or "training".
            betas: 1 to 1000 numbers in (0, 1), the one of the last step first.

        Raises:
            ValueError: more than one of the three, an unknown name, or numbers that are not possible.
        """
        given = {"num_inference_steps": num_inference_steps, "schedule": schedule, "betas": betas}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"Give one of num_inference_steps, schedule and betas, not {' and '.join(given)}.")
        if betas is not None:
            chosen = _check_betas(betas, "the given schedule")
        elif num_inference_steps is not None:
            chosen = self._betas_of_length(_check_num_steps(num_inference_steps, "num_inference_steps"))
        else:
            chosen = self.schedule_betas(self.config.default_schedule if schedule is None else schedule)
        self._use(chosen, device)
        self.num_inference_steps = len(chosen)

    def log_snr_betas(self, num_inference_steps: int) -> np.ndarray:
        """(steps,) float64 betas whose noise levels span those of training, the log of signal-to-noise falling evenly.

        For networks with no schedule of their own of that length; a search finds better ones.
        """
        _check_num_steps(num_inference_steps, "num_inference_steps")
        signal = np.cumprod(1 - self._training_betas)
        log_snr = np.log(signal) - np.log1p(-signal)
        # A single step starts from pure noise: the last level of training, not the first.
        start = log_snr[0] if num_inference_steps > 1 else log_snr[-1]
        signal = 1 / (1 + np.exp(-np.linspace(start, log_snr[-1], num_inference_steps)))
        betas = 1 - signal / np.concatenate([[1.0], signal[:-1]])
        return _check_betas(betas, f"{num_inference_steps} steps over {len(self)} training levels")

    def scale_model_input(self, sample: torch.Tensor, timestep: int | torch.Tensor | None = None) -> torch.Tensor:
        """The sample as it is: this diffusion scales nothing. Here for pipelines that change schedulers."""
        return sample

    def noise_level(self, timestep: int | torch.Tensor) -> torch.Tensor:
        """() float32, what the network is told at this timestep, on the device that `set_timesteps` was given."""
        return self.noise_levels[self._position(timestep)]

    def step(
        self,
        model_output: torch.Tensor,
        timestep: int | torch.Tensor,
        sample: torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        variance_noise: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> WaveGradSchedulerOutput | tuple[torch.Tensor]:
        """One reverse step (algorithm 2 of the paper).

        prev = (sample - beta / sqrt(1 - a) * model_output) / sqrt(1 - beta) + sigma * noise, with a = prod(1 - beta) up to
        this step, a' up to the one before it and sigma^2 = (1 - a') / (1 - a) * beta, which is 0 at timestep 0. The
        coefficients are computed in float64. Half-precision samples are computed in float32 and given back as they came.

        Args:
            model_output: as `sample`, the network's estimate of the noise.
            timestep: one of `timesteps`.
            sample: (B, T) or any shape with the batch first.
            generator: of the noise; a list has one for each item of the batch.
            variance_noise: as `sample`, standard normal: takes the place of noise that is drawn here.
            return_dict: False gives a tuple.

        Raises:
            ValueError: there is no such timestep, or the list of generators is not as long as the batch.
        """
        position = self._position(timestep)
        sample_scale, noise_scale, sigma = self._coefficients[position]
        dtype = torch.promote_types(sample.dtype, torch.float32)
        prev_sample = sample_scale * (sample.to(dtype) - noise_scale * model_output.to(dtype))
        if position > 0:
            if variance_noise is None:
                if isinstance(generator, (list, tuple)) and len(generator) != sample.shape[0]:
                    raise ValueError(
                        f"{len(generator)} generators for a batch of {sample.shape[0]}: give one for each item."
                    )
                variance_noise = randn_tensor(sample.shape, generator, device=sample.device, dtype=dtype)
            prev_sample = prev_sample + sigma * variance_noise.to(dtype)
        if self.config.clip_sample:
            prev_sample = prev_sample.clamp(-1.0, 1.0)
        prev_sample = prev_sample.to(sample.dtype)
        return WaveGradSchedulerOutput(prev_sample=prev_sample) if return_dict else (prev_sample,)

    def add_noise(
        self, original_samples: torch.Tensor, noise: torch.Tensor, noise_levels: torch.Tensor | float
    ) -> torch.Tensor:
        """The forward process: level * original + sqrt(1 - level^2) * noise.

        Args:
            original_samples: (B, T) or any shape with the batch first.
            noise: as `original_samples`, standard normal.
            noise_levels: (B,), (1,) or () floating point, levels in 0..1; or integer, timesteps of the schedule in use.
        """
        noise_levels = torch.as_tensor(noise_levels, device=original_samples.device)
        if not noise_levels.is_floating_point():
            noise_levels = self.noise_levels.to(noise_levels.device)[noise_levels.long()]
        noise_levels = noise_levels.to(torch.promote_types(original_samples.dtype, torch.float32))
        noise_levels = noise_levels.reshape(-1, *[1] * (original_samples.ndim - 1))
        # In half precision the levels near 1 would all be 1.
        noisy = noise_levels * original_samples + (1.0 - noise_levels**2) ** 0.5 * noise
        return noisy.to(original_samples.dtype)

    def sample_noise_levels(
        self, batch_size: int, generator: torch.Generator | None = None, device: str | torch.device | None = None
    ) -> torch.Tensor:
        """(batch_size,) float32 noise levels for training: a segment between two levels of training, and a point in it.

        Section 2.3 of the paper: the network learns continuous levels, so it can be sampled with other schedules.
        """
        rand_device = device if generator is None else generator.device
        segments = torch.randint(1, len(self) + 1, (batch_size,), generator=generator, device=rand_device)
        offsets = torch.rand(batch_size, generator=generator, device=rand_device)
        return self.training_noise_level(segments, offsets).to(device)

    def training_noise_level(self, segments: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """The noise level at `offsets` (B,) in 0..1 of the way through `segments` (B,) int64 in 1..num_train_timesteps."""
        bounds = self.training_noise_levels.to(segments.device)
        start, end = bounds[segments - 1], bounds[segments]
        return start + offsets * (end - start)

    def _use(self, betas: np.ndarray, device: str | torch.device | None) -> None:
        self.betas = betas
        self.noise_levels = torch.from_numpy(_levels(betas)).to(device)
        self.timesteps = torch.arange(len(betas) - 1, -1, -1, device=device)
        alphas, signal = 1 - betas, np.cumprod(1 - betas)
        previous_signal = np.concatenate([[1.0], signal[:-1]])
        sample_scale = 1 / alphas**0.5
        noise_scale = (1 - alphas) / (1 - signal) ** 0.5
        sigma = ((1 - previous_signal) / (1 - signal) * betas) ** 0.5
        self.init_noise_sigma = float((1 - signal[-1]) ** 0.5) if self.config.scale_initial_noise else 1.0
        self._coefficients = list(zip(sample_scale.tolist(), noise_scale.tolist(), sigma.tolist(), strict=True))

    def _betas_of_length(self, num_steps: int) -> np.ndarray:
        # Not "the last that was added": JSON files do not keep the order.
        names = [name for name in self.schedule_names if _num_steps(self.config.schedules[name]) == num_steps]
        for name in (self.config.default_schedule, str(num_steps), *names):
            if name in names:
                return self.schedule_betas(name)
        return self.log_snr_betas(num_steps)

    def _position(self, timestep: int | torch.Tensor) -> int:
        position = int(timestep)
        if not 0 <= position < len(self._coefficients):
            raise ValueError(f"The timestep is {position}; this schedule has 0 to {len(self._coefficients) - 1}.")
        return position


def _levels(betas: np.ndarray) -> np.ndarray:
    return (np.cumprod(1 - betas) ** 0.5).astype(np.float32)


def _check_betas(betas: Any, what: str) -> np.ndarray:
    """(steps,) float64, or an error that begins with the name of the schedule."""
    if isinstance(betas, torch.Tensor):
        betas = betas.detach().cpu().double().numpy()
    try:
        betas = np.asarray(betas, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The betas of {what} must be a list of numbers, not {str(betas)[:80]!r}.") from error
    if betas.ndim != 1 or not 1 <= len(betas) <= MAX_STEPS:
        raise ValueError(
            f"The betas of {what} must be a list of 1 to {MAX_STEPS} numbers, not an array of shape {betas.shape}."
        )
    # 1 - beta must differ from 1 in float64 too: the step divides by what is left.
    possible = (betas > 0) & (betas < 1) & (1 - betas < 1)
    if not possible.all():
        position = int(np.argmin(possible))
        raise ValueError(f"The betas of {what} must lie between 0 and 1; number {position} is {float(betas[position])!r}.")
    return betas


def _check_num_steps(num_steps: Any, what: str) -> int:
    if isinstance(num_steps, bool) or not isinstance(num_steps, (int, np.integer)):
        hint = f"; a schedule by its name is schedule={num_steps!r}" if isinstance(num_steps, str) else ""
        raise ValueError(f"{what} must be a whole number from 1 to {MAX_STEPS}, not {num_steps!r}{hint}.")
    if not 1 <= num_steps <= MAX_STEPS:
        raise ValueError(f"{what} must be from 1 to {MAX_STEPS}, not {num_steps}.")
    return int(num_steps)


def _expand(schedule: Any, name: str) -> np.ndarray:
    """(steps,) float64 betas of a list or a rule."""
    what = f"the schedule {name!r}"
    if not isinstance(schedule, Mapping):
        return _check_betas(schedule, what)
    rule = schedule.get("type")
    if rule not in RULES:
        raise ValueError(f"The type of {what} is {rule!r}; it may be {' or '.join(RULES)}.")
    if set(schedule) != {"type", *RULES[rule]}:
        raise ValueError(f"{what.capitalize()} is {rule} and needs {', '.join(RULES[rule])}, not {', '.join(schedule)}.")
    first, second, num_steps = (schedule[argument] for argument in RULES[rule])
    _check_num_steps(num_steps, f"num_steps of {what}")
    _check_betas([first, second], what)
    if rule == "linear":
        return _check_betas(np.linspace(first, second, num_steps), what)
    betas = [first, second]
    while len(betas) < num_steps:
        betas.append(betas[-1] + betas[-2])
    return _check_betas(betas[:num_steps], what)


def _num_steps(schedule: Any) -> int:
    return schedule["num_steps"] if isinstance(schedule, Mapping) else len(schedule)


def _plain_schedules(schedules: Mapping[str, Any]) -> dict[str, Any]:
    """Checked, and of the types that JSON knows."""
    if not isinstance(schedules, Mapping):
        raise ValueError(f"schedules must be a dictionary of names and betas, not {type(schedules).__name__}.")
    plain = {}
    for name, schedule in schedules.items():
        if not isinstance(name, str) or not name or name == TRAINING:
            raise ValueError(f"A schedule's name is a text other than '' and {TRAINING!r}, not {name!r}.")
        betas = _expand(schedule, name)
        if name.isdecimal() and int(name) != len(betas):
            raise ValueError(
                f"The schedule {name!r} has {len(betas)} steps: a number as a name must be the number of steps."
            )
        plain[name] = dict(schedule) if isinstance(schedule, Mapping) else betas.tolist()
    return plain

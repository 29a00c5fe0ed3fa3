"""What the vocoder does with sound: its spectrogram, changes of it, and sound of that again, step by step; no page here.

As in `engine.py` one object serves all sessions and holds nothing of any of them: a model is loaded when first needed, once,
under a lock, and only read from then on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import validate
from background import go_on, in_thread
from engine import Report, _silent, models_folder
from shelf import Shelf, bytes_in
from sound import MIN_SECONDS, Sound
from validate import StudioError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hub_models.wavegrad import WaveGradFeatureExtractor, WaveGradPipeline

logger = logging.getLogger("encore.studio")

BUNDLED = "wavegrad-music-22khz"
TRAINING = "training"  # the schedule that the network was trained on; every model has it
MAX_STEPS = 1000
# What is computed for one person at once: seconds of sound, and seconds times steps. The network of the paper takes about
# half a second of two processor cores for a step over a second of sound, so the longest wait is about five minutes.
MAX_SECONDS, MAX_WORK = 60.0, 600.0
GRIFFIN_LIM_ITERATIONS = 32
# Of a run with more steps than this only so many are looked at.
MAX_PICTURES = 40


@dataclass(frozen=True)
class VocoderEntry:
    """A pipeline's folder, described without loading it."""

    name: str
    folder: Path
    description: str

    @property
    def label(self) -> str:
        return self.description or self.name

    @cached_property
    def schedules(self) -> dict[str, int]:
        """Names of the schedules that the model carries -> their steps, the fewest first."""
        saved = self._scheduler.get("schedules") or {}
        steps = {name: _num_steps(schedule) for name, schedule in saved.items()}
        trained = self._scheduler.get("trained_betas")
        steps[TRAINING] = len(trained) if trained else int(self._scheduler.get("num_train_timesteps", MAX_STEPS))
        return dict(sorted(steps.items(), key=lambda item: (item[1], item[0] == TRAINING, item[0])))

    @property
    def default_schedule(self) -> str:
        name = self._scheduler.get("default_schedule")
        return name if name in self.schedules else next(iter(self.schedules))

    @cached_property
    def mel_settings(self) -> dict[str, Any]:
        return _json(self.folder / "feature_extractor" / "preprocessor_config.json")

    @property
    def sample_rate(self) -> int:
        return int(self.mel_settings["sampling_rate"])

    @cached_property
    def _scheduler(self) -> dict[str, Any]:
        return _json(self.folder / "scheduler" / "scheduler_config.json")


def _num_steps(schedule: Any) -> int:
    return int(schedule["num_steps"]) if isinstance(schedule, dict) else len(schedule)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def find_vocoders(folder: str | Path | None = None) -> list[VocoderEntry]:
    """The WaveGrad pipelines in `folder` or $ENCORE_STUDIO_MODELS, else those bundled with Encore."""
    own = models_folder(folder)
    if own:
        found = [VocoderEntry(path.parent.name, path.parent, "") for path in sorted(own.glob("*/model_index.json"))]
    else:
        from hub_models import list_bundled

        found = [VocoderEntry(model.name, Path(model.path), model.description) for model in list_bundled()]
    return sorted(filter(_is_vocoder, found), key=lambda entry: entry.name != BUNDLED)


def _is_vocoder(entry: VocoderEntry) -> bool:
    index = entry.folder / "model_index.json"
    if not index.is_file():
        return False
    try:
        name = _json(index)["_class_name"]
        fits = (name[-1] if isinstance(name, list) else name) == "WaveGradPipeline"
        return fits and bool(entry.schedules) and entry.sample_rate > 0
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        logger.warning("%s is left out: its folder is damaged.", entry.name)
        return False


@dataclass(frozen=True)
class Wish:
    """How a sound is to be made.

    Attributes:
        schedule: name of one that the model carries, or None: `steps` evenly spaced ones.
        semitones: that the pitch is moved by.
        stretch: length afterwards over length before.
    """

    schedule: str | None
    steps: int
    semitones: float = 0.0
    stretch: float = 1.0
    seed: int = 0

    @property
    def max_seconds(self) -> float:
        """The longest sound that may be made."""
        return min(MAX_SECONDS, MAX_WORK / self.steps)


@dataclass(frozen=True, eq=False)
class Step:
    """How far the sound has come.

    Attributes:
        done: steps, of `steps`.
        samples: (samples,) float32 as they are by now; None where nobody looks.
        seconds: since the first step began.
    """

    done: int
    steps: int
    samples: np.ndarray | None
    seconds: float

    @property
    def seconds_left(self) -> float:
        return self.seconds / self.done * (self.steps - self.done)


class Vocoders:
    """The pipelines, for any number of sessions at once."""

    def __init__(self, entries: list[VocoderEntry], shelf: Shelf | None = None):
        self.entries = {entry.name: entry for entry in entries}
        self._shelf = shelf or Shelf()
        self._extractors: dict[str, WaveGradFeatureExtractor] = {}
        self._lock = threading.Lock()
        self._brake = threading.local()  # of the thread that runs a pipeline: what is asked whether to go on

    def entry(self, name: Any) -> VocoderEntry:
        """The model called `name`, or a sentence that says which there are."""
        if not isinstance(name, str) or name not in self.entries:
            known = ", ".join(self.entries) or f"none is installed, {BUNDLED} is missing"
            raise StudioError(f"There is no such model for sound; there is: {known}.")
        return self.entries[name]

    def wish(self, name: str, schedule: Any, semitones: Any, stretch: Any, seed: Any) -> Wish:
        """Checks what a person asks for.

        Args:
            schedule: name of one of the model's, or a number of steps, which may be a text.

        Raises:
            StudioError: it is not possible; says what is.
        """
        entry = self.entry(name)
        is_text = isinstance(schedule, str)
        if is_text and schedule in entry.schedules:
            steps = entry.schedules[schedule]
        elif isinstance(schedule, (int, float)) or (is_text and schedule.isdecimal()):
            steps, schedule = validate.vocoder_steps(int(schedule[:9]) if is_text else schedule), None
        else:
            known = ", ".join(entry.schedules)
            raise StudioError(f"There is no such schedule; there are {known}, and any number of steps to {MAX_STEPS}.")
        return Wish(schedule, steps, validate.semitones(semitones), validate.stretch(stretch), validate.seed(seed))

    def load(self, name: str, report: Report = _silent) -> WaveGradPipeline:
        """The pipeline, from memory or from its folder."""
        entry = self.entry(name)

        def load() -> WaveGradPipeline:
            report(0.0, "Loading the model (first use)")
            import torch

            from hub_models.wavegrad import WaveGradPipeline

            try:
                pipeline = WaveGradPipeline.from_pretrained(entry.folder, dtype=torch.float32)
            except Exception as error:  # whatever a damaged folder makes diffusers or safetensors raise
                logger.exception("loading %s failed", name)
                raise StudioError(f"The model {name} cannot be loaded: its files are damaged or missing.") from error
            pipeline.model.eval().requires_grad_(False)
            pipeline.model.register_forward_pre_hook(lambda *_: getattr(self._brake, "check", go_on)())
            return pipeline

        return self._shelf.get(("vocoder", name), load, bytes_in(entry.folder))

    def extractor(self, name: str) -> WaveGradFeatureExtractor:
        """What makes spectrograms for a model, which need not be loaded for it."""
        entry = self.entry(name)
        with self._lock:
            if name not in self._extractors:
                from hub_models.wavegrad import WaveGradFeatureExtractor

                try:
                    self._extractors[name] = WaveGradFeatureExtractor.from_pretrained(entry.folder / "feature_extractor")
                except Exception as error:
                    logger.exception("loading the feature extractor of %s failed", name)
                    raise StudioError(f"The model {name} cannot be loaded: its files are damaged or missing.") from error
            return self._extractors[name]

    def mel(self, name: str, samples: np.ndarray, semitones: float = 0.0, stretch: float = 1.0) -> torch.Tensor:
        """(M, F) float32 in 0..1: the spectrogram of (samples,) float, changed as is wished."""
        from hub_models.wavegrad import mel_operations

        extractor = self.extractor(name)
        mel = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")["input_features"][0]
        if semitones:
            mel = mel_operations.shift_pitch(mel, semitones, extractor.mel_settings)
        return mel if stretch == 1 else mel_operations.stretch_time(mel, stretch)

    def given(self, name: str, sound: Sound, wish: Wish) -> tuple[torch.Tensor, int]:
        """What the network is given for a sound: the spectrogram (M, F), and how many samples are to come of it.

        Raises:
            StudioError: the sound is too long for so many steps, or too short.
        """
        seconds = sound.seconds * wish.stretch
        if not MIN_SECONDS <= seconds <= wish.max_seconds + 0.01:
            times = f" ({sound.seconds:.1f}, {wish.stretch:g} times as long)" if wish.stretch != 1 else ""
            plural = "s" if wish.steps > 1 else ""
            raise StudioError(
                f"{seconds:.1f} seconds of sound{times} are asked for; {MIN_SECONDS:g} to {wish.max_seconds:.3g} seconds "
                f"are computed at once in {wish.steps} step{plural}. Take another part of it, or another number of steps."
            )
        return self.mel(name, sound.samples(), wish.semitones, wish.stretch), round(len(sound.pcm) * wish.stretch)

    def griffin_lim(self, name: str, mel: torch.Tensor, num_samples: int, seed: int) -> np.ndarray:
        """(num_samples,) float32: the sound of a spectrogram (M, F) without a network, to compare with."""
        import torch

        from hub_models.wavegrad.griffin_lim import griffin_lim

        generator = torch.Generator().manual_seed(seed)
        made = griffin_lim(mel[None], self.extractor(name), GRIFFIN_LIM_ITERATIONS, generator)
        return _cut(made[0].numpy(), num_samples)

    def vocode(
        self, name: str, mel: torch.Tensor, num_samples: int, wish: Wish, check: Callable[[], None] | None = None
    ) -> Iterator[Step]:
        """The sound of a spectrogram (M, F), as it comes out of the noise: after each step, the last is the result.

        The work is done in a thread of its own, which ends when nobody reads on.

        Args:
            check: called before every piece of work; what it raises ends it.
        """
        pipeline = self.load(name)

        def work(check: Callable[[], None], put: Callable[[Any], None]) -> None:
            import torch

            own = with_own_schedule(pipeline)
            started = time.monotonic()

            def on_step(pipeline, index, timestep, tensors):
                done, seconds = index + 1, time.monotonic() - started
                check()
                seen = done == wish.steps or done * MAX_PICTURES // wish.steps > index * MAX_PICTURES // wish.steps
                samples = _cut(tensors["latents"][0].float().cpu().numpy(), num_samples) if seen else None
                put(Step(done, wish.steps, samples, seconds))
                return {}

            how = {"schedule": wish.schedule} if wish.schedule else {"num_inference_steps": wish.steps}
            with self.braked(check):
                own(mel=mel[None], generator=torch.Generator().manual_seed(wish.seed), callback_on_step_end=on_step, **how)

        yield from in_thread(work, check or go_on, "vocoder")

    @contextlib.contextmanager
    def braked(self, check: Callable[[], None]) -> Iterator[None]:
        """Before every piece of work that a pipeline does in this thread `check` is called; what it raises ends the work."""
        self._brake.check = check
        try:
            yield
        finally:
            self._brake.check = go_on

    def error_db(self, name: str, samples: np.ndarray, mel: torch.Tensor) -> float:
        """How far the spectrogram of a sound is from the one it was made of: the mean difference in dB."""
        extractor = self.extractor(name)
        own = self.mel(name, samples)
        frames = min(own.shape[-1], mel.shape[-1])
        return float((own[:, :frames] - mel[:, :frames]).abs().mean()) * -extractor.min_db


def with_own_schedule(pipeline: WaveGradPipeline) -> WaveGradPipeline:
    """The same network with a scheduler of its own: a scheduler knows one schedule at a time."""
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    own = type(pipeline)(pipeline.model, scheduler, pipeline.feature_extractor)
    own.set_progress_bar_config(disable=True)
    return own


def _cut(samples: np.ndarray, num_samples: int) -> np.ndarray:
    """Exactly so many samples; a spectrogram stands for a hop more or less."""
    import numpy as np

    return np.pad(samples[:num_samples], (0, max(0, num_samples - len(samples)))).astype(np.float32)

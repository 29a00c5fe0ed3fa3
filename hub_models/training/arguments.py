"""What can be set on every training run: one dataclass, and the same as command line options."""

import argparse
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args


def option(default: Any, help: str, **argparse_settings: Any) -> Any:
    """A dataclass field that carries its help text and, where needed, settings of `argparse`'s `add_argument`."""
    return field(default=default, metadata={"help": help, "argparse": argparse_settings})


@dataclass(kw_only=True)
class TrainingArguments:
    """Settings of the loop. One step is one update of the weights.

    The result of a step depends on `batch_size` and on `num_processes * gradient_accumulation_steps`, not on how that
    product is divided: examples, noise and gradient are those of one process on the joint batch.

    Raises:
        ValueError: a number is out of range; the message names the option, the value and what is allowed.
    """

    output: Path = field(metadata={"help": "folder of this run: checkpoints, log and at the end the model"})
    max_steps: int = option(100_000, "stop after this many steps, counted from the beginning of the run")
    max_seconds: float | None = option(
        None, "stop after this much time in this start, with everything saved; start again to go on"
    )
    batch_size: int = option(32, "examples in one forward pass of one process")
    gradient_accumulation_steps: int = option(1, "forward passes of each process in one step")
    mixed_precision: str | None = option(
        None, "number format of the forward pass; default: what `accelerate launch` says", choices=["no", "fp16", "bf16"]
    )
    seed: int = option(0, "decides data order, augmentation, noise and initial weights")

    optimizer: str = option(
        "adamw",
        "muon: for weight matrices, and AdamW for the rest; learns more from each example, at some cost of each step",
        choices=["adamw", "muon"],
    )
    learning_rate: float = option(1e-3, "the initial rate")
    minimum_learning_rate: float = option(0.0, "where the cosine and exponential schedules end")
    schedule: str = option(
        "constant",
        "how the rate changes from step to step; rsqrt: with the root of the step, from the end of the warm-up on",
        choices=["constant", "cosine", "exponential", "rsqrt"],
    )
    decay_rate: float = option(0.9999, "exponential schedule: factor per step on what is above the minimum")
    warmup_steps: int = option(0, "steps over which the rate rises linearly from 0")
    adam_beta1: float = option(0.9, "Adam: memory of the mean gradient")
    adam_beta2: float = option(0.999, "Adam: memory of the squared gradient")
    weight_decay: float = option(0.0, "AdamW: decoupled weight decay")
    max_gradient_norm: float | None = option(1.0, "clip gradients to this global norm; 0: do not clip")
    zero_gradient_norm: float | None = option(
        None, "take a gradient whose global norm is not below this as zero, as MusicVAE does at 10000"
    )
    ema_decay: float | None = option(
        None, "keep an exponential moving average of the weights with this decay; it is validated and saved"
    )

    evaluate_every: int = option(1000, "steps between two validations; 0: none")
    keep_best: str | None = option(
        None, "keep the best validated model in OUTPUT/best: 'lowest:METRIC' or 'highest:METRIC'", metavar="RULE"
    )
    save_every: int = option(1000, "steps between two checkpoints")
    keep_checkpoints: int = option(2, "how many of the newest checkpoints to keep")
    resume: str = option(
        "auto",
        "auto: go on from the newest checkpoint in OUTPUT, if any; never: only start anew; or a checkpoint folder",
        metavar="auto|never|PATH",
    )
    log_every: int = option(50, "steps between two log lines; losses are averaged over them")
    trackers: tuple[str, ...] = option(
        ("tensorboard",), "experiment trackers that Accelerate knows; none: `--trackers` alone", nargs="*"
    )
    num_workers: int = option(0, "processes that read and augment data beside each training process")
    progress: bool = option(True, "show a progress bar", action=argparse.BooleanOptionalAction)

    def __post_init__(self) -> None:
        self.output = Path(self.output)
        self.trackers = tuple(self.trackers)
        counts = "max_steps batch_size gradient_accumulation_steps save_every keep_checkpoints log_every"
        for name in counts.split():
            if getattr(self, name) < 1:
                raise ValueError(f"{_flag(name)} is {getattr(self, name)}; it must be at least 1.")
        for name in ("evaluate_every", "num_workers", "warmup_steps", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{_flag(name)} is {getattr(self, name)}; it must not be negative.")
        if not self.learning_rate > 0:
            raise ValueError(f"--learning-rate is {self.learning_rate}; it must be above 0.")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"--ema-decay is {self.ema_decay}; it must lie between 0 and 1, for instance 0.999.")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ValueError(f"--max-seconds is {self.max_seconds}; it must be above 0.")
        if self.keep_best is not None:
            direction, _, metric = self.keep_best.partition(":")
            if direction not in ("lowest", "highest") or not metric:
                raise ValueError(f"--keep-best is '{self.keep_best}'; write 'lowest:METRIC' or 'highest:METRIC'.")

    # Options that may differ between two starts of one run without changing what a step computes.
    FREE_TO_CHANGE = frozenset(
        [
            "output",
            "max_steps",
            "max_seconds",
            "evaluate_every",
            "keep_best",
            "save_every",
            "keep_checkpoints",
            "resume",
            "log_every",
            "trackers",
            "num_workers",
            "progress",
            "batch_size",
            "gradient_accumulation_steps",
        ]
    )

    def identity(self, num_processes: int) -> dict[str, Any]:
        """The settings that decide the result of the steps: two starts of one run must agree on them."""
        identity = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.FREE_TO_CHANGE}
        identity["batch_size"] = self.batch_size
        identity["micro_batches_per_step"] = num_processes * self.gradient_accumulation_steps
        if self.schedule == "cosine":
            identity["max_steps"] = self.max_steps
        return identity


def add_training_arguments(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Add one option per field of `TrainingArguments` to `parser`; `defaults` replaces a model's own defaults."""
    group = parser.add_argument_group("training loop")
    for f in fields(TrainingArguments):
        settings = {"type": _value_type(f.type), **f.metadata.get("argparse", {})}
        if "action" in settings:
            settings.pop("type")
        default = defaults.pop(f.name, f.default)
        if default is MISSING:
            settings["required"] = True
        else:
            settings["default"] = default
        shown = "" if default in (MISSING, None, ()) else " (default: %(default)s)"
        group.add_argument(_flag(f.name), help=f.metadata["help"].replace("%", "%%") + shown, **settings)
    if defaults:
        raise TypeError(f"not training arguments: {', '.join(sorted(defaults))}")


def training_arguments_from(namespace: argparse.Namespace) -> TrainingArguments:
    """`TrainingArguments` out of what a parser with `add_training_arguments` has read."""
    return TrainingArguments(**{f.name: getattr(namespace, f.name) for f in fields(TrainingArguments)})


def _value_type(annotation: Any) -> Any:
    """The type of one value: `float` for `float | None`, `str` for `tuple[str, ...]`."""
    return get_args(annotation)[0] if get_args(annotation) else annotation


def _flag(field_name: str) -> str:
    return "--" + field_name.replace("_", "-")

"""The steps of a training run, from top to bottom."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedType,
    InitProcessGroupKwargs,
    ProjectConfiguration,
    send_to_device,
    set_seed,
)
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from .arguments import TrainingArguments
from .checkpoints import (
    LOG_FILE,
    TrainingState,
    find_checkpoint,
    load_checkpoint,
    remove_incomplete,
    save_checkpoint,
    save_model,
    trim_log,
)
from .data_order import ExampleKey, MicroBatches
from .ema import ExponentialMovingAverage
from .media import Media, log_media
from .muon import MuonWithAdamW
from .schedules import learning_rate_schedule

Metrics = dict[str, torch.Tensor]


@dataclass(kw_only=True)
class TrainingTask:
    """What differs from model to model.

    Attributes:
        model: a `PreTrainedModel` or `ModelMixin` (anything with `save_pretrained`).
        train_dataset: has `len`, and `dataset[ExampleKey(epoch, index)]` or the batched `dataset.__getitems__(keys)`.
            What it returns is a pure function of the key.
        collate: turns what the data set gives for a batch of keys into a dict of tensors.
        compute_loss: `(model, batch, step, generator) -> {"loss": scalar, other scalar metrics}`. `loss` is the mean over
            what `batch_weight` counts. All noise comes from `generator`, which is on the model's device.
        validation_dataset: like `train_dataset`; None: no validation.
        compute_metrics: `(model, batch, generator) -> scalar metrics`, means over what `batch_weight` counts; called in
            evaluation mode without gradients.
        finish_metrics: makes what is logged of the means of those over all validation data: for ratios of means.
        batch_weight: how much a batch counts in the joint mean: None when the loss is a mean over examples, or for
            instance the number of valid tokens when it is a mean over tokens.
        make_media: `(model, generator) -> Media`, sound and pictures for the trackers; called at each validation on the main
            process, in evaluation mode without gradients. Not with sharded models.
        save_extras: `(folder)`, writes what belongs beside the model: its processor, or the rest of its pipeline.
        model_subfolder: where in the output folder the model itself lies: the name of a pipeline's component.
        identity: what else decides the result: configuration, fingerprint of the data. JSON types.
    """

    model: Any
    train_dataset: Any
    collate: Callable[[Any], dict[str, torch.Tensor]]
    compute_loss: Callable[[Any, dict[str, torch.Tensor], int, torch.Generator], Metrics]
    validation_dataset: Any = None
    compute_metrics: Callable[[Any, dict[str, torch.Tensor], torch.Generator], Metrics] | None = None
    finish_metrics: Callable[[dict[str, float]], dict[str, float]] | None = None
    batch_weight: Callable[[dict[str, torch.Tensor]], float] | None = None
    make_media: Callable[[Any, torch.Generator], Media] | None = None
    save_extras: Callable[[Path], None] | None = None
    model_subfolder: str = ""
    identity: dict[str, Any] = field(default_factory=dict)


def create_accelerator(arguments: TrainingArguments) -> Accelerator:
    """The `Accelerator` of a run. Make it before the data, so that processes can take turns in preparing it."""
    accelerator = Accelerator(
        mixed_precision=arguments.mixed_precision,
        gradient_accumulation_steps=arguments.gradient_accumulation_steps,
        log_with=list(arguments.trackers) or None,
        project_config=ProjectConfiguration(project_dir=str(arguments.output), logging_dir=str(arguments.output / "logs")),
        # The others wait while the main process prepares data, which may take longer than the default ten minutes.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=12))],
    )
    set_seed(arguments.seed)
    return accelerator


def train(accelerator: Accelerator, arguments: TrainingArguments, task: TrainingTask) -> TrainingState:
    """Train until `max_steps`, `max_seconds` or a signal; the model then lies in `arguments.output`.

    SIGTERM and SIGINT end the run after the current step, with a checkpoint.

    Returns:
        Where the run stands.

    Raises:
        ResumeError: see `find_checkpoint`.
    """
    output = arguments.output
    started = time.monotonic()
    identity = arguments.identity(accelerator.num_processes) | task.identity
    if arguments.keep_best and (task.validation_dataset is None or not arguments.evaluate_every):
        raise ValueError("--keep-best needs validation: validation data and --evaluate-every above 0.")
    checkpoint, state = find_checkpoint(output, arguments.resume, identity)
    accelerator.wait_for_everyone()

    if accelerator.distributed_type == DistributedType.DEEPSPEED:  # it sees no data loader to read the size from
        accelerator.state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = arguments.batch_size
    optimizer = _optimizer(accelerator, arguments, task.model)
    model, optimizer = accelerator.prepare(task.model, optimizer)
    ema = ExponentialMovingAverage(model, arguments.ema_decay) if arguments.ema_decay else None
    learning_rate = learning_rate_schedule(arguments)
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        remove_incomplete(output)
        trim_log(output, state.step)
    if arguments.trackers:
        accelerator.init_trackers("training", config={k: str(v) for k, v in identity.items()})
    if checkpoint is not None:
        load_checkpoint(accelerator, checkpoint, ema)
        accelerator.print(f"Resumed from {checkpoint} at step {state.step}.")
    else:
        set_seed(arguments.seed)

    micro_batches = MicroBatches(
        num_examples=len(task.train_dataset),
        batch_size=arguments.batch_size,
        per_step=arguments.gradient_accumulation_steps,
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
        seed=arguments.seed,
        first_step=state.step,
    )
    batches = iter(
        DataLoader(
            task.train_dataset,
            batch_sampler=micro_batches,
            collate_fn=task.collate,
            num_workers=arguments.num_workers,
            pin_memory=accelerator.device.type == "cuda",
            generator=torch.Generator(),  # its own, or it would draw from the generator that dropout uses
        )
    )
    examples_per_step = arguments.batch_size * arguments.gradient_accumulation_steps * accelerator.num_processes
    seconds_before = state.seconds
    running = _RunningMean()
    saved_step = state.step if checkpoint is not None else None
    reason = f"--max-steps {arguments.max_steps} reached"
    progress = tqdm(
        total=arguments.max_steps,
        initial=state.step,
        desc="training",
        unit="step",
        disable=not (arguments.progress and accelerator.is_main_process),
        dynamic_ncols=True,
    )
    with _stop_signal() as stop_signal:
        while state.step < arguments.max_steps:
            rate = learning_rate(state.step)
            metrics, norm = _take_step(
                accelerator, arguments, task, model, optimizer, batches, micro_batches, state.step, rate
            )
            state.step += 1
            state.seconds = seconds_before + time.monotonic() - started
            if ema is not None:
                ema.update(state.step)
            running.add(metrics)
            progress.update()

            if state.step % arguments.log_every == 0:
                means = running.means_over(accelerator)
                epoch = state.step * examples_per_step / len(task.train_dataset)
                progress.set_postfix(loss=f"{means['loss']:.4g}")
                extra = {"learning_rate": rate, "epoch": epoch, "seconds": state.seconds}
                if norm is not None:
                    extra["gradient_norm"] = float(norm)
                _log(accelerator, output, state.step, "train", means | extra)
            if arguments.evaluate_every and state.step % arguments.evaluate_every == 0:
                _validate(accelerator, arguments, task, model, ema, state)
            if state.step % arguments.save_every == 0:
                save_checkpoint(accelerator, output, state, ema, arguments.keep_checkpoints)
                saved_step = state.step

            if stop_signal.name is not None:
                accelerator.set_trigger()
            if arguments.max_seconds is not None and time.monotonic() - started >= arguments.max_seconds:
                accelerator.set_trigger()
            if accelerator.check_trigger():  # any process's wish stops all of them at the same step
                reason = stop_signal.name or f"--max-seconds {arguments.max_seconds:g} reached"
                break
        progress.close()
        if saved_step != state.step:
            save_checkpoint(accelerator, output, state, ema, arguments.keep_checkpoints)
        with ema.applied() if ema is not None else nullcontext():
            save_model(accelerator, model, output, task.save_extras, task.model_subfolder)
    if arguments.trackers:
        accelerator.end_training()
    accelerator.print(
        f"Stopped at step {state.step} of {arguments.max_steps} ({reason}). Model and checkpoint are in {output}."
    )
    return state


def _optimizer(accelerator: Accelerator, arguments: TrainingArguments, model: Any) -> torch.optim.Optimizer:
    """What the arguments ask for.

    Raises:
        ValueError: Muon with parameters that are sharded: it needs whole matrices.
    """
    settings = {
        "lr": arguments.learning_rate,
        "betas": (arguments.adam_beta1, arguments.adam_beta2),
        "weight_decay": arguments.weight_decay,
    }
    if arguments.optimizer == "adamw":
        return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **settings)
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise ValueError("--optimizer muon needs whole matrices; with FSDP or DeepSpeed take --optimizer adamw.")
    return MuonWithAdamW(model, **settings)


def _take_step(
    accelerator: Accelerator,
    arguments: TrainingArguments,
    task: TrainingTask,
    model: Any,
    optimizer: Any,
    batches: Iterator[dict[str, torch.Tensor]],
    micro_batches: MicroBatches,
    step: int,
    rate: float,
) -> tuple[Metrics, torch.Tensor | None]:
    """One update of the weights. Returns this process's mean metrics and the gradient's global norm before clipping."""
    model.train()
    for group in optimizer.param_groups:
        group["lr"] = rate
    joint = [next(batches) for _ in range(arguments.gradient_accumulation_steps)]
    shares = _shares(accelerator, task, joint)
    totals: Metrics = {}
    norm = None
    for accumulation, (batch, share) in enumerate(zip(joint, shares, strict=True)):
        generator = _seeded(accelerator, arguments.seed, micro_batches.number(step, accumulation))
        with accelerator.accumulate(model):
            metrics = task.compute_loss(model, send_to_device(batch, accelerator.device), step, generator)
            accelerator.backward(metrics["loss"] * share)
            if accelerator.sync_gradients:
                norm = _clip(accelerator, arguments, model, optimizer)
            optimizer.step()
            optimizer.zero_grad()
        for name, value in metrics.items():
            totals[name] = totals.get(name, 0) + value.detach().float() * share / len(joint)
    return totals, norm


def _shares(accelerator: Accelerator, task: TrainingTask, joint: list[dict[str, torch.Tensor]]) -> list[float]:
    """Factor of each micro-batch's mean loss that makes the gradient the one of the joint mean over all processes.

    Accelerate divides by the number of micro-batches and averages over processes, which is already right when all
    weigh the same.
    """
    if task.batch_weight is None:
        return [1.0] * len(joint)
    weights = [float(task.batch_weight(batch)) for batch in joint]
    total = accelerator.reduce(torch.tensor(sum(weights), device=accelerator.device, dtype=torch.float32)).item()
    return [weight * len(joint) * accelerator.num_processes / total for weight in weights]


def _clip(accelerator: Accelerator, arguments: TrainingArguments, model: Any, optimizer: Any) -> torch.Tensor | None:
    """Clip the gradient to `max_gradient_norm`, and zero it where it exploded or is not a number.

    Returns its norm before that; DeepSpeed clips by its own configuration.
    """
    limit = arguments.max_gradient_norm or float("inf")
    norm = accelerator.clip_grad_norm_(model.parameters(), limit)
    if arguments.zero_gradient_norm is not None and norm is not None and not norm < arguments.zero_gradient_norm:
        optimizer.optimizer.zero_grad(set_to_none=False)
    return norm


def _validate(
    accelerator: Accelerator,
    arguments: TrainingArguments,
    task: TrainingTask,
    model: Any,
    ema: ExponentialMovingAverage | None,
    state: TrainingState,
) -> None:
    """Measure, log, and keep the model where it is the best so far."""
    if task.validation_dataset is None:
        return
    with ema.applied() if ema is not None else nullcontext():
        metrics = evaluate(accelerator, arguments, task, model)
        _log(accelerator, arguments.output, state.step, "validation", metrics)
        if task.make_media is not None and arguments.trackers and accelerator.is_main_process:
            with torch.no_grad():
                media = task.make_media(accelerator.unwrap_model(model), _seeded(accelerator, arguments.seed, 0))
            log_media(accelerator, media, state.step)
        if arguments.keep_best is None:
            return
        direction, _, name = arguments.keep_best.partition(":")
        if name not in metrics:
            raise ValueError(f"--keep-best names '{name}'; the validation metrics are {', '.join(sorted(metrics))}.")
        best = state.best_metric
        if best is None or (metrics[name] < best if direction == "lowest" else metrics[name] > best):
            state.best_metric = metrics[name]
            save_model(accelerator, model, arguments.output / "best", task.save_extras, task.model_subfolder)


@torch.no_grad()
def evaluate(accelerator: Accelerator, arguments: TrainingArguments, task: TrainingTask, model: Any) -> dict[str, float]:
    """Means of the task's metrics over the whole validation set, gathered from all processes.

    Every process runs the same number of batches (sharded models need that); one that has no examples left repeats
    the first with weight 0.
    """
    model.eval()
    dataset, size = task.validation_dataset, arguments.batch_size
    joint_size = size * accelerator.num_processes
    totals: dict[str, float] = {}
    total_weight = 0.0
    starts = range(0, len(dataset), joint_size)
    for start in tqdm(starts, desc="validation", leave=False, disable=not _shows_progress(accelerator, arguments)):
        first = start + accelerator.process_index * size
        keys = [ExampleKey(0, index) for index in range(first, min(first + size, len(dataset)))]
        batch = task.collate(_fetch(dataset, keys or [ExampleKey(0, 0)]))
        weight = 0.0 if not keys else len(keys) if task.batch_weight is None else float(task.batch_weight(batch))
        generator = _seeded(accelerator, arguments.seed, first)
        metrics = task.compute_metrics(model, send_to_device(batch, accelerator.device), generator)
        for name, value in metrics.items():
            totals[name] = totals.get(name, 0.0) + float(value) * weight
        total_weight += weight
    names = sorted(totals)
    sums = torch.tensor([*(totals[name] for name in names), total_weight], device=accelerator.device, dtype=torch.float32)
    sums = accelerator.reduce(sums).tolist()
    means = {name: value / sums[-1] for name, value in zip(names, sums[:-1], strict=True)}
    return means if task.finish_metrics is None else task.finish_metrics(means)


def _fetch(dataset: Any, keys: list[ExampleKey]) -> Any:
    return dataset.__getitems__(keys) if hasattr(dataset, "__getitems__") else [dataset[key] for key in keys]


def _shows_progress(accelerator: Accelerator, arguments: TrainingArguments) -> bool:
    return arguments.progress and accelerator.is_main_process


def _seeded(accelerator: Accelerator, seed: int, micro_batch: int) -> torch.Generator:
    """Noise for one micro-batch, the same whichever process computes it and however often the run was resumed.

    torch's own generators, from which dropout draws, are seeded alike.
    """
    number = (seed * 0x9E3779B97F4A7C15 + micro_batch * 0xD1B54A32D192ED03 + 1) % 2**63
    torch.manual_seed(number)
    return torch.Generator(accelerator.device).manual_seed(number + 1)


class _RunningMean:
    """Sums of metrics since the last log line, kept on the device so that no step waits for them."""

    def __init__(self) -> None:
        self.sums: Metrics = {}
        self.steps = 0

    def add(self, metrics: Metrics) -> None:
        for name, value in metrics.items():
            self.sums[name] = self.sums.get(name, 0) + value
        self.steps += 1

    def means_over(self, accelerator: Accelerator) -> dict[str, float]:
        names = sorted(self.sums)
        means = accelerator.reduce(torch.stack([self.sums[name] for name in names]) / self.steps, reduction="mean")
        self.__init__()
        return dict(zip(names, means.tolist(), strict=True))


def _log(accelerator: Accelerator, output: Path, step: int, split: str, values: dict[str, float]) -> None:
    accelerator.log({f"{split}/{name}": value for name, value in values.items()}, step=step)
    if accelerator.is_main_process:
        with (output / LOG_FILE).open("a") as log:
            log.write(json.dumps({"step": step, "split": split, **values}) + "\n")


class _StopSignal:
    """Which signal asked the run to stop, if any."""

    name: str | None = None


@contextmanager
def _stop_signal() -> Iterator[_StopSignal]:
    """Inside `with`, SIGTERM and SIGINT are noted instead of ending the process; a second SIGINT interrupts."""
    received = _StopSignal()

    def note(number: int, frame: Any) -> None:
        if received.name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.name = f"received {signal.Signals(number).name}"

    previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

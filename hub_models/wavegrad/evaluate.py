"""Measure a WaveGrad on sound files: copy synthesis by several schedules, beside Griffin-Lim from the same spectrograms.

    python -m hub_models.wavegrad.evaluate --model NAME_OR_PATH --data DIR

prints one JSON object; progress goes to stderr. What each figure means stands in [`hub_models.wavegrad.metrics`]; figures
are means over clips. `real_time_factor` is seconds of computing per second of sound, clip by clip, spectrograms not counted.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor
from tqdm.auto import tqdm

from hub_models.training import NoTrainingDataError

from .clips import Clip, in_random_order, read_clips
from .data import find_audio_files
from .griffin_lim import griffin_lim
from .metrics import all_metrics
from .pipeline_wavegrad import WaveGradPipeline
from .results_cache import ResultsCache, fingerprint_of, key_of

DEFAULT_STEPS = (6, 25, 50, 1000)
GRIFFIN_LIM_ITERATIONS = (32, 64)
PRINTED_BETAS = 50
WARM_UP_FRAMES = 16


@dataclass(frozen=True)
class Method:
    """One way from a spectrogram to sound.

    Attributes:
        name: in the report.
        settings: what it is, in the report.
        identity: what its results depend on apart from the clip and the seed, as JSON.
        synthesise: (1, M, F) spectrogram and generator to (1, T) sound.
    """

    name: str
    settings: dict[str, Any]
    identity: list[Any]
    synthesise: Callable[[Tensor, torch.Generator], Tensor]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m hub_models.wavegrad.evaluate", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, metavar="NAME_OR_PATH", help="a folder or a Hub repository")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of sound files")
    parser.add_argument(
        "--splits",
        type=Path,
        nargs="+",
        metavar="CSV",
        help="one CSV per --data folder, with columns file, split and perhaps kind; figures are given for each kind, too",
    )
    parser.add_argument("--split", help="evaluate on this split; default: all files")
    parser.add_argument(
        "--steps",
        type=int,
        nargs="*",
        default=list(DEFAULT_STEPS),
        metavar="N",
        help="step counts; of a count that the scheduler has a schedule for, that one (default: 6 25 50 1000)",
    )
    parser.add_argument(
        "--schedules", nargs="*", default=[], metavar="NAME", help="schedules of the scheduler by their names"
    )
    parser.add_argument(
        "--griffin-lim",
        type=int,
        nargs="*",
        default=list(GRIFFIN_LIM_ITERATIONS),
        metavar="N",
        help="iterations of Griffin-Lim to compare with (default: 32 64)",
    )
    parser.add_argument("--max-clips", type=int, metavar="N", help="a random choice of so many files, kinds taking turns")
    parser.add_argument(
        "--max-seconds", type=float, metavar="S", help="of longer files, one typical passage of this length; default: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice and of all noise (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument(
        "--cache", type=Path, metavar="FILE", help="keep the figures of every clip here, and go on from those that are there"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON to this file, too")
    options = parser.parse_args(arguments)
    if options.max_clips is not None and options.max_clips < 1:
        parser.error(f"--max-clips is {options.max_clips}; it must be at least 1.")
    if options.max_seconds is not None and not options.max_seconds > 0:
        parser.error(f"--max-seconds is {options.max_seconds}; it must be positive.")
    if any(iterations < 1 for iterations in options.griffin_lim):
        parser.error("--griffin-lim needs at least 1 iteration.")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Data, model, figures, JSON."""
    options = parse_arguments(arguments)
    files = find_audio_files(options.data, options.splits, options.split)
    if not files:
        raise NoTrainingDataError(f"No sound file belongs to the split '{options.split}'.")
    pipeline = WaveGradPipeline.from_pretrained(options.model).to(options.device)
    pipeline.set_progress_bar_config(disable=True)
    methods = wavegrad_methods(pipeline, options.steps, options.schedules)
    methods += griffin_lim_methods(pipeline, options.griffin_lim)
    left_out: dict[str, str] = {}
    clips = read_clips(
        in_random_order(files, options.seed), pipeline.feature_extractor, options.max_seconds, left_out=left_out
    )
    clips = list(islice(clips, options.max_clips))
    for name, reason in left_out.items():
        print(f"Left out: {name}: {reason}", file=sys.stderr)
    if not clips:
        name, reason = next(iter(left_out.items()))
        raise NoTrainingDataError(f"None of {len(files)} sound files can be used. {name}: {reason}")
    report = {
        "model": Path(options.model).resolve().name if Path(options.model).is_dir() else options.model,
        "num_parameters": sum(parameter.numel() for parameter in pipeline.model.parameters()),
        "sample_rate": pipeline.feature_extractor.sampling_rate,
        "data": [folder.resolve().name for folder in options.data],
        "split": options.split,
        "max_seconds": options.max_seconds,
        "seed": options.seed,
        "device": _device_name(pipeline.device),
        "num_threads": torch.get_num_threads(),
        "num_left_out": len(left_out),
        "clips": summarise_clips(clips, pipeline.feature_extractor.sampling_rate),
        "results": evaluate(pipeline, methods, clips, options.seed, ResultsCache(options.cache)),
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
    }
    text = json.dumps(report, indent=2)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n", encoding="utf-8")
    print(text)


def wavegrad_methods(pipeline: WaveGradPipeline, steps: Sequence[int], schedules: Sequence[str] = ()) -> list[Method]:
    """Copy synthesis with the schedules of these step counts and names; a schedule that is asked for twice counts once.

    The names in the report are the numbers of steps and the names of the schedules.

    Raises:
        ValueError: the scheduler does not know the schedule, or a name would mean two schedules.
    """
    scheduler, fingerprint = pipeline.scheduler, fingerprint_of(pipeline)
    device = [_device_name(pipeline.device), torch.get_num_threads()]  # the time depends on it
    wanted = [(str(count), {"num_inference_steps": count}) for count in steps]
    wanted += [(name, {"schedule": name}) for name in schedules]
    methods: dict[str, Method] = {}
    for name, choice in wanted:
        scheduler.set_timesteps(**choice)
        betas = scheduler.betas.tolist()
        settings = {"num_steps": len(betas), **({"betas": betas} if len(betas) <= PRINTED_BETAS else {})}
        identity = ["wavegrad", fingerprint, betas, device]

        def synthesise(mel: Tensor, generator: torch.Generator, betas: list[float] = betas) -> Tensor:
            return pipeline(mel=mel, betas=betas, generator=generator, output_type="pt").audios

        if name in methods and methods[name].identity != identity:
            raise ValueError(
                f"{name} steps are those of the default schedule, '{scheduler.config.default_schedule}', not of the "
                f"schedule named '{name}': evaluate one at a time."
            )
        methods[name] = Method(name, settings, identity, synthesise)
    return list(methods.values())


def griffin_lim_methods(pipeline: WaveGradPipeline, iterations: Sequence[int]) -> list[Method]:
    """Griffin-Lim from the same spectrograms, by numbers of iterations."""
    extractor = pipeline.feature_extractor
    device = [_device_name(pipeline.device), torch.get_num_threads()]
    methods = []
    for count in dict.fromkeys(iterations):

        def synthesise(mel: Tensor, generator: torch.Generator, count: int = count) -> Tensor:
            return griffin_lim(mel, extractor, count, generator)

        identity = ["griffin_lim", extractor.mel_settings, count, device]
        methods.append(Method(f"griffin_lim_{count}", {"num_iterations": count}, identity, synthesise))
    return methods


@torch.no_grad()
def evaluate(
    pipeline: WaveGradPipeline, methods: Sequence[Method], clips: Sequence[Clip], seed: int, cache: ResultsCache
) -> dict[str, Any]:
    """Synthesise every clip from its spectrogram by every method and compare with the recording.

    Args:
        pipeline: whose feature extractor makes the spectrograms.
        methods: from [`wavegrad_methods`] and [`griffin_lim_methods`].
        clips: from `read_clips`.
        seed: of the noise, of each clip its own, the same for all methods.
        cache: results that are there are not made again, their times neither.

    Returns:
        By the method's name: its settings; the means over all clips, `ls_mse`, `mcd`, `mr_stft`, `mr_stft_sc`, `mr_stft_mag`
        and `real_time_factor`; and `kinds`, the same for each kind of clip where there are kinds.
    """
    extractor, device = pipeline.feature_extractor, pipeline.device
    results, warm = {}, False
    with tqdm(total=len(methods) * len(clips), unit="clip", desc="evaluating") as bar:
        for method in methods:
            bar.set_postfix_str(method.name)
            rows = []
            for clip in clips:
                key = key_of(method.identity, clip.fingerprint, seed)
                row = cache.get(key)
                if row is None:
                    reference = clip.audio.to(device)[None]
                    mel = extractor.log_mel(reference)[..., : reference.shape[1] // extractor.hop_length]
                    if not warm:  # what is made once, such as kernels and tables, is no part of the speed
                        pipeline(mel=mel[..., :WARM_UP_FRAMES], num_inference_steps=1, generator=torch.Generator())
                        warm = True
                    row = _measure(method, mel, reference, clip.generator(seed), extractor.sampling_rate)
                    cache.put(key, row)
                rows.append(row)
                bar.update()
            results[method.name] = {**method.settings, **_means(rows), **_means_of_kinds(rows, clips)}
    return results


def summarise_clips(clips: Sequence[Clip], sample_rate: int) -> dict[str, Any]:
    """How many there are and their seconds, and the same of each kind."""
    summary: dict[str, Any] = {
        "num_clips": len(clips),
        "seconds": round(sum(len(clip.audio) for clip in clips) / sample_rate, 3),
    }
    if kinds := _kinds(clips):
        summary["kinds"] = {
            kind: summarise_clips(
                [Clip(clip.name, None, clip.audio, clip.fingerprint) for clip in clips if clip.kind == kind], sample_rate
            )
            for kind in kinds
        }
    return summary


def _measure(
    method: Method, mel: Tensor, reference: Tensor, generator: torch.Generator, sample_rate: int
) -> dict[str, float]:
    _wait_for(mel.device)
    start = time.perf_counter()
    audio = method.synthesise(mel, generator)
    _wait_for(mel.device)
    seconds = time.perf_counter() - start
    figures = all_metrics(audio.to(reference.device), reference, sample_rate)
    return {
        **{name: figure.item() for name, figure in figures.items()},
        "computing_seconds": seconds,
        "seconds": reference.shape[1] / sample_rate,
    }


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    figures = {
        name: sum(row[name] for row in rows) / len(rows) for name in rows[0] if name not in ("computing_seconds", "seconds")
    }
    factor = sum(row["computing_seconds"] for row in rows) / sum(row["seconds"] for row in rows)
    return {**figures, "real_time_factor": factor}


def _means_of_kinds(rows: Sequence[dict[str, float]], clips: Sequence[Clip]) -> dict[str, Any]:
    kinds = {
        kind: _means([row for row, clip in zip(rows, clips, strict=True) if clip.kind == kind]) for kind in _kinds(clips)
    }
    return {"kinds": kinds} if kinds else {}


def _kinds(clips: Sequence[Clip]) -> list[str]:
    return sorted({clip.kind for clip in clips if clip.kind is not None})


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()

"""The numbers of a WaveGrad card: the vocoder by its step counts, beside Griffin-Lim from the same spectrograms.

metrics.json is what `hub_models.wavegrad.evaluate` writes; what each number means stands in `hub_models.wavegrad.metrics`.
"""

from __future__ import annotations

import math
from typing import Any

from .errors import HubError
from .figures import Metric, Table, check_metrics

# Facts about the measurement that a card states.
CONDITIONS = ("split", "num_parameters", "clips")
# Key, name and format of the distances to the recording; less is better.
DISTANCES = {
    "ls_mse": ("LS-MSE", "{:.3f}"),
    "mcd": ("MCD, dB", "{:.2f}"),
    "mr_stft": ("multi-resolution STFT", "{:.3f}"),
}
SPEED = ("real_time_factor", "computing per second of sound, s", "{:.2f}")
MOST_BETAS_SHOWN = 12

SETTINGS = {
    "sampling_rate": "samples per second",
    "feature_size": "mel bands",
    "n_fft": "length of the Fourier transform, in samples",
    "win_length": "of the Hann window (periodic, centred in the transform), in samples",
    "hop_length": "from frame to frame, in samples",
    "f_min": "lower edge of the lowest band, Hz",
    "f_max": "upper edge of the highest band, Hz",
    "window_normalized": "whether the spectrum is divided by the root of the window's sum of squares",
    "power": "exponent of the magnitudes",
    "mel_scale": "formula of the mel scale",
    "mel_norm": "normalisation of the bands' area",
    "reference_db": "subtracted from 20 log10 of the bands",
    "min_db": "what becomes 0; 0 dB becomes 1",
}


def methods_of(metrics: dict) -> dict[str, str]:
    """The ways to make sound that were measured, and their names: the vocoder by rising step counts, then Griffin-Lim."""
    results = metrics.get("results")
    results = results if isinstance(results, dict) else {}
    steps = {key: value["num_steps"] for key, value in results.items() if "num_steps" in value}
    iterations = {key: value["num_iterations"] for key, value in results.items() if "num_iterations" in value}
    names = {key: _step_name(key, steps[key]) for key in sorted(steps, key=lambda key: (steps[key], key))}
    rivals = sorted(iterations, key=lambda key: iterations[key])
    return names | {key: f"Griffin-Lim, {_count(iterations[key], 'iteration')}" for key in rivals}


def _step_name(key: str, num_steps: int) -> str:
    name = _count(num_steps, "step")
    return name if key == str(num_steps) else f"{name}, `{key}`"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def kinds_of(metrics: dict) -> list[str | None]:
    """What was measured: None for everything, and the kinds of clips, where there are any."""
    return [None, *sorted(metrics["clips"].get("kinds") or {})]


def figures_of(metrics: dict, kind: str | None = None) -> list[Metric]:
    """The distances of all methods, over all clips or those of a kind."""
    return [
        Metric(_path(key, distance, kind), f"{name}: {title}{f', {kind}' if kind else ''}", distance, form)
        for key, name in methods_of(metrics).items()
        for distance, (title, form) in DISTANCES.items()
    ]


def _path(method: str, figure: str, kind: str | None = None) -> str:
    return f"results.{method}.{'' if kind is None else f'kinds.{kind}.'}{figure}"


def check_wavegrad_metrics(metrics: dict, path: Any) -> None:
    """Raises `HubError` unless the metrics in the file `path` have what a card shows: the vocoder beside Griffin-Lim."""
    names = methods_of(metrics)
    if not {"num_steps", "num_iterations"} <= {key for method in names for key in metrics["results"][method]}:
        raise HubError(f"{path} must have results of WaveGrad and of Griffin-Lim: write it again with evaluate.py.")
    if not isinstance(metrics.get("clips"), dict):
        raise HubError(f"{path} lacks clips: write it again with evaluate.py.")
    shown = [figure for kind in kinds_of(metrics) for figure in figures_of(metrics, kind)]
    shown += [Metric(_path(key, SPEED[0]), SPEED[1]) for key in names]
    check_metrics(metrics, [*shown, *_extent(metrics)], path, CONDITIONS)


def _extent(metrics: dict) -> list[Metric]:
    places = ["clips", *(f"clips.kinds.{kind}" for kind in kinds_of(metrics)[1:])]
    return [Metric(f"{place}.{key}", key) for place in places for key in ("num_clips", "seconds")]


def quality_table(metrics: dict, kind: str | None = None) -> Table:
    """Methods and their distances to the recording; over all clips also their speed."""
    columns = [(key, title, form) for key, (title, form) in DISTANCES.items()] + ([] if kind else [SPEED])
    rows = [
        [name, *(Metric(_path(method, key, kind), title, form=form).text(metrics) for key, title, form in columns)]
        for method, name in methods_of(metrics).items()
    ]
    return Table(["", *(title for _, title, _ in columns)], rows)


def verdicts(metrics: dict, method: str) -> list[str]:
    """How a method fares against the best that Griffin-Lim reaches with any number of iterations, a line for each kind."""
    rivals = [key for key, result in metrics["results"].items() if "num_iterations" in result]
    sentences = []
    for kind in kinds_of(metrics):
        better, worse = [], []
        for distance, (title, form) in DISTANCES.items():
            own, *others = (Metric(_path(key, distance, kind), title, form=form) for key in (method, *rivals))
            rival = min(others, key=lambda figure: figure.value(metrics))
            text = f"{title.partition(',')[0]} {own.text(metrics)} to {rival.text(metrics)}"
            (better if own.value(metrics) < rival.value(metrics) else worse).append(text)
        halves = [f"nearer to the recordings by {', '.join(better)}"] if better else []
        halves += [f"{'but ' if better else ''}not nearer by {', '.join(worse)}"] if worse else []
        sentences.append(f"{'all clips' if kind is None else kind}: {', '.join(halves)}")
    return sentences


def settings_table(settings: dict) -> Table:
    """What a spectrogram must be like, with the names of the feature extractor."""
    rows = [[f"`{key}`", _setting_text(settings.get(key)), meaning] for key, meaning in SETTINGS.items()]
    return Table(["", "value", "what it is"], rows)


def window_offset(settings: dict) -> float:
    """By how much of the range 0..1 a spectrogram is wrong everywhere if its window is normalised and shall not be, or not
    and shall be."""
    window_norm = math.sqrt(3 / 8 * settings["win_length"])  # the root of the sum of squares of a periodic Hann window
    return 20 * math.log10(window_norm) * settings["power"] / -settings["min_db"]


def schedule_names(scheduler: dict) -> list[str]:
    """Names of the schedules that are saved with a model, the shortest schedule first."""
    return sorted(scheduler["schedules"], key=lambda name: (_length(scheduler["schedules"][name]), name))


def schedules_table(scheduler: dict) -> Table:
    """The schedules that are saved with a model."""
    schedules, default = scheduler["schedules"], scheduler.get("default_schedule")
    rows = [
        [
            f"`{name}`{' (default)' if name == default else ''}",
            str(_length(schedules[name])),
            _betas_text(schedules[name]),
        ]
        for name in schedule_names(scheduler)
    ]
    return Table(["", "steps", "betas, the one of the last step first"], rows)


def _length(schedule: dict | list[float]) -> int:
    return schedule["num_steps"] if isinstance(schedule, dict) else len(schedule)


def _betas_text(schedule: dict | list[float]) -> str:
    if isinstance(schedule, list):
        shown = [f"{beta:.4g}" for beta in schedule]
        return ", ".join(shown) if len(shown) <= MOST_BETAS_SHOWN else f"{shown[0]}, {shown[1]} ... {shown[-1]}"
    if schedule["type"] == "fibonacci":
        return f"{schedule['first']:g}, {schedule['second']:g}, then each the sum of the two before"
    return f"linear from {schedule['beta_start']:g} to {schedule['beta_end']:g}"


def _setting_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Search a noise schedule of few steps for a model, on real clips, and save it with the model.

    python -m hub_models.wavegrad.search_schedule --model DIR --data DIR --steps 6

The paper's grid (arXiv 2009.00713, section 4): for each step a mantissa of 1 to 9 times a power of ten, from 1e-6 for the
last step to 1e-1 for the first. Instead of all 9^6 lists, a beam is carried from step to step: for the list (or lists) in
hand, every value of one step is tried, the noisiest step first, and again until nothing changes. A list's score is the mean
log-mel distance (`log_mel_mse`) between clips and their copies, the same noise for all lists. Scores are kept in a file,
so a search that was stopped goes on where it was.

The list is then measured on other clips, beside those that were known before, and saved only if it is the best on both sets.
Prints one JSON object; progress and a table go to stderr.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from hub_models.training import DataFile, NoTrainingDataError

from .clips import Clip, in_random_order, read_clips
from .data import find_audio_files
from .pipeline_wavegrad import WaveGradPipeline
from .results_cache import ResultsCache, fingerprint_of
from .schedule_scores import ScheduleScores
from .scheduling_wavegrad import DEFAULT_SCHEDULES, WaveGradScheduler

Betas = tuple[float, ...]

MANTISSAS = range(1, 10)
FIRST_EXPONENT, LAST_EXPONENT = -6.0, -1.0
#: Of the linear list: what the search must beat at least.
LINEAR_RANGE = (1e-6, 0.01)
#: Around each beta, in the second pass.
FINE_FACTORS = tuple(2 ** (quarter / 4) for quarter in (-3, -2, -1, 1, 2, 3))
MAX_BETA = 0.99
CONFIG_FILE = "scheduler_config.json"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m hub_models.wavegrad.search_schedule", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="a pipeline folder; with --dry-run also a Hub repository"
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of sound files")
    parser.add_argument(
        "--splits", type=Path, nargs="+", metavar="CSV", help="one CSV per --data folder, with columns file and split"
    )
    parser.add_argument("--split", help="search on clips of this split; default: all files")
    parser.add_argument(
        "--held-out-split", help="measure the result on clips of this split; default: on other files of the same split"
    )
    parser.add_argument("--steps", type=int, default=6, help="length of the list (default: %(default)s)")
    parser.add_argument("--name", help="of the schedule in the scheduler's configuration; default: the number of steps")
    parser.add_argument("--clips", type=int, default=8, help="files to search on (default: %(default)s)")
    parser.add_argument("--held-out-clips", type=int, default=8, help="files to measure on (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of each file, a typical passage of this length (default: %(default)s)"
    )
    parser.add_argument("--beam", type=int, default=1, help="lists to carry on with at a time (default: %(default)s)")
    parser.add_argument("--max-sweeps", type=int, default=5, help="times to go over all steps (default: %(default)s)")
    parser.add_argument("--refine", action="store_true", help="then try values between and around those of the grid")
    parser.add_argument("--batch-size", type=int, default=4, help="clips synthesised at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of clips and the noise (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument(
        "--cache", type=Path, metavar="FILE", help="where scores are kept; default: a file in the cache of Hugging Face"
    )
    parser.add_argument("--dry-run", action="store_true", help="change nothing in the model's folder")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON to this file, too")
    options = parser.parse_args(arguments)
    for name in ("clips", "held_out_clips", "beam", "max_sweeps", "batch_size"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be at least 1.")
    if not 2 <= options.steps <= 1000:
        parser.error(f"--steps is {options.steps}; schedules of 2 to 1000 steps can be searched.")
    if not options.seconds > 0:
        parser.error(f"--seconds is {options.seconds}; it must be positive.")
    options.name = options.name or str(options.steps)
    if not options.dry_run and not (Path(options.model) / "scheduler" / CONFIG_FILE).is_file():
        parser.error(
            f"{options.model} is no pipeline folder (it has no scheduler/{CONFIG_FILE}), so no schedule can be saved there; "
            "give a folder, or --dry-run to search only."
        )
    return options


def main(arguments: list[str] | None = None) -> None:
    """Clips, search, figures, JSON."""
    options = parse_arguments(arguments)
    pipeline = WaveGradPipeline.from_pretrained(options.model).to(options.device)
    # Before the search, not after it: a name that cannot be saved.
    pipeline.scheduler.with_schedule(options.name, np.full(options.steps, 0.5))
    clips, held_out_clips = choose_clips(options, pipeline)
    cache = ResultsCache(options.cache or default_cache(pipeline))
    print(f"{len(cache.entries)} results in {cache.path}", file=sys.stderr)
    scores = ScheduleScores(pipeline, clips, options.seed, cache, options.batch_size)
    held_out = ScheduleScores(pipeline, held_out_clips, options.seed, cache, options.batch_size)

    known = known_schedules(pipeline.scheduler, options.steps)
    found = search(scores, known.values(), options.steps, options.beam, options.max_sweeps, options.refine)
    compared = {"found": found, **known}
    on_clips = {name: scores.score(betas) for name, betas in compared.items()}
    on_held_out = {name: held_out.figures(betas) for name, betas in compared.items()}
    print(table(compared, on_clips, on_held_out), file=sys.stderr)
    reason = why_not_saved(on_clips, {name: figures["ls_mse"] for name, figures in on_held_out.items()})
    saved = reason is None and not options.dry_run
    if saved:
        save_schedule(Path(options.model), options.name, found)
    said = f"Saved as '{options.name}'." if saved else f"Nothing is saved: {reason or 'as --dry-run asks.'}"
    print(said, file=sys.stderr)
    report = {
        "model": Path(options.model).resolve().name if Path(options.model).is_dir() else options.model,
        "name": options.name,
        "num_steps": options.steps,
        "betas": list(found),
        "saved": saved,
        "why_not_saved": None if saved else reason or "--dry-run",
        "search": {
            "clips": [clip.name for clip in clips],
            "ls_mse": on_clips,
            "num_clips_synthesised": scores.num_synthesised,
        },
        "held_out": {"clips": [clip.name for clip in held_out_clips], **on_held_out},
        "seconds_of_a_clip": len(clips[0].audio) / pipeline.sample_rate,
        "lists": {name: list(betas) for name, betas in known.items()},
        "seed": options.seed,
    }
    text = json.dumps(report, indent=2)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n", encoding="utf-8")
    print(text)


def search(
    scores: ScheduleScores,
    known: Iterable[Betas],
    num_steps: int,
    beam: int = 1,
    max_sweeps: int = 5,
    refine: bool = False,
) -> Betas:
    """The best list that the beam finds.

    Args:
        scores: on which clips.
        known: lists to begin with; the first pass takes what is nearest to them on the grid.
        num_steps: length of the list.
        beam: lists to carry on with; 1 is coordinate descent.
        max_sweeps: times to go over all steps, in each pass.
        refine: a second pass, with values around those of the best list of all.
    """
    grid = mantissa_grid(num_steps)
    known = list(known)
    starts = [nearest_on_grid(betas, grid) for betas in known]
    starts += [tuple(float(row[place]) for row in grid) for place in (0, 2, 5)]
    best = beam_search(scores, starts, lambda betas, place: grid[place], beam, max_sweeps, "grid")
    if refine:
        best = beam_search(scores, [*(betas for _, betas in best), *known], fine_values, beam, max_sweeps, "fine")
    return best[0][1]


def beam_search(
    scores: ScheduleScores,
    starts: Iterable[Betas],
    values: Callable[[Betas, int], Sequence[float] | np.ndarray],
    beam: int,
    max_sweeps: int,
    description: str,
) -> list[tuple[float, Betas]]:
    """The best `beam` lists, the best first, each with its score.

    Args:
        scores: on which clips.
        starts: the first lists; the best of them are taken.
        values: of a list and a place in it, what to try there.
        beam: lists to carry on with.
        max_sweeps: times to go over all places.
        description: of the progress bar.
    """
    best: list[tuple[float, Betas]] = []

    def consider(candidates: Iterable[Betas], bar: tqdm) -> None:
        for betas in candidates:
            if all(betas != member for _, member in best):
                score = scores.score(betas, bound=best[beam - 1][0] if len(best) >= beam else math.inf)
                if score is not None:
                    best.append((score, betas))
                    best.sort()
                    del best[beam:]
            bar.set_postfix_str(f"LS-MSE {best[0][0]:.4f}", refresh=False)
            bar.update()

    starts = list(dict.fromkeys(starts))
    with tqdm(total=len(starts), desc=f"{description}, starts", unit="list") as bar:
        consider(starts, bar)
    for sweep in range(max_sweeps):
        before = list(best)
        places = range(len(best[0][1]))
        total = sum(len(values(best[0][1], place)) for place in places) * beam
        with tqdm(total=total, desc=f"{description}, sweep {sweep + 1}", unit="list") as bar:
            for place in reversed(places):
                members = [betas for _, betas in best]
                consider(
                    [
                        (*betas[:place], float(value), *betas[place + 1 :])
                        for betas in members
                        for value in values(betas, place)
                    ],
                    bar,
                )
        if best == before:
            break
    return best


def mantissa_grid(num_steps: int) -> np.ndarray:
    """(steps, 9) float64: 1 to 9 times powers that are spread evenly from 1e-6 to 1e-1, six digits of each."""
    powers = 10 ** np.linspace(FIRST_EXPONENT, LAST_EXPONENT, num_steps)
    return np.array([[_rounded(mantissa * power, 6) for mantissa in MANTISSAS] for power in powers])


def nearest_on_grid(betas: Betas, grid: np.ndarray) -> Betas:
    """For each beta the value of its row of the grid that has the nearest logarithm."""
    return tuple(float(row[np.abs(np.log(row / beta)).argmin()]) for beta, row in zip(betas, grid, strict=True))


def fine_values(betas: Betas, place: int) -> list[float]:
    """Values around the one at `place`, a quarter of an octave apart, four digits of each."""
    values = [_rounded(betas[place] * factor, 4) for factor in FINE_FACTORS]
    return [value for value in values if value <= MAX_BETA]


def known_schedules(scheduler: WaveGradScheduler, num_steps: int) -> dict[str, Betas]:
    """Lists of this length that need no search, each once: linear, those saved with the model, the published one, one spaced
    evenly in log-SNR."""
    lists = {"linear": np.linspace(*LINEAR_RANGE, num_steps)}
    saved = {name: scheduler.schedule_betas(name) for name in scheduler.schedule_names}
    lists |= {f"saved '{name}'": betas for name, betas in saved.items() if len(betas) == num_steps}
    published = WaveGradScheduler()
    lists |= {f"published '{name}'": published.schedule_betas(name) for name in DEFAULT_SCHEDULES if name == str(num_steps)}
    lists["even log-SNR"] = scheduler.log_snr_betas(num_steps)
    different: dict[str, Betas] = {}
    for name, betas in lists.items():
        if tuple(betas.tolist()) not in different.values():
            different[name] = tuple(betas.tolist())
    return different


def choose_clips(options: argparse.Namespace, pipeline: WaveGradPipeline) -> tuple[list[Clip], list[Clip]]:
    """Clips to search on and clips to measure on, of different files.

    Raises:
        NoTrainingDataError: there are not enough.
    """
    files = find_audio_files(options.data, options.splits, options.split)
    settings = {"max_seconds": options.seconds, "same_length": True}

    def take(files: Sequence[DataFile], count: int) -> list[Clip]:
        return list(islice(read_clips(files, pipeline.feature_extractor, **settings), count))

    if options.held_out_split is None:
        chosen = take(in_random_order(files, options.seed), options.clips + options.held_out_clips)
        clips, held_out = chosen[: options.clips], chosen[options.clips :]
    else:
        clips = take(in_random_order(files, options.seed), options.clips)
        named = {clip.name for clip in clips}
        others = find_audio_files(options.data, options.splits, options.held_out_split)
        others = [file for file in others if file.name not in named]
        held_out = take(in_random_order(others, options.seed), options.held_out_clips)
    if len(clips) < options.clips or len(held_out) < options.held_out_clips:
        raise NoTrainingDataError(
            f"There are {len(clips)} clips of {options.seconds:g} seconds to search on and {len(held_out)} others to "
            f"measure on; --clips {options.clips} and --held-out-clips {options.held_out_clips} were asked for."
        )
    return clips, held_out


def why_not_saved(on_clips: dict[str, float], on_held_out: dict[str, float]) -> str | None:
    """None if "found" has the lowest distance on both sets, else a sentence for people."""
    for where, distances in (("the clips of the search", on_clips), ("held-out clips", on_held_out)):
        others = {name: distance for name, distance in distances.items() if name != "found"}
        best = min(others, key=others.__getitem__)
        if distances["found"] >= others[best]:
            return (
                f"on {where} the search (LS-MSE {distances['found']:.4f}) does not beat the list that was there before: "
                f"{best} ({others[best]:.4f}). Try --refine, a wider --beam or more --clips."
            )
    return None


def save_schedule(folder: Path, name: str, betas: Sequence[float]) -> None:
    """Put the list into scheduler/scheduler_config.json of a pipeline folder; nothing else changes."""
    path = folder / "scheduler" / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    scheduler = WaveGradScheduler.from_pretrained(folder, subfolder="scheduler").with_schedule(name, list(betas))
    config["schedules"] = dict(scheduler.config.schedules)
    temporary = path.with_name(f".{path.name}.incomplete")
    temporary.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def default_cache(pipeline: WaveGradPipeline) -> Path:
    """A file of this model's own."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "encore" / "wavegrad" / f"schedules-{fingerprint_of(pipeline)}.jsonl"


def table(lists: dict[str, Betas], on_clips: dict[str, float], on_held_out: dict[str, dict[str, float]]) -> str:
    """The lists side by side, for people."""
    figures = {"LS-MSE": "ls_mse", "MCD dB": "mcd", "MR-STFT": "mr_stft"}
    rows = [["list", "LS-MSE, search", *(f"{title}, held out" for title in figures), "betas"]]
    for name, betas in lists.items():
        numbers = [on_clips[name], *(on_held_out[name][key] for key in figures.values())]
        shown = [f"{beta:.4g}" for beta in (betas if len(betas) <= 12 else (*betas[:3], *betas[-3:]))]
        rows.append([name, *(f"{number:.4f}" for number in numbers), " ".join(shown)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _rounded(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")


if __name__ == "__main__":
    main()

"""The numbers of a Transformer Autoencoder card: how well it foretells music, whether it keeps to a style and to a melody;
beside models of the same recipe that hear less.

metrics.json is what `hub_models.transformer_autoencoder.evaluate` writes; what each number means stands there. Sentences
that say whether a claim holds are made of the numbers, here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import HubError
from .figures import Metric, Table, check_metrics

# What a model of each kind hears, by rising knowledge; the order of rows.
HEARS = {
    "unconditional": "nothing",
    "performance": "a style",
    "melody": "a melody",
    "melody_performance": "a style and a melody",
}
# The paper's claims: which kind needs fewer nats than which.
CLAIMS = (("performance", "unconditional"), ("melody_performance", "melody"))
WAYS = {"with_melody": "with a melody", "without_melody": "without"}
FEATURES = {
    "note_density": "notes per second",
    "pitch_range": "range of pitches",
    "pitch_mean": "pitch, mean",
    "pitch_variation": "pitch, variation",
    "velocity_mean": "velocity, mean",
    "velocity_variation": "velocity, variation",
    "duration_mean": "duration, mean",
    "duration_variation": "duration, variation",
    "mean": "mean of the eight",
}
# Facts about the measurement that a card states, and what must be alike where two models are compared.
CONDITIONS = ("split", "kind", "num_files", "num_parameters")
COMPARED = (
    "data",
    "split",
    "seed",
    "nll.length",
    "nll.num_pieces",
    "nll.num_segments",
    "generation.num_performances",
    "generation.num_tokens",
    "generation.temperature",
    "generation.top_p",
)
COMPARED_STYLES = ("conditions.noisy", "conditions.style_crop")
# A difference of fewer standard errors may be chance.
SURE = 2.0


def hears_style(kind: str) -> bool:
    """Whether models of this kind hear a performance."""
    return "performance" in kind


def hears_melody(kind: str) -> bool:
    """Whether models of this kind hear a melody."""
    return "melody" in kind


def ways_of(kind: str) -> list[str]:
    """How models of this kind were asked for performances: with another piece's melody, and with none."""
    return [way for way, is_one in (("with_melody", hears_melody(kind)), ("without_melody", kind != "melody")) if is_one]


def figures_of(kind: str) -> list[Metric]:
    """The numbers for the card's metadata."""
    shown = [
        Metric("nll.nats_per_token", "negative log likelihood of a token, nats", "nll"),
        Metric("nll.accuracy", "token accuracy, teacher-forced"),
    ]
    if hears_style(kind):
        for way in ways_of(kind):
            name = {"with_melody": "another piece's melody", "without_melody": "no melody"}[way]
            shown.append(Metric(f"style.{way}.nearer_to_own", f"nearer to the given style than to another, {name}"))
            area = f"style.{way}.overlapping_area.own_style.mean"
            shown.append(Metric(area, f"overlapping area with the given style, {name}", "overlapping_area"))
    if hears_melody(kind):
        shown.append(Metric("melody.kept", "notes of the given melody that are played", "recall"))
    return shown


def check_report(metrics: dict, path: Any, kind: str, compared_with: tuple[str, ...] = ()) -> None:
    """Raises `HubError` unless the metrics in the file `path` are of a model of this `kind` and have what a card shows.

    Args:
        compared_with: The kinds of models that it must have been compared with.
    """
    if metrics.get("kind") != kind:
        raise HubError(f"{path} is of a model of kind {metrics.get('kind')!r}, not {kind!r}: measure the right one.")
    lacking = [other for other in compared_with if Metric(f"nll.difference_from.{other}", "").value(metrics) is None]
    if lacking:
        raise HubError(f"{path} lacks the difference from {', '.join(lacking)}: write it again with --compare-with.")
    check_metrics(metrics, [Metric(place, place) for place in _needed(kind, compared_with)], path, CONDITIONS)


def _needed(kind: str, compared_with: tuple[str, ...]) -> Iterator[str]:
    likelihood = ["length", "num_pieces", "num_segments", "num_tokens", "nats_per_token", "standard_error", "accuracy"]
    likelihood += ["other_style"] if hears_style(kind) else []
    likelihood += ["other_melody", "blank_melody"] if hears_melody(kind) else []
    yield from (f"nll.{key}" for key in likelihood)
    for other in compared_with:
        yield from (f"nll.difference_from.{other}.{key}" for key in ("nats_per_token", "standard_error"))
    yield from (f"generation.{key}" for key in ("num_performances", "num_tokens", "temperature"))
    for place, areas in [(way, ("own_style", "other_style")) for way in ways_of(kind)] + [
        ("data", ("same_piece", "other_piece"))
    ]:
        yield from (f"style.{place}.{key}" for key in ("nearer_to_own", "standard_error", "num_pairs"))
        yield from (f"style.{place}.overlapping_area.{area}.{feature}" for area in areas for feature in FEATURES)
    yield "style.data.mean_seconds"
    if hears_melody(kind):
        keys = ("num_notes", "kept", "standard_error", "chance", "data", "kept_pitch_class", "chance_pitch_class")
        yield from (f"melody.{key}" for key in ("tolerance_seconds", *keys))


def check_siblings(reports: dict[str, dict], paths: dict[str, Any], own: str) -> None:
    """Raises `HubError` if a model and its siblings were measured in different ways.

    Args:
        reports: Metrics by kind, the model's own under `own`.
        paths: The files that they are in.
    """
    for kind, report in reports.items():
        conditions = COMPARED + (COMPARED_STYLES if hears_style(kind) and hears_style(own) else ())
        for condition in (Metric(path, path) for path in conditions):
            if condition.value(report) != condition.value(reports[own]):
                raise HubError(
                    f"{paths[kind]} was measured with {condition.path} {condition.value(report)!r}, and the model's own "
                    f"metrics with {condition.value(reports[own])!r}: measure both in the same way."
                )


def likelihood_table(reports: dict[str, dict], own: str) -> Table:
    """What a token costs each model, with what belongs to the music and with what does not."""
    columns = [
        Metric("nll.nats_per_token", "NLL, nats per token"),
        Metric("nll.standard_error", "±"),
        Metric("nll.accuracy", "accuracy"),
        Metric("nll.other_style", "NLL, style of another piece"),
        Metric("nll.other_melody", "NLL, melody of another piece"),
        Metric("nll.blank_melody", "NLL, blank melody"),
    ]
    columns = [column for column in columns if any(column.value(report) is not None for report in reports.values())]
    rows = [
        [
            f"{HEARS[kind]}{' (this model)' if kind == own else ''}",
            f"{reports[kind]['num_parameters'] / 1e6:.1f} million",
            *(column.text(reports[kind]) if column.value(reports[kind]) is not None else "" for column in columns),
        ]
        for kind in HEARS
        if kind in reports
    ]
    return Table(["", "parameters", *(column.name for column in columns)], rows)


def likelihood_verdicts(reports: dict[str, dict]) -> list[str]:
    """Whether the paper's claims hold for these models, a sentence for each that they are about."""
    return [
        _likelihood_verdict(reports[kind], kind, reports[other], other)
        for kind, other in CLAIMS
        if kind in reports and other in reports
    ]


def _likelihood_verdict(report: dict, kind: str, other_report: dict, other: str) -> str:
    difference = report["nll"]["difference_from"][other]
    fewer, error = -difference["nats_per_token"], difference["standard_error"]
    nats, other_nats = report["nll"]["nats_per_token"], other_report["nll"]["nats_per_token"]
    names = {"unconditional": "no style", "melody": "the melody alone"}
    heads = {"performance": "A style", "melody_performance": "A style beside the melody"}
    start = f"{heads[kind]} against {names[other]}: {nats:.3f} nats per token to {other_nats:.3f},"
    if fewer <= 0:
        return f"{start} not lower ({-fewer:.3f} ± {error:.3f} more). The paper's claim does not hold here."
    if fewer <= SURE * error:
        return f"{start} lower by {fewer:.3f} ± {error:.3f}, which may be chance. The paper's claim is not shown here."
    return f"{start} lower by {fewer:.3f} ± {error:.3f}. The paper's claim holds here."


def style_table(reports: dict[str, dict], own: str) -> Table:
    """How often what a model wrote is nearer to the style that it was given than to another."""
    rows = []
    for kind in sorted(reports, key=lambda kind: (kind != own, -list(HEARS).index(kind))):
        name = "this model" if kind == own else f"the model that hears {HEARS[kind]}"
        for way in ways_of(kind):
            notes = [WAYS[way]] if len(ways_of(kind)) > 1 else []
            notes += [] if hears_style(kind) else ["a control"]
            rows.append([f"{name}{', ' if notes else ''}{', '.join(notes)}", *_style_cells(reports[kind], way)])
    rows.append(["another place in the same performance, as it was played", *_style_cells(reports[own], "data")])
    return Table(["", "nearer to its own style", "±", "overlap with its own", "overlap with another"], rows)


def _style_cells(report: dict, way: str) -> list[str]:
    areas = ("same_piece", "other_piece") if way == "data" else ("own_style", "other_style")
    paths = ["nearer_to_own", "standard_error", *(f"overlapping_area.{area}.mean" for area in areas)]
    return [Metric(f"style.{way}.{path}", "", form="{:.2f}").text(report) for path in paths]


def style_verdicts(report: dict, kind: str) -> list[str]:
    """Whether a model keeps to the style that it is given, a sentence for each way of asking; none if it hears no style."""
    if not hears_style(kind):
        return []
    sentences = []
    for way in ways_of(kind):
        figures = report["style"][way]
        share, error = figures["nearer_to_own"], figures["standard_error"]
        start = {"with_melody": "With another piece's melody to play", "without_melody": "With no melody to play"}[way]
        verdict = _compared_with_chance(share, error, figures["chance"])
        sentences.append(f"{start}: nearer to the given style in {share:.2f} ± {error:.2f} of the comparisons, {verdict}.")
    return sentences


def _compared_with_chance(share: float, error: float, chance: float) -> str:
    if share <= chance:
        return f"no more than by chance ({chance:g})"
    if share - chance <= SURE * error:
        return f"more than {chance:g}, but that may be chance"
    return f"more than by chance ({chance:g})"


def areas_table(report: dict, kind: str) -> Table:
    """The overlapping areas by feature: of what the model wrote and real music, and of real music and real music."""
    own, other, same_piece, other_piece = ("own_style", "other_style", "same_piece", "other_piece")
    if hears_style(kind):
        columns = {}
        for way in ways_of(kind):
            note = f", {WAYS[way]} melody".replace("a melody melody", "a melody") if len(ways_of(kind)) > 1 else ""
            columns |= {f"its own style{note}": (way, own), f"another style{note}": (way, other)}
        columns |= {"real music, the same piece": ("data", same_piece), "real music, two pieces": ("data", other_piece)}
    else:
        (way,) = ways_of(kind)
        columns = {
            "what it wrote, and a performance": (way, other),
            "performances of two pieces": ("data", other_piece),
            "two places in one performance": ("data", same_piece),
        }
    rows = [
        [name, *(f"{report['style'][way]['overlapping_area'][area][feature]:.2f}" for way, area in columns.values())]
        for feature, name in FEATURES.items()
    ]
    return Table(["", *columns], rows)


def melody_table(reports: dict[str, dict], own: str) -> Table | None:
    """How much of the melodies that were to be played is there; None if the model hears none."""
    if not hears_melody(own):
        return None
    columns = {
        "its melody": "kept",
        "±": "standard_error",
        "another piece's melody": "chance",
        "its melody, any octave": "kept_pitch_class",
        "another's, any octave": "chance_pitch_class",
        "in the music it comes from": "data",
    }
    rows = [
        [
            "this model" if kind == own else f"the model that hears {HEARS[kind]}",
            *(f"{reports[kind]['melody'][key]:.2f}" for key in columns.values()),
        ]
        for kind in reversed(HEARS)
        if kind in reports and hears_melody(kind)
    ]
    return Table(["", *columns], rows)


def plays_melody(report: dict) -> bool:
    """Whether more of the melody that a model is given is in what it writes than of another, beyond chance."""
    figures = report["melody"]
    return figures["kept"] - figures["chance"] > SURE * figures["standard_error"]


def melody_verdict(report: dict) -> str:
    """Whether a model plays the melody that it is given."""
    figures = report["melody"]
    kept, error, chance = figures["kept"], figures["standard_error"], figures["chance"]
    text = f"It plays {kept:.2f} ± {error:.2f} of its melody's notes, and {chance:.2f} of another's, which it was not given"
    return f"{text}: {'more' if plays_melody(report) else 'no more'} than by chance."

"""The numbers of a MusicVAE card: which of metrics.json it shows for each kind of music, and as what tables.

metrics.json is what `hub_models.music_vae.evaluate` writes; what each number means stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .errors import HubError

# Facts about the measurement that a card states.
CONDITIONS = ("split", "num_files", "num_examples", "num_samples", "latents", "temperature")
# What must be alike where two models are compared, besides.
COMPARED_CONDITIONS = (*CONDITIONS, "data", "seed")


@dataclass(frozen=True)
class Metric:
    """One number of metrics.json as a card shows it.

    Attributes:
        path: Where it is in metrics.json: names with dots between them.
        name: Its name on the card.
        kind: Metric identifier in the card's metadata.
        form: Format of the value.
    """

    path: str
    name: str
    kind: str = "accuracy"
    form: str = "{:.3f}"

    @property
    def key(self) -> str:
        """Its path without the first name: what the paper's figures are listed under in `index.json`."""
        return self.path.partition(".")[2]

    def value(self, metrics: dict) -> Any:
        """The number; None if it is not there."""
        value: Any = metrics
        for name in self.path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def text(self, metrics: dict) -> str:
        return self.form.format(self.value(metrics))


@dataclass(frozen=True)
class Table:
    """A table on a card.

    Attributes:
        headings: Of the columns; that of the first, which names the rows, is empty.
        rows: Texts, as many in each as there are headings.
    """

    headings: list[str]
    rows: list[list[str]]

    def __str__(self) -> str:
        """As Markdown, without a line end after the last row."""
        lines = [self.headings, ["---"] * len(self.headings), *self.rows]
        return "\n".join("".join(f"| {cell} " if cell else "| " for cell in line) + "|" for line in lines)


ACCURACIES = (
    Metric("reconstruction.teacher_forced_accuracy", "reconstruction accuracy, teacher-forced"),
    Metric("reconstruction.sampled_accuracy", "reconstruction accuracy, sampled"),
    Metric("reconstruction.teacher_forced_event_accuracy", "the same where something happens, teacher-forced"),
    Metric("reconstruction.sampled_event_accuracy", "the same where something happens, sampled"),
)
EXACT = Metric("reconstruction.exact_sequences", "{length} reconstructed without any error, sampled")
DIVERGENCE = Metric("reconstruction.kl_divergence_bits", "KL divergence from the prior, bits", "kl_divergence", "{:.1f}")
SAMPLES = (
    Metric("samples.in_range", "samples from the prior: all notes within range"),
    Metric("samples.non_empty", "samples from the prior: not empty"),
    Metric("samples.non_duplicate", "samples from the prior: distinct"),
)
PARTS = ("melody", "bass", "drums")
TRIO_ACCURACIES = tuple(
    Metric(f"reconstruction.parts.{part}.{key}", f"{part}: {name}")
    for part in PARTS
    for key, name in (
        ("teacher_forced_accuracy", "reconstruction accuracy, teacher-forced"),
        ("sampled_accuracy", "reconstruction accuracy, sampled"),
        ("sampled_event_accuracy", "the same where something happens, sampled"),
    )
)
GROOVE_LOSSES = (
    Metric("reconstruction.teacher_forced_accuracy", "drums rightly hit or not hit, teacher-forced"),
    Metric("reconstruction.sampled_accuracy", "drums rightly hit or not hit, sampled"),
    Metric("reconstruction.hits_loss", "loss of hits, teacher-forced (nats per example)", "loss", "{:.2f}"),
    Metric("reconstruction.velocities_loss", "loss of velocities, teacher-forced (squared errors)", "loss", "{:.2f}"),
    Metric("reconstruction.offsets_loss", "loss of timing, teacher-forced (squared errors)", "loss", "{:.2f}"),
)
# Rows of the table that sets a groove model beside its input and the drummers; the way in which the grooves came about goes
# in for {way}.
RESTORED = Metric("reconstruction.feel.{way}.restored_hits_f1", "hits of the drums that the input lacks (F1)", "f1")
FEEL = (
    Metric("reconstruction.feel.{way}.hits_f1", "hits (F1)", "f1"),
    RESTORED,
    Metric("reconstruction.feel.{way}.velocity_error", "error of velocities, MIDI", "mae", "{:.1f}"),
    Metric("reconstruction.feel.{way}.timing_error_ms", "error of timing, ms at 120 bpm", "mae", "{:.1f}"),
    Metric("reconstruction.feel.{way}.velocity_std", "spread of velocities, MIDI", "std", "{:.1f}"),
    Metric("reconstruction.feel.{way}.timing_std_ms", "spread of timing, ms at 120 bpm", "std", "{:.1f}"),
)
FEEL_COLUMNS = {
    "likeliest": "this model, its own hits",
    "known_hits": "this model, hits given",
    "input": "its input, as a machine plays it",
    "data": "the drummers",
}


def metrics_of(representation: str, length: str) -> list[Metric]:
    """The numbers in the main table of a card.

    Args:
        representation: The processor's.
        length: Of the model's music, in words, such as "two bars".
    """
    lists = {"trio": (*TRIO_ACCURACIES, EXACT), "groove": GROOVE_LOSSES}
    shown = [*lists.get(representation, (*ACCURACIES, EXACT)), DIVERGENCE, *SAMPLES]
    return [replace(metric, name=metric.name.format(length=length)) for metric in shown]


def feel_of(metrics: dict, way: str) -> list[Metric]:
    """The numbers of one column of the table of feel: of grooves that came about in a `way`."""
    measured = (metrics.get("reconstruction") or {}).get("feel") or {}
    lacks_drums = "restored_hits_f1" in (measured.get("likeliest") or {})
    shown = [metric for metric in FEEL if metric is not RESTORED or lacks_drums]
    if way == "data":  # has no errors
        shown = shown[-2:]
    if way == "known_hits":  # whose hits are given
        shown = shown[-4:]
    return [replace(metric, path=metric.path.format(way=way)) for metric in shown]


def check_metrics(metrics: dict, shown: list[Metric], path: Any, conditions: Sequence[str] = CONDITIONS) -> None:
    """Raises `HubError` if a condition, or a number that a card shows, is missing from the metrics in the file `path`."""
    missing = [key for key in conditions if metrics.get(key) is None]
    missing += [metric.path for metric in shown if not isinstance(metric.value(metrics), int | float)]
    if missing:
        raise HubError(f"{path} lacks {', '.join(missing)}: write it again with evaluate.py and --split.")


def check_twin(metrics: dict, twin: dict, path: Any) -> None:
    """Raises `HubError` if a model and its twin, whose metrics are in the file `path`, were measured in different ways."""
    different = [key for key in COMPARED_CONDITIONS if metrics.get(key) != twin.get(key)]
    if different:
        key = different[0]
        raise HubError(
            f"{path} was measured with {key} {twin.get(key)!r}, and the model's own metrics with {metrics.get(key)!r}: "
            "measure both in the same way."
        )


def main_table(shown: list[Metric], metrics: dict, twin: dict | None, paper: dict[str, dict[str, float]]) -> Table:
    """The metrics beside those of the flat twin, if there is one, and those of the paper, if it has any.

    Args:
        paper: Figures of each column by `Metric.key`.
    """
    paper = {heading: figures for heading, figures in paper.items() if figures}
    headings = ["", "this model", *(["flat twin"] if twin else []), *paper]
    rows = [
        [
            metric.name,
            metric.text(metrics),
            *([metric.text(twin)] if twin else []),
            *(metric.form.format(figures[metric.key]) if metric.key in figures else "" for figures in paper.values()),
        ]
        for metric in shown
    ]
    return Table(headings, rows)


def feel_table(metrics: dict) -> Table:
    """What a groove model makes of its input, beside that input and what the drummers played."""
    columns = {way: {metric.name: metric.text(metrics) for metric in feel_of(metrics, way)} for way in FEEL_COLUMNS}
    rows = [[name, *(columns[way].get(name, "") for way in FEEL_COLUMNS)] for name in columns["likeliest"]]
    return Table(["", *FEEL_COLUMNS.values()], rows)


def interpolation_table(metrics: dict) -> Table | None:
    """Distances to both ends on the way from one example to another; None where they were not measured."""
    measured = metrics.get("interpolation")
    if not measured:
        return None
    rows = [
        [name, *(f"{distance:.2f}" for distance in measured[key])]
        for name, key in (("to the start", "to_start"), ("to the end", "to_end"))
    ]
    return Table(["", *(f"{fraction:.0%}" for fraction in measured["fractions"])], rows)

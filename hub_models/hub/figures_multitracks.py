"""The numbers of a card of a multitrack model: what its main table shows, and the tables of what a band can do.

What each number means stands in `hub_models.music_vae`, with `evaluate_multitracks`, `evaluate_chords` and
`evaluate_operations`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .figures import DIVERGENCE, EXACT, Metric, Table

RECONSTRUCTION = (
    Metric("reconstruction.teacher_forced_accuracy", "tokens, teacher-forced"),
    Metric("reconstruction.sampled_accuracy", "tokens, sampled"),
    Metric("reconstruction.teacher_forced_event_accuracy", "the same where a note begins or ends, teacher-forced"),
    Metric("reconstruction.sampled_event_accuracy", "the same where a note begins or ends, sampled"),
    Metric("reconstruction.tokens.program.teacher_forced", "the program of a track, teacher-forced"),
    Metric("reconstruction.tokens.program.sampled", "the program of a track, sampled"),
    Metric("reconstruction.measures.sampled.right_track_count", "as many tracks, sampled"),
    Metric("reconstruction.measures.sampled.program_overlap", "overlap of the instruments, sampled", "jaccard"),
    Metric("reconstruction.measures.likeliest.program_overlap", "overlap of the instruments, likeliest", "jaccard"),
    Metric("reconstruction.measures.sampled.notes_f1", "notes (F1), sampled", "f1"),
    Metric("reconstruction.measures.likeliest.notes_f1", "notes (F1), likeliest", "f1"),
    EXACT,
    DIVERGENCE,
)
SAMPLES = (
    Metric("samples.valid", "samples: valid measures"),
    Metric("band_samples.free.valid", "samples at temperature {band_temperature}: valid measures"),
    Metric("band_samples.legal.valid", "samples as `Band` draws them: valid measures"),
    Metric("band_samples.legal.non_duplicate", "samples as `Band` draws them: distinct"),
)
MULTITRACK = (*RECONSTRUCTION, *SAMPLES)

# Rows of the table of chords: a figure, and its control.
CHORD_TONES = {
    "the data": ("data", "data_shuffled"),
    "samples, under chords of the data": ("samples", "samples_shuffled"),
    "one style under each of 24 chords": ("transposed", "transposed_shuffled"),
    "the same, of the chord that fares worst": ("transposed_lowest", None),
}
ATTRIBUTES = {
    "pitch_range": "pitch range of a track, semitones",
    "num_tracks": "tracks that play",
    "strings": "share of string instruments",
    "note_density": "notes in the bar",
    "loudness": "mean velocity bin, 1 to 8",
}


# Rows of the table of operations: a figure, and its control.
_CHANGE, _STYLE, _PATH = ("operations." + name for name in ("change_chords.", "style.", "path."))
EFFECTS = {
    "`change_chords`: time on tones of the new chords (before the change)": (
        _CHANGE + "chord_tones_after",
        _CHANGE + "chord_tones_before",
    ),
    "`change_chords`: instruments of a bar kept (of another bar)": (_CHANGE + "overlap", _CHANGE + "overlap_other_bars"),
    "`arrange`, one style: time on tones of the chords": (_STYLE + "chord_tones", None),
    "`arrange`, one style: instruments kept from bar to bar (of another song)": (
        _STYLE + "overlap",
        _STYLE + "overlap_other_songs",
    ),
    "`arrange`, from A to B: time on tones of the chords": (_PATH + "chord_tones", None),
    "`arrange`, from A to B: the first bar has the instruments of A (of B)": (
        _PATH + "first_with_start",
        _PATH + "first_with_end",
    ),
    "`arrange`, from A to B: the last bar has the instruments of B (of A)": (
        _PATH + "last_with_end",
        _PATH + "last_with_start",
    ),
}


def multitrack_metrics(metrics: dict, length: str) -> list[Metric]:
    """The numbers in the main table of a card; `length` of the model's music, in words, such as "one bar"."""
    words = {"length": length, "band_temperature": (metrics.get("band_samples") or {}).get("temperature")}
    return [replace(metric, name=metric.name.format(**words)) for metric in MULTITRACK]


def band_tables(metrics: dict, has_chords: bool) -> dict[str, Table | None]:
    """The other tables of a card: `chords`, `styles` and `operations` of models that have chords, `attributes`, `path`."""
    tables = {"attributes": attributes_table(metrics), "path": path_table(metrics)}
    if has_chords:
        tables |= {
            "chords": chord_table(metrics),
            "styles": style_table(metrics),
            "operations": operations_table(metrics),
        }
    return tables


def harmony_metrics() -> list[Metric]:
    """The numbers of the tables of chords and styles."""
    keys = [key for pair in CHORD_TONES.values() for key in pair if key]
    shares = [Metric(f"harmony.chord_tones.{key}", key) for key in keys]
    overlaps = ("one_style_same_draws", "one_style", "different_styles")
    return [*shares, *(Metric(f"harmony.program_overlap.{key}", key, "jaccard") for key in overlaps)]


def operation_metrics() -> list[Metric]:
    """The numbers of the table of operations."""
    return [Metric(path, path) for pair in EFFECTS.values() for path in pair if path]


def headline_metrics() -> list[Metric]:
    """What the card's metadata say of chords and styles."""
    return [
        Metric("harmony.chord_tones.samples", "samples: sounding time on tones of the given chord"),
        Metric("harmony.chord_tones.samples_shuffled", "samples: sounding time on tones of another sample's chord"),
        Metric("harmony.program_overlap.one_style", "instruments of one style under different chords", "jaccard"),
        Metric("harmony.program_overlap.different_styles", "instruments of different styles under one chord", "jaccard"),
    ]


def chord_table(metrics: dict) -> Table:
    """Time on chord tones, of the chords that were given and of others."""
    shares = metrics["harmony"]["chord_tones"]
    rows = [
        [name, f"{shares[own]:.2f}", "" if control is None else f"{shares[control]:.2f}"]
        for name, (own, control) in CHORD_TONES.items()
    ]
    return Table(["", "of its own chord", "of another chord"], rows)


def style_table(metrics: dict) -> Table:
    """How alike the instruments of two measures are."""
    overlaps = metrics["harmony"]["program_overlap"]
    headings = ["", "one style, different chords", "the same, other dice", "different styles, one chord"]
    keys = ("one_style_same_draws", "one_style", "different_styles")
    return Table(headings, [["overlap of the instruments", *(f"{overlaps[key]:.2f}" for key in keys)]])


def operations_table(metrics: dict) -> Table:
    """What the operations of a band do."""
    rows = [
        [name, *("" if path is None else Metric(path, "", form="{:.2f}").text(metrics) for path in pair)]
        for name, pair in EFFECTS.items()
    ]
    return Table(["", "it does", "(control)"], rows)


def attributes_table(metrics: dict) -> Table | None:
    """What the attribute vectors do; None where there are none."""
    measured: dict[str, Any] = metrics.get("attributes") or {}
    rows = [
        [f"`{key}`: {name}", *(f"{measured[key][strength]:.2f}" for strength in ("less", "unchanged", "more"))]
        for key, name in ATTRIBUTES.items()
        if key in measured
    ]
    return Table(["", "strength -1", "0", "1"], rows) if rows else None


def path_table(metrics: dict) -> Table | None:
    """Distances to both ends on the way from one measure to another; None where they were not measured."""
    measured = metrics.get("interpolation")
    if not measured:
        return None
    rows = [
        [f"{name}, to the {side}", *(f"{distance:.2f}" for distance in figures[f"to_{side}"])]
        for name, figures in (("notes", measured), ("instruments", measured["programs"]))
        for side in ("start", "end")
    ]
    return Table(["", *(f"{fraction:.0%}" for fraction in measured["fractions"])], rows)

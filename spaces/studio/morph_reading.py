"""Which of MusicVAE's models reads a clip that comes from elsewhere, and what it finds in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine import Engine, ModelEntry, Report, _silent
from validate import StudioError

if TYPE_CHECKING:
    from hub_models import Clip

READ = {"melody": "its melody", "drums": "its drums", "trio": "its melody, bass and drums"}
# Whether there is a bass line is found out by reading.
MAY_BE_READ = {**READ, "trio": "its melody, with bass and drums where it has a bass line"}
BEATS_PER_BAR = 4


def fitting(entries: Iterable[ModelEntry], clip: Clip) -> list[ModelEntry]:
    """The models that may read a clip, the best first: those for all that it has, then those for a part of it, of each kind
    the longest that it fills, and where it fills none the shortest."""
    if clip.kind != "midi":
        return []
    kinds = ("trio", "melody", "drums") if clip.has_drums else ("melody",)
    kinds = kinds if clip.has_notes else ("drums",)
    bars = _bars(clip)
    ordered = []
    for kind in kinds:
        of_kind = sorted((entry for entry in entries if entry.kind == kind), key=lambda entry: entry.bars)
        filled = [entry for entry in reversed(of_kind) if entry.bars <= bars]
        # A trio of fewer bars than there are would be the model's, not the clip's.
        ordered += filled or (of_kind[:1] if kind != "trio" else [])
    return ordered


def reads(entries: Iterable[ModelEntry], clip: Clip) -> str | None:
    """What would be read of a clip, in words; None: nothing. Takes no look at its notes."""
    ordered = fitting(entries, clip)
    return f"{MAY_BE_READ[ordered[0].kind]}, {_at_a_time(ordered[0])}" if ordered else None


def words(entry: ModelEntry) -> str:
    """What a model read of a clip."""
    return f"{READ[entry.kind]}, {_at_a_time(entry)}"


def _at_a_time(entry: ModelEntry) -> str:
    return f"{entry.bars} bar{'s' if entry.bars != 1 else ''} at a time"


def read(
    engine: Engine, entries: list[ModelEntry], clip: Clip, report: Report = _silent
) -> tuple[ModelEntry, dict[str, Any]]:
    """The first fitting model that finds something in a clip, and what `Engine.read` gives.

    Raises:
        StudioError: there is nothing in it for any of them; says why.
    """
    from hub_models.music_vae import NoExamplesError

    reason = ""
    for entry in fitting(entries, clip):
        try:
            return entry, engine.read(entry.name, clip.data, report)
        except NoExamplesError as error:
            reason = reason or f" {error}"
    raise StudioError(f"There is nothing for Morph in “{clip.name}”.{reason}")


def _bars(clip: Clip) -> int:
    """Of a clip; the rest at its end counts."""
    lasting = int(clip.seconds * (clip.tempo or 0) / 60 / BEATS_PER_BAR + 1e-3)
    return max(clip.bars or 0, lasting)

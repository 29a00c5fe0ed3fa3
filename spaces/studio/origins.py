"""Where the results of MusicVAE's tabs are from: recorded when they are made, and taken along when they leave.

A result is a clip (see `pattern.py`) with an `origin`, a plain dictionary:

action      what was done, in words
calls       list of [endpoint, arguments]: the last gives the clip's notes; empty where they are their own source
cell        [row, column], from 0, of a clip in the grid that the last call gives; else empty
sources     ids of the `hub_models.Clip`s that it was made of
sound       [tempo, program] at which it was first heard: as such it is in the tray
tried       True of what is only tried out, and in no tray
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pattern as patterns
import validate
from pattern import Pattern

if TYPE_CHECKING:
    from hub_models import Clip

MAX_SOURCES = 8
GIVEN_KEYS = ("name", "notes", "bars", "drums", "trio", "tokens", "model")


def given(clip: Pattern) -> dict[str, Any]:
    """A clip as an argument of an endpoint."""
    return {key: clip[key] for key in GIVEN_KEYS if clip.get(key) not in (None, False)}


def from_sources(found: list[Pattern], clip_ids: list[str]) -> list[Pattern]:
    """What was found in clips, so that what is made of it names them."""
    return [{**clip, "sources": clip_ids} for clip in found]


def from_clip(found: list[Pattern], clip: Clip) -> list[Pattern]:
    """The windows of a clip, called after it: by their bars where there are several, by their instruments too where those
    differ."""
    instruments = {window["name"].rpartition(" · ")[0] for window in found}
    names = [clip.name]
    if len(found) > 1:
        where = [window["name"] if len(instruments) > 1 else window["name"].rpartition(" · ")[2] for window in found]
        names = [f"{clip.name[:40]} · {place}"[:80] for place in where]
    return from_sources([{**window, "name": name} for window, name in zip(found, names, strict=True)], [clip.id])


def sources_of(*clips: Pattern) -> list[str]:
    """The ids of the clips that some were read from, each once."""
    return list(dict.fromkeys(source for clip in clips for source in clip.get("sources", ())))


def checked_sources(value: Any) -> list[str]:
    """Those of a clip that comes from the browser; what is no id of a clip is left out."""
    ids = value if isinstance(value, list) else []
    return [one for one in ids[:MAX_SOURCES] if isinstance(one, str) and re.fullmatch("[0-9a-f]{12}", one)]


def record(
    made: Pattern,
    sound: tuple[Any, Any],
    action: str,
    calls: list[tuple[str, dict[str, Any]]],
    sources: list[str],
    cell: tuple[int, ...] = (),
    tried: bool = False,
) -> Pattern:
    """The result `made`, with its origin; see the module's docstring."""
    origin = {
        "action": action,
        "calls": [list(call) for call in calls],
        "cell": list(cell),
        "sources": sources,
        "sound": list(sound),
        "tried": tried,
    }
    return {**made, "origin": origin}


def kept(result: Pattern) -> Pattern:
    """A result that was tried, and is to stay."""
    return {**result, "origin": {**result["origin"], "tried": False}}


def is_tried(result: Pattern) -> bool:
    """Whether a result was only tried."""
    return result["origin"]["tried"]


def to_clip(result: Pattern, tempo: Any, program: Any) -> Clip:
    """A result as it leaves: at a tempo, its melody by a General MIDI program.

    Raises:
        ClipError: it is silent.
    """
    from hub_models import Clip
    from hub_models.clips import Call, Origin

    tempo, program = validate.tempo(tempo), validate.program(program)
    origin, made_by = result["origin"], result.get("made_by", {})
    calls = [Call(endpoint, arguments) for endpoint, arguments in origin["calls"]]
    notes = Call.result(len(calls) - 1, 0, *origin["cell"]) if calls else given(result)
    calls.append(Call("/render", {"clip": notes, "tempo": tempo, "program": program}))
    told = {name: value for name, value in made_by.items() if name not in ("action", "model", "seed")}
    if origin["cell"]:
        told["row"], told["column"] = (place + 1 for place in origin["cell"])
    return Clip.from_midi(
        patterns.to_midi(result, tempo, program),
        result["name"],
        seconds=patterns.seconds(result, tempo),
        origin=Origin(
            action=origin["action"],
            model=made_by.get("model"),
            settings={**told, "tempo": tempo, **({} if result["drums"] else {"program": program})},
            seed=made_by.get("seed"),
            parents=tuple(origin["sources"]),
            calls=tuple(calls),
        ),
    )


def sources_as_result(result: Pattern) -> list[str]:
    """The ids of the clips that something made of a result comes from: the result as it is in the tray, or what it was made
    of where it is in none."""
    return result["origin"]["sources"] if is_tried(result) else [to_clip(result, *result["origin"]["sound"]).id]

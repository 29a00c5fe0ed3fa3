"""What is known of a clip as JSON, and back: contents of files are named by their SHA-256. What comes in is not believed."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .clips import KINDS, MAX_NAME, Call, Clip, ClipError, Origin
from .session_archive import SessionError

CLIP_ID, DIGEST, ARGUMENT = re.compile(r"[0-9a-f]{12}"), re.compile(r"[0-9a-f]{64}"), re.compile(r"[a-z][a-z0-9_]{0,63}")
# Arguments of `Client.predict` itself.
RESERVED = {"api_name", "fn_index", "headers"}
MAX_TEXT, MAX_PARTS, MAX_BARS, MAX_CHORDS = 200, 64, 10_000, 16
MAX_SECONDS, MAX_TEMPO, MAX_SEED, MAX_OUTPUTS = 4 * 3600.0, 10_000.0, 2**63, 16


def to_facts(clip: Clip) -> dict[str, Any]:
    """A clip as JSON, without the contents of its files."""
    origin = clip.origin
    return {
        "id": clip.id,
        "name": clip.name,
        "kind": clip.kind,
        "sha256": _digest(clip.data),
        "seconds": clip.seconds,
        "tempo": clip.tempo,
        "key": clip.key,
        "chords": [list(symbols) for symbols in clip.chords] if clip.chords else None,
        "bars": clip.bars,
        "has_drums": clip.has_drums,
        "has_notes": clip.has_notes,
        "origin": {
            "action": origin.action,
            "model": origin.model,
            "settings": dict(origin.settings),
            "seed": origin.seed,
            "parents": list(origin.parents),
            "calls": [{"endpoint": call.endpoint, "arguments": dict(call.arguments)} for call in origin.calls],
            "output": origin.output,
            "files": {name: _digest(content) for name, content in origin.files.items()},
        },
    }


def from_facts(facts: Mapping[str, Any], data: bytes, file: Callable[[str], bytes]) -> Clip:
    """A clip of what `to_facts` gave.

    Args:
        data: its contents.
        file: gives the contents of a file of its origin, by their SHA-256.

    Raises:
        SessionError: a value is missing, of another type or out of bounds, or contents and id do not belong together.
    """
    kind = facts.get("kind")
    if kind not in KINDS:
        raise SessionError(f"A clip of the session is of the kind {str(kind)[:20]!r}; clips are {' or '.join(KINDS)}.")
    if facts.get("sha256") != _digest(data):
        raise SessionError("A clip of the session has other contents than it says; it was changed.")
    try:
        clip = Clip(
            name=_text(facts, "name", most=MAX_NAME),
            kind=kind,
            data=data,
            seconds=_number(facts, "seconds", 0.0, MAX_SECONDS),
            tempo=_number(facts, "tempo", 0.0, MAX_TEMPO, may_miss=True),
            key=_text(facts, "key", may_miss=True),
            chords=_chords(facts.get("chords")),
            bars=_whole(facts, "bars", MAX_BARS * MAX_BARS, may_miss=True),
            has_drums=_truth(facts, "has_drums"),
            has_notes=_truth(facts, "has_notes"),
            origin=to_origin(facts.get("origin"), file),
        )
    except ClipError as error:
        raise SessionError(f"A clip of the session cannot be read: {error}") from error
    if facts.get("id") != clip.id:
        raise SessionError(f"The clip “{clip.name}” has another id than its contents and origin give; it was changed.")
    return clip


def references(clip: Clip, kind: str) -> set[Any]:
    """What the calls of a clip refer to in one way: "$file", "$clip" or "$result"."""
    return {found[kind] for call in clip.origin.calls for found in _references(call.arguments) if kind in found}


def _references(value: Any) -> Iterator[Mapping[str, Any]]:
    """The references in arguments, at any depth.

    Raises:
        SessionError: one is not as it must be, or something is there that a client would take for a file.
    """
    if isinstance(value, list):
        for part in value:
            yield from _references(part)
    if not isinstance(value, Mapping):
        return
    if "_type" in value:
        raise SessionError("A call names a file by its place; files are named by references.")
    if not any(isinstance(key, str) and key.startswith("$") for key in value):
        for part in value.values():
            yield from _references(part)
        return
    keys = set(value)
    path, output = value.get("$path", []), value.get("$output", 0)
    is_result = (
        {"$result"} <= keys <= {"$result", "$output", "$path"}
        and all(_is_whole(number, MAX_OUTPUTS * MAX_PARTS) for number in (value["$result"], output))
        and isinstance(path, list)
        and all(isinstance(step, str) or _is_whole(step, 2**31) for step in path)
    )
    is_name = keys in ({"$file"}, {"$clip"}) and all(isinstance(name, str) for name in value.values())
    if not (is_result or is_name):
        raise SessionError("A reference in a call is none of $file, $clip, or $result with $output and $path.")
    yield value


def to_origin(facts: Any, file: Callable[[str], bytes]) -> Origin:
    """The origin of a clip, as `to_facts` gave it; `file` gives the contents of its files by their SHA-256.

    Raises:
        SessionError: a value is missing, of another type or out of bounds.
        ClipError: a call names no endpoint.
    """
    if not isinstance(facts, Mapping):
        raise SessionError("A clip of the session does not say where it is from.")
    parents, calls, files = facts.get("parents"), facts.get("calls"), facts.get("files")
    if not isinstance(parents, list) or len(parents) > MAX_PARTS or not all(_matches(CLIP_ID, id) for id in parents):
        raise SessionError(f"The parents of a clip must be at most {MAX_PARTS} ids of clips.")
    if not isinstance(files, Mapping) or len(files) > MAX_PARTS or not all(_matches(DIGEST, at) for at in files.values()):
        raise SessionError(f"The files of a clip's calls must be at most {MAX_PARTS} names with a SHA-256 each.")
    if any(not name.isprintable() or not 0 < len(name) <= MAX_TEXT for name in files):
        raise SessionError(f"The name of a file that a call needs must have 1 to {MAX_TEXT} characters, all to be seen.")
    if not isinstance(calls, list) or len(calls) > MAX_PARTS:
        raise SessionError(f"The calls of a clip must be a list of at most {MAX_PARTS}.")
    checked = tuple(_call(call, index, set(files)) for index, call in enumerate(calls))
    settings = facts.get("settings")
    if not isinstance(settings, Mapping):
        raise SessionError("The settings of a clip must be an object.")
    return Origin(
        action=_text(facts, "action"),
        model=_text(facts, "model", may_miss=True),
        settings=settings,
        seed=_whole(facts, "seed", MAX_SEED, may_miss=True),
        parents=tuple(parents),
        calls=checked,
        output=_whole(facts, "output", MAX_OUTPUTS),
        files={name: file(digest) for name, digest in files.items()},
    )


def _call(facts: Any, index: int, files: set[str]) -> Call:
    if not isinstance(facts, Mapping) or set(facts) != {"endpoint", "arguments"}:
        raise SessionError("A call must have an endpoint and arguments, and nothing else.")
    arguments = facts["arguments"]
    if not isinstance(arguments, Mapping) or not all(_matches(ARGUMENT, name) for name in arguments):
        raise SessionError("The arguments of a call must be an object of names as those of parameters are.")
    if RESERVED & set(arguments):
        raise SessionError(f"The arguments of a call may not be called {' or '.join(sorted(RESERVED))}.")
    for reference in _references(arguments):
        if "$file" in reference and reference["$file"] not in files:
            raise SessionError(f"A call needs the file {reference['$file'][:80]!r}, which its clip does not have.")
        if "$clip" in reference and not CLIP_ID.fullmatch(reference["$clip"]):
            raise SessionError("A call names a clip by something that is no id.")
        if "$result" in reference and reference["$result"] >= index:
            raise SessionError("A call needs the result of a call that does not come before it.")
    return Call(facts["endpoint"], arguments)


def _chords(value: Any) -> tuple[tuple[str, ...], ...] | None:
    if value is None:
        return None
    bars = value if isinstance(value, list) and len(value) <= MAX_BARS else [None]
    for symbols in bars:
        right = isinstance(symbols, list) and len(symbols) <= MAX_CHORDS
        if not right or not all(isinstance(symbol, str) and len(symbol) <= MAX_TEXT for symbol in symbols):
            raise SessionError("The chords of a clip must be a list with a list of symbols for each bar.")
    return tuple(tuple(symbols) for symbols in bars) or None


def _text(facts: Mapping[str, Any], key: str, *, most: int = MAX_TEXT, may_miss: bool = False) -> Any:
    value = facts.get(key)
    if may_miss and value is None:
        return None
    if not isinstance(value, str) or len(value) > most:
        raise SessionError(f"The {key} of a clip must be a text of at most {most} characters.")
    return value


def _number(facts: Mapping[str, Any], key: str, least: float, most: float, *, may_miss: bool = False) -> Any:
    value = facts.get(key)
    if may_miss and value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value <= most:
        raise SessionError(f"The {key} of a clip must be a number from {least:g} to {most:g}.")
    return float(value)


def _whole(facts: Mapping[str, Any], key: str, most: int, *, may_miss: bool = False) -> Any:
    value = facts.get(key)
    if may_miss and value is None:
        return None
    if not _is_whole(value, most):
        raise SessionError(f"The {key} of a clip must be a whole number from 0 to {most}.")
    return value


def _truth(facts: Mapping[str, Any], key: str) -> bool:
    value = facts.get(key)
    if not isinstance(value, bool):
        raise SessionError(f"{key} of a clip must be true or false.")
    return value


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _matches(pattern: re.Pattern, value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

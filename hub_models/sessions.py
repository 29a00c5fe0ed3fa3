"""Sessions: clips in one zip file, with all that it takes to make each of them again.

```
python -m hub_models.sessions list session.zip
python -m hub_models.sessions reproduce session.zip --studio http://127.0.0.1:7860 --output DIR
```

A session is a zip file of

- the clips, such as `01-morph.mid` or `02-a-voice.wav`; of those of MIDI also what they sound like, `01-morph.wav`, unless
  they are long or the session is big;
- `files/` with what the calls of clips need besides, each called by the SHA-256 of its contents;
- `session.json`, version 1:

```
{"format": "encore-session", "version": 1, "clips": [{
  "id": "0123456789ab",              follows from contents and origin, see `Clip.id`
  "name": "Morph", "kind": "midi",   or "audio"
  "file": "01-morph.mid", "sha256": "...", "sound": "01-morph.wav" or null,
  "seconds": 8.0, "tempo": 120.0, "key": "C major", "chords": [["C"], ["Am", "F"]],     null: not known
  "bars": 4, "has_drums": false, "has_notes": true,
  "origin": {
    "action": "Morph A into B", "model": "...", "settings": {...}, "seed": 7, "parents": ["...", ...],
    "calls": [{"endpoint": "/interpolate", "arguments": {"steps": 5, "start": {...}, ...}}, ...], "output": 0,
    "files": {"tune.mid": "SHA-256 of its contents"}}}, ...]}
```

`calls` are those of named endpoints of the Studio which make the clip, in order; output `output` of the last is its file.
In place of a value, at any depth, there may be `{"$file": name}` (one of `files`), `{"$clip": id}` (the file of another
clip of the session) or `{"$result": n, "$output": k, "$path": [...]}` (output k of call n; the path, which may be left out,
leads into it). A clip without calls was not made here: it is its own source. The order of clips is that of the session, the
newest first.

A session comes from anybody: see `SessionLimits` and `session_archive` for what is refused. Reading one runs nothing;
`reproduce` sends what it says to a Studio of yours, to named endpoints and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .audio import AudioLimits, to_wav_bytes
from .clips import MIDI, Clip
from .midi import RenderError
from .music_vae.note_sequence import MidiLimits
from .session_archive import Archive, ArchiveLimits, ArchiveSource, SessionError, write
from .session_facts import from_facts, references, to_facts

if TYPE_CHECKING:
    from gradio_client import Client

FORMAT, VERSION = "encore-session", 1
JSON_FILE, FILES_FOLDER = "session.json", "files/"
MAX_SOUND_SECONDS = 10 * 60  # of MIDI that is also there as sound


@dataclass(frozen=True)
class SessionLimits:
    """What is accepted of a session; see `ArchiveLimits` for the zip file that it is.

    Attributes:
        max_clips: in one session.
        max_json_bytes, max_json_depth: of session.json.
        max_file_bytes: of one file that a call needs.
    """

    max_clips: int = 64
    max_json_bytes: int = 20_000_000
    max_json_depth: int = 40
    max_file_bytes: int = 25_000_000
    archive: ArchiveLimits = field(default_factory=ArchiveLimits)
    midi: MidiLimits = field(default_factory=MidiLimits)
    audio: AudioLimits = field(default_factory=AudioLimits)


def sound_of(clip: Clip) -> bytes | None:
    """A clip of MIDI as a WAV file; None where it is longer than `MAX_SOUND_SECONDS`."""
    if clip.seconds > MAX_SOUND_SECONDS:
        return None
    try:
        return to_wav_bytes(*clip.sound())
    except RenderError:
        return None


def write_session(
    clips: Sequence[Clip],
    target: str | os.PathLike | IO[bytes],
    *,
    sound: Callable[[Clip], bytes | None] | None = sound_of,
    limits: SessionLimits = SessionLimits(),
) -> None:
    """Writes clips, the newest first, as a session that `read_session` accepts under the same limits.

    Args:
        target: a path (written whole or not at all), or a file.
        sound: gives a clip of MIDI as a WAV file, or None; None in its place: no clip is written as sound.

    Raises:
        SessionError: too many clips, two with one id, one whose calls need a clip that is not among them, see `inline`, or
            one with an origin that could not be read again.
    """
    ids = [clip.id for clip in clips]
    if len(ids) > limits.max_clips:
        raise SessionError(f"A session holds at most {limits.max_clips} clips, not {len(ids)}.")
    if len(set(ids)) < len(ids):
        raise SessionError("Each clip may be in a session once only.")
    files = {_digest(content): content for clip in clips for content in clip.origin.files.values()}
    entries, described, room = [], [], limits.archive.max_bytes
    room -= sum(map(len, files.values())) + sum(len(clip.data) for clip in clips) + limits.max_json_bytes
    if room < 0:
        raise SessionError(f"The clips have more than the {limits.archive.max_bytes / 1e6:.0f} MB that a session may hold.")
    for number, clip in enumerate(clips, start=1):
        facts = to_facts(clip)
        from_facts(facts, clip.data, {_digest(file): file for file in clip.origin.files.values()}.__getitem__)
        _check_parents(clip, set(ids))
        stem = f"{number:02d}-{_slug(clip.name)}"
        entries.append((f"{stem}.{clip.extension}", clip.data))
        played = sound(clip) if sound and clip.kind == MIDI else None
        if played is not None and len(played) <= room:
            room -= len(played)
            entries.append((f"{stem}.wav", played))
        else:
            played = None
        places = {"file": f"{stem}.{clip.extension}", "sound": f"{stem}.wav" if played else None}
        described.append({**facts, **places})
    content = json.dumps({"format": FORMAT, "version": VERSION, "clips": described}, allow_nan=False).encode()
    if len(content) > limits.max_json_bytes:
        raise SessionError("What is known of the clips is more than a session may hold; leave some out.")
    _parse(content, limits)
    entries += [(FILES_FOLDER + digest, file) for digest, file in files.items()]
    write(target, iter([(JSON_FILE, content), *entries]), limits.archive.max_ratio)


def read_session(source: ArchiveSource, limits: SessionLimits = SessionLimits()) -> list[Clip]:
    """The clips of a session, in its order.

    Args:
        source: a path, the contents of the file, or a file that can be sought.

    Raises:
        SessionError: it is none, is damaged or forged, or is over the limits; one sentence that says what is wrong.
        MidiError, AudioError: (ValueErrors as well) a clip cannot be read.
    """
    with Archive(source, limits.archive) as archive:
        if JSON_FILE not in archive.names:
            raise SessionError(f"This is not a session of Encore: it holds no {JSON_FILE}.")
        content = _parse(archive.read(JSON_FILE, limits.max_json_bytes), limits)
        named = {JSON_FILE}

        def file(digest: str) -> bytes:
            named.add(FILES_FOLDER + digest)
            found = archive.read(FILES_FOLDER + digest, limits.max_file_bytes)
            if _digest(found) != digest:
                raise SessionError("A file that a call needs has other contents than session.json says.")
            return found

        clips = []
        for facts in content:
            place, sound = facts.get("file"), facts.get("sound")
            if not isinstance(place, str) or not isinstance(sound, str | None):
                raise SessionError("A clip in session.json does not say which file it is.")
            named |= {place, sound}
            most = limits.midi.max_bytes if facts.get("kind") == MIDI else limits.audio.max_bytes
            clips.append(_readable(from_facts(facts, archive.read(place, most), file), limits))
        unnamed = archive.names - named
    if unnamed:
        raise SessionError(f"The session holds the file {min(unnamed)[:80]!r}, which session.json does not name.")
    ids = {clip.id for clip in clips}
    if len(ids) < len(clips):
        raise SessionError("The session holds the same clip twice.")
    for clip in clips:
        _check_parents(clip, ids)
    return clips


def inline(clip: Clip, lookup: Callable[[str], Clip]) -> Clip:
    """The same clip, whose calls name no other clips: their files are among its own. `lookup` gives a clip by its id."""
    others = {id: lookup(id) for id in sorted(references(clip, "$clip"))}
    if not others:
        return clip
    names = {id: f"{id}.{other.extension}" for id, other in others.items()}

    def put(reference: Mapping[str, Any]) -> Any:
        return {"$file": names[reference["$clip"]]} if "$clip" in reference else reference

    calls = tuple(replace(call, arguments=_filled(call.arguments, put)) for call in clip.origin.calls)
    files = {**clip.origin.files, **{names[id]: other.data for id, other in others.items()}}
    return replace(clip, origin=replace(clip.origin, calls=calls, files=files))


def reproduce(clip: Clip, clips: Iterable[Clip], client: Client) -> Clip:
    """Makes a clip again, by its calls; `.data` of what comes is that of the clip, if nothing went wrong.

    Args:
        clips: where those are that its calls name.
        client: `gradio_client.Client` of a Studio.

    Raises:
        SessionError: it has no calls, or the Studio gave no file.
    """
    if not clip.origin.calls:
        raise SessionError(f"The clip “{clip.name}” was not made here: it is its own source.")
    from gradio_client import handle_file

    known = {other.id: other for other in clips}
    _check_parents(clip, set(known))
    results: list[tuple] = []
    with tempfile.TemporaryDirectory(prefix="encore-session-") as folder:

        def on_disk(name: str, content: bytes) -> Any:
            own = Path(tempfile.mkdtemp(dir=folder)) / name
            own.write_bytes(content)
            return handle_file(own)

        def put(reference: Mapping[str, Any]) -> Any:
            if "$file" in reference:
                name = reference["$file"]
                return on_disk(f"{_slug(Path(name).stem)}{_suffix(name)}", clip.origin.files[name])
            if "$clip" in reference:
                other = known[reference["$clip"]]
                return on_disk(f"{_slug(other.name)}.{other.extension}", other.data)
            value = _led(results[reference["$result"]], reference)
            return handle_file(value) if _is_downloaded(value, client) else value

        for call in clip.origin.calls:
            answer = client.predict(api_name=call.endpoint, **_filled(call.arguments, put))
            results.append(answer if isinstance(answer, tuple) else (answer,))
    made = results[-1][clip.origin.output] if clip.origin.output < len(results[-1]) else None
    if not _is_downloaded(made, client):
        raise SessionError(f"{clip.origin.calls[-1].endpoint} gave no file for the clip “{clip.name}”.")
    return _like(clip, Path(made).read_bytes())


def _led(outputs: tuple, reference: Mapping[str, Any]) -> Any:
    """What a reference to a result means."""
    try:
        value = outputs[reference.get("$output", 0)]
        for step in reference.get("$path", []):
            value = value[step]
    except (LookupError, TypeError) as error:
        raise SessionError("A call needs a part of an earlier result which is not there.") from error
    return value


def _is_downloaded(value: Any, client: Client) -> bool:
    """Whether a result is a file that the client fetched, and not a text that looks like the place of one."""
    if not isinstance(value, str) or not os.path.isabs(value):
        return False
    place = Path(value).resolve()
    return place.is_file() and place.is_relative_to(Path(client.output_dir).resolve())


def _filled(value: Any, put: Callable[[Mapping[str, Any]], Any]) -> Any:
    """A value with what `put` gives in place of its references."""
    if isinstance(value, Mapping):
        if {"$file", "$clip", "$result"} & set(value):
            return put(value)
        return {key: _filled(part, put) for key, part in value.items()}
    return [_filled(part, put) for part in value] if isinstance(value, list) else value


def _check_parents(clip: Clip, ids: set[str]) -> None:
    missing = references(clip, "$clip") - ids
    if missing:
        raise SessionError(f"The clip “{clip.name}” is made of the clip {min(missing)}, which is not in the session.")


def _parse(content: bytes, limits: SessionLimits) -> list[dict[str, Any]]:
    """The clips of session.json."""

    def refuse(text: str) -> Any:
        raise ValueError(text)

    try:
        parsed = json.loads(content.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise SessionError(f"{JSON_FILE} of the session is not JSON that can be read.") from error
    if not isinstance(parsed, dict) or parsed.get("format") != FORMAT:
        raise SessionError(f"{JSON_FILE} is not that of a session of Encore.")
    if parsed.get("version") != VERSION:
        raise SessionError(f"The session is of version {str(parsed.get('version'))[:20]}; version {VERSION} can be read.")
    level, depth = [parsed], 0
    while level := [part for value in level for part in _parts(value)]:
        depth += 1
        if depth > limits.max_json_depth:
            raise SessionError(f"{JSON_FILE} is nested more than {limits.max_json_depth} levels deep.")
    clips = parsed.get("clips")
    if not isinstance(clips, list) or not all(isinstance(facts, dict) for facts in clips):
        raise SessionError(f"{JSON_FILE} has no list of clips.")
    if len(clips) > limits.max_clips:
        raise SessionError(f"The session holds {len(clips)} clips; at most {limits.max_clips} are allowed.")
    return clips


def _parts(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _readable(clip: Clip, limits: SessionLimits) -> Clip:
    """The clip with what can be read off its contents in place of what is said of them."""
    origin = clip.origin
    if clip.kind == MIDI:
        return Clip.from_midi(
            clip.data, clip.name, seconds=min(clip.seconds, limits.midi.max_seconds), key=clip.key, chords=clip.chords,
            origin=origin, limits=limits.midi,
        )  # fmt: skip
    return Clip.from_audio(clip.data, clip.name, tempo=clip.tempo, key=clip.key, origin=origin, limits=limits.audio)


def _like(clip: Clip, data: bytes) -> Clip:
    """A clip with other contents."""
    if data == clip.data:
        return clip
    return _readable(replace(clip, data=data), SessionLimits())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _slug(name: str) -> str:
    """Letters, digits and dashes of a name, for names of files."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))[:48].strip("-") or "clip"


def _suffix(name: str) -> str:
    found = Path(name).suffix.lower()
    return found if re.fullmatch(r"\.[a-z0-9]{1,5}", found) else ""


def main(arguments: list[str] | None = None) -> int:
    """The command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hub_models.sessions", description="Sessions of the Encore Studio.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="say what a session holds")
    making = commands.add_parser("reproduce", help="make every clip of a session again and compare")
    for command in (listing, making):
        command.add_argument("session", type=Path, help="a session, as the Studio saves it")
    making.add_argument("--studio", default="http://127.0.0.1:7860", help="address of a running Studio")
    making.add_argument("--output", type=Path, required=True, help="folder for what is made; new files, one for each clip")
    options = parser.parse_args(arguments)
    try:
        clips = read_session(options.session)
        if options.command == "reproduce":
            return _reproduce_all(clips, options.studio, options.output)
        for clip in clips:
            print(_line(clip))
    except (ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _line(clip: Clip) -> str:
    origin = clip.origin
    seed = f", seed {origin.seed}" if origin.seed is not None else ""
    by = f"{origin.action}{f', {origin.model}' if origin.model else ''}{seed}"
    return f"{clip.id}  {clip.kind:5}  {clip.seconds:7.1f} s  {clip.name}  ({by})"


def _reproduce_all(clips: list[Clip], studio: str, output: Path) -> int:
    """Makes clips again, parents first, and says of each whether it came out the same."""
    try:
        from gradio_client import Client
    except ImportError as error:
        raise ImportError("Making clips again needs gradio_client: pip install 'encore-music[demo]'.") from error
    output.mkdir(parents=True, exist_ok=True)
    differing = 0
    with tempfile.TemporaryDirectory(prefix="encore-session-") as folder:
        try:
            client = Client(studio, verbose=False, download_files=folder)
        except Exception as error:  # whatever the network raises
            raise SessionError(f"No Studio answers at {studio}; start one, or name another with --studio.") from error
        for number, clip in enumerate(reversed(clips), start=1):
            print(f"{number}/{len(clips)}  {clip.name}: ", end="", flush=True)
            if not clip.origin.calls:
                made, verdict = clip, "a source, kept as it is"
            else:
                try:
                    made = reproduce(clip, clips, client)
                    same = made.data == clip.data
                    verdict = "the same, byte for byte" if same else "NOT the same"
                except Exception as error:  # of this clip alone; the others are made all the same
                    made, same, verdict = None, False, f"FAILED: {error}"
                differing += not same
            if made:
                (output / f"{clip.id}-{_slug(clip.name)}.{made.extension}").write_bytes(made.data)
            print(verdict, flush=True)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

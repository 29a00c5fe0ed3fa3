"""How a song for a band is told to a program, and made again of that: its wishes as arguments of /arrange, and back.

A style is told as {"example": name}, {"seed": number, "temperature": number} or {"file": place, "bar": number}; a change of
a song as an object of what it keeps and what is new, see `changes_of`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import band as bands
import pattern as patterns
import validate
from band import Bandstand, Song, Style, Wish
from engine import Report
from validate import StudioError

from hub_models.clips import Call, Clip, Origin

ENDPOINT = "/arrange"
MAX_FILES = 2 * (1 + bands.MAX_CHANGES)
CHANGE_HELP = '{"only_bars": [2], "keep_style": true, "keep_chords": true, "seed": 8}'
STYLE_HELP = '{"example": "Funk"}, {"seed": 7} or {"file": 0, "bar": 1}'
# Keys of a change, and of a style.
CHANGE_KEYS = (
    "keep_style", "keep_chords", "only_bars", "progression", "bars", "styles", "strengths", "temperature", "seed",
)  # fmt: skip
STYLE_KEYS = ("example", "seed", "temperature", "file", "bar")


def clip_of(stand: Bandstand, song: Song, tempo: float, mix: dict[str, list[str]]) -> Clip:
    """A song as a clip: every instrument, whatever the mixer says, which is among its settings."""
    return Clip.from_midi(
        stand.midi(song, tempo),
        song.title,
        seconds=song.num_bars * patterns.BEATS_PER_BAR * 60.0 / tempo,
        chords=song.arrangement.chords,
        origin=origin_of(song, tempo, mix),
    )


def origin_of(song: Song, tempo: float, mix: dict[str, list[str]]) -> Origin:
    """Where a song is from, with the call that makes the same file again."""
    files = _Files()
    first, *changes = song.wishes
    arguments = {
        "model": song.model,
        **_harmony(first),
        "style": None,
        "style_bar": None,
        "to_style": None,
        "to_style_bar": None,
        "strengths": _strengths(first),
        "tempo": tempo,
        "temperature": first.temperature,
        "seed": first.seed,
        "styles": files.told(first.styles),
        "changes": [_change(wish, files) for wish in changes],
        "style_files": files.references,
    }
    return Origin(
        action=f"{song.title}, over {_short(bands.progression_text(song.arrangement.chords))}",
        model=song.model,
        settings={
            "chords": bands.progression_text(song.arrangement.chords),
            "bars": song.num_bars,
            "styles": [style.name for style in first.styles],
            "strengths": _strengths(song.wishes[-1]),
            "temperature": song.arrangement.temperature,
            "tempo": tempo,
            "changes": [_in_words(wish) for wish in changes],
            "muted": list(mix["muted"]),
            "solo": list(mix["solo"]),
        },
        seed=song.seed,
        parents=tuple(files.clips),
        calls=(Call(ENDPOINT, arguments),),
        files=files.contents,
    )


class _Files:
    """The files that styles are from, each once: as `references` in a call, by their `contents`, or as ids of `clips`."""

    def __init__(self):
        self.references: list[dict[str, Any]] = []
        self.contents: dict[str, bytes] = {}
        self.clips: list[str] = []
        self._places: dict[bytes, int] = {}

    def told(self, styles: Iterable[Style]) -> list[dict[str, Any]]:
        return [{"file": self._place(style), **style.made_by} if style.file else dict(style.made_by) for style in styles]

    def _place(self, style: Style) -> int:
        file = style.file
        if file.clip and file.clip not in self.clips:
            self.clips.append(file.clip)
        if file.data not in self._places:
            self._places[file.data] = len(self.references)
            name = f"style-{len(self.references) + 1}.mid"
            self.references.append(Call.of_clip(file.clip) if file.clip else Call.file(name))
            if not file.clip:
                self.contents[name] = file.data
        return self._places[file.data]


def _change(wish: Wish, files: _Files) -> dict[str, Any]:
    return {
        "keep_style": wish.keep_style,
        "keep_chords": wish.keep_chords,
        **({"only_bars": [bar + 1 for bar in wish.bars]} if wish.bars else {}),
        **({} if wish.keep_chords else _harmony(wish)),
        **({} if wish.keep_style else {"styles": files.told(wish.styles)}),
        "strengths": _strengths(wish),
        "temperature": wish.temperature,
        "seed": wish.seed,
    }


def _harmony(wish: Wish) -> dict[str, Any]:
    return {"progression": bands.progression_text(wish.chords), "bars": len(wish.chords)}


def _strengths(wish: Wish) -> dict[str, float]:
    return {name: strength for name, strength in wish.strengths.items() if strength}


def _in_words(wish: Wish) -> str:
    """A change, for people: "bars 2, 3 played anew, seed 8"."""
    if wish.bars:
        done = f"bar{'s' if len(wish.bars) > 1 else ''} {', '.join(str(bar + 1) for bar in wish.bars)} played anew"
    elif wish.keep_chords:
        done = "played anew"
    else:
        done = f"over {_short(bands.progression_text(wish.chords))}"
    style = "" if wish.keep_style else f" as {' → '.join(dict.fromkeys(style.name for style in wish.styles))}"
    return f"{done}{style}, seed {wish.seed}"


def _short(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


class StyleReader:
    """Reads the styles that a program tells of, each file once. `remarks` holds, by the path of each file that
    was read, its `reductions` and `rejections`, see `Bandstand.read`.

    Args:
        files: paths of the files that styles name by their place.

    Raises:
        StudioError: there are too many files.
    """

    def __init__(self, stand: Bandstand, model: str, files: list[str] | None, report: Report):
        if files and len(files) > MAX_FILES:
            raise StudioError(f"There are {len(files)} files of styles; at most {MAX_FILES} are allowed.")
        self.remarks: dict[str, dict[str, list[str]]] = {}
        self._stand, self._model, self._files, self._report = stand, model, files or [], report
        self._found: dict[str, list[Style]] = {}

    def bar(self, file: str, bar: Any) -> Style:
        """The style of a bar of a file, from 1; None: the first that can be read.

        Raises:
            ValueError: nothing is in this bar, or in the file, for the model; the message says why.
        """
        if file not in self._found:
            found = self._stand.read(self._model, file, report=self._report)
            self._found[file] = found["styles"]
            self.remarks[file] = {name: found[name] for name in ("reductions", "rejections")}
        if bar is None:
            return self._found[file][0]
        bar = validate.bar(bar)
        offered = [style for style in self._found[file] if style.made_by["bar"] == bar]
        # A bar that is like one before, or among too many, is not offered, but can be asked for.
        return offered[0] if offered else self._stand.read_bar(self._model, file, bar)

    def styles(self, given: Any, temperature: float) -> tuple[Style, ...]:
        """One style, or the two that a song goes from and to; `temperature` is that of a random one that has none.

        Raises:
            ValueError: what is told cannot be had; the message says why.
        """
        if not isinstance(given, list) or not 1 <= len(given) <= 2:
            raise StudioError(f"The styles must be a list of one or two objects such as {STYLE_HELP}.")
        return tuple(self._style(one, temperature) for one in given)

    def _style(self, given: Any, temperature: float) -> Style:
        given = _known(given, STYLE_KEYS, f"A style must be an object such as {STYLE_HELP}")
        if [key in given for key in ("example", "seed", "file")].count(True) != 1:
            raise StudioError(f"A style must have one of example, seed and file, such as {STYLE_HELP}.")
        if "example" in given:
            return bands.example(given["example"])
        if "seed" in given:
            temperature = validate.temperature(given.get("temperature", temperature))
            return self._stand.sample(self._model, temperature, validate.seed(given["seed"]), self._report)
        place = given["file"]
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(self._files):
            there = f"0 to {len(self._files) - 1}" if self._files else "none"
            raise StudioError(f"There is no such file of styles, {str(place)[:40]!r}; their places are {there}.")
        return self.bar(self._files[place], given.get("bar"))


def changes_of(given: Any, reader: StyleReader, temperature: float, seed: int) -> list[Wish]:
    """Changes of a song, one after the other, as programs tell them.

    Each is an object with any of: `keep_style` and `keep_chords` (true: they stay), `only_bars` (numbers, from 1, of the
    only bars that are played anew), `progression` and `bars` (needed unless the chords stay), `styles` (needed unless the
    style stays), `strengths`, and `temperature` and `seed`, which are those given where it has none.

    Raises:
        ValueError: one cannot be understood; the message says why.
    """
    if not isinstance(given, list) or len(given) > bands.MAX_CHANGES:
        raise StudioError(f"The changes must be a list of at most {bands.MAX_CHANGES} objects such as {CHANGE_HELP}.")
    return [_change_of(change, reader, temperature, seed) for change in given]


def _change_of(given: Any, reader: StyleReader, temperature: float, seed: int) -> Wish:
    change = _known(given, CHANGE_KEYS, f"A change of a song must be an object such as {CHANGE_HELP}")
    keep_style, keep_chords = (_flag(change, name) for name in ("keep_style", "keep_chords"))
    temperature = validate.temperature(change.get("temperature", temperature))
    return Wish(
        chords=[] if keep_chords else bands.progression(change.get("progression"), change.get("bars")),
        styles=() if keep_style else reader.styles(change.get("styles"), temperature),
        temperature=temperature,
        seed=validate.seed(change.get("seed", seed)),
        strengths=change.get("strengths") or {},
        keep_style=keep_style,
        keep_chords=keep_chords,
        bars=_bars(change.get("only_bars")),
    )


def make(stand: Bandstand, model: str, wishes: list[Wish], report: Report) -> Song:
    """The song of the first wish, with the changes of the others."""
    song = None
    for number, wish in enumerate(wishes):

        def part(fraction: float, text: str, number: int = number) -> None:
            report((number + fraction) / len(wishes), text)

        song = stand.make(model, wish, song, part)
    return song


def _known(given: Any, keys: tuple[str, ...], sentence: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise StudioError(f"{sentence}.")
    unknown = [key for key in given if key not in keys]
    if unknown:
        raise StudioError(f"{sentence}; it may have {', '.join(keys)}, not {str(unknown[0])[:40]}.")
    return given


def _flag(change: dict[str, Any], name: str) -> bool:
    value = change.get(name, False)
    if not isinstance(value, bool):
        raise StudioError(f"{name} must be true or false.")
    return value


def _bars(given: Any) -> tuple[int, ...]:
    """Places of bars, from 0, of their numbers."""
    if given is None:
        return ()
    if not isinstance(given, list) or not 1 <= len(given) <= validate.MAX_SONG_BARS:
        raise StudioError(f"only_bars must be a list of 1 to {validate.MAX_SONG_BARS} numbers of bars, from 1.")
    return tuple(dict.fromkeys(validate.bar(number) - 1 for number in given))

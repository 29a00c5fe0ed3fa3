"""How what was brought is remembered: files, and clips of the tray, from which what is made can be made again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pattern as patterns

if TYPE_CHECKING:
    from hub_models.clips import Origin

MAX_WORDS = 200  # characters


@dataclass(frozen=True)
class Source:
    """A file that was brought.

    Attributes:
        name: what a person sees; it is in no path.
        data: its contents; of a clip they are not needed.
        clip_id: of the clip of the tray whose file it is; None: it was uploaded, or is an example.
    """

    name: str
    data: bytes = field(default=b"", repr=False)
    clip_id: str | None = None


class Ledger:
    """Collects the files and the parents of an origin; begins with those of an origin that goes on."""

    def __init__(self, before: Origin | None = None):
        self.files: dict[str, bytes] = dict(before.files) if before else {}
        self._parents: list[str] = list(before.parents) if before else []

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._parents))

    def parent(self, clip_id: str) -> None:
        """What is made is made of a clip, too."""
        self._parents.append(clip_id)

    def reference(self, source: Source | None, extension: str) -> dict[str, str] | None:
        """What stands in a call in place of a file; None where there is none.

        Args:
            extension: of the name of the file, if it is kept: "mid" or "wav".
        """
        from hub_models.clips import Call

        if source is None:
            return None
        if source.clip_id:
            self.parent(source.clip_id)
            return Call.of_clip(source.clip_id)
        return Call.file(self._keep(source, extension))

    def _keep(self, source: Source, extension: str) -> str:
        """The name by which a file is kept; one that is there already is not kept twice."""
        stem, number = patterns.file_name({"name": source.name}), 1
        while True:
            name = f"{stem}.{extension}" if number == 1 else f"{stem}-{number}.{extension}"
            if self.files.setdefault(name, source.data) == source.data:
                return name
            number += 1


def in_words(text: str) -> str:
    """An action in words, with names of files in them, as an origin holds it: on one line, and not too long."""
    readable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(readable.split())[:MAX_WORDS]


def plain_settings(**settings: Any) -> dict[str, Any]:
    """Settings without those that nothing was said about."""
    return {name: value for name, value in settings.items() if value not in (None, "", [], ())}

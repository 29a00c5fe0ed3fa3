"""What is seen of a song of the Jukebox while it is being made, and what its sampler says in words for a person."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jukebox_songs import enough_room
from validate import StudioError

if TYPE_CHECKING:
    from hub_models.jukebox.sampling import SamplingResult
    from hub_models.jukebox.sampling_progress import Progress
    from hub_models.jukebox.sampling_run import RunState

logger = logging.getLogger("encore.studio")

# Seconds between two looks at what is being made.
LOOK_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Look:
    """What there is of a candidate.

    Attributes:
        level: that is being made, from the top.
        codes: of each level, the top first, (length,) int64; None: as before.
        ahead: codes of the level that are written but not counted yet.
        sounds: level -> (samples,) float32: as far as its codes go, then of the level above; those that are new.
        words: [text, start, end, confidence, line] each; None: as before.
        share: of all that is to be done.
        text: how fast it is, and how long it will take, in words.
        elapsed: seconds that the level has taken.
        stopped: whether a person has stopped it.
    """

    level: int = 0
    codes: tuple[np.ndarray, ...] | None = None
    ahead: int = 0
    share: float = 0.0
    sounds: dict[int, np.ndarray] = field(default_factory=dict)
    words: list[list[Any]] | None = None
    text: str = ""
    elapsed: float = 0.0
    stopped: bool = False


class Follower:
    """Follows what is sampled in a folder, and puts looks at it."""

    def __init__(self, folder: Path | None, first: int, check: Callable[[], None], put: Callable[[Any], None]):
        self._folder, self.level, self._check, self._put = folder, first, check, put
        self._looked = self._read = -LOOK_SECONDS
        self._counted = 0
        self._begun = time.monotonic()

    def look(self, progress: Progress) -> None:
        """Called by the sampler again and again."""
        self._check()
        now = time.monotonic()
        if progress.level != self.level:
            self.level, self._begun, self._read = progress.level, now, -LOOK_SECONDS
        if now - (self._read if progress.window_done else self._looked) < LOOK_SECONDS and not progress.samples_done:
            return
        self._looked = now
        codes, sounds = None, {}
        if progress.window_done:
            self._read = now
            if self._folder is not None:
                from hub_models.jukebox.sampling_run import RunFolder

                self._counted = progress.tokens
                codes = codes_of(RunFolder(self._folder).load())
            if progress.preview is not None:
                sounds = {progress.level: _mono(progress.preview[0])}
        self._put(
            Look(
                self.level,
                codes=codes,
                ahead=progress.tokens - self._counted,
                share=progress.tokens / max(1, progress.total_tokens),
                sounds=sounds,
                text=_pace(progress),
                elapsed=now - self._begun,
            )
        )


def _pace(progress: Progress) -> str:
    """How fast it is, and how long it will take, in words."""
    rate = f"{progress.tokens_per_second:,.0f} codes/s" if progress.tokens_per_second >= 1 else ""
    left = progress.seconds_left
    about = "" if left is None or left < 1.5 else f"about {clock(left)} left"
    return ", ".join(filter(None, [rate, about]))


def clock(seconds: float) -> str:
    """A time in words: 8 s, 2 min 5 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def codes_of(result: SamplingResult | RunState) -> tuple[np.ndarray, ...]:
    """Of each level, the top first."""
    return tuple(rows[0].numpy() for rows in result.codes)


def sounds_of(result: SamplingResult) -> dict[int, np.ndarray]:
    """The sound of each level that has begun; where it ends too soon that of the level above goes on."""
    heard: dict[int, np.ndarray] = {}
    for level in sorted(result.audio):
        own = _mono(result.audio[level][0])
        above = heard.get(level - 1, own)
        heard[level] = np.concatenate([own, above[len(own) :]])
    return heard


def _mono(audio: Any) -> np.ndarray:
    """(T,) float32 in -1..1 of (T, C)."""
    return audio.float().mean(dim=-1).clamp(-1, 1).cpu().numpy()


@contextlib.contextmanager
def run_in_sentences() -> Iterator[None]:
    """What goes wrong in a folder of codes, in words for a person: without its path."""
    from hub_models.jukebox.model_parts import OtherModelError
    from hub_models.jukebox.sampling_run import RunError

    try:
        with enough_room():
            yield
    except OtherModelError as error:
        raise StudioError(
            "This song was begun with another model, which is not here any more; make new candidates."
        ) from error
    except RunError as error:
        logger.warning("a run cannot be read: %s", error)
        raise StudioError("The codes of this song are damaged or missing; make new candidates.") from error

"""How far sampling has come, how fast it is, and how long it will take."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .configuration_jukebox import JukeboxPriorConfig

#: Speed is the mean over about so many seconds.
SMOOTHING_SECONDS = 10.0


@dataclass(frozen=True)
class Progress:
    """A look at sampling.

    Attributes:
        level: that is sampled, from the top.
        window, windows: which of its windows, from 1, and how many it has; those of all batches of samples together.
        samples: numbers of the samples of this window, counted from 0 in the plan.
        tokens, total_tokens: codes written and to be written, of all samples and levels.
        tokens_per_second: at this level, over the last seconds; 0 before it is known.
        seconds_left: estimated, until all levels are done; None before it can be.
        window_done: whether the window's codes are there, and saved where there is a folder.
        samples_done: whether these samples are complete at this level.
        preview: audio (samples, T, C) of these samples so far: as far as this level's codes go of them, then of the level
            above where there is one. At most windows' ends; None where there is none.
    """

    level: int
    window: int
    windows: int
    samples: tuple[int, ...]
    tokens: int
    total_tokens: int
    tokens_per_second: float
    seconds_left: float | None
    window_done: bool = False
    samples_done: bool = False
    preview: Tensor | None = None


class Pace:
    """Speeds of the levels, and the time that is left.

    The time of levels that have not begun is guessed from one that has, by how much there is to compute for a code.

    Args:
        costs: work for a code at each level, in any unit; see [`cost_per_token`].
        remaining: codes to write at each level.
    """

    def __init__(self, costs: Sequence[float], remaining: Sequence[int]):
        self.costs, self.remaining = list(costs), list(remaining)
        self.total_tokens = sum(remaining)
        self._seconds_per_token: list[float | None] = [None] * len(self.costs)

    @property
    def tokens(self) -> int:
        """Codes written."""
        return self.total_tokens - sum(self.remaining)

    def add(self, level: int, tokens: int, seconds: float):
        """So many codes of a level took so long."""
        if tokens <= 0:
            return
        self.remaining[level] -= tokens
        before, now = self._seconds_per_token[level], seconds / tokens
        weight = min(1.0, seconds / SMOOTHING_SECONDS)
        self._seconds_per_token[level] = now if before is None else (1 - weight) * before + weight * now

    def tokens_per_second(self, level: int) -> float:
        """Of a level; 0 before it is known."""
        seconds = self._seconds_per_token[level]
        return 1.0 / seconds if seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until everything is written; None before anything is known."""
        known = [level for level, seconds in enumerate(self._seconds_per_token) if seconds is not None]
        if not known:
            return 0.0 if not any(self.remaining) else None
        total = 0.0
        for level, tokens in enumerate(self.remaining):
            seconds = self._seconds_per_token[level]
            if seconds is None:
                nearest = min(known, key=lambda other: abs(other - level))
                seconds = self._seconds_per_token[nearest] * self.costs[level] / self.costs[nearest]
            total += tokens * seconds
        return total


def cost_per_token(config: JukeboxPriorConfig) -> float:
    """Weights that a code of a level goes through."""
    width = config.hidden_size
    layer = 4 * width * config.attention_size + 2 * width * config.intermediate_size
    return config.num_layers * layer + width * config.vocab_size

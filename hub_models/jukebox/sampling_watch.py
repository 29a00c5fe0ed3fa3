"""What is told while sampling, and whether it is to go on."""

from collections.abc import Callable

import torch
from torch import Tensor

from .sampling_plan import LevelSchedule, Schedule
from .sampling_progress import Pace, Progress
from .sampling_run import RunState

#: Seconds between two looks at a window that is being written.
LOOK_SECONDS = 0.25
#: Below the top level previews take at most one part in so many of the time.
PREVIEW_SHARE = 10


class Stopped(Exception):
    """Ends a window on a person's wish."""


class Watch:
    """Follows a run.

    Args:
        state: of the run; read only.
        schedule: of the run.
        costs: of a code at each level, see [`cost_per_token`].
        decode: codes (length,) and their level to audio (T, C).
        on_progress, should_stop: see [`JukeboxSampler.sample`].
        clock: seconds.
    """

    def __init__(
        self,
        state: RunState,
        schedule: Schedule,
        costs: list[float],
        decode: Callable[[Tensor, int], Tensor],
        on_progress: Callable[[Progress], None] | None,
        should_stop: Callable[[], bool] | None,
        clock: Callable[[], float],
    ):
        self._state, self._decode = state, decode
        self._on_progress, self._should_stop, self._clock = on_progress, should_stop, clock
        remaining = [0] * len(state.codes)
        for level in schedule.levels:
            remaining[level.level] = sum(codes_left(level, len(row)) for row in state.codes[level.level])
        self.pace = Pace(costs, remaining)
        self._level: LevelSchedule | None = None
        self._coarse: list[Tensor] = []
        self._told = self._previewed = clock()
        self._preview_seconds = 0.0

    def check(self):
        """
        Raises:
            Stopped: a person wants no more.
        """
        if self._should_stop is not None and self._should_stop():
            raise Stopped

    def begin(self, level: LevelSchedule, samples: range, number: int):
        """A window is begun: its level, samples, and number among the level's windows."""
        if self._on_progress is not None and level.level > 0 and (level is not self._level or samples != self._samples):
            above = self._state.codes[level.level - 1]
            self._coarse = [self._decode(above[index], level.level - 1) for index in samples]
        elif level.level == 0:
            self._coarse = []
        self._level, self._samples, self._number = level, samples, number
        self._counted, self._since = 0, self._clock()
        self.check()

    def on_tokens(self, count: int):
        """The window has so many new codes for each sample."""
        self._count(count)
        self.check()
        if self._on_progress is not None and self._clock() - self._told >= LOOK_SECONDS:
            self._tell()

    def end(self):
        """The window's codes are in the state."""
        self._count(self._level.windows[self._number].new)
        if self._on_progress is None:
            return
        done = self._number + 1 == len(self._level.windows)
        self._tell(window_done=True, samples_done=done, preview=self._preview(done))

    def _count(self, count: int):
        now = self._clock()
        self.pace.add(self._level.level, (count - self._counted) * len(self._samples), now - self._since)
        self._counted, self._since = count, now

    def _tell(self, window_done: bool = False, samples_done: bool = False, preview: Tensor | None = None):
        level, windows = self._level, len(self._level.windows)
        batches = -(-len(self._state.codes[level.level]) // level.max_batch_size)
        batch = self._samples.start // level.max_batch_size
        self._on_progress(
            Progress(
                level=level.level,
                window=batch * windows + self._number + 1,
                windows=batches * windows,
                samples=tuple(self._samples),
                tokens=self.pace.tokens,
                total_tokens=self.pace.total_tokens,
                tokens_per_second=self.pace.tokens_per_second(level.level),
                seconds_left=self.pace.seconds_left,
                window_done=window_done,
                samples_done=samples_done,
                preview=preview,
            )
        )
        self._told = self._since = self._clock()  # what the listener does is no time of sampling

    def _preview(self, done: bool) -> Tensor | None:
        """The audio (samples, T, C) so far, unless it would take too much of the time."""
        level, started = self._level.level, self._clock()
        if level > 0 and not done and started - self._previewed < PREVIEW_SHARE * self._preview_seconds:
            return None
        sounds = [self._decode(self._state.codes[level][index], level) for index in self._samples]
        if self._coarse:
            sounds = [torch.cat([fine, coarse[len(fine) :]]) for fine, coarse in zip(sounds, self._coarse, strict=True)]
        self._previewed = self._clock()
        self._preview_seconds = self._previewed - started
        return torch.stack(sounds)


def codes_left(level: LevelSchedule, there: int) -> int:
    """Codes that a sample lacks at a level."""
    return sum(window.new for window in level.windows if window.end > there)

"""Who may run what, and when: people wait in turn, whoever comes often no longer than the others, and are told where they
stand.

Gradio's queue serves whoever comes first, so that one person's ten actions hold up everybody else. Here the lines are served
round robin: one action of each person who waits, then the next one of each.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from validate import StudioError

MAX_WAITING, MAX_WAITING_EACH = 32, 6
# How often somebody who waits looks whether the person is still there.
LOOK_SECONDS = 0.25
# Share of the newest action in the mean of how long actions take.
NEWEST = 0.2


class Busy(StudioError):
    """There is no room left in a line; the message says how many are before a person."""


class Stopped(StudioError):
    """A person stopped the work."""

    def __init__(self):
        super().__init__("Cancelled; what was there before is still there.")


class Gone(StudioError):
    """Whoever waited has left; nobody reads the message."""

    def __init__(self):
        super().__init__("You left the line.")


def _nobody_cares(position: int) -> None:
    pass


def _stays() -> bool:
    return False


@dataclass(eq=False)
class _Ticket:
    """An action that waits."""

    person: str
    tab: str
    is_called: bool = False
    is_stopped: bool = False


@dataclass
class _Line:
    """The actions of a kind: how many run, and who waits, in the order in which people are served next."""

    limit: int
    running: int = 0
    waiting: OrderedDict[str, deque[_Ticket]] = field(default_factory=OrderedDict)
    mean_seconds: float | None = None

    def __len__(self) -> int:
        return sum(map(len, self.waiting.values()))

    def add(self, ticket: _Ticket) -> None:
        self.waiting.setdefault(ticket.person, deque()).append(ticket)

    def remove(self, ticket: _Ticket) -> None:
        own = self.waiting[ticket.person]
        own.remove(ticket)
        if not own:
            del self.waiting[ticket.person]

    def call(self) -> None:
        """Lets as many begin as there is room for."""
        while self.running < self.limit and self.waiting:
            person, own = self.waiting.popitem(last=False)
            ticket = own.popleft()
            if own:
                self.waiting[person] = own  # at the end: everybody else comes first
            ticket.is_called = True
            self.running += 1

    def position(self, person: str, rank: int) -> int:
        """From 1: the place in the whole line of number `rank` (from 0) of a person, who may have nothing in it yet."""
        before, is_later = rank, False
        for other, own in self.waiting.items():
            if other == person:
                is_later = True
            else:
                before += min(len(own), rank if is_later else rank + 1)
        return before + 1

    def measure(self, seconds: float) -> None:
        known = seconds if self.mean_seconds is None else self.mean_seconds
        self.mean_seconds = (1 - NEWEST) * known + NEWEST * seconds

    def wait_text(self, position: int) -> str:
        """When to come again, in words."""
        if self.mean_seconds is None:
            return "in a moment"
        seconds = max(1, math.ceil(position * self.mean_seconds / self.limit))
        return f"in about {seconds} second{'s' if seconds > 1 else ''}"


class Turns:
    """The lines of a Studio, one for each kind of action.

    Args:
        limits: kind -> how many run at once.
        max_waiting: actions in all lines together.
        max_waiting_each: of them, of one person.
        clock: seconds, for how long actions take.
    """

    def __init__(
        self,
        limits: Mapping[str, int],
        max_waiting: int = MAX_WAITING,
        max_waiting_each: int = MAX_WAITING_EACH,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._lines = {kind: _Line(limit) for kind, limit in limits.items()}
        self._max_waiting, self._max_waiting_each, self._clock = max_waiting, max_waiting_each, clock
        self._changed = threading.Condition()

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def num_running(self, kind: str) -> int:
        return self._lines[kind].running

    def num_waiting(self, kind: str) -> int:
        return len(self._lines[kind])

    @contextlib.contextmanager
    def turn(
        self,
        kind: str,
        person: str,
        tab: str = "",
        tell: Callable[[int], None] = _nobody_cares,
        has_left: Callable[[], bool] = _stays,
    ) -> Iterator[None]:
        """Waits for a turn, which lasts as long as the context.

        Args:
            kind: of the action.
            person: whose turns are counted together.
            tab: where the action was started; see `stop`.
            tell: told the position, from 1, when it changes.
            has_left: asked now and then, while waiting, whether the person does not wait any more.

        Raises:
            Busy: too many wait.
            Stopped: the person pressed Stop.
            Gone: `has_left()`.
        """
        line = self._lines[kind]
        self._wait(line, _Ticket(person, tab), tell, has_left)
        began = self._clock()
        try:
            yield
        finally:
            with self._changed:
                line.measure(self._clock() - began)
                self._end(line)

    def stop(self, person: str, tab: str) -> bool:
        """Takes out of the lines what a person started in a tab; whether there was anything."""
        with self._changed:
            own = [
                ticket
                for line in self._lines.values()
                for ticket in line.waiting.get(person, ())
                if ticket.tab == tab and not ticket.is_stopped
            ]
            for ticket in own:
                ticket.is_stopped = True
            self._changed.notify_all()
        return bool(own)

    def _wait(self, line: _Line, ticket: _Ticket, tell: Callable[[int], None], has_left: Callable[[], bool]) -> None:
        with self._changed:
            if line.running < line.limit and not line.waiting:
                line.running += 1
                return
            self._check_room(line, ticket.person)
            line.add(ticket)
        told = None
        try:
            while True:
                with self._changed:
                    if told is not None and not ticket.is_called and not ticket.is_stopped:
                        self._changed.wait(LOOK_SECONDS)
                    if ticket.is_stopped:
                        raise Stopped
                    if ticket.is_called:
                        return
                    own = line.waiting[ticket.person]
                    position = line.position(ticket.person, own.index(ticket))
                if has_left():
                    raise Gone
                if position != told:
                    told = position
                    tell(position)
        except BaseException:
            with self._changed:
                if ticket.is_called:
                    self._end(line)
                else:
                    line.remove(ticket)
                    self._changed.notify_all()
            raise

    def _end(self, line: _Line) -> None:
        line.running -= 1
        line.call()
        self._changed.notify_all()

    def _check_room(self, line: _Line, person: str) -> None:
        own = sum(len(other.waiting.get(person, ())) for other in self._lines.values())
        position = line.position(person, len(line.waiting.get(person, ())))
        again = f"position {position}; try again {line.wait_text(position)}."
        if own >= self._max_waiting_each:
            raise Busy(f"Busy: {own} actions of yours are waiting already, so that the next would be at {again}")
        if sum(map(len, self._lines.values())) >= self._max_waiting:
            people = len(line.waiting.keys() - {person})
            before = f"{people} {'person is' if people == 1 else 'people are'}"
            raise Busy(f"Busy: {before} before you, so that you would be at {again}")


@dataclass(frozen=True)
class Call:
    """What is running in this thread: whose it is, and of which tab."""

    turns: Turns
    person: str
    tab: str

    def stop_waiting(self) -> bool:
        """Takes out of the lines what the same person started in the same tab; whether there was anything."""
        return self.turns.stop(self.person, self.tab)


CALL: ContextVar[Call | None] = ContextVar("call", default=None)

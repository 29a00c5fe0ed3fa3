"""Answers that were given before: an endpoint whose result follows from its arguments computes the same thing once."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import cache
from turns import LOOK_SECONDS, Busy, Gone

MAX_BYTES, MAX_ANSWERS = 64_000_000, 512
# One answer may take this share of the bytes.
MAX_SHARE = 0.25
# Requests that wait for one that is the same.
MAX_JOINED = 32
# What Gradio's updates, which are no values, have in them.
UPDATE = "__type__"


@dataclass(frozen=True)
class Answer:
    """What an endpoint gave, so that nobody can change it.

    Attributes:
        values: as JSON, with null in place of files.
        files: place among the values -> name and contents.
    """

    values: str
    files: tuple[tuple[int, str, bytes], ...] = ()

    @property
    def num_bytes(self) -> int:
        return len(self.values) + sum(len(data) for _, _, data in self.files)

    @classmethod
    def of(cls, values: Sequence[Any], files: Collection[int]) -> Answer | None:
        """Keeps values, of which those at the places `files` are paths; None where they cannot be kept."""
        if any(isinstance(value, dict) and UPDATE in value for value in values):
            return None
        kept = [place for place in files if isinstance(values[place], str)]
        plain = [None if place in kept else value for place, value in enumerate(values)]
        try:
            text = json.dumps(plain)
        except (TypeError, ValueError):
            return None
        paths = {place: Path(values[place]) for place in kept}
        return cls(text, tuple((place, path.name, path.read_bytes()) for place, path in paths.items()))

    def given(self, folder: str) -> list[Any]:
        """The values once more, for one reader; files lie in Gradio's cache `folder`."""
        values = json.loads(self.values)
        for place, name, data in self.files:
            values[place] = cache.save(data, name, folder)
        return values


def key_of(endpoint: str, arguments: Sequence[Any], files: Collection[int]) -> str | None:
    """What is the same for the same question; None where it cannot be told.

    Args:
        arguments: of JSON; those at the places `files` are paths or None: their contents and names count.
    """
    told = [_told(value) if place in files else value for place, value in enumerate(arguments)]
    try:
        return hashlib.sha256(json.dumps([endpoint, told]).encode()).hexdigest()
    except (TypeError, ValueError):
        return None


def _told(value: Any) -> Any:
    """What a path, or a list of them, stands for."""
    if isinstance(value, list):
        return [_told(one) for one in value]
    if value is None:
        return None
    path = Path(value)
    return [path.name, hashlib.sha256(path.read_bytes()).hexdigest()]


class _Making:
    """An answer that is being made; `answer` is set when it is there."""

    answer: Answer | None = None


class Answers:
    """Answers by question, those that were asked for last.

    Args:
        max_bytes: that they take together.
        max_answers: number of them.
        max_joined: requests that wait for the answer to another one.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, max_answers: int = MAX_ANSWERS, max_joined: int = MAX_JOINED):
        self._max_bytes, self._max_answers, self._max_joined = max_bytes, max_answers, max_joined
        self._kept: OrderedDict[str, Answer] = OrderedDict()
        self._num_bytes = self._num_joined = 0
        self._making: dict[str, _Making] = {}
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def num_bytes(self) -> int:
        """That the answers take."""
        return self._num_bytes

    @property
    def num_joined(self) -> int:
        """Requests that wait for the answer to another one."""
        return self._num_joined

    def get(
        self, key: str, make: Callable[[], Answer | None], has_left: Callable[[], bool] = lambda: False
    ) -> Answer | None:
        """The answer to a question: kept, or from whoever is making it, or made. Errors are not kept.

        Args:
            make: makes it; None: it is one that cannot be kept.
            has_left: asked now and then, while somebody else makes it, whether the person does not wait any more.

        Raises:
            Busy: too many wait for answers to the same questions.
            Gone: `has_left()`.
        """
        while True:
            with self._changed:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
                others = self._making.get(key)
                if others is None:
                    own = self._making[key] = _Making()
                    break
            self._join(key, others, has_left)
            if others.answer is not None:
                return others.answer
        try:
            own.answer = make()
            return own.answer
        finally:
            with self._changed:
                del self._making[key]
                if own.answer is not None:
                    self._keep(key, own.answer)
                self._changed.notify_all()

    def _join(self, key: str, others: _Making, has_left: Callable[[], bool]) -> None:
        with self._changed:
            if self._num_joined >= self._max_joined:
                raise Busy(
                    f"Busy: {self._num_joined} requests wait for answers that are being made, so that you would be at "
                    f"position {self._num_joined + 1}; try again in a moment."
                )
            self._num_joined += 1
        try:
            while True:
                with self._changed:
                    if self._changed.wait_for(lambda: self._making.get(key) is not others, LOOK_SECONDS):
                        return
                if has_left():
                    raise Gone
        finally:
            with self._changed:
                self._num_joined -= 1

    def _keep(self, key: str, answer: Answer) -> None:
        if answer.num_bytes > self._max_bytes * MAX_SHARE:
            return
        self._kept[key] = answer
        self._num_bytes += answer.num_bytes
        while self._num_bytes > self._max_bytes or len(self._kept) > self._max_answers:
            self._num_bytes -= self._kept.popitem(last=False)[1].num_bytes

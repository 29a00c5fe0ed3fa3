"""Work in a thread of its own, whose results are read while it goes on, and which ends when nobody reads them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any


class NobodyThere(Exception):
    """Ends work whose result nobody waits for."""


def go_on() -> None:
    """A check that lets everything go on."""


def in_thread(
    work: Callable[[Callable[[], None], Callable[[Any], None]], None], check: Callable[[], None], name: str
) -> Iterator[Any]:
    """What `work(check, put)` puts, while it runs in a thread; its error, if it ends with one.

    Args:
        check: raises when the work is to end; `work` calls the one that it is given, which also ends it when nobody reads.
        name: of the thread.
    """
    arrived: queue.SimpleQueue = queue.SimpleQueue()
    left = threading.Event()

    def check_both() -> None:
        if left.is_set():
            raise NobodyThere
        check()

    def run() -> None:
        try:
            work(check_both, lambda item: arrived.put((item, None)))
            arrived.put((None, StopIteration()))
        except BaseException as error:
            arrived.put((None, error))

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        while True:
            item, error = arrived.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        left.set()

"""The models in memory: each is loaded once, when it is first needed; when they take too much, those go that were used
longest ago."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validate import StudioError

BYTES_VARIABLE = "ENCORE_STUDIO_MODEL_BYTES"
# Of the memory of the machine, where nothing else is said.
SHARE_OF_MEMORY = 0.5
# How long to wait for models that are in use to be done with.
WAIT_SECONDS = 120.0
FLOAT32_BYTES = 4
# Of groups of processes, as containers are: the limit that the kernel enforces.
LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Lease:
    """What an action uses of a shelf; it stays there until the action ends.

    An action that runs in steps, each in a thread of its own, is `within` its lease at every step.
    """

    def __init__(self):
        self._used: dict[tuple[int, Hashable], Callable[[], None]] = {}

    @contextlib.contextmanager
    def within(self) -> Iterator[None]:
        """What this thread takes from a shelf is leased."""
        token = _LEASE.set(self)
        try:
            yield
        finally:
            _LEASE.reset(token)

    def end(self) -> None:
        """Gives everything back."""
        while self._used:
            self._used.popitem()[1]()


_LEASE: ContextVar[Lease | None] = ContextVar("lease", default=None)


@contextlib.contextmanager
def lease() -> Iterator[None]:
    """What is taken from a shelf inside is in use until the end."""
    own = Lease()
    try:
        with own.within():
            yield
    finally:
        own.end()


@dataclass(eq=False)
class _Place:
    value: Any
    num_bytes: int
    leases: int = 0


class Shelf:
    """Models in memory, for any number of engines and threads.

    Args:
        most_bytes: that they may take together; default: see `default_bytes`.
        wait_seconds: how long to wait for room.
    """

    def __init__(self, most_bytes: int | None = None, wait_seconds: float = WAIT_SECONDS):
        self.most_bytes = default_bytes() if most_bytes is None else most_bytes
        self._wait_seconds = wait_seconds
        self._places: OrderedDict[Hashable, _Place] = OrderedDict()
        self._loading: dict[Hashable, int] = {}  # bytes that are kept free for what is on its way
        self._changed = threading.Condition()
        # transformers changes its classes while it loads a model and changes them back, which two threads at once would
        # leave undone. Models that are here already are given meanwhile.
        self._loader = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """That the models take."""
        with self._changed:
            return self._taken()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._places

    def get(self, key: tuple[str, str], load: Callable[[], Any], num_bytes: int = 0) -> Any:
        """What is called `key`: the kind of model, and its name. It is loaded where it is not there.

        Args:
            load: loads it; is called once, however many threads ask.
            num_bytes: that it will take, as far as that is known before; what is loaded is measured.

        Raises:
            StudioError: there is no room for it; says why.
        """
        with self._changed:
            self._changed.wait_for(lambda: key not in self._loading)
            if key in self._places:
                return self._taken_from(key)
            self._loading[key] = 0
        try:
            self._make_room(key, num_bytes)
            with self._loader:
                value = load()
            measured = bytes_of(value) or num_bytes
            if measured > num_bytes:
                self._make_room(key, measured)
            with self._changed:
                self._places[key] = _Place(value, measured)
                del self._loading[key]
                self._changed.notify_all()
                return self._taken_from(key)
        except BaseException:
            with self._changed:
                del self._loading[key]
                self._changed.notify_all()
            raise

    def _taken_from(self, key: Hashable) -> Any:
        place = self._places[key]
        self._places.move_to_end(key)
        own = _LEASE.get()
        if own is not None and (id(self), key) not in own._used:
            place.leases += 1

            def give_back() -> None:
                with self._changed:
                    place.leases -= 1
                    self._changed.notify_all()

            own._used[id(self), key] = give_back
        return place.value

    def _taken(self) -> int:
        return sum(place.num_bytes for place in self._places.values()) + sum(self._loading.values())

    def _make_room(self, key: tuple[str, str], num_bytes: int) -> None:
        """Keeps so many bytes free for what is being loaded; what was used longest ago goes, but nothing that is in use."""
        if num_bytes > self.most_bytes:
            raise StudioError(
                f"The model {key[-1]} takes {_gigabytes(num_bytes)} of memory, and this Studio may use "
                f"{_gigabytes(self.most_bytes)} for models; it has to be started with more."
            )
        with self._changed:
            self._loading[key] = 0
            if num_bytes + self._leased_here() > self.most_bytes:
                raise StudioError(
                    f"The model {key[-1]} does not fit into memory beside those that are used at the same time: this Studio "
                    f"may use {_gigabytes(self.most_bytes)} for models."
                )
            if not self._changed.wait_for(lambda: self._has_released(num_bytes), self._wait_seconds):
                raise StudioError(
                    f"Busy: there is no room in memory for the model {key[-1]} while others are in use; "
                    f"try again in about {math.ceil(self._wait_seconds)} seconds."
                )
            self._loading[key] = num_bytes

    def _leased_here(self) -> int:
        own = _LEASE.get()
        used = {key for shelf, key in own._used if shelf == id(self)} if own else ()
        return sum(self._places[key].num_bytes for key in used)

    def _has_released(self, num_bytes: int) -> bool:
        """Releases what has to go for so many bytes; whether they are free now."""
        idle = [key for key, place in self._places.items() if place.leases == 0]
        has_released = False
        while self._taken() + num_bytes > self.most_bytes and idle:
            del self._places[idle.pop(0)]
            has_released = True
        if has_released:
            gc.collect()  # modules and their hooks know one another
        return self._taken() + num_bytes <= self.most_bytes


def default_bytes() -> int:
    """That models may take: $ENCORE_STUDIO_MODEL_BYTES, else half of the memory of the machine or the container.

    Raises:
        ValueError: the variable is not a number above 0.
    """
    given = os.environ.get(BYTES_VARIABLE)
    if given:
        if not given.isdecimal() or int(given) == 0:
            raise ValueError(f"${BYTES_VARIABLE} must be a number of bytes above 0, not {given!r}.")
        return int(given)
    memory = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, LIMIT_FILES):
        text = path.read_text().strip() if path.is_file() else ""
        memory += [int(text)] if text.isdecimal() else []
    return int(min(memory) * SHARE_OF_MEMORY)


def bytes_of(value: Any) -> int:
    """Bytes of parameters and buffers of a module of torch, or of the modules that an object holds."""
    held = [value] if _is_module(value) else [one for one in getattr(value, "__dict__", {}).values() if _is_module(one)]
    tensors = {id(tensor): tensor for module in held for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _is_module(value: Any) -> bool:
    return hasattr(value, "parameters") and hasattr(value, "buffers") and not isinstance(value, type)


def bytes_in(folder: Path, beginnings: tuple[str, ...] = ("",)) -> int:
    """Bytes that the weights in a folder take as float32, read from the headers of its safetensors.

    Args:
        beginnings: of the names of the tensors that are counted.

    A file that cannot be read counts as nothing: whoever loads it will say so.
    """
    total = 0
    for path in folder.rglob("*.safetensors"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            with path.open("rb") as file:
                length = min(int.from_bytes(file.read(8), "little"), path.stat().st_size)
                header = json.loads(file.read(length))
            shapes = [entry["shape"] for name, entry in header.items() if name.startswith(beginnings) and "shape" in entry]
            total += sum(map(math.prod, shapes)) * FLOAT32_BYTES
    return total


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"

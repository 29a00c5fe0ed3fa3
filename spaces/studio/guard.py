"""What every action of the page and every endpoint passes on its way: answers given before, turns, the libraries of the
models, and leases of models.

It is laid around the finished page, so that no tab needs to know of it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
import libraries
from actions import in_sentences
from answers import Answer, Answers, key_of
from gradio.context import LocalContext
from gradio.utils import get_upload_folder
from shelf import Lease, lease
from turns import CALL, Call, Turns

if TYPE_CHECKING:
    import asyncio

    from gradio.block_function import BlockFunction
    from gradio.queueing import Event

FILES = (gr.File, gr.UploadButton, gr.Audio)
# Where an action shows no progress a note tells the position, and stays for so long.
NOTE_SECONDS = 4.0


def lay_around(page: gr.Blocks, turns: Turns, answers: Answers) -> None:
    """Lets everything that a page does wait for its turn: each action in the line that its `concurrency_id` names, or in
    none. Named endpoints give answers that they gave before; one whose answer follows from more than its arguments asks
    for the `gr.Request`, is a generator, or has a `seed` that is None: a new one."""
    strangers: set[str] = set()
    for function in page.fns.values():
        if function.fn is not None and not function.is_cancel_function:
            function.fn = _guarded(function, turns, answers, strangers)


def _guarded(function: BlockFunction, turns: Turns, answers: Answers, strangers: set[str]) -> Callable:
    """The action of an event, guarded.

    Args:
        strangers: sessions of one call, of this and other events.

    Raises:
        TypeError: a coroutine, which can wait in no line.
    """
    action, kind = function.fn, function.concurrency_id if function.concurrency_id in turns.kinds else None
    if inspect.iscoroutinefunction(action) or inspect.isasyncgenfunction(action):
        if kind:
            raise TypeError(f"{action.__name__} waits in the line {kind!r} and so must not be a coroutine.")
        return action
    tab = getattr(action, "__module__", "")

    @contextlib.contextmanager
    def turn(caller: _Caller) -> Iterator[None]:
        if kind is None:
            yield
            return
        with turns.turn(kind, caller.person, tab, caller.tell, caller.has_left):
            caller.begin()
            libraries.load()
            yield

    if inspect.isgeneratorfunction(action):

        @functools.wraps(action)
        def run_on(*args: Any, **kwargs: Any) -> Iterator[Any]:
            caller = _Caller.here(function, strangers)
            with turn(caller):
                yield from _in_steps(action(*args, **kwargs), Call(turns, caller.person, tab))

        return in_sentences(run_on)

    def run(caller: _Caller, args: tuple, kwargs: dict[str, Any]) -> Any:
        token = CALL.set(Call(turns, caller.person, tab))
        try:
            with turn(caller), lease():
                return action(*args, **kwargs)
        finally:
            CALL.reset(token)

    has_answers, names = _is_endpoint(function), list(inspect.signature(action).parameters)

    @functools.wraps(action)
    def run_or_answer(*args: Any, **kwargs: Any) -> Any:
        caller = _Caller.here(function, strangers)
        key = _question(function, names, args) if has_answers and not kwargs else None
        if key is None:
            return run(caller, args, kwargs)
        return _answered(function, answers, key, lambda: run(caller, args, kwargs), caller)

    return in_sentences(run_or_answer)


def _in_steps(steps: Iterator[Any], call: Call) -> Iterator[Any]:
    """What a generator gives; each step may be in another thread."""
    used = Lease()
    try:
        while True:
            token = CALL.set(call)
            try:
                with used.within():
                    value = next(steps)
            except StopIteration:
                return
            finally:
                CALL.reset(token)
            yield value
    finally:
        steps.close()
        used.end()


def _is_endpoint(function: BlockFunction) -> bool:
    is_named = isinstance(function.api_name, str) and function.api_visibility == "public"
    return is_named and not inspect.isgeneratorfunction(function.fn)


def _question(function: BlockFunction, names: list[str], args: tuple) -> str | None:
    """The key of what an endpoint is asked, with arguments called `names`; None where the answer may follow from more."""
    if any(isinstance(value, gr.Request) for value in args) or dict(zip(names, args, strict=False)).get("seed", 0) is None:
        return None
    given = [value for value in args if not isinstance(value, gr.Progress)]
    if len(given) != len(function.inputs):
        return None
    return key_of(function.api_name, given, _places_of_files(function.inputs))


def _places_of_files(components: Any) -> tuple[int, ...]:
    return tuple(place for place, component in enumerate(components) if isinstance(component, FILES))


def _answered(function: BlockFunction, answers: Answers, key: str, run: Callable[[], Any], caller: _Caller) -> Any:
    """What an endpoint gives, made by `run` if need be."""
    is_single, made = len(function.outputs) == 1, []

    def make() -> Answer | None:
        made.append(run())
        values = made if is_single else made[0]
        if len(values) != len(function.outputs):
            return None
        return Answer.of(values, _places_of_files(function.outputs))

    answer = answers.get(key, make, caller.has_left)
    if made:
        return made[0]
    values = answer.given(get_upload_folder())
    return values[0] if is_single else tuple(values)


def _forget(strangers: set[str], blocks: gr.Blocks) -> None:
    """Lets go what Gradio remembers of calls that named no session and are over: it would keep a page's state for each."""
    for session in tuple(strangers):
        if session not in blocks._queue.event_ids_to_events:
            blocks.state_holder.session_data.pop(session, None)
            blocks.state_holder.time_last_used.pop(session, None)
            strangers.discard(session)


@dataclass
class _Caller:
    """Whoever started an action, as Gradio knows them.

    Attributes:
        person: the session of the browser or of the client.
        event: of Gradio's queue; None for a call that does not go through it.
        task: in which Gradio waits for the action.
    """

    person: str
    event: Event | None
    task: asyncio.Task | None
    shows_progress: bool
    told: bool = False
    noted_at: float | None = None

    @classmethod
    def here(cls, function: BlockFunction, strangers: set[str]) -> _Caller:
        """Of the action that this thread was started for. Those who named no session are noted among the `strangers`."""
        request, blocks = LocalContext.request.get(None), LocalContext.blocks.get(None)
        event_id = LocalContext.event_id.get(None)
        person = getattr(request, "session_hash", None) or secrets.token_hex(8)
        if not (blocks and event_id):
            return cls(person, None, None, False)
        _forget(strangers, blocks)
        if person == event_id:
            strangers.add(person)
        queue = blocks._queue
        tasks = (task for task in tuple(queue._asyncio_tasks) if task.get_name().endswith(event_id))
        shows_progress = function.show_progress != "hidden"
        return cls(person, queue.event_ids_to_events.get(event_id), next(tasks, None), shows_progress)

    def has_left(self) -> bool:
        """Whether the page was closed or the client cancelled."""
        if self.task is not None and self.task.cancelling():
            return True
        return self.event is not None and not self.event.alive

    def tell(self, position: int) -> None:
        """Shows the position in the line."""
        if self.event is None:
            return
        text = f"Waiting, position {position}"
        self.told = True
        gr.Progress()(None, desc=text)
        now = time.monotonic()
        if not self.shows_progress and (self.noted_at is None or now > self.noted_at + NOTE_SECONDS):
            self.noted_at = now
            gr.Info(text, duration=NOTE_SECONDS)

    def begin(self) -> None:
        """Takes the position away; the action shows what it does itself."""
        if self.told:
            gr.Progress()(None, desc="Working")

"""What page and API have in common: errors as sentences, files of a clip, seeds, how many may run at once."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pattern as patterns
import validate
from pattern import Pattern
from turns import CALL, Stopped
from validate import StudioError

logger = logging.getLogger("encore.studio")

# Actions that run a model share one line, those that only render another; what takes minutes has one of its own, so that it
# holds nobody up. Gradio lets all of them begin: `guard.py` makes them wait, by `LIMITS`.
MODEL_QUEUE = {"concurrency_id": "model", "concurrency_limit": None}
RENDER_QUEUE = {"concurrency_id": "render", "concurrency_limit": None}
LONG_QUEUE = {"concurrency_id": "long", "concurrency_limit": None}
LIMITS = {"model": 2, "render": 2, "long": 1}
# Bounds the size of a WAV file; what lasts longer is played in the browser.
MAX_RENDER_SECONDS = 10 * 60
SAMPLE_RATE, LONG_SAMPLE_RATE, LONG_SECONDS = 44_100, 32_000, 120


def in_sentences(action: Callable) -> Callable:
    """Turns what an action raises into a sentence on the page; never a traceback, never a path of the server.

    An action may be a generator, of values that are shown one after the other.
    """
    if inspect.isgeneratorfunction(action):

        @functools.wraps(action)
        def run_on(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                with _spoken(action):
                    yield from action(*args, **kwargs)
            except Stopped as stopped:
                gr.Info(str(stopped))

        return run_on

    @functools.wraps(action)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            with _spoken(action):
                return action(*args, **kwargs)
        except Stopped as stopped:
            gr.Info(str(stopped))
            return gr.skip()

    return run


@contextlib.contextmanager
def _spoken(action: Callable) -> Iterator[None]:
    try:
        yield
    except (gr.Error, Stopped):
        raise
    except Exception as error:
        if _is_for_people(error):
            raise gr.Error(str(error), print_exception=False) from error
        logger.exception("%s failed", action.__name__)
        raise gr.Error("Something went wrong on the server; please try again.", print_exception=False) from error


def _is_for_people(error: Exception) -> bool:
    """Errors whose message was written for the person who gave the input: ours and those of hub_models."""
    own_type = type(error).__module__.startswith("hub_models.")
    return isinstance(error, StudioError) or (isinstance(error, ValueError) and own_type)


def files(clip: Pattern, tempo: float, program: int) -> dict[str, bytes]:
    """A clip as `midi` and `wav` file contents.

    Raises:
        RenderError: it lasts longer than `MAX_RENDER_SECONDS`.
    """
    from hub_models import audio, midi

    music, seconds = patterns.to_midi(clip, tempo, program), patterns.seconds(clip, tempo)
    sample_rate = SAMPLE_RATE if seconds <= LONG_SECONDS else LONG_SAMPLE_RATE
    sound = midi.render(music, sample_rate=sample_rate, min_seconds=seconds, max_seconds=MAX_RENDER_SECONDS)
    return {"midi": midi.to_bytes(music), "wav": audio.to_wav_bytes(sound, sample_rate)}


def files_for_page(clip: Pattern, tempo: float, program: int) -> dict[str, bytes]:
    """As `files`; of a clip that is too long for a WAV file `midi` alone."""
    from hub_models import midi

    # A last hit may be late and ring on after the bar.
    if patterns.seconds(clip, tempo) < MAX_RENDER_SECONDS - 1:
        return files(clip, tempo, program)
    return {"midi": midi.to_bytes(patterns.to_midi(clip, tempo, program))}


class Brakes:
    """Lets people stop what is being made for them, each their own."""

    def __init__(self):
        self._pressed: dict[str, threading.Event] = {}

    @contextlib.contextmanager
    def running(self, session: str | None, report: Callable[[float, str], None]) -> Iterator[Callable[[float, str], None]]:
        """Gives a `report` that raises `Stopped` once the person of this session has pressed Stop."""
        pressed = threading.Event()
        if session:
            self._pressed[session] = pressed

        def report_unless_stopped(fraction: float, text: str) -> None:
            if pressed.is_set():
                raise Stopped
            report(fraction, text)

        try:
            yield report_unless_stopped
        finally:
            if session and self._pressed.get(session) is pressed:
                del self._pressed[session]

    def is_running(self, session: str | None) -> bool:
        """Whether anything is being made for a session."""
        return session in self._pressed

    def stop(self, session: str | None) -> bool:
        """Stops what runs for a session, and what waits in line where Stop was pressed; whether there was anything."""
        call, pressed = CALL.get(), self._pressed.get(session)
        was_waiting = call is not None and call.stop_waiting()
        if pressed:
            pressed.set()
        return was_waiting or pressed is not None


def choose_seed(seed: Any, keep: bool) -> int:
    """The seed as given when it is to be kept, else a new one."""
    return validate.seed(seed) if keep else secrets.randbelow(validate.MAX_SEED + 1)


def drawn(temperature: Any, seed: Any, keep: bool) -> dict[str, Any]:
    """What chance depends on, checked: the `temperature` and the `seed`."""
    return {"temperature": validate.temperature(temperature), "seed": choose_seed(seed, keep)}

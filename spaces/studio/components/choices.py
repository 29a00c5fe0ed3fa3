"""Choices in dropdowns: what is done when a person has chosen is not done when they only passed by.

Gradio fires `input` of a dropdown whenever it loses the focus. Somebody who goes through the page with the Tab key would
load examples anew and change models without having chosen anything.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

GIVEN_BY_GRADIO = ("Request", "EventData", "SelectData")
SCRIPT = (Path(__file__).parent / "choices.js").read_text(encoding="utf-8")


def lay_around(page: gr.Blocks) -> None:
    """Makes every action that follows the `input` of one dropdown, of which it gets the value, wait for a real choice."""
    for function in page.fns.values():
        dropdown = page.blocks.get(function.targets[0][0]) if len(function.targets) == 1 else None
        if not _is_choice(dropdown) or function.targets[0][1] != "input" or function.fn is None or function.js:
            continue
        inputs = list(function.inputs)
        if dropdown not in inputs:
            continue
        place = inputs.index(dropdown)
        labels = [pair for pair in dropdown.choices if pair[0] != pair[1]]
        given = f"{json.dumps(dropdown.elem_id)}, {place}, {len(inputs)}, {json.dumps(labels)}"
        function.js = f"(...values) => window.encoreChoices({given}, values)"
        function.fn = _unless_none(function.fn, _position(function.fn, place))


def _is_choice(block: Any) -> bool:
    """Whether it is a dropdown of which null is no value."""
    is_single = isinstance(block, gr.Dropdown) and not block.multiselect and block.elem_id
    return bool(is_single) and all(value is not None for _, value in block.choices)


def _position(action: Callable, place: int) -> int:
    """Where an action gets the input at `place`: Gradio gives it what it asks for itself in between."""
    for index, parameter in enumerate(inspect.signature(action).parameters.values()):
        annotation = parameter.annotation
        asked_for = (annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")).rsplit(".", 1)[-1]
        if asked_for in GIVEN_BY_GRADIO or isinstance(parameter.default, gr.Progress):
            continue
        if place == 0 or parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return index + place
        place -= 1
    raise TypeError(f"{action.__name__} takes fewer values than its event has inputs.")


def _unless_none(action: Callable, place: int) -> Callable:
    """An action that changes nothing where the value at `place` is None."""
    if inspect.isgeneratorfunction(action):

        @functools.wraps(action)
        def run_on(*values: Any, **rest: Any) -> Iterator[Any]:
            if values[place] is None:
                yield gr.skip()
            else:
                yield from action(*values, **rest)

        return run_on

    @functools.wraps(action)
    def run(*values: Any, **rest: Any) -> Any:
        return gr.skip() if values[place] is None else action(*values, **rest)

    return run

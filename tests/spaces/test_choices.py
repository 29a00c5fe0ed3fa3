"""Choices in dropdowns: which actions wait for a real one, and what they do when there was none."""

import sys

import gradio as gr
import pytest

from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

from components import choices


def on_plain(other, name):
    return f"{other} {name}"


def on_asking(request: "gr.Request", progress=gr.Progress(), *given):
    return given[0]


def on_steps(name):
    yield "first"
    yield name


def listened(action, inputs_of, event="input", **options):
    """The function of a page on which an action follows a dropdown, with the choices laid around it."""
    with gr.Blocks() as page:
        other = gr.Number(1, elem_id="other")
        dropdown = gr.Dropdown([("The first", "a"), "b"], elem_id="choice", **options)
        result = gr.Textbox()
        getattr(dropdown, event)(action, inputs_of(other, dropdown), result)
    choices.lay_around(page)
    (function,) = page.fns.values()
    return function


def test_an_action_waits_for_a_choice():
    function = listened(on_plain, lambda other, dropdown: [other, dropdown])
    assert function.js == '(...values) => window.encoreChoices("choice", 1, 2, [["The first", "a"]], values)'
    assert function.fn(1, "a") == "1 a"
    assert function.fn(1, None) == gr.skip()


def test_what_gradio_gives_itself_is_not_taken_for_the_choice():
    function = listened(on_asking, lambda other, dropdown: [dropdown, other])
    request, progress = object(), object()
    assert function.fn(request, progress, "b", 1) == "b"
    assert function.fn(request, progress, None, 1) == gr.skip()


def test_an_action_of_several_steps_waits_as_well():
    function = listened(on_steps, lambda other, dropdown: [dropdown])
    assert list(function.fn("b")) == ["first", "b"]
    assert list(function.fn(None)) == [gr.skip()]


@pytest.mark.parametrize(
    ("event", "options"), [("change", {}), ("input", {"multiselect": True}), ("select", {"allow_custom_value": True})]
)
def test_other_events_are_left_alone(event, options):
    function = listened(on_plain, lambda other, dropdown: [other, dropdown], event, **options)
    assert function.js is None
    assert function.fn is on_plain

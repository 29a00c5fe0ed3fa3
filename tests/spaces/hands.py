"""Plays on a tab without a browser: holds what its components show, presses buttons, and takes what comes of it."""

import gradio as gr
from gradio.components.base import Component
from gradio.helpers import special_args


class Hands:
    """What one person sees of a tab, and does there.

    Args:
        build: adds the tab to the surrounding `gr.Blocks`, as `tabs.X.build` does; gives its `Desk`.
    """

    def __init__(self, build):
        with gr.Blocks() as self.page:
            self.desk = build()
        self.values = {}
        self.request = gr.Request(session_hash="hands")

    def __getitem__(self, component):
        """What a handler is given of a component."""
        value = self.values.get(component._id, getattr(component, "value", None))
        return component.preprocess(value) if isinstance(component, gr.HTML) else value

    def shown(self, elem_id):
        """What a component shows."""
        return self.values.get(self.named(elem_id)._id)

    def named(self, elem_id):
        """The component that is so called."""
        return next(block for block in self.page.blocks.values() if getattr(block, "elem_id", None) == elem_id)

    def set(self, **values):
        """Puts values into components, by their element ids with "_" for "-"."""
        for name, value in values.items():
            self.values[self.named(name.replace("_", "-"))._id] = value

    def do(self, elem_id, event="click", meanwhile=lambda: None):
        """Triggers an event of a component, to the end; `meanwhile` is called each time something has come of it."""
        target = (self.named(elem_id)._id, event)
        for function in [one for one in self.page.fns.values() if target in one.targets and one.fn]:
            self.call(function.fn, function.inputs, function.outputs, meanwhile)

    def open(self):
        """Opens the tab."""
        self.call(self.desk.opened, self.desk.opened_inputs, self.desk.opened_outputs)

    def take(self, clip):
        """A clip comes from elsewhere."""
        inputs = [self[component] for component in self.desk.inputs]
        self._put(self.desk.outputs, self.desk.take(clip, *inputs))

    def give(self):
        """The clip of the result, as it goes into the tray."""
        return self.desk.give(self[self.desk.result], *(self[component] for component in self.desk.given_with))

    def call(self, function, inputs, outputs, meanwhile=lambda: None):
        given, *_ = special_args(function, [self[component] for component in inputs], self.request)
        answer = function(*given)
        for values in answer if hasattr(answer, "__next__") else [answer]:
            self._put(outputs, values)
            meanwhile()

    def _put(self, outputs, values):
        if not isinstance(values, dict) or not all(isinstance(key, Component) for key in values):
            values = dict(zip(outputs, values if len(outputs) > 1 else [values], strict=True)) if outputs else {}
        for component, value in values.items():
            if isinstance(value, Component) and not isinstance(component, gr.State):
                value = value._constructor_args[0].get("value", gr.skip())
            if value != gr.skip():
                self.values[component._id] = value

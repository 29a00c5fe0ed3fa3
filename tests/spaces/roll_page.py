"""A page with nothing but piano rolls that can be edited: a melody, drums and a trio, and what their handlers were given."""

import json
import os
import sys

from .conftest import STUDIO

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
sys.path.insert(0, str(STUDIO))

import gradio as gr
import pattern as patterns
from actions import in_sentences
from components.piano_roll import PianoRoll, edited_clip, piano_roll_value
from components.theme import STYLE, theme

MELODY = patterns.make("Tune", [[60, 0.0, 1.0, 80], [64, 1.0, 1.5, 90], [67, 2.0, 4.0, 100]], 2, drums=False)
DRUMS = patterns.make("Beat", [[36, 0.0, 0.25, 100], [38, 1.02, 1.27, 90], [42, 0.5, 0.75, 60]], 2, drums=True)
TRIO_NOTES = [[72, 0.0, 1.0, 80, 0], [36, 0.0, 2.0, 80, 1], [36, 0.0, 0.25, 100, 2], [74, 1.0, 2.0, 80, 0]]
TRIO = patterns.make("Trio", TRIO_NOTES, 16, drums=False, trio=True)
OTHER = patterns.make("Other", [[50, 0.0, 8.0, 64]], 2, drums=False)


def build() -> gr.Blocks:
    """The page: rolls #melody, #drums and #trio; #got shows as JSON what the handler of the last edit was given."""
    with gr.Blocks(title="Rolls", fill_width=True) as page:
        with gr.Column(elem_classes="card"):
            rolls = [
                PianoRoll(piano_roll_value(clip), editable=True, elem_id=name, slot=name, label=name)
                for name, clip in (("melody", MELODY), ("drums", DRUMS), ("trio", TRIO))
            ]
            got = gr.Textbox(label="Got", elem_id="got")
            renew = gr.Button("Another melody", elem_id="renew")

        @in_sentences
        def on_edited(edited, event: gr.EventData):
            clip = edited_clip(edited)
            return piano_roll_value(clip), json.dumps({**clip, "event": event._data})

        for roll in rolls:
            roll.edited(on_edited, [roll], [roll, got], api_visibility="private", show_progress="hidden")
        renew.click(lambda: piano_roll_value(OTHER), None, rolls[0], api_visibility="private", show_progress="hidden")
    return page


def launch() -> tuple[gr.Blocks, str]:
    """Serves the page from this process; gives it and its address."""
    page = build()
    _, address, _ = page.launch(
        server_name="127.0.0.1", theme=theme(), css=STYLE, prevent_thread_lock=True, quiet=True, share=False, ssr_mode=False
    )
    return page, address.rstrip("/")

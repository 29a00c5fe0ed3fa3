"""The controls of the Compose tab: the button and what is wished for, a card for each stage, the mix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import compose_cards as cards
import composer as composing
import gradio as gr
import validate
from components.band_roll import BandRoll
from components.piano_roll import PianoRoll
from components.send_menu import SendMenu
from composer import ANY, BY_MOOD, DEVELOPED, NAMES, RANDOM, SOUND, STAYS
from developer import Developer

from hub_models.composing.harmony import MAJOR, MINOR, Key
from hub_models.composing.settings import BAND, CHORDS, MELODY, MIX, PIANO, PLAYED

from . import compose_develop
from .parts import heading, instruments, seed_controls, send_menu

KEYS = [ANY, *(Key(tonic, mode).name for mode in (MAJOR, MINOR) for tonic in range(12))]
PARTS = [
    ("The whole piece", MIX),
    ("Its sound", SOUND),
    *((f"The {stage}", stage) for stage in (CHORDS, *PLAYED)),
    ("What was made of it, further", DEVELOPED),
]


@dataclass
class Card:
    """The controls that every stage has."""

    stage: str
    roll: Any
    again: gr.Button
    lock: gr.Checkbox
    seed: gr.Number


@dataclass
class Controls:
    """All of them; `cards` and `levels` by stage."""

    make: gr.Button
    stop: gr.Button
    undo: gr.Button
    status: gr.HTML
    mood: gr.Dropdown
    key: gr.Dropdown
    tempo: gr.Number
    seed: gr.Number
    keep: gr.Checkbox
    listen: gr.Checkbox
    chords: gr.Textbox
    chords_follow: gr.Checkbox
    program: gr.Dropdown
    temperature: gr.Slider
    fit: gr.Slider
    melody_follow: gr.Checkbox
    band_style: gr.Dropdown
    to_band_style: gr.Dropdown
    instruments: gr.CheckboxGroup
    band_file: gr.UploadButton
    piano_style: gr.Dropdown
    piano_file: gr.UploadButton
    cards: dict[str, Card]
    mix_roll: BandRoll
    part: gr.Dropdown
    menu: SendMenu
    levels: dict[str, gr.Slider]
    muted: gr.CheckboxGroup
    ending: gr.Checkbox
    further: compose_develop.Controls | None


def lay_out(developer: Developer) -> Controls:
    """Adds the controls to the surrounding `gr.Blocks`."""
    with gr.Row(elem_classes="stage"):
        with gr.Column(scale=7, min_width=320):
            with gr.Column(elem_classes="card"):
                heading(1, "A piece", "Press the button; what you leave open is chosen for you")
                with gr.Row(elem_classes="make"):
                    make = gr.Button("Compose a piece", variant="primary", min_width=170, elem_id="compose-make")
                    stop = gr.Button("Stop", min_width=70, elem_id="compose-stop")
                    undo = gr.Button("Undo", interactive=False, min_width=70, elem_id="compose-undo")
                status = gr.HTML(
                    cards.status_html(0.0, ""), elem_id="compose-status", apply_default_css=False, js_on_load=None
                )
                with gr.Row():
                    mood = gr.Dropdown(
                        [ANY, *composing.MOODS], value=ANY, label="Mood", elem_id="compose-mood", min_width=120
                    )
                    key = gr.Dropdown(KEYS, value=ANY, label="Key", elem_id="compose-key", min_width=120)
                    # A field that may stay empty would be filled with 0 by the page.
                    tempo = gr.Number(
                        0, label="Tempo (0: the mood's)", minimum=0, maximum=composing.MAX_TEMPO,
                        elem_id="compose-tempo", min_width=150,
                    )  # fmt: skip
                seed, keep = seed_controls("compose-")
                listen = gr.Checkbox(True, label="Play the melody as soon as it is there", elem_id="compose-listen")

            with gr.Column(elem_classes="card"):
                heading(2, "Chords", "Sixteen bars; a shorter progression goes round")
                chords = gr.Textbox(
                    "", label="Chords (empty: by mood and seed)", placeholder="C Am F G", max_lines=2,
                    elem_id="compose-chords-text",
                )  # fmt: skip
                chords_roll = BandRoll(
                    slot="Chords",
                    hint="The progression appears here.",
                    desk="compose",
                    elem_id="compose-chords",
                    label="Chords",
                )
                chords_card = _card(CHORDS, chords_roll)
                chords_follow = gr.Checkbox(
                    True, label="With new chords, make the rest anew", elem_id="compose-chords-follow"
                )

            with gr.Column(elem_classes="card"):
                heading(3, "Melody", "Sixteen bars by MusicVAE, fitted to the chords; “Edit” changes its notes")
                melody_roll = PianoRoll(
                    slot="Melody", hint="The melody appears here, and can be edited.", desk="compose", editable=True,
                    elem_id="compose-melody", label="Melody",
                )  # fmt: skip
                melody_card = _card(MELODY, melody_roll)
                with gr.Row():
                    program = gr.Dropdown(
                        [(BY_MOOD, -1), *instruments()],
                        value=-1,
                        label="Instrument",
                        elem_id="compose-program",
                        min_width=160,
                    )
                    temperature = gr.Slider(
                        0.1, 1.5, value=0.6, step=0.05, label="Temperature (how wild)", elem_id="compose-temperature",
                        min_width=160,
                    )  # fmt: skip
                    fit = gr.Slider(
                        0, 1, value=1, step=0.05, label="Fit to the chords", elem_id="compose-fit", min_width=160
                    )
                melody_follow = gr.Checkbox(
                    False, label="With another melody, let the piano play anew", elem_id="compose-melody-follow"
                )

            with gr.Column(elem_classes="card"):
                heading(4, "Band", "Multitrack MusicVAE plays the chords")
                band_roll = BandRoll(
                    slot="Band", hint="The band appears here.", desk="compose-band", elem_id="compose-band", label="Band"
                )
                band_card = _card(BAND, band_roll)
                instruments_kept = gr.CheckboxGroup([], label="Instruments that play", elem_id="compose-instruments")
                with gr.Row(elem_classes="brought"):
                    band_style = gr.Dropdown(
                        [BY_MOOD, *composing.BARS, RANDOM], value=BY_MOOD, label="Style", elem_id="compose-band-style",
                        min_width=150,
                    )  # fmt: skip
                    to_band_style = gr.Dropdown(
                        [STAYS, *composing.BARS, RANDOM], value=STAYS, label="Turns into", elem_id="compose-to-band-style",
                        min_width=150,
                    )  # fmt: skip
                    band_file = _upload("compose-band-upload")

            with gr.Column(elem_classes="card"):
                heading(5, "Piano", "Transformer Autoencoder, in the style of a performance; “Edit” changes its notes")
                piano_roll = PianoRoll(
                    slot="Piano", hint="The piano appears here, and can be edited.", desk="compose", editable=True,
                    elem_id="compose-piano", label="Piano",
                )  # fmt: skip
                piano_card = _card(PIANO, piano_roll)
                with gr.Row(elem_classes="brought"):
                    piano_style = gr.Dropdown(
                        [BY_MOOD, *composing.PIECES],
                        value=BY_MOOD,
                        label="Style",
                        elem_id="compose-piano-style",
                        min_width=220,
                    )
                    piano_file = _upload("compose-piano-upload")

        with gr.Column(scale=6, min_width=320, elem_classes=["card", "result"]):
            heading(6, "The mix", "Listen, balance, take it along")
            mix_roll = BandRoll(
                slot="Nothing yet", hint="Press “Compose a piece”: chords, a melody, a band and a piano become one piece.",
                desk="compose-mix", elem_id="compose-mix", label="The mix",
            )  # fmt: skip
            with gr.Row(elem_classes="again"):
                part = gr.Dropdown(
                    PARTS, value=MIX, label="Take along", show_label=True, elem_id="compose-part", min_width=150
                )
                menu = send_menu("compose-")
            with gr.Column(elem_classes="sound"):
                levels = {
                    stage: gr.Slider(
                        -12, 12, value=0, step=0.5, label=f"{NAMES[stage]} (decibels)", elem_id=f"compose-level-{stage}"
                    )
                    for stage in PLAYED
                }
                muted = gr.CheckboxGroup(
                    [(NAMES[stage], stage) for stage in PLAYED], value=[], label="Muted", elem_id="compose-muted"
                )
                ending = gr.Checkbox(True, label="End on a last chord", elem_id="compose-ending")
    further = None
    if developer.ways:
        with gr.Row(elem_classes="stage"):
            further = compose_develop.lay_out(developer)
    return Controls(
        make, stop, undo, status, mood, key, tempo, seed, keep, listen, chords, chords_follow, program, temperature, fit,
        melody_follow, band_style, to_band_style, instruments_kept, band_file, piano_style, piano_file,
        {card.stage: card for card in (chords_card, melody_card, band_card, piano_card)},
        mix_roll, part, menu, levels, muted, ending, further,
    )  # fmt: skip


def _card(stage: str, roll: Any) -> Card:
    """The controls that every stage has, below its roll."""
    with gr.Row(elem_classes="brought"):
        again = gr.Button("Roll again", interactive=False, size="sm", min_width=100, elem_id=f"compose-{stage}-again")
        lock = gr.Checkbox(False, label=f"Lock the {stage}", min_width=120, elem_id=f"compose-{stage}-lock")
        seed = gr.Number(
            7, label=f"Seed of the {stage}", precision=0, minimum=0, maximum=validate.MAX_SEED, min_width=130,
            elem_id=f"compose-{stage}-seed",
        )  # fmt: skip
    return Card(stage, roll, again, lock, seed)


def _upload(elem_id: str) -> gr.UploadButton:
    return gr.UploadButton("Style from MIDI", file_types=[".mid", ".midi"], size="sm", min_width=120, elem_id=elem_id)

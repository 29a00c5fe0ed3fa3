"""The last card of the Compose tab: the piece taken further as sound, by Jukebox or WaveGrad."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import actions
import compose_cards as cards
import composer as composing
import gradio as gr
import sound as sounds
import validate
from actions import LONG_QUEUE, Stopped, in_sentences
from background import in_thread
from components.sound_view import SoundView, sound_view_value, take
from composer import DEVELOPED, Piece
from developer import MAX_SECONDS, MIN_SECONDS, NAMES, Developer

from hub_models import Clip

from .parts import PRIVATE, heading, seed_controls

LOOK_SECONDS = 0.4  # between two looks at how far the work is


@dataclass
class Controls:
    """Of the card."""

    way: gr.Radio
    seconds: gr.Slider
    seed: gr.Number
    keep: gr.Checkbox
    go: gr.Button
    view: SoundView


def lay_out(developer: Developer) -> Controls:
    """Adds the controls to the surrounding `gr.Blocks`."""
    ways = developer.ways
    with gr.Column(elem_classes="card"):
        heading(7, "Further, as sound", "Jukebox goes on from it; WaveGrad makes it anew out of noise")
        way = gr.Radio(
            [(NAMES[way], way) for way in ways], value=ways[0], label="What is done to the mix", elem_id="compose-way"
        )
        seconds = gr.Slider(
            MIN_SECONDS, MAX_SECONDS, value=8, step=0.5, elem_id="compose-further-seconds",
            label="Seconds (added, of the whole, or re-voiced)",
        )  # fmt: skip
        seed, keep = seed_controls("compose-further-")
        go = gr.Button("Take it further", elem_id="compose-further")
        view = SoundView(
            slot="Nothing yet", hint="What becomes of the piece appears here; it takes a minute or two.", compact=True,
            pictures=("wave",), view="compose-developed", elem_id="compose-developed", label="Further, as sound",
        )  # fmt: skip
    return Controls(way, seconds, seed, keep, go, view)


def connect(
    controls: Controls, developer: Developer, brakes: actions.Brakes, result: gr.State, history: gr.State,
    shown: dict[str, Any],
) -> None:  # fmt: skip
    """Adds the events.

    Args:
        shown: the tab's own components: "status", "undo" and "part".
    """
    outputs = [result, history, controls.view, controls.seed, *shown.values()]

    @in_sentences
    def on_go(
        request: gr.Request, before: Piece | None, past: list[Piece | None], way: str, seconds: float, seed: Any, keep: bool
    ) -> Iterator[dict[Any, Any]]:
        if before is None:
            raise validate.StudioError("There is no piece yet: press “Compose a piece”.")
        if brakes.is_running(request.session_hash):
            raise validate.StudioError("A piece is being made already; stop it first.")
        drawn, begun, clip = actions.choose_seed(seed, keep), time.monotonic(), None

        def work(check: Callable[[], None], put: Callable[[Any], None]) -> None:
            last = [0.0]

            def progress(share: float, text: str) -> None:
                if time.monotonic() - last[0] >= LOOK_SECONDS:
                    last[0] = time.monotonic()
                    put((share, text))

            put(developer.develop(before.composition, way, seconds, drawn, check=check, progress=progress))

        try:
            with brakes.running(request.session_hash, lambda share, text: None) as report:
                yield {shown["status"]: cards.status_html(0.0, "Getting ready"), controls.seed: drawn}
                for item in in_thread(work, lambda: report(0.0, ""), "developer"):
                    if isinstance(item, Clip):
                        clip = item
                    else:
                        yield {shown["status"]: cards.status_html(*item)}
        except Exception as error:
            text = "Stopped; the piece is as it was" if isinstance(error, Stopped) else ""
            yield {shown["status"]: cards.status_html(1.0, text)}
            raise
        took = time.monotonic() - begun
        yield {
            result: Piece(before.composition, DEVELOPED, clip),
            history: [*past, before][-composing.MAX_UNDO :],
            controls.view: view_value(clip),
            shown["status"]: cards.status_html(1.0, f"{clip.name}, in {took:.0f} s"),
            shown["undo"]: gr.Button(interactive=True),
            shown["part"]: DEVELOPED,
        }

    controls.go.click(
        on_go, [result, history, controls.way, controls.seconds, controls.seed, controls.keep], outputs,
        show_progress="hidden", **LONG_QUEUE, **PRIVATE,
    )  # fmt: skip
    controls.go.click(None, None, None, js="() => { window.encore?.wake(); }")


def view_value(clip: Clip | None) -> dict[str, Any] | None:
    """What the card shows of a clip of sound."""
    if clip is None:
        return None
    from hub_models import audio

    samples, rate = audio.load(clip.data)
    detail = f"{clip.seconds:.1f} seconds, {rate} Hz, seed {clip.origin.seed}"
    one = take("sound", "Sound", clip.seconds, wave=sounds.wave_picture(audio.mono(samples)), wav=clip.data)
    return sound_view_value([one], title=clip.name, detail=detail)

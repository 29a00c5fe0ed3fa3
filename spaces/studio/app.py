"""The Encore Studio: `python app.py` serves it on http://127.0.0.1:7860, offline, on the models bundled with Encore."""

from __future__ import annotations

import argparse
import os

# Nothing leaves this machine: set before gradio and huggingface_hub are imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Threads that wait for one another sleep: where something else runs as well, spinning holds all of them up.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path

import api
import gradio as gr
import jukebox_api
import performer_api
import validate
import vocoder_api
from actions import MODEL_QUEUE
from band import Bandstand, find_bands
from components.theme import STYLE, theme
from engine import Engine, find_models
from jukebox_models import find_jukeboxes
from jukeboxes import Jukeboxes
from performer import Performers, find_performers
from tabs import band, grooves, morph, songs
from tabs import jukebox as jukebox_tab
from tabs import performer as performer_tab
from tabs import vocoder as vocoder_tab
from tabs.parts import connect
from vocoder import Vocoders, find_vocoders

FILES_LIVE_SECONDS = 3600
MAX_WAITING = 32

HEADER = """
<header class="masthead">
  <h1>Encore <span>Studio</span></h1>
  <p>Melodies, drums and bands that turn into one another; piano in anybody's style; sound out of noise;
  songs with words, out of nothing. Runs here, on this machine.</p>
</header>
"""


def build(models: str | Path | None = None) -> gr.Blocks:
    """The page and its endpoints.

    Args:
        models: a folder of model folders; default those that $ENCORE_STUDIO_MODELS names, else the bundled ones.
    """
    engine, bandstand = Engine(find_models(models)), Bandstand(find_bands(models))
    vocoders, performers = Vocoders(find_vocoders(models)), Performers(find_performers(models))
    jukeboxes = Jukeboxes(find_jukeboxes(models))
    # In order; each module has TITLE and build(engine), which gives the `Desk` that other tabs see, or None.
    tabs = (
        (morph, engine), (grooves, engine), (band, bandstand), (songs, engine), (performer_tab, performers),
        (vocoder_tab, vocoders), (jukebox_tab, jukeboxes),
    )  # fmt: skip
    with gr.Blocks(
        title="Encore Studio", fill_width=True, delete_cache=(FILES_LIVE_SECONDS // 2, FILES_LIVE_SECONDS)
    ) as page:
        gr.HTML(HEADER, apply_default_css=False, js_on_load=None)
        with gr.Tabs(elem_id="tabs", elem_classes="rooms") as rooms:
            desks = []
            for tab, source in tabs:
                with gr.Tab(tab.TITLE, id=tab.TITLE) as room:
                    desk = tab.build(source)
                desks.append(desk)
                if desk and desk.opened:
                    room.select(
                        desk.opened, desk.opened_inputs, desk.opened_outputs,
                        show_progress="hidden", api_visibility="private", **MODEL_QUEUE,
                    )  # fmt: skip
        # One thing sounds at a time, and only what is to be seen.
        rooms.select(None, None, None, js="() => window.encore?.silence()")
        connect(rooms, desks)
        api.add_endpoints(engine, bandstand, vocoders, performers, jukeboxes)
        performer_api.add_endpoint(performers)
        vocoder_api.add_endpoint(vocoders)
        jukebox_api.add_endpoint(jukeboxes)
    return page.queue(max_size=MAX_WAITING)


def launch(page: gr.Blocks, host: str | None = None, port: int | None = None, **options) -> tuple:
    """Serves the page; returns what `gr.Blocks.launch` returns."""
    return page.launch(
        server_name=host,
        server_port=port,
        theme=theme(),
        css=STYLE,
        max_file_size=validate.MAX_UPLOAD_BYTES,
        footer_links=["api", "settings"],
        run_history=False,
        enable_monitoring=False,
        share=False,
        ssr_mode=False,
        show_error=False,
        **options,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The Encore Studio in the browser.")
    parser.add_argument("--host", default=None, help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=None, help="port (default 7860, or the next free one)")
    parser.add_argument("--models", default=None, help="folder of model folders (default: the bundled models)")
    arguments = parser.parse_args()
    launch(build(arguments.models), arguments.host, arguments.port)


if __name__ == "__main__":
    main()

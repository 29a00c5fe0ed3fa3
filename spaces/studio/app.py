"""The Encore Studio: `python app.py` serves it on http://127.0.0.1:7860, offline, on the models bundled with Encore."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import os

# Nothing leaves this machine: set before gradio and huggingface_hub are imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# Else Gradio makes a table of its last 10,000 actions after every action, which nobody looks at.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(2**31))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Threads that wait for one another sleep: where something else runs as well, spinning holds all of them up.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path

import api
import compose_api
import gradio as gr
import guard
import jukebox_api
import libraries
import performer_api
import session_api
import shelf
import turns
import validate
import vocoder_api
import zero_gpu
from actions import LIMITS, MODEL_QUEUE
from answers import Answers
from band import Bandstand, find_bands
from border import Border, Page
from components import choices
from components.masthead import Masthead
from components.theme import STYLE, theme
from composer import Composer
from developer import Developer
from engine import Engine, find_models
from headers import SafeHeaders
from jukebox_models import find_jukeboxes
from jukeboxes import Jukeboxes
from performer import Performers, find_performers
from starlette.middleware import Middleware
from tabs import band, compose, grooves, morph, songs
from tabs import jukebox as jukebox_tab
from tabs import performer as performer_tab
from tabs import vocoder as vocoder_tab
from tabs.parts import connect
from tray import Tray
from vocoder import Vocoders, find_vocoders

HERE = Path(__file__).resolve().parent
FILES_LIVE_SECONDS = 3600
# Who may run what is decided by `guard.py`; Gradio has a thread for everybody who runs or waits, and some room.
MAX_THREADS = 128
MAX_QUEUED = 256
M_ARENA_MAX = -8  # of the GNU C library's mallopt
# Sessions that are remembered, at 1.5 MB each; what a page holds in memory goes when so many others have come since.
MAX_SESSIONS = 256

HEADER = """
<header class="masthead">
  <h1>Encore <span>Studio</span></h1>
  <p>Melodies, drums and bands that turn into one another; piano in anybody's style; sound out of noise;
  songs with words, out of nothing. Runs here, on this machine.</p>
</header>
"""


def build(models: str | Path | None = None, memory: int | None = None) -> gr.Blocks:
    """The page and its endpoints.

    Args:
        models: a folder of model folders; default those that $ENCORE_STUDIO_MODELS names, else the bundled ones.
        memory: bytes that models may take; default those that $ENCORE_STUDIO_MODEL_BYTES says, else half of what there is.
    """
    models_in_memory = shelf.Shelf(memory)
    engine = Engine(find_models(models), models_in_memory)
    bandstand = Bandstand(find_bands(models), models_in_memory)
    vocoders = Vocoders(find_vocoders(models), models_in_memory)
    performers = Performers(find_performers(models), models_in_memory)
    jukeboxes = Jukeboxes(find_jukeboxes(models), shelf=models_in_memory)
    composer = Composer(engine, bandstand, performers, Developer(vocoders, jukeboxes))
    # In order; each module has TITLE and build(engine), which gives the `Desk` that other tabs see, or None.
    tabs = (
        (compose, composer), (morph, engine), (grooves, engine), (band, bandstand), (songs, engine),
        (performer_tab, performers), (vocoder_tab, vocoders), (jukebox_tab, jukeboxes),
    )  # fmt: skip
    with Page(title="Encore Studio", fill_width=True, delete_cache=(FILES_LIVE_SECONDS // 2, FILES_LIVE_SECONDS)) as page:
        Masthead(HEADER)
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
        tray = Tray()
        connect(rooms, desks, tray)
        page.load(tray.restore, [tray.token], tray.outputs, show_progress="hidden", api_visibility="private", **tray.QUEUE)
        api.add_endpoints(engine, bandstand, vocoders, performers, jukeboxes)
        compose_api.add_endpoints(composer)
        performer_api.add_endpoint(performers)
        vocoder_api.add_endpoint(vocoders)
        jukebox_api.add_endpoint(jukeboxes)
        session_api.add_endpoints()
    zero_gpu.ask_for_gpu(page)
    guard.lay_around(page, turns.Turns(LIMITS), Answers())
    choices.lay_around(page)
    # Nobody goes round the queue.
    return page.queue(max_size=MAX_QUEUED, api_open=False, default_concurrency_limit=None)


def launch(page: gr.Blocks, host: str | None = None, port: int | None = None, tools: bool = False, **options) -> tuple:
    """Serves the page; returns what `gr.Blocks.launch` returns.

    Args:
        tools: whether its endpoints are tools of an MCP server as well.
    """
    _share_memory()
    libraries.load_soon()
    return page.launch(
        server_name=host,
        server_port=port,
        theme=theme(),
        css=STYLE,
        max_file_size=validate.MAX_SESSION_BYTES,
        footer_links=["api", "settings"],
        run_history=False,
        enable_monitoring=False,
        share=False,
        ssr_mode=False,
        show_error=False,
        # Else Gradio gives up on itself where its first page takes three seconds, as on a busy machine.
        _frontend=False,
        max_threads=MAX_THREADS,
        state_session_capacity=MAX_SESSIONS,
        mcp_server=tools,
        allowed_paths=[],
        blocked_paths=[str(HERE)],
        app_kwargs={"middleware": [Middleware(SafeHeaders), Middleware(Border)]},
        **options,
    )


def _share_memory() -> None:
    """Lets all threads take memory from two heaps. The GNU C library would give nearly each its own, and what one has given
    back another would not use: under load the server would grow and grow."""
    with contextlib.suppress(OSError, TypeError, AttributeError):  # other C libraries have no such setting
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="The Encore Studio in the browser.")
    parser.add_argument("--host", default=None, help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=None, help="port (default 7860, or the next free one)")
    parser.add_argument("--models", default=None, help="folder of model folders (default: the bundled models)")
    parser.add_argument("--memory", type=float, default=None, help="GB for models (default: half of what there is)")
    parser.add_argument("--mcp", action="store_true", help="serve the endpoints as tools of an MCP server, too")
    arguments = parser.parse_args()
    if arguments.mcp and importlib.util.find_spec("mcp") is None:
        parser.error("--mcp needs the package mcp: pip install 'encore-music[mcp]' (in a checkout: -e '.[mcp]')")
    if arguments.memory is not None and not 0 < arguments.memory < float("inf"):
        parser.error(f"--memory must be a number of GB above 0, not {arguments.memory:g}.")
    memory = None if arguments.memory is None else int(arguments.memory * 1e9)
    launch(build(arguments.models, memory), arguments.host, arguments.port, arguments.mcp)


if __name__ == "__main__":
    main()

"""Screenshots of the Studio at work, made from the running demo: `python spaces/pictures.py`.

The Studio is started on the bundled models and driven in Debian's chromium as a person would: every tab makes something,
and is pictured with it. Seeds are drawn, so that another time the music is another.

    python spaces/pictures.py                              those of the README, into spaces/pictures
    python spaces/pictures.py --all --output pictures      every tab, light and dark, 1440 and 390 pixels wide
    python spaces/pictures.py --tab Band --scheme dark     one of them
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

SPACES = Path(__file__).parent
OUTPUT = SPACES / "pictures"
PATIENCE = 600_000  # milliseconds; two cores may need minutes for a song
START_SECONDS = 180
WIDTHS, SCHEMES = (1440, 390), ("light", "dark")
HEIGHTS = {1440: 1000, 390: 844}
COLOURS = 256  # of a picture, which is a quarter of its size then


class Picture(NamedTuple):
    """A tab, how wide the window is, and its colours; `whole`: the page to its end, not the window alone."""

    tab: str
    width: int
    scheme: str
    whole: bool = False

    @property
    def file_name(self) -> str:
        return f"{self.tab.lower()}-{self.width}-{self.scheme}.png"


README = (
    Picture("Compose", 1440, "light"),
    Picture("Morph", 1440, "dark"),
    Picture("Band", 1440, "light"),
    Picture("Performer", 1440, "dark"),
    Picture("Jukebox", 1440, "light"),
    Picture("Compose", 390, "dark"),
)


def set_number(page: Page, slider: str, value: float) -> None:
    """Types a value beside a slider."""
    box = page.locator(f"{slider} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


def sounds(page: Page, place: str) -> None:
    """Waits until there is something to be heard."""
    page.wait_for_function(f"document.querySelector('{place} audio')?.duration > 0")


def compose(page: Page) -> None:
    page.click("#compose-make")
    sounds(page, "#compose-mix")
    expect(page.locator("#compose-make")).to_be_enabled()


def morph(page: Page) -> None:
    page.click("#morph")
    page.wait_for_selector("#result .note")


def grooves(page: Page) -> None:
    page.click("#humanize")
    page.wait_for_selector("#groove-result .note")


def band(page: Page) -> None:
    page.click("#band-make")
    sounds(page, "#band-roll")


def songs(page: Page) -> None:
    page.click("#smooth")
    page.wait_for_selector("#song-result .note")


def performer(page: Page) -> None:
    expect(page.locator("#performer-melody .title")).to_contain_text("Ode to Joy")
    set_number(page, "#performer-seconds", 30)
    page.click("#performer-make")
    sounds(page, "#performer-roll")


def vocoder(page: Page) -> None:
    expect(page.locator("#vocoder-make")).to_be_enabled()
    page.wait_for_selector("#vocoder-source audio", state="attached")
    set_number(page, "#vocoder-length", 4)
    page.click("#vocoder-make")
    page.wait_for_function("document.querySelectorAll('#vocoder-result audio').length === 3")


def jukebox(page: Page) -> None:
    expect(page.locator("#jukebox-artist input")).not_to_have_value("")
    set_number(page, "#jukebox-seconds", 5)
    set_number(page, "#jukebox-count", 2)
    page.click("#jukebox-make")
    expect(page.locator("#jukebox-upsample")).to_be_enabled()
    page.click("#jukebox-upsample")
    page.wait_for_selector("#jukebox-view audio[data-take=level-2]", state="attached")
    expect(page.locator("#jukebox-upsample")).to_be_enabled()


# What a person does in each tab, in the order of the page.
STEPS: dict[str, Callable[[Page], None]] = {
    "Compose": compose,
    "Morph": morph,
    "Grooves": grooves,
    "Band": band,
    "Songs": songs,
    "Performer": performer,
    "Vocoder": vocoder,
    "Jukebox": jukebox,
}


@contextlib.contextmanager
def studio() -> Iterator[str]:
    """A Studio of its own on the bundled models, with nothing in it from before; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        own = {
            "PYTHONPATH": str(SPACES.parent),
            **{
                name: str(Path(folder, name)) for name in ("GRADIO_TEMP_DIR", "ENCORE_STUDIO_RUNS", "ENCORE_STUDIO_SESSIONS")
            },
        }
        command = [sys.executable, str(SPACES / "studio" / "app.py"), "--port", str(port)]
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    urllib.request.urlopen(address + "/config", timeout=5).close()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > deadline:
                        sys.exit("The Studio did not start.")
                    time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)


def take(page: Page, address: str, picture: Picture, output: Path) -> Path:
    """Opens a tab, does what a person does there, and saves the picture."""
    page.goto(f"{address}/?__theme={picture.scheme}")
    page.get_by_role("tab", name="Compose", exact=True).first.wait_for()
    page.locator("#tabs").get_by_role("tab", name=picture.tab, exact=True).first.click()
    STEPS[picture.tab](page)
    page.evaluate("document.activeElement?.blur(); window.scrollTo(0, 0)")
    page.mouse.move(0, 0)
    page.wait_for_timeout(800)  # until toasts and transitions are over
    path = output / picture.file_name
    page.screenshot(path=path, full_page=picture.whole)
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Screenshots of the Studio at work.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the pictures (default: spaces/pictures)")
    parser.add_argument("--all", action="store_true", help="every tab, light and dark, wide and narrow, to the page's end")
    parser.add_argument("--tab", choices=list(STEPS), help="of this tab alone")
    parser.add_argument("--scheme", choices=SCHEMES, help="in these colours alone")
    parser.add_argument("--width", type=int, choices=WIDTHS, help="of this width alone")
    parser.add_argument("--address", help="of a Studio that is running (default: one of its own is started)")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if not chromium:
        parser.error("chromium is not installed; Debian and Ubuntu have a package of that name")
    every = [Picture(tab, width, scheme, True) for width in WIDTHS for scheme in SCHEMES for tab in STEPS]
    narrowed = arguments.all or arguments.tab or arguments.scheme or arguments.width
    wanted = [
        picture
        for picture in (every if narrowed else README)
        if (picture.tab, picture.scheme, picture.width)
        == (arguments.tab or picture.tab, arguments.scheme or picture.scheme, arguments.width or picture.width)
    ]
    arguments.output.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        address = arguments.address or stack.enter_context(studio())
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for picture in wanted:
            context = browser.new_context(
                viewport={"width": picture.width, "height": HEIGHTS[picture.width]}, color_scheme=picture.scheme
            )
            context.set_default_timeout(PATIENCE)
            expect.set_options(timeout=PATIENCE)
            print(take(context.new_page(), address, picture, arguments.output), flush=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()

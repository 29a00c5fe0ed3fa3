"""The Studio as a Space: published to a Hub, downloaded again, installed and started as a Space is, and played with.

    python -m tests.spaces.published

It is published over HTTP to the Hub server of the tests, downloaded from there into an empty folder, its requirements are
installed into an environment of their own (some gigabytes, some minutes), and it is started from the folder with nothing of
the checkout to be reached; then chromium clicks through its page. A Space installs gradio and huggingface_hub first, in the
version that README.md names; so does this.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from . import pages

CHECKOUT = Path(__file__).resolve().parents[2]
SPACE = "someone/studio"
START_SECONDS, INSTALL_SECONDS, HUB_SECONDS = 300, 3600, 600
DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], repo_type="space", local_dir=sys.argv[2])
"""
# Ends a process that opens anything of the checkout but what is installed in its environment.
FENCE = """
import os, sys
CHECKOUT, ENVIRONMENT = os.environ["ENCORE_CHECKOUT"] + os.sep, sys.prefix + os.sep
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        if path.startswith(CHECKOUT) and not path.startswith(ENVIRONMENT):
            raise PermissionError(f"The Space reads the checkout: {path}")
sys.addaudithook(watch)
"""


def publish(endpoint: str, home: Path) -> None:
    """Runs `python -m hub_models.hub space` against a Hub."""
    _run([sys.executable, "-m", "hub_models.hub", "space", SPACE], CHECKOUT, _hub_variables(endpoint, home), HUB_SECONDS)


def download(endpoint: str, home: Path, folder: Path) -> dict[str, bytes]:
    """Puts the Space into a folder; gives its files by name."""
    _run([sys.executable, "-c", DOWNLOAD, SPACE, str(folder)], home, _hub_variables(endpoint, home), HUB_SECONDS)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(".cache/")}


def install(folder: Path, environment: Path) -> Path:
    """Makes an environment with what the Space asks for; gives its Python."""
    _run([sys.executable, "-m", "venv", str(environment)], folder, {}, INSTALL_SECONDS)
    python = environment / "bin" / "python"
    version = re.search(r"^sdk_version: (.+)$", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    _run([*pip, f"gradio=={version}", "huggingface_hub"], folder, {}, INSTALL_SECONDS)
    _run([*pip, "-r", "requirements.txt"], folder, {}, INSTALL_SECONDS)
    return python


@contextlib.contextmanager
def running(python: str | Path, folder: Path, home: Path) -> Iterator[str]:
    """Starts the Space in its folder, as a Space does, out of reach of the checkout; gives its address.

    Raises:
        RuntimeError: it did not start, or logged a traceback; with its log.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fence, log = home / "fence", home / "log.txt"
    fence.mkdir()
    (fence / "sitecustomize.py").write_text(FENCE, encoding="utf-8")
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(fence),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ENCORE_CHECKOUT": str(CHECKOUT),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
    }
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        server = subprocess.Popen([str(python), "app.py"], cwd=folder, env=variables, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(address):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"The Space did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.2)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)
    if "Traceback" in log.read_text():
        raise RuntimeError(f"The Space logged an error:\n{log.read_text()[-3000:]}")


def click_through(page: Page, address: str) -> None:
    """Opens the page, samples, morphs and hears a clip, and looks into every tab."""
    page.set_default_timeout(pages.PATIENCE)
    page.goto(address)
    page.wait_for_selector("#tabs [role=tab]")
    pages.open_tab(page, "Morph", "#clip-a .note")
    page.click("#sample-b")
    expect(page.locator("#clip-b .title")).to_contain_text("Sample", timeout=pages.PATIENCE)
    page.click("#morph")
    page.wait_for_selector("#result .note")
    page.wait_for_function("document.querySelector('#result audio').duration > 0")
    page.click("#result .play")
    page.wait_for_function("document.querySelector('#result audio').currentTime > 0.2")
    tabs = page.locator("#tabs > .tab-wrapper").first.get_by_role("tab")
    for name in tabs.all_inner_texts():
        tabs.get_by_text(name, exact=True).click()
        expect(page.get_by_role("tab", name=name, exact=True).first).to_have_attribute("aria-selected", "true")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address + "/config", timeout=30) as response:
            return json.load(response)["title"] == "Encore Studio"
    except OSError:
        return False


def _hub_variables(endpoint: str, home: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home / "hub"),
        "HF_TOKEN": "token-of-someone",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }


def _run(command: list[str], folder: Path, variables: dict[str, str], seconds: int) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    done = subprocess.run(command, cwd=folder, env=kept | variables, capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:5])} failed:\n{(done.stderr or done.stdout)[-3000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Publishes, downloads, installs and starts the Space, and plays with it.")
    parser.add_argument("--folder", type=Path, help="new folder to work in, which is kept (default: a temporary one)")
    arguments = parser.parse_args()
    if arguments.folder and arguments.folder.exists():
        parser.error(f"{arguments.folder} exists; choose a new folder.")
    sys.path.insert(0, str(CHECKOUT / "tests" / "hub"))
    from hub_server import HubServer

    with contextlib.ExitStack() as stack:
        place = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="encore-space-")))
        home, folder = place.resolve() / "home", place.resolve() / "space"
        home.mkdir(parents=True)
        began = time.monotonic()

        def tell(what: str) -> None:
            print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)

        hub = stack.enter_context(HubServer())
        publish(hub.url, home)
        tell(f"published to {hub.url}")
        files = download(hub.url, home, folder)
        if files != hub.repositories["spaces", SPACE].files():
            sys.exit("What was downloaded is not what was published.")
        size = sum(map(len, files.values())) / 1e6
        tell(f"downloaded again: {len(files)} files, {size:.1f} MB, the same bytes")
        python = install(folder, place.resolve() / "environment")
        tell(f"installed into a new environment: {(folder / 'requirements.txt').read_text().split()}")
        address = stack.enter_context(running(python, folder, home))
        tell(f"started: the page answers at {address}")
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=pages.CHROMIUM, args=pages.ARGUMENTS
        )
        page, errors, outside = browser.new_page(), [], []
        page.on("pageerror", lambda error: errors.append(str(error)))
        local = (address, "data:", "blob:")
        page.on("request", lambda asked: None if asked.url.startswith(local) else outside.append(asked.url))
        click_through(page, address)
        browser.close()
        if errors or outside:
            sys.exit(f"Errors of the page: {errors}; requests to elsewhere: {outside}.")
        tell("clicked through: a clip sampled, morphed and heard, every tab opened; no error, no request to elsewhere")


if __name__ == "__main__":
    main()

"""Cold start of the Studio: from a new process to a page that answers, and to the first clip.

    python benchmarks/space_cold_start.py

Every start is a fresh Python process that imports `spaces/studio/app.py` and calls its `main`, just as
`python spaces/studio/app.py` does, and notes the time between the two. From outside is measured when the page answers
with HTTP 200, when it is interactive (the configuration that every browser asks for first is there, and the endpoint
`/models` has answered through the queue), and how long the first and the second `/sample` take; the first one loads the
library and the model. There is no peer. The very first start on a machine also pays for its disk; `--json` lists all.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from reporting import Row, common_arguments, report, spread

CHECKOUT = Path(__file__).resolve().parents[1]
STUDIO = CHECKOUT / "spaces" / "studio"
MAX_SECONDS_AFTER_IMPORTS = 10
GIVE_UP_SECONDS = 300
POLL_SECONDS = 0.02
# time.time(): the only clock that two processes share.
STARTER = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
import app
print("imported", time.time(), flush=True)
app.main()
"""


def start_once(models: Path | None) -> dict[str, float]:
    """Seconds of one start: since the process began, or, where the name says so, since the imports or the request."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log.txt")
        environment = {**os.environ, "GRADIO_TEMP_DIR": folder, "PYTHONPATH": str(CHECKOUT)}
        options = ["--port", str(port), *(["--models", str(models)] if models else [])]
        with log.open("w") as output:
            began = time.time()
            server = subprocess.Popen(
                [sys.executable, "-c", STARTER, str(STUDIO), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        try:
            return _measure(server, f"http://127.0.0.1:{port}", log, began)
        finally:
            server.terminate()
            server.wait(timeout=30)


def _measure(server: subprocess.Popen, address: str, log: Path, began: float) -> dict[str, float]:
    while not _answers(address + "/"):
        if server.poll() is not None or time.time() - began > GIVE_UP_SECONDS:
            sys.exit(f"The Studio did not start:\n{log.read_text()[-2000:]}")
        time.sleep(POLL_SECONDS)
    page = time.time() - began
    with urllib.request.urlopen(address + "/config", timeout=GIVE_UP_SECONDS) as response:
        json.load(response)
    models = call(address, "models")[0]
    interactive = time.time() - began
    imports = next(float(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("imported")) - began
    seconds = {
        "imports": imports,
        "page": page,
        "interactive": interactive,
        "interactive_after_imports": interactive - imports,
    }
    if models:
        for name in ("first_sample", "second_sample"):
            start = time.time()
            call(address, "sample", models[0]["name"], 0.5, 0)
            seconds[name] = time.time() - start
    return seconds


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=GIVE_UP_SECONDS) as response:
            return response.status == 200
    except OSError:
        return False


def call(address: str, endpoint: str, *arguments: Any) -> list[Any]:
    """Calls a named endpoint of a Gradio app over HTTP, waits for its end and returns what it gave.

    Raises:
        RuntimeError: the endpoint answered with an error.
    """
    url = f"{address}/gradio_api/call/{endpoint}"
    body = json.dumps({"data": arguments}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=GIVE_UP_SECONDS) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{url}/{event}", timeout=GIVE_UP_SECONDS) as stream:
        kind = ""
        for line in stream:
            name, _, value = line.decode().strip().partition(": ")
            if name == "event":
                kind = value
            elif name == "data" and kind == "complete":
                return json.loads(value)
            elif name == "data" and kind == "error":
                raise RuntimeError(f"/{endpoint} failed: {value}")
    raise RuntimeError(f"/{endpoint} gave no answer.")


def main() -> None:
    parser = common_arguments("Seconds until the Studio can be used, from a fresh process.")
    parser.add_argument("--repeats", type=int, default=3, help="starts")
    parser.add_argument("--models", type=Path, default=None, help="folder of model folders (default: the bundled models)")
    arguments = parser.parse_args()

    starts = [start_once(arguments.models) for _ in range(arguments.repeats)]
    measured = {name: spread([start[name] for start in starts]) for name in starts[0]}
    labels = {
        "imports": "imports done, since the process began",
        "page": "page answers, since the process began",
        "interactive": "interactive, since the process began",
        "interactive_after_imports": "interactive, since the imports",
        "first_sample": "first /sample, model load included",
        "second_sample": "second /sample",
    }
    rows = []
    for name, result in measured.items():
        limit = {}
        if name == "interactive_after_imports":
            limit = {
                "limit": f"ours < {MAX_SECONDS_AFTER_IMPORTS} s",
                "met": result["median"] < MAX_SECONDS_AFTER_IMPORTS,
            }
        rows.append(Row(labels[name], "s", result["median"], **limit))
    report(f"Studio, cold start: median of {arguments.repeats}", rows, measured, arguments.json)
    if "first_sample" not in measured:
        print("No model is bundled, so nothing was sampled; --models names a folder of models.")


if __name__ == "__main__":
    main()

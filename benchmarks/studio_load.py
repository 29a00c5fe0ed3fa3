"""The Studio under load: clients in parallel, each with results that were computed alone before; and memory over time.

    python benchmarks/studio_load.py

A Studio serves the bundled models in a process of its own. First one client asks everything that will be asked, alone. Then
a fresh Studio is started and loads its models, and for some minutes every client asks for its own things, in an order of
its own, as fast as it is answered: clips, morphs, grooves, arrangements, files, a few seconds of piano and of vocoded sound,
and now and then a song of the Jukebox. Every answer is compared with the one that was given alone, JSON and files, bit by
bit; what is told of computing time is left out. A refusal that says "Busy" and the position is counted, and asked again
after a moment; every other error is an error. Memory is what the server's process holds (RSS), every second; it is flat when
the mean of the last minute is that of the second minute, within a limit.

The Studio remembers answers, and would compute each of them once: so it is told to keep none, except with --answers.
"""

import hashlib
import json
import math
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradio_client import Client, handle_file
from reporting import Row, common_arguments, report

CHECKOUT = Path(__file__).resolve().parents[1]
STUDIO = CHECKOUT / "spaces" / "studio"
GIVE_UP_SECONDS = 300
PATIENT = {"timeout": 600.0}
PAUSE_WHEN_BUSY_SECONDS = 1.0
SAMPLE_SECONDS = 1.0
MAX_GROWTH = 1.05
MELODY, LONG_MELODY, DRUMS = "music-vae-mel-2bar", "music-vae-mel-16bar", "music-vae-drums-2bar"
HUMANIZE, BAND = "music-vae-groove-2bar-humanize", "multitrack-music-vae-1bar-chords"
PIANO, FREE_PIANO = "transformer-autoencoder-piano", "transformer-autoencoder-piano-unconditional"
VOCODER, JUKEBOX = "wavegrad-music-22khz", "jukebox-tiny"
# Endpoint -> how often it is asked for, beside the others.
SHARES = {
    "sample": 20, "interpolate": 14, "reconstruct": 12, "humanize": 12, "arrange": 8, "render": 16, "perform": 6,
    "vocode": 4, "jukebox": 1,
}  # fmt: skip
# What differs from one computation of the same thing to another.
UNSTEADY = {"computing_seconds"}
STARTER = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
keeps_answers = sys.argv.pop(1) == "True"
import app
if not keeps_answers and hasattr(app, "Answers"):
    answers = app.Answers
    app.Answers = lambda: answers(max_bytes=0)
app.main()
"""


@dataclass
class Studio:
    """A running Studio."""

    address: str
    process: int

    def client(self, folder: Path) -> Client:
        return Client(self.address, verbose=False, httpx_kwargs=PATIENT, download_files=str(folder))

    @property
    def memory_mb(self) -> float:
        """What its process holds, in MB."""
        pages = int(Path(f"/proc/{self.process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def running(studio: Path, models: Path | None, keeps_answers: bool) -> Iterator[Studio]:
    """A Studio in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log.txt")
        environment = {
            **os.environ,
            "GRADIO_TEMP_DIR": str(Path(folder, "files")),
            "ENCORE_STUDIO_RUNS": str(Path(folder, "runs")),
            "PYTHONPATH": str(studio.parents[1]),
        }
        options = ["--port", str(port), *(["--models", str(models)] if models else [])]
        with log.open("w") as output:
            server = subprocess.Popen(
                [sys.executable, "-c", STARTER, str(studio), str(keeps_answers), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        try:
            address, began = f"http://127.0.0.1:{port}", time.monotonic()
            while not _answers(address + "/config"):
                if server.poll() is not None or time.monotonic() - began > GIVE_UP_SECONDS:
                    sys.exit(f"The Studio did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.2)
            yield Studio(address, server.pid)
        finally:
            server.terminate()
            server.wait(timeout=60)
        traces = log.read_text().count("Traceback")
        if traces:
            print(f"The Studio logged {traces} tracebacks:\n{log.read_text()[-3000:]}", file=sys.stderr)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=GIVE_UP_SECONDS) as response:
            return response.status == 200
    except OSError:
        return False


@dataclass(frozen=True, eq=False)
class Question:
    """A call of an endpoint whose answer depends on whose it is.

    Args:
        endpoint: without its slash.
        arguments: of it; a `Path` is sent as a file.
    """

    endpoint: str
    arguments: tuple

    def ask(self, client: Client) -> str:
        """A digest of the answer."""
        sent = [handle_file(str(value)) if isinstance(value, Path) else value for value in self.arguments]
        return digest(client.predict(*sent, api_name=f"/{self.endpoint}"))


def digest(value: Any) -> str:
    """The same for the same answer: JSON without what is unsteady, files by their contents."""
    return hashlib.sha256(json.dumps(_told(value), sort_keys=True).encode()).hexdigest()


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _told(part) for name, part in value.items() if name not in UNSTEADY}
    if isinstance(value, (list, tuple)):
        return [_told(part) for part in value]
    if isinstance(value, str) and os.path.isabs(value) and os.path.isfile(value):
        contents = Path(value).read_bytes()
        os.unlink(value)  # the load would fill the disk
        return hashlib.sha256(contents).hexdigest()
    return value


def questions(client: Client, number: int, folder: Path, levels: int) -> list[Question]:
    """What client `number` will ask, one for each share of an endpoint, all with seeds of its own."""
    seed = 1000 * number
    melodies = [client.predict(MELODY, 0.5, seed + place, api_name="/sample") for place in range(2)]
    beat = client.predict(DRUMS, 0.5, seed, api_name="/sample")
    files = client.predict(melodies[0], 120, number, api_name="/render")
    brought = []
    for path in map(Path, files):
        brought.append(folder / f"client-{number}{path.suffix}")
        brought[-1].write_bytes(path.read_bytes())
    midi, wav = brought
    found = [
        *(Question("sample", (name, 0.8, seed + 10)) for name in (MELODY, LONG_MELODY, DRUMS)),
        Question("interpolate", (MELODY, *melodies, 5, 0.5, seed)),
        Question("reconstruct", (MELODY, melodies[1], 0.5, seed)),
        Question("humanize", (HUMANIZE, beat, True, 1.0, 0.5, seed)),
        Question("arrange", (BAND, "C Am F G", 4, None, None, None, None, {}, 100 + number, 0.5, seed)),
        *(Question("render", (clip, 90 + number, number)) for clip in melodies),
        Question("perform", (PIANO, midi, None, 0, midi, "infer", None, None, 4, 1.0, 0.95, seed)),
        Question("perform", (FREE_PIANO, None, None, 0, None, "infer", None, None, 4, 1.0, 0.95, seed)),
        Question("vocode", (VOCODER, wav, "6", 0, 1, seed, 0, 1)),
    ]
    if levels:
        found.append(Question("jukebox", (JUKEBOX, "", "", "", 3, seed, None, None, None, levels)))
    return found


@dataclass
class Count:
    """What came of one endpoint."""

    seconds: list[float] = field(default_factory=list)
    busy: int = 0
    errors: list[str] = field(default_factory=list)
    mismatches: int = 0


class Load:
    """Clients that ask for some time; each knows the answers that it has to get."""

    def __init__(self, studio: Studio, folder: Path, known: list[dict[Question, str]], seconds: float):
        self.studio, self.known = studio, known
        self.clients = [studio.client(folder) for _ in known]
        self.counts = {name: Count() for name in SHARES}
        self.memory: list[tuple[float, float]] = []
        self.seconds = seconds
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Lets all models be loaded: what is measured afterwards is what grows with use."""
        for question in self.known[0]:
            question.ask(self.clients[0])

    def run(self) -> None:
        """Asks until the time is over; `seconds` then says how long it took to the last answer."""
        self._began = time.monotonic()
        self._ends = self._began + self.seconds
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(len(self.known))]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.memory.append((time.monotonic() - self._began, self.studio.memory_mb))
            time.sleep(SAMPLE_SECONDS)
        self.seconds = time.monotonic() - self._began

    def _ask(self, number: int) -> None:
        chance, known, client = random.Random(number), self.known[number], self.clients[number]
        by_endpoint: dict[str, list[Question]] = {}
        for question in known:
            by_endpoint.setdefault(question.endpoint, []).append(question)
        shares = [SHARES[name] for name in by_endpoint]
        while time.monotonic() < self._ends:
            endpoint = chance.choices(list(by_endpoint), shares)[0]
            question = chance.choice(by_endpoint[endpoint])
            self._count(question, client, known[question])

    def _count(self, question: Question, client: Client, expected: str) -> None:
        count, began, answer, error = self.counts[question.endpoint], time.monotonic(), None, None
        try:
            answer = question.ask(client)
        except Exception as raised:  # whatever a client raises is what is counted
            error = str(raised)
        seconds = time.monotonic() - began
        with self._lock:
            if error is None:
                count.seconds.append(seconds)
                count.mismatches += answer != expected
            elif error.startswith("Busy") and "position" in error:
                count.busy += 1
            else:
                count.errors.append(error)
        if error is not None:
            time.sleep(PAUSE_WHEN_BUSY_SECONDS)

    def memory_mean(self, begin: float, end: float) -> float:
        """MB, from one second to another."""
        return statistics.mean(megabytes for second, megabytes in self.memory if begin <= second <= end)


def table(load: Load) -> str:
    """In Markdown, a line for each endpoint."""
    lines = [
        "| action | calls | median, s | p95, s | busy | errors | mismatches |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, count in load.counts.items():
        times = sorted(count.seconds)
        if times or count.busy or count.errors:
            middle = f"{statistics.median(times):.2f}" if times else "-"
            late = f"{times[math.ceil(0.95 * len(times)) - 1]:.2f}" if times else "-"
            figures = (len(times), middle, late, count.busy, len(count.errors), count.mismatches)
            lines.append(f"| /{name} | {' | '.join(map(str, figures))} |")
    return "\n".join(lines)


def memory_table(load: Load) -> str:
    """In Markdown, means of each minute."""
    minutes = [
        f"{load.memory_mean(begin, begin + 60):.0f}"
        for begin in range(0, int(load.memory[-1][0]), 60)
        if load.memory[-1][0] - begin > 30
    ]
    return f"| minute | {' | '.join(map(str, range(1, len(minutes) + 1)))} |\n|{' --- |' * (len(minutes) + 1)}\n" + (
        f"| memory of the server, MB | {' | '.join(minutes)} |"
    )


def main() -> None:
    parser = common_arguments("The Studio with several clients at once: answers, waiting, errors, memory.")
    parser.add_argument("--clients", type=int, default=8, help="that ask in parallel")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long")
    parser.add_argument("--levels", type=int, default=1, help="of the Jukebox's songs; 0: none is asked for")
    parser.add_argument("--answers", action="store_true", help="let the Studio give answers again that it gave before")
    parser.add_argument("--studio", type=Path, default=STUDIO, help="folder of the Studio")
    parser.add_argument("--models", type=Path, default=None, help="folder of model folders (default: the bundled models)")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(arguments.studio, arguments.models, arguments.answers) as studio:
            alone = studio.client(folder)
            known = [
                {question: question.ask(alone) for question in questions(alone, number, folder, arguments.levels)}
                for number in range(arguments.clients)
            ]
            alone_mb = studio.memory_mb
        with running(arguments.studio, arguments.models, arguments.answers) as studio:
            load = Load(studio, folder, known, 60 * arguments.minutes)
            load.warm_up()
            load.run()

    counts = load.counts.values()
    calls, errors = sum(len(count.seconds) for count in counts), [error for count in counts for error in count.errors]
    mismatches, end = sum(count.mismatches for count in counts), load.memory[-1][0]
    growth = load.memory_mean(end - 60, end) / load.memory_mean(60, 120) if end > 150 else None
    rows = [
        Row("answers", "1/s", calls / load.seconds),
        Row("busy answers", "", sum(count.busy for count in counts)),
        Row("errors", "", len(errors), limit="none", met=not errors),
        Row("answers that are not those given alone", "", mismatches, limit="none", met=not mismatches),
    ]
    if growth:
        text = f"at most {MAX_GROWTH:g}"
        rows.append(Row("memory, last minute over second minute", "", growth, limit=text, met=growth <= MAX_GROWTH))
    title = f"Studio under load: {arguments.clients} clients, {load.seconds:.0f} s, answers kept: {arguments.answers}"
    details = {
        "memory": load.memory,
        "memory_alone_mb": alone_mb,
        "endpoints": {name: vars(count) for name, count in load.counts.items()},
    }
    report(title, rows, details, arguments.json)
    print(f"\n{table(load)}\n\n{memory_table(load)}")
    for error in sorted(set(errors))[:10]:
        print(f"error: {error}")


if __name__ == "__main__":
    main()

"""What the benchmarks share: timing, running a peer in its own environment, and the table that each prints."""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PEERS = Path(__file__).resolve().parent / "peers"
# Peers run on the CPU and say nothing but their answer.
PEER_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        measurement: what was measured.
        unit: of `ours` and `peer`.
        ours, peer: the two figures; `peer` is None where there is none.
        peer_name: what `peer` is.
        limit: what must hold, in words; empty where nothing must.
        met: whether it holds; None where it cannot be said.
    """

    measurement: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    limit: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's."""
        return self.ours / self.peer if self.peer else None


def time_in_turn(functions: dict[str, Callable[[], Any]], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Wall-clock seconds of every call. The functions take turns, so that whatever else the machine does slows all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(-warm_up, repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(values: list[float]) -> dict[str, Any]:
    """Median, least and all of some repeated measurements."""
    return {"median": statistics.median(values), "least": min(values), "all": values}


def run_peer(python: str, script: str, *arguments: object, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Runs `peers/<script>` in the peer's own environment; it prints one JSON object as its last line.

    Raises:
        SystemExit: it failed; the message is the end of what it said.
    """
    command = [python, str(PEERS / script), *map(str, arguments)]
    # A PYTHONPATH is for our environment.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        command, capture_output=True, text=True, env={**own, **PEER_ENVIRONMENT, **(environment or {})}
    )
    if finished.returncode:
        sys.exit(f"The peer failed: {' '.join(command)}\n{finished.stderr[-2000:]}")
    return json.loads(finished.stdout.strip().splitlines()[-1])


class Peer:
    """A peer that stays, so that the two sides can take turns: it reads one JSON object per line and answers with one.

    Args:
        python (`str`): of the peer's environment.
        script (`str`): its name in `peers`.
        arguments: of the script.
        environment (`dict[str, str]`, *optional*): variables for it.
    """

    def __init__(self, python: str, script: str, *arguments: object, environment: dict[str, str] | None = None):
        self.command = [python, str(PEERS / script), *map(str, arguments)]
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the peer
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env={**own, **PEER_ENVIRONMENT, **(environment or {})},
        )

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *error: object):
        self.process.stdin.close()
        self.process.wait()
        self.said.close()

    def ask(self, **question: object) -> dict[str, Any]:
        """Its answer.

        Raises:
            SystemExit: it failed; the message is the end of what it said.
        """
        with contextlib.suppress(BrokenPipeError):  # it has ended already; then it does not answer
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.said.seek(0)
            sys.exit(f"The peer failed: {' '.join(self.command)}\n{self.said.read()[-2000:]}")
        return json.loads(answer)


def common_arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    return parser


def report(title: str, rows: list[Row], details: dict[str, Any], json_file: Path | None, as_markdown: bool = False) -> None:
    """Prints the table, once more in Markdown if asked for, and writes everything to `json_file` if given."""
    print(f"\n{title}\n{machine()}\n")
    header = ["", "unit", "ours", "peer", "ratio", "limit", "met", "the peer"]
    verdict = {True: "yes", False: "NO", None: ""}
    lines = [
        [
            row.measurement,
            row.unit,
            _number(row.ours),
            _number(row.peer),
            _number(row.ratio),
            row.limit,
            verdict[row.met],
            row.peer_name,
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    for line in (header, ["-" * width for width in widths], *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if as_markdown:
        print(f"\n{markdown(rows)}")
    if json_file:
        content = {
            "title": title,
            "machine": machine(),
            "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
            "details": details,
        }
        json_file.write_text(json.dumps(content, indent=2) + "\n")


def markdown(rows: list[Row]) -> str:
    """The table as the README has it."""
    lines = ["| | ours | peer | ratio |", "| --- | --- | --- | --- |"]
    for row in rows:
        verdict = "" if row.met is None else ": met" if row.met else ": missed"
        ratio = ", ".join(part for part in (_number(row.ratio) if row.peer else "", row.limit) if part) + verdict
        peer = f"{_number(row.peer)}, {row.peer_name}" if row.peer else ""
        lines.append(f"| {row.measurement}, {row.unit} | {_number(row.ours)} | {peer} | {ratio} |")
    return "\n".join(lines)


def machine() -> str:
    """Processor, cores that this process may use, and how busy they are: a loaded machine measures nothing."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores{load}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"

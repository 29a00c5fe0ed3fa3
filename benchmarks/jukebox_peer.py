"""What the Jukebox benchmarks share: the two sides' folder, and transformers 4 in a process of its own."""

import contextlib
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from reporting import Peer, common_arguments

# Found in the folder, they would only be asked for what is not there.
OFFLINE = {"HF_HUB_OFFLINE": "1", "USE_TF": "0", "USE_FLAX": "0", "TQDM_DISABLE": "1"}


def jukebox_arguments(description: str) -> ArgumentParser:
    """A parser with the options that both have."""
    parser = common_arguments(description)
    text = "a folder with peers/requirements-transformers4.txt, made by python -m tests.jukebox.transformers4"
    parser.add_argument("--peer-folder", default=None, help=text)
    parser.add_argument("--threads", type=int, nargs="+", default=[2], help="numbers of threads to measure")
    parser.add_argument("--markdown", action="store_true", help="print the table once more, for the README")
    return parser


def write_model(model: torch.nn.Module, settings: dict[str, Any], inputs: dict[str, Any], folder: Path) -> None:
    """What the peer reads: `settings` as transformers 4 names them, weights, which have its names, and inputs."""
    (folder / "config.json").write_text(json.dumps(settings))
    unsaved = model._keys_to_ignore_on_save or ()
    weights = {name: weight for name, weight in model.state_dict().items() if name not in unsaved}
    torch.save(weights, folder / "weights.pt")
    torch.save(inputs, folder / "inputs.pt")


@contextlib.contextmanager
def transformers4(peer_folder: str | None, folder: Path) -> Iterator[Peer | None]:
    """The peer with the model in `folder`; `None` without a `peer_folder`."""
    if peer_folder is None:
        yield None
        return
    environment = {"PYTHONPATH": peer_folder, **OFFLINE}
    with Peer(sys.executable, "jukebox.py", folder, environment=environment) as peer:
        yield peer


def peer_name(peer: Peer) -> str:
    """With its versions."""
    versions = peer.ask(do="version")
    return f"transformers {versions['transformers']}, torch {versions['torch'].partition('+')[0]}"

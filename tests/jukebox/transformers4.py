"""transformers 4, which still had Jukebox, in a folder of its own beside what is installed.

    python -m tests.jukebox.transformers4

installs it there. It shares torch and the rest with the environment that runs the tests.
"""

import os
import subprocess
import sys
from pathlib import Path

PACKAGES = ("transformers==4.57.3", "huggingface_hub==0.36.2", "tokenizers==0.22.2")
#: Where the folder is, in place of the user's cache.
FOLDER_VARIABLE = "ENCORE_TRANSFORMERS4"
WORKER = Path(__file__).with_name("transformers4_worker.py")
INSTALL_SECONDS, RUN_SECONDS = 300, 300


class NotInstallableError(RuntimeError):
    """transformers 4 cannot be had here; the message says why, in one line."""


def folder() -> Path:
    """Where transformers 4 is, or is to be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(FOLDER_VARIABLE) or cache / "encore" / "-".join(PACKAGES).replace("==", "-"))


def install() -> Path:
    """Installs transformers 4 where it is not there yet.

    Raises:
        NotInstallableError: it cannot be installed, or does not run with what else is installed.
    """
    target = folder()
    complete = target / "complete"
    if complete.exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    command = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--retries=1",
        "--no-deps",
        "--upgrade",
        "--target",
        str(target),
        *PACKAGES,
    ]
    _run(command, {}, INSTALL_SECONDS, "cannot be installed")
    _run(["-c", "from transformers import JukeboxModel"], environment(target), RUN_SECONDS, "does not run here")
    complete.touch()
    return target


def run(output: Path) -> None:
    """Has transformers 4 build models and compute in `output`, see the worker."""
    _run([str(WORKER), str(output)], environment(install()), RUN_SECONDS, "failed")


def environment(target: Path) -> dict[str, str]:
    """Variables with which Python finds transformers 4 first."""
    quiet = {"TQDM_DISABLE": "1", "USE_TF": "0", "USE_FLAX": "0", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return {**quiet, "PYTHONPATH": str(target)}


def _run(arguments: list[str], variables: dict[str, str], seconds: int, failure: str) -> None:
    try:
        finished = subprocess.run(
            [sys.executable, *arguments], env={**os.environ, **variables}, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise NotInstallableError(f"{PACKAGES[0]} {failure}: it took more than {seconds} s") from None
    if finished.returncode:
        said = (finished.stderr.strip() or "it said nothing").splitlines()
        raise NotInstallableError(f"{PACKAGES[0]} {failure}: {said[-1]}")


if __name__ == "__main__":
    print(f"{PACKAGES[0]} is in {install()}")

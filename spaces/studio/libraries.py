"""The libraries of the models, imported by one thread, once, before anything that needs them runs.

They take seconds to import, so the page opens without them. Threads that import them at the same time find halves of them:
transformers fills its modules in when a name is first asked for, and Python lets a thread that would wait for ever for
another's import go on with what is there.
"""

from __future__ import annotations

import threading
from importlib import import_module

MODULES = (
    "torch",
    "transformers",
    "hub_models.music_vae",
    "hub_models.transformer_autoencoder",
    "hub_models.jukebox",
    "hub_models.wavegrad.pipeline_wavegrad",  # diffusers
)
_lock = threading.Lock()
_loaded = threading.Event()


def load() -> None:
    """Imports them, or waits until another thread has."""
    if _loaded.is_set():
        return
    with _lock:
        for name in MODULES:
            import_module(name)
        _loaded.set()


def load_soon() -> None:
    """Begins to, and does not wait."""
    threading.Thread(target=load, name="libraries", daemon=True).start()

"""ZeroGPU: a Space on such hardware must say which of its actions ask for a GPU, with the decorator of the package `spaces`.

That package is there on Spaces alone. Where it is missing nothing changes, and where it is there on other hardware its
decorator gives back the action as it was. On ZeroGPU an action that asks for a GPU runs in a process of its own, forked for
it: what it loads or changes is gone with it, and a button on the page cannot stop it. So it is put on what is done whole:
the named endpoints that run models. What the page does step by step stays in the Space's own process.

What is tested is that the decorator is put on these and no others, and that all goes as before without it. Not tested, for
want of such hardware: the Space on ZeroGPU itself. The models compute where they are loaded, on the CPU; nothing moves them.
"""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from actions import LIMITS, RENDER_QUEUE

if TYPE_CHECKING:
    import gradio as gr

SECONDS = 60
LONG_SECONDS = {"jukebox": 120, "compose": 120, "develop": 120, "vocode": 120, "perform": 120}


def ask_for_gpu(page: gr.Blocks) -> list[str]:
    """Puts the decorator on the endpoints of a page that run models; gives their names, none where there is no `spaces`."""
    package = _package()
    if package is None:
        return []
    asking = [function for function in page.fns.values() if _runs_a_model(function)]
    for function in asking:
        function.fn = package.GPU(duration=LONG_SECONDS.get(function.api_name, SECONDS))(function.fn)
    return [function.api_name for function in asking]


def _package() -> Any:
    """The package; None where it is not installed. A folder called `spaces`, such as that of this repository, is none."""
    try:
        package = importlib.import_module("spaces")
    except ImportError:
        return None
    return package if hasattr(package, "GPU") else None


def _runs_a_model(function: Any) -> bool:
    is_named = function.api_visibility == "public" and function.fn is not None
    in_line = function.concurrency_id in LIMITS and function.concurrency_id != RENDER_QUEUE["concurrency_id"]
    return is_named and in_line and not inspect.isgeneratorfunction(function.fn)

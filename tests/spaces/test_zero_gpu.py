"""The decorator of ZeroGPU: on what runs a model whole, where there is the package; else nothing changes."""

import os
import subprocess
import sys

import pytest

from .conftest import CHECKOUT, STUDIO

# As the package does it on other hardware, and notes what it was asked.
FAKE = """
asked = {}
def GPU(task=None, *, duration=None, size=None):
    def decorate(function):
        asked[function.__name__] = duration
        return function
    return decorate if task is None else decorate(task)
"""
SCRIPT = """
import sys, json, app
page = app.build(sys.argv[1])
package = sys.modules.get("spaces")
print(json.dumps(getattr(package, "asked", None)))
print(json.dumps(sorted(function.api_name for function in page.fns.values() if function.api_visibility == "public")))
"""


def build(tiny_folder, *folders):
    """Builds the page in a process of its own; gives what the package was asked, and the named endpoints."""
    import json

    path = os.pathsep.join(map(str, (CHECKOUT, STUDIO, *folders)))
    command = [sys.executable, "-c", SCRIPT, str(tiny_folder)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(line) for line in done.stdout.splitlines()[-2:])


def test_what_runs_models_asks_for_a_gpu(tiny_folder, tmp_path):
    (tmp_path / "spaces.py").write_text(FAKE)
    asked, named = build(tiny_folder, tmp_path)
    assert {"sample", "interpolate", "arrange", "perform", "vocode", "jukebox"} <= set(asked)
    assert set(asked) <= set(named)
    assert not {"models", "render", "taps"} & set(asked)
    assert all(0 < seconds <= 120 for seconds in asked.values())


@pytest.mark.parametrize("package", [None, "raise ImportError('no')", "", "VERSION = 1"])
def test_without_the_package_nothing_changes(tiny_folder, tmp_path, package):
    if package is not None:
        (tmp_path / "spaces.py").write_text(package)
    asked, named = build(tiny_folder, tmp_path)
    assert asked is None
    assert "sample" in named

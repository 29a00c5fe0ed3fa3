"""The libraries of the models: no thread finds half of them, however many want them at once, and all are there."""

import subprocess
import sys

from .conftest import CHECKOUT, STUDIO

EVERYBODY_AT_ONCE = """
import sys, threading, libraries
failed, begin = [], threading.Barrier(4)
def want(module, name):
    begin.wait()
    try:
        libraries.load()
        getattr(__import__(module, fromlist=[name]), name)
    except Exception as error:
        failed.append(repr(error))
wanted = [("transformers", "AutoConfig"), ("hub_models", "MusicVAEModel")]
wanted += [("hub_models", "WaveGradPipeline"), ("diffusers", "DDPMPipeline")]
threads = [threading.Thread(target=want, args=each) for each in wanted]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
before = set(sys.modules)
import hub_models.music_vae, hub_models.transformer_autoencoder, hub_models.jukebox
from hub_models import WaveGradPipeline
later = [name for name in set(sys.modules) - before if name.split(".")[0] in ("torch", "transformers", "diffusers")]
assert not later, later
"""


def test_all_who_want_them_at_once_find_all_of_them():
    paths = f"import sys; sys.path[:0] = [{str(STUDIO)!r}, {str(CHECKOUT)!r}]\n"
    done = subprocess.run([sys.executable, "-c", paths + EVERYBODY_AT_ONCE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_page_opens_without_them():
    check = (
        f"import sys; sys.path[:0] = [{str(STUDIO)!r}, {str(CHECKOUT)!r}]\n"
        "import app; app.build()\n"
        "assert not {'torch', 'diffusers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

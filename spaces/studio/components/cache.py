"""Files for the page, in Gradio's cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gradio.processing_utils import hash_bytes


def save(data: bytes, name: str, folder: str) -> str:
    """Puts file contents under a name into the cache `folder`; gives the path.

    The same contents are the same file, which may be on its way to somebody, so it is written once, and whole.
    """
    path = Path(folder) / hash_bytes(data) / Path(name).name
    path.parent.mkdir(exist_ok=True, parents=True)
    if path.is_file():
        os.utime(path)  # what is in use is not deleted for its age
    else:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    return str(path.resolve())

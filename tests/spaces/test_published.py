"""The Space as the Hub gives it back: the bytes that were published, and a Studio that runs on them alone.

Here with the Python of the tests, for speed; `python -m tests.spaces.published` installs its requirements as a Space does.
"""

import re
import sys

import pytest

from hub_models.hub.spaces import check_space, requirements

from . import pages, published
from .conftest import CHECKOUT, STUDIO

sys.path.insert(0, str(CHECKOUT / "tests" / "hub"))

from hub_server import HubServer


@pytest.mark.skipif(pages.CHROMIUM is None, reason="chromium is not installed")
def test_a_space_that_was_downloaded_runs_by_itself(tmp_path, browser):
    home, folder = tmp_path / "home", tmp_path / "space"
    home.mkdir()
    with HubServer() as hub:
        published.publish(hub.url, home)
        files = published.download(hub.url, home, folder)
        assert files == hub.repositories["spaces", published.SPACE].files()
    assert check_space(folder) == []
    assert files["requirements.txt"].decode().splitlines() == requirements()
    with published.running(sys.executable, folder, home) as address:
        page = browser.new_page()
        errors, outside = [], []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: outside.append(request.url))
        published.click_through(page, address)
        page.close()
        assert errors == []
        assert [url for url in outside if not url.startswith((address, "data:", "blob:"))] == []


def test_readme_and_requirements_name_the_same_gradio():
    """A Space installs the one and then the other."""
    version = re.search(r"^sdk_version: (\S+)$", (STUDIO / "README.md").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    (line,) = (line for line in requirements() if line.startswith("gradio"))
    least = re.search(r">=([\d.]+)", line).group(1)
    assert version.split(".")[:2] == least.split(".")[:2]


def test_no_package_of_the_system_is_needed():
    """Its wheels bring their libraries along: libsndfile in soundfile, the synthesiser in symusic. No ffmpeg is called."""
    assert not (STUDIO / "packages.txt").exists()
    sources = [path.read_text(encoding="utf-8") for path in STUDIO.rglob("*.py")]
    assert not [source for source in sources if "import subprocess" in source or "gr.Audio(" in source]

"""What a page must be like for everybody: text and controls that stand out, focus that is seen, and nothing that jumps."""

from pathlib import Path

SCRIPT = (Path(__file__).parent / "manners.js").read_text(encoding="utf-8")


class Manners:
    """Looks at a page; every look gives what is not as it should be."""

    def __init__(self, page):
        self._page = page
        page.evaluate(SCRIPT)

    def settle(self):
        """Waits until nothing has been put into the page or taken out of it for a while."""
        self._page.evaluate("window.manners.quiet()")

    def contrasts(self):
        return self._page.evaluate("window.manners.contrasts()")

    def focusless(self):
        """Moves the focus through all controls."""
        return self._page.evaluate("window.manners.focusless()")

    def shifts(self):
        """What has moved by itself since the page was opened, or since `forget`."""
        return self._page.evaluate("window.manners.shifts()")

    def forget(self):
        self._page.evaluate("window.manners.forget()")

"""What tests of the page in a browser have in common: how to open it, press, choose and look."""

import os
import shutil
from pathlib import Path

CHROMIUM = shutil.which("chromium")
PATIENCE = 120_000  # milliseconds; the first action loads torch
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]


def number_of_notes(page, selector):
    return page.locator(f"{selector} .note").count()


def picture(page, name):
    folder = os.environ.get("ENCORE_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(600)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def choose(page, dropdown, option):
    page.click(f"{dropdown} input")
    page.get_by_role("option", name=option, exact=True).click()


def open_tab(page, name, wait_for):
    page.locator("#tabs").get_by_role("tab", name=name, exact=True).first.click()
    page.wait_for_selector(wait_for)


def send_to(page, menu, title):
    """Takes a result to another tab, by its menu "Send to..."; gives what the menu said is done to it there."""
    page.locator(f"{menu} .opens-menu:enabled").click()
    item = page.get_by_role("menuitem").filter(has=page.locator("b").get_by_text(title, exact=True))
    text = item.locator("small").inner_text()
    item.click()
    return text


def title_of(page, selector):
    return page.locator(f"{selector} .title")


CONTROLS = 'button, input, select, textarea, a[href], [role=button], [role=slider], [tabindex="0"]'
NAMELESS = """(controls) => [...document.querySelectorAll(controls)]
  .filter((e) => e.offsetParent !== null && e.type !== 'file')
  .filter((e) => !(e.innerText?.trim() || e.getAttribute('aria-label') || e.title || (e.labels && e.labels.length)
                   || e.getAttribute('aria-labelledby') || e.closest('label')))
  .map((e) => e.outerHTML.slice(0, 120))"""


def check_layout(page, width):
    """Nothing wider than the window; every control has a name."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(NAMELESS, CONTROLS) == []

"""The page in a real browser: a MIDI file goes in, is morphed, heard and taken out again, and nothing leaves the machine.

With ENCORE_SCREENSHOTS=FOLDER, pictures of the page are put there: phone and desktop, light and dark.
"""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from hub_models import audio, midi

CHROMIUM = shutil.which("chromium")
PATIENCE = 30_000  # milliseconds
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, studio):
    """Opens the page; afterwards checks that it asked nobody else for anything and raised nothing."""
    contexts, outside, errors = [], [], []

    def open_page(width=1440, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: outside.append(request.url) if _leaves(request.url, studio) else None)
        page.on("websocket", lambda socket: outside.append(socket.url) if "127.0.0.1" not in socket.url else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{studio}/?__theme={scheme}")
        page.wait_for_selector("#clip-a .note")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert outside == []
    assert errors == []


def _leaves(url, studio):
    return not url.startswith((studio, "data:", "blob:"))


def number_of_notes(page, selector):
    return page.locator(f"{selector} .note").count()


def upload(page, letter, path):
    with page.expect_file_chooser() as chooser:
        page.click(f"#upload-{letter}")
    chooser.value.set_files(str(path))


def picture(page, name):
    folder = os.environ.get("ENCORE_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(600)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_upload_sample_morph_and_download(open_page, tune, tmp_path):
    page = open_page()
    upload(page, "a", tune)
    expect(page.locator("#report-a")).to_contain_text("Found", timeout=PATIENCE)
    expect(page.locator("#report-a")).to_contain_text("3/4")
    expect(page.locator("#clip-a .title")).to_contain_text("Flute")
    before = page.locator("#clip-b .title").inner_text()
    page.click("#sample-b")
    expect(page.locator("#clip-b .title")).to_contain_text("Sample", timeout=PATIENCE)
    assert page.locator("#clip-b .title").inner_text() != before

    page.click("#morph")
    page.wait_for_selector("#result .note")
    assert number_of_notes(page, "#result") > 0
    assert "notes" in page.locator("#result svg.roll").get_attribute("aria-label")
    page.wait_for_function("document.querySelector('#result audio').duration > 0")
    assert page.evaluate("document.querySelector('#result audio').duration") == pytest.approx(32.5, abs=0.1)

    for kind in ("midi", "wav"):
        with page.expect_download() as download:
            page.click(f"#result a.{kind}")
        download.value.save_as(tmp_path / download.value.suggested_filename)
        if kind == "midi":
            music = midi.load(tmp_path / download.value.suggested_filename)
            assert sum(len(instrument.notes) for instrument in music.instruments) == number_of_notes(page, "#result")
        else:
            sound, sample_rate = audio.load(tmp_path / download.value.suggested_filename)
            assert sound.shape[1] / sample_rate == pytest.approx(32.5, abs=0.1)

    page.click("#result .play")
    page.wait_for_function("document.querySelector('#result audio').currentTime > 0.2")
    assert page.locator("#result .playhead").is_visible()
    page.get_by_role("button", name="Use as A", exact=True).click()
    expect(page.locator("#window-a")).to_be_visible(timeout=PATIENCE)


def test_the_pad_plays_without_the_server(open_page):
    page = open_page()
    page.get_by_role("tab", name="Pad").click()
    page.click("#compute-pad")
    page.wait_for_selector("#pad .cell.now")
    assert page.locator("#pad .cell").count() == 49
    page.get_by_role("button", name="Corners C and D").click()
    page.wait_for_selector("#clip-d .note")  # empty corners are sampled
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    box = page.locator("#pad .cells").bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    page.wait_for_selector("#pad [data-step], #pad[data-step]", state="attached")
    first = page.locator("#pad [role=slider]").get_attribute("aria-valuetext")
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
    page.mouse.up()
    last = page.locator("#pad [role=slider]").get_attribute("aria-valuetext")
    assert first.startswith("Row 1, column 1 of 7")
    assert last.startswith("Row 7, column 7 of 7")
    page.keyboard.press("ArrowUp")
    assert page.locator("#pad [role=slider]").get_attribute("aria-valuetext").startswith("Row 6, column 7")
    assert page.locator("#pad [role=slider]").get_attribute("aria-valuenow") == "42"
    assert not [url for url in requests if "/gradio_api/" in url and "heartbeat" not in url]
    page.keyboard.press("Enter")
    page.wait_for_selector("#result .note")
    expect(page.locator("#result .title")).to_contain_text("row 6, column 7")


def test_errors_are_sentences(open_page, tmp_path):
    page = open_page()
    bad = tmp_path / "picture.mid"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    upload(page, "a", bad)
    toast = page.locator(".toast-body, [data-testid=toast-body]").first
    expect(toast).to_contain_text("MIDI", timeout=PATIENCE)
    assert "Traceback" not in toast.inner_text()
    assert "/tmp" not in toast.inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_readable_at_every_width(open_page, width, scheme):
    """Nothing wider than the window, every control has a name; and the pictures."""
    page = open_page(width, scheme)
    picture(page, f"{width}-{scheme}-start")
    page.click("#morph")
    page.wait_for_selector("#result .note")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea, a[href]')]
          .filter((e) => e.offsetParent !== null && e.type !== 'file')
          .filter((e) => !(e.innerText.trim() || e.getAttribute('aria-label') || e.title || (e.labels && e.labels.length)
                           || e.getAttribute('aria-labelledby') || e.closest('label')))
          .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    picture(page, f"{width}-{scheme}-morph")
    page.get_by_role("tab", name="Pad").click()
    page.click("#compute-pad")
    page.wait_for_selector("#pad .cell.now")
    picture(page, f"{width}-{scheme}-pad")

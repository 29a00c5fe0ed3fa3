"""The editor of the piano roll, as hands, fingers and keys work on it, and what the server gets of it."""

import json
import re

import pytest
from playwright.sync_api import expect

from . import pages, roll_page

pytestmark = pytest.mark.skipif(pages.CHROMIUM is None, reason="chromium is not installed")
DRUM_ROW = 28  # pixels


@pytest.fixture(scope="module")
def rolls():
    page, address = roll_page.launch()
    yield address
    page.close()


@pytest.fixture
def open_rolls(browser, rolls):
    """Opens the page of rolls; nothing may go wrong in it."""
    contexts, errors = [], []

    def open_rolls(width=1440, touch=False):
        context = browser.new_context(viewport={"width": width, "height": 1000}, has_touch=touch, is_mobile=touch)
        context.set_default_timeout(pages.PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(rolls)
        page.wait_for_selector("#trio .note")
        return page

    yield open_rolls
    for context in contexts:
        context.close()
    assert errors == []


def edit(page, roll):
    page.click(f"{roll} .edit")
    expect(page.locator(f"{roll} .editing")).to_be_visible()
    page.wait_for_function(f"document.querySelector('{roll} svg.roll .ruler')")


# What a finger has set going may roll on: again and again, until it has been still for a while.
SCROLLED_BACK = """() => { const place = document.querySelector('#drums .scroller');
  if (place.scrollLeft) { place.scrollLeft = 0; window.stillSince = performance.now(); }
  return performance.now() - (window.stillSince ??= performance.now()) > 300; }"""


class Paper:
    """Where things are on a roll that is edited: beats to the right, rows counted downwards from a note that is there."""

    def __init__(self, page, roll, note=0, beats=8.0, start=0.0):
        self.page, self.drawing = page, page.locator(f"{roll} svg.roll")
        self.drawing.scroll_into_view_if_needed()
        self.beat = self.drawing.bounding_box()["width"] / beats
        box = page.locator(f"{roll} .note").nth(note).bounding_box()
        self.left, self.middle = box["x"] - start * self.beat, box["y"] + box["height"] / 2
        lane = page.locator(f"{roll} .lane")
        self.row = float(lane.first.get_attribute("height")) if lane.count() else DRUM_ROW

    def at(self, beat, down):
        return self.left + beat * self.beat, self.middle + down * self.row

    def click(self, beat, down, **options):
        self.page.mouse.click(*self.at(beat, down), **options)

    def drag(self, start, end, *keys):
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        x, y = self.at(*end)
        self.page.mouse.move((self.at(*start)[0] + x) / 2, y)
        self.page.mouse.move(x, y)
        self.page.mouse.up()
        for key in keys:
            self.page.keyboard.up(key)


def has(page, roll, **state):
    """Waits until the roll shows so many notes, or so many of them selected."""
    for name, value in state.items():
        expect(page.locator(f"{roll} [data-mode=edit]")).to_have_attribute(f"data-{name}", str(value))


def finish(page, roll):
    """Presses Done; what the handler was given."""
    page.locator("#got textarea").evaluate("(box) => { box.dataset.before = box.value; }")
    page.click(f"{roll} .done")
    page.wait_for_function("(box) => box.value !== box.dataset.before", arg=page.query_selector("#got textarea"))
    got = json.loads(page.locator("#got textarea").input_value())
    assert [list(map(float, note)) for note in got["event"]["notes"]] == got["notes"]
    return got


def test_a_melody_is_edited_with_the_mouse(open_rolls):
    page = open_rolls()
    edit(page, "#melody")
    paper, status = Paper(page, "#melody"), page.locator("#melody .status")
    # The notes: C4 (0-1), E4 (1-1.5), G4 (2-4). A D4, two rows above the C, where nothing is.
    paper.click(4.1, -2)
    has(page, "#melody", notes=4, selected=1)
    expect(status).to_have_text("D4, bar 2, beat 1, 0.25 beats long, velocity 90")
    paper.drag((4.24, -2), (4.99, -2))
    expect(status).to_have_text("D4, bar 2, beat 1, 1 beat long, velocity 90")
    paper.click(6.6, -2)  # as long as the last one
    expect(status).to_have_text("D4, bar 2, beat 3.5, 1 beat long, velocity 90")
    paper.drag((1.2, -4), (1.7, -5))
    expect(status).to_have_text("F4, bar 1, beat 2.5, 0.5 beats long, velocity 90")
    paper.drag((1.6, -5), (1.6, -3), "Alt")
    expect(status).to_contain_text("F4, bar 1, beat 2.5")
    assert int(re.search(r"velocity (\d+)", status.inner_text())[1]) < 80
    paper.click(3, -7)
    paper.click(3, -7)
    has(page, "#melody", notes=4)
    page.click("#melody .undo")
    has(page, "#melody", notes=5)
    page.click("#melody .undo")
    expect(status).to_contain_text("velocity 90")
    page.keyboard.press("Control+y")
    expect(status).not_to_contain_text("velocity 90")
    # Two with a box, one more with Shift; an octave up; then the slider for all of them.
    paper.drag((3.9, -4), (7.9, 0))
    has(page, "#melody", selected=2)
    page.keyboard.down("Shift")
    paper.click(0.5, 0)
    page.keyboard.up("Shift")
    has(page, "#melody", selected=3)
    page.keyboard.press("Shift+ArrowUp")
    page.locator("#melody .velocity").fill("33")
    has(page, "#melody", notes=5, selected=3)
    # What the server sends meanwhile waits.
    page.click("#renew")
    expect(page.locator("#melody .title")).to_have_text("Tune")
    got = finish(page, "#melody")
    velocity = got["notes"][1][3]
    assert got["notes"] == [
        [72, 0.0, 1.0, 33], [65, 1.5, 2.0, velocity], [67, 2.0, 4.0, 100], [74, 4.0, 5.0, 33], [74, 6.5, 7.5, 33]
    ]  # fmt: skip
    assert velocity < 80
    assert (got["name"], got["bars"], got["made_by"], got["tokens"]) == ("Tune, edited", 2, {"action": "edit"}, None)
    expect(page.locator("#melody .title")).to_have_text("Tune, edited")
    expect(page.locator("#melody .editing")).to_be_hidden()
    assert pages.number_of_notes(page, "#melody") == 5


def test_a_trio_is_edited_with_keys_alone(open_rolls):
    page = open_rolls()
    spoken, press = page.locator("#trio .spoken"), page.keyboard.press
    page.locator("#trio .edit").focus()
    press("Enter")
    expect(spoken).to_contain_text("Editing, 4 notes. Arrow keys move")
    place = page.locator("#trio .scroller")
    expect(place).to_be_focused()
    expect(place).to_have_attribute("role", "application")
    press("Enter")  # picks up the first note
    expect(spoken).to_have_text("Melody, C5, bar 1, beat 1, 1 beat long, velocity 80")
    press("ArrowUp")
    press("Shift+ArrowRight")
    press("]")
    press("Control+ArrowUp")
    expect(spoken).to_have_text("Melody, C♯5, bar 2, beat 1, 1.25 beats long, velocity 88")
    press("Enter")  # and puts it down
    expect(spoken).to_have_text("Nothing selected")
    press("Home")
    press("ArrowRight")
    expect(spoken).to_have_text("C♯5, bar 1, beat 1.25, empty")
    for _ in range(40):
        press("ArrowDown")
        if "Crash" in spoken.inner_text():
            break
    expect(spoken).to_have_text("Crash, bar 1, beat 1.25, empty")
    press("Enter")
    expect(spoken).to_have_text("Added Drums, Crash, bar 1, beat 1.25, velocity 80")
    press("Control+d")
    expect(spoken).to_have_text("Drums, Crash, bar 1, beat 1.5, velocity 80")
    press("Control+ArrowLeft")
    press("Delete")
    expect(spoken).to_have_text("Deleted Drums, Crash, bar 1, beat 1.25, velocity 80")
    # Leaving changes nothing, and what was done can be done again.
    press("Escape")
    expect(page.locator("#trio .edit")).to_be_focused()
    assert pages.number_of_notes(page, "#trio") == 4
    press("Enter")
    for _ in range(8):
        press("Control+Shift+z")
    has(page, "#trio", notes=5)
    page.locator("#trio .done").focus()
    got = finish(page, "#trio")
    assert got["trio"]
    assert sorted(got["notes"]) == [
        [36, 0.0, 0.25, 100, 2], [36, 0.0, 2.0, 80, 1], [49, 0.5, 0.75, 80, 2], [73, 4.0, 5.25, 88, 0], [74, 1.0, 2.0, 80, 0]
    ]  # fmt: skip


def test_a_hundred_steps_can_be_undone(open_rolls):
    page = open_rolls()
    edit(page, "#drums")
    page.keyboard.press("Control+a")
    press = """([keys, times]) => {
      const roll = document.querySelector('#drums .scroller');
      const press = (keys) => roll.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...keys }));
      for (let i = 0; i < times; i++) press(keys[i % keys.length]);
    }"""
    page.evaluate(press, [[{"key": "ArrowRight"}, {"key": "ArrowUp"}, {"key": "ArrowLeft"}, {"key": "ArrowDown"}], 100])
    page.evaluate(press, [[{"key": "z", "ctrlKey": True}], 99])
    expect(page.locator("#drums .undo")).to_be_enabled()
    page.keyboard.press("Control+z")
    expect(page.locator("#drums .undo")).to_be_disabled()
    expect(page.locator("#drums .redo")).to_be_enabled()
    page.click("#drums .done")  # nothing was changed: nothing is sent
    expect(page.locator("#drums .spoken")).to_have_text("Left, nothing was changed")
    assert page.locator("#got textarea").input_value() == ""


def test_fingers_on_a_phone(open_rolls):
    page = open_rolls(390, touch=True)
    edit(page, "#drums")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    touch = page.context.new_cdp_session(page)

    def drag(start, end, steps=8):
        (x, y), (to_x, to_y) = start, end
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for step in range(1, steps + 1):
            point = {"x": x + (to_x - x) * step / steps, "y": y + (to_y - y) * step / steps}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    # The first note is the kick: a tom two rows above it, then moved to the snare, and the kick to the next beat.
    paper = Paper(page, "#drums")
    page.touchscreen.tap(*paper.at(0.6, -2))
    has(page, "#drums", notes=4, selected=1)
    expect(page.locator("#drums .status")).to_contain_text("Low tom, bar 1, beat 1.5, velocity")
    drag(paper.at(0.6, -2), paper.at(1.6, -3))
    expect(page.locator("#drums .status")).to_contain_text("Mid tom, bar 1, beat 2.5, velocity")
    # A finger on an empty place scrolls and adds nothing.
    drag(paper.at(2.6, -2), paper.at(0.1, -2))
    page.wait_for_function("document.querySelector('#drums .scroller').scrollLeft > 20")
    has(page, "#drums", notes=4)
    page.wait_for_function(SCROLLED_BACK)
    page.click("#drums .several")
    paper = Paper(page, "#drums")
    drag(paper.at(1.95, -3.4), paper.at(0.3, 0.3))
    has(page, "#drums", selected=2)
    page.click("#drums .remove")
    has(page, "#drums", notes=2)
    got = finish(page, "#drums")
    assert sorted(got["notes"]) == [[36, 0.0, 0.25, 100], [42, 0.5, 0.75, 60]]


def test_it_zooms_where_one_looks_and_plays_what_is_edited(open_rolls):
    page = open_rolls()
    width = "document.querySelector('#trio svg.roll').getBoundingClientRect().width"
    before = page.evaluate(width)
    page.click("#trio .in")
    assert page.evaluate(width) == pytest.approx(1.5 * before, rel=0.01)
    page.evaluate("document.querySelector('#trio .scroller').scrollLeft = 300")
    box = page.locator("#trio .scroller").bounding_box()
    x = box["x"] + 500
    there = f"({x} - document.querySelector('#trio svg.roll').getBoundingClientRect().left) / ({width})"
    share = page.evaluate(there)
    page.mouse.move(x, box["y"] + 50)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function(f"{width} > {1.8 * before}")
    assert page.evaluate(there) == pytest.approx(share, abs=0.002)
    page.locator("#trio .scroller").focus()
    page.keyboard.press("-")
    page.keyboard.press("-")
    page.keyboard.press("-")
    page.wait_for_function(f"{width} <= {before * 1.01}")
    edit(page, "#trio")
    page.keyboard.press("Space")
    play = page.locator("#trio .play")
    expect(play).to_have_attribute("aria-label", "Pause Trio")
    page.wait_for_function("!document.querySelector('#trio .playhead').hidden")
    page.keyboard.press("Space")
    expect(play).to_have_attribute("aria-label", "Play Trio")

"""How the page behaves towards everybody: contrast, names, focus, nothing that jumps, and the keyboard shortcuts."""

import pytest
from playwright.sync_api import expect

from .manners import Manners
from .pages import CHROMIUM, CONTROLS, NAMELESS, number_of_notes, open_tab, title_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

TABS = "#tabs > .tab-wrapper [role=tablist] [role=tab]"
MOST_SHIFT = 0.02  # of the page, while it loads or a tab is opened; 0.1 counts as good
# Notes down what would be pressed, in place of pressing it.
CATCH = """() => {
  window.pressed = [];
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (!window.catching || !button || button.role === 'tab') return;
    window.pressed.push(button.id || button.className);
    event.stopImmediatePropagation();
    event.preventDefault();
  }, true);
}"""


def check(page, manners, width, where):
    manners.settle()
    assert page.evaluate("document.documentElement.scrollWidth") <= width, where
    assert manners.contrasts() == [], where
    assert page.evaluate(NAMELESS, CONTROLS) == [], where


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_every_tab_can_be_read_and_reached_and_keeps_still(open_page, width, scheme):
    page = open_page(width, scheme, room=None)
    page.wait_for_selector(TABS)
    manners = Manners(page)
    names = page.locator(TABS).all_inner_texts()
    assert len(names) >= 7
    for name in names:
        page.locator(TABS).get_by_text(name, exact=True).click()
        check(page, manners, width, name)
        shifts = manners.shifts()
        assert sum(shift["value"] for shift in shifts) < MOST_SHIFT, f"{name}: {shifts}"
        assert manners.focusless() == [], name
        manners.forget()  # what focusing opened and closed
    if width > 640:
        page.keyboard.press("?")
        expect(page.locator("dialog.shortcuts")).to_be_visible()
        check(page, manners, width, "the list of keys")


def test_the_page_is_played_with_keys(open_page):
    page = open_page(reduced_motion="reduce")
    manners = Manners(page)
    press, morph = page.keyboard.press, page.locator(TABS).get_by_text("Morph", exact=True)
    press("?")
    dialog = page.locator("dialog.shortcuts")
    expect(dialog).to_be_visible()
    press("4")  # the dialog is in front
    press("Escape")
    expect(dialog).to_be_hidden()
    expect(morph).to_have_attribute("aria-selected", "true")
    press("m")
    page.wait_for_selector("#result .note")
    play = page.locator("#result .play")
    page.locator("#result .title").scroll_into_view_if_needed()
    press("Space")
    expect(play).to_have_class("play playing")
    press("Space")
    expect(play).to_have_class("play")
    # What is typed stays where it is typed, and a button that has the focus is pressed itself.
    seed = page.locator("#seed input")
    seed.fill("")
    seed.press_sequentially("43")
    assert seed.input_value() == "43"
    expect(morph).to_have_attribute("aria-selected", "true")
    before = page.evaluate("document.querySelector('#result svg.roll').clientWidth")
    page.locator("#result .zoom .in").focus()
    press("Space")
    page.wait_for_function("(before) => document.querySelector('#result svg.roll').clientWidth > before", arg=before)
    expect(play).to_have_class("play")
    # A note goes, comes back, goes: the new result is without it.
    notes = number_of_notes(page, "#result")
    page.click("#result .edit")
    press("Control+ArrowRight")
    press("Delete")
    page.locator("#result .done").focus()
    press("z")
    expect(page.locator("#result .redo")).to_be_enabled()
    page.locator("#result .redo").click()
    check(page, manners, 1440, "the editor")
    page.click("#result .done")
    expect(page.locator("#result .title")).to_contain_text(", edited")
    expect(page.locator("#result a.wav")).to_be_visible()
    assert number_of_notes(page, "#result") == notes - 1
    press("t")
    page.wait_for_function("document.activeElement.closest('#tray')")
    assert page.evaluate("document.getAnimations().filter((animation) => animation.playState === 'running').length") == 0


def test_every_tab_has_its_main_button_on_a_key(open_page):
    page = open_page()
    manners = Manners(page)
    page.evaluate(CATCH)
    names = page.locator(TABS).all_inner_texts()
    found = {}
    for index, name in enumerate(names):
        page.keyboard.press(str(index + 1))
        expect(page.locator(TABS).nth(index)).to_have_attribute("aria-selected", "true")
        manners.settle()
        page.evaluate("window.catching = true; window.pressed = []")
        page.keyboard.press("m")
        page.keyboard.press("s")
        found[name] = page.evaluate("window.catching = false, window.pressed")
    assert all(found.values()), found
    assert found["Morph"] == ["morph"]
    assert found["Performer"] == ["performer-make", "performer-stop"]
    assert found["Jukebox"] == ["jukebox-make", "jukebox-stop"]


def test_passing_a_dropdown_by_chooses_nothing(open_page):
    page = open_page()
    manners, title = Manners(page), title_of(page, "#clip-a")
    first = title.inner_text()
    box = page.locator("#example-a input")
    box.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(title).not_to_have_text(first)
    chosen = title.inner_text()
    assert box.input_value() in chosen
    # The model stays, and with it what was chosen; nothing that has no example complains.
    for dropdown in ("#model", "#example-a", "#example-b"):
        page.locator(f"{dropdown} input").focus()
        page.keyboard.press("Tab")
        manners.settle()
    expect(title).to_have_text(chosen)
    box.click()
    page.get_by_role("option", name=first.split("·", 1)[1].strip(), exact=True).click()
    expect(title).to_have_text(first)
    open_tab(page, "Band", "#band-make")
    page.locator("#band-example input").focus()
    page.keyboard.press("Tab")
    manners.settle()
    assert page.locator(".toast-body").all_inner_texts() == []

"""The tray in a real browser: clips come into it by themselves, stay, are named, sent on, deleted, saved and opened."""

import json
import zipfile

import pytest
from playwright.sync_api import expect

from hub_models import Clip, audio, midi, sessions

from ..test_clips import music, tone
from .pages import CHROMIUM, PATIENCE, check_layout, open_tab, picture, title_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

TRAY = "#clips [data-count], #clips[data-count]"
COUNT = f"document.querySelector('{TRAY}').dataset.count"
PLAYING = f"document.querySelector('{TRAY}').dataset.playing"
HEIGHT = "document.getElementById('tray').offsetHeight"


def wait_for_clips(page, count):
    page.wait_for_function(f"{COUNT} === '{count}'", timeout=PATIENCE)


def morph(page, count):
    """Makes a clip in Morph, the `count`-th of the tray."""
    page.locator("#steps input[type=number]").fill("2")
    page.locator("#steps input[type=number]").press("Tab")
    page.click("#morph")
    wait_for_clips(page, count)


def clip(page, index=0):
    return page.locator("#clips .clip").nth(index)


def name(page, index=0):
    return clip(page, index).locator(".name")


def add(page, path, button="#tray-add"):
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chooser.value.set_files(str(path))


def reload(page):
    page.reload()
    open_tab(page, "Morph", "#clip-a .note")


def test_clips_are_kept_named_sent_deleted_saved_and_opened(open_page, tmp_path):
    page = open_page()
    expect(page.locator("#send .opens-menu")).to_be_disabled()
    page.click("#clips .toggle")
    expect(page.locator("#clips .empty")).to_be_visible()
    morph(page, 1)
    expect(page.locator("#clips .said")).to_contain_text("New: “")
    expect(clip(page).locator(".detail")).to_have_text("MIDI, 4 bars, 120 bpm")
    assert page.evaluate("document.querySelector('#clips .tones').getAttribute('d').length") > 20

    # It stays when the page is loaded anew, under the name that it was given; another browser knows nothing of it.
    name(page).fill("My morph")
    name(page).press("Enter")
    morph(page, 2)
    expect(name(page, 1)).to_have_value("My morph")
    reload(page)
    wait_for_clips(page, 2)
    expect(name(page, 1)).to_have_value("My morph")
    assert "closed" not in page.locator("#tray").get_attribute("class").split(), "the tray forgets that it was open"
    stranger = open_page()
    stranger.wait_for_function(f"{COUNT} === '0'")

    # Only one thing sounds at a time.
    clip(page, 1).locator(".play").click()
    page.wait_for_function(f"{PLAYING} !== ''", timeout=PATIENCE)
    expect(clip(page, 1).locator(".play")).to_have_attribute("aria-label", "Pause My morph")
    page.locator("#clip-a .play").click()
    page.wait_for_function(f"{PLAYING} === ''")
    clip(page, 1).locator(".play").click()
    page.wait_for_function(f"{PLAYING} !== ''")
    clip(page, 1).locator(".play").click()
    page.wait_for_function(f"{PLAYING} === ''")

    # Deleted and brought back, to its place.
    clip(page, 1).locator(".remove").click()
    wait_for_clips(page, 1)
    expect(page.locator("#clips .said")).to_have_text("Deleted “My morph”.")
    page.click("#clips .undo")
    wait_for_clips(page, 2)
    expect(name(page, 1)).to_have_value("My morph")

    # Saved; all deleted; opened: all is back.
    with page.expect_download() as saved:
        page.click("#tray-save")
    session = tmp_path / "session.zip"
    saved.value.save_as(session)
    assert saved.value.suggested_filename == "encore-session.zip"
    before = [one.get_attribute("data-id") for one in page.locator("#clips .clip").all()]
    clips = sessions.read_session(session)
    assert [one.id for one in clips] == before
    assert [one.name for one in clips][1] == "My morph"
    assert all(one.origin.calls and one.origin.model for one in clips)
    for left in (1, 0):
        clip(page).locator(".remove").click()
        wait_for_clips(page, left)
    add(page, session, "#tray-open")
    wait_for_clips(page, 2)
    expect(page.locator("#clips .said")).to_have_text("Opened 2 clips.")
    assert [one.get_attribute("data-id") for one in page.locator("#clips .clip").all()] == before

    # Sent to another tab, by keyboard.
    clip(page, 1).locator(".opens-menu").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("v")
    expect(page.locator(".menu-list [role=menuitem]:focus")).to_contain_text("Vocoder rendered to sound")
    page.keyboard.press("Enter")
    room = page.get_by_role("tab", name="Vocoder", exact=True).first
    expect(room).to_have_attribute("aria-selected", "true", timeout=PATIENCE)
    expect(title_of(page, "#vocoder-source")).to_have_text("My morph", timeout=PATIENCE)


def test_the_menu_is_moved_in_by_keyboard(open_page):
    page = open_page()
    morph(page, 1)
    button = page.locator("#send .opens-menu")
    expect(button).to_be_enabled(timeout=PATIENCE)
    button.press("Enter")
    menu, items = page.locator("[role=menu]"), page.locator("[role=menuitem]")
    focused = page.locator("[role=menuitem]:focus")
    expect(button).to_have_attribute("aria-expanded", "true")
    titles = [item.inner_text() for item in items.locator("b").all()]
    assert "Vocoder" in titles
    assert "Morph" not in titles, "a tab sends to itself"
    expect(focused).to_contain_text(titles[0])
    first, second, last = titles[0], titles[1], titles[-1]
    for key, title in (("ArrowDown", second), ("ArrowUp", first), ("ArrowUp", last), ("Home", first), ("End", last)):
        page.keyboard.press(key)
        expect(focused.locator("b")).to_have_text(title)
    page.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "false")
    button.press("ArrowUp")
    expect(focused.locator("b")).to_have_text(titles[-1])
    page.mouse.click(5, 5)
    expect(menu).to_have_count(0)


def test_files_are_added_and_given(open_page, tmp_path):
    page = open_page()
    page.click("#clips .toggle")
    add(page, midi.save(music(60, 62, 64, 65), tmp_path / "A tune.mid"))
    wait_for_clips(page, 1)
    add(page, audio.save(tone(), tmp_path / "A tone.wav", 8000))
    wait_for_clips(page, 2)
    assert [name(page, index).input_value() for index in range(2)] == ["A tone", "A tune"]
    given = {}
    for index, what in ((0, "own"), (1, "own"), (1, "wav")):
        with page.expect_download() as download:
            clip(page, index).locator(f".fetch.{what}").click()
        given[download.value.suggested_filename] = tmp_path / f"given-{index}-{what}"
        download.value.save_as(given[download.value.suggested_filename])
    assert sorted(given) == ["a-tone.wav", "a-tune.mid", "a-tune.wav"]
    assert given["a-tune.mid"].read_bytes() == (tmp_path / "A tune.mid").read_bytes()
    assert given["a-tone.wav"].read_bytes() == (tmp_path / "A tone.wav").read_bytes()
    assert audio.load(given["a-tune.wav"])[0].shape[1] >= 2 * 44_100

    # What is no clip is said, and nothing is lost.
    (tmp_path / "broken.mid").write_bytes(b"nonsense")
    add(page, tmp_path / "broken.mid")
    expect(page.locator(".toast-body").filter(has_text="not a sound file").first).to_be_visible(timeout=PATIENCE)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("session.json", json.dumps({"format": "encore-session", "version": 1, "clips": []}))
        archive.writestr("../evil.mid", b"x")
    add(page, tmp_path / "evil.zip", "#tray-open")
    expect(page.locator(".toast-body").filter(has_text="no plain name").first).to_be_visible(timeout=PATIENCE)
    wait_for_clips(page, 2)


def test_two_windows_add_to_one_tray(open_page, tmp_path):
    page = open_page()
    page.click("#clips .toggle")
    other = page.context.new_page()
    other.goto(page.url)
    open_tab(other, "Morph", "#clip-a .note")
    add(page, midi.save(music(60), tmp_path / "First.mid"))
    wait_for_clips(page, 1)
    add(other, midi.save(music(62), tmp_path / "Second.mid"))
    wait_for_clips(other, 2)
    reload(page)
    wait_for_clips(page, 2)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_the_tray_covers_nothing_and_fits(open_page, tmp_path, width, scheme):
    page = open_page(width, scheme)
    closed = page.evaluate(HEIGHT)
    assert closed < 60
    page.click("#clips .toggle")
    session = tmp_path / "session.zip"
    tunes = [music(*range(60, 60 + length)) for length in (3, 5, 8, 9, 2, 4)]
    clips = [Clip.from_midi(tune, f"Tune {index}, with a name that is quite long") for index, tune in enumerate(tunes)]
    clips.insert(2, Clip.from_audio(tone(), "A tone", sample_rate=8000))
    sessions.write_session(clips, session, sound=None)
    add(page, session, "#tray-open")
    wait_for_clips(page, len(clips))
    check_layout(page, width)
    assert closed < page.evaluate(HEIGHT) < 300
    save = page.locator("#tray-save").bounding_box()
    assert save["x"] + save["width"] <= width
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    end = "document.querySelector('footer, .gradio-container > main').getBoundingClientRect().bottom"
    page.wait_for_function(f"{end} <= innerHeight - {HEIGHT} + 2")
    picture(page, f"tray-{width}-{scheme}")
    clip(page).locator(".opens-menu").click()
    box = page.locator(".menu-list").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 900

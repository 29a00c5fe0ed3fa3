"""The page in a real browser: a MIDI file goes in, is morphed, heard and taken out again, and nothing leaves the machine.

With ENCORE_SCREENSHOTS=FOLDER, pictures of the page are put there: phone and desktop, light and dark.
"""

import re

import pytest
from playwright.sync_api import expect

from hub_models import audio, midi

from . import tiny_models
from .conftest import serve
from .pages import CHROMIUM, PATIENCE, check_layout, choose, number_of_notes, open_tab, picture, send_to, title_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def upload(page, letter, path):
    with page.expect_file_chooser() as chooser:
        page.click(f"#upload-{letter}")
    chooser.value.set_files(str(path))


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
    assert page.evaluate("document.querySelector('#result audio').duration") == pytest.approx(33, abs=0.1)

    for kind in ("midi", "wav"):
        with page.expect_download() as download:
            page.click(f"#result a.{kind}")
        download.value.save_as(tmp_path / download.value.suggested_filename)
        if kind == "midi":
            music = midi.load(tmp_path / download.value.suggested_filename)
            assert sum(len(instrument.notes) for instrument in music.instruments) == number_of_notes(page, "#result")
        else:
            sound, sample_rate = audio.load(tmp_path / download.value.suggested_filename)
            assert sound.shape[1] / sample_rate == pytest.approx(33, abs=0.1)

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

    # What is tried on the pad is in the tray only when a person wants it there.
    expect(page.locator("#send .opens-menu")).to_be_enabled()
    expect(page.locator("#clips .count")).to_have_text("0")
    page.click("#keep")
    expect(page.locator("#clips .count")).to_have_text("1", timeout=PATIENCE)
    expect(page.locator("#keep")).to_be_disabled()


def test_an_edit_is_a_result_of_its_own(open_page):
    page = open_page()
    page.click("#morph")
    page.wait_for_selector("#result .note")
    expect(page.locator("#clips .count")).to_have_text("1", timeout=PATIENCE)
    before = page.locator("#result .title").inner_text()
    page.locator("#result .edit").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#result .scroller")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.press("ArrowUp")
    page.click("#result .done")
    expect(page.locator("#result .title")).to_have_text(f"{before}, edited", timeout=PATIENCE)
    expect(page.locator("#clips .count")).to_have_text("2", timeout=PATIENCE)
    page.get_by_role("button", name="Use as B", exact=True).click()
    expect(page.locator("#window-b")).to_be_visible(timeout=PATIENCE)


def test_errors_are_sentences(open_page, tmp_path):
    page = open_page()
    bad = tmp_path / "picture.mid"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    upload(page, "a", bad)
    toast = page.locator(".toast-body, [data-testid=toast-body]").first
    expect(toast).to_contain_text("MIDI", timeout=PATIENCE)
    assert "Traceback" not in toast.inner_text()
    assert "/tmp" not in toast.inner_text()


def open_grooves(page):
    open_tab(page, "Grooves", "#groove-editor .note")


def cell(page, lane, step):
    """The middle of a cell of the editor, in pixels of the page; lanes from the top."""
    box = page.locator("#groove-editor svg.grid").bounding_box()
    width, height = box["width"] / 32, (box["height"] - 22) / 9
    return box["x"] + (step + 0.5) * width, box["y"] + 22 + (lane + 0.5) * height


def test_long_melodies_and_trios(open_page, long_tune):
    page = open_page()
    choose(page, "#model", tiny_models.TRIO)
    expect(title_of(page, "#clip-a")).to_contain_text("Ode to Joy, as a band", timeout=PATIENCE)
    assert page.locator("#clip-a .legend").inner_text().split() == ["Melody", "Bass", "Drums"]
    assert page.locator("#clip-a svg.names .part").count() == 3
    assert page.locator("#steps input[type=range]").get_attribute("max") == "8"
    upload(page, "a", long_tune)
    expect(page.locator("#report-a")).to_contain_text("Taken: Flute, Bass, Drums · bars 1-16", timeout=PATIENCE)
    page.click("#window-a input")
    page.get_by_role("option", name="bars 3-18").click()
    expect(title_of(page, "#clip-a")).to_contain_text("bars 3-18", timeout=PATIENCE)
    page.click("#morph")
    page.wait_for_selector("#result .note")
    expect(page.locator("#result svg.roll")).to_have_attribute("aria-label", re.compile("^Score: .*melody.*bass.*drums"))
    page.get_by_role("tab", name="Pad").click()
    page.click("#compute-pad")
    page.wait_for_selector("#pad .cell.now")
    assert page.locator("#pad .cell").count() == 25

    choose(page, "#model", tiny_models.LONG_MELODY)
    expect(title_of(page, "#clip-b")).to_contain_text("Drunken Sailor", timeout=PATIENCE)
    drawing = page.locator("#clip-b svg.roll").bounding_box()["width"]
    assert drawing / 16 >= 40, "a bar is too narrow to read"


def test_draw_a_groove_and_undo_it(open_page):
    page = open_page()
    open_grooves(page)
    before = number_of_notes(page, "#groove-editor")
    kick, crash = 8, 0
    page.mouse.click(*cell(page, crash, 5))
    assert number_of_notes(page, "#groove-editor") == before + 1
    expect(title_of(page, "#groove-editor")).to_contain_text("Rock, edited")
    page.mouse.click(*cell(page, crash, 5))
    assert number_of_notes(page, "#groove-editor") == before

    page.mouse.move(*cell(page, 1, 20))  # a stroke along the ride
    page.mouse.down()
    for step in range(20, 26):
        page.mouse.move(*cell(page, 1, step))
    page.mouse.up()
    assert number_of_notes(page, "#groove-editor") == before + 6
    page.click("#groove-editor .undo")
    assert number_of_notes(page, "#groove-editor") == before

    page.mouse.click(*cell(page, kick, 1))
    for key in ("ArrowRight", "Enter", "+", ",", ",", ","):
        page.keyboard.press(key)
    spoken = page.locator("#groove-editor .spoken")
    expect(spoken).to_have_text("Kick, bar 1, beat 1, sixteenth 3: hit, velocity 95, 30% of a step early")
    assert page.locator("#groove-editor .nominal").count() == 1
    page.keyboard.press("Control+z")
    page.keyboard.press("Delete")
    expect(spoken).to_contain_text("nothing")

    page.get_by_role("radio", name="B", exact=True).click()
    expect(title_of(page, "#groove-editor")).to_have_text("Bossa nova")
    page.click("#groove-editor .clear")
    assert number_of_notes(page, "#groove-editor") == 0
    page.get_by_role("radio", name="A", exact=True).click()
    assert number_of_notes(page, "#groove-editor") > before


def test_a_groove_plays_without_the_server(open_page):
    page = open_page()
    with page.expect_request("**/queue/join*"):  # opening the tab loads its models
        open_grooves(page)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.click("#groove-editor .play")
    page.wait_for_selector("#groove-editor .playhead:not([hidden])")
    page.wait_for_selector("#groove-editor .lanes .lit")
    page.get_by_role("button", name="Stop the groove").click()
    page.wait_for_selector("#groove-editor .playhead", state="hidden")
    assert not [url for url in requests if "/queue/join" in url]


def test_humanize_what_is_drawn(open_page):
    page = open_page()
    open_grooves(page)
    hits = number_of_notes(page, "#groove-editor")
    page.click("#humanize")
    page.wait_for_selector("#groove-result .note")
    assert number_of_notes(page, "#groove-result") == hits
    assert page.locator("#groove-result .nominal").count() > 0, "nothing is early or late"
    page.wait_for_function("document.querySelector('#groove-result audio').currentTime > 0.1")  # plays at once
    assert page.locator("#groove-result .loop input").is_checked()

    page.get_by_role("tab", name="Hats").click()
    page.click("#add-hats")
    expect(title_of(page, "#groove-result")).to_contain_text("with hats", timeout=PATIENCE)
    page.click("#groove-as-b")
    expect(title_of(page, "#groove-editor")).to_contain_text("with hats", timeout=PATIENCE)
    page.locator("#groove-editor").get_by_role("radio", name="A", exact=True).click()
    page.get_by_role("tab", name="Morph").last.click()
    page.click("#groove-morph")
    expect(title_of(page, "#groove-result")).to_contain_text("→", timeout=PATIENCE)
    assert page.locator("#groove-result .mark").all_text_contents() == ["A", "2", "3", "B"]


def test_tap_a_rhythm_and_hear_a_kit(open_page):
    page = open_page()
    open_grooves(page)
    page.locator("#groove-tempo input[type=number]").fill("240")
    page.locator("#groove-tempo input[type=number]").press("Tab")
    page.get_by_role("button", name="Record taps").click()
    expect(page.locator("#groove-editor .hint")).to_have_text("Tap now")
    assert number_of_notes(page, "#groove-editor") == 0
    for _ in range(4):
        page.keyboard.press(" ")
        page.wait_for_timeout(250)
    expect(title_of(page, "#groove-editor")).to_have_text("Tapped groove", timeout=PATIENCE)
    assert 1 <= number_of_notes(page, "#groove-editor") <= 4
    assert "Snare" in page.locator("#groove-editor svg.grid").get_attribute("aria-label")
    expect(title_of(page, "#groove-result")).to_have_text("Tapped groove, full kit", timeout=PATIENCE)


def test_taps_that_are_broken_off_change_nothing(open_page):
    page = open_page()
    open_grooves(page)
    before = number_of_notes(page, "#groove-editor")
    page.get_by_role("button", name="Record taps").click()
    expect(page.locator("#groove-editor .count")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(title_of(page, "#groove-editor")).to_have_text("Rock")
    assert number_of_notes(page, "#groove-editor") == before


def test_drums_go_from_tab_to_tab(open_page, tune):
    page = open_page()
    open_grooves(page)
    with page.expect_file_chooser() as chooser:
        page.click("#groove-upload")
    chooser.value.set_files(str(tune))
    expect(page.locator("#groove-report")).to_contain_text("Taken: Drums · bars 1-2", timeout=PATIENCE)
    page.click("#humanize")
    expect(title_of(page, "#groove-result")).to_contain_text("humanized", timeout=PATIENCE)
    assert send_to(page, "#groove-send", "Morph") == "its drums, 2 bars at a time"
    expect(page.locator("#report-a")).to_contain_text("humanized”: its drums", timeout=PATIENCE)
    expect(page.locator("#model input")).to_have_value(tiny_models.DRUMS)
    expect(title_of(page, "#clip-a")).to_contain_text("humanized")
    page.click("#morph")
    page.wait_for_selector("#result .note")
    assert send_to(page, "#send", "Grooves") == "its drums, 2 bars at a time"
    expect(page.locator("#groove-report")).to_contain_text("→", timeout=PATIENCE)
    expect(page.locator("#groove-window")).to_be_visible()
    assert page.locator("#groove-tempo input[type=number]").input_value() == "100"  # that of the clip all the way


def test_a_whole_song_comes_back(open_page, long_tune, tmp_path):
    page = open_page()
    open_tab(page, "Songs", "#song-a .note")
    with page.expect_file_chooser() as chooser:
        page.click("#song-upload-a")
    chooser.value.set_files(str(long_tune))
    expect(page.locator("#song-a .detail")).to_contain_text("20 bars", timeout=PATIENCE)
    page.click("#smooth")
    page.wait_for_selector("#song-result .note")
    expect(page.locator("#song-remarks")).to_contain_text("kept as it is")
    with page.expect_download() as download:
        page.click("#song-result a.midi")
    download.value.save_as(tmp_path / "song.mid")
    before, after = midi.load(long_tune), midi.load(tmp_path / "song.mid")
    assert after.get_end_time() == pytest.approx(before.get_end_time(), abs=0.5)
    drums_before, drums_after = (next(i for i in music.instruments if i.is_drum) for music in (before, after))
    assert len(drums_after.notes) == len(drums_before.notes)

    page.get_by_role("tab", name="To B").click()
    page.click("#turn")
    expect(title_of(page, "#song-result")).to_contain_text("→ The Saints, marching", timeout=PATIENCE)


def test_tabs_whose_models_are_missing_say_so(open_page, tmp_path_factory):
    folder = tiny_models.write(tmp_path_factory.mktemp("few"), (tiny_models.MELODY,))
    with serve(folder, tmp_path_factory) as address:
        page = open_page(address=address)
        open_grooves(page)
        expect(page.get_by_text(f"not installed here: {tiny_models.HUMANIZE}").first).to_be_visible()
        expect(page.locator("#humanize")).to_be_disabled()
        before = number_of_notes(page, "#groove-editor")
        page.mouse.click(*cell(page, 0, 5))
        assert number_of_notes(page, "#groove-editor") == before + 1
        page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_readable_at_every_width(open_page, width, scheme):
    page = open_page(width, scheme)
    picture(page, f"{width}-{scheme}-start")
    page.click("#morph")
    page.wait_for_selector("#result .note")
    check_layout(page, width)
    picture(page, f"{width}-{scheme}-morph")
    page.get_by_role("tab", name="Pad").click()
    page.click("#compute-pad")
    page.wait_for_selector("#pad .cell.now")
    picture(page, f"{width}-{scheme}-pad")

    choose(page, "#model", tiny_models.TRIO)
    expect(page.locator("#clip-a .legend")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("tab", name="Morph").last.click()
    page.click("#morph")
    page.wait_for_selector("#result .legend li")
    check_layout(page, width)
    picture(page, f"{width}-{scheme}-trio")

    open_grooves(page)
    page.click("#humanize")
    page.wait_for_selector("#groove-result .note")
    check_layout(page, width)
    picture(page, f"{width}-{scheme}-grooves")

    open_tab(page, "Songs", "#song-a .note")
    page.click("#smooth")
    page.wait_for_selector("#song-result .note")
    check_layout(page, width)
    picture(page, f"{width}-{scheme}-songs")


def test_touch_draws_and_scrolls(open_page):
    """On a phone a touch sets a hit; every step is wide enough for a finger."""
    page = open_page(390, has_touch=True)
    open_grooves(page)
    before = number_of_notes(page, "#groove-editor")
    assert page.locator("#groove-editor svg.grid").bounding_box()["width"] / 32 >= 24
    page.touchscreen.tap(*cell(page, 0, 3))
    assert number_of_notes(page, "#groove-editor") == before + 1

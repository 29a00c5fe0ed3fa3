"""The Jukebox tab in a real browser: candidates appear, one is chosen, gets finer, is stopped and gone on with."""

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from hub_models import audio

from . import tiny_models
from .conftest import serve
from .pages import CHROMIUM, PATIENCE, check_layout, choose, open_tab, picture, send_to, title_of
from .tiny_models import JUKEBOX, JUKEBOX_HOPS, JUKEBOX_RATE, MELODY

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

EXAMPLE = "A high voice, a poem"
SECONDS = 2.5
MOMENTS = int(SECONDS * JUKEBOX_RATE) // JUKEBOX_HOPS[0]
TOTALS = [MOMENTS * (JUKEBOX_HOPS[0] // hop) for hop in JUKEBOX_HOPS]
COLOURS = """(canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height), colours = new Set();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3]) colours.add(data.slice(at, at + 3).join());
  return colours.size; }"""
LIT = "#jukebox-view .lyrics span.now, #jukebox-view .lane span.now"


@pytest.fixture(scope="module")
def jukebox_studio(tmp_path_factory):
    models = tiny_models.write(tmp_path_factory.mktemp("models"), (JUKEBOX, MELODY))
    with serve(models, tmp_path_factory) as address:
        yield address


@pytest.fixture
def jukebox_page(open_page, jukebox_studio):
    """Opens the tab; further pages of the same `context` share what the browser keeps."""

    def open_jukebox(width=1440, scheme="light"):
        page = open_page(width, scheme, address=jukebox_studio)
        open_tab(page, "Jukebox", "#jukebox-cards")
        # The controls are fit to the model as soon as the server has answered.
        page.wait_for_function("document.querySelector('#jukebox-seconds input[type=number]').max === '59'")
        return page

    return open_jukebox


def set_number(page, slider, value):
    box = page.locator(f"{slider} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


def wish(page, count=1, seconds=SECONDS):
    choose(page, "#jukebox-example", EXAMPLE)
    expect(page.locator("#jukebox-artist input")).to_have_value("high voice", timeout=PATIENCE)
    set_number(page, "#jukebox-seconds", seconds)
    set_number(page, "#jukebox-count", count)


def make(page, count):
    page.click("#jukebox-make")
    for number in range(1, count + 1):
        card = page.locator(f"#jukebox-cards .card-of[data-key='{number}']")
        expect(card.get_by_label(f"Choose Candidate {number}")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#jukebox-upsample")).to_be_enabled(timeout=PATIENCE)


def wait_until_upsampled(page):
    bars = page.locator("#jukebox-view .making [role=progressbar]")
    expect(bars).to_have_count(3, timeout=PATIENCE)
    for index in range(3):
        expect(bars.nth(index)).to_have_attribute("aria-valuenow", "100", timeout=PATIENCE)
    expect(page.locator("#jukebox-upsample")).to_be_enabled(timeout=PATIENCE)


def send_file(page, path):
    with page.expect_file_chooser() as chooser:
        page.click("#jukebox-upload")
    chooser.value.set_files(str(path))


def toast(page, words):
    return page.locator(".toast-body, [data-testid=toast-body]").filter(has_text=words).first


def codes(page, level):
    return page.locator("#jukebox-view .strips canvas").nth(level)


def test_candidates_are_heard_and_the_chosen_one_gets_finer(jukebox_page, tmp_path):
    page = jukebox_page()
    wish(page, count=2)
    make(page, 2)
    sounds = page.locator("#jukebox-cards audio")
    expect(sounds).to_have_count(2)
    page.wait_for_function("[...document.querySelectorAll('#jukebox-cards audio')].every((audio) => audio.duration > 2)")
    page.locator("#jukebox-cards .card-of[data-key='2'] .play").click()
    page.wait_for_function("document.querySelector('#jukebox-cards audio[data-take=\"2\"]').currentTime > 0")

    # The first is chosen already; the second takes its place.
    assert page.get_by_label("Choose Candidate 1").is_checked()
    page.get_by_label("Choose Candidate 2").check()
    expect(title_of(page, "#jukebox-view")).to_contain_text("candidate 2", timeout=PATIENCE)
    page.get_by_label("Choose Candidate 1").uncheck()
    expect(page.locator("#jukebox-looked")).to_be_hidden(timeout=PATIENCE)
    assert codes(page, 0).evaluate(COLOURS) > 5
    expect(codes(page, 1)).to_have_attribute("aria-label", f"Codes of the middle level: 0 of {TOTALS[1]}")

    page.click("#jukebox-upsample")
    wait_until_upsampled(page)
    levels = page.locator("#jukebox-view").get_by_role("radio")
    expect(levels).to_have_text(["Top level", "Middle level", "Fine level"])
    expect(levels.nth(2)).to_have_attribute("aria-checked", "true")
    for level, name in enumerate(("top", "middle", "fine")):
        total = f"{TOTALS[level]:,}"
        expect(codes(page, level)).to_have_attribute("aria-label", f"Codes of the {name} level: {total} of {total}")
        assert codes(page, level).evaluate(COLOURS) > 5
    expect(page.locator("#jukebox-view .legend.open")).to_be_hidden()

    # Words light up as they are sung, and lead to where they are.
    word = page.locator("#jukebox-view .lyrics span").first
    expect(word).to_have_text("blue")
    word.click()
    assert page.locator(LIT).count() >= 1
    page.locator("#jukebox-view .play").click()
    page.wait_for_function("document.querySelector('#jukebox-view audio[data-take=level-2]').currentTime > 0.1")
    assert page.evaluate("[...document.querySelectorAll('audio')].filter((audio) => !audio.paused).length") == 1

    with page.expect_download() as saved:
        page.click("#jukebox-view a.wav")
    saved.value.save_as(tmp_path / "song.wav")
    made, rate = audio.load(tmp_path / "song.wav")
    assert (rate, made.shape) == (JUKEBOX_RATE, (1, MOMENTS * JUKEBOX_HOPS[0]))


def test_what_was_stopped_goes_on_also_after_the_page_was_loaded_anew(jukebox_page):
    page = jukebox_page()
    wish(page, seconds=59)  # long enough that there is something left when Stop is pressed
    page.click("#jukebox-make")
    page.wait_for_selector("#jukebox-cards audio", state="attached")
    page.click("#jukebox-stop")
    expect(page.locator("#jukebox-remarks")).to_contain_text("Stopped", timeout=PATIENCE)
    expect(page.locator("#jukebox-cards .detail")).to_contain_text("stopped at")
    expect(page.locator("#jukebox-resume")).to_be_visible()

    page.reload()
    open_tab(page, "Jukebox", "#jukebox-cards")
    expect(page.locator("#jukebox-remarks")).to_contain_text("Your song was found again", timeout=PATIENCE)
    expect(page.locator("#jukebox-artist input")).to_have_value("high voice")
    expect(page.locator("#jukebox-seconds input[type=number]")).to_have_value("59")
    page.click("#jukebox-resume")
    expect(page.get_by_label("Choose Candidate 1")).to_be_visible(timeout=PATIENCE)

    expect(page.locator("#jukebox-upsample")).to_be_enabled(timeout=PATIENCE)
    page.click("#jukebox-upsample")
    page.wait_for_selector("#jukebox-view audio[data-take=level-1]", state="attached")
    expect(page.locator("#jukebox-view .making li.now .text")).to_contain_text("left")
    page.click("#jukebox-stop-song")
    expect(page.locator("#jukebox-remarks")).to_contain_text("Stopped", timeout=PATIENCE)
    expect(page.locator("#jukebox-resume-song")).to_be_visible()
    done = int(page.locator("#jukebox-view [data-done]").get_attribute("data-done"))
    page.click("#jukebox-resume-song")
    page.wait_for_function(f"Number(document.querySelector('#jukebox-view [data-done]').dataset.done) > {done}")
    page.click("#jukebox-stop-song")
    expect(page.locator("#jukebox-view .making li.now")).to_have_count(0, timeout=PATIENCE)


def test_a_song_begins_with_a_sound(jukebox_page, tmp_path):
    page = jukebox_page()
    soundfile.write(tmp_path / "A tone.wav", 0.5 * np.sin(np.arange(2 * 22_050) / 15), 22_050)
    send_file(page, tmp_path / "A tone.wav")
    expect(title_of(page, "#jukebox-source")).to_have_text("A tone", timeout=PATIENCE)
    expect(page.locator("#jukebox-sound-report")).to_contain_text("22050")
    set_number(page, "#jukebox-kept", 1)
    wish(page)
    make(page, 1)

    # What is no sound is a sentence, and nothing is lost.
    (tmp_path / "notes.wav").write_bytes(b"RIFF not a sound")
    send_file(page, tmp_path / "notes.wav")
    expect(toast(page, "not a sound file")).to_be_visible(timeout=PATIENCE)
    expect(title_of(page, "#jukebox-source")).to_have_text("A tone")
    set_number(page, "#jukebox-kept", 2)
    set_number(page, "#jukebox-seconds", 2)
    page.click("#jukebox-make")
    expect(toast(page, "keep less of it")).to_be_visible(timeout=PATIENCE)
    assert page.locator("#jukebox-cards audio").count() == 1
    page.click("#jukebox-no-sound")
    expect(title_of(page, "#jukebox-source")).to_contain_text("No sound", timeout=PATIENCE)


def test_a_song_begins_with_what_sounds_in_another_tab(jukebox_page):
    page = jukebox_page()
    open_tab(page, "Morph", "#morph")
    page.click("#morph")
    page.wait_for_selector("#result .note")
    assert "its first 3 seconds" in send_to(page, "#send", "Jukebox")
    expect(title_of(page, "#jukebox-source")).to_contain_text("to", timeout=PATIENCE)
    expect(page.locator("#jukebox-kept input[type=number]")).to_have_value("3")
    wish(page, seconds=4)
    make(page, 1)

    # Loaded anew, the page still has it.
    page.reload()
    open_tab(page, "Jukebox", "#jukebox-cards")
    expect(page.locator("#jukebox-remarks")).to_contain_text("Your song was found again", timeout=PATIENCE)
    expect(page.locator("#jukebox-kept input[type=number]")).to_have_value("3", timeout=PATIENCE)
    expect(page.get_by_label("Choose Candidate 1")).to_be_checked()


def test_names_that_nobody_knows_are_said_and_near_ones_offered(jukebox_page):
    page = jukebox_page()
    box = page.locator("#jukebox-artist input")
    box.fill("low vice")
    box.press("Enter")
    expect(page.locator("#jukebox-names-report")).to_contain_text("low vice", timeout=PATIENCE)
    page.locator("#jukebox-near").get_by_text("Artist: low voice").click()
    expect(box).to_have_value("low voice", timeout=PATIENCE)
    expect(page.locator("#jukebox-names-report")).not_to_contain_text("low vice", timeout=PATIENCE)
    page.locator("#jukebox-lyrics textarea").fill("Привет")
    page.locator("#jukebox-lyrics textarea").press("Tab")
    expect(page.locator("#jukebox-lyrics-report li").first).to_be_visible(timeout=PATIENCE)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_readable_at_every_width(jukebox_page, width, scheme):
    page = jukebox_page(width, scheme)
    check_layout(page, width)
    wish(page, count=2, seconds=2)
    make(page, 2)
    page.click("#jukebox-upsample")
    wait_until_upsampled(page)
    check_layout(page, width)
    page.get_by_text("Temperature of each level").click()
    expect(page.locator("#jukebox-temperature-2")).to_be_visible()
    check_layout(page, width)
    assert page.locator("#jukebox-view canvas.wave").bounding_box()["width"] >= 250
    picture(page, f"{width}-{scheme}-jukebox")


def test_without_a_model_the_tab_says_so(open_page, studio_without):
    page = open_page(address=studio_without)
    open_tab(page, "Jukebox", "#jukebox-missing")
    expect(page.locator("#jukebox-missing")).to_contain_text("not installed here: jukebox-tiny")
    page.context.close()


@pytest.fixture
def studio_without(tmp_path_factory):
    with serve(tiny_models.write(tmp_path_factory.mktemp("few"), (MELODY,)), tmp_path_factory) as address:
        yield address

"""The Performer tab in a real browser: a piece grows and is heard while it does, is stopped, goes on, and is taken along."""

import io

import pytest
from playwright.sync_api import expect

from hub_models import audio, midi

from . import tiny_models
from .conftest import serve
from .pages import CHROMIUM, PATIENCE, check_layout, choose, open_tab, picture, send_to, title_of
from .test_performer import piano, scale

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

ROLL = "#performer-roll"
VIEW = f"document.querySelector('{ROLL}[data-busy], {ROLL} [data-busy]')"
SEEN = f"""() => {{ new MutationObserver(() => noteCount({VIEW}.dataset.notes))
  .observe({VIEW}, {{ attributes: true, attributeFilter: ['data-notes'] }}); }}"""
# A piece may be made between two looks at the page, so it is the change that is waited for.
WAS_BUSY = f"""() => {{ window.wasBusy = false;
  new MutationObserver((changes) => {{ window.wasBusy ||= changes.some((change) => change.oldValue === 'true')
    || {VIEW}.dataset.busy === 'true'; }})
  .observe({VIEW}, {{ attributes: true, attributeFilter: ['data-busy'], attributeOldValue: true }}); }}"""
# Pressed by the page itself: a browser that is told to from outside may come when the piece is done.
STOP_SOON = f"""() => {{ const view = {VIEW}, observer = new MutationObserver(() => {{
    if (Number(view.dataset.notes) > 5) {{ observer.disconnect(); document.querySelector('#performer-stop').click(); }} }});
  observer.observe(view, {{ attributes: true, attributeFilter: ['data-notes'] }}); }}"""
DURATION = f"document.querySelector('{ROLL} audio').duration"


def open_performer(page):
    open_tab(page, "Performer", "#performer-make")
    expect(title_of(page, "#performer-style-a")).to_contain_text("Für Elise", timeout=PATIENCE)
    expect(title_of(page, "#performer-melody")).to_contain_text("Ode to Joy", timeout=PATIENCE)


def set_number(page, slider, value):
    box = page.locator(f"{slider} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


def data(page, name):
    return page.evaluate(f"{VIEW}.dataset.{name}")


def finish(page):
    """Waits until a piece is all there, with its sound."""
    page.wait_for_function(f"{VIEW}.dataset.busy === 'false' && {DURATION} > 0", timeout=PATIENCE)


def make(page, seconds=5):
    set_number(page, "#performer-seconds", seconds)
    page.evaluate(WAS_BUSY)
    page.click("#performer-make")
    page.wait_for_function("window.wasBusy", timeout=PATIENCE)
    finish(page)


def seconds_made(page):
    return page.evaluate(DURATION) - 1.0  # what rings on after the end


def send_file(page, button, path):
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chooser.value.set_files(str(path))


def toast(page, text):
    found = page.locator(".toast-body, [data-testid=toast-body]").filter(has_text=text).first
    expect(found).to_be_visible(timeout=PATIENCE)
    return found.inner_text()


def test_a_piece_grows_is_heard_and_taken_along(open_page, tmp_path):
    page = open_page()
    open_performer(page)
    assert page.locator("#performer-seconds input[type=number]").input_value() == "35", "as long as the melody"
    counts = []
    page.expose_function("noteCount", lambda count: counts.append(int(count)))
    page.evaluate(SEEN)
    set_number(page, "#performer-seconds", 150)  # so long that it is heard before it is done, even with a tiny model
    page.click("#performer-make")
    page.wait_for_function(f"{VIEW}.dataset.playing === 'synth'", timeout=PATIENCE)
    assert data(page, "busy") == "true", "it is heard only when it is done"
    finish(page)
    assert len(set(counts)) > 2, "it did not grow"
    assert counts == sorted(counts)
    expect(title_of(page, ROLL)).to_have_text("Ode to Joy, in the style of Beethoven, Für Elise")
    page.wait_for_function(f"{VIEW}.dataset.playing === 'wav'", timeout=PATIENCE)
    assert page.evaluate(f"document.querySelector('{ROLL} audio').currentTime") > 0
    page.click(f"{ROLL} .play")
    page.wait_for_function(f"!({VIEW}.dataset.playing)")

    for kind in ("midi", "wav"):
        with page.expect_download() as saved:
            page.click(f"{ROLL} a.{kind}")
        saved.value.save_as(tmp_path / f"piece.{kind}")
    music, (sound, rate) = midi.load(tmp_path / "piece.midi"), audio.load(tmp_path / "piece.wav")
    assert 149.0 < music.get_end_time() < 151.1
    assert sum(len(part.notes) for part in music.instruments) == int(data(page, "notes"))
    assert sound.shape[1] / rate == pytest.approx(music.get_end_time() + 1.0, abs=0.05)


def test_a_seed_gives_the_same_piece(open_page):
    page = open_page()
    open_performer(page)
    page.get_by_label("Listen while it is made").uncheck()
    make(page)
    first = page.locator(f"{ROLL} a.midi").get_attribute("href")
    assert data(page, "playing") is None, "it plays without being asked"
    page.get_by_label("Keep this seed").locator("visible=true").check()
    make(page)
    assert page.locator(f"{ROLL} a.midi").get_attribute("href") == first
    page.get_by_label("Keep this seed").locator("visible=true").uncheck()
    make(page)
    assert page.locator(f"{ROLL} a.midi").get_attribute("href") != first


def test_stop_keeps_continue_goes_on_undo_goes_back(open_page, slow_studio):
    page = open_page(address=slow_studio, room=None)
    open_performer(page)
    expect(page.locator("#performer-continue")).to_be_disabled()
    set_number(page, "#performer-seconds", 180)
    page.evaluate(STOP_SOON)
    page.click("#performer-make")
    finish(page)
    expect(page.locator(f"{ROLL} .detail")).to_contain_text("stopped")
    kept, notes = seconds_made(page), int(data(page, "notes"))
    assert 0.5 < kept < 170
    assert notes > 5

    set_number(page, "#performer-seconds", 5)
    page.evaluate(WAS_BUSY)
    page.click("#performer-continue")
    page.wait_for_function("window.wasBusy", timeout=PATIENCE)
    finish(page)
    assert seconds_made(page) == pytest.approx(kept + 5, abs=1.2)
    assert int(data(page, "notes")) > notes

    page.click("#performer-undo")
    page.wait_for_function(f"Math.abs({DURATION} - {kept + 1}) < 0.05", timeout=PATIENCE)
    assert int(data(page, "notes")) == notes
    page.click("#performer-undo")
    expect(title_of(page, ROLL)).to_have_text("Nothing yet", timeout=PATIENCE)
    expect(page.locator("#performer-undo")).to_be_disabled()


def test_two_styles_are_mixed(open_page):
    page = open_page()
    open_performer(page)
    page.locator("#performer-second").get_by_role("button").first.click()
    choose(page, "#performer-style-b-example", "Boogie-woogie: loud, swinging")
    expect(title_of(page, "#performer-style-b")).to_contain_text("Boogie-woogie", timeout=PATIENCE)
    set_number(page, "#performer-share", 75)
    make(page)
    expect(title_of(page, ROLL)).to_contain_text("between Beethoven, Für Elise and Boogie-woogie")
    expect(page.locator(f"{ROLL} .detail")).to_contain_text("75 % of B")
    page.click("#performer-no-melody")
    expect(title_of(page, "#performer-melody")).to_contain_text("makes up its own", timeout=PATIENCE)
    make(page)
    expect(title_of(page, ROLL)).to_contain_text("Improvisation, between")


def test_a_piece_is_continued_freely(open_page, tmp_path):
    page = open_page()
    open_performer(page)
    page.get_by_label("Freely").check()
    expect(page.locator("#performer-style-a")).to_be_hidden()
    expect(page.locator("#performer-melody")).to_be_hidden()
    page.locator("#performer-going-on").get_by_role("button").first.click()
    piano(scale(12)).write(str(tmp_path / "my piece.mid"))
    send_file(page, "#performer-opening-upload", tmp_path / "my piece.mid")
    expect(title_of(page, "#performer-opening")).to_have_text("my piece", timeout=PATIENCE)
    set_number(page, "#performer-until", 6)
    make(page)
    expect(title_of(page, ROLL)).to_have_text("my piece, continued")
    assert seconds_made(page) == pytest.approx(11, abs=1.2)
    page.click("#performer-no-opening")
    expect(title_of(page, "#performer-opening")).to_contain_text("No opening", timeout=PATIENCE)
    make(page)
    expect(title_of(page, ROLL)).to_have_text("Improvisation")
    assert seconds_made(page) == pytest.approx(5, abs=1.2)


def test_files_are_dropped_and_what_was_left_out_is_said(open_page, tmp_path):
    page = open_page()
    open_performer(page)
    content = io.BytesIO()
    piano([*scale(8), (10, 0.0, 1.0, 90)], drums=[(36, 0.0, 0.1, 90)]).write(content)
    page.evaluate(
        """([bytes]) => {
          const slot = document.querySelector('#performer-style-a').closest('.slot'), dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([new Uint8Array(bytes)], 'dropped.mid', { type: 'audio/midi' }));
          const options = { dataTransfer, bubbles: true, cancelable: true };
          for (const type of ['dragover', 'drop']) slot.dispatchEvent(new DragEvent(type, options));
        }""",
        [list(content.getvalue())],
    )
    expect(title_of(page, "#performer-style-a")).to_have_text("A · dropped", timeout=PATIENCE)
    report = page.locator("#performer-style-a-report")
    expect(report).to_be_visible()
    expect(report).to_contain_text("1 drum note and 1 note outside A0 to C8")

    # What cannot be used is a sentence, and nothing is lost.
    for name, music, words in (
        ("drums", piano([], drums=[(36, 0.0, 0.1, 90)]), "drum note"),
        ("silence", piano([]), "no notes"),
        ("short", piano([(60, 0.0, 0.4, 90)]), "at least 1 second"),
    ):
        music.write(str(tmp_path / f"{name}.mid"))
        send_file(page, "#performer-style-a-upload", tmp_path / f"{name}.mid")
        assert "/tmp" not in toast(page, words)
    expect(title_of(page, "#performer-style-a")).to_have_text("A · dropped")


def test_melodies_come_from_other_tabs_and_pieces_go_to_the_vocoder(open_page):
    page = open_page()
    page.click("#morph")
    page.wait_for_selector("#result .note")
    assert send_to(page, "#send", "Performer") == "its melody, found in it"
    expect(title_of(page, "#performer-melody")).to_contain_text("→", timeout=PATIENCE)
    open_performer_later(page)
    make(page)
    expect(title_of(page, ROLL)).to_contain_text("→")

    page.click("#performer-as-style")
    expect(title_of(page, "#performer-style-a")).to_contain_text("→", timeout=PATIENCE)
    assert send_to(page, "#performer-send", "Vocoder") == "rendered to sound"
    expect(title_of(page, "#vocoder-source")).to_contain_text("in the style of", timeout=PATIENCE)

    open_tab(page, "Songs", "#song-a .note")
    page.click("#smooth")
    page.wait_for_selector("#song-result .note")
    send_to(page, "#song-send", "Performer")
    expect(title_of(page, "#performer-melody")).to_contain_text("smoothed", timeout=PATIENCE)

    open_tab(page, "Band", "#band-style-a .note")
    page.click("#band-make")
    page.wait_for_function("document.querySelector('#band-roll audio').duration > 0")
    send_to(page, "#band-send", "Performer")
    expect(title_of(page, "#performer-melody")).not_to_contain_text("smoothed", timeout=PATIENCE)


def open_performer_later(page):
    """The style that is there when a melody came first."""
    expect(title_of(page, "#performer-style-a")).to_contain_text("Für Elise", timeout=PATIENCE)


def test_keys_move_in_the_music(open_page):
    page = open_page()
    open_performer(page)
    page.get_by_label("Listen while it is made").uncheck()
    make(page, 8)
    place = page.locator(f"{ROLL} .scroller")
    place.focus()
    for key, value in (("ArrowRight", "1.0"), ("ArrowRight", "2.0"), ("ArrowLeft", "1.0"), ("Home", "0.0")):
        page.keyboard.press(key)
        assert place.get_attribute("aria-valuetext").startswith(f"{value} of ")
    page.keyboard.press("Space")
    page.wait_for_function(f"{VIEW}.dataset.playing === 'wav'", timeout=PATIENCE)
    page.keyboard.press("Space")
    page.wait_for_function(f"!({VIEW}.dataset.playing)")
    assert "notes in" in page.locator(f"{ROLL} canvas").get_attribute("aria-label")
    before = page.evaluate(f"document.querySelector('{ROLL} .space').offsetWidth")
    page.click(f"{ROLL} .in")
    page.click(f"{ROLL} .in")
    assert page.evaluate(f"document.querySelector('{ROLL} .space').offsetWidth") > before
    page.click(f"{ROLL} .out")


def test_without_a_model_the_tab_says_so(open_page, tmp_path_factory):
    folder = tiny_models.write(tmp_path_factory.mktemp("few"), (tiny_models.MELODY,))
    with serve(folder, tmp_path_factory) as address:
        page = open_page(address=address)
        open_tab(page, "Performer", "#performer-missing")
        expect(page.locator("#performer-missing")).to_contain_text("not installed here: transformer-autoencoder-piano")
        page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_readable_at_every_width(open_page, width, scheme):
    page = open_page(width, scheme)
    open_performer(page)
    check_layout(page, width)
    make(page, 8)
    check_layout(page, width)
    assert page.locator(f"{ROLL} canvas").bounding_box()["width"] >= min(260, width)
    contrasts = page.evaluate(CONTRASTS, ROLL)
    assert min(contrasts) >= 3, "notes cannot be told from the ground"
    picture(page, f"{width}-{scheme}-performer")


# Of the colours of soft, middling and loud notes with the ground, and with the lanes of the black keys.
CONTRASTS = """(selector) => {
  const element = document.querySelector(`${selector} canvas`), style = getComputedStyle(element);
  const linear = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = (name) => {
    const hex = style.getPropertyValue(name).trim();
    const [red, green, blue] = [1, 3, 5].map((place) => linear(parseInt(hex.slice(place, place + 2), 16)));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return ['--soft', '--middle', '--loud'].flatMap((note) =>
    ['--roll-ground', '--roll-lane'].map((ground) => contrast(light(note), light(ground))));
}"""

"""The Band tab in a real browser: chords are typed, a band plays them, is mixed, changed and taken along."""

import mido
import pretty_midi
import pytest
from playwright.sync_api import expect

from . import tiny_models
from .conftest import serve
from .pages import CHROMIUM, PATIENCE, check_layout, choose, number_of_notes, open_tab, picture, send_to, title_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def open_band(page):
    open_tab(page, "Band", "#band-style-a .note")


def type_chords(page, text, bars=None):
    page.fill("#band-chords .text", text)
    if bars:
        page.click(f'#band-chords .length [data-bars="{bars}"]')


def make(page, button="#band-make"):
    """Presses a button and waits for the song that comes of it."""
    before = detail(page)
    page.click(button)
    expect(page.locator("#band-roll .detail")).not_to_have_text(before or "nothing", timeout=PATIENCE)
    page.wait_for_function("document.querySelector('#band-roll audio').duration > 0")


def detail(page):
    return page.locator("#band-roll .detail").text_content()


def chords_above(page):
    """The chords of the bars of the roll, as a person reads them."""
    return page.eval_on_selector_all(
        "#band-roll .bars button", "(bars) => bars.map((bar) => bar.querySelector('.chords').textContent.trim())"
    )


def data(page, name):
    """What the roll says of itself: its number of `notes`, the keys `audible`."""
    return page.evaluate(f"document.querySelector('#band-roll[data-{name}], #band-roll [data-{name}]').dataset.{name}")


def drawn(page):
    return int(data(page, "notes"))


def download(page, kind, folder):
    with page.expect_download() as saved:
        page.click(f"#band-roll a.{kind}")
    saved.value.save_as(folder / saved.value.suggested_filename)
    return folder / saved.value.suggested_filename


def test_chords_become_a_song(open_page, tmp_path):
    page = open_page()
    open_band(page)
    type_chords(page, "Dm G C Am", bars=8)
    page.click("#band-sample-a")
    expect(title_of(page, "#band-style-a")).to_contain_text("Sample", timeout=PATIENCE)
    make(page)
    assert chords_above(page) == ["Dm", "G", "C", "Am"] * 2
    assert drawn(page) > 0
    strips = page.locator("#band-mixer .strip")
    assert strips.count() > 1

    # A muted track is not in the sound; the browser follows at once, the WAV a little later.
    first = strips.first.get_attribute("data-key")
    with page.expect_response("**/queue/join*"):
        strips.first.locator("button.mute").click()
    expect(strips.first.locator("button.mute")).to_have_attribute("aria-pressed", "true")
    assert first not in data(page, "audible").split(",")

    # Other chords, with the style locked: the same instruments.
    names = strips.locator(".name").all_text_contents()
    page.get_by_label("Lock the style").check()
    type_chords(page, "F Bdim")
    make(page)
    assert chords_above(page) == ["F", "Bdim"] * 4
    assert set(strips.locator(".name").all_text_contents()) & set(names)

    # An unknown chord is a sentence, and nothing is lost.
    before = detail(page), drawn(page)
    type_chords(page, "F Hm")
    page.click("#band-make")
    toast = page.locator(".toast-body, [data-testid=toast-body]").first
    expect(toast).to_contain_text("'Hm' in bar 2", timeout=PATIENCE)
    assert "Traceback" not in toast.inner_text()
    assert (detail(page), drawn(page)) == before
    type_chords(page, "F Bdim")

    # One bar alone.
    page.click('#band-roll .bars button[data-bar="2"]')
    make(page, "#band-again")
    assert chords_above(page) == ["F", "Bdim"] * 4

    file = mido.MidiFile(download(page, "midi", tmp_path))
    named = {message.name for track in file.tracks for message in track if message.type == "track_name"} - {""}
    assert named == set(strips.locator(".name").all_text_contents())
    markers = [message.text for track in file.tracks for message in track if message.type == "marker"]
    assert markers == ["F", "Bdim"] * 4
    assert download(page, "wav", tmp_path).stat().st_size > 44_100


def test_a_bar_of_a_file_is_a_style_and_what_was_left_out_is_said(open_page, tmp_path):
    music = pretty_midi.PrettyMIDI()
    for program in range(40):
        part = pretty_midi.Instrument(program)
        part.notes = [pretty_midi.Note(90, 40 + program + bar, 2.0 * bar, 2.0 * bar + 1) for bar in range(3)]
        music.instruments.append(part)
    music.write(str(tmp_path / "forty.mid"))
    page = open_page()
    open_band(page)
    with page.expect_file_chooser() as chooser:
        page.click("#band-upload-b")
    chooser.value.set_files(str(tmp_path / "forty.mid"))
    expect(page.locator("#band-report-b")).to_contain_text("8 busiest of 40 tracks", timeout=PATIENCE)
    page.click("#band-window-b input")
    page.get_by_role("option", name="forty · bar 2", exact=True).click()
    expect(title_of(page, "#band-style-b")).to_have_text("B · forty · bar 2", timeout=PATIENCE)
    choose(page, "#band-example-b", "Funk")
    expect(title_of(page, "#band-style-b")).to_have_text("B · Funk", timeout=PATIENCE)

    (tmp_path / "alone.mid").write_bytes(_one_track())
    with page.expect_file_chooser() as chooser:
        page.click("#band-upload-b")
    chooser.value.set_files(str(tmp_path / "alone.mid"))
    expect(page.locator(".toast-body, [data-testid=toast-body]").first).to_contain_text("two instruments", timeout=PATIENCE)
    expect(title_of(page, "#band-style-b")).to_have_text("B · Funk")


def _one_track():
    from hub_models import midi

    music = pretty_midi.PrettyMIDI()
    music.instruments.append(pretty_midi.Instrument(0))
    music.instruments[0].notes = [pretty_midi.Note(90, 60, 0.5 * beat, 0.5 * beat + 0.4) for beat in range(8)]
    return midi.to_bytes(music)


def test_clips_come_in_as_styles_and_songs_go_out(open_page):
    page = open_page()
    choose(page, "#model", tiny_models.TRIO)
    expect(title_of(page, "#clip-a")).to_contain_text("Ode to Joy, as a band", timeout=PATIENCE)
    page.click("#morph")
    page.wait_for_selector("#result .note")
    assert send_to(page, "#send", "Band") == "the style of one of its bars"
    expect(title_of(page, "#band-style-a")).to_contain_text("· bar", timeout=PATIENCE)
    expect(page.locator("#band-window-a")).to_be_visible()

    page.locator("#band-keep-seed input").check()
    type_chords(page, "Dm G", bars=8)
    make(page)
    made = title_of(page, "#band-roll").text_content()
    assert send_to(page, "#band-send", "Songs") == "all of it as song A, at its own tempo"
    expect(title_of(page, "#song-a")).to_have_text(f"A · {made}"[:64], timeout=PATIENCE)
    expect(page.locator("#song-a .detail")).to_contain_text("8 bars")

    # From there once more, with its chords.
    open_band(page)
    type_chords(page, "C")
    page.click("#clips .toggle")
    page.locator("#clips .clip").first.locator(".opens-menu").click()
    page.get_by_role("menuitem").filter(has_text="one of its bars; and its chords").click()
    expect(page.locator("#band-chords .text")).to_have_value("Dm G", timeout=PATIENCE)
    expect(page.locator("#band-report-a")).to_contain_text("Its chords came along: Dm G")

    send_to(page, "#band-send", "Grooves")
    expect(page.locator("#groove-report")).to_contain_text(made[:10], timeout=PATIENCE)


def test_without_a_model_the_tab_says_so(open_page, tmp_path_factory):
    folder = tiny_models.write(tmp_path_factory.mktemp("few"), (tiny_models.MELODY,))
    with serve(folder, tmp_path_factory) as address:
        page = open_page(address=address)
        open_tab(page, "Band", "#band-missing")
        expect(page.locator("#band-missing")).to_contain_text("not installed here: multitrack-music-vae-1bar-chords")
        page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light")])
def test_readable_at_every_width(open_page, width, scheme):
    page = open_page(width, scheme)
    open_band(page)
    check_layout(page, width)
    page.click("#band-surprise")
    page.wait_for_function("document.querySelector('#band-roll audio').duration > 0")
    assert number_of_notes(page, "#band-style-a") > 0
    check_layout(page, width)
    picture(page, f"{width}-{scheme}-band")

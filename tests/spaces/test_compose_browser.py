"""The Compose tab in a real browser: a piece appears stage by stage, is changed, edited, undone, mixed and taken along."""

import re

import pytest
from playwright.sync_api import expect

from hub_models import audio, midi

from .pages import CHROMIUM, PATIENCE, check_layout, open_tab, picture, send_to, title_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

STAGES = ("chords", "melody", "band", "piano")
HAS_SOUND = "(card) => Boolean(card.querySelector('a.wav[href]:not([hidden])'))"
# The order in which the cards get their sound, as the page itself sees it.
WATCH = f"""(stages) => {{ window.arrived = [];
  for (const stage of stages) {{
    const card = document.querySelector(`#compose-${{stage}}`), hasSound = {HAS_SOUND};
    const look = () => {{ if (!window.arrived.includes(stage) && hasSound(card)) window.arrived.push(stage); }};
    new MutationObserver(look).observe(card, {{ subtree: true, childList: true, attributes: true }});
  }} }}"""
# Pressed by the page itself as soon as the melody is there.
STOP_AFTER_MELODY = f"""() => {{ const card = document.querySelector('#compose-melody'), hasSound = {HAS_SOUND};
  const observer = new MutationObserver(() => {{
    if (hasSound(card)) {{ observer.disconnect(); document.querySelector('#compose-stop').click(); }} }});
  observer.observe(card, {{ subtree: true, childList: true, attributes: true }}); }}"""


def link(page, stage, kind="midi"):
    """Where a file of a card is."""
    return page.locator(f"#compose-{stage} a.{kind}").get_attribute("href")


def finished(page, text):
    """Waits until the status says that something is done."""
    expect(page.locator("#compose-status p")).to_contain_text(text, timeout=PATIENCE)


def compose(page):
    page.get_by_label("Play the melody as soon as it is there").uncheck()
    page.fill("#compose-chords-text textarea, #compose-chords-text input", "C Am F G")
    page.click("#compose-make")
    finished(page, "Composed in")


def links(page):
    return {stage: link(page, stage) for stage in STAGES}


def test_a_piece_appears_and_its_stages_are_made_anew(open_page, tmp_path):
    page = open_page(room=None)
    page.wait_for_selector("#compose-make")
    page.evaluate(WATCH, [*STAGES, "mix"])
    compose(page)
    page.wait_for_function("window.arrived.length === 5", timeout=PATIENCE)
    assert page.evaluate("window.arrived") == [*STAGES, "mix"]
    expect(title_of(page, "#compose-mix")).to_contain_text("in C major")
    picture(page, "compose")
    for kind in ("midi", "wav"):
        with page.expect_download() as saved:
            page.click(f"#compose-mix a.{kind}")
        saved.value.save_as(tmp_path / f"piece.{kind}")
    assert midi.load(tmp_path / "piece.midi").instruments
    assert audio.load(tmp_path / "piece.wav")[0].shape[0] == 2

    before = links(page)
    page.click("#compose-band-again")
    finished(page, "Band made anew")
    after = links(page)
    assert after["band"] != before["band"]
    assert {stage: after[stage] for stage in STAGES if stage != "band"} == {
        stage: before[stage] for stage in STAGES if stage != "band"
    }, "the rest did not stay"

    page.click("#compose-undo")
    finished(page, "Back to")
    assert links(page) == before

    page.click("#compose-melody .edit")
    page.locator("#compose-melody .scroller").focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("ArrowUp")
    page.click("#compose-melody .done")
    finished(page, "Melody edited")
    edited = links(page)
    assert edited["melody"] != before["melody"]
    assert edited["piano"] == before["piano"]

    page.click("#compose-piano .edit")
    page.locator("#compose-piano .scroller").focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("ArrowDown")
    page.click("#compose-piano .done")
    finished(page, "Piano edited")
    assert links(page) == {**edited, "piano": link(page, "piano")}
    assert link(page, "piano") != edited["piano"]

    players = page.locator("#compose-instruments input")
    assert players.count() > 1
    players.first.uncheck()
    finished(page, "Band edited")
    smaller = link(page, "band")
    assert smaller != edited["band"]
    players.first.check()
    page.wait_for_function(f"document.querySelector('#compose-band a.midi').href !== '{smaller}'", timeout=PATIENCE)
    assert link(page, "band") == edited["band"], "all instruments are back"

    mixed = link(page, "mix")
    page.get_by_label("Piano", exact=True).locator("visible=true").check()
    finished(page, "Mixed")
    assert link(page, "mix") != mixed
    said = send_to(page, "#compose-send", "Band")
    assert "style" in said
    page.wait_for_selector("#band-style-a .note")


def test_two_browsers_at_once_each_get_their_own_piece_and_keep_it(open_page):
    pages = {"C Am F G": open_page(room=None), "D Bm G A": open_page(room=None)}
    for text, page in pages.items():
        page.wait_for_selector("#compose-make")
        page.get_by_label("Play the melody as soon as it is there").uncheck()
        page.fill("#compose-chords-text textarea, #compose-chords-text input", text)
        page.click("#compose-make")
    for text, page in pages.items():
        finished(page, "Composed in")
        expect(title_of(page, "#compose-mix")).to_contain_text(f"in {text[0]} major")
        expect(page.locator("#clips .count")).to_have_text("1", timeout=PATIENCE)
    for text, page in pages.items():
        page.reload()
        expect(page.locator("#clips .count")).to_have_text("1", timeout=PATIENCE)
        page.click("#clips .toggle")
        expect(page.locator("#clips .clip .name").first).to_have_value(re.compile(f"in {text[0]} major"))


def test_stop_keeps_what_is_there(open_page, slow_studio):
    page = open_page(room=None, address=slow_studio)
    page.wait_for_selector("#compose-make")
    page.evaluate(STOP_AFTER_MELODY)
    page.get_by_label("Play the melody as soon as it is there").uncheck()
    page.click("#compose-make")
    finished(page, "Stopped in")
    kept = link(page, "melody")
    assert kept
    assert link(page, "mix")
    assert page.locator("#compose-piano a.wav:visible").count() == 0
    page.get_by_label("Lock the chords").check()
    page.get_by_label("Lock the melody").check()
    page.click("#compose-make")
    finished(page, "Composed in")
    assert link(page, "melody") == kept, "it was locked"
    assert all(links(page).values()), "after Stop nothing can be composed"


def test_styles_come_from_files(open_page, tune):
    page = open_page(room=None)
    page.wait_for_selector("#compose-make")
    compose(page)
    before = links(page)
    for stage, done in (("piano", "Piano made anew"), ("band", "Band made anew")):
        with page.expect_file_chooser() as chooser:
            page.click(f"#compose-{stage}-upload")
        chooser.value.set_files(str(tune))
        finished(page, done)
        assert link(page, stage) != before[stage]
        expect(page.locator(f"#compose-{stage}-style input")).to_have_value("File: A tune")
    assert link(page, "melody") == before["melody"]


def test_a_piece_is_composed_around_a_melody_from_another_tab(open_page):
    page = open_page()
    page.click("#morph")
    page.wait_for_selector("#result .note")
    assert send_to(page, "#send", "Compose") == "its melody; a piece is composed around it"
    finished(page, "Melody taken")
    expect(page.get_by_label("Lock the melody")).to_be_checked()
    expect(page.get_by_label("Lock the chords")).not_to_be_checked()
    notes = page.locator("#compose-melody .note")
    taken = notes.count()
    assert taken > 3
    page.get_by_label("Play the melody as soon as it is there").uncheck()
    page.click("#compose-make")
    finished(page, "Composed in")
    assert notes.count() == taken, "it was locked"
    assert all(links(page).values())
    page.locator("#compose-part input").click()
    page.get_by_role("option", name="The melody", exact=True).click()
    said = send_to(page, "#compose-send", "Morph")
    assert said
    page.wait_for_selector("#clip-a .note")


def test_a_piece_is_taken_further_as_sound(open_page, tmp_path):
    page = open_page(room=None)
    page.wait_for_selector("#compose-make")
    page.click("#compose-further")
    toast(page, "There is no piece yet")
    compose(page)
    page.get_by_label("Re-voice (WaveGrad)").check()
    seconds = page.locator("#compose-further-seconds input[type=number]")
    seconds.fill("2")
    seconds.press("Tab")
    page.click("#compose-further")
    finished(page, "re-voiced, in")
    expect(title_of(page, "#compose-developed")).to_contain_text("re-voiced")
    expect(page.locator("#compose-developed .detail")).to_contain_text("2.0 seconds, 22050 Hz")
    with page.expect_download() as saved:
        page.click("#compose-developed a.wav")
    saved.value.save_as(tmp_path / "voice.wav")
    assert audio.load(tmp_path / "voice.wav")[0].shape == (1, 44_100)
    expect(page.locator("#clips .clip")).to_have_count(2, timeout=PATIENCE)  # the piece, and this
    said = send_to(page, "#compose-send", "Vocoder")
    assert "as it is" in said
    expect(title_of(page, "#vocoder-source")).to_contain_text("re-voiced", timeout=PATIENCE)
    open_tab(page, "Compose", "#compose-make")
    page.get_by_label("Continue (Jukebox)").check()
    page.click("#compose-further")
    finished(page, "continued, in")
    page.click("#compose-undo")
    expect(title_of(page, "#compose-developed")).to_contain_text("re-voiced", timeout=PATIENCE)


def toast(page, text):
    found = page.locator(".toast-body, [data-testid=toast-body]").filter(has_text=text).first
    expect(found).to_be_visible(timeout=PATIENCE)


def test_wrong_chords_are_said(open_page):
    page = open_page(room=None)
    page.wait_for_selector("#compose-make")
    page.fill("#compose-chords-text textarea, #compose-chords-text input", "C Xyz")
    page.click("#compose-make")
    toast(page, "Xyz")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_the_tab_fits_a_phone_and_a_desk(open_page, width, scheme):
    page = open_page(width=width, scheme=scheme, room=None)
    page.wait_for_selector("#compose-make")
    check_layout(page, width)
    compose(page)
    check_layout(page, width)
    picture(page, f"compose-{width}-{scheme}")
    open_tab(page, "Morph", "#clip-a .note")
    open_tab(page, "Compose", "#compose-make")
    expect(title_of(page, "#compose-mix")).to_contain_text("in C major")

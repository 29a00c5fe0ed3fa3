"""The Vocoder tab in a real browser: a sound comes in, emerges from noise step by step, is compared and taken along."""

import io

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from hub_models import audio

from . import tiny_models
from .conftest import serve
from .pages import CHROMIUM, PATIENCE, check_layout, choose, open_tab, picture, send_to, title_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

PIXELS = """const canvas = document.querySelector(selector);
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, count = data.length / 4;"""
# How many different colours a canvas shows, and what share of it is drawn upon.
COLOURS = f"""(selector) => {{ {PIXELS}
  return new Set(Array.from({{ length: count }}, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size; }}"""
FILLED = f"""(selector) => {{ {PIXELS}
  return Array.from({{ length: count }}, (_, i) => data[4 * i + 3] > 0).filter(Boolean).length / count; }}"""
STEP = "document.querySelector('#vocoder-result[data-step], #vocoder-result [data-step]')"
# Pressed by the page itself: a browser that is told to from outside may come when the sound is done.
STOP_SOON = f"""() => {{ const view = {STEP}, observer = new MutationObserver(() => {{
    if (Number(view.dataset.step) >= 1 && !document.querySelector('#vocoder-result .making').hidden) {{
      observer.disconnect(); document.querySelector('#vocoder-stop').click(); }} }});
  observer.observe(view, {{ attributes: true, attributeFilter: ['data-step'] }}); }}"""
WATCH = f"""() => {{ new MutationObserver(() => noteStep({STEP}.dataset.step))
  .observe({STEP}, {{ attributes: true, attributeFilter: ['data-step'] }}); }}"""


def open_vocoder(page):
    open_tab(page, "Vocoder", "#vocoder-source")
    expect(title_of(page, "#vocoder-mel")).to_have_text("What the vocoder reads", timeout=PATIENCE)
    expect(page.locator("#vocoder-mel .detail")).to_contain_text("seconds", timeout=PATIENCE)


def set_number(page, slider, value):
    box = page.locator(f"{slider} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


def shorten(page, seconds=1):
    set_number(page, "#vocoder-length", seconds)
    expect(page.locator("#vocoder-mel .detail")).to_contain_text(f"{seconds:.1f} seconds", timeout=PATIENCE)


def make(page):
    page.click("#vocoder-make")
    page.wait_for_function("document.querySelectorAll('#vocoder-result audio').length === 3")
    page.wait_for_function("[...document.querySelectorAll('#vocoder-result audio')].every((audio) => audio.duration > 0)")
    expect(page.locator("#vocoder-result .making")).to_be_hidden(timeout=PATIENCE)


def send_file(page, path):
    with page.expect_file_chooser() as chooser:
        page.click("#vocoder-upload")
    chooser.value.set_files(str(path))


def wav(samples, rate):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV")
    return buffer.getvalue()


def playing(page):
    return page.evaluate("[...document.querySelectorAll('audio')].filter((a) => !a.paused).map((a) => a.dataset.take)")


def test_a_sound_emerges_is_compared_and_taken_along(open_page, tmp_path):
    page = open_page()
    open_vocoder(page)
    assert page.evaluate(COLOURS, "#vocoder-mel canvas.mel") > 50
    shorten(page)
    seen = []
    page.expose_function("noteStep", lambda step: seen.append(step))
    page.evaluate(WATCH)
    make(page)
    steps = [int(step) for step in seen if step]
    assert steps == sorted(steps)
    assert steps[-1] == 6
    assert len(set(steps) - {0}) >= 3, "the steps were not shown one after the other"
    assert page.evaluate(COLOURS, "#vocoder-result canvas.mel") > 20
    assert page.evaluate(FILLED, "#vocoder-result canvas.wave") > 0.02

    # Back through the steps.
    expect(page.locator("#vocoder-result .steps")).to_be_visible()
    first = page.evaluate("document.querySelector('#vocoder-result canvas.wave').toDataURL()")
    page.locator("#vocoder-result .steps input").focus()
    page.keyboard.press("Home")
    expect(page.locator("#vocoder-result .steps output")).to_contain_text("of 6")
    assert page.evaluate("document.querySelector('#vocoder-result canvas.wave').toDataURL()") != first

    # One plays at a time, and another goes on where the first was.
    page.click("#vocoder-source .play")
    page.click("#vocoder-result .play")
    page.wait_for_function("document.querySelector('#vocoder-result audio[data-take=vocoded]').currentTime > 0.25")
    assert playing(page) == ["vocoded"]
    page.locator("#vocoder-result").get_by_role("radio", name="Griffin-Lim").click()
    page.wait_for_function("!document.querySelector('#vocoder-result audio[data-take=griffin-lim]').paused")
    assert page.evaluate("document.querySelector('#vocoder-result audio[data-take=griffin-lim]').currentTime") >= 0.2
    assert playing(page) == ["griffin-lim"]
    expect(page.locator("#vocoder-result .detail")).to_contain_text("spectrogram off by")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#vocoder-result").get_by_role("radio", name="Original")).to_have_attribute("aria-checked", "true")

    page.locator("#vocoder-result").get_by_role("radio", name="WaveGrad").click()
    with page.expect_download() as saved:
        page.click("#vocoder-result a.wav")
    saved.value.save_as(tmp_path / "sound.wav")
    made, rate = audio.load(tmp_path / "sound.wav")
    assert (rate, made.shape[0]) == (22_050, 1)
    assert made.shape[1] / rate == pytest.approx(1.0, abs=0.02)


def test_pitch_and_time_change_the_picture_and_the_length(open_page):
    page = open_page()
    open_vocoder(page)
    shorten(page)
    before = page.evaluate("document.querySelector('#vocoder-mel canvas.mel').toDataURL()")
    set_number(page, "#vocoder-pitch", 7)
    expect(page.locator("#vocoder-mel .detail")).to_contain_text("+7 semitones", timeout=PATIENCE)
    assert page.evaluate("document.querySelector('#vocoder-mel canvas.mel').toDataURL()") != before
    set_number(page, "#vocoder-time", 1.5)
    expect(page.locator("#vocoder-mel .detail")).to_contain_text("1.5 times as long", timeout=PATIENCE)
    choose(page, "#vocoder-schedule", "2 steps")
    make(page)
    durations = page.evaluate("[...document.querySelectorAll('#vocoder-result audio')].map((audio) => audio.duration)")
    assert durations == pytest.approx([1.0, 1.5, 1.5], abs=0.02)


def test_files_are_read_and_what_was_done_is_said(open_page, tmp_path):
    page = open_page()
    open_vocoder(page)
    time = np.arange(60_000) / 48_000
    (tmp_path / "two tones.wav").write_bytes(wav(np.stack([np.sin(2000 * time), np.sin(3000 * time)], 1) * 0.3, 48_000))
    send_file(page, tmp_path / "two tones.wav")
    expect(title_of(page, "#vocoder-source")).to_have_text("two tones", timeout=PATIENCE)
    expect(page.locator("#vocoder-report")).to_contain_text("mono")
    expect(page.locator("#vocoder-report")).to_contain_text("48000")
    shorten(page, 0.5)
    choose(page, "#vocoder-schedule", "2 steps")
    make(page)
    made = page.locator("#vocoder-result .detail").inner_text()

    # What is no sound is a sentence, and nothing is lost.
    for name, content, word in (
        ("notes.wav", b"RIFF not a sound", "not a sound file"),
        ("silence.wav", wav(np.zeros(20_000), 22_050), "silent"),
    ):
        (tmp_path / name).write_bytes(content)
        send_file(page, tmp_path / name)
        toast = page.locator(".toast-body, [data-testid=toast-body]").filter(has_text=word).first
        expect(toast).to_be_visible(timeout=PATIENCE)
        assert "/tmp" not in toast.inner_text()
    expect(title_of(page, "#vocoder-source")).to_have_text("two tones")
    assert page.locator("#vocoder-result .detail").inner_text() == made
    assert page.locator("#vocoder-result audio").count() == 3


def test_cancelled_work_leaves_what_was_there(open_page):
    page = open_page()
    open_vocoder(page)
    shorten(page, 0.5)
    choose(page, "#vocoder-schedule", "2 steps")
    make(page)
    before = page.locator("#vocoder-result .detail").inner_text()
    choose(page, "#vocoder-schedule", "Another number of steps")
    set_number(page, "#vocoder-steps", 200)
    # The answer, which brings the longest possible length for so many steps, would overwrite what is typed before it comes.
    page.wait_for_function("document.querySelector('#vocoder-length input[type=number]').max === '3'", timeout=PATIENCE)
    shorten(page, 3.0)  # long enough that there is something left to be cancelled
    page.evaluate(STOP_SOON)
    page.click("#vocoder-make")
    expect(page.locator(".toast-body, [data-testid=toast-body]").first).to_contain_text("Cancelled", timeout=PATIENCE)
    expect(page.locator("#vocoder-result .making")).to_be_hidden(timeout=PATIENCE)
    assert page.locator("#vocoder-result .detail").inner_text() == before
    assert page.locator("#vocoder-result audio").count() == 3


def test_clips_of_other_tabs_are_heard(open_page):
    page = open_page()
    page.click("#morph")
    page.wait_for_selector("#result .note")
    assert send_to(page, "#send", "Vocoder") == "rendered to sound"
    expect(title_of(page, "#vocoder-source")).to_contain_text("→", timeout=PATIENCE)
    expect(page.locator("#vocoder-source .detail")).to_contain_text("33.0 seconds")
    shorten(page, 0.5)

    open_tab(page, "Grooves", "#groove-editor .note")
    page.click("#humanize")
    page.wait_for_selector("#groove-result .note")
    send_to(page, "#groove-send", "Vocoder")
    expect(title_of(page, "#vocoder-source")).to_contain_text("humanized", timeout=PATIENCE)

    open_tab(page, "Songs", "#song-a .note")
    page.click("#smooth")
    page.wait_for_selector("#song-result .note")
    send_to(page, "#song-send", "Vocoder")
    expect(title_of(page, "#vocoder-source")).to_contain_text("smoothed", timeout=PATIENCE)

    open_tab(page, "Band", "#band-style-a .note")
    page.click("#band-make")
    page.wait_for_function("document.querySelector('#band-roll audio').duration > 0")
    send_to(page, "#band-send", "Vocoder")
    expect(page.locator("#vocoder-source .detail")).to_contain_text("33.0 seconds", timeout=PATIENCE)


def test_without_a_model_the_tab_says_so(open_page, tmp_path_factory):
    folder = tiny_models.write(tmp_path_factory.mktemp("few"), (tiny_models.MELODY,))
    with serve(folder, tmp_path_factory) as address:
        page = open_page(address=address)
        open_tab(page, "Vocoder", "#vocoder-missing")
        expect(page.locator("#vocoder-missing")).to_contain_text("not installed here: wavegrad-music-22khz")
        page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_readable_at_every_width(open_page, width, scheme):
    page = open_page(width, scheme)
    open_vocoder(page)
    check_layout(page, width)
    shorten(page)
    make(page)
    check_layout(page, width)
    assert page.locator("#vocoder-result canvas.mel").bounding_box()["width"] >= min(270, width)
    picture(page, f"{width}-{scheme}-vocoder")

"""The components of the Band tab on Python's side: what goes to the page, and what is believed of what comes back."""

import json
import sys

import pretty_midi
import pytest

from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

from components import band_tracks
from components.band_roll import BandRoll, band_roll_value
from components.chord_editor import (
    MAX_TEXT,
    PRESETS,
    ChordEditor,
    check_progression,
    chord_editor_value,
)
from components.mixer import Mixer, mixer_value

from hub_models.music_vae.chord_symbols import ChordSymbolError
from hub_models.music_vae.chords import read_progression

HOSTILE = '<img src=x onerror="alert(1)">\u202eevil\x00\n\tname'
OPEN_MIX = {"muted": [], "solo": []}


def instrument(program, is_drum=False, name="", pitches=(60,), at=0.0):
    part = pretty_midi.Instrument(program, is_drum, name)
    part.notes = [pretty_midi.Note(90, pitch, at, at + 0.25) for pitch in pitches]
    return part


@pytest.fixture
def song():
    """Two bars at 120: bass, two pianos, drums."""
    music = pretty_midi.PrettyMIDI(initial_tempo=120)
    drums, bass = instrument(0, True, "Kit", (36, 42)), instrument(33, False, HOSTILE, (40,), at=2.0)
    music.instruments += [drums, bass, instrument(0, pitches=(60, 64)), instrument(0, pitches=(67,), at=1.0)]
    return music


def by_key(tracks):
    return {track["key"]: track for track in tracks}


# ---- Tracks


def test_instruments_of_one_program_are_one_track_and_drums_come_last(song):
    tracks = band_tracks.tracks_of(song, 120)
    assert [track["key"] for track in tracks] == ["p0", "p33", "drums"]
    assert [band_tracks.count(track) for track in tracks] == [3, 1, 2]
    assert [track["name"] for track in tracks] == ["Acoustic Grand Piano", "Electric Bass (finger)", "Drums"]


def test_times_are_in_ticks_of_a_quarter_at_the_tempo(song):
    assert by_key(band_tracks.tracks_of(song, 120))["p33"]["notes"] == [40, 96, 108, 90]
    assert by_key(band_tracks.tracks_of(song, 60))["p33"]["notes"] == [40, 48, 54, 90]


def test_a_note_has_at_least_a_tick():
    music = pretty_midi.PrettyMIDI()
    music.instruments.append(instrument(0))
    music.instruments[0].notes[0].end = 0.001
    assert band_tracks.tracks_of(music, 120)[0]["notes"] == [60, 0, 1, 90]


def test_names_from_files_are_asked_for_and_become_one_plain_line(song):
    name = by_key(band_tracks.tracks_of(song, 120, keep_names=True))["p33"]["name"]
    assert name.isprintable()
    assert len(band_tracks.plain_name("x" * 10_000)) == band_tracks.MAX_NAME
    assert band_tracks.plain_name("\u200b \u2066") == ""
    unnamed = by_key(band_tracks.tracks_of(song, 120, keep_names=True))["p0"]["name"]
    assert unnamed == "Acoustic Grand Piano"


def test_two_tracks_share_a_colour_only_when_there_are_more_tracks_than_colours():
    music = pretty_midi.PrettyMIDI()
    music.instruments += [instrument(program) for program in range(48, 48 + band_tracks.NUM_COLOURS)]
    colours = [track["colour"] for track in band_tracks.tracks_of(music, 120)]
    assert sorted(colours) == list(range(band_tracks.NUM_COLOURS))
    music.instruments.append(instrument(127))
    assert band_tracks.tracks_of(music, 120)[-1]["colour"] in range(band_tracks.NUM_COLOURS)


def test_every_colour_has_a_value_in_light_and_dark():
    for colour in [*range(band_tracks.NUM_COLOURS), "drums"]:
        assert band_tracks.STYLE.count(f"--track-{colour}: #") == 2


@pytest.mark.parametrize(
    ("mix", "heard"),
    [
        (OPEN_MIX, ["p0", "p33", "drums"]),
        ({"muted": ["drums"], "solo": []}, ["p0", "p33"]),
        ({"muted": ["drums"], "solo": ["drums"]}, ["drums"]),
        ({"muted": ["p0", "p33", "drums"], "solo": []}, []),
        ({"muted": [], "solo": ["p99"]}, ["p0", "p33", "drums"]),
    ],
)
def test_what_is_heard(song, mix, heard):
    keys = [track["key"] for track in band_tracks.tracks_of(song, 120)]
    assert band_tracks.audible(keys, mix) == heard


def test_a_song_of_some_tracks_leaves_the_whole_one_as_it_was(song):
    alone = band_tracks.only(song, ["drums"])
    assert [part.is_drum for part in alone.instruments] == [True]
    assert len(song.instruments) == 4
    assert alone.get_tempo_changes()[1][0] == pytest.approx(120)


def test_keys_are_those_that_tracks_have():
    for program in (0, 127):
        for is_drum in (False, True):
            assert band_tracks.is_key(band_tracks.track_key(program, is_drum))
    strange = ["p128", "p-1", "p", "q1", "", None, 3, "p٣", "drums ", "p0001", ["p1"], "<b>"]
    assert not any(band_tracks.is_key(key) for key in strange)


# ---- Roll


def test_a_roll_gets_plain_data_and_no_note_outside_of_its_bars(song):
    value = band_roll_value(band_tracks.tracks_of(song, 120), [["C"]], title="Song", tempo=120)
    assert json.loads(json.dumps(value)) == value
    assert value["bars"] == 1
    assert by_key(value["tracks"])["p33"]["notes"] == []
    assert by_key(value["tracks"])["p0"]["notes"][:4] == [60, 0, 12, 90]
    assert value["audible"] == ["p0", "p33", "drums"]


def test_the_same_notes_are_the_same_song(song):
    tracks = band_tracks.tracks_of(song, 120)
    first = band_roll_value(tracks, [["C"], ["F"]])
    again = band_roll_value(tracks, [["C"], ["F"]], audible=["p0"], tempo=90, title="Other")
    song.instruments[0].notes[0].pitch += 1
    other = band_roll_value(band_tracks.tracks_of(song, 120), [["C"], ["F"]])
    assert first["song"] == again["song"] != other["song"]
    assert again["audible"] == ["p0"]


def test_a_roll_is_bounded(song):
    track = band_tracks.tracks_of(song, 120)[0]
    many = {**track, "notes": [60, 0, 1, 90] * (band_tracks.MAX_NOTES + 5)}
    value = band_roll_value([many, track], [["C" * 500]] * 300, selected_bars=[0, 299, 5, 5])
    assert value["bars"] == 256
    assert sum(band_tracks.count(track) for track in value["tracks"]) == band_tracks.MAX_NOTES
    assert max(len(symbol) for bar in value["chords"] for symbol in bar) < 50
    assert value["selected_bars"] == [0, 5]


def test_only_chosen_bars_come_back_from_a_roll():
    roll = BandRoll()
    assert roll.preprocess({"selected_bars": [3, 1, 1], "tracks": [1], "title": "x"}) == {"selected_bars": [1, 3]}
    for strange in (None, [], "x", {}, {"selected_bars": None}, {"selected_bars": {"0": 1}}):
        assert roll.preprocess(strange) == {"selected_bars": []}
    assert roll.preprocess({"selected_bars": [-1, 256, 1e9, "2", True, None, [1], 2.0, 7]}) == {"selected_bars": [7]}


def test_files_of_a_roll_go_to_the_cache(song, tmp_path, monkeypatch):
    roll = BandRoll()
    monkeypatch.setattr(roll, "GRADIO_CACHE", str(tmp_path))
    files = {"midi": b"MThd", "wav": b"RIFF"}
    value = roll.postprocess(band_roll_value(band_tracks.tracks_of(song, 120), [["C"]], title="A <b> song", files=files))
    assert value["midi"]["orig_name"] == "a-b-song.mid"
    assert value["wav"]["path"].startswith(str(tmp_path))


def test_a_hint_is_text():
    assert "<b>" not in BandRoll(hint="<b>bold</b>").html_template


# ---- Mixer


def test_a_mixer_shows_each_track_and_keeps_what_is_still_there(song):
    value = mixer_value(band_tracks.tracks_of(song, 120), muted=["drums", "p99"], solo=["p33"])
    assert [(strip["key"], strip["count"]) for strip in value["tracks"]] == [("p0", 3), ("p33", 1), ("drums", 2)]
    assert (value["muted"], value["solo"]) == (["drums"], ["p33"])
    assert "notes" not in value["tracks"][0]


def test_only_keys_come_back_from_a_mixer():
    mixer = Mixer()
    given = {"muted": ["p0", "<script>", "p0", 5, None, "drums"], "solo": "p1", "tracks": [HOSTILE]}
    assert mixer.preprocess(given) == {"muted": ["p0", "drums"], "solo": []}
    assert mixer.preprocess({"muted": ["p1"] * 100_000}) == {"muted": ["p1"], "solo": []}
    for strange in (None, [], "x", {}):
        assert mixer.preprocess(strange) == OPEN_MIX


# ---- Chord editor


@pytest.mark.parametrize(("name", "text", "bars"), PRESETS)
def test_a_loop_to_begin_with_can_be_read_and_fills_its_bars(name, text, bars):
    progression = read_progression(text)
    assert bars % len(progression) == 0
    assert check_progression(text)["error"] is None


def test_the_loops_hold_those_that_people_look_for():
    texts = [text for _, text, _ in PRESETS]
    assert {"C G Am F", "Am F C G", "Cm F Bdim G C"} < set(texts)
    lengths = [len(read_progression(text)) for text in texts]
    assert {12, 32} < set(lengths)


def test_a_wrong_symbol_is_named_with_its_bar():
    found = check_progression("C Hm7 | F | Xx G")
    assert found["wrong"] == ["Hm7", "Xx"]
    assert found["error_bar"] == 1
    assert "Hm7" in found["error"]


def test_the_triad_that_a_symbol_counts_as_is_told():
    found = check_progression("Cmaj7 Am F#m7b5 Bb7 N.C.")
    assert found["heard"] == {"Cmaj7": "C", "F#m7b5": "F#dim", "Bb7": "Bb"}
    assert found["error"] is None


@pytest.mark.parametrize("text", ["", "  | |", None, 7, {"a": 1}])
def test_no_chords_are_told_in_a_sentence(text):
    assert "no chords" in check_progression(text)["error"]


def test_a_check_is_bounded():
    assert str(MAX_TEXT) in check_progression("C " * MAX_TEXT)["error"]
    assert "at most 256" in check_progression(" ".join(["C"] * 300))["error"]
    strange = check_progression(" ".join(f"{letter}{number}" for letter in "XYZ" for number in range(400)))
    assert 0 < len(strange["wrong"]) <= 64
    assert json.loads(json.dumps(strange)) == strange


def test_repeats_of_a_chord_or_bar_are_no_wrong_symbols():
    assert check_progression("| C / | % | F |") == {"error": None, "error_bar": None, "wrong": [], "heard": {}}


def test_an_error_marks_its_bar():
    value = chord_editor_value("C H", 8, ChordSymbolError("H", "it is none", 2))
    assert value["error_bar"] == 2
    assert value["error"].startswith("Chord symbol")
    assert chord_editor_value("C", 8)["error"] is None


def test_what_comes_back_from_an_editor_is_bounded():
    editor = ChordEditor()
    assert editor.preprocess({"text": "C F", "bars": 8, "error": HOSTILE}) == {"text": "C F", "bars": 8}
    assert len(editor.preprocess({"text": "C " * 50_000, "bars": 8})["text"]) == MAX_TEXT
    bars = [
        editor.preprocess({"text": "C", "bars": given})["bars"]
        for given in (0, -3, 500, 16.0, 1e300, float("nan"), None, "9")
    ]
    assert bars == [1, 1, 256, 16, 8, 8, 8, 8]
    for strange in (None, [], "C", {"text": ["C"]}):
        assert editor.preprocess(strange) == {"text": "", "bars": 8}


# ---- All


@pytest.mark.parametrize("component", [BandRoll, Mixer, ChordEditor])
def test_a_component_asks_nobody_for_anything_and_writes_no_html(component):
    made = component()
    code = made.js_on_load + made.html_template + made.css_template
    for outside in ("http://", "https://", "import(", "fetch("):
        own = code.replace("http://www.w3.org/2000/svg", "")
        assert outside not in own
    assert "innerHTML" not in made.js_on_load
    assert "insertAdjacentHTML" not in made.js_on_load
    for template in (made.html_template, made.css_template):
        assert not any(special in template for special in ("${", "{{", "`"))

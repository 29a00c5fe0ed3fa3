"""What Band and Songs make says where it is from, to the byte; and what they do with clips that come."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pretty_midi
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hub_models import Clip, midi
from hub_models.clips import Origin
from hub_models.music_vae.multitrack_events import END
from hub_models.sessions import read_session, reproduce, write_session

from .conftest import PATIENT, STUDIO
from .tiny_models import BAND, DRUMS, MELODY

sys.path.insert(0, str(STUDIO))

import api
import band as bands
import band_examples
from components.chord_editor import chord_editor_value
from engine import ATTRIBUTE_LABELS, Engine, find_models
from jukeboxes import Jukeboxes
from performer import Performers
from tabs import band, songs
from vocoder import Vocoders

MIX = {"muted": ["drums"], "solo": []}
FLAT = [0.0] * len(bands.ATTRIBUTE_LABELS)
CHANCE = (0.6, 11, True)  # temperature, seed, kept


class Room:
    """The two tabs with their endpoints, served by this process: what their handlers give, and its clip."""

    def __init__(self, models):
        engine, stand = Engine(find_models(models)), bands.Bandstand(bands.find_bands(models))
        with gr.Blocks() as self.page:
            self.band, self.songs = band.build(stand), songs.build(engine)
            api.add_endpoints(engine, stand, Vocoders([]), Performers([]), Jukeboxes([]))
        _, address, _ = self.page.queue().launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, share=False)
        self.client = Client(address, verbose=False, httpx_kwargs=PATIENT)
        self.handlers = {}
        for each in self.page.fns.values():
            if each.fn:  # of two of one name the first, which is not a slot's
                self.handlers.setdefault((each.fn.__module__, each.fn.__name__), each.fn)

    def press(self, tab, name, *values):
        """What a handler of a tab gives."""
        own = (SimpleNamespace(session_hash="me"), _silent) if tab is band else ()
        return self.handlers[tab.__name__, name](*own, *values, **({} if own else {"progress": _silent}))

    def play(
        self,
        button="on_make",
        chords="C Am F G",
        bars=8,
        styles=(),
        way=None,
        song=None,
        keep_style=False,
        keep_chords=False,
        seed=3,
        temperature=1.0,
        strengths=FLAT,
        chosen=None,
    ):
        """The song that the Band's controls make."""
        a, b = ({"styles": [style], "index": 0} for style in (*styles, *styles[:1], *_examples())[:2])
        way = way or (band.MORPH if len(styles) != 1 else "a")
        given = [BAND, chord_editor_value(chords, bars), way, a, b, temperature, seed, True, 117.0]
        given += [keep_style, keep_chords, song, MIX, *strengths]
        return self.press(band, button, *([{"selected_bars": chosen}] if chosen else []), *given)[0]

    def clip_of(self, song):
        return self.band.give(song, 117.0, MIX)

    def makes_again(self, clip, *others):
        return reproduce(clip, others, self.client).data == clip.data


def _silent(fraction, text):
    """A report of progress to nobody."""


def _examples():
    return [bands.example(name) for name in ("Rock band", "Dance floor")]


@pytest.fixture(scope="module")
def room(tiny_folder):
    room = Room(tiny_folder)
    yield room
    room.page.close()


@pytest.fixture(scope="module")
def song(room):
    return room.play()


@pytest.fixture(scope="module")
def clip(room, song):
    return room.clip_of(song)


# Band.


def test_a_clip_of_a_song_has_all_that_is_known_of_it(clip, song):
    assert (clip.name, clip.kind, clip.bars) == ("Rock band → Dance floor", "midi", 8)
    assert clip.tempo == pytest.approx(117)
    assert clip.chords == (("C",), ("Am",), ("F",), ("G",)) * 2
    assert clip.seconds == pytest.approx(8 * 4 * 60 / 117)
    assert clip.has_notes
    origin = clip.origin
    assert origin.action == "Rock band → Dance floor, over C Am F G"
    assert (origin.model, origin.seed, origin.parents) == (BAND, 3, ())
    assert origin.settings["styles"] == ["Rock band", "Dance floor"]
    assert origin.settings["muted"] == ["drums"], "what is muted is told; the file has every track"
    assert {(i.program, i.is_drum) for i in clip.music().instruments} == set(song.arrangement.tracks)


def test_a_song_can_be_made_again(room, clip, tmp_path):
    assert room.makes_again(clip)
    write_session([clip], tmp_path / "session.zip")
    again = read_session(tmp_path / "session.zip")[0]
    assert again.origin == clip.origin
    assert room.makes_again(again)


def test_a_song_that_was_changed_again_and_again_can_be_made_again(room, song):
    random = [
        room.handlers["tabs.band", "on_sample"](BAND, 0.7, seed, True, progress=_silent)[1]["styles"][0] for seed in (4, 5)
    ]
    loud = [1.5 if name == "loudness" else 0.5 if name == "num_tracks" else 0.0 for name in bands.ATTRIBUTE_LABELS]
    other_chords = room.play(chords="Dm G", song=song, keep_style=True, seed=9)
    other_dice = room.play(song=other_chords, keep_style=True, keep_chords=True, seed=10, temperature=0.4)
    two_bars = room.play("on_again", "F", song=other_dice, styles=random, seed=11, strengths=loud, chosen=[1, 2])
    one_bar = room.play("on_again", song=two_bars, keep_style=True, keep_chords=True, seed=12, chosen=[7])
    longer = room.play(chords="| C Am | F |", bars=12, song=one_bar, keep_style=True, seed=13)
    clip = room.clip_of(longer)
    assert clip.origin.settings["changes"] == [
        "over Dm G, seed 9",
        "played anew, seed 10",
        "bars 2, 3 played anew as Sample 4 → Sample 5, seed 11",
        "bar 8 played anew, seed 12",
        "over C Am | F, seed 13",
    ]
    assert all(room.makes_again(room.clip_of(one)) for one in (one_bar, longer))


def test_a_style_that_is_new_over_chords_that_stay_is_a_song_of_its_own(room, song):
    other = room.clip_of(room.play(song=song, chords="Bdim", styles=[bands.example("Funk")], keep_chords=True))
    assert other.chords == (("C",), ("Am",), ("F",), ("G",)) * 2
    assert other.origin.settings["changes"] == []
    assert room.makes_again(other)


def test_a_surprise_and_an_example_can_be_made_again(room):
    surprise = room.play("on_surprise", seed=21)
    assert surprise.title == "Sample 21 → Sample 22"
    assert room.makes_again(room.clip_of(surprise))
    example = room.press(band, "on_example", next(iter(band_examples.SONGS)), BAND, MIX)[0]
    assert room.makes_again(room.clip_of(example))


def test_bars_of_files_and_of_clips_are_remembered(room, clip, tmp_path):
    upload = tmp_path / "Ours.mid"
    upload.write_bytes(clip.data)
    uploaded = room.handlers["tabs.band", "on_upload"](BAND, str(upload), progress=_silent)[0]["styles"]
    assert uploaded[-1].name == "Ours · bar 8"
    of_file = room.clip_of(room.play(styles=[uploaded[-1], uploaded[2]], bars=4))
    assert (of_file.origin.parents, list(of_file.origin.files.values())) == ((), [clip.data])
    assert room.makes_again(of_file)

    sent, *_, report, editor = room.band.take(clip, BAND, chord_editor_value())
    assert "Its chords came along: C Am F G" in report
    assert (editor["text"], editor["bars"]) == ("C Am F G", 8)
    of_clip = room.clip_of(room.play(styles=[sent["styles"][5]], bars=4))
    assert of_clip.origin.parents == (clip.id,)
    assert of_clip.origin.files == {}
    assert room.makes_again(of_clip, clip)


def test_a_song_is_not_changed_for_ever(room, song, monkeypatch):
    monkeypatch.setattr(bands, "MAX_CHANGES", 1)
    once = room.play(song=song, keep_style=True)
    with pytest.raises(gr.Error, match="can be changed 1 times"):
        room.play(song=once, keep_style=True)
    monkeypatch.setattr(bands, "MAX_PLAYED_BARS", 15)
    with pytest.raises(gr.Error, match="15 bars"):
        room.play(song=song, keep_style=True)


def midi_clip(parts, name="Tune", metre=(4, 4), bars=2, **rest):
    """A clip of instruments, by their programs; None: drums."""
    music = pretty_midi.PrettyMIDI(initial_tempo=90)
    music.time_signature_changes.append(pretty_midi.TimeSignature(*metre, 0.0))
    for number, program in enumerate(parts):
        part = pretty_midi.Instrument(program or 0, program is None)
        beats = range(bars * metre[0])
        part.notes = [pretty_midi.Note(90, 40 + 7 * number + beat % 24, beat * 2 / 3, beat * 2 / 3 + 0.5) for beat in beats]
        music.instruments.append(part)
    return Clip.from_midi(music, name, **rest)


def test_band_says_what_it_does_with_a_clip(room, clip):
    reads = room.band.reads
    assert reads(midi_clip([0, 33])) == "the style of one of its bars"
    assert reads(midi_clip([0, 33], bars=70)) == "the style of one of its bars, the first 64 kept"
    assert reads(clip) == "the style of one of its bars; and its chords"
    assert reads(midi_clip([None])) is None
    assert reads(Clip.from_audio(_wav(), "Sound")) is None
    made = Origin(calls=clip.origin.calls)
    assert reads(midi_clip([0], origin=made)) is None, "one instrument is no band"
    assert reads(midi_clip([0, None], origin=made)) is not None


def _wav():
    import numpy as np

    from hub_models import audio

    return audio.to_wav_bytes(np.zeros((1, 800), np.float32), 8000)


def test_clips_that_give_no_style_say_why(room):
    for given, sentence in ((midi_clip([0]), "two instruments or more"), (midi_clip([0, 33], metre=(3, 4)), "3/4")):
        with pytest.raises(ValueError, match=sentence):
            room.band.take(given, BAND, chord_editor_value())


def test_chords_that_cannot_be_read_are_left_out_and_said(room):
    given = midi_clip([0, 33], chords=[["C"], ["Quux"]])
    *_, report, editor = room.band.take(given, BAND, chord_editor_value())
    assert "Its chords were left out" in report
    assert "Quux" in report
    assert editor == gr.skip()
    quiet = midi_clip([0, 33], chords=[["C"], []])
    assert room.band.take(quiet, BAND, chord_editor_value())[-1]["text"] == "C N.C."


def test_a_song_in_which_nothing_sounds_is_refused(room, monkeypatch):
    made = bands.Bandstand.make

    def silent(*given):
        song = made(*given)
        nothing = torch.full_like(song.arrangement.sequences, END)
        return replace(song, arrangement=replace(song.arrangement, sequences=nothing))

    monkeypatch.setattr(bands.Bandstand, "make", silent)
    with pytest.raises(gr.Error, match="plays nothing"):
        room.play()


# The endpoint's own words.


def arrange(room, **given):
    values = {
        "model": BAND, "progression": "C", "bars": 2, "style": None, "style_bar": None, "to_style": None,
        "to_style_bar": None, "strengths": {}, "tempo": 120, "temperature": 1.0, "seed": 3,
    }  # fmt: skip
    return room.client.predict(**{**values, **given}, api_name="/arrange")


def test_a_program_changes_a_song(room, clip, tmp_path):
    path = tmp_path / "band.mid"
    path.write_bytes(clip.data)
    styles = [{"example": "Funk"}, {"file": 0, "bar": 3}]
    again = {"only_bars": [2], "keep_style": True, "keep_chords": True, "seed": 8}
    _, _, first = arrange(room, styles=styles, style_files=[handle_file(path)])
    _, _, changed = arrange(room, styles=styles, style_files=[handle_file(path)], changes=[again, {**again, "seed": 9}])
    assert first["title"] == changed["title"] == "Funk → Bar 3"
    assert (first["seed"], changed["seed"]) == (3, 9)
    assert len(first["styles"]) == 1, "one file was read"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"styles": "Funk"}, "list of one or two"),
        ({"styles": [{"example": "Funk"}] * 3}, "list of one or two"),
        ({"styles": [{"example": "Polka"}]}, "no such example; there is Rock band"),
        ({"styles": [{"example": ["Funk"]}]}, "no such example"),
        ({"styles": ["Funk"]}, "must be an object"),
        ({"styles": [{"example": "Funk", "seed": 1}]}, "one of example, seed and file"),
        ({"styles": [{"tune": "Funk"}]}, "not tune"),
        ({"styles": [{"file": 0}]}, "places are none"),
        ({"styles": [{"seed": -1}]}, "seed must be a whole number"),
        ({"styles": [{"seed": 1, "temperature": 9}]}, "temperature"),
        ({"changes": {"keep_style": True}}, "list of at most 100"),
        ({"changes": [1]}, "must be an object"),
        ({"changes": [{"keep_style": 1, "keep_chords": True}]}, "keep_style must be true or false"),
        ({"changes": [{"keep_style": True}]}, "no chords yet"),
        ({"changes": [{"keep_chords": True}]}, "list of one or two"),
        ({"changes": [{"keep_style": True, "keep_chords": True, "only_bars": [3]}]}, "bars 1 to 2"),
        ({"changes": [{"keep_style": True, "keep_chords": True, "only_bars": 1}]}, "only_bars"),
        ({"changes": [{"keep_style": True, "keep_chords": True, "mood": "sad"}]}, "not mood"),
        ({"changes": [{"keep_style": True, "progression": "C", "bars": 256}] * 17}, "4,096 bars"),
    ],
)
def test_absurd_styles_and_changes(room, given, sentence):
    with pytest.raises(AppError, match=sentence):
        arrange(room, **given)


# Songs.


@pytest.fixture
def held(long_tune):
    return songs.songs.Held("A long tune", long_tune.read_bytes())


def test_whole_songs_can_be_made_again(room, held, tune):
    other = songs.songs.Held("A tune", tune.read_bytes())
    smoothed = room.press(songs, "on_smooth", MELODY, held, 3.5, *CHANCE)
    turned = room.press(songs, "on_morph", MELODY, held, other, 5, 95, "stretch", *CHANCE)
    mean = room.press(songs, "on_hold", MELODY, held, "note_density", True, 0, *CHANCE)
    fixed = room.press(songs, "on_hold", MELODY, held, "note_density", False, 0.7, *CHANCE)
    clips = [values[-1] for values in (smoothed, turned, mean, fixed)]
    assert [clip.origin.action for clip in clips] == [
        "Smooth A long tune",
        "Turn A long tune into A tune",
        *[f"Hold {ATTRIBUTE_LABELS['note_density'].lower()} in A long tune"] * 2,
    ]
    assert all(room.makes_again(clip) for clip in clips)
    assert {clip.origin.seed for clip in clips} == {11}
    assert room.songs.give(clips[0]) is clips[0]
    assert clips[0].tempo == pytest.approx(120)
    assert clips[0].bars == 20


def test_a_clip_is_song_a_with_its_tempo(room):
    given = midi_clip([0, 33, None], "Ours", bars=4)
    assert room.songs.reads(given) == "all of it as song A, at its own tempo"
    assert room.songs.reads(Clip.from_audio(_wav(), "Sound")) is None
    held, roll, _ = room.songs.take(given)
    assert (held.data, roll["title"]) == (given.data, "A · Ours")
    assert "90 bpm" in roll["detail"]
    made = room.press(songs, "on_smooth", MELODY, held, 0, *CHANCE)[-1]
    assert made.origin.parents == (given.id,)
    assert made.tempo == pytest.approx(90, abs=0.01)
    assert made.origin.files == {}
    assert room.makes_again(made, given)


def test_songs_without_notes_are_refused(room, tmp_path):
    silent = pretty_midi.PrettyMIDI()
    silent.instruments.append(pretty_midi.Instrument(0))
    (tmp_path / "silent.mid").write_bytes(midi.to_bytes(silent))
    with pytest.raises(gr.Error, match="no notes in this file"):
        room.handlers["tabs.songs", "on_upload"](str(tmp_path / "silent.mid"))
    drums_alone = songs.songs.Held("Drums", midi_clip([None]).data)
    with pytest.raises(gr.Error, match="a drum track"):
        room.press(songs, "on_smooth", MELODY, drums_alone, 0, *CHANCE)
    with pytest.raises(gr.Error, match="Song A is empty"):
        room.press(songs, "on_smooth", DRUMS, None, 0, *CHANCE)


def test_of_a_long_song_it_is_said_what_is_missing():
    music = pretty_midi.PrettyMIDI(initial_tempo=100)
    part = pretty_midi.Instrument(0)
    part.notes = [pretty_midi.Note(90, 60, number / 10, number / 10 + 0.1) for number in range(25_000)]
    music.instruments.append(part)
    shown = songs.songs.roll_value(music, "Long", made={"midi": b"MThd"})
    assert shown["detail"].endswith("the first 20,000 of 25,000 notes are drawn, too long for a WAV file")
    assert len(shown["notes"]) == 20_000

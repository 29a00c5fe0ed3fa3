"""What the Performer, the Vocoder and the Jukebox make: clips that are made again by the calls of their origin, exactly."""

import io
import sys

import numpy as np
import pretty_midi
import pytest
import soundfile
from gradio_client import Client

from hub_models import Clip, sessions

from .conftest import PATIENT, STUDIO
from .hands import Hands
from .test_performer import piano, scale
from .tiny_models import FREE_PERFORMER, JUKEBOX_RATE, PERFORMER, VOCODER

sys.path.insert(0, str(STUDIO))

import gradio as gr
from jukebox_models import find_jukeboxes
from jukebox_runs import RunFolders
from jukeboxes import Jukeboxes
from performer import Performers, find_performers
from tabs import jukebox, performer, vocoder
from vocoder import Vocoders, find_vocoders

pytestmark = pytest.mark.usefixtures("one_thread")

ODE = "Ode to Joy"


@pytest.fixture(scope="module")
def client(studio):
    return Client(studio, verbose=False, httpx_kwargs=PATIENT)


@pytest.fixture(scope="module")
def again(client):
    """Asserts that a clip is made again by its calls, also after it was in a session."""

    def again(clip, *others):
        file = io.BytesIO()
        sessions.write_session([clip, *others], file, sound=None)
        read, *rest = sessions.read_session(file.getvalue())
        assert read.origin == clip.origin
        made = sessions.reproduce(read, rest, client)
        assert made.data == clip.data, clip.name
        return made

    return again


@pytest.fixture(scope="module")
def tune():
    """A clip of two bars that ends in silence."""
    music = pretty_midi.PrettyMIDI(initial_tempo=120)
    flute = pretty_midi.Instrument(73)
    flute.notes = [pretty_midi.Note(90, 60 + 2 * index, index / 2, index / 2 + 0.4) for index in range(6)]
    music.instruments.append(flute)
    return Clip.from_midi(music, "A tune of mine", seconds=4.0)


def sound_file(seconds=2.5, rate=44_100, channels=2, level=0.999):
    """Contents of a sound file that is loud enough for every rounding to be heard."""
    time = np.arange(round(seconds * rate)) / rate
    sweep = level * np.sin(2 * np.pi * (200 + 300 * time) * time)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([sweep, np.roll(sweep, 3)][:channels], axis=1), rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


# ---- The Performer


@pytest.fixture(scope="module")
def performers(tiny_folder):
    return Performers(find_performers(tiny_folder))


@pytest.fixture
def pianist(performers):
    hands = Hands(lambda: performer.build(performers))
    hands.open()
    hands.set(performer_seconds=4)
    return hands


def test_a_melody_in_a_style(pianist, again):
    pianist.do("performer-make")
    clip = pianist.give()
    again(clip)
    assert (clip.kind, clip.has_notes, clip.origin.model) == ("midi", True, PERFORMER)
    assert clip.origin.action == "Perform Ode to Joy, in the style of Beethoven, Für Elise"
    assert clip.origin.settings["melody"] == ODE
    assert 4.0 <= clip.seconds < 5.1
    assert sorted(clip.origin.files) == ["beethoven-f-r-elise.mid", "ode-to-joy.mid"]


def test_two_styles_a_melody_of_the_tray_and_an_upload(pianist, tune, again, tmp_path):
    piano(scale(8, velocity=40)).write(str(tmp_path / "My piece.mid"))
    pianist.set(performer_style_b_upload=str(tmp_path / "My piece.mid"), performer_share=75)
    pianist.do("performer-style-b-upload", "upload")
    pianist.take(tune)
    pianist.set(performer_source="skyline")
    pianist.do("performer-source", "input")
    pianist.do("performer-make")
    clip = pianist.give()
    again(clip, tune)
    assert clip.origin.parents == (tune.id,)
    assert clip.origin.calls[0].arguments["melody"] == {"$clip": tune.id}
    assert clip.origin.calls[0].arguments["melody_source"] == "skyline"
    assert "my-piece.mid" in clip.origin.files


def test_pieces_that_were_stopped_and_went_on(pianist, again):
    pianist.set(performer_seconds=180)

    def stop_when_there_is_some():
        if pianist.shown("performer-roll")["notes"]:
            pianist.do("performer-stop")

    pianist.do("performer-make", meanwhile=stop_when_there_is_some)
    stopped = pianist.give()
    assert stopped.origin.settings["stopped_after_events"] == stopped.origin.calls[0].arguments["events"]
    pianist.set(performer_seconds=3)
    pianist.do("performer-continue")
    longer = pianist.give()
    pianist.do("performer-no-melody")
    pianist.do("performer-continue")
    longest = pianist.give()
    assert [len(clip.origin.calls) for clip in (stopped, longer, longest)] == [1, 2, 3]
    assert longest.origin.parents == (stopped.id, longer.id)
    assert longest.origin.action.startswith("Continue Ode to Joy")
    for clip in (stopped, longest):
        again(clip)
    pianist.do("performer-undo")
    assert pianist.give().id == longer.id

    pianist.do("performer-as-style")
    pianist.do("performer-make")
    styled = pianist.give()
    assert styled.origin.parents == (longer.id,)
    again(styled, longer)


def test_a_long_chain_is_made_again_from_its_middle(pianist, again, monkeypatch):
    monkeypatch.setattr("performer_pieces.MAX_CALLS", 1)
    pianist.do("performer-make")
    pianist.do("performer-continue")
    clip = pianist.give()
    assert len(clip.origin.calls) == 1
    again(clip)


def test_an_opening_of_a_file(pianist, again, tmp_path):
    piano(scale(12)).write(str(tmp_path / "opening.mid"))
    pianist.set(performer_model=FREE_PERFORMER, performer_opening_upload=str(tmp_path / "opening.mid"), performer_until=5)
    pianist.do("performer-opening-upload", "upload")
    pianist.do("performer-make")
    clip = pianist.give()
    again(clip)
    assert clip.origin.settings["opening"] == "opening"
    assert clip.seconds > 8
    pianist.set(performer_until=12)  # the slider goes beyond the end
    pianist.do("performer-make")
    again(pianist.give())


def test_which_clips_have_a_melody(performers, pianist, tune):
    drums = Clip.from_midi(piano([], drums=[(36, 0.0, 0.5, 90)]), "Drums")
    sound = Clip.from_audio(sound_file(), "A sound")
    reads = pianist.desk.reads
    assert reads(tune) == "its melody, found in it"
    assert reads(drums) is None
    assert reads(sound) is None
    long = Clip.from_midi(piano([(60, 0.0, 1.0, 90), (62, 800.0, 801.0, 90)]), "Long")
    assert reads(long) == "its melody, found in it, first 5 minutes"
    only_free = Performers([performers.entries[FREE_PERFORMER]])
    assert Hands(lambda: performer.build(only_free)).desk.reads(tune) is None


def test_a_clip_without_a_melody_leaves_what_is_there(pianist):
    before = pianist.shown("performer-melody")
    with pytest.raises(ValueError, match="Drums cannot be used"):
        pianist.take(Clip.from_midi(piano([], drums=[(36, 0.0, 0.5, 90)]), "Drums"))
    assert pianist.shown("performer-melody") == before is not None


# ---- The Vocoder


@pytest.fixture
def vocoding(tiny_folder):
    vocoders = Vocoders(find_vocoders(tiny_folder))
    hands = Hands(lambda: vocoder.build(vocoders))
    hands.set(vocoder_schedule="2")
    return hands


def vocode(hands, **wished):
    hands.set(vocoder_length=1, **wished)
    hands.do("vocoder-make")
    return hands.give()


def test_a_part_of_a_file_other_in_pitch_and_time(vocoding, again, tmp_path):
    (tmp_path / "loud.wav").write_bytes(sound_file())
    vocoding.set(vocoder_upload=str(tmp_path / "loud.wav"))
    vocoding.do("vocoder-upload", "upload")
    clip = vocode(vocoding, vocoder_begin=0.7, vocoder_pitch=-3.5, vocoder_time=1.3)
    again(clip)
    assert (clip.kind, clip.name, clip.origin.model) == ("audio", "loud, vocoded", VOCODER)
    assert clip.seconds == pytest.approx(1.3, abs=1e-3)
    assert list(clip.origin.files) == ["loud.wav"]
    assert clip.origin.settings["begin"] == 0.7
    vocoding.set(vocoder_schedule="own", vocoder_steps=3)
    again(vocode(vocoding))
    vocoding.set(vocoder_schedule="slow")
    again(vocode(vocoding, vocoder_begin=2.0))  # half a second is left


def test_clips_are_vocoded_as_they_are_or_rendered(vocoding, again, tune):
    vocoding.take(tune)
    clip = vocode(vocoding, vocoder_begin=1.5)
    assert clip.origin.parents == (tune.id,)
    assert clip.origin.calls[0].arguments["midi_seconds"] == 4.0
    again(clip, tune)
    vocoding.take(clip)
    twice = vocode(vocoding, vocoder_begin=0.25)
    assert twice.origin.parents == (clip.id,)
    assert not twice.origin.files
    again(twice, clip, tune)
    sound = Clip.from_audio(sound_file(2.0), "Stereo")
    vocoding.take(sound)
    again(vocode(vocoding, vocoder_begin=0.1), sound)


def test_an_example_is_vocoded(vocoding, again):
    vocoding.open()
    again(vocode(vocoding))


def test_which_clips_can_be_heard(vocoding, tune):
    reads = vocoding.desk.reads
    assert reads(tune) == "rendered to sound"
    assert reads(Clip.from_audio(sound_file(), "A sound")) == "as it is"
    assert reads(Clip.from_audio(sound_file(61, 8000, 1), "Long")) == "as it is, up to 60 seconds of it at once"
    assert reads(Clip.from_audio(sound_file(0.2), "Short")) is None
    assert reads(Clip.from_audio(sound_file(301, 4000, 1), "Longer")) is None
    hours = piano([(60, 0.0, 1.0, 90), (62, 400.0, 401.0, 90)])
    assert reads(Clip.from_midi(hours, "Minutes")).startswith("rendered to sound, its first 5 minutes")
    assert reads(Clip.from_midi(piano([(60, 2000.0, 2001.0, 90)]), "Longest")) is None


def test_a_silent_clip_leaves_what_is_there(vocoding):
    vocoding.open()
    before = vocoding.shown("vocoder-source")
    with pytest.raises(ValueError, match="silent"):
        vocoding.take(Clip.from_audio(np.zeros(20_000), "Silence", sample_rate=8000))
    assert vocoding.shown("vocoder-source") == before is not None


# ---- The Jukebox


@pytest.fixture
def singer(tiny_folder, tmp_path):
    jukeboxes = Jukeboxes(find_jukeboxes(tiny_folder), RunFolders(tmp_path / "runs"))
    hands = Hands(lambda: jukebox.build(jukeboxes))
    hands.open()
    hands.set(jukebox_seconds=2.5, jukebox_count=2)
    return hands


def choose(hands, *keys):
    """Ticks the boxes of candidates."""
    hands.set(jukebox_cards={"chosen": list(keys)})
    hands.do("jukebox-cards", "input")


def test_candidates_and_their_songs(singer, again):
    singer.set(jukebox_temperature_0=0.7)
    singer.do("jukebox-make")
    first = singer.give()
    choose(singer, "1", "2")
    second = singer.give()
    assert first.data != second.data
    assert second.origin.settings["candidate"] == second.origin.calls[0].arguments["candidate"] == 2
    assert second.origin.settings["artist"] == "low voice"
    assert second.origin.calls[0].arguments["temperatures"][0] == 0.7
    again(first)
    again(second)
    choose(singer, "2")
    singer.do("jukebox-upsample")
    fine = singer.give()
    assert fine.origin.settings["level"] == "Fine"
    assert fine.origin.action == "Upsample low voice, nursery, candidate 2"
    again(fine)


def test_a_song_that_begins_with_a_clip_is_known_after_a_reload(singer, again, tune):
    singer.take(tune)
    singer.set(jukebox_count=1, jukebox_kept=1.3)
    singer.do("jukebox-make")
    clip = singer.give()
    assert clip.origin.parents == (tune.id,)
    again(clip, tune)
    bench = singer.desk.opened_inputs[0]
    before = singer[bench]
    singer.values |= {bench._id: None, singer.desk.result._id: None}
    singer.open()
    assert singer[bench] is not before
    assert singer.give().id == clip.id


def test_a_song_that_begins_with_a_file(singer, again, tmp_path):
    (tmp_path / "loud.wav").write_bytes(sound_file())
    singer.set(jukebox_upload=str(tmp_path / "loud.wav"))
    singer.do("jukebox-upload", "upload")
    singer.set(jukebox_count=1, jukebox_kept=1.0)
    singer.do("jukebox-make")
    choose(singer, "1")
    singer.do("jukebox-upsample")
    clip = singer.give()
    assert list(clip.origin.files) == ["loud.wav"]
    assert clip.origin.settings["begins_with_seconds"] == 1.0
    again(clip)


def test_a_song_that_was_stopped_half_way_down(singer, again):
    singer.set(jukebox_count=1, jukebox_seconds=20)
    singer.do("jukebox-make")

    def stop_in_the_middle():
        if any(level["now"] and level["name"] == "Fine" for level in singer.shown("jukebox-view")["run"]["levels"]):
            singer.do("jukebox-stop-song")

    singer.do("jukebox-upsample", meanwhile=stop_in_the_middle)
    clip = singer.give()
    assert clip.origin.settings["level"] == "Middle"
    again(clip)


def test_a_part_of_a_longer_song(singer, again):
    singer.set(jukebox_count=1)
    singer.do("jukebox-make")
    whole = singer.give()
    singer.set(jukebox_keep_seed=True, jukebox_offset=10, jukebox_total=30)
    singer.do("jukebox-make")
    part = singer.give()
    assert (part.origin.settings["offset_seconds"], part.origin.settings["total_seconds"]) == (10, 30)
    assert part.origin.seed == whole.origin.seed
    again(part)
    singer.set(jukebox_total=11)
    with pytest.raises(gr.Error, match="end after the whole song"):
        singer.do("jukebox-make")
    assert singer.give().id == part.id


def test_how_a_clip_becomes_a_beginning(singer, tune):
    reads = singer.desk.reads
    assert reads(tune) == "rendered to sound, its first 3 seconds, to go on from"
    assert reads(Clip.from_audio(sound_file(1.25, JUKEBOX_RATE), "Short")) == "its first 1.25 seconds, to go on from"
    assert reads(Clip.from_audio(sound_file(0.2), "Shorter")) is None

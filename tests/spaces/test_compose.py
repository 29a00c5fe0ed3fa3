"""Whole pieces in the Studio: the endpoint, stages made anew through it, clips that come and go; on tiny models."""

import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file

from hub_models import Clip, audio, midi, sessions

from . import tiny_models
from .conftest import PATIENT, STUDIO

sys.path.insert(0, str(STUDIO))

import compose_cards as cards
import composer as composing
from band import Bandstand, find_bands
from composer import Composer
from developer import Developer
from engine import Engine, find_models
from jukebox_models import find_jukeboxes
from jukeboxes import Jukeboxes
from performer import Performers, find_performers
from tabs.compose import reads
from turns import Stopped
from validate import StudioError
from vocoder import Vocoders, find_vocoders

pytestmark = pytest.mark.usefixtures("one_thread")

CHORDS = "C Am F G"
QUICK = {"melody": {"candidates": 4}}


@pytest.fixture(scope="module")
def client(studio):
    return Client(studio, verbose=False, httpx_kwargs=PATIENT)


@pytest.fixture(scope="module")
def composer(tiny_folder):
    return composer_of(tiny_folder)


def composer_of(folder):
    developer = Developer(Vocoders(find_vocoders(folder)), Jukeboxes(find_jukeboxes(folder)))
    players = Engine(find_models(folder)), Bandstand(find_bands(folder)), Performers(find_performers(folder))
    return Composer(*players, developer)


@pytest.fixture(scope="module")
def piece(composer):
    return composer.create(composing.recipe_of(CHORDS, 3))


@pytest.fixture(scope="module")
def composed(client):
    return client.predict(chords=CHORDS, seed=3, state=QUICK, api_name="/compose")


# ---- The endpoint


def test_a_piece_comes_as_midi_sound_and_json(composed):
    mix, wav, chords, melody, band, piano, state = composed
    music, (sound, rate) = midi.load(mix), audio.load(wav)
    assert music.get_end_time() == pytest.approx(state["seconds"], abs=0.5)
    assert sound.shape[1] / rate == pytest.approx(state["seconds"] + 1, abs=0.05)
    assert all(midi.load(path).instruments for path in (chords, melody, band, piano))
    assert state["chords"].split()[:4] == CHORDS.split()
    assert state["seeds"] == {"chords": 3, "melody": 3, "band": 3, "piano": 3}
    assert state["key"] == "C major"


def test_the_recipe_makes_it_again(client, composed):
    again = client.predict(state=composed[-1]["recipe"], api_name="/compose")
    assert Path(again[0]).read_bytes() == Path(composed[0]).read_bytes()
    assert again[-1] == composed[-1]


def test_a_stage_is_made_anew_with_the_rest_kept(client, composed):
    state = composed[-1]
    other = client.predict(state=state, reroll="melody", seed=9, follow=False, api_name="/compose")[-1]
    assert other["parts"]["melody"] != state["parts"]["melody"]
    assert other["parts"]["band"] == state["parts"]["band"]
    assert other["parts"]["piano"] == state["parts"]["piano"]
    assert other["seeds"]["melody"] == 9


def test_a_melody_is_taken_from_a_file(client, long_tune):
    state = client.predict(chords=CHORDS, melody=handle_file(long_tune), stages=["chords", "melody"], api_name="/compose")[
        -1
    ]
    assert set(state["parts"]) == {"melody"}
    assert state["parts"]["melody"]["tracks"][0]["program"] == 73


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"chords": "C Xyz"}, "Xyz"),
        ({"mood": "Sleepy"}, "no mood"),
        ({"tempo": 5000}, "tempo"),
        ({"seed": -4}, "seed"),
        ({"band_style": "Polka"}, "Polka"),
        ({"state": {"melody": {"fit": 7}}}, "fit of the melody"),
        ({"state": {"nonsense": {"x": 1}}}, "nonsense"),
        ({"state": {"recipe": 7}}, "recipe"),
        ({"reroll": "melody"}, "state"),
        ({"stages": ["melody"]}, "chords are always"),
        ({"stages": ["chords"]}, "At least one"),
    ],
)
def test_what_cannot_be_is_refused(client, arguments, said):
    with pytest.raises(Exception, match=said) as error:
        client.predict(**arguments, api_name="/compose")
    assert "Traceback" not in str(error.value)


# ---- Without the page


def test_missing_models_are_named(tmp_path):
    tiny_models.write(tmp_path, (tiny_models.BAND,))
    lonely = composer_of(tmp_path)
    assert lonely.missing == ["music-vae-mel-16bar", "transformer-autoencoder-piano"]
    with pytest.raises(StudioError, match="music-vae-mel-16bar"):
        lonely.create(composing.recipe_of(CHORDS, 3))


def test_what_is_locked_stays(composer, piece):
    other = composer.create(composing.recipe_of("", 4), piece, ("chords", "melody"))
    assert (other.chords, other.tempo, other.key) == (piece.chords, piece.tempo, piece.key)
    assert other.parts["melody"] == piece.parts["melody"]
    assert other.parts["band"] != piece.parts["band"]
    assert other.parts["piano"] != piece.parts["piano"]


def test_levels_outlast_a_new_piece(composer, piece):
    louder = piece.with_levels(piano=4)
    assert composer.create(composing.recipe_of(CHORDS, 5), louder).recipe.mix.levels == {"piano": 4.0}


def test_a_clip_becomes_the_melody_and_the_chords(composer, long_tune):
    clip = Clip.from_midi(midi.load(long_tune), "Long", chords=[["Dm"], ["G"], ["C"], ["C"]])
    begun = composer.begun_with(clip)
    assert set(begun.parts) == {"chords", "melody"}
    assert begun.chords[:3] == (("Dm",), ("G",), ("C",))
    assert begun.tempo == pytest.approx(120)
    assert begun.parents == (clip.id,)
    whole = composer.create(composing.recipe_of("", 4), begun, ("chords", "melody"))
    assert whole.parts["melody"] == begun.parts["melody"]
    assert whole.clip().origin.parents == (clip.id,)


def test_it_says_what_it_does_with_a_clip(long_tune):
    clip = Clip.from_midi(midi.load(long_tune), "Long")
    assert reads(clip).startswith("its melody, first 16 bars")
    assert "chords" in reads(Clip.from_midi(midi.load(long_tune), "Long", chords=[["C"]]))
    assert reads(Clip.from_audio(np.zeros((1, 8000), np.float32), "Sound", sample_rate=8000)) is None


def test_styles_are_named_random_or_from_a_file(tune):
    file = composing.read_style(str(tune), "A tune")
    assert composing.style_of(composing.file_choice(file), composing.BARS, file) == file
    assert composing.style_of(composing.BY_MOOD, composing.BARS) is None
    assert composing.style_of(composing.RANDOM, composing.BARS, seed=7).seed == 7
    with pytest.raises(StudioError, match="no such style"):
        composing.style_of("Polka", composing.BARS)


@pytest.mark.parametrize("stage", ["chords", "melody", "band", "piano", "mix"])
def test_every_card_has_notes_and_files(piece, stage):
    value = cards.roll_value(piece, stage)
    assert value["midi"][:4] == b"MThd"
    assert value["wav"][:4] == b"RIFF"
    assert value.get("notes") or value.get("tracks")


def test_what_the_tab_gives_is_the_part_that_is_chosen(piece):
    names = {part: composing.Piece(piece, part).clip() for part in ("mix", "melody", composing.SOUND)}
    assert names["mix"].id != names["melody"].id
    assert names[composing.SOUND].kind == "audio"
    assert names["melody"].chords == piece.chords


def test_the_status_is_a_progress_bar():
    html = cards.status_html(0.5, "The <band> plays")
    assert 'aria-valuenow="50"' in html
    assert "&lt;band&gt;" in html
    assert 'data-busy="true"' in html
    assert 'data-busy="false"' in cards.status_html(1.0, "Composed")


# ---- Further, as sound


@pytest.mark.parametrize(
    ("way", "asked", "seconds"), [("continue", 2.0, None), ("reimagine", 3.5, 3.5), ("revoice", 1.5, 1.5)]
)
def test_a_piece_is_taken_further(client, composed, way, asked, seconds):
    state = composed[-1]
    wav, figures = client.predict(state=state, way=way, seconds=asked, seed=4, api_name="/develop")
    sound, rate = audio.load(wav)
    expected = seconds or 64 * 60 / state["tempo"] + asked
    assert sound.shape[1] / rate == pytest.approx(expected, abs=0.1)
    assert figures["seconds"] == pytest.approx(expected, abs=0.1)
    assert (figures["way"], figures["seed"], figures["key"]) == (way, 4, state["key"])
    assert figures["model"] in (tiny_models.VOCODER, tiny_models.JUKEBOX)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"way": "sing"}, "continue, reimagine, revoice"),
        ({"seconds": 1000.0}, "from 1 to 60"),
        ({"seconds": 0.1}, "from 1 to 60"),
        ({"way": "continue", "seconds": 60.0}, "from 1 to 57, not 60"),
        ({"model": "nobody"}, "no such model"),
        ({"state": {}}, "state of a piece"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_developed_is_said(client, composed, wrong, said):
    with pytest.raises(Exception, match=said):
        client.predict(**{"state": composed[-1], "way": "revoice", "seconds": 2.0, **wrong}, api_name="/develop")


def test_development_is_stopped_at_once(composer, piece):
    def stop():
        raise Stopped

    for way in composer.developer.ways:
        with pytest.raises(Stopped):
            composer.developer.develop(piece, way, 3.5, 1, check=stop)


def test_without_sound_models_nothing_is_offered(piece):
    developer = Developer(Vocoders([]), Jukeboxes([]))
    assert developer.ways == []
    with pytest.raises(StudioError, match="not installed"):
        developer.develop(piece, "revoice", 2.0, 1)


@pytest.mark.parametrize("part", ["mix", "chords", "melody", "band", "piano", composing.SOUND])
def test_what_the_tab_gives_is_made_again_by_its_calls(client, composer, part):
    made = composer.create(composing.recipe_of(CHORDS, 5)).reroll("band", 9).with_levels(piano=-3.0)
    clip = composing.Piece(made, part).clip()
    assert sessions.reproduce(clip, [], client).data == clip.data


@pytest.mark.parametrize("way", ["continue", "reimagine", "revoice"])
def test_what_is_made_of_a_piece_is_made_again_by_its_calls(client, composer, piece, way):
    clip = composer.developer.develop(piece, way, 3.5, 11)
    given = composing.Piece(piece, composing.DEVELOPED, clip)
    assert composing.DEVELOPED in given.parts
    assert given.clip() is clip
    assert sessions.reproduce(clip, [], client).data == clip.data

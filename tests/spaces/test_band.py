"""Songs for a band: what stays and what changes, files, bounds and sentences; directly and over the endpoint."""

import sys

import mido
import numpy as np
import pretty_midi
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hub_models import audio, midi
from hub_models.music_vae.band_chords import chord_steps
from hub_models.music_vae.multitrack_measures import chord_tone_share

from .conftest import PATIENT, STUDIO
from .tiny_models import BAND, BAND_ATTRIBUTES, MELODY, TRIO

sys.path.insert(0, str(STUDIO))

import actions
import band as bands
import band_examples
from components import band_tracks
from validate import StudioError


@pytest.fixture(scope="module")
def stand(tiny_folder):
    return bands.Bandstand(bands.find_bands(tiny_folder))


@pytest.fixture(scope="module")
def client(studio):
    return Client(studio, verbose=False, httpx_kwargs=PATIENT)


def wish(chords="C Am F G", num_bars=8, styles=("Rock band", "Dance floor"), seed=3, **rest):
    styles = tuple(bands.example(name) for name in styles)
    return bands.Wish(bands.progression(chords, num_bars), styles, 1.0, seed, **rest)


@pytest.fixture(scope="module")
def song(stand):
    return stand.make(BAND, wish())


@pytest.fixture
def band_file(tmp_path):
    """Writes a MIDI file of `bars` bars in which several instruments play; gives its path."""

    def write(programs=(0, 33, 48), bars=3, metre=(4, 4), drums=True, name="Our band.mid"):
        music = pretty_midi.PrettyMIDI(initial_tempo=120)
        music.time_signature_changes.append(pretty_midi.TimeSignature(*metre, 0.0))
        for number, program in enumerate(programs):
            part = pretty_midi.Instrument(program, name=f"Part {number}")
            for beat in range(bars * metre[0]):
                pitch = 40 + (number * 5 + beat * (1 + beat // metre[0])) % 40
                part.notes.append(pretty_midi.Note(90, pitch, beat / 2, beat / 2 + 0.4))
            music.instruments.append(part)
        if drums:
            kit = pretty_midi.Instrument(0, is_drum=True)
            kit.notes = [pretty_midi.Note(90, 36, beat / 2, beat / 2 + 0.1) for beat in range(bars * metre[0])]
            music.instruments.append(kit)
        path = tmp_path / name
        music.write(str(path))
        return path

    return write


def bars_that_differ(one, other):
    return [bar for bar, same in enumerate((one.arrangement.sequences == other.arrangement.sequences).all(1)) if not same]


def test_a_song_has_its_chords_and_goes_from_style_to_style(stand, song):
    assert song.arrangement.chords == [["C"], ["Am"], ["F"], ["G"]] * 2
    assert song.title == "Rock band → Dance floor"
    first, last = (stand.as_read(BAND, bands.example(name)).latent for name in ("Rock band", "Dance floor"))
    assert np.allclose(song.arrangement.latents[0], first, atol=1e-5)
    assert np.allclose(song.arrangement.latents[-1], last, atol=1e-5)
    assert song.arrangement.tracks


def test_a_seed_gives_its_song(stand, song):
    assert bars_that_differ(stand.make(BAND, wish()), song) == []
    assert bars_that_differ(stand.make(BAND, wish(seed=4)), song) != []


def test_new_chords_keep_the_style(stand, song):
    other = stand.make(BAND, wish("Dm G", styles=(), seed=9, keep_style=True), song)
    assert other.arrangement.chords == [["Dm"], ["G"]] * 4
    assert (other.arrangement.latents == song.arrangement.latents).all()
    assert (other.arrangement.draws == song.arrangement.draws).all()
    assert other.title == song.title
    assert 3 not in bars_that_differ(other, song), "bar 4 is over G in both"
    assert 0 in bars_that_differ(other, song)


def test_a_longer_song_keeps_the_style(stand, song):
    longer = stand.make(BAND, wish("F", 16, styles=(), keep_style=True), song)
    assert longer.num_bars == 16
    assert (longer.arrangement.latents[::2] == song.arrangement.latents).all()


def test_a_new_style_keeps_the_chords(stand, song):
    other = stand.make(BAND, wish("Bdim", styles=("Funk",), keep_chords=True), song)
    assert other.arrangement.chords == song.arrangement.chords
    assert other.title == "Funk"
    assert (other.arrangement.latents == stand.as_read(BAND, bands.example("Funk")).latent).all()


def test_chosen_bars_alone_are_made_anew(stand, song):
    other = stand.make(BAND, wish("Dm", styles=("Funk",), seed=8, bars=(1, 2)), song)
    assert set(bars_that_differ(other, song)) <= {1, 2}
    assert bars_that_differ(other, song)
    assert other.arrangement.chords == [["C"], ["Dm"], ["Dm"], *song.arrangement.chords[3:]]
    locked = stand.make(BAND, wish("Dm", styles=(), seed=8, bars=(1, 2), keep_style=True, keep_chords=True), song)
    assert locked.arrangement.chords == song.arrangement.chords
    assert (locked.arrangement.latents == song.arrangement.latents).all()
    assert bars_that_differ(locked, song)
    with pytest.raises(StudioError, match="bars 1 to 8"):
        stand.make(BAND, wish(bars=(8,)), song)


def test_attributes_move_every_bar_and_can_be_taken_back(stand, song):
    moved = stand.make(BAND, wish(styles=(), strengths={"loudness": 1.5}, keep_style=True), song)
    distance = (moved.arrangement.latents - song.arrangement.latents).norm(dim=1)
    assert (distance > 0.1).all()
    back = stand.make(BAND, wish(styles=(), keep_style=True), moved)
    assert (back.arrangement.latents == song.arrangement.latents).all()
    with pytest.raises(StudioError, match="no attribute 'swing'"):
        stand.make(BAND, wish(strengths={"swing": 1.0}))


def test_stopping_ends_the_work(stand):
    brakes, told = actions.Brakes(), []

    def report(fraction, text):
        told.append(text)
        brakes.stop("me")

    with brakes.running("me", report) as guarded, pytest.raises(actions.Stopped):
        stand.make(BAND, wish(num_bars=32), report=guarded)
    assert len(told) == 1
    assert not brakes.stop("me"), "nothing runs any more"


def test_progress_is_told_to_the_end(stand):
    told = []
    stand.make(BAND, wish(num_bars=32), report=lambda fraction, text: told.append(fraction))
    assert told == sorted(told)
    assert len(told) > 4
    assert max(told) <= 1


@pytest.mark.parametrize(
    ("text", "num_bars", "sentence"),
    [
        ("C Hm F", 8, "'Hm' in bar 2"),
        ("", 8, "no chords yet"),
        (None, 8, "no chords yet"),
        ("| |", 8, "no chords yet"),
        ("C G", 500, "bars must be a whole number from 1 to 256, not 500"),
        ("C " * 300, None, "from 1 to 256, not 300"),
        ("C " * 5000, 8, "characters"),
        ("| " + "C " * 40 + "|", 4, "Bar 1 has 40 chords"),
    ],
)
def test_progressions_that_cannot_be_played(text, num_bars, sentence):
    with pytest.raises(StudioError, match=sentence):
        bands.progression(text, num_bars)


def test_a_progression_goes_round_and_is_written_short():
    chords = bands.progression("C Am", 5)
    assert chords == [["C"], ["Am"], ["C"], ["Am"], ["C"]]
    assert bands.progression_text(chords) == "C Am"
    assert bands.progression(bands.progression_text(chords), 5) == chords
    for text in ("| C Am | F |", "| C Am |"):
        halves = bands.progression(text, 6)
        assert bands.progression(bands.progression_text(halves), 6) == halves
    assert bands.progression("C Am F G", 2) == [["C"], ["Am"]]


def test_the_instruments_of_a_style_play_its_half_of_the_song(stand):
    song = stand.make(BAND, wish(num_bars=6))
    rock, dance = (
        {(part.program, part.is_drum) for part in bands.example(name).music.instruments}
        for name in ("Rock band", "Dance floor")
    )
    for bar, tracks in enumerate(song.arrangement.bar_tracks):
        assert set(tracks) == (rock if bar < 3 else dance)
    other = stand.make(BAND, wish("Dm E", num_bars=6, keep_style=True, seed=5), song)
    assert other.arrangement.bar_tracks == song.arrangement.bar_tracks
    more = stand.make(BAND, wish(num_bars=6, strengths={"num_tracks": 1.0}))
    assert (more.arrangement.lineups == -1).all()  # the slider would otherwise move nothing


def test_every_track_of_the_file_has_its_name_and_every_chord_its_marker(stand, song):
    music = stand.midi(song, 100)
    made = bands.files(music, song.num_bars, 100)
    file = mido.MidiFile(file=__import__("io").BytesIO(made["midi"]))
    names = [message.name for track in file.tracks for message in track if message.type == "track_name"]
    assert [name for name in names if name] == [track.name for track in song.arrangement.tracks]
    markers = [message.text for track in file.tracks for message in track if message.type == "marker"]
    assert markers == ["C", "Am", "F", "G"] * 2
    sound, sample_rate = audio.load(made["wav"])
    assert sound.shape[1] / sample_rate == pytest.approx(8 * 4 * 0.6 + 1.0, abs=0.05)
    assert 0.01 < np.abs(sound).max() <= 1.0


def test_the_sound_follows_the_mixer_and_the_midi_does_not(stand, song):
    music = stand.midi(song, 120)
    keys = [track["key"] for track in band_tracks.tracks_of(music, 120)]
    assert len(keys) > 1
    whole = bands.files(music, song.num_bars, 120)
    alone = bands.files(music, song.num_bars, 120, band_tracks.audible(keys, {"muted": [], "solo": keys[:1]}))
    silent = bands.files(music, song.num_bars, 120, band_tracks.audible(keys, {"muted": keys, "solo": []}))
    assert whole["midi"] == alone["midi"]
    assert np.abs(audio.load(whole["wav"])[0] - audio.load(alone["wav"])[0]).max() > 0.01
    assert np.abs(audio.load(silent["wav"])[0]).max() == 0
    assert audio.load(silent["wav"])[0].shape[1] > 15 * 44_100


def test_the_bars_of_a_file_are_styles(stand, band_file):
    found = stand.read(BAND, str(band_file()), "Our band")
    assert [style.name for style in found["styles"]] == ["Our band · bar 1", "Our band · bar 2", "Our band · bar 3"]
    assert {part.program for part in found["styles"][0].music.instruments} == {0, 33, 48}
    assert found["rejections"] == found["reductions"] == []
    bar = stand.read_bar(BAND, str(band_file()), 2)
    assert np.allclose(bar.latent, found["styles"][1].latent, atol=1e-5)


def test_what_is_too_much_is_reduced_and_said(stand, band_file):
    found = stand.read(BAND, str(band_file(programs=range(40))))
    assert any("8" in reduction and "41" in reduction for reduction in found["reductions"]), found["reductions"]
    assert all(len(style.music.instruments) == 8 for style in found["styles"])


def test_what_cannot_be_a_style_is_said(stand, band_file):
    with pytest.raises(ValueError, match="two instruments or more"):
        stand.read(BAND, str(band_file(programs=(0,), drums=False)))
    with pytest.raises(ValueError, match="3/4"):
        stand.read(BAND, str(band_file(metre=(3, 4))))
    with pytest.raises(ValueError, match="Bar 9"):
        stand.read_bar(BAND, str(band_file()), 9)


@pytest.mark.parametrize("name", band_examples.BARS)
def test_the_model_reads_every_example_bar_as_it_is(stand, name):
    style = bands.example(name)
    labels = stand.load(BAND).processor(style.music)["labels"]
    assert len(labels) == 1
    heard = stand.load(BAND).processor.decode(labels[0], 120)
    number = {(part.program, part.is_drum): len(part.notes) for part in style.music.instruments}
    assert {(part.program, part.is_drum): len(part.notes) for part in heard.instruments} == number
    assert stand.as_read(BAND, style).latent.shape == (8,)


@pytest.mark.parametrize("name", band_examples.SONGS)
def test_every_example_song_can_be_made(stand, name):
    recipe = band_examples.SONGS[name]
    made = stand.make(BAND, bands.wish_of(stand, BAND, recipe))
    assert made.num_bars == recipe.num_bars


def test_styles_of_another_model_are_refused(stand):
    other = bands.Style("Old", None, stand.as_read(BAND, bands.example("Funk")).latent, "another")
    with pytest.raises(StudioError, match="another model"):
        stand.as_read(BAND, other)
    with pytest.raises(StudioError, match="no such model"):
        stand.load("../../etc")


# The endpoint.


def arrange(client, **given):
    values = {
        "model": BAND, "progression": "C Am F G", "bars": 8, "style": None, "style_bar": None, "to_style": None,
        "to_style_bar": None, "strengths": {}, "tempo": 120, "temperature": 1.0, "seed": 3,
    }  # fmt: skip
    return client.predict(*{**values, **given}.values(), api_name="/arrange")


def test_a_program_gets_a_song(client, band_file):
    file = handle_file(band_file())
    midi_path, wav_path, summary = arrange(client, style=file, style_bar=2, to_style=file, strengths={"loudness": 1})
    music = midi.load(midi_path)
    assert summary["chords"] == [["C"], ["Am"], ["F"], ["G"]] * 2
    assert [track["name"] for track in summary["tracks"]] == [part.name for part in music.instruments]
    assert [event.text for event in music.text_events] == ["C", "Am", "F", "G"] * 2
    assert summary["seconds"] == 16
    assert len(summary["styles"]) == 2
    assert audio.load(wav_path)[0].shape[0] == 2
    again, _, _ = arrange(client, style=file, style_bar=2, to_style=file, strengths={"loudness": 1})
    assert midi.to_bytes(midi.load(again)) == midi.to_bytes(music)


def test_a_song_needs_no_file(client):
    _, _, summary = arrange(client, bars=None)
    assert len(summary["chords"]) == 4
    assert summary["title"] == "Sample 3"


def test_bands_are_listed(client):
    entry = next(model for model in client.predict(api_name="/models") if model["name"] == BAND)
    assert entry["representation"] == "multitrack"
    assert set(entry["attributes"]) == set(BAND_ATTRIBUTES)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"model": MELODY}, BAND),
        ({"progression": "C X"}, "'X' in bar 2"),
        ({"bars": 500}, "1 to 256, not 500"),
        ({"bars": 0}, "1 to 256"),
        ({"bars": 2.5}, "1 to 256"),
        ({"tempo": 10}, "tempo"),
        ({"temperature": 0}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"strengths": {"loudness": 9}}, "strength of loudness"),
        ({"strengths": [1]}, "strengths"),
    ],
)
def test_absurd_songs(client, given, sentence):
    with pytest.raises(AppError, match=sentence) as error:
        arrange(client, **given)
    assert "Traceback" not in str(error.value)


def test_files_that_give_no_style(client, band_file):
    for file, sentence in (
        (band_file(programs=(0,), drums=False), "two instruments or more"),
        (band_file(metre=(3, 4)), "3/4"),
    ):
        with pytest.raises(AppError, match=sentence):
            arrange(client, style=handle_file(file))
    with pytest.raises(AppError, match="number of a bar"):
        arrange(client, style=handle_file(band_file()), style_bar=0)


def test_other_endpoints_do_not_take_a_band(client):
    with pytest.raises(AppError, match=TRIO):
        client.predict(BAND, 1.0, 0, api_name="/sample")


@pytest.mark.parametrize("name", band_examples.SONGS)
def test_example_songs_are_music(name):
    """By their numbers: every bar sounds, nothing is clipped, a whole band plays on its chords."""
    stand = bands.Bandstand(bands.find_bands())
    model, recipe = bands.BUNDLED, band_examples.SONGS[name]
    song = stand.make(model, bands.wish_of(stand, model, recipe))
    music = stand.midi(song, recipe.tempo)
    sound, _ = audio.load(bands.files(music, song.num_bars, recipe.tempo)["wav"])
    assert song.arrangement.silent_bars == []
    assert len(song.arrangement.tracks) >= 4
    assert all(len(part.notes) >= song.num_bars / 4 for part in music.instruments)
    bars = sound[:, : sound.shape[1] // song.num_bars * song.num_bars].reshape(2, song.num_bars, -1)
    assert np.sqrt((bars**2).mean(axis=(0, 2))).min() > 0.02
    at_the_limit = np.abs(sound) > 0.999
    assert not (at_the_limit[:, 1:] & at_the_limit[:, :-1]).any()  # a clipped wave stays there for several samples
    chords = chord_steps(song.arrangement.chords)
    shares = [chord_tone_share(song.arrangement.sequences, numbers) for numbers in (chords, np.roll(chords, 1, axis=0))]
    assert np.nanmean(shares[0]) > np.nanmean(shares[1]) + 0.1

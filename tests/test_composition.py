"""`hub_models.compose` on tiny models with random weights: stages made anew alone, edits, levels, JSON, refusals."""

import json

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import Composition, JukeboxSampler, WaveGradPipeline, audio, compose, midi
from hub_models.composing import fitting, mixing
from hub_models.composing.harmony import (
    Harmony,
    HarmonyError,
    Key,
    chord_tones,
    find_key,
    heard_key,
    scale_over,
    transpose_symbol,
)
from hub_models.composing.models import ComposingModels
from hub_models.composing.moods import MOODS, draw_progression, read_chords
from hub_models.composing.parts import CompositionError, Note, Part
from hub_models.composing.reading import read_melody
from hub_models.composing.settings import PLAYED, QUARTERS, STAGES, Recipe, Style, followers
from hub_models.composition import OUTPUTS

from .spaces import tiny_models

CHORDS = "C Am F G"
FEW = {"melody": {"candidates": 4}}


class Halt(Exception):
    """Stops the work."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    names = (tiny_models.LONG_MELODY, tiny_models.BAND, tiny_models.PERFORMER)
    folder = tiny_models.write(tmp_path_factory.mktemp("models"), names)
    return ComposingModels(*(folder / name for name in names))


@pytest.fixture(scope="module")
def piece(models):
    return compose(CHORDS, seed=3, recipe=FEW, models=models)


@pytest.fixture
def no_models():
    """Models that must not be needed."""

    def never():
        raise AssertionError("a model was asked for")

    return ComposingModels(never, never, never)


@pytest.fixture(scope="module")
def sound_models(tmp_path_factory):
    """What a piece is taken further with: a pipeline of WaveGrad, and what samples Jukebox."""
    folder = tiny_models.write(tmp_path_factory.mktemp("sound"), (tiny_models.VOCODER, tiny_models.JUKEBOX))
    return WaveGradPipeline.from_pretrained(folder / tiny_models.VOCODER), JukeboxSampler(folder / tiny_models.JUKEBOX)


def same(first, second, stage):
    return first.parts[stage] == second.parts[stage]


# ---- The whole


def test_a_piece_is_heard_stage_by_stage(models):
    heard = []
    made = compose(CHORDS, seed=3, recipe=FEW, models=models, on_stage=lambda stage, so_far: heard.append((stage, so_far)))
    assert [stage for stage, _ in heard] == list(STAGES)
    at_melody = heard[1][1]
    assert at_melody.tracks, "nothing can be heard after the melody"
    assert not at_melody.is_complete
    assert made.is_complete
    assert {track.name.split(":")[0] for track in made.tracks} == {"Melody", "Band", "Acoustic Grand Piano"}
    assert made.chords == read_chords(CHORDS)
    assert made.key == "C major"


def test_its_midi_has_chords_key_and_tempo(piece):
    music = midi.load(midi.to_bytes(piece.midi))
    assert [event.text for event in piece.midi.text_events][:4] == CHORDS.split()
    assert music.key_signature_changes[0].key_number == 0
    assert midi.summary(music)["tempo"] == pytest.approx(piece.tempo, abs=0.1)
    assert max(note.end for part in music.instruments for note in part.notes) <= piece.seconds + 1e-3


def test_its_sound_is_loud_and_not_clipped(piece):
    sound = piece.audio(22_050)
    assert sound.shape[0] == 2
    assert sound.shape[1] / 22_050 == pytest.approx(piece.seconds + 1.0, abs=0.01)
    assert np.abs(sound).max() == pytest.approx(0.89, abs=1e-3)


def test_the_same_seed_gives_the_same_piece(models, piece):
    again = compose(CHORDS, seed=3, recipe=FEW, models=models)
    assert midi.to_bytes(again.midi) == midi.to_bytes(piece.midi)
    other = compose(CHORDS, seed=4, recipe=FEW, models=models)
    assert not any(same(other, piece, stage) for stage in PLAYED)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_given_is_chosen(seed, models):
    made = compose(seed=seed, recipe=FEW, models=models)
    mood = MOODS[made.frame.mood]
    assert mood.tempi[0] <= made.tempo <= mood.tempi[1]
    assert made.key.endswith(mood.mode)
    assert made.parts["band"].how["style"] in mood.bands
    assert made.parts["piano"].how["style"] in mood.pianos


def test_it_can_be_stopped_with_what_is_there(models):
    so_far = []

    def check():
        if so_far and "band" in so_far[-1].parts:
            raise Halt

    with pytest.raises(Halt):
        compose(CHORDS, seed=3, recipe=FEW, models=models, on_stage=lambda stage, made: so_far.append(made), check=check)
    kept = so_far[-1]
    assert set(kept.parts) == {"chords", "melody", "band"}
    assert kept.clip().has_drums or kept.clip().has_notes
    assert kept.clip().origin.calls[0].arguments["stages"] == ["chords", "melody", "band", "mix"]


def test_progress_goes_from_nothing_to_all(models):
    told = []
    compose(CHORDS, seed=3, recipe=FEW, models=models, progress=lambda share, text: told.append(share))
    assert told[0] == 0.0
    assert told[-1] == 1.0
    assert told == sorted(told)


# ---- Changes


@pytest.mark.parametrize("stage", PLAYED)
def test_a_stage_is_made_anew_alone(stage, piece):
    other = piece.reroll(stage, seed=99, follow=False)
    assert not same(other, piece, stage)
    assert all(same(other, piece, kept) for kept in ("chords", *PLAYED) if kept != stage)
    assert other.recipe.of(stage).seed == 99
    assert same(other.reroll(stage, seed=3, follow=False), piece, stage), "its own seed gives it again"


def test_what_is_made_for_a_stage_follows_it(piece):
    other = piece.reroll("melody", seed=99)
    assert not same(other, piece, "piano")
    assert same(other, piece, "band")
    assert followers("chords") == ("melody", "band", "piano", "mix")


def test_what_stayed_once_follows_when_it_may(piece):
    alone = piece.reroll("melody", seed=99, follow=False)
    assert not same(alone.reroll("melody", seed=98), piece, "piano")
    own = piece.edit("melody", [[60, 0, 1, 90]]).reroll("chords", seed=5)
    assert [list(note) for note in own.notes("melody")] == [[60, 0, 1, 90]], "what a person wrote is lost"


def test_other_chords_are_in_the_same_key_and_time(piece):
    other = piece.reroll("chords", seed=5, follow=False)
    assert other.chords != piece.chords
    assert (other.key, other.tempo, other.frame.mood) == (piece.key, piece.tempo, piece.frame.mood)
    assert all(same(other, piece, stage) for stage in PLAYED)


def test_a_melody_is_edited_and_the_rest_stays(piece, models):
    notes = [[60, 0, 1, 90], [64, 1, 2, 80], [67, 4, 8, 80]]
    edited = piece.edit("melody", notes)
    assert [list(note) for note in edited.notes("melody")] == notes
    assert all(same(edited, piece, stage) for stage in ("band", "piano"))
    assert edited.parts["melody"].tracks[0].program == piece.parts["melody"].tracks[0].program
    assert not same(piece.edit("melody", notes, follow=True), piece, "piano")
    assert same(edited.reroll("melody", seed=3, follow=False), piece, "melody"), "the model's own comes back"


def test_chords_are_edited_by_their_text(piece):
    edited = piece.edit("chords", "| Dm G | C |")
    assert edited.chords[:2] == (("Dm", "G"), ("C",))
    assert same(edited, piece, "melody")


def test_an_instrument_changes_and_no_note(piece):
    other = piece.with_program(73)
    assert other.parts["melody"].tracks[0].program == 73
    assert other.notes("melody") == piece.notes("melody")


def test_settings_change(piece):
    other = piece.change("band", style="Funk")
    assert other.parts["band"].how["style"] == "Funk"
    assert same(other, piece, "piano")
    with pytest.raises(CompositionError, match="has no setting"):
        piece.change("band", colour="red")


def test_levels_and_mutes_change_the_mix_alone(piece):
    def loudness(made, name):
        return sum(note.velocity for track in made.tracks if track.name.startswith(name) for note in track.notes)

    softer = piece.with_levels(piano=-6)
    assert loudness(softer, "Acoustic Grand") < loudness(piece, "Acoustic Grand")
    assert loudness(softer, "Melody") == loudness(piece, "Melody")
    assert softer.parts == piece.parts
    assert not any(track.name.startswith("Band") for track in piece.with_levels(muted=["band"]).tracks)
    assert piece.with_levels(ending=False).seconds < piece.seconds


def test_it_ends_on_the_chord_of_its_key(piece):
    last = [note for track in piece.tracks if not track.is_drum for note in track.notes if note.start >= QUARTERS]
    assert {note.pitch % 12 for note in last} <= set(chord_tones("C"))
    assert all(note.end <= QUARTERS + 4 for note in last)


def test_the_melody_is_loudest_and_nothing_is_muddy(piece):
    part = Part(tuple(track for track in piece.parts["band"].tracks), {})
    has_bass = any(track.is_bass for track in part.tracks)
    piano = [note for track in piece.tracks if track.name.startswith("Acoustic Grand Piano") for note in track.notes]
    assert not has_bass or min(note.pitch for note in piano if note.start < QUARTERS) >= mixing.ABOVE_THE_BASS


# ---- JSON and clips


def test_json_holds_all_of_it(piece, no_models):
    changed = piece.with_levels(band=-2, muted=["piano"]).edit("melody", [[60, 0, 1, 90]])
    again = Composition.from_dict(json.loads(json.dumps(changed.to_dict())), no_models)
    assert again.parts == changed.parts
    assert midi.to_bytes(again.midi) == midi.to_bytes(changed.midi)
    assert again.recipe == changed.recipe


def test_a_recipe_makes_it_again(piece, models):
    changed = piece.reroll("melody", seed=8, follow=False).with_levels(piano=3)
    again = compose(recipe=json.loads(json.dumps(changed.recipe.to_dict())), models=models)
    assert midi.to_bytes(again.midi) == midi.to_bytes(changed.midi)


def test_clips_say_what_makes_them(piece):
    clips = piece.clips
    assert set(clips) == {"chords", *PLAYED, "mix"}
    mix = clips["mix"]
    assert mix.chords == piece.chords
    assert mix.key == "C major"
    assert mix.seconds == pytest.approx(piece.seconds)
    assert mix.origin.calls[0].endpoint == "/compose"
    assert Recipe.from_dict(mix.origin.calls[0].arguments["state"]) == piece.recipe
    assert len({clip.origin.output for clip in clips.values()}) == len(clips)
    assert clips["melody"].origin.model
    assert piece.audio_clip(22_050).kind == "audio"


def test_a_style_from_a_file_is_in_the_recipe(piece, models):
    music = pretty_midi.PrettyMIDI()
    music.instruments.append(pretty_midi.Instrument(0))
    music.instruments[0].notes = [pretty_midi.Note(80, 60 + beat % 12, beat / 2, beat / 2 + 0.4) for beat in range(12)]
    other = piece.change("piano", style=Style.read(music, {}, False))
    assert Recipe.from_dict(json.loads(json.dumps(other.recipe.to_dict()))) == other.recipe
    assert not same(other, piece, "piano")


def test_a_melody_is_brought_along(models, long_melody):
    made = compose(CHORDS, melody=midi.to_bytes(long_melody), seed=1, models=models)
    assert [note.pitch for note in made.notes("melody")][:3] == [72, 74, 76]
    assert max(note.end for note in made.notes("melody")) <= QUARTERS


@pytest.fixture
def long_melody():
    """Twenty bars: a scale above held chords, a bass and drums."""
    music = pretty_midi.PrettyMIDI(initial_tempo=120)
    for program, pitches, length in ((73, (72, 74, 76, 77), 0.5), (0, (55,), 2.0), (33, (36,), 1.0)):
        part = pretty_midi.Instrument(program)
        part.notes = [
            pretty_midi.Note(80, pitches[step % len(pitches)], step * length, step * length + 0.9 * length)
            for step in range(round(40 / length))
        ]
        music.instruments.append(part)
    return music


def test_the_highest_notes_are_the_melody(long_melody):
    part = read_melody(midi.to_bytes(long_melody))
    assert {note.pitch for note in part.notes} == {72, 74, 76, 77}
    assert part.tracks[0].program == 73
    with pytest.raises(CompositionError, match="no melody"):
        read_melody(midi.to_bytes(only_drums()))


def only_drums():
    music = pretty_midi.PrettyMIDI()
    music.instruments.append(pretty_midi.Instrument(0, is_drum=True))
    music.instruments[0].notes = [pretty_midi.Note(80, 36, 0.0, 0.1)]
    return music


# ---- Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chords": "C Xyz"}, "Xyz"),
        ({"chords": "   "}, "There are no chords"),
        ({"chords": "C " * 17}, "16 bars"),
        ({"key": "H major"}, "A key is"),
        ({"mood": "Sleepy"}, "There is no mood"),
        ({"tempo": 20}, "The tempo"),
        ({"tempo": float("nan")}, "The tempo"),
        ({"seed": -1}, "A seed"),
        ({"seed": 1.5}, "A seed"),
        ({"band": "Polka"}, "There is no style 'Polka'"),
        ({"piano": 7}, "takes no seed"),
        ({"melody": []}, "at least one note"),
        ({"melody": [[60, 3, 2, 80]]}, "out of range"),
        ({"melody": [[60, 0, 99, 80]]}, "out of range"),
        ({"melody": b"no MIDI"}, "MIDI"),
        ({"recipe": {"piano": {"fit": 2}}}, "The fit of the piano"),
        ({"recipe": {"piano": {"colour": 2}}}, "has no setting"),
        ({"recipe": {"band": {"style": {"name": "Funk", "seed": 1}}}}, "one of them"),
        ({"recipe": {"mix": {"levels": {"piano": 99}}}}, "The level of the piano"),
        ({"recipe": {"mix": {"muted": ["cowbell"]}}}, "cowbell"),
        ({"recipe": {"melody": {"material": {"tracks": []}}}}, "1 to 32 tracks"),
        ({"recipe": 7}, "A recipe is"),
        ({"recipe": {"drums": {}}}, "not of 'drums'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments, message, no_models):
    with pytest.raises(ValueError, match=message):
        compose(**arguments, models=no_models)


@pytest.mark.parametrize(
    "value", [None, {}, {"recipe": {}, "parts": 3}, {"recipe": {}, "parts": {"melody": {"tracks": [{"notes": [[1]]}]}}}]
)
def test_what_is_no_piece_is_refused(value):
    with pytest.raises(CompositionError):
        Composition.from_dict(value)


def test_stages_that_there_are_not(piece):
    for change in (piece.reroll, piece.edit):
        with pytest.raises(CompositionError, match="stages of a piece"):
            change("drums", None)
        with pytest.raises(CompositionError, match="mix is not"):
            change("mix", None)


def test_models_of_other_music_are_refused(tmp_path):
    folder = tiny_models.write(tmp_path, (tiny_models.MELODY,)) / tiny_models.MELODY
    with pytest.raises(CompositionError, match="sixteen-bar"):
        compose(CHORDS, models=ComposingModels(melody=folder))


# ---- The parts


def test_keys_are_read_and_written():
    assert Key.read("f# minor").name == "F# minor"
    assert Key.read("Bb").name == "Bb major"
    assert Key.read("Am") == Key(9, "minor")
    with pytest.raises(HarmonyError):
        Key.read("X")


def test_chords_take_the_place_of_their_neighbours():
    a_minor, c_major = Key.read("A minor"), Key.read("C major")
    assert scale_over(a_minor, chord_tones("E7")) == {9, 11, 0, 2, 4, 5, 8}
    assert scale_over(c_major, chord_tones("Fm")) == {0, 2, 4, 5, 7, 8, 11}
    assert scale_over(c_major, chord_tones("Bb")) == {0, 2, 4, 5, 7, 9, 10}


@pytest.mark.parametrize("name", MOODS)
def test_progressions_are_sixteen_bars_in_their_key(name):
    mood = MOODS[name]
    for tonic in range(12):
        key = Key(tonic, mood.mode)
        for seed in range(4):
            bars = draw_progression(mood, key, seed)
            assert len(bars) == 16
            assert find_key(bars) == key


@given(st.sampled_from(["C", "Am7", "F#m7b5", "Bbmaj7", "Dm/F", "N.C."]), st.integers(-11, 11), st.integers(0, 11))
@settings(max_examples=50, deadline=None)
def test_a_chord_goes_up_and_comes_back(symbol, semitones, tonic):
    key = Key(tonic, "major")
    there = transpose_symbol(symbol, semitones, key)
    assert chord_tones(transpose_symbol(there, -semitones, key)) == chord_tones(symbol)
    assert tuple((tone + semitones) % 12 for tone in chord_tones(symbol)) == chord_tones(there)


LINES = st.lists(st.tuples(st.integers(40, 90), st.integers(0, 250), st.integers(1, 16)), min_size=1, max_size=40).map(
    lambda rows: sorted({Note(pitch, start / 4, (start + length) / 4, 80) for pitch, start, length in rows})
)


@given(LINES, st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_notes_are_fitted_by_the_amount_that_is_asked_for(notes, amount):
    harmony = Harmony(read_chords("C Am F E7"), Key.read("A minor"))
    line = fitting.fit_line(notes, harmony, amount)
    assert [(note.start, note.end) for note in line] == [(note.start, note.end) for note in notes]
    wrong = {note for note in notes if not fitting.fits(note, harmony)}
    moved = {before for before, after in zip(notes, line, strict=True) if before != after}
    assert moved <= wrong
    assert len(moved) == round(amount * len(wrong))
    assert all(fitting.fits(note, harmony) for note in fitting.fit_line(notes, harmony, 1.0))
    assert all(abs(a.pitch - b.pitch) <= 6 for a, b in zip(notes, line, strict=True))


def test_loud_notes_are_louder():
    def peak(velocity):
        music = pretty_midi.PrettyMIDI()
        music.instruments.append(pretty_midi.Instrument(0))
        music.instruments[0].notes = [pretty_midi.Note(velocity, 60, 0.0, 0.5)]
        return np.abs(midi.render(music, 22_050)).max()

    assert peak(30) < 0.5 * peak(70) < 0.5 * peak(120)


def test_chords_are_heard_by_themselves(piece):
    held = piece.parts["chords"].notes
    assert {note.pitch % 12 for note in held if note.start < 4} == set(chord_tones("C"))
    assert max(note.end for note in held) == QUARTERS


# ---- Around a melody


def melody_of(pitches):
    return [[pitch, quarter, quarter + 1.0, 80] for quarter, pitch in enumerate(pitches)]


@pytest.mark.parametrize(
    ("pitches", "key"),
    [
        ((60, 60, 67, 67, 69, 69, 67, 65, 65, 64, 64, 62, 62, 60), "C major"),
        ((62, 62, 69, 69, 71, 71, 69, 67, 67, 66, 66, 64, 64, 62), "D major"),
        ((69, 71, 72, 71, 69, 68, 69, 76, 74, 72, 71, 69), "A minor"),
    ],
)
def test_the_key_of_a_melody_is_heard(pitches, key):
    assert heard_key(melody_of(pitches)).name == key
    assert heard_key(melody_of(pitches), ["minor"]).mode == "minor"


def test_one_note_for_ever_has_a_key():
    assert heard_key([(66, 0.0, 64.0)]).tonic == 6
    assert heard_key([(pitch, 0.0, 1.0) for pitch in range(60, 72)]) in [Key(tonic, "major") for tonic in range(12)]


def test_chords_suit_a_melody_that_is_given(models):
    tune = melody_of((62, 62, 69, 69, 71, 71, 69, 67, 67, 66, 66, 64, 64, 62))
    made = compose(melody=tune, seed=3, recipe=FEW, models=models)
    assert made.key == "D major"
    assert MOODS[made.frame.mood].mode == "major"
    assert compose("C Am F G", melody=tune, seed=3, recipe=FEW, models=models).key == "C major"
    assert compose(melody=tune, key="Bb major", seed=3, recipe=FEW, models=models).key == "Bb major"
    # Editing it does not change its chords.
    assert made.edit("melody", melody_of((60, 61, 62, 63))).chords == made.chords


# ---- Further, as sound


def heard(clip):
    sound, rate = audio.load(clip.data)
    return audio.mono(sound), rate


def test_jukebox_goes_on_where_the_bars_end(piece, sound_models):
    _, sampler = sound_models
    told = []
    first, again, other = (
        piece.continued(2.0, sampler, seed, progress=lambda share, text: told.append((share, text))) for seed in (1, 1, 2)
    )
    body = piece.with_levels(ending=False)
    sound, rate = heard(first)
    assert rate == sampler.sampling_rate
    assert len(sound) / rate == pytest.approx(body.seconds + 2.0, abs=0.1)
    # Until the two sounds run into one another it is the mix, as the model's rate has it.
    mix = audio.mono(audio.resample(body.audio(44_100), 44_100, rate))
    same = round((body.seconds - 0.06) * rate)
    np.testing.assert_allclose(sound[:same], mix[:same], atol=1e-3)
    assert first.data == again.data
    assert other.data != first.data
    np.testing.assert_array_equal(heard(other)[0][:same], sound[:same])
    assert told[-1][0] == 1.0
    assert "Jukebox, level 3 of 3" in told[-1][1]
    assert (first.tempo, first.key, first.kind) == (piece.tempo, piece.key, "audio")


def test_jukebox_imagines_it_anew_from_its_beginning(piece, sound_models):
    _, sampler = sound_models
    clip = piece.reimagined(4.0, sampler, seed=3)
    sound, rate = heard(clip)
    assert len(sound) / rate == pytest.approx(4.0, abs=0.1)
    assert np.abs(sound).max() > 0
    assert clip.origin.parents == (piece.clip().id,)
    with pytest.raises(CompositionError, match=r"2 of 1\.5 seconds"):
        piece.reimagined(1.5, sampler)


def test_wavegrad_gives_it_another_voice(piece, sound_models):
    pipeline, _ = sound_models
    steps = []
    clip = piece.revoiced(3.0, pipeline, 5, progress=lambda share, text: steps.append(text))
    sound, rate = heard(clip)
    assert (len(sound), rate) == (3 * pipeline.sample_rate, pipeline.sample_rate)
    assert steps == [f"WaveGrad, step {number} of 6" for number in range(1, 7)]
    assert piece.revoiced(3.0, pipeline, 5).data == clip.data
    short = piece.revoiced(1.0, pipeline, 5, num_inference_steps=2)
    assert short.seconds == pytest.approx(1.0, abs=0.01)


def test_what_is_told_ends_the_work(piece, sound_models):
    pipeline, sampler = sound_models

    def halt(share, text):
        raise Halt

    for make in (
        lambda: piece.revoiced(1.0, pipeline, 0, progress=halt),
        lambda: piece.continued(2.0, sampler, progress=halt),
        lambda: piece.reimagined(4.0, sampler, progress=halt),
    ):
        with pytest.raises(Halt):
            make()


def test_its_origin_makes_it_again_where_that_is_possible(piece, sound_models):
    """By the name of the model that the Studio knows; not with options that the Studio has no name for."""
    pipeline, sampler = sound_models
    named = piece.revoiced(1.0, pipeline, 5, model="mine").origin
    assert [call.endpoint for call in named.calls] == ["/compose", "/develop"]
    assert named.calls[1].arguments["model"] == named.model == "mine"
    assert OUTPUTS[named.calls[1].arguments["state"]["$output"]] == "state"
    assert piece.revoiced(1.0, pipeline, 5).origin.calls == ()
    assert piece.continued(2.0, sampler, model="mine", temperatures=0.5).origin.calls == ()

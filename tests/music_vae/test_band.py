"""The operations of a band on small random models: what each changes, what it keeps, and what it refuses."""

import dataclasses
import itertools

import numpy as np
import pretty_midi
import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor, midi
from hub_models.music_vae import (
    MULTITRACK_ATTRIBUTES,
    Arrangement,
    Band,
    BandTrack,
    ChordSymbolError,
    NoExamplesError,
    bundle,
    lineup_of,
    save_attribute_vectors,
    slerp,
)
from hub_models.music_vae.chords import chord_progression
from hub_models.music_vae.multitrack_events import END

from .conftest import SMALL
from .measures import write_measure, write_notes, write_scale

PRESET = "hier-multiperf_vel_1bar_med"
PIANO, BASS, KIT = BandTrack(0, False), BandTrack(33, False), BandTrack(0, True)


def random_band(preset: str = f"{PRESET}_chords", **arguments) -> Band:
    """A band whose music hangs on its latents and chords in some random way."""
    torch.manual_seed(3)
    model = MusicVAEModel(MusicVAEConfig.from_preset(preset, **SMALL)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.5)
        model.decoder.core.output_projection.bias[END] += 5.0  # tracks of about a dozen events
    return Band(model, MusicVAEProcessor.from_preset(preset), **arguments)


@pytest.fixture(scope="module")
def band() -> Band:
    return random_band()


@pytest.fixture(scope="module")
def band_without_chords() -> Band:
    return random_band(PRESET)


@pytest.fixture(scope="module")
def styles(band) -> torch.Tensor:
    return band.random_styles(3, seed=5)


@pytest.fixture(scope="module")
def song(band) -> Arrangement:
    return band.sample("C Am F G", num_bars=6, temperature=1.0, seed=1)


def written(*bars: np.ndarray, chords=None) -> Arrangement:
    """A song whose music is known."""
    sequences = torch.from_numpy(np.stack(bars))
    chords = [["C"] for _ in bars] if chords is None else chords
    return Arrangement(torch.zeros(len(bars), 6), chords, sequences, torch.zeros(len(bars), 512), None)


PIANO_BAR = write_notes(0, [60, 64, 67])
BASS_BAR, KIT_BAR = write_scale(33, [36, 43]), write_notes(128, [36], 24)


def notes_of(instrument: pretty_midi.Instrument) -> list[tuple]:
    return [(note.pitch, round(note.start, 6), round(note.end, 6)) for note in instrument.notes]


def equal(song: Arrangement, other: Arrangement) -> list[bool]:
    """Which bars have the same music."""
    return (song.sequences == other.sequences).all(dim=1).tolist()


# What a song is made of.


def test_a_song_has_a_style_chords_dice_and_music_for_every_bar(song):
    assert song.num_bars == len(song) == 6
    assert song.chords == [["C"], ["Am"], ["F"], ["G"], ["C"], ["Am"]]
    assert song.latents.shape == (6, 6)
    assert song.latents.dtype == song.draws.dtype == torch.float32
    assert song.draws.shape == song.sequences.shape == (6, 512)
    assert song.sequences.dtype == torch.int64
    assert song.temperature == 1.0
    assert len(torch.unique(song.latents, dim=0)) == len(torch.unique(song.draws, dim=0)) == 6


def test_the_same_seed_makes_the_same_song(band, song):
    assert all(equal(song, band.sample("C Am F G", 6, 1.0, seed=1)))
    assert all(equal(song, band.sample("C Am F G", 6, 1.0, seed=torch.Generator().manual_seed(1))))
    assert not any(equal(song, band.sample("C Am F G", 6, 1.0, seed=2)))
    assert not any(equal(song, band.sample("C Am F G", 6, 1.0)))


@pytest.mark.parametrize("temperature", [1.0, None])
def test_a_bar_is_the_same_alone_and_in_a_song(band, temperature):
    song = band.sample("C Am | F G | N.C. ", temperature=temperature, seed=4)
    numbers = chord_progression("C Am | F G | N.C.", steps_per_bar=96).reshape(3, 96)
    for bar in range(3):
        controls = band.processor.codec.timed_controls(numbers[bar])
        rows = slice(bar, bar + 1)
        alone = band.model.decode(
            song.latents[rows],
            temperature=temperature,
            controls=controls,
            draws=song.draws[rows],
            legal_only=True,
            first_temperature=None if temperature is None else band.program_temperature,
        )
        assert torch.equal(alone[0], song.sequences[bar])


def test_without_a_number_of_bars_a_song_is_as_long_as_its_progression(band):
    assert band.sample("C | Am F | %", seed=0).chords == [["C"], ["Am", "F"], ["Am", "F"]]
    assert band.sample(seed=0).chords == [["C"]]
    assert band.sample([["C", "Am"], ["Fmaj7"]], 3, seed=0).chords == [["C", "Am"], ["Fmaj7"], ["C", "Am"]]


def test_two_chords_in_a_bar_are_heard_one_after_the_other(band):
    """Whatever is played before the second chord begins is that of the first alone."""
    plain, mixed = (band.arrange(chords, style=torch.ones(6), temperature=1.0, seed=2) for chords in ("C", "C F#m |"))
    assert not any(equal(plain, mixed))
    tracks = list(zip(plain.sequences.view(8, 64), mixed.sequences.view(8, 64), strict=True))
    for number, (track, other) in enumerate(tracks):
        if number and any(before[-1] != -1 for before in tracks[number - 1]):
            continue  # after a track that fills all its places the next reads its last event
        assert END in track
        assert END in other
        durations = torch.where((track >= 256) & (track < 352), track - 255, 0).cumsum(0)
        same = int((durations < 48).sum()) + 1  # events up to the one that crosses the middle
        assert torch.equal(track[:same], other[:same])


def test_instruments_are_listed_by_program_with_the_drums_last():
    song = written(write_measure(KIT_BAR, BASS_BAR), write_measure(), write_measure(PIANO_BAR, KIT_BAR))
    assert song.tracks == [PIANO, BASS, KIT] == [(0, False), (33, False), (0, True)]
    assert [track.name for track in song.tracks] == ["Acoustic Grand Piano", "Electric Bass (finger)", "Drums"]
    assert song.bar_tracks == [[BASS, KIT], [], [PIANO, KIT]]
    assert song.silent_bars == [2]


# The operations.


def test_interpolation_goes_from_the_first_style_to_the_last_under_held_chords(band, styles):
    song = band.interpolate(styles[0], styles[1], 5, "Am", temperature=1.0, seed=0)
    assert song.chords == [["Am"]] * 5
    torch.testing.assert_close(song.latents, slerp(styles[0], styles[1], torch.linspace(0, 1, 5)))
    ends = [band.apply_style(style, "Am", temperature=1.0, seed=0) for style in styles[:2]]
    assert torch.equal(song.sequences[[0, -1]], torch.cat([end.sequences for end in ends]))
    with pytest.raises(ValueError, match="A path needs at least 2 styles and 2 bars; got 2 and 1"):
        band.interpolate(styles[0], styles[1], 1)


def test_one_style_over_a_loop_repeats_where_its_chords_do(band, styles):
    song = band.apply_style(styles[0], "C Am F G", 8, temperature=1.0, seed=0)
    assert torch.equal(song.latents, styles[:1].expand(8, -1))
    assert torch.equal(song.sequences[:4], song.sequences[4:])
    assert len(torch.unique(song.sequences, dim=0)) == 4
    own_dice = band.apply_style(styles[0], "C Am F G", 8, temperature=1.0, seed=0, share_draws=False)
    assert len(torch.unique(own_dice.sequences, dim=0)) == 8


def test_an_arrangement_follows_a_style_a_path_or_a_style_of_its_own(band, styles):
    path = band.arrange("C F", 5, path=list(styles), temperature=1.0, seed=0)
    middle = [slerp(*pair, torch.tensor([0.5]))[0] for pair in itertools.pairwise(styles)]
    expected = torch.stack([styles[0], middle[0], styles[1], middle[1], styles[2]])
    torch.testing.assert_close(path.latents, expected)
    assert path.chords == [["C"], ["F"], ["C"], ["F"], ["C"]]
    assert torch.equal(path.draws, path.draws[:1].expand(5, -1))
    assert torch.equal(band.arrange("C", 3, path=styles, seed=0).latents, styles)
    own = band.arrange("C F", 4, seed=9)
    assert torch.equal(own.latents, own.latents[:1].expand(4, -1))
    assert not torch.equal(own.latents[0], band.arrange("C F", 4, seed=10).latents[0])
    with pytest.raises(ValueError, match="a style or a path between styles, not both"):
        band.arrange("C", style=styles[0], path=styles)
    with pytest.raises(ValueError, match="A path needs at least 2 styles and 2 bars; got 1 and 4"):
        band.arrange("C", 4, path=styles[:1])


def test_changing_chords_keeps_styles_and_dice(band, song):
    changed = band.change_chords(song, "Dm Bb")
    assert changed.chords == [["Dm"], ["Bb"]] * 3
    assert torch.equal(changed.latents, song.latents)
    assert torch.equal(changed.draws, song.draws)
    assert not any(equal(changed, song))
    assert all(equal(band.change_chords(changed, "C Am F G"), song))
    assert song.chords[0] == ["C"]


def test_chords_can_change_in_some_bars_only(band, song):
    changed = band.change_chords(song, "Dm | Bb F", bars=[5, 2])
    assert changed.chords == [["C"], ["Bb", "F"], ["F"], ["G"], ["Dm"], ["Am"]]
    assert equal(changed, song) == [True, False, True, True, False, True]
    assert equal(band.change_chords(song, "E", bars=3), song) == [True, True, False, True, True, True]


def test_a_new_style_keeps_chords_and_dice(band, song, styles):
    restyled = band.restyle(song, styles[0])
    assert torch.equal(restyled.latents, styles[:1].expand(6, -1))
    assert (restyled.chords, restyled.temperature) == (song.chords, song.temperature)
    assert torch.equal(restyled.draws, song.draws)
    assert not any(equal(restyled, song))
    some = band.restyle(song, styles[:2], bars=[1, 6])
    assert torch.equal(some.latents[[0, 5]], styles[:2])
    assert equal(some, song) == [False, True, True, True, True, False]
    assert all(equal(band.restyle(some, song.latents), song))
    with pytest.raises(ValueError, match=r"latents must have the shape \(6,\) or \(2, 6\); got \(3, 6\)"):
        band.restyle(song, styles, bars=[1, 2])


def test_bars_can_be_played_anew(band, song):
    varied = band.vary(song, [2, 3], seed=7)
    assert equal(varied, song) == [True, False, False, True, True, True]
    assert torch.equal(varied.latents, song.latents)
    assert varied.chords == song.chords
    assert all(equal(varied, band.vary(song, [2, 3], seed=7)))
    assert not any(equal(varied.select([2, 3]), band.vary(song, [2, 3], seed=8).select([2, 3])))
    wilder = band.vary(song, 2, seed=7, amount=1.0)
    assert torch.equal(wilder.latents[[0, 2]], song.latents[[0, 2]])
    assert not torch.equal(wilder.latents[1], song.latents[1])
    with pytest.raises(ValueError, match="amount must be between 0 and 1, got 2"):
        band.vary(song, amount=2)


def test_attributes_move_styles(styles):
    band = random_band(attributes={"strings": torch.arange(6.0)})
    assert torch.equal(band.move(styles, "strings", -2.0), styles - 2 * torch.arange(6.0))
    assert torch.equal(band.move(styles[0], "strings", 1.0), styles[0] + torch.arange(6.0))
    with pytest.raises(ValueError, match="no attribute vector 'brass': they are strings"):
        band.move(styles, "brass", 1.0)
    with pytest.raises(ValueError, match="no attribute vector 'strings': this model comes with none"):
        random_band().move(styles, "strings", 1.0)


def test_songs_are_cut_and_joined(band, song):
    assert song.select([3, 1, 3]).chords == [["F"], ["C"], ["F"]]
    both = song + band.sample("E", temperature=1.0, seed=2)
    assert (both.num_bars, both.chords[-1], both.temperature) == (7, ["E"], 1.0)
    assert torch.equal(both.sequences[:6], song.sequences)
    swapped = song.replace_bars([1, 6], song.select([6, 1]))
    assert equal(swapped, song) == [False, True, True, True, True, False]
    assert [swapped.chords[0], swapped.chords[5]] == [["Am"], ["C"]]
    assert all(equal(band.restyle(swapped, swapped.latents), swapped))
    with pytest.raises(ValueError, match="2 bars cannot be replaced by 6"):
        song.replace_bars([1, 2], song)
    with pytest.raises(ValueError, match="of the same model; their latents have the sizes 6 and 4"):
        song + dataclasses.replace(song, latents=torch.zeros(6, 4))


# Progress.


def test_progress_is_reported_and_can_stop_the_work(band, song):
    seen = []
    slow = band.sample("C Am F G", 20, 1.0, seed=1, progress=lambda fraction, text: seen.append((fraction, text)))
    assert all(equal(slow, band.sample("C Am F G", 20, 1.0, seed=1)))
    assert [fraction for fraction, _ in seen] == [0.0, 0.4, 0.8, 1.0]
    assert seen[0][1] == "Playing 20 bars"

    class Stopped(Exception):
        pass

    def stop(fraction, text):
        if fraction > 0:
            raise Stopped

    with pytest.raises(Stopped):
        band.change_chords(song + song, "F", progress=stop)


# Limits.


@pytest.mark.parametrize("num_bars", [0, 257, 500, -1, 2.5])
def test_a_song_has_1_to_256_bars(band, num_bars):
    with pytest.raises(ValueError, match=f"A song has 1 to 256 bars, got {num_bars}"):
        band.sample("C", num_bars)


def test_a_progression_is_no_longer_than_a_song(band, song):
    with pytest.raises(ValueError, match="A song has 1 to 256 bars, got 500"):
        band.arrange(" ".join(["C"] * 500))
    with pytest.raises(ValueError, match="The chord progression has 3 bars; there is room for 2"):
        band.arrange("C F G", num_bars=2)
    with pytest.raises(ValueError, match="The chord progression has 2 bars; there is room for 1"):
        band.change_chords(song, "C F", bars=3)
    whole = band.apply_style(torch.zeros(6), "C", 256)
    with pytest.raises(ValueError, match="A song has 1 to 256 bars, got 257"):
        whole + whole.select(1)


@pytest.mark.parametrize("progression", ["C F Hm G", [["C"], ["F"], ["Hm"]]])
def test_an_unknown_chord_is_named_with_its_bar(band, song, progression):
    with pytest.raises(ChordSymbolError, match="'Hm' in bar 3"):
        band.sample(progression)
    with pytest.raises(ChordSymbolError, match="'Hm' in bar 3"):
        band.change_chords(song, progression)


def test_no_chords_are_no_progression(band):
    with pytest.raises(ValueError, match="A chord progression has 1 to"):
        band.sample("  ")
    with pytest.raises(ValueError, match="A chord progression has at least one bar"):
        band.sample([])
    with pytest.raises(ValueError, match="Bar 2 has 0 chords; it needs 1 to 96"):
        band.sample([["C"], []])


@pytest.mark.parametrize("bars", [0, 7, [1, 9], []])
def test_bars_are_those_of_the_song(band, song, bars):
    with pytest.raises(ValueError, match=r"bars must be numbers 1\.\.6 of the song's bars"):
        band.vary(song, bars)


def test_no_bar_is_changed_twice(band, song):
    with pytest.raises(ValueError, match="Each of the bars can be given once"):
        band.change_chords(song, "C F", bars=[1, 1])


def test_styles_are_finite_and_of_the_size_of_the_model(band, styles):
    with pytest.raises(ValueError, match=r"style must have the shape \(6,\) or \(1, 6\); got \(1, 5\)"):
        band.apply_style(torch.zeros(5), "C")
    with pytest.raises(ValueError, match="start must be finite numbers"):
        band.interpolate(styles[0] / 0, styles[1], 4)
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        band.sample("C", temperature=0.0)


# Models.


def test_a_model_without_chords_plays_what_needs_none(band_without_chords, styles):
    band = band_without_chords
    song = band.sample(num_bars=3, temperature=1.0, seed=0)
    assert song.chords == [[], [], []]
    assert not any(equal(song, band.restyle(song, styles[0])))
    assert equal(song, band.vary(song, 2, seed=1)) == [True, False, True]
    assert band.interpolate(styles[0], styles[1], 4, seed=0).num_bars == 4
    assert band.apply_style(styles[0], num_bars=2, seed=0).num_bars == 2
    assert band.sample(seed=0).num_bars == 1
    assert band.to_midi(song).text_events == []
    assert [bar.text_events for bar in band.measures(song)] == [[], [], []]
    for wrong in (
        lambda: band.sample("C F"),
        lambda: band.arrange("C", path=styles),
        lambda: band.change_chords(song, "C"),
        lambda: band.encode(midi.to_bytes(two_bars()), chords="C"),
    ):
        with pytest.raises(ValueError, match="This model reads no chords"):
            wrong()


def test_other_models_are_no_bands():
    melody = MusicVAEModel(MusicVAEConfig(**SMALL))
    with pytest.raises(ValueError, match="A band needs a multitrack model; this one is made for melody"):
        Band(melody, MusicVAEProcessor("melody"))
    with pytest.raises(ValueError, match="Model and processor do not belong together"):
        Band(melody, MusicVAEProcessor.from_preset(PRESET))


def test_a_band_comes_from_a_folder_with_its_attribute_vectors(band, song, tmp_path):
    band.model.save_pretrained(tmp_path)
    band.processor.save_pretrained(tmp_path)
    assert Band.from_pretrained(tmp_path).attributes == {}
    save_attribute_vectors({"strings": torch.ones(6)}, tmp_path)
    loaded = Band.from_pretrained(tmp_path)
    assert torch.equal(loaded.attributes["strings"], torch.ones(6))
    assert all(equal(song, loaded.sample("C Am F G", 6, 1.0, seed=1)))


def test_bundling_a_band_adds_its_attribute_vectors(band, tmp_path):
    band.model.save_pretrained(tmp_path / "trained")
    band.processor.save_pretrained(tmp_path / "trained")
    (tmp_path / "data").mkdir()
    for number in range(8):
        music = two_bars()
        for note in itertools.chain(*(part.notes for part in music.instruments)):
            note.pitch, note.velocity = note.pitch + number, 40 + 10 * number
        midi.save(music, tmp_path / "data" / f"{number}.mid")
    folders = ["--model", str(tmp_path / "trained"), "--output", str(tmp_path / "bundled"), "--data", str(tmp_path / "data")]
    bundle.main([*folders, "--attributes"])
    assert set(Band.from_pretrained(tmp_path / "bundled").attributes) == set(MULTITRACK_ATTRIBUTES)


# Styles from files.


def two_bars(repeat: bool = False) -> pretty_midi.PrettyMIDI:
    """Two bars of piano and bass, or the first of them three times; then one bar of piano alone."""
    music = pretty_midi.PrettyMIDI(initial_tempo=120)
    music.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
    bars = [0, 0, 0] if repeat else [0, 5]
    for program, pitches in ((0, [60, 64, 67, 72]), (33, [36, 43])):
        instrument = pretty_midi.Instrument(program)
        for bar, semitones in enumerate(bars):
            length = 2.0 / len(pitches)
            for place, pitch in enumerate(pitches):
                start = 2.0 * bar + place * length
                instrument.notes.append(pretty_midi.Note(90, pitch + semitones, start, start + length))
        music.instruments.append(instrument)
    music.instruments[0].notes.append(pretty_midi.Note(90, 60, 2.0 * len(bars), 2.0 * len(bars) + 1))
    return music


def test_styles_are_read_from_a_file_bar_by_bar(band):
    source = midi.to_bytes(two_bars())
    latents, windows = band.encode(source, chords="C F")
    assert [window.start_bar for window in windows] == [1, 2]
    assert latents.shape == (2, 6)
    features = band.processor(source, chords="C F")
    expected = band.model.encode(*(features[name] for name in ("input_values", "lengths", "controls"))).mean
    torch.testing.assert_close(latents, expected)
    torch.testing.assert_close(band.encode(source, chords="C F", batch_size=1)[0], expected)
    assert not torch.allclose(band.encode(source, chords="Am Dm")[0], expected)
    second, windows = band.encode(source, bar=2, chords="C F")
    torch.testing.assert_close(second, expected[1:])
    assert [window.start_bar for window in windows] == [2]


def test_a_bar_that_repeats_another_is_found_too(band):
    source = midi.to_bytes(two_bars(repeat=True))
    latents, windows = band.encode(source, chords="C")
    assert [window.start_bar for window in windows] == [1]
    again, windows = band.encode(source, bar=3, chords="C")
    torch.testing.assert_close(again, latents)
    assert (windows[0].start_bar, windows[0].start_seconds) == (3, 4.0)


def test_a_bar_that_holds_no_style_says_why(band):
    with pytest.raises(NoExamplesError, match=r"Bar 3 holds nothing to encode: .* 2 or more\. Bars that do: 1-2\."):
        band.encode(midi.to_bytes(two_bars()), bar=3)
    with pytest.raises(NoExamplesError, match=r"Bar 40 holds nothing to encode\. Bars that do: 1-2\."):
        band.encode(midi.to_bytes(two_bars()), bar=40)
    with pytest.raises(NoExamplesError, match=r"Bar 0 holds nothing to encode"):
        band.encode(midi.to_bytes(two_bars()), bar=0)
    with pytest.raises(ChordSymbolError, match="'X' in bar 2"):
        band.encode(midi.to_bytes(two_bars()), chords="C X")


# MIDI.


def test_every_instrument_is_one_named_track_over_the_whole_song(band):
    song = written(write_measure(PIANO_BAR, KIT_BAR), write_measure(BASS_BAR, KIT_BAR), write_measure(PIANO_BAR))
    music = band.to_midi(song, tempo=60)
    assert [(part.name, part.program, part.is_drum) for part in music.instruments] == [
        ("Acoustic Grand Piano", 0, False),
        ("Electric Bass (finger)", 33, False),
        ("Drums", 0, True),
    ]
    piano, bass, kit = (notes_of(part) for part in music.instruments)
    assert piano == [(pitch, start, start + 4) for start in (0, 8) for pitch in (60, 64, 67)]
    assert bass == [(36, 4, 6), (43, 6, 8)]
    assert kit == [(36, 0, 1), (36, 4, 5)]
    assert music.get_tempo_changes()[1].tolist() == [60]
    metre = music.time_signature_changes
    assert [(change.numerator, change.denominator, change.time) for change in metre] == [(4, 4, 0.0)]


def test_a_note_that_goes_on_in_the_next_bar_begins_anew(band):
    music = band.to_midi(written(write_measure(PIANO_BAR), write_measure(PIANO_BAR)), tempo=120)
    assert [note[1:] for note in notes_of(music.instruments[0]) if note[0] == 60] == [(0, 2), (2, 4)]


def test_two_tracks_of_one_instrument_do_not_cut_each_other(band):
    """MIDI has one note of a pitch at a time."""
    long, short = write_notes(0, [60]), write_notes(0, [60, 62], 48)
    late = [360, 256 + 23, 62, 256 + 71, 190]
    music = band.to_midi(written(write_measure(short, long), write_measure(short, late)), tempo=60)
    assert notes_of(music.instruments[0]) == [(60, 0, 4), (62, 0, 2), (60, 4, 6), (62, 4, 5), (62, 5, 8)]
    again = midi.load(midi.to_bytes(music))
    played = {(note.pitch, round(note.start, 2), round(note.end, 2)) for note in again.instruments[0].notes}
    assert played == set(notes_of(music.instruments[0]))


def test_chord_symbols_stand_where_the_chord_changes(band):
    chords = [["C"], ["C"], ["Am", "F"], ["F"], ["F", "C", "G"]]
    music = band.to_midi(written(*[write_measure(PIANO_BAR)] * 5, chords=chords), tempo=240)
    texts = [(text.text, pytest.approx(text.time)) for text in music.text_events]
    assert texts == [("C", 0), ("Am", 2), ("F", 2.5), ("C", 4 + 1 / 3), ("G", 4 + 2 / 3)]
    in_file = midi.load(midi.to_bytes(music))
    assert [text.text for text in in_file.text_events] == ["C", "Am", "F", "C", "G"]


def test_tracks_are_chosen_and_muted(band):
    song = written(write_measure(PIANO_BAR, BASS_BAR, KIT_BAR))

    def names(**arguments):
        return [part.name[:5] for part in band.to_midi(song, **arguments).instruments]

    assert names(only=[KIT, (33, False)]) == ["Elect", "Drums"]
    assert names(mute=[KIT]) == ["Acous", "Elect"]
    assert names(only=[PIANO, KIT], mute=[PIANO]) == ["Drums"]
    assert names(only=[]) == []
    with pytest.raises(ValueError, match=r"no tracks \[\(40, False\)\]; its \(program, is_drum\) are \(0, False\) \(Aco"):
        band.to_midi(song, only=[(40, False)])


@pytest.mark.parametrize("tempo", [9, 1001, float("nan")])
def test_tempo_is_10_to_1000(band, song, tempo):
    with pytest.raises(ValueError, match=f"tempo must be between 10 and 1000 quarter notes per minute, got {tempo}"):
        band.to_midi(song, tempo)


def test_measures_are_the_bars_one_by_one(band):
    song = written(write_measure(PIANO_BAR), write_measure(), write_measure(BASS_BAR), chords=[["C"], ["C"], ["Am", "F"]])
    bars = band.measures(song, tempo=60)
    assert [[part.name for part in bar.instruments] for bar in bars] == [
        ["Acoustic Grand Piano"],
        [],
        ["Electric Bass (finger)"],
    ]
    assert notes_of(bars[2].instruments[0]) == [(36, 0, 2), (43, 2, 4)]
    assert [[(text.text, text.time) for text in bar.text_events] for bar in bars] == [
        [("C", 0)],
        [("C", 0)],
        [("Am", 0), ("F", 2)],
    ]


def test_a_played_song_is_valid_midi(band):
    song = band.sample("C | Am F", num_bars=8, temperature=1.0, seed=3)
    music = band.to_midi(song)
    assert [BandTrack(part.program, part.is_drum) for part in music.instruments] == song.tracks
    assert len(song.tracks) > 1
    assert music.get_end_time() <= 8 * 2.0 + 1e-6
    for bar, tracks in enumerate(song.bar_tracks):
        playing = [
            (part.program, part.is_drum)
            for part in music.instruments
            if any(2 * bar - 1e-6 <= note.start < 2 * bar + 2 - 1e-6 for note in part.notes)
        ]
        assert playing == tracks
    assert all(note.end > note.start for part in music.instruments for note in part.notes)
    assert len(midi.load(midi.to_bytes(music)).instruments) == len(music.instruments)


# Instruments that are asked for.


def test_a_lineup_plays_whatever_the_style_and_the_dice(band):
    lineup = lineup_of([(0, True), (33, False), (48, False)])
    assert lineup.tolist() == [360 + 33, 360 + 48, 488, *[END] * 5]
    song = band.arrange("C Am F G", 4, temperature=1.0, seed=3, lineup=lineup)
    for bar in song.sequences.view(4, 8, 64):
        assert torch.equal(bar[:, 0], lineup)
    changed = band.vary(band.change_chords(song, "Dm"), seed=9)
    assert torch.equal(changed.sequences.view(4, 8, 64)[..., 0], lineup.expand(4, -1))
    assert not torch.equal(changed.sequences, song.sequences)
    assert (song + song.select([2, 1])).lineups.shape == (6, 8)


def test_along_a_path_each_bar_has_the_lineup_of_the_nearer_end(band, styles):
    lineups = torch.stack([lineup_of([(0, False), (32, False)]), lineup_of([(24, False), (0, True)])])
    song = band.arrange("C", 6, path=styles[:2], temperature=1.0, seed=1, lineup=lineups)
    assert [bar[0] for bar in song.bar_tracks] == [(0, False)] * 3 + [(24, False)] * 3
    free = band.restyle(song, styles[2], bars=[1])
    assert (free.lineups[0] == -1).all()
    assert torch.equal(free.sequences[1:], song.sequences[1:])


@pytest.mark.parametrize("instruments", [[], [(0, False)], [(0, False)] * 9, [(0, False), (128, False)]])
def test_lineups_that_no_bar_has(instruments):
    with pytest.raises(ValueError, match="A band has 2 to 8 instruments"):
        lineup_of(instruments)


def test_first_events_of_another_shape_are_refused(band):
    with pytest.raises(ValueError, match="first_events must be integers"):
        band.model.decode(
            torch.zeros(1, 6), controls=torch.zeros(512, 49), first_events=torch.zeros(1, 3, dtype=torch.int64)
        )


def test_a_file_lends_its_instruments(band):
    music = two_bars()
    events = sorted(488 if part.is_drum else 360 + part.program for part in music.instruments)
    lineups = band.lineups(music)
    assert lineups.shape == (len(band.encode(music)[1]), 8)
    assert all(set(lineup.tolist()) - {END} <= set(events) for lineup in lineups)
    song = band.arrange("C", 2, temperature=1.0, seed=1, lineup=band.lineups(music, bar=2)[0])
    assert torch.equal(song.sequences.view(2, 8, 64)[..., 0], lineups[1].expand(2, -1))

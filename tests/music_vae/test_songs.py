"""Whole songs: what comes back is the song, and what an edit changes is what it says.

Most tests use a model that reconstructs everything, so that only the latents' editors change the music; small random models
show that real ones fit in."""

import dataclasses

import numpy as np
import pretty_midi
import pytest
import symusic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor, midi
from hub_models.music_vae.modeling_music_vae import MusicVAEPosterior
from hub_models.music_vae.note_sequence import NoteSequence, read_midi
from hub_models.music_vae.processing_music_vae import NoExamplesError
from hub_models.music_vae.songs import MetreError, decode_song, encode_song

from .conftest import SMALL, scale

TICKS = 480


class Track:
    """An instrument; notes are (pitch, start, end) in quarter notes, or with a velocity as well."""

    def __init__(self, notes, program=0, is_drum=False, name="", controls=()):
        self.notes, self.program, self.is_drum, self.name, self.controls = notes, program, is_drum, name, controls


def write_song(*tracks: Track, tempos=((0, 120),), metres=((0, 4, 4),), keys=()) -> bytes:
    """A MIDI file; positions in quarter notes, keys as sharps (negative: flats), controls as (quarter, number, value)."""
    score = symusic.Score(TICKS)
    for quarter, tempo in tempos:
        score.tempos.append(symusic.Tempo(round(quarter * TICKS), qpm=tempo))
    for quarter, numerator, denominator in metres:
        score.time_signatures.append(symusic.TimeSignature(round(quarter * TICKS), numerator, denominator))
    for quarter, sharps in keys:
        score.key_signatures.append(symusic.KeySignature(round(quarter * TICKS), sharps, 0))
    for track in tracks:
        written = symusic.Track(track.name, track.program, track.is_drum)
        for pitch, start, end, *velocity in track.notes:
            duration = round((end - start) * TICKS)
            written.notes.append(symusic.Note(round(start * TICKS), duration, pitch, *(velocity or [90])))
        for quarter, number, value in track.controls:
            written.controls.append(symusic.ControlChange(round(quarter * TICKS), number, value))
        score.tracks.append(written)
    return score.dumps_midi()


class Mirror:
    """A model whose latents are the music itself and which reconstructs it exactly."""

    device = torch.device("cpu")

    def __init__(self, processor: MusicVAEProcessor):
        self.processor = processor
        self.batch_sizes = []

    def encode(self, input_values, controls=None):
        self.batch_sizes.append(len(input_values))
        steps = {
            "melody": lambda x: x.argmax(-1),
            "drums": lambda x: (x[..., :-1].long() << torch.arange(9)).sum(-1),
            "drum_roll": lambda x: x[..., :-1],
            "trio": lambda x: torch.stack([p.argmax(-1) for p in x.split(self.processor.output_sizes, -1)], -1),
            "groove": lambda x: x,
        }[self.processor.representation](input_values)
        return MusicVAEPosterior(mean=steps.flatten(1).float())

    def decode(self, latents, length, temperature, generator, batch_size, controls=None):
        self.batch_sizes.append(len(latents))
        sequences = latents.reshape(len(latents), length, *self.processor.codec.sequence_shape)
        return sequences if self.processor.representation == "groove" else sequences.round().long()


def mirror(**arguments) -> tuple[Mirror, MusicVAEProcessor]:
    processor = MusicVAEProcessor(**arguments)
    return Mirror(processor), processor


def notes_of(source, instrument: int | None = None) -> list[tuple]:
    """(instrument, pitch, start, end) in quarter notes, in order; read from the bytes of a file."""
    source = midi.to_bytes(source) if isinstance(source, pretty_midi.PrettyMIDI) else source
    notes = NoteSequence.from_pretty_midi(read_midi(source))
    columns = (notes.instrument, notes.pitch, notes.start_quarter.round(2), notes.end_quarter.round(2))
    rows = sorted(zip(*(column.tolist() for column in columns), strict=True), key=lambda row: (row[0], row[2], row[1]))
    return [row for row in rows if instrument in (None, row[0])]


def tempo_map(source) -> list[tuple[float, float]]:
    times, tempi = (source if isinstance(source, pretty_midi.PrettyMIDI) else read_midi(source)).get_tempo_changes()
    return [(round(time, 3), round(tempo, 2)) for time, tempo in zip(times.tolist(), tempi.tolist(), strict=True)]


def random_model(preset: str, **sizes) -> tuple[MusicVAEModel, MusicVAEProcessor]:
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig.from_preset(preset, **{**SMALL, **sizes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model, MusicVAEProcessor.from_preset(preset)


BEAT = [(36, q, q + 0.25) for q in range(0, 40, 2)] + [(38, q + 1, q + 1.25) for q in range(0, 40, 2)]
BASS = [(40 + i % 5, 2.0 * i, 2.0 * i + 2) for i in range(20)]
BAND = write_song(
    Track(scale(40), program=73, name="Flute"),
    Track(BASS, program=33, name="Bass"),
    Track(BEAT, is_drum=True, name="Kit"),
)


# The song comes back.


def test_a_song_comes_back_with_its_tempo_map_key_names_and_programs():
    tempos = ((0, 90), (8, 97.5), (10.5, 140), (21, 60))
    tracks = (Track(scale(24), program=40, name="Violin"), Track(BASS[:12], program=32, name="Upright"))
    source = write_song(*tracks, tempos=tempos, keys=((0, 2), (16, -3)))
    model, processor = mirror()
    song = encode_song(model, processor, source)
    result = decode_song(model, processor, song)
    assert notes_of(result) == notes_of(source)
    assert tempo_map(result) == tempo_map(source) == tempo_map(midi.to_bytes(result))
    original = read_midi(source)
    assert [str(key) for key in result.key_signature_changes] == [str(key) for key in original.key_signature_changes]
    assert [str(metre) for metre in result.time_signature_changes] == [str(m) for m in original.time_signature_changes]
    assert [(i.name, i.program, i.is_drum) for i in result.instruments] == [("Violin", 40, False), ("Upright", 32, False)]
    assert result.get_end_time() == pytest.approx(original.get_end_time())


def test_windows_tile_the_song_from_its_first_bar_to_its_last():
    model, processor = mirror()
    song = encode_song(model, processor, write_song(Track(scale(15, start=9))))  # silence, then bars 3 to 6
    assert [(w.start_quarter, w.first_step, w.end_step, w.start_bar) for w in song.windows] == [
        (0.0, 0, 32, 1),
        (8.0, 0, 32, 3),
        (16.0, 0, 32, 5),
    ]
    assert song.length_bars == 6
    song = encode_song(model, processor, write_song(Track(scale(18))))  # half a bar into the fifth
    assert [(w.start_quarter, w.end_step) for w in song.windows] == [(0.0, 32), (8.0, 32), (16.0, 16)]
    assert song.length_bars == 5


@pytest.mark.parametrize("representation", ["drums", "drum_roll", "groove"])
def test_drum_tracks_are_one_part(representation):
    hats = [(42, q / 2, q / 2 + 0.25) for q in range(80)]
    source = write_song(Track(BEAT, is_drum=True, name="Kit"), Track(hats, program=16, is_drum=True, name="Hats"))
    model, processor = mirror(representation=representation)
    song = encode_song(model, processor, source)
    assert [part.name for part in song.parts] == ["Kit"]
    written = decode_song(model, processor, song).instruments[0].notes
    pitches = {round(note.start, 3): set() for note in written}
    for note in written:
        pitches[round(note.start, 3)].add(note.pitch)
    assert (pitches[0.0], pitches[0.25], pitches[0.5]) == ({36, 42}, {42}, {38, 42})
    assert len(written) == len(BEAT) + len(hats)


def test_a_groove_keeps_its_feel_across_the_borders_of_windows():
    feel = {0: 0.02, 8: -0.05, 16: 0.06, 17: -0.03}  # quarter notes late; 8 and 16 are the first steps of windows
    hits = [(36, q + late, q + late + 0.25, 60 + q) for q, late in feel.items()]
    source = write_song(Track(hits, is_drum=True), tempos=((0, 100), (12, 80)))
    model, processor = mirror(representation="groove")
    result = decode_song(model, processor, encode_song(model, processor, source))
    assert [(note.pitch, note.velocity) for note in result.instruments[0].notes] == [(36, 60 + q) for q in feel]
    starts = [note.start for note in result.instruments[0].notes]
    assert starts == pytest.approx([note.start for note in read_midi(source).instruments[0].notes], abs=2e-3)


def test_a_trio_is_read_from_the_busiest_melody_and_bass_and_the_drums():
    few = Track([(80, 0, 1), (81, 36, 37)], program=0, name="Piano")
    tracks = (few, Track(scale(40), program=73, name="Flute"), Track(BASS, program=33, name="Bass"))
    source = write_song(*tracks, Track(BEAT, is_drum=True, name="Kit"))
    model, processor = mirror(representation="trio", num_bars=4)
    song = encode_song(model, processor, source)
    assert [part.name for part in song.parts] == ["Flute, Bass, Kit"]
    assert [(track.program, track.is_drum) for track in song.parts[0].tracks] == [(73, False), (33, False), (0, True)]
    result = decode_song(model, processor, song)
    assert notes_of(result) == notes_of(source)  # the piano as well, which is not read
    assert [instrument.name for instrument in result.instruments] == ["Piano", "Flute", "Bass", "Kit"]


def test_chords_go_along_with_a_melody():
    chords = Track([(p, q, q + 4) for q in (0, 4, 8, 12) for p in (48, 52 + q // 8, 55 + q // 4)], name="Pad")
    source = write_song(Track(scale(16), program=73), chords)
    model, processor = mirror(chords=True)
    song = encode_song(model, processor, source, instruments=[0])
    assert song.parts[0].controls.shape == (2, 32, 49)
    assert len(song.parts[0].controls.argmax(-1).unique()) > 1  # heard from the pad, which is not read
    assert notes_of(decode_song(model, processor, song)) == notes_of(source)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40), st.integers(21, 108)), min_size=1, max_size=20))
def test_what_has_been_read_once_comes_back_as_it_is(rows):
    """Whatever the notes: what one reading leaves of them, another leaves untouched."""
    notes = [(pitch, start / 4, (start + length) / 4) for start, length, pitch in rows]
    model, processor = mirror()
    once = decode_song(model, processor, encode_song(model, processor, write_song(Track(notes))))
    again = decode_song(model, processor, encode_song(model, processor, midi.to_bytes(once)))
    assert notes_of(again) == notes_of(once)


def test_a_song_may_last_forty_minutes():
    notes = scale(4800)[::4]
    tempos = [(q, 110 + 20 * ((q // 16) % 2)) for q in range(0, 4800, 16)]
    source = write_song(Track(notes), tempos=tempos)
    model, processor = mirror()
    seen = []
    song = encode_song(model, processor, source, batch_size=100, progress=lambda done, total: seen.append((done, total)))
    assert (len(song.windows), song.length_bars) == (600, 1200)
    assert seen == [(done, 600) for done in range(100, 700, 100)]
    assert max(model.batch_sizes) == 100
    seen.clear()
    result = decode_song(model, processor, song, batch_size=250, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(250, 600), (500, 600), (600, 600)]
    assert tempo_map(result) == tempo_map(source)
    written = [(note.pitch, note.start, note.end) for note in result.instruments[0].notes]
    original = [(note.pitch, note.start, note.end) for note in read_midi(source).instruments[0].notes]
    np.testing.assert_allclose(written, original, atol=1e-6)


# Borders of windows.


def test_a_note_held_over_borders_is_one_note_and_repeated_ones_stay_apart():
    held = [(60, 6, 19), (62, 20, 24), (62, 24, 28), (64, 31, 32)]  # over 8 and 16; repeated at 24; ends with its window
    source = write_song(Track(held))
    model, processor = mirror()
    song = encode_song(model, processor, source)
    assert song.parts[0].ties[:, 0].tolist() == [False, True, True, False]
    assert song.parts[0].latents[1, 0] == song.parts[0].latents[2, 0] == 60 - 21 + 2
    assert notes_of(decode_song(model, processor, song)) == notes_of(source)


def test_a_window_in_which_a_note_is_only_held_is_no_rest():
    song = encode_song(*mirror(), write_song(Track([(60, 7, 20), (72, 33, 34)])))
    assert song.parts[0].rests.tolist() == [False, False, False, True, False]


def test_an_upbeat_stands_at_the_end_of_its_window():
    notes = [(67, 0, 1), (69, 1, 2), (71, 2, 5), (72, 5, 11)]  # three beats, and held over the first bar line
    source = write_song(Track(notes), metres=((0, 3, 4), (3, 4, 4)))
    model, processor = mirror()
    song = encode_song(model, processor, source)
    assert [(w.start_quarter, w.first_step, w.end_step, w.start_bar) for w in song.windows] == [
        (-5.0, 20, 32, 1),
        (3.0, 0, 32, 2),
    ]
    assert song.window_bars.tolist() == [0.0, 0.75]
    assert song.length_bars == 3
    assert notes_of(decode_song(model, processor, song)) == notes_of(source)


def test_bars_of_two_quarters_are_read_and_windows_begin_anew_behind_them():
    source = write_song(Track(scale(22)), metres=((0, 4, 4), (8, 2, 4), (10, 4, 4), (18, 2, 2)))
    model, processor = mirror()
    song = encode_song(model, processor, source)
    assert [(w.start_quarter, w.end_step, w.start_bar) for w in song.windows] == [
        (0.0, 32, 1),
        (8.0, 8, 3),
        (10.0, 32, 4),
        (18.0, 16, 6),
    ]
    assert notes_of(decode_song(model, processor, song)) == notes_of(source)


def test_what_a_model_writes_beyond_a_cut_off_window_is_not_heard():
    model, processor = mirror()
    song = encode_song(model, processor, write_song(Track(scale(10)), metres=((0, 2, 4), (2, 4, 4))))
    part = song.parts[0]
    everywhere = torch.full_like(part.latents, 60 - 21 + 2)
    loud = dataclasses.replace(song, parts=(dataclasses.replace(part, latents=everywhere),))
    notes = notes_of(decode_song(model, processor, loud))
    assert (min(start for _, _, start, _ in notes), max(end for *_, end in notes)) == (0.0, 10.0)
    assert len(notes) == 40


def test_a_note_held_beyond_a_cut_off_window_ends_there_for_the_model():
    song = encode_song(*mirror(), write_song(Track([(60, 1, 12)]), metres=((0, 2, 4), (4, 4, 4))))
    assert song.windows[0].end_step == 16
    assert torch.nonzero(song.parts[0].latents[0]).flatten().tolist() == [4, 16]
    assert song.parts[0].latents[0, 16] == 1  # note off


# Other metres.

WALTZ = {"metres": ((0, 4, 4), (8, 3, 4), (14, 4, 4), (22, 6, 8))}


def test_bars_in_other_metres_are_refused_with_their_numbers():
    message = r"bars 3-4: the metre is 3/4.*bar 7: the metre is 6/8.*other_metres='keep'"
    with pytest.raises(MetreError, match=message) as caught:
        encode_song(*mirror(), write_song(Track(scale(25)), **WALTZ))
    assert [rejection.where for rejection in caught.value.rejections] == ["bars 3-4", "bar 7"]
    with pytest.raises(MetreError, match=r"bars 1-5: the metre is 3/4"):
        encode_song(*mirror(), write_song(Track(scale(15)), metres=((0, 3, 4),)))


def test_bars_in_other_metres_can_be_kept():
    chord = [(48, 9, 12), (52, 9, 12), (55, 9.1, 12)]  # in the waltz, and not on the grid
    source = write_song(Track(scale(25) + chord), **WALTZ)
    model, processor = mirror()
    song = encode_song(model, processor, source, other_metres="keep")
    assert [w.start_quarter for w in song.windows] == [0.0, 14.0]
    assert [rejection.where for rejection in song.rejections] == ["bars 3-4", "bar 7"]
    result = decode_song(model, processor, song)
    assert notes_of(result) == notes_of(source)
    silent = dataclasses.replace(song.parts[0], rests=torch.ones(2, dtype=torch.bool))
    kept = notes_of(decode_song(model, processor, dataclasses.replace(song, parts=(silent,))))
    assert kept == [note for note in notes_of(source) if 8 <= note[2] < 14 or note[2] >= 22]


def test_a_note_held_into_and_out_of_kept_bars_goes_on():
    source = write_song(Track([(60, 6, 10), (62, 13, 16)]), metres=((0, 4, 4), (8, 3, 4), (14, 4, 4)))
    model, processor = mirror()
    song = encode_song(model, processor, source, other_metres="keep")
    assert not song.parts[0].ties.any()
    assert notes_of(decode_song(model, processor, song)) == [(0, 60, 6, 8), (0, 60, 8, 10), (0, 62, 13, 14), (0, 62, 14, 16)]


def test_a_note_that_is_rounded_into_kept_bars_keeps_its_length():
    source = write_song(Track([(60, 0, 4), (62, 7.93, 7.98)]), metres=((0, 4, 4), (8, 3, 4)))
    model, processor = mirror()
    assert notes_of(decode_song(model, processor, encode_song(model, processor, source, other_metres="keep"))) == [
        (0, 60, 0, 4),
        (0, 62, 7.93, 7.98),
    ]


def test_kept_bars_of_several_metres_are_one_stretch():
    source = write_song(
        Track([(60, 0, 8), (62, 9, 20), (64, 22, 24)]), metres=((0, 4, 4), (8, 3, 4), (14, 7, 8), (21, 4, 4))
    )
    model, processor = mirror()
    song = encode_song(model, processor, source, other_metres="keep")
    assert [rejection.where for rejection in song.rejections] == ["bars 3-4", "bars 5-6"]
    assert notes_of(decode_song(model, processor, song)) == notes_of(source)


def test_a_song_with_no_bar_that_the_model_reads_has_nothing_to_encode():
    with pytest.raises(NoExamplesError, match="bars 1-5: the metre is 3/4"):
        encode_song(*mirror(), write_song(Track(scale(15)), metres=((0, 3, 4),)), other_metres="keep")


def test_bars_in_other_metres_are_in_nobodys_way_where_the_parts_rest():
    flute = [note for note in scale(24) if not 8 <= note[1] < 14]
    source = write_song(Track(flute, program=73), Track(BEAT, is_drum=True), metres=WALTZ["metres"][:3])
    model, processor = mirror()
    song = encode_song(model, processor, source)
    assert notes_of(decode_song(model, processor, song)) == notes_of(source)
    with pytest.raises(MetreError, match="bars 3-4"):
        encode_song(*mirror(representation="drums"), source)


# What is not read.


def test_what_the_model_does_not_read_stays_as_it_is():
    low = [(12, 3, 4), (14, 20, 21)]
    controls = [(0, 7, 100), (0, 10, 64), (1, 64, 127), (2, 11, 90)]
    tracks = (
        Track(scale(24) + low, name="Piano", controls=controls),
        Track([(36, 0.1, 0.3), (38, 1.07, 1.2)], is_drum=True, name="Kit", controls=controls),
    )
    source = read_midi(write_song(*tracks))
    source.lyrics.append(pretty_midi.Lyric("la", 1.0))
    source.instruments[0].pitch_bends.append(pretty_midi.PitchBend(100, 1.0))
    model, processor = mirror()
    song = encode_song(model, processor, source)
    assert [str(rejection) for rejection in song.rejections] == [
        "'Piano': 2 notes that this model does not have (MIDI pitches 12-14) are kept",
        "'Kit': kept as it is; this model reads melody",
    ]
    result = decode_song(model, processor, song)
    assert notes_of(result) == notes_of(source)
    assert [lyric.text for lyric in result.lyrics] == ["la"]
    piano, kit = result.instruments
    assert [(change.number, change.value) for change in piano.control_changes] == [(7, 100), (10, 64)]
    assert piano.pitch_bends == []
    assert [change.number for change in kit.control_changes] == [7, 10, 64, 11]


def test_of_notes_that_begin_together_the_lower_ones_are_named():
    chords = [(pitch, q, q + 1) for q in range(8) for pitch in (48, 52, 60 + q)]
    song = encode_song(*mirror(), write_song(Track(chords, name="Piano")))
    assert [str(rejection) for rejection in song.rejections] == [
        "'Piano': 16 of 24 notes begin together with a higher one and are left out"
    ]


def test_instruments_can_be_chosen():
    model, processor = mirror()
    song = encode_song(model, processor, BAND, instruments=[1])
    assert [part.name for part in song.parts] == ["Bass"]
    assert notes_of(decode_song(model, processor, song)) == notes_of(BAND)
    with pytest.raises(ValueError, match=r"instruments must be numbers 0..2"):
        encode_song(model, processor, BAND, instruments=[3])


def test_neither_source_nor_song_is_changed_by_what_is_done_with_the_result():
    source = read_midi(BAND)
    before = notes_of(source)
    model, processor = mirror()
    song = encode_song(model, processor, source)
    result = decode_song(model, processor, song)
    for instrument in result.instruments:
        for note in instrument.notes:
            note.pitch = 60
    source.instruments[2].notes.clear()
    assert notes_of(decode_song(model, processor, song)) == before


def test_parts_are_as_loud_as_they_were():
    crescendo = [(60, q, q + 1, 30 + 2 * q) for q in range(16)]
    model, processor = mirror()
    song = encode_song(model, processor, write_song(Track(crescendo)))
    assert song.parts[0].velocities[:, 0].tolist() == [37.0, 53.0]
    result = decode_song(model, processor, song)
    assert [note.velocity for note in result.instruments[0].notes] == [37] * 8 + [53] * 8


def test_songs_that_hold_nothing_for_the_model_are_refused():
    with pytest.raises(NoExamplesError, match=r"no drums that this model reads: .*not a drum track"):
        encode_song(*mirror(representation="drums"), write_song(Track(scale(8))))
    without_bass = write_song(Track(scale(8)), Track(BEAT[:4], is_drum=True))
    with pytest.raises(NoExamplesError, match="no bass"):
        encode_song(*mirror(representation="trio", num_bars=2), without_bass)
    with pytest.raises(NoExamplesError, match="holds no melody that this model reads"):
        encode_song(*mirror(), pretty_midi.PrettyMIDI())


# Keys.


def test_a_song_can_be_read_in_c_and_comes_back_in_its_key():
    in_c = write_song(Track(scale(16)))
    in_e_flat = write_song(Track([(pitch + 3, start, end) for pitch, start, end in scale(16)]), keys=((0, -3),))
    model, processor = mirror()
    plain, moved = encode_song(model, processor, in_c), encode_song(model, processor, in_e_flat, transpose="to_c")
    assert moved.transposition == -3
    assert torch.equal(plain.parts[0].latents, moved.parts[0].latents)
    assert notes_of(decode_song(model, processor, moved)) == notes_of(in_e_flat)
    assert encode_song(model, processor, in_c, transpose="to_c").transposition == 0
    morphed = moved.morph(plain, 1.0)
    assert notes_of(decode_song(model, processor, morphed)) == notes_of(in_e_flat)


def test_chords_are_transposed_with_the_song():
    song = pretty_midi.PrettyMIDI(initial_tempo=120)
    song.instruments.append(pretty_midi.Instrument(0))
    song.instruments[0].notes = [pretty_midi.Note(90, pitch, start / 2, end / 2) for pitch, start, end in scale(8)]
    song.text_events = [pretty_midi.Text("C", 0.0), pretty_midi.Text("Am7", 2.0)]
    chords = encode_song(*mirror(chords=True), song, transpose=2).parts[0].controls.argmax(-1)
    assert chords[0, [0, 16]].tolist() == [1 + 2, 13 + 11]  # D and B minor


def test_a_transposition_is_at_most_an_octave():
    with pytest.raises(ValueError, match=r"transpose must be -12..12 or 'to_c', got 13"):
        encode_song(*mirror(), BAND, transpose=13)


# Edits.


def song_of(*latent_rows, rests=()):
    """A song of one part in two-bar windows with the given latents."""
    model, processor = mirror()
    notes = [(60, 8 * index, 8 * index + 1) for index in range(len(latent_rows))]
    song = encode_song(model, processor, write_song(Track(notes)))
    mask = torch.tensor([index in rests for index in range(len(latent_rows))])
    latents = torch.tensor(latent_rows, dtype=torch.float32).masked_fill(mask.unsqueeze(1), 0.0)
    return dataclasses.replace(song, parts=(dataclasses.replace(song.parts[0], latents=latents, rests=mask),))


def test_smoothing_averages_over_time_and_keeps_the_length_of_the_latents():
    angles = torch.linspace(0, 1.5, 12) + torch.tensor([0.3, -0.3] * 6)
    song = song_of(*torch.stack([3 * angles.cos(), 3 * angles.sin()], dim=1).tolist())
    smoothed = song.smooth(4).parts[0].latents

    def roughness(latents):
        return latents.diff(n=2, dim=0).norm()

    assert roughness(smoothed) < 0.1 * roughness(song.parts[0].latents)
    torch.testing.assert_close(smoothed.norm(dim=1), torch.full((12,), 3.0))
    one_direction = song.smooth(1000).parts[0].latents
    torch.testing.assert_close(one_direction, one_direction[:1].expand(12, 2), rtol=1e-3, atol=1e-3)


def test_smoothing_is_measured_in_bars():
    song = song_of([1, 0], [0, 1], [0, 1])
    weight = np.exp(-0.5 * (2 / 1.5) ** 2)
    x, y = song.smooth(1.5).parts[0].latents[0].tolist()
    assert y / x == pytest.approx(weight + np.exp(-0.5 * (4 / 1.5) ** 2), rel=1e-4)


def test_smoothing_leaves_rests_out_and_zero_changes_nothing():
    song = song_of([1, 0], [9, 9], [1, 0], rests=[1])
    smoothed = song.smooth(5)
    torch.testing.assert_close(smoothed.parts[0].latents, song.parts[0].latents)
    assert smoothed.parts[0].rests.tolist() == [False, True, False]
    assert torch.equal(song.smooth(0).parts[0].latents, song.parts[0].latents)
    with pytest.raises(ValueError, match="width must be a number of bars"):
        song.smooth(-1)


def test_a_morph_goes_from_one_song_to_the_other():
    song, other = song_of(*[[2, 0]] * 5), song_of(*[[0, 2]] * 5)
    morphed = song.morph(other, [0, 1]).parts[0].latents
    angles = torch.linspace(0, torch.pi / 2, 5)
    torch.testing.assert_close(morphed, 2 * torch.stack([angles.cos(), angles.sin()], dim=1), rtol=1e-4, atol=1e-4)
    assert torch.equal(song.morph(other, 0.0).parts[0].latents, song.parts[0].latents)
    torch.testing.assert_close(song.morph(other, 1.0).parts[0].latents, other.parts[0].latents, rtol=1e-4, atol=1e-4)
    there_and_back = song.morph(other, [0, 1, 0]).parts[0].latents
    torch.testing.assert_close(there_and_back, morphed[[0, 2, 4, 2, 0]], rtol=1e-4, atol=1e-4)


def test_a_shorter_song_is_looped_or_stretched():
    song, other = song_of(*[[1, 0]] * 6), song_of([0, 1], [0, 2], [0, 3])
    assert song.morph(other, 1.0).parts[0].latents[:, 1].tolist() == pytest.approx([1, 2, 3, 1, 2, 3])
    assert song.morph(other, 1.0, fit="stretch").parts[0].latents[:, 1].tolist() == pytest.approx([1, 1, 2, 2, 3, 3])
    assert other.morph(song, 1.0).parts[0].latents[:, 0].tolist() == pytest.approx([1, 1, 1])


def test_upbeats_do_not_shift_a_morph():
    metres = ((0, 1, 4), (1, 4, 4))
    model, processor = mirror()
    with_upbeat = encode_song(model, processor, write_song(Track(scale(17)), metres=metres))
    without = encode_song(model, processor, write_song(Track(scale(16, start=0))))
    assert (len(with_upbeat.windows), len(without.windows)) == (3, 2)
    morphed = with_upbeat.morph(without, 1.0).parts[0].latents
    torch.testing.assert_close(morphed[1:], without.parts[0].latents)
    torch.testing.assert_close(without.morph(with_upbeat, 1.0).parts[0].latents, with_upbeat.parts[0].latents[1:])


def test_where_one_song_rests_the_nearer_one_decides():
    song, other = song_of([1, 0], [1, 0], [1, 0], rests=[0]), song_of([0, 1], [0, 1], [0, 1], rests=[1])
    near, far = song.morph(other, 0.4).parts[0], song.morph(other, 0.6).parts[0]
    assert (near.rests.tolist(), far.rests.tolist()) == ([True, False, False], [False, True, False])
    assert (near.latents[1].tolist(), far.latents[0].tolist()) == ([1, 0], [0, 1])
    assert near.latents[0].tolist() == far.latents[1].tolist() == [0, 0]


def test_parts_are_paired_by_register_or_as_one_likes():
    model, processor = mirror()
    low, high = [(36 + i, 2 * i, 2 * i + 1) for i in range(8)], [(84 - i, 2 * i, 2 * i + 1) for i in range(8)]
    middle = [(60, 2 * i, 2 * i + 1) for i in range(8)]
    song = encode_song(model, processor, write_song(Track(low), Track(middle), Track(high)))
    other = encode_song(model, processor, write_song(Track(high), Track(low)))
    moved = song.morph(other, 1.0)
    assert torch.equal(moved.parts[0].latents, other.parts[1].latents)
    assert torch.equal(moved.parts[2].latents, other.parts[0].latents)
    chosen = song.morph(other, 1.0, pairs=[0, 0, 1])
    assert torch.equal(chosen.parts[2].latents, other.parts[1].latents)
    only = encode_song(model, processor, write_song(Track(low)))
    assert all(torch.equal(part.latents, only.parts[0].latents) for part in song.morph(only, 1.0).parts)
    assert len(only.morph(song, 1.0).parts) == 1
    with pytest.raises(ValueError, match=r"pairs must be 3 numbers of the other song's parts, 0..1"):
        song.morph(other, 1.0, pairs=[0, 1])


def test_loudness_morphs_too():
    soft, loud = ([(60, 8 * i, 8 * i + 1, velocity) for i in range(3)] for velocity in (20, 120))
    model, processor = mirror()
    song, other = (encode_song(model, processor, write_song(Track(notes))) for notes in (soft, loud))
    assert song.morph(other, [0, 1]).parts[0].velocities[:, 0].tolist() == [20, 70, 120]


def test_holding_an_attribute_sets_it_and_nothing_else():
    song = song_of([1, 5], [2, 6], [3, 7], [9, 9], rests=[3])
    direction = torch.tensor([2.0, 0.0])
    assert song.attribute_values(direction)[0].tolist() == [0.5, 1.0, 1.5, 0.0]
    assert song.hold_attribute(direction).parts[0].latents.tolist() == [[2, 5], [2, 6], [2, 7], [0, 0]]
    assert song.hold_attribute(direction, -1).parts[0].latents.tolist() == [[-2, 5], [-2, 6], [-2, 7], [0, 0]]
    rising = song.hold_attribute(direction, [0, 3])
    assert rising.attribute_values(direction)[0].tolist() == pytest.approx([0, 1, 2, 0])


def test_edits_leave_the_song_as_it_was():
    model, processor = mirror()
    song = encode_song(model, processor, BAND)
    before = [(part.latents.clone(), part.rests.clone(), part.velocities.clone()) for part in song.parts]
    edited = song.smooth(3).morph(song.smooth(9), [1, 0]).hold_attribute(torch.ones(32), 0.2)
    assert edited is not song
    for part, tensors in zip(song.parts, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip((part.latents, part.rests, part.velocities), tensors, strict=True))


def test_edits_say_what_they_cannot_do():
    song = song_of([1, 0], [0, 1])
    with pytest.raises(ValueError, match=r"fractions must be a number or several, 0..1; got 1.5"):
        song.morph(song, 1.5)
    with pytest.raises(ValueError, match="fit must be one of"):
        song.morph(song, 0.5, fit="cut")
    with pytest.raises(ValueError, match="same model"):
        song.morph(song_of([1, 0, 0], [0, 1, 0]), 0.5)
    with pytest.raises(ValueError, match=r"direction must have the shape \(2,\)"):
        song.hold_attribute(torch.ones(3))
    with pytest.raises(ValueError, match="not all of them zero"):
        song.hold_attribute(torch.zeros(2))


# Real models.

MODELS = {
    "cat-mel_2bar_small": {},
    "cat-mel_2bar_med_chords": {},
    "cat-drums_2bar_small": {},
    "nade-drums_2bar_reduced": {"nade_hidden_size": 4},
    "groovae_2bar_humanize": {},
    "groovae_2bar_hits_control_tfds": {},
    "hier-mel_16bar": {"encoder_hidden_sizes": [8]},
    "hierdec-trio_16bar": {},
}


@pytest.mark.parametrize("preset", MODELS)
def test_every_kind_of_model_takes_a_song_and_gives_one_of_its_length(preset):
    model, processor = random_model(preset, **MODELS[preset])
    song = encode_song(model, processor, BAND, batch_size=2)
    edited = song.smooth(2).morph(song, [0, 1]).hold_attribute(torch.ones(6), 0.5)
    result = decode_song(model, processor, edited, batch_size=2)
    assert [(i.name, i.program, i.is_drum) for i in result.instruments] == [
        ("Flute", 73, False),
        ("Bass", 33, False),
        ("Kit", 0, True),
    ]
    assert result.get_end_time() >= read_midi(BAND).get_end_time() - 1e-6
    assert result.get_end_time() <= 20.0 + 0.2  # ten bars; the last hit may be late
    read_midi(midi.to_bytes(result))
    whole = decode_song(model, processor, edited, batch_size=64)
    assert notes_of(whole) == notes_of(result)


@pytest.mark.parametrize("preset", ["cat-mel_2bar_small", "cat-drums_2bar_small", "groovae_4bar"])
def test_windows_are_read_as_the_processor_reads_them(preset):
    """Where nothing is held over the beginning of a window."""
    model, processor = random_model(preset)
    rng = np.random.default_rng(0)
    tune = Track([(int(pitch), q, q + 1) for q, pitch in enumerate(rng.integers(40, 90, 64))])
    drums = Track([(int(pitch), q, q + 0.25) for q, pitch in enumerate(rng.choice([36, 38, 42], 64))], is_drum=True)
    source = write_song(drums, tune)
    song = encode_song(model, processor, source)
    features = processor(source)
    by_bar = dict(zip([window.start_bar for window in features.windows], features["input_values"], strict=True))
    expected = torch.stack([model.encode(by_bar[window.start_bar][None]).mean[0] for window in song.windows])
    torch.testing.assert_close(song.parts[0].latents, expected)


def test_draws_are_repeated_with_the_same_seed():
    model, processor = random_model("cat-mel_2bar_small")
    song = encode_song(model, processor, BAND)

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return notes_of(decode_song(model, processor, song, temperature=1.0, generator=generator))

    assert draw(1) == draw(1) != draw(2)


def test_rests_stay_rests_and_the_song_keeps_its_length():
    model, processor = random_model("cat-mel_2bar_small")
    source = write_song(Track(scale(8)), Track([(36, 30, 31)], program=33))
    result = decode_song(model, processor, encode_song(model, processor, source), temperature=1.0)
    assert all(end <= 8 for *_, end in notes_of(result, 0))
    assert result.get_end_time() >= 15.5
    alone = write_song(Track([*scale(8), (20, 31, 32)]))  # a last note that the model does not read
    silent = encode_song(model, processor, alone)
    silent.frame.instruments[0].notes.clear()
    assert decode_song(model, processor, silent).get_end_time() == pytest.approx(16.0)


def test_a_song_belongs_to_its_processor():
    song = encode_song(*mirror(), BAND)
    model, processor = mirror(representation="drums")
    with pytest.raises(ValueError, match=r"encoded as 2-bar melody .* the processor reads 2-bar drums"):
        decode_song(model, processor, song)
    with pytest.raises(ValueError, match="other_metres must be one of"):
        encode_song(*mirror(), BAND, other_metres="drop")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        encode_song(*mirror(), BAND, batch_size=0)

"""The border for MIDI: what is read, what is refused and how, what is rendered."""

import io

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import midi
from hub_models.music_vae.chord_symbols import chord_index
from hub_models.music_vae.note_sequence import MidiError, MidiLimits


def make_midi(notes=((60, 0.0, 0.5), (64, 0.5, 1.0)), program=0, is_drum=False, velocity=100):
    music = pretty_midi.PrettyMIDI(initial_tempo=120)
    instrument = pretty_midi.Instrument(program, is_drum=is_drum)
    instrument.notes = [pretty_midi.Note(*(own or [velocity]), pitch, start, end) for pitch, start, end, *own in notes]
    music.instruments.append(instrument)
    return music


def test_path_bytes_and_file_object_give_the_same_notes(tmp_path):
    content = midi.to_bytes(make_midi())
    path = midi.save(make_midi(), tmp_path / "folder" / "tune.mid")
    for source in (path, str(path), content, bytearray(content), io.BytesIO(content)):
        assert [(n["pitch"], n["start"], n["end"]) for n in midi.notes(midi.load(source))] == [
            (60, 0.0, 0.5),
            (64, 0.5, 1.0),
        ]


def make_band():
    """A bass and drums at 93 beats a minute, with chords, a remark and a lyric."""
    music = pretty_midi.PrettyMIDI(initial_tempo=93)
    for name, program, is_drum in (("Fretless Bass", 35, False), ("Drums", 0, True)):
        instrument = pretty_midi.Instrument(program, is_drum, name)
        instrument.notes = [pretty_midi.Note(90, 40, 0.0, 1.0)]
        music.instruments.append(instrument)
    texts = (("F#m7b5", 0.0), ("Verse", 0.7), ("Bb/D", 1.3), ("N.C.", 2.6), ("fine", 4.0))
    music.text_events = [pretty_midi.Text(text, seconds) for text, seconds in texts]
    music.lyrics = [pretty_midi.Lyric("A", 0.5)]
    return music


def test_chord_symbols_are_written_as_markers_on_the_first_track():
    """Nothing else of the file changes: neither the order of events nor their ticks."""
    written, plain = io.BytesIO(midi.to_bytes(make_band())), io.BytesIO()
    make_band().write(plain)
    plain.seek(0)
    tracks, plain_tracks = mido.MidiFile(file=written).tracks, mido.MidiFile(file=plain).tracks
    assert [event.text for event in tracks[0] if event.type == "marker"] == ["F#m7b5", "Bb/D", "N.C."]
    assert [event.text for event in tracks[0] if event.type == "text"] == ["Verse", "fine"]
    assert not any(event.type == "marker" for track in tracks[1:] for event in track)
    as_text = [
        mido.MetaMessage("text", text=event.text, time=event.time) if event.type == "marker" else event
        for event in tracks[0]
    ]
    assert [as_text, *tracks[1:]] == plain_tracks


def test_tracks_have_their_names():
    tracks = mido.MidiFile(file=io.BytesIO(midi.to_bytes(make_band()))).tracks
    assert [[event.name for event in track if event.type == "track_name"] for track in tracks] == [
        [],
        ["Fretless Bass"],
        ["Drums"],
    ]


def test_chords_are_there_again_when_a_file_is_read():
    """Twice: a file that was read is written with markers too."""
    music = make_band()
    for _ in range(2):
        again = midi.load(midi.to_bytes(music))
        for before, after in ((music.text_events, again.text_events), (music.lyrics, again.lyrics)):
            assert [event.text for event in after] == [event.text for event in before]
            assert [event.time for event in after] == pytest.approx([event.time for event in before], abs=0.002)
        music = again


def test_chord_symbols_are_written_in_ascii():
    """Sequencers do not agree on any other characters; the music that was given keeps them."""
    spellings = {"F♯m": "F#m", "B♭△7": "Bbmaj7", "C°7": "Cdim7", "Cø": "Chdim", "E\N{MINUS SIGN}7": "E-7"}
    music = make_band()
    music.text_events = [pretty_midi.Text(symbol, index) for index, symbol in enumerate(spellings)]
    written = [event.text for event in midi.load(midi.to_bytes(music)).text_events]
    assert written == list(spellings.values())
    assert [chord_index(symbol) for symbol in written] == [chord_index(symbol) for symbol in spellings]
    assert [event.text for event in music.text_events] == list(spellings)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MThd",
        b"RIFF0000WAVE",
        b"\x89PNG\r\n\x1a\n",
        b"<html></html>",
        b"PK\x03\x04",
        b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x00MTrk",  # no ticks per quarter note
        midi.to_bytes(make_midi())[:-20],
        midi.to_bytes(make_midi())[:30],
    ],
)
def test_what_is_not_midi_is_refused_in_one_sentence(content):
    with pytest.raises(MidiError) as refusal:
        midi.load(content)
    message = str(refusal.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 250


def test_limits_hold_for_files_objects_and_bytes(tmp_path):
    content = midi.to_bytes(make_midi())
    (tmp_path / "tune.mid").write_bytes(content)
    tight = MidiLimits(max_bytes=20)
    for source in (content, tmp_path / "tune.mid", io.BytesIO(content)):
        with pytest.raises(MidiError, match="20"):
            midi.load(source, tight)
    with pytest.raises(MidiError, match="notes"):
        midi.load(content, MidiLimits(max_notes=1))


@pytest.mark.parametrize("source", [None, 7, ["tune.mid"], io.StringIO("MThd")])
def test_other_types_are_refused(source):
    with pytest.raises(TypeError):
        midi.load(source)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_read_never_worse(content):
    for candidate in (content, b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk" + content):
        try:
            music = midi.load(candidate)
        except MidiError:
            continue
        assert isinstance(music, pretty_midi.PrettyMIDI)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100), st.integers(0, 255), st.integers(0, 100))
def test_one_wrong_byte_is_refused_or_read_never_worse(where, value, cut):
    content = bytearray(midi.to_bytes(make_midi()))
    content[where % len(content)] = value
    try:
        midi.load(bytes(content[: len(content) - cut]))
    except MidiError as refusal:
        assert "Traceback" not in str(refusal)


def test_summary_says_what_a_file_holds():
    music = make_midi([(60, bar * 2.0, bar * 2.0 + 1.0) for bar in range(4)], program=24)
    music.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
    music.instruments.append(pretty_midi.Instrument(0, is_drum=True))
    summary = midi.summary(midi.load(midi.to_bytes(music)))
    assert summary["tempo"] == pytest.approx(120)
    assert summary["metres"] == ["4/4"]
    assert summary["bars"] == 4
    assert summary["num_notes"] == 4
    assert summary["seconds"] == pytest.approx(7.0)
    assert summary["instruments"][0] == {"name": "Acoustic Guitar (nylon)", "program": 24, "is_drum": False, "num_notes": 4}


def test_summary_of_an_empty_piece():
    summary = midi.summary(pretty_midi.PrettyMIDI())
    assert summary["num_notes"] == summary["bars"] == summary["seconds"] == 0


def test_notes_sound_when_they_are_written():
    sound = midi.render(make_midi([(60, 1.0, 1.5)]), 22_050)
    assert sound.dtype == np.float32
    assert sound.shape == (2, 22_050 * 5 // 2)  # the note's end and the release
    loud = np.flatnonzero(np.abs(sound).max(axis=0) > 0.01) / 22_050
    assert 0.99 < loud[0] < 1.05
    assert loud[-1] < 1.7


@pytest.mark.parametrize(("program", "is_drum", "pitch", "seconds"), [(0, True, 38, 0.1), (48, False, 60, 0.7)])
def test_notes_die_away_and_do_not_stop_dead(program, is_drum, pitch, seconds):
    """A snare drum lasts longer than a click, and strings longer than their key is held (for half a second)."""
    sound = midi.render(make_midi([(pitch, 0.0, 0.5)], program, is_drum), 22_050)
    assert np.abs(sound[:, int(22_050 * seconds) :]).max() > 0.02


def test_render_is_reproducible_and_programs_differ():
    piano, organ = (midi.render(make_midi(program=program), 22_050) for program in (0, 19))
    assert np.array_equal(piano, midi.render(make_midi(), 22_050))
    assert not np.array_equal(piano, organ)
    assert np.abs(midi.render(make_midi([(36, 0.0, 0.25)], is_drum=True), 22_050)).max() > 0.05


def test_notes_are_as_loud_as_they_are_struck():
    soft, middling, loud = (np.abs(midi.render(make_midi(velocity=v), 22_050)).max() for v in (30, 70, 110))
    assert soft * 3 < middling
    assert middling * 2 < loud
    flat = [midi.render(make_midi(velocity=v), 22_050, dynamics=False) for v in (30, 110)]
    assert np.array_equal(*flat)
    both = midi.render(make_midi([(60, 0.0, 0.5, 30), (60, 1.0, 1.5, 110)]), 22_050)
    half = both.shape[1] * 2 // 5
    assert np.abs(both[:, :half]).max() * 6 < np.abs(both[:, half:]).max()


def test_loud_music_is_scaled_not_clipped():
    sound = midi.render(make_midi([(pitch, 0.0, 1.0) for pitch in range(30, 100)], velocity=127), 22_050)
    assert np.abs(sound).max() <= 1.0
    assert np.sum(np.abs(sound) > 0.999) < 10


def test_loud_music_stays_as_loud_as_it_is_where_that_is_wanted():
    one, many = (
        midi.render(make_midi([(pitch, 0.0, 1.0) for pitch in pitches], velocity=127), 22_050, limit=False)
        for pitches in ([60], range(30, 100))
    )
    assert np.abs(many).max() > 1.0
    scaled = midi.render(make_midi([(pitch, 0.0, 1.0) for pitch in range(30, 100)], velocity=127), 22_050)
    np.testing.assert_allclose(scaled, many / np.abs(many).max(), atol=1e-5)
    assert np.array_equal(one, midi.render(make_midi([(60, 0.0, 1.0)], velocity=127), 22_050))


def test_silence_gives_silence_of_its_length():
    assert midi.render(pretty_midi.PrettyMIDI()).shape == (2, 0)
    assert np.array_equal(midi.render(pretty_midi.PrettyMIDI(), 22_050, min_seconds=2.0), np.zeros((2, 44_100), np.float32))


def test_last_bar_may_end_in_a_rest():
    assert midi.render(make_midi(), 22_050, min_seconds=3.0).shape == (2, 22_050 * 3 + 22_050)


def test_what_cannot_be_rendered_is_refused():
    with pytest.raises(midi.RenderError, match="at most 900"):
        midi.render(make_midi([(60, 5_000.0, 5_001.0)]))
    with pytest.raises(midi.RenderError, match="48000 Hz, not 5"):
        midi.render(make_midi(), 5)
    with pytest.raises(midi.RenderError, match=r"named missing\.sf2"):
        midi.render(make_midi(), soundfont="/nowhere/missing.sf2")


def test_a_file_that_is_no_soundfont_is_refused(tmp_path):
    (tmp_path / "song.sf2").write_bytes(midi.to_bytes(make_midi()))
    with pytest.raises(midi.RenderError, match=r"song\.sf2 is not a SoundFont"):
        midi.render(make_midi(), soundfont=tmp_path / "song.sf2")


def sounding_cents(sound, sample_rate, pitch):
    """How far a note is from its pitch: the comb of harmonics within 3 octaves that gathers most, (2, samples) -> cents."""
    wave = sound.mean(axis=0)[sample_rate // 8 :][: sample_rate // 2]
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8 * len(wave)))
    cents = np.arange(-1900, 1901, 5)  # an octave and a fifth either way
    fundamentals = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
    bins = np.outer(fundamentals, np.arange(1, 9)) * 8 * len(wave) / sample_rate
    # An octave below has all the harmonics too, at even places: odd ones that are missing count against it.
    heights = np.log1p(1000 * spectrum / spectrum.max())[np.minimum(bins.round().astype(int), len(spectrum) - 1)]
    return cents[np.argmax(heights @ (1 / np.arange(1, 9)) ** 0.5)]


@pytest.mark.parametrize("pitch", [43, 52, 60, 67, 76, 84])
@pytest.mark.parametrize("program", [0, 4, 24, 33, 40, 48, 56, 71, 73, 80])
def test_notes_are_in_tune(program, pitch):
    sound = midi.render(make_midi([(pitch, 0.0, 1.0)], program=program), 44_100)
    assert abs(sounding_cents(sound, 44_100, pitch)) <= 30


@pytest.mark.parametrize("sample_rate", midi.SAMPLE_RATES)
def test_every_sample_rate_is_in_tune(sample_rate):
    sound = midi.render(make_midi([(84, 0.0, 1.0)], program=80), sample_rate)
    assert abs(sounding_cents(sound, sample_rate, 84)) <= 30


def test_two_programs_with_one_sample_are_both_in_tune():
    """The synthesiser keeps samples it has played: the second program must not sound at the pitch of the first."""
    music = make_midi([(60, 0.0, 1.0)], program=43)
    music.instruments += make_midi([(60, 1.0, 2.0)], program=42).instruments
    sound = midi.render(music, 44_100)
    for part in (sound[:, :44_100], sound[:, 44_100:]):
        assert abs(sounding_cents(part, 44_100, 60)) <= 30


@pytest.mark.parametrize("sample_rate", [22_050, 44_100])
@pytest.mark.parametrize("program", [7, 40, 107])
def test_the_highest_notes_do_not_hang_the_synthesiser(program, sample_rate):
    sound = midi.render(make_midi([(pitch, 0.0, 0.2) for pitch in range(88, 128)], program=program), sample_rate)
    assert np.isfinite(sound).all()

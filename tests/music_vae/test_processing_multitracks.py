"""Multitrack bars: their tokens, which bars are read and what is said of the others, chords, transposition, the way back."""

import argparse
import io

import numpy as np
import pretty_midi
import pytest
import symusic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor
from hub_models.music_vae import ChordSymbolError, NoExamplesError, NoteSequence, encode_song, read_midi
from hub_models.music_vae.data import DataFile, WindowDataset, prepare_windows
from hub_models.music_vae.multitrack_events import (
    DRUMS,
    END,
    MAX_TRACK_EVENTS,
    NOTE_OFF,
    PADDING,
    PROGRAM,
    TIME_SHIFT,
    VELOCITY,
    TrackNotes,
    count_events,
    cut_tracks,
    decode_track,
    encode_tracks,
    paired,
    thin_tracks,
)
from hub_models.music_vae.train import build_processor
from hub_models.training.data_order import ExampleKey

from .conftest import SMALL, make_midi

PIANO, STRINGS, BASS = 0, 48, 33
MODES = ["musical", "original"]


@pytest.fixture(scope="module")
def processor() -> MusicVAEProcessor:
    return MusicVAEProcessor.from_preset("hier-multiperf_vel_1bar_med")


@pytest.fixture(scope="module")
def chord_processor() -> MusicVAEProcessor:
    return MusicVAEProcessor.from_preset("hier-multiperf_vel_1bar_med_chords")


def band(*tracks: tuple[list, int | None], tempo: float = 120.0, metre=(4, 4), velocity: int = 90) -> pretty_midi.PrettyMIDI:
    """Tracks of (notes, program); program None: drums."""
    midi = make_midi([], tempo=tempo, metre=metre)
    midi.instruments = [
        make_midi(notes, tempo, program=program or 0, is_drum=program is None, velocity=velocity).instruments[0]
        for notes, program in tracks
    ]
    return midi


def repeated(notes: list[tuple[int, float, float]], bars: range) -> list[tuple[int, float, float]]:
    """The notes of one bar in every bar of `bars`, a semitone higher in each, so that no two bars are equal."""
    return [(pitch + bar, start + 4 * bar, end + 4 * bar) for bar in bars for pitch, start, end in notes]


HALVES = [(48, 0, 2), (52, 2, 4)]
QUARTERS = [(36, 0, 1), (38, 1, 2), (36, 2, 3), (38, 3, 4)]


def duo(bars: range = range(1), **kwargs) -> pretty_midi.PrettyMIDI:
    return band((repeated(HALVES, bars), STRINGS), (repeated(QUARTERS, bars), BASS), **kwargs)


def tracks_of(labels: torch.Tensor) -> list[list[int]]:
    """The tokens of each track, without padding."""
    return [[int(token) for token in track if token != PADDING] for track in labels.reshape(8, 64)]


def shift(steps: int) -> int:
    return TIME_SHIFT + steps - 1


def midi_bytes(midi: pretty_midi.PrettyMIDI) -> bytes:
    buffer = io.BytesIO()
    midi.write(buffer)
    return buffer.getvalue()


# Tokens.


@pytest.mark.parametrize("mode", MODES)
def test_tracks_are_sorted_by_program_with_the_drums_last(processor, mode):
    drums = [(36, 0, 0.5), (42, 2, 2.5)]
    features = processor(band((drums, None), (HALVES, STRINGS), ([(60, 0, 4)], PIANO)), mode=mode)
    bin_of_90 = VELOCITY + (90 - 1) // 16
    assert tracks_of(features["labels"][0]) == [
        [PROGRAM + PIANO, bin_of_90, 60, shift(96), NOTE_OFF + 60, END],
        [PROGRAM + STRINGS, bin_of_90, 48, shift(48), NOTE_OFF + 48, 52, shift(48), NOTE_OFF + 52, END],
        [DRUMS, bin_of_90, 36, shift(12), NOTE_OFF + 36, shift(36), 42, shift(12), NOTE_OFF + 42, shift(36), END],
        *[[END]] * 5,
    ]
    assert features["lengths"].tolist() == [[6, 9, 11, 1, 1, 1, 1, 1]]
    assert features.windows[0].instrument == "Acoustic Grand Piano, String Ensemble 1, Drums"


@pytest.mark.parametrize("mode", MODES)
def test_a_velocity_token_stands_only_where_the_velocity_changes(processor, mode):
    midi = band((QUARTERS, PIANO), ([(60, 0, 4)], STRINGS))
    for note, velocity in zip(midi.instruments[0].notes, [1, 16, 17, 127], strict=True):
        note.velocity = velocity
    tokens = tracks_of(processor(midi, mode=mode)["labels"][0])[0]
    assert [token - VELOCITY + 1 for token in tokens if VELOCITY <= token < PROGRAM] == [1, 2, 8]
    written = processor.decode(processor(midi, mode=mode)["labels"][0]).instruments[0]
    assert [note.velocity for note in written.notes] == [1, 1, 17, 113]


def test_one_hots_are_zero_behind_the_end(processor):
    features = processor(duo())
    labels, values = features["labels"], features["input_values"]
    assert values.shape == (1, 512, 490)
    assert values.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert torch.equal(values.sum(dim=2), (labels != PADDING).float())
    assert torch.equal(values.argmax(dim=2)[labels != PADDING], labels[labels != PADDING])
    assert features["lengths"].sum() == (labels != PADDING).sum()


event_notes = st.tuples(st.integers(0, 95), st.integers(1, 96), st.integers(0, 127), st.integers(1, 8))
track_notes = st.lists(event_notes, max_size=12)


@given(st.lists(track_notes, min_size=1, max_size=8))
def test_notes_on_the_grid_come_back_exactly(tracks):
    rows = [(number, *note) for number, notes in enumerate(tracks) for note in notes]
    track, start, length, pitch, velocity_bin = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    notes = TrackNotes(track, start, np.minimum(start + length, 96), pitch, velocity_bin)
    tokens, steps = encode_tracks(notes, np.arange(PROGRAM, PROGRAM + len(tracks)))
    assert np.array_equal((tokens != PADDING).sum(axis=1) - 2, count_events(paired(notes), len(tracks)))
    expected = paired(notes)  # notes of one pitch that overlap: what begins first ends first
    for number, own in enumerate(tokens):
        ours = decode_track(own)
        mine = expected.select(expected.track == number)
        theirs = zip(mine.pitch.tolist(), (16 * mine.bin - 15).tolist(), mine.start.tolist(), mine.end.tolist(), strict=True)
        assert sorted(ours.notes) == sorted(theirs)
        assert (ours.program, ours.is_drum) == (number, False)
        assert (np.diff(steps[number, 1 : (own != PADDING).sum()]) >= 0).all()


@given(st.lists(st.integers(-1, 489), min_size=512, max_size=512), st.integers(0, 63))
@settings(max_examples=40, deadline=None)
def test_whatever_the_model_gives_can_be_decoded(tokens, length):
    processor = MusicVAEProcessor("multitrack", num_bars=1, steps_per_quarter=24)
    sequence = torch.tensor(tokens)
    sequence.reshape(8, 64)[0, length] = END
    midi = processor.decode(sequence)
    notes = [note for instrument in midi.instruments for note in instrument.notes]
    assert all(0 <= note.start < note.end <= 2.0 for note in notes)
    features = processor.features(sequence[None])
    assert features["lengths"].min() >= 1
    assert features["lengths"][0, 0] <= length + 1
    again = processor.decode(features["labels"][0])
    assert str([i.notes for i in again.instruments]) == str([i.notes for i in midi.instruments])


# Files.


@given(
    st.lists(
        st.tuples(
            st.integers(0, 127),
            st.booleans(),
            st.lists(st.tuples(st.integers(0, 127), st.integers(0, 47), st.integers(1, 40)), min_size=4, max_size=10),
        ),
        min_size=2,
        max_size=8,
    )
)
@settings(max_examples=40, deadline=None)
def test_a_bar_of_sixteenths_is_read_and_written_back_the_same(tracks):
    processor = MusicVAEProcessor.from_preset("hier-multiperf_vel_1bar_med")
    midi = band()
    for program, is_drum, notes in tracks:
        notes = {(pitch, start): min(start + length, 48) for pitch, start, length in notes}
        apart = [(p, s / 12, min([e, *(t for q, t in notes if q == p and t > s)]) / 12) for (p, s), e in notes.items()]
        midi.instruments += make_midi(apart, program=program, is_drum=is_drum).instruments
    features = processor(midi)
    if features.reductions:
        return
    assert len(features["labels"]) == 1
    written = processor.decode(features["labels"][0])

    def described(instruments):
        return sorted(
            (
                one.is_drum,
                0 if one.is_drum else one.program,
                sorted((n.pitch, round(n.start * 48), round(n.end * 48)) for n in one.notes),
            )
            for one in instruments
        )

    assert described(written.instruments) == described(midi.instruments)


@pytest.mark.parametrize(("mode", "count"), [("musical", 2), ("original", 4)])
def test_equal_bars_are_kept_once_in_musical_mode(processor, mode, count):
    bars = [0, 1, 0, 1]
    tracks = [
        ([(p + change, s + 4 * bar, e + 4 * bar) for bar, change in enumerate(bars) for p, s, e in notes], program)
        for notes, program in ((HALVES, STRINGS), (QUARTERS, BASS))
    ]
    features = processor(band(*tracks), mode=mode)
    assert [window.start_bar for window in features.windows] == [1, 2, 3, 4][:count]


def test_notes_are_cut_at_the_bar_line_and_do_not_go_on_behind_it(processor):
    features = processor(band(([(60, 2, 6), (60, 7, 8)], PIANO), (repeated(QUARTERS, range(2)), BASS)))
    first, second = (processor.decode(row).instruments[0].notes for row in features["labels"])
    assert [(note.start, note.end) for note in first] == [(1.0, 2.0)]
    assert [(note.start, note.end) for note in second] == [(1.5, 2.0)]


def test_a_tempo_that_changes_in_a_bar_does_not_matter_in_musical_mode(processor):
    steady = symusic.Score.from_midi(midi_bytes(duo()))
    changing = symusic.Score.from_midi(midi_bytes(duo()))
    changing.tempos.append(symusic.Tempo(2 * changing.ticks_per_quarter, 73))
    assert torch.equal(processor(changing)["labels"], processor(steady)["labels"])
    assert not torch.equal(processor(changing, mode="original")["labels"], processor(steady)["labels"])


@pytest.mark.parametrize("metre", [(4, 4), (2, 4), (2, 2)])
def test_metres_that_fill_a_bar_are_read(processor, metre):
    assert torch.equal(processor(duo(metre=metre))["labels"], processor(duo())["labels"])


# What is left out, and why.


def rejections(processor, midi, mode="musical", **kwargs) -> list[str]:
    try:
        return [str(rejection) for rejection in processor(midi, mode=mode, **kwargs).rejections]
    except NoExamplesError as error:
        return [str(rejection) for rejection in error.rejections]


@pytest.mark.parametrize("mode", MODES)
def test_a_file_of_one_instrument_is_refused_with_a_reason(processor, mode):
    with pytest.raises(NoExamplesError, match=r"two instruments or more.*bars 1-3: one instrument plays"):
        processor(band((repeated(QUARTERS, range(3)), PIANO)), mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_three_four_is_refused_with_a_reason(processor, mode):
    with pytest.raises(NoExamplesError, match="the metre is 3/4"):
        processor(duo(range(2), metre=(3, 4)), mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_every_bar_left_out_has_a_reason(processor, mode):
    strings = [*repeated(HALVES, range(0, 2)), (60, 20, 24), *repeated(HALVES, range(7, 9))]
    bass = repeated(QUARTERS, range(0, 3)) + repeated(QUARTERS, range(6, 7)) + repeated(QUARTERS, range(7, 9))
    bass += [(36, 20, 24)]
    features = processor(band((strings, STRINGS), (bass, BASS)), mode=mode)
    assert [window.start_bar for window in features.windows] == [1, 2, 6, 8, 9]
    assert [str(rejection) for rejection in features.rejections] == [
        "bars 3 and 7: one instrument plays; this model reads bars of 2 or more",
        "bars 4-5: no note begins",
    ]


def test_mode_original_loses_what_rounds_to_the_next_bar_line(processor):
    midi = band(([(60, 0, 4)], PIANO), ([(36, 3.999, 4)], BASS))
    assert rejections(processor, midi, "original") == ["bar 1: less than 8 events"]
    midi = band((QUARTERS, PIANO), ([(36, 3.999, 4)], BASS))
    assert tracks_of(processor(midi, mode="original")["labels"][0])[1] == [DRUMS, shift(96), END]
    assert rejections(processor, midi) == ["bars 1-2: one instrument plays; this model reads bars of 2 or more"]


def test_empty_tracks_and_odd_programs_do_no_harm(processor):
    midi = duo()
    plain = processor(midi)["labels"]
    midi.instruments.insert(0, pretty_midi.Instrument(127))
    midi.instruments.append(pretty_midi.Instrument(3, is_drum=True))
    assert torch.equal(processor(midi)["labels"], plain)
    midi.instruments += make_midi([(70, 0, 1)], program=127).instruments
    assert PROGRAM + 127 in processor(midi)["labels"]


def test_of_forty_tracks_the_eight_busiest_stay_and_it_is_said(processor):
    tracks = [([(40 + track, beat, beat + 0.25) for beat in range(1 + (track >= 32))], track) for track in range(40)]
    features = processor(band(*tracks))
    assert [str(reduction) for reduction in features.reductions] == ["bar 1: kept the 8 busiest of 40 tracks"]
    programs = [track[0] - PROGRAM for track in tracks_of(features["labels"][0])]
    assert programs == list(range(32, 40))
    assert rejections(processor, band(*tracks), "original") == ["bar 1: more than 8 tracks"]


def test_a_crowded_track_loses_its_quietest_notes_and_it_is_said(processor):
    crowd = [(60 + n % 12, n / 8, n / 8 + 0.1) for n in range(32)]
    midi = band((crowd, PIANO), (QUARTERS, BASS), velocity=100)
    for note in midi.instruments[0].notes[1::2]:
        note.velocity = 40
    features = processor(midi)
    assert features["lengths"].max() <= 64
    kept = processor.decode(features["labels"][0]).instruments[0].notes
    assert all(note.velocity == 97 for note in kept)
    assert 12 < len(kept) < 17
    reason = "too dense for 62 events in a bar; its quietest and shortest notes were left out"
    assert [str(reduction) for reduction in features.reductions] == [
        f"'Acoustic Grand Piano', bar 1: {reason}, {32 - len(kept)} of 32"
    ]
    assert rejections(processor, midi, "original") == ["bar 1: a track has more than 62 events"]


@given(st.lists(event_notes, min_size=30, max_size=80))
@settings(max_examples=30, deadline=None)
def test_thinning_leaves_no_track_with_too_many_events(rows):
    start, length, pitch, velocity_bin = np.array(rows, dtype=np.int64).T
    notes = TrackNotes(np.arange(len(rows)) % 2, start, np.minimum(start + length, 96), pitch, velocity_bin)
    keep = thin_tracks(notes, 2, velocity_bin)
    counts = count_events(paired(notes.select(keep)), 2)
    assert (counts <= MAX_TRACK_EVENTS).all()
    for track in range(2):
        gone = velocity_bin[(notes.track == track) & ~keep]
        stay = velocity_bin[(notes.track == track) & keep]
        assert not len(gone) or gone.max() <= stay.min()
        if len(gone):  # one more would be too many
            more = keep.copy()
            more[np.flatnonzero((notes.track == track) & ~keep & (velocity_bin == gone.max()))[0]] = True
            assert count_events(paired(notes.select(more)), 2)[track] > MAX_TRACK_EVENTS


def test_what_is_said_of_a_long_file_stays_readable(processor):
    bars = [bar for bar in range(1200) if bar % 3]
    tracks = [
        ([(40 + track + bar % 40, 4 * bar + track % 4, 4 * bar + track % 4 + 1) for bar in bars], track)
        for track in range(12)
    ]
    features = processor(band(*tracks), max_windows=2)
    assert [str(rejection) for rejection in features.rejections] == [
        "bars 1, 4, 7, 10, 13, 16 and 394 more places: no note begins"
    ]
    assert [str(reduction) for reduction in features.reductions] == [
        "bars 2-3, 5-6, 8-9, 11-12, 14-15, 17-18 and 394 more places: kept the 8 busiest of 12 tracks"
    ]


def test_pitch_bends_are_named(processor):
    midi = duo()
    assert not processor(midi).reductions
    midi.instruments[1].pitch_bends.append(pretty_midi.PitchBend(200, 0.5))
    expected = ["'Electric Bass (finger)': pitch bends are not read"]
    assert [str(one) for one in processor(midi).reductions] == expected
    assert [str(one) for one in processor(symusic.Score.from_midi(midi_bytes(midi))).reductions] == expected


def test_features_of_a_long_file_stay_in_memory(processor, monkeypatch):
    monkeypatch.setattr(processor.codec, "max_windows", 2)
    features = processor(duo(range(5)))
    assert len(features["labels"]) == 2
    assert [str(one) for one in features.reductions] == ["bars 1-5: the first 2 of 5 windows are read"]
    assert len(processor(duo(range(5)), max_windows=4)["labels"]) == 4


# The sustain pedal.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parser", ["pretty_midi", "symusic"])
def test_a_pedal_holds_notes_until_it_goes_up_or_the_pitch_is_played_again(processor, mode, parser):
    midi = band(([(60, 0, 0.5), (64, 0.5, 1), (60, 2, 2.5)], PIANO), (QUARTERS, None))
    for instrument in midi.instruments:
        instrument.control_changes = [pretty_midi.ControlChange(64, 100, 0.0), pretty_midi.ControlChange(64, 0, 1.5)]
    source = midi if parser == "pretty_midi" else symusic.Score.from_midi(midi_bytes(midi))
    piano, drums = processor.decode(processor(source, mode=mode)["labels"][0]).instruments
    assert sorted((note.pitch, note.start, note.end) for note in piano.notes) == [
        (60, 0.0, 1.0),
        (60, 1.0, 1.5),
        (64, 0.25, 1.5),
    ]
    assert [note.end - note.start for note in drums.notes] == [0.5] * 4


@pytest.mark.parametrize("mode", MODES)
def test_a_pedal_that_stays_down_holds_to_the_last_event(processor, mode):
    midi = band(([(60, 0, 1), (62, 1, 2)], PIANO), (QUARTERS, BASS))
    midi.instruments[0].control_changes = [pretty_midi.ControlChange(64, 127, 0.1)]
    piano = processor.decode(processor(midi, mode=mode)["labels"][0]).instruments[0]
    assert [note.end for note in piano.notes] == [2.0, 2.0]


# Chords.


def chords_read(processor, source, **kwargs) -> list[int]:
    """The chord at each step 0, 24, 48 and 72 of the first bar, as its tokens have it."""
    features = processor(source, **kwargs)
    tracks, chords = features["labels"][0].reshape(8, 64), features["controls"][0].argmax(dim=1).reshape(8, 64)
    tokens = tracks[[PROGRAM + BASS in row for row in tracks.tolist()].index(True)]
    own = chords[[PROGRAM + BASS in row for row in tracks.tolist()].index(True)]
    return own[(tokens >= 0) & (tokens < NOTE_OFF)].tolist()


@pytest.mark.parametrize("mode", MODES)
def test_each_token_has_the_chord_at_its_step(chord_processor, mode):
    assert chords_read(chord_processor, duo(), mode=mode, chords=[(0.0, "C"), (1.0, "Am")]) == [1, 1, 22, 22]
    assert chords_read(chord_processor, duo(), mode=mode, chords="| C Am |") == [1, 1, 22, 22]
    features = chord_processor(duo(), mode=mode, chords="F")
    is_token = features["labels"] != PADDING
    assert torch.equal(features["controls"].sum(dim=2), is_token.float())
    chords = features["controls"].argmax(dim=2).reshape(8, 64)
    assert (chords[:, 0] == 0).all()
    assert (chords[:2, 1:][is_token.reshape(8, 64)[:2, 1:]] == 6).all()


def test_chords_stand_in_markers_text_events_and_lyrics(chord_processor, tmp_path):
    def written(kind: str) -> bytes:
        score = symusic.Score.from_midi(midi_bytes(duo()))
        texts = [symusic.TextMeta(0, "Dm"), symusic.TextMeta(2 * score.ticks_per_quarter, "Bdim")]
        (score.markers if kind == "marker" else score.tracks[0].lyrics).extend(texts)
        return score.dumps_midi()

    for kind in ("marker", "lyric"):
        data = written(kind)
        assert chords_read(chord_processor, data) == [15, 15, 48, 48], kind
        assert chords_read(chord_processor, symusic.Score.from_midi(data)) == [15, 15, 48, 48], kind
    midi = duo()
    midi.text_events = [pretty_midi.Text("Dm", 0.0), pretty_midi.Text("Bdim", 1.0)]
    assert chords_read(chord_processor, midi) == [15, 15, 48, 48]


def test_markers_are_text_events_of_a_file_that_is_read():
    score = symusic.Score.from_midi(midi_bytes(duo()))
    score.markers.append(symusic.TextMeta(score.ticks_per_quarter, "Am"))
    midi = read_midi(score.dumps_midi())
    assert [(text.text, text.time) for text in midi.text_events] == [("Am", 0.5)]


def test_names_of_parts_are_no_chords(chord_processor):
    midi = duo(range(3))
    midi.text_events = [pretty_midi.Text(name, 2.0 * bar) for bar, name in enumerate("ABC")]
    assert chords_read(chord_processor, midi) == chords_read(chord_processor, duo(range(3)))


@pytest.mark.parametrize("mode", MODES)
def test_without_symbols_chords_are_inferred(chord_processor, mode):
    triads = [(60 + p, 0, 2) for p in (0, 4, 7)] + [(57 + p, 2, 4) for p in (0, 3, 7)]
    assert chords_read(chord_processor, band((triads, PIANO), ([*QUARTERS[:1], (45, 2, 4)], BASS)), mode=mode) == [1, 22]


def test_mode_original_infers_one_chord_a_bar_in_two_two_and_none_in_eight_eight(chord_processor):
    triads = [(60 + p, 0, 3) for p in (0, 4, 7)] + [(57 + p, 3, 4) for p in (0, 3, 7)]
    midi = band((triads, PIANO), ([(36, 0, 2), (45, 3, 4)], BASS), metre=(2, 2))
    assert chords_read(chord_processor, midi, mode="original") == [1, 1]
    reason = "bar 1: mode 'original' infers no chords in 8/8"
    assert rejections(chord_processor, duo(metre=(8, 8)), "original") == [reason]


def test_a_chord_that_cannot_be_read_is_named_with_its_bar(chord_processor):
    with pytest.raises(ChordSymbolError, match="'H7' in bar 2"):
        chord_processor(duo(range(2)), chords=[(0.0, "C"), (2.0, "H7")])


def test_mode_original_leaves_out_bars_whose_chords_it_does_not_read(chord_processor):
    midi = duo(range(3))
    chords = [(0.0, "C"), (2.0, "Csus4"), (4.0, "G"), (4.001, "Am")]
    features = chord_processor(midi, mode="original", chords=chords)
    assert [window.start_bar for window in features.windows] == [1]
    assert [rejection.where for rejection in features.rejections] == ["bar 2", "bar 3"]
    assert "only major, minor" in features.rejections[0].reason
    assert "'G' and 'Am' fall on one step" in features.rejections[1].reason


def test_controls_of_one_chord_leave_out_the_first_token_of_each_track(chord_processor):
    controls = chord_processor.chord_controls("Am")
    chords = controls.argmax(dim=1).reshape(8, 64)
    assert controls.shape == (512, 49)
    assert (chords[:, 0] == 0).all()
    assert (chords[:, 1:] == 22).all()
    for progression in ("C Am", "| C Am |"):
        with pytest.raises(ValueError, match="timed_controls"):
            chord_processor.chord_controls(progression)
    with pytest.raises(ChordSymbolError, match="'X' in bar 1"):
        chord_processor.chord_controls("X")


def test_timed_controls_hold_the_chord_of_each_step(chord_processor):
    controls = chord_processor.codec.timed_controls("| C Am |")
    assert controls.values.shape == (1, 96, 49)
    assert controls.values[0].argmax(dim=1).tolist() == [1] * 48 + [22] * 48
    assert controls.first.argmax() == 0
    assert controls.first.sum() == 1
    assert controls.durations.tolist() == [0] * 256 + list(range(1, 97)) + [0] * (490 - 352)
    assert chord_processor.codec.timed_controls(np.zeros((3, 96), dtype=np.int64)).values.shape == (3, 96, 49)
    controls.check(5, 49, 490)
    with pytest.raises(ValueError, match=r"shape \(96,\) or \(batch, 96\), got \(16,\)"):
        chord_processor.codec.timed_controls(np.zeros(16, dtype=np.int64))
    with pytest.raises(ValueError, match=r"numbers 0\.\.48"):
        chord_processor.codec.timed_controls(np.full(96, 49))


def test_sequences_without_chords_get_no_chord(chord_processor):
    features = chord_processor.features(chord_processor(duo())["labels"])
    assert torch.equal(features["controls"][..., 0], (features["labels"] != PADDING).float())


# Transposition.


def test_pitched_notes_and_chords_are_transposed_and_drums_are_not(chord_processor):
    drums = [(36, 0, 0.5), (42, 2, 2.5)]
    midi = band((HALVES, STRINGS), (drums, None), (QUARTERS, BASS))
    examples = np.repeat(chord_processor.extract(NoteSequence.from_pretty_midi(midi)).examples, 7, axis=0)
    semitones = np.arange(-3, 4)
    moved = chord_processor.codec.transpose(examples, semitones)
    assert moved.dtype == examples.dtype
    assert np.array_equal(moved[3], examples[3])
    assert np.array_equal(moved == PADDING, examples == PADDING)
    for row, by in zip(moved, semitones, strict=True):
        bass, strings, kit = chord_processor.decode(row[:, 0]).instruments
        assert [note.pitch for note in strings.notes] == [48 + by, 52 + by]
        assert [note.pitch for note in bass.notes] == [pitch + by for pitch, _, _ in QUARTERS]
        assert [note.pitch for note in kit.notes] == [36, 42]
    has_chord = (examples[..., 1] > 0).all(axis=0)
    assert has_chord.any()
    roots = (moved[:, has_chord, 1] - 1) % 12
    assert ((np.diff(roots.astype(np.int64), axis=0) - 1) % 12 == 0).all()
    assert ((moved[:, has_chord, 1] - 1) // 12 == (examples[:, has_chord, 1] - 1) // 12).all()
    back = chord_processor.codec.transpose(moved, -semitones)
    assert np.array_equal(back, examples)


def test_a_bar_stays_where_a_note_would_leave_the_range(chord_processor):
    midi = band((HALVES, STRINGS), ([(126, 0, 1), (100, 1, 2)], PIANO))
    examples = chord_processor.extract(NoteSequence.from_pretty_midi(midi)).examples
    assert np.array_equal(chord_processor.codec.transpose(examples, np.array([2])), examples)
    assert not np.array_equal(chord_processor.codec.transpose(examples, np.array([1])), examples)


# The way back.


def test_tracks_are_written_with_the_names_of_their_programs(processor):
    midi = processor.decode(processor(band((HALVES, STRINGS), (QUARTERS, None)))["labels"][0], tempo=60.0)
    assert [(one.name, one.program, one.is_drum) for one in midi.instruments] == [
        ("String Ensemble 1", STRINGS, False),
        ("Drums", 0, True),
    ]
    assert midi.get_end_time() == 4.0
    assert midi.time_signature_changes[0].numerator == 4


def test_tokens_behind_an_end_are_not_heard(processor):
    sequence = torch.full((8, 64), END)
    sequence[0, :5] = torch.tensor([60, shift(24), NOTE_OFF + 60, END, 72])
    midi = processor.decode(sequence.flatten(), program=5, velocity=33)
    (piano,) = midi.instruments
    assert piano.program == 5
    assert [(note.pitch, note.velocity, note.end) for note in piano.notes] == [(60, 33, 0.5)]
    assert processor.decode(sequence.flatten()).instruments[0].notes[0].velocity == 100
    assert processor.decode(torch.stack([sequence.flatten()] * 3))[2].instruments[0].notes[0].pitch == 60


def test_chords_are_written_as_text_events(chord_processor):
    sequence = chord_processor(duo())["labels"][0]
    numbers = np.repeat([1, 22], 48)
    for chords in ("| C Am |", numbers, torch.nn.functional.one_hot(torch.tensor(numbers), 49)):
        midi = chord_processor.decode(sequence, chords=chords)
        assert [(text.text, text.time) for text in midi.text_events] == [("C", 0.0), ("Am", 1.0)]
    by_token = chord_processor(duo(), chords="| C Am |")["controls"]
    midi = chord_processor.decode(sequence[None], chords=by_token)[0]
    assert [(text.text, text.time) for text in midi.text_events] == [("C", 0.0), ("Am", 1.0)]
    with pytest.raises(ValueError, match="96 numbers"):
        chord_processor.decode(sequence, chords=np.zeros(16, dtype=np.int64))


# What is refused.


def test_sequences_of_other_shapes_and_values_are_refused(processor):
    good = processor(duo())["labels"]
    for bad in (good[:, :500], good[..., None].expand(-1, -1, 3), torch.zeros((0, 512), dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"must have the shape \(batch, 512\)"):
            processor.features(bad)
    for bad in (good + 490, good - 5):
        with pytest.raises(ValueError, match=r"hold integers 0\.\.489, and -1 behind the end"):
            processor.decode(bad)
    with pytest.raises(ValueError, match="hold integers"):
        processor.features(good.float())


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="1 bar of 24 steps"):
        MusicVAEProcessor("multitrack", num_bars=2, steps_per_quarter=24)
    with pytest.raises(ValueError, match="8 velocity bins and 8 tracks of 64 events, not 8, 16 and 64"):
        MusicVAEProcessor.from_preset("hier-multiperf_vel_1bar_med", max_tracks=16)
    with pytest.raises(ValueError, match="'melody' and 'multitrack'"):
        MusicVAEProcessor("drums", chords=True)


def test_a_song_is_made_by_a_band_and_not_by_encode_song(processor):
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig.from_preset("hier-multiperf_vel_1bar_med", **SMALL))
    with pytest.raises(ValueError, match=r"Band\.arrange"):
        encode_song(model, processor, duo(range(2)))


def test_the_processor_is_saved_and_loaded(chord_processor, tmp_path):
    chord_processor.save_pretrained(tmp_path)
    loaded = MusicVAEProcessor.from_pretrained(tmp_path)
    assert (loaded.representation, loaded.chords, loaded.window_steps, loaded.steps_per_bar) == ("multitrack", True, 512, 96)
    assert loaded.example_shape == (512, 2)
    assert loaded.control_size == 49
    assert torch.equal(loaded(duo())["controls"], chord_processor(duo())["controls"])


# Training data.


def test_examples_keep_their_padding_through_the_cache(chord_processor, tmp_path):
    for number in range(3):
        duo(range(number, number + 4)).write(str(tmp_path / f"{number}.mid"))
    files = [DataFile(str(path), path.name, "train") for path in sorted(tmp_path.glob("*.mid"))]
    windows = prepare_windows(files, chord_processor, tmp_path / "cache", num_proc=1)
    assert windows.examples.dtype == np.int16
    assert windows.examples.shape == (12, 512, 2)
    direct = chord_processor.extract(NoteSequence.from_pretty_midi(read_midi(files[0].path))).examples
    assert np.array_equal(windows.examples[:4], direct)
    assert (windows.examples == PADDING).any()
    dataset = WindowDataset(windows.select("train"), 3, chord_processor.codec.transpose)
    batch = chord_processor.features(dataset.__getitems__([ExampleKey(0, index) for index in range(12)]))
    assert batch["lengths"].shape == (12, 8)
    assert (batch["labels"] == PADDING).any()


@pytest.mark.parametrize(("preset", "bars"), [("hier-multiperf_vel_1bar_med", 1), ("cat-mel_2bar_small", 2)])
def test_training_takes_as_many_bars_as_the_model_reads(preset, bars):
    options = argparse.Namespace(preset=preset, init_from=None, mode="musical", drum_map=None, corruptions=None)
    assert build_processor(options, MusicVAEConfig.from_preset(preset)).num_bars == bars


def test_cut_tracks_gives_a_track_without_tokens_an_end():
    assert cut_tracks(np.full(512, PADDING))[:, 0].tolist() == [END] * 8

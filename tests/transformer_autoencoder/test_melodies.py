"""Melodies: the most probable one against the original's full matrices, the highest one, and their events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models.transformer_autoencoder import PerformanceNotes, PitchRangeError, melody_inference
from hub_models.transformer_autoencoder.melody_events import (
    MELODY_VOCAB_SIZE,
    TempoError,
    decode_melody,
    encode_melody,
    encode_melody_in_quarters,
    encode_melody_text,
    single_tempo,
)
from hub_models.transformer_autoencoder.melody_inference import (
    MelodyInferenceError,
    count_frames,
    infer_long_melody,
    infer_melody,
    legato,
    note_frames,
    skyline,
)
from hub_models.transformer_autoencoder.performance_events import TokenError

from .music import etude, make_midi, random_notes, rows_of, simultaneous


def states_by_full_matrices(notes: PerformanceNotes) -> np.ndarray:
    """The original's Viterbi search: every state to every other, frame by frame."""
    frames = note_frames(notes)
    pitches, count = frames.pitches, len(frames.pitches)
    interval = np.abs(np.arange(128)[:, None] - np.arange(128))
    prior = 1 / (1 + (interval / 2.0) ** 2)
    prior = 0.9 * prior / prior.sum(axis=1, keepdims=True)
    move = np.zeros((257, 257))
    move[0, 0], move[0, 1:129] = 1, 1 / 128
    for first in (1, 129):
        move[first : first + 128, 0] = 0.1
        move[first : first + 128, 1:129] = prior
        move[first : first + 128, 129:] = np.eye(128)
    own = [0, *(1 + pitches), *(129 + pitches)]
    sounds = frames.has_note
    higher = np.stack([sounds[:, column + 1 :].any(axis=1) for column in range(count)], axis=1)
    top = np.where(higher, 1e-15, 1 - 1e-15)
    likely = np.concatenate(
        [
            ~sounds.any(axis=1, keepdims=True),
            frames.has_onset * top,
            ~frames.has_onset * top * np.where(sounds, 1 - 1e-15, 1e-15),
        ],
        axis=1,
    )
    with np.errstate(divide="ignore"):
        move, likely = np.log(move[np.ix_(own, own)]), np.diff(frames.times)[:, None] * np.log(likely)
    scores, parents = move[0] + likely[0], []
    for row in likely[1:]:
        paths = scores[:, None] + move
        parents.append(paths.argmax(axis=0))
        scores = paths.max(axis=0) + row
    path = [int(scores.argmax())]
    for parent in reversed(parents):
        path.append(int(parent[path[-1]]))
    return np.array(path[::-1])


@settings(deadline=None, max_examples=100)
@given(notes=st.one_of(random_notes(), random_notes(lowest=50, highest=90, max_notes=60), random_notes(grid=0.5)))
def test_the_most_probable_melody_is_that_of_the_full_matrices(notes):
    expected = states_by_full_matrices(notes)
    np.testing.assert_array_equal(melody_inference._most_probable_states(note_frames(notes)), expected)


@settings(deadline=None, max_examples=60)
@given(notes=random_notes(max_notes=60, lowest=50, highest=90))
def test_a_melody_has_one_voice_of_the_performances_onsets(notes):
    for melody in (infer_melody(notes), skyline(notes)):
        onsets = {(pitch, start) for pitch, _, start, _ in rows_of(notes)}
        assert all((pitch, start) in onsets for pitch, _, start, _ in rows_of(melody))
        assert np.all(np.diff(melody.start) > 0)
        assert np.all(melody.end[:-1] <= melody.start[1:])
        assert np.all(melody.end > melody.start)
        assert melody.total_seconds == notes.total_seconds
        assert set(melody.instrument.tolist()) == {1}


def test_the_melody_is_the_upper_voice():
    notes = PerformanceNotes.from_midi(make_midi(etude()))
    upper = [row for row in rows_of(notes) if row[0] >= 72]
    for melody in (infer_melody(notes), skyline(notes)):
        found = {(pitch, start) for pitch, _, start, _ in rows_of(melody)}
        assert {(pitch, start) for pitch, _, start, _ in upper} <= found


def test_skyline_lets_the_higher_note_interrupt_and_the_lower_not():
    melody = skyline(PerformanceNotes.from_midi(make_midi([(60, 0, 4), (72, 1, 2), (64, 1, 3), (62, 2.5, 3), (50, 4, 5)])))
    assert [(pitch, start, end) for pitch, _, start, end in sorted(rows_of(melody), key=lambda row: row[2])] == [
        (60, 0, 1),
        (72, 1, 2),
        (62, 2.5, 3),
        (50, 4, 5),
    ]


def test_drums_and_noises_are_no_melody():
    midi = simultaneous(make_midi([(90, 0, 1)], is_drum=True), make_midi([(95, 0, 1)], program=120), make_midi([(60, 0, 1)]))
    for find in (infer_melody, skyline):
        melody = find(PerformanceNotes.from_midi(midi))
        assert (melody.pitch.tolist(), melody.instrument.tolist()) == ([60], [3])
    midi.instruments = midi.instruments[:2]
    assert not len(infer_melody(PerformanceNotes.from_midi(midi)))


def test_legato_holds_each_note_until_the_next():
    melody = legato(PerformanceNotes.from_midi(make_midi([(62, 1, 1.5), (60, 0, 0.2), (64, 3, 3.1)])))
    assert rows_of(melody) == [(60, 80, 0, 1), (62, 80, 1, 3), (64, 80, 3, 3.1)]


def test_music_too_long_for_one_search_is_refused_or_parted():
    starts = np.arange(5500) * 0.125
    rows = [(60 + index % 12, 80, start, start + 0.1) for index, start in enumerate(starts) if index % 500]
    notes = PerformanceNotes.from_rows(rows)
    assert count_frames(notes) > melody_inference.MAX_NUM_FRAMES
    with pytest.raises(MelodyInferenceError, match=r"10,978 frames .* at most 10,000"):
        infer_melody(notes)
    melody, seams = infer_long_melody(notes)
    assert len(seams) == 1
    assert all(any(np.isclose(notes.start, seam)) for seam in seams)
    assert melody.pitch.tolist() == notes.pitch.tolist()
    np.testing.assert_allclose(melody.start, notes.start)


def test_long_legato_music_is_parted_where_a_note_begins():
    starts = np.arange(3000) * 0.1
    notes = PerformanceNotes.from_rows([(60 + index % 7, 80, s, s + 0.17) for index, s in enumerate(starts)])
    melody, seams = infer_long_melody(notes, max_frames=700)
    assert seams
    assert set(np.round(seams, 6)) <= set(np.round(starts, 6))
    whole = {row[0::2] for row in rows_of(infer_melody(notes))}
    assert len(whole & {(row[0], float(np.round(row[2], 6))) for row in rows_of(melody)}) > 0.5 * len(whole)
    assert infer_long_melody(notes)[1] == []


@settings(deadline=None, max_examples=100)
@given(notes=random_notes(max_notes=30, lowest=50, highest=90, grid=0.1))
def test_melodies_survive_their_events(notes):
    """Of times that are whole steps, nothing is lost but velocities, and a rest too short to have an event."""
    melody = skyline(notes)
    ids = encode_melody(melody)
    again = decode_melody(ids)
    np.testing.assert_array_equal(encode_melody(again), ids)
    assert again.pitch.tolist() == melody.pitch.tolist()
    np.testing.assert_allclose(again.start, melody.start, atol=1e-9)
    np.testing.assert_allclose(again.end, melody.end, atol=1e-9)
    assert len(ids) == round(notes.total_seconds * 10)


@settings(deadline=None, max_examples=100)
@given(ids=st.lists(st.integers(0, MELODY_VOCAB_SIZE - 1), max_size=100))
def test_any_events_of_a_melody_are_read(ids):
    notes = decode_melody(ids)
    assert np.all(notes.end > notes.start)
    assert notes.total_seconds <= len(ids) / 10


def test_steps_along_a_tempo():
    midi = make_midi([(60, 0.0, 0.5), (62, 0.5, 1.5)])
    assert encode_melody_in_quarters(PerformanceNotes.from_midi(midi)).tolist() == [43, 2, 2, 2, 45, *[2] * 7]


def test_changes_of_tempo_and_metre_cannot_be_counted_in_quarters():
    import pretty_midi

    midi = make_midi()
    midi.time_signature_changes = [pretty_midi.TimeSignature(3, 4, 0.0), pretty_midi.TimeSignature(4, 4, 1.0)]
    with pytest.raises(TempoError, match="metre changes from 3/4 to 4/4 at 1"):
        encode_melody_in_quarters(PerformanceNotes.from_midi(midi))
    midi.time_signature_changes = []
    midi._tick_scales.append((500, 60.0 / (90 * midi.resolution)))
    midi._update_tick_to_time(2000)
    with pytest.raises(TempoError, match=r"from 120\.0 to 90\.0"):
        single_tempo(PerformanceNotes.from_midi(midi))


def test_what_is_no_event_is_named():
    with pytest.raises(PitchRangeError, match="109 is no event of a melody"):
        encode_melody_text("60 109")
    with pytest.raises(TokenError, match="Token 92 at position 1"):
        decode_melody([4, 92])

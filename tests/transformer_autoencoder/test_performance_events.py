"""Events of performances: as the original's loop writes them, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models.transformer_autoencoder import PerformanceNotes, PitchRangeError
from hub_models.transformer_autoencoder.performance_events import (
    PERFORMANCE_VOCAB_SIZE,
    TokenError,
    decode_performance,
    duration_seconds,
    encode_performance,
    transpose_ids,
)

from .music import random_notes, rows_of


def encoded_by_a_loop(notes: PerformanceNotes) -> list[int]:
    """What the original does, note by note."""
    order = sorted(range(len(notes)), key=lambda index: (notes.start[index], notes.pitch[index]))
    events = []
    for number, index in enumerate(order):
        start, end = (int(seconds * 100 + 0.5) for seconds in (notes.start[index], notes.end[index]))
        events += [(start, number, False), (end + (end == start), number, True)]
    ids, now, loudness = [], 0, 0
    for step, number, is_end in sorted(events):
        while step > now:
            shift = min(step - now, 100)
            ids.append(177 + shift)
            now += shift
        pitch, velocity = notes.pitch[order[number]], notes.velocity[order[number]]
        if not is_end and (velocity - 1) // 4 + 1 != loudness:
            loudness = (velocity - 1) // 4 + 1
            ids.append(277 + loudness)
        ids.append((90 if is_end else 2) + pitch - 21)
    return ids


@settings(deadline=None, max_examples=120)
@given(notes=st.one_of(random_notes(), random_notes(grid=0.5), random_notes(grid=0.004), random_notes(grid=1.3)))
def test_events_are_those_of_the_loop(notes):
    assert encode_performance(notes).tolist() == encoded_by_a_loop(notes)


@settings(deadline=None, max_examples=200)
@given(ids=st.lists(st.integers(0, PERFORMANCE_VOCAB_SIZE - 1), max_size=300))
def test_what_any_events_say_survives_encoding(ids):
    notes = decode_performance([278, *ids])
    again = decode_performance(encode_performance(notes))
    assert rows_of(again) == rows_of(notes)


@settings(deadline=None, max_examples=50)
@given(notes=random_notes(grid=0.01), semitones=st.integers(-37, 44))
def test_transposing_events_is_transposing_notes(notes, semitones):
    expected = encode_performance(notes.transposed(semitones))
    np.testing.assert_array_equal(transpose_ids(encode_performance(notes), semitones), expected)


@settings(deadline=None, max_examples=50)
@given(notes=random_notes(grid=0.07))
def test_the_time_shifts_add_up_to_the_end(notes):
    assert duration_seconds(encode_performance(notes)) == pytest.approx(notes.end.max(), abs=0.0051)


def test_a_note_beyond_the_piano_has_no_token():
    notes = PerformanceNotes.from_rows([(60, 80, 0, 1), (109, 80, 1, 2)])
    with pytest.raises(PitchRangeError, match=r"1 of 2 notes have pitches outside 21\.\.108, from 60 to 109"):
        encode_performance(notes)
    with pytest.raises(PitchRangeError, match=r"pitches 60\.\.60 would leave"):
        transpose_ids(encode_performance(notes.in_range()), 49)


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ([5, 310], "Token 310 at position 1 is not in the vocabulary"),
        ([-1], "Token -1 at position 0"),
        ([0.5], "whole numbers, not float64"),
        ([[1, 2]], r"of shape \(1, 2\)"),
    ],
)
def test_what_is_no_token_is_named(ids, sentence):
    with pytest.raises(TokenError, match=sentence):
        decode_performance(ids)


def test_nothing_is_read_after_the_end():
    note = [297, 41, 227, 129]
    assert rows_of(decode_performance([0, 0, *note, 1, *note])) == rows_of(decode_performance(note)) == [(60, 77, 0, 0.5)]
    assert not len(decode_performance([]))
    assert not len(encode_performance(decode_performance([1])))


def test_a_hundred_thousand_notes_are_encoded():
    rng = np.random.default_rng(0)
    starts = np.sort(rng.uniform(0, 10_000, 100_000))
    ends = starts + rng.uniform(0.01, 2, len(starts))
    notes = PerformanceNotes.from_rows(
        zip(rng.integers(21, 109, len(starts)), rng.integers(1, 128, len(starts)), starts, ends, strict=True)
    )
    ids = encode_performance(notes)
    assert len(ids) > 400_000
    assert len(decode_performance(ids)) > 99_000

"""Notes as arrays: read, written, cut, moved, and held by the pedal as the original's loop over events holds them."""

import io
from collections import defaultdict

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models.transformer_autoencoder import PerformanceNotes, PitchRangeError
from hub_models.transformer_autoencoder.original_examples import ORIGINAL_RESOLUTION, through_midi
from hub_models.transformer_autoencoder.performance_events import decode_performance
from hub_models.transformer_autoencoder.performance_notes import LOWEST_PEDAL_DOWN, apply_sustain

from .music import make_midi, random_notes, rows_of, simultaneous

DOWN, UP, BEGIN, END = range(4)


def held_by_a_loop(notes: PerformanceNotes) -> tuple[list[tuple], float]:
    """What the original does, event by event: (pitch, velocity, start, end), and the length of the piece."""
    music = [
        {"pitch": p, "velocity": v, "start": s, "end": e, "instrument": i, "drum": d}
        for p, v, s, e, i, d in zip(
            notes.pitch.tolist(),
            notes.velocity.tolist(),
            notes.start.tolist(),
            notes.end.tolist(),
            notes.instrument.tolist(),
            notes.is_drum.tolist(),
            strict=True,
        )
    ]
    events = [(note["start"], BEGIN, note["instrument"], note) for note in music if not note["drum"]]
    events += [(note["end"], END, note["instrument"], note) for note in music if not note["drum"]]
    for seconds, value, owner in zip(*(column.tolist() for column in notes.pedals), strict=True):
        events.append((seconds, DOWN if value >= LOWEST_PEDAL_DOWN else UP, owner, None))
    sounding, is_down, deleted = defaultdict(list), defaultdict(bool), []
    total, time = notes.total_seconds, 0.0
    for time, kind, owner, note in sorted(events, key=lambda event: event[:2]):
        active = sounding[owner]
        if kind == DOWN:
            is_down[owner] = True
        elif kind == UP:
            is_down[owner] = False
            for held in [held for held in active if held["end"] < time]:
                held["end"], total = time, max(total, time)
                active.remove(held)
        elif kind == BEGIN:
            if is_down[owner]:
                for other in [other for other in active if other["pitch"] == note["pitch"]]:
                    other["end"] = time
                    active.remove(other)
                    if other["start"] == time:
                        deleted.append(id(other))
            active.append(note)
        elif not is_down[owner] and any(note is other for other in active):
            active[:] = [other for other in active if other is not note]
    for active in sounding.values():
        for note in active:
            note["end"] = total = time
    kept = [note for note in music if id(note) not in deleted]
    return sorted((note["pitch"], note["velocity"], note["start"], note["end"]) for note in kept), total


@settings(deadline=None, max_examples=150)
@given(notes=random_notes(with_pedals=True, num_instruments=3))
def test_the_pedal_holds_notes_as_the_loop_does(notes):
    expected, total = held_by_a_loop(notes)
    held = apply_sustain(notes)
    assert rows_of(held) == expected
    assert held.total_seconds == total
    assert not len(held.pedals.seconds)


def test_the_pedal_holds_until_it_goes_up_or_the_pitch_is_played_again():
    midi = make_midi([(60, 0, 1), (62, 1, 1.5), (60, 2, 2.5), (64, 4, 5)], pedal=[(0.5, 127), (3.0, 0)])
    held = apply_sustain(PerformanceNotes.from_midi(midi))
    assert rows_of(held) == [(60, 80, 0, 2), (60, 80, 2, 3), (62, 80, 1, 3), (64, 80, 4, 5)]


def test_the_pedal_of_one_instrument_holds_no_other_and_no_drums():
    pedal = [(0.0, 127), (3.0, 0)]
    midi = simultaneous(make_midi([(60, 0, 1)]), make_midi([(61, 0, 1)], pedal=pedal), make_midi([(38, 0, 1)], is_drum=True))
    midi.instruments[2].control_changes = midi.instruments[1].control_changes
    assert apply_sustain(PerformanceNotes.from_midi(midi)).end.tolist() == [1, 3, 1]


@settings(deadline=None, max_examples=100)
@given(notes=random_notes(with_pedals=True, num_instruments=2))
def test_notes_and_pedals_survive_midi(notes):
    again = PerformanceNotes.from_midi(notes.to_midi())
    assert rows_of(again) == rows_of(notes)
    kept = np.isin(notes.pedals.instrument, notes.instrument)  # a pedal needs an instrument that plays
    numbers = np.searchsorted(np.unique(notes.instrument), notes.pedals.instrument[kept])
    changes = zip(numbers, notes.pedals.seconds[kept], notes.pedals.value[kept], strict=True)
    changes_again = zip(again.pedals.instrument, again.pedals.seconds, again.pedals.value, strict=True)
    assert sorted(changes_again) == sorted(changes)


@settings(deadline=None, max_examples=100)
@given(ids=st.lists(st.integers(2, 309), max_size=300))
def test_the_detour_through_a_file_is_what_a_file_does(ids):
    """The original writes what it decodes to a MIDI file and reads that; notes of one pitch that overlap suffer."""
    notes = decode_performance(ids)
    content = io.BytesIO()
    midi = notes.to_midi(resolution=ORIGINAL_RESOLUTION)
    midi.write(content)
    content.seek(0)
    written = PerformanceNotes.from_midi(pretty_midi.PrettyMIDI(content))
    ours = through_midi(notes)
    for name in ("pitch", "velocity", "start", "end"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(written, name))


def test_a_cut_begins_at_zero_and_keeps_the_pedal_down():
    midi = make_midi([(60, 0, 3), (62, 1, 3), (64, 2, 2.5), (65, 5, 6)], pedal=[(0.5, 127), (2.75, 0), (5, 127)])
    part = PerformanceNotes.from_midi(midi).cut(1.0, 2.9)
    assert rows_of(part) == [(62, 80, 0, pytest.approx(1.9)), (64, 80, 1, 1.5)]
    assert part.pedals.seconds.tolist() == [0, 1.75]
    assert part.pedals.value.tolist() == [127, 0]
    assert part.total_seconds == pytest.approx(1.9)


def test_transposition_stays_on_the_piano():
    notes = PerformanceNotes.from_midi(simultaneous(make_midi([(108, 0, 1)]), make_midi([(120, 0, 2)], is_drum=True)))
    assert notes.transposed(-3).pitch.tolist() == [105, 120]
    with pytest.raises(PitchRangeError, match=r"by \+1 semitones, 1 of 2 notes"):
        notes.transposed(1)


def test_stretching_multiplies_all_times():
    notes = PerformanceNotes.from_midi(make_midi([(60, 1, 2)], pedal=[(0.5, 127)])).stretched(1.05)
    assert (notes.start[0], notes.end[0], notes.pedals.seconds[0], notes.total_seconds) == (1.05, 2.1, 0.525, 2.1)
    assert notes.tempos == ((0.0, pytest.approx(120 / 1.05)),)


def test_notes_left_out_leave_the_length_of_the_piece():
    notes = PerformanceNotes.from_midi(make_midi([(60, 0, 1), (10, 0, 4)]))
    assert (len(notes.in_range()), notes.in_range().total_seconds) == (1, 4)
    assert len(notes.without_drums()) == 2

"""What is measured of multitrack measures, on measures whose values are known."""

from collections import defaultdict

import numpy as np
import pytest

from hub_models.music_vae.chord_symbols import chord_index
from hub_models.music_vae.multitrack_measures import (
    chord_tone_share,
    is_valid_measure,
    measure_notes,
    program_overlap,
    program_overlaps,
    program_set,
    program_sets,
    valid_measures,
    validity,
)

from .measures import wait
from .measures import write_measure as measure

DRUMS, END = 488, 489


def on(pitch):
    return pitch


def off(pitch):
    return 128 + pitch


def loud(velocity_bin):
    return 352 + velocity_bin - 1


def program(number):
    return 360 + number


def chord(number, pitches, steps=96):
    """A track that holds some pitches."""
    return [program(number), *map(on, pitches), wait(steps), *map(off, pitches)]


PIANO, BASS = chord(0, [60, 64, 67]), chord(33, [36])
KIT = [DRUMS, on(36), wait(48), off(36), on(38), wait(48), off(38)]


def test_notes_have_their_times_programs_and_velocities():
    notes = measure_notes(measure([program(40), loud(3), on(60), wait(24), on(64), off(60), wait(72), off(64)], KIT))
    rows = list(zip(*(field.tolist() for field in notes), strict=True))
    assert sorted(rows) == [
        (0, 0, 40, 60, 0, 24, 3),
        (0, 0, 40, 64, 24, 96, 3),
        (0, 1, 128, 36, 0, 48, 7),
        (0, 1, 128, 38, 48, 96, 7),
    ]
    assert notes.is_drum.sum() == 2


def test_notes_that_nothing_ends_last_to_the_bar_line_and_strays_are_passed_over():
    notes = measure_notes(measure([program(1), off(60), on(60), wait(10), on(60), off(60), on(61), off(61)]))
    assert list(zip(notes.pitch.tolist(), notes.start.tolist(), notes.end.tolist(), strict=True)) == [
        (60, 0, 10),
        (60, 10, 96),
    ]
    assert len(measure_notes(np.zeros((0, 512), dtype=int)).item) == 0
    late = measure_notes(measure([program(1), wait(90), on(60), wait(50), off(60), on(61), wait(3), off(61)]))
    assert (late.pitch.tolist(), late.start.tolist(), late.end.tolist()) == ([60], [90], [96])


def read_slowly(sequence):
    """The notes of one sequence, token after token."""
    notes = set()
    for track, tokens in enumerate(sequence.reshape(8, 64).tolist()):
        tokens = tokens[: min(tokens.index(token) for token in (END, -1) if token in tokens)]
        number = next((token - 360 for token in tokens if 360 <= token <= DRUMS), 0)
        time, velocity_bin, open_notes, count = 0, 7, defaultdict(list), 0
        for token in tokens:
            if 0 <= token < 128:
                open_notes[token].append((count, time, velocity_bin))
                count += 1
            elif token in range(128, 256) and open_notes[token - 128]:
                serial, start, own = open_notes[token - 128].pop(0)
                notes.add((track, number, token - 128, start, min(time, 96), own, serial))
            elif token in range(256, 352):
                time += token - 255
            elif token in range(352, 360):
                velocity_bin = token - 351
        for pitch, held in open_notes.items():
            notes |= {(track, number, pitch, start, 96, own, serial) for serial, start, own in held}
    return sorted(note[:6] for note in notes if note[3] < note[4])


def test_notes_are_those_of_a_reader_that_goes_token_by_token():
    rng = np.random.default_rng(0)
    few = np.array([60, 61, 62, 188, 189, 190, 256, 258, 262, 353, 357, 365, DRUMS, END])
    sequences = rng.choice(few, size=(300, 512), p=[0.11] * 6 + [0.08] * 3 + [0.02] * 5)
    sequences[:, 63::64] = -1
    notes = measure_notes(sequences)
    assert len(notes.item) > 1000
    for index, sequence in enumerate(sequences):
        own = notes.select(notes.item == index)
        found = zip(own.track, own.program, own.pitch, own.start, own.end, own.velocity_bin, strict=True)
        assert sorted(tuple(int(value) for value in note) for note in found) == read_slowly(sequence)


def test_a_valid_measure():
    assert is_valid_measure(measure(PIANO, BASS, KIT))
    assert is_valid_measure(np.where(np.arange(512) == 3 * 64, -1, measure(PIANO, BASS, KIT)))  # a track of padding
    assert valid_measures(np.stack([measure(PIANO, BASS), measure(PIANO)])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("fault", "sequence"),
    [
        ("program_first", measure([on(60), *PIANO], BASS, KIT)),
        ("program_first", measure([*PIANO, program(3)], BASS, KIT)),
        ("matched", measure([*PIANO, off(60)], BASS, KIT)),
        ("within_bar", measure([*PIANO, wait(1)], BASS, KIT)),
        ("two_tracks", measure(PIANO, [program(33)])),
        ("legal_events", np.where(measure(PIANO, BASS, KIT) == off(38), 490, measure(PIANO, BASS, KIT))),
        ("ends", np.where(measure(PIANO, BASS, KIT) == off(38), -1, measure(PIANO, BASS, KIT))),
        ("ends", np.where(np.arange(512) == 3 * 64 - 1, loud(1), measure(PIANO, BASS, [*KIT, *[loud(1)] * 56]))),
    ],
)
def test_each_fault_has_its_name(fault, sequence):
    found = {name for name, holds in validity(sequence).items() if not holds[0]}
    assert fault in found
    assert found == {fault}
    assert not is_valid_measure(sequence)


def test_what_follows_the_end_of_a_track_does_not_count():
    sequence = measure(PIANO, BASS, KIT)
    sequence[10:64] = on(99)
    assert is_valid_measure(sequence)
    assert 99 not in measure_notes(sequence).pitch


def test_chord_tones_are_counted_by_time():
    sequence = measure([program(0), on(60), wait(72), off(60), on(61), wait(24), off(61)], KIT)
    assert chord_tone_share(sequence, chord_index("C")) == 0.75
    assert chord_tone_share(sequence, chord_index("Am")) == 0.75
    assert chord_tone_share(sequence, chord_index("C#aug")) == 0.25
    assert chord_tone_share(sequence, chord_index("Bdim")) == 0.0
    by_step = np.repeat([chord_index("C"), chord_index("A")], 48)[None]
    assert chord_tone_share(sequence, by_step) == 0.75  # C over 48 steps of C, then C# over 24 of the 48 of A
    assert np.isnan(chord_tone_share(sequence, 0))
    assert np.isnan(chord_tone_share(measure(KIT), 1))
    assert chord_tone_share(np.stack([sequence] * 2), [1, 48]).tolist() == [0.75, 0.0]
    with pytest.raises(ValueError, match=r"chords must be a number, or of the shape \(1,\) or \(1, 96\); got \(2,\)"):
        chord_tone_share(sequence, [1, 2])
    with pytest.raises(ValueError, match=r"numbers 0\.\.48, got 49\.\.49"):
        chord_tone_share(sequence, 49)


def test_programs_that_play_and_how_far_they_are_the_same():
    band, other = measure(PIANO, BASS, KIT), measure(PIANO, chord(40, [72]), KIT, [program(9)])
    assert program_set(band) == {0, 33, 128}
    assert program_set(other) == {0, 40, 128}
    assert program_sets(np.stack([band, other])).sum(axis=1).tolist() == [3, 3]
    assert program_overlap(program_set(band), program_set(other)) == 0.5
    assert program_overlaps(np.stack([band, band]), np.stack([other, band])).tolist() == [0.5, 1.0]
    assert program_overlap(set(), set()) == program_overlaps(measure(), measure())[0] == 1.0


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"integers of the shape \(N, 512\), got int64 \(2, 500\)"):
        measure_notes(np.zeros((2, 500), dtype=int))

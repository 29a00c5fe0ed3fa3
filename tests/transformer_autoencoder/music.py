"""Small music for tests, made in code, and random notes for properties."""

from dataclasses import replace

import numpy as np
import pretty_midi
from hypothesis import strategies as st

from hub_models.transformer_autoencoder.performance_notes import SUSTAIN_CONTROL, PedalChanges, PerformanceNotes


def make_midi(
    notes=((60, 0.0, 0.5), (64, 0.5, 1.0), (67, 1.0, 2.0)), program=0, is_drum=False, velocity=80, pedal=()
) -> pretty_midi.PrettyMIDI:
    """One instrument of notes (pitch, start, end) and pedal changes (seconds, value), times in seconds."""
    midi = pretty_midi.PrettyMIDI(resolution=500, initial_tempo=120)
    instrument = pretty_midi.Instrument(program, is_drum)
    instrument.notes = [pretty_midi.Note(velocity, pitch, start, end) for pitch, start, end in notes]
    instrument.control_changes = [pretty_midi.ControlChange(SUSTAIN_CONTROL, value, seconds) for seconds, value in pedal]
    midi.instruments.append(instrument)
    return midi


def etude(seconds: float = 20.0, seed: int = 0) -> list[tuple[int, float, float]]:
    """A melody over broken chords, eight notes in a second."""
    rng = np.random.default_rng(seed)
    starts = np.arange(0.0, seconds, 0.25)
    accompaniment = [(48 + (0, 4, 7)[i % 3], start, start + 0.24) for i, start in enumerate(starts)]
    melody = [(int(rng.integers(72, 85)), start, start + 0.9) for start in starts[::4]]
    return sorted([*accompaniment, *melody], key=lambda note: note[1])


def simultaneous(*midis: pretty_midi.PrettyMIDI) -> pretty_midi.PrettyMIDI:
    """The instruments of all."""
    joined = pretty_midi.PrettyMIDI(resolution=500, initial_tempo=120)
    joined.instruments = [instrument for midi in midis for instrument in midi.instruments]
    return joined


@st.composite
def random_notes(draw, max_notes=24, grid=0.13, with_pedals=False, num_instruments=1, lowest=58, highest=64):
    """Notes with many coincidences: few pitches, on a grid of times; in any order."""
    steps, instruments = st.integers(0, 20), st.integers(0, num_instruments - 1)
    note = st.tuples(st.integers(lowest, highest), st.integers(1, 127), steps, st.integers(1, 8), instruments)
    rows = draw(st.lists(note, min_size=1, max_size=max_notes))
    notes = PerformanceNotes.from_rows((p, v, start * grid, (start + length) * grid) for p, v, start, length, _ in rows)
    instrument = np.array([row[4] for row in rows])
    notes = replace(notes, instrument=instrument, is_drum=instrument == 2)
    if with_pedals:
        change = st.tuples(st.integers(0, 32), st.integers(0, 127), instruments)
        changes = draw(st.lists(change, max_size=12))
        seconds, value, owner = np.array(changes, dtype=np.float64).reshape(-1, 3).T
        notes = replace(notes, pedals=PedalChanges(seconds * grid, value.astype(np.int64), owner.astype(np.int64)))
    return notes


def rows_of(notes: PerformanceNotes) -> list[tuple]:
    """(pitch, velocity, start, end), in order."""
    columns = (notes.pitch, notes.velocity, notes.start, notes.end)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))

"""Chords as ids of triads, by the original's spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_models.transformer_autoencoder.chord_events import (
    CHORD_VOCAB_SIZE,
    ChordSymbolError,
    decode_chords,
    encode_chord_symbol,
    encode_chord_text,
    encode_chords,
)


@given(ids=st.lists(st.integers(2, CHORD_VOCAB_SIZE - 1)))
def test_every_id_has_a_symbol(ids):
    assert encode_chord_text(" ".join(decode_chords(ids))).tolist() == ids


@pytest.mark.parametrize(
    ("symbols", "triad"),
    [
        ("C Cmaj7 C6/9 C13 C7#9 C(add9) C/E CM7 C9", "C"),
        ("Ebm7 D#m D#m6/F# Eb-9 Ebmin(maj7)", "Ebm"),
        ("F#aug Gb+ F#+7 F#(#5) Gb7#5", "F#aug"),
        ("Bdim Bo7 Bm7b5 B/o7 Cbdim Bmb5", "Bdim"),
        ("N.C.", "N.C."),
    ],
)
def test_spellings_of_one_triad(symbols, triad):
    assert {encode_chord_symbol(symbol) for symbol in symbols.split()} == {encode_chord_symbol(triad)}


@pytest.mark.parametrize("symbol", ["Csus4", "C5", "C7b5", "Cped", "Cno3", "Cno5"])
def test_chords_that_are_no_triads_are_named(symbol):
    with pytest.raises(ChordSymbolError, match="no major, minor, augmented or diminished"):
        encode_chord_symbol(symbol)


@pytest.mark.parametrize("symbol", ["H", "c", "", "C#b", "Cfoo", "C7sus4", "C" + "#" * 100, "C/", "Cadd3", "Cno7"])
def test_what_cannot_be_read_is_named(symbol):
    with pytest.raises(ChordSymbolError):
        encode_chord_symbol(symbol)


def test_chords_hold_until_the_next():
    ids = encode_chords([(1.0, "Am"), (0.5, "C")], total_seconds=2.0, quarters_per_minute=120, steps_per_quarter=1)
    assert decode_chords(ids) == ["N.C.", "C", "Am", "Am"]

"""Chord symbols, progressions, chords of a piece and chord inference."""

import time
from dataclasses import replace

import numpy as np
import pretty_midi
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hub_models import MusicVAEProcessor
from hub_models.music_vae import NoExamplesError, NoteSequence
from hub_models.music_vae.chord_annotations import find_chords, with_chords
from hub_models.music_vae.chord_inference import INFERRED_SYMBOLS, infer_chords, pitch_class_profiles
from hub_models.music_vae.chord_symbols import NUM_CHORDS, ChordSymbolError, chord_index, chord_symbol
from hub_models.music_vae.chords import as_chords, chord_changes, chord_controls, chord_progression, transpose_chords

from .conftest import make_midi, scale

indices = st.integers(0, NUM_CHORDS - 1)
TRIADS = {"C": 1, "Cm": 13, "Caug": 25, "Cdim": 37, "N.C.": 0}
SPELLINGS = {
    "C": "C Cmaj CM C7 Cmaj7 CMaj7 CMA7 CM7 C△ CΔ7 C6 C6/9 C69 Cadd9 C(add9) C9 C11 C13 C7b9 C7(#9) C7#11 C7alt C/E C7/Bb",
    "C without a minor third": "C5 C2 C4 Csus Csus2 Csus4 C7sus4 C9sus Csus2/4 C7b5 C(no3) Comit3 C(b5) C-5 C:sus4(b7)",
    "Cm": "Cm Cmin C- Cmi Cm7 C-7 Cmin7 Cm6 Cm9 Cm11 CmM7 Cm(maj7) Cm/maj7 Cmadd9 Cm7/Bb C:min7/b3 C:(1,b3,5) Cm#5 Cm7sus4",
    "Caug": "Caug C+ C+7 Caug7 C7#5 C7+5 C7(#5) C7+ Cmaj7#5 C+9 C7(b9,#5)",
    "Cdim": "Cdim C° Cdim7 C°7 Co Co7 Cø Cø7 Cm7b5 C-7b5 Cmin7(b5) Cm7-5 C:hdim7 Chalf-dim",
    "N.C.": "N.C. NC n.c. N none",
}
ORIGINAL_REFUSES = "Csus4 Csus C5 C7b5 Cm#5 CMaj7 C△ Cmi7 C:maj NC C9add9 Cno9 Cped C(no3) C7+5 Hm cm C+5 C/b3"


@given(indices)
def test_every_triad_has_a_symbol_that_reads_as_that_triad(index):
    assert chord_index(chord_symbol(index)) == chord_index(chord_symbol(index), "original") == index


@pytest.mark.parametrize("triad", SPELLINGS)
def test_spellings_of_a_triad(triad):
    read = {symbol: chord_symbol(chord_index(symbol)) for symbol in SPELLINGS[triad].split()}
    assert read == dict.fromkeys(read, triad.split()[0])


@given(st.sampled_from("CDEFGAB"), st.sampled_from(["", "#", "b", "##", "bb", "♯", "♭"]), st.sampled_from(list(TRIADS)[:4]))
def test_roots(letter, accidental, triad):
    semitones = {"": 0, "#": 1, "b": -1, "##": 2, "bb": -2, "♯": 1, "♭": -1}[accidental]
    root = (pretty_midi.note_name_to_number(letter + "4") + semitones) % 12
    assert chord_index(letter + accidental + triad[1:]) == TRIADS[triad] + root


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused_by_name(text):
    for mode in ("musical", "original"):
        try:
            assert chord_index(text, mode) in range(NUM_CHORDS)
        except ChordSymbolError as error:
            assert error.symbol == text
            assert repr(text) in str(error)


@pytest.mark.parametrize("symbol", ORIGINAL_REFUSES.split())
def test_mode_original_reads_only_triads_in_its_own_spelling(symbol):
    with pytest.raises(ChordSymbolError, match="original"):
        chord_index(symbol, "original")


@pytest.mark.parametrize(
    ("symbol", "reason"),
    [
        ("H7", "capital letter A to G"),
        ("c", "capital letter"),
        ("", "capital letter"),
        ("C7xyz", "'xyz' after 'C7'"),
        ("C" * 99, "longer"),
    ],
)
def test_what_cannot_be_read_is_named(symbol, reason):
    with pytest.raises(ChordSymbolError, match=reason):
        chord_index(symbol)


@pytest.mark.parametrize("index", [-1, 49, 1.5])
def test_numbers_that_are_no_chord(index):
    with pytest.raises(ValueError, match=r"0\.\.48"):
        chord_symbol(index)
    with pytest.raises(ValueError, match="1 numbers"):
        as_chords([index], 1)


@given(st.lists(indices, min_size=1), st.integers(-30, 30))
def test_transposition_moves_roots_and_keeps_qualities(chords, semitones):
    chords = np.array(chords, dtype=np.uint16)
    moved = transpose_chords(chords, semitones)
    assert moved.dtype == chords.dtype
    np.testing.assert_array_equal((moved - 1.0) // 12, (chords - 1.0) // 12)
    np.testing.assert_array_equal(transpose_chords(moved, -semitones), chords)
    assert ((moved == 0) == (chords == 0)).all()
    np.testing.assert_array_equal(transpose_chords(np.array([1, 13]), 2), [3, 15])


def test_a_progression_has_one_chord_for_each_bar():
    assert chord_progression("C Am", steps_per_bar=4).tolist() == [1] * 4 + [22] * 4
    assert chord_progression("C", 8, steps_per_bar=4).tolist() == [1] * 8
    assert chord_progression("C F", 12, steps_per_bar=4).tolist() == [1] * 4 + [6] * 4 + [1] * 4


def test_bars_share_their_time_among_their_chords():
    assert chord_progression("| C Am | F |", steps_per_bar=4).tolist() == [1, 1, 22, 22, 6, 6, 6, 6]
    assert chord_progression("C / Am / | % | N.C.", steps_per_bar=4).tolist() == [1, 1, 22, 22] * 2 + [0] * 4
    assert chord_progression("C F G |", steps_per_bar=16).tolist() == [1] * 6 + [6] * 5 + [8] * 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C Am Hm F", "'Hm' in bar 3"),
        ("| C | F Gxx |", "'Gxx' in bar 2"),
        ("", "1 to"),
        (" | |", "1 to"),
        ("C F G", "3 bars"),
        ("%", "'%' in bar 1"),
    ],
)
def test_a_progression_that_cannot_be_read(text, message):
    with pytest.raises(ValueError, match=message):
        chord_progression(text, 32)


def test_chords_come_as_text_numbers_or_controls():
    chords = chord_progression("C Am", 32)
    controls = chord_controls(chords)
    assert controls.shape == (32, 49)
    assert controls.dtype == torch.float32
    for form in ("C Am", chords, controls, chords.tolist()):
        np.testing.assert_array_equal(as_chords(form, 32), chords)
    with pytest.raises(ValueError, match="31 numbers"):
        as_chords(chords, 31)


def test_changes_of_chords():
    chords = np.array([0, 0, 1, 1, 38, 38, 1])
    assert chord_changes(chords) == [(0, "N.C."), (2, "C"), (4, "C#dim"), (6, "C")]
    assert chord_changes(chords, "original") == [(0, "N.C."), (2, "C"), (4, "N.C."), (6, "C")]


# Chords of files.


def chords_read(source, mode: str = "musical", chords=None) -> list[list[str]]:
    """The symbols of each half bar of each window."""
    controls = MusicVAEProcessor("melody", chords=True, mode=mode, original_programs=128)(source, chords=chords)["controls"]
    return [[chord_symbol(i) for i in window.argmax(dim=-1)[::8].tolist()] for window in controls]


def blocks(*chords: list[int]) -> pretty_midi.PrettyMIDI:
    """Chords of half a bar each."""
    return make_midi([(pitch, 2 * i, 2 * i + 2) for i, chord in enumerate(chords) for pitch in chord])


C, F, G, AM, BDIM, EAUG = [60, 64, 67], [60, 65, 69], [59, 62, 67], [60, 64, 69], [59, 62, 65], [56, 60, 64]


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_chords_are_inferred_from_notes(mode):
    assert chords_read(blocks(C, AM, F, G), mode) == [["C", "Am", "F", "G"]]
    assert chords_read(blocks(C, BDIM, C, EAUG), mode) == [["C", "Bdim", "C", "Caug"]]  # three roots fit; C is the first


def test_chords_follow_the_tempo_map():
    steady = blocks(C, AM, F, G)
    slow = NoteSequence.from_pretty_midi(steady)
    slow.start, slow.end = slow.start * 1.7 + 0.3, slow.end * 1.7 + 0.3
    assert chords_read(slow) == [["C", "Am", "F", "G"]]


@given(st.integers(0, 11))
def test_inference_transposes_with_the_music(semitones):
    pitches = np.array([60, 64, 67, 57, 60, 64, 65, 69, 72, 59, 62, 67])
    start = np.repeat(np.arange(4.0), 3)
    chords = [
        [chord_index(INFERRED_SYMBOLS[i]) for i in infer_chords(start, start + 1, pitches + shift, 1.0, 4)]
        for shift in (0, semitones)
    ]
    assert chords[0] == [1, 22, 6, 8]
    np.testing.assert_array_equal(chords[1], transpose_chords(np.array(chords[0]), semitones))


@given(
    st.lists(st.tuples(st.floats(0, 90), st.floats(0.01, 80), st.integers(0, 127)), min_size=1, max_size=30),
    st.integers(1, 200),
)
def test_pitch_class_profiles_are_the_time_that_sounds_in_each_frame(notes, num_frames):
    start, length, pitch = np.array(notes).T
    end, pitch = start + length, pitch.astype(np.int64)
    profiles = pitch_class_profiles(start, end, pitch, 1.0, num_frames)
    expected = np.zeros((num_frames, 12))
    for frame in range(num_frames):
        until = np.inf if frame == num_frames - 1 else frame + 1.0
        np.add.at(expected[frame], pitch % 12, np.clip(np.minimum(end, until) - np.maximum(start, frame), 0, None))
    norms = np.linalg.norm(expected, axis=1, keepdims=True)
    certain = (norms[:, 0] > 1e-6) | (norms[:, 0] == 0)  # what rounding leaves of a frame has a direction, too
    directions = expected / np.where(norms > 0, norms, np.inf)
    np.testing.assert_allclose(profiles[certain], directions[certain], atol=1e-6)


def test_silence_has_no_chord():
    nothing = np.zeros(0)
    assert infer_chords(nothing, nothing, nothing.astype(np.int64), 1.0, 5).tolist() == [0] * 5


def test_inference_over_forty_minutes_takes_seconds():
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 2400, 20_000)
    begin = time.perf_counter()
    chords = infer_chords(start, start + rng.exponential(1.0, len(start)), rng.integers(30, 90, len(start)), 1.0, 2400)
    assert chords.shape == (2400,)
    assert time.perf_counter() - begin < 20


def test_long_music_is_inferred_in_parts(monkeypatch):
    start = np.arange(60.0)
    pitch = np.tile([60, 64, 67, 72, 76, 55], 10)
    whole = infer_chords(start, start + 1, pitch, 6.0, 10)
    monkeypatch.setattr("hub_models.music_vae.chord_inference.MAX_FRAMES", 3)
    np.testing.assert_array_equal(infer_chords(start, start + 1, pitch, 6.0, 10), whole)


def test_a_progression_goes_along_with_the_bars_of_a_file():
    midi = make_midi(scale(16), tempo=90.0)
    assert chords_read(midi, chords="C Am F")[:2] == [["C", "C", "Am", "Am"], ["Am", "Am", "F", "F"]]
    assert chords_read(midi, chords="| C Am | F |")[2] == ["C", "Am", "F", "F"]
    in_two = make_midi(scale(8), metre=(2, 4))
    assert chords_read(in_two, chords="C Am F G") == [["C", "Am", "F", "G"]]


def test_chords_at_times():
    midi = make_midi(scale(8))
    assert chords_read(midi, chords=[(2.0, "F"), (1.01, "Am"), (1.0, "Dm")]) == [["N.C.", "Am", "F", "F"]]
    assert chords_read(midi, "original", chords=[(1.0, "Am"), (2.0, "Fm7/C")]) == [["N.C.", "Am", "Fm", "Fm"]]
    assert chords_read(midi, chords=[]) == chords_read(midi)


def test_a_symbol_that_cannot_be_read_is_named_with_its_bar():
    with pytest.raises(ChordSymbolError, match="'Hm' in bar 2") as error:
        chords_read(make_midi(scale(8)), chords=[(0.0, "C"), (2.0, "Hm")])
    assert (error.value.symbol, error.value.bar) == ("Hm", 2)


@pytest.mark.parametrize("when", [-1.0, float("nan"), float("inf")])
def test_chords_at_no_time(when):
    with pytest.raises(ValueError, match="seconds"):
        chords_read(make_midi(scale(8)), chords=[(when, "C")])


def test_mode_original_refuses_suspended_chords_and_says_where():
    with pytest.raises(NoExamplesError, match="bar 2: Chord symbol 'Dsus4'"):
        chords_read(make_midi(scale(8)), "original", chords=[(0.0, "C"), (2.0, "Dsus4")])
    assert chords_read(make_midi(scale(8)), chords=[(0.0, "C"), (2.0, "Dsus4")]) == [["C", "C", "D", "D"]]


def test_mode_original_refuses_two_chords_on_one_step():
    chords = [(0.0, "C"), (2.0, "F"), (2.02, "G")]
    with pytest.raises(NoExamplesError, match="'F' and 'G' fall on one step"):
        chords_read(make_midi(scale(8)), "original", chords)
    assert chords_read(make_midi(scale(8)), chords=chords) == [["C", "C", "G", "G"]]
    assert chords_read(make_midi(scale(8)), "original", [(0.0, "C"), (2.0, "F"), (2.02, "F")]) == [["C", "C", "F", "F"]]


def test_mode_original_tells_windows_apart_by_the_text_of_their_chords():
    midi = make_midi([(60, 4 * bar, 4 * bar + 4) for bar in range(4)])
    chords = [(0.0, "C"), (4.0, "Cmaj7")]
    assert len(chords_read(midi, "original", chords)) == 3
    assert len(chords_read(midi, "musical", chords)) == 1


def test_mode_original_infers_no_more_than_a_thousand_chords():
    midi = make_midi([(60, 4 * bar, 4 * bar + 4) for bar in range(501)])
    with pytest.raises(NoExamplesError, match="1002 half bars"):
        chords_read(midi, "original")
    assert chords_read(midi) == [["C"] * 4]


def annotated(*texts: tuple[str, float], lyrics: bool = False) -> pretty_midi.PrettyMIDI:
    midi = make_midi(scale(8))
    if lyrics:
        midi.lyrics = [pretty_midi.Lyric(text, when) for text, when in texts]
    else:
        midi.text_events = [pretty_midi.Text(text, when) for text, when in texts]
    return midi


@pytest.mark.parametrize("lyrics", [False, True])
def test_chord_symbols_in_a_file_are_read(lyrics):
    midi = annotated((" Dm7", 0.0), ("G7", 1.0), ("Verse", 2.0), ("", 2.0), ("C", 2.0), lyrics=lyrics)
    assert chords_read(midi) == [["Dm", "G", "C", "C"]]
    _, rejections = find_chords(NoteSequence.from_pretty_midi(midi))
    assert [str(rejection) for rejection in rejections] == ["bar 2: 'Verse' is no chord symbol and was left out"]
    assert chords_read(midi, "original") == chords_read(make_midi(scale(8)), "original")


def test_words_are_not_taken_for_chords():
    midi = annotated(("A", 0.0), ("long", 0.5), ("way", 1.0), ("to", 1.5), ("Go", 2.0), lyrics=True)
    assert chords_read(midi) == chords_read(make_midi(scale(8)))


def test_a_chord_of_an_earlier_piece_holds_on():
    midi = make_midi(scale(24))
    midi.time_signature_changes.append(pretty_midi.TimeSignature(3, 4, 4.0))
    midi.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 7.0))
    for mode in ("musical", "original"):
        read = chords_read(midi, mode, chords=[(0.0, "C"), (5.0, "Dm")])
        assert read[0] == ["C"] * 4
        assert read[1] == ["Dm"] * 4


def test_a_processor_without_chords_takes_none():
    with pytest.raises(ValueError, match="reads no chords"):
        MusicVAEProcessor("melody")(make_midi(scale(8)), chords="C")


def test_controls_for_the_model():
    processor = MusicVAEProcessor("melody", chords=True)
    controls = processor.chord_controls("C Am")
    assert controls.shape == (processor.window_steps, processor.control_size)
    assert controls.argmax(dim=-1).tolist() == [1] * 16 + [22] * 16
    with pytest.raises(ValueError, match="3 bars; there is room for 2"):
        processor.chord_controls("C F G")


def test_sequences_without_chords_have_controls_without_chords():
    processor = MusicVAEProcessor("melody", chords=True)
    features = processor.features(torch.zeros(2, 32, dtype=torch.int64))
    assert features["controls"].argmax(dim=-1).eq(0).all()
    assert features["labels"].shape == (2, 32)


def test_melody_and_chords_are_transposed_together():
    codec = MusicVAEProcessor("melody", chords=True).codec
    notes = with_chords(NoteSequence.from_pretty_midi(make_midi(scale(8))), "C Am")
    higher = replace(notes, pitch=notes.pitch + 3, chords=None)
    higher = with_chords(higher, "Eb Cm")
    examples = codec.extract(notes, "musical").examples.astype(np.int64)
    np.testing.assert_array_equal(codec.transpose(examples, np.array([3])), codec.extract(higher, "musical").examples)
    # A melody that would lose all its notes stays as it is, and so do its chords.
    np.testing.assert_array_equal(codec.transpose(examples, np.array([60])), examples)

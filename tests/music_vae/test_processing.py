"""MIDI to tensors and back: what is read, what is refused and why, in both modes."""

import io

import numpy as np
import pretty_midi
import pytest
import symusic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import MusicVAEProcessor
from hub_models.music_vae import NoExamplesError, NoteSequence

from .conftest import make_midi, scale

NOTE_OFF = 1


def test_a_scale_becomes_note_ons_on_the_beats(melody_processor):
    features = melody_processor(make_midi(scale(8)))
    expected = torch.zeros(32, dtype=torch.int64)
    expected[::4] = torch.tensor([60, 62, 64, 65, 67, 69, 71, 72]) - 21 + 2
    assert features["labels"].tolist() == [expected.tolist()]
    assert features["input_values"].shape == (1, 32, 90)
    assert features["lengths"].tolist() == [32]


def test_rests_become_note_offs(melody_processor):
    features = melody_processor(make_midi([(60, 0, 1), (62, 2, 3), (64, 4, 8)]))
    events = features["labels"][0]
    assert events[4] == NOTE_OFF
    assert events[12] == NOTE_OFF
    assert (events == NOTE_OFF).sum() == 2


def test_the_highest_of_simultaneous_notes_is_the_melody(melody_processor):
    chords = [(pitch + shift, start, end) for pitch, start, end in scale(8) for shift in (0, -12, -24)]
    assert torch.equal(melody_processor(make_midi(chords))["labels"], melody_processor(make_midi(scale(8)))["labels"])


def test_windows_overlap_by_a_bar_and_know_where_they_come_from(melody_processor):
    midi = make_midi(scale(16), tempo=60.0, program=73)
    features = melody_processor(midi)
    assert [window.start_bar for window in features.windows] == [1, 2, 3]
    assert [window.start_seconds for window in features.windows] == pytest.approx([0.0, 4.0, 8.0])
    assert {window.instrument for window in features.windows} == {"Flute"}
    assert features.windows[0].program == 73
    assert torch.equal(features["labels"][0, 16:], features["labels"][1, :16])
    assert len(melody_processor(midi, max_windows=1)["labels"]) == 1


def test_repeated_windows_are_given_once(melody_processor):
    bar = [(60, 0, 1), (62, 1, 2), (64, 2, 3), (65, 3, 4)]
    repeated = [(pitch, start + 4 * n, end + 4 * n) for n in range(8) for pitch, start, end in bar]
    assert len(melody_processor(make_midi(repeated))["labels"]) == 1


def test_tempo_changes_do_not_matter_in_musical_mode(melody_processor):
    """A rubato performance: the same ticks under a tempo map with a change on every beat."""
    straight = symusic.Score(480)
    straight.tracks.append(symusic.Track())
    for pitch, start, end in scale(16):
        straight.tracks[0].notes.append(symusic.Note(int(start * 480), int((end - start) * 480), pitch, 90))
    straight.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    rubato = straight.copy()
    for beat in range(16):
        rubato.tempos.append(symusic.Tempo(beat * 480, 90 + 7 * (beat % 5)))
    expected = melody_processor(straight)["labels"]
    assert len(expected) == 3
    assert torch.equal(melody_processor(rubato)["labels"], expected)
    through_seconds = melody_processor(rubato.dumps_midi())
    assert torch.equal(through_seconds["labels"], expected)
    with pytest.raises(NoExamplesError):
        melody_processor(rubato.dumps_midi(), mode="original")


def test_bars_of_two_quarters_are_read_in_pairs(melody_processor):
    expected = melody_processor(make_midi(scale(16)))
    features = melody_processor(make_midi(scale(16), metre=(2, 4)))
    assert torch.equal(features["labels"], expected["labels"])
    assert [window.start_bar for window in features.windows] == [1, 3, 5]
    with pytest.raises(NoExamplesError, match="the metre is 2/4; this model reads 4/4"):
        melody_processor(make_midi(scale(16), metre=(2, 4)), mode="original")


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_other_metres_are_refused_with_their_bars(melody_processor, mode):
    with pytest.raises(NoExamplesError, match=r"bars 1-4: the metre is 3/4; this model reads 4/4"):
        melody_processor(make_midi(scale(12), metre=(3, 4)), mode=mode)


def test_a_change_of_metre_in_the_middle_is_reported_and_the_rest_kept(melody_processor):
    midi = make_midi([*scale(8), (50, 8, 14), *((pitch + 1, start, end) for pitch, start, end in scale(8, start=14))])
    midi.time_signature_changes += [pretty_midi.TimeSignature(3, 4, 4.0), pretty_midi.TimeSignature(4, 4, 7.0)]
    features = melody_processor(midi)
    assert [str(rejection).split(";")[0] for rejection in features.rejections] == ["bars 3-4: the metre is 3/4"]
    assert [window.start_bar for window in features.windows] == [1, 5]


def test_of_two_metres_at_one_time_the_last_in_the_file_holds(melody_processor):
    midi = make_midi(scale(12), metre=(4, 4))
    midi.time_signature_changes.append(pretty_midi.TimeSignature(3, 4, 0.0))
    with pytest.raises(NoExamplesError, match="the metre is 3/4"):
        melody_processor(midi)


def test_a_clip_shorter_than_a_window_is_filled_up_in_musical_mode_only(melody_processor):
    short = make_midi(scale(4))
    events = melody_processor(short)["labels"][0]
    assert (events[:16:4] >= 2).all()
    assert (events[17:] == 0).all()
    with pytest.raises(NoExamplesError, match="shorter than 2 bars"):
        melody_processor(short, mode="original")


def test_the_original_reads_programs_up_to_31_only(melody_processor):
    flute = make_midi(scale(8), program=73)
    assert len(melody_processor(flute)["labels"]) == 1
    with pytest.raises(NoExamplesError, match="programs 0-31"):
        melody_processor(flute, mode="original")


def test_what_does_not_fit_the_representation_is_said(melody_processor, drums_processor):
    drums = make_midi([(36, i, i + 0.25) for i in range(8)], is_drum=True)
    with pytest.raises(NoExamplesError, match="a drum track; this model reads melodies"):
        melody_processor(drums)
    with pytest.raises(NoExamplesError, match="not a drum track; this model reads drums"):
        drums_processor(make_midi(scale(8)))
    with pytest.raises(NoExamplesError, match="holds no notes"):
        melody_processor(pretty_midi.PrettyMIDI())
    with pytest.raises(NoExamplesError, match="outside MIDI pitches 21-108"):
        melody_processor(make_midi([(5, i, i + 1) for i in range(8)]))


def test_drum_hits_become_bits_and_a_bit_for_silence(drums_processor):
    notes = [(36, i, i + 0.25) for i in range(0, 8, 2)] + [(42, i / 2, i / 2 + 0.25) for i in range(16)]
    features = drums_processor(make_midi(notes, is_drum=True))
    labels, inputs = features["labels"][0], features["input_values"][0]
    assert labels[0] == 0b101
    assert labels[2] == 0b100
    assert labels[1] == 0
    assert inputs[1].tolist() == [0] * 9 + [1]
    assert inputs[0].tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0]


def test_unknown_drum_pitches_are_left_out_and_reported(drums_processor):
    notes = [(36, i, i + 0.25) for i in range(8)] + [(10, 1, 1.25)]
    features = drums_processor(make_midi(notes, is_drum=True))
    assert "drum pitches of no class" in str(features.rejections[0])


def test_decoding_sets_tempo_program_and_velocity(melody_processor):
    events = torch.zeros(32, dtype=torch.int64)
    events[[0, 8, 12]] = torch.tensor([41, NOTE_OFF, 45])
    midi = melody_processor.decode(events, tempo=90.0, program=40, velocity=64)
    notes = midi.instruments[0].notes
    assert [(note.pitch, note.velocity) for note in notes] == [(60, 64), (64, 64)]
    step = 60 / 90 / 4
    assert [(note.start, note.end) for note in notes] == [
        (0, pytest.approx(8 * step)),
        (pytest.approx(12 * step), pytest.approx(32 * step)),
    ]
    assert midi.instruments[0].program == 40
    assert midi.get_tempo_changes()[1].tolist() == pytest.approx([90.0])


def test_extracted_examples_decode_as_they_are(melody_processor, drums_processor):
    for processor, midi in (
        (melody_processor, make_midi(scale(8))),
        (drums_processor, make_midi([(36, i, i + 0.25) for i in range(8)], is_drum=True)),
    ):
        examples = processor.extract(NoteSequence.from_pretty_midi(midi)).examples
        pitches = [note.pitch for note in processor.decode(examples)[0].instruments[0].notes]
        assert pitches == [note.pitch for note in midi.instruments[0].notes]


def test_chords_are_written_above_the_notes_and_read_again():
    processor = MusicVAEProcessor("melody", chords=True)
    labels = processor(make_midi(scale(8)))["labels"]
    midi = processor.decode(labels[0], tempo=60.0, chords="Am F")
    assert [(text.text, text.time) for text in midi.text_events] == [("Am", 0.0), ("F", 4.0)]
    controls = processor(midi)["controls"]
    assert controls[0].argmax(dim=-1).tolist() == [13 + 9] * 16 + [1 + 5] * 16
    both = processor.decode(torch.cat([labels, labels]), chords=torch.cat([controls, controls.roll(16, dims=1)]))
    assert [[text.text for text in midi.text_events] for midi in both] == [["Am", "F"], ["F", "Am"]]
    with pytest.raises(ValueError, match="chords for 1 sequences and 2 sequences"):
        processor.decode(torch.cat([labels, labels]), chords=controls)


@pytest.mark.parametrize(
    "arguments",
    [{"tempo": 0.0}, {"tempo": float("nan")}, {"tempo": 1e9}, {"program": 128}, {"velocity": 0}, {"velocity": 200}],
)
def test_absurd_decoding_arguments_are_refused(melody_processor, arguments):
    with pytest.raises(ValueError, match="must be"):
        melody_processor.decode(torch.zeros(32, dtype=torch.int64), **arguments)


def test_sequences_of_other_numbers_are_refused(melody_processor):
    for sequence in (torch.full((32,), 90), torch.full((32,), -1), torch.rand(32), torch.zeros(0, dtype=torch.int64)):
        with pytest.raises(ValueError, match="Sequences"):
            melody_processor.decode(sequence)


@pytest.mark.parametrize(
    "arguments",
    [
        {"representation": "poetry"},
        {"mode": "fast"},
        {"num_bars": 0},
        {"num_bars": "x"},
        {"min_pitch": 90, "max_pitch": 80},
        {"drum_classes": [[999]]},
    ],
)
def test_nonsense_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        MusicVAEProcessor(**arguments)


def test_processor_saves_and_loads_its_settings(tmp_path):
    processor = MusicVAEProcessor("drums", num_bars=4, mode="original", drum_classes=[[36, 35], [38]])
    processor.save_pretrained(tmp_path)
    loaded = MusicVAEProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert (loaded.num_labels, loaded.input_size, loaded.window_steps) == (4, 3, 64)


def test_fast_and_exact_reading_agree_on_plain_files(melody_processor):
    midi = make_midi(scale(32), tempo=97.0)
    exact = NoteSequence.from_pretty_midi(midi)
    buffer = io.BytesIO()
    midi.write(buffer)
    fast = NoteSequence.from_symusic(symusic.Score.from_midi(buffer.getvalue()))
    np.testing.assert_array_equal(fast.pitch, exact.pitch)
    np.testing.assert_allclose(fast.start, exact.start, atol=2e-3)
    np.testing.assert_allclose(fast.start_quarter, exact.start_quarter, atol=2e-3)
    assert melody_processor.extract(fast).examples.tolist() == melody_processor.extract(exact).examples.tolist()


def melodies(num_steps: int) -> st.SearchStrategy[list[int]]:
    """Event sequences that a melody can have: a note off only where a note sounds, a note on the first bar."""

    def tidy(events: list[int]) -> list[int]:
        sounding, result = False, []
        for event in events:
            result.append(0 if event == NOTE_OFF and not sounding else event)
            sounding = event >= 2 or (sounding and event != NOTE_OFF)
        return result

    return st.lists(st.sampled_from([0, 0, 0, 1, 2, 40, 41, 53, 89]), min_size=num_steps, max_size=num_steps).map(tidy)


@settings(deadline=None, max_examples=60)
@given(events=melodies(32), tempo=st.sampled_from([40.0, 97.3, 120.0, 240.0]))
def test_melodies_survive_the_round_trip_through_a_midi_file(events, tempo):
    processor = MusicVAEProcessor("melody")
    onsets = [step for step, event in enumerate(events) if event >= 2]
    if not onsets or onsets[0] >= 16 or any(b - a > 16 for a, b in zip(onsets, [*onsets[1:], 32], strict=True)):
        return  # a bar of rest ends a melody: such a sequence is not one window
    midi = processor.decode(torch.tensor(events), tempo=tempo)
    assert processor(midi)["labels"].tolist() == [events]


@settings(deadline=None, max_examples=60)
@given(hits=st.lists(st.integers(0, 511), min_size=32, max_size=32), tempo=st.sampled_from([60.0, 133.0]))
def test_drums_survive_the_round_trip(hits, tempo):
    processor = MusicVAEProcessor("drums")
    hits[0] = hits[0] or 1
    hits[12] = hits[12] or 4
    hits[24] = hits[24] or 2
    midi = processor.decode(torch.tensor(hits), tempo=tempo)
    assert processor(midi)["labels"].tolist() == [hits]


@pytest.mark.parametrize("representation", ["melody", "drums"])
def test_original_mode_keeps_what_pieces_of_different_tempo_have_in_common(representation):
    """The original drops repeats within a piece between two tempo changes, and in no other place."""
    is_drum = representation == "drums"
    midi = pretty_midi.PrettyMIDI(initial_tempo=120)
    midi._tick_scales.append((8 * midi.resolution, 60.0 / (60.0 * midi.resolution)))
    midi._update_tick_to_time(40 * midi.resolution)
    instrument = pretty_midi.Instrument(0, is_drum)
    for beat in range(16):
        pitch = 36 + 2 * (beat % 4) if is_drum else 60 + 2 * (beat % 4)
        start, end = (midi.tick_to_time(b * midi.resolution) for b in (beat, beat + 1))
        instrument.notes.append(pretty_midi.Note(80, pitch, start, end))
    midi.instruments.append(instrument)
    processor = MusicVAEProcessor(representation)
    assert len(processor(midi, mode="original")["labels"]) == 2
    assert len(processor(midi, mode="musical")["labels"]) == 1

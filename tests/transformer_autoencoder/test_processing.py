"""The processor: styles, melodies and primers to tensors, and what it says of music that is not as it should be."""

from dataclasses import replace

import numpy as np
import pretty_midi
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor

from hub_models.transformer_autoencoder import (
    MusicReadError,
    NoNotesError,
    PerformanceNotes,
    TransformerAutoencoderConfig,
    TransformerAutoencoderProcessor,
)
from hub_models.transformer_autoencoder.melody_events import decode_melody
from hub_models.transformer_autoencoder.performance_events import decode_performance
from hub_models.transformer_autoencoder.performance_notes import PedalChanges

from .conftest import small_model
from .music import etude, make_midi, rows_of, simultaneous

RANGE = r"A0 to C8 \(pitches 21 to 108\)"


@pytest.fixture
def processor():
    return TransformerAutoencoderProcessor()


def save(midi: pretty_midi.PrettyMIDI, path) -> str:
    midi.write(str(path))
    return str(path)


def test_style_melody_and_primer(processor, tmp_path):
    path = save(make_midi(etude()), tmp_path / "etude.mid")
    features = processor(style=path, melody=make_midi(etude(8)), primer=make_midi())
    ids = features["performance_ids"]
    assert ids.shape == features["performance_attention_mask"].shape
    assert ids[0].tolist() == processor.performance_tokenizer(make_midi(etude()))["input_ids"]
    melody = decode_melody(features["melody_ids"][0].numpy())
    assert {(pitch, round(start, 6)) for pitch, _, start, _ in rows_of(melody)} >= {
        (pitch, start) for pitch, start, _ in etude(8) if pitch >= 72
    }
    assert features["input_ids"][0].tolist() == [0, *processor.tokenizer(make_midi())["input_ids"]]
    assert features.reports == []
    assert features.primer_start_seconds == [0.0]
    assert set(features) <= set(processor.model_input_names)


def test_batches_are_padded_behind_and_primers_before(processor):
    short, long = make_midi(), make_midi(etude())
    features = processor(style=[short, long], melody=short, primer=[None, short])
    lengths = features["performance_attention_mask"].sum(dim=1)
    assert lengths.tolist() == [10, features["performance_ids"].shape[1]]
    assert not features["performance_ids"][0, 10:].any()
    assert torch.equal(features["melody_ids"][0], features["melody_ids"][1])
    assert features["input_ids"][0].tolist() == [0] * 11
    assert features["attention_mask"].tolist() == [[*[0] * 10, 1], [1] * 11]
    lists = processor(style=[short, long], return_tensors=None)
    assert lists["performance_ids"] == features["performance_ids"].tolist()


def test_the_model_takes_what_the_processor_gives(processor):
    model = small_model(performance_encoder="style", melody_encoder=True)
    processor = TransformerAutoencoderProcessor(context_length=model.config.context_length)
    midi = make_midi(etude(6))
    features = processor(style=[midi, make_midi()], melody=midi, primer=[None, make_midi()])
    ids = model.generate(**features, max_new_tokens=12, do_sample=True, seed=0)
    primer = features["input_ids"].shape[1]
    assert torch.equal(ids[:, :primer], features["input_ids"])
    assert [type(midi) for midi in processor.decode(ids)] == [pretty_midi.PrettyMIDI] * 2


def test_saved_and_loaded(tmp_path):
    TransformerAutoencoderProcessor(context_length=512, melody_source="skyline").save_pretrained(tmp_path)
    TransformerAutoencoderConfig().save_pretrained(tmp_path)
    for loaded in (TransformerAutoencoderProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is TransformerAutoencoderProcessor
        assert (loaded.context_length, loaded.melody_source) == (512, "skyline")
        assert loaded(style=make_midi())["performance_ids"].shape == (1, 10)


def test_where_melodies_are_found(processor):
    midi = make_midi([(60, 0, 1), (64, 0, 1), (62, 1, 2), (64, 2, 3)], pedal=[(0.5, 127), (1.5, 0)])
    found = {
        source: [
            (pitch, start)
            for pitch, _, start, _ in rows_of(decode_melody(processor(melody=midi, melody_source=source)["melody_ids"][0]))
        ]
        for source in ("infer", "skyline", "as_is")
    }
    assert found["infer"] == [(64, 0), (64, 2)]  # the pedal holds the first 64 above the 62
    assert found["skyline"] == [(62, 1), (64, 0), (64, 2)]  # by the keys alone
    assert len(found["as_is"]) == 3
    assert processor(melody=midi, melody_source="as_is").reports == [
        "Melody: 1 of 4 notes begin together with another; of those only one is played."
    ]
    assert TransformerAutoencoderProcessor(melody_source="as_is")(melody=midi).reports
    assert processor(melody=midi).reports == []


@pytest.mark.parametrize(
    ("midi", "sentence"),
    [
        (pretty_midi.PrettyMIDI(), "There are no notes in it."),
        (make_midi([]), "There are no notes in it."),
        (make_midi(is_drum=True), "There is no note in it that a piano can play, only 3 drum notes."),
        (make_midi([(12, 0, 1)]), f"only 1 note outside {RANGE}."),
        (make_midi([(60, 1, 1)]), "only 1 note without length or loudness."),
        (make_midi([(60, 0, 1)], velocity=0), "only 1 note without length or loudness."),
        (
            simultaneous(make_midi(is_drum=True), make_midi([(12, 0, 1), (120, 0, 1)])),
            f"only 3 drum notes and 2 notes outside {RANGE}.",
        ),
    ],
)
def test_music_without_notes_is_refused_with_what_was_there(processor, midi, sentence):
    for name in ("style", "melody", "primer"):
        with pytest.raises(NoNotesError, match=f"^{name.capitalize()}: .*{sentence}"):
            processor(**{name: midi})
    with pytest.raises(NoNotesError, match=r"^Style 2: "):
        processor(style=[make_midi(), midi])


def test_what_is_left_out_is_told(processor):
    midi = simultaneous(
        make_midi([(60, 0, 1), (20, 0, 1), (109, 1, 2), (62, 2, 2), (64, -0.5, 1)]), make_midi([(38, 0, 1)], is_drum=True)
    )
    features = processor(style=midi)
    assert features.reports == [
        "Style: 1 drum note, 2 notes without length or loudness "
        "and 2 notes outside A0 to C8 (pitches 21 to 108) were left out."
    ]
    assert rows_of(decode_performance(features["performance_ids"][0].numpy())) == [(60, 77, 0, 1)]
    assert processor(primer=make_midi([(60, 0, 1), (20, 0, 1)])).reports == [
        "Primer: 1 note outside A0 to C8 (pitches 21 to 108) was left out."
    ]


def test_one_note_is_music(processor):
    features = processor(style=make_midi([(60, 0, 2)]), melody=make_midi([(60, 0, 0.3)]), primer=make_midi([(60, 0, 2)]))
    assert features["melody_ids"].tolist() == [[43, 2, 2]]
    assert features["performance_ids"].tolist() == [[297, 41, 277, 277, 129]]
    assert features.reports == []


def test_a_style_of_half_a_second_is_doubted(processor):
    assert processor(style=make_midi([(60, 0, 0.5)])).reports == [
        "Style: It lasts 0.50 seconds, which says little about a style."
    ]


def test_noises_have_no_melody(processor):
    with pytest.raises(NoNotesError, match=r"^Melody: There is no melody in it: its instruments play noises, not pitches"):
        processor(melody=make_midi(program=127))


def test_a_pedal_that_is_never_lifted_is_left_out(processor):
    """It would hold every note to the end, as the original does."""
    notes = [(60 + i % 5, i * 0.5, i * 0.5 + 0.3) for i in range(200)]
    plain = processor(style=make_midi(notes))["performance_ids"]
    features = processor(style=make_midi(notes, pedal=[(0.0, 127), (1.0, 127)]))
    assert features.reports == [
        "Style: The sustain pedal stays down from 0:00 to 1:40, which no pianist means; it is left out there."
    ]
    assert torch.equal(features["performance_ids"], plain)
    # Lifted and pressed in time before that: this is heard.
    features = processor(style=make_midi(notes, pedal=[(0.0, 127), (0.9, 0), (2.0, 127)]))
    assert len(features.reports) == 1
    assert "from 0:02 to 1:40" in features.reports[0]
    ends = {row[3] for row in rows_of(decode_performance(features["performance_ids"][0].numpy()))}
    assert {0.9, 2.3} <= {round(end, 6) for end in ends}


NUMBERS = st.one_of(st.floats(-1, 40), st.sampled_from([0.0, 1.0, np.nan, np.inf, -np.inf]))


@settings(deadline=None, max_examples=60)
@given(
    pedal=st.lists(st.tuples(st.one_of(st.floats(0, 50), st.just(np.nan)), st.integers(-5, 300)), max_size=12),
    times=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=10),
)
def test_broken_pedals_and_notes_never_do_harm(pedal, times):
    notes = PerformanceNotes.from_rows((60 + i % 3, 80, start, end) for i, (start, end) in enumerate(times))
    seconds, value = np.array(pedal, dtype=np.float64).reshape(-1, 2).T
    notes = replace(notes, pedals=PedalChanges(seconds, value.astype(np.int64), np.zeros(len(value), dtype=np.int64)))
    try:
        features = TransformerAutoencoderProcessor()(style=notes, melody=notes, primer=notes)
    except NoNotesError as error:
        assert "without length" in str(error)
        return
    played = decode_performance(features["performance_ids"][0].numpy())
    assert len(played)
    assert np.all(played.end <= 50.01)


def test_what_is_longer_than_the_window_is_cut_and_told(processor):
    processor = TransformerAutoencoderProcessor(context_length=64)
    midi = make_midi(etude(60))
    features = processor(style=midi, melody=midi, max_melody_length="window")
    assert features["performance_ids"].shape == (1, 64)
    assert features["melody_ids"].shape == (1, 64)
    assert features.reports == [
        "Style: Only its beginning is read, 0:03 of 1:00.",
        "Melody: Only its first 0:06 of 1:00 are played.",
    ]
    whole = processor(style=midi, melody=midi, max_style_length=None)
    assert whole["performance_ids"].shape[1] > 500
    assert whole["melody_ids"].shape[1] == 600
    assert whole.reports == []
    assert processor(style=midi, max_style_length=100)["performance_ids"].shape == (1, 100)


def test_a_blank_melody_is_no_event_for_so_long(processor):
    features = processor(style=[make_midi(etude(5)), make_midi(etude(5))], blank_melody_seconds=3.2)
    assert features["melody_ids"].tolist() == [[2] * 32] * 2
    assert features["melody_attention_mask"].all()
    with pytest.raises(ValueError, match="not both"):
        processor(melody=make_midi(etude(5)), blank_melody_seconds=3.2)
    with pytest.raises(ValueError, match="must be above 0"):
        processor(style=make_midi(etude(5)), blank_melody_seconds=0)


def test_of_a_long_primer_the_end_is_continued():
    processor = TransformerAutoencoderProcessor(context_length=64)
    features = processor(primer=[make_midi(etude(60)), make_midi()])
    (start, beginning) = features.primer_start_seconds
    assert beginning == 0.0
    assert features["input_ids"].shape[1] <= 64
    kept = decode_performance(features["input_ids"][0].numpy())
    expected = PerformanceNotes.from_midi(make_midi(etude(60))).cut(start, np.inf)
    np.testing.assert_allclose(kept.total_seconds, expected.total_seconds, atol=0.01)
    assert sorted(kept.pitch.tolist()) == sorted(expected.pitch.tolist())
    earlier = PerformanceNotes.from_midi(make_midi(etude(60))).cut(start - 0.25, np.inf)
    assert len(processor.tokenizer(earlier)["input_ids"]) > 63  # as much as fits
    assert features.reports == ["Primer 1: It is longer than the model hears at once; it is heard from 0:57 on."]


def test_a_melody_loses_what_its_primer_loses():
    processor = TransformerAutoencoderProcessor(context_length=64)
    midi = make_midi(etude(60))
    features = processor(primer=[midi, None], melody=midi)
    skipped = round(features.primer_start_seconds[0] * 10)
    assert skipped > 500
    whole = processor(melody=midi)["melody_ids"][0].tolist()
    length = int(features["melody_attention_mask"][0].sum())
    assert features["melody_ids"][0, :length].tolist() == whole[skipped:]
    assert features["melody_ids"][1].tolist() == whole
    assert processor(primer=midi, melody=make_midi())["melody_ids"].tolist() == [[2]]  # over before the primer's end


def test_a_primer_whose_last_chord_does_not_fit_starts_from_nothing():
    chord = make_midi([(60 + i, 1, 2) for i in range(12)])
    features = TransformerAutoencoderProcessor(context_length=8)(primer=chord)
    assert features["input_ids"].tolist() == [[0]]
    assert len(features.reports) == 1


def test_files_are_read_within_limits(processor, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no MIDI file 'song\.mid'"):
        processor(style=tmp_path / "song.mid")
    for content, sentence in (
        (b"RIFF....WAVE", "is no Standard MIDI File"),
        (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\x08\0\x90", "is broken"),
        (b"MThd" + bytes(5_000_000), "5,000,004 bytes; MIDI files of at most 5,000,000"),
    ):
        (tmp_path / "song.mid").write_bytes(content)
        with pytest.raises(MusicReadError, match=sentence) as error:
            processor(style=tmp_path / "song.mid")
        assert "\n" not in str(error.value)
    with pytest.raises(MusicReadError, match=r"lasts 4\.0 hours; at most 3 are read"):
        processor(melody=make_midi([(60, 0, 1), (60, 14_399, 14_400)]))
    many = PerformanceNotes.from_rows([(60, 80, 0, 1)] * 100_001)
    with pytest.raises(MusicReadError, match="100,001 notes; at most 100,000"):
        processor(primer=many)


def test_three_hours_are_read(processor):
    starts = np.arange(0, 10_700, 1.0)
    notes = PerformanceNotes.from_rows([(60 + int(s) % 24, 80, s, s + 0.9) for s in starts])
    assert processor(style=notes, melody=notes, max_melody_length="window").reports == [
        "Style: Only its beginning is read, 8:32 of 2:58:20.",
        "Melody: Only its first 3:25 of 2:58:20 are played.",
    ]
    assert "it is heard from 2:49:49 on" in processor(primer=notes).reports[0]
    whole = processor(melody=notes)
    assert whole["melody_ids"].shape[1] == 106_999
    assert "its melody was looked for in parts, from" in whole.reports[0]


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=200))
def test_random_bytes_never_do_harm(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "song.mid"
    path.write_bytes(b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk" + len(data).to_bytes(4, "big") + data)
    try:
        TransformerAutoencoderProcessor()(style=path)
    except (MusicReadError, NoNotesError) as error:
        assert "\n" not in str(error)


def test_wrong_calls_are_refused(processor):
    for arguments, sentence in (
        ({}, "Give a style, a melody or a primer"),
        ({"style": []}, "Lists must have one length, got style 0"),
        ({"style": [make_midi()] * 2, "melody": [make_midi()] * 3}, "one length, got style 2, melody 3"),
        ({"melody": make_midi(), "melody_source": "guess"}, r"must be one of \('infer', 'skyline', 'as_is'\), got 'guess'"),
        ({"style": make_midi(), "max_style_length": 0}, "whole number from 1 on, 'window' or None, got 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            processor(**arguments)
    with pytest.raises(TypeError, match="a path, a PrettyMIDI or PerformanceNotes, not int"):
        processor(style=5)
    with pytest.raises(ValueError, match="context_length"):
        TransformerAutoencoderProcessor(context_length=0)
    with pytest.raises(ValueError, match="melody_source"):
        TransformerAutoencoderProcessor(melody_source="ears")

"""The tokenizers behave as transformers' tokenizers do."""

import numpy as np
import pretty_midi
import pytest
import torch
from transformers import AutoTokenizer

from hub_models.transformer_autoencoder import MelodyTokenizer, PerformanceNotes, PerformanceTokenizer, PitchRangeError
from hub_models.transformer_autoencoder.melody_events import MELODY_VOCAB_SIZE
from hub_models.transformer_autoencoder.performance_events import PERFORMANCE_VOCAB_SIZE, TokenError

from .music import etude, make_midi, rows_of

TEXT = "VELOCITY_20 NOTE_ON_60 TIME_SHIFT_50 NOTE_OFF_60 NOTE_ON_64 TIME_SHIFT_50 NOTE_OFF_64 NOTE_ON_67 TIME_SHIFT_100"
IDS = [297, 41, 227, 129, 45, 227, 133, 48, 277]


@pytest.fixture(params=[PerformanceTokenizer, MelodyTokenizer])
def tokenizer(request):
    return request.param()


def test_a_token_for_every_id():
    for tokenizer, size in ((PerformanceTokenizer(), PERFORMANCE_VOCAB_SIZE), (MelodyTokenizer(), MELODY_VOCAB_SIZE)):
        assert len(tokenizer) == tokenizer.vocab_size == len(tokenizer.get_vocab()) == size
        tokens = tokenizer.convert_ids_to_tokens(list(range(size)))
        assert tokenizer.convert_tokens_to_ids(tokens) == list(range(size))
        assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 0, 1)


def test_performances_are_encoded():
    tokenizer = PerformanceTokenizer()
    encoding = tokenizer(make_midi())
    assert tokenizer.convert_tokens_to_string(tokenizer.convert_ids_to_tokens(encoding["input_ids"][:-1])) == TEXT
    assert encoding["input_ids"] == [*IDS, 136]
    assert encoding["attention_mask"] == [1] * 10
    assert tokenizer(PerformanceNotes.from_midi(make_midi()))["input_ids"] == encoding["input_ids"]


def test_the_pedal_is_heard():
    held = make_midi([(60, 0, 0.2)], pedal=[(0.1, 127), (1.0, 0)])
    assert PerformanceTokenizer()(held)["input_ids"] == PerformanceTokenizer()(make_midi([(60, 0, 1.0)]))["input_ids"]


def test_text_is_read_as_tokens():
    tokenizer = PerformanceTokenizer()
    assert tokenizer(TEXT)["input_ids"] == tokenizer.encode(TEXT) == IDS
    assert tokenizer(f"<pad> {TEXT}<eos>")["input_ids"] == [0, *IDS, 1]
    assert tokenizer([TEXT, "NOTE_ON_60"])["input_ids"] == [IDS, [41]]
    with pytest.raises(TokenError, match="'NOTE_ON_109' is no token; tokens look like NOTE_ON_21, "):
        tokenizer("NOTE_ON_109")


def test_batches_are_padded():
    tokenizer = PerformanceTokenizer()
    batch = tokenizer([make_midi(), make_midi([(60, 0, 1)])], padding=True, return_tensors="pt")
    assert batch["input_ids"].shape == (2, 10)
    assert batch["input_ids"][1].tolist() == [297, 41, 277, 129, *[0] * 6]
    assert batch["attention_mask"][1].tolist() == [1] * 4 + [0] * 6
    left = tokenizer([make_midi(), make_midi([(60, 0, 1)])], padding="max_length", max_length=12, padding_side="left")
    assert left["input_ids"][1] == [*[0] * 8, 297, 41, 277, 129]
    assert tokenizer(make_midi(), return_tensors="np")["input_ids"].shape == (1, 10)
    assert tokenizer(make_midi(), truncation=True, max_length=4)["input_ids"] == IDS[:4]


def test_start_and_end_are_added_on_demand():
    assert PerformanceTokenizer()(make_midi(), add_bos=True, add_eos=True)["input_ids"] == [0, *IDS, 136, 1]
    always = PerformanceTokenizer(add_bos=True, add_eos=True)
    assert always(make_midi())["input_ids"] == [0, *IDS, 136, 1]
    assert always(make_midi(), add_bos=False, add_eos=False)["input_ids"] == [*IDS, 136]
    assert always.encode(TEXT) == [0, *IDS, 1]


def test_ids_are_decoded_to_music():
    tokenizer = PerformanceTokenizer()
    midi = tokenizer.decode([0, *IDS, 136, 1, 0, 0])
    assert isinstance(midi, pretty_midi.PrettyMIDI)
    assert rows_of(PerformanceNotes.from_midi(midi)) == [(60, 77, 0, 0.5), (64, 77, 0.5, 1), (67, 77, 1, 2)]
    for batch in (torch.tensor([IDS, IDS]), np.array([IDS, IDS]), [IDS, IDS[:4]]):
        for decode in (tokenizer.decode, tokenizer.batch_decode):
            assert [type(midi) for midi in decode(batch)] == [pretty_midi.PrettyMIDI] * 2
    assert not tokenizer.decode([]).instruments


def test_music_survives():
    tokenizer = PerformanceTokenizer()
    midi = make_midi(etude(), velocity=77)
    again = tokenizer.decode(tokenizer(midi)["input_ids"])
    np.testing.assert_allclose(rows_of(PerformanceNotes.from_midi(again)), rows_of(PerformanceNotes.from_midi(midi)))


def test_melodies_are_encoded_and_decoded():
    tokenizer = MelodyTokenizer()
    ids = tokenizer(make_midi([(60, 0, 0.2), (62, 0.3, 0.5)]))["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["NOTE_60", "NO_EVENT", "NOTE_OFF", "NOTE_62", "NO_EVENT"]
    rows = rows_of(PerformanceNotes.from_midi(tokenizer.decode(ids)))
    assert [(pitch, pytest.approx(start), pytest.approx(end)) for pitch, _, start, end in rows] == [
        (60, 0, 0.2),
        (62, 0.3, 0.5),
    ]


def test_saved_and_loaded(tokenizer, tmp_path):
    kind = type(tokenizer)
    kind(add_eos=True, padding_side="left").save_pretrained(tmp_path)
    for loaded in (kind.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        assert type(loaded) is kind
        assert loaded.get_vocab() == tokenizer.get_vocab()
        assert (loaded.add_bos, loaded.add_eos, loaded.padding_side) == (False, True, "left")
        assert loaded(make_midi())["input_ids"] == [*tokenizer(make_midi())["input_ids"], 1]


def test_notes_beyond_the_piano_are_refused(tokenizer):
    with pytest.raises(PitchRangeError, match="109"):
        tokenizer(make_midi([(60, 0, 1), (109, 0, 1)]))
    assert tokenizer(PerformanceNotes.from_midi(make_midi([(60, 0, 1), (109, 0, 1)])).in_range())["input_ids"]


def test_wrong_calls_are_refused(tokenizer, tmp_path):
    with pytest.raises(TypeError, match="not PosixPath; files are read by TransformerAutoencoderProcessor"):
        tokenizer(tmp_path / "song.mid")
    with pytest.raises(ValueError, match="truncation needs max_length"):
        tokenizer(make_midi(), truncation=True)
    with pytest.raises(TypeError, match="Unknown arguments text_pair"):
        tokenizer(make_midi(), text_pair=make_midi())
    with pytest.raises(ValueError, match="cannot be changed"):
        type(tokenizer)(pad_token="[PAD]")
    with pytest.raises(TokenError, match="Token 310"):
        tokenizer.decode([310])
    with pytest.raises(TokenError, match="Token 310"):
        tokenizer.convert_ids_to_tokens([310])

"""Performances become crops of tokens, with what the encoders get; what cannot be used is counted and named."""

import numpy as np
import pretty_midi
import pytest
import torch
from tiny_transformer_autoencoder import performance, write_performances

from hub_models.training import NoTrainingDataError
from hub_models.training.data_order import ExampleKey
from hub_models.transformer_autoencoder import performances as reading
from hub_models.transformer_autoencoder.data import (
    Conditions,
    CropDataset,
    SegmentDataset,
    collate,
    in_another_key,
    melody_of,
    num_targets,
    with_loud_melody,
)
from hub_models.transformer_autoencoder.melody_events import NO_EVENT_ID
from hub_models.transformer_autoencoder.performance_events import decode_performance, transpose_ids
from hub_models.transformer_autoencoder.performances import (
    STRETCHES,
    Piece,
    find_performances,
    prepare_performances,
)

LENGTH = 32
CONDITIONS = {
    "unconditional": Conditions(),
    "performance": Conditions(style=True),
    "noisy": Conditions(style=True, melody=True, noisy=True),
    "original": Conditions(style=True, melody=True, noisy=True, original_noise=True),
    "different": Conditions(style=True, melody=True, style_crop="different"),
    "melody": Conditions(melody=True),
}


def prepare(folder, cache, **settings):
    files = find_performances([folder], [folder / "splits.csv"] if (folder / "splits.csv").exists() else None)
    return prepare_performances(files, cache=cache, num_proc=1, **settings)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("performances")
    return prepare(write_performances(folder / "data"), folder / "cache")


@pytest.fixture(scope="module")
def pieces(prepared):
    return prepared.select("train")


def all_keys(dataset, epochs=1):
    return [ExampleKey(epoch, index) for epoch in range(epochs) for index in range(len(dataset))]


def places_of(crop, tokens):
    """Where a crop is from: all offsets at which `tokens` reads like it, in any of the keys that training uses."""
    return [
        (offset, shift)
        for shift in range(-3, 4)
        for offset in range(len(tokens) - len(crop) + 1)
        if np.array_equal(np.asarray(crop), shifted(tokens[offset : offset + len(crop)], shift))
    ]


def shifted(tokens, semitones):
    """Transposition, written down anew: ids 2..89 are note-ons of 21..108, 90..177 note-offs."""
    tokens = np.asarray(tokens, dtype=np.int64)
    return np.where((tokens >= 2) & (tokens < 178), tokens + semitones, tokens)


# Files


def test_pieces_are_the_pedalled_notes_on_the_piano_at_five_tempi(tmp_path):
    music = performance(0, lowest=15, highest=115)
    music.instruments.append(pretty_midi.Instrument(0, is_drum=True, name="drums"))
    music.instruments[1].notes.append(pretty_midi.Note(90, 40, 0.1, 0.2))
    music.write(str(tmp_path / "music.mid"))
    (piece,) = [prepare(tmp_path, tmp_path / "cache")[0]]
    kept = [note for note in music.instruments[0].notes if 21 <= note.pitch <= 108]
    decoded = decode_performance(piece.tokens)
    assert sorted(decoded.pitch.tolist()) == sorted(note.pitch for note in kept)
    assert (piece.lowest, piece.highest) == (min(n.pitch for n in kept), max(n.pitch for n in kept))
    plain = sum(note.end - note.start for note in kept)
    assert (decoded.end - decoded.start).sum() > 1.5 * plain  # the pedal holds them
    summary = prepare(tmp_path, tmp_path / "cache").summary()
    assert summary["notes_outside_the_piano_left_out"] == len(music.instruments[0].notes) - len(kept)
    assert summary["drum_notes_left_out"] == 1
    lengths = [decode_performance(variant).end.max() for variant in piece.variants]
    np.testing.assert_allclose(np.array(lengths) / lengths[2], STRETCHES, rtol=2e-3)


def test_splits_come_from_the_csv_and_are_summed_up(prepared):
    assert [len(prepared.select(split)) for split in ("train", "validation", "test")] == [4, 2, 0]
    summary = prepared.summary()
    assert (summary["train_files"], summary["validation_files"], summary["rejected_files"]) == (4, 2, 0)
    assert summary["train_tokens"] == sum(len(piece.tokens) for piece in prepared.select("train"))
    assert 0 < summary["validation_hours"] < 0.05


def test_the_cache_is_used_until_a_file_or_a_setting_changes(tmp_path, monkeypatch):
    folder = write_performances(tmp_path / "data")
    read, read_files = [], reading._read_files
    monkeypatch.setattr(reading, "_read_files", lambda *arguments: read.append(1) or read_files(*arguments))
    first, again = (prepare(folder, tmp_path / "cache") for _ in range(2))
    assert len(read) == 1
    assert np.array_equal(first.tokens, again.tokens)
    assert first.digest == again.digest
    as_played = prepare(folder, tmp_path / "cache", stretches=(1.0,))
    assert len(read) == 2
    assert np.array_equal(as_played[3].tokens, first[3].tokens)
    performance(99).write(str(folder / "piece0.mid"))
    changed = prepare(folder, tmp_path / "cache")
    assert len(read) == 3
    assert changed.digest != first.digest
    assert np.array_equal(changed[1].tokens, first[1].tokens)


def test_files_that_give_nothing_are_named_with_the_reason_and_the_others_stay(tmp_path):
    folder = write_performances(tmp_path / "data", count=5)
    (folder / "piece0.mid").write_bytes(b"no music")
    performance(1, lowest=110, highest=120).write(str(folder / "piece1.mid"))
    drums = performance(2)
    drums.instruments[0].is_drum = True
    drums.write(str(folder / "piece2.mid"))
    pretty_midi.PrettyMIDI().write(str(folder / "piece3.mid"))
    prepared = prepare(folder, tmp_path / "cache")
    assert [file.name for file in prepared.files] == ["piece4.mid"]
    assert set(prepared.rejected) == {f"piece{number}.mid" for number in range(4)}
    assert "MThd" in prepared.rejected["piece0.mid"]
    assert prepared.rejected["piece1.mid"] == "no notes for a piano: 60 notes are out of a piano's range"
    assert prepared.rejected["piece2.mid"] == "no notes for a piano: 60 notes are drum"
    assert prepared.rejected["piece3.mid"] == "no notes for a piano"
    assert prepare(folder, tmp_path / "cache").rejected == prepared.rejected  # read from the cache


def test_only_the_named_tracks_of_a_file_that_has_them_are_read(tmp_path):
    music = performance(0)
    music.instruments.append(pretty_midi.Instrument(0, name="MELODY"))
    music.instruments[1].notes.append(pretty_midi.Note(90, 100, 0.1, 0.2))
    music.write(str(tmp_path / "a.mid"))
    other = performance(1)
    other.instruments[0].name = "Steinway"
    other.write(str(tmp_path / "b.mid"))
    whole, named = (prepare(tmp_path, tmp_path / "cache", tracks=tracks) for tracks in ((), ("piano",)))
    assert [piece.highest for piece in (whole[0], named[0])] == [100, max(n.pitch for n in music.instruments[0].notes)]
    assert np.array_equal(whole[1].tokens, named[1].tokens)


def test_several_processes_read_the_same(tmp_path):
    folder = write_performances(tmp_path / "data", count=33)
    files = find_performances([folder])
    one, two = (prepare_performances(files, cache=tmp_path / str(n), num_proc=n) for n in (1, 2))
    assert one.digest == two.digest
    assert np.array_equal(one.tokens, two.tokens)


def test_a_folder_without_midi_is_named(tmp_path):
    with pytest.raises(NoTrainingDataError, match=r"No MIDI files .* in "):
        find_performances([tmp_path])


# Crops


@pytest.mark.parametrize("name", CONDITIONS)
def test_an_example_is_a_pure_function_of_its_key(pieces, name):
    first, second = (CropDataset(pieces, LENGTH, CONDITIONS[name], 2, seed=3) for _ in range(2))
    backwards = {key: second[key] for key in reversed(all_keys(first, 2))}
    for key in all_keys(first, 2):
        assert first[key].keys() == backwards[key].keys()
        for part, value in first[key].items():
            assert np.array_equal(value, backwards[key][part])


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}])
def test_another_seed_or_epoch_draws_other_crops(pieces, changed):
    epoch = changed.pop("epoch", 0)
    one, other = CropDataset(pieces, LENGTH), CropDataset(pieces, LENGTH, **changed)
    same = [np.array_equal(one[ExampleKey(0, i)]["target"], other[ExampleKey(epoch, i)]["target"]) for i in range(len(one))]
    assert np.mean(same) < 0.3


def test_crops_are_of_all_stretches_keys_and_places_of_their_piece(pieces):
    dataset = CropDataset(pieces[:1], LENGTH)
    found = {}
    for key in all_keys(dataset, 40):
        crop = dataset[key]["target"]
        assert len(crop) == LENGTH
        matches = [
            (variant, *place) for variant, tokens in enumerate(pieces[0].variants) for place in places_of(crop, tokens)
        ]
        assert matches
        if len(matches) == 1:
            found[key] = matches[0]
    variants, offsets, shifts = zip(*found.values(), strict=True)
    assert set(variants) == set(range(5))
    assert set(shifts) == set(range(-3, 4))
    last = len(pieces[0].tokens) - LENGTH
    assert min(offsets) < 0.05 * last
    assert max(offsets) > 0.95 * last


def test_no_pitch_leaves_the_piano():
    tokens = np.array([278, 2, 178, 90, 178, 89, 178, 177] * 8)  # A0 and C8
    low = np.array([278, 3, 178, 91] * 16)  # one semitone above A0
    both, bass = Piece("both", (tokens,), 21, 108), Piece("bass", (low,), 22, 22)
    assert both.transpositions(3).tolist() == [0]
    assert bass.transpositions(3).tolist() == [-1, 0, 1, 2, 3]
    for piece in (both, bass):
        dataset = CropDataset([piece], LENGTH, replications=60)
        shifts = {place[1] for key in all_keys(dataset) for place in places_of(dataset[key]["target"], piece.tokens)}
        assert shifts == set(piece.transpositions(3).tolist())


def test_augmentation_can_be_switched_off(pieces):
    dataset = CropDataset(pieces, LENGTH, semitones=0, stretch=False)
    for key in all_keys(dataset)[::7]:
        crop = dataset[key]["target"]
        assert any(shift == 0 for piece in pieces for _, shift in places_of(crop, piece.tokens))


def test_an_epoch_has_so_many_crops_of_each_piece(pieces):
    assert len(CropDataset(pieces, LENGTH)) == 10 * len(pieces)
    assert len(CropDataset(pieces, LENGTH, replications=3)) == 3 * len(pieces)
    assert len(CropDataset(pieces, LENGTH, replications=0)) == sum(len(piece) // LENGTH for piece in pieces)


def test_short_pieces_are_whole_without_conditions_and_left_out_with_them(pieces):
    short = Piece("short", (np.array([278, 41, 188, 129], dtype=np.uint16),), 60, 60)
    alone = CropDataset([short], LENGTH, replications=1, semitones=0)
    assert alone[ExampleKey(0, 0)]["target"].tolist() == [278, 41, 188, 129]
    assert alone.num_too_short == 0
    for conditions in (Conditions(style=True), Conditions(melody=True)):
        dataset = CropDataset([short, *pieces], LENGTH, conditions)
        assert (dataset.num_too_short, len(dataset.pieces)) == (1, len(pieces))
    assert SegmentDataset([short, *pieces], LENGTH).num_too_short == 1


# Conditions


def test_the_performance_is_the_crop_itself(pieces):
    dataset = CropDataset(pieces, LENGTH, Conditions(style=True))
    for key in all_keys(dataset)[::5]:
        assert np.array_equal(dataset[key]["performance"], dataset[key]["target"])


def test_a_noisy_performance_is_the_crop_in_another_key(pieces):
    dataset = CropDataset(pieces, LENGTH, Conditions(style=True, noisy=True), replications=30)
    shifts = []
    for key in all_keys(dataset):
        target, noisy = dataset[key]["target"], dataset[key]["performance"]
        pitched = (target >= 2) & (target < 178)
        (shift,) = set((noisy - target)[pitched].tolist())
        assert np.array_equal(noisy[~pitched], target[~pitched])
        assert np.array_equal((noisy - 2)[pitched] // 88, (target - 2)[pitched] // 88)  # ons stay ons
        shifts.append(shift)
    assert 0 not in shifts
    assert min(shifts) < -6
    assert max(shifts) > 6


def test_another_key_reaches_both_ends_of_the_piano_and_never_beyond():
    tokens = np.array([278, 2 + 40, 178, 90 + 40])
    draw = np.random.default_rng(0)
    pitches = {int(in_another_key(tokens, draw)[1]) - 2 for _ in range(2000)}
    assert pitches == set(range(88)) - {40}
    stuck = np.array([2, 178, 89])
    assert in_another_key(stuck, draw) is stuck
    silence = np.array([278, 200])
    assert in_another_key(silence, draw) is silence


def test_a_different_style_crop_is_of_the_same_piece_in_the_same_key_and_tempo(pieces):
    dataset = CropDataset(pieces, LENGTH, Conditions(style=True, style_crop="different"))
    differ = 0
    for key in all_keys(dataset)[::4]:
        example = dataset[key]
        origins = [
            {(number, variant, shift) for number, piece in enumerate(pieces) for variant, tokens in enumerate(piece.variants)
             for _, shift in places_of(example[part], tokens)}
            for part in ("target", "performance")
        ]  # fmt: skip
        assert origins[0] & origins[1]
        differ += not np.array_equal(example["target"], example["performance"])
    assert differ >= 8


@pytest.mark.parametrize("source", ["infer", "skyline"])
def test_the_melody_is_that_of_the_crop_in_steps_of_100_ms(pieces, source):
    dataset = CropDataset(pieces, LENGTH, Conditions(melody=True, melody_source=source))
    for key in all_keys(dataset)[::5]:
        target, melody = dataset[key]["target"], dataset[key]["melody"]
        notes = decode_performance(target)
        assert len(melody) == pytest.approx(notes.end.max() * 10, abs=1)
        pitches = melody[melody >= 4] - 4 + 21
        assert len(pitches)
        assert set(pitches.tolist()) <= set(notes.pitch.tolist())


def test_crops_without_notes_have_a_melody_without_notes():
    assert melody_of(np.array([278, 200, 250])).tolist() == [2]


def test_the_skyline_is_the_highest_note():
    tokens = [278, 2 + 20, 2 + 40, 177 + 50, 90 + 20, 90 + 40, 2 + 30, 177 + 50, 90 + 30]  # two notes, then a lower one
    melody = melody_of(np.array(tokens), "skyline")
    assert [int(event) - 4 for event in melody if event >= 4] == [40, 30]
    assert len(melody) == 10


def test_the_originals_noise_has_the_melody_once_more_at_full_velocity(pieces):
    crop = np.asarray(pieces[0].tokens[:60], dtype=np.int64)
    notes, loud = decode_performance(crop), decode_performance(with_loud_melody(crop))
    melody = melody_of(crop)
    added = len(loud) - len(notes)
    assert added == int((melody >= 4).sum())
    assert int((loud.velocity == 125).sum()) >= added  # the loudest of the 32 bins
    assert len(with_loud_melody(crop)) > len(crop)


@pytest.mark.parametrize("wrong", [{"style_crop": "none"}, {"melody_source": "lowest"}])
def test_unknown_choices_are_refused(wrong):
    with pytest.raises(ValueError, match="must be one of"):
        Conditions(**wrong)


# Validation


def test_segments_follow_each_other_as_played(pieces):
    dataset = SegmentDataset(pieces, LENGTH)
    assert len(dataset) == sum(len(piece) // LENGTH for piece in pieces)
    place = 0
    for piece in pieces:
        for number in range(len(piece) // LENGTH):
            segment = dataset[ExampleKey(0, place)]["target"]
            assert np.array_equal(segment, piece.tokens[number * LENGTH : (number + 1) * LENGTH])
            place += 1


def test_a_limited_number_of_segments_is_spread_over_all(pieces):
    everything, few = SegmentDataset(pieces, LENGTH), SegmentDataset(pieces, LENGTH, max_segments=4)
    assert len(few) == 4
    assert few.places[0] == everything.places[0]
    assert len({number for number, _ in few.places}) == 4


def test_noisy_segments_are_the_same_every_time(pieces):
    one, other = (SegmentDataset(pieces, LENGTH, CONDITIONS["noisy"], 5) for _ in range(2))
    for index in range(5):
        for part in ("target", "performance", "melody"):
            assert np.array_equal(one[ExampleKey(0, index)][part], other[ExampleKey(7, index)][part])


# Batches


def test_a_batch_is_padded_and_says_where():
    rows = [{"target": np.array([5, 6, 7]), "melody": np.array([9])}, {"target": np.array([8]), "melody": np.array([4, 3])}]
    batch = collate(rows)
    assert batch["input_ids"].tolist() == [[0, 5, 6, 7], [0, 8, 0, 0]]
    assert batch["labels"].tolist() == [[0, 5, 6, 7], [0, 8, -100, -100]]
    assert batch["melody_ids"].tolist() == [[9, 0], [4, 3]]
    assert batch["melody_attention_mask"].tolist() == [[1, 0], [1, 1]]
    assert num_targets(batch) == 4
    assert "performance_ids" not in batch
    assert {value.dtype for value in batch.values()} == {torch.int64}


def test_transposing_tokens_agrees_with_transposing_notes(pieces):
    tokens = np.asarray(pieces[0].tokens, dtype=np.int64)
    notes, higher = decode_performance(tokens), decode_performance(transpose_ids(tokens, 2))
    np.testing.assert_array_equal(np.sort(higher.pitch), np.sort(notes.pitch + 2))
    assert higher.end.max() == notes.end.max()


def test_some_training_crops_have_a_blank_melody_and_no_segment_has(pieces):
    conditions = Conditions(style=True, melody=True, melody_dropout=0.5)
    crops = CropDataset(pieces, 64, conditions, replications=8)
    melodies = [crops[ExampleKey(epoch, index)]["melody"] for epoch in range(2) for index in range(len(crops))]
    blank = [not (melody != NO_EVENT_ID).any() for melody in melodies]
    assert 0.2 < sum(blank) / len(blank) < 0.8
    segments = SegmentDataset(pieces, 64, conditions)
    assert all((segments[ExampleKey(0, index)]["melody"] != NO_EVENT_ID).any() for index in range(len(segments)))
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        Conditions(melody=True, melody_dropout=1.5)

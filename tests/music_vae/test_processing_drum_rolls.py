"""Drum rolls and the maps from pitches to drum classes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import MusicVAEProcessor
from hub_models.music_vae import NoExamplesError, NoteSequence
from hub_models.music_vae.drum_maps import DRUM_MAPS

from .conftest import make_midi, scale


def hits(*notes: tuple[int, float]):
    return make_midi([(pitch, start, start + 0.25) for pitch, start in notes], is_drum=True)


@pytest.fixture(scope="module")
def roll() -> MusicVAEProcessor:
    return MusicVAEProcessor("drum_roll")


@pytest.fixture(scope="module")
def full_roll() -> MusicVAEProcessor:
    return MusicVAEProcessor("drum_roll", drum_classes="full")


def test_each_class_has_a_bit_and_silence_one_of_the_inputs(roll):
    features = roll(hits((36, 0), (42, 0), (38, 1), (36, 4)))
    labels, inputs = features["labels"][0], features["input_values"][0]
    assert labels.shape == (32, 9)
    assert labels[0].tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0]
    assert labels[4].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert inputs.shape == (32, 10)
    assert torch.equal(inputs[:, :9], labels.float())
    assert torch.equal(inputs[:, 9] == 1, labels.sum(dim=-1) == 0)


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_rolls_and_combinations_find_the_same_windows(roll, drums_processor, mode):
    rng = np.random.default_rng(0)
    midi = hits(*((int(pitch), step / 4) for step in range(96) for pitch in rng.choice([36, 38, 42, 46, 49], size=2)))
    rolls, combinations = roll(midi, mode=mode), drums_processor(midi, mode=mode)
    weights = 2 ** torch.arange(9)
    assert torch.equal((rolls["labels"] * weights).sum(dim=-1), combinations["labels"])
    assert torch.equal(rolls["input_values"], combinations["input_values"])
    assert rolls.windows == combinations.windows


def test_examples_are_sets_of_bits_and_features_take_both_forms(full_roll):
    pitches = [pitch for (pitch,) in DRUM_MAPS["full"].values()]
    notes = NoteSequence.from_pretty_midi(hits((pitches[60], 0), (pitches[0], 0), (pitches[59], 4)))
    examples = full_roll.extract(notes).examples
    assert examples.dtype == np.uint64
    assert examples[0, 0] == 2**60 + 1
    assert examples[0, 16] == 2**59
    features = full_roll.features(examples)
    assert features["labels"].shape == (1, 32, 61)
    again = full_roll.features(features["labels"])
    assert all(torch.equal(again[name], features[name]) for name in features)


def test_the_full_map_keeps_every_pitch_and_the_nine_classes_join_them(roll, full_roll):
    midi = hits((40, 0), (37, 1), (38, 4))
    assert [note.pitch for note in full_roll.decode(full_roll(midi)["labels"][0]).instruments[0].notes] == [40, 37, 38]
    assert [note.pitch for note in roll.decode(roll(midi)["labels"][0]).instruments[0].notes] == [38, 38, 38]


def test_pitches_without_a_class_are_named(roll):
    features = roll(hits((36, 0), (36, 4), (110, 1), (3, 2)))
    assert str(features.rejections[0]) == "'Drums': drum pitches of no class were left out (3, 110)"
    with pytest.raises(NoExamplesError, match=r"drum pitches of no class were left out \(3, 110\)"):
        roll(hits((110, 1), (3, 2)))
    with pytest.raises(NoExamplesError, match="not a drum track; this model reads drums"):
        roll(make_midi(scale(8)))


def test_every_map_gives_a_pitch_one_class():
    for name, classes in DRUM_MAPS.items():
        pitches = [pitch for group in classes.values() for pitch in group]
        assert len(pitches) == len(set(pitches)), name
        assert set(pitches) <= set(range(128)), name
    assert [len(DRUM_MAPS[name]) for name in ("nine", "roland", "full", "magenta_js")] == [9, 9, 61, 9]


def test_a_map_is_saved_as_its_pitches(tmp_path):
    processor = MusicVAEProcessor("drum_roll", drum_classes="roland")
    processor.save_pretrained(tmp_path)
    loaded = MusicVAEProcessor.from_pretrained(tmp_path)
    assert loaded.drum_classes == [list(pitches) for pitches in DRUM_MAPS["roland"].values()]
    assert (loaded.num_labels, loaded.input_size) == (9, 10)


@pytest.mark.parametrize(
    ("representation", "drum_classes"),
    [
        ("drum_roll", "eleven"),
        ("drum_roll", [[36], []]),
        ("drum_roll", [[pitch] for pitch in range(65)]),
        ("drums", "full"),
        ("trio", "full"),
    ],
)
def test_maps_that_cannot_be_are_refused(representation, drum_classes):
    with pytest.raises(ValueError, match="drum_classes"):
        MusicVAEProcessor(representation, drum_classes=drum_classes)


@pytest.mark.parametrize(
    "sequences",
    [
        torch.full((1, 32, 9), 2),
        torch.full((1, 32, 9), -1),
        torch.zeros(1, 32, 9),
        torch.zeros(1, 32, 8, dtype=torch.int64),
        torch.zeros(1, 0, 9, dtype=torch.int64),
    ],
)
def test_other_sequences_are_refused(roll, sequences):
    with pytest.raises(ValueError, match="Sequences"):
        roll.features(sequences)
    with pytest.raises(ValueError, match="Sequences"):
        roll.decode(sequences)


@settings(deadline=None, max_examples=40)
@given(
    played=st.lists(st.integers(0, 2**61 - 1), min_size=32, max_size=32),
    tempo=st.sampled_from([60.0, 133.0]),
    mode=st.sampled_from(["musical", "original"]),
)
def test_rolls_survive_the_round_trip(full_roll, played, tempo, mode):
    for step in (0, 12, 24):
        played[step] = played[step] or 1
    labels = full_roll.features(np.array([played], dtype=np.uint64))["labels"]
    midi = full_roll.decode(labels, tempo=tempo)[0]
    assert torch.equal(full_roll(midi, mode=mode)["labels"], labels)

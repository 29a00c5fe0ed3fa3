"""The five attributes on melodies whose values are known, and vectors that do what they say."""

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor, bundled
from hub_models.music_vae import (
    ATTRIBUTES,
    MULTITRACK_ATTRIBUTES,
    compute_attribute_vectors,
    load_attribute_vectors,
    measure,
    save_attribute_vectors,
)

from .conftest import SMALL
from .measures import wait, write_measure, write_notes, write_scale


def melody(onsets: dict[int, int]) -> np.ndarray:
    """Two bars with MIDI pitches at the given sixteenths."""
    events = np.zeros((1, 32), dtype=np.int64)
    for step, pitch in onsets.items():
        events[0, step] = pitch - 21 + 2
    return events


def value(name: str, onsets: dict[int, int]) -> float:
    return measure(melody(onsets))[name].item()


def test_c_diatonic_is_the_share_of_white_keys():
    assert value("c_diatonic", {0: 60, 4: 62, 8: 64, 12: 65}) == 1.0
    assert value("c_diatonic", {0: 60, 4: 61, 8: 63, 12: 66}) == 0.25


def test_note_density_is_the_share_of_steps_with_an_onset():
    assert value("note_density", dict.fromkeys(range(0, 32, 4), 60)) == 0.25


def test_average_interval_is_in_semitones():
    assert value("average_interval", {0: 60, 4: 62, 8: 55}) == pytest.approx((2 + 7) / 2)
    assert value("average_interval", {0: 60}) == 0.0


def test_syncopation_counts_onsets_held_over_the_next_beat():
    on_the_beat = dict.fromkeys(range(0, 32, 4), 60)
    assert value("syncopation_8th", on_the_beat) == value("syncopation_16th", on_the_beat) == 0.0
    assert value("syncopation_8th", {2: 60, 6: 60, 8: 60, 16: 60}) == 0.25  # step 2 is held over 4; 6 is followed by 8
    assert value("syncopation_16th", {1: 60, 3: 60, 4: 60, 16: 60}) == 0.25  # step 1 is held over 2; 3 is followed by 4


VIOLIN, KIT = write_scale(40, [60, 67, 64, 72]), write_notes(128, [36, 42])
BANDS = {
    "strings and drums": write_measure(VIOLIN, write_notes(48, [50, 55]), KIT),
    "half strings": write_measure(VIOLIN, write_notes(0, [60])),
    "drums alone": write_measure(KIT),
    "silence": write_measure(),
    "loud, then soft": write_measure([360, 359, 60, wait(48), 188, 352, 62, wait(48), 190]),
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("pitch_range", [(12 + 5) / 2, 6, 0, 0, 2]),
        ("num_tracks", [3, 2, 1, 0, 1]),
        ("strings", [1, 0.5, 0, 0, 0]),
        ("note_density", [8, 5, 2, 0, 2]),
        ("loudness", [7, 7, 7, 0, 4.5]),
    ],
)
def test_attributes_of_bands(name, values):
    measures = measure(np.stack(list(BANDS.values())), representation="multitrack")
    assert tuple(measures) == MULTITRACK_ATTRIBUTES
    assert measures[name].tolist() == values
    with pytest.raises(ValueError, match="Attributes are those of melodies and multitrack bars; the sequences are of trio"):
        measure(np.zeros((1, 256, 3)), representation="trio")


def test_vectors_of_a_band_are_computed_with_its_chords_and_the_lengths_of_its_tracks():
    processor = MusicVAEProcessor.from_preset("hier-multiperf_vel_1bar_med_chords")
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig.from_preset("hier-multiperf_vel_1bar_med_chords", **SMALL)).eval()
    bars = np.stack([write_measure(*[write_scale(track, [60 + track] * 4)] * (1 + track % 8)) for track in range(16)])
    chords = np.where(bars >= 0, 1 + np.arange(16)[:, None], -1)
    examples = np.stack([bars, chords], axis=-1)
    vectors = compute_attribute_vectors(model, processor, examples, batch_size=6)
    assert set(vectors) == set(MULTITRACK_ATTRIBUTES)
    features = processor.features(examples)
    latents = model.encode(*(features[name] for name in ("input_values", "lengths", "controls"))).mean
    most, least = latents[[6, 7, 14, 15]].mean(0), latents[[0, 1, 8, 9]].mean(0)
    torch.testing.assert_close(vectors["num_tracks"], most - least, rtol=1e-3, atol=1e-8)


def test_vectors_are_computed_saved_and_loaded(tmp_path):
    processor = MusicVAEProcessor("melody")
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig(**SMALL)).eval()
    sequences = np.random.default_rng(0).integers(0, 90, size=(40, 32))
    vectors = compute_attribute_vectors(model, processor, sequences)
    assert set(vectors) == set(ATTRIBUTES)
    intervals = measure(sequences)["average_interval"]
    latents = model.encode(processor.features(sequences)["input_values"]).mean
    order = np.argsort(intervals)
    assert (intervals[order[[9, 29]]] < intervals[order[[10, 30]]]).all()  # both quarters are clear
    expected = latents[order[-10:]].mean(0) - latents[order[:10]].mean(0)
    torch.testing.assert_close(vectors["average_interval"], expected)
    save_attribute_vectors(vectors, tmp_path)
    loaded = load_attribute_vectors(tmp_path)
    assert all(torch.equal(loaded[name], vectors[name]) for name in ATTRIBUTES)
    with pytest.raises(ValueError, match="Attributes are those of melodies"):
        compute_attribute_vectors(model, MusicVAEProcessor("drums"), sequences)
    with pytest.raises(FileNotFoundError, match="no attribute vectors"):
        load_attribute_vectors(tmp_path / "..")


def test_a_repository_without_vectors_says_so_as_a_folder_does(monkeypatch):
    def download(*arguments, **options):
        assert options == {"revision": "main"}
        raise LocalEntryNotFoundError("no such file")

    monkeypatch.setattr("hub_models.music_vae.attributes.hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match=r"no attribute vectors \(attribute_vectors.safetensors\) in someone/band"):
        load_attribute_vectors("someone/band", revision="main")


def test_which_of_equal_sequences_comes_first_changes_no_vector():
    """Three melodies of 16 have notes; the others are equally dense, and all of them are the quarter with least."""
    processor = MusicVAEProcessor("melody")
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig(**SMALL)).eval()
    rests = np.stack([np.eye(32, dtype=np.int64)[row + 1] for row in range(13)])  # a note off, somewhere
    tunes = np.concatenate([melody(dict.fromkeys(range(0, 32, 4), 60 + row)) for row in range(3)])
    latents = model.encode(processor.features(np.concatenate([tunes, rests]))["input_values"]).mean
    most = (latents[:3].sum(0) + latents[3:].mean(0)) / 4  # the last place of the quarter is everyone's
    for order in (np.arange(16), np.arange(16)[::-1]):
        vectors = compute_attribute_vectors(model, processor, np.concatenate([tunes, rests])[order], batch_size=5)
        torch.testing.assert_close(vectors["note_density"], most - latents[3:].mean(0), rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_bundled_vectors_move_what_they_name(name):
    """More of an attribute vector gives more of the attribute, on average over samples of the bundled model."""
    folder = bundled("music-vae-mel-2bar")
    model = MusicVAEModel.from_pretrained(folder).eval()
    direction = load_attribute_vectors(folder)[name]
    latents = torch.randn(64, model.config.latent_size, generator=torch.Generator().manual_seed(0))
    means = []
    for strength in (-1.0, 0.0, 1.0):
        moved = model.apply_attribute(latents, direction, strength)
        sequences = model.decode(moved, temperature=0.5, generator=torch.Generator().manual_seed(1))
        means.append(measure(sequences)[name].mean())
    assert means[0] < means[1] < means[2]

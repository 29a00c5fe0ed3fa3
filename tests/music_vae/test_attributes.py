"""The five attributes on melodies whose values are known, and vectors that do what they say."""

import numpy as np
import pytest
import torch

from hub_models import MusicVAEModel, MusicVAEProcessor, bundled
from hub_models.music_vae import (
    ATTRIBUTES,
    compute_attribute_vectors,
    load_attribute_vectors,
    measure,
    save_attribute_vectors,
)


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


def test_vectors_are_computed_saved_and_loaded(tmp_path):
    processor = MusicVAEProcessor("melody")
    torch.manual_seed(0)
    from hub_models import MusicVAEConfig

    from .conftest import SMALL

    model = MusicVAEModel(MusicVAEConfig(**SMALL)).eval()
    sequences = np.random.default_rng(0).integers(0, 90, size=(40, 32))
    vectors = compute_attribute_vectors(model, processor, sequences)
    assert set(vectors) == set(ATTRIBUTES)
    density = measure(sequences)["note_density"]
    latents = model.encode(processor.features(sequences)["input_values"]).mean
    order = np.argsort(density, kind="stable")
    expected = latents[order[-10:]].mean(0) - latents[order[:10]].mean(0)
    torch.testing.assert_close(vectors["note_density"], expected)
    save_attribute_vectors(vectors, tmp_path)
    loaded = load_attribute_vectors(tmp_path)
    assert all(torch.equal(loaded[name], vectors[name]) for name in ATTRIBUTES)
    with pytest.raises(ValueError, match="Attributes are those of melodies"):
        compute_attribute_vectors(model, MusicVAEProcessor("drums"), sequences)
    with pytest.raises(FileNotFoundError, match="no attribute vectors"):
        load_attribute_vectors(tmp_path / "..")


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

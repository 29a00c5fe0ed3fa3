"""What the operations do to the music, measured on the bundled model: harmony follows the chords, instruments the style."""

import numpy as np
import pytest
import torch

from hub_models import bundled
from hub_models.music_vae import MULTITRACK_ATTRIBUTES, Band, measure
from hub_models.music_vae.chord_symbols import chord_index, chord_symbol
from hub_models.music_vae.multitrack_measures import chord_tone_share, program_overlaps, valid_measures

NAME = "multitrack-music-vae-1bar-chords"

NUM_BARS = 64
TRIADS = range(1, 25)  # major and minor


@pytest.fixture(scope="module")
def band() -> Band:
    return Band.from_pretrained(bundled(NAME))


@pytest.fixture(scope="module")
def chords() -> np.ndarray:
    return np.random.default_rng(0).choice(TRIADS, NUM_BARS)


@pytest.fixture(scope="module")
def song(band, chords):
    """A style of its own, and a chord, for every bar."""
    return band.sample([[chord_symbol(int(chord))] for chord in chords], temperature=0.5, seed=0)


def test_measures_are_valid_and_have_several_instruments(song):
    assert valid_measures(song.sequences).all()
    assert len(song.silent_bars) <= 2


def test_samples_follow_their_chords(song, chords):
    own = chord_tone_share(song.sequences, chords)
    other = np.stack([chord_tone_share(song.sequences, np.roll(chords, shift)) for shift in (1, 2, 3)])
    assert np.nanmean(own) > np.nanmean(other) + 0.15


def test_new_chords_change_the_harmony_and_keep_the_instruments(band, song):
    changed = band.change_chords(song, [[chord_symbol(int(chord))] for chord in np.roll(TRIADS, 7)])
    chords = np.array([chord_index(symbols[0]) for symbols in changed.chords])
    assert np.nanmean(chord_tone_share(changed.sequences, chords)) > (
        np.nanmean(chord_tone_share(song.sequences, chords)) + 0.15
    )
    kept = program_overlaps(changed.sequences, song.sequences).mean()
    others = program_overlaps(changed.sequences, song.sequences.roll(1, dims=0)).mean()
    assert kept > others + 0.3


def test_one_style_keeps_its_instruments_under_twelve_chords(band):
    roots = [[chord_symbol(1 + root)] for root in range(12)]
    styles = band.random_styles(6, seed=1)
    songs = torch.stack([band.apply_style(style, roots, seed=1).sequences for style in styles])
    same = program_overlaps(songs[:, :-1].flatten(0, 1), songs[:, 1:].flatten(0, 1)).mean()
    other = program_overlaps(songs[:-1].flatten(0, 1), songs[1:].flatten(0, 1)).mean()
    assert same > other + 0.3


def test_a_new_style_changes_the_instruments_and_keeps_the_harmony(band, song, chords):
    restyled = band.restyle(song, band.random_styles(NUM_BARS, seed=2))
    assert program_overlaps(restyled.sequences, song.sequences).mean() < 0.5
    shares = [np.nanmean(chord_tone_share(music.sequences, chords)) for music in (song, restyled)]
    assert abs(shares[0] - shares[1]) < 0.1


def test_a_path_starts_like_one_style_and_ends_like_the_other(band):
    nearer = []
    for seed in range(8):
        ends = band.random_styles(2, seed=100 + seed)
        path = band.arrange("C Am F G", 16, path=ends, seed=seed)
        first, last = (band.apply_style(style, "C Am F G", 16, seed=seed) for style in ends)
        head, tail = slice(0, 4), slice(12, 16)
        nearer.append(
            [
                program_overlaps(path.sequences[part], style.sequences[part]).mean()
                for part, style in ((head, first), (head, last), (tail, last), (tail, first))
            ]
        )
    like_first, unlike_last, like_last, unlike_first = np.mean(nearer, axis=0)
    assert like_first > unlike_last + 0.3
    assert like_last > unlike_first + 0.3


@pytest.mark.parametrize("name", MULTITRACK_ATTRIBUTES)
def test_attribute_vectors_move_what_they_name(band, song, name):
    means = []
    for strength in (-1.0, 0.0, 1.0):
        moved = band.restyle(song, band.move(song.latents, name, strength))
        means.append(measure(moved.sequences, representation="multitrack")[name].mean())
    assert means[0] < means[1] < means[2]

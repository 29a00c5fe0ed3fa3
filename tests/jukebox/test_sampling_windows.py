"""Windows: where they start, what they know and add, and what of the level above they hear."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hub_models.jukebox.sampling_windows import (
    Choice,
    Window,
    conditioning_codes,
    level_windows,
    sample_window,
    window_generator,
    window_starts,
)

from .small_models import QuickPrior, quick_model, small_config


def test_windows_move_by_the_hop_and_the_last_one_ends_with_the_last_code():
    assert window_starts(100, 64, 32) == [0, 32, 36]
    assert window_starts(96, 64, 32) == [0, 32]
    assert window_starts(64, 64, 8) == [0]


def test_first_window_is_new_and_the_others_add_what_is_missing():
    assert level_windows(100, 64, 32, known=0) == [Window(0, 0, 64), Window(32, 32, 96), Window(36, 60, 100)]


def test_windows_that_are_known_are_left_out():
    assert level_windows(100, 64, 32, known=70) == [Window(32, 38, 96), Window(36, 60, 100)]
    assert level_windows(100, 64, 32, known=100) == []


def test_music_shorter_than_a_window_adds_all_of_its_length_to_what_is_known():
    assert level_windows(24, 64, 8, known=0) == [Window(0, 0, 24)]
    assert level_windows(24, 64, 8, known=10) == [Window(0, 10, 34)]
    assert level_windows(24, 64, 8, known=39) == [Window(0, 39, 63)]
    assert level_windows(24, 64, 8, known=50) == [Window(10, 40, 74)]


@given(st.integers(1, 400), st.integers(1, 64), st.floats(0.01, 1.0), st.integers(0, 400))
def test_windows_fill_a_level_without_gaps(total, n_ctx, fraction, known):
    length = known
    for window in level_windows(total, n_ctx, max(1, int(fraction * n_ctx)), known):
        assert 0 <= window.start <= length == window.start + window.known
        assert 0 < window.new <= n_ctx
        assert window.end - window.start <= n_ctx
        length = window.end
    assert length == (known + total if total < n_ctx else max(known, total))


def test_a_level_that_goes_on_after_any_window_has_the_windows_that_were_left():
    windows = level_windows(300, 64, 8, known=20)
    for number, window in enumerate(windows):
        assert level_windows(300, 64, 8, known=window.end) == windows[number + 1 :]


def test_an_upsampler_hears_the_codes_above_its_window():
    prior = QuickPrior(small_config().prior_configs[1])
    above = torch.arange(60)[None]
    assert conditioning_codes(prior, above, 8).tolist() == [list(range(4, 20))]
    with pytest.raises(ValueError, match="Level 1 needs 68 codes of the level above it here; there are 60"):
        conditioning_codes(prior, above, 104)
    with pytest.raises(ValueError, match="multiples of 2"):
        conditioning_codes(prior, above, 7)
    assert conditioning_codes(QuickPrior(small_config().prior_configs[0]), None, 7) is None


def test_a_window_adds_to_the_codes_that_are_there_and_counts_only_what_is_new():
    prior, counts = quick_model().priors[0], []
    codes = torch.arange(20).repeat(2, 1)
    labels = [torch.tensor([0, 0, 0, 1, 1])] * 2
    generators = [window_generator(0, 0, 0, sample, "cpu") for sample in range(2)]
    found = sample_window(
        prior, Window(8, 12, 40), codes, None, labels, 700, 16, Choice(0.5, 3, 0.0, 5), generators, counts.append
    )
    assert found.shape == (2, 40)
    assert torch.equal(found[:, :20], codes)
    (call,) = prior.calls
    assert call["music_tokens"].tolist() == codes[:, 8:].tolist()
    assert (call["temp"], call["top_k"], call["top_p"], call["chunk_size"], call["sample_tokens"]) == (0.5, 3, 0.0, 5, 32)
    assert call["metadata"][0].tolist() == [700, 16 + 8 * 16, 32 * 16, 1, 1]
    assert counts == [8, 16, 20]


def test_labels_are_asked_for_where_the_prior_hears_them():
    codes = torch.zeros(1, 0, dtype=torch.long)
    generators = [window_generator(0, 0, 0, 0, "cpu")]
    with pytest.raises(ValueError, match="labels are needed"):
        sample_window(quick_model().priors[0], Window(0, 0, 32), codes, None, None, 700, 0, Choice(), generators)
    silent = quick_model(labels=False).priors[0]
    sample_window(silent, Window(0, 0, 32), codes, None, None, 700, 0, Choice(), generators)
    assert silent.calls[0]["metadata"] is None


def test_every_sample_of_every_window_has_draws_of_its_own():
    numbers = {
        (seed, level, window, sample): torch.rand(1, generator=window_generator(seed, level, window, sample, "cpu")).item()
        for seed in (0, 1, 2**63 - 1)
        for level in range(2)
        for window in range(3)
        for sample in range(3)
    }
    assert len(set(numbers.values())) == len(numbers)
    again = torch.rand(1, generator=window_generator(1, 1, 2, 0, "cpu")).item()
    assert again == numbers[1, 1, 2, 0]

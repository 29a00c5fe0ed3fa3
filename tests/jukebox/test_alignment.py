"""When lyrics are sung: attention of windows put together, and times of words."""

import pytest
import torch

from hub_models.jukebox.alignment import check_alignment, lyric_alignment, timed_words
from hub_models.jukebox.lyrics import read_lyrics

from .small_models import small_config, small_tokenizer

CONFIG = small_config().prior_configs[0]
TOKENS, READ = CONFIG.n_ctx, CONFIG.nb_relevant_lyric_tokens
LYRICS = "one two three four"
LENGTH = 96 * CONFIG.hop_length


class Listener:
    """Stands for a prior: its attention to a token is the number of the window, counted from 1 in order of calls."""

    config = CONFIG

    def __init__(self):
        self.windows = []

    def lyric_attention(self, codes, above, metadata):
        self.windows.append((codes, metadata))
        return torch.full((1, TOKENS, READ), float(len(self.windows)))


def row(lyrics: str = LYRICS) -> torch.Tensor:
    return small_tokenizer()("flute", "folk", lyrics)["input_ids"][0][0]


def align(length: int, labels, hop: int = 16, prior=None):
    prior = prior or Listener()
    codes = torch.arange(length)[None].expand(len(labels), -1) % 32
    return lyric_alignment(prior, codes, labels, LENGTH, 0, hop)


def test_each_code_has_the_attention_to_the_lyrics_around_it():
    (found,) = align(96, [row()])
    assert found.shape == (96, len(LYRICS))
    first, last = (found[position].nonzero().flatten().tolist() for position in (0, -1))
    assert first == list(range(READ))
    assert last == list(range(len(LYRICS) - READ, len(LYRICS)))


def test_where_windows_overlap_the_earlier_one_holds():
    prior = Listener()
    (found,) = align(64, [row()], prior=prior)
    starts = [int(codes[0, 0]) for codes, _ in prior.windows]
    assert starts == [0, 16, 0]  # of codes 32, 16 and 0 modulo 32: from the last window to the first
    owners = found.max(1).values.long().tolist()
    assert owners == [3] * 32 + [2] * 16 + [1] * 16


def test_lyrics_shorter_than_what_is_read_are_all_read():
    (found,) = align(32, [row("la la")])
    assert found.shape == (32, 5)
    assert (found == 1).all()


def test_music_shorter_than_a_window_is_filled_up_and_cut_again():
    prior = Listener()
    (found,) = align(20, [row()], prior=prior)
    ((codes, _),) = prior.windows
    assert codes.shape == (1, TOKENS)
    assert not codes[0, 20:].any()
    assert found.shape == (20, len(LYRICS))


def test_samples_have_lyrics_of_their_own():
    found = align(32, [row("la la"), row()])
    assert [part.shape for part in found] == [(32, 5), (32, len(LYRICS))]


def test_windows_know_when_they_are():
    prior = Listener()
    align(64, [row()], prior=prior)
    offsets = [int(metadata[0, 1]) // CONFIG.hop_length for _, metadata in prior.windows]
    assert offsets == [32, 16, 0]


def test_words_are_timed_in_seconds_of_the_codes():
    words = read_lyrics(LYRICS).words
    alignment = torch.zeros(40, len(LYRICS))
    for number, word in enumerate(words):
        alignment[10 * number : 10 * number + 10, word.start : word.end] = 1 / (word.end - word.start)
    seconds = CONFIG.hop_length / CONFIG.sampling_rate
    timed = timed_words(alignment, words, CONFIG, start_seconds=5.0)
    assert [word.word for word in timed] == LYRICS.split()
    for number, word in enumerate(timed):
        assert word.start_seconds == pytest.approx(5 + 10 * number * seconds)
        assert word.end_seconds == pytest.approx(5 + 10 * (number + 1) * seconds)
        assert word.confidence == pytest.approx(1)


def test_a_model_that_hears_no_lyrics_cannot_align_them():
    with pytest.raises(ValueError, match="this model hears none"):
        check_alignment(small_config(lyrics=False).prior_configs[0])

"""Lyrics to characters of a vocabulary, words, and words in time."""

# ruff: noqa: RUF001
# Lyrics with characters that look like others.

import sys
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.dynamic_module_utils import get_imports

import hub_models.jukebox.transliteration as transliteration
from hub_models.jukebox.lyrics import LYRIC_CHARACTERS, LyricsError, alignment_words, read_lyrics
from hub_models.jukebox.transliteration import TransliterationError, as_latin, transliterations


@pytest.fixture
def without_unidecode(monkeypatch):
    monkeypatch.setitem(sys.modules, "unidecode", None)


class TestLyrics:
    @pytest.mark.parametrize(
        ("text", "clean"),
        [
            ("Don’t stop — believin’ … “yeah”", "Don't stop -- believin' ... \"yeah\""),
            (
                "Céline, Über straße, æon, Œuvre, øre, Łódź, İstanbul ı",
                "Celine, Uber strasse, aeon, OEuvre, ore, Lodz, Istanbul i",
            ),
            (r"a\nb \ c", "a\nnb \n c"),
            ("tab\there\r\nnext", "tab\there\nnext"),
            ("1 + 1 = 2 {5} a_b", "1 + 1  2 5 ab"),
            ("ﬁne Ｆｕｌｌ\u3000width\u00a0\u200bx\u00ady", "fine Full width  xy"),
            ("♪ la 🎵 ½", " la   12 "),
        ],
    )
    def test_lyrics_are_written_as_in_the_original(self, text, clean, without_unidecode):
        assert read_lyrics(text).clean == clean

    def test_the_plus_sign_is_a_character_of_v2_only(self):
        assert read_lyrics("a+b", LYRIC_CHARACTERS["v2"]).clean == "a+b"
        assert read_lyrics("a+b", LYRIC_CHARACTERS["v3"]).clean == "ab"
        assert (len(LYRIC_CHARACTERS["v2"]), len(LYRIC_CHARACTERS["v3"])) == (79, 78)

    def test_latin_letters_are_written_as_unidecode_1_1_1_writes_them(self):
        unidecode = pytest.importorskip("unidecode").unidecode
        if (installed := version("Unidecode")) != "1.1.1":
            pytest.skip(f"Unidecode {installed} is installed, not 1.1.1: pip install '.[test]'")
        latin = {
            chr(code): as_latin(chr(code)) for code in (*range(0x3400), *range(0xFB00, 0x10000), *range(0x1F300, 0x1FB00))
        }
        latin = {character: plain for character, plain in latin.items() if plain is not None}
        assert len(latin) > 2500
        assert {character: plain for character, plain in latin.items() if plain != unidecode(character)} == {}

    def test_other_scripts_are_written_by_unidecode(self):
        pytest.importorskip("unidecode")
        assert read_lyrics("Привет мир Δέλτα 世界").clean == "Privet mir Delta Shi Jie "

    def test_without_unidecode_other_scripts_are_an_error_that_names_it(self, without_unidecode):
        with pytest.raises(TransliterationError, match=r"not Latin: Д а\. .*pip install .Unidecode") as error:
            read_lyrics("Да")
        assert isinstance(error.value, ValueError)

    def test_halves_of_characters_are_dropped(self, without_unidecode):
        assert transliterations({"\ud800"}) == {"\ud800": ""}

    def test_remote_code_does_not_require_unidecode(self):
        assert set(get_imports(transliteration.__file__)) == {"unicodedata"}

    def test_what_is_dropped_is_counted(self):
        assert read_lyrics("a_b_c & d 🎵").reports == (
            "4 of 8 characters of the lyrics are not in the vocabulary and were dropped: _ & 🎵.",
        )

    def test_accents_directions_and_line_ends_are_not_called_dropped(self):
        assert read_lyrics("e\u0301 \u200e\r\n\u00adx").reports == ()

    def test_letters_of_other_scripts_are_reported(self):
        pytest.importorskip("unidecode")
        assert read_lyrics("Привет, мир").reports == ("Lyrics are written in Latin letters: 'Privet, mir'.",)

    def test_characters_that_nobody_knows_are_reported(self):
        unidecode = pytest.importorskip("unidecode").unidecode
        if unidecode("≠") != "[?]":
            pytest.skip("this version of Unidecode drops what it does not know")
        assert read_lyrics("a ≠ b").reports == ("1 of 3 characters of the lyrics are unknown and read as [?]: ≠.",)

    def test_that_nothing_remains_is_reported(self):
        assert read_lyrics("🎵 {} 🎵").reports[-1] == "Nothing remains of the lyrics."
        assert read_lyrics("").reports == read_lyrics(" \n").reports == ()

    def test_lyrics_have_a_limit(self):
        assert len(read_lyrics("a" * 100_000).clean) == 100_000
        with pytest.raises(LyricsError, match="at most 100,000 characters; these have 100,001"):
            read_lyrics("a" * 100_001)

    def test_lyrics_are_text(self):
        with pytest.raises(TypeError, match="Lyrics are text, not list"):
            read_lyrics(["la", "la"])

    @settings(deadline=None, max_examples=60)
    @given(st.text(st.sampled_from(LYRIC_CHARACTERS["v2"]), max_size=200))
    def test_text_in_the_vocabulary_is_read_as_it_is(self, text):
        lyrics = read_lyrics(text)
        assert lyrics.clean == text
        assert lyrics.reports == ()

    @settings(deadline=None, max_examples=60)
    @given(st.text(st.characters(max_codepoint=0x17F), max_size=100))
    def test_each_character_is_read_on_its_own(self, text):
        assert read_lyrics(text).clean == "".join(read_lyrics(character).clean for character in text)


class TestWords:
    def test_words_know_their_tokens_and_their_text(self):
        lyrics = read_lyrics("“Øre,  don’t!”\n& go")
        assert [(word.text, lyrics.clean[word.start : word.end]) for word in lyrics.words] == [
            ("“Øre,", '"Ore,'),
            ("don’t!”", "don't!\""),
            ("go", "go"),
        ]
        assert all(lyrics.text[word.text_start : word.text_end] == word.text for word in lyrics.words)

    def test_a_backslash_parts_words(self):
        assert [word.text for word in read_lyrics(r"one\two").words] == ["one", "two"]

    def test_chinese_characters_are_words(self):
        pytest.importorskip("unidecode")
        assert [word.text for word in read_lyrics("你好").words] == ["你", "好"]

    @settings(deadline=None, max_examples=60)
    @given(st.text(st.characters(max_codepoint=0x17F), max_size=100))
    def test_words_are_all_that_is_no_space(self, text):
        lyrics = read_lyrics(text)
        assert "".join(lyrics.clean[word.start : word.end] for word in lyrics.words) == "".join(lyrics.clean.split())


class TestAlignment:
    SECONDS_PER_ROW = 0.005

    def sung(self, lyrics, times, seconds=4.0, noise=0.01, seed=0) -> np.ndarray:
        """An alignment in which each character of a word is sung for an equal part of its (start, end)."""
        alignment = np.random.default_rng(seed).uniform(0, noise, (round(seconds / self.SECONDS_PER_ROW), len(lyrics.clean)))
        for word, (start, end) in zip(lyrics.words, times, strict=True):
            edges = np.linspace(start, end, word.end - word.start + 1) / self.SECONDS_PER_ROW
            for number, (first, last) in enumerate(pairwise(edges)):
                alignment[round(first) : round(last), word.start + number] += 0.7
        return alignment

    def test_words_are_found_where_they_are_sung(self):
        lyrics = read_lyrics("one two, three\nfour")
        times = [(0.5, 0.9), (1.0, 1.3), (1.3, 2.2), (3.0, 3.5)]
        words = alignment_words(self.sung(lyrics, times), lyrics.words, self.SECONDS_PER_ROW)
        assert [word.word for word in words] == ["one", "two,", "three", "four"]
        np.testing.assert_allclose([word[1:3] for word in words], times, atol=0.03)
        assert all(0.6 < word.confidence < 0.8 for word in words)

    def test_a_word_that_comes_again_is_found_again(self):
        lyrics = read_lyrics("na na na")
        times = [(0.2, 0.4), (1.0, 1.4), (2.0, 2.4)]
        alignment = self.sung(lyrics, times)
        alignment[:, : lyrics.words[0].end] += (
            alignment[:, lyrics.words[2].start :] * 0.4
        )  # the model mixes them up a little
        words = alignment_words(alignment, lyrics.words, self.SECONDS_PER_ROW)
        np.testing.assert_allclose([word[1:3] for word in words], times, atol=0.03)

    def test_words_that_are_not_sung_have_no_duration(self):
        lyrics = read_lyrics("one two three")
        alignment = self.sung(lyrics, [(0.5, 1.0), (1.0, 1.0), (1.0, 2.0)], noise=0.0)
        one, two, three = alignment_words(alignment, lyrics.words, self.SECONDS_PER_ROW)
        assert two == ("two", three.start_seconds, three.start_seconds, 0.0)
        assert one.confidence > 0.5 < three.confidence

    def test_an_alignment_of_nothing_times_no_word(self):
        words = alignment_words(np.zeros((100, 7)), read_lyrics("one two").words, self.SECONDS_PER_ROW, start_seconds=2.0)
        assert words == [("one", 2.5, 2.5, 0.0), ("two", 2.5, 2.5, 0.0)]

    def test_times_count_from_the_first_row(self):
        lyrics = read_lyrics("one")
        word = alignment_words(self.sung(lyrics, [(0.5, 1.0)]), lyrics.words, self.SECONDS_PER_ROW, start_seconds=10.0)[0]
        assert (word.start_seconds, word.end_seconds) == pytest.approx((10.5, 11.0), abs=0.03)

    def test_rows_may_be_longer_than_what_is_told_apart(self):
        lyrics = read_lyrics("a b")
        words = alignment_words(np.array([[0.9, 0.0, 0.0], [0.0, 0.0, 0.9]]), lyrics.words, 0.5)
        assert [word[1:3] for word in words] == [(0.0, 0.5), (0.5, 1.0)]

    def test_lyrics_without_words_have_no_times(self):
        assert alignment_words(np.ones((10, 2)), read_lyrics(" \n").words, self.SECONDS_PER_ROW) == []

    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 40), st.integers(0, 2**32 - 1))
    def test_words_follow_each_other(self, num_rows, seed):
        lyrics = read_lyrics("oh my, oh my")
        alignment = np.random.default_rng(seed).dirichlet(np.full(len(lyrics.clean), 0.1), num_rows)
        words = alignment_words(alignment, lyrics.words, self.SECONDS_PER_ROW)
        times = [time for word in words for time in word[1:3]]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= num_rows * self.SECONDS_PER_ROW + 1e-9
        assert all(0 <= word.confidence <= 1 + 1e-6 for word in words)

    @pytest.mark.parametrize(
        ("alignment", "seconds", "message"),
        [
            (np.zeros(7), 0.1, "has shape"),
            (np.zeros((0, 7)), 0.1, "has shape"),
            (np.zeros((5, 6)), 0.1, "The words have 7 lyric tokens, the alignment 6"),
            (np.full((5, 7), np.nan), 0.1, "negative or undefined"),
            (np.full((5, 7), -0.1), 0.1, "negative or undefined"),
            (np.zeros((5, 7)), 0.0, "seconds_per_row must be above 0"),
        ],
    )
    def test_what_is_no_alignment_is_an_error(self, alignment, seconds, message):
        with pytest.raises(ValueError, match=message):
            alignment_words(alignment, read_lyrics("one two").words, seconds)

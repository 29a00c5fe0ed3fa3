"""Artists, genres and lyrics to ids and back; windows of songs."""

# ruff: noqa: RUF001
# Lyrics with characters that look like others.

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hub_models.jukebox.configuration_jukebox import JukeboxPriorConfig
from hub_models.jukebox.labels import (
    LabelError,
    LabelNames,
    lyric_reports,
    lyric_window,
    normalize_name,
    window_lyric_indices,
    window_metadata,
)
from hub_models.jukebox.lyrics import LYRIC_CHARACTERS
from hub_models.jukebox.tokenization_jukebox import JukeboxTokenizer

ID_FILES = {
    "v2_artist_ids.txt": "unknown;0\nvarious;0\n;0\nella_fitzgerald;1\nac_dc;2\nthe_beatles;3\n",
    "v2_genre_ids.txt": "unknown;0\nclassical;1\nblues;2\nhip;3\nhop;4\nrock;5\n",
    "v3_artist_ids.txt": "beat farmers;1\nElla Fitzgerald;2\nthe beatles;3\nbeyoncé;4\nbeat farmers;5\n",
    "v3_genre_ids.txt": "acid rock;1\nhip hop;2\nr&b;3\n",
}


@pytest.fixture
def id_files(tmp_path):
    for name, text in ID_FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def tokenizer(id_files) -> JukeboxTokenizer:
    return JukeboxTokenizer.from_id_files(id_files)


def rows(labels) -> list[list[int]]:
    return [row.tolist()[0] for row in labels["input_ids"]]


def top_config(**overrides) -> JukeboxPriorConfig:
    """Of a prior that hears 8,192 samples and 12 characters at once."""
    numbers = {"n_ctx": 64, "max_nb_genres": 1, "nb_relevant_lyric_tokens": 12, "is_encoder_decoder": False, "blocks": 8}
    return JukeboxPriorConfig(**numbers | overrides)


def upsampler_config(**overrides) -> JukeboxPriorConfig:
    return top_config(**{"level": 1, "max_nb_genres": 5, "nb_relevant_lyric_tokens": 0} | overrides)


class TestNames:
    def test_v2_names_are_small_letters_and_digits(self):
        assert normalize_name("  Guns N' Roses ") == "guns_n_roses"
        assert normalize_name("Céline Dion") == "c_line_dion"
        assert normalize_name("!!!") == ""

    def test_each_level_has_ids_of_its_version(self, tokenizer):
        assert rows(tokenizer("Ella FITZGERALD", "Hip Hop")) == [[0, 0, 0, 2, 2], [0, 0, 0, 1, 3, 4], [0, 0, 0, 1, 3, 4]]

    def test_v3_names_are_compared_as_they_are(self, tokenizer):
        assert rows(tokenizer("Beyoncé", "R&B"))[0] == [0, 0, 0, 4, 3]
        assert rows(tokenizer(" beyoncé", "r b"))[0] == [0, 0, 0, 0, 0]

    def test_of_names_that_come_twice_the_last_counts(self, tokenizer):
        assert tokenizer.artists["v3"].artist_id("Beat Farmers") == 5

    def test_names_that_share_an_id_are_named_together(self, tokenizer):
        assert tokenizer.artists["v2"].name_of(0) == "_unknown_various"

    def test_an_id_without_names_is_an_error(self, tokenizer):
        assert tokenizer.artists["v3"].name_of(0) == "unknown"
        with pytest.raises(LabelError, match="no name with id 77"):
            tokenizer.artists["v3"].name_of(77)

    def test_genres_fill_their_places(self, id_files):
        tokenizer = JukeboxTokenizer.from_id_files(id_files, ["v2", "v2"])
        assert rows(tokenizer("AC/DC", "blues-rock", "Oh")) == [
            [0, 0, 0, 2, 2, 5, -1, -1, -1, 15, 34],
            [0, 0, 0, 2, 2, 5, -1, -1, -1],
        ]

    def test_a_genre_of_too_many_words_is_an_error(self, tokenizer):
        with pytest.raises(LabelError, match="at most 5 words here; 'a b c d e f' has 6"):
            tokenizer("", "a b c d e f")

    def test_a_genre_must_fit_before_the_lyrics_at_the_top(self, id_files):
        tokenizer = JukeboxTokenizer.from_id_files(id_files, ["v2", "v2"], n_genres=1)
        with pytest.raises(LabelError, match="at most 1 words here"):
            tokenizer("", "hip hop")

    @settings(deadline=None, max_examples=60)
    @given(st.text(max_size=30))
    def test_normalised_names_stay_as_they_are(self, name):
        assert normalize_name(normalize_name(name)) == normalize_name(name)


class TestUnknownNames:
    def test_an_unknown_artist_is_reported_with_names_like_it(self, tokenizer):
        labels = tokenizer("Beatles", "hip hop")
        assert [row[3] for row in rows(labels)] == [0, 0, 0]
        assert labels.reports == [
            "Artist 'Beatles' is unknown at level 0; id 0 stands for it. Known names like it: the beatles, beat farmers.",
            "Artist 'Beatles' is unknown at levels 1 and 2; id 0 stands for it. Known names like it: the beatles.",
        ]

    def test_names_offered_are_known(self, tokenizer):
        for names in tokenizer.artists.values():
            assert names.nearest("ela fitzgerald") == ["ella fitzgerald"]
            assert names.artist_id(names.nearest("ela fitzgerald")[0]) > 0

    def test_where_nothing_is_like_it_nothing_is_offered(self, tokenizer):
        assert "Known names" not in tokenizer("xqzj", "").reports[0]

    def test_each_unknown_word_of_a_bag_is_reported(self, tokenizer):
        labels = tokenizer("Ella Fitzgerald", "blues polka")
        assert rows(labels)[1] == [0, 0, 0, 1, 2, 0]
        assert labels.reports == [
            "Genre 'blues polka' is unknown at level 0; id 0 stands for it.",
            "Genre word 'polka' is unknown at levels 1 and 2; id 0 stands for it.",
        ]

    @pytest.mark.parametrize("name", ["", "unknown", "Unknown"])
    def test_who_wants_nobody_in_particular_is_not_told_so(self, tokenizer, name):
        assert tokenizer(name, name).reports == []

    def test_where_all_levels_do_not_know_a_name_none_is_named(self):
        tokenizer = JukeboxTokenizer.from_names(["Ada"], ["waltz"])
        assert tokenizer("Adam", "waltz").reports == [
            "Artist 'Adam' is unknown; id 0 stands for it. Known names like it: ada."
        ]

    def test_reports_are_warnings_too(self, tokenizer, monkeypatch):
        warned = []
        monkeypatch.setattr("hub_models.jukebox.tokenization_jukebox.logger.warning", warned.append)
        reports = tokenizer("Nobody", "").reports
        assert len(reports) == 2
        assert warned == reports


class TestWindows:
    @settings(deadline=None, max_examples=60)
    @given(
        st.integers(0, 500),
        st.integers(0, 100),
        st.integers(1, 10**7),
        st.integers(0, 10**7),
        st.integers(1, 10**6),
        st.booleans(),
    )
    def test_windows_lie_within_the_lyrics(self, num_tokens, length, total, offset, duration, single_precision):
        window = lyric_window(num_tokens, length, total, offset % total, duration, single_precision)
        assert len(window) == length
        heard = window[window >= 0]
        assert len(heard) == min(num_tokens, length)
        assert (np.diff(heard) == 1).all()
        assert (heard < num_tokens).all()
        assert (window[: length - len(heard)] == -1).all()

    def test_the_middle_of_a_window_of_music_is_that_of_its_lyrics(self):
        assert lyric_window(100, 10, 1000, 450, 100).tolist() == list(range(45, 55))

    @pytest.mark.parametrize("offset", [-1, 1000, 2000])
    def test_windows_begin_within_the_song(self, offset):
        with pytest.raises(LabelError, match=f"less than the total length of 1000 samples, got {offset}"):
            lyric_window(100, 10, 1000, offset, 100)


class TestWindowMetadata:
    def test_a_window_has_times_names_and_lyrics(self, tokenizer):
        row = tokenizer("Beyoncé", "hip hop", "It is a long and winding road")["input_ids"][0]
        config = top_config()
        metadata = window_metadata(row, config, 16, 100_000, 40_000)
        assert metadata.dtype == torch.long
        assert metadata[0, :5].tolist() == [100_000, 40_000 + 16 * 128, 64 * 128, 4, 2]
        indices = window_lyric_indices(row, config, 16, 100_000, 40_000)
        assert tokenizer.decode(metadata[0, 5:]) == "It is a long and winding road"[indices[0, 0] : indices[0, -1] + 1]
        assert tokenizer.describe(metadata)["artist"] == "beyoncé"

    def test_short_lyrics_stand_at_the_end(self, tokenizer):
        row = tokenizer("", "", "la")["input_ids"][0]
        assert window_metadata(row, top_config(), 0, 100_000, 0)[0, 5:].tolist() == [0] * 10 + [38, 27]
        assert window_lyric_indices(row, top_config(), 0, 100_000, 0)[0].tolist() == [-1] * 10 + [0, 1]

    def test_songs_may_differ_in_lyrics_and_times(self, tokenizer):
        songs = [tokenizer("Beyoncé", "", "la la la")["input_ids"][0], tokenizer("", "hip hop", "")["input_ids"][0]]
        metadata = window_metadata(songs, top_config(), 0, torch.tensor([50_000, 60_000]), [0, 7])
        assert metadata.shape == (2, 17)
        assert metadata[:, :5].tolist() == [[50_000, 0, 8192, 4, 0], [60_000, 7, 8192, 0, 2]]
        assert torch.equal(metadata[:1], window_metadata(songs[0], top_config(), 0, 50_000, 0))

    def test_upsamplers_hear_all_words_of_a_genre(self, tokenizer):
        row = tokenizer("AC/DC", "hip hop", "la")["input_ids"][1]
        assert window_metadata(row, upsampler_config(), 0, 9000, 0)[0, 3:].tolist() == [2, 3, 4, -1, -1, -1]

    def test_more_genres_than_a_prior_hears_are_an_error(self, tokenizer):
        row = tokenizer("AC/DC", "hip hop", "la")["input_ids"][1]
        with pytest.raises(LabelError, match=r"at most 1 genres \(max_nb_genres\), got 2"):
            window_metadata(row, upsampler_config(max_nb_genres=1), 0, 9000, 0)

    def test_a_top_prior_without_lyrics_passes_over_them(self, tokenizer):
        row = tokenizer("Beyoncé", "hip hop", "la")["input_ids"][0]
        assert window_metadata(row, top_config(nb_relevant_lyric_tokens=0), 0, 9000, 0)[0, 3:].tolist() == [4, 2]

    def test_rows_with_other_places_for_genres_are_an_error(self, id_files):
        row = JukeboxTokenizer.from_id_files(id_files, ["v2"])("", "rock", "la")["input_ids"][0]
        with pytest.raises(LabelError, match="n_genres must be the same"):
            window_metadata(row, top_config(), 0, 9000, 0)

    def test_a_window_behind_the_song_is_an_error(self, tokenizer):
        row = tokenizer("", "", "la")["input_ids"][0]
        with pytest.raises(LabelError, match="less than the total length of 9000 samples, got 9128"):
            window_metadata(row, top_config(), 1, 9000, 9000)

    @pytest.mark.parametrize(
        ("labels", "times", "message"),
        [
            ([], 9000, "got none"),
            (torch.zeros(1, 20), 9000, "whole numbers of shape"),
            (torch.zeros(3, dtype=torch.long), 9000, "before the genres"),
            (torch.zeros(2, 20, dtype=torch.long), [9000, 9000, 9000], "one for each of 2 songs"),
            (torch.zeros(1, 20, dtype=torch.long), 9000.5, "whole number of samples"),
        ],
    )
    def test_what_is_no_row_of_labels_is_an_error(self, labels, times, message):
        with pytest.raises(LabelError, match=message):
            window_metadata(labels, top_config(), 0, times, 0)


class TestLyricReports:
    def test_lyrics_that_a_song_can_sing_need_no_report(self):
        assert lyric_reports(120, top_config(), 81_920) == []
        assert lyric_reports(12, top_config(), 4000) == []

    def test_lyrics_that_are_too_long_for_a_song_are_reported(self):
        config = top_config(sampling_rate=8192)
        assert lyric_reports(240, config, 81_920) == [
            "The lyrics are too long for the song: 24 of their 240 characters belong to the 1.0 seconds that the model "
            "hears at once, and it reads 12 there. They need a song of 20 seconds; this one has 10."
        ]
        assert lyric_reports(240, config, 20 * 8192) == []

    def test_a_model_that_sings_no_lyrics_says_so(self):
        config = top_config(nb_relevant_lyric_tokens=0)
        assert lyric_reports(5, config, 81_920) == ["This model sings no lyrics; they are not used."]
        assert lyric_reports(0, config, 81_920) == []


class TestOwnNames:
    def test_names_are_numbered_in_order(self):
        tokenizer = JukeboxTokenizer.from_names(["Piano Trio", "Brass"], ["waltz", "hip hop"])
        assert rows(tokenizer("brass", "Hip Hop", "la")) == [[0, 0, 0, 2, 2, 38, 27], [0, 0, 0, 2, 2], [0, 0, 0, 2, 2]]
        assert tokenizer.metadata_dims() == [3, 3]
        assert tokenizer.describe([0, 0, 0, 1, 0, 38]) == {"artist": "piano trio", "genre": "unknown", "lyrics": "l"}

    def test_v2_genres_are_bags_of_words(self):
        tokenizer = JukeboxTokenizer.from_names(["Piano Trio"], ["hip", "hop"], version="v2", n_levels=1)
        assert rows(tokenizer("piano-trio", "hip hop")) == [[0, 0, 0, 1, 1, 2, -1, -1, -1]]

    @pytest.mark.parametrize(
        ("artists", "genres", "version", "message"),
        [
            (["a", "A"], [], "v3", "told from an earlier one"),
            (["Unknown"], [], "v3", "told from an earlier one"),
            (["Ä b", "ö-b"], [], "v2", "'ö-b' cannot be told from an earlier one"),
            (["!!!"], [], "v2", "told from an empty name"),
            ([], ["hip hop"], "v2", "single words, got 'hip hop'"),
            (["a.v2"], [], "v3", "must not end with .v2"),
            (["a" * 1001], [], "v3", "at most 1,000 characters"),
            (["a"], [], "v4", "v2 and v3, got 'v4'"),
        ],
    )
    def test_names_that_cannot_be_told_apart_are_errors(self, artists, genres, version, message):
        with pytest.raises(LabelError, match=message):
            JukeboxTokenizer.from_names(artists, genres, version=version)


class TestFiles:
    def test_what_is_saved_is_loaded(self, tokenizer, tmp_path):
        tokenizer.save_pretrained(tmp_path / "saved")
        loaded = JukeboxTokenizer.from_pretrained(tmp_path / "saved")
        for name in ("artists_encoder", "genres_encoder", "lyrics_encoder", "version", "n_genres", "max_n_lyric_tokens"):
            assert getattr(loaded, name) == getattr(tokenizer, name)
        song = ("Beyoncé", "hip hop", "Don’t stop")
        assert rows(loaded(*song)) == rows(tokenizer(*song))
        assert loaded.artists["v2"].name_of(0) == "_unknown_various"

    def test_auto_tokenizer_knows_it(self, tokenizer, tmp_path):
        import hub_models.jukebox  # noqa: F401 - registers it

        tokenizer.save_pretrained(tmp_path / "saved")
        assert isinstance(AutoTokenizer.from_pretrained(tmp_path / "saved"), JukeboxTokenizer)

    def test_folders_of_transformers_4_are_read(self, tmp_path):
        """As transformers 4.57 writes them, with an id for `unk_token` that nothing uses."""
        unknown = {"content": "<|endoftext|>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        files = {
            "artists.json": {"the beatles": 2, "unknown.v2": 0, ".v2": 0, "the_beatles.v2": 7, "beyoncé": 5},
            "genres.json": {"hip hop": 3, "unknown.v2": 0, "hip.v2": 3, "hop.v2": 4},
            "lyrics.json": {character: number for number, character in enumerate(LYRIC_CHARACTERS["v3"], start=1)}
            | {"<unk>": 0},
            "special_tokens_map.json": {"unk_token": unknown},
            "tokenizer_config.json": {
                "added_tokens_decoder": {"0": unknown | {"special": True}, "3": unknown | {"special": True}},
                "clean_up_tokenization_spaces": False,
                "extra_special_tokens": {},
                "max_n_lyric_tokens": 384,
                "n_genres": 1,
                "tokenizer_class": "JukeboxTokenizer",
                "unk_token": "<|endoftext|>",
                "version": ["v3", "v2", "v2"],
            },
        }
        for name, content in files.items():
            (tmp_path / name).write_text(json.dumps(content))
        tokenizer = JukeboxTokenizer.from_pretrained(tmp_path)
        assert rows(tokenizer("The Beatles", "Hip Hop", "Oh")) == [
            [0, 0, 0, 2, 3, 15, 34],
            [0, 0, 0, 7, 3, 4],
            [0, 0, 0, 7, 3, 4],
        ]
        assert (tokenizer.vocab_size, tokenizer.max_n_lyric_tokens, tokenizer.metadata_dims(1)) == (79, 384, [5, 8])

    def test_the_characters_of_v2_are_fixed(self, tmp_path):
        ids = {"x.v2": 1}
        of_v3 = {character: number for number, character in enumerate(LYRIC_CHARACTERS["v3"], start=1)}
        assert JukeboxTokenizer(ids, ids, of_v3, version=["v2"]).vocab_size == 80
        assert JukeboxTokenizer(ids, ids, of_v3, version=["v3"]).vocab_size == 79
        assert JukeboxTokenizer(ids, ids, {"a": 1, "b": 2}, version=["v3"])("", "", "cab")["input_ids"][0][
            0, -2:
        ].tolist() == [1, 2]

    def test_id_files_of_versions_that_no_prior_has_may_be_missing(self, id_files):
        for name in ("v3_artist_ids.txt", "v3_genre_ids.txt"):
            (id_files / name).unlink()
        assert JukeboxTokenizer.from_id_files(id_files, ["v2"]).metadata_dims() == [6, 4]
        with pytest.raises(LabelError, match=r"no file .*v3_artist_ids\.txt"):
            JukeboxTokenizer.from_id_files(id_files)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"unknown;0\n\nno id\n", "line 3: expected name;id, got 'no id'"),
            (b"a;-1\n", "line 1"),
            (b"a;1.5\n", "line 1"),
            (b"a;99999999\n", "from 0 to 1048575"),
            (b"caf\xe9;1\n", "not text in UTF-8"),
        ],
    )
    def test_broken_id_files_are_errors_that_name_the_line(self, id_files, content, message):
        (id_files / "v2_genre_ids.txt").write_bytes(content)
        with pytest.raises(LabelError, match=message):
            JukeboxTokenizer.from_id_files(id_files)

    def test_names_may_have_semicolons_and_files_windows_line_ends(self, tmp_path):
        path = tmp_path / "ids.txt"
        path.write_bytes(b"one; two;3\r\nthree;4\r\n")
        assert LabelNames.from_file(path, "v3").ids == {"one; two": 3, "three": 4}

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("artists.json", "[1, 2]", "must hold names and ids, got a list"),
            ("artists.json", "{", "is not JSON"),
            ("genres.json", '{"rock": "one"}', "whole numbers from 0 to 1048575, got 'one' for 'rock'"),
            ("genres.json", '{"rock": -1}', "got -1 for 'rock'"),
            ("lyrics.json", '{"ab": 1}', "single characters with ids 1, 2, 3"),
            ("lyrics.json", '{"a": 2}', "single characters with ids 1, 2, 3"),
        ],
    )
    def test_broken_vocabularies_are_errors(self, tokenizer, tmp_path, name, content, message):
        tokenizer.save_pretrained(tmp_path / "saved")
        (tmp_path / "saved" / name).write_text(content)
        with pytest.raises(LabelError, match=message):
            JukeboxTokenizer.from_pretrained(tmp_path / "saved")

    def test_a_folder_without_names_is_an_error(self, tokenizer, tmp_path):
        tokenizer.save_pretrained(tmp_path / "saved")
        (tmp_path / "saved" / "artists.json").unlink()
        with pytest.raises(LabelError, match=r"artists_file is missing: .*artists\.json"):
            JukeboxTokenizer.from_pretrained(tmp_path / "saved")


class TestTokenizer:
    @pytest.mark.parametrize(("kind", "expected"), [("pt", torch.Tensor), ("np", np.ndarray), (None, list)])
    def test_rows_come_as_tensors_arrays_or_lists(self, tokenizer, kind, expected):
        row = tokenizer("Beyoncé", "hip hop", "la", return_tensors=kind)["input_ids"][0]
        assert isinstance(row, expected)
        assert np.asarray(row).dtype == np.int64
        assert np.asarray(row).tolist() == [[0, 0, 0, 4, 2, 38, 27]]

    def test_lyrics_come_with_their_words(self, tokenizer):
        assert [word.text for word in tokenizer("", "", "la di da").lyrics.words] == ["la", "di", "da"]

    @settings(deadline=None, max_examples=60)
    @given(st.text(st.sampled_from(LYRIC_CHARACTERS["v3"]), max_size=60))
    def test_lyrics_in_the_vocabulary_come_back(self, text):
        tokenizer = JukeboxTokenizer({}, {}, None)
        row = tokenizer("", "", text, return_tensors=None)["input_ids"][0][0]
        assert tokenizer.decode(row[4 + tokenizer.n_genres :]) == text
        assert tokenizer.describe(row)["lyrics"] == text
        assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) == row[4 + tokenizer.n_genres :]

    def test_decoding_passes_over_padding_and_refuses_unknown_ids(self, tokenizer):
        assert tokenizer.decode([0, 0, 38, 27]) == "la"
        assert tokenizer.decode(torch.tensor([[38, 27], [0, 38]])) == ["la", "l"]
        with pytest.raises(LabelError, match="from 0 to 78, got 79"):
            tokenizer.decode([79])

    def test_ids_are_numbered_like_those_of_the_prior(self, tokenizer):
        assert len(tokenizer) == tokenizer.vocab_size == 79
        assert sorted(tokenizer.get_vocab().values()) == list(range(79))

    def test_rows_are_described_by_level(self, tokenizer):
        labels = tokenizer("AC/DC", "blues rock", "la")["input_ids"]
        assert tokenizer.describe(labels[2], level=2) == {"artist": "ac_dc", "genre": "blues_rock", "lyrics": ""}
        with pytest.raises(LabelError, match="of level 3"):
            tokenizer.describe(labels[2], level=3)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ((None, ""), TypeError, "artist is text, not NoneType"),
            (("", ["rock"]), TypeError, "genre is text, not list"),
            (("", "", 5), TypeError, "Lyrics are text, not int"),
            (("a" * 1001, ""), LabelError, "artist may have at most 1,000 characters; this one has 1,001"),
            (("", "a" * 1001), LabelError, "genre may have at most 1,000"),
            (("", "", "", "tf"), ValueError, "'pt', 'np' or None, got 'tf'"),
        ],
    )
    def test_what_is_no_song_is_an_error(self, tokenizer, arguments, error, message):
        with pytest.raises(error, match=message):
            tokenizer(*arguments)

    @pytest.mark.parametrize(
        ("changes", "message"), [({"version": []}, "got none"), ({"n_genres": 0}, "from 1 to 1024, got 0")]
    )
    def test_numbers_that_no_tokenizer_has_are_errors(self, changes, message):
        with pytest.raises(LabelError, match=message):
            JukeboxTokenizer({}, {}, None, **changes)

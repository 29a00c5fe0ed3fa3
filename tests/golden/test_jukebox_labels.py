"""Labels, lyrics and their windows exactly as the original makes them."""

import functools
import json
import re

import numpy as np
import pytest

from conversion.jukebox_names import prior_config_from
from hub_models.jukebox.configuration_jukebox import JukeboxPriorConfig
from hub_models.jukebox.labels import lyric_window, normalize_name, window_lyric_indices, window_metadata
from hub_models.jukebox.lyrics import read_lyrics
from hub_models.jukebox.tokenization_jukebox import JukeboxTokenizer

from .conftest import golden_folders, parametrize_cases

HOP_LENGTH = 128  # of the top level


def cases_of(kind: str) -> list:
    folders = golden_folders("jukebox")
    return [folder for folder in folders if json.loads((folder / "case.json").read_text()).get("kind") == kind]


LABELS = cases_of("labels")
CHAINS = cases_of("chain")
label_cases = parametrize_cases("folder", LABELS, [folder.name for folder in LABELS])
UPSAMPLERS = [folder for folder in LABELS if "upsampler_labels" in json.loads((folder / "case.json").read_text())]
upsampler_cases = parametrize_cases("folder", UPSAMPLERS, [folder.name for folder in UPSAMPLERS])
chain_cases = parametrize_cases("folder", CHAINS, [folder.name for folder in CHAINS])


@pytest.fixture
def _unidecode():
    pytest.importorskip("unidecode", reason="Unidecode is not installed: pip install '.[test]'")


class LabelCase:
    """A case and a tokenizer whose top level has the case's version, and whose lower levels have v2."""

    def __init__(self, folder):
        self.expected = json.loads((folder / "case.json").read_text())
        self.version = self.expected["version"]
        self.tokenizer = tokenizer_for(folder, self.version)

    def config(self) -> JukeboxPriorConfig:
        labeller = self.expected["labeller"]
        return JukeboxPriorConfig(
            n_ctx=labeller["sample_length"] // HOP_LENGTH,
            nb_relevant_lyric_tokens=labeller["n_tokens"],
            max_nb_genres=labeller["max_genre_words"],
            is_encoder_decoder=False,
        )


def tokenizer_for(folder, version: str) -> JukeboxTokenizer:
    ids = folder.parent / "ids"
    if not ids.is_dir():
        pytest.skip(f"no lists of names in {ids}")
    return read_tokenizer(ids, version)


@functools.cache
def read_tokenizer(ids, version: str) -> JukeboxTokenizer:
    return JukeboxTokenizer.from_id_files(ids, [version, "v2", "v2"])


@pytest.fixture
def case(folder) -> LabelCase:
    return LabelCase(folder)


@label_cases
def test_lists_have_as_many_names_and_ids(case):
    expected, version = case.expected, case.version
    artists, genres = case.tokenizer.artists[version].ids, case.tokenizer.genres[version].ids
    assert (len(artists), len(set(artists.values()))) == (expected["n_artist_names"], expected["n_artist_ids"])
    assert (len(genres), len(set(genres.values()))) == (expected["n_genre_names"], expected["n_genre_ids"])
    assert case.tokenizer.vocab_size == expected["n_vocab"]


@label_cases
def test_artists_have_the_ids_of_the_original(case):
    artists = case.tokenizer.artists[case.version]
    for artist in case.expected["artists"]:
        assert normalize_name(artist["name"]) == artist["norm"]
        assert artists.artist_id(artist["name"]) == artist["id"], artist


@label_cases
def test_genres_have_the_ids_of_the_original(case):
    genres = case.tokenizer.genres[case.version]
    for genre in case.expected["genres"]:
        assert normalize_name(genre["name"]) == genre["norm"]
        assert genres.genre_ids(genre["name"]) == genre["ids"], genre


@label_cases
def test_ids_have_the_names_of_the_original(case):
    artists, genres = case.tokenizer.artists[case.version], case.tokenizer.genres[case.version]
    for number, name in case.expected["artist_of_id"]:
        assert artists.name_of(number) == name
    for number, name in case.expected["genre_of_id"]:
        assert genres.name_of(number) == name
    for numbers, name in case.expected["genre_lookup"]:
        assert genres.genre_of(numbers) == name


@label_cases
@pytest.mark.usefixtures("_unidecode")
def test_lyrics_have_the_tokens_of_the_original(case):
    encoder = case.tokenizer.lyrics_encoder
    for lyrics in case.expected["lyrics"]:
        assert read_lyrics(lyrics["text"], encoder).clean == lyrics["clean"], lyrics["text"]
        row = case.tokenizer("", "", lyrics["text"])["input_ids"][0][0].tolist()
        tokens = row[4 + case.tokenizer.n_genres :]
        assert tokens == lyrics["tokens"], lyrics["text"]
        assert case.tokenizer.decode(tokens) == lyrics["textise"]


@label_cases
def test_windows_of_labels_begin_where_those_of_the_original_begin(case):
    for expected in case.expected["windows_python"]:
        window = lyric_window(
            expected["n_full"],
            expected["n_tokens"],
            expected["total_length"],
            expected["offset"],
            expected["duration"],
            single_precision=False,
        )
        assert len(window) == expected["n_tokens"]
        assert (window[0], window[-1]) == (expected["first_index"], expected["last_index"])
        assert (window == -1).sum() == expected["n_pad"]


@label_cases
def test_windows_of_sampling_are_computed_in_single_precision(case):
    for expected in case.expected["windows_float32_vs_python"]:
        numbers = [expected[name] for name in ("n_full", "n_tokens", "total_length", "offset", "duration")]
        assert lyric_window(*numbers, single_precision=False)[0] == expected["first_index_python"]
        assert lyric_window(*numbers, single_precision=True)[0] == expected["first_index_float32"]


@label_cases
@pytest.mark.usefixtures("_unidecode")
def test_labels_are_those_of_the_original(case):
    tokenizer, config = case.tokenizer, case.config()
    for label in case.expected["labels"]:
        row = tokenizer(label["artist"], label["genre"], label["lyrics"])["input_ids"][0]
        assert row.shape[1] == 4 + config.max_nb_genres + label["n_full_tokens"]
        times = (label["total_length"], label["offset"])
        metadata = window_metadata(row, config, 0, *times, single_precision=False)
        assert list(metadata[0].shape) == case.expected["labeller"]["label_shape"]
        assert metadata[0].tolist() == label["y"]
        assert tokenizer.describe(metadata) == label["describe"]
        for moved in label["get_y"]:
            assert window_metadata(row, config, moved["start_top_token"], *times)[0].tolist() == moved["y"]
            indices = window_lyric_indices(row, config, moved["start_top_token"], *times)[0]
            assert [indices[0].item(), indices[-1].item()] == moved["indices_first_last"]


@upsampler_cases
@pytest.mark.usefixtures("_unidecode")
def test_labels_of_upsamplers_are_those_of_the_original(case):
    for label in case.expected["upsampler_labels"]:
        _, _, sample_length, *_ = label["y"]
        config = JukeboxPriorConfig(
            level=2, n_ctx=sample_length // 8, max_nb_genres=5, nb_relevant_lyric_tokens=0, is_encoder_decoder=False
        )
        row = case.tokenizer(label["artist"], label["genre"], label["lyrics"])["input_ids"][2]
        assert window_metadata(row, config, 0, label["total_length"], label["offset"])[0].tolist() == label["y"]


@chain_cases
def test_every_window_of_a_chain_is_told_the_same(folder):
    case = json.loads((folder / "case.json").read_text())
    arrays = np.load(folder / "io.npz")
    num_levels = len(case["priors"])
    compared = 0
    for name, mode in case["modes"].items():
        for level, prior in enumerate(case["priors"]):
            config = prior_config_from(prior["hps"], case["vqvae"]["hps"])
            version = "v3" if prior["hps"]["labels_v3"] else "v2"
            tokenizer = tokenizer_for(folder, version)
            songs = mode[f"metas_{version}"]
            from_top = num_levels - 1 - level
            rows = []
            for song, info in zip(songs, mode["info"][level], strict=True):
                labels = tokenizer(song["artist"], song["genre"], song["lyrics"])
                rows.append(labels["input_ids"][from_top])
                assert labels.lyrics.clean == info["lyrics"] or from_top > 0
                assert [*map(tokenizer.lyrics_encoder.get, labels.lyrics.clean)] == info["full_tokens"] or from_top > 0
            times = [[song[what] for song in songs] for what in ("total_length", "offset")]
            expected = {(0, False): arrays[f"{name}/y_{level}"]}
            for key in arrays:
                if found := re.fullmatch(rf"{name}/get_y_level{level}_start(\d+)", key):
                    expected[int(found[1]), True] = arrays[key]
            for (start, single_precision), metadata in expected.items():
                ours = window_metadata(rows, config, start, *times, single_precision=single_precision)
                np.testing.assert_array_equal(ours, metadata)
                compared += 1
    assert compared >= num_levels

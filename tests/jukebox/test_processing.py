"""What JukeboxProcessor makes of artists, genres, lyrics and sound."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoProcessor, AutoTokenizer

from hub_models import JukeboxFeatureExtractor, JukeboxProcessor, JukeboxTokenizer
from hub_models.jukebox.configuration_jukebox import JukeboxConfig
from hub_models.jukebox.labels import LabelError, window_metadata

RATE = 8_000
HOP = 32


@pytest.fixture(scope="module")
def processor() -> JukeboxProcessor:
    tokenizer = JukeboxTokenizer.from_names(["flute", "harp"], ["folk", "waltz"], version="v3")
    return JukeboxProcessor(JukeboxFeatureExtractor(sampling_rate=RATE, hop_length=HOP), tokenizer)


def tone(seconds: float = 0.5, rate: int = RATE, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def test_a_song_becomes_a_row_for_each_level_as_the_tokenizer_makes_it(processor):
    features = processor(artist="harp", genre="waltz", lyrics="la la")
    expected = processor.tokenizer("harp", "waltz", "la la")["input_ids"]
    assert len(features["labels"]) == 3
    for found, row in zip(features["labels"], expected, strict=True):
        assert torch.equal(found, row)
    assert features["labels"][0].tolist() == [[0, 0, 0, 2, 2, 38, 27, 76, 38, 27]]
    assert set(features) == {"labels"}
    assert features.reports == []
    assert [word.text for word in features.lyrics[0].words] == ["la", "la"]


def test_what_is_no_list_goes_with_every_song(processor):
    features = processor(artist=["flute", "harp"], genre="folk")
    assert [level.shape for level in features["labels"]] == [(2, 5), (2, 5), (2, 5)]
    assert features["labels"][0][:, 3:].tolist() == [[1, 1], [2, 1]]


def test_songs_with_lyrics_of_different_lengths_keep_their_rows(processor):
    """Padding would change which lyrics belong to a window."""
    features = processor(artist="flute", lyrics=["oh", "oh no no"])
    top, *rest = features["labels"]
    assert [row.shape for row in top] == [(1, 5 + 2), (1, 5 + 8)]
    assert [level.shape for level in rest] == [(2, 5), (2, 5)]
    prior = JukeboxConfig.from_preset("jukebox-tiny").prior_configs[0]
    metadata = window_metadata(top, prior, 0, 10 * prior.sampling_rate, 0)
    assert metadata.shape == (2, 4 + 1 + prior.nb_relevant_lyric_tokens)


def test_no_artist_in_particular_is_not_the_same_as_no_labels(processor):
    assert "labels" in processor(artist="", audio=tone(), sampling_rate=RATE)
    assert set(processor(audio=tone(), sampling_rate=RATE)) == {"raw_audio"}


def test_sound_is_mixed_resampled_and_cut_to_whole_codes(processor):
    stereo = np.stack([tone(rate=2 * RATE), tone(rate=2 * RATE)])[:, : 2 * (100 * HOP + 7)]
    features = processor(artist="flute", audio=stereo, sampling_rate=2 * RATE)
    assert features["raw_audio"].shape == (1, 100 * HOP, 1)
    assert features["raw_audio"].dtype == torch.float32
    middle = slice(10 * HOP, 90 * HOP)
    assert np.abs(features["raw_audio"][0, middle, 0].numpy() - tone()[middle]).max() < 0.01
    text = " ".join(features.reports)
    assert "mixed" in text
    assert f"{2 * RATE} to {RATE} Hz" in text


def test_one_sound_begins_all_songs_and_several_begin_one_each(processor):
    shared = processor(artist=["flute", "harp"], audio=tone(), sampling_rate=RATE)
    assert shared["raw_audio"].shape[0] == 2
    assert torch.equal(shared["raw_audio"][0], shared["raw_audio"][1])
    own = processor(artist="flute", audio=[tone(), tone(frequency=330)], sampling_rate=RATE)
    assert own["labels"][0].shape[0] == own["raw_audio"].shape[0] == 2
    assert not torch.equal(own["raw_audio"][0], own["raw_audio"][1])
    assert processor(audio=tone().tolist(), sampling_rate=RATE)["raw_audio"].shape[0] == 1


def test_reports_say_which_song_they_are_about(processor):
    (report,) = processor(artist="flut", genre="folk").reports
    assert "'flut' is unknown" in report
    assert "flute" in report
    (report,) = processor(artist=["harp", "flut"], genre="folk").reports
    assert report.startswith("Song 2: Artist 'flut'")
    assert processor(artist=["flut", "flut"]).reports == processor(artist="flut").reports


@pytest.mark.parametrize(("return_tensors", "kind"), [("pt", torch.Tensor), ("np", np.ndarray), (None, list)])
def test_tensors_arrays_or_lists(processor, return_tensors, kind):
    features = processor(artist="harp", audio=tone(), sampling_rate=RATE, return_tensors=return_tensors)
    assert isinstance(features["raw_audio"], kind)
    assert all(isinstance(level, kind) for level in features["labels"])
    assert np.asarray(features["labels"][1]).tolist() == [[0, 0, 0, 2, 0]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "Give an artist, a genre, lyrics or audio"),
        ({"artist": []}, ValueError, "Lists must have one length, got artist 0"),
        ({"artist": ["a", "b"], "genre": ["c"]}, ValueError, "Lists must have one length, got artist 2, genre 1"),
        ({"artist": "a", "return_tensors": "tf"}, ValueError, "return_tensors must be 'pt', 'np' or None, got 'tf'"),
        ({"artist": 7}, TypeError, "int"),
        ({"genre": "x" * 2000}, LabelError, "at most"),
        ({"audio": tone()}, ValueError, "sampling rate of the sound is not given"),
        ({"audio": np.zeros(RATE, np.float32), "sampling_rate": RATE}, ValueError, "silent"),
        ({"audio": np.full(RATE, np.nan, np.float32), "sampling_rate": RATE}, ValueError, "not finite"),
        ({"audio": tone()[:5], "sampling_rate": RATE}, ValueError, "at least 32"),
    ],
)
def test_bad_input_is_named(processor, arguments, error, message):
    with pytest.raises(error, match=message):
        processor(**arguments)


def test_saved_and_loaded_it_reads_the_same(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"processor_config.json", "artists.json", "genres.json"}
    arguments = {"artist": ["harp", "nobody"], "genre": "waltz", "lyrics": "Don't stop", "audio": tone(rate=11_025)}
    expected = processor(**arguments, sampling_rate=11_025)
    for loaded in (JukeboxProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is JukeboxProcessor
        found = loaded(**arguments, sampling_rate=11_025)
        assert found.reports == expected.reports
        assert torch.equal(found["raw_audio"], expected["raw_audio"])
        for level, other in zip(found["labels"], expected["labels"], strict=True):
            assert torch.equal(level, other)
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is JukeboxTokenizer
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path)) is JukeboxFeatureExtractor
    assert AutoFeatureExtractor.from_pretrained(tmp_path).hop_length == HOP


def test_the_processor_of_a_model_has_its_rate_channels_and_hop(processor, tmp_path):
    config = JukeboxConfig.from_preset("jukebox-tiny")
    made = JukeboxProcessor.for_model(config, processor.tokenizer)
    assert made.sampling_rate == config.sampling_rate
    assert made.feature_extractor.hop_length == config.prior_configs[0].hop_length
    made.save_pretrained(tmp_path)
    settings = json.loads(Path(tmp_path / "processor_config.json").read_text())["feature_extractor"]
    assert settings["sampling_rate"] == config.sampling_rate

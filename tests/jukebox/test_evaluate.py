"""Evaluation says of models whose behaviour is known what is known of them."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from hub_models.jukebox import evaluate
from hub_models.jukebox.codes import CodedSong
from hub_models.jukebox.estimates import Estimate
from hub_models.jukebox.evaluate_alignment import attention_shares, best_alignment, evaluate_alignment
from hub_models.jukebox.evaluate_labels import LabelSpace, log_mel_statistics
from hub_models.jukebox.evaluate_priors import evaluate_prior
from hub_models.jukebox.labels import window_lyric_indices
from hub_models.jukebox.prior_data import WindowDataset
from hub_models.jukebox.prior_labels import labels_of
from hub_models.jukebox.reconstruction_metrics import level_name, spectral_convergence_db, usage_of
from hub_models.jukebox.song_files import SongFile, Word

from .small_models import CODES, HOPS, RATE, small_config, small_model, small_tokenizer

LYRICS = "la le li lo lu la li le lo la"
SECONDS = 2.0


def coded_song(number, artist, genre="folk", lyrics=LYRICS):
    """A song of two seconds, each word a tenth of it; `number` decides its codes."""
    random = np.random.default_rng(number)
    codes = [random.integers(0, CODES, int(SECONDS * RATE) // hop).astype(np.uint16) for hop in reversed(HOPS)]
    spoken = lyrics.split()
    words = tuple(Word(word, 0.2 * place, 0.2 * place + 0.2) for place, word in enumerate(spoken))
    song = SongFile("", f"song{number}", "validation", artist, genre, lyrics, words=words)
    return CodedSong(song, codes, int(SECONDS * RATE), 0)


SONGS = [coded_song(0, "flute"), coded_song(1, "harp", "waltz", lyrics="lo lu la"), coded_song(2, "harp", lyrics="")]


# Estimates


def test_an_estimate_is_the_mean_with_the_error_that_its_groups_have():
    values = np.random.default_rng(0).normal(size=50)
    alone = Estimate.of(values, np.arange(50))
    assert alone.mean == pytest.approx(values.mean())
    assert alone.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    thrice = Estimate.of(np.repeat(values, 3), np.repeat(np.arange(50), 3))  # saying it thrice tells nothing more
    assert thrice.mean == pytest.approx(alone.mean)
    assert thrice.standard_error == pytest.approx(alone.standard_error)


def test_an_estimate_passes_over_what_is_no_number():
    assert Estimate.of([1.0, np.nan, 3.0], [0, 1, 2]).mean == 2
    assert np.isnan(Estimate.of([1.0, 2.0], [5, 5]).standard_error)
    assert np.isnan(Estimate.of([np.nan], [0]).mean)


# The VQ-VAE


def test_spectral_convergence_is_in_decibels():
    config = small_config().vqvae_config
    audio = torch.randn(2, 3000, 1, generator=torch.Generator().manual_seed(0))
    audio[1] = 0
    half = spectral_convergence_db(audio, audio / 2, config)
    assert half[0].item() == pytest.approx(-6.02, abs=0.01)
    assert half[1].isnan()  # of silence there is nothing to say
    assert spectral_convergence_db(audio, torch.zeros_like(audio), config)[0].item() == pytest.approx(0, abs=1e-4)


def test_usage_says_how_many_codes_are_as_good_as_evenly_used():
    even = usage_of(torch.tensor([3, 3, 3, 3]))
    assert even == {"codes": 4, "used": 4, "entropy_bits": 2, "maximum_entropy_bits": 2, "perplexity": 4}
    assert usage_of(torch.tensor([0, 9, 0, 0]))["perplexity"] == 1
    assert usage_of(torch.tensor([0, 9, 9, 0]))["used"] == 2


def test_three_levels_have_names_and_others_numbers():
    assert [level_name(level, 3) for level in range(3)] == ["bottom", "middle", "top"]
    assert level_name(1, 2) == "level_1"


# Priors


class KnowingPrior:
    """Needs 4 bits per token, 1 more where the artist, 0.5 where lyrics, and 0.25 where the time are not the song's."""

    device = torch.device("cpu")

    def __init__(self, level=0, songs=SONGS):
        self.config = small_config().prior_configs[level]
        self.songs, self.tokenizer = songs, small_tokenizer()

    def __call__(self, music_tokens, music_tokens_conds, metadata, return_attention_of=None):
        assert (music_tokens_conds is not None) == (self.config.level > 0)
        losses = torch.stack([torch.full((32,), self.bits(*pair)) for pair in zip(music_tokens, metadata, strict=True)])
        return SimpleNamespace(token_losses=losses)

    def bits(self, codes, metadata):
        level = 2 - self.config.level
        song, start = next(
            (song, start)
            for song in self.songs
            for start in range(len(song.codes[level]) - 31)
            if np.array_equal(song.codes[level][start : start + 32], codes.numpy())
        )
        row = self.tokenizer(song.song.artist, song.song.genre, song.song.lyrics)["input_ids"][self.config.level]
        expected = WindowDataset([song], labels_of([song.song], self.tokenizer, self.config.level), self.config).metadata(
            0, start // WindowDataset([song], [None], self.config).step, row[0]
        )
        wrong = expected != metadata
        return 4.0 + wrong[3:5].any() * 1.0 + wrong[5:].any() * 0.5 + wrong[1].any() * 0.25


def test_a_prior_is_measured_with_its_labels_and_with_others():
    report = evaluate_prior(KnowingPrior(), SONGS, small_tokenizer(), max_windows=99, batch_size=2, seed=0)
    assert (report["context_tokens"], report["context_seconds"]) == (32, 0.512)
    assert report["num_windows"] * 32 == report["num_tokens"]
    assert report["num_songs"] == 3
    bits = {name: value["mean"] for name, value in report["bits_per_token"].items()}
    assert bits["labels"] == 4
    assert 5 < bits["without_labels"] < 5.5  # one song has no lyrics to lose
    assert bits["other_labels"] == 5
    assert 4 < bits["other_times"] <= 4.25
    sung = report["with_lyrics"]
    assert sung["num_songs"] == 2
    assert {name: value["mean"] for name, value in sung["bits_per_token"].items()} == {
        "labels": 4,
        "without_lyrics": 4.5,
        "other_lyrics": 4.5,
    }
    assert sung["difference_from"]["other_lyrics"] == {"mean": -0.5, "standard_error": 0}
    assert report["difference_from"]["other_labels"] == {"mean": -1, "standard_error": 0}
    assert set(report["artists"]) == {"flute", "harp"}
    assert report["artists"]["flute"]["without_labels"] == 5.5


@pytest.mark.parametrize("level", [1, 2])
def test_an_upsampler_has_neither_lyrics_nor_times(level):
    report = evaluate_prior(KnowingPrior(level), SONGS, small_tokenizer(), max_windows=6, batch_size=4, seed=0)
    assert {name: value["mean"] for name, value in report["bits_per_token"].items()} == {
        "labels": 4,
        "without_labels": 5,
        "other_labels": 5,
    }
    assert "with_lyrics" not in report
    assert report["num_windows"] == 6


def test_what_cannot_be_compared_is_left_out():
    alone = [replace(SONGS[0], song=replace(SONGS[0].song, artist="harp")), *SONGS[1:]]
    report = evaluate_prior(KnowingPrior(songs=alone), alone, small_tokenizer(), 8, 4, 0)
    assert "other_labels" not in report["bits_per_token"]
    silent = [replace(SONGS[2], song=replace(SONGS[2].song, words=()))]
    report = evaluate_prior(KnowingPrior(songs=silent), silent, small_tokenizer(), 8, 4, 0)
    assert "with_lyrics" not in report
    short = [replace(SONGS[0], codes=[row[:10] for row in SONGS[0].codes])]
    assert evaluate_prior(KnowingPrior(), short, small_tokenizer(), 8, 4, 0) is None


# Alignment


class ListeningPrior:
    """Attends to the word that is sung, by the clock; its head 1 does, head 0 attends to the first character."""

    device = torch.device("cpu")

    def __init__(self, offset_seconds=0.0):
        self.config = small_config().prior_configs[0]
        self.tokenizer, self.offset_seconds = small_tokenizer(), offset_seconds

    def lyric_attention(self, music_tokens, music_tokens_conds, metadata):
        return torch.stack([self.attention(row) for row in metadata])

    def attention(self, metadata):
        labels = self.tokenizer("flute", "folk", LYRICS)
        start = int(metadata[1]) // HOPS[0]
        read = window_lyric_indices([labels["input_ids"][0][0]], self.config, start, int(metadata[0]), 0)[0]
        attention = torch.zeros(32, 8)
        for row in range(32):
            seconds = (start + row) * HOPS[0] / RATE - self.offset_seconds
            word = labels.lyrics.words[min(max(int(seconds / 0.2 + 1e-9), 0), 9)]
            attention[row, (read >= word.start) & (read < word.end)] = 1
        return attention

    def __call__(self, music_tokens, music_tokens_conds, metadata, return_attention_of):
        heads = torch.stack([torch.eye(8)[0].expand(32, 8), self.attention(metadata[0])])
        return SimpleNamespace(lyric_attention=heads[None])


def test_words_are_found_when_they_are_sung():
    songs = [SONGS[0], replace(coded_song(5, "harp"), song=SONGS[0].song)]
    report = evaluate_alignment(ListeningPrior(), songs, small_tokenizer(), hop_fraction=0.25, max_songs=9)
    assert (report["num_songs"], report["num_words"]) == (2, 20)
    assert report["mean_error_seconds"] < 0.03
    assert report["share_within"] == 1
    assert report["attention"]["on_the_word"] > 0.9
    assert report["attention"]["chance"] == pytest.approx(2 / 8, abs=0.1)  # two characters of eight
    assert report["chance"]["mean_error_seconds"] == pytest.approx(0, abs=0.01)  # this lyric is even
    late = evaluate_alignment(ListeningPrior(0.4), songs, small_tokenizer(), hop_fraction=0.25, max_songs=1)
    assert late["num_songs"] == 1
    assert 0.2 < late["mean_error_seconds"] < 0.6
    assert "other_sound" not in late


def test_the_head_that_follows_the_words_is_found():
    windows = WindowDataset(
        SONGS[:1],
        labels_of([SONGS[0].song], small_tokenizer(), 0),
        small_config().prior_configs[0],
        augment=False,
    )
    layer, head, share = best_alignment(ListeningPrior(), windows, small_tokenizer())
    assert (layer, head) == (3, 1)
    assert share == attention_shares(ListeningPrior(), windows, small_tokenizer(), 3)[0][1]


def test_songs_without_words_or_with_other_words_give_no_alignment():
    others = [SONGS[2], replace(SONGS[0], song=replace(SONGS[0].song, lyrics="la la"))]
    assert evaluate_alignment(ListeningPrior(), others, small_tokenizer(), 0.5, 9) is None


# Labels


def test_sounds_are_nearer_to_their_own_label_where_labels_sound_different():
    random = np.random.default_rng(0)
    places = {"flute": 0.0, "harp": 10.0, "voice": 20.0}
    labels = [(artist, genre) for artist in places for genre in ("folk", "waltz") for _ in range(4)]
    features = np.array([random.normal(places[artist] + 3 * (genre == "waltz"), 0.3, 6) for artist, genre in labels])
    space = LabelSpace(features, labels)
    assert space.nearer_to_own(features, labels, "artist") == {
        "num_pairs": 48,
        "nearer_to_own": 1.0,
        "standard_error": 0.0,
    }
    assert space.nearer_to_own(features, labels, "genre")["nearer_to_own"] == 1
    others = [("harp" if artist == "flute" else "flute", genre) for artist, genre in labels[:16]]
    assert space.nearer_to_own(features[:16], others, "artist")["nearer_to_own"] < 0.6
    assert space.nearer_to_own(features[:1], [("nobody", "")], "artist") is None


def test_log_mel_statistics_tell_pitch_and_loudness_apart():
    time = torch.arange(4000) / 4000
    low, high = (torch.sin(2 * np.pi * pitch * time)[:, None] for pitch in (200, 1500))
    features = [log_mel_statistics(sound, 4000) for sound in (low, 0.5 * low, high)]
    assert features[0].shape == (128,)
    assert np.abs(features[0] - features[1]).max() < 0.5 < np.abs(features[0] - features[2]).max()


# The command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Songs of a second and a half by two artists, at four times the rate of the small model."""
    folder = tmp_path_factory.mktemp("evaluate")
    rows = []
    for number in range(6):
        random = np.random.default_rng(number)
        pitch = 100 if number % 2 else 300
        sound = 0.3 * np.sin(2 * np.pi * pitch * np.arange(6000) / 4000) + 0.05 * random.normal(size=6000)
        (folder / "songs").mkdir(exist_ok=True)
        soundfile.write(folder / f"songs/{number}.wav", sound, 4000, subtype="PCM_16")
        artist, genre = ("flute", "harp")[number % 2], ("folk", "waltz")[number // 2 % 2]
        words = [{"word": word, "start": 0.15 * place, "end": 0.15 * place + 0.1} for place, word in enumerate(["la", "le"])]
        split = "validation" if number >= 4 else "train"
        row = {"artist": artist, "genre": genre, "lyrics": "la le", "split": split, "words": words}
        rows.append({"file": f"{number}.wav", **row})
    (folder / "songs/songs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = small_model()
    generator = torch.Generator().manual_seed(0)
    model.vqvae.train()(torch.randn(4, 1600, 1, generator=generator), generator=generator)  # fills the codebooks
    model.save_pretrained(folder / "model")
    small_tokenizer().save_pretrained(folder / "model")
    return folder


def command(folder, *more):
    return ["--model", str(folder / "model"), "--data", str(folder / "songs"), "--cache", str(folder / "cache"), *more]


def test_one_json_object_with_all_parts_is_printed(folder, capsys):
    short = ("--chunk-seconds", "1.1", "--max-windows", "4", "--samples-per-artist", "1", "--speed-seconds", "0.2")
    evaluate.main(command(folder, *short, "--output", str(folder / "out/metrics.json")))
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((folder / "out/metrics.json").read_text())
    assert {"vqvae", "priors", "label_check", "alignment", "speed"} < report.keys()
    assert (report["split"], report["num_files"]) == ("validation", 2)
    levels = {"bottom", "middle", "top"}
    assert report["vqvae"]["levels"].keys() == report["priors"].keys() == levels
    for name, level in report["vqvae"]["levels"].items():
        assert level["spectral_convergence_db"] < 20
        assert level["hop_length"] == dict(zip(("top", "middle", "bottom"), HOPS, strict=True))[name]
        assert level["codebook"]["codes"] == CODES
    assert report["priors"]["top"]["bits_per_token"].keys() == {"labels", "without_labels", "other_labels", "other_times"}
    assert report["label_check"]["artist"]["num_pairs"] == 2
    assert report["alignment"]["num_words"] == 4
    assert report["speed"]["tokens_per_second"].keys() == levels


def test_parts_can_be_chosen_and_a_vqvae_be_measured_alone(folder, capsys, tmp_path):
    evaluate.main(command(folder, "--parts", "priors", "--max-windows", "2"))
    assert not {"vqvae", "label_check", "speed"} & json.loads(capsys.readouterr().out).keys()
    small_model().vqvae.save_pretrained(tmp_path)
    arguments = command(folder, "--chunk-seconds", "1.1")
    arguments[1] = str(tmp_path)
    evaluate.main(arguments)
    report = json.loads(capsys.readouterr().out)
    assert "vqvae" in report
    assert "priors" not in report


def test_a_split_that_is_not_there_and_numbers_that_make_no_sense_are_refused(folder, tmp_path, capsys):
    with pytest.raises(ValueError, match="No song is of the split 'test'"):
        evaluate.main(command(folder, "--split", "test"))
    (tmp_path / "song.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"could be read: \{'song\.wav'"):
        evaluate.main(
            [
                *command(folder)[:2],
                "--data",
                str(tmp_path),
                "--cache",
                str(tmp_path),
                "--split",
                "train",
                "--validation-share",
                "0",
            ]
        )
    with pytest.raises(SystemExit):
        evaluate.main(command(folder, "--max-windows", "0"))
    assert "must be at least 1" in capsys.readouterr().err

"""Folders of songs become chunks of sound and windows of codes with labels; what cannot be used is counted and named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_jukebox import ARTISTS, CONTEXT, HOPS, PRIOR, RATE, TOP, VQVAE, row_of, tone, write_song, write_songs

from hub_models.jukebox import codes as codes_module
from hub_models.jukebox import data as data_module
from hub_models.jukebox.codes import encode_recordings, encode_song, vqvae_fingerprint
from hub_models.jukebox.configuration_jukebox import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from hub_models.jukebox.data import ChunkDataset, Chunks, Recording, fingerprint_of, prepare_recordings
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE
from hub_models.jukebox.prior_data import LabelDropout, WindowDataset, collate_windows
from hub_models.jukebox.prior_labels import labels_of, tokenizer_for, with_new_names
from hub_models.jukebox.song_files import LabelsError, SongFile, find_songs
from hub_models.jukebox.train_parts import parse_overrides
from hub_models.training import NoTrainingDataError
from hub_models.training.data_order import ExampleKey


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def recordings(folder, cache):
    return prepare_recordings(find_songs([folder])[0], RATE, cache, progress=False)


@pytest.fixture(scope="module")
def vqvae():
    preset = JukeboxConfig.from_preset("jukebox-tiny").vqvae_config
    config = JukeboxVQVAEConfig(**{**preset.to_dict(), **parse_overrides(VQVAE, preset)})
    torch.manual_seed(0)
    model = JukeboxVQVAE(config)
    generator = torch.Generator().manual_seed(0)
    model.train()(torch.randn(4, 512, 1, generator=generator), generator=generator)  # fills the codebooks
    return model.eval()


@pytest.fixture(scope="module")
def coded(recordings, vqvae, cache):
    return encode_recordings(recordings.songs, vqvae, cache, progress=False)


def recording(samples, **labels):
    return Recording(SongFile("", "song", "train", **labels), np.asarray(samples, np.int16).reshape(len(samples), -1), RATE)


def prior_config(level, overrides, **more):
    preset = JukeboxConfig.from_preset("jukebox-tiny").prior_configs[level]
    codes = {"sampling_rate": RATE, "res_strides_t": [4, 2, 2], "music_vocab_size": 16}
    return JukeboxPriorConfig(**{**preset.to_dict(), **codes, **parse_overrides(overrides, preset), **more})


def windows_of(coded, level=0, **settings):
    config = prior_config(level, TOP if level == 0 else PRIOR)
    songs = [song.song for song in coded]
    tokenizer = tokenizer_for(songs, "v3", 1, config.nb_relevant_lyric_tokens, 3)
    return WindowDataset(coded, labels_of(songs, tokenizer, level), config, **settings), tokenizer


# Labels


def test_labels_are_read_from_jsonl_and_csv_alike(tmp_path, folder):
    from_jsonl, missing = find_songs([folder])
    assert not missing
    assert [song.name for song in from_jsonl] == [f"song{number}.wav" for number in range(8)]
    assert [song.split for song in from_jsonl].count("validation") == 2
    assert {song.artist for song in from_jsonl} == set(ARTISTS)
    assert from_jsonl[1].words[1].text == "le"
    assert from_jsonl[1].words[1].start_seconds == pytest.approx(0.2)
    lines = ["file,artist,genre,split,lyrics,words,offset_seconds,total_seconds"]
    for row in (row_of(number, 8) for number in range(8)):
        words = json.dumps(row["words"]).replace('"', '""')
        lines.append(f'{row["file"]},{row["artist"]},{row["genre"]},{row["split"]},"{row["lyrics"]}","{words}",,')
    table = tmp_path / "other.csv"
    table.write_text("\n".join(lines) + "\n")
    assert find_songs([folder], [table])[0] == from_jsonl


def test_a_folder_without_labels_gives_songs_that_nothing_is_known_of(tmp_path):
    for number in range(30):
        write_song(tmp_path / f"album/{number}.FLAC", tone(number, 0.1))
    songs, _ = find_songs([tmp_path], validation_share=0.3)
    assert len(songs) == 30
    assert {(song.artist, song.genre, song.lyrics) for song in songs} == {("", "", "")}
    assert 0 < [song.split for song in songs].count("validation") < 20


def test_a_table_without_splits_holds_out_songs_by_their_names(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file\n" + "\n".join(f"{number}.wav" for number in range(40)) + "\n")
    for number in range(40):
        write_song(tmp_path / f"{number}.wav", tone(number, 0.05))
    first = {song.name for song in find_songs([tmp_path], validation_share=0.3)[0] if song.split == "validation"}
    assert 0 < len(first) < 30
    table.write_text("file\n" + "\n".join(f"{number}.wav" for number in range(20)) + "\n")
    later = {song.name for song in find_songs([tmp_path], validation_share=0.3)[0] if song.split == "validation"}
    assert later == {name for name in first if int(name[:-4]) < 20}


def test_songs_of_a_table_that_are_not_there_are_named(tmp_path, folder):
    table = tmp_path / "labels.csv"
    table.write_text("file,artist\nsong0.wav,Low Voice\nlost.wav,nobody\n")
    songs, missing = find_songs([folder], [table])
    assert [song.name for song in songs] == ["song0.wav"]
    assert list(missing) == ["lost.wav"]
    table.write_text("file\nlost.wav\n")
    with pytest.raises(NoTrainingDataError, match="not in"):
        find_songs([folder], [table])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"artist": "x"}', "has no 'file'"),
        ('{"file": "a.mid"}', r"must end in one of \.wav"),
        ('{"file": "a.wav"}\n{"file": "a.wav"}', "has a row already"),
        ('{"file": "a.wav", "artist": 3}', "artist must be text"),
        ('{"file": "a.wav", "total_seconds": "long"}', "total_seconds must be a number"),
        ('{"file": "a.wav", "offset_seconds": -1}', "offset_seconds must be a number"),
        ('{"file": "a.wav", "offset_seconds": 5, "total_seconds": 4}', "must be less than total_seconds"),
        ('{"file": "a.wav", "words": [["la", 0, 1]]}', "words must be a list like"),
        ('{"file": "a.wav", "words": [{"word": "la", "start": 2, "end": 1}]}', "must not end before"),
        ("no json", "line 1 is no JSON"),
        ("[1]", "must be an object"),
    ],
)
def test_a_broken_row_is_named(tmp_path, line, message):
    (tmp_path / "labels.jsonl").write_text(line + "\n")
    with pytest.raises(LabelsError, match=message):
        find_songs([tmp_path])


def test_other_tables_are_refused(tmp_path, folder):
    table = tmp_path / "table.csv"
    table.write_text("name\nx\n")
    with pytest.raises(LabelsError, match="must have a column 'file'"):
        find_songs([folder], [table])
    table.write_bytes(b"file\n\xff\xfe.wav\n")
    with pytest.raises(LabelsError, match="UTF-8"):
        find_songs([folder], [table])
    with pytest.raises(NoTrainingDataError, match="no table"):
        find_songs([folder], [tmp_path / "nothing.csv"])
    with pytest.raises(NoTrainingDataError, match="does not exist"):
        find_songs([tmp_path / "nothing"])
    with pytest.raises(ValueError, match="one file per --data folder"):
        find_songs([folder], [table, table])


# Sound


def test_songs_are_decoded_resampled_and_keep_their_channels(tmp_path):
    stereo, plain, fast = tone(1, channels=2), tone(2), tone(3, rate=2 * RATE)
    write_song(tmp_path / "a.flac", stereo)
    write_song(tmp_path / "b.wav", plain)
    write_song(tmp_path / "c.wav", fast, 2 * RATE)
    (tmp_path / "d.wav").write_bytes(b"no sound")
    found = prepare_recordings(find_songs([tmp_path], validation_share=0)[0], RATE, tmp_path / "cache", progress=False)
    assert [one.samples.shape[1] for one in found.songs] == [2, 1, 1]
    assert list(found.rejected) == ["d.wav"]
    np.testing.assert_allclose(found.songs[0].samples / 32767, stereo, atol=2e-4)
    np.testing.assert_allclose(found.songs[1].samples[:, 0] / 32767, plain, atol=2e-4)
    assert np.abs(found.songs[2].samples[:, 0] / 32767 - tone(3)).mean() < 2e-3
    assert found.summary() == {"train_songs": 3, "train_minutes": 0.05, "broken_files": 1}


def test_the_cache_is_used_until_a_file_changes_and_labels_may_change(tmp_path, monkeypatch):
    folder = write_songs(tmp_path / "songs", 4)
    decoded, decode = [], data_module._decode
    monkeypatch.setattr(data_module, "_decode", lambda *arguments: decoded.append(1) or decode(*arguments))

    def prepare():
        return prepare_recordings(find_songs([folder])[0], RATE, tmp_path / "cache", progress=False)

    first = prepare()
    table = folder / "labels.jsonl"
    table.write_text(table.read_text().replace("Low Voice", "nobody"))
    again = prepare()
    assert len(decoded) == 1
    assert {one.song.artist for one in again.songs} == {"nobody", "high voice"}
    assert fingerprint_of(first.songs) == fingerprint_of(again.songs)
    write_song(folder / "song0.wav", tone(99))
    assert fingerprint_of(prepare().songs) != fingerprint_of(first.songs)
    assert len(decoded) == 2


def test_two_channels_become_one_with_the_given_weights_and_one_becomes_two():
    song = recording([[16384, 0], [0, 16384]])
    assert song.audio(0, 2, 1).tolist() == [[0.25], [0.25]]
    assert song.audio(0, 2, 1, left=1.0).tolist() == [[0.5], [0.0]]
    assert recording([8192]).audio(0, 1, 2).tolist() == [[0.25, 0.25]]


def test_a_song_that_is_a_part_of_another_says_where_it_is():
    part = recording(np.zeros(RATE), total_seconds=10.0, offset_seconds=2.5)
    assert (part.total_length, part.offset) == (10 * RATE, 5 * RATE // 2)
    assert recording(np.zeros(RATE)).total_length == RATE
    too_long = recording(np.zeros(2 * RATE), total_seconds=1.0)  # the file is longer than it says
    assert too_long.total_length == 2 * RATE


# Chunks


def test_chunks_move_by_up_to_half_a_chunk_and_stay_within_the_song_of_their_middle():
    lengths = [100, 37, 64]
    starts = np.cumsum([0, *lengths])
    chunks = Chunks(lengths, 20)
    assert len(chunks) == sum(lengths) // 20
    moves = []
    for epoch in range(60):
        for index in range(len(chunks)):
            number, start = chunks[ExampleKey(epoch, index)]
            assert 0 <= start <= lengths[number] - 20
            moves.append(starts[number] + start - index * 20)
            if abs(moves[-1]) > 10:  # moved into a song: the middle was near its edge
                assert start in (0, lengths[number] - 20)
    assert set(range(-10, 10)) <= set(moves)


def test_a_chunk_is_a_pure_function_of_its_key():
    songs = [recording(np.random.default_rng(0).integers(-9999, 9999, (300, 2)))]
    first, second = ChunkDataset(songs, 40), ChunkDataset(songs, 40)
    keys = [ExampleKey(epoch, index) for epoch in range(3) for index in range(len(first))]
    backwards = {key: second[key] for key in reversed(keys)}
    for key in keys:
        assert np.array_equal(first[key], backwards[key])
    for other in (ChunkDataset(songs, 40, seed=1)[keys[0]], first[ExampleKey(1, 0)]):
        assert not np.array_equal(first[keys[0]], other)


def test_validation_chunks_do_not_move_and_are_spread_over_the_songs():
    songs = [recording(np.arange(400)), recording(np.arange(1000, 1030))]
    chunks = ChunkDataset(songs, 40, augment=False, max_chunks=5)
    assert chunks.num_too_short == 1
    first = [round(chunks[ExampleKey(epoch, index)][0, 0] * 32768) for epoch in (0, 7) for index in range(5)]
    assert first == [0, 80, 160, 240, 320] * 2


# Codes


def test_songs_are_encoded_in_segments_as_in_one_piece(recordings, vqvae):
    for one in recordings.songs[:2]:
        length = len(one.samples) // HOPS[-1] * HOPS[-1]
        whole = vqvae.encode(torch.from_numpy(one.audio(0, length, 1))[None])
        parts = encode_song(one, vqvae, segment_seconds=0.2)
        for level, hop in enumerate(HOPS):
            assert len(parts[level]) == length // hop
            assert np.array_equal(parts[level], whole[level][0].numpy())


def test_codes_come_from_the_cache_and_know_the_model_and_the_sound(recordings, coded, vqvae, cache, monkeypatch):
    monkeypatch.setattr(codes_module, "encode_song", lambda *arguments: pytest.fail("encoded again"))
    again = encode_recordings(recordings.songs, vqvae, cache, progress=False)
    for one, other in zip(coded, again, strict=True):
        assert all(isinstance(row, np.memmap) for row in other.codes)
        assert all(np.array_equal(*rows) for rows in zip(one.codes, other.codes, strict=True))
    before = vqvae_fingerprint(vqvae)
    with torch.no_grad():
        changed = JukeboxVQVAE(vqvae.config)
        changed.load_state_dict(vqvae.state_dict())
        changed.decoders[0].out.bias.add_(1)
        assert vqvae_fingerprint(changed) == before  # what decodes has no say in codes
        changed.bottleneck.level_blocks[2].codebook[3, 0] += 0.1
    assert vqvae_fingerprint(changed) != before


def test_encoding_goes_on_where_it_was_stopped(recordings, coded, vqvae, tmp_path, monkeypatch):
    encoded, encode = [], codes_module.encode_song

    def failing(one, model):
        if len(encoded) == 3:
            raise OSError(28, "No space left on device")
        encoded.append(one.song.name)
        return encode(one, model)

    monkeypatch.setattr(codes_module, "encode_song", failing)
    with pytest.raises(OSError, match="No space left"):
        encode_recordings(recordings.songs, vqvae, tmp_path, progress=False)
    monkeypatch.setattr(codes_module, "encode_song", lambda *arguments: encoded.append("more") or encode(*arguments))
    resumed = encode_recordings(recordings.songs, vqvae, tmp_path, progress=False)
    assert len(encoded) == len(recordings.songs)
    for one, other in zip(coded, resumed, strict=True):
        assert all(np.array_equal(*rows) for rows in zip(one.codes, other.codes, strict=True))


def test_processes_share_the_encoding(recordings, coded, vqvae, tmp_path):
    class Process:
        num_processes = 2

        def __init__(self, number):
            self.process_index = number

        def wait_for_everyone(self):
            pass

    second = encode_recordings(recordings.songs, vqvae, tmp_path, Process(1), progress=False)
    done = next(tmp_path.glob("codes-*/done.uint8")).read_bytes()
    assert done == bytes([0, 1] * (len(second) // 2))
    first = encode_recordings(recordings.songs, vqvae, tmp_path, Process(0), progress=False)
    for one, other in zip(coded, first, strict=True):
        assert all(np.array_equal(*rows) for rows in zip(one.codes, other.codes, strict=True))


# Windows


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_window_is_codes_with_those_of_the_level_above_at_the_same_time(coded, level):
    windows, _ = windows_of(coded, level)
    of_level, above = 2 - level, 3 - level
    for index in range(len(windows)):
        example = windows[ExampleKey(3, index)]
        song = coded[int(example["song"])]
        row = song.codes[of_level].astype(np.int64)
        start = int(example["metadata"][1]) // HOPS[of_level]
        assert np.array_equal(example["music_tokens"], row[start : start + CONTEXT])
        if level > 0:
            assert start % 2 == 0
            expected = song.codes[above][start // 2 : start // 2 + CONTEXT // 2]
            assert np.array_equal(example["music_tokens_conds"], expected.astype(np.int64))
        else:
            assert "music_tokens_conds" not in example


def test_metadata_says_times_artist_genre_and_the_lyrics_around_the_window(coded):
    windows, tokenizer = windows_of(coded, augment=False)
    lyrics_seen = set()
    for index in range(len(windows)):
        example = windows[ExampleKey(0, index)]
        song = coded[int(example["song"])]
        metadata = example["metadata"]
        assert int(metadata[0]) == song.total_length
        assert int(metadata[2]) == CONTEXT * HOPS[2]
        read = tokenizer.describe(metadata)
        assert (read["artist"], read["genre"]) == (song.song.artist.lower(), song.song.genre.lower())
        assert read["lyrics"] in song.song.lyrics
        lyrics_seen.add(read["lyrics"])
        assert tokenizer.describe(example["metadata_without_labels"]) == {
            "artist": "unknown",
            "genre": "unknown",
            "lyrics": "",
        }
        assert tokenizer.describe(example["metadata_without_lyrics"]) == {**read, "lyrics": ""}
    assert {"la le li", "li lo"} & lyrics_seen or len(lyrics_seen) > 2  # other windows, other lyrics


def test_a_part_of_a_song_is_placed_within_the_whole(coded):
    part = replace(coded[0], total_length=5 * RATE, offset=2 * RATE)
    windows, _ = windows_of([part], augment=False)
    metadata = windows[ExampleKey(0, 1)]["metadata"]
    assert metadata[:3].tolist() == [5 * RATE, 2 * RATE + CONTEXT * HOPS[2], CONTEXT * HOPS[2]]


def test_labels_drop_out_in_training_as_often_as_asked(coded):
    windows, tokenizer = windows_of(coded, dropout=LabelDropout(all=0.4, lyrics=0.5))
    keys = [ExampleKey(epoch, index) for epoch in range(25) for index in range(len(windows))]
    with_lyrics = [key for key in keys if windows.songs[windows.windows[key][0]].song.lyrics]
    read = [tokenizer.describe(windows[key]["metadata"]) for key in with_lyrics]
    assert np.mean([row["artist"] == "unknown" for row in read]) == pytest.approx(0.4, abs=0.06)
    labelled = [row for row in read if row["artist"] != "unknown"]
    assert np.mean([row["lyrics"] == "" for row in labelled]) == pytest.approx(0.5, abs=0.08)
    assert not any(row["lyrics"] for row in read if row["artist"] == "unknown")
    again, _ = windows_of(coded, dropout=LabelDropout(all=0.4, lyrics=0.5))
    assert all(torch.equal(windows[key]["metadata"], again[key]["metadata"]) for key in keys[:50])


def test_songs_that_are_too_short_or_beyond_the_timing_are_left_out_and_counted(coded):
    short = replace(coded[0], codes=[row[: 16 * 4 // hop] for row, hop in zip(coded[0].codes, HOPS, strict=True)])
    long = replace(coded[1], total_length=11 * RATE)
    windows, _ = windows_of([*coded, short, long])
    assert (windows.num_too_short, windows.num_out_of_range) == (1, 1)
    below, _ = windows_of([*coded, long], level=1)  # upsamplers hear no timing
    assert (below.num_too_short, below.num_out_of_range) == (0, 0)


def test_windows_make_batches(coded):
    windows, _ = windows_of(coded, level=1)
    batch = collate_windows([windows[ExampleKey(0, index)] for index in range(3)])
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "music_tokens": (3, CONTEXT),
        "music_tokens_conds": (3, CONTEXT // 2),
        "metadata": (3, 5),
        "song": (3,),
    }


# Names


def songs_by(*labels):
    return [SongFile("", f"{number}", "train", artist, genre) for number, (artist, genre) in enumerate(labels)]


def test_names_get_ids_in_alphabetical_order_and_unknown_ones_none():
    tokenizer = tokenizer_for(songs_by(("Zoe", "Pop"), ("anna", "folk"), ("", "")), "v3", 1, 0, 3)
    ids = [int(tokenizer(artist, "", "")["input_ids"][0][0, 3]) for artist in ("", "Anna", "ZOE", "nobody")]
    assert ids == [0, 1, 2, 0]
    assert tokenizer.metadata_dims() == [3, 3]


def test_genres_of_version_2_are_bags_of_words():
    tokenizer = tokenizer_for(songs_by(("x", "Hip Hop"), ("x", "pop")), "v2", 5, 0, 3)
    assert tokenizer("x", "hip-pop")["input_ids"][0][0, 4:].tolist() == [1, 3, -1, -1, -1]


def test_new_names_follow_those_that_are_known():
    known = tokenizer_for(songs_by(("b", "pop"), ("d", "folk")), "v3", 1, 8, 3)
    wider = with_new_names(known, songs_by(("a", "pop"), ("b", "rock"), ("c", "")), level=0)
    ids = [int(wider(artist, "", "")["input_ids"][0][0, 3]) for artist in ("b", "d", "a", "c")]
    assert ids == [1, 2, 3, 4]
    assert int(wider("", "rock")["input_ids"][0][0, 4]) == 3
    assert with_new_names(known, songs_by(("b", "folk"), ("", "")), level=0) is known
    assert wider("b", "pop", "la")["input_ids"][0][0, 5:].tolist() == known("b", "pop", "la")["input_ids"][0][0, 5:].tolist()

"""Folders of MIDI become examples; what cannot be read is listed."""

import contextlib
import json
import shutil
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
from tiny_training import write_melody

from hub_models.music_vae import data
from hub_models.music_vae.data import (
    WindowDataset,
    find_midi_files,
    overlap,
    prepare_windows,
    transpose_melodies,
)
from hub_models.music_vae.note_sequence import MidiError, MidiLimits, read_score
from hub_models.music_vae.processing_music_vae import MusicVAEProcessor
from hub_models.training import NoTrainingDataError
from hub_models.training.data_order import ExampleKey

PROCESSOR = MusicVAEProcessor()


def test_the_examples_are_those_of_the_processor(midi_folder, tmp_path):
    files = find_midi_files([midi_folder])
    windows = prepare_windows(files, PROCESSOR, tmp_path, num_proc=2)
    expected = [PROCESSOR(file.path)["labels"].numpy() for file in files]
    assert windows.file_index.tolist() == [i for i, labels in enumerate(expected) for _ in labels]
    assert np.array_equal(windows.ids, np.concatenate(expected))


def test_preparation_in_parallel_gives_the_same_rows(midi_folder, tmp_path):
    many = tmp_path / "many"  # more than one batch of files for each process
    for number in range(4):
        shutil.copytree(midi_folder, many / str(number))
    files = find_midi_files([many])
    one = prepare_windows(files, PROCESSOR, tmp_path / "one", num_proc=1)
    two = prepare_windows(files, PROCESSOR, tmp_path / "two", num_proc=2)
    assert np.array_equal(one.ids, two.ids)
    assert np.array_equal(one.file_index, two.file_index)


def test_the_cache_is_used_until_a_file_the_processor_or_the_code_changes(midi_folder, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    shutil.copytree(midi_folder, folder)
    cache = tmp_path / "cache"
    extracted = []
    extract = data._extract_files
    monkeypatch.setattr(data, "_extract_files", lambda *args: extracted.append(1) or extract(*args))

    def prepare(processor=PROCESSOR):
        return prepare_windows(find_midi_files([folder]), processor, cache, num_proc=1)

    first = prepare()
    again = prepare()
    assert len(extracted) == 1
    assert np.array_equal(first.ids, again.ids)
    prepare(MusicVAEProcessor(mode="original"))
    assert len(extracted) == 2
    write_melody(folder / "a" / "new.mid", 99)
    assert len(prepare().ids) > len(first.ids)
    assert len(extracted) == 3
    monkeypatch.setattr(data, "_code_version", lambda: "other")
    prepare()
    assert len(extracted) == 4


def write_hostile_files(folder):
    """Files that give nothing, by name what is wrong with them."""
    folder.mkdir()
    write_melody(folder / "good.mid", 0)
    whole = (folder / "good.mid").read_bytes()
    (folder / "empty.mid").write_bytes(b"")
    (folder / "text.mid").write_text("no music at all")
    (folder / "truncated.mid").write_bytes(whole[:40])
    (folder / "huge.mid").write_bytes(b"MThd" + bytes(6_000_000))
    rng = np.random.default_rng(0)
    for number in range(20):
        (folder / f"noise{number}.mid").write_bytes(whole[:22] + rng.bytes(300))
    waltz = pretty_midi.PrettyMIDI()
    waltz.time_signature_changes.append(pretty_midi.TimeSignature(3, 4, 0.0))
    waltz.instruments.append(pretty_midi.Instrument(0))
    waltz.instruments[0].notes = [pretty_midi.Note(80, 60 + i, i * 0.5, i * 0.5 + 0.4) for i in range(24)]
    waltz.write(str(folder / "waltz.mid"))
    pretty_midi.PrettyMIDI().write(str(folder / "silent.mid"))
    endless = mido.MidiFile()
    endless.tracks.append(mido.MidiTrack())
    endless.tracks[0].append(mido.Message("note_on", note=60, velocity=80, time=2**28 - 1))
    endless.tracks[0].append(mido.Message("note_off", note=60, velocity=0, time=100))
    endless.save(str(folder / "endless.mid"))
    fast = mido.MidiFile()  # lasts seconds, but has more bars than memory
    fast.tracks.append(mido.MidiTrack())
    fast.tracks[0].append(mido.MetaMessage("set_tempo", tempo=1, time=0))
    for _ in range(8):
        fast.tracks[0].append(mido.Message("note_on", note=60, velocity=80, time=2**28 - 1))
        fast.tracks[0].append(mido.Message("note_off", note=60, velocity=0, time=100))
    fast.save(str(folder / "fast.mid"))


def test_broken_and_hostile_files_are_counted_and_listed_with_their_reasons(tmp_path):
    write_hostile_files(tmp_path / "data")
    files = find_midi_files([tmp_path / "data"])
    windows = prepare_windows(files, PROCESSOR, tmp_path / "cache", num_proc=1)
    listed = {}
    for line in (windows.folder / "rejected.jsonl").read_text().splitlines():
        entry = json.loads(line)
        listed[entry["file"].rpartition("/")[2]] = entry
    assert {"empty.mid", "text.mid", "huge.mid", "endless.mid", "fast.mid"} <= {
        name for name, entry in listed.items() if entry["problem"] == "broken"
    }
    assert "6,000,004 bytes" in listed["huge.mid"]["reasons"][0]
    assert "hours" in listed["endless.mid"]["reasons"][0]
    assert listed["waltz.mid"]["problem"] == "empty"
    assert "3/4" in listed["waltz.mid"]["reasons"][0]
    assert listed["silent.mid"]["problem"] == "empty"
    assert "good.mid" not in listed
    summary = windows.summary
    assert summary["files"] == len(files) == summary["files_with_windows"] + len(listed)
    assert summary["broken_files"] + summary["files_without_windows"] == len(listed)
    assert summary["windows"] == len(windows.ids) > 0


def test_truncated_files_never_end_the_process(midi_folder, tmp_path):
    """symusic reads beyond the end of a file whose last chunk declares more than there is."""
    whole = Path(find_midi_files([midi_folder])[0].path).read_bytes()
    for end in range(15, len(whole), 3):
        (tmp_path / "cut.mid").write_bytes(whole[:end])
        with contextlib.suppress(MidiError):
            read_score(str(tmp_path / "cut.mid"))


def test_limits_are_checked_before_parsing(midi_folder):
    path = find_midi_files([midi_folder])[0].path
    with pytest.raises(MidiError, match="bytes"):
        read_score(path, MidiLimits(max_bytes=10))
    with pytest.raises(MidiError, match="notes"):
        read_score(path, MidiLimits(max_notes=3))


def test_splits_come_from_the_csv(midi_folder, tmp_path):
    csv = tmp_path / "splits.csv"
    csv.write_text("file,split,mood\nb/song0.mid,train,sad\na/song1.mid,validation,gay\na/score.xml,train,none\n")
    files = find_midi_files([midi_folder], [csv])
    assert [(file.name, file.split) for file in files] == [("b/song0.mid", "train"), ("a/song1.mid", "validation")]
    windows = prepare_windows(files, PROCESSOR, tmp_path, num_proc=1)
    labels = PROCESSOR(files[1].path)["labels"].numpy()
    assert np.array_equal(windows.select("validation"), labels)


def test_without_a_csv_files_are_held_out_by_name(midi_folder):
    splits = {file.name: file.split for file in find_midi_files([midi_folder], validation_share=0.4)}
    assert set(splits.values()) == {"train", "validation"}
    assert splits == {file.name: file.split for file in find_midi_files([midi_folder], validation_share=0.4)}


def test_folders_and_csvs_that_give_nothing_are_named(midi_folder, tmp_path):
    with pytest.raises(NoTrainingDataError, match="does not exist"):
        find_midi_files([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoTrainingDataError, match="No MIDI files"):
        find_midi_files([tmp_path / "empty"])
    (tmp_path / "wrong.csv").write_text("file,split\nnone.mid,train\n")
    with pytest.raises(NoTrainingDataError, match=r"none of them is in .*none\.mid"):
        find_midi_files([midi_folder], [tmp_path / "wrong.csv"])
    (tmp_path / "columns.csv").write_text("name,part\nx,y\n")
    with pytest.raises(ValueError, match="columns"):
        find_midi_files([midi_folder], [tmp_path / "columns.csv"])
    with pytest.raises(ValueError, match="one file per --data folder"):
        find_midi_files([midi_folder, midi_folder], [tmp_path / "wrong.csv"])


def test_windows_are_limited_per_file_and_equal_ones_dropped(midi_folder, tmp_path):
    twice = tmp_path / "twice"
    shutil.copytree(midi_folder, twice / "x")
    shutil.copytree(midi_folder, twice / "y")
    windows = prepare_windows(find_midi_files([twice]), PROCESSOR, tmp_path / "cache", num_proc=1)
    everything = windows.select()
    assert len(windows.select(deduplicate=True)) == len(everything) / 2 == len(np.unique(everything, axis=0))
    assert len(windows.select(max_windows_per_file=2)) == 24 * 2
    assert overlap(everything, everything[:0]) == 0.0
    assert overlap(everything, windows.select(deduplicate=True)) == 1.0


def melody(*events):
    return np.array([events])


def test_transposition_moves_notes_only():
    assert transpose_melodies(melody(0, 41, 0, 1, 0, 50), np.array([3]), 88).tolist() == [[0, 44, 0, 1, 0, 53]]
    assert transpose_melodies(melody(0, 41, 0, 1, 0, 50), np.array([-3]), 88).tolist() == [[0, 38, 0, 1, 0, 47]]


@pytest.mark.parametrize(
    ("events", "semitones", "expected"),
    [
        ((41, 88, 0, 43, 0), 5, (46, 1, 0, 48, 0)),  # the note it cut ends there
        ((41, 1, 88, 1, 43), 5, (46, 1, 0, 0, 48)),  # after a rest nothing is left of it, its note off neither
        ((88, 0, 1, 41, 0), 5, (0, 0, 0, 46, 0)),  # the first note
        ((41, 88, 88, 1, 43), 5, (46, 1, 0, 0, 48)),  # two in a row
        ((3, 0, 41, 0, 0), -2, (0, 0, 39, 0, 0)),  # below the lowest pitch
        ((88, 89, 0, 0, 0), 5, (88, 89, 0, 0, 0)),  # nothing would be left: not moved
        ((89, 2, 0, 0, 0), 0, (89, 2, 0, 0, 0)),  # both ends of the range are allowed
    ],
)
def test_notes_that_leave_the_range_are_dropped(events, semitones, expected):
    assert transpose_melodies(melody(*events), np.array([semitones]), 88).tolist() == [list(expected)]


def test_augmentation_depends_on_seed_epoch_and_index_alone(midi_folder, tmp_path):
    ids = prepare_windows(find_midi_files([midi_folder]), PROCESSOR, tmp_path, num_proc=1).ids
    keys = [ExampleKey(epoch, index) for epoch in range(3) for index in range(len(ids))]
    dataset = WindowDataset(ids, 5, seed=1)
    batch = dataset.__getitems__(keys)
    alone = np.stack([WindowDataset(ids, 5, seed=1)[key] for key in reversed(keys)])[::-1]
    assert np.array_equal(batch, alone)
    assert not np.array_equal(batch, WindowDataset(ids, 5, seed=2).__getitems__(keys))
    first, second = batch[: len(ids)], batch[len(ids) : 2 * len(ids)]
    assert not np.array_equal(first, second)
    shifts = (batch.astype(int) - np.tile(ids, (3, 1)))[np.tile(ids, (3, 1)) >= 2]
    assert set(shifts.tolist()) == set(range(-5, 6))
    assert np.array_equal(WindowDataset(ids).__getitems__(keys[: len(ids)]), ids)

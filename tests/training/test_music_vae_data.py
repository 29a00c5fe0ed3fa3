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
    SeededWindowDataset,
    WindowDataset,
    find_midi_files,
    fingerprint_of,
    overlap,
    prepare_windows,
)
from hub_models.music_vae.melodies import transpose_melodies
from hub_models.music_vae.note_sequence import MidiError, MidiLimits, NoteSequence, read_score
from hub_models.music_vae.processing_music_vae import MusicVAEProcessor
from hub_models.music_vae.train import build_collate
from hub_models.training import NoTrainingDataError
from hub_models.training.data_order import ExampleKey

PROCESSOR = MusicVAEProcessor()


def test_the_examples_are_those_of_the_processor(midi_folder, tmp_path):
    files = find_midi_files([midi_folder])
    windows = prepare_windows(files, PROCESSOR, tmp_path, num_proc=2)
    expected = [PROCESSOR(file.path)["labels"].numpy() for file in files]
    assert windows.file_index.tolist() == [i for i, labels in enumerate(expected) for _ in labels]
    assert np.array_equal(windows.examples, np.concatenate(expected))


def test_preparation_in_parallel_gives_the_same_rows(midi_folder, tmp_path):
    many = tmp_path / "many"  # more than one batch of files for each process
    for number in range(4):
        shutil.copytree(midi_folder, many / str(number))
    files = find_midi_files([many])
    one = prepare_windows(files, PROCESSOR, tmp_path / "one", num_proc=1)
    two = prepare_windows(files, PROCESSOR, tmp_path / "two", num_proc=2)
    assert np.array_equal(one.examples, two.examples)
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
    assert np.array_equal(first.examples, again.examples)
    prepare(MusicVAEProcessor(mode="original"))
    assert len(extracted) == 2
    write_melody(folder / "a" / "new.mid", 99)
    assert len(prepare().examples) > len(first.examples)
    assert len(extracted) == 3
    monkeypatch.setattr(data, "_code_version", lambda processor: "other")
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
    assert summary["windows"] == len(windows.examples) > 0


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
    ids = prepare_windows(find_midi_files([midi_folder]), PROCESSOR, tmp_path, num_proc=1).examples
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


def write_band(path: Path, seed: int, bars: int = 8) -> None:
    """A melody, a bass and drums that change from bar to bar."""
    draw = np.random.default_rng(seed)
    midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
    for program, is_drum in ((0, False), (33, False), (0, True)):
        instrument = pretty_midi.Instrument(program, is_drum)
        for beat in range(4 * bars):
            pitch = int(draw.choice([36, 38, 42])) if is_drum else int(draw.integers(40, 70))
            instrument.notes.append(pretty_midi.Note(int(draw.integers(30, 127)), pitch, beat * 0.5, beat * 0.5 + 0.25))
        midi.instruments.append(instrument)
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))


@pytest.fixture(scope="module")
def band_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bands")
    for seed in range(5):
        write_band(folder / f"{seed}.mid", seed)
    return folder


@pytest.mark.parametrize(
    ("arguments", "shape", "dtype"),
    [
        ({"representation": "melody", "num_bars": 4}, (64,), np.uint16),
        ({"representation": "trio", "num_bars": 4}, (64, 3), np.uint16),
        ({"representation": "drum_roll", "drum_classes": "full"}, (32,), np.uint64),
        ({"representation": "groove"}, (32, 27), np.float32),
        ({"representation": "melody", "chords": True}, (32, 2), np.uint16),
    ],
)
def test_examples_of_every_shape_come_back_from_the_cache(band_folder, tmp_path, arguments, shape, dtype):
    processor = MusicVAEProcessor(**arguments)
    files = find_midi_files([band_folder])
    for _ in range(2):
        windows = prepare_windows(files, processor, tmp_path, num_proc=1)
        assert windows.examples.shape[1:] == shape
        assert windows.examples.dtype == dtype
        extracted = [processor.extract(NoteSequence.from_symusic(read_score(file.path))).examples for file in files]
        assert np.array_equal(windows.examples, np.concatenate(extracted).astype(dtype))
    assert len(windows.select(deduplicate=True)) == len(np.unique(windows.examples, axis=0))
    assert overlap(windows.examples, windows.examples[:1]) == pytest.approx(1 / len(windows.examples))
    features = processor.features(WindowDataset(windows.examples).__getitems__([ExampleKey(0, 0), ExampleKey(0, 1)]))
    expected = processor.features(windows.examples[:2])
    assert all(np.array_equal(features[name], expected[name]) for name in expected)


def test_a_file_with_very_many_examples_gives_a_random_choice_of_them(band_folder, tmp_path, monkeypatch):
    processor = MusicVAEProcessor("trio", num_bars=4)
    files = find_midi_files([band_folder])
    everything = prepare_windows(files, processor, tmp_path / "all", num_proc=1)
    assert np.bincount(everything.file_index).tolist() == [5] * 5
    monkeypatch.setattr(data, "BYTES_PER_FILE", 2 * 64 * 3 * 2)
    some = prepare_windows(files, processor, tmp_path / "some", num_proc=1)
    assert np.bincount(some.file_index).tolist() == [2] * 5
    assert overlap(some.examples, everything.examples) == 1.0
    again = prepare_windows(files, processor, tmp_path / "again", num_proc=1)
    assert np.array_equal(some.examples, again.examples)


def test_grooves_are_extracted_once_for_all_corruptions(band_folder, tmp_path):
    files = find_midi_files([band_folder])
    folders = {
        prepare_windows(files, MusicVAEProcessor("groove", **settings), tmp_path, num_proc=1).folder
        for settings in ({}, {"corruptions": ["tap"]}, {"hits_control": True})
    }
    assert len(folders) == 1
    assert prepare_windows(files, MusicVAEProcessor("groove", num_bars=4), tmp_path, num_proc=1).folder not in folders


def trio(melody, bass, drums):
    return np.array([[melody, bass, drums]]).transpose(0, 2, 1)


def test_melody_and_bass_of_a_trio_move_together_and_drums_stay():
    transpose = MusicVAEProcessor("trio").codec.transpose
    moved = transpose(trio((41, 0, 1, 45), (17, 0, 0, 1), (3, 2, 40, 0)), np.array([4]))
    assert moved.tolist() == trio((45, 0, 1, 49), (21, 0, 0, 1), (3, 2, 40, 0)).tolist()


def test_of_a_trio_notes_that_leave_the_range_are_dropped_unless_a_part_would_lose_all():
    transpose = MusicVAEProcessor("trio").codec.transpose
    low_bass = trio((41, 0, 1, 45), (3, 1, 17, 0), (3, 2, 40, 0))
    assert transpose(low_bass, np.array([-2])).tolist() == trio((39, 0, 1, 43), (0, 0, 15, 0), (3, 2, 40, 0)).tolist()
    lost = trio((41, 0, 1, 45), (3, 1, 3, 0), (3, 2, 40, 0))
    assert np.array_equal(transpose(lost, np.array([-2])), lost)
    silent = trio((41, 0, 1, 45), (0, 0, 0, 0), (3, 2, 40, 0))
    assert transpose(silent, np.array([-2])).tolist() == trio((39, 0, 1, 43), (0, 0, 0, 0), (3, 2, 40, 0)).tolist()


def test_transposition_is_that_of_the_representation():
    examples = np.stack([trio((41, 0, 45, 1), (17, 0, 0, 0), (3, 2, 40, 0))[0]] * 50).astype(np.uint16)
    codec = MusicVAEProcessor("trio").codec
    assert codec.transposition == 5
    batch = WindowDataset(examples, 2, codec.transpose, seed=3).__getitems__([ExampleKey(0, i) for i in range(50)])
    shifts = batch[:, 0, 0] - 41
    assert set(shifts.tolist()) == {-2, -1, 0, 1, 2}
    assert np.array_equal(batch[:, 0, 1] - 17, shifts)
    assert np.array_equal(batch[..., 2], examples[..., 2])


def test_seeds_of_examples_depend_on_seed_epoch_and_index_alone():
    dataset = SeededWindowDataset(np.zeros((4, 32, 27), dtype=np.float32), seed=5)
    examples, seeds = dataset.__getitems__([ExampleKey(0, 1), ExampleKey(2, 1), ExampleKey(0, 3)])
    assert examples.shape == (3, 32, 27)
    assert len({tuple(seed) for seed in seeds}) == 3
    assert dataset.__getitems__([ExampleKey(2, 1)])[1] == seeds[1:2]


def test_notes_are_dropped_alike_however_examples_are_batched():
    processor = MusicVAEProcessor("groove", corruptions=["note_dropout"])
    draw = np.random.default_rng(0)
    hits = draw.integers(0, 2, size=(6, 32, 9))
    grooves = np.concatenate([hits, hits * draw.random(hits.shape), hits * 0], axis=-1).astype(np.float32)
    dataset, collate = SeededWindowDataset(grooves, seed=1), build_collate(processor)
    together = collate(dataset.__getitems__([ExampleKey(0, i) for i in range(6)]))["input_values"]
    alone = [collate(dataset.__getitems__([ExampleKey(0, i)]))["input_values"] for i in range(6)]
    assert np.array_equal(together, np.concatenate(alone))
    later = collate(dataset.__getitems__([ExampleKey(1, i) for i in range(6)]))
    assert not np.array_equal(together, later["input_values"])
    assert np.array_equal(later["labels"], grooves)


def test_fingerprints_tell_examples_apart():
    examples = np.arange(12, dtype=np.uint16).reshape(2, 6)
    assert fingerprint_of(examples) == fingerprint_of(examples.copy())
    others = (examples[::-1], examples.reshape(3, 4), examples.astype(np.uint64), examples + np.uint16(1))
    assert len({fingerprint_of(array) for array in (examples, *others)}) == 5

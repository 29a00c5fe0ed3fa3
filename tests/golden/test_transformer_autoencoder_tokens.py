"""Tokens of performances, melodies and chords against the original's: MIDI to ids and ids to notes, exactly."""

import functools
import itertools
import json
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from hub_models.transformer_autoencoder.chord_events import (
    CHORD_VOCAB_SIZE,
    ChordSymbolError,
    decode_chords,
    encode_chord_text,
    encode_chords,
)
from hub_models.transformer_autoencoder.melody_events import (
    MELODY_VOCAB_SIZE,
    encode_melody,
    encode_melody_in_quarters,
    encode_melody_text,
    melody_event_ids,
)
from hub_models.transformer_autoencoder.melody_inference import MelodyInferenceError, infer_melody
from hub_models.transformer_autoencoder.original_examples import (
    augmented,
    conditional_examples,
    encode_unchecked,
    melody_examples,
    noisy_performance,
    notebook_melody,
    through_midi,
    transpositions_within_range,
)
from hub_models.transformer_autoencoder.performance_events import decode_performance, encode_performance, transpose_ids
from hub_models.transformer_autoencoder.performance_notes import PerformanceNotes, PitchRangeError, apply_sustain

from .conftest import GOLDEN, parametrize_cases

TOKENS = GOLDEN / "transformer_autoencoder" / "tokens"
FILES = sorted(TOKENS.rglob("*.mid"))
IDS = [str(path.relative_to(TOKENS).with_suffix("")) for path in FILES]


def found(pattern: str) -> list[Path]:
    return sorted(TOKENS.rglob(pattern))


def rows(notes: PerformanceNotes) -> np.ndarray:
    """(N, 7): start, end, pitch, velocity, instrument, program, is_drum."""
    columns = (notes.start, notes.end, notes.pitch, notes.velocity, notes.instrument, notes.program, notes.is_drum)
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def assert_notes(notes: PerformanceNotes, expected: dict, name: str):
    """The same notes in the same order, to the last bit; and the same length, where it is known."""
    np.testing.assert_array_equal(rows(notes), expected[f"{name}_notes"].reshape(-1, 7))
    if f"{name}_total_time" in expected:
        assert notes.total_seconds == float(expected[f"{name}_total_time"])


def assert_raises_or_equal(make, expected: dict, name: str):
    """The ids, or an error where the original has one."""
    if f"{name}__error" in expected:
        with pytest.raises(ValueError, match=r"."):
            make()
    else:
        np.testing.assert_array_equal(make(), expected[name])


class Case:
    """A MIDI file, what the original makes of it, and what we make of it on the way."""

    def __init__(self, path: Path):
        self.expected = dict(np.load(path.with_suffix(".npz")))
        self.parsed = PerformanceNotes.from_midi(pretty_midi.PrettyMIDI(str(path)))
        self.sustained = apply_sustain(self.parsed.in_range())
        self.written = through_midi(decode_performance(self.expected["ids"]))

    def with_prefix(self, prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): ids for name, ids in self.expected.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def read():
    return functools.cache(Case)


@parametrize_cases("path", FILES, IDS)
def test_notes_pedals_and_tempos_are_read(read, path):
    case = read(path)
    assert_notes(case.parsed, case.expected, "parsed")
    pedals = case.expected["parsed_cc"].reshape(-1, 4)
    pedals = pedals[pedals[:, 1] == 64]
    np.testing.assert_array_equal(np.stack(case.parsed.pedals, axis=1), pedals[:, [0, 2, 3]])
    np.testing.assert_array_equal(np.array(case.parsed.tempos), case.expected["parsed_tempos"])


@parametrize_cases("path", FILES, IDS)
def test_the_pedal_holds_notes(read, path):
    case = read(path)
    assert_notes(case.sustained, case.expected, "sustained")


@parametrize_cases("path", FILES, IDS)
def test_performances_are_encoded(read, path):
    case = read(path)
    np.testing.assert_array_equal(encode_unchecked(case.parsed), case.expected["ids_raw_nosustain"])
    np.testing.assert_array_equal(encode_performance(case.sustained), case.expected["ids"])
    np.testing.assert_array_equal(np.append(case.expected["ids"], 1), case.expected["ids_eos"])


@parametrize_cases("path", FILES, IDS)
def test_performances_are_decoded(read, path):
    case = read(path)
    for ids in (case.expected["ids"], case.expected["ids_eos"]):
        decoded = decode_performance(ids)
        assert_notes(decoded, case.expected, "decoded")
    np.testing.assert_array_equal(encode_performance(decoded), case.expected["ids_reencoded"])
    assert_notes(case.written, case.expected, "midi_roundtrip")


@parametrize_cases("path", FILES, IDS)
def test_melodies_are_inferred_and_encoded(read, path):
    case = read(path)
    for name, music in (("melody", case.sustained), ("cond_melody", case.written)):
        if f"{name}_notes__error" in case.expected:
            with pytest.raises(MelodyInferenceError):
                infer_melody(music)
            continue
        melody = infer_melody(music)
        assert_notes(melody, case.expected, name)
        assert_raises_or_equal(functools.partial(encode_melody, melody), case.expected, f"{name}_ids")
        if name == "melody":
            assert set(melody.instrument.tolist()) <= {int(case.expected["melody_instrument"])}


@parametrize_cases("path", FILES, IDS)
def test_melodies_of_the_notebook(read, path):
    case = read(path)
    assert_raises_or_equal(lambda: encode_melody(notebook_melody(case.parsed)), case.expected, "notebook_melody_ids")
    if "notebook_melody_notes" in case.expected:
        assert_notes(notebook_melody(case.parsed), case.expected, "notebook_melody")
    assert_raises_or_equal(lambda: encode_melody_in_quarters(case.parsed), case.expected, "melody_rel4_ids")


@parametrize_cases("path", FILES, IDS)
def test_noisy_performances(read, path):
    case = read(path)
    if not len(case.written):
        assert "noisy_transpose_range" not in case.expected
        return
    assert transpositions_within_range(case.written) == case.expected["noisy_transpose_range"].tolist()
    melody = infer_melody(case.written)
    for semitones, ids in case.with_prefix("noisy_ids/").items():
        np.testing.assert_array_equal(noisy_performance(case.written, melody, int(semitones)), ids)


@parametrize_cases("path", FILES, IDS)
def test_augmentations(read, path):
    case = read(path)
    melody = infer_melody(case.sustained)
    for name, ids in case.with_prefix("aug_ids/").items():
        stretch, semitones = float(name.split("/")[0]), int(name.split("/")[1])
        np.testing.assert_array_equal(encode_performance(augmented(case.sustained, stretch, semitones)), ids)
        if f"aug_ids/{name.split('/')[0]}/0" in case.expected:
            in_key = case.expected[f"aug_ids/{name.split('/')[0]}/0"]
            np.testing.assert_array_equal(transpose_ids(in_key, semitones), ids)
    for name, ids in case.with_prefix("aug_melody_ids/").items():
        stretch, semitones = float(name.split("/")[0]), int(name.split("/")[1])
        np.testing.assert_array_equal(encode_melody(augmented(melody, stretch, semitones)), ids)
    for stretch, semitones in case.expected.get("aug_failed", np.zeros((0, 2))).reshape(-1, 2).astype(float):
        with pytest.raises(PitchRangeError):
            augmented(case.sustained, stretch, int(semitones))


EDGES = [
    (path, name[: -len("/ids")]) for path in found("decode_edge*.npz") for name in np.load(path) if name.endswith("/ids")
]


@parametrize_cases("case", EDGES, [name for _, name in EDGES])
def test_broken_sequences_are_decoded(case):
    path, name = case
    expected = np.load(path)
    notes = decode_performance(expected[f"{name}/ids"])
    np.testing.assert_array_equal(rows(notes), expected[f"{name}/notes"].reshape(-1, 7))
    assert notes.total_seconds == float(expected[f"{name}/total_time"])


PIPELINES = found("pipeline_*.npz")


@parametrize_cases("path", PIPELINES, [path.stem for path in PIPELINES])
def test_examples_are_those_of_the_originals_pipeline(path):
    expected = dict(np.load(path))
    midi = path.with_name(path.stem.removeprefix("pipeline_") + ".mid")
    notes = apply_sustain(PerformanceNotes.from_midi(pretty_midi.PrettyMIDI(str(midi))).in_range())
    key = str(expected.pop("key"))
    recipes = {
        "cond_perf": lambda **many: conditional_examples(notes, key, **many),
        "cond_melperf": lambda **many: conditional_examples(notes, key, melody=True, **many),
        "cond_melperf_noisy": lambda **many: conditional_examples(notes, key, melody=True, noisy=True, **many),
        "absmel2perf": lambda **many: melody_examples(notes, key, **many),
    }
    names = {name.split("/")[0] for name in expected}
    assert names
    for name in names:
        own = {key.split("/", 1)[1]: ids for key, ids in expected.items() if key.split("/")[0] == name}
        count = 1 + max(int(key.split("/")[0]) for key in own)
        examples = list(itertools.islice(recipes[name](replications=count), count))
        assert len(examples) == count
        for index, example in enumerate(examples):
            assert {f"{index}/{feature}" for feature in example} == {key for key in own if key.startswith(f"{index}/")}
            for feature, ids in example.items():
                np.testing.assert_array_equal(ids, own[f"{index}/{feature}"], err_msg=f"{name}/{index}/{feature}")


TEXTS = [(path, entry) for path in found("melody_text*.json") for entry in json.loads(path.read_text())["strings"]]


@parametrize_cases("case", TEXTS, [entry["text"] or "nothing" for _, entry in TEXTS])
def test_melodies_in_words(case):
    entry = case[1]
    if "error" in entry:
        with pytest.raises(PitchRangeError):
            encode_melody_text(entry["text"])
    else:
        assert encode_melody_text(entry["text"]).tolist() == entry["ids"]


@parametrize_cases("path", found("melody_text*.json"), [path.stem for path in found("melody_text*.json")])
def test_melodies_of_the_notebooks_cells(path):
    expected = json.loads(path.read_text())
    assert expected["vocab_size"] == MELODY_VOCAB_SIZE
    style = expected["notebook_style"]
    assert melody_event_ids(style["events"]).tolist() == style["ids"]


@parametrize_cases("path", found("chords*.json"), [path.stem for path in found("chords*.json")])
def test_chords(path):
    expected = json.loads(path.read_text())
    assert expected["vocab_size"] == CHORD_VOCAB_SIZE
    for entry in expected["strings"]:
        if "error" in entry:
            with pytest.raises(ChordSymbolError):
                encode_chord_text(entry["text"])
        else:
            ids = encode_chord_text(entry["text"])
            assert ids.tolist() == entry["ids"], entry["text"]
            assert encode_chord_text(" ".join(decode_chords(ids))).tolist() == entry["ids"]
    for piece in expected["sequences"]:
        ids = encode_chords(piece["annotations"], piece["total_time"], piece["qpm"], piece["steps_per_quarter"])
        assert ids.tolist() == piece["ids"]

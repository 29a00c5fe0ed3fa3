"""Grooves against the original: extraction, the inputs after every corruption, and notes."""

import json
from pathlib import Path

import numpy as np
import pytest

from hub_models import MusicVAEProcessor
from hub_models.music_vae import NoExamplesError, NoteSequence, read_midi
from hub_models.music_vae.grooves import corrupt

from .conftest import GOLDEN, golden_folders, parametrize_cases


def converter_cases() -> list[Path]:
    folders = [folder for folder in golden_folders("music_vae", "converters") if not folder.name.startswith("_")]
    return [path for folder in folders for path in sorted(folder.glob("groovae_*.npz"))]


def processor_of(path: Path) -> MusicVAEProcessor:
    """Inference uses the nine General MIDI classes, training and evaluation those of the Roland kit."""
    drum_classes = "nine" if path.stem.endswith(".infer") else "roland"
    return MusicVAEProcessor.from_preset(path.stem.removesuffix(".infer"), drum_classes=drum_classes, mode="original")


def notes_of(path: Path) -> NoteSequence:
    folder = path.parent
    return NoteSequence.from_pretty_midi(read_midi(folder / json.loads((folder / "meta.json").read_text())["midi"]))


def dropout_seed(path: Path) -> int | None:
    return json.loads((path.parent / "meta.json").read_text())["configs"][path.name].get("np_random_seed")


CASES = converter_cases()
CASE_IDS = [f"{path.parent.name}-{path.stem}" for path in CASES]


@parametrize_cases("path", CASES, CASE_IDS)
def test_grooves_are_the_originals_bit_by_bit(path):
    expected = np.load(path)
    found = processor_of(path).extract(notes_of(path))
    assert len(found.examples) == len(found.origins) == int(expected["count"])
    if not len(found.examples):
        assert found.rejections
        return
    assert found.examples.dtype == expected["outputs"].dtype == np.float64
    np.testing.assert_array_equal(found.examples, expected["outputs"])


@parametrize_cases("path", CASES, CASE_IDS)
def test_inputs_are_the_originals_bit_by_bit(path):
    expected = np.load(path)
    if int(expected["count"]) == 0:
        assert "inputs" not in expected
        return
    seed = dropout_seed(path)
    random = None if seed is None else np.random.RandomState(seed)
    inputs = corrupt(expected["outputs"], processor_of(path).corruptions, random, one_strength=True)
    np.testing.assert_array_equal(inputs, expected["inputs"])


@parametrize_cases("path", CASES, CASE_IDS)
def test_features_are_the_originals(path):
    expected = np.load(path)
    processor = processor_of(path)
    if int(expected["count"]) == 0:
        with pytest.raises(NoExamplesError):
            processor(notes_of(path))
        return
    features = processor(notes_of(path))
    np.testing.assert_array_equal(features["labels"].numpy(), expected["outputs"].astype(np.float32))
    if "note_dropout" not in processor.corruptions:  # chance, which is compared above
        np.testing.assert_array_equal(features["input_values"].numpy(), expected["inputs"].astype(np.float32))
    np.testing.assert_array_equal(features["lengths"].numpy(), expected["lengths"])
    assert ("controls" in expected) == ("controls" in features)
    if "controls" in expected:
        np.testing.assert_array_equal(features["controls"].numpy(), expected["controls"].astype(np.float32))


@parametrize_cases("path", CASES, CASE_IDS)
def test_notes_of_extracted_windows(path):
    expected = np.load(path)
    if int(expected["count"]) == 0:
        assert "notes" not in expected
        return
    assert_notes(processor_of(path), expected["outputs"], expected)


DECODED = sorted((GOLDEN / "music_vae" / "converters" / "_decode_only").glob("groovae_*.npz"))


@parametrize_cases("path", DECODED, [path.stem for path in DECODED])
def test_notes_of_random_grooves(path):
    expected = np.load(path)
    assert_notes(processor_of(path.with_suffix(".infer.npz")), expected["samples"], expected)


def assert_notes(processor: MusicVAEProcessor, grooves: np.ndarray, expected):
    last = np.cumsum(expected["n_notes"])
    for groove, end, count in zip(grooves, last, expected["n_notes"], strict=True):
        theirs = sorted(map(tuple, expected["notes"][end - count : end, :6]))
        ours = sorted(
            (note.pitch, note.velocity, note.start, note.end, instrument.program, float(instrument.is_drum))
            for instrument in processor.decode(groove).instruments
            for note in instrument.notes
        )
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)

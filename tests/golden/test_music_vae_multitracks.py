"""Multitrack bars against the original's converter: with and without chords, MIDI to tensors and tensors to notes."""

import json
from pathlib import Path

import numpy as np
import pytest

from hub_models import MusicVAEProcessor
from hub_models.music_vae import NoExamplesError, read_midi
from hub_models.music_vae.processing_music_vae import PROCESSOR_PRESETS

from .conftest import GOLDEN, assert_same_notes, golden_folders, parametrize_cases

CONVERTERS = GOLDEN / "music_vae" / "converters"
NAMES = [name for name, arguments in PROCESSOR_PRESETS.items() if arguments["representation"] == "multitrack"]


def converter_cases() -> list[tuple[Path, str]]:
    """(folder of one MIDI file, configuration whose tensors lie there)."""
    folders = [folder for folder in golden_folders("music_vae", "converters") if not folder.name.startswith("_")]
    return [(folder, name) for folder in folders for name in NAMES if (folder / f"{name}.npz").is_file()]


CASES = converter_cases()
IDS = [f"{folder.name}-{name}" for folder, name in CASES]
DECODED = [name for name in NAMES if (CONVERTERS / "_decode_only" / f"{name}.npz").is_file()]


def _processor(name: str) -> MusicVAEProcessor:
    return MusicVAEProcessor.from_preset(name, mode="original")


@parametrize_cases("case", CASES, IDS)
def test_extraction_is_the_originals(case):
    folder, name = case
    expected, processor = np.load(folder / f"{name}.npz"), _processor(name)
    description = json.loads((folder / "meta.json").read_text())
    midi = read_midi(folder / description["midi"])
    chords = description.get("added_chord_annotations") if processor.chords else None
    if int(expected["count"]) == 0:
        with pytest.raises(NoExamplesError):
            processor(midi, chords=chords)
        return
    features = processor(midi, chords=chords)
    assert len(features["labels"]) == int(expected["count"])
    np.testing.assert_array_equal(features["input_values"].numpy().astype(bool), expected["inputs"])
    np.testing.assert_array_equal(features["lengths"].numpy(), expected["lengths"])
    is_token = expected["outputs"].any(axis=-1)
    np.testing.assert_array_equal(features["labels"], np.where(is_token, expected["outputs"].argmax(axis=-1), -1))
    assert ("controls" in expected) == processor.chords
    if processor.chords:
        np.testing.assert_array_equal(features["controls"].numpy().astype(bool), expected["controls"])
    assert not features.reductions


def assert_decoded(name: str, outputs: np.ndarray, expected):
    """Sequences, in which the original pads with zeros, have the notes and the chord symbols that `expected` lists."""
    processor = _processor(name)
    controls = expected["controls"] if processor.chords else [None] * len(outputs)
    ends = np.cumsum(expected["n_notes"])
    written = json.loads(str(expected["from_tensors_json"]))
    sequences = outputs.argmax(axis=-1)
    for sequence, chords, end, count, notes in zip(sequences, controls, ends, expected["n_notes"], written, strict=True):
        midi = processor.decode(sequence, chords=chords)
        assert_same_notes(midi, expected["notes"][end - count : end])
        assert [text.text for text in midi.text_events] == [symbol for _, symbol in notes["chords"]]
        np.testing.assert_allclose(
            [text.time for text in midi.text_events], [when for when, _ in notes["chords"]], atol=1e-9
        )


@parametrize_cases("case", CASES, IDS)
def test_extracted_bars_decode_to_their_notes(case):
    folder, name = case
    expected = np.load(folder / f"{name}.npz")
    if int(expected["count"]):
        assert_decoded(name, expected["outputs"], expected)


@parametrize_cases("name", DECODED, DECODED)
def test_random_sequences_decode_to_their_notes(name):
    expected = np.load(CONVERTERS / "_decode_only" / f"{name}.npz")
    assert_decoded(name, expected["samples"], expected)

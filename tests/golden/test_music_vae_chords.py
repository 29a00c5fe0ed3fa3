"""Melodies with chords against the original's converter: annotated and inferred chords, and chords as text events."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models import MusicVAEProcessor
from hub_models.music_vae import NoExamplesError, read_midi
from hub_models.music_vae.processing_music_vae import PROCESSOR_PRESETS

from .conftest import GOLDEN, assert_same_notes, golden_folders, parametrize_cases

CONVERTERS = GOLDEN / "music_vae" / "converters"
# Multitrack bars have tests of their own.
NAMES = [
    name
    for name, arguments in PROCESSOR_PRESETS.items()
    if arguments.get("chords") and arguments["representation"] == "melody"
]


def converter_cases() -> list[tuple[Path, str]]:
    """(folder of one MIDI file, configuration whose tensors lie there)."""
    folders = [folder for folder in golden_folders("music_vae", "converters") if not folder.name.startswith("_")]
    return [(folder, name) for folder in folders for name in NAMES if (folder / f"{name}.npz").is_file()]


CASES = converter_cases()
IDS = [f"{folder.name}-{name}" for folder, name in CASES]


@parametrize_cases("case", CASES, IDS)
def test_extraction_is_the_originals(case):
    folder, name = case
    expected = np.load(folder / f"{name}.npz")
    description = json.loads((folder / "meta.json").read_text())
    processor = MusicVAEProcessor.from_preset(name, mode="original")
    midi, chords = read_midi(folder / description["midi"]), description.get("added_chord_annotations")
    if int(expected["count"]) == 0:
        with pytest.raises(NoExamplesError):
            processor(midi, chords=chords)
        return
    features = processor(midi, chords=chords)
    ours = Counter(
        tuple(values.numpy().astype(bool).tobytes() for values in example)
        for example in zip(features["input_values"], features["controls"], strict=True)
    )
    theirs = Counter(
        (inputs.tobytes(), controls.tobytes())
        for inputs, controls in zip(expected["inputs"], expected["controls"], strict=True)
    )
    assert ours == theirs
    assert torch.equal(features["labels"], features["input_values"].argmax(dim=-1))
    np.testing.assert_array_equal(np.sort(features["lengths"].numpy()), np.sort(expected["lengths"]))


def assert_decoded(name: str, sequences: np.ndarray, expected):
    """Sequences decoded with their controls have the notes and the chord symbols that `expected` lists."""
    decoded = MusicVAEProcessor.from_preset(name, mode="original").decode(sequences, chords=expected["controls"])
    ends = np.cumsum(expected["n_notes"])
    written = json.loads(str(expected["from_tensors_json"]))
    for midi, end, count, description in zip(decoded, ends, expected["n_notes"], written, strict=True):
        assert_same_notes(midi, expected["notes"][end - count : end])
        assert [(text.time, text.text) for text in midi.text_events] == [tuple(chord) for chord in description["chords"]]


@parametrize_cases("case", CASES, IDS)
def test_extracted_windows_decode_with_their_chords(case):
    folder, name = case
    expected = np.load(folder / f"{name}.npz")
    if int(expected["count"]):
        assert_decoded(name, expected["outputs"].argmax(axis=-1), expected)


DECODED = [name for name in NAMES if (CONVERTERS / "_decode_only" / f"{name}.npz").is_file()]


@parametrize_cases("name", DECODED, DECODED)
def test_random_sequences_decode_with_their_chords(name):
    expected = np.load(CONVERTERS / "_decode_only" / f"{name}.npz")
    assert_decoded(name, expected["samples"].argmax(axis=-1), expected)

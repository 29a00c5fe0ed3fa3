"""MIDI to tensors and tensors to notes against the original's converters: melodies, drums, drum rolls and trios."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models import MusicVAEProcessor
from hub_models.music_vae import NoExamplesError, NoteSequence, read_midi
from hub_models.music_vae.processing_music_vae import PROCESSOR_PRESETS

from .conftest import GOLDEN, assert_same_notes, golden_folders, parametrize_cases

CONVERTERS = GOLDEN / "music_vae" / "converters"
# Grooves, chords and multitrack bars have tests of their own.
NAMES = [
    name
    for name, arguments in PROCESSOR_PRESETS.items()
    if arguments["representation"] not in ("groove", "multitrack") and not arguments.get("chords")
]


def converter_cases() -> list[tuple[Path, str]]:
    """(folder of one MIDI file, configuration whose tensors lie there)."""
    folders = [folder for folder in golden_folders("music_vae", "converters") if not folder.name.startswith("_")]
    return [(folder, name) for folder in folders for name in NAMES if (folder / f"{name}.npz").is_file()]


def _processor(name: str) -> MusicVAEProcessor:
    return MusicVAEProcessor.from_preset(name, mode="original")


def sequences_of(outputs: np.ndarray, processor: MusicVAEProcessor) -> np.ndarray:
    """The original's outputs (N, T, size), bits or one-hots, as the sequences that ours are."""
    if processor.representation == "drum_roll":
        return outputs.astype(np.int64)
    parts = np.split(outputs, np.cumsum(processor.output_sizes)[:-1], axis=-1)
    sequences = np.stack([part.argmax(axis=-1) for part in parts], axis=-1)
    return sequences if len(parts) > 1 else sequences[..., 0]


CASES = converter_cases()
IDS = [f"{folder.name}-{name}" for folder, name in CASES]


@parametrize_cases("case", CASES, IDS)
def test_extraction_is_the_originals(case):
    folder, name = case
    expected = np.load(folder / f"{name}.npz")
    processor = _processor(name)
    midi = read_midi(folder / json.loads((folder / "meta.json").read_text())["midi"])
    if int(expected["count"]) == 0:
        with pytest.raises(NoExamplesError):
            processor(midi)
        return
    features = processor(midi)
    ours = Counter(
        (values.numpy().astype(bool).tobytes(), labels.numpy().tobytes())
        for values, labels in zip(features["input_values"], features["labels"], strict=True)
    )
    theirs = Counter(
        (inputs.tobytes(), labels.tobytes())
        for inputs, labels in zip(expected["inputs"], sequences_of(expected["outputs"], processor), strict=True)
    )
    assert ours == theirs
    assert ours.total() == int(expected["count"])
    np.testing.assert_array_equal(np.sort(features["lengths"].numpy()), np.sort(expected["lengths"]))


@parametrize_cases("case", CASES, IDS)
def test_notes_of_extracted_windows(case):
    folder, name = case
    expected = np.load(folder / f"{name}.npz")
    if int(expected["count"]) == 0:
        assert "notes" not in expected
        return
    assert_notes(name, sequences_of(expected["outputs"], _processor(name)), expected)


@parametrize_cases("case", CASES, IDS)
def test_notes_read_from_midi(case):
    folder, _ = case
    parsed = np.load(folder / "parsed_notes.npz")["notes"]
    notes = NoteSequence.from_pretty_midi(read_midi(folder / json.loads((folder / "meta.json").read_text())["midi"]))
    ours = np.stack([notes.pitch, notes.velocity, notes.start, notes.end, notes.program, notes.is_drum, notes.instrument], 1)
    np.testing.assert_allclose(ours, parsed, rtol=0, atol=1e-9)


DECODED = [name for name in NAMES if (CONVERTERS / "_decode_only" / f"{name}.npz").is_file()]


@parametrize_cases("name", DECODED, DECODED)
def test_notes_of_random_sequences(name):
    expected = np.load(CONVERTERS / "_decode_only" / f"{name}.npz")
    assert_notes(name, sequences_of(expected["samples"], _processor(name)), expected)


def assert_notes(name: str, sequences: np.ndarray, expected):
    """Decoded one by one, the sequences have the notes that `expected` lists."""
    ends = np.cumsum(expected["n_notes"])
    for sequence, end, count in zip(torch.as_tensor(sequences), ends, expected["n_notes"], strict=True):
        assert_same_notes(_processor(name).decode(sequence), expected["notes"][end - count : end])

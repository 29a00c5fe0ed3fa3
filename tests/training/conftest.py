"""Fixtures of the training tests."""

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from tiny_training import write_melody


@pytest.fixture(autouse=True)
def fresh_accelerate():
    """Accelerate keeps its state in singletons; one thread makes arithmetic the same in every process."""
    torch.set_num_threads(1)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def midi_folder(tmp_path_factory):
    """Twelve melodies in two subfolders."""
    folder = tmp_path_factory.mktemp("music")
    for number in range(12):
        write_melody(folder / ("a" if number % 2 else "b") / f"song{number}.mid", number)
    return folder

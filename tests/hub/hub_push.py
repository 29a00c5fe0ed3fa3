"""Pushes a checkpoint with transformers' own push_to_hub, loads it back and measures it; then runs the card's example.

python hub_push.py FOLDER REPOSITORY MIDI OUTPUT.npz EXAMPLE.py
"""

import runpy
import sys

import numpy as np
from hub_measure import measure

from hub_models import MusicVAEModel, MusicVAEProcessor


def main(folder, repository, midi_path, output, example):
    MusicVAEModel.from_pretrained(folder).push_to_hub(repository)
    MusicVAEProcessor.from_pretrained(folder).push_to_hub(repository)
    model = MusicVAEModel.from_pretrained(repository)
    processor = MusicVAEProcessor.from_pretrained(repository)
    np.savez(output, **measure(model, processor, midi_path))
    runpy.run_path(example)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Pushes a checkpoint with transformers' own push_to_hub, loads it back and measures it; then runs the card's example.

python hub_push.py FOLDER REPOSITORY FILE OUTPUT.npz EXAMPLE.py
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
from hub_measure import measure

import hub_models

CLASSES = {
    "jukebox": ("JukeboxModel", "JukeboxProcessor"),
    "music_vae": ("MusicVAEModel", "MusicVAEProcessor"),
    "transformer_autoencoder": ("TransformerAutoencoderForConditionalGeneration", "TransformerAutoencoderProcessor"),
}


def main(folder, repository, midi_path, output, example):
    model_type = json.loads((Path(folder) / "config.json").read_text())["model_type"]
    model_class, processor_class = (getattr(hub_models, name) for name in CLASSES[model_type])
    model_class.from_pretrained(folder).push_to_hub(repository)
    processor_class.from_pretrained(folder).push_to_hub(repository)
    model = model_class.from_pretrained(repository)
    processor = processor_class.from_pretrained(repository)
    np.savez(output, **measure(model, processor, midi_path))
    runpy.run_path(example)


if __name__ == "__main__":
    main(*sys.argv[1:])

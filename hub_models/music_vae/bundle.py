"""Make a trained MusicVAE ready to ship: model and processor files only, and attribute vectors for melodies and bands.

python -m hub_models.music_vae.bundle --model OUTPUT --output FOLDER [--half] [--attributes --data DIR [--splits CSV]]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from .attributes import compute_attribute_vectors, save_attribute_vectors
from .data import find_midi_files, prepare_windows
from .drum_maps import DRUM_MAPS
from .modeling_music_vae import MusicVAEModel
from .processing_music_vae import MusicVAEProcessor


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hub_models.music_vae.bundle", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, metavar="NAME_OR_PATH", help="the trained model")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the shipped files go")
    parser.add_argument(
        "--half",
        action="store_true",
        help="store float16 weights, half the size; from_pretrained gives float32 anyway",
    )
    parser.add_argument(
        "--drum-map",
        choices=list(DRUM_MAPS),
        help="ship with this map of drum pitches; default: that of its training",
    )
    parser.add_argument("--attributes", action="store_true", help="also compute attribute vectors, from the data")
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="DIR", help="folders of MIDI files")
    parser.add_argument("--splits", type=Path, nargs="+", metavar="CSV", help="one CSV per --data folder")
    parser.add_argument("--split", default="train", help="split to take (default: %(default)s)")
    parser.add_argument("--max-examples", type=int, default=50_000, help="(default: %(default)s)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where extracted examples are kept")
    options = parser.parse_args(arguments)
    model = MusicVAEModel.from_pretrained(options.model)
    drum_map = {"drum_classes": options.drum_map} if options.drum_map else {}
    processor = MusicVAEProcessor.from_pretrained(options.model, **drum_map)
    save_model(model, options.output, options.half)
    processor.save_pretrained(options.output)
    if options.attributes:
        if not options.data:
            parser.error("--attributes needs --data: the vectors are computed from music.")
        model = MusicVAEModel.from_pretrained(options.output).eval()  # with its weights as they ship
        windows = prepare_windows(find_midi_files(options.data, options.splits), processor, options.cache)
        ids = windows.select(options.split)
        ids = ids[np.sort(np.random.default_rng(0).permutation(len(ids))[: options.max_examples])]
        save_attribute_vectors(compute_attribute_vectors(model, processor, ids), options.output)
    print(f"Wrote {options.output}")
    return 0


def save_model(model: MusicVAEModel, folder: Path, half: bool = False):
    """Writes configuration and weights, which are in float32; `half`: as float16.

    Raises:
        ValueError: for a weight that float16 cannot hold; it names the tensor.
    """
    if half:
        limit = torch.finfo(torch.float16).max
        for name, weight in model.state_dict().items():
            if not bool((weight.abs() <= limit).all()):  # NaN is refused, too
                raise ValueError(f"The weights of {name} reach beyond what float16 holds, {limit:g}: leave out --half.")
        model = model.half()
    model.save_pretrained(folder)


if __name__ == "__main__":
    sys.exit(main())

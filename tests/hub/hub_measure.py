"""What a model and its processor make of a MIDI file, as arrays; for comparing a published model with its original.

As a script, in a process where Encore cannot be imported:
python -I hub_measure.py REPOSITORY MIDI OUTPUT.npz EXAMPLE.py
The example is the code of the model card that must run with transformers alone.
"""

import runpy
import sys

import numpy as np
import torch


def measure(model, processor, midi_path) -> dict[str, np.ndarray]:
    features = processor(midi_path)
    posterior = model.encode(features["input_values"], features["lengths"])
    generator = torch.Generator().manual_seed(7)
    greedy = model.decode(posterior.mean, temperature=None)
    written = processor.decode(greedy[0], tempo=100.0)
    with torch.no_grad():
        return {
            "input_values": features["input_values"].numpy(),
            "labels": features["labels"].numpy(),
            "mean": posterior.mean.detach().numpy(),
            "std": posterior.std.detach().numpy(),
            "greedy": greedy.numpy(),
            "sampled": model.sample(5, temperature=0.8, generator=generator).numpy(),
            "notes": np.array([(n.pitch, n.start, n.end) for i in written.instruments for n in i.notes]).reshape(-1, 3),
        }


class NoEncore:
    """An import hook that makes Encore absent, even where it is installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "hub_models":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(repository, midi_path, output, example):
    sys.meta_path.insert(0, NoEncore)
    try:
        import hub_models  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError("Encore must not be importable here")

    from transformers import AutoConfig, AutoModel, AutoProcessor

    config = AutoConfig.from_pretrained(repository, trust_remote_code=True)
    model = AutoModel.from_pretrained(repository, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(repository, trust_remote_code=True)
    assert type(model.config).__name__ == type(config).__name__ == "MusicVAEConfig"
    np.savez(output, **measure(model, processor, midi_path))
    runpy.run_path(example)
    assert not [name for name in sys.modules if name.split(".")[0] == "hub_models"]


if __name__ == "__main__":
    main(*sys.argv[1:])

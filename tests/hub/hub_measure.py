"""What a model and its processor make of a file, as arrays; for comparing a published model with its original.

As a script, in a process where Encore cannot be imported:
python -I hub_measure.py REPOSITORY FILE OUTPUT.npz EXAMPLE.py
The file is MIDI, or sound for a Jukebox.
The example is the code of the model card that must run with transformers alone.
"""

import runpy
import sys

import numpy as np
import soundfile
import torch


def measure(model, processor, midi_path) -> dict[str, np.ndarray]:
    measured = {
        "jukebox": measure_jukebox,
        "music_vae": measure_music_vae,
        "transformer_autoencoder": measure_transformer_autoencoder,
    }
    with torch.no_grad():
        return measured[model.config.model_type](model, processor, midi_path)


def measure_music_vae(model, processor, midi_path) -> dict[str, np.ndarray]:
    features = processor(midi_path)
    posterior = model.encode(features["input_values"], features["lengths"])
    generator = torch.Generator().manual_seed(7)
    greedy = model.decode(posterior.mean, temperature=None)
    return {
        "input_values": features["input_values"].numpy(),
        "labels": features["labels"].numpy(),
        "mean": posterior.mean.numpy(),
        "std": posterior.std.numpy(),
        "greedy": greedy.numpy(),
        "sampled": model.sample(5, temperature=0.8, generator=generator).numpy(),
        "notes": notes_of(processor.decode(greedy[0], tempo=100.0)),
    }


def measure_transformer_autoencoder(model, processor, midi_path) -> dict[str, np.ndarray]:
    """Of a model that hears a style and a melody."""
    features = processor(style=midi_path, melody=midi_path, primer=midi_path)
    sampled = model.generate(**features, do_sample=True, temperature=0.9, max_new_tokens=100, seed=7)
    return {
        **{name: value.numpy() for name, value in features.items()},
        "style": model.encode_style(features["performance_ids"]).numpy(),
        "logits": model(**features).logits.numpy(),
        "sampled": sampled.numpy(),  # beyond the window of a tiny model
        "settings": np.array([model.generation_config.eos_token_id, model.generation_config.temperature]),
        "notes": notes_of(processor.decode(sampled[0])),
    }


def measure_jukebox(model, processor, sound_path) -> dict[str, np.ndarray]:
    """Of a model that hears lyrics; longer than a window."""
    sound, rate = soundfile.read(sound_path, dtype="float32", always_2d=True)
    features = processor("low voice", "nursery", "twinkle twinkle little star", audio=sound.T, sampling_rate=rate)
    labels, generator = features["labels"], torch.Generator().manual_seed(7)
    codes = model.primed_sample(features["raw_audio"], labels, sample_length_in_seconds=6, generator=generator)
    return {
        **{f"labels_{level}": rows.numpy() for level, rows in enumerate(labels)},
        **{f"codes_{level}": rows.numpy() for level, rows in enumerate(codes)},
        "raw_audio": features["raw_audio"].numpy(),
        "sampled": model.decode(codes).numpy(),
        "alignment": model.align(codes, labels)[0].numpy(),
    }


def notes_of(midi) -> np.ndarray:
    return np.array([(n.pitch, n.start, n.end) for i in midi.instruments for n in i.notes]).reshape(-1, 3)


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
    assert type(config).__module__.startswith("transformers_modules.")
    assert type(model.config).__name__ == type(config).__name__
    np.savez(output, **measure(model, processor, midi_path))
    runpy.run_path(example)
    assert not [name for name in sys.modules if name.split(".")[0] == "hub_models"]


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What a published pipeline makes of a sound, in a process where Encore cannot be imported:

python -I hub_measure_pipeline.py REPOSITORY FOLDER OUTPUT.npz EXAMPLE.py

FOLDER is where it saves the pipeline that it has loaded, to load it from there again. The example is the code of the model
card that must run with diffusers alone.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
import torch


def measure(pipeline) -> dict[str, np.ndarray]:
    pipeline.set_progress_bar_config(disable=True)
    sound = torch.sin(torch.arange(4000) * 0.1) * 0.5
    mel = pipeline.feature_extractor(sound, sampling_rate=pipeline.sample_rate, return_tensors="pt").input_features
    noise = torch.Generator().manual_seed(7)
    return {
        "mel": mel.numpy(),
        "noise_levels": pipeline.scheduler.training_noise_levels.numpy(),
        "audio": pipeline(mel=mel, num_inference_steps=2, generator=noise).audios,
    }


def main(repository, folder, output, example):
    sys.path.append(str(Path(__file__).parent))
    from hub_measure import NoEncore

    sys.meta_path.insert(0, NoEncore)
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(repository, trust_remote_code=True)
    assert type(pipeline).__name__ == "WaveGradPipeline"
    pipeline.save_pretrained(folder)
    again = type(pipeline).from_pretrained(folder)
    saved = {f"again_{name}": array for name, array in measure(again).items()}
    np.savez(output, **measure(pipeline), **saved)
    runpy.run_path(example)
    assert not [name for name in sys.modules if name.split(".")[0] == "hub_models"]


if __name__ == "__main__":
    main(*sys.argv[1:])

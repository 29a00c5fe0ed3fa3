"""One measurement of our side, in a process of its own; run by wavegrad_vocoding.py. One JSON object on stdout."""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import torch

from hub_models import WaveGradPipeline


def main() -> None:
    parser = argparse.ArgumentParser(description="Times our WaveGrad.")
    parser.add_argument("folder", type=Path, help="with pipeline/ and inputs.npz")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--way", choices=["float32", "bfloat16", "compiled"], required=True)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    dtype = torch.bfloat16 if arguments.way == "bfloat16" else torch.float32
    pipeline = WaveGradPipeline.from_pretrained(arguments.folder / "pipeline", torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    if arguments.way == "compiled":
        pipeline.model.compile()
    inputs = {name: torch.from_numpy(value) for name, value in np.load(arguments.folder / "inputs.npz").items()}
    betas = inputs.pop("betas").tolist()
    seconds = []
    for repeat in range(-1, arguments.repeats):
        start = time.perf_counter()
        audio = pipeline(betas=betas, **inputs).audios
        if repeat >= 0:
            seconds.append(time.perf_counter() - start)
    if arguments.way == "float32":
        np.save(arguments.folder / "ours.npy", audio)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mebibytes": peak}))


if __name__ == "__main__":
    main()

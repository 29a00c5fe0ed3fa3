"""Times lmnt's WaveGrad; run by benchmarks/wavegrad_vocoding.py in the peer's environment.

The package's own `predict`, with the noise that it draws replaced by the noise of the other side. Loading and the first run
are not timed. One JSON object on stdout.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from wavegrad.inference import predict


def main() -> None:
    parser = argparse.ArgumentParser(description="Times lmnt's WaveGrad.")
    parser.add_argument("folder", type=Path, help="with weights.pt and inputs.npz")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    inputs = np.load(arguments.folder / "inputs.npz")
    mel = torch.from_numpy(inputs["mel"])
    seconds = []
    for repeat in range(-1, arguments.repeats):
        noise = iter([torch.from_numpy(inputs["latents"]), *torch.from_numpy(inputs["variance_noise"])])
        with (
            mock.patch.object(torch, "randn", side_effect=noise),
            mock.patch.object(torch, "randn_like", side_effect=noise),
        ):
            start = time.perf_counter()
            audio, _ = predict(
                mel,
                model_dir=str(arguments.folder / "weights.pt"),
                params={"noise_schedule": inputs["betas"]},
                device=torch.device("cpu"),
            )
            if repeat >= 0:
                seconds.append(time.perf_counter() - start)
    np.save(arguments.folder / "peer.npy", audio.numpy())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mebibytes": peak, "torch": torch.__version__}))


if __name__ == "__main__":
    main()

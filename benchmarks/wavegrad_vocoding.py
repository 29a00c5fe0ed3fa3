"""Mel spectrograms to sound in six steps, at the size of lmnt-com/wavegrad, on CPU.

    python benchmarks/wavegrad_vocoding.py --peer-python ~/encore-peers/wavegrad/bin/python

- Ours: `WaveGradPipeline` from a mel, random weights, after a warm-up; in chunks where the pipeline makes them by itself.
- The peer: `predict` of PyPI's `wavegrad` with the same weights, mel, schedule and noise. The outputs are compared.

Every measurement has a process of its own, so that its peak memory is its own; the two sides run one after the other.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from reporting import Row, common_arguments, report, run_peer, spread

SAMPLE_RATE = 22_050
HOP = 300
BETAS = (1e-6, 1.8929e-5, 1e-4, 1e-3, 1.11e-2, 6e-2)
MAX_RATIO = 1 / 1.8
MAX_DIFFERENCE = 1e-3
WORKER = "wavegrad_worker.py"


def write_inputs(folder: Path, seconds: float, widths: int) -> None:
    """weights.pt in lmnt's format, the pipeline folder `pipeline`, and inputs.npz: the mel, the schedule and the noise."""
    from conversion import lmnt_wavegrad
    from hub_models import WaveGradFeatureExtractor, WaveGradModel, WaveGradPipeline, WaveGradScheduler
    from hub_models.wavegrad import preset

    torch.manual_seed(0)
    frames = round(seconds * SAMPLE_RATE / HOP)
    extractor = WaveGradFeatureExtractor(sampling_rate=SAMPLE_RATE)
    sizes = preset("wavegrad-lmnt")
    if widths > 1:
        for name in ("down_channels", "up_channels"):
            sizes[name] = [channels // widths for channels in sizes[name]]
        sizes["mel_channels"] //= widths
    model = WaveGradModel(**sizes, mel_settings=extractor.mel_settings)
    WaveGradPipeline(model, WaveGradScheduler(), extractor).save_pretrained(folder / "pipeline")
    if widths == 1:
        lmnt_wavegrad.export(folder / "pipeline", folder / "weights.pt")
    generator = torch.Generator().manual_seed(1)
    np.savez(
        folder / "inputs.npz",
        mel=torch.rand(128, frames, generator=generator).numpy(),
        latents=torch.randn(1, frames * HOP, generator=generator).numpy(),
        variance_noise=torch.randn(len(BETAS) - 1, 1, frames * HOP, generator=generator).numpy(),
        betas=np.array(BETAS),
    )


def run_ours(folder: Path, threads: int, repeats: int, way: str) -> dict:
    """Our side in a process of its own: `way` is float32, bfloat16 or compiled."""
    command = [sys.executable, str(Path(__file__).with_name(WORKER)), str(folder)]
    command += ["--threads", str(threads), "--repeats", str(repeats), "--way", way]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        sys.exit(f"Our side failed: {' '.join(command)}\n{finished.stderr[-2000:]}")
    return json.loads(finished.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = common_arguments("Speed and memory of WaveGrad, against lmnt's.")
    parser.add_argument("--peer-python", default=None, help="Python of an environment with peers/requirements-wavegrad.txt")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1], help="numbers of threads to measure")
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.0, 20.0], help="lengths of sound")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each, after the warm-up")
    parser.add_argument("--ways", nargs="*", default=["bfloat16", "compiled"], help="also measured, on the shortest sound")
    parser.add_argument("--widths", type=int, default=1, help="divide all widths, to try the benchmark; no peer then")
    arguments = parser.parse_args()

    rows, details = [], {"arguments": {name: str(value) for name, value in vars(arguments).items()}, "measured": []}
    peaks = {}
    for seconds in sorted(arguments.seconds):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_inputs(folder, seconds, arguments.widths)
            for threads in arguments.threads:
                what = f"{seconds:g} s of sound, {threads} thread{'s' * (threads > 1)}"
                ours = run_ours(folder, threads, arguments.repeats, "float32")
                factor = spread(ours["seconds"])["least"] / seconds
                peaks.setdefault(threads, []).append(ours["peak_mebibytes"])
                details["measured"].append({"what": what, "ours": ours})
                if arguments.peer_python and arguments.widths == 1:
                    peer = run_peer(
                        arguments.peer_python,
                        "wavegrad_vocoding.py",
                        folder,
                        *("--threads", threads, "--repeats", arguments.repeats),
                    )
                    details["measured"][-1]["peer"] = peer
                    name = f"wavegrad 0.1.5, torch {peer['torch']}"
                    theirs = spread(peer["seconds"])["least"] / seconds
                    met = factor / theirs <= MAX_RATIO
                    rows.append(Row(what, "real-time factor", factor, theirs, name, f"ratio <= {MAX_RATIO:.2f}", met))
                    rows.append(Row(what, "peak MiB", ours["peak_mebibytes"], peer["peak_mebibytes"], name))
                    difference = float(np.abs(np.load(folder / "ours.npy") - np.load(folder / "peer.npy")).max())
                    limit = f"<= {MAX_DIFFERENCE:g}"
                    rows.append(Row(what, "largest difference", difference, limit=limit, met=difference <= MAX_DIFFERENCE))
                else:
                    rows.append(Row(what, "real-time factor", factor))
                    rows.append(Row(what, "peak MiB", ours["peak_mebibytes"]))
                for way in arguments.ways if seconds == min(arguments.seconds) else ():
                    other = run_ours(folder, threads, arguments.repeats, way)
                    details["measured"].append({"what": what, "way": way, "ours": other})
                    rows.append(
                        Row(
                            f"{what}, {way}",
                            "real-time factor",
                            spread(other["seconds"])["least"] / seconds,
                            factor,
                            "float32, ours",
                        )
                    )
    if len(arguments.seconds) > 1:
        shortest, longest = min(arguments.seconds), max(arguments.seconds)
        for threads, measured in peaks.items():
            what = f"memory, {longest:g} s beside {shortest:g} s, {threads} thread{'s' * (threads > 1)}"
            met = measured[-1] <= 1.2 * measured[0]
            rows.append(Row(what, "peak MiB", measured[-1], measured[0], f"{shortest:g} s of sound", "ratio <= 1.2", met))
    report(f"WaveGrad: {len(BETAS)} steps, best of {arguments.repeats}", rows, details, arguments.json)


if __name__ == "__main__":
    main()

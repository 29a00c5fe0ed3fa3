"""Make a trained WaveGrad ready to ship: the pipeline alone, without checkpoints and logs.

python -m hub_models.wavegrad.bundle --model OUTPUT --output FOLDER [--half]
"""

import argparse
from pathlib import Path

import torch

from .pipeline_wavegrad import WaveGradPipeline


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m hub_models.wavegrad.bundle", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, metavar="NAME_OR_PATH", help="the trained pipeline")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the shipped files go")
    parser.add_argument(
        "--half", action="store_true", help="store float16 weights, half the size; from_pretrained gives float32 anyway"
    )
    options = parser.parse_args(arguments)
    pipeline = WaveGradPipeline.from_pretrained(options.model)
    weights = pipeline.model.state_dict()
    if options.half:
        largest = max(tensor.abs().max().item() for tensor in weights.values())
        if not largest < torch.finfo(torch.float16).max:
            raise ValueError(f"{options.model} holds weights up to {largest:g}, which float16 cannot.")
        pipeline.model.half()
    pipeline.save_pretrained(options.output)
    print(f"Wrote {options.output}")


if __name__ == "__main__":
    main()

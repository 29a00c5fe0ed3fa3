"""Loads pipelines from the Hub with Encore's own class, which trusts no code there, and measures them.

python hub_push_pipeline.py FOLDER PUSHED PUBLISHED OUTPUT.npz

The first, PUSHED, is uploaded from FOLDER by diffusers' own push_to_hub before.
"""

import sys

import numpy as np
from hub_measure_pipeline import measure

from hub_models.wavegrad import WaveGradPipeline


def main(folder, pushed, published, output):
    WaveGradPipeline.from_pretrained(folder).push_to_hub(pushed)
    arrays = {}
    for kind, repository in (("pushed", pushed), ("published", published)):
        pipeline = WaveGradPipeline.from_pretrained(repository)
        assert type(pipeline) is WaveGradPipeline
        assert all(type(part).__module__.startswith("hub_models.wavegrad.") for part in pipeline.components.values())
        arrays |= {f"{kind}_{name}": array for name, array in measure(pipeline).items()}
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

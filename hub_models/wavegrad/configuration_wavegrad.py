# Copyright 2026 The Encore Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""The published sizes of WaveGrad, as arguments of `WaveGradModel`."""

from __future__ import annotations

import copy
from typing import Any

#: What the network of lmnt-com/wavegrad computes: the one with public weights.
LMNT = {
    "num_mel_bands": 128,
    "mel_channels": 768,
    "down_channels": [32, 128, 128, 256, 512],
    "up_channels": [512, 512, 256, 128, 128],
    "up_factors": [5, 5, 3, 2, 2],
    "up_dilations": [[1, 2, 1, 2], [1, 2, 1, 2], [1, 2, 4, 8], [1, 2, 4, 8], [1, 2, 4, 8]],
    "down_dilations": [1, 2, 4],
    "layers_per_block": 1,
    "downsample_type": "nearest",
    "noise_level_scale": 1.0,
    "leaky_relu_slope": 0.2,
}
#: WaveGrad Base as the paper draws it (arXiv 2009.00713, sections 3.2 to 3.4, appendix A).
BASE = LMNT | {
    "up_dilations": [[1, 2, 4, 8], [1, 2, 4, 8], [1, 2, 4, 8], [1, 2, 1, 2], [1, 2, 1, 2]],
    "downsample_type": "strided",
    "noise_level_scale": 5000.0,
}
#: WaveGrad Large: every block twice, one that resamples and one that does not.
LARGE = BASE | {"up_dilations": [[1, 2, 4, 8]] * 5, "layers_per_block": 2}

PRESETS: dict[str, dict[str, Any]] = {"wavegrad-lmnt": LMNT, "wavegrad-base": BASE, "wavegrad-large": LARGE}


def preset(name: str, **overrides: Any) -> dict[str, Any]:
    """Arguments of `WaveGradModel` for a published size: `WaveGradModel(**preset("wavegrad-base"))`.

    Args:
        name: one of `PRESETS`.
        overrides: arguments to change.

    Raises:
        ValueError: there is no such preset; the message names those that exist.
    """
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return copy.deepcopy(PRESETS[name]) | overrides

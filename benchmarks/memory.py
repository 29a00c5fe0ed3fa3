"""How fast this machine reads memory."""

import time
from functools import partial

import numpy as np
import torch


class Memory:
    """Reads so many megabytes of memory as fast as it can, in two ways."""

    def __init__(self, megabytes: int):
        self.values = torch.ones(megabytes * 1_000_000 // 4 // 512, 512)
        self.vector = torch.ones(1, len(self.values))

    def read(self) -> np.ndarray:
        """Seconds of either way, (2,)."""
        times = [time.perf_counter()]
        for way in (self.values.sum, partial(torch.mm, self.vector, self.values)):
            way()
            times.append(time.perf_counter())
        return np.diff(np.array(times))

    def bandwidth(self, seconds: np.ndarray) -> float:
        """Bytes per second, from what `read` gave."""
        return 4 * self.values.numel() / float(seconds.min())

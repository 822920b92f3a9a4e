"""Examples to learn from that need no scans."""

from __future__ import annotations

import numpy as np

from ratcli.training.examples import Example


class Discs:
    """Noisy discs: each index gives the same one."""

    def make(self, index: int) -> Example:
        rng = np.random.default_rng((11, index))
        rows, columns = np.mgrid[:64, :64]
        labels = ((rows - 32) ** 2 + (columns - 32) ** 2 < rng.uniform(100, 600)).astype(np.int32)
        clean = (labels * rng.uniform(-0.4, 0.4))[None].astype(np.float32)
        noise = rng.normal(0, 0.1, clean.shape).astype(np.float32)
        return Example(clean + noise, clean, labels, "disc")

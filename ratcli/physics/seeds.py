"""Seeds: each plane of a scan has its own, so that the order of work does not matter."""

from __future__ import annotations

import numpy as np
import torch


def plane_generator(seed: int, plane: int) -> torch.Generator:
    """Return a source of randomness that depends on seed and plane alone."""
    state = np.random.SeedSequence((seed, plane)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))

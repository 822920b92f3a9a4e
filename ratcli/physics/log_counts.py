"""Mean and variance of the logarithm of noisy counts, down to photon starvation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.stats import poisson
from torch import Tensor

FLOOR = 1.0
"""Counts below are taken for this before the logarithm (a zero count has none)."""

_MANY = 300.0
_FEW = 0.05


def log_moments(counts: Tensor, electronic: float) -> tuple[Tensor, Tensor]:
    """Return mean and variance of `ln(N / max(y, 1))`, `y = Poisson(N) + normal(0, electronic)`.

    Args:
        counts: expected photons N, any shape.
        electronic: standard deviation of the electronic noise, in photons.

    Returns:
        Two tensors of the shape of `counts`. Above 300 photons, series:
        mean `(N + s^2) / (2 N^2)`, variance `(N + s^2) / N^2`. Below, a table.

    Source: series as in Wang et al., Phys. Med. Biol. 53:6505, 2008; the table is computed here.
    """
    n = counts.clamp_min(_FEW)
    variance = (n + electronic**2) / n.square()
    mean = variance / 2
    threshold = max(_MANY, 20 * electronic)
    few = n < threshold
    if few.any():
        scarce = n[few]
        table = _table(round(float(electronic), 3), threshold).to(n)
        position = (scarce.log() - table[0, 0]) / (table[0, -1] - table[0, 0])
        position = position.clamp(0, 1) * (table.shape[1] - 1)
        left = position.long().clamp_max(table.shape[1] - 2)
        part = position - left
        mean[few] = torch.lerp(table[1, left], table[1, left + 1], part)
        variance[few] = torch.lerp(table[2, left], table[2, left + 1], part)
    return mean, variance


@lru_cache(maxsize=64)
def _table(electronic: float, threshold: float) -> Tensor:
    """Return `(3, 96)`: log of N, mean, variance; sums over counts and normal steps."""
    log_n = np.linspace(np.log(_FEW), np.log(threshold), 96)
    n = np.exp(log_n)
    y = np.arange(int(threshold + 10 * np.sqrt(threshold)) + 1)
    chance = poisson.pmf(y[None], n[:, None])  # (96, Y)
    nodes = np.linspace(-6, 6, 241)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    reading = np.maximum(y[:, None] + electronic * nodes[None], FLOOR)
    logs = np.log(reading)
    first, second = chance @ (logs @ weights), chance @ (logs**2 @ weights)
    table = np.stack([log_n, log_n - first, second - first**2])
    return torch.from_numpy(table)

"""Scores of a partition: borders, agreement with another partition, and unexplained variance."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from ratcli.regions import LabelArray
from ratcli.scan import BoolArray, FloatArray
from ratcli.tasks import get_task

TASK = get_task("ct-denoise")
SOFT = (-0.5, 0.5)  # -160 to 240 HU in the network's units


def borders(labels: LabelArray) -> BoolArray:
    found = np.zeros(labels.shape, np.bool_)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found


def near(mask: BoolArray) -> BoolArray:
    y, x = np.mgrid[-2:3, -2:3]
    return binary_dilation(mask, y**2 + x**2 <= 4)


def adjusted_rand_index(one: LabelArray, other: LabelArray) -> float:
    """Return the adjusted Rand index of two partitions; see Hubert and Arabie 1985."""
    pairs = one.ravel().astype(np.int64) * (int(other.max()) + 1) + other.ravel()

    def same(labels: np.ndarray) -> float:
        counts = np.bincount(labels).astype(np.float64)
        return float((counts * (counts - 1) / 2).sum())

    both, a, b = same(pairs), same(one.ravel()), same(other.ravel())
    expected = a * b / (one.size * (one.size - 1) / 2)
    most = (a + b) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def inside(clean: FloatArray, labels: LabelArray) -> tuple[float, float]:
    """Unexplained share of variance, and standard deviation in HU, in soft tissue."""
    values = np.clip(clean[0], *SOFT)
    tissue = np.abs(gaussian_filter(clean[0], 1.0)) < 0.35
    x, regions = values[tissue], labels[tissue]
    counts = np.bincount(regions)
    means = np.bincount(regions, x) / np.maximum(counts, 1)
    rest = float(((x - means[regions]) ** 2).mean())
    return rest / float(x.var()), float(np.sqrt(rest)) * TASK.gain

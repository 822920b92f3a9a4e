"""Regions that are found in a plane where the user gives none. No torch here."""

from __future__ import annotations

import numpy as np

from ratcli.partition import get_partitioner
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray
from ratcli.tasks import TASKS

_SMALLEST_REGION_PX = 64


def automatic_regions(plane: FloatArray, unit: str | None) -> LabelArray:
    """Find regions in a plane and leave out their borders and those that are small.

    Args:
        plane: `(C, H, W)` in the unit.
        unit: of the values.

    Returns:
        `(H, W)`; -1 on the borders, where partial volumes have no value of their own.
    """
    task = next((task for task in TASKS.values() if task.units[0] == unit), None)
    if task is not None:
        values = task.normalise(plane)
    else:
        low, high = np.percentile(plane, (1.0, 99.5))
        values = ((plane - low) / max(high - low, 1e-12)).astype(np.float32)
    labels = get_partitioner("superpixel").partition(values).labels
    return _interiors(labels)


def _interiors(labels: LabelArray) -> LabelArray:
    """Return labels without the pixels that touch another region, and without small remains."""
    same = np.ones(labels.shape, np.bool_)
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) == 0
        first, second = [slice(None)] * 2, [slice(None)] * 2
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        same[tuple(first)] &= step
        same[tuple(second)] &= step
    inner = np.where(same, labels, -1).astype(np.int32)
    counts = np.bincount(inner[inner >= 0], minlength=int(labels.max()) + 1)
    inner[(inner >= 0) & (counts[inner] < _SMALLEST_REGION_PX)] = -1
    return inner

"""The mean difference of two planes, for benchmarks."""

from __future__ import annotations

import numpy as np

from ratcli.errors import MeasurementError
from ratcli.scan import BoolArray, FloatArray


def mean_bias(image: FloatArray, reference: FloatArray, mask: BoolArray | None = None) -> float:
    """Return the mean of image minus reference in native units, not clipped to any window.

    Args:
        image: `(C, H, W)` or `(H, W)`.
        reference: the same shape.
        mask: `(H, W)`, true where to measure; everywhere if None.

    Raises:
        MeasurementError: the mask is empty.
    """
    difference = np.asarray(image, np.float64) - np.asarray(reference, np.float64)
    inside = difference if mask is None else difference[..., mask]
    if inside.size == 0:
        raise MeasurementError("the mask holds no pixel, so there is no bias to measure")
    return float(inside.mean())

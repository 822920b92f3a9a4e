"""A padding value that is also a measured value, as 0 HU in soft tissue.

Some headers name a padding value in the middle of the range. Each pixel that happens to measure it
then counts as padding. Such pixels lie scattered among values like theirs; padding lies together,
or differs from all around it. Only what is certain counts as measured:

- the plane holds measured values on both sides of the padding;
- the pixels that touch are no more than noise of the spread around them gives;
- the value is within three standard deviations of the mean around it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, label

from ratcli.formats.dicom.layout import StoredArray
from ratcli.scan import BoolArray, FloatArray

_NEARBY_PX = 2.0
# Of the pixels nearby, so many must be measured to know what is usual there.
_LEAST_MEASURED = 0.5
_FARTHEST = 3.0
# Pixels that touch: so many by chance, and so many more for each unit of the share of pixels that
# measure the padding value. By far fewer touch in noise; at a share of 0.6 they are endless.
_TOUCHING, _TOUCHING_PER_SHARE = 3.0, 60.0
# The share that a value takes in Gaussian noise of a standard deviation of one step.
_PEAK = 0.4


def measured_by_chance(stored: StoredArray, padding: tuple[int, int]) -> BoolArray | None:
    """Return where a pixel has a padding value, but is certainly measured.

    Args:
        stored: values of a plane, `(H, W)`.
        padding: lowest and highest stored value that is padding.

    Returns:
        `(H, W)`, or None if there is no such pixel.
    """
    low, high = padding
    padded = (stored >= low) & (stored <= high)
    if not padded.any() or not ((stored < low).any() and (stored > high).any()):
        return None
    mean, spread, share = _nearby(stored - (low + high) // 2, ~padded)
    is_usual = (np.abs(mean) <= _FARTHEST * spread) & (share >= _LEAST_MEASURED)
    if not (padded & is_usual).any():
        return None
    labels, count = label(padded)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    expected = np.minimum(_PEAK * (high - low + 1) / spread, 1)
    is_small = sizes[labels] <= _TOUCHING + _TOUCHING_PER_SHARE * expected
    # All pixels of an island have to be usual: else it is a hole with usual ones at its border.
    unusual = np.bincount(labels[padded & ~(is_usual & is_small)], minlength=count + 1) > 0
    certain: BoolArray = padded & ~unusual[labels]
    return certain if certain.any() else None


def _nearby(values: StoredArray, measured: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean, standard deviation and share of the measured values around each pixel."""
    weight = measured.astype(np.float32)
    known = values.astype(np.float32) * weight
    share, mean, square = (
        gaussian_filter(each, _NEARBY_PX, truncate=2) for each in (weight, known, known * known)
    )
    whole = np.maximum(share, np.float32(1e-3))
    mean = mean / whole
    spread = np.sqrt(np.maximum(square / whole - mean * mean, np.float32(0.25)))
    return mean, spread, share

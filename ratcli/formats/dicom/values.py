"""Stored integers to physical values and back, exact for unchanged values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, label

from ratcli.formats.dicom.layout import PixelLayout, StoredArray
from ratcli.formats.quick_look import check_look
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
_WORK = 8  # float32 arrays of the plane's size


@dataclass(frozen=True)
class ValueMap:
    """What the stored integers of a plane mean.

    Attributes:
        slope: units for a step.
        intercept: unit of a stored zero.
        padding: lowest and highest stored value that is padding; None if there is none.
    """

    slope: float = 1.0
    intercept: float = 0.0
    padding: tuple[int, int] | None = None

    def to_values(self, stored: StoredArray) -> FloatArray:
        """Return physical values, float32 of the same shape."""
        return (stored * self.slope + self.intercept).astype(np.float32)

    def is_padding(self, stored: StoredArray) -> BoolArray:
        """Return `(H, W)`, true where a pixel of a plane is padding.

        Pixels that only measure a padding value by chance are none, see `measured_by_chance`.
        """
        padded = self._reads_as_padding(stored)
        by_chance = self.by_chance(stored)
        return padded if by_chance is None else padded & ~by_chance

    def by_chance(self, stored: StoredArray) -> BoolArray | None:
        """Return where pixels of a plane measure a padding value, or None if none do."""
        return None if self.padding is None else measured_by_chance(stored, self.padding)

    def _reads_as_padding(self, stored: StoredArray) -> BoolArray:
        if self.padding is None:
            return np.zeros(stored.shape, np.bool_)
        low, high = self.padding
        return (stored >= low) & (stored <= high)

    def quantise(self, values: FloatArray, limits: tuple[int, int]) -> StoredArray:
        """Return the nearest stored values; none of them is padding.

        Args:
            values: physical values.
            limits: lowest and highest value that can be stored.

        Raises:
            ValueError: a value is not finite.
        """
        if not np.all(np.isfinite(values)):
            raise ValueError("values to be written must be finite")
        steps = (values.astype(np.float64) - self.intercept) / self.slope
        stored = np.clip(np.rint(steps), *limits).astype(np.int32)
        if self.padding is None:
            return stored
        return _step_out(stored, self._reads_as_padding(stored), self.padding, limits)


def requantise(
    values: FloatArray, source: StoredArray, value_map: ValueMap, layout: PixelLayout
) -> StoredArray:
    """Return the stored values of a restored plane on the source's grid.

    A pixel keeps its stored value exactly if its value did not change or if it is padding.

    Args:
        values: physical values, `(H, W)`.
        source: stored values of the source, same shape.
        value_map: of the source.
        layout: of the source.
    """
    kept = (values == value_map.to_values(source)) | value_map.is_padding(source)
    safe = np.where(kept, np.float32(0), values)
    fresh = value_map.quantise(safe, layout.limits)
    return np.where(kept, source, fresh).astype(np.int32)


def _step_out(
    stored: StoredArray, inside: BoolArray, padding: tuple[int, int], limits: tuple[int, int]
) -> StoredArray:
    """Move measured values that round into the padding range to the nearest value outside it."""
    below, above = padding[0] - 1, padding[1] + 1
    nearest = np.where(stored - below < above - stored, below, above)
    if below < limits[0]:
        nearest = np.full_like(stored, above)
    elif above > limits[1]:
        nearest = np.full_like(stored, below)
    return np.where(inside, np.clip(nearest, *limits), stored).astype(np.int32)


def measured_by_chance(stored: StoredArray, padding: tuple[int, int]) -> BoolArray | None:
    """Return where a pixel has a padding value, but is certainly measured.

    Some headers name a padding value in the middle of the range, as 0 HU in soft tissue. Each pixel
    that happens to measure it then counts as padding. Such pixels lie scattered among values like
    theirs; padding lies together, or differs from all around it. Only what is certain counts:

    - the plane holds measured values on both sides of the padding;
    - the pixels that touch are no more than noise of the spread around them gives;
    - the value is within three standard deviations of the mean around it.

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
    check_look(samples=_WORK * stored.size)
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

"""Stored integers to physical values and back, exact for unchanged values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ratcli.formats.dicom.layout import PixelLayout, StoredArray
from ratcli.formats.dicom.padding import measured_by_chance
from ratcli.scan import BoolArray, FloatArray


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

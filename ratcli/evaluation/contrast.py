"""Contrast to noise of a region beside its background. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.errors import MeasurementError
from ratcli.scan import BoolArray

RING = "ring"
_RING_GAP_PX, _RING_PX = 2.0, 6.0


@dataclass(frozen=True)
class Contrast:
    """A region's contrast to its background, in one image.

    Attributes:
        inside: mean of the region, in the scan's unit.
        background: mean of the background.
        noise: standard deviation of the background inside planes.
        pixels: of the region, over all planes.
        background_pixels: of the background.
    """

    inside: float
    background: float
    noise: float
    pixels: int
    background_pixels: int

    @property
    def cnr(self) -> float:
        """|inside - background| over the noise; nan where the background is constant."""
        if self.noise == 0.0:
            return math.nan
        return abs(self.inside - self.background) / self.noise


@dataclass
class ContrastTally:
    """Adds up a region's contrast plane by plane."""

    _inside: list[float] = field(default_factory=lambda: [0.0, 0.0], repr=False)
    _background: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0], repr=False)

    def add(self, inside: npt.NDArray[np.floating], background: npt.NDArray[np.floating]) -> None:
        """Add a plane's values of the region and of its background, any shape.

        A plane without one of them is left out: both means must come from the same planes.
        """
        if inside.size == 0 or background.size < 2:
            return
        values = background.astype(np.float64)
        found = (values.size, values.sum(), ((values - values.mean()) ** 2).sum(), values.size - 1)
        self._background = [a + float(b) for a, b in zip(self._background, found, strict=True)]
        self._inside[0] += inside.size
        self._inside[1] += float(inside.sum(dtype=np.float64))

    def result(self) -> Contrast:
        """Return the contrast over all planes.

        Raises:
            MeasurementError: no plane holds both the region and its background.
        """
        pixels, total = self._inside
        around, around_total, squares, freedom = self._background
        if not pixels:
            raise MeasurementError("the region or its background contains no pixel")
        noise = math.sqrt(squares / freedom)
        return Contrast(total / pixels, around_total / around, noise, int(pixels), int(around))


def ring(inside: BoolArray, free: BoolArray) -> BoolArray:
    """Return `(H, W)`: the free pixels from 2 to 8 pixels around a region.

    Args:
        inside: `(H, W)`, true in the region.
        free: `(H, W)`, true where a background may be.
    """
    result = np.zeros(inside.shape, np.bool_)
    if not inside.any():
        return result
    reach = math.ceil(_RING_GAP_PX + _RING_PX)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    box = tuple(
        slice(max(int(axis[0]) - reach, 0), int(axis[-1]) + reach + 1) for axis in (rows, columns)
    )
    distance = ndimage.distance_transform_edt(~inside[box])
    near = (distance > _RING_GAP_PX) & (distance <= _RING_GAP_PX + _RING_PX)
    result[box] = near & free[box]
    return result

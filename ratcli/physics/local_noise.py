"""The noise of a plane, measured in itself: around each pixel, and as one standard deviation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d, minimum_filter, uniform_filter

from ratcli.errors import MeasurementError
from ratcli.scan import BoolArray, FloatArray

RealArray = npt.NDArray[np.float64]

MAD_TO_SD = 1.482602
"""Standard deviation of normal noise over the median of its absolute values: 1 / 0.674490."""

_FEWEST_PIXELS = 200
_EDGE_RATIO = 1.6


def noise_map(plane: npt.NDArray[np.floating], size: int = 9) -> FloatArray:
    """Return the local standard deviation about a local plane fit.

    Args:
        plane: `(H, W)` in any unit.
        size: side of the neighbourhood in pixels, odd.

    Returns:
        `(H, W)` in the plane's unit; at edges it holds their contrast, too.

    Raises:
        ValueError: the size is even or below 3.
    """
    if size < 3 or size % 2 == 0:
        raise ValueError(f"the neighbourhood must be odd and at least 3, not {size}")
    values = plane.astype(np.float64)
    values -= values.mean()
    position = np.arange(size) - size // 2
    spread = float((position**2).mean())
    mean = uniform_filter(values, size)
    variance = uniform_filter(values**2, size) - mean**2
    for axis in (0, 1):
        slope = correlate1d(uniform_filter(values, size, axes=(1 - axis,)), position / size, axis)
        variance -= slope**2 / spread
    pixels = size * size
    scaled: RealArray = np.sqrt(np.maximum(variance, 0.0) * pixels / (pixels - 3))
    return scaled.astype(np.float32)


def typical_noise(
    plane: npt.NDArray[np.floating],
    within: tuple[float, float] | None = None,
    mask: BoolArray | None = None,
    size: int = 9,
    least: float = 0.0,
) -> float:
    """Return the noise of a plane: the most frequent local standard deviation.

    Args:
        plane: `(H, W)` in any unit.
        within: only where the local mean lies in this range (soft tissue, for a CT plane).
        mask: `(H, W)`, true where to look.
        size: side of the neighbourhood in pixels, odd.
        least: lower standard deviations do not count as noise.

    Returns:
        In the plane's unit.

    Raises:
        MeasurementError: fewer than 200 pixels are left to look at.

    Source: Christianson et al., AJR 205, 2015 (global noise level: the histogram's mode);
    leaving out edges is ours.
    """
    local = noise_map(plane, size)
    # A noiseless area's rounding must not count as its noise.
    where = local > max(1e-6 * float(np.ptp(plane)), 1e-36, least)
    # Beside a flat place, an edge's deviation stands out; noise alone spreads less than this.
    where &= local < _EDGE_RATIO * minimum_filter(local, 2 * size - 1)
    if within is not None:
        mean = uniform_filter(plane.astype(np.float64), size)
        where &= (mean >= within[0]) & (mean <= within[1])
    if mask is not None:
        where &= mask
    if int(where.sum()) < _FEWEST_PIXELS:
        raise MeasurementError(
            f"only {int(where.sum())} pixels show noise, expected {_FEWEST_PIXELS} or more"
        )
    return _mode(np.log(local[where].astype(np.float64)))


def _mode(logarithms: RealArray) -> float:
    """Return the value at the highest point of the smoothed histogram of logarithms."""
    counts, edges = np.histogram(logarithms, bins=np.arange(-24.0, 16.0, 0.02))
    smooth = np.convolve(counts, np.hanning(17), mode="same")
    best = int(np.argmax(smooth))
    before, top, after = smooth[best - 1 : best + 2]
    bend = before - 2.0 * top + after
    shift = 0.5 * (before - after) / bend if bend < 0.0 else 0.0  # parabola through the three
    return float(np.exp(edges[best] + (0.5 + shift) * (edges[1] - edges[0])))

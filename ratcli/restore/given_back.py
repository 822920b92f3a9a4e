"""What was taken: the share of it that a restored plane gets back.

A network errs, too. Where it takes little, because there is little noise, its own error is as large
as what it takes, and input and output weigh alike: the share given back is the error's square over
that of what was taken nearby, as in the positive-part shrinkage of James and Stein. Its error grows
with the slope of the plane, so more comes back at edges.

At edges that stand out of the noise, what was taken is averaged along the edge and given back:
noise averages out there, and what an edge lost does not, since it lost the same all along. The
direction is that of the structure tensor.

Sources: James and Stein, Proc. 4th Berkeley Symposium (1961) 361; Foerstner and Guelch, ISPRS
Intercommission Workshop (1987) 281, structure tensor; Weickert, Int. J. Comput. Vision 31 (1999)
111, smoothing along it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from ratcli.scan import BoolArray, FloatArray
from ratcli.task import GivenBack

# Standard deviations in pixels: of the slope, of the direction's neighbourhood, of "nearby".
_SLOPE_PX = 1.0
_DIRECTION_PX = 2.0
_NEARBY_PX = 8.0
# Edges count from this rise over one pixel, in standard deviations of what was taken, and in full
# from twice that.
_STANDS_OUT = 1.0
_TINY = np.float32(1e-12)


def give_back(
    before: FloatArray, after: FloatArray, free: BoolArray, how: GivenBack, unit: float = 1.0
) -> FloatArray:
    """Return a restored plane with a share of what was taken from it.

    Args:
        before: `(C, H, W)`.
        after: the restored plane, same shape and unit.
        free: `(H, W)` or `(C, H, W)`, true where the result may differ; nothing else counts.
        how: which share.
        unit: what `how.error` is divided by to be in the planes' unit.

    Returns:
        float32 `(C, H, W)`.
    """
    free = np.broadcast_to(free, before.shape)
    planes = zip(before, after, free, strict=True)
    return np.stack([_one(*plane, how, np.float32(how.error / unit)) for plane in planes])


def _one(
    before: FloatArray, after: FloatArray, free: BoolArray, how: GivenBack, error: np.float32
) -> FloatArray:
    taken = np.where(free, before - after, np.float32(0))
    down, across = (
        gaussian_filter(after, _SLOPE_PX, order=order, truncate=3) for order in ((1, 0), (0, 1))
    )
    slope = down * down + across * across
    power = np.maximum(_nearby(taken * taken, free), _TINY)
    wrong = error * error + np.float32(how.slope) ** 2 * slope
    share = np.clip(wrong / power, np.float32(how.least), np.float32(1))
    result: FloatArray = after + share * taken
    edge = (slope > _STANDS_OUT**2 * power) & free
    if how.along_px and edge.any():
        lost = _along(taken, down, across, edge, how.along_px)
        stands_out = np.sqrt(slope[edge] / power[edge]) / np.float32(_STANDS_OUT) - 1
        result[edge] += np.minimum(stands_out, 1) * (1 - share[edge]) * lost
    return result


def _nearby(power: FloatArray, free: BoolArray) -> FloatArray:
    """Return the mean of free pixels around each pixel."""
    around: FloatArray = gaussian_filter(power, _NEARBY_PX, truncate=3)
    if free.all():
        return around
    weight = gaussian_filter(free.astype(np.float32), _NEARBY_PX, truncate=3)
    mean: FloatArray = around / np.maximum(weight, np.float32(1e-3))
    return mean


def _along(
    taken: FloatArray, down: FloatArray, across: FloatArray, edge: BoolArray, sigma_px: float
) -> FloatArray:
    """Return means along the edge through each of its pixels, weighted by a Gaussian, `(N,)`."""
    even = gaussian_filter(across * across - down * down, _DIRECTION_PX, truncate=3)[edge]
    mixed = gaussian_filter(2 * across * down, _DIRECTION_PX, truncate=3)[edge]
    normal = np.arctan2(mixed, even) / 2
    step_down, step_across = np.cos(normal), -np.sin(normal)
    rows, columns = (axis.astype(np.float32) for axis in np.nonzero(edge))
    steps = np.arange(-round(2 * sigma_px), round(2 * sigma_px) + 1, dtype=np.float32)
    weights = np.exp(-((steps / np.float32(sigma_px)) ** 2) / 2)
    found = np.zeros(len(rows), np.float32)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        places = np.stack([rows + step * step_down, columns + step * step_across])
        found += weight * map_coordinates(taken, places, order=1, mode="nearest")
    return found

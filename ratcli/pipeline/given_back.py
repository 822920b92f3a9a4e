"""What was taken: the share of it that a restored plane gets back.

A small share comes back everywhere, for texture's sake. A network errs, too: where it takes little,
because there is little noise, its own error is as large as what it takes, and input and output
weigh alike. The share given back is the error's square over that of what was taken nearby, as in
the positive-part shrinkage of James and Stein. The error grows with the slope of the plane, so more
comes back at edges.

At edges that stand out of the noise, what was taken is averaged along the edge and given back. What
an edge lost is alike all along and comes back whole; of noise a third to a half does, by how far it
reaches itself. The direction is that of the structure tensor. Structures of a few pixels, whose
edges turn faster than the average reaches, gain little.

Sources: James and Stein, Proc. 4th Berkeley Symposium (1961) 361; Foerstner and Guelch, ISPRS
Intercommission Workshop (1987) 281, structure tensor; Weickert, Int. J. Comput. Vision 31 (1999)
111, smoothing along it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from ratcli.scan import BoolArray, FloatArray
from ratcli.task import GivenBack

# Standard deviations in pixels: of the slope, of the direction's neighbourhood, of "nearby".
_SLOPE_PX = 1.0
_DIRECTION_PX = 2.0
_NEARBY_PX = 8.0
# Means of so many pixels by so many tell what is nearby as well, and much sooner.
_BLOCK_PX = 4
# Edges count from this rise over one pixel, in standard deviations of the noise nearby, and in full
# from twice that.
_STANDS_OUT = 1.0
# Where a smaller part of what is nearby is no edge, edges count as noise, too.
_ENOUGH = 0.1
# Strong edges hide weaker ones from the first.
_PASSES = 2
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
    steepness = down * down + across * across
    noise = _noise_nearby(taken * taken, steepness, free)
    error_squared = error * error + np.float32(how.slope) ** 2 * steepness
    share = np.clip(error_squared / noise, np.float32(how.least), np.float32(1))
    result: FloatArray = after + share * taken
    edge = free & (share < 1) & (steepness > _STANDS_OUT**2 * noise)
    if how.along_px and edge.any():
        lost = _along(taken, free, (down, across), edge, how.along_px)
        stands_out = np.sqrt(steepness[edge] / noise[edge]) / np.float32(_STANDS_OUT) - 1
        result[edge] += np.minimum(stands_out, 1) * (1 - share[edge]) * lost
    return result


def _noise_nearby(taken: FloatArray, steepness: FloatArray, free: BoolArray) -> FloatArray:
    """Return the mean square of what was taken around each pixel, edges left out where they can be.

    Args:
        taken: squares of what was taken.
        steepness: squares of the slope.
        free: where both count.
    """
    shape = taken.shape
    noise: FloatArray = np.maximum(_means_nearby(taken, free)[0], _TINY)
    for _ in range(_PASSES):
        flat, part = _means_nearby(taken, free & (steepness < _STANDS_OUT**2 * _fine(noise, shape)))
        enough = np.clip(part / np.float32(_ENOUGH) - 1, 0, 1)
        noise = np.maximum(enough * np.minimum(flat, noise) + (1 - enough) * noise, _TINY)
    return _fine(noise, shape)


def _means_nearby(values: FloatArray, counted: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return means of the counted pixels around each block, and what part of them is counted."""
    around, part = (
        gaussian_filter(_blocks(one), _NEARBY_PX / _BLOCK_PX, truncate=3)
        for one in (np.where(counted, values, 0), counted.astype(np.float32))
    )
    return around / np.maximum(part, np.float32(1e-3)), part


def _blocks(values: FloatArray) -> FloatArray:
    """Return means of blocks; those that reach over the plane's end count its last pixels again."""
    height, width = values.shape
    whole = np.pad(values, ((0, -height % _BLOCK_PX), (0, -width % _BLOCK_PX)), mode="edge")
    blocks = whole.reshape(-1, _BLOCK_PX, whole.shape[1] // _BLOCK_PX, _BLOCK_PX)
    means: FloatArray = blocks.mean((1, 3))
    return means


def _fine(blocks: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return values between the middles of blocks, linear, on the plane's own grid."""
    fine: FloatArray = zoom(blocks, _BLOCK_PX, order=1, mode="nearest", grid_mode=True)
    return fine[: shape[0], : shape[1]]


def _along(
    taken: FloatArray,
    free: BoolArray,
    slope: tuple[FloatArray, FloatArray],
    edge: BoolArray,
    sigma_px: float,
) -> FloatArray:
    """Return means along the edge through each of its pixels, weighted by a Gaussian, `(N,)`."""
    down, across = slope
    even = gaussian_filter(across * across - down * down, _DIRECTION_PX, truncate=3)[edge]
    mixed = gaussian_filter(2 * across * down, _DIRECTION_PX, truncate=3)[edge]
    normal = np.arctan2(mixed, even) / 2
    step_down, step_across = np.cos(normal), -np.sin(normal)
    rows, columns = (axis.astype(np.float32) for axis in np.nonzero(edge))
    steps = np.arange(-round(2 * sigma_px), round(2 * sigma_px) + 1, dtype=np.float32)
    weights = np.exp(-((steps / np.float32(sigma_px)) ** 2) / 2)
    counted = None if free.all() else free.astype(np.float32)
    found, weighed = np.zeros((2, len(rows)), np.float32)
    for step, weight in zip(steps, weights, strict=True):
        places = np.stack([rows + step * step_down, columns + step * step_across])
        found += weight * map_coordinates(taken, places, order=1, mode="nearest")
        if counted is not None:
            weighed += weight * map_coordinates(counted, places, order=1, mode="nearest")
    mean: FloatArray = found / (weights.sum() if counted is None else weighed)
    return mean

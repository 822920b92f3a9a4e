"""Keeps a share of the residual (input minus output) in a restored plane.

Every pixel keeps a small share, so that texture survives. The share is larger where there is little
noise: there the network's own error is as large as the noise it removes, so input and output
deserve equal weight. The share is the square of the network's error divided by the mean square of
the residual nearby, as in the positive-part shrinkage of James and Stein. The error grows with the
slope of the plane, so edges keep more.

At edges that stand out of the noise, the residual is averaged along the edge, and the average is
kept. What the network took from the edge itself is the same all along it, and is kept in full. Of
the noise a third to a half is kept, depending on how far the noise is correlated. The direction of
an edge is that of the structure tensor. Structures of a few pixels gain little, because their edges
turn within the length of the average.

Sources: James and Stein, Proc. 4th Berkeley Symposium (1961) 361; Foerstner and Guelch, ISPRS
Intercommission Workshop (1987) 281, structure tensor; Weickert, Int. J. Comput. Vision 31 (1999)
111, smoothing along it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from ratcli.network.registry import ResidualKept
from ratcli.scan import BoolArray, FloatArray

# Standard deviations in pixels of the Gaussians for the slope, for the direction of an edge, and
# for what counts as nearby.
_SLOPE_PX = 1.0
_DIRECTION_PX = 2.0
_NEARBY_PX = 8.0
# Means of squares of this side are as good for what is nearby, and much faster.
_SQUARE_PX = 4
# Edges count from this rise over one pixel, in standard deviations of the noise nearby, and in full
# from twice that.
_STANDS_OUT = 1.0
# If a smaller part of the pixels nearby is free of edges, edges count as noise, too.
_ENOUGH = 0.1
# Strong edges hide weaker ones from the first pass.
_PASSES = 2
_TINY = np.float32(1e-12)


def keep_residual(
    before: FloatArray, after: FloatArray, free: BoolArray, how: ResidualKept, unit: float = 1.0
) -> FloatArray:
    """Return a restored plane with a share of the residual added.

    Args:
        before: `(C, H, W)`.
        after: the restored plane, same shape and unit.
        free: `(H, W)` or `(C, H, W)`, true where the result may differ from the input; other pixels
            are not used.
        how: which share.
        unit: what `how.error` is divided by to be in the planes' unit.

    Returns:
        float32 `(C, H, W)`.
    """
    free = np.broadcast_to(free, before.shape)
    planes = zip(before, after, free, strict=True)
    return np.stack([_one(*plane, how, np.float32(how.error / unit)) for plane in planes])


def _one(
    before: FloatArray, after: FloatArray, free: BoolArray, how: ResidualKept, error: np.float32
) -> FloatArray:
    residual = np.where(free, before - after, np.float32(0))
    down, across = (
        gaussian_filter(after, _SLOPE_PX, order=order, truncate=3) for order in ((1, 0), (0, 1))
    )
    steepness = down * down + across * across
    noise = _noise_nearby(residual * residual, steepness, free)
    error_squared = error * error + np.float32(how.slope) ** 2 * steepness
    share = np.clip(error_squared / noise, np.float32(how.least), np.float32(1))
    result: FloatArray = after + share * residual
    edge = free & (share < 1) & (steepness > _STANDS_OUT**2 * noise)
    if how.along_px and edge.any():
        lost = _along(residual, free, (down, across), edge, how.along_px)
        stands_out = np.sqrt(steepness[edge] / noise[edge]) / np.float32(_STANDS_OUT) - 1
        result[edge] += np.minimum(stands_out, 1) * (1 - share[edge]) * lost
    return result


def _noise_nearby(squares: FloatArray, steepness: FloatArray, free: BoolArray) -> FloatArray:
    """Return the mean square of the residual around each pixel, without edges where possible.

    Args:
        squares: squares of the residual.
        steepness: squares of the slope.
        free: where both count.
    """
    shape = squares.shape
    noise: FloatArray = np.maximum(_means_nearby(squares, free)[0], _TINY)
    for _ in range(_PASSES):
        flat, part = _means_nearby(
            squares, free & (steepness < _STANDS_OUT**2 * _fine(noise, shape))
        )
        enough = np.clip(part / np.float32(_ENOUGH) - 1, 0, 1)
        noise = np.maximum(enough * np.minimum(flat, noise) + (1 - enough) * noise, _TINY)
    return _fine(noise, shape)


def _means_nearby(values: FloatArray, counted: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return means of the counted pixels around each square, and the share of counted pixels."""
    around, part = (
        gaussian_filter(_squares(one), _NEARBY_PX / _SQUARE_PX, truncate=3)
        for one in (np.where(counted, values, 0), counted.astype(np.float32))
    )
    return around / np.maximum(part, np.float32(1e-3)), part


def _squares(values: FloatArray) -> FloatArray:
    """Return means of squares; those that reach over the border count the last pixels again."""
    height, width = values.shape
    whole = np.pad(values, ((0, -height % _SQUARE_PX), (0, -width % _SQUARE_PX)), mode="edge")
    squares = whole.reshape(-1, _SQUARE_PX, whole.shape[1] // _SQUARE_PX, _SQUARE_PX)
    means: FloatArray = squares.mean((1, 3))
    return means


def _fine(squares: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Interpolate linearly between the centres of squares, on the plane's own grid."""
    fine: FloatArray = zoom(squares, _SQUARE_PX, order=1, mode="nearest", grid_mode=True)
    return fine[: shape[0], : shape[1]]


def _along(
    residual: FloatArray,
    free: BoolArray,
    slope: tuple[FloatArray, FloatArray],
    edge: BoolArray,
    sigma_px: float,
) -> FloatArray:
    """Return for each pixel of an edge the Gaussian mean of the residual along it, `(N,)`."""
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
        found += weight * map_coordinates(residual, places, order=1, mode="nearest")
        if counted is not None:
            weighed += weight * map_coordinates(counted, places, order=1, mode="nearest")
    mean: FloatArray = found / (weights.sum() if counted is None else weighed)
    return mean

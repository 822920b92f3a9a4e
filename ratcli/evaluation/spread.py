"""The standard deviation of a residual around each pixel, robust against structures.

No torch here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.physics.local_noise import MAD_TO_SD
from ratcli.scan import BoolArray

RealArray = npt.NDArray[np.float64]

_TILE_PX = 32
_FEWEST_OF_A_VALUE = 150


def robust_spread(values: RealArray, inside: BoolArray) -> RealArray:
    """Return the local standard deviation `(H, W)`, robust against outliers and structures.

    It comes from the median of absolute values in each tile, and is the larger one of
    neighbouring tiles, so that noise beside a quiet area is not exaggerated. It is at least a
    fifth of the median over tiles.

    Args:
        values: `(H, W)` of mean 0.
        inside: `(H, W)`, true where to look; other tiles take the nearest spread.
    """
    tile = min(_TILE_PX, max(min(values.shape) // 8, 8))
    medians = _tile_medians(np.where(inside, np.abs(values), np.nan), tile)
    known = np.isfinite(medians)
    if not known.any():
        return np.ones_like(values)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    spread = MAD_TO_SD * medians[tuple(nearest)]
    spread = ndimage.percentile_filter(spread, 70, size=3, mode="nearest")
    usual = float(np.median(spread[spread > 0])) if (spread > 0).any() else 1.0
    zoom = [size / count for size, count in zip(values.shape, spread.shape, strict=True)]
    smooth = ndimage.zoom(spread, zoom, order=1, mode="nearest", grid_mode=True)
    result: RealArray = np.maximum(smooth, 0.2 * usual)
    return result


def spread_by_value(values: RealArray, image: RealArray, inside: BoolArray) -> RealArray:
    """Return the standard deviation `(H, W)` of noise that grows with the image's value.

    It comes from the median of absolute values among pixels of similar value in the smoothed
    image, and never falls as the value rises.

    Args:
        values: `(H, W)` of mean 0, the noise.
        image: `(H, W)`, what the noise follows.
        inside: `(H, W)`, true where to look.
    """
    level = ndimage.gaussian_filter(image, 1.0)
    known = level[inside]
    if known.size < _FEWEST_OF_A_VALUE:
        return np.full_like(values, max(float(values.std()), 1e-30))
    count = max(min(known.size // _FEWEST_OF_A_VALUE, 40), 1)
    order = np.argsort(known)
    groups = np.array_split(order, count)
    noise = np.abs(values[inside])
    middles = np.array([float(known[group].mean()) for group in groups])
    spreads = np.array([MAD_TO_SD * float(np.median(noise[group])) for group in groups])
    rising = np.maximum.accumulate(spreads)
    # The brightest pixels are few: beyond the last group the spread goes on as the value does.
    last = rising[-1] * np.maximum(level / max(middles[-1], 1e-30), 1.0)
    result: RealArray = np.where(level > middles[-1], last, np.interp(level, middles, rising))
    return np.maximum(result, max(0.05 * float(np.median(rising)), 1e-30))


def _tile_medians(values: RealArray, tile: int) -> RealArray:
    """Return the median of each tile, nan where fewer than an eighth of its values are known."""
    rows, columns = (max(size // tile, 1) for size in values.shape)
    medians = np.full((rows, columns), np.nan)
    for row, band in enumerate(np.array_split(values, rows, axis=0)):
        for column, part in enumerate(np.array_split(band, columns, axis=1)):
            known = part[np.isfinite(part)]
            if known.size >= part.size // 8 and known.size > 0:
                medians[row, column] = float(np.median(known))
    return medians

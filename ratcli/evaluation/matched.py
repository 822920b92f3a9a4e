"""Searching a residual for spots and lines: matched filters, in local standard deviations.

No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.physics.local_noise import MAD_TO_SD
from ratcli.scan import BoolArray

RealArray = npt.NDArray[np.float64]

_TILE_PX = 32
_ORIENTATIONS = 12
_BORDER_MM = 6.0
_FEWEST_OF_A_VALUE = 150


def search(
    residual: RealArray, inside: BoolArray, spacing_mm: float
) -> tuple[RealArray, RealArray]:
    """Return how far spots and lines of a residual stand out of its noise.

    Args:
        residual: `(H, W)` in any unit.
        inside: `(H, W)`, false in padding.
        spacing_mm: pixel pitch.

    Returns:
        Two z maps `(H, W)`: of spots of 4 mm, and of the strongest line of 12 mm through each
        pixel; 0 within 6 mm of padding and of the plane's border.
    """
    spots, lines = _responses(residual, inside, spacing_mm)
    border = _near_border(inside, spacing_mm)
    spots[border], lines[border] = 0.0, 0.0
    return spots, lines


def robust_spread(values: RealArray, inside: BoolArray) -> RealArray:
    """Return the local standard deviation `(H, W)` that outliers and structures hardly raise.

    From the median of absolute values in tiles, the larger of neighbouring tiles, so that a
    quiet side does not make the other look loud; never below a fifth of the usual.

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

    From the median of absolute values among pixels of like value, smoothed image taken, and
    never falling with it.

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


def _responses(
    residual: RealArray, inside: BoolArray, spacing_mm: float
) -> tuple[RealArray, RealArray]:
    """Return z maps `(H, W)` of spots, and of the strongest line through each pixel."""
    strongest = np.zeros_like(residual)
    spots = strongest
    for index, response in enumerate(_filtered(residual, spacing_mm)):
        z = response / robust_spread(response, inside)
        if index == 0:
            spots = z
        else:
            strongest = np.where(np.abs(z) > np.abs(strongest), z, strongest)
    return spots, strongest


def _near_border(inside: BoolArray, spacing_mm: float) -> BoolArray:
    """Return true within a line's reach of the plane's border and of padding.

    Filters see mirrored noise there, which looks twice as long as it is.
    """
    reach = math.ceil(_BORDER_MM / spacing_mm)
    distance = ndimage.distance_transform_cdt(np.pad(inside, 1), metric="chessboard")
    near: BoolArray = distance[1:-1, 1:-1] <= reach
    return near


def _filtered(values: RealArray, spacing_mm: float) -> Iterator[RealArray]:
    """Yield the response `(H, W)` of the spot filter, then of each line filter."""
    padded = np.pad(values, _TILE_PX, mode="reflect" if min(values.shape) > _TILE_PX else "edge")
    transform = np.fft.rfft2(padded)
    inner = slice(_TILE_PX, -_TILE_PX)
    for kernel in _kernels(padded.shape, round(spacing_mm, 4)):
        yield np.fft.irfft2(transform * kernel, padded.shape)[inner, inner]


@lru_cache(maxsize=4)
def _kernels(shape: tuple[int, int], spacing_mm: float) -> tuple[RealArray, ...]:
    """Return transfer functions: a spot of 4 mm, then lines 12 mm long and 1.5 mm wide.

    Each is a Gaussian less a wider one, so that slow changes do not count.
    """
    down = np.asarray(np.fft.fftfreq(shape[0], spacing_mm), np.float64)[:, None]
    across = np.asarray(np.fft.rfftfreq(shape[1], spacing_mm), np.float64)[None, :]
    kernels = [_gauss(down, across, 1.2, 1.2) - _gauss(down, across, 4.0, 4.0)]
    for step in range(_ORIENTATIONS):
        angle = math.pi * step / _ORIENTATIONS
        along = math.cos(angle) * across + math.sin(angle) * down
        over = math.cos(angle) * down - math.sin(angle) * across
        kernels.append(_gauss(along, over, 4.0, 0.7) - _gauss(along, over, 4.0, 2.5))
    return tuple(kernels)


def _gauss(along: RealArray, over: RealArray, long_mm: float, wide_mm: float) -> RealArray:
    """Return the transfer function of a Gaussian with those standard deviations."""
    exponent = (long_mm * along) ** 2 + (wide_mm * over) ** 2
    result: RealArray = np.exp(-2.0 * math.pi**2 * exponent)
    return result

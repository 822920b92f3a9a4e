"""Searches a residual for spots and lines, in standard deviations of its noise.

No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.evaluation.spread import robust_spread
from ratcli.scan import BoolArray

RealArray = npt.NDArray[np.float64]

_TILE_PX = 32
_ORIENTATIONS = 12
_BORDER_MM = 6.0


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

    There the filters see mirrored noise, which makes a structure look twice as long.
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

    Each is a Gaussian minus a wider one, so that slow changes do not count.
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

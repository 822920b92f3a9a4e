"""Measures patterns of upsampling: errors that repeat with the pixels of the input.

Transposed convolutions and pixel shuffles can leave a checkerboard of the period of the scale,
which mean errors and SSIM hardly show. No torch here.

Source: Odena et al., Deconvolution and checkerboard artifacts, Distill, 2016.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RealArray = npt.NDArray[np.float64]

_TILE = 64
_NEAR, _FAR = 3, 4


def fixed_pattern(residual: npt.NDArray[np.floating], period: int) -> float:
    """Return the standard deviation of the means over each place `(i, j)` modulo a period.

    A pattern that is the same everywhere keeps its own standard deviation; noise of standard
    deviation s leaves s / sqrt(number of periods).

    Args:
        residual: output less reference `(H, W)`, a period or more a side.
        period: of the pattern in pixels: the scale.

    Returns:
        In the unit of the residual.

    Raises:
        ValueError: the plane holds no whole period.
    """
    rows, columns = (side // period for side in residual.shape)
    if not rows or not columns:
        raise ValueError(f"{residual.shape} pixels hold no whole period of {period}")
    whole = residual[: rows * period, : columns * period].astype(np.float64)
    return float(whole.reshape(rows, period, columns, period).mean(axis=(0, 2)).std())


def grid_power(residual: npt.NDArray[np.floating], period: int) -> float:
    """Return how far a pattern of a period stands out of a residual's spectrum.

    Tiles of 64 pixels, half overlapping, under a Hann window: the mean power at each multiple of
    1/period in both axes (but not of both zero), over the geometric mean on the ring of frequencies
    3 and 4 steps away. Without a pattern all are about 1, whatever the spectrum's slope. It finds
    patterns whose phase differs from place to place, too.

    Args:
        residual: output less reference `(H, W)`, at least 64 pixels a side.
        period: of the pattern in pixels; a divisor of 64, at most 8.

    Returns:
        The largest ratio; has no unit.

    Raises:
        ValueError: a smaller plane, or another period.
    """
    if min(residual.shape) < _TILE or period < 2 or period > 8 or _TILE % period:
        raise ValueError(f"no spectrum of {residual.shape} pixels shows a period of {period}")
    power = _spectrum(residual.astype(np.float64))
    away = np.arange(-_FAR, _FAR + 1)
    ring = np.maximum(np.abs(away)[:, None], np.abs(away)) >= _NEAR
    step = _TILE // period
    ratios = []
    for i in range(0, _TILE, step):
        for j in range(0, _TILE, step):
            near = power[np.ix_((i + away) % _TILE, (j + away) % _TILE)]
            ratios.append(near[_FAR, _FAR] / np.exp(np.log(near[ring]).mean()))
    return float(max(ratios[1:]))


def _spectrum(residual: RealArray) -> RealArray:
    """Return the mean power `(64, 64)` of half overlapping tiles without their means."""
    starts = [range(0, side - _TILE + 1, _TILE // 2) for side in residual.shape]
    tiles = np.stack([residual[i : i + _TILE, j : j + _TILE] for i in starts[0] for j in starts[1]])
    hann = np.hanning(_TILE + 1)[:-1]
    tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * hann[:, None] * hann
    power: RealArray = (np.abs(np.fft.fft2(tiles)) ** 2).mean(axis=0)
    return power

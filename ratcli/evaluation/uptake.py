"""PET: uptake in regions of a volume, and recovery. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve

from ratcli.errors import MeasurementError
from ratcli.scan import BoolArray

RealArray = npt.NDArray[np.float64]

PEAK_RADIUS_MM = (3.0 / (4.0 * math.pi)) ** (1.0 / 3.0) * 10.0
"""Radius of a sphere of 1 ml: 6.2 mm."""
_FINE = 5


@dataclass(frozen=True)
class Uptake:
    """Uptake in a region.

    Attributes:
        mean: SUVmean.
        highest: SUVmax, the highest voxel.
        peak: SUVpeak, the highest mean of a sphere of 1 ml centred in the region; nan where no
            such sphere lies inside the volume.
        volume_ml: of the region.
    """

    mean: float
    highest: float
    peak: float
    volume_ml: float


def uptake(
    volume: npt.NDArray[np.floating], mask: BoolArray, spacing_mm: tuple[float, float, float]
) -> Uptake:
    """Measure a region of a volume.

    Args:
        volume: `(D, H, W)` in SUV (or in any unit of activity).
        mask: `(D, H, W)`, true in the region.
        spacing_mm: between planes, rows and columns.

    Raises:
        MeasurementError: the region is empty.

    Source: QIBA FDG-PET/CT profile (SUVpeak: 1 ml sphere).
    """
    if not mask.any():
        raise MeasurementError("the region has no voxel")
    inside = volume[mask].astype(np.float64)
    millilitres = float(mask.sum()) * math.prod(spacing_mm) / 1000.0
    return Uptake(
        float(inside.mean()),
        float(inside.max()),
        _peak(volume, mask, sphere_weights(spacing_mm)),
        millilitres,
    )


def sphere_weights(
    spacing_mm: tuple[float, float, float], radius_mm: float = PEAK_RADIUS_MM
) -> RealArray:
    """Return `(d, h, w)`, odd sizes: the share of each voxel inside a sphere, their sum 1."""
    axes = []
    for step in spacing_mm:
        half = math.ceil(radius_mm / step - 0.5)
        voxels = np.arange(-half, half + 1)
        parts = (np.arange(_FINE) + 0.5) / _FINE - 0.5
        axes.append(((voxels[:, None] + parts) * step).ravel())
    planes, rows, columns = np.ix_(*axes)
    fine = (planes**2 + rows**2 + columns**2 <= radius_mm**2).astype(np.float64)
    shape = [part for axis in axes for part in (len(axis) // _FINE, _FINE)]
    shares: RealArray = fine.reshape(shape).mean(axis=(1, 3, 5))
    weights: RealArray = shares / shares.sum()
    return weights


def recovery(measured: Uptake, truth: Uptake) -> tuple[float, float, float]:
    """Return recovery coefficients of mean, maximum and peak: measured over true uptake.

    Raises:
        MeasurementError: the true uptake is not positive.
    """
    if not min(truth.mean, truth.highest) > 0.0:
        raise MeasurementError("the true uptake is not positive, so recovery cannot be measured")
    return (
        measured.mean / truth.mean,
        measured.highest / truth.highest,
        measured.peak / truth.peak,
    )


def _peak(volume: npt.NDArray[np.floating], mask: BoolArray, weights: RealArray) -> float:
    """Return the highest weighted mean centred in the mask, nan if none fits the volume."""
    half = [size // 2 for size in weights.shape]
    where = np.nonzero(mask)
    if any(size < 2 * part + 1 for size, part in zip(volume.shape, half, strict=True)):
        return math.nan
    # The region's bounding box and half a sphere around it are enough.
    box = tuple(
        slice(max(int(axis.min()) - part, 0), int(axis.max()) + part + 1)
        for axis, part in zip(where, half, strict=True)
    )
    fits = np.zeros(volume.shape, np.bool_)
    fits[tuple(slice(part, size - part) for part, size in zip(half, volume.shape, strict=True))] = (
        True
    )
    means = convolve(volume[box].astype(np.float64), weights, mode="nearest")
    allowed = (mask & fits)[box]
    return float(means[allowed].max()) if allowed.any() else math.nan

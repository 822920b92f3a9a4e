"""PET: uptake in given regions of a volume, and recovery. No torch here."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve

from ratcli.errors import MeasurementError
from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED
from ratcli.evaluation.given_regions import RegionSource, region_name
from ratcli.evaluation.views import ComparedView, named_images
from ratcli.scan import BoolArray, FloatArray

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


def sphere_weights(spacing_mm: tuple[float, float, float]) -> RealArray:
    """Return `(d, h, w)`, odd sizes: the share of each voxel inside 1 ml, their sum 1."""
    axes = []
    for step in spacing_mm:
        half = math.ceil(PEAK_RADIUS_MM / step - 0.5)
        voxels = np.arange(-half, half + 1)
        parts = (np.arange(_FINE) + 0.5) / _FINE - 0.5
        axes.append(((voxels[:, None] + parts) * step).ravel())
    planes, rows, columns = np.ix_(*axes)
    fine = (planes**2 + rows**2 + columns**2 <= PEAK_RADIUS_MM**2).astype(np.float64)
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


@dataclass(frozen=True)
class UptakeRow:
    """PET figures of one region.

    Attributes:
        name: of the region.
        restored: in the restored image.
        reference: in the reference, or None.
        input: in the input, or None.
        nominal: true uptake, where the region was given with one, in the scan's unit.
    """

    name: str
    restored: Uptake
    reference: Uptake | None
    input: Uptake | None = None
    nominal: float | None = None

    @property
    def truth(self) -> Uptake | None:
        """What to measure recovery against: the nominal uptake, else the reference's."""
        if self.nominal is not None:
            return Uptake(self.nominal, self.nominal, self.nominal, self.restored.volume_ml)
        return self.reference

    def recovery(self, measured: Uptake) -> tuple[float, float, float] | None:
        """Return recovery coefficients of mean, maximum and peak; None without a truth above 0."""
        truth = self.truth
        if truth is None or not min(truth.mean, truth.highest) > 0.0:
            return None
        return recovery(measured, truth)


@dataclass
class UptakeRows:
    """Uptake in given regions, over the whole volume.

    Attributes:
        regions: where to measure, given by the user.
        spacing_mm: between planes, rows and columns.
    """

    regions: RegionSource
    spacing_mm: tuple[float, float, float]
    _planes: dict[str, list[FloatArray]] = field(default_factory=lambda: defaultdict(list))
    _labels: list[npt.NDArray[np.int32]] = field(default_factory=list)

    def add(self, compared: ComparedView) -> None:
        """Keep a plane."""
        for name, image in named_images(compared).items():
            if name in (RESTORED, INPUT, REFERENCE):
                self._planes[name].append(image[0])
        self._labels.append(np.where(compared.mask, compared.labels, -1))

    def rows(self) -> tuple[UptakeRow, ...]:
        """Return a row for each region."""
        labels = np.stack(self._labels)
        volumes = {name: np.stack(planes) for name, planes in self._planes.items()}
        rows = []
        for label in np.unique(labels[labels >= 0]).tolist():
            mask = labels == label
            found = {
                name: uptake(volume, mask, self.spacing_mm) for name, volume in volumes.items()
            }
            rows.append(
                UptakeRow(
                    region_name(self.regions, label),
                    found[RESTORED],
                    found.get(REFERENCE),
                    found.get(INPUT),
                    self.regions.nominal.get(label),
                )
            )
        return tuple(rows)

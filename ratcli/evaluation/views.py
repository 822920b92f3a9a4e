"""A view of a comparison: the same plane, or part of a plane, of all its scans, with its regions.

Regions are found in a plane where the user gives none. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.evaluation.baselines import Baseline, bicubic
from ratcli.evaluation.comparison import INPUT, REFERENCE, RESTORED, Comparison
from ratcli.evaluation.window import MeasuredUnit
from ratcli.holes import fill_holes, not_measured
from ratcli.partition import get_partitioner
from ratcli.regions import LabelArray
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo, ScanReader
from ratcli.tasks import TASKS

_LARGEST_PX = 4096 * 4096
_TILE_PX = 1024
_TILES = 20
# Scanners clip CT values here; noise that is clipped on one side shifts the mean.
_LOWEST_HU = -1024.0
_AIR_HU, _AIR_SHARE = -600.0, 0.05
_SMALLEST_REGION_PX = 64
_UNCERTAINTY = "uncertainty"


@dataclass(frozen=True)
class View:
    """A plane, or a box in a plane that is too large to be measured as a whole."""

    plane: int
    box: Box | None = None


@dataclass(frozen=True)
class ComparedView:
    """What a view shows, all on the restored grid.

    Attributes:
        view: which part.
        images: float32 `(C, H, W)` by name: `restored`, `input`, then baselines; holes in what was
            measured are filled, so that no filter meets them as edges.
        reference: float32 `(C, H, W)`, or None.
        mask: `(H, W)`, true where every image holds a measurement.
        labels: `(H, W)` regions, -1 outside them.
        uncertainty: float32 `(H, W)` or None; of RGB, the root mean square of its channels.
        unit: of the values.
    """

    view: View
    images: Mapping[str, FloatArray]
    reference: FloatArray | None
    mask: BoolArray
    labels: LabelArray
    uncertainty: FloatArray | None
    unit: str | None

    @cached_property
    def trusted(self) -> BoolArray:
        """`(H, W)`: the mask; in CT and PET the body alone.

        The air around it is excluded: its noise is clipped on one side.
        """
        restored = self.images[RESTORED][0]
        if self.unit == "HU":
            lowest = np.min([image[0] for image in self.images.values()], axis=0)
            body: BoolArray = body_mask(restored, _AIR_HU) & (lowest > _LOWEST_HU)
            return self.mask & body
        if self.unit in ("SUV", "Bq/ml") and self.mask.any():
            air = _AIR_SHARE * float(np.percentile(restored[self.mask], 98))
            return self.mask & body_mask(restored, air)
        return self.mask


def body_mask(plane: npt.NDArray[np.floating], above: float) -> BoolArray:
    """Return `(H, W)`: the largest object above a value, with the cavities inside it.

    Args:
        plane: `(H, W)` in any unit.
        above: in that unit; lower is air.

    Returns:
        False everywhere if there is no such object.
    """
    dense = ndimage.binary_opening(plane > above, iterations=2)
    labels, count = ndimage.label(dense)
    if count == 0:
        return np.zeros(plane.shape, np.bool_)
    sizes = np.bincount(labels.ravel())[1:]
    body: BoolArray = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes)))
    return body


def views_of(info: ScanInfo) -> tuple[View, ...]:
    """Return the views of a scan: its planes, or some 20 boxes spread over those too large."""
    if info.height * info.width <= _LARGEST_PX:
        return tuple(View(plane) for plane in range(info.planes))
    each = max(_TILES // info.planes, 1)
    share = math.sqrt(each * info.width / info.height)
    across = max(round(share), 1)
    down = max(each // across, 1)
    return tuple(
        View(plane, Box(top, left, _TILE_PX, _TILE_PX))
        for plane in range(info.planes)
        for top in _spread(info.height, down)
        for left in _spread(info.width, across)
    )


def read_view(
    comparison: Comparison, view: View, baselines: tuple[Baseline, ...], measured: MeasuredUnit
) -> ComparedView:
    """Read the same view of all scans and run the baselines on the input.

    Args:
        comparison: the scans; regions are found on the restored image where none are given,
            never on the input, since its noise would choose their pixels.
        view: what to read.
        baselines: to run where the input has the restored grid.
        measured: unit of the compared, and what values are multiplied by.
    """
    scale = comparison.scale
    read = {
        name: _read(reader, view, measured) for name, reader in _on_the_grid(comparison).items()
    }
    hidden = np.logical_or.reduce([part.hidden for part in read.values()])
    coarse: FloatArray | None = None
    if comparison.input is not None and scale > 1:
        box = view.box and Box(*(part // scale for part in view.box))
        coarse, unseen = _read(comparison.input, View(view.plane, box), measured)
        hidden |= unseen.repeat(scale, 0).repeat(scale, 1)
        coarse = _filled(coarse, unseen)
    images = {name: _filled(part.values, hidden) for name, part in read.items()}
    reference, uncertainty = images.pop(REFERENCE, None), images.pop(_UNCERTAINTY, None)
    if INPUT in images:
        images |= {baseline.name: baseline(images[INPUT]) for baseline in baselines}
    if coarse is not None:
        images["bicubic"] = bicubic(coarse, scale)
    return ComparedView(
        view=view,
        images=images,
        reference=reference,
        mask=~hidden,
        labels=_labels(comparison, view, images[RESTORED], measured.unit),
        uncertainty=None if uncertainty is None else channels_rms(uncertainty),
        unit=measured.unit,
    )


def named_images(compared: ComparedView) -> dict[str, FloatArray]:
    """Return all images of a view by name, the reference among them."""
    images = dict(compared.images)
    if compared.reference is not None:
        images[REFERENCE] = compared.reference
    return images


def cleanest(compared: ComparedView) -> FloatArray:
    """Return the image in which to look for places: the reference, else the restored one."""
    return compared.images[RESTORED] if compared.reference is None else compared.reference


def channels_rms(values: FloatArray) -> FloatArray:
    """Return `(H, W)`: the root mean square of the channels of `(C, H, W)`."""
    rms: FloatArray = np.sqrt(np.mean(values.astype(np.float64) ** 2, axis=0)).astype(np.float32)
    return rms


class _ReadPart(NamedTuple):
    """Values `(C, H, W)` of a view of one scan; `(H, W)`, true where nothing was measured."""

    values: FloatArray
    hidden: BoolArray


def _on_the_grid(comparison: Comparison) -> dict[str, ScanReader]:
    """Return the scans on the restored grid by name, the restored one first."""
    readers = {
        RESTORED: comparison.restored,
        INPUT: comparison.input if comparison.scale == 1 else None,
        REFERENCE: comparison.reference,
        _UNCERTAINTY: comparison.uncertainty,
    }
    return {name: reader for name, reader in readers.items() if reader is not None}


def _read(reader: ScanReader, view: View, measured: MeasuredUnit) -> _ReadPart:
    values = reader.read(view.plane, view.box)
    hidden = not_measured(values, reader.padding(view.plane, view.box))
    factor = measured.factor_of(reader)
    if factor != 1.0:
        values = (values * np.float32(factor)).astype(np.float32)
    return _ReadPart(values, hidden)


def _filled(values: FloatArray, hidden: BoolArray) -> FloatArray:
    """Return a view in which no filter meets a hole as an edge, see `fill_holes`."""
    measured = values[:, ~hidden]
    return fill_holes(values, hidden, measured.min() if measured.size else np.float32(0))


def _labels(
    comparison: Comparison, view: View, restored: FloatArray, unit: str | None
) -> LabelArray:
    """Return the given regions of a view, or automatic ones."""
    info = comparison.restored.info
    if comparison.regions is None:
        return automatic_regions(restored, unit)
    labels = comparison.regions.labels(view.plane, (info.height, info.width))
    return labels if view.box is None else labels[view.box.slices]


def _spread(size: int, count: int) -> list[int]:
    """Return starts of tiles spread over an axis, at whole fours for a coarser input."""
    free = size - _TILE_PX
    starts = [free // 2] if count == 1 else [free * part // (count - 1) for part in range(count)]
    return [start // 4 * 4 for start in starts]


def automatic_regions(plane: FloatArray, unit: str | None) -> LabelArray:
    """Find regions in a plane and leave out their borders and those that are small.

    Args:
        plane: `(C, H, W)` in the unit.
        unit: of the values.

    Returns:
        `(H, W)`; -1 on the borders, where partial volumes have no value of their own.
    """
    task = next((task for task in TASKS.values() if task.units[0] == unit), None)
    if task is not None:
        values = task.normalise(plane)
    else:
        low, high = np.percentile(plane, (1.0, 99.5))
        values = ((plane - low) / max(high - low, 1e-12)).astype(np.float32)
    labels = get_partitioner("superpixel").partition(values).labels
    return _interiors(labels)


def _interiors(labels: LabelArray) -> LabelArray:
    """Return labels without the pixels that touch another region, and without small remains."""
    same = np.ones(labels.shape, np.bool_)
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) == 0
        first, second = [slice(None)] * 2, [slice(None)] * 2
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        same[tuple(first)] &= step
        same[tuple(second)] &= step
    inner = np.where(same, labels, -1).astype(np.int32)
    counts = np.bincount(inner[inner >= 0], minlength=int(labels.max()) + 1)
    inner[(inner >= 0) & (counts[inner] < _SMALLEST_REGION_PX)] = -1
    return inner

"""A plane before it goes through a network: normalised, and with its regions."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter, minimum_filter

from ratcli.holes import not_measured, seen_by_network
from ratcli.network.neighbours import Neighbour, Neighbours
from ratcli.partition import Partitioner
from ratcli.regions import LabelArray, Regions
from ratcli.scan import BoolArray, FloatArray
from ratcli.task import Task

CONSTANT_PX = 7
"""Side in pixels of the smallest square of one value that is kept as it is."""

_Sample = TypeVar("_Sample", bound=np.generic)


@dataclass(frozen=True)
class PreparedPlane:
    """A plane before it goes through the network.

    Attributes:
        values: `(C, H, W)` in the task's first unit.
        hidden: `(H, W)`, true where there is no measurement.
        kept: `(C, H, W)`, true where the result is the input.
        normal: `(C, H, W)`, normalised, as the network sees it.
        labels: `(s*H, s*W)`.
        regions: number of regions.
        partition_seconds: time in the partitioner.
        neighbours: planes beside it, as the network sees them.
    """

    values: FloatArray
    hidden: BoolArray
    kept: BoolArray
    normal: FloatArray
    labels: LabelArray
    regions: int
    partition_seconds: float
    neighbours: Neighbours


@dataclass(frozen=True)
class ReadPlane:
    """A plane, or a pane of one, as it was read.

    Attributes:
        values: `(C, H, W)` in the task's first unit.
        padding: `(H, W)`, true where there is no measurement.
        regions: its regions, or None to find them.
        neighbours: planes beside it, in the same unit.
        outer: of a pane, where padding surrounds the object in the whole plane; see `fill_holes`.
    """

    values: FloatArray
    padding: BoolArray
    regions: Regions | None = None
    neighbours: Neighbours = ()
    outer: BoolArray | None = None


def prepare(task: Task, partitioner: Partitioner, plane: ReadPlane) -> PreparedPlane:
    """Map a plane to the network's values and find its regions, unless they are given.

    Args:
        task: whose network.
        partitioner: labels planes.
        plane: the plane.
    """
    values = plane.values
    hidden = not_measured(values, plane.padding)
    normal = seen_by_network(task, values, hidden, plane.outer)
    began = time.perf_counter()
    regions = plane.regions or partitioner.partition(normal)
    seconds = time.perf_counter() - began
    labels = enlarged(regions.labels, task.scale)
    kept = hidden | task.outside(values) | without_noise(values)
    near = [each and _normal(task, each) for each in plane.neighbours]
    return PreparedPlane(values, hidden, kept, normal, labels, regions.count, seconds, near)


def without_noise(values: FloatArray) -> BoolArray:
    """Return `(C, H, W)`, true in areas of one value that are at least `CONSTANT_PX` wide.

    Measured values scatter: such an area was computed or cut off, and there is nothing to restore.

    Args:
        values: `(C, H, W)`.
    """
    size = (1, CONSTANT_PX, CONSTANT_PX)
    highest, lowest = maximum_filter(values, size), minimum_filter(values, size)
    constant: BoolArray = maximum_filter(highest == lowest, size)
    return constant


def _normal(task: Task, neighbour: Neighbour) -> Neighbour:
    """Map a neighbour to the network's values."""
    values, known = neighbour.values, neighbour.known
    missing = np.zeros(values.shape[1:], np.bool_) if known is None else ~known
    hidden = not_measured(values, missing)
    return replace(neighbour, values=seen_by_network(task, values, hidden), known=~hidden)


def with_holes(plane: PreparedPlane, restored: FloatArray, scale: int) -> FloatArray:
    """Put back what was not measured, enlarged by repeating its pixels.

    What alpha hides at the border of a hole is not put back: alpha is enlarged smoothly, so that a
    part of it becomes visible.
    """
    if not plane.hidden.any():
        return restored
    kept = minimum_filter(plane.hidden, 3) | ~np.isfinite(plane.values)
    return np.where(enlarged(kept, scale), enlarged(plane.values, scale), restored)


def enlarged(pixels: npt.NDArray[_Sample], scale: int) -> npt.NDArray[_Sample]:
    """Repeat the pixels of `(..., H, W)`."""
    return pixels.repeat(scale, -2).repeat(scale, -1)

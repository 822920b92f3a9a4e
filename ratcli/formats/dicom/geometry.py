"""Where planes are in space: their order, their distance, gaps and tilt."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.formats.wording import counted

Vector = npt.NDArray[np.float64]

SAME_PLACE_MM = 1e-3
"""Largest distance of two planes at one place: far more than rounding, far less than a slice."""

_TILT_DEGREES = 0.1
_UNEVEN_MM = 0.01


@dataclass(frozen=True)
class PlaneGeometry:
    """Position of a plane.

    Attributes:
        position: centre of the first pixel in mm, `(x, y, z)`; None if unknown.
        orientation: direction cosines of a row and of a column; None if unknown.
        spacing_mm: between rows and between columns; None if unknown.
    """

    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing_mm: tuple[float, float] | None = None


def normal(orientation: Sequence[float]) -> Vector | None:
    """Return the unit normal of a plane, or None if the directions do not span a plane."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:6])
    cross = np.cross(row, column)
    length = float(np.linalg.norm(cross))
    return None if length < 1e-3 else cross / length


def distance(geometry: PlaneGeometry) -> float | None:
    """Return the distance of a plane from the origin along its normal in mm, or None."""
    if geometry.position is None or geometry.orientation is None:
        return None
    axis = normal(geometry.orientation)
    return None if axis is None else float(axis @ np.array(geometry.position[:3]))


def snapped(distances: Sequence[float]) -> list[float]:
    """Return for each distance the least one of its place, so that rounding makes no two places.

    Args:
        distances: in mm, in any order; those within `SAME_PLACE_MM` of each other are one place.
    """
    found = list(distances)
    order = sorted(range(len(found)), key=lambda number: distances[number])
    for before, number in itertools.pairwise(order):
        if distances[number] - distances[before] <= SAME_PLACE_MM:
            found[number] = found[before]
    return found


def plane_spacing(planes: Sequence[PlaneGeometry]) -> float | None:
    """Return the usual distance between neighbouring planes in mm, or None if unknown."""
    steps = _steps(planes)
    return None if steps is None or steps.size == 0 else round(_usual(steps), 6)


def notices(planes: Sequence[PlaneGeometry]) -> list[str]:
    """Return what is unusual about a stack: gaps, duplicates, uneven spacing, tilt.

    Args:
        planes: in order.

    Returns:
        One sentence each; an empty list if nothing is unusual.
    """
    if len(planes) < 2:
        return []
    steps = _steps(planes)
    if steps is None:
        return ["planes have no positions, so they are sorted by their numbers"]
    found = []
    if doubles := len(planes) - 1 - steps.size:
        lies = "lies" if doubles == 1 else "lie"
        found.append(f"{counted(doubles, 'plane')} {lies} at the position of another plane")
    found += _spacing_notices(steps)
    tilt = _tilt_degrees(planes)
    if tilt > _TILT_DEGREES:
        found.append(f"planes are sheared by {tilt:.1f} degrees (gantry tilt)")
    return found


def scaled_position(
    position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float], scale: int
) -> Vector:
    """Return the centre of the first pixel on a grid `scale` times as fine, in mm.

    The corner of the image stays, so the centre moves towards it by `(1 - 1/scale) / 2` of an
    old pixel along both axes.

    Args:
        position: centre of the first pixel.
        orientation: direction cosines of a row and of a column.
        spacing: old distance between rows and between columns.
        scale: new pixels for each old one.
    """
    shift = (1 - 1 / scale) / 2
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:6])
    moved = along_row * spacing[1] + along_column * spacing[0]
    return np.array(position, np.float64) - shift * moved


def _steps(planes: Sequence[PlaneGeometry]) -> Vector | None:
    """Return the distances between neighbouring positions, without duplicates."""
    along = [distance(plane) for plane in planes]
    if any(item is None for item in along):
        return None
    steps = np.diff(np.sort(np.array(along, np.float64)))
    return steps[steps > SAME_PLACE_MM]


def _usual(steps: Vector) -> float:
    """Return the median; of two middle steps the smaller, since a gap only lengthens one."""
    return float(np.sort(steps)[(steps.size - 1) // 2])


def _spacing_notices(steps: Vector) -> list[str]:
    if steps.size < 2:
        return []
    usual = _usual(steps)
    gaps = steps > 1.5 * usual
    if gaps.any():
        widest = float(steps.max())
        return [
            f"{counted(int(gaps.sum()), 'gap')} between planes: up to {widest:.2f} mm "
            f"where {usual:.2f} mm is usual"
        ]
    if float(np.abs(steps - usual).max()) > _UNEVEN_MM + 0.01 * usual:
        return [f"planes are unevenly spaced: {steps.min():.2f} to {steps.max():.2f} mm"]
    return []


def _tilt_degrees(planes: Sequence[PlaneGeometry]) -> float:
    """Return the angle between the stack's direction and the planes' normal."""
    ordered = sorted(planes, key=lambda plane: distance(plane) or 0.0)
    first, last = ordered[0], ordered[-1]
    if first.position is None or last.position is None or first.orientation is None:
        return 0.0
    axis = normal(first.orientation)
    along = np.array(last.position[:3]) - np.array(first.position[:3])
    length = float(np.linalg.norm(along))
    if axis is None or length < 1e-3:
        return 0.0
    return math.degrees(math.acos(min(1.0, abs(float(axis @ along)) / length)))

"""Which planes of a scan lie beside each other in the body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Planes farther apart than so many usual distances have a gap between them.
_WIDEST = 1.5
# Farther apart than this, in mm, planes show different anatomy.
_FARTHEST_MM = 12.0


class Adjacent(NamedTuple):
    """A plane beside another one: its number, and the distance between the two in mm."""

    plane: int
    gap_mm: float


def adjacent_planes(
    positions_mm: Sequence[float | None] | None, reach: int
) -> list[tuple[Adjacent | None, ...]]:
    """Return the neighbours of each plane, nearest first, the lower side before the upper one.

    Planes are neighbours by position. If several planes have the same position, as those of
    several phases, only planes that also follow each other in the file are neighbours. There are
    none across a gap, and none where the planes turn back.

    Args:
        positions_mm: of each plane along the normal; None if unknown.
        reach: neighbours on each side.

    Returns:
        For each plane `2 * reach` neighbours: before and after it, then the second ones; None
        where there is no such plane.
    """
    if positions_mm is None or len(positions_mm) < 2 or any(at is None for at in positions_mm):
        count = 0 if positions_mm is None else len(positions_mm)
        return [(None,) * (2 * reach)] * count
    places = np.array(positions_mm, np.float64)
    is_distinct = len(set(places.tolist())) == len(places)
    order = np.argsort(places) if is_distinct else np.arange(len(places))
    steps = np.diff(places[order])
    moved = np.abs(steps[steps != 0])
    widest = min(_WIDEST * float(np.median(moved)), _FARTHEST_MM) if len(moved) else 0.0
    direction = np.sign(np.median(steps[steps != 0])) if len(moved) else 1.0
    joined = (steps * direction > 0) & (np.abs(steps) <= widest)
    found: list[tuple[Adjacent | None, ...]] = [()] * len(places)
    for rank, plane in enumerate(order):
        found[int(plane)] = tuple(
            _at(order, places, joined, rank, side * far)
            for far in range(1, reach + 1)
            for side in (-1, 1)
        )
    return found


def _at(
    order: np.ndarray, places: np.ndarray, joined: np.ndarray, rank: int, step: int
) -> Adjacent | None:
    """Return the plane `step` places further in the order, if no gap lies between."""
    other = rank + step
    if not 0 <= other < len(order) or not joined[min(rank, other) : max(rank, other)].all():
        return None
    return Adjacent(int(order[other]), float(abs(places[order[other]] - places[order[rank]])))

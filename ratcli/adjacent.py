"""Which planes of a scan lie beside each other in the body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Planes farther apart than so many usual distances have a gap between them.
_WIDEST = 1.5
# Farther apart than this, in mm, planes show different anatomy.
_FARTHEST_MM = 12.0


class Adjacent(NamedTuple):
    """A plane beside another one: its number, and the distance between the two in mm."""

    plane: int
    gap_mm: float


def adjacent_planes(
    positions_mm: Sequence[float | None], reach: int
) -> list[tuple[Adjacent | None, ...]]:
    """Return the neighbours of each plane, nearest first, the lower side before the upper one.

    Planes are neighbours by position. If several planes have the same position, as those of
    several phases, only planes that also follow each other in the file are neighbours, and none
    are if phases alternate. There are none across a gap, and none where the planes turn back.

    Args:
        positions_mm: of each plane along the normal; None where unknown.
        reach: neighbours on each side.

    Returns:
        For each plane `2 * reach` neighbours: before and after it, then the second ones; None
        where there is no such plane.
    """
    known = [at for at in positions_mm if at is not None]
    if len(known) < max(2, len(positions_mm)):
        return [(None,) * (2 * reach)] * len(positions_mm)
    places = np.array(known, np.float64)
    is_distinct = len(set(places.tolist())) == len(places)
    order = np.argsort(places) if is_distinct else np.arange(len(places))
    steps = np.diff(places[order])
    widest = min(_WIDEST * float(np.median(np.abs(steps))), _FARTHEST_MM)
    joined = (steps * np.sign(np.median(steps)) > 0) & (np.abs(steps) <= widest)
    joined &= bool(steps.all())
    found: list[tuple[Adjacent | None, ...]] = [()] * len(places)
    for rank, plane in enumerate(order):
        found[int(plane)] = tuple(
            _at(order, places, joined, rank, side * far)
            for far in range(1, reach + 1)
            for side in (-1, 1)
        )
    return found


def _at(
    order: npt.NDArray[np.intp],
    places: npt.NDArray[np.float64],
    joined: npt.NDArray[np.bool_],
    rank: int,
    step: int,
) -> Adjacent | None:
    """Return the plane `step` places further in the order, if no gap lies between."""
    other = rank + step
    if not 0 <= other < len(order) or not joined[min(rank, other) : max(rank, other)].all():
        return None
    return Adjacent(int(order[other]), float(abs(places[order[other]] - places[order[rank]])))

"""Neighbours of a plane that training degrades: drawn ones, their noise, and their absence.

The neighbours of a procedural plane show the same anatomy, moved as it moves from plane to plane:
structures shift and change their shapes by an amount that grows with the distance. Two random
fields move them, one over centimetres (organs) and one over millimetres (vessels, gyri).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from ratcli.network.neighbours import Neighbour, Neighbours
from ratcli.scan import FloatArray

# How often the neighbours of a plane are left out: all of them, or each by itself.
_ALL_ABSENT = 0.15
_ONE_ABSENT = 0.1
# Measured correlations count up to this: shared anatomy raises them.
_HIGHEST_CORRELATION = 0.85
# Size of each field's structures in mm, and the standard deviation of its shift for each mm of the
# distance where anatomy moves most; a third of the planes lie in anatomy that hardly changes.
_FIELDS = ((25.0, 0.35), (6.0, 0.12))
_STILL = 1 / 3
_MOVED = (0.1, 0.7)


def draw_neighbours(
    rng: np.random.Generator, plane: FloatArray, spacing_mm: float, gap_mm: float
) -> tuple[Neighbour, Neighbour]:
    """Return the planes before and after a procedural one `(H, W)`, without noise.

    Args:
        rng: source of randomness.
        plane: in any unit.
        spacing_mm: pixel pitch.
        gap_mm: distance of the neighbours.
    """
    moved = gap_mm * (0.05 if rng.random() < _STILL else float(rng.uniform(*_MOVED)))
    shift = _shift(rng, plane.shape, spacing_mm, moved)
    onwards = 0.5 * _shift(rng, plane.shape, spacing_mm, moved)  # not at one speed
    before, after = (_moved(plane, field)[None] for field in (shift + onwards, onwards - shift))
    return Neighbour(before, gap_mm), Neighbour(after, gap_mm)


def some_absent(rng: np.random.Generator, neighbours: Neighbours) -> list[Neighbour | None]:
    """Return the neighbours, or some or none of them, as at the ends of a series."""
    if rng.random() < _ALL_ABSENT:
        return []
    return [None if rng.random() < _ONE_ABSENT else each for each in neighbours]


def correlations(
    plane: FloatArray,
    neighbours: Neighbours,
    measured: Callable[[FloatArray, FloatArray], float],
) -> tuple[float, ...]:
    """Return the correlation of a plane's noise with that of each neighbour; 0 if there is none.

    Args:
        plane: `(H, W)`.
        neighbours: the planes beside it.
        measured: returns the correlation of the noise of two planes.
    """
    return tuple(
        0.0
        if each is None
        else float(np.clip(measured(plane, each.values[0]), 0, _HIGHEST_CORRELATION))
        for each in neighbours
    )


def with_noise(
    neighbours: Sequence[Neighbour | None],
    along: Sequence[float],
    noise: FloatArray,
    others: Sequence[FloatArray],
    stored: Callable[[FloatArray, FloatArray], FloatArray],
) -> list[Neighbour | None]:
    """Return neighbours with noise that correlates with that of the plane.

    Args:
        neighbours: the planes beside it.
        along: correlation of the noise with that of each neighbour, 0 to 1.
        noise: of the plane, `(H, W)`.
        others: as many independent draws of such noise as there are neighbours.
        stored: returns a neighbour `(H, W)` with noise, as a scanner stores it.
    """
    beside: list[Neighbour | None] = []
    for each, share, other in zip(neighbours, along, others, strict=False):
        if each is None:
            beside.append(None)
            continue
        mixed = np.float32(share) * noise + np.float32((1 - share**2) ** 0.5) * other
        beside.append(replace(each, values=stored(each.values[0], mixed)[None]))
    return beside


def _shift(
    rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: float, moved_mm: float
) -> FloatArray:
    """Return a random shift `(2, H, W)` in pixels."""
    shift = np.zeros((2, *shape), np.float32)
    for size_mm, share in _FIELDS:
        sigma = size_mm / spacing_mm
        for axis in shift:
            field = gaussian_filter(rng.standard_normal(shape, np.float32), sigma, truncate=3)
            axis += field * np.float32(share * moved_mm / spacing_mm / field.std())
    return shift


def _moved(plane: FloatArray, shift: FloatArray) -> FloatArray:
    places = np.indices(plane.shape, np.float32) + shift
    moved: FloatArray = map_coordinates(plane, places, order=1, mode="nearest")
    return moved

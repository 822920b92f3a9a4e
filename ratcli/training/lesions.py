"""Small, faint lesions that training plants in CT slices and in their neighbours.

Real slices show few of them, and a network that hardly ever sees one learns to take it for noise.
A lesion is an ellipsoid with the smooth edge of a CT image. It is in the input and in the target.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from ratcli.physics.draws import log_uniform
from ratcli.scan import FloatArray
from ratcli.training.examples import TargetPlane

# How often a slice gets lesions, and how many for each square centimetre of soft tissue.
_OFTEN = 0.6
_PER_CM2 = 0.1
_TISSUE_HU = (-20.0, 140.0)
_SMOOTH_MM = 2.0
_DIAMETER_MM = (2.5, 12.0)
_CONTRAST_HU = (6.0, 60.0)
_EDGE_MM = (0.25, 0.6)


@dataclass(frozen=True)
class _Lesion:
    """An ellipsoid; lengths in mm, `offset` of its middle from the plane."""

    row: int
    column: int
    radius: float
    flatness: float
    angle: float
    offset: float
    contrast: float
    edge: float

    def add_to(self, hu: FloatArray, spacing_mm: float, away_mm: float) -> None:
        """Add it to a plane `(H, W)` at a distance from the plane that it was drawn for."""
        section = self.radius**2 - (away_mm - self.offset) ** 2
        if section <= 0:
            return
        reach = int(np.ceil((self.radius + 6 * self.edge) / spacing_mm))
        top, left = max(0, self.row - reach), max(0, self.column - reach)
        window = hu[top : self.row + reach + 1, left : self.column + reach + 1]
        rows, columns = np.indices(window.shape, np.float32)
        down = (rows + (top - self.row)) * spacing_mm
        right = (columns + (left - self.column)) * spacing_mm
        along = down * np.cos(self.angle) + right * np.sin(self.angle)
        across = (right * np.cos(self.angle) - down * np.sin(self.angle)) / self.flatness
        depth = (section**0.5 - np.hypot(along, across)) / (2 * self.edge)
        window += np.float32(self.contrast / 2) * (1 + np.tanh(depth)).astype(np.float32)


def plant_lesions(rng: np.random.Generator, plane: TargetPlane) -> TargetPlane:
    """Return a CT slice, or one with lesions in its soft tissue and in that of its neighbours.

    Args:
        rng: source of randomness.
        plane: `(1, H, W)` in HU; it is not changed.
    """
    if rng.random() >= _OFTEN:
        return plane
    spacing = plane.spacing_mm
    smooth = gaussian_filter(plane.values[0], _SMOOTH_MM / spacing)
    places = np.argwhere((smooth > _TISSUE_HU[0]) & (smooth < _TISSUE_HU[1]))
    count = int(rng.poisson(_PER_CM2 * len(places) * (spacing / 10) ** 2))
    if not count:
        return plane
    chosen = places[rng.integers(len(places), size=count)]
    lesions = [_drawn(rng, int(row), int(column)) for row, column in chosen]
    values = plane.values.copy()
    _plant(lesions, values, spacing, 0.0)
    near = []
    for number, each in enumerate(plane.neighbours):
        if each is not None:
            side = 1 if number % 2 else -1
            each = replace(each, values=each.values.copy())
            _plant(lesions, each.values, spacing, side * each.gap_mm)
        near.append(each)
    return replace(plane, values=values, neighbours=tuple(near))


def _drawn(rng: np.random.Generator, row: int, column: int) -> _Lesion:
    radius = log_uniform(rng, *_DIAMETER_MM) / 2
    return _Lesion(
        row,
        column,
        radius,
        flatness=float(rng.uniform(0.6, 1.0)),
        angle=float(rng.uniform(0, np.pi)),
        offset=float(rng.uniform(-0.6, 0.6)) * radius,
        contrast=log_uniform(rng, *_CONTRAST_HU) * float(rng.choice((-1.0, 1.0))),
        edge=float(rng.uniform(*_EDGE_MM)),
    )


def _plant(lesions: list[_Lesion], values: FloatArray, spacing_mm: float, away_mm: float) -> None:
    for lesion in lesions:
        lesion.add_to(values[0], spacing_mm, away_mm)

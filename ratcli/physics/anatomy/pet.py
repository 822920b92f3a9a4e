"""Procedural FDG PET: uptake in SUV, and the attenuation that dims it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ratcli.physics.anatomy.canvas import Canvas, Ellipse
from ratcli.physics.anatomy.ct import draw_body
from ratcli.regions import LabelArray
from ratcli.scan import FloatArray

_WATER_PER_MM = 0.0096
_BONE_SLOPE = 0.5
_OVER = 4


class PetPlane(NamedTuple):
    """True activity without blur or noise.

    Attributes:
        suv: `(N, N)`, uptake by body weight.
        attenuation_per_mm: `(N, N)`, at 511 keV.
        labels: `(N, N)`, a number for each structure.
    """

    suv: FloatArray
    attenuation_per_mm: FloatArray
    labels: LabelArray


def pet_slice(
    rng: np.random.Generator, size: int = 128, spacing_mm: float = 4.0, region: str | None = None
) -> PetPlane:
    """Draw a plane of FDG PET, in four times as many pixels a side, and average them.

    Args:
        rng: source of randomness; the same seed draws the same plane.
        size: rows and columns.
        spacing_mm: pixel pitch.
        region: as in `ct.ct_slice`; None to draw one.
    """
    canvas = draw_body(rng, size * _OVER, spacing_mm / _OVER, region)
    if canvas.tissues.count("grey"):
        _brain_lesions(canvas)
    # Uptake varies slowly within an organ.
    uptake = canvas.suv * np.maximum(
        1 + rng.uniform(0.02, 0.12) * canvas.wobble(canvas.everywhere()), 0
    )
    suv, hu = _pool(uptake, size), _pool(canvas.hu, size)
    return PetPlane(suv, attenuation(hu), canvas.labels[_OVER // 2 :: _OVER, _OVER // 2 :: _OVER])


def attenuation(hu: FloatArray) -> FloatArray:
    """Return attenuation per mm at 511 keV from Hounsfield units; bone gains half as steeply.

    Source: Carney et al., Med. Phys. 33(4):976, 2006 (bilinear conversion).
    """
    slope = np.where(hu < 0, 1.0, _BONE_SLOPE).astype(np.float32)
    scaled: FloatArray = np.float32(_WATER_PER_MM) * np.maximum(1 + slope * hu / 1000, 0)
    return scaled.astype(np.float32)


def _pool(plane: FloatArray, size: int) -> FloatArray:
    pooled: FloatArray = plane.reshape(size, _OVER, size, _OVER).mean((1, 3))
    return pooled


def _brain_lesions(c: Canvas) -> None:
    """Draw hot lesions at 1.5 times grey matter and cold ones at half of white matter."""
    rng = c.rng
    grey = float(np.median(c.suv[c.hu > -200][c.suv[c.hu > -200] > 3])) if (c.suv > 3).any() else 7
    rows, columns = np.nonzero((c.suv[::3, ::3] > 1) & (c.hu[::3, ::3] < 100))
    for pick in rng.integers(0, max(1, len(rows)), int(rng.integers(0, 4)) if len(rows) else 0):
        x, y = (
            float(c.x[rows[pick] * 3, columns[pick] * 3]),
            float(c.y[rows[pick] * 3, columns[pick] * 3]),
        )
        r = rng.uniform(2.5, 7.5)
        shape = Ellipse(x, y, r, r * rng.uniform(0.8, 1.2))
        uptake = 1.5 * grey if rng.random() < 0.6 else 0.125 * grey
        c.ellipse(shape, "lesion", 35.0, wobble_mm=0.5, suv=uptake)

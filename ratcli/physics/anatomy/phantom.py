"""A test object of known truth: a water cylinder with inserts, as quality assurance uses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ratcli.regions import LabelArray
from ratcli.scan import FloatArray

RODS_HU = (-1000.0, -100.0, -50.0, -20.0, -10.0, 10.0, 20.0, 50.0, 120.0, 340.0, 990.0)
"""Contrasts of the outer ring's inserts, as in common phantoms."""


@dataclass(frozen=True)
class Insert:
    """A disc in the phantom, in mm from its centre; x to the right, y down."""

    x_mm: float
    y_mm: float
    radius_mm: float
    hu: float


def inserts(radius_mm: float) -> tuple[Insert, ...]:
    """Return the inserts of a phantom: a ring of rods, and an inner ring of small discs."""
    outer = [
        Insert(*_at(0.7 * radius_mm, k / len(RODS_HU)), 0.085 * radius_mm, hu)
        for k, hu in enumerate(RODS_HU)
    ]
    inner = [
        Insert(*_at(0.38 * radius_mm, k / 8), radius_mm * (0.015 + 0.009 * k), 15.0)
        for k in range(8)
    ]
    return (*outer, *inner)


def _at(distance: float, turn: float) -> tuple[float, float]:
    angle = 2 * math.pi * turn
    return distance * math.cos(angle), distance * math.sin(angle)


def water_phantom(
    size: int = 512, spacing_mm: float = 0.75, radius_mm: float | None = None
) -> tuple[FloatArray, LabelArray]:
    """Draw a water cylinder with inserts, without noise; edges are the exact area of each pixel.

    Args:
        size: rows and columns.
        spacing_mm: pixel pitch.
        radius_mm: of the cylinder; None for 0.42 of the field.

    Returns:
        Hounsfield units `(N, N)` and labels `(N, N)`: 0 air, 1 water, 2 and on the inserts in the
        order of `inserts`.
    """
    radius = 0.42 * size * spacing_mm if radius_mm is None else radius_mm
    hu = np.full((size, size), -1000, np.float32)
    labels = np.zeros((size, size), np.int32)
    for number, disc in enumerate((Insert(0, 0, radius, 0), *inserts(radius)), start=1):
        cover = _cover(disc, size, spacing_mm)
        hu += cover * (np.float32(disc.hu) - hu)
        labels[cover >= 0.5] = number
    return hu, labels


def _cover(disc: Insert, size: int, spacing_mm: float, over: int = 8) -> FloatArray:
    """Return the share of each pixel that a disc covers, by counting `over`^2 points."""
    axis = (np.arange(size * over) - (size * over - 1) / 2) * (spacing_mm / over)
    half = np.sqrt(np.maximum(disc.radius_mm**2 - (axis - disc.y_mm) ** 2, 0))
    reached = np.abs(axis - disc.y_mm) < disc.radius_mm
    # Each fine row covers a run of columns: its share of a pixel is a clipped length.
    edges = (np.arange(size) - size / 2) * spacing_mm
    left, right = disc.x_mm - half[:, None], disc.x_mm + half[:, None]
    run = np.minimum(right, edges + spacing_mm) - np.maximum(left, edges)
    share = np.clip(run / spacing_mm, 0, 1) * reached[:, None]
    mean: FloatArray = share.reshape(size, over, size).mean(1).astype(np.float32)
    return mean

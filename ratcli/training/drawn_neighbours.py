"""Neighbours for a procedural slice: the same anatomy, moved as it moves from slice to slice.

Structures shift and change their shapes by an amount that grows with the distance. Two random
fields move them, one over centimetres (organs) and one over millimetres (vessels, gyri).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from ratcli.network.neighbours import Neighbour
from ratcli.physics.ct import blur_with_kernel
from ratcli.physics.kernels import Kernel
from ratcli.scan import FloatArray
from ratcli.training.examples import TargetPlane

_GAP_MM = (0.7, 8.0)
# Size of each field's structures in mm, and the standard deviation of its shift for each mm of the
# distance; a third of the slices lie in anatomy that hardly changes.
_FIELDS = ((25.0, 0.35), (6.0, 0.12))
_STILL = 1 / 3


def draw_neighbours(
    rng: np.random.Generator, drawn: TargetPlane, kernel: Kernel
) -> tuple[Neighbour, Neighbour]:
    """Return the slices before and after a procedural one, without noise.

    Args:
        rng: source of randomness.
        drawn: the slice, not blurred yet.
        kernel: with which all of them are reconstructed.
    """
    gap_mm = float(np.exp(rng.uniform(*np.log(_GAP_MM))))
    moved = gap_mm * (0.15 if rng.random() < _STILL else 1.0)
    shape, spacing = drawn.values.shape[1:], drawn.spacing_mm
    shift = _shift(rng, shape, spacing, moved)
    onwards = 0.5 * _shift(rng, shape, spacing, moved)  # anatomy does not move at one speed
    before, after = (
        _blurred(_moved(drawn.values[0], field), spacing, kernel)
        for field in (shift + onwards, onwards - shift)
    )
    return Neighbour(before, gap_mm), Neighbour(after, gap_mm)


def _shift(
    rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: float, moved_mm: float
) -> FloatArray:
    """Return a random shift `(2, H, W)` in pixels."""
    shift = np.zeros((2, *shape), np.float32)
    for size_mm, share in _FIELDS:
        sigma = size_mm / spacing_mm
        for axis in shift:
            field = gaussian_filter(
                rng.standard_normal(shape).astype(np.float32), sigma, truncate=3
            )
            axis += field * np.float32(share * moved_mm / spacing_mm / field.std())
    return shift


def _moved(plane: FloatArray, shift: FloatArray) -> FloatArray:
    places = np.indices(plane.shape, np.float32) + shift
    moved: FloatArray = map_coordinates(plane, places, order=1, mode="nearest")
    return moved


def _blurred(plane: FloatArray, spacing_mm: float, kernel: Kernel) -> FloatArray:
    return blur_with_kernel(torch.from_numpy(plane[None]), spacing_mm, kernel).numpy()

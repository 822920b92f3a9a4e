"""Where a plane is in a voxel array; the result does not depend on the order of the axes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from ratcli.scan import Box

AffineArray = npt.NDArray[np.float64]

_SINGULAR = 1e-6  # least singular value of the direction cosines; headers store float32


@dataclass(frozen=True)
class PlaneAxes:
    """How to cut a voxel array into planes as a viewer shows them.

    Attributes:
        axes: voxel axes along which planes, rows and columns are counted.
        flips: whether each of them is counted from its end.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def planes(self, volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view `(planes, rows, columns)` of a volume with three voxel axes."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        view: npt.NDArray[Any] = volume.transpose(self.axes)[steps]
        return view

    def slicer(self, shape: tuple[int, ...], plane: int, box: Box) -> tuple[int | slice, ...]:
        """Return the index of a box of a plane in a voxel array; rows and columns may be swapped.

        Args:
            shape: voxels along the three axes.
            plane: index of the plane.
            box: of the plane.
        """
        cuts: list[int | slice] = [0, 0, 0]
        rows, columns = box.slices
        wanted = (slice(plane, plane + 1), rows, columns)
        for axis, flip, want in zip(self.axes, self.flips, wanted, strict=True):
            last = shape[axis] - 1
            stop = last - want.stop
            backward = slice(last - want.start, stop if stop >= 0 else None, -1)
            cuts[axis] = backward if flip else want
        cuts[self.axes[0]] = shape[self.axes[0]] - 1 - plane if self.flips[0] else plane
        return tuple(cuts)

    @property
    def is_swapped(self) -> bool:
        """Whether columns come before rows in the voxel array."""
        return self.axes[1] > self.axes[2]

    def refine(self, affine: AffineArray, scale: int) -> AffineArray:
        """Return the affine of a grid that is `scale` times as fine within the plane.

        The corner of the volume stays where it was: the centre of a voxel moves by
        `(1 - scale) / (2 scale)` old voxels.
        """
        step = np.eye(4)
        for axis in self.axes[1:]:
            step[axis, axis] = 1 / scale
            step[axis, 3] = (1 - scale) / (2 * scale)
        refined: AffineArray = affine @ step
        return refined


STORED_ORDER = PlaneAxes((2, 1, 0), (False, False, False))
"""Planes along the third voxel axis, for files with an affine that gives no directions."""


def anatomical(affine: AffineArray, shape: tuple[int, int, int]) -> PlaneAxes:
    """Choose axial planes, columns to the patient's left and rows to the back.

    A volume of one plane keeps that plane in any orientation; rows then go to the feet if they
    cannot go to the back.

    Args:
        affine: `(4, 4)`, voxel to world in mm, world axes to the right, front and head.
        shape: voxels along each axis.
    """
    cosines = _cosines(affine)
    if cosines is None:
        return STORED_ORDER
    order = max(permutations(range(3)), key=lambda axes: _agreement(cosines, axes))
    thin = [world for world in range(3) if shape[order[world]] == 1]
    plane = thin[0] if len(thin) == 1 else 2
    column, row = (world for world in range(3) if world != plane)
    positive = [bool(cosines[world, order[world]] > 0) for world in range(3)]
    flips = (positive[plane] != (plane == 2), positive[row], positive[column])
    return PlaneAxes((order[plane], order[row], order[column]), flips)


def gives_directions(affine: AffineArray) -> bool:
    """Return whether an affine gives the three voxel axes three directions in space."""
    return _cosines(affine) is not None


def _cosines(affine: AffineArray) -> AffineArray | None:
    directions = affine[:3, :3]
    if not np.isfinite(affine).all():
        return None
    lengths = np.linalg.norm(directions, axis=0)
    if (lengths == 0).any() or np.linalg.matrix_rank(directions / lengths, tol=_SINGULAR) < 3:
        return None
    return np.asarray(directions / lengths)


def _agreement(cosines: AffineArray, axes: tuple[int, ...]) -> float:
    return float(sum(abs(cosines[world, axis]) for world, axis in enumerate(axes)))

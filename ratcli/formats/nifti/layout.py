"""Where a NIfTI plane is: which transform places the voxels, and how the array is cut into planes.

The result does not depend on the order of the axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.quaternions import quat2mat

from ratcli.errors import UnreadableInputError
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

    def positions_mm(self, affine: AffineArray, count: int) -> tuple[float, ...] | None:
        """Return the place of each plane of a volume along the axis on which planes are counted.

        Distances count in the direction in which the affine's largest entry grows (for axial
        planes upwards); None if the affine gives no distance.

        Args:
            affine: voxels to mm.
            count: planes of the volume.
        """
        step = affine[:3, self.axes[0]]
        length = float(np.linalg.norm(step))
        if not np.isfinite(affine).all() or length == 0:
            return None
        direction = step / length * np.sign(step[np.argmax(np.abs(step))])
        indices = np.arange(count)[:: -1 if self.flips[0] else 1]
        places = direction @ (affine[:3, 3, None] + step[:, None] * indices)
        return tuple(places.tolist())

    def places(
        self, affine: AffineArray, shape: tuple[int, ...]
    ) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]:
        """Return origins and directions as `ScanInfo` has them.

        Args:
            affine: voxels to mm, to the right, front and head; with three directions.
            shape: voxels along the three axes.
        """
        to_mm = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
        index = np.zeros((shape[self.axes[0]], 4))
        index[:, 3] = 1
        for axis, flip in zip(self.axes, self.flips, strict=True):
            index[:, axis] = (shape[axis] - 1) * flip
        planes = np.arange(len(index))
        index[:, self.axes[0]] = planes[::-1] if self.flips[0] else planes
        origins = (index @ to_mm.T)[:, :3]
        row, column = (
            to_mm[:3, axis] * (-1 if flip else 1) / np.linalg.norm(to_mm[:3, axis])
            for axis, flip in zip(self.axes[:0:-1], self.flips[:0:-1], strict=True)
        )
        return tuple(map(tuple, origins.tolist())), (*row.tolist(), *column.tolist())

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


@dataclass(frozen=True)
class Placement:
    """Where the voxels are.

    Attributes:
        affine: `(4, 4)`, voxel to world in the header's unit of length.
        notices: what is odd about the header's transforms, one sentence each.
    """

    affine: AffineArray
    notices: tuple[str, ...] = ()


def placement_of(fields: Any) -> Placement:
    """Choose the transform as the standard does (nifti1.h, "3D image orientation").

    An sform without three directions, such as one of zeros, gives way to a valid qform.

    Args:
        fields: nibabel's header.

    Raises:
        UnreadableInputError: only the qform can place the voxels, and it is not valid.
    """
    if int(fields["sform_code"]) > 0:
        return _by_sform(fields)
    if int(fields["qform_code"]) > 0:
        return Placement(qform_of(fields), _qfac_notices(fields))
    return _by_spacing(fields)


def qform_of(fields: Any) -> AffineArray:
    """Return the affine `(4, 4)` of the quaternion, in the header's unit of length.

    Raises:
        UnreadableInputError: a voxel size is negative, or the quaternion is not a rotation.
    """
    if negative := _negative_sizes(fields):
        raise UnreadableInputError(
            f"the header has a negative voxel size ({negative}), expected positive numbers",
            hint="Correct pixdim in the header, for example with nibabel.",
        )
    try:
        with np.errstate(all="ignore"):
            turn = np.asarray(quat2mat(fields.get_qform_quaternion()), np.float64)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise UnreadableInputError("the header's orientation is not a rotation") from error
    sizes = np.asarray(fields["pixdim"][1:4], np.float64)
    affine = np.eye(4)
    affine[:3, :3] = turn * (sizes * (1, 1, qfac_of(fields)))
    affine[:3, 3] = [float(fields[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def qfac_of(fields: Any) -> int:
    """Return the sign of the third axis of the qform; pixdim[0] of 0 counts as 1 (nifti1.h)."""
    return -1 if float(fields["pixdim"][0]) < 0 else 1


def _by_sform(fields: Any) -> Placement:
    sform = np.asarray(fields.get_sform(), np.float64)
    if gives_directions(sform) or int(fields["qform_code"]) <= 0:
        return Placement(sform)
    try:
        qform = qform_of(fields)
    except UnreadableInputError as error:
        return Placement(sform, (f"the qform is not used: {error}",))
    if not gives_directions(qform):
        return Placement(sform)
    told = "the sform gives no three directions; the qform places the volume"
    return Placement(qform, (told, *_qfac_notices(fields)))


def _by_spacing(fields: Any) -> Placement:
    with np.errstate(all="ignore"):
        affine = np.asarray(fields.get_base_affine(), np.float64)
    negative = _negative_sizes(fields)
    return Placement(affine, (f"a voxel size is negative ({negative})",) if negative else ())


def _negative_sizes(fields: Any) -> str:
    sizes = [float(size) for size in fields["pixdim"][1:4]]
    return ", ".join(f"pixdim[{axis}] = {size:g}" for axis, size in enumerate(sizes, 1) if size < 0)


def _qfac_notices(fields: Any) -> tuple[str, ...]:
    qfac = float(fields["pixdim"][0])
    if qfac in (-1, 1):
        return ()
    told = f"{qfac:g}" if math.isfinite(qfac) else "not a number"
    return (f"pixdim[0] is {told}; it counts as {qfac_of(fields)}",)

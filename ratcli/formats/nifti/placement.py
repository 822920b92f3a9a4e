"""Which transform of a NIfTI header places the voxels: sform, qform, or spacing alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.quaternions import quat2mat

from ratcli.errors import UnreadableInputError
from ratcli.formats.nifti.layout import AffineArray, gives_directions


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

"""The NIfTI grid under the planes of a DICOM scan: an affine, and a volume for each phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.errors import OutputError
from ratcli.formats.dicom.geometry import PlaneGeometry, distance, snapped
from ratcli.formats.regions import FileLabels

Matrix = npt.NDArray[np.float64]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes point left and posterior, NIfTI's right and anterior."""

_MOST_OFF = 0.1
"""Largest distance of a plane from its place on the grid, as a share of the planes' distance."""

_HINT = "Choose --format dicom or tiff."


@dataclass(frozen=True)
class VolumeGrid:
    """Where the planes of a scan are in a NIfTI file.

    Attributes:
        affine: voxel (column, row, slice) to mm, right-anterior-superior.
        phases: volume of each plane, in the order of the scan.
        slices: place of each plane in its volume.
    """

    affine: Matrix
    phases: tuple[int, ...]
    slices: tuple[int, ...]

    def volumes(self, labels: FileLabels) -> FileLabels:
        """Return voxels (column, row, slice), and phase if there are several, of `(N, H, W)`."""
        shape = (max(self.phases) + 1, max(self.slices) + 1, *labels.shape[1:])
        volumes: FileLabels = np.zeros(shape, labels.dtype)
        volumes[self.phases, self.slices] = labels
        voxels: FileLabels = (volumes if shape[0] > 1 else volumes[0]).T
        return voxels


def plane_affine(place: PlaneGeometry) -> Matrix | None:
    """Map (column, row, distance along the normal in mm) of a plane to mm, right-anterior-superior.

    Source: PS3.3, C.7.6.2.1.1.
    """
    if place.position is None or place.orientation is None or place.spacing_mm is None:
        return None
    row, column = np.array(place.orientation[:3]), np.array(place.orientation[3:6])
    affine = np.eye(4)
    affine[:3, 0] = row * place.spacing_mm[1]
    affine[:3, 1] = column * place.spacing_mm[0]
    affine[:3, 2] = np.cross(row, column)
    affine[:3, 3] = place.position[:3]
    placed: Matrix = _LPS_TO_RAS @ affine
    return placed if abs(np.linalg.det(placed)) > 1e-9 else None


def phases_of(planes: Sequence[PlaneGeometry]) -> list[int]:
    """Return for each plane how many planes before it have its position."""
    places = _places(planes)
    return [places[:plane].count(place) for plane, place in enumerate(places)]


def volume_grid(planes: Sequence[PlaneGeometry], thickness_mm: float) -> VolumeGrid:
    """Return the grid of a scan; images at one position are phases and go into further volumes.

    Args:
        planes: where they lie, in the order of the scan; `plane_affine` places each of them.
        thickness_mm: extent of the voxels if there is only one slice.

    Raises:
        OutputError: the planes are not evenly spaced, or a position has fewer images than another.
    """
    places, phases = _places(planes), phases_of(planes)
    slices = np.unique(places, return_inverse=True)[1]
    count = int(slices.max()) + 1
    if len(planes) != count * (max(phases) + 1):
        raise OutputError(
            f"some positions have fewer images than the {max(phases) + 1} of others, which NIfTI "
            f"cannot hold",
            hint=_HINT,
        )
    affine = plane_affine(planes[int(slices.argmin())])
    assert affine is not None
    affine[:3, 2] *= thickness_mm
    if count > 1:
        origins = np.array([_LPS_TO_RAS[:3, :3] @ plane.position for plane in planes])
        along = origins - affine[:3, 3]
        affine[:3, 2] = along[slices.argmax()] / (count - 1)
        _check_even(along - slices[:, None] * affine[:3, 2], affine[:3, 2])
    return VolumeGrid(affine, tuple(phases), tuple(slices.tolist()))


def _places(planes: Sequence[PlaneGeometry]) -> list[float]:
    known = [distance(plane) for plane in planes]
    return snapped([place for place in known if place is not None])


def _check_even(off: Matrix, step: Matrix) -> None:
    off_mm = float(np.linalg.norm(off, axis=1).max())
    if off_mm > _MOST_OFF * float(np.linalg.norm(step)):
        raise OutputError(
            f"the planes are not evenly spaced, so that labels in NIfTI would be up to "
            f"{off_mm:.2f} mm from their place",
            hint=_HINT,
        )

"""NIfTI labels of a DICOM scan: matched by position in space, for any order of the axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ratcli.errors import UnsuitableInputError
from ratcli.formats.closing import ClosingReader
from ratcli.regions import LabelArray, Regions

if TYPE_CHECKING:
    from ratcli.formats.dicom.geometry import PlaneGeometry
    from ratcli.formats.dicom.reader import DicomReader
    from ratcli.formats.nifti.reader import NiftiReader

Matrix = npt.NDArray[np.float64]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes point left and posterior, NIfTI's right and anterior."""


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
    placed: Matrix = LPS_TO_RAS @ affine
    return placed if abs(np.linalg.det(placed)) > 1e-9 else None


class PlacedLabelReader(ClosingReader):
    """Labels under the pixels of a DICOM scan; see `RegionReader`.

    Args:
        labels: an open NIfTI file of labels; closed with this reader.
        scan: the scan.
    """

    def __init__(self, labels: Any, scan: Any) -> None:
        source: NiftiReader = labels
        target: DicomReader = scan
        self._labels, self._scan = source, target
        self._volume = _volume(source)
        self._to_voxel = np.linalg.inv(source.header.affine)
        info = target.info
        self.shape = (info.planes, info.height, info.width)
        self.names: dict[int, str] = {}

    def regions(self, plane: int) -> Regions:
        """Return the regions of a plane; pixels outside the map are one more region."""
        return Regions.from_labels(self.labels(plane))

    def labels(self, plane: int) -> LabelArray:
        """Return int32 `(H, W)`: the label under each pixel, 0 outside the map.

        Raises:
            UnsuitableInputError: the map is at another place.
        """
        found = self._indices(plane)
        inside = ((found >= 0) & (found < self._volume.shape)).all(axis=-1)
        if not inside.mean() > 0.5:
            raise UnsuitableInputError(
                "the region map is at another place than the scan",
                hint="Give the region map that was made from this scan.",
            )
        x, y, z = found[inside].T
        labels: LabelArray = np.zeros(self.shape[1:], np.int32)
        labels[inside] = self._volume[x, y, z]
        return labels

    def _indices(self, plane: int) -> npt.NDArray[np.int64]:
        """Voxel under each pixel, `(H, W, 3)`."""
        affine = plane_affine(self._scan.place(plane))
        assert affine is not None
        _, height, width = self.shape
        pixels = np.zeros((height, width, 4))
        pixels[..., 1], pixels[..., 0] = np.indices((height, width))
        pixels[..., 3] = 1
        placed = pixels @ (self._to_voxel @ affine).T
        indices: npt.NDArray[np.int64] = np.rint(placed[..., :3]).astype(np.int64)
        return indices

    def close(self) -> None:
        """Close the file."""
        self._labels.close()


def _volume(labels: NiftiReader) -> npt.NDArray[Any]:
    """Voxels of the first volume in the order of the file's axes."""
    volume = np.zeros(labels.header.shape[:3], labels.header.dtype.newbyteorder("="))
    planes = labels.layout.planes(volume)
    for index in range(labels.slices):
        planes[index] = labels.stored(index)
    return volume

"""Region maps as labels in NIfTI and TIFF files.

NIfTI labels of a DICOM scan are matched by position in space, for any order of the axes.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ratcli.errors import UnsuitableInputError
from ratcli.formats import open_scan
from ratcli.formats.atomic import output_errors
from ratcli.formats.regions import FileLabels, RegionReader
from ratcli.formats.regions.volume_grid import VolumeGrid, phases_of, plane_affine, volume_grid
from ratcli.formats.wording import counted
from ratcli.regions import LabelArray
from ratcli.scan import Derivation, ScanReader

if TYPE_CHECKING:
    from ratcli.formats.dicom.reader import DicomReader
    from ratcli.formats.nifti.reader import NiftiReader

_LABEL_INTENT = 1002
"""NIFTI_INTENT_LABEL (nifti1.h)."""


def open_labels(path: Path, scan: ScanReader, max_pixels: int) -> RegionReader:
    """Open labels for a scan; see `ratcli.formats.regions.open_regions`."""
    reader = open_scan(path, max_pixels=max_pixels)
    is_placed = reader.info.format == "nifti" and reader.info.origins_mm is not None
    if not is_placed or not _is_placed_dicom(scan):
        return LabelReader(reader)
    try:
        return PlacedLabelReader(reader, scan)
    except BaseException:
        reader.__exit__(None, None, None)
        raise


class LabelReader(RegionReader):
    """Labels in a file of any format; see `RegionReader`.

    Args:
        reader: the open file; closed with this reader.
    """

    def __init__(self, reader: ScanReader) -> None:
        self._reader = reader
        info = reader.info
        self.shape = (info.planes, info.height, info.width)
        self._colours = {0: 0}  # black is no region

    def labels(self, plane: int) -> LabelArray:
        """Return int32 `(H, W)`: the labels of a plane; a map of one plane is used for all.

        Colours are numbered as they appear.
        """
        values = self._reader.read(plane if self.shape[0] > 1 else 0)
        if self._reader.info.unit == "RGB":
            return self._numbered(_colours(values))
        labels: LabelArray = np.rint(np.nan_to_num(values[0])).astype(np.int32)
        return labels

    def _numbered(self, colours: npt.NDArray[np.int64]) -> LabelArray:
        found, inverse = np.unique(colours, return_inverse=True)
        numbers = [self._colours.setdefault(int(one), len(self._colours)) for one in found]
        labels: LabelArray = np.array(numbers, np.int32)[inverse.reshape(colours.shape)]
        return labels

    def close(self) -> None:
        """Close the file."""
        self._reader.__exit__(None, None, None)


def nifti_saver(reader: ScanReader, derivation: Derivation) -> Callable[[FileLabels, Path], None]:
    """Return a function that writes labels as NIfTI, compressed, on the scan's grid.

    Raises:
        OutputError: no NIfTI grid fits the planes of a DICOM scan.
    """
    grid = _grid_of(reader) if _is_placed_dicom(reader) else None

    def save(labels: FileLabels, path: Path) -> None:
        is_nifti = reader.info.format == "nifti"
        image = _nifti_like(reader, labels) if is_nifti else _nifti_new(reader, grid, labels)
        image.header["intent_code"] = _LABEL_INTENT
        image.header["descrip"] = derivation.description[:79].encode()
        with output_errors(path):
            path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))

    return save


def tiff_saver(reader: ScanReader, derivation: Derivation) -> Callable[[FileLabels, Path], None]:
    """Return a function that writes labels as a TIFF with a page for each plane, without loss."""
    _, row_mm, column_mm = reader.info.spacing_mm
    placed: dict[str, Any] = {}
    if row_mm and column_mm:
        placed = {"resolution": (10 / column_mm, 10 / row_mm), "resolutionunit": "CENTIMETER"}

    def save(labels: FileLabels, path: Path) -> None:
        import tifffile

        with output_errors(path):
            tifffile.imwrite(
                path,
                labels if len(labels) > 1 else labels[0],
                photometric="minisblack",
                compression="adobe_deflate",
                predictor=True,
                bigtiff=labels.nbytes > 1 << 31,
                software=f"rat {derivation.version}",
                description=derivation.description,
                metadata=None,
                **placed,
            )

    return save


def _is_placed_dicom(reader: Any) -> bool:
    """Whether a scan is DICOM and tells where its planes are."""
    scan: DicomReader = reader
    return scan.info.format == "dicom" and all(
        plane_affine(scan.place(plane)) is not None for plane in range(scan.info.planes)
    )


def _colours(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Number each colour of an RGB map `(3, H, W)`."""
    stored = np.rint(values * 65535).astype(np.int64)
    number: npt.NDArray[np.int64] = (stored[0] << 32) + (stored[1] << 16) + stored[2]
    return number


def _nifti_like(reader: Any, labels: FileLabels) -> Any:
    """Labels in the voxel order of a NIfTI scan, under its own affine and codes."""
    import nibabel as nib

    from ratcli.formats.nifti.layout import qfac_of

    source: NiftiReader = reader
    header = source.header
    voxels = np.zeros(header.shape, labels.dtype, order="F")
    planes = labels.reshape(header.shape[3], source.slices, *labels.shape[1:])
    for volume, stack in enumerate(planes):
        source.layout.planes(voxels[..., volume])[...] = stack
    fields = header.fields.copy()
    fields.set_data_dtype(labels.dtype)
    fields["scl_slope"], fields["scl_inter"] = 1, 0
    fields["cal_min"], fields["cal_max"] = 0, 0
    fields["pixdim"][0] = qfac_of(fields)  # nibabel takes 1 and -1 only
    make: Any = nib.Nifti1Image if header.version == 1 else nib.Nifti2Image
    shape = fields.get_data_shape()
    image = make(voxels.reshape(shape, order="F"), None, fields)
    for name in ("qform_code", "sform_code"):
        image.header[name] = header.fields[name]
    return image


def _nifti_new(reader: ScanReader, grid: VolumeGrid | None, labels: FileLabels) -> Any:
    """Labels `(planes, H, W)` as voxels (column, row, slice, phase), placed as the scan is."""
    import nibabel as nib

    sizes = [size or 1.0 for size in reader.info.spacing_mm]
    # Columns to the left and rows to the back, so that readers do not mirror the planes.
    affine = np.diag([-sizes[2], -sizes[1], sizes[0], 1.0]) if grid is None else grid.affine
    voxels = labels.transpose(2, 1, 0) if grid is None else grid.volumes(labels)
    image = nib.Nifti1Image(voxels, affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    return image


def _grid_of(reader: Any) -> VolumeGrid:
    scan: DicomReader = reader
    places = [scan.place(plane) for plane in range(scan.info.planes)]
    return volume_grid(places, scan.info.spacing_mm[0] or 1.0)


class PlacedLabelReader(RegionReader):
    """Labels under the pixels of a DICOM scan; see `RegionReader`.

    Args:
        labels: an open NIfTI file of labels, of one volume or of one for each phase of the scan;
            closed with this reader.
        scan: the scan.

    Raises:
        UnsuitableInputError: the file has another number of volumes.
    """

    def __init__(self, labels: Any, scan: Any) -> None:
        source: NiftiReader = labels
        target: DicomReader = scan
        self._labels, self._scan = source, target
        self._phases = phases_of([target.place(plane) for plane in range(target.info.planes)])
        self._volumes = _volumes(source)
        if len(self._volumes) not in (1, max(self._phases) + 1):
            raise UnsuitableInputError(
                f"the region map has {len(self._volumes)} volumes, but the scan has "
                f"{counted(max(self._phases) + 1, 'image')} at a position",
                hint="Give the region map that was made from this scan.",
            )
        self._to_voxel = np.linalg.inv(source.header.affine)
        info = target.info
        self.shape = (info.planes, info.height, info.width)

    def labels(self, plane: int) -> LabelArray:
        """Return int32 `(H, W)`: the label under each pixel, 0 outside the map.

        Raises:
            UnsuitableInputError: the map is at another place.
        """
        found = self._indices(plane)
        volume = self._volumes[self._phases[plane] if len(self._volumes) > 1 else 0]
        inside = ((found >= 0) & (found < volume.shape)).all(axis=-1)
        if not inside.mean() > 0.5:
            raise UnsuitableInputError(
                "the region map is at another place than the scan",
                hint="Give the region map that was made from this scan.",
            )
        x, y, z = found[inside].T
        labels: LabelArray = np.zeros(self.shape[1:], np.int32)
        labels[inside] = volume[x, y, z]
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


def _volumes(labels: NiftiReader) -> npt.NDArray[Any]:
    """Voxels `(volumes, x, y, z)` in the order of the file's axes."""
    shape = (labels.header.shape[3], *labels.header.shape[:3])
    volumes = np.zeros(shape, labels.header.dtype.newbyteorder("="))
    for plane in range(labels.info.planes):
        volume, index = divmod(plane, labels.slices)
        labels.layout.planes(volumes[volume])[index] = labels.stored(plane)
    return volumes

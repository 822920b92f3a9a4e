"""Reading a NIfTI file plane by plane."""

from __future__ import annotations

from typing import IO, Any

import nibabel.orientations
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from ratcli.errors import UnreadableInputError
from ratcli.formats.closing import ClosingReader
from ratcli.formats.nifti.header import NiftiHeader
from ratcli.formats.nifti.layout import anatomical
from ratcli.formats.nifti.streams import GZIP_MAGIC, copy_to_disk
from ratcli.formats.quantise import StoredArray, to_native
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo

_MOST_COPIED_BYTES = 1 << 33


class NiftiReader(ClosingReader):
    """An open NIfTI scan.

    Planes are axial, as a radiologist sees them, for any order of the voxel axes. The planes of
    further volumes follow those of the first.
    """

    def __init__(self, header: NiftiHeader, assume_unit: str | None) -> None:
        self.header = header
        self.layout = anatomical(header.affine, header.shape[:3])
        self._packed = _is_gzip(header)
        self.info = self._describe(assume_unit)
        self._file: IO[bytes] | None = None

    @property
    def slices(self) -> int:
        """Planes of one volume."""
        return self.header.shape[self.layout.axes[0]]

    def stored(self, plane: int, box: Box | None = None) -> StoredArray:
        """Read the numbers on disk, `(H, W)`, without scaling.

        Raises:
            UnreadableInputError: the voxels are truncated or damaged.
        """
        volume, index = divmod(plane, self.slices)
        box = box or Box(0, 0, self.info.height, self.info.width)
        cut = (*self.layout.slicer(self.header.shape[:3], index, box), volume)
        try:
            stored = np.array(self._voxels()[cut])
        except (ValueError, OSError) as error:
            raise UnreadableInputError("the voxels ended while they were read") from error
        return stored.T if self.layout.is_swapped else stored

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a plane, or a box of it; see `ScanReader.read`."""
        stored = self.stored(plane, box)
        return to_native(stored, self.header.slope, self.header.intercept)[np.newaxis]

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        """Return `(H, W)`, true where a voxel is NaN or infinite; never for integers."""
        if self.header.dtype.kind != "f":
            shape = (self.info.height, self.info.width)
            return np.broadcast_to(np.False_, box[2:] if box else shape)
        padded: BoolArray = ~np.isfinite(self.read(plane, box)[0])
        return padded

    def close(self) -> None:
        """Close the file, or the copy of its voxels."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _voxels(self) -> Any:
        """Return the voxels `(X, Y, Z, volumes)`; indexing reads from the file.

        The user's file is never memory-mapped: if another program shortens it, the process dies.
        """
        header = self.header
        if self._file is None:
            self._file = self._open()
        if self._is_copied:
            return np.memmap(self._file, header.dtype, "r", 0, header.shape, order="F")
        facts = (header.shape, header.dtype, header.data_offset)
        return ArrayProxy(self._file, facts, mmap=False)  # type: ignore[no-untyped-call]

    @property
    def _is_copied(self) -> bool:
        """Whether voxels are read from a copy: gzipped ones, or planes along the first axis.

        Such a plane is spread over the whole file. A file that is too large for a copy is read
        slowly.
        """
        is_spread = self.layout.axes[0] == 0
        return self._packed or (is_spread and self.header.data_bytes <= _MOST_COPIED_BYTES)

    def _open(self) -> IO[bytes]:
        header = self.header
        if self._is_copied:
            return copy_to_disk(header.data_path, header.data_offset, header.data_bytes)
        return header.data_path.open("rb")

    def _describe(self, assume_unit: str | None) -> ScanInfo:
        origins, directions = self._places()
        planes, height, width = (self.header.shape[axis] for axis in self.layout.axes)
        return ScanInfo(
            planes=planes * self.header.shape[3],
            channels=1,
            height=height,
            width=width,
            spacing_mm=self._spacing(),
            modality=None,
            unit=assume_unit,
            bits=self.header.dtype.itemsize * 8,
            format="nifti",
            details=_details(self.header, self._packed),
            notices=tuple(_notices(self)),
            positions_mm=self._positions(),
            origins_mm=origins,
            directions=directions,
        )

    def _positions(self) -> tuple[float, ...] | None:
        """Return the place of each plane; those of further volumes have the same places."""
        places = self.layout.positions_mm(self.header.affine, self.slices)
        return None if places is None else places * self.header.shape[3]

    def _places(self) -> tuple[tuple[tuple[float, ...], ...] | None, tuple[float, ...] | None]:
        """Return where the planes of all volumes are; None for a header without a transform."""
        header = self.header
        if not header.is_placed:
            return None, None
        origins, directions = self.layout.places(header.affine, header.shape)
        return origins * header.shape[3], directions

    def _spacing(self) -> tuple[float | None, float | None, float | None]:
        lengths = np.linalg.norm(self.header.affine[:3, :3], axis=0)
        known = [float(size) if np.isfinite(size) and size > 0 else None for size in lengths]
        plane, row, column = self.layout.axes
        return known[plane], known[row], known[column]


def _is_gzip(header: NiftiHeader) -> bool:
    with header.data_path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def _details(header: NiftiHeader, packed: bool) -> dict[str, str]:
    scaled = (header.slope, header.intercept) != (1.0, 0.0)
    order = "big" if header.fields.endianness == ">" else "little"
    return {
        "kind": f"NIfTI-{header.version}{', a pair of files' if header.paired else ''}",
        "voxels": " x ".join(str(size) for size in header.shape),
        "type": f"{header.dtype.name}, {order} endian",
        "scaling": f"{header.slope:g} x stored + {header.intercept:g}" if scaled else "none",
        "axes": "".join(code or "?" for code in _axis_codes(header)),
        "codes": f"qform {int(header.fields['qform_code'])}, "
        f"sform {int(header.fields['sform_code'])}",
        "compression": "gzip" if packed else "none",
        "extensions": f"{len(header.extensions)} bytes",
    }


def _axis_codes(header: NiftiHeader) -> tuple[str | None, ...]:
    if not np.isfinite(header.affine).all():
        return (None, None, None)
    with np.errstate(all="ignore"):
        return tuple(nibabel.orientations.aff2axcodes(header.affine))  # type: ignore[no-untyped-call]


def _notices(reader: NiftiReader) -> list[str]:
    header = reader.header
    notices = list(header.place_notices)
    if None in _axis_codes(header):
        notices.append("the affine is singular: planes are taken along the third voxel axis")
    if int(header.fields["qform_code"]) == int(header.fields["sform_code"]) == 0:
        notices.append("the header gives no orientation (qform and sform codes are 0)")
    if header.space_unit == "unknown":
        notices.append("the header gives no unit of length; mm is assumed")
    if header.lost_bytes:
        notices.append(
            f"{header.lost_bytes} bytes after the header are not an extension and are not copied"
        )
    return notices

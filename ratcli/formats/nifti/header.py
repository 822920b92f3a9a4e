"""The header of a NIfTI file: parsed once, checked against the size of the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from ratcli.errors import InputNotFoundError, UnreadableInputError
from ratcli.formats.limits import check_pixels
from ratcli.formats.nifti.layout import AffineArray, anatomical, gives_directions, placement_of
from ratcli.formats.nifti.streams import GZIP_MAGIC, open_bytes, read_exactly

COMMENT_CODE = 6
"""Extension code of plain text (nifti1_io.h, NIFTI_ECODE_COMMENT)."""

_BLOCK_BYTES = {1: 348, 2: 540}
_MAX_EXTENSION_BYTES = 1 << 26
_DEFLATE_RATIO = 1032  # the most that deflate can shrink by
_MAX_COMPRESSED_PLANES = 16  # planes of `max_pixels` voxels that a compressed file may inflate to
_MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI file declares.

    Attributes:
        version: 1 or 2.
        fields: nibabel's header, in the byte order of the file.
        extensions: the extension blocks as they are in the file.
        lost_bytes: bytes after the header that are not an extension; not copied.
        shape: voxels along three axes, and volumes.
        dtype: type on disk, with its byte order.
        slope: native units for a stored step.
        intercept: native value of stored 0.
        affine: `(4, 4)`, voxel to world in mm.
        place_notices: what is odd about the transforms that place the voxels.
        data_path: the file with the voxels.
        data_offset: where in it (after inflating) they begin.
        paired: whether header and voxels are two files.
    """

    version: int
    fields: Any
    extensions: bytes
    lost_bytes: int
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    slope: float
    intercept: float
    affine: AffineArray
    place_notices: tuple[str, ...]
    data_path: Path
    data_offset: int
    paired: bool

    @property
    def data_bytes(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_placed(self) -> bool:
        """Whether a transform of the header, and not the voxel sizes alone, places the voxels."""
        codes = (int(self.fields[name]) for name in ("qform_code", "sform_code"))
        return any(code > 0 for code in codes) and gives_directions(self.affine)

    @property
    def space_unit(self) -> str:
        """The unit of the affine: `mm`, `meter`, `micron` or `unknown`."""
        return _unit_names(self.fields)[0]


def version_of(head: bytes) -> int | None:
    """Return 1 or 2 for the first bytes of a NIfTI header, None for anything else."""
    if head[344:348] in (b"n+1\0", b"ni1\0"):
        return 1
    if head[4:8] in (b"n+2\0", b"ni2\0"):
        return 2
    return None


def is_analyze(head: bytes) -> bool:
    """Return whether a header is ANALYZE 7.5, which has no magic: by its length field."""
    lengths = (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
    return 348 in lengths and len(head) >= 348 and version_of(head) is None


def header_path(path: Path) -> Path:
    """Return the file that holds the header: the `.hdr` beside an `.img`, else the file itself."""
    return _sibling(path, ".hdr") if _stem_suffix(path)[1] == ".img" else path


def read_header(path: Path, max_pixels: int) -> NiftiHeader:
    """Read and check the header; no voxel is touched.

    Args:
        path: `.nii`, `.hdr` or `.img`, any of them with `.gz`.
        max_pixels: most pixels of a plane.

    Raises:
        InputNotFoundError: the header or the voxels of a pair are missing.
        UnreadableInputError: damaged, truncated, hostile, or a type that is not numeric.
    """
    path = header_path(path)
    if not path.is_file():
        raise InputNotFoundError(f"the header {path.name} of the pair is missing")
    with open_bytes(path) as file:
        version, fields = _read_block(file)
        paired = bytes(fields["magic"])[:2] == b"ni"
        offset = _data_offset(fields, version, paired)
        extensions, lost = _read_extensions(file, None if paired else offset - file.tell())
    slope, intercept = _scaling(fields)
    placement = placement_of(fields)
    header = NiftiHeader(
        version=version,
        fields=fields,
        extensions=extensions,
        lost_bytes=lost,
        shape=_shape(fields),
        dtype=_dtype(fields),
        slope=slope,
        intercept=intercept,
        affine=_in_mm(placement.affine, fields),
        place_notices=placement.notices,
        data_path=_voxels_of(path) if paired else path,
        data_offset=offset,
        paired=paired,
    )
    _check_size(header, max_pixels)
    return header


def _stem_suffix(path: Path) -> tuple[str, str, str]:
    name, packed = (path.name[:-3], path.name[-3:]) if _is_gz(path) else (path.name, "")
    stem, dot, suffix = name.rpartition(".")
    return stem, (dot + suffix).lower(), packed


def _is_gz(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _sibling(path: Path, suffix: str) -> Path:
    stem, _, packed = _stem_suffix(path)
    candidates = [path.with_name(stem + suffix + end) for end in (packed, "", ".gz")]
    return next((found for found in candidates if found.is_file()), candidates[0])


def _voxels_of(path: Path) -> Path:
    voxels = _sibling(path, ".img")
    if not voxels.is_file():
        raise InputNotFoundError(
            f"the voxels {voxels.name} that belong to {path.name} are missing",
            hint="Put the .img file beside the .hdr file.",
        )
    return voxels


def _read_block(file: IO[bytes]) -> tuple[int, Any]:
    head = read_exactly(file, 348, what="header")
    version = version_of(head)
    if version is None:
        raise UnreadableInputError(
            "the header is ANALYZE 7.5, which does not say which side is left"
            if is_analyze(head)
            else "the file does not begin with a NIfTI header",
            hint="Convert the file to NIfTI first." if is_analyze(head) else "",
        )
    head += read_exactly(file, _BLOCK_BYTES[version] - len(head), what="header")
    kind: Any = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    order = _byte_order(head, _BLOCK_BYTES[version])
    return version, kind(head, endianness=order, check=False)


def _byte_order(head: bytes, length: int) -> str:
    for order, name in (("<", "little"), (">", "big")):
        if int.from_bytes(head[:4], "little" if name == "little" else "big") == length:
            return order
    raise UnreadableInputError(f"the header's length field is not {length}")


def _data_offset(fields: Any, version: int, paired: bool) -> int:
    declared = float(fields["vox_offset"])
    least = 0 if paired else _BLOCK_BYTES[version] + 4
    if declared == 0:
        return least
    if not (math.isfinite(declared) and least <= declared <= _MAX_EXTENSION_BYTES):
        raise UnreadableInputError(
            f"the header puts the voxels at byte {declared:g}, expected {least} or a little more"
        )
    return int(declared)


def _read_extensions(file: IO[bytes], length: int | None) -> tuple[bytes, int]:
    limit = _MAX_EXTENSION_BYTES if length is None else length
    area = file.read(limit)
    if len(area) < 4 or area[0] == 0:
        return b"", 0
    start = end = 4
    while end + 8 <= len(area):
        size = int.from_bytes(area[end : end + 4], "little")
        size = size if 8 <= size <= len(area) - end else int.from_bytes(area[end : end + 4], "big")
        if size < 16 or size % 16 or end + size > len(area):
            break
        end += size
    return area[start:end], len(area[end:].strip(b"\0"))


def _shape(fields: Any) -> tuple[int, int, int, int]:
    dim = [int(size) for size in fields["dim"]]
    if not 2 <= dim[0] <= 7:
        raise UnreadableInputError(f"the header declares {dim[0]} axes, expected 2 to 4")
    sizes = dim[1 : 1 + dim[0]]
    if min(sizes) < 1:
        raise UnreadableInputError(
            f"the header declares {' x '.join(map(str, sizes))} voxels: none to read"
        )
    if math.prod(sizes[4:]) != 1:
        raise UnreadableInputError(
            f"the file has {dim[0]} axes ({' x '.join(map(str, sizes))}), at most 4 are read"
        )
    x, y, z, volumes = [*sizes, 1, 1][:4]
    return x, y, z, volumes


def _dtype(fields: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(fields.get_data_dtype())
    except (HeaderDataError, KeyError) as error:
        raise UnreadableInputError(
            f"data type code {int(fields['datatype'])} is not read"
        ) from error
    if dtype.kind not in "iuf" or dtype.itemsize == 0:
        raise UnreadableInputError(
            f"voxels are {_kind_name(dtype)}, expected integer or real numbers"
        )
    return dtype


def _kind_name(dtype: np.dtype[Any]) -> str:
    names = {"c": "complex numbers", "V": "RGB colours" if dtype.names else "single bits"}
    return names.get(dtype.kind, str(dtype.name))


def _scaling(fields: Any) -> tuple[float, float]:
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0  # the standard: no scaling
    if not math.isfinite(intercept):
        raise UnreadableInputError(
            f"the header has slope {slope:g} and intercept {intercept:g}, expected numbers"
        )
    return slope, intercept


def _unit_names(fields: Any) -> tuple[str, str]:
    try:
        space, time = fields.get_xyzt_units()
    except KeyError:
        return "unknown", "unknown"
    return (space if space in _MM_PER_UNIT else "unknown"), time


def _in_mm(affine: AffineArray, fields: Any) -> AffineArray:
    scaled: AffineArray = affine.copy()
    scaled[:3] *= _MM_PER_UNIT[_unit_names(fields)[0]]
    return scaled


def _check_size(header: NiftiHeader, max_pixels: int) -> None:
    _, rows, columns = anatomical(header.affine, header.shape[:3]).axes
    check_pixels(header.shape[rows], header.shape[columns], max_pixels)
    needed = header.data_offset + header.data_bytes
    there = header.data_path.stat().st_size
    with header.data_path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    if needed > (there * _DEFLATE_RATIO if packed else there):
        raise UnreadableInputError(
            f"the header declares {needed} bytes, but the file has {there}"
            f"{' compressed' if packed else ''}",
            hint="The file is truncated, or its header is damaged.",
        )
    if packed and math.prod(header.shape) > _MAX_COMPRESSED_PLANES * max_pixels:
        raise UnreadableInputError(
            f"the compressed file inflates to {needed} bytes, more than the limit allows",
            hint="If the file is genuine, raise the limit with --max-pixels, or gunzip it first.",
        )

"""Writing a NIfTI file plane by plane, in the source's type, with its header on the new grid."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from ratcli.errors import OutputError, UnreadableInputError
from ratcli.formats.atomic import PartialFile, output_errors, refuse_input
from ratcli.formats.closing import FinishingWriter
from ratcli.formats.nifti.header import COMMENT_CODE, NiftiHeader
from ratcli.formats.nifti.layout import AffineArray, PlaneAxes, qfac_of, qform_of
from ratcli.formats.nifti.reader import NiftiReader
from ratcli.formats.nifti.streams import deflate
from ratcli.formats.quantise import StoredArray, keep_untouched, to_native, to_stored
from ratcli.formats.tiling import box_to_fill
from ratcli.scan import Box, Derivation, FloatArray

_BLOCK = bytes(1 << 20)
_EXTENDER = b"\1\0\0\0"
_MAGIC = {(1, False): b"n+1", (1, True): b"ni1"}


class NiftiWriter(FinishingWriter):
    """A NIfTI scan being written; see `ScanWriter`.

    The voxels go to a nameless file in the target's folder first, and are copied behind the header
    at the end (with gzip level 6 if the name ends in `.gz`).
    """

    def __init__(
        self, reader: NiftiReader, path: Path, derivation: Derivation, *, overwrite: bool
    ) -> None:
        for name in _names(path):
            refuse_input(name, [reader.header.data_path])
        self._reader = reader
        self._scale = derivation.scale
        self._holds_uncertainty = derivation.method == "uncertainty"
        self._paired = path.name.lower().removesuffix(".gz").endswith((".hdr", ".img"))
        self._head = derived_head(reader.header, reader.layout, derivation, paired=self._paired)
        self._files = [PartialFile(name, overwrite=overwrite) for name in _names(path)]
        self._missing = np.full(reader.info.planes, self._plane_size(), np.int64)
        self._voxels: IO[bytes] | None = None

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a plane, or a box of it; see `ScanWriter.write`.

        Raises:
            OutputError: the disk is full.
            ValueError: the shape is not that of the box, or NaN for an integer type.
        """
        info, scale = self._reader.info, self._scale
        box = box_to_fill(values, box, (1, info.height * scale, info.width * scale))
        stored = self._stored(plane, values[0], box)
        volume, index = divmod(plane, self._reader.slices)
        with output_errors(self._files[0].final):
            target = self._map()[..., volume]
            self._reader.layout.planes(target)[index][box.slices] = stored
        self._missing[plane] -= box.height * box.width

    def __enter__(self) -> Self:
        final = self._files[-1].final
        with output_errors(final), contextlib.ExitStack() as stack:
            spill = stack.enter_context(tempfile.TemporaryFile(dir=final.parent))
            _reserve(spill, math.prod(self._shape()) * self._dtype.itemsize)
            self._voxels = spill
            stack.pop_all()
        return self

    def discard(self) -> None:
        """Remove unfinished files and stored voxels."""
        if self._voxels is not None:
            self._voxels.close()
        for file in self._files:
            file.discard()

    def finish(self) -> None:
        """Write header and voxels, and give the files their names."""
        if self._missing.any():
            plane = int(np.flatnonzero(self._missing)[0])
            raise ValueError(f"plane {plane} was not written exactly once")
        assert self._voxels is not None
        with output_errors(self._files[0].final):
            self._save(self._voxels)
        for file in reversed(self._files):  # voxels first, so that there is never a header alone
            file.commit()

    def _save(self, voxels: IO[bytes]) -> None:
        head, body = self._files[0], self._files[-1]
        if self._paired:
            head.path.write_bytes(_packed_like(head.final, self._head))
        with body.path.open("wb") as target:
            before = b"" if self._paired else self._head
            if body.final.name.lower().endswith(".gz"):
                deflate(voxels, target, before)
            else:
                target.write(before)
                voxels.seek(0)
                shutil.copyfileobj(voxels, target, len(_BLOCK))

    def _stored(self, plane: int, values: FloatArray, box: Box) -> StoredArray:
        header = self._reader.header
        if self._holds_uncertainty:
            return to_stored(values, self._dtype)
        stored = to_stored(values, header.dtype, header.slope, header.intercept)
        if self._scale > 1:
            return stored
        before = self._reader.stored(plane, box)
        native = to_native(before, header.slope, header.intercept)
        return keep_untouched(values, native, before, stored)

    def _map(self) -> npt.NDArray[Any]:
        assert self._voxels is not None
        return np.memmap(self._voxels, self._dtype, "r+", 0, self._shape(), order="F")

    @property
    def _dtype(self) -> np.dtype[Any]:
        """Type of a written voxel: the source's own, float32 in its byte order for uncertainty."""
        header = self._reader.header
        if self._holds_uncertainty:
            return np.dtype(f"{header.fields.endianness}f4")
        return header.dtype

    def _shape(self) -> tuple[int, ...]:
        shape = list(self._reader.header.shape)
        for axis in self._reader.layout.axes[1:]:
            shape[axis] *= self._scale
        return tuple(shape)

    def _plane_size(self) -> int:
        info = self._reader.info
        return info.height * info.width * self._scale**2


def _names(path: Path) -> list[Path]:
    """Return the files to write: header and voxels of a pair, or the one file."""
    packed = path.suffix if path.name.lower().endswith(".gz") else ""
    inner = path.with_suffix("") if packed else path
    if inner.suffix.lower() not in (".hdr", ".img"):
        return [path]
    return [inner.with_name(f"{inner.stem}{suffix}{packed}") for suffix in (".hdr", ".img")]


def _packed_like(path: Path, data: bytes) -> bytes:
    import gzip

    return gzip.compress(data, mtime=0) if path.name.lower().endswith(".gz") else data


def _reserve(file: IO[bytes], size: int) -> None:
    """Reserve the disk space now: if the disk fills up while mapped, the process dies."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for _ in range(size // len(_BLOCK)):
        file.write(_BLOCK)
    file.write(_BLOCK[: size % len(_BLOCK)])
    file.flush()


_MAGIC |= {(2, False): b"n+2\0\r\n\x1a\n", (2, True): b"ni2\0\r\n\x1a\n"}


def derived_head(
    source: NiftiHeader, layout: PlaneAxes, derivation: Derivation, *, paired: bool
) -> bytes:
    """Return all bytes before the voxels: header, extensions of the source, and a comment.

    Codes, units, description, scaling and intent are copied as they are; standard deviations
    become float32, which needs no scaling. The qform's pixdim[0] becomes 1 or -1.

    Args:
        source: the header of the source.
        layout: which axes get finer.
        derivation: its description becomes an extension with the code of a comment.
        paired: whether the voxels go to a file of their own.
    """
    fields = source.fields.copy()
    if int(fields["qform_code"]) > 0 and float(fields["pixdim"][0]) not in (-1, 1):
        fields["pixdim"][0] = qfac_of(fields)
    if derivation.scale > 1:
        _refine(fields, layout, source.shape, derivation.scale)
    if derivation.method == "uncertainty":
        _make_float(fields)
    extensions = source.extensions + _comment(derivation, source.fields.endianness)
    head_bytes = len(fields.binaryblock) + len(_EXTENDER) + len(extensions)
    fields["magic"] = _MAGIC[source.version, paired]
    fields["vox_offset"] = 0 if paired else head_bytes
    return bytes(fields.binaryblock) + _EXTENDER + extensions


def _comment(derivation: Derivation, byte_order: str) -> bytes:
    facts = [derivation.description, f"task {derivation.task}", f"version {derivation.version}"]
    if derivation.weights_sha256:
        facts.append(f"weights SHA-256 {derivation.weights_sha256}")
    text = "rat: " + "; ".join([*facts, *derivation.settings])
    data = text.encode() + b"\0"
    size = -(-(8 + len(data)) // 16) * 16  # a multiple of 16, as the standard asks
    order: Any = "big" if byte_order == ">" else "little"
    head = size.to_bytes(4, order) + COMMENT_CODE.to_bytes(4, order)
    return (head + data).ljust(size, b"\0")


def _refine(fields: Any, layout: PlaneAxes, shape: tuple[int, ...], scale: int) -> None:
    """Make the grid finer in the header; the corner of the volume stays where it is."""
    qform = _qform_or_none(fields)
    longest = int(np.iinfo(fields["dim"].dtype).max)
    for axis in layout.axes[1:]:
        if shape[axis] * scale > longest:
            raise OutputError(
                f"an axis gets {shape[axis] * scale} voxels, but this version of NIfTI holds "
                f"at most {longest}"
            )
        fields["dim"][1 + axis] = shape[axis] * scale
        fields["pixdim"][1 + axis] /= scale
    fields["dim"][0] = max(int(fields["dim"][0]), 1 + max(layout.axes[1:]))
    for axis, name in enumerate(("qoffset_x", "qoffset_y", "qoffset_z")):
        if qform is not None:
            fields[name] = layout.refine(qform, scale)[axis, 3]
    sform = layout.refine(np.asarray(fields.get_sform(), np.float64), scale)
    for axis, name in enumerate(("srow_x", "srow_y", "srow_z")):
        if int(fields["sform_code"]) > 0:
            fields[name] = sform[axis]
    _forget_slice_timing(fields, layout)


def _make_float(fields: Any) -> None:
    fields.set_data_dtype(np.float32)
    fields["scl_slope"], fields["scl_inter"] = 1, 0
    fields["cal_min"] = fields["cal_max"] = 0  # 0 and 0: no range to show


def _qform_or_none(fields: Any) -> AffineArray | None:
    """Return the qform's affine, or None if it is not valid and the sform places the volume."""
    try:
        return qform_of(fields)
    except UnreadableInputError:
        return None


def _forget_slice_timing(fields: Any, layout: PlaneAxes) -> None:
    slice_axis = fields.get_dim_info()[2]
    if slice_axis in layout.axes[1:]:
        for name in ("slice_code", "slice_start", "slice_end", "slice_duration"):
            fields[name] = 0

"""The header of a derived NIfTI file: that of the source, on the new grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from ratcli.errors import OutputError, UnreadableInputError
from ratcli.formats.nifti.header import COMMENT_CODE, NiftiHeader
from ratcli.formats.nifti.layout import AffineArray, PlaneAxes
from ratcli.formats.nifti.placement import qfac_of, qform_of
from ratcli.scan import Derivation

_EXTENDER = b"\1\0\0\0"
_MAGIC = {(1, False): b"n+1", (1, True): b"ni1"}
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

"""NIfTI-1 and NIfTI-2: `.nii`, `.nii.gz` and pairs of `.hdr` and `.img`."""

from __future__ import annotations

from pathlib import Path

from ratcli.formats.limits import inflated_head
from ratcli.formats.source import ScanSource
from ratcli.scan import Derivation, ScanReader, ScanWriter


def sniff(head: bytes, path: Path) -> bool:
    """Return whether a file is NIfTI: by its magic, or by its name for `.img` and ANALYZE files.

    Args:
        head: the first bytes of the file, as they are on disk.
        path: the file.
    """
    from ratcli.formats.nifti import header

    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".nii"):
        return True
    inside = inflated_head(head)
    if header.version_of(inside) is not None:
        return True
    if name.endswith(".hdr"):
        return header.is_analyze(inside)
    return name.endswith(".img") and header.header_path(path).is_file()


def open_scan(source: ScanSource, *, max_pixels: int, assume_unit: str | None = None) -> ScanReader:
    """Open a NIfTI file, or a pair by either of its files.

    Args:
        source: one file; or the two of a pair.
        max_pixels: most pixels of a plane.
        assume_unit: unit of the values; NIfTI has no field for it.

    Raises:
        InputNotFoundError: one file of a pair is missing.
        UnreadableInputError: damaged, hostile, or or not numeric.
    """
    from ratcli.formats.nifti.header import read_header
    from ratcli.formats.nifti.reader import NiftiReader

    return NiftiReader(read_header(source.paths[0], max_pixels), assume_unit)


def create_scan(
    reader: ScanReader, path: Path, derivation: Derivation, *, overwrite: bool = False
) -> ScanWriter:
    """Begin a NIfTI file on the reader's grid, or one `derivation.scale` times as fine.

    Args:
        reader: a scan that `open_scan` of this module gave; it stays open while writing.
        path: `.nii`, `.nii.gz`, or `.hdr` for a pair.
        derivation: what was done; becomes a comment in the header's extensions.
        overwrite: whether a file of that name may be replaced.

    Raises:
        OutputError: the name is taken, is the input's, or cannot be written.
    """
    from ratcli.formats.nifti.reader import NiftiReader
    from ratcli.formats.nifti.writer import NiftiWriter

    if not isinstance(reader, NiftiReader):
        raise ValueError("a NIfTI file is made from a NIfTI reader")
    return NiftiWriter(reader, path, derivation, overwrite=overwrite)

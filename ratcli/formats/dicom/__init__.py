"""DICOM: classic single-frame series and multi-frame objects."""

from __future__ import annotations

import struct
from pathlib import Path

from ratcli.formats.source import ScanSource
from ratcli.scan import Derivation, ScanReader, ScanWriter

_FIRST_GROUPS = (0x0002, 0x0008)


def sniff(head: bytes, path: Path) -> bool:
    """Return whether a file is DICOM: by `DICM` at byte 128, or by its first element.

    Args:
        head: the first bytes of the file.
        path: the file, for zip archives, which may hold DICOM files.

    Source: PS3.10, 7.1; files without a preamble are common in old archives.
    """
    if head[128:132] == b"DICM":
        return True
    if head[:4] == b"PK\x03\x04":
        from ratcli.formats.dicom.containers import holds_dicom

        return holds_dicom(path)
    return _starts_with_element(head)


def open_scan(source: ScanSource, *, max_pixels: int, assume_unit: str | None) -> ScanReader:
    """Open the files of one series, see `ratcli.formats.open_scan`."""
    from ratcli.formats.dicom.reader import open_series

    return open_series(source, max_pixels=max_pixels, assume_unit=assume_unit)


def create_scan(
    reader: ScanReader, path: Path, derivation: Derivation, *, overwrite: bool
) -> ScanWriter:
    """Begin a derived series, see `ratcli.formats.create_scan`."""
    from ratcli.formats.dicom.writer import create_series

    return create_series(reader, path, derivation, overwrite=overwrite)


def _starts_with_element(head: bytes) -> bool:
    """Return whether the first eight bytes are an element of group 0002 or 0008, any syntax."""
    if len(head) < 12:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    for order in ("<", ">"):
        group, element, length = struct.unpack(f"{order}HHI", head[:8])
        if group in _FIRST_GROUPS and element <= 0x0070 and (explicit or length <= 128):
            return True
    return False

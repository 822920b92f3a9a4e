"""Which module reads and writes a format, and what each module must have."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from ratcli.formats.source import ScanSource
from ratcli.scan import Derivation, ScanReader, ScanWriter

FORMATS: dict[str, str] = {
    "dicom": "ratcli.formats.dicom",
    "nifti": "ratcli.formats.nifti",
    "tiff": "ratcli.formats.tiff",
    "picture": "ratcli.formats.pictures",
}
"""Name of a format (as in `ScanInfo.format`) and its module; asked in this order."""


class FormatModule(Protocol):
    """What a format's module must have. Importing it must be cheap: no library until it is used."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Return whether a file is of this format.

        Args:
            head: its first `HEAD_BYTES` bytes, as they are on disk (gzip not undone).
            path: the file, for formats that take two (`.hdr` and `.img`).
        """

    def open_scan(
        self, source: ScanSource, *, max_pixels: int, assume_unit: str | None
    ) -> ScanReader:
        """Open a scan; see `ratcli.formats.open_scan`."""

    def create_scan(
        self, reader: ScanReader, path: Path, derivation: Derivation, *, overwrite: bool
    ) -> ScanWriter:
        """Begin a scan made from `reader`; see `ratcli.formats.create_scan`."""


def format_module(name: str) -> FormatModule:
    """Return the module of a format by its name."""
    return cast(FormatModule, importlib.import_module(FORMATS[name]))

"""Parsed headers that are kept between finding a series and opening it, in limited memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from weakref import WeakSet

from ratcli.formats.dicom.files import DicomFile, read_header

MOST_KEPT_BYTES = 1 << 22
"""Most bytes of headers, counted in the files, that are kept for the scans that were found.

In memory they take about 20 times as much: 80 MB, which are 1000 slices of usual scanners. The
headers of further slices are parsed again when their scan is opened.
"""

_kept: WeakSet[DicomFile] = WeakSet()


class KeptHeaders:
    """The headers that were parsed to find series: the first ones, until the limit is reached.

    They count until the sources and the readers that hold them are deleted.
    """

    def __init__(self) -> None:
        self._room = MOST_KEPT_BYTES - sum(file.header_bytes for file in list(_kept))
        self._files: dict[Path, DicomFile] = {}

    def add(self, file: DicomFile) -> None:
        """Keep a header, if there is room."""
        if file.header_bytes <= self._room:
            self._room -= file.header_bytes
            self._files[file.path] = file
            _kept.add(file)

    def of(self, paths: Iterable[Path]) -> dict[Path, DicomFile]:
        """Return those headers of some files that were kept."""
        return {path: self._files[path] for path in paths if path in self._files}


def header_of(path: Path, kept: Mapping[Path, DicomFile]) -> DicomFile:
    """Return the header of a file: the kept one if the file is still the same, else a new one.

    Raises:
        UnreadableInputError: see `read_header`.
    """
    file = kept.get(path)
    return file if file is not None and file.is_current else read_header(path)

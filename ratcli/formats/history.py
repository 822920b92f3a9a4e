"""What `rat` recorded in a scan that it made: version, task, weights and their hash."""

from __future__ import annotations

import re
from typing import Any

from ratcli.errors import RatError
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.formats.source import ScanSource
from ratcli.scan import ScanReader

_DESCRIPTION, _SOFTWARE = 270, 305
_RESULT = re.compile(r"rat \d[\w.+-]*, (simulated|regions by|[\w-]+, weights) ")
_COMMANDS = {"simulated": "simulate", "regions by": "segment"}
_MADE = re.compile(
    r"rat \d[\w.+-]*, [\w-]+, weights [\w.+-]+ \(SHA-256 [0-9a-f]{64}\)"
    r"(?: and [\w.+-]+ \(SHA-256 [0-9a-f]{64}\))*, strength [\w.+-]+"
    r"(?: chosen for (?:a noise of [\d.e+-]+ HU|the noise of [\d.e+-]+ times the dose))?"
    r", regions by [\w-]+"
    r"(?:, mean of [\w ]+ views)?"
)


def made_by(reader: ScanReader) -> str:
    """Return the record of `rat restore` in the header of an open scan; empty if there is none.

    Nothing else of the header is returned: only words that match what `rat` writes.

    Args:
        reader: as `open_scan` gave it.
    """
    found = _MADE.findall(_record(reader))
    return str(found[-1]) if found else ""


def result_of(source: ScanSource) -> str:
    """Return which command of `rat` made a scan: `restore`, `segment` or `simulate`.

    Of several, it is the last one. The name is empty if the header has no record, or cannot be
    read.

    Args:
        source: the scan; its pixels are not read.
    """
    try:
        found = _RESULT.findall(_record_of(source))
    except RatError:
        return ""
    return _COMMANDS.get(found[-1], "restore") if found else ""


def _record_of(source: ScanSource) -> str:
    """Return the text of a header in which `rat` leaves its record."""
    path = source.paths[0]
    if source.format == "dicom":
        from ratcli.formats.dicom.headers import header_of

        return _dicom_record(header_of(path, source.headers).dataset)
    if source.format == "nifti":
        from ratcli.formats.nifti.header import read_header

        return _nifti_record(read_header(path, DEFAULT_MAX_PIXELS))
    if source.format == "picture":
        from ratcli.formats.pictures.reader import PictureReader

        return PictureReader(path, DEFAULT_MAX_PIXELS).software
    from ratcli.formats.tiff.pages import open_pages

    pages = open_pages(path)
    with pages.file:
        return _tiff_record(pages)


def _record(reader: Any) -> str:
    """Return the same of an open scan."""
    if reader.info.format == "dicom":
        return _dicom_record(reader.sources[0].file.dataset)
    if reader.info.format == "nifti":
        return _nifti_record(reader.header)
    if reader.info.format == "tiff":
        return _tiff_record(reader.pages)
    return str(getattr(reader, "software", ""))


def _dicom_record(dataset: Any) -> str:
    from ratcli.formats.dicom.elements import text

    return text(dataset, "DerivationDescription")


def _nifti_record(header: Any) -> str:
    parts = (header.fields["descrip"].tobytes(), header.extensions)
    return " ".join(part.decode("utf-8", "replace") for part in parts)


def _tiff_record(pages: Any) -> str:
    from ratcli.formats.tiff.pages import raw_value

    parts = (raw_value(pages.first, tag) for tag in (_DESCRIPTION, _SOFTWARE))
    return " ".join(part.decode("utf-8", "replace") for part in parts)

"""What `rat` recorded in a scan that it made: version, task, weights and their hash."""

from __future__ import annotations

import re
from typing import Any

from ratcli.scan import ScanReader

_SOFTWARE = 305
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


def _record(reader: Any) -> str:
    """Return the text of a header in which `rat` leaves its record."""
    kind = reader.info.format
    if kind == "dicom":
        from ratcli.formats.dicom.elements import text

        return text(reader.sources[0].file.dataset, "DerivationDescription")
    if kind == "nifti":
        return str(reader.header.extensions.decode("utf-8", "replace"))
    if kind == "tiff":
        from ratcli.formats.tiff.pages import raw_value

        return str(raw_value(reader.pages.first, _SOFTWARE).decode("utf-8", "replace"))
    return ""

"""Files of regions to measure in: drawn ones as JSON, or a region map on the grid of a scan."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ratcli.errors import InputNotFoundError, UsageError
from ratcli.evaluation.given_regions import (
    DrawnRegions,
    MappedRegions,
    RegionSource,
    regions_from_json,
)
from ratcli.formats.regions import open_regions
from ratcli.paths import check_file
from ratcli.scan import ScanReader


def open_region_source(path: Path, restored: ScanReader, stack: ExitStack) -> RegionSource:
    """Open drawn regions, or a region map on the grid of the restored scan.

    Args:
        path: JSON, or a region map.
        restored: the open scan.
        stack: closes the map.

    Raises:
        RatError: not found, not readable, or not on the scan's grid.
    """
    if path.suffix.lower() == ".json":
        return drawn_regions(path)
    reader = stack.enter_context(open_regions(path, restored))
    if (reader.labels(0) != 0).all():
        # A partition labels every pixel, and numbers its regions plane by plane.
        return MappedRegions(reader.labels, None, spans_planes=False)
    return MappedRegions(reader.labels, names=reader.names)


def drawn_regions(path: Path) -> DrawnRegions:
    """Read regions drawn as discs and boxes.

    Raises:
        RatError: not found, or not JSON of that form.
    """
    return regions_from_json(_text(path))


def _text(path: Path) -> str:
    check_file(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path.name} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} cannot be read as text") from error

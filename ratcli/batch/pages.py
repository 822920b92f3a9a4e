"""Where the pages of reports go, and writing them: one file, or a folder with an index."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ratcli import __version__
from ratcli.batch.digest import files_digest
from ratcli.batch.existing import IfExists
from ratcli.errors import UsageError
from ratcli.evaluation.patients import PatientFigures
from ratcli.evaluation.report import IndexEntry, PageFacts, render_index
from ratcli.formats import ScanSource
from ratcli.formats.atomic import PartialFile, output_errors

LOG = logging.getLogger("ratcli.batch")

_INDEX = "index"
_SUFFIXES = (".html", ".htm", ".pdf", ".dcm")


@dataclass(frozen=True)
class Pages:
    """Where pages go.

    Attributes:
        each: the page of each scan, in order; no two have the same name on any file system.
        index: the page that lists them, or None for one page alone.
    """

    each: tuple[Path, ...]
    index: Path | None


def plan_pages(place: Path, names: Sequence[str]) -> Pages:
    """Name the pages of scans.

    Args:
        place: a file ending in `.html`, `.pdf`, or `.dcm` (a PDF inside DICOM) for one scan; else a
            folder, which gets an index.
        names: of all scans, in order.

    Raises:
        UsageError: one file for several scans, a file of another kind, or reportlab is missing.
    """
    if place.suffix.lower() in _SUFFIXES and not place.is_dir():
        if len(names) > 1:
            raise UsageError(
                f"{len(names)} scans make {len(names)} reports, but --report names one file",
                hint="Name a folder; it gets an index.",
            )
        if place.suffix.lower() in (".pdf", ".dcm") and find_spec("reportlab") is None:
            raise UsageError(
                "a report as PDF needs the package reportlab, which is not installed",
                hint="pip install 'ratcli[pdf]', or name an .html file.",
            )
        return Pages((place,), None)
    if place.is_file():
        raise UsageError(
            f"--report {place.name} is neither a folder nor an .html, .pdf or .dcm file",
            hint="Give it one of these endings, or name a folder.",
        )
    return Pages(
        tuple(place / f"{stem}.html" for stem in _distinct(names)), place / f"{_INDEX}.html"
    )


def write_index(
    path: Path,
    entries: Sequence[IndexEntry],
    over: PatientFigures | None = None,
    *,
    overwrite: bool,
) -> None:
    """Write the page that lists reports, with figures over patients where there are some.

    Raises:
        OutputError: it exists and may not be replaced, or cannot be written.
    """
    text = render_index(entries, PageFacts("Reports", __version__), over)
    write_text(path, text, "overwrite" if overwrite else "error")
    LOG.info("index of %d -> %s", len(entries), path.name)


def write_text(path: Path, text: str, if_exists: IfExists) -> None:
    """Write a text; see `write_file`."""
    write_file(path, text.encode("utf-8", "backslashreplace"), if_exists)


def write_file(path: Path, content: bytes, if_exists: IfExists) -> None:
    """Write a file under a temporary name and rename it when it is complete.

    Raises:
        OutputError: the file exists and `if_exists` is `error`, or it cannot be written.
    """
    if if_exists == "skip" and path.exists():
        LOG.info("%s exists and is kept", path.name)
        return
    partial = PartialFile(path, overwrite=if_exists == "overwrite")
    try:
        with output_errors(path):
            partial.path.write_bytes(content)
        partial.commit()
    except BaseException:
        partial.discard()
        raise


def hashes(sources: Mapping[str, ScanSource]) -> dict[str, str]:
    """Return rows of provenance: the SHA-256 of each scan's files."""
    return {f"{name}, SHA-256": files_digest(source.files) for name, source in sources.items()}


def versions(*packages: str) -> dict[str, str]:
    """Return a row of provenance: Python and packages that affect the figures."""
    names = ("numpy", "scipy", "scikit-image", *packages)
    each = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    return {"versions": ", ".join(each)}


def _distinct(names: Sequence[str]) -> list[str]:
    """Return a file's stem for each name; numbers are added to names that occur again."""
    taken, stems = {_INDEX}, []
    for name in names:
        stem, again = name, 1
        while stem.casefold() in taken:
            again += 1
            stem = f"{name}-{again}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems

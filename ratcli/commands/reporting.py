"""HTML reports on disk: a page for a scan, or a folder of pages with an index.

What `rat evaluate --report` and `rat restore --report` share.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from ratcli import __version__
from ratcli.batch.digest import files_digest
from ratcli.errors import UsageError
from ratcli.evaluation.fidelity import Summary
from ratcli.evaluation.patients import Figure
from ratcli.evaluation.report import IndexEntry, Provenance, render, render_index
from ratcli.evaluation.results import Evaluation
from ratcli.formats import ScanSource
from ratcli.formats.atomic import PartialFile, check_free, output_errors

LOG = logging.getLogger("ratcli.commands")

_INDEX = "index"
_PAGES = (".html", ".htm")


class Reports:
    """Reports being written.

    Args:
        place: a file ending in `.html` for one scan; else a folder, which gets an index.
        names: of all scans to come, in order.
        if_exists: what to do about pages that are there: `error`, `skip` or `overwrite`.

    Raises:
        UsageError: one file for several scans, or a file that is no HTML.
        OutputError: a page is there already.
    """

    def __init__(self, place: Path, names: Sequence[str], if_exists: str) -> None:
        self._if_exists = if_exists
        self._entries: list[IndexEntry] = []
        self._index: Path | None = None
        if place.suffix.lower() in _PAGES and not place.is_dir():
            self._pages = [_single(place, names)]
        else:
            _check_folder(place)
            self._pages = [place / f"{name}.html" for name in _told_apart(names)]
            self._index = place / f"{_INDEX}.html"
        for path in (*self._pages, *([self._index] if self._index else ())):
            check_free(path, overwrite=if_exists != "error")

    def add(self, number: int, name: str, found: Evaluation, facts: Mapping[str, str]) -> None:
        """Write the page of a scan.

        Args:
            number: of the scan in `names`.
            name: for the title.
            found: its figures and pictures.
            facts: for the table of provenance.
        """
        path = self._pages[number]
        text = render(found, Provenance(name, __version__, facts))
        write_text(path, text, self._if_exists)
        LOG.info("%s -> %s (%.1f MB)", name, path.name, len(text.encode()) / 1e6)
        # The pictures are on disk now; those of hundreds of scans need not stay in memory.
        self._entries.append(IndexEntry(name, path.name, replace(found, samples=())))

    def finish(self, over: Mapping[Figure, Summary] | None = None) -> None:
        """Write the index of a folder, with figures over patients where there are some.

        It lists every scan of this run, so that one that is there is renewed.
        """
        if self._index is None or not self._entries:
            return
        text = render_index(self._entries, Provenance("Reports", __version__), over)
        how = "error" if self._if_exists == "error" else "overwrite"
        write_text(self._index, text, how)
        LOG.info("index of %d -> %s", len(self._entries), self._index.name)


def write_text(path: Path, text: str, if_exists: str) -> None:
    """Write a text under its final name in one step, unless what is there is to stay."""
    if if_exists == "skip" and path.exists():
        LOG.info("%s is there and stays", path.name)
        return
    partial = PartialFile(path, overwrite=if_exists == "overwrite")
    try:
        with output_errors(path):
            partial.path.write_text(text, encoding="utf-8")
        partial.commit()
    except BaseException:
        partial.discard()
        raise


def hashes(sources: Mapping[str, ScanSource]) -> dict[str, str]:
    """Return rows of provenance: the SHA-256 of each scan's files."""
    return {f"{name}, SHA-256": files_digest(source.files) for name, source in sources.items()}


def versions(*packages: str) -> dict[str, str]:
    """Return a row of provenance: Python and packages that shape the figures."""
    names = ("numpy", "scipy", "scikit-image", *packages)
    told = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    return {"versions": ", ".join(told)}


def _single(place: Path, names: Sequence[str]) -> Path:
    if len(names) > 1:
        raise UsageError(
            f"{len(names)} scans make {len(names)} reports, but --report names one file",
            hint="Name a folder; it gets an index.",
        )
    return place


def _check_folder(place: Path) -> None:
    if place.is_file() or place.suffix.lower() == ".pdf":
        raise UsageError(
            f"--report {place.name} is neither a folder nor an .html file",
            hint="A report is HTML; a browser prints it to PDF.",
        )


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return a file's stem for each name, no two alike on any file system."""
    taken, stems = {_INDEX}, []
    for name in names:
        stem, again = name, 1
        while stem.casefold() in taken:
            again += 1
            stem = f"{name}-{again}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems

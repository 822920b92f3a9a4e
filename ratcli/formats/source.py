"""One scan on disk: its files, its format, and the name of what is made from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LONG_SUFFIXES = (".nii.gz", ".hdr.gz", ".img.gz", ".ome.tiff", ".ome.tif", ".ome.btf")
_SUFFIXES = (
    *(".dcm", ".dicom", ".ima", ".nii", ".hdr", ".img", ".tif", ".tiff", ".svs", ".btf"),
    *(".png", ".jpg", ".jpeg"),
)
_USUAL = {"dicom": ".dcm", "nifti": ".nii", "tiff": ".tif", "picture": ".png"}

MOST_LEVELS = 12
"""Most coarser levels of a slide: each has a quarter of the rows, and a tile has 256."""


@dataclass(frozen=True)
class LeftOut:
    """A file that lies beside a scan and is not restored with it.

    Attributes:
        path: the file; it may not exist.
        reason: a sentence that says why.
        is_usual: whether such files usually lie beside scans, as reports do. Any other file is one
            that the scan lacks.
    """

    path: Path
    reason: str
    is_usual: bool = False


@dataclass(frozen=True)
class ScanSource:
    """One scan on disk, not yet opened.

    Attributes:
        paths: its files, in order; a member of an archive is `archive.zip/member`.
        format: name of its format.
        name: stem for the output's name; made from file and folder names, never from a tag.
        is_folder: whether it is written as a folder of files.
        notices: what is unusual about its files, one sentence each; shown together with
            `ScanInfo.notices`.
        is_broken: whether it is a file of a DICOM series that cannot be read; opening it raises
            the error.
        problem: why a file that is no scan cannot be opened; empty for all others.
        left_out: files that are not restored with the scan.
        modality: DICOM's code, if the header was read to find the scan; else empty.
        is_localizer: whether the header that was read says that it is a localizer (scout).
        headers: headers that were parsed to find it, so that opening it does not parse them again;
            not passed on to other processes.
    """

    paths: tuple[Path, ...]
    format: str
    name: str
    is_folder: bool = False
    notices: tuple[str, ...] = ()
    is_broken: bool = False
    problem: str = ""
    left_out: tuple[LeftOut, ...] = ()
    modality: str = ""
    is_localizer: bool = False
    headers: Mapping[Path, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "headers": {}}

    @property
    def suffix(self) -> str:
        """Suffix of its file; empty for a folder."""
        if self.is_folder:
            return ""
        return split_name(self.paths[0])[1] or _USUAL[self.format]

    @property
    def output_suffix(self) -> str:
        """Suffix that a file made from this scan gets; empty for a folder."""
        return _USUAL["picture"] if self.format == "picture" else self.suffix

    @property
    def files(self) -> tuple[Path, ...]:
        """The files on disk: the archive where `paths` are inside one."""
        return tuple(dict.fromkeys(_on_disk(path) for path in self.paths))

    @property
    def folder(self) -> Path:
        """The folder that holds all of the files."""
        return common_folder(self.files)


def split_name(path: Path) -> tuple[str, str]:
    """Split a file name into stem and suffix; dots of a UID stay in the stem."""
    name, lower = path.name, path.name.lower()
    for suffix in (*_LONG_SUFFIXES, *_SUFFIXES):
        if lower.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    return name, ""


def part_names(source: ScanSource, path: Path, levels: bool) -> tuple[Path, ...]:
    """Return the names of files that may be written beside an output, as parts of it.

    Args:
        source: the scan that the output is made from.
        path: the output.
        levels: whether a DICOM slide gets coarser levels.
    """
    stem, suffix = split_name(path)
    if suffix.lower().startswith((".hdr", ".img")):
        other = {"h": "img", "i": "hdr"}[suffix[1].lower()]
        return (path.with_name(f"{stem}.{other}{suffix[4:]}"),)
    if levels and source.format == "dicom" and not source.is_folder:
        return tuple(
            path.with_name(f"{path.stem}_level{number}{path.suffix}")
            for number in range(1, MOST_LEVELS + 1)
        )
    return ()


def common_folder(paths: Sequence[Path]) -> Path:
    """Return the folder that holds all of the files."""
    return Path(os.path.commonpath([path.parent.absolute() for path in paths]))


def _on_disk(path: Path) -> Path:
    """Return the nearest part of a path that is there: an archive for one of its members."""
    for part in (path, *path.parents):
        if part.exists():
            return part
    return path

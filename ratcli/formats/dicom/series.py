"""Which files make up a series, and in which order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.containers import expand
from ratcli.formats.dicom.files import guarded, read_header
from ratcli.formats.dicom.headers import KeptHeaders
from ratcli.formats.dicom.series_file import (
    SeriesFile,
    other_object,
    raw_uid,
    series_file,
)
from ratcli.formats.dicom.stacks import DicomSeries, split_series
from ratcli.formats.source import LeftOut, common_folder
from ratcli.formats.wording import counted


def find_series(
    paths: Sequence[Path],
    *,
    series_uid: str | None = None,
    strays: Mapping[Path, str] | None = None,
) -> list[DicomSeries]:
    """Group files into series; images of one series that differ in size are kept apart.

    A file that cannot be read becomes a series by itself, so that opening it raises the error; the
    other files of its series are restored. Files that are no scans (plans, structures, reports,
    segmentations) are left out, and the first series tells so.

    Args:
        paths: DICOM files, zip archives of such, or DICOMDIRs, in any order.
        series_uid: SeriesInstanceUID of the only series wanted.
        strays: files that belong to a series by name or place and are not DICOM, each with a
            sentence that says what they are.
    """
    headers = KeptHeaders()
    read = _read_files(paths, headers)
    read.broken.update(strays or {})
    found = _by_series([member for member in read.members if not member.slide_pixels])
    found += _largest_levels([member for member in read.members if member.slide_pixels])
    found = _numbered(found)
    if series_uid is not None:
        found = [series for series in found if series.uid == series_uid]
    folders = Counter(path.parent for path in read.broken)
    found = [_with_neighbours(series, folders) for series in found]
    reports = _no_scans(read.no_scans) if series_uid is None else []
    found = _with_left_out(found, [*_missing(read.missing), *reports])
    homes = {path.parent for series in found for path in series.paths}
    found += [
        DicomSeries((path,), is_broken=True, problem=problem)
        for path, problem in read.broken.items()
        if series_uid is None or path.parent in homes
    ]
    found = [replace(series, headers=headers.of(series.paths)) for series in found]
    return sorted(found, key=lambda series: min(series.paths))


@dataclass
class _Read:
    """What was read: images, files that cannot be read, files that a DICOMDIR lists in vain.

    `no_scans` are other DICOM files, each with what it is.
    """

    members: list[SeriesFile] = field(default_factory=list)
    no_scans: dict[Path, str] = field(default_factory=dict)
    broken: dict[Path, str] = field(default_factory=dict)
    missing: tuple[Path, ...] = ()


def _read_files(paths: Sequence[Path], headers: KeptHeaders) -> _Read:
    contents = expand(paths)
    found = _Read(broken=dict(contents.strays), missing=contents.missing)
    for path in contents.paths:
        try:
            file = read_header(path)
            with guarded(path, "the header"):
                if other := other_object(file):
                    found.no_scans[path] = other
                    continue
                if file.pixels is None and not raw_uid(file, "SeriesInstanceUID"):
                    found.broken[path] = ""
                    continue
                found.members.append(series_file(file))
                headers.add(file)
        except UnreadableInputError:
            found.broken[path] = ""
    return found


def _by_series(members: Sequence[SeriesFile]) -> list[DicomSeries]:
    by_key: dict[tuple[str, ...], list[SeriesFile]] = defaultdict(list)
    for member in members:
        by_key[member.series_key].append(member)
    return [series for files in by_key.values() for series in split_series(files)]


def _largest_levels(slides: Sequence[SeriesFile]) -> list[DicomSeries]:
    """Choose the finest level of each slide; coarser levels, label and overview are left out."""
    by_key: dict[tuple[str, ...], list[SeriesFile]] = defaultdict(list)
    for member in slides:
        by_key[member.series_key].append(member)
    found = []
    for levels in by_key.values():
        largest = max(levels, key=lambda member: member.slide_pixels)
        parts = sorted(
            (member for member in levels if member.image == largest.image),
            key=lambda member: member.number,
        )
        others = len({member.image for member in levels}) - 1
        notice = f"the slide's {others} coarser or other images were left out"
        paths = tuple(member.path for member in parts)
        notices = (notice,) if others else ()
        found.append(DicomSeries(paths, notices, modality=largest.modality, uid=largest.series))
    return found


def _numbered(found: Sequence[DicomSeries]) -> list[DicomSeries]:
    """Number the series of files that lie in one folder, in the order of their first files."""
    beside: dict[Path, list[DicomSeries]] = defaultdict(list)
    for series in sorted(found, key=lambda series: min(series.paths)):
        beside[common_folder(series.paths) if series.is_folder else series.paths[0]].append(series)
    return [
        replace(series, number=number if len(group) > 1 else 0)
        for group in beside.values()
        for number, series in enumerate(group, 1)
    ]


def _with_neighbours(series: DicomSeries, broken: Mapping[Path, int]) -> DicomSeries:
    """Return a series that tells of files beside it that cannot be read; one may be its own."""
    count = sum(broken.get(folder, 0) for folder in {path.parent for path in series.paths})
    if not count or series.is_broken:
        return series
    notice = f"{counted(count, 'file')} in the folder of the series cannot be read"
    return replace(series, notices=(*series.notices, notice))


def _missing(paths: Sequence[Path]) -> list[LeftOut]:
    """Return files that a DICOMDIR lists and that do not exist."""
    return [
        LeftOut(path, f"{path.name} is listed in the DICOMDIR but does not exist") for path in paths
    ]


def _no_scans(files: Mapping[Path, str]) -> list[LeftOut]:
    """Return all files that are no scans as one entry, named by the first of them."""
    if not files:
        return []
    kinds = ", ".join(sorted(set(files.values())))
    verb = "is no scan and was" if len(files) == 1 else "are no scans and were"
    reason = f"{counted(len(files), 'DICOM file')} {verb} left out: {kinds}"
    return [LeftOut(min(files), reason, is_usual=True)]


def _with_left_out(found: Sequence[DicomSeries], files: Sequence[LeftOut]) -> list[DicomSeries]:
    """Return series that tell of files that are not restored.

    A file is told with the first series of its folder, or else with the first series of all.
    """
    told = list(found)
    for file in files:
        homes = [number for number, series in enumerate(told) if not series.is_broken]
        beside = [number for number in homes if told[number].paths[0].parent == file.path.parent]
        for number in (beside or homes)[:1]:
            series = told[number]
            told[number] = replace(series, left_out=(*series.left_out, file))
    return told

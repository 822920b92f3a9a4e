"""Which files make up a series, and in which order."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.containers import expand
from ratcli.formats.dicom.details import uid_name
from ratcli.formats.dicom.elements import code, integer, uid
from ratcli.formats.dicom.files import DicomFile, read_header
from ratcli.formats.dicom.frame_facts import geometry
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.dicom.geometry import distance
from ratcli.formats.dicom.headers import KeptHeaders
from ratcli.formats.dicom.slide import is_slide
from ratcli.formats.wording import counted


@dataclass(frozen=True)
class DicomSeries:
    """Files that are restored together.

    Attributes:
        paths: in the order of the planes.
        notices: what is unusual about the files of the series, one sentence each.
        is_broken: whether it is an unreadable file, kept so that opening it raises the error.
        is_folder: whether each file is an image, not one file or the parts of one image.
        headers: the headers of the files that were kept, by path.
    """

    paths: tuple[Path, ...]
    notices: tuple[str, ...] = ()
    is_broken: bool = False
    is_folder: bool = False
    headers: Mapping[Path, DicomFile] = field(default_factory=dict, compare=False)


def find_series(paths: Sequence[Path], *, series_uid: str | None = None) -> list[DicomSeries]:
    """Group files into series; images of one series that differ in size are kept apart.

    A file that cannot be read becomes a series by itself, so that opening it raises the error; the
    other files of its series are restored. Files without an image (plans, structures, reports)
    are left out.

    Args:
        paths: DICOM files, zip archives of such, or DICOMDIRs, in any order.
        series_uid: SeriesInstanceUID of the only series wanted.
    """
    headers = KeptHeaders()
    members, broken = _read_files(paths, headers)
    if series_uid is not None:
        members = [member for member in members if member.series == series_uid]
        folders = {member.path.parent for member in members}
        broken = [path for path in broken if path.parent in folders]
    slides = [member for member in members if member.slide_pixels]
    others = [member for member in members if not member.slide_pixels]
    found = [_broken(path) for path in broken] + _by_series(others) + _largest_levels(slides)
    found = [replace(series, headers=headers.of(series.paths)) for series in found]
    return sorted(found, key=lambda series: min(series.paths))


@dataclass(frozen=True)
class _SeriesFile:
    """Facts of a file for grouping and sorting; the parts of a slide share `image`."""

    path: Path
    series: str
    series_key: str
    instance: str
    image: str
    shape: tuple[object, ...]
    distance_mm: float | None
    number: int
    slide_pixels: int
    is_broken: bool

    @property
    def place(self) -> tuple[float, int, str]:
        return (round(self.distance_mm or 0.0, 3), self.number, self.path.name)


def _read_files(
    paths: Sequence[Path], headers: KeptHeaders
) -> tuple[list[_SeriesFile], list[Path]]:
    """Return the images among the files, and the files that cannot be read."""
    members: list[_SeriesFile] = []
    broken: list[Path] = []
    for path in expand(paths):
        try:
            file = read_header(path)
        except UnreadableInputError:
            broken.append(path)
            continue
        if file.pixels is None and not _lost_its_pixels(file):
            continue
        if file.pixels is None and not uid(file.dataset, "SeriesInstanceUID"):
            broken.append(path)
            continue
        members.append(_series_file(file))
        headers.add(file)
    return members, broken


def _broken(path: Path) -> DicomSeries:
    return DicomSeries((path,), is_broken=True)


def _series_file(file: DicomFile) -> _SeriesFile:
    dataset, path = file.dataset, file.path
    place = geometry(dataset, 0)
    multi_frame = (integer(dataset, "NumberOfFrames") or 1) > 1
    is_part = bool(uid(dataset, "ConcatenationUID"))
    shape: tuple[object, ...] = (
        uid(dataset, "SOPClassUID"),
        integer(dataset, "Rows"),
        integer(dataset, "Columns"),
        integer(dataset, "SamplesPerPixel"),
        place.orientation and tuple(round(cosine, 2) for cosine in place.orientation),
        path if multi_frame else None,
    )
    return _SeriesFile(
        path=path,
        series=uid(dataset, "SeriesInstanceUID"),
        series_key=uid(dataset, "SeriesInstanceUID") or _without_series_uid(file),
        instance=uid(dataset, "SOPInstanceUID"),
        image=uid(dataset, "ConcatenationUID") or str(path),
        shape=shape,
        distance_mm=distance(place),
        number=integer(dataset, "InConcatenationNumber" if is_part else "InstanceNumber") or 0,
        slide_pixels=_slide_pixels(file),
        is_broken=not multi_frame and not _is_whole(file),
    )


def _lost_its_pixels(file: DicomFile) -> bool:
    """Return whether a file should have pixels: not for plans and reports, which never do."""
    named = uid_name(uid(file.dataset, "SOPClassUID") or uid(file.meta, "MediaStorageSOPClassUID"))
    return not named or "Image Storage" in named or "Rows" in file.dataset


def _is_whole(file: DicomFile) -> bool:
    """Return whether an image has all the pixels that its header declares, without decoding."""
    try:
        FrameFile(file, sys.maxsize)
    except UnreadableInputError:
        return False
    return True


def _slide_pixels(file: DicomFile) -> int:
    """Return the size of a slide, negative for its label and overview, 0 for other images."""
    if not is_slide(file.dataset):
        return 0
    rows = integer(file.dataset, "TotalPixelMatrixRows") or 1
    pixels = max(1, rows * (integer(file.dataset, "TotalPixelMatrixColumns") or 1))
    return pixels if "VOLUME" in code(file.dataset, "ImageType").split("\\") else -pixels


def _largest_levels(slides: list[_SeriesFile]) -> list[DicomSeries]:
    """Choose the finest level of each slide; coarser levels, label and overview are left out."""
    by_key: dict[str, list[_SeriesFile]] = defaultdict(list)
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
        found.append(DicomSeries(paths, (notice,) if others else ()))
    return found


def _without_series_uid(file: DicomFile) -> str:
    """Return a replacement for a blank series identifier: folder and frame of reference.

    Without a frame of reference, each file is a series by itself.
    """
    frame_of_reference = uid(file.dataset, "FrameOfReferenceUID")
    number = integer(file.dataset, "SeriesNumber")
    return (
        f"{file.path.parent}|{frame_of_reference}|{number}"
        if frame_of_reference
        else str(file.path)
    )


def _by_series(members: list[_SeriesFile]) -> list[DicomSeries]:
    by_key: dict[str, list[_SeriesFile]] = defaultdict(list)
    for member in members:
        by_key[member.series_key].append(member)
    return [series for files in by_key.values() for series in _split(files)]


def _split(files: list[_SeriesFile]) -> list[DicomSeries]:
    """Split a series into stacks of images of equal size, and files that cannot be read."""
    stacks: dict[tuple[object, ...], list[_SeriesFile]] = defaultdict(list)
    for member in files:
        if not member.is_broken:
            stacks[member.shape].append(member)
    found = [_broken(member.path) for member in files if member.is_broken]
    shared = []
    if found:
        shared.append(f"{counted(len(found), 'file')} of the series cannot be read")
    if len({shape[:5] for shape in stacks}) > 1:
        shared.append(
            f"the series holds images of {len(stacks)} sizes or directions, "
            f"which are restored apart"
        )
    for stack in stacks.values():
        unique, notices = _drop_copies(stack), list(shared)
        if copies := len(stack) - len(unique):
            were = "was" if copies == 1 else "were"
            notices.append(f"{counted(copies, 'duplicate file')} {were} left out")
        paths = _ordered(unique)
        found.append(DicomSeries(paths, tuple(notices), is_folder=len(paths) > 1))
    return found


def _drop_copies(stack: list[_SeriesFile]) -> list[_SeriesFile]:
    seen: set[tuple[object, ...]] = set()
    unique = []
    for member in sorted(stack, key=lambda member: member.path):
        # Some anonymisers give all slices one identifier, so a copy must have the same place, too.
        same = (member.instance, *member.place[:2])
        if not member.instance or same not in seen:
            unique.append(member)
        seen.add(same)
    return unique


def _ordered(stack: list[_SeriesFile]) -> tuple[Path, ...]:
    """Sort by position along the normal; by number if a position is missing."""
    if any(member.distance_mm is None for member in stack):
        stack = sorted(stack, key=lambda member: (member.number, member.path.name))
    else:
        stack = sorted(stack, key=lambda member: member.place)
    return tuple(member.path for member in stack)

"""The stacks of a series: images of equal size and direction, in order.

Copies are left out: files of the same image with the same pixels.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.files import DicomFile, read_header
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.dicom.geometry import distance, snapped
from ratcli.formats.dicom.series_file import SeriesFile
from ratcli.formats.limits import DEFAULT_MAX_PIXELS
from ratcli.formats.source import LeftOut, common_folder
from ratcli.formats.wording import counted

SAME_DIRECTION = 0.01
"""Largest difference of direction cosines in one stack: half a degree, far more than rounding."""


@dataclass(frozen=True)
class DicomSeries:
    """Files that are restored together.

    Attributes:
        paths: in the order of the planes.
        notices: what is unusual about the files of the series, one sentence each.
        is_broken: whether it is an unreadable file, kept so that opening it raises the error.
        is_folder: whether each file is an image, not one file or the parts of one image.
        headers: the headers of the files that were kept, by path.
        problem: why a file that is no DICOM cannot be opened; empty for all others.
        left_out: files that are not restored with the series.
        modality: DICOM's code; empty if the header cannot be read.
        is_localizer: whether the headers say that the images are localizers.
        uid: the SeriesInstanceUID as it stands in the headers.
        number: which of the series of files in one folder it is, from 1; 0 if it is the only one.
    """

    paths: tuple[Path, ...]
    notices: tuple[str, ...] = ()
    is_broken: bool = False
    is_folder: bool = False
    headers: Mapping[Path, DicomFile] = field(default_factory=dict, compare=False)
    problem: str = ""
    left_out: tuple[LeftOut, ...] = ()
    modality: str = ""
    is_localizer: bool = False
    uid: str = ""
    number: int = 0


def split_series(files: Sequence[SeriesFile]) -> list[DicomSeries]:
    """Split a series into stacks, and files whose pixels cannot be read.

    Args:
        files: of one series.
    """
    stacks = _stacks([file for file in files if not file.is_broken])
    broken = [file for file in files if file.is_broken]
    shared = []
    if broken:
        shared.append(f"{counted(len(broken), 'file')} of the series cannot be read")
    slices = [stack[0] for stack in stacks if not stack[0].is_localizer]
    kinds = _stacks([replace(first, shape=first.shape[:-1]) for first in slices])
    if len(kinds) > 1:
        shared.append(
            f"the series holds images of {len(kinds)} sizes or directions, which are restored apart"
        )
    found = [DicomSeries((file.path,), is_broken=True) for file in broken]
    for stack in stacks:
        parts = _without_copies(stack, shared)
        found += [replace(part, is_localizer=stack[0].is_localizer) for part in parts]
    return [replace(series, modality=files[0].modality, uid=files[0].series) for series in found]


def _stacks(files: Sequence[SeriesFile]) -> list[list[SeriesFile]]:
    """Group images of equal size whose directions differ by rounding alone; localizers apart."""
    by_shape: dict[tuple[object, ...], list[list[SeriesFile]]] = defaultdict(list)
    for file in files:
        shape = (file.is_localizer, *file.shape)
        alike = by_shape[shape]
        fitting = next((stack for stack in alike if _same_direction(stack[0], file)), None)
        if fitting is None:
            alike.append([file])
        else:
            fitting.append(file)
    return [stack for alike in by_shape.values() for stack in alike]


def _same_direction(one: SeriesFile, other: SeriesFile) -> bool:
    first, second = one.place.orientation, other.place.orientation
    if first is None or second is None:
        return first is second
    return max(abs(a - b) for a, b in zip(first, second, strict=True)) <= SAME_DIRECTION


def _without_copies(stack: Sequence[SeriesFile], shared: Sequence[str]) -> list[DicomSeries]:
    """Return the series of a stack; each object of many frames in it is a series by itself."""
    places = _places_mm(stack)
    # Some anonymisers give all slices one identifier, so a copy must have the same place, too.
    copies = find_copies(
        {
            file.path: (file.instance, places[file.path], file.number)
            for file in stack
            if file.instance
        }
    )
    unique = [file for file in stack if file.path not in copies]
    unique.sort(key=lambda file: (places[file.path], file.number, file.path.name))
    notices = [*shared, *_uid_notices(unique)]
    if stack[0].shape[-1] is None:
        return [_series([file.path for file in unique], copies, notices)]
    return [_series([file.path], copies, notices) for file in unique]


def _series(
    paths: Sequence[Path], copies: Mapping[Path, Path], notices: Sequence[str]
) -> DicomSeries:
    """Return a series that tells of the copies of its files."""
    own = sorted((copy, kept) for copy, kept in copies.items() if kept in paths)
    links = [(copy, kept) for copy, kept in own if is_link(copy, kept)]
    told = [f"{_inside(copy, kept)} is a link to {_inside(kept, copy)}" for copy, kept in links]
    left_out = tuple(
        LeftOut(copy, f"{_inside(copy, kept)} is a copy of {_inside(kept, copy)} and was left out")
        for copy, kept in own
        if (copy, kept) not in links
    )
    return DicomSeries(tuple(paths), (*notices, *told), is_folder=len(paths) > 1, left_out=left_out)


def _inside(path: Path, other: Path) -> str:
    """Return the path of a file inside the folder that holds it and another one."""
    return path.relative_to(common_folder([path, other])).as_posix()


def _places_mm(stack: Sequence[SeriesFile]) -> dict[Path, float]:
    """Return each file's position along the common normal; 0 for all if one is unknown.

    Positions that differ by rounding are equal, so that phases stay in their order.
    """
    direction = stack[0].place.orientation
    places = [distance(replace(file.place, orientation=direction)) for file in stack]
    known = [place for place in places if place is not None]
    same = snapped(known) if len(known) == len(stack) else [0.0] * len(stack)
    return {file.path: place for file, place in zip(stack, same, strict=True)}


def _uid_notices(stack: Sequence[SeriesFile]) -> list[str]:
    repeated = Counter(file.instance for file in stack if file.instance).most_common(1)
    if not repeated or repeated[0][1] == 1:
        return []
    return [f"{repeated[0][1]} files have the same SOPInstanceUID, although their images differ"]


def find_copies(files: Mapping[Path, Hashable]) -> dict[Path, Path]:
    """Return the files to leave out, each with the file that it is a copy of.

    Of several copies, the one that stays is a regular file and has the shortest name, so that
    `scan.dcm` stays and `scan (1).dcm`, or a link to it, does not.

    Args:
        files: for each file what names its image, as SOP instance UID and position. Files that
            agree are copies only if their pixels agree, too: otherwise they are phases.
    """
    alike: dict[Hashable, list[Path]] = defaultdict(list)
    for path, image in files.items():
        alike[image].append(path)
    copies: dict[Path, Path] = {}
    for paths in alike.values():
        if len(paths) > 1:
            copies.update(_copies_among(sorted(paths, key=_preference)))
    return copies


def is_link(copy: Path, kept: Path) -> bool:
    """Return whether a copy is another name of the same file, so that nothing is left out."""
    return copy.exists() and kept.exists() and copy.samefile(kept)


def _preference(path: Path) -> tuple[bool, int, Path]:
    return path.is_symlink(), len(path.name), path


def _copies_among(paths: Iterable[Path]) -> dict[Path, Path]:
    first: dict[str, Path] = {}
    copies = {}
    for path in paths:
        pixels = _pixels_digest(path)
        if pixels in first:
            copies[path] = first[pixels]
        first.setdefault(pixels, path)
    return copies


def _pixels_digest(path: Path) -> str:
    """Return a hash of the decoded pixels of all frames; the path if they cannot be read."""
    digest = hashlib.sha256()
    try:
        file = FrameFile(read_header(path), DEFAULT_MAX_PIXELS)
        for number in range(file.layout.frames):
            digest.update(file.frame(number).words.tobytes())
    except UnreadableInputError:
        return str(path)
    return digest.hexdigest()

"""What an output may replace: an older output of the same scan only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydicom.dataset import Dataset

from ratcli.errors import UnreadableInputError
from ratcli.formats.atomic import strange_entries
from ratcli.formats.dicom.elements import items, text, uid
from ratcli.formats.dicom.files import DicomFile, guarded, read_header
from ratcli.formats.dicom.headers import header_of
from ratcli.formats.dicom.identity import instance_uid


def file_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file of an output: that of its source, with a number if need be.

    Args:
        paths: the files of the source, in order.
    """
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem = path.name[:-4] if path.name.lower().endswith(".dcm") else path.name
        name, number = f"{stem}.dcm", len(names) + 1
        while name.casefold() in taken:
            name, number = f"{stem}_{number}.dcm", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


class _Image(NamedTuple):
    """What tells an image from all others; some anonymisers give several patients one UID."""

    patient: str
    study: str
    instance: str


class Origin:
    """The files of a scan, by which its outputs are known.

    An output keeps patient and study, and refers to the images that it was made from.

    Args:
        paths: the files, in order.
        kept: headers that were parsed before.
    """

    def __init__(self, paths: Sequence[Path], kept: Mapping[Path, DicomFile]) -> None:
        self._paths = dict(zip(map(str.casefold, file_names(paths)), paths, strict=True))
        self._kept = kept
        self._known: dict[Path, _Image | None] = {}

    def made(self, path: Path) -> bool:
        """Return whether a file is an output of this scan."""
        try:
            dataset = read_header(path).dataset
            with guarded(path, "the header"):
                sources = _sources_of(dataset)
                patient, study = _patient_of(dataset), uid(dataset, "StudyInstanceUID")
        except UnreadableInputError:
            return False
        return any(
            image.instance in sources and image.patient == patient and image.study in ("", study)
            for image in self._images(path.name.casefold())
        )

    def _images(self, first: str) -> Iterator[_Image]:
        """Yield the images of the scan, that of the file with a name first."""
        for path in sorted(self._paths.values(), key=lambda path: path != self._paths.get(first)):
            if path not in self._known:
                self._known[path] = self._image(path)
            if (image := self._known[path]) is not None:
                yield image

    def _image(self, path: Path) -> _Image | None:
        try:
            file = header_of(path, self._kept)
            with guarded(path, "the header"):
                study = uid(file.dataset, "StudyInstanceUID")
                return _Image(_patient_of(file.dataset), study, instance_uid(file))
        except UnreadableInputError:
            return None


def strangers(folder: Path, origin: Origin) -> list[Path]:
    """Return what is in an output folder and is not of the scan that would be written there.

    A file is of the scan if it is an output of it, or has the SeriesInstanceUID of one: an older
    result may have more slices.

    Args:
        folder: an output that exists.
        origin: the scan.
    """
    left = strange_entries(folder)
    if not folder.is_dir():
        return left
    files = [path for path in visible_files(folder) if not origin.made(path)]
    if files:
        own = {_series_of(path) for path in visible_files(folder) if path not in files} - {""}
        left += [path for path in files if _series_of(path) not in own]
    return sorted(left)


def visible_files(folder: Path) -> list[Path]:
    """Return the files in a folder that are not hidden."""
    return [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]


def _sources_of(dataset: Dataset) -> set[str]:
    """Return the identifiers of the images that an image was made from."""
    evidence = [
        image
        for study in items(dataset, "SourceImageEvidenceSequence")
        for series in items(study, "ReferencedSeriesSequence")
        for image in items(series, "ReferencedSOPSequence")
    ]
    in_series = (
        image
        for series in items(dataset, "ReferencedSeriesSequence")
        for image in items(series, "ReferencedInstanceSequence")
    )
    found = evidence or items(dataset, "SourceImageSequence") or in_series
    return {uid(image, "ReferencedSOPInstanceUID") for image in found}


def _patient_of(dataset: Dataset) -> str:
    return text(dataset, "PatientID") or text(dataset, "PatientName")


def _series_of(path: Path) -> str:
    """Return the SeriesInstanceUID of a file; empty if it is not DICOM."""
    try:
        dataset = read_header(path).dataset
        with guarded(path, "the header"):
            return text(dataset, "SeriesInstanceUID")
    except UnreadableInputError:
        return ""

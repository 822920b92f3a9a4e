"""What the header of one DICOM file says about its series, its image and its place."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.details import uid_name
from ratcli.formats.dicom.elements import code, integer, is_localizer, text, uid
from ratcli.formats.dicom.files import DicomFile
from ratcli.formats.dicom.frame_facts import geometry
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.dicom.geometry import PlaneGeometry
from ratcli.formats.dicom.identity import owner
from ratcli.formats.dicom.slide import is_slide

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SCANNERS = ("CT", "PT")


@dataclass(frozen=True)
class SeriesFile:
    """Facts of a file for grouping and sorting.

    Attributes:
        path: the file.
        modality: DICOM's code.
        series: SeriesInstanceUID as it stands in the header, also where it breaks the standard.
        series_key: what the images of one series of one patient share.
        instance: SOPInstanceUID as it stands in the header.
        image: what the parts of one slide share.
        shape: what the images of a stack share, apart from their direction; the last item is the
            identifier of an object of many frames, which is a stack by itself.
        place: where the first frame lies.
        number: of the image, or of the part of a slide.
        slide_pixels: size of a slide, negative for its label and overview, 0 for other images.
        is_localizer: whether the header says so; see `is_localizer`.
        is_broken: whether pixels are missing.
    """

    path: Path
    modality: str
    series: str
    series_key: tuple[str, ...]
    instance: str
    image: str
    shape: tuple[object, ...]
    place: PlaneGeometry
    number: int
    slide_pixels: int
    is_localizer: bool
    is_broken: bool


def series_file(file: DicomFile) -> SeriesFile:
    """Return the facts of a file; only its header is read."""
    dataset, path = file.dataset, file.path
    multi_frame = (integer(dataset, "NumberOfFrames") or 1) > 1
    is_part = bool(text(dataset, "ConcatenationUID"))
    shape: tuple[object, ...] = (
        text(dataset, "SOPClassUID"),
        integer(dataset, "Rows"),
        integer(dataset, "Columns"),
        integer(dataset, "SamplesPerPixel"),
        (raw_uid(file, "SOPInstanceUID") or path) if multi_frame else None,
    )
    return SeriesFile(
        path=path,
        modality=code(dataset, "Modality")[:16],
        series=raw_uid(file, "SeriesInstanceUID"),
        series_key=_series_key(file),
        instance=raw_uid(file, "SOPInstanceUID"),
        image=raw_uid(file, "ConcatenationUID") or str(path),
        shape=shape,
        place=geometry(dataset, 0),
        number=integer(dataset, "InConcatenationNumber" if is_part else "InstanceNumber") or 0,
        slide_pixels=_slide_pixels(file),
        is_localizer=is_localizer(dataset),
        is_broken=not multi_frame and not _is_whole(file),
    )


def other_object(file: DicomFile) -> str:
    """Return what a file is that is no scan, as `SEG` or `screen capture`; empty for a scan.

    A file without pixels is a plan or a report, or a scan that has lost them.
    """
    dataset, modality = file.dataset, code(file.dataset, "Modality")[:16]
    if file.pixels is None:
        sop_class = uid(dataset, "SOPClassUID") or uid(file.meta, "MediaStorageSOPClassUID")
        named = uid_name(sop_class)
        is_report = named and "Image Storage" not in named and "Rows" not in dataset
        return (modality or "no modality") if is_report else ""
    # Scanners put captures, such as pages of a dose report, beside their series under their own
    # modality. A scan that a program saved as Secondary Capture has a rescale.
    is_capture = uid(dataset, "SOPClassUID").startswith(_SECONDARY_CAPTURE)
    is_of_scanner = modality in _SCANNERS and "RescaleIntercept" not in dataset
    is_screen = "SCREEN SAVE" in code(dataset, "ImageType").split("\\")
    if is_screen or (is_capture and is_of_scanner):
        return "screen capture"
    return modality if modality == "SEG" else ""


def raw_uid(file: DicomFile, keyword: str) -> str:
    """Return an identifier as it stands in the header; letters in it keep series apart."""
    return text(file.dataset, keyword).strip("\0 ")


def _series_key(file: DicomFile) -> tuple[str, ...]:
    """Return what images of one series share: its UID, its study, and its patient."""
    series = raw_uid(file, "SeriesInstanceUID") or _without_series_uid(file)
    return series, *owner(file.dataset)


def _without_series_uid(file: DicomFile) -> str:
    """Return a replacement for a blank series identifier: folder and frame of reference.

    Without a frame of reference, each file is a series by itself.
    """
    frame_of_reference = raw_uid(file, "FrameOfReferenceUID")
    number = integer(file.dataset, "SeriesNumber")
    return (
        f"{file.path.parent}|{frame_of_reference}|{number}"
        if frame_of_reference
        else str(file.path)
    )


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

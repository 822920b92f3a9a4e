"""Headers of source images, completed so that a DICOM SEG can be made from them.

Old and anonymised files do not have everything that an image needs. Blank identifiers are replaced
as for derived images, and invalid dates are removed; nothing about a patient is invented.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

from ratcli.errors import OutputError
from ratcli.formats.dicom.elements import number, text, uid
from ratcli.formats.dicom.files import DicomFile
from ratcli.formats.dicom.identity import instance_uid, series_uid, sop_class
from ratcli.formats.regions.placed_labels import plane_affine

if TYPE_CHECKING:
    from ratcli.formats.dicom.reader import DicomReader

_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_DATES = ("PatientBirthDate", "StudyDate", "ContentDate", "SeriesDate", "AcquisitionDate")
_TIMES = ("StudyTime", "ContentTime", "SeriesTime", "AcquisitionTime")


def check_placed(reader: Any) -> None:
    """Refuse a scan with planes that have no position.

    Raises:
        OutputError: a DICOM SEG cannot be made from it.
    """
    scan: DicomReader = reader
    if any(plane_affine(scan.place(plane)) is None for plane in range(scan.info.planes)):
        raise OutputError(
            "a DICOM SEG needs the position of each plane, but this scan's header has none",
            hint="Choose --format tiff or nifti.",
        )


def source_headers(reader: Any) -> list[Dataset]:
    """Return the headers of a DICOM scan's files in the order of the planes, completed."""
    scan: DicomReader = reader
    thickness = scan.info.spacing_mm[0] or scan.info.spacing_mm[1]
    return [_completed(source.file, thickness) for source in scan.sources]


def _completed(file: DicomFile, thickness_mm: float | None) -> Dataset:
    dataset = file.copy_header()
    _identify(dataset, file)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    if not text(dataset, "SpecificCharacterSet"):
        dataset.pop("SpecificCharacterSet", None)
    _drop_false_dates(dataset)
    if "NumberOfFrames" not in dataset:
        _place(dataset, thickness_mm)
    return dataset


def _identify(dataset: Dataset, file: DicomFile) -> None:
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class(file), instance_uid(file)
    dataset.SeriesInstanceUID = series_uid(file) or dataset.SOPInstanceUID
    if not uid(dataset, "StudyInstanceUID"):
        dataset.StudyInstanceUID = dataset.SeriesInstanceUID


def _drop_false_dates(dataset: Dataset) -> None:
    for keywords, kind in ((_DATES, DA), (_TIMES, TM)):
        for keyword in keywords:
            try:
                kind(text(dataset, keyword))
            except (ValueError, TypeError):
                setattr(dataset, keyword, "")


def _place(dataset: Dataset, thickness_mm: float | None) -> None:
    """Give a plane the thickness and the frame of reference that a segment needs.

    An image without a thickness gets the distance to the next plane; one without a frame of
    reference gets one for its series.
    """
    if not number(dataset, "SliceThickness") and thickness_mm:
        dataset.SliceThickness = f"{thickness_mm:g}"
    if not uid(dataset, "FrameOfReferenceUID"):
        space = f"frame of reference of {dataset.SeriesInstanceUID}"
        dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[space])

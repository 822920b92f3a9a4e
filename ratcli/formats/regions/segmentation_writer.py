"""Region maps written as a DICOM Segmentation, by highdicom.

It is made from the headers of the scan, which are completed first: old and anonymised files do not
have everything that an image needs. Blank identifiers are replaced as for derived images, and
invalid dates are removed; nothing about a patient is invented.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

from ratcli.errors import OutputError
from ratcli.formats.atomic import output_errors
from ratcli.formats.dicom.elements import integer, number, quiet_pydicom, text, uid
from ratcli.formats.dicom.files import DicomFile
from ratcli.formats.dicom.identity import derived_uid, instance_uid, owner, series_uid, sop_class
from ratcli.formats.regions.volume_grid import phases_of, plane_affine
from ratcli.scan import Derivation, ScanReader

if TYPE_CHECKING:
    from ratcli.formats.dicom.reader import DicomReader
    from ratcli.formats.regions import FileLabels

_SERIES_NUMBER = 9500
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


def saver(reader: ScanReader, derivation: Derivation) -> Callable[[FileLabels, Path], None]:
    """Return a function that writes labels as one SEG object, a segment for each number.

    Raises:
        OutputError: the scan has no geometry.
    """
    check_placed(reader)

    def save(labels: FileLabels, path: Path) -> None:
        sources = source_headers(reader)
        with quiet_pydicom():
            try:
                seg = _build(sources, labels, derivation)
            except (ValueError, TypeError, AttributeError, KeyError):
                # The cause is dropped: it may quote values of the header.
                raise OutputError(
                    "the scan's header does not allow a DICOM SEG",
                    hint="Choose --format nifti or tiff.",
                ) from None
            with output_errors(path):
                seg.save_as(path, enforce_file_format=True)

    return save


def _build(sources: list[Dataset], labels: FileLabels, derivation: Derivation) -> Any:
    from highdicom.seg import Segmentation, SegmentationTypeValues

    first = sources[0]
    whose = owner(first)
    instances = "\0".join([*(str(source.SOPInstanceUID) for source in sources), *whose])
    series = "\0".join(["seg series", str(first.SeriesInstanceUID), *whose])
    return Segmentation(
        source_images=sources,
        pixel_array=labels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(int(labels.max()), derivation),
        series_instance_uid=derived_uid(series, derivation),
        series_number=_SERIES_NUMBER + (integer(first, "SeriesNumber") or 0) % 400,
        sop_instance_uid=derived_uid(f"seg\0{instances}", derivation),
        instance_number=1,
        manufacturer="rat developers",
        manufacturer_model_name="rat",
        software_versions=derivation.version or "unknown",
        device_serial_number="0",
        content_label="REGIONS",
        content_description=derivation.label[:64] or "Regions",
        series_description=derivation.label[:64] or "Regions",
        omit_empty_frames=True,
    )


def _segments(count: int, derivation: Derivation) -> list[Any]:
    """Describe segments 1 to `count`: regions of tissue, found by an algorithm, unnamed."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from pydicom.sr.coding import Code

    tissue = Code("85756007", "SCT", "Tissue")
    family = Code("123110", "DCM", "Artificial Intelligence")
    algorithm = AlgorithmIdentificationSequence(
        name=derivation.task[:64], version=derivation.version or "unknown", family=family
    )
    return [
        SegmentDescription(
            segment_number=number,
            segment_label=f"Region {number}",
            segmented_property_category=tissue,
            segmented_property_type=tissue,
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_id=f"Region {number}",
            tracking_uid=derived_uid(f"segment {number}", derivation),
        )
        for number in range(1, count + 1)
    ]


def check_placed(reader: Any) -> None:
    """Refuse a scan with planes that have no position, or share it.

    Raises:
        OutputError: a DICOM SEG cannot be made from it.
    """
    scan: DicomReader = reader
    places = [scan.place(plane) for plane in range(scan.info.planes)]
    if any(plane_affine(place) is None for place in places):
        raise OutputError(
            "a DICOM SEG needs the position of each plane, but this scan's header has none",
            hint="Choose --format tiff or nifti.",
        )
    if max(phases_of(places)) > 0:
        raise OutputError(
            "a DICOM SEG has one image at each position, but this scan has several (phases)",
            hint="Choose --format nifti, which gets a volume for each phase, or tiff.",
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

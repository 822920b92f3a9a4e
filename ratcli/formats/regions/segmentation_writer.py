"""Region maps written as a DICOM Segmentation, by highdicom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset

from ratcli.errors import OutputError
from ratcli.formats.atomic import output_errors
from ratcli.formats.dicom.elements import integer, quiet_pydicom
from ratcli.formats.dicom.identity import derived_uid
from ratcli.formats.regions.sources import check_placed, source_headers
from ratcli.scan import Derivation, ScanReader

if TYPE_CHECKING:
    from ratcli.formats.regions import FileLabels

_SERIES_NUMBER = 9500


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
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                # The cause is dropped: it may quote values of the header.
                raise OutputError(
                    f"the scan's header does not allow a DICOM SEG ({type(error).__name__})",
                    hint="Choose --format nifti or tiff.",
                ) from None
            with output_errors(path):
                seg.save_as(path, enforce_file_format=True)

    return save


def _build(sources: list[Dataset], labels: FileLabels, derivation: Derivation) -> Any:
    from highdicom.seg import Segmentation, SegmentationTypeValues

    first = sources[0]
    instances = "\0".join(str(source.SOPInstanceUID) for source in sources)
    return Segmentation(
        source_images=sources,
        pixel_array=labels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(int(labels.max()), derivation),
        series_instance_uid=derived_uid(f"seg series\0{first.SeriesInstanceUID}", derivation),
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

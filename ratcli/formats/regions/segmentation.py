"""Region maps as DICOM Segmentation: written by highdicom, read frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset
from typing_extensions import Self

from ratcli.errors import OutputError, UnreadableInputError, UnsuitableInputError
from ratcli.formats.atomic import output_errors
from ratcli.formats.dicom.elements import integer, items, numbers, quiet_pydicom, text, uid
from ratcli.formats.dicom.files import guarded, read_header
from ratcli.formats.dicom.geometry import normal
from ratcli.formats.dicom.identity import derived_uid, sop_class
from ratcli.formats.limits import check_pixels
from ratcli.formats.regions.sources import check_placed, source_headers
from ratcli.regions import LabelArray, Regions
from ratcli.scan import Derivation, ScanReader

if TYPE_CHECKING:
    from ratcli.formats.dicom.reader import DicomReader
    from ratcli.formats.regions import FileLabels

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
_SERIES_NUMBER = 9500
_NEAR_MM = 0.5
_NEAR_SHARE = 0.25
"""Largest distance of a segment's plane from the scan's, and its share of the planes' distance."""


def is_segmentation(path: Path) -> bool:
    """Tell whether a file is a DICOM Segmentation; any other file is not."""
    from ratcli.formats import sniff

    if not path.is_file() or sniff(path) != "dicom":
        return False
    try:
        file = read_header(path)
    except UnreadableInputError:
        return False
    return sop_class(file) in (_SEGMENTATION, _LABEL_MAP)


def saver(reader: ScanReader, derivation: Derivation) -> Callable[[FileLabels, Path], None]:
    """Return what writes labels as one SEG object, a segment for each number.

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


@dataclass(frozen=True)
class _SegFrame:
    """One frame.

    Attributes:
        source: the image that it was made from, or where it lies: equal for frames of one plane.
        place: sorts planes: its frame in a multi-frame source, else its distance along the normal.
        segment: its segment; 0 in a label map.
        index: its number in the file.
        frame: its frame in a multi-frame source, from 1; 0 where the source has one frame.
        position: centre of its first pixel in mm, or None.
    """

    source: str
    place: float
    segment: int
    index: int
    frame: int
    position: tuple[float, ...] | None


class SegReader:
    """Segments as labels, plane by plane; see `RegionReader`.

    As many planes as the scan has come in the order of a multi-frame source, else along their
    normal, as those of a series. Fewer are matched by where they lie: segments are often drawn on
    some planes only. One plane without a place serves all.

    Args:
        path: the file.
        scan: the scan that it is for.
        max_pixels: most pixels of a plane.

    Raises:
        UnreadableInputError: it is damaged.
        UnsuitableInputError: it lies elsewhere than the scan.
    """

    def __init__(self, path: Path, scan: ScanReader, max_pixels: int) -> None:
        import pydicom

        with guarded(path, "the header"):
            self._dataset = pydicom.dcmread(path, defer_size=1 << 16)
            rows, columns = int(self._dataset.Rows), int(self._dataset.Columns)
            frames = _frames(self._dataset)
        check_pixels(rows, columns, max_pixels)
        if not frames:
            raise UnreadableInputError(f"{path.name} holds no segment")
        self._path = path
        planes: dict[str, list[_SegFrame]] = {}
        for frame in frames:
            planes.setdefault(frame.source, []).append(frame)
        ordered = sorted(planes.values(), key=lambda group: group[0].place)
        self._planes = _matched(ordered, scan)
        count = len(ordered) if self._planes is None else scan.info.planes
        self._ordered = ordered
        self.shape = (count, rows, columns)

    @property
    def names(self) -> dict[int, str]:
        """Label of each segment that has one."""
        with guarded(self._path, "the header"):
            segments = items(self._dataset, "SegmentSequence")
            named = [
                (integer(segment, "SegmentNumber"), text(segment, "SegmentLabel"))
                for segment in segments
            ]
        return {number: label for number, label in named if number is not None and label}

    def labels(self, plane: int) -> LabelArray:
        """Return int32 `(H, W)`: number of the segment of each pixel, 0 where there is none."""
        _, rows, columns = self.shape
        labels: LabelArray = np.zeros((rows, columns), np.int32)
        with guarded(self._path, "a frame"):
            for frame in self._frames_of(plane):
                pixels = self._read(frame.index)
                if frame.segment:
                    labels[pixels > 0] = frame.segment
                else:
                    labels[...] = pixels
        return labels

    def regions(self, plane: int) -> Regions:
        """Return the regions of a plane."""
        return Regions.from_labels(self.labels(plane))

    def _frames_of(self, plane: int) -> Sequence[_SegFrame]:
        if self._planes is not None:
            return self._planes.get(plane, ())
        return self._ordered[plane if self.shape[0] > 1 else 0]

    def _read(self, index: int) -> Any:
        from pydicom.pixels.utils import pixel_array

        frame = pixel_array(self._dataset, index=index)
        return frame.reshape(self.shape[1:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ordered = []
        self._planes = {}


def _matched(
    groups: Sequence[Sequence[_SegFrame]], scan: ScanReader
) -> dict[int, Sequence[_SegFrame]] | None:
    """Return the frames of each plane of a scan by frame number or place; None: in order.

    Raises:
        UnsuitableInputError: the places are known, and none is one of the scan's.
    """
    if len(groups) >= scan.info.planes or scan.info.format != "dicom":
        return None
    if all(group[0].frame for group in groups):
        return {group[0].frame - 1: group for group in groups}
    known = [_position(scan, plane) for plane in range(scan.info.planes)]
    places = [group[0].position for group in groups]
    if None in known or None in places:
        return None
    distances = np.linalg.norm(np.array(known)[:, None] - np.array(places)[None], axis=-1)
    near = min(_NEAR_SHARE * (scan.info.spacing_mm[0] or 1.0), _NEAR_MM)
    pairs = {plane: int(row.argmin()) for plane, row in enumerate(distances) if row.min() < near}
    if not pairs:
        raise UnsuitableInputError(
            "the region map lies elsewhere than the scan",
            hint="Give the region map that was made from this scan.",
        )
    return {plane: groups[group] for plane, group in pairs.items()}


def _position(scan: Any, plane: int) -> tuple[float, ...] | None:
    """Return the centre of a plane's first pixel in mm; None where the scan does not tell."""
    if not hasattr(scan, "planes"):  # a slide
        return None
    reader: DicomReader = scan
    position = reader.planes[plane].geometry.position
    return None if position is None else position[:3]


def _frames(dataset: Dataset) -> list[_SegFrame]:
    """List the frames of a segmentation with their planes."""
    shared = next(iter(items(dataset, "SharedFunctionalGroupsSequence")), Dataset())
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    places = [_distance(group, shared) for group in groups]
    sources = [_source(group) for group in groups]
    by_frame = len({instance for instance, _ in sources}) == 1 and any(n for _, n in sources)
    found = []
    for index, (group, place, (instance, number)) in enumerate(
        zip(groups, places, sources, strict=True)
    ):
        identified = _first(group, "SegmentIdentificationSequence") or _first(
            shared, "SegmentIdentificationSequence"
        )
        segment = integer(identified, "ReferencedSegmentNumber") if identified else 0
        order = float(number) if by_frame else index if place is None else place
        known = f"{instance} {number}" if instance else str(place if place is not None else index)
        position = _from_groups(group, shared, "PlanePositionSequence", "ImagePositionPatient")
        where = tuple(position[:3]) if position else None
        found.append(_SegFrame(known, order, segment or 0, index, number if by_frame else 0, where))
    return found


def _distance(group: Dataset, shared: Dataset) -> float | None:
    """Distance of a frame along its normal in mm, to a thousandth."""
    position = _from_groups(group, shared, "PlanePositionSequence", "ImagePositionPatient")
    directions = _from_groups(group, shared, "PlaneOrientationSequence", "ImageOrientationPatient")
    axis = normal(directions) if directions else None
    if not position or axis is None:
        return None
    return round(float(axis @ np.array(position[:3])), 3)


def _source(group: Dataset) -> tuple[str, int]:
    """Instance that a frame was made from, and the frame in it; empty and 0 where unknown."""
    derived = _first(group, "DerivationImageSequence")
    source = _first(derived, "SourceImageSequence") if derived else None
    if source is None:
        return "", 0
    return uid(source, "ReferencedSOPInstanceUID"), integer(source, "ReferencedFrameNumber") or 0


def _from_groups(
    group: Dataset, shared: Dataset, sequence: str, keyword: str
) -> list[float] | None:
    item = _first(group, sequence) or _first(shared, sequence)
    values = numbers(item, keyword) if item is not None else None
    return list(values) if values else None


def _first(dataset: Dataset, keyword: str) -> Dataset | None:
    return next(iter(items(dataset, keyword)), None)

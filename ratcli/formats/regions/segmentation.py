"""Region maps in a DICOM Segmentation, read frame by frame and matched to the planes of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset

from ratcli.errors import UnreadableInputError, UnsuitableInputError
from ratcli.formats.dicom.elements import integer, items, numbers, text, uid
from ratcli.formats.dicom.files import guarded, read_header
from ratcli.formats.dicom.geometry import normal, snapped
from ratcli.formats.dicom.identity import sop_class
from ratcli.formats.limits import check_pixels
from ratcli.formats.regions import RegionReader
from ratcli.regions import LabelArray
from ratcli.scan import ScanReader

if TYPE_CHECKING:
    from ratcli.formats.dicom.reader import DicomReader
    from ratcli.formats.dicom.slide_reader import SlideReader

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
_NEAR_MM = 0.5
_NEAR_SHARE = 0.25
"""Largest distance of a segment's plane from the scan's, and its share of the planes' distance."""


def is_segmentation(path: Path) -> bool:
    """Return whether a file is a DICOM Segmentation; any other file is not."""
    from ratcli.formats import sniff

    if not path.is_file() or sniff(path) != "dicom":
        return False
    try:
        file = read_header(path)
    except UnreadableInputError:
        return False
    return sop_class(file) in (_SEGMENTATION, _LABEL_MAP)


class SegReader(RegionReader):
    """Segments as labels, plane by plane; see `RegionReader`.

    If there are as many planes as in the scan, they are taken in the order of a multi-frame source,
    else along their normal. Fewer planes are matched by position, since segments are often drawn
    on some planes only. One plane without a position is used for all.

    Args:
        path: the file.
        scan: the scan that it is for.
        max_pixels: most pixels of a plane.

    Raises:
        UnreadableInputError: it is damaged.
        UnsuitableInputError: it is at another place than the scan.
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
        ordered = sorted(planes.values(), key=lambda frames: frames[0].place)
        self._planes = _match_planes(ordered, scan)
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
        """Return int32 `(H, W)`: number of the segment of each pixel, 0 if there is none."""
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

    def _frames_of(self, plane: int) -> Sequence[_SegFrame]:
        if self._planes is not None:
            return self._planes.get(plane, ())
        return self._ordered[plane if self.shape[0] > 1 else 0]

    def _read(self, index: int) -> Any:
        from pydicom.pixels.utils import pixel_array

        frame = pixel_array(self._dataset, index=index)
        return frame.reshape(self.shape[1:])

    def close(self) -> None:
        """Forget the frames."""
        self._ordered = []
        self._planes = {}


@dataclass(frozen=True)
class _SegFrame:
    """One frame.

    Attributes:
        source: the image that it was made from, or where it lies: equal for frames of one plane.
        place: sorts planes: its frame in a multi-frame source, else its distance along the normal.
        segment: its segment; 0 in a file of type LABELMAP.
        index: its number in the file.
        frame: its frame in a multi-frame source, from 1; 0 if the source has one frame.
        position: centre of its first pixel in mm, or None.
    """

    source: str
    place: float
    segment: int
    index: int
    frame: int
    position: tuple[float, ...] | None


def _match_planes(
    planes: Sequence[Sequence[_SegFrame]], scan: ScanReader
) -> dict[int, Sequence[_SegFrame]] | None:
    """Return the frames of each plane of a scan by frame number or position; None if in order.

    Raises:
        UnsuitableInputError: the positions are known, and none is in the scan.
    """
    if len(planes) >= scan.info.planes or scan.info.format != "dicom":
        return None
    if all(frames[0].frame for frames in planes):
        return {frames[0].frame - 1: frames for frames in planes}
    known = [_position(scan, plane) for plane in range(scan.info.planes)]
    places = [frames[0].position for frames in planes]
    if None in known or None in places:
        return None
    distances = np.linalg.norm(np.array(known)[:, None] - np.array(places)[None], axis=-1)
    near = min(_NEAR_SHARE * (scan.info.spacing_mm[0] or 1.0), _NEAR_MM)
    pairs = {plane: int(row.argmin()) for plane, row in enumerate(distances) if row.min() < near}
    if not pairs:
        raise UnsuitableInputError(
            "the region map is at another place than the scan",
            hint="Give the region map that was made from this scan.",
        )
    return {plane: planes[nearest] for plane, nearest in pairs.items()}


def _position(scan: Any, plane: int) -> tuple[float, ...] | None:
    """Return the centre of a plane's first pixel in mm; None if the scan does not say."""
    reader: DicomReader | SlideReader = scan
    position = reader.place(plane).position
    return None if position is None else position[:3]


def _frames(dataset: Dataset) -> list[_SegFrame]:
    """List the frames of a segmentation with their planes."""
    shared = next(iter(items(dataset, "SharedFunctionalGroupsSequence")), Dataset())
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    places = _distances(groups, shared)
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


def _distances(groups: Sequence[Dataset], shared: Dataset) -> list[float | None]:
    """Distances of frames along their normals in mm; those that differ by rounding are equal."""
    found = [_distance(group, shared) for group in groups]
    same = iter(snapped([place for place in found if place is not None]))
    return [None if place is None else next(same) for place in found]


def _distance(group: Dataset, shared: Dataset) -> float | None:
    position = _from_groups(group, shared, "PlanePositionSequence", "ImagePositionPatient")
    directions = _from_groups(group, shared, "PlaneOrientationSequence", "ImageOrientationPatient")
    axis = normal(directions) if directions else None
    return None if not position or axis is None else float(axis @ np.array(position[:3]))


def _source(group: Dataset) -> tuple[str, int]:
    """Instance that a frame was made from, and the frame in it; empty and 0 if unknown."""
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

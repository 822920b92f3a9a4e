"""Facts in the header of a classic image, and in the functional groups of an enhanced one."""

from __future__ import annotations

from pydicom.dataset import Dataset

from ratcli.formats.dicom.elements import integer, items, number, numbers
from ratcli.formats.dicom.geometry import PlaneGeometry
from ratcli.formats.dicom.layout import PixelLayout
from ratcli.formats.dicom.values import ValueMap


def functional_items(dataset: Dataset, frame: int, keyword: str) -> list[Dataset]:
    """Return the items of a functional group of a frame, or of the one shared by all frames."""
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    found = items(per_frame[frame], keyword) if frame < len(per_frame) else []
    if found:
        return found
    for shared in items(dataset, "SharedFunctionalGroupsSequence"):
        found = items(shared, keyword)
        if found:
            return found
    return []


def functional(dataset: Dataset, frame: int, keyword: str) -> Dataset:
    """Return the item that holds a frame's facts.

    Args:
        dataset: the header.
        frame: number of the frame, from 0.
        keyword: the functional group's sequence, as `PixelMeasuresSequence`.

    Returns:
        The group's item for the frame, else the one shared by all, else the header itself.

    Source: PS3.3, C.7.6.16.
    """
    found = functional_items(dataset, frame, keyword)
    return found[0] if found else dataset


def with_converted(dataset: Dataset) -> Dataset:
    """Return a header with the elements that a legacy converted image keeps in its groups.

    Source: PS3.3, C.7.6.16.2.25 and .26 (unassigned converted attributes).
    """
    shared = functional_items(dataset, 0, "UnassignedSharedConvertedAttributesSequence")
    of_frame = functional_items(dataset, 0, "UnassignedPerFrameConvertedAttributesSequence")
    if not shared and not of_frame:
        return dataset
    joined = Dataset()
    for part in (*of_frame, *shared, dataset):
        joined.update(part)
    return joined


def value_map(dataset: Dataset, frame: int, layout: PixelLayout) -> ValueMap | None:
    """Return what the stored values of a frame mean, or None if the slope is 0."""
    group = functional(dataset, frame, "PixelValueTransformationSequence")
    slope = number(group, "RescaleSlope")
    intercept = number(group, "RescaleIntercept")
    if slope == 0:
        return None
    return ValueMap(
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        padding=_padding(dataset, layout),
    )


def geometry(dataset: Dataset, frame: int) -> PlaneGeometry:
    """Return where a frame lies."""
    position = numbers(functional(dataset, frame, "PlanePositionSequence"), "ImagePositionPatient")
    orientation = numbers(
        functional(dataset, frame, "PlaneOrientationSequence"), "ImageOrientationPatient"
    )
    spacing = numbers(functional(dataset, frame, "PixelMeasuresSequence"), "PixelSpacing")
    valid = spacing is not None and len(spacing) == 2 and min(spacing) > 0
    return PlaneGeometry(
        position if position and len(position) == 3 else None,
        orientation if orientation and len(orientation) == 6 else None,
        (spacing[0], spacing[1]) if valid and spacing else None,
    )


def _padding(dataset: Dataset, layout: PixelLayout) -> tuple[int, int] | None:
    value = integer(dataset, "PixelPaddingValue")
    if value is None or layout.samples > 1:
        return None
    limit = integer(dataset, "PixelPaddingRangeLimit")
    ends = (layout.wrap(value), layout.wrap(value if limit is None else limit))
    return min(ends), max(ends)

"""Real-world value maps, adapted to a new rescale slope so that they give the same values.

Source: PS3.3, C.7.6.16.2.11 (real world value mapping).
"""

from __future__ import annotations

import copy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ratcli.formats.dicom.elements import integer, items, number
from ratcli.formats.dicom.frame_facts import functional_items
from ratcli.formats.dicom.values import ValueMap

_KEYWORD = "RealWorldValueMappingSequence"


def follow_slopes(dataset: Dataset, old: list[ValueMap], slopes: list[str | None]) -> None:
    """Rewrite the real-world value maps of planes that have a new rescale slope and intercept 0.

    Args:
        dataset: header of the derived image; changed.
        old: the maps that the source's frames have.
        slopes: new slopes, None if a frame keeps its own.
    """
    groups = items(dataset, "PerFrameFunctionalGroupsSequence") or [dataset]
    for frame, group in enumerate(groups):
        found = items(group, _KEYWORD) or functional_items(dataset, frame, _KEYWORD)
        if found:
            signed = bool(integer(dataset, "PixelRepresentation"))
            mapped = [_follow(item, old[frame], slopes[frame], signed) for item in found]
            kept = [item for item in mapped if item is not None]
            group.RealWorldValueMappingSequence = Sequence(kept)
    for shared in items(dataset, "SharedFunctionalGroupsSequence"):
        if _KEYWORD in shared:
            delattr(shared, _KEYWORD)


def _follow(item: Dataset, old: ValueMap, slope: str | None, signed: bool) -> Dataset | None:
    """Return the map for the new slope; None for a table, which cannot be adapted."""
    if slope is None:
        return copy.deepcopy(item)
    factor, offset = number(item, "RealWorldValueSlope"), number(item, "RealWorldValueIntercept")
    if factor is None or offset is None:
        return None
    followed = copy.deepcopy(item)
    followed.RealWorldValueSlope = factor * float(slope) / old.slope
    followed.RealWorldValueIntercept = offset - factor * old.intercept / old.slope
    first, last = "RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped"
    for keyword, value in ((first, -32767 if signed else 0), (last, 32767)):
        if keyword in followed:
            delattr(followed, keyword)
            followed.add_new(keyword, "SS" if signed else "US", value)
    return followed

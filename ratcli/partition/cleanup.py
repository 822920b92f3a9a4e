"""From masks to regions, and optional clean-up of regions: pure functions on label maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ratcli.regions import LabelArray, Regions
from ratcli.scan import BoolArray


@dataclass(frozen=True)
class Cleanup:
    """Steps to take, in this order; by default none, which is the paper's rule.

    Attributes:
        split: parts of a region that do not touch become regions of their own.
        specks: pieces with fewer pixels join the nearest larger one; with 0, none does.
    """

    split: bool = False
    specks: int = 0

    def describe(self) -> tuple[str, ...]:
        """Everything that changes the result."""
        # Enclosed pieces ("holes") stay; named so that keys of older caches remain valid.
        return (f"split={self.split}", f"specks={self.specks}", "holes=0")

    def apply(self, regions: Regions) -> Regions:
        """Return the regions after the steps that are on."""
        if self.split:
            regions = split_unconnected(regions)
        if self.specks:
            regions = drop_specks(regions, self.specks)
        return regions


def paint(masks: Iterable[BoolArray], height: int, width: int) -> Regions:
    """Make regions of masks: smaller ones are painted over larger ones, the rest is one region.

    Args:
        masks: bool `(H, W)` each, in any order.
        height: rows of the plane.
        width: columns of the plane.

    Source: Yang et al., Region Attention Transformer, MICCAI 2024, section 2.1.
    """
    canvas = np.zeros((height, width), np.int32)
    ordered = sorted(masks, key=lambda mask: -int(np.count_nonzero(mask)))
    for number, mask in enumerate(ordered, start=1):
        canvas[mask] = number
    return Regions.from_labels(canvas)


def split_unconnected(regions: Regions) -> Regions:
    """Give parts of a region that share no pixel edge regions of their own."""
    return Regions.from_labels(_pieces(regions.labels))


def drop_specks(regions: Regions, smallest: int) -> Regions:
    """Let connected pieces of fewer pixels join the nearest piece that is large enough.

    The largest piece always stays. Pieces of a region that stay keep one number.
    """
    from scipy.ndimage import distance_transform_edt

    pieces = _pieces(regions.labels)
    areas = np.bincount(pieces.ravel())
    small = (areas < min(smallest, int(areas.max())))[pieces]
    if not small.any():
        return regions
    nearest = distance_transform_edt(small, return_distances=False, return_indices=True)
    return Regions.from_labels(regions.labels[tuple(nearest)])


def _pieces(labels: LabelArray) -> LabelArray:
    """Connected pieces of equal labels `(H, W)`, numbered from 0."""
    from skimage.measure import label

    pieces = label(labels, background=-1, connectivity=1)
    numbered: LabelArray = (pieces - 1).astype(np.int32)
    return numbered

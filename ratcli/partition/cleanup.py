"""From masks to regions, and optional clean-up of regions: pure functions on label maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.regions import LabelArray, Regions
from ratcli.scan import BoolArray


@dataclass(frozen=True)
class Cleanup:
    """Steps to take, in this order; by default none, which is the paper's rule.

    Attributes:
        split: parts of a region that do not touch become regions of their own.
        specks: pieces with fewer pixels join the nearest larger one; with 0, none does.
        holes: pieces of up to this many pixels join the one region that encloses them; with 0,
            none does.
    """

    split: bool = False
    specks: int = 0
    holes: int = 0

    def describe(self) -> tuple[str, ...]:
        """Everything that changes the result."""
        return (f"split={self.split}", f"specks={self.specks}", f"holes={self.holes}")

    def apply(self, regions: Regions) -> Regions:
        """Return the regions after the steps that are on."""
        if self.split:
            regions = split_unconnected(regions)
        if self.specks:
            regions = drop_specks(regions, self.specks)
        if self.holes:
            regions = fill_holes(regions, self.holes)
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


def fill_holes(regions: Regions, largest: int) -> Regions:
    """Let connected pieces of at most so many pixels join the one region that encloses them."""
    pieces = _pieces(regions.labels)
    areas = np.bincount(pieces.ravel())
    owner = np.zeros(areas.size, np.int32)
    owner[pieces] = regions.labels
    lowest, highest = _neighbours(pieces, owner)
    enclosed = (lowest == highest) & (areas <= largest)
    enclosed[_border(pieces)] = False
    return Regions.from_labels(np.where(enclosed, lowest, owner)[pieces].astype(np.int32))


def _pieces(labels: LabelArray) -> LabelArray:
    """Connected pieces of equal labels `(H, W)`, numbered from 0."""
    from skimage.measure import label

    pieces = label(labels, background=-1, connectivity=1)
    numbered: LabelArray = (pieces - 1).astype(np.int32)
    return numbered


def _neighbours(
    pieces: LabelArray, owner: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Lowest and highest region beside each piece; they cross where there is none."""
    lowest = np.full(owner.size, np.iinfo(np.int32).max, np.int32)
    highest = np.full(owner.size, -1, np.int32)
    for one, other in ((pieces[:, :-1], pieces[:, 1:]), (pieces[:-1], pieces[1:])):
        apart = one != other
        for here, there in ((one[apart], other[apart]), (other[apart], one[apart])):
            np.minimum.at(lowest, here, owner[there])
            np.maximum.at(highest, here, owner[there])
    return lowest, highest


def _border(pieces: LabelArray) -> LabelArray:
    """Pieces at the plane's border."""
    return np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))

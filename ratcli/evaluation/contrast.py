"""Contrast to noise: a region beside its background, in every image.

The background of a drawn disc or box is the region that is named for it: such a region lies
inside what it measures, and the pixels around it are the same thing still. A segment of a map and
a phantom's insert end where their object ends: theirs is the ring of pixels around. No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.errors import MeasurementError
from ratcli.evaluation.given_regions import Disc, DrawnRegions, RegionSource, region_name
from ratcli.evaluation.views import ComparedView, named_images
from ratcli.scan import BoolArray

RING = "ring"
_RING_GAP_PX, _RING_PX = 2.0, 6.0
_INSERT_MARGIN_PX = 2.0


@dataclass(frozen=True)
class Contrast:
    """A region's contrast to its background, in one image.

    Attributes:
        inside: mean of the region, in the scan's unit.
        background: mean of the background.
        noise: standard deviation of the background inside planes.
        pixels: of the region, over all planes.
        background_pixels: of the background.
    """

    inside: float
    background: float
    noise: float
    pixels: int
    background_pixels: int

    @property
    def cnr(self) -> float:
        """|inside - background| over the noise; nan where the background is constant."""
        if self.noise == 0.0:
            return math.nan
        return abs(self.inside - self.background) / self.noise


@dataclass
class ContrastTally:
    """Adds up a region's contrast plane by plane."""

    _inside: list[float] = field(default_factory=lambda: [0.0, 0.0], repr=False)
    _background: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0], repr=False)

    def add(self, inside: npt.NDArray[np.floating], background: npt.NDArray[np.floating]) -> None:
        """Add a plane's values of the region and of its background, any shape.

        A plane without one of them is left out: both means must come from the same planes.
        """
        if inside.size == 0 or background.size < 2:
            return
        values = background.astype(np.float64)
        found = (values.size, values.sum(), ((values - values.mean()) ** 2).sum(), values.size - 1)
        self._background = [a + float(b) for a, b in zip(self._background, found, strict=True)]
        self._inside[0] += inside.size
        self._inside[1] += float(inside.sum(dtype=np.float64))

    def result(self) -> Contrast:
        """Return the contrast over all planes.

        Raises:
            MeasurementError: no plane holds both the region and its background.
        """
        pixels, total = self._inside
        around, around_total, squares, freedom = self._background
        if not pixels:
            raise MeasurementError("the region or its background contains no pixel")
        noise = math.sqrt(squares / freedom)
        return Contrast(total / pixels, around_total / around, noise, int(pixels), int(around))


def ring(inside: BoolArray, free: BoolArray) -> BoolArray:
    """Return `(H, W)`: the free pixels from 2 to 8 pixels around a region.

    Args:
        inside: `(H, W)`, true in the region.
        free: `(H, W)`, true where a background may be.
    """
    result = np.zeros(inside.shape, np.bool_)
    if not inside.any():
        return result
    reach = math.ceil(_RING_GAP_PX + _RING_PX)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    box = tuple(
        slice(max(int(axis[0]) - reach, 0), int(axis[-1]) + reach + 1) for axis in (rows, columns)
    )
    distance = ndimage.distance_transform_edt(~inside[box])
    near = (distance > _RING_GAP_PX) & (distance <= _RING_GAP_PX + _RING_PX)
    result[box] = near & free[box]
    return result


@dataclass(frozen=True)
class ContrastRow:
    """Contrast to noise of one image in one region.

    Attributes:
        image: its name.
        region: name of the region, or of a phantom's insert.
        background: name of the region that it is compared with; `ring` for the pixels around it.
        contrast: the figures.
    """

    image: str
    region: str
    background: str
    contrast: Contrast


@dataclass
class ContrastRows:
    """Contrast of given regions, and of a phantom's inserts, over all planes.

    Attributes:
        regions: given by the user. Drawn regions without a named background and regions of a
            partition have no contrast.
        inserts: discs by name; their outer 2 pixels are not measured.
    """

    regions: RegionSource | None
    inserts: Mapping[str, Disc] = field(default_factory=dict)
    _tallies: dict[tuple[str, str, str], ContrastTally] = field(
        default_factory=lambda: defaultdict(ContrastTally)
    )

    def add(self, compared: ComparedView) -> None:
        """Measure every image of a view."""
        for region, background, inside, around in self._pairs(compared):
            for name, image in named_images(compared).items():
                plane = image.mean(axis=0)
                self._tallies[name, region, background].add(plane[inside], plane[around])

    def rows(self) -> tuple[ContrastRow, ...]:
        """Return a row for each image and region that has a background somewhere."""
        rows = []
        for (image, region, background), tally in self._tallies.items():
            try:
                rows.append(ContrastRow(image, region, background, tally.result()))
            except MeasurementError:
                continue
        return tuple(rows)

    def _pairs(self, compared: ComparedView) -> Iterator[tuple[str, str, BoolArray, BoolArray]]:
        """Yield region, background, and the pixels `(H, W)` of both."""
        shape = compared.mask.shape
        objects = {name: disc.mask(shape, _INSERT_MARGIN_PX) for name, disc in self.inserts.items()}
        whole = np.zeros(shape, np.bool_)
        for disc in self.inserts.values():
            whole |= disc.mask(shape)
        for name, inside in objects.items():
            # From the insert's outline, not from the smaller part that is measured.
            outline = self.inserts[name].mask(shape)
            yield name, RING, inside & compared.trusted, ring(outline, compared.trusted & ~whole)
        if self.regions is None or not self.regions.spans_planes:
            return
        labels = np.where(compared.trusted, compared.labels, -1)
        for label in np.unique(labels[labels >= 0]).tolist():
            name = region_name(self.regions, label)
            beside = self.regions.backgrounds.get(label)
            if beside is None and isinstance(self.regions, DrawnRegions):
                continue
            if beside is None:
                around, named = (
                    ring(labels == label, compared.trusted & (compared.labels < 0)),
                    RING,
                )
            else:
                around = labels == beside
                named = region_name(self.regions, beside)
            yield name, named, labels == label, around

"""Quantitation: bias of region means with intervals, linearity, uniformity.

A shift of a whole organ by 5 HU cannot be seen in a residual image or in PSNR. Therefore the bias
of each region is always measured. No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from ratcli.errors import MeasurementError
from ratcli.evaluation.given_regions import Disc

RealArray = npt.NDArray[np.float64]

_BLOCKS_PX = (8, 4, 2)
_BLOCKS_WANTED, _BLOCKS_NEEDED = 8, 3


@dataclass(frozen=True)
class RegionBias:
    """How a region's mean differs between an image and what it is compared with.

    Attributes:
        label: of the region.
        pixels: in it, over all planes added.
        mean: of the image in the region, in the scan's unit.
        other_mean: of the reference (or of the input, where there is none).
        sd: standard deviation of the image in the region, noise and structure alike.
        other_sd: of the reference.
        bias: `mean - other_mean`.
        low: lower end of the 95 % interval of the bias; nan for fewer than three blocks.
        high: its upper end.
    """

    label: int
    pixels: int
    mean: float
    other_mean: float
    sd: float
    other_sd: float
    bias: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0.0 or self.high < 0.0


@dataclass
class BiasTally:
    """Adds up the biases of regions plane by plane.

    The interval comes from means of blocks of 8 x 8 pixels (4 or 2 where a region is small):
    the noise of neighbouring pixels is correlated, that of blocks hardly. In regions below about
    200 pixels the interval is therefore a little too narrow.
    """

    _sums: dict[int, RealArray] = field(default_factory=dict, repr=False)
    _blocks: dict[int, dict[int, list[RealArray]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list)), repr=False
    )

    def add(
        self,
        image: npt.NDArray[np.floating],
        other: npt.NDArray[np.floating],
        labels: npt.NDArray[np.integer],
    ) -> None:
        """Add a plane.

        Args:
            image: `(H, W)` in the scan's unit.
            other: `(H, W)`, the reference, or the input.
            labels: `(H, W)` integers; negative ones are outside all regions.

        Raises:
            ValueError: shapes differ.
        """
        if not image.shape == other.shape == labels.shape:
            raise ValueError(f"shapes differ: {image.shape}, {other.shape}, {labels.shape}")
        first, second = image.astype(np.float64), other.astype(np.float64)
        for label in np.unique(labels[labels >= 0]).tolist():
            region = labels == label
            one, two = first[region], second[region]
            sums = np.array(
                [one.size, one.sum(), two.sum(), (one**2).sum(), (two**2).sum()], np.float64
            )
            self._sums[label] = self._sums.get(label, np.zeros(5)) + sums
            for size in _BLOCKS_PX:
                means = _block_means(first - second, region, size)
                self._blocks[label][size].append(means)

    def result(self) -> dict[int, RegionBias]:
        """Return the bias of each region seen, by label."""
        return {label: self._bias(label) for label in sorted(self._sums)}

    def _bias(self, label: int) -> RegionBias:
        pixels, one, two, one_squares, two_squares = self._sums[label]
        mean, other_mean = one / pixels, two / pixels
        half = self._half_width(label)
        bias = mean - other_mean
        return RegionBias(
            label=label,
            pixels=int(pixels),
            mean=float(mean),
            other_mean=float(other_mean),
            sd=math.sqrt(max(one_squares / pixels - mean**2, 0.0)),
            other_sd=math.sqrt(max(two_squares / pixels - other_mean**2, 0.0)),
            bias=float(bias),
            low=float(bias - half),
            high=float(bias + half),
        )

    def _half_width(self, label: int) -> float:
        """Return half of the 95 % interval by Student's t over block means, nan if too few."""
        by_size = {size: np.concatenate(parts) for size, parts in self._blocks[label].items()}
        means = next(
            (by_size[size] for size in _BLOCKS_PX if by_size[size].size >= _BLOCKS_WANTED),
            by_size[_BLOCKS_PX[-1]],
        )
        if means.size < _BLOCKS_NEEDED:
            return math.nan
        spread = float(means.std(ddof=1)) / math.sqrt(means.size)
        return float(stdtrit(means.size - 1, 0.975)) * spread


def region_bias(
    image: npt.NDArray[np.floating],
    other: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
) -> dict[int, RegionBias]:
    """Return the bias of each region of one plane; see `BiasTally.add`."""
    tally = BiasTally()
    tally.add(image, other, labels)
    return tally.result()


@dataclass(frozen=True)
class Linearity:
    """A straight line through measured against known values.

    Attributes:
        slope: 1 for a true scale.
        intercept: in the scan's unit.
        r_squared: share of the variance that the line explains.
        largest_deviation: of a measured value from its known one, in the scan's unit.
    """

    slope: float
    intercept: float
    r_squared: float
    largest_deviation: float


def linearity(nominal: Sequence[float], measured: Sequence[float]) -> Linearity:
    """Fit measured values of inserts against their known ones.

    Args:
        nominal: true values in the scan's unit.
        measured: means of the same inserts.

    Raises:
        MeasurementError: fewer than three inserts, or all of one value.
    """
    if len(nominal) < 3 or len(nominal) != len(measured) or len(set(nominal)) < 2:
        raise MeasurementError(
            f"{len(nominal)} known and {len(measured)} measured values do not determine a line; "
            "expected three or more inserts of different values"
        )
    slope, intercept = (float(part) for part in np.polyfit(nominal, measured, 1))
    correlation = float(np.corrcoef(nominal, measured)[0, 1])
    worst = max((m - n for n, m in zip(nominal, measured, strict=True)), key=abs)
    return Linearity(slope, intercept, correlation**2, float(worst))


@dataclass(frozen=True)
class Uniformity:
    """Means in the middle of a uniform phantom and near its edge.

    Attributes:
        centre: mean in the middle, in the scan's unit.
        edge: means at the top, right, bottom and left.
        noise: standard deviation in the middle.
    """

    centre: float
    edge: tuple[float, float, float, float]
    noise: float

    @property
    def deviation(self) -> float:
        """Largest difference of an edge mean from the centre's, with its sign."""
        return max((value - self.centre for value in self.edge), key=abs)


def uniformity(plane: npt.NDArray[np.floating], body: Disc, edge_px: float) -> Uniformity:
    """Measure a uniform phantom in five discs of a tenth of its radius.

    Args:
        plane: `(H, W)` in the scan's unit.
        body: the phantom's outline.
        edge_px: from the outline to the nearest point of the outer discs (10 mm, and the wall).

    Raises:
        MeasurementError: the discs do not fit.

    Source: IEC 61223-3-5, uniformity of CT numbers.
    """
    radius = body.radius / 10.0
    reach = body.radius - edge_px - radius
    if reach < 2.0 * radius or radius < 2.0:
        raise MeasurementError(f"discs of {radius:.1f} pixels do not fit into the phantom")
    steps = ((0, 0), (-1, 0), (0, 1), (1, 0), (0, -1))
    values = [
        plane[Disc(body.row + down * reach, body.column + right * reach, radius).mask(plane.shape)]
        for down, right in steps
    ]
    if min(part.size for part in values) < 12:
        raise MeasurementError("the phantom's outer discs leave the plane")
    means = [float(part.mean(dtype=np.float64)) for part in values]
    noise = float(values[0].astype(np.float64).std(ddof=1))
    return Uniformity(means[0], (means[1], means[2], means[3], means[4]), noise)


def _block_means(difference: RealArray, region: npt.NDArray[np.bool_], size: int) -> RealArray:
    """Return the means of the blocks of which a region fills half or more."""
    rows, columns = np.nonzero(region)
    wide = difference.shape[1] // size + 1
    block = (rows // size) * wide + columns // size
    counts = np.bincount(block)
    sums = np.bincount(block, difference[rows, columns])
    filled = counts >= max(size * size // 2, 1)
    means: RealArray = sums[filled] / counts[filled]
    return means

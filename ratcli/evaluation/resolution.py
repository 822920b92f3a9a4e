"""Resolution: the task transfer function from round and straight edges.

Denoisers are not linear, so a transfer function holds for the contrast and the dose at which it
was measured; say both beside the figure. No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ratcli.errors import MeasurementError
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.views import ComparedView, named_images
from ratcli.scan import Box, FloatArray

RealArray = npt.NDArray[np.float64]

_BIN_PX = 0.1
_MARGIN_PX = 8.0  # how far to both sides of an edge values are used
_FEWEST_FILLED = 0.6
_MOST_REPEATS = 32


@dataclass(frozen=True)
class Transfer:
    """A task transfer function.

    Attributes:
        frequency_per_mm: `(K,)` from 0, in 1/mm.
        transfer: `(K,)`, 1 at frequency 0.
        contrast: height of the edge in the plane's unit, inside less outside.
        noise: standard deviation of the edge spread about its plateaus, in the plane's unit.
    """

    frequency_per_mm: RealArray
    transfer: RealArray
    contrast: float
    noise: float

    @property
    def f50_per_mm(self) -> float:
        """Frequency in 1/mm at which the transfer first falls to a half; nan if it never does."""
        return self.crossing(0.5)

    @property
    def f10_per_mm(self) -> float:
        """Frequency in 1/mm at which it first falls to a tenth; noisy below a CNR of about 10."""
        return self.crossing(0.1)

    def crossing(self, level: float) -> float:
        """Return the first frequency in 1/mm at which the transfer falls to a level, else nan."""
        below = np.flatnonzero(self.transfer <= level)
        if below.size == 0 or below[0] == 0:
            return math.nan
        right = int(below[0])
        left_value, right_value = self.transfer[right - 1 : right + 1]
        share = (left_value - level) / (left_value - right_value)
        left, step = self.frequency_per_mm[right - 1], np.diff(self.frequency_per_mm)[0]
        return float(left + share * step)


def disc_transfer(
    planes: npt.NDArray[np.floating],
    spacing_mm: float,
    centre: tuple[float, float],
    radius_px: float,
    margin_px: float = _MARGIN_PX,
) -> Transfer:
    """Measure the transfer function at the edge of a disc.

    Args:
        planes: `(H, W)`, or `(N, H, W)` of the same disc, whose edges are averaged.
        spacing_mm: pixel pitch, the same in both directions.
        centre: row and column of the disc's centre in pixels, a fraction of a pixel right.
        radius_px: its radius.
        margin_px: how far to both sides of the edge values are used.

    Raises:
        MeasurementError: the disc leaves the plane, or shows no contrast.

    Source: Richard et al., Med Phys 39(7), 2012; AAPM Report 233.
    """
    stack = np.atleast_3d(planes.T).T.astype(np.float64)
    rows, columns = np.indices(stack.shape[1:])
    distance = np.hypot(rows - centre[0], columns - centre[1]) - radius_px
    reach = radius_px + margin_px
    outside = any(
        place - reach < -1 or place + reach > size
        for place, size in zip(centre, stack.shape[1:], strict=True)
    )
    if outside or radius_px < margin_px / 2.0:
        raise MeasurementError(
            f"a disc of {radius_px:.1f} pixels with a margin of {margin_px:.1f} does not fit"
        )
    return _transfer(-distance, stack, spacing_mm, margin_px)


def edge_transfer(planes: npt.NDArray[np.floating], spacing_mm: float) -> Transfer:
    """Measure the transfer function at one straight edge, a little tilted against the grid.

    Args:
        planes: `(H, W)`, or `(N, H, W)` of the same edge, which crosses the whole cut-out.
        spacing_mm: pixel pitch, the same in both directions.

    Raises:
        MeasurementError: no edge, or one so parallel to the grid that it is not oversampled.

    Source: ISO 12233 (slanted edge), with the edge fitted to the lines' derivative centroids.
    """
    stack = np.atleast_3d(planes.T).T.astype(np.float64)
    mean = stack.mean(axis=0)
    down, across = (float(np.abs(np.diff(mean.mean(axis=1 - axis))).sum()) for axis in (0, 1))
    if down > across:
        stack, mean = stack.swapaxes(1, 2), mean.T
    slope, offset = _fit_edge(mean)
    rows, columns = np.indices(mean.shape)
    distance = (columns - (offset + slope * rows)) / math.hypot(1.0, slope)
    return _transfer(distance, stack, spacing_mm, _MARGIN_PX)


def _fit_edge(mean: RealArray) -> tuple[float, float]:
    """Return slope and offset of column against row of a nearly vertical edge.

    Raises:
        MeasurementError: there is none.
    """
    columns = np.arange(mean.shape[1] - 1) + 0.5
    rows = np.arange(mean.shape[0])
    slope, offset = 0.0, float(columns[np.argmax(np.abs(np.diff(mean.mean(axis=0))))])
    for width in (12.0, 6.0, 6.0):
        near = np.abs(columns[None] - (offset + slope * rows)[:, None]) < width
        weight = np.diff(mean, axis=1) * near
        total = weight.sum(axis=1)
        sign = np.sign(np.median(total))
        usable = total * sign > 0.3 * np.abs(np.median(total))
        if sign == 0 or usable.sum() < max(4, mean.shape[0] // 2):
            raise MeasurementError("no straight edge crosses this part of the plane")
        place = (weight * columns).sum(axis=1)[usable] / total[usable]
        slope, offset = (float(part) for part in np.polyfit(rows[usable], place, 1))
    return slope, offset


def _transfer(
    distance: RealArray, stack: RealArray, spacing_mm: float, margin_px: float
) -> Transfer:
    """Return the transfer function of values against their distance from the edge in pixels."""
    bins = round(2 * margin_px / _BIN_PX)
    where = np.floor((distance + margin_px) / _BIN_PX).astype(np.int64)
    near = (where >= 0) & (where < bins)
    counts = np.bincount(where[near], minlength=bins) * len(stack)
    filled = counts > 0
    if filled.mean() < _FEWEST_FILLED:
        raise MeasurementError(
            f"the edge fills {filled.mean():.0%} of its {_BIN_PX} pixel steps, expected "
            f"{_FEWEST_FILLED:.0%}",
            hint="Use a longer edge, tilted by 2 to 10 degrees, or a larger disc.",
        )
    sums = np.bincount(where[near], stack.sum(axis=0)[near], minlength=bins)
    spread = np.interp(np.arange(bins), np.flatnonzero(filled), sums[filled] / counts[filled])
    edge = bins // 5
    contrast = float(spread[-edge:].mean() - spread[:edge].mean())
    noise = float(np.sqrt((spread[-edge:].var() + spread[:edge].var()) / 2.0))
    if abs(contrast) <= 3.0 * noise / math.sqrt(edge) or contrast == 0.0:
        raise MeasurementError(f"the edge's contrast of {contrast:.3g} is lost in its noise")
    frequency, transfer = _from_spread(spread, spacing_mm)
    return Transfer(frequency, transfer, contrast, noise)


def _from_spread(spread: RealArray, spacing_mm: float) -> tuple[RealArray, RealArray]:
    """Return frequencies in 1/mm up to Nyquist, and the transfer of an edge spread."""
    line = np.diff(spread)
    centre = _middle(line)
    position = np.arange(len(line))
    half = max(min(centre, len(line) - 1 - centre), 1.0)
    # A plain Hann window narrows the line spread and raises f50 by 5 %: flat in the middle half.
    flank = np.clip(2.0 * np.abs(position - centre) / half - 1.0, 0.0, 1.0)
    hann = 0.5 + 0.5 * np.cos(math.pi * flank)
    padded = 8 * len(line)
    transfer: RealArray = np.abs(np.fft.rfft(line * hann, padded)).astype(np.float64)
    step_mm = _BIN_PX * spacing_mm
    frequency: RealArray = np.fft.rfftfreq(padded, step_mm).astype(np.float64)
    # The difference of neighbours and the bins' width each cost sinc(f * step).
    transfer = transfer / np.sinc(frequency * step_mm) ** 2 / transfer[0]
    inside = frequency <= 0.5 / spacing_mm
    return frequency[inside], transfer[inside]


def _middle(line: RealArray) -> float:
    """Return the index of a line spread's centroid near its highest point."""
    smooth = np.convolve(line * np.sign(line.sum()), np.hanning(21), mode="same")
    peak = int(np.argmax(smooth))
    near = np.arange(max(peak - 20, 0), min(peak + 21, len(line)))
    weight = np.maximum(smooth[near], 0.0)
    return float((near * weight).sum() / weight.sum())


@dataclass(frozen=True)
class TransferRow:
    """A task transfer function of one image at one edge."""

    image: str
    edge: str
    transfer: Transfer


@dataclass
class TransferRows:
    """Transfer functions at round and straight edges, averaged over planes.

    Attributes:
        edges: discs and boxes by name.
        spacing_mm: pixel pitch.
    """

    edges: Mapping[str, Disc | Box]
    spacing_mm: float
    _stacks: dict[tuple[str, str], list[FloatArray]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, compared: ComparedView) -> None:
        """Keep the surroundings of each edge."""
        for image_name, image in named_images(compared).items():
            for edge_name, edge in self.edges.items():
                stack = self._stacks[image_name, edge_name]
                if len(stack) < _MOST_REPEATS:
                    stack.append(image[0][_around(edge, image.shape[-2:]).slices])

    def rows(self) -> tuple[tuple[TransferRow, ...], tuple[str, ...]]:
        """Return the transfer functions, and notes on those that could not be measured."""
        rows, notes = [], []
        for (image, name), stack in self._stacks.items():
            edge, planes = self.edges[name], np.stack(stack)
            try:
                if isinstance(edge, Box):
                    transfer = edge_transfer(planes, self.spacing_mm)
                else:
                    box = _around(edge, (1 << 30, 1 << 30))
                    centre = (edge.row - box.top, edge.column - box.left)
                    margin = min(_MARGIN_PX, edge.radius)
                    transfer = disc_transfer(planes, self.spacing_mm, centre, edge.radius, margin)
                rows.append(TransferRow(image, name, transfer))
            except MeasurementError as error:
                notes.append(f"No transfer function of {image} at {name}: {error}.")
        return tuple(rows), tuple(notes)


def _around(edge: Disc | Box, shape: tuple[int, ...]) -> Box:
    """Return a box that holds an edge and its margin."""
    if isinstance(edge, Box):
        return edge
    reach = edge.radius + min(_MARGIN_PX, edge.radius) + 1.0
    top, left = max(math.floor(edge.row - reach), 0), max(math.floor(edge.column - reach), 0)
    bottom = min(math.ceil(edge.row + reach) + 1, shape[0])
    right = min(math.ceil(edge.column + reach) + 1, shape[1])
    return Box(top, left, bottom - top, right - left)

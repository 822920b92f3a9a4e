"""The residual check: what a denoiser took away must look like noise.

Input less output is searched for what noise does not do: to be stronger at edges, to follow the
image's detail, to have a mean over a spot, along a line or over a region. The last one, the
bias of regions, is always measured, because a shift of a whole organ hides from the others.
No torch here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.evaluation.matched import robust_spread, search, spread_by_value
from ratcli.evaluation.quantitation import RegionBias, region_bias
from ratcli.scan import BoolArray, FloatArray

RealArray = npt.NDArray[np.float64]

_MOST_PLACES = 20
_SAME_PLACE_MM = 6.0


@dataclass(frozen=True)
class Limits:
    """Where a figure of the residual stops looking like noise.

    Attributes:
        unit: of the scan's values and of `bias`.
        edge_ratio: residual at edges over that beside them; an ideal denoiser has 1. To this and
            the next limit comes three times the sampling error of the edge pixels.
        correlation: with the image's detail at edges, less that beside them; ideal 0, a blur is
            above it.
        spot_z: highest mean over a spot in standard deviations; ideal below 5.
        line_z: the same along a line three spots long.
        spot_mm: diameter of the spots to look for: the smallest thing that matters.
        by_value: whether noise follows the value, as PET's does, and not the place alone.
        bias: of a region's mean, in the scan's unit.
        bias_share: the same as a share of the region's mean; the larger of both counts.
        bias_z: a bias must also be this many standard errors from zero.
    """

    unit: str
    edge_ratio: float = 1.1
    correlation: float = 0.05
    spot_z: float = 5.5
    line_z: float = 6.5
    spot_mm: float = 4.0
    by_value: bool = False
    bias: float = 2.0
    bias_share: float = 0.0
    bias_z: float = 4.0


LIMITS: dict[str, Limits] = {
    "HU": Limits("HU", bias_share=0.005),
    "SUV": Limits("SUV", bias=0.02, bias_share=0.03, spot_mm=12.0, by_value=True),
    "Bq/ml": Limits("Bq/ml", bias=0.0, bias_share=0.03, spot_mm=12.0, by_value=True),
    "RGB": Limits("RGB", bias=0.01),
}
"""Limits by unit of the scan."""


@dataclass(frozen=True)
class Place:
    """A suspicious place.

    Attributes:
        row: of its strongest pixel.
        column: of it.
        kind: `spot` or `line`.
        z: its strength in standard deviations, positive where the input is brighter.
        change: `removed` where the input shows more structure there than the output, else `added`.
    """

    row: int
    column: int
    kind: str
    z: float
    change: str


@dataclass(frozen=True)
class Finding:
    """One figure and what it means.

    Attributes:
        name: a few words.
        value: the figure.
        limit: up to which it looks like noise.
        unit: of both, empty where they are ratios.
        passed: whether it stays within the limit.
        sentence: what was found, for the report.
    """

    name: str
    value: float
    limit: float
    unit: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class ResidualCheck:
    """What the residual of one plane looks like.

    Attributes:
        findings: edge ratio, correlation, spot, line, bias; in this order.
        biases: of every region, output less input.
        places: suspicious ones, the strongest first.
        z_map: float32 `(H, W)`, the largest |z| of spots and lines.
        noise: of the residual, in the scan's unit.
    """

    findings: tuple[Finding, ...]
    biases: dict[int, RegionBias]
    places: tuple[Place, ...]
    z_map: FloatArray
    noise: float

    @property
    def passed(self) -> bool:
        """Whether all figures stay within their limits."""
        return all(finding.passed for finding in self.findings)

    @property
    def reasons(self) -> str:
        """What does not look like noise, empty if all does."""
        return "; ".join(finding.sentence for finding in self.findings if not finding.passed)

    @property
    def verdict(self) -> str:
        """One sentence that says what was found."""
        if self.passed:
            return "The residual looks like noise, and no region's mean left the input's."
        return f"The residual does not look like noise: {self.reasons}."


def check_residual(
    before: npt.NDArray[np.floating],
    after: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    spacing_mm: float,
    limits: Limits,
    padding: BoolArray | None = None,
) -> ResidualCheck:
    """Check what a restoration took from a plane.

    Args:
        before: the input `(H, W)`.
        after: the output `(H, W)`, on the same grid.
        labels: `(H, W)` integers: regions to check the bias of, -1 outside them. They should
            not come from the noisy input, whose noise would choose their pixels.
        spacing_mm: pixel pitch.
        limits: up to where figures look like noise, as `LIMITS` has them for a unit.
        padding: `(H, W)`, true where nothing is to be checked.

    Raises:
        ValueError: shapes differ.
    """
    if not before.shape == after.shape == labels.shape:
        raise ValueError(f"shapes differ: {before.shape}, {after.shape}, {labels.shape}")
    inside = np.ones(before.shape, np.bool_) if padding is None else ~padding
    first, second = before.astype(np.float64), after.astype(np.float64)
    residual = np.where(inside, first - second, 0.0)
    spread = robust_spread(residual, inside)
    if limits.by_value:
        spread = spread_by_value(residual, second, inside)
    edges = _structure(residual, second, spread, inside)
    spots, lines = search(residual / spread, inside, spacing_mm * 4.0 / limits.spot_mm)
    biases = region_bias(second, first, np.where(inside, labels, -1))
    places = (*_places(spots, "spot", limits.spot_z), *_places(lines, "line", limits.line_z))
    named = [_name_change(place, first, second, spacing_mm) for place in places]
    named.sort(key=lambda place: -abs(place.z))
    findings = (
        _edge_finding(edges, limits),
        _correlation_finding(edges, limits),
        _place_finding("spot", spots, limits.spot_z, named),
        _place_finding("line", lines, limits.line_z, named),
        _bias_finding(biases, limits),
    )
    z_map = np.maximum(np.abs(spots), np.abs(lines)).astype(np.float32)
    noise = float(np.median(spread[inside])) if inside.any() else 0.0
    return ResidualCheck(findings, biases, _apart(named, spacing_mm), z_map, noise)


class _AtEdges(NamedTuple):
    """Figures at edges, and the number of pixels they rest on."""

    ratio: float
    correlation: float
    pixels: int


def _structure(
    residual: RealArray, after: RealArray, spread: RealArray, inside: BoolArray
) -> _AtEdges:
    """Return the edge ratio and the correlation with detail; 1 and 0 where there is no edge."""
    scaled = np.clip(residual / spread, -5.0, 5.0)
    steep = ndimage.gaussian_gradient_magnitude(after, 1.0) / spread
    edges = (steep > 0.5) & inside
    beside = (steep < 0.25) & ndimage.binary_dilation(edges, iterations=8) & inside
    pixels = min(int(edges.sum()), int(beside.sum()))
    if pixels < 100 or not scaled[beside].any():
        return _AtEdges(1.0, 0.0, 100)
    ratio = math.sqrt(float((scaled[edges] ** 2).mean() / (scaled[beside] ** 2).mean()))
    detail = ndimage.gaussian_filter(after, 0.7) - ndimage.gaussian_filter(after, 2.5)
    detail = np.clip(detail / spread, -5.0, 5.0)
    at_edges, at_side = (_correlation(scaled[where], detail[where]) for where in (edges, beside))
    return _AtEdges(ratio, at_edges - at_side, pixels)


def _correlation(first: RealArray, second: RealArray) -> float:
    """Return Pearson's correlation, 0 where one of both is constant."""
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _places(z: RealArray, kind: str, limit: float) -> list[Place]:
    """Return the strongest pixel of each connected place beyond the limit."""
    labels, count = ndimage.label(np.abs(z) > limit, structure=np.ones((3, 3)))
    peaks = ndimage.maximum_position(np.abs(z), labels, np.arange(1, count + 1))
    return [Place(int(row), int(column), kind, float(z[row, column]), "") for row, column in peaks]


def _apart(places: list[Place], spacing_mm: float) -> tuple[Place, ...]:
    """Return places without those beside a stronger one, from the strongest on."""
    kept: list[Place] = []
    for place in places:
        distances = (math.hypot(place.row - one.row, place.column - one.column) for one in kept)
        if all(distance * spacing_mm > _SAME_PLACE_MM for distance in distances):
            kept.append(place)
    return tuple(kept[:_MOST_PLACES])


def _name_change(place: Place, before: RealArray, after: RealArray, spacing_mm: float) -> Place:
    """Tell whether the structure stands in the input (removed) or in the output (added)."""
    reach = math.ceil(8.0 / spacing_mm)
    box = (
        slice(max(place.row - reach, 0), place.row + reach + 1),
        slice(max(place.column - reach, 0), place.column + reach + 1),
    )
    sigma = 1.2 / spacing_mm
    row, column = place.row - box[0].start, place.column - box[1].start
    heights = []
    for plane in (before[box], after[box]):
        smooth = ndimage.gaussian_filter(plane, sigma) - ndimage.gaussian_filter(plane, 3 * sigma)
        heights.append(abs(float(smooth[row, column])))
    change = "removed" if heights[0] >= heights[1] else "added"
    return Place(place.row, place.column, place.kind, place.z, change)


def _edge_finding(edges: _AtEdges, limits: Limits) -> Finding:
    # Neighbours share their noise: about four pixels count as one.
    limit = limits.edge_ratio + 3.0 * math.sqrt(2.0 / edges.pixels)
    sentence = f"it is {edges.ratio:.2f} times as strong at edges as beside them (ideal 1)"
    return Finding("edge to flat ratio", edges.ratio, limit, "", edges.ratio <= limit, sentence)


def _correlation_finding(edges: _AtEdges, limits: Limits) -> Finding:
    value = edges.correlation
    limit = limits.correlation + 3.0 * math.sqrt(4.0 / edges.pixels)
    sentence = f"it follows the image's detail at edges (correlation {value:+.2f}, ideal 0)"
    # Below 0 is harmless: noise left in the output shows as detail beside edges.
    return Finding("correlation with detail", value, limit, "", value <= limit, sentence)


def _place_finding(kind: str, z: RealArray, limit: float, places: list[Place]) -> Finding:
    value = float(np.abs(z).max())
    mine = [place for place in places if place.kind == kind]
    counts = [
        f"{sum(place.change == change for place in mine)} {change}"
        for change in ("removed", "added")
    ]
    sentence = (
        f"{len(mine)} {kind}s stand out ({', '.join(counts)}), the strongest at {value:.1f} SD"
    )
    return Finding(f"strongest {kind}", value, limit, "SD", value <= limit, sentence)


def _bias_finding(biases: dict[int, RegionBias], limits: Limits) -> Finding:
    """Judge the region whose mean moved most among those that moved for certain."""
    moved = [bias for bias in biases.values() if _certain(bias, limits)]
    worst = max(moved, key=lambda bias: abs(bias.bias), default=None)
    if worst is None:
        return Finding(
            "region bias", 0.0, limits.bias, limits.unit, True, "no region's mean left the input's"
        )
    limit = max(limits.bias, limits.bias_share * abs(worst.other_mean))
    passed = all(
        abs(bias.bias) <= max(limits.bias, limits.bias_share * abs(bias.other_mean))
        for bias in moved
    )
    sentence = (
        f"the mean of region {worst.label} left the input's by {worst.bias:+.3g} {limits.unit}"
    )
    return Finding("region bias", worst.bias, limit, limits.unit, passed, sentence)


def _certain(bias: RegionBias, limits: Limits) -> bool:
    """Tell whether a bias is further from zero than noise brings it."""
    error = (bias.high - bias.low) / (2.0 * 1.96)
    return math.isfinite(error) and abs(bias.bias) > limits.bias_z * error

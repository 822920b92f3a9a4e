"""The residual check: what a denoiser removed must look like noise.

Input minus output is searched for what noise does not do: being stronger at edges, following the
image's detail, or having a mean over a spot, along a line or over a region. Spots and lines are
searched in standard deviations of the noise. The bias of regions is always measured, because no
other figure shows a shift of a whole organ. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ratcli.evaluation.findings import (
    AtEdges,
    Limits,
    Place,
    ResidualCheck,
    bias_finding,
    correlation_finding,
    edge_finding,
    place_finding,
)
from ratcli.evaluation.quantitation import region_bias
from ratcli.evaluation.spread import robust_spread, spread_by_value
from ratcli.scan import BoolArray

RealArray = npt.NDArray[np.float64]

_MOST_PLACES = 20
_SAME_PLACE_MM = 6.0
_TILE_PX = 32
_ORIENTATIONS = 12
_BORDER_MM = 6.0


def check_residual(
    before: npt.NDArray[np.floating],
    after: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    spacing_mm: float,
    limits: Limits,
    padding: BoolArray | None = None,
) -> ResidualCheck:
    """Check what a restoration removed from a plane.

    Args:
        before: the input `(H, W)`.
        after: the output `(H, W)`, on the same grid.
        labels: `(H, W)` integers, -1 outside regions. Regions should not come from the noisy
            input, whose noise would choose their pixels.
        spacing_mm: pixel pitch.
        limits: up to where figures look like noise, as `LIMITS` has them for a unit.
        padding: `(H, W)`, true where nothing is to be checked.

    Raises:
        ValueError: shapes differ.
    """
    if not before.shape == after.shape == labels.shape:
        raise ValueError(f"shapes differ: {before.shape}, {after.shape}, {labels.shape}")
    inside = np.ones(before.shape, np.bool_) if padding is None else ~padding
    planes = before.astype(np.float64), after.astype(np.float64)
    return _check(*planes, np.where(inside, labels, -1), inside, spacing_mm, limits)


def _check(
    first: RealArray,
    second: RealArray,
    labels: npt.NDArray[np.integer],
    inside: BoolArray,
    spacing_mm: float,
    limits: Limits,
) -> ResidualCheck:
    """Check planes in float64; `inside` is true where they hold measurements."""
    residual = np.where(inside, first - second, 0.0)
    spread = _spread(residual, second, inside, limits)
    spots, lines = search(residual / spread, inside, spacing_mm * 4.0 / limits.spot_mm)
    strong = (*_places(spots, "spot", limits.spot_z), *_places(lines, "line", limits.line_z))
    named = (_name_change(place, first, second, spacing_mm) for place in strong)
    places = sorted(named, key=lambda place: -abs(place.z))
    edges = _structure(residual, second, spread, inside)
    biases = region_bias(second, first, labels)
    findings = (
        edge_finding(edges, limits),
        correlation_finding(edges, limits),
        place_finding("spot", spots, limits.spot_z, places),
        place_finding("line", lines, limits.line_z, places),
        bias_finding(biases, limits),
    )
    return ResidualCheck(
        findings=findings,
        biases=biases,
        places=_apart(places, spacing_mm),
        z_map=np.maximum(np.abs(spots), np.abs(lines)).astype(np.float32),
        noise=float(np.median(spread[inside])) if inside.any() else 0.0,
    )


def _spread(residual: RealArray, after: RealArray, inside: BoolArray, limits: Limits) -> RealArray:
    """Return the standard deviation of the residual's noise around each pixel `(H, W)`."""
    if limits.by_value:
        return spread_by_value(residual, after, inside)
    return robust_spread(residual, inside)


def _structure(
    residual: RealArray, after: RealArray, spread: RealArray, inside: BoolArray
) -> AtEdges:
    """Return the edge ratio and the correlation with detail; 1 and 0 where there is no edge."""
    scaled = np.clip(residual / spread, -5.0, 5.0)
    steep = ndimage.gaussian_gradient_magnitude(after, 1.0) / spread
    edges = (steep > 0.5) & inside
    beside = (steep < 0.25) & ndimage.binary_dilation(edges, iterations=8) & inside
    pixels = min(int(edges.sum()), int(beside.sum()))
    if pixels < 100 or not scaled[beside].any():
        return AtEdges(1.0, 0.0, 100)
    ratio = math.sqrt(float((scaled[edges] ** 2).mean() / (scaled[beside] ** 2).mean()))
    detail = ndimage.gaussian_filter(after, 0.7) - ndimage.gaussian_filter(after, 2.5)
    detail = np.clip(detail / spread, -5.0, 5.0)
    at_edges, at_side = (_correlation(scaled[where], detail[where]) for where in (edges, beside))
    return AtEdges(ratio, at_edges - at_side, pixels)


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
    """Return the place, named `removed` if its structure is in the input, else `added`."""
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


def search(
    residual: RealArray, inside: BoolArray, spacing_mm: float
) -> tuple[RealArray, RealArray]:
    """Return how far spots and lines of a residual stand out of its noise.

    Args:
        residual: `(H, W)` in any unit.
        inside: `(H, W)`, false in padding.
        spacing_mm: pixel pitch.

    Returns:
        Two z maps `(H, W)`: of spots of 4 mm, and of the strongest line of 12 mm through each
        pixel; 0 within 6 mm of padding and of the plane's border.
    """
    spots, lines = _responses(residual, inside, spacing_mm)
    border = _near_border(inside, spacing_mm)
    spots[border], lines[border] = 0.0, 0.0
    return spots, lines


def _responses(
    residual: RealArray, inside: BoolArray, spacing_mm: float
) -> tuple[RealArray, RealArray]:
    """Return z maps `(H, W)` of spots, and of the strongest line through each pixel."""
    strongest = np.zeros_like(residual)
    spots = strongest
    for index, response in enumerate(_filtered(residual, spacing_mm)):
        z = response / robust_spread(response, inside)
        if index == 0:
            spots = z
        else:
            strongest = np.where(np.abs(z) > np.abs(strongest), z, strongest)
    return spots, strongest


def _near_border(inside: BoolArray, spacing_mm: float) -> BoolArray:
    """Return true within a line's reach of the plane's border and of padding.

    There the filters see mirrored noise, which makes a structure look twice as long.
    """
    reach = math.ceil(_BORDER_MM / spacing_mm)
    distance = ndimage.distance_transform_cdt(np.pad(inside, 1), metric="chessboard")
    near: BoolArray = distance[1:-1, 1:-1] <= reach
    return near


def _filtered(values: RealArray, spacing_mm: float) -> Iterator[RealArray]:
    """Yield the response `(H, W)` of the spot filter, then of each line filter."""
    padded = np.pad(values, _TILE_PX, mode="reflect" if min(values.shape) > _TILE_PX else "edge")
    transform = np.fft.rfft2(padded)
    inner = slice(_TILE_PX, -_TILE_PX)
    for kernel in _kernels(padded.shape, round(spacing_mm, 4)):
        yield np.fft.irfft2(transform * kernel, padded.shape)[inner, inner]


@lru_cache(maxsize=4)
def _kernels(shape: tuple[int, int], spacing_mm: float) -> tuple[RealArray, ...]:
    """Return transfer functions: a spot of 4 mm, then lines 12 mm long and 1.5 mm wide.

    Each is a Gaussian minus a wider one, so that slow changes do not count.
    """
    down = np.asarray(np.fft.fftfreq(shape[0], spacing_mm), np.float64)[:, None]
    across = np.asarray(np.fft.rfftfreq(shape[1], spacing_mm), np.float64)[None, :]
    kernels = [_gauss(down, across, 1.2, 1.2) - _gauss(down, across, 4.0, 4.0)]
    for step in range(_ORIENTATIONS):
        angle = math.pi * step / _ORIENTATIONS
        along = math.cos(angle) * across + math.sin(angle) * down
        over = math.cos(angle) * down - math.sin(angle) * across
        kernels.append(_gauss(along, over, 4.0, 0.7) - _gauss(along, over, 4.0, 2.5))
    return tuple(kernels)


def _gauss(along: RealArray, over: RealArray, long_mm: float, wide_mm: float) -> RealArray:
    """Return the transfer function of a Gaussian with those standard deviations."""
    exponent = (long_mm * along) ** 2 + (wide_mm * over) ** 2
    result: RealArray = np.exp(-2.0 * math.pi**2 * exponent)
    return result

"""Where to measure: uniform patches and phantom discs found automatically, or given regions.

A given region comes from a JSON text or from a label map that a reader delivers; files are the
command line's business. No torch here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from ratcli.errors import MeasurementError, UsageError
from ratcli.physics.local_noise import MAD_TO_SD, noise_level, noise_map
from ratcli.regions import LabelArray
from ratcli.scan import BoolArray, Box, FloatArray

RealArray = npt.NDArray[np.float64]

BODY = "body"
"""Name of the edge of a phantom's body."""

_LOCAL = 9
_FINE = 5
# Pixels in which the local deviation is this many times the plane's noise hold an edge.
_QUIETEST, _LOUDEST = 0.4, 1.7
_CLEAN_SPREAD = 0.5
_ROUNDEST_MISFIT = 0.06
_SMALLEST_RADIUS_PX = 3.0


@dataclass(frozen=True)
class Disc:
    """A disc in a plane, in pixels; fractions count."""

    row: float
    column: float
    radius: float

    def mask(self, shape: tuple[int, int], margin: float = 0.0) -> BoolArray:
        """Return `(H, W)`, true inside the disc shrunk by a margin (grown where negative)."""
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        inside: BoolArray = np.hypot(rows - self.row, columns - self.column) < self.radius - margin
        return inside

    def coverage(self, shape: tuple[int, int]) -> FloatArray:
        """Return float32 `(H, W)`: the share of each pixel that the disc covers, to 1/25."""
        shifts = (np.arange(_FINE) + 0.5) / _FINE - 0.5
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        covered = np.zeros(shape, np.float32)
        for down in shifts:
            for right in shifts:
                away = np.hypot(rows + down - self.row, columns + right - self.column)
                covered += away < self.radius
        share: FloatArray = covered / np.float32(_FINE**2)
        return share


class RegionSource(Protocol):
    """Regions to measure in, plane by plane."""

    @property
    def names(self) -> Mapping[int, str]:
        """Name of each label; others are called by their number."""

    @property
    def nominal(self) -> Mapping[int, float]:
        """Known values of some labels, in the scan's unit."""

    @property
    def backgrounds(self) -> Mapping[int, int]:
        """Label of the background beside which a label's contrast is measured, where named."""

    @property
    def lasting(self) -> bool:
        """Whether a label means the same region in every plane."""

    def labels(self, plane: int, shape: tuple[int, int]) -> LabelArray:
        """Return int32 `(H, W)`: the label of each pixel, -1 outside all regions."""


@dataclass(frozen=True)
class DrawnRegions:
    """Discs and boxes, each on all planes or on some; later ones cover earlier ones.

    Attributes:
        names: of each label.
        nominal: known values of some labels, in the scan's unit.
        shapes: of each label.
        planes: of labels that are not on all of them.
        edges: round (disc) and straight (box) edges by name, to measure resolution at.
        backgrounds: label of the background of some labels.
    """

    names: Mapping[int, str]
    nominal: Mapping[int, float]
    shapes: Mapping[int, Disc | Box]
    planes: Mapping[int, frozenset[int]]
    edges: Mapping[str, Disc | Box] = field(default_factory=dict)
    backgrounds: Mapping[int, int] = field(default_factory=dict)

    @property
    def lasting(self) -> bool:
        """Always: a name is drawn once."""
        return True

    def labels(self, plane: int, shape: tuple[int, int]) -> LabelArray:
        """Return int32 `(H, W)`: the label of each pixel, -1 outside all regions."""
        result = np.full(shape, -1, np.int32)
        for label, drawn in self.shapes.items():
            if label in self.planes and plane not in self.planes[label]:
                continue
            where = drawn.mask(shape) if isinstance(drawn, Disc) else drawn.slices
            result[where] = label
        return result


@dataclass(frozen=True)
class MappedRegions:
    """Regions of a label map that is read plane by plane.

    Attributes:
        read: plane index -> integers `(H, W)`.
        background: the label that is no region, None if every label is one.
        names: of labels; others are called by their number.
        nominal: known values of some labels, in the scan's unit.
        lasting: whether a label means the same region in every plane.
        backgrounds: label of the background of some labels.
    """

    read: Callable[[int], npt.NDArray[np.generic]]
    background: int | None = 0
    names: Mapping[int, str] = field(default_factory=dict)
    nominal: Mapping[int, float] = field(default_factory=dict)
    lasting: bool = True
    backgrounds: Mapping[int, int] = field(default_factory=dict)

    def labels(self, plane: int, shape: tuple[int, int]) -> LabelArray:
        """Return int32 `(H, W)`: the label of each pixel, -1 outside all regions.

        Raises:
            UsageError: the label map has another size than the scan.
        """
        values = np.rint(np.asarray(self.read(plane))).astype(np.int32)
        if values.shape != shape:
            raise UsageError(
                f"the region map is {values.shape[0]} x {values.shape[1]}, "
                f"the scan {shape[0]} x {shape[1]}",
                hint="Give regions drawn on this scan.",
            )
        if self.background is not None:
            values[values == self.background] = -1
        return values


def regions_from_json(text: str) -> DrawnRegions:
    """Read regions drawn as discs and boxes, in pixels.

    The form: `{"regions": [{"name": "liver", "disc": [row, column, radius], "planes": [3, 4],
    "nominal": 60}, {"name": "lesion", "box": [top, left, height, width], "background": "liver"}],
    "edges": [{"name": "insert", "disc": [row, column, radius]}, {"name": "wall", "box": [top,
    left, height, width]}]}`; `planes` (counted from 0; all of them if left out), `nominal` (the
    true value, if known), `background` (the region beside which contrast is measured; the ring
    around it if left out) and `edges` (round or straight, to measure resolution at) are optional.

    Raises:
        UsageError: the text is no such JSON.
    """
    try:
        content = json.loads(text)
        entries = content["regions"]
        edges = {str(entry["name"]): _drawn(entry) for entry in content.get("edges", ())}
        drawn = [_drawn(entry) for entry in entries]
        names = {label: str(entry["name"]) for label, entry in enumerate(entries)}
        nominal = {
            label: float(entry["nominal"])
            for label, entry in enumerate(entries)
            if "nominal" in entry
        }
        planes = {
            label: frozenset(int(plane) for plane in entry["planes"])
            for label, entry in enumerate(entries)
            if "planes" in entry
        }
        backgrounds = _backgrounds(entries, names)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the regions cannot be read: {type(error).__name__} ({error})",
            hint='Expected {"regions": [{"name": "liver", "disc": [row, column, radius]}]}.',
        ) from error
    return DrawnRegions(names, nominal, dict(enumerate(drawn)), planes, edges, backgrounds)


def _backgrounds(entries: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> dict[int, int]:
    """Return the label of each named background.

    Raises:
        ValueError: a background that is no region.
    """
    labels = {name: label for label, name in names.items()}
    found = {}
    for label, entry in enumerate(entries):
        if "background" in entry:
            if entry["background"] not in labels:
                raise ValueError(f"the background {entry['background']!r} is no region")
            found[label] = labels[entry["background"]]
    return found


def uniform_patches(
    plane: npt.NDArray[np.floating],
    side: int,
    within: tuple[float, float] | None = None,
    mask: BoolArray | None = None,
    clean: npt.NDArray[np.floating] | None = None,
) -> tuple[Box, ...]:
    """Find square patches over uniform material, which do not overlap.

    A patch holds no pixel whose neighbourhood shows an edge, and its smoothed values spread no
    more than noise alone explains. Patches are taken from the top, not by their noise: choosing
    the quietest would lower the figure that is measured in them.

    Args:
        plane: `(H, W)` in any unit.
        side: of a patch in pixels, at least 12.
        within: only where the local mean lies in this range (soft tissue, for a CT plane).
        mask: `(H, W)`, true where to look.
        clean: the same anatomy with less noise, whose smoothed values must spread less than a
            half of the plane's noise: in a noisy plane alone, structure passes for noise.

    Raises:
        MeasurementError: the plane shows no noise.
        ValueError: the side is below 12.
    """
    if side < 12:
        raise ValueError(f"patches must be 12 pixels a side or more, not {side}")
    values = plane.astype(np.float64)
    level = noise_level(values, within, mask)
    local = noise_map(values, _LOCAL)
    mean = ndimage.uniform_filter(values, _LOCAL)
    good = (local > _QUIETEST * level) & (local < _LOUDEST * level)
    if within is not None:
        good &= (mean > within[0]) & (mean < within[1])
    if mask is not None:
        good &= mask
    spreads = [(mean, 2.5 * level)]
    if clean is not None:
        quiet = ndimage.uniform_filter(clean.astype(np.float64), _LOCAL)
        spreads.append((quiet, _CLEAN_SPREAD * level))
    return tuple(_pack(good, spreads, side))


def body_mask(plane: npt.NDArray[np.floating], above: float) -> BoolArray:
    """Return `(H, W)`: the largest object above a value, with the cavities inside it.

    Args:
        plane: `(H, W)` in any unit.
        above: in that unit; lower is air.

    Returns:
        False everywhere where there is no such object.
    """
    dense = ndimage.binary_opening(plane > above, iterations=2)
    labels, count = ndimage.label(dense)
    if count == 0:
        return np.zeros(plane.shape, np.bool_)
    sizes = np.bincount(labels.ravel())[1:]
    body: BoolArray = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes)))
    return body


def phantom_body(plane: npt.NDArray[np.floating]) -> Disc:
    """Find the round body of a phantom: the largest bright object.

    Raises:
        MeasurementError: it is not round within 6 % of its area, or touches the border.
    """
    smooth = ndimage.gaussian_filter(plane.astype(np.float64), 2.0)
    bright = smooth > float(threshold_otsu(smooth))  # type: ignore[no-untyped-call]
    labels, count = ndimage.label(ndimage.binary_opening(bright, iterations=4))
    if count == 0:
        raise MeasurementError("no object stands out of the plane")
    largest = 1 + int(np.argmax(ndimage.sum_labels(bright, labels, np.arange(1, count + 1))))
    body = ndimage.binary_fill_holes(labels == largest)
    disc = _fitted_disc(body)
    misfit = float((body ^ disc.mask(body.shape)).sum()) / float(body.sum())
    if misfit > _ROUNDEST_MISFIT:
        raise MeasurementError(
            f"the largest object differs from a disc in {misfit:.0%} of its area, expected "
            f"{_ROUNDEST_MISFIT:.0%} or less"
        )
    return disc


def phantom_inserts(plane: npt.NDArray[np.floating], body: Disc) -> tuple[Disc, ...]:
    """Find round inserts in a phantom's body, by their contrast to its most frequent value.

    Args:
        plane: `(H, W)` in any unit.
        body: as `phantom_body` finds it.
    """
    smooth = ndimage.gaussian_filter(plane.astype(np.float64), 1.5)
    inside = body.mask(plane.shape, margin=8.0)
    middle = float(np.median(smooth[inside]))
    spread = MAD_TO_SD * float(np.median(np.abs(smooth[inside] - middle)))
    found = []
    for sign in (1.0, -1.0):
        contrast = sign * (smooth - middle) * inside
        labels, count = ndimage.label(contrast > max(6.0 * spread, 1e-9))
        for part in range(1, count + 1):
            height = float(np.percentile(contrast[labels == part], 80))
            half, _ = ndimage.label((contrast > height / 2.0) & inside)
            seed = np.unravel_index(np.argmax(contrast * (labels == part)), contrast.shape)
            insert = half == half[seed]
            disc = _fitted_disc(insert)
            misfit = float((insert ^ disc.mask(insert.shape)).sum()) / float(insert.sum())
            if disc.radius >= _SMALLEST_RADIUS_PX and misfit < 0.2:
                found.append(disc)
    return tuple(found)


def _drawn(entry: Mapping[str, Any]) -> Disc | Box:
    """Return the shape of a JSON entry.

    Raises:
        ValueError: neither disc nor box, or without an area.
    """
    if "disc" in entry:
        row, column, radius = (float(part) for part in entry["disc"])
        if not (radius > 0 and math.isfinite(row + column + radius)):
            raise ValueError(f"a disc of radius {radius:g}")
        return Disc(row, column, radius)
    top, left, height, width = (int(part) for part in entry["box"])
    if min(top, left) < 0 or min(height, width) <= 0:
        raise ValueError(f"a box of {height} x {width} at {top}, {left}")
    return Box(top, left, height, width)


def _pack(good: BoolArray, spreads: Sequence[tuple[RealArray, float]], side: int) -> list[Box]:
    """Return boxes of good pixels, from the top, none overlapping.

    Args:
        good: `(H, W)`, true where a patch may lie.
        spreads: smoothed values `(H, W)`, and how much they may spread over a patch.
        side: of a patch.
    """
    rows, columns = (size - side + 1 for size in good.shape)
    if rows < 1 or columns < 1:
        return []
    # Filters look around a pixel; the box's first pixel is half a side before it.
    half = side // 2
    where = (slice(half, half + rows), slice(half, half + columns))
    free = ndimage.minimum_filter(good, side)[where]
    for mean, most in spreads:
        span = ndimage.maximum_filter(mean, side) - ndimage.minimum_filter(mean, side)
        free = free & (span[where] < most)
    boxes: list[Box] = []
    for top in range(rows):
        while free[top].any():
            left = int(np.argmax(free[top]))
            boxes.append(Box(top, left, side, side))
            free[top : top + side, max(left - side + 1, 0) : left + side] = False
    return boxes


def _fitted_disc(shape: BoolArray) -> Disc:
    """Return the disc with the centroid and the area of a shape."""
    row, column = ndimage.center_of_mass(shape)
    return Disc(float(row), float(column), math.sqrt(float(shape.sum()) / math.pi))

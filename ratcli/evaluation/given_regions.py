"""Regions that the user gives: drawn discs and boxes, or a label map.

Files are opened elsewhere. No torch here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ratcli.errors import UsageError
from ratcli.regions import LabelArray
from ratcli.scan import BoolArray, Box, FloatArray

_FINE = 5


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
        """Name of each label; labels without a name are called by their number."""

    @property
    def nominal(self) -> Mapping[int, float]:
        """Known values of some labels, in the scan's unit."""

    @property
    def backgrounds(self) -> Mapping[int, int]:
        """Label of the background beside which a label's contrast is measured, where named."""

    @property
    def spans_planes(self) -> bool:
        """Whether a label means the same region in every plane."""

    def labels(self, plane: int, shape: tuple[int, int]) -> LabelArray:
        """Return int32 `(H, W)`: the label of each pixel, -1 outside all regions."""


def region_name(regions: RegionSource | None, label: int) -> str:
    """Return the name of a label; without one, its number."""
    names = {} if regions is None else regions.names
    return names.get(label, f"region {label}")


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
    def spans_planes(self) -> bool:
        """Always true: a drawn region is the same one in all its planes."""
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
        background: the label outside all regions, None if every label is a region.
        names: of labels; others are called by their number.
        nominal: known values of some labels, in the scan's unit.
        spans_planes: whether a label means the same region in every plane.
        backgrounds: label of the background of some labels.
    """

    read: Callable[[int], npt.NDArray[np.generic]]
    background: int | None = 0
    names: Mapping[int, str] = field(default_factory=dict)
    nominal: Mapping[int, float] = field(default_factory=dict)
    spans_planes: bool = True
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

    The format: `{"regions": [{"name": "liver", "disc": [row, column, radius], "planes": [3, 4],
    "nominal": 60}, {"name": "lesion", "box": [top, left, height, width], "background": "liver"}],
    "edges": [{"name": "insert", "disc": [row, column, radius]}, {"name": "wall", "box": [top,
    left, height, width]}]}`; `planes` (counted from 0; all of them if left out), `nominal` (the
    true value, if known), `background` (the region beside which contrast is measured; the ring
    around it if left out) and `edges` (round or straight, to measure resolution at) are optional.

    Raises:
        UsageError: the text is not JSON of this form.
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
        ValueError: a background is not among the regions.
    """
    labels = {name: label for label, name in names.items()}
    found = {}
    for label, entry in enumerate(entries):
        if "background" in entry:
            if entry["background"] not in labels:
                raise ValueError(f"the background {entry['background']!r} is not among the regions")
            found[label] = labels[entry["background"]]
    return found


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

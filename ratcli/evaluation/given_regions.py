"""Regions that the user gives: drawn discs and boxes, or a region map.

Files are opened elsewhere. No torch here.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ratcli.errors import UsageError
from ratcli.regions import LabelArray
from ratcli.scan import BoolArray, Box, FloatArray

_Value = TypeVar("_Value")

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


@dataclass(frozen=True, kw_only=True)
class RegionSource(ABC):
    """Regions to measure in, plane by plane.

    Attributes:
        names: of labels; others are called by their number.
        nominal: known values of some labels, in the scan's unit.
        backgrounds: label of the background beside which a label's contrast is measured, where
            named.
        spans_planes: whether a label means the same region in every plane.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    nominal: Mapping[int, float] = field(default_factory=dict)
    backgrounds: Mapping[int, int] = field(default_factory=dict)
    spans_planes: bool = True

    @abstractmethod
    def labels(self, plane: int, shape: tuple[int, int]) -> LabelArray:
        """Return int32 `(H, W)`: the label of each pixel, -1 outside all regions.

        Raises:
            UsageError: a region map has another size than the scan.
        """


def region_name(regions: RegionSource | None, label: int) -> str:
    """Return the name of a label; without one, its number."""
    names = {} if regions is None else regions.names
    return names.get(label, f"region {label}")


@dataclass(frozen=True, kw_only=True)
class DrawnRegions(RegionSource):
    """Discs and boxes, each on all planes or on some; later ones cover earlier ones.

    Attributes:
        shapes: of each label.
        planes: of labels that are not on all of them.
        edges: round (disc) and straight (box) edges by name, to measure resolution at.
    """

    shapes: Mapping[int, Disc | Box]
    planes: Mapping[int, frozenset[int]]
    edges: Mapping[str, Disc | Box] = field(default_factory=dict)

    def labels(self, plane: int, shape: tuple[int, int]) -> LabelArray:
        """Return the label of each pixel; see `RegionSource.labels`."""
        result = np.full(shape, -1, np.int32)
        for label, drawn in self.shapes.items():
            if label in self.planes and plane not in self.planes[label]:
                continue
            where = drawn.mask(shape) if isinstance(drawn, Disc) else drawn.slices
            result[where] = label
        return result


@dataclass(frozen=True)
class MappedRegions(RegionSource):
    """Regions of a region map that is read plane by plane.

    Attributes:
        read: plane index -> integers `(H, W)`.
        background: the label outside all regions, None if every label is a region.
    """

    read: Callable[[int], npt.NDArray[np.generic]]
    background: int | None = 0

    def labels(self, plane: int, shape: tuple[int, int]) -> LabelArray:
        """Return the label of each pixel; see `RegionSource.labels`."""
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
        nominal = _values(entries, "nominal", float)
        planes = _values(entries, "planes", lambda planes: frozenset(map(int, planes)))
        backgrounds = _backgrounds(entries, names)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the regions cannot be read: {type(error).__name__} ({error})",
            hint='Expected {"regions": [{"name": "liver", "disc": [row, column, radius]}]}.',
        ) from error
    return DrawnRegions(
        shapes=dict(enumerate(drawn)),
        planes=planes,
        edges=edges,
        names=names,
        nominal=nominal,
        backgrounds=backgrounds,
    )


def _values(
    entries: Sequence[Mapping[str, Any]], key: str, make: Callable[[Any], _Value]
) -> dict[int, _Value]:
    """Return a value by the label of each entry that has it."""
    return {label: make(entry[key]) for label, entry in enumerate(entries) if key in entry}


def _backgrounds(entries: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> dict[int, int]:
    """Return the label of each named background.

    Raises:
        ValueError: a background is not among the regions.
    """
    labels = {name: label for label, name in names.items()}

    def label_of(background: str) -> int:
        if background not in labels:
            raise ValueError(f"the background {background!r} is not among the regions")
        return labels[background]

    return _values(entries, "background", label_of)


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

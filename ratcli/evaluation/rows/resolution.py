"""Rows of resolution: transfer functions at round and straight edges. No torch here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ratcli.errors import MeasurementError
from ratcli.evaluation.given_regions import Disc
from ratcli.evaluation.resolution import Transfer, disc_transfer, edge_transfer
from ratcli.evaluation.views import ComparedView, named_images
from ratcli.scan import Box, FloatArray

_MOST_REPEATS = 32
_DISC_MARGIN_PX = 8.0


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
                    margin = min(_DISC_MARGIN_PX, edge.radius)
                    transfer = disc_transfer(planes, self.spacing_mm, centre, edge.radius, margin)
                rows.append(TransferRow(image, name, transfer))
            except MeasurementError as error:
                notes.append(f"No transfer function of {image} at {name}: {error}.")
        return tuple(rows), tuple(notes)


def _around(edge: Disc | Box, shape: tuple[int, ...]) -> Box:
    """Return a box that holds an edge and its margin."""
    if isinstance(edge, Box):
        return edge
    reach = edge.radius + min(_DISC_MARGIN_PX, edge.radius) + 1.0
    top, left = max(math.floor(edge.row - reach), 0), max(math.floor(edge.column - reach), 0)
    bottom = min(math.ceil(edge.row + reach) + 1, shape[0])
    right = min(math.ceil(edge.column + reach) + 1, shape[1])
    return Box(top, left, bottom - top, right - left)

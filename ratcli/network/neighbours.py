"""Neighbouring planes of a series, as further channels of what a network sees and returns.

For each neighbour there are the difference from the plane, and a channel that tells how near the
neighbour is. Both are zero where there is no neighbour: at the ends of a series, in a single file.

A network returns, besides the change of the plane, the share of each difference that is added to
it, pixel by pixel: a third of both where the anatomy stays the same, nothing where it moves. A
network that has to find the noise of the plane by itself learns to use neighbours very slowly: it
would have to carry the difference, pixel by pixel, through all of its layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ratcli.scan import BoolArray, FloatArray

if TYPE_CHECKING:
    from torch import Tensor

_HALF_MM = 3.0


@dataclass(frozen=True)
class Neighbour:
    """A plane beside another one.

    Attributes:
        values: `(C, H, W)`, of the same shape and unit as the plane.
        gap_mm: distance between the two.
        known: `(H, W)`, false where the neighbour has no measurement; None for nowhere.
    """

    values: FloatArray
    gap_mm: float
    known: BoolArray | None = None

    def scaled(self, factor: np.float32) -> Neighbour:
        """Return the neighbour with its values multiplied by a factor."""
        return replace(self, values=self.values * factor)


Neighbours = Sequence[Neighbour | None]
"""The planes before and after a plane, then the second ones before and after it."""


def input_channels(channels: int, context: int) -> int:
    """Return the channels that a network sees.

    Args:
        channels: of a plane.
        context: neighbouring planes on each side.
    """
    return channels * (1 + 2 * context) + 2 * context


def output_channels(channels: int, context: int) -> int:
    """Return the channels that a network returns: the change, and the share of each neighbour."""
    return channels * (1 + 2 * context)


def added(image: Tensor, output: Tensor, channels: int, axis: int) -> Tensor:
    """Return restored planes: the change and the shares of neighbours, added to the planes.

    Args:
        image: what the network sees; on the axis, the plane, the differences, and more.
        output: what its last layer returns, of `output_channels`.
        channels: of a plane.
        axis: of the channels.
    """
    restored = image.narrow(axis, 0, channels) + output.narrow(axis, 0, channels)
    for first in range(channels, output.shape[axis], channels):
        share = output.narrow(axis, first, channels)
        restored = restored + share * image.narrow(axis, first, channels)
    return restored


def with_neighbours(plane: FloatArray, neighbours: Neighbours, context: int) -> FloatArray:
    """Return a plane with the channels of its neighbours behind its own.

    Args:
        plane: `(C, H, W)`.
        neighbours: as far as there are any; further ones than `context` are not used.
        context: neighbouring planes on each side that the network sees.

    Returns:
        float32 `(input_channels(C, context), H, W)`; first the plane, then all differences from
        it, then the nearness of each neighbour: 1 at no distance, 1/2 at 3 mm.
    """
    if not context:
        return plane
    channels = len(plane)
    seen = np.zeros((input_channels(channels, context), *plane.shape[1:]), np.float32)
    seen[:channels] = plane
    for number, neighbour in enumerate(neighbours[: 2 * context]):
        if neighbour is None:
            continue
        first = channels * (1 + number)
        difference = neighbour.values - plane
        if neighbour.known is not None:
            difference = np.where(neighbour.known, difference, np.float32(0))
        seen[first : first + channels] = difference
        seen[channels * (1 + 2 * context) + number] = _HALF_MM / (_HALF_MM + neighbour.gap_mm)
    return seen

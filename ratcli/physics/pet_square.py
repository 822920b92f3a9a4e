"""Cuts the active square out of a plane, and shrinks it so that OSEM stays fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

LARGEST = 160
"""Rows and columns of the largest square that is reconstructed."""


@dataclass(frozen=True)
class ActiveSquare:
    """Where a shrunk square stands in a plane.

    Attributes:
        factor: pixels of the plane for each one of the shrunk square and axis.
        top: first row of the square, negative where it leaves the plane.
        left: first column.
        side: rows and columns before shrinking.
        shape: rows and columns of the plane.
    """

    factor: int
    top: int
    left: int
    side: int
    shape: tuple[int, int]

    @classmethod
    def around(cls, plane: Tensor) -> ActiveSquare:
        """Return the square around the active pixels of a plane `(H, W)`."""
        active = plane > 0.01 * plane.max()
        rows, columns = active.any(1).nonzero()[:, 0], active.any(0).nonzero()[:, 0]
        low = (int(rows[0]), int(columns[0]))
        high = (int(rows[-1]) + 1, int(columns[-1]) + 1)
        extent = max(high[0] - low[0], high[1] - low[1]) + 8
        factor = math.ceil(extent / LARGEST)
        # Multiples of 32: planes of a scan share their system matrices.
        side = factor * 32 * math.ceil(extent / factor / 32)
        top, left = ((a + b - side) // 2 for a, b in zip(low, high, strict=True))
        return cls(factor, top, left, side, (plane.shape[0], plane.shape[1]))

    def cut(self, plane: Tensor) -> Tensor:
        """Cut the square out, with zeros outside the plane, and average it to its shrunk size."""
        height, width = self.shape
        low_y, low_x = max(0, self.top), max(0, self.left)
        part = plane[low_y : self.top + self.side, low_x : self.left + self.side]
        edges = (
            low_x - self.left, max(0, self.left + self.side - width),
            low_y - self.top, max(0, self.top + self.side - height),
        )  # fmt: skip
        square = F.pad(part, edges)
        return square if self.factor == 1 else F.avg_pool2d(square[None], self.factor)[0]

    def grow(self, small: Tensor) -> Tensor:
        """Put a shrunk square back into a plane of zeros."""
        square = small
        if self.factor > 1:
            square = F.interpolate(
                small[None, None], scale_factor=self.factor, mode="bicubic", align_corners=False
            )[0, 0]
        plane = small.new_zeros(self.shape)
        low_y, low_x = max(0, self.top), max(0, self.left)
        high_y = min(self.shape[0], self.top + self.side)
        high_x = min(self.shape[1], self.left + self.side)
        plane[low_y:high_y, low_x:high_x] = square[
            low_y - self.top : high_y - self.top, low_x - self.left : high_x - self.left
        ]
        return plane

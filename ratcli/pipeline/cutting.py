"""Panes: planes that are too large to be one plane are cut, and what comes of it is blended.

Each pane is restored as if it were a plane, with its own regions, which changes the result. For
this reason the cut is recorded in the provenance. Tiles, which change nothing but rounding, are
the network's (`ratcli.network.tiles`), because they are cut anew before each of its layers.

Panes come row by row. Each is read with a margin, by which it reaches into its neighbours, and
written without. Beyond the border of an earlier pane, the result fades linearly from that pane to
the next one, over a part of the margin: only that part is kept in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ratcli.scan import Box, FloatArray, ScanInfo

_Sample = TypeVar("_Sample", bound=np.generic)

# Planes with more pixels on the output's grid are cut.
WHOLE_PIXELS = 2048 * 2048
# Side on the output's grid of what is written of each pane. Tiles of slides divide it.
WRITTEN_SIDE = 1024
# Pixels of the output over which one pane fades into the next.
FADE_PX = 32


@dataclass(frozen=True)
class Pane:
    """A part of a plane, or all of it. Boxes are on the input's grid, None for the whole plane.

    Attributes:
        read: what is read and restored.
        write: what of it is written.
    """

    read: Box | None = None
    write: Box | None = None

    @property
    def shape(self) -> tuple[int, int] | None:
        """Rows and columns that are read; None for a whole plane."""
        return None if self.read is None else (self.read.height, self.read.width)

    def written(self, values: npt.NDArray[_Sample]) -> npt.NDArray[_Sample]:
        """Cut what is written out of what was read, `(..., H, W)` on the input's grid."""
        if self.read is None or self.write is None:
            return values
        top, left = self.write.top - self.read.top, self.write.left - self.read.left
        return values[..., top : top + self.write.height, left : left + self.write.width]


@dataclass(frozen=True)
class Cut:
    """How the planes of a scan are cut, in pixels of the input's grid.

    Attributes:
        height: rows of a plane.
        width: columns of a plane.
        step: side of what is written of each pane; 0 for whole planes.
        margin: pixels by which a pane reaches into its neighbours.
    """

    height: int
    width: int
    step: int = 0
    margin: int = 0

    @classmethod
    def of(cls, info: ScanInfo, scale: int, side: int = 0, overlap: int = 64) -> Cut:
        """Return the cut for a scan.

        Args:
            info: the scan.
            scale: output pixels for each input pixel and axis.
            side: of the panes on the output's grid, margins included; 0 to cut only planes that
                are too large.
            overlap: wanted margin, on the input's grid; a pane is at most half margin.
        """
        height, width = info.height, info.width
        if not side and height * width * scale**2 > WHOLE_PIXELS:
            side = WRITTEN_SIDE + 2 * overlap * scale
        if not side or side >= max(height, width) * scale:
            return cls(height, width)
        margin = min(overlap, side // scale // 4)
        return cls(height, width, max(1, side // scale - 2 * margin), margin)

    @property
    def recorded(self) -> tuple[str, ...]:
        """What the provenance records, in pixels of the input; nothing for whole planes."""
        return (f"pane={self.step + 2 * self.margin},{self.margin}",) if self.step else ()

    @property
    def pixels(self) -> int:
        """Pixels of the largest pane."""
        side = self.step + 2 * self.margin if self.step else max(self.height, self.width)
        return min(side, self.height) * min(side, self.width)

    def panes(self) -> list[Pane]:
        """List the panes of a plane, row by row."""
        if not self.step:
            return [Pane()]
        return [
            self._pane(top, left)
            for top in range(0, self.height, self.step)
            for left in range(0, self.width, self.step)
        ]

    def _pane(self, top: int, left: int) -> Pane:
        write = Box(top, left, min(self.step, self.height - top), min(self.step, self.width - left))
        first_row, first_column = max(0, top - self.margin), max(0, left - self.margin)
        end_row = min(self.height, top + write.height + self.margin)
        end_column = min(self.width, left + write.width + self.margin)
        read = Box(first_row, first_column, end_row - first_row, end_column - first_column)
        return Pane(read, write)


class Blending:
    """Joins the panes of a plane, which come row by row, into parts that fade into each other.

    Args:
        cut: how planes are cut.
        scale: output pixels for each input pixel and axis.
    """

    def __init__(self, cut: Cut, scale: int) -> None:
        self._fade = min(cut.margin * scale, FADE_PX)
        self._width = cut.width * scale
        self._scale = scale
        self._right: FloatArray | None = None
        self._below: FloatArray | None = None

    def join(self, pane: Pane, values: FloatArray) -> FloatArray:
        """Return what is written of a pane.

        Args:
            pane: the next one of the plane.
            values: `(C, h, w)`, restored, with its margins, on the output's grid.

        Returns:
            `(C, h, w)` on the output's grid, in the box that is written.
        """
        if pane.read is None or pane.write is None:
            return values
        write, read = pane.write.scaled(self._scale), pane.read.scaled(self._scale)
        # The margins above and to the left were written with earlier panes.
        values = values[:, write.top - read.top :, write.left - read.left :].copy()
        right = values[:, :, write.width : write.width + self._fade].copy()
        if write.left and self._right is not None:
            _fade_in(self._right, values.swapaxes(1, 2), self._fade)
        self._right = right.swapaxes(1, 2)
        if self._below is None:
            self._below = np.zeros((len(values), self._fade, self._width), np.float32)
        columns = slice(write.left, write.left + write.width)
        if write.top:
            _fade_in(self._below[:, :, columns], values[:, :, : write.width], self._fade)
        below = values[:, write.height : write.height + self._fade, : write.width]
        self._below[:, : below.shape[1], columns] = below
        return values[:, : write.height, : write.width]


def _fade_in(earlier: FloatArray, values: FloatArray, length: int) -> None:
    """Fade from an earlier pane's margin into the first rows of the next pane, in place."""
    rows = min(earlier.shape[1], values.shape[1])
    share = (np.arange(1, rows + 1, dtype=np.float32) / (length + 1))[:, None]
    before, after = earlier[:, :rows, : values.shape[2]], values[:, :rows]
    # In this form, values on which both agree stay as they are.
    values[:, :rows] = before + share * (after - before)

"""The frame: planes are extended by reflection before a network, and cut back after it.

The published network pads features with zeros in its convolutions, and planes at the bottom and on
the right with their last row and column. Tissue that fills the frame comes out wrong in its first
rows: at 1000 HU by 7 HU, with the weights `ct-denoise-1` by 16 HU. With 8 reflected pixels on each
side it is 1 HU or less; 16 pixels give no more. How planes are padded is the engine's choice. The
network itself keeps the authors' way, to give their numbers and to learn as theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ratcli.regions import LabelArray
from ratcli.scan import FloatArray

FRAME_PX = 8
"""Reflected pixels on each side, on the output's grid."""

_IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class ReflectedFrame:
    """How planes of one shape are extended.

    Attributes:
        height: rows of a plane.
        width: columns of a plane.
        scale: output pixels for each input pixel and axis.
        multiple: sides on the output's grid become a multiple of this.
    """

    height: int
    width: int
    scale: int
    multiple: int

    def extended(self, plane: FloatArray) -> FloatArray:
        """Return `(C, H + a, W + b)` of a plane `(C, H, W)`."""
        rows, columns = self._places(self.height), self._places(self.width)
        return plane[:, rows[:, None], columns]

    def extended_labels(self, labels: LabelArray) -> LabelArray:
        """Return the regions of an extended plane, of those on the output's grid."""
        rows, columns = (self._fine(self._places(size)) for size in (self.height, self.width))
        return labels[rows[:, None], columns]

    def cut_back(self, restored: FloatArray) -> FloatArray:
        """Return `(C, s*H, s*W)` of an extended plane that was restored."""
        start, scale = self._margin * self.scale, self.scale
        rows = slice(start, start + self.height * scale)
        return restored[:, rows, start : start + self.width * scale]

    @property
    def _margin(self) -> int:
        return math.ceil(FRAME_PX / self.scale)

    def _places(self, size: int) -> _IndexArray:
        """Return which pixel of an axis each pixel of the extended one shows."""
        step = math.lcm(self.multiple, self.scale) // self.scale
        after = self._margin + -(size + 2 * self._margin) % step
        return np.pad(np.arange(size), (self._margin, after), mode="reflect")

    def _fine(self, places: _IndexArray) -> _IndexArray:
        fine = places[:, None] * self.scale + np.arange(self.scale)
        return fine.ravel()

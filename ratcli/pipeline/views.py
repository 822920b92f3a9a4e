"""The eight views of a plane: four quarter turns, each plain and mirrored.

A network that is not exactly symmetric errs differently in each view. The mean of the views errs
less than one of them, and their variance shows where the network errs.

Source: Timofte et al., Seven ways to improve example-based single image super resolution,
CVPR 2016, section 3.7 (enhanced prediction).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ratcli.pipeline.settings import VIEWS
from ratcli.scan import FloatArray

_Sample = TypeVar("_Sample", bound=np.generic)


def turn(plane: npt.NDArray[_Sample], view: int) -> npt.NDArray[_Sample]:
    """Return a view of a plane.

    Args:
        plane: `(..., H, W)`.
        view: 0, the plane itself, to 7.

    Returns:
        `(..., H, W)`, or `(..., W, H)` for odd views.
    """
    mirrored = plane[..., ::-1] if view >= VIEWS // 2 else plane
    return np.rot90(mirrored, view % 4, axes=(-2, -1))


def turn_back(plane: npt.NDArray[_Sample], view: int) -> npt.NDArray[_Sample]:
    """Return the plane of which `turn` made a view."""
    straight: npt.NDArray[_Sample] = np.rot90(plane, -(view % 4), axes=(-2, -1))
    return straight[..., ::-1] if view >= VIEWS // 2 else straight


class RunningMean:
    """Mean and variance of planes that were restored several times.

    The mean moves from one sample to the next (Welford), so that it is exact if all agree.

    Attributes:
        means: of each plane, `(C, H, W)`.
    """

    def __init__(self) -> None:
        self.means: list[FloatArray] = []
        self._squares: list[FloatArray] = []
        self._count = 0

    def add(self, restored: Sequence[FloatArray]) -> None:
        """Take in one sample of every plane, `(C, H, W)` each."""
        self._count += 1
        if self._count == 1:
            self.means = list(restored)
            self._squares = [np.zeros_like(plane) for plane in restored]
            return
        for index, plane in enumerate(restored):
            before = plane - self.means[index]
            self.means[index] = self.means[index] + before / np.float32(self._count)
            self._squares[index] = self._squares[index] + before * (plane - self.means[index])

    @property
    def variances(self) -> list[FloatArray] | None:
        """Variance of each plane (one degree of freedom less than samples); None for one sample."""
        if self._count < 2:
            return None
        return [square / np.float32(self._count - 1) for square in self._squares]

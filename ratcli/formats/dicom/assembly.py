"""Planes that arrive in boxes, put together."""

from __future__ import annotations

import numpy as np

from ratcli.scan import Box, FloatArray


class PlaneAssembly:
    """Collects the boxes of planes until each plane is whole.

    Args:
        planes: number of planes.
        shape: `(C, H, W)` of a plane.
    """

    def __init__(self, planes: int, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._missing = set(range(planes))
        self._open: dict[int, tuple[FloatArray, np.ndarray[tuple[int, int], np.dtype[np.bool_]]]]
        self._open = {}

    @property
    def complete(self) -> bool:
        """Whether every plane came."""
        return not self._missing

    def add(self, plane: int, values: FloatArray, box: Box | None) -> FloatArray | None:
        """Take a plane or a box of it; return the plane once it is whole, else None.

        Raises:
            ValueError: the plane came before, does not exist, or has another size.
        """
        if plane not in self._missing:
            raise ValueError(f"plane {plane} is not one of those still to come")
        if box is None:
            if values.shape != self.shape:
                raise ValueError(f"a plane is {self.shape}, not {values.shape}")
            self._missing.discard(plane)
            self._open.pop(plane, None)
            return values
        return self._add_box(plane, values, box)

    def _add_box(self, plane: int, values: FloatArray, box: Box) -> FloatArray | None:
        if plane not in self._open:
            covered = np.zeros(self.shape[1:], np.bool_)
            self._open[plane] = np.zeros(self.shape, np.float32), covered
        whole, covered = self._open[plane]
        rows, columns = box.slices
        if values.shape != whole[:, rows, columns].shape:
            raise ValueError(f"values {values.shape} do not fill the box {tuple(box)}")
        whole[:, rows, columns] = values
        covered[rows, columns] = True
        if not covered.all():
            return None
        del self._open[plane]
        self._missing.discard(plane)
        return whole

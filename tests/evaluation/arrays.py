"""Scans made of arrays, which speak as any format's reader does."""

from __future__ import annotations

from types import TracebackType

import numpy as np
from typing_extensions import Self

from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo


class ArrayReader:
    """An open scan in memory.

    Args:
        volume: `(D, C, H, W)` in the unit.
        unit: of the values.
        spacing_mm: between planes, rows and columns.
        padding: `(H, W)`, true in padding, the same in each plane.
    """

    def __init__(
        self,
        volume: np.ndarray,
        unit: str | None = "HU",
        spacing_mm: tuple[float | None, float | None, float | None] = (3.0, 0.7, 0.7),
        padding: np.ndarray | None = None,
    ) -> None:
        self.volume = volume.astype(np.float32)
        self._padding = padding
        planes, channels, height, width = volume.shape
        modality = {"HU": "CT", "SUV": "PT", "Bq/ml": "PT", "RGB": "SM"}.get(unit or "")
        self.info = ScanInfo(
            planes, channels, height, width, spacing_mm, modality, unit, 16, "array"
        )

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        values = self.volume[plane]
        return values if box is None else values[(slice(None), *box.slices)]

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        whole = np.zeros(self.volume.shape[-2:], np.bool_)
        return (whole if self._padding is None else self._padding)[box.slices if box else ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

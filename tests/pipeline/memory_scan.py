"""A scan in memory, to test the pipe without a format."""

from __future__ import annotations

import numpy as np

from ratcli.pipeline import Outputs, RestoreSummary, restore_scan
from ratcli.pipeline.model import Model
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo


class MemoryScan:
    """Reader and writer over an array `(planes, C, H, W)`."""

    def __init__(
        self,
        values: FloatArray,
        modality: str | None = "CT",
        unit: str | None = "HU",
        padding: BoolArray | None = None,
        positions_mm: tuple[float, ...] | None = None,
    ) -> None:
        self.reads: list[int] = []
        planes, channels, height, width = values.shape
        self.values = values
        self.written = np.full_like(values, np.nan)
        self.boxes: list[Box | None] = []
        self._padding = padding
        self.info = ScanInfo(
            planes, channels, height, width, (None, 1.0, 1.0), modality, unit, 16, "memory",
            positions_mm=positions_mm,
        )  # fmt: skip

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        self.reads.append(plane)
        values = self.values[plane]
        return values if box is None else values[:, box.slices[0], box.slices[1]]

    def padding(self, plane: int, box: Box | None = None) -> BoolArray:
        if self._padding is None:
            return np.zeros(self.values.shape[2:], bool)[box.slices if box else ...]
        return self._padding[plane][box.slices if box else ...]

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        self.boxes.append(box)
        if box is None:
            self.written[plane] = values
        else:
            self.written[plane][:, box.slices[0], box.slices[1]] = values

    def __enter__(self) -> MemoryScan:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def run(
    model: Model,
    scan: MemoryScan,
    *,
    residual: MemoryScan | None = None,
    uncertainty: MemoryScan | None = None,
    **more: object,
) -> RestoreSummary:
    """Restore a scan into itself; see `restore_scan`."""
    return restore_scan(scan, Outputs(scan, residual, uncertainty), model, **more)

"""Arrays as scans: a reader that reads from an array, and a writer that fills one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ratcli.batch.closing import Closing
from ratcli.scan import BoolArray, Box, FloatArray, ScanInfo
from ratcli.task import Task

AnyArray = npt.NDArray[Any]


class ArrayReader(Closing):
    """Reads planes of an array, as `ScanReader` does.

    Args:
        values: gray `(H, W)` or `(N, H, W)`, RGB `(H, W, 3)` or `(N, H, W, 3)`, in the task's
            first unit; RGB of 8 bits is taken as 0 to 255. NaN is padding.
        task: the task it is read for.

    Raises:
        ValueError: the array has other axes.
    """

    def __init__(self, values: AnyArray, task: Task) -> None:
        axes = 2 if task.channels == 1 else 3
        if values.ndim not in (axes, axes + 1) or values.size == 0:
            shapes = "(H, W) or (N, H, W)" if axes == 2 else "(H, W, 3) or (N, H, W, 3)"
            raise ValueError(f"{task.name} takes arrays {shapes}, not {values.shape}")
        planes = values if values.ndim == axes + 1 else values[None]
        self._planes = planes[:, None] if axes == 2 else np.moveaxis(planes, -1, 1)
        self._gain = np.float32(1 / 255 if axes == 3 and values.dtype == np.uint8 else 1)
        count, channels, height, width = self._planes.shape
        self.info = ScanInfo(
            planes=count,
            channels=channels,
            height=height,
            width=width,
            spacing_mm=(None, None, None),
            modality=None,
            unit=task.units[0],
            bits=8 * values.dtype.itemsize,
            format="array",
        )

    def read(self, plane: int, box: Box | None = None) -> FloatArray:
        """Read a plane or a box; see `ScanReader.read`."""
        values: FloatArray = self._planes[plane].astype(np.float32) * self._gain
        if box is None:
            return values
        rows, columns = box.slices
        return values[:, rows, columns]

    def padding(self, plane: int) -> BoolArray:
        """Return where a plane is NaN, `(H, W)`."""
        missing: BoolArray = np.isnan(self._planes[plane].astype(np.float32)).any(0)
        return missing


class ArrayWriter(Closing):
    """Writes planes into an array, as `ScanWriter` does into a file.

    Args:
        info: facts about the scan that was read.
        scale: output pixels for each input pixel and axis.
    """

    def __init__(self, info: ScanInfo, scale: int) -> None:
        shape = (info.planes, info.channels, info.height * scale, info.width * scale)
        self._planes = np.zeros(shape, np.float32)

    def write(self, plane: int, values: FloatArray, box: Box | None = None) -> None:
        """Write a plane or a box; see `ScanWriter.write`."""
        rows, columns = (slice(None), slice(None)) if box is None else box.slices
        self._planes[plane, :, rows, columns] = values

    def result(self, like: AnyArray) -> FloatArray:
        """Return what was written, with the axes of the array that was read."""
        gray = self._planes.shape[1] == 1
        planes = self._planes[:, 0] if gray else np.moveaxis(self._planes, 1, -1)
        return planes if planes.ndim == like.ndim else planes[0]

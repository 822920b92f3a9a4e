"""Walking maps block by block, so that a block stays in a cache or fits a device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ratcli.scan import Box

# On a CPU: values of one map of a strip (of 2 MB of cache), and its columns.
_STRIP_VALUES = 2**18
_STRIP_COLUMNS = 512
_STRIP_ROWS = 16


class Walk:
    """How maps `(B, H, W, C)` are walked: whole on their device, or in blocks from the host.

    Args:
        device: where products are computed.
        width: columns of the finest map.
        tile: side of the blocks in pixels of the finest map, a multiple of what the coarsest map
            is coarser; 0 for whole maps. A CPU takes strips that are no larger.
    """

    def __init__(self, device: torch.device, width: int, tile: int) -> None:
        self.device = device
        self._width = width
        self._tile = tile
        self.store = torch.device("cpu") if tile else device
        """The device that whole maps lie on."""

    def boxes(self, x: Tensor) -> Iterator[Box]:
        """Cover a map with blocks that do not overlap; sides are even but for the last."""
        _, height, width, channels = x.shape
        rows, columns = self._sides(height, width, channels)
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                yield Box(top, left, min(rows, height - top), min(columns, width - left))

    def _sides(self, height: int, width: int, channels: int) -> tuple[int, int]:
        side = max(2, self._tile * width // self._width) if self._tile else max(height, width)
        if self.device.type == "cpu":
            columns = min(width, side, _STRIP_COLUMNS)
            rows = max(_STRIP_ROWS, _STRIP_VALUES // (columns * channels) // 2 * 2)
            return min(side, rows), columns
        return side, side

    def read(self, x: Tensor, box: Box) -> Tensor:
        """Return a block on the device; a view where the map lies there."""
        rows, columns = box.slices
        return x[:, rows, columns].to(self.device)

    def read_around(self, x: Tensor, box: Box) -> tuple[Tensor, tuple[slice, slice]]:
        """Return a block with the pixels next to it, and the slices of the block therein."""
        height, width = x.shape[1:3]
        top, left = max(0, box.top - 1), max(0, box.left - 1)
        bottom = min(height, box.top + box.height + 1)
        right = min(width, box.left + box.width + 1)
        inside = Box(box.top - top, box.left - left, box.height, box.width)
        return self.read(x, Box(top, left, bottom - top, right - left)), inside.slices

    def write(self, x: Tensor, box: Box, values: Tensor) -> None:
        """Put a block into a map, unless it is a view of it."""
        rows, columns = box.slices
        target = x[:, rows, columns]
        if target.device != values.device or target.data_ptr() != values.data_ptr():
            target.copy_(values)

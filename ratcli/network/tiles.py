"""Tiles: maps go through the convolutions part by part, for the memory of a device or its cache.

A tile is read with the pixels next to it, and what it gives is trimmed to the tile, so that tiles
change the result by rounding alone. The tiles are cut anew before each layer, for which reason this
module stands in the network and not in the pipeline, where larger planes are cut into panes
(`ratcli.pipeline.cutting`).

With `--tile`, whole maps stay on the host. On a CPU, tiles are never larger than its cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ratcli.scan import Box

# On a CPU: values of one map of a tile (of 2 MB of cache), its most columns, its fewest rows.
CACHE_VALUES = 2**18
CACHE_COLUMNS = 512
CACHE_ROWS = 16
# Tokens that go through the linear layers together; on a CPU they stay in its cache.
CACHE_TOKENS = {"cpu": 2048}


Heard = Callable[[float], None]
"""Hears which share of some work is done; may raise an exception, which ends the work."""


def nobody(share: float) -> None:
    """Hear nothing."""


class Steps:
    """Adds up the shares of steps, and tells how much of all is done.

    Args:
        count: of the steps, which take about the same time.
        heard: is told.
    """

    def __init__(self, count: int, heard: Heard) -> None:
        self._count, self._heard, self._done = count, heard, 0.0

    def step(self, share: float) -> None:
        """Hear that a further share of a step is done."""
        self._done += share
        self.within(0.0)

    def within(self, share: float) -> None:
        """Hear which share of the step that is being made is done."""
        self._heard(min(1.0, (self._done + share) / self._count))


class Tiles:
    """Cuts maps `(B, H, W, C)` into tiles, and reads and writes these.

    Args:
        device: where products are computed.
        width: columns of the finest map.
        side: of the tiles in pixels of the finest map, a multiple of the factor by which the
            coarsest map is coarser; 0 for whole maps.
        heard: called after each tile with its share of the map.

    Attributes:
        device: where products are computed.
        store: the device that holds whole maps.
    """

    def __init__(self, device: torch.device, width: int, side: int, heard: Heard = nobody) -> None:
        self.device, self.heard = device, heard
        self.store = torch.device("cpu") if side else device
        self._width = width
        self._side = side

    def cover(self, x: Tensor) -> Iterator[Box]:
        """Cover a map with tiles that do not overlap; sides are even except for the last ones."""
        _, height, width, channels = x.shape
        rows, columns = self._sides(height, width, channels)
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                tile = Box(top, left, min(rows, height - top), min(columns, width - left))
                yield tile
                self.heard(tile.height * tile.width / (height * width))

    def _sides(self, height: int, width: int, channels: int) -> tuple[int, int]:
        side = max(2, self._side * width // self._width) if self._side else max(height, width)
        if self.device.type == "cpu":
            columns = min(width, side, CACHE_COLUMNS)
            rows = max(CACHE_ROWS, CACHE_VALUES // (columns * channels) // 2 * 2)
            return min(side, rows), columns
        return side, side

    def read(self, x: Tensor, tile: Box) -> Tensor:
        """Return a tile on the device; a view if the map is there."""
        rows, columns = tile.slices
        return x[:, rows, columns].to(self.device)

    def read_around(self, x: Tensor, tile: Box) -> tuple[Tensor, tuple[slice, slice]]:
        """Return a tile with the pixels next to it, and the slices of the tile therein."""
        height, width = x.shape[1:3]
        top, left = max(0, tile.top - 1), max(0, tile.left - 1)
        bottom = min(height, tile.top + tile.height + 1)
        right = min(width, tile.left + tile.width + 1)
        inside = Box(tile.top - top, tile.left - left, tile.height, tile.width)
        return self.read(x, Box(top, left, bottom - top, right - left)), inside.slices

    def write(self, x: Tensor, tile: Box, values: Tensor) -> None:
        """Put a tile into a map, unless it is a view of it."""
        rows, columns = tile.slices
        target = x[:, rows, columns]
        if target.device != values.device or target.data_ptr() != values.data_ptr():
            target.copy_(values)


def token_tiles(x: Tensor) -> Iterator[slice]:
    """Cut `(N, C)` tokens into runs of whole windows that fit a CPU's cache."""
    step = CACHE_TOKENS.get(x.device.type, len(x))
    for start in range(0, len(x), step):
        yield slice(start, start + step)


def pad_to_multiple(image: Tensor, labels: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """Extend image and labels at the bottom and right by their last row and column."""
    down, right = (-image.shape[-2] % multiple, -image.shape[-1] % multiple)
    if not down and not right:
        return image, labels
    rows = torch.arange(image.shape[-2] + down, device=image.device).clamp(max=image.shape[-2] - 1)
    columns = torch.arange(image.shape[-1] + right, device=image.device)
    columns = columns.clamp(max=image.shape[-1] - 1)
    return image[..., rows[:, None], columns], labels[..., rows[:, None], columns]

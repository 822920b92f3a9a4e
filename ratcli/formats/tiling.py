"""Planes cut into tiles, tiles put together from boxes, and the smaller versions of a slide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ratcli.formats.quantise import StoredArray
from ratcli.scan import BoolArray, Box, FloatArray

LARGEST_LAST = 1024
"""Most rows or columns of the smallest version: what a viewer shows at once."""


@dataclass(frozen=True)
class TileGrid:
    """How a plane is cut into tiles (or strips), row by row; tiles at the edges may be cut off.

    Attributes:
        height: rows of the plane.
        width: columns of the plane.
        tile_rows: rows of a tile.
        tile_columns: columns of a tile.
    """

    height: int
    width: int
    tile_rows: int
    tile_columns: int

    @property
    def down(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height // self.tile_rows)

    @property
    def across(self) -> int:
        """Tiles from left to right."""
        return -(-self.width // self.tile_columns)

    def area(self, down: int, across: int) -> Box:
        """Return the part of a tile that is on the plane."""
        top, left = down * self.tile_rows, across * self.tile_columns
        height = min(self.tile_rows, self.height - top)
        return Box(top, left, height, min(self.tile_columns, self.width - left))

    def touched(self, box: Box) -> Iterator[tuple[int, int]]:
        """List the tiles that a box touches: tiles above, and tiles to the left."""
        for down in range(box.top // self.tile_rows, -(-(box.top + box.height) // self.tile_rows)):
            first = box.left // self.tile_columns
            for across in range(first, -(-(box.left + box.width) // self.tile_columns)):
                yield down, across


def box_to_fill(values: FloatArray, box: Box | None, shape: tuple[int, int, int]) -> Box:
    """Return the box that values fill: all of the plane if none is given.

    Args:
        values: `(C, H, W)`.
        box: of the plane, or None.
        shape: `(C, H, W)` of the plane.

    Raises:
        ValueError: the values have another shape than the box.
    """
    channels, height, width = shape
    box = box or Box(0, 0, height, width)
    if values.shape != (channels, box.height, box.width):
        raise ValueError(f"values {values.shape} do not fill the box {tuple(box)}")
    return box


class WholeTile(NamedTuple):
    """A tile of which every pixel arrived.

    Attributes:
        plane: index of its plane.
        down: tiles above it.
        across: tiles to its left.
        area: the part of it that is on the plane.
        values: `(H, W, samples)` of that part; not to be changed, since it may be the caller's.
    """

    plane: int
    down: int
    across: int
    area: Box
    values: StoredArray


class TileAssembly:
    """Puts boxes together and returns each tile once it is complete; the others are in memory.

    Args:
        grid: how each plane is cut; a tile as large as the plane gives whole planes.
        planes: number of planes.
    """

    def __init__(self, grid: TileGrid, planes: int = 1) -> None:
        self.grid = grid
        self._done: npt.NDArray[np.bool_] = np.zeros((planes, grid.down, grid.across), np.bool_)
        self._open: dict[tuple[int, int, int], _OpenTile] = {}

    @property
    def is_whole(self) -> bool:
        """Whether every pixel of every plane arrived."""
        return bool(self._done.all())

    def add(self, plane: int, box: Box, values: StoredArray) -> Iterator[WholeTile]:
        """Take a box; yield the tiles that are whole with it.

        Args:
            plane: index of the plane.
            box: where the values belong.
            values: `(H, W, samples)`.

        Raises:
            ValueError: there is no such plane or place, the values do not fill the box, or pixels
                arrive a second time.
        """
        if values.shape[:2] != (box.height, box.width):
            raise ValueError(f"values {values.shape} do not fill the box {tuple(box)}")
        whole = Box(0, 0, self.grid.height, self.grid.width)
        if not 0 <= plane < len(self._done) or box.overlap(whole) != box:
            raise ValueError(f"plane {plane} has no box {tuple(box)}")
        for down, across in self.grid.touched(box):
            area = self.grid.area(down, across)
            part = area.overlap(box)
            piece: StoredArray | None = values[part.within(box).slices]
            if self._done[plane, down, across]:
                raise ValueError(f"a box of plane {plane} was written twice")
            if piece is not None and part != area:
                piece = self._joined((plane, down, across), area, part, piece)
            if piece is not None:
                self._done[plane, down, across] = True
                yield WholeTile(plane, down, across, area, piece)

    def _joined(
        self, tile: tuple[int, int, int], area: Box, part: Box, piece: StoredArray
    ) -> StoredArray | None:
        """Put a piece into an open tile; return the tile once it is whole."""
        if tile not in self._open:
            shape = (area.height, area.width)
            values = np.empty((*shape, *piece.shape[2:]), piece.dtype)
            self._open[tile] = _OpenTile(values, np.zeros(shape, np.bool_))
        opened, place = self._open[tile], part.within(area).slices
        if opened.arrived[place].any():
            raise ValueError(f"a box of plane {tile[0]} was written twice")
        opened.values[place], opened.arrived[place] = piece, True
        if not opened.arrived.all():
            return None
        del self._open[tile]
        return opened.values


@dataclass
class _OpenTile:
    """A tile that is not whole yet: its values `(H, W, samples)`, and which of them arrived."""

    values: StoredArray
    arrived: BoolArray


def halve(block: StoredArray) -> StoredArray:
    """Return the means of 2 x 2 pixels; an odd last row or column counts twice."""
    odd = (block.shape[0] % 2, block.shape[1] % 2)
    if any(odd):
        block = np.pad(block, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
    is_small = block.dtype.kind in "iu" and block.dtype.itemsize <= 2
    wide = np.dtype(np.int32 if is_small else np.float64)
    sums = block[::2, ::2].astype(wide)
    for rows, columns in ((0, 1), (1, 0), (1, 1)):
        sums += block[rows::2, columns::2]
    if is_small:
        return ((sums + 2) >> 2).astype(block.dtype)
    means = sums / 4
    return (np.rint(means) if block.dtype.kind in "iu" else means).astype(block.dtype)


def level_sizes(height: int, width: int, least: int) -> list[tuple[int, int]]:
    """Return the sizes of the smaller versions of a plane, each half of the one before.

    Args:
        height: rows of the plane.
        width: its columns.
        least: how many to make even for a small plane.
    """
    sizes: list[tuple[int, int]] = []
    while (len(sizes) < least or max(height, width) > LARGEST_LAST) and max(height, width) > 1:
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return sizes

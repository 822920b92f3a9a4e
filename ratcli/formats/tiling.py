"""Planes cut into tiles, and tiles put together from the boxes in which a plane arrives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ratcli.formats.quantise import StoredArray
from ratcli.scan import BoolArray, Box, FloatArray


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

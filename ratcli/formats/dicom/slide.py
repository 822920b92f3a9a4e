"""Whole-slide images: which frame covers which part of the slide, and the levels that are written.

Tiles are filled box by box and feed coarser levels.

Source: PS3.3, C.8.12.4 (whole slide microscopy image), C.7.6.17.3 (order of TILED_FULL frames),
C.8.12.14 (multi-resolution pyramid: each level is an image of its own).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.codec import encode
from ratcli.formats.dicom.elements import code, integer, items, text, uid
from ratcli.formats.dicom.frames import FrameFile
from ratcli.formats.dicom.layout import PixelLayout, WordArray
from ratcli.formats.dicom.pixels import FrameStore
from ratcli.formats.tiling import LARGEST_LAST, TileAssembly, TileGrid, WholeTile, halve
from ratcli.scan import Box

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
STEP = 4
"""How much coarser each level is than the one before."""


def is_slide(dataset: Dataset) -> bool:
    """Return whether a header is that of a whole-slide microscopy image."""
    return uid(dataset, "SOPClassUID") == WHOLE_SLIDE


class TilePlace(NamedTuple):
    """A place in the grid of tiles."""

    plane: int
    down: int
    across: int


@dataclass(frozen=True)
class SlideGrid(TileGrid):
    """How a slide is cut into tiles.

    Attributes:
        planes: optical paths times focal planes.
    """

    planes: int = 1

    @property
    def frames(self) -> int:
        """Tiles of all planes."""
        return self.planes * self.down * self.across

    def number(self, tile: TilePlace) -> int:
        """Return the frame of a tile if all tiles are there, row by row, plane by plane."""
        return (tile.plane * self.down + tile.down) * self.across + tile.across

    def scaled(self, scale: int) -> SlideGrid:
        """Return the grid of a slide `scale` times as fine; a tile's sides are multiples of it.

        Otherwise a tile of that grid would not be a whole number of pixels of a coarser level.
        """
        rows, columns = (-(-side // scale) * scale for side in (self.tile_rows, self.tile_columns))
        return SlideGrid(self.height * scale, self.width * scale, rows, columns, self.planes)

    def coarser(self, step: int) -> SlideGrid:
        """Return the grid of a slide that is coarser by a step, with tiles of the same size."""
        height, width = -(-self.height // step), -(-self.width // step)
        return dataclasses.replace(self, height=height, width=width)


def read_grid(sources: Sequence[FrameFile]) -> tuple[SlideGrid, dict[TilePlace, int]]:
    """Read how a slide is tiled.

    Args:
        sources: the file, or the parts of a concatenation in their order.

    Returns:
        The grid, and the frame of each tile that is there; frames are counted through all parts.

    Raises:
        UnreadableInputError: parts are missing, or tiles do not fit the grid.
    """
    source = sources[0]
    dataset, layout, name = source.file.dataset, source.layout, source.path.name
    parts = integer(dataset, "InConcatenationTotalNumber") or 1
    if parts != len(sources):
        raise UnreadableInputError(
            f"{name} is a part of a slide in {parts} files, but {len(sources)} were found",
            hint="Name the folder that holds all of them.",
        )
    height = integer(dataset, "TotalPixelMatrixRows") or layout.rows
    width = integer(dataset, "TotalPixelMatrixColumns") or layout.columns
    groups = [
        group
        for part in sources
        for group in items(part.file.dataset, "PerFrameFunctionalGroupsSequence")
    ]
    full = code(dataset, "DimensionOrganizationType") == "TILED_FULL" or not groups
    paths = integer(dataset, "NumberOfOpticalPaths") or len(items(dataset, "OpticalPathSequence"))
    focal = integer(dataset, "TotalPixelMatrixFocalPlanes") or 1
    planes = max(1, paths) * focal if full else 1
    grid = SlideGrid(height, width, layout.rows, layout.columns, planes)
    if full:
        return grid, _full_index(grid, sum(part.layout.frames for part in sources), name)
    return _sparse_index(grid, groups, name)


def _full_index(grid: SlideGrid, frames: int, name: str) -> dict[TilePlace, int]:
    if frames != grid.frames:
        raise UnreadableInputError(
            f"{name}: the slide has {frames} tiles, but its size needs {grid.frames}"
        )
    return {
        TilePlace(plane, down, across): grid.number(TilePlace(plane, down, across))
        for plane in range(grid.planes)
        for down in range(grid.down)
        for across in range(grid.across)
    }


def _sparse_index(
    grid: SlideGrid, groups: list[Dataset], name: str
) -> tuple[SlideGrid, dict[TilePlace, int]]:
    """Place tiles by their positions; each optical path and depth is a plane."""
    planes: dict[tuple[str, str], int] = {}
    index: dict[TilePlace, int] = {}
    for frame, group in enumerate(groups):
        for place in items(group, "PlanePositionSlideSequence"):
            top = (integer(place, "RowPositionInTotalImagePixelMatrix") or 0) - 1
            left = (integer(place, "ColumnPositionInTotalImagePixelMatrix") or 0) - 1
            if top % grid.tile_rows or left % grid.tile_columns or min(top, left) < 0:
                raise UnreadableInputError(f"{name}: tiles do not lie on a regular grid")
            path = "".join(
                text(item, "OpticalPathIdentifier")
                for item in items(group, "OpticalPathIdentificationSequence")
            )
            depth = text(place, "ZOffsetInSlideCoordinateSystem")
            plane = planes.setdefault((path, depth), len(planes))
            index[TilePlace(plane, top // grid.tile_rows, left // grid.tile_columns)] = frame
    grid = SlideGrid(
        grid.height, grid.width, grid.tile_rows, grid.tile_columns, max(1, len(planes))
    )
    return grid, index


class TileStore:
    """One level. Incomplete tiles are in memory; complete ones are stored encoded.

    Args:
        grid: how the level is cut into tiles.
        layout: of its frames.
        syntax: transfer syntax of its frames.
        folder: where a file without a name may be made.
        smaller: the next level, which gets means of `STEP` x `STEP` pixels; or None.
    """

    def __init__(
        self,
        grid: SlideGrid,
        layout: PixelLayout,
        syntax: UID,
        folder: Path,
        smaller: TileStore | None = None,
    ) -> None:
        self.grid = grid
        self.layout = dataclasses.replace(layout, frames=grid.frames)
        self.smaller = smaller
        self._syntax = syntax
        self._assembly = TileAssembly(grid, grid.planes)
        self.store = FrameStore(self.layout, syntax, folder)

    @property
    def is_whole(self) -> bool:
        """Whether every pixel arrived."""
        return self._assembly.is_whole

    @property
    def levels(self) -> Iterator[TileStore]:
        """This level and the smaller ones."""
        level: TileStore | None = self
        while level is not None:
            yield level
            level = level.smaller

    def put(self, plane: int, box: Box, words: WordArray) -> None:
        """Place words `(H, W, samples)`; each pixel arrives once.

        Raises:
            ValueError: a pixel arrives twice.
            OSError: the disk is full.
        """
        for tile in self._assembly.add(plane, box, words):
            self._finish(tile)

    def close(self) -> None:
        """Forget the tiles of all levels."""
        for level in self.levels:
            level.store.close()

    def _finish(self, tile: WholeTile) -> None:
        data = encode(self._padded(tile.values), self._syntax, self.layout)
        self.store.add(self.grid.number(TilePlace(tile.plane, tile.down, tile.across)), data)
        if self.smaller is not None:
            small = halve(halve(self._samples(tile.values)))
            box = Box(tile.area.top // STEP, tile.area.left // STEP, *small.shape[:2])
            self.smaller.put(tile.plane, box, self.smaller.layout.pack(small.astype(np.int32)))

    def _padded(self, words: WordArray) -> WordArray:
        """Return a whole tile; pixels beyond the slide are white in colour images, else 0."""
        shape = (self.layout.rows, self.layout.columns, self.layout.samples)
        if words.shape == shape:
            return words
        white = self.layout.limits[1] if self.layout.samples > 1 else 0
        padded = self.layout.pack(np.full(shape, white, np.int32))
        padded[: words.shape[0], : words.shape[1]] = words
        return padded

    def _samples(self, words: WordArray) -> np.ndarray[tuple[int, ...], np.dtype[np.integer]]:
        """Return numbers to average: the words themselves if they are plain unsigned samples."""
        plain = not self.layout.signed and self.layout.high_bit == self.layout.stored - 1
        return words if plain else self.layout.unpack(words)


def level_grids(finest: SlideGrid) -> list[SlideGrid]:
    """Return the grids of a pyramid, the finest first."""
    grids = [finest]
    while max(grids[-1].height, grids[-1].width) > LARGEST_LAST:
        grids.append(grids[-1].coarser(STEP))
    return grids


def make_levels(
    grids: Sequence[SlideGrid], layout: PixelLayout, syntax: UID, folder: Path
) -> TileStore:
    """Make the finest level of a slide, and the coarser ones that it feeds.

    Args:
        grids: of the levels, the finest first.
        layout: of their frames.
        syntax: transfer syntax of the frames.
        folder: where files without a name may be made.

    Raises:
        OSError: the folder cannot be written.
    """
    store: TileStore | None = None
    for grid in reversed(grids):
        store = TileStore(grid, layout, syntax, folder, store)
    assert store is not None
    return store

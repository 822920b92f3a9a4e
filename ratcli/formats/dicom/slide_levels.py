"""The levels of a slide that is being written: tiles are filled box by box and feed coarser ones.

Source: PS3.3, C.8.12.14 (multi-resolution pyramid): each level is an image of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydicom.uid import UID

from ratcli.formats.dicom.codec import encode
from ratcli.formats.dicom.layout import PixelLayout, WordArray
from ratcli.formats.dicom.pixels import FrameStore
from ratcli.formats.dicom.slide import SlideGrid, TilePlace
from ratcli.formats.pyramid import LARGEST_LAST, halve
from ratcli.formats.tiling import TileAssembly, WholeTile
from ratcli.scan import Box

STEP = 4
"""How much coarser each level is than the one before."""


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

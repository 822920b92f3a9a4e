"""Reading a box of a page from its tiles or strips, each decoded within limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ratcli.errors import RatError, UnreadableInputError
from ratcli.formats.cache import DecodedCache
from ratcli.formats.limits import check_pixels
from ratcli.formats.quantise import StoredArray
from ratcli.formats.tiff.compressions import (
    APERIO_RGB,
    APERIO_YCBCR,
    JPEG,
    NONE,
    check_declared_size,
    check_jpeg_is_whole,
    is_read,
    undo_aperio_colours,
)
from ratcli.formats.tiff.decoding import decode_apart
from ratcli.formats.tiff.samples import JPEG_COMPRESSIONS
from ratcli.formats.tiling import TileGrid
from ratcli.scan import Box

_SLACK_BYTES = 1 << 20  # what a bad codec may add to a segment


SegmentCache = DecodedCache[StoredArray]
"""The decoded tiles and strips of a file, by page and index."""


class PagePixels:
    """The pixels of a page, checked against the bytes of the file when it is opened.

    Args:
        page: tifffile's page.
        number: the plane's number, for the cache and for messages.
        shift: bytes between this plane and the one that the page describes, for files in which
            one page describes several planes that follow each other.
        max_pixels: most pixels of a tile or strip.

    Raises:
        UnreadableInputError: hostile, truncated, or a compression that is not read.
    """

    def __init__(self, page: Any, number: int, *, shift: int = 0, max_pixels: int) -> None:
        self._page = page
        self._number = number
        self.height, self.width = int(page.imagelength), int(page.imagewidth)
        self.segment_height, self.segment_width = segment_shape(page)
        check_pixels(self.segment_height, self.segment_width, max_pixels)
        check_pixels(self.height, self.width, max(max_pixels, 1 << 62))
        self._grid = TileGrid(self.height, self.width, self.segment_height, self.segment_width)
        self._is_planar = int(page.planarconfig) == 2 and page.samplesperpixel > 1
        if not is_read(int(page.compression)):
            raise UnreadableInputError(
                f"the pixels are compressed with {compression_name(page)}, which is not read",
                hint="Save the image with LZW, deflate, JPEG or JPEG 2000 compression.",
            )
        if int(page.compression) in (APERIO_YCBCR, APERIO_RGB):
            page.keyframe.subsampling = (1, 1)  # the codestream tells; tifffile refuses the tag
        self._offsets, self._counts = self._locate(shift)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a decoded sample, in this machine's byte order."""
        dtype: np.dtype[Any] = np.dtype(self._page.dtype).newbyteorder("=")
        return dtype

    def read(self, box: Box, cache: SegmentCache) -> StoredArray:
        """Read stored samples `(H, W, samples)` of a box.

        Raises:
            UnreadableInputError: a tile or strip is damaged.
        """
        samples = int(self._page.samplesperpixel)
        target = np.zeros((box.height, box.width, samples), self.dtype)
        for index, area, sample in self._touched(box):
            segment = self._segment(index, cache)
            if segment is not None:
                where = slice(None) if sample is None else slice(sample, sample + 1)
                part = Box(area.top, area.left, *segment.shape[:2]).overlap(area).overlap(box)
                rows, columns = part.within(box).slices
                target[rows, columns, where] = segment[part.within(area).slices]
        return target

    def _locate(self, shift: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Check that every tile or strip lies in the file; return offsets and byte counts."""
        page, expected = self._page, self._segment_count()
        if len(page.dataoffsets) < expected or len(page.databytecounts) < expected:
            kind = "tiles" if page.is_tiled else "strips"
            raise UnreadableInputError(
                f"the header declares {self.height} x {self.width} pixels, which are {expected} "
                f"{kind}, but the file lists {min(len(page.dataoffsets), len(page.databytecounts))}"
            )
        size = int(page.parent.filehandle.size)
        try:
            offsets = np.asarray(page.dataoffsets[:expected], np.int64)
            counts = np.asarray(page.databytecounts[:expected], np.int64)
        except (OverflowError, ValueError, TypeError) as error:
            raise UnreadableInputError("a tile or strip lies outside the file") from error
        counts = np.minimum(counts, self._most_bytes())
        counts[offsets == 0] = 0
        offsets = np.where(counts > 0, offsets + shift, 0)
        if (offsets < 0).any() or (offsets > size - counts).any() or (counts < 0).any():
            raise UnreadableInputError(
                f"a tile or strip lies outside the file of {size} bytes",
                hint="The file is truncated, or its header is damaged.",
            )
        if not counts.any():
            raise UnreadableInputError("the file holds no pixel data")
        return offsets, counts

    def _segment_count(self) -> int:
        count = self._grid.down * self._grid.across
        return count * (int(self._page.samplesperpixel) if self._is_planar else 1)

    def _most_bytes(self) -> int:
        samples = 1 if self._is_planar else int(self._page.samplesperpixel)
        pixels = self.segment_height * self.segment_width
        whole = pixels * samples * self.dtype.itemsize
        return whole if int(self._page.compression) == NONE else 2 * whole + _SLACK_BYTES

    def _touched(self, box: Box) -> Iterator[tuple[int, Box, int | None]]:
        """Yield index, place and sample of each segment that meets a box."""
        grid = self._grid
        samples = range(int(self._page.samplesperpixel)) if self._is_planar else (None,)
        for sample in samples:
            first = (sample or 0) * grid.down * grid.across
            for down, across in grid.touched(box):
                yield first + down * grid.across + across, grid.area(down, across), sample

    def _segment(self, index: int, cache: SegmentCache) -> StoredArray | None:
        """Return a decoded segment `(H, W, samples)`, or None if the file leaves it out."""
        if self._counts[index] == 0:
            return None
        return cache.get((self._number, index), lambda: self._decode(index))

    def _decode(self, index: int) -> StoredArray:
        data = self._bytes(index)
        page, compression = self._page, int(self._page.compression)
        tables = {}
        if compression in JPEG_COMPRESSIONS:
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        declared = (tables.get("jpegheader") or b"") + data
        check_declared_size(compression, declared, self.segment_height, self.segment_width)
        if compression == JPEG:
            check_jpeg_is_whole(data)
        what = f"the pixel data of page {self._number + 1}"
        try:
            if compression == NONE and int(page.bitspersample) % 8 == 0:
                segment, _, _ = page.decode(data, index)
            else:
                segment = decode_apart(what, page, data, index, **tables)
        except RatError:
            raise
        except Exception as error:  # codecs raise many classes
            raise UnreadableInputError(
                f"{what} are damaged", hint="The file is truncated or damaged."
            ) from error
        checked = self._checked(segment)
        return undo_aperio_colours(data, checked) if compression == APERIO_YCBCR else checked

    def _bytes(self, index: int) -> bytes:
        handle = self._page.parent.filehandle
        with handle.lock:
            handle.seek(int(self._offsets[index]))
            data: bytes = handle.read(int(self._counts[index]))
        return data

    def _checked(self, segment: Any) -> StoredArray:
        samples = 1 if self._is_planar else int(self._page.samplesperpixel)
        array: StoredArray = np.asarray(segment)
        if array.ndim != 4 or array.shape[-1] != samples or array.dtype != self.dtype:
            raise UnreadableInputError(
                f"page {self._number + 1} holds {array.dtype} samples of shape {array.shape}, "
                f"but its header says {self.dtype}"
            )
        plane: StoredArray = array[0]
        return plane


def segment_shape(page: Any) -> tuple[int, int]:
    """Return rows and columns of a page's tiles, or of its strips."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return min(int(page.rowsperstrip), int(page.imagelength)), int(page.imagewidth)


def compression_name(page: Any) -> str:
    """Return the name of a page's compression, or its number if it has none."""
    if page.compression == NONE:  # a plain number in pages that tifffile copies from the first
        return "none"
    return str(getattr(page.compression, "name", page.compression)).lower()

"""Reading a box of a page through its tiles or strips, each decoded within known bounds."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ratcli.errors import RatError, UnreadableInputError
from ratcli.formats.limits import check_pixels
from ratcli.formats.quantise import StoredArray
from ratcli.formats.tiff.codestream import JPEG, check_declared_size, check_jpeg_is_whole, is_read
from ratcli.formats.tiff.samples import JPEG_COMPRESSIONS
from ratcli.scan import Box

_CACHED_BYTES = 64 << 20
_SLACK_BYTES = 1 << 20  # what a bad codec may add to a segment


class SegmentCache:
    """The decoded tiles and strips used last: neighbouring boxes share them."""

    def __init__(self, max_bytes: int = _CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[int, int], StoredArray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int]) -> StoredArray | None:
        """Return a segment by page and index, if it is still there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[int, int], segment: StoredArray) -> None:
        """Keep a segment; the oldest go, but the newest always stays."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = segment
            self._bytes += segment.nbytes
            while self._bytes > self._max_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes


class PagePixels:
    """The pixels of a page, checked against the bytes of the file when it is opened.

    Args:
        page: tifffile's page.
        number: the plane's number, for the cache and for messages.
        shift: bytes between this plane and the one that the page describes, for files in which
            one page stands for many planes in a row.
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
        self._is_planar = int(page.planarconfig) == 2 and page.samplesperpixel > 1
        if not is_read(int(page.compression)):
            raise UnreadableInputError(f"compression {compression_name(page)} is not read")
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
        for index, top, left, sample in self._touched(box):
            segment = self._segment(index, cache)
            if segment is not None:
                where = slice(None) if sample is None else slice(sample, sample + 1)
                _paste(target[..., where], segment, top - box.top, left - box.left)
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
        count = math.ceil(self.height / self.segment_height) * self._columns()
        return count * (int(self._page.samplesperpixel) if self._is_planar else 1)

    def _columns(self) -> int:
        return math.ceil(self.width / self.segment_width)

    def _most_bytes(self) -> int:
        samples = 1 if self._is_planar else int(self._page.samplesperpixel)
        pixels = self.segment_height * self.segment_width
        whole = pixels * samples * self.dtype.itemsize
        return whole if int(self._page.compression) == 1 else 2 * whole + _SLACK_BYTES

    def _touched(self, box: Box) -> Iterator[tuple[int, int, int, int | None]]:
        """Yield index, top, left and sample of each segment that meets a box."""
        height, width, columns = self.segment_height, self.segment_width, self._columns()
        rows = math.ceil(self.height / height)
        samples = range(int(self._page.samplesperpixel)) if self._is_planar else (None,)
        for sample in samples:
            first = (sample or 0) * rows * columns
            for row in range(box.top // height, -(-(box.top + box.height) // height)):
                for column in range(box.left // width, -(-(box.left + box.width) // width)):
                    index = first + row * columns + column
                    yield index, row * height, column * width, sample

    def _segment(self, index: int, cache: SegmentCache) -> StoredArray | None:
        """Return a decoded segment `(H, W, samples)`, or None where the file leaves it out."""
        if self._counts[index] == 0:
            return None
        key = (self._number, index)
        kept = cache.get(key)
        if kept is None:
            kept = self._decode(index)
            cache.put(key, kept)
        return kept

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
        try:
            segment, _, _ = page.decode(data, index, **tables)
        except RatError:
            raise
        except Exception as error:  # codecs raise classes of their own, and MemoryError
            raise UnreadableInputError(
                f"the pixel data of page {self._number + 1} are damaged",
                hint="The file is truncated or damaged.",
            ) from error
        return self._checked(segment)

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
                f"but its header tells {self.dtype}"
            )
        plane: StoredArray = array[0]
        return plane


def segment_shape(page: Any) -> tuple[int, int]:
    """Return rows and columns of a page's tiles, or of its strips."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return min(int(page.rowsperstrip), int(page.imagelength)), int(page.imagewidth)


def compression_name(page: Any) -> str:
    """Return the name of a page's compression, or its number where it has none."""
    if page.compression == 1:  # in pages that tifffile copies from the first, a bare number
        return "none"
    return str(getattr(page.compression, "name", page.compression)).lower()


def _paste(target: StoredArray, segment: StoredArray, top: int, left: int) -> None:
    """Copy what a segment at `(top, left)` and the target share; either may stand out."""
    rows = slice(max(top, 0), min(top + segment.shape[0], target.shape[0]))
    columns = slice(max(left, 0), min(left + segment.shape[1], target.shape[1]))
    target[rows, columns] = segment[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]

"""Encoded frames put into a data set as its Pixel Data."""

from __future__ import annotations

import io
import itertools
import struct
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, cast

from pydicom.dataelem import DataElement
from pydicom.encaps import encapsulate_buffer
from pydicom.uid import UID

from ratcli.formats.dicom.layout import PixelLayout

_PIXEL_DATA = 0x7FE00010
_MEMORY_BYTES = 1 << 26


class FrameStore:
    """Encoded frames of a file in the making, in any order; on the disk where they are many.

    Args:
        layout: of the file, its number of frames included.
        syntax: transfer syntax of the frames.
        folder: where a file without a name may be made.
    """

    def __init__(self, layout: PixelLayout, syntax: UID, folder: Path) -> None:
        self._layout, self._syntax = layout, syntax
        self._places: dict[int, tuple[int, int]] = {}
        in_memory = layout.frames * layout.frame_bytes <= _MEMORY_BYTES
        # Without a name: it is gone with the process, however that ends.
        file = io.BytesIO() if in_memory else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._file = cast(io.BufferedRandom, file)

    @property
    def complete(self) -> bool:
        """Whether all frames are there."""
        return len(self._places) == self._layout.frames

    def add(self, frame: int, data: bytes) -> None:
        """Take an encoded frame. Those that are not compressed go straight to their place."""
        if self._syntax.is_compressed:
            place = self._file.seek(0, io.SEEK_END)
        else:
            place = self._file.seek(frame * len(data))
        self._file.write(data)
        self._places[frame] = place, len(data)

    def element(self) -> DataElement:
        """Return all frames as a Pixel Data element, which reads from the store when written.

        Source: PS3.5, 8.2 and A.4.
        """
        if self._syntax.is_compressed:
            numbers = range(self._layout.frames)
            frames: list[io.BufferedIOBase] = [self._read(frame) for frame in numbers]
            element = DataElement(_PIXEL_DATA, "OB", encapsulate_buffer(frames))
            element.is_undefined_length = True
            return element
        if self._file.seek(0, io.SEEK_END) % 2:
            self._file.write(b"\0")
        self._file.seek(0)
        words = self._layout.allocated > 8 or self._syntax.is_implicit_VR
        return DataElement(_PIXEL_DATA, "OW" if words else "OB", self._file)

    def close(self) -> None:
        """Forget the frames."""
        self._file.close()

    def _read(self, frame: int) -> io.BytesIO:
        place, length = self._places[frame]
        self._file.seek(place)
        return io.BytesIO(_even(self._file.read(length)))


def append_pixels(
    path: Path,
    spool: IO[bytes],
    places: Sequence[tuple[int, int]],
    syntax: UID,
    layout: PixelLayout,
) -> None:
    """Append Pixel Data to a file that has a header only, copying a frame at a time.

    Args:
        path: the file, in an explicit little-endian syntax.
        spool: encoded frames in any order.
        places: offset and length of each frame in the spool, in the order of the frames.
        syntax: transfer syntax of the file.
        layout: of the frames.

    Source: PS3.5, table A.4-2. The basic offset table stays empty where 32 bits are too few.
    """
    with path.open("ab") as file:
        if not syntax.is_compressed:
            size = sum(length for _, length in places)
            vr = b"OW" if layout.allocated > 8 else b"OB"
            file.write(_tag(0x7FE0, 0x0010) + vr + b"\0\0" + struct.pack("<I", size + size % 2))
            _copy(spool, places, file.write)
            file.write(b"\0" * (size % 2))
            return
        file.write(_tag(0x7FE0, 0x0010) + b"OB\0\0\xff\xff\xff\xff")
        table = _offset_table([length + length % 2 for _, length in places])
        file.write(_tag(0xFFFE, 0xE000) + struct.pack("<I", len(table)) + table)

        def write_item(data: bytes) -> None:
            even = _even(data)
            file.write(_tag(0xFFFE, 0xE000) + struct.pack("<I", len(even)) + even)

        _copy(spool, places, write_item)
        file.write(_tag(0xFFFE, 0xE0DD) + b"\0\0\0\0")


def _copy(
    spool: IO[bytes], places: Sequence[tuple[int, int]], write: Callable[[bytes], object]
) -> None:
    for offset, length in places:
        spool.seek(offset)
        write(spool.read(length))


def _offset_table(lengths: list[int]) -> bytes:
    offsets = [0, *itertools.accumulate(length + 8 for length in lengths)][: len(lengths)]
    return struct.pack(f"<{len(offsets)}I", *offsets) if offsets[-1] < 1 << 32 else b""


def _tag(group: int, element: int) -> bytes:
    return struct.pack("<HH", group, element)


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)

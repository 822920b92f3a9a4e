"""Encoded frames put into a data set as its Pixel Data."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate_buffer
from pydicom.uid import UID

from ratcli.formats.dicom.layout import PixelLayout

_PIXEL_DATA = 0x7FE00010


def attach_pixels(dataset: Dataset, frames: list[bytes], syntax: UID, layout: PixelLayout) -> None:
    """Make frames the Pixel Data of a data set.

    Args:
        dataset: the header; changed.
        frames: encoded frames, in order.
        syntax: transfer syntax they are encoded in.
        layout: of the frames.

    Source: PS3.5, 8.2 and A.4.
    """
    if syntax.is_compressed:
        value: object = encapsulate_buffer([io.BytesIO(_even(frame)) for frame in frames])
        element = DataElement(_PIXEL_DATA, "OB", value)
        element.is_undefined_length = True
    else:
        vr = "OW" if layout.allocated > 8 or syntax.is_implicit_VR else "OB"
        element = DataElement(_PIXEL_DATA, vr, _even(b"".join(frames)))
    dataset.add(element)


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

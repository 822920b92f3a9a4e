"""Encoded frames that are stored until their file is written.

`pydicom.encaps` is not used for compressed frames: its buffer adds up the lengths of all frames
again at each read, so that 400 frames take 5.6 s and the time grows with their cube (100 000 tiles
of a slide take 0.3 s here). Frames that are not compressed are written by pydicom.
"""

from __future__ import annotations

import io
import itertools
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from ratcli.formats.dicom.layout import PixelLayout

_PIXEL_DATA = 0x7FE00010
_BEHIND_PIXEL_DATA = 0x7FE00011
_MEMORY_BYTES = 1 << 26


class FrameStore:
    """Encoded frames of a file that is being written, in any order; on disk if they are many.

    Args:
        layout: of the file, its number of frames included.
        syntax: transfer syntax of the frames; if compressed, explicit VR little endian.
        folder: where a file without a name may be made.
    """

    def __init__(self, layout: PixelLayout, syntax: UID, folder: Path) -> None:
        self._layout, self._syntax = layout, syntax
        self._places: dict[int, tuple[int, int]] = {}
        in_memory = layout.frames * layout.frame_bytes <= _MEMORY_BYTES
        # A file without a name disappears when the process ends, even if it is killed.
        file = io.BytesIO() if in_memory else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._file = cast(io.BufferedRandom, file)

    @property
    def complete(self) -> bool:
        """Whether all frames are there."""
        return len(self._places) == self._layout.frames

    def add(self, frame: int, data: bytes) -> None:
        """Take an encoded frame. A frame that is not compressed is written to its final place."""
        if self._syntax.is_compressed:
            place = self._file.seek(0, io.SEEK_END)
        else:
            place = self._file.seek(frame * len(data))
        self._file.write(data)
        self._places[frame] = place, len(data)

    def save(self, dataset: Dataset, path: Path) -> None:
        """Write a file with all frames as its Pixel Data, copied a frame at a time.

        Args:
            dataset: header with its meta elements, and elements behind the pixel data if any.
            path: the file.

        Source: PS3.5, 8.2 and A.4.
        """
        if not self._syntax.is_compressed:
            dataset.add(self._native_element())
            dataset.save_as(path, enforce_file_format=True)
            return
        behind = dataset[_BEHIND_PIXEL_DATA:]
        for tag in list(behind.keys()):
            del dataset[tag]
        dataset.save_as(path, enforce_file_format=True)
        with path.open("ab") as file:
            for part in self._encapsulated():
                file.write(part)
            target = DicomIO(file)
            target.is_implicit_VR, target.is_little_endian = False, True
            write_dataset(target, behind)

    def close(self) -> None:
        """Forget the frames."""
        self._file.close()

    def _native_element(self) -> DataElement:
        if self._file.seek(0, io.SEEK_END) % 2:
            self._file.write(b"\0")
        self._file.seek(0)
        words = self._layout.allocated > 8 or self._syntax.is_implicit_VR
        return DataElement(_PIXEL_DATA, "OW" if words else "OB", self._file)

    def _encapsulated(self) -> Iterator[bytes]:
        """Yield a Pixel Data element part by part.

        Source: PS3.5, table A.4-2. The offset table stays empty if 32 bits are not enough.
        """
        places = [self._places[frame] for frame in range(self._layout.frames)]
        yield _tag(0x7FE0, 0x0010) + b"OB\0\0\xff\xff\xff\xff"
        yield _item(_offset_table([length + length % 2 for _, length in places]))
        for place, length in places:
            self._file.seek(place)
            yield _item(self._file.read(length))
        yield _tag(0xFFFE, 0xE0DD) + b"\0\0\0\0"


def _offset_table(lengths: list[int]) -> bytes:
    offsets = [0, *itertools.accumulate(length + 8 for length in lengths)][: len(lengths)]
    return struct.pack(f"<{len(offsets)}I", *offsets) if offsets[-1] < 1 << 32 else b""


def _item(data: bytes) -> bytes:
    even = data + b"\0" * (len(data) % 2)
    return _tag(0xFFFE, 0xE000) + struct.pack("<I", len(even)) + even


def _tag(group: int, element: int) -> bytes:
    return struct.pack("<HH", group, element)

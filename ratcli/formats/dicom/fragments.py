"""Encapsulated pixel data: which fragments make up which frame.

`pydicom.encaps` is not used: it does not notice that a fragment runs out of the file, and walks
through all fragments for each frame that is read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.files import PixelElement

_ITEM = 0xE000FFFE  # (FFFE,E000) read as a little-endian number
_DELIMITER = 0xE0DDFFFE
_END_OF_IMAGE = b"\xff\xd9"
_TAIL_BYTES = 4096
_MOST_FRAGMENTS = 1 << 20
_CODESTREAM_STARTS = (b"\xff\xd8", b"\xff\x4f", b"\x00\x00")


@dataclass(frozen=True)
class Fragment:
    """A run of bytes in the file.

    Attributes:
        offset: in the file, of its first byte.
        length: in bytes.
    """

    offset: int
    length: int


@dataclass(frozen=True)
class FrameIndex:
    """Where the frames of encapsulated pixel data are.

    Attributes:
        frames: the fragments of each frame.
        end: first byte behind the pixel data.
    """

    frames: tuple[tuple[Fragment, ...], ...]
    end: int


def index_frames(file: BinaryIO, pixels: PixelElement, frames: int, name: str) -> FrameIndex:
    """Find the fragments of each frame.

    Args:
        file: the file, or an inflated data set.
        pixels: where the pixel data are.
        frames: number of frames that the header declares.
        name: of the file, for messages.

    Raises:
        UnreadableInputError: fragments run out of the file, or there are too few.

    Source: PS3.5, A.4 and table A.4-1.
    """
    found, end = _list_fragments(file, pixels, name)
    if not found:
        raise UnreadableInputError(f"{name}: the compressed pixel data hold no frame")
    offsets = _read_offsets(file, found[0])
    fragments = found[1:]
    by_frame = _by_frame(file, fragments, offsets, frames)
    if len(by_frame) < frames:
        raise UnreadableInputError(
            f"{name}: the pixel data hold {len(by_frame)} frames, but the header declares {frames}"
        )
    return FrameIndex(tuple(by_frame[:frames]), end)


def is_codestream_ended(file: BinaryIO, fragments: Sequence[Fragment]) -> bool:
    """Return whether a frame in JPEG, JPEG-LS or JPEG 2000 has its end marker.

    A frame without one is refused, and coded data cannot contain it by chance. The last bytes are
    searched first, and all of them only if the marker is not there.

    Source: ITU-T T.81 B.1.1.3, T.87 C.1, T.800 A.4.4.
    """
    last = fragments[-1]
    file.seek(last.offset + max(0, last.length - _TAIL_BYTES))
    if _END_OF_IMAGE in file.read(min(last.length, _TAIL_BYTES)):
        return True
    frame = bytearray()
    for fragment in fragments:
        file.seek(fragment.offset)
        frame += file.read(fragment.length)
    return _END_OF_IMAGE in frame


def _list_fragments(file: BinaryIO, pixels: PixelElement, name: str) -> tuple[list[Fragment], int]:
    """List all items, the offset table first; the delimiter at the end may be missing."""
    size = file.seek(0, os.SEEK_END)
    position = pixels.offset
    fragments: list[Fragment] = []
    while position + 8 <= size:
        file.seek(position)
        tag, length = struct.unpack("<II", file.read(8))
        position += 8
        if tag == _DELIMITER:
            return fragments, position
        if tag != _ITEM or position + length > size:
            raise UnreadableInputError(f"{name}: the compressed pixel data end early")
        fragments.append(Fragment(position, length))
        if len(fragments) > _MOST_FRAGMENTS:
            raise UnreadableInputError(f"{name}: more than {_MOST_FRAGMENTS} compressed fragments")
        position += length
    return fragments, size


def _read_offsets(file: BinaryIO, table: Fragment) -> list[int]:
    file.seek(table.offset)
    data = file.read(table.length // 4 * 4)
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def _by_frame(
    file: BinaryIO, fragments: list[Fragment], offsets: list[int], frames: int
) -> list[tuple[Fragment, ...]]:
    if frames == 1:
        return [tuple(fragments)] if fragments else []
    if len(fragments) == frames:
        return [(fragment,) for fragment in fragments]
    if len(offsets) == frames and fragments:
        base = fragments[0].offset - 8
        starts = {base + offset + 8 for offset in offsets}
    else:
        starts = {f.offset for f in fragments if _starts_frame(file, f)}
    found: list[list[Fragment]] = []
    for fragment in fragments:
        if fragment.offset in starts or not found:
            found.append([])
        found[-1].append(fragment)
    return [tuple(frame) for frame in found]


def _starts_frame(file: BinaryIO, fragment: Fragment) -> bool:
    """Return whether a fragment begins with a JPEG, JPEG 2000 or JP2 signature."""
    file.seek(fragment.offset)
    return file.read(2) in _CODESTREAM_STARTS

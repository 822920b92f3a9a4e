"""Writing the structure of a TIFF: its header, its image file directories, and tags as bytes.

`tifffile.TiffWriter` is not used here. It writes a page from its first tile to its last, so that
tiles which arrive in another order would be written to the disk twice; it does not copy pages in
old-style JPEG (labels of some slides); and it leaves out tags of the source for which it writes
values of its own, such as the resolution of a copied page.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import IO, Literal

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16

HEADER_BYTES = 16
"""Room left at the beginning: BigTIFF needs 16 bytes, and is chosen once the size is known."""

CLASSIC_LIMIT = (1 << 32) - (64 << 20)
"""Classic TIFF counts bytes in 32 bits; above this, BigTIFF is written."""

_FORMATS = {BYTE: "B", SHORT: "H", LONG: "I", LONG8: "Q"}


@dataclass(frozen=True)
class Tag:
    """A tag of a directory, its value encoded in the file's byte order."""

    type: int
    count: int
    data: bytes


@dataclass
class Directory:
    """A page to be written: its tags and the places of its tiles or strips.

    Attributes:
        tags: by code; tags for the places of the data are added.
        offsets: of tiles or strips.
        counts: bytes of each.
        is_tiled: whether they are tiles.
        levels: smaller versions, linked as SubIFDs.
    """

    tags: dict[int, Tag]
    offsets: Sequence[int]
    counts: Sequence[int]
    is_tiled: bool
    levels: list[Directory] = field(default_factory=list)


class TagEncoder:
    """Encodes tags in one byte order: `<` or `>`."""

    def __init__(self, byte_order: Literal["<", ">"]) -> None:
        self.byte_order = byte_order

    def numbers(self, type_code: int, *values: int) -> Tag:
        """Return a tag of unsigned integers; a RATIONAL takes two numbers for each value."""
        if type_code == RATIONAL:
            data = struct.pack(f"{self.byte_order}{len(values)}I", *values)
            return Tag(type_code, len(values) // 2, data)
        data = struct.pack(f"{self.byte_order}{len(values)}{_FORMATS[type_code]}", *values)
        return Tag(type_code, len(values), data)

    def text(self, value: bytes) -> Tag:
        """Return an ASCII tag, ended by a zero byte."""
        data = value.rstrip(b"\0") + b"\0"
        return Tag(ASCII, len(data), data)


def write_directories(
    file: IO[bytes], directories: Sequence[Directory], encoder: TagEncoder, *, big: bool
) -> None:
    """Write all directories at the end of a file, and the header at its beginning.

    Args:
        file: open for writing, with the data already in it after `HEADER_BYTES`.
        directories: in the order of their pages.
        encoder: with the byte order of the data.
        big: whether to write BigTIFF.
    """
    layout = _Layout(encoder, big)
    file.seek(0, 2)
    links = [layout.write(file, directory) for directory in directories]
    for (_, link), (start, _) in pairwise(links):
        file.seek(link)
        file.write(layout.offset(start))
    file.seek(0)
    file.write(layout.header(links[0][0]))


class _Layout:
    """Sizes that differ between classic TIFF and BigTIFF."""

    def __init__(self, encoder: TagEncoder, big: bool) -> None:
        self._encoder = encoder
        self._order = encoder.byte_order
        self._big = big
        self._inline = 8 if big else 4

    def header(self, first: int) -> bytes:
        mark = b"II" if self._order == "<" else b"MM"
        if self._big:
            return mark + struct.pack(f"{self._order}HHHQ", 43, 8, 0, first)
        return mark + struct.pack(f"{self._order}HI", 42, first)

    def offset(self, position: int) -> bytes:
        return struct.pack(f"{self._order}{'Q' if self._big else 'I'}", position)

    def write(self, file: IO[bytes], directory: Directory) -> tuple[int, int]:
        """Write a directory; return where it starts and where its link to the next one is."""
        tags = {**directory.tags, **self._places(directory)}
        if directory.levels:
            starts = [self.write(file, level)[0] for level in directory.levels]
            tags[330] = self._encoder.numbers(LONG8 if self._big else LONG, *starts)
        entries = b"".join(self._entry(file, code, tags[code]) for code in sorted(tags))
        start = _align(file)
        count = struct.pack(f"{self._order}{'Q' if self._big else 'H'}", len(tags))
        file.write(count + entries + self.offset(0))
        return start, start + len(count) + len(entries)

    def _places(self, directory: Directory) -> dict[int, Tag]:
        number = LONG8 if self._big else LONG
        offsets, counts = (324, 325) if directory.is_tiled else (273, 279)
        return {
            offsets: self._encoder.numbers(number, *directory.offsets),
            counts: self._encoder.numbers(number, *directory.counts),
        }

    def _entry(self, file: IO[bytes], code: int, tag: Tag) -> bytes:
        value = tag.data
        if len(value) > self._inline:
            position = _align(file)
            file.write(value)
            value = self.offset(position)
        count = struct.pack(f"{self._order}{'Q' if self._big else 'I'}", tag.count)
        head = struct.pack(f"{self._order}HH", code, tag.type)
        return head + count + value.ljust(self._inline, b"\0")


def _align(file: IO[bytes]) -> int:
    """Pad the end of a file to an even position, as the standard asks; return it."""
    position = file.tell()
    if position % 2:
        file.write(b"\0")
    return position + position % 2

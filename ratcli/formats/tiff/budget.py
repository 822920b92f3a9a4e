"""How many bytes the tags of a TIFF may take: pages that share one value each take its memory."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Literal

from ratcli.errors import UnreadableInputError

MOST_PAGES = 20_000
"""Most pages of a file."""

_MOST_DIRECTORIES = 4 * MOST_PAGES  # with SubIFDs
_SLACK_BYTES = 16 << 20
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}
_SUBIFDS = 330
_OFFSETS = (4, 13, 16, 18)  # types of places in the file
_SIGNS = {"little": "<", "big": ">"}

Order = Literal["little", "big"]


def check_tags(path: Path) -> None:
    """Refuse a TIFF with too many directories, or whose tags take more bytes than the file has.

    Values are not read, but for the places of SubIFDs. What is damaged, as a value longer than the
    file, is left to the parser.

    Raises:
        UnreadableInputError: far too many pages and SubIFDs, or values that they share and that
            together are far larger than the file.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        order: Order = "big" if magic[:2] == b"MM" else "little"
        is_big = magic[2:] in (b"+\0", b"\0+")
        most = file.seek(0, 2) + _SLACK_BYTES
        file.seek(8 if is_big else 4)
        waiting = _numbers(file.read(8 if is_big else 4), order, 8 if is_big else 4)
        seen, listed, total = set[int](), 1, 0
        while waiting:
            position = waiting.pop()
            if not position or position in seen:
                continue
            seen.add(position)
            file.seek(position)
            sizes, linked = _directory(file, order, is_big=is_big)
            waiting += linked
            listed += len(linked)
            total += sum(size for size in sizes if size <= most)
            if total > most or listed > _MOST_DIRECTORIES:
                raise UnreadableInputError(
                    f"the file has more than {_MOST_DIRECTORIES} pages and SubIFDs"
                    if total <= most
                    else "the tags of the pages take more bytes than the file has"
                )


def _directory(file: BinaryIO, order: Order, *, is_big: bool) -> tuple[list[int], list[int]]:
    """Return the bytes of each value of a directory, and the places of those that it leads to."""
    width = 8 if is_big else 4
    entry = struct.Struct(f"{_SIGNS[order]}HH{'Q' if is_big else 'I'}{width}s")
    count = int.from_bytes(file.read(8 if is_big else 2), order)
    if count > 4096:  # as tifffile, which takes it as damaged
        return [], []
    data = file.read(count * entry.size)
    linked = _numbers(file.read(width), order, width)
    sizes = []
    whole = data[: len(data) // entry.size * entry.size]
    for code, kind, number, value in entry.iter_unpack(whole):
        sizes.append(_TYPE_BYTES.get(kind, 0) * number)
        if code == _SUBIFDS and kind in _OFFSETS:
            if sizes[-1] > width:
                file.seek(int.from_bytes(value, order))
                value = file.read(min(sizes[-1], 8 * (_MOST_DIRECTORIES + 1)))
            linked += _numbers(value[: sizes[-1]], order, _TYPE_BYTES[kind])
    return sizes, linked


def _numbers(data: bytes, order: Order, width: int) -> list[int]:
    """Return the unsigned integers of some bytes; one that is cut off is left out."""
    starts = range(0, len(data) - width + 1, width)
    return [int.from_bytes(data[start : start + width], order) for start in starts]

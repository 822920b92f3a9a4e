"""How many bytes the tags of a TIFF may take: pages that share one value each take its memory."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from ratcli.errors import UnreadableInputError

MOST_PAGES = 20_000
"""Most pages of a file."""

_SLACK_BYTES = 16 << 20
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}


def check_tags(path: Path) -> None:
    """Refuse a TIFF with too many pages, or whose tags take more bytes than the file has.

    Values are not read. What is damaged, as a value longer than the file, is left to the parser.

    Raises:
        UnreadableInputError: more than `MOST_PAGES` pages, or values that pages share and that
            together are far larger than the file.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        order = ">" if magic[:2] == b"MM" else "<"
        is_big = magic[2:] in (b"+\0", b"\0+")
        most = file.seek(0, 2) + _SLACK_BYTES
        file.seek(8 if is_big else 4)
        seen, total = set[int](), 0
        try:
            position = _number(file, order, 8 if is_big else 4)
            while position and position not in seen:
                seen.add(position)
                file.seek(position)
                sizes = _value_bytes(file, order, is_big=is_big)
                total += sum(size for size in sizes if size <= most)
                if total > most or len(seen) > MOST_PAGES:
                    raise UnreadableInputError(
                        f"the file has more than {MOST_PAGES} pages"
                        if total <= most
                        else "the tags of the pages take more bytes than the file has"
                    )
                position = _number(file, order, 8 if is_big else 4)
        except struct.error:
            return


def _value_bytes(file: BinaryIO, order: str, *, is_big: bool) -> list[int]:
    """Return the bytes of each value of a directory, and move behind its entries."""
    entry = struct.Struct(f"{order}HHQ8x" if is_big else f"{order}HHI4x")
    count = _number(file, order, 8 if is_big else 2)
    if count > 4096:  # as tifffile, which takes it as damaged
        raise struct.error
    data = file.read(count * entry.size)
    whole = data[: len(data) // entry.size * entry.size]
    return [_TYPE_BYTES.get(kind, 0) * number for _, kind, number in entry.iter_unpack(whole)]


def _number(file: BinaryIO, order: str, size: int) -> int:
    (number,) = struct.unpack(f"{order}{ {2: 'H', 4: 'I', 8: 'Q'}[size] }", file.read(size))
    return int(number)

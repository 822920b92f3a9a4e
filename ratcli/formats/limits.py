"""Limits that keep a hostile file from using up the memory."""

from __future__ import annotations

import io
import zlib
from typing import IO, BinaryIO

from ratcli.errors import UnreadableInputError
from ratcli.formats.quick_look import check_look

DEFAULT_MAX_PIXELS = 1 << 28
"""Most pixels decoded at once: a plane of 16384 x 16384. `--max-pixels` raises it."""

_BLOCK = 1 << 18

HEAD_BYTES = 4096
"""Bytes at the start of a file from which its format is recognised."""


def read_bounded(stream: IO[bytes], *, max_bytes: int, name: str) -> io.BytesIO:
    """Read the rest of a stream into memory, a block at a time, up to the limit.

    Args:
        stream: an inflating stream, as of an archive's member.
        max_bytes: most bytes that may come out.
        name: of the file, for messages.

    Raises:
        UnreadableInputError: more than the limit.
    """
    found = io.BytesIO()
    while block := stream.read(_BLOCK):
        check_look(inflated=found.write(block))
        if found.tell() > max_bytes:
            raise UnreadableInputError(
                f"{name} inflates to more than {max_bytes} bytes",
                hint="If it is genuine, unpack the archive first.",
            )
    found.seek(0)
    return found


def check_pixels(height: int, width: int, max_pixels: int, name: str = "") -> None:
    """Refuse a plane (or tile) that is empty or larger than the limit, before it is decoded.

    Args:
        height: rows that the header declares.
        width: columns that the header declares.
        max_pixels: most pixels to decode at once.
        name: of the file, to begin the message with.

    Raises:
        UnreadableInputError: no pixels, or more than the limit.
    """
    subject = f"{name}: the header" if name else "the header"
    if height < 1 or width < 1:
        raise UnreadableInputError(f"{subject} declares {height} x {width} pixels: none to read")
    if height * width > max_pixels:
        raise UnreadableInputError(
            f"{subject} declares {height} x {width} pixels, more than the limit of {max_pixels}",
            hint="If the file is genuine, raise the limit with --max-pixels.",
        )


def inflated_head(head: bytes, size: int = 1024) -> bytes:
    """Return the first bytes inside a gzip stream, or `head` itself if it is not gzipped.

    Args:
        head: first bytes of a file.
        size: most bytes to inflate.
    """
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, size)
    except zlib.error:
        return b""


def inflate(stream: BinaryIO, *, wbits: int, max_bytes: int, name: str) -> io.BytesIO:
    """Inflate the rest of a stream, never holding more than the limit.

    Args:
        stream: positioned at the compressed data.
        wbits: as for `zlib.decompressobj`: -15 raw deflate, 31 gzip.
        max_bytes: most bytes that may come out.
        name: of the file, for messages.

    Raises:
        UnreadableInputError: damaged, truncated, or larger than the limit.
    """
    inflater, inflated = zlib.decompressobj(wbits=wbits), io.BytesIO()
    try:
        while not inflater.eof and (block := inflater.unconsumed_tail or stream.read(_BLOCK)):
            check_look(inflated=inflated.write(inflater.decompress(block, _BLOCK)))
            if inflated.tell() > max_bytes:
                raise UnreadableInputError(
                    f"{name}: the compressed data inflate to more than {max_bytes} bytes"
                )
    except zlib.error as error:
        raise UnreadableInputError(f"{name}: the compressed data are damaged") from error
    if not inflater.eof:
        raise UnreadableInputError(f"{name}: the compressed data end early")
    inflated.seek(0)
    return inflated

"""Bounds that keep a hostile file from taking the machine's memory."""

from __future__ import annotations

import zlib

from ratcli.errors import UnreadableInputError

DEFAULT_MAX_PIXELS = 1 << 28
"""Most pixels decoded at once: a plane of 16384 x 16384. `--max-pixels` raises it."""

DEFAULT_MAX_INFLATED_BYTES = 1 << 30
"""Most bytes that a compressed stream may inflate to where its header does not tell."""

HEAD_BYTES = 4096
"""Bytes of a file that tell its kind."""


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
    """Return the first bytes inside a gzip stream, or `head` itself where it is none.

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


def inflate(data: bytes, *, wbits: int, max_bytes: int) -> bytes:
    """Inflate a whole stream, never holding more than the limit.

    Args:
        data: the compressed stream.
        wbits: as for `zlib.decompressobj`: -15 raw deflate, 31 gzip.
        max_bytes: most bytes that may come out.

    Raises:
        UnreadableInputError: damaged, truncated, or larger than the limit.
    """
    stream = zlib.decompressobj(wbits=wbits)
    try:
        inflated = stream.decompress(data, max_bytes)
    except zlib.error as error:
        raise UnreadableInputError("the compressed data are damaged") from error
    if stream.unconsumed_tail:
        raise UnreadableInputError(
            f"the compressed data inflate to more than the limit of {max_bytes} bytes"
        )
    if not stream.eof:
        raise UnreadableInputError("the compressed data end early")
    return inflated

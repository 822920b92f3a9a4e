"""The size that a compressed tile or strip declares, read before a decoder allocates it."""

from __future__ import annotations

import struct

from ratcli.errors import UnreadableInputError
from ratcli.formats.dicom.codestream import check_jpeg_end, parse_jpeg, parse_jpeg2000

JPEG = 7
"""Compression of tiles and strips that are each a JPEG; the old style (6) is not so regular."""

_JPEG = (6, JPEG, 33007, 34892)
_JPEG2000 = (33003, 33004, 33005, 34712)
_PNG, _WEBP, _LERC = 34933, 50001, 34887
_JPEG_XL = (50002, 52546)
_BOUNDED = (1, 5, 8, 32773, 32946, 34925, 50000, 50013)
"""Codecs that are told how many bytes may come out: none, LZW, deflate, PackBits, LZMA, zstd."""

_ZSTD_OLD = 34926


def is_read(compression: int) -> bool:
    """Tell whether a compression has a decoder whose memory and time are bounded.

    JPEG XR has not: a few broken bytes make its decoder run for ever.
    """
    jpegs = (*_JPEG, *_JPEG2000, *_JPEG_XL)
    return compression in (*_BOUNDED, _ZSTD_OLD, *jpegs, _PNG, _WEBP, _LERC)


def check_declared_size(compression: int, data: bytes, height: int, width: int) -> None:
    """Refuse an image codestream that is larger than the tile or strip that holds it.

    Args:
        compression: the tag's value.
        data: the codestream.
        height: rows of the tile or strip.
        width: its columns.

    Raises:
        UnreadableInputError: it declares more pixels, or has no header.
    """
    try:
        declared = _declared_size(compression, data)
    except (ValueError, struct.error, IndexError) as error:
        raise UnreadableInputError("a compressed tile or strip has no header") from error
    if declared is not None and (declared[0] > height + 15 or declared[1] > width + 15):
        raise UnreadableInputError(
            f"a compressed tile or strip declares {declared[0]} x {declared[1]} pixels, "
            f"but the page gives it {height} x {width}"
        )


def check_jpeg_is_whole(data: bytes) -> None:
    """Refuse a JPEG that ends early: its decoder fills up what is missing without a word.

    Raises:
        UnreadableInputError: it has no end marker.
    """
    try:
        check_jpeg_end(data)
    except ValueError as error:
        raise UnreadableInputError(
            "a compressed tile or strip ends early", hint="The file is truncated or damaged."
        ) from error


def _declared_size(compression: int, data: bytes) -> tuple[int, int] | None:
    if compression in _JPEG:
        header = parse_jpeg(data)
        return header.rows, header.columns
    if compression in _JPEG2000:
        header = parse_jpeg2000(data)
        return header.rows, header.columns
    others = {_PNG: _png_size, _WEBP: _webp_size, _LERC: _lerc_size}
    others |= dict.fromkeys(_JPEG_XL, _jpeg_xl_size)
    return others[compression](data) if compression in others else None


def _png_size(data: bytes) -> tuple[int, int]:
    """Read the IHDR chunk of a PNG file."""
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _lerc_size(data: bytes) -> tuple[int, int]:
    """Read the size of a LERC2 blob, not packed a second time; a checksum came with version 3."""
    if data[:6] != b"Lerc2 ":
        raise ValueError("no LERC2 blob")
    (version,) = struct.unpack_from("<i", data, 6)
    height, width = struct.unpack_from("<ii", data, 14 if version >= 3 else 10)
    return height, width


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read the size of a WebP file. Source: WebP container specification, RFC 6386 and 9649."""
    kind = data[12:16]
    if kind == b"VP8X":
        return _little(data[27:30]) + 1, _little(data[24:27]) + 1
    if kind == b"VP8L":
        bits = _little(data[21:25])
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _little(data[28:30]) & 0x3FFF, _little(data[26:28]) & 0x3FFF
    raise ValueError("no WebP chunk")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


class _Bits:
    """Bits of a JPEG XL codestream, the lowest of a byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = _little(data)

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken


_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def _jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """Read the SizeHeader of a JPEG XL image. Source: ISO/IEC 18181-1, 18181-2."""
    start = data.find(b"\xff\x0a", 0, 4096)
    if start < 0:
        raise ValueError("no JPEG XL codestream")
    bits = _Bits(data[start + 2 : start + 14])
    is_small = bits.take(1)
    height = _jpeg_xl_length(bits, is_small)
    ratio = bits.take(3)
    if ratio == 0:
        return height, _jpeg_xl_length(bits, is_small)
    numerator, denominator = _RATIOS[ratio - 1]
    return height, height * numerator // denominator


def _jpeg_xl_length(bits: _Bits, is_small: int) -> int:
    if is_small:
        return (bits.take(5) + 1) * 8
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1

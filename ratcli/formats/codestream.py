"""The size that a JPEG or JPEG 2000 stream declares, read before a decoder allocates memory."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SOF = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7)
_JPEG2000_MAGIC = b"\xff\x4f\xff\x51"
_MOST_SCANS = 64
_STANDALONE = (0x01, *range(0xD0, 0xD9))


@dataclass(frozen=True)
class CodestreamHeader:
    """Sizes in the header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Attributes:
        rows: of the image.
        columns: of the image.
        components: 1 gray, 3 colour.
        bits: of a component.
        component_ids: of a JPEG; `RGB` in ASCII means that its colours are RGB.
        adobe_transform: of a JPEG's Adobe marker: 0 RGB, 1 YCbCr; None without one.
        jfif: whether a JPEG has the JFIF marker, which means YCbCr.
        signed: whether samples of a JPEG 2000 are signed; None for the others, which do not say.
    """

    rows: int
    columns: int
    components: int
    bits: int
    component_ids: bytes = b""
    adobe_transform: int | None = None
    jfif: bool = False
    signed: bool | None = None

    def is_rgb(self, declared: str) -> bool:
        """Return whether a baseline JPEG's three components are RGB and not YCbCr.

        The markers of the codestream decide, since encoders often leave RGB in the DICOM header.

        Args:
            declared: photometric interpretation of the header.
        """
        if self.adobe_transform is not None:
            return self.adobe_transform == 0
        if self.component_ids == b"RGB":
            return True
        return declared == "RGB" and not self.jfif


def parse_jpeg(data: bytes) -> CodestreamHeader:
    """Read the markers of a JPEG or JPEG-LS up to the frame header.

    Raises:
        ValueError: there is no frame header, or more scans than a progressive JPEG needs: each of
            them costs as much time as the whole image.

    Source: ITU-T T.81 B.2, T.87 C.2.
    """
    if data.count(b"\xff\xda") > _MOST_SCANS:
        raise ValueError("too many scans")
    jfif, adobe, position = False, None, 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError("a marker was expected")
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if marker in _SOF:
            bits, rows, columns, count = struct.unpack_from(">BHHB", body)
            identifiers = body[6 : 6 + 3 * count : 3]
            return CodestreamHeader(rows, columns, count, bits, identifiers, adobe, jfif)
        if marker == 0xE0 and body[:5] == b"JFIF\0":
            jfif = True
        if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        position += 2 + length
    raise ValueError("no frame header")


def check_jpeg_end(data: bytes) -> None:
    """Refuse a JPEG without its end marker: decoders fill in what is missing and report nothing.

    Raises:
        ValueError: the codestream ends early.

    Source: ITU-T T.81 B.1.1.3; within the coded data a marker cannot occur by chance.
    """
    scan = data.find(b"\xff\xda")
    if scan < 0 or data.find(b"\xff\xd9", scan) < 0:
        raise ValueError("a compressed frame ends early")


def parse_jpeg2000(data: bytes) -> CodestreamHeader:
    """Read the SIZ marker of a JPEG 2000 codestream, bare or in a JP2 file.

    Raises:
        ValueError: there is none.

    Source: ITU-T T.800 A.5.1.
    """
    start = _jpeg2000_start(data)
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (count,) = struct.unpack_from(">H", data, start + 40)
    kind = data[start + 42]
    bits, signed = (kind & 0x7F) + 1, bool(kind & 0x80)
    return CodestreamHeader(bottom - top, right - left, count, bits, signed=signed)


def mended_tile_length(data: bytes) -> bytes | None:
    """Return a JPEG 2000 codestream whose last tile-part ends with the data; None if it does so.

    Some scanners write a length (Psot) beyond the end, which every decoder refuses; 0 means "up to
    the end marker". A codestream without that marker is cut off, and stays as it is.

    Source: ITU-T T.800 A.4.2.
    """
    end = data.rstrip(b"\0")  # a fragment has an even number of bytes
    if not end.endswith(b"\xff\xd9"):
        return None
    start = data.find(b"\xff\x90\x00\x0a", max(data.find(b"\xff\x4f\xff\x51"), 0))
    while start >= 0 and data[start : start + 4] == b"\xff\x90\x00\x0a":
        (length,) = struct.unpack_from(">I", data, start + 6)
        if start + length > len(end) - 2:
            return data[: start + 6] + bytes(4) + data[start + 10 :]
        start = start + length if length >= 14 else -1
    return None


def is_subsampled(data: bytes) -> bool:
    """Return whether a JPEG 2000 codestream of colours has fewer samples of chroma than of luma.

    Source: ITU-T T.800 A.5.1, XRsiz and YRsiz.
    """
    start = _jpeg2000_start(data)
    return any(step != 1 for step in data[start + 46 : start + 48])


def _jpeg2000_start(data: bytes) -> int:
    """Return where the codestream that a decoder reads begins: the first one of a JP2 file.

    Other boxes of a JP2 file may hold bytes that look like a codestream.

    Raises:
        ValueError: there is none.

    Source: ITU-T T.800 I.4.
    """
    start, kind = 0, b""
    while data[start : start + 4] != _JPEG2000_MAGIC:
        if kind == b"jp2c" or start + 16 > len(data):
            raise ValueError("no codestream of JPEG 2000")
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", data, start + 8), 16
        if kind != b"jp2c" and length < head:
            raise ValueError("a box of JP2 has no length")
        start += head if kind == b"jp2c" else length
    return start

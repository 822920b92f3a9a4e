"""Which compressions of tiles and strips are read, and checks before they are decoded."""

from __future__ import annotations

import struct

import numpy as np

from ratcli.errors import UnreadableInputError
from ratcli.formats.codestream import (
    CodestreamHeader,
    check_jpeg_end,
    is_subsampled,
    parse_jpeg,
    parse_jpeg2000,
)
from ratcli.formats.quantise import StoredArray

APERIO_YCBCR, APERIO_RGB = 33003, 33005
"""JPEG 2000 of Aperio: the compression says the colours, whatever the photometric tag says."""

NONE = 1

JPEG = 7
"""Compression of tiles and strips that are each a JPEG; the old style (6) is not so regular."""

_JPEG = (6, JPEG, 33007, 34892)
_JPEG2000 = (33003, 33004, 33005, 34712)
_MOST_COMPONENTS = 8
_BOUNDED = (1, 5, 8, 32773, 32946, 34925, 34926, 50000, 50013)
"""Codecs with a limit on the bytes that come out: none, LZW, deflate, PackBits, LZMA, zstd."""


def is_read(compression: int) -> bool:
    """Return whether a compression is read: its decoder must use limited memory and time.

    WebP, LERC, JPEG XL and PNG inside TIFF are rare and would each need a parser of their own to
    check the declared size; a few broken bytes make the decoder of JPEG XR run forever.
    """
    return compression in (*_BOUNDED, *_JPEG, *_JPEG2000)


def undo_aperio_colours(data: bytes, segment: StoredArray) -> StoredArray:
    """Return RGB for a decoded tile of the compression `APERIO_YCBCR`.

    The decoder converts tiles with subsampled chroma by itself, and leaves others as they are.

    Args:
        data: the codestream.
        segment: `(..., samples)` of unsigned integers, the first three of them Y, Cb and Cr.

    Source: OpenSlide, openslide-decode-jp2k.c; ITU-T T.871 for the matrix.
    """
    if segment.shape[-1] < 3 or segment.dtype.kind != "u" or is_subsampled(data):
        return segment
    peak = int(np.iinfo(segment.dtype).max)
    luma = segment[..., 0].astype(np.float32)
    blue, red = (segment[..., sample] - np.float32((peak + 1) // 2) for sample in (1, 2))
    colours = [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue]
    result: StoredArray = segment.copy()
    for sample, colour in enumerate(colours):
        result[..., sample] = np.clip(np.rint(colour), 0, peak)
    return result


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
        declared = _declared(compression, data)
    except (ValueError, struct.error, IndexError) as error:
        raise UnreadableInputError(f"a compressed tile or strip cannot be read: {error}") from error
    if declared is None:
        return
    if declared.components > _MOST_COMPONENTS:
        raise UnreadableInputError(
            f"a compressed tile or strip declares {declared.components} samples for each pixel"
        )
    if declared.rows > height + 15 or declared.columns > width + 15:
        raise UnreadableInputError(
            f"a compressed tile or strip declares {declared.rows} x {declared.columns} pixels, "
            f"but the page gives it {height} x {width}"
        )


def check_jpeg_is_whole(data: bytes) -> None:
    """Refuse a JPEG that ends early: its decoder fills in what is missing and reports nothing.

    Raises:
        UnreadableInputError: it has no end marker.
    """
    try:
        check_jpeg_end(data)
    except ValueError as error:
        raise UnreadableInputError(
            "a compressed tile or strip ends early", hint="The file is truncated or damaged."
        ) from error


def _declared(compression: int, data: bytes) -> CodestreamHeader | None:
    if compression in _JPEG:
        return parse_jpeg(data)
    return parse_jpeg2000(data) if compression in _JPEG2000 else None

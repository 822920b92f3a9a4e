"""Frames of pixel data to words and back, in every transfer syntax that is read.

imagecodecs decodes rather than pydicom's plug-ins: those need pylibjpeg-libjpeg (GPL) or gdcm for
lossless JPEG, have none for HTJ2K without further packages, and decode JPEG 2000 by Pillow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.uid import (
    HTJ2K,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ratcli.formats.codestream import (
    CodestreamHeader,
    check_jpeg_end,
    mended_tile_length,
    parse_jpeg,
    parse_jpeg2000,
)
from ratcli.formats.dicom.layout import PixelLayout, WordArray
from ratcli.formats.dicom.precision import fit_to_header
from ratcli.formats.dicom.rle import decode_rle, encode_rle

JPEG_LOSSLESS = (UID("1.2.840.10008.1.2.4.57"), UID("1.2.840.10008.1.2.4.70"))
JPEG_LOSSY = tuple(UID(f"1.2.840.10008.1.2.4.{n}") for n in (50, 51, 53, 55))
"""Processes that lose something; JPEG-LS and JPEG 2000 may, and need not."""

_JPEG_LS = (JPEGLSLossless, UID("1.2.840.10008.1.2.4.81"))
_JPEG_2000 = (
    JPEG2000Lossless,
    UID("1.2.840.10008.1.2.4.91"),
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
)
READABLE_COMPRESSED = (RLELossless, *JPEG_LOSSY, *JPEG_LOSSLESS, *_JPEG_LS, *_JPEG_2000)
_LONG_TILE = "a JPEG 2000 image declares more data than it has (Psot); all that is there is read"
_ENCODED = (RLELossless, JPEGLSLossless, JPEG2000Lossless, *JPEG_LOSSLESS)


@dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes:
        words: unsigned `(rows, columns, samples)`, as they are in the file.
        photometric: what the samples mean; RGB if the codec undid a colour transform.
        notice: what is odd about the compressed data, or empty.
    """

    words: WordArray
    photometric: str
    notice: str = ""


def is_readable(syntax: UID) -> bool:
    """Return whether frames of a transfer syntax can be decoded."""
    return not syntax.is_compressed or syntax in READABLE_COMPRESSED


def codestream_header(start: bytes, syntax: UID) -> CodestreamHeader | None:
    """Return what the first bytes of a compressed frame declare; None for run lengths.

    Raises:
        ValueError: they are damaged.
    """
    if syntax == RLELossless:
        return None
    return parse_jpeg2000(start) if syntax in _JPEG_2000 else parse_jpeg(start)


def output_syntax(syntax: UID) -> UID:
    """Return the transfer syntax to write: the same if it is lossless and has an encoder."""
    if not syntax.is_compressed or syntax in _ENCODED:
        return syntax
    return ExplicitVRLittleEndian


def decode_native(data: bytes, layout: PixelLayout, *, little_endian: bool) -> Frame:
    """Read a frame that is not compressed.

    Raises:
        ValueError: the frame has another length.
    """
    dtype = layout.dtype if little_endian else layout.dtype.newbyteorder(">")
    words = np.frombuffer(data, dtype).astype(layout.dtype)
    if layout.photometric == "YBR_FULL_422":
        return Frame(_spread_422(words, layout), "YBR_FULL")
    return Frame(_interleave(words, layout, planar=layout.planar), layout.photometric)


def decode(data: bytes, syntax: UID, layout: PixelLayout) -> Frame:
    """Decode a compressed frame; its own header is checked before memory is taken.

    Args:
        data: the frame's fragments, joined.
        syntax: the transfer syntax.
        layout: what the DICOM header declares.

    Raises:
        ValueError: the frame is damaged or of another size than declared.
    """
    if syntax == RLELossless:
        return Frame(decode_rle(data, layout), layout.photometric)
    if syntax in _JPEG_2000:
        return _decode_jpeg2000(data, layout)
    header = parse_jpeg(data)
    _check(header, layout)
    import imagecodecs

    if syntax in _JPEG_LS:
        words = _shaped(imagecodecs.jpegls_decode(data), layout)
        return Frame(fit_to_header(words, header, layout, is_jpeg=False), layout.photometric)
    check_jpeg_end(data)
    space = None if layout.samples == 1 else _jpeg_space(header, syntax, layout)
    target = None if space is None else "RGB"
    words = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=target)
    lossless_ybr = syntax in JPEG_LOSSLESS and layout.photometric.startswith("YBR")
    photometric = "RGB" if space and not lossless_ybr else layout.photometric
    fitted = fit_to_header(_shaped(words, layout), header, layout, is_jpeg=True)
    return Frame(fitted, photometric)


def encode(words: WordArray, syntax: UID, layout: PixelLayout) -> bytes:
    """Encode a frame without loss, and check that it decodes to the same words.

    Args:
        words: unsigned `(rows, columns, samples)`.
        syntax: one that `output_syntax` returns.
        layout: of the frame that is written; gray or RGB.

    Returns:
        The bytes of a native frame, or of one compressed frame.

    Raises:
        ValueError: the encoder lost something.
    """
    if not syntax.is_compressed:
        dtype = layout.dtype if syntax.is_little_endian else layout.dtype.newbyteorder(">")
        ordered = np.moveaxis(words, 2, 0) if layout.planar else words
        return np.ascontiguousarray(ordered).astype(dtype).tobytes()
    if syntax == RLELossless:
        data = encode_rle(words, layout)
    elif syntax in JPEG_LOSSLESS:
        data = _encode_jpeg(words, layout)
    elif syntax == JPEGLSLossless:
        data = _encode_jpeg_ls(words, layout)
    else:
        data = _encode_jpeg2000(words, layout)
    decoded = layout.unpack(decode(data, syntax, layout).words)
    if not np.array_equal(decoded, layout.unpack(words)):
        raise ValueError(f"the encoder for {syntax.name} is not lossless here")
    return data


def _interleave(words: WordArray, layout: PixelLayout, *, planar: bool) -> WordArray:
    shape = (layout.rows, layout.columns, layout.samples)
    if planar and layout.samples > 1:
        words = np.moveaxis(words.reshape(layout.samples, layout.rows, layout.columns), 0, 2)
    return words.reshape(shape)


def _spread_422(words: WordArray, layout: PixelLayout) -> WordArray:
    """Give each pixel the two chroma samples that it shares with its neighbour.

    Source: PS3.3, C.7.6.3.1.2: Y1 Y2 CB CR for every two pixels of a row.
    """
    pairs = words.reshape(layout.rows, layout.columns // 2, 4)
    luma = pairs[..., :2].reshape(layout.rows, layout.columns)
    chroma = np.repeat(pairs[..., 2:], 2, axis=1)
    return np.concatenate([luma[..., None], chroma], axis=2)


def _check(header: CodestreamHeader, layout: PixelLayout) -> None:
    found = (header.rows, header.columns, header.components)
    if found != (layout.rows, layout.columns, layout.samples):
        raise ValueError("a compressed frame is of another size than declared")
    if header.bits > layout.allocated:
        raise ValueError("a compressed frame has more bits than declared")


def _shaped(words: npt.NDArray[np.integer], layout: PixelLayout) -> WordArray:
    """Bring a decoder's array to `(rows, columns, samples)` of the layout's type."""
    shaped = words.reshape(layout.rows, layout.columns, layout.samples)
    # A signed sample wraps to the same bits; a narrower one is widened.
    return shaped.astype(layout.dtype)


def _jpeg_space(header: CodestreamHeader, syntax: UID, layout: PixelLayout) -> str:
    lossless = syntax in JPEG_LOSSLESS
    return "RGB" if lossless or header.is_rgb(layout.photometric) else "YCBCR"


def _decode_jpeg2000(data: bytes, layout: PixelLayout) -> Frame:
    import imagecodecs

    header = parse_jpeg2000(data)
    _check(header, layout)
    mended = mended_tile_length(data)
    words = _shaped(imagecodecs.jpeg2k_decode(data if mended is None else mended), layout)
    words = fit_to_header(words, header, layout, is_jpeg=False)
    # The decoder undoes the codec's own colour transforms; it cannot know about full-range YBR.
    undone = layout.photometric in ("YBR_RCT", "YBR_ICT")
    notice = "" if mended is None else _LONG_TILE
    return Frame(words, "RGB" if undone else layout.photometric, notice)


def _encode_jpeg_ls(words: WordArray, layout: PixelLayout) -> bytes:
    from pydicom.pixels.encoders.base import JPEGLSLosslessEncoder

    # Negative samples are coded as their bit pattern, as the standard says.
    source = np.ascontiguousarray(words)
    try:
        return bytes(
            JPEGLSLosslessEncoder.encode(
                source.tobytes(),
                rows=layout.rows,
                columns=layout.columns,
                number_of_frames=1,
                samples_per_pixel=layout.samples,
                bits_allocated=layout.allocated,
                bits_stored=layout.stored,
                pixel_representation=int(layout.signed),
                photometric_interpretation=layout.photometric,
                planar_configuration=0,
            )
        )
    except RuntimeError:
        # Its buffer is too small for frames that grow (tiny ones, noise). imagecodecs has room, but
        # codes all allocated bits.
        import imagecodecs

        return bytes(imagecodecs.jpegls_encode(source if layout.samples > 1 else source[..., 0]))


def _encode_jpeg2000(words: WordArray, layout: PixelLayout) -> bytes:
    import imagecodecs

    source = layout.unpack(words if layout.samples > 1 else words[..., 0])
    dtype = f"i{layout.word_bytes}" if layout.signed else f"u{layout.word_bytes}"
    return bytes(
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(source.astype(dtype)),
            level=0,
            codecformat="J2K",
            bitspersample=layout.stored,
            reversible=True,
            mct=layout.photometric == "YBR_RCT",
        )
    )


def _encode_jpeg(words: WordArray, layout: PixelLayout) -> bytes:
    """Encode with predictor 1, the only one that syntax .70 allows."""
    import imagecodecs

    mask = np.array((1 << layout.stored) - 1, words.dtype)
    source = np.ascontiguousarray(words if layout.samples > 1 else words[..., 0]) & mask
    space = "RGB" if layout.samples > 1 else None
    return bytes(
        imagecodecs.jpeg8_encode(
            source,
            colorspace=space,
            outcolorspace=space,
            lossless=True,
            predictor=1,
            bitspersample=layout.stored,
        )
    )

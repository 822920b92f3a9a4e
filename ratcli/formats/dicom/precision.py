"""Samples of a codestream that has another precision or sign than the header declares.

JPEG 2000 and JPEG-LS are read as pydicom reads them: the sign is that of the header, the number of
bits that of the codestream. What can be read in two ways is refused: a lossless JPEG with a sign
bit at an unknown place, and negative samples of a JPEG 2000 below an unsigned header, which GDCM
keeps and pydicom wraps.

Source: PS3.5, 8.2.1, 8.2.3 and 8.2.4; ITU-T T.800, table A.11 (Ssiz).
"""

from __future__ import annotations

import numpy as np

from ratcli.errors import UnreadableInputError
from ratcli.formats.codestream import CodestreamHeader
from ratcli.formats.dicom.layout import PixelLayout, WordArray


def fit_to_header(
    words: WordArray, found: CodestreamHeader, layout: PixelLayout, *, is_jpeg: bool
) -> WordArray:
    """Return decoded gray words as the header declares them.

    Args:
        words: unsigned, as the decoder returns them.
        found: header of the codestream.
        layout: of the DICOM header.
        is_jpeg: whether it is a JPEG of T.81, for which no rule says where the sign bit is.

    Raises:
        UnreadableInputError: the samples do not fit the header, or can be read in two ways.
    """
    if layout.samples > 1:
        return words
    sign = 1 << (found.bits - 1)
    if found.signed and not layout.signed and bool((words & sign).any()):
        raise UnreadableInputError(
            f"{describe(found, layout)}, and some samples are negative",
            hint="Correct PixelRepresentation in the header, or decompress the file.",
        )
    if layout.high_bit != layout.stored - 1:
        return words
    if found.bits > layout.stored:
        _check_unused_bits(words, found, layout)
        return words
    if not layout.signed or found.signed or found.bits == layout.stored:
        return words
    if is_jpeg and bool((words >= sign).any()):
        raise UnreadableInputError(
            f"{describe(found, layout)}, and the sign of its samples is not known",
            hint="Decompress it with the software that made it, or correct BitsStored.",
        )
    samples = ((words.astype(np.int32) & (2 * sign - 1)) ^ sign) - sign
    return layout.pack(samples)


def describe(found: CodestreamHeader, layout: PixelLayout) -> str:
    """Return both precisions in words."""
    sign = {True: " signed", False: " unsigned", None: ""}[found.signed]
    declared = "signed" if layout.signed else "unsigned"
    return (
        f"the compressed pixels have {found.bits}{sign} bits, "
        f"but the header declares {layout.stored} {declared} bits"
    )


def precision_notice(found: CodestreamHeader, layout: PixelLayout) -> str:
    """Return a notice if the sign or the precision of a codestream changes how it is read."""
    if layout.samples > 1:
        return ""
    other_sign = found.signed is not None and found.signed != layout.signed
    narrow = found.bits < layout.stored and layout.signed and not found.signed
    if not (other_sign or narrow):
        return ""
    bits, sign = min(found.bits, layout.stored), "signed" if layout.signed else "unsigned"
    condition = " if none is negative" if found.signed and not layout.signed else ""
    return f"{describe(found, layout)}; they are read as {bits} {sign} bits{condition}"


def _check_unused_bits(words: WordArray, found: CodestreamHeader, layout: PixelLayout) -> None:
    """Refuse samples that need more bits than the header declares.

    Bits above a signed sample may repeat its sign.

    Raises:
        UnreadableInputError: a sample does.
    """
    above = words >> np.array(layout.stored, words.dtype)
    needed = above != 0
    if layout.signed:
        needed &= layout.pack(layout.unpack(words)) != words
    if needed.any():
        raise UnreadableInputError(
            describe(found, layout), hint="Correct BitsStored in the header."
        )

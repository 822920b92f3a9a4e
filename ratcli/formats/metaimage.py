"""MetaImage, the format of many phantom data sets: read as an array, never written.

Sources: the MetaIO documentation of ITK (tags of `.mhd` and `.mha`).
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ratcli.errors import UnreadableInputError
from ratcli.formats.limits import DEFAULT_MAX_PIXELS, HEAD_BYTES
from ratcli.paths import check_file
from ratcli.scan import FloatArray

SUFFIXES = (".mhd", ".mha")

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_HIGH_FIRST = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")


class MetaImage(NamedTuple):
    """An image: values `(D, H, W)`, and the pixel spacing in mm between rows and columns."""

    values: FloatArray
    spacing_mm: tuple[float, float]


def read_metaimage(path: Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> MetaImage:
    """Read an image of two or three axes with one channel.

    Args:
        path: an `.mhd` header with its data file beside it, or an `.mha` file.
        max_pixels: most pixels to decode.

    Raises:
        UnreadableInputError: damaged, too large, or of a kind that is not read.
    """
    check_file(path, UnreadableInputError)
    try:
        content = path.read_bytes()
        head, begin = _header(content)
        shape = [int(size) for size in reversed(head["DimSize"].split())]
        spacing = [float(part) for part in reversed(head["ElementSpacing"].split())]
        kind = np.dtype(_TYPES[head["ElementType"]])
        place = head["ElementDataFile"]
        if place != "LOCAL":
            # Data of another folder, or of several files, are not read.
            beside = path.parent / Path(place).name
            check_file(beside, UnreadableInputError)
            content, begin = beside.read_bytes(), 0
    except (OSError, KeyError, ValueError) as error:
        raise _unreadable(path, "its header is not as expected") from error
    if len(shape) not in (2, 3) or min(shape) < 1 or math.prod(shape) > max_pixels:
        raise _unreadable(path, f"it has {' x '.join(map(str, shape))} pixels")
    if len(spacing) != len(shape) or not all(0 < step < math.inf for step in spacing):
        raise _unreadable(path, "its spacing is not a positive number for each axis")
    if head.get("ElementNumberOfChannels", "1") != "1" or "HeaderSize" in head:
        raise _unreadable(path, "it has several channels, or data with a header of their own")
    if any(head.get(tag, "False").lower() == "true" for tag in _HIGH_FIRST):
        kind = kind.newbyteorder(">")
    data = _data(path, content[begin:], head, math.prod(shape) * kind.itemsize)
    values = np.frombuffer(data, kind).reshape(shape).astype(np.float32)
    return MetaImage(values.reshape(-1, *shape[-2:]), (spacing[-2], spacing[-1]))


def _header(content: bytes) -> tuple[dict[str, str], int]:
    """Return the tags, and where the header ends.

    Raises:
        ValueError: there is no end.
    """
    tags: dict[str, str] = {}
    place = 0
    while "ElementDataFile" not in tags:
        end = content.find(b"\n", place, HEAD_BYTES)
        line = content[place : end if end >= 0 else HEAD_BYTES].decode("ascii")
        if end < 0 and "ElementDataFile" not in line:
            raise ValueError("the header has no end")
        name, _, value = line.partition("=")
        tags[name.strip()] = value.strip()
        place = end + 1 if end >= 0 else len(content)
    return tags, place


def _data(path: Path, stored: bytes, head: dict[str, str], size: int) -> bytes:
    """Return the pixel data, inflated up to the size that the header declares."""
    if head.get("CompressedData", "False").lower() == "true":
        try:
            stored = zlib.decompressobj().decompress(stored, size)
        except zlib.error as error:
            raise _unreadable(path, "its compressed data are damaged") from error
    if len(stored) < size:
        raise _unreadable(path, f"its data have {len(stored)} bytes, but {size} are expected")
    return stored[:size]


def _unreadable(path: Path, reason: str) -> UnreadableInputError:
    return UnreadableInputError(f"{path.name} cannot be read as MetaImage: {reason}")

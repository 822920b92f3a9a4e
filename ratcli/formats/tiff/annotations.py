"""Annotations in pixel coordinates: moved to a finer grid, or left out where they cannot be."""

from __future__ import annotations

import base64
import bz2
import math
import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np

_SCALED = (
    *("X", "Y", "Width", "Height", "RadiusX", "RadiusY", "X1", "Y1", "X2", "Y2"),
    *("cx", "cy", "rx", "ry", "r"),  # of the schemas before 2010
)
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_LENGTH = re.compile(
    rf"""(\s(?:{"|".join(_SCALED)})\s*=\s*["']\s*)({_NUMBER})(?=\s*["'])""", re.IGNORECASE
)
_SHIFT = re.compile(rf"""(\sA[01]2\s*=\s*["']\s*)({_NUMBER})(?=\s*["'])""")
_POINTS = re.compile(r"""(\spoints\s*=\s*)(["'])([^"']*)\2""", re.IGNORECASE)
_TRANSFORM = re.compile(r"""\stransform\s*=\s*["']\s*(?!none)[^"']""", re.IGNORECASE)


def _element(name: str) -> re.Pattern[str]:
    """Return a pattern of an element that holds none of its own name, in one pass over a text."""
    tag = rf"(?:\w+:)?{name}\b"
    return re.compile(rf"<{tag}[^<>]*?(?:/>|>[^<]*(?:<(?!/?{tag})[^<]*)*</{tag}\s*>)")


_ROI, _IMAGE, _MASK = _element("ROI"), _element("Image"), _element("Mask")
_BITMAP = re.compile(
    r"(?P<open><(?P<name>(?:\w+:)?BinData)\b[^<>]*)>(?P<data>[^<]*)(?P<close></(?P=name)\s*>)"
)
_PATH = re.compile(r"<(?:\w+:)?Path\b")
_ELEMENT = re.compile(r"<[A-Za-z][^<>]*>")
_LEFT_OUT_OF_IMAGEJ = (b"roi ", b"over")
_MOST_MASK_PIXELS = 1 << 22


def finer_ome_rois(text: str, scale: int, image: int) -> str:
    """Return an OME-XML whose regions of interest are on a grid `scale` times as fine.

    The origin is the outer corner of the first pixel (OME's ROI model), so that coordinates are
    multiplied. A mask's bitmap is repeated. A region that cannot be moved is left out.

    Args:
        text: the OME-XML.
        scale: pixels for each source pixel and axis.
        image: number of the image that gets finer; regions that belong only to others stay.
    """
    if scale == 1:
        return text
    elsewhere = _regions_elsewhere(text, image)
    gone: list[str] = []

    def moved(match: re.Match[str]) -> str:
        region = match.group(0)
        name = _value(region, "ID")
        if name in elsewhere:
            return region
        if not _can_move(region):
            gone.append(name)
            return ""
        return _moved_region(region, scale)

    text = _ROI.sub(moved, text)
    for name in gone:
        text = re.sub(
            rf"""<(?:\w+:)?ROIRef\s+ID\s*=\s*["']{re.escape(name)}["']\s*(?:/>|></(?:\w+:)?ROIRef\s*>)""",
            "",
            text,
        )
    return text


def ome_regions_left_out(text: str) -> int:
    """Return how many regions of interest of an OME-XML a finer grid cannot keep."""
    return sum(not _can_move(match.group(0)) for match in _ROI.finditer(text))


def has_imagej_regions(data: bytes, counts: tuple[int, ...], byte_order: str) -> bool:
    """Return whether ImageJ's metadata (tag 50839) hold a region of interest or an overlay."""
    return any(kind in _LEFT_OUT_OF_IMAGEJ for kind, _ in _imagej_parts(data, counts, byte_order))


def without_imagej_regions(
    data: bytes, counts: tuple[int, ...], byte_order: str
) -> tuple[bytes, tuple[int, ...]]:
    """Return ImageJ's metadata and their byte counts without regions of interest and overlays.

    Their coordinates are those of the source's pixels.

    Args:
        data: value of the tag 50839.
        counts: value of the tag 50838.
        byte_order: `<` or `>`.
    """
    parts = list(_imagej_parts(data, counts, byte_order))
    kept = [(kind, values) for kind, values in parts if kind not in _LEFT_OUT_OF_IMAGEJ]
    if not kept:
        return b"", ()
    head = _in_order(b"IJIJ", byte_order)
    for kind, values in kept:
        head += _in_order(kind, byte_order) + struct.pack(f"{byte_order}I", len(values))
    body = [value for _, values in kept for value in values]
    return head + b"".join(body), (len(head), *map(len, body))


def _regions_elsewhere(text: str, image: int) -> set[str]:
    """Return the names of the regions that only other images refer to."""
    here: set[str] = set()
    elsewhere: set[str] = set()
    for number, match in enumerate(_IMAGE.finditer(text)):
        names = re.findall(r"""<(?:\w+:)?ROI(?:Ref)?\s[^<>]*?\bID\s*=\s*["']([^"']*)""", match[0])
        (here if number == image else elsewhere).update(names)
    return elsewhere - here


def _can_move(region: str) -> bool:
    """Return whether nothing in a region is beyond multiplying coordinates."""
    if _PATH.search(region) or any(
        _TRANSFORM.search(element) for element in _ELEMENT.findall(region)
    ):
        return False
    return all(_finer_mask(match.group(0), 1) is not None for match in _MASK.finditer(region))


def _moved_region(region: str, scale: int) -> str:
    def lengthened(match: re.Match[str]) -> str:
        return f"{match.group(1)}{float(match.group(2)) * scale:.10g}"

    def points(match: re.Match[str]) -> str:
        moved = re.sub(_NUMBER, lambda m: f"{float(m[0]) * scale:.10g}", match.group(3))
        return f"{match.group(1)}{match.group(2)}{moved}{match.group(2)}"

    def element(match: re.Match[str]) -> str:
        text = _POINTS.sub(points, _LENGTH.sub(lengthened, match.group(0)))
        return _SHIFT.sub(lengthened, text)

    region = _MASK.sub(lambda match: _finer_mask(match.group(0), scale) or "", region)
    return _ELEMENT.sub(element, region)


def _finer_mask(mask: str, scale: int) -> str | None:
    """Return a mask whose bitmap has each pixel repeated; None if the bitmap is not understood."""
    found = _BITMAP.search(mask)
    if found is None:
        return mask
    height, width = (_whole(_value(mask, name)) for name in ("Height", "Width"))
    how = _value(found["open"], "Compression") or "none"
    if not height or not width or height * width > _MOST_MASK_PIXELS:
        return None
    count = height * width
    data = _unpacked(found["data"], how, -(-count // 8))
    if data is None:
        return None
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count).reshape(height, width)
    packed = np.packbits(bits.repeat(scale, 0).repeat(scale, 1)).tobytes()
    packed = {"zlib": zlib.compress, "bzip2": bz2.compress}.get(how, bytes)(packed)
    opened = re.sub(r"""(\bLength\s*=\s*["'])\d+""", rf"\g<1>{len(packed)}", found["open"])
    text = f"{opened}>{base64.b64encode(packed).decode()}{found['close']}"
    return mask[: found.start()] + text + mask[found.end() :]


def _unpacked(text: str, how: str, size: int) -> bytes | None:
    """Return the `size` bytes of a bitmap, one bit a pixel; None if it holds another number."""
    try:
        data = base64.b64decode(text)
        if how == "zlib":
            data = zlib.decompressobj().decompress(data, size + 1)
        elif how == "bzip2":
            data = bz2.BZ2Decompressor().decompress(data, size + 1)
    except (ValueError, OSError, zlib.error):
        return None
    return data if len(data) == size and how in ("none", "zlib", "bzip2") else None


def _imagej_parts(
    data: bytes, counts: tuple[int, ...], byte_order: str
) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield the kind and the values of each part of ImageJ's metadata."""
    head_bytes = counts[0] if counts else 0
    start, index = head_bytes, 1
    for place in range(4, head_bytes - 7, 8):
        kind = _in_order(data[place : place + 4], byte_order)
        (number,) = struct.unpack(f"{byte_order}I", data[place + 4 : place + 8])
        values = []
        for length in counts[index : index + number]:
            values.append(data[start : start + length])
            start += length
        index += number
        yield kind, values


def _in_order(name: bytes, byte_order: str) -> bytes:
    return name if byte_order == ">" else name[::-1]


def _value(element: str, name: str) -> str:
    found = re.search(rf"""\s{name}\s*=\s*["']([^"']*)["']""", element)
    return found.group(1) if found else ""


def _whole(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        return 0
    return int(number) if math.isfinite(number) and number == int(number) and number > 0 else 0
